//! Which region an address belongs to, answered without locks: the signal handler asks.
//!
//! A fixed array of entries, each published by one atomic store of a pointer to leaked geometry and
//! withdrawn by another. Entries are few (a server has one or two regions), so a linear search is
//! right. The geometry of a withdrawn entry stays allocated (a hundred bytes a region), because a
//! handler on another thread may be reading it at that moment; it finds itself outside then, or
//! inside a range that it has no business in, and both end in the host's own handler.

use super::layout::{Geometry, SlotPart};
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
    stacks: bool,
    geometry: Geometry,
}

impl Entry {
    /// The slots that start at `base`.
    pub fn slots(base: usize, geometry: &Geometry) -> Self {
        Self { base, stacks: false, geometry: *geometry }
    }

    /// The stacks that start at `base`.
    pub fn stacks(base: usize, geometry: &Geometry) -> Self {
        Self { base, stacks: true, geometry: *geometry }
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
        let leaked: &'static mut Entry = Box::leak(Box::new(entry));
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

/// What `address` is, if it belongs to a region. Async-signal-safe.
pub(crate) fn classify(address: usize) -> Option<Zone> {
    for cell in &CELLS {
        let start = cell.start.load(Ordering::Acquire);
        if start == 0 || address < start || address >= cell.end.load(Ordering::Acquire) {
            continue;
        }
        let entry = cell.published.load(Ordering::Acquire);
        // SAFETY: `published` is null or a leaked, never changed `Entry`.
        let entry = unsafe { entry.as_ref() }?;
        let offset = address.checked_sub(entry.base)?;
        return Some(entry.classify(offset as u64));
    }
    None
}
