//! Forked children: modules are theirs too, regions and instances are not, and no lock is found
//! locked by a thread that the child does not have.

mod common;

use common::process::{descriptors, forked, forked_status, in_child, mappings, status_kib};
use common::{compile, load, module, region};
use lucet::{
    Control, Group, Imports, Instance, Module, ModuleConfig, Outcome, Region, RegionConfig, Rung,
    Status, Val,
};
use lucet_artifact::types::MemoryShape;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const GUEST: &str = r#"(module (memory 1) (table 16 funcref)
  (func (export "add") (param i32 i32) (result i32)
    (i32.store (i32.const 70) (local.get 0)) (i32.add (i32.load (i32.const 70)) (local.get 1)))
  (func (export "oob") (drop (i32.load (i32.const -4)))))"#;

fn forty_two(i: &Instance) {
    let got = i.run("add", &[Val::I32(20), Val::I32(22)]).unwrap();
    assert_eq!(got, Outcome::Returned(vec![Val::I32(42)]));
}

/// All that a worker does after the fork.
fn work(m: &Arc<Module>) {
    let r = region();
    let i = Instance::new(&r, m).unwrap();
    forty_two(&i);
    assert!(matches!(i.run("oob", &[]).unwrap(), Outcome::Trapped(_)));
    i.reset().unwrap();
    i.set_time_limit(5_000_000_000).unwrap();
    forty_two(&i);
}

/// Everything that touches an instance or region of the parent.
fn refused(r: &Arc<Region>, m: &Arc<Module>, i: &Instance) {
    let all = [
        Instance::new(r, m).map(|_| ()),
        i.run("add", &[Val::I32(1), Val::I32(1)]).map(|_| ()),
        i.resume(1).map(|_| ()),
        i.reset(),
        i.recover(),
        i.memory_read(0, &mut [0]),
        i.memory_write(0, &[0]),
        i.memory_size().map(|_| ()),
        i.terminate(),
        i.free(),
    ];
    for (n, result) in all.into_iter().enumerate() {
        assert_eq!(result.unwrap_err().status(), Status::Forked, "call {n}");
    }
}

#[test]
fn t_a_thousand_forks() {
    in_child("t_a_thousand_forks", || {
        let m = module(GUEST, Imports::new());
        let r = region();
        let i = Instance::new(&r, &m).unwrap();
        forty_two(&i);
        let cycle = || {
            forked(|| {
                refused(&r, &m, &i);
                work(&m);
            });
            forty_two(&i);
            forty_two(&Instance::new(&r, &m).unwrap());
        };
        (0..50).for_each(|_| cycle());
        let look = || (mappings(), descriptors(), status_kib("VmRSS"));
        let before = look();
        (0..1000).for_each(|_| cycle());
        let after = look();
        assert_eq!((before.0, before.1), (after.0, after.1), "mappings, descriptors");
        assert!(after.2 <= before.2 + 64, "{} KiB, then {} KiB", before.2, after.2);
    });
}

#[test]
fn each_way_of_resetting_and_each_shape_forks() {
    in_child("each_way_of_resetting_and_each_shape_forks", || {
        let rungs = [Rung::FirstTouch, Rung::PagemapScan, Rung::CopyAndClear, Rung::Decommit];
        for reset in rungs {
            for compact in [false, true] {
                let shape = if compact { MemoryShape::Compact } else { MemoryShape::Guarded };
                let m = load(&compile(GUEST, shape), Imports::new()).unwrap();
                let config = RegionConfig {
                    reset: Some(reset),
                    compact,
                    max_memory: 1 << 20,
                    ..RegionConfig::default()
                };
                let r = Region::new(config).unwrap();
                let i = Instance::new(&r, &m).unwrap();
                forty_two(&i);
                forked(|| {
                    refused(&r, &m, &i);
                    let own = Region::new(config).unwrap();
                    forty_two(&Instance::new(&own, &m).unwrap());
                });
                // A child that lives on and forgets all that it got from its parent.
                forked(move || {
                    drop(i);
                    drop(r);
                    let own = Region::new(config).unwrap();
                    forty_two(&Instance::new(&own, &m).unwrap());
                });
            }
        }
    });
}

#[test]
fn children_of_children() {
    in_child("children_of_children", || {
        fn line(depth: u32, m: &Arc<Module>, all: &[(Arc<Region>, Instance)]) {
            let r = region();
            let i = Instance::new(&r, m).unwrap();
            forty_two(&i);
            for (r, i) in all {
                refused(r, m, i);
            }
            if depth > 0 {
                let mut all: Vec<_> = all.iter().map(|(r, i)| (r.clone(), handle(i))).collect();
                all.push((r, handle(&i)));
                forked(|| line(depth - 1, m, &all));
                std::mem::forget(all);
            }
            forty_two(&i);
        }
        /// A second owner, for a test that frees nothing through it.
        fn handle(i: &Instance) -> Instance {
            // SAFETY: an `Instance` is a number; the copies are forgotten or refused.
            unsafe { std::ptr::read(i) }
        }
        let m = module(GUEST, Imports::new());
        line(6, &m, &[]);
    });
}

#[test]
fn a_child_does_not_have_the_region() {
    in_child("a_child_does_not_have_the_region", || {
        let m = module(GUEST, Imports::new());
        forty_two(&Instance::new(&region(), &m).unwrap());
        let before = mappings();
        let config = RegionConfig { slots: 10_000, ..RegionConfig::default() };
        let r = Region::new(config).unwrap();
        let all: Vec<_> = (0..2_000).map(|_| Instance::new(&r, &m).unwrap()).collect();
        all.iter().for_each(forty_two);
        assert!(mappings() > before + 4_000, "slots in use have mappings");
        let base = r.base();
        let end = base + 10_000 * (4 << 30);
        forked(|| {
            assert!(mappings() <= before + 8, "{} mappings, {before} before", mappings());
            for line in std::fs::read_to_string("/proc/self/maps").unwrap().lines() {
                let range = line.split(' ').next().unwrap();
                let start = usize::from_str_radix(range.split('-').next().unwrap(), 16).unwrap();
                assert!(!(base..end).contains(&start), "{line}");
            }
            work(&m);
        });
    });
}

