//! The path of each request: an outermost call of an exported function that returns.
//!
//! It does what [`super::run`] does in general, with nothing left over: one compare-and-swap to
//! take the instance, one look at its inner state before and one after, arguments written where the
//! guest reads them, no allocation, no reference count, no lock. Whatever is out of the ordinary
//! (another end than returning, function references as arguments) goes the general way.

use super::args::{Callee, check_reference, check_results, wrong_reference};
use super::deadline::Begin;
use super::run::{finish, no_stack, release_stack, settle};
use super::{Ended, Inner, InstanceRef, deadline};
use crate::arch::Exit;
use crate::error::{Error, Result, Status};
use crate::module::{self, CallInfo, Func, PACKED, Returns};
use crate::outcome::Outcome;
use crate::stats::Timed;
use crate::trap;
use crate::value::{Argument, Val};
use crate::vmctx::{self, Activation, ControlRef, GuestCall, Lease, Shortcut, State};
use lucet_artifact::ValType;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Why arguments do not fit.
#[cold]
fn wrong_args<A: Argument>(i: &Inner, index: u32, args: &[A]) -> Error {
    let mut given = Vec::new();
    for (n, a) in args.iter().enumerate() {
        match a.value() {
            Ok(v) => given.push(v.ty().to_string()),
            Err(e) => return e.context(format!("argument {n}")),
        }
    }
    let (what, ty) = (i.module.describe_func(index), i.module.func_type(index));
    Error::new(
        Status::ExportTypeMismatch,
        format!("{what} has type {ty}, but was called with ({})", given.join(", ")),
    )
}

/// Whether arguments have the types of the parameters.
#[inline(always)]
fn fits<A: Argument>(i: &Inner, index: u32, info: &CallInfo, args: &[A]) -> bool {
    if args.len() != usize::from(info.params) {
        return false;
    }
    if args.len() <= PACKED {
        return module::pack(args.iter().map(A::type_byte)) == info.param_types;
    }
    let params = &i.module.func_type(index).params;
    params.iter().zip(args).all(|(t, a)| t.byte() == a.type_byte())
}

impl Inner {
    /// What must be known of the callee, whose type fits the arguments and `room` for results.
    #[inline(always)]
    fn callee<A: Argument>(
        &self,
        callee: Callee<'_>,
        args: &[A],
        room: Option<usize>,
    ) -> Result<&CallInfo> {
        let index = match callee {
            Callee::Func(f) if f.module == self.module.code_id() => f.index,
            Callee::Func(f) => super::args::index_of(&self.module, f)?,
            Callee::Name(n) => self.module.function(n)?,
        };
        let info = self.call_info(index)?;
        if !fits(self, index, info, args) {
            return Err(wrong_args(self, index, args));
        }
        if room.is_some_and(|room| room != usize::from(info.results)) {
            return Err(wrong_results(self, index, room.unwrap_or(0)));
        }
        Ok(info)
    }
}

#[cold]
fn wrong_results(i: &Inner, index: u32, room: usize) -> Error {
    let types = &i.module.func_type(index).results;
    match check_results(|| i.module.describe_func(index), types, room) {
        Err(e) => e,
        Ok(()) => Error::new(Status::Internal, "results that fit and do not"),
    }
}

/// Gives results with their types and numbers to `f`.
#[inline(always)]
pub(super) fn results(
    control: ControlRef,
    returns: Returns,
    slots: usize,
    mut f: impl FnMut(ValType, usize, u128),
) {
    let n = returns.number;
    if n <= PACKED {
        vmctx::read_slots(slots, n, |n, slot| {
            if let Some(ty) = ValType::from_byte((returns.packed >> (8 * n)) as u8) {
                f(ty, n, slot);
            }
        });
    } else {
        control.with(|i| {
            let types = &i.module.loaded.types.types[returns.ty as usize].ty.results;
            vmctx::read_slots(slots, n, |n, slot| f(types[n], n, slot));
        });
    }
}

