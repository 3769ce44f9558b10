//! The place of WASI in an instance: its context, its memory, its yields.

use super::{Fault, Inner, InstanceRef, set_fault};
use crate::error::{Error, Result, Status};
use crate::vmctx::{ControlRef, ResumeFn, State};
use crate::wasi::Attached;
use lucet_wasi::Template;
use std::sync::Arc;

impl Inner {
    /// The embedder's word for the instance.
    pub(crate) fn user_data(&self) -> usize {
        self.user_data
    }
}

/// Suspends the guest when its call of WASI returns.
pub(crate) fn set_waiting(control: ControlRef, value: u64, resume: ResumeFn) {
    set_fault(control, Fault::Yield { value, resume: Some(resume), state: 0 });
}

impl InstanceRef {
    /// Works on the place of the context in an instance that nobody runs, in one of these states.
    pub(crate) fn with_wasi_slot<R>(
        &self,
        allowed: &[State],
        f: impl FnOnce(&Arc<Template>, &mut Option<Box<Attached>>) -> Result<R>,
    ) -> Result<R> {
        let lease = self.lease(allowed)?;
        lease.control.with(|i| match i.module.wasi.clone() {
            Some(template) => f(&template, &mut i.wasi),
            None => Err(Error::new(
                Status::WrongState,
                "the instance's module was loaded without WASI: lucet_module_config_set_wasi",
            )),
        })
    }
}
