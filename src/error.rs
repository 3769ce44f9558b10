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
    /// The contract of the artifact is not what the embedder's configuration allows.
    ContractRefused = 26,
}

/// Most mistakes of one kind that a message tells of.
pub(crate) const TOLD: usize = 9;

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

    /// Several mistakes as one error: the status of the first, the words of them all, or of as many
    /// as a person reads. `untold` is the number of others. `None` if there are none.
    pub(crate) fn several(errors: Vec<Self>, untold: usize) -> Option<Self> {
        let more = errors.len().saturating_sub(TOLD) + untold;
        let mut errors = errors.into_iter();
        let mut first = errors.next()?;
        for e in errors.take(TOLD - 1) {
            first.0.message += "\n  also: ";
            first.0.message += e.message();
        }
        if more > 0 {
            first.0.message += &format!("\n  and {more} more");
        }
        first.0.message = cut(first.0.message);
        Some(first)
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

/// A text from outside as it stands in messages: printable, and no longer than a person reads.
pub(crate) fn brief(text: &str) -> String {
    const MOST: usize = 100;
    let mut shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        shown += &format!("… ({} bytes)", text.len());
    }
    shown
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
    fn texts_from_outside_are_short_and_printable() {
        assert_eq!(brief("env.log"), "env.log");
        assert_eq!(brief("\x1b[31m\n\0\u{202e}"), "\\u{1b}[31m\\n\\0\\u{202e}");
        let long = brief(&"é".repeat(100_000));
        assert!(long.ends_with("é… (200000 bytes)") && long.len() < 250, "{long}");
    }

    #[test]
    fn several_errors_are_counted() {
        let make = |n: u32| {
            let status = |i: u32| if i == 0 { Status::Io } else { Status::Busy };
            let one = |i: u32| Error::new(status(i), i.to_string());
            Error::several((0..n).map(one).collect(), 0)
        };
        assert!(make(0).is_none());
        assert_eq!(make(1).unwrap().message(), "0");
        let two = make(2).unwrap();
        assert_eq!((two.status(), two.message()), (Status::Io, "0\n  also: 1"));
        assert!(make(9).unwrap().message().ends_with("also: 8"));
        assert!(make(12).unwrap().message().ends_with("also: 8\n  and 3 more"));
    }

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
