//! Whoever ends runs: the list of threads that run guests, the watchdog that knows when their time
//! is up, and how a thread is asked.
//!
//! ```text
//!  ask: reason, request = run     fence of all threads     phase == 1? send the signal
//! ```
//!
//! * Nothing is sent to a thread that is in the host: the fence orders "request, then look at
//!   phase" against "phase, then look at request" on the other side.
//! * A signal that arrives while the pc is in the glue does nothing; the watchdog looks again.
//! * A thread's words may be used by others while they hold the list's lock: a thread that ends
//!   takes itself off the list first, with the lock.
//! * The watchdog is started by the first deadline in a process, and sleeps without a timeout when
//!   no deadline stands. Setting a deadline wakes it only if it would sleep past it.

use super::deadline::{first_number, is_older, thread_of};
use crate::arch::{self, ThreadWords};
use crate::error::{Error, Result, Status};
use crate::pause::{self, Guard, Point};
use crate::sys::lock::{Condvar, Mutex, MutexGuard};
use crate::sys::{fork, interrupt, reserve, thread};
use crate::trap;
use crate::vmctx;
use once_cell::sync::OnceCell;
use std::cell::RefCell;
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// How long a sender waits before it looks whether a request was answered.
const AGAIN: Duration = Duration::from_micros(50);

/// Why a run is to end, or to be interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Deadline = 1,
    Terminate = 2,
    Slice = 3,
}

impl Reason {
    /// The reason with this number.
    pub(crate) fn of(number: u32) -> Self {
        match number {
            2 => Self::Terminate,
            3 => Self::Slice,
            _ => Self::Deadline,
        }
    }
}

/// What others know about a thread that runs guests.
#[derive(Debug)]
pub(super) struct Record {
    thread: i32,
    words: &'static ThreadWords,
}

/// What the watchdog and the threads of one process share.
#[derive(Debug)]
struct Watch {
    /// Threads are in the list while they live; who holds the lock may use their words.
    records: Mutex<Vec<Record>>,
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

/// In the child, on its only thread: nobody knows of it any more.
extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    arch::thread_words().registered.store(0, Ordering::Relaxed);
}

#[inline(always)]
fn watch() -> &'static Watch {
    match FORKS.load(Ordering::Relaxed) {
        0 => &FIRST,
        forks => watch_after(forks),
    }
}

/// The one of a process this many forks from the first.
#[cold]
fn watch_after(forks: u32) -> &'static Watch {
    let mut w = &FIRST;
    for _ in 0..forks {
        w = w.child.get_or_init(|| Box::new(Watch::new()));
    }
    w
}

/// Keeps everybody who could ask a thread to end its run from doing so.
pub(super) fn lock() -> MutexGuard<'static, Vec<Record>> {
    watch().records.lock()
}

/// Nanoseconds on a clock that does not jump; at least 1.
#[inline(always)]
pub(super) fn now() -> u64 {
    interrupt::time().max(1)
}

/// The end of a thread that did not return from its runs.
#[cold]
fn abandoned() {
    let words = arch::thread_words();
    words.phase.store(0, Ordering::Relaxed);
    words.run.store(0, Ordering::Release);
    let last = words.last.load(Ordering::Relaxed);
    vmctx::abandoned::abandon(|run| thread_of(run) == thread_of(last));
}

/// A thread on the list. Dropped with the thread, which takes it off the list.
struct Mine {
    thread: i32,
    forks: u32,
}

impl Drop for Mine {
    fn drop(&mut self) {
        drop(vmctx::take_registers());
        if self.forks == FORKS.load(Ordering::Relaxed) {
            arch::thread_words().registered.store(0, Ordering::Relaxed);
            lock().retain(|r| r.thread != self.thread);
            if !arch::current().is_null() {
                abandoned();
            }
        }
    }
}

thread_local! {
    static MINE: RefCell<ManuallyDrop<Option<Mine>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
}

/// The end of a thread.
fn leave() {
    MINE.with(|m| drop(m.borrow_mut().take()));
}

