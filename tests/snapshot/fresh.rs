//! Instances of a snapshot are as fresh, as small and as cheap as those of any module.

use super::guests::{everything, memory, region, snapshot, visible};
use lucet::{Instance, Outcome, Region, RegionConfig, Rung, Val};
use lucet_artifact::types::MemoryShape;

/// 10,000 instances, each of which writes all over its state: the next one finds nothing of it.
#[test]
fn nothing_of_one_instance_is_in_the_next() {
    let rungs = [Rung::Decommit, Rung::CopyAndClear, Rung::PagemapScan, Rung::FirstTouch];
    let mut regions: Vec<_> = rungs
        .into_iter()
        .filter_map(|r| {
            Region::new(RegionConfig { slots: 3, reset: Some(r), ..RegionConfig::default() }).ok()
        })
        .map(|r| (r, MemoryShape::Guarded))
        .collect();
    regions.push((region(MemoryShape::Compact), MemoryShape::Compact));
    let each = 10_000 / regions.len() + 1;
    for (r, shape) in &regions {
        let i = Instance::new(r, &everything(*shape)).unwrap();
        for (name, n) in [("store", 9000), ("grow_table", 3), ("drop_data", 0), ("globals", 4)] {
            i.run(name, &[Val::I32(n), Val::I64(77)]).unwrap();
        }
        let snap = snapshot(&i);
        let (bytes, state) = (memory(&i), visible(&i));
        for n in 0..each {
            let i = Instance::new(r, &snap).unwrap();
            assert_eq!(visible(&i), state, "{:?}: instance {n}", r.rung());
            let whole = n % 16 == 0;
            if whole {
                assert!(memory(&i) == bytes, "{:?}: instance {n}", r.rung());
            }
            let number = Val::I32((n * 8) as i32);
            for name in ["store", "last", "globals", "set", "swap"] {
                i.run(name, &[number, Val::I64(-1)]).unwrap();
            }
            if n % 8 == 0 {
                i.run("grow", &[Val::I32(1), Val::I64(0)]).unwrap();
                i.run("last", &[number, Val::I64(-1)]).unwrap();
                i.run("grow_table", &[Val::I32(7), Val::I64(0)]).unwrap();
            }
            if whole && n % 32 == 0 {
                i.memory_write(0, &vec![0xee; 131_072]).unwrap();
            }
        }
    }
}

/// Instances see the state of the snapshot, not of each other, while several are alive.
#[test]
fn instances_do_not_share_what_they_write() {
    let r = region(MemoryShape::Guarded);
    let snap = snapshot(&Instance::new(&r, &everything(MemoryShape::Guarded)).unwrap());
    let all: Vec<_> = (0..20).map(|_| Instance::new(&r, &snap).unwrap()).collect();
    for (n, i) in all.iter().enumerate() {
        for name in ["store", "grow_table", "globals"] {
            i.run(name, &[Val::I32(8), Val::I64(n as i64)]).unwrap();
        }
    }
    for (n, i) in all.iter().enumerate() {
        let r = i.run("load", &[Val::I32(8), Val::I64(0)]).unwrap();
        assert_eq!(r, Outcome::Returned(vec![Val::I64(n as i64)]));
    }
}
