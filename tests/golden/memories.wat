;; Three memories, one with 64-bit addresses, with data in each.
(module
  (memory $a 1 1)
  (memory $b (export "b") 1 3)
  (memory $c (export "c") i64 1 2)
  (data (memory $b) (i32.const 8) "\2a")
  (data (memory $c) (i64.const 65528) "\01\00\00\00\00\00\00\00")
  (func (export "run") (param $n i32) (result i64)
    (i32.store8 $a (i32.const 100) (local.get $n))
    (memory.copy $b $a (i32.const 0) (i32.const 100) (i32.const 1))
    (drop (memory.grow $c (i64.const 1)))
    (i64.add
      (i64.add (i64.load $c (i64.const 65528)) (memory.size $c))
      (i64.extend_i32_u (i32.add (i32.load8_u $b (i32.const 0)) (i32.load8_u $b (i32.const 8)))))))
