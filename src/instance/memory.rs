//! Linear memory: growing it, bulk operations, and what the host may see of it.
//!
//! An own memory 0 lies in the slot, further own ones in a reservation of their own
//! ([`crate::region::Further`]), imported ones belong to other members of the group:
//!
//! ```text
//!  index        0        1         2        3
//!  alone        slot     further 0 further 1 …
//!  imports two  owner's  owner's   further 0 further 1
//! ```
//!
//! Sizes come from the owner's own record, never from instance data. The bytes from a memory's base
//! up to the recorded size are readable and writable as long as the owner lives: the invariant
//! behind each `SAFETY` line here.

use super::deadline::{self, Wish};
use super::{Fault, Inner};
use crate::error::{Error, Result, Status};
use crate::region::{Further, GrowthKind};
use crate::vmctx::ControlRef;
use lucet_artifact::abi::{TrapCode, memory_desc};
use lucet_artifact::contract::MemoryDecl;
use lucet_artifact::layout;
use lucet_artifact::limits::WASM_PAGE;
use lucet_wasi::{Errno, GuestMemory};

/// Where a memory lies in its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the slot: an own memory 0. An instance without one has a memory of no bytes there.
    Slot,
    /// The further memory with this number.
    Further(usize),
}

/// Memories of an instance that do not lie in its slot.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// Owners of the imported ones, once they are linked.
    pub imported: Vec<Option<(ControlRef, Place)>>,
    pub further: Option<Further>,
}

impl Others {
    /// Those of a module with these memories, if it has any; `further` of its own.
    pub(super) fn new(memories: &[MemoryDecl], further: Option<Further>) -> Option<Box<Self>> {
        let imported = memories.iter().take_while(|m| m.is_imported()).count();
        let any = imported > 0 || further.is_some();
        any.then(|| Box::new(Self { imported: vec![None; imported], further }))
    }

    /// Owner and place of memory `index`.
    fn find(&self, own: ControlRef, index: usize) -> (ControlRef, Place) {
        match self.imported.get(index) {
            Some(Some(found)) => *found,
            // Not linked yet: its instance has no bytes in the slot.
            Some(None) => (own, Place::Slot),
            None => match index.checked_sub(self.imported.len().max(1)) {
                Some(n) => (own, Place::Further(n)),
                None => (own, Place::Slot),
            },
        }
    }
}

/// Owner and place of memory `index` of `control`'s instance.
pub(super) fn find(control: ControlRef, index: u32) -> (ControlRef, Place) {
    control.with(|i| match &i.others {
        None => (control, Place::Slot),
        Some(others) => others.find(control, index as usize),
    })
}

impl Inner {
    /// Base and size of an own memory.
    fn extent_of(&self, place: Place) -> (usize, u64) {
        match (place, self.further()) {
            (Place::Slot, _) => (self.data.vmctx(), self.memory_bytes),
            (Place::Further(n), Some(all)) => all.extent(n),
            (Place::Further(_), None) => (0, 0),
        }
    }

    /// The size of an own memory.
    pub(super) fn size_of(&self, place: Place) -> u64 {
        self.extent_of(place).1
    }

    pub(super) fn further(&self) -> Option<&Further> {
        self.others.as_ref()?.further.as_ref()
    }

    /// Bytes that all own memories have.
    fn all_bytes(&self) -> u64 {
        self.memory_bytes + self.further().map_or(0, Further::total)
    }

    /// What the contract says of an own memory.
    pub(super) fn declared(&self, place: Place) -> Option<&MemoryDecl> {
        match place {
            Place::Slot => self.module.own_memory(),
            Place::Further(n) => self.module.loaded.contract.further_memories().get(n),
        }
    }

    /// Offset of an own memory's descriptor in instance data.
    pub(super) fn descriptor(&self, place: Place) -> i32 {
        match place {
            Place::Slot => layout::MEMORY0_BASE,
            Place::Further(n) => self.module.loaded.layout.further_memory(n as u32),
        }
    }

    /// Fills further memories, which are empty, and tells compiled code of all memories of the
    /// instance's own.
    pub(super) fn begin_further(&self) {
        let Some(further) = self.further() else { return };
        let first = self.module.loaded.contract.imported_memories().max(1);
        for n in 0..further.len() {
            further.load(n, &self.module.further_image(n));
            let (base, bytes) = further.extent(n);
            let at = self.descriptor(Place::Further(n));
            self.data.set_u64(at + memory_desc::BASE as i32, base as u64);
            self.data.set_u64(at + memory_desc::BYTES as i32, bytes);
            let descriptor = self.data.address(at, memory_desc::SIZE as usize) as u64;
            let index = (first + n) as u32;
            self.data.set_u64(self.module.loaded.layout.memory(index), descriptor);
        }
    }

    /// Empties further memories after use.
    pub(super) fn end_further(&mut self) -> Result<()> {
        match self.others.as_mut().and_then(|o| o.further.as_mut()) {
            Some(further) => further.empty(),
            None => Ok(()),
        }
    }

