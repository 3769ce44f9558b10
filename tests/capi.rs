//! The C interface from C: programs in `tests/capi` are compiled against `include/lucet.h` and
//! linked with a `liblucet.so` that is made here as the Makefile makes the product. `cargo test`
//! leaves the static library it needs beside the test programs.

mod common;

use common::client::{
    ASAN, artifact, file, guest, guest_with, library, out, program, root, run, run_program,
};
#[path = "capi/border.rs"]
mod border;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

#[test]
fn works() {
    run(Command::new(program("works", &[])).arg(artifact()));
}

#[test]
fn runs_of_threads_that_are_gone_are_faulted() {
    run(Command::new(program("leaves", &[])).arg(artifact()));
}

#[test]
fn what_is_handed_over_comes_back() {
    run(Command::new(program("owns", &[])).arg(artifact()));
    run(Command::new(program("owns", &["-fsanitize=address"])).arg(artifact()).env(
        "ASAN_OPTIONS",
        "handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0:allow_user_segv_handler=1:\
         use_sigaltstack=0:detect_leaks=0",
    ));
}

#[test]
fn what_moves_between_stacks_works() {
    run(Command::new(program("checked", &[])).arg(artifact()));
}

#[test]
fn misuse_is_a_status() {
    run(Command::new(program("misuse", &[])).arg(artifact()));
}

#[test]
fn forked_children_hear_that_they_are() {
    run(Command::new(program("forks", &[])).arg(artifact()));
}

#[test]
fn threads_end_with_instances() {
    run(Command::new(program("threads", &[])).arg(artifact()));
}

#[test]
fn exceptions_that_leave_a_run_are_told_of() {
    const GUEST: &str = r#"(module
      (tag $error (export "error") (param i32 f64 v128)) (tag $quiet)
      (func (export "throw")
        (throw $error (i32.const -7) (f64.const 2.5) (v128.const i64x2 1 2)))
      (func (export "quiet") (throw $quiet))
      (func (export "seven") (result i32) (i32.const 7)))"#;
    run_program(program("exceptions", &[]), &[guest("exceptions", GUEST)]);
}

#[test]
fn fuel_limits_runs_by_steps() {
    const GUEST: &str = r#"(module (import "env" "work" (func $work))
      (func (export "down") (param i32) (result i32) (call $work)
        (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (i32.const 7)))"#;
    let files = [true, false].map(|fuel| {
        let o = lucetc::Options { fuel, ..lucetc::Options::default() };
        guest_with(&format!("fuel-{fuel}"), GUEST, &o)
    });
    run(Command::new(program("fuel", &[])).args(files));
}

#[test]
fn programs_use_wasi() {
    let wat = std::fs::read(root().join("tests/capi/wasi.wat")).unwrap();
    let bytes = lucetc::compile(&wat, &lucetc::Options::default());
    let file = out().join("wasi.so");
    std::fs::write(&file, bytes.unwrap_or_else(|e| panic!("{e}"))).unwrap();
    let folder = out().join("wasi-files");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    run(Command::new(program("wasi", &[])).args([file, folder]));
}

#[test]
fn contracts_are_held_against_terms() {
    const GUEST: &str = r#"(module (memory 2) (table 3 funcref)
      (func (export "f") (param v128)))"#;
    let mut o = lucetc::Options::default();
    o.policy.set_label("tenant", "blue").unwrap();
    run_program(program("contract", &[]), &[guest_with("contract", GUEST, &o)]);
}

#[test]
fn modules_are_replaced() {
    let guests = [
        r#"(module (func (export "answer") (result i32) (i32.const 1)))"#,
        r#"(module (func (export "other") (result i32) (i32.const -1))
             (func (export "answer") (result i32) (i32.const 2)))"#,
        r#"(module (func (export "other")))"#,
    ];
    let guests = guests.into_iter().enumerate();
    let mut files: Vec<PathBuf> = guests.map(|(n, wat)| guest(&format!("swap-{n}"), wat)).collect();
    files.push(root().join("Cargo.toml"));
    for more in [&[], ASAN] {
        run_program(program("swap", more), &files);
    }
}

/// A store, a plugin that imports from it, and a module with a start function.
fn group_artifacts() -> Vec<PathBuf> {
    const GUESTS: [(&str, &str); 3] = [
        (
            "store",
            r#"(module (import "env" "look" (func $look (param i32) (result i32)))
              (memory (export "memory") 1 1)
              (func (export "look") (param i32) (result i32) (call $look (local.get 0)))
              (global (export "total") (mut i32) (i32.const 10))
              (table (export "table") 2 funcref) (elem (i32.const 1) $twice)
              (func $twice (export "twice") (param i32) (result i32)
                (i32.mul (local.get 0) (i32.const 2))))"#,
        ),
        (
            "plugin",
            r#"(module (import "store" "twice" (func $twice (param i32) (result i32)))
              (import "env" "ask" (func $ask (param i32) (result i32)))
              (import "store" "look" (func $look (param i32) (result i32)))
              (import "store" "memory" (memory 1))
              (import "store" "total" (global $total (mut i32)))
              (import "store" "table" (table 2 funcref))
              (type $t (func (param i32) (result i32)))
              (func (export "look") (param i32) (result i32) (call $look (local.get 0)))
              (func (export "twice") (param i32) (result i32) (call $twice (local.get 0)))
              (func (export "asked") (param i32) (result i32) (call $ask (local.get 0)))
              (func (export "put") (param i32) (result i32)
                (i32.store8 offset=93 (local.get 0) (local.get 0))
                (i32.load8_u offset=93 (local.get 0)))
              (func (export "count") (param i32) (result i32)
                (global.set $total (i32.add (global.get $total) (local.get 0)))
                (global.get $total))
              (func (export "through_table") (param i32) (result i32)
                (call_indirect (type $t) (local.get 0) (i32.const 1))))"#,
        ),
        ("starts", r#"(module (import "env" "started" (func $started)) (start $started))"#),
    ];
    GUESTS.map(|(name, wat)| guest(&format!("group-{name}"), wat)).into()
}

