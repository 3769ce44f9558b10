;; A plugin that wants more than its host gives: a way to run programs.
;; lucetc refuses it under policy.toml. Compiled under a lax policy, the loader refuses it,
;; because no embedder registers env.exec.
(module
  (import "env" "host_log" (func $host_log (param i32 i32)))
  (import "env" "exec" (func $exec (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "/bin/sh")
  (func (export "alloc") (param i32) (result i32)
    i32.const 1024)
  (func (export "on_request") (param i32 i32) (result i64)
    (drop (call $exec (i32.const 0) (i32.const 7)))
    i64.const 0))
