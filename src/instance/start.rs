//! Filling a slot: instance data, imports from other instances, tables, segments, start function.
//!
//! An instance alone needs almost none of this: its instance data is a copy of the module's
//! template, its memory is the image that the region put there, its tables are the module's. Only
//! segments that could not be folded and the start function are left. A member of a group is built
//! from its parts, in the order of core spec 4.5.4.

use super::deadline::{Begin, Limits};
use super::{Fault, ImportedGlobal, Inner, InstanceRef, Table};
use super::{backtrace, constant, memory, run, tables};
use crate::error::{Error, Result, Status};
use crate::group;
use crate::idle::Home;
use crate::module::Core;
use crate::region;
use crate::stats::Timed;
use crate::sys::reserve;
use crate::vmctx::{self, ControlRef, Lease, State, TableEntry};
use lucet_artifact::abi::{TrapCode, link_slot, memory_desc, table_desc};
use lucet_artifact::contract::{ExportKind, Import, ImportKind, MemoryDecl};
use lucet_artifact::init::{ConstExpr, ElemItem, SegmentMode};
use lucet_artifact::types::{MemoryShape, MemoryType, NO_CODE, RefType};
use lucet_artifact::{FuncType, layout, limits};
use std::sync::Arc;
use std::time::Instant;

type Created = std::result::Result<InstanceRef, (Error, Option<InstanceRef>)>;

/// Creates an instance; on failure after it became visible to others it comes back with the error.
pub(super) fn create(
    region: &Arc<region::Core>,
    module: &Arc<Core>,
    group: Option<&Arc<group::Shared>>,
) -> Created {
    let begun = region.home().clock();
    let idle = if group.is_none() { region.home().take(module.id()) } else { None };
    let made = match idle {
        Some(control) => finish(revive(control).map_err(|e| (e, None))?, module, group),
        None => {
            let things = module.small_things(group.is_some());
            let _room = reserve::room(things).map_err(|e| (e, None))?;
            finish(occupy(region, module, group).map_err(|e| (e, None))?, module, group)
        }
    };
    if let (Some(begun), Ok(_)) = (begun, &made) {
        region.home().time(Timed::Create, begun);
    }
    made
}

/// Everything after the slot is there.
#[inline(always)]
fn finish(lease: Lease, module: &Arc<Core>, group: Option<&Arc<group::Shared>>) -> Created {
    if module.plain && group.is_none() {
        return Ok(complete(lease));
    }
    match begin(lease.control, module, group) {
        Ok(()) => Ok(complete(lease)),
        Err(e) => {
            let made = InstanceRef::new(&lease);
            let mut lease = lease;
            lease.set_next(State::Faulted);
            drop(lease);
            Err((e, Some(made)))
        }
    }
}

/// The end of setting up.
#[inline(always)]
fn complete(mut lease: Lease) -> InstanceRef {
    let mut i = lease.control.inner();
    i.complete = true;
    if i.group.is_none()
        && !i.timed
        && i.limits.begin(Begin::First) == Begin::Unlimited
        && !i.region.config().compact
        && let Ok((_, top, _)) = i.stack()
    {
        lease.control.hot().open(&i.module, i.data.vmctx(), top);
    }
    drop(i);
    lease.set_next(State::Ready);
    InstanceRef::new(&lease)
}

/// A fresh instance for a region and a module by their numbers ([`Home::id`], [`Core::id`]), if an
/// idle one of the module is at hand: no look at region or module, so that threads share nothing.
#[inline]
pub(super) fn create_again(region: u64, module: u64) -> Option<Created> {
    let home = Home::of(region)?;
    if let Some(begun) = home.clock() {
        return create_timed(home, module, begun);
    }
    created_again(home.take(module)?)
}

/// The same, timed.
#[cold]
fn create_timed(home: Home, module: u64, begun: Instant) -> Option<Created> {
    let made = created_again(home.take(module)?);
    if let Some(Ok(_)) = &made {
        home.time(Timed::Create, begun);
    }
    made
}

#[inline(always)]
fn created_again(control: ControlRef) -> Option<Created> {
    let lease = match revive(control) {
        Ok(lease) => lease,
        Err(e) => return Some(Err((e, None))),
    };
    if control.with(|i| i.module.plain) {
        return Some(Ok(complete(lease)));
    }
    let module = control.with(|i| i.module.clone());
    Some(finish(lease, &module, None))
}