impl InstanceRef {
    /// Calls a function; each result goes to `result` with its type and number.
    #[inline(always)]
    pub(crate) fn call<A: Argument>(
        &self,
        callee: Callee<'_>,
        args: &[A],
        room: Option<usize>,
        result: impl FnMut(ValType, usize, u128),
    ) -> Result<Ended> {
        let mut lease = Lease::from(self.control, self.generation, State::Ready)?;
        trap::prepare_thread()?;
        let control = lease.control;
        let mut i = control.inner();
        let info = i.callee(callee, args, room)?;
        let (code, entry, checked) = (info.code, info.entry, info.checked);
        let returns = info.returns();
        let room = args.len().max(returns.number);
        let (bottom, top, lent) = i.stack()?;
        let (vmctx, begin) = (i.data.vmctx(), i.limits.begin(Begin::First));
        let begun = i.clock();
        drop(i);
        if checked {
            references(control, returns.ty, args)?;
        }
        let run = match deadline::begin(control, begin) {
            Ok(run) => run,
            Err(e) => {
                release_stack(control);
                return Err(e);
            }
        };
        // Whatever goes wrong from here on, the instance is not as it was.
        lease.set_next(State::Faulted);
        let call =
            GuestCall { stack_bottom: bottom, stack_top: top, entry, vmctx, code, slots: room };
        let mut activation = Activation::new(control, true);
        let Some(slots) = call.place().filter(|_| !activation.too_deep()) else {
            drop(run);
            let ended = no_stack(control);
            lease.set_next(settle(control, &ended));
            return Ok(ended);
        };
        let exit = vmctx::enter(&mut activation, &call, slots, args.iter().map(A::slot));
        let doomed = run.end();
        if let Some(begun) = begun {
            time(control, begun);
        }
        if exit != Exit::Returned {
            let (ended, next) = otherwise(control, &activation, exit, slots, returns, doomed);
            lease.set_next(next);
            return Ok(ended);
        }
        lease.set_next(State::Ready);
        if returns.number > 0 {
            results(control, returns, slots, result);
        }
        if lent {
            release_stack(control);
        }
        Ok(Ended::Returned)
    }
}

/// Counts how long a stretch of running took.
#[cold]
pub(super) fn time(control: ControlRef, begun: Instant) {
    control.with(|i| i.region.home().time(Timed::Run, begun));
}

impl InstanceRef {
    /// The shortest path of a call; see [`vmctx::shortcut`]. `None`: nothing was done.
    #[inline(always)]
    pub(crate) fn shortcut<A: Argument>(
        &self,
        func: Func,
        args: &[A],
        room: usize,
        result: impl FnMut(u8, usize, u128),
    ) -> Option<Ended> {
        let words = deadline::words_if_ready()?;
        let (control, generation) = (self.control, self.generation);
        let mut activation = Activation::outermost(control);
        let run = (
            || deadline::begin_unlimited(words, control),
            |numbers| deadline::end_unlimited(control, numbers),
        );
        let func = (func.module, func.index);
        match vmctx::shortcut(&mut activation, generation, func, args, room, run, result) {
            Shortcut::Returned => Some(Ended::Returned),
            Shortcut::No => None,
            Shortcut::Left(exit, slots, returns, doomed) => {
                Some(left(&activation, generation, exit, slots, returns, doomed))
            }
        }
    }
}

/// The end of a shortcut that did not return. A panic (a bug of ours) is an error of this instance.
#[cold]
fn left(
    activation: &Activation,
    generation: u32,
    exit: Exit,
    slots: usize,
    returns: Returns,
    doomed: bool,
) -> Ended {
    const BUG: Ended = Ended::HostError(Status::Internal as u64);
    let Some(mut lease) = Lease::adopt(activation, generation) else { return BUG };
    let ended = catch_unwind(AssertUnwindSafe(|| {
        otherwise(lease.control, activation, exit, slots, returns, doomed)
    }));
    let (ended, next) = ended.unwrap_or((BUG, State::Faulted));
    lease.set_next(next);
    ended
}

/// The end of a call that did not return.
#[inline(never)]
fn otherwise(
    control: ControlRef,
    activation: &Activation,
    exit: Exit,
    slots: usize,
    returns: Returns,
    doomed: bool,
) -> (Ended, State) {
    let ended = finish(control, activation, exit, slots, returns).unless(doomed);
    let next = settle(control, &ended);
    (ended, next)
}

/// References among arguments must be ones that the instance could have, for parameters of the
/// function type with index `ty`.
#[cold]
fn references<A: Argument>(control: ControlRef, ty: u32, args: &[A]) -> Result<()> {
    let check = |(n, a): (usize, &A)| {
        let want = control.with(|i| {
            let of = &i.module.loaded.types.types.get(ty as usize)?.ty;
            of.params.get(n).map(|t| i.module.canonical(*t))
        });
        let Some(want) = want else { return Ok(()) };
        check_reference(control, want, &a.value()?)
            .map_err(|e| wrong_reference(e, n, "the function"))
    };
    args.iter().enumerate().try_for_each(check).inspect_err(|_| release_stack(control))
}

impl InstanceRef {
    /// Calls an exported function by name.
    ///
    /// # Errors
    /// `NoSuchExport`, `ExportTypeMismatch` if the arguments do not fit, `WrongState` if the
    /// instance is suspended or faulted, `Busy`, `InvalidHandle`, `SignalsBlocked`.
    pub fn run(&self, name: &str, args: &[Val]) -> Result<Outcome> {
        self.run_callee(Callee::Name(name.as_bytes()), args)
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
}
