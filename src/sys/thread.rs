//! Threads: what is done when one ends, and starting one, without memory of Rust's or the C
//! library's that might not be there.
//!
//! A thread-local value with a destructor would be simpler, but the C library keeps a list of those
//! on the heap and ends the process if it cannot make it longer. A key of pthread's costs nothing
//! per thread (the first 32 of a process have their place in each thread), and setting it can fail.

use super::fork;
use crate::error::{Error, Result, Status};
use crate::sys::errno_error;
use nix::errno::Errno;
use once_cell::sync::OnceCell;
use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is called when a thread ends that asked for it. 0: none.
static AT_END: [AtomicUsize; 8] = [const { AtomicUsize::new(0) }; 8];

thread_local! {
    /// The functions were called: nobody would call them again.
    static ENDED: Cell<bool> = const { Cell::new(false) };
    /// They will be.
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// Has `f` called on this thread when it ends, once, even if this is called several times. The
/// functions of a process are called in the opposite of the order in which they came here first.
/// `f` may be called on threads that never asked for it.
///
/// # Errors
/// `WrongState` if that has been done already; `OutOfMemory`.
pub fn at_end(f: fn()) -> Result<()> {
    if ENDED.get() {
        return Err(Error::new(
            Status::WrongState,
            "the thread is about to exit: its last destructors cannot run guests any more",
        ));
    }
    let f = f as *const () as usize;
    let mine = |slot: &AtomicUsize| {
        let taken = slot.compare_exchange(0, f, Ordering::AcqRel, Ordering::Acquire);
        taken.is_ok() || taken == Err(f)
    };
    if !AT_END.iter().any(mine) {
        return Err(Error::new(Status::Internal, "too many things to do when a thread ends"));
    }
    if ASKED.get() {
        return Ok(());
    }
    static KEY: OnceCell<libc::pthread_key_t> = OnceCell::new();
    let key = fork::fill(&KEY, || {
        let mut key = 0;
        // SAFETY: writes to a local; the function lives as long as the library, which is never
        // unloaded.
        match unsafe { libc::pthread_key_create(&mut key, Some(ended)) } {
            0 => Ok(key),
            e => Err(errno_error("a key for what belongs to a thread", Errno::from_raw(e))),
        }
    })?;
    // SAFETY: a key of our own; the value is never looked at, only whether it is NULL.
    match unsafe { libc::pthread_setspecific(*key, (&raw const AT_END).cast()) } {
        0 => {
            ASKED.set(true);
            Ok(())
        }
        e => Err(errno_error("a place for what belongs to a thread", Errno::from_raw(e))),
    }
}

unsafe extern "C" fn ended(_: *mut c_void) {
    ENDED.set(true);
    for slot in AT_END.iter().rev() {
        let f = slot.load(Ordering::Acquire);
        if f != 0 {
            // SAFETY: `at_end` stored a function of this type.
            let f: fn() = unsafe { std::mem::transmute(f) };
            f();
        }
    }
}

/// Starts a thread that nobody waits for.
///
/// # Errors
/// `OutOfMemory`, `Io` when the system refuses.
pub fn start(stack_bytes: usize, body: extern "C" fn(*mut c_void) -> *mut c_void) -> Result<()> {
    let failed = |e| errno_error("starting a thread", Errno::from_raw(e));
    // SAFETY: plain calls with valid pointers; `body` lives as long as the library, and its
    // argument is not looked at.
    let result = unsafe {
        let mut attr: libc::pthread_attr_t = std::mem::zeroed();
        match libc::pthread_attr_init(&mut attr) {
            0 => {}
            e => return Err(failed(e)),
        }
        let mut thread: libc::pthread_t = 0;
        let mut result = libc::pthread_attr_setstacksize(&mut attr, stack_bytes);
        if result == 0 {
            let detached = libc::PTHREAD_CREATE_DETACHED;
            result = libc::pthread_attr_setdetachstate(&mut attr, detached);
        }
        if result == 0 {
            result = libc::pthread_create(&mut thread, &attr, body, std::ptr::null_mut());
        }
        libc::pthread_attr_destroy(&mut attr);
        result
    };
    match result {
        0 => Ok(()),
        e => Err(failed(e)),
    }
}

/// Names this thread, for those who look at threads.
pub fn set_name(name: &CStr) {
    // SAFETY: a plain call; the name ends with a NUL.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}
