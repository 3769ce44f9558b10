//! `lucetc inspect`: every fact of a contract as text and as JSON, of every readable format, and of
//! files that are none.

use crate::Dir;
use lucet_artifact::container::{CONTRACT, EXPORTS};
use lucet_artifact::contract::{Contract, Exports};
use lucet_artifact::trailer::{TRAILER_BYTES, Trailer};
use serde_json::{Value, json};
use std::path::Path;

const PLUGIN: &str = r#"(module
  (import "env" "log" (func $log (param i32 i32)))
  (import "env" "base" (global i32))
  (import "env" "broken" (tag (param i64)))
  (memory (export "memory") 2 16)
  (memory i64 1)
  (table (export "table") 3 9 funcref)
  (global (export "count") (mut i64) (i64.const 0))
  (data (i32.const 8) "image") (data $late "later")
  (func $start) (start $start)
  (func (export "run") (param i32 f64) (result i32 i64)
    (memory.init $late (i32.const 0) (i32.const 0) (i32.const 5))
    (i32.const 1) (i64.const 2))
  (func (export "vector") (param v128)))"#;

const POLICY: &str = "[imports]\nenv = [\"*\"]\n[limits]\nmax_memory_pages = 12\nfuel = true\n\
                      [labels]\nname = \"plugin\"\n";

fn plugin(test: &str) -> Dir {
    let d = Dir::new(test);
    d.write("p.wat", PLUGIN).write("p.toml", POLICY);
    d.run("p.wat --policy p.toml --label version=1.2 --memory guarded").succeeds();
    d
}

/// The file without its signature part, sealed again.
fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    Trailer::append(&mut body, 0, [0; 64]).unwrap();
    body
}

fn body(artifact: &[u8]) -> Vec<u8> {
    artifact[..artifact.len() - TRAILER_BYTES].to_vec()
}

fn contract_at(body: &[u8]) -> usize {
    lucet_artifact::elf::parse(body).unwrap().section(CONTRACT).unwrap().start
}

#[test]
fn as_text() {
    let d = plugin("inspect_text");
    let r = d.run("inspect p.so");
    r.succeeds();
    let text = String::from_utf8(r.stdout).unwrap();
    let artifact = d.read("p.so");
    let hash = lucetc::inspect::hex(&Trailer::decode(&artifact).unwrap().hash);
    let facts = [
        "kind           artifact".to_owned(),
        "format         2 (ABI 1)".into(),
        format!("compiler       lucetc {}, cranelift 0.", env!("CARGO_PKG_VERSION")),
        "source         ".into(),
        "policy         ".into(),
        format!("hash           {hash}"),
        "signature      none".into(),
        format!("bytes          {} (code ", artifact.len()),
        ", image 4096, data 5)".into(),
        "stack          ".into(),
        "instance data  ".into(),
        "cpu            sse3, ssse3, sse4.1, sse4.2, popcnt, cx16 (x86-64-v2)".into(),
        "features       mutable-globals, multi-value, bulk-memory, simd, multi-memory, memory64, \
         exceptions"
            .into(),
        "fuel           counted".into(),
        "functions      4".into(),
        "start          function 1".into(),
        "labels (2)\n  \"name\" = \"plugin\"\n  \"version\" = \"1.2\"\n".into(),
        "imports (3)\n  function \"env\" \"log\"  (i32, i32) -> ()\n  global   \"env\" \"base\"  \
         global i32\n  tag      \"env\" \"broken\"  tag (i64)\n"
            .into(),
        "exports (5)\n  memory   \"memory\"  memory 2..12\n  table    \"table\"  table 3..9 \
         funcref\n  global   \"count\"  global mut i64\n  function \"run\"  (i32, f64) -> (i32, \
         i64)\n  function \"vector\"  (v128) -> ()\n"
            .into(),
        "memories (2)\n  0    memory 2..12  guarded, 4294967296 bytes reserved, 33554432 of \
         guard\n  1    memory64 1..12  compact, 786432 bytes reserved, 0 of guard\n"
            .into(),
        "tables (1)\n  0    table 3..9 funcref\n".into(),
        "globals (2)\n  0    global i32\n  1    global mut i64\n".into(),
        "tags (1)\n  0    tag (i64)\n".into(),
    ];
    let mut rest = text.as_str();
    for fact in facts {
        let Some((_, after)) = rest.split_once(&fact) else { panic!("{fact} not in {rest}") };
        rest = after;
    }
}

