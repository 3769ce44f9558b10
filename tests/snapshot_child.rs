//! Snapshots from a child process. A test program of its own, because it counts children and
//! descriptors of the process; its tests run one after the other.

mod common;

use common::{host, region};
use lucet::{
    ChildOptions, Control, Imports, Instance, Module, ModuleConfig, Outcome, RegionConfig,
    SnapshotOptions, Status, Val,
};
use lucet_artifact::types::MemoryShape;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

const GUEST: &str = r#"(module
  (import "env" "crash" (func $crash (param i32)))
  (import "env" "random" (func $random (result i64)))
  (memory (export "memory") 2 100)
  (table $t 2 50 funcref) (elem (i32.const 0) $one)
  (global $n (export "n") (mut i64) (i64.const 0))
  (func $one (result i64) (i64.const 11))
  (func (export "_initialize")
    (local $i i32)
    (drop (memory.grow (i32.const 3)))
    (drop (table.grow $t (ref.func $one) (i32.const 4)))
    (loop $again
      (i32.store (i32.mul (local.get $i) (i32.const 64)) (local.get $i))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 5000))))
    (global.set $n (i64.const 42)))
  (func (export "random") (global.set $n (call $random)))
  (func (export "loop") (loop $again (br $again)))
  (func (export "trap") unreachable)
  (func (export "crash0") (call $crash (i32.const 0)))
  (func (export "crash1") (call $crash (i32.const 1)))
  (func (export "crash2") (call $crash (i32.const 2)))
  (func (export "crash3") (call $crash (i32.const 3)))
  (func (export "signal") (call $crash (i32.const 4)))
  (func (export "takes") (param i32))
  (func (export "at") (param i32) (result i32)
    (i32.load (i32.mul (local.get 0) (i32.const 64))))
  (func (export "call") (param i32) (result i64) (call_indirect (result i64) (local.get 0))))"#;

/// Takes the process with it, in several ways.
extern "C" fn crash(_: *const Control, _: usize, how: i32) {
    match how {
        0 => std::process::abort(),
        // SAFETY: ends the process at once.
        1 => unsafe { libc::_exit(0) },
        // SAFETY: sends a signal to this process.
        2 => unsafe {
            libc::kill(libc::getpid(), libc::SIGKILL);
        },
        // SAFETY: sends a signal to this process.
        4 => unsafe {
            libc::kill(libc::getpid(), libc::SIGCHLD);
            libc::kill(libc::getpid(), libc::SIGUSR1);
        },
        // SAFETY: a wild store, which is the point: nothing is mapped at the first page.
        _ => unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) },
    }
}

extern "C" fn random(_: *const Control, _: usize) -> i64 {
    7
}

fn module(shape: MemoryShape) -> Arc<Module> {
    let mut imports = Imports::new();
    host(&mut imports, "crash", "(i32) -> ()", crash as *const c_void, 0);
    host(&mut imports, "random", "() -> i64", random as *const c_void, 0);
    imports.mark_impure("env", "random").unwrap();
    let config = ModuleConfig { imports, allow_unsigned: true, ..ModuleConfig::default() };
    Module::load_bytes(&common::compile(GUEST, shape), &config).unwrap()
}

fn run(name: &str) -> ChildOptions {
    ChildOptions { run: Some(name.to_owned()), ..ChildOptions::default() }
}

/// No child is left, not even one that only `__WALL` finds.
fn no_children() -> bool {
    // SAFETY: a plain system call.
    let n = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) };
    n == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD)
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn check(m: &Arc<Module>, compact: bool) {
    let config = RegionConfig { compact, max_memory: 8 << 20, ..RegionConfig::default() };
    let r = lucet::Region::new(config).unwrap();
    for _ in 0..3 {
        let i = Instance::new(&r, m).unwrap();
        assert_eq!(i.global_get("n").unwrap(), Val::I64(42));
        assert_eq!(i.memory_size().unwrap(), 5 << 16);
        for n in [0, 1, 77, 4999, 5000] {
            let expected = if n < 5000 { n } else { 0 };
            let r = i.run("at", &[Val::I32(n)]).unwrap();
            assert_eq!(r, Outcome::Returned(vec![Val::I32(expected)]));
        }
        assert_eq!(i.run("call", &[Val::I32(5)]).unwrap(), Outcome::Returned(vec![Val::I64(11)]));
        assert!(matches!(i.run("call", &[Val::I32(6)]).unwrap(), Outcome::Trapped(_)));
    }
}

