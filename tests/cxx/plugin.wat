(module
  (import "store" "twice" (func $twice (param i32) (result i32)))
  (func (export "go") (param i32) (result i32) (call $twice (local.get 0))))
