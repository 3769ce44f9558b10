//! The policy: what a module is allowed to import, how large it may be, what it must bring.
//!
//! ```text
//!  TOML file ──file──► Policy ──check──► every violation at once, or the contract
//!              ▲                   ▲
//!            schema: the keys    pattern: types as text, glob: names
//! ```
//!
//! A policy is a value that a caller builds, or a TOML file (`docs/policy.md`). It is applied at
//! compile time and what results from it is written into the artifact's contract, together with
//! the policy's hash; the loader checks the contract again, against what the embedder offers.

pub mod check;
pub mod file;
pub mod glob;
pub mod pattern;
pub mod schema;
pub mod wasi;

pub use pattern::{Kind, TypePattern};
pub use schema::{Max, json_schema};

use crate::nearest::nearest;
use lucet_artifact::contract::feature;
use lucet_artifact::{limits, trailer};
use schema::MAXIMA;
use std::fmt::Write as _;

/// What a module may do. The default allows every import (the loader checks again, against what the
/// embedder offers), every feature, and sizes up to the format's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Rules for imports; `None` allows all.
    pub imports: Option<Vec<ImportRule>>,
    /// Bits of [`feature`] that are allowed.
    pub features: u64,
    /// Code has to count fuel.
    pub fuel: bool,
    /// Labels that must be there and not empty.
    pub required_labels: Vec<String>,
    /// Exports that must be there, with their types.
    pub required_exports: Vec<(String, TypePattern)>,
    /// Labels for the contract.
    pub labels: Vec<(String, String)>,
    /// By [`Max`].
    maxima: [u64; MAXIMA.len()],
}

/// Allows imports of one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRule {
    /// Module name; may contain `*`.
    pub module: String,
    /// What may be imported from it.
    pub entries: Vec<ImportEntry>,
}

/// Allows imports of one name, or of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportEntry {
    /// Name; may contain `*`.
    pub name: String,
    /// What they must be; `None` allows any kind.
    pub kind: Option<Kind>,
    /// The type that they must have; `None` allows any.
    pub ty: Option<TypePattern>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            imports: None,
            features: u64::MAX,
            fuel: false,
            required_labels: Vec::new(),
            required_exports: Vec::new(),
            labels: Vec::new(),
            maxima: MAXIMA.map(|row| row.most),
        }
    }
}

impl Policy {
    /// The largest allowed value.
    #[must_use]
    pub fn max(&self, which: Max) -> u64 {
        self.maxima.get(which as usize).copied().unwrap_or(u64::MAX)
    }

    /// Sets the largest allowed value; what the artifact format allows is never exceeded.
    pub fn set_max(&mut self, which: Max, value: u64) {
        if let Some(max) = self.maxima.get_mut(which as usize) {
            *max = value.min(which.row().most);
        }
    }

    /// Whether a maximum is lower than the artifact format's.
    #[must_use]
    pub fn limits(&self, which: Max) -> bool {
        self.max(which) < which.row().most
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

    /// BLAKE2b-256 of [`Policy::canonical`]; zero if that is empty, because then nothing is asked
    /// for that was not anyway.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let text = self.canonical();
        if text.is_empty() { [0; 32] } else { trailer::source_hash(text.as_bytes()) }
    }

    /// What the policy allows and requires, as a policy file that has one form for each meaning:
    /// sorted, without comments, without what is the default anyway. Labels are no part of it;
    /// they describe the module and stand in the contract themselves.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        if let Some(rules) = &self.imports {
            out.push_str("[imports]\n");
            let mut lines: Vec<_> = rules
                .iter()
                .flat_map(|r| r.entries.iter().map(|e| e.canonical(&r.module)))
                .collect();
            lines.sort();
            lines.dedup();
            out.extend(lines);
        }
        for row in MAXIMA.iter().filter(|row| self.limits(row.max)) {
            let _ = writeln!(out, "limits.{} = {}", row.key, self.max(row.max));
        }
        if self.fuel {
            out.push_str("limits.fuel = true\n");
        }
        self.canonical_features(&mut out);
        let mut labels: Vec<_> = self.required_labels.iter().map(|l| quoted(l)).collect();
        labels.sort();
        labels.dedup();
        out.extend(labels.iter().map(|l| format!("require.labels = {l}\n")));
        let exports = self.required_exports.iter();
        let mut exports: Vec<_> = exports
            .map(|(n, ty)| format!("require.exports.{} = {}\n", quoted(n), quoted(ty.form())))
            .collect();
        exports.sort();
        exports.dedup();
        out.extend(exports);
        out
    }
}

