//! Ending runs from outside: deadlines and [`InstanceRef::terminate`], without a single instruction
//! in compiled code for it.
//!
//! ```text
//!  thread that runs a guest                        watchdog (or whoever calls terminate)
//!  ─────────────────────────                       ─────────────────────────────────────
//!  begin: run = n, deadline                        deadline passed:
//!  phase = 1 ── guest code ── phase = 0              request = n
//!      host call: phase = 0, request == run?         fence of all threads
//!                 leave                              phase == 1? send the signal
//!      return:    phase = 1, request == run?         not gone after 50 µs? once more
//!                 leave
//!  signal: request == run and pc in guest code?
//!          leave
//!  end: targeted? take the lock, let the signal in
//! ```
//!
//! * Nothing is sent to a thread that is in the host: the fence orders "request, then look at
//!   phase" against "phase, then look at request" on the other side. A host function is not even
//!   entered once a request stands, and a run that was targeted does not return to its caller
//!   before a signal on its way has arrived. So the host never sees `EINTR` because of us.
//! * A signal that arrives while the pc is in the glue does nothing; the sender looks again.
//! * `run` is a number that each thread counts up: a request for a run that has ended is not
//!   answered by the next one.
//! * The watchdog is started by the first deadline in a process, and sleeps without a timeout when
//!   no deadline stands. Setting a deadline wakes it only if it would sleep past it.
//!
//! Runs inside one another (a host function runs another instance) keep the earlier of their
//! deadlines.

use super::{IDLE, InstanceRef};
use crate::arch::{self, ThreadWords};
use crate::error::{Error, Result, Status};
use crate::sys::{fork, interrupt};
use crate::trap;
use crate::vmctx::{ControlRef, State};
use once_cell::sync::OnceCell;
use parking_lot::{Condvar, Mutex};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long a sender waits before it looks whether a request was answered.
const AGAIN: Duration = Duration::from_micros(50);

/// Why a run was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Deadline = 1,
    Terminate = 2,
}

/// What others know about a thread that runs guests.
#[derive(Debug)]
struct Record {
    thread: i32,
    words: &'static ThreadWords,
    /// When the run that is going on must end, in nanoseconds of [`now`]; 0: never.
    deadline: AtomicU64,
    /// The run that is being terminated, until it is over; 0: none.
    doomed: AtomicU32,
}

/// What the watchdog and the threads of one process share.
#[derive(Debug)]
struct Watch {
    /// Threads are in the list while they live; who holds the lock may use their words.
    records: Mutex<Vec<Arc<Record>>>,
    wake: Condvar,
    /// When the watchdog will look next; `u64::MAX`: when it is woken.
    next: AtomicU64,
    /// The earliest deadline for which the watchdog was woken and that it has not heard of yet. It
    /// sleeps until then even if that run is over by the time it looks: otherwise each of many
    /// short runs would have to wake it.
    asked: AtomicU64,
    started: AtomicBool,
    /// The one that a forked child uses: there the lock may be held by a thread that is gone.
    child: OnceLock<Box<Watch>>,
}

impl Watch {
    const fn new() -> Self {
        Self {
            records: Mutex::new(Vec::new()),
            wake: Condvar::new(),
            next: AtomicU64::new(u64::MAX),
            asked: AtomicU64::new(u64::MAX),
            started: AtomicBool::new(false),
            child: OnceLock::new(),
        }
    }
}

static FIRST: Watch = Watch::new();
/// Number of forks between the process that loaded the library and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

fn watch() -> &'static Watch {
    let mut w = &FIRST;
    for _ in 0..FORKS.load(Ordering::Relaxed) {
        w = w.child.get_or_init(|| Box::new(Watch::new()));
    }
    w
}

/// Nanoseconds since the first use of the clock, which does not jump (CLOCK_MONOTONIC); at least 1.
fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1
}

/// This thread's record. Dropped with the thread, which takes it off the list.
struct Mine {
    record: Arc<Record>,
    forks: u32,
    last: Cell<u32>,
    /// The signal is blocked in this thread: deadlines could not be kept.
    blocked: bool,
}

