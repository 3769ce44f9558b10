//! HTTP plugins from C: `tests/capi/http.c` is a server in memory whose plugins are the examples of
//! the guest SDK. It counts what is allocated on the way of a warm request.

mod common;

use common::client::{out, program, root, run};
use std::path::PathBuf;
use std::process::Command;

/// A plugin that sends the request's body back.
const READER: &str = r#"(module
  (import "http_handler" "read_body" (func $read (param i32 i32 i32) (result i64)))
  (import "http_handler" "write_body" (func $write (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "handle_request") (result i64) (local $n i64)
    (loop $more
      (local.set $n (call $read (i32.const 0) (i32.const 0) (i32.const 1000)))
      (call $write (i32.const 1) (i32.const 0) (i32.wrap_i64 (local.get $n)))
      (br_if $more (i64.eqz (i64.shr_u (local.get $n) (i64.const 32)))))
    (i64.const 0)))"#;

fn artifact(name: &str, wasm: &[u8]) -> PathBuf {
    let file = out().join(format!("http-{name}.so"));
    let bytes = lucetc::compile(wasm, &lucetc::Options::default());
    std::fs::write(&file, bytes.unwrap_or_else(|e| panic!("{name}: {e}"))).unwrap();
    file
}

/// An example of the SDK, built with clang.
fn example(name: &str) -> PathBuf {
    let sdk = root().join("guest-sdk/c");
    let wasm = out().join(format!("http-{name}.wasm"));
    run(Command::new("clang")
        .args(["--target=wasm32", "-O2", "-nostdlib", "-ffreestanding", "-std=c11"])
        .args(["-Wall", "-Wextra", "-Werror", "-Wl,--no-entry", "-Wl,--stack-first", "-I"])
        .arg(&sdk)
        .arg(sdk.join("examples").join(name).with_extension("c"))
        .arg("-o")
        .arg(&wasm));
    artifact(name, &std::fs::read(wasm).unwrap())
}

#[test]
fn a_server_in_c_runs_plugins_and_warm_requests_allocate_nothing() {
    let mut files: Vec<PathBuf> = ["hello", "tenant", "router"].map(example).into();
    files.push(artifact("reader", READER.as_bytes()));
    files.push(artifact("none", b"(module)"));
    run(Command::new(program("http", &[])).args(&files));
}
