//! Changed artifacts, by the hundred thousand: every bit of one of more than 20 KB, and random
//! changes of several bytes, with the hash as it was and with one that fits again.
//!
//! What is refused is refused with a status. What still loads, because nothing that matters was
//! changed or because it says something else that is just as possible, must be harmless: it
//! answers questions, and an instance of it can be created and dropped. Its code is not run: code
//! is trusted or not as a whole, and so is what says where functions begin. Nothing may be left
//! behind.
//!
//! `make hostile` adds up what the lines that begin with `hostile:` say.

mod common;
#[path = "common/sample.rs"]
mod sample;

use common::change::change;
use common::process::{descriptors, mappings, status_kib};
use common::random::Rng;
use lucet::{HostCode, Imports, Instance, Module, ModuleConfig, Region, RegionConfig, Status};
use lucet_artifact::container::TEXT;
use lucet_artifact::trailer::{HASH_OFFSET, TRAILER_BYTES};
use lucet_artifact::types::MemoryShape;
use sample::{resealed, sealed};
use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bits outside of `.text` that are to be flipped at least.
const LEAST_BITS: usize = 160_000;

/// A module with something of everything, and no start function.
fn text() -> String {
    let mut t = String::from("(module\n");
    for i in 0..8 {
        writeln!(t, "(import \"env\" \"f{i}\" (func (param i32 i64) (result f64)))").unwrap();
    }
    t += "(memory (export \"memory\") 1 4) (memory $more 1 2)\n\
          (table (export \"table\") 40 80 funcref) (table $refs 3 9 externref)\n\
          (tag (export \"tag\") (param i32 i64))\n\
          (global $count (export \"count\") (mut i64) (i64.const 7))\n\
          (global $vector v128 (v128.const i64x2 1 2))\n\
          (global $some funcref (ref.func 9))\n";
    for i in 0..90 {
        let (export, ty) = (format!("export_number_{i}"), i % 5);
        let params = ["i32", "i64 i32", "f32 f64", "v128 i32", "i32 i32 i32"][ty];
        writeln!(
            t,
            "(func $name_{i} (export \"{export}\") (param {params}) (result i32)\n\
             (i32.div_u (i32.load offset={i} (i32.const {i})) (i32.const {})))",
            i % 3
        )
        .unwrap();
    }
    for i in 0..30 {
        writeln!(t, "(data (i32.const {}) \"segment {i}\") (data \"passive {i}\")", 100 * i)
            .unwrap();
        writeln!(t, "(elem (table 0) (i32.const {i}) func {}) (elem func {i})", i + 8).unwrap();
    }
    t + ")"
}

fn artifact(memory: MemoryShape) -> Vec<u8> {
    common::compile(text(), memory)
}

extern "C" fn never() {
    unreachable!("no guest runs here");
}

fn config() -> ModuleConfig {
    let mut imports = Imports::new();
    for i in 0..8 {
        // SAFETY: it is not called.
        let code = unsafe { HostCode::new(never as extern "C" fn() as *const _) };
        let ty = lucet::parse_signature("(i32, i64) -> f64").unwrap();
        imports.add("env", &format!("f{i}"), ty, code, 0).unwrap();
    }
    ModuleConfig { imports, allow_unsigned: true, ..ModuleConfig::default() }
}

/// Where artifacts are tried.
struct Place {
    config: ModuleConfig,
    region: Arc<Region>,
    /// Bytes beside which everything happens.
    canary: Vec<u8>,
}

/// What became of one.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Refused,
    Loaded,
    Instantiated,
}

impl Place {
    fn new() -> Self {
        let region = Region::new(RegionConfig { slots: 2, ..RegionConfig::default() }).unwrap();
        Self { config: config(), region, canary: vec![0xa5; 1 << 20] }
    }

    /// Loads it, and if that works asks it about everything and makes an instance.
    fn try_one(&self, bytes: &[u8], what: impl Fn() -> String) -> End {
        let module = match Module::load_bytes(bytes, &self.config) {
            Ok(module) => module,
            Err(e) => {
                let expected = [
                    Status::NotAnArtifact,
                    Status::InvalidArtifact,
                    Status::UnsupportedArtifact,
                    Status::MissingImport,
                    Status::ImportTypeMismatch,
                ];
                assert!(expected.contains(&e.status()), "{}: {e}", what());
                assert!(!e.message().is_empty(), "{}: no message", what());
                return End::Refused;
            }
        };
        let loaded = module.loaded();
        for i in [0, 8, 9, 100, u32::MAX] {
            let _ = (loaded.function_name(i), loaded.wasm_offset(i, 3));
            let _ = loaded.function_at(i);
        }
        // Its code would run.
        if module.contract().start.is_some() {
            return End::Loaded;
        }
        match Instance::new(&self.region, &module) {
            Ok(_) => End::Instantiated,
            Err(e) => {
                let expected = [Status::LimitExceeded, Status::StartFailed, Status::Unsupported];
                assert!(expected.contains(&e.status()), "{}: {e}", what());
                End::Loaded
            }
        }
    }

    fn intact(&self) {
        assert!(self.canary.iter().all(|b| *b == 0xa5), "something wrote where it has no business");
    }
}

/// Tries so many on two threads; how many were refused, loaded, instantiated.
fn try_all(n: usize, one: impl Fn(&Place, usize) -> End + Sync) -> [usize; 3] {
    let counts = [const { AtomicUsize::new(0) }; 3];
    std::thread::scope(|s| {
        for range in [0..n / 2, n / 2..n] {
            let (one, counts) = (&one, &counts);
            s.spawn(move || {
                let place = Place::new();
                for i in range {
                    counts[one(&place, i) as usize].fetch_add(1, Ordering::Relaxed);
                }
                place.intact();
            });
        }
    });
    counts.map(AtomicUsize::into_inner)
}

