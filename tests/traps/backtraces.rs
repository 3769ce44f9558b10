//! Backtraces: every kind of end, every way into a function and out of it, every depth.

use crate::kit::{Rng, imports, returned, settings, trapped, vmctx};
use lucet::{Backtrace, Control, FrameKind, Imports, Instance, InstanceRef, Outcome, Region};
use lucet::{RegionConfig, Status, TrapCode, Val};
use std::ffi::c_void;

/// `name` or what the frame is, from the inside out.
pub fn names(b: &Backtrace) -> Vec<String> {
    b.frames
        .iter()
        .map(|f| match f.kind {
            FrameKind::Omitted(n) => format!("omitted {n}"),
            FrameKind::Builtin(Some(b)) => format!("{b:?}"),
            FrameKind::Builtin(None) => "?".into(),
            FrameKind::Guest | FrameKind::Import => f.name.clone().unwrap_or_default(),
        })
        .collect()
}

fn of(i: &InstanceRef) -> Vec<String> {
    names(&i.backtrace().unwrap())
}

extern "C" fn host(ctx: *const Control, user: usize, v: i32) -> i32 {
    let ctx = vmctx(ctx);
    let run = |name: &str| {
        let f = ctx.find(name).unwrap();
        drop(ctx.run(f, &[]));
    };
    match v + user as i32 {
        0 => return 1,
        1 => ctx.trap(TrapCode::NullReference).unwrap(),
        2 => ctx.fail(9).unwrap(),
        3 => ctx.terminate().unwrap(),
        4 => ctx.exit(3).unwrap(),
        5 => ctx.yield_value(1, Some(resumed), 0).unwrap(),
        6 => run("bad"),
        7 => run("middle"),
        8 => run("again"),
        _ => panic!("{v}"),
    }
    0
}

extern "C" fn resumed(ctx: *const Control, value: u64, _: usize) -> u64 {
    host(ctx, 0, value as i32) as u64
}

const GUEST: &str = r#"(module
  (import "env" "first" (func))
  (import "env" "h" (func $h (param i32) (result i32)))
  (type $v (func)) (memory 1) (table 4 funcref) (elem (i32.const 1) $bad $middle)
  (global $zero (mut i32) (i32.const 0)) (global $n (mut i32) (i32.const 0))
  (func $bad (export "bad") unreachable)
  (func $middle (export "middle") (call $bad) (call $pad))
  (func $pad (nop))
  (func (export "outer") (call $pad) (call $middle) (call $pad))
  (func (export "indirect") (call_indirect (i32.const 2)) (call $pad))
  (func (export "load") (call $pad) (drop (i32.load (i32.const -1))))
  (func (export "divide") (drop (i32.div_s (i32.const 1) (global.get $zero))))
  (func $host (export "host") (param i32) (drop (call $h (local.get 0))) (call $pad))
  (func (export "outer_host") (param i32) (call $host (local.get 0)) (call $pad))
  (func (export "again") (drop (call $h (i32.const 6))) (call $pad))
  (func (export "fill") (memory.fill (i32.const 65530) (i32.const 1) (i32.const 7)))
  (func $deep (export "deep") (param i32)
    (if (i32.eqz (local.get 0)) (then unreachable))
    (call $deep (i32.sub (local.get 0) (i32.const 1))) (call $pad))
  (func $forever (export "forever") (param i32)
    (call $forever (i32.add (local.get 0) (i32.const 1))) (call $pad))
  (func $spin (loop $l (call $pad) (br $l)))
  (func (export "spins") (call $spin) (call $pad)))"#;

extern "C" fn nothing(_: *const Control, _: usize) {}

fn imported(user: usize) -> Imports {
    imports(&[
        ("first", "() -> ()", nothing as *const c_void, 0),
        ("h", "(i32) -> i32", host as *const c_void, user),
    ])
}

