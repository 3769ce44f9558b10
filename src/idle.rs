//! Idle instances: slots that were used and made pristine, kept together with their control block
//! and inner state for the next instance of the same module.
//!
//! ```text
//!  region ── Home { id, lists } ──► Lists   ┌ shard 0 ┐┌ shard 1 ┐ … each behind its own lock,
//!                                           │ m7 #12  ││ m7 #3   │   on cache lines of its own;
//!                                           │ m9 #40  ││         │   a thread uses its own shard
//!                                           └─────────┘└─────────┘
//! ```
//!
//! Creating an instance takes an idle one of its module from the thread's shard, and freeing puts
//! it back there: two locks that nobody else wants, and nothing else that is shared between
//! threads, no reference count either. Only a thread that finds nothing looks further: at other
//! shards, then at the region's unused slots, and last it takes the slot of another module.
//!
//! [`Lists`] are never freed but used again by later regions, so that [`Home`] is a plain number
//! that can be looked up without keeping the region alive. `owner` tells whose they are; it changes
//! only with all shards locked.
//!
//! A region that is closed and a module that is dropped take their idle instances with them.

use crate::arch;
use crate::error::{Error, Result, Status};
use crate::region::Rung;
use crate::stats::{End, Tally, Timed};
use crate::sys::fork::{Global, Process};
use crate::sys::lock::{Mutex, MutexGuard};
use crate::sys::reserve;
use crate::vmctx::{self, ControlRef};
use once_cell::race::OnceBox;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// Shards per region. More threads than that share.
const SHARDS: usize = 32;

/// Entries of the thread's own shard that are compared before the search is given up: a microsecond
/// or two, where what is saved is ten.
const SEARCH: usize = 4096;
/// The same for shards of others.
const SEARCH_ELSEWHERE: usize = 256;

/// Idle instances of a module that goes that are given up before others get the shard again.
const EVICT_AT_ONCE: usize = 64;

/// Most regions that exist at the same time in one process.
const MAX_LISTS: usize = 1 << 16;

#[derive(Debug, Default)]
struct Shard {
    /// The region whose list this is; 0: none.
    owner: u64,
    /// Instances created minus instances freed by threads of this shard.
    live: i64,
    /// Module id and control block; the one used last is last.
    idle: VecDeque<(u64, ControlRef)>,
    /// What threads of this shard counted.
    tally: Tally,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Aligned(Mutex<Shard>);

/// The idle instances of one region.
#[derive(Debug, Default)]
struct Lists {
    shards: [Aligned; SHARDS],
    /// Number of the process whose instances these are. In a forked child the locks above may be
    /// held by threads that are not there, and what they protect is the parent's.
    process: AtomicU64,
    /// Whether creating and running are timed.
    timed: AtomicBool,
}

impl Lists {
    #[inline(always)]
    fn is_here(&self) -> bool {
        Process::from_number(self.process.load(Ordering::Relaxed)).is_current()
    }
}

/// (All zeros at first: takes no room in the library's file.)
static ALL: [OnceBox<Lists>; MAX_LISTS] = [const { OnceBox::new() }; MAX_LISTS];
/// Indices in [`ALL`] that belong to no region now, and how many were ever made.
static UNUSED: Global<(Vec<u32>, u32)> = Global::new((Vec::new(), 0));
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// This thread's shard.
#[inline(always)]
fn own() -> usize {
    match arch::thread_words().shard.load(Ordering::Relaxed) {
        0 => choose(),
        n => n as usize - 1,
    }
}

/// Gives this thread a shard.
#[cold]
fn choose() -> usize {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS as u32;
    arch::thread_words().shard.store(n + 1, Ordering::Relaxed);
    n as usize
}

/// Where the idle instances of one region are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Home {
    id: u64,
    lists: &'static Lists,
}

/// What [`Home::park`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parked {
    /// The instance is idle now.
    Yes,
    /// Nobody wants it any more: free it for good.
    No,
}

