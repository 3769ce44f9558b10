//! Rows that lucet's C interface does not offer: each way of resetting by itself, compiling, and
//! ten thousand different modules. The arguments are wasm files.

use lucet::{
    HostCode, Imports, Instance, Module, ModuleConfig, Outcome, Region, RegionConfig, Rung,
};
use lucet_bench_peers::{Row, process_time, serve, time};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

const MODULES: usize = 10_000;
const SLOTS: u32 = 1_000;
const REQUESTS: usize = 200_000;

extern "C" fn host(_: *const lucet::Control, _: usize, v: i32) -> i32 {
    v + 1
}

fn config() -> lucet::Result<ModuleConfig> {
    let mut imports = Imports::new();
    let ty = lucet::parse_signature("(i32) -> i32")?;
    for name in ["host", "yield"] {
        // SAFETY: it is a C function of this type and lives as long as the program.
        let code = unsafe { HostCode::new((host as *const ()).cast()) };
        imports.add("env", name, ty.clone(), code, 0)?;
    }
    Ok(ModuleConfig { imports, allow_unsigned: true, ..ModuleConfig::default() })
}

fn compile(wasm: &[u8]) -> Vec<u8> {
    lucetc::compile(wasm, &lucetc::Options { threads: 1, ..lucetc::Options::default() })
        .unwrap_or_else(|e| panic!("{e}"))
}

/// A request: fresh instance, call, drop.
fn request(region: &Arc<Region>, module: &Arc<Module>, f: lucet::Func) {
    let i = Instance::new(region, module).expect("a slot is free");
    let outcome = i.run_func(f, &[]).expect("it runs");
    assert!(matches!(outcome, Outcome::Returned(_)), "{outcome:?}");
}

fn reset_rows(rows: &mut Vec<Row>, wasm: &[u8]) -> lucet::Result<()> {
    let module = Module::load_bytes(&compile(wasm), &config()?)?;
    let rungs = [
        ("first touch", Rung::FirstTouch),
        ("page-map scan", Rung::PagemapScan),
        ("copy-and-clear", Rung::CopyAndClear),
        ("decommit", Rung::Decommit),
    ];
    for (name, rung) in rungs {
        // A kernel without it has no such row.
        let config = RegionConfig { reset: Some(rung), ..RegionConfig::default() };
        let Ok(region) = Region::new(config) else { continue };
        let (module, touch) = (module.clone(), module.find("touch", None)?);
        let run = move |n| time(|| (0..n).for_each(|_| request(&region, &module, touch)));
        rows.push((format!("fresh instance, 1 page, {name}"), Box::new(run)));
    }
    Ok(())
}

fn compile_rows(rows: &mut Vec<Row>, name: &str, wasm: Vec<u8>) {
    let run = move |n| process_time(|| (0..n).for_each(|_| drop(compile(&wasm))));
    rows.push((format!("compile {name}"), Box::new(run)));
}

/// A line of /proc/self/FILE that begins with `key`, in KiB.
fn proc_kib(file: &str, key: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or("0");
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0)
}

fn mappings() -> f64 {
    std::fs::read_to_string("/proc/self/maps").unwrap_or_default().lines().count() as f64
}

/// Which module a request is for: Zipf's law with exponent 1, by inverting the running sum.
struct Zipf {
    sums: Vec<f64>,
    state: u64,
}

impl Zipf {
    fn new() -> Self {
        let mut sum = 0.0;
        let sums = (1..=MODULES).map(|k| {
            sum += 1.0 / k as f64;
            sum
        });
        Self { sums: sums.collect(), state: 1 }
    }

    fn next(&mut self) -> usize {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let unit = (self.state >> 11) as f64 / (1u64 << 53) as f64;
        let at = unit * self.sums.last().copied().unwrap_or(1.0);
        self.sums.partition_point(|s| *s < at).min(MODULES - 1)
    }
}

/// What ten thousand modules cost when loaded, and what requests for them do.
#[derive(Default)]
struct Many {
    mappings: f64,
    kib: f64,
    cold_p50: f64,
    cold_p99: f64,
    all_p50: f64,
}

/// One of many modules: each differs in code and data, as plugins of different customers do.
fn customer(i: usize, config: &ModuleConfig) -> lucet::Result<(Arc<Module>, lucet::Func)> {
    let text = format!(
        r#"(module (memory (export "memory") 1) (data (i32.const 64) "customer {i}")
          (func (export "touch") (i32.store (i32.const 100) (i32.const {i}))))"#
    );
    let module = Module::load_bytes(&compile(text.as_bytes()), config)?;
    let touch = module.find("touch", None)?;
    Ok((module, touch))
}

