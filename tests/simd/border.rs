//! Vectors between host and guest, between instances, and in what keeps values: they are passed to
//! host functions by address, and live in slots of 16 bytes everywhere else.

use crate::common::{host, load, module, region, returned, vmctx};
use lucet::{Control, Group, Imports, Instance, Outcome, SnapshotOptions, Val};
use lucet_artifact::types::MemoryShape;
use lucetc::Options;
use std::ffi::c_void;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

const A: u128 = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100;
const B: u128 = 0xdead_beef_0123_4567_89ab_cdef_8000_0001;

/// What a host function finds at an address: aligned, as its C type may ask for.
fn at(p: *const u128) -> u128 {
    assert!(p.is_aligned(), "{p:?}");
    // SAFETY: compiled code passes the address of 16 bytes.
    unsafe { p.read() }
}

#[allow(clippy::too_many_arguments)]
extern "C" fn mixed(
    _: *const Control,
    _: usize,
    a: *const u128,
    n: i32,
    b: *const u128,
    x: f64,
    c: *const u128,
    d: *const u128,
    y: f32,
    e: *const u128,
    m: i64,
    out: *mut u128,
) {
    assert_eq!((n, x, y, m), (-5, 1.5, -2.25, i64::MIN + 3));
    let lanes = [a, b, c, d, e].map(at);
    assert!(out.is_aligned());
    // SAFETY: the out-pointer has room for the result. It is none of the arguments.
    unsafe { out.write(0) };
    assert_eq!([a, b, c, d, e].map(at), lanes, "the result lies over an argument");
    let sum = lanes.iter().enumerate().fold(0u128, |s, (n, v)| s ^ v.rotate_left(n as u32 * 8));
    // SAFETY: as above.
    unsafe { out.write(sum) };
}

extern "C" fn three(_: *const Control, _: usize, a: *const u128, out: *mut u128) {
    let v = at(a);
    // SAFETY: the out-pointer has room for three results.
    unsafe {
        out.write(!v);
        out.add(1).write(42);
        out.add(2).write(v.swap_bytes());
    }
}

extern "C" fn silent(_: *const Control, _: usize, _: *mut u128) {}

fn imports() -> Imports {
    let mut imports = Imports::new();
    let ty = "(v128, i32, v128, f64, v128, v128, f32, v128, i64) -> v128";
    host(&mut imports, "mixed", ty, mixed as *const c_void, 0);
    host(&mut imports, "three", "(v128) -> (v128, i32, v128)", three as *const c_void, 0);
    host(&mut imports, "silent", "() -> v128", silent as *const c_void, 0);
    imports
}

const HOST: &str = r#"(module
  (type $mixed (func (param v128 i32 v128 f64 v128 v128 f32 v128 i64) (result v128)))
  (import "env" "mixed" (func $mixed (type $mixed)))
  (import "env" "three" (func $three (param v128) (result v128 i32 v128)))
  (import "env" "silent" (func $silent (result v128)))
  (table 1 funcref) (elem (i32.const 0) func $mixed)
  (export "stub" (func $mixed))
  (func (export "direct") (type $mixed)
    local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 local.get 5 local.get 6
    local.get 7 local.get 8 call $mixed)
  (func (export "indirect") (type $mixed)
    local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 local.get 5 local.get 6
    local.get 7 local.get 8 i32.const 0 call_indirect (type $mixed))
  (func (export "three") (param v128) (result v128 i32 v128) local.get 0 call $three)
  (func (export "twice") (param v128) (result v128)
    (local $n i32) (local $v v128)
    local.get 0 call $three local.set $v local.set $n drop
    (i32x4.add (i32x4.splat (local.get $n)) (local.get $v)))
  (func (export "silent") (param v128) (result v128)
    (drop (call $three (local.get 0)) (drop) (drop)) (call $silent)))"#;

