//! Table entries as compiled code reads them.

use crate::sys::reserve;
use lucet_artifact::abi::table_entry;
use std::alloc::{Layout, alloc_zeroed};

/// A table entry and function descriptor; layout in `lucet_artifact::abi::table_entry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub(crate) struct TableEntry {
    pub sig: u32,
    pub flags: u32,
    pub code: u64,
    pub vmctx: u64,
    pub funcref: u64,
}

const _: () = {
    assert!(size_of::<TableEntry>() == table_entry::SIZE as usize);
    assert!(std::mem::offset_of!(TableEntry, sig) == table_entry::SIG as usize);
    assert!(std::mem::offset_of!(TableEntry, code) == table_entry::CODE as usize);
    assert!(std::mem::offset_of!(TableEntry, vmctx) == table_entry::VMCTX as usize);
    assert!(std::mem::offset_of!(TableEntry, funcref) == table_entry::FUNCREF as usize);
};

impl TableEntry {
    /// `n` times the same entry; `None` for want of memory. Nulls take memory only where somebody
    /// writes: a large table of them costs a module and its instances nothing at first.
    pub(crate) fn repeat(self, n: usize) -> Option<Vec<Self>> {
        let mut all = Vec::new();
        if self != Self::default() {
            reserve::try_reserve(&mut all, n).ok()?;
            all.resize(n, self);
            return Some(all);
        }
        if n == 0 {
            return Some(all);
        }
        let layout = Layout::array::<Self>(n).ok()?;
        // SAFETY: the layout is not empty.
        let first = reserve::plainly(|| unsafe { alloc_zeroed(layout) }).cast::<Self>();
        // SAFETY: allocated just now with the layout of an array of `n`, all bytes of which are
        // zero: that is `n` null entries.
        (!first.is_null()).then(|| unsafe { Vec::from_raw_parts(first, n, n) })
    }

    /// An entry of an externref table.
    pub(crate) fn externref(value: u64) -> Self {
        Self { funcref: value, ..Self::default() }
    }

    /// The entry as it must stand in a table that does not belong to all instances: it names its
    /// instance.
    pub(crate) fn named(self, vmctx: u64) -> Self {
        if self.code != 0 && self.vmctx == 0 { Self { vmctx, ..self } } else { self }
    }

    /// Fills in the address of each descriptor of an array that will not move any more.
    pub(crate) fn seal(descriptors: &mut [Self]) {
        let base = descriptors.as_ptr() as u64;
        for (i, d) in descriptors.iter_mut().enumerate() {
            d.funcref = base + (i * size_of::<Self>()) as u64;
        }
    }

    /// The descriptor that the reference `value` names, if it is one of `descriptors`.
    pub(crate) fn find(descriptors: &[Self], value: u64) -> Option<&Self> {
        let offset = value.checked_sub(descriptors.as_ptr() as u64)?;
        let size = size_of::<Self>() as u64;
        if offset % size != 0 {
            return None;
        }
        descriptors.get(usize::try_from(offset / size).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_hold_what_they_should() {
        let one = TableEntry { sig: 7, code: 8, ..TableEntry::default() };
        for (entry, n) in [(TableEntry::default(), 0), (TableEntry::default(), 1000), (one, 9)] {
            let mut all = entry.repeat(n).unwrap();
            assert_eq!(all, vec![entry; n]);
            all.push(one);
            assert_eq!(all.pop(), Some(one));
        }
        for entry in [TableEntry::default(), one] {
            assert!(entry.repeat(usize::MAX / 64).is_none());
            assert!(entry.repeat(usize::MAX).is_none());
        }
    }
}
