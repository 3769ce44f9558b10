//! Several memories, memories and tables with 64-bit indices, atomic accesses: alone and in groups,
//! in every kind of region.
//!
//! * this file: what an instance with several memories is, from creation to the next instance
//! * [`bounds`]: each access at each edge of each kind of memory
//! * [`shared`]: memories that other members of a group own
//! * [`tables`]: tables with 64-bit indices
//! * [`atomics`]: atomic operators

mod common;
#[allow(dead_code)]
#[path = "hostile/kit.rs"]
mod kit;

#[path = "memories/atomics.rs"]
mod atomics;
#[path = "memories/bounds.rs"]
mod bounds;
#[path = "memories/shared.rs"]
mod shared;
#[path = "memories/tables.rs"]
mod tables;

use common::process::{forked, in_child, mappings, status_kib};
use kit::{returned, settings, trapped};
use lucet::{
    ChildOptions, Growth, GrowthKind, Imports, Instance, InstanceRef, ModuleConfig, Region,
    RegionConfig, SnapshotOptions, Status, TrapCode, Val,
};
use std::sync::Mutex;

/// A memory in the slot, one with 32-bit addresses and one with 64-bit addresses.
const GUEST: &str = r#"(module
  (memory (export "a") 1 9) (memory (export "b") 2 8) (memory (export "c") i64 1)
  (data (memory 0) (i32.const 10) "slot")
  (data (memory 1) (i32.const 65530) "across pages")
  (data (memory 2) (i64.const 4094) "wide")
  (data $p "passive")
  (func (export "grow") (param i32 i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (memory.grow 0 (local.get 1)))
      (else (if (result i32) (i32.eq (local.get 0) (i32.const 1))
        (then (memory.grow 1 (local.get 1)))
        (else (i32.wrap_i64 (memory.grow 2 (i64.extend_i32_u (local.get 1)))))))))
  (func (export "sizes") (result i32 i32 i64) (memory.size 0) (memory.size 1) (memory.size 2))
  (func (export "fill") (param i32 i32)
    (memory.fill 0 (i32.const 0) (local.get 0) (i32.shl (memory.size 0) (i32.const 16)))
    (memory.fill 1 (i32.const 0) (local.get 0) (i32.shl (memory.size 1) (i32.const 16)))
    (memory.fill 2 (i64.const 0) (local.get 0) (i64.shl (memory.size 2) (i64.const 16))))
  (func (export "init") (param i64 i32 i32)
    (memory.init 2 $p (local.get 0) (local.get 1) (local.get 2)))
  (func (export "drop") (data.drop $p)))"#;

const PAGE: u64 = 65536;

fn grow(i: &InstanceRef, memory: i32, pages: i32) -> i32 {
    match returned(i.run("grow", &[Val::I32(memory), Val::I32(pages)]).unwrap())[..] {
        [Val::I32(v)] => v,
        ref other => panic!("{other:?}"),
    }
}

fn fill(i: &InstanceRef, value: i32) {
    returned(i.run("fill", &[Val::I32(value), Val::I32(0)]).unwrap());
}

fn contents(i: &InstanceRef, memory: u32) -> Vec<u8> {
    let mut bytes = vec![0xee; i.memory_size_of(memory).unwrap() as usize];
    i.memory_read_of(memory, 0, &mut bytes).unwrap();
    bytes
}

