//! Each load and store, plain and atomic, at each edge of each kind of memory, against arithmetic
//! that cannot wrap.

use crate::kit::{Setting, imports, returned, settings, trapped};
use lucet::{Group, Imports, Instance, Outcome, TrapCode, Val};
use std::fmt::Write as _;

/// Size of every memory here in pages.
const PAGES: u64 = 2;
const BYTES: u64 = PAGES * 65536;

/// Constant offsets, of which those of 32 bits are for every memory.
const OFFSETS: [u64; 12] = [
    0,
    1,
    8,
    BYTES - 8,
    BYTES,
    (32 << 20) - 8,
    32 << 20,
    u32::MAX as u64,
    1 << 32,
    (1 << 48) - 4,
    u64::MAX - 7,
    u64::MAX,
];

/// Accesses: name of the load, of the store, bytes.
const ACCESSES: [(&str, &str, u64); 8] = [
    ("i64.load8_u", "i64.store8", 1),
    ("i64.load16_u", "i64.store16", 2),
    ("i64.load32_u", "i64.store32", 4),
    ("i64.load", "i64.store", 8),
    ("i64.atomic.load8_u", "i64.atomic.store8", 1),
    ("i64.atomic.load16_u", "i64.atomic.store16", 2),
    ("i64.atomic.load32_u", "i64.atomic.store32", 4),
    ("i64.atomic.load", "i64.atomic.store", 8),
];

fn offsets(wide: bool) -> impl Iterator<Item = (usize, u64)> {
    OFFSETS.into_iter().enumerate().filter(move |(_, o)| wide || *o <= u32::MAX.into())
}

/// Functions that load and store at an index, for memory `m`.
fn functions(m: usize, wide: bool) -> String {
    let ty = if wide { "i64" } else { "i32" };
    let mut text = String::new();
    for (n, offset) in offsets(wide) {
        for (k, (load, store, _)) in ACCESSES.iter().enumerate() {
            let _ = write!(
                text,
                r#"(func (export "load {m} {n} {k}") (param {ty}) (result i64)
                     ({load} {m} offset={offset} (local.get 0)))
                   (func (export "store {m} {n} {k}") (param {ty} i64)
                     ({store} {m} offset={offset} (local.get 0) (local.get 1)))"#
            );
        }
    }
    text
}

