//! Numeric operators.
//!
//! The trapping conversions bring their own checks and trap codes, division and remainder are
//! checked in `checked.rs`; `min`, `max`, `nearest` and `copysign` have wasm's meaning in CLIF.
//! Loads, stores, moves, `neg`, `abs` and `copysign` keep the bits of a NaN.

use super::numeric_ops::{binary, float_compare, int_compare, unary};
use super::{Res, Translator};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Opcode, Type, types};
use lucet_artifact::contract::feature;
use wasmparser::Operator;

impl Translator<'_, '_> {
    /// Translates a numeric operator; false if it is not one.
    pub(super) fn numeric(&mut self, op: &Operator<'_>) -> Res<bool> {
        if let Some(opcode) = binary(op) {
            let (x, y) = self.pop2()?;
            if matches!(opcode, Opcode::Sdiv | Opcode::Udiv | Opcode::Srem | Opcode::Urem) {
                self.check_division(opcode, x, y);
            }
            let ty = self.body.b.func.dfg.value_type(x);
            let (inst, dfg) = self.body.b.ins().Binary(opcode, ty, x, y);
            let v = dfg.first_result(inst);
            self.push(v);
        } else if let Some(cc) = int_compare(op) {
            let (x, y) = self.pop2()?;
            let v = self.body.b.ins().icmp(cc, x, y);
            let v = self.body.b.ins().uextend(types::I32, v);
            self.push(v);
        } else if let Some((opcode, ty)) = unary(op) {
            let x = self.pop()?;
            let (inst, dfg) = self.body.b.ins().Unary(opcode, ty, x);
            let v = dfg.first_result(inst);
            self.push(v);
            self.note_saturating(op);
        } else if let Some(cc) = float_compare(op) {
            let (x, y) = self.pop2()?;
            let v = self.body.b.ins().fcmp(cc, x, y);
            let v = self.body.b.ins().uextend(types::I32, v);
            self.push(v);
        } else {
            return self.numeric_special(op);
        }
        Ok(true)
    }

    fn numeric_special(&mut self, op: &Operator<'_>) -> Res<bool> {
        match op {
            Operator::I32Const { value } => {
                // Immediates of narrow constants have to be zero-extended.
                let v = self.body.b.ins().iconst(types::I32, i64::from(*value as u32));
                self.push(v);
            }
            Operator::I64Const { value } => {
                let v = self.body.b.ins().iconst(types::I64, *value);
                self.push(v);
            }
            Operator::F32Const { value } => {
                let v = self.body.b.ins().f32const(Ieee32::with_bits(value.bits()));
                self.push(v);
            }
            Operator::F64Const { value } => {
                let v = self.body.b.ins().f64const(Ieee64::with_bits(value.bits()));
                self.push(v);
            }
            Operator::I32Eqz | Operator::I64Eqz => {
                let x = self.pop()?;
                let v = self.body.b.ins().icmp_imm_u(IntCC::Equal, x, 0);
                let v = self.body.b.ins().uextend(types::I32, v);
                self.push(v);
            }
            Operator::I32ReinterpretF32 => self.reinterpret(types::I32)?,
            Operator::I64ReinterpretF64 => self.reinterpret(types::I64)?,
            Operator::F32ReinterpretI32 => self.reinterpret(types::F32)?,
            Operator::F64ReinterpretI64 => self.reinterpret(types::F64)?,
            Operator::I32Extend8S => self.sign_extend(types::I8, types::I32)?,
            Operator::I32Extend16S => self.sign_extend(types::I16, types::I32)?,
            Operator::I64Extend8S => self.sign_extend(types::I8, types::I64)?,
            Operator::I64Extend16S => self.sign_extend(types::I16, types::I64)?,
            Operator::I64Extend32S => self.sign_extend(types::I32, types::I64)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn reinterpret(&mut self, to: Type) -> Res<()> {
        let x = self.pop()?;
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        let v = self.body.b.ins().bitcast(to, flags, x);
        self.push(v);
        Ok(())
    }

    fn sign_extend(&mut self, from: Type, to: Type) -> Res<()> {
        self.features |= feature::SIGN_EXTENSION;
        let x = self.pop()?;
        let narrow = self.body.b.ins().ireduce(from, x);
        let v = self.body.b.ins().sextend(to, narrow);
        self.push(v);
        Ok(())
    }

    fn note_saturating(&mut self, op: &Operator<'_>) {
        if matches!(
            op,
            Operator::I32TruncSatF32S
                | Operator::I32TruncSatF32U
                | Operator::I32TruncSatF64S
                | Operator::I32TruncSatF64U
                | Operator::I64TruncSatF32S
                | Operator::I64TruncSatF32U
                | Operator::I64TruncSatF64S
                | Operator::I64TruncSatF64U
        ) {
            self.features |= feature::SATURATING_CONVERSIONS;
        }
    }
}
