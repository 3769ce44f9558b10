//! Opening, closing and emptying parts of an owned mapping.
//!
//! These are the calls that grow a memory, take growth back and clear large memories. Each checks
//! its range against the mapping, so a wrong offset is an error and never touches a stranger.

use super::errno_error;
use super::map::Mapping;
use crate::error::{Error, Result, Status};
use nix::sys::mman::{MmapAdvise, ProtFlags, madvise, mprotect};
use std::ffi::c_void;
use std::ptr::NonNull;

impl Mapping {
    /// Address of the first byte, as a number.
    #[must_use]
    pub fn address(&self) -> usize {
        self.base().as_ptr() as usize
    }

    pub(super) fn part(&self, at: usize, len: usize) -> Result<NonNull<c_void>> {
        if !self.is_here() {
            return Err(Error::new(Status::Forked, "the memory belongs to the parent process"));
        }
        let end = at.checked_add(len).filter(|end| *end <= self.len());
        let page = super::PAGE - 1;
        if end.is_none() || at & page != 0 || len & page != 0 {
            return Err(Error::new(
                Status::Internal,
                format!("a range of {len:#x} bytes at {at:#x} is not part of its mapping"),
            ));
        }
        // SAFETY: `at` is at most the length of this mapping.
        Ok(unsafe { self.base().byte_add(at) })
    }

    fn protect(&self, at: usize, len: usize, prot: ProtFlags) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        let part = self.part(at, len)?;
        // SAFETY: the range lies in this mapping, whose owner decides what is accessible; Rust
        // references into it exist only in code that knows what it opened.
        unsafe { mprotect(part, len, prot) }
            .map_err(|e| errno_error(format_args!("changing access to {len} bytes"), e))
    }

    /// Makes `len` bytes at offset `at` readable and writable.
    ///
    /// # Errors
    /// `OutOfMemory` when the system refuses; nothing changed then.
    pub fn open(&self, at: usize, len: usize) -> Result<()> {
        self.protect(at, len, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)
    }

    /// Makes `len` bytes at offset `at` inaccessible.
    ///
    /// # Errors
    /// `OutOfMemory` when the system refuses; nothing changed then.
    pub fn close(&self, at: usize, len: usize) -> Result<()> {
        self.protect(at, len, ProtFlags::PROT_NONE)
    }

    /// Gives the pages of a private anonymous range back; it reads as zero afterwards.
    ///
    /// # Errors
    /// `OutOfMemory` or `Io` when the system refuses.
    pub fn decommit(&self, at: usize, len: usize) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        let part = self.part(at, len)?;
        // SAFETY: the range lies in this mapping; its owner has no use for the contents.
        unsafe { madvise(part, len, MmapAdvise::MADV_DONTNEED) }
            .map_err(|e| errno_error(format_args!("giving {len} bytes back"), e))
    }
}
