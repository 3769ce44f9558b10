//! Where instance data lies: fixed negative offsets below `vmctx`, which is the base of memory 0.
//!
//! ```text
//!   low addresses
//!   ┌───────────────────────────────┐ vmctx - size()
//!   │ tags               8 each     │ one per tag: its identity
//!   │ link slots        16 each     │ one per imported function: {code, vmctx}
//!   │ import slots       8 each     │ one per imported function: host thunk or link adapter
//!   │ signature ids      4 each     │ one per type of `.lucet.types`
//!   │ imported globals   8 each     │ address of the owner's 16-byte cell
//!   │ further memories  16 each     │ memory descriptor, one per own memory that is not here
//!   │ memories           8 each     │ address of the memory descriptor, one per memory
//!   │ tables            16 each     │ table descriptor, one per table
//!   │ globals           16 each     │ own globals, one value slot each
//!   ├───────────────────────────────┤ vmctx - HEADER
//!   │ abi word, fuel, descriptors,  │
//!   │ trap stub, host thunk,        │
//!   │ control, memory 0 descriptor  │
//!   └───────────────────────────────┘ vmctx = byte 0 of memory 0
//!   high addresses
//! ```
//!
//! Everything here is in reach of a *miscompiled* guest, so the runtime never trusts what it reads
//! back from instance data: its own record of sizes and pointers lives in the control block.

use crate::limits;

/// Size of the fixed part directly below `vmctx`.
pub const HEADER: u32 = 64;

/// Current size of memory 0 in bytes (`u64`); 0 if the module has no memory of its own at index 0.
pub const MEMORY0_BYTES: i32 = -8;
/// Address of byte 0 of memory 0, which equals `vmctx`. With [`MEMORY0_BYTES`] it forms a memory
/// descriptor.
pub const MEMORY0_BASE: i32 = -16;
/// Address of the instance's control block, which lies outside the slot.
pub const CONTROL: i32 = -24;
/// Address of the host thunk (System V).
pub const HOST_THUNK: i32 = -32;
/// Address of the trap stub (System V, never returns).
pub const TRAP_STUB: i32 = -40;
/// Address of the function descriptors; the function with reference index `r` is entry `r`.
pub const FUNC_DESCS: i32 = -48;
/// The fuel counter (`i64`), which counts down; see [`crate::fuel`]. Code that does not count
/// leaves it alone.
pub const FUEL: i32 = -56;
/// [`ABI_WORD_VALUE`], for debuggers and core dumps.
pub const ABI_WORD: i32 = -64;
/// `"LUCT"` and the ABI version.
pub const ABI_WORD_VALUE: u64 = 0x4c55_4354_0000_0000 | crate::ABI_VERSION as u64;

/// How many of each thing a module has; all that the layout depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Globals the module defines.
    pub own_globals: u32,
    /// Tables, imported ones first.
    pub tables: u32,
    /// Memories, imported ones first.
    pub memories: u32,
    /// Memories the module defines besides an own memory 0: those that do not lie at `vmctx`.
    pub further_memories: u32,
    /// Globals the module imports.
    pub imported_globals: u32,
    /// Records of `.lucet.types`.
    pub types: u32,
    /// Functions the module imports.
    pub imported_functions: u32,
    /// Exception tags the module imports.
    pub imported_tags: u32,
    /// Exception tags the module defines.
    pub own_tags: u32,
}

/// The layout for given [`Counts`]. Offsets are negative and relative to `vmctx`; indices must be
/// below the respective count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    counts: Counts,
    // Distance below vmctx at which each array *ends* (its lowest byte).
    globals: u32,
    tables: u32,
    memories: u32,
    further_memories: u32,
    imported_globals: u32,
    sig_ids: u32,
    import_slots: u32,
    link_slots: u32,
    tags: u32,
}

impl Layout {
    /// Computes the layout, or `None` if instance data would exceed
    /// [`limits::MAX_INSTANCE_DATA`].
    #[must_use]
    pub fn new(counts: Counts) -> Option<Self> {
        let mut end = HEADER;
        let mut place = |n: u32, size: u32| -> Option<u32> {
            let bytes = n.checked_mul(size)?;
            end = end.checked_add(bytes)?.checked_next_multiple_of(16)?;
            (end <= limits::MAX_INSTANCE_DATA).then_some(end)
        };
        Some(Self {
            counts,
            globals: place(counts.own_globals, 16)?,
            tables: place(counts.tables, 16)?,
            memories: place(counts.memories, 8)?,
            further_memories: place(counts.further_memories, 16)?,
            imported_globals: place(counts.imported_globals, 8)?,
            sig_ids: place(counts.types, 4)?,
            import_slots: place(counts.imported_functions, 8)?,
            link_slots: place(counts.imported_functions, 16)?,
            tags: place(counts.imported_tags.checked_add(counts.own_tags)?, 8)?,
        })
    }

    /// The counts this layout was computed for.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes of instance data below `vmctx`; a multiple of 16.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.tags
    }

    #[inline(always)]
    fn at(end: u32, index: u32, count: u32, size: u32) -> i32 {
        if index >= count {
            too_far(index, count);
        }
        -(end as i32) + (index * size) as i32
    }

    /// Value slot of own global `i` (counted without imported globals).
    #[must_use]
    pub fn global(&self, i: u32) -> i32 {
        Self::at(self.globals, i, self.counts.own_globals, 16)
    }

    /// Table descriptor of table `i`.
    #[must_use]
    pub fn table(&self, i: u32) -> i32 {
        Self::at(self.tables, i, self.counts.tables, 16)
    }

    /// Pointer to the memory descriptor of memory `i`.
    #[must_use]
    #[inline(always)]
    pub fn memory(&self, i: u32) -> i32 {
        Self::at(self.memories, i, self.counts.memories, 8)
    }

    /// Memory descriptor of further memory `i`, see [`crate::abi::memory_desc`].
    #[must_use]
    pub fn further_memory(&self, i: u32) -> i32 {
        Self::at(self.further_memories, i, self.counts.further_memories, 16)
    }

    /// Pointer to the cell of imported global `i`.
    #[must_use]
    pub fn imported_global(&self, i: u32) -> i32 {
        Self::at(self.imported_globals, i, self.counts.imported_globals, 8)
    }

    /// Signature id (`u32`) of type `i`.
    #[must_use]
    pub fn sig_id(&self, i: u32) -> i32 {
        Self::at(self.sig_ids, i, self.counts.types, 4)
    }

    /// Code address through which imported function `i` is called (System V).
    #[must_use]
    pub fn import_slot(&self, i: u32) -> i32 {
        Self::at(self.import_slots, i, self.counts.imported_functions, 8)
    }

    /// Link slot of imported function `i`, see [`crate::abi::link_slot`].
    #[must_use]
    pub fn link_slot(&self, i: u32) -> i32 {
        Self::at(self.link_slots, i, self.counts.imported_functions, 16)
    }

    /// Cell (`u64`) with the identity of tag `i`, imported ones first: a number that no other tag
    /// has which can meet it, and not 0. In a group it is the address of the cell that the instance
    /// which defines the tag has for it; of an instance alone, the tag's index plus one.
    #[must_use]
    pub fn tag(&self, i: u32) -> i32 {
        Self::at(self.tags, i, self.counts.imported_tags + self.counts.own_tags, 8)
    }
}

#[cold]
#[inline(never)]
fn too_far(index: u32, count: u32) -> ! {
    panic!("index {index} of {count} in instance data")
}
