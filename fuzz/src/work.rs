//! A worker: one seed after the other.

use crate::differ::Engines;
use crate::generate;
use crate::rng::Rng;
use crate::tally::{State, Tally};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Programs after which a worker makes room for a new one: what a process keeps for good, as ids of
/// function types, is not to grow without end.
const LIFE: u64 = 200_000;

/// What a worker does.
pub struct Job {
    pub seed: u64,
    pub stride: u64,
    pub seconds: u64,
    pub target: Option<String>,
    pub dir: PathBuf,
    pub state: PathBuf,
}

/// The last panic: message and place.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// All targets.
pub const TARGETS: [&str; 4] = ["differ", "mutant", "text", "policy"];

/// The target of a seed.
fn target(seed: u64, wanted: Option<&str>) -> &'static str {
    const ALL: [&str; 16] = [
        "differ", "differ", "differ", "differ", "differ", "differ", "differ", "differ", "differ",
        "differ", "differ", "differ", "mutant", "mutant", "text", "policy",
    ];
    match wanted {
        Some(w) => ALL.iter().find(|t| **t == w).copied().unwrap_or("differ"),
        None => Rng::new(seed, 0).pick::<&str>(&ALL),
    }
}

fn step(engines: &mut Engines, seed: u64, target: &str, tally: &mut Tally) -> Result<(), Finding> {
    let made = catch_unwind(AssertUnwindSafe(|| match target {
        "differ" => engines.differ(seed, tally),
        "mutant" => engines.mutant(seed, tally),
        "text" => engines.text(seed, tally),
        _ => engines.policy(seed, tally),
    }));
    match made {
        Ok(Ok(())) => Ok(()),
        Ok(Err((what, input))) => Err(Finding { what, input: Some(input) }),
        Err(_) => {
            let what = PANIC.lock().map_or_else(|_| String::new(), |p| p.clone());
            Err(Finding { what: format!("panic: {what}"), input: None })
        }
    }
}

/// Something to look at.
struct Finding {
    what: String,
    input: Option<Vec<u8>>,
}

/// Writes a finding where a person finds it, with what reproduces it.
pub fn report(dir: &Path, seed: u64, target: &str, what: &str, input: Option<&[u8]>) {
    let dir = dir.join("findings");
    let name = format!("{target}-{seed}");
    let text = format!(
        "{what}\n\nreproduce: target/fuzz-build/release/lucet-fuzz one {seed} --target {target}\n"
    );
    let _ = std::fs::create_dir_all(&dir);
    let _ = std::fs::write(dir.join(format!("{name}.txt")), text);
    if let Some(input) = input {
        let _ = std::fs::write(dir.join(format!("{name}.input")), input);
    }
    eprintln!("finding {name}: {what}");
}

fn note_panics() {
    std::panic::set_hook(Box::new(|info| {
        if let Ok(mut p) = PANIC.lock() {
            *p = info.to_string();
        }
    }));
}

/// Works until the time is over; exit code 10 asks for another worker.
pub fn run(job: &Job) -> ExitCode {
    let until = Instant::now() + Duration::from_secs(job.seconds);
    let Ok(state) = State::create(&job.state) else {
        eprintln!("{}: not writable", job.state.display());
        return ExitCode::from(2);
    };
    note_panics();
    let mut engines = Engines::new();
    let mut tally = Tally::default();
    let mut seed = job.seed;
    for _ in 0..LIFE {
        if Instant::now() >= until {
            let _ = state.write(seed, tally);
            return ExitCode::SUCCESS;
        }
        let _ = state.write(seed, tally);
        let target = target(seed, job.target.as_deref());
        if let Err(f) = step(&mut engines, seed, target, &mut tally) {
            tally.findings += 1;
            report(&job.dir, seed, target, &f.what, f.input.as_deref());
        }
        seed = seed.wrapping_add(job.stride);
    }
    let _ = state.write(seed, tally);
    ExitCode::from(10)
}

/// Shows a module of one's own; the seed chooses setting and arguments.
pub fn file(path: &Path, seed: u64) -> ExitCode {
    let read = std::fs::read(path).map_err(|e| e.to_string());
    let wasm = read.and_then(|b| Ok(wat::parse_bytes(&b).map_err(|e| e.to_string())?.into_owned()));
    let case = wasm.and_then(|w| generate::of(w, seed).ok_or_else(|| "not valid".to_owned()));
    match case {
        Ok(case) => Engines::new().show_case(&case),
        Err(e) => {
            eprintln!("{}: {e}", path.display());
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Shows one seed.
pub fn one(seed: u64, wanted: Option<&str>) -> ExitCode {
    let mut engines = Engines::new();
    let target = target(seed, wanted);
    println!("seed {seed}, target {target}, {:?}", engines.features);
    if target == "differ" {
        engines.show(seed);
        return ExitCode::SUCCESS;
    }
    match step(&mut engines, seed, target, &mut Tally::default()) {
        Ok(()) => println!("nothing"),
        Err(f) => println!("{}\n{:?}", f.what, f.input.map(|i| i.escape_ascii().to_string())),
    }
    ExitCode::SUCCESS
}