/// Indices around every edge that an offset makes.
fn indices(offset: u64, wide: bool) -> Vec<u64> {
    let mut all = Vec::new();
    let edges = [0, 1 << 31, 1 << 32, 1 << 63, BYTES, BYTES.wrapping_sub(offset)];
    for edge in edges.into_iter().chain([0u64.wrapping_sub(offset)]) {
        for near in [-17, -16, -9, -8, -7, -4, -3, -2, -1, 0, 1, 7, 8] {
            all.push(edge.wrapping_add_signed(near));
        }
    }
    if !wide {
        all.iter_mut().for_each(|i| *i &= u64::from(u32::MAX));
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn index(wide: bool, at: u64) -> Val {
    if wide { Val::I64(at as i64) } else { Val::I32(at as u32 as i32) }
}

/// Tries everything on memory `m` of `i`; `tried` counts.
fn try_all(i: &Instance, m: usize, wide: bool, tried: &mut u32) {
    for (n, offset) in offsets(wide) {
        for at in indices(offset, wide) {
            for (k, (_, _, size)) in ACCESSES.iter().enumerate() {
                let what = format!("memory {m}, offset {offset:#x}, {at:#x}, {:?}", ACCESSES[k]);
                let end = u128::from(offset) + u128::from(at) + u128::from(*size);
                let ea = offset.wrapping_add(at);
                let aligned = k < 4 || ea.is_multiple_of(*size);
                let fits = end <= u128::from(BYTES);
                let value = 0x1122_3344_5566_7788u64.rotate_left(at as u32);
                let stored = i
                    .run(&format!("store {m} {n} {k}"), &[index(wide, at), Val::I64(value as i64)]);
                let loaded =
                    |i: &Instance| i.run(&format!("load {m} {n} {k}"), &[index(wide, at)]).unwrap();
                *tried += 1;
                match (aligned, fits) {
                    (true, true) => {
                        assert_eq!(returned(stored.unwrap()), [], "{what}");
                        let mask = u64::MAX >> (64 - 8 * size);
                        let got = returned(loaded(i));
                        assert_eq!(got, [Val::I64((value & mask) as i64)], "{what}");
                        let mut bytes = [0; 8];
                        let bytes = &mut bytes[..*size as usize];
                        i.memory_read_of(m as u32, ea, bytes).unwrap();
                        assert_eq!(*bytes, value.to_le_bytes()[..*size as usize], "{what}");
                        bytes.fill(0);
                        i.memory_write_of(m as u32, ea, bytes).unwrap();
                    }
                    (aligned, _) => {
                        let code = if aligned {
                            TrapCode::MemoryOutOfBounds
                        } else {
                            TrapCode::UnalignedAtomic
                        };
                        assert_eq!(trapped(stored.unwrap()).code, code, "{what}");
                        i.recover().unwrap();
                        assert_eq!(trapped(loaded(i)).code, code, "{what}");
                        i.recover().unwrap();
                    }
                }
            }
        }
        // Nothing went where it should not.
        let mut all = vec![1; BYTES as usize];
        i.memory_read_of(m as u32, 0, &mut all).unwrap();
        assert!(all.iter().all(|b| *b == 0), "memory {m}, offset {offset:#x}");
    }
}

fn alone(s: &Setting, wide: [bool; 3]) -> Instance {
    let mut text = String::from("(module ");
    for wide in wide {
        let _ = write!(text, "(memory {} {PAGES} 4)", if wide { "i64" } else { "" });
    }
    for (m, wide) in wide.into_iter().enumerate() {
        text += &functions(m, wide);
    }
    s.instance(&(text + ")"), Imports::new())
}

#[test]
fn own_memories_end_where_they_end() {
    let mut tried = 0;
    for s in settings(1) {
        for wide in [[false, false, true], [true, false, true]] {
            let i = alone(&s, wide);
            for (m, wide) in wide.into_iter().enumerate() {
                try_all(&i, m, wide, &mut tried);
            }
        }
    }
    assert!(tried > 50_000, "{tried}");
}

#[test]
fn imported_memories_end_where_they_end() {
    let mut tried = 0;
    for s in settings(2) {
        let owner = format!(
            r#"(module (memory (export "a") {PAGES} 4) (memory (export "b") {PAGES} 4)
                 (memory (export "c") i64 {PAGES} 4))"#
        );
        let user = format!(
            r#"(module (import "o" "b" (memory {PAGES})) (import "o" "c" (memory i64 {PAGES}))
                 (import "o" "a" (memory {PAGES})) (memory {PAGES} 4) {} {} {} {})"#,
            functions(0, false),
            functions(1, true),
            functions(2, false),
            functions(3, false)
        );
        let mut g = Group::new(&s.region());
        g.instantiate(Some("o"), &s.linkable(&owner, Imports::new())).unwrap();
        let i = g.instantiate(Some("u"), &s.linkable(&user, Imports::new())).unwrap();
        for (m, wide) in [false, true, false, false].into_iter().enumerate() {
            try_all(i, m, wide, &mut tried);
        }
    }
    assert!(tried > 50_000, "{tried}");
}

/// The last byte moves with the size.
#[test]
fn growth_moves_the_edge() {
    let functions = functions(0, true) + &functions(1, false) + &functions(2, true);
    let wat = format!(
        r#"(module (memory i64 0 {PAGES}) (memory 1 {PAGES}) (memory i64 0 {PAGES}) {functions}
             (func (export "g") (drop (memory.grow 0 (i64.const 1)))
               (drop (memory.grow 1 (i32.const 1))) (drop (memory.grow 2 (i64.const 1)))))"#
    );
    for s in settings(1) {
        let i = s.instance(&wat, Imports::new());
        let run = |m: usize, wide, at: u64, k: usize| {
            let got = i.run(&format!("load {m} 0 {k}"), &[index(wide, at)]).unwrap();
            let fits = matches!(got, Outcome::Returned(_));
            if !fits {
                assert_eq!(trapped(got).code, TrapCode::MemoryOutOfBounds);
                i.recover().unwrap();
            }
            fits
        };
        let sizes: [[u64; 3]; 3] = [[0, 1, 0], [1, 2, 1], [2, 2, 2]];
        for pages in sizes {
            for (m, wide) in [true, false, true].into_iter().enumerate() {
                let bytes = pages[m] * 65536;
                for (k, (_, _, size)) in ACCESSES.iter().enumerate() {
                    let last = bytes.wrapping_sub(*size);
                    assert_eq!(run(m, wide, last, k), bytes > 0, "{m} {bytes} {size}");
                    assert!(!run(m, wide, last.wrapping_add(*size), k), "{m} {bytes} {size}");
                }
            }
            i.run("g", &[]).unwrap();
        }
    }
}

