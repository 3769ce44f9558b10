//! An instance: one module's code with its own memory, globals and tables, in one slot.
//!
//! * this file: what an instance consists of, and its life from creation to drop
//! * [`start`]: filling a slot: imports, tables, segments, start function
//! * [`run`]: calling functions, nested runs, resuming, and what comes back
//! * [`args`]: arguments and results of calls
//! * [`limits`]: what it may use, and who is asked
//! * [`memory`], [`tables`]: what builtins and the host do to them
//! * [`memories`]: what the host sees of memories while nobody runs
//! * [`exceptions`]: exceptions that are alive, and where they go
//! * [`fuel`]: runs limited by steps
//! * [`deadline`], [`watch`]: ending runs from outside, from either side
//! * [`host`]: what a host function may do with the instance that called it
//! * [`wasi`]: the place of WASI in it
//! * [`backtrace`]: where a run ended or waits

mod args;
mod backtrace;
mod capture;
pub(crate) mod constant;
mod deadline;
pub(crate) mod exceptions;
pub(crate) mod fuel;
mod host;
mod limits;
mod memories;
pub(crate) mod memory;
mod run;
mod start;
pub(crate) mod tables;
mod warm;
mod wasi;
mod watch;

use crate::arch::{Kept, Registers};
use crate::error::{Error, Result, Status};
use crate::group;
use crate::http;
use crate::idle::Parked;
use crate::module::{self, Func, Module, Returns};
use crate::region::{self, Region, Rung, Slot, Stack};
use crate::value::Val;
use crate::vmctx::{
    self, ControlRef, InstanceData, Lease, Lent, Pending, ResumeFn, State, TableEntry,
};
pub(crate) use args::{Callee, check_result, is_checked};
use deadline::Limits;
pub(crate) use deadline::asked_in_thunk;
pub(crate) use exceptions::land;
pub use host::Vmctx;
use lucet_artifact::FuncType;
use lucet_artifact::abi::TrapCode;
use lucet_artifact::contract::ExportKind;
use lucet_artifact::init::SegmentMode;
pub(crate) use memory::Memory;
pub use run::Ended;
use std::sync::Arc;
pub(crate) use wasi::set_waiting;
pub(crate) use watch::Reason;
pub use watch::{check_deadlines, set_watchdog};

/// Why a guest must not go on; the detail behind a pending action.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// A host function yielded this value; finish with this function and state.
    Yield { value: u64, resume: Option<ResumeFn>, state: usize },
    /// A trap raised by a builtin or host function.
    Trap(TrapCode),
    /// A nested run ended like this, which ends the run around it too.
    Nested(Ended),
    /// A host function failed with this code.
    Fail(u64),
    /// The guest asked to exit with this code.
    Exit(u64),
    /// The host stopped the guest.
    Terminate,
    /// A long operation of the runtime stopped, because the run is to end.
    Interrupted,
    /// The same because its time slice is over; this is left to do.
    Paused(memory::Rest),
    /// The fuel is used up; the guest can go on when it has some again.
    OutOfFuel,
    /// An exception was thrown; this is the reference to it. The guest goes on where it is caught.
    Throw(u64),
}

/// Notes why the guest must not go on; the host thunk acts on it when the host function returns.
/// The first reason counts, except that anything replaces a yield.
pub(crate) fn set_fault(control: ControlRef, fault: Fault) {
    let pending = match &fault {
        Fault::Yield { .. } | Fault::Paused(_) => Pending::Yield,
        Fault::Trap(_) | Fault::Nested(_) => Pending::Trap,
        Fault::Fail(_) => Pending::Fail,
        Fault::Exit(_) => Pending::Exit,
        Fault::Terminate | Fault::Interrupted => Pending::Terminate,
        Fault::OutOfFuel => Pending::OutOfFuel,
        Fault::Throw(_) => Pending::Throw,
    };
    if matches!(control.pending(), Pending::None | Pending::Yield) {
        control.with(|i| i.fault = Some(fault));
        control.set_pending(pending);
    }
}

