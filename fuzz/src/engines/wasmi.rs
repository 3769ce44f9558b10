//! wasmi: an interpreter, fast to start, that shares nothing with Cranelift but the decoder.

use super::Refusal;
use crate::generate::{Case, MAX_ELEMENTS, MAX_PAGES};
use crate::host;
use crate::value::{Contents, End, Seen, Type, Value};
use lucet_artifact::abi::TrapCode;
use wasmi::errors::{ErrorKind, InstantiationError};
use wasmi::{
    Config, Engine, Extern, ExternRef, FuncType, Linker, Module, Nullable, Ref, Store, StoreLimits,
    StoreLimitsBuilder, TrapCode as Theirs, Val, ValType,
};

/// Fuel of a program without an end of its own, for each call.
const ENDLESS: u64 = 300_000;

/// One engine with fuel, one without.
pub struct Wasmi {
    plain: (Engine, Linker<StoreLimits>),
    fuel: (Engine, Linker<StoreLimits>),
}

fn engine(fuel: bool) -> (Engine, Linker<StoreLimits>) {
    let mut config = Config::default();
    config.consume_fuel(fuel);
    config.compilation_mode(wasmi::CompilationMode::Lazy);
    config.set_max_recursion_depth(5000);
    config.set_max_stack_height(8 << 20);
    config.wasm_wide_arithmetic(true);
    let engine = Engine::new(&config);
    let mut linker = Linker::new(&engine);
    for (n, (name, params, results)) in host::FUNCTIONS.iter().enumerate() {
        let ty = FuncType::new(
            params.iter().map(|t| val_type(*t)).collect::<Vec<_>>(),
            results.iter().map(|t| val_type(*t)).collect::<Vec<_>>(),
        );
        let f = move |mut caller: wasmi::Caller<'_, StoreLimits>, args: &[Val], out: &mut [Val]| {
            let args: Vec<Value> = args.iter().map(|v| value(v, &caller)).collect();
            for (to, v) in out.iter_mut().zip(host::call(n, &args)) {
                *to = val(v, Type::Extern, &mut caller);
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
        Type::Extern => ValType::ExternRef,
        Type::Func | Type::Exn | Type::Other => ValType::FuncRef,
    }
}

fn val(v: Value, ty: Type, store: impl wasmi::AsContextMut) -> Val {
    match v {
        Value::I32(v) => Val::I32(v as i32),
        Value::I64(v) => Val::I64(v as i64),
        Value::F32(v) => Val::F32(wasmi::F32::from_bits(v)),
        Value::F64(v) => Val::F64(wasmi::F64::from_bits(v)),
        Value::V128(v) => Val::V128(v.into()),
        Value::Extern(Some(n)) => Val::ExternRef(Nullable::Val(ExternRef::new(store, n))),
        Value::Extern(None) => Val::ExternRef(Nullable::Null),
        Value::Ref(_) if ty == Type::Extern => Val::ExternRef(Nullable::Null),
        Value::Ref(_) | Value::Exn(_) => Val::FuncRef(Nullable::Null),
    }
}

fn external(r: &Nullable<ExternRef>, store: impl wasmi::AsContext<Data = StoreLimits>) -> Value {
    Value::Extern(r.val().and_then(|r| r.data(store.as_context()).downcast_ref().copied()))
}

fn value(v: &Val, store: impl wasmi::AsContext<Data = StoreLimits>) -> Value {
    match v {
        Val::I32(v) => Value::I32(*v as u32),
        Val::I64(v) => Value::I64(*v as u64),
        Val::F32(v) => Value::F32(v.to_bits()),
        Val::F64(v) => Value::F64(v.to_bits()),
        Val::V128(v) => Value::V128(v.as_u128()),
        Val::FuncRef(r) => Value::Ref(r.is_null()),
        Val::ExternRef(r) => external(r, store),
    }
}

fn end(e: &wasmi::Error) -> End {
    if let ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) = e.kind()
    {
        return End::Trapped(TrapCode::TableOutOfBounds);
    }
    End::Trapped(match e.as_trap_code() {
        Some(Theirs::UnreachableCodeReached) => TrapCode::Unreachable,
        Some(Theirs::MemoryOutOfBounds) => TrapCode::MemoryOutOfBounds,
        Some(Theirs::TableOutOfBounds) => TrapCode::TableOutOfBounds,
        Some(Theirs::IndirectCallToNull) => TrapCode::IndirectCallToNull,
        Some(Theirs::IntegerDivisionByZero) => TrapCode::IntegerDivisionByZero,
        Some(Theirs::IntegerOverflow) => TrapCode::IntegerOverflow,
        Some(Theirs::BadConversionToInteger) => TrapCode::BadConversionToInteger,
        Some(Theirs::BadSignature) => TrapCode::BadSignature,
        Some(Theirs::StackOverflow) => return End::Unknown("stack"),
        Some(Theirs::OutOfFuel) => return End::Unknown("fuel"),
        other => return End::Broken(format!("{other:?}: {e}")),
    })
}

