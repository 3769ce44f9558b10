//! The races of ending runs from outside, one order of events after another: a thread is held at a
//! pause point while another one does what could go wrong. Each case runs twice, with its guard,
//! where nothing may go wrong, and without, where the case must notice the harm; so no case is
//! there for show. `docs/design/deadlines.md` names the races.
//!
//! `lucet-race ARTIFACT`: the compiled `guest.wat`.

use lucet::pause::{self, Guard, Point};
use lucet::{HostCode, Imports, Instance, Module, ModuleConfig, Outcome, Region, RegionConfig};
use lucet::{Val, Vmctx};
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

const MS: u64 = 1_000_000;

static GO_ON: AtomicBool = AtomicBool::new(true);
static CALLS: AtomicU32 = AtomicU32::new(0);
static IN_NAP: AtomicBool = AtomicBool::new(false);
static INTERRUPTED: AtomicU32 = AtomicU32::new(0);

extern "C" fn go_on(_: *const lucet::Control, _: usize) -> i32 {
    CALLS.fetch_add(1, Ordering::SeqCst);
    i32::from(GO_ON.load(Ordering::SeqCst))
}

/// Sleeps in a call that a signal would interrupt, whatever SA_RESTART says.
fn nap_for(ms: i32) {
    IN_NAP.store(true, Ordering::SeqCst);
    let time = libc::timespec { tv_sec: 0, tv_nsec: i64::from(ms) * 1_000_000 };
    // SAFETY: a plain system call with a valid argument.
    if unsafe { libc::nanosleep(&time, std::ptr::null_mut()) } != 0 {
        INTERRUPTED.fetch_add(1, Ordering::SeqCst);
    }
    IN_NAP.store(false, Ordering::SeqCst);
}

extern "C" fn nap(_: *const lucet::Control, _: usize, ms: i32) {
    nap_for(ms);
}

extern "C" fn yields(ctx: *const lucet::Control, _: usize) -> i32 {
    // SAFETY: called by the thunk.
    unsafe { Vmctx::from_raw(ctx) }.unwrap().yield_value(1, None, 0).unwrap();
    0
}

static TOLD: AtomicBool = AtomicBool::new(false);
static AFTER: AtomicU32 = AtomicU32::new(0);

/// Waits until the end of the run was asked for; then a signal comes in the middle of it, as from a
/// sender who has seen guest code, if `signal` is not 0.
extern "C" fn raise(_: *const lucet::Control, _: usize, signal: i32) {
    IN_NAP.store(true, Ordering::SeqCst);
    while !TOLD.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    if signal != 0 {
        // SAFETY: sends a signal that is handled to this thread.
        unsafe { libc::raise(libc::SIGURG) };
    }
    AFTER.fetch_add(1, Ordering::SeqCst);
    IN_NAP.store(false, Ordering::SeqCst);
}

struct Stage {
    module: Arc<Module>,
    region: Arc<Region>,
}

impl Stage {
    fn instance(&self) -> Instance {
        Instance::new(&self.region, &self.module).unwrap()
    }
}

fn stage(artifact: &[u8]) -> Stage {
    let mut imports = Imports::new();
    for (name, ty, f) in [
        ("go_on", "() -> i32", go_on as *const c_void),
        ("nap", "(i32) -> ()", nap as *const c_void),
        ("yield", "() -> i32", yields as *const c_void),
        ("raise", "(i32) -> ()", raise as *const c_void),
    ] {
        // SAFETY: the functions above have the types beside them.
        let code = unsafe { HostCode::new(f) };
        imports.add("env", name, lucet::parse_signature(ty).unwrap(), code, 0).unwrap();
    }
    let config = ModuleConfig { imports, allow_unsigned: true, ..ModuleConfig::default() };
    let module = Module::load_bytes(artifact, &config).unwrap();
    Stage { module, region: Region::new(RegionConfig::default()).unwrap() }
}

