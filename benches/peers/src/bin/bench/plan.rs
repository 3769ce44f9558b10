//! What is measured: which workers there are, and which of them have a part in which row.

use lucet_bench_peers::Worker;
use std::collections::BTreeMap;

/// The twelve of `guests/kernels.c`.
pub const KERNELS: [&str; 12] = [
    "fib",
    "sieve",
    "matmul",
    "nbody",
    "mandelbrot",
    "sha256",
    "crc32",
    "quicksort",
    "scan",
    "hash",
    "base64",
    "tokens",
];

/// One of those that are measured side by side.
pub struct Part {
    /// How it is called in the table; lucet's own is the first part of an entry.
    pub label: &'static str,
    pub worker: &'static str,
    pub row: String,
}

/// What the numbers of an entry are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nanoseconds per operation, many rounds.
    Time,
    /// As [`Kind::Time`], but always this many operations per round: percentiles.
    Fixed(u64),
    /// As [`Kind::Time`], of two at the same time: rounds in which one lost its processor do not
    /// count, so that more of them are needed.
    Pair,
    /// A number that is no time, asked for once.
    Number(&'static str),
}

/// Things measured side by side: rounds of all parts in turns.
pub struct Entry {
    pub name: String,
    pub kind: Kind,
    pub parts: Vec<Part>,
    pub setting: &'static str,
}

fn entry(name: &str, kind: Kind, setting: &'static str) -> Entry {
    Entry { name: name.into(), kind, parts: Vec::new(), setting }
}

impl Entry {
    fn with(mut self, label: &'static str, worker: &'static str, row: &str) -> Self {
        self.parts.push(Part { label, worker, row: row.into() });
        self
    }
}

const FRESH: [&str; 5] = [
    "fresh instance, 1 page",
    "fresh instance, 1 page, time limit",
    "fresh instance, grows by a page",
    "fresh instance, 64 pages",
    "fresh instance, 60 KiB of data",
];
const RUNGS: [&str; 4] = ["first touch", "copy-and-clear", "page-map scan", "decommit"];
const CALLS: [&str; 6] = [
    "call, pre-resolved",
    "call, pre-resolved, time limit",
    "call, two arguments and a result",
    "call by name",
    "host function call",
    "yield and resume",
];
const TRAPS: [&str; 8] = [
    "trap: unreachable",
    "trap: division",
    "trap: indirect call",
    "trap: memory out of bounds",
    "trap: stack overflow, 16 KiB stack",
    "fresh instance, trap: unreachable",
    "fresh instance, trap: memory out of bounds",
    "fresh instance, trap: stack overflow, 256 KiB",
];
const FLOORS: [&str; 3] = ["floor: memcpy 64 KiB", "floor: getppid", "floor: empty loop"];

/// Ours through the C interface, and the peers that have the same row.
fn beside(name: &str, peers: &[(&'static str, &'static str)]) -> Entry {
    let mut e = entry(name, Kind::Time, "C interface").with("lucet", "hot", name);
    // The time limit is a matter of ours; the peers are what they are.
    let same = name.strip_suffix(", time limit").unwrap_or(name);
    for (label, worker) in peers {
        e = e.with(label, worker, same);
    }
    e
}

