//! WebAssembly types as the artifact stores them, and the section `.lucet.types`.
//!
//! Value types are encoded by their byte in the wasm binary format (core spec, 5.3), so a hex dump
//! of an artifact reads like one of a wasm file. References that are not plain and nullable have a
//! byte in front that says so.

use crate::codec::{DecodeError, EncodeError, Reader, Writer};
use crate::limits;
use std::fmt;

/// What a reference refers to (core spec, 2.3.3, as far as functions, host values and exceptions
/// go).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeapType {
    /// Any function.
    Func,
    /// An opaque host value of 64 bits.
    Extern,
    /// An exception.
    Exn,
    /// No function: only null has this type.
    NoFunc,
    /// No host value: only null.
    NoExtern,
    /// No exception: only null.
    NoExn,
    /// A function of one type: an index into `.lucet.types`. While a module is being compiled it is
    /// an index of the wasm type section first.
    Concrete(u32),
}

impl HeapType {
    // The byte of the wasm binary format; `Concrete` has none there, and 0x60 here.
    fn byte(self) -> u8 {
        match self {
            Self::Func => 0x70,
            Self::Extern => 0x6f,
            Self::Exn => 0x69,
            Self::NoFunc => 0x73,
            Self::NoExtern => 0x72,
            Self::NoExn => 0x74,
            Self::Concrete(_) => 0x60,
        }
    }

    fn from_byte(b: u8) -> Option<Self> {
        Some(match b {
            0x70 => Self::Func,
            0x6f => Self::Extern,
            0x69 => Self::Exn,
            0x73 => Self::NoFunc,
            0x72 => Self::NoExtern,
            0x74 => Self::NoExn,
            _ => return None,
        })
    }

    /// The largest type of the same kind: functions, host values or exceptions.
    #[must_use]
    pub fn top(self) -> Self {
        match self {
            Self::Func | Self::NoFunc | Self::Concrete(_) => Self::Func,
            Self::Extern | Self::NoExtern => Self::Extern,
            Self::Exn | Self::NoExn => Self::Exn,
        }
    }

    /// Whether each value of this type is one of `other` (core spec, 3.3.3). Indices must mean the
    /// same in both.
    #[must_use]
    pub fn matches(self, other: Self) -> bool {
        let bottom = matches!(self, Self::NoFunc | Self::NoExtern | Self::NoExn);
        self == other || self.top() == other && !bottom || bottom && self.top() == other.top()
    }
}

/// A reference type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RefType {
    /// Whether null has this type.
    pub nullable: bool,
    /// What it refers to.
    pub heap: HeapType,
}

// In front of a heap type: a reference that is not plain and nullable.
const REF: u8 = 0x64;
const REF_NULL: u8 = 0x63;

impl RefType {
    /// `funcref`: a function or null.
    pub const FUNC: Self = Self { nullable: true, heap: HeapType::Func };
    /// `externref`: an opaque host value or null; 64 bits, null is 0.
    pub const EXTERN: Self = Self { nullable: true, heap: HeapType::Extern };
    /// `exnref`: an exception or null.
    pub const EXN: Self = Self { nullable: true, heap: HeapType::Exn };

    /// Whether each value of this type is one of `other`. Indices must mean the same in both.
    #[must_use]
    pub fn matches(self, other: Self) -> bool {
        (other.nullable || !self.nullable) && self.heap.matches(other.heap)
    }

    /// Whether values are functions.
    #[must_use]
    pub fn is_func(self) -> bool {
        self.heap.top() == HeapType::Func
    }

    /// The type with the index of a concrete one changed by `f`.
    #[must_use]
    pub fn map(self, f: &dyn Fn(u32) -> u32) -> Self {
        match self.heap {
            HeapType::Concrete(i) => Self { heap: HeapType::Concrete(f(i)), ..self },
            _ => self,
        }
    }

    pub(crate) fn write(self, w: &mut Writer) {
        if let (true, HeapType::Func | HeapType::Extern | HeapType::Exn) =
            (self.nullable, self.heap)
        {
            return w.u8(self.heap.byte());
        }
        w.u8(if self.nullable { REF_NULL } else { REF });
        w.u8(self.heap.byte());
        if let HeapType::Concrete(i) = self.heap {
            w.u32(i);
        }
    }

