//! Standard input and output that are not descriptors: bytes given in advance, captured bytes,
//! callbacks.
//!
//! What an instance consumed or produced is kept in its [`crate::Context`]; here stand the sources
//! and sinks that all contexts of a template share.

use std::os::fd::OwnedFd;

use crate::types::Errno;

/// Where standard input comes from when the embedder writes code for it.
pub trait Input: Send + Sync {
    /// Puts bytes into `into` and says how many; 0 is the end. `Errno::Again` says that none are
    /// there yet: a context that does not block then answers [`crate::Answer::Wait`] without
    /// descriptors, and asks again on resume; one that blocks hands the error to the guest.
    /// `instance` is what [`crate::Context::set_user`] was given.
    fn read(&self, instance: u64, into: &mut [u8]) -> Result<usize, Errno>;
}

/// Where standard output goes when the embedder writes code for it.
pub trait Output: Send + Sync {
    /// Takes bytes and says how many of them; `Errno::Again` as with [`Input::read`].
    fn write(&self, instance: u64, bytes: &[u8]) -> Result<usize, Errno>;
}

/// What descriptor 0 is.
#[derive(Default)]
pub enum Source {
    /// Not open.
    Closed,
    /// At its end from the start. [`crate::Context::set_stdin`] gives one context bytes of its own.
    #[default]
    Empty,
    /// These bytes, in every context.
    Bytes(Vec<u8>),
    /// A descriptor, shared by all contexts.
    Descriptor(OwnedFd),
    /// The embedder's code.
    Callback(Box<dyn Input>),
}

/// What descriptor 1 or 2 is.
#[derive(Default)]
pub enum Sink {
    /// Not open.
    Closed,
    /// Taken and forgotten.
    #[default]
    Discard,
    /// Kept in the context, up to [`crate::Limits::output_bytes`]; see [`crate::Context::output`].
    Capture,
    /// A descriptor, shared by all contexts.
    Descriptor(OwnedFd),
    /// The embedder's code.
    Callback(Box<dyn Output>),
}

/// Which of the streams an entry of the descriptor table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard input.
    In,
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}
