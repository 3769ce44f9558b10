//! Host functions of the library's own: their wasm type follows from their Rust type, so the two
//! cannot differ, and they need no unsafe code.
//!
//! ```text
//!  extern "C" fn(&Control, usize, u32, u64) -> u32   is   (i32, i64) -> i32
//! ```

use super::{Control, ControlRef, HostCode, ResumeFn};
use crate::instance::Vmctx;
use lucet_artifact::{FuncType, ValType};
use std::marker::PhantomData;

/// What may be a parameter or a result.
pub(crate) trait Word {
    /// Its type in wasm; `None` for no result.
    const TYPE: Option<ValType>;
}

impl Word for () {
    const TYPE: Option<ValType> = None;
}

impl Word for u32 {
    const TYPE: Option<ValType> = Some(ValType::I32);
}

impl Word for u64 {
    const TYPE: Option<ValType> = Some(ValType::I64);
}

/// A function that guests may call.
pub(crate) trait Typed {
    /// Its type and its address.
    fn host(self) -> (FuncType, HostCode);
}

macro_rules! typed {
    ($($param:ident)*) => {
        impl<$($param: Word,)* R: Word> Typed for extern "C" fn(&Control, usize, $($param),*) -> R {
            fn host(self) -> (FuncType, HostCode) {
                let params: [Option<ValType>; _] = [$($param::TYPE,)*];
                let params = params.into_iter().flatten().collect();
                let results = R::TYPE.into_iter().collect();
                // SAFETY: the C type of these types is the one that belongs to the wasm type, the
                // thunk passes the control block, which is never unmapped, and a Rust function
                // neither unwinds out of `extern "C"` nor goes away.
                let code = unsafe { HostCode::new(self as *const std::ffi::c_void) };
                (FuncType { params, results }, code)
            }
        }
    };
}

typed!();
typed!(A);
typed!(A B);
typed!(A B C);
typed!(A B C D);
typed!(A B C D E);
typed!(A B C D E F);
typed!(A B C D E F G);

/// A function of that kind that finishes a host call.
pub(crate) fn resume_fn(f: extern "C" fn(&Control, u64, usize) -> u64) -> ResumeFn {
    // SAFETY: the two types differ in how the control block is named; who calls it passes one.
    unsafe { std::mem::transmute::<extern "C" fn(&Control, u64, usize) -> u64, ResumeFn>(f) }
}

impl Vmctx {
    /// The calling instance of a host function, which was given its control block.
    pub(crate) fn of(control: &Control) -> Self {
        // SAFETY: control blocks are never unmapped, so each lives for ever.
        let control: &'static Control = unsafe { &*std::ptr::from_ref(control) };
        Self(ControlRef(control), PhantomData)
    }
}
