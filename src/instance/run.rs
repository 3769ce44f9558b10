//! Calling functions of an instance, resuming it, and turning what came back into an outcome.
//!
//! ```text
//!  run ── lease ── enter ──► guest ──► Left ── finish ──► Ended ──► next state
//!  resume ── resume_fn (host's stack) ── arch::resume ──► guest ──► …
//!  nested: Vmctx::run ── enter on the same guest stack ──► … ── a bad end also ends the run around
//! ```

use super::args::{Callee, check_results, resolve, store, with_slots};
use super::{Fault, Inner, InstanceRef, Suspended, deadline, set_fault};
use crate::arch::Exit;
use crate::error::{Error, Result, Status};
use crate::module::Module;
use crate::outcome::{Outcome, Trap};
use crate::trap;
use crate::value::Val;
use crate::vmctx::{self, ControlRef, GuestCall, Lease, Left, Pending, State};
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
}

impl Ended {
    pub(super) fn outcome(self, results: Vec<Val>) -> Outcome {
        match self {
            Self::Returned => Outcome::Returned(results),
            Self::Yielded(v) => Outcome::Yielded(v),
            Self::Trapped(t) => Outcome::Trapped(*t),
            Self::Terminated => Outcome::Terminated,
            Self::TimedOut => Outcome::TimedOut,
            Self::Exited(c) => Outcome::Exited(c),
            Self::HostError(c) => Outcome::HostError(c),
            Self::OutOfFuel => Outcome::OutOfFuel,
        }
    }

    fn next(&self, suspended: bool) -> State {
        match self {
            Self::Returned => State::Ready,
            Self::Yielded(_) => State::Suspended,
            Self::OutOfFuel if suspended => State::Suspended,
            _ => State::Faulted,
        }
    }
}

impl Inner {
    /// What is needed to call function `index` below `top`, or on the empty stack; and its type.
    #[inline(always)]
    pub(super) fn guest_call(
        &mut self,
        index: u32,
        top: Option<usize>,
        may_yield: bool,
    ) -> Result<(GuestCall, u32)> {
        let Some((code, entry)) = self.module.code_of(index) else {
            return Err(Error::new(Status::Internal, "a function without code"));
        };
        let stack = match self.stack {
            Some(s) => s,
            None => {
                let s = self.region.stack(&self.slot, self.module.loaded.layout.size())?;
                *self.stack.insert(s)
            }
        };
        let ty = self.module.func_type(index);
        let call = GuestCall {
            stack_bottom: stack.bottom,
            stack_top: top.unwrap_or(stack.top),
            entry,
            vmctx: self.data.vmctx(),
            code,
            slots: ty.params.len().max(ty.results.len()),
            may_yield,
            lent: stack.is_lent(),
        };
        Ok((call, self.module.loaded.funcs.funcs[index as usize].ty))
    }
}

/// What is needed to call function `index`, below whatever runs on the instance's stack already.
fn prepare(control: ControlRef, index: u32, may_yield: bool) -> Result<(GuestCall, u32)> {
    trap::prepare_thread()?;
    let running = vmctx::guest_sp_of(control);
    control.with(|i| {
        // Below everything that lies on the stack: a suspended run, and runs around this one.
        let suspended = i.suspended.map(|s| s.guest_sp);
        let used = suspended.into_iter().chain(running).min();
        i.guest_call(index, used, may_yield)
    })
}

/// The end of a call for which not enough stack was left.
pub(super) fn no_stack(control: ControlRef) -> Ended {
    Ended::Trapped(Box::new(describe(control, TrapCode::StackOverflow, 0, None)))
}

/// Enters the guest and finds out how it ended.
fn execute(
    control: ControlRef,
    index: u32,
    args: &[u128],
    may_yield: bool,
    result: &mut dyn FnMut(usize, u128),
) -> Result<Ended> {
    let (call, ty) = prepare(control, index, may_yield)?;
    match vmctx::enter(control, &call, args.iter().copied()) {
        Some(left) => Ok(finish(control, &left, ty, result)),
        None => Ok(no_stack(control)),
    }
}