#[test]
fn every_trap_has_its_frames() {
    let cases: [(&str, &[Val], &[&str]); 8] = [
        ("bad", &[], &["bad"]),
        ("outer", &[], &["bad", "middle", "outer"]),
        ("indirect", &[], &["bad", "middle", "indirect"]),
        ("load", &[], &["load"]),
        ("divide", &[], &["divide"]),
        ("fill", &[], &["MemoryFill", "fill"]),
        ("outer_host", &[Val::I32(1)], &["env.h", "host", "outer_host"]),
        ("deep", &[Val::I32(2)], &["deep", "deep", "deep"]),
    ];
    for s in settings(2) {
        let i = s.instance(GUEST, imported(0));
        i.set_backtrace(true).unwrap();
        for (name, args, want) in cases {
            let t = trapped(i.run(name, args).unwrap());
            let b = i.backtrace().unwrap();
            assert_eq!(names(&b), want, "{name}");
            // The innermost frame in the guest is the outcome's place.
            let first = b.frames.iter().find(|f| f.kind == FrameKind::Guest).unwrap();
            assert_eq!((first.function, first.wasm_offset), (t.function, t.wasm_offset), "{name}");
            assert_eq!(first.pc, t.pc, "{name}");
            assert!(b.frames.iter().all(|f| {
                f.kind != FrameKind::Guest || f.wasm_offset.is_some() && f.module != 0
            }));
            assert_eq!(of(&i), want, "it can be read twice");
            i.reset().unwrap();
            assert_eq!(i.backtrace().unwrap_err().status(), Status::WrongState);
        }
    }
}

#[test]
fn callers_show_the_call() {
    let i = settings(1)[0].instance(GUEST, imported(0));
    i.set_backtrace(true).unwrap();
    trapped(i.run("outer", &[]).unwrap());
    let b = i.backtrace().unwrap();
    let buffer = wast::parser::ParseBuffer::new(GUEST).unwrap();
    let wasm = wast::parser::parse::<wast::Wat<'_>>(&buffer).unwrap().encode().unwrap();
    let operators: Vec<_> =
        b.frames.iter().map(|f| wasm[f.wasm_offset.unwrap() as usize]).collect();
    assert_eq!(operators, [0x00, 0x10, 0x10], "unreachable, call, call");
    let text = b.to_string();
    assert_eq!(text.lines().count(), 3);
    assert!(text.starts_with("   0: bad (function 2) at wasm offset 0x"), "{text}");
}

#[test]
fn every_other_bad_end_has_its_frames() {
    for s in settings(2) {
        let i = s.instance(GUEST, imported(0));
        i.set_backtrace(true).unwrap();
        for (v, want) in [(2, Outcome::HostError(9)), (3, Outcome::Terminated)] {
            assert_eq!(i.run("outer_host", &[Val::I32(v)]).unwrap(), want);
            assert_eq!(of(&i), ["env.h", "host", "outer_host"]);
            i.reset().unwrap();
        }
        // Asking to exit is no accident.
        assert_eq!(i.run("outer_host", &[Val::I32(4)]).unwrap(), Outcome::Exited(3));
        assert!(i.backtrace().is_err());
        i.reset().unwrap();
        // A run that ends well leaves none.
        assert_eq!(returned(i.run("outer_host", &[Val::I32(0)]).unwrap()), []);
        let e = i.backtrace().unwrap_err();
        assert!(e.message().contains("ended well"), "{e}");
    }
}

#[test]
fn runs_inside_runs_are_one_backtrace() {
    for s in settings(2) {
        let i = s.instance(GUEST, imported(0));
        i.set_backtrace(true).unwrap();
        for (v, inner) in
            [(6, &["bad"][..]), (7, &["bad", "middle"]), (8, &["bad", "env.h", "again"])]
        {
            trapped(i.run("outer_host", &[Val::I32(v)]).unwrap());
            assert_eq!(of(&i), [inner, &["env.h", "host", "outer_host"]].concat());
            i.reset().unwrap();
        }
    }
}

#[test]
fn a_suspended_instance_shows_where_it_waits() {
    for s in settings(2) {
        let i = s.instance(GUEST, imported(0));
        let waits = ["env.h", "host", "outer_host"];
        assert_eq!(i.run("outer_host", &[Val::I32(5)]).unwrap(), Outcome::Yielded(1));
        assert_eq!(of(&i), waits, "without asking for it");
        // It yields again from the resume function.
        assert_eq!(i.resume(5).unwrap(), Outcome::Yielded(1));
        assert_eq!(of(&i), waits);
        i.set_backtrace(true).unwrap();
        for (v, inner) in [(1, &[][..]), (6, &["bad"]), (8, &["bad", "env.h", "again"])] {
            assert!(matches!(i.resume(v).unwrap(), Outcome::Trapped(_)));
            assert_eq!(of(&i), [inner, &waits].concat());
            i.reset().unwrap();
            assert_eq!(i.run("outer_host", &[Val::I32(5)]).unwrap(), Outcome::Yielded(1));
        }
        assert_eq!(returned(i.resume(0).unwrap()), []);
        assert!(i.backtrace().is_err());
    }
}

