;; Runs until the host says stop (by asking it, or never).
(module
  (import "env" "go_on" (func $go_on (result i32)))
  (import "env" "nap" (func $nap (param i32)))
  (import "env" "yield" (func $yield (result i32)))
  (import "env" "raise" (func $raise (param i32)))
  (memory 1)
  (func (export "until") (result i32) (local i32)
    (loop $l
      (local.set 0 (i32.const 2000000))
      (loop $k (br_if $k (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (br_if $l (call $go_on)))
    (i32.const 7))
  (func (export "tight") (loop $l (br $l)))
  (func (export "naps") (param i32) (result i32) (call $nap (local.get 0)) (i32.const 7))
  (func (export "raises") (param i32)
    (call $raise (local.get 0)) (drop (call $go_on)) (loop $l (br $l)))
  (func (export "yields") (result i32) (call $yield)))
