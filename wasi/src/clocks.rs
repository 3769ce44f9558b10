//! Time as the guest sees it: the host's, a virtual one, or the embedder's.

use std::sync::Arc;

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

use crate::types::{Errno, value};

/// The clocks that exist. Processor time is refused: in a server it measures other people's
/// requests too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Nanoseconds since 1970.
    Realtime,
    /// Nanoseconds since some moment; never goes back.
    Monotonic,
}

impl Clock {
    /// The clock with this number: `Notsup` for processor time, `Inval` for what does not exist.
    pub fn from_raw(id: u32) -> Result<Clock, Errno> {
        match id {
            value::CLOCK_REALTIME => Ok(Clock::Realtime),
            value::CLOCK_MONOTONIC => Ok(Clock::Monotonic),
            value::CLOCK_PROCESS_CPUTIME | value::CLOCK_THREAD_CPUTIME => Err(Errno::Notsup),
            _ => Err(Errno::Inval),
        }
    }
}

/// Clocks of the embedder's own. `instance` is what [`crate::Context::set_user`] was given.
pub trait Clocks: Send + Sync {
    /// Nanoseconds.
    fn now(&self, instance: u64, clock: Clock) -> Result<u64, Errno>;
    /// Nanoseconds between two readings that can differ; not 0.
    fn resolution(&self, instance: u64, clock: Clock) -> Result<u64, Errno>;
}

/// Where time comes from.
#[derive(Clone, Default)]
pub enum ClockSource {
    /// The host.
    #[default]
    System,
    /// A time of its own for each context: starts at `realtime` nanoseconds since 1970, advances
    /// by `step` with each reading, and jumps to the end of a sleep at once.
    Virtual {
        /// The first reading of the realtime clock, less one step.
        realtime: u64,
        /// Nanoseconds per reading.
        step: u64,
    },
    /// The embedder.
    Custom(Arc<dyn Clocks>),
}

fn nanoseconds(t: Timespec) -> Result<u64, Errno> {
    let seconds = u64::try_from(t.tv_sec).map_err(|_| Errno::Overflow)?;
    let rest = u64::try_from(t.tv_nsec).map_err(|_| Errno::Overflow)?;
    seconds.checked_mul(1_000_000_000).and_then(|s| s.checked_add(rest)).ok_or(Errno::Overflow)
}

fn host(clock: Clock) -> ClockId {
    match clock {
        Clock::Realtime => ClockId::Realtime,
        Clock::Monotonic => ClockId::Monotonic,
    }
}

impl ClockSource {
    /// Reads `clock`. `elapsed` is the context's virtual time.
    pub(crate) fn now(&self, clock: Clock, user: u64, elapsed: &mut u64) -> Result<u64, Errno> {
        match self {
            ClockSource::System => nanoseconds(clock_gettime(host(clock))),
            ClockSource::Virtual { realtime, step } => {
                *elapsed = elapsed.saturating_add(*step);
                Ok(match clock {
                    Clock::Realtime => realtime.saturating_add(*elapsed),
                    Clock::Monotonic => *elapsed,
                })
            }
            ClockSource::Custom(clocks) => clocks.now(user, clock),
        }
    }

    pub(crate) fn resolution(&self, clock: Clock, user: u64) -> Result<u64, Errno> {
        match self {
            ClockSource::System => nanoseconds(clock_getres(host(clock))),
            ClockSource::Virtual { step, .. } => Ok((*step).max(1)),
            ClockSource::Custom(clocks) => clocks.resolution(user, clock),
        }
    }
}
