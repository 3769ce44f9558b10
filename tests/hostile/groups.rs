//! Linked instances: who owns what, whose memory a function sees, what happens when one is gone.

use super::kit::{Setting, imports, returned, settings, trapped, vmctx};
use lucet::{Control, Group, Imports, Outcome, Status, TrapCode, Val};
use std::ffi::c_void;

const A: &str = r#"(module
  (import "env" "h" (func $h (param i32) (result i32)))
  (memory (export "m") 1 8) (table $t (export "t") 4 16 funcref)
  (global $g (export "g") (mut i32) (i32.const 1))
  (global $r (export "r") (mut funcref) (ref.null func))
  (elem declare func $mark)
  (data (i32.const 0) "AAAA")
  (func $mark (export "mark") (result i32) (i32.load (i32.const 0)))
  (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
  (func (export "g_get") (result i32) (global.get $g))
  (func (export "size") (result i32) (memory.size))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "last") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func $named_trap (export "bad") (result i32) unreachable)
  (func (export "oob") (result i32) (i32.load (i32.const -1)))
  (func $rec (export "rec") (result i32) (i32.add (i32.const 1) (call $rec)))
  (func (export "host") (param i32) (result i32)
    (local.set 0 (call $h (local.get 0))) (i32.add (local.get 0) (i32.load (i32.const 0))))
  (func (export "call") (param i32) (result i32)
    (call_indirect (result i32) (local.get 0)))
  (func (export "call_r") (result i32)
    (table.set $t (i32.const 0) (global.get $r))
    (call_indirect (result i32) (i32.const 0)))
  (func (export "ref") (result funcref) (ref.func $mark)))"#;

const B: &str = r#"(module
  (import "a" "mark" (func $mark (result i32)))
  (import "a" "bad" (func $bad (result i32)))
  (import "a" "oob" (func $oob (result i32)))
  (import "a" "rec" (func $rec (result i32)))
  (import "a" "host" (func $host (param i32) (result i32)))
  (import "env" "h" (func $h (param i32) (result i32)))
  (import "a" "t" (table $t 4 funcref))
  (import "a" "g" (global $g (mut i32)))
  (import "a" "r" (global $r (mut funcref)))
  (memory 1 2) (data (i32.const 0) "BBBB")
  (elem (table $t) (i32.const 1) func $own $mark)
  (elem $p funcref (ref.func $own))
  (func $own (export "own") (result i32) (i32.load (i32.const 0)))
  (func (export "far") (result i32) (call $mark))
  (func $far_bad (export "far_bad") (result i32) (i32.add (i32.const 1) (call $bad)))
  (func (export "far_oob") (result i32) (i32.add (i32.const 1) (call $oob)))
  (func (export "far_rec") (result i32) (i32.add (i32.const 1) (call $rec)))
  (func (export "far_host") (param i32) (result i32) (i32.add (i32.load (i32.const 0))
    (call $host (local.get 0))))
  (func (export "host") (param i32) (result i32) (call $h (local.get 0)))
  (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0)))
  (func (export "g_set") (param i32) (global.set $g (local.get 0)))
  (func (export "r_set") (global.set $r (ref.func $own)))
  (func (export "put") (param i32 funcref) (table.set $t (local.get 0) (local.get 1)))
  (func (export "grow_t") (result i32) (table.grow $t (ref.func $own) (i32.const 3)))
  (func (export "own_ref") (result funcref) (ref.func $own)))"#;

const M: &str = r#"(module (import "a" "m" (memory 1 8))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "size") (result i32) (memory.size))
  (func (export "store8") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
  (func (export "load8") (param i32) (result i32) (i32.load8_u (local.get 0))))"#;

const AAAA: i32 = 0x4141_4141;
const BBBB: i32 = 0x4242_4242;

fn group(s: &Setting, h: *const c_void, user: usize) -> Group {
    let host = || imports(&[("h", "(i32) -> i32", h, user)]);
    let mut g = Group::new(&s.region());
    g.instantiate(Some("a"), &s.linkable(A, host())).unwrap();
    g.instantiate(Some("b"), &s.linkable(B, host())).unwrap();
    g.instantiate(Some("m"), &s.linkable(M, host())).unwrap();
    g
}

extern "C" fn plain(_: *const Control, _: usize, v: i32) -> i32 {
    v + 1
}

fn plain_group(s: &Setting) -> Group {
    group(s, plain as *const c_void, 0)
}

fn call(g: &Group, member: &str, name: &str, args: &[Val]) -> Outcome {
    g.get(member).unwrap().run(name, args).unwrap()
}

