//! The operating system, wrapped: address space, sealed files, error texts. Linux on x86-64 only;
//! this directory is what a port has to rewrite.
//!
//! ```text
//!  arena    executable code of all modules, one reservation for the whole process
//!  child    a child process that the host does not notice
//!  fork     which process this is, and locks that a forked child finds open
//!  lock     the lock for what belongs to one process
//!  map      an owned mapping; everything else that maps memory goes through it
//!  reserve  memory for when malloc refuses: the library's allocator
//!  seed     seeds for hash tables
//!  thread   what is done when a thread ends; starting one
//!  valgrind guest stacks, as valgrind wants to be told of them
//!  sealed   a memfd that can no longer change, with a read-only view of it
//! ```
//!
//! Nothing here knows about artifacts or wasm. Everything but [`arena::owner_of`] and
//! [`arena::contains`] is cold path: called while a module is loaded or dropped.

pub mod arena;
pub mod child;
pub mod fork;
pub mod interrupt;
pub mod lock;
pub mod map;
mod pages;
mod protect;
pub mod reserve;
pub mod sealed;
mod seed;
pub mod signals;
pub mod thread;
pub mod valgrind;

pub use pages::{GUARD_REMOVE, Pagemap, Support, each_used_page};
pub use seed::Seed;

use crate::error::{Error, Status};
use nix::errno::Errno;
use std::fmt::Display;
use std::io;

/// 64 random bits from the kernel: one system call.
///
/// # Errors
/// `Io` where the kernel has none to give, or the call is forbidden.
pub fn random() -> crate::Result<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: writes at most 8 bytes to an array of 8.
    let n = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match n {
        8 => Ok(u64::from_le_bytes(bytes)),
        _ => Err(errno_error("getting random numbers", Errno::last())),
    }
}

/// Size of a native page in bytes.
pub const PAGE: usize = 4096;

/// The error for a system call that failed while doing `what`. Everything that means "the system
/// has no more of this" is [`Status::OutOfMemory`]; the rest is [`Status::Io`].
#[must_use]
pub fn errno_error(what: impl Display, errno: Errno) -> Error {
    let (status, hint) = match errno {
        Errno::ENOMEM => {
            (Status::OutOfMemory, "; see RLIMIT_AS, vm.max_map_count and vm.overcommit_memory")
        }
        Errno::EMFILE => (Status::OutOfMemory, "; see RLIMIT_NOFILE"),
        Errno::ENFILE => (Status::OutOfMemory, "; see fs.file-max"),
        Errno::ENOSPC | Errno::EAGAIN | Errno::EDQUOT => (Status::OutOfMemory, ""),
        _ => (Status::Io, ""),
    };
    Error::new(status, format!("{what}: {} ({errno:?}){hint}", errno.desc()))
}

/// The same for an error of the standard library.
#[must_use]
pub fn io_error(what: impl Display, error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(n) => errno_error(what, Errno::from_raw(n)),
        None => Error::new(Status::Io, format!("{what}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_errno_and_hint() {
        let e = errno_error("mapping code", Errno::ENOMEM);
        assert_eq!(e.status(), Status::OutOfMemory);
        assert!(e.message().contains("ENOMEM") && e.message().contains("max_map_count"), "{e}");
        let e = io_error("opening it", &io::Error::from_raw_os_error(2));
        assert_eq!(e.status(), Status::Io);
        assert!(e.message().starts_with("opening it: No such file"), "{e}");
    }
}
