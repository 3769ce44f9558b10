//! The resident set of a slot: which pages of its memory may have been written.
//!
//! In a region that resets by *first touch*, every page of a slot's initial memory that no instance
//! has touched yet carries a guard marker (`MADV_GUARD_INSTALL`). The first touch faults; the
//! signal handler calls [`SlotPages::touch`], which opens the page, fills it with its pristine
//! contents and notes it. From then on the page stays open, and making the slot pristine again is
//! copying the pristine contents over the pages of the list: no system call, no page fault.
//!
//! Invariant: *a managed page is accessible ⇔ it is in the list, or `all` is set*.
//!
//! Memory that grows a little is managed, too. When the growth is undone its pages keep what they
//! have, marker or (cleared) contents, behind a closed door; nobody touches them until a later
//! instance grows.
//!
//! ```text
//!  memory of a slot      │ ▓ │   │   │ ▓ │   │ ▓ │   │   │        ▓ open   (blank) guard marker
//!  list                  { 0, 3, 5 }      count = 3
//! ```
//!
//! The list is short. A guest that touches more pages than fit makes the handler open everything at
//! once (`all`); such a slot is emptied when it is reset.

use super::{Image, Run};
use lucet_artifact::limits::NATIVE_PAGE;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Pages noted per slot. A slot that touched more is emptied at reset.
pub(super) const MAX_PAGES: usize = 250;

/// What the handler must know about one slot. Zero bytes are a valid empty set.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct SlotPages {
    /// Bytes of memory, from its start, whose pages are managed; a multiple of the page size.
    managed: AtomicU64,
    /// Pages noted.
    count: AtomicU32,
    /// Every page is open, noted or not.
    all: AtomicBool,
    /// The pristine contents: runs and bytes of the image in use.
    runs: AtomicPtr<Run>,
    runs_len: AtomicUsize,
    bytes: AtomicPtr<u8>,
    bytes_len: AtomicUsize,
    /// The pages noted after those of `list`: room for the rest of [`MAX_PAGES`].
    more: AtomicPtr<AtomicU32>,
    list: [AtomicU32; NEAR],
}

/// Pages noted in a [`SlotPages`] itself. Hardly any slot has more, so the others lie apart, in
/// memory that is not even touched.
const NEAR: usize = 18;
/// The others.
pub(super) const FAR: usize = MAX_PAGES - NEAR;

const _: () = assert!(size_of::<SlotPages>() == 128);

/// Finds the pristine contents of native page `page`: its bytes in the image, or `None` for zeros.
fn pristine<'a>(runs: &[Run], bytes: &'a [u8], page: u32) -> Option<&'a [u8]> {
    // Most images have one or two runs; those of snapshots may have many.
    let run = runs.get(runs.partition_point(|r| r.page <= page).checked_sub(1)?)?;
    let within = page - run.page;
    if within >= run.pages {
        return None;
    }
    let at = (run.before + within) as usize * NATIVE_PAGE as usize;
    bytes.get(at..at + NATIVE_PAGE as usize)
}

/// Writes the pristine contents of a page.
///
/// # Safety
/// `to` is a whole page, writable, and nobody else is using it.
unsafe fn write_page(to: *mut u8, contents: Option<&[u8]>) {
    match contents {
        // SAFETY: the caller's promise; `pristine` returns whole pages of a file mapping, which
        // does not overlap a slot.
        Some(b) => unsafe { std::ptr::copy_nonoverlapping(b.as_ptr(), to, b.len()) },
        // SAFETY: the caller's promise.
        None => unsafe { std::ptr::write_bytes(to, 0, NATIVE_PAGE as usize) },
    }
}

impl SlotPages {
    /// Bytes of memory that are managed.
    #[inline(always)]
    pub(super) fn managed(&self) -> u64 {
        self.managed.load(Ordering::Relaxed)
    }

    /// Bytes of the pages that are noted.
    pub(super) fn noted_bytes(&self) -> u64 {
        u64::from(self.count.load(Ordering::Relaxed)) * NATIVE_PAGE
    }

    /// Whether the list no longer says everything.
    pub(super) fn overflowed(&self) -> bool {
        self.all.load(Ordering::Relaxed)
    }

    /// Whether the page is in the list.
    pub(super) fn noted(&self, page: u32) -> bool {
        let count = self.count.load(Ordering::Relaxed) as usize;
        self.first(count).any(|p| p == page)
    }

