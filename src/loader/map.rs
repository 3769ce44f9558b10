//! Puts code where it can run. The only part of the loader that touches memory by address.
//!
//! Pages of `.text` come straight out of the sealed copy of the file, readable and executable from
//! the first moment and never writable. Nothing is patched: artifacts contain no relocations.

use crate::error::{Error, Result, Status};
use crate::sys::arena::{self, ArenaRange};
use crate::sys::sealed::SealedFile;
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd;

/// The code of one module in the arena. Dropping it makes the pages inaccessible, so it must
/// outlive every run of the code.
#[derive(Debug)]
pub struct MappedText {
    range: ArenaRange,
    len: usize,
}

impl MappedText {
    /// Address of the first byte of `.text`.
    #[must_use]
    pub fn base(&self) -> usize {
        self.range.base()
    }

    /// Length of `.text` in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: an artifact without code is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The range of the arena, for [`arena::set_owner`].
    #[must_use]
    pub fn range(&self) -> &ArenaRange {
        &self.range
    }

    /// Offset in `.text` of an address, or `None` if it lies outside.
    #[must_use]
    pub fn offset_of(&self, pc: usize) -> Option<u32> {
        let offset = pc.checked_sub(self.base()).filter(|o| *o < self.len)?;
        u32::try_from(offset).ok()
    }
}

/// Maps `text` of the sealed file into the arena.
pub(super) fn map_text(file: &SealedFile, text: &Range<usize>) -> Result<MappedText> {
    let range = arena::reserve(text.len())?;
    range.map_code(file.fd(), text.start, text.len())?;
    Ok(MappedText { range, len: text.len() })
}

/// Maps `text` of the artifact's own file instead, so that profilers find its name in
/// `/proc/PID/maps`, and compares it with the verified copy. What happens to the file later
/// happens to the code: for development only. `None` if the file cannot be mapped executable (a
/// `noexec` mount).
///
/// # Errors
/// [`Status::Io`] if the file no longer holds the bytes that were verified.
pub(super) fn map_text_of_file(
    file: &File,
    sealed: &SealedFile,
    text: &Range<usize>,
) -> Result<Option<MappedText>> {
    let range = arena::reserve(text.len())?;
    if range.map_code(file.as_fd(), text.start, text.len()).is_err() {
        return Ok(None);
    }
    let long_enough = file.metadata().is_ok_and(|m| m.len() >= text.end as u64);
    let mapped = if long_enough {
        // SAFETY: `map_code` mapped `text.len()` bytes and the file still has them. Somebody could
        // cut it off this very moment; development mode accepts a SIGBUS then, as its
        // documentation says.
        unsafe { range.code(text.len()) }
    } else {
        None
    };
    if mapped.is_none() || mapped != sealed.as_slice().get(text.clone()) {
        return Err(Error::new(Status::Io, "the file changed while it was being loaded"));
    }
    Ok(Some(MappedText { range, len: text.len() }))
}
