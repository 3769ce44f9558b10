//! Loads and stores of vectors and their lanes.
//!
//! Addresses are computed where scalar accesses have theirs computed, for as many bytes as the
//! operator accesses: a load of eight bytes that fill two lanes reads eight bytes. No access is
//! marked as aligned, so none becomes an instruction that faults where wasm does not.

use super::{Res, Translator};
use cranelift_codegen::ir::types::{I8X16, I16, I16X8, I32, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value};
use wasmparser::{MemArg, Operator};

/// What becomes of loaded bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    Whole,
    /// Eight bytes, each lane twice as wide: the shape in the end, and the sign.
    Widen(Type, bool),
    /// A lane of this shape, for all lanes.
    Splat(Type),
    /// A lane of this shape, for the lowest; the others are zero.
    Zero(Type),
}

fn load(op: &Operator<'_>) -> Option<(MemArg, Load)> {
    use Load::{Splat, Whole, Widen, Zero};
    Some(match op {
        Operator::V128Load { memarg } => (*memarg, Whole),
        Operator::V128Load8x8S { memarg } => (*memarg, Widen(I16X8, true)),
        Operator::V128Load8x8U { memarg } => (*memarg, Widen(I16X8, false)),
        Operator::V128Load16x4S { memarg } => (*memarg, Widen(I32X4, true)),
        Operator::V128Load16x4U { memarg } => (*memarg, Widen(I32X4, false)),
        Operator::V128Load32x2S { memarg } => (*memarg, Widen(I64X2, true)),
        Operator::V128Load32x2U { memarg } => (*memarg, Widen(I64X2, false)),
        Operator::V128Load8Splat { memarg } => (*memarg, Splat(I8X16)),
        Operator::V128Load16Splat { memarg } => (*memarg, Splat(I16X8)),
        Operator::V128Load32Splat { memarg } => (*memarg, Splat(I32X4)),
        Operator::V128Load64Splat { memarg } => (*memarg, Splat(I64X2)),
        Operator::V128Load32Zero { memarg } => (*memarg, Zero(I32X4)),
        Operator::V128Load64Zero { memarg } => (*memarg, Zero(I64X2)),
        _ => return None,
    })
}

fn load_lane(op: &Operator<'_>) -> Option<(MemArg, Type, u8)> {
    Some(match op {
        Operator::V128Load8Lane { memarg, lane } => (*memarg, I8X16, *lane),
        Operator::V128Load16Lane { memarg, lane } => (*memarg, I16X8, *lane),
        Operator::V128Load32Lane { memarg, lane } => (*memarg, I32X4, *lane),
        Operator::V128Load64Lane { memarg, lane } => (*memarg, I64X2, *lane),
        _ => return None,
    })
}

fn store_lane(op: &Operator<'_>) -> Option<(MemArg, Type, u8)> {
    Some(match op {
        Operator::V128Store8Lane { memarg, lane } => (*memarg, I8X16, *lane),
        Operator::V128Store16Lane { memarg, lane } => (*memarg, I16X8, *lane),
        Operator::V128Store32Lane { memarg, lane } => (*memarg, I32X4, *lane),
        Operator::V128Store64Lane { memarg, lane } => (*memarg, I64X2, *lane),
        _ => return None,
    })
}

impl Translator<'_, '_> {
    /// Translates a vector access; false if it is not one.
    pub(super) fn simd_memory(&mut self, op: &Operator<'_>) -> Res<bool> {
        if let Some((memarg, how)) = load(op) {
            let index = self.pop()?;
            let v = self.load_v(index, &memarg, how)?;
            self.push_v(v);
        } else if let Some((memarg, ty, lane)) = load_lane(op) {
            let x = self.pop_v(ty)?;
            let index = self.pop()?;
            let v = self.load_scalar(index, &memarg, ty.lane_type())?;
            let v = self.body.b.ins().insertlane(x, v, lane);
            self.push_v(v);
        } else if let Some((memarg, ty, lane)) = store_lane(op) {
            let x = self.pop_v(ty)?;
            let index = self.pop()?;
            let (flags, address, offset) = self.place(index, &memarg, ty.lane_type().bytes())?;
            let v = self.body.b.ins().extractlane(x, lane);
            self.body.b.ins().store(flags, v, address, offset);
        } else if let Operator::V128Store { memarg } = op {
            let (index, v) = self.pop2()?;
            let (flags, address, offset) = self.place(index, memarg, 16)?;
            self.body.b.ins().store(flags, v, address, offset);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Where an access of so many bytes goes.
    fn place(
        &mut self,
        index: Value,
        memarg: &MemArg,
        bytes: u32,
    ) -> Res<(MemFlagsData, Value, i32)> {
        let (address, offset) = self.address(memarg, index, u64::from(bytes))?;
        Ok((self.body.regions.memory(), address, offset))
    }

    fn load_scalar(&mut self, index: Value, memarg: &MemArg, ty: Type) -> Res<Value> {
        let (flags, address, offset) = self.place(index, memarg, ty.bytes())?;
        Ok(self.body.b.ins().load(ty, flags, address, offset))
    }

    fn load_v(&mut self, index: Value, memarg: &MemArg, how: Load) -> Res<Value> {
        Ok(match how {
            Load::Whole => self.load_scalar(index, memarg, I8X16)?,
            Load::Splat(ty) => {
                let v = self.load_scalar(index, memarg, ty.lane_type())?;
                self.body.b.ins().splat(ty, v)
            }
            Load::Zero(ty) => {
                let v = self.load_scalar(index, memarg, ty.lane_type())?;
                self.body.b.ins().scalar_to_vector(ty, v)
            }
            Load::Widen(ty, signed) => {
                let (flags, address, offset) = self.place(index, memarg, 8)?;
                let ins = self.body.b.ins();
                match (ty.lane_type(), signed) {
                    (I16, true) => ins.sload8x8(flags, address, offset),
                    (I16, false) => ins.uload8x8(flags, address, offset),
                    (I32, true) => ins.sload16x4(flags, address, offset),
                    (I32, false) => ins.uload16x4(flags, address, offset),
                    (_, true) => ins.sload32x2(flags, address, offset),
                    (_, false) => ins.uload32x2(flags, address, offset),
                }
            }
        })
    }
}