/// Few modules in turns, in a region with many slots.
fn turns_row(rows: &mut Vec<Row>) -> lucet::Result<()> {
    let config = config()?;
    let modules = (0..10).map(|i| customer(i, &config)).collect::<lucet::Result<Vec<_>>>()?;
    let region = Region::new(RegionConfig { slots: SLOTS, ..RegionConfig::default() })?;
    let run = move |n: u64| {
        let mut turn = modules.iter().cycle();
        time(|| {
            for (module, touch) in turn.by_ref().take(n as usize) {
                request(&region, module, *touch);
            }
        })
    };
    rows.push(("10 modules in turns".into(), Box::new(run)));
    Ok(())
}

fn many() -> lucet::Result<Many> {
    let config = config()?;
    let (maps_before, kib_before) = (mappings(), proc_kib("status", "RssAnon:"));
    let mut modules = Vec::with_capacity(MODULES);
    for i in 0..MODULES {
        modules.push(customer(i, &config)?);
    }
    let each = MODULES as f64;
    let mut result = Many {
        mappings: (mappings() - maps_before) / each,
        kib: (proc_kib("status", "RssAnon:") - kib_before) / each,
        ..Many::default()
    };
    let region = Region::new(RegionConfig { slots: SLOTS, ..RegionConfig::default() })?;
    let mut zipf = Zipf::new();
    // Cold: not among the modules that as many requests as there are slots have asked for.
    let mut recent: VecDeque<usize> = VecDeque::new();
    let mut among: HashMap<usize, u32> = HashMap::new();
    let (mut cold, mut all) = (Vec::new(), Vec::new());
    for n in 0..REQUESTS {
        let which = zipf.next();
        let (module, touch) = &modules[which];
        let begin = Instant::now();
        request(&region, module, *touch);
        let t = begin.elapsed().as_nanos() as f64;
        if n > REQUESTS / 10 {
            all.push(t);
            if !among.contains_key(&which) {
                cold.push(t);
            }
        }
        recent.push_back(which);
        *among.entry(which).or_default() += 1;
        if recent.len() > SLOTS as usize
            && let Some(old) = recent.pop_front()
            && let Some(left) = among.get_mut(&old)
        {
            *left -= 1;
            if *left == 0 {
                among.remove(&old);
            }
        }
    }
    let at = |v: &mut Vec<f64>, place: f64| {
        v.sort_by(f64::total_cmp);
        v.get((v.len() as f64 * place) as usize).copied().unwrap_or(0.0)
    };
    result.cold_p50 = at(&mut cold, 0.5);
    result.cold_p99 = at(&mut cold, 0.99);
    result.all_p50 = at(&mut all, 0.5);
    Ok(result)
}

/// Measured once, when first asked for: it takes a while. The answers are no times but for the
/// last three, so each is multiplied by what the asker divides by.
fn many_rows(rows: &mut Vec<Row>) {
    let once = Arc::new(std::sync::OnceLock::new());
    let parts: [(&str, fn(&Many) -> f64); 5] = [
        ("10,000 modules: mappings each", |m| m.mappings),
        ("10,000 modules: KiB each", |m| m.kib),
        ("10,000 modules: cold request, p50", |m| m.cold_p50),
        ("10,000 modules: cold request, p99", |m| m.cold_p99),
        ("10,000 modules: request, p50", |m| m.all_p50),
    ];
    for (name, part) in parts {
        let once = once.clone();
        let run = move |n: u64| {
            n as f64 * part(once.get_or_init(|| many().unwrap_or_else(|e| panic!("{e}"))))
        };
        rows.push((name.into(), Box::new(run)));
    }
}

fn main() -> Result<(), String> {
    let mut rows = Vec::new();
    for path in std::env::args().skip(1).filter(|a| a != "--serve") {
        let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
        let wasm = std::fs::read(&path).map_err(|e| format!("{path}: {e}"))?;
        if name == "hot.wasm" {
            reset_rows(&mut rows, &wasm).map_err(|e| e.to_string())?;
        }
        compile_rows(&mut rows, &name, wasm);
    }
    turns_row(&mut rows).map_err(|e| e.to_string())?;
    many_rows(&mut rows);
    serve(rows).map_err(|e| e.to_string())
}
