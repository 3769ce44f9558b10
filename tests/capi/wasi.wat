;; A guest that uses WASI in small steps; tests/capi/wasi.c says what it expects.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get"
    (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_unstable" "sched_yield" (func $sched_yield (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 512) "file")
  (global $calls (export "calls") (mut i32) (i32.const 0))

  ;; Copies standard input to standard output, and exits with 3; with 100 and an error number if
  ;; that fails.
  (func (export "_start") (local $error i32)
    (loop $again
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 4096))
      (local.set $error
        (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (local.get $error)
        (then (call $proc_exit (i32.add (i32.const 100) (local.get $error)))))
      (if (i32.eqz (i32.load (i32.const 8))) (then (call $proc_exit (i32.const 3))))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (local.set $error
        (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (local.get $error)
        (then (call $proc_exit (i32.add (i32.const 100) (local.get $error)))))
      (br $again)))

  ;; The number of arguments, or minus an error number.
  (func (export "args") (result i32)
    (if (call $args_sizes_get (i32.const 0) (i32.const 4)) (then (return (i32.const -1))))
    (i32.load (i32.const 0)))
  (func (export "variables") (result i32)
    (if (call $environ_sizes_get (i32.const 0) (i32.const 4)) (then (return (i32.const -1))))
    (i32.load (i32.const 0)))
  ;; What args_get says when its buffers are not in memory.
  (func (export "args_outside") (result i32)
    (call $args_get (i32.const 65536) (i32.const 65536)))
  ;; Writes the first argument to standard output.
  (func (export "print_first") (result i32) (local $at i32)
    (drop (call $args_get (i32.const 2048) (i32.const 4096)))
    (local.set $at (i32.load (i32.const 2048)))
    (i32.store (i32.const 0) (local.get $at))
    (loop $l
      (if (i32.load8_u (local.get $at))
        (then (local.set $at (i32.add (local.get $at) (i32.const 1))) (br $l))))
    (i32.store (i32.const 4) (i32.sub (local.get $at) (i32.load (i32.const 0))))
    (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))

  (func (export "random") (result i64)
    (drop (call $random_get (i32.const 0) (i32.const 8)))
    (i64.load (i32.const 0)))
  (func (export "now") (result i64)
    (drop (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 0)))
    (i64.load (i32.const 0)))
  (func (export "yield") (result i32) (call $sched_yield))

  ;; Opens "file" in the first directory, creating it; the descriptor, or minus an error number.
  (func (export "open") (result i32) (local $error i32)
    (local.set $error
      (call $path_open (i32.const 3) (i32.const 0) (i32.const 512) (i32.const 4) (i32.const 1)
        (i64.const 0x40) (i64.const 0) (i32.const 0) (i32.const 0)))
    (if (local.get $error) (then (return (i32.sub (i32.const 0) (local.get $error)))))
    (i32.load (i32.const 0)))
  (func (export "close") (param i32) (result i32) (call $fd_close (local.get 0)))

  (func (export "_initialize") (global.set $calls (i32.const 1000))))
