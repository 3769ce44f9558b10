//! WASI's functions as compiled code calls them: one C function for each row of `lucet-wasi`'s
//! table, made by the table, so that types and names cannot differ from what is behind them.
//!
//! Each one is a thin border: it turns `ctx` into the control block and calls [`wasi::call`], which
//! knows the instance's context and memory. A panic becomes a host error of this one instance.

use super::{Control, ControlRef, HostCode, ResumeFn};
use crate::error::Status;
use crate::instance::{Fault, set_fault};
use crate::wasi;
use lucet_artifact::ValType;
use lucet_wasi::{Answer, Context, GuestMemory, abi};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a function does with the context and the memory of the instance that called it.
type Body<'a> = &'a mut dyn FnMut(&mut Context, &mut dyn GuestMemory) -> Answer;

/// Runs the body of a function.
fn border(ctx: *const Control, body: Body<'_>) -> u64 {
    // SAFETY: these functions are called by the host thunk, and `resume` by the runtime, with the
    // control block of the calling instance.
    let Some(control) = (unsafe { ControlRef::from_ctx(ctx) }) else { return 0 };
    catch_unwind(AssertUnwindSafe(|| wasi::call(control, body))).unwrap_or_else(|_| {
        set_fault(control, Fault::Fail(Status::Internal as u64));
        0
    })
}

/// Finishes a call that waited, when the guest is resumed.
extern "C" fn resume(ctx: *const Control, _: u64, _: usize) -> u64 {
    border(ctx, &mut |context, memory| abi::resume(context, memory))
}

/// What a yield for WASI names to finish the call.
pub(crate) const RESUME: ResumeFn = resume;

/// One function: its name, its code, its parameters, whether it has a result.
pub(crate) struct Function {
    pub name: &'static str,
    code: *const (),
    pub params: &'static [ValType],
    pub results: &'static [ValType],
}

// SAFETY: the address of a function.
unsafe impl Sync for Function {}

impl Function {
    /// The code, vouched for.
    pub(crate) fn code(&self) -> HostCode {
        // SAFETY: made from the row of the table that the types are made from; a result more than
        // the wasm type has stays in a register that nobody reads.
        unsafe { HostCode::new(self.code.cast()) }
    }
}

macro_rules! word {
    (i32) => {
        u32
    };
    (i64) => {
        u64
    };
}

macro_rules! wasm {
    (i32) => {
        ValType::I32
    };
    (i64) => {
        ValType::I64
    };
}

macro_rules! results {
    (i32) => {
        &[ValType::I32]
    };
    (()) => {
        &[]
    };
}

macro_rules! functions {
    ($($name:ident($($arg:ident: $ty:ident),*) -> $result:tt;)*) => {
        $(extern "C" fn $name(ctx: *const Control, _: usize $(, $arg: word!($ty))*) -> u64 {
            border(ctx, &mut |context, memory| abi::$name(context, memory $(, $arg)*))
        })*

        /// All of them.
        pub(crate) static FUNCTIONS: &[Function] = &[$(Function {
            name: stringify!($name),
            code: $name as *const (),
            params: &[$(wasm!($ty)),*],
            results: results!($result),
        }),*];
    };
}
lucet_wasi::for_each_function!(functions);
