//! The code arena: one reservation of address space that holds the executable pages of all modules.
//!
//! A signal handler has a pc and must find out, without locks and without allocating, whether that
//! pc is guest code and whose. With all code in one range the first question is two comparisons;
//! for the second, a table holds one word per granule of 64 KiB:
//!
//! ```text
//!  base                                                          base + size (32 GiB)
//!  ├──────────┬──────────┬──────────┬──────────┬──────────┬── … ──┤
//!  │ module A │ module A │ (free)   │ module B │ (free)   │       │   granules, 64 KiB
//!  └──────────┴──────────┴──────────┴──────────┴──────────┴── … ──┘
//!  ┌──────────┬──────────┬──────────┬──────────┬──────────┬── … ──┐
//!  │ owner A  │ owner A  │ 0        │ owner B  │ 0        │       │   one word each
//!  └──────────┴──────────┴──────────┴──────────┴──────────┴── … ──┘
//! ```
//!
//! Free granules are `PROT_NONE`. The reservation is made once, on first use, and kept until the
//! process ends; a process that may not have 32 GiB of address space (`RLIMIT_AS`) gets less, down
//! to 1 GiB. A failed attempt is not remembered: the next load tries again.

use super::fork::{self, Global};
use super::map::Mapping;
use super::{PAGE, errno_error, reserve};
use crate::error::{Error, Result, Status};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use once_cell::sync::OnceCell;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Unit of allocation in bytes.
pub const GRANULE: usize = 64 * 1024;
/// Address space that is asked for first, in bytes.
const LARGEST: usize = 32 << 30;
/// Address space below which loading is refused, in bytes.
const SMALLEST: usize = 1 << 30;

/// What the signal handler reads. `SIZE` is written last and stays 0 until the rest is valid;
/// nothing here is ever taken back.
static BASE: AtomicUsize = AtomicUsize::new(0);
static OWNERS: AtomicPtr<AtomicUsize> = AtomicPtr::new(std::ptr::null_mut());
static SIZE: AtomicUsize = AtomicUsize::new(0);

static ARENA: OnceCell<Arena> = OnceCell::new();

/// The process's arena; lives as long as the process.
struct Arena {
    code: Mapping,
    owners: Mapping,
    free: Global<FreeList>,
}

impl Arena {
    fn create() -> Result<Self> {
        let mut size = LARGEST;
        let code = loop {
            match Mapping::reserve(size) {
                Ok(m) => break m,
                Err(e) if size <= SMALLEST => {
                    return Err(e.context("no address space for executable code"));
                }
                Err(_) => size /= 2,
            }
        };
        let granules = size / GRANULE;
        let owners = Mapping::zeroed(granules * size_of::<AtomicUsize>())
            .map_err(|e| e.context("table of code owners"))?;
        Ok(Self { code, owners, free: Global::new(FreeList::new(granules)) })
    }

    fn get() -> Result<&'static Self> {
        let arena = fork::fill(&ARENA, Self::create)?;
        if SIZE.load(Ordering::Relaxed) == 0 {
            // Several threads may get here at once; they all write the same.
            BASE.store(arena.code.base().as_ptr() as usize, Ordering::Relaxed);
            OWNERS.store(arena.owners.base().as_ptr().cast(), Ordering::Relaxed);
            SIZE.store(arena.code.len(), Ordering::Release);
        }
        Ok(arena)
    }
}

/// A part of the arena that belongs to this value. Dropping it makes the pages inaccessible and
/// gives the granules back.
#[derive(Debug)]
pub struct ArenaRange {
    granules: Range<usize>,
    base: usize,
    len: usize,
}

/// Takes `len` bytes, rounded up to granules, out of the arena. They are inaccessible.
///
/// # Errors
/// [`Status::InvalidArgument`] for zero bytes; [`Status::OutOfMemory`] when the arena is full or
/// the system refuses to reserve it.
pub fn reserve(len: usize) -> Result<ArenaRange> {
    if len == 0 {
        return Err(Error::new(Status::InvalidArgument, "zero bytes of the code arena"));
    }
    let arena = Arena::get()?;
    let count = len.div_ceil(GRANULE);
    let granules = arena.free.lock().take(count).ok_or_else(|| {
        let size = arena.code.len();
        let message = format!("no room for {len} bytes of code in the arena of {size} bytes");
        Error::new(Status::OutOfMemory, message)
    })?;
    let base = arena.code.base().as_ptr() as usize + granules.start * GRANULE;
    Ok(ArenaRange { granules, base, len: count * GRANULE })
}

