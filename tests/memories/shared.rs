//! Memories of other members of a group: any of theirs, in any order, seen by all who import them.

use crate::kit::{Setting, returned, settings, trapped};
use lucet::{Group, Imports, Instance, Region, RegionConfig, Status, TrapCode, Val};

/// Exports four memories of its own, the first of which lies in the slot.
const OWNER: &str = r#"(module (memory (export "a") 1 9) (memory (export "b") 1 9)
  (memory (export "c") i64 1 9) (memory (export "d") 2 3)
  (data (memory 1) (i32.const 0) "bb") (data (memory 2) (i64.const 0) "cc")
  (func (export "grow") (param i32) (result i32) (memory.grow 1 (local.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load 1 (local.get 0))))"#;

/// Imports two of them, has one of its own, and no memory in its slot.
const USER: &str = r#"(module (import "owner" "b" (memory 1)) (import "owner" "c" (memory i64 1))
  (memory (export "own") 1 2) (export "again" (memory 1))
  (data (memory 0) (i32.const 8) "user") (data (memory 2) (i32.const 0) "own")
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
  (func (export "grow") (param i32) (result i32) (memory.grow 0 (local.get 0)))
  (func (export "grow own") (param i32) (result i32) (memory.grow 2 (local.get 0)))
  (func (export "sizes") (result i32 i64 i32)
    (memory.size 0) (memory.size 1) (memory.size 2))
  (func (export "move") (memory.copy 2 1 (i32.const 16) (i64.const 0) (i32.const 2))
    (memory.copy 1 0 (i64.const 16) (i32.const 0) (i32.const 2))))"#;

fn call(i: &Instance, name: &str, args: &[i32]) -> i32 {
    let args: Vec<_> = args.iter().map(|a| Val::I32(*a)).collect();
    match returned(i.run(name, &args).unwrap())[..] {
        [Val::I32(v)] => v,
        [] => 0,
        ref other => panic!("{other:?}"),
    }
}

fn bytes(i: &Instance, memory: u32, at: u64) -> [u8; 4] {
    let mut b = [0; 4];
    i.memory_read_of(memory, at, &mut b).unwrap();
    b
}

fn group(s: &Setting) -> Group {
    let mut g = Group::new(&s.region());
    g.instantiate(Some("owner"), &s.linkable(OWNER, Imports::new())).unwrap();
    g.instantiate(Some("user"), &s.linkable(USER, Imports::new())).unwrap();
    g
}

#[test]
fn members_share_the_memories_they_name() {
    for s in settings(3) {
        let g = group(&s);
        let (owner, user) = (g.get("owner").unwrap(), g.get("user").unwrap());
        assert_eq!((&bytes(user, 0, 0), &bytes(owner, 1, 8)), (b"bb\0\0", b"user"));
        assert_eq!((&bytes(user, 1, 0), &bytes(user, 2, 0)), (b"cc\0\0", b"own\0"));
        assert_eq!(bytes(owner, 0, 0), [0; 4]);
        call(user, "store", &[65532, 0x01020304]);
        assert_eq!(call(owner, "load", &[65532]), 0x01020304);
        // Both see growth by either, at once.
        assert_eq!((call(user, "grow", &[2]), call(owner, "grow", &[1])), (1, 3));
        let sizes = |n| [Val::I32(n), Val::I64(1), Val::I32(1)];
        assert_eq!(returned(user.run("sizes", &[]).unwrap()), sizes(4));
        call(user, "store", &[4 * 65536 - 4, 5]);
        assert_eq!(call(owner, "load", &[4 * 65536 - 4]), 5);
        let trap = trapped(user.run("load", &[Val::I32(4 * 65536 - 3)]).unwrap());
        assert_eq!(trap.code, TrapCode::MemoryOutOfBounds);
        user.recover().unwrap();
        assert_eq!((call(user, "grow", &[6]), call(user, "grow own", &[2])), (-1, -1));
        assert_eq!((call(user, "grow", &[5]), call(user, "grow own", &[1])), (4, 1));
        call(user, "move", &[]);
        assert_eq!((&bytes(user, 2, 16), &bytes(owner, 2, 16)), (b"cc\0\0", b"bb\0\0"));
        assert_eq!(user.memory_size().unwrap(), 9 * 65536);
        assert_eq!(user.memory_size_of(3).unwrap_err().status(), Status::InvalidArgument);
    }
}

