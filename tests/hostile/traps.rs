//! Every trap, at every kind of place, with its exact offset in the wasm file; and many of them.

use super::kit::{Setting, imports, returned, settings, trapped, vmctx};
use lucet::{Control, Imports, Instance, Outcome, Status, Trap, TrapCode, Val};
use std::ffi::c_void;

/// Name, body that traps, opcode bytes that the offset must point at, code.
const KINDS: [(&str, &str, &[u8], TrapCode); 17] = [
    ("unreachable", "unreachable", &[0x00], TrapCode::Unreachable),
    ("oob", "(drop (i32.load (i32.const -1)))", &[0x28], TrapCode::MemoryOutOfBounds),
    ("oob8", "(drop (i64.load8_s (i32.const 65536)))", &[0x30], TrapCode::MemoryOutOfBounds),
    (
        "oob_store",
        "(f64.store (i32.const 65529) (f64.const 0))",
        &[0x39],
        TrapCode::MemoryOutOfBounds,
    ),
    (
        "far",
        "(drop (i32.load offset=0x40000000 (i32.const 0)))",
        &[0x28],
        TrapCode::MemoryOutOfBounds,
    ),
    (
        "div",
        "(drop (i32.div_s (global.get $one) (global.get $zero)))",
        &[0x6d],
        TrapCode::IntegerDivisionByZero,
    ),
    (
        "rem",
        "(drop (i64.rem_u (i64.const 1) (i64.extend_i32_u (global.get $zero))))",
        &[0x82],
        TrapCode::IntegerDivisionByZero,
    ),
    (
        "over",
        "(drop (i32.div_s (global.get $min) (i32.sub (global.get $zero) (global.get $one))))",
        &[0x6d],
        TrapCode::IntegerOverflow,
    ),
    (
        "trunc",
        "(drop (i32.trunc_f32_s (f32.reinterpret_i32 (global.get $min2))))",
        &[0xa8],
        TrapCode::IntegerOverflow,
    ),
    (
        "nan",
        "(drop (i64.trunc_f64_u (f64.div (f64.const 0) (f64.convert_i32_s (global.get $zero)))))",
        &[0xb1],
        TrapCode::BadConversionToInteger,
    ),
    ("null", "(call_indirect (i32.const 0))", &[0x11], TrapCode::IndirectCallToNull),
    ("table", "(call_indirect (i32.const 9))", &[0x11], TrapCode::TableOutOfBounds),
    (
        "sig",
        "(call_indirect (param i64) (i64.const 1) (i32.const 1))",
        &[0x11],
        TrapCode::BadSignature,
    ),
    ("get", "(drop (table.get $t (i32.const 9)))", &[0x25], TrapCode::TableOutOfBounds),
    (
        "fill",
        "(memory.fill (i32.const 65530) (i32.const 1) (i32.const 7))",
        &[0xfc, 0x0b],
        TrapCode::MemoryOutOfBounds,
    ),
    (
        "copy",
        "(memory.copy (i32.const 0) (i32.const 65530) (i32.const 7))",
        &[0xfc, 0x0a],
        TrapCode::MemoryOutOfBounds,
    ),
    ("tset", "(table.set $t (i32.const 8) (ref.null func))", &[0x26], TrapCode::TableOutOfBounds),
];

extern "C" fn pass(ctx: *const Control, _: usize, how: i32) {
    if how == 1 {
        vmctx(ctx).yield_value(1, None, 0).unwrap();
    }
}

fn wat(body: &str, start: bool) -> String {
    let start = if start { "(start $caller)" } else { "" };
    format!(
        r#"(module (import "env" "h" (func $h (param i32)))
  (type $v (func)) (memory 1)
  (table $t 6 funcref) (elem (i32.const 1) $pad $guilty $caller $late)
  (global $zero (mut i32) (i32.const 0)) (global $one (mut i32) (i32.const 1))
  (global $min (mut i32) (i32.const 0x80000000)) (global $min2 (mut i32) (i32.const 0x7f000000))
  (func $pad)
  (func $guilty (export "guilty") {body})
  (func $caller (export "caller") (call $pad) (call $guilty) (call $pad))
  (func (export "indirect") (call_indirect (i32.const 2)) (call $pad))
  (func $late (export "late") (local i32) (call $h (i32.const 0))
    (loop (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get 0) (i32.const 3)))) {body} (call $pad))
  (func (export "yield") (call $h (i32.const 1)) {body})
  (func (export "ok") (result i32) (i32.const 7))
  {start})"#
    )
}

fn host() -> Imports {
    imports(&[("h", "(i32) -> ()", pass as *const c_void, 0)])
}