#[test]
fn host_functions_get_vectors_by_address() {
    let wat = HOST.replace(
        "(drop (call $three (local.get 0)) (drop) (drop))",
        "(call $three (local.get 0)) drop drop drop",
    );
    let vectors = [A, B, A ^ B, !A, A.rotate_left(17)];
    let [a, b, c, d, e] = vectors.map(Val::V128);
    let args =
        [a, Val::I32(-5), b, Val::F64(1.5), c, d, Val::F32(-2.25), e, Val::I64(i64::MIN + 3)];
    let sum = vectors.iter().enumerate().fold(0u128, |s, (n, v)| s ^ v.rotate_left(n as u32 * 8));
    for shape in [MemoryShape::Guarded, MemoryShape::Compact] {
        let m = load(&crate::common::compile(&wat, shape), imports()).unwrap();
        let compact = shape == MemoryShape::Compact;
        let config = lucet::RegionConfig { compact, slots: 2, ..lucet::RegionConfig::default() };
        let i = Instance::new(&lucet::Region::new(config).unwrap(), &m).unwrap();
        for name in ["direct", "indirect", "stub"] {
            assert_eq!(returned(i.run(name, &args).unwrap()), [Val::V128(sum)], "{name}");
        }
        let three = [Val::V128(!A), Val::I32(42), Val::V128(A.swap_bytes())];
        assert_eq!(returned(i.run("three", &[a]).unwrap()), three);
        let lanes = |v: u128| (0..4).map(move |n| (v >> (32 * n)) as u32);
        let want = lanes(A.swap_bytes())
            .enumerate()
            .fold(0, |v, (n, l)| v | u128::from(l.wrapping_add(42)) << (32 * n));
        assert_eq!(returned(i.run("twice", &[a]).unwrap()), [Val::V128(want)]);
        // What a host function does not write is zero, not what was on the stack.
        assert_eq!(returned(i.run("silent", &[b]).unwrap()), [Val::V128(0)]);
    }
}