/// What a member imported it may export, and it is still the owner's.
#[test]
fn memories_travel_on() {
    for s in settings(3) {
        let mut g = group(&s);
        let third = r#"(module (import "user" "own" (memory 1))
            (import "user" "again" (memory i64 1))
            (import "owner" "d" (memory 2 3))
            (func (export "f") (result i32 i64 i32)
              (i32.load (i32.const 0)) (i64.load 1 (i64.const 0)) (memory.size 2)))"#;
        let i = g.instantiate(Some("third"), &s.linkable(third, Imports::new())).unwrap();
        let expected = [i32::from_le_bytes(*b"own\0"), 0x6363, 2];
        let expected = [Val::I32(expected[0]), Val::I64(expected[1].into()), Val::I32(2)];
        assert_eq!(returned(i.run("f", &[]).unwrap()), expected);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    for s in settings(3) {
        for (import, status, part) in [
            (r#"(import "owner" "c" (memory 1))"#, Status::ImportTypeMismatch, "64-bit indices"),
            (r#"(import "owner" "b" (memory i64 1))"#, Status::ImportTypeMismatch, "64-bit"),
            (r#"(import "owner" "b" (memory 2))"#, Status::ImportTypeMismatch, "one of 1 to 9"),
            (r#"(import "owner" "d" (memory 2 2))"#, Status::ImportTypeMismatch, "2 to 2"),
            (r#"(import "owner" "e" (memory 0))"#, Status::MissingImport, "owner.e"),
            (r#"(import "owner" "load" (memory 0))"#, Status::ImportTypeMismatch, "a memory"),
        ] {
            let mut g = Group::new(&s.region());
            g.instantiate(Some("owner"), &s.linkable(OWNER, Imports::new())).unwrap();
            let wat = format!(r#"(module (import "owner" "a" (memory 1)) {import} (memory 1))"#);
            let e = g.instantiate(Some("u"), &s.linkable(&wat, Imports::new())).unwrap_err();
            assert_eq!(e.status(), status, "{import}: {e}");
            assert!(e.message().contains(part), "{import}: {e}");
        }
    }
}

/// What a member has of its own counts for the member: its region's limit is not the owner's.
#[test]
fn growth_counts_for_the_owner() {
    for s in settings(3) {
        let config = RegionConfig { max_memory: 6 * 65536, ..s.config };
        let mut g = Group::new(&Region::new(config).unwrap());
        g.instantiate(Some("owner"), &s.linkable(OWNER, Imports::new())).unwrap();
        g.instantiate(Some("user"), &s.linkable(USER, Imports::new())).unwrap();
        let user = g.get("user").unwrap();
        assert_eq!((call(user, "grow", &[2]), call(user, "grow", &[1])), (-1, 1));
        assert_eq!((call(user, "grow", &[1]), call(user, "grow own", &[1])), (-1, 1));
        g.get("owner").unwrap().set_memory_limit(0).unwrap();
        assert_eq!((call(user, "grow", &[1]), call(user, "grow", &[0])), (-1, 2));
    }
}

/// Slots that such instances leave behind are pristine.
#[test]
fn groups_leave_nothing_behind() {
    for s in settings(2) {
        let r = s.region();
        let (owner, user) = (s.linkable(OWNER, Imports::new()), s.linkable(USER, Imports::new()));
        for _ in 0..20 {
            let mut g = Group::new(&r);
            g.instantiate(Some("owner"), &owner).unwrap();
            g.instantiate(Some("user"), &user).unwrap();
            let user = g.get("user").unwrap();
            assert_eq!((bytes(user, 0, 100), bytes(user, 2, 100)), ([0; 4], [0; 4]));
            user.memory_write_of(0, 100, b"abcd").unwrap();
            user.memory_write_of(2, 100, b"abcd").unwrap();
            assert_eq!(call(user, "grow", &[8]), 1);
            drop(g);
            let alone = Instance::new(&r, &s.module(OWNER, Imports::new())).unwrap();
            assert_eq!((&bytes(&alone, 1, 0), bytes(&alone, 1, 100)), (b"bb\0\0", [0; 4]));
            alone.memory_write_of(1, 100, b"abcd").unwrap();
        }
    }
}
