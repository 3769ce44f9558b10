//! Modules that nobody here wrote: every `*.wasm` in the directory `LUCET_CORPUS` must compile,
//! load and instantiate in both memory shapes, or be refused for want of the feature that stands in
//! `tests/corpus-refusals.toml`.
//!
//! ```text
//!  file ─lucetc─► artifact ─► Module ─► imports from thin air ([`link`]) ─► instance
//!                                         └─ g-plugin-*: answers a request ([`plugin`])
//! ```
//!
//! Without `LUCET_CORPUS` there is nothing to test, and the target says so instead of passing: it
//! lists no test then. With it, the tests are `guarded` and `compact`; large modules take minutes
//! and are compiled in the second shape too only with `LUCET_CORPUS_FULL=1`.
//! `LUCET_CORPUS_ONLY=TEXT` restricts the run to files whose name contains that.

mod link;
mod plugin;
mod refusals;

use lucet_artifact::types::MemoryShape;
use lucetc::limits::Limit;
use refusals::Refusals;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const TESTS: [(&str, MemoryShape); 2] =
    [("guarded", MemoryShape::Guarded), ("compact", MemoryShape::Compact)];

/// Bytes of a module up to which it is compiled in both shapes.
const BOTH: u64 = 4_000_000;

/// What became of a module.
enum Result {
    Passed(String),
    Refused(String),
    Failed(String),
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |a: &str| args.iter().any(|x| x == a);
    let Some(dir) = std::env::var_os("LUCET_CORPUS") else {
        if !has("--list") {
            println!("corpus: not run (set LUCET_CORPUS to a directory of .wasm files)");
        }
        return ExitCode::SUCCESS;
    };
    let asked = |name: &str| {
        let named: Vec<_> = args.iter().filter(|a| !a.starts_with('-') && *a != "terse").collect();
        !has("--ignored") && (named.is_empty() || named.iter().any(|n| name.contains(n.as_str())))
    };
    let tests = TESTS.iter().filter(|(name, _)| asked(name));
    if has("--list") {
        tests.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let prepared = files(Path::new(&dir)).and_then(|f| Ok((f, Refusals::read()?)));
    let (files, refusals) = match prepared {
        Ok(p) => p,
        Err(e) => {
            eprintln!("corpus: {e}");
            return ExitCode::FAILURE;
        }
    };
    let mut failed = 0;
    let full = std::env::var_os("LUCET_CORPUS_FULL").is_some();
    for (name, shape) in tests {
        let both = |f: &&File| full || *shape == MemoryShape::Guarded || f.size <= BOTH;
        let chosen: Vec<&File> = files.iter().filter(both).collect();
        failed += run(name, *shape, &chosen, &refusals);
        if chosen.len() < files.len() {
            let left = files.len() - chosen.len();
            println!("{left} larger than {BOTH} bytes only with LUCET_CORPUS_FULL=1");
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A module of the corpus.
struct File {
    size: u64,
    name: String,
    path: PathBuf,
}

/// The modules, the largest first.
fn files(dir: &Path) -> std::result::Result<Vec<File>, String> {
    let only = std::env::var("LUCET_CORPUS_ONLY").unwrap_or_default();
    let entries = std::fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut found: Vec<File> = entries
        .filter_map(|e| {
            let e = e.ok()?;
            let name = e.file_name().into_string().ok()?;
            let size = std::fs::metadata(e.path()).ok()?.len();
            let path = e.path();
            (name.ends_with(".wasm") && name.contains(&only)).then_some(File { size, name, path })
        })
        .collect();
    found.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name)));
    match found.len() {
        0 => Err(format!("there is no .wasm file in {}", dir.display())),
        _ => Ok(found),
    }
}

/// Runs all modules in one shape, two at a time; gives the number of failures.
fn run(test: &str, shape: MemoryShape, files: &[&File], refusals: &Refusals) -> usize {
    let begun = Instant::now();
    println!("\n{:<36}{:>10}{:>9}{:>11}  result ({test} memory)", "module", "bytes", "s", "code");
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|s| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from).min(2) {
            s.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = module(&file.name, &file.path, shape, refusals);
                    results.lock().expect("no thread panics").push((&file.name, result));
                }
            });
        }
    });
    let results = results.into_inner().expect("no thread panics");
    let of = |f: fn(&Result) -> bool| results.iter().filter(|(_, r)| f(r)).count();
    let failed = of(|r| matches!(r, Result::Failed(_)));
    for (name, r) in &results {
        if let Result::Failed(why) = r {
            let first: Vec<_> = why.lines().take(4).collect();
            println!("FAILED {name}: {}", first.join("\n"));
        }
    }
    println!(
        "{test}: {} compiled and instantiated, {} refused as listed, {failed} failed, {:.0} s",
        of(|r| matches!(r, Result::Passed(_))),
        of(|r| matches!(r, Result::Refused(_))),
        begun.elapsed().as_secs_f64()
    );
    failed
}

/// One module, with its line in the table.
fn module(name: &str, path: &Path, shape: MemoryShape, refusals: &Refusals) -> Result {
    let wasm = match std::fs::read(path) {
        Ok(w) => w,
        Err(e) => return Result::Failed(e.to_string()),
    };
    let mut options = lucetc::Options { memory: shape, threads: 1, ..lucetc::Options::default() };
    // Whatever else the machine is doing.
    options.limits.set(Limit::Time, 3_600);
    let begun = Instant::now();
    let compiled = lucetc::compile(&wasm, &options);
    let seconds = begun.elapsed().as_secs_f64();
    let mut code = 0;
    let result = match (compiled, refusals.of(name)) {
        (Err(e), Some(refusal)) if refusal.allows(&e) => {
            Result::Refused(format!("refused: {}", refusal.feature))
        }
        (Err(e), _) => Result::Failed(e.to_string()),
        (Ok(_), Some(_)) => {
            Result::Failed("compiles, but stands in tests/corpus-refusals.toml".into())
        }
        (Ok(artifact), None) => {
            let work = || link::instantiate(&artifact, shape, name.starts_with("g-plugin-"));
            match catch_unwind(AssertUnwindSafe(work)) {
                Ok(Ok(used)) => {
                    code = used.code;
                    Result::Passed(used.how)
                }
                Ok(Err(e)) => Result::Failed(e),
                Err(_) => Result::Failed("panicked".into()),
            }
        }
    };
    let (Result::Passed(said) | Result::Refused(said) | Result::Failed(said)) = &result;
    let line = said.lines().next().unwrap_or_default();
    println!("{name:<36}{:>10}{seconds:>9.2}{code:>11}  {line}", wasm.len());
    result
}
