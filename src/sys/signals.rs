//! Signals: installing handlers beside the host's, alternate stacks, blocked signals.

use super::errno_error;
use super::map::Mapping;
use crate::error::Result;
use nix::errno::Errno;
use std::cell::RefCell;
use std::ffi::c_void;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::sync::atomic::{AtomicBool, Ordering};

/// The signals that traps arrive as.
const SIGNALS: [(i32, &str); 4] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGFPE, "SIGFPE"),
];

/// Whether the library handles the signal in order to serve faults.
pub(super) fn is_ours(signal: i32) -> bool {
    SIGNALS.iter().any(|(s, _)| *s == signal)
}

/// A handler installed with `SA_SIGINFO`.
pub type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void);

/// What handled a signal before us, whether that is known yet, and whether it was a handler for one
/// time only (SA_RESETHAND) that has had it.
struct Previous(std::cell::UnsafeCell<MaybeUninit<libc::sigaction>>, AtomicBool, AtomicBool);

// SAFETY: written once in `install`, before the flag is set with Release; read only after the flag
// was seen with Acquire.
unsafe impl Sync for Previous {}

static PREVIOUS: [Previous; 4] = [const {
    let unknown = std::cell::UnsafeCell::new(MaybeUninit::uninit());
    Previous(unknown, AtomicBool::new(false), AtomicBool::new(false))
}; 4];

/// Installs `handler` for the four signals and remembers what was there before.
///
/// # Errors
/// `Io` with the signal's name when the system refuses.
pub fn install(handler: Handler) -> Result<()> {
    for ((signal, name), previous) in SIGNALS.iter().zip(&PREVIOUS) {
        // SAFETY: plain C structures for which zero is a valid value.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as *const () as usize;
        // No SA_NODEFER: the handler rewrites the context, and returning from it restores the mask.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        // SAFETY: first read what is there, so that it is known before our handler can run.
        let failed = unsafe {
            libc::sigemptyset(&mut action.sa_mask);
            let old = (*previous.0.get()).as_mut_ptr();
            libc::sigaction(*signal, std::ptr::null(), old) != 0
        };
        if failed {
            return Err(errno_error(format_args!("reading the handler of {name}"), Errno::last()));
        }
        previous.1.store(true, Ordering::Release);
        // SAFETY: `handler` is async-signal-safe by its contract.
        if unsafe { libc::sigaction(*signal, &action, std::ptr::null_mut()) } != 0 {
            return Err(errno_error(
                format_args!("installing a handler for {name}"),
                Errno::last(),
            ));
        }
    }
    Ok(())
}

/// Gives a signal that is not ours to the handler that was there before us.
///
/// # Safety
/// Called within a signal handler, with its arguments.
pub unsafe fn forward(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    let previous = SIGNALS.iter().position(|(s, _)| *s == signal).map(|i| &PREVIOUS[i]);
    let known = previous.filter(|p| p.1.load(Ordering::Acquire));
    // SAFETY: the flag says that it was written, and it is never written again.
    let old = known.map(|p| unsafe { (*p.0.get()).assume_init() });
    let once = |a: &libc::sigaction| a.sa_flags & libc::SA_RESETHAND != 0;
    let spent =
        |a: &libc::sigaction| once(a) && known.is_some_and(|p| p.2.swap(true, Ordering::AcqRel));
    // SAFETY: the kernel's siginfo; such a signal was sent, not raised by an instruction.
    let sent = unsafe { info.as_ref() }.is_some_and(|i| i.si_code <= 0);
    match old {
        Some(a) if a.sa_sigaction == libc::SIG_IGN && sent => {}
        Some(a)
            if a.sa_sigaction != libc::SIG_DFL && a.sa_sigaction != libc::SIG_IGN && !spent(&a) =>
        {
            // SAFETY: plain, async-signal-safe calls that give the handler the mask it asked for;
            // returning from the signal restores the one before.
            unsafe {
                libc::pthread_sigmask(libc::SIG_BLOCK, &a.sa_mask, std::ptr::null_mut());
                if a.sa_flags & libc::SA_NODEFER != 0 {
                    let mut own: libc::sigset_t = std::mem::zeroed();
                    libc::sigaddset(&mut own, signal);
                    libc::pthread_sigmask(libc::SIG_UNBLOCK, &own, std::ptr::null_mut());
                }
            }
            if a.sa_flags & libc::SA_SIGINFO != 0 {
                // SAFETY: installed with SA_SIGINFO, so it has this signature.
                let f: Handler = unsafe { std::mem::transmute(a.sa_sigaction) };
                f(signal, info, context);
            } else {
                // SAFETY: installed without SA_SIGINFO, so it has this signature.
                let f: extern "C" fn(i32) = unsafe { std::mem::transmute(a.sa_sigaction) };
                f(signal);
            }
        }
        _ => {
            // Default (or ignored, which the kernel does not honour for faults): put the default
            // back and return; the instruction faults again and the process dies at the right pc.
            // A signal that was sent, not raised by an instruction, is raised again.
            // SAFETY: plain C calls that are async-signal-safe.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                if sent {
                    libc::raise(signal);
                }
            }
        }
    }
}