#[test]
fn who_signed_it() {
    let d = plugin("inspect_signed");
    d.run("keygen -W k.key").succeeds();
    let unsigned = d.run("inspect p.so").stdout;
    d.run("sign -s k.key -t of\u{1b}[31m p.so").fails(2, "comment");
    d.run("sign -s k.key -t release-7 p.so").succeeds();
    let trailer = Trailer::decode(&d.read("p.so")).unwrap();
    let key = trailer.signature.unwrap().key().to_string();
    assert!(String::from_utf8(d.read("k.pub")).unwrap().contains(&key), "the key's own id");
    let r = d.run("inspect p.so");
    r.succeeds();
    let text = String::from_utf8(r.stdout).unwrap();
    let fact =
        format!("signature      key {key} (not checked here)\n  comment      \"release-7\"\n");
    // Nothing else is said of a signed artifact than of the same one unsigned.
    let without = text.replace(&fact, "signature      none\n");
    assert!(text.contains(&fact) && without.as_bytes() == unsigned, "{text}");
    let v: Value = serde_json::from_slice(&d.run("inspect p.so --json").stdout).unwrap();
    assert_eq!(v["signature"], json!({ "key": key, "comment": "release-7" }));
}

#[test]
fn as_json() {
    let d = plugin("inspect_json");
    let r = d.run("inspect p.so --json");
    r.succeeds();
    assert_eq!(d.run("inspect --message-format=json p.so").stdout, r.stdout);
    let v: Value = serde_json::from_slice(&r.stdout).unwrap();
    let artifact = d.read("p.so");
    let trailer = Trailer::decode(&artifact).unwrap();
    for (key, wanted) in [
        ("format", json!(2)),
        ("abi", json!(1)),
        ("compiler", json!(env!("CARGO_PKG_VERSION"))),
        ("hash", json!(lucetc::inspect::hex(&trailer.hash))),
        ("signature", Value::Null),
        ("snapshot", Value::Null),
        ("file_bytes", json!(artifact.len())),
        ("image_bytes", json!(4096)),
        ("data_bytes", json!(5)),
        ("fuel", json!(true)),
        ("functions", json!(4)),
        ("start", json!(1)),
        ("labels", json!({ "name": "plugin", "version": "1.2" })),
        ("tags", json!(["tag (i64)"])),
        ("tables", json!([{ "element": "funcref", "initial": 3, "maximum": 9, "index_bits": 32 }])),
    ] {
        assert_eq!(v[key], wanted, "{key}");
    }
    assert_eq!(
        v["imports"][0],
        json!({ "module": "env", "name": "log", "kind": "function", "type": "(i32, i32) -> ()" })
    );
    assert_eq!(
        v["exports"][3],
        json!({ "name": "run", "kind": "function", "index": 2,
                "type": "(i32, f64) -> (i32, i64)" })
    );
    assert_eq!(
        v["memories"][0],
        json!({ "initial_pages": 2, "maximum_pages": 12, "index_bits": 32, "shape": "guarded",
                "reserved_bytes": 4u64 << 30, "guard_bytes": 32 << 20 })
    );
    assert_eq!(v["globals"][1], json!({ "type": "i64", "mutable": true }));
    assert!(v["min_stack_bytes"].as_u64().unwrap() > 0);
    assert!(v["instance_data_bytes"].as_u64().unwrap() > 0);
    assert!(v["policy_hash"].is_string() && v["source_hash"].is_string());
    assert!(v["features"].as_array().unwrap().contains(&json!("bulk-memory")));
    assert_eq!(v["cpu"].as_array().unwrap().len(), 6);
    // The page about it has every key.
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/inspect.md");
    let page = std::fs::read_to_string(page).unwrap();
    for key in v.as_object().unwrap().keys() {
        assert!(page.contains(&format!("`{key}`")), "{key} is not in docs/inspect.md");
    }
}

