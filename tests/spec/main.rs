//! The official WebAssembly test suite, through the whole way a module takes in production:
//!
//! ```text
//!  .wast ─directive─► lucetc::compile ─► artifact in a file ─► Module::load_file ─► Group ─► run
//! ```
//!
//! Every directive of every file runs: with guarded memory, with compact memory, and with fuel that
//! is given in small portions, so that each run is suspended and resumed all the time. Features
//! that are refused, and answers that a later version of the specification changed, stand in
//! `expectations.toml` with their reasons; nothing is skipped silently. See `docs/spec-suite.md`.
//!
//! This is a test target without libtest: `guarded`, `compact` and `fuel` are tests, and `wrong`,
//! which feeds the harness assertions that must all fail, or be skipped. They are listed and
//! selected as libtest would do it, so that `cargo test` and `cargo nextest` can both run them.

mod compare;
mod directive;
mod features;
mod load;
mod references;
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

/// A test of the harness itself: assertions that it must all fail, and others that it must skip.
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
    if wrong && args.file.is_none() && !harness_works() {
        return ExitCode::FAILURE;
    }
    if chosen.is_empty() {
        return ExitCode::SUCCESS;
    }
    match run(&args, chosen.into_iter()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("tests/spec/expectations.toml: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the harness's own scripts, and reads data files with mistakes.
fn harness_works() -> bool {
    let gc = features::Feature { name: "gc".to_owned(), reason: "for the test".to_owned() };
    let list = features::Features(vec![gc]);
    let scripts = [
        ("wrong.wast", include_str!("wrong.wast"), script::All::Fail),
        ("skipped.wast", include_str!("skipped.wast"), script::All::Skip),
    ];
    let mut works = true;
    for mistake in scope::accepted_mistakes() {
        eprintln!("tests/spec/scope.rs: {mistake}");
        works = false;
    }
    let superseded = script::superseded(&list);
    for u in superseded.unwrap_or_else(|e| vec![e]) {
        eprintln!("tests/spec/script.rs: superseded: {u}");
        works = false;
    }
    for (name, text, all) in scripts {
        for u in script::own(text, &list, all) {
            eprintln!("tests/spec/{name}:{u}; it must {all:?}");
            works = false;
        }
    }
    works
}

/// Runs passes and prints everything about them.
fn run<'a>(
    args: &Args,
    passes: impl Iterator<Item = &'a (&'static str, Pass)>,
) -> Result<bool, String> {
    let scope = scope::Scope::read()?;
    let mut total = report::Total::default();
    for (name, pass) in passes {
        let files = scope.files(args.file.as_deref());
        let done = script::run_all(&files, &scope, *pass);
        total.add(report::print(name, &scope, &done, if args.all { usize::MAX } else { 50 }));
    }
    if args.file.is_none() {
        let unused = scope.print(&total.skipped);
        if !unused.is_empty() {
            return Err(format!("no module was refused for want of {}", unused.join(", ")));
        }
    }
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.all_skipped());
    Ok(total.failed == 0 && total.passed > 0)
}
