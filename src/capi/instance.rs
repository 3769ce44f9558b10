//! Instances in C: life, calls, memory, globals.

use super::args::{Out, array, array_mut, bytes, put_text, required, text};
use super::error::border;
use super::handle::{self, of_instance};
use super::module::{MODULES, find, lucet_func, lucet_module};
use super::raw;
use super::region::{REGIONS, lucet_region};
use super::status::lucet_outcome;
use super::val::{Call, lucet_val};
use crate::error::{Error, Status};
use crate::instance::{Callee, Ended, Instance};
use std::ffi::{c_char, c_void};

/// One sandbox: a module's code with its own memory, globals and stack, in a slot of a region. Any
/// thread may use it, one at a time: a second one gets LUCET_STATUS_BUSY. A suspended instance may
/// be resumed by another thread than ran it.
pub struct lucet_instance;

/// Creates a fresh instance of `module` in a free slot of `region`, and runs its start function if
/// it has one. `*out` is the instance, or NULL if the call fails. Free it with lucet_instance_free.
/// Takes microseconds: create one for each request. Any thread.
///
/// LUCET_STATUS_REGION_FULL, LUCET_STATUS_LIMIT_EXCEEDED if the module does not fit a slot,
/// LUCET_STATUS_START_FAILED, LUCET_STATUS_OUT_OF_MEMORY, LUCET_STATUS_SIGNALS_BLOCKED.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_instance_create(
    region: *mut lucet_region,
    module: *mut lucet_module,
    out: *mut *mut lucet_instance,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for a place for a handle.
        let out = unsafe { Out::new(out, "out", std::ptr::null_mut()) }?;
        let numbers = REGIONS.number(region).zip(MODULES.number(module));
        let again = numbers.and_then(|(region, module)| Instance::again(region, module));
        let made = match again {
            Some(made) => made?,
            None => {
                let region = REGIONS.get(region, "region")?;
                Instance::new(&region, &MODULES.get(module, "module")?)?
            }
        };
        out.set(of_instance(made.into_ref()));
        Ok(())
    })
}

/// Frees an instance, suspended or not; its slot is free for the next one. Any thread, but not a
/// host function that the instance called.
///
/// LUCET_STATUS_BUSY while it runs, LUCET_STATUS_INVALID_HANDLE if it was freed before.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_instance_free(instance: *mut lucet_instance) -> raw::lucet_status {
    border(|| handle::instance(instance, "instance")?.free())
}

/// Makes an instance as fresh as a new one: memory, globals, tables; the start function runs again.
/// A suspended run is abandoned. What lucet_instance_set_user_data set stays.
///
/// LUCET_STATUS_START_FAILED (the instance is faulted then), LUCET_STATUS_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_instance_reset(instance: *mut lucet_instance) -> raw::lucet_status {
    border(|| handle::instance(instance, "instance")?.reset())
}

/// Looks up an exported function of the instance's module, as lucet_module_find does.
///
/// LUCET_STATUS_BUSY while it runs; otherwise as lucet_module_find.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_instance_find(
    instance: *mut lucet_instance,
    name: *const c_char,
    signature: *const c_char,
    out: *mut lucet_func,
) -> raw::lucet_status {
    border(|| {
        let i = handle::instance(instance, "instance")?;
        // SAFETY: the header asks for NUL-terminated texts and a place for a function.
        unsafe { find(|name, ty| i.find(name, ty), name, signature, out) }
    })
}

/// Calls an exported function by name and returns when it returned, trapped, yielded or was
/// stopped.
///
/// `args` are `nargs` values of exactly the types of its parameters; `results` has room for exactly
/// its `nresults` results, and is written only if the outcome is LUCET_OUTCOME_RETURNED. Either may
/// be NULL if its number is 0. `*outcome` says what the guest did; its kind is 0 if the call fails.
///
///     lucet_val args[2] = {{.of.i32 = 2, .type = LUCET_VAL_I32},
///                          {.of.i32 = 3, .type = LUCET_VAL_I32}}, sum;
///     lucet_outcome outcome;
///     if (lucet_instance_run(instance, "add", args, 2, &sum, 1, &outcome) == LUCET_STATUS_OK &&
///         outcome.kind == LUCET_OUTCOME_RETURNED)
///         printf("%d\n", sum.of.i32);
///
/// LUCET_STATUS_NO_SUCH_EXPORT; LUCET_STATUS_EXPORT_TYPE_MISMATCH if arguments or the number of
/// results do not fit; LUCET_STATUS_WRONG_STATE if the instance is suspended or faulted;
/// LUCET_STATUS_BUSY if it runs already, which includes that a host function called this instead of
/// lucet_vmctx_run; LUCET_STATUS_INVALID_ARGUMENT, LUCET_STATUS_SIGNALS_BLOCKED.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_instance_run(
    instance: *mut lucet_instance,
    name: *const c_char,
    args: *const lucet_val,
    nargs: usize,
    results: *mut lucet_val,
    nresults: usize,
    outcome: *mut lucet_outcome,
) -> raw::lucet_status {
    border(|| {
        let i = handle::instance(instance, "instance")?;
        // SAFETY: the header asks for a NUL-terminated text.
        let name = unsafe { bytes(name, "name") }?;
        let call = Call { args, nargs, results, nresults, out: outcome };
        // SAFETY: the header asks for arrays of these lengths.
        unsafe { call.direct(&i, Callee::Name(name)) }
    })
}

