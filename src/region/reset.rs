//! Making a used slot pristine again, without leaving a byte of the last instance behind.
//!
//! The ways form a ladder; the best one that the kernel has is taken, or the one that the region's
//! configuration names:
//!
//! | rung | what a reset does | needs |
//! |---|---|---|
//! | first touch | copies the pristine contents over the pages that were ever touched
//! ([`super::resident`]) | Linux 6.13 |
//! | page-map scan | asks the kernel which pages have contents, copies over those | Linux 6.7 |
//! | copy and clear | copies the image's pages, clears the rest; small memories only | – |
//! | decommit | `madvise(MADV_DONTNEED)`, copies the image before the next use | – |
//!
//! The first and the third make no system call. Growth is undone in all of them: pages beyond the
//! initial size are made inaccessible (guarded regions) and decommitted, or with first touch
//! cleared and kept for the next instance that grows.
//!
//! While a slot is free its memory is what `contents` says. Bytes beyond the initial size of the
//! module it last held are zero or inaccessible.

use super::resident::{MAX_PAGES, SlotPages};
use super::{Contents, Core, Slot};
use crate::error::Result;
use lucet_artifact::limits::NATIVE_PAGE;
use std::sync::atomic::Ordering;

/// Memories up to this size are copied and cleared rather than scanned.
const COPY_AND_CLEAR_MAX: u64 = 128 << 10;

/// Pages that are touched one by one rather than looked up.
const FEW_PAGES: u64 = 8;

/// Growth beyond the initial size that stays in the resident set; what exceeds it is given back at
/// each reset, so that no slot keeps page tables for more.
const READY_MAX: u64 = 1 << 20;

/// Regions with more slots than this do without a mapping of its own for each slot's growth: the
/// kernel allows a process 65,530 unless told otherwise.
const OWN_MAPPING_MAX: u32 = 8192;

/// A way to make slots pristine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Give the pages back to the kernel.
    Decommit,
    /// Copy the image and clear the rest of a small memory.
    CopyAndClear,
    /// Copy over the pages that the kernel says have contents.
    PagemapScan,
    /// Copy over the pages that were ever touched.
    FirstTouch,
}

/// Consecutive pages of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// First native page of the memory.
    pub page: u32,
    /// Number of native pages.
    pub pages: u32,
    /// Number of pages in the runs before this one: where its bytes begin.
    pub before: u32,
}

impl Run {
    /// Runs of these first pages and lengths, ascending.
    pub(crate) fn all(runs: impl Iterator<Item = (u32, u32)>) -> Box<[Self]> {
        Self::after(0, runs)
    }

    /// The same where the bytes of `next` pages stand before those of the runs.
    pub(crate) fn after(mut next: u32, runs: impl Iterator<Item = (u32, u32)>) -> Box<[Self]> {
        let run = |(page, pages)| {
            let before = next;
            next += pages;
            Self { page, pages, before }
        };
        runs.map(run).collect()
    }
}

/// The initial contents of a memory. Bytes outside the runs are zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Image<'a> {
    /// Unique in the process, never reused.
    pub id: u64,
    /// Runs of whole native pages, ascending.
    pub runs: &'a [Run],
    /// The runs' bytes, one after the other.
    pub bytes: &'a [u8],
}

