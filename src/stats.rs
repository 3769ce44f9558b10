//! What a region counts: by each thread in its own shard ([`crate::idle`]), under the lock that it
//! has taken anyway, so that counting shares nothing between threads. Ends of runs other than
//! returning take the lock for it; they cost more than that by themselves.

use crate::region::Rung;
use lucet_artifact::abi::TrapCode;
use std::time::Instant;

/// Buckets of a histogram: bucket `n` counts times of `2^n` to `2^(n+1)` nanoseconds.
pub const BUCKETS: usize = 40;
/// Room for the numbers of trap codes.
pub const TRAP_CODES: usize = 32;

/// How a run ended that did not return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Trapped(TrapCode),
    Terminated,
    TimedOut,
    Exited,
    HostError,
    OutOfFuel,
    Exception,
}

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timed {
    Create = 0,
    Run = 1,
}

/// Times, by powers of two.
pub type Histogram = [u64; BUCKETS];

/// Counts since the region was created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Instances created.
    pub created: u64,
    /// Slots made pristine, by the number of the [`Rung`].
    pub resets: [u64; 4],
    /// Runs that trapped, by the number of the [`TrapCode`].
    pub traps: [u64; TRAP_CODES],
    /// Runs that were terminated.
    pub terminated: u64,
    /// Runs that took longer than they may.
    pub timed_out: u64,
    /// Runs in which the guest asked to exit.
    pub exited: u64,
    /// Runs that ended because a host function failed.
    pub host_errors: u64,
    /// Runs whose fuel was used up.
    pub out_of_fuel: u64,
    /// Runs that an exception left.
    pub exceptions: u64,
    /// Times of creating instances and of stretches of running, if the region keeps them.
    pub latency: Option<Box<[Histogram; 2]>>,
}

impl Tally {
    pub(crate) fn count(&mut self, end: End) {
        let counter = match end {
            End::Trapped(code) => self.traps.get_mut(code as usize),
            End::Terminated => Some(&mut self.terminated),
            End::TimedOut => Some(&mut self.timed_out),
            End::Exited => Some(&mut self.exited),
            End::HostError => Some(&mut self.host_errors),
            End::OutOfFuel => Some(&mut self.out_of_fuel),
            End::Exception => Some(&mut self.exceptions),
        };
        if let Some(counter) = counter {
            *counter += 1;
        }
    }

    #[inline(always)]
    pub(crate) fn reset(&mut self, rung: Rung) {
        self.resets[rung as usize] += 1;
    }

    pub(crate) fn time(&mut self, what: Timed, since: Instant) {
        let nanoseconds = since.elapsed().as_nanos().max(1);
        let bucket = (nanoseconds.ilog2() as usize).min(BUCKETS - 1);
        let all = self.latency.get_or_insert_with(|| Box::new([[0; BUCKETS]; 2]));
        all[what as usize][bucket] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let pairs = self.resets.iter_mut().zip(&other.resets);
        let pairs = pairs.chain(self.traps.iter_mut().zip(&other.traps)).chain([
            (&mut self.created, &other.created),
            (&mut self.terminated, &other.terminated),
            (&mut self.timed_out, &other.timed_out),
            (&mut self.exited, &other.exited),
            (&mut self.host_errors, &other.host_errors),
            (&mut self.out_of_fuel, &other.out_of_fuel),
            (&mut self.exceptions, &other.exceptions),
        ]);
        for (sum, n) in pairs {
            *sum += n;
        }
        if let Some(theirs) = &other.latency {
            let ours = self.latency.get_or_insert_with(|| Box::new([[0; BUCKETS]; 2]));
            for (sum, n) in ours.iter_mut().flatten().zip(theirs.iter().flatten()) {
                *sum += n;
            }
        }
    }
}

/// What a region has done and holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instances alive.
    pub live: u32,
    /// Instances that could be created beside them.
    pub free: u32,
    /// Most slots that were in use at the same time: by instances alive, or kept for the next
    /// instance of the module they were used for last.
    pub high_water: u32,
    /// Bytes of memory that used slots keep for their next instances.
    pub resident_bytes: u64,
    /// What was counted.
    pub tally: Tally,
}