/// Calls a function that lucet_module_find looked up; otherwise as lucet_instance_run.
///
/// LUCET_STATUS_INVALID_ARGUMENT if it was looked up in another module than the instance's.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_instance_run_func(
    instance: *mut lucet_instance,
    func: lucet_func,
    args: *const lucet_val,
    nargs: usize,
    results: *mut lucet_val,
    nresults: usize,
    outcome: *mut lucet_outcome,
) -> raw::lucet_status {
    if let Some(i) = handle::quick_instance(instance) {
        let call = Call { args, nargs, results, nresults, out: outcome };
        // SAFETY: the header asks for arrays of these lengths.
        if let Some(ended) = unsafe { call.shortcut(&i, func.get()) } {
            if !matches!(ended, Ended::Returned) {
                return run_func_ended(outcome, ended);
            }
            // Nothing is in it.
            std::mem::forget(ended);
            return Status::Ok as i32;
        }
    }
    // SAFETY: as above.
    unsafe { run_func_slowly(instance, func, args, nargs, results, nresults, outcome) }
}

/// What is left to do after a shortcut, which was called with a place for the outcome.
#[cold]
fn run_func_ended(outcome: *mut lucet_outcome, ended: Ended) -> raw::lucet_status {
    border(|| Call::finish(outcome, ended))
}

/// The same call on the long way, which also says what is wrong. (With the same parameters: they
/// are where they must be already.)
///
/// # Safety
/// As [`Call::through`].
#[inline(never)]
unsafe extern "C" fn run_func_slowly(
    instance: *mut lucet_instance,
    func: lucet_func,
    args: *const lucet_val,
    nargs: usize,
    results: *mut lucet_val,
    nresults: usize,
    outcome: *mut lucet_outcome,
) -> raw::lucet_status {
    border(|| {
        let i = handle::instance(instance, "instance")?;
        let call = Call { args, nargs, results, nresults, out: outcome };
        // SAFETY: the caller's promise.
        unsafe { call.direct(&i, Callee::Func(func.get())) }
    })
}

/// Continues a suspended instance. `value` goes to the lucet_resume_fn that the host function named
/// when it yielded; if it named none, `value` itself is the result of the guest's call. `results`
/// are those of the function that was run at first: exactly `nresults`, also if it yields again.
///
/// LUCET_STATUS_WRONG_STATE if the instance is not suspended; otherwise as lucet_instance_run.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_instance_resume(
    instance: *mut lucet_instance,
    value: u64,
    results: *mut lucet_val,
    nresults: usize,
    outcome: *mut lucet_outcome,
) -> raw::lucet_status {
    border(|| {
        let i = handle::instance(instance, "instance")?;
        let call = Call { args: std::ptr::null(), nargs: 0, results, nresults, out: outcome };
        // SAFETY: the header asks for an array of this length.
        unsafe { call.resume(&i, value) }
    })
}

/// Copies `len` bytes at `offset` of the instance's memory to `dst`.
///
/// LUCET_STATUS_OUT_OF_BOUNDS if the range is not inside the memory (nothing is copied then),
/// LUCET_STATUS_BUSY while it runs.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_instance_memory_read(
    instance: *mut lucet_instance,
    offset: u64,
    dst: *mut c_void,
    len: usize,
) -> raw::lucet_status {
    border(|| {
        let i = handle::instance(instance, "instance")?;
        // SAFETY: the header asks for room for `len` bytes.
        i.memory_read(offset, unsafe { array_mut(dst.cast::<u8>(), len, "dst") }?)
    })
}

/// Copies `len` bytes from `src` to `offset` of the instance's memory.
///
/// LUCET_STATUS_OUT_OF_BOUNDS if the range is not inside the memory (nothing is copied then),
/// LUCET_STATUS_BUSY while it runs.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_instance_memory_write(
    instance: *mut lucet_instance,
    offset: u64,
    src: *const c_void,
    len: usize,
) -> raw::lucet_status {
    border(|| {
        let i = handle::instance(instance, "instance")?;
        // SAFETY: the header asks for `len` bytes.
        i.memory_write(offset, unsafe { array(src.cast::<u8>(), len, "src") }?)
    })
}

