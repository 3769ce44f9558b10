//! A fresh instance of a WASI program in Wasmtime with wasmtime-wasi: context, store, instance,
//! `_start`, drop. The settings are those of its fastest fresh instance (`resident` in
//! `wasmtime.rs`); functions are linked once, and the program is looked up by `ModuleExport`.
//!
//!   wasmtime_wasi hello.wasm

use lucet_bench_peers::{Row, serve, time};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module, ModuleExport,
    PoolingAllocationConfig, Result, Store,
};
use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_sync};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{I32Exit, WasiCtxBuilder};

const RESIDENT: usize = 1 << 20;

fn engine() -> Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(512).total_memories(512).total_tables(512).total_stacks(512);
    pool.linear_memory_keep_resident(RESIDENT).table_keep_resident(RESIDENT);
    pool.pagemap_scan(Enabled::No);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config.memory_init_cow(true).wasm_backtrace_max_frames(None);
    Engine::new(&config)
}

struct Guest {
    engine: Engine,
    pre: InstancePre<WasiP1Ctx>,
    start: ModuleExport,
}

impl Guest {
    fn new(wasm: &[u8]) -> Result<Self> {
        let engine = engine()?;
        let module = Module::new(&engine, wasm)?;
        let mut linker = Linker::new(&engine);
        add_to_linker_sync(&mut linker, |context| context)?;
        let pre = linker.instantiate_pre(&module)?;
        let start = module.get_export_index("_start").expect("_start");
        Ok(Self { engine, pre, start })
    }

    fn run(&self, builder: &mut WasiCtxBuilder) {
        let context = builder.arg("hello").build_p1();
        let mut store = Store::new(&self.engine, context);
        let instance = self.pre.instantiate(&mut store).expect("an instance");
        let start = instance.get_module_export(&mut store, &self.start);
        let start = start.and_then(wasmtime::Extern::into_func).expect("a function");
        let start = start.typed::<(), ()>(&store).expect("its type");
        if let Err(e) = start.call(&mut store, ()) {
            let code = e.downcast_ref::<I32Exit>().map(|e| e.0);
            assert_eq!(code, Some(0), "{e}");
        }
    }
}

fn main() -> Result<()> {
    let path = std::env::args().nth(1).expect("wanted: hello.wasm");
    let guest = Guest::new(&std::fs::read(path)?)?;
    let guest = &guest;
    let rows: Vec<Row> = vec![
        (
            "WASI hello, fresh instance".into(),
            Box::new(move |n| {
                time(|| (0..n).for_each(|_| guest.run(&mut WasiCtxBuilder::new())))
            }),
        ),
        (
            "WASI hello, fresh instance, output captured".into(),
            Box::new(move |n| {
                time(|| {
                    for _ in 0..n {
                        let pipe = MemoryOutputPipe::new(4096);
                        guest.run(WasiCtxBuilder::new().stdout(pipe.clone()));
                        assert_eq!(&*pipe.contents(), b"Hello, world!\n");
                    }
                })
            }),
        ),
    ];
    serve(rows)?;
    Ok(())
}
