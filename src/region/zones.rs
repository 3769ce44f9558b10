//! Which region an address belongs to, answered without locks: the signal handler asks.
//!
//! A fixed array of entries, each published by one atomic store of a pointer to leaked geometry and
//! withdrawn by another. Entries are few (a server has one or two regions), so a linear search is
//! right. The geometry of a withdrawn entry stays allocated (a hundred bytes a region), because a
//! handler on another thread may be reading it at that moment; it finds itself outside then, or
//! inside a range that it has no business in, and both end in the host's own handler.

use super::layout::{Geometry, SlotPart};
use super::resident::SlotPages;
use crate::error::{Error, Result, Status};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// Most ranges registered at the same time; a compact region has two.
const MAX_ENTRIES: usize = 256;

/// What an address is to the signal handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// The guard below a stack.
    StackGuard,
    /// A memory or its guard, with the offset from its start.
    Memory(u64),
    /// Another part of a region.
    Other,
}

/// A range to register.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    base: usize,
    /// The entry that stood here before, which is never freed: so a leak checker finds it.
    #[expect(dead_code, reason = "to be found is all it is for")]
    before: Option<&'static Entry>,
    stacks: bool,
    /// Address of the slots' resident sets, 0 if there are none.
    pages: usize,
    geometry: Geometry,
}

impl Entry {
    /// The slots that start at `base`.
    pub fn slots(base: usize, geometry: &Geometry, pages: usize) -> Self {
        Self { base, before: None, stacks: false, pages, geometry: *geometry }
    }

    /// The stacks that start at `base`.
    pub fn stacks(base: usize, geometry: &Geometry) -> Self {
        Self { base, before: None, stacks: true, pages: 0, geometry: *geometry }
    }

    fn classify(&self, offset: u64) -> Zone {
        if self.stacks {
            return if self.geometry.in_stack_guard(offset) {
                Zone::StackGuard
            } else {
                Zone::Other
            };
        }
        match self.geometry.slot_part(offset) {
            Some((_, SlotPart::StackGuard)) => Zone::StackGuard,
            Some((_, SlotPart::Memory(at))) => Zone::Memory(at),
            _ => Zone::Other,
        }
    }

    fn len(&self) -> u64 {
        if self.stacks { self.geometry.stacks_bytes() } else { self.geometry.packed_bytes() }
    }
}

struct Cell {
    taken: AtomicBool,
    start: AtomicUsize,
    end: AtomicUsize,
    published: AtomicPtr<Entry>,
}

static CELLS: [Cell; MAX_ENTRIES] = [const {
    Cell {
        taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        published: AtomicPtr::new(std::ptr::null_mut()),
    }
}; MAX_ENTRIES];

/// Keeps a range registered; dropping it withdraws the range.
#[derive(Debug)]
pub(crate) struct Registration(usize);

/// Publishes a range.
pub(crate) fn register(entry: Entry) -> Result<Registration> {
    for (i, cell) in CELLS.iter().enumerate() {
        if cell.taken.swap(true, Ordering::AcqRel) {
            continue;
        }
        let end = entry.base.saturating_add(entry.len() as usize);
        // Each registration leaks its geometry (about 80 bytes): see the module's comment.
        // SAFETY: null or a leaked `Entry`, which is never changed.
        let before = unsafe { cell.published.load(Ordering::Acquire).as_ref() };
        let leaked: &'static mut Entry = Box::leak(Box::new(Entry { before, ..entry }));
        cell.published.store(leaked, Ordering::Release);
        cell.end.store(end, Ordering::Release);
        cell.start.store(leaked.base, Ordering::Release);
        return Ok(Registration(i));
    }
    Err(Error::new(
        Status::LimitExceeded,
        "this process has too many regions; one region serves a whole worker",
    ))
}

impl Drop for Registration {
    fn drop(&mut self) {
        let cell = &CELLS[self.0];
        cell.start.store(0, Ordering::Release);
        cell.end.store(0, Ordering::Release);
        cell.taken.store(false, Ordering::Release);
    }
}

/// The range that `address` lies in. Async-signal-safe.
fn find(address: usize) -> Option<&'static Entry> {
    for cell in &CELLS {
        let start = cell.start.load(Ordering::Acquire);
        if start == 0 || address < start || address >= cell.end.load(Ordering::Acquire) {
            continue;
        }
        let entry = cell.published.load(Ordering::Acquire);
        // SAFETY: `published` is null or a leaked, never changed `Entry`.
        return unsafe { entry.as_ref() }.filter(|e| address >= e.base);
    }
    None
}

/// What `address` is, if it belongs to a region. Async-signal-safe.
pub(crate) fn classify(address: usize) -> Option<Zone> {
    find(address).map(|e| e.classify((address - e.base) as u64))
}

/// A fault at `address`: whether it was the first touch of a page, which is open now.
/// Async-signal-safe.
pub(crate) fn touch(address: usize) -> bool {
    let Some(entry) = find(address).filter(|e| e.pages != 0) else { return false };
    let offset = (address - entry.base) as u64;
    let Some((slot, SlotPart::Memory(at))) = entry.geometry.slot_part(offset) else {
        return false;
    };
    // SAFETY: the array has a `SlotPages` per slot and lives as long as the region, which is alive
    // while one of its slots is touched; all its fields are atomics.
    let pages = unsafe { &*(entry.pages as *const SlotPages).add(slot as usize) };
    // SAFETY: this is where the slot's memory begins.
    unsafe { pages.touch(address - at as usize, at) }
}
