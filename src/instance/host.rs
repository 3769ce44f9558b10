//! What a host function may do with the instance that called it: the `ctx` it was given.

use super::{Callee, Ended, Fault, InstanceRef, args, memory, run, set_fault, set_yield};
use crate::error::{Error, Result, Status};
use crate::module::Func;
use crate::outcome::Outcome;
use crate::value::Val;
use crate::vmctx::{self, ControlRef, Lent, Pending, ResumeFn, State, unwind};
use lucet_artifact::abi::TrapCode;
use std::marker::PhantomData;

/// The calling instance, inside a host function. `lucet_vmctx *` in C. It stays on its thread, and
/// means nothing after the host function returned.
#[derive(Debug, Clone, Copy)]
pub struct Vmctx(pub(crate) ControlRef, pub(crate) PhantomData<*const ()>);

impl Vmctx {
    /// Address of `len` bytes at `offset` of the caller's memory 0.
    ///
    /// # Errors
    /// `OutOfBounds`.
    pub fn memory_range(&self, offset: u64, len: u64) -> Result<*mut u8> {
        memory::range(self.0, 0, offset, len)
    }

    /// Copies bytes out of the caller's memory 0.
    ///
    /// # Errors
    /// `OutOfBounds`.
    pub fn memory_read(&self, offset: u64, to: &mut [u8]) -> Result<()> {
        memory::read(self.0, 0, offset, to)
    }

    /// Copies bytes into the caller's memory 0.
    ///
    /// # Errors
    /// `OutOfBounds`.
    pub fn memory_write(&self, offset: u64, from: &[u8]) -> Result<()> {
        memory::write(self.0, 0, offset, from)
    }

    /// Size of the caller's memory 0 in bytes.
    #[must_use]
    pub fn memory_size(&self) -> u64 {
        memory::size(self.0, 0)
    }

    /// The word set by [`InstanceRef::set_user_data`].
    #[must_use]
    pub fn user_data(&self) -> usize {
        self.0.with(|i| i.user_data)
    }

    /// The calling instance. It is running, so most calls on it are `Busy`.
    #[must_use]
    pub fn instance(&self) -> InstanceRef {
        InstanceRef { control: self.0, generation: self.0.state().0 }
    }

    /// Suspends the guest when the host function returns: the run ends with `Yielded(value)`. What
    /// the host function returns is ignored. At [`InstanceRef::resume`], `resume` is called and its
    /// result becomes the host call's result; without one the resume value does.
    ///
    /// # Errors
    /// `NestedYield` inside a nested run or a start function; `WrongState` if the host function has
    /// decided on another end already.
    pub fn yield_value(&self, value: u64, resume: Option<ResumeFn>, state: usize) -> Result<()> {
        if !vmctx::may_yield() {
            return Err(Error::new(
                Status::NestedYield,
                "a nested run or a start function cannot be suspended",
            ));
        }
        self.undecided()?;
        set_yield(self.0, value, resume, state);
        Ok(())
    }

    /// Has `lent`, the state of the yield that the host function has decided on, given back if that
    /// is never resumed. What was named for it before is forgotten.
    ///
    /// # Errors
    /// `WrongState` without such a yield, or if it has no resume function; nothing is given back
    /// then.
    pub(crate) fn on_abandon(&self, lent: Lent) -> Result<()> {
        let yields = self.0.pending() == Pending::Yield
            && self.0.with(|i| matches!(&i.fault, Some(Fault::Yield { resume: Some(_), .. })));
        match unwind::innermost() {
            Some(runner) if yields => {
                if let Some(before) = runner.with(|i| i.abandoned.replace(lent)) {
                    before.forget();
                }
                Ok(())
            }
            _ => {
                lent.forget();
                let message = "there is no yield with a resume function: yield first";
                Err(Error::new(Status::WrongState, message))
            }
        }
    }

