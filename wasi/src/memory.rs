//! The guest's memory as this crate sees it: bytes at 32-bit addresses, checked on every access.
//!
//! Nothing of the guest is believed twice: a value that decides something is read once and kept.
//! The guest does not run while a host function runs, so plain slices are enough; several of them
//! may be borrowed at a time for reading, one for writing.

use crate::types::Errno;

/// A guest's linear memory. An address range that is not wholly inside is `Errno::Fault`.
pub trait GuestMemory {
    /// Its size in bytes.
    fn size(&self) -> u64;
    /// `len` bytes at `addr`, to read.
    fn bytes(&self, addr: u32, len: u32) -> Result<&[u8], Errno>;
    /// `len` bytes at `addr`, to write.
    fn bytes_mut(&mut self, addr: u32, len: u32) -> Result<&mut [u8], Errno>;
}

impl GuestMemory for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }
    fn bytes(&self, addr: u32, len: u32) -> Result<&[u8], Errno> {
        let start = addr as usize;
        let end = start.checked_add(len as usize).ok_or(Errno::Fault)?;
        self.get(start..end).ok_or(Errno::Fault)
    }
    fn bytes_mut(&mut self, addr: u32, len: u32) -> Result<&mut [u8], Errno> {
        let start = addr as usize;
        let end = start.checked_add(len as usize).ok_or(Errno::Fault)?;
        self.get_mut(start..end).ok_or(Errno::Fault)
    }
}

impl GuestMemory for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }
    fn bytes(&self, addr: u32, len: u32) -> Result<&[u8], Errno> {
        self.as_slice().bytes(addr, len)
    }
    fn bytes_mut(&mut self, addr: u32, len: u32) -> Result<&mut [u8], Errno> {
        self.as_mut_slice().bytes_mut(addr, len)
    }
}

impl GuestMemory for &mut [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }
    fn bytes(&self, addr: u32, len: u32) -> Result<&[u8], Errno> {
        (**self).bytes(addr, len)
    }
    fn bytes_mut(&mut self, addr: u32, len: u32) -> Result<&mut [u8], Errno> {
        (**self).bytes_mut(addr, len)
    }
}

/// Shorthand for the memory that calls are given.
pub type Mem<'m> = dyn GuestMemory + 'm;

/// Copies `bytes` to `addr`.
pub fn put(mem: &mut Mem<'_>, addr: u32, bytes: &[u8]) -> Result<(), Errno> {
    let len = u32::try_from(bytes.len()).map_err(|_| Errno::Overflow)?;
    mem.bytes_mut(addr, len)?.copy_from_slice(bytes);
    Ok(())
}

/// Writes a `u16`.
pub fn put_u16(mem: &mut Mem<'_>, addr: u32, value: u16) -> Result<(), Errno> {
    put(mem, addr, &value.to_le_bytes())
}

/// Writes a `u32`.
pub fn put_u32(mem: &mut Mem<'_>, addr: u32, value: u32) -> Result<(), Errno> {
    put(mem, addr, &value.to_le_bytes())
}

/// Writes a `u64`.
pub fn put_u64(mem: &mut Mem<'_>, addr: u32, value: u64) -> Result<(), Errno> {
    put(mem, addr, &value.to_le_bytes())
}

/// The address of element `index` of an array of `size`-byte elements.
pub fn element(base: u32, index: u32, size: u32) -> Result<u32, Errno> {
    index.checked_mul(size).and_then(|o| base.checked_add(o)).ok_or(Errno::Fault)
}

/// A structure under construction: fields are put at their offsets, then it is copied out whole.
pub struct Layout<const N: usize>(pub [u8; N]);

impl<const N: usize> Layout<N> {
    /// All zero, so that padding tells the guest nothing.
    pub fn new() -> Layout<N> {
        Layout([0; N])
    }

    /// Puts a field. One that would not fit is left out; offsets are constants.
    pub fn field<const M: usize>(mut self, at: usize, bytes: [u8; M]) -> Layout<N> {
        if let Some(into) = self.0.get_mut(at..at + M) {
            into.copy_from_slice(&bytes);
        }
        self
    }
}

impl<const N: usize> Default for Layout<N> {
    fn default() -> Self {
        Layout::new()
    }
}

/// A structure that was read: fields by offset.
pub struct Fields<'m>(pub &'m [u8]);

impl Fields<'_> {
    fn take<const M: usize>(&self, at: usize) -> [u8; M] {
        let mut out = [0; M];
        if let Some(from) = self.0.get(at..at + M) {
            out.copy_from_slice(from);
        }
        out
    }
    /// One byte.
    pub fn u8(&self, at: usize) -> u8 {
        let [byte] = self.take::<1>(at);
        byte
    }
    /// Two bytes.
    pub fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.take(at))
    }
    /// Four bytes.
    pub fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.take(at))
    }
    /// Eight bytes.
    pub fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.take(at))
    }
}
