//! Tail calls: chains of any length in the stack of one call, in every way to call; how they end.

use super::kit::{Setting, imports, returned, settings, trapped, vmctx};
use lucet::{
    Control, Group, Imports, Instance, Module, ModuleConfig, Outcome, Region, RegionConfig,
    TrapCode, Val,
};
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Calls in a chain. Each would need two words of stack at least, if it needed any.
const CHAIN: i32 = 10_000_000;

/// A stack that a chain of a thousand calls would fill.
fn small(s: &Setting) -> Arc<Region> {
    Region::new(RegionConfig { stack_bytes: 16 << 10, max_instance_data: 8192, ..s.config })
        .unwrap()
}

extern "C" fn host(ctx: *const Control, _: usize, v: i32) -> i32 {
    match v {
        0 => return 7,
        1 => vmctx(ctx).trap(TrapCode::UnalignedAtomic).unwrap(),
        2 => vmctx(ctx).yield_value(2, None, 0).unwrap(),
        3 => {
            let f = vmctx(ctx).find("itself").unwrap();
            let o = vmctx(ctx).run(f, &[Val::I32(1000)]).unwrap();
            assert_eq!(o, Outcome::Returned(vec![Val::I32(77)]));
            return 8;
        }
        _ => panic!("{v}"),
    }
    0
}

extern "C" fn many(_: *const Control, _: usize, v: i32, out: *mut [u64; 6]) {
    // SAFETY: the thunk passes a place for three value slots.
    unsafe { out.write([v as u64, 0, 5.5f64.to_bits(), 0, 6, 0]) };
}

fn host_functions() -> Imports {
    imports(&[
        ("h", "(i32) -> i32", host as *const c_void, 0),
        ("many", "(i32) -> (i32, f64, i64)", many as *const c_void, 0),
    ])
}

/// `n` times an expression.
fn times(n: usize, text: &str) -> String {
    format!("{text} ").repeat(n)
}

fn guest() -> String {
    let (i20, f12) = (times(20, "i64"), times(12, "f64"));
    let (zeros, floats) = (times(19, "(i64.const 3)"), times(12, "(f64.const 2)"));
    let (wide, wide_results) = (times(12, "i64"), times(12, "(i64.const 9)"));
    format!(
        r#"(module
  (import "env" "h" (func $h (param i32) (result i32)))
  (import "env" "many" (func $many (param i32) (result i32 f64 i64)))
  (type $t (func (param i32) (result i32)))
  (table $table 4 4 funcref)
  (elem (i32.const 0) $even $odd $h $by_index)
  (elem declare func $by_ref $by_ref2 $h)
  (global $other (mut (ref null $t)) (ref.null $t))
  (memory 1)
  (func $itself (export "itself") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 77))))
    (return_call $itself (i32.sub (local.get 0) (i32.const 1))))
  (func $even (export "even") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 44))))
    (return_call $odd (i32.sub (local.get 0) (i32.const 1))))
  (func $odd (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 99))))
    (return_call $even (i32.sub (local.get 0) (i32.const 1))))
  (func $by_index (export "by_index") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 33))))
    (return_call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 3)))
  (func $by_ref (export "by_ref") (type $t)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 22))))
    (return_call_ref $t (i32.sub (local.get 0) (i32.const 1)) (ref.func $by_ref2)))
  (func $by_ref2 (type $t)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 23))))
    (return_call_ref $t (i32.sub (local.get 0) (i32.const 1)) (ref.func $by_ref)))
  ;; Few arguments, twenty, and twelve floats: some in registers, some on the stack.
  (func $few (export "sizes") (param i32) (result i32)
    (return_call $ints (i64.extend_i32_u (local.get 0)) {zeros}))
  (func $ints (param {i20}) (result i32)
    (if (i64.eqz (local.get 0)) (then (return (i32.wrap_i64
      (i64.add (local.get 7) (i64.add (local.get 13) (local.get 19)))))))
    (return_call $floats (i32.wrap_i64 (i64.sub (local.get 0) (i64.const 1))) {floats}))
  (func $floats (param i32 {f12}) (result i32)
    (if (f64.ne (f64.add (local.get 1) (local.get 12)) (f64.const 4)) (then unreachable))
    (if (i32.eqz (local.get 0)) (then (return (i32.const 5))))
    (return_call $few (i32.sub (local.get 0) (i32.const 1))))
  ;; More results than registers: the place for them is handed on.
  (func $results (export "results") (param i32) (result {wide})
    (if (i32.eqz (local.get 0)) (then (return {wide_results})))
    (return_call $results2 (i64.const 1) (i32.sub (local.get 0) (i32.const 1))))
  (func $results2 (param i64 i32) (result {wide})
    (if (i32.eqz (local.get 1)) (then (return {wide_results})))
    (return_call $results (i32.sub (local.get 1) (i32.const 1))))
  ;; What is called in the end is the host.
  (func $to_host (export "host") (param i32) (result i32) (return_call $h (local.get 0)))
  (func (export "host_many") (param i32) (result i32 f64 i64)
    (return_call $many (local.get 0)))
  (func (export "host_by_index") (param i32) (result i32)
    (return_call_indirect (type $t) (local.get 0) (i32.const 2)))
  (func (export "host_by_ref") (param i32) (result i32)
    (return_call_ref $t (local.get 0) (ref.func $h)))
  (func (export "around") (param i32) (result i32)
    (i32.add (call $to_host (local.get 0)) (i32.const 100)))
  ;; Inside of blocks, with operands that are left behind.
  (func (export "buried") (param i32) (result i32)
    (i32.const 1) (i32.const 2)
    (block (result i32) (loop (result i32)
      (f64.const 3)
      (return_call $even (local.get 0))))
    (drop) (drop))
  (func (export "trap") (param i32) (result i32) (return_call $bad (local.get 0)))
  (func $bad (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then unreachable))
    (return_call $bad (i32.sub (local.get 0) (i32.const 1))))
  (func (export "outer_trap") (param i32) (result i32)
    (i32.add (call $bad (local.get 0)) (i32.const 1)))
  (func (export "wrong") (param i32) (result i32) (return_call_indirect (local.get 0)) )
  (func (export "null") (param i32) (result i32)
    (return_call_ref $t (local.get 0) (global.get $other)))
  (func $forever (export "forever") (return_call $forever))
  (func (export "forever_by_index") (param i32) (result i32)
    (return_call_indirect (type $t) (local.get 0) (i32.const 3))))"#
    )
    .replace(
        "(return_call_indirect (local.get 0)) )",
        "(return_call_indirect (result i32) (local.get 0)))",
    )
}

