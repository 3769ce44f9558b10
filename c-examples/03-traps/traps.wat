;; Every way in which WebAssembly 1.0 code can go wrong, one export each, and one that goes right.
(module
  (type $nothing (func))
  (type $number (func (result i32)))
  (memory (export "memory") 1 1)
  (table 4 funcref)
  (elem (i32.const 0) $works)              ;; elements 1 to 3 stay null

  (func $works (export "works") (result i32)
    i32.const 42)

  (func $unreachable (export "unreachable")
    unreachable)

  (func $load_outside (export "load_outside") (result i32)
    (i32.load (i32.const 65533)))           ;; the last byte lies outside

  (func $store_far_outside (export "store_far_outside")
    (i64.store offset=0xffffffff (i32.const 0xffffffff) (i64.const -1)))

  (func $call_outside_table (export "call_outside_table")
    (call_indirect (type $nothing) (i32.const 4)))

  (func $call_null (export "call_null")
    (call_indirect (type $nothing) (i32.const 1)))

  (func $call_wrong_type (export "call_wrong_type")
    (call_indirect (type $nothing) (i32.const 0)))

  (func $divide_by_zero (export "divide_by_zero") (result i32)
    (i32.div_s (i32.const 1) (call $zero)))

  (func $divide_overflow (export "divide_overflow") (result i32)
    (i32.div_s (i32.const 0x80000000) (i32.sub (call $zero) (i32.const 1))))

  (func $convert_nan (export "convert_nan") (result i32)
    (i32.trunc_f64_s (f64.div (f64.const 0) (f64.convert_i32_s (call $zero)))))

  (func $convert_too_large (export "convert_too_large") (result i32)
    (i32.trunc_f64_s (f64.const 1e300)))

  (func $recurse_forever (export "recurse_forever") (result i32)
    (i32.add (call $recurse_forever) (i32.const 1)))

  (func $zero (result i32)
    i32.const 0))
