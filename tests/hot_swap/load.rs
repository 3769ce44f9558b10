//! Swaps while several threads serve requests.

use super::versions::{
    KINDS, artifacts, check, config, counts, module, modules_in_memory, reference, resume, suspend,
};
use crate::common::process::in_child;
use crate::kit::{Rng, Setting, settings};
use lucet::{Func, Instance, Module, ModuleRef, Region};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const THREADS: usize = 4;
/// Suspended instances that a thread keeps.
const HELD: usize = 3;
/// Just what is needed: a swap must not make a region look full.
const SLOTS: u32 = (THREADS * (HELD + 1)) as u32;
/// Requests between two swaps, of all threads.
const BETWEEN: u64 = 24;

/// Which kind each version is of.
fn kind_of(version: u64) -> usize {
    version as usize % KINDS
}

struct Load {
    reference: ModuleRef,
    region: Arc<Region>,
    requests: AtomicU64,
    /// How often a thread met a version for the first time.
    met: AtomicU64,
    /// Resumed at a later version than their own.
    outlived: AtomicU64,
    done: AtomicBool,
}

impl Load {
    fn end(&self, (i, version): (Instance, u64)) {
        assert_eq!(resume(&i), kind_of(version));
        let outlived = self.reference.version() > version;
        self.outlived.fetch_add(u64::from(outlived), Ordering::Relaxed);
    }

    /// Requests of one thread: each instance is of one version alone, and none comes back.
    fn serve(&self, seed: u64) {
        let mut rng = Rng(seed);
        let mut held: Vec<(Instance, u64)> = Vec::new();
        let mut last = 0;
        while !self.done.load(Ordering::Relaxed) {
            let mut funcs = [Func::default(); 2];
            let before = self.reference.version();
            let (i, version) = self.reference.instantiate(&self.region, &mut funcs).unwrap();
            assert!(version >= last, "version {version} after {last}");
            assert!(version >= before, "version {version} where {before} had been seen");
            self.met.fetch_add(u64::from(version > last), Ordering::Relaxed);
            if self.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(64) {
                // The publisher has no processor of its own.
                std::thread::yield_now();
            }
            last = version;
            if rng.below(8) > 0 {
                assert_eq!(check(&i, &funcs), kind_of(version));
                continue;
            }
            suspend(&i, &funcs);
            if held.len() == HELD {
                self.end(held.swap_remove(rng.below(HELD)));
            }
            held.push((i, version));
        }
        held.into_iter().for_each(|h| self.end(h));
    }

    /// Publishes version after version, each loaded anew; every third time something broken first.
    fn swap(&self, all: &[Vec<u8>], swaps: u64) {
        let r = &self.reference;
        let base = modules_in_memory() - 1;
        for version in 2..2 + swaps {
            let good = &all[kind_of(version)];
            if version % 3 == 0 {
                let mut broken = good.clone();
                let at = broken.len() / 2;
                broken[at] ^= 1 << (version % 8);
                let loaded = Module::load_bytes(&broken, &config());
                assert!(loaded.and_then(|m| r.publish(Some(m))).is_err());
                assert_eq!(r.version(), version - 1, "what was published stays");
            }
            assert_eq!(r.publish(Some(module(good))).unwrap(), version);
            if version % 16 == 0 {
                let most = base + 1 + THREADS * (HELD + 1);
                let now = modules_in_memory();
                assert!(now <= most, "{now} modules where {most} can be in use");
            }
            let asked = self.requests.load(Ordering::Relaxed);
            while self.requests.load(Ordering::Relaxed) < asked + BETWEEN {
                std::thread::yield_now();
            }
        }
    }
}

/// Everything, from nothing to nothing. What was served, met and outlived.
fn round(s: &Setting, all: &[Vec<u8>], swaps: u64) -> [u64; 3] {
    let load = Load {
        reference: reference(),
        region: s.region(),
        requests: AtomicU64::new(0),
        met: AtomicU64::new(0),
        outlived: AtomicU64::new(0),
        done: AtomicBool::new(false),
    };
    load.reference.publish(Some(module(&all[kind_of(1)]))).unwrap();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS as u64)
            .map(|t| {
                let load = &load;
                scope.spawn(move || load.serve(0xfeed + t))
            })
            .collect();
        // Should a thread fail, the others must not wait for it.
        let swapping = std::panic::AssertUnwindSafe(|| load.swap(all, swaps));
        let swapped = std::panic::catch_unwind(swapping);
        load.done.store(true, Ordering::Relaxed);
        let ended: Vec<_> = threads.into_iter().map(|t| t.join()).collect();
        swapped.unwrap();
        ended.into_iter().for_each(|e| e.unwrap());
    });
    assert_eq!(load.region.live(), 0);
    [load.requests, load.met, load.outlived].map(AtomicU64::into_inner)
}

fn swaps_under_load(swaps: u64) {
    // SAFETY: a plain call. One arena for all threads, so that mappings can be counted.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    for s in settings(SLOTS) {
        let all = artifacts(s.shape);
        round(&s, &all, 40);
        let before = counts();
        let [requests, met, outlived] = round(&s, &all, swaps);
        let after = counts();
        println!("{s:?}: {swaps} swaps, {requests} requests, {met} meetings, {outlived} outlived");
        assert!(requests >= swaps * BETWEEN);
        assert!(met > swaps, "{met} meetings of a thread with a new version");
        assert!(outlived > swaps / 10, "{outlived} instances were resumed after a swap");
        assert_eq!((after.0, after.2), (before.0, before.2), "artifacts and descriptors");
        // The C library's, of threads that came and went.
        assert!(after.1 <= before.1 + 8, "{} mappings, then {}", before.1, after.1);
    }
}

#[test]
fn a_thousand_swaps_under_load() {
    in_child("load::a_thousand_swaps_under_load", || swaps_under_load(1_000));
}

#[test]
#[ignore = "FULL: takes minutes"]
fn a_hundred_thousand_swaps_under_load() {
    in_child("load::a_hundred_thousand_swaps_under_load", || swaps_under_load(100_000));
}
