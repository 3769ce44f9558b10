//! Many threads at one small region, and at one group.

use super::kit::{Rng, imports, returned, settings};
use lucet::{Control, Group, Imports, Instance, InstanceRef, Outcome, Status, Val};
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const GUEST: &str = r#"(module (memory (export "m") 1 4) (table $t (export "t") 2 4 funcref)
  (data (i32.const 100) "image") (global $g (export "g") (mut i64) (i64.const 3))
  (func $f (export "dirty") (param i32) (result i32)
    (drop (memory.grow (i32.const 2)))
    (memory.fill (i32.const 0) (local.get 0) (i32.mul (memory.size) (i32.const 65536)))
    (global.set $g (i64.extend_i32_u (local.get 0)))
    (table.set $t (i32.const 0) (ref.func $f)) (i32.load (i32.const 70000)))
  (func $r (export "recurse") (param i32) (result i32)
    (i32.add (i32.const 1) (call $r (local.get 0))))
  (func (export "oob") (param i32) (result i32) (i32.load (i32.const -9)))
  (func (export "div") (param i32) (result i32) (i32.div_u (local.get 0) (i32.const 0))))"#;

fn fresh(i: &Instance) {
    let mut bytes = vec![1; 65536];
    assert_eq!(i.memory_size().unwrap(), 65536);
    i.memory_read(0, &mut bytes).unwrap();
    let mut want = vec![0; 65536];
    want[100..105].copy_from_slice(b"image");
    assert!(bytes == want, "somebody else's bytes");
    assert_eq!(i.global_get("g").unwrap(), Val::I64(3));
    assert_eq!(i.table_elements("t").unwrap(), [0, 0]);
}

#[test]
fn t_drop_race() {
    for (n, s) in settings(3).into_iter().enumerate() {
        let (r, m) = (s.region(), s.module(GUEST, Imports::new()));
        let end = Instant::now() + Duration::from_millis(1500);
        let (runs, full) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for t in 0..6 {
                let (r, m, runs, full) = (&r, &m, &runs, &full);
                scope.spawn(move || {
                    let mut rng = Rng(0xdead_0000 + t * 7 + n as u64);
                    while Instant::now() < end {
                        let i = match Instance::new(r, m) {
                            Ok(i) => i,
                            Err(e) => {
                                assert_eq!(e.status(), Status::RegionFull);
                                full.fetch_add(1, Ordering::Relaxed);
                                std::thread::yield_now();
                                continue;
                            }
                        };
                        fresh(&i);
                        let mark = t as i32 + 1;
                        let word = returned(i.run("dirty", &[Val::I32(mark)]).unwrap());
                        assert_eq!(word, [Val::I32(mark * 0x0101_0101)]);
                        let name = ["dirty", "recurse", "oob", "div"][rng.below(4)];
                        let o = i.run(name, &[Val::I32(mark)]).unwrap();
                        assert_eq!(name == "dirty", matches!(o, Outcome::Returned(_)));
                        if rng.below(3) == 0 {
                            i.reset().unwrap();
                            fresh(&i);
                        }
                        runs.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(r.live(), 0);
        let (runs, full) = (runs.into_inner(), full.into_inner());
        assert!(runs > 500 && full > 0, "{runs} runs, {full} refused");
    }
}

extern "C" fn nothing(_: *const Control, _: usize) {}

#[test]
fn a_group_is_used_by_one_thread_at_a_time() {
    const OWNER: &str = r#"(module (import "env" "h" (func $h)) (memory (export "m") 1 2)
      (table $t (export "t") 1 64 funcref)
      (func (export "work") (param i32) (result i32)
        (loop $again
          (call $h) (memory.fill (i32.const 0) (i32.const 1) (i32.const 64))
          (table.set $t (i32.const 0) (ref.null func))
          (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (i32.const 7)))"#;
    const USER: &str = r#"(module (import "a" "work" (func $w (param i32) (result i32)))
      (import "a" "m" (memory 1)) (import "a" "t" (table $t 1 funcref))
      (func (export "work") (param i32) (result i32)
        (drop (memory.grow (i32.const 0)))
        (table.fill $t (i32.const 0) (ref.null func) (i32.const 1)) (call $w (local.get 0))))"#;
    for s in settings(4) {
        let mut g = Group::new(&s.region());
        let host = || imports(&[("h", "() -> ()", nothing as *const c_void, 0)]);
        g.instantiate(Some("a"), &s.linkable(OWNER, host())).unwrap();
        g.instantiate(Some("b"), &s.linkable(USER, host())).unwrap();
        let members: [InstanceRef; 2] = [**g.get("a").unwrap(), **g.get("b").unwrap()];
        let end = Instant::now() + Duration::from_millis(700);
        let (done, busy) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for t in 0..4 {
                let (done, busy, members) = (&done, &busy, &members);
                scope.spawn(move || {
                    while Instant::now() < end {
                        match members[t % 2].run("work", &[Val::I32(50)]) {
                            Ok(o) => {
                                assert_eq!(returned(o), [Val::I32(7)]);
                                done.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(e) => {
                                assert_eq!(e.status(), Status::Busy);
                                busy.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        let _ = members[0].memory_size();
                        let _ = members[1].table_elements("t");
                    }
                });
            }
        });
        assert!(done.into_inner() > 100 && busy.into_inner() > 0);
    }
}

/// Dropping a group while a member runs on another thread: the run ends in peace, nothing of the
/// group is taken away below it.
#[test]
fn a_group_is_dropped_while_it_runs() {
    static INSIDE: AtomicBool = AtomicBool::new(false);
    static GO: AtomicBool = AtomicBool::new(false);
    extern "C" fn wait(_: *const Control, _: usize) {
        INSIDE.store(true, Ordering::SeqCst);
        while !GO.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    }
    const OWNER: &str = r#"(module (memory 1) (data (i32.const 0) "AAAA")
      (func (export "f") (result i32) (i32.load (i32.const 0))))"#;
    const USER: &str = r#"(module (import "env" "wait" (func $h))
      (import "a" "f" (func $f (result i32)))
      (func (export "g") (result i32) (call $h) (call $f)))"#;
    for s in settings(4) {
        INSIDE.store(false, Ordering::SeqCst);
        GO.store(false, Ordering::SeqCst);
        let r = s.region();
        let mut g = Group::new(&r);
        g.instantiate(Some("a"), &s.linkable(OWNER, Imports::new())).unwrap();
        let host = imports(&[("wait", "() -> ()", wait as *const c_void, 0)]);
        g.instantiate(Some("b"), &s.linkable(USER, host)).unwrap();
        let b = **g.get("b").unwrap();
        std::thread::scope(|t| {
            let run = t.spawn(move || b.run("g", &[]).unwrap());
            while !INSIDE.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            drop(g);
            GO.store(true, Ordering::SeqCst);
            assert_eq!(returned(run.join().unwrap()), [Val::I32(0x4141_4141)]);
        });
    }
}
