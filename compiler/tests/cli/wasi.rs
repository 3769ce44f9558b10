//! `--wasi`, and the name under which it goes without saying.

use crate::{Dir, Run};
use std::os::unix::fs::symlink;
use std::process::Command;

const WRITES: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (import "wasi_unstable" "proc_exit" (func (param i32))))"#;
const ASKS: &str = r#"(module (import "env" "exec" (func)))"#;

#[test]
fn only_the_imports_of_wasi_are_allowed() {
    let d = Dir::new("wasi");
    d.write("writes.wat", WRITES).run("--wasi writes.wat").succeeds();
    d.write("asks.wat", ASKS).run("--wasi asks.wat").fails(1, "env.exec is not allowed");
    d.write("none.wat", r#"(module (import "wasi_snapshot_preview1" "fd_eat" (func)))"#);
    d.run("--wasi none.wat").fails(1, "wasi_snapshot_preview1.fd_eat is not allowed");
    d.write("old.wat", r#"(module (import "wasi_unstable" "fd_seek" (func)))"#);
    d.run("--wasi old.wat").fails(1, "wasi_unstable.fd_seek is not allowed");
    d.write("odd.wat", r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func)))"#);
    d.run("--wasi odd.wat")
        .fails(1, "proc_exit has the type () -> (), the policy allows")
        .fails(1, "(i32) -> ()");
}

#[test]
fn a_policy_counts_besides() {
    let d = Dir::new("wasi_policy");
    d.write("writes.wat", WRITES).write("asks.wat", ASKS);
    d.write("none.toml", "[imports]\n").write("exec.toml", "[imports]\nenv = [\"exec\"]\n");
    d.run("writes.wat --policy none.toml").fails(1, "fd_write is not allowed");
    d.run("--wasi writes.wat --policy none.toml").succeeds();
    d.run("--wasi asks.wat --policy none.toml").fails(1, "env.exec is not allowed");
    d.run("--wasi asks.wat --policy exec.toml").succeeds();
    d.write("open.toml", "[limits]\nmax_memories = 1\n");
    d.run("--wasi asks.wat --policy open.toml").succeeds();
}

/// The program by another name, as the product has it.
fn as_lucetc_wasi(d: &Dir, line: &str) -> Run {
    let link = d.path("lucetc-wasi");
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_lucetc"), &link).unwrap();
    }
    d.start(Command::new(link).args(line.split_whitespace()), b"")
}

#[test]
fn the_name_says_it() {
    let d = Dir::new("lucetc_wasi");
    d.write("writes.wat", WRITES).write("asks.wat", ASKS);
    as_lucetc_wasi(&d, "writes.wat -o x.so").succeeds();
    d.run("--wasi writes.wat -o y.so").succeeds();
    assert_eq!(d.read("x.so"), d.read("y.so"));
    as_lucetc_wasi(&d, "asks.wat").fails(1, "env.exec is not allowed");
    as_lucetc_wasi(&d, "--in-process asks.wat").fails(1, "env.exec is not allowed");
    as_lucetc_wasi(&d, "").fails(2, "no input file");
    // The other commands are there, too.
    let r = as_lucetc_wasi(&d, "inspect x.so");
    r.succeeds();
    assert!(String::from_utf8(r.stdout).unwrap().contains("fd_write"));
    let help = as_lucetc_wasi(&d, "--help");
    help.succeeds();
    assert!(String::from_utf8(help.stdout).unwrap().contains("--wasi"));
}
