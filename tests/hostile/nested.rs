//! Nested runs: guest, host, the same guest again, and so on.

use super::kit::{imports, returned, settings, trapped, vmctx};
use lucet::{Control, Instance, Outcome, Status, TrapCode, Val};
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

const GUEST: &str = r#"(module
  (import "env" "h" (func $h (param i32) (result i32))) (memory 1)
  (global $after (export "after") (mut i32) (i32.const 0))
  (func $f (export "f") (param i32) (result i32)
    (local i32) (local.set 1 (i32.mul (local.get 0) (i32.const 31)))
    (local.set 0 (call $h (local.get 0)))
    (global.set $after (i32.add (global.get $after) (i32.const 1)))
    (i32.add (local.get 0) (local.get 1)))
  (func (export "leaf") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func (export "bad") (param i32) (result i32) unreachable)
  (func (export "div") (param i32) (result i32) (i32.div_u (i32.const 1) (i32.const 0)))
  (func (export "oob") (param i32) (result i32) (i32.load (i32.const -1)))
  (func $r (export "deep") (param i32) (result i32) (call $r (local.get 0))))"#;

fn run(ctx: *const Control, name: &str, v: i32) -> Outcome {
    let ctx = vmctx(ctx);
    ctx.run(ctx.find(name).unwrap(), &[Val::I32(v)]).unwrap()
}

/// The result, or -1 after a bad end, which the thunk turns into the end of the run around.
fn value(o: Outcome) -> i32 {
    match o {
        Outcome::Returned(v) => match v[0] {
            Val::I32(v) => v,
            _ => panic!("{v:?}"),
        },
        _ => -1,
    }
}

extern "C" fn down(ctx: *const Control, _: usize, v: i32) -> i32 {
    if v == 0 { 0 } else { value(run(ctx, "f", v - 1)) }
}

#[test]
fn nested_runs_keep_the_frames_around_them() {
    for s in settings(1) {
        let i = s.instance(GUEST, imports(&[("h", "(i32) -> i32", down as *const c_void, 0)]));
        for depth in [0, 1, 2, 10, 50] {
            let want = (0..=depth).map(|d| d * 31).sum::<i32>();
            assert_eq!(returned(i.run("f", &[Val::I32(depth)]).unwrap()), [Val::I32(want)]);
        }
    }
}

#[test]
fn nesting_without_end_is_a_stack_overflow() {
    extern "C" fn forever(ctx: *const Control, _: usize, v: i32) -> i32 {
        value(run(ctx, "f", v + 1))
    }
    for s in settings(1) {
        let i = s.instance(GUEST, imports(&[("h", "(i32) -> i32", forever as *const c_void, 0)]));
        for _ in 0..20 {
            let t = trapped(i.run("f", &[Val::I32(0)]).unwrap());
            assert_eq!(t.code, TrapCode::StackOverflow);
            assert_eq!(i.global_get("after").unwrap(), Val::I32(0), "a run went on after the end");
            i.reset().unwrap();
            assert_eq!(returned(i.run("leaf", &[Val::I32(0)]).unwrap()), [Val::I32(1)]);
        }
    }
}

