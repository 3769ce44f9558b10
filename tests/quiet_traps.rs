//! Traps that need no signal raise none. The threads here block every signal that an instruction
//! can raise: a trap that still needed one would kill the process.

mod common;

use common::{compile, load, region};
use lucet::{Imports, Instance, Outcome, Trap, TrapCode, Val};
use lucet_artifact::types::MemoryShape;

const GUEST: &str = r#"(module
  (memory 1) (table 2 funcref) (elem (i32.const 0) $v) (elem $passive func $v)
  (data $bytes "abc")
  (type $i (func (result i32)))
  (global $none (ref null $i) (ref.null $i))
  (func $v)
  (func (export "div_s") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "div_u") (param i32 i32) (result i32) (i32.div_u (local.get 0) (local.get 1)))
  (func (export "rem_s") (param i32 i32) (result i32) (i32.rem_s (local.get 0) (local.get 1)))
  (func (export "rem_u") (param i32 i32) (result i32) (i32.rem_u (local.get 0) (local.get 1)))
  (func (export "div_s64") (param i64 i64) (result i64) (i64.div_s (local.get 0) (local.get 1)))
  (func (export "div_u64") (param i64 i64) (result i64) (i64.div_u (local.get 0) (local.get 1)))
  (func (export "rem_s64") (param i64 i64) (result i64) (i64.rem_s (local.get 0) (local.get 1)))
  (func (export "rem_u64") (param i64 i64) (result i64) (i64.rem_u (local.get 0) (local.get 1)))
  (func (export "div_s0") (param i32) (result i32) (i32.div_s (local.get 0) (i32.const 0)))
  (func (export "rem_u0") (param i32) (result i32) (i32.rem_u (local.get 0) (i32.const 0)))
  (func (export "neg") (param i32) (result i32) (i32.div_s (local.get 0) (i32.const -1)))
  (func (export "neg64") (param i64) (result i64) (i64.div_s (local.get 0) (i64.const -1)))
  (func (export "by7") (param i32) (result i32) (i32.div_s (local.get 0) (i32.const 7)))
  (func (export "unreachable") unreachable)
  (func (export "call") (param i32) (call_indirect (local.get 0)))
  (func (export "typed") (param i32) (result i32) (call_indirect (type $i) (local.get 0)))
  (func (export "call_ref") (result i32) (call_ref $i (global.get $none)))
  (func (export "return_call_ref") (result i32) (return_call_ref $i (global.get $none)))
  (func (export "as_non_null") (drop (ref.as_non_null (global.get $none))))
  (func (export "tail") (param i32) (return_call_indirect (local.get 0)))
  (func (export "typed tail") (param i32) (result i32)
    (return_call_indirect (type $i) (local.get 0)))
  (func (export "table.get") (param i32) (drop (table.get 0 (local.get 0))))
  (func (export "table.set") (param i32) (table.set 0 (local.get 0) (ref.null func)))
  (func (export "table.fill") (param i32)
    (table.fill 0 (local.get 0) (ref.null func) (i32.const 2)))
  (func (export "table.copy") (param i32)
    (table.copy (local.get 0) (i32.const 0) (i32.const 2)))
  (func (export "table.init") (param i32)
    (table.init $passive (local.get 0) (i32.const 0) (i32.const 1)))
  (func (export "memory.fill") (param i32)
    (memory.fill (local.get 0) (i32.const 1) (i32.const 10)))
  (func (export "memory.copy") (param i32)
    (memory.copy (local.get 0) (i32.const 0) (i32.const 10)))
  (func (export "memory.init") (param i32)
    (memory.init $bytes (local.get 0) (i32.const 0) (i32.const 3))))"#;

/// Blocks the signals that instructions raise, in this thread.
fn block() {
    // SAFETY: plain calls with a valid set.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
            libc::sigaddset(&mut set, signal);
        }
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()), 0);
    }
}

fn i32s(x: i32, y: i32) -> Vec<Val> {
    vec![Val::I32(x), Val::I32(y)]
}

fn i64s(x: i64, y: i64) -> Vec<Val> {
    vec![Val::I64(x), Val::I64(y)]
}

/// Every function with operands at which it traps.
fn traps() -> Vec<(&'static str, Vec<Val>, TrapCode)> {
    use TrapCode::{
        BadSignature, IndirectCallToNull, IntegerDivisionByZero, IntegerOverflow,
        MemoryOutOfBounds, NullReference, TableOutOfBounds, Unreachable,
    };
    let mut all = vec![
        ("div_s", i32s(i32::MIN, -1), IntegerOverflow),
        ("div_s64", i64s(i64::MIN, -1), IntegerOverflow),
        ("neg", vec![Val::I32(i32::MIN)], IntegerOverflow),
        ("neg64", vec![Val::I64(i64::MIN)], IntegerOverflow),
        ("div_s0", vec![Val::I32(1)], IntegerDivisionByZero),
        ("rem_u0", vec![Val::I32(1)], IntegerDivisionByZero),
        ("unreachable", vec![], Unreachable),
        ("call", vec![Val::I32(1)], IndirectCallToNull),
        ("call", vec![Val::I32(-1)], TableOutOfBounds),
        ("typed", vec![Val::I32(0)], BadSignature),
        ("tail", vec![Val::I32(1)], IndirectCallToNull),
        ("tail", vec![Val::I32(-1)], TableOutOfBounds),
        ("typed tail", vec![Val::I32(0)], BadSignature),
        ("call_ref", vec![], NullReference),
        ("return_call_ref", vec![], NullReference),
        ("as_non_null", vec![], NullReference),
    ];
    for name in ["div_s", "div_u", "rem_s", "rem_u"] {
        all.push((name, i32s(5, 0), IntegerDivisionByZero));
        all.push((name, i32s(i32::MIN, 0), IntegerDivisionByZero));
    }
    for name in ["div_s64", "div_u64", "rem_s64", "rem_u64"] {
        all.push((name, i64s(5, 0), IntegerDivisionByZero));
    }
    for name in ["table.get", "table.set", "table.fill", "table.copy", "table.init"] {
        all.push((name, vec![Val::I32(2)], TableOutOfBounds));
    }
    for name in ["memory.fill", "memory.copy", "memory.init"] {
        all.push((name, vec![Val::I32(65_534)], MemoryOutOfBounds));
    }
    all
}

