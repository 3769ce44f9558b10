//! Panics of the libraries beneath are bugs, but no reason to take a server down: they are caught
//! at the border of the library and become diagnostics of class [`crate::Class::Internal`].
//!
//! Before a panic can be caught, Rust calls the process's panic hook, which prints to standard
//! error unless somebody replaced it. A hook belongs to the whole process, so this library installs
//! none by itself. A program that wants silence calls [`keep_quiet`] once; the command `lucetc`
//! does. Panics of other code go to the hook that was there before, as ever.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// How many [`caught`] this thread is inside.
    static INSIDE: Cell<usize> = const { Cell::new(0) };
    /// What the last panic said, with its place, if the hook is installed.
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Replaces the process's panic hook, once: panics that this library catches are no longer printed,
/// their diagnostics say where in the source they were; all others go to the former hook. With
/// `RUST_BACKTRACE` set everything goes there.
pub fn keep_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let former = take_hook();
        set_hook(Box::new(move |info| {
            let inside = INSIDE.with(Cell::get) > 0;
            if inside {
                SAID.with(|s| {
                    if let Ok(mut s) = s.try_borrow_mut() {
                        *s = info.to_string();
                    }
                });
            }
            if !inside || std::env::var_os("RUST_BACKTRACE").is_some() {
                former(info);
            }
        }));
    });
}

/// Runs `f`; a panic in it is an error that says what the panic said.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    INSIDE.with(|i| i.set(i.get() + 1));
    let result = catch_unwind(AssertUnwindSafe(f));
    INSIDE.with(|i| i.set(i.get() - 1));
    result.map_err(|panic| {
        let said = SAID.with(RefCell::take);
        if !said.is_empty() {
            return said.replace('\n', " ");
        }
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors() {
        assert_eq!(caught(|| 7), Ok(7));
        let said = caught(|| panic!("number {}", 5)).unwrap_err();
        assert!(said.contains("number 5"), "{said}");
        let inner = caught(|| caught(|| panic!("inner")).unwrap_err().len()).unwrap();
        assert!(inner >= 5);
        assert_eq!(INSIDE.with(Cell::get), 0);
    }
}