/// Sets up an idle instance.
#[inline(always)]
fn revive(control: ControlRef) -> Result<Lease> {
    let lease = vmctx::wake(control);
    let renewed = crate::trap::prepare_thread().and_then(|()| control.with(|i| i.renew(control)));
    match renewed {
        Ok(()) => Ok(lease),
        Err(e) => Err(failed_to_wake(lease, e)),
    }
}

#[cold]
fn failed_to_wake(lease: Lease, e: Error) -> Error {
    super::retire(lease);
    e
}

impl Inner {
    /// Memory and instance data as they are at the beginning, in a pristine slot.
    #[inline(always)]
    fn renew(&mut self, control: ControlRef) -> Result<()> {
        let bytes = self.module.initial_memory();
        if !self.region.is_prepared(&self.slot, bytes, self.module.id()) {
            self.region.prepare(&mut self.slot, bytes, &self.module.image())?;
        }
        self.memory_bytes = bytes;
        self.memory_touched = bytes;
        self.set_region_limits();
        self.user_data = 0;
        self.backtrace.renew();
        self.write_data(control);
        Ok(())
    }

    /// Instance data: the template and the words that differ from slot to slot.
    #[inline(always)]
    fn write_data(&self, control: ControlRef) {
        let (data, module) = (self.data, &self.module);
        control.set_impure(0);
        data.write_template(&module.template);
        data.set_u64(layout::CONTROL, control.address() as u64);
        data.set_u64(layout::MEMORY0_BASE, data.vmctx() as u64);
        if module.own_memory().is_some() {
            let descriptor = data.address(layout::MEMORY0_BASE, 16) as u64;
            data.set_u64(module.loaded.layout.memory(0), descriptor);
        }
    }
}

/// Makes an instance fresh again in its slot.
pub(super) fn restart(mut lease: Lease) -> Result<()> {
    let control = lease.control;
    let module = control.with(|i| i.module.clone());
    if control.with(|i| i.group.is_some()) {
        return Err(Error::new(
            Status::Unsupported,
            "an instance of a group cannot be reset alone; drop the group and create it again",
        ));
    }
    lease.set_next(State::Faulted);
    control.with(|i| {
        i.complete = false;
        let bytes = module.initial_memory();
        let used = i.memory_touched;
        // Should the system refuse, there is no memory to look at until the next attempt.
        i.memory_bytes = 0;
        i.end_further()?;
        i.region.restore(&mut i.slot, used, bytes, &module.image())?;
        i.region.prepare(&mut i.slot, bytes, &module.image())?;
        i.memory_bytes = bytes;
        i.memory_touched = bytes;
        i.dropped_elems.clear();
        i.dropped_datas.clear();
        i.suspended = None;
        i.abandoned = None;
        i.preempted = None;
        i.fault = None;
        i.forget_exceptions();
        i.backtrace.clear();
        crate::wasi::renew(&mut i.wasi);
        crate::http::renew(&mut i.http);
        for t in &mut i.tables {
            *t = Table::Own(None);
        }
        // Its own one stays: the shortest path of a call does not ask for it.
        if i.stack.is_some_and(|s| s.is_lent())
            && let Some(s) = i.stack.take()
        {
            i.region.release_stack(s);
        }
        Ok(())
    })?;
    control.set_pending(vmctx::Pending::None);
    control.with(|i| i.write_data(control));
    begin(control, &module, None)?;
    control.with(|i| {
        i.complete = true;
        i.region.home().renewed(i.rung());
    });
    lease.set_next(State::Ready);
    Ok(())
}

