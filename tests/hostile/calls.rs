//! Calls between host and guest with odd types, many arguments, odd ends; start functions;
//! references.

use super::kit::{imports, returned, settings, trapped, vmctx};
use lucet::{Control, Imports, Instance, Outcome, Status, TrapCode, Val};
use std::ffi::c_void;

extern "C" fn forty(
    _: *const Control,
    user: usize,
    a0: i32,
    a1: i64,
    a2: f32,
    a3: f64,
    a4: i32,
    a5: i64,
    a6: f32,
    a7: f64,
    a8: i32,
    a9: i64,
    a10: f32,
    a11: f64,
    a12: i32,
    a13: i64,
    a14: f32,
    a15: f64,
    a16: i32,
    a17: i64,
    a18: f32,
    a19: f64,
    a20: i32,
    a21: i64,
    a22: f32,
    a23: f64,
    a24: i32,
    a25: i64,
    a26: f32,
    a27: f64,
    a28: i32,
    a29: i64,
    a30: f32,
    a31: f64,
    a32: i32,
    a33: i64,
    a34: f32,
    a35: f64,
    a36: i32,
    a37: i64,
    a38: f32,
    a39: f64,
) -> i64 {
    let mut sum = user as i64;
    sum += a0 as i64;
    sum += 2 * a1;
    sum += 3 * a2 as i64;
    sum += 4 * a3 as i64;
    sum += 5 * a4 as i64;
    sum += 6 * a5;
    sum += 7 * a6 as i64;
    sum += 8 * a7 as i64;
    sum += 9 * a8 as i64;
    sum += 10 * a9;
    sum += 11 * a10 as i64;
    sum += 12 * a11 as i64;
    sum += 13 * a12 as i64;
    sum += 14 * a13;
    sum += 15 * a14 as i64;
    sum += 16 * a15 as i64;
    sum += 17 * a16 as i64;
    sum += 18 * a17;
    sum += 19 * a18 as i64;
    sum += 20 * a19 as i64;
    sum += 21 * a20 as i64;
    sum += 22 * a21;
    sum += 23 * a22 as i64;
    sum += 24 * a23 as i64;
    sum += 25 * a24 as i64;
    sum += 26 * a25;
    sum += 27 * a26 as i64;
    sum += 28 * a27 as i64;
    sum += 29 * a28 as i64;
    sum += 30 * a29;
    sum += 31 * a30 as i64;
    sum += 32 * a31 as i64;
    sum += 33 * a32 as i64;
    sum += 34 * a33;
    sum += 35 * a34 as i64;
    sum += 36 * a35 as i64;
    sum += 37 * a36 as i64;
    sum += 38 * a37;
    sum += 39 * a38 as i64;
    sum += 40 * a39 as i64;
    sum
}

#[test]
fn forty_mixed_arguments_reach_the_host() {
    let types: Vec<_> = (0..40).map(|n| ["i32", "i64", "f32", "f64"][n % 4]).collect();
    let args: String =
        (0..40).map(|n| format!("({}.const {})", types[n], n as i32 * 3 - 50)).collect();
    let want = 1_000_000 + (0..40).map(|n| (n + 1) * (n * 3 - 50)).sum::<i64>();
    let signature = format!("({}) -> i64", types.join(", "));
    let wat = format!(
        "(module (import \"env\" \"forty\" (func $h (param {}) (result i64))) (memory 1)
           (func (export \"f\") (result i64) (call $h {args})))",
        types.join(" ")
    );
    for s in settings(1) {
        let host = imports(&[("forty", &signature, forty as *const c_void, 1_000_000)]);
        let i = s.instance(&wat, host);
        assert_eq!(returned(i.run("f", &[]).unwrap()), [Val::I64(want)]);
    }
}

type Many = extern "C" fn(*const Control, usize, i32, i32, i32, i32, i32, *mut u128);

extern "C" fn several(
    _: *const Control,
    _: usize,
    a: i32,
    b: i32,
    c: i32,
    d: i32,
    e: i32,
    out: *mut u128,
) {
    let values = [
        Val::I32(-a),
        Val::I64(i64::MIN + i64::from(b)),
        Val::F32(c as f32 + 0.5),
        Val::F64(-f64::from(d)),
        Val::ExternRef(e as u64 | 1 << 60),
    ];
    for (n, v) in values.iter().enumerate() {
        // SAFETY: the import's type has five results, and the thunk passes room for them.
        unsafe { out.add(n).write(v.to_slot()) };
    }
}

#[test]
fn several_results_come_through_the_out_pointer() {
    let f: Many = several;
    for s in settings(1) {
        let host = imports(&[(
            "several",
            "(i32, i32, i32, i32, i32) -> (i32, i64, f32, f64, externref)",
            f as *const c_void,
            0,
        )]);
        let i = s.instance(
            r#"(module (import "env" "several" (func $h (param i32 i32 i32 i32 i32)
                 (result i32 i64 f32 f64 externref)))
               (func (export "f") (param i32) (result i32 i64 f32 f64 externref)
                 (call $h (local.get 0)
                   (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5))))"#,
            host,
        );
        let want = [
            Val::I32(-1),
            Val::I64(i64::MIN + 2),
            Val::F32(3.5),
            Val::F64(-4.0),
            Val::ExternRef(5 | 1 << 60),
        ];
        assert_eq!(returned(i.run("f", &[Val::I32(1)]).unwrap()), want);
    }
}

