//! Lucet: compiled, written as an artifact, loaded, and run in a slot of a region.

use super::Refusal;
use crate::generate::{Again, Case, MAX_ELEMENTS, MAX_PAGES, Setting};
use crate::host;
use crate::value::{Contents, End, Seen, Type, Value, extern_number, extern_word};
use lucet::{
    Control, Group, HostCode, Imports, Instance, InstanceRef, Module, ModuleConfig, Outcome,
    Region, RegionConfig, Status, TrapCode, Val, Vmctx,
};
use lucet_artifact::types::MemoryShape;
use lucetc::policy::Max;
use lucetc::{Class, Options};
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

/// Units that a program without an end of its own gets, for each call.
const ENDLESS: u64 = 30_000;

/// Units for all portions of a call; more than any program that ends by itself uses.
const PORTIONS: u64 = 1 << 32;

/// Regions, host functions, and the provider in the ways it was needed so far.
pub struct Lucet {
    guarded: Arc<Region>,
    compact: Arc<Region>,
    imports: Imports,
    providers: HashMap<(bool, u64), Arc<Module>>,
}

fn region(compact: bool) -> Arc<Region> {
    let config = RegionConfig {
        slots: 8,
        stack_bytes: 1 << 20,
        // All memories of a program together.
        max_memory: 4 * (MAX_PAGES << 16),
        compact,
        stacks: 8,
        // An instance that does not end is a finding, not a hang.
        time_limit: 20_000_000_000,
        ..RegionConfig::default()
    };
    Region::new(config).expect("a region")
}

fn options(setting: &Setting) -> Options {
    let mut options = Options {
        opt_level: setting.opt,
        memory: setting.shape,
        cpu: setting.cpu,
        fuel: setting.fuel.is_some(),
        threads: 1,
        paranoid: setting.paranoid,
        ..Options::default()
    };
    options.policy.set_max(Max::MemoryPages, MAX_PAGES);
    options.policy.set_max(Max::TableElements, MAX_ELEMENTS);
    options
}

impl Lucet {
    /// Creates the regions.
    pub fn new() -> Self {
        Self {
            guarded: region(false),
            compact: region(true),
            imports: imports(),
            providers: HashMap::new(),
        }
    }

    fn load(
        &self,
        artifact: &[u8],
        setting: &Setting,
        endless: bool,
    ) -> Result<Arc<Module>, Refusal> {
        let config = ModuleConfig {
            imports: self.imports.clone(),
            allow_unsigned: true,
            linkable: true,
            fuel: (endless && setting.fuel.is_some()).then_some(ENDLESS),
            ..ModuleConfig::default()
        };
        Module::load_bytes(artifact, &config)
            .map_err(|e| Refusal::Wrong(format!("the artifact is not loaded: {e}")))
    }

    /// Compiles and loads.
    pub fn module(&self, wasm: &[u8], s: &Setting, endless: bool) -> Result<Arc<Module>, Refusal> {
        let artifact = lucetc::compile(wasm, &options(s)).map_err(|e| match e.class() {
            Class::Unsupported => Refusal::Unsupported(e.to_string()),
            Class::Limit | Class::Policy => Refusal::Limit(e.to_string()),
            _ => Refusal::Wrong(e.to_string()),
        })?;
        self.load(&artifact, s, endless)
    }

    fn provider(&mut self, s: &Setting) -> Result<Arc<Module>, Refusal> {
        let key = (s.shape == MemoryShape::Compact, s.cpu);
        if let Some(m) = self.providers.get(&key) {
            return Ok(m.clone());
        }
        let setting = Setting { fuel: None, paranoid: true, ..s.clone() };
        let module = self.module(host::PROVIDER_TEXT.as_bytes(), &setting, false)?;
        self.providers.insert(key, module.clone());
        Ok(module)
    }

    /// Runs a case; twice, if its setting says so.
    pub fn run(&mut self, case: &Case) -> Result<Vec<Seen>, Refusal> {
        let setting = &case.setting;
        let region = match setting.shape {
            MemoryShape::Guarded => self.guarded.clone(),
            MemoryShape::Compact => self.compact.clone(),
        };
        let module = self.module(&case.wasm, setting, case.endless)?;
        if case.needs_provider {
            let provider = self.provider(setting)?;
            return Ok(vec![linked(&region, &provider, &module, case)]);
        }
        let mut all = Vec::new();
        host::reset();
        match Instance::new(&region, &module) {
            Err(e) => all.push(Seen { start: failure(&e), ..Seen::nothing() }),
            Ok(i) => {
                all.push(calls(&i, case, Seen::nothing()));
                let fresh = match setting.again {
                    None => return Ok(all),
                    Some(_) if all[0].unknown().is_some() => return Ok(all),
                    Some(Again::Reset) => {
                        host::reset();
                        i.reset().map(|()| i)
                    }
                    Some(Again::NewInstance) => {
                        drop(i);
                        host::reset();
                        Instance::new(&region, &module)
                    }
                };
                all.push(match fresh {
                    Ok(i) => calls(&i, case, Seen::nothing()),
                    Err(e) => Seen { start: failure(&e), ..Seen::nothing() },
                });
            }
        }
        Ok(all)
    }
}

