//! Checks of parameters: pointers, texts and arrays from C. Everything unsafe about them is here;
//! the promise behind each `SAFETY` line is the header's: a pointer that is not NULL points to what
//! its type and the length beside it say, until the call returns.

use crate::error::{Error, Result, Status};
use std::ffi::{CStr, OsStr, c_char};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;

fn null(param: &str) -> Error {
    Error::new(Status::NullArgument, format!("`{param}` is NULL"))
}

/// A place for something to be written to.
#[derive(Debug)]
pub(super) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// Takes an out-parameter and writes what it holds if the call fails.
    ///
    /// # Safety
    /// `p` is NULL or a place for a `T`.
    pub(super) unsafe fn new(p: *mut T, param: &str, on_failure: T) -> Result<Self> {
        let out = Self(NonNull::new(p).ok_or_else(|| null(param))?);
        out.set(on_failure);
        Ok(out)
    }

    /// Writes the result.
    pub(super) fn set(&self, value: T) {
        // SAFETY: the promise given to `new`; what was there is plain data and needs no drop.
        unsafe { self.0.as_ptr().write(value) };
    }
}

/// A pointer that must not be NULL.
pub(super) fn required<T>(p: *const T, param: &str) -> Result<*const T> {
    if p.is_null() { Err(null(param)) } else { Ok(p) }
}

/// A NUL-terminated text.
///
/// # Safety
/// `p` is NULL or a NUL-terminated string that nobody changes meanwhile.
pub(super) unsafe fn text<'a>(p: *const c_char, param: &str) -> Result<&'a str> {
    // SAFETY: not NULL, and the caller's promise.
    let bytes = unsafe { CStr::from_ptr(required(p, param)?) };
    bytes
        .to_str()
        .map_err(|_| Error::new(Status::InvalidArgument, format!("`{param}` is not UTF-8")))
}

/// A NUL-terminated text as bytes, for a look-up that finds nothing if they are not UTF-8.
///
/// # Safety
/// As [`text`].
pub(super) unsafe fn bytes<'a>(p: *const c_char, param: &str) -> Result<&'a [u8]> {
    // SAFETY: not NULL, and the caller's promise.
    Ok(unsafe { CStr::from_ptr(required(p, param)?) }.to_bytes())
}

/// A path.
///
/// # Safety
/// As [`text`].
pub(super) unsafe fn path<'a>(p: *const c_char, param: &str) -> Result<&'a Path> {
    // SAFETY: not NULL, and the caller's promise.
    let bytes = unsafe { CStr::from_ptr(required(p, param)?) };
    if bytes.is_empty() {
        return Err(Error::new(Status::InvalidArgument, format!("`{param}` is empty")));
    }
    Ok(Path::new(OsStr::from_bytes(bytes.to_bytes())))
}

/// An open file.
///
/// # Safety
/// Nobody closes it meanwhile. A number that is no open file is a status of whoever uses it.
pub(super) unsafe fn descriptor<'a>(fd: i32, param: &str) -> Result<BorrowedFd<'a>> {
    if fd < 0 {
        let message = format!("`{param}` is {fd}, which is no descriptor");
        return Err(Error::new(Status::InvalidArgument, message));
    }
    // SAFETY: not -1, and the caller's promise.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// An array to read; NULL is fine if it has no elements.
///
/// # Safety
/// `p` is NULL or points to `len` initialized elements that nobody changes meanwhile.
#[inline(always)]
pub(super) unsafe fn array<'a, T>(p: *const T, len: usize, param: &str) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: the caller's promise.
    unsafe { elements(p, len, param) }
}

/// # Safety
/// As [`array`].
unsafe fn elements<'a, T>(p: *const T, len: usize, param: &str) -> Result<&'a [T]> {
    check_len::<T>(len, param)?;
    // SAFETY: not NULL, not longer than an allocation can be, and the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(required(p, param)?, len) })
}

/// An array to write; NULL is fine if it has no elements.
///
/// # Safety
/// `p` is NULL or points to `len` elements that nobody else uses meanwhile.
pub(super) unsafe fn array_mut<'a, T>(p: *mut T, len: usize, param: &str) -> Result<&'a mut [T]> {
    if len == 0 {
        return Ok(&mut []);
    }
    check_len::<T>(len, param)?;
    required(p, param)?;
    // SAFETY: not NULL, not longer than an allocation can be, and the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts_mut(p, len) })
}

/// Writes a text for C: as much of it as fits, a NUL, and to `len`, unless it is NULL, how long all
/// of it is. A character is not cut in two.
///
/// # Safety
/// `len` is NULL or a place for a number.
pub(super) unsafe fn put_text(buf: &mut [u8], text: &[u8], len: *mut usize) {
    if let Some(room) = buf.len().checked_sub(1) {
        let mut n = text.len().min(room);
        while n < text.len() && text[n] & 0xc0 == 0x80 {
            n -= 1;
        }
        buf[..n].copy_from_slice(&text[..n]);
        buf[n] = 0;
    }
    if !len.is_null() {
        // SAFETY: not NULL, and the caller's promise.
        unsafe { len.write(text.len()) };
    }
}

/// Whether there can be room for `cap` elements.
pub(super) fn check_room<T>(p: *mut T, cap: usize, param: &str) -> Result<()> {
    if cap > 0 {
        check_len::<T>(cap, param)?;
        required(p, param)?;
    }
    Ok(())
}

fn check_len<T>(len: usize, param: &str) -> Result<()> {
    if len > isize::MAX as usize / size_of::<T>() {
        let message = format!("`{param}` cannot have {len} elements; is the length negative?");
        return Err(Error::new(Status::InvalidArgument, message));
    }
    Ok(())
}
