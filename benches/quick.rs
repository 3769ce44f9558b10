//! `make bench-quick`: what the hot paths cost on this machine, in under a minute.
//!
//! Each row is the median of many batches; `spread` is the interquartile range over the median. The
//! floor rows say what the machine itself costs. Results go to `target/bench/quick.json` and, as a
//! table, to standard output. Absolute numbers do not carry over to other machines.

use lucet::{
    HostCode, Imports, Instance, Module, ModuleConfig, Outcome, Region, RegionConfig, Rung, Val,
};
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const GUEST: &str = r#"(module
  (import "env" "host" (func $host (param i32) (result i32)))
  (import "env" "yield" (func $yield (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "empty"))
  (func (export "touch") (i32.store (i32.const 100) (i32.const 1)))
  (func (export "hosts") (param i32)
    (loop $l
      (drop (call $host (i32.const 1)))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "yields") (loop $l (drop (call $yield (i32.const 1))) (br $l)))
  (func (export "unreachable") unreachable)
  (func (export "oob") (drop (i32.load (i32.const -1)))))"#;

/// Exceptions: thrown and caught as often as is asked for, in each way.
const THROWS: &str = r#"(module
  (tag $e (param i32))
  (tag $empty)
  (func $make (result exnref)
    (block $h (result i32 exnref) (try_table (catch_ref $e $h) (throw $e (i32.const 1)))
      (unreachable))
    (return))
  (func $deep (param i32)
    (if (i32.eqz (local.get 0)) (then (throw $empty)))
    (call $deep (i32.sub (local.get 0) (i32.const 1)))
    (call $deep (i32.const -1)))
  (func (export "caught") (param i32)
    (loop $l
      (block $h (result i32) (try_table (catch $e $h) (throw $e (i32.const 1))) (unreachable))
      (drop)
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "referred") (param i32)
    (loop $l
      (drop (call $make))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "rethrown") (param i32) (local exnref)
    (local.set 1 (call $make))
    (loop $l
      (local.set 1 (block $h (result exnref)
        (try_table (catch_all_ref $h) (throw_ref (local.get 1))) (unreachable)))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "deep") (param i32 i32)
    (loop $l
      (block (try_table (catch $empty 0) (call $deep (local.get 0))))
      (br_if $l (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))))"#;

extern "C" fn host(_: *const lucet::Control, _: usize, v: i32) -> i32 {
    v + 1
}

extern "C" fn yields(ctx: *const lucet::Control, _: usize, v: i32) -> i32 {
    // SAFETY: the thunk calls with the calling instance's control block.
    let ctx = unsafe { lucet::Vmctx::from_raw(ctx) }.expect("called by a guest");
    ctx.yield_value(v as u64, None, 0).expect("not nested");
    0
}

struct Row {
    name: &'static str,
    ns: f64,
    spread: f64,
    setting: &'static str,
}

/// Median and spread of the time of one of `n` operations that `f` does.
fn measure(name: &'static str, setting: &'static str, n: u32, mut f: impl FnMut()) -> Option<Row> {
    // `cargo bench --bench quick -- yield` measures the rows with that word only.
    if std::env::args().skip(1).any(|a| !a.starts_with("--") && !name.contains(&a)) {
        return None;
    }
    let mut times: Vec<f64> = (0..61)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_nanos() as f64 / f64::from(n)
        })
        .skip(10)
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |q: usize| times[times.len() * q / 4];
    let ns = at(2);
    Some(Row { name, ns, spread: (at(3) - at(1)) / ns.max(f64::MIN_POSITIVE), setting })
}

fn config() -> ModuleConfig {
    let mut imports = Imports::new();
    let ty = lucet::parse_signature("(i32) -> i32").expect("a signature");
    for (name, f) in [("host", host as *const ()), ("yield", yields as *const ())] {
        // SAFETY: both are C functions of this type and live as long as the program.
        let code = unsafe { HostCode::new(f.cast()) };
        imports.add("env", name, ty.clone(), code, 0).expect("two names");
    }
    ModuleConfig { imports, allow_unsigned: true, ..ModuleConfig::default() }
}

