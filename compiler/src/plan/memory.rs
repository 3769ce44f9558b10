//! Shapes and sizes of memories and tables: what the module declares, cut to the policy.

use crate::error::{Class, Diagnostic, Errors};
use crate::options::Options;
use crate::parse::Parsed;
use crate::policy::Policy;
use lucet_artifact::contract::MemoryDecl;
use lucet_artifact::limits;
use lucet_artifact::types::{MemoryShape, TableType};

/// Address space reserved for a guarded memory: everything a 32-bit index reaches.
pub const GUARDED_RESERVE: u64 = 4 << 30;
/// Guard after it: constant offset and access size up to this need no check.
pub const GUARDED_GUARD: u64 = 32 << 20;
/// Largest size in pages (16 MiB) of a compact memory for which neither module nor policy gives a
/// maximum, unless it starts out larger: reserving 4 GiB would defeat the compact shape.
pub const COMPACT_DEFAULT_PAGES: u64 = 256;

/// How code accesses memory 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// There is no memory.
    None,
    /// Own memory, guarded: an access whose offset and size fit the guard is one instruction.
    Guarded {
        /// Bytes of guard.
        guard: u64,
    },
    /// Own memory, every access checked.
    Compact,
    /// Imported memory, through its descriptor.
    Imported,
}

impl Access {
    /// The access for memory 0, if there is one.
    #[must_use]
    pub fn of(memory: Option<&MemoryDecl>) -> Self {
        match memory {
            None => Self::None,
            Some(m) if m.reserve_bytes == 0 && m.shape == MemoryShape::Compact => Self::Imported,
            Some(m) => match m.shape {
                MemoryShape::Guarded => Self::Guarded { guard: m.guard_bytes },
                MemoryShape::Compact => Self::Compact,
            },
        }
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
    let allowed = options.policy.max_memory_pages.min(limits::MAX_MEMORY32_PAGES);
    let mut bad = Vec::new();
    let mut list = Vec::with_capacity(parsed.memories.len());
    for (i, declared) in parsed.memories.iter().enumerate() {
        let mut ty = *declared;
        if ty.min > allowed {
            bad.push(too_large("memory", i, ty.min, allowed, "pages"));
            continue;
        }
        if (i as u64) < u64::from(parsed.imported.memories) {
            let shape = MemoryShape::Compact;
            list.push(MemoryDecl { ty, shape, reserve_bytes: 0, guard_bytes: 0 });
            continue;
        }
        if ty.max.map_or(allowed < limits::MAX_MEMORY32_PAGES, |m| m > allowed) {
            ty.max = Some(allowed);
        }
        let (reserve_bytes, guard_bytes) = match options.memory {
            MemoryShape::Guarded => (GUARDED_RESERVE, GUARDED_GUARD),
            MemoryShape::Compact => {
                let max = ty.max.unwrap_or(ty.min.max(COMPACT_DEFAULT_PAGES));
                ty.max = Some(max);
                // A memory that can never hold a byte still reserves a page, because a
                // reservation of 0 means "imported".
                (max.max(1) * limits::WASM_PAGE, 0)
            }
        };
        list.push(MemoryDecl { ty, shape: options.memory, reserve_bytes, guard_bytes });
    }
    if bad.is_empty() { Ok(list) } else { Err(Errors(bad)) }
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
    if bad.is_empty() { Ok(list) } else { Err(Errors(bad)) }
}
