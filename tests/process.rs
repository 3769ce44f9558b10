//! What the library does to the process it lives in: signals, mappings, threads. Each test runs in
//! a process of its own, because it changes things that belong to the whole process.

mod common;

use common::process::{child, in_child, mappings};
use common::{instance, module, region};
use lucet::{Imports, Instance, Outcome, Status, TrapCode, Val};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering};

const GUEST: &str = r#"(module (memory 1)
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func $r (export "recurse") (call $r))
  (func (export "div") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
  (func (export "ok") (result i32) (i32.const 7)))"#;

fn trap(i: &Instance, name: &str, args: &[Val]) -> TrapCode {
    common::trapped(i.run(name, args).unwrap()).code
}

fn all_traps_work() {
    let m = module(GUEST, Imports::new());
    let r = region();
    for (name, args, code) in [
        ("load", vec![Val::I32(-5)], TrapCode::MemoryOutOfBounds),
        ("recurse", vec![], TrapCode::StackOverflow),
        ("div", vec![Val::I32(0)], TrapCode::IntegerDivisionByZero),
    ] {
        let i = Instance::new(&r, &m).unwrap();
        assert_eq!(trap(&i, name, &args), code);
        i.reset().unwrap();
        assert_eq!(i.run("ok", &[]).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
    }
}

#[test]
fn works_when_memory_may_not_become_executable() {
    in_child("works_when_memory_may_not_become_executable", || {
        const PR_SET_MDWE: i32 = 65;
        // SAFETY: a plain system call on this process.
        let refused = unsafe { libc::prctl(PR_SET_MDWE, 1, 0, 0, 0) };
        assert_eq!(refused, 0, "this kernel has no PR_SET_MDWE (Linux 6.3)");
        all_traps_work();
    });
}

#[test]
fn nothing_is_writable_and_executable() {
    in_child("nothing_is_writable_and_executable", || {
        let i = instance(GUEST);
        let look = || {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            for line in maps.lines() {
                let mode = line.split_whitespace().nth(1).unwrap();
                assert!(!(mode.contains('w') && mode.contains('x')), "{line}");
            }
            assert!(maps.lines().any(|l| l.contains("lucet")), "no mapping of ours:\n{maps}");
        };
        look();
        i.run("ok", &[]).unwrap();
        trap(&i, "load", &[Val::I32(-1)]);
        look();
    });
}

static SEEN: AtomicUsize = AtomicUsize::new(0);

extern "C" fn hosts_handler(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo.
    SEEN.store(unsafe { (*info).si_addr() } as usize, Ordering::SeqCst);
    // SAFETY: async-signal-safe.
    unsafe { libc::_exit(42) };
}

fn install_hosts_handler(flags: i32) {
    // SAFETY: plain calls with a valid structure.
    unsafe {
        let mut a: libc::sigaction = std::mem::zeroed();
        a.sa_sigaction = hosts_handler as *const () as usize;
        a.sa_flags = libc::SA_SIGINFO | flags;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &a, std::ptr::null_mut()), 0);
    }
}

/// A fault of the host itself.
fn crash() {
    // SAFETY: none; that is the point. The process is a child made for it.
    unsafe { std::ptr::write_volatile(std::hint::black_box(16 as *mut u32), 1) };
}