/// Says who owns the code in a range: any number but 0, typically the address of a module. It is
/// what [`owner_of`] answers for every pc inside, until it is set again or the range is dropped.
pub fn set_owner(range: &ArenaRange, owner: usize) {
    for i in range.granules.clone() {
        if let Some(word) = owner_word(i) {
            word.store(owner, Ordering::Release);
        }
    }
}

/// The owner of the code at `pc`, or `None` if `pc` lies outside the arena or in a granule without
/// owner. Async-signal-safe: loads only.
#[must_use]
pub fn owner_of(pc: usize) -> Option<usize> {
    let size = SIZE.load(Ordering::Acquire);
    let offset = pc.wrapping_sub(BASE.load(Ordering::Relaxed));
    if offset >= size {
        return None;
    }
    match owner_word(offset / GRANULE)?.load(Ordering::Acquire) {
        0 => None,
        owner => Some(owner),
    }
}

/// Whether `pc` lies in the arena, owned or not. Async-signal-safe: loads only.
#[must_use]
pub fn contains(pc: usize) -> bool {
    let size = SIZE.load(Ordering::Acquire);
    pc.wrapping_sub(BASE.load(Ordering::Relaxed)) < size
}

fn owner_word(granule: usize) -> Option<&'static AtomicUsize> {
    if granule >= SIZE.load(Ordering::Acquire) / GRANULE {
        return None;
    }
    // SAFETY: SIZE is not 0, so OWNERS was published before it and points to SIZE / GRANULE words
    // in zeroed memory that is never unmapped and only accessed as AtomicUsize.
    unsafe { OWNERS.load(Ordering::Relaxed).add(granule).as_ref() }
}

impl ArenaRange {
    /// Address of the first byte, a multiple of the page size.
    #[must_use]
    pub fn base(&self) -> usize {
        self.base
    }

    /// Length in bytes, a multiple of [`GRANULE`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: ranges have at least one granule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Maps `len` bytes of `fd` from `offset` on to the start of the range, readable and
    /// executable, never writable. `offset` must be a multiple of the page size.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if it does not fit; [`Status::OutOfMemory`] or [`Status::Io`]
    /// when the system refuses.
    pub fn map_code(&self, fd: BorrowedFd<'_>, offset: usize, len: usize) -> Result<()> {
        let (Some(addr), Some(size)) = (NonZeroUsize::new(self.base), NonZeroUsize::new(len))
        else {
            return Err(Error::new(Status::InvalidArgument, "mapping of zero bytes of code"));
        };
        let offset = i64::try_from(offset).ok().filter(|o| o % PAGE as i64 == 0);
        let (Some(offset), true) = (offset, len <= self.len) else {
            return Err(Error::new(Status::InvalidArgument, "code does not fit its range"));
        };
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_EXEC;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
        // SAFETY: MAP_FIXED replaces pages of the granules that this value owns exclusively (the
        // free list hands each out once) and of nothing else: `len <= self.len`.
        unsafe { mmap(Some(addr), size, prot, flags, fd, offset) }
            .map_err(|e| errno_error(format_args!("mapping {len} bytes of code"), e))?;
        Ok(())
    }
}

impl Drop for ArenaRange {
    fn drop(&mut self) {
        set_owner(self, 0);
        let (Some(addr), Some(size)) = (NonZeroUsize::new(self.base), NonZeroUsize::new(self.len))
        else {
            return;
        };
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED | MapFlags::MAP_NORESERVE;
        // SAFETY: MAP_FIXED replaces exactly the granules this value owns; whoever runs or reads
        // code in them keeps the value alive.
        let closed = unsafe { mmap_anonymous(Some(addr), size, ProtFlags::PROT_NONE, flags) };
        // If the system refuses, the old code stays mapped, without owner, and its granules are
        // never handed out again: address space is lost, nothing else.
        if let (Ok(_), Some(arena)) = (closed, ARENA.get()) {
            arena.free.lock().give(self.granules.clone());
        }
    }
}

