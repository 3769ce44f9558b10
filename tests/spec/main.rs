//! The official WebAssembly test suite, through the whole way a module takes in production:
//!
//! ```text
//!  .wast ─directive─► lucetc::compile ─► artifact in a file ─► Module::load_file ─► Group ─► run
//! ```
//!
//! Every directive of every file in scope runs: with guarded memory, with compact memory, and with
//! fuel that is given in small portions, so that each run is suspended and resumed all the time.
//! What is out of scope, or contradicts a later version of the specification, stands in
//! `not-yet.toml` with its reason; nothing is skipped silently. See `docs/spec-suite.md`.
//!
//! This is a test target without libtest: `guarded`, `compact` and `fuel` are tests, and `wrong`,
//! which feeds the harness assertions that must all fail. They are listed and selected as libtest
//! would do it, so that `cargo test` and `cargo nextest` can both run them.

mod compare;
mod directive;
mod report;
mod scope;
mod script;

use directive::Pass;
use lucet_artifact::types::MemoryShape;
use std::process::ExitCode;

const PASSES: [(&str, Pass); 3] = [
    ("guarded", Pass { shape: MemoryShape::Guarded, fuel: None }),
    ("compact", Pass { shape: MemoryShape::Compact, fuel: None }),
    ("fuel", Pass { shape: MemoryShape::Guarded, fuel: Some(53) }),
];

/// A test of the harness itself: assertions that it must all fail.
const WRONG: &str = "wrong";

/// What the command line asks for; unknown options of libtest are accepted and mean nothing.
#[derive(Default)]
struct Args {
    list: bool,
    ignored: bool,
    exact: bool,
    names: Vec<String>,
    /// Run only files whose `directory/name` contains this.
    file: Option<String>,
    /// Print all failures, not the first ones.
    all: bool,
}

fn args() -> Args {
    let mut found = Args::default();
    let mut given = std::env::args().skip(1);
    while let Some(a) = given.next() {
        match a.as_str() {
            "--list" => found.list = true,
            "--ignored" => found.ignored = true,
            "--exact" => found.exact = true,
            "--all-failures" => found.all = true,
            "--file" => found.file = given.next(),
            "--format" | "--color" | "--test-threads" | "--skip" => drop(given.next()),
            name if !name.starts_with('-') => found.names.push(name.to_owned()),
            _ => {}
        }
    }
    found
}

impl Args {
    fn selects(&self, test: &str) -> bool {
        let hit = |n: &String| if self.exact { n == test } else { test.contains(n.as_str()) };
        !self.ignored && (self.names.is_empty() || self.names.iter().any(hit))
    }
}

fn main() -> ExitCode {
    let args = args();
    let chosen: Vec<_> = PASSES.iter().filter(|(name, _)| args.selects(name)).collect();
    let wrong = args.selects(WRONG);
    if args.list {
        for name in chosen.iter().map(|(name, _)| *name).chain(wrong.then_some(WRONG)) {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    if wrong && args.file.is_none() {
        let unnoticed = script::unnoticed(include_str!("wrong.wast"));
        for u in &unnoticed {
            eprintln!("tests/spec/wrong.wast:{u}");
        }
        if !unnoticed.is_empty() {
            return ExitCode::FAILURE;
        }
    }
    if chosen.is_empty() {
        return ExitCode::SUCCESS;
    }
    let scope = match scope::Scope::read() {
        Ok(s) => s,
        Err(e) => {
            eprintln!("tests/spec/not-yet.toml: {e}");
            return ExitCode::FAILURE;
        }
    };
    let mut total = report::Counts::default();
    for (name, pass) in chosen {
        let files = scope.files(args.file.as_deref());
        let done = script::run_all(&files, &scope, *pass);
        total.add(&report::print(name, &done, if args.all { usize::MAX } else { 50 }));
    }
    if args.file.is_none() {
        scope.print_not_yet();
    }
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    if total.failed == 0 && total.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