impl Drop for Mine {
    fn drop(&mut self) {
        if self.forks == FORKS.load(Ordering::Relaxed) {
            watch().records.lock().retain(|r| !Arc::ptr_eq(r, &self.record));
        }
    }
}

thread_local! {
    static MINE: RefCell<Option<Rc<Mine>>> = const { RefCell::new(None) };
}

/// This thread's record, made at its first run in this process.
#[inline(always)]
fn mine() -> Result<Rc<Mine>> {
    let forks = FORKS.load(Ordering::Relaxed);
    match MINE.with_borrow(|m| m.as_ref().filter(|m| m.forks == forks).cloned()) {
        Some(m) => Ok(m),
        None => introduce(forks),
    }
}

/// Makes this thread's record.
#[cold]
fn introduce(forks: u32) -> Result<Rc<Mine>> {
    static INSTALLED: OnceCell<()> = OnceCell::new();
    fork::fill(&INSTALLED, || {
        interrupt::after_fork_in_child(count_fork);
        interrupt::install(trap::interrupted)
    })?;
    let record = Arc::new(Record {
        thread: interrupt::thread_id(),
        words: arch::thread_words(),
        deadline: AtomicU64::new(0),
        doomed: AtomicU32::new(0),
    });
    watch().records.lock().push(record.clone());
    let blocked = interrupt::is_blocked();
    let mine = Rc::new(Mine { record, forks, last: Cell::new(0), blocked });
    MINE.set(Some(mine.clone()));
    Ok(mine)
}

/// A run that is going on; dropping it is its end.
pub(super) struct Run {
    mine: Rc<Mine>,
    control: ControlRef,
    number: u32,
    around: u32,
    deadline_around: u64,
}

/// Notes the deadline of a run that may take `limit` nanoseconds.
fn set_deadline(mine: &Mine, limit: u64, deadline_around: u64) -> Result<()> {
    if mine.blocked {
        return Err(Error::new(
            Status::SignalsBlocked,
            "SIGURG was blocked in this thread when it first ran a guest; time limits need it",
        ));
    }
    let own = now().saturating_add(limit);
    let deadline = if deadline_around == 0 { own } else { own.min(deadline_around) };
    mine.record.deadline.store(deadline, Ordering::SeqCst);
    let watch = watch();
    if deadline < watch.next.load(Ordering::SeqCst) {
        watch.asked.fetch_min(deadline, Ordering::SeqCst);
        rouse(watch);
    }
    Ok(())
}

/// Begins a run of `control`'s instance that may take `limit` nanoseconds; 0: any time.
#[inline(always)]
pub(super) fn begin(control: ControlRef, limit: u64) -> Result<Run> {
    let mine = mine()?;
    let number = mine.last.get().wrapping_add(1).max(1);
    mine.last.set(number);
    let record = &mine.record;
    let around = record.words.run.load(Ordering::Relaxed);
    let deadline_around = record.deadline.load(Ordering::Relaxed);
    // First the number, then the deadline: the watchdog may see the new run with the deadline of
    // the one around it, which holds for both, but never the other way round.
    record.words.run.store(number, Ordering::Release);
    control.set_runner(record.thread, number);
    let run = Run { mine, control, number, around, deadline_around };
    if limit != 0 {
        set_deadline(&run.mine, limit, deadline_around)?;
    }
    Ok(run)
}

impl Drop for Run {
    #[inline(always)]
    fn drop(&mut self) {
        let record = &self.mine.record;
        if record.deadline.load(Ordering::Relaxed) != self.deadline_around {
            record.deadline.store(self.deadline_around, Ordering::Release);
        }
        self.control.set_runner(record.thread, 0);
        record.words.run.store(self.around, Ordering::Release);
        let asked = record.words.request.load(Ordering::Relaxed) == self.number;
        if asked || record.doomed.load(Ordering::Relaxed) == self.number {
            self.answered();
        }
    }
}

