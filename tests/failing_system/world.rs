//! A region, a module, and requests of a server: what must work whatever the system refuses.
#![allow(dead_code)]

use crate::common::{compile, host, load, vmctx};
use lucet::{Control, Imports, Instance, Module, Outcome, Region, RegionConfig, Rung, Val};
use lucet_artifact::types::MemoryShape;
use std::ffi::c_void;
use std::sync::Arc;

pub const GUEST: &str = r#"(module (import "env" "add" (func $add (param i32) (result i32)))
  (import "env" "yield" (func $yield (result i32)))
  (memory (export "m") 2 64) (data (i32.const 5000) "image") (global $n (mut i32) (i32.const 0))
  (func (export "work") (param i32) (result i32)
    (i32.store (i32.const 9000) (local.get 0)) (i32.store (i32.const 100000) (local.get 0))
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (i32.add (call $add (i32.load (i32.const 9000))) (global.get $n)))
  (func (export "fresh") (result i32)
    (i32.add (i32.load (i32.const 9000)) (i32.load (i32.const 100000))))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "touch") (param i32)
    (i32.store (i32.mul (local.get 0) (i32.const 65536)) (i32.const 1)))
  (func (export "wait") (result i32) (call $yield))
  (func (export "spin") (loop $l (br $l)))
  (func (export "trap") unreachable) (func (export "out") (drop (i32.load (i32.const -4)))))"#;

extern "C" fn add(_: *const Control, _: usize, n: i32) -> i32 {
    n + 1
}

extern "C" fn yields(ctx: *const Control, _: usize) -> i32 {
    vmctx(ctx).yield_value(1, None, 0).unwrap();
    0
}

pub struct World {
    pub region: Arc<Region>,
    pub module: Arc<Module>,
    pub artifact: Vec<u8>,
    pub config: RegionConfig,
}

pub fn imports() -> Imports {
    let mut imports = Imports::new();
    host(&mut imports, "add", "(i32) -> i32", add as *const c_void, 0);
    host(&mut imports, "yield", "() -> i32", yields as *const c_void, 0);
    imports
}

/// Number of shapes and ways; each test tries all of them.
pub const WORLDS: usize = 8;

pub fn world(k: usize) -> World {
    let rungs = [Rung::FirstTouch, Rung::PagemapScan, Rung::CopyAndClear, Rung::Decommit];
    let shapes = [(MemoryShape::Guarded, false), (MemoryShape::Compact, true)];
    let (rung, (shape, compact)) = (rungs[k % 4], shapes[k / 4]);
    let artifact = compile(GUEST, shape);
    let config = RegionConfig {
        slots: 8,
        stacks: 8,
        max_memory: 64 << 16,
        compact,
        reset: Some(rung),
        ..RegionConfig::default()
    };
    let region = Region::new(config).unwrap();
    World { region, module: load(&artifact, imports()).unwrap(), artifact, config }
}

pub fn number(o: Outcome) -> i32 {
    match o {
        Outcome::Returned(v) => match v[..] {
            [Val::I32(n)] => n,
            _ => panic!("{v:?}"),
        },
        other => panic!("{other:?}"),
    }
}

pub fn call(i: &Instance, name: &str, args: &[Val]) -> i32 {
    number(i.run(name, args).unwrap())
}

/// One request in a warm world: everything must work, whatever the system refuses.
pub fn request(w: &World) {
    let i = Instance::new(&w.region, &w.module).unwrap();
    assert_eq!(call(&i, "fresh", &[]), 0);
    assert_eq!(call(&i, "work", &[Val::I32(20)]), 22);
    assert_eq!(i.run("wait", &[]).unwrap(), Outcome::Yielded(1));
    assert_eq!(number(i.resume(9).unwrap()), 9);
    i.reset().unwrap();
    assert_eq!(call(&i, "fresh", &[]), 0);
    for name in ["trap", "out"] {
        assert!(matches!(i.run(name, &[]).unwrap(), Outcome::Trapped(_)));
        i.reset().unwrap();
    }
    assert_eq!(call(&i, "fresh", &[]), 0);
}

/// Makes every slot of a world a used one.
pub fn warm(w: &World) {
    let all: Vec<_> = (0..8).map(|_| Instance::new(&w.region, &w.module).unwrap()).collect();
    for i in &all {
        assert_eq!(call(i, "work", &[Val::I32(1)]), 3);
        assert_eq!(call(i, "grow", &[Val::I32(1)]), 2);
        i.run("touch", &[Val::I32(2)]).unwrap();
        assert_eq!(i.run("wait", &[]).unwrap(), Outcome::Yielded(1));
    }
    drop(all);
    request(w);
}