#[test]
fn deep_recursion_keeps_both_ends() {
    for s in settings(1) {
        let i = s.instance(GUEST, imported(0));
        i.set_backtrace(true).unwrap();
        for depth in [46, 47, 48, 62, 63, 64, 1000] {
            trapped(i.run("deep", &[Val::I32(depth)]).unwrap());
            let (b, all) = (of(&i), depth as usize + 1);
            let omitted = b.iter().find_map(|n| n.strip_prefix("omitted "));
            let omitted: usize = omitted.map_or(0, |n| n.parse().unwrap());
            let frames = b.iter().filter(|n| *n == "deep").count();
            // The trampoline that entered the guest takes a place, and is not shown.
            assert_eq!(frames + omitted, all, "{depth}");
            assert!(b.len() <= 65, "{depth}: {}", b.len());
            assert!(all > 60 || omitted == 0, "{depth}: {omitted}");
            i.reset().unwrap();
        }
        let t = trapped(i.run("forever", &[Val::I32(0)]).unwrap());
        assert_eq!(t.code, TrapCode::StackOverflow);
        let b = i.backtrace().unwrap();
        assert!(b.frames[..48].iter().all(|f| f.name.as_deref() == Some("forever")));
        assert!(matches!(b.frames[48].kind, FrameKind::Omitted(n) if n > 1000));
        assert_eq!(b.frames.len(), 48 + 1 + 15);
    }
}

#[test]
fn where_did_it_loop() {
    for s in settings(1) {
        let i = s.instance(GUEST, imported(0));
        i.set_backtrace(true).unwrap();
        i.set_time_limit(2_000_000).unwrap();
        for _ in 0..20 {
            assert_eq!(i.run("spins", &[]).unwrap(), Outcome::TimedOut);
            let b = of(&i);
            assert!(b == ["spin", "spins"] || b == ["pad", "spin", "spins"], "{b:?}");
            i.reset().unwrap();
        }
    }
}

/// Runs that are ended at any instruction: of prologues, epilogues, calls with many arguments.
/// Whatever the place, no frame is missing and none is wrong.
#[test]
fn no_frame_is_lost_wherever_a_run_is_ended() {
    let params = "i64 ".repeat(14);
    let wat = format!(
        r#"(module (import "env" "first" (func)) (import "env" "h" (func (param i32) (result i32)))
  (memory 1) (global $n (mut i64) (i64.const 0))
  (func $leaf (param i64) (result i64) (i64.add (local.get 0) (i64.const 1)))
  (func $wide (param {params}) (result i64)
    (i64.add (call $leaf (local.get 0)) (local.get 13)))
  (func $spin
    (loop $l
      (global.set $n (call $leaf (global.get $n)))
      (global.set $n (call $wide {consts}))
      (br $l)))
  (func (export "f") (call $spin)))"#,
        consts = "(global.get $n)".repeat(14),
    );
    let legal: [&[&str]; 4] = [
        &["spin", "f"],
        &["leaf", "spin", "f"],
        &["wide", "spin", "f"],
        &["leaf", "wide", "spin", "f"],
    ];
    let mut rng = Rng(7);
    for s in settings(1) {
        let i = s.instance(&wat, imported(0));
        i.set_backtrace(true).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        let mut at = std::collections::BTreeSet::new();
        for _ in 0..4000 {
            i.set_time_limit(1000 + rng.below(60_000) as u64).unwrap();
            assert_eq!(i.run("f", &[]).unwrap(), Outcome::TimedOut);
            let trace = i.backtrace().unwrap();
            let b = names(&trace);
            let found = legal.iter().position(|l| b == *l);
            assert!(found.is_some(), "{trace} from pc {:#x}", trace.frames[0].pc);
            seen.insert(found);
            at.insert(trace.frames[0].pc);
            i.reset().unwrap();
        }
        assert_eq!(seen.len(), legal.len(), "only {seen:?} of the places were met");
        println!("ended at {} different instructions", at.len());
    }
}

