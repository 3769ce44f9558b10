//! From a seed to a case: a program, the calls to make, and how lucet is to compile and run it.

use crate::features::Features;
use crate::host;
use crate::rng::Rng;
use crate::value::{Type, Value};
use arbitrary::Unstructured;
use lucet_artifact::types::MemoryShape;
use wasm_smith::{Config, MemoryOffsetChoices};
use wasmparser::types::EntityType;
use wasmparser::{Validator, WasmFeatures};

/// Largest memory in pages, and largest table in elements, in all engines.
pub const MAX_PAGES: u64 = 40;
pub const MAX_ELEMENTS: u64 = 500;

/// Steps that a program may take before it traps (a call or a round of a loop is one).
const STEPS: u32 = 600;

/// How lucet compiles and runs a program.
#[derive(Debug, Clone)]
pub struct Setting {
    pub shape: MemoryShape,
    pub opt: lucetc::OptLevel,
    pub cpu: u64,
    /// Fuel is counted, and given in portions of so many units.
    pub fuel: Option<u64>,
    pub paranoid: bool,
    /// It is run once more, in an instance that was reset or in a new one in a used slot.
    pub again: Option<Again>,
}

/// Where the second run happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    Reset,
    NewInstance,
}

/// What a program exports.
#[derive(Debug, Clone, Default)]
pub struct Surface {
    pub globals: Vec<(String, Type)>,
    pub tables: Vec<(String, Type)>,
    pub memories: Vec<String>,
}

/// A case.
#[derive(Debug, Clone)]
pub struct Case {
    pub seed: u64,
    pub wasm: Vec<u8>,
    /// Nothing in the program makes sure that it ends.
    pub endless: bool,
    pub setting: Setting,
    pub calls: Vec<(String, Vec<Value>, Vec<Type>)>,
    pub surface: Surface,
    pub needs_provider: bool,
    /// Uses what wasmi does not have.
    pub beyond_wasmi: bool,
}

fn setting(rng: &mut Rng) -> Setting {
    let v3 = lucetc::options::cpu_from_name("x86-64-v3").unwrap_or_default();
    let native = lucetc::options::cpu_from_name("native").unwrap_or_default();
    let shapes = [MemoryShape::Guarded, MemoryShape::Compact];
    Setting {
        shape: *rng.pick(&shapes),
        opt: match rng.below(10) {
            0 => lucetc::OptLevel::None,
            1 => lucetc::OptLevel::SpeedAndSize,
            _ => lucetc::OptLevel::Speed,
        },
        cpu: if native & v3 == v3 && rng.one_in(2) { v3 } else { lucetc::Options::default().cpu },
        fuel: rng.one_in(5).then(|| 1 + rng.below(400)),
        paranoid: rng.one_in(16),
        again: match rng.below(8) {
            0 => Some(Again::Reset),
            1 => Some(Again::NewInstance),
            _ => None,
        },
    }
}

fn config(rng: &mut Rng, f: Features) -> Config {
    let memories = if f.multi_memory && rng.one_in(3) { 3 } else { 1 };
    let large = rng.one_in(8);
    let mut c = Config {
        bulk_memory_enabled: true,
        reference_types_enabled: true,
        multi_value_enabled: true,
        saturating_float_to_int_enabled: true,
        sign_extension_ops_enabled: true,
        simd_enabled: f.simd && rng.one_in(2),
        tail_call_enabled: f.tail_call,
        memory64_enabled: f.memory64 && rng.one_in(3),
        exceptions_enabled: f.exceptions && rng.one_in(3),
        gc_enabled: f.function_references && rng.one_in(24),
        threads_enabled: f.threads && rng.one_in(4),
        canonicalize_nans: true,
        compact_imports_enabled: false,
        custom_page_sizes_enabled: false,
        wide_arithmetic_enabled: f.wide_arithmetic && rng.one_in(4),
        shared_everything_threads_enabled: false,
        disallow_traps: rng.one_in(2),
        export_everything: true,
        max_memories: memories,
        min_funcs: 1,
        max_funcs: 1 + rng.below(if large { 8 } else { 3 }) as usize,
        max_globals: 6,
        max_tables: 2,
        max_tags: 3,
        max_types: if large { 8 } else { 3 },
        max_values: 6,
        max_exports: 30,
        max_imports: 0,
        max_data_segments: 4,
        max_element_segments: 4,
        max_elements: 8,
        max_instructions: *rng.pick(if large { &[60, 120, 400] } else { &[10, 30, 90] }),
        max_nesting_depth: 10,
        max_memory32_bytes: 3 << 16,
        max_memory64_bytes: 3 << 16,
        max_table_elements: 40,
        ..Config::default()
    };
    c.relaxed_simd_enabled = c.simd_enabled && f.relaxed_simd && rng.one_in(4);
    if rng.one_in(4) {
        c.memory_offset_choices = MemoryOffsetChoices(40, 30, 30);
    }
    if !rng.one_in(3) {
        c.available_imports = Some(host::available(rng));
        c.max_imports = 20;
        c.max_funcs += 6;
    }
    c
}