#[test]
fn the_policy_it_was_compiled_under() {
    let d = plugin("inspect_policy");
    d.run("inspect p.so --policy p.toml").succeeds();
    // The same meaning, written in another way.
    let same = POLICY.replace("= 12", "= 0xc").replace("plugin", "other") + "# a comment\n";
    d.write("same.toml", same).run("inspect p.so --policy same.toml").succeeds();
    d.write("other.toml", "[imports]\nenv = [\"log\"]\n");
    let r = d.run("inspect p.so --policy other.toml");
    r.fails(1, "error[policy]: it was compiled under another policy: ");
    assert!(r.stdout.is_empty());
    d.write("none.toml", "").run("inspect p.so --policy none.toml").fails(1, "this one is none");
    d.run("p.wat -o free.so").succeeds();
    d.run("inspect free.so --policy none.toml").succeeds();
    d.run("inspect free.so --policy p.toml").fails(1, "another policy: none");
}

#[test]
fn every_readable_format_and_snapshots() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let d = Dir::new("inspect_formats");
    for format in [1, 2] {
        for name in
            ["plain", "vectors", "exceptions", "memories", "references", "counted", "snapshot"]
        {
            let path = golden.join(format!("format-{format}/{name}.so"));
            let r = d.run(&format!("inspect --json {}", path.display()));
            r.succeeds();
            let v: Value = serde_json::from_slice(&r.stdout).unwrap();
            assert_eq!(v["format"], format, "{name}");
            assert!(!v["exports"].as_array().unwrap().is_empty(), "{name}");
            assert_eq!(v["policy_hash"].is_string(), format == 2 && name == "counted", "{name}");
            assert_eq!(v["snapshot"]["parent"].is_string(), name == "snapshot", "{name}");
            d.run(&format!("inspect {}", path.display())).succeeds();
        }
    }
    let path = golden.join("format-2/snapshot.so");
    let text = String::from_utf8(d.run(&format!("inspect {}", path.display())).stdout).unwrap();
    assert!(text.starts_with("kind           snapshot\n"), "{text}");
    assert!(text.contains("\nparent         "), "{text}");
}