/// Makes this thread known, at its first run in this process.
#[cold]
pub(super) fn introduce() -> Result<()> {
    static INSTALLED: OnceCell<()> = OnceCell::new();
    fork::fill(&INSTALLED, || {
        interrupt::after_fork_in_child(forked)?;
        interrupt::install(trap::interrupted)
    })?;
    let (thread, words) = (interrupt::thread_id(), arch::thread_words());
    let mine = Mine { thread, forks: FORKS.load(Ordering::Relaxed) };
    thread::at_end(leave)?;
    // What there may be belongs to the parent process.
    leave();
    let mut records = lock();
    reserve::try_reserve(&mut records, 1)?;
    MINE.with(|m| **m.borrow_mut() = Some(mine));
    words.last.store(first_number(thread), Ordering::Relaxed);
    words.blocked.store(u32::from(interrupt::is_blocked()), Ordering::Relaxed);
    records.push(Record { thread, words });
    drop(records);
    words.registered.store(1, Ordering::Relaxed);
    Ok(())
}

/// Sees to it that somebody looks at `deadline`, which this thread's words hold already.
///
/// # Errors
/// `OutOfMemory` if there is no watchdog and none can be started.
#[inline(always)]
pub(super) fn expect(deadline: u64) -> Result<()> {
    let watch = watch();
    if deadline < watch.next.load(Ordering::SeqCst) {
        watch.asked.fetch_min(deadline, Ordering::SeqCst);
        return rouse(watch);
    }
    Ok(())
}

/// Asks a thread to end its run, or to interrupt it; its record is in the list that the caller has
/// locked.
fn ask(record: &Record, run: u64, reason: Reason) {
    let words = record.words;
    if run == 0 {
        return;
    }
    words.reason.store(reason as u32, Ordering::Release);
    words.request.store(run, Ordering::SeqCst);
    interrupt::fence();
    // If the run goes on now, its end sees the request and waits for the lock that we hold: the
    // signal cannot meet a later one.
    let same = words.run.load(Ordering::SeqCst) == run || !pause::is_on(Guard::Number);
    let in_guest = words.phase.load(Ordering::SeqCst) == 1 || !pause::is_on(Guard::Phase);
    if same && in_guest {
        pause::point(Point::Send);
        interrupt::send(record.thread);
    }
}

/// Terminates run number `run` if it is going on, which `still` tells; says whether it was.
pub(super) fn terminate(run: u64, still: impl Fn() -> bool) -> bool {
    let watch = watch();
    let records = watch.records.lock();
    let Some(record) = records.iter().find(|r| r.thread == thread_of(run)) else {
        // Begun in the parent process: the thread that forked is the only one here.
        return true;
    };
    let still = || still() || !pause::is_on(Guard::Still);
    if !still() {
        return false;
    }
    // Of two runs inside one another the outer one counts, which began earlier.
    let doomed = &record.words.doomed;
    let before = doomed.load(Ordering::SeqCst);
    if before == 0 || is_older(run, before) {
        doomed.store(run, Ordering::SeqCst);
        interrupt::fence();
        if !still() {
            // It ended before it could see this (as did one inside it); otherwise its end waits for
            // the lock.
            doomed.store(0, Ordering::SeqCst);
            return false;
        }
    }
    // That run, or one inside it.
    ask(record, record.words.run.load(Ordering::SeqCst), Reason::Terminate);
    drop(records);
    // Without anybody to look again the request still stands: the next host call sees it.
    let _ = rouse(watch);
    true
}

/// The embedder looks after deadlines itself, with [`check_deadlines`].
static OWN_TIMER: AtomicBool = AtomicBool::new(false);

/// Whether the library may start a thread that looks after deadlines.
///
/// # Errors
/// `WrongState` if it has one already and may not any more.
pub fn set_watchdog(allowed: bool) -> Result<()> {
    let watch = watch();
    let _records = watch.records.lock();
    if !allowed && watch.started.load(Ordering::Acquire) {
        return Err(Error::new(
            Status::WrongState,
            "the watchdog was started by the first time limit or termination of this process: \
             decide before",
        ));
    }
    OWN_TIMER.store(!allowed, Ordering::Release);
    Ok(())
}

/// Starts the watchdog, or wakes it.
#[cold]
fn rouse(watch: &'static Watch) -> Result<()> {
    if OWN_TIMER.load(Ordering::Acquire) {
        return Ok(());
    }
    if !watch.started.swap(true, Ordering::AcqRel) {
        let made = thread::start(128 << 10, watchdog);
        return made.map_err(|e| {
            watch.started.store(false, Ordering::Release);
            e.context("the thread that looks after time limits")
        });
    }
    // With the lock, the watchdog is either waiting or has yet to look.
    drop(watch.records.lock());
    watch.wake.notify_one();
    Ok(())
}