extern "C" fn forgets(ctx: *const Control, user: usize, _out: *mut u128) {
    if user == 1 {
        vmctx(ctx).yield_value(0, None, 0).unwrap();
    }
}

/// What a host function leaves unwritten must not be what the last guest left on the stack.
#[test]
fn results_that_the_host_forgets_are_not_old_stack() {
    for s in settings(1) {
        for user in [0, 1] {
            let r = s.region();
            let deep = s.module(
                r#"(module (func $f (export "f") (param i32 i64) (result i64)
                     (if (result i64) (i32.eqz (local.get 0)) (then (local.get 1)) (else
                       (i64.add (local.get 1)
                         (call $f (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))))))"#,
                Imports::new(),
            );
            let i = Instance::new(&r, &deep).unwrap();
            i.run("f", &[Val::I32(1000), Val::I64(0x5a5a_5a5a_5a5a_5a5a)]).unwrap();
            drop(i);
            let host = imports(&[("h", "() -> (i64, i64, i64)", forgets as *const c_void, user)]);
            let m = s.module(
                r#"(module (import "env" "h" (func $h (result i64 i64 i64)))
                   (func (export "f") (result i64 i64 i64) (call $h)))"#,
                host,
            );
            let i = Instance::new(&r, &m).unwrap();
            let mut o = i.run("f", &[]).unwrap();
            if user == 1 {
                assert_eq!(o, Outcome::Yielded(0));
                o = i.resume(0).unwrap();
            }
            assert_eq!(returned(o), [Val::I64(0), Val::I64(0), Val::I64(0)], "{s:?}");
        }
    }
}

