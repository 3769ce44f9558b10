//! Wide arithmetic: operators on 128-bit integers that travel as two `i64`, the low half first.
//!
//! CLIF has an integer type of 128 bits, which the backend keeps in two registers: an addition is
//! `add` and `adc`, a widening multiplication one instruction. The pairs meet here only; no value
//! of that type outlives its operator, so signatures and blocks never see it.

use super::{Res, Translator};
use cranelift_codegen::ir::{InstBuilder, Opcode, Value, types};
use lucet_artifact::contract::feature;
use wasmparser::Operator;

impl Translator<'_, '_> {
    /// Translates an operator of wide arithmetic; false if it is not one.
    pub(super) fn wide(&mut self, op: &Operator<'_>) -> Res<bool> {
        match op {
            Operator::I64Add128 => self.wide_binary(Opcode::Iadd)?,
            Operator::I64Sub128 => self.wide_binary(Opcode::Isub)?,
            Operator::I64MulWideS => self.widening_mul(Opcode::Sextend)?,
            Operator::I64MulWideU => self.widening_mul(Opcode::Uextend)?,
            _ => return Ok(false),
        }
        self.features |= feature::WIDE_ARITHMETIC;
        Ok(true)
    }

    fn pop_pair(&mut self) -> Res<Value> {
        let (low, high) = self.pop2()?;
        Ok(self.body.b.ins().iconcat(low, high))
    }

    fn push_pair(&mut self, v: Value) {
        let (low, high) = self.body.b.ins().isplit(v);
        self.push(low);
        self.push(high);
    }

    fn wide_binary(&mut self, opcode: Opcode) -> Res<()> {
        let y = self.pop_pair()?;
        let x = self.pop_pair()?;
        let (inst, dfg) = self.body.b.ins().Binary(opcode, types::I128, x, y);
        let v = dfg.first_result(inst);
        self.push_pair(v);
        Ok(())
    }

    fn widening_mul(&mut self, extend: Opcode) -> Res<()> {
        let (x, y) = self.pop2()?;
        let mut widen = |v| {
            let (inst, dfg) = self.body.b.ins().Unary(extend, types::I128, v);
            dfg.first_result(inst)
        };
        let (x, y) = (widen(x), widen(y));
        let v = self.body.b.ins().imul(x, y);
        self.push_pair(v);
        Ok(())
    }
}
