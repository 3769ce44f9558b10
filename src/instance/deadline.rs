//! Ending and interrupting runs from outside, without a single instruction in compiled code for it:
//! the side of the thread that runs the guest, and the calls that embedders make. The other side is
//! [`super::watch`]; `docs/design/deadlines.md` tells how the two meet.
//!
//! A run is a number: the id of its thread above [`COUNT`], and below it how many runs that thread
//! has begun, modulo 2^40. So a number that was read somewhere says which thread to look at, and
//! whether that run is still the one that goes on there.
//!
//! A run without a limit touches the first line of [`ThreadWords`] and its instance's control
//! block, nothing else: no lock, no reference count, no shared line.
//!
//! Runs inside one another (a host function runs another instance) keep the earlier of their
//! deadlines. Time slices are for the outermost run alone, and wait while others run inside it.

use super::watch::{self, Reason, now};
use super::{IDLE, InstanceRef};
use crate::arch::{self, Registers, ThreadWords};
use crate::error::{Error, Result, Status};
use crate::pause::{self, Guard, Point};
use crate::sys::interrupt;
use crate::vmctx::{self, ControlRef, Lease, State};
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

/// What runs of an instance may use, in nanoseconds; 0: any amount.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// Time of each run and each resume.
    time: u64,
    /// Time of each run and each resume, after which it is interrupted.
    slice: u64,
    /// Processor time of a run with all its resumes.
    cpu: u64,
    /// How much of it the run has used.
    cpu_used: u64,
    /// The thread's processor time when this run or resume began.
    cpu_begin: u64,
    /// The words of the run around this one.
    around: Around,
}

#[derive(Debug, Clone, Copy, Default)]
struct Around {
    deadline: u64,
    cpu_end: u64,
    cpu_check: u64,
}

impl Limits {
    /// Nothing but a limit of the time of each run.
    pub(super) fn of_time(time: u64) -> Self {
        Self { time, ..Self::default() }
    }

    /// No time slices until [`Limits::set_slice`] gets what this returns.
    pub(super) fn take_slice(&mut self) -> u64 {
        std::mem::take(&mut self.slice)
    }

    pub(super) fn set_slice(&mut self, slice: u64) {
        self.slice = slice;
    }

    /// How a run with these limits begins.
    #[inline(always)]
    pub(super) fn begin(&self, begin: Begin) -> Begin {
        if self.time | self.slice | self.cpu == 0 { Begin::Unlimited } else { begin }
    }
}

/// A run that is going on; dropping it is its end. Its fields are words that stay in registers:
/// nothing here takes the address of a `Run`.
pub(super) struct Run {
    words: &'static ThreadWords,
    control: ControlRef,
    number: u64,
    around: u64,
    limited: bool,
}

/// What a run is, for its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// It has none.
    Unlimited,
    /// It has some, and begins now.
    First,
    /// It has some, and goes on after a yield or a slice.
    Again,
}

/// This thread's words, if it has begun a run before and needs no preparation (see
/// [`crate::trap`]): then [`begin_unlimited`] will do.
#[inline(always)]
pub(super) fn words_if_ready() -> Option<&'static ThreadWords> {
    let words = arch::thread_words();
    // Both are 0 or 1.
    let ready = words.registered.load(Ordering::Relaxed) & words.prepared.load(Ordering::Relaxed);
    (ready != 0).then_some(words)
}

/// What [`begin`] does for a run without a limit, on a thread that is ready for it: the numbers of
/// the run and of the one around it.
#[inline(always)]
pub(super) fn begin_unlimited(words: &ThreadWords, control: ControlRef) -> (u64, u64) {
    number(words, control)
}

/// The end of a run that [`begin_unlimited`] began; as [`Run::end`].
#[inline(always)]
pub(super) fn end_unlimited(control: ControlRef, (number, around): (u64, u64)) -> bool {
    end(arch::thread_words(), control, number, around)
}