/// The name of one of the signals that is blocked in this thread, if any is.
pub fn blocked() -> Option<&'static str> {
    // SAFETY: reads this thread's mask into a local.
    unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
        SIGNALS.iter().find(|(s, _)| libc::sigismember(&mask, *s) == 1).map(|(_, name)| *name)
    }
}

/// An alternate stack that goes away with its thread.
struct AlternateStack {
    map: Mapping,
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        // SAFETY: disables the alternate stack only if it is still ours, before it is unmapped.
        unsafe {
            let mut now: libc::stack_t = std::mem::zeroed();
            if libc::sigaltstack(std::ptr::null(), &mut now) == 0
                && now.ss_sp as usize >= self.map.address()
                && (now.ss_sp as usize) < self.map.address() + self.map.len()
            {
                let mut off: libc::stack_t = std::mem::zeroed();
                off.ss_flags = libc::SS_DISABLE;
                libc::sigaltstack(&off, std::ptr::null_mut());
            }
        }
    }
}

thread_local! {
    static STACK: RefCell<ManuallyDrop<Option<AlternateStack>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
}

/// The end of a thread.
fn remove_alternate_stack() {
    STACK.with(|s| drop(s.borrow_mut().take()));
}

/// Bytes the handler itself may need, beside the processor's state.
const HANDLER_BYTES: usize = 32 << 10;

fn needed() -> usize {
    // The kernel says how large the frame with all of the processor's state can be.
    // SAFETY: a plain C call.
    let frame = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    (frame.max(libc::MINSIGSTKSZ) + HANDLER_BYTES).next_multiple_of(super::PAGE)
}

/// Makes sure that this thread has an alternate signal stack that is large enough. One that the
/// host installed is kept if it is. When the thread ends, what was made here goes: destructors of
/// the host's that come later must not count on it.
///
/// # Errors
/// `OutOfMemory`; `WrongState` in such a destructor.
pub fn ensure_alternate_stack() -> Result<()> {
    // SAFETY: reads this thread's setting into a local.
    let now = unsafe {
        let mut now: libc::stack_t = std::mem::zeroed();
        libc::sigaltstack(std::ptr::null(), &mut now);
        now
    };
    if now.ss_flags & libc::SS_DISABLE == 0 && now.ss_size >= needed() {
        return Ok(());
    }
    super::thread::at_end(remove_alternate_stack)?;
    let map = Mapping::reserve(needed() + super::PAGE)?;
    map.open(super::PAGE, needed())?;
    let stack = libc::stack_t {
        ss_sp: (map.address() + super::PAGE) as *mut c_void,
        ss_flags: 0,
        ss_size: needed(),
    };
    // SAFETY: the mapping is owned by this thread's local, which disables the stack before it goes.
    if unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) } != 0 {
        return Err(errno_error("installing an alternate signal stack", Errno::last()));
    }
    // One that the host had replaced meanwhile is not in use any more.
    STACK.with(|s| drop(s.borrow_mut().replace(AlternateStack { map })));
    Ok(())
}