fn pause_for(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn returned(o: &Outcome) -> bool {
    *o == Outcome::Returned(vec![Val::I32(7)])
}

/// Waits up to `ms` until `f`.
fn within(ms: u64, f: impl Fn() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(ms) {
        if f() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// The time of a run is up; before its end is asked for, it returns, and the next one begins on the
/// same thread: that one must not be ended.
fn next_run_begins_before_the_request(s: &Stage) -> bool {
    GO_ON.store(true, Ordering::SeqCst);
    let (first, second) = (s.instance(), s.instance());
    first.set_time_limit(5 * MS).unwrap();
    pause::arm(Point::Due);
    let second_runs = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let runs = scope.spawn(|| {
            let a = first.run("until", &[]).unwrap();
            GO_ON.store(true, Ordering::SeqCst);
            second_runs.store(true, Ordering::SeqCst);
            let b = second.run("until", &[]).unwrap();
            assert!(returned(&a), "{a:?}");
            !returned(&b)
        });
        pause::wait(Point::Due);
        GO_ON.store(false, Ordering::SeqCst);
        assert!(within(5_000, || second_runs.load(Ordering::SeqCst)));
        pause_for(20);
        pause::release(Point::Due);
        pause_for(50);
        GO_ON.store(false, Ordering::SeqCst);
        runs.join().unwrap()
    })
}

/// A termination comes while a host function sleeps: the sleep must not be interrupted.
fn signal_while_in_the_host(s: &Stage) -> bool {
    let i = s.instance();
    INTERRUPTED.store(0, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| i.run("naps", &[Val::I32(60)]).unwrap());
        assert!(within(5_000, || IN_NAP.load(Ordering::SeqCst)));
        pause_for(5);
        i.terminate().unwrap();
        assert_eq!(run.join().unwrap(), Outcome::Terminated);
    });
    INTERRUPTED.load(Ordering::SeqCst) != 0
}

/// Terminates a run that is in `raise`, which goes on when it was.
fn terminate_in_raise(s: &Stage, signal: i32) {
    let i = s.instance();
    for flag in [&TOLD, &IN_NAP] {
        flag.store(false, Ordering::SeqCst);
    }
    AFTER.store(0, Ordering::SeqCst);
    CALLS.store(0, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| i.run("raises", &[Val::I32(signal)]).unwrap());
        assert!(within(5_000, || IN_NAP.load(Ordering::SeqCst)));
        i.terminate().unwrap();
        TOLD.store(true, Ordering::SeqCst);
        assert_eq!(run.join().unwrap(), Outcome::Terminated);
    });
}

/// A signal for the run comes in the middle of a host function, which must be finished.
fn signal_in_a_host_function(s: &Stage) -> bool {
    terminate_in_raise(s, 1);
    AFTER.load(Ordering::SeqCst) != 1
}

/// A termination comes while a host function runs: the next one must not be called.
fn host_function_after_a_request(s: &Stage) -> bool {
    terminate_in_raise(s, 0);
    CALLS.load(Ordering::SeqCst) != 0
}

/// A run returns between the request and the signal: the host must not get the signal.
fn run_ends_before_the_signal(s: &Stage) -> bool {
    GO_ON.store(true, Ordering::SeqCst);
    INTERRUPTED.store(0, Ordering::SeqCst);
    let i = s.instance();
    i.set_time_limit(5 * MS).unwrap();
    pause::arm(Point::Send);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let o = i.run("until", &[]).unwrap();
            nap_for(60);
            o
        });
        pause::wait(Point::Send);
        GO_ON.store(false, Ordering::SeqCst);
        // With the guard it cannot get there before the signal was sent.
        within(100, || IN_NAP.load(Ordering::SeqCst));
        pause::release(Point::Send);
        let o = run.join().unwrap();
        assert!(returned(&o) || o == Outcome::TimedOut, "{o:?}");
    });
    INTERRUPTED.load(Ordering::SeqCst) != 0
}

/// A termination comes when a run has just yielded: what is suspended must not go on.
fn terminated_when_just_suspended(s: &Stage) -> bool {
    let i = s.instance();
    pause::arm(Point::End);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| i.run("yields", &[]).unwrap());
        pause::wait(Point::End);
        i.terminate().unwrap();
        pause::release(Point::End);
        run.join().unwrap() != Outcome::Terminated
    })
}

/// The same when its time slice is over.
fn terminated_when_just_preempted(s: &Stage) -> bool {
    let i = s.instance();
    i.set_time_slice(2 * MS).unwrap();
    pause::arm(Point::End);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| i.run("tight", &[]).unwrap());
        pause::wait(Point::End);
        i.terminate().unwrap();
        pause::release(Point::End);
        run.join().unwrap() != Outcome::Terminated
    })
}