/// Where the last operator of an exported function stands, which is the one that traps.
fn trapping_operator(wasm: &[u8], t: &Trap) -> u8 {
    wasm.get(t.wasm_offset.unwrap() as usize).copied().unwrap()
}

#[test]
fn checked_traps_raise_no_signal() {
    let wat = wast::parser::ParseBuffer::new(GUEST).unwrap();
    let wasm = wast::parser::parse::<wast::Wat<'_>>(&wat).unwrap().encode().unwrap();
    for shape in [MemoryShape::Guarded, MemoryShape::Compact] {
        let m = load(&compile(&wasm, shape), Imports::new()).unwrap();
        let r = region();
        let wasm = wasm.clone();
        // A thread that is prepared is not asked for its signal mask again.
        let quiet = std::thread::spawn(move || {
            let i = Instance::new(&r, &m).unwrap();
            assert_eq!(i.run("by7", &[Val::I32(-50)]), Ok(Outcome::Returned(vec![Val::I32(-7)])));
            drop(i);
            block();
            for (name, args, code) in traps() {
                let i = Instance::new(&r, &m).unwrap();
                let Outcome::Trapped(t) = i.run(name, &args).unwrap() else { panic!("{name}") };
                assert_eq!(t.code, code, "{name}");
                // Division and remainder, call_indirect, unreachable, table.get and table.set,
                // and the prefix of bulk operations.
                let operator = trapping_operator(&wasm, &t);
                let expected = match name {
                    "unreachable" => 0x00..=0x00,
                    "call" | "typed" => 0x11..=0x11,
                    "tail" | "typed tail" => 0x13..=0x13,
                    "call_ref" => 0x14..=0x14,
                    "return_call_ref" => 0x15..=0x15,
                    "as_non_null" => 0xd4..=0xd4,
                    "table.get" | "table.set" => 0x25..=0x26,
                    n if n.starts_with("table") || n.starts_with("memory") => 0xfc..=0xfc,
                    n if n.ends_with("64") => 0x7f..=0x82,
                    _ => 0x6d..=0x70,
                };
                assert!(expected.contains(&operator), "{name}: {operator:#x} at {t:?}");
            }
        });
        quiet.join().unwrap();
    }
}

#[test]
fn divisions_that_do_not_trap_are_right() {
    let m = load(&compile(GUEST, MemoryShape::Guarded), Imports::new()).unwrap();
    let i = Instance::new(&region(), &m).unwrap();
    let values = [0, 1, -1, 2, -2, 7, -7, i32::MAX, i32::MIN, i32::MIN + 1, 65_536, -65_536];
    let run = |name: &str, args: Vec<Val>| match i.run(name, &args) {
        Ok(Outcome::Returned(v)) => v[0],
        other => panic!("{name}{args:?}: {other:?}"),
    };
    for x in values {
        assert_eq!(run("by7", vec![Val::I32(x)]), Val::I32(x / 7));
        for y in values.into_iter().filter(|y| *y != 0) {
            let (a, b) = (i64::from(x) << 31, i64::from(y));
            if let Some(q) = x.checked_div(y) {
                assert_eq!(run("div_s", i32s(x, y)), Val::I32(q), "{x} / {y}");
            }
            assert_eq!(run("rem_s", i32s(x, y)), Val::I32(x.wrapping_rem(y)), "{x} % {y}");
            assert_eq!(run("div_u", i32s(x, y)), Val::I32((x as u32 / y as u32) as i32));
            assert_eq!(run("rem_u", i32s(x, y)), Val::I32((x as u32 % y as u32) as i32));
            assert_eq!(run("div_s64", i64s(a, b)), Val::I64(a / b), "{a} / {b}");
            assert_eq!(run("rem_s64", i64s(a, b)), Val::I64(a.wrapping_rem(b)), "{a} % {b}");
            assert_eq!(run("div_u64", i64s(a, b)), Val::I64((a as u64 / b as u64) as i64));
            assert_eq!(run("rem_u64", i64s(a, b)), Val::I64((a as u64 % b as u64) as i64));
        }
    }
    assert_eq!(run("rem_s64", i64s(i64::MIN, -1)), Val::I64(0));
}
