//! Tables: private copies on first write, growing, and the bulk operations.
//!
//! Nothing here is unsafe: entries are copied between vectors, and instance data only learns where
//! a vector lies. A vector is replaced only when its table grows, and its descriptor is rewritten
//! in the same step.

use super::{Fault, Inner, Table};
use crate::error::Status;
use crate::region::GrowthKind;
use crate::sys::reserve;
use crate::vmctx::{ControlRef, TableEntry};
use lucet_artifact::abi::{TrapCode, table_desc};
use lucet_artifact::limits::MAX_TABLE_ELEMENTS;
use lucet_artifact::types::RefType;

type Done<T = ()> = std::result::Result<T, Fault>;

const OUT_OF_BOUNDS: Fault = Fault::Trap(TrapCode::TableOutOfBounds);

fn no_memory() -> Fault {
    Fault::Fail(Status::OutOfMemory as u64)
}

/// The instance that owns table `t`, and its index there.
pub(super) fn owner(control: ControlRef, t: u32) -> Done<(ControlRef, u32)> {
    control.with(|i| match i.tables.get(t as usize) {
        Some(Table::Own(_)) => Ok((control, t)),
        Some(Table::Imported { owner, index }) => Ok((*owner, *index)),
        None => Err(OUT_OF_BOUNDS),
    })
}

impl Inner {
    /// The entries of an own table, for reading.
    pub(crate) fn entries(&self, t: u32) -> &[TableEntry] {
        match self.tables.get(t as usize) {
            Some(Table::Own(Some(v))) => v,
            Some(Table::Own(None)) => {
                self.module.tables.get(t as usize).map_or(&[], |shared| shared)
            }
            _ => &[],
        }
    }

    /// The entries of an own table, for writing: a private copy, known to compiled code.
    pub(super) fn private(&mut self, t: u32) -> Done<&mut Vec<TableEntry>> {
        if let Some(Table::Own(None)) = self.tables.get(t as usize) {
            let vmctx = self.data.vmctx() as u64;
            let shared = self.entries(t);
            let mut own = Vec::new();
            reserve::try_reserve(&mut own, shared.len()).map_err(|_| no_memory())?;
            own.extend(shared.iter().map(|e| e.named(vmctx)));
            self.tables[t as usize] = Table::Own(Some(own));
            self.describe(t);
        }
        match self.tables.get_mut(t as usize) {
            Some(Table::Own(Some(v))) => Ok(v),
            _ => Err(OUT_OF_BOUNDS),
        }
    }

    /// Tells compiled code where an own table lies.
    pub(super) fn describe(&mut self, t: u32) {
        let entries = self.entries(t);
        let (base, len) = (entries.as_ptr() as u64, entries.len() as u64);
        let at = self.module.loaded.layout.table(t);
        self.data.set_u64(at + table_desc::BASE as i32, base);
        self.data.set_u64(at + table_desc::LEN as i32, len);
    }

    pub(super) fn element_type(&self, t: u32) -> RefType {
        self.module.loaded.contract.tables.get(t as usize).map_or(RefType::FUNC, |t| t.elem)
    }
}

/// The entry for a reference that code of `control`'s instance holds.
pub(super) fn entry(control: ControlRef, elem: RefType, value: u64) -> Done<TableEntry> {
    if !elem.is_func() {
        return Ok(TableEntry::externref(value));
    }
    if value == 0 {
        return Ok(TableEntry::default());
    }
    resolve(control, value).ok_or(Fault::Fail(Status::InvalidArgument as u64))
}

/// The function descriptor that a reference names, with its instance filled in; only those of the
/// instance or its group.
pub(crate) fn resolve(control: ControlRef, value: u64) -> Option<TableEntry> {
    let look = |i: &mut Inner| {
        let vmctx = i.data.vmctx() as u64;
        TableEntry::find(i.descriptors(), value).map(|e| e.named(vmctx))
    };
    if let Some(found) = control.with(look) {
        return Some(found);
    }
    let group = control.with(|i| i.group.clone())?;
    group.others(control).into_iter().find_map(|c| c.with(look))
}

/// The references in a table.
pub(super) fn elements(control: ControlRef, t: u32) -> Vec<u64> {
    let Ok((own, t)) = owner(control, t) else { return Vec::new() };
    own.with(|i| i.entries(t).iter().map(|e| e.funcref).collect())
}

