//! Memories of an instance that do not lie in its slot: one reservation per instance holds them.
//!
//! ```text
//!  ├────────────┬─────────────────┬───────┬────────────┬───────────────┬───────┤
//!  │ accessible │ up to the most  │ guard │ accessible │ up to the     │ guard │
//!  │            │ it may grow to  │       │            │ most          │       │
//!  └────────────┴─────────────────┴───────┴────────────┴───────────────┴───────┘
//!  ▲ base of further memory 0             ▲ base of further memory 1
//! ```
//!
//! Nothing else lies in it, neither the runtime's nor another instance's. Code checks every access
//! to such a memory, so the guards stop what should not happen. Bases do not change as long as the
//! instance has its slot, which may be longer than it lives: an idle instance keeps them.
//!
//! Memories are emptied by giving their pages back, whatever the region's way to reset is: one
//! system call for all of them, and one more for each that grew.
//!
//! Invariant: *the first `accessible` bytes of each memory, and nothing else, are readable and
//! writable*.

use super::Image;
use crate::error::{Error, Result, Status};
use crate::sys::each_used_page;
use crate::sys::map::Mapping;
use lucet_artifact::limits::NATIVE_PAGE;

/// Inaccessible bytes behind each memory.
const GUARD: u64 = 64 << 10;

/// What one of the memories needs, in bytes: multiples of the page size, `initial` at most
/// `reserve`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    pub initial: u64,
    pub reserve: u64,
}

#[derive(Debug)]
struct Part {
    /// Where it begins in the mapping.
    at: usize,
    accessible: u64,
    need: Need,
}

/// The memories.
#[derive(Debug)]
pub(crate) struct Further {
    map: Mapping,
    parts: Vec<Part>,
}

impl Further {
    /// Reserves address space, which forked children do not get, and opens the initial sizes.
    ///
    /// # Errors
    /// `OutOfMemory` when the system refuses.
    pub(crate) fn new(needs: impl Iterator<Item = Need>) -> Result<Self> {
        let mut parts = Vec::new();
        let mut end = 0u64;
        for need in needs {
            let next = end.checked_add(need.reserve).and_then(|e| e.checked_add(GUARD));
            let next = next.filter(|_| need.initial <= need.reserve).ok_or_else(|| {
                Error::new(Status::Internal, format!("memories that fit nowhere: {need:?}"))
            })?;
            parts.push(Part { at: end as usize, accessible: 0, need });
            end = next;
        }
        let map = Mapping::reserve(end as usize).and_then(Mapping::kept_from_children);
        let map = map.map_err(|e| e.context("the memories besides memory 0"))?;
        let mut all = Self { map, parts };
        for n in 0..all.parts.len() {
            all.grow(n, all.parts[n].need.initial)?;
        }
        Ok(all)
    }

    /// Address and size of memory `n`; nothing of one that does not exist.
    pub(crate) fn extent(&self, n: usize) -> (usize, u64) {
        self.parts.get(n).map_or((0, 0), |p| (self.map.address() + p.at, p.accessible))
    }

    /// Bytes that all of them have now.
    pub(crate) fn total(&self) -> u64 {
        self.parts.iter().map(|p| p.accessible).sum()
    }

    /// Number of memories.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Makes memory `n` `bytes` long, which is not less than before; new bytes are zero.
    ///
    /// # Errors
    /// `OutOfMemory` when the system refuses, `Internal` beyond the reservation.
    pub(crate) fn grow(&mut self, n: usize, bytes: u64) -> Result<()> {
        let Some(p) = self.parts.get_mut(n).filter(|p| bytes <= p.need.reserve) else {
            return Err(Error::new(Status::Internal, "growth beyond what is reserved"));
        };
        if let Some(more) = bytes.checked_sub(p.accessible) {
            self.map.open(p.at + p.accessible as usize, more as usize)?;
            p.accessible = bytes;
        }
        Ok(())
    }

    /// Gives every page back and undoes growth: all bytes are zero then.
    ///
    /// # Errors
    /// When the system refuses; the memories must not be used again.
    pub(crate) fn empty(&mut self) -> Result<()> {
        for p in &mut self.parts {
            if let Some(grown) = p.accessible.checked_sub(p.need.initial) {
                self.map.close(p.at + p.need.initial as usize, grown as usize)?;
                p.accessible = p.need.initial;
            }
        }
        self.map.decommit(0, self.map.len())
    }

