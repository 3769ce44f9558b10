//! Which CLIF instruction each vector operator is: tables without logic. The type beside it is that
//! of the operands, or of the result where operands are of another (said there).
//!
//! What takes more than one instruction is in `simd.rs`, memory in `simd_memory.rs`.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
use cranelift_codegen::ir::{Opcode, Type};
use wasmparser::Operator;

/// Two operands and a result of one type.
pub fn binary(op: &Operator<'_>) -> Option<(Opcode, Type)> {
    int_binary(op).or_else(|| saturating(op)).or_else(|| float_binary(op))
}

fn int_binary(op: &Operator<'_>) -> Option<(Opcode, Type)> {
    Some(match op {
        Operator::I8x16Add => (Opcode::Iadd, I8X16),
        Operator::I16x8Add => (Opcode::Iadd, I16X8),
        Operator::I32x4Add => (Opcode::Iadd, I32X4),
        Operator::I64x2Add => (Opcode::Iadd, I64X2),
        Operator::I8x16Sub => (Opcode::Isub, I8X16),
        Operator::I16x8Sub => (Opcode::Isub, I16X8),
        Operator::I32x4Sub => (Opcode::Isub, I32X4),
        Operator::I64x2Sub => (Opcode::Isub, I64X2),
        Operator::I16x8Mul => (Opcode::Imul, I16X8),
        Operator::I32x4Mul => (Opcode::Imul, I32X4),
        Operator::I64x2Mul => (Opcode::Imul, I64X2),
        Operator::I8x16MinS => (Opcode::Smin, I8X16),
        Operator::I16x8MinS => (Opcode::Smin, I16X8),
        Operator::I32x4MinS => (Opcode::Smin, I32X4),
        Operator::I8x16MinU => (Opcode::Umin, I8X16),
        Operator::I16x8MinU => (Opcode::Umin, I16X8),
        Operator::I32x4MinU => (Opcode::Umin, I32X4),
        Operator::I8x16MaxS => (Opcode::Smax, I8X16),
        Operator::I16x8MaxS => (Opcode::Smax, I16X8),
        Operator::I32x4MaxS => (Opcode::Smax, I32X4),
        Operator::I8x16MaxU => (Opcode::Umax, I8X16),
        Operator::I16x8MaxU => (Opcode::Umax, I16X8),
        Operator::I32x4MaxU => (Opcode::Umax, I32X4),
        Operator::I8x16AvgrU => (Opcode::AvgRound, I8X16),
        Operator::I16x8AvgrU => (Opcode::AvgRound, I16X8),
        _ => return None,
    })
}

/// Where an index is too large, `swizzle` gives 0; the relaxed operators allow other answers than
/// these of the deterministic profile.
fn saturating(op: &Operator<'_>) -> Option<(Opcode, Type)> {
    Some(match op {
        Operator::I8x16AddSatS => (Opcode::SaddSat, I8X16),
        Operator::I16x8AddSatS => (Opcode::SaddSat, I16X8),
        Operator::I8x16AddSatU => (Opcode::UaddSat, I8X16),
        Operator::I16x8AddSatU => (Opcode::UaddSat, I16X8),
        Operator::I8x16SubSatS => (Opcode::SsubSat, I8X16),
        Operator::I16x8SubSatS => (Opcode::SsubSat, I16X8),
        Operator::I8x16SubSatU => (Opcode::UsubSat, I8X16),
        Operator::I16x8SubSatU => (Opcode::UsubSat, I16X8),
        Operator::I16x8Q15MulrSatS | Operator::I16x8RelaxedQ15mulrS => {
            (Opcode::SqmulRoundSat, I16X8)
        }
        Operator::I8x16Swizzle | Operator::I8x16RelaxedSwizzle => (Opcode::Swizzle, I8X16),
        _ => return None,
    })
}

fn float_binary(op: &Operator<'_>) -> Option<(Opcode, Type)> {
    Some(match op {
        Operator::F32x4Add => (Opcode::Fadd, F32X4),
        Operator::F64x2Add => (Opcode::Fadd, F64X2),
        Operator::F32x4Sub => (Opcode::Fsub, F32X4),
        Operator::F64x2Sub => (Opcode::Fsub, F64X2),
        Operator::F32x4Mul => (Opcode::Fmul, F32X4),
        Operator::F64x2Mul => (Opcode::Fmul, F64X2),
        Operator::F32x4Div => (Opcode::Fdiv, F32X4),
        Operator::F64x2Div => (Opcode::Fdiv, F64X2),
        Operator::F32x4Min | Operator::F32x4RelaxedMin => (Opcode::Fmin, F32X4),
        Operator::F64x2Min | Operator::F64x2RelaxedMin => (Opcode::Fmin, F64X2),
        Operator::F32x4Max | Operator::F32x4RelaxedMax => (Opcode::Fmax, F32X4),
        Operator::F64x2Max | Operator::F64x2RelaxedMax => (Opcode::Fmax, F64X2),
        _ => return None,
    })
}

