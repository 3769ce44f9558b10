//! The signal handler: the only code that runs in signal context.
//!
//! The handler allocates nothing and takes no lock. It asks three questions, each answered from
//! data that is published with atomics and never unmapped:
//!
//! 1. Is a guest running on this thread? (the thread-local activation)
//! 2. Is the pc guest code, and one that may trap? (code arena → [`super::CodeInfo`])
//! 3. Is the address one that guests fault at? (region zones)
//!
//! Before that, one more: is the address the first touch of a page of a memory, by whomever? Then
//! the page is opened and the instruction tried again (see `region::resident`).
//!
//! Only if all three fit, it is a trap: the context is rewritten so that the thread goes on on the
//! host's stack, behind the call that entered the guest. Anything else belongs to the host and is
//! given to the handler that was there before, with the same arguments; a real bug in the host
//! still dumps core at the right place.

use super::CodeInfo;
use crate::arch::{self, Exit, Registers};
use crate::instance::Reason;
use crate::pause::{self, Guard};
use crate::region::zones::{self, Zone};
use crate::sys::{arena, interrupt, signals};
use lucet_artifact::abi::TrapCode;
use std::ffi::c_void;
use std::sync::atomic::Ordering;

/// What `sigaction` gets.
pub(super) extern "C" fn entry(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes valid pointers to a handler installed with SA_SIGINFO.
    let ours = unsafe { handle(signal, info, context) };
    if !ours {
        // SAFETY: the same arguments, passed on within the same signal.
        unsafe { signals::forward(signal, info, context) };
    }
}

/// For embedders whose handlers replaced the library's: whether the signal was a guest's. If so,
/// the handler must return at once, and the thread goes on where it should.
///
/// # Safety
/// Called within a handler that was installed with `SA_SIGINFO`, with its arguments. The handler
/// for SIGSEGV has `SA_ONSTACK`, so that it also runs when a guest's stack is used up.
pub unsafe fn handle_signal(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) -> bool {
    if signal == interrupt::SIGNAL {
        // SAFETY: the caller's promise.
        return unsafe { end_run(context) };
    }
    // SAFETY: the caller's promise.
    unsafe { handle(signal, info, context) }
}

/// Whether the signal was a guest's trap; if so, `context` now leads back to the host.
///
/// # Safety
/// The arguments are those of a signal handler.
unsafe fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) -> bool {
    // SAFETY: the kernel's siginfo.
    let Some(info) = (unsafe { info.as_ref() }) else { return false };
    if info.si_code <= 0 {
        // Sent by somebody, not raised by the instruction at the pc; there is no address.
        return false;
    }
    // SAFETY: for these signals, raised by an instruction, the address field is there.
    let address = unsafe { info.si_addr() } as usize;
    if signal == libc::SIGSEGV && zones::touch(address) {
        return true;
    }
    let activation = arch::current();
    // SAFETY: null, or the activation in a frame of this thread that entered a guest.
    let Some(activation) = (unsafe { activation.as_mut() }) else { return false };
    // SAFETY: the kernel's context, see the function's contract.
    let Some(context) = (unsafe { context.cast::<libc::ucontext_t>().as_mut() }) else {
        return false;
    };
    let (pc, fp, sp) = arch::read_fault(context);
    let Some((code, fault)) = classify(signal, pc, address) else { return false };
    activation.trap_code = code as u32;
    activation.trap_pc = pc;
    activation.guest_fp = fp;
    activation.guest_sp = sp;
    activation.fault = fault.map_or(0, |f| f as usize + 1);
    arch::leave_to_host(context, activation.host_sp, Exit::Trapped);
    true
}

/// The handler of the signal that ends runs (`instance::deadline`).
pub(crate) extern "C" fn interrupted(
    signal: i32,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    // SAFETY: the arguments are those of a signal handler.
    if !unsafe { end_run(context) } {
        // SAFETY: the kernel's siginfo; who sent it is known for signals that were sent.
        let own = unsafe { info.as_ref() }.is_some_and(|i| {
            // SAFETY: as above, and a plain system call.
            i.si_code == libc::SI_TKILL && unsafe { i.si_pid() == libc::getpid() }
        });
        if !own {
            // SAFETY: the same arguments, passed on within the same signal.
            unsafe { interrupt::forward(signal, info, context) };
        }
    }
}

/// Whether this thread is to end or interrupt its run and was in guest code; `context` then leads
/// to the host, and of an interrupted guest all registers are stored.
///
/// # Safety
/// The argument is that of a signal handler.
unsafe fn end_run(context: *mut c_void) -> bool {
    let words = arch::thread_words();
    let run = words.run.load(Ordering::Relaxed);
    let asked = words.request.load(Ordering::Acquire) == run || !pause::is_on(Guard::Number);
    if run == 0 || !asked {
        return false;
    }
    // SAFETY: null, or the activation in a frame of this thread that entered a guest.
    let Some(activation) = (unsafe { arch::current().as_mut() }) else { return false };
    // SAFETY: the kernel's context, see the function's contract.
    let Some(context) = (unsafe { context.cast::<libc::ucontext_t>().as_mut() }) else {
        return false;
    };
    let (pc, fp, sp) = arch::read_fault(context);
    let in_host = arena::owner_of(pc).is_none_or(|owner| owner == 0);
    if in_host && pause::is_on(Guard::Code) {
        return false;
    }
    let mut exit = Exit::Ended;
    if Reason::of(words.reason.load(Ordering::Acquire)) == Reason::Slice {
        let room = words.registers.load(Ordering::Relaxed);
        // SAFETY: null or what `vmctx::give_registers` put there; the kernel's context.
        if !words.may_pause(run) || !unsafe { Registers::store(room, context) } {
            return false;
        }
        exit = Exit::Preempted;
    }
    activation.trap_pc = pc;
    activation.guest_fp = fp;
    activation.guest_sp = sp;
    arch::leave_to_host(context, activation.host_sp, exit);
    true
}

/// The trap that a fault at `pc` on `address` is, and the offset in memory.
fn classify(signal: i32, pc: usize, address: usize) -> Option<(TrapCode, Option<u64>)> {
    let memory_fault = signal == libc::SIGSEGV || signal == libc::SIGBUS;
    let zone = if memory_fault { zones::classify(address) } else { None };
    let in_guest = arena::owner_of(pc).filter(|owner| *owner != 0);
    if zone == Some(Zone::StackGuard) {
        // Guest code, or the thunk and trampolines that push onto the guest's stack.
        let ours = in_guest.is_some() || arch::code_range().contains(&pc);
        return ours.then_some((TrapCode::StackOverflow, None));
    }
    let info = in_guest? as *const CodeInfo;
    // SAFETY: owner words are addresses of `CodeInfo`s, which live as long as their module's range;
    // the module is alive, because its code is running.
    let site = unsafe { info.as_ref() }?.site(pc)?;
    if !memory_fault {
        return Some((site, None));
    }
    match zone {
        Some(Zone::Memory(at)) => Some((site, Some(at))),
        // Checked accesses go to address 0 when the check fails.
        None if address < 4096 => Some((site, None)),
        _ => None,
    }
}
