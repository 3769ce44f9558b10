//! Types of constant expressions (core spec, 3.3.10): initial values of globals, offsets of
//! segments, items of element segments.
//!
//! The compiler validated them; they are validated again here because the runtime evaluates them
//! with a small stack machine that should not meet anything it does not expect.

#![forbid(unsafe_code)]

use lucet_artifact::ValType;
use lucet_artifact::code::{FuncTable, NO_REF};
use lucet_artifact::contract::Contract;
use lucet_artifact::init::ConstOp;
use lucet_artifact::types::{HeapType, RefType};

/// What an operator leaves on the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Val(ValType),
    /// `ref.null`, whose type is not stored: it fits each nullable reference type.
    Null,
}

/// What constant expressions may refer to.
pub(super) struct Scope<'a> {
    pub(super) contract: &'a Contract,
    pub(super) funcs: &'a FuncTable,
    /// Globals below this index have their value when the expression is evaluated.
    pub(super) globals: usize,
}

impl Scope<'_> {
    /// Checks that `e` leaves exactly one value of type `want`. The error says what is wrong.
    pub(super) fn check(&self, e: &[ConstOp], want: ValType) -> Result<(), String> {
        let mut stack = Vec::new();
        for op in e {
            let (pops, push) = self.operator(*op)?;
            for _ in 0..pops {
                if stack.pop() != Some(push) {
                    return Err(format!("{op:?} lacks an operand"));
                }
            }
            stack.push(push);
        }
        match stack.as_slice() {
            [Kind::Val(t)] if t.matches(want) => Ok(()),
            [Kind::Null] if want.reference().is_some_and(|t| t.nullable) => Ok(()),
            [Kind::Val(t)] => Err(format!("its type is {t}, not {want}")),
            [Kind::Null] => Err(format!("its type is a reference, not {want}")),
            other => Err(format!("it leaves {} values instead of one", other.len())),
        }
    }

    /// How many operands an operator takes, all of the type of its result.
    fn operator(&self, op: ConstOp) -> Result<(usize, Kind), String> {
        use ValType::{F32, F64, I32, I64, V128};
        Ok(match op {
            ConstOp::I32(_) => (0, Kind::Val(I32)),
            ConstOp::I64(_) => (0, Kind::Val(I64)),
            ConstOp::F32(_) => (0, Kind::Val(F32)),
            ConstOp::F64(_) => (0, Kind::Val(F64)),
            ConstOp::V128(_) => (0, Kind::Val(V128)),
            ConstOp::GlobalGet(i) => (0, Kind::Val(self.global(i)?)),
            ConstOp::RefNull => (0, Kind::Null),
            ConstOp::RefFunc(f) => (0, Kind::Val(self.reference(f)?)),
            ConstOp::I32Add | ConstOp::I32Sub | ConstOp::I32Mul => (2, Kind::Val(I32)),
            ConstOp::I64Add | ConstOp::I64Sub | ConstOp::I64Mul => (2, Kind::Val(I64)),
        })
    }

    fn global(&self, i: u32) -> Result<ValType, String> {
        match self.contract.globals.get(i as usize) {
            Some(g) if !g.mutable && (i as usize) < self.globals => Ok(g.ty),
            Some(g) if g.mutable => Err(format!("global {i} is mutable")),
            _ => Err(format!("global {i} has no value yet")),
        }
    }

    /// The type of a reference to function `f`, if it can be referred to.
    fn reference(&self, f: u32) -> Result<ValType, String> {
        match self.funcs.funcs.get(f as usize) {
            Some(r) if r.reference != NO_REF => {
                let heap = HeapType::Concrete(r.ty);
                Ok(ValType::Ref(RefType { nullable: false, heap }))
            }
            _ => Err(format!("function {f} has no reference index")),
        }
    }

    /// Checks that function `f` can be referred to by a reference of type `want`.
    pub(super) fn function(&self, f: u32, want: ValType) -> Result<(), String> {
        let have = self.reference(f)?;
        if have.matches(want) { Ok(()) } else { Err(format!("its type is {have}, not {want}")) }
    }
}
