//! Refused modules: every feature that is not compiled is named, with a place and a way out, and
//! is neither invalid nor malformed; what is invalid even with the feature stays invalid. (The
//! official suite's own modules are judged by `tests/spec` of the workspace.)

use lucetc::{Class, Diagnostic, Options};
use std::collections::BTreeSet;

fn refused(input: &[u8]) -> Vec<Diagnostic> {
    let made = lucetc::compile_to_model(input, &Options::default()).map(|_| ());
    let said = made.expect_err("refused").0;
    assert!(!said.is_empty(), "refused without a word");
    said
}

/// The module is refused for want of one feature, with a place and with `help`.
fn unsupported(input: &[u8], feature: &str, help: &str) {
    let shown = String::from_utf8_lossy(input);
    for d in refused(input) {
        let names = format!("{feature} is not supported: ");
        assert_eq!(d.class, Class::Unsupported, "{shown}: {d}");
        assert!(d.message.starts_with(&names), "{shown}: {d}");
        assert!(d.offset.is_some(), "{shown}: {d}");
        assert!(d.help.as_ref().is_some_and(|h| h.contains(help)), "{shown}: {d}");
    }
}

#[test]
fn refused_features_are_named_with_place_and_way_out() {
    let cases = [
        ("(memory 1 2 shared)", "shared-memory", "--shared-memory"),
        ("(import \"a\" \"b\" (memory 1 2 shared))", "shared-memory", "-pthread"),
        ("(type (struct))", "gc", "garbage"),
        ("(type (array i8))", "gc", "garbage"),
        ("(type (sub (func)))", "gc", "garbage"),
        ("(rec (type (func)) (type (func)))", "gc", "garbage"),
        ("(func (param anyref))", "gc", "garbage"),
        ("(func (drop (ref.i31 (i32.const 1))))", "gc", "garbage"),
        ("(func (param funcref) (drop (ref.test funcref (local.get 0))))", "gc", "garbage"),
        ("(memory 1 (pagesize 1))", "custom-page-sizes", "--page-size"),
        ("(type $f (func)) (type (cont $f))", "stack-switching", "stack switching"),
        (
            "(type $f (func)) (import \"a\" \"b\" (func (exact (type $f))))",
            "custom-descriptors",
            "descr",
        ),
        ("(table shared 1 (ref null (shared func)))", "shared-everything-threads", "shared"),
        (
            "(memory 1) (func (memory.discard (i32.const 0) (i32.const 0)))",
            "memory-control",
            "memory.discard",
        ),
        ("(import \"a\" (item \"b\" (func)))", "compact-imports", "standard encoding"),
    ];
    let mut named = BTreeSet::from(["component-model", "legacy-exceptions"]);
    for (text, feature, help) in cases {
        unsupported(format!("(module {text})").as_bytes(), feature, help);
        named.insert(feature);
    }
    unsupported(b"(component)", "component-model", "core module");
    unsupported(LEGACY, "legacy-exceptions", "--translate-to-exnref");
    assert_eq!(named.len(), 10, "SPECIFICATION.md says how many: {named:?}");
}

/// Legacy exceptions have no text format of their own any more, so this is a binary module:
/// `(func (try (do) (catch_all)))`.
const LEGACY: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\
    \x0a\x08\x01\x06\0\x06\x40\x19\x0b\x0b";

#[test]
fn invalid_with_a_refused_feature_is_invalid() {
    let cases = [
        "(type (struct)) (func (result i32) (struct.new 0))",
        "(memory 2 1 shared)",
        "(memory 1 shared) (func (result i32))",
        "(memory 1 (pagesize 2))",
        "(type $f (func)) (tag (type 1))",
        // Valid with stack switching, but nothing else asks for that.
        "(tag (result i32))",
    ];
    for text in cases {
        let text = format!("(module {text})");
        for d in refused(text.as_bytes()) {
            assert_eq!(d.class, Class::Invalid, "{text}: {d}");
        }
    }
}

#[test]
fn names_do_not_decide_the_class() {
    // wasmparser's message quotes the name of an export that is there twice.
    let name = "locals exceed maximum; x count exceeds limit of 1";
    let text =
        format!("(module (memory 1) {})", format!("(export \"{name}\" (memory 0))").repeat(2));
    for d in refused(text.as_bytes()) {
        assert_eq!(d.class, Class::Invalid, "{d}");
    }
}

#[test]
fn a_name_that_is_too_long_is_a_limit() {
    let text = format!("(module (memory (export \"{}\") 1))", "n".repeat(100_001));
    for d in refused(text.as_bytes()) {
        assert_eq!(d.class, Class::Limit, "{d}");
    }
}

#[test]
fn bytes_that_mean_something_only_in_an_early_proposal_are_malformed() {
    // An i32 global with the bit for "shared".
    let module = b"\0asm\x01\0\0\0\x06\x06\x01\x7f\x02\x41\0\x0b";
    let d = refused(module);
    assert_eq!(d[0].class, Class::Malformed);
    assert!(d[0].message.contains("shared-everything-threads"), "{}", d[0]);
}
