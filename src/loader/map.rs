//! Puts code where it can run.
//!
//! Pages of `.text` come straight out of the sealed copy of the file, readable and executable from
//! the first moment and never writable. Nothing is patched: artifacts contain no relocations.

use crate::error::{Error, Result, Status};
use crate::sys::arena::{self, ArenaRange};
use crate::sys::sealed::{SealedFile, read_at};
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
/// `/proc/PID/maps`, and compares the file with the verified copy. What happens to the file later
/// happens to the code: for development only. `None` if the file cannot be mapped executable (a
/// `noexec` mount).
///
/// The file is read again rather than the mapping looked at: that of a file that is cut off
/// meanwhile raises SIGBUS.
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
    let changed = || Error::new(Status::Io, "the file changed while it was being loaded");
    let mut verified = sealed.as_slice().get(text.clone()).unwrap_or_default();
    let mut buffer = vec![0; 64 * 1024];
    let mut at = text.start;
    while !verified.is_empty() {
        let want = buffer.len().min(verified.len());
        let n = read_at(file, buffer.get_mut(..want).unwrap_or_default(), at as u64)?;
        let (now, rest) = verified.split_at_checked(n).ok_or_else(changed)?;
        if n == 0 || buffer.get(..n) != Some(now) {
            return Err(changed());
        }
        (at, verified) = (at + n, rest);
    }
    Ok(Some(MappedText { range, len: text.len() }))
}