/// A termination comes when a preempted run is about to go on: it must not be lost.
fn terminated_when_about_to_resume(s: &Stage) -> bool {
    let i = s.instance();
    i.set_time_slice(2 * MS).unwrap();
    assert_eq!(i.run("tight", &[]).unwrap(), Outcome::Preempted);
    pause::arm(Point::Begin);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| i.resume(0).unwrap());
        pause::wait(Point::Begin);
        let end = scope.spawn(|| i.terminate().unwrap());
        pause_for(20);
        pause::release(Point::Begin);
        end.join().unwrap();
        // If the termination came late, it found the run preempted again.
        run.join().unwrap() != Outcome::Terminated && i.resume(0).is_ok()
    })
}

/// Between a termination's look and its deed the instance is freed, and another one runs in its
/// place, on the same thread: that one must not be ended.
fn instance_freed_and_replaced(s: &Stage) -> bool {
    GO_ON.store(true, Ordering::SeqCst);
    CALLS.store(0, Ordering::SeqCst);
    let old = s.instance();
    let (handle, new_runs) = (*old, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let runs = scope.spawn(|| {
            let a = old.run("until", &[]).unwrap();
            assert!(returned(&a), "{a:?}");
            drop(old);
            let new = s.instance();
            GO_ON.store(true, Ordering::SeqCst);
            new_runs.store(true, Ordering::SeqCst);
            !returned(&new.run("until", &[]).unwrap())
        });
        assert!(within(5_000, || CALLS.load(Ordering::SeqCst) > 0));
        pause::arm(Point::Doom);
        let end = scope.spawn(move || {
            let _ = handle.terminate();
        });
        pause::wait(Point::Doom);
        GO_ON.store(false, Ordering::SeqCst);
        assert!(within(5_000, || new_runs.load(Ordering::SeqCst)));
        pause_for(20);
        pause::release(Point::Doom);
        end.join().unwrap();
        pause_for(50);
        GO_ON.store(false, Ordering::SeqCst);
        runs.join().unwrap()
    })
}

/// A termination and the end of a slice are asked for at the same time, by two threads.
fn two_senders(s: &Stage) -> bool {
    let i = s.instance();
    i.set_time_slice(5 * MS).unwrap();
    pause::arm(Point::Send);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let mut o = i.run("tight", &[]).unwrap();
            while o == Outcome::Preempted {
                match i.resume(0) {
                    Ok(next) => o = next,
                    Err(_) => return Outcome::Terminated,
                }
            }
            o
        });
        pause::wait(Point::Send); // The watchdog, for the slice; it holds the lock.
        let end = scope.spawn(|| i.terminate().unwrap());
        pause_for(20);
        pause::release(Point::Send);
        end.join().unwrap();
        run.join().unwrap() != Outcome::Terminated
    })
}

type Case = (&'static str, Option<Guard>, fn(&Stage) -> bool);

const CASES: [Case; 10] = [
    ("next_run_begins_before_the_request", Some(Guard::Number), next_run_begins_before_the_request),
    ("signal_while_in_the_host", Some(Guard::Phase), signal_while_in_the_host),
    ("signal_in_a_host_function", Some(Guard::Code), signal_in_a_host_function),
    ("host_function_after_a_request", Some(Guard::Thunk), host_function_after_a_request),
    ("run_ends_before_the_signal", Some(Guard::EndLock), run_ends_before_the_signal),
    ("terminated_when_just_suspended", Some(Guard::TooLate), terminated_when_just_suspended),
    ("terminated_when_just_preempted", Some(Guard::TooLate), terminated_when_just_preempted),
    ("terminated_when_about_to_resume", Some(Guard::Wait), terminated_when_about_to_resume),
    ("instance_freed_and_replaced", Some(Guard::Still), instance_freed_and_replaced),
    ("two_senders", None, two_senders),
];

fn main() {
    let path = std::env::args().nth(1).expect("usage: lucet-race ARTIFACT");
    let stage = stage(&std::fs::read(path).expect("the artifact"));
    let mut failed = 0;
    for (name, guard, case) in CASES {
        for _ in 0..3 {
            if case(&stage) {
                println!("FAIL {name}: harm was done");
                failed += 1;
                break;
            }
        }
        if let Some(guard) = guard {
            pause::switch(guard, true);
            let noticed = case(&stage);
            pause::switch(guard, false);
            if !noticed {
                println!("FAIL {name}: without {guard:?} it should have noticed harm");
                failed += 1;
            }
        }
        println!("pass {name}");
    }
    std::process::exit(i32::from(failed > 0));
}
