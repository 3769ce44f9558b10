//! What is not published, and what callers get wrong.

use super::versions::{artifacts, check, config, host, module, modules_in_memory, reference};
use crate::common::{compile, process::in_child};
use crate::kit::settings;
use lucet::{Error, Func, Module, ModuleConfig, ModuleRef, Status, parse_signature};
use lucet_artifact::types::MemoryShape;
use std::sync::Arc;

fn wants(e: &Error, status: Status, words: &[&str]) {
    assert_eq!(e.status(), status, "{e}");
    for word in words {
        assert!(e.message().contains(word), "\"{word}\" is not in: {e}");
    }
}

fn guest(wat: &str) -> Arc<Module> {
    let linkable = ModuleConfig { linkable: true, ..config() };
    Module::load_bytes(&compile(wat, MemoryShape::Guarded), &linkable).unwrap()
}

/// Modules that lack what is required, each with the words that say so.
fn unfit() -> [(Arc<Module>, Status, &'static [&'static str]); 4] {
    let wait = r#"(func (export "wait") (param i32) (result i32) (i32.const 1))"#;
    let check = r#"(func (export "check") (result i32) (i32.const 1))"#;
    [
        (guest(&format!("(module {wait})")), Status::NoSuchExport, &["\"check\"", "wait"]),
        (
            guest(&format!(
                r#"(module {wait} (func (export "check") (result i64) (i64.const 1)))"#
            )),
            Status::ExportTypeMismatch,
            &["\"check\"", "() -> i64", "() -> i32"],
        ),
        (
            guest(&format!(r#"(module {wait} (memory (export "check") 1))"#)),
            Status::ExportTypeMismatch,
            &["\"check\" is a memory"],
        ),
        (
            guest(&format!(r#"(module (import "x" "memory" (memory 1)) {wait} {check})"#)),
            Status::MissingImport,
            &["group"],
        ),
    ]
}

/// A load that fails and a module that does not fit change nothing for requests, and leave nothing.
#[test]
fn what_is_refused_changes_nothing() {
    in_child("refused::what_is_refused_changes_nothing", || {
        let [s, ..] = settings(8);
        let all = artifacts(s.shape);
        let (region, r) = (s.region(), reference());
        let folder = std::env::temp_dir().join(format!("lucet-swap-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let e = r.load_file(&folder.join("missing.so"), &config()).unwrap_err();
        wants(&e, Status::Io, &["not published, and nothing was", "missing.so"]);
        assert_eq!(r.version(), 0);
        assert_eq!(r.load_file(&file("one.so", &all[1]), &config()).unwrap(), 1);

        let base = modules_in_memory();
        let mut flipped = all[2].clone();
        let at = flipped.len() / 2;
        flipped[at] ^= 4;
        let short = &all[2][..all[2].len() - 1];
        let still = "not published, version 1 stays";
        for (name, bytes) in [("flipped.so", &*flipped), ("short.so", short), ("empty.so", &[])] {
            let e = r.load_file(&file(name, bytes), &config()).unwrap_err();
            assert!([Status::InvalidArtifact, Status::NotAnArtifact].contains(&e.status()), "{e}");
            assert!(e.message().contains(still) && e.message().contains(name), "{e}");
        }
        let strict = ModuleConfig { imports: host(), ..ModuleConfig::default() };
        let e = r.load_file(&file("two.so", &all[2]), &strict).unwrap_err();
        wants(&e, Status::UntrustedArtifact, &[still]);
        let lonely = ModuleConfig { allow_unsigned: true, ..ModuleConfig::default() };
        let e = r.load_file(&folder.join("two.so"), &lonely).unwrap_err();
        wants(&e, Status::MissingImport, &[still, "env.wait"]);
        let lacks = compile("(module)", s.shape);
        let e = r.load_file(&file("lacks.so", &lacks), &config()).unwrap_err();
        wants(&e, Status::NoSuchExport, &[still, "lacks.so", "\"check\""]);
        for (m, status, words) in unfit() {
            let e = r.publish(Some(m)).unwrap_err();
            wants(&e, status, words);
            wants(&e, status, &[still]);
        }
        assert_eq!((r.version(), modules_in_memory()), (1, base));
        let mut funcs = [Func::default(); 2];
        let (i, version) = r.instantiate(&region, &mut funcs).unwrap();
        assert_eq!((check(&i, &funcs), version), (1, 1));
        assert_eq!(r.load_file(&folder.join("two.so"), &config()).unwrap(), 2);
        std::fs::remove_dir_all(&folder).unwrap();
    });
}

#[test]
fn what_callers_get_wrong() {
    let [s, ..] = settings(8);
    let all = artifacts(s.shape);
    let (region, r) = (s.region(), reference());
    let e = r.require("wait", None).unwrap_err();
    wants(&e, Status::InvalidArgument, &["\"wait\"", "already"]);
    let mut funcs = [Func::default(); 3];
    let e = r.instantiate(&region, &mut funcs[..2]).unwrap_err();
    wants(&e, Status::WrongState, &["nothing was published"]);
    r.publish(Some(module(&all[1]))).unwrap();
    let e = r.require("more", None).unwrap_err();
    wants(&e, Status::WrongState, &["before the first"]);
    // On the short way and on the long one.
    for _ in 0..2 {
        for (room, words) in [(0, "room for 0"), (1, "room for 1"), (3, "room for 3")] {
            let e = r.instantiate(&region, &mut funcs[..room]).unwrap_err();
            wants(&e, Status::InvalidArgument, &[words, "2 are required"]);
        }
        drop(r.instantiate(&region, &mut funcs[..2]).unwrap());
    }
    assert_eq!(r.publish(None).unwrap(), 2);
    let e = r.instantiate(&region, &mut funcs[..2]).unwrap_err();
    wants(&e, Status::WrongState, &["withdrawn"]);
    assert_eq!(r.publish(Some(module(&all[2]))).unwrap(), 3);
    let (i, version) = r.instantiate(&region, &mut funcs[..2]).unwrap();
    assert_eq!((check(&i, &funcs), version), (2, 3));
    // Functions of a version are refused by instances of another.
    let stale = funcs;
    r.publish(Some(module(&all[3]))).unwrap();
    let (i, _) = r.instantiate(&region, &mut funcs[..2]).unwrap();
    let e = i.run_func(stale[0], &[]).unwrap_err();
    assert_eq!(e.status(), Status::InvalidArgument, "{e}");
    assert_eq!(i.run_func(Func::default(), &[]).unwrap_err().status(), Status::InvalidArgument);

    let many = ModuleRef::new().unwrap();
    for n in 0..64 {
        assert_eq!(many.require(&format!("f{n}"), None).unwrap(), n);
    }
    let ty = parse_signature("() -> ()").unwrap();
    let e = many.require("f64", Some(&ty)).unwrap_err();
    wants(&e, Status::LimitExceeded, &["64"]);
}

/// All 64 entry points of a module that has as many, in their order.
#[test]
fn many_entry_points() {
    let [s, ..] = settings(8);
    let region = s.region();
    let r = ModuleRef::new().unwrap();
    let mut text = String::new();
    for n in 0..64 {
        r.require(&format!("f{n}"), None).unwrap();
        let (name, value) = (63 - n, 1000 - n);
        text += &format!("(func (export \"f{name}\") (result i32) (i32.const {value}))");
    }
    let bytes = compile(format!("(module {text})"), s.shape);
    r.publish(Some(Module::load_bytes(&bytes, &config()).unwrap())).unwrap();
    for _ in 0..2 {
        let mut funcs = [Func::default(); 64];
        let (i, _) = r.instantiate(&region, &mut funcs).unwrap();
        for (n, f) in funcs.iter().enumerate() {
            let answer = i.run_func(*f, &[]).unwrap();
            assert_eq!(answer, lucet::Outcome::Returned(vec![lucet::Val::I32(937 + n as i32)]));
        }
    }
}
