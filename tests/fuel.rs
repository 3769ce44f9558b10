//! Fuel: the same artifact with the same fuel stops at the same place, whatever the steps in which
//! it is given, and goes on from there as if nothing had happened.

mod common;

use common::{compile, host, load, region, vmctx};
use lucet::{
    Error, Group, Imports, Instance, InstanceRef, Module, ModuleConfig, Outcome, Status, Val,
};
use lucet_artifact::types::MemoryShape;
use std::cell::RefCell;
use std::ffi::c_void;
use std::sync::Arc;

fn counted(wat: &str, imports: Imports, shape: MemoryShape, fuel: Option<u64>) -> Arc<Module> {
    load_counted(&compile_counted(wat, shape), imports, fuel).unwrap()
}

fn compile_counted(wat: &str, memory: MemoryShape) -> Vec<u8> {
    let o = lucetc::Options { fuel: true, paranoid: true, memory, ..lucetc::Options::default() };
    lucetc::compile(wat.as_bytes(), &o).unwrap_or_else(|e| panic!("{e}"))
}

fn load_counted(bytes: &[u8], imports: Imports, fuel: Option<u64>) -> Result<Arc<Module>, Error> {
    let base = ModuleConfig { allow_unsigned: true, linkable: true, ..ModuleConfig::default() };
    Module::load_bytes(bytes, &ModuleConfig { imports, fuel, ..base })
}

thread_local! {
    static TRACE: RefCell<Vec<i32>> = const { RefCell::new(Vec::new()) };
}

unsafe extern "C" fn note(_: *const lucet::Control, _: usize, v: i32) -> i32 {
    TRACE.with_borrow_mut(|t| t.push(v));
    v.wrapping_mul(3)
}

unsafe extern "C" fn pair(_: *const lucet::Control, _: usize, v: i32, out: *mut [u64; 4]) {
    TRACE.with_borrow_mut(|t| t.push(-v));
    // SAFETY: the thunk passes a place for two value slots.
    unsafe { out.write([v as u64, 0, 5, 0]) };
}

unsafe extern "C" fn work(ctx: *const lucet::Control, _: usize, units: i64) {
    let ctx = vmctx(ctx);
    let before = ctx.fuel().unwrap();
    ctx.charge_fuel(units as u64).unwrap();
    let after = before.saturating_sub_unsigned(units as u64).max(i64::MIN / 2);
    assert_eq!(ctx.fuel().unwrap(), after);
}

unsafe extern "C" fn nest(ctx: *const lucet::Control, _: usize) -> i32 {
    let ctx = vmctx(ctx);
    match ctx.run(ctx.find("loop").unwrap(), &[Val::I32(10)]).unwrap() {
        Outcome::Returned(_) => 1,
        Outcome::OutOfFuel => 2,
        other => panic!("{other:?}"),
    }
}

fn imports() -> Imports {
    let mut i = Imports::new();
    host(&mut i, "note", "(i32) -> i32", note as *const c_void, 0);
    host(&mut i, "pair", "(i32) -> (i32, i32)", pair as *const c_void, 0);
    host(&mut i, "work", "(i64) -> ()", work as *const c_void, 0);
    host(&mut i, "nest", "() -> i32", nest as *const c_void, 0);
    i
}

