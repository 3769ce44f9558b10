//! Faults of the host itself, with every disposition that the host may have had for their signals:
//! they go where they would have gone without the library.

use crate::contexts::{SIGNALS, child, context, install};
use crate::kit::{settings, trapped};
use lucet::{Imports, Instance};
use std::ffi::c_void;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the fault should be: the address accessed, or that of the instruction (0).
static EXPECTED: AtomicUsize = AtomicUsize::new(0);
static SEEN: AtomicUsize = AtomicUsize::new(0);

extern "C" fn with_info(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the arguments of a signal handler, and calls that are async-signal-safe.
    unsafe {
        let address = (*info).si_addr() as usize;
        let regs = (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let pc = regs[libc::REG_RIP as usize] as usize;
        let want = match EXPECTED.load(Ordering::Relaxed) {
            0 => pc,
            at => at,
        };
        libc::_exit(if address == want && (*info).si_code > 0 { 100 + signal } else { 99 });
    }
}

extern "C" fn without_info(signal: i32) {
    // SAFETY: async-signal-safe.
    unsafe { libc::_exit(100 + signal) };
}

/// Faults again, which only a handler that is not deferred, or the default, gets to know.
extern "C" fn faults_again(signal: i32) {
    if SEEN.fetch_add(1, Ordering::Relaxed) == 1 {
        without_info(signal);
    }
    fault(signal);
}

/// Makes the processor raise this signal.
fn fault(signal: i32) {
    // SAFETY: none; that is the point. The process is a child made for it.
    unsafe {
        match signal {
            libc::SIGSEGV => {
                EXPECTED.store(16, Ordering::Relaxed);
                std::ptr::write_volatile(std::hint::black_box(16 as *mut u32), 1);
            }
            libc::SIGBUS => {
                let fd = libc::memfd_create(c"empty".as_ptr(), 0);
                let (prot, flags) = (libc::PROT_READ, libc::MAP_PRIVATE);
                let at = libc::mmap(std::ptr::null_mut(), 4096, prot, flags, fd, 0);
                EXPECTED.store(at as usize, Ordering::Relaxed);
                std::ptr::read_volatile(at.cast::<u32>());
            }
            libc::SIGILL => std::arch::asm!("ud2"),
            _ => std::arch::asm!(
                "xor ecx, ecx",
                "xor edx, edx",
                "div ecx",
                out("rax") _, out("rcx") _, out("rdx") _,
            ),
        }
    }
}

/// What ends the process: an exit code of a handler, or the signal.
#[derive(Debug, PartialEq)]
enum End {
    Handler,
    Killed,
}

const DISPOSITIONS: [(&str, End); 10] = [
    ("default", End::Killed),
    ("ignored", End::Killed),
    ("siginfo", End::Handler),
    ("siginfo, own stack", End::Handler),
    ("plain", End::Handler),
    ("not deferred", End::Handler),
    ("deferred, faults inside", End::Killed),
    ("not deferred, faults inside", End::Handler),
    ("once, faults again", End::Killed),
    ("after ours", End::Handler),
];

extern "C" fn asks(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the arguments of a signal handler.
    if !unsafe { lucet::handle_signal(signal, info, context) } {
        with_info(signal, info, context);
    }
}

/// Runs a guest that makes the library answer this signal.
fn guest_traps() {
    let s = settings(1)[0];
    let i = s.instance(
        r#"(module (memory 1)
          (func (export "load") (drop (i32.load (i32.const -1))))
          (func (export "div") (param i32) (drop (i32.div_u (i32.const 1) (local.get 0)))))"#,
        Imports::new(),
    );
    let run = |i: &Instance| {
        trapped(i.run("load", &[]).unwrap());
        i.reset().unwrap();
        trapped(i.run("div", &[lucet::Val::I32(0)]).unwrap());
        i.reset().unwrap();
    };
    run(&i);
    run(&i);
}

fn in_disposition(signal: i32, name: &str) {
    let one = [signal];
    let info = libc::SA_SIGINFO;
    let never = libc::SIG_DFL as *const ();
    match name {
        "default" => install(&one, never, 0),
        "ignored" => install(&one, libc::SIG_IGN as *const (), 0),
        "siginfo" => install(&one, with_info as *const (), info),
        "siginfo, own stack" => install(&one, with_info as *const (), info | libc::SA_ONSTACK),
        "plain" => install(&one, without_info as *const (), 0),
        "not deferred" => install(&one, with_info as *const (), info | libc::SA_NODEFER),
        "deferred, faults inside" => install(&one, faults_again as *const (), 0),
        "not deferred, faults inside" => {
            install(&one, faults_again as *const (), libc::SA_NODEFER);
        }
        "once, faults again" => {
            install(&one, faults_again as *const (), libc::SA_NODEFER | libc::SA_RESETHAND);
        }
        _ => {}
    }
    guest_traps();
    if name == "after ours" {
        install(&one, asks as *const (), info | libc::SA_ONSTACK);
        guest_traps();
    }
    fault(signal);
    unreachable!("the fault was swallowed");
}

#[test]
fn faults_of_the_host_go_where_they_would_have_gone() {
    if let Some(which) = context() {
        let (signal, name) = which.split_once(' ').unwrap();
        return in_disposition(signal.parse().unwrap(), name);
    }
    for signal in SIGNALS {
        for (name, end) in &DISPOSITIONS {
            let test = "dispositions::faults_of_the_host_go_where_they_would_have_gone";
            let out = child(test, &format!("{signal} {name}"));
            let found = (out.status.code(), out.status.signal());
            let want = match end {
                End::Handler => (Some(100 + signal), None),
                End::Killed => (None, Some(signal)),
            };
            let text = String::from_utf8_lossy(&out.stderr);
            assert_eq!(found, want, "signal {signal}, {name}\n{text}");
        }
    }
}

/// A signal that somebody sends is no fault; whoever ignores it still does.
#[test]
fn sent_signals_are_ignored_by_those_who_ignored_them() {
    if let Some(which) = context() {
        let ignore = which == "ignored";
        let how = if ignore { libc::SIG_IGN } else { libc::SIG_DFL };
        install(&SIGNALS, how as *const (), 0);
        guest_traps();
        // SAFETY: a plain call.
        unsafe { libc::raise(libc::SIGSEGV) };
        assert!(ignore, "the signal was swallowed");
        guest_traps();
        return;
    }
    let name = "dispositions::sent_signals_are_ignored_by_those_who_ignored_them";
    assert!(child(name, "ignored").status.success());
    assert_eq!(child(name, "default").status.signal(), Some(libc::SIGSEGV));
}
