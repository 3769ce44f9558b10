//! Typed values that cross the border between host and guest.

use crate::error::Result;
use lucet_artifact::ValType;
use lucet_artifact::types::HeapType;

/// A value with its type.
///
/// References are opaque 64-bit words; 0 is null. A `FuncRef` or `ExnRef` that did not come from
/// the instance (or its group) it is given to is refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Val {
    /// i32
    I32(i32),
    /// i64
    I64(i64),
    /// f32
    F32(f32),
    /// f64
    F64(f64),
    /// v128, little-endian
    V128(u128),
    /// funcref
    FuncRef(u64),
    /// externref
    ExternRef(u64),
    /// exnref
    ExnRef(u64),
}

/// Where arguments come from: [`Val`]s, or what the C API is given.
pub(crate) trait Argument {
    /// The number of its type ([`ValType`]); 0 if it has none.
    fn type_byte(&self) -> u8;
    /// It as a value slot.
    fn slot(&self) -> u128;
    /// The typed value, or what is wrong with it.
    fn value(&self) -> Result<Val>;
}

impl Argument for Val {
    #[inline(always)]
    fn type_byte(&self) -> u8 {
        self.ty().byte()
    }

    #[inline(always)]
    fn slot(&self) -> u128 {
        self.to_slot()
    }

    fn value(&self) -> Result<Val> {
        Ok(*self)
    }
}

impl Val {
    /// The value's type; of a reference, the largest of its kind.
    #[must_use]
    pub fn ty(&self) -> ValType {
        match self {
            Self::I32(_) => ValType::I32,
            Self::I64(_) => ValType::I64,
            Self::F32(_) => ValType::F32,
            Self::F64(_) => ValType::F64,
            Self::V128(_) => ValType::V128,
            Self::FuncRef(_) => ValType::FUNCREF,
            Self::ExternRef(_) => ValType::EXTERNREF,
            Self::ExnRef(_) => ValType::EXNREF,
        }
    }

    /// The value as the low bytes of a 16-byte value slot. NaN bits are preserved.
    #[must_use]
    pub fn to_slot(self) -> u128 {
        match self {
            Self::I32(v) => u128::from(v as u32),
            Self::I64(v) => u128::from(v as u64),
            Self::F32(v) => u128::from(v.to_bits()),
            Self::F64(v) => u128::from(v.to_bits()),
            Self::V128(v) => v,
            Self::FuncRef(v) | Self::ExternRef(v) | Self::ExnRef(v) => u128::from(v),
        }
    }

    /// The value of type `ty` in a value slot.
    #[must_use]
    pub fn from_slot(ty: ValType, slot: u128) -> Self {
        match ty {
            ValType::I32 => Self::I32(slot as u32 as i32),
            ValType::I64 => Self::I64(slot as u64 as i64),
            ValType::F32 => Self::F32(f32::from_bits(slot as u32)),
            ValType::F64 => Self::F64(f64::from_bits(slot as u64)),
            ValType::V128 => Self::V128(slot),
            ValType::Ref(t) => match t.heap.top() {
                HeapType::Extern => Self::ExternRef(slot as u64),
                HeapType::Exn => Self::ExnRef(slot as u64),
                _ => Self::FuncRef(slot as u64),
            },
        }
    }
}
