//! Which region an address belongs to, answered without locks: the signal handler asks.
//!
//! A fixed array of entries, each published by one atomic store of its start and withdrawn by
//! another. Entries are few (a server has one or two regions), so a linear search is right. A range
//! is withdrawn when nobody uses it any more; a handler on another thread that asks for an address
//! in it all the same (a fault of the host's) may read an entry that changes meanwhile, and
//! whatever it makes of it ends in the host's own handler.
//!
//! A forked child inherits the entries but not the ranges: entries of other processes count for
//! nothing.

use super::layout::{Geometry, SlotPart};
use super::resident::SlotPages;
use crate::error::{Error, Result, Status};
use crate::sys::fork::Process;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

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
    /// Address of the slots' resident sets, 0 if there are none.
    pages: usize,
    geometry: Geometry,
    /// The process that has the range. In its children other things lie there.
    process: Process,
}

impl Entry {
    /// The slots that start at `base`.
    pub fn slots(base: usize, geometry: &Geometry, pages: usize, process: Process) -> Self {
        Self { base, stacks: false, pages, geometry: *geometry, process }
    }

    /// The stacks that start at `base`.
    pub fn stacks(base: usize, geometry: &Geometry, process: Process) -> Self {
        Self { base, stacks: true, pages: 0, geometry: *geometry, process }
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

/// A registered range. `start` is written last and cleared first, so whoever finds his address
/// between `start` and `end` reads the rest as it was registered.
struct Cell {
    taken: AtomicBool,
    start: AtomicUsize,
    end: AtomicUsize,
    stacks: AtomicBool,
    pages: AtomicUsize,
    process: AtomicU64,
    geometry: [AtomicU64; Geometry::WORDS],
}

static CELLS: [Cell; MAX_ENTRIES] = [const {
    Cell {
        taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        stacks: AtomicBool::new(false),
        pages: AtomicUsize::new(0),
        process: AtomicU64::new(0),
        geometry: [const { AtomicU64::new(0) }; Geometry::WORDS],
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
        cell.stacks.store(entry.stacks, Ordering::Relaxed);
        cell.pages.store(entry.pages, Ordering::Relaxed);
        cell.process.store(entry.process.number(), Ordering::Relaxed);
        for (word, value) in cell.geometry.iter().zip(entry.geometry.words()) {
            word.store(value, Ordering::Relaxed);
        }
        cell.end.store(entry.base.saturating_add(entry.len() as usize), Ordering::Release);
        cell.start.store(entry.base, Ordering::Release);
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
fn find(address: usize) -> Option<Entry> {
    for cell in &CELLS {
        let start = cell.start.load(Ordering::Acquire);
        if start == 0 || address < start || address >= cell.end.load(Ordering::Acquire) {
            continue;
        }
        let process = Process::from_number(cell.process.load(Ordering::Relaxed));
        if !process.is_current() {
            continue;
        }
        let mut words = [0; Geometry::WORDS];
        for (word, from) in words.iter_mut().zip(&cell.geometry) {
            *word = from.load(Ordering::Relaxed);
        }
        return Some(Entry {
            base: start,
            stacks: cell.stacks.load(Ordering::Relaxed),
            pages: cell.pages.load(Ordering::Relaxed),
            geometry: Geometry::from_words(words)?,
            process,
        });
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
