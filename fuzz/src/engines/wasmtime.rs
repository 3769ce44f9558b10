//! Wasmtime: the same code generator as lucet's, with another translator, other checks (explicit
//! bounds, no signals), without its optimiser, and with every proposal there is.

use super::Refusal;
use crate::generate::{Case, MAX_ELEMENTS, MAX_PAGES};
use crate::host;
use crate::value::{Contents, End, Seen, Type, Value};
use lucet_artifact::abi::TrapCode;
use wasmtime::{
    Collector, Config, Engine, ExternRef, FuncType, HeapType, Instance, Linker, Module, OptLevel,
    Ref, Store, StoreLimits, StoreLimitsBuilder, ThrownException, Trap, Val, ValType,
};

/// Fuel of a program without an end of its own, for each call.
const ENDLESS: u64 = 300_000;

/// One engine with fuel, one without.
pub struct Wasmtime {
    plain: (Engine, Linker<StoreLimits>),
    fuel: (Engine, Linker<StoreLimits>),
}

fn engine(fuel: bool) -> (Engine, Linker<StoreLimits>) {
    let mut c = Config::new();
    c.consume_fuel(fuel);
    c.cranelift_opt_level(OptLevel::None);
    c.signals_based_traps(false);
    c.memory_reservation(0);
    c.memory_guard_size(0);
    c.memory_reservation_for_growth(0);
    c.memory_init_cow(false);
    c.wasm_backtrace_max_frames(None);
    c.native_unwind_info(false);
    c.generate_address_map(false);
    c.collector(Collector::Null);
    c.gc_heap_reservation(0);
    c.gc_heap_guard_size(0);
    c.max_wasm_stack(1 << 20);
    c.wasm_tail_call(true);
    c.wasm_multi_memory(true);
    c.wasm_memory64(true);
    c.wasm_threads(true);
    c.wasm_simd(true);
    c.wasm_relaxed_simd(true);
    c.relaxed_simd_deterministic(true);
    c.wasm_extended_const(true);
    c.wasm_function_references(true);
    c.wasm_gc(true);
    c.wasm_exceptions(true);
    c.wasm_wide_arithmetic(true);
    let engine = Engine::new(&c).expect("an engine");
    let mut linker = Linker::new(&engine);
    for (n, (name, params, results)) in host::FUNCTIONS.iter().enumerate() {
        let types = |list: &[Type]| list.iter().map(|t| val_type(*t)).collect::<Vec<_>>();
        let ty = FuncType::new(&engine, types(params), types(results));
        let f =
            move |mut caller: wasmtime::Caller<'_, StoreLimits>, args: &[Val], out: &mut [Val]| {
                let args: Vec<Value> = args.iter().map(|v| value(v, &caller)).collect();
                for (to, v) in out.iter_mut().zip(host::call(n, &args)) {
                    *to = val(v, Some(&HeapType::Extern), &mut caller)?;
                }
                Ok(())
            };
        linker.func_new(host::HOST, name, ty, f).expect("a new name");
    }
    (engine, linker)
}

fn val_type(t: Type) -> ValType {
    match t {
        Type::I32 => ValType::I32,
        Type::I64 => ValType::I64,
        Type::F32 => ValType::F32,
        Type::F64 => ValType::F64,
        Type::V128 => ValType::V128,
        Type::Extern => ValType::EXTERNREF,
        Type::Func | Type::Exn | Type::Other => ValType::FUNCREF,
    }
}

/// A value; null of the hierarchy that `heap` belongs to.
fn val(
    v: Value,
    heap: Option<&HeapType>,
    store: impl wasmtime::AsContextMut,
) -> wasmtime::Result<Val> {
    Ok(match v {
        Value::I32(v) => Val::I32(v as i32),
        Value::I64(v) => Val::I64(v as i64),
        Value::F32(v) => Val::F32(v),
        Value::F64(v) => Val::F64(v),
        Value::V128(v) => Val::V128(v.into()),
        Value::Extern(Some(n)) => Val::ExternRef(Some(ExternRef::new(store, n)?)),
        Value::Extern(None) => Val::ExternRef(None),
        Value::Exn(_) => Val::ExnRef(None),
        Value::Ref(_) => match heap.map(HeapType::top) {
            Some(HeapType::Extern) => Val::ExternRef(None),
            Some(HeapType::Any) => Val::AnyRef(None),
            _ => Val::FuncRef(None),
        },
    })
}

fn external(
    r: Option<&wasmtime::Rooted<ExternRef>>,
    store: impl wasmtime::AsContext<Data = StoreLimits>,
) -> Value {
    let data = r.and_then(|r| r.data(store.as_context()).ok().flatten());
    Value::Extern(data.and_then(|d| d.downcast_ref().copied()))
}

fn value(v: &Val, store: impl wasmtime::AsContext<Data = StoreLimits>) -> Value {
    match v {
        Val::I32(v) => Value::I32(*v as u32),
        Val::I64(v) => Value::I64(*v as u64),
        Val::F32(v) => Value::F32(*v),
        Val::F64(v) => Value::F64(*v),
        Val::V128(v) => Value::V128(v.as_u128()),
        Val::FuncRef(r) => Value::Ref(r.is_none()),
        Val::AnyRef(r) => Value::Ref(r.is_none()),
        Val::ExnRef(r) => Value::Exn(r.is_none()),
        Val::ContRef(r) => Value::Ref(r.is_none()),
        Val::ExternRef(r) => external(r.as_ref(), store),
    }
}

