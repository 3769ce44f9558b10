//! Linear memory: loads, stores, and the bulk operations. Addresses: `address.rs`.

use super::fuel::Unit;
use super::{Fail, Res, Translator};
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use lucet_artifact::abi::Builtin;
use lucet_artifact::contract::feature;
use lucet_artifact::limits;
use wasmparser::{MemArg, Operator};

/// How a load or store converts between memory and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Whole,
    Signed8,
    Unsigned8,
    Signed16,
    Unsigned16,
    Signed32,
    Unsigned32,
}

impl Width {
    fn bytes(self, ty: Type) -> u64 {
        match self {
            Self::Whole => u64::from(ty.bytes()),
            Self::Signed8 | Self::Unsigned8 => 1,
            Self::Signed16 | Self::Unsigned16 => 2,
            Self::Signed32 | Self::Unsigned32 => 4,
        }
    }
}

fn load(op: &Operator<'_>) -> Option<(MemArg, Type, Width)> {
    use Width::{Signed8, Signed16, Signed32, Unsigned8, Unsigned16, Unsigned32, Whole};
    Some(match op {
        Operator::I32Load { memarg } => (*memarg, types::I32, Whole),
        Operator::I64Load { memarg } => (*memarg, types::I64, Whole),
        Operator::F32Load { memarg } => (*memarg, types::F32, Whole),
        Operator::F64Load { memarg } => (*memarg, types::F64, Whole),
        Operator::I32Load8S { memarg } => (*memarg, types::I32, Signed8),
        Operator::I32Load8U { memarg } => (*memarg, types::I32, Unsigned8),
        Operator::I32Load16S { memarg } => (*memarg, types::I32, Signed16),
        Operator::I32Load16U { memarg } => (*memarg, types::I32, Unsigned16),
        Operator::I64Load8S { memarg } => (*memarg, types::I64, Signed8),
        Operator::I64Load8U { memarg } => (*memarg, types::I64, Unsigned8),
        Operator::I64Load16S { memarg } => (*memarg, types::I64, Signed16),
        Operator::I64Load16U { memarg } => (*memarg, types::I64, Unsigned16),
        Operator::I64Load32S { memarg } => (*memarg, types::I64, Signed32),
        Operator::I64Load32U { memarg } => (*memarg, types::I64, Unsigned32),
        _ => return None,
    })
}

fn store(op: &Operator<'_>) -> Option<(MemArg, Width)> {
    use Width::{Unsigned8, Unsigned16, Unsigned32, Whole};
    Some(match op {
        Operator::I32Store { memarg }
        | Operator::I64Store { memarg }
        | Operator::F32Store { memarg }
        | Operator::F64Store { memarg } => (*memarg, Whole),
        Operator::I32Store8 { memarg } | Operator::I64Store8 { memarg } => (*memarg, Unsigned8),
        Operator::I32Store16 { memarg } | Operator::I64Store16 { memarg } => (*memarg, Unsigned16),
        Operator::I64Store32 { memarg } => (*memarg, Unsigned32),
        _ => return None,
    })
}

