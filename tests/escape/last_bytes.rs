//! The last bytes of a memory that is as large as it may be: an operator whose operand is loaded
//! from there sees them, and does not fault for reading what lies behind.

use crate::operands::{self, Operand};
use crate::sources::{self, Source};
use crate::victim::{self, Victim};
use lucet::{Outcome, TrapCode, Val};

/// Bytes that are no NaN in any width.
const BYTES: [[u8; 16]; 3] = [
    [
        0x9a, 0x99, 0x19, 0x40, 0x33, 0x33, 0x0b, 0x40, 0x12, 0x83, 0xa4, 0xc0, 0xe1, 0x7a, 0x44,
        0xc1,
    ],
    [0; 16],
    [
        0x80, 0x81, 0x82, 0xc3, 0x84, 0x85, 0xd6, 0xc1, 0x01, 0x02, 0x03, 0x44, 0x05, 0x06, 0x57,
        0x42,
    ],
];

fn function(o: &Operand, n: usize, s: &Source, v: &victim::Kind) -> String {
    let (w, m) = (v.width.ty(), v.memory());
    let memory = if m == 0 { String::new() } else { m.to_string() };
    let load = format!("({} {memory} {})", o.load, s.text(v.width, m));
    format!(
        "(func (export \"{n}, {}\") (param $v {w}) (result {}) (local $t {w}) (local $n i32) {})\n",
        s.name,
        o.ty,
        o.text.replace(" L", &format!(" {load}"))
    )
}

fn result(outcome: Outcome, what: &str) -> (u128, lucet::ValType) {
    match outcome {
        Outcome::Returned(v) => (v[0].to_slot(), v[0].ty()),
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn loads_folded_into_operators_read_no_more_than_they_should() {
    let mut all = operands::floats();
    all.extend(operands::integers());
    all.extend(operands::vectors());
    let sources = sources::all();
    let names = ["param", "spilled", "loop phi", "select", "add", "load", "shl 3"];
    let mut count = 0;
    for kind in victim::kinds() {
        let sources: Vec<_> = sources.iter().filter(|s| names.contains(&s.name)).collect();
        let mut functions = String::new();
        for (n, o) in all.iter().enumerate() {
            for s in &sources {
                functions += &function(o, n, s, &kind);
            }
        }
        let region = kind.region();
        let v = Victim::new(kind, victim::default_code(), &region, &functions);
        for (n, o) in all.iter().enumerate() {
            for s in &sources {
                let f = v.module.find(&format!("{n}, {}", s.name), None).unwrap();
                for bytes in BYTES {
                    count += operand(&v, o, s, f, &bytes[..o.size]);
                }
            }
        }
        v.check_surroundings(kind.name);
    }
    println!("{} operators, {count} executed at the end of a memory", all.len());
    assert_eq!((all.len(), count), (134, 34_398));
}

/// Runs an operator on the last bytes, on the same bytes elsewhere, and one byte too far.
fn operand(v: &Victim, o: &Operand, s: &Source, f: lucet::Func, bytes: &[u8]) -> u64 {
    let last = v.bytes - o.size as u64;
    let run = |at: u64| {
        (v.kind.width.cut(at) == at).then_some(())?;
        let parameter = (s.prepare)(v.kind.width, at)?;
        v.write(32, &parameter.to_le_bytes());
        Some(v.run(f, &[v.address(parameter)]))
    };
    let what = format!("{}: {} of {}, {}", v.kind.name, o.text, o.load, s.name);
    v.write(4096, bytes);
    v.write(last, bytes);
    let Some(there) = run(last) else { return 0 };
    let there = result(there, &what);
    if let Some(elsewhere) = run(4096) {
        assert_eq!(
            there,
            result(elsewhere, &what),
            "{what}: differs from the same bytes elsewhere"
        );
    }
    if let Some(oracle) = o.oracle {
        let mut eight = [0; 8];
        eight[..bytes.len()].copy_from_slice(bytes);
        let want: Val = oracle(eight);
        assert_eq!(there, (want.to_slot(), want.ty()), "{what}: not {want:?}");
    }
    if let Some(beyond) = run(last + 1) {
        match beyond {
            Outcome::Trapped(t) if t.code == TrapCode::MemoryOutOfBounds => {}
            other => panic!("{what}: {other:?} one byte too far"),
        }
    }
    1
}
