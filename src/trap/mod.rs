//! Traps raised by the processor: from a signal back to an outcome.
//!
//! * [`handler`] is the only code that runs in signal context.
//! * [`thread`] makes process and threads ready for it.
//! * [`backtrace`] keeps where a run ended, [`report`] puts it into words.
//! * This file holds what the handler may read without locks: for each module the sorted list of
//!   pcs at which it may trap ([`CodeInfo`]), found through the code arena by pc.

pub(crate) mod backtrace;
mod handler;
mod report;
mod thread;

pub use handler::handle_signal;
pub(crate) use handler::interrupted;
use lucet_artifact::abi::TrapCode;
use lucet_artifact::code::{HandlerTable, TrapTable};
pub use report::{Backtrace, Frame, FrameKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use thread::prepare_thread;

/// What the signal handler needs to know about a module's code. Immutable; its address is the owner
/// word of the module's range in the code arena.
#[derive(Debug)]
pub(crate) struct CodeInfo {
    base: usize,
    /// Offsets in `.text`, ascending.
    offsets: Box<[u32]>,
    codes: Box<[u8]>,
    /// Where exceptions land.
    handlers: Arc<HandlerTable>,
    /// Places that were looked up lately: offset in `.text` plus one, and offset in the wasm file.
    /// The pc map is read from the start of a function, which takes a while in a large one; a guest
    /// that traps does so at the same place again.
    recent: [AtomicU64; RECENT],
}

const RECENT: usize = 16;

impl CodeInfo {
    pub(crate) fn new(base: usize, traps: &TrapTable, handlers: &Arc<HandlerTable>) -> Self {
        let (offsets, codes) =
            traps.sites.iter().map(|(o, c)| (*o, *c as u8)).unzip::<_, _, Vec<_>, Vec<_>>();
        let recent = [const { AtomicU64::new(0) }; RECENT];
        Self {
            base,
            offsets: offsets.into(),
            codes: codes.into(),
            handlers: handlers.clone(),
            recent,
        }
    }

    /// The offset in the wasm file of the code at `offset`: the one found last time, or what
    /// `look_up` says.
    pub(crate) fn wasm_offset(
        &self,
        offset: u32,
        look_up: impl FnOnce() -> Option<u32>,
    ) -> Option<u32> {
        const NONE: u32 = u32::MAX;
        let key = (u64::from(offset) + 1) << 32;
        let hash = offset.wrapping_mul(0x9e37_79b1) >> 28;
        let recent = &self.recent[hash as usize % RECENT];
        let known = recent.load(Ordering::Relaxed);
        if known & !u64::from(NONE) == key {
            return Some(known as u32).filter(|at| *at != NONE);
        }
        let found = look_up();
        recent.store(key | u64::from(found.unwrap_or(NONE)), Ordering::Relaxed);
        found
    }

    /// The trap that an instruction at `pc` may raise. Async-signal-safe.
    pub(crate) fn site(&self, pc: usize) -> Option<TrapCode> {
        let offset = u32::try_from(pc.checked_sub(self.base)?).ok()?;
        let i = self.offsets.binary_search(&offset).ok()?;
        TrapCode::from_u8(*self.codes.get(i)?)
    }
    /// Where an exception lands that leaves the call which returns to `pc`: address of the landing
    /// pad, and the size of the frame below its frame pointer.
    pub(crate) fn handler(&self, pc: usize) -> Option<(usize, u32)> {
        let offset = u32::try_from(pc.checked_sub(self.base)?).ok()?;
        let all = &self.handlers.handlers;
        let i = all.binary_search_by_key(&offset, |h| h.call).ok()?;
        all.get(i).map(|h| (self.base + h.target as usize, h.frame))
    }
}
