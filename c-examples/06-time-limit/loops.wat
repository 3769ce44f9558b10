(module
  (memory (export "memory") 1)
  ;; Nothing in these loops would notice that time passes.
  (func (export "forever") (loop $again (br $again)))
  (func (export "counts_forever")
    (loop $again
      (i64.store (i32.const 8) (i64.add (i64.load (i32.const 8)) (i64.const 1)))
      (br $again)))
  (func (export "short") (param i32) (result i32)
    (loop $again
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (i32.const 42)))
