//! Calling functions of an instance, resuming it, and turning what came back into an outcome.
//!
//! ```text
//!  run ── lease ── enter ──► guest ──► Left ── finish ──► Ended ──► next state
//!  resume ── resume_fn (host's stack) ── arch::resume ──► guest ──► …
//!  nested: Vmctx::run ── enter on the same guest stack ──► … ── a bad end also ends the run around
//! ```

use super::args::{Callee, check_results, resolve, with_slots};
use super::deadline::{Begin, Nested};
use super::warm::results;
use super::watch::Reason;
use super::{At, Fault, IDLE, Inner, InstanceRef, Preempted, Suspended};
use super::{backtrace, deadline, exceptions, memory, set_fault};
use crate::arch::{Exit, Kept};
use crate::error::{Error, Result, Status};
use crate::module::{CallInfo, Returns};
use crate::outcome::{Exception, Outcome, Trap};
use crate::pause::{self, Guard};
use crate::region::Stack;
use crate::stats::End;
use crate::trap;
use crate::value::Val;
use crate::vmctx::walk::Start;
use crate::vmctx::{self, Activation, ControlRef, GuestCall, Lease, Pending, State};
use lucet_artifact::ValType;
use lucet_artifact::abi::TrapCode;
use std::sync::Arc;

/// How a stretch of execution ended, without the results.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// The function returned.
    Returned,
    /// A host function yielded this value.
    Yielded(u64),
    /// A trap.
    Trapped(Box<Trap>),
    /// Its time slice is over.
    Preempted,
    /// The host stopped the guest.
    Terminated,
    /// The guest took longer than it may.
    TimedOut,
    /// The guest asked to exit with this code.
    Exited(u64),
    /// A host function failed with this code.
    HostError(u64),
    /// The fuel is used up; the guest is suspended if it could be.
    OutOfFuel,
    /// An exception left the function that was called.
    Exception(Arc<Exception>),
}

impl Ended {
    pub(crate) fn outcome(self, results: Vec<Val>) -> Outcome {
        match self {
            Self::Returned => Outcome::Returned(results),
            Self::Yielded(v) => Outcome::Yielded(v),
            Self::Trapped(t) => Outcome::Trapped(*t),
            Self::Preempted => Outcome::Preempted,
            Self::Terminated => Outcome::Terminated,
            Self::TimedOut => Outcome::TimedOut,
            Self::Exited(c) => Outcome::Exited(c),
            Self::HostError(c) => Outcome::HostError(c),
            Self::OutOfFuel => Outcome::OutOfFuel,
            Self::Exception(e) => Outcome::Exception(Arc::unwrap_or_clone(e)),
        }
    }

    /// This end, unless the run was `doomed` but could be continued: then it is abandoned.
    pub(super) fn unless(self, doomed: bool) -> Self {
        if doomed
            && pause::is_on(Guard::TooLate)
            && matches!(self, Self::Yielded(_) | Self::OutOfFuel | Self::Preempted)
        {
            Self::Terminated
        } else {
            self
        }
    }

    /// What statistics count it as.
    fn counted(&self) -> Option<End> {
        match self {
            Self::Returned | Self::Yielded(_) | Self::Preempted => None,
            Self::Trapped(t) => Some(End::Trapped(t.code)),
            Self::Terminated => Some(End::Terminated),
            Self::TimedOut => Some(End::TimedOut),
            Self::Exited(_) => Some(End::Exited),
            Self::OutOfFuel => Some(End::OutOfFuel),
            Self::HostError(_) => Some(End::HostError),
            Self::Exception(_) => Some(End::Exception),
        }
    }

    pub(super) fn next(&self) -> State {
        match self {
            Self::Returned | Self::Exception(_) => State::Ready,
            Self::Yielded(_) => State::Suspended,
            Self::Preempted => State::Preempted,
            _ => State::Faulted,
        }
    }
}

impl Inner {
    /// The instance's stack, lent to it if it has none: lowest usable address, end, and whether it
    /// must be given back when nothing runs on it.
    #[inline(always)]
    pub(super) fn stack(&mut self) -> Result<(usize, usize, bool)> {
        let stack = match self.stack {
            Some(s) => s,
            None => self.lend()?,
        };
        Ok((stack.bottom, stack.top, stack.is_lent()))
    }

