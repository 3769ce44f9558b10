//! Reads the sections of a validated module into [`Parsed`].
//!
//! The module is valid, so what cannot happen here is reported as [`Class::Internal`] instead of
//! being asserted.

use super::{Data, Parsed, names};
use crate::error::{Class, Diagnostic, Errors};
use crate::limits::{Limit, Limits};
use lucet_artifact::contract::{Export, ExportKind, Import, ImportKind, feature};
use lucet_artifact::init::{ConstExpr, ConstOp, ElemItem, ElemSegment, SegmentMode};
use lucet_artifact::limits;
use lucet_artifact::types::{
    FuncType, GlobalType, HeapType, MemoryType, RefType, TableType, ValType,
};
use wasmparser::{
    DataKind, Element, ElementItems, ElementKind, ExternalKind, KnownCustom, Name, Operator,
    Parser, Payload, TypeRef,
};

fn internal(what: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::new(Class::Internal, format!("in a validated module: {what}"))
}

impl From<wasmparser::Error> for Diagnostic {
    fn from(e: wasmparser::Error) -> Self {
        internal(e.message()).at(e.offset())
    }
}

/// Collects all sections.
pub fn collect<'a>(wasm: &'a [u8], limits: &Limits) -> Result<Parsed<'a>, Errors> {
    let mut parsed = Parsed::default();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(Diagnostic::from)?;
        section(&mut parsed, payload)?;
    }
    check_limits(&parsed, limits)?;
    declared_features(&mut parsed);
    Ok(parsed)
}

