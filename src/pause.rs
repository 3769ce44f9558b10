//! Places where two threads race, and the guards that make it end well, for the tests of
//! `tests/race`: with the feature `race-tests` a thread can be held at a [`Point`] while another
//! does what could go wrong, and each [`Guard`] can be switched off to see that it would.
//!
//! Without the feature, which no product has, nothing of this leaves a trace in the code.

/// Where a thread can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The instance is taken, its run has no number yet.
    Begin,
    /// The guest has left, its run still has its number.
    End,
    /// The watchdog has found that a run's time is up, and has not asked for its end.
    Due,
    /// A request was made, the thread was seen in guest code, and no signal was sent.
    Send,
    /// A termination has read which run goes on, and has done nothing.
    Doom,
}

/// What can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// A request and a signal are for the run that they name.
    Number,
    /// No signal is sent to a thread that is in the host.
    Phase,
    /// A run that was asked to end waits until the signal has come.
    EndLock,
    /// A run that is terminated when it has just been suspended is abandoned.
    TooLate,
    /// A termination waits until an instance in use has a run or has none.
    Wait,
    /// A termination looks again whether its run goes on.
    Still,
    /// A signal ends a run only where guest code is.
    Code,
    /// A host function is not called once a request stands, and its return is not the guest's.
    Thunk,
}

/// Number of points and guards.
#[cfg(feature = "race-tests")]
const N: usize = 8;

#[cfg(feature = "race-tests")]
mod state {
    use super::{Guard, N, Point};
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::time::{Duration, Instant};

    const OPEN: u32 = 0;
    const ARMED: u32 = 1;
    const HELD: u32 = 2;
    const RELEASED: u32 = 3;

    static POINTS: [AtomicU32; N] = [const { AtomicU32::new(OPEN) }; N];
    static OFF: [AtomicBool; N] = [const { AtomicBool::new(false) }; N];

    /// The first thread that comes here will be held.
    pub fn arm(p: Point) {
        POINTS[p as usize].store(ARMED, Ordering::SeqCst);
    }

    /// Waits until a thread is held.
    ///
    /// # Panics
    /// After ten seconds.
    pub fn wait(p: Point) {
        let begin = Instant::now();
        while POINTS[p as usize].load(Ordering::SeqCst) != HELD {
            assert!(begin.elapsed() < Duration::from_secs(10), "nobody came to {p:?}");
            std::thread::yield_now();
        }
    }

    /// Lets the thread go on, or whoever comes later.
    pub fn release(p: Point) {
        let point = &POINTS[p as usize];
        let held = point.compare_exchange(HELD, RELEASED, Ordering::SeqCst, Ordering::SeqCst);
        if held.is_err() {
            point.store(OPEN, Ordering::SeqCst);
        }
    }

    /// Switches a guard off or on.
    pub fn switch(g: Guard, off: bool) {
        OFF[g as usize].store(off, Ordering::SeqCst);
    }

    pub(crate) fn point(p: Point) {
        let point = &POINTS[p as usize];
        if point.compare_exchange(ARMED, HELD, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            while point.load(Ordering::SeqCst) == HELD {
                std::thread::yield_now();
            }
            point.store(OPEN, Ordering::SeqCst);
        }
    }

    pub(crate) fn is_on(g: Guard) -> bool {
        !OFF[g as usize].load(Ordering::SeqCst)
    }
}

#[cfg(feature = "race-tests")]
pub use state::{arm, release, switch, wait};
#[cfg(feature = "race-tests")]
pub(crate) use state::{is_on, point};

/// Holds this thread if a test wants it.
#[cfg(not(feature = "race-tests"))]
#[inline(always)]
pub(crate) fn point(_: Point) {}

/// Whether a guard is on.
#[cfg(not(feature = "race-tests"))]
#[inline(always)]
pub(crate) fn is_on(_: Guard) -> bool {
    true
}
