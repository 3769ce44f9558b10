//! Random numbers and clocks: noted, refused, or made anew in each instance.

use super::guests::saved;
use crate::common::{self, host, vmctx};
use lucet::{
    Control, Imports, Instance, Module, ModuleConfig, Outcome, Region, SnapshotOptions, Status, Val,
};
use lucet_artifact::types::MemoryShape;
use std::collections::HashSet;
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Never gives a number twice. Its arguments say whether all of them arrive, also those on the
/// stack.
#[allow(clippy::too_many_arguments, reason = "more than fit into registers")]
extern "C" fn random(
    _: *const Control,
    user: usize,
    a: i32,
    b: i64,
    c: f64,
    d: i32,
    e: i64,
    f: i32,
    g: f32,
    h: i64,
) -> i64 {
    assert_eq!((user, a, b, d, e, f, h), (42, 1, 2, 4, 5, 6, 8));
    assert!(c == 3.0 && g == 7.0);
    NEXT.fetch_add(1, Ordering::Relaxed) as i64 * 1000
}

extern "C" fn time(_: *const Control, _: usize) -> i64 {
    NEXT.fetch_add(1, Ordering::Relaxed) as i64
}

extern "C" fn pure(_: *const Control, _: usize) -> i64 {
    3
}

extern "C" fn says_so(ctx: *const Control, _: usize) -> i64 {
    vmctx(ctx).mark_impure();
    4
}

fn guest(hook: &str) -> String {
    format!(
        r#"(module
  (import "env" "random" (func $random (param i32 i64 f64 i32 i64 i32 f32 i64) (result i64)))
  (import "env" "time" (func $time (result i64)))
  (import "env" "pure" (func $pure (result i64)))
  (import "env" "says_so" (func $says (result i64)))
  (global $seed (mut i64) (i64.const 0))
  (func $get (result i64) (call $random (i32.const 1) (i64.const 2) (f64.const 3) (i32.const 4)
    (i64.const 5) (i32.const 6) (f32.const 7) (i64.const 8)))
  (func (export "start") (global.set $seed (call $get)))
  (func (export "clock") (drop (call $time)))
  (func (export "pure") (drop (call $pure)))
  (func (export "says") (drop (call $says)))
  (func (export "next") (result i64)
    (global.set $seed
      (i64.mul (i64.add (global.get $seed) (i64.const 1)) (i64.const 0x5851f42d4c957f2d)))
    (global.get $seed))
  {hook})"#
    )
}

const SEEDED: &str =
    "(func (export \"lucet_reseed\") (param i64) (global.set $seed (local.get 0)))";
const ASKING: &str = "(func (export \"lucet_reseed\") (global.set $seed (call $get)))";

fn imports() -> Imports {
    let mut imports = Imports::new();
    let ty = "(i32, i64, f64, i32, i64, i32, f32, i64) -> i64";
    host(&mut imports, "random", ty, random as *const c_void, 42);
    for (name, f) in
        [("time", time as *const c_void), ("pure", pure as _), ("says_so", says_so as _)]
    {
        host(&mut imports, name, "() -> i64", f, 0);
    }
    imports.mark_impure("env", "random").unwrap();
    imports.mark_impure("env", "time").unwrap();
    imports
}

fn load(bytes: &[u8]) -> Arc<Module> {
    let config =
        ModuleConfig { imports: imports(), allow_unsigned: true, ..ModuleConfig::default() };
    Module::load_bytes(bytes, &config).unwrap()
}

fn module(hook: &str) -> Arc<Module> {
    load(&common::compile(guest(hook), MemoryShape::Guarded))
}

