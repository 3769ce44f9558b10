//! The policy: what a module is allowed to import and how large it may be.
//!
//! A policy is a value that a caller builds, or a TOML file (`docs/policy.md`, read in
//! [`mod@file`]). It is applied at compile time and what results from it is written into the
//! artifact's contract; the loader checks the contract again, against what the embedder offers.
//! Every check reports *all* violations, so that one compilation shows the whole distance between
//! a module and a policy.

pub mod file;

use crate::error::{Class, Diagnostic, Errors};
use lucet_artifact::contract::Import;
use lucet_artifact::limits;

/// What a module may do. The default allows every import (the loader checks again, against what the
/// embedder offers) and memory up to the format's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Rules for imports; `None` allows all.
    pub imports: Option<Vec<ImportRule>>,
    /// Largest memory in wasm pages; a memory that declares more (or no maximum) is cut to it.
    pub max_memory_pages: u64,
    /// Largest table in elements.
    pub max_table_elements: u64,
    /// Code has to count fuel.
    pub fuel: bool,
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
            fuel: false,
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
            .filter(|i| !rules.iter().any(|r| r.allows(&i.module, &i.name)))
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

    /// Sets a label, replacing one of the same name; labels stay sorted by name, as the contract
    /// wants them.
    ///
    /// # Errors
    ///
    /// What is wrong with it, if it exceeds a limit of the artifact format.
    pub fn set_label(&mut self, name: &str, value: &str) -> Result<(), String> {
        let max = limits::MAX_LABEL_BYTES;
        if name.is_empty() {
            return Err("a label needs a name".into());
        }
        for (what, text) in [("name", name), ("value", value)] {
            if text.len() > max {
                return Err(format!("the {what} of a label may have at most {max} bytes"));
            }
        }
        match self.labels.binary_search_by(|(n, _)| n.as_str().cmp(name)) {
            Ok(i) => {
                if let Some(label) = self.labels.get_mut(i) {
                    value.clone_into(&mut label.1);
                }
            }
            Err(_) if self.labels.len() >= limits::MAX_LABELS => {
                return Err(format!("there may be at most {} labels", limits::MAX_LABELS));
            }
            Err(i) => self.labels.insert(i, (name.to_owned(), value.to_owned())),
        }
        Ok(())
    }
}

impl ImportRule {
    /// Whether the rule allows this import.
    #[must_use]
    pub fn allows(&self, module: &str, name: &str) -> bool {
        matches(&self.module, module) && self.names.iter().any(|n| matches(n, name))
    }
}

/// Glob match with `*` only, without recursion: backtracking to the last star, so the time is at
/// most the product of both lengths.
fn matches(pattern: &str, text: &str) -> bool {
    let (p, t) = (pattern.as_bytes(), text.as_bytes());
    let (mut i, mut j, mut star) = (0, 0, None);
    while let Some(c) = t.get(j) {
        match p.get(i) {
            Some(b'*') => {
                star = Some((i, j));
                i += 1;
            }
            Some(x) if x == c => {
                i += 1;
                j += 1;
            }
            _ => {
                let Some((si, sj)) = star else { return false };
                star = Some((si, sj + 1));
                i = si + 1;
                j = sj + 1;
            }
        }
    }
    p.iter().skip(i).all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucet_artifact::contract::ImportKind;

    #[test]
    fn globs() {
        for (pattern, text) in [
            ("", ""),
            ("a", "a"),
            ("*", ""),
            ("*", "anything at all"),
            ("clock_*", "clock_"),
            ("clock_*", "clock_time_get"),
            ("*_get", "clock_time_get"),
            ("a*b*c", "a__b__b_c"),
            ("**", "x"),
            ("*ab", "aab"),
            ("größe*", "größe_1"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("a", ""), ("a", "A"), ("clock_*", "clock"), ("a*b", "abc"), ("?", "a")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_star_is_not_exponential() {
        let text = "a".repeat(20_000);
        assert!(!matches(&format!("{}b", "a*".repeat(50)), &text));
    }

    fn import(module: &str, name: &str) -> Import {
        Import { module: module.into(), name: name.into(), kind: ImportKind::Func(0) }
    }

    #[test]
    fn every_forbidden_import_is_reported() {
        let imports = [import("env", "log"), import("env", "exec"), import("sys", "log")];
        assert_eq!(Policy::default().check_imports(&imports), Ok(()));
        let rule = ImportRule { module: "env".into(), names: vec!["lo*".into()] };
        let policy = Policy { imports: Some(vec![rule]), ..Policy::default() };
        let errors = policy.check_imports(&imports).unwrap_err();
        let messages: Vec<_> = errors.0.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "import of function env.exec is not allowed",
                "import of function sys.log is not allowed",
            ]
        );
        assert_eq!(errors.class(), Class::Policy);
        let nothing = Policy { imports: Some(vec![]), ..Policy::default() };
        assert_eq!(nothing.check_imports(&imports).unwrap_err().0.len(), 3);
        assert_eq!(nothing.check_imports(&[]), Ok(()));
    }

    #[test]
    fn labels_stay_sorted_and_limited() {
        let mut p = Policy::default();
        for (k, v) in [("b", "1"), ("a", "2"), ("b", "3")] {
            p.set_label(k, v).unwrap();
        }
        assert_eq!(p.labels, [("a".into(), "2".into()), ("b".into(), "3".into())]);
        assert!(p.set_label("", "x").is_err());
        assert!(p.set_label("c", &"x".repeat(1025)).is_err());
        for i in 0..limits::MAX_LABELS - 2 {
            p.set_label(&format!("l{i}"), "").unwrap();
        }
        assert!(p.set_label("one more", "").is_err());
    }
}