/// Two operands of the first type, whose lanes become half as wide in the result.
pub fn narrow(op: &Operator<'_>) -> Option<(Opcode, Type, Type)> {
    Some(match op {
        Operator::I8x16NarrowI16x8S => (Opcode::Snarrow, I16X8, I8X16),
        Operator::I8x16NarrowI16x8U => (Opcode::Unarrow, I16X8, I8X16),
        Operator::I16x8NarrowI32x4S => (Opcode::Snarrow, I32X4, I16X8),
        Operator::I16x8NarrowI32x4U => (Opcode::Unarrow, I32X4, I16X8),
        _ => return None,
    })
}

/// One operand of the first type, a result of the second.
pub fn unary(op: &Operator<'_>) -> Option<(Opcode, Type, Type)> {
    lanewise(op).map(|(opcode, ty)| (opcode, ty, ty)).or_else(|| convert(op))
}

fn lanewise(op: &Operator<'_>) -> Option<(Opcode, Type)> {
    Some(match op {
        Operator::I8x16Abs => (Opcode::Iabs, I8X16),
        Operator::I16x8Abs => (Opcode::Iabs, I16X8),
        Operator::I32x4Abs => (Opcode::Iabs, I32X4),
        Operator::I64x2Abs => (Opcode::Iabs, I64X2),
        Operator::I8x16Neg => (Opcode::Ineg, I8X16),
        Operator::I16x8Neg => (Opcode::Ineg, I16X8),
        Operator::I32x4Neg => (Opcode::Ineg, I32X4),
        Operator::I64x2Neg => (Opcode::Ineg, I64X2),
        Operator::I8x16Popcnt => (Opcode::Popcnt, I8X16),
        Operator::F32x4Ceil => (Opcode::Ceil, F32X4),
        Operator::F64x2Ceil => (Opcode::Ceil, F64X2),
        Operator::F32x4Floor => (Opcode::Floor, F32X4),
        Operator::F64x2Floor => (Opcode::Floor, F64X2),
        Operator::F32x4Trunc => (Opcode::Trunc, F32X4),
        Operator::F64x2Trunc => (Opcode::Trunc, F64X2),
        Operator::F32x4Nearest => (Opcode::Nearest, F32X4),
        Operator::F64x2Nearest => (Opcode::Nearest, F64X2),
        Operator::F32x4Abs => (Opcode::Fabs, F32X4),
        Operator::F64x2Abs => (Opcode::Fabs, F64X2),
        Operator::F32x4Neg => (Opcode::Fneg, F32X4),
        Operator::F64x2Neg => (Opcode::Fneg, F64X2),
        Operator::F32x4Sqrt => (Opcode::Sqrt, F32X4),
        Operator::F64x2Sqrt => (Opcode::Sqrt, F64X2),
        _ => return None,
    })
}

fn convert(op: &Operator<'_>) -> Option<(Opcode, Type, Type)> {
    Some(match op {
        Operator::I16x8ExtendLowI8x16S => (Opcode::SwidenLow, I8X16, I16X8),
        Operator::I16x8ExtendHighI8x16S => (Opcode::SwidenHigh, I8X16, I16X8),
        Operator::I16x8ExtendLowI8x16U => (Opcode::UwidenLow, I8X16, I16X8),
        Operator::I16x8ExtendHighI8x16U => (Opcode::UwidenHigh, I8X16, I16X8),
        Operator::I32x4ExtendLowI16x8S => (Opcode::SwidenLow, I16X8, I32X4),
        Operator::I32x4ExtendHighI16x8S => (Opcode::SwidenHigh, I16X8, I32X4),
        Operator::I32x4ExtendLowI16x8U => (Opcode::UwidenLow, I16X8, I32X4),
        Operator::I32x4ExtendHighI16x8U => (Opcode::UwidenHigh, I16X8, I32X4),
        Operator::I64x2ExtendLowI32x4S => (Opcode::SwidenLow, I32X4, I64X2),
        Operator::I64x2ExtendHighI32x4S => (Opcode::SwidenHigh, I32X4, I64X2),
        Operator::I64x2ExtendLowI32x4U => (Opcode::UwidenLow, I32X4, I64X2),
        Operator::I64x2ExtendHighI32x4U => (Opcode::UwidenHigh, I32X4, I64X2),
        Operator::I32x4TruncSatF32x4S | Operator::I32x4RelaxedTruncF32x4S => {
            (Opcode::FcvtToSintSat, F32X4, I32X4)
        }
        Operator::I32x4TruncSatF32x4U | Operator::I32x4RelaxedTruncF32x4U => {
            (Opcode::FcvtToUintSat, F32X4, I32X4)
        }
        Operator::F32x4ConvertI32x4S => (Opcode::FcvtFromSint, I32X4, F32X4),
        Operator::F32x4ConvertI32x4U => (Opcode::FcvtFromUint, I32X4, F32X4),
        Operator::F32x4DemoteF64x2Zero => (Opcode::Fvdemote, F64X2, F32X4),
        Operator::F64x2PromoteLowF32x4 => (Opcode::FvpromoteLow, F32X4, F64X2),
        _ => return None,
    })
}

