//! Memory for when there is none: the allocator of the library, which never lets a call end the
//! process because `malloc` refused.
//!
//! Rust ends the process when a small allocation fails, and small allocations are everywhere: in
//! every name, list and error message. So each call that makes something begins by taking a
//! [`room`]: one block, large enough for all its small allocations together. If `malloc` refuses
//! the block, the call ends with a status before it has done anything. If `malloc` refuses later,
//! what it refuses is carved out of the block, and the call goes on to its end.
//!
//! ```text
//!  room(96 KiB) ──malloc──► ┌──────┬───────────┬─────┬──────────────────────────┐
//!                           │ Head │ Box<…>    │ "…" │ not touched              │
//!                           └──────┴───────────┴─────┴──────────────────────────┘
//!                                  carved while malloc refuses   ▲ next
//! ```
//!
//! A room belongs to the thread and the call that took it, so what others do cannot use it up. It
//! is given back at the end of the call, or with the last thing that was carved out of it.
//!
//! What is not made by such a call (the message of a call that fails, mostly) comes out of the
//! *last resort*, a part of the library's own zeroed data that nobody touches otherwise. Large
//! things, and what grows with what a guest does, must not lean on either: [`try_reserve`] and
//! [`plainly`] ask `malloc` alone, and a refusal is an error there.
//!
//! Invariants:
//! * `live` of a room is the number of things carved out of it, plus one while its call goes on;
//!   the block is freed by whoever takes it to 0.
//! * `next` is changed by the thread whose call it is, while that goes on.
//! * A room is listed in [`TAPPED`] before the first thing is carved out of it, until it is freed.

use crate::error::{Error, Result, Status};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What any call needs that makes something whose size does not depend on its input.
pub const ROOM: usize = 96 << 10;

/// The beginning of a room.
#[repr(C, align(16))]
struct Head {
    live: AtomicUsize,
    /// Offset of the first byte that is free.
    next: Cell<usize>,
    /// Bytes, this included.
    len: usize,
    /// Index in [`TAPPED`] plus one; 0: not listed.
    listed: Cell<usize>,
}

/// Where a room that something was carved out of lies, in one word, so that nobody sees half of it:
/// its address in units of 16 bytes (43 bits), its length in units of 4 KiB (21 bits).
struct Listed(u64);

impl Listed {
    /// A place in the list that nothing stands in yet, but will.
    const TAKEN: u64 = 1;
    const UNIT: usize = 4096;
    const MOST: usize = ((1 << 21) - 1) * Self::UNIT;

    fn new(start: usize, len: usize) -> Self {
        Self(start as u64 >> 4 | ((len / Self::UNIT) as u64) << 43)
    }

    fn start(&self) -> usize {
        ((self.0 & ((1 << 43) - 1)) << 4) as usize
    }

    fn has(&self, addr: usize) -> bool {
        addr.wrapping_sub(self.start()) < (self.0 >> 43) as usize * Self::UNIT
    }
}

/// Rooms that things were carved out of, as [`Listed`]; 0: none.
static TAPPED: [AtomicU64; 1024] = [const { AtomicU64::new(0) }; 1024];
/// How many there are.
static LISTED: AtomicUsize = AtomicUsize::new(0);

/// Bytes of each part of the last resort, and of the largest thing that it has.
const PART: usize = 32 << 10;
const PARTS: usize = 32;
const LAST_MOST: usize = 16 << 10;

#[repr(C, align(64))]
struct LastResort(UnsafeCell<[u8; PARTS * PART]>);

// SAFETY: bytes, which are only handed out through LAST_STATE, each to one owner.
unsafe impl Sync for LastResort {}

static LAST_RESORT: LastResort = LastResort(UnsafeCell::new([0; PARTS * PART]));
/// For each part the number of things in it (upper half), and the offset of the first byte that is
/// free (lower half): one word, so that there is no lock that a forked child could find taken. What
/// stays for long keeps one part from being emptied, not all.
static LAST_STATE: [AtomicU64; PARTS] = [const { AtomicU64::new(0) }; PARTS];

thread_local! {
    /// The room of the call that goes on.
    static CURRENT: Cell<*mut Head> = const { Cell::new(null_mut()) };
    /// Whether refusals of `malloc` are to be heard.
    static PLAIN: Cell<bool> = const { Cell::new(false) };
}

/// A room that is this call's until it is dropped.
#[derive(Debug)]
pub struct Room {
    taken: Option<NonNull<Head>>,
    before: *mut Head,
    /// It is the thread's.
    _thread: PhantomData<*mut ()>,
}