fn instance(s: &Setting) -> Instance {
    Instance::new(&small(s), &s.module(&guest(), host_functions())).unwrap()
}

fn int(i: &Instance, name: &str, v: i32) -> i32 {
    match returned(i.run(name, &[Val::I32(v)]).unwrap())[..] {
        [Val::I32(v)] => v,
        ref other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn chains_of_tail_calls_need_the_stack_of_one() {
    for s in settings(2) {
        let i = instance(&s);
        for (name, v) in [("itself", 77), ("even", 44), ("by_index", 33), ("by_ref", 22)] {
            assert_eq!(int(&i, name, CHAIN), v, "{name}");
        }
        assert_eq!(int(&i, "buried", CHAIN), 44);
        assert_eq!((int(&i, "sizes", CHAIN / 10 * 2), int(&i, "sizes", 1)), (9, 5));
        let nine = vec![Val::I64(9); 12];
        for n in [0, 1, 2, CHAIN, CHAIN + 1] {
            assert_eq!(returned(i.run("results", &[Val::I32(n)]).unwrap()), nine, "{n}");
        }
    }
}

#[test]
fn the_host_may_be_last() {
    for s in settings(2) {
        let i = instance(&s);
        for name in ["host", "host_by_index", "host_by_ref"] {
            assert_eq!((int(&i, name, 0), int(&i, name, 3)), (7, 8), "{name}");
            let t = trapped(i.run(name, &[Val::I32(1)]).unwrap());
            assert_eq!(t.code, TrapCode::UnalignedAtomic);
            i.reset().unwrap();
            assert_eq!(i.run(name, &[Val::I32(2)]).unwrap(), Outcome::Yielded(2));
            assert_eq!(returned(i.resume(41).unwrap()), [Val::I32(41)]);
        }
        let three = [Val::I32(4), Val::F64(5.5), Val::I64(6)];
        assert_eq!(returned(i.run("host_many", &[Val::I32(4)]).unwrap()), three);
        assert_eq!(int(&i, "around", 0), 107);
        assert_eq!(i.run("around", &[Val::I32(2)]).unwrap(), Outcome::Yielded(2));
        assert_eq!(returned(i.resume(1).unwrap()), [Val::I32(101)]);
    }
}

#[test]
fn who_was_replaced_is_in_no_backtrace() {
    for s in settings(2) {
        let i = instance(&s);
        i.set_backtrace(true).unwrap();
        let frames = |name: &str, v: i32| {
            let t = trapped(i.run(name, &[Val::I32(v)]).unwrap());
            let frames = i.backtrace().unwrap().frames;
            i.reset().unwrap();
            i.set_backtrace(true).unwrap();
            (t.code, frames.into_iter().filter_map(|f| f.name).collect::<Vec<_>>())
        };
        let (bad, outer) = ("bad".to_owned(), "outer_trap".to_owned());
        for n in [0, 1, 2, 1000] {
            assert_eq!(frames("trap", n), (TrapCode::Unreachable, vec![bad.clone()]));
            let want = vec![bad.clone(), outer.clone()];
            assert_eq!(frames("outer_trap", n), (TrapCode::Unreachable, want));
        }
        let want = ["env.h", "to_host", "around"].map(str::to_owned).to_vec();
        assert_eq!(frames("around", 1), (TrapCode::UnalignedAtomic, want));
        assert_eq!(frames("null", 1), (TrapCode::NullReference, vec!["null".into()]));
        let wrong = |n: i32, code| assert_eq!(frames("wrong", n), (code, vec!["wrong".into()]));
        wrong(0, TrapCode::BadSignature);
        wrong(4, TrapCode::TableOutOfBounds);
        wrong(-1, TrapCode::TableOutOfBounds);
    }
}

/// The same, counting its steps.
fn counting(s: &Setting) -> Instance {
    let options = lucetc::Options { memory: s.shape, fuel: true, ..lucetc::Options::default() };
    let bytes = lucetc::compile(guest().as_bytes(), &options).unwrap_or_else(|e| panic!("{e}"));
    let config = ModuleConfig {
        imports: host_functions(),
        allow_unsigned: true,
        fuel: Some(1_000_000),
        ..ModuleConfig::default()
    };
    Instance::new(&small(s), &Module::load_bytes(&bytes, &config).unwrap()).unwrap()
}

#[test]
fn endless_chains_are_ended_from_outside() {
    for s in settings(2) {
        let (i, counting) = (instance(&s), counting(&s));
        for (name, args) in [("forever", &[][..]), ("forever_by_index", &[Val::I32(-1)][..])] {
            counting.set_fuel(1_000_000).unwrap();
            assert_eq!(counting.run(name, args).unwrap(), Outcome::OutOfFuel);
            counting.reset().unwrap();
            i.set_time_limit(5_000_000).unwrap();
            assert_eq!(i.run(name, args).unwrap(), Outcome::TimedOut);
            i.reset().unwrap();
            i.set_time_limit(0).unwrap();
            // A termination that comes before the run has begun does nothing: until it is over.
            let (other, over) = (*i, AtomicBool::new(false));
            let ended = std::thread::scope(|t| {
                t.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let _ = other.terminate();
                        std::thread::yield_now();
                    }
                });
                let ended = i.run(name, args).unwrap();
                over.store(true, Ordering::Relaxed);
                ended
            });
            assert_eq!(ended, Outcome::Terminated);
            i.reset().unwrap();
        }
    }
}

