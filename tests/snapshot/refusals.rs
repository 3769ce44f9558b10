//! What does not become a snapshot, and why.

use super::guests::{everything, region, snapshot};
use crate::common::{self, host, module, vmctx};
use lucet::{
    Control, Group, Imports, Instance, Module, ModuleConfig, Outcome, SnapshotOptions, Status, Val,
};
use lucet_artifact::types::MemoryShape;
use std::ffi::c_void;

fn refused(i: &Instance, options: &SnapshotOptions) -> (Status, String) {
    let e = i.snapshot(options).unwrap_err();
    (e.status(), e.message().to_owned())
}

/// Asks for a snapshot of the instance that called it; yields if that is not the status it finds.
extern "C" fn of_myself(ctx: *const Control, _: usize) -> i32 {
    let ctx = vmctx(ctx);
    let e = ctx.instance().snapshot(&SnapshotOptions::default()).unwrap_err();
    e.status() as i32
}

extern "C" fn yields(ctx: *const Control, _: usize) -> i32 {
    let ctx = vmctx(ctx);
    ctx.yield_value(5, None, 0).unwrap();
    0
}

const STATES: &str = r#"(module
  (import "env" "of_myself" (func $m (result i32)))
  (import "env" "yields" (func $y (result i32)))
  (func (export "running") (result i32) (call $m))
  (func (export "yield") (result i32) (call $y))
  (func (export "trap") unreachable))"#;

#[test]
fn only_ready_instances_do() {
    let mut imports = Imports::new();
    host(&mut imports, "of_myself", "() -> i32", of_myself as *const c_void, 0);
    host(&mut imports, "yields", "() -> i32", yields as *const c_void, 0);
    let (m, r) = (module(STATES, imports), common::region());
    let options = SnapshotOptions::default();
    let i = Instance::new(&r, &m).unwrap();
    let busy = Outcome::Returned(vec![Val::I32(Status::Busy as i32)]);
    assert_eq!(i.run("running", &[]).unwrap(), busy);
    i.run("yield", &[]).unwrap();
    let (status, message) = refused(&i, &options);
    assert_eq!(status, Status::WrongState);
    assert!(message.contains("suspended"), "{message}");
    i.resume(1).unwrap();
    i.snapshot(&options).unwrap();
    i.run("trap", &[]).unwrap();
    let (status, message) = refused(&i, &options);
    assert_eq!(status, Status::WrongState);
    assert!(message.contains("stopped by a trap"), "{message}");
    let freed = i.into_ref();
    freed.free().unwrap();
    assert_eq!(freed.snapshot(&options).unwrap_err().status(), Status::InvalidHandle);
}

#[test]
fn members_of_groups_do_not() {
    let m = everything(MemoryShape::Guarded);
    let mut group = Group::new(&common::region());
    let member = group.instantiate(Some("a"), &m).unwrap();
    let e = member.snapshot(&SnapshotOptions::default()).unwrap_err();
    assert_eq!(e.status(), Status::Unsupported);
    assert!(e.message().contains("group"), "{e}");
}

/// A snapshot's instances may join groups: what they have is their own.
#[test]
fn instances_of_snapshots_join_groups() {
    let m = everything(MemoryShape::Guarded);
    let i = Instance::new(&common::region(), &m).unwrap();
    for (name, n) in [("grow_table", 5), ("init", 0), ("swap", 4), ("set", 70), ("globals", 9)] {
        i.run(name, &[Val::I32(n), Val::I64(3)]).unwrap();
    }
    let mut group = Group::new(&common::region());
    group.instantiate(Some("a"), &snapshot(&i)).unwrap();
    let other = r#"(module (import "a" "t" (table 13 4000 funcref)) (type $f (func (result i64)))
      (func (export "call") (param i32 i64) (result i64)
        (local.set 0 (i32.rem_u (local.get 0) (table.size 0)))
        (if (result i64) (ref.is_null (table.get 0 (local.get 0)))
          (then (i64.const -5))
          (else (call_indirect (type $f) (local.get 0))))))"#;
    let config = ModuleConfig { allow_unsigned: true, linkable: true, ..ModuleConfig::default() };
    let other = common::compile(other, MemoryShape::Guarded);
    group.instantiate(Some("b"), &Module::load_bytes(&other, &config).unwrap()).unwrap();
    for n in 0..20 {
        let args = [Val::I32(n), Val::I64(1)];
        let expected = i.run("call", &args).unwrap();
        let member = group.get(if n % 2 == 0 { "a" } else { "b" }).unwrap();
        assert_eq!(member.run("call", &args).unwrap(), expected, "{n}");
    }
}