fn int(g: &Group, member: &str, name: &str, args: &[i32]) -> i32 {
    let args: Vec<_> = args.iter().map(|v| Val::I32(*v)).collect();
    match returned(call(g, member, name, &args))[..] {
        [Val::I32(v)] => v,
        [] => 0,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn functions_see_the_memory_of_their_own_instance() {
    for s in settings(4) {
        let g = plain_group(&s);
        assert_eq!(int(&g, "b", "far", &[]), AAAA);
        assert_eq!(int(&g, "b", "own", &[]), BBBB);
        // 1: b's own function, 2: a's, called from both sides of the shared table.
        for member in ["a", "b"] {
            assert_eq!(int(&g, member, "call", &[1]), BBBB, "{member}");
            assert_eq!(int(&g, member, "call", &[2]), AAAA, "{member}");
        }
        let t = trapped(call(&g, "a", "call", &[Val::I32(3)]));
        assert_eq!(t.code, TrapCode::IndirectCallToNull);
        let g = plain_group(&s);
        assert_eq!(int(&g, "b", "call", &[1]), BBBB);
        assert_eq!(int(&g, "b", "call", &[2]), AAAA);
        assert_eq!(int(&g, "b", "grow_t", &[]), 4);
        assert_eq!(int(&g, "a", "call", &[6]), BBBB);
        int(&g, "b", "r_set", &[]);
        assert_eq!(int(&g, "a", "call_r", &[]), BBBB);
        let a_ref = returned(call(&g, "a", "ref", &[]))[0];
        returned(call(&g, "b", "put", &[Val::I32(3), a_ref]));
        assert_eq!(int(&g, "a", "call", &[3]), AAAA);
        assert_eq!(int(&g, "b", "call", &[3]), AAAA);
        let e = g.get("b").unwrap().run("put", &[Val::I32(0), Val::FuncRef(4096)]).unwrap_err();
        assert_eq!(e.status(), Status::InvalidArgument);
        int(&g, "b", "g_set", &[99]);
        assert_eq!(int(&g, "a", "g_get", &[]), 99);
    }
}

#[test]
fn growth_by_an_importer_is_the_owners() {
    for s in settings(4) {
        let g = plain_group(&s);
        assert_eq!(int(&g, "m", "grow", &[2]), 1);
        assert_eq!((int(&g, "a", "size", &[]), int(&g, "m", "size", &[])), (3, 3));
        int(&g, "m", "store8", &[3 * 65536 - 1, 77]);
        assert_eq!(int(&g, "a", "last", &[3 * 65536 - 1]), 77);
        assert_eq!(int(&g, "a", "grow", &[5]), 3);
        assert_eq!(int(&g, "m", "load8", &[8 * 65536 - 1]), 0);
        assert_eq!(int(&g, "m", "grow", &[1]), -1);
        let t = trapped(call(&g, "m", "load8", &[Val::I32(8 * 65536)]));
        assert_eq!(t.code, TrapCode::MemoryOutOfBounds);
        assert_eq!(g.get("m").unwrap().memory_size().unwrap(), 8 * 65536);
    }
}

#[test]
fn a_trap_names_the_function_of_the_linked_instance() {
    for s in settings(4) {
        for (name, code, function) in [
            ("far_bad", TrapCode::Unreachable, "named_trap"),
            ("far_oob", TrapCode::MemoryOutOfBounds, "oob"),
            ("far_rec", TrapCode::StackOverflow, "rec"),
        ] {
            let g = plain_group(&s);
            let t = trapped(call(&g, "b", name, &[]));
            assert_eq!(t.code, code);
            assert_eq!(t.function_name.as_deref(), Some(function), "{t}");
            // Only the instance that was called is faulted; the other one still works.
            let e = g.get("b").unwrap().run("own", &[]).unwrap_err();
            assert_eq!(e.status(), Status::WrongState);
            assert_eq!(int(&g, "a", "mark", &[]), AAAA);
            assert_eq!(int(&g, "a", "call", &[1]), BBBB);
        }
    }
}

extern "C" fn yields(ctx: *const Control, _: usize, v: i32) -> i32 {
    vmctx(ctx).yield_value(v as u64, None, 0).unwrap();
    0
}

#[test]
fn a_linked_instance_yields_for_the_one_that_was_called() {
    for s in settings(4) {
        let g = group(&s, yields as *const c_void, 0);
        let b = g.get("b").unwrap();
        assert_eq!(b.run("far_host", &[Val::I32(5)]).unwrap(), Outcome::Yielded(5));
        // The other member runs and yields meanwhile, on its own stack.
        let a = g.get("a").unwrap();
        assert_eq!(a.run("host", &[Val::I32(6)]).unwrap(), Outcome::Yielded(6));
        let o = std::thread::scope(|t| t.spawn(|| b.resume(1).unwrap()).join().unwrap());
        assert_eq!(returned(o), [Val::I32(AAAA.wrapping_add(BBBB).wrapping_add(1))]);
        assert_eq!(returned(a.resume(2).unwrap()), [Val::I32(AAAA + 2)]);
    }
}

extern "C" fn nest(ctx: *const Control, user: usize, v: i32) -> i32 {
    let c = vmctx(ctx);
    if v == 100 {
        c.yield_value(1, None, 0).unwrap();
        return 0;
    }
    if v <= 0 {
        return 10;
    }
    let name = if user == 0 && c.find("far_host").is_ok() { "far_host" } else { "host" };
    match c.run(c.find(name).unwrap(), &[Val::I32(v - 1)]).unwrap() {
        Outcome::Returned(r) => match r[0] {
            Val::I32(v) => v.wrapping_add(1),
            _ => panic!(),
        },
        _ => 0,
    }
}

#[test]
fn nested_runs_in_groups() {
    for s in settings(4) {
        let g = group(&s, nest as *const c_void, 0);
        // b.far_host → a.host → host function with ctx a → a.host …
        for depth in [0, 1, 5, 20] {
            let want = (0..=depth).fold(BBBB + 9, |sum, _| sum.wrapping_add(AAAA).wrapping_add(1));
            assert_eq!(int(&g, "b", "far_host", &[depth]), want);
        }
        // b.host → host function with ctx b → b.far_host → a.host → …
        let want = AAAA.wrapping_add(BBBB).wrapping_add(11);
        assert_eq!(int(&g, "b", "host", &[1]), want);
    }
}

/// `a` is suspended on its own stack while `b` runs a's code, whose host function runs `a` again.
#[test]
fn a_nested_run_of_a_suspended_member_keeps_its_frames() {
    for s in settings(4) {
        let g = group(&s, nest as *const c_void, 0);
        let a = g.get("a").unwrap();
        assert_eq!(a.run("host", &[Val::I32(100)]).unwrap(), Outcome::Yielded(1));
        let want = (0..=9).fold(BBBB + 9, |sum, _| sum.wrapping_add(AAAA).wrapping_add(1));
        assert_eq!(int(&g, "b", "far_host", &[9]), want);
        assert_eq!(returned(a.resume(3).unwrap()), [Val::I32(AAAA + 3)]);
    }
}

#[test]
fn a_failed_member_leaves_its_table_writes_callable() {
    for s in settings(4) {
        let mut g = plain_group(&s);
        let bad = s.linkable(
            r#"(module (import "a" "t" (table $t 4 funcref)) (import "a" "g" (global $g (mut i32)))
                 (memory 1) (data (i32.const 0) "CCCC")
                 (elem (table $t) (i32.const 3) func $c)
                 (func $c (result i32) (i32.load (i32.const 0)))
                 (func $s (global.set $g (i32.const 5)) unreachable) (start $s))"#,
            Imports::new(),
        );
        let e = g.instantiate(Some("c"), &bad).unwrap_err();
        assert_eq!((e.status(), e.trap()), (Status::StartFailed, Some(TrapCode::Unreachable)));
        drop(bad);
        assert!(g.get("c").is_none());
        assert_eq!(int(&g, "b", "call", &[3]), 0x4343_4343);
        assert_eq!(int(&g, "a", "g_get", &[]), 5);
    }
}

#[test]
fn members_cannot_be_freed_or_reset_alone() {
    for s in settings(4) {
        let g = plain_group(&s);
        let a = *g.get("a").map(|i| &**i).unwrap();
        assert!(a.free().is_err(), "a member was freed below the others' feet");
        assert_eq!(a.reset().unwrap_err().status(), Status::Unsupported);
        assert_eq!(int(&g, "b", "far", &[]), AAAA);
        drop(g);
        assert_eq!(a.run("mark", &[]).unwrap_err().status(), Status::InvalidHandle);
        assert_eq!(a.free().unwrap_err().status(), Status::InvalidHandle);
    }
}

#[test]
fn groups_give_their_slots_back() {
    for s in settings(4) {
        let r = s.region();
        let (a, b) = (
            s.linkable(A, imports(&[("h", "(i32) -> i32", plain as *const c_void, 0)])),
            s.linkable(B, imports(&[("h", "(i32) -> i32", plain as *const c_void, 0)])),
        );
        for n in 0..200 {
            let mut g = Group::new(&r);
            g.instantiate(Some("a"), &a).unwrap();
            if n % 2 == 0 {
                g.instantiate(Some("b"), &b).unwrap();
                assert_eq!(int(&g, "b", "far", &[]), AAAA);
                int(&g, "b", "grow_t", &[]);
            }
            assert_eq!(int(&g, "a", "mark", &[]), AAAA);
            assert_eq!(int(&g, "a", "grow", &[3]), 1);
            int(&g, "a", "store", &[200_000, -1]);
            assert_eq!(int(&g, "a", "last", &[200_001]), 255);
            drop(g);
            assert_eq!(r.live(), 0);
        }
    }
}

extern "C" fn yields_if_asked(ctx: *const Control, _: usize, v: i32) -> i32 {
    if v >= 100 {
        vmctx(ctx).yield_value(v as u64, None, 0).unwrap();
    }
    v + 1
}

/// The stack overflows in the middle of leaving with a pending action of the *other* instance.
#[test]
fn an_overflow_while_leaving_drops_the_pending_action() {
    const OWNER: &str = r#"(module (import "env" "h" (func $h (param i32) (result i32)))
      (func (export "f") (param i32) (result i32) (call $h (local.get 0))))"#;
    for pad in 0..4 {
        let user = format!(
            r#"(module (import "a" "f" (func $f (param i32) (result i32)))
              (func $r (export "r") (param i32 i64) (result i32) (local {})
                (if (result i32) (i32.eqz (local.get 0)) (then (call $f (i32.const 100)))
                  (else (i32.add (i32.const 1) (call $r
                    (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))))))"#,
            "i64 ".repeat(pad)
        );
        let s = settings(2)[0];
        let config =
            lucet::RegionConfig { stack_bytes: 16 << 10, max_instance_data: 4096, ..s.config };
        let region = lucet::Region::new(config).unwrap();
        let host = imports(&[("h", "(i32) -> i32", yields_if_asked as *const c_void, 0)]);
        let (a, b) = (s.linkable(OWNER, host), s.linkable(&user, Imports::new()));
        let mut overflows = 0;
        for depth in 300..1500 {
            let mut g = Group::new(&region);
            g.instantiate(Some("a"), &a).unwrap();
            g.instantiate(Some("b"), &b).unwrap();
            let b = g.get("b").unwrap();
            match b.run("r", &[Val::I32(depth), Val::I64(0)]).unwrap() {
                Outcome::Yielded(100) => assert!(matches!(b.resume(0), Ok(Outcome::Returned(_)))),
                Outcome::Trapped(t) => {
                    assert_eq!(t.code, TrapCode::StackOverflow);
                    overflows += 1;
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(int(&g, "a", "f", &[5]), 6, "depth {depth}");
        }
        assert!(overflows > 50, "{overflows}");
    }
}

#[test]
fn nested_runs_of_another_member_give_its_stack_back() {
    let s = settings(8)[2];
    let r = lucet::Region::new(lucet::RegionConfig { stacks: 2, ..s.config }).unwrap();
    let host = || imports(&[("h", "(i32) -> i32", nest as *const c_void, 0)]);
    let mut g = Group::new(&r);
    g.instantiate(Some("a"), &s.linkable(A, host())).unwrap();
    g.instantiate(Some("b"), &s.linkable(B, host())).unwrap();
    // Runs on b's stack, and, nested, on a's.
    int(&g, "b", "far_host", &[3]);
    let waits = imports(&[("h", "() -> ()", waits as *const c_void, 0)]);
    let m =
        s.module(r#"(module (import "env" "h" (func $h)) (func (export "f") (call $h)))"#, waits);
    let both: Vec<_> = (0..2).map(|_| lucet::Instance::new(&r, &m).unwrap()).collect();
    for i in &both {
        assert_eq!(i.run("f", &[]).unwrap(), Outcome::Yielded(2));
    }
    drop(both);
    // A suspended member keeps its stack while others nest on it.
    let a = g.get("a").unwrap();
    assert_eq!(a.run("host", &[Val::I32(100)]).unwrap(), Outcome::Yielded(1));
    int(&g, "b", "far_host", &[3]);
    assert_eq!(returned(a.resume(3).unwrap()), [Val::I32(AAAA + 3)]);
}

extern "C" fn waits(ctx: *const Control, _: usize) {
    vmctx(ctx).yield_value(2, None, 0).unwrap();
}
