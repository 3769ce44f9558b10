//! Errors of the runtime: a status with an explicit number, and a sentence that says what went
//! wrong, where, and what to do about it.
//!
//! A status is what a C caller branches on; the message is what an operator reads in the log. What
//! a *guest* does is never an error but an outcome ([`crate::Outcome`]).

use lucet_artifact::abi::TrapCode;
use std::fmt;

/// Why a call failed. The numbers are part of the C ABI and append-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Status {
    /// Success.
    Ok = 0,
    /// A required pointer is NULL.
    NullArgument = 1,
    /// The handle was freed, belongs to another kind of object, or was made up.
    InvalidHandle = 2,
    /// An argument has a value that is not allowed.
    InvalidArgument = 3,
    /// The object is in use: running, used by another thread, or with live instances.
    Busy = 4,
    /// The instance is in a state in which this call is not possible.
    WrongState = 5,
    /// The system refused memory, address space or a descriptor.
    OutOfMemory = 6,
    /// Every slot of the region is taken.
    RegionFull = 7,
    /// A file could not be read or written.
    Io = 8,
    /// The file is not an artifact written by lucetc.
    NotAnArtifact = 9,
    /// The artifact is damaged or malicious.
    InvalidArtifact = 10,
    /// The artifact needs another format version, ABI version or CPU.
    UnsupportedArtifact = 11,
    /// The artifact is neither signed nor pinned, and unsigned code was not explicitly allowed.
    UntrustedArtifact = 12,
    /// The module imports something that nobody provides.
    MissingImport = 13,
    /// The module imports something with another type than what is provided.
    ImportTypeMismatch = 14,
    /// The module has no such export.
    NoSuchExport = 15,
    /// The export has another type than the caller assumes.
    ExportTypeMismatch = 16,
    /// A range of guest memory lies outside the memory.
    OutOfBounds = 17,
    /// The module needs more than the region's slots offer, or a limit is exceeded.
    LimitExceeded = 18,
    /// A segment does not fit, or the start function did not return.
    StartFailed = 19,
    /// A yield inside a nested run.
    NestedYield = 20,
    /// A signal that the runtime needs is blocked in this thread.
    SignalsBlocked = 21,
    /// The object belongs to the parent process.
    Forked = 22,
    /// A bug in lucet: a panic was caught.
    Internal = 23,
    /// Something this version cannot do.
    Unsupported = 24,
    /// A snapshot would freeze random numbers or clocks that were read during start-up.
    Impure = 25,
}

/// A failed call. One word: results that carry it stay in registers on the way of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Details>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Details {
    status: Status,
    message: String,
    trap: Option<TrapCode>,
}

/// Result of calls into the runtime.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with a message for people.
    #[cold]
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self(Box::new(Details { status, message: cut(message.into()), trap: None }))
    }

    /// What a program branches on.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// What a person reads.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The trap behind a [`Status::StartFailed`].
    #[must_use]
    pub fn trap(&self) -> Option<TrapCode> {
        self.0.trap
    }

    pub(crate) fn with_trap(mut self, code: TrapCode) -> Self {
        self.0.trap = Some(code);
        self
    }

    /// Puts context (a path, an import) in front of the message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = cut(format!("{context}: {}", self.0.message));
        self
    }
}

/// The longest message in bytes. Artifacts may have names of 100 KB, which nobody reads, and which
/// there may be no memory for.
const MOST: usize = 4096;

fn cut(mut message: String) -> String {
    if message.len() > MOST {
        const DOTS: &str = "...";
        let end = (0..=MOST - DOTS.len()).rev().find(|at| message.is_char_boundary(*at));
        message.truncate(end.unwrap_or(0));
        message.push_str(DOTS);
        message.shrink_to_fit();
    }
    message
}

/// The error for a forked child that uses `what` of its parent.
#[cold]
pub(crate) fn forked(what: &str) -> Error {
    let message = format!(
        "{what} belongs to the parent process: modules survive a fork, regions and instances do \
         not; create a region in this process"
    );
    Error::new(Status::Forked, message)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_between_characters() {
        for n in 4090..4100 {
            let e = Error::new(Status::Io, "x".repeat(n % 3) + &"\u{20ac}".repeat(n)).context("y");
            assert!(e.message().len() <= MOST && e.message().len() > MOST - 8, "{n}");
            assert!(e.message().starts_with("y: ") && e.message().ends_with("\u{20ac}..."));
        }
        assert_eq!(Error::new(Status::Io, "short").context("a").message(), "a: short");
    }
}