/// The steps of an operator that widens (the first), and then does something else with the result:
/// the type before, the instruction, the type between, the other instruction, the type behind.
pub type TwoSteps = (Type, Opcode, Type, Opcode, Type);

/// One operand, one instruction after another.
pub fn then(op: &Operator<'_>) -> Option<TwoSteps> {
    Some(match op {
        Operator::F64x2ConvertLowI32x4S => {
            (I32X4, Opcode::SwidenLow, I64X2, Opcode::FcvtFromSint, F64X2)
        }
        Operator::F64x2ConvertLowI32x4U => {
            (I32X4, Opcode::UwidenLow, I64X2, Opcode::FcvtFromUint, F64X2)
        }
        // The second takes zeros as its other operand.
        Operator::I32x4TruncSatF64x2SZero | Operator::I32x4RelaxedTruncF64x2SZero => {
            (F64X2, Opcode::FcvtToSintSat, I64X2, Opcode::Snarrow, I32X4)
        }
        Operator::I32x4TruncSatF64x2UZero | Operator::I32x4RelaxedTruncF64x2UZero => {
            (F64X2, Opcode::FcvtToUintSat, I64X2, Opcode::Uunarrow, I32X4)
        }
        _ => return None,
    })
}

/// How both operands of a product are widened, and the types before and behind.
pub fn extended_product(op: &Operator<'_>) -> Option<(Opcode, Type, Type)> {
    Some(match op {
        Operator::I16x8ExtMulLowI8x16S => (Opcode::SwidenLow, I8X16, I16X8),
        Operator::I16x8ExtMulHighI8x16S => (Opcode::SwidenHigh, I8X16, I16X8),
        Operator::I16x8ExtMulLowI8x16U => (Opcode::UwidenLow, I8X16, I16X8),
        Operator::I16x8ExtMulHighI8x16U => (Opcode::UwidenHigh, I8X16, I16X8),
        Operator::I32x4ExtMulLowI16x8S => (Opcode::SwidenLow, I16X8, I32X4),
        Operator::I32x4ExtMulHighI16x8S => (Opcode::SwidenHigh, I16X8, I32X4),
        Operator::I32x4ExtMulLowI16x8U => (Opcode::UwidenLow, I16X8, I32X4),
        Operator::I32x4ExtMulHighI16x8U => (Opcode::UwidenHigh, I16X8, I32X4),
        Operator::I64x2ExtMulLowI32x4S => (Opcode::SwidenLow, I32X4, I64X2),
        Operator::I64x2ExtMulHighI32x4S => (Opcode::SwidenHigh, I32X4, I64X2),
        Operator::I64x2ExtMulLowI32x4U => (Opcode::UwidenLow, I32X4, I64X2),
        Operator::I64x2ExtMulHighI32x4U => (Opcode::UwidenHigh, I32X4, I64X2),
        _ => return None,
    })
}

/// How both halves are widened before neighbours are added, and the types before and behind.
pub fn pairwise_sum(op: &Operator<'_>) -> Option<([Opcode; 2], Type, Type)> {
    const SIGNED: [Opcode; 2] = [Opcode::SwidenLow, Opcode::SwidenHigh];
    const UNSIGNED: [Opcode; 2] = [Opcode::UwidenLow, Opcode::UwidenHigh];
    Some(match op {
        Operator::I16x8ExtAddPairwiseI8x16S => (SIGNED, I8X16, I16X8),
        Operator::I16x8ExtAddPairwiseI8x16U => (UNSIGNED, I8X16, I16X8),
        Operator::I32x4ExtAddPairwiseI16x8S => (SIGNED, I16X8, I32X4),
        Operator::I32x4ExtAddPairwiseI16x8U => (UNSIGNED, I16X8, I32X4),
        _ => return None,
    })
}

