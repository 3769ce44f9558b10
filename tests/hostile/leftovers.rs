//! What an instance of everything leaves in its slot: further memories, 64-bit memories and tables,
//! references, exceptions, fuel, limits, runs in the middle of something. The next instance sees
//! none of it.

use super::kit::{Rng, Setting, imports, returned, settings, vmctx};
use super::reuse::each_rung;
use lucet::{Control, Imports, Instance, Module, Outcome, Status, Val};
use lucet_artifact::types::MemoryShape;
use std::ffi::c_void;
use std::sync::Arc;

/// `WIDE` is what memory 0 and the first table are.
const GUEST: &str = r#"(module
  (import "env" "wait" (func $wait (param i64) (result i64)))
  (memory $m (export "m") WIDE 1 3) (memory $a (export "a") 2 6) (memory $b (export "b") i64 0 2)
  (memory $c (export "c") 1 1)
  (data (memory $m) (I.const 60000) "first") (data (memory $a) (i32.const 70000) "second")
  (data $p "passive")
  (tag $e (param i64 exnref))
  (table $t (export "t") WIDE 3 40 funcref) (table $x (export "x") 2 9 exnref)
  (elem (table $t) (I.const 1) func $f)
  (elem $q funcref (ref.func $f))
  (global $n (export "n") (mut i64) (i64.const 5))
  (global $r (export "r") (mut exnref) (ref.null exn))
  (global $v (export "v") (mut v128) (v128.const i64x2 0 0))
  (func $f (export "f"))
  (func $caught (param i64 exnref) (result exnref)
    (block $h (result i64 exnref exnref)
      (try_table (catch_ref $e $h) (throw $e (local.get 0) (local.get 1))) (unreachable))
    (global.set $r) (drop) (drop) (global.get $r))
  (func (export "dirty")
    (global.set $n (i64.const -1))
    (global.set $v (v128.const i64x2 -1 -1))
    (drop (memory.grow $m (I.const 2))) (drop (memory.grow $a (i32.const 3)))
    (drop (memory.grow $b (i64.const 2)))
    (memory.fill $m (I.const 0) (i32.const 0xa5) (I.const 196608))
    (memory.fill $a (i32.const 0) (i32.const 0xa5) (i32.const 327680))
    (memory.fill $b (i64.const 0) (i32.const 0xa5) (i64.const 131072))
    (memory.fill $c (i32.const 0) (i32.const 0xa5) (i32.const 65536))
    (memory.init $c $p (i32.const 0) (i32.const 0) (i32.const 7)) (data.drop $p)
    (table.set $t (I.const 0) (ref.func $f)) (table.set $t (I.const 1) (ref.null func))
    (drop (table.grow $t (ref.func $f) (I.const 30))) (elem.drop $q)
    (table.set $x (i32.const 1) (call $caught (i64.const 9) (ref.null exn)))
    (table.set $x (i32.const 0) (call $caught (i64.const 8) (table.get $x (i32.const 1))))
    (drop (table.grow $x (global.get $r) (i32.const 7))))
  (func (export "wait") (drop (call $wait (i64.const 3))))
  (func (export "throw") (throw $e (i64.const 77) (global.get $r)))
  (func (export "trap") unreachable)
  (func (export "spin") (loop $l (br $l)))
  (func (export "passive") (result i32)
    (table.init $t $q (I.const 2) (i32.const 0) (i32.const 1))
    (memory.init $c $p (i32.const 100) (i32.const 0) (i32.const 7))
    (i32.load8_u $c (i32.const 106))))"#;

extern "C" fn wait(ctx: *const Control, _: usize, v: i64) -> i64 {
    vmctx(ctx).yield_value(v as u64, None, 0).unwrap();
    0
}

fn host() -> Imports {
    imports(&[("wait", "(i64) -> i64", wait as *const c_void, 0)])
}

/// 32-bit and 64-bit, with fuel and without.
fn modules(s: &Setting) -> Vec<Arc<Module>> {
    let mut all = Vec::new();
    for (wide, index) in [("", "i32"), ("i64", "i64")] {
        let wat = GUEST.replace("WIDE", wide).replace("I.const", &format!("{index}.const"));
        for fuel in [false, true] {
            let options = lucetc::Options { memory: s.shape, fuel, ..lucetc::Options::default() };
            let bytes = lucetc::compile(wat.as_bytes(), &options).unwrap_or_else(|e| panic!("{e}"));
            let config = lucet::ModuleConfig {
                imports: host(),
                allow_unsigned: true,
                fuel: fuel.then_some(1 << 30),
                ..lucet::ModuleConfig::default()
            };
            all.push(Module::load_bytes(&bytes, &config).unwrap());
        }
    }
    all
}