/// Takes a slot and a control block.
fn occupy(
    region: &Arc<region::Core>,
    module: &Arc<Core>,
    group: Option<&Arc<group::Shared>>,
) -> Result<Lease> {
    if group.is_none() {
        module.stands_alone()?;
    }
    crate::trap::prepare_thread()?;
    // Linking reads and writes the state of other members.
    let guard = group.map(|g| group::Guard::take(&g.lock)).transpose()?;
    let bytes = module.initial_memory();
    let all = module.initial_memories();
    let own = module.own_memory();
    let guarded = own.is_some_and(|m| m.shape == MemoryShape::Guarded);
    let size = module.loaded.layout.size();
    let tables = module.loaded.contract.tables.iter().map(|t| t.min);
    let stack = module.loaded.contract.min_stack.into();
    region.check_fit(size, all, stack, guarded, tables)?;
    if !region.home().is_open() {
        return Err(Error::new(Status::InvalidHandle, "the region was freed"));
    }
    let further = module.loaded.contract.further_memories();
    let most: u64 = own.into_iter().chain(further).map(MemoryDecl::most_bytes).sum();
    let memory_max = most.min(region.config().max_memory).min(module.caps.memory);
    let table_max = region.config().max_table_elements.min(module.caps.table).into();
    // Slots that are open already come first: opening one costs memory and mappings.
    if group.is_none()
        && let Some(control) = region.home().take_elsewhere(module.id())
    {
        return revive(control);
    }
    let further = match further {
        [] => None,
        _ => Some(region::Further::new(module.further_needs())?),
    };
    let init = &module.loaded.init;
    let dropped_elems = reserve::list_of(droppable(init.elems.iter().map(|s| &s.mode)))?;
    let dropped_datas = reserve::list_of(droppable(init.datas.iter().map(|s| &s.mode)))?;
    let mut slot = region.acquire().or_else(|full| {
        let home = region.home();
        let idle = home.take_any().or_else(|| home.take_any_for_sure());
        match idle.and_then(vmctx::dissolve) {
            Some(inner) => Ok(inner.slot),
            // One that was freed for good meanwhile?
            None => region.acquire().map_err(|_| full),
        }
    })?;
    if let Err(e) = region.prepare(&mut slot, bytes, &module.image()) {
        if region.restore(&mut slot, bytes, bytes, &module.image()).is_ok() {
            region.release(slot);
        }
        return Err(e);
    }
    region.home().arrived();
    let data = memory::instance_data(&slot, size);
    let inner = Box::new(Inner {
        module: module.clone(),
        region: region.clone(),
        slot,
        data,
        memory_bytes: bytes,
        memory_touched: bytes,
        memory_max,
        memory_limit: memory_max,
        table_max,
        table_limit: table_max,
        timed: region.config().latency_histograms,
        stack_limit: u64::MAX,
        others: memory::Others::new(&module.loaded.contract.memories, further),
        tables: module.loaded.contract.tables.iter().map(|_| Table::Own(None)).collect(),
        globals: Vec::new(),
        tags: Vec::new(),
        exceptions: None,
        exception_numbers: 0..0,
        dropped_elems,
        dropped_datas,
        stack: None,
        group: group.cloned(),
        descriptors: None,
        suspended: None,
        abandoned: None,
        preempted: None,
        fault: None,
        complete: false,
        limits: Limits::of_time(region.config().time_limit),
        user_data: 0,
        wasi: None,
        http: None,
        backtrace: backtrace::Recorder::new(region.config().backtrace),
    });
    let lease = vmctx::allocate(inner, guard).map_err(|(e, inner)| {
        inner.release();
        e
    })?;
    lease.control.set_entries(module.entries.as_ptr() as usize);
    lease.control.with(|i| i.write_data(lease.control));
    Ok(lease)
}

/// Imports from members, segments that could not be folded, start function.
fn begin(
    control: ControlRef,
    module: &Arc<Core>,
    group: Option<&Arc<group::Shared>>,
) -> Result<()> {
    control.with(|i| i.begin_further());
    match group {
        Some(g) => {
            link(control, module, g)?;
            own_state(control, module)?;
            apply_elems(control, module)?;
        }
        None if module.elem_failure => {
            return Err(failed(Fault::Trap(TrapCode::TableOutOfBounds), "an element segment"));
        }
        None => {}
    }
    apply_datas(control, module)?;
    if let Some(f) = module.loaded.contract.start {
        run::start(control, f, &[], "start")?;
    }
    if module.impure_from_start != 0 {
        control.set_impure(control.impure() | module.impure_from_start);
    }
    module.reseed.map_or(Ok(()), |f| reseed(control, module, f))
}

/// Lets an instance of a snapshot get random numbers of its own.
#[cold]
fn reseed(control: ControlRef, module: &Core, f: u32) -> Result<()> {
    if module.func_type(f).params.is_empty() {
        return run::start(control, f, &[], "reseed");
    }
    run::start(control, f, &[u128::from(crate::sys::random()?)], "reseed")
}

/// Room for what the guest drops, which must not fail for want of memory: none if it cannot.
fn droppable<'a>(modes: impl ExactSizeIterator<Item = &'a SegmentMode>) -> usize {
    let all = modes.len();
    let mut modes = modes;
    if modes.any(|m| matches!(m, SegmentMode::Passive)) { all } else { 0 }
}