/// The watchdog's thread.
extern "C" fn watchdog(_: *mut c_void) -> *mut c_void {
    interrupt::block_all_signals();
    thread::set_name(c"lucet-watchdog");
    patrol(watch())
}

/// The watchdog.
fn patrol(watch: &'static Watch) -> ! {
    let mut records = watch.records.lock();
    loop {
        let (now, next) = round(watch, &records);
        if next == u64::MAX {
            watch.wake.wait(&mut records);
        } else {
            let time = Duration::from_nanos(next.saturating_sub(now).max(1_000));
            watch.wake.wait_for(&mut records, time);
        }
    }
}

/// Looks at every thread once; returns when that was and when to look again.
fn round(watch: &Watch, records: &[Record]) -> (u64, u64) {
    loop {
        let now = now();
        let asked = watch.asked.swap(u64::MAX, Ordering::SeqCst);
        let mut next = if asked > now { asked } else { u64::MAX };
        for record in records {
            next = next.min(inspect(record, now));
        }
        watch.next.store(next, Ordering::SeqCst);
        // A deadline that was set before the thread could see `next`. (What is due was asked.)
        if records.iter().any(|r| (now + 1..next).contains(&first_event(r))) {
            continue;
        }
        return (now, next);
    }
}

/// Does once what the watchdog does all the time: for embedders with a timer of their own. Returns
/// in how many nanoseconds to call it again; `u64::MAX`: when a run with a limit begins.
pub fn check_deadlines() -> u64 {
    let watch = watch();
    let records = watch.records.lock();
    let (now, next) = round(watch, &records);
    if next == u64::MAX { next } else { next.saturating_sub(now) }
}

/// When a record needs attention next: 0 is at once, `u64::MAX` never.
fn first_event(record: &Record) -> u64 {
    let words = record.words;
    if words.doomed.load(Ordering::SeqCst) != 0 {
        return 0;
    }
    let set = [&words.deadline, &words.slice_end, &words.cpu_check].map(|w| {
        let at = w.load(Ordering::SeqCst);
        if at == 0 { u64::MAX } else { at }
    });
    set.into_iter().fold(u64::MAX, u64::min)
}

/// Asks a thread whose time is up; returns when to look again.
fn inspect(record: &Record, now: u64) -> u64 {
    let words = record.words;
    let run = words.run.load(Ordering::SeqCst);
    let event = first_event(record);
    if event > now {
        return event;
    }
    let again = now + AGAIN.as_nanos() as u64;
    let passed = |at: u64| at != 0 && at <= now;
    let mut reason = None;
    let mut next = again;
    if words.doomed.load(Ordering::SeqCst) != 0 {
        reason = Some(Reason::Terminate);
    } else if passed(words.deadline.load(Ordering::SeqCst)) {
        reason = Some(Reason::Deadline);
    } else {
        let check = words.cpu_check.load(Ordering::SeqCst);
        if passed(check) {
            let left = processor_time_left(record);
            if left == 0 {
                reason = Some(Reason::Deadline);
            } else {
                // What is left cannot be used up before as much time has passed. If the words were
                // changed by the run's end or a run inside it, they are right as they are.
                let later = now.saturating_add(left.max(AGAIN.as_nanos() as u64));
                let (set, get) = (Ordering::SeqCst, Ordering::Relaxed);
                let _ = words.cpu_check.compare_exchange(check, later, set, get);
                next = first_event(record).max(now + 1);
            }
        }
        if reason.is_none() && passed(words.slice_end.load(Ordering::SeqCst)) {
            // While another run is inside, it is looked for the end of that.
            next = again;
            reason = words.may_pause(run).then_some(Reason::Slice);
        }
    }
    // A limit that had passed by `now` belongs to this run or one around it, if the run is still
    // the same: one that began later has no limit that has passed by then.
    if let Some(reason) = reason
        && words.run.load(Ordering::SeqCst) == run
    {
        pause::point(Point::Due);
        ask(record, run, reason);
    }
    next
}

/// Processor time that a thread may use before its run must end.
fn processor_time_left(record: &Record) -> u64 {
    let end = record.words.cpu_end.load(Ordering::SeqCst);
    // A thread on the list lives; should the system refuse to tell, the time counts as used.
    let used = interrupt::processor_time_of(record.thread).unwrap_or(u64::MAX);
    if end == 0 { u64::MAX } else { end.saturating_sub(used) }
}
