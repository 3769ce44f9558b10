//! The border itself: panics stop here, and a failed call leaves its message for the thread.

use crate::error::{Error, Result, Status};
use crate::sys::{reserve, thread};
use std::cell::RefCell;
use std::ffi::{CStr, c_char};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of a message that are kept at most.
const MOST: usize = 5 << 10;

/// A message, ended by a NUL.
type Message = Vec<u8>;

thread_local! {
    static LAST: RefCell<ManuallyDrop<std::result::Result<Message, &'static CStr>>> =
        const { RefCell::new(ManuallyDrop::new(Err(c""))) };
}

/// The end of a thread.
fn forget() {
    LAST.with(|last| drop(std::mem::replace(&mut **last.borrow_mut(), Err(c""))));
}

/// Runs the body of a function that returns a status.
pub(super) fn border(body: impl FnOnce() -> Result<()>) -> i32 {
    match caught(body) {
        Ok(()) => Status::Ok as i32,
        Err(e) => remember(&e) as i32,
    }
}

/// The same for a function that makes something: it has memory for what is small before it begins.
pub(super) fn border_of_maker(body: impl FnOnce() -> Result<()>) -> i32 {
    border(|| {
        let _room = reserve::room(reserve::ROOM)?;
        body()
    })
}

/// The same for a function that returns what it makes, or NULL.
pub(super) fn border_of_maker_or_null<T>(body: impl FnOnce() -> Result<*mut T>) -> *mut T {
    border_or(std::ptr::null_mut(), || {
        let _room = reserve::room(reserve::ROOM)?;
        body()
    })
}

/// Runs the body of a function that returns something else; `otherwise` is what a failure looks
/// like.
pub(super) fn border_or<T>(otherwise: T, body: impl FnOnce() -> Result<T>) -> T {
    caught(body).unwrap_or_else(|e| {
        remember(&e);
        otherwise
    })
}

fn caught<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        let message = format!("a bug in lucet, please report it: {text}");
        Err(Error::new(Status::Internal, message))
    })
}

/// Keeps the message. Names in it may come from a hostile artifact, so what would end the string or
/// control a terminal is replaced.
fn remember(e: &Error) -> Status {
    let clean = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    let message = reserve::list_of::<u8>(e.message().len().min(MOST) * 3 + 1).map(|mut text| {
        for c in e.message().chars().map(clean).take_while({
            let mut n = 0;
            move |c| {
                n += c.len_utf8();
                n <= MOST
            }
        }) {
            text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        text.push(0);
        text
    });
    // Once a thread has ended nobody would free it; a text that needs no memory has to do then.
    let kept = thread::at_end(forget);
    let ending = kept.as_ref().is_err_and(|e| e.status() == Status::WrongState);
    let message = kept.and(message);
    LAST.with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            **last = message.map_err(|_| without_memory(e.status(), ending));
        }
    });
    e.status()
}

/// What there is to say if there is no memory to say more.
fn without_memory(status: Status, ending: bool) -> &'static CStr {
    match status {
        _ if ending => {
            c"the thread is about to exit: its last destructors cannot run guests any more"
        }
        Status::OutOfMemory => c"out of memory; there is none for a better message either",
        _ => c"the call failed, and there is no memory for the message that says why",
    }
}

/// The message of the last failed call; see `lucet_last_error`.
pub(super) fn last() -> *const c_char {
    LAST.with(|last| match last.try_borrow().as_deref().map(|m| &**m) {
        Ok(Ok(message)) => message.as_ptr().cast(),
        Ok(Err(text)) => text.as_ptr(),
        Err(_) => c"".as_ptr(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> String {
        // SAFETY: `last` gives a string that stays until the next failure of this thread.
        unsafe { CStr::from_ptr(last()) }.to_string_lossy().into_owned()
    }

    #[test]
    fn panics_and_bad_characters_stop_here() {
        assert_eq!(message(), "");
        assert_eq!(border(|| panic!("oh {}", "no")), Status::Internal as i32);
        assert!(message().contains("oh no"), "{}", message());
        assert_eq!(border(|| Ok(())), 0);
        assert!(message().contains("oh no"), "a call that succeeds leaves the message alone");
        border(|| Err(Error::new(Status::Io, "a\0b\x1b[31mc\n  also: d")));
        assert_eq!(message(), "a\u{fffd}b\u{fffd}[31mc\n  also: d");
    }
}
