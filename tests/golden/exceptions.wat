;; Tags, a handler and a reference to an exception.
(module
  (tag $e (export "e") (param i32))
  (func $throws (param i32) (throw $e (local.get 0)))
  (func (export "run") (param $n i32) (result i64)
    (block $caught (result i32)
      (try_table (catch $e $caught) (call $throws (local.get $n)))
      (i32.const -1))
    (i64.extend_i32_s)
    (i64.add (i64.const 1000)))
  (func (export "escapes") (param i32) (call $throws (local.get 0))))
