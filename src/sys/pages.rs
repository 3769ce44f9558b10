//! What the kernel knows about single pages: guard markers and which pages were written.
//!
//! Both are recent: markers need Linux 6.13, scanning needs 6.7. [`Support::probe`] tries them
//! once, on pages of its own. Under valgrind there is neither.

use super::map::Mapping;
use super::{PAGE, errno_error};
use crate::error::{Result, Status};
use nix::errno::Errno;
use once_cell::sync::OnceCell;
use std::fs::File;
use std::os::fd::AsRawFd;

/// `MADV_GUARD_INSTALL`.
const GUARD_INSTALL: i32 = 102;
/// `MADV_GUARD_REMOVE`.
pub const GUARD_REMOVE: i32 = 103;

/// Which page operations this kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Support {
    /// Guard markers.
    pub guard_markers: bool,
    /// Scanning for written pages.
    pub pagemap_scan: bool,
}

impl Support {
    /// Tries both, once per process.
    ///
    /// # Errors
    /// `OutOfMemory` if not even a page can be mapped.
    pub fn probe() -> Result<Self> {
        static FOUND: OnceCell<Support> = OnceCell::new();
        super::fork::fill(&FOUND, || {
            // Valgrind runs neither: an instruction that faulted cannot be tried again with all its
            // registers, and it does not know what a scan writes.
            if super::valgrind::is_there() {
                return Ok(Self { guard_markers: false, pagemap_scan: false });
            }
            let page = Mapping::zeroed(PAGE)?;
            let scanned = Pagemap::open()
                .and_then(|p| p.present(page.address(), page.address() + PAGE, |_, _| ()));
            let pagemap_scan = has(scanned)?;
            let guard_markers = has(page.install_guards(0, PAGE))?;
            Ok(Self { guard_markers, pagemap_scan })
        })
        .copied()
    }
}

/// Whether the kernel has what was tried. Want of memory or descriptors says nothing about that,
/// and must not be taken for an answer for good.
fn has(tried: Result<()>) -> Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(e) if e.status() == Status::OutOfMemory => Err(e),
        Err(_) => Ok(false),
    }
}

impl Mapping {
    fn advise(&self, at: usize, len: usize, advice: i32) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        let part = self.part(at, len)?;
        // SAFETY: the range lies in this mapping, whose owner has no use for the contents (install)
        // or finds them as they were (remove).
        if unsafe { libc::madvise(part.as_ptr(), len, advice) } != 0 {
            return Err(errno_error(format_args!("advising {len} bytes"), Errno::last()));
        }
        Ok(())
    }

    /// Makes a range a mapping of its own to the kernel, or part of its neighbours' again: changing
    /// the access to a whole mapping is cheaper than dividing one and joining the parts. The advice
    /// that tells them apart, not to read ahead, concerns swapped-out pages only.
    ///
    /// # Errors
    /// `OutOfMemory` or `Io` when the system refuses.
    pub fn set_apart(&self, at: usize, len: usize, apart: bool) -> Result<()> {
        self.advise(at, len, if apart { libc::MADV_RANDOM } else { libc::MADV_NORMAL })
    }

    /// Empties pages and lets every access to them fault until the marker is removed.
    ///
    /// # Errors
    /// `OutOfMemory` or `Io` when the system refuses.
    pub fn install_guards(&self, at: usize, len: usize) -> Result<()> {
        self.advise(at, len, GUARD_INSTALL)
    }

    /// Removes the markers; pages that had one read as zero.
    ///
    /// # Errors
    /// `OutOfMemory` or `Io` when the system refuses.
    pub fn remove_guards(&self, at: usize, len: usize) -> Result<()> {
        self.advise(at, len, GUARD_REMOVE)
    }
}

/// `/proc/self/pagemap`, open for scanning. Belongs to the process that opened it.
#[derive(Debug)]
pub struct Pagemap(File);

/// `struct pm_scan_arg` of linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct ScanArgs {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region` of linux/fs.h.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::c_ulong = 0xc060_6610;

