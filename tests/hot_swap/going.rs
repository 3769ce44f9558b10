//! What was replaced goes, whatever other threads do or do not do.

use super::versions::{artifacts, check, module, modules_in_memory, reference, resume, suspend};
use crate::common::process::{descriptors, forked, in_child, mappings};
use crate::kit::settings;
use lucet::{Func, Instance, ModuleRef, Region, RegionConfig, Status};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};

fn fresh(r: &ModuleRef, region: &Arc<Region>) -> (Instance, [Func; 2], u64) {
    let mut funcs = [Func::default(); 2];
    let (i, version) = r.instantiate(region, &mut funcs).unwrap();
    (i, funcs, version)
}

/// Threads that used a version and sleep ever after keep nothing of it; an instance that is alive
/// keeps its code, wherever it is, until it is freed.
#[test]
fn sleeping_threads_keep_nothing() {
    in_child("going::sleeping_threads_keep_nothing", || {
        for s in settings(32) {
            let all = artifacts(s.shape);
            let (region, r) = (s.region(), reference());
            let base = modules_in_memory();
            r.publish(Some(module(&all[1]))).unwrap();
            let used = Barrier::new(9);
            let kept = Mutex::new(Vec::new());
            std::thread::scope(|scope| {
                // They wake up when these go, also if this thread panics.
                let mut sleepers = Vec::new();
                for n in 0..8 {
                    let (r, region, used, kept) = (&r, &region, &used, &kept);
                    let (wakes, sleeps) = channel::<()>();
                    sleepers.push(wakes);
                    scope.spawn(move || {
                        for _ in 0..20 {
                            let (i, funcs, _) = fresh(r, region);
                            assert_eq!(check(&i, &funcs), 1);
                        }
                        if n == 0 {
                            let (i, funcs, _) = fresh(r, region);
                            suspend(&i, &funcs);
                            kept.lock().unwrap().push(i);
                        }
                        used.wait();
                        assert!(sleeps.recv().is_err());
                    });
                }
                used.wait();
                // They sleep from here on.
                assert_eq!(modules_in_memory(), base + 1);
                r.publish(Some(module(&all[2]))).unwrap();
                assert_eq!(modules_in_memory(), base + 2, "one instance is alive");
                let i = kept.lock().unwrap().pop().unwrap();
                assert_eq!(resume(&i), 1);
                drop(i);
                assert_eq!(modules_in_memory(), base + 1, "the last one took it along");
                r.publish(Some(module(&all[3]))).unwrap();
                assert_eq!(modules_in_memory(), base + 1, "nobody had used it");
                r.publish(None).unwrap();
                assert_eq!(modules_in_memory(), base, "withdrawn");
                drop(sleepers);
            });
            assert_eq!(region.live(), 0);
        }
    });
}

/// Whoever else has the module keeps it; publishing it again is no other module.
#[test]
fn handles_of_others_count() {
    in_child("going::handles_of_others_count", || {
        let [s, ..] = settings(8);
        let all = artifacts(s.shape);
        let (region, r, other) = (s.region(), reference(), reference());
        let base = modules_in_memory();
        let one = module(&all[1]);
        r.publish(Some(one.clone())).unwrap();
        r.publish(Some(one.clone())).unwrap();
        other.publish(Some(one)).unwrap();
        let (i, funcs, version) = fresh(&r, &region);
        assert_eq!((check(&i, &funcs), version), (1, 2));
        drop(i);
        r.publish(Some(module(&all[2]))).unwrap();
        assert_eq!(modules_in_memory(), base + 2);
        let (i, funcs, version) = fresh(&other, &region);
        assert_eq!((check(&i, &funcs), version), (1, 1));
        let (had, version) = other.current();
        assert_eq!(version, 1);
        drop(other);
        assert_eq!(modules_in_memory(), base + 2);
        drop(had);
        assert_eq!(modules_in_memory(), base + 2, "an instance is alive");
        drop(i);
        assert_eq!(modules_in_memory(), base + 1);
        drop(r);
        assert_eq!(modules_in_memory(), base);
    });
}

