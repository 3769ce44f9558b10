//! The contract: what a module may do and what it needs, written by the compiler from the module
//! and its policy, enforced by the runtime. Sections `.lucet.contract`, `.lucet.imports` and
//! `.lucet.exports`.
//!
//! The runtime derives nothing it relies on for safety from these bytes without comparing it with
//! its own decision; `docs/design/artifact-format.md` lists the comparisons.

use crate::codec::{DecodeError, EncodeError, Reader, Writer};
use crate::layout::Counts;
use crate::limits;
use crate::types::{FuncType, GlobalType, MemoryShape, MemoryType, TableType};
use std::fmt;

/// CPU features that compiled code may use, as a bit set.
pub mod cpu {
    /// SSE3.
    pub const SSE3: u64 = 1 << 0;
    /// SSSE3.
    pub const SSSE3: u64 = 1 << 1;
    /// SSE4.1.
    pub const SSE41: u64 = 1 << 2;
    /// SSE4.2.
    pub const SSE42: u64 = 1 << 3;
    /// POPCNT.
    pub const POPCNT: u64 = 1 << 4;
    /// AVX.
    pub const AVX: u64 = 1 << 5;
    /// AVX2.
    pub const AVX2: u64 = 1 << 6;
    /// FMA.
    pub const FMA: u64 = 1 << 7;
    /// BMI1.
    pub const BMI1: u64 = 1 << 8;
    /// BMI2.
    pub const BMI2: u64 = 1 << 9;
    /// LZCNT.
    pub const LZCNT: u64 = 1 << 10;
    /// CMPXCHG16B.
    pub const CX16: u64 = 1 << 11;
    /// The x86-64-v2 level of the psABI: the default target.
    pub const X86_64_V2: u64 = SSE3 | SSSE3 | SSE41 | SSE42 | POPCNT | CX16;
    /// The x86-64-v3 level of the psABI.
    pub const X86_64_V3: u64 = X86_64_V2 | AVX | AVX2 | FMA | BMI1 | BMI2 | LZCNT;
    /// Names of the bits, as `/proc/cpuinfo` and compilers spell them.
    pub const NAMES: [(u64, &str); 12] = [
        (SSE3, "sse3"),
        (SSSE3, "ssse3"),
        (SSE41, "sse4.1"),
        (SSE42, "sse4.2"),
        (POPCNT, "popcnt"),
        (AVX, "avx"),
        (AVX2, "avx2"),
        (FMA, "fma"),
        (BMI1, "bmi1"),
        (BMI2, "bmi2"),
        (LZCNT, "lzcnt"),
        (CX16, "cx16"),
    ];
}