    #[cold]
    fn lend(&mut self) -> Result<Stack> {
        let mut s = self.region.stack(&self.slot, self.module.loaded.layout.size())?;
        s.limit(self.stack_limit);
        crate::sys::valgrind::register(s.bottom..s.top);
        Ok(*self.stack.insert(s))
    }

    /// What calls need to know of function `index`.
    #[inline(always)]
    pub(super) fn call_info(&self, index: u32) -> Result<&CallInfo> {
        match self.module.calls.get(index as usize) {
            Some(info) if info.code != 0 => Ok(info),
            Some(_) => Err(no_code("a function without code", Status::Internal)),
            None => Err(no_code("a made-up function index", Status::InvalidArgument)),
        }
    }
}

#[cold]
fn no_code(what: &str, status: Status) -> Error {
    Error::new(status, what)
}

/// What is needed to call function `index`, below whatever runs on the instance's stack already.
fn prepare(control: ControlRef, index: u32) -> Result<(GuestCall, CallInfo)> {
    trap::prepare_thread()?;
    let running = vmctx::guest_sp_of(control);
    control.with(|i| {
        // Below everything that lies on the stack: a suspended run, and runs around this one.
        let suspended = i.suspended.map(|s| s.guest_sp);
        let used = suspended.into_iter().chain(running).min();
        let info = *i.call_info(index)?;
        let (stack_bottom, top, _) = i.stack()?;
        let call = GuestCall {
            stack_bottom,
            stack_top: used.unwrap_or(top),
            entry: info.entry,
            vmctx: i.data.vmctx(),
            code: info.code,
            slots: usize::from(info.params.max(info.results)),
        };
        Ok((call, info))
    })
}

/// The end of a call for which not enough stack was left.
pub(super) fn no_stack(control: ControlRef) -> Ended {
    backtrace::record(control, None);
    Ended::Trapped(Box::new(describe(control, TrapCode::StackOverflow, 0, None)))
}

/// Enters the guest and finds out how it ended.
fn execute(
    control: ControlRef,
    index: u32,
    args: &[u128],
    may_yield: bool,
    result: &mut dyn FnMut(ValType, usize, u128),
) -> Result<Ended> {
    let (call, info) = prepare(control, index)?;
    let mut activation = Activation::new(control, may_yield);
    let Some(slots) = call.place().filter(|_| !activation.too_deep()) else {
        return Ok(no_stack(control));
    };
    let exit = vmctx::enter(&mut activation, &call, slots, args.iter().copied());
    if exit == Exit::Returned {
        results(control, info.returns(), slots, result);
    }
    Ok(finish(control, &activation, exit, slots, info.returns()))
}

/// How a stretch of execution ended that `activation` stands for.
#[inline(always)]
pub(super) fn finish(
    control: ControlRef,
    activation: &Activation,
    exit: Exit,
    slots: usize,
    returns: Returns,
) -> Ended {
    match exit {
        Exit::Returned => Ended::Returned,
        Exit::Pending => {
            let Activation { guest_sp, entry, may_yield, .. } = *activation;
            let at = Place { guest_sp, kept: vmctx::kept(), slots, entry, may_yield };
            leave(control, activation.leaver().unwrap_or(control), at, returns)
        }
        Exit::Preempted => match vmctx::take_registers() {
            Some(registers) => pause(control, slots, returns, At::Code(registers)),
            None => Ended::HostError(Status::Internal as u64),
        },
        Exit::PreemptedInCall => {
            let (kept, results) = (vmctx::kept(), vmctx::call_results());
            let at = At::Call { guest_sp: activation.guest_sp, kept, results };
            pause(control, slots, returns, at)
        }
        Exit::Trapped => {
            backtrace::record(control, Some(Start::of(activation)));
            let (code, pc, fault) = activation.trap();
            let code = TrapCode::from_u8(code as u8).unwrap_or(TrapCode::Unreachable);
            Ended::Trapped(Box::new(describe(control, code, pc, fault)))
        }
        Exit::Ended => {
            backtrace::record(control, Some(Start::of(activation)));
            ended_from_outside()
        }
    }
}

/// Where a guest stopped that has called out.
#[derive(Clone, Copy)]
struct Place {
    guest_sp: usize,
    /// The registers that it expects back.
    kept: Kept,
    slots: usize,
    /// Host entry of what it called.
    entry: u32,
    may_yield: bool,
}