/// A place is used again, by references that know nothing of the one before.
#[test]
fn references_come_and_go() {
    in_child("going::references_come_and_go", || {
        let [s, ..] = settings(8);
        let all = artifacts(s.shape);
        let region = s.region();
        let round = |n: usize| {
            let empty = ModuleRef::new().unwrap();
            assert_eq!((empty.current().0.is_none(), empty.version()), (true, 0));
            let e = empty.instantiate(&region, &mut []).unwrap_err();
            assert_eq!(e.status(), Status::WrongState, "{e}");
            let r = reference();
            r.publish(Some(module(&all[n % 5]))).unwrap();
            let (i, funcs, version) = fresh(&r, &region);
            assert_eq!((check(&i, &funcs), version), (n % 5, 1));
        };
        (0..20).for_each(round);
        let before = (modules_in_memory(), descriptors(), mappings());
        (0..5_000).for_each(round);
        assert_eq!((modules_in_memory(), descriptors(), mappings()), before);
    });
}

/// Thousands of idle instances of several modules, of which one goes: its own are found, all of
/// them, and the others stay.
#[test]
fn idle_instances_go_by_the_thousand() {
    in_child("going::idle_instances_go_by_the_thousand", || {
        const SLOTS: usize = 6_000;
        let compact = settings(8)[2];
        let config =
            RegionConfig { slots: SLOTS as u32, max_memory: 3 << 16, stacks: 8, ..compact.config };
        let region = Region::new(config).unwrap();
        let all = artifacts(compact.shape);
        let (r, other) = (reference(), reference());
        let base = modules_in_memory();
        r.publish(Some(module(&all[1]))).unwrap();
        other.publish(Some(module(&all[3]))).unwrap();
        let fill =
            |r: &ModuleRef, n: usize| -> Vec<_> { (0..n).map(|_| fresh(r, &region)).collect() };
        let (ones, others) = (fill(&r, SLOTS - 500), fill(&other, 500));
        // They become idle in turns.
        let mut others = others.into_iter();
        for (n, one) in ones.into_iter().enumerate() {
            drop((one, if n.is_multiple_of(11) { others.next() } else { None }));
        }
        assert_eq!(region.live(), 0);
        r.publish(Some(module(&all[2]))).unwrap();
        assert_eq!(modules_in_memory(), base + 2);
        let reused = region.stats().high_water;
        assert_eq!(reused as usize, SLOTS);
        let others = fill(&other, 500);
        let twos = fill(&r, SLOTS - 500);
        for (i, funcs, _) in others.iter().step_by(50) {
            assert_eq!(check(i, funcs), 3);
        }
        for (i, funcs, _) in twos.iter().step_by(500) {
            assert_eq!(check(i, funcs), 2);
        }
    });
}

/// As many as there can be, and then one more.
#[test]
fn references_are_limited() {
    in_child("going::references_are_limited", || {
        let mut all: Vec<_> = (0..1 << 16).map(|_| ModuleRef::new().unwrap()).collect();
        let e = ModuleRef::new().unwrap_err();
        assert_eq!(e.status(), Status::LimitExceeded, "{e}");
        assert!(e.message().contains("65536"), "{e}");
        drop(all.swap_remove(1000));
        all.push(ModuleRef::new().unwrap());
        assert!(ModuleRef::new().is_err());
        drop(all);
        drop(ModuleRef::new().unwrap());
    });
}

/// Says that it is over, also if there was a panic.
struct Sets<'a>(&'a AtomicBool);

impl Drop for Sets<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Forked children have what was published, whatever other threads were doing, and go their own
/// ways.
#[test]
fn references_survive_forks() {
    in_child("going::references_survive_forks", || {
        let [s, ..] = settings(8);
        let all = artifacts(s.shape);
        let (r, done) = (reference(), AtomicBool::new(false));
        r.publish(Some(module(&all[1]))).unwrap();
        let (one, two) = (module(&all[1]), module(&all[2]));
        std::thread::scope(|scope| {
            let _end = Sets(&done);
            scope.spawn(|| {
                for n in 0u64.. {
                    let m = if n.is_multiple_of(2) { &two } else { &one };
                    r.publish(Some(m.clone())).unwrap();
                    drop(reference());
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            for _ in 0..200 {
                forked(|| {
                    let region = s.region();
                    let (i, funcs, version) = fresh(&r, &region);
                    let kind = check(&i, &funcs);
                    assert_eq!(kind as u64, 2 - version % 2);
                    r.publish(Some(module(&all[3]))).unwrap();
                    for again in 0..3 {
                        let (i, funcs, now) = fresh(&r, &region);
                        assert_eq!((check(&i, &funcs), now), (3, version + 1), "{again}");
                    }
                    let other = reference();
                    other.publish(Some(module(&all[4]))).unwrap();
                    assert_eq!(check(&fresh(&other, &region).0, &fresh(&other, &region).1), 4);
                });
            }
        });
    });
}