const GUEST: &str = r#"(module
  (import "env" "note" (func $note (param i32) (result i32)))
  (import "env" "pair" (func $pair (param i32) (result i32 i32)))
  (import "env" "work" (func $work (param i64)))
  (import "env" "nest" (func $nest (result i32)))
  (memory (export "memory") 1 4) (data $bytes "0123456789")
  (table 40 funcref) (elem (i32.const 0) $fib $down $note $tail) (elem $passive func $fib $fib)
  (global $g (export "g") (mut i32) (i32.const 0))
  (type $unary (func (param i32) (result i32)))

  (func (export "loop") (param $n i32) (result i32) (local $a i32)
    (loop $l
      (local.set $a (i32.add (local.get $a) (local.get $n)))
      (global.set $g (local.get $a))
      (i32.store (i32.mul (local.get $n) (i32.const 4)) (local.get $a))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $a))

  (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_s (local.get 0) (i32.const 2))
      (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                     (call $fib (i32.sub (local.get 0) (i32.const 2)))))))

  (func $down (export "down") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 7))))
    (global.set $g (local.get 0))
    (call_indirect (type $unary) (i32.sub (local.get 0) (i32.const 1)) (i32.const 1)))

  (func (export "switch") (param $n i32) (result i32) (local $a i32)
    (loop $l
      (block $out
        (block $c (block $b (block $a
          (br_table $a $b $c $out (i32.and (local.get $n) (i32.const 3))))
          (local.set $a (i32.add (local.get $a) (i32.const 1))) (br $out))
          (local.set $a (i32.mul (local.get $a) (i32.const 3))))
        (local.set $a (i32.xor (local.get $a) (i32.const 0x55))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $a))

  (func (export "bulk") (param $n i32) (result i32)
    (memory.fill (i32.const 100) (i32.const 7) (i32.mul (local.get $n) (i32.const 64)))
    (memory.copy (i32.const 3000) (i32.const 90) (i32.const 200))
    (memory.init $bytes (i32.const 5) (i32.const 0) (i32.const 10))
    (data.drop $bytes)
    (table.init $passive (i32.const 4) (i32.const 0) (i32.const 2))
    (table.copy (i32.const 6) (i32.const 0) (i32.const 33))
    (table.fill (i32.const 20) (ref.null func) (i32.const 16))
    (table.set (i32.const 3) (ref.func $fib))
    (drop (table.grow (ref.null func) (i32.const 32)))
    (elem.drop $passive)
    (drop (memory.grow (i32.const 1)))
    (i32.load8_u (i32.const 3010)))

  (func (export "hosts") (param $n i32) (result i32) (local $a i32)
    (loop $l
      (local.set $a (i32.add (local.get $a) (call $note (local.get $n))))
      (local.set $a (i32.add (local.get $a) (i32.mul (call $pair (local.get $a)))))
      (local.set $a (i32.add (local.get $a)
        (call_indirect (type $unary) (local.get $n) (i32.const 2))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $a))

  (func (export "alive") (param $n i32) (result i32)
    (local $a i32) (local $b i32) (local $c i32) (local $d i32) (local $e i32) (local $f i32)
    (local $g i64) (local $h i64) (local $i i64) (local $j i64) (local $k i64) (local $m i64)
    (local $p f64) (local $q f64) (local $r f64) (local $s f64) (local $t f64) (local $u f64)
    (local $v f32) (local $w f32) (local $x f32) (local $y f32) (local $z f32)
    (local.set $a (i32.const 1)) (local.set $b (i32.const 2)) (local.set $c (i32.const 3))
    (local.set $g (i64.const 4)) (local.set $h (i64.const 5)) (local.set $i (i64.const 6))
    (local.set $p (f64.const 1.5)) (local.set $q (f64.const 2.5)) (local.set $r (f64.const 3.5))
    (local.set $v (f32.const 0.5)) (local.set $w (f32.const 0.25)) (local.set $x (f32.const 8))
    (loop $l
      (local.set $d (i32.add (local.get $a) (local.get $f))) (local.set $a (local.get $b))
      (local.set $b (local.get $c)) (local.set $c (local.get $d))
      (local.set $e (i32.xor (local.get $e) (local.get $d)))
      (local.set $f (i32.rotl (local.get $e) (i32.const 3)))
      (local.set $j (i64.add (local.get $g) (local.get $m))) (local.set $g (local.get $h))
      (local.set $h (local.get $i)) (local.set $i (local.get $j))
      (local.set $k (i64.xor (local.get $k) (local.get $j)))
      (local.set $m (i64.rotl (local.get $k) (i64.const 5)))
      (local.set $s (f64.add (local.get $p) (local.get $u))) (local.set $p (local.get $q))
      (local.set $q (local.get $r)) (local.set $r (f64.mul (local.get $s) (f64.const 0.5)))
      (local.set $t (f64.add (local.get $t) (local.get $s)))
      (local.set $u (f64.sub (local.get $t) (local.get $p)))
      (local.set $y (f32.add (local.get $v) (local.get $z))) (local.set $v (local.get $w))
      (local.set $w (local.get $x)) (local.set $x (f32.mul (local.get $y) (f32.const 0.5)))
      (local.set $z (f32.sub (local.get $z) (local.get $y)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.xor (i32.xor (local.get $f) (i32.wrap_i64 (local.get $m)))
      (i32.xor (i32.wrap_i64 (i64.reinterpret_f64 (local.get $u)))
               (i32.reinterpret_f32 (local.get $z)))))

  (elem declare func $tail2)
  (func $tail (export "tail") (type $unary)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 8))))
    (return_call $tail2 (i32.sub (local.get 0) (i32.const 1))))
  (func $tail2 (type $unary)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 9))))
    (return_call_ref $unary (i32.sub (local.get 0) (i32.const 1)) (ref.func $tail3)))
  (elem declare func $tail3)
  (func $tail3 (type $unary)
    (return_call_indirect (type $unary) (local.get 0) (i32.const 3)))
  (func $tail_host (export "tail host") (param $n i32) (result i32)
    (return_call $note (local.get $n)))
  (func (export "tail stub") (param $n i32) (result i32)
    (return_call_indirect (type $unary) (local.get $n) (i32.const 2)))
  (func $tails (export "tails") (return_call $tails))
  (func (export "tight") (loop $l (br $l)))
  (func (export "free") (loop $l (nop) (block (nop)) (br_table $l $l (i32.const 0))))
  (func $two (loop $l (call $one) (br $l)))
  (func $one (block (br_if 0 (i32.const 1)) (call $two)))
  (func (export "calls") (call $two))
  (func (export "nested loops") (loop $a (loop $b (loop $c (br_if $c (i32.const 0)))
    (br_if $b (i32.const 0))) (br $a)))
  (func (export "indirectly") (loop $l
    (drop (call_indirect (type $unary) (i32.const 0) (i32.const 1))) (br $l)))
  (func (export "fills") (loop $l
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br $l)))
  (func (export "asks") (loop $l (drop (call $note (i32.const 1))) (br $l)))
  (func (export "charges") (param i64) (result i32)
    (call $work (local.get 0)) (call $note (i32.const 9)))
  (func (export "nests") (result i32) (call $nest))
  (func (export "empty")))"#;

