//! Modules that compile, and modules that are refused.

use crate::Dir;
use lucet_artifact::container as names;
use lucet_artifact::contract::{Contract, cpu};
use lucet_artifact::trailer::Trailer;
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection};
use std::fs;
use std::os::unix::fs::symlink;

const ADD: &str = r#"(module
  (import "env" "log" (func $log (param i32)))
  (import "env" "exec" (func $exec (param i32)))
  (memory (export "memory") 1)
  (table 10 funcref)
  (data (i32.const 100) "hello")
  (func $add (export "add") (param i32 i32) (result i32)
    (call $log (local.get 0))
    (i32.add (local.get 0) (local.get 1))))"#;

fn contract(artifact: &[u8]) -> Contract {
    assert!(Trailer::decode(artifact).unwrap().hash_matches(artifact));
    let elf = ElfFile64::<Endianness>::parse(artifact).unwrap();
    let section = elf.section_by_name(names::CONTRACT).unwrap();
    Contract::decode(section.data().unwrap()).unwrap().1
}

#[test]
fn the_output_is_beside_the_input() {
    let d = Dir::new("beside");
    d.write("add.wat", ADD).run("add.wat").succeeds();
    assert_eq!(d.names(), ["add.so", "add.wat"]);
    let c = contract(&d.read("add.so"));
    assert_eq!((c.functions, c.cpu), (3, cpu::X86_64_V2));
    // Again, over the old one, with the same bytes whatever the number of threads.
    let before = d.read("add.so");
    for jobs in ["1", "2", "7"] {
        d.run(&format!("add.wat -j{jobs}")).succeeds();
        assert!(before == d.read("add.so"), "-j {jobs} changes the output");
    }
}

#[test]
fn standard_input_and_output() {
    let d = Dir::new("std");
    d.write("add.wat", ADD).run("add.wat").succeeds();
    let r = d.run_with("- -o -", ADD.as_bytes());
    r.succeeds();
    assert!(r.stdout == d.read("add.so"));
    assert_eq!(d.names(), ["add.so", "add.wat"]);
}

#[test]
fn special_files_and_links_stay_what_they_are() {
    let d = Dir::new("special");
    d.write("add.wat", ADD).run("add.wat -o /dev/null").succeeds();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    d.write("real.so", "old");
    symlink("real.so", d.path("link.so")).unwrap();
    d.run("add.wat -o link.so").succeeds();
    assert!(fs::symlink_metadata(d.path("link.so")).unwrap().is_symlink());
    assert!(d.read("real.so").starts_with(b"\x7fELF"));
    assert_eq!(d.names(), ["add.wat", "link.so", "real.so"]);
}

#[test]
fn an_artifact_is_recognised_as_compiled() {
    let d = Dir::new("twice");
    d.write("add.wat", ADD).run("add.wat").succeeds();
    d.run("add.so -o again.so").fails(1, "add.so looks already compiled");
}

#[test]
fn every_kind_of_output() {
    let d = Dir::new("kinds");
    d.write("add.wat", ADD);
    for (kind, file) in [("obj", "add.o"), ("clif", "add.clif"), ("asm", "add.s")] {
        d.run(&format!("add.wat --emit {kind}")).succeeds();
        assert!(!d.read(file).is_empty());
    }
    assert!(d.read("add.o").starts_with(b"\x7fELF"));
    let clif = String::from_utf8(d.read("add.clif")).unwrap();
    assert!(clif.contains("iadd"), "{clif}");
    let asm = String::from_utf8(d.read("add.s")).unwrap();
    assert!(asm.contains("add") && asm.contains("ret"), "{asm}");
}

#[test]
fn options_reach_the_contract() {
    let d = Dir::new("options");
    d.write("add.wat", ADD).write("p.toml", "[labels]\nname = \"a\"\nteam = \"b\"\n");
    for line in ["--target-cpu x86-64-v3", "--memory compact", "-O0", "-Os", "--paranoid"] {
        d.run(&format!("add.wat {line}")).succeeds();
    }
    d.run("add.wat --target-cpu x86-64-v3 --policy p.toml --label name=c").succeeds();
    let c = contract(&d.read("add.so"));
    assert_eq!(c.cpu, cpu::X86_64_V3);
    assert_eq!(c.labels, [("name".into(), "c".into()), ("team".into(), "b".into())]);
}

#[test]
fn a_policy_refuses_and_says_all_that_is_wrong() {
    let d = Dir::new("policy");
    d.write("add.wat", ADD).write("p.toml", "[imports]\nenv = [\"other\"]\n");
    let r = d.run("add.wat --policy p.toml");
    r.fails(1, "import of function env.log is not allowed");
    r.fails(1, "import of function env.exec is not allowed");
    r.fails(1, "lucetc: add.wat: 2 errors");
    d.write("q.toml", "[imports]\nenv = [\"log\", \"ex*\"]\n")
        .run("add.wat --policy q.toml")
        .succeeds();
    d.write("r.toml", "[limits]\nmax_memory_pages = 0\nmax_table_elements = 9\n");
    d.run("add.wat --policy r.toml -o r.so").fails(1, "error[policy]");
    assert_eq!(d.names(), ["add.so", "add.wat", "p.toml", "q.toml", "r.toml"]);
}

#[test]
fn a_policy_may_be_a_pipe() {
    let d = Dir::new("policy_pipe");
    // A pipe gives what it has once: whoever reads it again finds an empty policy, which allows
    // everything.
    let policy = b"[imports]\nenv = [\"other\"]\n[labels]\nname = \"piped\"\n";
    d.write("add.wat", ADD);
    let r = d.run_with("add.wat --policy /dev/stdin", policy);
    r.fails(1, "import of function env.log is not allowed");
    assert_eq!(d.names(), ["add.wat"]);
    let policy = b"[imports]\nenv = [\"*\"]\n[labels]\nname = \"piped\"\n";
    d.run_with("add.wat --policy /dev/stdin", policy).succeeds();
    assert_eq!(contract(&d.read("add.so")).labels, [("name".into(), "piped".into())]);
    // Nor is more read than a policy can have.
    d.run("add.wat --policy /dev/zero").fails(2, "/dev/zero is too large for a policy file");
}

#[test]
fn invalid_modules_do_not_touch_an_old_output() {
    let d = Dir::new("invalid");
    d.write("bad.wat", "(module (func (result i32)))").write("bad.so", "old");
    d.run("bad.wat").fails(1, "error[invalid]");
    assert_eq!(d.read("bad.so"), b"old");
    let r = d.run("bad.wat --message-format json");
    r.fails(1, "{\"class\":\"invalid\"").fails(1, "\"file\":\"bad.wat\"");
    d.write("bad.wat", "(module (func").run("bad.wat").fails(1, "error[malformed]");
    assert_eq!(d.names(), ["bad.so", "bad.wat"]);
}
