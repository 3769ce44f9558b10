//! Limits, who is asked before something grows, what used slots keep, and what is counted.

mod common;
#[allow(dead_code)]
#[path = "hostile/kit.rs"]
mod kit;

use kit::{Setting, imports, returned, settings, trapped, vmctx};
use lucet::{
    Control, Growth, GrowthKind, Imports, Instance, InstanceRef, Outcome, Region, RegionConfig,
    Rung, Status, TrapCode, Val,
};
use std::ffi::c_void;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const GUEST: &str = r#"(module (memory (export "m") 2 200) (table (export "t") 3 1000 funcref)
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "tgrow") (param i32) (result i32)
    (table.grow 0 (ref.null func) (local.get 0)))
  (func $deep (export "deep") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1))
      (else (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))))
  (func (export "touch") (param i32) (local i32)
    (loop $l
      (i32.store (i32.mul (local.get 1) (i32.const 4096)) (i32.const 1))
      (br_if $l (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (local.get 0)))))
  (func (export "trap") unreachable))"#;

fn call(i: &Instance, name: &str, n: u32) -> i32 {
    match returned(i.run(name, &[Val::I32(n as i32)]).unwrap())[..] {
        [Val::I32(v)] => v,
        ref other => panic!("{other:?}"),
    }
}

fn instance(s: &Setting, change: impl FnOnce(&mut RegionConfig)) -> Instance {
    let mut config = s.config;
    change(&mut config);
    let r = Region::new(config).unwrap();
    Instance::new(&r, &s.module(GUEST, Imports::new())).unwrap()
}

#[test]
fn limits_are_exact() {
    for s in settings(2) {
        // The module's own.
        let i = instance(&s, |_| ());
        for n in [199, u32::MAX, 1 << 31, 65_536] {
            assert_eq!(call(&i, "grow", n), -1, "{n}");
        }
        for n in [998, u32::MAX, 1 << 31] {
            assert_eq!(call(&i, "tgrow", n), -1, "{n}");
        }
        assert_eq!((call(&i, "grow", 198), call(&i, "tgrow", 997)), (2, 3));
        assert_eq!((call(&i, "grow", 0), call(&i, "tgrow", 0)), (200, 1000));
        assert_eq!((call(&i, "grow", 1), call(&i, "tgrow", 1)), (-1, -1));

        // The region's.
        let i = instance(&s, |c| (c.max_memory, c.max_table_elements) = (10 << 16, 50));
        for (n, m) in [(9, 48), (u32::MAX, u32::MAX)] {
            assert_eq!((call(&i, "grow", n), call(&i, "tgrow", m)), (-1, -1));
        }
        assert_eq!((call(&i, "grow", 8), call(&i, "tgrow", 47)), (2, 3));

        // The instance's: lowers only, and means nothing to the next instance in the slot.
        i.reset().unwrap();
        i.set_memory_limit(u64::MAX).unwrap();
        i.set_table_limit(u32::MAX).unwrap();
        assert_eq!((call(&i, "grow", 9), call(&i, "tgrow", 48)), (-1, -1));
        i.set_memory_limit((4 << 16) - 1).unwrap();
        i.set_table_limit(5).unwrap();
        for (n, m) in [(2, 3), (u32::MAX, u32::MAX)] {
            assert_eq!((call(&i, "grow", n), call(&i, "tgrow", m)), (-1, -1));
        }
        assert_eq!((call(&i, "grow", 1), call(&i, "tgrow", 2)), (2, 3));
        i.set_memory_limit(0).unwrap();
        i.set_table_limit(0).unwrap();
        assert_eq!((call(&i, "grow", 1), call(&i, "tgrow", 1)), (-1, -1));
        assert_eq!((call(&i, "grow", 0), call(&i, "tgrow", 0)), (3, 5));
        let (r, m) = (Region::new(s.config).unwrap(), s.module(GUEST, Imports::new()));
        for _ in 0..3 {
            let i = Instance::new(&r, &m).unwrap();
            assert_eq!((call(&i, "grow", 198), call(&i, "tgrow", 997)), (2, 3));
            i.set_memory_limit(1).unwrap();
            i.set_table_limit(1).unwrap();
        }
    }
}

#[test]
fn a_module_that_begins_with_too_much_is_refused() {
    for s in settings(2) {
        let m = s.module(GUEST, Imports::new());
        let config = RegionConfig { max_table_elements: 2, ..s.config };
        let e = Instance::new(&Region::new(config).unwrap(), &m).unwrap_err();
        assert_eq!(e.status(), Status::LimitExceeded);
        assert!(e.message().contains("3 elements"), "{e}");
        let config = RegionConfig { max_memory: (2 << 16) - 1, ..s.config };
        let e = Instance::new(&Region::new(config).unwrap(), &m).unwrap_err();
        assert_eq!(e.status(), Status::LimitExceeded);
    }
}