/// WebAssembly features a module uses beyond WebAssembly 1.0, as a bit set.
pub mod feature {
    /// Import or export of mutable globals.
    pub const MUTABLE_GLOBALS: u64 = 1 << 0;
    /// Sign-extension operators.
    pub const SIGN_EXTENSION: u64 = 1 << 1;
    /// Saturating float-to-int conversions.
    pub const SATURATING_CONVERSIONS: u64 = 1 << 2;
    /// Multiple results and block parameters.
    pub const MULTI_VALUE: u64 = 1 << 3;
    /// Bulk memory operations.
    pub const BULK_MEMORY: u64 = 1 << 4;
    /// Reference types.
    pub const REFERENCE_TYPES: u64 = 1 << 5;
    /// 128-bit vectors.
    pub const SIMD: u64 = 1 << 6;
    /// Relaxed operations on vectors.
    pub const RELAXED_SIMD: u64 = 1 << 7;
    /// Tail calls.
    pub const TAIL_CALL: u64 = 1 << 8;
    /// Arithmetic in constant expressions.
    pub const EXTENDED_CONST: u64 = 1 << 9;
    /// More than one memory.
    pub const MULTI_MEMORY: u64 = 1 << 10;
    /// Memories and tables with 64-bit indices.
    pub const MEMORY64: u64 = 1 << 11;
    /// References to functions of one type.
    pub const FUNCTION_REFERENCES: u64 = 1 << 12;
    /// Exceptions.
    pub const EXCEPTIONS: u64 = 1 << 13;
    /// Atomic accesses.
    pub const ATOMICS: u64 = 1 << 14;
    /// 128-bit arithmetic on pairs of 64-bit integers.
    pub const WIDE_ARITHMETIC: u64 = 1 << 15;
    /// All bits that have a name.
    pub const KNOWN: u64 = (1 << 16) - 1;
    /// Names of the bits.
    pub const NAMES: [(u64, &str); 16] = [
        (MUTABLE_GLOBALS, "mutable-globals"),
        (SIGN_EXTENSION, "sign-extension"),
        (SATURATING_CONVERSIONS, "saturating-conversions"),
        (MULTI_VALUE, "multi-value"),
        (BULK_MEMORY, "bulk-memory"),
        (REFERENCE_TYPES, "reference-types"),
        (SIMD, "simd"),
        (RELAXED_SIMD, "relaxed-simd"),
        (TAIL_CALL, "tail-call"),
        (EXTENDED_CONST, "extended-const"),
        (MULTI_MEMORY, "multi-memory"),
        (MEMORY64, "memory64"),
        (FUNCTION_REFERENCES, "function-references"),
        (EXCEPTIONS, "exceptions"),
        (ATOMICS, "atomics"),
        (WIDE_ARITHMETIC, "wide-arithmetic"),
    ];
}

/// The first format whose contract has the hash of the policy.
const FORMAT_WITH_POLICY: u32 = 2;

/// A memory with the layout it was compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryDecl {
    /// Limits as declared; for a compact memory without a maximum the policy's is filled in.
    pub ty: MemoryType,
    /// Shape that code was compiled for. An imported memory is always accessed through its
    /// descriptor with checks and says [`MemoryShape::Compact`].
    pub shape: MemoryShape,
    /// Bytes of address space reserved from byte 0 on; 0 for an imported memory.
    pub reserve_bytes: u64,
    /// Bytes of inaccessible guard after the reservation that code relies on.
    pub guard_bytes: u64,
}

/// Section `.lucet.contract`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Must equal [`crate::ABI_VERSION`].
    pub abi_version: u32,
    /// `lucetc` version, for example `0.1.0`.
    pub compiler: String,
    /// Code generator and version, for example `cranelift 0.135.8`.
    pub codegen: String,
    /// BLAKE2b-256 of the wasm file.
    pub source_hash: [u8; 32],
    /// BLAKE2b-256 of the policy's canonical text; zero if there was none, or if the artifact is of
    /// format 1, which does not say.
    pub policy_hash: [u8; 32],
    /// Bits of [`cpu`] that code needs.
    pub cpu: u64,
    /// Bits of [`feature`] that the module uses.
    pub features: u64,
    /// Bytes of instance data; must equal what [`crate::layout::Layout`] computes.
    pub instance_data: u32,
    /// Smallest stack in bytes that one call of the largest frame needs.
    pub min_stack: u32,
    /// Whether code counts fuel.
    pub fuel: bool,
    /// Memories, imported ones first.
    pub memories: Vec<MemoryDecl>,
    /// Tables, imported ones first.
    pub tables: Vec<TableType>,
    /// Globals, imported ones first.
    pub globals: Vec<GlobalType>,
    /// Type of each exception tag, an index into `.lucet.types`, without results; imported ones
    /// first.
    pub tags: Vec<u32>,
    /// Index of the start function, if any.
    pub start: Option<u32>,
    /// Number of functions, imported ones included.
    pub functions: u32,
    /// Free labels: name, version, author, tenant, …; sorted by key, keys distinct.
    pub labels: Vec<(String, String)>,
}

impl Contract {
    /// Number of imported memories.
    #[must_use]
    pub fn imported_memories(&self) -> usize {
        self.memories.iter().take_while(|m| m.is_imported()).count()
    }

