//! What guests and hosts may expect: calls, memory, tables, host functions, suspension, traps.

mod common;

use common::{compile, host, instance, load, module, region, returned, trapped, vmctx};
use lucet::{Imports, Instance, Outcome, Status, TrapCode, Val};
use lucet_artifact::types::MemoryShape;
use std::ffi::c_void;

#[test]
fn adds() {
    let i = instance(
        "(module (func (export \"add\") (param i32 i32) (result i32)
           local.get 0 local.get 1 i32.add))",
    );
    let r = i.run("add", &[Val::I32(40), Val::I32(2)]).unwrap();
    assert_eq!(returned(r), [Val::I32(42)]);
}

const TRAPS: &str = r#"(module
  (memory 1) (table 2 funcref) (elem (i32.const 0) $v)
  (type $i (func (result i32)))
  (func $v)
  (func (export "unreachable") unreachable)
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "div") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "call") (param i32) (call_indirect (local.get 0)))
  (func (export "calli") (param i32) (result i32) (call_indirect (type $i) (local.get 0)))
  (func (export "trunc") (param f32) (result i32) (i32.trunc_f32_s (local.get 0)))
  (func $r (export "recurse") (call $r))
  (func (export "fill") (memory.fill (i32.const 65530) (i32.const 1) (i32.const 100)))
  (func (export "ok") (result i32) (i32.const 7)))"#;

#[test]
fn each_trap_has_its_code_and_place() {
    for shape in [MemoryShape::Guarded, MemoryShape::Compact] {
        let m = load(&compile(TRAPS, shape), Imports::new()).unwrap();
        let r = region();
        for (name, args, code) in [
            ("unreachable", vec![], TrapCode::Unreachable),
            ("load", vec![Val::I32(65533)], TrapCode::MemoryOutOfBounds),
            ("load", vec![Val::I32(-1)], TrapCode::MemoryOutOfBounds),
            ("div", vec![Val::I32(1), Val::I32(0)], TrapCode::IntegerDivisionByZero),
            ("div", vec![Val::I32(i32::MIN), Val::I32(-1)], TrapCode::IntegerOverflow),
            ("call", vec![Val::I32(1)], TrapCode::IndirectCallToNull),
            ("call", vec![Val::I32(2)], TrapCode::TableOutOfBounds),
            ("calli", vec![Val::I32(0)], TrapCode::BadSignature),
            ("trunc", vec![Val::F32(f32::NAN)], TrapCode::BadConversionToInteger),
            ("trunc", vec![Val::F32(1e20)], TrapCode::IntegerOverflow),
            ("recurse", vec![], TrapCode::StackOverflow),
            ("fill", vec![], TrapCode::MemoryOutOfBounds),
        ] {
            let i = Instance::new(&r, &m).unwrap();
            let t = trapped(i.run(name, &args).unwrap());
            assert_eq!(t.code, code, "{name}");
            assert!(t.function.is_some(), "{name}: {t:?}");
            if code != TrapCode::StackOverflow {
                assert!(t.wasm_offset.is_some(), "{name}: {t:?}");
            }
            assert_eq!(i.run("ok", &[]).unwrap_err().status(), Status::WrongState);
            i.reset().unwrap();
            assert_eq!(returned(i.run("ok", &[]).unwrap()), [Val::I32(7)], "{name}");
        }
    }
}

unsafe extern "C" fn many(
    ctx: *const lucet::Control,
    user: usize,
    a: i32,
    b: i64,
    c: f32,
    d: f64,
    e: i32,
    f: i64,
    g: i32,
    h: i64,
) -> i64 {
    let ctx = vmctx(ctx);
    assert_eq!(user, 77);
    assert_eq!(ctx.memory_size(), 65536);
    i64::from(a)
        + b * 10
        + c as i64 * 100
        + d as i64 * 1000
        + i64::from(e) * 10_000
        + f * 100_000
        + i64::from(g) * 1_000_000
        + h * 10_000_000
}

