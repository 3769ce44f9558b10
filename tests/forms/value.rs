//! What is known of a register: numbers of 32 bits under a name, pointers with what they point to,
//! and the results of the checks that code makes before it touches something.

/// The name of an unknown number. The same name is the same number.
pub type Name = u64;

/// Bit of names of numbers that may have more than 32 bits.
pub const WIDE: Name = 1 << 60;

/// `name << shift + k`; without a name just `k`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sum {
    /// A number below 2^32, unless the name is [`WIDE`].
    pub name: Option<Name>,
    pub shift: u8,
    pub k: i64,
}

impl Sum {
    /// A constant.
    pub fn of(k: i64) -> Self {
        Self { name: None, shift: 0, k }
    }

    /// The sum of two, if at most one has a name.
    pub fn plus(self, other: Self) -> Option<Self> {
        let k = self.k.wrapping_add(other.k);
        match (self.name, other.name) {
            (Some(_), Some(_)) => None,
            (None, Some(_)) => Some(Self { k, ..other }),
            _ => Some(Self { k, ..self }),
        }
    }
}

/// Bit of names of table entries, which are those of their indices.
pub const ENTRY: Name = 1 << 57;

/// The name of a constant index of a table.
pub fn constant_index(k: i64) -> Name {
    3 << 62 | 1 << 40 | (k as u64 & 0xffff_ffff)
}

/// The name of "this table has an element".
pub fn has_element(table: u32) -> Name {
    3 << 62 | 1 << 41 | u64::from(table)
}

/// What a pointer points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Base {
    /// Byte 0 of memory 0; instance data below it.
    Vmctx,
    /// Byte 0 of a memory, from its descriptor.
    Memory(u32),
    MemoryDescriptor(u32),
    /// The entries of a table, from its descriptor.
    Table(u32),
    TableDescriptor(u32),
    /// An imported global.
    Cell(u32),
    /// The function descriptors.
    Functions,
    /// The stack pointer at entry: the return address lies there.
    Stack,
    /// The array that an entry trampoline is given.
    Slots,
    /// The memory for results that do not fit into registers.
    Results,
    /// Code and constants, by offset in `.text`.
    Text,
}

/// What is known of a value of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum V {
    /// Nothing.
    Top,
    /// A number.
    Num(Sum),
    /// A pointer.
    Ptr(Base, Sum),
    /// Current size of a memory; none: memory 0 of the module's own.
    Bytes(Option<u32>),
    /// Number of entries of a table.
    Len(u32),
    /// The pointer if `name + reach` lies in the memory, else 0; `null` was added to that since.
    Checked {
        k: i64,
        reach: i64,
        behind: bool,
        null: i64,
        name: Name,
    },
    /// The smaller of a number and a memory's size, plus `k`.
    Min {
        sum: Sum,
        memory: Option<u32>,
        k: i64,
    },
    /// An index below the length of a table; times the size of an entry.
    Index {
        table: u32,
        name: Name,
    },
    Scaled {
        table: u32,
        name: Name,
    },
    /// An entry of a table, and its fields.
    Entry {
        table: u32,
        name: Name,
        k: i64,
    },
    Signature(Name),
    EntryCode(Name),
    EntryVmctx {
        table: u32,
        name: Name,
    },
    /// The entry's vmctx, or the own one where it is 0.
    EntryContext(Name),
    /// Signature id of a type.
    TypeId(u32),
    /// Code address of an import slot, the host thunk, or the trap stub, by offset from vmctx.
    Slot(i64),
    /// The code that an entry trampoline is to call.
    EntryTarget,
    /// An entry of the link slots.
    LinkCode,
    LinkVmctx,
    /// The words of an imported function's link slot.
    Linked {
        import: u32,
        vmctx: bool,
    },
    /// The return address.
    Return,
    /// The index that a link adapter is given.
    LinkIndex,
    /// The number that the glue that throws is given: its callers are checked.
    Thrower,
    /// A number that is at most so much.
    Bounded {
        last: u32,
        name: Name,
    },
    /// An entry of a jump table at an offset with so many entries, and where it leads.
    JumpEntry {
        at: u32,
        last: u32,
    },
    JumpTarget {
        at: u32,
        last: u32,
    },
    /// What a register held at entry.
    Initial(u8),
    /// Somewhere on the stack below the frame, while it is probed.
    Probe,
}

impl V {
    /// A constant.
    pub fn constant(k: i64) -> Self {
        Self::Num(Sum::of(k))
    }

    /// A number of 32 bits with a name.
    pub fn named(name: Name) -> Self {
        Self::Num(Sum { name: Some(name), shift: 0, k: 0 })
    }

    /// Whether the upper 32 bits are 0 for sure.
    pub fn is_u32(self) -> bool {
        match self {
            Self::Num(Sum { name: Some(n), shift, k }) => n & WIDE == 0 && shift == 0 && k == 0,
            Self::Num(s) => (0..=i64::from(u32::MAX)).contains(&s.k),
            Self::Signature(_) | Self::TypeId(_) | Self::Bounded { .. } => true,
            Self::LinkIndex | Self::Thrower => true,
            _ => false,
        }
    }

