//! Where a run ended or waits: recorded when it ends badly, if that was asked for; looked at on the
//! spot while it is suspended.
//!
//! Recording is a walk along frame pointers into a block that the instance keeps: about a
//! nanosecond for each frame. Without it, a run that ends badly pays one comparison.

use super::{IDLE, Inner, InstanceRef};
use crate::error::{Error, Result, Status};
use crate::module::Core;
use crate::sys::reserve;
use crate::trap::backtrace::Trace;
use crate::trap::{Backtrace, Frame, FrameKind};
use crate::vmctx::walk::{self, Start, Step};
use crate::vmctx::{ControlRef, Lease, State};
use lucet_artifact::abi::{Builtin, FIRST_IMPORT};
use lucet_artifact::contract::ImportKind;
use std::ops::Range;
use std::sync::Arc;

/// What an instance keeps for backtraces.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    on: bool,
    /// What `on` is in a fresh instance: the region's setting.
    at_first: bool,
    /// Of the last run that ended badly; made by the first one.
    trace: Option<Box<Trace>>,
    /// Whether `trace` is that of the last run.
    fresh: bool,
}

impl Recorder {
    pub(super) fn new(on: bool) -> Self {
        Self { on, at_first: on, ..Self::default() }
    }

    /// As in a fresh instance.
    #[inline(always)]
    pub(super) fn renew(&mut self) {
        self.on = self.at_first;
        self.fresh = false;
    }

    /// Forgets what was recorded.
    pub(super) fn clear(&mut self) {
        self.fresh = false;
    }
}

/// Records the way out of `control`'s run, if the instance is to; `None`: it was not even entered.
#[inline]
pub(super) fn record(control: ControlRef, start: Option<Start>) {
    if control.with(|i| i.backtrace.on) {
        record_now(control, start);
    }
}

#[cold]
fn record_now(control: ControlRef, start: Option<Start>) {
    let kept = control.with(|i| i.backtrace.trace.take());
    // Without memory there is no backtrace.
    let Some(mut trace) = kept.or_else(|| reserve::try_box(Trace::new())) else {
        return control.with(|i| i.backtrace.fresh = false);
    };
    trace.clear();
    let group = control.with(|i| i.group.as_ref().map(Arc::as_ptr));
    let stack_of = |c: ControlRef| {
        c.with(|i| {
            let same =
                c == control || group.is_some() && i.group.as_ref().map(Arc::as_ptr) == group;
            if same { i.stack_range() } else { None }
        })
    };
    walk::chain(control, start, &stack_of, &mut |step| trace.push(step));
    control.with(|i| {
        i.backtrace.trace = Some(trace);
        i.backtrace.fresh = true;
    });
}

/// A run inside one of `control`'s ended both: what was recorded for it (as `inner`'s) is the
/// backtrace of the outer one too.
pub(super) fn adopt(control: ControlRef, inner: ControlRef) {
    if control == inner || !control.with(|i| i.backtrace.on) {
        return;
    }
    let found = inner.with(|i| i.backtrace.trace.as_ref().filter(|_| i.backtrace.fresh).cloned());
    control.with(|i| {
        i.backtrace.fresh = found.is_some();
        i.backtrace.trace = found;
    });
}

/// What was recorded of a start function's run, for the message of the error: a few lines.
pub(super) fn of_start(control: ControlRef) -> String {
    const LINES: usize = 12;
    match recorded(control) {
        Some(mut trace) => {
            trace.frames.truncate(LINES);
            format!("\n{}", trace.to_string().trim_end())
        }
        None => String::new(),
    }
}

impl Inner {
    /// Forgets a run that its thread will never come back to.
    pub(crate) fn abandon(&mut self) {
        self.fault = None;
        self.suspended = None;
        self.backtrace.clear();
    }

    pub(super) fn stack_range(&self) -> Option<Range<usize>> {
        self.stack.map(|s| s.bottom..s.top)
    }

    /// The module whose code holds `pc`: the own one, or that of another member of the group.
    pub(super) fn module_at(&self, pc: usize) -> Option<Arc<Core>> {
        if self.module.offset_of(pc).is_some() {
            return Some(self.module.clone());
        }
        let members = self.group.as_ref()?.members.lock();
        members.iter().find(|m| m.module.offset_of(pc).is_some()).map(|m| m.module.clone())
    }
}

/// A frame of guest code; `None` for the glue that lucetc writes around functions.
fn guest_frame(module: &Core, pc: usize) -> Option<Frame> {
    let place = module.place(pc)?;
    let function = place.function?;
    Some(Frame {
        kind: FrameKind::Guest,
        function: Some(function),
        name: module.func_name(function).map(str::to_owned),
        wasm_offset: place.wasm_offset,
        pc: place.pc,
        module: module.id(),
    })
}