fn failed(fault: Fault, what: &str) -> Error {
    match fault {
        Fault::Trap(code) => {
            Error::new(Status::StartFailed, format!("{what} does not fit: {code}")).with_trap(code)
        }
        Fault::Interrupted => {
            Error::new(Status::StartFailed, format!("the run around it was ended during {what}"))
        }
        _ => Error::new(Status::OutOfMemory, format!("no memory for {what}")),
    }
}

/// The value of a global now.
fn global(control: ControlRef, g: u32) -> Option<u128> {
    let cell = control.with(|i| i.global_cell(control, g))?;
    Some(cell.owner.with(|i| i.data.slot(cell.offset)))
}

fn function(control: ControlRef, module: &Core, f: u32) -> Option<u64> {
    control.with(|i| module.reference(f, i.descriptors()))
}

fn value(control: ControlRef, module: &Core, e: &ConstExpr) -> Result<u128> {
    constant::eval(e, |g| global(control, g), |f| function(control, module, f))
}

/// One item of an element segment.
pub(super) fn element(
    control: ControlRef,
    module: &Core,
    item: &ElemItem,
    ty: RefType,
) -> Result<u64> {
    module.element(item, ty, &|f| function(control, module, f), &|g| global(control, g))
}

/// Own descriptors, tables and globals of a member of a group.
fn own_state(control: ControlRef, module: &Core) -> Result<()> {
    control.with(|i| {
        let vmctx = i.data.vmctx() as u64;
        let mut all: Box<[TableEntry]> = module.descriptors.clone();
        for d in &mut all {
            d.vmctx = vmctx;
        }
        TableEntry::seal(&mut all);
        i.data.set_u64(layout::FUNC_DESCS, all.as_ptr() as u64);
        i.descriptors = Some(all);
        let counts = module.loaded.layout.counts();
        for t in (counts.imported_tags..).take(counts.own_tags as usize) {
            i.data.set_u64(module.loaded.layout.tag(t), i.tag_identity(t));
        }
    });
    own_tables(control, module)?;
    for (n, expr) in module.loaded.init.globals.iter().enumerate() {
        let v = value(control, module, expr)?;
        let at = module.loaded.layout.global(n as u32);
        control.with(|i| i.data.set_slot(at, v));
    }
    Ok(())
}

fn own_tables(control: ControlRef, module: &Core) -> Result<()> {
    let all = &module.loaded.contract.tables;
    let imported = all.len().saturating_sub(module.loaded.init.tables.len());
    for (n, (ty, expr)) in all.iter().skip(imported).zip(&module.loaded.init.tables).enumerate() {
        let value = expr.as_ref().map_or(Ok(0), |e| value(control, module, e))?;
        let entry = tables::entry(control, ty.elem, value as u64);
        let entry = entry.map_err(|_| constant::bad_expression())?;
        let entries = entry.repeat(ty.min as usize).ok_or_else(|| {
            Error::new(Status::OutOfMemory, format!("no memory for a table of {} elements", ty.min))
        })?;
        control.with(|i| {
            i.tables[imported + n] = Table::Own(Some(entries));
            i.describe((imported + n) as u32);
        });
    }
    Ok(())
}

fn apply_elems(control: ControlRef, module: &Core) -> Result<()> {
    for (n, segment) in module.loaded.init.elems.iter().enumerate() {
        if let SegmentMode::Active { target, offset } = &segment.mode {
            let wide = module.loaded.contract.tables.get(*target as usize).is_some_and(|t| t.is64);
            let at = constant::index(value(control, module, offset)?, wide);
            let len = segment.items.len() as u64;
            tables::init_with(control, *target, n as u32, false, at, 0, len)
                .map_err(|f| failed(f, &format!("element segment {n}")))?;
        }
    }
    Ok(())
}

fn apply_datas(control: ControlRef, module: &Core) -> Result<()> {
    for (n, segment) in module.loaded.init.datas.iter().enumerate() {
        if let SegmentMode::Active { target, offset } = &segment.mode {
            let memory = module.loaded.contract.memories.get(*target as usize);
            let wide = memory.is_some_and(|m| m.ty.is64);
            let at = constant::index(value(control, module, offset)?, wide);
            let bytes = module.data_segment(n as u32).unwrap_or_default();
            memory::init_with(control, *target, bytes, at, 0, bytes.len() as u64)
                .map_err(|f| failed(f, &format!("data segment {n}")))?;
        }
    }
    Ok(())
}

