//! Traps raised by the processor: from a signal back to an outcome.
//!
//! * [`handler`] is the only code that runs in signal context.
//! * [`thread`] makes process and threads ready for it.
//! * This file holds what the handler may read without locks: for each module the sorted list of
//!   pcs at which it may trap ([`CodeInfo`]), found through the code arena by pc.

mod handler;
mod thread;

pub use handler::handle_signal;
pub(crate) use handler::interrupted;
use lucet_artifact::abi::TrapCode;
use lucet_artifact::code::TrapTable;
pub(crate) use thread::{is_prepared, prepare_thread};

/// What the signal handler needs to know about a module's code. Immutable; its address is the owner
/// word of the module's range in the code arena.
#[derive(Debug)]
pub(crate) struct CodeInfo {
    base: usize,
    /// Offsets in `.text`, ascending.
    offsets: Box<[u32]>,
    codes: Box<[u8]>,
}

impl CodeInfo {
    pub(crate) fn new(base: usize, traps: &TrapTable) -> Self {
        let (offsets, codes) =
            traps.sites.iter().map(|(o, c)| (*o, *c as u8)).unzip::<_, _, Vec<_>, Vec<_>>();
        Self { base, offsets: offsets.into(), codes: codes.into() }
    }

    /// The trap that an instruction at `pc` may raise. Async-signal-safe.
    pub(crate) fn site(&self, pc: usize) -> Option<TrapCode> {
        let offset = u32::try_from(pc.checked_sub(self.base)?).ok()?;
        let i = self.offsets.binary_search(&offset).ok()?;
        TrapCode::from_u8(*self.codes.get(i)?)
    }
}
