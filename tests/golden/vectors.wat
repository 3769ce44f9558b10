;; 128-bit vectors, floats, tail calls and several results.
(module
  (func $pair (param i32) (result i32 i64)
    (local.get 0) (i64.extend_i32_s (i32.mul (local.get 0) (i32.const 3))))
  (func $count (param $n i64) (param $sum i64) (result i64)
    (if (result i64) (i64.eqz (local.get $n))
      (then (local.get $sum))
      (else (return_call $count
        (i64.sub (local.get $n) (i64.const 1)) (i64.add (local.get $sum) (local.get $n))))))
  (func (export "run") (param $n i32) (result i64)
    (local $v v128)
    (local.set $v (i32x4.mul (i32x4.splat (local.get $n)) (v128.const i32x4 1 2 3 4)))
    (i64.add
      (i64.add
        (i64.extend_i32_s (i32x4.extract_lane 3 (local.get $v)))
        (i64.trunc_sat_f64_s (f64.mul (f64.convert_i32_s (local.get $n)) (f64.const 0.5))))
      (call $count (i64.const 10) (call $second (call $pair (local.get $n))))))
  (func $second (param i32 i64) (result i64) (local.get 1)))
