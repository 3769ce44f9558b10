//! Decodes the sections and compares them with one another and with what this runtime decided.
//!
//! The decoders of `lucet-artifact` guarantee that each section is well-formed by itself. Here is
//! what must hold *between* sections, so that no later code has to ask again:
//!
//! * versions, CPU and features are ones this runtime supports;
//! * contract, imports, functions and types count the same things and agree on their types;
//! * instance data has the layout that this runtime computes, memory 0 the shape it will reserve;
//! * every code offset lies in `.text`, on a function boundary;
//! * every constant expression has the type of its place, every name is a string.
//!
//! Nothing is repaired: what does not fit is refused, with section, item and reason.

#![forbid(unsafe_code)]

use super::expr::Scope;
use super::supported;
use crate::error::{Error, Result, Status};
use crate::sys::Seed;
use lucet_artifact::ValType;
use lucet_artifact::code::{FuncRecord, FuncTable, HandlerTable, Hints, NO_REF, TrapTable};
use lucet_artifact::codec::DecodeError;
use lucet_artifact::container::{
    CONTRACT, DATA, EXPORTS, FUNCS, FUNCTION_ALIGN, HANDLERS, HINTS, IMAGE, IMPORTS, INIT, PCMAP,
    SNAPSHOT, STRTAB, TEXT, TRAPS, TYPES,
};
use lucet_artifact::contract::{
    Contract, ExportKind, Exports, ImportKind, Imports, MemoryDecl, layout_counts,
};
use lucet_artifact::elf::Elf;
use lucet_artifact::init::{ElemItem, Init, SegmentMode};
use lucet_artifact::layout::Layout;
use lucet_artifact::limits::{MAX_FURTHER_RESERVE, MAX_TABLE_ELEMENTS, WASM_PAGE};
use lucet_artifact::snapshot::Snapshot;
use lucet_artifact::types::{FuncType, HeapType, MemoryShape, NO_CODE, TypeTable};
use std::collections::HashSet;
use std::ops::Range;

/// Address space behind byte 0 of a guarded memory 0, in bytes.
const GUARDED_RESERVE: u64 = 4 << 30;
/// Inaccessible bytes after it that compiled code relies on.
const GUARDED_GUARD: u64 = 32 << 20;

/// Everything that was read and found to be consistent. Ranges refer to the file.
pub(super) struct Facts {
    pub(super) format: u32,
    pub(super) contract: Contract,
    pub(super) types: TypeTable,
    pub(super) imports: Imports,
    pub(super) exports: Exports,
    pub(super) funcs: FuncTable,
    pub(super) traps: TrapTable,
    pub(super) handlers: HandlerTable,
    pub(super) init: Init,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) layout: Layout,
    pub(super) text: Range<usize>,
    pub(super) data: Range<usize>,
    pub(super) image: Range<usize>,
    pub(super) pcmap: Range<usize>,
    pub(super) strtab: Range<usize>,
}

pub(super) fn invalid(section: &str, message: impl std::fmt::Display) -> Error {
    Error::new(Status::InvalidArtifact, format!("section {section}: {message}"))
}

/// A section's place in the file, for sections that may be absent: empty then.
fn place(elf: &Elf, name: &str) -> Range<usize> {
    elf.section(name).unwrap_or(0..0)
}

pub(super) fn decoded<T>(section: &str, result: std::result::Result<T, DecodeError>) -> Result<T> {
    result.map_err(|e| invalid(section, e))
}

/// Number of functions among the imports.
pub(super) fn imported_functions(imports: &Imports) -> usize {
    imports.imports.iter().filter(|i| matches!(i.kind, ImportKind::Func(_))).count()
}