/// Where `size` bytes fit behind offset `from` of something at `base`: begin and end.
fn fit(base: usize, from: usize, layout: Layout, len: usize) -> Option<(usize, usize)> {
    let at = base.checked_add(from)?.checked_next_multiple_of(layout.align())? - base;
    let end = at.checked_add(layout.size())?;
    (end <= len).then_some((at, end))
}

/// Takes a room of `bytes` for a call, unless the one around it has as much left.
///
/// # Errors
/// `OutOfMemory`.
pub fn room(bytes: usize) -> Result<Room> {
    let before = CURRENT.get();
    let none = Room { taken: None, before, _thread: PhantomData };
    if !cfg!(feature = "reserve") {
        return Ok(none);
    }
    // SAFETY: the room of a call of this thread that goes on.
    if let Some(head) = unsafe { before.as_ref() }
        && head.len - head.next.get() >= bytes
    {
        return Ok(none);
    }
    let no_memory = || Error::new(Status::OutOfMemory, format!("no memory: {bytes} bytes refused"));
    let len = bytes.min(Listed::MOST).next_multiple_of(Listed::UNIT);
    let full = LISTED.load(Ordering::Relaxed) >= TAPPED.len() / 2 || bytes > Listed::MOST;
    let layout = Layout::from_size_align(len, align_of::<Head>()).map_err(|_| no_memory())?;
    // SAFETY: the layout is not empty.
    let at = if full { null_mut() } else { unsafe { System.alloc(layout) } };
    let Some(head) = NonNull::new(at.cast::<Head>()) else { return Err(no_memory()) };
    let (live, next) = (AtomicUsize::new(1), Cell::new(size_of::<Head>()));
    // SAFETY: fresh memory of at least this size and alignment.
    unsafe { head.write(Head { live, next, len, listed: Cell::new(0) }) };
    CURRENT.set(head.as_ptr());
    Ok(Room { taken: Some(head), before, _thread: PhantomData })
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(head) = self.taken {
            CURRENT.set(self.before);
            // SAFETY: `room` made it, and this is the one that its call counts for.
            unsafe { let_go(head.as_ptr()) };
        }
    }
}

/// One thing less in a room.
///
/// # Safety
/// It was counted.
unsafe fn let_go(head: *mut Head) {
    // SAFETY: the caller's promise: the room is there.
    let (before, len, listed) = unsafe {
        let (len, listed) = ((*head).len, (*head).listed.get());
        ((*head).live.fetch_sub(1, Ordering::AcqRel), len, listed)
    };
    if before != 1 {
        return;
    }
    if let Some(entry) = listed.checked_sub(1).and_then(|n| TAPPED.get(n)) {
        entry.store(0, Ordering::Release);
        LISTED.fetch_sub(1, Ordering::Relaxed);
    }
    if let Ok(layout) = Layout::from_size_align(len, align_of::<Head>()) {
        // SAFETY: allocated by `room` with this layout, and nobody has anything of it any more.
        unsafe { System.dealloc(head.cast(), layout) };
    }
}

/// Lists a room, so that what is carved out of it is known when it is freed.
fn list(head: &Head) -> bool {
    if head.listed.get() != 0 {
        return true;
    }
    let (take, fail) = (Ordering::AcqRel, Ordering::Relaxed);
    let free = |e: &AtomicU64| e.compare_exchange(0, Listed::TAKEN, take, fail).is_ok();
    let Some(n) = TAPPED.iter().position(free) else { return false };
    let start = std::ptr::from_ref(head).expose_provenance();
    // Counted first: whoever gets something out of the room must not find that there are none.
    LISTED.fetch_add(1, Ordering::Release);
    if let Some(entry) = TAPPED.get(n) {
        entry.store(Listed::new(start, head.len).0, Ordering::Release);
    }
    head.listed.set(n + 1);
    true
}

/// Something out of this call's room, or the last resort; null if there is none, or none is wanted.
#[cold]
fn carve(layout: Layout) -> *mut u8 {
    if PLAIN.get() {
        return null_mut();
    }
    let current = CURRENT.get();
    // SAFETY: the room of a call of this thread that goes on.
    if let Some(head) = unsafe { current.as_ref() }
        && let Some((at, end)) = fit(current.addr(), head.next.get(), layout, head.len)
        && list(head)
    {
        head.next.set(end);
        head.live.fetch_add(1, Ordering::Relaxed);
        // SAFETY: `at` lies in the block, behind its head.
        return unsafe { current.cast::<u8>().add(at) };
    }
    if layout.size() > LAST_MOST {
        return null_mut();
    }
    (0..PARTS).find_map(|part| carve_last(part, layout)).unwrap_or(null_mut())
}

