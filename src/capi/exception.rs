//! Exceptions in C: what left a run that ended with one.

use super::args::{array_mut, put_text};
use super::error::border;
use super::handle;
use super::instance::lucet_instance;
use super::raw;
use super::val::lucet_val;
use crate::error::{Error, Status};
use std::ffi::c_char;

/// After LUCET_OUTCOME_EXCEPTION: what the guest threw. The instance is as the guest left it, and
/// can be used on.
///
/// `*len` is the length of the name under which the tag is exported, 0 if it is not; at most `cap`
/// bytes of it are written to `buf`, the terminating NUL included. `*nvalues` is how many values
/// the exception carries; the first `room` of them are written to `values`. `buf` and `values` may
/// be NULL if there is no room in them, `len` and `nvalues` may be NULL.
///
/// LUCET_STATUS_WRONG_STATE if no run of the instance ended with an exception.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_instance_exception(
    instance: *mut lucet_instance,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    values: *mut lucet_val,
    room: usize,
    nvalues: *mut usize,
) -> raw::lucet_status {
    border(|| {
        let exception = handle::instance(instance, "instance")?.exception()?;
        // SAFETY: the header asks for room for `cap` bytes.
        let buf = unsafe { array_mut(buf.cast::<u8>(), cap, "buf") }?;
        if room > 0 && values.is_null() {
            return Err(Error::new(Status::NullArgument, "`values` is NULL"));
        }
        // SAFETY: the header asks for a place for the length, or NULL.
        unsafe { put_text(buf, exception.tag.as_deref().unwrap_or_default().as_bytes(), len) };
        for (i, v) in exception.values.iter().take(room).enumerate() {
            // SAFETY: the header asks for `room` places, of which this is one.
            unsafe { values.add(i).write(lucet_val::new(*v)) };
        }
        if !nvalues.is_null() {
            // SAFETY: not NULL; the header asks for a place for a number then.
            unsafe { nvalues.write(exception.values.len()) };
        }
        Ok(())
    })
}
