;; Adds, and leaves something in its memory.
(module (memory 1) (data (i32.const 64) "image")
  (global $calls (mut i32) (i32.const 0))
  (func (export "add") (param i32 i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store (i32.const 4096) (global.get $calls))
    (i32.add (local.get 0) (local.get 1))))
