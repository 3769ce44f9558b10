//! Which CLIF instruction each numeric operator is: tables without logic.
//!
//! The operators not listed here (constants, `eqz`, sign extension, reinterpretation) take more
//! than one instruction or an immediate and are in `numeric.rs`.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{Opcode, Type, types};
use wasmparser::Operator;

/// Two operands of one type, a result of the same type.
pub fn binary(op: &Operator<'_>) -> Option<Opcode> {
    Some(match op {
        Operator::I32Add | Operator::I64Add => Opcode::Iadd,
        Operator::I32Sub | Operator::I64Sub => Opcode::Isub,
        Operator::I32Mul | Operator::I64Mul => Opcode::Imul,
        Operator::I32DivS | Operator::I64DivS => Opcode::Sdiv,
        Operator::I32DivU | Operator::I64DivU => Opcode::Udiv,
        Operator::I32RemS | Operator::I64RemS => Opcode::Srem,
        Operator::I32RemU | Operator::I64RemU => Opcode::Urem,
        Operator::I32And | Operator::I64And => Opcode::Band,
        Operator::I32Or | Operator::I64Or => Opcode::Bor,
        Operator::I32Xor | Operator::I64Xor => Opcode::Bxor,
        Operator::I32Shl | Operator::I64Shl => Opcode::Ishl,
        Operator::I32ShrS | Operator::I64ShrS => Opcode::Sshr,
        Operator::I32ShrU | Operator::I64ShrU => Opcode::Ushr,
        Operator::I32Rotl | Operator::I64Rotl => Opcode::Rotl,
        Operator::I32Rotr | Operator::I64Rotr => Opcode::Rotr,
        Operator::F32Add | Operator::F64Add => Opcode::Fadd,
        Operator::F32Sub | Operator::F64Sub => Opcode::Fsub,
        Operator::F32Mul | Operator::F64Mul => Opcode::Fmul,
        Operator::F32Div | Operator::F64Div => Opcode::Fdiv,
        Operator::F32Min | Operator::F64Min => Opcode::Fmin,
        Operator::F32Max | Operator::F64Max => Opcode::Fmax,
        Operator::F32Copysign | Operator::F64Copysign => Opcode::Fcopysign,
        _ => return None,
    })
}

/// One operand; the controlling type is that of the result.
pub fn unary(op: &Operator<'_>) -> Option<(Opcode, Type)> {
    Some(match op {
        Operator::I32Clz => (Opcode::Clz, types::I32),
        Operator::I32Ctz => (Opcode::Ctz, types::I32),
        Operator::I32Popcnt => (Opcode::Popcnt, types::I32),
        Operator::I64Clz => (Opcode::Clz, types::I64),
        Operator::I64Ctz => (Opcode::Ctz, types::I64),
        Operator::I64Popcnt => (Opcode::Popcnt, types::I64),
        Operator::F32Abs => (Opcode::Fabs, types::F32),
        Operator::F32Neg => (Opcode::Fneg, types::F32),
        Operator::F32Ceil => (Opcode::Ceil, types::F32),
        Operator::F32Floor => (Opcode::Floor, types::F32),
        Operator::F32Trunc => (Opcode::Trunc, types::F32),
        Operator::F32Nearest => (Opcode::Nearest, types::F32),
        Operator::F32Sqrt => (Opcode::Sqrt, types::F32),
        Operator::F64Abs => (Opcode::Fabs, types::F64),
        Operator::F64Neg => (Opcode::Fneg, types::F64),
        Operator::F64Ceil => (Opcode::Ceil, types::F64),
        Operator::F64Floor => (Opcode::Floor, types::F64),
        Operator::F64Trunc => (Opcode::Trunc, types::F64),
        Operator::F64Nearest => (Opcode::Nearest, types::F64),
        Operator::F64Sqrt => (Opcode::Sqrt, types::F64),
        Operator::I32WrapI64 => (Opcode::Ireduce, types::I32),
        Operator::I64ExtendI32S => (Opcode::Sextend, types::I64),
        Operator::I64ExtendI32U => (Opcode::Uextend, types::I64),
        Operator::F32DemoteF64 => (Opcode::Fdemote, types::F32),
        Operator::F64PromoteF32 => (Opcode::Fpromote, types::F64),
        Operator::I32TruncF32S | Operator::I32TruncF64S => (Opcode::FcvtToSint, types::I32),
        Operator::I32TruncSatF32S | Operator::I32TruncSatF64S => {
            (Opcode::FcvtToSintSat, types::I32)
        }
        Operator::F32ConvertI32S | Operator::F32ConvertI64S => (Opcode::FcvtFromSint, types::F32),
        Operator::I32TruncF32U | Operator::I32TruncF64U => (Opcode::FcvtToUint, types::I32),
        Operator::I32TruncSatF32U | Operator::I32TruncSatF64U => {
            (Opcode::FcvtToUintSat, types::I32)
        }
        Operator::F32ConvertI32U | Operator::F32ConvertI64U => (Opcode::FcvtFromUint, types::F32),
        Operator::F64ConvertI32S | Operator::F64ConvertI64S => (Opcode::FcvtFromSint, types::F64),
        Operator::F64ConvertI32U | Operator::F64ConvertI64U => (Opcode::FcvtFromUint, types::F64),
        Operator::I64TruncF32S | Operator::I64TruncF64S => (Opcode::FcvtToSint, types::I64),
        Operator::I64TruncSatF32S | Operator::I64TruncSatF64S => {
            (Opcode::FcvtToSintSat, types::I64)
        }
        Operator::I64TruncF32U | Operator::I64TruncF64U => (Opcode::FcvtToUint, types::I64),
        Operator::I64TruncSatF32U | Operator::I64TruncSatF64U => {
            (Opcode::FcvtToUintSat, types::I64)
        }
        _ => return None,
    })
}

/// Integer comparisons.
pub fn int_compare(op: &Operator<'_>) -> Option<IntCC> {
    Some(match op {
        Operator::I32Eq | Operator::I64Eq => IntCC::Equal,
        Operator::I32Ne | Operator::I64Ne => IntCC::NotEqual,
        Operator::I32LtS | Operator::I64LtS => IntCC::SignedLessThan,
        Operator::I32LtU | Operator::I64LtU => IntCC::UnsignedLessThan,
        Operator::I32GtS | Operator::I64GtS => IntCC::SignedGreaterThan,
        Operator::I32GtU | Operator::I64GtU => IntCC::UnsignedGreaterThan,
        Operator::I32LeS | Operator::I64LeS => IntCC::SignedLessThanOrEqual,
        Operator::I32LeU | Operator::I64LeU => IntCC::UnsignedLessThanOrEqual,
        Operator::I32GeS | Operator::I64GeS => IntCC::SignedGreaterThanOrEqual,
        Operator::I32GeU | Operator::I64GeU => IntCC::UnsignedGreaterThanOrEqual,
        _ => return None,
    })
}

/// Float comparisons: all but `ne` are false on NaN.
pub fn float_compare(op: &Operator<'_>) -> Option<FloatCC> {
    Some(match op {
        Operator::F32Eq | Operator::F64Eq => FloatCC::Equal,
        Operator::F32Ne | Operator::F64Ne => FloatCC::NotEqual,
        Operator::F32Lt | Operator::F64Lt => FloatCC::LessThan,
        Operator::F32Gt | Operator::F64Gt => FloatCC::GreaterThan,
        Operator::F32Le | Operator::F64Le => FloatCC::LessThanOrEqual,
        Operator::F32Ge | Operator::F64Ge => FloatCC::GreaterThanOrEqual,
        _ => return None,
    })
}
