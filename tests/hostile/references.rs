//! Typed references that come from the host: arguments, results of host functions, what a suspended
//! guest is resumed with, globals. Whatever is given, the guest gets a reference of the type it
//! relies on, or nothing.

use super::kit::{Setting, imports, returned, settings, vmctx};
use crate::common::c::{self, CVal};
use lucet::{Control, Error, Func, Group, Imports, Instance, InstanceRef, Outcome, Status, Val};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};

const GUEST: &str = r#"(module
  (type $t (func (param i32) (result i32)))
  (type $other (func (param i64) (result i64)))
  (import "env" "plain" (func $plain (result funcref)))
  (import "env" "maybe" (func $maybe (result (ref null $t))))
  (import "env" "sure" (func $sure (result (ref $t))))
  (import "env" "any" (func $any (result (ref func))))
  (import "env" "word" (func $word (result (ref extern))))
  (import "env" "three" (func $three (result i32 (ref null $t) (ref $t))))
  (import "env" "takes" (func $takes (param (ref null $t) (ref extern)) (result i32)))
  (memory 1)
  (global $g (export "g") (mut (ref null $t)) (ref.null $t))
  (global (export "sure_g") (mut (ref $t)) (ref.func $plus))
  (global (export "word_g") (mut externref) (ref.null extern))
  (func $plus (export "plus") (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $long (export "long") (type $other) (i64.add (local.get 0) (i64.const 1)))
  (func (export "ref_plus") (result funcref) (ref.func $plus))
  (func (export "ref_long") (result funcref) (ref.func $long))
  (func (export "call_maybe") (param (ref null $t)) (result i32)
    (call_ref $t (i32.const 1) (local.get 0)))
  (func (export "call_sure") (param (ref $t)) (result i32)
    (call_ref $t (i32.const 2) (local.get 0)))
  (func (export "call_g") (result i32) (call_ref $t (i32.const 3) (global.get $g)))
  (func (export "is_null") (param funcref) (result i32) (ref.is_null (local.get 0)))
  (func (export "takes_word") (param (ref extern)) (result i32) (ref.is_null (local.get 0)))
  (func (export "many") (param i64 i64 i64 i64 i64 i64 i64 i64 (ref $t)) (result i32)
    (call_ref $t (i32.const 4) (local.get 8)))
  (func (export "plain") (result i32) (ref.is_null (call $plain)))
  (func (export "maybe") (result i32) (call_ref $t (i32.const 5) (call $maybe)))
  (func (export "sure") (result i32) (call_ref $t (i32.const 6) (call $sure)))
  (func (export "any") (result i32) (ref.is_null (call $any)))
  (func (export "word") (result i32) (ref.is_null (call $word)))
  (func (export "three") (result i32) (local (ref null $t)) (local (ref null $t)) (local i32)
    (call $three) (local.set 1) (local.set 0) (local.set 2)
    (call_ref $t (call_ref $t (local.get 2) (local.get 0)) (local.get 1)))
  (func (export "tail") (result (ref $t)) (return_call $sure))
  (func (export "gives") (result i32)
    (call $takes (ref.func $plus) (ref.as_non_null (global.get 2)))))"#;

/// What the host functions return.
static GIVEN: AtomicU64 = AtomicU64::new(0);

fn given() -> u64 {
    GIVEN.load(Ordering::Relaxed)
}

/// Given for "yield": the value comes when the guest is resumed.
const WAIT: u64 = 2;

extern "C" fn gives(ctx: *const Control, _: usize) -> u64 {
    if given() == WAIT {
        vmctx(ctx).yield_value(0, None, 0).unwrap();
    }
    given()
}

extern "C" fn three(_: *const Control, _: usize, out: *mut [u64; 6]) {
    // SAFETY: the thunk passes a place for three value slots.
    unsafe { out.write([10, 0, given(), 0, given(), 0]) };
}

extern "C" fn takes(ctx: *const Control, _: usize, f: u64, word: u64) -> i32 {
    let ctx = vmctx(ctx);
    assert_eq!(word, 5);
    let call = ctx.find("call_maybe").unwrap();
    match ctx.run(call, &[Val::FuncRef(f)]).unwrap() {
        Outcome::Returned(v) => i32::from(v == [Val::I32(2)]),
        other => panic!("{other:?}"),
    }
}

