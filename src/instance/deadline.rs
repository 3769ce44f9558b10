//! Ending runs from outside: deadlines and [`InstanceRef::terminate`], without a single instruction
//! in compiled code for it. This file is the side of the thread that runs the guest, and the calls
//! that embedders make; [`super::watch`] is the other side. See `docs/design/deadlines.md`.
//!
//! A run is a number: the id of its thread above [`COUNT`], and below it how many runs that thread
//! has begun, modulo 2^40. So a number that was read somewhere says which thread to look at, and
//! whether that run is still the one that goes on there.
//!
//! A run without a limit touches the line of [`ThreadWords`] and its instance's control block,
//! nothing else: no lock, no reference count, no shared line.
//!
//! Runs inside one another (a host function runs another instance) keep the earlier of their
//! deadlines.

use super::watch::{self, Reason, now};
use super::{IDLE, InstanceRef};
use crate::arch::{self, ThreadWords};
use crate::error::{Error, Result, Status};
use crate::sys::interrupt;
use crate::vmctx::{ControlRef, State};
use std::sync::atomic::Ordering;

/// The bits of a run's number that count.
const COUNT: u64 = (1 << 40) - 1;

/// The first number of a thread, which no run has.
pub(super) fn first_number(thread: i32) -> u64 {
    u64::from(thread as u32) << 40
}

/// The thread that a run is on.
pub(super) fn thread_of(run: u64) -> i32 {
    (run >> 40) as i32
}

/// Whether `a` began before `b`, on the same thread.
pub(super) fn is_older(a: u64, b: u64) -> bool {
    let distance = b.wrapping_sub(a) & COUNT;
    distance != 0 && distance <= COUNT / 2
}

/// A run that is going on; dropping it is its end. Its fields are words that stay in registers:
/// nothing here takes the address of a `Run`.
pub(super) struct Run {
    words: &'static ThreadWords,
    control: ControlRef,
    number: u64,
    around: u64,
    /// The deadline of the run around this one, or [`NO_LIMIT`] if this one set none.
    deadline_around: u64,
}

/// Says that a run has no limit of its own.
const NO_LIMIT: u64 = u64::MAX;

/// Whether this thread has begun a run before: then [`begin_unlimited`] will do.
#[inline(always)]
pub(super) fn is_known() -> bool {
    arch::thread_words().registered.load(Ordering::Relaxed) != 0
}

/// What [`begin`] does for a run without a limit, on a thread that [`is_known`]: the numbers of the
/// run and of the one around it.
#[inline(always)]
pub(super) fn begin_unlimited(control: ControlRef) -> (u64, u64) {
    number(arch::thread_words(), control)
}

/// The end of a run that [`begin_unlimited`] began.
#[inline(always)]
pub(super) fn end_unlimited(control: ControlRef, (number, around): (u64, u64)) {
    end(arch::thread_words(), control, number, around);
}

/// The end of run `number`: from now on, nobody ends it any more.
#[inline(always)]
fn end(words: &ThreadWords, control: ControlRef, number: u64, around: u64) {
    control.set_runner(0);
    words.run.store(around, Ordering::Release);
    let asked = words.request.load(Ordering::Relaxed) == number;
    if asked || words.doomed.load(Ordering::Relaxed) == number {
        answered(words, number);
    }
}

/// Gives the run that begins a number; and that of the run around it.
#[inline(always)]
fn number(words: &ThreadWords, control: ControlRef) -> (u64, u64) {
    let last = words.last.load(Ordering::Relaxed);
    let number = last & !COUNT | last.wrapping_add(1) & COUNT;
    words.last.store(number, Ordering::Relaxed);
    let around = words.run.load(Ordering::Relaxed);
    words.run.store(number, Ordering::Release);
    control.set_runner(number);
    (number, around)
}