#[test]
fn host_functions_get_all_their_arguments() {
    let mut imports = Imports::new();
    host(
        &mut imports,
        "many",
        "(i32, i64, f32, f64, i32, i64, i32, i64) -> i64",
        many as *const c_void,
        77,
    );
    let m = module(
        r#"(module (import "env" "many"
             (func $m (param i32 i64 f32 f64 i32 i64 i32 i64) (result i64)))
           (memory 1)
           (func (export "f") (result i64)
             (call $m (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4) (i32.const 5)
                      (i64.const 6) (i32.const 7) (i64.const 8))))"#,
        imports,
    );
    let i = Instance::new(&region(), &m).unwrap();
    assert_eq!(returned(i.run("f", &[]).unwrap()), [Val::I64(87_654_321)]);
}

unsafe extern "C" fn yields(ctx: *const lucet::Control, _: usize, v: i32) -> i32 {
    let ctx = vmctx(ctx);
    ctx.yield_value(v as u64, None, 0).unwrap();
    0
}

#[test]
fn yields_and_resumes_on_another_thread() {
    let mut imports = Imports::new();
    host(&mut imports, "y", "(i32) -> i32", yields as *const c_void, 0);
    let m = module(
        r#"(module (import "env" "y" (func $y (param i32) (result i32)))
           (func (export "f") (param i32 i32) (result i32 i32)
             (local.get 1)
             (i32.add (call $y (local.get 0)) (call $y (i32.const 5)))))"#,
        imports,
    );
    let i = Instance::new(&region(), &m).unwrap();
    let o = i.run("f", &[Val::I32(11), Val::I32(1)]).unwrap();
    assert_eq!(o, Outcome::Yielded(11));
    let o = std::thread::scope(|s| s.spawn(|| i.resume(100).unwrap()).join().unwrap());
    assert_eq!(o, Outcome::Yielded(5));
    assert_eq!(i.run("f", &[]).unwrap_err().status(), Status::WrongState);
    assert_eq!(returned(i.resume(1).unwrap()), [Val::I32(1), Val::I32(101)]);
}

/// Test suites go on with an instance that trapped; everything is as the trap left it.
#[test]
fn a_trapped_instance_can_be_recovered_as_it_is() {
    let i = instance(
        r#"(module (memory 1) (global $g (mut i32) (i32.const 0))
           (func (export "trap")
             (i32.store (i32.const 8) (i32.const 5)) (global.set $g (i32.const 6)) (unreachable))
           (func (export "sum") (result i32)
             (i32.add (i32.load (i32.const 8)) (global.get $g))))"#,
    );
    assert_eq!(i.recover().unwrap_err().status(), Status::WrongState);
    trapped(i.run("trap", &[]).unwrap());
    assert_eq!(i.run("sum", &[]).unwrap_err().status(), Status::WrongState);
    i.recover().unwrap();
    assert_eq!(returned(i.run("sum", &[]).unwrap()), [Val::I32(11)]);
    trapped(i.run("trap", &[]).unwrap());
    i.reset().unwrap();
    assert_eq!(returned(i.run("sum", &[]).unwrap()), [Val::I32(0)]);
}

/// What never was set up completely cannot be recovered.
#[test]
fn an_instance_whose_reset_failed_is_not_recovered() {
    unsafe extern "C" fn second_time(ctx: *const lucet::Control, user: usize) {
        // SAFETY: the test lends the counter for as long as the module is used.
        let count = unsafe { &*(user as *const std::sync::atomic::AtomicU32) };
        if count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 1 {
            vmctx(ctx).trap(TrapCode::Unreachable).unwrap();
        }
    }
    let count = std::sync::atomic::AtomicU32::new(0);
    let mut imports = Imports::new();
    let user = std::ptr::from_ref(&count) as usize;
    host(&mut imports, "f", "() -> ()", second_time as *const c_void, user);
    let text = r#"(module (import "env" "f" (func $f)) (func $s (call $f)) (start $s)
                   (func (export "g") (result i32) (i32.const 3)))"#;
    let i = Instance::new(&region(), &module(text, imports)).unwrap();
    assert_eq!(i.reset().unwrap_err().status(), Status::StartFailed);
    assert_eq!(i.recover().unwrap_err().status(), Status::WrongState);
    i.reset().unwrap();
    assert_eq!(returned(i.run("g", &[]).unwrap()), [Val::I32(3)]);
}
