//! The path of each request: an outermost call of an exported function that returns.
//!
//! It does what [`super::run`] does in general, with nothing left over: one compare-and-swap to
//! take the instance, one look at its inner state before and one after, arguments written where the
//! guest reads them, no allocation, no reference count, no lock. Whatever is out of the ordinary
//! (another end than returning, function references as arguments) goes the general way.

use super::args::{Callee, check_reference, check_results};
use super::run::{finish, release_stack, settle};
use super::{Ended, Inner, InstanceRef, deadline};
use crate::arch::Exit;
use crate::error::{Error, Result, Status};
use crate::module::Func;
use crate::outcome::Outcome;
use crate::trap;
use crate::value::Val;
use crate::vmctx::{self, GuestCall, Lease, State};
use lucet_artifact::ValType;

/// An outermost call, checked and ready.
struct Ready {
    call: GuestCall,
    /// Type index of the function.
    ty: u32,
    results: usize,
    time_limit: u64,
}

#[cold]
fn wrong_args(i: &Inner, func: Func, args: &[Val]) -> Error {
    let given: Vec<_> = args.iter().map(|v| v.ty().to_string()).collect();
    let (what, ty) = (i.module.describe_func(func.index), i.module.func_type(func.index));
    Error::new(
        Status::ExportTypeMismatch,
        format!("{what} has type {ty}, but was called with ({})", given.join(", ")),
    )
}

impl Inner {
    /// Checks a call against the function's type.
    #[inline(always)]
    fn ready(&mut self, callee: Callee<'_>, args: &[Val], room: Option<usize>) -> Result<Ready> {
        let func = match callee {
            Callee::Func(f) => f,
            Callee::Name(n) => self.module.find(n, None)?,
        };
        super::args::index_of(&self.module, func)?;
        let ty = self.module.func_type(func.index);
        if ty.params.len() != args.len() || ty.params.iter().zip(args).any(|(t, v)| *t != v.ty()) {
            return Err(wrong_args(self, func, args));
        }
        let results = ty.results.len();
        if let Some(room) = room {
            check_results(|| self.module.describe_func(func.index), &ty.results, room)?;
        }
        let (call, ty) = self.guest_call(func.index, None, true)?;
        Ok(Ready { call, ty, results, time_limit: self.time_limit })
    }
}

impl InstanceRef {
    /// Calls a function; each result goes to `result` with its type and number.
    #[inline]
    fn call(
        &self,
        callee: Callee<'_>,
        args: &[Val],
        room: Option<usize>,
        mut result: impl FnMut(ValType, usize, u128),
    ) -> Result<Ended> {
        let mut lease: Lease = self.lease(&[State::Ready])?;
        trap::prepare_thread()?;
        let control = lease.control;
        let ready = control.with(|i| i.ready(callee, args, room))?;
        if args.iter().any(|v| matches!(v, Val::FuncRef(r) if *r != 0))
            && let Err(e) = args.iter().try_for_each(|v| check_reference(control, v))
        {
            release_stack(control);
            return Err(e);
        }
        let run = match deadline::begin(control, ready.time_limit) {
            Ok(run) => run,
            Err(e) => {
                release_stack(control);
                return Err(e);
            }
        };
        // Whatever goes wrong from here on, the instance is not as it was.
        lease.set_next(State::Faulted);
        let left = vmctx::enter(control, &ready.call, args.iter().map(|v| v.to_slot()));
        drop(run);
        match left {
            Some(left) if left.exit == Exit::Returned => {
                lease.set_next(State::Ready);
                if ready.results > 0 {
                    control.with(|i| {
                        let types = &i.module.loaded.types.types[ready.ty as usize].ty.results;
                        vmctx::read_slots(&left, ready.results, |n, slot| {
                            result(types[n], n, slot);
                        });
                    });
                }
                if ready.call.lent {
                    release_stack(control);
                }
                Ok(Ended::Returned)
            }
            Some(left) => {
                let ended = finish(control, &left, ready.ty, &mut |_, _| {});
                settle(&mut lease, &ended);
                Ok(ended)
            }
            None => {
                let ended = super::run::no_stack(control);
                settle(&mut lease, &ended);
                Ok(ended)
            }
        }
    }

    /// Calls an exported function by name.
    ///
    /// # Errors
    /// `NoSuchExport`, `ExportTypeMismatch` if the arguments do not fit, `WrongState` if the
    /// instance is suspended or faulted, `Busy`, `InvalidHandle`, `SignalsBlocked`.
    pub fn run(&self, name: &str, args: &[Val]) -> Result<Outcome> {
        self.run_callee(Callee::Name(name), args)
    }

    /// Calls a function that was looked up before.
    ///
    /// # Errors
    /// As [`InstanceRef::run`].
    pub fn run_func(&self, func: Func, args: &[Val]) -> Result<Outcome> {
        self.run_callee(Callee::Func(func), args)
    }

    fn run_callee(&self, callee: Callee<'_>, args: &[Val]) -> Result<Outcome> {
        let mut results = Vec::new();
        let ended = self.call(callee, args, None, |ty, _, slot| {
            results.push(Val::from_slot(ty, slot));
        })?;
        Ok(self.named(ended).outcome(results))
    }

    /// Calls a function; its results go to `results`, which has room for exactly all of them.
    pub(crate) fn run_into(
        &self,
        callee: Callee<'_>,
        args: &[Val],
        results: &mut [Val],
    ) -> Result<Ended> {
        let room = Some(results.len());
        self.call(callee, args, room, |ty, n, slot| {
            if let Some(to) = results.get_mut(n) {
                *to = Val::from_slot(ty, slot);
            }
        })
    }
}