/// Shifts by a number of bits, of which only as many count as a lane has positions for.
pub fn shift(op: &Operator<'_>) -> Option<(Opcode, Type)> {
    Some(match op {
        Operator::I8x16Shl => (Opcode::Ishl, I8X16),
        Operator::I16x8Shl => (Opcode::Ishl, I16X8),
        Operator::I32x4Shl => (Opcode::Ishl, I32X4),
        Operator::I64x2Shl => (Opcode::Ishl, I64X2),
        Operator::I8x16ShrS => (Opcode::Sshr, I8X16),
        Operator::I16x8ShrS => (Opcode::Sshr, I16X8),
        Operator::I32x4ShrS => (Opcode::Sshr, I32X4),
        Operator::I64x2ShrS => (Opcode::Sshr, I64X2),
        Operator::I8x16ShrU => (Opcode::Ushr, I8X16),
        Operator::I16x8ShrU => (Opcode::Ushr, I16X8),
        Operator::I32x4ShrU => (Opcode::Ushr, I32X4),
        Operator::I64x2ShrU => (Opcode::Ushr, I64X2),
        _ => return None,
    })
}

/// Integer comparisons, whose result has all bits of a lane or none.
pub fn int_compare(op: &Operator<'_>) -> Option<(IntCC, Type)> {
    Some(match op {
        Operator::I8x16Eq => (IntCC::Equal, I8X16),
        Operator::I16x8Eq => (IntCC::Equal, I16X8),
        Operator::I32x4Eq => (IntCC::Equal, I32X4),
        Operator::I64x2Eq => (IntCC::Equal, I64X2),
        Operator::I8x16Ne => (IntCC::NotEqual, I8X16),
        Operator::I16x8Ne => (IntCC::NotEqual, I16X8),
        Operator::I32x4Ne => (IntCC::NotEqual, I32X4),
        Operator::I64x2Ne => (IntCC::NotEqual, I64X2),
        Operator::I8x16LtS => (IntCC::SignedLessThan, I8X16),
        Operator::I16x8LtS => (IntCC::SignedLessThan, I16X8),
        Operator::I32x4LtS => (IntCC::SignedLessThan, I32X4),
        Operator::I64x2LtS => (IntCC::SignedLessThan, I64X2),
        Operator::I8x16LtU => (IntCC::UnsignedLessThan, I8X16),
        Operator::I16x8LtU => (IntCC::UnsignedLessThan, I16X8),
        Operator::I32x4LtU => (IntCC::UnsignedLessThan, I32X4),
        Operator::I8x16GtS => (IntCC::SignedGreaterThan, I8X16),
        Operator::I16x8GtS => (IntCC::SignedGreaterThan, I16X8),
        Operator::I32x4GtS => (IntCC::SignedGreaterThan, I32X4),
        Operator::I64x2GtS => (IntCC::SignedGreaterThan, I64X2),
        Operator::I8x16GtU => (IntCC::UnsignedGreaterThan, I8X16),
        Operator::I16x8GtU => (IntCC::UnsignedGreaterThan, I16X8),
        Operator::I32x4GtU => (IntCC::UnsignedGreaterThan, I32X4),
        Operator::I8x16LeS => (IntCC::SignedLessThanOrEqual, I8X16),
        Operator::I16x8LeS => (IntCC::SignedLessThanOrEqual, I16X8),
        Operator::I32x4LeS => (IntCC::SignedLessThanOrEqual, I32X4),
        Operator::I64x2LeS => (IntCC::SignedLessThanOrEqual, I64X2),
        Operator::I8x16LeU => (IntCC::UnsignedLessThanOrEqual, I8X16),
        Operator::I16x8LeU => (IntCC::UnsignedLessThanOrEqual, I16X8),
        Operator::I32x4LeU => (IntCC::UnsignedLessThanOrEqual, I32X4),
        Operator::I8x16GeS => (IntCC::SignedGreaterThanOrEqual, I8X16),
        Operator::I16x8GeS => (IntCC::SignedGreaterThanOrEqual, I16X8),
        Operator::I32x4GeS => (IntCC::SignedGreaterThanOrEqual, I32X4),
        Operator::I64x2GeS => (IntCC::SignedGreaterThanOrEqual, I64X2),
        Operator::I8x16GeU => (IntCC::UnsignedGreaterThanOrEqual, I8X16),
        Operator::I16x8GeU => (IntCC::UnsignedGreaterThanOrEqual, I16X8),
        Operator::I32x4GeU => (IntCC::UnsignedGreaterThanOrEqual, I32X4),
        _ => return None,
    })
}

