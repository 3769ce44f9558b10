//! Getting ready for traps: handlers once per process, an alternate stack once per thread.

use super::handler::entry;
use crate::error::{Error, Result, Status};
use crate::sys::{fork, signals};
use once_cell::sync::OnceCell;
use std::cell::Cell;

static INSTALLED: OnceCell<()> = OnceCell::new();

thread_local! {
    static READY: Cell<bool> = const { Cell::new(false) };
}

/// Makes this thread able to run guests: signal handlers once per process, an alternate signal
/// stack once per thread.
///
/// # Errors
/// `SignalsBlocked` if one of the signals is blocked in this thread, `OutOfMemory`.
pub(crate) fn prepare_thread() -> Result<()> {
    if READY.get() {
        return Ok(());
    }
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
    signals::ensure_alternate_stack()?;
    READY.set(true);
    Ok(())
}
