//! Backtraces in C.

use super::args::{array_mut, put_text};
use super::error::border;
use super::handle;
use super::instance::lucet_instance;
use super::raw;
use crate::trap::{Frame, FrameKind};
use std::ffi::c_char;

/// What a frame of a backtrace is. Numbers never change; skip unknown ones.
#[repr(i32)]
pub enum lucet_frame_kind {
    /// A function of the module.
    LUCET_FRAME_GUEST = 1,
    /// A host function that the guest called.
    LUCET_FRAME_IMPORT = 2,
    /// lucet at work for the guest: memory.grow, memory.copy and the like.
    LUCET_FRAME_BUILTIN = 3,
    /// Not a frame: `pc` frames are left out here, between the innermost and the outermost.
    LUCET_FRAME_OMITTED = 4,
}

/// One frame of a backtrace. Fields that do not belong to `kind` are 0, or UINT32_MAX.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct lucet_frame {
    /// What it is.
    pub kind: raw::lucet_frame_kind,
    /// GUEST, IMPORT: index of the function; see lucet_instance_function_name.
    pub function: u32,
    /// GUEST: offset in the wasm file of the operator that was executed, of the call in frames of
    /// callers; UINT32_MAX if unknown.
    pub wasm_offset: u32,
    /// 0 in this version.
    pub reserved: u32,
    /// GUEST: offset in the artifact's .text, in bytes, of an address in the instruction.
    pub pc: u64,
}

impl From<&Frame> for lucet_frame {
    fn from(f: &Frame) -> Self {
        use lucet_frame_kind as K;
        let (kind, pc) = match f.kind {
            FrameKind::Guest => (K::LUCET_FRAME_GUEST, f.pc),
            FrameKind::Import => (K::LUCET_FRAME_IMPORT, 0),
            FrameKind::Builtin(_) => (K::LUCET_FRAME_BUILTIN, 0),
            FrameKind::Omitted(n) => (K::LUCET_FRAME_OMITTED, n),
        };
        Self {
            kind: kind as i32,
            function: f.function.unwrap_or(u32::MAX),
            wasm_offset: f.wasm_offset.unwrap_or(u32::MAX),
            reserved: 0,
            pc,
        }
    }
}

/// Whether runs of the instance that trap, fail, are terminated or take too long leave a
/// backtrace. A new instance has the region's setting (lucet_region_config_set_backtrace), which
/// is off unless changed. Off costs nothing. On, a run that ends badly takes some nanoseconds more
/// for each frame, and the first one of an instance allocates about a kilobyte; runs that end well
/// cost what they did.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_instance_set_backtrace(
    instance: *mut lucet_instance,
    on: bool,
) -> raw::lucet_status {
    border(|| handle::instance(instance, "instance")?.set_backtrace(on))
}

/// Where the last run ended, from the inside out: the function that trapped, its caller, and so on
/// to the function that was called from C, through host functions that ran the guest again
/// (lucet_vmctx_run). For a run that was terminated or took too long: what it was doing. For a
/// suspended instance: where it waits, whether backtraces are on or not. Functions that made a tail
/// call have no frame. Of a deep recursion the innermost and the outermost frames are there.
///
/// At most `cap` frames are written; `*len` is the number there is, at most 65. `frames` may be
/// NULL if `cap` is 0. The backtrace is there until the instance runs again, is reset or freed.
///
/// LUCET_STATUS_WRONG_STATE if the last run ended well or backtraces were off.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_instance_backtrace(
    instance: *mut lucet_instance,
    frames: *mut lucet_frame,
    cap: usize,
    len: *mut usize,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for a place for the number.
        let len = unsafe { super::args::Out::new(len, "len", 0) }?;
        super::args::check_room(frames, cap, "frames")?;
        let trace = handle::instance(instance, "instance")?.backtrace()?;
        for (n, f) in trace.frames.iter().take(cap).enumerate() {
            // SAFETY: the header asks for room for `cap` frames, and `n` is less.
            unsafe { frames.add(n).write(f.into()) };
        }
        len.set(trace.frames.len());
        Ok(())
    })
}

/// The backtrace as text for a log, a line for each frame:
///
///        0: parse_header (function 12) at wasm offset 0x1f0
///        1: import env.read (function 0)
///        2: on_request (function 3) at wasm offset 0x2a
///
/// What is not printable in names is escaped, so a line is a line. At most `cap` bytes are written
/// to `buf`, the terminating NUL included; `*len` is the length of the whole text without NUL.
/// `buf` may be NULL if `cap` is 0, and `len` may be NULL.
///
/// As lucet_instance_backtrace.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_instance_write_backtrace(
    instance: *mut lucet_instance,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for room for `cap` bytes.
        let buf = unsafe { array_mut(buf.cast::<u8>(), cap, "buf") }?;
        let text = handle::instance(instance, "instance")?.backtrace()?.to_string();
        // SAFETY: the header asks for a place for the length, or NULL.
        unsafe { put_text(buf, text.as_bytes(), len) };
        Ok(())
    })
}
