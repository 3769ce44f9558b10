//! Validation, and the class of what is wrong.
//!
//! ```text
//!  validate with the supported features ── ok ──► compile
//!    └─ fails: validate with every feature it can mean ── ok ──► Unsupported, naming the feature
//!         └─ fails: decode without validating ── fails ──► Malformed
//!                                              └─ ok ────► Invalid
//! ```
//!
//! Functions are validated one by one, so that one run reports the problems of all of them.
//!
//! Two bytes can ask for the comparison of two thousand types, so validation takes time that the
//! size of the module does not bound, and a module that is refused is validated several times. The
//! clock is therefore looked at every few thousand bytes, and a `br_table` beyond its limit is
//! refused before its targets are compared.

use super::{decode, names};
use crate::budget::Budget;
use crate::error::{Class, Diagnostic, Errors};
use crate::limits::{Limit, Limits};
use std::collections::BTreeMap;
use wasmparser::{
    BinaryReader, FuncValidator, FuncValidatorAllocations, FunctionBody, Parser, Payload, TypeRef,
    ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

/// The features that are compiled.
pub const SUPPORTED: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::THREADS)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::GC_TYPES);

/// What a module is first judged with, if it is not valid with the supported features: everything
/// except proposals that change the meaning of encodings or rules that exist without them.
fn known() -> WasmFeatures {
    WasmFeatures::all().difference(LATER)
}

/// Proposals that only count if the module asks for them: one allows casts and another tags that
/// are invalid without them, the others give a meaning to bytes that are malformed without them.
const LATER: WasmFeatures = WasmFeatures::CUSTOM_DESCRIPTORS
    .union(WasmFeatures::STACK_SWITCHING)
    .union(WasmFeatures::SHARED_EVERYTHING_THREADS)
    .union(WasmFeatures::MEMORY_CONTROL)
    .union(WasmFeatures::ACQUIRE_RELEASE_ATOMICS)
    .union(WasmFeatures::MULTIBYTE_ARRAY_ACCESS);

/// Validates with every feature the module can mean; gives these too.
fn check_known(wasm: &[u8], bounds: Bounds<'_>) -> Result<(WasmFeatures, Vec<Problem>), Stop> {
    let mut features = known();
    loop {
        let problems = check(wasm, features, bounds)?;
        let asks = problems.iter().filter_map(asks_for).fold(features, WasmFeatures::union);
        if asks == features {
            return Ok((features, problems));
        }
        features = asks;
    }
}

/// The proposal that a problem asks for. Results of a tag alone do not ask for stack switching, nor
/// does one bit of a global for shared everything.
fn asks_for((_, e): &Problem) -> Option<WasmFeatures> {
    const ALONE: [&str; 2] = ["non-empty tag result type", "shared globals require"];
    e.missing_wasm_feature().filter(|_| !ALONE.iter().any(|m| e.message().contains(m)))
}

/// Most problems listed in one run.
const MAX_PROBLEMS: usize = 50;

/// Name of a feature, and what to do about it.
const FEATURES: [(WasmFeatures, &str, &str); 9] = [
    (
        WasmFeatures::EXCEPTIONS,
        "exceptions",
        "build without -fwasm-exceptions, for example with -fno-exceptions",
    ),
    (
        WasmFeatures::LEGACY_EXCEPTIONS,
        "legacy-exceptions",
        "build with -mllvm -wasm-use-legacy-eh=false, or run wasm-opt --translate-to-exnref on it",
    ),
    (WasmFeatures::GC, "gc", "build for a target without garbage-collected types"),
    (WasmFeatures::STACK_SWITCHING, "stack-switching", "build without stack switching"),
    (
        WasmFeatures::CUSTOM_DESCRIPTORS,
        "custom-descriptors",
        "build for a target without custom descriptors",
    ),
    (WasmFeatures::COMPACT_IMPORTS, "compact-imports", "write imports in the standard encoding"),
    (
        WasmFeatures::SHARED_EVERYTHING_THREADS,
        "shared-everything-threads",
        "build without shared tables, globals, functions and types",
    ),
    (WasmFeatures::MEMORY_CONTROL, "memory-control", "build without memory.discard"),
    (
        WasmFeatures::CUSTOM_PAGE_SIZES,
        "custom-page-sizes",
        "link for pages of 64 KiB, without --page-size",
    ),
];

/// One problem and the function it is in.
type Problem = (Option<u32>, wasmparser::Error);

/// What validation may take.
#[derive(Clone, Copy)]
pub struct Bounds<'a> {
    /// Sizes.
    pub limits: &'a Limits,
    /// Time.
    pub budget: &'a Budget,
}