#[test]
fn stacks_and_time_are_limited() {
    for s in settings(2) {
        let i = instance(&s, |_| ());
        assert_eq!(call(&i, "deep", 2_000), 2_001);
        i.set_stack_limit(16 << 10).unwrap();
        let t = trapped(i.run("deep", &[Val::I32(2_000)]).unwrap());
        assert_eq!(t.code, TrapCode::StackOverflow);
        i.reset().unwrap();
        assert_eq!(call(&i, "deep", 100), 101);
        i.set_stack_limit(u64::MAX).unwrap();
        assert_eq!(call(&i, "deep", 2_000), 2_001);
        assert_eq!(i.set_stack_limit(100).unwrap_err().status(), Status::InvalidArgument);

        let forever = r#"(module (func (export "f") (loop $l (br $l))))"#;
        let config = RegionConfig { time_limit: 5_000_000, ..s.config };
        let (r, m) = (Region::new(config).unwrap(), s.module(forever, Imports::new()));
        for _ in 0..3 {
            let i = Instance::new(&r, &m).unwrap();
            assert_eq!(i.run("f", &[]).unwrap(), Outcome::TimedOut);
        }
        assert_eq!(r.stats().tally.timed_out, 3);
    }
}

static ASKED: Mutex<Vec<(GrowthKind, u64, u64)>> = Mutex::new(Vec::new());

fn ask(g: &Growth, who: (u32, u32), kind: GrowthKind, from: u64, to: u64) -> bool {
    let i = InstanceRef::from_parts(who.0, who.1).unwrap();
    assert_eq!(i.memory_size().unwrap_err().status(), Status::Busy);
    ASKED.lock().unwrap().push((kind, from, to));
    to <= g.user_data as u64
}

#[test]
fn growth_is_asked_for() {
    for s in settings(2) {
        let asked = || std::mem::take(&mut *ASKED.lock().unwrap());
        let growth = Growth { ask, function: 0, user_data: 5 << 16 };
        let i = instance(&s, |c| {
            (c.growth, c.max_memory, c.max_table_elements) = (Some(growth), 10 << 16, 50);
        });
        assert_eq!(call(&i, "grow", 3), 2);
        assert_eq!(call(&i, "grow", 1), -1, "refused");
        assert_eq!(call(&i, "grow", 0), 5, "nothing to ask");
        assert_eq!(call(&i, "tgrow", 4), 3);
        use GrowthKind::{Memory, Table};
        let all = [(Memory, 2 << 16, 5 << 16), (Memory, 5 << 16, 6 << 16), (Table, 3, 7)];
        assert_eq!(asked(), all);
        // A limit refuses first.
        assert_eq!((call(&i, "grow", 6), call(&i, "tgrow", 44)), (-1, -1));
        i.set_memory_limit(0).unwrap();
        assert_eq!(call(&i, "grow", 1), -1);
        assert_eq!(asked(), []);
        i.reset().unwrap();
        assert_eq!(call(&i, "grow", u32::MAX), -1);
    }
}

#[test]
fn slots_past_the_budget_are_emptied() {
    for rung in [Rung::FirstTouch, Rung::PagemapScan, Rung::CopyAndClear, Rung::Decommit] {
        for s in settings(8) {
            let config = RegionConfig {
                reset: Some(rung),
                slot_resident_bytes: 200 << 10,
                resident_bytes: 500 << 10,
                ..s.config
            };
            let (r, m) = (Region::new(config).unwrap(), s.module(GUEST, Imports::new()));
            let used = |n: usize, pages: i32| {
                let all: Vec<_> = (0..n).map(|_| Instance::new(&r, &m).unwrap()).collect();
                for i in &all {
                    let mut zeros = vec![1; 128 << 10];
                    i.memory_read(0, &mut zeros).unwrap();
                    assert!(zeros.iter().all(|b| *b == 0), "{rung:?}");
                    i.reset().unwrap();
                    i.run("touch", &[Val::I32(pages)]).unwrap();
                }
            };
            used(8, 20);
            let kept = r.stats().resident_bytes;
            assert!(kept <= 500 << 10, "{rung:?}: {kept}");
            assert_eq!(kept > 0, rung != Rung::Decommit, "{rung:?}: {kept}");
            used(8, 32);
            assert!(r.stats().resident_bytes <= 500 << 10);
            // Nothing may be kept by a slot: nothing is.
            let config = RegionConfig { slot_resident_bytes: 0, ..config };
            let r = Region::new(config).unwrap();
            let i = Instance::new(&r, &m).unwrap();
            i.run("touch", &[Val::I32(32)]).unwrap();
            let at = i.memory_range(0, 4096).unwrap() as usize;
            drop(i);
            assert_eq!((r.stats().resident_bytes, resident_pages(at, 32)), (0, 0), "{rung:?}");
        }
    }
}