/// `table.grow`: the old size, or -1 as `i64`.
pub(crate) fn grow(control: ControlRef, t: u32, value: u64, delta: u64) -> Done<u64> {
    let (own, t) = owner(control, t)?;
    let elem = own.with(|i| i.element_type(t));
    let entry = entry(control, elem, value)?;
    let (old, max) = own.with(|i| {
        let max = i.module.loaded.contract.tables[t as usize].max.unwrap_or(u64::MAX);
        (i.entries(t).len() as u64, max.min(MAX_TABLE_ELEMENTS).min(i.table_limit))
    });
    if delta == 0 {
        return Ok(old);
    }
    let Some(new) = old.checked_add(delta).filter(|n| *n <= max) else { return Ok(u64::MAX) };
    if !super::limits::may_grow(own, GrowthKind::Table, old, new) {
        return Ok(u64::MAX);
    }
    own.with(|i| {
        let Ok(entries) = i.private(t) else { return Ok(u64::MAX) };
        // Who was asked may have let the guest grow it meanwhile.
        if entries.len() as u64 != old || reserve::try_reserve(entries, delta as usize).is_err() {
            return Ok(u64::MAX);
        }
        entries.resize(new as usize, entry);
        i.describe(t);
        Ok(old)
    })
}

fn range(len: usize, at: u64, n: u64) -> Done<std::ops::Range<usize>> {
    let end = at.checked_add(n).filter(|e| *e <= len as u64).ok_or(OUT_OF_BOUNDS)?;
    Ok(at as usize..end as usize)
}

/// `table.fill`, and with `n` 1 `table.set`.
pub(crate) fn fill(control: ControlRef, t: u32, at: u64, value: u64, n: u64) -> Done {
    let (own, t) = owner(control, t)?;
    let (len, elem) = own.with(|i| (i.entries(t).len(), i.element_type(t)));
    let r = range(len, at, n)?;
    let entry = entry(control, elem, value)?;
    if !r.is_empty() {
        own.with(|i| i.private(t).map(|v| v[r].fill(entry)))?;
    }
    Ok(())
}

/// `table.copy`.
pub(crate) fn copy(control: ControlRef, dst: u32, src: u32, d: u64, s: u64, n: u64) -> Done {
    let (dst_own, dst) = owner(control, dst)?;
    let (src_own, src) = owner(control, src)?;
    let from = range(src_own.with(|i| i.entries(src).len()), s, n)?;
    let to = range(dst_own.with(|i| i.entries(dst).len()), d, n)?;
    if from.is_empty() {
        return Ok(());
    }
    if dst_own == src_own && dst == src {
        return dst_own.with(|i| i.private(dst).map(|v| v.copy_within(from, to.start)));
    }
    let mut moved = Vec::new();
    reserve::try_reserve(&mut moved, from.len()).map_err(|_| no_memory())?;
    src_own.with(|i| {
        let vmctx = i.data.vmctx() as u64;
        moved.extend(i.entries(src)[from].iter().map(|e| e.named(vmctx)));
    });
    dst_own.with(|i| i.private(dst).map(|v| v[to].copy_from_slice(&moved)))
}

/// `table.init`.
pub(crate) fn init(control: ControlRef, t: u32, segment: u32, d: u64, s: u64, n: u64) -> Done {
    let dropped = control.with(|i| i.elem_dropped(segment));
    init_with(control, t, segment, dropped, d, s, n)
}

/// `table.init` of a segment that counts as empty if `dropped`.
pub(super) fn init_with(
    control: ControlRef,
    t: u32,
    segment: u32,
    dropped: bool,
    d: u64,
    s: u64,
    n: u64,
) -> Done {
    let (own, own_t) = owner(control, t)?;
    let module = control.with(|i| i.module.clone());
    let found = module.loaded.init.elems.get(segment as usize).filter(|_| !dropped);
    let from = range(found.map_or(0, |e| e.items.len()), s, n)?;
    let to = range(own.with(|i| i.entries(own_t).len()), d, n)?;
    let Some(segment) = found.filter(|_| !from.is_empty()) else { return Ok(()) };
    let mut made = Vec::new();
    reserve::try_reserve(&mut made, from.len()).map_err(|_| no_memory())?;
    for item in &segment.items[from] {
        let value = super::start::element(control, &module, item, segment.ty);
        let value = value.map_err(|e| Fault::Fail(e.status() as u64))?;
        made.push(entry(control, segment.ty, value)?);
    }
    own.with(|i| i.private(own_t).map(|v| v[to].copy_from_slice(&made)))
}