/// Notes where the guest was interrupted.
#[cold]
fn pause(control: ControlRef, slots: usize, returns: Returns, at: At) -> Ended {
    control.with(|i| i.preempted = Some(Preempted { slots, returns, at }));
    Ended::Preempted
}

/// How a run ended that somebody else ended.
fn ended_from_outside() -> Ended {
    match deadline::reason() {
        Reason::Deadline | Reason::Slice => Ended::TimedOut,
        Reason::Terminate => Ended::Terminated,
    }
}

/// Takes the pending action of `leaver` and acts on it.
#[inline(always)]
fn leave(control: ControlRef, leaver: ControlRef, at: Place, returns: Returns) -> Ended {
    let yielded = leaver.pending() == Pending::Yield && at.may_yield;
    leaver.set_pending(Pending::None);
    match if yielded { leave_yielded(control, leaver, &at, returns) } else { None } {
        Some(ended) => ended,
        None => leave_otherwise(control, leaver, at, returns),
    }
}

/// What [`leave`] does for a host function that yielded, word by word.
#[inline(always)]
fn leave_yielded(
    control: ControlRef,
    leaver: ControlRef,
    at: &Place,
    returns: Returns,
) -> Option<Ended> {
    let mut i = leaver.inner();
    let Some(Fault::Yield { value, resume, state }) = &i.fault else { return None };
    let (value, resume, state) = (*value, *resume, *state);
    i.fault = None;
    drop(i);
    let Place { guest_sp, kept, slots, entry, .. } = *at;
    let s = Suspended { guest_sp, kept, slots, returns, entry, leaver, resume, state };
    control.inner().suspended = Some(s);
    Some(Ended::Yielded(value))
}

/// What it does in every case.
#[inline(never)]
fn leave_otherwise(control: ControlRef, leaver: ControlRef, at: Place, returns: Returns) -> Ended {
    let fault = leaver.inner().fault.take();
    match &fault {
        Some(Fault::Yield { .. } | Fault::OutOfFuel) if at.may_yield => {}
        Some(Fault::Exit(_)) => {}
        Some(Fault::Nested(_)) => backtrace::adopt(control, leaver),
        _ => backtrace::record(control, Some(Start::suspended(at.guest_sp, at.entry))),
    }
    match fault {
        // The host function used a context that was not its own; nothing can be kept here.
        Some(Fault::Yield { .. }) if !at.may_yield => Ended::HostError(Status::NestedYield as u64),
        Some(Fault::Yield { value, resume, state }) => {
            let Place { guest_sp, kept, slots, entry, .. } = at;
            let s = Suspended { guest_sp, kept, slots, returns, entry, leaver, resume, state };
            control.inner().suspended = Some(s);
            Ended::Yielded(value)
        }
        // The pc is a return address; the call before it is what trapped.
        Some(Fault::Trap(code)) => {
            let pc = vmctx::suspended_pc(at.guest_sp).wrapping_sub(1);
            Ended::Trapped(Box::new(describe(control, code, pc, None)))
        }
        Some(Fault::Nested(ended)) => ended,
        Some(Fault::Fail(c)) => Ended::HostError(c),
        Some(Fault::Exit(c)) => Ended::Exited(c),
        Some(Fault::Terminate) => Ended::Terminated,
        Some(Fault::Interrupted) => ended_from_outside(),
        Some(Fault::Paused(rest)) => {
            let Place { guest_sp, kept, .. } = at;
            pause(control, at.slots, returns, At::Bulk { guest_sp, kept, on: leaver, rest })
        }
        Some(Fault::OutOfFuel) => {
            let Place { guest_sp, kept, slots, entry, may_yield } = at;
            if may_yield {
                let (resume, state) = (None, 0);
                let s = Suspended { guest_sp, kept, slots, returns, entry, leaver, resume, state };
                control.inner().suspended = Some(s);
            }
            Ended::OutOfFuel
        }
        Some(Fault::Throw(reference)) => match exceptions::describe(leaver, reference) {
            Some(exception) => Ended::Exception(exception),
            None => Ended::HostError(Status::Internal as u64),
        },
        None => Ended::HostError(Status::Internal as u64),
    }
}

