//! Getting ready for traps: handlers once per process, an alternate stack once per thread.

use super::handler::entry;
use crate::arch;
use crate::error::{Error, Result, Status};
use crate::sys::{fork, signals, thread, valgrind};
use once_cell::sync::OnceCell;
use std::sync::atomic::Ordering;

static INSTALLED: OnceCell<()> = OnceCell::new();

/// Makes this thread able to run guests: signal handlers once per process, an alternate signal
/// stack once per thread.
///
/// # Errors
/// `SignalsBlocked` if one of the signals is blocked in this thread, `OutOfMemory`.
#[inline(always)]
pub(crate) fn prepare_thread() -> Result<()> {
    let prepared = arch::thread_words().prepared.load(Ordering::Relaxed) != 0;
    if prepared { Ok(()) } else { prepare() }
}

/// The end of a thread: destructors that come later must prepare it again, and cannot.
fn forget() {
    arch::thread_words().prepared.store(0, Ordering::Relaxed);
}

#[cold]
fn prepare() -> Result<()> {
    fork::fill(&INSTALLED, || signals::install(entry))?;
    if let Some(name) = signals::blocked() {
        return Err(Error::new(
            Status::SignalsBlocked,
            format!(
                "{name} is blocked in this thread; unblock SIGSEGV, SIGBUS, SIGILL and SIGFPE \
                 (pthread_sigmask) before running guests"
            ),
        ));
    }
    thread::at_end(forget)?;
    signals::ensure_alternate_stack()?;
    if valgrind::is_there() {
        // Not ready for good: it wants to hear of each run.
        valgrind::open_all();
        return Ok(());
    }
    arch::thread_words().prepared.store(1, Ordering::Relaxed);
    Ok(())
}
