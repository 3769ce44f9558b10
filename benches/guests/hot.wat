;; The guest of the rows about instances, calls, host calls, yields and traps. One page of memory,
;; one export per row. The same module runs in every engine.
(module
  (import "env" "host" (func $host (param i32) (result i32)))
  (import "env" "yield" (func $yield (param i32) (result i32)))
  (type $nothing (func))
  (type $number (func (param i32) (result i32)))
  (table 2 2 funcref)
  (elem (i32.const 0) func $empty)
  (memory (export "memory") 1)

  (func $empty (export "empty"))
  (func (export "add") (param i32 i32) (result i32)
    (i32.add (local.get 0) (local.get 1)))

  ;; One page dirtied.
  (func (export "touch") (i32.store (i32.const 100) (i32.const 1)))
  (func (export "grow")
    (drop (memory.grow (i32.const 1)))
    (i32.store (i32.const 65636) (i32.const 1)))

  (func (export "hosts") (param i32)
    (loop $again
      (drop (call $host (i32.const 1)))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "yields")
    (loop $again
      (drop (call $yield (i32.const 1)))
      (br $again)))

  (func (export "unreachable") unreachable)
  (func (export "divide") (param i32) (result i32)
    (i32.div_u (i32.const 1) (local.get 0)))
  (func (export "indirect") (param i32)
    (call_indirect (type $nothing) (local.get 0)))
  (func (export "out_of_bounds") (param i32) (result i32)
    (i32.load (local.get 0)))
  (func $deep (export "recurse") (param i32) (result i32)
    (i32.add (i32.const 1) (call $deep (i32.add (local.get 0) (i32.const 1)))))

  ;; Tells the host that it runs, then never returns.
  ;; An operation on nearly 2 GiB, which takes the best part of a second.
  (func (export "bulk")
    (drop (memory.grow (i32.const 32000)))
    (drop (call $host (i32.const 0)))
    (loop $again
      (memory.fill (i32.const 0) (i32.const 1) (i32.const 2097000000))
      (br $again)))
  (func (export "forever")
    (drop (call $host (i32.const 0)))
    (loop $again (br $again))))