    /// Fills empty memory `n` with its initial contents.
    pub(crate) fn load(&self, n: usize, image: &Image<'_>) {
        let (base, bytes) = self.extent(n);
        image.each(bytes, |offset, contents| {
            let to = (base + offset as usize) as *mut u8;
            // SAFETY: `each` cuts what it gives at `bytes`, which are accessible, and the instance
            // that they belong to is only being set up.
            unsafe { std::ptr::copy_nonoverlapping(contents.as_ptr(), to, contents.len()) };
        });
    }

    /// Calls `f(page, contents)` for each native page of memory `n` that holds anything but zeros,
    /// in ascending order.
    ///
    /// # Errors
    /// Those of `f`.
    pub(crate) fn each_page(
        &self,
        n: usize,
        f: &mut dyn FnMut(u32, &[u8]) -> Result<()>,
    ) -> Result<()> {
        const PAGE: usize = NATIVE_PAGE as usize;
        let (base, bytes) = self.extent(n);
        each_used_page(base, base + bytes as usize, &mut |at| {
            // SAFETY: a whole page of accessible memory, which the caller has for itself.
            let contents = unsafe { std::slice::from_raw_parts(at as *const u8, PAGE) };
            match contents.iter().all(|b| *b == 0) {
                true => Ok(()),
                false => f(((at - base) / PAGE) as u32, contents),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Run;
    use super::*;

    fn byte(at: usize) -> &'static mut u8 {
        // SAFETY: the tests pass accessible addresses of memories that they keep.
        unsafe { &mut *(at as *mut u8) }
    }

    /// Number, first and last byte of each used page of the first memory.
    fn used(m: &Further) -> Vec<(u32, u8, u8)> {
        let mut pages = Vec::new();
        let mut note = |page, b: &[u8]| {
            pages.push((page, b[0], b[4095]));
            Ok(())
        };
        m.each_page(0, &mut note).unwrap();
        pages
    }

    #[test]
    fn memories_are_apart_grow_in_place_and_are_emptied() {
        let needs = [(65536, 3 * 65536), (0, 65536), (65536, 65536)];
        let needs = needs.map(|(initial, reserve)| Need { initial, reserve });
        let mut m = Further::new(needs.into_iter()).unwrap();
        let at = [0, 1, 2].map(|n| m.extent(n).0);
        assert_eq!([at[1] - at[0], at[2] - at[1]], [4 * 65536, 2 * 65536]);
        assert_eq!((m.total(), m.len(), m.extent(3)), (2 * 65536, 3, (0, 0)));
        m.grow(0, 3 * 65536).unwrap();
        m.grow(1, 65536).unwrap();
        for at in [at[0], at[0] + 3 * 65536 - 1, at[1], at[2] + 65535] {
            *byte(at) = 7;
        }
        for (n, bytes) in [(0, 4 * 65536), (2, 2 * 65536), (3, 65536)] {
            assert!(m.grow(n, bytes).is_err());
        }
        assert_eq!(used(&m), [(0, 7, 0), (47, 0, 7)]);

        m.empty().unwrap();
        assert_eq!([0, 1, 2].map(|n| m.extent(n)), [(at[0], 65536), (at[1], 0), (at[2], 65536)]);
        assert_eq!((*byte(at[0]), *byte(at[2] + 65535)), (0, 0));
        m.grow(0, 3 * 65536).unwrap();
        assert_eq!(*byte(at[0] + 3 * 65536 - 1), 0);
    }

    #[test]
    fn images_are_cut_at_the_size() {
        let m = Further::new([Need { initial: 65536, reserve: 65536 }].into_iter()).unwrap();
        let runs = Run::all([(1, 1), (15, 2)].into_iter());
        let image = Image { id: 1, runs: &runs, bytes: &[9; 3 * 4096] };
        m.load(0, &image);
        assert_eq!(used(&m), [(1, 9, 9), (15, 9, 9)]);
    }
}