fn section<'a>(p: &mut Parsed<'a>, payload: Payload<'a>) -> Result<(), Diagnostic> {
    match payload {
        Payload::TypeSection(r) => {
            for ty in r.into_iter_err_on_gc_types() {
                let ty = ty?;
                let params = ty.params().iter().map(|t| val_type(*t)).collect::<Result<_, _>>()?;
                let results: Vec<_> =
                    ty.results().iter().map(|t| val_type(*t)).collect::<Result<_, _>>()?;
                if results.len() > 1 {
                    p.features |= feature::MULTI_VALUE;
                }
                p.types.push(FuncType { params, results });
            }
        }
        Payload::ImportSection(r) => {
            for i in r.into_imports() {
                import(p, i?)?;
            }
        }
        Payload::FunctionSection(r) => {
            for ty in r {
                p.funcs.push(ty?);
            }
        }
        Payload::TableSection(r) => {
            for t in r {
                let t = t?;
                p.tables.push(table_type(t.ty)?);
                p.table_inits.push(match &t.init {
                    wasmparser::TableInit::RefNull => None,
                    wasmparser::TableInit::Expr(e) => Some(const_expr(e)?),
                });
            }
        }
        Payload::MemorySection(r) => {
            for m in r {
                p.memories.push(memory_type(m?));
            }
        }
        Payload::TagSection(r) => {
            for t in r {
                p.tags.push(t?.func_type_idx);
            }
        }
        Payload::GlobalSection(r) => {
            for g in r {
                let g = g?;
                p.globals.push(global_type(g.ty)?);
                p.global_inits.push(const_expr(&g.init_expr)?);
            }
        }
        Payload::ExportSection(r) => {
            for e in r {
                let e = e?;
                p.exports.push(Export {
                    name: e.name.to_owned(),
                    kind: export_kind(e.kind)?,
                    index: e.index,
                });
            }
        }
        Payload::StartSection { func, .. } => p.start = Some(func),
        Payload::ElementSection(r) => {
            for e in r {
                let segment = element(e?, &mut p.features)?;
                p.elems.push(segment);
            }
        }
        Payload::CodeSectionEntry(body) => p.bodies.push(body),
        Payload::DataSection(r) => {
            for d in r {
                let d = d?;
                let mode = match d.kind {
                    DataKind::Passive => {
                        p.features |= feature::BULK_MEMORY;
                        SegmentMode::Passive
                    }
                    DataKind::Active { memory_index, offset_expr } => SegmentMode::Active {
                        target: memory_index,
                        offset: const_expr(&offset_expr)?,
                    },
                };
                p.datas.push(Data { mode, bytes: d.data });
            }
        }
        Payload::CustomSection(c) => {
            if let KnownCustom::Name(subsections) = c.as_known() {
                for sub in subsections {
                    match sub {
                        Ok(Name::Function(map)) => names::collect(map, &mut p.names),
                        Ok(_) => {}
                        Err(_) => break,
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn import(p: &mut Parsed<'_>, i: wasmparser::Import<'_>) -> Result<(), Diagnostic> {
    let kind = match i.ty {
        TypeRef::Func(ty) => {
            p.funcs.push(ty);
            p.imported.funcs += 1;
            ImportKind::Func(ty)
        }
        TypeRef::Table(t) => {
            let t = table_type(t)?;
            p.tables.push(t);
            p.imported.tables += 1;
            ImportKind::Table(t)
        }
        TypeRef::Memory(m) => {
            let m = memory_type(m);
            p.memories.push(m);
            p.imported.memories += 1;
            ImportKind::Memory(m)
        }
        TypeRef::Global(g) => {
            let g = global_type(g)?;
            p.globals.push(g);
            p.imported.globals += 1;
            ImportKind::Global(g)
        }
        TypeRef::Tag(t) => {
            p.tags.push(t.func_type_idx);
            p.imported.tags += 1;
            ImportKind::Tag(t.func_type_idx)
        }
        other => return Err(internal(format!("import {other:?}"))),
    };
    p.imports.push(Import { module: i.module.to_owned(), name: i.name.to_owned(), kind });
    Ok(())
}

fn element(e: Element<'_>, features: &mut u64) -> Result<ElemSegment, Diagnostic> {
    let mode = match e.kind {
        ElementKind::Passive => {
            *features |= feature::BULK_MEMORY;
            SegmentMode::Passive
        }
        ElementKind::Declared => {
            *features |= feature::REFERENCE_TYPES;
            SegmentMode::Declared
        }
        ElementKind::Active { table_index, offset_expr } => SegmentMode::Active {
            target: table_index.unwrap_or(0),
            offset: const_expr(&offset_expr)?,
        },
    };
    let mut items = Vec::new();
    let ty = match e.items {
        ElementItems::Functions(list) => {
            for f in list {
                items.push(ElemItem::Func(f?));
            }
            RefType { nullable: false, heap: HeapType::Func }
        }
        ElementItems::Expressions(ty, list) => {
            let ty = ref_type(ty)?;
            *features |= features_of_reference(ty);
            for x in list {
                let expr = const_expr(&x?)?;
                items.push(match expr.as_slice() {
                    [ConstOp::RefNull] => ElemItem::Null,
                    [ConstOp::RefFunc(f)] => ElemItem::Func(*f),
                    _ => ElemItem::Expr(expr),
                });
            }
            ty
        }
    };
    Ok(ElemSegment { mode, ty, items })
}

fn const_expr(e: &wasmparser::ConstExpr<'_>) -> Result<ConstExpr, Diagnostic> {
    let mut ops = Vec::new();
    let mut reader = e.get_operators_reader();
    loop {
        let (op, offset) = reader.read_with_offset()?;
        ops.push(match op {
            Operator::End => return Ok(ops),
            Operator::I32Const { value } => ConstOp::I32(value),
            Operator::I64Const { value } => ConstOp::I64(value),
            Operator::F32Const { value } => ConstOp::F32(value.bits()),
            Operator::F64Const { value } => ConstOp::F64(value.bits()),
            Operator::V128Const { value } => ConstOp::V128(u128::from_le_bytes(*value.bytes())),
            Operator::GlobalGet { global_index } => ConstOp::GlobalGet(global_index),
            Operator::RefNull { .. } => ConstOp::RefNull,
            Operator::RefFunc { function_index } => ConstOp::RefFunc(function_index),
            Operator::I32Add => ConstOp::I32Add,
            Operator::I32Sub => ConstOp::I32Sub,
            Operator::I32Mul => ConstOp::I32Mul,
            Operator::I64Add => ConstOp::I64Add,
            Operator::I64Sub => ConstOp::I64Sub,
            Operator::I64Mul => ConstOp::I64Mul,
            other => return Err(internal(format!("constant {other:?}")).at(offset)),
        });
        if ops.len() > limits::MAX_CONST_OPS {
            let d = Diagnostic::new(Class::Limit, "a constant expression has too many operators");
            return Err(d.at(offset));
        }
    }
}

/// Value type for wasmparser's.
pub fn val_type(t: wasmparser::ValType) -> Result<ValType, Diagnostic> {
    Ok(match t {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(r) => ref_type(r)?.into(),
    })
}

fn ref_type(t: wasmparser::RefType) -> Result<RefType, Diagnostic> {
    use wasmparser::AbstractHeapType as A;
    let heap = match t.heap_type() {
        wasmparser::HeapType::Abstract { shared: false, ty } => match ty {
            A::Func => HeapType::Func,
            A::Extern => HeapType::Extern,
            A::Exn => HeapType::Exn,
            A::NoFunc => HeapType::NoFunc,
            A::NoExtern => HeapType::NoExtern,
            A::NoExn => HeapType::NoExn,
            _ => return Err(internal(format!("reference type {t}"))),
        },
        wasmparser::HeapType::Concrete(wasmparser::UnpackedIndex::Module(i)) => {
            HeapType::Concrete(i)
        }
        _ => return Err(internal(format!("reference type {t}"))),
    };
    Ok(RefType { nullable: t.is_nullable(), heap })
}

fn table_type(t: wasmparser::TableType) -> Result<TableType, Diagnostic> {
    let elem = ref_type(t.element_type)?;
    Ok(TableType { elem, min: t.initial, max: t.maximum, is64: t.table64 })
}

fn memory_type(m: wasmparser::MemoryType) -> MemoryType {
    MemoryType { min: m.initial, max: m.maximum, is64: m.memory64 }
}

fn global_type(g: wasmparser::GlobalType) -> Result<GlobalType, Diagnostic> {
    Ok(GlobalType { ty: val_type(g.content_type)?, mutable: g.mutable })
}

fn export_kind(k: ExternalKind) -> Result<ExportKind, Diagnostic> {
    Ok(match k {
        ExternalKind::Func => ExportKind::Func,
        ExternalKind::Table => ExportKind::Table,
        ExternalKind::Memory => ExportKind::Memory,
        ExternalKind::Global => ExportKind::Global,
        ExternalKind::Tag => ExportKind::Tag,
        other => return Err(internal(format!("export of {other:?}"))),
    })
}

/// Counts that the caller or the artifact format bounds more tightly than wasmparser does.
fn check_limits(p: &Parsed<'_>, chosen: &Limits) -> Result<(), Errors> {
    let items: usize = p.elems.iter().map(|e| e.items.len()).sum();
    let by_caller = [
        (p.types.len(), Limit::Types),
        (p.funcs.len(), Limit::Functions),
        (p.imports.len(), Limit::Imports),
        (p.exports.len(), Limit::Exports),
        (p.globals.len(), Limit::Globals),
        (items, Limit::ElementItems),
    ];
    let exceeded = by_caller.into_iter().filter(|(n, l)| *n as u64 > chosen.get(*l));
    let mut bad: Vec<_> = exceeded.map(|(_, l)| l.exceeded(chosen)).collect();
    let counts = [
        (p.tables.len(), limits::MAX_TABLES, "tables"),
        (p.memories.len(), limits::MAX_MEMORIES, "memories"),
        (p.tags.len(), limits::MAX_TAGS, "tags"),
        (p.elems.len(), limits::MAX_ELEMENT_SEGMENTS, "element segments"),
        (p.datas.len(), limits::MAX_DATA_SEGMENTS, "data segments"),
    ];
    bad.extend(counts.into_iter().filter(|(n, max, _)| n > max).map(|(n, max, what)| {
        Diagnostic::new(Class::Limit, format!("the module has {n} {what}, the limit is {max}"))
    }));
    if bad.is_empty() { Ok(()) } else { Err(Errors(bad)) }
}

/// Sets the feature bits that follow from declarations.
fn declared_features(p: &mut Parsed<'_>) {
    let imported = p.imported.globals as usize;
    let exported = p
        .exports
        .iter()
        .filter(|e| e.kind == ExportKind::Global)
        .any(|e| p.globals.get(e.index as usize).is_some_and(|g| g.mutable));
    if exported || p.globals.iter().take(imported).any(|g| g.mutable) {
        p.features |= feature::MUTABLE_GLOBALS;
    }
    let types = p.types.iter().flat_map(FuncType::values);
    let mut bits = types.chain(p.globals.iter().map(|g| g.ty)).fold(0, |b, t| b | features_of(t));
    for t in p.tables.iter().map(|t| t.elem).filter(|t| *t != RefType::FUNC) {
        bits |= features_of_reference(t);
    }
    p.features |= bits;
    if p.tables.len() > 1 {
        p.features |= feature::REFERENCE_TYPES;
    }
    if !p.tags.is_empty() {
        p.features |= feature::EXCEPTIONS;
    }
    if p.memories.len() > 1 {
        p.features |= feature::MULTI_MEMORY;
    }
    if p.memories.iter().any(|m| m.is64) || p.tables.iter().any(|t| t.is64) {
        p.features |= feature::MEMORY64;
    }
    if p.table_inits.iter().any(Option::is_some) {
        p.features |= feature::FUNCTION_REFERENCES;
    }
    if const_exprs(p).any(|e| e.iter().any(is_arithmetic)) {
        p.features |= feature::EXTENDED_CONST;
    }
}

/// The features that brought a type.
pub fn features_of(t: ValType) -> u64 {
    match t {
        ValType::V128 => feature::SIMD,
        t => t.reference().map_or(0, features_of_reference),
    }
}

fn features_of_reference(t: RefType) -> u64 {
    let mut bits = feature::REFERENCE_TYPES;
    if t.heap.top() == HeapType::Exn {
        bits |= feature::EXCEPTIONS;
    }
    if ![RefType::FUNC, RefType::EXTERN, RefType::EXN].contains(&t) {
        bits |= feature::FUNCTION_REFERENCES;
    }
    bits
}

fn is_arithmetic(op: &ConstOp) -> bool {
    use ConstOp::{I32Add, I32Mul, I32Sub, I64Add, I64Mul, I64Sub};
    matches!(op, I32Add | I32Sub | I32Mul | I64Add | I64Sub | I64Mul)
}

fn const_exprs<'p>(p: &'p Parsed<'_>) -> impl Iterator<Item = &'p ConstExpr> {
    let modes = p.elems.iter().map(|e| &e.mode).chain(p.datas.iter().map(|d| &d.mode));
    let offsets = modes.filter_map(|m| match m {
        SegmentMode::Active { offset, .. } => Some(offset),
        _ => None,
    });
    let items = p.elems.iter().flat_map(|e| &e.items).filter_map(|i| match i {
        ElemItem::Expr(e) => Some(e),
        _ => None,
    });
    let inits = p.global_inits.iter().chain(p.table_inits.iter().flatten());
    inits.chain(offsets).chain(items)
}
