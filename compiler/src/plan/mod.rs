//! What code generation needs to know before the first function: distinct types, the layout of
//! instance data, the shape of memory 0, reference indices, the initial state.
//!
//! Everything here depends on the module and the options only, never on the order in which
//! functions are compiled, so the artifact is the same for any number of threads.

mod exceptions;
mod image;
mod memory;

use crate::error::{Class, Diagnostic, Errors};
use crate::model::Uses;
use crate::options::Options;
use crate::parse::{Imported, Parsed};
use crate::policy::check;
use lucet_artifact::code::NO_REF;
use lucet_artifact::contract::{Contract, Export, ExportKind, Exports, ImportKind, Imports};
use lucet_artifact::init::{ConstExpr, ConstOp, ElemItem, Init};
use lucet_artifact::layout::{Counts, Layout};
use lucet_artifact::types::{FuncType, GlobalType, TableType};
use lucet_artifact::{ABI_VERSION, limits, trailer};
use std::collections::{BTreeMap, HashMap};
use wasmparser::FunctionBody;

pub use exceptions::Exceptions;
pub use memory::Access;

/// The plan of a module.
#[derive(Debug)]
pub struct Plan<'a> {
    /// What the module declares and the policy does not allow.
    pub violations: Vec<Diagnostic>,
    /// Language features used outside of function bodies.
    pub uses: Uses,
    /// The contract; `min_stack` and the feature bits of function bodies come later.
    pub contract: Contract,
    /// Distinct function types in the order of the wasm type section.
    pub types: Vec<FuncType>,
    /// Index into `types` of each wasm type.
    pub wasm_types: Vec<u32>,
    /// Index into `types` of each function's type.
    pub func_types: Vec<u32>,
    /// Name of each function: name section, else first export, else `wasm[N]`.
    pub names: Vec<String>,
    /// Reference index of each function, or [`NO_REF`].
    pub references: Vec<u32>,
    /// How many of each kind are imported.
    pub imported: Imported,
    /// Layout of instance data.
    pub layout: Layout,
    /// How each memory is accessed, imported ones first.
    pub memories: Vec<Access>,
    /// Globals, imported ones first.
    pub globals: Vec<GlobalType>,
    /// Imports, with distinct types.
    pub imports: Imports,
    /// Exports.
    pub exports: Exports,
    /// Initial state.
    pub init: Init,
    /// Bytes of data segments that stay segments.
    pub data: Vec<u8>,
    /// Pages of the memory image.
    pub image: Vec<u8>,
    /// Glue that exceptions need.
    pub exceptions: Exceptions,
    /// Bodies of own functions.
    pub bodies: Vec<FunctionBody<'a>>,
}

impl Plan<'_> {
    /// The type of a function, by function index.
    #[must_use]
    pub fn func_type(&self, func: u32) -> Option<&FuncType> {
        self.types.get(*self.func_types.get(func as usize)? as usize)
    }

    /// The name of a function, by function index.
    #[must_use]
    pub fn name(&self, func: u32) -> &str {
        self.names.get(func as usize).map_or("", String::as_str)
    }
}