#[test]
fn a_trap_inside_ends_the_runs_around_it() {
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn bad(ctx: *const Control, user: usize, v: i32) -> i32 {
        if v > 0 {
            return value(run(ctx, "f", v - 1));
        }
        let name = ["bad", "div", "oob", "deep"][user];
        let end = run(ctx, name, 0);
        assert!(matches!(end, Outcome::Trapped(_)), "{end:?}");
        ENDED.fetch_add(1, Ordering::SeqCst);
        // Once it ended badly, nothing more is possible.
        let ctx = vmctx(ctx);
        let again = ctx.run(ctx.find("leaf").unwrap(), &[Val::I32(1)]);
        assert_eq!(again.unwrap_err().status(), Status::WrongState);
        assert_eq!(ctx.exit(1).unwrap_err().status(), Status::WrongState);
        -1
    }
    let codes = [
        TrapCode::Unreachable,
        TrapCode::IntegerDivisionByZero,
        TrapCode::MemoryOutOfBounds,
        TrapCode::StackOverflow,
    ];
    for s in settings(1) {
        for (user, code) in codes.into_iter().enumerate() {
            let host = imports(&[("h", "(i32) -> i32", bad as *const c_void, user)]);
            let i = s.instance(GUEST, host);
            for depth in [0, 1, 7] {
                let before = ENDED.load(Ordering::SeqCst);
                let t = trapped(i.run("f", &[Val::I32(depth)]).unwrap());
                assert_eq!(t.code, code);
                assert_eq!(ENDED.load(Ordering::SeqCst), before + 1);
                assert_eq!(i.global_get("after").unwrap(), Val::I32(0));
                i.reset().unwrap();
            }
        }
    }
}

#[test]
fn a_yield_inside_is_refused() {
    extern "C" fn yields(ctx: *const Control, _: usize, v: i32) -> i32 {
        if v > 0 {
            return value(run(ctx, "f", v - 1));
        }
        let e = vmctx(ctx).yield_value(1, None, 0).unwrap_err();
        assert_eq!(e.status(), Status::NestedYield);
        5
    }
    for s in settings(1) {
        let i = s.instance(GUEST, imports(&[("h", "(i32) -> i32", yields as *const c_void, 0)]));
        assert_eq!(returned(i.run("f", &[Val::I32(1)]).unwrap()), [Val::I32(36)]);
    }
}

#[test]
fn every_end_inside_is_the_end_outside() {
    extern "C" fn ends(ctx: *const Control, user: usize, v: i32) -> i32 {
        if v > 0 {
            let o = run(ctx, "f", v - 1);
            assert!(!matches!(o, Outcome::Returned(_)));
            return -1;
        }
        match user {
            0 => vmctx(ctx).exit(77).unwrap(),
            1 => vmctx(ctx).fail(78).unwrap(),
            _ => vmctx(ctx).terminate().unwrap(),
        }
        0
    }
    for s in settings(1) {
        for (user, want) in [Outcome::Exited(77), Outcome::HostError(78), Outcome::Terminated]
            .into_iter()
            .enumerate()
        {
            let host = imports(&[("h", "(i32) -> i32", ends as *const c_void, user)]);
            let i = s.instance(GUEST, host);
            for depth in 0..4 {
                assert_eq!(i.run("f", &[Val::I32(depth)]).unwrap(), want);
                assert_eq!(i.global_get("after").unwrap(), Val::I32(0));
                i.reset().unwrap();
            }
        }
    }
}

/// A host function that is not done yet may run a quite different instance, which traps or yields.
#[test]
fn another_instance_inside_a_host_function() {
    extern "C" fn other(_: *const Control, user: usize, v: i32) -> i32 {
        // SAFETY: the test keeps the instance alive while this can run.
        let other = unsafe { &*(user as *const Instance) };
        match other.run(["leaf", "bad", "deep", "oob"][v as usize], &[Val::I32(v)]).unwrap() {
            Outcome::Returned(r) => assert_eq!(r, [Val::I32(1)]),
            Outcome::Trapped(_) => other.reset().unwrap(),
            o => panic!("{o:?}"),
        }
        1000
    }
    for s in settings(3) {
        let host = || imports(&[("h", "(i32) -> i32", down as *const c_void, 0)]);
        let inner = s.instance(GUEST, host());
        let user = &raw const inner as usize;
        let i = s.instance(GUEST, imports(&[("h", "(i32) -> i32", other as *const c_void, user)]));
        for v in 0..4 {
            assert_eq!(returned(i.run("f", &[Val::I32(v)]).unwrap()), [Val::I32(1000 + 31 * v)]);
        }
    }
}