#[test]
fn a_child_gives_the_snapshot_of_what_it_ran() {
    let _alone = alone();
    for (shape, compact) in [(MemoryShape::Guarded, false), (MemoryShape::Compact, true)] {
        let m = module(shape);
        let options = ChildOptions {
            region: RegionConfig { compact, max_memory: 8 << 20, ..RegionConfig::default() },
            ..run("_initialize")
        };
        let snap = m.snapshot_in_child(&options).unwrap();
        check(&snap, compact);
        // It is the same as one taken here, down to the file.
        let r = lucet::Region::new(options.region).unwrap();
        let i = Instance::new(&r, &m).unwrap();
        i.run("_initialize", &[]).unwrap();
        let here = i.snapshot(&SnapshotOptions::default()).unwrap();
        assert_eq!(here.loaded().init, snap.loaded().init);
        assert_eq!(here.loaded().contract, snap.loaded().contract);
        assert!(here.loaded().image_bytes() == snap.loaded().image_bytes());
        // And a snapshot in a child of that.
        let again = snap.snapshot_in_child(&ChildOptions { run: None, ..options }).unwrap();
        check(&again, compact);
        assert!(no_children());
    }
}

#[test]
fn a_child_that_fails_says_how() {
    let _alone = alone();
    let m = module(MemoryShape::Guarded);
    let before = descriptors();
    for (name, status, part) in [
        ("trap", Status::StartFailed, "\"trap\" trapped: unreachable"),
        ("crash0", Status::StartFailed, "was ended by signal 6"),
        ("crash1", Status::StartFailed, "ended with code 0 before there was one"),
        ("crash2", Status::StartFailed, "was killed (SIGKILL)"),
        ("crash3", Status::StartFailed, "was ended by signal 11"),
        ("none", Status::NoSuchExport, "no export \"none\""),
        ("takes", Status::ExportTypeMismatch, "takes"),
        ("random", Status::Impure, "env.random"),
    ] {
        let e = m.snapshot_in_child(&run(name)).unwrap_err();
        assert_eq!(e.status(), status, "{name}: {e}");
        assert!(e.message().contains(part), "{name}: {e}");
        assert!(no_children(), "{name}");
    }
    let small = RegionConfig { max_memory: 1 << 16, ..RegionConfig::default() };
    let e = m.snapshot_in_child(&ChildOptions { region: small, ..run("random") }).unwrap_err();
    assert_eq!(e.status(), Status::LimitExceeded, "{e}");
    assert_eq!(descriptors(), before);
}

#[test]
fn a_child_that_hangs_is_killed() {
    let _alone = alone();
    let m = module(MemoryShape::Guarded);
    let before = descriptors();
    let begin = Instant::now();
    let options = ChildOptions { time_limit: Duration::from_millis(200), ..run("loop") };
    let e = m.snapshot_in_child(&options).unwrap_err();
    assert_eq!(e.status(), Status::StartFailed);
    assert!(e.message().contains("did not finish within 200ms"), "{e}");
    assert!(begin.elapsed() >= Duration::from_millis(200));
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert!(no_children());
    assert_eq!(descriptors(), before);
}

static NESTED: Mutex<Option<Arc<Module>>> = Mutex::new(None);

/// Takes a snapshot in a child while a guest runs on this thread.
extern "C" fn takes_one(_: *const Control, _: usize) -> i32 {
    let m = module(MemoryShape::Guarded);
    *NESTED.lock().unwrap() = Some(m.snapshot_in_child(&run("_initialize")).unwrap());
    5
}

#[test]
fn host_functions_may_take_one() {
    let _alone = alone();
    let mut imports = Imports::new();
    host(&mut imports, "takes_one", "() -> i32", takes_one as *const c_void, 0);
    let wat = r#"(module (import "env" "takes_one" (func $f (result i32))) (memory 1)
      (func (export "f") (result i32) (i32.store (i32.const 8) (i32.const 6))
        (i32.add (call $f) (i32.load (i32.const 8)))))"#;
    let i = Instance::new(&region(), &common::module(wat, imports)).unwrap();
    assert_eq!(i.run("f", &[]).unwrap(), Outcome::Returned(vec![Val::I32(11)]));
    check(&NESTED.lock().unwrap().take().unwrap(), false);
    assert!(no_children());
}

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: i32) {
    SIGNALS.fetch_add(1, Ordering::SeqCst);
}

