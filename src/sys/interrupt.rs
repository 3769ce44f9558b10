//! Interrupting another thread: the signal, the fence that makes sending it exact, and forks.

use super::errno_error;
use super::signals::Handler;
use crate::error::Result;
use nix::errno::Errno;
use std::ffi::c_void;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The signal that ends guests. It is ignored by default, so one that arrives late does no harm,
/// and hardly any program uses it: it announces urgent data on sockets to processes that ask for
/// it.
pub const SIGNAL: i32 = libc::SIGURG;

/// What handled the signal before us, if it was a function: address and whether it takes siginfo.
static PREVIOUS: OnceLock<(usize, bool)> = OnceLock::new();

/// Installs `handler` for [`SIGNAL`].
///
/// # Errors
/// `Io` when the system refuses.
pub fn install(handler: Handler) -> Result<()> {
    // SAFETY: plain C structures for which zero is a valid value, and calls with valid pointers;
    // `handler` is async-signal-safe by its contract.
    let failed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut old: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        let mut failed = libc::sigaction(SIGNAL, std::ptr::null(), &mut old) != 0;
        if old.sa_sigaction != libc::SIG_DFL && old.sa_sigaction != libc::SIG_IGN {
            let _ = PREVIOUS.set((old.sa_sigaction, old.sa_flags & libc::SA_SIGINFO != 0));
        }
        failed |= libc::sigaction(SIGNAL, &action, std::ptr::null_mut()) != 0;
        failed
    };
    if failed {
        return Err(errno_error("installing a handler for SIGURG", Errno::last()));
    }
    register_fence();
    Ok(())
}

/// Gives a signal that is not ours to the handler that was there before us.
///
/// # Safety
/// Called within a signal handler, with its arguments.
pub unsafe fn forward(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    match PREVIOUS.get() {
        Some((f, true)) => {
            // SAFETY: installed with SA_SIGINFO, so it has this signature.
            let f: Handler = unsafe { std::mem::transmute(*f) };
            f(signal, info, context);
        }
        Some((f, false)) => {
            // SAFETY: installed without SA_SIGINFO, so it has this signature.
            let f: extern "C" fn(i32) = unsafe { std::mem::transmute(*f) };
            f(signal);
        }
        None => {}
    }
}

/// Whether the signal is blocked in this thread.
#[must_use]
pub fn is_blocked() -> bool {
    // SAFETY: reads this thread's mask into a local.
    unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
        libc::sigismember(&mask, SIGNAL) == 1
    }
}

/// This thread's id.
#[must_use]
pub fn thread_id() -> i32 {
    // SAFETY: a plain system call.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

#[inline(always)]
fn clock(id: libc::clockid_t) -> Option<u64> {
    // SAFETY: a plain system call that writes to a local.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        (libc::clock_gettime(id, &mut time) == 0).then_some(time)
    }?;
    Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Nanoseconds on the clock that does not jump, CLOCK_MONOTONIC.
#[must_use]
#[inline(always)]
pub fn time() -> u64 {
    clock(libc::CLOCK_MONOTONIC).unwrap_or(0)
}

/// Nanoseconds of processor time that this thread has used.
#[must_use]
pub fn processor_time() -> u64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or(0)
}

/// The same of another thread of this process; `None` if it is gone.
#[must_use]
pub fn processor_time_of(thread: i32) -> Option<u64> {
    // The kernel's numbers of threads' clocks (`MAKE_THREAD_CPUCLOCK`, CPUCLOCK_SCHED), which is
    // what pthread_getcpuclockid makes of a pthread_t.
    clock((!thread << 3) | 0b110)
}

/// Sends the signal to a thread of this process.
pub fn send(thread: i32) {
    // SAFETY: a plain system call; a thread that is gone makes it fail, which is as good.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, SIGNAL) };
}

/// A system call that does nothing, so that a signal on its way to this thread arrives now and not
/// in the middle of one that matters.
pub fn let_signals_in() {
    let _ = thread_id();
}

const MEMBARRIER_CMD_PRIVATE_EXPEDITED: i32 = 1 << 3;
const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED: i32 = 1 << 4;

fn register_fence() {
    // SAFETY: a plain system call; where it is refused, `fence` costs exactness, not safety.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) };
}

/// Makes every thread of the process pass a full memory fence: what this thread stored before is
/// seen by their loads after it, and their stores before it by this thread's loads after it. So the
/// threads themselves need no fence on their hot path.
pub fn fence() {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    // SAFETY: a plain system call.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) };
}

unsafe extern "C" {
    // POSIX; the libc crate has it for other systems only.
    fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> i32;
}

/// Calls the three around each fork: in the thread that forks before and after, and in the child.
///
/// # Errors
/// `OutOfMemory`; they are not called then.
pub fn at_fork(
    before: extern "C" fn(),
    after: extern "C" fn(),
    child: extern "C" fn(),
) -> Result<()> {
    // SAFETY: a plain call; the functions live as long as the library, which is never unloaded.
    let e = unsafe { pthread_atfork(Some(before), Some(after), Some(child)) };
    noted(e, child)
}

/// The end of a registration that answered `e`.
fn noted(e: i32, child: extern "C" fn()) -> Result<()> {
    if e != 0 {
        return Err(errno_error("registering what is done at a fork", Errno::from_raw(e)));
    }
    note(child);
    Ok(())
}

/// What is to be called in the child after each fork, for [`run_in_child`]. 0: none.
static IN_CHILD: [AtomicUsize; 8] = [const { AtomicUsize::new(0) }; 8];

/// Notes a function for [`run_in_child`].
fn note(f: extern "C" fn()) {
    let f = f as *const () as usize;
    let taken =
        |slot: &AtomicUsize| slot.compare_exchange(0, f, Ordering::AcqRel, Ordering::Acquire);
    IN_CHILD.iter().find(|slot| taken(slot).is_ok());
}

/// Calls what is to be called in a child: for forks that the C library does not know of.
pub(super) fn run_in_child() {
    for slot in &IN_CHILD {
        let f = slot.load(Ordering::Acquire);
        if f != 0 {
            // SAFETY: `note` stored a function of this type.
            let f: extern "C" fn() = unsafe { std::mem::transmute(f) };
            f();
        }
    }
}

/// Calls `f` in the child after each fork.
///
/// # Errors
/// `OutOfMemory`; it is not called then.
pub fn after_fork_in_child(f: extern "C" fn()) -> Result<()> {
    // SAFETY: a plain call; `f` lives as long as the library, which is never unloaded.
    noted(unsafe { pthread_atfork(None, None, Some(f)) }, f)
}

/// Blocks every signal in this thread: a watchdog must not run a host's handlers.
pub fn block_all_signals() {
    // SAFETY: changes this thread's mask only.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
    }
}
