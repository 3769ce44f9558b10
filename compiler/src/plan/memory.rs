//! Shapes and sizes of memories and tables: what the module declares, cut to the policy.

use crate::error::{Class, Diagnostic, Errors};
use crate::options::Options;
use crate::parse::Parsed;
use crate::policy::Policy;
use lucet_artifact::contract::MemoryDecl;
use lucet_artifact::limits;
use lucet_artifact::types::{MemoryShape, MemoryType, TableType};

/// Address space reserved for a guarded memory: everything a 32-bit index reaches.
pub const GUARDED_RESERVE: u64 = 4 << 30;
/// Guard after it: constant offset and access size up to this need no check.
pub const GUARDED_GUARD: u64 = 32 << 20;
/// Largest size in pages (16 MiB) of a compact memory for which neither module nor policy gives a
/// maximum, unless it starts out larger: reserving 4 GiB would defeat the compact shape.
pub const COMPACT_DEFAULT_PAGES: u64 = 256;

/// How code accesses a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Own memory 0, guarded: an access whose offset and size fit the guard is one instruction.
    Guarded {
        /// Bytes of guard.
        guard: u64,
    },
    /// Own memory 0, every access checked.
    Checked,
    /// Another own memory: through this memory descriptor in instance data.
    Further(u32),
    /// Imported memory: through the owner's descriptor.
    Imported,
}

impl Access {
    /// The accesses for all memories of a module.
    #[must_use]
    pub fn all(memories: &[MemoryDecl]) -> Vec<Self> {
        let mut further = 0u32..;
        let access = |(i, m): (usize, &MemoryDecl)| match m.shape {
            _ if m.is_imported() => Self::Imported,
            MemoryShape::Guarded => Self::Guarded { guard: m.guard_bytes },
            MemoryShape::Compact if i == 0 => Self::Checked,
            MemoryShape::Compact => Self::Further(further.next().unwrap_or_default()),
        };
        memories.iter().enumerate().map(access).collect()
    }
}

fn too_large(what: &str, index: usize, min: u64, max: u64, unit: &str) -> Diagnostic {
    Diagnostic::new(
        Class::Policy,
        format!("{what} {index} starts with {min} {unit}, the policy allows {max}"),
    )
    .help(format!("raise max_{what}_{unit} in the policy file, or build with a smaller {what}"))
}

/// Declarations of all memories, imported ones first.
pub fn memories(parsed: &Parsed<'_>, options: &Options) -> Result<Vec<MemoryDecl>, Errors> {
    let policy = options.policy.max_memory_pages;
    let (mut bad, mut list) = (Vec::new(), Vec::with_capacity(parsed.memories.len()));
    let mut further = 0u64;
    for (i, declared) in parsed.memories.iter().enumerate() {
        let own = (i as u64) >= u64::from(parsed.imported.memories);
        if policy < MAX_PAGES && declared.min > policy {
            bad.push(too_large("memory", i, declared.min, policy, "pages"));
        } else if own && declared.min > MAX_PAGES {
            bad.push(never_fits(i, declared.min));
        } else if !own {
            let (ty, shape) = (*declared, MemoryShape::Compact);
            list.push(MemoryDecl { ty, shape, reserve_bytes: 0, guard_bytes: 0 });
        } else {
            let m = own_memory(i, *declared, options);
            further += if i == 0 { 0 } else { m.reserve_bytes };
            list.push(m);
        }
    }
    if further > limits::MAX_FURTHER_RESERVE {
        let message = format!(
            "the memories besides memory 0 may take {further} bytes together, the limit is {}",
            limits::MAX_FURTHER_RESERVE
        );
        bad.push(Diagnostic::new(Class::Limit, message).help("declare smaller maximum sizes"));
    }
    if bad.is_empty() { Ok(list) } else { Err(Errors(bad)) }
}

/// Pages that a memory of any kind has at most.
const MAX_PAGES: u64 = limits::MAX_MEMORY_BYTES / limits::WASM_PAGE;

fn never_fits(index: usize, min: u64) -> Diagnostic {
    let message = format!(
        "memory {index} starts with {min} pages; a memory has at most {MAX_PAGES} (4 GiB), \
         whatever the width of its addresses"
    );
    Diagnostic::new(Class::Limit, message).help("build with a smaller memory")
}

/// Memory `index` of the module's own. Only a 32-bit memory 0 can be guarded: 64-bit addresses
/// reach beyond any guard, and other memories do not lie in the slot.
fn own_memory(index: usize, mut ty: MemoryType, options: &Options) -> MemoryDecl {
    let policy = options.policy.max_memory_pages;
    if policy < MAX_PAGES && ty.max.is_none_or(|m| m > policy) {
        ty.max = Some(policy);
    }
    if options.memory == MemoryShape::Guarded && index == 0 && !ty.is64 {
        return MemoryDecl {
            ty,
            shape: MemoryShape::Guarded,
            reserve_bytes: GUARDED_RESERVE,
            guard_bytes: GUARDED_GUARD,
        };
    }
    if options.memory == MemoryShape::Compact && ty.max.is_none() {
        ty.max = Some(ty.min.max(COMPACT_DEFAULT_PAGES));
    }
    let reserve_bytes = MemoryDecl::checked_reserve(ty);
    MemoryDecl { ty, shape: MemoryShape::Compact, reserve_bytes, guard_bytes: 0 }
}

/// Types of all tables, imported ones first.
pub fn tables(parsed: &Parsed<'_>, policy: &Policy) -> Result<Vec<TableType>, Errors> {
    let allowed = policy.max_table_elements.min(limits::MAX_TABLE_ELEMENTS);
    let mut bad = Vec::new();
    let mut list = Vec::with_capacity(parsed.tables.len());
    for (i, declared) in parsed.tables.iter().enumerate() {
        let mut ty = *declared;
        if ty.min > allowed {
            bad.push(too_large("table", i, ty.min, allowed, "elements"));
            continue;
        }
        let own = i as u64 >= u64::from(parsed.imported.tables);
        let tighter = policy.max_table_elements < limits::MAX_TABLE_ELEMENTS;
        if own && tighter && ty.max.is_none_or(|m| m > allowed) {
            ty.max = Some(allowed);
        }
        list.push(ty);
    }
    let own = list.iter().skip(parsed.imported.tables as usize);
    let all: u64 = own.map(|t| t.min).sum();
    if bad.is_empty() && all > limits::MAX_TABLE_ELEMENTS {
        let most = limits::MAX_TABLE_ELEMENTS;
        let message = format!("the tables start with {all} elements together, the limit is {most}");
        bad.push(Diagnostic::new(Class::Limit, message));
    }
    if bad.is_empty() { Ok(list) } else { Err(Errors(bad)) }
}
