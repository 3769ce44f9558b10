//! Tail calls: the callee takes the place of the caller's frame, so that a chain of them, however
//! long, needs the stack of one.
//!
//! ```text
//!  return_call           own function      jmp it
//!                        imported          code = [link slot.code]
//!                                          0: call the host through the thunk, return
//!                                          else jmp code([link slot.vmctx], …)
//!  return_call_indirect  the checks of call_indirect, jmp
//!  return_call_ref       the check of call_ref, jmp
//! ```
//!
//! A host function that is called instead of returning does nest, but only once: it runs on the
//! host's stack and comes back. Import stubs are such functions, so that references to imported
//! functions make no difference.

use super::abi;
use super::body::{Body, FUNCTIONS, Sig};
use super::table::Callee;
use super::{Fail, Res, Translator};
use cranelift_codegen::ir::{InstBuilder, Value};
use lucet_artifact::abi::link_slot;
use lucet_artifact::contract::feature;
use wasmparser::Operator;

impl Translator<'_, '_> {
    /// Translates a tail call; false if it is not one.
    pub(super) fn tail(&mut self, op: &Operator<'_>) -> Res<bool> {
        match op {
            Operator::ReturnCall { function_index } => {
                let plan = self.body.env.plan;
                let of = plan.func_type(*function_index).ok_or(Fail::Internal("callee"))?;
                let args = self.pop_n(of.params.len())?;
                self.body.return_call(*function_index, &args)?;
            }
            Operator::ReturnCallIndirect { type_index, table_index } => {
                if *table_index != 0 {
                    self.features |= feature::REFERENCE_TYPES;
                }
                let (callee, args) = self.indirect_callee(*type_index, *table_index)?;
                self.body.return_call_guest(callee, &args)?;
            }
            Operator::ReturnCallRef { type_index } => {
                self.features |= feature::FUNCTION_REFERENCES;
                let (callee, args) = self.referred_callee(*type_index)?;
                self.body.return_call_guest(callee, &args)?;
            }
            _ => return Ok(false),
        }
        self.features |= feature::TAIL_CALL;
        self.reachable = false;
        Ok(true)
    }
}

impl Body<'_, '_> {
    /// Calls a function of the module by index, imported or own, and returns what it returns.
    /// `args` without vmctx.
    pub fn return_call(&mut self, func: u32, args: &[Value]) -> Res<()> {
        let ty = *self.env.plan.func_types.get(func as usize).ok_or(Fail::Internal("callee"))?;
        if func < self.env.plan.imported.funcs {
            return self.return_call_import(func, ty, args);
        }
        let of = self.ty(ty)?;
        let callee = self.callee(FUNCTIONS, func, Sig::Guest(ty), || abi::guest(of));
        let args = self.guest_args(self.vmctx, args)?;
        self.store_fuel();
        self.b.ins().return_call(callee, &args);
        self.tails.insert(ty);
        Ok(())
    }

    /// The same for code in the guest's convention.
    pub(super) fn return_call_guest(&mut self, to: Callee, args: &[Value]) -> Res<()> {
        let of = self.ty(to.ty)?;
        let signature = self.signature(Sig::Guest(to.ty), || abi::guest(of));
        let args = self.guest_args(to.vmctx, args)?;
        self.store_fuel();
        self.b.ins().return_call_indirect(signature, to.code, &args);
        self.tails.insert(to.ty);
        Ok(())
    }

    fn return_call_import(&mut self, import: u32, ty: u32, args: &[Value]) -> Res<()> {
        self.charge_host_call();
        self.store_fuel();
        let code = self.linked_code(import);
        let (linked, host) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(code, linked, &[], host, &[]);
        self.b.switch_to_block(linked);
        self.b.seal_block(linked);
        let slot = self.env.plan.layout.link_slot(import);
        let vmctx = self.code_slot(slot + link_slot::VMCTX as i32);
        self.return_call_guest(Callee { ty, code, vmctx }, args)?;
        self.b.switch_to_block(host);
        self.b.seal_block(host);
        let results = self.call_slot(import, ty, args)?;
        self.store_fuel();
        self.b.ins().return_(&results);
        Ok(())
    }
}