    /// Indices of concrete types are not checked.
    pub(crate) fn read(r: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
        let at = r.pos();
        let b = r.u8(what)?;
        let plain = [Self::FUNC, Self::EXTERN, Self::EXN].into_iter().find(|t| t.heap.byte() == b);
        if let Some(t) = plain {
            return Ok(t);
        }
        let nullable = b == REF_NULL;
        if !nullable && b != REF {
            return Err(DecodeError::Invalid { what, at, found: b.into() });
        }
        let at = r.pos();
        let heap = match r.u8(what)? {
            0x60 => HeapType::Concrete(r.u32(what)?),
            b => {
                HeapType::from_byte(b).ok_or(DecodeError::Invalid { what, at, found: b.into() })?
            }
        };
        let t = Self { nullable, heap };
        // One way to write each type.
        if [Self::FUNC, Self::EXTERN, Self::EXN].contains(&t) {
            return Err(DecodeError::Invalid { what, at, found: heap.byte().into() });
        }
        Ok(t)
    }
}

impl fmt::Display for RefType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FUNC => return f.write_str("funcref"),
            Self::EXTERN => return f.write_str("externref"),
            Self::EXN => return f.write_str("exnref"),
            _ => {}
        }
        f.write_str(if self.nullable { "(ref null " } else { "(ref " })?;
        match self.heap {
            HeapType::Func => f.write_str("func)"),
            HeapType::Extern => f.write_str("extern)"),
            HeapType::Exn => f.write_str("exn)"),
            HeapType::NoFunc => f.write_str("nofunc)"),
            HeapType::NoExtern => f.write_str("noextern)"),
            HeapType::NoExn => f.write_str("noexn)"),
            HeapType::Concrete(i) => write!(f, "{i})"),
        }
    }
}

/// A value type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 128-bit vector.
    V128,
    /// A reference; 64 bits, null is 0.
    Ref(RefType),
}

impl ValType {
    /// See [`RefType::FUNC`].
    pub const FUNCREF: Self = Self::Ref(RefType::FUNC);
    /// See [`RefType::EXTERN`].
    pub const EXTERNREF: Self = Self::Ref(RefType::EXTERN);
    /// See [`RefType::EXN`].
    pub const EXNREF: Self = Self::Ref(RefType::EXN);

    /// The type with this byte in the wasm binary format, if one byte is all it takes.
    #[must_use]
    pub const fn from_byte(b: u8) -> Option<Self> {
        Some(match b {
            0x7f => Self::I32,
            0x7e => Self::I64,
            0x7d => Self::F32,
            0x7c => Self::F64,
            0x7b => Self::V128,
            0x70 => Self::FUNCREF,
            0x6f => Self::EXTERNREF,
            0x69 => Self::EXNREF,
            _ => return None,
        })
    }

    /// Its byte in the wasm binary format; of a reference, that of the largest type of its kind:
    /// `funcref`, `externref` or `exnref`.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::I32 => 0x7f,
            Self::I64 => 0x7e,
            Self::F32 => 0x7d,
            Self::F64 => 0x7c,
            Self::V128 => 0x7b,
            Self::Ref(RefType { heap, .. }) => match heap {
                HeapType::Func | HeapType::NoFunc | HeapType::Concrete(_) => 0x70,
                HeapType::Extern | HeapType::NoExtern => 0x6f,
                HeapType::Exn | HeapType::NoExn => 0x69,
            },
        }
    }

    /// Whether values of this type travel in vector registers as floats.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }

    /// The reference type, if it is one.
    #[must_use]
    pub fn reference(self) -> Option<RefType> {
        match self {
            Self::Ref(t) => Some(t),
            _ => None,
        }
    }

    /// Whether this is a reference type.
    #[must_use]
    pub fn is_ref(self) -> bool {
        self.reference().is_some()
    }

    /// Whether locals of this type need a value before they are read.
    #[must_use]
    pub fn is_defaultable(self) -> bool {
        self.reference().is_none_or(|t| t.nullable)
    }

    /// Whether each value of this type is one of `other`. Indices must mean the same in both.
    #[must_use]
    pub fn matches(self, other: Self) -> bool {
        match (self, other) {
            (Self::Ref(a), Self::Ref(b)) => a.matches(b),
            _ => self == other,
        }
    }

    /// See [`RefType::map`].
    #[must_use]
    pub fn map(self, f: &dyn Fn(u32) -> u32) -> Self {
        match self {
            Self::Ref(t) => Self::Ref(t.map(f)),
            other => other,
        }
    }

    fn write(self, w: &mut Writer) {
        match self {
            Self::Ref(t) => t.write(w),
            other => w.u8(other.byte()),
        }
    }

    fn read(r: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
        let mut ahead = r.clone();
        match Self::from_byte(ahead.u8(what)?) {
            Some(t) => {
                *r = ahead;
                Ok(t)
            }
            None => Ok(Self::Ref(RefType::read(r, what)?)),
        }
    }
}

