(module
  (import "env" "look" (func $look))
  (memory (export "memory") 1 1)
  (func $guest_add (export "add") (param i32 i32) (result i32)
    (i32.add (local.get 0) (local.get 1)))
  (func $guest_looks (export "looks")
    (i32.store (i32.const 4096) (i32.const 1))
    call $look)
  (func (export "trap")
    unreachable)
  (func (export "outside") (result i32)
    (i32.load (i32.const 65536)))
  ;; Long enough for a profiler to find it.
  (func $guest_spin (export "spin") (param i32) (result i32)
    (local i32)
    (loop $again
      (local.set 1 (i32.xor (i32.mul (local.get 1) (i32.const 31)) (local.get 0)))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1)))