#[test]
fn a_hundred_parameters_and_results() {
    let types: Vec<_> = (0..100).map(|n| ["i64", "f32", "i32", "f64"][n % 4]).collect();
    let back: Vec<_> = types.iter().rev().copied().collect();
    let gets: String = (0..100).rev().map(|n| format!("(local.get {n})")).collect();
    let wat = format!(
        "(module (func $g (param {p}) (result {r}) {gets})
           (func (export \"f\") (param {p}) (result {r}) (call $g {all})))",
        p = types.join(" "),
        r = back.join(" "),
        all = (0..100).map(|n| format!("(local.get {n})")).collect::<String>(),
    );
    let args: Vec<Val> = (0..100)
        .map(|n| match n % 4 {
            0 => Val::I64(i64::MIN + n),
            1 => Val::F32(n as f32 + 0.25),
            2 => Val::I32(-(n as i32)),
            _ => Val::F64(-(n as f64)),
        })
        .collect();
    let want: Vec<Val> = args.iter().rev().copied().collect();
    for s in settings(1) {
        let i = s.instance(&wat, Imports::new());
        assert_eq!(returned(i.run("f", &args).unwrap()), want);
    }
}

extern "C" fn ends(ctx: *const Control, _: usize, how: i32) -> i32 {
    let ctx = vmctx(ctx);
    let (first, second) = (how % 10, how / 10);
    for (n, how) in [first, second].into_iter().enumerate() {
        let done = match how {
            0 => continue,
            1 => ctx.yield_value(11, None, 0),
            2 => ctx.trap(TrapCode::Unreachable),
            3 => ctx.fail(33),
            4 => ctx.exit(u64::MAX),
            _ => ctx.terminate(),
        };
        if n == 0 || first == 0 {
            done.unwrap();
        } else {
            assert_eq!(done.unwrap_err().status(), Status::WrongState);
        }
    }
    how
}

const ENDS: &str = r#"(module (import "env" "ends" (func $h (param i32) (result i32)))
  (global $after (export "after") (mut i32) (i32.const 0))
  (func $f (export "f") (param i32) (result i32)
    (call $h (local.get 0)) (global.set $after (i32.const 1)))
  (func (export "ok") (result i32) (i32.const 7)))"#;

#[test]
fn the_first_decision_of_a_host_function_counts() {
    for s in settings(1) {
        let i = s.instance(ENDS, imports(&[("ends", "(i32) -> i32", ends as *const c_void, 0)]));
        for second in 0..6 {
            for first in 0..6 {
                let how = second * 10 + first;
                let outcome = i.run("f", &[Val::I32(how)]).unwrap();
                match if first == 0 { second } else { first } {
                    0 => assert_eq!(returned(outcome), [Val::I32(how)]),
                    1 => assert_eq!(outcome, Outcome::Yielded(11)),
                    2 => {
                        let t = trapped(outcome);
                        assert_eq!(t.code, TrapCode::Unreachable);
                        assert_eq!(t.function_name.as_deref(), Some("f"));
                    }
                    3 => assert_eq!(outcome, Outcome::HostError(33)),
                    4 => assert_eq!(outcome, Outcome::Exited(u64::MAX)),
                    _ => assert_eq!(outcome, Outcome::Terminated),
                }
                let after = Val::I32(i32::from(how == 0));
                assert_eq!(i.global_get("after").unwrap(), after);
                if how != 0 {
                    assert_eq!(i.run("ok", &[]).unwrap_err().status(), Status::WrongState);
                }
                i.reset().unwrap();
                assert_eq!(returned(i.run("ok", &[]).unwrap()), [Val::I32(7)]);
            }
        }
    }
}

extern "C" fn start_end(ctx: *const Control, user: usize) {
    let ctx = vmctx(ctx);
    match user {
        0 => ctx.memory_write(0, b"host").unwrap(),
        1 => {
            let e = ctx.yield_value(1, None, 0).unwrap_err();
            assert_eq!(e.status(), Status::NestedYield);
            ctx.memory_write(0, b"nope").unwrap();
        }
        2 => ctx.trap(TrapCode::IntegerOverflow).unwrap(),
        3 => ctx.exit(4).unwrap(),
        4 => ctx.fail(5).unwrap(),
        5 => ctx.terminate().unwrap(),
        _ => {
            let f = ctx.find("bad").unwrap();
            assert!(matches!(ctx.run(f, &[]).unwrap(), Outcome::Trapped(_)));
        }
    }
}

#[test]
fn start_functions_that_end_in_every_way() {
    for s in settings(1) {
        let r = s.region();
        for user in 0..7 {
            let m = s.module(
                r#"(module (import "env" "h" (func $h)) (memory 1)
                     (func $s (call $h)) (start $s)
                     (func (export "bad") unreachable)
                     (func (export "f") (result i32) (i32.load (i32.const 0))))"#,
                imports(&[("h", "() -> ()", start_end as *const c_void, user)]),
            );
            let made = Instance::new(&r, &m);
            if user < 2 {
                let i = made.unwrap();
                let want = i32::from_le_bytes(if user == 0 { *b"host" } else { *b"nope" });
                assert_eq!(returned(i.run("f", &[]).unwrap()), [Val::I32(want)]);
            } else {
                let e = made.unwrap_err();
                assert_eq!(e.status(), Status::StartFailed, "{e}");
                let trap = match user {
                    2 => Some(TrapCode::IntegerOverflow),
                    6 => Some(TrapCode::Unreachable),
                    _ => None,
                };
                assert_eq!(e.trap(), trap);
            }
            assert_eq!(r.live(), 0);
        }
    }
}