fn carve_last(part: usize, layout: Layout) -> Option<*mut u8> {
    let base = LAST_RESORT.0.get().cast::<u8>().wrapping_add(part * PART);
    let take = |state: u64| {
        let (_, end) = fit(base.addr(), state as u32 as usize, layout, PART)?;
        Some(((state >> 32) + 1) << 32 | end as u64)
    };
    let state = LAST_STATE.get(part)?.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
    let (at, _) = fit(base.addr(), state.ok()? as u32 as usize, layout, PART)?;
    Some(base.wrapping_add(at))
}

/// The part of the last resort that an address lies in, and the offset there.
fn last_part(addr: usize) -> Option<(&'static AtomicU64, usize)> {
    let at = addr.wrapping_sub(LAST_RESORT.0.get().addr());
    LAST_STATE.get(at / PART).map(|state| (state, at % PART))
}

/// Gives something of `size` bytes back, if it was carved; `false`: it is `malloc`'s.
#[inline]
fn uncarve(at: *mut u8, size: usize) -> bool {
    let addr = at.addr();
    if let Some((state, at)) = last_part(addr) {
        let give = |state: u64| {
            let (count, next) = ((state >> 32) - 1, state as u32 as usize);
            // With the last thing everything is free again; the newest is free at once.
            let next = if at + size == next { at } else { next };
            Some(if count == 0 { 0 } else { count << 32 | next as u64 })
        };
        let _ = state.fetch_update(Ordering::AcqRel, Ordering::Acquire, give);
        return true;
    }
    if LISTED.load(Ordering::Acquire) == 0 {
        return false;
    }
    // SAFETY: a listed room that something is carved out of, which counts until now.
    listed(addr).map(|head| unsafe { let_go(head) }).is_some()
}

/// The room that something at `addr` is carved out of.
#[cold]
fn listed(addr: usize) -> Option<*mut Head> {
    let entries = TAPPED.iter().map(|e| Listed(e.load(Ordering::Acquire)));
    let room = entries.filter(|l| l.0 > Listed::TAKEN).find(|l| l.has(addr))?;
    Some(std::ptr::with_exposed_provenance_mut(room.start()))
}

/// Runs `f`, in which refusals of `malloc` are heard: nothing comes out of a room or the last
/// resort. All allocations in it must be such that can fail.
pub fn plainly<R>(f: impl FnOnce() -> R) -> R {
    let before = PLAIN.replace(true);
    let r = f();
    PLAIN.set(before);
    r
}

/// Makes room in a list for so many more, by `malloc` alone.
///
/// # Errors
/// `OutOfMemory`; the list is as it was.
pub fn try_reserve<T>(list: &mut Vec<T>, more: usize) -> Result<()> {
    if list.capacity() - list.len() >= more || plainly(|| list.try_reserve(more)).is_ok() {
        return Ok(());
    }
    let bytes = more.saturating_mul(size_of::<T>());
    Err(Error::new(Status::OutOfMemory, format!("no memory for a list: {bytes} bytes refused")))
}

/// Makes room in a queue for one more, likewise.
///
/// # Errors
/// `OutOfMemory`; the queue is as it was.
#[inline(always)]
pub fn try_reserve_deque<T>(queue: &mut VecDeque<T>) -> Result<()> {
    if queue.len() < queue.capacity() { Ok(()) } else { grow_deque(queue) }
}

#[cold]
fn grow_deque<T>(queue: &mut VecDeque<T>) -> Result<()> {
    plainly(|| queue.try_reserve(1)).map_err(|_| {
        let message = format!("no memory for a queue of more than {} entries", queue.len());
        Error::new(Status::OutOfMemory, message)
    })
}

/// A list that will have exactly `n` entries, by `malloc` alone.
///
/// # Errors
/// `OutOfMemory`.
pub fn list_of<T>(n: usize) -> Result<Vec<T>> {
    let mut list = Vec::new();
    match plainly(|| list.try_reserve_exact(n)) {
        Ok(()) => Ok(list),
        Err(_) => {
            let message = format!("no memory for a list of {n} entries");
            Err(Error::new(Status::OutOfMemory, message))
        }
    }
}

/// A value on the heap, by `malloc` alone; `None` if that refuses.
pub fn try_box<T>(value: T) -> Option<Box<T>> {
    let mut one = list_of(1).ok()?;
    one.push(value);
    let one: Box<[T]> = one.into_boxed_slice();
    // SAFETY: a slice of one value has the layout of the value.
    Some(unsafe { Box::from_raw(Box::into_raw(one).cast::<T>()) })
}

/// The library's allocator: the system's, with what stands above. (Once for all: a copy at each
/// place where something is freed would make the library a tenth larger.)
#[derive(Debug)]
pub struct Allocator;

