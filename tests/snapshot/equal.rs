//! A snapshot of an instance goes on as the instance would.

use super::guests::{
    Dice, SHAPES, everything, load, memory, region, saved, snapshot, step, visible,
};
use lucet::{Instance, Region, RegionConfig, Rung};
use std::sync::Arc;

/// Runs the instance and others side by side.
fn go_on(first: &Instance, others: &[(&str, Instance)], calls: u32, dice: &mut Dice) {
    for n in 0..calls {
        let (name, args) = dice.call();
        let expected = step(first, name, &args);
        for (what, other) in others {
            assert_eq!(step(other, name, &args), expected, "{what}: call {n}, {name} {args:?}");
        }
    }
    for (what, other) in others {
        assert_eq!(visible(other), visible(first), "{what}");
        assert!(memory(other) == memory(first), "{what}: memories differ");
    }
}

#[test]
fn a_snapshot_goes_on_as_its_instance_does() {
    for (seed, shape) in (1..9).flat_map(|seed| SHAPES.map(|s| (seed, s))) {
        let (m, r) = (everything(shape), region(shape));
        let mut dice = Dice(seed * 0x9e37_79b9_7f4a_7c15);
        let first = Instance::new(&r, &m).unwrap();
        for (name, args) in (0..dice.roll() % 60).map(|_| Dice(dice.roll() | 1).call()) {
            step(&first, name, &args);
        }
        let snap = snapshot(&first);
        let again = load(&saved(&snap));
        let others = [
            ("in memory", Instance::new(&r, &snap).unwrap()),
            ("from the file", Instance::new(&r, &again).unwrap()),
            ("of the file's instance", {
                let i = Instance::new(&r, &again).unwrap();
                Instance::new(&r, &snapshot(&i)).unwrap()
            }),
        ];
        for (what, other) in &others {
            assert_eq!(visible(other), visible(&first), "{what}");
            assert!(memory(other) == memory(&first), "{what}: memories differ");
        }
        go_on(&first, &others, 80, &mut dice);
        // Snapshots of what the instances came to, and once more.
        let deeper = snapshot(&others[0].1);
        let others = [("a snapshot's snapshot", Instance::new(&r, &deeper).unwrap())];
        go_on(&first, &others, 40, &mut dice);
        let file = load(&saved(&snapshot(&others[0].1)));
        go_on(&first, &[("three deep", Instance::new(&r, &file).unwrap())], 40, &mut dice);
    }
}

/// Regions that reset in each of the ways the kernel has.
fn regions() -> Vec<Arc<Region>> {
    let rungs = [Rung::Decommit, Rung::CopyAndClear, Rung::PagemapScan, Rung::FirstTouch];
    let with = |rung| Region::new(RegionConfig { reset: Some(rung), ..RegionConfig::default() });
    rungs.into_iter().filter_map(|rung| with(rung).ok()).collect()
}

#[test]
fn memory_is_captured_on_every_rung() {
    let shape = SHAPES[0];
    let m = everything(shape);
    let regions = regions();
    assert!(regions.len() >= 2);
    for from in &regions {
        let i = Instance::new(from, &m).unwrap();
        let mut dice = Dice(7);
        for _ in 0..50 {
            let (name, args) = dice.call();
            step(&i, name, &args);
        }
        let snap = snapshot(&i);
        for to in &regions {
            let j = Instance::new(to, &snap).unwrap();
            assert!(memory(&j) == memory(&i), "{:?} to {:?}", from.rung(), to.rung());
            assert_eq!(visible(&j), visible(&i));
            step(&j, "store", &[lucet::Val::I32(64), lucet::Val::I64(9)]);
            j.reset().unwrap();
            assert!(memory(&j) == memory(&i), "reset: {:?} to {:?}", from.rung(), to.rung());
        }
    }
}

/// Pages that nobody touched are not touched by a snapshot either.
#[test]
fn a_snapshot_does_not_touch_what_was_not_touched() {
    let wat = "(module (memory (export \"memory\") 4096 8192)
      (data (i32.const 70000) \"x\")
      (func (export \"grow\") (drop (memory.grow (i32.const 4000)))
        (i32.store8 (i32.const 500000000) (i32.const 1))))";
    let m = crate::common::module(wat, lucet::Imports::new());
    for r in regions() {
        let i = Instance::new(&r, &m).unwrap();
        i.run("grow", &[]).unwrap();
        let before = faults();
        let snap = snapshot(&i);
        // The memory has 130,000 pages.
        let faults = faults() - before;
        assert!(faults < 5000, "{:?}: {faults} page faults", r.rung());
        assert_eq!(snap.loaded().init.image_pages(), 2, "{:?}", r.rung());
        let bytes = saved(&snap);
        assert!(bytes.len() < 64 << 10, "{} bytes", bytes.len());
        let j = Instance::new(&r, &load(&bytes)).unwrap();
        let mut byte = [0];
        j.memory_read(500_000_000, &mut byte).unwrap();
        assert_eq!((byte, j.memory_size().unwrap()), ([1], 8096 << 16));
    }
}

/// Page faults of this thread.
fn faults() -> i64 {
    // SAFETY: zero is a valid value, and the call fills it.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &mut usage), 0);
        usage.ru_minflt
    }
}

#[test]
fn functions_looked_up_once_work_for_both() {
    let (m, r) = (everything(SHAPES[0]), region(SHAPES[0]));
    let i = Instance::new(&r, &m).unwrap();
    let one = m.find("one", None).unwrap();
    let snap = snapshot(&i);
    let deeper = snapshot(&Instance::new(&r, &snap).unwrap());
    assert_eq!(snap.find("one", None).unwrap(), one);
    for module in [&m, &snap, &deeper] {
        let i = Instance::new(&r, module).unwrap();
        assert_eq!(
            i.run_func(one, &[]).unwrap(),
            lucet::Outcome::Returned(vec![lucet::Val::I64(1)])
        );
    }
    // Loaded from a file it is a module of its own.
    let file = load(&saved(&snap));
    let e = Instance::new(&r, &file).unwrap().run_func(one, &[]).unwrap_err();
    assert!(e.message().contains("looked up in another module"), "{e}");
}

#[test]
fn start_functions_and_segments_do_not_come_again() {
    let wat =
        "(module (memory (export \"memory\") 1) (global $n (export \"n\") (mut i32) (i32.const 0))
      (table 4 funcref) (elem (i32.const 0) $start)
      (data (i32.const 0) \"once\")
      (func $start (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (i32.store (i32.const 0) (i32.const 0)) (table.set (i32.const 0) (ref.null func)))
      (func (export \"is_null\") (result i32) (ref.is_null (table.get (i32.const 0))))
      (start $start))";
    let (m, r) = (crate::common::module(wat, lucet::Imports::new()), crate::common::region());
    let snap = snapshot(&Instance::new(&r, &m).unwrap());
    for module in [snap.clone(), load(&saved(&snap))] {
        let i = Instance::new(&r, &module).unwrap();
        for _ in 0..2 {
            assert_eq!(i.global_get("n").unwrap(), lucet::Val::I32(1));
            assert!(memory(&i).iter().all(|b| *b == 0));
            assert_eq!(step(&i, "is_null", &[]), "[I32(1)]");
            i.reset().unwrap();
        }
    }
}