fn missing(import: &Import) -> Error {
    let (kind, m, n) = (import.kind.word(), &import.module, &import.name);
    Error::new(
        Status::MissingImport,
        format!("nobody in the group exports the {kind} {m}.{n} that the module imports"),
    )
}

fn mismatch(import: &Import, want: String, have: String) -> Error {
    Error::new(
        Status::ImportTypeMismatch,
        format!("the module imports {}.{} as {want}, it is {have}", import.module, import.name),
    )
}

/// Whether a thing of `have` (current size, maximum) may stand for `want` (core spec, 4.5.3).
fn fits(have: (u64, Option<u64>), want: (u64, Option<u64>)) -> bool {
    have.0 >= want.0 && want.1.is_none_or(|w| have.1.is_some_and(|h| h <= w))
}

fn show(kind: &str, (size, max): (u64, Option<u64>), wide: bool) -> String {
    let bits = if wide { " with 64-bit indices" } else { "" };
    max.map_or(format!("{kind} of {size}{bits}"), |m| format!("{kind} of {size} to {m}{bits}"))
}

/// Resolves imports against the members of a group, then host functions.
fn link(control: ControlRef, module: &Arc<Core>, group: &group::Shared) -> Result<()> {
    let (mut functions, mut tables, mut globals, mut memories) = (0u32, 0u32, 0u32, 0u32);
    let mut tags = 0;
    for import in &module.loaded.imports.imports {
        let member = group.find(&import.module);
        let export = member.as_ref().and_then(|m| m.module.export(&import.name));
        let found = member.as_ref().zip(export);
        match import.kind {
            ImportKind::Func(t) => {
                let ty = &module.loaded.types.types[t as usize].ty;
                let bound = !module.unbound.get(functions as usize).copied().unwrap_or(true);
                match found {
                    Some((m, (ExportKind::Func, f))) => {
                        link_function(control, module, functions, import, ty, m, f)?;
                    }
                    Some((_, (kind, _))) => {
                        return Err(mismatch(import, ty.to_string(), format!("{kind:?}")));
                    }
                    None if bound => {}
                    None => return Err(missing(import)),
                }
                functions += 1;
            }
            ImportKind::Table(want) => {
                let Some((m, (ExportKind::Table, t))) = found else {
                    return Err(wrong_kind(import, found.is_some()));
                };
                let (owner, index) = tables::owner(m.control, t).map_err(|_| missing(import))?;
                let (len, have) = owner.with(|i| {
                    let ty = i.module.loaded.contract.tables[index as usize];
                    (i.entries(index).len() as u64, ty)
                });
                let elem = m.module.canonical(have.elem.into());
                if elem != module.canonical(want.elem.into()) {
                    let (want, have) = (want.elem, have.elem);
                    return Err(mismatch(
                        import,
                        format!("a table of {want}"),
                        format!("one of {have}"),
                    ));
                }
                if have.is64 != want.is64 || !fits((len, have.max), (want.min, want.max)) {
                    let want = show("a table", (want.min, want.max), want.is64);
                    return Err(mismatch(import, want, show("one", (len, have.max), have.is64)));
                }
                let descriptor =
                    owner.with(|i| i.data.address(i.module.loaded.layout.table(index), 16) as u64);
                control.with(|i| {
                    i.tables[tables as usize] = Table::Imported { owner, index };
                    let at = module.loaded.layout.table(tables) + table_desc::BASE as i32;
                    i.data.set_u64(at, descriptor);
                });
                tables += 1;
            }
            ImportKind::Memory(want) => {
                let Some((m, (ExportKind::Memory, index))) = found else {
                    return Err(wrong_kind(import, found.is_some()));
                };
                link_memory(control, memories, import, want, memory::find(m.control, index))?;
                memories += 1;
            }
            ImportKind::Global(want) => {
                let Some((m, (ExportKind::Global, g))) = found else {
                    return Err(wrong_kind(import, found.is_some()));
                };
                let have = m.module.loaded.contract.globals[g as usize];
                let cell = m.control.with(|i| i.global_cell(m.control, g));
                let Some(cell) = cell else { return Err(missing(import)) };
                let (offered, asked) = (m.module.canonical(have.ty), module.canonical(want.ty));
                let fits = if want.mutable { offered == asked } else { offered.matches(asked) };
                if have.mutable != want.mutable || !fits {
                    let show = |g: lucet_artifact::types::GlobalType| {
                        format!("a global {}{}", if g.mutable { "mut " } else { "" }, g.ty)
                    };
                    return Err(mismatch(import, show(want), show(have)));
                }
                link_global(control, module, globals, cell);
                globals += 1;
            }
            ImportKind::Tag(want) => {
                let Some((m, (ExportKind::Tag, t))) = found else {
                    return Err(wrong_kind(import, found.is_some()));
                };
                link_tag(control, module, tags, (import, want), m, t)?;
                tags += 1;
            }
        }
    }
    Ok(())
}

