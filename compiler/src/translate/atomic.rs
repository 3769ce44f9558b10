//! Atomic accesses (threads proposal) to memories that no other thread sees: `memory.atomic.wait`
//! has nobody to wait for and traps, `memory.atomic.notify` wakes nobody.
//!
//! ```text
//!  ea = index + offset     (ea & (size - 1)) ≠ 0 ─► UnalignedAtomic
//!  address of ea           as any access, see address.rs
//! ```
//!
//! The accesses are the processor's atomic ones all the same: an operator means one thing, and code
//! that is compiled with them was asked to be.

use super::{Fail, Res, Translator};
use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder, Type, Value, types};
use lucet_artifact::abi::TrapCode;
use lucet_artifact::contract::feature;
use types::{I8, I16, I32, I64};
use wasmparser::{MemArg, Operator};

/// What an operator does to memory.
#[derive(Debug, Clone, Copy)]
enum Action {
    Load,
    Store,
    Rmw(AtomicRmwOp),
    Cmpxchg,
}

/// Matches the seven widths of each operator; gives action, operand, value type, access type.
macro_rules! families {
    ($op:expr; $($action:expr => $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident;)*)
    => {
        match $op {
            $(
                Operator::$a { memarg } => Some(($action, *memarg, I32, I32)),
                Operator::$b { memarg } => Some(($action, *memarg, I64, I64)),
                Operator::$c { memarg } => Some(($action, *memarg, I32, I8)),
                Operator::$d { memarg } => Some(($action, *memarg, I32, I16)),
                Operator::$e { memarg } => Some(($action, *memarg, I64, I8)),
                Operator::$f { memarg } => Some(($action, *memarg, I64, I16)),
                Operator::$g { memarg } => Some(($action, *memarg, I64, I32)),
            )*
            _ => None,
        }
    };
}

#[rustfmt::skip]
fn access(op: &Operator<'_>) -> Option<(Action, MemArg, Type, Type)> {
    use AtomicRmwOp::{Add, And, Or, Sub, Xchg, Xor};
    families! { op;
        Action::Load => I32AtomicLoad I64AtomicLoad I32AtomicLoad8U I32AtomicLoad16U
            I64AtomicLoad8U I64AtomicLoad16U I64AtomicLoad32U;
        Action::Store => I32AtomicStore I64AtomicStore I32AtomicStore8 I32AtomicStore16
            I64AtomicStore8 I64AtomicStore16 I64AtomicStore32;
        Action::Rmw(Add) => I32AtomicRmwAdd I64AtomicRmwAdd I32AtomicRmw8AddU I32AtomicRmw16AddU
            I64AtomicRmw8AddU I64AtomicRmw16AddU I64AtomicRmw32AddU;
        Action::Rmw(Sub) => I32AtomicRmwSub I64AtomicRmwSub I32AtomicRmw8SubU I32AtomicRmw16SubU
            I64AtomicRmw8SubU I64AtomicRmw16SubU I64AtomicRmw32SubU;
        Action::Rmw(And) => I32AtomicRmwAnd I64AtomicRmwAnd I32AtomicRmw8AndU I32AtomicRmw16AndU
            I64AtomicRmw8AndU I64AtomicRmw16AndU I64AtomicRmw32AndU;
        Action::Rmw(Or) => I32AtomicRmwOr I64AtomicRmwOr I32AtomicRmw8OrU I32AtomicRmw16OrU
            I64AtomicRmw8OrU I64AtomicRmw16OrU I64AtomicRmw32OrU;
        Action::Rmw(Xor) => I32AtomicRmwXor I64AtomicRmwXor I32AtomicRmw8XorU I32AtomicRmw16XorU
            I64AtomicRmw8XorU I64AtomicRmw16XorU I64AtomicRmw32XorU;
        Action::Rmw(Xchg) => I32AtomicRmwXchg I64AtomicRmwXchg I32AtomicRmw8XchgU
            I32AtomicRmw16XchgU I64AtomicRmw8XchgU I64AtomicRmw16XchgU I64AtomicRmw32XchgU;
        Action::Cmpxchg => I32AtomicRmwCmpxchg I64AtomicRmwCmpxchg I32AtomicRmw8CmpxchgU
            I32AtomicRmw16CmpxchgU I64AtomicRmw8CmpxchgU I64AtomicRmw16CmpxchgU
            I64AtomicRmw32CmpxchgU;
    }
}