impl Home {
    /// A home for a new region.
    ///
    /// # Errors
    /// `LimitExceeded` if there are too many regions.
    pub(crate) fn new(timed: bool) -> Result<Self> {
        let index = {
            let mut unused = UNUSED.lock();
            // In a forked child, locks of its parent's lists may be held by threads that are not
            // there: it never uses them.
            unused.0.retain(|n| ALL[*n as usize].get().is_some_and(|l| l.is_here()));
            match unused.0.pop() {
                Some(index) => index,
                None if (unused.1 as usize) < MAX_LISTS => {
                    let most = unused.1 as usize + 1;
                    let more = most.saturating_sub(unused.0.len());
                    reserve::try_reserve(&mut unused.0, more)?;
                    unused.1 += 1;
                    unused.1 - 1
                }
                None => {
                    let message = format!("a process can have {MAX_LISTS} regions");
                    return Err(Error::new(Status::LimitExceeded, message));
                }
            }
        };
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed) << 16 | u64::from(index);
        let lists = ALL[index as usize].get_or_init(Box::default);
        let home = Self { id, lists };
        lists.process.store(Process::current()?.number(), Ordering::Relaxed);
        lists.timed.store(timed, Ordering::Relaxed);
        for mut shard in home.all() {
            *shard = Shard { owner: id, ..Shard::default() };
        }
        Ok(home)
    }

    /// The number from which [`Home::of`] makes it again.
    pub(crate) fn id(self) -> u64 {
        self.id
    }

    /// The home with this number, of a region that exists or existed.
    #[inline(always)]
    pub(crate) fn of(id: u64) -> Option<Self> {
        let lists = ALL[(id & (MAX_LISTS as u64 - 1)) as usize].get()?;
        Some(Self { id, lists })
    }

    fn all(self) -> [MutexGuard<'static, Shard>; SHARDS] {
        self.lists.shards.each_ref().map(|s| s.0.lock())
    }

    /// This thread's shard, if the region still exists and is this process's.
    #[inline(always)]
    fn shard(self) -> Option<MutexGuard<'static, Shard>> {
        if !self.lists.is_here() {
            return None;
        }
        let shard = self.lists.shards[own()].0.lock();
        (shard.owner == self.id).then_some(shard)
    }

    /// Whether the region still exists, for this process.
    pub(crate) fn is_open(self) -> bool {
        self.shard().is_some()
    }

    /// Takes an idle instance of module `key` from this thread's shard. The caller has it for
    /// itself; it counts as alive.
    #[inline(always)]
    pub(crate) fn take(self, key: u64) -> Option<ControlRef> {
        let mut shard = self.shard()?;
        let found = take_from(&mut shard, key, SEARCH)?;
        shard.live += 1;
        shard.tally.created += 1;
        Some(found)
    }

    /// The same from any other shard.
    pub(crate) fn take_elsewhere(self, key: u64) -> Option<ControlRef> {
        let mut found = None;
        for other in self.lists.shards.iter().filter(|_| self.lists.is_here()) {
            let mut shard = other.0.lock();
            if shard.owner == self.id {
                found = take_from(&mut shard, key, SEARCH_ELSEWHERE);
            }
            if found.is_some() {
                shard.live += 1;
                shard.tally.created += 1;
                break;
            }
        }
        found
    }

    /// Takes an idle instance of any module, from this thread's shard first. It does not count as
    /// alive.
    pub(crate) fn take_any(self) -> Option<ControlRef> {
        let own = own();
        let shards = if self.lists.is_here() { SHARDS } else { 0 };
        (0..shards).find_map(|n| {
            let mut shard = self.lists.shards[(own + n) % SHARDS].0.lock();
            // The one that waited longest: the others are more likely to be wanted again.
            if shard.owner != self.id {
                return None;
            }
            shard.idle.pop_front().map(|(_, c)| c)
        })
    }

    /// The same with a look at all shards at once: nothing that becomes idle meanwhile is missed.
    #[cold]
    pub(crate) fn take_any_for_sure(self) -> Option<ControlRef> {
        if !self.lists.is_here() {
            return None;
        }
        let mut all = self.all();
        let mine = all.iter_mut().filter(|s| s.owner == self.id);
        mine.filter_map(|s| s.idle.pop_front()).map(|(_, c)| c).next()
    }

    /// Counts an instance that was created without an idle one.
    pub(crate) fn arrived(self) {
        if let Some(mut shard) = self.shard() {
            shard.live += 1;
            shard.tally.created += 1;
        }
    }

    /// Counts an instance that was freed for good, after a reset if its slot is pristine.
    pub(crate) fn left(self, reset: Option<Rung>) {
        if let Some(mut shard) = self.shard() {
            shard.live -= 1;
            if let Some(rung) = reset {
                shard.tally.reset(rung);
            }
        }
    }

    /// Counts an instance that was made fresh in its slot.
    pub(crate) fn renewed(self, rung: Rung) {
        if let Some(mut shard) = self.shard() {
            shard.tally.reset(rung);
        }
    }

    /// Counts the end of a run.
    #[cold]
    pub(crate) fn count(self, end: End) {
        if let Some(mut shard) = self.shard() {
            shard.tally.count(end);
        }
    }

    /// When something that is timed began; `None` if the region does not time.
    #[inline(always)]
    pub(crate) fn clock(self) -> Option<Instant> {
        if self.lists.timed.load(Ordering::Relaxed) { Some(Instant::now()) } else { None }
    }

    /// Counts how long it took.
    #[cold]
    pub(crate) fn time(self, what: Timed, since: Instant) {
        if let Some(mut shard) = self.shard() {
            shard.tally.time(what, since);
        }
    }

    /// What all threads counted.
    pub(crate) fn tally(self) -> Tally {
        let mut sum = Tally::default();
        for shard in self.lists.shards.iter().filter(|_| self.lists.is_here()) {
            let shard = shard.0.lock();
            if shard.owner == self.id {
                sum.add(&shard.tally);
            }
        }
        sum
    }

    /// Makes a free instance of module `key` idle, unless the region is gone or `wanted` says no.
    /// `before` is called once it is certain and before anybody can find it.
    #[inline(always)]
    pub(crate) fn park(
        self,
        key: u64,
        control: ControlRef,
        rung: Rung,
        wanted: impl FnOnce() -> bool,
        before: impl FnOnce(),
    ) -> Parked {
        let Some(mut shard) = self.shard() else { return Parked::No };
        if !wanted() || reserve::try_reserve_deque(&mut shard.idle).is_err() {
            return Parked::No;
        }
        before();
        shard.live -= 1;
        shard.tally.reset(rung);
        shard.idle.push_back((key, control));
        Parked::Yes
    }

    /// Number of instances alive in this process.
    pub(crate) fn live(self) -> u32 {
        if !self.lists.is_here() {
            return 0;
        }
        let sum: i64 = self.all().iter().filter(|s| s.owner == self.id).map(|s| s.live).sum();
        u32::try_from(sum).unwrap_or(0)
    }

    /// Closes the region's lists and lets go of what was idle.
    ///
    /// # Errors
    /// If `empty` and instances are alive, their number; nothing is closed then.
    pub(crate) fn close(self, empty: bool) -> std::result::Result<(), u32> {
        if !self.lists.is_here() {
            return Ok(());
        }
        let mut all = self.all();
        if all.iter().any(|s| s.owner != self.id) {
            return Ok(());
        }
        let live: i64 = all.iter().map(|s| s.live).sum();
        if empty && live > 0 {
            return Err(live as u32);
        }
        let idle = all.each_mut().map(|shard| std::mem::take(&mut **shard).idle);
        drop(all);
        // Their slots need not be given back: nobody can ask for one any more.
        idle.into_iter().flatten().for_each(|(_, c)| drop(vmctx::dissolve(c)));
        // There is room: `new` saw to that.
        UNUSED.lock().0.push((self.id & (MAX_LISTS as u64 - 1)) as u32);
        Ok(())
    }
}

