//! An owned mapping: address space that is given back when the value is dropped.
//!
//! A forked child has copies of its parent's mappings, except of those that the parent kept for
//! itself: their addresses may be anything in the child, so there the value does nothing any more.

use super::errno_error;
use super::fork::Process;
use crate::error::{Error, Result, Status};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

/// A range of address space that belongs to this value.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<c_void>,
    len: usize,
    /// The only process that has it; `None`: forked children have a copy.
    process: Option<Process>,
}

// SAFETY: a `Mapping` is an address and a length; the memory behind it is the process's, not a
// thread's, and every access to it goes through code that states its own invariant.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` only hands out the numbers.
unsafe impl Sync for Mapping {}

fn nonzero(len: usize) -> Result<NonZeroUsize> {
    NonZeroUsize::new(len)
        .ok_or_else(|| Error::new(Status::InvalidArgument, "a mapping of zero bytes"))
}

impl Mapping {
    /// Reserves `len` bytes of inaccessible address space.
    ///
    /// # Errors
    /// [`Status::OutOfMemory`] when the system refuses.
    pub fn reserve(len: usize) -> Result<Self> {
        Self::anonymous(len, ProtFlags::PROT_NONE)
    }

    /// Maps `len` zero bytes that are readable and writable and take memory only where touched.
    ///
    /// # Errors
    /// [`Status::OutOfMemory`] when the system refuses.
    pub fn zeroed(len: usize) -> Result<Self> {
        Self::anonymous(len, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)
    }

    fn anonymous(len: usize, prot: ProtFlags) -> Result<Self> {
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: without MAP_FIXED the kernel picks unused address space, so no memory that
        // anybody else uses changes.
        let base = unsafe { mmap_anonymous(None, nonzero(len)?, prot, flags) }
            .map_err(|e| errno_error(format_args!("reserving {len} bytes of address space"), e))?;
        Ok(Self { base, len, process: None })
    }

    /// The same; in forked children all bytes read as zero again.
    ///
    /// # Errors
    /// [`Status::OutOfMemory`] when the system refuses; [`Status::Io`] on kernels before 4.14.
    pub fn wiped_in_children(len: usize) -> Result<Self> {
        let map = Self::zeroed(len)?;
        map.for_children(MmapAdvise::MADV_WIPEONFORK)?;
        Ok(map)
    }

    /// Keeps the range from forked children: they do not have it, which also makes forking cheap.
    ///
    /// # Errors
    /// [`Status::OutOfMemory`] when the system refuses.
    pub fn kept_from_children(mut self) -> Result<Self> {
        let process = Process::current()?;
        self.for_children(MmapAdvise::MADV_DONTFORK)?;
        self.process = Some(process);
        Ok(self)
    }

    fn for_children(&self, advice: MmapAdvise) -> Result<()> {
        // SAFETY: the range is this mapping; nothing changes in this process.
        unsafe { madvise(self.base, self.len, advice) }
            .map_err(|e| errno_error(format_args!("what children get of {} bytes", self.len), e))
    }

    /// Whether this process has the range.
    pub(super) fn is_here(&self) -> bool {
        self.process.is_none_or(Process::is_current)
    }

    /// Maps the first `len` bytes of a file for reading.
    ///
    /// # Errors
    /// [`Status::OutOfMemory`] or [`Status::Io`] when the system refuses.
    pub fn read_only(fd: BorrowedFd<'_>, len: usize) -> Result<Self> {
        let (prot, flags) = (ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE);
        // SAFETY: without MAP_FIXED the kernel picks unused address space; the pages are readable
        // only.
        let base = unsafe { mmap(None, nonzero(len)?, prot, flags, fd, 0) }
            .map_err(|e| errno_error(format_args!("mapping {len} bytes of the file"), e))?;
        Ok(Self { base, len, process: None })
    }

    /// Address of the first byte.
    #[must_use]
    pub fn base(&self) -> NonNull<c_void> {
        self.base
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: mappings have at least one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if !self.is_here() {
            return;
        }
        // SAFETY: the range was mapped by this value and nobody else unmaps it; whoever hands out
        // borrows of the memory keeps the `Mapping` alive for as long.
        // A failure (ENOMEM when a neighbouring mapping would have to be split) leaves address
        // space behind, nothing worse.
        let _ = unsafe { munmap(self.base, self.len) };
    }
}
