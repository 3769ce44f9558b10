//! WebAssembly types as the artifact stores them, and the section `.lucet.types`.
//!
//! Value types are encoded by their byte in the wasm binary format (core spec, 5.3), so a hex dump
//! of an artifact reads like one of a wasm file.

use crate::codec::{DecodeError, EncodeError, Reader, Writer};
use crate::limits;
use std::fmt;

/// A reference type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RefType {
    /// A function reference or null.
    Func = 0x70,
    /// An opaque host value or null; 64 bits, null is 0.
    Extern = 0x6f,
}

/// A value type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ValType {
    /// 32-bit integer.
    I32 = 0x7f,
    /// 64-bit integer.
    I64 = 0x7e,
    /// 32-bit float.
    F32 = 0x7d,
    /// 64-bit float.
    F64 = 0x7c,
    /// 128-bit vector.
    V128 = 0x7b,
    /// See [`RefType::Func`].
    FuncRef = 0x70,
    /// See [`RefType::Extern`].
    ExternRef = 0x6f,
}

impl ValType {
    /// The type with this byte in the wasm binary format.
    #[must_use]
    pub fn from_byte(b: u8) -> Option<Self> {
        Some(match b {
            0x7f => Self::I32,
            0x7e => Self::I64,
            0x7d => Self::F32,
            0x7c => Self::F64,
            0x7b => Self::V128,
            0x70 => Self::FuncRef,
            0x6f => Self::ExternRef,
            _ => return None,
        })
    }

    /// Whether values of this type travel in vector registers as floats.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }

    /// Whether this is a reference type.
    #[must_use]
    pub fn is_ref(self) -> bool {
        matches!(self, Self::FuncRef | Self::ExternRef)
    }

    fn read(r: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
        let at = r.pos();
        let b = r.u8(what)?;
        Self::from_byte(b).ok_or(DecodeError::Invalid { what, at, found: b.into() })
    }
}

impl From<RefType> for ValType {
    fn from(t: RefType) -> Self {
        match t {
            RefType::Func => Self::FuncRef,
            RefType::Extern => Self::ExternRef,
        }
    }
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::V128 => "v128",
            Self::FuncRef => "funcref",
            Self::ExternRef => "externref",
        })
    }
}

/// A function type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct FuncType {
    /// Parameter types.
    pub params: Vec<ValType>,
    /// Result types.
    pub results: Vec<ValType>,
}

impl fmt::Display for FuncType {
    /// `(i32, i64) -> f32`, `() -> ()`, `() -> (i32, i32)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list(f: &mut fmt::Formatter<'_>, tys: &[ValType]) -> fmt::Result {
            f.write_str("(")?;
            for (i, t) in tys.iter().enumerate() {
                if i > 0 {
                    f.write_str(", ")?;
                }
                write!(f, "{t}")?;
            }
            f.write_str(")")
        }
        list(f, &self.params)?;
        f.write_str(" -> ")?;
        match self.results.as_slice() {
            [one] => write!(f, "{one}"),
            many => list(f, many),
        }
    }
}

/// How memory 0 lies in its slot (see `docs/design/instance-data.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MemoryShape {
    /// 4 GiB reserved plus a guard; most accesses need no check.
    Guarded = 1,
    /// Only the maximum is reserved; every access is checked.
    Compact = 2,
}

impl MemoryShape {
    /// The shape with this number.
    #[must_use]
    pub fn from_byte(b: u8) -> Option<Self> {
        match b {
            1 => Some(Self::Guarded),
            2 => Some(Self::Compact),
            _ => None,
        }
    }
}

/// Limits of a memory, in wasm pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryType {
    /// Initial size in pages.
    pub min: u64,
    /// Maximum size in pages that the module declares, if it declares one.
    pub max: Option<u64>,
    /// Whether addresses are 64 bits wide.
    pub is64: bool,
}

/// Limits and element type of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableType {
    /// Element type.
    pub elem: RefType,
    /// Initial size in elements.
    pub min: u64,
    /// Maximum size in elements, if declared.
    pub max: Option<u64>,
}

/// Type of a global.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobalType {
    /// Value type.
    pub ty: ValType,
    /// Whether it may be written.
    pub mutable: bool,
}

pub(crate) fn write_max(
    w: &mut Writer,
    max: Option<u64>,
    limit: u64,
    what: &'static str,
) -> Result<(), EncodeError> {
    w.flag(max.is_some());
    w.u64_max(max.unwrap_or(0), limit, what)
}