fn host() -> Imports {
    let one = gives as *const c_void;
    imports(&[
        ("plain", "() -> funcref", one, 0),
        ("maybe", "() -> funcref", one, 0),
        ("sure", "() -> funcref", one, 0),
        ("any", "() -> funcref", one, 0),
        ("word", "() -> externref", one, 0),
        ("three", "() -> (i32, funcref, funcref)", three as *const c_void, 0),
        ("takes", "(funcref, externref) -> i32", takes as *const c_void, 0),
    ])
}

fn instance(s: &Setting) -> Instance {
    s.instance(GUEST, host())
}

fn word(i: &InstanceRef, name: &str) -> u64 {
    match returned(i.run(name, &[]).unwrap())[..] {
        [Val::FuncRef(v)] => v,
        ref other => panic!("{other:?}"),
    }
}

/// References of other instances, of the wrong type, and of nothing.
fn bad(own: &Instance, other: &Instance) -> Vec<u64> {
    let (plus, long) = (word(own, "ref_plus"), word(own, "ref_long"));
    let mut all = vec![long, plus + 8, plus - 1, plus ^ 1 << 40, 1, u64::MAX, 8, 0x7fff_0000_0000];
    // Of another module that is like it to the last bit.
    all.extend([word(other, "ref_plus"), plus + 32 * 1000]);
    all
}

fn refused(r: Result<Outcome, Error>, why: &str) {
    let e = r.expect_err(why);
    assert_eq!(e.status(), Status::InvalidArgument, "{e}");
    assert!(e.message().contains(why), "{e}");
}

#[test]
fn arguments_must_be_of_their_type() {
    for s in settings(3) {
        let (i, other) = (instance(&s), instance(&s));
        let plus = word(&i, "ref_plus");
        let one = |name: &str, v: u64| i.run(name, &[Val::FuncRef(v)]);
        assert_eq!(returned(one("call_maybe", plus).unwrap()), [Val::I32(2)]);
        assert_eq!(returned(one("call_sure", plus).unwrap()), [Val::I32(3)]);
        let eight = [Val::I64(0); 8];
        let many = |v: u64| i.run("many", &[&eight[..], &[Val::FuncRef(v)]].concat());
        assert_eq!(returned(many(plus).unwrap()), [Val::I32(5)]);
        for v in bad(&i, &other) {
            for name in ["call_maybe", "call_sure"] {
                refused(one(name, v), "a");
            }
            refused(many(v), "argument 8");
        }
        refused(one("call_maybe", word(&i, "ref_long")), "another type");
        refused(one("call_maybe", 8), "belongs to no function");
        refused(one("call_sure", 0), "null reference");
        assert_eq!(returned(one("is_null", word(&i, "ref_long")).unwrap()), [Val::I32(0)]);
        let Outcome::Trapped(t) = one("call_maybe", 0).unwrap() else { panic!() };
        assert_eq!(t.code, lucet::TrapCode::NullReference);
        i.recover().unwrap();
        assert_eq!(returned(i.run("takes_word", &[Val::ExternRef(9)]).unwrap()), [Val::I32(0)]);
        refused(i.run("takes_word", &[Val::ExternRef(0)]), "null reference");
        // The instance is as it was.
        assert_eq!(returned(one("call_sure", plus).unwrap()), [Val::I32(3)]);
    }
}

