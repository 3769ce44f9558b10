//! The C interface from C: programs in `tests/capi` are compiled against `include/lucet.h` and
//! linked with a `liblucet.so` that is made here as the Makefile makes the product. `cargo test`
//! leaves the static library it needs beside the test programs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder for what is built here.
fn out() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("capi");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; is gcc installed?"));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    text
}

/// The static library that belongs to this test: the newest one beside it.
fn static_library() -> PathBuf {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    std::fs::read_dir(&deps)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "a"))
        .filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("liblucet-"))
        .max_by_key(|p| p.metadata().unwrap().modified().unwrap())
        .unwrap_or_else(|| panic!("no liblucet-*.a in {}", deps.display()))
}

/// Links `liblucet.so` and returns its folder.
fn library() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let map = root().join("src/capi/liblucet.map");
        // Tests may run in processes of their own, at the same time: each makes the library and
        // moves it into its place in one step.
        let so = out().join(format!("liblucet.so.{}", std::process::id()));
        run(Command::new("gcc")
            .args(["-shared", "-Wl,-soname,liblucet.so.0", "-Wl,--no-undefined-version"])
            .arg(format!("-Wl,--version-script={}", map.display()))
            .args(["-Wl,--gc-sections", "-Wl,--no-undefined", "-Wl,-z,nodelete,-z,relro,-z,now"])
            .arg("-o")
            .arg(&so)
            .arg("-Wl,--whole-archive")
            .arg(static_library())
            .args(["-Wl,--no-whole-archive", "-lgcc_s", "-lm", "-lc"]));
        let link = out().join(format!("link.{}", std::process::id()));
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink("liblucet.so.0", &link).unwrap();
        std::fs::rename(so, out().join("liblucet.so.0")).unwrap();
        std::fs::rename(link, out().join("liblucet.so")).unwrap();
        out()
    })
}

/// Compiles a program of `tests/capi`.
fn program(name: &str, more: &[&str]) -> PathBuf {
    let exe = out().join(format!("{name}{}", more.concat()));
    let lib = library().display().to_string();
    run(Command::new("gcc")
        .args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O1", "-g"])
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"])
        .args(more)
        .arg("-I")
        .arg(root().join("include"))
        .arg("-o")
        .arg(&exe)
        .arg(root().join("tests/capi").join(name).with_extension("c"))
        .args([format!("-L{lib}"), format!("-Wl,-rpath,{lib}")])
        .args(["-llucet", "-lpthread"]));
    exe
}

/// The guest, compiled to a file.
fn artifact() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let wat = std::fs::read(root().join("tests/capi/works.wat")).unwrap();
        let file = out().join("works.so");
        let bytes = lucetc::compile(&wat, &lucetc::Options::default()).unwrap_or_else(|e| {
            panic!("{e}");
        });
        std::fs::write(&file, bytes).unwrap();
        file
    })
}

#[test]
fn works() {
    run(Command::new(program("works", &[])).arg(artifact()));
}

#[test]
fn runs_of_threads_that_are_gone_are_faulted() {
    run(Command::new(program("leaves", &[])).arg(artifact()));
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
    let bytes = lucetc::compile(GUEST.as_bytes(), &lucetc::Options::default());
    let file = out().join("exceptions.so");
    std::fs::write(&file, bytes.unwrap_or_else(|e| panic!("{e}"))).unwrap();
    run(Command::new(program("exceptions", &[])).arg(file));
}

#[test]
fn fuel_limits_runs_by_steps() {
    const GUEST: &str = r#"(module (import "env" "work" (func $work))
      (func (export "down") (param i32) (result i32) (call $work)
        (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (i32.const 7)))"#;
    let files = [true, false].map(|fuel| {
        let o = lucetc::Options { fuel, ..lucetc::Options::default() };
        let bytes = lucetc::compile(GUEST.as_bytes(), &o).unwrap_or_else(|e| panic!("{e}"));
        let file = out().join(format!("fuel-{fuel}.so"));
        std::fs::write(&file, bytes).unwrap();
        file
    });
    run(Command::new(program("fuel", &[])).args(files));
}