/// What a run has done: the host's trace, the memory, the global.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    trace: Vec<i32>,
    memory: Vec<u8>,
    g: Val,
    left: i64,
}

fn seen(i: &InstanceRef) -> Seen {
    let mut memory = vec![0; i.memory_size().unwrap() as usize];
    i.memory_read(0, &mut memory).unwrap();
    let trace = TRACE.with_borrow(Clone::clone);
    Seen { trace, memory, g: i.global_get("g").unwrap(), left: i.fuel().unwrap() }
}

/// A fresh instance with so much fuel, and how the run of a function ends.
fn begin(m: &Arc<Module>, fuel: u64, name: &str, args: &[Val]) -> (Instance, Outcome) {
    TRACE.with_borrow_mut(Vec::clear);
    let i = Instance::new(&region(), m).unwrap();
    i.set_fuel(fuel).unwrap();
    let o = i.run(name, args).unwrap();
    (i, o)
}

fn value(o: Outcome) -> i32 {
    match o {
        Outcome::Returned(v) => match v[..] {
            [Val::I32(x)] => x,
            _ => panic!("{v:?}"),
        },
        other => panic!("{other:?}"),
    }
}

const MUCH: u64 = 1 << 40;

fn used(i: &InstanceRef, given: u64) -> u64 {
    u64::try_from(given as i64 - i.fuel().unwrap()).unwrap()
}

/// Functions that end, with their argument and what each of them costs, counted by hand.
fn finite() -> Vec<(&'static str, i32, u64)> {
    fn fib(n: u64) -> u64 {
        // local.get const lt if; local.get / 2 × (local.get const sub call) add
        if n < 2 { 4 + 1 } else { 4 + 9 + fib(n - 1) + fib(n - 2) }
    }
    // A round: local.get const and br_table; then 4 and br, 4 + 4, 4, or nothing; and 5 to go on.
    let switch = |n: u64| {
        let rounds = (1..=n).map(|n| 4 + [4 + 1, 4 + 4, 4, 0][(n & 3) as usize] + 5);
        rounds.sum::<u64>() + 1
    };
    let bulk = |n: u64| {
        let fill = 5 + 16 + n;
        let copy = 3 + 16 + 200 / 64;
        let init = 3 + 16;
        let tables = (3 + 16) + (3 + 16 + 33 / 16) + (3 + 16 + 1) + (2 + 16) + (2 + 16 + 2 + 1);
        fill + copy + init + 16 + tables + 16 + (1 + 16 + 1) + 2
    };
    vec![
        // 4; 2; 5; 5 and at the end 1
        ("loop", 5, 5 * 16 + 1),
        ("fib", 7, fib(7)),
        // local.get eqz if; local.get global.set, local.get const sub const call_indirect; at last
        // const return
        ("down", 6, 6 * 10 + 5),
        ("switch", 9, switch(9)),
        ("bulk", 20, bulk(20)),
        // 4 + 64; 5 + 64; local.get, local.get const call_indirect 64 add local.set; 5; 1
        ("hosts", 3, 3 * ((4 + 64) + (5 + 64) + (6 + 64) + 5) + 1),
        // 24; 18 for each kind of integer, 20 for f64, 16 for f32, 5; 11
        // 3 + 4; 3 + 5; 3; and at the end 3 + 2
        ("tail", 6, 3 * (7 + 8 + 3) + 5),
        // 1 + 64; 3 + 64
        ("tail host", 3, 1 + 64),
        ("tail stub", 3, 3 + 64),
        ("alive", 12, 24 + 12 * (18 + 18 + 20 + 16 + 5) + 11),
    ]
}

