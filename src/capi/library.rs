//! The library as a whole: version, last error, what a thread needs.

use super::error::{border, border_of_maker, last};
use super::raw;
use std::ffi::{CStr, c_char, c_int, c_void};

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(v) => v,
        Err(_) => panic!("the version holds a NUL"),
    };

/// The version of the library in use, such as "0.1.0"; LUCET_VERSION_MAJOR and so on are those of
/// the header a program was compiled with. Static, never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The message of the last call that failed on this thread: a sentence for people, UTF-8, that says
/// what went wrong, where, and what to do. Never NULL; "" if no call has failed yet. A call that
/// succeeds leaves it as it is, so look at statuses first.
///
/// The text belongs to lucet and stays valid until the next call that fails on this thread, or the
/// thread's end. Copy it to keep it.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_last_error() -> *const c_char {
    last()
}

/// Makes the calling thread able to run guests: installs the process's handlers of SIGSEGV, SIGBUS,
/// SIGILL and SIGFPE if this is the first time, and an alternate signal stack for this thread. The
/// first run on a thread does this anyway; call it where a failure is easier to handle, for
/// instance when a worker starts. Signals that are not a guest's go to the handlers that were there
/// before.
///
/// LUCET_STATUS_SIGNALS_BLOCKED if this thread blocks one of these signals,
/// LUCET_STATUS_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_thread_prepare() -> raw::lucet_status {
    border_of_maker(crate::prepare_thread)
}

/// Whether lucet may start a thread that watches time limits, slices and terminations; it may at
/// first, and does with the first of them. A program that has a timer already may say no before,
/// and call lucet_check_deadlines itself. Any thread; for the whole process.
///
/// LUCET_STATUS_WRONG_STATE if the thread was started and should not be there.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_set_watchdog(allowed: bool) -> raw::lucet_status {
    border(|| crate::set_watchdog(allowed))
}

/// Looks whether the time of any run is up, and ends or interrupts it. For programs that said
/// lucet_set_watchdog(false): without this call their limits are not kept, and a termination may
/// come too late for a guest that makes no host calls. `*next` is in how many nanoseconds to call
/// it again at the latest, UINT64_MAX if not before a run with a limit begins; it may be NULL.
///
/// To be called from a thread that does not run guests at that moment: a limit is kept as exactly
/// as this is called. Allocates nothing; takes a lock, so not in a signal handler. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_check_deadlines(next: *mut u64) -> raw::lucet_status {
    border(|| {
        let in_nanoseconds = crate::check_deadlines();
        if !next.is_null() {
            // SAFETY: not NULL, and the header asks for a place for a number.
            unsafe { next.write(in_nanoseconds) };
        }
        Ok(())
    })
}

/// For programs whose own handlers of SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGURG were installed
/// after lucet's and so replaced them. Their handlers call this first, with their arguments (`info`
/// is the `siginfo_t *`, `context` the `void *`). If it returns true, the signal was a guest's:
/// return from the handler at once, and the thread goes on where it should. If it returns false,
/// the signal is the program's own business.
///
///     static void on_fault(int signal, siginfo_t *info, void *context)
///     {
///         if (!lucet_handle_signal(signal, info, context))
///             report_and_abort();
///     }
///
/// Such a handler is installed with SA_SIGINFO and SA_ONSTACK. Allocates and locks nothing. The
/// only function that may be called in a signal handler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_handle_signal(
    signal: c_int,
    info: *mut c_void,
    context: *mut c_void,
) -> bool {
    // SAFETY: the header asks for the arguments of a signal handler.
    unsafe { crate::handle_signal(signal, info.cast(), context) }
}
