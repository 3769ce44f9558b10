//! What generated programs may import: host functions, whose answers depend on what was asked so
//! far, and a *provider*, an instance with a memory, a table, globals and functions of its own.
//!
//! The log of the host is one number, into which each call is mixed. Engines run one after the
//! other on the same thread, so it is a thread-local variable.

use crate::rng::{Rng, mix};
use crate::value::{Type, Value};
use std::cell::Cell;

/// Module name of the host functions.
pub const HOST: &str = "host";
/// Module name of the provider.
pub const PROVIDER: &str = "env";

/// Name, parameters, results.
pub type Signature = (&'static str, &'static [Type], &'static [Type]);

/// The host functions. The last one suspends the guest where an engine can do that.
pub const FUNCTIONS: [Signature; 9] = {
    use Type::{Extern, F32, F64, I32, I64};
    [
        ("h0", &[], &[]),
        ("h1", &[I32], &[I32]),
        ("h2", &[I64, I32], &[I64]),
        ("h3", &[F32, F64], &[F64]),
        ("h4", &[I32, I64, F32, F64, I32, I64, I32, I64], &[F32]),
        ("h5", &[I64], &[I32, I64]),
        ("h6", &[Extern], &[Extern]),
        ("h7", &[F64, F64, F64, F64, F64, F64, F64, F64, F64, F64], &[F64, I32, F32]),
        ("wait", &[I64], &[I64]),
    ]
};

thread_local! {
    static LOG: Cell<u64> = const { Cell::new(0) };
}

/// Forgets everything that was asked.
pub fn reset() {
    LOG.set(1);
}

/// All calls so far.
pub fn log() -> u64 {
    LOG.get()
}

/// Notes a call; the answer's words are made of the result.
pub fn enter(function: usize, args: &[u64]) -> u64 {
    let mut h = mix(LOG.get() ^ function as u64);
    for a in args {
        h = mix(h.rotate_left(7) ^ a);
    }
    LOG.set(h);
    h
}

/// The n-th result of a call.
pub fn answer(ty: Type, h: u64, n: usize) -> Value {
    Value::from_word(ty, mix(h.wrapping_add(n as u64)))
}

/// A call with values: the results.
pub fn call(function: usize, args: &[Value]) -> Vec<Value> {
    let words: Vec<u64> = args.iter().map(|v| v.word()).collect();
    let h = enter(function, &words);
    let (_, _, results) = FUNCTIONS[function];
    if function == FUNCTIONS.len() - 1 {
        return vec![Value::I64(h)];
    }
    results.iter().enumerate().map(|(n, t)| answer(*t, h, n)).collect()
}

/// Everything that can be imported, and the type of the functions.
pub const IMPORTS: [(&str, &str); 17] = [
    ("host", "\"h0\" (func)"),
    ("host", "\"h1\" (func (param i32) (result i32))"),
    ("host", "\"h2\" (func (param i64 i32) (result i64))"),
    ("host", "\"h3\" (func (param f32 f64) (result f64))"),
    ("host", "\"h4\" (func (param i32 i64 f32 f64 i32 i64 i32 i64) (result f32))"),
    ("host", "\"h5\" (func (param i64) (result i32 i64))"),
    ("host", "\"h6\" (func (param externref) (result externref))"),
    ("host", "\"h7\" (func (param f64 f64 f64 f64 f64 f64 f64 f64 f64 f64) (result f64 i32 f32))"),
    ("host", "\"wait\" (func (param i64) (result i64))"),
    ("env", "\"poke\" (func (param i32 i64) (result i64))"),
    ("env", "\"pair\" (func (param f64 f32) (result f64 f32 i32))"),
    ("env", "\"jump\" (func (param i32))"),
    ("env", "\"memory\" (memory 1 3)"),
    ("env", "\"table\" (table 4 9 funcref)"),
    ("env", "\"number\" (global (mut i32))"),
    ("env", "\"long\" (global i64)"),
    ("env", "\"float\" (global (mut f64))"),
];

/// A module that imports some of it, in binary form: wasm-smith takes from it what it likes.
pub fn available(rng: &mut Rng) -> Vec<u8> {
    let mut text = String::from("(module");
    let mut chosen: Vec<usize> = (0..1 + rng.below(7)).map(|_| pick(rng)).collect();
    chosen.sort_unstable();
    chosen.dedup();
    for i in chosen {
        let (module, what) = IMPORTS[i];
        text.push_str(&format!(" (import \"{module}\" {what})"));
    }
    text.push(')');
    wat::parse_str(text).expect("the imports are valid")
}

fn pick(rng: &mut Rng) -> usize {
    rng.below(IMPORTS.len() as u64) as usize
}

/// The provider.
pub const PROVIDER_TEXT: &str = r#"(module
  (memory $m (export "memory") 1 3)
  (data (i32.const 100) "provided")
  (table $t (export "table") 4 9 funcref)
  (elem (i32.const 1) $tick $tick)
  (global $number (export "number") (mut i32) (i32.const 7))
  (global (export "long") i64 (i64.const -3))
  (global (export "float") (mut f64) (f64.const 0.5))
  (func $tick (global.set $number (i32.add (global.get $number) (i32.const 1))))
  (func (export "poke") (param i32 i64) (result i64)
    (i64.store offset=8 (local.get 0) (local.get 1))
    (i64.load offset=4 (local.get 0)))
  (func (export "pair") (param f64 f32) (result f64 f32 i32)
    (local.get 0) (local.get 1) (global.get $number))
  (func (export "jump") (param i32)
    (call_indirect $t (i32.and (local.get 0) (i32.const 7)))))"#;