/// What the memories of [`GUEST`] hold at first.
fn pristine() -> [Vec<u8>; 3] {
    let mut all = [vec![0; 65536], vec![0; 2 * 65536], vec![0; 65536]];
    for (memory, at, text) in [(0, 10, "slot"), (1, 65530, "across pages"), (2, 4094, "wide")] {
        all[memory][at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    all
}

fn assert_pristine(i: &InstanceRef, what: &str) {
    for (n, expected) in pristine().iter().enumerate() {
        assert!(contents(i, n as u32) == *expected, "{what}: memory {n}");
    }
}

#[test]
fn each_instance_begins_with_pristine_memories() {
    for s in settings(2) {
        let (r, m) = (s.region(), s.module(GUEST, Imports::new()));
        for round in 0..6 {
            let i = Instance::new(&r, &m).unwrap();
            assert_pristine(&i, "fresh");
            fill(&i, 0xa5);
            let grown = [grow(&i, 0, 2), grow(&i, 1, 1), grow(&i, 2, 3)];
            assert_eq!(grown, [1, 2, 1], "{round}");
            // What grew is zero, also if an instance before grew as much.
            for (n, old) in [(0u32, 1u64), (1, 2), (2, 1)] {
                let bytes = contents(&i, n);
                assert!(bytes[..(old * PAGE) as usize].iter().all(|b| *b == 0xa5), "{n}");
                assert!(bytes[(old * PAGE) as usize..].iter().all(|b| *b == 0), "{n}");
            }
            fill(&i, 0x5a);
            if round % 2 == 0 {
                let place = i.memory_range_of(1, 0, 1).unwrap();
                i.reset().unwrap();
                assert_pristine(&i, "reset");
                assert_eq!(i.memory_range_of(1, 0, 1).unwrap(), place, "a base stays");
                assert_eq!(grow(&i, 1, 6), 2);
                assert!(contents(&i, 1)[2 * 65536..].iter().all(|b| *b == 0));
                fill(&i, 1);
            }
        }
    }
}

#[test]
fn slots_go_from_module_to_module() {
    let other = r#"(module (memory 1) (memory (export "m") 1)
        (func (export "at") (param i32) (result i32) (i32.load 1 (local.get 0))))"#;
    for s in settings(1) {
        let (r, m) = (s.region(), s.module(GUEST, Imports::new()));
        let (other, one) = (s.module(other, Imports::new()), s.module("(module)", Imports::new()));
        for _ in 0..3 {
            fill(&Instance::new(&r, &m).unwrap(), 7);
            drop(Instance::new(&r, &one).unwrap());
            let i = Instance::new(&r, &other).unwrap();
            for at in [0, 4092, 65532] {
                assert_eq!(returned(i.run("at", &[Val::I32(at)]).unwrap()), [Val::I32(0)]);
            }
        }
    }
}

#[test]
fn limits_count_all_memories_together() {
    for s in settings(1) {
        let config = RegionConfig { max_memory: 10 * PAGE, ..s.config };
        let (r, m) = (Region::new(config).unwrap(), s.module(GUEST, Imports::new()));
        let i = Instance::new(&r, &m).unwrap();
        // The module's own maximum first, then the region's for all of them.
        assert_eq!([grow(&i, 1, 7), grow(&i, 1, -1), grow(&i, 2, -1)], [-1; 3]);
        assert_eq!([grow(&i, 1, 6), grow(&i, 2, 1)], [2, -1]);
        assert_eq!([grow(&i, 0, 1), grow(&i, 2, 0), grow(&i, 1, 0)], [-1, 1, 8]);
        i.reset().unwrap();
        i.set_memory_limit(6 * PAGE + 1).unwrap();
        assert_eq!([grow(&i, 2, 3), grow(&i, 2, 2), grow(&i, 0, 1)], [-1, 1, -1]);
        i.set_memory_limit(u64::MAX).unwrap();
        assert_eq!([grow(&i, 2, 5), grow(&i, 0, 4), grow(&i, 0, 1)], [-1, 1, -1]);

        let config = RegionConfig { max_memory: 4 * PAGE - 1, ..s.config };
        let e = Instance::new(&Region::new(config).unwrap(), &m).unwrap_err();
        assert_eq!(e.status(), Status::LimitExceeded);
        assert!(e.message().contains("begins with 262144 bytes"), "{e}");
    }
}

static ASKED: Mutex<Vec<(GrowthKind, u64, u64)>> = Mutex::new(Vec::new());

fn ask(_: &Growth, _: (u32, u32), kind: GrowthKind, from: u64, to: u64) -> bool {
    ASKED.lock().unwrap().push((kind, from / PAGE, to / PAGE));
    to <= 7 * PAGE
}

#[test]
fn whoever_is_asked_hears_of_all_memories() {
    for s in settings(1) {
        let growth = Growth { ask, function: 0, user_data: 0 };
        let config = RegionConfig { growth: Some(growth), ..s.config };
        let (r, m) = (Region::new(config).unwrap(), s.module(GUEST, Imports::new()));
        let i = Instance::new(&r, &m).unwrap();
        let grown = [grow(&i, 1, 1), grow(&i, 2, 2), grow(&i, 0, 1), grow(&i, 1, 0)];
        assert_eq!(grown, [2, 1, -1, 3]);
        let asked = std::mem::take(&mut *ASKED.lock().unwrap());
        let kind = GrowthKind::Memory;
        assert_eq!(asked, [(kind, 4, 5), (kind, 5, 7), (kind, 7, 8)]);
    }
}

#[test]
fn segments_know_their_memory() {
    for s in settings(1) {
        let i = s.instance(GUEST, Imports::new());
        let init = |d: i64, from: i32, n: i32| {
            i.recover().ok();
            i.run("init", &[Val::I64(d), Val::I32(from), Val::I32(n)]).unwrap()
        };
        returned(init(100, 1, 4));
        assert_eq!(&contents(&i, 2)[100..105], b"assi\0");
        returned(init(65536 - 7, 0, 7));
        returned(init(65536, 7, 0));
        for (d, from, n) in [
            (65536 - 6, 0, 7),
            (65537, 0, 0),
            (1 << 32, 0, 1),
            (-1, 0, 1),
            (-7, 0, 7),
            (i64::MIN, 0, 7),
            (0, 1, 7),
            (0, -1, 1),
            (0, 8, 0),
        ] {
            let trap = trapped(init(d, from, n));
            assert_eq!(trap.code, TrapCode::MemoryOutOfBounds, "{d} {from} {n}");
        }
        i.recover().unwrap();
        returned(i.run("drop", &[]).unwrap());
        returned(init(0, 0, 0));
        assert_eq!(trapped(init(0, 0, 1)).code, TrapCode::MemoryOutOfBounds);

        // In any order with those that cannot be folded; the first that does not fit ends it all.
        let late = r#"(module (memory 1) (memory i64 1)
            (data (memory 1) (i64.add (i64.const 1) (i64.const 2)) "abc")
            (data (memory 1) (i64.const 4) "x")
            (data (i32.const 0) "y")
            (func (export "f") (result i64 i32)
              (i64.load 1 (i64.const 0)) (i32.load (i32.const 0))))"#;
        let i = s.instance(late, Imports::new());
        let expected = [Val::I64(i64::from_le_bytes(*b"\0\0\0axc\0\0")), Val::I32(0x79)];
        assert_eq!(returned(i.run("f", &[]).unwrap()), expected);
        for offset in ["65534", "-1", "0x1_0000_0000", "0x7fff_ffff_ffff_ffff"] {
            let wat = format!(
                r#"(module (memory 1) (memory i64 1) (data (memory 1) (i64.const {offset}) "abc"))"#
            );
            let m = s.module(&wat, Imports::new());
            let e = Instance::new(&s.region(), &m).unwrap_err();
            assert_eq!(e.status(), Status::StartFailed, "{offset}: {e}");
        }
    }
}

