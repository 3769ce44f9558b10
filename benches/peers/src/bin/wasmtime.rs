//! The same rows in Wasmtime, through its fastest interface: the Rust crate, `InstancePre`, typed
//! functions, exports looked up by `ModuleExport`. The first argument names the settings:
//!
//! * `resident`: pooling allocator, memory and tables kept resident and cleared by hand, memory
//!   images mapped copy on write, no backtraces. Its fastest fresh instance.
//! * `scan`: the same, and dirty pages found with PAGEMAP_SCAN.
//! * `default`: pooling allocator as it comes.
//! * `epochs`, `fuel`: `resident`, interruptible in one of the two ways that Wasmtime has.
//! * `no-signals`: `resident` with `signals_based_traps(false)`: traps are calls, and each access
//!   to memory is checked.
//!
//! The other arguments are the wasm files.

use lucet_bench_peers::{Row, Worker, half, process_time, serve, time, together, two_threads};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use wasmtime::{
    Config, Enabled, Engine, Instance, InstanceAllocationStrategy, InstancePre, Linker, Module,
    ModuleExport, PoolingAllocationConfig, Result, Store, TypedFunc,
};

const BATCH: u64 = 128;
const RESIDENT: usize = 1 << 20;

fn config(setting: &str) -> Result<Config> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(512).total_memories(512).total_tables(512).total_stacks(512);
    if setting != "default" {
        pool.linear_memory_keep_resident(RESIDENT).table_keep_resident(RESIDENT);
        pool.async_stack_keep_resident(RESIDENT);
        let scan = if setting == "scan" { Enabled::Yes } else { Enabled::No };
        pool.pagemap_scan(scan);
    }
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    if setting != "default" {
        config.memory_init_cow(true).wasm_backtrace_max_frames(None);
    }
    match setting {
        "resident" | "scan" | "default" => {}
        "epochs" => _ = config.epoch_interruption(true),
        "fuel" => _ = config.consume_fuel(true),
        "no-signals" => _ = config.signals_based_traps(false),
        other => return Err(wasmtime::format_err!("no such setting: {other}")),
    }
    Ok(config)
}

/// A store as a request gets one: allowed to run for as long as it likes, where that is asked.
fn store(engine: &Engine, setting: &str) -> Store<()> {
    let mut store = Store::new(engine, ());
    match setting {
        "epochs" => store.set_epoch_deadline(u64::MAX / 2),
        "fuel" => store.set_fuel(u64::MAX).expect("fuel is on"),
        _ => {}
    }
    store
}

/// A module ready to be instantiated.
struct Guest {
    setting: String,
    engine: Engine,
    module: Module,
    pre: InstancePre<()>,
}

impl Guest {
    fn new(engine: &Engine, setting: &str, wasm: &[u8]) -> Result<Self> {
        let module = Module::new(engine, wasm)?;
        let mut linker = Linker::new(engine);
        linker.func_wrap("env", "host", |v: i32| v + 1)?;
        linker.func_wrap("env", "yield", |v: i32| v)?;
        let pre = linker.instantiate_pre(&module)?;
        Ok(Self { setting: setting.into(), engine: engine.clone(), module, pre })
    }

    fn store(&self) -> Store<()> {
        store(&self.engine, &self.setting)
    }

    fn export(&self, name: &str) -> ModuleExport {
        self.module.get_export_index(name).unwrap_or_else(|| panic!("no export {name}"))
    }

    fn fresh(&self) -> (Store<()>, Instance) {
        let mut store = self.store();
        let instance = self.pre.instantiate(&mut store).expect("an instance");
        (store, instance)
    }
}

fn typed<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
    (store, instance): &mut (Store<()>, Instance),
    export: &ModuleExport,
) -> TypedFunc<P, R> {
    let func =
        instance.get_module_export(&mut *store, export).and_then(wasmtime::Extern::into_func);
    func.expect("a function").typed(&*store).expect("its type")
}

/// Fresh instance, call, drop.
fn fresh(guest: &Guest, export: &ModuleExport, n: u64) -> f64 {
    time(|| {
        for _ in 0..n {
            let mut i = guest.fresh();
            typed::<(), ()>(&mut i, export).call(&mut i.0, ()).expect("it returns");
        }
    })
}