#[test]
fn what_host_functions_return_must_be_of_its_type() {
    let _one = LOCK.lock();
    const INVALID: u64 = Status::InvalidArgument as u64;
    for s in settings(3) {
        let (i, other) = (instance(&s), instance(&s));
        let (plus, long) = (word(&i, "ref_plus"), word(&i, "ref_long"));
        let run = |name: &str, v: u64| {
            GIVEN.store(v, Ordering::Relaxed);
            let o = i.run(name, &[]).unwrap();
            if !matches!(o, Outcome::Returned(_)) {
                i.reset().unwrap();
            }
            o
        };
        let int = |name: &str, v: u64| match returned(run(name, v))[..] {
            [Val::I32(v)] => v,
            ref other => panic!("{other:?}"),
        };
        assert_eq!((int("maybe", plus), int("sure", plus), int("three", plus)), (6, 7, 12));
        assert_eq!((int("plain", plus), int("plain", long), int("plain", 0)), (0, 0, 1));
        assert_eq!((int("any", long), int("word", 1)), (0, 0));
        assert_eq!(returned(run("tail", plus)), [Val::FuncRef(plus)]);
        for v in bad(&i, &other) {
            for name in ["maybe", "sure", "three", "tail"] {
                assert_eq!(run(name, v), Outcome::HostError(INVALID), "{name} {v:#x}");
            }
            if v != long {
                for name in ["plain", "any"] {
                    assert_eq!(run(name, v), Outcome::HostError(INVALID), "{name} {v:#x}");
                }
            }
        }
        for name in ["sure", "any", "word", "three", "tail"] {
            assert_eq!(run(name, 0), Outcome::HostError(INVALID), "{name}");
        }
        let Outcome::Trapped(t) = run("maybe", 0) else { panic!() };
        assert_eq!(t.code, lucet::TrapCode::NullReference);
        // What a suspended guest is resumed with.
        for (name, good) in [("maybe", 6), ("sure", 7)] {
            GIVEN.store(WAIT, Ordering::Relaxed);
            for v in bad(&i, &other) {
                assert_eq!(i.run(name, &[]).unwrap(), Outcome::Yielded(0));
                assert_eq!(i.resume(v).unwrap(), Outcome::HostError(INVALID), "{name} {v:#x}");
                i.reset().unwrap();
            }
            assert_eq!(i.run(name, &[]).unwrap(), Outcome::Yielded(0));
            assert_eq!(returned(i.resume(plus).unwrap()), [Val::I32(good)]);
        }
        i.global_set("word_g", Val::ExternRef(5)).unwrap();
        assert_eq!(int("gives", 0), 1);
    }
}

/// Tests that use [`GIVEN`] take turns.
static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn globals_take_what_their_type_allows() {
    for s in settings(3) {
        let (i, other) = (instance(&s), instance(&s));
        let plus = word(&i, "ref_plus");
        i.global_set("g", Val::FuncRef(plus)).unwrap();
        assert_eq!(i.global_get("g").unwrap(), Val::FuncRef(plus));
        assert_eq!(returned(i.run("call_g", &[]).unwrap()), [Val::I32(4)]);
        for v in bad(&i, &other) {
            for name in ["g", "sure_g"] {
                let e = i.global_set(name, Val::FuncRef(v)).unwrap_err();
                assert_eq!(e.status(), Status::InvalidArgument);
                assert!(e.message().starts_with(name), "{e}");
            }
        }
        assert!(i.global_set("g", Val::ExternRef(0)).is_err());
        assert!(i.global_set("sure_g", Val::FuncRef(0)).is_err());
        i.global_set("g", Val::FuncRef(0)).unwrap();
        i.global_set("sure_g", Val::FuncRef(plus)).unwrap();
    }
}

