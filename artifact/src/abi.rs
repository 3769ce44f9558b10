//! The ABI between compiled code and the runtime: numbers and structures both must agree on.
//!
//! **Conventions.** Guest functions use Cranelift's `Tail` convention with `vmctx` as first
//! parameter. Everything at the border uses the System V convention:
//!
//! ```text
//! entry trampoline   (vmctx, code, slots)               C → guest; one per function type
//! host thunk         (vmctx, index, arguments…)         guest → host function or builtin
//! link adapter       (vmctx, index, arguments…)         guest → function of another instance
//! trap stub          (vmctx, trap code)                 never returns
//! ```
//!
//! `slots` points to an array of 16-byte value slots ([`VALUE_SLOT`]): arguments on entry, results
//! on return, `max(params, results)` of them. Values lie in the low bytes, little-endian; the rest
//! of a slot is undefined.
//!
//! `index` numbers the *host entries* of a module: builtins first, then imported functions starting
//! at [`FIRST_IMPORT`]. A host entry ([`host_entry`]) holds the C function, its user data and how
//! many bytes of arguments lie on the stack ([`host_call_stack_bytes`]).

use crate::types::{FuncType, ValType};
use std::fmt;

/// Size in bytes of a value slot, in argument arrays and for globals.
pub const VALUE_SLOT: u32 = 16;

/// Index of the first imported function among the host entries; builtins lie below.
pub const FIRST_IMPORT: u32 = 64;

/// Why a guest was stopped by a trap. Append-only; the numbers are part of artifact and C ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum TrapCode {
    /// The `unreachable` instruction.
    Unreachable = 1,
    /// An access outside linear memory.
    MemoryOutOfBounds = 2,
    /// An access outside a table, an indirect call through an index outside its table included.
    TableOutOfBounds = 3,
    /// An indirect call through an empty table element.
    IndirectCallToNull = 4,
    /// An indirect call to a function of another type.
    BadSignature = 5,
    /// Integer division or remainder by zero.
    IntegerDivisionByZero = 6,
    /// An integer result does not fit: `MIN / -1`, or a float too large for its conversion.
    IntegerOverflow = 7,
    /// Conversion of NaN to an integer.
    BadConversionToInteger = 8,
    /// The guest's stack is used up.
    StackOverflow = 9,
    /// Use of a null reference.
    NullReference = 10,
    /// An atomic access at an address that is not aligned.
    UnalignedAtomic = 11,
    /// An atomic wait on a memory that is not shared.
    ExpectedSharedMemory = 12,
}

impl TrapCode {
    /// Every code, in order.
    pub const ALL: [Self; 12] = [
        Self::Unreachable,
        Self::MemoryOutOfBounds,
        Self::TableOutOfBounds,
        Self::IndirectCallToNull,
        Self::BadSignature,
        Self::IntegerDivisionByZero,
        Self::IntegerOverflow,
        Self::BadConversionToInteger,
        Self::StackOverflow,
        Self::NullReference,
        Self::UnalignedAtomic,
        Self::ExpectedSharedMemory,
    ];

    /// The code with this number.
    #[must_use]
    pub fn from_u8(n: u8) -> Option<Self> {
        Self::ALL.get(usize::from(n).checked_sub(1)?).copied()
    }

    /// A sentence fragment for messages, in the words of the core specification's test suite where
    /// it has them.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable executed",
            Self::MemoryOutOfBounds => "out of bounds memory access",
            Self::TableOutOfBounds => "out of bounds table access",
            Self::IndirectCallToNull => "indirect call to an uninitialized element",
            Self::BadSignature => "indirect call type mismatch",
            Self::IntegerDivisionByZero => "integer divide by zero",
            Self::IntegerOverflow => "integer overflow",
            Self::BadConversionToInteger => "invalid conversion to integer",
            Self::StackOverflow => "call stack exhausted",
            Self::NullReference => "null reference",
            Self::UnalignedAtomic => "unaligned atomic access",
            Self::ExpectedSharedMemory => "expected shared memory",
        }
    }
}