/// What [`set_fault`] does for a yield, of an instance that has nothing pending.
#[inline]
fn set_yield(control: ControlRef, value: u64, resume: Option<ResumeFn>, state: usize) {
    control.inner().fault = Some(Fault::Yield { value, resume, state });
    control.set_pending(Pending::Yield);
}

/// A guest that a host function suspended.
#[derive(Debug, Clone, Copy)]
struct Suspended {
    guest_sp: usize,
    kept: Kept,
    slots: usize,
    /// What the function that was called returns.
    returns: Returns,
    /// Host entry of the host function that yielded.
    entry: u32,
    /// The instance whose host call yielded, or whose fuel was used up: another one than this only
    /// in a group.
    leaver: ControlRef,
    resume: Option<ResumeFn>,
    state: usize,
}

/// A guest that was interrupted, because its time slice was over.
#[derive(Debug)]
struct Preempted {
    slots: usize,
    /// What the function that was called returns.
    returns: Returns,
    at: At,
}

/// Where it was interrupted.
#[derive(Debug)]
enum At {
    /// In its code.
    Code(Registers),
    /// Behind a host call, which has returned.
    Call { guest_sp: usize, kept: Kept, results: (u64, u64) },
    /// In a bulk operation of this instance, of which this is left to do.
    Bulk { guest_sp: usize, kept: Kept, on: ControlRef, rest: memory::Rest },
}

/// A table of an instance.
#[derive(Debug)]
pub(crate) enum Table {
    /// Its own. `None`: never written, so the module's initial contents.
    Own(Option<Vec<TableEntry>>),
    /// Table `index` (an own one) of another member of the group.
    Imported { owner: ControlRef, index: u32 },
}

/// An imported global: the cell of another member of the group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImportedGlobal {
    pub owner: ControlRef,
    /// Offset of the cell from the owner's `vmctx`.
    pub offset: i32,
}

/// Everything about an instance that is not in its slot.
#[derive(Debug)]
pub struct Inner {
    pub(crate) module: Arc<module::Core>,
    region: Arc<region::Core>,
    slot: Slot,
    pub(crate) data: InstanceData,
    /// Current and largest size of the own memory 0, in bytes. Instance data holds a copy of the
    /// first for compiled code; this is the one that counts.
    memory_bytes: u64,
    /// The largest size it has had since the slot was pristine.
    memory_touched: u64,
    /// What all its memories together may take.
    memory_max: u64,
    /// The same for this instance; at most `memory_max`.
    memory_limit: u64,
    /// Elements that each of its tables may have.
    table_max: u64,
    /// The same for this instance; at most `table_max`.
    table_limit: u64,
    /// Whether its runs are timed.
    timed: bool,
    /// Bytes of stack that it may use.
    stack_limit: u64,
    /// Memories that do not lie in the slot.
    others: Option<Box<memory::Others>>,
    pub(crate) tables: Vec<Table>,
    globals: Vec<ImportedGlobal>,
    /// Imported tags.
    tags: Vec<exceptions::Tag>,
    /// Exceptions that are alive, once there were any; of members, the group has them.
    exceptions: Option<Box<exceptions::Store>>,
    /// Numbers for the next ones.
    exception_numbers: std::ops::Range<u64>,
    dropped_elems: Vec<bool>,
    dropped_datas: Vec<bool>,
    stack: Option<Stack>,
    group: Option<Arc<group::Shared>>,
    /// Private function descriptors, which name this instance (members of groups).
    descriptors: Option<Box<[TableEntry]>>,
    suspended: Option<Suspended>,
    /// The state of that host function, if it is given back should it never be resumed.
    abandoned: Option<Lent>,
    preempted: Option<Preempted>,
    fault: Option<Fault>,
    /// Imports, segments and start function are done.
    complete: bool,
    limits: Limits,
    user_data: usize,
    /// Once WASI was called or set.
    pub(crate) wasi: Option<Box<crate::wasi::Attached>>,
    /// The HTTP request that it works for; kept for the next instance.
    pub(crate) http: Option<Box<http::Attached>>,
    backtrace: backtrace::Recorder,
}