impl Translator<'_, '_> {
    /// Translates a memory operator; false if it is not one.
    pub(super) fn memory(&mut self, op: &Operator<'_>) -> Res<bool> {
        if let Some((memarg, ty, width)) = load(op) {
            let index = self.pop()?;
            let (address, offset) = self.address(&memarg, index, width.bytes(ty))?;
            let v = self.load(ty, width, address, offset);
            self.push(v);
            return Ok(true);
        }
        if let Some((memarg, width)) = store(op) {
            let (index, v) = self.pop2()?;
            let ty = self.body.b.func.dfg.value_type(v);
            let (address, offset) = self.address(&memarg, index, width.bytes(ty))?;
            self.store(width, v, address, offset);
            return Ok(true);
        }
        match op {
            Operator::MemorySize { mem } => self.memory_size(*mem)?,
            Operator::MemoryGrow { mem } => self.memory_grow(*mem)?,
            Operator::MemoryCopy { dst_mem, src_mem } => {
                self.bulk(Builtin::MemoryCopy, Unit::Bytes, *dst_mem, *src_mem)?;
            }
            Operator::MemoryFill { mem } => self.memory_fill(*mem)?,
            Operator::MemoryInit { data_index, mem } => {
                self.bulk(Builtin::MemoryInit, Unit::Bytes, *mem, *data_index)?;
            }
            Operator::DataDrop { data_index } => {
                self.features |= feature::BULK_MEMORY;
                let segment = self.index(*data_index);
                self.body.builtin(Builtin::DataDrop, &[segment]);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn load(&mut self, ty: Type, width: Width, address: Value, offset: i32) -> Value {
        let flags = self.body.regions.memory();
        let ins = self.body.b.ins();
        match width {
            Width::Whole => ins.load(ty, flags, address, offset),
            Width::Signed8 => ins.sload8(ty, flags, address, offset),
            Width::Unsigned8 => ins.uload8(ty, flags, address, offset),
            Width::Signed16 => ins.sload16(ty, flags, address, offset),
            Width::Unsigned16 => ins.uload16(ty, flags, address, offset),
            Width::Signed32 => ins.sload32(flags, address, offset),
            Width::Unsigned32 => ins.uload32(flags, address, offset),
        }
    }

    fn store(&mut self, width: Width, v: Value, address: Value, offset: i32) {
        let flags = self.body.regions.memory();
        let ins = self.body.b.ins();
        match width {
            Width::Whole => ins.store(flags, v, address, offset),
            Width::Signed8 | Width::Unsigned8 => ins.istore8(flags, v, address, offset),
            Width::Signed16 | Width::Unsigned16 => ins.istore16(flags, v, address, offset),
            Width::Signed32 | Width::Unsigned32 => ins.istore32(flags, v, address, offset),
        };
    }

    fn memory_size(&mut self, memory: u32) -> Res<()> {
        let (_, bytes) = self.bounds(memory)?;
        let shift = i64::from(limits::WASM_PAGE.trailing_zeros());
        let pages = self.body.b.ins().ushr_imm_u(bytes, shift);
        let wide = self.is64(memory)?;
        self.push_index(Some(pages), wide)
    }

    fn memory_grow(&mut self, memory: u32) -> Res<()> {
        let wide = self.is64(memory)?;
        let delta = self.pop()?;
        let delta = self.extend(delta);
        let memory = self.index(memory);
        let old = self.body.builtin(Builtin::MemoryGrow, &[memory, delta]);
        self.push_index(old, wide)
    }

    fn memory_fill(&mut self, memory: u32) -> Res<()> {
        self.features |= feature::BULK_MEMORY;
        let (d, value, n) = self.pop3()?;
        let (d, n) = (self.extend(d), self.extend(n));
        self.body.charge_bulk(n, Unit::Bytes);
        let memory = self.index(memory);
        self.body.builtin(Builtin::MemoryFill, &[memory, d, value, n]);
        Ok(())
    }

    /// `copy` and `init` of memories and tables: `(high, low, d, s, n)`.
    pub(super) fn bulk(&mut self, which: Builtin, unit: Unit, high: u32, low: u32) -> Res<()> {
        self.features |= feature::BULK_MEMORY;
        let (d, s, n) = self.pop3()?;
        let (d, s, n) = (self.extend(d), self.extend(s), self.extend(n));
        self.body.charge_bulk(n, unit);
        let packed = (u64::from(high) << 32 | u64::from(low)) as i64;
        let packed = self.body.b.ins().iconst(types::I64, packed);
        self.body.builtin(which, &[packed, d, s, n]);
        Ok(())
    }

    /// An index as `i32` argument of a builtin.
    pub(super) fn index(&mut self, index: u32) -> Value {
        self.body.b.ins().iconst(types::I32, i64::from(index))
    }

    /// Pushes the size of a memory or table, of which -1 stays -1, as a value of its index type.
    pub(super) fn push_index(&mut self, v: Option<Value>, wide: bool) -> Res<()> {
        let v = v.ok_or(Fail::Internal("builtin result"))?;
        let v = if wide { v } else { self.body.b.ins().ireduce(types::I32, v) };
        self.push(v);
        Ok(())
    }
}
