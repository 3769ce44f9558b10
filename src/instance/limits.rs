//! What one instance may use, within what its module's contract and its region allow.
//!
//! A limit only ever lowers: the contract's maximum, then that of the terms that the module was
//! loaded under, then the region's, then the instance's own.
//! Only when all of them allow it is the region's embedder asked ([`crate::Growth`]).

use super::{IDLE, Inner, InstanceRef};
use crate::error::{Error, Result, Status};
use crate::region::GrowthKind;
use crate::region::layout::MIN_STACK;
use crate::vmctx::ControlRef;
use std::time::Instant;

impl Inner {
    /// The limits of a new instance.
    #[inline(always)]
    pub(super) fn set_region_limits(&mut self) {
        let config = self.region.config();
        self.limits = super::deadline::Limits::of_time(config.time_limit);
        self.table_limit = self.table_max;
        self.memory_limit = self.memory_max;
        if self.stack_limit != u64::MAX {
            self.stack_limit = u64::MAX;
            self.forget_stack();
        }
    }

    /// When a run begins, if runs are timed.
    #[inline(always)]
    pub(super) fn clock(&self) -> Option<Instant> {
        if self.timed { Some(Instant::now()) } else { None }
    }

    /// Lets the next run find out anew where its stack is.
    fn forget_stack(&mut self) {
        if let Some(s) = self.stack.take() {
            self.region.release_stack(s);
        }
    }
}

/// Whether the embedder lets an instance grow something.
pub(super) fn may_grow(control: ControlRef, kind: GrowthKind, from: u64, to: u64) -> bool {
    let growth = control.with(|i| i.region.config().growth);
    match growth {
        Some(growth) if from != to => {
            (growth.ask)(&growth, (control.index(), control.state().0), kind, from, to)
        }
        _ => true,
    }
}

impl InstanceRef {
    /// Limits what the instance's memories may grow to together, in bytes; at most what contract,
    /// terms and region allow. What is larger already stays as it is.
    ///
    /// # Errors
    /// `InvalidHandle`, `Busy`.
    pub fn set_memory_limit(&self, bytes: u64) -> Result<()> {
        let lease = self.lease(&IDLE)?;
        lease.control.with(|i| i.memory_limit = i.memory_max.min(bytes));
        Ok(())
    }

    /// Limits the number of elements that each table may grow to; at most what contract, terms
    /// and region allow. A table that is larger already stays as it is.
    ///
    /// # Errors
    /// `InvalidHandle`, `Busy`.
    pub fn set_table_limit(&self, elements: u32) -> Result<()> {
        let lease = self.lease(&IDLE)?;
        lease.control.with(|i| {
            i.table_limit = i.table_max.min(elements.into());
        });
        Ok(())
    }

    /// Limits the stack that runs may use, in bytes; at most what the region gives. Rounded down to
    /// 16 bytes.
    ///
    /// # Errors
    /// `InvalidArgument` for less than 16 KiB; `WrongState` while it is suspended: its stack is in
    /// use; `InvalidHandle`, `Busy`.
    pub fn set_stack_limit(&self, bytes: u64) -> Result<()> {
        if bytes < MIN_STACK {
            return Err(Error::new(
                Status::InvalidArgument,
                format!("a stack of {bytes} bytes: at least {MIN_STACK} are needed"),
            ));
        }
        let lease = self.lease(&IDLE)?;
        lease.control.hot().open.set(false);
        lease.control.with(|i| {
            if i.suspended.is_some() {
                return Err(Error::new(
                    Status::WrongState,
                    "the instance is suspended: its stack is in use",
                ));
            }
            i.stack_limit = bytes & !15;
            i.forget_stack();
            Ok(())
        })
    }
}