impl Inner {
    /// The function descriptors that this instance's code uses.
    pub(crate) fn descriptors(&self) -> &[TableEntry] {
        self.descriptors.as_deref().unwrap_or(&self.module.descriptors)
    }

    fn is_dropped(modes: Option<&SegmentMode>, dropped: &[bool], segment: u32) -> bool {
        !matches!(modes, Some(SegmentMode::Passive))
            || dropped.get(segment as usize).copied().unwrap_or(false)
    }

    pub(crate) fn elem_dropped(&self, segment: u32) -> bool {
        let mode = self.module.loaded.init.elems.get(segment as usize).map(|s| &s.mode);
        Self::is_dropped(mode, &self.dropped_elems, segment)
    }

    pub(crate) fn data_dropped(&self, segment: u32) -> bool {
        let mode = self.module.loaded.init.datas.get(segment as usize).map(|s| &s.mode);
        Self::is_dropped(mode, &self.dropped_datas, segment)
    }

    pub(crate) fn drop_elem(&mut self, segment: u32) {
        self.dropped_elems.resize(self.module.loaded.init.elems.len(), false);
        if let Some(d) = self.dropped_elems.get_mut(segment as usize) {
            *d = true;
        }
    }

    pub(crate) fn drop_data(&mut self, segment: u32) {
        self.dropped_datas.resize(self.module.loaded.init.datas.len(), false);
        if let Some(d) = self.dropped_datas.get_mut(segment as usize) {
            *d = true;
        }
    }

    /// Where the cell of global `index` (imported ones first) lies.
    fn global_cell(&self, own: ControlRef, index: u32) -> Option<ImportedGlobal> {
        if let Some(g) = self.globals.get(index as usize) {
            return Some(*g);
        }
        let layout = &self.module.loaded.layout;
        let i = index.checked_sub(layout.counts().imported_globals)?;
        (i < layout.counts().own_globals)
            .then(|| ImportedGlobal { owner: own, offset: layout.global(i) })
    }

    /// Makes the slot pristine and lets go of whatever else the instance had.
    ///
    /// # Errors
    /// When the system refuses: the slot must not be used again.
    #[inline]
    fn wind_down(&mut self) -> Result<()> {
        if self.stack.is_some_and(|s| s.is_lent())
            && let Some(s) = self.stack.take()
        {
            self.region.release_stack(s);
        }
        let (used, bytes) = (self.memory_touched, self.module.initial_memory());
        // There is no memory to look at until the slot was prepared again.
        self.memory_bytes = 0;
        self.complete = false;
        self.suspended = None;
        self.abandoned = None;
        self.preempted = None;
        self.fault = None;
        self.forget_exceptions();
        self.dropped_elems.clear();
        self.dropped_datas.clear();
        for t in &mut self.tables {
            if !matches!(t, Table::Own(None)) {
                *t = Table::Own(None);
            }
        }
        self.region.restore(&mut self.slot, used, bytes, &self.module.image())?;
        self.memory_touched = bytes;
        if self.others.is_some() {
            self.end_further()?;
        }
        if self.wasi.is_some() {
            crate::wasi::wind_down(&mut self.wasi);
        }
        Ok(())
    }

    /// How its slot is made pristine.
    #[inline(always)]
    fn rung(&self) -> Rung {
        self.region.rung_of(self.module.initial_memory())
    }

    /// Gives the slot of an instance that is free back to the region.
    fn release(mut self: Box<Self>) {
        let pristine = self.wind_down().is_ok();
        let rung = self.rung();
        let Self { region, slot, .. } = *self;
        if pristine {
            region.release(slot);
        }
        region.home().left(pristine.then_some(rung));
    }
}

