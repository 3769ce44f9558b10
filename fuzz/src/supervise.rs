//! Starts workers, watches them, replaces those that die or hang, and adds up what they did.

use crate::tally::{State, Tally};
use crate::work;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

/// A seed that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What to do.
pub struct Plan {
    pub seconds: u64,
    pub jobs: u64,
    pub seed: u64,
    pub target: Option<String>,
    pub dir: PathBuf,
}

/// A worker, the seed it was last seen with, and since when.
struct Worker {
    child: Child,
    state: PathBuf,
    seed: u64,
    since: Instant,
}

/// A worker does not go on without whoever counts what it does.
impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.state);
    }
}

fn start(plan: &Plan, n: u64, seed: u64, until: Instant) -> std::io::Result<Worker> {
    let state = plan.dir.join(format!("worker-{}-{n}", std::process::id()));
    let left = until.saturating_duration_since(Instant::now()).as_secs();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("worker");
    for (name, value) in [("--seed", seed), ("--stride", plan.jobs), ("--seconds", left)] {
        command.arg(name).arg(value.to_string());
    }
    if let Some(t) = &plan.target {
        command.arg("--target").arg(t);
    }
    command.arg("--dir").arg(&plan.dir).arg("--state").arg(&state);
    Ok(Worker { child: command.spawn()?, state, seed, since: Instant::now() })
}

/// What a worker wrote last.
fn look(w: &Worker) -> (u64, Tally) {
    State::open(&w.state).ok().and_then(|s| s.read()).unwrap_or((w.seed, Tally::default()))
}

/// Runs all workers; the exit code says whether there are findings.
pub fn run(plan: &Plan) -> ExitCode {
    match watch(plan) {
        Ok(total) => {
            println!("seeds from {}: {total}", plan.seed);
            if total.findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(e) => {
            eprintln!("{}: {e}", plan.dir.display());
            ExitCode::from(2)
        }
    }
}

fn watch(plan: &Plan) -> std::io::Result<Tally> {
    std::fs::create_dir_all(&plan.dir)?;
    let begin = Instant::now();
    let until = begin + Duration::from_secs(plan.seconds);
    let mut workers = Vec::new();
    for n in 0..plan.jobs {
        workers.push(Some(start(plan, n, plan.seed + n, until)?));
    }
    let mut total = Tally::default();
    let mut said = begin;
    while workers.iter().any(Option::is_some) {
        std::thread::sleep(Duration::from_millis(200));
        for (n, slot) in workers.iter_mut().enumerate() {
            let Some(w) = slot else { continue };
            let ended = w.child.try_wait()?;
            let (seed, tally) = look(w);
            if seed != w.seed {
                (w.seed, w.since) = (seed, Instant::now());
            }
            let hangs = ended.is_none() && w.since.elapsed() > PATIENCE;
            if ended.is_none() && !hangs {
                continue;
            }
            total.add(tally);
            // The next one has the same state file.
            *slot = None;
            *slot = match ended.and_then(|e| e.code()) {
                Some(0) => None,
                Some(2) => return Err(std::io::Error::other("a worker could not begin")),
                Some(10) => Some(start(plan, n as u64, seed, until)?),
                _ => {
                    let how = ended.map_or("does not end".to_owned(), |e| e.to_string());
                    let target = plan.target.as_deref().unwrap_or("any");
                    work::report(&plan.dir, seed, target, &format!("the worker: {how}"), None);
                    total.findings += 1;
                    Some(start(plan, n as u64, seed.wrapping_add(plan.jobs), until)?)
                }
            };
        }
        if said.elapsed() > Duration::from_secs(60) {
            said = Instant::now();
            let mut sum = total;
            for w in workers.iter().flatten() {
                sum.add(look(w).1);
            }
            eprintln!("after {} s: {sum}", begin.elapsed().as_secs());
        }
    }
    Ok(total)
}