pub(crate) fn read_max(
    r: &mut Reader<'_>,
    limit: u64,
    what: &'static str,
) -> Result<Option<u64>, DecodeError> {
    let some = r.flag(what)?;
    let at = r.pos();
    let v = r.u64_max(limit, what)?;
    if !some && v != 0 {
        return Err(DecodeError::Invalid { what, at, found: v });
    }
    Ok(some.then_some(v))
}

impl MemoryType {
    /// Largest number of pages a memory with this address width may have.
    #[must_use]
    pub fn page_limit(is64: bool) -> u64 {
        if is64 { 1 << 48 } else { limits::MAX_MEMORY32_PAGES }
    }

    pub(crate) fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let limit = Self::page_limit(self.is64);
        w.flag(self.is64);
        w.u64_max(self.min, limit, "initial memory size")?;
        write_max(w, self.max, limit, "maximum memory size")
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let is64 = r.flag("memory address width")?;
        let limit = Self::page_limit(is64);
        let min = r.u64_max(limit, "initial memory size")?;
        let max = read_max(r, limit, "maximum memory size")?;
        Ok(Self { min, max, is64 })
    }
}

impl TableType {
    pub(crate) fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.u8(self.elem as u8);
        w.u64_max(self.min, limits::MAX_TABLE_ELEMENTS, "initial table size")?;
        write_max(w, self.max, u64::MAX, "maximum table size")
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let elem = read_ref(r, "table element type")?;
        let min = r.u64_max(limits::MAX_TABLE_ELEMENTS, "initial table size")?;
        let max = read_max(r, u64::MAX, "maximum table size")?;
        Ok(Self { elem, min, max })
    }
}

impl GlobalType {
    pub(crate) fn write(&self, w: &mut Writer) {
        w.u8(self.ty as u8);
        w.flag(self.mutable);
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { ty: ValType::read(r, "global type")?, mutable: r.flag("global mutability")? })
    }
}

pub(crate) fn read_ref(r: &mut Reader<'_>, what: &'static str) -> Result<RefType, DecodeError> {
    let at = r.pos();
    match r.u8(what)? {
        0x70 => Ok(RefType::Func),
        0x6f => Ok(RefType::Extern),
        b => Err(DecodeError::Invalid { what, at, found: b.into() }),
    }
}

/// One distinct function type with the two trampolines compiled for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeRecord {
    /// The type.
    pub ty: FuncType,
    /// Offset in `.text` of the entry trampoline (host → guest).
    pub entry: u32,
    /// Offset in `.text` of the link adapter (guest → function of another instance), or
    /// [`NO_CODE`] when no imported function has this type.
    pub adapter: u32,
}

/// "No code here" in an offset field.
pub const NO_CODE: u32 = u32::MAX;

/// Section `.lucet.types`. Types are structurally distinct; every type index in an artifact refers
/// to this table (not to the wasm type section, which may repeat types).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TypeTable {
    /// The records.
    pub types: Vec<TypeRecord>,
}

impl TypeTable {
    /// Encodes the section.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut w = Writer::new();
        w.count(self.types.len(), limits::MAX_TYPES, "number of types")?;
        for t in &self.types {
            for (list, max, what) in [
                (&t.ty.params, limits::MAX_PARAMS, "number of parameters"),
                (&t.ty.results, limits::MAX_RESULTS, "number of results"),
            ] {
                w.count(list.len(), max, what)?;
                for v in list {
                    w.u8(*v as u8);
                }
            }
            w.u32(t.entry);
            w.u32(t.adapter);
        }
        Ok(w.into_bytes())
    }

    /// Decodes the section. Offsets are not yet checked against `.text`.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let n = r.count(limits::MAX_TYPES, 16, "number of types")?;
        let mut types = Vec::with_capacity(n);
        for _ in 0..n {
            let mut lists = [Vec::new(), Vec::new()];
            for (list, max, what) in [
                (0, limits::MAX_PARAMS, "number of parameters"),
                (1, limits::MAX_RESULTS, "number of results"),
            ] {
                let k = r.count(max, 1, what)?;
                let mut v = Vec::with_capacity(k);
                for _ in 0..k {
                    v.push(ValType::read(&mut r, "value type")?);
                }
                lists[list] = v;
            }
            let [params, results] = lists;
            types.push(TypeRecord {
                ty: FuncType { params, results },
                entry: r.u32("entry trampoline")?,
                adapter: r.u32("link adapter")?,
            });
        }
        r.finish()?;
        Ok(Self { types })
    }
}