fn next(i: &Instance) -> i64 {
    match i.run("next", &[]).unwrap() {
        Outcome::Returned(v) => match v[..] {
            [Val::I64(n)] => n,
            _ => panic!("{v:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn started(r: &Arc<Region>, m: &Arc<Module>, calls: &[&str]) -> Instance {
    let i = Instance::new(r, m).unwrap();
    for name in calls {
        assert_eq!(i.run(name, &[]).unwrap(), Outcome::Returned(vec![]), "{name}");
    }
    i
}

#[test]
fn frozen_random_numbers_are_refused_by_name() {
    let (m, r) = (module(""), common::region());
    let options = SnapshotOptions::default();
    started(&r, &m, &["pure"]).snapshot(&options).unwrap();
    for (calls, names) in [
        (&["start"][..], &["env.random"][..]),
        (&["clock"], &["env.time"]),
        (&["pure", "clock", "start"], &["env.random, env.time"]),
        (&["says"], &["a host function that says it is impure"]),
    ] {
        let i = started(&r, &m, calls);
        let e = i.snapshot(&options).unwrap_err();
        assert_eq!(e.status(), Status::Impure, "{calls:?}");
        for name in names {
            assert!(e.message().contains(name), "{calls:?}: {e}");
        }
        assert!(!e.message().contains("env.pure"), "{e}");
        assert_eq!(calls.contains(&"start"), e.message().contains("env.random"), "{e}");
        // A fresh one of the same slot and control block has called nothing.
        i.reset().unwrap();
        i.snapshot(&options).unwrap();
        drop(i);
        started(&r, &m, &["pure"]).snapshot(&options).unwrap();
    }
}

#[test]
fn without_a_hook_instances_have_the_same_numbers_if_allowed() {
    let (m, r) = (module(""), common::region());
    let i = started(&r, &m, &["start"]);
    let options = SnapshotOptions { allow_frozen_randomness: true, ..SnapshotOptions::default() };
    let snap = i.snapshot(&options).unwrap();
    for snap in [snap.clone(), load(&saved(&snap))] {
        let (a, b) = (Instance::new(&r, &snap).unwrap(), Instance::new(&r, &snap).unwrap());
        assert_eq!([next(&a), next(&a)], [next(&b), next(&b)]);
        // A snapshot of a snapshot remembers, also through a file.
        let e = a.snapshot(&SnapshotOptions::default()).unwrap_err();
        assert_eq!(e.status(), Status::Impure);
        assert!(e.message().contains("snapshot that it began as"), "{e}");
    }
}

#[test]
fn with_a_hook_each_instance_has_its_own() {
    for hook in [SEEDED, ASKING] {
        let (m, r) = (module(hook), common::region());
        let i = started(&r, &m, &["start", "clock"]);
        let snap = i.snapshot(&SnapshotOptions::default()).unwrap();
        let mut seen = HashSet::new();
        let mut count = 0;
        for snap in [snap.clone(), load(&saved(&snap))] {
            for _ in 0..100 {
                let i = Instance::new(&r, &snap).unwrap();
                seen.insert(next(&i));
                i.reset().unwrap();
                seen.insert(next(&i));
                count += 2;
            }
            let deeper = Instance::new(&r, &snap).unwrap();
            let deeper = deeper.snapshot(&SnapshotOptions::default()).unwrap();
            for _ in 0..100 {
                seen.insert(next(&Instance::new(&r, &deeper).unwrap()));
                count += 1;
            }
        }
        assert_eq!(seen.len(), count, "{hook}");
    }
}

#[test]
fn a_hook_that_traps_fails_the_instance() {
    let hook = "(func (export \"fresh\") (param i64) unreachable)";
    let (m, r) = (module(hook), common::region());
    let i = started(&r, &m, &["start"]);
    let options = SnapshotOptions { reseed: Some("fresh".into()), ..SnapshotOptions::default() };
    let e = Instance::new(&r, &i.snapshot(&options).unwrap()).unwrap_err();
    assert_eq!(e.status(), Status::StartFailed);
    assert!(e.message().contains("the reseed function trapped"), "{e}");
    assert_eq!(r.live(), 1);
}

#[test]
fn only_functions_that_are_offered_can_be_marked() {
    let e = imports().mark_impure("env", "randon").unwrap_err();
    assert_eq!(e.status(), Status::InvalidArgument);
    assert!(e.message().contains("env.randon was not added"), "{e}");
}