/// The NUL-terminated name at `at`.
pub(super) fn name_at(strtab: &[u8], at: u32) -> Option<&str> {
    let rest = strtab.get(at as usize..)?;
    let end = rest.iter().position(|b| *b == 0)?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// Decodes and checks everything behind the container. `body` is the file without its trailer,
/// which says whether it is a `snapshot`.
pub(super) fn verify(body: &[u8], elf: &Elf, snapshot: bool) -> Result<Facts> {
    let bytes = |name| body.get(place(elf, name)).unwrap_or_default();
    let len = |name| place(elf, name).len() as u64;

    // Versions come first, because a newer format decodes to nonsense.
    supported::check_versions(bytes(CONTRACT))?;
    let (format, contract) = decoded(CONTRACT, Contract::decode(bytes(CONTRACT)))?;
    supported::check_features(&contract)?;
    let types = decoded(TYPES, TypeTable::decode(bytes(TYPES)))?;
    check_types(&types, len(TEXT))?;
    check_named_types(&contract, &types)?;
    let imports = decoded(IMPORTS, Imports::decode(bytes(IMPORTS), types.types.len()))?;
    let imported = check_imports(&contract, &imports)?;
    let layout = check_layout(&contract, &imports, types.types.len())?;
    check_sizes(&contract, imported.memories, imported.tables)?;
    let exports = decoded(EXPORTS, Exports::decode(bytes(EXPORTS), &contract))?;
    let funcs = FuncTable::decode(
        bytes(FUNCS),
        len(TEXT),
        types.types.len(),
        len(STRTAB),
        len(PCMAP),
        imported.functions.len() as u32,
    );
    let funcs = decoded(FUNCS, funcs)?;
    check_funcs(&contract, &types, &imported.functions, &funcs)?;
    check_names(bytes(STRTAB), &funcs)?;
    check_code(&types, &funcs, imported.functions.len())?;
    check_exports(&exports, &funcs)?;
    let traps = decoded(TRAPS, TrapTable::decode(bytes(TRAPS), len(TEXT)))?;
    let handlers = match elf.section(HANDLERS) {
        Some(_) => HandlerTable::decode(bytes(HANDLERS), &funcs, imported.functions.len()),
        None => Ok(HandlerTable::default()),
    };
    let handlers = decoded(HANDLERS, handlers)?;
    if elf.section(HINTS).is_some() {
        decoded(HINTS, Hints::decode(bytes(HINTS), len(TEXT)))?;
    }
    let (globals, tables) = (imported.globals, imported.tables);
    let init = Init::decode(bytes(INIT), &contract, globals, tables, len(DATA), len(IMAGE));
    let init = decoded(INIT, init)?;
    check_init(&contract, &funcs, globals, &init)?;
    let snapshot = match (elf.section(SNAPSHOT).is_some(), snapshot) {
        (true, true) => {
            let found = decoded(SNAPSHOT, Snapshot::decode(bytes(SNAPSHOT), &contract))?;
            check_snapshot(&contract, &types, &imports, &funcs, &init, &found)?;
            Some(found)
        }
        (false, false) => None,
        (true, false) => return Err(invalid(SNAPSHOT, "this artifact is not a snapshot")),
        (false, true) => return Err(invalid(SNAPSHOT, "missing in a snapshot")),
    };
    Ok(Facts {
        format,
        contract,
        types,
        imports,
        exports,
        funcs,
        traps,
        handlers,
        init,
        snapshot,
        layout,
        text: place(elf, TEXT),
        data: place(elf, DATA),
        image: place(elf, IMAGE),
        pcmap: place(elf, PCMAP),
        strtab: place(elf, STRTAB),
    })
}

/// Whether a type that the contract names is one of the table, if it is concrete.
fn check_reference(what: &str, i: usize, ty: ValType, types: usize) -> Result<()> {
    if let Some(HeapType::Concrete(t)) = ty.reference().map(|t| t.heap)
        && t as usize >= types
    {
        let message = format!("{what} {i} refers to type {t}, there are {types}");
        return Err(invalid(CONTRACT, message));
    }
    Ok(())
}

/// Types that tables, globals and tags name.
fn check_named_types(contract: &Contract, types: &TypeTable) -> Result<()> {
    let n = types.types.len();
    for (i, t) in contract.tables.iter().enumerate() {
        check_reference("table", i, t.elem.into(), n)?;
    }
    for (i, g) in contract.globals.iter().enumerate() {
        check_reference("global", i, g.ty, n)?;
    }
    for (i, t) in contract.tags.iter().enumerate() {
        let Some(ty) = types.types.get(*t as usize) else {
            return Err(invalid(CONTRACT, format_args!("tag {i} has type {t}, there are {n}")));
        };
        if !ty.ty.results.is_empty() {
            let ty = &ty.ty;
            return Err(invalid(CONTRACT, format_args!("tag {i} has results: {ty}")));
        }
    }
    Ok(())
}

fn check_types(types: &TypeTable, text_len: u64) -> Result<()> {
    let in_text = |at: u32| at.is_multiple_of(FUNCTION_ALIGN) && u64::from(at) < text_len;
    let mut seen = HashSet::with_capacity_and_hasher(types.types.len(), Seed::new());
    for (i, t) in types.types.iter().enumerate() {
        if !seen.insert(&t.ty) {
            return Err(invalid(TYPES, format_args!("type {i}, {}, is repeated", t.ty)));
        }
        if !in_text(t.entry) {
            let at = t.entry;
            return Err(invalid(TYPES, format_args!("entry trampoline {at:#x} of type {i}")));
        }
        if t.adapter != NO_CODE && !in_text(t.adapter) {
            let at = t.adapter;
            return Err(invalid(TYPES, format_args!("link adapter {at:#x} of type {i}")));
        }
    }
    Ok(())
}

/// What the imports provide to each index space.
struct Imported {
    /// Type indices.
    functions: Vec<u32>,
    tables: usize,
    memories: usize,
    globals: usize,
    tags: usize,
}

fn check_imports(contract: &Contract, imports: &Imports) -> Result<Imported> {
    let mut imported =
        Imported { functions: Vec::new(), tables: 0, memories: 0, globals: 0, tags: 0 };
    for (i, import) in imports.imports.iter().enumerate() {
        let agrees = match import.kind {
            ImportKind::Func(t) => {
                imported.functions.push(t);
                imported.functions.len() <= contract.functions as usize
            }
            ImportKind::Table(t) => {
                imported.tables += 1;
                contract.tables.get(imported.tables - 1) == Some(&t)
            }
            ImportKind::Memory(m) => {
                imported.memories += 1;
                contract.memories.get(imported.memories - 1).is_some_and(|d| d.ty == m)
            }
            ImportKind::Global(g) => {
                imported.globals += 1;
                contract.globals.get(imported.globals - 1) == Some(&g)
            }
            ImportKind::Tag(t) => {
                imported.tags += 1;
                contract.tags.get(imported.tags - 1) == Some(&t)
            }
        };
        if !agrees {
            let (word, module, name) = (import.kind.word(), &import.module, &import.name);
            let message =
                format!("import {i}, {word} {module:?} {name:?}, does not agree with the contract");
            return Err(invalid(IMPORTS, message));
        }
    }
    Ok(imported)
}

fn check_layout(contract: &Contract, imports: &Imports, types: usize) -> Result<Layout> {
    let layout = Layout::new(layout_counts(contract, imports, types))
        .ok_or_else(|| invalid(CONTRACT, "instance data would be too large"))?;
    if layout.size() != contract.instance_data {
        let (says, is) = (contract.instance_data, layout.size());
        let message = format!("instance data is {says} bytes, but must be {is}");
        return Err(invalid(CONTRACT, message));
    }
    Ok(layout)
}

/// Sizes of memories and tables, of which so many are imported.
pub(super) fn check_sizes(
    contract: &Contract,
    imported_memories: usize,
    imported_tables: usize,
) -> Result<()> {
    check_memory(contract, imported_memories)?;
    for (i, t) in contract.tables.iter().enumerate() {
        if t.max.is_some_and(|max| max < t.min) {
            let message = format!("table {i}: its maximum lies below its initial size");
            return Err(invalid(CONTRACT, message));
        }
    }
    // At most `MAX_TABLES` numbers, each of which the decoder has limited.
    let all: u64 = contract.tables.iter().skip(imported_tables).map(|t| t.min).sum();
    if all > MAX_TABLE_ELEMENTS {
        let message = format!(
            "the module's tables begin with {all} elements, the limit is {MAX_TABLE_ELEMENTS}"
        );
        return Err(invalid(CONTRACT, message));
    }
    Ok(())
}

fn check_memory(contract: &Contract, imported: usize) -> Result<()> {
    let mut further = 0u64;
    for (i, m) in contract.memories.iter().enumerate() {
        let bad = |message| Err(invalid(CONTRACT, format_args!("memory {i}: {message}")));
        if m.ty.max.is_some_and(|max| max < m.ty.min) {
            return bad("its maximum lies below its initial size");
        }
        let guardable = i == 0 && !m.ty.is64;
        let (reserve, guard) = match (i < imported, m.shape) {
            (true, MemoryShape::Compact) => (0, 0),
            (true, MemoryShape::Guarded) => return bad("an imported memory is never guarded"),
            (false, MemoryShape::Guarded) if guardable => (GUARDED_RESERVE, GUARDED_GUARD),
            (false, MemoryShape::Guarded) => {
                return bad("only a memory 0 with 32-bit addresses can be guarded");
            }
            (false, MemoryShape::Compact) if guardable && m.ty.max.is_none() => {
                return bad("compact without a maximum");
            }
            (false, MemoryShape::Compact) => (MemoryDecl::checked_reserve(m.ty), 0),
        };
        if (m.reserve_bytes, m.guard_bytes) != (reserve, guard) {
            let (r, g) = (m.reserve_bytes, m.guard_bytes);
            let message = format!(
                "memory {i} reserves {r:#x} bytes and {g:#x} of guard, must be {reserve:#x} and \
                 {guard:#x}"
            );
            return Err(invalid(CONTRACT, message));
        }
        if i >= imported && m.ty.min.saturating_mul(WASM_PAGE) > reserve {
            return bad("it begins with more than it reserves");
        }
        further += if i == 0 { 0 } else { reserve };
    }
    if further > MAX_FURTHER_RESERVE {
        let message = format!(
            "the memories besides memory 0 reserve {further:#x} bytes, the limit is \
             {MAX_FURTHER_RESERVE:#x}"
        );
        return Err(invalid(CONTRACT, message));
    }
    Ok(())
}

fn check_funcs(
    contract: &Contract,
    types: &TypeTable,
    imported: &[u32],
    funcs: &FuncTable,
) -> Result<()> {
    if funcs.funcs.len() != contract.functions as usize {
        let (n, c) = (funcs.funcs.len(), contract.functions);
        return Err(invalid(FUNCS, format_args!("{n} functions, the contract says {c}")));
    }
    for (i, (f, t)) in funcs.funcs.iter().zip(imported).enumerate() {
        if f.ty != *t {
            let ty = f.ty;
            return Err(invalid(
                FUNCS,
                format_args!("imported function {i} has type {ty}, not {t}"),
            ));
        }
        if types.types.get(*t as usize).is_none_or(|t| t.adapter == NO_CODE) {
            let message = format!("type {t} of imported function {i} has no link adapter");
            return Err(invalid(TYPES, message));
        }
    }
    if let Some(start) = contract.start {
        let ty = funcs.funcs.get(start as usize).and_then(|f| types.types.get(f.ty as usize));
        if ty.is_none_or(|t| t.ty != FuncType::default()) {
            return Err(invalid(CONTRACT, format_args!("start function {start} is not () -> ()")));
        }
        if funcs.funcs.get(start as usize).is_none_or(|f| f.offset == NO_CODE) {
            return Err(invalid(CONTRACT, format_args!("start function {start} has no code")));
        }
    }
    Ok(())
}

/// `.strtab` is one UTF-8 text of NUL-terminated names, so a name is a string if its offset is a
/// character boundary.
fn check_names(strtab: &[u8], funcs: &FuncTable) -> Result<()> {
    if strtab.first() != Some(&0) || strtab.last() != Some(&0) {
        return Err(invalid(STRTAB, "it must begin and end with NUL"));
    }
    let text = std::str::from_utf8(strtab)
        .map_err(|e| invalid(STRTAB, format_args!("not UTF-8 at offset {:#x}", e.valid_up_to())))?;
    for (i, f) in funcs.funcs.iter().enumerate() {
        if !text.is_char_boundary(f.name as usize) {
            let at = f.name;
            let message = format!("the name of function {i} begins inside a character, {at:#x}");
            return Err(invalid(FUNCS, message));
        }
    }
    Ok(())
}

/// Trampolines, adapters and import stubs must not lie inside functions: entering a function
/// anywhere but at its start would skip its checks.
fn check_code(types: &TypeTable, funcs: &FuncTable, imported: usize) -> Result<()> {
    let Some((stubs, own)) = funcs.funcs.split_at_checked(imported) else {
        return Err(invalid(FUNCS, "fewer functions than imported ones"));
    };
    let overlaps = |start: u64, end: u64| {
        let i = own.partition_point(|f| u64::from(f.offset) < end);
        i.checked_sub(1)
            .and_then(|i| own.get(i))
            .is_some_and(|f| u64::from(f.offset) + u64::from(f.size) > start)
    };
    let end = |f: &FuncRecord| u64::from(f.offset) + u64::from(f.size);
    let mut placed: Vec<_> = stubs.iter().filter(|f| f.offset != NO_CODE).collect();
    placed.sort_unstable_by_key(|f| f.offset);
    if let Some([a, _]) = placed.array_windows().find(|[a, b]| end(a) > b.offset.into()) {
        let at = a.offset;
        return Err(invalid(FUNCS, format_args!("the import stub at {at:#x} overlaps another")));
    }
    let in_stub = |at: u32| {
        let i = placed.partition_point(|f| f.offset <= at);
        i.checked_sub(1).and_then(|i| placed.get(i)).is_some_and(|f| end(f) > at.into())
    };
    for (i, t) in types.types.iter().enumerate() {
        for (word, at) in [("entry trampoline", t.entry), ("link adapter", t.adapter)] {
            if at != NO_CODE && (overlaps(at.into(), u64::from(at) + 1) || in_stub(at)) {
                let message = format!("{word} {at:#x} of type {i} lies inside a function");
                return Err(invalid(TYPES, message));
            }
        }
    }
    for (i, f) in stubs.iter().enumerate().filter(|(_, f)| f.offset != NO_CODE) {
        let start = u64::from(f.offset);
        if overlaps(start, start + u64::from(f.size)) {
            let message = format!("the stub of imported function {i} overlaps a function");
            return Err(invalid(FUNCS, message));
        }
    }
    Ok(())
}

fn check_exports(exports: &Exports, funcs: &FuncTable) -> Result<()> {
    let mut seen = HashSet::with_capacity_and_hasher(exports.exports.len(), Seed::new());
    for e in &exports.exports {
        if !seen.insert(e.name.as_str()) {
            return Err(invalid(EXPORTS, format_args!("the name {:?} is repeated", e.name)));
        }
        let f = funcs.funcs.get(e.index as usize);
        if e.kind == ExportKind::Func && f.is_none_or(|f| f.reference == NO_REF) {
            let message = format!("function {:?} has no reference index", e.name);
            return Err(invalid(EXPORTS, message));
        }
    }
    Ok(())
}

pub(super) fn check_init(
    contract: &Contract,
    funcs: &FuncTable,
    imported_globals: usize,
    init: &Init,
) -> Result<()> {
    for (k, e) in init.globals.iter().enumerate() {
        let i = imported_globals + k;
        let scope = Scope { contract, funcs, globals: i };
        let want = contract.globals.get(i).map(|g| g.ty);
        let checked = want.map_or(Err("no such global".to_owned()), |ty| scope.check(e, ty));
        checked.map_err(|m| invalid(INIT, format_args!("initial value of global {i}: {m}")))?;
    }
    check_tables(contract, funcs, imported_globals, init)?;
    let scope = Scope { contract, funcs, globals: contract.globals.len() };
    for (i, s) in init.elems.iter().enumerate() {
        let bad = |m: String| invalid(INIT, format_args!("element segment {i}: {m}"));
        if let SegmentMode::Active { target, offset } = &s.mode {
            let table = contract.tables.get(*target as usize);
            if !table.is_some_and(|t| s.ty.matches(t.elem)) {
                return Err(bad(format!("its type is not that of table {target}")));
            }
            let ty = index_type(table.is_some_and(|t| t.is64));
            scope.check(offset, ty).map_err(|m| bad(format!("offset: {m}")))?;
        }
        for (k, item) in s.items.iter().enumerate() {
            let checked = match item {
                ElemItem::Null if !s.ty.nullable => Err(format!("null in a segment of {}", s.ty)),
                ElemItem::Null => Ok(()),
                ElemItem::Func(f) if s.ty.is_func() => scope.function(*f, s.ty.into()),
                ElemItem::Func(f) => Err(format!("function {f} in a segment of externref")),
                ElemItem::Expr(e) => scope.check(e, s.ty.into()),
            };
            checked.map_err(|m| bad(format!("item {k}: {m}")))?;
        }
    }
    for (i, s) in init.datas.iter().enumerate() {
        let bad = |m: String| invalid(INIT, format_args!("data segment {i}: {m}"));
        match &s.mode {
            SegmentMode::Passive => {}
            SegmentMode::Active { target, offset } => {
                let memory = contract.memories.get(*target as usize);
                let ty = index_type(memory.is_some_and(|m| m.ty.is64));
                scope.check(offset, ty).map_err(|m| bad(format!("offset: {m}")))?;
            }
            SegmentMode::Declared if s.len == 0 => {}
            SegmentMode::Declared => {
                return Err(bad("folded into the image, but has bytes".into()));
            }
        }
    }
    Ok(())
}

/// The type of indices that are 64 bits wide or not.
fn index_type(wide: bool) -> ValType {
    if wide { ValType::I64 } else { ValType::I32 }
}

/// Tables whose elements cannot be null say what they are at first; they come before globals, so
/// that may depend on imported ones only.
fn check_tables(
    contract: &Contract,
    funcs: &FuncTable,
    imported_globals: usize,
    init: &Init,
) -> Result<()> {
    let scope = Scope { contract, funcs, globals: imported_globals };
    let imported = contract.tables.len().saturating_sub(init.tables.len());
    for (i, (t, e)) in (imported..).zip(contract.tables.iter().skip(imported).zip(&init.tables)) {
        let checked = match e {
            Some(e) => scope.check(e, t.elem.into()),
            None if t.elem.nullable => Ok(()),
            None => Err(format!("there is none, but {} has no null", t.elem)),
        };
        checked.map_err(|m| invalid(INIT, format_args!("initial element of table {i}: {m}")))?;
    }
    Ok(())
}

/// What a snapshot is not: it does not begin by running code or by copying segments into memory,
/// and depends on no other instance. Its reseed function can be called.
pub(super) fn check_snapshot(
    contract: &Contract,
    types: &TypeTable,
    imports: &Imports,
    funcs: &FuncTable,
    init: &Init,
    snapshot: &Snapshot,
) -> Result<()> {
    let bad = |message: String| Err(invalid(SNAPSHOT, message));
    if contract.start.is_some() {
        return bad("a snapshot has no start function".into());
    }
    if let Some(i) = init.datas.iter().position(|s| matches!(s.mode, SegmentMode::Active { .. })) {
        return bad(format!("data segment {i} is active"));
    }
    if let Some(i) = imports.imports.iter().position(|i| !matches!(i.kind, ImportKind::Func(_))) {
        return bad(format!("import {i} is not a function"));
    }
    let Some(index) = snapshot.reseed else { return Ok(()) };
    let f = funcs.funcs.get(index as usize).filter(|f| f.offset != NO_CODE);
    let ty = f.and_then(|f| types.types.get(f.ty as usize)).map(|t| &t.ty);
    if ty.is_none_or(|ty| !is_reseed_type(ty)) {
        return bad(format!("reseed function {index} is not () -> () or (i64) -> ()"));
    }
    Ok(())
}

/// Whether a function of this type can reseed a snapshot's instances.
pub(crate) fn is_reseed_type(ty: &FuncType) -> bool {
    ty.results.is_empty() && matches!(ty.params[..], [] | [ValType::I64])
}