/// How many of the pages from `at` on have contents.
fn resident_pages(at: usize, pages: usize) -> usize {
    let file = std::fs::File::open("/proc/self/pagemap").unwrap();
    let mut words = vec![0u8; pages * 8];
    let offset = (at / 4096 * 8) as u64;
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut words, offset).unwrap();
    words.chunks(8).filter(|w| w[7] & 0x80 != 0).count()
}

extern "C" fn wait(ctx: *const Control, _: usize) {
    vmctx(ctx).yield_value(1, None, 0).unwrap();
}

extern "C" fn end(ctx: *const Control, _: usize, how: i32) {
    match how {
        0 => vmctx(ctx).fail(7).unwrap(),
        1 => vmctx(ctx).exit(7).unwrap(),
        _ => vmctx(ctx).terminate().unwrap(),
    }
}

#[test]
fn what_happens_is_counted() {
    const ENDS: &str = r#"(module (import "env" "wait" (func $w))
      (import "env" "end" (func $e (param i32))) (memory 1)
      (func (export "wait") (call $w)) (func (export "end") (param i32) (call $e (local.get 0)))
      (func (export "trap") unreachable)
      (func (export "oob") (drop (i32.load (i32.const -1)))))"#;
    for s in settings(8) {
        let config = RegionConfig { latency_histograms: true, ..s.config };
        let r = Region::new(config).unwrap();
        let host = [
            ("wait", "() -> ()", wait as *const c_void, 0),
            ("end", "(i32) -> ()", end as *const c_void, 0),
        ];
        let m = s.module(ENDS, imports(&host));
        let runs = AtomicUsize::new(0);
        std::thread::scope(|t| {
            for _ in 0..4 {
                t.spawn(|| {
                    for n in 0..50 {
                        let i = Instance::new(&r, &m).unwrap();
                        match n % 5 {
                            0 => drop(i.run("trap", &[]).unwrap()),
                            1 => drop(i.run("oob", &[]).unwrap()),
                            k => drop(i.run("end", &[Val::I32(k - 2)]).unwrap()),
                        }
                        runs.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let i = Instance::new(&r, &m).unwrap();
        assert_eq!(i.run("wait", &[]).unwrap(), Outcome::Yielded(1));
        i.resume(0).unwrap();
        i.reset().unwrap();
        let stats = r.stats();
        assert_eq!((stats.live, stats.free), (1, 7));
        assert!((1..=4).contains(&stats.high_water), "{}", stats.high_water);
        let t = stats.tally;
        assert_eq!((t.created, t.resets.iter().sum::<u64>()), (201, 201));
        let traps = |c: TrapCode| t.traps[c as usize];
        assert_eq!(traps(TrapCode::Unreachable), 40);
        assert_eq!(traps(TrapCode::MemoryOutOfBounds), 40);
        assert_eq!(t.traps.iter().sum::<u64>(), 80);
        assert_eq!((t.host_errors, t.exited, t.terminated, t.timed_out), (40, 40, 40, 0));
        let [created, ran] = *t.latency.unwrap();
        assert_eq!(created.iter().sum::<u64>(), 201);
        assert_eq!(ran.iter().sum::<u64>(), 202);
        drop(i);
        assert_eq!(r.stats().live, 0);

        let r = s.region();
        Instance::new(&r, &m).unwrap().run("trap", &[]).unwrap();
        assert_eq!(r.stats().tally.latency, None, "off by default");
    }
}

/// A long range is opened with a few calls instead of a fault for each page.
#[test]
fn long_ranges_become_resident_at_once() {
    let faults = || {
        // SAFETY: a plain call with a valid structure.
        unsafe {
            let mut u: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_THREAD, &mut u);
            (u.ru_minflt, u.ru_nsignals)
        }
    };
    let wat =
        r#"(module (memory 64) (data (i32.const 20000) "hello") (data (i32.const 500000) "x"))"#;
    let [s, ..] = settings(2);
    let (r, m) = (s.region(), s.module(wat, Imports::new()));
    let i = Instance::new(&r, &m).unwrap();
    i.memory_write(40_960, b"written").unwrap();
    let before = faults().0;
    i.memory_range(8_192, 200 * 4096).unwrap();
    let taken = faults().0 - before;
    assert!(taken < 20, "{taken} faults");
    let read = |i: &Instance, at: u64, n: usize| {
        let mut bytes = vec![0; n];
        i.memory_read(at, &mut bytes).unwrap();
        bytes
    };
    assert_eq!(read(&i, 20_000, 5), b"hello");
    assert_eq!(read(&i, 40_960, 7), b"written");
    assert_eq!(read(&i, 500_000, 1), b"x");
    let whole = read(&i, 0, 64 << 16);
    assert_eq!(whole.iter().filter(|b| **b != 0).count(), 5 + 7 + 1);
    i.memory_write(0, &vec![7; 64 << 16]).unwrap();
    drop(i);
    let i = Instance::new(&r, &m).unwrap();
    let whole = read(&i, 0, 64 << 16);
    assert_eq!(whole.iter().filter(|b| **b != 0).count(), 5 + 1, "the next one is fresh");
}
