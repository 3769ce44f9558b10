//! The same promise as `hostile/reuse.rs` (a slot shows nothing of the instance before), over as
//! many reuses as are promised: small guests that dirty a few pages each in different places, and a
//! look at every byte of the next one's memory, globals and table. `FULL=1` runs ten million.

mod common;

use common::{compile, host, load, vmctx};
use lucet::{Control, Imports, Instance, Module, Outcome, Region, RegionConfig, Rung, Status};
use lucet::{TrapCode, Val};
use lucet_artifact::types::MemoryShape;
use std::sync::Arc;

const PAGE: usize = 65536;

extern "C" fn suspend(ctx: *const Control, _: usize) -> i64 {
    let ctx = vmctx(ctx);
    ctx.yield_value(5, None, 0).unwrap();
    0
}

struct Guest {
    module: Arc<Module>,
    fresh: Vec<u8>,
}

/// A guest with a data segment at `data`, if any, that dirties one word in each of 8 pages, after
/// growing if `grows`.
fn guest(shape: MemoryShape, data: Option<usize>, grows: bool, pages: usize) -> Guest {
    let segment = data.map_or(String::new(), |at| format!("(data (i32.const {at}) \"image\")"));
    let grow = if grows {
        "(drop (memory.grow (i32.const 1)))
         (i64.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8))
           (i64.const -1))"
    } else {
        ""
    };
    let text = format!(
        r#"(module (import "env" "y" (func $y (result i64)))
  (memory (export "m") {pages} 4) {segment}
  (table $t (export "t") 2 4 externref)
  (global $g (export "g") (mut i64) (i64.const 77))
  (func $dirty (param i32) (local i32)
    {grow}
    (local.set 1 (i32.const 8))
    (loop $l
      (i64.store (i32.and (i32.mul (local.get 0) (i32.const 7919)) (i32.const 0xfff8))
        (i64.const 0xa5a5a5a5a5a5a5a5))
      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (br_if $l (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
    (global.set $g (i64.const 0xa5a5)))
  (func (export "returns") (param i32) (call $dirty (local.get 0)))
  (func (export "table") (param i32 externref)
    (call $dirty (local.get 0)) (table.set $t (i32.const 1) (local.get 1)))
  (func (export "spins") (param i32) (call $dirty (local.get 0)) (loop $l (br $l)))
  (func (export "traps") (param i32) (call $dirty (local.get 0)) unreachable)
  (func (export "faults") (param i32)
    (call $dirty (local.get 0)) (drop (i32.load (i32.const -4))))
  (func (export "waits") (param i32) (call $dirty (local.get 0)) (drop (call $y))))"#
    );
    let mut imports = Imports::new();
    host(&mut imports, "y", "() -> i64", suspend as *const _, 0);
    let mut fresh = vec![0; pages * PAGE];
    if let Some(at) = data {
        fresh[at..at + 5].copy_from_slice(b"image");
    }
    Guest { module: load(&compile(&text, shape), imports).unwrap(), fresh }
}

/// A module whose start function dirties memory and traps.
fn failing(shape: MemoryShape) -> Arc<Module> {
    let text = r#"(module (memory 1 4) (func $dirty
      (memory.fill (i32.const 0) (i32.const 0xa5) (i32.const 65536)) unreachable) (start $dirty))"#;
    load(&compile(text, shape), Imports::new()).unwrap()
}

fn inspect(i: &Instance, g: &Guest, n: u64) {
    let size = g.fresh.len();
    assert_eq!(i.memory_size().unwrap(), size as u64, "reuse {n}");
    let at = i.memory_range(0, size as u64).unwrap();
    // SAFETY: the instance's memory is that long, and nothing of it runs meanwhile.
    let memory = unsafe { std::slice::from_raw_parts(at, size) };
    assert!(memory == g.fresh, "reuse {n}: memory is not as it was");
    assert_eq!(i.global_get("g").unwrap(), Val::I64(77), "reuse {n}");
    assert_eq!(i.table_elements("t").unwrap(), [0, 0], "reuse {n}");
}

/// Lets the guest end in one of its ways.
fn end(i: &Instance, at: Val, way: u64, resumed: bool, n: u64) {
    let (name, more) = match way {
        0..8 => ("returns", None),
        8 => ("table", Some(Val::ExternRef(0xa5a5))),
        9..12 => ("traps", None),
        12 => ("faults", None),
        _ => ("waits", None),
    };
    let args: Vec<Val> = std::iter::once(at).chain(more).collect();
    let last = match (name, i.run(name, &args).unwrap()) {
        ("returns" | "table", Outcome::Returned(v)) if v.is_empty() => return,
        ("traps", Outcome::Trapped(t)) if t.code == TrapCode::Unreachable => return,
        ("faults", Outcome::Trapped(t)) if t.code == TrapCode::MemoryOutOfBounds => return,
        ("waits", Outcome::Yielded(5)) if resumed => i.resume(0).unwrap(),
        ("waits", Outcome::Yielded(5)) => return,
        (_, other) => panic!("reuse {n}: {name}: {other:?}"),
    };
    assert_eq!(last, Outcome::Returned(vec![]), "reuse {n}: resumed");
}

fn reuses(shape: MemoryShape, config: RegionConfig, count: u64) {
    let region = Region::new(config).unwrap();
    let guests = [
        guest(shape, Some(100), false, 1),
        guest(shape, Some(40_000), true, 1),
        guest(shape, None, false, 2),
        guest(shape, None, true, 1),
    ];
    let failing = failing(shape);
    let mut random = 0x5eed_u64;
    for n in 0..count {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let pick = |shift: u32, of: u64| random >> shift & (of - 1);
        // Mostly the same module again, as in a server.
        let g = &guests[if pick(60, 16) == 0 { pick(20, 4) } else { n >> 12 & 3 } as usize];
        let i = Instance::new(&region, &g.module).unwrap();
        inspect(&i, g, n);
        let at = Val::I32(pick(30, 1 << 20) as i32);
        if n % 512 == 7 {
            i.set_time_limit(1_000).unwrap();
            assert_eq!(i.run("spins", &[at]).unwrap(), Outcome::TimedOut, "reuse {n}");
            continue;
        }
        if n % 64 == 9 {
            // In the other slot, which the next one may get.
            assert_eq!(Instance::new(&region, &failing).unwrap_err().status(), Status::StartFailed);
        }
        end(&i, at, pick(40, 16), pick(50, 2) == 0, n);
        if pick(52, 32) == 0 {
            i.reset().unwrap();
            inspect(&i, g, n);
        }
    }
    assert_eq!(region.live(), 0);
}

fn all(count: u64) {
    let config = RegionConfig { slots: 2, max_memory: 1 << 20, ..RegionConfig::default() };
    let compact = RegionConfig { compact: true, stacks: 2, ..config };
    let with = |rung| RegionConfig { reset: Some(rung), ..config };
    // The best way of this kernel most of the time, each other one for a while.
    reuses(MemoryShape::Guarded, config, count / 2);
    reuses(MemoryShape::Compact, compact, count / 4);
    for rung in [Rung::PagemapScan, Rung::CopyAndClear, Rung::Decommit] {
        if Region::new(with(rung)).is_ok() {
            reuses(MemoryShape::Guarded, with(rung), count / 12);
        }
    }
}

#[test]
fn t_dirty_reuse_many() {
    all(60_000);
}

#[test]
#[ignore = "ten million reuses take minutes"]
fn t_dirty_reuse_ten_million() {
    all(10_200_000);
}