/// The end of run `number`: from now on, nobody ends it any more. Says whether it was doomed.
#[inline(always)]
fn end(words: &ThreadWords, control: ControlRef, number: u64, around: u64) -> bool {
    pause::point(Point::End);
    control.set_runner(0);
    words.run.store(around, Ordering::Release);
    let asked = words.request.load(Ordering::Relaxed) == number;
    if asked || words.doomed.load(Ordering::Relaxed) == number {
        return answered(words, number);
    }
    false
}

/// Gives the run that begins a number; and that of the run around it.
#[inline(always)]
fn number(words: &ThreadWords, control: ControlRef) -> (u64, u64) {
    pause::point(Point::Begin);
    let last = words.last.load(Ordering::Relaxed);
    let number = last & !COUNT | last.wrapping_add(1) & COUNT;
    words.last.store(number, Ordering::Relaxed);
    let around = words.run.load(Ordering::Relaxed);
    words.run.store(number, Ordering::Release);
    control.set_runner(number);
    (number, around)
}

/// Begins a run of `control`'s instance.
#[inline(always)]
pub(super) fn begin(control: ControlRef, begin: Begin) -> Result<Run> {
    let words = arch::thread_words();
    if words.registered.load(Ordering::Relaxed) == 0 {
        watch::introduce()?;
    }
    let limited = begin != Begin::Unlimited;
    if limited {
        prepare(words, control)?;
    }
    // First the number, then the limits: the watchdog may see the new run with the deadline of the
    // one around it, which holds for both, but never the other way round.
    let (number, around) = number(words, control);
    let run = Run { words, control, number, around, limited };
    if limited {
        arm(words, control, number, around, begin)?;
    }
    Ok(run)
}

impl Run {
    /// Ends the run; says whether somebody wanted to terminate it, who may have come too late for
    /// it to notice.
    #[inline(always)]
    pub(super) fn end(self) -> bool {
        let doomed = self.over();
        std::mem::forget(self);
        doomed
    }

    #[inline(always)]
    fn over(&self) -> bool {
        let Self { words, number, .. } = *self;
        if self.limited {
            disarm(words, self.control);
        }
        end(words, self.control, number, self.around)
    }
}

impl Drop for Run {
    #[inline(always)]
    fn drop(&mut self) {
        self.over();
    }
}

/// Whatever may fail before a run with limits begins.
#[inline(never)]
fn prepare(words: &ThreadWords, control: ControlRef) -> Result<()> {
    if words.blocked.load(Ordering::Relaxed) != 0 {
        return Err(Error::new(
            Status::SignalsBlocked,
            "SIGURG was blocked in this thread when it first ran a guest; time limits need it",
        ));
    }
    if control.with(|i| i.limits.slice != 0) && !vmctx::has_registers() {
        let Some(room) = Registers::allocate() else {
            return Err(Error::new(
                Status::OutOfMemory,
                "no memory for the registers of a guest whose time slice is over",
            ));
        };
        vmctx::give_registers(room);
    }
    Ok(())
}

/// Notes the limits of run `number`.
#[inline(never)]
fn arm(
    words: &ThreadWords,
    control: ControlRef,
    number: u64,
    around: u64,
    begin: Begin,
) -> Result<()> {
    let limits = control.with(|i| {
        i.limits.around = Around {
            deadline: words.deadline.load(Ordering::Relaxed),
            cpu_end: words.cpu_end.load(Ordering::Relaxed),
            cpu_check: words.cpu_check.load(Ordering::Relaxed),
        };
        if begin == Begin::First {
            i.limits.cpu_used = 0;
        }
        if i.limits.cpu != 0 {
            i.limits.cpu_begin = interrupt::processor_time();
        }
        i.limits
    });
    let now = now();
    // The earlier one of what a limit says and what holds around; 0 there means nothing.
    let earlier = |own: u64, around: u64| if around == 0 { own } else { own.min(around) };
    let mut next = u64::MAX;
    if limits.time != 0 {
        let end = earlier(now.saturating_add(limits.time), limits.around.deadline);
        words.deadline.store(end, Ordering::SeqCst);
        next = end;
    }
    if limits.cpu != 0 {
        let left = limits.cpu.saturating_sub(limits.cpu_used).max(1);
        let end = limits.cpu_begin.saturating_add(left);
        words.cpu_end.store(earlier(end, limits.around.cpu_end), Ordering::SeqCst);
        // It cannot be used up before as much time has passed.
        let check = earlier(now.saturating_add(left), limits.around.cpu_check);
        words.cpu_check.store(check, Ordering::SeqCst);
        next = next.min(check);
    }
    if limits.slice != 0 && around == 0 {
        words.sliced.store(number, Ordering::SeqCst);
        let end = now.saturating_add(limits.slice);
        words.slice_end.store(end, Ordering::SeqCst);
        next = next.min(end);
    }
    if next == u64::MAX { Ok(()) } else { watch::expect(next) }
}