impl Image<'_> {
    /// Calls `f(offset in memory, bytes)` for what of each run lies below `limit`.
    pub(super) fn each(&self, limit: u64, mut f: impl FnMut(u64, &[u8])) {
        for run in self.runs {
            let offset = u64::from(run.page) * NATIVE_PAGE;
            let len = (u64::from(run.pages) * NATIVE_PAGE).min(limit.saturating_sub(offset));
            let at = run.before as usize * NATIVE_PAGE as usize;
            if len == 0 {
                return;
            }
            if let Some(bytes) = self.bytes.get(at..at + len as usize) {
                f(offset, bytes);
            }
        }
    }

    /// Writes the pristine contents of `[from, to)`: clears between runs, copies runs.
    fn restore(&self, slot: &Slot, from: u64, to: u64) {
        let mut clean = from;
        self.each(to, |offset, bytes| {
            let end = offset + bytes.len() as u64;
            if end <= from {
                return;
            }
            let skip = from.saturating_sub(offset);
            clear(slot, clean, offset.max(clean));
            copy_to(slot, offset + skip, bytes.get(skip as usize..).unwrap_or_default());
            clean = end;
        });
        clear(slot, clean, to);
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

impl Core {
    /// The rung for memories of `bytes`.
    #[inline(always)]
    pub(super) fn rung_for(&self, bytes: u64) -> Rung {
        match self.rung {
            Rung::FirstTouch => Rung::FirstTouch,
            Rung::PagemapScan if bytes > COPY_AND_CLEAR_MAX || self.rung_forced => {
                Rung::PagemapScan
            }
            Rung::PagemapScan | Rung::CopyAndClear if bytes <= COPY_AND_CLEAR_MAX => {
                Rung::CopyAndClear
            }
            _ => Rung::Decommit,
        }
    }

    /// After use: `used` bytes may have been written, `bytes` is the initial size.
    pub(super) fn reset(
        &self,
        slot: &mut Slot,
        used: u64,
        bytes: u64,
        image: &Image<'_>,
    ) -> Result<()> {
        let used = used.min(slot.accessible);
        let managed = slot.ready.max(bytes);
        if used > managed {
            self.decommit(slot, managed, used)?;
        }
        let limit = bytes.min(slot.accessible);
        if self.rung_for(bytes) == Rung::FirstTouch {
            // Grown pages are cleared while they are open.
            slot.contents = self.rewind(slot, limit, image)?;
            return self.set_accessible(slot, limit);
        }
        self.set_accessible(slot, limit)?;
        slot.contents = match self.rung_for(bytes) {
            // Returned above.
            Rung::FirstTouch => Contents::Dirty,
            Rung::CopyAndClear if !self.keep(slot, limit) => {
                self.decommit(slot, 0, limit)?;
                Contents::Zero
            }
            Rung::CopyAndClear => {
                image.restore(slot, 0, limit);
                // A slot whose memory could not even be opened holds less than the image.
                if limit == bytes { Contents::Image(image.id) } else { Contents::Dirty }
            }
            Rung::PagemapScan if limit < bytes => Contents::Dirty,
            Rung::PagemapScan => self.scan(slot, limit, image)?,
            Rung::Decommit => {
                self.keep(slot, 0);
                self.decommit(slot, 0, limit)?;
                Contents::Zero
            }
        };
        Ok(())
    }

    /// Whether the slot may keep `bytes` of memory for its next instance. Nothing is asked if it
    /// kept as much before.
    #[inline(always)]
    fn keep(&self, slot: &mut Slot, bytes: u64) -> bool {
        bytes == slot.kept || self.keep_other(slot, bytes)
    }

    #[cold]
    fn keep_other(&self, slot: &mut Slot, bytes: u64) -> bool {
        let before = self.kept.fetch_sub(slot.kept, Ordering::Relaxed) - slot.kept;
        slot.kept = 0;
        let fits = before.saturating_add(bytes) <= self.config.resident_bytes;
        if bytes > self.config.slot_resident_bytes || !fits {
            return false;
        }
        self.kept.fetch_add(bytes, Ordering::Relaxed);
        slot.kept = bytes;
        true
    }

    fn rewind(&self, slot: &mut Slot, bytes: u64, image: &Image<'_>) -> Result<Contents> {
        let Some(pages) = self.pages(slot) else { return Ok(Contents::Dirty) };
        let open = pages.managed();
        if slot.initial != bytes || open < bytes {
            return Ok(Contents::Dirty);
        }
        let kept = if pages.overflowed() { 0 } else { pages.noted_bytes() };
        if !self.keep(slot, kept) || pages.overflowed() {
            self.guard(slot, pages, bytes, image)?;
        } else {
            // SAFETY: these are this slot's pages, and nothing of the instance runs. Those below
            // `open` are accessible until the caller closes what grew.
            unsafe { pages.rewind(slot.vmctx, open) };
            pages.manage(bytes);
        }
        Ok(Contents::Image(image.id))
    }

    fn scan(&self, slot: &mut Slot, bytes: u64, image: &Image<'_>) -> Result<Contents> {
        let Some(pagemap) = &self.pagemap else { return Ok(Contents::Dirty) };
        let mut pages = 0;
        pagemap.present(slot.vmctx, slot.vmctx + bytes as usize, |start, end| {
            pages += (end - start) / NATIVE_PAGE as usize;
            image.restore(slot, (start - slot.vmctx) as u64, (end - slot.vmctx) as u64);
        })?;
        let kept = if pages > MAX_PAGES { 0 } else { pages as u64 * NATIVE_PAGE };
        if !self.keep(slot, kept) || pages > MAX_PAGES {
            self.decommit(slot, 0, bytes)?;
            return Ok(Contents::Zero);
        }
        Ok(Contents::Image(image.id))
    }

    /// Before use: makes the first `bytes` bytes the image's.
    pub(super) fn load(&self, slot: &mut Slot, bytes: u64, image: &Image<'_>) -> Result<()> {
        let same = slot.contents == Contents::Image(image.id);
        if self.rung_for(bytes) == Rung::FirstTouch {
            let Some(pages) = self.pages(slot) else { return Ok(()) };
            if !same || pages.managed() != bytes {
                // Should a call fail, the next attempt begins here as well.
                slot.contents = Contents::Dirty;
                let before = pages.managed().max(slot.ready);
                pages.stop();
                if before > bytes {
                    let at = self.offset(slot, bytes);
                    let len = (before - bytes) as usize;
                    self.slots_map.remove_guards(at, len)?;
                    self.slots_map.decommit(at, len)?;
                }
                if slot.ready > slot.initial {
                    let len = (slot.ready - slot.initial) as usize;
                    self.slots_map.set_apart(self.offset(slot, slot.initial), len, false)?;
                }
                (slot.initial, slot.ready) = (bytes, bytes);
                self.guard(slot, pages, bytes, image)?;
            }
            slot.contents = Contents::Image(image.id);
            return Ok(());
        }
        match slot.contents {
            _ if same => return Ok(()),
            Contents::Zero => {}
            // The bytes beyond another module's initial size are zero already, but how many that
            // were is no longer known.
            Contents::Image(_) | Contents::Dirty => self.decommit(slot, 0, slot.accessible)?,
        }
        image.each(bytes.min(slot.accessible), |offset, page| copy_to(slot, offset, page));
        slot.contents = Contents::Image(image.id);
        Ok(())
    }

    /// Before a memory grows to `bytes`: has its new pages wait for their first touch, too, unless
    /// they are many or everything is open anyway. Nothing is left to do if an earlier instance
    /// grew as much.
    pub(super) fn make_ready(&self, slot: &mut Slot, pages: &SlotPages, bytes: u64) -> Result<()> {
        let (from, ready) = (slot.accessible, slot.ready);
        if pages.overflowed() {
            let end = bytes.min(ready).max(from);
            return self.slots_map.remove_guards(self.offset(slot, from), (end - from) as usize);
        }
        let few = bytes <= slot.initial + READY_MAX;
        if self.config.compact || bytes <= ready || from > ready || !few {
            return Ok(());
        }
        let (at, len) = (self.offset(slot, ready), (bytes - ready) as usize);
        self.slots_map.install_guards(at, len)?;
        slot.ready = bytes;
        if self.config.slots <= OWN_MAPPING_MAX {
            self.slots_map.set_apart(at, len, true)?;
        }
        Ok(())
    }

    /// Empties the first `bytes` bytes, and what is ready for growth, and waits for the first touch
    /// of each page.
    fn guard(&self, slot: &Slot, pages: &SlotPages, bytes: u64, image: &Image<'_>) -> Result<()> {
        pages.stop();
        let len = bytes.max(slot.ready) as usize;
        self.slots_map.install_guards(self.offset(slot, 0), len)?;
        // SAFETY: room for this slot alone, which stays while the region does.
        unsafe { pages.start(bytes, image, self.more_pages(slot)) };
        Ok(())
    }

    fn offset(&self, slot: &Slot, at: u64) -> usize {
        slot.vmctx - self.slots_map.address() + at as usize
    }

    /// Makes `[from, to)` read as zero and gives its pages back.
    pub(super) fn decommit(&self, slot: &Slot, from: u64, to: u64) -> Result<()> {
        self.slots_map.decommit(self.offset(slot, from), (to - from) as usize)
    }

    /// Opens every page of a range of a slot's initial memory, so that the kernel (which faults for
    /// nobody) may be given it: a few by touching them, which costs nothing if they are open
    /// already, many at once.
    pub(crate) fn make_resident(&self, slot: &Slot, offset: u64, len: u64) {
        let Some(pages) = self.pages(slot).filter(|p| !p.overflowed()) else { return };
        let end = offset.saturating_add(len).min(pages.managed());
        let (first, after) = (offset / NATIVE_PAGE, end.div_ceil(NATIVE_PAGE));
        if after.saturating_sub(first) > FEW_PAGES {
            // SAFETY: this is where the slot's memory begins, and its user waits for this.
            let open = unsafe { pages.open_range(slot.vmctx, first as u32, after as u32) };
            if open {
                return;
            }
        }
        let mut at = offset;
        while at < end {
            // SAFETY: a byte of this slot's memory below its size; a guard marker there is
            // handled by the signal handler.
            unsafe { std::ptr::read_volatile((slot.vmctx + at as usize) as *const u8) };
            at = (at / NATIVE_PAGE + 1) * NATIVE_PAGE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel reports pages in memory and pages swapped out as different ranges, which may
    /// divide a run.
    #[test]
    fn runs_are_cut_at_the_limit() {
        let runs = Run::all([(1, 3), (9, 1)].into_iter());
        assert_eq!(runs[1], Run { page: 9, pages: 1, before: 3 });
        let bytes: Vec<u8> = (0..4 * NATIVE_PAGE).map(|n| (n / NATIVE_PAGE) as u8 + 1).collect();
        let image = Image { id: 1, runs: &runs, bytes: &bytes };
        let below = |pages: u64| {
            let mut found = Vec::new();
            image.each(pages * NATIVE_PAGE, |offset, b| {
                found.push((offset / NATIVE_PAGE, b.len() as u64 / NATIVE_PAGE, b[0]));
            });
            found
        };
        assert_eq!(below(1), []);
        assert_eq!(below(3), [(1, 2, 1)]);
        assert_eq!(below(9), [(1, 3, 1)]);
        assert_eq!(below(20), [(1, 3, 1), (9, 1, 4)]);
    }
}
