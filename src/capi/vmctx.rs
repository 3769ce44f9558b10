//! What host functions do with the instance that called them, in C.

use super::args::{Out, bytes};
use super::error::{border, border_or};
use super::handle::{kind_of, of_instance};
use super::instance::lucet_instance;
use super::module::{lent, lucet_drop_fn, lucet_func};
use super::raw;
use super::status::{lucet_outcome, trap_code};
use super::val::{Call, lucet_val};
use crate::error::{Error, Result, Status};
use crate::instance::{Callee, Vmctx};
use crate::vmctx::{Control, ResumeFn};
use std::ffi::{c_char, c_void};

/// The instance that called a host function. Valid in that call of the host function (or
/// lucet_resume_fn), on the thread it was called on, and nowhere else. Other than a handle it must
/// really be what the host function was given.
pub struct lucet_vmctx;

/// Finishes a host function's work when the guest is resumed: the guest's call returns what this
/// returns. `resume_value` is what lucet_instance_resume was given, `state` what lucet_vmctx_yield
/// was. It may do all that a host function may, yield again included; then what it returns is
/// ignored. A float result is returned as the bits of it. If the host function has an out-pointer
/// for results, that stays valid meanwhile: pass it on in `state`.
pub type lucet_resume_fn = Option<
    unsafe extern "C" fn(ctx: *mut lucet_vmctx, resume_value: u64, state: *mut c_void) -> u64,
>;

/// The calling instance.
///
/// # Safety
/// `ctx` is NULL, a handle, or what the header asks for.
#[inline]
pub(super) unsafe fn caller(ctx: *mut lucet_vmctx) -> Result<Vmctx> {
    // Control blocks are aligned, handles are not.
    if !ctx.addr().is_multiple_of(align_of::<Control>()) {
        return Err(no_context(ctx));
    }
    // SAFETY: the caller's promise.
    match unsafe { Vmctx::from_raw(ctx.cast::<Control>()) } {
        Some(caller) if caller.is_running() => Ok(caller),
        other => Err(not_running(other)),
    }
}

#[cold]
fn no_context(ctx: *mut lucet_vmctx) -> Error {
    let message = match kind_of(ctx) {
        Some(kind) => {
            format!("`ctx` is a {kind} handle; the host function's context was expected")
        }
        None => "`ctx` is not what the host function was called with".to_owned(),
    };
    Error::new(Status::InvalidHandle, message)
}

#[cold]
fn not_running(caller: Option<Vmctx>) -> Error {
    match caller {
        None => Error::new(Status::NullArgument, "`ctx` is NULL"),
        Some(caller) if caller.is_forked() => crate::error::forked("the instance"),
        Some(_) => {
            let message = "the host function that `ctx` was given to has returned";
            Error::new(Status::WrongState, message)
        }
    }
}

/// The calling instance. It is running, so functions that take it are LUCET_STATUS_BUSY until the
/// run is over. NULL if `ctx` is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_vmctx_instance(ctx: *mut lucet_vmctx) -> *mut lucet_instance {
    border_or(std::ptr::null_mut(), || {
        // SAFETY: the header asks for the host function's context.
        Ok(of_instance(unsafe { caller(ctx) }?.instance()))
    })
}

/// The pointer that lucet_instance_set_user_data set, which belongs to the instance (the host
/// function's own comes as its second parameter). NULL if none was set, or `ctx` is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_vmctx_user_data(ctx: *mut lucet_vmctx) -> *mut c_void {
    border_or(std::ptr::null_mut(), || {
        // SAFETY: the header asks for the host function's context.
        Ok(std::ptr::with_exposed_provenance_mut(unsafe { caller(ctx) }?.user_data()))
    })
}

/// The address of `len` bytes at `offset` of the caller's memory. A guest's addresses and lengths
/// are claims: this is how to check them. Valid until the host function returns or runs the guest.
/// `*out` is NULL if the call fails.
///
///     static void host_log(lucet_vmctx *ctx, void *user_data, int32_t address, int32_t len)
///     {
///         void *text;
///         if (lucet_vmctx_memory_range(ctx, (uint32_t)address, (uint32_t)len, &text) !=
///             LUCET_STATUS_OK) {
///             lucet_vmctx_trap(ctx, LUCET_TRAP_MEMORY_OUT_OF_BOUNDS);
///             return;
///         }
///         fwrite(text, 1, (uint32_t)len, user_data);
///     }
///
/// LUCET_STATUS_OUT_OF_BOUNDS.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_vmctx_memory_range(
    ctx: *mut lucet_vmctx,
    offset: u64,
    len: u64,
    out: *mut *mut c_void,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for a place for a pointer.
        let out = unsafe { Out::new(out, "out", std::ptr::null_mut()) }?;
        // SAFETY: the header asks for the host function's context.
        out.set(unsafe { caller(ctx) }?.memory_range(offset, len)?.cast());
        Ok(())
    })
}

/// The size of the caller's memory in bytes: 0 if it has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_vmctx_memory_size(
    ctx: *mut lucet_vmctx,
    bytes: *mut u64,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for a place for the size.
        let out = unsafe { Out::new(bytes, "bytes", 0) }?;
        // SAFETY: the header asks for the host function's context.
        out.set(unsafe { caller(ctx) }?.memory_size());
        Ok(())
    })
}

/// Notes that this call gave the guest something that must not be the same in each instance of a
/// snapshot. For functions that do so only sometimes; mark those that always do with
/// lucet_module_config_mark_impure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_vmctx_mark_impure(ctx: *mut lucet_vmctx) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for the host function's context.
        unsafe { caller(ctx) }?.mark_impure();
        Ok(())
    })
}