/// How a guest is made to trap.
#[derive(Clone, Copy)]
enum Trap {
    Plain(&'static str),
    Number(&'static str, i32),
    Result(&'static str, i32),
}

fn trap_once(i: &mut (Store<()>, Instance), export: &ModuleExport, trap: Trap) {
    let trapped = match trap {
        Trap::Plain(_) => typed::<(), ()>(i, export).call(&mut i.0, ()).is_err(),
        Trap::Number(_, v) => typed::<i32, ()>(i, export).call(&mut i.0, v).is_err(),
        Trap::Result(_, v) => typed::<i32, i32>(i, export).call(&mut i.0, v).is_err(),
    };
    assert!(trapped, "it does not trap");
}

impl Trap {
    fn export(self, guest: &Guest) -> ModuleExport {
        let (Trap::Plain(name) | Trap::Number(name, _) | Trap::Result(name, _)) = self;
        guest.export(name)
    }
}

/// The call that traps, and nothing else.
fn traps(guest: &Guest, trap: Trap, n: u64) -> f64 {
    let export = trap.export(guest);
    let mut sum = 0.0;
    let mut left = n;
    while left > 0 {
        let now = left.min(BATCH);
        let mut batch: Vec<_> = (0..now).map(|_| guest.fresh()).collect();
        sum += time(|| batch.iter_mut().for_each(|i| trap_once(i, &export, trap)));
        left -= now;
    }
    sum
}

fn fresh_traps(guest: &Guest, trap: Trap, n: u64) -> f64 {
    let export = trap.export(guest);
    time(|| (0..n).for_each(|_| trap_once(&mut guest.fresh(), &export, trap)))
}

/// Pending once, then ready.
struct Once(bool);

impl Future for Once {
    type Output = i32;
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<i32> {
        let ready = std::mem::replace(&mut self.0, true);
        if ready { Poll::Ready(1) } else { Poll::Pending }
    }
}

/// A host function that waits, and is polled again: Wasmtime's way to yield and resume.
fn yields(guest: &Guest, n: u64) -> Result<f64> {
    let mut linker = Linker::new(&guest.engine);
    linker.func_wrap("env", "host", |v: i32| v + 1)?;
    linker.func_wrap_async("env", "yield", |_, (_,): (i32,)| Box::new(Once(false)))?;
    let mut store = guest.store();
    let mut context = Context::from_waker(Waker::noop());
    let instance = {
        let mut instance = pin!(linker.instantiate_async(&mut store, &guest.module));
        match instance.as_mut().poll(&mut context) {
            Poll::Ready(i) => i?,
            Poll::Pending => panic!("instantiation waits"),
        }
    };
    let func = instance.get_typed_func::<(), ()>(&mut store, "yields")?;
    let mut run = pin!(func.call_async(&mut store, ()));
    Ok(time(|| (0..n).for_each(|_| assert!(run.as_mut().poll(&mut context).is_pending()))))
}

type Rows<'a> = Vec<Row<'a>>;

fn fresh_rows<'a>(rows: &mut Rows<'a>, hot: &'a Guest, pages: &'a Guest, data: &'a Guest) {
    let cases = [
        ("fresh instance, 1 page", hot, "touch"),
        ("fresh instance, grows by a page", hot, "grow"),
        ("fresh instance, 64 pages", pages, "touch"),
        ("fresh instance, 60 KiB of data", data, "touch"),
    ];
    for (name, guest, export) in cases {
        let export = guest.export(export);
        rows.push((name.into(), Box::new(move |n| fresh(guest, &export, n))));
    }
    let touch = hot.export("touch");
    let run = move |n| two_threads(|n| _ = fresh(hot, &touch, n), n);
    rows.push(("fresh instance, two threads".into(), Box::new(run)));
    // The twin's own answers to this row are wall times, as those of this process.
    let as_half = hot.export("touch");
    let run = move |n| half(|| _ = fresh(hot, &as_half, n));
    rows.push(("half of two processes".into(), Box::new(run)));
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--serve").collect();
    let program = std::env::args().next().unwrap_or_default();
    let mut twin = None;
    let touch = hot.export("touch");
    let run = move |n| {
        let twin = twin.get_or_insert_with(|| {
            let mut twin = Worker::start(&program, &arguments).expect("a twin");
            // Asked for nothing it answers at once, when it is ready.
            twin.run("fresh instance, 1 page", 1).expect("a twin");
            twin
        });
        twin.ask("half of two processes", n).expect("a twin");
        let first = half(|| _ = fresh(hot, &touch, n));
        together(first, twin.answer().ok().flatten().expect("a twin").value)
    };
    rows.push(("fresh instance, two processes".into(), Box::new(run)));
}

fn call_rows<'a>(rows: &mut Rows<'a>, hot: &'a Guest) -> Result<()> {
    let (mut store, instance) = hot.fresh();
    let empty = instance.get_typed_func::<(), ()>(&mut store, "empty")?;
    rows.push((
        "call, pre-resolved".into(),
        Box::new(move |n| {
            time(|| (0..n).for_each(|_| empty.call(&mut store, ()).expect("it returns")))
        }),
    ));
    let (mut store, instance) = hot.fresh();
    let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
    let run = move |n| {
        let mut sum = 0;
        let t = time(|| {
            for i in 0..n {
                sum = add.call(&mut store, (i as i32, 1)).expect("it returns");
            }
        });
        assert_eq!(sum, n as i32);
        t
    };
    rows.push(("call, two arguments and a result".into(), Box::new(run)));
    let (mut store, instance) = hot.fresh();
    let run = move |n| {
        time(|| {
            for _ in 0..n {
                let empty = instance.get_typed_func::<(), ()>(&mut store, "empty").expect("found");
                empty.call(&mut store, ()).expect("it returns");
            }
        })
    };
    rows.push(("call by name".into(), Box::new(run)));
    let (mut store, instance) = hot.fresh();
    let hosts = instance.get_typed_func::<i32, ()>(&mut store, "hosts")?;
    let run = move |n| time(|| hosts.call(&mut store, n as i32).expect("it returns"));
    rows.push(("host function call".into(), Box::new(run)));
    let run = move |n| yields(hot, n).expect("it yields");
    rows.push(("yield and resume".into(), Box::new(run)));
    Ok(())
}

fn trap_rows<'a>(rows: &mut Rows<'a>, hot: &'a Guest, small: &'a Guest) {
    let recurse = Trap::Result("recurse", 0);
    let cases = [
        ("trap: unreachable", hot, Trap::Plain("unreachable")),
        ("trap: division", hot, Trap::Result("divide", 0)),
        ("trap: indirect call", hot, Trap::Number("indirect", 1)),
        ("trap: memory out of bounds", hot, Trap::Result("out_of_bounds", -5)),
        ("trap: stack overflow, 16 KiB stack", small, recurse),
    ];
    for (name, guest, trap) in cases {
        rows.push((name.into(), Box::new(move |n| traps(guest, trap, n))));
    }
    let cases = [
        ("fresh instance, trap: unreachable", Trap::Plain("unreachable")),
        ("fresh instance, trap: memory out of bounds", Trap::Result("out_of_bounds", -5)),
        ("fresh instance, trap: stack overflow, 256 KiB", recurse),
    ];
    for (name, trap) in cases {
        rows.push((name.into(), Box::new(move |n| fresh_traps(hot, trap, n))));
    }
}