#[test]
fn names_cannot_drive_the_terminal() {
    let d = Dir::new("inspect_names");
    d.write(
        "m.wat",
        "(module (import \"\\1b[2J\" \"\\c2\\9b\\7f\" (func))
           (func (export \"\\e2\\80\\ae\\0a\")))",
    );
    d.run("m.wat").succeeds();
    for line in ["inspect m.so", "inspect m.so --json"] {
        let r = d.run(line);
        r.succeeds();
        let text = String::from_utf8(r.stdout).unwrap();
        let plain = |c: char| c == '\n' || c == ' ' || c.is_ascii_graphic();
        assert!(text.chars().all(plain), "{text:?}");
    }
    let v: Value = serde_json::from_slice(&d.run("inspect m.so --json").stdout).unwrap();
    assert_eq!(v["exports"][0]["name"], "\u{202e}\n");
    assert_eq!(v["imports"][0]["name"], "\u{9b}\u{7f}");
}

#[test]
fn what_is_no_artifact() {
    let d = plugin("inspect_others");
    let artifact = d.read("p.so");
    d.write("e", "").run("inspect e").fails(1, "error[malformed]: this is no artifact");
    d.write("m.wasm", b"\0asm\x01\0\0\0").run("inspect m.wasm").fails(1, "a WebAssembly module");
    d.write("cut.so", &artifact[..artifact.len() - 9]).run("inspect cut.so").fails(1, "trailer");
    let mut b = artifact.clone();
    b[5000] ^= 1;
    d.write("flip.so", b).run("inspect flip.so").fails(1, "the hash does not match");
    for (format, code) in [(0u32, 1), (3, 1), (2, 0)] {
        let mut b = body(&artifact);
        let at = contract_at(&b);
        b[at..at + 4].copy_from_slice(&format.to_le_bytes());
        let r = d.write("f.so", sealed(b)).run("inspect f.so");
        assert_eq!(r.code, code);
        if code != 0 {
            r.fails(1, &format!("artifact format {format}; this version of lucetc reads 1 to 2"));
        }
    }
    let mut b = body(&artifact);
    b[18] = 40;
    d.write("arm.so", sealed(b)).run("inspect arm.so").fails(1, "error[unsupported]: compiled for");
    let exe = d.run("inspect /proc/self/exe");
    exe.fails(1, "this is no whole artifact");
    d.run("inspect /proc/self").fails(2, "is a directory");
}

/// The same reader as the loader's, and what prints it, against every kind of damage with a hash
/// that is right again: an error or a description, never a panic.
#[test]
fn hostile_artifacts_are_survived() {
    let d = plugin("inspect_hostile");
    let good = body(&d.read("p.so"));
    let text = lucet_artifact::elf::parse(&good).unwrap().section(".text").unwrap();
    let (mut described, mut refused) = (0, 0);
    for at in (0..good.len()).filter(|at| !text.contains(at)) {
        for bit in [0, 3, 7] {
            let mut b = good.clone();
            b[at] ^= 1 << bit;
            match lucetc::inspect::inspect(&sealed(b)) {
                Ok(found) => {
                    assert!(!found.to_string().is_empty());
                    assert!(serde_json::from_str::<Value>(&found.json()).is_ok());
                    described += 1;
                }
                Err(e) => {
                    assert!(!e.0.is_empty());
                    refused += 1;
                }
            }
        }
    }
    println!("{described} described, {refused} refused");
    assert!(described > 1000 && refused > 1000, "{described} {refused}");
    for n in 0..good.len() / 50 {
        assert!(lucetc::inspect::inspect(&sealed(good[..n * 50].to_vec())).is_err());
    }
}

/// Sections that are right by themselves and contradict each other: an export of a function that
/// the contract counts and the table of functions does not have.
#[test]
fn contradicting_artifacts_are_survived() {
    let d = plugin("inspect_contradicting");
    let mut b = body(&d.read("p.so"));
    let elf = lucet_artifact::elf::parse(&b).unwrap();
    let place = |name| elf.section(name).unwrap();
    let (contract_at, exports_at) = (place(CONTRACT), place(EXPORTS));
    let (_, mut contract) = Contract::decode(&b[contract_at.clone()]).unwrap();
    contract.functions = 1000;
    let mut exports = Exports::decode(&b[exports_at.clone()], &contract).unwrap();
    exports.exports[3].index = 999;
    b[contract_at].copy_from_slice(&contract.encode().unwrap());
    b[exports_at].copy_from_slice(&exports.encode().unwrap());
    let r = d.write("x.so", sealed(b)).run("inspect x.so");
    r.succeeds();
    let text = String::from_utf8(r.stdout).unwrap();
    assert!(text.contains("  function \"run\"  type that does not exist\n"), "{text}");
}

/// A file whose exports all have the longest type: what is printed stays
/// a small multiple of it.
#[test]
fn long_types_are_not_repeated() {
    let d = Dir::new("inspect_long");
    let params = "i64 ".repeat(1000);
    let exports: String = (0..900).map(|i| format!("(export \"e{i}\" (func 0))")).collect();
    d.write("m.wat", format!("(module (func (param {params})) {exports})"));
    d.run("m.wat").succeeds();
    let r = d.run("inspect m.so");
    r.succeeds();
    let text = String::from_utf8(r.stdout).unwrap();
    assert!(text.len() < 60_000, "{}", text.len());
    assert!(text.contains("  function \"e899\"  function of type 0\n"));
    assert_eq!(text.matches("(i64, i64").count(), 1);
}
