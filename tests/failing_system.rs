//! A system that fails: every system call and every allocation refused in turn, and limits of the
//! process reached. A status each time, nothing left behind, and the next call works.
//!
//! The program is `tests/capi/failing.c`, linked with the real `liblucet.so`: everything a server
//! does from its start to its end.

mod common;

#[path = "failing_system/calls.rs"]
mod calls;
#[path = "failing_system/limits.rs"]
mod limits;
#[path = "failing_system/memory.rs"]
mod memory;
#[path = "failing_system/tracer.rs"]
mod tracer;
#[path = "failing_system/world.rs"]
mod world;

use common::client::{artifact, file, guest, out, program};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Whether everything is tried.
fn full() -> bool {
    std::env::var_os("FULL").is_some()
}

/// A signed artifact, and the line of the public key.
fn signed() -> (PathBuf, String) {
    const WAT: &[u8] = b"(module (func (export \"answer\") (result i32) (i32.const 42)))";
    let mut bytes = lucetc::compile(WAT, &lucetc::Options::default()).unwrap();
    let key = lucetc::signing::SecretKey::generate().unwrap();
    lucetc::signing::sign(&mut bytes, &key, "c", "it").unwrap();
    // The key is this process's own, and so is the file.
    let name = format!("failing-signed-{}.so", std::process::id());
    (file(&name, bytes), key.public().unwrap().line())
}

const PLUGIN: &str = r#"(module
  (import "store" "twice" (func $twice (param i32) (result i32)))
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (import "store" "memory" (memory 1))
  (import "store" "total" (global $total (mut i32)))
  (import "store" "table" (table 2 funcref))
  (type $t (func (param i32) (result i32)))
  (func (export "asked") (param i32) (result i32) (call $ask (local.get 0)))
  (func (export "through_table") (param i32) (result i32)
    (call_indirect (type $t) (local.get 0) (i32.const 1))))"#;
const STORE: &str = r#"(module (memory (export "memory") 1 1)
  (global (export "total") (mut i32) (i32.const 10))
  (table (export "table") 2 funcref) (elem (i32.const 1) $twice)
  (func $twice (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2))))"#;
/// With a start function, and functions whose builtins need memory. Each answers 1.
const STARTS: &str = r#"(module (import "env" "started" (func $started)) (start $started)
  (memory 2) (table $t 100 2000 funcref) (elem $e funcref (ref.func $f) (ref.null func))
  (data $d "passive") (tag $error (param i64 v128)) (func $f)
  (func (export "table_grow") (result i32)
    (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))
  (func (export "table_set") (result i32)
    (table.set $t (i32.const 7) (ref.func $f)) (i32.const 1))
  (func (export "table_init") (result i32)
    (table.init $t $e (i32.const 3) (i32.const 0) (i32.const 2)) (elem.drop $e) (i32.const 1))
  (func (export "data_init") (result i32)
    (memory.init $d (i32.const 9) (i32.const 0) (i32.const 7)) (data.drop $d) (i32.const 1))
  (func (export "throws") (result i32) (local i32)
    (block $caught (result i64 v128)
      (loop $l
        (drop (drop (block $one (result i64 v128)
          (try_table (catch $error $one)
            (throw $error (i64.const 5) (v128.const i64x2 1 2)))
          (unreachable))))
        (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1)))
          (i32.const 1500))))
      (i64.const 1) (v128.const i64x2 0 0))
    (drop) (i32.wrap_i64)))"#;

/// The program with its arguments; `saved` is the name of a file of its own.
fn failing(mode: &[&str], saved: &str) -> Command {
    static FILES: OnceLock<([PathBuf; 5], String)> = OnceLock::new();
    let ([program, guests @ ..], key) = FILES.get_or_init(|| {
        let guests =
            [("failing-plugin", PLUGIN), ("failing-store", STORE), ("failing-starts", STARTS)];
        let [plugin, store, starts] = guests.map(|(name, wat)| guest(name, wat));
        let (signed, key) = signed();
        ([program("failing", &[]), plugin, store, starts, signed], key)
    });
    let mut command = Command::new(program);
    command.args(mode).arg(artifact()).args(guests).arg(key);
    command.arg(out().join(format!("saved-{saved}.so")));
    command
}