impl Wasmi {
    /// Creates the engines.
    pub fn new() -> Self {
        Self { plain: engine(false), fuel: engine(true) }
    }

    /// Runs a case.
    pub fn run(&self, case: &Case) -> Result<Seen, Refusal> {
        let (engine, base) = if case.endless { &self.fuel } else { &self.plain };
        let module =
            Module::new(engine, &case.wasm).map_err(|e| Refusal::Unsupported(e.to_string()))?;
        let limits = StoreLimitsBuilder::new()
            .memory_size((MAX_PAGES << 16) as usize)
            .table_elements(MAX_ELEMENTS as usize)
            .build();
        let mut store = Store::new(engine, limits);
        store.limiter(|l| l);
        if case.endless {
            store.set_fuel(ENDLESS).map_err(|e| Refusal::Wrong(e.to_string()))?;
        }
        host::reset();
        let mut seen = Seen::nothing();
        let mut own = None;
        let mut provider = None;
        if case.needs_provider {
            let wrong = |e: wasmi::Error| Refusal::Wrong(e.to_string());
            let wasm = crate::engines::provider_wasm();
            let provided = Module::new(engine, wasm).map_err(wrong)?;
            let i = base.instantiate_and_start(&mut store, &provided).map_err(wrong)?;
            let mut linker = base.clone();
            linker.instance(&mut store, host::PROVIDER, i).map_err(wrong)?;
            provider = Some(i);
            own = Some(linker);
        }
        let linker = own.as_ref().unwrap_or(base);
        match linker.instantiate_and_start(&mut store, &module) {
            Ok(i) => calls(&mut store, i, case, &mut seen),
            Err(e) => seen.start = end(&e),
        }
        if let (Some(p), None) = (provider, seen.unknown()) {
            for name in ["number", "float"] {
                note_global(&store, p, "env.", name, &mut seen);
            }
            note_memory(&store, p, "env.", "memory", &mut seen);
        }
        Ok(seen)
    }
}

fn note_global(
    store: &Store<StoreLimits>,
    i: wasmi::Instance,
    prefix: &str,
    name: &str,
    seen: &mut Seen,
) {
    if let Some(g) = i.get_global(store, name) {
        seen.globals.push((format!("{prefix}{name}"), value(&g.get(store), store)));
    }
}

fn note_memory(
    store: &Store<StoreLimits>,
    i: wasmi::Instance,
    prefix: &str,
    name: &str,
    seen: &mut Seen,
) {
    if let Some(m) = i.get_memory(store, name) {
        seen.memories.push((format!("{prefix}{name}"), Contents::of(m.data(store))));
    }
}

fn calls(store: &mut Store<StoreLimits>, i: wasmi::Instance, case: &Case, seen: &mut Seen) {
    for (name, args, results) in &case.calls {
        let Some(Extern::Func(f)) = i.get_export(&*store, name) else {
            seen.start = End::Broken(format!("no function \"{name}\""));
            return;
        };
        let ty = f.ty(&*store);
        let mut given = Vec::with_capacity(args.len());
        for (v, t) in args.iter().zip(ty.params()) {
            let t = if *t == ValType::ExternRef { Type::Extern } else { Type::Other };
            given.push(val(*v, t, &mut *store));
        }
        let mut out: Vec<Val> = results.iter().map(|t| Val::default_for_ty(val_type(*t))).collect();
        if case.endless {
            let _ = store.set_fuel(ENDLESS);
        }
        let end = match f.call(&mut *store, &given, &mut out) {
            Ok(()) => End::Returned(out.iter().map(|v| value(v, &*store)).collect()),
            Err(e) => end(&e),
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
        if let Some(t) = i.get_table(&*store, name) {
            let element = |n| match t.get(&*store, n) {
                Some(Ref::Extern(r)) => external(&r, &*store),
                Some(Ref::Func(r)) => Value::Ref(r.is_null()),
                None => Value::Ref(true),
            };
            seen.tables.push((name.clone(), (0..t.size(&*store)).map(element).collect()));
        }
    }
    for name in &case.surface.memories {
        note_memory(store, i, "", name, seen);
    }
}
