//! 128-bit vectors.
//!
//! wasm has one vector type, CLIF one per lane shape. On the operand stack, in locals, globals,
//! blocks and calls a vector is `I8X16`; an operator casts its operands to the shape it works on
//! and its result back. A cast costs nothing, and one that only undoes another is not made, so that
//! patterns over several operators are still seen by instruction selection.
//!
//! Every operator must become instructions of the target; one that Cranelift would make a call of a
//! C library is refused when relocations are read (`codegen/piece.rs`).

use super::simd_ops::{self as ops, Extend};
use super::{Res, Translator};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8, I8X16, I16, I16X8, I32, I32X4, I64X2};
use cranelift_codegen::ir::{
    Endianness, InstBuilder, InstructionData, MemFlagsData, Opcode, Type, Value, types,
};
use lucet_artifact::contract::feature;
use wasmparser::Operator;

/// The type that decides what an instruction means; CLIF knows it by itself for some.
fn controlling(opcode: Opcode, from: Type, to: Type) -> Type {
    match opcode {
        Opcode::Swizzle | Opcode::Fvdemote | Opcode::FvpromoteLow => types::INVALID,
        Opcode::FcvtToSintSat
        | Opcode::FcvtToUintSat
        | Opcode::FcvtFromSint
        | Opcode::FcvtFromUint => to,
        _ => from,
    }
}

impl Translator<'_, '_> {
    /// Translates a vector operator; false if it is not one.
    pub(super) fn simd(&mut self, op: &Operator<'_>) -> Res<bool> {
        let done = self.simd_memory(op)?
            || self.simd_lanewise(op)?
            || self.simd_lanes(op)?
            || self.simd_logic(op)?;
        if done {
            self.features |= feature::SIMD;
        }
        let done = self.simd_relaxed(op)? || done;
        Ok(done)
    }

    /// A vector as another shape.
    pub(super) fn cast(&mut self, v: Value, to: Type) -> Value {
        let dfg = &self.body.b.func.dfg;
        if dfg.value_type(v) == to {
            return v;
        }
        if let Some(inst) = dfg.value_def(v).inst() {
            match dfg.insts[inst] {
                InstructionData::LoadNoOffset { opcode: Opcode::Bitcast, arg, .. }
                    if dfg.value_type(arg) == to =>
                {
                    return arg;
                }
                InstructionData::UnaryConst { opcode: Opcode::Vconst, constant_handle } => {
                    return self.body.b.ins().vconst(to, constant_handle);
                }
                _ => {}
            }
        }
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        self.body.b.ins().bitcast(to, flags, v)
    }

    /// The shape in which a vector came to be.
    fn origin(&self, v: Value) -> Type {
        let dfg = &self.body.b.func.dfg;
        match dfg.value_def(v).inst().map(|inst| dfg.insts[inst]) {
            Some(InstructionData::LoadNoOffset { opcode: Opcode::Bitcast, arg, .. }) => {
                dfg.value_type(arg)
            }
            _ => I8X16,
        }
    }

    pub(super) fn pop_v(&mut self, ty: Type) -> Res<Value> {
        let v = self.pop()?;
        Ok(self.cast(v, ty))
    }

    pub(super) fn pop2_v(&mut self, ty: Type) -> Res<(Value, Value)> {
        let y = self.pop_v(ty)?;
        Ok((self.pop_v(ty)?, y))
    }

    pub(super) fn push_v(&mut self, v: Value) {
        let v = self.cast(v, I8X16);
        self.push(v);
    }

    /// A vector constant.
    pub(super) fn v128(&mut self, ty: Type, bits: u128) -> Value {
        let bytes = bits.to_le_bytes();
        let constant = self.body.b.func.dfg.constants.insert(bytes.as_slice().into());
        self.body.b.ins().vconst(ty, constant)
    }

    fn one(&mut self, opcode: Opcode, from: Type, to: Type, x: Value) -> Value {
        let (inst, dfg) = self.body.b.ins().Unary(opcode, controlling(opcode, from, to), x);
        dfg.first_result(inst)
    }

    fn two(&mut self, opcode: Opcode, from: Type, x: Value, y: Value) -> Value {
        let (inst, dfg) = self.body.b.ins().Binary(opcode, controlling(opcode, from, from), x, y);
        dfg.first_result(inst)
    }

