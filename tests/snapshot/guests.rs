//! Guests that keep state in every place a guest has, and what the tests do with them.

use crate::common;
use lucet::{Instance, Module, ModuleConfig, Outcome, Region, RegionConfig, SnapshotOptions, Val};
use lucet_artifact::types::MemoryShape;
use std::sync::Arc;

/// Memory, globals of all kinds, tables, segments. Each function gives a number that depends on the
/// state, so that a sequence of calls shows a difference.
pub const EVERYTHING: &str = r#"(module
  (memory (export "memory") 2 40)
  (table $t (export "t") 8 4000 funcref)
  (table $x (export "x") 2 20 externref)
  (table $empty 0 funcref)
  (type $f (func (result i64)))
  (table $f (export "f") 5 60 (ref null $f) (ref.func $two))
  (table $sure 3 (ref $f) (ref.func $two))
  (elem declare func $three)
  (global $i (export "i") (mut i32) (i32.const 1))
  (global $l (export "l") (mut i64) (i64.const 2))
  (global $s (export "s") (mut f32) (f32.const 1.5))
  (global $d (export "d") (mut f64) (f64.const 2.5))
  (global $r (mut funcref) (ref.func $one))
  (global $c i32 (i32.const 77))
  (elem $passive func $two $one $three)
  (elem (table $t) (i32.const 1) func $one $two)
  (data $bytes "passive bytes")
  (data (i32.const 100) "active bytes")
  (func $one (export "one") (type $f) (i64.const 1))
  (func $two (type $f) (i64.add (i64.extend_i32_u (global.get $i)) (i64.const 2)))
  (func $three (type $f) (global.set $l (i64.mul (global.get $l) (i64.const 3))) (global.get $l))
  (func (export "store") (param i32 i64) (result i64)
    (local $at i32)
    (local.set $at (i32.and (local.get 0) (i32.const 0x1fff8)))
    (i64.store (local.get $at) (i64.add (local.get 1) (i64.load (local.get $at))))
    (i64.load (local.get $at)))
  (func (export "load") (param i32 i64) (result i64)
    (i64.load (i32.and (local.get 0) (i32.const 0x1fff8))))
  (func (export "last") (param i32 i64) (result i64)
    (local $at i32)
    (local.set $at (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8)))
    (i64.store (local.get $at) (i64.add (i64.load (local.get $at)) (local.get 1)))
    (i64.load (local.get $at)))
  (func (export "grow") (param i32 i64) (result i64)
    (i64.extend_i32_s (memory.grow (i32.and (local.get 0) (i32.const 1)))))
  (func (export "globals") (param i32 i64) (result i64)
    (global.set $i (i32.add (global.get $i) (local.get 0)))
    (global.set $l (i64.xor (global.get $l) (local.get 1)))
    (global.set $s (f32.mul (global.get $s) (f32.const -1.25)))
    (global.set $d (f64.div (global.get $d) (f64.const 3)))
    (i64.add (i64.add (i64.extend_i32_u (global.get $i)) (global.get $l))
             (i64.add (i64.extend_i32_u (i32.reinterpret_f32 (global.get $s)))
                      (i64.reinterpret_f64 (global.get $d)))))
  (func (export "call") (param i32 i64) (result i64)
    (local $n i32)
    (local.set $n (i32.rem_u (local.get 0) (table.size $t)))
    (if (result i64) (ref.is_null (table.get $t (local.get $n)))
      (then (i64.const -5))
      (else (call_indirect $t (type $f) (local.get $n)))))
  (func (export "set") (param i32 i64) (result i64)
    (local $n i32)
    (local.set $n (i32.rem_u (local.get 0) (table.size $t)))
    (if (i32.and (local.get 0) (i32.const 64))
      (then (table.set $t (local.get $n) (global.get $r)))
      (else (table.set $t (local.get $n) (ref.null func))))
    (i64.extend_i32_u (local.get $n)))
  (func (export "swap") (param i32 i64) (result i64)
    (global.set $r (table.get $t (i32.rem_u (local.get 0) (table.size $t))))
    (i64.extend_i32_u (ref.is_null (global.get $r))))
  (func (export "grow_table") (param i32 i64) (result i64)
    (i64.extend_i32_s (table.grow $t (global.get $r) (i32.and (local.get 0) (i32.const 7)))))
  (func (export "typed") (param i32 i64) (result i64)
    (local $n i32)
    (local.set $n (i32.rem_u (local.get 0) (table.size $f)))
    (if (i32.and (local.get 0) (i32.const 64))
      (then (table.set $f (local.get $n) (ref.null $f))))
    (if (i32.and (local.get 0) (i32.const 128))
      (then (table.set $f (local.get $n) (ref.func $three))
            (table.set $sure (i32.const 1) (ref.func $three))))
    (if (i32.and (local.get 0) (i32.const 256))
      (then (drop (table.grow $f (ref.func $two) (i32.const 1)))))
    (block $null
      (i64.add
        (call_ref $f (br_on_null $null (table.get $f (local.get $n))))
        (call_indirect $sure (type $f) (i32.rem_u (local.get 0) (i32.const 3))))
      (return))
    (i64.const -7))
  (func (export "init") (param i32 i64) (result i64)
    (table.init $t $passive (i32.const 4) (i32.const 0) (i32.const 3)) (i64.const 0))
  (func (export "data_init") (param i32 i64) (result i64)
    (memory.init $bytes (i32.and (local.get 0) (i32.const 0xffff)) (i32.const 0) (i32.const 13))
    (i64.const 0))
  (func (export "drop_elem") (param i32 i64) (result i64)
    (elem.drop $passive) (i64.const 0))
  (func (export "drop_data") (param i32 i64) (result i64)
    (data.drop $bytes) (i64.const 0)))"#;

