//! Suspended instances: what resume functions may do, and what happens to the frames below.

use super::kit::{imports, returned, settings, trapped, vmctx};
use lucet::{Control, Instance, Outcome, Status, TrapCode, Val};
use std::ffi::c_void;

const GUEST: &str = r#"(module
  (import "env" "h" (func $h (param i64) (result i64))) (memory 1)
  (func $f (export "f") (param i64) (result i64)
    (local i64 i64) (local.set 1 (i64.mul (local.get 0) (i64.const 1000)))
    (local.set 2 (i64.xor (local.get 0) (i64.const -1)))
    (local.set 0 (call $h (local.get 0)))
    (if (i64.ne (i64.xor (local.get 2) (i64.const -1)) (i64.div_s (local.get 1) (i64.const 1000)))
      (then unreachable))
    (i64.add (local.get 0) (local.get 1)))
  (func (export "leaf") (param i64) (result i64) (i64.add (local.get 0) (i64.const 1)))
  (func $eat (export "eat") (param i64) (result i64)
    (if (result i64) (i64.eqz (local.get 0)) (then (i64.const 0)) (else
      (i64.add (local.get 0) (call $eat (i64.sub (local.get 0) (i64.const 1)))))))
  (func (export "bad") (param i64) (result i64) unreachable))"#;

fn run(ctx: *const Control, name: &str, v: i64) -> Outcome {
    let ctx = vmctx(ctx);
    ctx.run(ctx.find(name).unwrap(), &[Val::I64(v)]).unwrap()
}

/// What `finish` does is chosen by the value given to `resume`.
extern "C" fn finish(ctx: *const Control, value: u64, state: usize) -> u64 {
    let v = vmctx(ctx);
    match value {
        0..100 => return value + state as u64,
        100 => v.yield_value(7, Some(finish), state + 1).unwrap(),
        101 => v.yield_value(8, None, 0).unwrap(),
        102 => v.trap(TrapCode::IntegerOverflow).unwrap(),
        103 => v.fail(3).unwrap(),
        104 => v.exit(4).unwrap(),
        105 => v.terminate().unwrap(),
        106 => assert_eq!(run(ctx, "leaf", 5), Outcome::Returned(vec![Val::I64(6)])),
        107 => assert_eq!(run(ctx, "eat", 300), Outcome::Returned(vec![Val::I64(45150)])),
        108 => assert!(matches!(run(ctx, "bad", 5), Outcome::Trapped(_))),
        // A nested run whose host function runs nested again, thrice.
        109 => assert_eq!(run(ctx, "f", 1003), Outcome::Returned(vec![Val::I64(1_003_006)])),
        // A nested run whose host function yields, which must be refused.
        110 => assert_eq!(run(ctx, "f", 2000), Outcome::Returned(vec![Val::I64(2_000_055)])),
        111 => {
            v.yield_value(9, None, 0).unwrap();
            assert_eq!(v.exit(1).unwrap_err().status(), Status::WrongState);
            assert_eq!(v.yield_value(1, None, 0).unwrap_err().status(), Status::WrongState);
        }
        112 => {
            let i = v.instance();
            assert_eq!(i.free().unwrap_err().status(), Status::Busy);
            assert_eq!(i.reset().unwrap_err().status(), Status::Busy);
            assert_eq!(i.resume(0).unwrap_err().status(), Status::Busy);
        }
        _ => panic!("{value}"),
    }
    42
}

extern "C" fn host(ctx: *const Control, _: usize, v: i64) -> i64 {
    match v {
        0..1000 => vmctx(ctx).yield_value(v as u64, Some(finish), 10).unwrap(),
        1000 => return 0,
        1001..2000 => match run(ctx, "f", v - 1) {
            Outcome::Returned(r) => {
                let Val::I64(sum) = r[0] else { panic!() };
                return sum - (v - 1) * 1000 + v - 1000;
            }
            o => panic!("{o:?}"),
        },
        _ => {
            let e = vmctx(ctx).yield_value(1, None, 0).unwrap_err();
            assert_eq!(e.status(), Status::NestedYield);
            return 55;
        }
    }
    -1
}

fn suspended(i: &Instance) {
    assert_eq!(i.run("f", &[Val::I64(3)]).unwrap(), Outcome::Yielded(3));
}

fn each(mut f: impl FnMut(&Instance)) {
    for s in settings(2) {
        let i = s.instance(GUEST, imports(&[("h", "(i64) -> i64", host as *const c_void, 0)]));
        f(&i);
        i.reset().unwrap();
        assert_eq!(returned(i.run("leaf", &[Val::I64(0)]).unwrap()), [Val::I64(1)]);
    }
}

