//! How many instances fit: what each of them takes is counted, and one more than fits is a status.
//! `benches/density.rs` prints the same for the promised numbers.

mod common;

use common::process::{in_child, mappings, status_kib};
use common::{compile, host, load, vmctx};
use lucet::{Control, Imports, Instance, Module, Outcome, Region, RegionConfig, Status, Val};
use lucet_artifact::types::MemoryShape;
use std::ffi::c_void;
use std::sync::Arc;

const GUEST: &str = r#"(module (import "env" "wait" (func $wait (result i32)))
  (memory 1 1) (table 16 funcref)
  (func (export "touch") (i32.store (i32.const 100) (i32.const 1)))
  (func (export "wait") (result i32)
    (i32.store (i32.const 100) (i32.const 1)) (call $wait)))"#;

extern "C" fn wait(ctx: *const Control, _: usize) -> i32 {
    vmctx(ctx).yield_value(1, None, 0).unwrap();
    0
}

fn module(shape: MemoryShape) -> Arc<Module> {
    let mut imports = Imports::new();
    host(&mut imports, "wait", "() -> i32", wait as *const c_void, 0);
    load(&compile(GUEST, shape), imports).unwrap()
}

/// Fills a region; the KiB (page tables included) and mappings that it took.
fn fill(m: &Arc<Module>, config: RegionConfig, export: &str) -> (u64, usize) {
    let warm = Region::new(RegionConfig { slots: 1, stacks: 1, ..config }).unwrap();
    drop(Instance::new(&warm, m).unwrap());
    let look = || (status_kib("VmRSS:") + status_kib("VmPTE:"), mappings());
    let before = look();
    let r = Region::new(config).unwrap();
    let all: Vec<_> = (0..config.slots).map(|_| Instance::new(&r, m).unwrap()).collect();
    for i in &all {
        match i.run(export, &[]).unwrap() {
            Outcome::Returned(_) | Outcome::Yielded(1) => {}
            other => panic!("{other:?}"),
        }
    }
    let after = look();
    assert_eq!(Instance::new(&r, m).unwrap_err().status(), Status::RegionFull);
    for i in all.iter().filter(|_| export == "wait") {
        assert_eq!(i.resume(7).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
    }
    (after.0 - before.0, after.1 - before.1)
}

fn compact(slots: u32, stacks: u32) -> RegionConfig {
    RegionConfig {
        slots,
        stacks,
        compact: true,
        max_memory: 64 << 10,
        max_instance_data: 4 << 10,
        stack_bytes: 16 << 10,
        ..RegionConfig::default()
    }
}

#[test]
fn compact_instances_take_ten_kibibytes() {
    in_child("compact_instances_take_ten_kibibytes", || {
        let m = module(MemoryShape::Compact);
        let (kib, mappings) = fill(&m, compact(20_000, 4), "touch");
        assert!(kib <= 20_000 * 10, "{kib} KiB");
        assert!(mappings < 50, "{mappings} mappings");
    });
}

#[test]
fn suspended_instances_take_sixteen_kibibytes_and_no_mappings() {
    in_child("suspended_instances_take_sixteen_kibibytes_and_no_mappings", || {
        let m = module(MemoryShape::Compact);
        let (kib, mappings) = fill(&m, compact(5_000, 5_000), "wait");
        assert!(kib <= 5_000 * 16, "{kib} KiB");
        assert!(mappings < 50, "{mappings} mappings");
    });
}

#[test]
fn guarded_instances_take_three_mappings() {
    in_child("guarded_instances_take_three_mappings", || {
        let m = module(MemoryShape::Guarded);
        let config = RegionConfig { slots: 2_000, ..RegionConfig::default() };
        let (kib, mappings) = fill(&m, config, "touch");
        // Two pages, page tables, and less than a KiB of the host's memory.
        assert!(kib <= 2_000 * 35 / 2, "{kib} KiB");
        assert!(mappings <= 2_000 * 3, "{mappings} mappings");
    });
}

/// As many guarded instances as a process with the default settings can have.
#[test]
#[ignore = "FULL: takes 400 MiB and some seconds"]
fn t_twenty_one_thousand_guarded_instances() {
    in_child("t_twenty_one_thousand_guarded_instances", || {
        let m = module(MemoryShape::Guarded);
        fill(&m, RegionConfig { slots: 21_000, ..RegionConfig::default() }, "touch");
    });
}

#[test]
#[ignore = "FULL: takes 1.5 GiB"]
fn t_a_hundred_thousand_suspended_instances() {
    in_child("t_a_hundred_thousand_suspended_instances", || {
        let (kib, _) = fill(&module(MemoryShape::Compact), compact(100_000, 100_000), "wait");
        assert!(kib <= 100_000 * 16, "{kib} KiB");
    });
}

#[test]
#[ignore = "FULL: takes 10 GiB"]
fn t_a_million_instances() {
    in_child("t_a_million_instances", || {
        let (kib, _) = fill(&module(MemoryShape::Compact), compact(1_000_000, 4), "touch");
        assert!(kib <= 1_000_000 * 10, "{kib} KiB");
    });
}
