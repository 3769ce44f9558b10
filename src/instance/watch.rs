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
use crate::sys::lock::{Condvar, Mutex, MutexGuard};
use crate::sys::{fork, interrupt};
use crate::trap;
use crate::vmctx;
use once_cell::sync::OnceCell;
use std::cell::RefCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
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

fn watch() -> &'static Watch {
    let mut w = &FIRST;
    for _ in 0..FORKS.load(Ordering::Relaxed) {
        w = w.child.get_or_init(|| Box::new(Watch::new()));
    }
    w
}

/// Keeps everybody who could ask a thread to end its run from doing so.
pub(super) fn lock() -> MutexGuard<'static, Vec<Record>> {
    watch().records.lock()
}

/// Nanoseconds since the first use of the clock, which does not jump (CLOCK_MONOTONIC); at least 1.
pub(super) fn now() -> u64 {
    static START: OnceCell<Instant> = OnceCell::new();
    let start = fork::fill(&START, || Ok(Instant::now()));
    start.map_or(0, |s| s.elapsed().as_nanos() as u64) + 1
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
    static MINE: RefCell<Option<Mine>> = const { RefCell::new(None) };
}

/// Makes this thread known, at its first run in this process.
#[cold]
pub(super) fn introduce() -> Result<()> {
    static INSTALLED: OnceCell<()> = OnceCell::new();
    fork::fill(&INSTALLED, || {
        interrupt::after_fork_in_child(forked);
        interrupt::install(trap::interrupted)
    })?;
    let (thread, words) = (interrupt::thread_id(), arch::thread_words());
    let mine = Mine { thread, forks: FORKS.load(Ordering::Relaxed) };
    // What it replaces belongs to the parent process.
    if MINE.try_with(|m| m.replace(Some(mine))).is_err() {
        return Err(Error::new(
            Status::WrongState,
            "the thread is about to exit: its last destructors cannot run guests any more",
        ));
    }
    words.last.store(first_number(thread), Ordering::Relaxed);
    words.blocked.store(u32::from(interrupt::is_blocked()), Ordering::Relaxed);
    lock().push(Record { thread, words });
    words.registered.store(1, Ordering::Relaxed);
    Ok(())
}

/// Sees to it that the watchdog looks at `deadline`, which this thread's words hold already.
pub(super) fn expect(deadline: u64) {
    let watch = watch();
    if deadline < watch.next.load(Ordering::SeqCst) {
        watch.asked.fetch_min(deadline, Ordering::SeqCst);
        rouse(watch);
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

/// Terminates run number `run` if it is going on, which `still` tells.
pub(super) fn terminate(run: u64, still: impl Fn() -> bool) {
    let watch = watch();
    let records = watch.records.lock();
    let Some(record) = records.iter().find(|r| r.thread == thread_of(run)) else { return };
    if !still() {
        return;
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
            return;
        }
    }
    ask(record, Reason::Terminate);
    drop(records);
    rouse(watch);
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
    match (record.words.doomed.load(Ordering::SeqCst), record.words.deadline.load(Ordering::SeqCst))
    {
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
        let doomed = record.words.doomed.load(Ordering::SeqCst) != 0;
        ask(record, if doomed { Reason::Terminate } else { Reason::Deadline });
    }
    now + AGAIN.as_nanos() as u64
}
