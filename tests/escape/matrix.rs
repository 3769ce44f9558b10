//! The matrix: operators × sources × offsets × values × kinds of memory.

use crate::ops::{self, Kind as OpKind, Op, Rmw, STORED, STORED_TEXT, oracle, value};
use crate::sources::{self, Source, Width};
use crate::victim::{self, Code, Kind, PAGE, Victim};
use lucet::{Outcome, Region, TrapCode, Val};
use std::sync::Arc;

fn full() -> bool {
    std::env::var_os("FULL").is_some()
}

const MIB: u64 = 1 << 20;

/// The offsets; those in the middle are where a guard of 32 MiB ends.
fn offsets(w: Width, size: u64) -> Vec<u64> {
    let mut all =
        vec![0, 1, PAGE, 32 * MIB - size, 32 * MIB, (1 << 31) - 1, 1 << 31, (1 << 32) - 1];
    if w == Width::W64 {
        all.extend([1 << 32, 1 << 63, u64::MAX]);
    }
    all
}

/// Addresses to reach: extremes, and the last bytes of a memory of so many bytes.
fn addresses(w: Width, bytes: u64, offset: u64, size: u64) -> Vec<u64> {
    let mut all = vec![0, (1 << 31) - 1, 1 << 31, (1 << 32) - 1];
    if w == Width::W64 {
        all.extend([1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX, u64::MAX - 7]);
    }
    if let Some(last) = bytes.checked_sub(size).and_then(|b| b.checked_sub(offset)) {
        all.extend([last, last + 1, last + size]);
    }
    all.retain(|a| w.cut(*a) == *a);
    all.sort_unstable();
    all.dedup();
    all
}

fn function(op: &Op, s: &Source, offset: u64, kind: &Kind) -> String {
    let (w, m) = (kind.width.ty(), kind.memory());
    let memory = if m == 0 { String::new() } else { format!("{m} ") };
    let (name, ty) = (&op.name, op.ty);
    let value = match op.kind {
        OpKind::Store | OpKind::AtomicStore => "(local.get $x)".to_owned(),
        OpKind::Rmw(Rmw::Cmpxchg) => "(local.get $x) (local.get $x)".to_owned(),
        OpKind::Rmw(_) => "(local.get $x)".to_owned(),
        OpKind::LoadLane(_) | OpKind::StoreLane(_) => STORED_TEXT.to_owned(),
        _ => String::new(),
    };
    let lane = match op.kind {
        OpKind::LoadLane(n) | OpKind::StoreLane(n) => n.to_string(),
        _ => String::new(),
    };
    let result = if op.has_result() { format!("(result {ty})") } else { String::new() };
    let source = s.text(kind.width, m);
    format!(
        "(func (export \"{}, {offset}\") (param $v {w}) (param $x {ty}) {result}
           (local $t {w}) (local $n i32)
           ({name} {memory}offset={offset} {lane} {source} {value}))\n",
        s.name
    )
}

/// Byte `at` of the memory before each access; no byte is like its neighbours.
fn byte(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8 | 0x80
}

/// Bytes around an access that are looked at.
const AROUND: u64 = 24;

/// What was done.
#[derive(Default)]
struct Count {
    ran: u64,
    trapped: u64,
}

/// One access.
struct Access<'a> {
    op: &'a Op,
    source: &'a Source,
    offset: u64,
    parameter: u64,
}

impl Access<'_> {
    fn what(&self, v: &Victim) -> String {
        format!(
            "{}: {} offset={:#x} {} of {:#x}",
            v.kind.name, self.op.name, self.offset, self.source.name, self.parameter
        )
    }

    /// Runs it; returns the range of bytes that was looked at.
    fn run(&self, v: &Victim, f: lucet::Func, count: &mut Count) -> std::ops::Range<usize> {
        let w = v.kind.width;
        let size = self.op.size as u128;
        let index = (self.source.apply)(w, self.parameter);
        let at = u128::from(index) + u128::from(self.offset);
        let inside = at + size <= u128::from(v.bytes);
        let (from, to) = if inside {
            let at = at as u64;
            (at.saturating_sub(AROUND), (at + self.op.size as u64 + AROUND).min(v.bytes))
        } else {
            (v.bytes - AROUND, v.bytes)
        };
        let mut before: Vec<u8> = (from..to).map(byte).collect();
        v.write(from, &before);
        v.write(32, &self.parameter.to_le_bytes());
        // The parameter may lie in the middle of what is accessed.
        v.read(from, &mut before);
        let outcome = v.run(f, &[v.address(self.parameter), value(self.op.ty, STORED)]);
        let mut after = vec![0; before.len()];
        v.read(from, &mut after);
        count.ran += 1;
        let aligned = !self.op.is_atomic() || at.is_multiple_of(size);
        if inside && aligned {
            let range = (at as u64 - from) as usize..(at as u64 - from) as usize + self.op.size;
            let (result, bytes) = oracle(self.op, &before[range.clone()]);
            before[range].copy_from_slice(&bytes);
            let want: Vec<Val> = result.into_iter().collect();
            let Outcome::Returned(have) = &outcome else {
                panic!("{}: {outcome:?}", self.what(v));
            };
            let same = have.len() == want.len()
                && have.iter().zip(&want).all(|(a, b)| a.ty() == b.ty() && bits(a) == bits(b));
            assert!(same, "{}: {have:x?}, not {want:x?}", self.what(v));
        } else {
            let Outcome::Trapped(t) = &outcome else {
                panic!("{}: {outcome:?}", self.what(v));
            };
            let right = match t.code {
                TrapCode::MemoryOutOfBounds => !inside,
                TrapCode::UnalignedAtomic => !aligned,
                _ => false,
            };
            assert!(right, "{}: {t:?}", self.what(v));
            count.trapped += 1;
        }
        assert!(before == after, "{}: {after:x?}, not {before:x?}", self.what(v));
        from as usize..to as usize
    }
}

