//! The same results whatever the code was compiled for: CPUs with newer instructions and without,
//! every optimisation level. Relaxed operators against what they are documented to be.

use super::ops;
use crate::common::load;
use lucet::{Imports, Instance, Outcome, Region, RegionConfig, Val};
use lucet_artifact::contract::cpu;
use lucetc::Options;
use lucetc::options::OptLevel;
use std::fmt::Write as _;
use std::sync::Arc;

struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A vector of odd lanes: small and large numbers, both zeros, limits of every conversion,
    /// infinities, NaNs of all kinds, and any bits.
    fn vector(&mut self) -> u128 {
        let single = |d: &mut Self| match d.roll() % 12 {
            0 => 0,
            1 => 0x8000_0000,
            2 => (d.roll() as i32 % 300) as u32,
            3 => (d.roll() as i32 as f32 / 65536.0).to_bits(),
            4 => f32::INFINITY.to_bits() | (d.roll() as u32) << 31,
            5 => 0x7fc0_0000 | d.roll() as u32 & 0x803f_ffff,
            6 => 0x7fa0_0000 | d.roll() as u32 & 0x801f_ffff,
            7 => (2f32.powi((d.roll() % 40) as i32) + (d.roll() % 3) as f32 - 1.0).to_bits(),
            8 => 0x8080_8080,
            9 => 0x7fff_8000,
            _ => d.roll() as u32,
        };
        let double = |d: &mut Self| match d.roll() % 8 {
            0 => (2f64.powi((d.roll() % 70) as i32) + (d.roll() % 3) as f64 - 1.0).to_bits(),
            1 => (-2f64.powi((d.roll() % 70) as i32) + (d.roll() % 3) as f64 / 2.0).to_bits(),
            2 => f64::NAN.to_bits() | d.roll() & 0x8000_ffff_0000_0000,
            3 => 1 << 63,
            4 => (d.roll() as i64 as f64 / 1e15).to_bits(),
            _ => d.roll(),
        };
        match self.roll() % 2 {
            0 => (0..4).fold(0, |v, _| v << 32 | u128::from(single(self))),
            _ => (0..2).fold(0, |v, _| v << 64 | u128::from(double(self))),
        }
    }
}

/// Each operator as a function of three vectors that gives one: scalars are lanes of the third.
fn wat() -> String {
    let mut wat = String::from("(module");
    for op in ops::all() {
        let mut vectors = 0;
        let operands: String = op
            .operands
            .chars()
            .map(|kind| match kind {
                'v' => {
                    vectors += 1;
                    format!(" (local.get {})", vectors - 1)
                }
                'i' => " (i32x4.extract_lane 1 (local.get 2))".to_owned(),
                'l' => " (i64x2.extract_lane 1 (local.get 2))".to_owned(),
                'f' => " (f32x4.extract_lane 2 (local.get 2))".to_owned(),
                _ => " (f64x2.extract_lane 0 (local.get 2))".to_owned(),
            })
            .collect();
        let code = format!("({}{operands})", op.name);
        let code = match op.result {
            'v' => code,
            'i' => format!("(i32x4.splat {code})"),
            'l' => format!("(i64x2.splat {code})"),
            'f' => format!("(f32x4.splat {code})"),
            _ => format!("(f64x2.splat {code})"),
        };
        let name = &op.name;
        let _ =
            writeln!(wat, "(func (export \"{name}\") (param v128 v128 v128) (result v128) {code})");
    }
    wat.push(')');
    wat
}

/// Ways to compile.
fn ways() -> Vec<(&'static str, Options)> {
    let with = |cpu, opt_level| Options { cpu, opt_level, ..Options::default() };
    let mut ways = vec![
        ("v2", with(cpu::X86_64_V2, OptLevel::Speed)),
        ("v2, not optimised", with(cpu::X86_64_V2, OptLevel::None)),
    ];
    let fused_only = cpu::X86_64_V2 | cpu::FMA;
    let avx = cpu::X86_64_V2 | cpu::AVX;
    if lucetc::options::cpu_from_name("native") == Some(cpu::X86_64_V3) {
        ways.push(("v3", with(cpu::X86_64_V3, OptLevel::Speed)));
        ways.push(("v3, not optimised", with(cpu::X86_64_V3, OptLevel::None)));
        ways.push(("v2 and FMA, which takes AVX", with(fused_only, OptLevel::Speed)));
        ways.push(("v2 and AVX", with(avx, OptLevel::SpeedAndSize)));
    } else {
        println!("not on this machine: x86-64-v3");
    }
    ways
}

