//! Which process this is, told without a system call, and locks that a forked child finds open.
//!
//! A child has the memory of its parent but only the thread that forked. Two things follow:
//!
//! * What belongs to the parent alone (address space of regions is not even mapped in the child)
//!   must be recognised. One word in a page that the kernel clears in every child
//!   (`MADV_WIPEONFORK`) says which process this is: it is compared with the word as it was when
//!   the thing was made. Two loads of memory that nobody writes.
//! * A lock that another thread held at the moment of the fork would stay locked in the child for
//!   good. Every lock that a child can get at is a [`Global`]: the thread that forks holds all of
//!   them meanwhile, so that in the child they are free and what they protect is whole.
//!
//! Whoever holds a [`Global`] takes no other one and calls nobody back.

use super::map::Mapping;
use crate::error::Result;
use once_cell::sync::OnceCell;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static ZERO: AtomicU64 = AtomicU64::new(0);
/// The word: 0 until this process needs a number.
static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new((&raw const ZERO).cast_mut());
/// Numbers given out by this process and those it was forked from.
static GIVEN: AtomicU64 = AtomicU64::new(0);

#[inline(always)]
fn word() -> &'static AtomicU64 {
    // SAFETY: `ZERO`, or the start of a page that is never unmapped and only used as this atomic.
    unsafe { &*WORD.load(Ordering::Acquire) }
}

/// A process in a line of forks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(u64);

impl Process {
    /// This process.
    ///
    /// # Errors
    /// `OutOfMemory` for want of a page; `Io` on kernels before 4.14.
    pub fn current() -> Result<Self> {
        on_fork()?;
        let word = word();
        if std::ptr::eq(word, &ZERO) {
            let page = Mapping::wiped_in_children(super::PAGE)?;
            let (none, at) = ((&raw const ZERO).cast_mut(), page.address() as *mut AtomicU64);
            match WORD.compare_exchange(none, at, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => std::mem::forget(page),
                Err(_) => drop(page),
            }
            return Self::current();
        }
        let number = word.load(Ordering::Relaxed);
        if number != 0 {
            return Ok(Self(number));
        }
        let number = GIVEN.fetch_add(1, Ordering::Relaxed) + 1;
        match word.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Ok(Self(number)),
            Err(other) => Ok(Self(other)),
        }
    }

    /// A number for it, from which [`Process::from_number`] makes it again.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// The process with this number.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Whether it is this one. Async-signal-safe.
    #[inline(always)]
    #[must_use]
    pub fn is_current(self) -> bool {
        word().load(Ordering::Relaxed) == self.0
    }
}

/// A lock, free in every forked child. For statics and what lives as long as they do.
#[derive(Debug, Default)]
pub struct Global<T> {
    lock: RwLock<T>,
    listed: AtomicBool,
}

impl<T: Send + Sync + 'static> Global<T> {
    /// A lock around `value`.
    pub const fn new(value: T) -> Self {
        Self { lock: RwLock::new(value), listed: AtomicBool::new(false) }
    }

    /// Waits until nobody writes.
    pub fn read(&'static self) -> RwLockReadGuard<'static, T> {
        self.enlist();
        self.lock.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else is there.
    pub fn lock(&'static self) -> RwLockWriteGuard<'static, T> {
        self.enlist();
        self.lock.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before the first use: whoever forks must know the lock.
    fn enlist(&'static self) {
        if !self.listed.load(Ordering::Acquire) {
            // Whatever needs more than a lock asks for the process, which says if this failed.
            let _ = on_fork();
            let mut all = all();
            if !self.listed.load(Ordering::Acquire) {
                all.locks.push(self);
                self.listed.store(true, Ordering::Release);
            }
        }
    }
}

/// Somebody holds a lock until this is dropped.
trait Held {}

impl<T> Held for RwLockWriteGuard<'static, T> {}

trait Hold: Sync {
    fn hold(&'static self) -> Box<dyn Held>;
}

impl<T: Send + Sync + 'static> Hold for Global<T> {
    fn hold(&'static self) -> Box<dyn Held> {
        Box::new(self.lock.write().unwrap_or_else(PoisonError::into_inner))
    }
}

struct All {
    locks: Vec<&'static dyn Hold>,
    watching: bool,
}

static ALL: Mutex<All> = Mutex::new(All { locks: Vec::new(), watching: false });

fn all() -> MutexGuard<'static, All> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread that is forking holds.
#[derive(Default)]
struct Forking {
    locks: Vec<Box<dyn Held>>,
    all: Option<MutexGuard<'static, All>>,
}

thread_local! {
    static FORKING: RefCell<ManuallyDrop<Forking>> =
        const { RefCell::new(ManuallyDrop::new(Forking { locks: Vec::new(), all: None })) };
}

extern "C" fn before_fork() {
    FORKING.with(|f| {
        let mut f = f.borrow_mut();
        let all = all();
        f.locks.extend(all.locks.iter().map(|l| l.hold()));
        f.all = Some(all);
    });
}

extern "C" fn after_fork() {
    FORKING.with(|f| {
        let mut f = f.borrow_mut();
        // Nothing is left that a destructor would have to look after.
        f.locks = Vec::new();
        f.all = None;
    });
}

extern "C" fn after_fork_in_child() {
    // The kernel did it already, unless it is one that forgets.
    word().store(0, Ordering::Relaxed);
    after_fork();
}

/// Arranges for the above, once.
///
/// # Errors
/// `OutOfMemory`; the next call tries again.
fn on_fork() -> Result<()> {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.load(Ordering::Acquire) {
        return Ok(());
    }
    let mut all = all();
    if !all.watching {
        super::interrupt::at_fork(before_fork, after_fork, after_fork_in_child)?;
        all.watching = true;
        DONE.store(true, Ordering::Release);
    }
    Ok(())
}

/// Fills a static cell, if it is empty. A thread that forks does so before or after, so that no
/// child waits for a thread that it does not have.
///
/// # Errors
/// Those of `fill`; the cell stays empty then.
#[inline(always)]
pub fn fill<T: Send + Sync>(
    cell: &'static OnceCell<T>,
    fill: impl FnOnce() -> Result<T>,
) -> Result<&'static T> {
    match cell.get() {
        Some(value) => Ok(value),
        None => fill_alone(cell, fill),
    }
}

#[cold]
fn fill_alone<T: Send + Sync>(
    cell: &'static OnceCell<T>,
    fill: impl FnOnce() -> Result<T>,
) -> Result<&'static T> {
    static FILLING: Global<()> = Global::new(());
    let _alone = FILLING.lock();
    cell.get_or_try_init(fill)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody has a lock and keeps it for a while; the process forks meanwhile.
    #[test]
    fn children_find_no_lock_held() {
        static LOCK: Global<u32> = Global::new(0);
        let (held, is_held) = std::sync::mpsc::channel();
        let holder = std::thread::spawn(move || {
            let guard = LOCK.lock();
            held.send(()).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(200));
            drop(guard);
        });
        is_held.recv().unwrap();
        // SAFETY: the child looks at a lock and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let free = LOCK.lock.try_write().is_ok();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!free)) };
        }
        holder.join().unwrap();
        let mut status = -1;
        // SAFETY: waits for our child, with room for its status.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "the child found a lock that somebody had");
    }
}