fn bits(v: &Val) -> u128 {
    v.to_slot()
}

/// All accesses of one operator in one kind of memory.
fn operator(op: &Op, kind: Kind, code: Code, region: &Arc<Region>, sources: &[&Source]) -> Count {
    let size = op.size as u64;
    let mut functions = String::new();
    for s in sources {
        for offset in offsets(kind.width, size) {
            functions += &function(op, s, offset, &kind);
        }
    }
    let v = Victim::new(kind, code, region, &functions);
    let whole = (v.bytes <= 4 * PAGE).then(|| (0..v.bytes).map(byte).collect::<Vec<_>>());
    if let Some(whole) = &whole {
        v.write(0, whole);
    }
    let mut count = Count::default();
    // The parameter lies at 32; each access looked at what is around it.
    let mut seen: Vec<_> = std::iter::once(32..40).collect();
    for source in sources {
        for offset in offsets(kind.width, size) {
            let f = v.module.find(&format!("{}, {offset}", source.name), None).unwrap();
            let mut parameters = vec![0x80, 0x8000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
            let wanted = addresses(kind.width, v.bytes, offset, size);
            parameters.extend(wanted.iter().filter_map(|a| (source.prepare)(kind.width, *a)));
            parameters.sort_unstable();
            parameters.dedup();
            for parameter in parameters {
                seen.push(Access { op, source, offset, parameter }.run(&v, f, &mut count));
            }
        }
    }
    if let Some(mut whole) = whole {
        let mut now = vec![0; whole.len()];
        v.read(0, &mut now);
        for range in seen {
            whole[range.clone()].copy_from_slice(&now[range]);
        }
        let changed = whole.iter().zip(&now).position(|(a, b)| a != b);
        assert_eq!(changed, None, "{} {}: a byte that no access is near", kind.name, op.name);
    }
    v.check_surroundings(&format!("{} {}", kind.name, op.name));
    count
}

/// All operators, and whether each has all sources.
fn operators() -> [(Vec<Op>, bool); 3] {
    // The short list of sources: what makes an address is the same code for all.
    [(ops::scalar(), true), (ops::simd(), true), (ops::atomic(), full())]
}

/// How many there are.
const OPERATORS: usize = 23 + 22 + 63;

fn codes() -> Vec<Code> {
    let first = victim::default_code();
    let mut all = vec![first];
    if full() {
        all.push(Code { opt: lucetc::OptLevel::None, ..first });
        let v3 = lucetc::options::cpu_from_name("x86-64-v3").unwrap();
        if lucetc::options::cpu_from_name("native").unwrap() & v3 == v3 {
            all.push(Code { cpu: v3, ..first });
        } else {
            println!("not on this machine: x86-64-v3");
        }
    }
    all
}

/// Runs all there is for kinds of memory like this, of which there are `rows`.
fn matrix(packed: bool, imported: bool, second: bool, wide: bool, rows: usize) {
    let all = sources::all();
    let mut done = 0;
    for kind in victim::kinds() {
        let wanted = kind.packed == packed && kind.imported == imported && kind.second == second;
        if !wanted || (kind.width == Width::W64) != wide {
            continue;
        }
        let region = kind.region();
        let mut sum = Count::default();
        let mut number = 0;
        let codes = codes();
        for code in &codes {
            for (ops, all_sources) in operators() {
                let list: Vec<&Source> = all
                    .iter()
                    .filter(|s| s.is_for(kind.width) && (all_sources || s.essential))
                    .collect();
                for op in &ops {
                    let count = operator(op, kind, *code, &region, &list);
                    assert!(count.ran > 200 && count.trapped > 50, "{} {}", kind.name, op.name);
                    assert!(count.ran - count.trapped > 20, "{} {}", kind.name, op.name);
                    number += 1;
                    sum.ran += count.ran;
                    sum.trapped += count.trapped;
                }
            }
        }
        assert_eq!(number, OPERATORS * codes.len(), "{}", kind.name);
        println!(
            "{}: {number} operators, {} accesses, {} of them outside",
            kind.name, sum.ran, sum.trapped
        );
        done += 1;
    }
    assert_eq!(done, rows, "kinds of memory");
}

#[test]
fn t_escape_matrix_guarded() {
    matrix(false, false, false, false, 3);
}

#[test]
fn t_escape_matrix_compact() {
    matrix(true, false, false, false, 1);
}

#[test]
fn t_escape_matrix_imported() {
    matrix(false, true, false, false, 1);
    matrix(true, true, false, false, 1);
}

#[test]
fn t_escape_matrix_second() {
    matrix(false, false, true, false, 1);
    matrix(true, false, true, false, 1);
    matrix(false, true, true, false, 1);
}

#[test]
fn t_escape_matrix_64_bits() {
    matrix(false, false, false, true, 1);
    matrix(true, false, false, true, 1);
    matrix(false, true, false, true, 1);
    matrix(false, false, true, true, 1);
}

#[test]
fn t_escape_matrix_is_whole() {
    // The sum of the rows that the tests above demand.
    assert_eq!(victim::kinds().len(), 13);
}