/// Sixteen vectors and as many more: in registers and on the stack, in any order.
#[test]
fn parameters_and_results_beyond_registers() {
    let kinds = ["v128", "i32", "v128", "f64", "v128", "i64", "v128", "f32"];
    let types: Vec<_> = (0..48).map(|n| kinds[n % 8]).collect();
    let all = types.join(" ");
    let gets: String = (0..48).map(|n| format!(" local.get {}", 47 - n)).collect();
    let back: Vec<_> = types.iter().rev().copied().collect();
    let wat = format!(
        "(module (type $t (func (param {all}) (result {back})))
          (table 1 funcref) (elem (i32.const 0) func $f)
          (func $f (export \"f\") (type $t) {gets})
          (func (export \"g\") (type $t) {in_order} call $f)
          (func (export \"h\") (type $t) {in_order} i32.const 0 call_indirect (type $t)))",
        back = back.join(" "),
        in_order = (0..48).map(|n| format!(" local.get {n}")).collect::<String>()
    );
    let i = Instance::new(&region(), &module(&wat, Imports::new())).unwrap();
    let value = |n: usize| match kinds[n % 8] {
        "v128" => Val::V128(B.rotate_left(n as u32) ^ n as u128),
        "i32" => Val::I32(-(n as i32)),
        "f64" => Val::F64(n as f64 / 3.0),
        "i64" => Val::I64(n as i64 * -77_777_777_777),
        _ => Val::F32(n as f32 / 7.0),
    };
    let args: Vec<_> = (0..48).map(value).collect();
    let want: Vec<_> = args.iter().rev().copied().collect();
    for name in ["f", "g", "h"] {
        assert_eq!(returned(i.run(name, &args).unwrap()), want, "{name}");
    }
}

#[test]
fn globals_locals_blocks_and_selections() {
    let wat = r#"(module
      (global $g (export "g") (mut v128) (v128.const i64x2 1 2))
      (global $c (export "c") v128 (v128.const i32x4 9 8 7 6))
      (func (export "swap") (param v128) (result v128)
        (global.get $g) (global.set $g (local.get 0)))
      (func (export "fresh") (result v128) (local v128 i32 v128)
        (i8x16.add (local.get 0) (local.get 2)))
      (func (export "select") (param v128 v128 i32) (result v128)
        (select (local.get 0) (local.get 1) (local.get 2)))
      (func (export "typed") (param v128 v128 i32) (result v128)
        (select (result v128) (f32x4.add (local.get 0) (local.get 0)) (local.get 1) (local.get 2)))
      (func (export "loop") (param $v v128) (param $n i32) (result v128)
        (local.get $v)
        (loop (param v128) (result v128)
          (i32x4.add (v128.const i32x4 1 10 100 1000))
          (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
      (func (export "if") (param v128 i32) (result v128)
        (local.get 0)
        (if (param v128) (result v128) (local.get 1)
          (then (f64x2.neg)) (else (i16x8.neg))))
      (func (export "table") (param v128 i32) (result v128)
        (block (result v128) (block (result v128) (block (result v128)
          (br_table 0 1 2 (local.get 0) (local.get 1)))
          (br 1 (i64x2.neg))) (i8x16.popcnt))))"#;
    let m = module(wat, Imports::new());
    let r = region();
    let i = Instance::new(&r, &m).unwrap();
    let run = |name: &str, args: &[Val]| returned(i.run(name, args).unwrap());
    let v = |v: u128| vec![Val::V128(v)];
    assert_eq!(run("swap", &v(A)), v(2 << 64 | 1));
    assert_eq!(i.global_get("g").unwrap(), Val::V128(A));
    assert_eq!(i.global_get("c").unwrap(), Val::V128(6 << 96 | 7 << 64 | 8 << 32 | 9));
    i.global_set("g", Val::V128(B)).unwrap();
    assert!(i.global_set("g", Val::I64(1)).is_err());
    assert!(i.global_set("c", Val::V128(1)).is_err());
    assert_eq!(run("swap", &v(0)), v(B));
    assert_eq!(run("fresh", &[]), v(0));
    for (n, want) in [(1, A), (0, B)] {
        let args = [Val::V128(A), Val::V128(B), Val::I32(n)];
        assert_eq!(run("select", &args), v(want));
    }
    assert_eq!(run("typed", &[Val::V128(A), Val::V128(B), Val::I32(0)]), v(B));
    let sum = 3000u128 << 96 | 300 << 64 | 30 << 32 | 3;
    assert_eq!(run("loop", &[Val::V128(0), Val::I32(3)]), v(sum));
    assert_eq!(run("if", &[Val::V128(A), Val::I32(1)]), v(A ^ (1 << 127 | 1 << 63)));
    assert_eq!(run("if", &[Val::V128(1), Val::I32(0)]), v(0xffff));
    assert_eq!(run("table", &[Val::V128(1), Val::I32(0)]), v(u128::from(u64::MAX)));
    assert_eq!(run("table", &[Val::V128(0xff), Val::I32(1)]), v(8));
    assert_eq!(run("table", &[Val::V128(A), Val::I32(2)]), v(A));
    i.reset().unwrap();
    assert_eq!(run("swap", &v(0)), v(2 << 64 | 1));
    // A snapshot keeps it.
    i.global_set("g", Val::V128(B)).unwrap();
    let snapshot = i.snapshot(&SnapshotOptions::default()).unwrap();
    let j = Instance::new(&r, &snapshot).unwrap();
    assert_eq!(j.global_get("g").unwrap(), Val::V128(B));
}

#[test]
fn vectors_between_instances() {
    let owner = r#"(module
      (global $g (export "g") (mut v128) (v128.const i64x2 5 6))
      (global (export "c") v128 (v128.const i64x2 -1 7))
      (func (export "mix") (param v128 i32 v128 f32) (result v128)
        (i8x16.swizzle (i32x4.add (local.get 0) (i32x4.splat (local.get 1))) (local.get 2)))
      (func (export "both") (param v128) (result v128 v128)
        (i64x2.neg (local.get 0)) (global.get $g)))"#;
    let user = r#"(module
      (import "o" "g" (global $g (mut v128)))
      (import "o" "c" (global $c v128))
      (import "o" "mix" (func $mix (param v128 i32 v128 f32) (result v128)))
      (import "o" "both" (func $both (param v128) (result v128 v128)))
      (global $own (export "own") v128 (global.get $c))
      (table 1 funcref) (elem (i32.const 0) func $mix)
      (func (export "mix") (param v128 v128) (result v128)
        (call $mix (local.get 0) (i32.const 16) (local.get 1) (f32.const 0)))
      (func (export "indirect") (param v128 v128) (result v128)
        (call_indirect (param v128 i32 v128 f32) (result v128)
          (local.get 0) (i32.const 16) (local.get 1) (f32.const 0) (i32.const 0)))
      (func (export "both") (param v128) (result v128)
        (global.set $g (v128.const i64x2 3 4)) (call $both (local.get 0)) i8x16.add)
      (func (export "add") (result v128) (i64x2.add (global.get $g) (global.get $own))))"#;
    for shape in [MemoryShape::Guarded, MemoryShape::Compact] {
        let config = lucet::ModuleConfig {
            allow_unsigned: true,
            linkable: true,
            ..lucet::ModuleConfig::default()
        };
        let make = |wat: &str| {
            lucet::Module::load_bytes(&crate::common::compile(wat, shape), &config).unwrap()
        };
        let compact = shape == MemoryShape::Compact;
        let r = lucet::Region::new(lucet::RegionConfig {
            compact,
            slots: 4,
            ..lucet::RegionConfig::default()
        });
        let mut group = Group::new(&r.unwrap());
        group.instantiate(Some("o"), &make(owner)).unwrap();
        group.instantiate(Some("u"), &make(user)).unwrap();
        let i = group.get("u").unwrap();
        let run = |name: &str, args: &[Val]| returned(i.run(name, args).unwrap());
        assert_eq!(i.global_get("own").unwrap(), Val::V128(7 << 64 | u128::from(u64::MAX)));
        let reverse = 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f;
        let sum = (0..4)
            .fold(0, |v, n| v | u128::from(((A >> (32 * n)) as u32).wrapping_add(16)) << (32 * n));
        for name in ["mix", "indirect"] {
            let have = run(name, &[Val::V128(A), Val::V128(reverse)]);
            assert_eq!(have, [Val::V128(sum.swap_bytes())], "{name}");
        }
        assert_eq!(run("both", &[Val::V128(0)]), [Val::V128(4 << 64 | 3)]);
        assert_eq!(group.get("o").unwrap().global_get("g").unwrap(), Val::V128(4 << 64 | 3));
        assert_eq!(run("add", &[]), [Val::V128(11 << 64 | 2)]);
    }
}

/// A function that keeps more vectors than there are registers across whatever `inside` does.
fn keeps(inside: &str, import: &str) -> String {
    const N: usize = 24;
    let mut code = String::new();
    for n in 0..N {
        let _ = write!(code, "(local $v{n} v128)");
    }
    for n in 0..N {
        let _ = write!(
            code,
            "(local.set $v{n} (i32x4.mul (local.get $seed) (v128.const i32x4 {a} {b} {c} {d})))",
            a = 2 * n + 1,
            b = 77 * n + 13,
            c = 1_000_003 * (n + 1),
            d = 2_000_000_011u64 - n as u64
        );
    }
    code.push_str("(loop $l\n");
    for n in 0..N {
        let _ = write!(
            code,
            "(local.set $v{n} (i8x16.shuffle 3 20 1 18 7 24 5 22 11 28 9 26 15 0 13 30
               (i32x4.add (local.get $v{n}) (local.get $v{m})) (local.get $v{m})))",
            m = (n + 1) % N
        );
        if n % 8 == 3 {
            code.push_str(inside);
        }
    }
    code.push_str("(br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))\n");
    let sum = (0..N).fold("(local.get $seed)".to_owned(), |sum, n| {
        format!(
            "(i64x2.add (i64x2.mul {sum} (v128.const i64x2 1099511628211 3)) (local.get $v{n}))"
        )
    });
    format!(
        "(module {import} (memory 1)
      (func (export \"run\") (param $seed v128) (param $n i32) (result v128) {code} {sum}))"
    )
}

static PLACE: AtomicUsize = AtomicUsize::new(0);

extern "C" fn yields(ctx: *const Control, _: usize, v: *const u128, out: *mut u128) {
    PLACE.store(out as usize, Ordering::Relaxed);
    let low = at(v) as u64;
    let ctx = vmctx(ctx);
    ctx.yield_value(low, Some(resumed), out as usize).unwrap();
}

/// The out-pointer is good while the guest waits.
unsafe extern "C" fn resumed(_: *const Control, value: u64, out: usize) -> u64 {
    // SAFETY: the state is the out-pointer that the host function was given.
    unsafe { (out as *mut u128).write(u128::from(value) << 64 | 1) };
    0
}

#[test]
fn vectors_survive_yields() {
    let inside = "(local.set $v0 (v128.xor (local.get $v0) (call $y (local.get $v5))))";
    let import = "(import \"env\" \"y\" (func $y (param v128) (result v128)))";
    let mut imports = Imports::new();
    host(&mut imports, "y", "(v128) -> v128", yields as *const c_void, 0);
    let m = module(&keeps(inside, import), imports);
    // The same without leaving: the host function's answer from a table of what it was given.
    let i = Instance::new(&region(), &m).unwrap();
    let mut answers = Vec::new();
    let mut outcome = i.run("run", &[Val::V128(A), Val::I32(10)]).unwrap();
    while let Outcome::Yielded(v) = outcome {
        answers.push(v);
        clobber();
        outcome = std::thread::scope(|s| {
            s.spawn(|| {
                clobber();
                i.resume(v ^ 0x55).unwrap()
            })
            .join()
            .unwrap()
        });
    }
    let have = returned(outcome);
    assert_eq!(answers.len(), 30);
    let pure = "(local.set $v0 (v128.xor (local.get $v0) (i64x2.replace_lane 1
      (v128.const i64x2 1 0) (i64.xor (i64x2.extract_lane 0 (local.get $v5)) (i64.const 0x55)))))";
    let i = Instance::new(&region(), &module(&keeps(pure, ""), Imports::new())).unwrap();
    assert_eq!(returned(i.run("run", &[Val::V128(A), Val::I32(10)]).unwrap()), have);
}

/// Uses every vector register, as a host may.
fn clobber() {
    // SAFETY: only says what it overwrites.
    unsafe {
        std::arch::asm!(
            "pcmpeqd xmm0, xmm0", "movdqa xmm1, xmm0", "movdqa xmm2, xmm0", "movdqa xmm3, xmm0",
            "movdqa xmm4, xmm0", "movdqa xmm5, xmm0", "movdqa xmm6, xmm0", "movdqa xmm7, xmm0",
            "movdqa xmm8, xmm0", "movdqa xmm9, xmm0", "movdqa xmm10, xmm0", "movdqa xmm11, xmm0",
            "movdqa xmm12, xmm0", "movdqa xmm13, xmm0", "movdqa xmm14, xmm0",
            "movdqa xmm15, xmm0",
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _,
            out("xmm5") _, out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _,
            out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _, out("xmm14") _,
            out("xmm15") _,
        );
    }
}

extern "C" fn clobbers(_: *const Control, _: usize) {
    clobber();
}

/// Host functions and builtins overwrite vector registers; so does whoever fills up fuel.
#[test]
fn vectors_survive_calls_and_lack_of_fuel() {
    let want = {
        let i = Instance::new(&region(), &module(&keeps("", ""), Imports::new())).unwrap();
        returned(i.run("run", &[Val::V128(B), Val::I32(50)]).unwrap())
    };
    let import = "(import \"env\" \"c\" (func $c))";
    let fused = "(drop (f64x2.relaxed_madd (local.get $v1) (local.get $v2) (local.get $v3)))
      (v128.store (i32.const 0) (f32x4.relaxed_madd (local.get $v1) (local.get $v2)
        (local.get $v3)))";
    let inside =
        format!("(call $c) (memory.fill (i32.const 9) (i32.const 1) (i32.const 300)) {fused}");
    for fuel in [false, true] {
        let mut imports = Imports::new();
        host(&mut imports, "c", "() -> ()", clobbers as *const c_void, 0);
        let options = Options { fuel, paranoid: true, ..Options::default() };
        let artifact = lucetc::compile(keeps(&inside, import).as_bytes(), &options);
        let m = load(&artifact.unwrap_or_else(|e| panic!("{e}")), imports).unwrap();
        let i = Instance::new(&region(), &m).unwrap();
        if fuel {
            i.set_fuel(41).unwrap();
        }
        let mut outcome = i.run("run", &[Val::V128(B), Val::I32(50)]).unwrap();
        let mut stops = 0;
        while outcome == Outcome::OutOfFuel {
            stops += 1;
            clobber();
            i.add_fuel(41).unwrap();
            outcome = i.resume(0).unwrap();
        }
        assert_eq!(returned(outcome), want);
        assert_eq!(stops > 100, fuel, "{stops}");
    }
}