#[test]
fn in_a_group_references_are_those_of_all_members() {
    const A: &str = r#"(module
      (type $t (func (param i32) (result i32)))
      (table (export "t") 3 9 (ref $t) (ref.func $plus))
      (global (export "const") (ref $t) (ref.func $plus))
      (func $plus (type $t) (i32.add (local.get 0) (i32.load (i32.const 0))))
      (memory 1) (data (i32.const 0) "\01")
      (func (export "call") (param i32 (ref null $t)) (result i32)
        (call_ref $t (local.get 0) (local.get 1)))
      (func (export "ref") (result funcref) (ref.func $plus)))"#;
    const B: &str = r#"(module
      (type $before (func (result i64)))
      (type $u (func (param i32) (result i32)))
      (import "a" "t" (table 3 9 (ref $u)))
      (import "a" "const" (global $const (ref $u)))
      (import "a" "call" (func $call (param i32 (ref null $u)) (result i32)))
      (table $own 4 (ref null $u) (global.get $const))
      (elem (table $own) (i32.const 1) (ref null $u) (ref.null $u) (ref.func $twice))
      (memory 1) (data (i32.const 0) "\64")
      (func $twice (type $u) (i32.add (local.get 0) (i32.load (i32.const 0))))
      (func (export "call_const") (param i32) (result i32)
        (call_ref $u (local.get 0) (global.get $const)))
      (func (export "call_table") (param i32 i32) (result i32)
        (call_ref $u (local.get 0) (table.get 0 (local.get 1))))
      (func (export "call_own") (param i32 i32) (result i32)
        (call_indirect $own (type $u) (local.get 0) (local.get 1)))
      (func (export "set") (table.set 0 (i32.const 2) (ref.func $twice)))
      (func (export "pass") (param i32) (result i32) (call $call (local.get 0) (ref.func $twice)))
      (func $start (table.set 0 (i32.const 1) (ref.func $twice)))
      (start $start)
      (func (export "ref") (result funcref) (ref.func $twice)))"#;
    for s in settings(16) {
        let mut g = Group::new(&s.region());
        g.instantiate(Some("a"), &s.linkable(A, Imports::new())).unwrap();
        g.instantiate(Some("b"), &s.linkable(B, Imports::new())).unwrap();
        let (a, b) = (g.get("a").unwrap(), g.get("b").unwrap());
        let int = |i: &Instance, name: &str, args: &[i32]| {
            let args: Vec<_> = args.iter().map(|v| Val::I32(*v)).collect();
            match i.run(name, &args).unwrap() {
                Outcome::Returned(v) => v[0],
                Outcome::Trapped(t) => {
                    i.recover().unwrap();
                    Val::I32(-i32::from(t.code as u8))
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(int(b, "call_const", &[7]), Val::I32(8));
        let table: Vec<_> = (0..4).map(|n| int(b, "call_table", &[7, n])).collect();
        assert_eq!(table, [8, 107, 8, -3].map(Val::I32));
        b.run("set", &[]).unwrap();
        assert_eq!(int(b, "call_table", &[7, 2]), Val::I32(107));
        let own: Vec<_> = (0..4).map(|n| int(b, "call_own", &[7, n])).collect();
        assert_eq!(own, [8, -4, 107, 8].map(Val::I32));
        assert_eq!(int(b, "pass", &[1]), Val::I32(101));
        // The host may hand on what it got, to any member.
        let (ra, rb) = (word(a, "ref"), word(b, "ref"));
        for (r, sum) in [(ra, 2), (rb, 101)] {
            let o = a.run("call", &[Val::I32(1), Val::FuncRef(r)]).unwrap();
            assert_eq!(returned(o), [Val::I32(sum)]);
        }
        // Types of the same index in both modules, but not the same; and other element types.
        for import in [
            r#"(import "a" "t" (table 3 9 funcref))"#,
            r#"(import "a" "t" (table 3 9 (ref null $u)))"#,
            r#"(import "a" "t" (table 3 9 (ref $v)))"#,
            r#"(import "a" "const" (global (ref $v)))"#,
            r#"(import "a" "const" (global (mut (ref $u))))"#,
            r#"(import "a" "call" (func (param i32 (ref null $v)) (result i32)))"#,
            r#"(import "a" "call" (func (param i32 (ref $u)) (result i32)))"#,
        ] {
            let wat = format!(
                "(module (type $v (func (param i32) (result i64)))
                   (type $u (func (param i32) (result i32))) {import})"
            );
            let e = g.instantiate(None, &s.linkable(&wat, Imports::new())).unwrap_err();
            assert_eq!(e.status(), Status::ImportTypeMismatch, "{import}: {e}");
        }
        for import in [
            r#"(import "a" "const" (global (ref func)))"#,
            r#"(import "a" "const" (global funcref))"#,
            r#"(import "a" "const" (global (ref null $u)))"#,
        ] {
            let wat = format!("(module (type $u (func (param i32) (result i32))) {import})");
            g.instantiate(None, &s.linkable(&wat, Imports::new())).unwrap();
        }
    }
}

/// Calls a function of one reference as C does, on the shortest path if that is open.
fn from_c(i: &Instance, f: Func, reference: u64) -> (i32, u64) {
    let mut result = [CVal::new(0, c::I32)];
    let (status, _) = c::run_func(**i, f, &[CVal::new(reference, c::FUNCREF)], &mut result);
    (status, result[0].bits())
}

#[test]
fn the_shortest_path_is_not_open_to_typed_references() {
    let s = settings(2)[0];
    let (i, other) = (instance(&s), instance(&s));
    let plus = word(&i, "ref_plus");
    for (name, sum) in [("call_maybe", 2), ("call_sure", 3)] {
        let f = i.module().unwrap().find(name, None).unwrap();
        // C may write the type as the host knows it.
        let ty = lucet::parse_signature("(funcref) -> i32").unwrap();
        assert_eq!(i.module().unwrap().find(name, Some(&ty)).unwrap(), f);
        for _ in 0..3 {
            assert_eq!(from_c(&i, f, plus), (0, sum));
            for v in bad(&i, &other) {
                assert_eq!(from_c(&i, f, v).0, Status::InvalidArgument as i32, "{name} {v:#x}");
            }
        }
    }
}