/// The address of `len` bytes at `offset` of the instance's memory, to work on them in place. Valid
/// until the instance runs again, is reset or freed. `*out` is NULL if the call fails.
///
/// LUCET_STATUS_OUT_OF_BOUNDS if the range is not inside the memory, LUCET_STATUS_BUSY while it
/// runs (host functions use lucet_vmctx_memory_range).
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_instance_memory_range(
    instance: *mut lucet_instance,
    offset: u64,
    len: u64,
    out: *mut *mut c_void,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for a place for a pointer.
        let out = unsafe { Out::new(out, "out", std::ptr::null_mut()) }?;
        out.set(handle::instance(instance, "instance")?.memory_range(offset, len)?.cast());
        Ok(())
    })
}

/// The size of the instance's memory in bytes: 0 if it has none.
///
/// LUCET_STATUS_BUSY while it runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_instance_memory_size(
    instance: *mut lucet_instance,
    bytes: *mut u64,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for a place for the size.
        let out = unsafe { Out::new(bytes, "bytes", 0) }?;
        out.set(handle::instance(instance, "instance")?.memory_size()?);
        Ok(())
    })
}

/// A range of an exported memory, for modules with several: the calls above mean the first one.
/// `*out` is its address, as from lucet_instance_memory_range, `*bytes` the size of the memory;
/// both are 0 if the call fails.
///
/// LUCET_STATUS_NO_SUCH_EXPORT, LUCET_STATUS_EXPORT_TYPE_MISMATCH if the export is no memory,
/// LUCET_STATUS_OUT_OF_BOUNDS, LUCET_STATUS_BUSY while it runs.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_instance_exported_memory(
    instance: *mut lucet_instance,
    name: *const c_char,
    offset: u64,
    len: u64,
    out: *mut *mut c_void,
    bytes: *mut u64,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for a place for a pointer.
        let out = unsafe { Out::new(out, "out", std::ptr::null_mut()) }?;
        // SAFETY: the header asks for a place for the size.
        let bytes = unsafe { Out::new(bytes, "bytes", 0) }?;
        // SAFETY: the header asks for a NUL-terminated text.
        let name = unsafe { text(name, "name") }?;
        let i = handle::instance(instance, "instance")?;
        let index = i.exported_memory(name)?;
        let (range, size) = (i.memory_range_of(index, offset, len)?, i.memory_size_of(index)?);
        out.set(range.cast());
        bytes.set(size);
        Ok(())
    })
}

/// The value of an exported global.
///
/// LUCET_STATUS_NO_SUCH_EXPORT, LUCET_STATUS_EXPORT_TYPE_MISMATCH if the export is no global.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_instance_global_get(
    instance: *mut lucet_instance,
    name: *const c_char,
    out: *mut lucet_val,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for a place for a value.
        let out = unsafe { Out::new(out, "out", lucet_val::zero()) }?;
        // SAFETY: the header asks for a NUL-terminated text.
        let name = unsafe { text(name, "name") }?;
        out.set(lucet_val::new(handle::instance(instance, "instance")?.global_get(name)?));
        Ok(())
    })
}

/// Sets an exported mutable global to a value of its type.
///
/// LUCET_STATUS_INVALID_ARGUMENT if it is immutable or of another type; otherwise as
/// lucet_instance_global_get.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_instance_global_set(
    instance: *mut lucet_instance,
    name: *const c_char,
    value: *const lucet_val,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for a NUL-terminated text.
        let name = unsafe { text(name, "name") }?;
        // SAFETY: not NULL, and the header asks for a value.
        let value = unsafe { required(value, "value")?.read() };
        handle::instance(instance, "instance")?.global_set(name, value.get()?)
    })
}

/// Sets the pointer that host functions get from lucet_vmctx_user_data, NULL at first: the request
/// that the instance works for, say. lucet never looks at what it points to.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_instance_set_user_data(
    instance: *mut lucet_instance,
    user_data: *mut c_void,
) -> raw::lucet_status {
    border(|| handle::instance(instance, "instance")?.set_user_data(user_data.expose_provenance()))
}

/// Limits the time that each run and each resume from now on may take, in nanoseconds of a clock
/// that does not jump (CLOCK_MONOTONIC), host functions included; 0 lifts the limit. A new instance
/// has the region's (lucet_region_config_set_time_limit), by default none. A run that takes longer
/// ends with LUCET_OUTCOME_TIMED_OUT: guest code at once, a host function when it returns. Compiled
/// code is not slower for it, and the host's system calls are not interrupted.
///
/// The first limit in a process starts a thread that sleeps while nothing is to be watched. It and
/// lucet_instance_terminate use the signal SIGURG, which must not be blocked in threads that run
/// guests; a handler that was installed before gets what is not meant for guests.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_instance_set_time_limit(
    instance: *mut lucet_instance,
    nanoseconds: u64,
) -> raw::lucet_status {
    border(|| handle::instance(instance, "instance")?.set_time_limit(nanoseconds))
}