/// A frame of the host, called by code of `module`.
fn host_frame(module: &Core, entry: u32) -> Frame {
    let none = Frame {
        kind: FrameKind::Import,
        function: None,
        name: None,
        wasm_offset: None,
        pc: 0,
        module: module.id(),
    };
    let Some(function) = entry.checked_sub(FIRST_IMPORT) else {
        let builtin = Builtin::ALL.into_iter().find(|b| *b as u32 == entry);
        return Frame { kind: FrameKind::Builtin(builtin), ..none };
    };
    let imports = &module.loaded.imports.imports;
    let name = imports
        .iter()
        .filter(|i| matches!(i.kind, ImportKind::Func(_)))
        .nth(function as usize)
        .map(|i| format!("{}.{}", i.module, i.name));
    Frame { function: Some(function), name, ..none }
}

/// Looks up what steps are.
struct Resolver<'a> {
    control: ControlRef,
    /// A host function whose caller is the next step.
    called: Option<u32>,
    frames: &'a mut Vec<Frame>,
}

impl Resolver<'_> {
    fn step(&mut self, step: Step) {
        let module = match step {
            Step::Host(entry) => {
                self.flush(None);
                self.called = Some(entry);
                return;
            }
            Step::Code(pc) => self.control.with(|i| i.module_at(pc).map(|m| (m, pc))),
        };
        let Some((module, pc)) = module else { return };
        self.flush(Some(&module));
        self.frames.extend(guest_frame(&module, pc));
    }

    /// A host function that is the last of the kept steps belongs to whom it can only guess.
    fn flush(&mut self, module: Option<&Core>) {
        let Some(entry) = self.called.take() else { return };
        let frame = match module {
            Some(m) => host_frame(m, entry),
            None => host_frame(&self.control.with(|i| i.module.clone()), entry),
        };
        self.frames.push(frame);
    }
}

fn resolve(control: ControlRef, trace: &Trace) -> Backtrace {
    let mut frames = Vec::new();
    let mut r = Resolver { control, called: None, frames: &mut frames };
    trace.innermost().iter().for_each(|s| r.step(*s));
    if trace.omitted() > 0 {
        r.flush(None);
        let kind = FrameKind::Omitted(trace.omitted() as u64);
        let module = control.with(|i| i.module.id());
        r.frames.push(Frame { kind, function: None, name: None, wasm_offset: None, pc: 0, module });
    }
    trace.outermost().for_each(|s| r.step(s));
    r.flush(None);
    Backtrace { frames }
}

/// What was recorded of the run that just ended.
fn recorded(control: ControlRef) -> Option<Backtrace> {
    let trace = control.with(|i| i.backtrace.trace.as_ref().filter(|_| i.backtrace.fresh).cloned());
    trace.map(|t| resolve(control, &t))
}

/// Where a suspended run waits.
fn waiting(control: ControlRef) -> Option<Backtrace> {
    let (stack, s) = control.with(|i| Some((i.stack_range()?, i.suspended?)))?;
    let mut trace = Trace::new();
    let start = Start::suspended(s.guest_sp, s.entry);
    walk::stretch(&stack, start, &mut |step| trace.push(step));
    Some(resolve(control, &trace))
}

impl InstanceRef {
    /// Whether runs that end badly (trap, failure, termination, time limit) leave a backtrace. The
    /// region's setting is the beginning.
    ///
    /// # Errors
    /// `InvalidHandle`, `Busy`.
    pub fn set_backtrace(&self, on: bool) -> Result<()> {
        let lease = self.lease(&IDLE)?;
        lease.control.with(|i| {
            i.backtrace.on = on;
            i.backtrace.fresh &= on;
        });
        Ok(())
    }

    /// Where the last run ended, if it ended badly, or where the suspended one waits.
    ///
    /// # Errors
    /// `WrongState` if there is nothing of the kind, or it was not recorded; `InvalidHandle`,
    /// `Busy`.
    pub fn backtrace(&self) -> Result<Backtrace> {
        let lease: Lease = self.lease(&IDLE)?;
        let control = lease.control;
        let none = |what: &str| Err(Error::new(Status::WrongState, what));
        let found = match lease.state() {
            State::Suspended => waiting(control),
            State::Faulted => recorded(control),
            _ => return none("there is no backtrace: the last run ended well, or there was none"),
        };
        match found {
            Some(trace) => Ok(trace),
            None if control.with(|i| i.backtrace.on) => {
                none("there is no backtrace: the instance did not end in a run")
            }
            None => none(
                "no backtrace was recorded: turn backtraces on (lucet_instance_set_backtrace, or \
                 lucet_region_config_set_backtrace for all instances) before the run",
            ),
        }
    }
}