#[test]
fn contracts_are_held_against_terms() {
    const GUEST: &str = r#"(module (memory 2) (table 3 funcref)
      (func (export "f") (param v128)))"#;
    let mut o = lucetc::Options::default();
    o.policy.set_label("tenant", "blue").unwrap();
    let bytes = lucetc::compile(GUEST.as_bytes(), &o).unwrap_or_else(|e| panic!("{e}"));
    let file = out().join("contract.so");
    std::fs::write(&file, bytes).unwrap();
    run(Command::new(program("contract", &[])).arg(file));
}

/// A store, a plugin that imports from it, and a module with a start function.
fn group_artifacts() -> Vec<PathBuf> {
    const GUESTS: [(&str, &str); 3] = [
        (
            "store",
            r#"(module (memory (export "memory") 1 1)
              (global (export "total") (mut i32) (i32.const 10))
              (table (export "table") 2 funcref) (elem (i32.const 1) $twice)
              (func $twice (export "twice") (param i32) (result i32)
                (i32.mul (local.get 0) (i32.const 2))))"#,
        ),
        (
            "plugin",
            r#"(module (import "store" "twice" (func $twice (param i32) (result i32)))
              (import "env" "ask" (func $ask (param i32) (result i32)))
              (import "store" "memory" (memory 1))
              (import "store" "total" (global $total (mut i32)))
              (import "store" "table" (table 2 funcref))
              (type $t (func (param i32) (result i32)))
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
    let compiled = GUESTS.map(|(name, wat)| {
        let file = out().join(format!("group-{name}.so"));
        let bytes = lucetc::compile(wat.as_bytes(), &lucetc::Options::default());
        std::fs::write(&file, bytes.unwrap_or_else(|e| panic!("{e}"))).unwrap();
        file
    });
    compiled.into()
}

#[test]
fn groups_link_modules() {
    let files = group_artifacts();
    run(Command::new(program("groups", &[])).args(&files));
    run(Command::new(program("groups", &["-fsanitize=address"])).args(&files).env(
        "ASAN_OPTIONS",
        "handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0:allow_user_segv_handler=1:\
         use_sigaltstack=0:detect_leaks=0",
    ));
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
    let options = lucetc::Options::default();
    let bytes = lucetc::compile(GUEST.as_bytes(), &options).unwrap_or_else(|e| panic!("{e}"));
    let file = out().join("vectors.so");
    std::fs::write(&file, bytes).unwrap();
    for more in [&[][..], &["-fsanitize=address"]] {
        run(Command::new(program("vectors", more)).arg(&file).env(
            "ASAN_OPTIONS",
            "handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0:\
             allow_user_segv_handler=1:use_sigaltstack=0:detect_leaks=0",
        ));
    }
}

/// Host code under AddressSanitizer: it sees what goes wrong on the C side of the border.
#[test]
fn works_under_address_sanitizer() {
    for name in ["works", "misuse", "forks", "threads"] {
        run(Command::new(program(name, &["-fsanitize=address"])).arg(artifact()).env(
            "ASAN_OPTIONS",
            "handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0:\
             allow_user_segv_handler=1:use_sigaltstack=0:detect_leaks=0",
        ));
    }
}

#[test]
fn the_library_exports_what_the_header_declares() {
    let header = std::fs::read_to_string(root().join("include/lucet.h")).unwrap();
    let code: String = header.split("/*").map(|s| s.split_once("*/").map_or(s, |x| x.1)).collect();
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
    assert_eq!(declared, exported, "include/lucet.h, and src/capi/liblucet.map");
    for line in nm.lines().filter(|l| !l.contains("@@LUCET_0")) {
        assert!(line.ends_with(" LUCET_0"), "exported without a version: {line}");
    }
}

#[test]
fn the_header_is_clean_c_and_cpp() {
    let sources = [("c", "c11"), ("c", "c17"), ("c++", "c++17")];
    for (language, standard) in sources {
        let file = out().join(format!("clean-{standard}.c"));
        std::fs::write(&file, "#include <lucet.h>\n#include <lucet.h>\nlucet_val v;\n").unwrap();
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