#[test]
fn faults_of_the_host_go_to_the_hosts_handler() {
    let out = child("faults_of_the_host_go_to_the_hosts_handler", || {
        install_hosts_handler(libc::SA_ONSTACK);
        all_traps_work();
        crash();
    });
    if let Some(out) = out {
        assert_eq!(out.status.code(), Some(42), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn a_host_without_handler_dies_of_its_own_fault() {
    let out = child("a_host_without_handler_dies_of_its_own_fault", || {
        // SAFETY: plain call; Rust's own handler must not be the one that reports.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        all_traps_work();
        crash();
    });
    if let Some(out) = out {
        assert_eq!(out.status.signal(), Some(libc::SIGSEGV), "{}", out.status);
    }
}

extern "C" fn polite_handler(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the arguments of a signal handler.
    if !unsafe { lucet::handle_signal(signal, info, context) } {
        // SAFETY: async-signal-safe.
        unsafe { libc::_exit(43) };
    }
    SEEN.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn a_host_that_replaced_our_handlers_can_ask() {
    let out = child("a_host_that_replaced_our_handlers_can_ask", || {
        lucet::prepare_thread().unwrap();
        let i = instance(GUEST);
        i.set_time_limit(1).unwrap();
        let _ = i.run("ok", &[]).unwrap();
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGURG] {
            // SAFETY: plain calls with a valid structure.
            unsafe {
                let mut a: libc::sigaction = std::mem::zeroed();
                a.sa_sigaction = polite_handler as *const () as usize;
                a.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                assert_eq!(libc::sigaction(signal, &a, std::ptr::null_mut()), 0);
            }
        }
        all_traps_work();
        let i = instance("(module (func (export \"f\") (loop $l (br $l))))");
        i.set_time_limit(2_000_000).unwrap();
        assert_eq!(i.run("f", &[]).unwrap(), Outcome::TimedOut);
        assert!(SEEN.load(Ordering::SeqCst) >= 3);
        crash();
    });
    if let Some(out) = out {
        assert_eq!(out.status.code(), Some(43), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn a_fault_inside_a_host_function_is_the_hosts() {
    extern "C" fn bad(_: *const lucet::Control, _: usize) {
        crash();
    }
    let out = child("a_fault_inside_a_host_function_is_the_hosts", || {
        install_hosts_handler(libc::SA_ONSTACK);
        let mut imports = Imports::new();
        common::host(&mut imports, "bad", "() -> ()", bad as *const _, 0);
        let m = module(
            r#"(module (import "env" "bad" (func $b)) (memory 1)
               (func (export "f") (call $b)))"#,
            imports,
        );
        let _ = Instance::new(&region(), &m).unwrap().run("f", &[]);
        panic!("a fault of the host was taken for a trap");
    });
    if let Some(out) = out {
        assert_eq!(out.status.code(), Some(42), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn blocked_signals_are_a_status() {
    in_child("blocked_signals_are_a_status", || {
        let i = instance(GUEST);
        std::thread::spawn(move || {
            // SAFETY: changes this thread's mask only.
            unsafe {
                let mut set: libc::sigset_t = std::mem::zeroed();
                libc::sigaddset(&mut set, libc::SIGBUS);
                libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            }
            for e in [
                i.run("ok", &[]).unwrap_err(),
                i.memory_write(0, &[1]).unwrap_err(),
                Instance::new(&region(), &module(GUEST, Imports::new())).unwrap_err(),
            ] {
                assert_eq!(e.status(), Status::SignalsBlocked);
                assert!(e.message().contains("SIGBUS"), "{e}");
            }
        })
        .join()
        .unwrap();
    });
}

#[test]
fn an_alternate_stack_that_is_too_small_is_replaced() {
    in_child("an_alternate_stack_that_is_too_small_is_replaced", || {
        std::thread::spawn(|| {
            let tiny = vec![0u8; libc::MINSIGSTKSZ].leak();
            let stack =
                libc::stack_t { ss_sp: tiny.as_mut_ptr().cast(), ss_flags: 0, ss_size: tiny.len() };
            // SAFETY: the memory is leaked, so it outlives the thread.
            unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) };
            all_traps_work();
            assert!(tiny.iter().all(|b| *b == 0), "the tiny stack was used");
        })
        .join()
        .unwrap();
    });
}

#[test]
fn a_time_limit_that_cannot_be_kept_is_refused() {
    in_child("a_time_limit_that_cannot_be_kept_is_refused", || {
        let i = instance(GUEST);
        std::thread::spawn(move || {
            // SAFETY: changes this thread's mask only.
            unsafe {
                let mut set: libc::sigset_t = std::mem::zeroed();
                libc::sigaddset(&mut set, libc::SIGURG);
                libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            }
            i.set_time_limit(1_000_000_000).unwrap();
            let e = i.run("ok", &[]).unwrap_err();
            assert_eq!(e.status(), Status::SignalsBlocked);
            assert!(e.message().contains("SIGURG"), "{e}");
            // Nothing ran, so nothing is broken.
            i.set_time_limit(0).unwrap();
            assert_eq!(i.run("ok", &[]).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
        })
        .join()
        .unwrap();
    });
}

#[test]
fn threads_run_their_own_instances_and_leave_nothing() {
    in_child("threads_run_their_own_instances_and_leave_nothing", || {
        let m = module(GUEST, Imports::new());
        let r = region();
        let round = || {
            std::thread::scope(|s| {
                for _ in 0..8 {
                    s.spawn(|| {
                        for n in 0..200 {
                            let i = Instance::new(&r, &m).unwrap();
                            if n % 3 == 0 {
                                trap(&i, "load", &[Val::I32(-9)]);
                            } else if n % 7 == 0 {
                                trap(&i, "recurse", &[]);
                            } else {
                                let o = i.run("ok", &[]).unwrap();
                                assert_eq!(o, Outcome::Returned(vec![Val::I32(7)]));
                            }
                        }
                    });
                }
            });
        };
        // A slot's first use opens its pages, which splits a mapping: use as many as there will be.
        drop((0..8).map(|_| Instance::new(&r, &m).unwrap()).collect::<Vec<_>>());
        round();
        let before = mappings();
        for _ in 0..10 {
            round();
        }
        assert_eq!(r.live(), 0);
        // Thread stacks and allocator arenas come and go; alternate stacks must not pile up.
        assert!(mappings() <= before + 20, "{before} mappings became {}", mappings());
    });
}

#[test]
fn one_instance_is_used_by_one_thread_at_a_time() {
    in_child("one_instance_is_used_by_one_thread_at_a_time", || {
        static INSIDE: AtomicUsize = AtomicUsize::new(0);
        extern "C" fn wait(_: *const lucet::Control, _: usize) {
            INSIDE.store(1, Ordering::SeqCst);
            while INSIDE.load(Ordering::SeqCst) == 1 {
                std::thread::yield_now();
            }
        }
        let mut imports = Imports::new();
        common::host(&mut imports, "wait", "() -> ()", wait as *const _, 0);
        let m = module(
            r#"(module (import "env" "wait" (func $w)) (func (export "f") (call $w)))"#,
            imports,
        );
        let i = Instance::new(&region(), &m).unwrap();
        std::thread::scope(|s| {
            s.spawn(|| i.run("f", &[]).unwrap());
            while INSIDE.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            assert_eq!(i.run("f", &[]).unwrap_err().status(), Status::Busy);
            assert_eq!(i.free().unwrap_err().status(), Status::Busy);
            assert_eq!(i.reset().unwrap_err().status(), Status::Busy);
            INSIDE.store(2, Ordering::SeqCst);
        });
        i.free().unwrap();
        assert_eq!(i.run("f", &[]).unwrap_err().status(), Status::InvalidHandle);
    });
}

/// From now on, any system call of this process but `write`, leaving and these kills it.
fn allow_system_calls(more: &[i64]) {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let op = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    let mut allowed = vec![libc::SYS_write, libc::SYS_exit_group, libc::SYS_rt_sigreturn];
    allowed.extend(more);
    let mut program = vec![op(LOAD, 0, 0)];
    for (n, call) in allowed.iter().enumerate() {
        program.push(op(EQUAL, (allowed.len() - n) as u8, *call as u32));
    }
    program.push(op(RETURN, 0, libc::SECCOMP_RET_KILL_PROCESS));
    program.push(op(RETURN, 0, libc::SECCOMP_RET_ALLOW));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: plain system calls; the filter is alive while it is installed.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &filter), 0);
    }
}

fn page_faults() -> i64 {
    // SAFETY: a plain system call that fills a local.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage.ru_minflt
    }
}

/// Requests that grow memory by different amounts, write to what they grew, and check that they
/// found nothing there.
fn growing_requests(r: &std::sync::Arc<lucet::Region>, m: &std::sync::Arc<lucet::Module>) {
    for n in 0..1000 {
        let i = Instance::new(r, m).unwrap();
        let found = i.run("f", &[Val::I32(1 + n % 3), Val::I32(n * 64 % 65536)]).unwrap();
        assert_eq!(found, Outcome::Returned(vec![Val::I32(0)]));
        i.free().unwrap();
        // One that does not grow reaches none of it.
        let i = Instance::new(r, m).unwrap();
        assert_eq!(trap(&i, "load", &[Val::I32(65536)]), TrapCode::MemoryOutOfBounds);
    }
}

#[test]
fn a_warm_instance_that_grows_opens_and_closes_and_nothing_else() {
    if region().rung() != lucet::Rung::FirstTouch {
        eprintln!("this kernel has no guard markers");
        return;
    }
    let name = "a_warm_instance_that_grows_opens_and_closes_and_nothing_else";
    let out = child(name, || {
        let m = module(
            r#"(module (memory 1)
               (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
               (func (export "f") (param $pages i32) (param $at i32) (result i32)
                 (drop (memory.grow (local.get $pages)))
                 (i32.load (i32.add (i32.const 65536) (local.get $at)))
                 (i32.store (i32.add (i32.const 65536) (local.get $at)) (i32.const -1))))"#,
            Imports::new(),
        );
        let r = region();
        growing_requests(&r, &m);
        // Reading the mappings takes memory, and so may fault.
        let maps = mappings();
        let before = page_faults();
        growing_requests(&r, &m);
        let faults = page_faults() - before;
        assert_eq!(mappings(), maps, "mappings of warm instances");
        assert_eq!(faults, 0, "page faults of warm instances");
        // No memory is given back, emptied or marked: access to it changes, that is all.
        allow_system_calls(&[libc::SYS_mprotect]);
        growing_requests(&r, &m);
        // SAFETY: plain system calls; the harness could not go on under the filter.
        unsafe {
            libc::write(1, c"access alone".as_ptr().cast(), 12);
            libc::_exit(0);
        }
    });
    if let Some(out) = out {
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{}", out.status);
        assert!(said.contains("access alone"), "{said}");
    }
}

/// A thousand requests, each in a fresh instance that calls a host function.
fn requests(r: &std::sync::Arc<lucet::Region>, m: &std::sync::Arc<lucet::Module>) {
    let f = m.find("f", None).unwrap();
    for n in 0..1000 {
        let i = Instance::new(r, m).unwrap();
        i.set_time_limit(10_000_000_000_000).unwrap();
        let o = i.run_func(f, &[Val::I32(n)]).unwrap();
        assert_eq!(o, Outcome::Returned(vec![Val::I32(n + 1)]));
    }
}

#[test]
fn a_warm_fresh_instance_makes_no_system_call() {
    extern "C" fn add(_: *const lucet::Control, _: usize, n: i32) -> i32 {
        n + 1
    }
    let out = child("a_warm_fresh_instance_makes_no_system_call", || {
        let mut imports = Imports::new();
        common::host(&mut imports, "add", "(i32) -> i32", add as *const _, 0);
        imports.mark_impure("env", "add").unwrap();
        let m = module(
            r#"(module (import "env" "add" (func $add (param i32) (result i32)))
               (memory 1) (data (i32.const 5000) "what a fresh instance finds")
               (func (export "f") (param i32) (result i32)
                 (i32.store (i32.const 4) (local.get 0))
                 (i32.store (i32.const 5000) (local.get 0))
                 (call $add (local.get 0))))"#,
            imports,
        );
        let best = region();
        let small = lucet::RegionConfig {
            reset: Some(lucet::Rung::CopyAndClear),
            ..lucet::RegionConfig::default()
        };
        let small = lucet::Region::new(small).unwrap();
        let rungs = [Some(small), (best.rung() == lucet::Rung::FirstTouch).then_some(best)];
        // One of a snapshot does not either.
        let i = Instance::new(&region(), &m).unwrap();
        i.run("f", &[Val::I32(1)]).unwrap();
        let options = lucet::SnapshotOptions {
            allow_frozen_randomness: true,
            ..lucet::SnapshotOptions::default()
        };
        let snapshot = i.snapshot(&options).unwrap();
        let all = || rungs.iter().flatten().flat_map(|r| [(r, &m), (r, &snapshot)]);
        for (r, m) in all() {
            requests(r, m);
            // The watchdog that the first limit started takes a moment to get there; until then it
            // is woken again and again.
            std::thread::sleep(std::time::Duration::from_millis(300));
            requests(r, m);
            let before = page_faults();
            requests(r, m);
            assert_eq!(page_faults(), before, "page faults of warm instances: {:?}", r.rung());
        }
        allow_system_calls(&[]);
        for (r, m) in all() {
            requests(r, m);
        }
        // SAFETY: plain system calls; the harness could not go on under the filter.
        unsafe {
            libc::write(1, c"no system calls".as_ptr().cast(), 15);
            libc::_exit(0);
        }
    });
    if let Some(out) = out {
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{}", out.status);
        assert!(said.contains("no system calls"), "{said}");
    }
}