    /// The constant, if it is one.
    pub fn as_constant(self) -> Option<i64> {
        match self {
            Self::Num(Sum { name: None, k, .. }) => Some(k),
            _ => None,
        }
    }

    /// The name in it.
    pub fn name(self) -> Option<Name> {
        match self {
            Self::Num(s) | Self::Ptr(_, s) | Self::Min { sum: s, .. } => s.name,
            Self::Index { name, .. }
            | Self::Scaled { name, .. }
            | Self::Bounded { name, .. }
            | Self::Checked { name, .. }
            | Self::Entry { name, .. }
            | Self::EntryVmctx { name, .. }
            | Self::Signature(name)
            | Self::EntryCode(name)
            | Self::EntryContext(name) => Some(name),
            _ => None,
        }
    }

    /// The same of another number.
    pub fn renamed(self, name: Name) -> Self {
        match self {
            Self::Ptr(base, s) => Self::Ptr(base, Sum { name: Some(name), ..s }),
            Self::Num(s) => Self::Num(Sum { name: Some(name), ..s }),
            Self::Min { sum, memory, k } => {
                Self::Min { sum: Sum { name: Some(name), ..sum }, memory, k }
            }
            Self::Index { table, .. } => Self::Index { table, name },
            Self::Bounded { last, .. } => Self::Bounded { last, name },
            Self::Checked { k, reach, behind, null, .. } => {
                Self::Checked { k, reach, behind, null, name }
            }
            Self::Scaled { table, .. } => Self::Scaled { table, name },
            Self::Entry { table, k, .. } => Self::Entry { table, name, k },
            Self::EntryVmctx { table, .. } => Self::EntryVmctx { table, name },
            Self::Signature(_) => Self::Signature(name),
            Self::EntryCode(_) => Self::EntryCode(name),
            Self::EntryContext(_) => Self::EntryContext(name),
            v => v,
        }
    }

    /// The sum of two values.
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Num(a), Self::Num(b)) => a.plus(b).map_or(Self::Top, Self::Num),
            (Self::Ptr(base, a), Self::Num(b)) | (Self::Num(b), Self::Ptr(base, a)) => {
                a.plus(b).map_or(Self::Top, |s| Self::Ptr(base, s))
            }
            (Self::Ptr(Base::Table(t), s), Self::Scaled { table, name })
            | (Self::Scaled { table, name }, Self::Ptr(Base::Table(t), s))
                if t == table && s.name.is_none() =>
            {
                Self::Entry { table, name, k: s.k }
            }
            (Self::Entry { table, name, k }, Self::Num(s))
            | (Self::Num(s), Self::Entry { table, name, k })
                if s.name.is_none() =>
            {
                Self::Entry { table, name, k: k + s.k }
            }
            (Self::Checked { k, reach, behind, null, name }, Self::Num(s))
            | (Self::Num(s), Self::Checked { k, reach, behind, null, name })
                if s.name.is_none() =>
            {
                let (k, null) = (k.wrapping_add(s.k), null.wrapping_add(s.k));
                Self::Checked { k, reach, behind, null, name }
            }
            (Self::Min { sum, memory, k }, Self::Num(s))
            | (Self::Num(s), Self::Min { sum, memory, k })
                if s.name.is_none() =>
            {
                Self::Min { sum, memory, k: k.wrapping_add(s.k) }
            }
            (Self::Ptr(Base::Text, s), Self::JumpEntry { at, last })
            | (Self::JumpEntry { at, last }, Self::Ptr(Base::Text, s))
                if s == Sum::of(i64::from(at)) =>
            {
                Self::JumpTarget { at, last }
            }
            (Self::Probe, Self::Num(s)) if s.name.is_none() => Self::Probe,
            (Self::Top, Self::Num(s)) | (Self::Num(s), Self::Top) if s == Sum::of(0) => Self::Top,
            (v, Self::Num(s)) | (Self::Num(s), v) if s == Sum::of(0) => v,
            (Self::Bounded { .. }, v) => self.number().plus(v),
            (v, Self::Bounded { .. }) => v.plus(other.number()),
            _ => Self::Top,
        }
    }

    /// Without the bound.
    pub fn number(self) -> Self {
        match self {
            Self::Bounded { name, .. } => Self::named(name),
            v => v,
        }
    }

    /// Whether two of these that look alike are the same number.
    pub fn is_exact(self) -> bool {
        matches!(
            self,
            Self::Num(_)
                | Self::Ptr(..)
                | Self::Bounded { .. }
                | Self::Checked { .. }
                | Self::Initial(_)
        )
    }

    /// The value times a power of two, as an index in an address.
    pub fn times(self, shift: u8) -> Self {
        match self.number() {
            _ if shift == 0 => self,
            Self::Num(Sum { name: Some(n), shift: s, k }) if s + shift < 64 => {
                Self::Num(Sum { name: Some(n), shift: s + shift, k: k.wrapping_shl(shift.into()) })
            }
            Self::Num(Sum { name: None, k, .. }) => {
                k.checked_mul(1 << shift).map_or(Self::Top, Self::constant)
            }
            Self::Index { table, name } if shift == 5 => Self::Scaled { table, name },
            _ => Self::Top,
        }
    }
}