#[test]
fn runs_cost_what_their_operators_cost() {
    for shape in [MemoryShape::Guarded, MemoryShape::Compact] {
        let m = counted(GUEST, imports(), shape, None);
        for (name, arg, cost) in finite() {
            let (i, o) = begin(&m, MUCH, name, &[Val::I32(arg)]);
            value(o);
            assert_eq!(used(&i, MUCH), cost, "{name}");
        }
    }
}

#[test]
fn fuel_in_steps_is_the_same_as_fuel_at_once() {
    let m = counted(GUEST, imports(), MemoryShape::Guarded, None);
    for (name, arg, cost) in finite() {
        let args = [Val::I32(arg)];
        let (i, o) = begin(&m, MUCH, name, &args);
        let (result, whole) = (value(o), seen(&i));
        for step in [1, 2, 7, 1000] {
            let (i, mut o) = begin(&m, step, name, &args);
            let (mut given, mut stops) = (step, 0);
            while o == Outcome::OutOfFuel {
                assert!(i.fuel().unwrap() <= 0, "{name}");
                i.add_fuel(step).unwrap();
                given += step;
                stops += 1;
                o = i.resume(0xdead_beef).unwrap();
            }
            assert_eq!(value(o), result, "{name} in steps of {step}");
            assert_eq!(used(&i, given), cost, "{name} in steps of {step}");
            assert_eq!(Seen { left: whole.left, ..seen(&i) }, whole, "{name}");
            assert!(step == 1000 || stops > 0, "{name} never stopped");
        }
    }
}

#[test]
fn every_amount_stops_at_its_place() {
    let artifact = compile_counted(GUEST, MemoryShape::Guarded);
    let m = load_counted(&artifact, imports(), None).unwrap();
    for (name, arg, cost) in finite() {
        let args = [Val::I32(arg)];
        let (i, o) = begin(&m, MUCH, name, &args);
        let (result, whole) = (value(o), seen(&i));
        let mut last = None;
        for fuel in 0..=cost + 3 {
            let (i, o) = begin(&m, fuel, name, &args);
            let here = seen(&i);
            // Another load of the same artifact, on another thread.
            let (again, o2) = std::thread::scope(|s| {
                let other = || {
                    let m = load_counted(&artifact, imports(), None).unwrap();
                    let (i, o) = begin(&m, fuel, name, &args);
                    (seen(&i), o)
                };
                s.spawn(other).join().unwrap()
            });
            assert_eq!((&here, &o), (&again, &o2), "{name} with {fuel}");
            match o {
                Outcome::OutOfFuel => {
                    assert!(fuel < cost && here.left <= 0, "{name} with {fuel}: {}", here.left);
                    // More fuel never stops earlier.
                    let now = used(&i, fuel);
                    assert!(last.is_none_or(|l| l <= now), "{name} with {fuel}");
                    last = Some(now);
                    // Without more it stays where it is.
                    assert_eq!(i.resume(0).unwrap(), Outcome::OutOfFuel);
                    assert_eq!(seen(&i), here);
                    i.set_fuel(MUCH).unwrap();
                    TRACE.with_borrow_mut(|t| t.clone_from(&here.trace));
                    assert_eq!(value(i.resume(0).unwrap()), result, "{name} with {fuel}");
                    assert_eq!(now + used(&i, MUCH), cost, "{name} with {fuel}");
                    assert_eq!(Seen { left: whole.left, ..seen(&i) }, whole, "{name}");
                }
                o => {
                    assert_eq!(value(o), result);
                    assert_eq!(used(&i, fuel), cost);
                }
            }
        }
        assert!(last.is_some(), "{name} never stopped");
    }
}