// SAFETY: memory is the system's, or was carved, each byte for one owner; `uncarve` tells the two
// apart by address. Nothing here unwinds.
unsafe impl GlobalAlloc for Allocator {
    /// # Safety
    /// That of the trait.
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let at = unsafe { System.alloc(layout) };
        if at.is_null() { carve(layout) } else { at }
    }

    /// # Safety
    /// That of the trait.
    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let at = unsafe { System.alloc_zeroed(layout) };
        if !at.is_null() {
            return at;
        }
        let at = carve(layout);
        if !at.is_null() {
            // SAFETY: carved just now, so many bytes; others may have had them before.
            unsafe { at.write_bytes(0, layout.size()) };
        }
        at
    }

    /// # Safety
    /// That of the trait.
    #[inline(never)]
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if !uncarve(at, layout.size()) {
            // SAFETY: not carved, so the system's; the caller's promise.
            unsafe { System.dealloc(at, layout) };
        }
    }

    /// # Safety
    /// That of the trait.
    #[inline(never)]
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let carved = is_carved(at.addr());
        if !carved {
            // SAFETY: not carved, so the system's; the caller's promise.
            let new = unsafe { System.realloc(at, layout, size) };
            if !new.is_null() {
                return new;
            }
        }
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else { return null_mut() };
        // SAFETY: not empty: the caller's promise.
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            // SAFETY: both have as many bytes, and are different; the old one is not used again.
            unsafe {
                std::ptr::copy_nonoverlapping(at, new, layout.size().min(size));
                self.dealloc(at, layout);
            }
        }
        new
    }
}

fn is_carved(addr: usize) -> bool {
    last_part(addr).is_some() || LISTED.load(Ordering::Acquire) != 0 && listed(addr).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the allocator does when `malloc` refuses.
    fn refused(size: usize) -> (*mut u8, Layout) {
        let layout = Layout::from_size_align(size, 16).unwrap();
        let at = carve(layout);
        if !at.is_null() {
            // SAFETY: carved just now, so large.
            unsafe { at.write_bytes(0x5a, size) };
        }
        (at, layout)
    }

    fn free((at, layout): (*mut u8, Layout)) {
        assert!(is_carved(at.addr()));
        // SAFETY: what `refused` gave, once.
        unsafe { Allocator.dealloc(at, layout) };
    }

    #[test]
    fn a_room_lives_as_long_as_what_was_carved_out_of_it() {
        let room_of_call = room(10_000).unwrap();
        let (a, b) = (refused(100), refused(5000));
        assert_eq!(b.0.addr() - a.0.addr(), 112);
        // The room of a call inside is this one, if it is large enough.
        assert!(room(4000).unwrap().taken.is_none());
        assert!(room(100_000).unwrap().taken.is_some());
        drop(room_of_call);
        free(a);
        assert!(is_carved(b.0.addr()), "it is gone with its call");
        let grown = {
            // SAFETY: `b` is what `refused` gave, and not used again.
            let at = unsafe { Allocator.realloc(b.0, b.1, 9000) };
            assert!(!is_carved(at.addr()), "the system has memory again");
            (at, Layout::from_size_align(9000, 16).unwrap())
        };
        // SAFETY: so many bytes were copied.
        assert_eq!(unsafe { [*grown.0, *grown.0.add(4999)] }, [0x5a; 2]);
        // SAFETY: what `realloc` gave, once.
        unsafe { Allocator.dealloc(grown.0, grown.1) };
        assert!(CURRENT.get().is_null());
    }

    #[test]
    fn the_last_resort_is_free_again_when_it_is_empty() {
        let all: Vec<_> = std::iter::repeat_with(|| refused(LAST_MOST))
            .take_while(|(at, _)| !at.is_null())
            .collect();
        assert!((PARTS..=2 * PARTS).contains(&all.len()), "{}", all.len());
        assert!(refused(LAST_MOST + 1).0.is_null());
        assert!(plainly(|| refused(1)).0.is_null());
        all.into_iter().for_each(free);
        // What stays for long keeps one part from being emptied, but what comes and goes is reused.
        let stays = refused(8);
        for _ in 0..10_000 {
            let (a, b) = (refused(1000), refused(2000));
            free(b);
            free(a);
        }
        free(stays);
    }

    #[test]
    fn lists_that_are_too_long_are_an_error() {
        let mut list = vec![1u64];
        let e = try_reserve(&mut list, usize::MAX / 16).unwrap_err();
        assert_eq!(e.status(), Status::OutOfMemory);
        assert_eq!(list_of::<u64>(usize::MAX / 16).unwrap_err().status(), Status::OutOfMemory);
        assert!(room(usize::MAX).is_err());
        assert_eq!(try_box([7u8; 100]).as_deref(), Some(&[7; 100]));
    }
}
