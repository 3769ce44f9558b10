//! Counts beside times: they are the same on a busy machine and on a quiet one. System calls by
//! strace, page faults from /proc, instructions by callgrind; each as the difference between a
//! short run and a longer one, so that what a process does once does not count.

use crate::table::Line;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

const ROW: &str = "fresh instance, 1 page, time limit";
const SHORT: u64 = 1_000;
const LONG: u64 = 101_000;

/// Runs a worker for one request below another program. `Err` says what is missing.
fn below(tool: &[&str], worker: &[String], request: &str) -> Result<String, String> {
    let (program, arguments) = tool.split_first().ok_or("no tool")?;
    // Under valgrind there is less room for a region; see workers/hot.c.
    let slots = if program.ends_with("valgrind") { "5" } else { "256" };
    let mut child = Command::new(program)
        .args(arguments)
        .env("HOT_SLOTS", slots)
        .args(worker)
        .arg("--serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{program}: {e}"))?;
    if let Some(mut to) = child.stdin.take() {
        writeln!(to, "{request}").map_err(|e| e.to_string())?;
    }
    let out = child.wait_with_output().map_err(|e| e.to_string())?;
    if !out.status.success() {
        return Err(format!("{program}: {}", String::from_utf8_lossy(&out.stderr)));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr))
}

fn system_calls(dir: &str, worker: &[String], row: &str) -> Result<f64, String> {
    let file = format!("{dir}/strace.txt");
    let mut totals = Vec::new();
    for n in [SHORT, LONG] {
        below(&["strace", "-f", "-c", "-o", &file], worker, &format!("{n} {row}"))?;
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?;
        let total = text.lines().find(|l| l.trim_end().ends_with(" total"));
        // "100.00    0.012345           1      1234        56 total": the errors may be missing.
        let calls = total.and_then(|l| l.split_whitespace().nth(3)?.parse::<f64>().ok());
        totals.push(calls.ok_or_else(|| format!("{file}: no total"))?);
    }
    // Whatever a process does now and then, such as a watchdog's, is not of an instance.
    Ok(((totals[1] - totals[0]) / (LONG - SHORT) as f64 * 1e3).round() / 1e3)
}

fn instructions(dir: &str, worker: &[String], row: &str) -> Result<f64, String> {
    let out = format!("--callgrind-out-file={dir}/callgrind.out");
    let mut totals = Vec::new();
    for n in [1_000, 3_000] {
        let text = below(&["valgrind", "--tool=callgrind", &out], worker, &format!("{n} {row}"))?;
        let count = text.lines().find_map(|l| l.split("Collected : ").nth(1));
        let count = count.and_then(|c| c.trim().parse::<f64>().ok());
        totals.push(count.ok_or_else(|| format!("callgrind: {text}"))?);
    }
    Ok((totals[1] - totals[0]) / 2_000.0)
}

fn page_faults(worker: &[String]) -> Result<f64, String> {
    let row = format!("{LONG} count: page faults, fresh instance");
    let text = below(&["env"], worker, &row)?;
    let faults: f64 = text.trim().parse().map_err(|_| format!("not a number: {text}"))?;
    Ok((faults / LONG as f64 * 1e3).round() / 1e3)
}

fn line(name: String, unit: &str, lucet: f64, setting: &str) -> Line {
    let (peers, spreads) = (BTreeMap::new(), BTreeMap::new());
    let (unit, setting) = (unit.into(), setting.into());
    Line { name, unit, lucet, peers, spread: 0.0, setting, spreads }
}

/// `hot` and `wasmtime` are the command lines of workers.
pub fn lines(dir: &str, hot: &[String], wasmtime: &[String]) -> Result<Vec<Line>, String> {
    let calls = system_calls(dir, hot, ROW)?;
    let theirs = system_calls(dir, wasmtime, "fresh instance, 1 page")?;
    let faults = page_faults(hot)?;
    let mut all = vec![
        line("system calls per fresh instance".into(), "", calls, "strace -f -c"),
        line("page faults per fresh instance".into(), "", faults, "getrusage"),
    ];
    if let Some(first) = all.first_mut() {
        first.peers.insert("wasmtime".into(), theirs);
    }
    let name = "system calls and page faults per fresh instance";
    all.push(line(name.into(), "", calls + faults, "time limit set"));
    for row in [
        "fresh instance, 1 page",
        "fresh instance, 1 page, time limit",
        "fresh instance, 1 page, through a reference",
        "call, pre-resolved",
        "call by name",
        "host function call",
        "yield and resume",
        "trap: unreachable",
    ] {
        let n = instructions(dir, hot, row)?;
        all.push(line(format!("instructions: {row}"), "", n, "callgrind, no first touch"));
    }
    Ok(all)
}
