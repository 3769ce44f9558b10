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

use super::{decode, names};
use crate::error::{Class, Diagnostic, Errors};
use std::collections::BTreeMap;
use wasmparser::{
    FuncValidatorAllocations, Parser, Payload, TypeRef, ValidPayload, Validator, WasmFeatures,
};

/// The features that are compiled.
pub const SUPPORTED: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::GC_TYPES);

/// Everything that may count as WebAssembly when deciding between invalid and unsupported. Early
/// proposals whose encodings contradict the specification's tests for malformed modules are left
/// out.
fn known() -> WasmFeatures {
    WasmFeatures::all()
        .difference(WasmFeatures::SHARED_EVERYTHING_THREADS)
        .difference(WasmFeatures::MEMORY_CONTROL)
        .difference(WasmFeatures::CUSTOM_PAGE_SIZES)
}

/// The features to validate a refused module with. Two proposals also relax encodings that they do
/// not need: 64-bit memories allow longer offsets and limits, several memories allow an overlong
/// index of the only one. A module that uses neither is malformed then, and nobody would understand
/// a message about 64-bit memories.
fn known_for(wasm: &[u8]) -> WasmFeatures {
    let (mut memories, mut wide) = (0u32, false);
    let mut parser = Parser::new(0);
    parser.set_features(known());
    for payload in parser.parse_all(wasm) {
        match payload {
            Ok(Payload::ImportSection(r)) => {
                for import in r.into_imports().flatten() {
                    match import.ty {
                        TypeRef::Memory(m) => {
                            memories += 1;
                            wide |= m.memory64;
                        }
                        TypeRef::Table(t) => wide |= t.table64,
                        _ => {}
                    }
                }
            }
            Ok(Payload::TableSection(r)) => wide |= r.into_iter().flatten().any(|t| t.ty.table64),
            Ok(Payload::MemorySection(r)) => {
                memories = memories.saturating_add(r.count());
                wide |= r.into_iter().flatten().any(|m| m.memory64);
            }
            Ok(Payload::CodeSectionStart { .. } | Payload::End(_)) | Err(_) => break,
            Ok(_) => {}
        }
    }
    let mut features = known();
    if !wide {
        features = features.difference(WasmFeatures::MEMORY64);
    }
    if memories < 2 {
        features = features.difference(WasmFeatures::MULTI_MEMORY);
    }
    features
}

/// Most problems listed in one run.
const MAX_PROBLEMS: usize = 50;

/// Name of a feature, and what to do about it.
const FEATURES: [(WasmFeatures, &str, &str); 16] = [
    (WasmFeatures::SIMD, "simd", "build without -msimd128"),
    (WasmFeatures::RELAXED_SIMD, "relaxed-simd", "build without -mrelaxed-simd"),
    (WasmFeatures::THREADS, "threads", "build without -pthread and -matomics"),
    (WasmFeatures::TAIL_CALL, "tail-call", "build without -mtail-call"),
    (WasmFeatures::MULTI_MEMORY, "multi-memory", "use one memory"),
    (
        WasmFeatures::EXCEPTIONS,
        "exceptions",
        "build without -fwasm-exceptions, for example with -fno-exceptions",
    ),
    (
        WasmFeatures::LEGACY_EXCEPTIONS,
        "legacy-exceptions",
        "build without -fwasm-exceptions, for example with -fno-exceptions",
    ),
    (WasmFeatures::MEMORY64, "memory64", "build for wasm32"),
    (
        WasmFeatures::FUNCTION_REFERENCES,
        "function-references",
        "build for a target without typed function references",
    ),
    (WasmFeatures::GC, "gc", "build for a target without garbage-collected types"),
    (WasmFeatures::STACK_SWITCHING, "stack-switching", "build without stack switching"),
    (WasmFeatures::WIDE_ARITHMETIC, "wide-arithmetic", "build without -mwide-arithmetic"),
    (
        WasmFeatures::CUSTOM_DESCRIPTORS,
        "custom-descriptors",
        "build for a target without custom descriptors",
    ),
    (WasmFeatures::COMPACT_IMPORTS, "compact-imports", "write imports in the standard encoding"),
    (WasmFeatures::EXTENDED_CONST, "extended-const", "build without -mextended-const"),
    (WasmFeatures::COMPONENT_MODEL, "component-model", "pass a core module, not a component"),
];