/// Everything that belongs to the process is as it was.
fn leaves_nothing(work: impl Fn()) {
    // Behind what libtest has begun.
    println!();
    // What is made once, and thread stacks that are kept.
    let place = Place::new();
    assert!(place.try_one(&artifact(MemoryShape::Guarded), String::new) == End::Instantiated);
    drop(place);
    try_all(2, |_, _| End::Refused);
    let (fds, maps, memory) = (descriptors(), mappings(), status_kib("VmRSS"));
    work();
    assert_eq!(descriptors(), fds, "descriptors");
    // The allocator's arenas of two threads are a few; a leak is one for each of hundreds of tries.
    assert!(mappings() <= maps + 32, "{maps} mappings became {}", mappings());
    let more = status_kib("VmRSS").saturating_sub(memory);
    assert!(more < 16 << 10, "{more} KiB more than before");
}

/// Where the code lies.
fn code(artifact: &[u8]) -> Range<usize> {
    let body = &artifact[..artifact.len() - TRAILER_BYTES];
    lucet_artifact::elf::parse(body).unwrap().section(TEXT).unwrap()
}

fn outside(text: &Range<usize>, len: usize) -> Vec<usize> {
    (0..len).filter(|at| !text.contains(at)).collect()
}

/// One process for each, so that what is left can be counted.
fn alone(name: &str, work: impl Fn()) {
    let out = common::process::child(name, || leaves_nothing(&work));
    if let Some(out) = out {
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{text}\n{}", String::from_utf8_lossy(&out.stderr));
        println!();
        for line in text.lines().filter(|l| l.starts_with("hostile: ")) {
            println!("{line}");
        }
    }
}

#[test]
fn with_the_hash_left_alone_all_is_refused() {
    alone("with_the_hash_left_alone_all_is_refused", || {
        let bytes = artifact(MemoryShape::Guarded);
        assert!(bytes.len() >= 20 << 10, "{} bytes", bytes.len());
        let covered = bytes.len() - TRAILER_BYTES + HASH_OFFSET + 64;
        let [refused, ..] = try_all(8 * covered, |place, i| {
            let mut b = bytes.clone();
            b[i / 8] ^= 1 << (i % 8);
            place.try_one(&b, || format!("byte {} bit {}", i / 8, i % 8))
        });
        assert_eq!(refused, 8 * covered, "flipped bits that were refused");
        let [cut, ..] =
            try_all(bytes.len(), |place, n| place.try_one(&bytes[..n], || format!("cut at {n}")));
        assert_eq!(cut, bytes.len(), "truncations that were refused");
        println!("hostile: flips {refused}");
        println!("hostile: cuts {cut}");
    });
}

#[test]
fn flips_with_a_hash_that_fits_are_survived() {
    alone("flips_with_a_hash_that_fits_are_survived", || {
        let bytes = artifact(MemoryShape::Compact);
        let body = bytes.len() - TRAILER_BYTES;
        let places = outside(&code(&bytes), body);
        assert!(8 * places.len() >= LEAST_BITS, "{} bits", 8 * places.len());
        let [refused, loaded, made] = try_all(8 * places.len(), |place, i| {
            let (at, bit) = (places[i / 8], i % 8);
            let mut b = bytes.clone();
            b[at] ^= 1 << bit;
            place.try_one(&resealed(&b), || format!("byte {at:#x} bit {bit}, hash fits"))
        });
        // Names and constants may be others; that is all.
        assert!(refused > 2 * places.len() && made > 0, "{refused} refused, {made} instantiated");
        println!("hostile: rehashed-flips {}", refused + loaded + made);
        println!("hostile: rehashed-loaded {}", loaded + made);
        let step = 61;
        let [cut, ..] = try_all(body / step, |place, n| {
            place.try_one(&sealed(bytes[..n * step].to_vec()), || format!("cut at {}", n * step))
        });
        assert_eq!(cut, body / step);
        println!("hostile: rehashed-cuts {cut}");
    });
}

#[test]
fn changes_with_a_hash_that_fits_are_survived() {
    alone("changes_with_a_hash_that_fits_are_survived", || {
        let n = if std::env::var_os("FULL").is_some() { 1_000_000 } else { 50_000 };
        let all = [MemoryShape::Guarded, MemoryShape::Compact].map(artifact);
        let [refused, loaded, made] = try_all(n, |place, i| {
            let mut rng = Rng(i as u64 * 0x9e37_79b9_7f4a_7c15 + 1);
            rng.next();
            let (one, other) = (&all[i % 2], &all[(i + 1) % 2]);
            let changed = change(one, other, &mut rng);
            assert!(changed[code(one)] == one[code(one)], "change {i} is one of the code");
            place.try_one(&resealed(&changed), || format!("change {i}"))
        });
        assert!(refused > 0 && made > 0, "{refused} refused, {made} instantiated");
        println!("hostile: rehashed-changes {n}");
        println!("hostile: rehashed-loaded {}", loaded + made);
    });
}

#[test]
fn changed_code_with_a_hash_that_fits_is_loaded() {
    alone("changed_code_with_a_hash_that_fits_is_loaded", || {
        let bytes = artifact(MemoryShape::Guarded);
        let text = code(&bytes);
        let [refused, ..] = try_all(text.len(), |place, i| {
            let mut b = bytes.clone();
            b[text.start + i] ^= 1 << (i % 8);
            place.try_one(&resealed(&b), || format!("byte {i} of .text"))
        });
        // It is not looked at: that is what signatures are for.
        assert_eq!(refused, 0, "changed code that was refused");
        println!("hostile: rehashed-code {}", text.len());
    });
}
