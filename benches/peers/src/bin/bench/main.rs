//! `make bench`: lucet, Wasmtime, wasm2c and native code side by side.
//!
//! Every engine is a process of its own (a worker), so that none has another's signal handlers or
//! heap. The workers are asked for rounds in turns: one row after the other, and in each row one
//! round of each engine, in changing order. Time is that of the processor, but where two threads
//! or processes work at the same time; there, rounds in which one was preempted do not count. A
//! number is the median of the rounds; its spread is the interquartile range over the median.
//! Where that is above 15 %, no ratio is printed, and the row is measured again at the end, twice
//! if need be; the quietest measurement counts.
//!
//! Arguments: the directory with what `benches/Makefile` made, which also gets the JSON, the file
//! with the targets; then words: only rows that contain one of them.

mod counts;
mod derive;
mod judge;
mod measure;
mod plan;
mod table;

use lucet_bench_peers::Worker;
use measure::{Measured, NOISY};
use plan::{Entry, Kind};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use table::Line;

fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
        let _ = std::io::stderr().flush();
    }
}

/// The checksums of all kernels are the same in all engines; else the times mean nothing.
fn compare_checksums(workers: &mut BTreeMap<&'static str, Worker>) -> Result<(), String> {
    for kernel in plan::KERNELS {
        let mut seen = BTreeMap::new();
        for (name, worker) in workers.iter_mut() {
            if let Some(sum) = worker.run(&format!("checksum {kernel}"), 7)? {
                seen.insert(*name, sum.value);
            }
        }
        let mut sums = seen.values();
        let first = sums.next();
        if sums.any(|s| Some(s) != first) || seen.len() < 5 {
            return Err(format!("checksums of kernel {kernel} differ: {seen:?}"));
        }
    }
    Ok(())
}

/// Measures all entries; those that were disturbed, again.
fn measure_all(dir: &str, entries: &[Entry]) -> Result<BTreeMap<String, Measured>, String> {
    let mut all: BTreeMap<String, Measured> = BTreeMap::new();
    for pass in 1..=3 {
        let again = |e: &&Entry| all.get(&e.name).is_none_or(|m| m.spread() > NOISY);
        let wanted: Vec<&Entry> = entries.iter().filter(again).collect();
        if wanted.is_empty() {
            break;
        }
        progress("starting the workers");
        let mut workers = plan::start(dir)?;
        if pass == 1 {
            compare_checksums(&mut workers)?;
        }
        for (i, entry) in wanted.iter().enumerate() {
            progress(&format!("pass {pass}, {} of {}: {}", i + 1, wanted.len(), entry.name));
            let measured = measure::measure(&mut workers, entry)?;
            let better = |old: &Measured| measured.spread() < old.spread();
            if all.get(&entry.name).is_none_or(better) {
                all.insert(entry.name.clone(), measured);
            }
        }
    }
    progress("");
    Ok(all)
}

fn lines(entries: &[Entry], all: &BTreeMap<String, Measured>) -> Vec<Line> {
    let mut lines = Vec::new();
    for entry in entries {
        let Some(measured) = all.get(&entry.name) else { continue };
        let Some(((_, own), peers)) = measured.0.split_first() else { continue };
        let unit = if let Kind::Number(unit) = entry.kind { unit } else { "ns" };
        lines.push(Line {
            name: entry.name.clone(),
            unit: unit.into(),
            lucet: own.median(),
            peers: peers.iter().map(|(l, s)| ((*l).into(), s.median())).collect(),
            spread: own.spread(),
            setting: entry.setting.into(),
            spreads: peers.iter().map(|(l, s)| ((*l).into(), s.spread())).collect(),
        });
    }
    lines
}

fn write(path: &str, lines: &[Line]) -> Result<(), String> {
    let rows: Result<Vec<String>, _> = lines.iter().map(serde_json::to_string).collect();
    let text = format!("[\n  {}\n]\n", rows.map_err(|e| e.to_string())?.join(",\n  "));
    std::fs::write(path, text).map_err(|e| format!("{path}: {e}"))
}

/// Megabytes that the large artifact is larger than the small one.
fn megabytes(dir: &str) -> Result<f64, String> {
    let size = |name: &str| {
        let path = format!("{dir}/{name}");
        std::fs::metadata(&path).map(|m| m.len() as f64).map_err(|e| format!("{path}: {e}"))
    };
    Ok((size("large.so")? - size("hot.so")?) / 1e6)
}

fn count_lines(dir: &str) -> Result<Vec<Line>, String> {
    progress("counting");
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let file = |name: &str| format!("{dir}/{name}");
    let hot = ["hot", "hot.so", "pages.so", "data.so"].map(file);
    let mut wasmtime = vec![own.with_file_name("wasmtime").to_string_lossy().into_owned()];
    wasmtime.push("resident".into());
    wasmtime.extend(["hot.wasm", "pages.wasm", "data.wasm", "kernels.wasm"].map(file));
    let lines = counts::lines(dir, &hot, &wasmtime);
    progress("");
    lines
}

fn run() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, targets, words @ ..] = arguments.as_slice() else {
        return Err("usage: bench DIRECTORY targets.toml [WORD...]".into());
    };
    let mut promises = judge::read(targets)?;
    let mut entries = plan::entries();
    entries.retain(|e| words.is_empty() || words.iter().any(|w| e.name.contains(w)));
    let all = measure_all(dir, &entries)?;
    let mut lines = lines(&entries, &all);
    lines.extend(derive::lines(&all, megabytes(dir)?));
    let mut counted = Ok(());
    if words.is_empty() {
        // A tool that fails here must not cost the minutes before.
        counted = count_lines(dir).map(|counts| lines.extend(counts));
        write(&format!("{dir}/hot-paths.json"), &lines)?;
    }
    // The density bench takes long and runs by itself; what it wrote last belongs to the table.
    let density = format!("{dir}/density.json");
    if let Ok(text) = std::fs::read_to_string(&density) {
        let rows: Vec<Line> = serde_json::from_str(&text).map_err(|e| format!("{density}: {e}"))?;
        lines.extend(rows);
    }
    if !words.is_empty() {
        promises.retain(|p| p.check.iter().all(|c| lines.iter().any(|l| l.name == c.row)));
    }
    table::print(&lines);
    table::print_verdicts(&promises, &lines);
    if words.is_empty() {
        println!("written: {dir}/hot-paths.json");
    }
    counted
}

fn main() {
    if let Err(e) = run() {
        eprintln!("bench: {e}");
        std::process::exit(1);
    }
}