/// Plans a module. `wasm` is only hashed.
pub fn plan<'a>(wasm: &[u8], parsed: Parsed<'a>, options: &Options) -> Result<Plan<'a>, Errors> {
    let mut errors = Vec::new();
    let mut keep = |r: Result<(), Errors>| {
        if let Err(e) = r {
            errors.extend(e.0);
        }
    };
    let tables = memory::tables(&parsed, &options.policy);
    let memories = memory::memories(&parsed, options);
    keep(tables.as_ref().map(|_| ()).map_err(Clone::clone));
    keep(memories.as_ref().map(|_| ()).map_err(Clone::clone));
    let labels = labels(&options.policy.labels);
    keep(labels.as_ref().map(|_| ()).map_err(|d| d.clone().into()));
    let (Ok(tables), Ok(memories), Ok(labels), true) =
        (tables, memories, labels, errors.is_empty())
    else {
        return Err(Errors(errors));
    };

    let (types, wasm_types) = distinct(&parsed.types);
    let mut parsed = parsed;
    let mut tables = tables;
    renumber(&mut parsed, &mut tables, &wasm_types)?;
    let func_types = resolve(&parsed.funcs, &wasm_types)?;
    let tags = resolve(&parsed.tags, &wasm_types)?;
    let layout = layout(&Counts {
        own_globals: (parsed.globals.len() as u32).saturating_sub(parsed.imported.globals),
        tables: tables.len() as u32,
        memories: memories.len() as u32,
        further_memories: (memories.len() as u32).saturating_sub(parsed.imported.memories.max(1)),
        imported_globals: parsed.imported.globals,
        types: types.len() as u32,
        imported_functions: parsed.imported.funcs,
        imported_tags: parsed.imported.tags,
        own_tags: (tags.len() as u32).saturating_sub(parsed.imported.tags),
    })?;
    // The runtime calls the start function; an imported one needs an import stub for that.
    let start = parsed.start.filter(|f| *f < parsed.imported.funcs);
    let references = references(&parsed, start, &func_types);
    let names = function_names(&parsed.names, &parsed.exports, func_types.len());
    let exceptions = exceptions::scan(&parsed.bodies, !tags.is_empty(), parsed.imported.funcs)?;
    let folded = image::fold(parsed.datas, &memories, &options.limits)?;
    let contract = Contract {
        abi_version: ABI_VERSION,
        compiler: env!("CARGO_PKG_VERSION").to_owned(),
        codegen: format!("cranelift {}", cranelift_codegen::VERSION),
        source_hash: trailer::source_hash(wasm),
        policy_hash: options.policy.hash(),
        cpu: options.cpu,
        features: parsed.uses.bits(),
        instance_data: layout.size(),
        min_stack: 0,
        fuel: options.fuel || options.policy.fuel,
        memories: memories.clone(),
        tables,
        globals: parsed.globals.clone(),
        tags,
        start: parsed.start,
        functions: func_types.len() as u32,
        labels,
    };
    let violations = check::declared(
        &options.policy,
        &check::Declared {
            contract: &contract,
            types: &types,
            func_types: &func_types,
            imports: &parsed.imports,
            import_offsets: &parsed.import_offsets,
            exports: &parsed.exports,
        },
    );
    Ok(Plan {
        violations,
        uses: parsed.uses,
        memories: Access::all(&memories),
        contract,
        types,
        wasm_types,
        func_types,
        names,
        references,
        imported: parsed.imported,
        layout,
        globals: parsed.globals,
        imports: Imports { imports: parsed.imports },
        exports: Exports { exports: parsed.exports },
        init: Init {
            globals: parsed.global_inits,
            tables: parsed.table_inits,
            elems: parsed.elems,
            datas: folded.datas,
            image: folded.runs,
            further: folded.further,
        },
        data: folded.data,
        image: folded.image,
        exceptions,
        bodies: parsed.bodies,
    })
}

fn bad_type() -> Diagnostic {
    Diagnostic::new(Class::Internal, "type index out of range in a validated module")
}

/// Distinct types in order of first appearance, with references to each other by their number in
/// that order, and the way from wasm type indices to them.
fn distinct(types: &[FuncType]) -> (Vec<FuncType>, Vec<u32>) {
    let mut seen: HashMap<FuncType, u32> = HashMap::new();
    let (mut list, mut map) = (Vec::new(), Vec::<u32>::with_capacity(types.len()));
    for t in types {
        // A type refers to earlier ones only.
        let t = t.map(&|i| map.get(i as usize).copied().unwrap_or(u32::MAX));
        let at = *seen.entry(t).or_insert_with_key(|t| {
            list.push(t.clone());
            list.len() as u32 - 1
        });
        map.push(at);
    }
    (list, map)
}

fn resolve(funcs: &[u32], wasm_types: &[u32]) -> Result<Vec<u32>, Diagnostic> {
    funcs.iter().map(|t| wasm_types.get(*t as usize).copied().ok_or_else(bad_type)).collect()
}

