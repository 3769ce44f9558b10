//! Traps and terminations by the million leave nothing in the process: no memory, no mappings, no
//! descriptors, no threads.

use crate::contexts::{child, context, must_pass};
use crate::kit::{settings, trapped};
use lucet::{Imports, Instance, InstanceRef, Outcome, Region, RegionConfig};

/// What a process holds: resident pages, mappings, descriptors, threads.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Holds {
    pages: u64,
    mappings: usize,
    descriptors: usize,
    threads: usize,
}

fn holds() -> Holds {
    let text = |file: &str| std::fs::read_to_string(file).unwrap();
    let count = |dir: &str| std::fs::read_dir(dir).unwrap().count();
    Holds {
        pages: text("/proc/self/statm").split(' ').nth(1).unwrap().parse().unwrap(),
        mappings: text("/proc/self/maps").lines().count(),
        descriptors: count("/proc/self/fd"),
        threads: count("/proc/self/task"),
    }
}

/// Nothing grew but what an allocator keeps.
fn flat(before: Holds, after: Holds, what: &str) {
    println!("{what}: {before:?} became {after:?}");
    assert!(after.pages <= before.pages + 64, "{what}: {before:?} became {after:?}");
    assert_eq!(Holds { pages: 0, ..after }, Holds { pages: 0, ..before }, "{what}");
}

const GUEST: &str = r#"(module (memory 1) (table 2 funcref) (type $v (func))
  (global $zero (mut i32) (i32.const 0))
  (func (export "t0") unreachable)
  (func (export "t1") (drop (i32.load (i32.const -1))))
  (func (export "t2") (drop (i32.div_u (i32.const 1) (global.get $zero))))
  (func (export "t3") (call_indirect (i32.const 0)))
  (func $deep (export "t4") (call $deep))
  (func (export "spin") (i32.store (i32.const 0) (i32.const 1)) (loop $l (br $l))))"#;

fn traps(n: usize) {
    for s in settings(2) {
        let m = s.module(GUEST, Imports::new());
        let r = Region::new(RegionConfig { backtrace: true, ..s.config }).unwrap();
        let run = |n: usize| {
            for k in 0..n {
                let i = Instance::new(&r, &m).unwrap();
                trapped(i.run(["t0", "t1", "t2", "t3", "t4"][k % 5], &[]).unwrap());
                assert!(i.backtrace().is_ok());
            }
        };
        run(1000);
        let before = holds();
        run(n / 3 + 1);
        flat(before, holds(), "traps");
    }
}

/// By time limits, and by another thread.
fn stops(n: usize) {
    let s = settings(2)[0];
    let m = s.module(GUEST, Imports::new());
    let r = s.region();
    let in_time = |n: usize| {
        for _ in 0..n {
            let i = Instance::new(&r, &m).unwrap();
            i.set_time_limit(1000).unwrap();
            assert_eq!(i.run("spin", &[]).unwrap(), Outcome::TimedOut);
        }
    };
    in_time(200);
    let before = holds();
    in_time(n / 2);
    flat(before, holds(), "time limits");

    let (to, from) = std::sync::mpsc::sync_channel::<(u32, u32)>(1);
    let other = std::thread::spawn(move || {
        for (index, generation) in from {
            let i = InstanceRef::from_parts(index, generation).unwrap();
            // Until the instance is gone: a termination that comes before the run does nothing.
            while i.terminate().is_ok() {
                std::thread::yield_now();
            }
        }
    });
    let by_others = |n: usize| {
        for _ in 0..n {
            let i = Instance::new(&r, &m).unwrap();
            to.send(i.parts()).unwrap();
            assert_eq!(i.run("spin", &[]).unwrap(), Outcome::Terminated);
        }
    };
    by_others(200);
    let before = holds();
    by_others(n - n / 2);
    flat(before, holds(), "terminations");
    drop(to);
    other.join().unwrap();
}

fn soak(test: &str, n: usize, body: fn(usize)) {
    if let Some(n) = context() {
        return body(n.parse().unwrap());
    }
    let begun = std::time::Instant::now();
    let out = child(test, &n.to_string());
    print!("{}", String::from_utf8_lossy(&out.stdout));
    must_pass(&out, test);
    println!("{n} in {:.1} s", begun.elapsed().as_secs_f64());
}

#[test]
fn twenty_thousand_traps_leave_nothing() {
    soak("soak::twenty_thousand_traps_leave_nothing", 20_000, traps);
}

#[test]
fn five_thousand_stops_leave_nothing() {
    soak("soak::five_thousand_stops_leave_nothing", 5_000, stops);
}

#[test]
#[ignore = "long: FULL=1"]
fn a_million_traps_leave_nothing() {
    soak("soak::a_million_traps_leave_nothing", 1_000_000, traps);
}

#[test]
#[ignore = "long: FULL=1"]
fn a_million_stops_leave_nothing() {
    soak("soak::a_million_stops_leave_nothing", 1_000_000, stops);
}
