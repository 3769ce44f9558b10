//! What a function will cost, counted in its intermediate code: enough to choose how to compile it,
//! and whether.
//!
//! Most passes take time in proportion to the size of a function, but optimisation and register
//! allocation with backtracking do not: there are functions of 20 KB for which they take minutes.
//! Functions beyond [`PLAIN`] are therefore compiled as with `-O0`: no optimisation, registers in
//! one pass. Its code takes longer to run, but such functions are made by generators and run once,
//! if they are not made to overwhelm a compiler. The choice depends on the function only.

use crate::limits::Limit;
use crate::translate::{Env, Fail, Res, Translated};
use cranelift_codegen::ir::{Function, Inst, Opcode, Value};

/// Sizes of a function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Values, also those that turned out to be others.
    pub values: u64,
    /// Instructions.
    pub insts: u64,
    /// Those of them that may become many of the machine's.
    pub long: u64,
    /// Basic blocks.
    pub blocks: u64,
    /// Parameters of blocks.
    pub params: u64,
    /// Calls, of trap stubs too.
    pub calls: u64,
    /// Targets of jump tables.
    pub targets: u64,
    /// Depth to which loops nest.
    pub loops: u64,
}

/// The largest function for which optimising takes seconds at most.
const PLAIN: Cost = Cost {
    values: 700_000,
    insts: 400_000,
    long: 100_000,
    blocks: 30_000,
    params: 100_000,
    calls: 20_000,
    targets: 200_000,
    loops: 64,
};

/// Nested loops take time for each instruction in them and each level: more levels than those of
/// [`PLAIN`] are allowed while their product with the instructions is not beyond this.
const DEEP: u64 = 4_000_000;

impl Cost {
    /// Counts.
    pub fn of(func: &Function, translated: &Translated) -> Self {
        let mut cost = Self {
            values: func.dfg.num_values() as u64,
            targets: translated.targets,
            loops: u64::from(translated.loops),
            ..Self::default()
        };
        for block in func.layout.blocks() {
            cost.blocks += 1;
            cost.params += func.dfg.num_block_params(block) as u64;
            for inst in func.layout.block_insts(block) {
                cost.insts += 1;
                cost.calls += u64::from(func.dfg.insts[inst].opcode().is_call());
                cost.long += u64::from(is_long(func, inst));
            }
        }
        cost
    }

    /// Whether it is more than what can be optimised.
    pub fn is_large(&self) -> bool {
        let Self { values, insts, long, blocks, params, calls, targets, loops } = *self;
        values > PLAIN.values
            || insts > PLAIN.insts
            || long > PLAIN.long
            || blocks > PLAIN.blocks
            || params > PLAIN.params
            || calls > PLAIN.calls
            || targets > PLAIN.targets
            || loops > PLAIN.loops && loops.saturating_mul(insts) > DEEP
    }

    /// Bytes of memory that compiling takes at most, found by measuring.
    pub fn memory(&self) -> u64 {
        // Optimisation keeps all of what a long instruction becomes.
        let long = if self.is_large() { 1500 } else { 6500 };
        100 * self.values
            + 350 * self.insts
            + long * self.long
            + 1000 * self.blocks
            + 100 * self.params
            + 2500 * self.calls
            + 300 * self.targets
    }

    /// Fails if it is more than may be compiled at all.
    pub fn check(&self, env: &Env<'_>) -> Res<()> {
        if self.calls > env.limits.get(Limit::Calls) {
            return Err(Fail::Limit(Limit::Calls));
        }
        Ok(())
    }
}

/// Whether an instruction may become many of the machine's: arithmetic on vectors (a shift of bytes
/// or a product of 64-bit lanes is a dozen, with constants of its own), and conversions of floats
/// to integers, which have branches. Constants, casts and accesses of vectors are one each.
fn is_long(func: &Function, inst: Inst) -> bool {
    use Opcode::{Bitcast, FcvtToSint, FcvtToSintSat, FcvtToUint, FcvtToUintSat, Vconst};
    let opcode = func.dfg.insts[inst].opcode();
    match opcode {
        FcvtToSint | FcvtToUint | FcvtToSintSat | FcvtToUintSat => true,
        Bitcast | Vconst => false,
        _ if opcode.can_load() || opcode.can_store() || opcode.is_call() => false,
        _ => {
            let is_vector = |v: &Value| func.dfg.value_type(*v).is_vector();
            func.dfg.inst_results(inst).iter().any(is_vector)
                || func.dfg.inst_args(inst).iter().any(is_vector)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_counts() {
        assert!(!PLAIN.is_large() && !Cost::default().is_large());
        for change in [
            (|c| c.values += 1) as fn(&mut Cost),
            |c| c.insts += 1,
            |c| c.long += 1,
            |c| c.blocks += 1,
            |c| c.params += 1,
            |c| c.calls += 1,
            |c| c.targets += 1,
            |c| c.loops += 1,
        ] {
            let mut cost = PLAIN;
            change(&mut cost);
            assert!(cost.is_large(), "{cost:?}");
        }
    }
}