/// Gives each run and each resume from now on a slice of time, in nanoseconds of the same clock; 0:
/// no slices, as in a new instance. A run that has used up its slice comes back with
/// LUCET_OUTCOME_PREEMPTED: guest code at once, wherever it is, a host function when it returns.
/// lucet_instance_resume (its value is ignored) continues it with a new slice, on any thread, as
/// if nothing had happened. Meanwhile the instance is in the middle of its work: memory, globals
/// and everything else are LUCET_STATUS_BUSY, but resume, reset, terminate and free work. An
/// instance that belongs to a group keeps all of the group busy.
///
/// Runs inside lucet_vmctx_run are not interrupted, nor is the run around them before they are
/// over. The time limit counts for each slice; lucet_instance_set_cpu_limit bounds all of them
/// together. Compiled code is not slower for it.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_instance_set_time_slice(
    instance: *mut lucet_instance,
    nanoseconds: u64,
) -> raw::lucet_status {
    border(|| handle::instance(instance, "instance")?.set_time_slice(nanoseconds))
}

/// Limits the processor time that a run and all its resumes together may use, in nanoseconds, host
/// functions included; 0 lifts the limit, and is the value of a new instance. A run that uses more
/// ends with LUCET_OUTCOME_TIMED_OUT. Costs two clock reads per run or resume.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_instance_set_cpu_limit(
    instance: *mut lucet_instance,
    nanoseconds: u64,
) -> raw::lucet_status {
    border(|| handle::instance(instance, "instance")?.set_cpu_limit(nanoseconds))
}

/// Limits what the instance's memory may grow to, in bytes, within what its module and region
/// allow: the value of a new instance. All its memories count together. What is larger already
/// stays as it is.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_instance_set_memory_limit(
    instance: *mut lucet_instance,
    bytes: u64,
) -> raw::lucet_status {
    border(|| handle::instance(instance, "instance")?.set_memory_limit(bytes))
}

/// The same for each of its tables, in elements.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_instance_set_table_limit(
    instance: *mut lucet_instance,
    elements: u32,
) -> raw::lucet_status {
    border(|| handle::instance(instance, "instance")?.set_table_limit(elements))
}

/// Limits the stack that the instance's runs may use, in bytes, within what the region gives: the
/// value of a new instance.
///
/// LUCET_STATUS_INVALID_ARGUMENT for less than 16 KiB, LUCET_STATUS_WRONG_STATE while it is
/// suspended.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_instance_set_stack_limit(
    instance: *mut lucet_instance,
    bytes: u64,
) -> raw::lucet_status {
    border(|| handle::instance(instance, "instance")?.set_stack_limit(bytes))
}

/// Ends the run that is going on: it returns LUCET_OUTCOME_TERMINATED to whoever started it, guest
/// code at once, a host function when it returns. A suspended run is abandoned. If nothing runs,
/// nothing happens, and the next run is not affected; so calling it twice, or too late, does no
/// harm.
///
/// May be called from any thread at any time, also while the instance runs: that is what it is for.
///
/// LUCET_STATUS_BUSY for a suspended member of a group of which another member runs: terminate that
/// one.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_instance_terminate(instance: *mut lucet_instance) -> raw::lucet_status {
    border(|| handle::instance(instance, "instance")?.terminate())
}

/// The name of a function by its index, as lucet_outcome has it: for logs. At most `cap` bytes are
/// written to `buf`, the terminating NUL included; `*len` is the length of the whole name without
/// NUL, 0 if the function has none. `buf` may be NULL if `cap` is 0, and `len` may be NULL.
///
/// The name comes from the module, so it may be anything: escape it where that matters.
///
/// LUCET_STATUS_INVALID_ARGUMENT if there is no such function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_instance_function_name(
    instance: *mut lucet_instance,
    function: u32,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> raw::lucet_status {
    border(|| {
        let module = handle::instance(instance, "instance")?.module()?;
        // SAFETY: the header asks for room for `cap` bytes.
        let buf = unsafe { array_mut(buf.cast::<u8>(), cap, "buf") }?;
        let all = module.loaded().funcs.funcs.len();
        if function as usize >= all {
            let message = format!("there is no function {function}; the module has {all}");
            return Err(Error::new(Status::InvalidArgument, message));
        }
        let name = module.func_name(function).unwrap_or_default().as_bytes();
        // SAFETY: the header asks for a place for the length, or NULL.
        unsafe { put_text(buf, name, len) };
        Ok(())
    })
}
