//! Which exceptions are kept, and for how long.

use super::{returned, thrown};
use crate::common::{instance, region};
use lucet::{Outcome, Status, Val};

const KEEPS: &str = r#"(module
  (tag $e (param i32))
  (tag $n (param i32 exnref))
  (global $g (mut exnref) (ref.null exn))
  (table $t 4 exnref)
  (func $make (param i32) (result exnref)
    (block $h (result i32 exnref)
      (try_table (catch_ref $e $h) (throw $e (local.get 0)))
      (unreachable))
    (return))
  (func $value (param exnref) (result i32)
    (block $h (result i32) (try_table (catch $e $h) (throw_ref (local.get 0))) (unreachable)))
  (func $churn (param i32)
    (loop $l
      (drop (call $make (local.get 0)))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func $wrap (param exnref) (result exnref)
    (local exnref)
    (block $h (result i32 exnref exnref)
      (try_table (catch_ref $n $h) (throw $n (i32.const 5) (local.get 0)))
      (unreachable))
    (local.set 1) (drop) (drop) (local.get 1))
  (func $unwrap (param exnref) (result exnref)
    (local exnref)
    (block $h (result i32 exnref)
      (try_table (catch $n $h) (throw_ref (local.get 0)))
      (unreachable))
    (local.set 1) (drop) (local.get 1))
  (func (export "churn") (param i32) (call $churn (local.get 0)))
  (func (export "make") (param i32) (result exnref) (call $make (local.get 0)))
  (func (export "value") (param exnref) (result i32) (call $value (local.get 0)))
  ;; In a global, in a table, in a local, on the operand stack, inside another one.
  (func (export "kept") (param i32) (result i32)
    (local exnref)
    (global.set $g (call $make (i32.const 1)))
    (table.set $t (i32.const 3) (call $make (i32.const 20)))
    (local.set 1 (call $make (i32.const 300)))
    (call $make (i32.const 4000))
    (call $wrap (call $make (i32.const 50000)))
    (call $churn (local.get 0))
    (call $value (call $unwrap))
    (i32.add (call $value (local.get 1)))
    (i32.add (call $value (global.get $g)))
    (i32.add (call $value (table.get $t (i32.const 3))))
    (local.set 0)
    (call $value)
    (i32.add (local.get 0)))
  (func (export "rethrows") (param i32)
    (local exnref)
    (local.set 1 (call $make (i32.const 9)))
    (loop $l
      (local.set 1 (block $h (result exnref)
        (try_table (catch_all_ref $h) (throw_ref (local.get 1))) (unreachable)))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func $hold (param i32)
    (local exnref)
    (local.set 1 (call $make (local.get 0)))
    (if (local.get 0) (then (call $hold (i32.sub (local.get 0) (i32.const 1)))))
    (drop (call $value (local.get 1))))
  (func (export "hold") (param i32) (call $hold (local.get 0)))
  (func (export "plain") (param i32)
    (loop $l
      (block $h (result i32) (try_table (catch $e $h) (throw $e (i32.const 1))) (unreachable))
      (drop)
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;

#[test]
fn what_a_guest_can_reach_is_kept_and_nothing_else() {
    let i = instance(KEEPS);
    for n in [1, 1_000, 100_000] {
        let v = returned(i.run("kept", &[Val::I32(n)]).unwrap());
        assert_eq!(v, [Val::I32(54_321)], "after {n} more");
        assert!(i.exceptions().unwrap() <= 2_100, "{} alive", i.exceptions().unwrap());
    }
    i.reset().unwrap();
    assert_eq!(i.exceptions().unwrap(), 0);
}

#[test]
fn loops_that_throw_do_not_grow() {
    let n = if std::env::var_os("FULL").is_some() { 10_000_000 } else { 300_000 };
    let i = instance(KEEPS);
    // Caught without a reference: gone at once.
    returned(i.run("plain", &[Val::I32(n)]).unwrap());
    assert_eq!(i.exceptions().unwrap(), 0);
    returned(i.run("rethrows", &[Val::I32(n)]).unwrap());
    assert_eq!(i.exceptions().unwrap(), 1);
    returned(i.run("churn", &[Val::I32(n)]).unwrap());
    assert!(i.exceptions().unwrap() <= 1_100, "{} alive", i.exceptions().unwrap());
}

#[test]
fn there_is_a_limit() {
    let r = lucet::Region::new(lucet::RegionConfig {
        stack_bytes: 32 << 20,
        ..lucet::RegionConfig::default()
    })
    .unwrap();
    let m = crate::common::module(KEEPS, lucet::Imports::new());
    let i = lucet::Instance::new(&r, &m).unwrap();
    returned(i.run("hold", &[Val::I32(60_000)]).unwrap());
    let ended = i.run("hold", &[Val::I32(70_000)]).unwrap();
    assert_eq!(ended, Outcome::HostError(Status::LimitExceeded as u64));
    assert_eq!(i.exceptions().unwrap(), 1 << 16);
    i.reset().unwrap();
    returned(i.run("hold", &[Val::I32(10)]).unwrap());
}

#[test]
fn references_of_others_and_stale_ones_are_refused() {
    let (a, b) = (instance(KEEPS), instance(KEEPS));
    let one = |i: &lucet::Instance| returned(i.run("make", &[Val::I32(3)]).unwrap())[0];
    let (of_a, of_b) = (one(&a), one(&b));
    assert_ne!(of_a, of_b);
    assert_eq!(returned(a.run("value", &[of_a]).unwrap()), [Val::I32(3)]);
    for (i, v) in [(&a, of_b), (&b, of_a), (&a, Val::ExnRef(1)), (&a, Val::ExnRef(u64::MAX))] {
        assert_eq!(i.run("value", &[v]).unwrap_err().status(), Status::InvalidArgument, "{v:?}");
    }
    a.reset().unwrap();
    assert_eq!(a.run("value", &[of_a]).unwrap_err().status(), Status::InvalidArgument);
    let again = one(&a);
    assert_ne!(again, of_a);
    assert_eq!(a.run("value", &[of_a]).unwrap_err().status(), Status::InvalidArgument);
}

#[test]
fn exceptions_cannot_be_part_of_a_snapshot() {
    let i = instance(
        r#"(module
          (tag $e)
          (global (export "g") (mut exnref) (ref.null exn))
          (func (export "set")
            (global.set 0 (block (result exnref)
              (try_table (catch_all_ref 0) (throw $e)) (unreachable))))
          (func (export "clear") (global.set 0 (ref.null exn)))
          (func (export "run") (result i32)
            (block (try_table (catch $e 0) (throw $e)))
            (i32.const 8)))"#,
    );
    returned(i.run("set", &[]).unwrap());
    let e = i.snapshot(&lucet::SnapshotOptions::default()).unwrap_err();
    assert!(e.message().contains("global \"g\" holds exceptions"), "{e}");
    returned(i.run("clear", &[]).unwrap());
    let m = i.snapshot(&lucet::SnapshotOptions::default()).unwrap();
    let copy = lucet::Instance::new(&region(), &m).unwrap();
    assert_eq!(returned(copy.run("run", &[]).unwrap()), [Val::I32(8)]);
}

#[test]
fn an_exception_that_left_is_told_of_until_the_instance_is_fresh() {
    let i = instance(
        r#"(module (tag $e (export "e") (param i64))
             (func (export "f") (throw $e (i64.const 6))))"#,
    );
    assert_eq!(i.exception().unwrap_err().status(), Status::WrongState);
    let e = thrown(i.run("f", &[]).unwrap());
    assert_eq!((e.tag.as_deref(), &e.values[..]), (Some("e"), &[Val::I64(6)][..]));
    assert_eq!(i.exception().unwrap().values, e.values);
    assert_eq!(i.exceptions().unwrap(), 0);
    i.reset().unwrap();
    assert_eq!(i.exception().unwrap_err().status(), Status::WrongState);
}