    /// Own memories that do not lie at `vmctx`: all but an own memory 0.
    #[must_use]
    pub fn further_memories(&self) -> &[MemoryDecl] {
        self.memories.get(self.imported_memories().max(1)..).unwrap_or_default()
    }

    /// Encodes the section, in the current format.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut w = Writer::new();
        w.u32(crate::FORMAT_VERSION);
        w.u32(self.abi_version);
        w.str(&self.compiler, limits::MAX_VERSION_BYTES, "compiler version")?;
        w.str(&self.codegen, limits::MAX_VERSION_BYTES, "code generator version")?;
        w.raw(&self.source_hash);
        w.raw(&self.policy_hash);
        w.u64(self.cpu);
        w.u64(self.features);
        w.u64_max(
            self.instance_data.into(),
            limits::MAX_INSTANCE_DATA.into(),
            "size of instance data",
        )?;
        w.u32(self.min_stack);
        w.flag(self.fuel);
        w.count(self.memories.len(), limits::MAX_MEMORIES, "number of memories")?;
        for m in &self.memories {
            m.ty.write(&mut w)?;
            w.u8(m.shape as u8);
            w.u64(m.reserve_bytes);
            w.u64(m.guard_bytes);
        }
        w.count(self.tables.len(), limits::MAX_TABLES, "number of tables")?;
        for t in &self.tables {
            t.write(&mut w)?;
        }
        w.count(self.globals.len(), limits::MAX_GLOBALS, "number of globals")?;
        for g in &self.globals {
            g.write(&mut w);
        }
        w.count(self.tags.len(), limits::MAX_TAGS, "number of tags")?;
        for t in &self.tags {
            w.u32(*t);
        }
        w.count(self.functions as usize, limits::MAX_FUNCTIONS, "number of functions")?;
        w.flag(self.start.is_some());
        w.u32(self.start.unwrap_or(0));
        w.count(self.labels.len(), limits::MAX_LABELS, "number of labels")?;
        for (k, v) in &self.labels {
            w.str(k, limits::MAX_LABEL_BYTES, "label name")?;
            w.str(v, limits::MAX_LABEL_BYTES, "label value")?;
        }
        Ok(w.into_bytes())
    }

    /// Decodes the section. The format version is returned beside it, already checked to be
    /// readable.
    pub fn decode(bytes: &[u8]) -> Result<(u32, Self), DecodeError> {
        let mut r = Reader::new(bytes);
        let format = r.u32("format version")?;
        if !(crate::OLDEST_READABLE_FORMAT..=crate::FORMAT_VERSION).contains(&format) {
            return Err(DecodeError::Invalid {
                what: "format version",
                at: 0,
                found: format.into(),
            });
        }
        let abi_version = r.u32("ABI version")?;
        let compiler = r.str(limits::MAX_VERSION_BYTES, "compiler version")?.to_owned();
        let codegen = r.str(limits::MAX_VERSION_BYTES, "code generator version")?.to_owned();
        let mut source_hash = [0; 32];
        source_hash.copy_from_slice(r.take(32, "source hash")?);
        let mut policy_hash = [0; 32];
        if format >= FORMAT_WITH_POLICY {
            policy_hash.copy_from_slice(r.take(32, "policy hash")?);
        }
        let cpu = r.u64("CPU features")?;
        let features = r.u64("language features")?;
        let max = u64::from(limits::MAX_INSTANCE_DATA);
        let instance_data = r.u64_max(max, "size of instance data")? as u32;
        let min_stack = r.u32("minimum stack")?;
        let fuel = r.flag("fuel flag")?;
        let n = r.count(limits::MAX_MEMORIES, 36, "number of memories")?;
        let mut memories = Vec::with_capacity(n);
        for _ in 0..n {
            memories.push(MemoryDecl::read(&mut r)?);
        }
        let n = r.count(limits::MAX_TABLES, 19, "number of tables")?;
        let mut tables = Vec::with_capacity(n);
        for _ in 0..n {
            tables.push(TableType::read(&mut r)?);
        }
        let n = r.count(limits::MAX_GLOBALS, 2, "number of globals")?;
        let mut globals = Vec::with_capacity(n);
        for _ in 0..n {
            globals.push(GlobalType::read(&mut r)?);
        }
        let n = r.count(limits::MAX_TAGS, 4, "number of tags")?;
        let mut tags = Vec::with_capacity(n);
        for _ in 0..n {
            tags.push(r.u32("type of a tag")?);
        }
        let functions = r.u64_functions()?;
        let has_start = r.flag("start flag")?;
        let at = r.pos();
        let start = r.u32("start function")?;
        if (has_start && start >= functions) || (!has_start && start != 0) {
            return Err(DecodeError::Invalid { what: "start function", at, found: start.into() });
        }
        let n = r.count(limits::MAX_LABELS, 8, "number of labels")?;
        let mut labels: Vec<(String, String)> = Vec::with_capacity(n);
        for _ in 0..n {
            let at = r.pos();
            let k = r.str(limits::MAX_LABEL_BYTES, "label name")?.to_owned();
            let v = r.str(limits::MAX_LABEL_BYTES, "label value")?.to_owned();
            if labels.last().is_some_and(|(last, _)| *last >= k) {
                return Err(DecodeError::Invalid { what: "order of labels", at, found: 0 });
            }
            labels.push((k, v));
        }
        r.finish()?;
        let contract = Self {
            abi_version,
            compiler,
            codegen,
            source_hash,
            policy_hash,
            cpu,
            features,
            instance_data,
            min_stack,
            fuel,
            memories,
            tables,
            globals,
            tags,
            start: has_start.then_some(start),
            functions,
            labels,
        };
        Ok((format, contract))
    }
}