fn linked(region: &Arc<Region>, provider: &Arc<Module>, module: &Arc<Module>, case: &Case) -> Seen {
    host::reset();
    let mut group = Group::new(region);
    let mut seen = Seen::nothing();
    if let Err(e) = group.instantiate(Some(host::PROVIDER), provider) {
        seen.start = End::Broken(format!("the provider does not start: {e}"));
        return seen;
    }
    if let Err(e) = group.instantiate(Some("program"), module) {
        seen.start = failure(&e);
    }
    if let (End::Returned(_), Some(i)) = (&seen.start, group.get("program")) {
        seen = calls(i, case, seen);
    }
    if seen.unknown().is_none()
        && let Some(i) = group.get(host::PROVIDER)
    {
        for name in ["number", "float"] {
            note_global(i, "env.", name, &mut seen);
        }
        note_memory(i, "env.", "memory", &mut seen);
    }
    seen
}

fn failure(e: &lucet::Error) -> End {
    match (e.status(), e.trap()) {
        (Status::StartFailed, Some(TrapCode::StackOverflow)) => End::Unknown("stack"),
        (Status::StartFailed, Some(code)) => End::Trapped(code),
        (Status::StartFailed, None) if e.message().contains("fuel") => End::Unknown("fuel"),
        (Status::StartFailed, None) if e.message().contains("threw") => End::Exception,
        (Status::LimitExceeded, _) => End::Unknown("limit"),
        _ => End::Broken(format!("{:?}: {e}", e.status())),
    }
}

fn val(v: Value) -> Val {
    match v {
        Value::I32(v) => Val::I32(v as i32),
        Value::I64(v) => Val::I64(v as i64),
        Value::F32(v) => Val::F32(f32::from_bits(v)),
        Value::F64(v) => Val::F64(f64::from_bits(v)),
        Value::V128(v) => Val::V128(v),
        Value::Extern(n) => Val::ExternRef(extern_word(n)),
        Value::Ref(_) => Val::FuncRef(0),
        Value::Exn(_) => Val::ExnRef(0),
    }
}

fn value(v: &Val) -> Value {
    match *v {
        Val::I32(v) => Value::I32(v as u32),
        Val::I64(v) => Value::I64(v as u64),
        Val::F32(v) => Value::F32(v.to_bits()),
        Val::F64(v) => Value::F64(v.to_bits()),
        Val::V128(v) => Value::V128(v),
        Val::ExternRef(v) => Value::Extern(extern_number(v)),
        Val::FuncRef(v) => Value::Ref(v == 0),
        Val::ExnRef(v) => Value::Exn(v == 0),
    }
}

fn calls(i: &InstanceRef, case: &Case, mut seen: Seen) -> Seen {
    for (name, args, _) in &case.calls {
        let args: Vec<Val> = args.iter().map(|v| val(*v)).collect();
        let end = call(i, name, &args, case).unwrap_or_else(|e| End::Broken(e.to_string()));
        let stop = matches!(end, End::Unknown(_) | End::Broken(_));
        seen.calls.push((end, host::log()));
        if stop {
            return seen;
        }
    }
    for (name, _) in &case.surface.globals {
        note_global(i, "", name, &mut seen);
    }
    for (name, ty) in &case.surface.tables {
        match i.table_elements(name) {
            Ok(words) => {
                let element = |w: &u64| match ty {
                    Type::Extern => Value::Extern(extern_number(*w)),
                    Type::Exn => Value::Exn(*w == 0),
                    _ => Value::Ref(*w == 0),
                };
                seen.tables.push((name.clone(), words.iter().map(element).collect()));
            }
            Err(e) => seen.start = End::Broken(e.to_string()),
        }
    }
    for name in &case.surface.memories {
        note_memory(i, "", name, &mut seen);
    }
    seen
}

fn note_global(i: &InstanceRef, prefix: &str, name: &str, seen: &mut Seen) {
    match i.global_get(name) {
        Ok(v) => seen.globals.push((format!("{prefix}{name}"), value(&v))),
        Err(e) => seen.start = End::Broken(e.to_string()),
    }
}

fn note_memory(i: &InstanceRef, prefix: &str, name: &str, seen: &mut Seen) {
    let read = i.exported_memory(name).and_then(|index| {
        let mut bytes = vec![0; i.memory_size_of(index)? as usize];
        i.memory_read_of(index, 0, &mut bytes).map(|()| bytes)
    });
    match read {
        Ok(bytes) => seen.memories.push((format!("{prefix}{name}"), Contents::of(&bytes))),
        Err(e) => seen.start = End::Broken(e.to_string()),
    }
}