/// Suspends the guest when the host function returns, instead of blocking the thread: the run ends
/// with LUCET_OUTCOME_YIELDED and `value`. What the host function returns is ignored. `resume`
/// gives the guest's call its result when lucet_instance_resume is called; NULL means that the
/// value given there is the result. `state` is handed to `resume`, and must live until then.
///
/// LUCET_STATUS_NESTED_YIELD inside a nested run or a start function; LUCET_STATUS_WRONG_STATE if
/// the host function has decided to yield or to stop the guest already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_vmctx_yield(
    ctx: *mut lucet_vmctx,
    value: u64,
    resume: lucet_resume_fn,
    state: *mut c_void,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the two types differ in what pointers point to and in that the word `state` is a
        // pointer, which is the same to a C function.
        let resume: Option<ResumeFn> = unsafe { std::mem::transmute(resume) };
        // SAFETY: the header asks for the host function's context.
        unsafe { caller(ctx) }?.yield_value(value, resume, state.expose_provenance())
    })
}

/// Says what becomes of the `state` of a yield that is never resumed, because the instance is
/// reset, freed or terminated. Then `abandoned(state)` is called once, instead of the
/// lucet_resume_fn, on the thread that ends it. It may release what `state` holds, and not use the
/// instance. To be called after lucet_vmctx_yield, each time, in the same host function.
///
/// LUCET_STATUS_WRONG_STATE if it did not yield, or without a `resume`; nothing is called then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_vmctx_on_abandon(
    ctx: *mut lucet_vmctx,
    abandoned: lucet_drop_fn,
    state: *mut c_void,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for the host function's context.
        let caller = unsafe { caller(ctx) }?;
        // SAFETY: the header asks for a function that may be called with it.
        caller.on_abandon(unsafe { lent(abandoned, state, "abandoned") }?)
    })
}

/// Makes the guest trap with `code` when the host function returns.
///
/// LUCET_STATUS_WRONG_STATE if the host function has decided on another end already;
/// LUCET_STATUS_INVALID_ARGUMENT if there is no such trap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_vmctx_trap(
    ctx: *mut lucet_vmctx,
    code: raw::lucet_trap_code,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for the host function's context.
        let caller = unsafe { caller(ctx) }?;
        let code = trap_code(code).ok_or_else(|| {
            Error::new(Status::InvalidArgument, format!("{code} is not a lucet_trap_code"))
        })?;
        caller.trap(code)
    })
}

/// Ends the run with LUCET_OUTCOME_HOST_ERROR and `code` when the host function returns: something
/// went wrong on the host's side, and the guest cannot go on.
///
/// LUCET_STATUS_WRONG_STATE if the host function has decided on another end already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_vmctx_fail(ctx: *mut lucet_vmctx, code: u64) -> raw::lucet_status {
    // SAFETY: the header asks for the host function's context.
    border(|| unsafe { caller(ctx) }?.fail(code))
}

/// Ends the run with LUCET_OUTCOME_EXITED and `code` when the host function returns: the guest
/// asked for it, as with exit() in C.
///
/// LUCET_STATUS_WRONG_STATE if the host function has decided on another end already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_vmctx_exit(ctx: *mut lucet_vmctx, code: u64) -> raw::lucet_status {
    // SAFETY: the header asks for the host function's context.
    border(|| unsafe { caller(ctx) }?.exit(code))
}

/// Ends the run with LUCET_OUTCOME_TERMINATED when the host function returns: the host does not
/// want it any more.
///
/// LUCET_STATUS_WRONG_STATE if the host function has decided on another end already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_vmctx_terminate(ctx: *mut lucet_vmctx) -> raw::lucet_status {
    // SAFETY: the header asks for the host function's context.
    border(|| unsafe { caller(ctx) }?.terminate())
}

/// Calls an exported function of the calling instance from inside the host function: a nested run,
/// on the same guest stack. Parameters as in lucet_instance_run. Host functions called by it may
/// not yield. If it ends in any other way than returning, the run around it ends in the same way
/// when this host function returns.
///
/// LUCET_STATUS_NO_SUCH_EXPORT, LUCET_STATUS_EXPORT_TYPE_MISMATCH; LUCET_STATUS_WRONG_STATE if the
/// host function has decided to yield or to stop the guest already; LUCET_STATUS_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_vmctx_run(
    ctx: *mut lucet_vmctx,
    name: *const c_char,
    args: *const lucet_val,
    nargs: usize,
    results: *mut lucet_val,
    nresults: usize,
    outcome: *mut lucet_outcome,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for the host function's context.
        let caller = unsafe { caller(ctx) }?;
        // SAFETY: the header asks for a NUL-terminated text.
        let name = unsafe { bytes(name, "name") }?;
        let call = Call { args, nargs, results, nresults, out: outcome };
        // SAFETY: the header asks for arrays of these lengths.
        unsafe { call.through(|args, results| caller.run_into(Callee::Name(name), args, results)) }
    })
}

/// Calls a function that lucet_module_find looked up; otherwise as lucet_vmctx_run.
///
/// LUCET_STATUS_INVALID_ARGUMENT if it was looked up in another module than the instance's.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_vmctx_run_func(
    ctx: *mut lucet_vmctx,
    func: lucet_func,
    args: *const lucet_val,
    nargs: usize,
    results: *mut lucet_val,
    nresults: usize,
    outcome: *mut lucet_outcome,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for the host function's context.
        let caller = unsafe { caller(ctx) }?;
        let call = Call { args, nargs, results, nresults, out: outcome };
        let callee = Callee::Func(func.get());
        // SAFETY: the header asks for arrays of these lengths.
        unsafe { call.through(|args, results| caller.run_into(callee, args, results)) }
    })
}
