//! The policy: what a module is allowed to import and how large it may be.

use crate::error::{Class, Diagnostic, Errors};
use lucet_artifact::contract::Import;
use lucet_artifact::limits;

/// What a module may do. The default allows every import (the loader checks again, against what the
/// embedder offers) and memory up to the format's limits.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Rules for imports; `None` allows all.
    pub imports: Option<Vec<ImportRule>>,
    /// Largest memory in wasm pages; a memory that declares more (or no maximum) is cut to it.
    pub max_memory_pages: u64,
    /// Largest table in elements.
    pub max_table_elements: u64,
    /// Labels for the contract.
    pub labels: Vec<(String, String)>,
}

/// Allows imports of one module: exact names, or patterns with `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRule {
    /// Module name; may contain `*`.
    pub module: String,
    /// Names; each may contain `*`.
    pub names: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            imports: None,
            max_memory_pages: limits::MAX_MEMORY32_PAGES,
            max_table_elements: limits::MAX_TABLE_ELEMENTS,
            labels: Vec::new(),
        }
    }
}

impl Policy {
    /// Whether every import is allowed; otherwise one diagnostic per import that is not.
    pub fn check_imports(&self, imports: &[Import]) -> Result<(), Errors> {
        let Some(rules) = &self.imports else { return Ok(()) };
        let bad: Vec<_> = imports
            .iter()
            .filter(|i| {
                !rules.iter().any(|r| {
                    matches(&r.module, &i.module) && r.names.iter().any(|n| matches(n, &i.name))
                })
            })
            .map(|i| {
                Diagnostic::new(
                    Class::Policy,
                    format!("import of {} {}.{} is not allowed", i.kind.word(), i.module, i.name),
                )
                .help("add it to [imports] of the policy file, or remove it from the module")
            })
            .collect();
        if bad.is_empty() { Ok(()) } else { Err(Errors(bad)) }
    }
}

/// Glob match with `*` only, without recursion: linear backtracking to the last star.
fn matches(pattern: &str, text: &str) -> bool {
    let (p, t) = (pattern.as_bytes(), text.as_bytes());
    let (mut i, mut j, mut star) = (0, 0, None);
    while j < t.len() {
        if i < p.len() && p[i] == b'*' {
            star = Some((i, j));
            i += 1;
        } else if i < p.len() && p[i] == t[j] {
            i += 1;
            j += 1;
        } else if let Some((si, sj)) = star {
            star = Some((si, sj + 1));
            i = si + 1;
            j = sj + 1;
        } else {
            return false;
        }
    }
    p[i..].iter().all(|c| *c == b'*')
}
