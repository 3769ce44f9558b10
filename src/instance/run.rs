//! Calling functions of an instance, resuming it, and turning what came back into an outcome.
//!
//! ```text
//!  run ── lease ── enter ──► guest ──► Left ── finish ──► Ended ──► next state
//!  resume ── resume_fn (host's stack) ── arch::resume ──► guest ──► …
//!  nested: Vmctx::run ── enter on the same guest stack ──► … ── a bad end also ends the run around
//! ```

use super::args::{Callee, check_results, resolve, store, with_slots};
use super::watch::Reason;
use super::{Fault, Inner, InstanceRef, Suspended, deadline, set_fault};
use crate::arch::Exit;
use crate::error::{Error, Result, Status};
use crate::module::{CallInfo, Core};
use crate::outcome::{Outcome, Trap};
use crate::region::Stack;
use crate::trap;
use crate::value::Val;
use crate::vmctx::{self, Activation, ControlRef, GuestCall, Lease, Left, Pending, State};
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
        }
    }

    fn next(&self) -> State {
        match self {
            Self::Returned => State::Ready,
            Self::Yielded(_) => State::Suspended,
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
        let s = self.region.stack(&self.slot, self.module.loaded.layout.size())?;
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
    let (call, info) = prepare(control, index)?;
    let mut activation = Activation::new(control, may_yield);
    let Some(slots) = call.place().filter(|_| !activation.too_deep()) else {
        return Ok(no_stack(control));
    };
    let exit = vmctx::enter(&mut activation, &call, slots, args.iter().copied());
    Ok(finish(control, &activation.left(exit, slots), info.ty, result))
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
            vmctx::read_slots(left.slots, n, result);
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
        Reason::Deadline => Ended::TimedOut,
        Reason::Terminate => Ended::Terminated,
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
        None => Ended::HostError(Status::Internal as u64),
    }
}

/// Everything that is known about a trap at address `pc`.
fn describe(control: ControlRef, code: TrapCode, pc: usize, address: Option<u64>) -> Trap {
    let own = control.with(|i| (i.module.clone(), i.group.clone()));
    let others = own.1.map(|g| g.members.lock().iter().map(|m| m.module.clone()).collect());
    let modules: Vec<Arc<Core>> = others.unwrap_or_default();
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
            Err(ended) => ended,
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
        if ended != Ended::Returned && !matches!(ended, Ended::Yielded(_)) {
            control.with(|i| i.suspended = None);
        }
        settle(&mut lease, &ended);
        Ok(ended)
    }
}

/// The state after a run, and what becomes of its stack.
pub(super) fn settle(lease: &mut Lease, ended: &Ended) {
    lease.set_next(ended.next());
    if !matches!(ended, Ended::Yielded(_)) {
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