fn region() -> Arc<Region> {
    Region::new(RegionConfig { slots: 8, ..RegionConfig::default() }).unwrap()
}

fn instances(wat: &str, r: &Arc<Region>) -> Vec<(&'static str, Instance)> {
    let make = |(way, options): (&'static str, Options)| {
        let artifact = lucetc::compile(wat.as_bytes(), &options).unwrap_or_else(|e| panic!("{e}"));
        (way, Instance::new(r, &load(&artifact, Imports::new()).unwrap()).unwrap())
    };
    ways().into_iter().map(make).collect()
}

fn run(i: &Instance, name: &str, args: [u128; 3]) -> u128 {
    match i.run(name, &args.map(Val::V128)).unwrap() {
        Outcome::Returned(v) => match v[..] {
            [Val::V128(v)] => v,
            ref other => panic!("{name}: {other:?}"),
        },
        other => panic!("{name}: {other:?}"),
    }
}

/// Lanes that are NaN as one NaN: which of its operands' bits an operation keeps is not said.
fn same_nan(shape: &str, v: u128) -> u128 {
    match shape {
        "f32x4" => (0..4).fold(0, |all, n| {
            let lane = f32::from_bits((v >> (32 * n)) as u32);
            let bits = if lane.is_nan() { 0x7fc0_0000 } else { lane.to_bits() };
            all | u128::from(bits) << (32 * n)
        }),
        "f64x2" => (0..2).fold(0, |all, n| {
            let lane = f64::from_bits((v >> (64 * n)) as u64);
            let bits = if lane.is_nan() { 0x7ff8 << 48 } else { lane.to_bits() };
            all | u128::from(bits) << (64 * n)
        }),
        _ => v,
    }
}

#[test]
fn every_operator_gives_the_same_everywhere() {
    let r = region();
    let all = instances(&wat(), &r);
    let (_, first) = &all[0];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for op in ops::all() {
        let (name, shape) = (&op.name, op.name.split('.').next().unwrap());
        // These move bits, of a NaN too.
        let moves = ["neg", "abs", "splat", "lane", "pmin", "pmax"];
        let shape = if moves.iter().any(|m| name.contains(m)) { "" } else { shape };
        for _ in 0..100 {
            let args = [dice.vector(), dice.vector(), dice.vector()];
            let want = same_nan(shape, run(first, name, args));
            for (way, i) in &all[1..] {
                let have = same_nan(shape, run(i, name, args));
                assert_eq!(have, want, "{name} {args:x?}: {way} {have:#x}, v2 {want:#x}");
            }
        }
    }
}

/// Instructions of each function, and how many of them are calls.
fn instructions(wat: &str, cpu: u64) -> Vec<(String, usize, usize)> {
    let options = Options { cpu, ..Options::default() };
    let text = lucetc::compile_to_text(wat.as_bytes(), &options, lucetc::Text::Asm);
    let text = text.unwrap_or_else(|e| panic!("{e}"));
    let functions = text.split(";; function ").skip(1);
    functions
        .map(|f| {
            let f = f.split(";; entry").next().unwrap();
            let name = f.split('"').nth(1).unwrap().to_owned();
            let code = f.lines().skip(1).map(str::trim).filter(|l| !l.is_empty());
            let code: Vec<_> =
                code.filter(|l| !l.starts_with("unwind") && !l.starts_with("block")).collect();
            (name, code.len(), code.iter().filter(|l| l.starts_with("call")).count())
        })
        .collect()
}

