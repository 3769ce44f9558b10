//! Exceptions between instances.

use super::{returned, thrown};
use crate::common::{compile, region};
use lucet::{Group, Imports, Module, ModuleConfig, Status, Val};
use lucet_artifact::types::MemoryShape;
use std::sync::Arc;

fn linkable(wat: &str) -> Arc<Module> {
    let config = ModuleConfig { allow_unsigned: true, linkable: true, ..ModuleConfig::default() };
    Module::load_bytes(&compile(wat, MemoryShape::Guarded), &config).unwrap()
}

const THROWER: &str = r#"(module
  (memory 1)
  (tag $e (export "e") (param i32))
  (tag $own (param i32))
  (func (export "throw") (param i32)
    (i32.store (i32.const 0) (local.get 0))
    (throw $e (i32.load (i32.const 0))))
  (func (export "private") (throw $own (i32.const 1)))
  (func (export "guarded") (param i32) (result i32)
    (block $h (result i32) (try_table (catch $own $h) (throw $e (local.get 0))) (unreachable))))"#;

const CATCHER: &str = r#"(module
  (import "a" "e" (tag $e (param i32)))
  (import "a" "e" (tag $same (param i32)))
  (import "a" "throw" (func $throw (param i32)))
  (import "a" "private" (func $private))
  (import "a" "guarded" (func $guarded (param i32) (result i32)))
  (tag $mine (param i32))
  (memory 1)
  (data (i32.const 0) "\2a")
  (func $down (param i32 i32)
    (if (local.get 1)
      (then (call $down (local.get 0) (i32.sub (local.get 1) (i32.const 1))))
      (else (call $throw (local.get 0)))))
  (func (export "catch") (param i32 i32) (result i32)
    (block $h (result i32)
      (try_table (catch $mine $h) (catch $same $h) (call $down (local.get 0) (local.get 1)))
      (unreachable))
    (i32.add (i32.load (i32.const 0))))
  (func (export "guarded") (param i32) (result i32)
    (block $h (result i32)
      (try_table (catch $e $h) (drop (call $guarded (local.get 0)))) (unreachable)))
  (func (export "private") (result i32)
    (block $h (result i32)
      (block $any
        (try_table (catch $mine $h) (catch $e $h) (catch_all $any) (call $private))
        (unreachable))
      (i32.const 5)))
  (func (export "passes") (call $throw (i32.const 8))))"#;

#[test]
fn what_one_throws_another_catches() {
    let mut g = Group::new(&region());
    g.instantiate(Some("a"), &linkable(THROWER)).unwrap();
    g.instantiate(Some("b"), &linkable(CATCHER)).unwrap();
    let (a, b) = (g.get("a").unwrap(), g.get("b").unwrap());
    for depth in [0, 1, 1_000] {
        let v = returned(b.run("catch", &[Val::I32(100), Val::I32(depth)]).unwrap());
        assert_eq!(v, [Val::I32(142)]);
    }
    // Through a handler that is not for it, in the other instance.
    assert_eq!(returned(b.run("guarded", &[Val::I32(6)]).unwrap()), [Val::I32(6)]);
    // Of the same type, but another tag.
    assert_eq!(returned(b.run("private", &[]).unwrap()), [Val::I32(5)]);
    // The tag is named by who defines it.
    let e = thrown(b.run("passes", &[]).unwrap());
    assert_eq!((e.tag.as_deref(), &e.values[..]), (Some("e"), &[Val::I32(8)][..]));
    assert_eq!(b.exception().unwrap().values, e.values);
    assert_eq!(a.exception().unwrap_err().status(), Status::WrongState);
    assert_eq!(thrown(a.run("throw", &[Val::I32(9)]).unwrap()).values, [Val::I32(9)]);
    assert_eq!(b.exceptions().unwrap(), 0);
}

#[test]
fn two_instances_of_a_module_have_tags_of_their_own() {
    let mut g = Group::new(&region());
    let m = linkable(THROWER);
    g.instantiate(Some("a"), &m).unwrap();
    g.instantiate(Some("c"), &m).unwrap();
    let wat = r#"(module
      (import "a" "e" (tag $a (param i32)))
      (import "c" "e" (tag $c (param i32)))
      (import "c" "throw" (func $throw (param i32)))
      (func (export "run") (result i32)
        (block $c (result i32)
          (block $a (result i32)
            (try_table (catch $a $a) (catch $c $c) (call $throw (i32.const 3))) (unreachable))
          (drop) (i32.const -1))))"#;
    g.instantiate(Some("b"), &linkable(wat)).unwrap();
    assert_eq!(returned(g.get("b").unwrap().run("run", &[]).unwrap()), [Val::I32(3)]);
}

#[test]
fn tags_must_be_there_and_fit() {
    let mut g = Group::new(&region());
    g.instantiate(Some("a"), &linkable(THROWER)).unwrap();
    let mut fails = |wat: &str, status, part: &str| {
        let e = g.instantiate(None, &linkable(wat)).unwrap_err();
        assert_eq!(e.status(), status, "{e}");
        assert!(e.message().contains(part), "{e}");
    };
    fails(r#"(module (import "a" "x" (tag)))"#, Status::MissingImport, "the tag a.x");
    let want = "as a tag (i64) -> (), it is a tag (i32) -> ()";
    fails(r#"(module (import "a" "e" (tag (param i64))))"#, Status::ImportTypeMismatch, want);
    fails(r#"(module (import "a" "throw" (tag)))"#, Status::ImportTypeMismatch, "a tag");
    let alone = compile(r#"(module (import "a" "e" (tag (param i32))))"#, MemoryShape::Guarded);
    let e = crate::common::load(&alone, Imports::new()).unwrap_err();
    assert_eq!(e.status(), Status::MissingImport);
    assert!(e.message().contains("tag a.e; only instances of a group can provide that"), "{e}");
}
