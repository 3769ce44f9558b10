;; What another module of a group imports.
(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "twice") (param i32) (result i32)
    (i32.mul (call $ask (local.get 0)) (i32.const 2))))
