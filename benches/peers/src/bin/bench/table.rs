//! Lines of the result: as JSON and as a table.

use crate::judge::{Promise, Verdict};
use crate::measure::NOISY;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One row, in the form in which every bench writes it to `target/bench/*.json`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Line {
    #[serde(rename = "row")]
    pub name: String,
    pub unit: String,
    pub lucet: f64,
    pub peers: BTreeMap<String, f64>,
    pub spread: f64,
    #[serde(default)]
    pub setting: String,
    /// Spreads of the peers.
    #[serde(default)]
    pub spreads: BTreeMap<String, f64>,
}

/// How often ours goes into a peer's.
pub struct Ratio {
    pub value: f64,
    pub noisy: bool,
}

impl Line {
    pub fn noisy(&self) -> bool {
        self.spread > NOISY
    }

    /// The best peer whose name begins so.
    pub fn best(&self, prefix: &str) -> Option<(&str, f64)> {
        let of = self.peers.iter().filter(|(name, _)| name.starts_with(prefix));
        of.map(|(name, v)| (name.as_str(), *v)).min_by(|a, b| a.1.total_cmp(&b.1))
    }

    pub fn ratio(&self, prefix: &str) -> Option<Ratio> {
        let (name, best) = self.best(prefix)?;
        let spread = self.spreads.get(name).copied().unwrap_or(0.0);
        Some(Ratio { value: best / self.lucet, noisy: self.noisy() || spread > NOISY })
    }
}

/// A number with its unit, so that a person can read it.
fn shown(value: f64, unit: &str) -> String {
    match unit {
        "ns" if value >= 1e6 => format!("{:.2} ms", value / 1e6),
        "ns" if value >= 1e3 => format!("{:.2} µs", value / 1e3),
        "ns" if value >= 100.0 => format!("{value:.0} ns"),
        "ns" => format!("{value:.1} ns"),
        "bytes" => format!("{:.1} KiB", value / 1024.0),
        _ if value >= 1e5 => format!("{value:.0} {unit}").trim().to_owned(),
        _ => format!("{value:.2} {unit}").trim().to_owned(),
    }
}

fn beside(line: &Line, prefix: &str) -> (String, String) {
    let Some((_, value)) = line.best(prefix) else { return (String::new(), String::new()) };
    let ratio = match line.ratio(prefix) {
        // Of ratios and percentages none is taken.
        _ if !["ns", "bytes"].contains(&line.unit.as_str()) => String::new(),
        Some(r) if r.noisy => "noisy".to_owned(),
        Some(r) if r.value >= 10.0 => format!("{:.0}x", r.value),
        Some(r) => format!("{:.2}x", r.value),
        None => String::new(),
    };
    (shown(value, &line.unit), ratio)
}

pub fn print(lines: &[Line]) {
    println!(
        "{:<50} {:>11} {:>6}  {:>11} {:>7}  {:>11} {:>7}",
        "row", "lucet", "spread", "wasmtime", "ratio", "wasm2c", "ratio"
    );
    for line in lines {
        let (wasmtime, first) = beside(line, "wasmtime");
        let (wasm2c, second) = beside(line, "wasm2c");
        println!(
            "{:<50} {:>11} {:>5.0}%  {wasmtime:>11} {first:>7}  {wasm2c:>11} {second:>7}",
            line.name,
            shown(line.lucet, &line.unit),
            line.spread * 100.0,
        );
    }
}

/// The verdicts, one line per promise, and how many are met.
pub fn print_verdicts(promises: &[Promise], lines: &[Line]) {
    println!("\n{:<13} promise", "verdict");
    let mut counts = BTreeMap::new();
    for p in promises {
        let verdict = p.verdict(lines);
        *counts.entry(verdict).or_insert(0) += 1;
        println!("{:<13} {}", verdict.word(), p.text);
        for c in p.check.iter().filter(|_| verdict != Verdict::Met) {
            let line = lines.iter().find(|l| l.name == c.row);
            let got = line.map_or("nothing".to_owned(), |l| match &c.than {
                Some(than) => l.ratio(than).map_or(String::new(), |r| format!("{:.2}x", r.value)),
                None => shown(l.lucet, &l.unit),
            });
            println!("{:<13}   {}: {} wanted, {got} measured", "", c.row, c.bound());
        }
    }
    let of = |v| counts.get(&v).copied().unwrap_or(0);
    println!(
        "\n{} of {} targets met ({} missed, {} too noisy to say, {} not measured)",
        of(Verdict::Met),
        promises.len(),
        of(Verdict::Missed),
        of(Verdict::Noisy),
        of(Verdict::NotMeasured)
    );
}