/// Float comparisons: all but `ne` are false on NaN.
pub fn float_compare(op: &Operator<'_>) -> Option<(FloatCC, Type)> {
    Some(match op {
        Operator::F32x4Eq => (FloatCC::Equal, F32X4),
        Operator::F64x2Eq => (FloatCC::Equal, F64X2),
        Operator::F32x4Ne => (FloatCC::NotEqual, F32X4),
        Operator::F64x2Ne => (FloatCC::NotEqual, F64X2),
        Operator::F32x4Lt => (FloatCC::LessThan, F32X4),
        Operator::F64x2Lt => (FloatCC::LessThan, F64X2),
        Operator::F32x4Gt => (FloatCC::GreaterThan, F32X4),
        Operator::F64x2Gt => (FloatCC::GreaterThan, F64X2),
        Operator::F32x4Le => (FloatCC::LessThanOrEqual, F32X4),
        Operator::F64x2Le => (FloatCC::LessThanOrEqual, F64X2),
        Operator::F32x4Ge => (FloatCC::GreaterThanOrEqual, F32X4),
        Operator::F64x2Ge => (FloatCC::GreaterThanOrEqual, F64X2),
        _ => return None,
    })
}

/// A lane: the vector's type, and how an integer lane narrower than 32 bits is extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extend {
    None,
    Signed,
    Unsigned,
}

/// Reading a lane.
pub fn extract(op: &Operator<'_>) -> Option<(Type, Extend, u8)> {
    Some(match op {
        Operator::I8x16ExtractLaneS { lane } => (I8X16, Extend::Signed, *lane),
        Operator::I8x16ExtractLaneU { lane } => (I8X16, Extend::Unsigned, *lane),
        Operator::I16x8ExtractLaneS { lane } => (I16X8, Extend::Signed, *lane),
        Operator::I16x8ExtractLaneU { lane } => (I16X8, Extend::Unsigned, *lane),
        Operator::I32x4ExtractLane { lane } => (I32X4, Extend::None, *lane),
        Operator::I64x2ExtractLane { lane } => (I64X2, Extend::None, *lane),
        Operator::F32x4ExtractLane { lane } => (F32X4, Extend::None, *lane),
        Operator::F64x2ExtractLane { lane } => (F64X2, Extend::None, *lane),
        _ => return None,
    })
}

/// Writing a lane.
pub fn replace(op: &Operator<'_>) -> Option<(Type, u8)> {
    Some(match op {
        Operator::I8x16ReplaceLane { lane } => (I8X16, *lane),
        Operator::I16x8ReplaceLane { lane } => (I16X8, *lane),
        Operator::I32x4ReplaceLane { lane } => (I32X4, *lane),
        Operator::I64x2ReplaceLane { lane } => (I64X2, *lane),
        Operator::F32x4ReplaceLane { lane } => (F32X4, *lane),
        Operator::F64x2ReplaceLane { lane } => (F64X2, *lane),
        _ => return None,
    })
}

/// Writing all lanes.
pub fn splat(op: &Operator<'_>) -> Option<Type> {
    Some(match op {
        Operator::I8x16Splat => I8X16,
        Operator::I16x8Splat => I16X8,
        Operator::I32x4Splat => I32X4,
        Operator::I64x2Splat => I64X2,
        Operator::F32x4Splat => F32X4,
        Operator::F64x2Splat => F64X2,
        _ => return None,
    })
}

/// Whether all lanes are other than zero.
pub fn all_true(op: &Operator<'_>) -> Option<Type> {
    Some(match op {
        Operator::I8x16AllTrue => I8X16,
        Operator::I16x8AllTrue => I16X8,
        Operator::I32x4AllTrue => I32X4,
        Operator::I64x2AllTrue => I64X2,
        _ => return None,
    })
}

/// The highest bit of each lane.
pub fn bitmask(op: &Operator<'_>) -> Option<Type> {
    Some(match op {
        Operator::I8x16Bitmask => I8X16,
        Operator::I16x8Bitmask => I16X8,
        Operator::I32x4Bitmask => I32X4,
        Operator::I64x2Bitmask => I64X2,
        _ => return None,
    })
}