fn rows() -> lucet::Result<Vec<Row>> {
    let artifact = lucetc::compile(GUEST.as_bytes(), &lucetc::Options::default());
    let artifact = artifact.unwrap_or_else(|e| panic!("{e}"));
    let module = Module::load_bytes(&artifact, &config())?;
    let region = Region::new(RegionConfig::default())?;
    let find = |name| module.find(name, None);
    let (touch, empty, hosts) = (find("touch")?, find("empty")?, find("hosts")?);
    let (yields, unreachable, oob) = (find("yields")?, find("unreachable")?, find("oob")?);
    let forced = |rung| Region::new(RegionConfig { reset: Some(rung), ..RegionConfig::default() });
    let (copy, scan) = (forced(Rung::CopyAndClear)?, forced(Rung::PagemapScan)?);
    let decommit = forced(Rung::Decommit)?;
    let best = if region.rung() == Rung::FirstTouch { "first touch" } else { "no first touch" };
    let fresh = |region: &Arc<Region>, f, n: u32| {
        for _ in 0..n {
            let i = Instance::new(region, &module).expect("a slot is free");
            black_box(i.run_func(f, &[]).expect("it runs"));
        }
    };
    let i = Instance::new(&region, &module)?;
    let y = Instance::new(&region, &module)?;
    let yielded = y.run_func(yields, &[])?;
    assert!(matches!(yielded, Outcome::Yielded(1)), "{yielded:?}");
    let mut buffer = vec![0u8; 64 << 10];
    let source = vec![1u8; 64 << 10];
    let rows = [
        measure("fresh instance, 1 page", best, 500, || fresh(&region, touch, 500)),
        measure("fresh instance, 1 page", "copy-and-clear", 500, || fresh(&copy, touch, 500)),
        measure("fresh instance, 1 page", "page-map scan", 500, || fresh(&scan, touch, 500)),
        measure("fresh instance, 1 page", "decommit", 500, || fresh(&decommit, touch, 500)),
        measure("call, pre-resolved", "", 10_000, || {
            for _ in 0..10_000 {
                black_box(i.run_func(empty, &[]).expect("it runs"));
            }
        }),
        measure("call by name", "", 10_000, || {
            for _ in 0..10_000 {
                black_box(i.run("empty", &[]).expect("it runs"));
            }
        }),
        measure("host function call", "", 100_000, || {
            black_box(i.run_func(hosts, &[Val::I32(100_000)]).expect("it runs"));
        }),
        measure("yield and resume", "", 10_000, || {
            for _ in 0..10_000 {
                black_box(y.resume(1).expect("it resumes"));
            }
        }),
        measure("fresh instance, trap unreachable", best, 500, || {
            fresh(&region, unreachable, 500);
        }),
        measure("fresh instance, trap out of bounds", best, 500, || fresh(&region, oob, 500)),
        measure("floor: memcpy 64 KiB", "", 1_000, || {
            for _ in 0..1_000 {
                black_box(&mut buffer).copy_from_slice(black_box(&source));
            }
        }),
        measure("floor: getppid", "", 10_000, || {
            for _ in 0..10_000 {
                black_box(std::os::unix::process::parent_id());
            }
        }),
        measure("floor: empty loop", "", 1_000_000, || {
            for n in 0..1_000_000u32 {
                black_box(n);
            }
        }),
    ];
    Ok(rows.into_iter().flatten().collect())
}

fn exceptions() -> lucet::Result<Vec<Row>> {
    let artifact = lucetc::compile(THROWS.as_bytes(), &lucetc::Options::default());
    let module = Module::load_bytes(&artifact.unwrap_or_else(|e| panic!("{e}")), &config())?;
    let i = Instance::new(&Region::new(RegionConfig::default())?, &module)?;
    let run = |name: &str, args: &[Val]| {
        let ended = i.run(name, args).expect("it runs");
        assert!(matches!(ended, Outcome::Returned(_)), "{ended:?}");
    };
    let n = Val::I32(10_000);
    let rows = [
        measure("throw and catch", "same function", 10_000, || run("caught", &[n])),
        measure("throw and catch", "10 frames", 10_000, || run("deep", &[Val::I32(10), n])),
        measure("throw and catch", "100 frames", 10_000, || run("deep", &[Val::I32(100), n])),
        measure("throw and catch", "1000 frames", 100, || {
            run("deep", &[Val::I32(1_000), Val::I32(100)]);
        }),
        measure("throw and catch", "catch_ref", 10_000, || run("referred", &[n])),
        measure("throw and catch", "throw_ref", 10_000, || run("rethrown", &[n])),
    ];
    Ok(rows.into_iter().flatten().collect())
}

fn main() {
    let mut rows = rows().unwrap_or_else(|e| panic!("{e}"));
    rows.extend(exceptions().unwrap_or_else(|e| panic!("{e}")));
    let mut json = String::from("[\n");
    println!("{:<38} {:>12} {:>8}  setting", "row", "ns", "spread");
    for (n, r) in rows.iter().enumerate() {
        println!("{:<38} {:>12.1} {:>7.1}%  {}", r.name, r.ns, r.spread * 100.0, r.setting);
        let comma = if n + 1 < rows.len() { "," } else { "" };
        let _ = writeln!(
            json,
            "  {{\"row\": \"{}\", \"unit\": \"ns\", \"lucet\": {:.1}, \"peers\": {{}}, \
             \"spread\": {:.3}, \"setting\": \"{}\"}}{comma}",
            r.name, r.ns, r.spread, r.setting
        );
    }
    json.push_str("]\n");
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    let file = dir.join("quick.json");
    std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(&file, json)).unwrap_or_else(|e| {
        panic!("{}: {e}", file.display());
    });
    println!("written to {}", file.display());
}
