//! Runs ended from outside: time limits and termination. Endless loops of every kind end, nothing
//! else does, and the host's own system calls are never interrupted.

mod common;

use common::process::in_child;
use common::{host, module, region, vmctx};
use lucet::{Imports, Instance, Module, Outcome, Status, Val};
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const MS: u64 = 1_000_000;

const LOOPS: &str = r#"(module
  (import "env" "nap" (func $nap (param i32)))
  (import "env" "nested" (func $nested))
  (import "env" "yield" (func $yield (result i32)))
  (memory 1 1024) (table 1 funcref) (elem (i32.const 0) $tight)
  (global $n (mut i64) (i64.const 0))
  (func $tight (export "tight") (loop $l (br $l)))
  (func (export "work") (param i32) (result i32)
    (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (i32.const 7))
  (func (export "branches") (loop $l (br_table $l $l (i32.const 0))))
  (func (export "stores") (loop $l
    (i64.store (i32.const 8) (i64.add (i64.load (i32.const 8)) (i64.const 1))) (br $l)))
  (func (export "indirect") (call_indirect (i32.const 0)))
  (func (export "naps") (param i32) (loop $l (call $nap (local.get 0)) (br $l)))
  (func (export "grows") (loop $l (drop (memory.grow (i32.const 0))) (br $l)))
  (func (export "fills") (drop (memory.grow (i32.const 1023)))
    (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 67108864)) (br $l)))
  (func (export "copies") (drop (memory.grow (i32.const 1023)))
    (loop $l (memory.copy (i32.const 1) (i32.const 0) (i32.const 67108863)) (br $l)))
  (func (export "nests") (loop $l (call $nested) (br $l)))
  (func (export "waits") (drop (call $yield)) (loop $l (br $l)))
  (func (export "ok") (result i32) (i32.const 7)))"#;

unsafe extern "C" fn nap(_: *const lucet::Control, _: usize, micros: i32) {
    std::thread::sleep(Duration::from_micros(micros as u64));
}

static NESTED_TIMED_OUT: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" fn nested(ctx: *const lucet::Control, _: usize) {
    let ctx = vmctx(ctx);
    let o = ctx.run(ctx.find("tight").unwrap(), &[]).unwrap();
    assert!(matches!(o, Outcome::TimedOut | Outcome::Terminated), "{o:?}");
    NESTED_TIMED_OUT.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C" fn yields(ctx: *const lucet::Control, _: usize) -> i32 {
    vmctx(ctx).yield_value(1, None, 0).unwrap();
    0
}

fn guest() -> Arc<Module> {
    let mut imports = Imports::new();
    host(&mut imports, "nap", "(i32) -> ()", nap as *const c_void, 0);
    host(&mut imports, "nested", "() -> ()", nested as *const c_void, 0);
    host(&mut imports, "yield", "() -> i32", yields as *const c_void, 0);
    module(LOOPS, imports)
}

/// Functions that never end, with arguments.
fn endless() -> Vec<(&'static str, Vec<Val>)> {
    vec![
        ("tight", vec![]),
        ("branches", vec![]),
        ("stores", vec![]),
        ("indirect", vec![]),
        ("naps", vec![Val::I32(0)]),
        ("naps", vec![Val::I32(300)]),
        ("grows", vec![]),
        ("fills", vec![]),
        ("copies", vec![]),
        ("nests", vec![]),
    ]
}