/// Everything that is known about a trap at address `pc`, but for the function's name.
fn describe(control: ControlRef, code: TrapCode, pc: usize, address: Option<u64>) -> Trap {
    let place = control.with(|i| match i.module.place(pc) {
        Some(place) => Some(place),
        None => i.module_at(pc)?.place(pc),
    });
    let place = place.unwrap_or_default();
    Trap {
        code,
        pc: place.pc,
        address,
        wasm_offset: place.wasm_offset,
        function: place.function,
        function_name: None,
        module: place.module,
    }
}

/// Looks up the name of the function that trapped.
pub(super) fn name(control: ControlRef, trap: &mut Trap) {
    let (Some(function), id) = (trap.function, trap.module) else { return };
    let own = |m: &crate::module::Core| m.func_name(function).map(str::to_owned);
    trap.function_name = control.with(|i| {
        if i.module.id() == id {
            return own(&i.module);
        }
        let members = i.group.as_ref()?.members.lock();
        own(&members.iter().find(|m| m.module.id() == id)?.module)
    });
}

/// After the outermost run: a stack is kept only while it holds something.
pub(super) fn release_stack(control: ControlRef) {
    control.with(|i| {
        if i.region.config().compact
            && i.suspended.is_none()
            && i.preempted.is_none()
            && let Some(s) = i.stack.take()
        {
            i.region.release_stack(s);
        }
    });
}

/// Runs the start function during creation.
pub(super) fn start(control: ControlRef, index: u32, args: &[u128], what: &str) -> Result<()> {
    // Limits hold, but nothing could go on with it after a time slice.
    let (begin, slice) = control.with(|i| {
        let slice = i.limits.take_slice();
        (i.limits.begin(Begin::First), slice)
    });
    let run = deadline::begin(control, begin);
    let ended = run.and_then(|run| {
        let ended = execute(control, index, args, false, &mut |_, _, _| {});
        run.end();
        ended
    });
    control.with(|i| i.limits.set_slice(slice));
    release_stack(control);
    let ended = ended?;
    let fail = |m: String| Error::new(Status::StartFailed, format!("the {what} function {m}"));
    match ended {
        Ended::Returned => Ok(()),
        Ended::Trapped(mut t) => {
            name(control, &mut t);
            Err(fail(format!("trapped: {t}{}", backtrace::of_start(control))).with_trap(t.code))
        }
        Ended::Exited(c) => Err(fail(format!("exited with code {c}"))),
        Ended::HostError(c) => Err(fail(format!("failed in a host function with code {c}"))),
        Ended::Terminated => Err(fail("was terminated".into())),
        Ended::TimedOut => Err(fail("took longer than it may".into())),
        Ended::OutOfFuel => Err(fail("used up the fuel that instances begin with".into())),
        Ended::Exception(e) => {
            exceptions::left(control, &e);
            Err(fail(format!("threw: {e}")))
        }
        Ended::Yielded(_) | Ended::Preempted => Err(fail("was suspended".into())),
    }
}

/// A nested run: called from a host function of `control`'s instance.
pub(super) fn nested(
    control: ControlRef,
    index: u32,
    args: &[u128],
    result: &mut dyn FnMut(ValType, usize, u128),
) -> Result<Ended> {
    if control.pending() != Pending::None {
        return Err(Error::new(
            Status::WrongState,
            "the host function has decided to yield, trap or end already; return now",
        ));
    }
    let inside = Nested::begin();
    let keep = exceptions::Keep::begin(control);
    let ended = execute(control, index, args, false, result);
    drop(keep);
    drop(inside);
    let ended = ended?;
    if vmctx::guest_sp_of(control).is_none() {
        // Called on another member's stack, so this was the only run on its own.
        release_stack(control);
    }
    match &ended {
        Ended::Returned => {}
        // It goes on when the host function returns.
        Ended::Exception(e) => set_fault(control, Fault::Throw(e.reference)),
        other => set_fault(control, Fault::Nested(other.clone())),
    }
    Ok(ended)
}

/// A nested run whose results go to `results`, which has room for exactly all of them.
pub(super) fn nested_into(
    control: ControlRef,
    callee: Callee<'_>,
    args: &[Val],
    results: &mut [Val],
) -> Result<Ended> {
    let (module, index) = resolve(control, callee, args)?;
    let types = &module.func_type(index).results;
    check_results(|| module.describe_func(index), types, results.len())?;
    with_slots(args, |slots| {
        nested(control, index, slots, &mut |ty, i, slot| {
            if let Some(to) = results.get_mut(i) {
                *to = Val::from_slot(ty, slot);
            }
        })
    })
}