/// The end of a run with limits.
#[inline(never)]
fn disarm(words: &ThreadWords, control: ControlRef) {
    control.with(|i| {
        let limits = &mut i.limits;
        if limits.slice != 0 && words.sliced.load(Ordering::Relaxed) == control.runner() {
            words.slice_end.store(0, Ordering::Release);
        }
        if limits.cpu != 0 {
            let used = interrupt::processor_time().saturating_sub(limits.cpu_begin);
            limits.cpu_used = limits.cpu_used.saturating_add(used);
            words.cpu_check.store(limits.around.cpu_check, Ordering::Release);
            words.cpu_end.store(limits.around.cpu_end, Ordering::Release);
        }
        if limits.time != 0 {
            words.deadline.store(limits.around.deadline, Ordering::Release);
        }
    });
}

/// The end of a run that somebody wanted to end, whether it still did so or not.
#[cold]
fn answered(words: &ThreadWords, number: u64) -> bool {
    // Whoever is just sending a signal holds the lock.
    let records = pause::is_on(Guard::EndLock).then(watch::lock);
    words.request.store(0, Ordering::Relaxed);
    let doomed = words.doomed.load(Ordering::Relaxed) == number;
    if doomed {
        words.doomed.store(0, Ordering::Relaxed);
    }
    drop(records);
    interrupt::let_signals_in();
    doomed
}

/// A run inside another one, of the same instance: time slices wait for its end.
pub(super) struct Nested(&'static ThreadWords);

impl Nested {
    pub(super) fn begin() -> Self {
        let words = arch::thread_words();
        words.nested.store(words.nested.load(Ordering::Relaxed) + 1, Ordering::Release);
        Self(words)
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        self.0.nested.store(self.0.nested.load(Ordering::Relaxed) - 1, Ordering::Release);
    }
}

/// What others want of the run that is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing, or nothing that can be granted now.
    GoOn,
    /// That it ends.
    End,
    /// That it is interrupted.
    Pause,
}

/// Asked by long operations of the runtime.
pub(super) fn wish() -> Wish {
    let words = arch::thread_words();
    let run = words.run.load(Ordering::Relaxed);
    if run == 0 || words.request.load(Ordering::Acquire) != run {
        return Wish::GoOn;
    }
    match reason() {
        Reason::Slice if words.may_pause(run) => Wish::Pause,
        Reason::Slice => Wish::GoOn,
        Reason::Deadline | Reason::Terminate => Wish::End,
    }
}

/// Why the run that goes on, or has just left, is to end.
pub(super) fn reason() -> Reason {
    Reason::of(arch::thread_words().reason.load(Ordering::Acquire))
}

