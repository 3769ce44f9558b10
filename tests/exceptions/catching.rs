//! Throwing and catching in one instance.

use crate::common::instance;
use lucet::{Outcome, Val};

#[test]
fn catches_what_it_throws() {
    let i = instance(
        r#"(module
          (tag $e (export "e") (param i32 i64))
          (tag $f (export "f"))
          (func $throws (param i32)
            (if (i32.eqz (local.get 0)) (then (throw $e (i32.const 40) (i64.const 2))))
            (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $f))))
          (func (export "run") (param i32) (result i64)
            (local i64)
            (block $h (result i32 i64)
              (block $g
                (try_table (catch $e $h) (catch $f $g) (call $throws (local.get 0)))
                (return (i64.const 7)))
              (return (i64.const 8)))
            (local.set 1)
            (i64.add (i64.extend_i32_s) (local.get 1)))
          (func (export "uncaught") (call $throws (i32.const 0))))"#,
    );
    let run = |n| i.run("run", &[Val::I32(n)]).unwrap();
    assert_eq!(run(0), Outcome::Returned(vec![Val::I64(42)]));
    assert_eq!(run(1), Outcome::Returned(vec![Val::I64(8)]));
    assert_eq!(run(2), Outcome::Returned(vec![Val::I64(7)]));
    match i.run("uncaught", &[]).unwrap() {
        Outcome::Exception(e) => {
            assert_eq!(e.tag.as_deref(), Some("e"));
            assert_eq!(e.values, [Val::I32(40), Val::I64(2)]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(run(0), Outcome::Returned(vec![Val::I64(42)]));
}
