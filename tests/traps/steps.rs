//! A run that is ended at each single instruction of its functions: prologues and epilogues too.
//! The processor's trap flag stops after every instruction; at the n-th one of the guest's code the
//! run is terminated. Whatever the place, no frame of the backtrace is missing and none is wrong.

use crate::backtraces::names;
use crate::kit::{imports, returned, settings};
use lucet::{Control, InstanceRef, Outcome, Val};
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Instructions of the guest to go until the run is terminated.
static LEFT: AtomicUsize = AtomicUsize::new(0);
static CODE: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
static INSTANCE: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

const TRAP_FLAG: i64 = 0x100;

extern "C" fn stepped(_: i32, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's context.
    let regs = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let pc = regs[libc::REG_RIP as usize] as usize;
    let [start, end] = [0, 1].map(|i| CODE[i].load(Ordering::Relaxed));
    if !(start..end).contains(&pc) {
        return;
    }
    match LEFT.load(Ordering::Relaxed) {
        0 => {
            regs[libc::REG_EFL as usize] &= !TRAP_FLAG;
            let [index, generation] = [0, 1].map(|i| INSTANCE[i].load(Ordering::Relaxed) as u32);
            // Guest code holds no lock, so this is as good as from another thread.
            InstanceRef::from_parts(index, generation).unwrap().terminate().unwrap();
        }
        n => LEFT.store(n - 1, Ordering::Relaxed),
    }
}

/// Turns stepping on (1) or off (0).
extern "C" fn step(_: *const Control, _: usize, on: i32) {
    // SAFETY: changes the trap flag; the handler above is there.
    unsafe {
        if on == 1 {
            std::arch::asm!("pushfq", "or dword ptr [rsp], 0x100", "popfq");
        } else {
            std::arch::asm!("pushfq", "and dword ptr [rsp], 0xfffffeff", "popfq");
        }
    }
}

fn install() {
    // SAFETY: plain calls with a valid structure.
    unsafe {
        let mut a: libc::sigaction = std::mem::zeroed();
        a.sa_sigaction = stepped as *const () as usize;
        a.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // The signal that ends the run has to wait for the instruction it is to arrive at.
        libc::sigaddset(&mut a.sa_mask, libc::SIGURG);
        assert_eq!(libc::sigaction(libc::SIGTRAP, &a, std::ptr::null_mut()), 0);
    }
}

/// Where guest code is mapped.
fn code() -> Vec<[usize; 2]> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .filter(|l| l.contains("r-xp") && l.contains("lucet"))
        .map(|l| {
            let (start, end) = l.split_once(' ').unwrap().0.split_once('-').unwrap();
            [start, end].map(|a| usize::from_str_radix(a, 16).unwrap())
        })
        .collect()
}

#[test]
fn no_frame_is_lost_at_any_instruction() {
    let params = "i64 ".repeat(14);
    let consts = "(global.get $n)".repeat(14);
    let wat = format!(
        r#"(module (import "env" "step" (func $step (param i32)))
  (memory 1) (type $v (func)) (type $two (func (param i64 i64) (result i64)))
  (elem declare func $end) (table 1 funcref) (elem (i32.const 0) $leafless)
  (global $n (mut i64) (i64.const 0))
  (func $leaf (param i64) (result i64) (i64.add (local.get 0) (i64.const 1)))
  (func $leafless (i64.store (i32.const 8) (global.get $n)))
  (func $wide (param {params}) (result i64)
    (i64.add (call $leaf (local.get 0)) (local.get 13)))
  (func $few (param i64) (result i64) (return_call $many {consts}))
  (func $many (param {params}) (result i64)
    (return_call_ref $two (local.get 0) (local.get 13) (ref.func $end)))
  (func $end (type $two) (i64.add (local.get 0) (call $leaf (local.get 1))))
  (func $outer (export "outer")
    (call $step (i32.const 1))
    (global.set $n (call $leaf (global.get $n)))
    (global.set $n (call $wide {consts}))
    (call_indirect (type $v) (i32.const 0))
    (global.set $n (call $few (global.get $n)))
    (call $step (i32.const 0))))"#
    );
    let legal: [&[&str]; 9] = [
        &["outer"],
        &["leaf", "outer"],
        &["wide", "outer"],
        &["leaf", "wide", "outer"],
        &["leafless", "outer"],
        &["few", "outer"],
        &["many", "outer"],
        &["end", "outer"],
        &["leaf", "end", "outer"],
    ];
    install();
    for s in settings(1) {
        let known = code();
        let i = s.instance(&wat, imports(&[("step", "(i32) -> ()", step as *const c_void, 0)]));
        let own = code().into_iter().find(|c| !known.contains(c)).expect("the module's code");
        (0..2).for_each(|n| CODE[n].store(own[n], Ordering::Relaxed));
        let (index, generation) = i.parts();
        INSTANCE[0].store(index as usize, Ordering::Relaxed);
        INSTANCE[1].store(generation as usize, Ordering::Relaxed);
        i.set_backtrace(true).unwrap();
        // The watchdog is a thread, which is not to be made inside the handler.
        i.set_time_limit(1_000_000_000_000).unwrap();
        let mut met = [0usize; 9];
        let mut steps = 0;
        loop {
            LEFT.store(steps, Ordering::Relaxed);
            match i.run("outer", &[]).unwrap() {
                Outcome::Terminated => {}
                Outcome::Returned(_) => break,
                other => panic!("{other:?}"),
            }
            let trace = i.backtrace().unwrap();
            let found = legal.iter().position(|l| names(&trace) == *l);
            let found = found.unwrap_or_else(|| panic!("at instruction {steps}:\n{trace}"));
            met[found] += 1;
            i.reset().unwrap();
            steps += 1;
        }
        assert!(steps > 60 && met.iter().all(|n| *n > 4), "{met:?}");
        println!("{steps} instructions: {met:?}");
        LEFT.store(usize::MAX, Ordering::Relaxed);
        let _: Vec<Val> = returned(i.run("outer", &[]).unwrap());
    }
}
