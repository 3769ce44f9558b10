//! Linear memory: growing it, bulk operations, and what the host may see of it.
//!
//! Sizes come from the instance's own record, never from instance data. A memory's base is its
//! owner's `vmctx`, and the bytes from there up to the recorded size are readable and writable as
//! long as the owner lives: the invariant behind each `SAFETY` line here.

use super::Fault;
use super::deadline::{self, Wish};
use crate::error::{Error, Result, Status};
use crate::region::GrowthKind;
use crate::vmctx::ControlRef;
use lucet_artifact::abi::TrapCode;
use lucet_artifact::layout;
use lucet_artifact::limits::WASM_PAGE;

/// The instance that owns memory `index` of `control`'s instance.
fn owner(control: ControlRef, index: u32) -> ControlRef {
    debug_assert_eq!(index, 0, "one memory in this version");
    control.with(|i| i.memory_owner).unwrap_or(control)
}

/// Size in bytes of memory `index`.
pub(crate) fn size(control: ControlRef, index: u32) -> u64 {
    owner(control, index).with(|i| i.memory_bytes)
}

/// `memory.grow`: the old size in pages, or -1.
pub(crate) fn grow(control: ControlRef, index: u32, delta: u64) -> u64 {
    let owner = owner(control, index);
    let (old, limit) = owner.with(|i| (i.memory_bytes, i.memory_limit));
    let new = delta.checked_mul(WASM_PAGE).and_then(|d| old.checked_add(d));
    let Some(new) = new.filter(|n| *n <= limit || *n == old) else { return u64::MAX };
    if !super::limits::may_grow(owner, GrowthKind::Memory, old, new) {
        return u64::MAX;
    }
    owner.with(|i| {
        let (region, slot) = (&i.region, &mut i.slot);
        // Who was asked may have let the guest grow it meanwhile.
        if i.memory_bytes != old || region.grow(slot, new).is_err() {
            return u64::MAX;
        }
        i.memory_bytes = new;
        i.memory_touched = new;
        i.data.set_u64(layout::MEMORY0_BYTES, new);
        old / WASM_PAGE
    })
}

/// Base and size of memory `index`.
fn extent(control: ControlRef, index: u32) -> (usize, u64) {
    owner(control, index).with(|i| (i.data.vmctx(), i.memory_bytes))
}

fn checked(base: usize, size: u64, at: u64, n: u64) -> Option<usize> {
    let end = at.checked_add(n)?;
    (end <= size).then(|| base + at as usize)
}

fn trap_if_none(at: Option<usize>) -> std::result::Result<usize, Fault> {
    at.ok_or(Fault::Trap(TrapCode::MemoryOutOfBounds))
}

/// `memory.copy`.
pub(crate) fn copy(
    control: ControlRef,
    dst: u32,
    src: u32,
    d: u64,
    s: u64,
    n: u64,
) -> std::result::Result<(), Fault> {
    let (dst_base, dst_size) = extent(control, dst);
    let (src_base, src_size) = extent(control, src);
    let from = trap_if_none(checked(src_base, src_size, s, n))?;
    let to = trap_if_none(checked(dst_base, dst_size, d, n))?;
    // Towards higher addresses a copy begins at its end, so that no chunk overwrites the next.
    let backwards = to > from;
    let rest = |done: usize| {
        let n = n - done as u64;
        // From the end, what is left lies at the beginning.
        let skip = if backwards { 0 } else { done as u64 };
        Rest::Copy { dst, src, d: d + skip, s: s + skip, n }
    };
    chunks(n as usize, backwards, rest, |at, len| {
        // SAFETY: both ranges lie inside their memories, see the module's comment.
        unsafe { std::ptr::copy((from + at) as *const u8, (to + at) as *mut u8, len) };
    })
}

/// Bytes that a bulk operation treats before it asks whether the run is to end.
const CHUNK: usize = 128 << 10;

/// What is left to do of a bulk operation whose run was interrupted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rest {
    /// `memory.copy`: memories, addresses, length.
    Copy { dst: u32, src: u32, d: u64, s: u64, n: u64 },
    /// `memory.fill`: memory, address, value, length.
    Fill { memory: u32, d: u64, value: u8, n: u64 },
}

/// Continues a bulk operation.
pub(super) fn proceed(control: ControlRef, rest: Rest) -> std::result::Result<(), Fault> {
    match rest {
        Rest::Copy { dst, src, d, s, n } => copy(control, dst, src, d, s, n),
        Rest::Fill { memory, d, value, n } => fill(control, memory, d, value, n),
    }
}

