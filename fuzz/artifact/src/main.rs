//! Looks for artifacts that the loader does not survive, guided by coverage.
//!
//! ```text
//!  golden artifacts ─► corpus ─► change a few bytes ─► make the hash fit ─► load ─► counters
//!                        ▲                                                            │
//!                        └────────────── kept, if a counter says something new ◄──────┘
//! ```
//!
//! The compiler adds a counter to every edge of the code (`make fuzz-artifact` passes the flags). A
//! changed artifact that reaches an edge, or how often, that no other reached is changed further.
//! Code is not run and `.text` is not changed: what it says is a matter of trust.
//!
//! A child does the work; its parent keeps what it was doing when it died.

#[path = "../../../tests/common/change.rs"]
mod change;
mod counters;
#[path = "../../../tests/common/random.rs"]
mod random;

use change::change;
use lucet::Status;
use lucet::loader::{LoadOptions, Source, load};
use lucet_artifact::trailer::{TRAILER_BYTES, Trailer};
use random::Rng;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

const USAGE: &str = "usage: lucet-fuzz-artifact SEEDS WORK SECONDS [SEED]
  SEEDS    directory of artifacts to begin with, searched with its subdirectories
  WORK     directory for what is found, created if it is not there
  SECONDS  how long to run
  SEED     number that the random changes follow from [default: 1]";

/// Says to a child that it is one.
const CHILD: &str = "LUCET_FUZZ_ARTIFACT_CHILD";

/// How much longer than it was told to a child may run, before that is a finding, too.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the command line says.
struct Job<'a> {
    seeds: &'a Path,
    work: &'a Path,
    time: Duration,
    seed: u64,
}

fn job(args: &[String]) -> Result<Job<'_>, String> {
    let [seeds, work, seconds, rest @ ..] = args else {
        return Err(format!(
            "SEEDS, WORK and SECONDS are needed; there are {} of them",
            args.len()
        ));
    };
    let number = |name: &str, text: &str, least: u64| match text.parse::<u64>() {
        Ok(n) if n >= least => Ok(n),
        _ => Err(format!("{name} is a whole number, {least} or more; it is {text:?}")),
    };
    let time = Duration::from_secs(number("SECONDS", seconds, 1)?);
    let seed = match rest {
        [] => 1,
        [seed] => number("SEED", seed, 0)?,
        [_, more, ..] => return Err(format!("nothing follows SEED; there is {more:?}")),
    };
    Ok(Job { seeds: Path::new(seeds), work: Path::new(work), time, seed })
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let job = match job(&args) {
        Ok(job) => job,
        Err(what) => {
            eprintln!("{what}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if let Err(e) = fs::create_dir_all(job.work) {
        eprintln!("cannot create {}: {e}", job.work.display());
        return ExitCode::from(2);
    }
    if std::env::var_os(CHILD).is_some() {
        return run(job.seeds, job.work, job.time, job.seed);
    }
    supervise(&job, &args)
}

/// Waits for the child; `None` if it had to be ended.
fn wait(child: &mut Child, time: Duration) -> std::io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    while begun.elapsed() < time + PATIENCE {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// Runs the child; what it had in its hands when it died is kept.
fn supervise(job: &Job<'_>, args: &[String]) -> ExitCode {
    let child = std::env::current_exe()
        .and_then(|exe| Command::new(exe).args(args).env(CHILD, "1").spawn())
        .and_then(|mut child| wait(&mut child, job.time));
    let ended = match child {
        Ok(Some(status)) if status.success() => return ExitCode::SUCCESS,
        Ok(Some(status)) if status.code() == Some(2) => return ExitCode::from(2),
        Ok(Some(status)) => status.to_string(),
        Ok(None) => "it did not come to an end".to_owned(),
        Err(e) => {
            eprintln!("cannot run the child: {e}");
            return ExitCode::FAILURE;
        }
    };
    let kept = (0..).map(|n| job.work.join(format!("crash-{n}.so"))).find(|p| !p.exists());
    let kept = kept.unwrap_or_else(|| job.work.join("crash.so"));
    match fs::copy(job.work.join("current.so"), &kept) {
        Ok(_) => eprintln!("the loader did not survive {}: {ended}", kept.display()),
        Err(e) => eprintln!("the fuzzer died ({ended}); nothing was kept: {e}"),
    }
    ExitCode::FAILURE
}

/// All artifacts below a directory.
fn artifacts(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|x| x == "so") {
                all.push(path);
            }
        }
    }
    all.sort();
    Ok(all)
}