/// Everything, in the order of the table.
pub fn entries() -> Vec<Entry> {
    let pooling = [("wasmtime", "resident"), ("wasmtime scan", "scan")];
    let fresh =
        [pooling[0], pooling[1], ("wasmtime default", "default"), ("wasm2c calloc", "calloc")];
    let calls = [("wasmtime", "resident"), ("wasm2c", "guard")];
    let traps =
        [("wasmtime", "resident"), ("wasmtime no-signals", "no-signals"), ("wasm2c", "guard")];
    let mut all: Vec<Entry> = FRESH.iter().map(|name| beside(name, &fresh)).collect();
    for rung in RUNGS {
        let name = format!("fresh instance, 1 page, {rung}");
        let e = entry(&name, Kind::Time, "Rust interface, rung forced");
        all.push(e.with("lucet", "inside", &name).with("wasmtime", "resident", FRESH[0]));
    }
    let through = "fresh instance, 1 page, through a reference";
    let e = entry("through a reference, directly", Kind::Time, "C interface");
    all.push(e.with("through", "hot", through).with("directly", "hot", FRESH[0]));
    let (threads, processes) = ("fresh instance, two threads", "fresh instance, two processes");
    for (name, worker) in [
        ("two threads, two processes", "hot"),
        ("wasmtime's two threads, two processes", "resident"),
        ("wasm2c's two threads, two processes", "calloc"),
    ] {
        let e = entry(name, Kind::Pair, "per instance, both together");
        all.push(e.with("threads", worker, threads).with("processes", worker, processes));
    }
    all.extend(CALLS.iter().map(|name| beside(name, &calls)));
    all.extend(TRAPS.iter().map(|name| beside(name, &traps)));
    for name in ["terminate, p50", "terminate, p99", "terminate in memory.fill of 2 GiB, p99"] {
        let e = entry(name, Kind::Fixed(300), "300 terminations a round");
        all.push(e.with("lucet", "hot", name));
    }
    for kernel in KERNELS {
        let row = format!("kernel {kernel}");
        let e = entry(&row, Kind::Time, "per round of the kernel")
            .with("lucet", "code", &row)
            .with("time limit", "code", &format!("{row}, time limit"))
            .with("wasmtime", "resident", &row)
            .with("wasmtime epochs", "epochs", &row)
            .with("wasmtime fuel", "fuel", &row)
            .with("wasm2c", "guard", &row)
            .with("native", "native", &row);
        all.push(e);
    }
    all.extend(FLOORS.iter().map(|name| beside(name, &[])));
    for row in ["WASI hello, fresh instance", "WASI hello, fresh instance, output captured"] {
        let e = entry(row, Kind::Time, "C interface; context, instance, _start, drop");
        all.push(e.with("lucet", "wasi", row).with("wasmtime", "wasmtime-wasi", row));
    }
    all.extend(artifacts());
    all.extend(many());
    all
}

fn artifacts() -> Vec<Entry> {
    let mut all = Vec::new();
    for module in ["hot.wasm", "large.wasm"] {
        let row = format!("load {module}");
        let e = entry(&row, Kind::Time, "from memory, hash and contract checked");
        all.push(e.with("lucet", "code", &row).with("wasmtime", "resident", &row));
    }
    for module in ["kernels.wasm", "large.wasm"] {
        let row = format!("compile {module}");
        let e = entry(&row, Kind::Time, "one thread");
        all.push(e.with("lucet", "inside", &row).with("wasmtime", "resident", &row));
        let row = format!("size of {module}");
        let e = entry(&row, Kind::Number("bytes"), "artifact, .cwasm");
        all.push(e.with("lucet", "code", &row).with("wasmtime", "resident", &row));
    }
    all
}

fn many() -> Vec<Entry> {
    let row = |name: &str, unit| {
        let e = entry(name, Kind::Number(unit), "1,000 slots, Zipf's law, 200,000 requests");
        e.with("lucet", "inside", name)
    };
    let turns = "10 modules in turns";
    vec![
        entry(turns, Kind::Time, "1,000 slots").with("lucet", "inside", turns),
        row("10,000 modules: mappings each", ""),
        row("10,000 modules: KiB each", "KiB"),
        row("10,000 modules: request, p50", "ns"),
        row("10,000 modules: cold request, p50", "ns"),
        row("10,000 modules: cold request, p99", "ns"),
    ]
}

/// The workers by name.
pub fn start(dir: &str) -> Result<BTreeMap<&'static str, Worker>, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let beside = |name: &str| own.with_file_name(name).to_string_lossy().into_owned();
    let files = |names: &[&str]| names.iter().map(|n| format!("{dir}/{n}")).collect::<Vec<_>>();
    let mut workers = BTreeMap::new();
    let mut add = |name, program: String, arguments: Vec<String>| {
        Worker::start(&program, &arguments).map(|w| workers.insert(name, w))
    };
    add("hot", format!("{dir}/hot"), files(&["hot.so", "pages.so", "data.so"]))?;
    add("code", format!("{dir}/code"), files(&["kernels.so", "hot.so", "large.so"]))?;
    add("native", format!("{dir}/native"), Vec::new())?;
    add("guard", format!("{dir}/wasm2c-guard"), Vec::new())?;
    add("calloc", format!("{dir}/wasm2c-calloc"), Vec::new())?;
    add("inside", beside("inside"), files(&["hot.wasm", "kernels.wasm", "large.wasm"]))?;
    add("wasi", format!("{dir}/wasi"), files(&["hello.so"]))?;
    add("wasmtime-wasi", beside("wasmtime_wasi"), files(&["hello.wasm"]))?;
    for setting in ["resident", "scan", "default", "epochs", "fuel", "no-signals"] {
        let mut arguments = vec![setting.to_owned()];
        arguments.extend(files(&["hot.wasm", "pages.wasm", "data.wasm", "kernels.wasm"]));
        if setting == "resident" {
            arguments.extend(files(&["large.wasm"]));
        }
        add(setting, beside("wasmtime"), arguments)?;
    }
    Ok(workers)
}
