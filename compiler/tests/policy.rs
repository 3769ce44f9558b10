//! Policies against modules: what is allowed, and every violation with place and advice, at once.
//! The examples of docs/policy.md are policies, and its messages are those that are printed.

use lucetc::policy::{Policy, schema};
use lucetc::{Class, Errors, Options};
use std::path::Path;

fn policy(text: &str) -> Policy {
    Policy::parse(text, "p.toml").unwrap_or_else(|e| panic!("{text}\n{e}"))
}

fn compile(wat: &str, policy: Policy) -> Result<Vec<u8>, Errors> {
    lucetc::compile(wat.as_bytes(), &Options { policy, threads: 1, ..Options::default() })
}

/// All that is wrong with the module, as it is printed.
fn violations(wat: &str, text: &str) -> Vec<String> {
    let Err(errors) = compile(wat, policy(text)) else { return Vec::new() };
    for d in &errors.0 {
        assert_eq!(d.class, Class::Policy, "{d}");
        assert!(d.help.is_some(), "{d}");
    }
    errors.0.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn says(wat: &str, text: &str, parts: &[&str]) {
    let said = violations(wat, text);
    assert_eq!(said.len(), parts.len(), "{said:#?}");
    for (said, part) in said.iter().zip(parts) {
        assert!(said.contains(part), "{part} not in {said}");
    }
}

const IMPORTS: &str = r#"(module
  (import "env" "log" (func (param i32 i32)))
  (import "env" "clock" (func (param i32) (result i64)))
  (import "env" "memory" (memory 1 4))
  (import "env" "table" (table 2 funcref))
  (import "env" "base" (global (mut i32)))
  (import "env" "tag" (tag (param i32))))"#;