/// Begins a run of `control`'s instance that may take `limit` nanoseconds; 0: any time.
#[inline(always)]
pub(super) fn begin(control: ControlRef, limit: u64) -> Result<Run> {
    let words = arch::thread_words();
    if words.registered.load(Ordering::Relaxed) == 0 {
        watch::introduce()?;
    }
    if limit != 0 && words.blocked.load(Ordering::Relaxed) != 0 {
        return Err(blocked());
    }
    // First the number, then the deadline: the watchdog may see the new run with the deadline of
    // the one around it, which holds for both, but never the other way round.
    let (number, around) = number(words, control);
    let deadline_around = if limit == 0 { NO_LIMIT } else { set_deadline(words, limit) };
    Ok(Run { words, control, number, around, deadline_around })
}

impl Drop for Run {
    #[inline(always)]
    fn drop(&mut self) {
        let Self { words, number, .. } = *self;
        if self.deadline_around != NO_LIMIT {
            words.deadline.store(self.deadline_around, Ordering::Release);
        }
        end(words, self.control, number, self.around);
    }
}

#[cold]
fn blocked() -> Error {
    Error::new(
        Status::SignalsBlocked,
        "SIGURG was blocked in this thread when it first ran a guest; time limits need it",
    )
}

/// Notes the deadline of a run that may take `limit` nanoseconds; returns that of the run around.
fn set_deadline(words: &ThreadWords, limit: u64) -> u64 {
    let around = words.deadline.load(Ordering::Relaxed);
    let own = now().saturating_add(limit);
    let deadline = if around == 0 { own } else { own.min(around) };
    words.deadline.store(deadline, Ordering::SeqCst);
    watch::expect(deadline);
    around
}

/// The end of a run that somebody wanted to end, whether it still did so or not.
#[cold]
fn answered(words: &ThreadWords, number: u64) {
    // Whoever is just sending a signal holds the lock.
    let records = watch::lock();
    words.request.store(0, Ordering::Relaxed);
    if words.doomed.load(Ordering::Relaxed) == number {
        words.doomed.store(0, Ordering::Relaxed);
    }
    drop(records);
    interrupt::let_signals_in();
}

/// Whether the run that is going on is to end: asked by long operations of the runtime.
pub(super) fn wanted() -> bool {
    let words = arch::thread_words();
    let run = words.run.load(Ordering::Relaxed);
    run != 0 && words.request.load(Ordering::Relaxed) == run
}

/// Why the run that has just left is to end.
pub(super) fn reason() -> Reason {
    match arch::thread_words().reason.load(Ordering::Acquire) {
        2 => Reason::Terminate,
        _ => Reason::Deadline,
    }
}

impl InstanceRef {
    /// Limits the time that each run and each resume from now on may take, host functions included,
    /// on a clock that does not jump; 0 lifts the limit. A run that takes longer ends as
    /// `TimedOut`: guest code at once, a host function when it returns.
    ///
    /// # Errors
    /// `InvalidHandle`, `Busy`.
    pub fn set_time_limit(&self, nanoseconds: u64) -> Result<()> {
        let lease = self.lease(&IDLE)?;
        lease.control.with(|i| i.time_limit = nanoseconds);
        lease.control.hot().open.set(false);
        Ok(())
    }

    /// Ends the run that is going on, from any thread: it returns `Terminated` to whoever started
    /// it, guest code at once, a host function when it returns. A suspended run is abandoned. If
    /// nothing runs, nothing happens; the next run is not affected.
    ///
    /// # Errors
    /// `InvalidHandle`.
    pub fn terminate(&self) -> Result<()> {
        let (generation, state) = self.control.state();
        if generation != self.generation || state == State::Suspended || state == State::Free {
            let mut lease = match self.lease(&[State::Suspended]) {
                Ok(lease) => lease,
                Err(e) if matches!(e.status(), Status::InvalidHandle | Status::Forked) => {
                    return Err(e);
                }
                // It was resumed at this moment, or freed of its suspension.
                Err(_) => return self.terminate_running(),
            };
            lease.set_next(State::Faulted);
            lease.control.with(|i| i.suspended = None);
            super::run::release_stack(lease.control);
            return Ok(());
        }
        self.terminate_running()
    }

    fn terminate_running(&self) -> Result<()> {
        let run = self.control.runner();
        if run != 0 && self.control.state() == (self.generation, State::Running) {
            watch::terminate(run, || self.control.runner() == run);
        }
        Ok(())
    }
}
