//! Rows that follow from others: rates, geometric means over the kernels, the worst of several.

use crate::measure::{Measured, Samples};
use crate::plan::KERNELS;
use crate::table::Line;
use std::collections::BTreeMap;

type All = BTreeMap<String, Measured>;

fn line(name: &str, unit: &str, lucet: f64, spread: f64, setting: &str) -> Line {
    let (peers, spreads) = (BTreeMap::new(), BTreeMap::new());
    let (name, unit, setting) = (name.into(), unit.into(), setting.into());
    Line { name, unit, lucet, peers, spread, setting, spreads }
}

impl Line {
    fn peer(mut self, label: &str, value: Option<f64>) -> Self {
        if let Some(v) = value {
            self.peers.insert(label.into(), v);
        }
        self
    }
}

/// Round by round, `above` over `below` in an entry.
fn ratio(all: &All, entry: &str, above: &str, below: &str) -> Option<Samples> {
    let m = all.get(entry)?;
    Some(m.get(above)?.over(m.get(below)?))
}

/// Geometric mean over the kernels of `above` over `below`; and the median of their spreads.
fn geomean(all: &All, above: &str, below: &str) -> Option<(f64, f64)> {
    let mut sum = 0.0;
    let mut spreads = Vec::new();
    for kernel in KERNELS {
        let r = ratio(all, &format!("kernel {kernel}"), above, below)?;
        sum += r.median().ln();
        spreads.push(r.spread());
    }
    spreads.sort_by(f64::total_cmp);
    let spread = spreads.get(spreads.len() / 2).copied().unwrap_or(0.0);
    Some(((sum / KERNELS.len() as f64).exp(), spread))
}

fn value(all: &All, entry: &str, label: &str) -> Option<f64> {
    all.get(entry)?.get(label).map(Samples::median)
}

/// The worst of several rows, for lucet and for those peers that have all of them.
fn worst(all: &All, name: &str, rows: &[&str]) -> Option<Line> {
    let mut result = line(name, "ns", 0.0, 0.0, "without the fresh instance");
    for row in rows {
        let own = all.get(*row)?.get("lucet")?;
        if own.median() > result.lucet {
            (result.lucet, result.spread) = (own.median(), own.spread());
        }
    }
    for label in ["wasmtime", "wasmtime no-signals", "wasm2c"] {
        let of: Option<Vec<f64>> = rows.iter().map(|row| value(all, row, label)).collect();
        result = result.peer(label, of.map(|v| v.into_iter().fold(0.0, f64::max)));
    }
    Some(result)
}

fn kernels(all: &All) -> Vec<Line> {
    let percent =
        |over: &str, under: &str| geomean(all, over, under).map(|(m, s)| ((m - 1.0) * 100.0, s));
    let mut lines = Vec::new();
    if let Some((own, spread)) = percent("time limit", "lucet") {
        let name = "slow-down by a time limit, 12 kernels";
        let fuel = percent("wasmtime fuel", "wasmtime").map(|v| v.0);
        let epochs = percent("wasmtime epochs", "wasmtime").map(|v| v.0);
        let l = line(name, "%", own, spread, "geometric mean; epochs, fuel at the peers");
        lines.push(l.peer("wasmtime epochs", epochs).peer("wasmtime fuel", fuel));
    }
    for (name, above, below) in [
        ("compiled code ÷ Wasmtime's, 12 kernels", "lucet", "wasmtime"),
        ("with a time limit ÷ Wasmtime's with epochs", "time limit", "wasmtime epochs"),
        ("compiled code ÷ wasm2c's with guard pages", "lucet", "wasm2c"),
        ("compiled code ÷ native (clang -O2)", "lucet", "native"),
        ("Wasmtime's code ÷ native (clang -O2)", "wasmtime", "native"),
    ] {
        if let Some((own, spread)) = geomean(all, above, below) {
            lines.push(line(name, "", own, spread, "geometric mean of 12 kernels"));
        }
    }
    lines
}

fn artifacts(all: &All, megabytes: f64) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(r) = ratio(all, "compile large.wasm", "wasmtime", "lucet") {
        let name = "compile throughput ÷ Wasmtime's";
        lines.push(line(name, "", r.median(), r.spread(), "large.wasm, one thread"));
    }
    if let Some(r) = ratio(all, "size of large.wasm", "lucet", "wasmtime") {
        lines.push(line("artifact size ÷ Wasmtime's", "", r.median(), 0.0, "large.wasm"));
    }
    let small = all.get("load hot.wasm").and_then(|m| m.get("lucet"));
    let large = all.get("load large.wasm").and_then(|m| m.get("lucet"));
    if let (Some(small), Some(large)) = (small, large) {
        let setting = "private copy, hash, contract";
        lines.push(line("load: a small artifact", "ns", small.median(), small.spread(), setting));
        let slope = (large.median() - small.median()) / 1e6 / megabytes;
        lines.push(line("load: each further MB", "ms/MB", slope, large.spread(), setting));
    }
    lines
}

/// All of them. `megabytes` is what a large artifact is larger than a small one.
pub fn lines(all: &All, megabytes: f64) -> Vec<Line> {
    let mut lines = Vec::new();
    let fresh = "fresh instance, 1 page";
    if let Some(own) = all.get(fresh).and_then(|m| m.get("lucet")) {
        let rate = |ns: f64| 1e3 / ns;
        let name = "fresh instances per second";
        let l = line(name, "million", rate(own.median()), own.spread(), "one thread");
        lines.push(l);
    }
    for (name, entry) in [
        ("two threads ÷ two processes", "two threads, two processes"),
        ("wasmtime: two threads ÷ two processes", "wasmtime's two threads, two processes"),
        ("wasm2c: two threads ÷ two processes", "wasm2c's two threads, two processes"),
    ] {
        if let Some(r) = ratio(all, entry, "processes", "threads") {
            lines.push(line(name, "", r.median(), r.spread(), "rate of fresh instances"));
        }
    }
    if let Some(r) = ratio(all, "through a reference, directly", "through", "directly") {
        let name = "fresh instance through a reference ÷ directly";
        lines.push(line(name, "", r.median(), r.spread(), "time of a request"));
    }
    let plain = ["trap: unreachable", "trap: division", "trap: indirect call"];
    lines.extend(worst(all, "trap: worst of the three without a signal", &plain));
    let signal = ["trap: memory out of bounds", "trap: stack overflow, 16 KiB stack"];
    lines.extend(worst(all, "trap: worst of the two with a signal", &signal));
    lines.extend(kernels(all));
    lines.extend(artifacts(all, megabytes));
    lines
}