fn call(i: &InstanceRef, name: &str, args: &[Val], case: &Case) -> lucet::Result<End> {
    let fuel = case.setting.fuel;
    let mut left = if case.endless { ENDLESS } else { PORTIONS };
    if let Some(portion) = fuel {
        i.set_fuel(portion)?;
    }
    let mut outcome = i.run(name, args)?;
    loop {
        outcome = match outcome {
            Outcome::Yielded(v) => i.resume(v)?,
            Outcome::OutOfFuel => {
                let portion = fuel.unwrap_or(1);
                let Some(less) = left.checked_sub(portion) else { return Ok(End::Unknown("fuel")) };
                left = less;
                i.add_fuel(portion)?;
                i.resume(0)?
            }
            Outcome::Returned(v) => return Ok(End::Returned(v.iter().map(value).collect())),
            Outcome::Trapped(t) if t.code == TrapCode::StackOverflow => {
                return Ok(End::Unknown("stack"));
            }
            Outcome::Trapped(t) => {
                i.recover()?;
                return Ok(End::Trapped(t.code));
            }
            // The instance is ready for the next call.
            Outcome::Exception(_) => return Ok(End::Exception),
            other => return Ok(End::Broken(format!("{other:?}"))),
        }
    }
}

fn f(v: Value) -> f64 {
    match v {
        Value::F64(v) => f64::from_bits(v),
        Value::F32(v) => f32::from_bits(v).into(),
        _ => 0.0,
    }
}

extern "C" fn h0(_: *const Control, _: usize) {
    host::enter(0, &[]);
}

extern "C" fn h1(_: *const Control, _: usize, a: i32) -> i32 {
    host::answer(Type::I32, host::enter(1, &[u64::from(a as u32)]), 0).word() as i32
}

extern "C" fn h2(_: *const Control, _: usize, a: i64, b: i32) -> i64 {
    host::answer(Type::I64, host::enter(2, &[a as u64, u64::from(b as u32)]), 0).word() as i64
}

extern "C" fn h3(_: *const Control, _: usize, a: f32, b: f64) -> f64 {
    f(host::answer(Type::F64, host::enter(3, &[u64::from(a.to_bits()), b.to_bits()]), 0))
}

#[allow(clippy::too_many_arguments)]
extern "C" fn h4(
    _: *const Control,
    _: usize,
    a: i32,
    b: i64,
    c: f32,
    d: f64,
    e: i32,
    g: i64,
    h: i32,
    i: i64,
) -> f32 {
    let (a, c, e, h) = (a as u32, c.to_bits(), e as u32, h as u32);
    let (d, b, g, i) = (d.to_bits(), b as u64, g as u64, i as u64);
    let log = host::enter(4, &[a.into(), b, c.into(), d, e.into(), g, h.into(), i]);
    f(host::answer(Type::F32, log, 0)) as f32
}

extern "C" fn h5(_: *const Control, _: usize, a: i64, out: *mut u128) {
    results(5, host::enter(5, &[a as u64]), out);
}

extern "C" fn h6(_: *const Control, _: usize, a: u64) -> u64 {
    host::answer(Type::Extern, host::enter(6, &[a]), 0).word()
}

#[allow(clippy::too_many_arguments)]
extern "C" fn h7(
    _: *const Control,
    _: usize,
    a: f64,
    b: f64,
    c: f64,
    d: f64,
    e: f64,
    f: f64,
    g: f64,
    h: f64,
    i: f64,
    j: f64,
    out: *mut u128,
) {
    let args = [a, b, c, d, e, f, g, h, i, j].map(f64::to_bits);
    results(7, host::enter(7, &args), out);
}

/// Writes all results of a function into their slots.
fn results(function: usize, h: u64, out: *mut u128) {
    for (n, ty) in host::FUNCTIONS[function].2.iter().enumerate() {
        let word = host::answer(*ty, h, n).word();
        // SAFETY: the thunk passes room for the results of the function's type.
        unsafe { out.add(n).write(word.into()) };
    }
}

extern "C" fn wait(ctx: *const Control, _: usize, a: i64) -> i64 {
    let h = host::enter(8, &[a as u64]);
    // SAFETY: what the thunk passed, in the host function it called.
    let ctx = unsafe { Vmctx::from_raw(ctx) };
    // In a start function the guest cannot be suspended.
    if let Some(ctx) = ctx {
        let _ = ctx.yield_value(h, None, 0);
    }
    h as i64
}

fn imports() -> Imports {
    let code: [*const c_void; 9] = [
        h0 as *const _,
        h1 as *const _,
        h2 as *const _,
        h3 as *const _,
        h4 as *const _,
        h5 as *const _,
        h6 as *const _,
        h7 as *const _,
        wait as *const _,
    ];
    let mut imports = Imports::new();
    for ((name, params, results), f) in host::FUNCTIONS.iter().zip(code) {
        let list = |types: &[Type]| {
            let names = types.iter().map(|t| match t {
                Type::Extern => "externref".to_owned(),
                t => format!("{t:?}").to_lowercase(),
            });
            names.collect::<Vec<_>>().join(", ")
        };
        let text = format!("({}) -> ({})", list(params), list(results));
        let ty = lucet::parse_signature(&text).expect("a signature");
        // SAFETY: each function has the C type that belongs to the signature in the table.
        let code = unsafe { HostCode::new(f) };
        imports.add(host::HOST, name, ty, code, 0).expect("a new name");
    }
    imports
}
