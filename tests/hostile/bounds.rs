//! Every load and store at every edge, against an oracle; what lies beside the memory stays as it
//! was.

use super::kit::{Setting, settings};
use lucet::{Imports, Instance, Outcome, TrapCode, Val};

const PAGE: u64 = 65536;

/// Operator, bytes of memory it touches, type of its value.
const OPS: [(&str, u64, &str); 23] = [
    ("i32.load", 4, "i32"),
    ("i64.load", 8, "i64"),
    ("f32.load", 4, "f32"),
    ("f64.load", 8, "f64"),
    ("i32.load8_s", 1, "i32"),
    ("i32.load8_u", 1, "i32"),
    ("i32.load16_s", 2, "i32"),
    ("i32.load16_u", 2, "i32"),
    ("i64.load8_s", 1, "i64"),
    ("i64.load8_u", 1, "i64"),
    ("i64.load16_s", 2, "i64"),
    ("i64.load16_u", 2, "i64"),
    ("i64.load32_s", 4, "i64"),
    ("i64.load32_u", 4, "i64"),
    ("i32.store", 4, "i32"),
    ("i64.store", 8, "i64"),
    ("f32.store", 4, "f32"),
    ("f64.store", 8, "f64"),
    ("i32.store8", 1, "i32"),
    ("i32.store16", 2, "i32"),
    ("i64.store8", 1, "i64"),
    ("i64.store16", 2, "i64"),
    ("i64.store32", 4, "i64"),
];

/// How the index comes about; each gives the value of parameter 0.
const SOURCES: [(&str, &str); 5] = [
    ("param", "(local.get 0)"),
    (
        "memory",
        "(block (result i32) (i32.store (i32.const 32) (local.get 0)) (i32.load (i32.const 32)))",
    ),
    ("add", "(i32.add (i32.sub (local.get 0) (i32.const 0x12345)) (i32.const 0x12345))"),
    (
        "wrap",
        "(i32.wrap_i64 (i64.or (i64.extend_i32_u (local.get 0)) (i64.const 0xdeadbeef00000000)))",
    ),
    ("call", "(call $id (local.get 0))"),
];

fn offsets(size: u64) -> [u64; 9] {
    [
        0,
        1,
        PAGE - size,
        PAGE,
        (32 << 20) - size,
        32 << 20,
        1 << 31,
        (1 << 31) - 1,
        u64::from(u32::MAX),
    ]
}

fn indices(size: u64) -> [u64; 8] {
    [0, 64, PAGE - 1, PAGE - size, PAGE - size + 1, (1 << 31) - 1, 1 << 31, u64::from(u32::MAX)]
}

/// One module per operator: a function per source and offset, and one that goes through the value.
fn wat(op: &str, size: u64, ty: &str) -> String {
    let store = op.contains("store");
    let mut text = String::from(
        "(module (memory (export \"m\") 1) (func $id (param i32) (result i32) (local.get 0))",
    );
    for (source, index) in SOURCES {
        for offset in offsets(size) {
            let (result, access) = if store {
                (String::new(), format!("({op} offset={offset} {index} (local.get 1))"))
            } else {
                (format!("(result {ty})"), format!("({op} offset={offset} {index})"))
            };
            let param = if store { ty } else { "" };
            text += &format!(
                "(func (export \"{source} {offset}\") (param i32 {param}) {result} {access})"
            );
        }
    }
    text + ")"
}

/// Byte `at` of the memory before each access.
fn byte(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9) >> 13) as u8 | 0x80
}

fn loaded(op: &str, ty: &str, bytes: &[u8]) -> Val {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let raw = u64::from_le_bytes(wide);
    let shift = 64 - 8 * bytes.len() as u32;
    let v = if op.ends_with("_s") { ((raw << shift) as i64 >> shift) as u64 } else { raw };
    match ty {
        "i32" => Val::I32(v as i32),
        "i64" => Val::I64(v as i64),
        "f32" => Val::F32(f32::from_bits(v as u32)),
        _ => Val::F64(f64::from_bits(v)),
    }
}