/// Called by the host thunk on the host's stack when a request stands for the run that goes on:
/// before a host function is called (`back` is 0) and after. Returns the kind of exit to leave
/// with, or 0 to go on.
pub(crate) extern "C" fn asked_in_thunk(back: u32) -> u32 {
    if !pause::is_on(Guard::Thunk) {
        arch::thread_words().request.store(0, Ordering::SeqCst);
        return 0;
    }
    if reason() != Reason::Slice {
        return 3;
    }
    let words = arch::thread_words();
    let records = watch::lock();
    // Nobody can ask now; perhaps somebody wants more than the end of a slice meanwhile.
    if reason() != Reason::Slice {
        return 3;
    }
    let may = words.may_pause(words.run.load(Ordering::Relaxed));
    if !may {
        // It is for later: whoever asks looks for that from now on.
        words.request.store(0, Ordering::Relaxed);
    }
    drop(records);
    // A signal that is on its way comes now, not in the host function.
    interrupt::let_signals_in();
    if may && back != 0 { 5 } else { 0 }
}

impl InstanceRef {
    fn set_limits(&self, set: impl FnOnce(&mut Limits)) -> Result<()> {
        let lease = self.lease(&IDLE)?;
        lease.control.with(|i| set(&mut i.limits));
        lease.control.hot().open.set(false);
        Ok(())
    }

    /// Limits the time that each run and each resume from now on may take, host functions included,
    /// on a clock that does not jump; 0 lifts the limit. A run that takes longer ends as
    /// `TimedOut`: guest code at once, a host function when it returns.
    ///
    /// # Errors
    /// `InvalidHandle`, `Busy`.
    pub fn set_time_limit(&self, nanoseconds: u64) -> Result<()> {
        self.set_limits(|l| l.time = nanoseconds)
    }

    /// Gives each run and each resume from now on a slice of time, after which it is interrupted
    /// and comes back as `Preempted`; [`InstanceRef::resume`] continues it, on any thread. 0: no
    /// slices.
    ///
    /// # Errors
    /// `InvalidHandle`, `Busy`.
    pub fn set_time_slice(&self, nanoseconds: u64) -> Result<()> {
        self.set_limits(|l| l.slice = nanoseconds)
    }

    /// Limits the processor time that a run may use, that of its resumes included; 0 lifts the
    /// limit. A run that uses more ends as `TimedOut`.
    ///
    /// # Errors
    /// `InvalidHandle`, `Busy`.
    pub fn set_cpu_limit(&self, nanoseconds: u64) -> Result<()> {
        self.set_limits(|l| l.cpu = nanoseconds)
    }

    /// Ends the run that is going on, from any thread: it returns `Terminated` to whoever started
    /// it, guest code at once, a host function when it returns. A suspended run is abandoned. If
    /// nothing runs, nothing happens; the next run is not affected.
    ///
    /// # Errors
    /// `InvalidHandle`; `Busy` for a suspended member of a group of which another member runs.
    pub fn terminate(&self) -> Result<()> {
        loop {
            let (generation, state) = self.control.state();
            match state {
                _ if generation != self.generation => break,
                State::Ready | State::Faulted => return Ok(()),
                State::Free => break,
                State::Suspended | State::Preempted => {
                    let states = [State::Suspended, State::Preempted];
                    match Lease::claim(self.control, self.generation, &states) {
                        Ok(mut lease) => {
                            // Whoever uses the group may do so for long, or be this thread.
                            lease.join()?;
                            lease.set_next(State::Faulted);
                            super::run::abandon(lease.control);
                            return Ok(());
                        }
                        Err(e) if e.status() == Status::Forked => return Err(e),
                        // Somebody was faster.
                        Err(_) => {}
                    }
                }
                State::Running => {
                    let run = self.control.runner();
                    let going = || self.control.runner() == run;
                    let known = run != 0 && self.control.state() == (self.generation, state);
                    pause::point(Point::Doom);
                    if known && watch::terminate(run, going) || !pause::is_on(Guard::Wait) {
                        return Ok(());
                    }
                }
            }
            if let Err(e) = self.lease(&[])
                && matches!(e.status(), Status::InvalidHandle | Status::Forked)
            {
                return Err(e);
            }
            // A run is about to begin or has just ended, or somebody looks at the instance: what
            // it will be is known in a moment.
            std::thread::yield_now();
        }
        self.lease(&[]).map(drop)
    }
}