/// A exports a table; B puts its own functions and its imports of A there.
const A: &str = r#"(module
  (type $t (func (param i32) (result i32)))
  (table $table (export "t") 8 8 funcref)
  (global (export "ref") (mut (ref null $t)) (ref.null $t))
  (func (export "ping") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 11))))
    (return_call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))
  (func (export "ping_stub") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 21))))
    (return_call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 1)))
  (func (export "ping_ref") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 31))))
    (return_call_ref $t (i32.sub (local.get 0) (i32.const 1)) (global.get 0)))
  (func (export "plus") (param i32) (result i32)
    (i32.add (i32.const 1) (call_indirect (type $t) (local.get 0) (i32.const 0)))))"#;

const B: &str = r#"(module
  (import "a" "t" (table 8 8 funcref))
  (import "a" "ref" (global $ref (mut (ref null $t))))
  (import "a" "ping" (func $ping (param i32) (result i32)))
  (import "a" "ping_stub" (func $ping_stub (param i32) (result i32)))
  (import "a" "ping_ref" (func $ping_ref (param i32) (result i32)))
  (type $t (func (param i32) (result i32)))
  (memory 1)
  (global $count (mut i32) (i32.const 0))
  ;; 1: the stub of an import, which leads back to A.
  (elem (i32.const 0) $pong $ping_stub $pong_ref)
  (func $pong (export "pong") (param i32) (result i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (if (i32.eqz (local.get 0)) (then (return (i32.const 12))))
    (return_call $ping (i32.sub (local.get 0) (i32.const 1))))
  (func $pong_ref (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 32))))
    (return_call $ping_ref (i32.sub (local.get 0) (i32.const 1))))
  (func (export "begin_ref") (param i32) (result i32)
    (global.set $ref (ref.func $pong_ref))
    (return_call_ref $t (local.get 0) (ref.func $ping_ref)))
  (elem declare func $ping_ref)
  (func (export "stub") (param i32) (result i32) (return_call $ping_stub (local.get 0)))
  (func (export "count") (result i32) (global.get $count)))"#;

#[test]
fn chains_through_several_instances_need_the_stack_of_one() {
    for s in settings(3) {
        let mut g = Group::new(&small(&s));
        g.instantiate(Some("a"), &s.linkable(A, Imports::new())).unwrap();
        g.instantiate(Some("b"), &s.linkable(B, Imports::new())).unwrap();
        let (a, b) = (g.get("a").unwrap(), g.get("b").unwrap());
        assert_eq!((int(b, "pong", CHAIN), int(b, "pong", CHAIN + 1)), (12, 11));
        // Each memory and each global is that of the function's own instance.
        let count = returned(b.run("count", &[]).unwrap());
        assert_eq!(count, [Val::I32(CHAIN / 2 + 1 + CHAIN / 2 + 1)]);
        assert_eq!((int(a, "ping", CHAIN), int(a, "ping", CHAIN + 1)), (11, 12));
        // Through an element that is the stub of an import.
        assert_eq!((int(a, "ping_stub", CHAIN), int(b, "stub", CHAIN + 1)), (21, 21));
        assert_eq!((int(b, "begin_ref", CHAIN), int(b, "begin_ref", CHAIN + 1)), (31, 32));
        // Back in the caller of the first all is as it was.
        assert_eq!(int(a, "plus", CHAIN), 13);
    }
}