/// Gives up an idle instance; its slot is there for others.
pub(crate) fn discard(control: ControlRef) {
    if let Some(inner) = vmctx::dissolve(control) {
        let Inner { region, slot, .. } = *inner;
        region.release(slot);
    }
}

/// Frees an instance: it becomes idle, if that is any use.
fn retire(lease: Lease) {
    let control = lease.control;
    let (pristine, key, home, rung) =
        control.with(|i| (i.wind_down().is_ok(), i.module.id(), i.region.home(), i.rung()));
    if pristine && lease.has_successor() {
        let mut lease = Some(lease);
        let wanted = || control.with(|i| !i.module.retired());
        let parked = home.park(key, control, rung, wanted, || {
            if let Some(lease) = lease.take() {
                lease.park();
            }
        });
        if parked == Parked::Yes {
            return;
        }
        if let Some(inner) = lease.and_then(Lease::free) {
            let Inner { region, slot, .. } = *inner;
            region.release(slot);
            home.left(Some(rung));
        }
        return;
    }
    if let Some(inner) = lease.free() {
        let Inner { region, slot, .. } = *inner;
        if pristine {
            region.release(slot);
        }
        home.left(pristine.then_some(rung));
    }
}

#[cold]
fn member() -> Error {
    let message = "an instance of a group cannot be freed alone; free the group";
    Error::new(Status::Unsupported, message)
}

/// A handle to an instance that may or may not still exist; every use checks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InstanceRef {
    control: ControlRef,
    generation: u32,
}

/// An instance. Dropping it gives its slot back.
///
/// It may be used from any thread, by one at a time; misuse is `Busy`.
#[derive(Debug)]
pub struct Instance(InstanceRef);

impl std::ops::Deref for Instance {
    type Target = InstanceRef;

    fn deref(&self) -> &InstanceRef {
        &self.0
    }
}

impl Instance {
    /// A fresh instance of `module` in a slot of `region`; runs its start function.
    ///
    /// # Errors
    /// `RegionFull`, `LimitExceeded` if the module does not fit a slot, `StartFailed`,
    /// `MissingImport` for modules that import from other instances, `OutOfMemory`.
    pub fn new(region: &Arc<Region>, module: &Arc<Module>) -> Result<Self> {
        Self::of_core(region, module.core())
    }

    /// The same of a module that nobody may have a handle to any more.
    pub(crate) fn of_core(region: &Region, module: &Arc<module::Core>) -> Result<Self> {
        start::create(region.core(), module, None).map(Self).map_err(|(e, failed)| {
            drop(failed.map(Self));
            e
        })
    }

    /// The same by the numbers of region and module, if an idle instance of the module is at hand.
    #[inline]
    pub(crate) fn again(region: u64, module: u64) -> Option<Result<Self>> {
        let created = start::create_again(region, module)?;
        Some(created.map(Self).map_err(|(e, failed)| {
            drop(failed.map(Self));
            e
        }))
    }

    /// The same as a member of a group. On failure after references may have left it, the instance
    /// comes back with the error.
    pub(crate) fn linked(
        region: &Arc<Region>,
        module: &Arc<Module>,
        group: &Arc<group::Shared>,
    ) -> std::result::Result<Self, (Error, Option<Self>)> {
        start::create(region.core(), module.core(), Some(group))
            .map(Self)
            .map_err(|(e, failed)| (e, failed.map(Self)))
    }

    /// Gives up ownership: the instance lives until [`InstanceRef::free`].
    #[must_use]
    pub fn into_ref(self) -> InstanceRef {
        let r = self.0;
        std::mem::forget(self);
        r
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Busy is possible only if a host function drops the instance that called it; it stays
        // alive then rather than going away below its own feet.
        let _ = self.0.free();
    }
}

