;; A module whose start function calls the host.
(module
  (import "env" "started" (func $started (param i32)))
  (global $n (mut i32) (i32.const 0))
  (func $start (call $started (i32.const 5)) (global.set $n (i32.const 1)))
  (func (export "n") (result i32) (global.get $n))
  (start $start))