fn same(a: &Val, b: &Val) -> bool {
    a.ty() == b.ty() && a.to_slot() == b.to_slot()
}

const STORED: u64 = 0x0102_0304_0506_0708;

fn escape(s: &Setting) -> usize {
    let r = s.region();
    let canary =
        s.module("(module (memory (export \"m\") 1) (func (export \"f\")))", Imports::new());
    let canaries: Vec<Instance> = (0..2).map(|_| Instance::new(&r, &canary).unwrap()).collect();
    let pattern = vec![0xc7; PAGE as usize];
    let pristine: Vec<u8> = (0..PAGE).map(byte).collect();
    let mut trapped = 0;
    let mut bytes = vec![0; PAGE as usize];
    for (op, size, ty) in OPS {
        // The victim's slot lies between the canaries' slots.
        let left = Instance::new(&r, &canary).unwrap();
        let i = Instance::new(&r, &s.module(&wat(op, size, ty), Imports::new())).unwrap();
        let right = Instance::new(&r, &canary).unwrap();
        let neighbours = [&left, &right, &canaries[0], &canaries[1]];
        for c in neighbours {
            c.memory_write(0, &pattern).unwrap();
        }
        i.memory_write(0, &pristine).unwrap();
        for (source, _) in SOURCES {
            for offset in offsets(size) {
                let func = i.module().unwrap().find(&format!("{source} {offset}"), None).unwrap();
                for index in indices(size) {
                    let what = format!("{:?} {op} {source} {index:#x}+{offset:#x}", s.shape);
                    let at = index + offset;
                    let store = op.contains("store");
                    let mut args = vec![Val::I32(index as i32)];
                    if store {
                        args.push(loaded("", ty, &STORED.to_le_bytes()));
                    }
                    let outcome = i.run_func(func, &args).unwrap();
                    if at + size > PAGE {
                        let Outcome::Trapped(t) = outcome else { panic!("{what}: {outcome:?}") };
                        assert_eq!(t.code, TrapCode::MemoryOutOfBounds, "{what}");
                        trapped += 1;
                        i.memory_read(0, &mut bytes).unwrap();
                        bytes[32..36].copy_from_slice(&pristine[32..36]);
                        assert!(bytes == pristine, "{what}: a trapping access wrote");
                        i.reset().unwrap();
                        i.memory_write(0, &pristine).unwrap();
                        continue;
                    }
                    let Outcome::Returned(v) = outcome else { panic!("{what}: {outcome:?}") };
                    let range = at as usize..(at + size) as usize;
                    let mut want = pristine.clone();
                    if source == "memory" {
                        want[32..36].copy_from_slice(&(index as u32).to_le_bytes());
                    }
                    if store {
                        want[range.clone()].copy_from_slice(&STORED.to_le_bytes()[..size as usize]);
                    } else {
                        let v = v.first().unwrap();
                        let right = loaded(op, ty, &want[range]);
                        assert!(same(v, &right), "{what}: {v:?} is not {right:?}");
                    }
                    i.memory_read(0, &mut bytes).unwrap();
                    assert!(bytes == want, "{what}: other bytes changed");
                    i.memory_write(0, &pristine).unwrap();
                }
            }
        }
        for c in neighbours {
            c.memory_read(0, &mut bytes).unwrap();
            assert!(bytes == pattern, "{op}: a neighbour's memory changed");
        }
    }
    trapped
}

#[test]
fn t_each_access_guarded() {
    assert!(escape(&settings(5)[0]) > 3000);
}

#[test]
fn t_each_access_compact_code_in_a_guarded_region() {
    assert!(escape(&settings(5)[1]) > 3000);
}

#[test]
fn t_each_access_compact() {
    assert!(escape(&settings(5)[2]) > 3000);
}