    /// Makes the guest trap when the host function returns.
    ///
    /// # Errors
    /// `WrongState` if the host function has decided on another end already.
    pub fn trap(&self, code: TrapCode) -> Result<()> {
        self.undecided()?;
        set_fault(self.0, Fault::Trap(code));
        Ok(())
    }

    /// Ends the run with `HostError(code)` when the host function returns.
    ///
    /// # Errors
    /// As [`Vmctx::trap`].
    pub fn fail(&self, code: u64) -> Result<()> {
        self.undecided()?;
        set_fault(self.0, Fault::Fail(code));
        Ok(())
    }

    /// Ends the run with `Exited(code)` when the host function returns.
    ///
    /// # Errors
    /// As [`Vmctx::trap`].
    pub fn exit(&self, code: u64) -> Result<()> {
        self.undecided()?;
        set_fault(self.0, Fault::Exit(code));
        Ok(())
    }

    /// Ends the run with `Terminated` when the host function returns.
    ///
    /// # Errors
    /// As [`Vmctx::trap`].
    pub fn terminate(&self) -> Result<()> {
        self.undecided()?;
        set_fault(self.0, Fault::Terminate);
        Ok(())
    }

    /// Notes that the host function gave the guest something that must not be the same in each
    /// instance of a snapshot, such as random numbers; see [`crate::Imports::mark_impure`] for
    /// functions that always do.
    pub fn mark_impure(&self) {
        self.0.set_impure(self.0.impure() | crate::module::IMPURE_MARKED);
    }

    #[inline(always)]
    fn undecided(&self) -> Result<()> {
        match self.0.pending() {
            Pending::None => Ok(()),
            other => Err(decided(other)),
        }
    }

    /// Looks up an exported function of the calling instance.
    ///
    /// # Errors
    /// `NoSuchExport`.
    pub fn find(&self, name: &str) -> Result<Func> {
        self.0.with(|i| i.module.clone()).find(name, None)
    }

    /// Runs a function of the calling instance from inside the host function: a nested run. If it
    /// ends in any other way than returning, the run around it ends in the same way when the host
    /// function returns.
    ///
    /// # Errors
    /// `ExportTypeMismatch`, `WrongState` if the host function has decided on an end already.
    pub fn run(&self, func: Func, args: &[Val]) -> Result<Outcome> {
        let (module, index) = args::resolve(self.0, Callee::Func(func), args)?;
        let types = &module.func_type(index).results;
        let mut results = Vec::with_capacity(types.len());
        let mut ended: Ended = args::with_slots(args, |slots| {
            run::nested(self.0, index, slots, &mut |ty, _, slot| {
                results.push(Val::from_slot(ty, slot));
            })
        })?;
        if let Ended::Trapped(trap) = &mut ended {
            run::name(self.0, trap);
        }
        Ok(ended.outcome(results))
    }

    /// The same by name or function; the results go to `results`, which has room for exactly all.
    pub(crate) fn run_into(
        &self,
        callee: Callee<'_>,
        args: &[Val],
        results: &mut [Val],
    ) -> Result<Ended> {
        run::nested_into(self.0, callee, args, results)
    }

    /// Whether this process was forked inside the host function: the parent has the guest.
    pub(crate) fn is_forked(&self) -> bool {
        self.0.is_forked()
    }

    /// Whether the instance runs, as it does while a host function may use this.
    #[inline]
    pub(crate) fn is_running(&self) -> bool {
        self.0.state().1 == State::Running || self.works_for_another()
    }

    /// Whether it is a member of a group whose code another one runs, on that one's stack: then the
    /// other one's state says so.
    #[cold]
    fn works_for_another(&self) -> bool {
        let on = unwind::innermost().filter(|on| *on != self.0 && !on.is_forked());
        let group = on.and_then(|on| on.with(|i| i.group.clone()));
        group.is_some_and(|g| g.has(self.0))
    }
}

#[cold]
fn decided(on: Pending) -> Error {
    Error::new(
        Status::WrongState,
        format!("the host function has decided on {on:?} already; return now"),
    )
}
