//! The time and the memory that one compilation has left.
//!
//! Time is looked at between functions and while one is read; a pass of the code generator cannot
//! be interrupted, so how long one function can take is bounded by other limits. Memory is shared
//! out: a thread takes what a function is estimated to need before it begins and waits if other
//! threads have it, so many threads with a large function each do not add up.

use crate::error::{Class, Diagnostic};
use crate::options::Options;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of memory that a byte of a body is worth before more is known: what plain arithmetic
/// takes; [`Taken::at_least`] corrects it.
const PER_BODY_BYTE: u64 = 256;

/// The budget of a compilation.
#[derive(Debug)]
pub struct Budget {
    end: Option<Instant>,
    time: Duration,
    memory: u64,
    free: Mutex<u64>,
    freed: Condvar,
}

/// Memory taken by a function; given back when dropped.
#[derive(Debug)]
pub struct Taken<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    /// The budget for a module of `bytes`, beginning now.
    #[must_use]
    pub fn new(options: &Options, bytes: usize) -> Self {
        let (time, memory) =
            (options.limits.time(bytes as u64), options.limits.memory(bytes as u64));
        // Half is for what is there already: the module, finished code, the artifact.
        let half = memory / 2;
        Self {
            end: Instant::now().checked_add(time),
            time,
            memory: half,
            free: Mutex::new(half),
            freed: Condvar::new(),
        }
    }

    /// Whether there is time left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// An error if there is no time left.
    ///
    /// # Errors
    ///
    /// [`Class::Limit`].
    pub fn check(&self) -> Result<(), Diagnostic> {
        if self.is_over() { Err(self.over()) } else { Ok(()) }
    }

    /// An error if a result that grows piece by piece has taken what is there for results.
    ///
    /// # Errors
    ///
    /// [`Class::Limit`].
    pub fn check_size(&self, bytes: usize) -> Result<(), Diagnostic> {
        if bytes as u64 <= self.memory {
            return Ok(());
        }
        let m = format!("the result takes more than {} MiB of memory", self.memory >> 20);
        let help = "split the module, or raise the limit with --limit memory=BYTES";
        Err(Diagnostic::new(Class::Limit, m).help(help))
    }

    /// That the time is over.
    #[must_use]
    pub fn over(&self) -> Diagnostic {
        let m = format!("the module was not compiled within {} s", self.time.as_secs());
        Diagnostic::new(Class::Limit, m)
            .help("split it, use -O0, or raise the limit with --limit time=SECONDS")
    }

    /// Waits for memory for a function with a body of so many bytes.
    #[must_use]
    pub fn take_for_body(&self, bytes: u64) -> Taken<'_> {
        self.take(bytes.saturating_mul(PER_BODY_BYTE))
    }

    /// Waits for so many bytes; one that needs more than there is gets all of it.
    fn take(&self, bytes: u64) -> Taken<'_> {
        let bytes = bytes.min(self.memory);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = self.freed.wait_while(free, |free| *free < bytes);
        *enough.unwrap_or_else(PoisonError::into_inner) -= bytes;
        Taken { budget: self, bytes }
    }
}

impl<'a> Taken<'a> {
    /// Takes `bytes` instead, if that is more. What was taken is given back first: a thread that
    /// waits holds nothing, so threads cannot wait for each other.
    #[must_use]
    pub fn at_least(self, bytes: u64) -> Self {
        if bytes <= self.bytes {
            return self;
        }
        let budget = self.budget;
        drop(self);
        budget.take(bytes)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut free = self.budget.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free += self.bytes;
        drop(free);
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limit;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn budget(memory: u64) -> Budget {
        let mut o = Options::default();
        o.limits.set(Limit::Memory, memory);
        Budget::new(&o, 0)
    }

    #[test]
    fn no_more_is_out_than_there_is() {
        let budget = budget(2000);
        let (out, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|s| {
            for i in 0..8_u64 {
                let (budget, out, most) = (&budget, &out, &most);
                s.spawn(move || {
                    for n in 0..500 {
                        let taken = budget.take(100 * (1 + (n + i) % 5));
                        let taken = taken.at_least(50 * ((n * i) % 25));
                        let now = out.fetch_add(taken.bytes, Ordering::SeqCst) + taken.bytes;
                        most.fetch_max(now, Ordering::SeqCst);
                        out.fetch_sub(taken.bytes, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 1000);
        assert_eq!(*budget.free.lock().unwrap(), 1000);
    }

    #[test]
    fn what_is_too_large_runs_alone() {
        let budget = budget(2000);
        let taken = budget.take_for_body(1 << 40);
        assert_eq!((taken.bytes, *budget.free.lock().unwrap()), (1000, 0));
        drop(taken);
        assert_eq!(*budget.free.lock().unwrap(), 1000);
    }

    #[test]
    fn time_ends() {
        let mut o = Options::default();
        o.limits.set(Limit::Time, 1);
        let mut budget = Budget::new(&o, 0);
        assert!(budget.check().is_ok());
        budget.end = Some(Instant::now());
        assert_eq!(budget.check().unwrap_err().class, Class::Limit);
    }
}