/// One problem and the function it is in.
type Problem = (Option<u32>, wasmparser::Error);

/// Validates a module; `Ok` means valid, and only supported features are used.
pub fn validate(wasm: &[u8]) -> Result<(), Errors> {
    if Parser::is_component(wasm) {
        let d = Diagnostic::new(Class::Unsupported, "component-model is not supported");
        return Err(d.help("pass a core module, not a component").into());
    }
    let problems = check(wasm, SUPPORTED);
    if problems.is_empty() {
        return Ok(());
    }
    let names = names::function_names(wasm);
    let strict = check(wasm, known_for(wasm));
    if strict.is_empty() {
        return Err(unsupported(wasm, problems, &names));
    }
    match decode::decode(wasm, SUPPORTED) {
        Ok(()) => {
            let limit = strict.first().is_some_and(|(_, e)| is_limit(e.message()));
            Err(all(if limit { Class::Limit } else { Class::Invalid }, strict, &names))
        }
        Err(m) => {
            let class = if is_limit(&m.message) { Class::Limit } else { Class::Malformed };
            Err(Diagnostic::new(class, m.message).at(m.offset).into())
        }
    }
}

/// Whether wasmparser refused a size and not a rule of the specification.
fn is_limit(message: &str) -> bool {
    ["exceeds limit of", "locals exceed maximum", "type size exceeds", "size is out of bounds"]
        .iter()
        .any(|m| message.contains(m))
}

/// Validates section by section. A problem outside of functions ends the run, one inside does not.
fn check(wasm: &[u8], features: WasmFeatures) -> Vec<Problem> {
    let mut validator = Validator::new_with_features(features);
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let mut problems = Vec::new();
    let mut allocations = FuncValidatorAllocations::default();
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
                if let Err(e) = v.validate(&body) {
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
    problems
}

fn diagnostic(
    class: Class,
    message: String,
    (func, e): &Problem,
    names: &BTreeMap<u32, String>,
) -> Diagnostic {
    let d = Diagnostic::new(class, message).at(e.offset());
    match func {
        Some(f) => {
            let name = names.get(f).cloned().unwrap_or_else(|| format!("wasm[{f}]"));
            d.in_function(*f, name)
        }
        None => d,
    }
}

fn all(class: Class, problems: Vec<Problem>, names: &BTreeMap<u32, String>) -> Errors {
    Errors(problems.iter().map(|p| diagnostic(class, p.1.message().to_owned(), p, names)).collect())
}

/// Names the feature of each problem. Where wasmparser does not say, the smallest set of features
/// that the module needs does.
fn unsupported(wasm: &[u8], problems: Vec<Problem>, names: &BTreeMap<u32, String>) -> Errors {
    let mut needed = None;
    let list = problems.iter().map(|p| {
        let missing = p.1.missing_wasm_feature();
        let missing = missing.unwrap_or_else(|| *needed.get_or_insert_with(|| minimal(wasm)));
        let found: Vec<_> = FEATURES.iter().filter(|f| missing.contains(f.0)).collect();
        let what: Vec<_> = found.iter().map(|f| f.1).collect();
        let help: Vec<_> = found.iter().map(|f| f.2).collect();
        let message = match what.as_slice() {
            [] => format!("not supported: {}", p.1.message()),
            _ => format!("{} is not supported: {}", what.join(", "), p.1.message()),
        };
        diagnostic(Class::Unsupported, message, p, names).help(match help.as_slice() {
            [] => "build for WebAssembly 1.0 or 2.0 without SIMD".to_owned(),
            _ => help.join("; "),
        })
    });
    Errors(list.collect())
}

/// A smallest set of features, beyond the supported ones, with which the module validates.
fn minimal(wasm: &[u8]) -> WasmFeatures {
    let mut set = known();
    for (feature, ..) in FEATURES {
        let without = set.difference(feature).union(SUPPORTED);
        if !SUPPORTED.contains(feature) && check(wasm, without).is_empty() {
            set = without;
        }
    }
    set.difference(SUPPORTED)
}