#[test]
fn trust_is_a_matter_of_keys_and_pins() {
    let key = lucetc::signing::SecretKey::generate().unwrap();
    let other = lucetc::signing::SecretKey::generate().unwrap().public().unwrap();
    let plain = lucetc::compile(b"(module)", &lucetc::Options::default()).unwrap();
    let mut signed = plain.clone();
    lucetc::signing::sign(&mut signed, &key, "c", "it").unwrap();
    let hash = lucet_artifact::trailer::Trailer::decode(&plain).unwrap().hash;
    let args = [
        file("signed.so", &signed),
        file("unsigned.so", &plain),
        file("trust.pub", key.public().unwrap().file()),
        other.line().into(),
        lucet_artifact::trust::hex(&hash).into(),
    ];
    for more in [&[], ASAN] {
        run_program(program("trust", more), &args);
    }
}

#[test]
fn groups_link_modules() {
    let files = group_artifacts();
    for more in [&[], ASAN] {
        run_program(program("groups", more), &files);
    }
}

#[test]
fn vectors_cross_the_border() {
    const GUEST: &str = r#"(module
      (import "env" "sad" (func $sad (param v128 v128) (result i32)))
      (import "env" "swap" (func $swap (param v128 i32 v128) (result v128 v128)))
      (global $g (export "g") (mut v128) (v128.const i64x2 0 0))
      (export "sad" (func $sad)) (export "swap" (func $swap))
      (func (export "twice") (param v128) (result v128)
        (global.set $g (local.get 0)) (i8x16.add (local.get 0) (local.get 0))))"#;
    let file = guest("vectors", GUEST);
    for more in [&[], ASAN] {
        run_program(program("vectors", more), &[&file]);
    }
}

/// Host code under AddressSanitizer: it sees what goes wrong on the C side of the border.
#[test]
fn works_under_address_sanitizer() {
    for name in ["works", "misuse", "forks", "threads"] {
        run_program(program(name, ASAN), &[artifact()]);
    }
}

/// The C headers of the library.
fn headers() -> Vec<PathBuf> {
    let all = std::fs::read_dir(root().join("include")).unwrap().map(|e| e.unwrap().path());
    all.filter(|p| p.extension().is_some_and(|e| e == "h")).collect()
}

#[test]
fn the_library_exports_what_the_header_declares() {
    let headers: String = headers().iter().map(|h| std::fs::read_to_string(h).unwrap()).collect();
    let code: String = headers.split("/*").map(|s| s.split_once("*/").map_or(s, |x| x.1)).collect();
    let declared: BTreeSet<&str> = code
        .match_indices("lucet_")
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .filter_map(|(at, _)| {
            let rest = &code[at..];
            let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_')?;
            rest[end..].starts_with('(').then_some(&rest[..end])
        })
        .collect();
    assert!(declared.contains("lucet_instance_run") && declared.len() > 40, "{declared:?}");
    let nm =
        run(Command::new("nm").args(["-D", "--defined-only"]).arg(library().join("liblucet.so.0")));
    let exported: BTreeSet<&str> = nm
        .lines()
        .filter_map(|l| l.split_whitespace().nth(2))
        .filter_map(|s| s.strip_suffix("@@LUCET_0"))
        .collect();
    assert_eq!(declared, exported, "include/*.h, and src/capi/liblucet.map");
    for line in nm.lines().filter(|l| !l.contains("@@LUCET_0")) {
        assert!(line.ends_with(" LUCET_0"), "exported without a version: {line}");
    }
}

#[test]
fn the_headers_are_clean_c_and_cpp() {
    let sources = [("c", "c11"), ("c", "c17"), ("c++", "c++17")];
    for (header, (language, standard)) in
        headers().iter().flat_map(|h| sources.iter().map(move |s| (h, *s)))
    {
        let name = header.file_name().unwrap().to_string_lossy();
        let file = out().join(format!("clean-{standard}-{name}.c"));
        let twice = format!("#include <{name}>\n#include <{name}>\nlucet_val v;\n");
        std::fs::write(&file, twice).unwrap();
        run(Command::new("gcc")
            .args([
                "-x",
                language,
                &format!("-std={standard}"),
                "-fsyntax-only",
                "-Wall",
                "-Wextra",
            ])
            .args(["-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-I"])
            .arg(root().join("include"))
            .arg(file));
    }
}