impl MemoryDecl {
    /// Whether another instance owns it.
    #[must_use]
    pub fn is_imported(&self) -> bool {
        self.reserve_bytes == 0
    }

    /// Bytes that an own memory may have, by what was declared and reserved for it.
    #[must_use]
    pub fn most_bytes(&self) -> u64 {
        let declared = self.ty.max.map_or(u64::MAX, |m| m.saturating_mul(limits::WASM_PAGE));
        declared.min(limits::MAX_MEMORY_BYTES).min(self.reserve_bytes)
    }

    /// What an own memory of this type reserves if every access to it is checked: its maximum, as
    /// far as any instance can have that. A memory that can never hold a byte still reserves a
    /// page, because a reservation of 0 means "imported".
    #[must_use]
    pub fn checked_reserve(ty: MemoryType) -> u64 {
        let most = limits::MAX_MEMORY_BYTES / limits::WASM_PAGE;
        ty.max.unwrap_or(most).clamp(1, most) * limits::WASM_PAGE
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let ty = MemoryType::read(r)?;
        let at = r.pos();
        let b = r.u8("memory shape")?;
        let shape = MemoryShape::from_byte(b).ok_or(DecodeError::Invalid {
            what: "memory shape",
            at,
            found: b.into(),
        })?;
        let reserve_bytes = r.u64("memory reservation")?;
        let guard_bytes = r.u64("memory guard")?;
        Ok(Self { ty, shape, reserve_bytes, guard_bytes })
    }
}

impl Reader<'_> {
    fn u64_functions(&mut self) -> Result<u32, DecodeError> {
        let at = self.pos();
        let found = self.u32("number of functions")?;
        let max = limits::MAX_FUNCTIONS as u64;
        if u64::from(found) > max {
            let what = "number of functions";
            return Err(DecodeError::Limit { what, at, found: found.into(), max });
        }
        Ok(found)
    }
}

/// What goes in or out of a module, with its type; `F` stands for the type of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum External<F> {
    /// A function.
    Func(F),
    /// A table.
    Table(TableType),
    /// A memory.
    Memory(MemoryType),
    /// A global.
    Global(GlobalType),
    /// An exception tag.
    Tag(F),
}

