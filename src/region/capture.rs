//! What a slot's memory holds, page by page, for snapshots: without touching what was never used.

use super::{Core, Image, Slot};
use crate::error::Result;
use crate::sys::each_used_page;
use lucet_artifact::limits::NATIVE_PAGE;

const PAGE: usize = NATIVE_PAGE as usize;
static ZERO: [u8; PAGE] = [0; PAGE];

impl Core {
    /// Calls `f(page, bytes)` for each native page of the first `bytes` bytes of memory that holds
    /// anything but zeros, in ascending order. `image` is the one the slot was prepared with. Pages
    /// that wait for their first touch go on waiting: their contents are those of the image.
    ///
    /// # Errors
    /// Those of `f`.
    pub(crate) fn each_page(
        &self,
        slot: &Slot,
        bytes: u64,
        image: &Image<'_>,
        f: &mut dyn FnMut(u32, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let bytes = bytes.min(slot.accessible);
        let pages = self.pages(slot).filter(|p| !p.overflowed());
        let managed = pages.map_or(0, |p| p.managed().min(bytes));
        let mut emit = |page: u64, contents: &[u8]| match contents == ZERO {
            true => Ok(()),
            false => f(page as u32, contents),
        };
        let page_at = |page: u64| {
            let at = (slot.vmctx + page as usize * PAGE) as *const u8;
            // SAFETY: a whole page of this slot's memory below its size, which the caller has for
            // itself; it is open, because it is noted, or not managed.
            unsafe { std::slice::from_raw_parts(at, PAGE) }
        };
        if let Some(pages) = pages {
            let mut runs = image.runs.iter().flat_map(|r| r.page..r.page + r.pages).enumerate();
            let mut next = runs.next();
            for page in 0..managed / NATIVE_PAGE {
                let mut stored = None;
                if let Some((i, p)) = next
                    && u64::from(p) == page
                {
                    stored = image.bytes.get(i * PAGE..(i + 1) * PAGE);
                    next = runs.next();
                }
                if pages.noted(page as u32) {
                    emit(page, page_at(page))?;
                } else if let Some(stored) = stored {
                    emit(page, stored)?;
                }
            }
        }
        let base = slot.vmctx;
        each_used_page(base + managed as usize, base + bytes as usize, &mut |at| {
            let page = ((at - base) / PAGE) as u64;
            emit(page, page_at(page))
        })
    }
}