/// No operator is a call of a library, and none is done lane by lane.
#[test]
fn every_operator_is_a_few_instructions() {
    let wat = wat();
    for (level, cpu) in [("v2", cpu::X86_64_V2), ("v3", cpu::X86_64_V3)] {
        let all = instructions(&wat, cpu);
        assert_eq!(all.len(), ops::all().len());
        for (name, n, calls) in all {
            let fused = level == "v2" && name.contains("madd");
            assert_eq!(calls, if fused { 2 } else { 0 }, "{level}: {name}");
            // Sixteen lanes would be sixteen times three; the frame takes five.
            assert!(n <= if fused { 60 } else { 30 }, "{level}: {name} is {n} instructions");
        }
    }
}

fn f32s(v: u128) -> [f32; 4] {
    std::array::from_fn(|n| f32::from_bits((v >> (32 * n)) as u32))
}

fn f64s(v: u128) -> [f64; 2] {
    std::array::from_fn(|n| f64::from_bits((v >> (64 * n)) as u64))
}

/// `x * y + z` of whole numbers scaled by powers of two, exactly, rounded once: with integers.
fn exact_fma(x: f32, y: f32, z: f32) -> Option<f32> {
    fn parts(v: f32) -> Option<(i128, i32)> {
        let (bits, e) = (v.to_bits(), v.to_bits() >> 23 & 0xff);
        let m = i128::from(bits & 0x7f_ffff | 0x80_0000);
        (1..255).contains(&e).then_some((if v < 0.0 { -m } else { m }, e as i32 - 150))
    }
    let ((mx, ex), (my, ey), (mz, ez)) = (parts(x)?, parts(y)?, parts(z)?);
    let low = (ex + ey).min(ez);
    // 48 bits of product and 24 of summand must fit.
    if (ex + ey - low).max(ez - low) > 70 {
        return None;
    }
    let sum = ((mx * my) << (ex + ey - low)) + (mz << (ez - low));
    let size = 128 - sum.unsigned_abs().leading_zeros() as i32;
    if sum == 0 || size + low < -120 || size + low > 127 {
        return None;
    }
    let cut = (size - 24).max(0);
    let (whole, rest) = (sum.unsigned_abs() >> cut, sum.unsigned_abs() & ((1 << cut) - 1));
    let half = if cut > 0 { 1u128 << (cut - 1) } else { 0 };
    let up = cut > 0 && (rest > half || rest == half && whole & 1 == 1);
    let v = (whole + u128::from(up)) as f64 * 2f64.powi(cut + low);
    Some(if sum < 0 { -v as f32 } else { v as f32 })
}

#[test]
fn multiply_add_is_rounded_once() {
    let r = region();
    let all = instances(&wat(), &r);
    let mut dice = Dice(77);
    let mut hard = 0;
    for n in 0..4000 {
        // Close together, so that products and sums cancel and lie in the middle of two floats.
        let mut lane = |spread: i32| {
            let e = 127 + (dice.roll() % spread as u64) as i32 - spread / 2;
            (dice.roll() as u32 & 0x807f_ffff) | (e as u32) << 23
        };
        let mut vector = |spread| (0..4).fold(0, |v, _| v << 32 | u128::from(lane(spread)));
        let (x, y) = (vector(8), vector(8));
        let z = match n % 3 {
            0 => vector(60),
            // Nearly what takes the product away.
            _ => (0..4).fold(0, |v, k| {
                let p = f32s(x)[k] * f32s(y)[k];
                v | u128::from((-p).to_bits() ^ (n & 1) as u32) << (32 * k)
            }),
        };
        for (way, i) in &all {
            let sums = f32s(run(i, "f32x4.relaxed_madd", [x, y, z]));
            let less = f32s(run(i, "f32x4.relaxed_nmadd", [x, y, z]));
            for k in 0..4 {
                let (x, y, z) = (f32s(x)[k], f32s(y)[k], f32s(z)[k]);
                for (x, have) in [(x, sums[k]), (-x, less[k])] {
                    let want = exact_fma(x, y, z);
                    hard += u32::from(want.is_some_and(|w| w != x * y + z));
                    let want = want.unwrap_or_else(|| x.mul_add(y, z));
                    assert_eq!(have.to_bits(), want.to_bits(), "{way}: {x:e} * {y:e} + {z:e}");
                }
            }
            let (xs, ys, zs) = (f64s(x), f64s(y), f64s(z));
            let sums = f64s(run(i, "f64x2.relaxed_madd", [x, y, z]));
            let less = f64s(run(i, "f64x2.relaxed_nmadd", [x, y, z]));
            for k in 0..2 {
                assert_eq!(sums[k].to_bits(), xs[k].mul_add(ys[k], zs[k]).to_bits(), "{way}");
                assert_eq!(less[k].to_bits(), (-xs[k]).mul_add(ys[k], zs[k]).to_bits(), "{way}");
            }
        }
    }
    assert!(hard > 10_000, "{hard} of the sums tell one rounding from two");
}

