//! The lock for what belongs to one process: regions and their idle instances, the watchdog. (What
//! a forked child can get at is a [`super::fork::Global`].)
//!
//! One word, on which threads wait with a futex:
//!
//! ```text
//!  0 free ──lock──► 1 taken ──another lock──► 2 taken, somebody waits ──unlock──► 0, wake one
//! ```
//!
//! There is no table of waiting threads elsewhere, which a forked child would get together with
//! threads in it that it does not have, and nothing is asked but the word.

use parking_lot::lock_api;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A lock around a value.
pub type Mutex<T> = lock_api::Mutex<Word, T>;
/// Has the value while it lives.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, Word, T>;

/// The word of a lock.
#[derive(Debug)]
pub struct Word(AtomicU32);

fn wait_on(word: &AtomicU32, value: u32, time: Option<Duration>) {
    let spec = time.map(|t| libc::timespec {
        tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(t.subsec_nanos()),
    });
    let spec = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let op = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word and the time are alive during the call. It may return early, for any reason;
    // whoever waits looks again.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, value, spec) };
}

fn wake_one(word: &AtomicU32) {
    let op = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: only the address is used, as a name.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, 1) };
}

impl Word {
    #[cold]
    fn wait(&self) {
        for _ in 0..100 {
            if self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return;
            }
            std::hint::spin_loop();
        }
        // Whoever has waited says so when it takes the lock: others may be waiting still.
        while self.0.swap(2, Ordering::Acquire) != 0 {
            wait_on(&self.0, 2, None);
        }
    }
}

// SAFETY: the word goes from 0 to 1 or 2 by one atomic operation of the thread that gets the lock,
// and back to 0 only in `unlock`.
unsafe impl lock_api::RawMutex for Word {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self(AtomicU32::new(0));
    type GuardMarker = lock_api::GuardNoSend;

    #[inline(always)]
    fn lock(&self) {
        if self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.wait();
        }
    }

    fn try_lock(&self) -> bool {
        self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// # Safety
    /// The caller has the lock.
    #[inline(always)]
    unsafe fn unlock(&self) {
        if self.0.swap(0, Ordering::Release) == 2 {
            wake_one(&self.0);
        }
    }
}

/// Where threads wait for something that others change under a [`Mutex`].
#[derive(Debug, Default)]
pub struct Condvar(AtomicU32);

impl Condvar {
    /// Nobody waits yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Lets go of the lock until somebody notifies, or for no reason.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.wait_at_most(guard, None);
    }

    /// The same for at most this time.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, time: Duration) {
        self.wait_at_most(guard, Some(time));
    }

    fn wait_at_most<T>(&self, guard: &mut MutexGuard<'_, T>, time: Option<Duration>) {
        // Read with the lock: what is notified from now on changes it.
        let seen = self.0.load(Ordering::Relaxed);
        MutexGuard::unlocked(guard, || wait_on(&self.0, seen, time));
    }

    /// Wakes one that waits.
    pub fn notify_one(&self) {
        self.0.fetch_add(1, Ordering::Release);
        wake_one(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn one_at_a_time() {
        let sum = Mutex::new(0u64);
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    for _ in 0..50_000 {
                        let mut sum = sum.lock();
                        let seen = std::hint::black_box(*sum);
                        *sum = seen + 1;
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 400_000);
    }

    #[test]
    fn nobody_sleeps_for_good() {
        let (queue, wake) = (Mutex::new(VecDeque::new()), Condvar::new());
        std::thread::scope(|s| {
            let taker = s.spawn(|| {
                let mut queue = queue.lock();
                for n in 0..20_000 {
                    while queue.is_empty() {
                        wake.wait(&mut queue);
                    }
                    assert_eq!(queue.pop_front(), Some(n));
                }
            });
            for n in 0..20_000 {
                queue.lock().push_back(n);
                wake.notify_one();
            }
            taker.join().unwrap();
        });
        let mut queue = queue.lock();
        wake.wait_for(&mut queue, Duration::from_millis(1));
        assert!(queue.is_empty());
    }
}
