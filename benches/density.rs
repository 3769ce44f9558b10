//! `cargo bench --bench density`: how many instances live at the same time, and what each of them
//! takes of the machine. Counts, not times.
//!
//! Each row is a process of its own, which makes instances of one kind and looks at what the kernel
//! says of it before and after: resident memory, page tables, mappings. Rows go to
//! `target/bench/density.json`. `-- small` makes a hundredth of each.

use lucet::{
    HostCode, Imports, Instance, Module, ModuleConfig, Outcome, Region, RegionConfig, Status, Val,
};
use lucet_artifact::types::MemoryShape;
use std::fmt::Write as _;
use std::sync::Arc;

const GUEST: &str = r#"(module
  (import "env" "wait" (func $wait (result i32)))
  (memory 1 1) (table 16 funcref)
  (func (export "touch") (i32.store (i32.const 100) (i32.const 1)))
  (func (export "wait") (result i32)
    (i32.store (i32.const 100) (i32.const 1)) (call $wait)))"#;

extern "C" fn wait(ctx: *const lucet::Control, _: usize) -> i32 {
    // SAFETY: the thunk calls with the calling instance's control block.
    let ctx = unsafe { lucet::Vmctx::from_raw(ctx) }.expect("called by a guest");
    ctx.yield_value(1, None, 0).expect("not nested");
    0
}

/// What the kernel says of this process.
#[derive(Debug, Clone, Copy)]
struct Look {
    rss: u64,
    tables: u64,
    mappings: u64,
}

fn look() -> Look {
    let text = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let kib = |field: &str| -> u64 {
        let line = text.lines().find(|l| l.starts_with(field)).expect("a field of status");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
    };
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
    Look {
        rss: kib("VmRSS:") << 10,
        tables: kib("VmPTE:") << 10,
        mappings: maps.lines().count() as u64,
    }
}

struct Kind {
    name: &'static str,
    setting: &'static str,
    shape: MemoryShape,
    config: RegionConfig,
    /// Instances to make, 0: until the region is full.
    count: u32,
    export: &'static str,
}

fn kinds(part: u32) -> Vec<Kind> {
    let compact = RegionConfig {
        compact: true,
        max_memory: 64 << 10,
        max_instance_data: 4 << 10,
        stack_bytes: 16 << 10,
        ..RegionConfig::default()
    };
    let guarded = RegionConfig { slots: 21_000 / part, ..RegionConfig::default() };
    let hundred = 100_000 / part;
    let million = 1_000_000 / part;
    vec![
        Kind {
            name: "live instance, guarded",
            setting: "one page touched, not running",
            shape: MemoryShape::Guarded,
            config: guarded,
            count: 21_000 / part,
            export: "touch",
        },
        Kind {
            name: "live instance, compact, suspended",
            setting: "one page touched, in a host call, stack included",
            shape: MemoryShape::Compact,
            config: RegionConfig { slots: hundred, stacks: hundred, ..compact },
            count: hundred,
            export: "wait",
        },
        Kind {
            name: "live instance, compact",
            setting: "one page touched, table of 16 unwritten, not running",
            shape: MemoryShape::Compact,
            config: RegionConfig { slots: million, stacks: 16, ..compact },
            count: million,
            export: "touch",
        },
    ]
}

fn module(shape: MemoryShape) -> Arc<Module> {
    let options = lucetc::Options { memory: shape, ..lucetc::Options::default() };
    let artifact = lucetc::compile(GUEST.as_bytes(), &options).unwrap_or_else(|e| panic!("{e}"));
    let mut imports = Imports::new();
    let ty = lucet::parse_signature("() -> i32").expect("a signature");
    // SAFETY: a C function of this type that lives as long as the program.
    let code = unsafe { HostCode::new((wait as *const ()).cast()) };
    imports.add("env", "wait", ty, code, 0).expect("one name");
    let config = ModuleConfig { imports, allow_unsigned: true, ..ModuleConfig::default() };
    Module::load_bytes(&artifact, &config).unwrap_or_else(|e| panic!("{e}"))
}