#[test]
fn resume_functions_give_the_result() {
    each(|i| {
        suspended(i);
        assert_eq!(returned(i.resume(5).unwrap()), [Val::I64(3015)]);
        suspended(i);
        for _ in 0..5 {
            assert_eq!(i.resume(100).unwrap(), Outcome::Yielded(7));
        }
        assert_eq!(returned(i.resume(6).unwrap()), [Val::I64(3021)]);
        suspended(i);
        assert_eq!(i.resume(101).unwrap(), Outcome::Yielded(8));
        assert_eq!(returned(i.resume(100).unwrap()), [Val::I64(3100)]);
        suspended(i);
        assert_eq!(i.resume(111).unwrap(), Outcome::Yielded(9));
        assert_eq!(returned(i.resume(1).unwrap()), [Val::I64(3001)]);
        suspended(i);
        assert_eq!(returned(i.resume(112).unwrap()), [Val::I64(3042)]);
        assert_eq!(i.resume(0).unwrap_err().status(), Status::WrongState);
    });
}

#[test]
fn resume_functions_end_the_run() {
    each(|i| {
        for value in [102, 103, 104, 105, 108] {
            suspended(i);
            let o = i.resume(value).unwrap();
            match value {
                102 | 108 => {
                    let t = trapped(o);
                    let name = if value == 102 { "f" } else { "bad" };
                    assert_eq!(t.function_name.as_deref(), Some(name));
                }
                103 => assert_eq!(o, Outcome::HostError(3)),
                104 => assert_eq!(o, Outcome::Exited(4)),
                _ => assert_eq!(o, Outcome::Terminated),
            }
            assert_eq!(i.resume(0).unwrap_err().status(), Status::WrongState);
            i.reset().unwrap();
        }
    });
}

#[test]
fn nested_runs_in_resume_functions_keep_the_suspended_frames() {
    each(|i| {
        for value in [106, 107] {
            suspended(i);
            assert_eq!(returned(i.resume(value).unwrap()), [Val::I64(3042)]);
        }
    });
}

#[test]
fn nested_runs_within_nested_runs_in_resume_functions() {
    each(|i| {
        suspended(i);
        assert_eq!(returned(i.resume(109).unwrap()), [Val::I64(3042)]);
    });
}

#[test]
fn yields_in_nested_runs_in_resume_functions_are_refused() {
    each(|i| {
        suspended(i);
        assert_eq!(returned(i.resume(110).unwrap()), [Val::I64(3042)]);
    });
}

#[test]
fn suspended_instances_are_dropped_and_reset() {
    for s in settings(1) {
        let r = s.region();
        let m = s.module(GUEST, imports(&[("h", "(i64) -> i64", host as *const c_void, 0)]));
        for n in 0..500 {
            let i = Instance::new(&r, &m).unwrap();
            suspended(&i);
            if n % 2 == 0 {
                i.reset().unwrap();
                assert_eq!(i.resume(0).unwrap_err().status(), Status::WrongState);
                suspended(&i);
            }
            if n % 3 == 0 {
                assert_eq!(i.resume(100).unwrap(), Outcome::Yielded(7));
            }
        }
        assert_eq!(r.live(), 0);
    }
}

#[test]
fn each_resume_on_another_thread() {
    each(|i| {
        for _ in 0..10 {
            suspended(i);
            for value in [100, 100, 106, 5] {
                let o =
                    std::thread::scope(|s| s.spawn(|| i.resume(value).unwrap()).join().unwrap());
                match value {
                    100 => assert_eq!(o, Outcome::Yielded(7)),
                    106 => {
                        assert_eq!(returned(o), [Val::I64(3042)]);
                        break;
                    }
                    _ => unreachable!(),
                }
            }
        }
    });
}

extern "C" fn float(ctx: *const Control, user: usize) -> f64 {
    vmctx(ctx).yield_value(user as u64, None, 0).unwrap();
    0.0
}

#[test]
fn resume_values_are_results_of_every_type() {
    for s in settings(1) {
        for (ty, bits, want) in [
            ("i32", 0xffff_fff0, Val::I32(-16)),
            ("i64", u64::MAX - 1, Val::I64(-2)),
            ("f32", u64::from(1.5f32.to_bits()), Val::F32(1.5)),
            ("f64", (-2.25f64).to_bits(), Val::F64(-2.25)),
            ("externref", 1 << 63, Val::ExternRef(1 << 63)),
        ] {
            let wat = format!(
                "(module (import \"env\" \"h\" (func $h (result {ty})))
                   (func (export \"f\") (result {ty}) (call $h)))"
            );
            let signature = format!("() -> {ty}");
            let i = s.instance(&wat, imports(&[("h", &signature, float as *const c_void, 3)]));
            assert_eq!(i.run("f", &[]).unwrap(), Outcome::Yielded(3));
            assert_eq!(returned(i.resume(bits).unwrap()), [want]);
        }
    }
}