/// A function with so many loops that its counter stays in memory.
#[test]
fn functions_with_many_loops_count_the_same() {
    let loops = "(loop (br_if 0 (i32.const 0)))".repeat(300);
    let wat = format!(
        "(module (memory 1) (global (export \"g\") (mut i32) (i32.const 0))
      (func $f (export \"f\") (result i32) {loops} (i32.const 3))
      (func (export \"twice\") (result i32) (i32.add (call $f) (call $f))))"
    );
    let m = counted(&wat, Imports::new(), MemoryShape::Guarded, None);
    let cost = 2 * 601 + 3;
    let (i, o) = begin(&m, MUCH, "twice", &[]);
    assert_eq!((value(o), used(&i, MUCH)), (6, cost));
    for step in [1, 7, 1000] {
        let (i, mut o) = begin(&m, step, "twice", &[]);
        let mut given = step;
        while o == Outcome::OutOfFuel {
            i.add_fuel(step).unwrap();
            given += step;
            o = i.resume(0).unwrap();
        }
        assert_eq!((value(o), used(&i, given)), (6, cost));
    }
}

#[test]
fn endless_loops_stop() {
    let m = counted(GUEST, imports(), MemoryShape::Guarded, None);
    for name in ["tight", "free", "calls", "nested loops", "indirectly", "fills", "asks", "tails"] {
        for fuel in [0, 1, 1000, 100_000] {
            let (i, o) = begin(&m, fuel, name, &[]);
            assert_eq!(o, Outcome::OutOfFuel, "{name}");
            let left = i.fuel().unwrap();
            // The largest price of a single operator here is that of the fill.
            assert!((-1100..=0).contains(&left), "{name} with {fuel}: {left}");
            i.add_fuel(500).unwrap();
            assert_eq!(i.resume(0).unwrap(), Outcome::OutOfFuel, "{name}");
            i.reset().unwrap();
            assert_eq!(i.run("empty", &[]).unwrap(), Outcome::Returned(vec![]));
        }
    }
}

#[test]
fn a_guest_goes_on_on_another_thread() {
    let m = counted(GUEST, imports(), MemoryShape::Guarded, None);
    let (i, o) = begin(&m, 300, "alive", &[Val::I32(12)]);
    assert_eq!(o, Outcome::OutOfFuel);
    let expected = value(begin(&m, MUCH, "alive", &[Val::I32(12)]).1);
    let o = std::thread::spawn(move || {
        i.set_fuel(MUCH).unwrap();
        i.resume(0).unwrap()
    });
    assert_eq!(value(o.join().unwrap()), expected);
}

#[test]
fn each_instance_begins_with_the_modules_fuel() {
    let m = counted(GUEST, imports(), MemoryShape::Guarded, Some(50));
    let r = region();
    for _ in 0..3 {
        let i = Instance::new(&r, &m).unwrap();
        assert_eq!(i.fuel(), Ok(50));
        assert_eq!(i.run("tight", &[]).unwrap(), Outcome::OutOfFuel);
        assert_eq!(i.run("empty", &[]).unwrap_err().status(), Status::WrongState);
        i.reset().unwrap();
        assert_eq!(i.fuel(), Ok(50));
        i.set_fuel(u64::MAX).unwrap();
        assert_eq!(i.fuel(), Ok(i64::MAX));
        i.add_fuel(u64::MAX).unwrap();
        assert_eq!(i.fuel(), Ok(i64::MAX));
    }
    let unlimited = counted(GUEST, imports(), MemoryShape::Guarded, None);
    let i = Instance::new(&r, &unlimited).unwrap();
    assert_eq!(i.fuel(), Ok(i64::MAX));
    assert_eq!(value(i.run("fib", &[Val::I32(10)]).unwrap()), 55);
}

#[test]
fn start_functions_are_counted() {
    const START: &str = r#"(module (global $g (export "g") (mut i32) (i32.const 0))
      (func $s (local i32) (local.set 0 (i32.const 100))
        (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
      (start $s))"#;
    let m = counted(START, Imports::new(), MemoryShape::Guarded, Some(502));
    let i = Instance::new(&region(), &m).unwrap();
    assert_eq!(i.fuel(), Ok(0));
    let m = counted(START, Imports::new(), MemoryShape::Guarded, Some(400));
    let e = Instance::new(&region(), &m).unwrap_err();
    assert_eq!(e.status(), Status::StartFailed);
    assert!(e.message().contains("fuel"), "{e}");
}

#[test]
fn a_nested_run_without_fuel_ends_both() {
    let m = counted(GUEST, imports(), MemoryShape::Guarded, None);
    let (i, o) = begin(&m, 1000, "nests", &[]);
    assert_eq!(value(o), 1);
    assert_eq!(used(&i, 1000), 64 + 10 * 16 + 1);
    let (i, o) = begin(&m, 100, "nests", &[]);
    assert_eq!(o, Outcome::OutOfFuel);
    i.add_fuel(1000).unwrap();
    assert_eq!(i.resume(0).unwrap_err().status(), Status::WrongState);
    i.reset().unwrap();
    assert_eq!(value(i.run("nests", &[]).unwrap()), 1);
}

#[test]
fn host_functions_charge_for_their_work() {
    let m = counted(GUEST, imports(), MemoryShape::Guarded, None);
    let (i, o) = begin(&m, 10_000, "charges", &[Val::I64(5000)]);
    assert_eq!(value(o), 27);
    assert_eq!(used(&i, 10_000), 1 + 64 + 5000 + 1 + 64);
    // Used up by the first host function: the second one is not called before there is more.
    let (i, o) = begin(&m, 10_000, "charges", &[Val::I64(20_000)]);
    assert_eq!(o, Outcome::OutOfFuel);
    assert!(seen(&i).trace.is_empty());
    i.add_fuel(20_000).unwrap();
    assert_eq!(value(i.resume(0).unwrap()), 27);
    assert_eq!(seen(&i).trace, [9]);
    let (i, o) = begin(&m, 10_000, "charges", &[Val::I64(-1)]);
    assert_eq!(o, Outcome::OutOfFuel);
    assert!(i.fuel().unwrap() < -MUCH.cast_signed());
}

#[test]
fn modules_that_do_not_count_say_so() {
    let plain = compile("(module (func (export \"f\")))", MemoryShape::Guarded);
    let e = load_counted(&plain, Imports::new(), Some(1)).unwrap_err();
    assert_eq!(e.status(), Status::Unsupported);
    let i = Instance::new(&region(), &load(&plain, Imports::new()).unwrap()).unwrap();
    for e in [i.set_fuel(1).unwrap_err(), i.add_fuel(1).unwrap_err(), i.fuel().unwrap_err()] {
        assert_eq!(e.status(), Status::Unsupported);
        assert!(e.message().contains("--fuel"), "{e}");
    }
}

#[test]
fn members_of_a_group_have_their_own() {
    let callee = counted(
        r#"(module (func (export "loop") (result i32) (local i32) (local.set 0 (i32.const 100))
          (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
          (i32.const 5)))"#,
        Imports::new(),
        MemoryShape::Guarded,
        Some(20),
    );
    let caller = counted(
        r#"(module (import "callee" "loop" (func $f (result i32)))
          (func (export "run") (result i32) (i32.add (call $f) (i32.const 1))))"#,
        Imports::new(),
        MemoryShape::Guarded,
        Some(1000),
    );
    let mut group = Group::new(&region());
    group.instantiate(Some("callee"), &callee).unwrap();
    group.instantiate(Some("caller"), &caller).unwrap();
    let (a, b) = (group.get("caller").unwrap(), group.get("callee").unwrap());
    assert_eq!(a.run("run", &[]).unwrap(), Outcome::OutOfFuel);
    assert_eq!(a.fuel(), Ok(1000 - 64));
    assert!(b.fuel().unwrap() <= 0);
    a.add_fuel(1000).unwrap();
    assert_eq!(a.resume(0).unwrap(), Outcome::OutOfFuel);
    b.add_fuel(1000).unwrap();
    assert_eq!(value(a.resume(0).unwrap()), 6);
    assert_eq!((a.fuel(), b.fuel()), (Ok(2000 - 66), Ok(1020 - 503)));
}