#[test]
fn other_instances_are_not_in_it() {
    extern "C" fn other(_: *const Control, user: usize, _: i32) -> i32 {
        // SAFETY: the test keeps the instance alive while this can run.
        let other = unsafe { &*(user as *const Instance) };
        let _ = trapped(other.run("outer", &[]).unwrap());
        assert_eq!(of(other), ["bad", "middle", "outer"]);
        other.reset().unwrap();
        7
    }
    let s = settings(2)[0];
    let inner = s.instance(GUEST, imported(0));
    inner.set_backtrace(true).unwrap();
    let user = &raw const inner as usize;
    let host = imports(&[
        ("first", "() -> ()", nothing as *const c_void, 0),
        ("h", "(i32) -> i32", other as *const c_void, user),
    ]);
    let i = s.instance(GUEST, host);
    assert_eq!(returned(i.run("outer_host", &[Val::I32(0)]).unwrap()), []);
    assert!(i.backtrace().is_err());
}

#[test]
fn groups_show_whose_function_it_is() {
    for s in settings(4) {
        let r = s.region();
        let mut g = lucet::Group::new(&r);
        let b = s.linkable(
            r#"(module (import "env" "h" (func $h (param i32) (result i32))) (memory 1)
              (func $inner (param i32) (drop (call $h (local.get 0)))
                (drop (i32.load (i32.const -1))))
              (func (export "b") (param i32) (call $inner (local.get 0))))"#,
            imports(&[("h", "(i32) -> i32", host as *const c_void, 0)]),
        );
        let a = s.linkable(
            r#"(module (import "B" "b" (func $b (param i32)))
              (func (export "a") (param i32) (call $b (local.get 0)) (nop))
              (func (export "bad") unreachable))"#,
            Imports::new(),
        );
        g.instantiate(Some("B"), &b).unwrap();
        let i = **g.instantiate(Some("A"), &a).unwrap();
        i.set_backtrace(true).unwrap();
        for (v, want) in [
            (0, &["inner", "b", "a"][..]),
            (1, &["env.h", "inner", "b", "a"]),
            (2, &["env.h", "inner", "b", "a"]),
        ] {
            let o = i.run("a", &[Val::I32(v)]).unwrap();
            assert!(!matches!(o, Outcome::Returned(_)));
            let trace = i.backtrace().unwrap();
            assert_eq!(names(&trace), want);
            let modules: Vec<_> = trace.frames.iter().map(|f| f.module).collect();
            let n = modules.len();
            assert_eq!(modules[n - 1], a.id());
            assert!(modules[..n - 1].iter().all(|m| *m == b.id()), "{modules:?}");
            i.recover().unwrap();
        }
    }
}

#[test]
fn the_regions_setting_is_the_beginning() {
    let s = settings(1)[0];
    let m = s.module(GUEST, imported(0));
    let config = RegionConfig { backtrace: true, ..s.config };
    let r = Region::new(config).unwrap();
    for _ in 0..3 {
        let i = Instance::new(&r, &m).unwrap();
        assert!(i.backtrace().is_err());
        trapped(i.run("outer", &[]).unwrap());
        assert_eq!(of(&i).len(), 3);
        // The slot's next instance begins with the region's setting and without a backtrace.
        i.set_backtrace(false).unwrap();
        assert!(i.backtrace().is_err());
    }
    let i = s.instance(GUEST, imported(0));
    trapped(i.run("outer", &[]).unwrap());
    let e = i.backtrace().unwrap_err();
    assert_eq!(e.status(), Status::WrongState);
    assert!(e.message().contains("lucet_instance_set_backtrace"), "{e}");
}

#[test]
fn a_start_function_that_fails_says_where() {
    let s = settings(1)[0];
    let m = s.module(
        "(module (func $bad unreachable) (func $init (call $bad)) (start $init))",
        Imports::new(),
    );
    let config = RegionConfig { backtrace: true, ..s.config };
    let e = Instance::new(&Region::new(config).unwrap(), &m).unwrap_err();
    assert_eq!((e.status(), e.trap()), (Status::StartFailed, Some(TrapCode::Unreachable)));
    let lines: Vec<_> = e.message().lines().collect();
    assert_eq!(lines.len(), 3, "{e}");
    assert!(lines[1].starts_with("   0: bad (function 0) at wasm offset"), "{e}");
    assert!(lines[2].starts_with("   1: init (function 1)"), "{e}");
    let e = Instance::new(&s.region(), &m).unwrap_err();
    assert_eq!(e.message().lines().count(), 1, "{e}");
}