impl Translator<'_, '_> {
    /// Translates an atomic operator; false if it is not one.
    pub(super) fn atomic(&mut self, op: &Operator<'_>) -> Res<bool> {
        if let Some((action, at, ty, narrow)) = access(op) {
            self.atomic_access(action, &at, ty, narrow)?;
            self.features |= feature::ATOMICS;
            return Ok(true);
        }
        match op {
            Operator::AtomicFence { .. } => {
                self.body.b.ins().fence();
            }
            Operator::MemoryAtomicNotify { memarg } => {
                let (index, _) = self.pop2()?;
                self.atomic_probe(memarg, index, I32)?;
                let nobody = self.body.b.ins().iconst(I32, 0);
                self.push(nobody);
            }
            Operator::MemoryAtomicWait32 { memarg } => self.atomic_wait(memarg, I32)?,
            Operator::MemoryAtomicWait64 { memarg } => self.atomic_wait(memarg, I64)?,
            _ => return Ok(false),
        }
        self.features |= feature::ATOMICS;
        Ok(true)
    }

    fn atomic_access(&mut self, action: Action, at: &MemArg, ty: Type, narrow: Type) -> Res<()> {
        let value = match action {
            Action::Load => None,
            _ => Some(self.pop()?).map(|v| self.narrowed(v, narrow)),
        };
        let expected = match action {
            Action::Cmpxchg => Some(self.pop()?).map(|v| self.narrowed(v, narrow)),
            _ => None,
        };
        let index = self.pop()?;
        let address = self.atomic_address(at, index, narrow)?;
        let flags = self.body.regions.memory();
        let ins = self.body.b.ins();
        let found = match (action, value, expected) {
            (Action::Load, ..) => ins.atomic_load(narrow, flags, address),
            (Action::Rmw(op), Some(v), _) => ins.atomic_rmw(narrow, flags, op, address, v),
            (Action::Cmpxchg, Some(v), Some(e)) => ins.atomic_cas(flags, address, e, v),
            (Action::Store, Some(v), _) => {
                ins.atomic_store(flags, v, address);
                return Ok(());
            }
            _ => return Err(Fail::Internal("operands of an atomic operator")),
        };
        let found = if narrow == ty { found } else { self.body.b.ins().uextend(ty, found) };
        self.push(found);
        Ok(())
    }

    fn narrowed(&mut self, v: Value, narrow: Type) -> Value {
        if self.body.b.func.dfg.value_type(v) == narrow {
            return v;
        }
        self.body.b.ins().ireduce(narrow, v)
    }

    /// Native address of an atomic access, all of it: these take no displacement.
    fn atomic_address(&mut self, at: &MemArg, index: Value, ty: Type) -> Res<Value> {
        let size = u64::from(ty.bytes());
        let mask = (size - 1) as i64;
        if mask != 0 {
            // Only the low bits of the sum count.
            let low = at.offset as i64 & mask;
            let ins = &mut self.body.b;
            let sum = if low == 0 { index } else { ins.ins().iadd_imm_u(index, low) };
            let odd = ins.ins().band_imm_u(sum, mask);
            self.body.trap_if(odd, TrapCode::UnalignedAtomic);
        }
        let (address, offset) = self.address(at, index, size)?;
        if offset == 0 {
            return Ok(address);
        }
        Ok(self.body.b.ins().iadd_imm_u(address, i64::from(offset)))
    }

    /// Traps if an access at `index` would.
    fn atomic_probe(&mut self, at: &MemArg, index: Value, ty: Type) -> Res<()> {
        let address = self.atomic_address(at, index, ty)?;
        let flags = self.body.regions.memory();
        self.body.b.ins().atomic_load(ty, flags, address);
        Ok(())
    }

    fn atomic_wait(&mut self, at: &MemArg, ty: Type) -> Res<()> {
        let (index, _, _) = self.pop3()?;
        self.atomic_probe(at, index, ty)?;
        let never_shared = self.body.b.ins().iconst(I32, 1);
        self.body.trap_if(never_shared, TrapCode::ExpectedSharedMemory);
        // Nobody gets here.
        let result = self.body.b.ins().iconst(I32, 0);
        self.push(result);
        Ok(())
    }
}