/// Maps a page where the parent has something else.
fn map_at(at: usize, protection: i32) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: a new mapping, where nothing is.
    let got = unsafe { libc::mmap(at as *mut _, 4096, protection, flags, -1, 0) };
    assert_eq!(got as usize, at);
}

#[test]
fn a_child_that_frees_the_region_takes_nothing_away() {
    in_child("a_child_that_frees_the_region_takes_nothing_away", || {
        let m = module(GUEST, Imports::new());
        let r = region();
        forty_two(&Instance::new(&r, &m).unwrap());
        let at = r.base();
        forked(move || {
            map_at(at, libc::PROT_READ | libc::PROT_WRITE);
            drop(r);
            // SAFETY: the page mapped above, unless dropping the region unmapped it.
            unsafe { std::ptr::write_volatile(at as *mut u8, 1) };
            work(&m);
        });
    });
}

extern "C" fn hosts_handler(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: async-signal-safe.
    unsafe { libc::_exit(42) };
}

/// Where the parent has a region the child may have anything; faults there are the child's own.
#[test]
fn the_handler_knows_whose_addresses_they_are() {
    in_child("the_handler_knows_whose_addresses_they_are", || {
        // SAFETY: plain calls with a valid structure.
        unsafe {
            let mut a: libc::sigaction = std::mem::zeroed();
            a.sa_sigaction = hosts_handler as *const () as usize;
            a.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            assert_eq!(libc::sigaction(libc::SIGSEGV, &a, std::ptr::null_mut()), 0);
        }
        let m = module(GUEST, Imports::new());
        let r = region();
        let i = Instance::new(&r, &m).unwrap();
        forty_two(&i);
        let at = i.memory_range(8192, 1).unwrap() as usize;
        let status = forked_status(|| {
            map_at(at, libc::PROT_NONE);
            // SAFETY: the access is meant to fault.
            unsafe { std::ptr::write_volatile(at as *mut u8, 1) };
        });
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 42, "{status:#x}");
    });
}

/// Lets threads end, also when an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whatever the other threads are in the middle of, the child can do all of it.
#[test]
fn forks_while_other_threads_work() {
    in_child("forks_while_other_threads_work", || {
        let artifact = compile(GUEST, MemoryShape::Guarded);
        let shared = region();
        let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|s| {
            let _stop = Stop(&stop);
            for n in 0..4 {
                let (artifact, shared, stop, done) = (&artifact, &shared, &stop, &done);
                s.spawn(move || {
                    let m = load(artifact, Imports::new()).unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        match n {
                            0 => drop(load(artifact, Imports::new()).unwrap()),
                            1 => drop(Instance::new(&region(), &m).unwrap()),
                            2 => work(&m),
                            _ => forty_two(&Instance::new(shared, &m).unwrap()),
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for _ in 0..300 {
                forked(|| {
                    let m = load(&artifact, Imports::new()).unwrap();
                    let status = Instance::new(&shared, &m).unwrap_err().status();
                    assert_eq!(status, Status::Forked);
                    std::thread::scope(|s| {
                        for _ in 0..2 {
                            s.spawn(|| work(&m));
                        }
                    });
                });
            }
        });
        assert!(done.into_inner() > 300);
    });
}

/// Programs are started by calls that copy nothing and run no handlers of ours.
#[test]
fn starting_a_program_changes_nothing() {
    let m = module(GUEST, Imports::new());
    let r = region();
    let i = Instance::new(&r, &m).unwrap();
    for _ in 0..20 {
        assert!(std::process::Command::new("true").status().unwrap().success());
        forty_two(&i);
        forty_two(&Instance::new(&r, &m).unwrap());
    }
}

static GROUP: Mutex<Option<Group>> = Mutex::new(None);

/// In the child the group is in use, by a run that nobody will end there.
extern "C" fn forks(_: *const Control, _: usize) -> i32 {
    forked(|| {
        let mut group = GROUP.lock().unwrap().take().unwrap();
        assert_eq!(group.get("a").unwrap().run("f", &[]).unwrap_err().status(), Status::Forked);
        group.free().unwrap();
        group.free().unwrap();
    });
    7
}

#[test]
fn a_child_may_free_a_group_that_its_parent_uses() {
    in_child("a_child_may_free_a_group_that_its_parent_uses", || {
        let wat = r#"(module (import "env" "forks" (func $forks (result i32)))
          (memory 1) (func (export "f") (result i32) (call $forks)))"#;
        let mut imports = Imports::new();
        common::host(&mut imports, "forks", "() -> i32", forks as *const c_void, 0);
        let config =
            ModuleConfig { imports, allow_unsigned: true, linkable: true, ..Default::default() };
        let m = Module::load_bytes(&compile(wat, MemoryShape::Guarded), &config).unwrap();
        let mut group = Group::new(&region());
        let i = **group.instantiate(Some("a"), &m).unwrap();
        *GROUP.lock().unwrap() = Some(group);
        for _ in 0..3 {
            assert_eq!(i.run("f", &[]).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
        }
        GROUP.lock().unwrap().take().unwrap().free().unwrap();
        assert_eq!(i.run("f", &[]).unwrap_err().status(), Status::InvalidHandle);
    });
}
