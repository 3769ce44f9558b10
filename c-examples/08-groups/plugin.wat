;; Has no memory of its own: text, function and counter are the library's, the log is the host's.
(module
  (import "library" "memory" (memory 1))
  (import "library" "upper" (func $upper (param i32 i32)))
  (import "library" "changed" (global $changed (mut i32)))
  (import "host" "log" (func $log (param i32 i32)))

  (func (export "on_request") (result i32)
    (call $log (i32.const 16) (i32.const 28))
    (call $upper (i32.const 16) (i32.const 8))
    (call $log (i32.const 16) (i32.const 28))
    (global.get $changed)))