/// The last one of module `key` in a shard.
#[inline(always)]
fn take_from(shard: &mut Shard, key: u64, most: usize) -> Option<ControlRef> {
    match shard.idle.back() {
        Some((k, _)) if *k == key => shard.idle.pop_back().map(|(_, c)| c),
        None => None,
        Some(_) => {
            let at = shard.idle.iter().rev().take(most).position(|(k, _)| *k == key)?;
            let at = shard.idle.len() - 1 - at;
            // The others stay in the order of their use: the first is the one to give up.
            shard.idle.remove(at).map(|(_, c)| c)
        }
    }
}

/// Takes every idle instance of module `key`, in whatever region, and gives it to `discard`, which
/// gives its slot back.
///
/// That is done with the shard locked: a slot is never neither in a list nor free, where somebody
/// who looks for one would be told that the region is full. A few at a time: requests want the
/// shard, too.
pub(crate) fn evict(key: u64, discard: impl Fn(ControlRef)) {
    let made = UNUSED.lock().1 as usize;
    for lists in ALL.iter().take(made).filter_map(OnceBox::get).filter(|l| l.is_here()) {
        for shard in &lists.shards {
            while evict_some(&mut shard.0.lock().idle, key, &discard) {}
        }
    }
}

/// The same for some of a list; whether there may be more.
fn evict_some(
    idle: &mut VecDeque<(u64, ControlRef)>,
    key: u64,
    discard: &impl Fn(ControlRef),
) -> bool {
    // So that the list is looked through no more often than that.
    let mut left = EVICT_AT_ONCE.max(idle.len() / EVICT_AT_ONCE);
    idle.retain(|(k, control)| {
        let goes = *k == key && left > 0;
        if goes {
            left -= 1;
            discard(*control);
        }
        !goes
    });
    left == 0
}