pub(super) fn finish(
    control: ControlRef,
    left: &Left,
    ty: u32,
    result: &mut dyn FnMut(usize, u128),
) -> Ended {
    match left.exit {
        Exit::Returned => {
            let n = control.with(|i| i.module.loaded.types.types[ty as usize].ty.results.len());
            vmctx::read_slots(left, n, result);
            Ended::Returned
        }
        Exit::Trapped => {
            // The stack overflowed while the thunk left with a pending action.
            if let Some(leaver) = left.leaver {
                leaver.set_pending(Pending::None);
                leaver.with(|i| i.fault = None);
            }
            let code = TrapCode::from_u8(left.trap_code as u8).unwrap_or(TrapCode::Unreachable);
            Ended::Trapped(Box::new(describe(control, code, left.pc, left.fault)))
        }
        Exit::Ended => ended_from_outside(),
        Exit::Pending => {
            let leaver = left.leaver.unwrap_or(control);
            leave(control, leaver, left, ty)
        }
    }
}

/// How a run ended that somebody else ended.
fn ended_from_outside() -> Ended {
    match deadline::reason() {
        deadline::Reason::Deadline => Ended::TimedOut,
        deadline::Reason::Terminate => Ended::Terminated,
    }
}

/// Takes the pending action of `leaver` and acts on it.
fn leave(control: ControlRef, leaver: ControlRef, left: &Left, ty: u32) -> Ended {
    leaver.set_pending(Pending::None);
    match leaver.with(|i| i.fault.take()) {
        // The host function used a context that was not its own; nothing can be kept here.
        Some(Fault::Yield { .. }) if !left.may_yield => {
            Ended::HostError(Status::NestedYield as u64)
        }
        Some(Fault::Yield { value, resume, state }) => {
            let (guest_sp, slots) = (left.guest_sp, left.slots);
            let s = Suspended { guest_sp, slots, ty, leaver, resume, state };
            control.with(|i| i.suspended = Some(s));
            Ended::Yielded(value)
        }
        // The pc is a return address; the call before it is what trapped.
        Some(Fault::Trap(code)) => {
            Ended::Trapped(Box::new(describe(control, code, left.pc.wrapping_sub(1), None)))
        }
        Some(Fault::Nested(ended)) => ended,
        Some(Fault::Fail(c)) => Ended::HostError(c),
        Some(Fault::Exit(c)) => Ended::Exited(c),
        Some(Fault::Terminate) => Ended::Terminated,
        Some(Fault::Interrupted) => ended_from_outside(),
        Some(Fault::OutOfFuel) => {
            if left.may_yield {
                let (guest_sp, slots) = (left.guest_sp, left.slots);
                let s = Suspended { guest_sp, slots, ty, leaver, resume: None, state: 0 };
                control.with(|i| i.suspended = Some(s));
            }
            Ended::OutOfFuel
        }
        None => Ended::HostError(Status::Internal as u64),
    }
}

/// Everything that is known about a trap at address `pc`.
fn describe(control: ControlRef, code: TrapCode, pc: usize, address: Option<u64>) -> Trap {
    let own = control.with(|i| (i.module.clone(), i.group.clone()));
    let others = own.1.map(|g| g.members.lock().iter().map(|m| m.module.clone()).collect());
    let modules: Vec<Arc<Module>> = others.unwrap_or_default();
    let found = std::iter::once(&own.0)
        .chain(&modules)
        .find_map(|m| m.offset_of(pc).map(|offset| (m, offset)));
    let Some((module, pc)) = found else {
        return Trap {
            code,
            pc: 0,
            address,
            wasm_offset: None,
            function: None,
            function_name: None,
        };
    };
    let function = u32::try_from(pc).ok().and_then(|pc| module.loaded.function_at(pc));
    Trap {
        code,
        pc,
        address,
        wasm_offset: function.and_then(|f| module.loaded.wasm_offset(f, pc as u32)),
        function,
        function_name: function.and_then(|f| module.func_name(f)).map(str::to_owned),
    }
}

/// After the outermost run: a stack is kept only while it holds something.
pub(super) fn release_stack(control: ControlRef) {
    control.with(|i| {
        if i.region.config().compact
            && i.suspended.is_none()
            && let Some(s) = i.stack.take()
        {
            i.region.release_stack(s);
        }
    });
}

