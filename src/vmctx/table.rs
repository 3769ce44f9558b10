//! Table entries as compiled code reads them.

use lucet_artifact::abi::table_entry;

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
