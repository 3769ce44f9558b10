//! The last bytes of memory. Code generators fold a load into the instruction that uses it, and may
//! read more or fewer bytes then than the operator does: more is a trap that should not be, fewer
//! one that is missing.

use super::ops::{self, LOADS, Op, STORES};
use crate::common::load;
use lucet::{Imports, Instance, Outcome, Region, RegionConfig, TrapCode, Val};
use lucet_artifact::contract::cpu;
use lucet_artifact::types::MemoryShape;
use lucetc::Options;
use std::fmt::Write as _;

/// Larger than the guard behind it, so that an offset can be too large for that and still lead into
/// memory: such accesses are checked.
const PAGES: u32 = 1024;
const LIMIT: u32 = PAGES << 16;
const OFFSETS: [u32; 4] = [0, 5, 60_000, 0x0300_0000];

/// The scalar load of a kind, with its bytes; narrow ones too, which fill narrow lanes.
fn scalar_loads(kind: char) -> &'static [(&'static str, u32)] {
    match kind {
        'v' => &[("v128.load", 16)],
        'i' => &[("i32.load", 4), ("i32.load8_u", 1), ("i32.load16_s", 2)],
        'l' => &[("i64.load", 8), ("i64.load32_u", 4)],
        'f' => &[("f32.load", 4)],
        _ => &[("f64.load", 8)],
    }
}

/// What stands for the operands that are not loaded.
fn constant(kind: char) -> &'static str {
    match kind {
        'v' => "(local.get 1)",
        'i' => "(i32.const 3)",
        'l' => "(i64.const 3)",
        'f' => "(f32.const 3)",
        _ => "(f64.const 3)",
    }
}

/// A case: an exported function of an address, and the bytes that it reads there.
struct Case {
    name: String,
    bytes: u32,
    /// The address below which there is none that it can be given.
    lowest: u32,
    code: String,
}

/// For each operator and each of its operands: that one loaded, the others not.
fn folded(cases: &mut Vec<Case>, op: &Op) {
    for at in 0..op.operands.len() {
        let loaded = op.operands.as_bytes()[at] as char;
        for (load, bytes) in scalar_loads(loaded) {
            let mut operands = String::new();
            for (n, kind) in op.operands.chars().enumerate() {
                let _ = match n == at {
                    true => write!(operands, " ({load} (local.get 0))"),
                    false => write!(operands, " {}", constant(kind)),
                };
            }
            let (name, result) = (&op.name, ops::ty(op.result));
            cases.push(Case {
                name: format!("{name}, operand {at} by {load}"),
                bytes: *bytes,
                lowest: 0,
                code: format!("(param i32 v128) (result {result}) ({name}{operands})"),
            });
        }
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for op in ops::all() {
        folded(&mut cases, &op);
    }
    for (load, bytes, lane) in LOADS {
        let (n, v) = if lane { (" 0", " (local.get 1)") } else { ("", "") };
        for offset in OFFSETS {
            cases.push(Case {
                name: format!("{load} offset={offset}"),
                bytes,
                lowest: offset,
                code: format!(
                    "(param i32 v128) (result v128) ({load} offset={offset}{n}
                       (i32.sub (local.get 0) (i32.const {offset})){v})"
                ),
            });
        }
    }
    // Two scalars in vector registers.
    for op in ["f64.copysign", "f64.min", "f64.add", "f32.copysign", "f32.max", "f32.sub"] {
        let kind = if op.starts_with("f64") { 'd' } else { 'f' };
        let name = op.to_owned();
        folded(
            &mut cases,
            &Op { name, operands: if kind == 'd' { "dd" } else { "ff" }, result: kind },
        );
    }
    cases
}

/// Ways to compile, each with a region for it.
fn ways() -> Vec<(&'static str, Options)> {
    let paranoid = |cpu, memory| Options { cpu, memory, paranoid: true, ..Options::default() };
    let mut ways = vec![
        ("x86-64-v2, guarded", paranoid(cpu::X86_64_V2, MemoryShape::Guarded)),
        ("x86-64-v2, compact", paranoid(cpu::X86_64_V2, MemoryShape::Compact)),
    ];
    if lucetc::options::cpu_from_name("native") == Some(cpu::X86_64_V3) {
        ways.push(("x86-64-v3, guarded", paranoid(cpu::X86_64_V3, MemoryShape::Guarded)));
        ways.push(("x86-64-v3, compact", paranoid(cpu::X86_64_V3, MemoryShape::Compact)));
    }
    ways
}

