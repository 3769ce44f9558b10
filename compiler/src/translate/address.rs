//! Addresses of accesses to linear memory: the shapes that code has.
//!
//! ```text
//!  guarded, offset + size ≤ guard     access [vmctx + zext(index) + offset]
//!
//!  every other access                 end  = index + (offset + size)
//!                                     addr = base + index + offset
//!                                     addr = spectre_guard(end > bytes, 0, addr)
//!                                     access [addr]
//! ```
//!
//! | memory | `base` | `bytes` |
//! |---|---|---|
//! | own memory 0 | `vmctx` | `[vmctx - 8]` |
//! | another own one | `[vmctx + descriptor]` | `[vmctx + descriptor + 8]` |
//! | imported | `[[vmctx + pointer]]` | `[[vmctx + pointer] + 8]` |
//!
//! *Nothing wraps.* A 32-bit index is zero-extended and its offset has 32 bits. A 64-bit index is
//! first cut to the size of the memory, `end = min(index, bytes) + (offset + size)`: an index
//! beyond the memory still ends beyond it, because the size of an access is not 0. Memories are
//! smaller than 2^48 bytes, and an `offset + size` above that counts as 2^48.
//!
//! Cranelift does not add Spectre guards on its own; `select_spectre_guard` is a select that it
//! never turns into a branch. The failing access touches address 0, which is never mapped.

use super::{Fail, Res, Translator};
use crate::plan::Access;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use lucet_artifact::abi::memory_desc;
use lucet_artifact::{layout, limits};
use wasmparser::{MemArg, MemArgTarget};

/// An end of an access that no memory reaches, and that is far from wrapping.
const BEYOND: u64 = 1 << 48;

const _: () = assert!(limits::MAX_MEMORY_BYTES < BEYOND);

impl Translator<'_, '_> {
    fn access(&self, memory: u32) -> Res<Access> {
        let found = self.body.env.plan.memories.get(memory as usize);
        found.copied().ok_or(Fail::Internal("memory index"))
    }

    /// Whether a memory's addresses are 64 bits wide.
    pub(super) fn is64(&self, memory: u32) -> Res<bool> {
        let found = self.body.env.plan.contract.memories.get(memory as usize);
        found.map(|m| m.ty.is64).ok_or(Fail::Internal("memory index"))
    }

    /// Base and size in bytes of a memory.
    pub(super) fn bounds(&mut self, memory: u32) -> Res<(Value, Value)> {
        let (fixed, data) = (self.body.regions.constant(), self.body.regions.data());
        let (vmctx, layout) = (self.body.vmctx, &self.body.env.plan.layout);
        let access = self.access(memory)?;
        let mut word = |flags: MemFlagsData, from: Value, at: i32| {
            self.body.b.ins().load(types::I64, flags, from, at)
        };
        let (base, bytes) = (memory_desc::BASE as i32, memory_desc::BYTES as i32);
        Ok(match access {
            Access::Guarded { .. } | Access::Checked => {
                (vmctx, word(data, vmctx, layout::MEMORY0_BYTES))
            }
            Access::Further(n) => {
                let at = layout.further_memory(n);
                (word(fixed, vmctx, at + base), word(data, vmctx, at + bytes))
            }
            Access::Imported => {
                let descriptor = word(fixed, vmctx, layout.memory(memory));
                (word(fixed, descriptor, base), word(data, descriptor, bytes))
            }
        })
    }

    /// Native address of an access of `size` bytes (not 0), and the displacement to use with it.
    pub(super) fn address(&mut self, at: &MemArg, index: Value, size: u64) -> Res<(Value, i32)> {
        let reach = at.offset.saturating_add(size);
        let memory = match at.target {
            MemArgTarget::Memory(index) => index,
            MemArgTarget::Array(_) => return Err(Fail::Internal("an array is no memory")),
        };
        let wide = self.is64(memory)?;
        let index = self.extend(index);
        if let Access::Guarded { guard } = self.access(memory)?
            && reach <= guard
        {
            let address = self.body.b.ins().iadd(self.body.vmctx, index);
            return Ok((address, at.offset as i32));
        }
        let (base, bytes) = self.bounds(memory)?;
        let ins = &mut self.body.b;
        let reach = ins.ins().iconst(types::I64, reach.min(BEYOND) as i64);
        let below = if wide { ins.ins().umin(index, bytes) } else { index };
        let end = ins.ins().iadd(below, reach);
        let outside = ins.ins().icmp(IntCC::UnsignedGreaterThan, end, bytes);
        let mut address = ins.ins().iadd(base, index);
        if at.offset != 0 {
            let offset = ins.ins().iconst(types::I64, at.offset as i64);
            address = ins.ins().iadd(address, offset);
        }
        let null = ins.ins().iconst(types::I64, 0);
        Ok((ins.ins().select_spectre_guard(outside, null, address), 0))
    }
}
