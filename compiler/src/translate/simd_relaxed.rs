//! Relaxed vector operators: those for which WebAssembly allows several answers. Each has one here,
//! the same on every CPU and at every optimisation level.
//!
//! * `relaxed_swizzle`, `relaxed_trunc`, `relaxed_min`, `relaxed_max`, `relaxed_q15mulr_s`: that of
//!   the operator without `relaxed` (tables in `simd_ops.rs`).
//! * `relaxed_laneselect`: that of `v128.bitselect`.
//! * `relaxed_dot_i8x16_i7x16_s`, `…_add_s`: both operands are signed, the sum of two products
//!   saturates.
//! * `relaxed_madd`, `relaxed_nmadd`: rounded once.
//!
//! These are the answers of the deterministic profile (core spec, 4.3.5), but for the last: there
//! the profile rounds twice. Programs that use these operators want what the name says.

use super::{Fail, Res, Translator};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use lucet_artifact::abi::Builtin;
use lucet_artifact::contract::{cpu, feature};
use wasmparser::Operator;

/// What inline fused instructions take: they are encoded as AVX's are.
const FUSED: u64 = cpu::AVX | cpu::FMA;

/// -32768 in each of eight lanes.
const WRAPPED: u128 = 0x8000_8000_8000_8000_8000_8000_8000_8000;

impl Translator<'_, '_> {
    /// Translates what is special about relaxed operators, and notes that they are used; false if
    /// nothing was translated here.
    pub(super) fn simd_relaxed(&mut self, op: &Operator<'_>) -> Res<bool> {
        match op {
            Operator::I8x16RelaxedSwizzle
            | Operator::I32x4RelaxedTruncF32x4S
            | Operator::I32x4RelaxedTruncF32x4U
            | Operator::I32x4RelaxedTruncF64x2SZero
            | Operator::I32x4RelaxedTruncF64x2UZero
            | Operator::F32x4RelaxedMin
            | Operator::F32x4RelaxedMax
            | Operator::F64x2RelaxedMin
            | Operator::F64x2RelaxedMax
            | Operator::I16x8RelaxedQ15mulrS => {
                self.features |= feature::RELAXED_SIMD;
                return Ok(false);
            }
            Operator::I8x16RelaxedLaneselect
            | Operator::I16x8RelaxedLaneselect
            | Operator::I32x4RelaxedLaneselect
            | Operator::I64x2RelaxedLaneselect => self.bitselect()?,
            Operator::F32x4RelaxedMadd => self.fused(F32X4, false)?,
            Operator::F64x2RelaxedMadd => self.fused(F64X2, false)?,
            Operator::F32x4RelaxedNmadd => self.fused(F32X4, true)?,
            Operator::F64x2RelaxedNmadd => self.fused(F64X2, true)?,
            Operator::I16x8RelaxedDotI8x16I7x16S => {
                let (x, y) = self.pop2_v(I8X16)?;
                let v = self.saturated_dot(x, y);
                self.push_v(v);
            }
            Operator::I32x4RelaxedDotI8x16I7x16AddS => {
                let z = self.pop_v(I32X4)?;
                let (x, y) = self.pop2_v(I8X16)?;
                let v = self.saturated_dot(x, y);
                let v = self.widened_sums(v);
                let v = self.body.b.ins().iadd(v, z);
                self.push_v(v);
            }
            _ => return Ok(false),
        }
        self.features |= feature::SIMD | feature::RELAXED_SIMD;
        Ok(true)
    }

    /// Two products of bytes add up to more than 16 bits hold in one case only: all four are -128.
    /// The sum wraps to -32768 then, which no other sum is, and the bits of that are those of 32767
    /// inverted.
    fn saturated_dot(&mut self, x: Value, y: Value) -> Value {
        let sums = self.dot(I8X16, I16X8, x, y);
        let wrapped = self.lanes_equal(sums, WRAPPED);
        self.body.b.ins().bxor(sums, wrapped)
    }

    /// `x * y + z`, or `-x * y + z`.
    fn fused(&mut self, ty: Type, negated: bool) -> Res<()> {
        let z = self.pop_v(ty)?;
        let (mut x, y) = self.pop2_v(ty)?;
        if negated {
            x = self.body.b.ins().fneg(x);
        }
        if self.body.env.plan.contract.cpu & FUSED == FUSED {
            let v = self.body.b.ins().fma(x, y, z);
            self.push_v(v);
            return Ok(());
        }
        let which = if ty == F32X4 { Builtin::FusedF32x2 } else { Builtin::FusedF64 };
        let (x, y, z) = (self.halves(x), self.halves(y), self.halves(z));
        let mut both = [None; 2];
        for (half, ((x, y), z)) in both.iter_mut().zip(x.into_iter().zip(y).zip(z)) {
            *half = self.body.builtin(which, &[x, y, z]);
        }
        let [Some(low), Some(high)] = both else { return Err(Fail::Internal("builtin result")) };
        let v = self.join_halves([low, high]);
        self.push_v(v);
        Ok(())
    }
}