fn end(e: &wasmtime::Error) -> End {
    if e.is::<ThrownException>() {
        return End::Exception;
    }
    End::Trapped(match e.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => TrapCode::Unreachable,
        Some(Trap::MemoryOutOfBounds) => TrapCode::MemoryOutOfBounds,
        Some(Trap::TableOutOfBounds) => TrapCode::TableOutOfBounds,
        Some(Trap::IndirectCallToNull) => TrapCode::IndirectCallToNull,
        Some(Trap::IntegerDivisionByZero) => TrapCode::IntegerDivisionByZero,
        Some(Trap::IntegerOverflow) => TrapCode::IntegerOverflow,
        Some(Trap::BadConversionToInteger) => TrapCode::BadConversionToInteger,
        Some(Trap::BadSignature) => TrapCode::BadSignature,
        Some(Trap::NullReference) => TrapCode::NullReference,
        Some(Trap::HeapMisaligned) => TrapCode::UnalignedAtomic,
        Some(Trap::AtomicWaitNonSharedMemory) => TrapCode::ExpectedSharedMemory,
        Some(Trap::StackOverflow) => return End::Unknown("stack"),
        Some(Trap::OutOfFuel) => return End::Unknown("fuel"),
        other => return End::Broken(format!("{other:?}: {e:?}")),
    })
}

impl Wasmtime {
    /// Creates the engines.
    pub fn new() -> Self {
        Self { plain: engine(false), fuel: engine(true) }
    }

    /// Runs a case.
    pub fn run(&self, case: &Case) -> Result<Seen, Refusal> {
        let (engine, base) = if case.endless { &self.fuel } else { &self.plain };
        let module =
            Module::new(engine, &case.wasm).map_err(|e| Refusal::Unsupported(format!("{e:?}")))?;
        let limits = StoreLimitsBuilder::new()
            .memory_size((MAX_PAGES << 16) as usize)
            .table_elements(MAX_ELEMENTS as usize)
            .build();
        let mut store = Store::new(engine, limits);
        store.limiter(|l| l);
        let wrong = |e: wasmtime::Error| Refusal::Wrong(format!("{e:?}"));
        if case.endless {
            store.set_fuel(ENDLESS).map_err(wrong)?;
        }
        host::reset();
        let mut seen = Seen::nothing();
        let mut own = None;
        let mut provider = None;
        if case.needs_provider {
            let provided = Module::new(engine, super::provider_wasm()).map_err(wrong)?;
            let i = base.instantiate(&mut store, &provided).map_err(wrong)?;
            let mut linker = base.clone();
            linker.instance(&mut store, host::PROVIDER, i).map_err(wrong)?;
            provider = Some(i);
            own = Some(linker);
        }
        match own.as_ref().unwrap_or(base).instantiate(&mut store, &module) {
            Ok(i) => calls(&mut store, i, case, &mut seen),
            Err(e) => seen.start = end(&e),
        }
        if let (Some(p), None) = (provider, seen.unknown()) {
            for name in ["number", "float"] {
                note_global(&mut store, p, "env.", name, &mut seen);
            }
            note_memory(&mut store, p, "env.", "memory", &mut seen);
        }
        Ok(seen)
    }
}

fn note_global(
    store: &mut Store<StoreLimits>,
    i: Instance,
    prefix: &str,
    name: &str,
    seen: &mut Seen,
) {
    if let Some(g) = i.get_global(&mut *store, name) {
        let v = g.get(&mut *store);
        seen.globals.push((format!("{prefix}{name}"), value(&v, &*store)));
    }
}

fn note_memory(
    store: &mut Store<StoreLimits>,
    i: Instance,
    prefix: &str,
    name: &str,
    seen: &mut Seen,
) {
    if let Some(m) = i.get_memory(&mut *store, name) {
        seen.memories.push((format!("{prefix}{name}"), Contents::of(m.data(&*store))));
    }
}

fn calls(store: &mut Store<StoreLimits>, i: Instance, case: &Case, seen: &mut Seen) {
    for (name, args, _) in &case.calls {
        let Some(f) = i.get_func(&mut *store, name) else {
            seen.start = End::Broken(format!("no function \"{name}\""));
            return;
        };
        let ty = f.ty(&*store);
        let mut given = Vec::with_capacity(args.len());
        for (v, t) in args.iter().zip(ty.params()) {
            let heap = t.as_ref().map(wasmtime::RefType::heap_type);
            match val(*v, heap, &mut *store) {
                Ok(v) => given.push(v),
                Err(e) => {
                    seen.start = End::Broken(format!("{e:?}"));
                    return;
                }
            }
        }
        let mut out = vec![Val::I32(0); ty.results().len()];
        if case.endless {
            let _ = store.set_fuel(ENDLESS);
        }
        let end = match f.call(&mut *store, &given, &mut out) {
            Ok(()) => End::Returned(out.iter().map(|v| value(v, &*store)).collect()),
            Err(e) => {
                let _ =
                    wasmtime::AsContextMut::as_context_mut(&mut *store).take_pending_exception();
                end(&e)
            }
        };
        let stop = matches!(end, End::Unknown(_) | End::Broken(_));
        seen.calls.push((end, host::log()));
        if stop {
            return;
        }
    }
    for (name, _) in &case.surface.globals {
        note_global(store, i, "", name, seen);
    }
    for (name, _) in &case.surface.tables {
        if let Some(t) = i.get_table(&mut *store, name) {
            let mut all = Vec::new();
            for n in 0..t.size(&*store) {
                all.push(match t.get(&mut *store, n) {
                    Some(Ref::Extern(r)) => external(r.as_ref(), &*store),
                    Some(Ref::Exn(r)) => Value::Exn(r.is_none()),
                    Some(r) => Value::Ref(r.is_null()),
                    None => Value::Ref(true),
                });
            }
            seen.tables.push((name.clone(), all));
        }
    }
    for name in &case.surface.memories {
        note_memory(store, i, "", name, seen);
    }
}
