//! The embedder's terms against modules' contracts: what is refused, what is cut, and what the
//! messages say.

#[path = "common/mod.rs"]
mod common;
#[path = "common/sample.rs"]
mod sample;

use common::host;
use lucet::{
    FuncType, Imports, Instance, Module, ModuleConfig, Outcome, Region, RegionConfig, Status,
    Terms, Val,
};
use lucet_artifact::code::{FuncRecord, NO_REF};
use lucet_artifact::contract::feature;
use lucet_artifact::types::{MemoryShape, NO_CODE};
use sample::{Parts, sample};
use std::ffi::c_void;
use std::sync::Arc;

const SHAPES: [MemoryShape; 2] = [MemoryShape::Guarded, MemoryShape::Compact];

fn config(change: impl FnOnce(&mut Terms)) -> ModuleConfig {
    let mut c = ModuleConfig { allow_unsigned: true, linkable: true, ..ModuleConfig::default() };
    change(&mut c.terms);
    c
}

fn load(bytes: &[u8], change: impl FnOnce(&mut Terms)) -> lucet::Result<Arc<Module>> {
    Module::load_bytes(bytes, &config(change))
}

/// Loads the sample with something else in it; it must be refused with these words.
fn refused(parts: impl FnOnce(&mut Parts), terms: impl FnOnce(&mut Terms), words: &[&str]) {
    let mut p = sample();
    parts(&mut p);
    let bytes = p.build();
    load(&bytes, |_| ()).unwrap();
    let e = load(&bytes, terms).unwrap_err();
    assert_eq!(e.status(), Status::ContractRefused, "{e}");
    for word in words {
        assert!(e.message().contains(word), "{word}: {e}");
    }
    let control = |c: char| c.is_control() && c != '\n';
    assert!(!e.message().contains(control) && e.message().len() < 8000, "{e}");
}

const GROWS: &str = r#"(module (memory (export "m") 2 MAX) (memory 1) (table 3 MAX funcref)
  (table (export "t") 5 externref)
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "more") (param i32) (result i32) (memory.grow 1 (local.get 0)))
  (func (export "table") (param i32) (result i32)
    (table.grow 0 (ref.null func) (local.get 0))))"#;