/// Why validation came to no end.
enum Stop {
    Time,
    /// A limit is exceeded in this function, at this offset.
    Limit(Limit, u32, u64),
}

/// Validates a module; `Ok` means valid, and only supported features are used.
pub fn validate(wasm: &[u8], bounds: Bounds<'_>) -> Result<(), Errors> {
    judge(wasm, bounds).unwrap_or_else(|stop| {
        Err(match stop {
            Stop::Time => bounds.budget.over(),
            Stop::Limit(limit, function, offset) => {
                let names = names::function_names(wasm);
                let d = limit.exceeded(bounds.limits).at(offset);
                d.in_function(function, name(function, &names))
            }
        }
        .into())
    })
}

fn judge(wasm: &[u8], bounds: Bounds<'_>) -> Result<Result<(), Errors>, Stop> {
    if Parser::is_component(wasm) {
        let what = "component-model is not supported: the file is a component";
        // Where the layer stands, which tells it from a module.
        let d = Diagnostic::new(Class::Unsupported, what).at(6);
        return Ok(Err(d.help("pass a core module, not a component").into()));
    }
    let problems = check(wasm, SUPPORTED, bounds)?;
    if problems.is_empty() {
        return Ok(no_shared_memories(wasm));
    }
    let names = names::function_names(wasm);
    let (features, strict) = check_known(wasm, bounds)?;
    if strict.is_empty() {
        let mut all = shared_memories(wasm);
        all.extend(unsupported(wasm, features, problems, &names, bounds)?);
        return Ok(Err(Errors(all)));
    }
    Ok(match decode::decode(wasm, known()) {
        Ok(()) => {
            let limit = strict.first().is_some_and(|(_, e)| is_limit(e.message()));
            Err(all(if limit { Class::Limit } else { Class::Invalid }, strict, &names))
        }
        Err(m) => {
            let class = if is_limit(&m.message) { Class::Limit } else { Class::Malformed };
            Err(Diagnostic::new(class, m.message).at(m.offset).into())
        }
    })
}

/// Whether wasmparser refused a size and not a rule of the specification. The one message that
/// quotes the module is none of these, whatever it quotes.
fn is_limit(message: &str) -> bool {
    const SIZES: [&str; 5] = [
        "exceeds limit of",
        "locals exceed maximum",
        "type size exceeds",
        "size is out of bounds",
        "string size out of bounds",
    ];
    !message.starts_with("duplicate export name") && SIZES.iter().any(|m| message.contains(m))
}

/// Validates section by section. A problem outside of functions ends the run, one inside does not.
fn check(wasm: &[u8], features: WasmFeatures, bounds: Bounds<'_>) -> Result<Vec<Problem>, Stop> {
    let mut validator = Validator::new_with_features(features);
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let mut problems = Vec::new();
    let mut allocations = FuncValidatorAllocations::default();
    let mut clock = Clock { bounds, next: 0 };
    for payload in parser.parse_all(wasm) {
        let payload = match payload {
            Ok(p) => p,
            Err(e) => {
                problems.push((None, e));
                break;
            }
        };
        let last = matches!(payload, Payload::End(_));
        match validator.payload(&payload) {
            Ok(ValidPayload::Func(func, body)) => {
                let mut v = func.into_validator(allocations);
                if let Err(e) = function(&mut v, &body, &mut clock)? {
                    problems.push((Some(v.index()), e));
                }
                allocations = v.into_allocations();
            }
            Ok(_) => {}
            Err(e) => {
                problems.push((None, e));
                break;
            }
        }
        if last || problems.len() >= MAX_PROBLEMS {
            break;
        }
    }
    Ok(problems)
}

/// Bytes of functions between two looks at the clock.
const LOOK: u64 = 4096;

/// When to look at the clock.
struct Clock<'a> {
    bounds: Bounds<'a>,
    // Offset in the file.
    next: u64,
}

impl Clock<'_> {
    fn look(&mut self, offset: u64) -> Result<(), Stop> {
        if offset < self.next {
            return Ok(());
        }
        self.next = offset.saturating_add(LOOK);
        if self.bounds.budget.is_over() { Err(Stop::Time) } else { Ok(()) }
    }
}

/// Opcode of `br_table`.
const BR_TABLE: u8 = 0x0e;

/// Validates a function, operator by operator.
fn function(
    v: &mut FuncValidator<ValidatorResources>,
    body: &FunctionBody<'_>,
    clock: &mut Clock<'_>,
) -> Result<wasmparser::Result<()>, Stop> {
    let mut reader = body.get_binary_reader();
    if let Err(e) = v.read_locals(&mut reader) {
        return Ok(Err(e));
    }
    reader.set_features(*v.features());
    while !reader.eof() {
        let offset = reader.original_position();
        clock.look(offset)?;
        if targets(reader.clone()) > clock.bounds.limits.get(Limit::BrTable) {
            return Err(Stop::Limit(Limit::BrTable, v.index(), offset));
        }
        let done = reader.visit_operator(&mut v.visitor(offset));
        if let Err(e) = done.and_then(|inner| inner) {
            return Ok(Err(e));
        }
    }
    Ok(reader.finish_expression(&v.visitor(reader.original_position())))
}