/// Nobody runs the instance, and its state is that of its guest.
pub(crate) const IDLE: [State; 3] = [State::Ready, State::Suspended, State::Faulted];
/// Nobody runs the instance.
const RESTING: [State; 4] = [State::Ready, State::Suspended, State::Faulted, State::Preempted];

impl InstanceRef {
    pub(crate) fn new(lease: &Lease) -> Self {
        Self { control: lease.control, generation: lease.generation() }
    }

    pub(crate) fn control(&self) -> ControlRef {
        self.control
    }

    /// Index and generation, from which [`InstanceRef::from_parts`] makes the handle again.
    #[must_use]
    pub fn parts(&self) -> (u32, u32) {
        (self.control.index(), self.generation)
    }

    /// The handle with this index and generation; whether it is alive is checked at each use.
    #[must_use]
    #[inline(always)]
    pub fn from_parts(index: u32, generation: u32) -> Option<Self> {
        vmctx::control_at(index).map(|control| Self { control, generation })
    }

    #[inline(always)]
    pub(crate) fn lease(&self, allowed: &[State]) -> Result<Lease> {
        Lease::take(self.control, self.generation, allowed)
    }

    /// Frees the instance, suspended or not.
    ///
    /// # Errors
    /// `InvalidHandle` if it was freed before, `Busy` while it runs, `Unsupported` for members of a
    /// group: the others may refer to them.
    #[inline(always)]
    pub fn free(&self) -> Result<()> {
        let lease = self.lease(&RESTING)?;
        if lease.is_member() {
            return Err(member());
        }
        retire(lease);
        Ok(())
    }

    /// Abandons a preempted run of a member, and returns the group that it kept.
    pub(crate) fn abandon_for_group(&self) -> Option<group::Guard> {
        let lease = self.lease(&[State::Preempted]).ok()?;
        run::abandon(lease.control);
        lease.into_guard()
    }

    /// Frees a member of a group that is dropped: `guard` keeps everybody else out.
    pub(crate) fn free_member(&self, _guard: &group::Guard) {
        loop {
            match Lease::claim(self.control, self.generation, &RESTING) {
                Ok(lease) => {
                    if let Some(inner) = lease.free() {
                        inner.release();
                    }
                    return;
                }
                // Another thread is about to find out that the group is taken.
                Err(e) if e.status() == Status::Busy => std::thread::yield_now(),
                Err(_) => return,
            }
        }
    }

    /// Makes the instance fresh again: memory, globals, tables and dropped segments as after
    /// creation, start function included. A suspended run is abandoned.
    ///
    /// # Errors
    /// `Busy`, `InvalidHandle`, `StartFailed`; `Unsupported` for members of a group.
    pub fn reset(&self) -> Result<()> {
        let lease = self.lease(&RESTING)?;
        start::restart(lease)
    }

    /// Makes a faulted instance usable again as it is: memory, globals and tables stay as the trap
    /// left them, as the core specification has it (4.5.5). What the guest was in the middle of is
    /// lost, so this is for test suites and debuggers; servers want [`InstanceRef::reset`].
    ///
    /// # Errors
    /// `WrongState` if the instance is not faulted, or never was completely set up; `Busy`,
    /// `InvalidHandle`.
    pub fn recover(&self) -> Result<()> {
        let mut lease = self.lease(&[State::Faulted])?;
        if !lease.control.with(|i| i.complete) {
            return Err(Error::new(
                Status::WrongState,
                "the instance was not set up completely: reset or free it",
            ));
        }
        lease.set_next(State::Ready);
        Ok(())
    }

    /// The module.
    ///
    /// # Errors
    /// `InvalidHandle`, `Busy`.
    pub fn module(&self) -> Result<Arc<Module>> {
        let lease = self.lease(&IDLE)?;
        Ok(Module::of(&lease.control.with(|i| i.module.clone())))
    }