#[test]
fn references_of_the_host_cannot_be_kept() {
    let wat = r#"(module (table (export "t") 3 externref)
      (global (export "g") (mut externref) (ref.null extern))
      (table 1 externref)
      (func (export "put") (param externref) (table.set 0 (i32.const 1) (local.get 0)))
      (func (export "hide") (param externref) (table.set 1 (i32.const 0) (local.get 0))))"#;
    let (m, r) = (module(wat, Imports::new()), common::region());
    let options = SnapshotOptions::default();
    let i = Instance::new(&r, &m).unwrap();
    i.snapshot(&options).unwrap();
    for (set, unset, name) in [("put", "put", "table \"t\""), ("hide", "hide", "table 1")] {
        i.run(set, &[Val::ExternRef(7)]).unwrap();
        let (status, message) = refused(&i, &options);
        assert_eq!(status, Status::Unsupported);
        assert!(message.contains(name) && message.contains("references of the host"), "{message}");
        i.run(unset, &[Val::ExternRef(0)]).unwrap();
    }
    i.global_set("g", Val::ExternRef(1)).unwrap();
    let (status, message) = refused(&i, &options);
    assert_eq!(status, Status::Unsupported);
    assert!(message.contains("global \"g\""), "{message}");
    i.global_set("g", Val::ExternRef(0)).unwrap();
    i.snapshot(&options).unwrap();
}

#[test]
fn reseed_functions_have_one_of_two_types() {
    let wat = r#"(module (memory (export "memory") 1)
      (func (export "none")) (func (export "seed") (param i64))
      (func (export "wide") (param i64 i64))
      (func (export "result") (result i64) (i64.const 1)) (func (export "narrow") (param i32)))"#;
    let i = Instance::new(&common::region(), &module(wat, Imports::new())).unwrap();
    let options = |name: &str| SnapshotOptions {
        reseed: Some(name.to_owned()),
        ..SnapshotOptions::default()
    };
    for name in ["none", "seed"] {
        i.snapshot(&options(name)).unwrap();
    }
    for (name, status) in [
        ("wide", Status::ExportTypeMismatch),
        ("result", Status::ExportTypeMismatch),
        ("narrow", Status::ExportTypeMismatch),
        ("memory", Status::ExportTypeMismatch),
        ("lucet_reseed", Status::NoSuchExport),
    ] {
        let (found, message) = refused(&i, &options(name));
        assert_eq!(found, status, "{message}");
        assert!(message.contains(name), "{message}");
    }
    // The default name is a promise, too.
    let wat = r#"(module (func (export "lucet_reseed") (param i32)))"#;
    let i = Instance::new(&common::region(), &module(wat, Imports::new())).unwrap();
    let (found, message) = refused(&i, &SnapshotOptions::default());
    assert_eq!(found, Status::ExportTypeMismatch, "{message}");
}

/// The maximum stays what it was.
#[test]
fn a_snapshot_cannot_grow_further_than_its_parent() {
    let m = everything(MemoryShape::Guarded);
    let r = region(MemoryShape::Guarded);
    let i = Instance::new(&r, &m).unwrap();
    let grow = |i: &Instance| i.run("grow", &[Val::I32(1), Val::I64(0)]).unwrap();
    for _ in 2..39 {
        grow(&i);
    }
    let j = Instance::new(&r, &snapshot(&i)).unwrap();
    assert_eq!(grow(&j), Outcome::Returned(vec![Val::I64(39)]));
    assert_eq!(grow(&j), Outcome::Returned(vec![Val::I64(-1)]));
    // Slots that are too small for it say so.
    let small = lucet::Region::new(lucet::RegionConfig {
        max_memory: 4 << 16,
        ..lucet::RegionConfig::default()
    });
    let e = Instance::new(&small.unwrap(), &snapshot(&i)).unwrap_err();
    assert_eq!(e.status(), Status::LimitExceeded);
}
