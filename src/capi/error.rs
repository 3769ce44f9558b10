//! The border itself: panics stop here, and a failed call leaves its message for the thread.

use crate::error::{Error, Result, Status};
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static LAST: RefCell<Option<CString>> = const { RefCell::new(None) };
}

/// Runs the body of a function that returns a status.
pub(super) fn border(body: impl FnOnce() -> Result<()>) -> i32 {
    match caught(body) {
        Ok(()) => Status::Ok as i32,
        Err(e) => remember(&e) as i32,
    }
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
    let text: String = e.message().chars().map(clean).collect();
    // While a thread ends its thread-local values are gone; the status has to do then.
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = CString::new(text).ok();
        }
    });
    e.status()
}

/// The message of the last failed call; see `lucet_last_error`.
pub(super) fn last() -> *const c_char {
    const NONE: &CStr = c"";
    LAST.try_with(|last| match last.try_borrow() {
        Ok(last) => last.as_ref().map_or(NONE.as_ptr(), |s| s.as_ptr()),
        Err(_) => NONE.as_ptr(),
    })
    .unwrap_or(NONE.as_ptr())
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