impl Run {
    /// The end of a run that somebody wanted to end, whether it still did so or not.
    #[cold]
    fn answered(&self) {
        let record = &self.mine.record;
        // Whoever is just sending a signal holds the lock.
        let records = watch().records.lock();
        record.words.request.store(0, Ordering::Relaxed);
        if record.doomed.load(Ordering::Relaxed) == self.number {
            record.doomed.store(0, Ordering::Relaxed);
        }
        drop(records);
        interrupt::let_signals_in();
    }
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

/// Asks a thread to end its run; its record is in the list that the caller has locked.
fn ask(record: &Record, reason: Reason) {
    let words = record.words;
    let run = words.run.load(Ordering::Acquire);
    if run == 0 {
        return;
    }
    words.reason.store(reason as u32, Ordering::Release);
    words.request.store(run, Ordering::SeqCst);
    interrupt::fence();
    if words.phase.load(Ordering::SeqCst) == 1 {
        interrupt::send(record.thread);
    }
}

/// Starts the watchdog, or wakes it.
#[cold]
fn rouse(watch: &'static Watch) {
    if !watch.started.swap(true, Ordering::AcqRel) {
        let name = "lucet-watchdog".to_owned();
        let made = std::thread::Builder::new().name(name).stack_size(128 << 10).spawn(move || {
            interrupt::block_all_signals();
            patrol(watch);
        });
        if made.is_err() {
            watch.started.store(false, Ordering::Release);
        }
        return;
    }
    // With the lock, the watchdog is either waiting or has yet to look.
    drop(watch.records.lock());
    watch.wake.notify_one();
}

/// The watchdog.
fn patrol(watch: &'static Watch) {
    let mut records = watch.records.lock();
    loop {
        let now = now();
        let asked = watch.asked.swap(u64::MAX, Ordering::SeqCst);
        let mut next = if asked > now { asked } else { u64::MAX };
        for record in records.iter() {
            next = next.min(inspect(record, now));
        }
        watch.next.store(next, Ordering::SeqCst);
        // A deadline that was set before the thread could see `next`. (What is due was asked.)
        if records.iter().any(|r| (now + 1..next).contains(&first_event(r))) {
            continue;
        }
        if next == u64::MAX {
            watch.wake.wait(&mut records);
        } else {
            let time = Duration::from_nanos(next.saturating_sub(now).max(1_000));
            watch.wake.wait_for(&mut records, time);
        }
    }
}

/// When a record needs attention next.
fn first_event(record: &Record) -> u64 {
    match (record.doomed.load(Ordering::SeqCst), record.deadline.load(Ordering::SeqCst)) {
        (0, 0) => u64::MAX,
        (0, deadline) => deadline,
        _ => 0,
    }
}

/// Asks a thread whose time is up; returns when to look again.
fn inspect(record: &Record, now: u64) -> u64 {
    let run = record.words.run.load(Ordering::SeqCst);
    let event = first_event(record);
    if event > now {
        return event;
    }
    // The deadline belongs to this run or one around it only if the run is still the same.
    if record.words.run.load(Ordering::SeqCst) == run {
        let doomed = record.doomed.load(Ordering::SeqCst) != 0;
        ask(record, if doomed { Reason::Terminate } else { Reason::Deadline });
    }
    now + AGAIN.as_nanos() as u64
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
        let watch = watch();
        let records = watch.records.lock();
        let (thread, run) = self.control.runner();
        let Some(record) = records.iter().find(|r| r.thread == thread).filter(|_| run != 0) else {
            return Ok(());
        };
        if self.control.state() != (self.generation, State::Running) {
            return Ok(());
        }
        record.doomed.store(run, Ordering::SeqCst);
        interrupt::fence();
        if self.control.runner() != (thread, run) {
            // It ended before it could see this; otherwise its end waits for the lock.
            record.doomed.store(0, Ordering::SeqCst);
            return Ok(());
        }
        ask(record, Reason::Terminate);
        drop(records);
        rouse(watch);
        Ok(())
    }
}