fn fresh(i: &Instance, fuel: bool, what: &str) {
    for (index, pages, text, at) in
        [(0, 1, &b"first"[..], 60_000), (1, 2, b"second", 70_000), (2, 0, b"", 0), (3, 1, b"", 0)]
    {
        let mut want = vec![0; pages * 65536];
        want[at..at + text.len()].copy_from_slice(text);
        assert_eq!(i.memory_size_of(index).unwrap(), want.len() as u64, "{what}: memory {index}");
        let mut bytes = vec![1; want.len()];
        i.memory_read_of(index, 0, &mut bytes).unwrap();
        let bad = bytes.iter().zip(&want).position(|(a, b)| a != b);
        assert_eq!(bad, None, "{what}: memory {index}");
    }
    assert_eq!(i.exceptions().unwrap(), 0, "{what}");
    assert_eq!(i.exception().unwrap_err().status(), Status::WrongState, "{what}");
    assert_eq!(i.global_get("n").unwrap(), Val::I64(5), "{what}");
    assert_eq!(i.global_get("r").unwrap(), Val::ExnRef(0), "{what}");
    assert_eq!(i.global_get("v").unwrap(), Val::V128(0), "{what}");
    let t = i.table_elements("t").unwrap();
    assert_eq!((t.len(), t[0], t[1] != 0, t[2]), (3, 0, true, 0), "{what}");
    assert_eq!(i.table_elements("x").unwrap(), [0, 0], "{what}");
    if fuel {
        assert_eq!(i.fuel().unwrap(), 1 << 30, "{what}");
    }
}

/// Grown bytes are zero, too, and dropped segments are back.
fn works(i: &Instance, what: &str) {
    assert_eq!(returned(i.run("passive", &[]).unwrap()), [Val::I32(i32::from(b'e'))], "{what}");
}

fn soil(i: &Instance, rng: &mut Rng, fuel: bool) {
    // A reset leaves what the embedder has set.
    i.set_time_slice(0).unwrap();
    i.set_time_limit(0).unwrap();
    i.set_memory_limit(u64::MAX).unwrap();
    i.set_table_limit(u32::MAX).unwrap();
    i.set_user_data(0xa5a5).unwrap();
    if rng.below(3) == 0 {
        i.set_memory_limit(1 << 20).unwrap();
        i.set_table_limit(35).unwrap();
    }
    returned(i.run("dirty", &[]).unwrap());
    assert!(i.exceptions().unwrap() >= 2);
    match rng.below(7) {
        0 => assert!(matches!(i.run("throw", &[]).unwrap(), Outcome::Exception(_))),
        1 => assert!(matches!(i.run("trap", &[]).unwrap(), Outcome::Trapped(_))),
        2 => assert_eq!(i.run("wait", &[]).unwrap(), Outcome::Yielded(3)),
        3 => {
            i.set_time_slice(50_000).unwrap();
            assert_eq!(i.run("spin", &[]).unwrap(), Outcome::Preempted);
        }
        4 => {
            i.set_time_limit(50_000).unwrap();
            assert_eq!(i.run("spin", &[]).unwrap(), Outcome::TimedOut);
        }
        5 if fuel => {
            i.set_fuel(10).unwrap();
            assert_eq!(i.run("spin", &[]).unwrap(), Outcome::OutOfFuel);
        }
        _ => {}
    }
}

#[test]
fn nothing_of_an_instance_of_everything_is_left() {
    for s in settings(1) {
        let modules = modules(&s);
        each_rung(&s, |rung, r| {
            let mut rng = Rng(0x1ef7_0000 + rung as u64);
            for n in 0..60 {
                let m = rng.below(modules.len());
                let (fuel, what) = (m % 2 == 1, format!("{rung:?} {s:?} {n}, module {m}"));
                let i = Instance::new(&r, &modules[m]).unwrap();
                fresh(&i, fuel, &what);
                works(&i, &what);
                soil(&i, &mut rng, fuel);
                if rng.below(2) == 0 {
                    i.reset().unwrap();
                    fresh(&i, fuel, &format!("{what}, reset"));
                    soil(&i, &mut rng, fuel);
                }
            }
            assert_eq!(r.live(), 0);
        });
    }
}

/// Limits are those of the region again: not of who had the slot before.
#[test]
fn limits_do_not_outlive_their_instance() {
    let s = settings(1)[0];
    let (r, m) = (s.region(), modules(&s).swap_remove(0));
    assert_eq!(s.shape, MemoryShape::Guarded);
    for _ in 0..3 {
        let i = Instance::new(&r, &m).unwrap();
        returned(i.run("dirty", &[]).unwrap());
        assert_eq!(i.memory_size_of(0).unwrap(), 3 * 65536);
        drop(i);
        let i = Instance::new(&r, &m).unwrap();
        i.set_memory_limit(0).unwrap();
        i.set_stack_limit(16 << 10).unwrap();
        i.set_cpu_limit(1_000_000).unwrap();
        assert_eq!(i.run("spin", &[]).unwrap(), Outcome::TimedOut);
    }
}
