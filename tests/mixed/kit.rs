//! What the tests of this directory share: one guest that can end in every way, and the path of a
//! call that only C takes.

use crate::common::c::{self, CVal};
use crate::common::{host, vmctx};
use lucet::{Control, Func, Imports, InstanceRef, Module, ModuleConfig, OutcomeKind};
use lucet_artifact::types::MemoryShape;
use std::sync::Arc;

/// What `look` returns in a fresh instance.
pub const FRESH: i64 = 0x0067_616d_0307;

/// The guest. `START` is replaced.
const GUEST: &str = r#"(module
  (import "env" "y" (func $y (param i64) (result i64)))
  (import "env" "end" (func $end (param i32)))
  (import "env" "nest" (func $nest (param i32) (result i32)))
  (memory (export "m") 1 6)
  (data (i32.const 4104) "mag\00")
  (table $t (export "t") 3 9 externref)
  (global $g (export "g") (mut i64) (i64.const 7))
  ;; Everything that can be dirty, in one number.
  (func $look (export "look") (result i64) (local $i i32) (local $sum i64)
    (loop $l
      (local.set $sum (i64.or (local.get $sum) (i64.load (local.get $i))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4096)))
                          (i32.const 65536))))
    (local.set $sum (i64.xor (local.get $sum) (i64.load (i32.const 65528))))
    (i64.add (i64.shl (i64.add (local.get $sum)
          (i64.load32_u (i32.const 4104))) (i64.const 16))
      (i64.add (i64.mul (global.get $g) (i64.extend_i32_u (memory.size)))
               (i64.mul (i64.const 256) (i64.extend_i32_u (table.size $t))))))
  (func $dirty (export "dirty") (param $v i64) (local $i i32)
    (loop $l
      (i64.store (local.get $i) (local.get $v))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4096)))
                          (i32.const 65536))))
    (i64.store (i32.const 65528) (local.get $v))
    (drop (table.grow $t (ref.null extern) (i32.const 1)))
    (if (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0))
      (then (i64.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8))
                       (local.get $v))))
    (global.set $g (local.get $v)))
  (func $deep (param i32) (result i32)
    (i32.add (i32.const 1) (call $deep (i32.add (local.get 0) (i32.const 1)))))
  (func (export "overflow") (drop (call $deep (i32.const 0))))
  (func (export "trap") (call $dirty (i64.const -1)) unreachable)
  (func (export "oob") (drop (i32.load (i32.const -8))))
  (func (export "spin") (global.set $g (i64.const 9)) (loop $l (br $l)))
  (func (export "yield") (result i64)
    (call $dirty (i64.const 3)) (call $y (i64.const 11)))
  (func (export "end") (param i32) (call $dirty (i64.const 5)) (call $end (local.get 0)))
  (func (export "nest") (param i32) (result i32) (call $nest (local.get 0)))
  (func $begin (global.set $g (i64.const 7)) (i64.store (i32.const 8192) (i64.const 0)))
  START)"#;

extern "C" fn wait(ctx: *const Control, _: usize, v: i64) -> i64 {
    vmctx(ctx).yield_value(v as u64, None, 0).unwrap();
    0
}

/// Ends the run: 0 exit, 1 failure, 2 termination from inside, 3 termination as from outside.
extern "C" fn end(ctx: *const Control, _: usize, how: i32) {
    let ctx = vmctx(ctx);
    match how {
        0 => ctx.exit(40).unwrap(),
        1 => ctx.fail(41).unwrap(),
        2 => ctx.terminate().unwrap(),
        _ => ctx.instance().terminate().unwrap(),
    }
}

/// Runs `trap` (odd) or `look` inside, and is asked to yield as well.
extern "C" fn nest(ctx: *const Control, _: usize, how: i32) -> i32 {
    let ctx = vmctx(ctx);
    let f = ctx.find(if how & 1 == 1 { "trap" } else { "look" }).unwrap();
    ctx.run(f, &[]).unwrap();
    if how & 3 == 2 {
        ctx.instance().terminate().unwrap();
    }
    let _ = ctx.yield_value(12, None, 0);
    1
}

fn imports() -> Imports {
    let mut imports = Imports::new();
    host(&mut imports, "y", "(i64) -> i64", wait as *const _, 0);
    host(&mut imports, "end", "(i32) -> ()", end as *const _, 0);
    host(&mut imports, "nest", "(i32) -> i32", nest as *const _, 0);
    imports
}

/// The guest, with or without a start function, counting fuel or not.
pub fn guest(shape: MemoryShape, start: bool, fuel: bool) -> Arc<Module> {
    load(&GUEST.replace("START", if start { "(start $begin)" } else { "" }), shape, fuel)
}

/// Another guest with the same host functions.
pub fn load(text: &str, memory: MemoryShape, fuel: bool) -> Arc<Module> {
    let options = lucetc::Options { memory, fuel, paranoid: true, ..lucetc::Options::default() };
    let bytes = lucetc::compile(text.as_bytes(), &options).unwrap();
    let config = ModuleConfig {
        imports: imports(),
        allow_unsigned: true,
        linkable: true,
        ..Default::default()
    };
    Module::load_bytes(&bytes, &config).unwrap()
}

/// Status of a call that was made.
pub const OK: i32 = 0;

/// Calls a function of integers as C does, on the shortest path if that is open: status, kind of
/// outcome, result.
pub fn call_from_c(
    i: InstanceRef,
    f: Func,
    arg: Option<(i64, bool)>,
    results: usize,
) -> (i32, i32, i64) {
    let arg = arg.map(|(v, wide)| CVal::new(v as u64, if wide { c::I64 } else { c::I32 }));
    let mut result = [CVal::new(0, c::I32)];
    let (status, kind) = c::run_func(i, f, arg.as_slice(), &mut result[..results]);
    (status, kind, result[0].bits() as i64)
}

/// The number of a kind.
pub fn kind(k: OutcomeKind) -> i32 {
    k as i32
}
