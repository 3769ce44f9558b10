//! Exceptions and host functions: runs inside one another, suspension, limits.

use super::{returned, thrown};
use crate::common::{host, module, region, vmctx};
use lucet::{Imports, Instance, Outcome, Status, TrapCode, Val, Vmctx};
use std::ffi::c_void;

const NESTED: &str = r#"(module
  (import "env" "again" (func $again (param i32) (result i32)))
  (import "env" "later" (func $later (param i32) (result i32)))
  (tag $e (export "e") (param i32))
  (tag $other)
  (func (export "throw") (param i32) (result i32) (throw $e (local.get 0)))
  (func (export "trap") (param i32) (result i32) (unreachable))
  (func (export "caught_inside") (param i32) (result i32)
    (block $h (result i32) (try_table (catch $e $h) (throw $e (local.get 0))) (unreachable)))
  (func $two (param i32) (result i32)
    (block $o (try_table (catch $other $o) (return (call $again (local.get 0))))) (unreachable))
  (func (export "run") (param i32) (result i32)
    (local i32)
    (local.set 1 (i32.const 1000))
    (block $h (result i32)
      (try_table (catch $e $h) (return (call $two (local.get 0)))) (unreachable))
    (i32.add (local.get 1)))
  (func (export "direct") (param i32) (result i32)
    (block $h (result i32)
      (try_table (catch $e $h) (return (call $again (local.get 0)))) (unreachable))
    (i32.add (i32.const 500)))
  (func (export "later") (param i32) (result i32)
    (block $h (result i32)
      (try_table (catch $e $h) (return (call $later (local.get 0)))) (unreachable))
    (i32.add (i32.const 200)))
  (func (export "out") (param i32) (result i32) (call $again (local.get 0)))
  (func (export "late_out") (param i32) (result i32) (call $later (local.get 0))))"#;

/// Runs the function that `what` says on the calling instance.
unsafe extern "C" fn again(ctx: *const lucet::Control, _: usize, what: i32) -> i32 {
    let ctx = vmctx(ctx);
    nested(&ctx, what)
}

fn nested(ctx: &Vmctx, what: i32) -> i32 {
    let name = ["throw", "trap", "caught_inside", "run"][what as usize % 4];
    let arg = if name == "run" { what / 4 } else { what };
    let func = ctx.find(name).unwrap();
    match ctx.run(func, &[Val::I32(arg)]).unwrap() {
        Outcome::Returned(v) => match v[..] {
            [Val::I32(v)] => v + 1,
            _ => panic!("{v:?}"),
        },
        Outcome::Exception(e) => {
            assert_eq!((e.tag.as_deref(), &e.values[..]), (Some("e"), &[Val::I32(what)][..]));
            // It goes on: nothing else can be decided.
            assert_eq!(ctx.fail(1).unwrap_err().status(), Status::WrongState);
            assert_eq!(ctx.run(func, &[Val::I32(0)]).unwrap_err().status(), Status::WrongState);
            -1
        }
        Outcome::Trapped(_) => -2,
        other => panic!("{other:?}"),
    }
}

unsafe extern "C" fn resumed(ctx: *const lucet::Control, value: u64, state: usize) -> u64 {
    let ctx = vmctx(ctx);
    assert_eq!(value, 5);
    nested(&ctx, state as i32) as u64
}

unsafe extern "C" fn later(ctx: *const lucet::Control, _: usize, what: i32) -> i32 {
    let ctx = vmctx(ctx);
    ctx.yield_value(7, Some(resumed), what as usize).unwrap();
    0
}

fn with_hosts() -> Instance {
    let mut imports = Imports::new();
    host(&mut imports, "again", "(i32) -> i32", again as *const c_void, 0);
    host(&mut imports, "later", "(i32) -> i32", later as *const c_void, 0);
    Instance::new(&region(), &module(NESTED, imports)).unwrap()
}

#[test]
fn through_host_functions() {
    let i = with_hosts();
    let run = |name: &str, what| i.run(name, &[Val::I32(what)]).unwrap();
    for _ in 0..3 {
        assert_eq!(returned(run("run", 4)), [Val::I32(1004)]);
        assert_eq!(returned(run("direct", 8)), [Val::I32(508)]);
        assert_eq!(returned(run("run", 2)), [Val::I32(3)]);
        // Two runs inside one another: the inner one's guest catches.
        assert_eq!(returned(run("run", 3)), [Val::I32(1001)]);
        let e = thrown(run("out", 12));
        assert_eq!(e.values, [Val::I32(12)]);
        assert_eq!(i.exceptions().unwrap(), 0);
    }
    // A trap is none.
    match run("run", 1) {
        Outcome::Trapped(t) => assert_eq!(t.code, TrapCode::Unreachable),
        other => panic!("{other:?}"),
    }
    i.reset().unwrap();
    assert_eq!(returned(run("run", 4)), [Val::I32(1004)]);
}

#[test]
fn when_a_suspended_host_call_is_finished() {
    let i = with_hosts();
    for _ in 0..3 {
        assert_eq!(i.run("later", &[Val::I32(4)]).unwrap(), Outcome::Yielded(7));
        assert_eq!(returned(i.resume(5).unwrap()), [Val::I32(204)]);
        assert_eq!(i.run("later", &[Val::I32(2)]).unwrap(), Outcome::Yielded(7));
        assert_eq!(returned(i.resume(5).unwrap()), [Val::I32(3)]);
        assert_eq!(i.run("late_out", &[Val::I32(8)]).unwrap(), Outcome::Yielded(7));
        assert_eq!(thrown(i.resume(5).unwrap()).values, [Val::I32(8)]);
    }
}

#[test]
fn start_functions_may_throw() {
    let m = module(
        r#"(module (tag $e (export "e") (param i32))
             (func $s (throw $e (i32.const 5))) (start $s))"#,
        Imports::new(),
    );
    let e = Instance::new(&region(), &m).unwrap_err();
    assert_eq!(e.status(), Status::StartFailed);
    assert!(e.message().contains("threw: exception \"e\" (I32(5))"), "{e}");
}

const ENDLESS: &str = r#"(module
  (tag $e (param i64))
  (func $throws (param i64) (throw $e (local.get 0)))
  (func (export "run") (param i64) (result i64)
    (local i64)
    (loop $l
      (block $h (result i64)
        (try_table (catch $e $h) (call $throws (local.get 1))) (unreachable))
      (local.set 1 (i64.add (i64.const 1)))
      (br_if $l (i64.ne (local.get 1) (local.get 0))))
    (local.get 1)))"#;

#[test]
fn time_ends_and_interrupts_a_guest_that_throws() {
    let m = module(ENDLESS, Imports::new());
    let i = Instance::new(&region(), &m).unwrap();
    i.set_time_limit(20_000_000).unwrap();
    assert_eq!(i.run("run", &[Val::I64(-1)]).unwrap(), Outcome::TimedOut);
    i.reset().unwrap();
    i.set_time_limit(0).unwrap();
    i.set_time_slice(300_000).unwrap();
    let (mut o, mut slices) = (i.run("run", &[Val::I64(200_000)]).unwrap(), 0);
    while o == Outcome::Preempted {
        slices += 1;
        o = i.resume(0).unwrap();
    }
    assert_eq!(returned(o), [Val::I64(200_000)]);
    assert!(slices > 3, "{slices} slices");
}
