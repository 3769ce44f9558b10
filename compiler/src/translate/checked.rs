//! Operators that trap on their operands: division and remainder.
//!
//! The processor raises a signal when it divides by zero, and a signal costs microseconds. So the
//! divisor is compared first, and the rare cases lead to the trap stub:
//!
//! ```text
//!  div_u rem_u rem_s      divisor = 0         ─► trap
//!  div_s                  divisor + 1 ≤ 1 (unsigned), which is 0 or -1 ─► cold:
//!                             divisor = 0     ─► trap
//!                             dividend = MIN  ─► trap
//!                             otherwise back
//! ```
//!
//! A constant divisor decides at compile time. Measured in `docs/adr/0005-checks-before-traps.md`.

use super::Translator;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, InstructionData, Opcode, Type, Value, types};
use lucet_artifact::abi::TrapCode;

/// The smallest integer of a type, as the immediate of a constant.
fn smallest(ty: Type) -> i64 {
    if ty == types::I32 { i64::from(i32::MIN as u32) } else { i64::MIN }
}

/// What is known of a divisor at compile time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Divisor {
    Unknown,
    Zero,
    MinusOne,
    Harmless,
}

impl Translator<'_, '_> {
    /// Leads to the trap stub whatever this division must not be given.
    pub(super) fn check_division(&mut self, opcode: Opcode, x: Value, y: Value) {
        let signed = opcode == Opcode::Sdiv;
        match self.divisor(y) {
            Divisor::Harmless => {}
            Divisor::MinusOne if !signed => {}
            Divisor::MinusOne => self.check_overflow(x),
            Divisor::Unknown if signed => self.check_both(x, y),
            Divisor::Unknown | Divisor::Zero => {
                let zero = self.body.b.ins().icmp_imm_u(IntCC::Equal, y, 0);
                self.body.trap_if(zero, TrapCode::IntegerDivisionByZero);
            }
        }
    }

    fn divisor(&self, y: Value) -> Divisor {
        let dfg = &self.body.b.func.dfg;
        let constant = dfg.value_def(y).inst().map(|i| dfg.insts[i]);
        let Some(InstructionData::UnaryImm { opcode: Opcode::Iconst, imm }) = constant else {
            return Divisor::Unknown;
        };
        let narrow = dfg.value_type(y) == types::I32;
        match if narrow { i64::from(imm.bits() as i32) } else { imm.bits() } {
            0 => Divisor::Zero,
            -1 => Divisor::MinusOne,
            _ => Divisor::Harmless,
        }
    }

    /// Traps if `x / -1` overflows.
    fn check_overflow(&mut self, x: Value) {
        let ty = self.body.b.func.dfg.value_type(x);
        let min = self.body.b.ins().iconst(ty, smallest(ty));
        let over = self.body.b.ins().icmp(IntCC::Equal, x, min);
        self.body.trap_if(over, TrapCode::IntegerOverflow);
    }

    /// One comparison for both traps of a signed division.
    fn check_both(&mut self, x: Value, y: Value) {
        let b = &mut self.body.b;
        let (cold, next) = (b.create_block(), b.create_block());
        let above = b.ins().iadd_imm_s(y, 1);
        let rare = b.ins().icmp_imm_u(IntCC::UnsignedLessThanOrEqual, above, 1);
        b.ins().brif(rare, cold, &[], next, &[]);
        b.set_cold_block(cold);
        b.switch_to_block(cold);
        b.seal_block(cold);
        let zero = b.ins().icmp_imm_u(IntCC::Equal, y, 0);
        self.body.trap_if(zero, TrapCode::IntegerDivisionByZero);
        self.check_overflow(x);
        let b = &mut self.body.b;
        // What follows a check stands in a block of its own, and is as rare as the check.
        if let Some(here) = b.current_block() {
            b.set_cold_block(here);
        }
        b.ins().jump(next, &[]);
        b.switch_to_block(next);
        b.seal_block(next);
    }
}