/// What an import asks for; types of functions and tags are indices into `.lucet.types`.
pub type ImportKind = External<u32>;

/// The whole type of what is imported or exported, as people read it.
pub type Extern<'a> = External<&'a FuncType>;

impl<F> External<F> {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> ExportKind {
        match self {
            Self::Func(_) => ExportKind::Func,
            Self::Table(_) => ExportKind::Table,
            Self::Memory(_) => ExportKind::Memory,
            Self::Global(_) => ExportKind::Global,
            Self::Tag(_) => ExportKind::Tag,
        }
    }

    /// The word for it in messages.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.kind().word()
    }
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Module name.
    pub module: String,
    /// Field name.
    pub name: String,
    /// Kind and type.
    pub kind: ImportKind,
}

/// Section `.lucet.imports`, in the order of the wasm file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imports {
    /// The imports.
    pub imports: Vec<Import>,
}

impl Imports {
    /// Encodes the section.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut w = Writer::new();
        w.count(self.imports.len(), limits::MAX_IMPORTS, "number of imports")?;
        for i in &self.imports {
            w.str(&i.module, limits::MAX_NAME_BYTES, "import module name")?;
            w.str(&i.name, limits::MAX_NAME_BYTES, "import name")?;
            match &i.kind {
                ImportKind::Func(t) => {
                    w.u8(0);
                    w.u32(*t);
                }
                ImportKind::Table(t) => {
                    w.u8(1);
                    t.write(&mut w)?;
                }
                ImportKind::Memory(m) => {
                    w.u8(2);
                    m.write(&mut w)?;
                }
                ImportKind::Global(g) => {
                    w.u8(3);
                    g.write(&mut w);
                }
                ImportKind::Tag(t) => {
                    w.u8(4);
                    w.u32(*t);
                }
            }
        }
        Ok(w.into_bytes())
    }

    /// Decodes the section; function types must lie below `types`.
    pub fn decode(bytes: &[u8], types: usize) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let n = r.count(limits::MAX_IMPORTS, 11, "number of imports")?;
        let mut imports = Vec::with_capacity(n);
        for _ in 0..n {
            let module = r.str(limits::MAX_NAME_BYTES, "import module name")?.to_owned();
            let name = r.str(limits::MAX_NAME_BYTES, "import name")?.to_owned();
            let at = r.pos();
            let kind = match r.u8("import kind")? {
                0 => ImportKind::Func(r.index(types, "import type")?),
                1 => ImportKind::Table(TableType::read(&mut r)?),
                2 => ImportKind::Memory(MemoryType::read(&mut r)?),
                3 => ImportKind::Global(GlobalType::read(&mut r)?),
                4 => ImportKind::Tag(r.index(types, "import type")?),
                b => {
                    return Err(DecodeError::Invalid { what: "import kind", at, found: b.into() });
                }
            };
            imports.push(Import { module, name, kind });
        }
        r.finish()?;
        Ok(Self { imports })
    }
}

impl fmt::Display for Extern<'_> {
    /// `(i32) -> i64`, `table 1..10 funcref`, `memory 1..16`, `global mut i32`, `tag (i32)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Func(t) => t.fmt(f),
            Self::Table(t) => t.fmt(f),
            Self::Memory(m) => m.fmt(f),
            Self::Global(g) => g.fmt(f),
            Self::Tag(t) => {
                f.write_str("tag ")?;
                t.write_params(f)
            }
        }
    }
}

impl ImportKind {
    /// The whole type; `types` finds a function type by its index.
    pub fn whole<'a>(&self, types: impl Fn(u32) -> Option<&'a FuncType>) -> Option<Extern<'a>> {
        Some(match *self {
            Self::Func(t) => Extern::Func(types(t)?),
            Self::Table(t) => Extern::Table(t),
            Self::Memory(m) => Extern::Memory(m),
            Self::Global(g) => Extern::Global(g),
            Self::Tag(t) => Extern::Tag(types(t)?),
        })
    }
}