#[test]
fn every_endless_loop_ends_in_time() {
    let (m, r) = (guest(), region());
    for (name, args) in endless() {
        let i = Instance::new(&r, &m).unwrap();
        for _ in 0..3 {
            i.set_time_limit(5 * MS).unwrap();
            let start = Instant::now();
            assert_eq!(i.run(name, &args).unwrap(), Outcome::TimedOut, "{name}");
            let took = start.elapsed();
            assert!(took >= Duration::from_millis(5), "{name}: ended early, after {took:?}");
            // Not a benchmark: a machine under load is slow, an endless loop is endless.
            assert!(took < Duration::from_secs(20), "{name}: {took:?}");
            assert_eq!(i.run("ok", &[]).unwrap_err().status(), Status::WrongState);
            i.reset().unwrap();
            i.set_time_limit(0).unwrap();
            assert_eq!(i.run("ok", &[]).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
        }
    }
    assert!(NESTED_TIMED_OUT.load(Ordering::Relaxed) >= 3);
}

#[test]
fn runs_within_their_limit_are_left_alone() {
    let (m, r) = (guest(), region());
    let i = Instance::new(&r, &m).unwrap();
    i.set_time_limit(10_000 * MS).unwrap();
    for _ in 0..20_000 {
        assert_eq!(i.run("ok", &[]).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
    }
    // Limits around the time that the work takes: it ends one way or the other, never wrongly.
    let (mut returned, mut timed_out) = (0, 0);
    let work = [Val::I32(200_000)];
    for n in 0..400 {
        i.set_time_limit(20_000 + n * 1_000).unwrap();
        match i.run("work", &work).unwrap() {
            Outcome::Returned(v) => {
                assert_eq!(v, [Val::I32(7)]);
                returned += 1;
            }
            Outcome::TimedOut => {
                timed_out += 1;
                i.reset().unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(returned + timed_out, 400);
}

#[test]
fn a_resumed_run_has_its_own_time() {
    let i = Instance::new(&region(), &guest()).unwrap();
    i.set_time_limit(20 * MS).unwrap();
    assert_eq!(i.run("waits", &[]).unwrap(), Outcome::Yielded(1));
    std::thread::sleep(Duration::from_millis(30));
    let start = Instant::now();
    assert_eq!(i.resume(0).unwrap(), Outcome::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(20));
}

#[test]
fn terminate_ends_every_endless_loop() {
    let (m, r) = (guest(), region());
    for (name, args) in endless() {
        let i = Instance::new(&r, &m).unwrap();
        std::thread::scope(|s| {
            let run = s.spawn(|| i.run(name, &args).unwrap());
            while !run.is_finished() {
                std::thread::sleep(Duration::from_millis(2));
                i.terminate().unwrap();
            }
            assert_eq!(run.join().unwrap(), Outcome::Terminated, "{name}");
        });
        i.reset().unwrap();
        assert_eq!(i.run("ok", &[]).unwrap(), Outcome::Returned(vec![Val::I32(7)]), "{name}");
    }
}

#[test]
fn terminate_is_for_the_run_that_goes_on_and_no_other() {
    let (m, r) = (guest(), region());
    let i = Instance::new(&r, &m).unwrap();
    i.terminate().unwrap();
    assert_eq!(i.run("ok", &[]).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
    assert_eq!(i.run("waits", &[]).unwrap(), Outcome::Yielded(1));
    i.terminate().unwrap();
    assert_eq!(i.resume(0).unwrap_err().status(), Status::WrongState);
    i.reset().unwrap();
    let handle = *i;
    drop(i);
    assert_eq!(handle.terminate().unwrap_err().status(), Status::InvalidHandle);
}

#[test]
fn terminate_races_with_the_end_of_runs() {
    let (m, r) = (guest(), region());
    let (victim, other) = (Instance::new(&r, &m).unwrap(), Instance::new(&r, &m).unwrap());
    let stop = AtomicU32::new(0);
    let (mut ended, mut returned) = (0, 0);
    std::thread::scope(|s| {
        s.spawn(|| {
            while stop.load(Ordering::Relaxed) == 0 {
                victim.terminate().unwrap();
                std::thread::yield_now();
            }
        });
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(2) {
            match victim.run("work", &[Val::I32(2_000)]).unwrap() {
                Outcome::Returned(v) => {
                    assert_eq!(v, [Val::I32(7)]);
                    returned += 1;
                }
                Outcome::Terminated => {
                    ended += 1;
                    victim.reset().unwrap();
                }
                o => panic!("{o:?}"),
            }
            // On the same thread, right after: a termination must never hit this one.
            let o = other.run("work", &[Val::I32(500)]).unwrap();
            assert_eq!(o, Outcome::Returned(vec![Val::I32(7)]));
        }
        stop.store(1, Ordering::Relaxed);
    });
    assert!(ended > 0, "no run of {returned} was ended");
}

#[test]
fn the_hosts_system_calls_are_not_interrupted() {
    static INTERRUPTED: AtomicU32 = AtomicU32::new(0);
    /// Sleeps in a call that returns EINTR whatever SA_RESTART says.
    fn sleep() {
        let time = libc::timespec { tv_sec: 0, tv_nsec: 200_000 };
        // SAFETY: a plain system call with a valid argument.
        if unsafe { libc::nanosleep(&time, std::ptr::null_mut()) } != 0 {
            INTERRUPTED.fetch_add(1, Ordering::Relaxed);
        }
    }
    unsafe extern "C" fn sleeps(_: *const lucet::Control, _: usize) {
        sleep();
    }
    let mut imports = Imports::new();
    host(&mut imports, "sleep", "() -> ()", sleeps as *const c_void, 0);
    let m = module(
        r#"(module (import "env" "sleep" (func $s)) (memory 1)
           (func (export "f") (local i32) (loop $l (call $s) (local.set 0 (i32.const 3000))
             (loop $k (br_if $k (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
             (br $l))))"#,
        imports,
    );
    let r = region();
    let (mut ended, begin) = (0, Instant::now());
    while begin.elapsed() < Duration::from_secs(2) {
        let i = Instance::new(&r, &m).unwrap();
        i.set_time_limit(300_000 + (ended % 97) * 3_000).unwrap();
        assert_eq!(i.run("f", &[]).unwrap(), Outcome::TimedOut);
        sleep();
        ended += 1;
    }
    assert_eq!(INTERRUPTED.load(Ordering::Relaxed), 0, "of {ended} runs ended");
}

#[test]
fn limits_hold_on_many_threads() {
    let (m, r) = (guest(), region());
    std::thread::scope(|s| {
        for t in 0..6u64 {
            let (m, r) = (&m, &r);
            s.spawn(move || {
                for n in 0..30 {
                    let i = Instance::new(r, m).unwrap();
                    i.set_time_limit((1 + (t + n) % 3) * MS).unwrap();
                    assert_eq!(i.run("stores", &[]).unwrap(), Outcome::TimedOut);
                }
            });
        }
    });
}

/// How often the library's thread has given up its processor: each wake-up ends that way.
fn watchdog_sleeps() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let statuses =
        tasks.filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("status")).ok());
    let watchdog = statuses.into_iter().find(|s| s.starts_with("Name:\tlucet-watchdog"));
    let watchdog = watchdog.expect("a thread named lucet-watchdog");
    let line = watchdog.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn nobody_wakes_up_when_no_guest_runs() {
    in_child("nobody_wakes_up_when_no_guest_runs", || {
        let (r, m) = (region(), guest());
        let i = Instance::new(&r, &m).unwrap();
        i.set_time_limit(5 * MS).unwrap();
        assert_eq!(i.run("tight", &[]).unwrap(), Outcome::TimedOut);
        i.reset().unwrap();
        for _ in 0..100 {
            assert_eq!(i.run("ok", &[]).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
        }
        assert_eq!(i.run("waits", &[]).unwrap(), Outcome::Yielded(1));
        // It may look once more at a deadline of a run that is over; then it sleeps for good.
        std::thread::sleep(Duration::from_millis(300));
        let before = watchdog_sleeps();
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(watchdog_sleeps(), before, "wake-ups in 0.7 s without a guest");
    });
}