/// Calls `f(offset, length)` for each chunk of `n` bytes, from the end if `backwards`; stops when
/// the run is to end or to be interrupted. `rest` says what is left after so many bytes.
fn chunks(
    n: usize,
    backwards: bool,
    rest: impl Fn(usize) -> Rest,
    mut f: impl FnMut(usize, usize),
) -> std::result::Result<(), Fault> {
    let mut done = 0;
    while done < n {
        let len = (n - done).min(CHUNK);
        f(if backwards { n - done - len } else { done }, len);
        done += len;
        if done < n {
            match deadline::wish() {
                Wish::GoOn => {}
                Wish::End => return Err(Fault::Interrupted),
                Wish::Pause => return Err(Fault::Paused(rest(done))),
            }
        }
    }
    Ok(())
}

/// `memory.fill`.
pub(crate) fn fill(
    control: ControlRef,
    memory: u32,
    d: u64,
    value: u8,
    n: u64,
) -> std::result::Result<(), Fault> {
    let (base, size) = extent(control, memory);
    let to = trap_if_none(checked(base, size, d, n))?;
    let rest = |done: usize| {
        let done = done as u64;
        Rest::Fill { memory, d: d + done, value, n: n - done }
    };
    chunks(n as usize, false, rest, |at, len| {
        // SAFETY: the range lies inside the memory, see the module's comment.
        unsafe { std::ptr::write_bytes((to + at) as *mut u8, value, len) };
    })
}

/// `memory.init`, and active segments at instantiation.
pub(crate) fn init(
    control: ControlRef,
    memory: u32,
    segment: u32,
    d: u64,
    s: u64,
    n: u64,
) -> std::result::Result<(), Fault> {
    let module = control.with(|i| (!i.data_dropped(segment)).then(|| i.module.clone()));
    let bytes = module.as_ref().and_then(|m| m.data_segment(segment)).unwrap_or_default();
    init_with(control, memory, bytes, d, s, n)
}

/// Copies `n` bytes at `s` of a segment's bytes to `d`.
pub(super) fn init_with(
    control: ControlRef,
    memory: u32,
    bytes: &[u8],
    d: u64,
    s: u64,
    n: u64,
) -> std::result::Result<(), Fault> {
    let (base, size) = extent(control, memory);
    let from = s
        .checked_add(n)
        .and_then(|end| bytes.get(s as usize..usize::try_from(end).ok()?))
        .ok_or(Fault::Trap(TrapCode::MemoryOutOfBounds))?;
    let to = trap_if_none(checked(base, size, d, n))?;
    // SAFETY: the target lies inside the memory, see the module's comment; the source is a file
    // mapping, which does not overlap it.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to as *mut u8, from.len()) };
    Ok(())
}

/// Address of a range of memory 0, every page of which is there: the kernel may be given it.
pub(crate) fn range(control: ControlRef, offset: u64, len: u64) -> Result<*mut u8> {
    crate::trap::prepare_thread()?;
    let (base, size) = extent(control, 0);
    match checked(base, size, offset, len) {
        Some(at) => {
            owner(control, 0).with(|i| i.region.make_resident(&i.slot, offset, len));
            Ok(at as *mut u8)
        }
        None => Err(Error::new(
            Status::OutOfBounds,
            format!("{len} bytes at offset {offset} lie outside a memory of {size} bytes"),
        )),
    }
}

/// Copies bytes out.
pub(crate) fn read(control: ControlRef, offset: u64, to: &mut [u8]) -> Result<()> {
    let from = range(control, offset, to.len() as u64)?;
    // SAFETY: the range lies inside the memory. The two may overlap: C hosts may pass an address
    // inside the guest.
    unsafe { std::ptr::copy(from, to.as_mut_ptr(), to.len()) };
    Ok(())
}

/// Copies bytes in.
pub(crate) fn write(control: ControlRef, offset: u64, from: &[u8]) -> Result<()> {
    let to = range(control, offset, from.len() as u64)?;
    // SAFETY: as in `read`.
    unsafe { std::ptr::copy(from.as_ptr(), to, from.len()) };
    Ok(())
}

/// Makes the instance data of the `size` bytes below `vmctx` of a slot that the caller owns and
/// whose private bytes the region opened.
pub(super) fn instance_data(slot: &crate::region::Slot, size: u32) -> crate::vmctx::InstanceData {
    // SAFETY: `Region::prepare` made the private bytes below `vmctx` readable and writable, and
    // `Region::check_fit` ensured that `size` fits into them; the slot is owned by the instance.
    unsafe { crate::vmctx::InstanceData::new(slot.vmctx, size) }
}
