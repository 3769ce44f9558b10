;; Sixteen pages of 64 KiB, of which a call touches 64 of 4 KiB.
(module
  (memory (export "memory") 16)
  (func (export "touch") (local i32)
    (loop $again
      (i32.store (local.get 0) (i32.const 1))
      (br_if $again
        (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 4096)))
                  (i32.const 262144))))))
