//! The facts about a module that its code is checked against.

use lucet_artifact::FuncType;
use lucet_artifact::contract::{ImportKind, layout_counts};
use lucet_artifact::layout::Layout;
use lucet_artifact::types::{MemoryShape, NO_CODE, ValType};
use lucetc::model::Compiled;
use std::collections::BTreeMap;

/// What a piece of code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A function or an import stub: its type.
    Function(u32),
    /// A trampoline of a type.
    Entry(u32),
    /// A link adapter of a type.
    Adapter(u32),
    /// The routine for used up fuel.
    Fuel,
    /// The glue that throws.
    Throw,
}

/// A piece.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    pub start: u32,
    pub end: u32,
    pub role: Role,
}

/// A module.
pub struct Module<'a> {
    pub compiled: &'a Compiled,
    pub layout: Layout,
    pub pieces: Vec<Piece>,
    /// Role by offset.
    pub starts: BTreeMap<u32, Role>,
    /// Trap sites.
    pub traps: BTreeMap<u32, u8>,
    /// Calls that exceptions may leave, by return address: landing pad, and size of the frame.
    pub handlers: BTreeMap<u32, (u32, u32)>,
    /// Bytes behind 4 GiB that no access may reach; none: every access is checked.
    pub guard: Option<i64>,
    pub imported_tables: u32,
    pub imported_functions: u32,
}

impl<'a> Module<'a> {
    /// Collects them.
    pub fn new(compiled: &'a Compiled) -> Self {
        let c = compiled;
        let counts = layout_counts(&c.contract, &c.imports, c.types.types.len());
        let layout = Layout::new(counts).expect("the layout that it was compiled with");
        let mut pieces = Vec::new();
        for f in &c.funcs {
            let r = f.record;
            if r.offset != NO_CODE {
                let (start, end) = (r.offset, r.offset + r.size);
                pieces.push(Piece { start, end, role: Role::Function(r.ty) });
            }
        }
        for g in &c.glue {
            let types = c.types.types.iter().position(|t| t.entry == g.offset);
            let adapter = c.types.types.iter().position(|t| t.adapter == g.offset);
            let role = match (types, adapter) {
                (Some(t), _) => Role::Entry(t as u32),
                (_, Some(t)) => Role::Adapter(t as u32),
                _ if g.name == "lucet_throw" => Role::Throw,
                _ => Role::Fuel,
            };
            pieces.push(Piece { start: g.offset, end: g.offset + g.size, role });
        }
        pieces.sort_by_key(|p| p.start);
        let imported = |is: fn(&ImportKind) -> bool| {
            c.imports.imports.iter().filter(|i| is(&i.kind)).count() as u32
        };
        let imported_memories = imported(|k| matches!(k, ImportKind::Memory(_)));
        let guarded = imported_memories == 0
            && c.contract.memories.first().is_some_and(|m| m.shape == MemoryShape::Guarded);
        Self {
            compiled,
            layout,
            starts: pieces.iter().map(|p| (p.start, p.role)).collect(),
            pieces,
            traps: c.traps.sites.iter().map(|(at, code)| (*at, *code as u8)).collect(),
            handlers: c.handlers.handlers.iter().map(|h| (h.call, (h.target, h.frame))).collect(),
            guard: guarded.then(|| c.contract.memories[0].guard_bytes as i64),
            imported_tables: imported(|k| matches!(k, ImportKind::Table(_))),
            imported_functions: imported(|k| matches!(k, ImportKind::Func(_))),
        }
    }

    /// A function type.
    pub fn ty(&self, ty: u32) -> &FuncType {
        &self.compiled.types.types[ty as usize].ty
    }
}

fn in_vector(t: &ValType) -> bool {
    t.is_float() || *t == ValType::V128
}

/// Whether results of a type go through a hidden pointer, which is the first argument then.
pub fn hidden_results(ty: &FuncType) -> bool {
    let vectors = ty.results.iter().filter(|t| in_vector(t)).count();
    vectors > 8 || ty.results.len() - vectors > 8
}

/// Bytes of stack arguments of a function of a type, which it pops itself.
pub fn pops(ty: &FuncType) -> i64 {
    let mut ints = 5 - i64::from(hidden_results(ty));
    let (mut vectors, mut stack) = (8i64, 0i64);
    for t in &ty.params {
        let left = if in_vector(t) { &mut vectors } else { &mut ints };
        if *left > 0 {
            *left -= 1;
        } else {
            let size = if *t == ValType::V128 { 16 } else { 8 };
            stack = (stack + size - 1) / size * size + size;
        }
    }
    (stack + 15) / 16 * 16
}
