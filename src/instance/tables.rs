//! Tables: private copies on first write, growing, and the bulk operations.
//!
//! Nothing here is unsafe: entries are copied between vectors, and instance data only learns where
//! a vector lies. A vector is replaced only when its table grows, and its descriptor is rewritten
//! in the same step.
//!
//! Tables may have millions of entries, so whatever goes through many of them asks now and then
//! whether the run is to end. (The end of a time slice waits: a table operation is not continued.)

use super::deadline::{self, Wish};
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

/// Entries that are treated before it is asked whether the run is to end.
const CHUNK: usize = 1 << 12;

/// Whether the run may go on.
pub(super) fn go_on() -> Done {
    if deadline::wish() == Wish::End { Err(Fault::Interrupted) } else { Ok(()) }
}

/// Copies entries to others.
fn copy_entries(to: &mut [TableEntry], from: &[TableEntry]) -> Done {
    for (to, from) in to.chunks_mut(CHUNK).zip(from.chunks(CHUNK)) {
        to.copy_from_slice(from);
        go_on()?;
    }
    Ok(())
}

/// Copies entries of a table to others of it, which may be some of the same.
fn copy_within(all: &mut [TableEntry], from: std::ops::Range<usize>, to: usize) -> Done {
    let n = from.len();
    for done in (0..n).step_by(CHUNK) {
        let len = CHUNK.min(n - done);
        // Upwards a copy begins at its end, so that no chunk overwrites the next.
        let at = if to > from.start { n - done - len } else { done };
        all.copy_within(from.start + at..from.start + at + len, to + at);
        go_on()?;
    }
    Ok(())
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
            let mut own = TableEntry::default().repeat(shared.len()).ok_or_else(no_memory)?;
            // Nulls are there already, and writing them would cost their memory.
            let used = |(_, e): &(_, &TableEntry)| **e != TableEntry::default();
            for (to, from) in own.chunks_mut(CHUNK).zip(shared.chunks(CHUNK)) {
                for (to, e) in to.iter_mut().zip(from).filter(used) {
                    *to = e.named(vmctx);
                }
                go_on()?;
            }
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

    /// Elements of all own tables but `t`.
    fn elements_besides(&self, t: u32) -> u64 {
        let others = (0..self.tables.len() as u32).filter(|n| *n != t);
        others.map(|n| self.entries(n).len() as u64).sum()
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
        let room = MAX_TABLE_ELEMENTS.saturating_sub(i.elements_besides(t));
        (i.entries(t).len() as u64, max.min(room).min(i.table_limit))
    });
    if delta == 0 {
        return Ok(old);
    }
    let Some(new) = old.checked_add(delta).filter(|n| *n <= max) else { return Ok(u64::MAX) };
    if !super::limits::may_grow(own, GrowthKind::Table, old, new) {
        return Ok(u64::MAX);
    }
    own.with(|i| {
        let entries = match i.private(t) {
            Ok(entries) => entries,
            Err(Fault::Interrupted) => return Err(Fault::Interrupted),
            Err(_) => return Ok(u64::MAX),
        };
        // Who was asked may have let the guest grow it meanwhile.
        if entries.len() as u64 != old || reserve::try_reserve(entries, delta as usize).is_err() {
            return Ok(u64::MAX);
        }
        let grown = extend(entries, new as usize, entry);
        if grown.is_err() {
            entries.truncate(old as usize);
        }
        // The vector has moved in any case.
        i.describe(t);
        grown.map(|()| old)
    })
}

/// Appends entries, for which there is room, up to a length.
fn extend(entries: &mut Vec<TableEntry>, len: usize, entry: TableEntry) -> Done {
    while entries.len() < len {
        entries.resize(len.min(entries.len() + CHUNK), entry);
        go_on()?;
    }
    Ok(())
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
    if r.is_empty() {
        return Ok(());
    }
    own.with(|i| {
        for part in i.private(t)?[r].chunks_mut(CHUNK) {
            part.fill(entry);
            // One entry is `table.set`, which does not ask.
            if part.len() == CHUNK {
                go_on()?;
            }
        }
        Ok(())
    })
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
        return dst_own.with(|i| copy_within(i.private(dst)?, from, to.start));
    }
    let mut moved = Vec::new();
    reserve::try_reserve(&mut moved, from.len()).map_err(|_| no_memory())?;
    src_own.with(|i| {
        let vmctx = i.data.vmctx() as u64;
        for part in i.entries(src)[from].chunks(CHUNK) {
            moved.extend(part.iter().map(|e| e.named(vmctx)));
            go_on()?;
        }
        Ok(())
    })?;
    dst_own.with(|i| copy_entries(&mut i.private(dst)?[to], &moved))
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
    for (n, item) in segment.items[from].iter().enumerate() {
        let value = super::start::element(control, &module, item, segment.ty);
        let value = value.map_err(|e| Fault::Fail(e.status() as u64))?;
        made.push(entry(control, segment.ty, value)?);
        if (n + 1).is_multiple_of(CHUNK) {
            go_on()?;
        }
    }
    own.with(|i| copy_entries(&mut i.private(own_t)?[to], &made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_moved_in_parts_as_at_once() {
        let entry = |n: usize| TableEntry::externref(n as u64);
        let all: Vec<_> = (0..5 * CHUNK).map(entry).collect();
        for (from, n, to) in [
            (0, 3 * CHUNK + 1, 1),
            (1, 3 * CHUNK + 1, 0),
            (0, 2 * CHUNK, CHUNK),
            (CHUNK, 4 * CHUNK, 0),
            (7, CHUNK - 1, 9),
            (5, CHUNK, 5),
            (3, 0, 1),
        ] {
            let (mut parts, mut once) = (all.clone(), all.clone());
            copy_within(&mut parts, from..from + n, to).unwrap();
            once.copy_within(from..from + n, to);
            assert_eq!(parts, once, "{n} from {from} to {to}");
        }
        let mut grown = vec![entry(1)];
        extend(&mut grown, 2 * CHUNK + 2, entry(2)).unwrap();
        assert_eq!((grown.len(), grown[2 * CHUNK + 1]), (2 * CHUNK + 2, entry(2)));
        let mut copy = vec![entry(0); grown.len()];
        copy_entries(&mut copy, &grown).unwrap();
        assert_eq!(copy, grown);
    }
}
