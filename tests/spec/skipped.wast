;; Every directive in this file needs a refused feature, in one way or another, and must be skipped.
;; Modules and registrations may also pass.

(module $M (func (export "one") (result i32) (i32.const 1)))
(register "M" $M)
(register "G" $M)

;; Refused, and what is called in it.
(module $G (type (struct)) (func (export "one") (result i32) (i32.const 1)))
(invoke "one")
(assert_return (invoke "one") (i32.const 1))
(assert_return (invoke "one") (i32.const 2))
(assert_return (invoke $G "one") (i32.const 1))
(assert_return (invoke $G "one" (ref.host 1)) (ref.i31))
(assert_return (get $G "global") (i32.const 1))
(assert_trap (invoke $G "one") "null structure reference")
(assert_exhaustion (invoke $G "one") "call stack exhausted")
(assert_exception (invoke $G "one"))

;; What imports from it, once it has taken the name over.
(register "G" $G)
(module $H (import "G" "one" (func (result i32))) (export "one" (func 0)))
(assert_return (invoke "one") (i32.const 1))
(assert_return (invoke $H "one") (i32.const 1))
(register "H" $H)
(assert_unlinkable (module (import "H" "two" (func))) "unknown import")
(assert_trap (module (import "H" "one" (func)) (func (unreachable)) (start 1)) "unreachable")

;; Other ways to a module.
(module definition $D (type (struct)))
(module instance $I $D)
(assert_return (invoke $I "one") (i32.const 1))
(module definition (type (array i8)))
(module instance)
(assert_unlinkable (module (import "M" "two" (func)) (type (struct))) "unknown import")
(assert_trap (module (type (struct)) (func (unreachable)) (start 0)) "unreachable")
