//! Fuzzing: generated programs under lucet, wasmi and Wasmtime, and hostile input for whatever
//! reads it. Everything follows from a seed. `docs/fuzzing.md` says what is compared.
//!
//! ```text
//!  run ──┬─► worker ─► seed, seed + stride, … ─► one target each ─► findings/
//!        └─► worker      state file: seed at hand, counters
//! ```
//!
//! Workers are processes: one that dies leaves the seed it died of, and another goes on.

mod differ;
mod engines;
mod features;
mod generate;
mod host;
mod parsers;
mod rng;
mod supervise;
mod tally;
mod value;
mod work;

use std::process::ExitCode;

const USAGE: &str = "usage:
  lucet-fuzz run [--seconds N] [--jobs N] [--seed N] [--target T] [--dir DIR]
  lucet-fuzz one SEED [--target T]
  lucet-fuzz file MODULE [--seed N]

targets: differ, mutant, text, policy; without one each seed chooses";

/// The value of an option.
fn option<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    let at = args.iter().position(|a| a == name)?;
    args.get(at + 1).map(String::as_str)
}

/// What is wrong with the options behind the words that a command takes, if anything is.
fn wrong(args: &[String], words: usize) -> Option<String> {
    const NUMBERS: [&str; 4] = ["--seconds", "--jobs", "--seed", "--stride"];
    let mut rest = args.iter().skip(words);
    while let Some(name) = rest.next() {
        let value = rest.next().map(String::as_str);
        let known = NUMBERS.contains(&name.as_str());
        match (name.as_str(), value) {
            ("--target" | "--dir" | "--state", None) => {
                return Some(format!("{name} wants a value"));
            }
            ("--dir" | "--state", Some(_)) => {}
            ("--target", Some(t)) if work::TARGETS.contains(&t) => {}
            ("--target", Some(t)) => return Some(format!("there is no target `{t}`")),
            (_, Some(v)) if known && v.parse::<u64>().is_ok() => {}
            (_, v) if known => {
                return Some(format!("{name} wants a number, not `{}`", v.unwrap_or_default()));
            }
            _ => return Some(format!("unknown option `{name}`")),
        }
    }
    None
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words =
        if matches!(args.first().map(String::as_str), Some("one" | "file")) { 2 } else { 1 };
    if let Some(what) = wrong(&args, words) {
        eprintln!("lucet-fuzz: {what}");
        return usage();
    }
    let number = |name: &str| option(&args, name).and_then(|v| v.parse::<u64>().ok());
    let target = option(&args, "--target").map(str::to_owned);
    match args.first().map(String::as_str) {
        Some("run") => {
            let seed = number("--seed").unwrap_or_else(|| {
                let now = std::time::SystemTime::now();
                let now = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                now.as_secs() << 20
            });
            let cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
            supervise::run(&supervise::Plan {
                seconds: number("--seconds").unwrap_or(60),
                jobs: number("--jobs").unwrap_or(cpus),
                seed,
                target,
                dir: option(&args, "--dir").unwrap_or("target/fuzz").into(),
            })
        }
        Some("worker") => {
            let needed = [number("--seed"), number("--stride"), number("--seconds")];
            let [Some(seed), Some(stride), Some(seconds)] = needed else { return usage() };
            let dir = option(&args, "--dir").unwrap_or("target/fuzz").into();
            let state = option(&args, "--state").unwrap_or("/dev/null").into();
            work::run(&work::Job { seed, stride, seconds, target, dir, state })
        }
        Some("one") => match args.get(1).and_then(|s| s.parse().ok()) {
            Some(seed) => work::one(seed, target.as_deref()),
            None => usage(),
        },
        Some("file") => match args.get(1) {
            Some(path) => work::file(path.as_ref(), number("--seed").unwrap_or(0)),
            None => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