/// Makes the instances of one kind; prints a row.
fn measure(kind: &Kind) {
    let m = module(kind.shape);
    // Whatever is made once is there before.
    let warm = Region::new(RegionConfig { slots: 1, stacks: 1, ..kind.config });
    drop(Instance::new(&warm.expect("a region"), &m).expect("an instance"));
    let before = look();
    let region = Region::new(kind.config).unwrap_or_else(|e| panic!("{e}"));
    let find = m.find(kind.export, None).expect("an export");
    let mut all: Vec<Instance> = Vec::with_capacity(kind.count as usize);
    for n in 0..kind.count {
        let i = Instance::new(&region, &m).unwrap_or_else(|e| panic!("instance {n}: {e}"));
        let outcome = i.run_func(find, &[]).unwrap_or_else(|e| panic!("run {n}: {e}"));
        let as_meant = match kind.export {
            "wait" => outcome == Outcome::Yielded(1),
            _ => outcome == Outcome::Returned(Vec::new()),
        };
        assert!(as_meant, "{outcome:?}");
        all.push(i);
    }
    let after = look();
    let full = Instance::new(&region, &m).map_err(|e| e.status());
    assert_eq!(full.err(), Some(Status::RegionFull), "one more is a status");
    let each = |a: u64, b: u64| a.saturating_sub(b) as f64 / f64::from(kind.count) / 1024.0;
    let (rss, tables) = (each(after.rss, before.rss), each(after.tables, before.tables));
    let mappings = after.mappings - before.mappings;
    if kind.export == "wait" {
        for i in &all {
            let done = i.resume(7).expect("it resumes");
            assert_eq!(done, Outcome::Returned(vec![Val::I32(7)]));
        }
    }
    println!("{} {rss:.3} {tables:.3} {mappings}", kind.count);
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let known = |a: &str| a == "small" || a == "--bench" || a.starts_with("row=");
    if let Some(wrong) = args.iter().find(|a| !known(a)) {
        eprintln!("density: unknown argument `{wrong}`; `small` makes a hundredth of each row");
        std::process::exit(2);
    }
    let part = if args.iter().any(|a| a == "small") { 100 } else { 1 };
    let kinds = kinds(part);
    if let Some(n) = args.iter().find_map(|a| a.strip_prefix("row=")) {
        let n: usize = n.parse().expect("a row's number");
        measure(kinds.get(n).expect("a row"));
        return;
    }
    println!("{:<36} {:>9} {:>10} {:>10} {:>9}", "row", "count", "KiB each", "tables", "mappings");
    let mut json = String::from("[\n");
    for (n, kind) in kinds.iter().enumerate() {
        let mut child = std::process::Command::new(std::env::current_exe().expect("a name"));
        if part > 1 {
            child.arg("small");
        }
        let out = child.arg(format!("row={n}")).output().expect("a child process");
        let text = String::from_utf8_lossy(&out.stdout);
        let fields: Vec<f64> = text.split_whitespace().filter_map(|f| f.parse().ok()).collect();
        let [count, rss, tables, mappings] = fields[..] else {
            panic!("{}: {}\n{}", kind.name, out.status, String::from_utf8_lossy(&out.stderr));
        };
        let sum = rss + tables;
        println!("{:<36} {count:>9} {sum:>10.2} {tables:>10.3} {mappings:>9}", kind.name);
        let comma = if n + 1 < kinds.len() { "," } else { "" };
        let _ = writeln!(
            json,
            "  {{\"row\": \"{}\", \"unit\": \"KiB\", \"lucet\": {sum:.2}, \"peers\": {{}}, \
             \"spread\": 0.0, \"setting\": \"{} of them, {}; {tables:.3} KiB of page tables, \
             {mappings} mappings in all\"}}{comma}",
            kind.name, count, kind.setting
        );
    }
    json.push_str("]\n");
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    let file = dir.join("density.json");
    std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(&file, json)).unwrap_or_else(|e| {
        panic!("{}: {e}", file.display());
    });
    println!("written to {}", file.display());
}