#[test]
fn imports_by_name_and_type_of_every_kind() {
    for allowed in [
        "env = [\"*\"]",
        "\"*\" = [\"*\"]",
        "env = [\"log\", \"clock\", \"memory\", \"table\", \"base\", \"tag\"]",
        "env = [{ name = \"*\", type = \"*\" }]",
        "env = [\"log\", { name = \"c*k\", type = \"(i32) -> i64\" },
            { name = \"memory\", type = \"memory 1..4\" }, { name = \"table\", kind = \"table\" },
            { name = \"base\", type = \"global mut *\" },
            { name = \"tag\", type = \"tag (i32)\" }]",
        "env = [\"log\", \"memory\", \"table\", \"base\", \"tag\"]\n\
         \"e*\" = [{ name = \"clock\", type = \"() -> i64\" },
            { name = \"clock\", type = \"(i32) -> *\" }]",
    ] {
        let said = violations(IMPORTS, &format!("[imports]\n{allowed}"));
        assert!(said.is_empty(), "{allowed}: {said:#?}");
    }
    says(
        IMPORTS,
        "[imports]\nenv = [\"log\", { name = \"clock\", type = \"(i64) -> i64\" },
            { name = \"memory\", type = \"memory 1..2\" }, { name = \"table\", kind = \"memory\" },
            { name = \"base\", type = \"global i32\" }, { name = \"tag\", type = \"tag ()\" },
            { name = \"t*\", kind = \"function\" }]",
        &[
            "import of function env.clock has the type (i32) -> i64, the policy allows \
             (i64) -> i64 (offset 0x",
            "import of memory env.memory has the type memory 1..4, the policy allows memory 1..2",
            "import of table env.table has the type table 2.. funcref, the policy allows a memory \
             of any type, or a function of any type",
            "import of global env.base has the type global mut i32, the policy allows global i32",
            "import of tag env.tag has the type tag (i32), the policy allows tag (), or a function",
        ],
    );
    says(
        "(module (import \"a\\\"\" \"b\" (func (param f32))))",
        "[imports]",
        &[concat!(
            "import of function a\".b is not allowed; its type is (f32) -> () (offset 0x12)\n",
            "  help: allow it in [imports] of the policy file: ",
            "\"a\\\"\" = [{ name = \"b\", type = \"(f32) -> ()\" }], or remove it from the module",
        )],
    );
}

/// What the help of a refused import says to add allows it.
#[test]
fn the_advice_about_imports_works() {
    let said = violations(IMPORTS, "[imports]");
    assert_eq!(said.len(), 6);
    let lines: Vec<_> = said
        .iter()
        .map(|s| s.split("policy file: ").nth(1).unwrap().split(", or remove").next().unwrap())
        .collect();
    for (i, line) in lines.iter().enumerate() {
        let left = violations(IMPORTS, &format!("[imports]\n{line}"));
        assert_eq!(left.len(), 5, "{line}");
        assert!(!left.contains(&said[i]));
    }
}

const SIZES: &str = r#"(module
  (memory 2 9) (memory 1) (memory i64 0 3)
  (table 5 funcref) (table 1 9 externref)
  (global i32 (i32.const 1)) (global i64 (i64.const 1))
  (func $f (export "f")) (func $g) (func))"#;

#[test]
fn sizes_and_counts() {
    says(
        SIZES,
        "[limits]\nmax_memory_pages = 0\nmax_memories = 2\nmax_table_elements = 0\nmax_tables = 1\n\
         max_globals = 1\nmax_functions = 2\nmax_instance_data_bytes = 100",
        &[
            "the module has 3 memories, the policy allows 2 (max_memories)",
            "the module has 2 tables, the policy allows 1 (max_tables)",
            "the module has 2 globals, the policy allows 1 (max_globals)",
            "the module has 3 functions, the policy allows 2 (max_functions)",
            "bytes of instance data, the policy allows 100 (max_instance_data_bytes)",
            "memory 0 starts with 2 pages, the policy allows 0 (max_memory_pages)",
            "memory 1 starts with 1 pages, the policy allows 0 (max_memory_pages)",
            "table 0 starts with 5 elements, the policy allows 0 (max_table_elements)",
            "table 1 starts with 1 elements, the policy allows 0 (max_table_elements)",
        ],
    );
    // Exactly what there is.
    let exact = "[limits]\nmax_memory_pages = 2\nmax_memories = 3\nmax_table_elements = 5\n\
                 max_tables = 2\nmax_globals = 2\nmax_functions = 3";
    says(SIZES, exact, &[]);
}

#[test]
fn memories_together() {
    let total = |n: u64| format!("[limits]\nmax_total_memory_pages = {n}\n");
    says(
        SIZES,
        &(total(10) + "max_memory_pages = 5"),
        &["the memories of the module may grow to 13 pages together (5 + 5 + 3), the policy \
           allows 10 (max_total_memory_pages)"],
    );
    says(SIZES, &(total(13) + "max_memory_pages = 5"), &[]);
    // One memory is cut to the total.
    says("(module (memory 1))", &total(7), &[]);
    says("(module (memory 8))", &total(7), &["may grow to 8 pages together (8)"]);
    says("(module (import \"e\" \"m\" (memory 9)))", &total(7), &[]);
}

const FEATURES: &str = r#"(module
  (memory 1) (memory 1)
  (type $pair (func (result i32 i32)))
  (func $dead)
  (func $run (export "run") (param i32) (result i32)
    (drop (i32.extend8_s (local.get 0)))
    (drop (i8x16.extract_lane_s 1 (i8x16.splat (local.get 0))))
    (return_call $run (local.get 0))))"#;

#[test]
fn features_with_the_place_of_their_first_use() {
    says(FEATURES, "[features]\ndeny = [\"exceptions\", \"atomics\"]", &[]);
    let all = "[features]\nallow = [\"multi-value\", \"multi-memory\", \"sign-extension\", \
               \"simd\", \"tail-call\"]";
    says(FEATURES, all, &[]);
    says(
        FEATURES,
        "[features]\nallow = []",
        &[
            "the module uses sign-extension, which the policy does not allow (function 1 \"run\", \
             offset 0x",
            "the module uses multi-value (type 0), which the policy does not allow\n",
            "the module uses simd, which the policy does not allow (function 1 \"run\", offset 0x",
            "the module uses tail-call, which the policy does not allow (function 1 \"run\"",
            "the module uses multi-memory (memory 1), which the policy does not allow\n",
        ],
    );
    says(FEATURES, "[features]\ndeny = [\"simd\"]", &["the module uses simd"]);
    // The offsets are those of the operators.
    let wasm = wat::parse_str(FEATURES).unwrap();
    let Err(e) = compile(FEATURES, policy("[features]\ndeny = [\"tail-call\"]")) else { panic!() };
    let at = e.0[0].offset.unwrap() as usize;
    assert_eq!(wasm[at], 0x12, "return_call");
}

#[test]
fn features_of_declarations() {
    for (feature, wat, place) in [
        ("mutable-globals", "(global (export \"g\") (mut i32) (i32.const 0))", "global 0"),
        ("bulk-memory", "(memory 1) (data \"x\")", "data segment 0"),
        ("reference-types", "(table 1 externref)", "table 0"),
        ("reference-types", "(func $f) (elem declare func $f)", "element segment 0"),
        ("simd", "(type (func)) (type (func (param v128)))", "type 1"),
        ("extended-const", "(global i32 (i32.add (i32.const 1) (i32.const 2)))", "global 0"),
        ("memory64", "(memory i64 1)", "memory 0"),
        ("memory64", "(table 1 funcref) (table i64 1 funcref)", "table 1"),
        ("function-references", "(type (func)) (global (ref null 0) (ref.null 0))", "global 0"),
        ("exceptions", "(tag)", "tag 0"),
    ] {
        let text = format!("[features]\ndeny = [\"{feature}\"]");
        let part = format!("the module uses {feature} ({place}), which the policy does not allow");
        says(&format!("(module {wat})"), &text, &[&part]);
        says("(module)", &text, &[]);
    }
}

#[test]
fn code_is_measured() {
    let wat = "(module (func $small) (func $large (export \"large\") (param i64) (result i64)
        (local v128 v128) (call $small)
        (i64.add (local.get 0) (i64.extend_i32_u (i8x16.bitmask (local.get 1))))))";
    let compiled = lucetc::compile_to_model(wat.as_bytes(), &Options::default()).unwrap();
    let frame = compiled.funcs[1].record.frame;
    let code = compiled.text.len();
    assert!(frame > compiled.funcs[0].record.frame);
    let text = |frame: u32, code: usize| {
        format!("[limits]\nmax_frame_bytes = {frame}\nmax_code_bytes = {code}")
    };
    says(wat, &text(frame, code), &[]);
    let a = format!("a call takes {frame} bytes of stack, the policy allows {}", frame - 1);
    let b = format!("the module has {code} bytes of code, the policy allows {}", code - 1);
    says(
        wat,
        &text(frame - 1, code - 1),
        &[&(a + " (max_frame_bytes) (function 1 \"large\")"), &b],
    );
}

#[test]
fn what_is_required() {
    let wat = "(module (memory (export \"memory\") 1 4) (func (export \"run\") (param i32)))";
    let text = "[require]\nlabels = [\"name\", \"version\"]\n[require.exports]\n\
                run = \"(*) -> ()\"\nmemory = \"memory *\"\n\
                [labels]\nname = \"x\"\nversion = \"1\"";
    says(wat, text, &[]);
    let text = "[require]\nlabels = [\"name\", \"version\", \"team\"]\n[require.exports]\n\
                run = \"() -> i32\"\nstop = \"() -> ()\"\n[labels]\nversion = \"\"\nteam = \"t\"";
    says(
        wat,
        text,
        &[
            "the label name is missing\n  help: give it: lucetc --label name=VALUE",
            "the label version is missing",
            "export run has the type (i32) -> (), the policy requires () -> i32",
            "there is no export stop, the policy requires one of type () -> ()",
        ],
    );
}

/// Declarations and code together, so that one compilation shows everything.
#[test]
fn everything_at_once() {
    says(
        FEATURES,
        "[limits]\nmax_memories = 1\nmax_code_bytes = 1\nfuel = true\n\
         [features]\ndeny = [\"simd\"]\n\
         [require]\nlabels = [\"name\"]",
        &[
            "has 2 memories",
            "the label name is missing",
            "uses simd",
            "the policy allows 1 (max_code",
        ],
    );
}

#[test]
fn very_many_violations_are_counted() {
    let import = "(import \"env\" \"f\" (func))";
    let wat = format!("(module {})", import.repeat(1500));
    let said = violations(&wat, "[imports]");
    assert_eq!(said.len(), 1001);
    assert!(said[1000].contains("violates the policy in 500 more ways"), "{}", said[1000]);
}

#[test]
fn the_contract_says_which_policy_it_was() {
    let hash = |text: &str| {
        let options = Options { policy: policy(text), ..Options::default() };
        let compiled = lucetc::compile_to_model(b"(module)", &options).unwrap();
        compiled.contract.policy_hash
    };
    assert_eq!(hash("[labels]\nname = \"x\""), [0; 32]);
    assert_eq!(hash("[imports]"), policy("[imports]").hash());
    assert_ne!(hash("[imports]"), hash("[limits]\nmax_tables = 1"));
}

fn documentation() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.md");
    std::fs::read_to_string(path).unwrap()
}

/// The blocks in docs/policy.md that are marked with a word.
fn blocks(document: &str, word: &str) -> Vec<String> {
    let mut parts = document.split("```");
    parts.next();
    let blocks = parts.step_by(2).filter_map(|b| b.strip_prefix(word)?.strip_prefix('\n'));
    blocks.map(str::to_owned).collect()
}

#[test]
fn the_examples_of_the_documentation_are_policies() {
    let found = blocks(&documentation(), "toml");
    assert!(found.len() >= 6, "{}", found.len());
    for text in found {
        assert_ne!(policy(&text), Policy::default(), "{text}");
    }
}

#[test]
fn the_documentation_has_every_key_with_its_default() {
    let document = documentation();
    for key in &schema::KEYS {
        let row = format!("| `[{}]` `{}", key.table, key.name);
        let line = document.lines().find(|l| l.starts_with(&row));
        let line = line.unwrap_or_else(|| panic!("{row} is not in docs/policy.md"));
        assert!(line.contains(key.what), "{row}: {}", key.what);
        if let schema::Form::Number(max) = key.form {
            let most = format!("| {} |", max.row().most);
            assert!(line.ends_with(&most), "{row}: not {most}");
        }
    }
    for key in &schema::IMPORT {
        assert!(document.contains(&format!("| `{}` | {} |", key.name, key.what)), "{}", key.name);
    }
}

/// Each message in the documentation is printed for the module and the policy before it.
#[test]
fn the_messages_of_the_documentation_are_printed() {
    let document = documentation();
    let (wats, said) = (blocks(&document, "wat"), blocks(&document, "text"));
    let policies = blocks(&document, "toml");
    let strict = policies.iter().find(|p| p.contains("# strict.toml")).unwrap();
    let printed = violations(&wats[0], strict);
    assert_eq!(printed.join("\n") + "\n", said[0]);
    let Err(errors) = Policy::parse("[limits]\nmax_memory_page = 16\n", "hello.toml") else {
        panic!()
    };
    assert_eq!(format!("{errors}\n"), said[1]);
}
