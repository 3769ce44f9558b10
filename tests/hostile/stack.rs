//! Guest stacks run out in every way there is; it is always the same trap, never a crash.

use super::kit::{Setting, imports, returned, settings, trapped, vmctx};
use crate::common::{load, with_contract};
use lucet::{Control, Imports, Instance, Module, Outcome, RegionConfig, TrapCode, Val};
use std::ffi::c_void;
use std::sync::Arc;

/// A recursive function whose frame holds about `bytes` of locals across the call.
fn frame(bytes: usize) -> String {
    let locals = (bytes / 8).max(1);
    let mut text = String::from("(func $f (export \"f\") (param i64) (result i64)");
    for n in 0..locals {
        text += &format!("(local $l{n} i64)");
    }
    for n in 0..locals {
        text += &format!(
            "(local.set $l{n} (i64.mul (call $id (local.get 0)) (i64.const {})))",
            2 * n + 3
        );
    }
    text += "(local.set 0 (call $f (i64.add (local.get 0) (i64.const 1))))";
    for n in 0..locals {
        text += &format!("(local.set 0 (i64.xor (local.get 0) (local.get $l{n})))");
    }
    format!(
        "(module (memory 1) (global $g (export \"g\") (mut i64) (i64.const 0))
           (func $id (param i64) (result i64)
             (global.set $g (i64.add (global.get $g) (i64.const 1))) (global.get $g))
           {text} (local.get 0))
           (func (export \"ok\") (result i32) (i32.const 7)))"
    )
}

/// Without optimising, which would take long for functions of this size.
fn quick(s: &Setting, wat: &str) -> Arc<Module> {
    let options = lucetc::Options {
        memory: s.shape,
        opt_level: lucetc::OptLevel::None,
        ..lucetc::Options::default()
    };
    let artifact = lucetc::compile(wat.as_bytes(), &options).unwrap();
    // The need for stack that the compiler wrote down is a region's to check; guards do not.
    let silent = with_contract(&artifact, |c| c.min_stack = 0);
    load(&silent, Imports::new()).unwrap()
}

#[test]
fn frames_of_any_size_overflow_into_the_guard() {
    for s in settings(2) {
        for bytes in [1, 1 << 10, 8 << 10, 80 << 10, 160 << 10] {
            let m = quick(&s, &frame(bytes));
            for stack_bytes in [16 << 10, 40 << 10, 64 << 10, 256 << 10, 1 << 20] {
                let r = lucet::Region::new(RegionConfig { stack_bytes, ..s.config }).unwrap();
                let i = Instance::new(&r, &m).unwrap();
                for _ in 0..3 {
                    let t = trapped(i.run("f", &[Val::I64(1)]).unwrap());
                    assert_eq!(t.code, TrapCode::StackOverflow, "{bytes} in {stack_bytes}");
                    let Val::I64(calls) = i.global_get("g").unwrap() else { panic!() };
                    let depth = calls as u64 / (bytes as u64 / 8).max(1);
                    let room = stack_bytes + u64::from(s.config.max_instance_data);
                    assert!(depth * bytes as u64 <= room, "the frames are smaller than meant");
                    i.reset().unwrap();
                    assert_eq!(returned(i.run("ok", &[]).unwrap()), [Val::I32(7)]);
                }
            }
        }
    }
}

extern "C" fn nothing(_: *const Control, user: usize, v: i64) -> i64 {
    v + user as i64
}

extern "C" fn again(ctx: *const Control, _: usize, v: i64) -> i64 {
    let ctx = vmctx(ctx);
    let f = ctx.find("leaf").unwrap();
    match ctx.run(f, &[Val::I64(v)]).unwrap() {
        Outcome::Returned(r) => match r[0] {
            Val::I64(v) => v,
            _ => 0,
        },
        Outcome::Trapped(t) => {
            assert_eq!(t.code, TrapCode::StackOverflow);
            0
        }
        other => panic!("{other:?}"),
    }
}

extern "C" fn stop(ctx: *const Control, _: usize, v: i64) -> i64 {
    match v & 3 {
        0 => vmctx(ctx).yield_value(1, None, 0).unwrap(),
        _ => vmctx(ctx).exit(9).unwrap(),
    }
    0
}

const DEEP: &str = r#"(module
  (import "env" "h" (func $h (param i64) (result i64))) (memory 1)
  (func $f (export "f") (param i32 i64) (result i64)
    (if (result i64) (i32.eqz (local.get 0))
      (then (call $h (local.get 1)))
      (else (i64.add (i64.const 1)
        (call $f (i32.sub (local.get 0) (i32.const 1)) (local.get 1))))))
  (func (export "leaf") (param i64) (result i64) (i64.add (local.get 0) (i64.const 1))))"#;

/// Calls the host from every depth near the end of the stack; returns how often each end was seen.
fn sweep(f: *const c_void, value: i64) -> [usize; 4] {
    let mut seen = [0; 4];
    for s in settings(1) {
        let r = lucet::Region::new(RegionConfig {
            stack_bytes: 16 << 10,
            max_instance_data: 4096,
            ..s.config
        })
        .unwrap();
        let m = s.module(DEEP, imports(&[("h", "(i64) -> i64", f, 0)]));
        let i = Instance::new(&r, &m).unwrap();
        for depth in 0..1500 {
            match i.run("f", &[Val::I32(depth), Val::I64(value)]).unwrap() {
                Outcome::Returned(_) => seen[0] += 1,
                Outcome::Trapped(t) => {
                    assert_eq!(t.code, TrapCode::StackOverflow);
                    seen[1] += 1;
                }
                Outcome::Yielded(1) => {
                    seen[2] += 1;
                    returned(i.resume(3).unwrap());
                }
                Outcome::Exited(9) => seen[3] += 1,
                other => panic!("{other:?}"),
            }
            if i.run("leaf", &[Val::I64(1)]).is_err() {
                i.reset().unwrap();
            }
            assert_eq!(returned(i.run("leaf", &[Val::I64(1)]).unwrap()), [Val::I64(2)]);
        }
    }
    seen
}

#[test]
fn host_calls_at_the_very_end_of_the_stack() {
    let seen = sweep(nothing as *const c_void, 5);
    assert!(seen[0] > 300 && seen[1] > 300, "{seen:?}");
    let seen = sweep(stop as *const c_void, 0);
    assert!(seen[1] > 300 && seen[2] > 300, "{seen:?}");
    let seen = sweep(stop as *const c_void, 1);
    assert!(seen[1] > 300 && seen[3] > 300, "{seen:?}");
}

#[test]
fn nested_runs_at_the_very_end_of_the_stack() {
    let seen = sweep(again as *const c_void, 5);
    assert!(seen[0] > 300 && seen[1] > 300, "{seen:?}");
}