/// Functions of [`EVERYTHING`] and of how many thousand calls each is made.
pub const CALLS: [(&str, u32); 15] = [
    ("store", 200),
    ("load", 100),
    ("typed", 100),
    ("last", 50),
    ("grow", 40),
    ("globals", 150),
    ("call", 150),
    ("set", 60),
    ("swap", 50),
    ("grow_table", 40),
    ("init", 20),
    ("data_init", 20),
    ("drop_elem", 1),
    ("drop_data", 1),
    ("none", 18),
];

/// A sequence of numbers that only looks random, so that failures come again.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A call of [`EVERYTHING`].
    pub fn call(&mut self) -> (&'static str, [Val; 2]) {
        let mut n = (self.roll() % 1000) as u32;
        let name = CALLS.iter().find(|(_, share)| {
            let found = n < *share;
            n = n.saturating_sub(*share);
            found
        });
        let args = [Val::I32(self.roll() as i32), Val::I64(self.roll() as i64)];
        (name.map_or("store", |c| if c.0 == "none" { "store" } else { c.0 }), args)
    }
}

/// What a call comes to, as text without addresses; a trapped instance goes on as it is.
pub fn step(i: &Instance, name: &str, args: &[Val]) -> String {
    match i.run(name, args).unwrap() {
        Outcome::Trapped(t) => {
            i.recover().unwrap();
            format!("{:?}", t.code)
        }
        Outcome::Returned(values) => format!("{values:?}"),
        other => panic!("{other:?}"),
    }
}

/// All of the memory.
pub fn memory(i: &Instance) -> Vec<u8> {
    let mut bytes = vec![0; i.memory_size().unwrap() as usize];
    i.memory_read(0, &mut bytes).unwrap();
    bytes
}

/// Exported globals, sizes of tables.
pub fn visible(i: &Instance) -> String {
    let globals = ["i", "l", "s", "d"].map(|g| i.global_get(g).unwrap());
    let nulls = ["t", "f"].map(|t| {
        let table = i.table_elements(t).unwrap();
        table.iter().map(|e| *e == 0).collect::<Vec<_>>()
    });
    format!("{globals:?} {nulls:?} {:?}", i.table_elements("x").unwrap())
}

pub fn load(artifact: &[u8]) -> Arc<Module> {
    let config = ModuleConfig { allow_unsigned: true, ..ModuleConfig::default() };
    Module::load_bytes(artifact, &config).unwrap()
}

pub fn everything(shape: MemoryShape) -> Arc<Module> {
    load(&common::compile(EVERYTHING, shape))
}

pub fn region(shape: MemoryShape) -> Arc<Region> {
    let compact = shape == MemoryShape::Compact;
    let max_memory = if compact { 4 << 20 } else { 4 << 30 };
    Region::new(RegionConfig { compact, max_memory, ..RegionConfig::default() }).unwrap()
}

pub fn snapshot(i: &Instance) -> Arc<Module> {
    i.snapshot(&SnapshotOptions::default()).unwrap()
}

/// A snapshot through a file, as another process would load it.
pub fn saved(m: &Module) -> Vec<u8> {
    let path =
        std::env::temp_dir().join(format!("lucet-snapshot-{}-{}", std::process::id(), m.id()));
    m.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    bytes
}

pub const SHAPES: [MemoryShape; 2] = [MemoryShape::Guarded, MemoryShape::Compact];