impl fmt::Display for TrapCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// Functions of the runtime that compiled code calls through the host thunk. Append-only; the
/// number is the index of the host entry.
///
/// Sizes and addresses are passed as `i64`, zero-extended from 32 bits where the memory or table
/// has 32-bit indices; operands of one operation may differ in that. "Packed" means two `u32` in
/// one `i64`: first the high half, then the low.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Builtin {
    /// `(memory: i32, delta pages: i64) -> i64`: old size in pages, or -1.
    MemoryGrow = 0,
    /// `(packed destination and source memory: i64, d: i64, s: i64, n: i64)`; traps.
    MemoryCopy = 1,
    /// `(memory: i32, d: i64, value: i32, n: i64)`; traps.
    MemoryFill = 2,
    /// `(packed memory and data segment: i64, d: i64, s: i64, n: i64)`; traps.
    MemoryInit = 3,
    /// `(data segment: i32)`.
    DataDrop = 4,
    /// `(table: i32, initial value: i64, delta: i64) -> i64`: old size in elements, or -1.
    TableGrow = 5,
    /// `(table: i32, i: i64, value: i64, n: i64)`; traps.
    TableFill = 6,
    /// `(packed destination and source table: i64, d: i64, s: i64, n: i64)`; traps.
    TableCopy = 7,
    /// `(packed table and element segment: i64, d: i64, s: i64, n: i64)`; traps.
    TableInit = 8,
    /// `(element segment: i32)`.
    ElemDrop = 9,
    /// `(table: i32, i: i64, value: i64)`; traps.
    TableSet = 10,
    /// `()`: the fuel counter is not above zero; returns when it was filled up.
    OutOfFuel = 11,
    /// `(x: i64, y: i64, z: i64) -> i64`: `x * y + z` rounded once, of two packed `f32` each; for
    /// code compiled for CPUs that have no instruction for it.
    FusedF32x2 = 12,
    /// `(x: i64, y: i64, z: i64) -> i64`: the same, of the bits of one `f64` each.
    FusedF64 = 13,
    /// `(packed import and number of the result: i64, value: i64)`: a reference that a host
    /// function returned; it must be one that the result's type allows.
    CheckResult = 14,
    /// `(tag: i64, payload: i64)`: throws a new exception; its values are at that address, a value
    /// slot each. Does not return.
    Throw = 15,
    /// `(exnref: i64, unused: i64)`: throws an exception again that was caught as a reference,
    /// which is not null. Does not return.
    ThrowRef = 16,
    /// `(exnref: i64, unused: i64)`: lets an exception go on that a handler got and does not catch.
    /// Does not return.
    Rethrow = 17,
    /// `(exnref: i64, payload: i64)`: copies the values of an exception to that address, unless it
    /// is 0, and lets go of the exception: a handler caught it and keeps no reference.
    TakeException = 18,
    /// `(exnref: i64, payload: i64)`: copies the values of an exception to that address.
    ReadException = 19,
}

impl Builtin {
    /// Every builtin, in order.
    pub const ALL: [Self; 20] = [
        Self::MemoryGrow,
        Self::MemoryCopy,
        Self::MemoryFill,
        Self::MemoryInit,
        Self::DataDrop,
        Self::TableGrow,
        Self::TableFill,
        Self::TableCopy,
        Self::TableInit,
        Self::ElemDrop,
        Self::TableSet,
        Self::OutOfFuel,
        Self::FusedF32x2,
        Self::FusedF64,
        Self::CheckResult,
        Self::Throw,
        Self::ThrowRef,
        Self::Rethrow,
        Self::TakeException,
        Self::ReadException,
    ];

    /// Parameter and result types, without `vmctx` and index.
    #[must_use]
    pub fn signature(self) -> (&'static [ValType], &'static [ValType]) {
        use ValType::{I32, I64};
        match self {
            Self::MemoryGrow => (&[I32, I64], &[I64]),
            Self::MemoryCopy | Self::MemoryInit | Self::TableCopy | Self::TableInit => {
                (&[I64, I64, I64, I64], &[])
            }
            Self::MemoryFill => (&[I32, I64, I32, I64], &[]),
            Self::DataDrop | Self::ElemDrop => (&[I32], &[]),
            Self::TableGrow => (&[I32, I64, I64], &[I64]),
            Self::TableFill => (&[I32, I64, I64, I64], &[]),
            Self::TableSet => (&[I32, I64, I64], &[]),
            Self::OutOfFuel => (&[], &[]),
            Self::FusedF32x2 | Self::FusedF64 => (&[I64, I64, I64], &[I64]),
            Self::CheckResult => (&[I64, I64], &[]),
            Self::Throw
            | Self::ThrowRef
            | Self::Rethrow
            | Self::TakeException
            | Self::ReadException => (&[I64, I64], &[]),
        }
    }
}

