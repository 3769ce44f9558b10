//! The scattered buffers of reads and writes.

use std::io::IoSlice;

use crate::limits::Limits;
use crate::memory::{Fields, Mem};
use crate::types::{Errno, size};

/// Buffers that one system call gets. A call with more of them is served in part, as every caller
/// of a scattered read or write expects.
pub(crate) const AT_ONCE: usize = 64;

/// Buffers of the guest's that are not empty and lie in its memory: copied out of memory once, so
/// that what a read writes over the list itself changes nothing.
pub(crate) struct Buffers {
    list: [(u32, u32); AT_ONCE],
    len: usize,
    /// Bytes in all that were taken.
    pub total: u32,
    /// Whether everything that the guest asked for is there.
    pub whole: bool,
}

impl Buffers {
    /// Reads `count` buffers at `iovs`. `Inval` for more than the limit, `Fault` if one is outside
    /// memory; what exceeds the limit on bytes is left out.
    pub fn read(mem: &Mem<'_>, iovs: u32, count: u32, limits: &Limits) -> Result<Buffers, Errno> {
        if count > limits.iovecs {
            return Err(Errno::Inval);
        }
        let bytes = count.checked_mul(size::IOVEC).ok_or(Errno::Fault)?;
        let list = mem.bytes(iovs, bytes)?;
        let mut buffers = Buffers { list: [(0, 0); AT_ONCE], len: 0, total: 0, whole: true };
        for iovec in list.chunks_exact(size::IOVEC as usize) {
            let (addr, len) = (Fields(iovec).u32(0), Fields(iovec).u32(4));
            mem.bytes(addr, len)?;
            let take = len.min(limits.transfer_bytes.saturating_sub(buffers.total));
            buffers.whole &= take == len;
            if take == 0 {
                continue;
            }
            match buffers.list.get_mut(buffers.len) {
                Some(slot) => *slot = (addr, take),
                None => {
                    buffers.whole = false;
                    continue;
                }
            }
            buffers.len += 1;
            buffers.total += take;
        }
        Ok(buffers)
    }

    /// Takes only the first `bytes`.
    pub fn cut(&mut self, bytes: u64) {
        if u64::from(self.total) <= bytes {
            return;
        }
        let mut left = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.total = left;
        self.whole = false;
        let mut len = 0;
        for slot in self.list.iter_mut().take(self.len) {
            if left == 0 {
                break;
            }
            slot.1 = slot.1.min(left);
            left -= slot.1;
            len += 1;
        }
        self.len = len;
    }

    /// Address and length of each.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.list.iter().take(self.len).copied()
    }

    /// The first, if there is any.
    pub fn first(&self) -> Option<(u32, u32)> {
        self.iter().next()
    }

    /// Whether there is more than one.
    pub fn several(&self) -> bool {
        self.len > 1
    }

    /// Calls `write` with all of them.
    pub fn with_slices<T>(
        &self,
        mem: &Mem<'_>,
        write: impl FnOnce(&[IoSlice<'_>]) -> T,
    ) -> Result<T, Errno> {
        if let (Some((addr, len)), false) = (self.first(), self.several()) {
            return Ok(write(&[IoSlice::new(mem.bytes(addr, len)?)]));
        }
        let mut slices = [IoSlice::new(&[]); AT_ONCE];
        for (slice, (addr, len)) in slices.iter_mut().zip(self.iter()) {
            *slice = IoSlice::new(mem.bytes(addr, len)?);
        }
        Ok(write(slices.get(..self.len).unwrap_or_default()))
    }
}
