;; Keeps the memory that both work on, and one function that changes it.
(module
  (memory (export "memory") 1 1)
  (global (export "changed") (mut i32) (i32.const 0))
  (data (i32.const 16) "a plugin made of two modules")

  ;; Makes the letters of a text large.
  (func (export "upper") (param $at i32) (param $len i32)
    (local $end i32) (local $c i32)
    (local.set $end (i32.add (local.get $at) (local.get $len)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $c (i32.load8_u (local.get $at)))
        (if (i32.and (i32.ge_u (local.get $c) (i32.const 97))
                     (i32.le_u (local.get $c) (i32.const 122)))
          (then (i32.store8 (local.get $at) (i32.sub (local.get $c) (i32.const 32)))
                (global.set 0 (i32.add (global.get 0) (i32.const 1)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))))
