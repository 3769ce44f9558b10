//! Instances belong to no thread: created, run, suspended, resumed and freed on any of them, and
//! left behind by threads that end.

mod common;
#[allow(dead_code)]
#[path = "hostile/kit.rs"]
mod kit;

use common::process::{in_child, mappings, status_kib};
use kit::{Rng, Setting, imports, returned, settings, vmctx};
use lucet::{Control, Instance, Module, Outcome, Region, Status, Val};
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier, Mutex};

const GUEST: &str = r#"(module
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (memory 1 2) (global $g (mut i32) (i32.const 0))
  (func (export "mark") (param i32)
    (global.set $g (local.get 0)) (i32.store (i32.const 5000) (local.get 0)))
  (func (export "wait") (param i32) (result i32)
    (i32.add (i32.load (i32.const 5000))
             (i32.add (global.get $g) (call $wait (local.get 0)))))
  (func $r (export "recurse") (call $r))
  (func (export "fresh") (result i32)
    (i32.or (global.get $g) (i32.load (i32.const 5000)))))"#;

extern "C" fn wait(ctx: *const Control, _: usize, v: i32) -> i32 {
    vmctx(ctx).yield_value(v as u64, None, 0).unwrap();
    0
}

fn guest(s: &Setting) -> (Arc<Region>, Arc<Module>) {
    let imports = imports(&[("wait", "(i32) -> i32", wait as *const c_void, 0)]);
    (s.region(), s.module(GUEST, imports))
}

/// What happens to an instance, one step after the other.
fn step(n: usize, i: Option<Instance>, r: &Arc<Region>, m: &Arc<Module>) -> Option<Instance> {
    let created = || Instance::new(r, m).unwrap();
    let i = i.unwrap_or_else(created);
    match n {
        0 => assert_eq!(returned(i.run("fresh", &[]).unwrap()), [Val::I32(0)]),
        1 => drop(returned(i.run("mark", &[Val::I32(20)]).unwrap())),
        2 => assert_eq!(i.run("wait", &[Val::I32(9)]).unwrap(), Outcome::Yielded(9)),
        3 => assert_eq!(returned(i.resume(2).unwrap()), [Val::I32(42)]),
        4 => assert!(matches!(i.run("recurse", &[]).unwrap(), Outcome::Trapped(_))),
        _ => return None,
    }
    Some(i)
}

type Job = Box<dyn FnOnce() -> Option<Instance> + Send>;

/// A thread that does what it is told.
fn worker<'s>(s: &'s std::thread::Scope<'s, '_>, done: Sender<Option<Instance>>) -> Sender<Job> {
    let (jobs, inbox) = channel::<Job>();
    s.spawn(move || inbox.iter().for_each(|job| done.send(job()).unwrap()));
    jobs
}

#[test]
fn every_step_on_every_thread() {
    const STEPS: usize = 6;
    for s in settings(4) {
        let (r, m) = guest(&s);
        std::thread::scope(|scope| {
            let (done, results) = channel();
            let workers = [0; 3].map(|_| worker(scope, done.clone()));
            for ways in 0..3usize.pow(STEPS as u32) {
                let mut i = None;
                for n in 0..STEPS {
                    let (r, m, before) = (r.clone(), m.clone(), i.take());
                    let on = ways / 3usize.pow(n as u32) % 3;
                    workers[on].send(Box::new(move || step(n, before, &r, &m))).unwrap();
                    i = results.recv().unwrap();
                }
                assert!(i.is_none());
            }
        });
        assert_eq!(r.live(), 0);
    }
}

#[test]
fn others_take_over_from_threads_that_end() {
    in_child("others_take_over_from_threads_that_end", || {
        // SAFETY: a plain call. One arena for all threads, so that their number can be counted on.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
        for s in settings(64) {
            let (r, m) = guest(&s);
            let round = || {
                let left = Mutex::new(Vec::new());
                // All of them live at once: the C library keeps stacks of threads that ended.
                let all_there = Barrier::new(16);
                std::thread::scope(|scope| {
                    for _ in 0..16 {
                        scope.spawn(|| {
                            all_there.wait();
                            let all = [0, 2, 3, 4]
                                .map(|last| (0..last).fold(None, |i, n| step(n, i, &r, &m)));
                            left.lock().unwrap().extend(all.into_iter().zip([0, 2, 3, 4]));
                        });
                    }
                });
                let left = left.into_inner().unwrap();
                assert_eq!((left.len(), r.live()), (64, 48));
                for (i, next) in left {
                    (next..6).fold(i, |i, n| step(n, i, &r, &m));
                }
                assert_eq!(r.live(), 0);
            };
            (0..3).for_each(|_| round());
            let look = || (mappings(), status_kib("VmRSS"));
            let before = look();
            (0..20).for_each(|_| round());
            let after = look();
            // The C library keeps stacks and allocator arenas of a few threads that ended. (320
            // threads came and went.)
            assert!(after.0 <= before.0 + 24, "{} mappings, then {}", before.0, after.0);
            assert!(after.1 <= before.1 + 1024, "{} KiB, then {}", before.1, after.1);
        }
    });
}

#[test]
fn t_sixteen_threads_and_one_region() {
    for s in settings(12) {
        let (r, m) = guest(&s);
        let pool: Mutex<Vec<(usize, Instance)>> = Mutex::new(Vec::new());
        let (ended, full) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for t in 0..16 {
                let (r, m, pool, ended, full) = (&r, &m, &pool, &ended, &full);
                scope.spawn(move || {
                    let mut rng = Rng(0xbeef + t);
                    for _ in 0..3_000 {
                        let taken = {
                            let mut pool = pool.lock().unwrap();
                            let n = pool.len();
                            (n > 0 && rng.below(3) > 0).then(|| pool.swap_remove(rng.below(n)))
                        };
                        let (at, i) = match taken {
                            Some((at, i)) => (at, i),
                            None => match Instance::new(r, m) {
                                Ok(i) => (0, i),
                                Err(e) => {
                                    assert_eq!(e.status(), Status::RegionFull);
                                    full.fetch_add(1, Ordering::Relaxed);
                                    std::thread::yield_now();
                                    continue;
                                }
                            },
                        };
                        match step(at, Some(i), r, m) {
                            Some(i) => pool.lock().unwrap().push((at + 1, i)),
                            None => drop(ended.fetch_add(1, Ordering::Relaxed)),
                        }
                    }
                });
            }
        });
        let left = pool.into_inner().unwrap();
        assert_eq!(r.live() as usize, left.len());
        drop(left);
        assert_eq!(r.live(), 0);
        let (ended, full) = (ended.into_inner(), full.into_inner());
        assert!(ended > 1_000 && full > 0, "{ended} ended, {full} refused");
    }
}
