;; Typed references, tables of them, globals of every kind.
(module
  (type $unary (func (param i32) (result i32)))
  (type $maker (func (result (ref $unary))))
  (global (export "v") v128 (v128.const i64x2 5 6))
  (global (export "host") (mut externref) (ref.null extern))
  (global $f (ref $unary) (ref.func $inc))
  (table $t (export "typed") 2 5 (ref $unary) (ref.func $inc))
  (func $inc (type $unary) (i32.add (local.get 0) (i32.const 1)))
  (func $double (type $unary) (i32.shl (local.get 0) (i32.const 1)))
  (func $make (type $maker) (ref.func $double))
  (elem declare func $double $inc)
  (func (export "run") (param $n i32) (result i64)
    (table.set $t (i32.const 1) (call $make))
    (i64.extend_i32_u
      (call_ref $unary
        (call_ref $unary (local.get $n) (table.get $t (i32.const 1)))
        (global.get $f)))))