/// Runs the start function during creation.
pub(super) fn start(control: ControlRef, index: u32) -> Result<()> {
    let run = deadline::begin(control, 0)?;
    let ended = execute(control, index, &[], false, &mut |_, _| {})?;
    drop(run);
    release_stack(control);
    let fail = |m: String| Error::new(Status::StartFailed, format!("the start function {m}"));
    match ended {
        Ended::Returned => Ok(()),
        Ended::Trapped(t) => Err(fail(format!("trapped: {t}")).with_trap(t.code)),
        Ended::Exited(c) => Err(fail(format!("exited with code {c}"))),
        Ended::HostError(c) => Err(fail(format!("failed in a host function with code {c}"))),
        Ended::Terminated => Err(fail("was terminated".into())),
        Ended::TimedOut => Err(fail("took longer than it may".into())),
        Ended::OutOfFuel => Err(fail("used up the fuel that instances begin with".into())),
        Ended::Yielded(_) => Err(fail("yielded".into())),
    }
}

/// A nested run: called from a host function of `control`'s instance.
pub(super) fn nested(
    control: ControlRef,
    index: u32,
    args: &[u128],
    result: &mut dyn FnMut(usize, u128),
) -> Result<Ended> {
    if control.pending() != Pending::None {
        return Err(Error::new(
            Status::WrongState,
            "the host function has decided to yield, trap or end already; return now",
        ));
    }
    let ended = execute(control, index, args, false, result)?;
    if vmctx::guest_sp_of(control).is_none() {
        // Called on another member's stack, so this was the only run on its own.
        release_stack(control);
    }
    if ended != Ended::Returned {
        set_fault(control, Fault::Nested(ended.clone()));
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
        nested(control, index, slots, &mut |i, slot| store(results, types, i, slot))
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
        let ended = self.resume_with(value, None, &mut |ty, _, slot| {
            results.push(Val::from_slot(ty, slot));
        })?;
        Ok(ended.outcome(results))
    }

    /// The same; the results of the function that was suspended go to `results`.
    pub(crate) fn resume_into(&self, value: u64, results: &mut [Val]) -> Result<Ended> {
        self.resume_with(value, Some(results.len()), &mut |ty, i, slot| {
            if let Some(to) = results.get_mut(i) {
                *to = Val::from_slot(ty, slot);
            }
        })
    }

    fn resume_with(
        &self,
        value: u64,
        room: Option<usize>,
        result: &mut dyn FnMut(ValType, usize, u128),
    ) -> Result<Ended> {
        let mut lease = self.lease(&[State::Suspended])?;
        trap::prepare_thread()?;
        let control = lease.control;
        let (Some(s), module) = control.with(|i| (i.suspended, i.module.clone())) else {
            return Err(Error::new(Status::Internal, "a suspended instance without a place"));
        };
        let types = &module.loaded.types.types[s.ty as usize].ty.results;
        if let Some(room) = room {
            check_results(|| "the suspended function".into(), types, room)?;
        }
        let run = deadline::begin(control, control.with(|i| i.time_limit))?;
        lease.set_next(State::Faulted);
        let ended = match finish_host_call(control, &s, value) {
            Err(ended) => {
                if !matches!(ended, Ended::Yielded(_)) {
                    control.with(|i| i.suspended = None);
                }
                ended
            }
            Ok(value) => {
                control.with(|i| i.suspended = None);
                let left = vmctx::resume(control, s.guest_sp, s.slots, value);
                finish(control, &left, s.ty, &mut |i, slot| {
                    if let Some(ty) = types.get(i) {
                        result(*ty, i, slot);
                    }
                })
            }
        };
        drop(run);
        settle(&mut lease, &ended);
        Ok(ended)
    }
}

/// The state after a run, and what becomes of its stack.
pub(super) fn settle(lease: &mut Lease, ended: &Ended) {
    let next = ended.next(lease.control.with(|i| i.suspended.is_some()));
    lease.set_next(next);
    if next != State::Suspended {
        release_stack(lease.control);
    }
}

/// Runs the resume function, if there is one: the host call's result, or another end of the run.
fn finish_host_call(
    control: ControlRef,
    s: &Suspended,
    value: u64,
) -> std::result::Result<u64, Ended> {
    let Some(f) = s.resume else { return Ok(value) };
    let result = vmctx::call_resume_fn(f, control, s.guest_sp, s.leaver, value, s.state);
    if s.leaver.pending() == Pending::None {
        return Ok(result);
    }
    let left = Left {
        exit: Exit::Pending,
        slots: s.slots,
        guest_sp: s.guest_sp,
        trap_code: 0,
        pc: vmctx::suspended_pc(s.guest_sp),
        fault: None,
        leaver: Some(s.leaver),
        may_yield: true,
    };
    Err(leave(control, s.leaver, &left, s.ty))
}