#[test]
fn wrong_arguments_are_statuses() {
    for s in settings(3) {
        let text = r#"(module (func (export "f") (param i32 f64)) (memory (export "m") 1)
          (func $g (export "g") (param funcref) (result i32) (ref.is_null (local.get 0)))
          (func (export "self") (result funcref) (ref.func $g))
          (func (export "x") (param externref) (result externref) (local.get 0)))"#;
        let (a, b) = (s.module(text, Imports::new()), s.module(text, Imports::new()));
        let i = Instance::new(&s.region(), &a).unwrap();
        for args in [
            vec![],
            vec![Val::I32(1)],
            vec![Val::F64(1.0), Val::I32(1)],
            vec![Val::I32(1), Val::F32(1.0)],
            vec![Val::I32(1), Val::F64(1.0), Val::I32(1)],
        ] {
            let e = i.run("f", &args).unwrap_err();
            assert_eq!(e.status(), Status::ExportTypeMismatch, "{args:?}");
        }
        assert_eq!(i.run("m", &[]).unwrap_err().status(), Status::ExportTypeMismatch);
        assert_eq!(i.run("", &[]).unwrap_err().status(), Status::NoSuchExport);
        let strange = b.find("f", None).unwrap();
        let e = i.run_func(strange, &[Val::I32(1), Val::F64(1.0)]).unwrap_err();
        assert_eq!(e.status(), Status::InvalidArgument);

        assert_eq!(returned(i.run("g", &[Val::FuncRef(0)]).unwrap()), [Val::I32(1)]);
        let own = returned(i.run("self", &[]).unwrap())[0];
        assert_eq!(returned(i.run("g", &[own]).unwrap()), [Val::I32(0)]);
        let Val::FuncRef(own) = own else { panic!("{own:?}") };
        let other = Instance::new(&s.region(), &b).unwrap();
        let Val::FuncRef(others) = returned(other.run("self", &[]).unwrap())[0] else { panic!() };
        let local = 0u64;
        let made_up =
            [1, own + 1, own - 32, own + 3200, !0, others, &raw const local as u64, 1 << 47];
        for r in made_up {
            if r == own - 32 || r == own + 32 {
                continue;
            }
            let e = i.run("g", &[Val::FuncRef(r)]).unwrap_err();
            assert_eq!(e.status(), Status::InvalidArgument, "{r:#x}");
        }
        for x in [0, 1, u64::MAX, 0x8000_0000_0000_0000] {
            let v = [Val::ExternRef(x)];
            assert_eq!(returned(i.run("x", &v).unwrap()), v);
        }
    }
}

extern "C" fn twice(ctx: *const Control, _: usize, v: i32) -> i32 {
    if v == 50 {
        vmctx(ctx).yield_value(50, None, 0).unwrap();
    }
    if v == 60 {
        vmctx(ctx).trap(TrapCode::IntegerOverflow).unwrap();
    }
    v * 2
}

/// An import reached as an export, through a table and as start function.
#[test]
fn imports_are_functions_like_others() {
    for s in settings(1) {
        let host = || {
            imports(&[
                ("h", "(i32) -> i32", twice as *const c_void, 0),
                ("s", "() -> ()", start_end as *const c_void, 0),
            ])
        };
        let i = s.instance(
            r#"(module (import "env" "h" (func $h (param i32) (result i32)))
                 (import "env" "s" (func $s)) (memory 1) (start $s)
                 (export "direct" (func $h)) (table 1 funcref) (elem (i32.const 0) $h)
                 (func (export "table") (param i32) (result i32)
                   (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0))))"#,
            host(),
        );
        let mut start = [0; 4];
        i.memory_read(0, &mut start).unwrap();
        assert_eq!(&start, b"host");
        for name in ["direct", "table"] {
            assert_eq!(returned(i.run(name, &[Val::I32(21)]).unwrap()), [Val::I32(42)], "{name}");
            assert_eq!(i.run(name, &[Val::I32(50)]).unwrap(), Outcome::Yielded(50), "{name}");
            assert_eq!(returned(i.resume(8).unwrap()), [Val::I32(8)], "{name}");
            let t = trapped(i.run(name, &[Val::I32(60)]).unwrap());
            assert_eq!(t.code, TrapCode::IntegerOverflow, "{name}");
            i.reset().unwrap();
        }
    }
}
