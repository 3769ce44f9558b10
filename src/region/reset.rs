//! Making a used slot pristine again, without leaving a byte of the last instance behind.
//!
//! Two ways are here, chosen by size; both leave the slot in a state that its `contents` names.
//!
//! * **copy and clear** (small memories): copy the image's pages, clear everything between them. No
//!   system call, no page fault, cost proportional to the memory's size.
//! * **decommit** (large ones): `madvise(MADV_DONTNEED)`, after which untouched pages read as zero,
//!   then copy the image when the slot is next used.
//!
//! Growth is undone in both: pages beyond the initial size are decommitted and (guarded regions)
//! made inaccessible.

use super::{Contents, Region, Slot};
use crate::error::Result;
use lucet_artifact::init::ImageRun;
use lucet_artifact::limits::NATIVE_PAGE;

/// Memories up to this size are copied and cleared.
const COPY_AND_CLEAR_MAX: u64 = 128 << 10;

/// The initial contents of a memory. Bytes outside the runs are zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Image<'a> {
    /// Unique in the process, never reused.
    pub id: u64,
    /// Runs of whole native pages, ascending.
    pub runs: &'a [ImageRun],
    /// The runs' bytes, one after the other.
    pub bytes: &'a [u8],
}

impl Image<'_> {
    /// Calls `f(offset in memory, bytes)` for each run that lies below `limit`.
    fn each(&self, limit: u64, mut f: impl FnMut(u64, &[u8])) {
        let mut at = 0usize;
        for run in self.runs {
            let len = (u64::from(run.pages) * NATIVE_PAGE) as usize;
            let offset = u64::from(run.page) * NATIVE_PAGE;
            if let Some(bytes) = self.bytes.get(at..at + len)
                && offset + len as u64 <= limit
            {
                f(offset, bytes);
            }
            at += len;
        }
    }
}

/// Writes `bytes` at `offset` of the slot's memory.
fn copy_to(slot: &Slot, offset: u64, bytes: &[u8]) {
    debug_assert!(offset + bytes.len() as u64 <= slot.accessible);
    let to = (slot.vmctx + offset as usize) as *mut u8;
    // SAFETY: the slot is exclusively ours and the range lies below `accessible`, which callers
    // ensure by passing it as the image's limit.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
}

/// Clears `[from, to)` of the slot's memory.
fn clear(slot: &Slot, from: u64, to: u64) {
    debug_assert!(from <= to && to <= slot.accessible);
    let at = (slot.vmctx + from as usize) as *mut u8;
    // SAFETY: as in `copy_to`; `to` is at most `accessible`.
    unsafe { std::ptr::write_bytes(at, 0, (to - from) as usize) }
}

impl Region {
    /// After use: `used` bytes may have been written, `bytes` is the initial size.
    pub(super) fn reset(
        &self,
        slot: &mut Slot,
        used: u64,
        bytes: u64,
        image: &Image<'_>,
    ) -> Result<()> {
        let used = used.min(slot.accessible);
        if used > bytes {
            self.decommit(slot, bytes, used)?;
        }
        self.set_accessible(slot, bytes.min(slot.accessible))?;
        if bytes <= COPY_AND_CLEAR_MAX {
            let limit = bytes.min(slot.accessible);
            let mut clean = 0;
            image.each(limit, |offset, page| {
                clear(slot, clean, offset);
                copy_to(slot, offset, page);
                clean = offset + page.len() as u64;
            });
            clear(slot, clean, limit);
            // A slot whose memory could not even be opened holds less than the image.
            if limit == bytes {
                slot.contents = Contents::Image(image.id);
            }
        } else {
            self.decommit(slot, 0, bytes.min(used))?;
            slot.contents = Contents::Zero;
        }
        Ok(())
    }

    /// Before use: makes the first `bytes` bytes the image's.
    pub(super) fn load(&self, slot: &mut Slot, bytes: u64, image: &Image<'_>) -> Result<()> {
        match slot.contents {
            Contents::Image(id) if id == image.id => return Ok(()),
            Contents::Zero => {}
            Contents::Image(_) | Contents::Dirty => {
                // Another module's image: at most COPY_AND_CLEAR_MAX bytes of it, see `reset`.
                let end = slot.accessible.min(COPY_AND_CLEAR_MAX.max(bytes));
                if end <= COPY_AND_CLEAR_MAX {
                    clear(slot, 0, end);
                } else {
                    self.decommit(slot, 0, end)?;
                }
            }
        }
        image.each(bytes.min(slot.accessible), |offset, page| copy_to(slot, offset, page));
        slot.contents = Contents::Image(image.id);
        Ok(())
    }

    /// Makes `[from, to)` read as zero and gives its pages back.
    pub(super) fn decommit(&self, slot: &Slot, from: u64, to: u64) -> Result<()> {
        let at = slot.vmctx - self.slots_map.address() + from as usize;
        self.slots_map.decommit(at, (to - from) as usize)
    }
}
