;; Compact memory, counted steps, labels, a policy: what a build with many options gives.
(module
  (import "env" "add" (func $add (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (param $n i32) (result i64)
    (local $sum i32)
    (loop $again
      (local.set $sum (call $add (local.get $sum) (local.get $n)))
      (i32.store (i32.const 65532) (local.get $sum))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.load32_u (i32.const 65532))))
