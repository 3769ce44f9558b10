//! Memories as the host sees them: of an instance that nobody runs.
//!
//! Memory 0 has calls of its own, because hardly any module has another.

use super::{IDLE, InstanceRef, memory};
use crate::error::{Error, Result, Status};
use crate::vmctx::Lease;
use lucet_artifact::contract::ExportKind;

impl InstanceRef {
    /// Current size of memory 0 in bytes.
    ///
    /// # Errors
    /// `InvalidHandle`, `Busy`.
    pub fn memory_size(&self) -> Result<u64> {
        let lease = self.lease(&IDLE)?;
        Ok(memory::size(lease.control, 0))
    }

    /// Copies bytes out of memory 0.
    ///
    /// # Errors
    /// `OutOfBounds` with the range and the memory's size; `InvalidHandle`, `Busy`.
    pub fn memory_read(&self, offset: u64, to: &mut [u8]) -> Result<()> {
        let lease = self.lease(&IDLE)?;
        memory::read(lease.control, 0, offset, to)
    }

    /// Copies bytes into memory 0.
    ///
    /// # Errors
    /// As [`InstanceRef::memory_read`].
    pub fn memory_write(&self, offset: u64, from: &[u8]) -> Result<()> {
        let lease = self.lease(&IDLE)?;
        memory::write(lease.control, 0, offset, from)
    }

    /// Address of `len` bytes at `offset` of memory 0. The bytes stay where they are until the
    /// instance is freed, but any run may change them.
    ///
    /// # Errors
    /// As [`InstanceRef::memory_read`].
    pub fn memory_range(&self, offset: u64, len: u64) -> Result<*mut u8> {
        let lease = self.lease(&IDLE)?;
        memory::range(lease.control, 0, offset, len)
    }

    /// The index of an exported memory, for the calls below.
    ///
    /// # Errors
    /// `NoSuchExport`, `ExportTypeMismatch`, `InvalidHandle`, `Busy`.
    pub fn exported_memory(&self, name: &str) -> Result<u32> {
        let lease = self.lease(&IDLE)?;
        match lease.control.with(|i| i.module.export(name)) {
            Some((ExportKind::Memory, index)) => Ok(index),
            Some((kind, _)) => Err(Error::new(
                Status::ExportTypeMismatch,
                format!("export \"{name}\" is a {}, not a memory", kind.word()),
            )),
            None => Err(Error::new(
                Status::NoSuchExport,
                format!("the module has no exported memory \"{name}\""),
            )),
        }
    }

    /// Current size of memory `index` in bytes, imported ones first.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such memory; `InvalidHandle`, `Busy`.
    pub fn memory_size_of(&self, index: u32) -> Result<u64> {
        let lease = self.lease(&IDLE)?;
        exists(&lease, index)?;
        Ok(memory::size(lease.control, index))
    }

    /// Copies bytes out of memory `index`.
    ///
    /// # Errors
    /// `OutOfBounds`; as [`InstanceRef::memory_size_of`].
    pub fn memory_read_of(&self, index: u32, offset: u64, to: &mut [u8]) -> Result<()> {
        let lease = self.lease(&IDLE)?;
        exists(&lease, index)?;
        memory::read(lease.control, index, offset, to)
    }

    /// Copies bytes into memory `index`.
    ///
    /// # Errors
    /// As [`InstanceRef::memory_read_of`].
    pub fn memory_write_of(&self, index: u32, offset: u64, from: &[u8]) -> Result<()> {
        let lease = self.lease(&IDLE)?;
        exists(&lease, index)?;
        memory::write(lease.control, index, offset, from)
    }

    /// Address of `len` bytes at `offset` of memory `index`; see [`InstanceRef::memory_range`].
    ///
    /// # Errors
    /// As [`InstanceRef::memory_read_of`].
    pub fn memory_range_of(&self, index: u32, offset: u64, len: u64) -> Result<*mut u8> {
        let lease = self.lease(&IDLE)?;
        exists(&lease, index)?;
        memory::range(lease.control, index, offset, len)
    }
}

fn exists(lease: &Lease, index: u32) -> Result<()> {
    let n = lease.control.with(|i| i.module.loaded.contract.memories.len());
    if (index as usize) < n {
        return Ok(());
    }
    Err(Error::new(
        Status::InvalidArgument,
        format!("the module has {n} memories, of which none has index {index}"),
    ))
}