impl Policy {
    /// A list of what is denied leaves bits that have no name yet, a list of what is allowed does
    /// not: so each stays what it is when there are more features.
    fn canonical_features(&self, out: &mut String) {
        let denies = self.features & !feature::KNOWN != 0;
        let word = if denies { "deny" } else { "allow" };
        if !denies {
            out.push_str("[features]\n");
        }
        for (bit, name) in &feature::NAMES {
            if (self.features & bit == 0) == denies {
                let _ = writeln!(out, "features.{word} = {name}");
            }
        }
    }
}

impl ImportEntry {
    /// Allows what has this name (which may contain `*`), whatever it is.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), kind: None, ty: None }
    }

    /// A line of [`Policy::canonical`].
    fn canonical(&self, module: &str) -> String {
        let mut line = format!("{} = {{ name = {}", quoted(module), quoted(&self.name));
        // What the type says already is not said again.
        let ty = self.ty.as_ref();
        if let Some(kind) = self.kind.filter(|k| ty.and_then(TypePattern::kind) != Some(*k)) {
            let _ = write!(line, ", kind = {}", quoted(kind.word()));
        }
        if let Some(ty) = ty {
            let _ = write!(line, ", type = {}", quoted(ty.form()));
        }
        line + " }\n"
    }
}

/// A basic string of TOML (toml.io, v1.0.0).
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn maxima_never_exceed_the_format() {
        let mut p = Policy::default();
        p.set_max(Max::Memories, 1_000_000);
        assert_eq!(p, Policy::default());
        p.set_max(Max::Memories, 3);
        assert!(p.limits(Max::Memories) && !p.limits(Max::Tables));
    }

    fn hash(text: &str) -> [u8; 32] {
        Policy::parse(text, "p.toml").unwrap_or_else(|e| panic!("{e}")).hash()
    }

    #[test]
    fn the_hash_is_of_what_is_meant() {
        assert_eq!(Policy::default().hash(), [0; 32]);
        for nothing in
            ["", "# nothing\n[limits]\n", "[labels]\nname = \"x\"", "[limits]\nfuel=false"]
        {
            assert_eq!(hash(nothing), [0; 32], "{nothing}");
        }
        let same = [
            (
                "[imports]\na = [\"x\", \"y\"]\nb = [\"z\"]",
                "[imports]\nb=['z'] # c\na=['y','x','x']",
            ),
            ("[limits]\nmax_tables = 0x10", "[limits]\nmax_tables = 16\nmax_memories = 100"),
            ("[features]\ndeny = [\"simd\", \"atomics\"]", "[features]\ndeny=['atomics','simd']"),
            (
                "[imports]\na = [{ name = \"f\", type = \"(i32)->i64\" }]",
                "[imports]\na = [{ type = \"( i32 ) -> (i64)\", kind = \"function\", name = 'f' }]",
            ),
            ("[require]\nlabels = [\"a\", \"b\"]", "[require]\nlabels = [\"b\", \"a\", \"a\"]"),
        ];
        for (a, b) in same {
            assert_ne!(hash(a), [0; 32], "{a}");
            assert_eq!(hash(a), hash(b), "{a}\n{b}");
        }
        let mut different: Vec<_> = [
            "[imports]",
            "[imports]\na = [\"x\"]",
            "[imports]\na = [{ name = \"x\", kind = \"function\" }]",
            "[imports]\na = [{ name = \"x\", type = \"*\" }]",
            "[imports]\na = [{ name = \"x\", type = \"() -> ()\" }]",
            "[imports]\na = [\"x\\\", kind = \\\"function\"]",
            "[limits]\nfuel = true",
            "[limits]\nmax_tables = 1",
            "[limits]\nmax_memories = 1",
            "[features]\ndeny = [\"simd\"]",
            "[features]\nallow = []",
            "[require]\nlabels = [\"simd\"]",
            "[require.exports]\nsimd = \"() -> ()\"",
        ]
        .map(hash)
        .into();
        different.sort();
        let n = different.len();
        different.dedup();
        assert_eq!(different.len(), n);
    }

    /// Nobody can tell from the outside which canonical form an old artifact's hash is of.
    #[test]
    fn the_canonical_form_does_not_change() {
        let text = "[imports]\nenv = [\"log\", { name = \"clock_*\", type = \"(i32) -> i64\" }]\n\
                    [limits]\nmax_memory_pages = 16\nfuel = true\n\
                    [features]\ndeny = [\"atomics\"]\n\
                    [require]\nlabels = [\"version\"]\n[require.exports]\nrun = \"() -> *\"\n";
        assert_eq!(
            Policy::parse(text, "p.toml").unwrap().canonical(),
            "[imports]\n\
             \"env\" = { name = \"clock_*\", type = \"(i32)->(i64)\" }\n\
             \"env\" = { name = \"log\" }\n\
             limits.max_memory_pages = 16\n\
             limits.fuel = true\n\
             features.deny = atomics\n\
             require.labels = \"version\"\n\
             require.exports.\"run\" = \"()->(*)\"\n"
        );
    }
}