impl InstanceRef {
    /// Continues a suspended instance. `value` goes to the resume function of the host function
    /// that yielded, or is the host call's result if there is none.
    ///
    /// # Errors
    /// `WrongState` if the instance is not suspended; `Busy`, `InvalidHandle`, `SignalsBlocked`.
    pub fn resume(&self, value: u64) -> Result<Outcome> {
        let mut results = Vec::new();
        let ended = self.resume_with(value, None, |ty, _, slot| {
            results.push(Val::from_slot(ty, slot));
        })?;
        Ok(self.named(ended).outcome(results))
    }

    /// With the name of the function that trapped.
    pub(crate) fn named(&self, mut ended: Ended) -> Ended {
        if let Ended::Trapped(trap) = &mut ended
            && let Ok(lease) = self.lease(&IDLE)
        {
            name(lease.control, trap);
        }
        ended
    }

    /// The same; each result of the function that was suspended goes to `result`.
    #[inline(always)]
    pub(crate) fn resume_with(
        &self,
        value: u64,
        room: Option<usize>,
        mut result: impl FnMut(ValType, usize, u128),
    ) -> Result<Ended> {
        let mut lease = match Lease::from(self.control, self.generation, State::Suspended) {
            Ok(lease) => lease,
            Err(e) => return self.proceed_with(e, room, &mut result),
        };
        trap::prepare_thread()?;
        let control = lease.control;
        let i = control.inner();
        // Word by word: copying all of it would wait until what was just written is in the cache.
        let Some(s) = &i.suspended else { return Err(nowhere()) };
        let (guest_sp, kept, slots, returns) = (s.guest_sp, s.kept, s.slots, s.returns);
        let finished = s.resume.is_none();
        if room.is_some_and(|room| room != returns.number) {
            let types = &i.module.loaded.types.types[returns.ty as usize].ty.results;
            check_results(|| "the suspended function".into(), types, room.unwrap_or(0))?;
        }
        let begin = i.limits.begin(Begin::Again);
        let begun = i.clock();
        drop(i);
        let run = deadline::begin(control, begin)?;
        lease.set_next(State::Faulted);
        let (guest_sp, value) = if finished {
            control.inner().suspended = None;
            (guest_sp, value)
        } else {
            match finish_host_call(control, value) {
                Ok(place) => place,
                Err(ended) => {
                    let ended = ended.unless(run.end());
                    lease.set_next(over(control, &ended));
                    return Ok(ended);
                }
            }
        };
        let mut activation = Activation::new(control, true);
        let exit = vmctx::resume(&mut activation, guest_sp, &kept, (value, value));
        let doomed = run.end();
        if let Some(begun) = begun {
            super::warm::time(control, begun);
        }
        let ended = finish(control, &activation, exit, slots, returns).unless(doomed);
        match ended {
            Ended::Yielded(_) => lease.set_next(State::Suspended),
            Ended::Preempted => lease.set_next(State::Preempted),
            Ended::Returned => {
                results(control, returns, slots, result);
                lease.set_next(settle(control, &ended));
            }
            _ => lease.set_next(settle(control, &ended)),
        }
        Ok(ended)
    }
}

impl InstanceRef {
    /// Continues a preempted instance; `refused` says why it is not a suspended one.
    #[cold]
    fn proceed_with(
        &self,
        refused: Error,
        room: Option<usize>,
        result: &mut dyn FnMut(ValType, usize, u128),
    ) -> Result<Ended> {
        let Ok(mut lease) = self.lease(&[State::Preempted]) else { return Err(refused) };
        trap::prepare_thread()?;
        let control = lease.control;
        let i = control.inner();
        let begin = i.limits.begin(Begin::Again);
        let Some(returns) = i.preempted.as_ref().map(|p| p.returns) else { return Err(nowhere()) };
        if let Some(room) = room {
            let types = &i.module.loaded.types.types[returns.ty as usize].ty.results;
            check_results(|| "the interrupted function".into(), types, room)?;
        }
        drop(i);
        let run = deadline::begin(control, begin)?;
        lease.set_next(State::Faulted);
        let Some(p) = control.with(|i| i.preempted.take()) else { return Err(nowhere()) };
        let slots = p.slots;
        let ended = proceed(control, p).unless(run.end());
        if ended == Ended::Returned {
            results(control, returns, slots, result);
        }
        lease.set_next(settle(control, &ended));
        Ok(ended)
    }
}