/// Targets of the `br_table` that comes next; 0 if it is something else.
fn targets(mut reader: BinaryReader<'_>) -> u64 {
    match reader.read_u8() {
        Ok(BR_TABLE) => reader.read_var_u32().map_or(0, u64::from),
        _ => 0,
    }
}

fn diagnostic(
    class: Class,
    message: String,
    (func, e): &Problem,
    names: &BTreeMap<u32, String>,
) -> Diagnostic {
    let d = Diagnostic::new(class, message).at(e.offset());
    match func {
        Some(f) => d.in_function(*f, name(*f, names)),
        None => d,
    }
}

fn name(function: u32, names: &BTreeMap<u32, String>) -> String {
    names.get(&function).cloned().unwrap_or_else(|| format!("wasm[{function}]"))
}

fn all(class: Class, problems: Vec<Problem>, names: &BTreeMap<u32, String>) -> Errors {
    Errors(problems.iter().map(|p| diagnostic(class, p.1.message().to_owned(), p, names)).collect())
}

/// Names the feature of each problem. Where wasmparser does not say, the smallest set of features
/// that the module needs does.
fn unsupported(
    wasm: &[u8],
    known: WasmFeatures,
    problems: Vec<Problem>,
    names: &BTreeMap<u32, String>,
    bounds: Bounds<'_>,
) -> Result<Vec<Diagnostic>, Stop> {
    let unclear = problems.iter().any(|p| p.1.missing_wasm_feature().is_none());
    let needed = if unclear { minimal(wasm, known, bounds)? } else { WasmFeatures::empty() };
    let describe = |p: &Problem| {
        let missing = p.1.missing_wasm_feature().unwrap_or(needed);
        let found: Vec<_> = FEATURES.iter().filter(|f| missing.contains(f.0)).collect();
        let what: Vec<_> = found.iter().map(|f| f.1).collect();
        let help: Vec<_> = found.iter().map(|f| f.2).collect();
        let message = match what.as_slice() {
            [] => format!("not supported: {}", p.1.message()),
            _ => format!("{} is not supported: {}", what.join(", "), p.1.message()),
        };
        diagnostic(Class::Unsupported, message, p, names).help(match help.as_slice() {
            [] => "build for WebAssembly 2.0".to_owned(),
            _ => help.join("; "),
        })
    };
    Ok(problems.iter().map(describe).collect())
}

/// Atomic accesses are compiled, memory shared between threads is not: the validator has one name
/// for both.
fn no_shared_memories(wasm: &[u8]) -> Result<(), Errors> {
    let found = shared_memories(wasm);
    if found.is_empty() { Ok(()) } else { Err(Errors(found)) }
}

/// A diagnostic for each shared memory of a valid module.
fn shared_memories(wasm: &[u8]) -> Vec<Diagnostic> {
    let mut shared = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(Payload::ImportSection(r)) => {
                for (at, i) in r.into_imports_with_offsets().flatten() {
                    if matches!(i.ty, TypeRef::Memory(m) if m.shared) {
                        shared.push(at);
                    }
                }
            }
            Ok(Payload::MemorySection(r)) => {
                let memories = r.into_iter_with_offsets().flatten();
                shared.extend(memories.filter(|(_, m)| m.shared).map(|(at, _)| at));
            }
            Ok(Payload::CodeSectionStart { .. }) | Err(_) => break,
            Ok(_) => {}
        }
    }
    let describe = |at| {
        let what = "shared-memory is not supported: a memory is shared between threads";
        Diagnostic::new(Class::Unsupported, what)
            .at(at)
            .help("build without -pthread, and link without --shared-memory; atomics may stay")
    };
    shared.into_iter().map(describe).collect()
}

/// A smallest set of features, beyond the supported ones, with which the module validates, as it
/// does with the known ones.
fn minimal(wasm: &[u8], known: WasmFeatures, bounds: Bounds<'_>) -> Result<WasmFeatures, Stop> {
    let mut set = known;
    for (feature, ..) in FEATURES {
        let without = set.difference(feature).union(SUPPORTED);
        if !SUPPORTED.contains(feature) && check(wasm, without, bounds)?.is_empty() {
            set = without;
        }
    }
    Ok(set.difference(SUPPORTED))
}