/// A module without a memory 0 of its own has others all the same; one without any has none.
#[test]
fn the_host_sees_memories_by_index_and_name() {
    for s in settings(1) {
        let i = s.instance(GUEST, Imports::new());
        assert_eq!(i.exported_memory("c").unwrap(), 2);
        assert_eq!(i.exported_memory("grow").unwrap_err().status(), Status::ExportTypeMismatch);
        assert_eq!(i.exported_memory("d").unwrap_err().status(), Status::NoSuchExport);
        assert_eq!(i.memory_size_of(3).unwrap_err().status(), Status::InvalidArgument);
        i.memory_write_of(2, 65535, &[9]).unwrap();
        let e = i.memory_write_of(2, 65535, &[9, 9]).unwrap_err();
        assert_eq!(e.status(), Status::OutOfBounds);
        assert_eq!(contents(&i, 2)[65535], 9);
        assert_eq!((i.memory_size().unwrap(), i.memory_size_of(1).unwrap()), (PAGE, 2 * PAGE));
    }
}

/// Runs of instances do not leave mappings or address space behind, whatever they did.
#[test]
fn t_nothing_is_left_of_ten_thousand_instances() {
    in_child("t_nothing_is_left_of_ten_thousand_instances", || {
        for s in settings(4) {
            let (r, m) = (s.region(), s.module(GUEST, Imports::new()));
            let one = |n: u32| {
                let i = Instance::new(&r, &m).unwrap();
                if n.is_multiple_of(3) {
                    let memory = 1 + (n % 2) as i32;
                    assert_eq!(grow(&i, memory, 2), 3 - memory);
                }
                if n.is_multiple_of(7) {
                    i.reset().unwrap();
                }
            };
            (0..8).for_each(one);
            let before = (mappings(), status_kib("VmSize"));
            (0..10_000).for_each(one);
            let after = (mappings(), status_kib("VmSize"));
            assert!(after.0 <= before.0 + 2, "{before:?} {after:?}");
            assert!(after.1 <= before.1 + 4096, "{before:?} {after:?}");
            drop((r, m));
        }
        // Modules and regions that go take everything along.
        let s = settings(4)[0];
        let all = || {
            let (r, m) = (s.region(), s.module(GUEST, Imports::new()));
            let kept: Vec<_> = (0..4).map(|_| Instance::new(&r, &m).unwrap()).collect();
            drop(m);
            drop(kept);
            drop(r);
        };
        all();
        let before = mappings();
        (0..50).for_each(|_| all());
        assert!(mappings() <= before + 2, "{before} {}", mappings());
    });
}