impl Export {
    /// The whole type; `function` finds the type of a function by the function's index, `types` a
    /// type by its own.
    pub fn whole<'a>(
        &self,
        contract: &Contract,
        function: impl Fn(u32) -> Option<&'a FuncType>,
        types: impl Fn(u32) -> Option<&'a FuncType>,
    ) -> Option<Extern<'a>> {
        let i = self.index as usize;
        Some(match self.kind {
            ExportKind::Func => Extern::Func(function(self.index)?),
            ExportKind::Table => Extern::Table(*contract.tables.get(i)?),
            ExportKind::Memory => Extern::Memory(contract.memories.get(i)?.ty),
            ExportKind::Global => Extern::Global(*contract.globals.get(i)?),
            ExportKind::Tag => Extern::Tag(types(*contract.tags.get(i)?)?),
        })
    }
}

/// What an export gives: a kind of [`External`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExportKind {
    /// A function.
    Func = 0,
    /// A table.
    Table = 1,
    /// A memory.
    Memory = 2,
    /// A global.
    Global = 3,
    /// An exception tag.
    Tag = 4,
}

impl ExportKind {
    /// The word for it in messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Func => "function",
            Self::Table => "table",
            Self::Memory => "memory",
            Self::Global => "global",
            Self::Tag => "tag",
        }
    }
}

/// One export: kind and index into the index space of that kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: ExportKind,
    /// Index.
    pub index: u32,
}

/// Section `.lucet.exports`, in the order of the wasm file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exports {
    /// The exports.
    pub exports: Vec<Export>,
}

impl Exports {
    /// Encodes the section.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut w = Writer::new();
        w.count(self.exports.len(), limits::MAX_EXPORTS, "number of exports")?;
        for e in &self.exports {
            w.str(&e.name, limits::MAX_NAME_BYTES, "export name")?;
            w.u8(e.kind as u8);
            w.u32(e.index);
        }
        Ok(w.into_bytes())
    }

    /// Decodes the section; indices are checked against the contract's counts.
    pub fn decode(bytes: &[u8], contract: &Contract) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let n = r.count(limits::MAX_EXPORTS, 9, "number of exports")?;
        let mut exports = Vec::with_capacity(n);
        for _ in 0..n {
            let name = r.str(limits::MAX_NAME_BYTES, "export name")?.to_owned();
            let at = r.pos();
            let (kind, end) = match r.u8("export kind")? {
                0 => (ExportKind::Func, contract.functions as usize),
                1 => (ExportKind::Table, contract.tables.len()),
                2 => (ExportKind::Memory, contract.memories.len()),
                3 => (ExportKind::Global, contract.globals.len()),
                4 => (ExportKind::Tag, contract.tags.len()),
                b => {
                    return Err(DecodeError::Invalid { what: "export kind", at, found: b.into() });
                }
            };
            let index = r.index(end, "export index")?;
            exports.push(Export { name, kind, index });
        }
        r.finish()?;
        Ok(Self { exports })
    }
}

/// The counts that the instance-data layout depends on, derived from contract, imports and types.
#[must_use]
pub fn layout_counts(contract: &Contract, imports: &Imports, types: usize) -> Counts {
    let (mut functions, mut globals, mut tags) = (0, 0, 0);
    for i in &imports.imports {
        match i.kind {
            ImportKind::Func(_) => functions += 1,
            ImportKind::Global(_) => globals += 1,
            ImportKind::Tag(_) => tags += 1,
            ImportKind::Table(_) | ImportKind::Memory(_) => {}
        }
    }
    Counts {
        own_globals: (contract.globals.len() as u32).saturating_sub(globals),
        tables: contract.tables.len() as u32,
        memories: contract.memories.len() as u32,
        further_memories: contract.further_memories().len() as u32,
        imported_globals: globals,
        types: types as u32,
        imported_functions: functions,
        imported_tags: tags,
        own_tags: (contract.tags.len() as u32).saturating_sub(tags),
    }
}