fn call(i: &Instance, name: &str, n: i32) -> i32 {
    match i.run(name, &[Val::I32(n)]).unwrap() {
        Outcome::Returned(v) => match v[..] {
            [Val::I32(v)] => v,
            ref other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Growth ends where the terms say, whatever the module declares; nothing ends earlier.
#[test]
fn growth_is_cut() {
    for (shape, declared) in SHAPES.into_iter().flat_map(|s| [(s, ""), (s, "40"), (s, "60000")]) {
        let wasm = common::compile(GROWS.replace("MAX", declared), shape);
        // 12 pages in both memories, of which 3 are there; 7 elements.
        let set = |t: &mut Terms| (t.max_memory, t.max_table_elements) = (Some(12 << 16), Some(7));
        let m = load(&wasm, set).unwrap();
        let r = Region::new(RegionConfig::default()).unwrap();
        let i = Instance::new(&r, &m).unwrap();
        let check = |i: &Instance| {
            assert_eq!(
                (call(i, "grow", 10), call(i, "more", 10), call(i, "table", 5)),
                (-1, -1, -1)
            );
            assert_eq!((call(i, "grow", 4), call(i, "more", 6)), (2, -1), "{shape:?} {declared}");
            assert_eq!((call(i, "more", 5), call(i, "grow", 1), call(i, "more", 1)), (1, -1, -1));
            assert_eq!((call(i, "table", 4), call(i, "table", 1)), (3, -1));
            assert_eq!((call(i, "grow", 0), call(i, "more", 0), call(i, "table", 0)), (6, 6, 7));
        };
        check(&i);
        // Instances after it in the same slot, after reset, and with a limit that would raise it.
        i.reset().unwrap();
        i.set_memory_limit(u64::MAX).unwrap();
        i.set_table_limit(u32::MAX).unwrap();
        check(&i);
        drop(i);
        check(&Instance::new(&r, &m).unwrap());
        // A region that allows less wins.
        let config = RegionConfig { max_memory: 4 << 16, max_table_elements: 5, ..*r.config() };
        let i = Instance::new(&Region::new(config).unwrap(), &m).unwrap();
        assert_eq!((call(&i, "grow", 2), call(&i, "grow", 1), call(&i, "table", 3)), (-1, 2, -1));
    }
}

/// Instances of a snapshot are under the terms that its module was loaded under.
#[test]
fn snapshots_keep_the_terms() {
    let wasm = common::compile(GROWS.replace("MAX", ""), MemoryShape::Guarded);
    let set = |t: &mut Terms| (t.max_memory, t.max_table_elements) = (Some(12 << 16), Some(7));
    let m = load(&wasm, set).unwrap();
    let r = Region::new(RegionConfig::default()).unwrap();
    let i = Instance::new(&r, &m).unwrap();
    assert_eq!((call(&i, "grow", 8), call(&i, "table", 4)), (2, 3));
    let snapshot = i.snapshot(&lucet::SnapshotOptions::default()).unwrap();
    let i = Instance::new(&r, &snapshot).unwrap();
    assert_eq!((call(&i, "grow", 2), call(&i, "table", 1)), (-1, -1));
    assert_eq!((call(&i, "grow", 1), call(&i, "grow", 1)), (10, -1));
}

#[test]
fn what_begins_beyond_is_refused() {
    let both = |t: &mut Terms| {
        (t.max_memory, t.max_table_elements) = (Some((3 << 16) - 1), Some(4));
    };
    for shape in SHAPES {
        let wasm = common::compile(GROWS.replace("MAX", ""), shape);
        let e = load(&wasm, both).unwrap_err();
        assert_eq!(e.status(), Status::ContractRefused);
        for part in [
            "the module is not what the configuration allows",
            "begins with 196608 bytes, lucet_module_config_set_max_memory allows 196607",
            "also: its table 1 begins with 5 elements",
            "lucet_module_config_set_max_table_elements allows 4",
        ] {
            assert!(e.message().contains(part), "{part}: {e}");
        }
        // To the byte and the element.
        load(&wasm, |t| (t.max_memory, t.max_table_elements) = (Some(3 << 16), Some(5))).unwrap();
    }
    // What is imported counts where it belongs.
    let importer = r#"(module (import "a" "m" (memory 9)) (import "a" "t" (table 9 funcref)))"#;
    let importer = common::compile(importer, MemoryShape::Guarded);
    load(&importer, |t| (t.max_memory, t.max_table_elements) = (Some(0), Some(0))).unwrap();
}

#[test]
fn labels_are_demanded() {
    let name = |p: &mut Parts| {
        let label = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        p.contract.labels = vec![label("tenant", "a\x1b[31m\n"), label("version", "2")];
    };
    let mut p = sample();
    name(&mut p);
    let good = |t: &mut Terms| {
        t.require_label("version", Some("3")).unwrap();
        t.require_label("version", Some("2")).unwrap();
        t.require_label("tenant", None).unwrap();
    };
    load(&p.build(), good).unwrap();
    let bad = |t: &mut Terms| {
        t.require_label("tenant", Some("b")).unwrap();
        t.require_label("author", None).unwrap();
        t.require_label("team\t", Some("red")).unwrap();
        t.require_label("version", Some("2")).unwrap();
    };
    refused(
        name,
        bad,
        &[
            r#"its label "tenant" is "a\u{1b}[31m\n", "b" is required"#,
            r#"it has no label "author": write it in the policy file"#,
            r#"it has no label "team\t" = "red""#,
        ],
    );
    refused(name, |t| t.require_label("Version", None).unwrap(), &["no label \"Version\""]);
    let e = Terms::default().require_label("", None).unwrap_err();
    assert_eq!(e.status(), Status::InvalidArgument);
    // Long ones do not flood a log.
    let long = |p: &mut Parts| p.contract.labels = vec![("k".into(), "x".repeat(1024))];
    refused(long, |t| t.require_label("k", Some("y")).unwrap(), &["xxx… (1024 bytes)\", \"y\""]);
}

#[test]
fn old_compilers_are_refused() {
    let by = |text: &str| {
        let text = text.to_owned();
        move |p: &mut Parts| p.contract.compiler = text
    };
    let at_least = |v: &'static str| move |t: &mut Terms| t.set_min_compiler(v).unwrap();
    for (have, want) in [("0.1.0", "0.1.1"), ("0.9.0", "0.10.0"), ("1.0.0-rc.1", "1.0.0")] {
        let words = [&format!("compiled by lucetc {have}"), &*format!("asks for {want}")];
        refused(by(have), at_least(want), &words);
        let mut p = sample();
        by(want)(&mut p);
        load(&p.build(), |t| t.set_min_compiler(have).unwrap()).unwrap();
        load(&p.build(), |t| t.set_min_compiler(want).unwrap()).unwrap();
    }
    // What is no version is not newer than one.
    for have in ["", "9", "9.9", "9.9.9.9", "lucetc 9.9.9", "9.9.9\n", "\x1b]0;\x07", "９.9.9", "∞"]
    {
        refused(by(have), at_least("0.0.1"), &["which is not a version", "asks for 0.0.1"]);
    }
    refused(by(&"9".repeat(64)), at_least("0.0.1"), &["which is not a version"]);
}

#[test]
fn denied_features_are_named() {
    let uses = |bits: u64| move |p: &mut Parts| p.contract.features = bits;
    let two = feature::SIMD | feature::EXCEPTIONS;
    let deny = |t: &mut Terms| {
        t.deny_feature("simd").unwrap();
        t.deny_feature("memory64").unwrap();
        t.deny_feature("exceptions").unwrap();
    };
    refused(uses(two), deny, &["it uses simd, exceptions, denied by"]);
    let all_but = |t: &mut Terms| {
        t.deny_feature("all").unwrap();
        t.allow_feature("simd").unwrap();
        t.allow_feature("multi-value").unwrap();
    };
    refused(uses(two | feature::BULK_MEMORY), all_but, &["it uses bulk-memory, exceptions, den"]);
    let mut p = sample();
    p.handlers = None;
    p.contract.features = feature::SIMD;
    load(&p.build(), all_but).unwrap();
}

#[test]
fn everything_against_the_terms_is_told_at_once() {
    let old = |p: &mut Parts| {
        p.contract.compiler = "0.1.0".to_owned();
        p.contract.features = feature::SIMD;
    };
    let terms = |t: &mut Terms| {
        t.set_min_compiler("0.2.0").unwrap();
        t.require_label("author", None).unwrap();
        t.deny_feature("simd").unwrap();
        (t.max_memory, t.max_table_elements) = (Some(65_535), Some(3));
    };
    refused(
        old,
        terms,
        &[
            "compiled by lucetc 0.1.0",
            "asks for 0.2.0",
            "it has no label \"author\"",
            "it uses simd, ",
            "begins with 65536 bytes",
            "its table 0 begins with 4 elements",
        ],
    );
}

/// A contract that keeps a feature quiet does not get it past the terms, where the module shows it.
#[test]
fn features_that_a_contract_hides_are_seen() {
    let cases = [
        ("memory64", "(module (memory i64 1))"),
        ("memory64", "(module (table i64 1 funcref))"),
        ("multi-memory", "(module (memory 1) (memory 1))"),
        ("reference-types", "(module (table 1 funcref) (table 1 funcref))"),
        ("reference-types", "(module (global externref (ref.null extern)))"),
        ("exceptions", "(module (tag))"),
        ("exceptions", "(module (func (try_table (catch_all 0) (call 0))))"),
        ("exceptions", "(module (func (param exnref)))"),
        ("multi-value", "(module (func (result i32 i32) (i32.const 1) (i32.const 1)))"),
        ("simd", "(module (global v128 (v128.const i64x2 0 0)))"),
        ("simd", "(module (func (param v128)))"),
        ("function-references", "(module (type $t (func)) (func (param (ref null $t))))"),
        ("function-references", "(module (func (param (ref func))))"),
    ];
    for (name, wat) in cases {
        let honest = common::compile(wat, MemoryShape::Guarded);
        let deny = |t: &mut Terms| t.deny_feature(name).unwrap();
        let says = |b: &[u8]| load(b, deny).is_err_and(|e| e.message().contains(name));
        assert!(says(&honest), "{name}: {wat}");
        assert!(
            says(&common::with_contract(&honest, |c| c.features = 0)),
            "{name} is hidden: {wat}"
        );
    }
}

extern "C" fn nothing(_: *mut c_void, _: *mut c_void) {}

/// One message tells of all imports that are missing or differ, with both types.
#[test]
fn imports_are_reported_together() {
    let wat = r#"(module (import "env" "log" (func (param i32)))
      (import "env" "time" (func (result f64 i32))) (import "env" "fine" (func))
      (import "other" "a" (func (param externref))) (import "env" "g" (global i32))
      (import "e\1b[2J\0a\00" "n\u{202e}" (func)))"#;
    let wasm = common::compile(wat, MemoryShape::Guarded);
    let mut imports = Imports::new();
    let f = nothing as *const c_void;
    host(&mut imports, "log", "(i64) -> i32", f, 0);
    host(&mut imports, "fine", "() -> ()", f, 0);
    let e = common::load(&wasm, imports).unwrap_err();
    assert_eq!(e.status(), Status::ImportTypeMismatch);
    for part in [
        "imports env.log as (i32) -> (), the host offers it as (i64) -> i32",
        "imports function env.time of type () -> (f64, i32), which the host does not offer",
        "imports function other.a of type (externref) -> ()",
        "imports global env.g",
        r"imports function e\u{1b}[2J\n\0.n\u{202e} of type () -> ()",
    ] {
        assert!(e.message().contains(part), "{part}: {e}");
    }
    assert_eq!(e.message().matches("\n  also: ").count(), 4, "{e}");

    // As many as a module may have do not make a message without end.
    let mut p = sample();
    let one = p.imports.imports[0].clone();
    for n in 0..500 {
        let mut i = one.clone();
        i.name = format!("{n}{}", "x".repeat(50_000));
        p.imports.imports.insert(1, i);
        // Nothing in the module refers to them, so they have no stub.
        let f = sample::func(NO_CODE, 0, 1, NO_REF);
        p.funcs.funcs.insert(1, FuncRecord { size: 0, ..f });
    }
    p.contract.functions += 500;
    p.contract.start = None;
    p.exports.exports.clear();
    p.init.elems.clear();
    p.fix_layout();
    let e = common::load(&p.build(), Imports::new()).unwrap_err();
    assert!(e.message().ends_with("and 493 more") && e.message().len() < 8000, "{e}");
}

/// At instantiation: the message has both numbers, and the knob to turn.
#[test]
fn what_does_not_fit_a_region_is_refused_with_both_numbers() {
    let wat = r#"(module (memory 3) (memory 2) (table 9 funcref)
      (global (mut i64) (i64.const 1)) (func (export "f")))"#;
    let wasm = common::compile(wat, MemoryShape::Guarded);
    let m = load(&wasm, |_| ()).unwrap();
    let data = m.contract().instance_data;
    let many = format!("(module (memory 1) {})", "(global (mut i64) (i64.const 0))".repeat(600));
    let many = load(&common::compile(many, MemoryShape::Guarded), |_| ()).unwrap();
    let bytes = many.contract().instance_data;
    assert!(data < 4096 && bytes > 8192);
    type Change = fn(&mut RegionConfig);
    let cases: [(&Arc<Module>, Change, String, &str); 4] = [
        (
            &m,
            |c| c.max_memory = (5 << 16) - 1,
            "begins with 327680 bytes, the region allows 327679".into(),
            "set_max_memory",
        ),
        (
            &m,
            |c| c.max_table_elements = 8,
            "begins with 9 elements, the region allows 8".into(),
            "set_max_table_elements",
        ),
        (
            &many,
            |c| c.max_instance_data = 8192,
            format!("needs {bytes} bytes of instance data, the region's slots offer 8192"),
            "set_max_instance_data",
        ),
        (&m, |c| c.compact = true, "--memory compact".into(), "the region is compact"),
    ];
    for (m, change, part, knob) in cases {
        let mut config = RegionConfig { max_memory: 5 << 16, ..RegionConfig::default() };
        config.max_table_elements = 9;
        Instance::new(&Region::new(config).unwrap(), m).unwrap();
        change(&mut config);
        let e = Instance::new(&Region::new(config).unwrap(), m).unwrap_err();
        assert_eq!(e.status(), Status::LimitExceeded, "{e}");
        assert!(e.message().contains(&part) && e.message().contains(knob), "{part}: {e}");
    }
}

/// A function whose frame alone is larger than a stack could never run.
#[test]
fn frames_that_fit_no_stack_are_refused() {
    let mut p = sample();
    p.imports.imports.pop();
    p.contract.globals.remove(0);
    p.init.globals = vec![vec![lucet_artifact::init::ConstOp::I32(4)]];
    p.exports.exports.retain(|e| e.name != "counter");
    p.init.datas.clear();
    p.contract.start = None;
    p.fix_layout();
    let mut imports = Imports::new();
    let ty: &FuncType = &p.types.types[0].ty;
    host(&mut imports, "log", &ty.to_string(), nothing as *const c_void, 0);
    for (need, fits) in [(256 << 10, true), ((256 << 10) + 1, false), (u32::MAX, false)] {
        p.contract.min_stack = need;
        let m = common::load(&p.build(), imports.clone()).unwrap();
        match Instance::new(&common::region(), &m) {
            Ok(_) => assert!(fits, "{need}"),
            Err(e) => {
                assert!(!fits && e.status() == Status::LimitExceeded, "{e}");
                let part = format!("needs {need} bytes of stack, the region's slots offer 262144");
                assert!(e.message().contains(&part), "{e}");
                assert!(e.message().contains("lucet_region_config_set_stack_bytes"), "{e}");
            }
        }
    }
}

/// Bytes of tables are bounded by the module, not by what each table says.
#[test]
fn the_tables_of_a_module_are_limited_together() {
    let wat = |n: u32, m: u32| format!("(module (table {n} funcref) (table {m} funcref))");
    let e = lucetc::compile(wat(10_000_000, 1).as_bytes(), &lucetc::Options::default());
    let e = e.unwrap_err().to_string();
    assert!(e.contains("10000001 elements together, the limit is 10000000"), "{e}");
    let whole = lucetc::compile(wat(9_999_999, 1).as_bytes(), &lucetc::Options::default());
    assert!(whole.is_ok());
    let mut p = sample();
    let one = p.contract.tables[0];
    p.contract.tables.extend([one; 900]);
    p.init.tables.extend(vec![None; 900]);
    p.contract.tables.iter_mut().for_each(|t| t.min = 10_000_000);
    p.fix_layout();
    let e = load(&p.build(), |_| ()).unwrap_err();
    assert_eq!(e.status(), Status::InvalidArtifact);
    assert!(e.message().contains("begin with 9010000000 elements, the limit is 10000000"), "{e}");
}