#[test]
fn t_children_have_nothing_of_it() {
    in_child("t_children_have_nothing_of_it", || {
        let s = settings(2)[0];
        let (r, m) = (s.region(), s.module(GUEST, Imports::new()));
        let i = Instance::new(&r, &m).unwrap();
        fill(&i, 3);
        let place = i.memory_range_of(1, 0, 1).unwrap().expose_provenance();
        let is_mapped = move || {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            maps.lines().any(|l| {
                let (start, end) = l.split_once(' ').unwrap().0.split_once('-').unwrap();
                let number = |s| usize::from_str_radix(s, 16).unwrap();
                (number(start)..number(end)).contains(&place)
            })
        };
        assert!(is_mapped());
        for _ in 0..20 {
            forked(|| {
                assert!(!is_mapped());
                assert_eq!(i.memory_size_of(1).unwrap_err().status(), Status::Forked);
                let i = Instance::new(&s.region(), &m).unwrap();
                assert_pristine(&i, "in a child");
                fill(&i, 4);
            });
        }
        assert!(contents(&i, 1).iter().all(|b| *b == 3));
    });
}

#[test]
fn snapshots_hold_all_memories() {
    for s in settings(2) {
        let (r, m) = (s.region(), s.module(GUEST, Imports::new()));
        let i = Instance::new(&r, &m).unwrap();
        assert_eq!([grow(&i, 1, 1), grow(&i, 2, 2), grow(&i, 0, 1)], [2, 1, 1]);
        for (n, at) in [(0, 2 * PAGE - 1), (1, 3 * PAGE - 1), (2, 3 * PAGE - 1), (2, 50_000)] {
            i.memory_write_of(n, at, &[n as u8 + 1]).unwrap();
        }
        let expected = [0, 1, 2].map(|n| contents(&i, n));
        let taken = i.snapshot(&SnapshotOptions::default()).unwrap();
        let path = std::env::temp_dir().join(format!("memories-{}.so", std::process::id()));
        taken.save(&path).unwrap();
        let config = ModuleConfig { allow_unsigned: true, ..ModuleConfig::default() };
        let loaded = lucet::Module::load_file(&path, &config).unwrap();
        std::fs::remove_file(&path).unwrap();
        let again = {
            let i = Instance::new(&r, &loaded).unwrap();
            i.snapshot(&SnapshotOptions::default()).unwrap()
        };
        for (what, m) in [("in memory", &taken), ("loaded", &loaded), ("of that", &again)] {
            for _ in 0..3 {
                let i = Instance::new(&r, m).unwrap();
                for (n, expected) in expected.iter().enumerate() {
                    assert!(contents(&i, n as u32) == *expected, "{what}: memory {n}");
                }
                fill(&i, 0xff);
                assert_eq!([grow(&i, 1, 6), grow(&i, 1, 5)], [-1, 3], "{what}");
            }
        }
        let child = m.snapshot_in_child(&ChildOptions { region: s.config, ..Default::default() });
        assert_pristine(&Instance::new(&r, &child.unwrap()).unwrap(), "from a child");
    }
}

/// What can never fit is refused when it is compiled.
#[test]
fn what_no_instance_can_have_is_refused() {
    let errors = |wat: &str| {
        let e = lucetc::compile(wat.as_bytes(), &lucetc::Options::default()).unwrap_err();
        (e.class(), e.to_string())
    };
    for (wat, part) in [
        ("(module (memory i64 65537))", "memory 0 starts with 65537 pages"),
        ("(module (memory 1) (memory i64 0x1_0000_0000_0000))", "memory 1 starts with 281474976"),
    ] {
        let (class, text) = errors(wat);
        assert_eq!(class, lucetc::Class::Limit, "{text}");
        assert!(text.contains(part), "{text}");
    }
    let many = format!("(module {})", "(memory 0)".repeat(66));
    let (class, text) = errors(&many);
    assert_eq!(class, lucetc::Class::Limit, "{text}");
    assert!(text.contains("besides memory 0 may take"), "{text}");
    // Maxima may be what they like: growth ends where there is no more room.
    for s in settings(1) {
        let wat = r#"(module (memory i64 0 0x1_0000_0000_0000) (memory 0) (memory i64 1)
            (func (export "f") (param i64) (result i64 i64)
              (memory.grow 0 (local.get 0)) (memory.grow 2 (local.get 0))))"#;
        let i = s.instance(wat, Imports::new());
        for pages in [65537, 1 << 32, 1 << 48, -1, i64::MIN, (1 << 48) + 1] {
            let got = returned(i.run("f", &[Val::I64(pages)]).unwrap());
            assert_eq!(got, [Val::I64(-1), Val::I64(-1)], "{pages}");
        }
        let got = returned(i.run("f", &[Val::I64(3)]).unwrap());
        assert_eq!(got, [Val::I64(0), Val::I64(1)]);
    }
}