/// Offsets inside a table entry, which is also a function descriptor.
///
/// ```text
///  0   4   8        16       24       32
///  ├───┼───┼────────┼────────┼────────┤
///  │sig│flg│ code   │ vmctx  │ funcref│
///  └───┴───┴────────┴────────┴────────┘
/// ```
///
/// A null element is all zero. `sig` is the process-wide signature id (never 0 for a function).
/// `vmctx` 0 means "the instance that owns the table": initial tables are shared by all instances
/// of a module until one of them is written. `funcref` is the value that `table.get` returns: for
/// a funcref table the address of the function's descriptor, for an externref table the 64 bits.
pub mod table_entry {
    /// Size of an entry.
    pub const SIZE: u32 = 32;
    /// `u32` signature id.
    pub const SIG: u32 = 0;
    /// `u32` flags, 0 in this version.
    pub const FLAGS: u32 = 4;
    /// Address of the code (`Tail` convention).
    pub const CODE: u32 = 8;
    /// `vmctx` of the instance the function belongs to; 0: own.
    pub const VMCTX: u32 = 16;
    /// The reference itself.
    pub const FUNCREF: u32 = 24;
}

/// Offsets inside a table descriptor in instance data.
pub mod table_desc {
    /// Size of a descriptor.
    pub const SIZE: u32 = 16;
    /// Address of the first entry. For an imported table: address of the owner's descriptor.
    pub const BASE: u32 = 0;
    /// Number of entries, `u64`. For an imported table: unused.
    pub const LEN: u32 = 8;
}

/// Offsets inside a memory descriptor.
pub mod memory_desc {
    /// Size of a descriptor.
    pub const SIZE: u32 = 16;
    /// Address of byte 0; never changes while the memory lives.
    pub const BASE: u32 = 0;
    /// Current size in bytes, `u64`.
    pub const BYTES: u32 = 8;
}

/// Offsets inside a link slot: the target of an imported function that another instance provides.
pub mod link_slot {
    /// Size of a slot.
    pub const SIZE: u32 = 16;
    /// Address of the code (`Tail` convention).
    pub const CODE: u32 = 0;
    /// `vmctx` of the instance that provides the function.
    pub const VMCTX: u32 = 8;
}

/// Offsets inside a host entry. Host entries belong to the module, outside every slot.
pub mod host_entry {
    /// Size of an entry.
    pub const SIZE: u32 = 32;
    /// Address of the C function `(lucet_vmctx *, void *user_data, arguments…)`.
    pub const CODE: u32 = 0;
    /// The embedder's user data.
    pub const USER_DATA: u32 = 8;
    /// `u32`: bytes of arguments on the stack, a multiple of 16 ([`super::host_call_stack_bytes`]).
    pub const STACK_BYTES: u32 = 16;
}

/// How a host function's C signature passes one wasm value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostParam {
    /// In an integer register or stack slot: integers, references, pointers.
    Int,
    /// In a vector register or stack slot: `float` and `double`.
    Float,
}

/// Whether results travel through an out-pointer, the last C parameter: a pointer to an array of
/// 16-byte value slots. One scalar result is returned in `rax` or `xmm0`.
#[must_use]
pub fn results_by_pointer(results: &[ValType]) -> bool {
    results.len() > 1 || results.first() == Some(&ValType::V128)
}

/// The C parameters of a host function after `ctx` and `user_data`: each wasm parameter (`v128` by
/// pointer), then the out-pointer if there is one.
pub fn host_params(ty: &FuncType) -> impl Iterator<Item = HostParam> + '_ {
    let params =
        ty.params.iter().map(|t| if t.is_float() { HostParam::Float } else { HostParam::Int });
    params.chain(results_by_pointer(&ty.results).then_some(HostParam::Int))
}

/// Bytes of stack that the arguments of a host call of this type take under the System V
/// convention, after `(vmctx, index)` took two of the six integer registers; rounded up to 16.
#[must_use]
pub fn host_call_stack_bytes(ty: &FuncType) -> u32 {
    let (mut ints, mut floats, mut stack) = (4u32, 8u32, 0u32);
    for p in host_params(ty) {
        let regs = match p {
            HostParam::Int => &mut ints,
            HostParam::Float => &mut floats,
        };
        if *regs > 0 {
            *regs -= 1;
        } else {
            stack += 8;
        }
    }
    stack.next_multiple_of(16)
}
