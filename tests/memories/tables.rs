//! Tables with 64-bit indices.

use crate::kit::{returned, settings, trapped};
use lucet::{Group, Imports, Status, TrapCode, Val};
use std::fmt::Write as _;

const GUEST: &str = r#"(module
  (type $f (func (result i32)))
  (table $t (export "t") i64 5 20 funcref) (table $n 5 funcref) (table $x i64 2 externref)
  (elem (table $t) (i64.const 1) func $a $b) (elem (table $n) (i32.const 4) func $b)
  (elem $p func $b $a)
  (func $a (result i32) (i32.const 7)) (func $b (result i32) (i32.const 8))
  (func (export "call") (param i64) (result i32) (call_indirect $t (type $f) (local.get 0)))
  (func (export "get") (param i64) (result i32) (ref.is_null (table.get $t (local.get 0))))
  (func (export "set") (param i64) (table.set $t (local.get 0) (ref.func $a)))
  (func (export "size") (result i64) (table.size $t))
  (func (export "grow") (param i64) (result i64)
    (table.grow $t (ref.func $b) (local.get 0)))
  (func (export "fill") (param i64 i64)
    (table.fill $t (local.get 0) (ref.func $b) (local.get 1)))
  (func (export "copy") (param i64 i64 i64)
    (table.copy $t $t (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy to") (param i32 i64 i32)
    (table.copy $n $t (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy from") (param i64 i32 i32)
    (table.copy $t $n (local.get 0) (local.get 1) (local.get 2)))
  (func (export "init") (param i64 i32 i32)
    (table.init $t $p (local.get 0) (local.get 1) (local.get 2)))
  (func (export "host") (param i64 externref) (result externref)
    (table.set $x (local.get 0) (local.get 1)) (table.get $x (local.get 0))))"#;

#[test]
fn indices_are_all_64_bits() {
    use Val::{I32, I64};
    for s in settings(1) {
        let i = s.instance(GUEST, Imports::new());
        let run = |name: &str, args: &[Val]| i.run(name, args).unwrap();
        for (name, at, expected) in [("call", 1, 7), ("call", 2, 8), ("get", 0, 1), ("get", 1, 0)] {
            assert_eq!(returned(run(name, &[I64(at)])), [I32(expected)], "{name} {at}");
        }
        for at in [5, 1 << 32, (1 << 32) + 1, i64::MAX, i64::MIN, -1, 1 << 59, (1 << 59) + 1] {
            for name in ["call", "get", "set"] {
                assert_eq!(trapped(run(name, &[I64(at)])).code, TrapCode::TableOutOfBounds);
                i.recover().unwrap();
            }
            if !(0..=20).contains(&at) {
                assert_eq!(returned(run("grow", &[I64(at)])), [I64(-1)], "{at}");
            }
        }
        assert_eq!(trapped(run("call", &[I64(3)])).code, TrapCode::IndirectCallToNull);
        i.recover().unwrap();
        returned(run("set", &[I64(3)]));
        assert_eq!(returned(run("call", &[I64(3)])), [I32(7)]);
        assert_eq!(returned(run("grow", &[I64(15)])), [I64(5)]);
        assert_eq!(returned(run("grow", &[I64(1)])), [I64(-1)]);
        assert_eq!(returned(run("size", &[])), [I64(20)]);
        assert_eq!(returned(run("call", &[I64(19)])), [I32(8)]);
    }
}

#[test]
fn bulk_operations_take_64_bits() {
    use Val::{I32, I64};
    for s in settings(1) {
        let i = s.instance(GUEST, Imports::new());
        let run = |name: &str, args: &[Val]| i.run(name, args).unwrap();
        let far = 1 << 32;
        let cases: [(&str, &[Val]); 15] = [
            ("fill", &[I64(far), I64(0)]),
            ("fill", &[I64(0), I64(far)]),
            ("fill", &[I64(-1), I64(2)]),
            ("fill", &[I64(4), I64(2)]),
            ("copy", &[I64(far), I64(0), I64(0)]),
            ("copy", &[I64(0), I64(far), I64(0)]),
            ("copy", &[I64(0), I64(0), I64(far)]),
            ("copy", &[I64(-1), I64(0), I64(1)]),
            ("copy", &[I64(0), I64(-1), I64(2)]),
            ("copy to", &[I32(0), I64(far), I32(1)]),
            ("copy to", &[I32(-1), I64(0), I32(1)]),
            ("copy from", &[I64(far), I32(0), I32(1)]),
            ("copy from", &[I64(0), I32(0), I32(-1)]),
            ("init", &[I64(far), I32(0), I32(1)]),
            ("init", &[I64(0), I32(1), I32(2)]),
        ];
        for (name, args) in cases {
            let trap = trapped(run(name, args));
            assert_eq!(trap.code, TrapCode::TableOutOfBounds, "{name} {args:?}");
            i.recover().unwrap();
        }
        let kinds = || -> Vec<i32> {
            let kind = |at| match i.run("call", &[I64(at)]).unwrap() {
                lucet::Outcome::Returned(v) if v == [I32(7)] => 7,
                lucet::Outcome::Returned(_) => 8,
                _ => {
                    i.recover().unwrap();
                    0
                }
            };
            (0..5).map(kind).collect()
        };
        assert_eq!(kinds(), [0, 7, 8, 0, 0]);
        returned(run("copy", &[I64(2), I64(1), I64(2)]));
        assert_eq!(kinds(), [0, 7, 7, 8, 0]);
        returned(run("init", &[I64(3), I32(0), I32(2)]));
        assert_eq!(kinds(), [0, 7, 7, 8, 7]);
        returned(run("copy from", &[I64(0), I32(4), I32(1)]));
        returned(run("fill", &[I64(1), I64(1)]));
        assert_eq!(kinds(), [8, 8, 7, 8, 7]);
        returned(run("copy to", &[I32(0), I64(2), I32(3)]));
        returned(run("copy from", &[I64(1), I32(0), I32(2)]));
        assert_eq!(kinds(), [8, 7, 8, 8, 7]);
        let host = Val::ExternRef(99);
        assert_eq!(returned(run("host", &[I64(1), host])), [host]);
        assert_eq!(trapped(run("host", &[I64(2), host])).code, TrapCode::TableOutOfBounds);
        i.reset().unwrap();
        assert_eq!(kinds(), [0, 7, 8, 0, 0]);
    }
}

#[test]
fn members_share_them() {
    for s in settings(4) {
        let mut wat = String::from("(module (type $f (func (result i32)))");
        let _ = write!(
            wat,
            r#"(import "o" "t" (table i64 5 funcref)) (func $c (result i32) (i32.const 9))
               (elem (i64.const 4) $c)
               (func (export "call") (param i64) (result i32)
                 (call_indirect (type $f) (local.get 0)))
               (func (export "grow") (result i64) (table.grow 0 (ref.func $c) (i64.const 2))))"#
        );
        let mut g = Group::new(&s.region());
        g.instantiate(Some("o"), &s.linkable(GUEST, Imports::new())).unwrap();
        let i = g.instantiate(Some("u"), &s.linkable(&wat, Imports::new())).unwrap();
        for (at, expected) in [(1, 7), (4, 9)] {
            let got = returned(i.run("call", &[Val::I64(at)]).unwrap());
            assert_eq!(got, [Val::I32(expected)]);
        }
        assert_eq!(returned(i.run("grow", &[]).unwrap()), [Val::I64(5)]);
        let got = g.get("o").unwrap().run("call", &[Val::I64(6)]).unwrap();
        assert_eq!(returned(got), [Val::I32(9)]);
        for wrong in
            [r#"(import "o" "t" (table 5 funcref))"#, r#"(import "o" "t" (table i64 9 funcref))"#]
        {
            let m = s.linkable(&format!("(module {wrong})"), Imports::new());
            let e = g.instantiate(None, &m).unwrap_err();
            assert_eq!(e.status(), Status::ImportTypeMismatch, "{e}");
        }
    }
}