fn neutral(t: wasmparser::ValType) -> Type {
    match t {
        wasmparser::ValType::I32 => Type::I32,
        wasmparser::ValType::I64 => Type::I64,
        wasmparser::ValType::F32 => Type::F32,
        wasmparser::ValType::F64 => Type::F64,
        wasmparser::ValType::V128 => Type::V128,
        wasmparser::ValType::Ref(r) if r == wasmparser::RefType::FUNCREF => Type::Func,
        wasmparser::ValType::Ref(r) if r == wasmparser::RefType::EXTERNREF => Type::Extern,
        wasmparser::ValType::Ref(r) if r == wasmparser::RefType::EXNREF => Type::Exn,
        wasmparser::ValType::Ref(_) => Type::Other,
    }
}

/// An argument: extremes as often as anything.
fn argument(rng: &mut Rng, ty: Type) -> Value {
    let word = match rng.below(5) {
        0 => rng.next(),
        1 => rng.below(200),
        2 => rng.below(200).wrapping_neg(),
        3 => 1u64 << rng.below(64),
        _ => (1u64 << rng.below(64)).wrapping_sub(1),
    };
    let floats = [0.0, -0.0, 1.0, -1.5, f64::INFINITY, 1e300, 2147483648.0, -9.3e18, 0.4999];
    match ty {
        Type::F32 if rng.one_in(2) => Value::F32((*rng.pick(&floats) as f32).to_bits()),
        Type::F64 if rng.one_in(2) => Value::F64(rng.pick(&floats).to_bits()),
        _ => Value::from_word(ty, word),
    }
}

/// The exports of a valid module, and calls of its functions.
type Exports = (Surface, Vec<(String, Vec<Value>, Vec<Type>)>);

fn exports(wasm: &[u8], rng: &mut Rng) -> Option<Exports> {
    let types = Validator::new_with_features(WasmFeatures::all()).validate_all(wasm).ok()?;
    let types = types.as_ref();
    let (mut surface, mut calls) = (Surface::default(), Vec::new());
    for (name, entity) in types.core_exports()? {
        let name = name.to_owned();
        match entity {
            EntityType::Func(id) | EntityType::FuncExact(id) => {
                let ty = types[id].unwrap_func();
                let nullable = |t: &wasmparser::ValType| match t {
                    wasmparser::ValType::Ref(r) => r.is_nullable(),
                    _ => true,
                };
                if ty.params().iter().all(nullable) && calls.len() < 12 {
                    let args = ty.params().iter().map(|t| argument(rng, neutral(*t))).collect();
                    calls.push((name, args, ty.results().iter().map(|t| neutral(*t)).collect()));
                }
            }
            EntityType::Global(g) => surface.globals.push((name, neutral(g.content_type))),
            EntityType::Table(t) => {
                surface.tables.push((name, neutral(wasmparser::ValType::Ref(t.element_type))));
            }
            EntityType::Memory(_) => surface.memories.push(name),
            EntityType::Tag(_) => {}
        }
    }
    Some((surface, calls))
}

/// Bytes of a program from wasm-smith, whether it may run for ever, and its configuration.
pub fn program(rng: &mut Rng, f: Features) -> Option<(Vec<u8>, bool, Config)> {
    let config = config(rng, f);
    let length = *rng.pick(&[200, 400, 800, 3000]);
    let bytes = rng.bytes(length);
    let endless = rng.one_in(7);
    let mut module =
        wasm_smith::Module::new(config.clone(), &mut Unstructured::new(&bytes)).ok()?;
    if !endless {
        module.ensure_termination(STEPS).ok()?;
    }
    Some((module.to_bytes(), endless, config))
}

/// The case of a seed, if there is one.
pub fn case(seed: u64, f: Features) -> Option<Case> {
    let mut rng = Rng::new(seed, 1);
    let mut setting = setting(&mut rng);
    let (wasm, endless, config) = program(&mut rng, f)?;
    if endless {
        setting.fuel = Some(1 + rng.below(3000));
    }
    let beyond_wasmi = config.exceptions_enabled
        || config.gc_enabled
        || config.threads_enabled
        || config.relaxed_simd_enabled;
    let case = around(wasm, seed, setting, &mut rng)?;
    Some(Case { endless, beyond_wasmi, ..case })
}

/// A case of a given module.
pub fn of(wasm: Vec<u8>, seed: u64) -> Option<Case> {
    let mut rng = Rng::new(seed, 1);
    let setting = setting(&mut rng);
    around(wasm, seed, setting, &mut rng)
}

fn around(wasm: Vec<u8>, seed: u64, setting: Setting, rng: &mut Rng) -> Option<Case> {
    let (surface, calls) = exports(&wasm, rng)?;
    let mut needs_provider = false;
    for payload in wasmparser::Parser::new(0).parse_all(&wasm) {
        if let Ok(wasmparser::Payload::ImportSection(imports)) = payload {
            needs_provider = imports.into_imports().flatten().any(|i| i.module == host::PROVIDER);
        }
    }
    let (endless, beyond_wasmi) = (false, false);
    Some(Case { seed, wasm, endless, setting, calls, surface, needs_provider, beyond_wasmi })
}
