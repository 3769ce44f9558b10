//! Modules that differ in everything in which versions of a plugin can differ: code, data, globals,
//! size of the memory, order and number of functions. What they answer says which one it was.

use crate::common::{compile, process};
use crate::kit::{imports, vmctx};
use lucet::{Control, Func, Imports, Instance, Module, ModuleConfig, ModuleRef, Outcome, Val};
use lucet_artifact::types::MemoryShape;
use std::ffi::c_void;
use std::path::Path;
use std::sync::Arc;

/// Number of different ones.
pub const KINDS: usize = 12;

/// Entry points, in the order in which they are required.
pub const CHECK: usize = 0;
pub const WAIT: usize = 1;

fn wat(kind: usize) -> String {
    let before: String = (0..kind)
        .map(|n| format!("(func (export \"f{n}\") (result i32) (i32.const -2))\n"))
        .collect();
    let after = r#"
      (func (export "wait") (param i32) (result i32)
        (i32.store (i32.const 4000) (local.get 0))
        (drop (call $wait))
        (i32.add (call $check) (i32.load (i32.const 4000))))"#;
    format!(
        r#"(module (import "env" "wait" (func $wait (result i32)))
      (memory {pages}) (global $g (mut i32) (i32.const {kind}))
      (data (i32.const {at}) "\{kind:02x}")
      {first}
      (func $check (export "check") (result i32)
        (local $g i32)
        ;; Used before: then the instance is not fresh.
        (local.set $g (global.get $g))
        (global.set $g (i32.const 1000))
        (if (i32.ne (local.get $g) (i32.const {kind})) (then (return (i32.const -3))))
        (if (i32.ne (i32.load8_u (i32.const {at})) (i32.const {kind}))
          (then (return (i32.const -4))))
        (if (i32.ne (memory.size) (i32.const {pages})) (then (return (i32.const -5))))
        (i32.const {kind}))
      {last})"#,
        pages = 1 + kind % 3,
        at = 5000 + 4096 * (kind % 5),
        first = if kind.is_multiple_of(2) { before.as_str() } else { after },
        last = if kind.is_multiple_of(2) { after } else { before.as_str() },
    )
}

extern "C" fn wait(ctx: *const Control, _: usize) -> i32 {
    vmctx(ctx).yield_value(1, None, 0).unwrap();
    0
}

pub fn host() -> Imports {
    imports(&[("wait", "() -> i32", wait as *const c_void, 0)])
}

pub fn config() -> ModuleConfig {
    ModuleConfig { imports: host(), allow_unsigned: true, ..ModuleConfig::default() }
}

/// All of them, compiled.
pub fn artifacts(shape: MemoryShape) -> Vec<Vec<u8>> {
    (0..KINDS).map(|kind| compile(wat(kind), shape)).collect()
}

pub fn module(artifact: &[u8]) -> Arc<Module> {
    Module::load_bytes(artifact, &config()).unwrap()
}

/// A reference that requires both entry points.
pub fn reference() -> ModuleRef {
    let r = ModuleRef::new().unwrap();
    let require =
        |name: &str, ty: &str| r.require(name, Some(&lucet::parse_signature(ty).unwrap()));
    assert_eq!(require("check", "() -> i32").unwrap(), CHECK);
    assert_eq!(require("wait", "(i32) -> i32").unwrap(), WAIT);
    r
}

fn number(outcome: Outcome) -> i32 {
    match outcome {
        Outcome::Returned(v) => match *v {
            [Val::I32(n)] => n,
            _ => panic!("{v:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Which kind a fresh instance is of.
pub fn check(i: &Instance, funcs: &[Func]) -> usize {
    let answer = number(i.run_func(funcs[CHECK], &[]).unwrap());
    usize::try_from(answer).unwrap_or_else(|_| panic!("an instance of two versions: {answer}"))
}

/// Leaves a fresh instance suspended.
pub fn suspend(i: &Instance, funcs: &[Func]) {
    let outcome = i.run_func(funcs[WAIT], &[Val::I32(10_000)]).unwrap();
    assert_eq!(outcome, Outcome::Yielded(1));
}

/// Which kind one is of that was suspended.
pub fn resume(i: &Instance) -> usize {
    let answer = number(i.resume(0).unwrap()) - 10_000;
    usize::try_from(answer).unwrap_or_else(|_| panic!("an instance of two versions: {answer}"))
}

/// What modules take: their artifacts' mappings and descriptors.
pub fn modules_in_memory() -> usize {
    let mut found = 0;
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let link = std::fs::read_link(entry.unwrap().path());
        found += usize::from(link.is_ok_and(|l| is_artifact(&l)));
    }
    found
}

fn is_artifact(file: &Path) -> bool {
    file.to_string_lossy().contains("lucet-artifact")
}

/// Mappings of artifacts, all mappings, descriptors.
pub fn counts() -> (usize, usize, usize) {
    (process::mappings_of(&["lucet-artifact"]), process::mappings(), process::descriptors())
}