/// Runs `body` in a process with a single thread, as many servers are; its number is the exit code.
fn single_threaded(body: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs `body` and ends without unwinding; libtest's threads hold no lock that
    // it needs.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            libc::_exit(code.unwrap_or(99));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
        assert!(libc::WIFEXITED(status), "{status:#x}");
        libc::WEXITSTATUS(status)
    }
}

fn handle_child_signal() {
    // SAFETY: installs a handler that only counts.
    unsafe { libc::signal(libc::SIGCHLD, count as extern "C" fn(i32) as libc::sighandler_t) };
}

#[test]
fn hosts_with_one_thread_do_not_notice() {
    let _alone = alone();
    let m = module(MemoryShape::Guarded);
    let code = single_threaded(|| {
        handle_child_signal();
        check(&m.snapshot_in_child(&run("_initialize")).unwrap(), false);
        let e = m.snapshot_in_child(&run("crash0")).unwrap_err();
        assert_eq!(e.status(), Status::StartFailed);
        // The child has no handlers of the host's: the signal ends it.
        // SAFETY: installs a handler that only counts.
        unsafe { libc::signal(libc::SIGUSR1, count as extern "C" fn(i32) as libc::sighandler_t) };
        let e = m.snapshot_in_child(&run("signal")).unwrap_err();
        assert!(e.message().contains("was ended by signal 10"), "{e}");
        let options = ChildOptions { time_limit: Duration::from_millis(50), ..run("loop") };
        m.snapshot_in_child(&options).unwrap_err();
        // An instance that ran before the fork goes on, and so do time limits.
        let i = Instance::new(&region(), &m).unwrap();
        i.set_time_limit(5_000_000).unwrap();
        assert_eq!(i.run("loop", &[]).unwrap(), Outcome::TimedOut);
        assert!(no_children());
        SIGNALS.load(Ordering::SeqCst) as i32
    });
    assert_eq!(code, 0, "signals seen by the host, or 99 for a failure");
}

/// With more threads there is a SIGCHLD; a host that reaps everything in its handler does no harm.
#[test]
fn hosts_that_reap_everything_do_no_harm() {
    extern "C" fn reap(_: i32) {
        count(0);
        // SAFETY: a plain system call, allowed in handlers.
        unsafe { while libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 {} }
    }
    let _alone = alone();
    let m = module(MemoryShape::Guarded);
    let code = single_threaded(|| {
        // SAFETY: installs a handler that makes only calls that are allowed there.
        unsafe { libc::signal(libc::SIGCHLD, reap as extern "C" fn(i32) as libc::sighandler_t) };
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        for _ in 0..20 {
            check(&m.snapshot_in_child(&run("_initialize")).unwrap(), false);
            let e = m.snapshot_in_child(&run("crash3")).unwrap_err();
            assert_eq!(e.status(), Status::StartFailed);
        }
        drop(stop);
        let _ = other.join();
        assert!(no_children());
        i32::from(SIGNALS.load(Ordering::SeqCst) == 0)
    });
    assert_eq!(code, 0, "1: no signal came, so the test proves nothing; 99: a failure");
}

/// Other threads use the library without pause: a child that found one of its locks, or malloc's,
/// locked would hang.
#[test]
fn children_of_busy_processes_do_not_hang() {
    let _alone = alone();
    let m = module(MemoryShape::Guarded);
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let (stop, m) = (stop.clone(), m.clone());
            std::thread::spawn(move || {
                let r = region();
                while !stop.load(Ordering::Relaxed) {
                    let i = Instance::new(&r, &m).unwrap();
                    i.run("at", &[Val::I32(3)]).unwrap();
                    drop(vec![0u8; 200_000]);
                }
            })
        })
        .collect();
    for _ in 0..100 {
        check(&m.snapshot_in_child(&run("_initialize")).unwrap(), false);
    }
    stop.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|b| b.join().unwrap());
    assert!(no_children());
}