fn instance(wat: &str, options: &Options) -> Instance {
    let compact = options.memory == MemoryShape::Compact;
    let region = Region::new(RegionConfig { compact, slots: 2, ..RegionConfig::default() });
    let artifact = lucetc::compile(wat.as_bytes(), options).unwrap_or_else(|e| panic!("{e}"));
    Instance::new(&region.unwrap(), &load(&artifact, Imports::new()).unwrap()).unwrap()
}

fn traps(i: &Instance, name: &str, args: &[Val]) -> bool {
    match i.run(name, args).unwrap() {
        Outcome::Returned(_) => false,
        Outcome::Trapped(t) => {
            assert_eq!(t.code, TrapCode::MemoryOutOfBounds, "{name}");
            i.recover().unwrap();
            true
        }
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn loads_read_exactly_their_bytes() {
    let cases = cases();
    let mut wat = format!("(module (memory (export \"memory\") {PAGES} {PAGES})");
    for case in &cases {
        let _ = writeln!(wat, "(func (export \"{}\") {})", case.name, case.code);
    }
    wat.push(')');
    for (way, options) in ways() {
        let i = instance(&wat, &options);
        let mut runs = 0;
        for case in &cases {
            // Code behind a check of its own must be right in the middle of memory too.
            let across = case.lowest.next_multiple_of(4096) + 4096 - case.bytes / 2;
            for at in [case.lowest, across, LIMIT - case.bytes] {
                let args = [Val::I32(at as i32), Val::V128(7)];
                assert!(!traps(&i, &case.name, &args), "{way}: {} at {at:#x}", case.name);
            }
            for beyond in
                [1, case.bytes / 2, case.bytes - 1, case.bytes].into_iter().filter(|b| *b > 0)
            {
                let at = LIMIT - case.bytes + beyond;
                let args = [Val::I32(at as i32), Val::V128(7)];
                assert!(traps(&i, &case.name, &args), "{way}: {} at {at:#x}", case.name);
                runs += 1;
            }
        }
        assert!(runs > 1000, "{runs}");
    }
}

#[test]
fn stores_write_exactly_their_bytes() {
    let mut wat = format!("(module (memory (export \"memory\") {PAGES} {PAGES})");
    for (store, _, lane) in STORES {
        let n = if lane { " 1" } else { "" };
        let n = if store == "v128.store64_lane" { " 0" } else { n };
        for offset in OFFSETS {
            let _ = writeln!(
                wat,
                "(func (export \"{store} {offset}\") (param i32 v128) ({store} offset={offset}{n}
                   (i32.sub (local.get 0) (i32.const {offset})) (local.get 1)))"
            );
        }
    }
    wat.push(')');
    let value = u128::from_le_bytes(std::array::from_fn(|n| n as u8 + 1));
    for (way, options) in ways() {
        let i = instance(&wat, &options);
        for ((store, bytes, lane), offset) in
            STORES.into_iter().flat_map(|s| OFFSETS.map(|o| (s, o)))
        {
            let name = format!("{store} {offset}");
            let first = if lane && bytes < 8 { bytes as u8 + 1 } else { 1 };
            let around = |at: u32, to: &mut [u8]| i.memory_read(at.into(), to).unwrap();
            let across = offset.next_multiple_of(4096) + 4096 - bytes / 2;
            for at in [offset + 100, across, LIMIT - bytes] {
                let (low, high) = (at - 20, (at + bytes + 20).min(LIMIT));
                let blank = vec![0xa5; (high - low) as usize];
                i.memory_write(low.into(), &blank).unwrap();
                let args = [Val::I32(at as i32), Val::V128(value)];
                assert!(!traps(&i, &name, &args), "{way}: {name} at {at:#x}");
                let mut have = blank.clone();
                around(low, &mut have);
                let mut want = blank;
                for n in 0..bytes as usize {
                    want[20 + n] = first + n as u8;
                }
                assert_eq!(have, want, "{way}: {name} at {at:#x}");
            }
            for beyond in 1..=bytes {
                let at = LIMIT - bytes + beyond;
                i.memory_write((LIMIT - 40).into(), &[0x5a; 40]).unwrap();
                let args = [Val::I32(at as i32), Val::V128(value)];
                assert!(traps(&i, &name, &args), "{way}: {name} at {at:#x}");
                let mut have = [0; 40];
                around(LIMIT - 40, &mut have);
                assert_eq!(have, [0x5a; 40], "{way}: {name} at {at:#x} wrote before it trapped");
            }
        }
    }
}
