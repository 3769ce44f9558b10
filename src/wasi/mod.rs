//! WASI preview 1 for instances: what stands behind the functions is the crate `lucet-wasi`, what
//! C programs call is `capi/wasi.rs`; here the two meet the instance.
//!
//! ```text
//!  Config ──build──► Template ─┬─ ModuleConfig::wasi ──► what instances of the module begin with
//!                              └─ InstanceRef::set_wasi ► instead of it, for one instance
//!
//!  guest ─fd_write─► vmctx/wasi.rs ──► call ──► context (made by the first call) + memory
//!                                        └─► an error number · EXITED · a yield that says for what
//! ```
//!
//! A template is made once. An instance has no context before its first call, and the context then
//! stays with the slot: when the instance is freed or reset it is made as new, so that the next one
//! finds it there, and no allocation, lock or count is on the way of a request.

use crate::error::{Error, Result, Status};
use crate::import::HostFunction;
use crate::instance::{Fault, IDLE, InstanceRef, Memory, set_fault, set_waiting};
use crate::module::{IMPURE_CLOCK, IMPURE_RANDOM};
use crate::sys::reserve;
use crate::vmctx::{self, ControlRef, State, wasi};
use lucet_artifact::FuncType;
pub use lucet_wasi::*;
use std::sync::Arc;

/// The value that instances yield when a call would wait; see [`InstanceRef::wasi_wait`].
pub const WAITS: u64 = 0x6c75_6365_7457_4149;

/// The context of one instance.
pub(crate) struct Attached {
    context: Context,
    /// Whether it is not of the module's template.
    own: bool,
    /// What the call that is not finished waits for.
    wait: Option<Wait>,
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attached").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Attached {
    fn new(template: &Arc<Template>, own: bool) -> Option<Box<Self>> {
        reserve::try_box(Self { context: Context::new(template), own, wait: None })
    }

    /// Whether a copy of the guest would mean descriptors that are not there.
    pub(crate) fn has_changed_descriptors(&self) -> bool {
        self.context.has_changed_descriptors()
    }

    /// Makes it as new.
    fn renew(&mut self) {
        self.context.reset();
        self.wait = None;
    }
}

/// At the end of an instance: what is left of its context is as new and of the module's template,
/// for the next one.
#[cold]
pub(crate) fn wind_down(attached: &mut Option<Box<Attached>>) {
    match attached {
        Some(a) if !a.own => a.renew(),
        _ => *attached = None,
    }
}

/// At the reset of an instance, which keeps its template.
pub(crate) fn renew(attached: &mut Option<Box<Attached>>) {
    if let Some(a) = attached {
        a.renew();
    }
}

/// The function that a module imports as `module.name`, if it is one of WASI's.
pub(crate) fn function(module: &str, name: &str) -> Option<HostFunction> {
    let old = module == MODULE_UNSTABLE && !NOT_IN_UNSTABLE.contains(&name);
    if module != MODULE && !old {
        return None;
    }
    let f = wasi::FUNCTIONS.iter().find(|f| f.name == name)?;
    Some(HostFunction {
        ty: FuncType { params: f.params.to_vec(), results: f.results.to_vec() },
        code: f.code(),
        user_data: 0,
        // The context knows whether it was, see `call`.
        impure: false,
    })
}

/// Calls a function of WASI for the guest of `control`: what it returns to the guest.
pub(crate) fn call(
    control: ControlRef,
    body: &mut dyn FnMut(&mut Context, &mut dyn GuestMemory) -> Answer,
) -> u64 {
    // Nobody may hold the inner state while the body looks at memory.
    let (attached, memory, user) = control.with(|i| {
        let attached = i.wasi.take().or_else(|| Attached::new(i.module.wasi.as_ref()?, false));
        (attached, i.module.wasi_memory, i.user_data())
    });
    let Some(mut attached) = attached else {
        set_fault(control, Fault::Fail(Status::OutOfMemory as u64));
        return 0;
    };
    attached.wait = None;
    attached.context.set_user(user as u64);
    let answer = body(&mut attached.context, &mut Memory::new(control, memory));
    let Observed { clocks, random } = attached.context.observed();
    if clocks | random {
        let bits = if clocks { IMPURE_CLOCK } else { 0 } | if random { IMPURE_RANDOM } else { 0 };
        control.set_impure(control.impure() | bits);
    }
    let result = match answer {
        Answer::Errno(errno) => errno.raw().into(),
        Answer::Exit(code) => {
            set_fault(control, Fault::Exit(code.into()));
            0
        }
        Answer::Wait(wait) if vmctx::may_yield() => {
            attached.wait = Some(wait);
            set_waiting(control, WAITS, wasi::RESUME);
            0
        }
        // As a descriptor says that does not block.
        Answer::Wait(_) => Errno::Again.raw().into(),
    };
    control.with(|i| i.wasi = Some(attached));
    result
}

impl InstanceRef {
    /// Gives the instance another template than its module's, and a context that is as new.
    ///
    /// # Errors
    /// `WrongState` if its module was loaded without WASI or it is suspended; `OutOfMemory`,
    /// `InvalidHandle`, `Busy`.
    pub fn set_wasi(&self, template: &Arc<Template>) -> Result<()> {
        self.with_wasi_slot(&[State::Ready, State::Faulted], |_, slot| {
            match slot {
                Some(a) => {
                    **a = Attached { context: Context::new(template), own: true, wait: None }
                }
                None => *slot = Attached::new(template, true),
            }
            slot.as_ref().map(|_| ()).ok_or_else(no_memory)
        })
    }

    /// Works on the instance's context: its standard input, what it wrote.
    ///
    /// # Errors
    /// As [`InstanceRef::set_wasi`].
    pub fn with_wasi<R>(&self, f: impl FnOnce(&mut Context) -> R) -> Result<R> {
        self.with_wasi_slot(&IDLE, |template, slot| {
            if slot.is_none() {
                *slot = Attached::new(template, false);
            }
            slot.as_mut().map(|a| f(&mut a.context)).ok_or_else(no_memory)
        })
    }

    /// What the suspended instance waits for, if it is in a call of WASI.
    ///
    /// # Errors
    /// `WrongState` if it is not; `InvalidHandle`, `Busy`.
    pub fn wasi_wait(&self) -> Result<Wait> {
        self.with_wasi_slot(&IDLE, |_, slot| {
            let wait = slot.as_ref().and_then(|a| a.wait.clone());
            let none = "the instance does not wait in a call of WASI";
            wait.ok_or_else(|| Error::new(Status::WrongState, none))
        })
    }
}

fn no_memory() -> Error {
    Error::new(Status::OutOfMemory, "no memory for a context of WASI")
}