    /// Makes an own memory `bytes` long.
    fn set_size(&mut self, place: Place, bytes: u64) -> Result<()> {
        match place {
            Place::Slot => {
                self.region.grow(&mut self.slot, bytes)?;
                self.memory_bytes = bytes;
                self.memory_touched = bytes;
            }
            Place::Further(n) => {
                if let Some(further) = self.others.as_mut().and_then(|o| o.further.as_mut()) {
                    further.grow(n, bytes)?;
                }
            }
        }
        self.data.set_u64(self.descriptor(place) + memory_desc::BYTES as i32, bytes);
        Ok(())
    }
}

/// Size in bytes of memory `index`.
pub(crate) fn size(control: ControlRef, index: u32) -> u64 {
    extent(control, index).1
}

/// `memory.grow`: the old size in pages, or -1.
pub(crate) fn grow(control: ControlRef, index: u32, delta: u64) -> u64 {
    let (owner, place) = find(control, index);
    let (old, all, limit, most) = owner.with(|i| {
        let most = i.declared(place).map_or(0, MemoryDecl::most_bytes);
        (i.size_of(place), i.all_bytes(), i.memory_limit, most)
    });
    let new = delta.checked_mul(WASM_PAGE).and_then(|d| old.checked_add(d));
    let allowed = |n: &u64| *n <= most && all - old + *n <= limit;
    let Some(new) = new.filter(|n| allowed(n) || *n == old) else { return u64::MAX };
    if !super::limits::may_grow(owner, GrowthKind::Memory, all, all - old + new) {
        return u64::MAX;
    }
    owner.with(|i| {
        // Who was asked may have let the guest grow it meanwhile.
        if i.all_bytes() != all || i.size_of(place) != old || i.set_size(place, new).is_err() {
            return u64::MAX;
        }
        old / WASM_PAGE
    })
}

/// Base and size of memory `index`.
fn extent(control: ControlRef, index: u32) -> (usize, u64) {
    let (owner, place) = find(control, index);
    owner.with(|i| i.extent_of(place))
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

/// Address of a range of memory `index`, every page of which is there: the kernel may be given it.
pub(crate) fn range(control: ControlRef, index: u32, offset: u64, len: u64) -> Result<*mut u8> {
    crate::trap::prepare_thread()?;
    resident(control, index, offset, len).map_err(|size| {
        Error::new(
            Status::OutOfBounds,
            format!("{len} bytes at offset {offset} lie outside a memory of {size} bytes"),
        )
    })
}

/// The same on a thread that runs guests; `Err` is the size of the memory.
fn resident(
    control: ControlRef,
    index: u32,
    offset: u64,
    len: u64,
) -> std::result::Result<*mut u8, u64> {
    let (owner, place) = find(control, index);
    let (base, size) = owner.with(|i| i.extent_of(place));
    let at = checked(base, size, offset, len).ok_or(size)?;
    if place == Place::Slot {
        owner.with(|i| i.region.make_resident(&i.slot, offset, len));
    }
    Ok(at as *mut u8)
}

/// A memory of an instance whose guest is in a host call, for as long as that goes on: meanwhile
/// nobody else has the instance, and so nobody else the memory.
#[derive(Debug)]
pub(crate) struct Memory {
    control: ControlRef,
    index: u32,
}

impl Memory {
    /// Memory `index` of the instance that called a host function, on this thread.
    pub(crate) fn new(control: ControlRef, index: u32) -> Self {
        Self { control, index }
    }

    fn at(&self, addr: u32, len: u32) -> std::result::Result<*mut u8, Errno> {
        resident(self.control, self.index, addr.into(), len.into()).map_err(|_| Errno::Fault)
    }
}

impl GuestMemory for Memory {
    fn size(&self) -> u64 {
        size(self.control, self.index)
    }

    fn bytes(&self, addr: u32, len: u32) -> std::result::Result<&[u8], Errno> {
        match (self.at(addr, len)?, len as usize) {
            (_, 0) => Ok(&[]),
            // SAFETY: the range lies inside the memory, see the module's comment. The guest does
            // not run, and whoever writes through this has it for itself.
            (at, len) => Ok(unsafe { std::slice::from_raw_parts(at, len) }),
        }
    }

    fn bytes_mut(&mut self, addr: u32, len: u32) -> std::result::Result<&mut [u8], Errno> {
        match (self.at(addr, len)?, len as usize) {
            (_, 0) => Ok(&mut []),
            // SAFETY: as above.
            (at, len) => Ok(unsafe { std::slice::from_raw_parts_mut(at, len) }),
        }
    }
}

/// Copies bytes of memory `index` out.
pub(crate) fn read(control: ControlRef, index: u32, offset: u64, to: &mut [u8]) -> Result<()> {
    let from = range(control, index, offset, to.len() as u64)?;
    // SAFETY: the range lies inside the memory. The two may overlap: C hosts may pass an address
    // inside the guest.
    unsafe { std::ptr::copy(from, to.as_mut_ptr(), to.len()) };
    Ok(())
}

/// Copies bytes into memory `index`.
pub(crate) fn write(control: ControlRef, index: u32, offset: u64, from: &[u8]) -> Result<()> {
    let to = range(control, index, offset, from.len() as u64)?;
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