    /// What the tables say.
    fn simd_lanewise(&mut self, op: &Operator<'_>) -> Res<bool> {
        let v = if let Some((opcode, ty)) = ops::binary(op) {
            let (x, y) = self.pop2_v(ty)?;
            self.two(opcode, ty, x, y)
        } else if let Some((cc, ty)) = ops::int_compare(op) {
            let (x, y) = self.pop2_v(ty)?;
            self.body.b.ins().icmp(cc, x, y)
        } else if let Some((cc, ty)) = ops::float_compare(op) {
            let (x, y) = self.pop2_v(ty)?;
            self.body.b.ins().fcmp(cc, x, y)
        } else if let Some((opcode, from, to)) = ops::unary(op) {
            let x = self.pop_v(from)?;
            self.one(opcode, from, to, x)
        } else if let Some((opcode, ty)) = ops::shift(op) {
            let by = self.pop()?;
            let x = self.pop_v(ty)?;
            self.two(opcode, ty, x, by)
        } else {
            return self.simd_steps(op);
        };
        self.push_v(v);
        Ok(true)
    }

    /// Operators that are several instructions, which Cranelift recognises as one of the target's
    /// where there is one.
    fn simd_steps(&mut self, op: &Operator<'_>) -> Res<bool> {
        let v = if let Some((opcode, from, _)) = ops::narrow(op) {
            let (x, y) = self.pop2_v(from)?;
            self.two(opcode, from, x, y)
        } else if let Some((widen, from, to)) = ops::extended_product(op) {
            let (x, y) = self.pop2_v(from)?;
            let (x, y) = (self.one(widen, from, to, x), self.one(widen, from, to, y));
            self.body.b.ins().imul(x, y)
        } else if let Some((halves, from, to)) = ops::pairwise_sum(op) {
            let x = self.pop_v(from)?;
            let [low, high] = halves.map(|widen| self.one(widen, from, to, x));
            self.body.b.ins().iadd_pairwise(low, high)
        } else if let Some((from, first, between, second, to)) = ops::then(op) {
            let x = self.pop_v(from)?;
            let x = self.one(first, from, between, x);
            if matches!(second, Opcode::Snarrow | Opcode::Uunarrow) {
                let zeros = self.v128(between, 0);
                self.two(second, between, x, zeros)
            } else {
                self.one(second, between, to, x)
            }
        } else {
            match op {
                Operator::I32x4DotI16x8S => {
                    let (x, y) = self.pop2_v(I16X8)?;
                    self.dot(I16X8, I32X4, x, y)
                }
                // `y < x ? y : x`, so that of two zeros, or with a NaN, it is `x`.
                Operator::F32x4PMin => self.pseudo(F32X4, true)?,
                Operator::F64x2PMin => self.pseudo(F64X2, true)?,
                Operator::F32x4PMax => self.pseudo(F32X4, false)?,
                Operator::F64x2PMax => self.pseudo(F64X2, false)?,
                _ => return Ok(false),
            }
        };
        self.push_v(v);
        Ok(true)
    }

    /// Products of the lanes, signed and twice as wide, neighbours added.
    pub(super) fn dot(&mut self, from: Type, to: Type, x: Value, y: Value) -> Value {
        let [low, high] = [Opcode::SwidenLow, Opcode::SwidenHigh].map(|widen| {
            let (x, y) = (self.one(widen, from, to, x), self.one(widen, from, to, y));
            self.body.b.ins().imul(x, y)
        });
        self.body.b.ins().iadd_pairwise(low, high)
    }

    fn pseudo(&mut self, ty: Type, min: bool) -> Res<Value> {
        let (x, y) = self.pop2_v(ty)?;
        let (less, than) = if min { (y, x) } else { (x, y) };
        let takes_y = self.body.b.ins().fcmp(FloatCC::LessThan, less, than);
        let takes_y = self.cast(takes_y, ty);
        Ok(self.body.b.ins().bitselect(takes_y, y, x))
    }