fn binary(text: &str) -> Vec<u8> {
    let buffer = wast::parser::ParseBuffer::new(text).unwrap();
    wast::parser::parse::<wast::Wat<'_>>(&buffer).unwrap().encode().unwrap()
}

fn check(t: &Trap, wasm: &[u8], kind: usize, function: &str, place: &str) {
    let (name, _, opcode, code) = KINDS[kind];
    let what = format!("{name} in {place}: {t}");
    assert_eq!(t.code, code, "{what}");
    assert_eq!(t.function_name.as_deref(), Some(function), "{what}");
    let at = t.wasm_offset.unwrap_or_else(|| panic!("{what}: no offset")) as usize;
    assert_eq!(wasm.get(at..at + opcode.len()), Some(opcode), "{what}");
}

#[test]
fn every_trap_at_every_place() {
    for s in settings(4) {
        for (kind, (_, body, _, code)) in KINDS.iter().enumerate() {
            let text = wat(body, false);
            let (wasm, m, r) = (binary(&text), s.module(&text, host()), s.region());
            let sibling = Instance::new(&r, &m).unwrap();
            assert_eq!(sibling.run("yield", &[]).unwrap(), Outcome::Yielded(1));
            let i = Instance::new(&r, &m).unwrap();
            let mut offsets = Vec::new();
            for (export, function) in [
                ("guilty", "guilty"),
                ("caller", "guilty"),
                ("indirect", "guilty"),
                ("late", "late"),
            ] {
                let t = trapped(i.run(export, &[]).unwrap());
                check(&t, &wasm, kind, function, export);
                let imported = 1;
                let want = imported + if function == "guilty" { 1 } else { 4 };
                assert_eq!(t.function, Some(want), "{t}");
                offsets.push(t.wasm_offset);
                i.reset().unwrap();
            }
            assert!(offsets[0] == offsets[1] && offsets[1] == offsets[2], "{offsets:?}");
            assert!(offsets[3] > offsets[0]);
            let t = trapped(sibling.resume(0).unwrap());
            check(&t, &wasm, kind, "yield", "a suspended instance");
            sibling.reset().unwrap();
            assert_eq!(returned(sibling.run("ok", &[]).unwrap()), [Val::I32(7)]);

            let e = Instance::new(&r, &s.module(&wat(body, true), host())).unwrap_err();
            assert_eq!((e.status(), e.trap()), (Status::StartFailed, Some(*code)));
        }
    }
}

#[test]
fn the_address_of_a_fault_is_the_accesss() {
    let s = settings(1)[0];
    let i = s.instance(
        r#"(module (memory 1) (func (export "f") (param i32) (result i64)
             (i64.load offset=8 (local.get 0))))"#,
        Imports::new(),
    );
    for at in [65529u32, 65536, 100_000, 1 << 31, u32::MAX - 8, u32::MAX] {
        let t = trapped(i.run("f", &[Val::I32(at as i32)]).unwrap());
        let address = t.address.unwrap();
        assert!((u64::from(at) + 8).max(65536) == address, "{at:#x}: {address:#x}");
        i.reset().unwrap();
    }
}

fn resident() -> (u64, usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages = statm.split(' ').nth(1).unwrap().parse().unwrap();
    (pages, std::fs::read_to_string("/proc/self/maps").unwrap().lines().count())
}

const MANY: &str = "LUCET_MANY_TRAPS";

/// In a process of its own: what other tests do would show in the numbers.
#[test]
fn a_hundred_thousand_traps_leave_nothing() {
    if std::env::var_os(MANY).is_none() {
        let out = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hostile::traps::a_hundred_thousand_traps_leave_nothing"])
            .args(["--nocapture", "--test-threads", "1"])
            .env(MANY, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{}\n{text}", out.status);
        assert!(String::from_utf8_lossy(&out.stdout).contains("1 passed"));
        return;
    }
    let many = |s: &Setting, instances: &[Instance], n: usize| {
        for k in 0..n {
            let i = &instances[k % instances.len()];
            trapped(i.run(["guilty", "caller", "indirect"][k % 3], &[]).unwrap());
            i.reset().unwrap();
        }
        assert_eq!(s.config.slots, 32);
    };
    for s in settings(32) {
        let r = s.region();
        let instances: Vec<_> = KINDS
            .iter()
            .map(|k| Instance::new(&r, &s.module(&wat(k.1, false), host())).unwrap())
            .collect();
        many(&s, &instances, 2000);
        let before = resident();
        many(&s, &instances, 35_000);
        let after = resident();
        assert!(after.0 <= before.0 + 64, "{} resident pages became {}", before.0, after.0);
        assert_eq!(before.1, after.1, "mappings");
    }
}
