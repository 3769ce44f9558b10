//! Evaluation of constant expressions: initial values of globals, offsets of segments, elements.
//!
//! The compiler validated them and the loader checked their types again; a mistake that gets this
//! far is still only an error.

use crate::error::{Error, Result, Status};
use lucet_artifact::init::ConstOp;

pub(crate) fn bad_expression() -> Error {
    Error::new(Status::InvalidArtifact, "a constant expression in .lucet.init does not evaluate")
}

/// The value of `expr` as a value slot. `global` gives the value of a global, `function` the
/// reference to a function.
pub(crate) fn eval(
    expr: &[ConstOp],
    global: impl Fn(u32) -> Option<u128>,
    function: impl Fn(u32) -> Option<u64>,
) -> Result<u128> {
    let mut stack: Vec<u128> = Vec::with_capacity(2);
    for op in expr {
        let mut binary = |f: fn(u64, u64) -> u64| {
            let (b, a) = (stack.pop()?, stack.pop()?);
            Some(u128::from(f(a as u64, b as u64)))
        };
        fn low(f: fn(u32, u32) -> u32, a: u64, b: u64) -> u64 {
            u64::from(f(a as u32, b as u32))
        }
        let v = match *op {
            ConstOp::I32(v) => Some(u128::from(v as u32)),
            ConstOp::I64(v) => Some(u128::from(v as u64)),
            ConstOp::F32(v) => Some(u128::from(v)),
            ConstOp::F64(v) => Some(u128::from(v)),
            ConstOp::V128(v) => Some(v),
            ConstOp::GlobalGet(g) => global(g),
            ConstOp::RefNull => Some(0),
            ConstOp::RefFunc(f) => function(f).map(u128::from),
            ConstOp::I32Add => binary(|a, b| low(u32::wrapping_add, a, b)),
            ConstOp::I32Sub => binary(|a, b| low(u32::wrapping_sub, a, b)),
            ConstOp::I32Mul => binary(|a, b| low(u32::wrapping_mul, a, b)),
            ConstOp::I64Add => binary(u64::wrapping_add),
            ConstOp::I64Sub => binary(u64::wrapping_sub),
            ConstOp::I64Mul => binary(u64::wrapping_mul),
        };
        stack.push(v.ok_or_else(bad_expression)?);
    }
    match stack.as_slice() {
        [v] => Ok(*v),
        _ => Err(bad_expression()),
    }
}

/// A value as the index of a memory or table whose indices are 64 bits wide, or 32.
pub(crate) fn index(value: u128, wide: bool) -> u64 {
    if wide { value as u64 } else { u64::from(value as u32) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConstOp::*;

    #[test]
    fn arithmetic_wraps_in_its_width() {
        let none = |_| None;
        let eval = |e: &[ConstOp]| super::eval(e, |g| Some(u128::from(g) * 10), none);
        assert_eq!(eval(&[I32(-1), I32(2), I32Add]).unwrap(), 1);
        assert_eq!(eval(&[I32(5), I32(7), I32Sub]).unwrap(), u128::from(u32::MAX - 1));
        assert_eq!(eval(&[GlobalGet(3), I64(4), I64Mul]).unwrap(), 120);
        assert!(eval(&[I32Add]).is_err());
        assert!(eval(&[]).is_err());
        assert!(eval(&[I32(1), I32(2)]).is_err());
        assert!(eval(&[RefFunc(0)]).is_err());
    }
}