/// Continues a guest that was interrupted.
fn proceed(control: ControlRef, p: Preempted) -> Ended {
    let Preempted { slots, returns, at } = p;
    let mut activation = Activation::new(control, true);
    match at {
        At::Code(mut registers) => {
            let exit = vmctx::proceed(&mut activation, &mut registers);
            let ended = match exit {
                Some(exit) => finish(control, &activation, exit, slots, returns),
                None => Ended::HostError(Status::Internal as u64),
            };
            if !vmctx::has_registers() {
                // The next slice needs no new memory for them.
                vmctx::give_registers(registers);
            }
            ended
        }
        At::Call { guest_sp, kept, results } => {
            let exit = vmctx::resume(&mut activation, guest_sp, &kept, results);
            finish(control, &activation, exit, slots, returns)
        }
        At::Bulk { guest_sp, kept, on, rest } => match memory::proceed(on, rest) {
            Ok(()) => {
                let exit = vmctx::resume(&mut activation, guest_sp, &kept, (0, 0));
                finish(control, &activation, exit, slots, returns)
            }
            Err(Fault::Paused(rest)) => {
                pause(control, slots, returns, At::Bulk { guest_sp, kept, on, rest })
            }
            Err(Fault::Trap(code)) => {
                let pc = vmctx::suspended_pc(guest_sp).wrapping_sub(1);
                Ended::Trapped(Box::new(describe(control, code, pc, None)))
            }
            Err(_) => ended_from_outside(),
        },
    }
}

#[cold]
fn nowhere() -> Error {
    Error::new(Status::Internal, "a suspended instance without a place")
}

/// The end of a resume whose resume function did not finish the host call.
#[cold]
fn over(control: ControlRef, ended: &Ended) -> State {
    if !matches!(ended, Ended::Yielded(_)) {
        control.with(|i| i.suspended = None);
    }
    settle(control, ended)
}

/// Gives up a suspended or preempted run.
pub(super) fn abandon(control: ControlRef) {
    let abandoned = control.with(|i| {
        i.suspended = None;
        i.preempted = None;
        i.abandoned.take()
    });
    release_stack(control);
    drop(abandoned);
}

/// The state after a run; gives the stack back if nothing is left on it.
pub(super) fn settle(control: ControlRef, ended: &Ended) -> State {
    let next = match ended {
        Ended::OutOfFuel if control.inner().suspended.is_some() => State::Suspended,
        ended => ended.next(),
    };
    if let Ended::Exception(e) = ended {
        exceptions::left(control, e);
    }
    if let Some(end) = ended.counted() {
        control.with(|i| i.region.home().count(end));
    }
    if !matches!(next, State::Suspended | State::Preempted) {
        abandon(control);
    }
    next
}

/// Runs the resume function: where the guest goes on, and the host call's result; or another end
/// of the run.
#[inline(never)]
fn finish_host_call(control: ControlRef, value: u64) -> std::result::Result<(usize, u64), Ended> {
    let suspended = control.inner().suspended;
    let Some((s, f)) = suspended.and_then(|s| Some((s, s.resume?))) else {
        return Err(Ended::HostError(Status::Internal as u64));
    };
    // From here on its state is the resume function's.
    if let Some(lent) = control.with(|i| i.abandoned.take()) {
        lent.forget();
    }
    let place = (s.guest_sp, s.entry);
    let result = vmctx::call_resume_fn(f, control, place, s.leaver, value, s.state);
    if s.leaver.pending() == Pending::None {
        control.with(|i| i.suspended = None);
        return Ok((s.guest_sp, result));
    }
    if s.leaver.pending() == Pending::Throw {
        // It may land in the guest, as if the host function had thrown at first.
        let landed = exceptions::land(s.leaver, control, vmctx::suspended_fp(s.guest_sp));
        if let Some(landed) = landed {
            control.with(|i| i.suspended = None);
            return Ok(landed);
        }
    }
    // Another thread than the one on which the guest left may be here: nothing of it is this one's.
    let Suspended { guest_sp, kept, slots, entry, returns, .. } = s;
    let at = Place { guest_sp, kept, slots, entry, may_yield: true };
    Err(leave(control, s.leaver, at, returns))
}