/// Bulk operations between memories of all widths.
#[test]
fn bulk_operations_check_whole_ranges() {
    let copy = |d: usize, s: usize, dt: &str, st: &str, n: &str| {
        format!(
            r#"(func (export "copy {d} {s}") (param {dt} {st} {n})
                 (memory.copy {d} {s} (local.get 0) (local.get 1) (local.get 2)))"#
        )
    };
    let fill = |d: usize, t: &str| {
        format!(
            r#"(func (export "fill {d}") (param {t} {t})
                 (memory.fill {d} (local.get 0) (i32.const 0x15a) (local.get 1)))"#
        )
    };
    let (narrow, wide) = ("i32", "i64");
    let wat = format!(
        r#"(module (memory {PAGES}) (memory i64 {PAGES}) {} {} {} {} {} {})"#,
        copy(0, 0, narrow, narrow, narrow),
        copy(0, 1, narrow, wide, narrow),
        copy(1, 0, wide, narrow, narrow),
        copy(1, 1, wide, wide, wide),
        fill(0, narrow),
        fill(1, wide)
    );
    let ends = [0, 1, 4095, BYTES / 2, BYTES - 9, BYTES - 1, BYTES, BYTES + 1, u32::MAX.into()];
    let far = [1 << 32, (1 << 32) + 5, 1 << 63, u64::MAX - 8, u64::MAX];
    let of = |wide: bool| ends.into_iter().chain(far.into_iter().filter(move |_| wide));
    for s in settings(1) {
        let i = s.instance(&wat, imports(&[]));
        let mut models = [vec![0u8; BYTES as usize], vec![0u8; BYTES as usize]];
        for (m, model) in models.iter_mut().enumerate() {
            for (at, b) in model.iter_mut().enumerate() {
                *b = (at * 7 + m * 3) as u8;
            }
            i.memory_write_of(m as u32, 0, model).unwrap();
        }
        for (d, from) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let (dw, sw) = (d == 1, from == 1);
            for (at, src) in of(dw).flat_map(|a| of(sw).map(move |b| (a, b))) {
                for n in of(dw && sw) {
                    let args = [index(dw, at), index(sw, src), index(dw && sw, n)];
                    let got = i.run(&format!("copy {d} {from}"), &args).unwrap();
                    let inside = |at: u64| at.checked_add(n).is_some_and(|e| e <= BYTES);
                    if inside(at) && inside(src) {
                        returned(got);
                        let range = src as usize..(src + n) as usize;
                        let bytes = models[from][range].to_vec();
                        models[d][at as usize..(at + n) as usize].copy_from_slice(&bytes);
                    } else {
                        assert_eq!(trapped(got).code, TrapCode::MemoryOutOfBounds);
                        i.recover().unwrap();
                    }
                }
            }
        }
        for d in [0, 1] {
            for (at, n) in of(d == 1).flat_map(|a| of(d == 1).map(move |n| (a, n))) {
                let args = [index(d == 1, at), index(d == 1, n)];
                let got = i.run(&format!("fill {d}"), &args).unwrap();
                if at.checked_add(n).is_some_and(|e| e <= BYTES) {
                    returned(got);
                    models[d][at as usize..(at + n) as usize].fill(0x5a);
                } else {
                    assert_eq!(trapped(got).code, TrapCode::MemoryOutOfBounds);
                    i.recover().unwrap();
                }
            }
        }
        for (m, model) in models.iter().enumerate() {
            let mut bytes = vec![0; BYTES as usize];
            i.memory_read_of(m as u32, 0, &mut bytes).unwrap();
            assert!(bytes == *model, "memory {m}");
        }
    }
}