    /// Looks up an exported function, as [`Module::find`] does.
    ///
    /// # Errors
    /// As there; `InvalidHandle`, `Busy`.
    pub fn find(&self, name: &str, ty: Option<&FuncType>) -> Result<Func> {
        let lease = self.lease(&IDLE)?;
        let module = lease.control.with(|i| i.module.clone());
        module.find(name, ty)
    }

    /// A word for the embedder, which host functions read with [`Vmctx::user_data`].
    ///
    /// # Errors
    /// `InvalidHandle`, `Busy`.
    pub fn set_user_data(&self, user_data: usize) -> Result<()> {
        let lease = self.lease(&IDLE)?;
        lease.control.with(|i| i.user_data = user_data);
        Ok(())
    }

    fn exported_global(&self, lease: &Lease, name: &str) -> Result<(ImportedGlobal, u32)> {
        let control = lease.control;
        control.with(|i| match i.module.export(name) {
            Some((ExportKind::Global, g)) => i
                .global_cell(control, g)
                .map(|cell| (cell, g))
                .ok_or_else(|| Error::new(Status::Internal, "a global without a cell")),
            Some((kind, _)) => Err(Error::new(
                Status::ExportTypeMismatch,
                format!("export \"{name}\" is a {}, not a global", kind.word()),
            )),
            None => Err(Error::new(
                Status::NoSuchExport,
                format!("the module has no exported global \"{name}\""),
            )),
        })
    }

    /// The value of an exported global.
    ///
    /// # Errors
    /// `NoSuchExport`, `ExportTypeMismatch`, `InvalidHandle`, `Busy`.
    pub fn global_get(&self, name: &str) -> Result<Val> {
        let lease = self.lease(&IDLE)?;
        let (cell, g) = self.exported_global(&lease, name)?;
        let slot = cell.owner.with(|i| i.data.slot(cell.offset));
        Ok(lease.control.with(|i| {
            let ty = i.module.loaded.contract.globals[g as usize].ty;
            Val::from_slot(ty, slot)
        }))
    }

    /// Sets an exported mutable global.
    ///
    /// # Errors
    /// As [`InstanceRef::global_get`]; `InvalidArgument` if it is immutable or has another type.
    pub fn global_set(&self, name: &str, value: Val) -> Result<()> {
        let lease = self.lease(&IDLE)?;
        let (cell, g) = self.exported_global(&lease, name)?;
        let ty = lease.control.with(|i| i.module.loaded.contract.globals[g as usize]);
        if !ty.mutable || ty.ty.byte() != value.ty().byte() {
            let kind = if ty.mutable { "a mutable" } else { "an immutable" };
            return Err(Error::new(
                Status::InvalidArgument,
                format!("\"{name}\" is {kind} global of type {}, not {}", ty.ty, value.ty()),
            ));
        }
        let canonical = lease.control.with(|i| i.module.canonical(ty.ty));
        args::check_reference(lease.control, canonical, &value).map_err(|e| e.context(name))?;
        cell.owner.with(|i| i.data.set_slot(cell.offset, value.to_slot()));
        Ok(())
    }

    /// Calls `f` with the word of each element of an exported table; for tests and debuggers.
    ///
    /// # Errors
    /// `NoSuchExport`, `ExportTypeMismatch`, `InvalidHandle`, `Busy`.
    pub fn table_elements(&self, name: &str) -> Result<Vec<u64>> {
        let lease = self.lease(&IDLE)?;
        let export = lease.control.with(|i| i.module.export(name));
        match export {
            Some((ExportKind::Table, t)) => Ok(tables::elements(lease.control, t)),
            Some((kind, _)) => Err(Error::new(
                Status::ExportTypeMismatch,
                format!("export \"{name}\" is a {}, not a table", kind.word()),
            )),
            None => Err(Error::new(
                Status::NoSuchExport,
                format!("the module has no exported table \"{name}\""),
            )),
        }
    }
}