/// Replaces wasm type indices by numbers of distinct types, except in functions and tags.
fn renumber(
    parsed: &mut Parsed<'_>,
    tables: &mut [TableType],
    wasm_types: &[u32],
) -> Result<(), Diagnostic> {
    let number = |i: u32| wasm_types.get(i as usize).copied().unwrap_or(u32::MAX);
    for t in tables {
        t.elem = t.elem.map(&number);
    }
    for g in &mut parsed.globals {
        g.ty = g.ty.map(&number);
    }
    for e in &mut parsed.elems {
        e.ty = e.ty.map(&number);
    }
    for i in &mut parsed.imports {
        match &mut i.kind {
            ImportKind::Func(t) | ImportKind::Tag(t) => {
                *t = wasm_types.get(*t as usize).copied().ok_or_else(bad_type)?;
            }
            ImportKind::Table(t) => t.elem = t.elem.map(&number),
            ImportKind::Global(g) => g.ty = g.ty.map(&number),
            ImportKind::Memory(_) => {}
        }
    }
    Ok(())
}

fn layout(counts: &Counts) -> Result<Layout, Diagnostic> {
    Layout::new(*counts).ok_or_else(|| {
        Diagnostic::new(
            Class::Limit,
            format!(
                "instance data would exceed {} bytes: {} own globals, {} imported functions, {} \
                 types, {} tags",
                limits::MAX_INSTANCE_DATA,
                counts.own_globals,
                counts.imported_functions,
                counts.types,
                counts.imported_tags.saturating_add(counts.own_tags)
            ),
        )
        .help("globals take 16 bytes, imported functions 24, function types 4, tags 8")
    })
}

/// Dense indices, in function order, for functions that can be referred to. In a valid module
/// `ref.func` in a body names only such functions (core spec, 3.4.10: `C.refs`).
fn references(parsed: &Parsed<'_>, start: Option<u32>, func_types: &[u32]) -> Vec<u32> {
    let mut list = vec![NO_REF; func_types.len()];
    let mut mark = |f: u32| {
        if let Some(slot) = list.get_mut(f as usize) {
            *slot = 0;
        }
    };
    let in_expr = |e: &ConstExpr, mark: &mut dyn FnMut(u32)| {
        for op in e {
            if let ConstOp::RefFunc(f) = op {
                mark(*f);
            }
        }
    };
    for e in parsed.exports.iter().filter(|e| e.kind == ExportKind::Func) {
        mark(e.index);
    }
    start.into_iter().for_each(&mut mark);
    for item in parsed.elems.iter().flat_map(|e| &e.items) {
        match item {
            ElemItem::Null => {}
            ElemItem::Func(f) => mark(*f),
            ElemItem::Expr(e) => in_expr(e, &mut mark),
        }
    }
    for e in parsed.global_inits.iter().chain(parsed.table_inits.iter().flatten()) {
        in_expr(e, &mut mark);
    }
    for (next, slot) in (0..).zip(list.iter_mut().filter(|s| **s != NO_REF)) {
        *slot = next;
    }
    list
}

fn function_names(
    section: &BTreeMap<u32, String>,
    exports: &[Export],
    functions: usize,
) -> Vec<String> {
    let mut names: Vec<Option<&str>> = vec![None; functions];
    for e in exports.iter().filter(|e| e.kind == ExportKind::Func) {
        if let Some(slot) = names.get_mut(e.index as usize) {
            slot.get_or_insert(&e.name);
        }
    }
    for (i, n) in section.iter().filter(|(_, n)| !n.is_empty()) {
        if let Some(slot) = names.get_mut(*i as usize) {
            *slot = Some(n);
        }
    }
    let name = |(i, n): (usize, Option<&str>)| match n {
        Some(n) => n.to_owned(),
        None => format!("wasm[{i}]"),
    };
    names.into_iter().enumerate().map(name).collect()
}

fn labels(labels: &[(String, String)]) -> Result<Vec<(String, String)>, Diagnostic> {
    let mut sorted = labels.to_vec();
    sorted.sort();
    for pair in sorted.windows(2) {
        if let [a, b] = pair
            && a.0 == b.0
        {
            return Err(Diagnostic::new(Class::Policy, format!("label {} is given twice", a.0)));
        }
    }
    Ok(sorted)
}