    /// Begins to manage the first `managed` bytes, all of which carry guard markers now, with
    /// `image` as their pristine contents. The image must stay where it is until `stop`.
    ///
    /// # Safety
    /// `more` is room for [`FAR`] numbers that nobody else uses, which stays until `stop`.
    pub(super) unsafe fn start(&self, managed: u64, image: &Image<'_>, more: *mut AtomicU32) {
        self.more.store(more, Ordering::Relaxed);
        self.count.store(0, Ordering::Relaxed);
        self.all.store(false, Ordering::Relaxed);
        self.runs.store(image.runs.as_ptr().cast_mut(), Ordering::Relaxed);
        self.runs_len.store(image.runs.len(), Ordering::Relaxed);
        self.bytes.store(image.bytes.as_ptr().cast_mut(), Ordering::Relaxed);
        self.bytes_len.store(image.bytes.len(), Ordering::Relaxed);
        self.managed.store(managed, Ordering::Release);
    }

    /// Manages this many bytes from now on; those that come in addition are accessible, and noted
    /// or marked.
    pub(super) fn manage(&self, bytes: u64) {
        self.managed.store(bytes, Ordering::Release);
    }

    /// Manages nothing any more.
    pub(super) fn stop(&self) {
        self.managed.store(0, Ordering::Release);
    }

    /// Where page number `n` of the set is noted.
    #[inline(always)]
    fn place(&self, n: usize) -> Option<&AtomicU32> {
        if n < NEAR {
            return self.list.get(n);
        }
        let more = self.more.load(Ordering::Relaxed);
        if n >= MAX_PAGES || more.is_null() {
            return None;
        }
        // SAFETY: `start` stored a place for `FAR` of them.
        Some(unsafe { &*more.add(n - NEAR) })
    }

    /// The first `count` pages of the set.
    #[inline(always)]
    fn first(&self, count: usize) -> impl Iterator<Item = u32> {
        (0..count).map_while(|n| self.place(n)).map(|p| p.load(Ordering::Relaxed))
    }

    fn image(&self) -> (&[Run], &[u8]) {
        let (runs, n) = (self.runs.load(Ordering::Relaxed), self.runs_len.load(Ordering::Relaxed));
        let (bytes, len) =
            (self.bytes.load(Ordering::Relaxed), self.bytes_len.load(Ordering::Relaxed));
        if runs.is_null() || bytes.is_null() {
            return (&[], &[]);
        }
        // SAFETY: `start` stored the parts of slices that stay alive until `stop`: the module of
        // the slot's instance owns them, or the region keeps them for the free slot.
        unsafe { (std::slice::from_raw_parts(runs, n), std::slice::from_raw_parts(bytes, len)) }
    }

    /// A fault at `offset` of the memory at `base`: opens the page if it is a managed one that was
    /// not open yet. Async-signal-safe; on the thread that uses the slot.
    ///
    /// # Safety
    /// `base` is the start of this slot's memory.
    pub(super) unsafe fn touch(&self, base: usize, offset: u64) -> bool {
        let managed = self.managed.load(Ordering::Acquire);
        if offset >= managed || self.all.load(Ordering::Relaxed) {
            return false;
        }
        let (runs, bytes) = self.image();
        let count = self.count.load(Ordering::Relaxed) as usize;
        let page = (offset / NATIVE_PAGE) as u32;
        if let Some(place) = self.place(count) {
            let at = base + (u64::from(page) * NATIVE_PAGE) as usize;
            if !open(at, NATIVE_PAGE as usize) {
                return false;
            }
            // A page without a marker reads as zero when it is new.
            if let Some(contents) = pristine(runs, bytes, page) {
                // SAFETY: the page was opened just now and belongs to this slot.
                unsafe { write_page(at as *mut u8, Some(contents)) };
            }
            place.store(page, Ordering::Relaxed);
            self.count.store(count as u32 + 1, Ordering::Relaxed);
            return true;
        }
        self.open_all(base)
    }