/// Free granules as ascending ranges that do not touch; first fit.
#[derive(Debug)]
struct FreeList {
    ranges: Vec<Range<usize>>,
    /// Ranges handed out. There is room in the list for what giving them back can make of it.
    taken: usize,
}

impl FreeList {
    fn new(granules: usize) -> Self {
        Self { ranges: std::iter::once(0..granules).collect(), taken: 0 }
    }

    fn take(&mut self, count: usize) -> Option<Range<usize>> {
        let i = self.ranges.iter().position(|r| r.len() >= count)?;
        let most = (self.taken + 2).saturating_sub(self.ranges.len());
        reserve::try_reserve(&mut self.ranges, most).ok()?;
        let range = self.ranges.get_mut(i)?;
        let taken = range.start..range.start + count;
        range.start = taken.end;
        if range.start == range.end {
            self.ranges.remove(i);
        }
        self.taken += 1;
        Some(taken)
    }

    fn give(&mut self, range: Range<usize>) {
        self.taken = self.taken.saturating_sub(1);
        let i = self.ranges.partition_point(|r| r.start < range.start);
        self.ranges.insert(i, range);
        self.merge(i);
        if let Some(before) = i.checked_sub(1) {
            self.merge(before);
        }
    }

    /// Joins range `i` with the next one if they touch.
    fn merge(&mut self, i: usize) {
        let Some(end) = self.ranges.get(i + 1).map(|r| r.end) else { return };
        if let Some([a, b]) = self.ranges.get_mut(i..i + 2)
            && a.end == b.start
        {
            a.end = end;
            self.ranges.remove(i + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn owners_are_found_by_pc_until_the_range_is_dropped() {
        let (a, b) = (reserve(1).unwrap(), reserve(GRANULE + 1).unwrap());
        assert_eq!((a.len(), b.len()), (GRANULE, 2 * GRANULE));
        assert_eq!(owner_of(b.base()), None);
        set_owner(&a, 11);
        set_owner(&b, 22);
        assert_eq!(owner_of(a.base()), Some(11));
        assert_eq!(owner_of(a.base() + a.len() - 1), Some(11));
        assert_eq!(owner_of(b.base()), Some(22));
        assert_eq!(owner_of(b.base() + b.len() - 1), Some(22));
        let pc = a.base();
        drop(a);
        assert!(contains(pc));
        assert_ne!(owner_of(pc), Some(11));
        for outside in [0, 1, usize::MAX, &raw const pc as usize] {
            assert!(!contains(outside));
            assert_eq!(owner_of(outside), None);
        }
    }

    #[test]
    fn too_much_is_refused() {
        assert_eq!(reserve(usize::MAX).unwrap_err().status(), Status::OutOfMemory);
        assert_eq!(reserve(0).unwrap_err().status(), Status::InvalidArgument);
    }

    proptest! {
        #[test]
        fn free_list_hands_out_each_granule_once(
            steps in prop::collection::vec((any::<bool>(), 1usize..20), 1..200),
        ) {
            let total = 100;
            let mut list = FreeList::new(total);
            let mut live: Vec<Range<usize>> = Vec::new();
            for (take, n) in steps {
                if take {
                    match list.take(n) {
                        Some(r) => {
                            prop_assert_eq!(r.len(), n);
                            prop_assert!(r.end <= total);
                            prop_assert!(live.iter().all(|l| l.end <= r.start || r.end <= l.start));
                            live.push(r);
                        }
                        None => prop_assert!(list.ranges.iter().all(|r| r.len() < n)),
                    }
                } else if !live.is_empty() {
                    list.give(live.swap_remove(n % live.len()));
                }
                prop_assert!(list.ranges.windows(2).all(|w| w[0].end < w[1].start));
                let free: usize = list.ranges.iter().map(ExactSizeIterator::len).sum();
                let used: usize = live.iter().map(ExactSizeIterator::len).sum();
                prop_assert_eq!(free + used, total);
            }
            live.into_iter().for_each(|r| list.give(r));
            prop_assert_eq!(list.ranges, vec![0..total]);
        }
    }
}