impl Pagemap {
    /// Opens the calling process's page map.
    ///
    /// # Errors
    /// `Io` where /proc is not mounted, `OutOfMemory` without descriptors.
    pub fn open() -> Result<Self> {
        File::open("/proc/self/pagemap")
            .map(Self)
            .map_err(|e| super::io_error("opening /proc/self/pagemap", &e))
    }

    /// Calls `f(start, end)` for each run of pages in `[start, end)` that have contents.
    ///
    /// # Errors
    /// `Io` on kernels before 6.7.
    pub fn present(&self, start: usize, end: usize, mut f: impl FnMut(usize, usize)) -> Result<()> {
        let mut found = [PageRegion::default(); 64];
        let any = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
        let mut args = ScanArgs {
            size: size_of::<ScanArgs>() as u64,
            start: start as u64,
            end: end as u64,
            vec: found.as_mut_ptr() as u64,
            vec_len: found.len() as u64,
            category_anyof_mask: any,
            return_mask: any,
            ..ScanArgs::default()
        };
        while args.start < args.end {
            // SAFETY: `args` and the vector it names are alive and as long as it says.
            let n = unsafe { libc::ioctl(self.0.as_raw_fd(), PAGEMAP_SCAN, &mut args) };
            if n < 0 {
                return Err(errno_error("scanning /proc/self/pagemap", Errno::last()));
            }
            for r in found.iter().take(n as usize) {
                f(r.start as usize, r.end as usize);
            }
            if args.walk_end <= args.start {
                break;
            }
            args.start = args.walk_end;
        }
        Ok(())
    }
}

/// Bits of an entry of /proc/PID/pagemap: the page is in memory, or swapped out.
const PRESENT_OR_SWAPPED: u64 = 1 << 63 | 1 << 62;

/// Calls `f(address)` for each page of private anonymous memory in `[start, end)` that may have
/// contents: on every kernel, and where /proc cannot be read for all of them.
///
/// # Errors
/// Those of `f`.
pub fn each_used_page(
    start: usize,
    end: usize,
    f: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<()> {
    let file = File::open("/proc/self/pagemap").ok();
    let mut entries = [0u8; 8 * 512];
    let mut at = start;
    while at < end {
        let n = ((end - at) / PAGE).min(entries.len() / 8).max(1);
        let wanted = entries.get_mut(..8 * n).unwrap_or_default();
        let known = file.as_ref().is_some_and(|file| {
            use std::os::unix::fs::FileExt;
            file.read_exact_at(wanted, (at / PAGE * 8) as u64).is_ok()
        });
        for (i, entry) in wanted.chunks_exact(8).enumerate() {
            let bits = entry.try_into().map_or(u64::MAX, u64::from_le_bytes);
            if !known || bits & PRESENT_OR_SWAPPED != 0 {
                f(at + i * PAGE)?;
            }
        }
        at += n * PAGE;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_memory_is_no_answer_about_the_kernel() {
        let answer = |e| has(Err(errno_error("trying", e))).map_err(|e| e.status());
        assert_eq!(has(Ok(())), Ok(true));
        assert_eq!((answer(Errno::EINVAL), answer(Errno::EPERM)), (Ok(false), Ok(false)));
        for e in [Errno::ENOMEM, Errno::EMFILE] {
            assert_eq!(answer(e), Err(Status::OutOfMemory));
        }
    }

    #[test]
    fn scanning_finds_what_was_written() {
        if !Support::probe().unwrap().pagemap_scan {
            eprintln!("this kernel cannot scan page maps");
            return;
        }
        let m = Mapping::zeroed(100 * PAGE).unwrap();
        for page in [3usize, 4, 77] {
            // SAFETY: a page of a writable mapping of this test.
            unsafe { std::ptr::write_volatile((m.address() + page * PAGE) as *mut u8, 1) };
        }
        let mut pages = Vec::new();
        let base = m.address();
        Pagemap::open()
            .unwrap()
            .present(base, base + 100 * PAGE, |a, b| {
                pages.extend((a..b).step_by(PAGE).map(|p| (p - base) / PAGE));
            })
            .unwrap();
        assert_eq!(pages, [3, 4, 77]);
    }
}