impl From<RefType> for ValType {
    fn from(t: RefType) -> Self {
        Self::Ref(t)
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
            Self::Ref(t) => return t.fmt(f),
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

impl FuncType {
    /// Parameters, then results.
    pub fn values(&self) -> impl Iterator<Item = ValType> + '_ {
        self.params.iter().chain(&self.results).copied()
    }

    /// The parameters: `(i32, i64)`.
    pub(crate) fn write_params(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, &self.params)
    }

    /// The type with the indices of concrete references changed by `f`.
    #[must_use]
    pub fn map(&self, f: &dyn Fn(u32) -> u32) -> Self {
        let all = |list: &[ValType]| list.iter().map(|t| t.map(f)).collect();
        Self { params: all(&self.params), results: all(&self.results) }
    }
}

impl fmt::Display for FuncType {
    /// `(i32, i64) -> f32`, `() -> ()`, `() -> (i32, i32)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_params(f)?;
        f.write_str(" -> ")?;
        match self.results.as_slice() {
            [one] => write!(f, "{one}"),
            many => write_list(f, many),
        }
    }
}

/// `(i32, i64)`.
fn write_list(f: &mut fmt::Formatter<'_>, types: &[ValType]) -> fmt::Result {
    f.write_str("(")?;
    for (i, t) in types.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{t}")?;
    }
    f.write_str(")")
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

/// `1..16`, or `1..` without a maximum.
fn range(f: &mut fmt::Formatter<'_>, min: u64, max: Option<u64>) -> fmt::Result {
    write!(f, "{min}..")?;
    max.map_or(Ok(()), |max| write!(f, "{max}"))
}

impl fmt::Display for MemoryType {
    /// `memory 1..16` in pages, `memory64 1..` with 64-bit addresses and without a maximum.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is64 { "memory64 " } else { "memory " })?;
        range(f, self.min, self.max)
    }
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
    /// Whether indices are 64 bits wide.
    pub is64: bool,
}

impl fmt::Display for TableType {
    /// `table 1..10 funcref`, `table64 0.. externref`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is64 { "table64 " } else { "table " })?;
        range(f, self.min, self.max)?;
        write!(f, " {}", self.elem)
    }
}

/// Type of a global.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobalType {
    /// Value type.
    pub ty: ValType,
    /// Whether it may be written.
    pub mutable: bool,
}

impl fmt::Display for GlobalType {
    /// `global i32`, `global mut i64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "global {}{}", if self.mutable { "mut " } else { "" }, self.ty)
    }
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
        self.elem.write(w);
        w.flag(self.is64);
        w.u64_max(self.min, limits::MAX_TABLE_ELEMENTS, "initial table size")?;
        write_max(w, self.max, u64::MAX, "maximum table size")
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let elem = RefType::read(r, "table element type")?;
        let is64 = r.flag("table index width")?;
        let min = r.u64_max(limits::MAX_TABLE_ELEMENTS, "initial table size")?;
        let max = read_max(r, u64::MAX, "maximum table size")?;
        Ok(Self { elem, min, max, is64 })
    }
}

impl GlobalType {
    pub(crate) fn write(&self, w: &mut Writer) {
        self.ty.write(w);
        w.flag(self.mutable);
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { ty: ValType::read(r, "global type")?, mutable: r.flag("global mutability")? })
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

/// Section `.lucet.types`. Types are distinct, and refer to earlier ones only. Every type index in
/// an artifact refers to this table, not to the wasm type section, which may repeat types.
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
                    v.write(&mut w);
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
        for i in 0..n as u32 {
            let at = r.pos();
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
            let ty = FuncType { params, results };
            for t in ty.values().filter_map(ValType::reference) {
                if let HeapType::Concrete(c) = t.heap
                    && c >= i
                {
                    let what = "type of a reference";
                    return Err(DecodeError::Invalid { what, at, found: c.into() });
                }
            }
            types.push(TypeRecord {
                ty,
                entry: r.u32("entry trampoline")?,
                adapter: r.u32("link adapter")?,
            });
        }
        r.finish()?;
        Ok(Self { types })
    }
}
