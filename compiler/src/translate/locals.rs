//! Locals: frontend variables, for as many as a body can use.
//!
//! Four bytes declare 50,000 locals, and a module can have a million functions that do. A body of
//! `n` bytes names at most `n / 2` locals, so when it declares more, the ones that it names are
//! looked up first, and only those become variables.

use super::abi::clif_type;
use super::exn::is_exnref;
use super::{Fail, Res, Translator};
use crate::limits::Limit;
use crate::parse::Parsed;
use cranelift_codegen::ir::Value;
use cranelift_frontend::Variable;
use lucet_artifact::types::ValType;
use std::collections::{BTreeMap, BTreeSet};
use wasmparser::{FunctionBody, Operator};

/// The locals of a function.
#[derive(Debug, Default)]
pub struct Locals {
    first: Vec<Variable>,
    // Those behind, if only some are variables.
    named: BTreeMap<u32, Variable>,
}

impl Locals {
    /// The variable of a local.
    pub fn get(&self, index: u32) -> Option<Variable> {
        self.first.get(index as usize).or_else(|| self.named.get(&index)).copied()
    }

    /// How many are variables.
    pub fn len(&self) -> usize {
        self.first.len() + self.named.len()
    }
}

/// The locals that a body names.
fn named(wasm: &FunctionBody<'_>) -> Res<BTreeSet<u32>> {
    let mut ops = wasm.get_operators_reader()?;
    let mut set = BTreeSet::new();
    while !ops.eof() {
        if let Operator::LocalGet { local_index }
        | Operator::LocalSet { local_index }
        | Operator::LocalTee { local_index } = ops.read()?
        {
            set.insert(local_index);
        }
    }
    Ok(set)
}

impl Translator<'_, '_> {
    /// Declares parameters and locals in the entry block.
    pub(super) fn declare_locals(
        &mut self,
        wasm: &FunctionBody<'_>,
        types: &[ValType],
        params: &[Value],
    ) -> Res<()> {
        self.body.keep_exnrefs(types, params);
        for (t, value) in types.iter().zip(params) {
            let var = self.variable(*t, *value);
            self.locals.first.push(var);
        }
        let mut total = types.len() as u64;
        let mut groups = Vec::new();
        for group in wasm.get_locals_reader()? {
            let (n, t) = group?;
            let t = Parsed::val_type(t).ok_or(Fail::Internal("type of a local"))?;
            self.features |= Parsed::features_of(t);
            groups.push((total, n, t));
            total += u64::from(n);
        }
        self.within(Limit::Locals, total)?;
        let bytes = wasm.range().end.saturating_sub(wasm.range().start);
        let some = if total - types.len() as u64 > bytes / 2 { Some(named(wasm)?) } else { None };
        for (start, n, t) in groups {
            let start = start as u32;
            let zero = self.zero(t);
            let Some(some) = &some else {
                for _ in 0..n {
                    let var = self.variable(t, zero);
                    self.locals.first.push(var);
                }
                continue;
            };
            for index in some.range(start..start.saturating_add(n)) {
                let var = self.variable(t, zero);
                self.locals.named.insert(*index, var);
            }
        }
        Ok(())
    }

    fn variable(&mut self, t: ValType, value: Value) -> Variable {
        let var = self.body.b.declare_var(clif_type(t));
        if is_exnref(t) {
            self.body.b.declare_var_needs_stack_map(var);
        }
        self.body.b.def_var(var, value);
        var
    }
}