/// The artifact with a hash that fits.
fn resealed(artifact: &[u8], trailer: &Trailer) -> Vec<u8> {
    let mut body = artifact[..artifact.len() - TRAILER_BYTES].to_vec();
    match Trailer::append(&mut body, trailer.flags, trailer.parent) {
        Ok(()) => body,
        // Larger than artifacts may be: that is looked at before the hash.
        Err(_) => artifact.to_vec(),
    }
}

/// Loads it and asks about everything; whether it loads.
///
/// # Panics
/// If the answer is that the library has a bug, which is what a panic becomes on its way to C. The
/// child dies of it, as of any panic in the loader.
fn try_one(bytes: &[u8]) -> bool {
    let options = LoadOptions { allow_unsigned: true, ..LoadOptions::default() };
    let loaded = match load(Source::Bytes(bytes), &options) {
        Ok(loaded) => loaded,
        Err(e) => {
            assert_ne!(e.status(), Status::Internal, "a bug in the library: {e}");
            return false;
        }
    };
    for i in [0, 1, 2, 7, u32::MAX] {
        let _ = (loaded.function_name(i), loaded.wasm_offset(i, 5), loaded.function_at(i));
    }
    true
}

fn run(seeds: &Path, work: &Path, time: Duration, seed: u64) -> ExitCode {
    let found = artifacts(seeds)
        .and_then(|paths| paths.iter().map(fs::read).collect::<std::io::Result<Vec<Vec<u8>>>>());
    let mut corpus = match found {
        Ok(all) if !all.is_empty() => all,
        Ok(_) => {
            eprintln!("no artifacts (*.so) in {}", seeds.display());
            return ExitCode::from(2);
        }
        Err(e) => {
            eprintln!("cannot read {}: {e}", seeds.display());
            return ExitCode::from(2);
        }
    };
    if counters::number() == 0 {
        eprintln!("compiled without counters: use `make fuzz-artifact`");
        return ExitCode::from(2);
    }
    corpus.retain(|bytes| Trailer::decode(bytes).is_ok());
    let mut seen = counters::Seen::default();
    for bytes in &corpus {
        counters::clear();
        try_one(bytes);
        seen.anything_new();
    }
    let (first, current) = (corpus.len(), work.join("current.so"));
    let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (mut tried, mut loaded) = (0_u64, 0_u64);
    let (begin, mut said) = (Instant::now(), Instant::now());
    while begin.elapsed() < time {
        let parent = &corpus[rng.below(corpus.len())];
        let other = &corpus[rng.below(corpus.len())];
        let Ok(trailer) = Trailer::decode(parent) else { continue };
        let bytes = resealed(&change(parent, other, &mut rng), &trailer);
        // A pipe or a shared mapping would be faster, and harder to look at.
        if let Err(e) = fs::write(&current, &bytes) {
            eprintln!("cannot write {}: {e}", current.display());
            return ExitCode::from(2);
        }
        counters::clear();
        loaded += u64::from(try_one(&bytes));
        tried += 1;
        if seen.anything_new() {
            corpus.push(bytes);
        }
        if std::io::stderr().is_terminal() && said.elapsed() > Duration::from_secs(1) {
            said = Instant::now();
            eprint!("\r{tried} tried, {} kept, {} edges ", corpus.len() - first, seen.edges());
        }
    }
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    println!(
        "{tried} artifacts tried, {loaded} of them load, {} kept for something new, {} of {} edges \
         reached, 0 not survived",
        corpus.len() - first,
        seen.edges(),
        counters::number()
    );
    if seen.edges() < 200 || corpus.len() == first {
        eprintln!("nothing new was reached: the counters or the changes do not work");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
