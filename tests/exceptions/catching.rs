//! Throwing and catching in one instance.

use super::{returned, thrown};
use crate::common::instance;
use lucet::{Outcome, TrapCode, Val};

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

#[test]
fn a_payload_of_every_type_arrives() {
    const TYPES: &str = "i32 i64 f32 f64 v128 funcref externref exnref";
    let i = instance(&format!(
        r#"(module
          (tag $all (param {TYPES} {TYPES}))
          (tag $none)
          (func $f (export "f"))
          (func $throws (param externref exnref)
            (throw $all
              (i32.const -1) (i64.const -2) (f32.const 3.5) (f64.const 4.5)
              (v128.const i64x2 5 6) (ref.func $f) (local.get 0) (local.get 1)
              (i32.const 7) (i64.const 8) (f32.const 9) (f64.const 10)
              (v128.const i64x2 11 12) (ref.null func) (ref.null extern) (ref.null exn)))
          (func (export "run") (param externref) (result {TYPES} {TYPES})
            (local exnref)
            (local.set 1 (block (result exnref)
              (try_table (catch_all_ref 0) (throw $none)) (unreachable)))
            (block $h (result {TYPES} {TYPES})
              (try_table (catch $all $h) (call $throws (local.get 0) (local.get 1)))
              (unreachable)))
          (func (export "uncaught") (param externref)
            (call $throws (local.get 0) (ref.null exn))))"#,
    ));
    let v = returned(i.run("run", &[Val::ExternRef(99)]).unwrap());
    assert_eq!(
        v[..5],
        [Val::I32(-1), Val::I64(-2), Val::F32(3.5), Val::F64(4.5), Val::V128(6 << 64 | 5)]
    );
    assert!(matches!(v[5], Val::FuncRef(f) if f != 0), "{v:?}");
    assert_eq!(v[6], Val::ExternRef(99));
    assert!(matches!(v[7], Val::ExnRef(e) if e != 0), "{v:?}");
    assert_eq!(
        v[8..13],
        [Val::I32(7), Val::I64(8), Val::F32(9.0), Val::F64(10.0), Val::V128(12 << 64 | 11)]
    );
    assert_eq!(v[13..], [Val::FuncRef(0), Val::ExternRef(0), Val::ExnRef(0)]);
    let e = thrown(i.run("uncaught", &[Val::ExternRef(98)]).unwrap());
    assert_eq!((e.tag.as_deref(), e.index, e.values.len()), (None, 0, 16));
    assert_eq!((e.values[4], e.values[6]), (Val::V128(6 << 64 | 5), Val::ExternRef(98)));
    assert_eq!(i.exception().unwrap().values, e.values);
}

#[test]
fn frames_are_left_however_many_and_large_they_are() {
    let i = instance(
        r#"(module
          (tag $e (param i32))
          (func $deep (param i32 i64 f64 i32 i64 i32 i64 i32 i64) (result i32)
            (if (i32.eqz (local.get 0)) (then (throw $e (i32.const 77))))
            (i32.add (i32.const 1)
              (call $deep (i32.sub (local.get 0) (i32.const 1)) (local.get 1) (local.get 2)
                (local.get 3) (local.get 4) (local.get 5) (local.get 6) (local.get 7)
                (local.get 8))))
          (func (export "run") (param i32) (result i32 i64)
            (local i64)
            (local.set 1 (i64.const 123456789012))
            (block $h (result i32)
              (try_table (catch $e $h)
                (drop (call $deep (local.get 0) (i64.const 1) (f64.const 2) (i32.const 3)
                  (i64.const 4) (i32.const 5) (i64.const 6) (i32.const 7) (i64.const 8))))
              (unreachable))
            (local.get 1)))"#,
    );
    for depth in [0, 1, 10, 1_000, 5_000] {
        let v = returned(i.run("run", &[Val::I32(depth)]).unwrap());
        assert_eq!(v, [Val::I32(77), Val::I64(123_456_789_012)], "{depth} frames");
    }
}

#[test]
fn clauses_are_tried_in_order_and_the_innermost_table_first() {
    let i = instance(
        r#"(module
          (tag $a) (tag $b) (tag $c)
          (func $throws (param i32)
            (block (block (block (br_table 0 1 2 (local.get 0))) (throw $a)) (throw $b)) (throw $c))
          (func (export "run") (param i32) (result i32)
            (block $outer
              (try_table (catch_all $outer)
                (block $any
                  (block $b
                    (block $a
                      (try_table (catch $a $a) (catch $b $b) (catch $a $any)
                        (call $throws (local.get 0)))
                      (unreachable))
                    (return (i32.const 1)))
                  (return (i32.const 2)))
                (return (i32.const 3)))
              (unreachable))
            (i32.const 4)))"#,
    );
    for (n, want) in [(0, 1), (1, 2), (2, 4)] {
        assert_eq!(returned(i.run("run", &[Val::I32(n)]).unwrap()), [Val::I32(want)]);
    }
}

#[test]
fn traps_are_not_caught_and_null_is_not_thrown() {
    let i = instance(
        r#"(module
          (func $trap (unreachable))
          (func (export "trap") (block (try_table (catch_all 0) (call $trap))))
          (func (export "null") (block (try_table (catch_all 0) (throw_ref (ref.null exn))))))"#,
    );
    for (name, code) in [("trap", TrapCode::Unreachable), ("null", TrapCode::NullReference)] {
        match i.run(name, &[]).unwrap() {
            Outcome::Trapped(t) => assert_eq!((t.code, t.wasm_offset.is_some()), (code, true)),
            other => panic!("{other:?}"),
        }
        i.reset().unwrap();
    }
}

#[test]
fn a_tail_call_leaves_the_table_it_stands_in() {
    let i = instance(
        r#"(module
          (tag $e)
          (func $throws (throw $e))
          (func $tail (block (try_table (catch_all 0) (return_call $throws))))
          (func (export "run") (result i32)
            (block (try_table (catch $e 0) (call $tail)) (return (i32.const 1)))
            (i32.const 2))
          (func (export "out") (call $tail)))"#,
    );
    assert_eq!(returned(i.run("run", &[]).unwrap()), [Val::I32(2)]);
    thrown(i.run("out", &[]).unwrap());
    assert_eq!(returned(i.run("run", &[]).unwrap()), [Val::I32(2)]);
}