    /// The list is full: opens everything, so that there are no more faults.
    fn open_all(&self, base: usize) -> bool {
        let (runs, bytes) = self.image();
        if !open(base, self.managed() as usize) {
            return false;
        }
        self.all.store(true, Ordering::Relaxed);
        let count = self.count.load(Ordering::Relaxed) as usize;
        let mut before = 0usize;
        for run in runs {
            for n in 0..run.pages {
                let page = run.page + n;
                let at = (before + n as usize) * NATIVE_PAGE as usize;
                let noted = self.first(count).any(|p| p == page);
                if !noted && let Some(contents) = bytes.get(at..at + NATIVE_PAGE as usize) {
                    let to = base + (u64::from(page) * NATIVE_PAGE) as usize;
                    // SAFETY: the page was opened just now and belongs to this slot.
                    unsafe { write_page(to as *mut u8, Some(contents)) };
                }
            }
            before += run.pages as usize;
        }
        true
    }

    /// Opens the pages from `first` to before `end`, which are managed ones: one call for each run
    /// of pages that nobody has touched.
    ///
    /// # Safety
    /// `base` is the start of this slot's memory, and nobody uses it meanwhile.
    pub(super) unsafe fn open_range(&self, base: usize, first: u32, end: u32) -> bool {
        let count = self.count.load(Ordering::Relaxed) as usize;
        let mut noted = [false; MAX_PAGES];
        let Some(noted) = noted.get_mut(..end.saturating_sub(first) as usize) else {
            return self.open_all(base);
        };
        let mut missing = noted.len();
        for page in self.first(count) {
            let at = page.checked_sub(first);
            if let Some(flag) = at.and_then(|at| noted.get_mut(at as usize)) {
                *flag = true;
                missing -= 1;
            }
        }
        if count + missing > MAX_PAGES {
            return self.open_all(base);
        }
        let (runs, bytes) = self.image();
        let (mut page, mut count) = (first, count);
        for run in noted.chunk_by(|a, b| a == b) {
            let (from, len) = (base + (u64::from(page) * NATIVE_PAGE) as usize, run.len());
            if run.first() == Some(&false) {
                if !open(from, len * NATIVE_PAGE as usize) {
                    return false;
                }
                for n in 0..len {
                    if let Some(contents) = pristine(runs, bytes, page + n as u32) {
                        let to = from + n * NATIVE_PAGE as usize;
                        // SAFETY: the page was opened just now and belongs to this slot.
                        unsafe { write_page(to as *mut u8, Some(contents)) };
                    }
                    if let Some(place) = self.place(count) {
                        place.store(page + n as u32, Ordering::Relaxed);
                        count += 1;
                        self.count.store(count as u32, Ordering::Relaxed);
                    }
                }
            }
            page += len as u32;
        }
        true
    }

    /// Makes the noted pages below `open` pristine again. The others are closed since they were.
    ///
    /// # Safety
    /// `base` is the start of this slot's memory, and no code uses it; noted pages below `open` are
    /// accessible.
    pub(super) unsafe fn rewind(&self, base: usize, open: u64) {
        let (runs, bytes) = self.image();
        let count = self.count.load(Ordering::Relaxed) as usize;
        for page in self.first(count) {
            let at = u64::from(page) * NATIVE_PAGE;
            if at >= open {
                continue;
            }
            let to = base + at as usize;
            // SAFETY: the page is open (the caller's promise) and belongs to this slot.
            unsafe { write_page(to as *mut u8, pristine(runs, bytes, page)) };
        }
    }
}

/// Removes guard markers. Async-signal-safe.
fn open(at: usize, len: usize) -> bool {
    // Whoever touched the page cannot go on without it, so one refusal is not the last word.
    const ATTEMPTS: usize = 3;
    let attempt = |_| {
        // SAFETY: removes markers from pages of a slot; no contents change.
        unsafe { libc::madvise(at as *mut _, len, crate::sys::GUARD_REMOVE) == 0 }
    };
    (0..ATTEMPTS).any(attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pristine_contents_are_found_by_page() {
        let runs = Run::all([(1, 2), (9, 1)].into_iter());
        let mut bytes = vec![1u8; 4096];
        bytes.extend(vec![2u8; 4096]);
        bytes.extend(vec![3u8; 4096]);
        let first = |p| pristine(&runs, &bytes, p).map(|b| (b[0], b.len()));
        assert_eq!(first(0), None);
        assert_eq!(first(1), Some((1, 4096)));
        assert_eq!(first(2), Some((2, 4096)));
        assert_eq!(first(3), None);
        assert_eq!(first(9), Some((3, 4096)));
        assert_eq!(first(10), None);
        assert_eq!(pristine(&runs, &bytes[..4096], 2), None);
    }
}