fn kernel_rows(rows: &mut Rows<'_>, kernels: &Guest) -> Result<()> {
    let names: Vec<String> = kernels.module.exports().map(|e| e.name().to_owned()).collect();
    for export in names {
        let Some(name) = export.strip_prefix("kernel_") else { continue };
        for sum in [false, true] {
            let (mut store, instance) = kernels.fresh();
            let f = instance.get_typed_func::<u32, u32>(&mut store, &export)?;
            let run = move |n: u64| {
                let mut value = 0;
                let t = time(|| value = f.call(&mut store, n as u32).expect("it returns"));
                if sum { f64::from(value) } else { t }
            };
            let kind = if sum { "checksum" } else { "kernel" };
            rows.push((format!("{kind} {name}"), Box::new(run)));
        }
    }
    Ok(())
}

fn compile_rows<'a>(rows: &mut Rows<'a>, engine: &'a Engine, files: &[(String, Rc<Vec<u8>>)]) {
    for (name, wasm) in files {
        let bytes = wasm.clone();
        let run = move |n| {
            process_time(|| {
                (0..n).for_each(|_| drop(engine.precompile_module(&bytes).expect("compiles")))
            })
        };
        rows.push((format!("compile {name}"), Box::new(run)));
        let bytes = wasm.clone();
        let run = move |_| engine.precompile_module(&bytes).expect("compiles").len() as f64;
        rows.push((format!("size of {name}"), Box::new(run)));
        let artifact = engine.precompile_module(wasm).expect("compiles");
        let run = move |n| {
            time(|| {
                for _ in 0..n {
                    // SAFETY: it is what this engine compiled a moment ago.
                    drop(unsafe { Module::deserialize(engine, &artifact) }.expect("loads"));
                }
            })
        };
        rows.push((format!("load {name}"), Box::new(run)));
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--serve").collect();
    let [setting, paths @ ..] = arguments.as_slice() else {
        return Err(wasmtime::format_err!("wanted: SETTING hot.wasm pages.wasm data.wasm ..."));
    };
    let mut files = Vec::new();
    for path in paths {
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        files.push((name, Rc::new(std::fs::read(path)?)));
    }
    let find = |name: &str| {
        let found = files.iter().find(|(n, _)| n == name).map(|(_, wasm)| wasm.clone());
        found.ok_or_else(|| wasmtime::format_err!("{name} is wanted"))
    };
    let engine = Engine::new(&config(setting)?)?;
    let small = Engine::new(config(setting)?.max_wasm_stack(16 << 10))?;
    let hot = Guest::new(&engine, setting, &find("hot.wasm")?)?;
    let small = Guest::new(&small, setting, &find("hot.wasm")?)?;
    let pages = Guest::new(&engine, setting, &find("pages.wasm")?)?;
    let data = Guest::new(&engine, setting, &find("data.wasm")?)?;
    let kernels = Guest::new(&engine, setting, &find("kernels.wasm")?)?;
    let mut rows = Vec::new();
    fresh_rows(&mut rows, &hot, &pages, &data);
    call_rows(&mut rows, &hot)?;
    trap_rows(&mut rows, &hot, &small);
    kernel_rows(&mut rows, &kernels)?;
    compile_rows(&mut rows, &engine, &files);
    serve(rows)?;
    Ok(())
}