    /// Constants, single lanes, and their order.
    fn simd_lanes(&mut self, op: &Operator<'_>) -> Res<bool> {
        if let Some((ty, extend, lane)) = ops::extract(op) {
            let x = self.pop_v(ty)?;
            let v = self.body.b.ins().extractlane(x, lane);
            let v = match extend {
                Extend::None => v,
                Extend::Signed => self.body.b.ins().sextend(I32, v),
                Extend::Unsigned => self.body.b.ins().uextend(I32, v),
            };
            self.push(v);
        } else if let Some((ty, lane)) = ops::replace(op) {
            let v = self.pop_lane(ty)?;
            let x = self.pop_v(ty)?;
            let v = self.body.b.ins().insertlane(x, v, lane);
            self.push_v(v);
        } else if let Some(ty) = ops::splat(op) {
            let v = self.pop_lane(ty)?;
            let v = self.body.b.ins().splat(ty, v);
            self.push_v(v);
        } else if let Operator::V128Const { value } = op {
            let v = self.v128(I8X16, u128::from_le_bytes(*value.bytes()));
            self.push(v);
        } else if let Operator::I8x16Shuffle { lanes } = op {
            let (x, y) = self.pop2_v(I8X16)?;
            let lanes = self.body.b.func.dfg.immediates.push(lanes.as_slice().into());
            let v = self.body.b.ins().shuffle(x, y, lanes);
            self.push(v);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// A scalar that becomes a lane: of an `i32` only as much as fits.
    fn pop_lane(&mut self, ty: Type) -> Res<Value> {
        let v = self.pop()?;
        Ok(match ty.lane_type() {
            lane @ (I8 | I16) => self.body.b.ins().ireduce(lane, v),
            _ => v,
        })
    }

    /// Bits, and questions that are answered with an `i32`.
    fn simd_logic(&mut self, op: &Operator<'_>) -> Res<bool> {
        if let Some(ty) = ops::all_true(op) {
            let x = self.pop_v(ty)?;
            let v = self.body.b.ins().vall_true(x);
            self.push_flag(v);
            return Ok(true);
        }
        if let Some(ty) = ops::bitmask(op) {
            let x = self.pop_v(ty)?;
            let v = self.body.b.ins().vhigh_bits(I32, x);
            self.push(v);
            return Ok(true);
        }
        match op {
            Operator::V128Not => {
                let x = self.pop()?;
                let ty = self.origin(x);
                let x = self.cast(x, ty);
                let v = self.body.b.ins().bnot(x);
                self.push_v(v);
            }
            Operator::V128And => self.bits(Opcode::Band, false)?,
            Operator::V128AndNot => self.bits(Opcode::Band, true)?,
            Operator::V128Or => self.bits(Opcode::Bor, false)?,
            Operator::V128Xor => self.bits(Opcode::Bxor, false)?,
            Operator::V128AnyTrue => {
                let x = self.pop()?;
                let v = self.body.b.ins().vany_true(x);
                self.push_flag(v);
            }
            Operator::V128Bitselect => self.bitselect()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn push_flag(&mut self, v: Value) {
        let v = self.body.b.ins().uextend(I32, v);
        self.push(v);
    }

    /// In the shape of the first operand: CPUs have such an instruction for integers and for
    /// floats, and it is the same but for the time that changing over takes. The second operand may
    /// be inverted before.
    fn bits(&mut self, opcode: Opcode, inverted: bool) -> Res<()> {
        let (x, y) = self.pop2()?;
        let ty = self.origin(x);
        let (x, mut y) = (self.cast(x, ty), self.cast(y, ty));
        if inverted {
            y = self.body.b.ins().bnot(y);
        }
        let v = self.two(opcode, ty, x, y);
        self.push_v(v);
        Ok(())
    }

    /// In the shape of the mask, because what is known of a comparison is not known of its bytes.
    pub(super) fn bitselect(&mut self) -> Res<()> {
        let (x, y, mask) = self.pop3()?;
        let ty = self.origin(mask);
        let (x, y, mask) = (self.cast(x, ty), self.cast(y, ty), self.cast(mask, ty));
        let v = self.body.b.ins().bitselect(mask, x, y);
        self.push_v(v);
        Ok(())
    }

    /// Lanes of `v` that are `what` become all ones, others zeros.
    pub(super) fn lanes_equal(&mut self, v: Value, what: u128) -> Value {
        let ty = self.body.b.func.dfg.value_type(v);
        let what = self.v128(ty, what);
        self.body.b.ins().icmp(IntCC::Equal, v, what)
    }

    /// Sums of neighbours, signed and twice as wide.
    pub(super) fn widened_sums(&mut self, v: Value) -> Value {
        let low = self.body.b.ins().swiden_low(v);
        let high = self.body.b.ins().swiden_high(v);
        self.body.b.ins().iadd_pairwise(low, high)
    }

    /// The two 64-bit halves of a vector, and a vector of two.
    pub(super) fn halves(&mut self, v: Value) -> [Value; 2] {
        let v = self.cast(v, I64X2);
        [0u8, 1].map(|lane| self.body.b.ins().extractlane(v, lane))
    }

    pub(super) fn join_halves(&mut self, [low, high]: [Value; 2]) -> Value {
        let v = self.body.b.ins().splat(I64X2, low);
        self.body.b.ins().insertlane(v, high, 1u8)
    }
}