fn wrong_kind(import: &Import, exists: bool) -> Error {
    if exists {
        mismatch(import, format!("a {}", import.kind.word()), "something else".into())
    } else {
        missing(import)
    }
}

fn link_function(
    control: ControlRef,
    module: &Core,
    n: u32,
    import: &Import,
    ty: &FuncType,
    member: &group::Member,
    f: u32,
) -> Result<()> {
    let have = member.module.func_type(f);
    let id = |m: &Core, f: u32| m.signature(m.loaded.funcs.funcs[f as usize].ty);
    if id(&member.module, f) != id(module, n) {
        return Err(mismatch(import, ty.to_string(), have.to_string()));
    }
    let record = &module.loaded.types.types[module.loaded.funcs.funcs[n as usize].ty as usize];
    let Some((code, _)) = member.module.code_of(f).filter(|_| record.adapter != NO_CODE) else {
        return Err(missing(import));
    };
    let vmctx = member.control.with(|i| i.data.vmctx());
    let adapter = module.loaded.text.base() + record.adapter as usize;
    control.with(|i| {
        let l = &module.loaded.layout;
        i.data.set_u64(l.import_slot(n), adapter as u64);
        i.data.set_u64(l.link_slot(n) + link_slot::CODE as i32, code as u64);
        i.data.set_u64(l.link_slot(n) + link_slot::VMCTX as i32, vmctx as u64);
    });
    Ok(())
}

fn link_memory(
    control: ControlRef,
    n: u32,
    import: &Import,
    want: MemoryType,
    (owner, place): (ControlRef, memory::Place),
) -> Result<()> {
    let (have, descriptor) = owner.with(|i| {
        let declared = i.declared(place).map(|m| m.ty);
        let at = i.data.address(i.descriptor(place), memory_desc::SIZE as usize) as u64;
        let min = i.size_of(place) / limits::WASM_PAGE;
        (declared.map(|ty| MemoryType { min, ..ty }), at)
    });
    // An owner whose instantiation went wrong before it had one.
    let Some(have) = have else { return Err(missing(import)) };
    if have.is64 != want.is64 || !fits((have.min, have.max), (want.min, want.max)) {
        let show = |what, m: MemoryType| show(what, (m.min, m.max), m.is64);
        return Err(mismatch(import, show("a memory", want), show("one", have)));
    }
    control.with(|i| {
        let at = i.module.loaded.layout.memory(n);
        i.data.set_u64(at, descriptor);
        if let Some(slot) = i.others.as_mut().and_then(|o| o.imported.get_mut(n as usize)) {
            *slot = Some((owner, place));
        }
    });
    Ok(())
}

fn link_global(control: ControlRef, module: &Core, n: u32, cell: ImportedGlobal) {
    let address = cell.owner.with(|i| i.data.address(cell.offset, 16) as u64);
    control.with(|i| {
        i.globals.push(cell);
        i.data.set_u64(module.loaded.layout.imported_global(n), address);
    });
}

/// Imported tag `n`: tag `t` of a member. Types must be the same.
fn link_tag(
    control: ControlRef,
    module: &Core,
    n: u32,
    (import, want): (&Import, u32),
    member: &group::Member,
    t: u32,
) -> Result<()> {
    let have = member.module.loaded.contract.tags.get(t as usize).copied().unwrap_or(u32::MAX);
    if member.module.signature(have) != module.signature(want) {
        let show = |m: &Core, ty: u32| match m.loaded.types.types.get(ty as usize) {
            Some(t) => format!("a tag {}", t.ty),
            None => "a tag".into(),
        };
        return Err(mismatch(import, show(module, want), show(&member.module, have)));
    }
    let tag = member.control.with(|i| i.tag(member.control, t)).ok_or_else(|| missing(import))?;
    let identity = tag.identity();
    control.with(|i| {
        i.tags.push(tag);
        i.data.set_u64(module.loaded.layout.tag(n), identity);
    });
    Ok(())
}