fn i8s(v: u128) -> [i32; 16] {
    std::array::from_fn(|n| i32::from((v >> (8 * n)) as i8))
}

fn saturated_dot(x: u128, y: u128) -> [i32; 8] {
    let (x, y) = (i8s(x), i8s(y));
    std::array::from_fn(|n| {
        let sum = x[2 * n] * y[2 * n] + x[2 * n + 1] * y[2 * n + 1];
        sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
    })
}

#[test]
fn relaxed_operators_are_what_they_are_documented_to_be() {
    let r = region();
    let all = instances(&wat(), &r);
    let same = [
        ("i8x16.relaxed_swizzle", "i8x16.swizzle"),
        ("i32x4.relaxed_trunc_f32x4_s", "i32x4.trunc_sat_f32x4_s"),
        ("i32x4.relaxed_trunc_f32x4_u", "i32x4.trunc_sat_f32x4_u"),
        ("i32x4.relaxed_trunc_f64x2_s_zero", "i32x4.trunc_sat_f64x2_s_zero"),
        ("i32x4.relaxed_trunc_f64x2_u_zero", "i32x4.trunc_sat_f64x2_u_zero"),
        ("i8x16.relaxed_laneselect", "v128.bitselect"),
        ("i16x8.relaxed_laneselect", "v128.bitselect"),
        ("i32x4.relaxed_laneselect", "v128.bitselect"),
        ("i64x2.relaxed_laneselect", "v128.bitselect"),
        ("f32x4.relaxed_min", "f32x4.min"),
        ("f32x4.relaxed_max", "f32x4.max"),
        ("f64x2.relaxed_min", "f64x2.min"),
        ("f64x2.relaxed_max", "f64x2.max"),
        ("i16x8.relaxed_q15mulr_s", "i16x8.q15mulr_sat_s"),
    ];
    let mut dice = Dice(5);
    for n in 0..400 {
        let mut args = [dice.vector(), dice.vector(), dice.vector()];
        if n % 4 == 0 {
            // The one sum that is too large.
            let lanes = dice.roll() % 8 * 16;
            for arg in &mut args[..2] {
                *arg = *arg & !(0xffff << lanes) | 0x8080 << lanes;
            }
        }
        let [x, y, z] = args;
        for (way, i) in &all {
            for (relaxed, other) in same {
                assert_eq!(run(i, relaxed, args), run(i, other, args), "{way}: {relaxed}");
            }
            let dot = saturated_dot(x, y);
            let want = (0..8).fold(0, |v, n| v | u128::from(dot[n] as u16) << (16 * n));
            let name = "i16x8.relaxed_dot_i8x16_i7x16_s";
            assert_eq!(run(i, name, args), want, "{way}: {name} {x:x} {y:x}");
            let want = (0..4).fold(0, |v, n| {
                let sum = dot[2 * n] + dot[2 * n + 1];
                v | u128::from((sum as u32).wrapping_add((z >> (32 * n)) as u32)) << (32 * n)
            });
            let name = "i32x4.relaxed_dot_i8x16_i7x16_add_s";
            assert_eq!(run(i, name, args), want, "{way}: {name} {x:x} {y:x} {z:x}");
        }
    }
}
