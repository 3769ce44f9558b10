//! References whose type says more than "a function or null": calls through them, checks for null.
//!
//! ```text
//!  call_ref    ref = 0                    ─► trap (null reference)
//!              code   = [ref.code]
//!              target = [ref.vmctx]; 0 → vmctx
//!              call code(target, …)
//! ```
//!
//! The static type is all the check there is: such a value is null or the address of a descriptor
//! of that type. Inside of guests validation sees to it; whatever comes from the host is compared
//! with the type it is for (`check_host_results` here, `instance::args` in the runtime).

use super::body::Body;
use super::table::Callee;
use super::{Res, Translator};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use lucet_artifact::abi::{Builtin, TrapCode, link_slot, table_entry};
use lucet_artifact::contract::feature;
use lucet_artifact::types::{FuncType, ValType};
use wasmparser::Operator;

impl Translator<'_, '_> {
    /// Translates an operator on typed references; false if it is not one.
    pub(super) fn refs(&mut self, op: &Operator<'_>) -> Res<bool> {
        match op {
            Operator::CallRef { type_index } => {
                let (callee, args) = self.referred_callee(*type_index)?;
                self.call_branch()?;
                let results = self.body.call_guest(callee.ty, callee.code, callee.vmctx, &args)?;
                self.stack.extend(results);
            }
            Operator::RefAsNonNull => {
                let v = self.pop()?;
                self.check_null(v);
                self.push(v);
            }
            Operator::BrOnNull { relative_depth } => {
                let v = self.pop()?;
                let null = self.body.b.ins().icmp_imm_u(IntCC::Equal, v, 0);
                self.branch_if(null, *relative_depth)?;
                self.push(v);
            }
            Operator::BrOnNonNull { relative_depth } => {
                // The label takes the reference too; behind the branch it is gone.
                let v = self.pop()?;
                self.push(v);
                self.branch_if(v, *relative_depth)?;
                self.pop()?;
            }
            _ => return Ok(false),
        }
        self.features |= feature::FUNCTION_REFERENCES;
        Ok(true)
    }

    /// Pops the reference and the arguments of a call through it.
    pub(super) fn referred_callee(&mut self, wasm_type: u32) -> Res<(Callee, Vec<Value>)> {
        let (ty, of) = self.callee_type(wasm_type)?;
        let reference = self.pop()?;
        let args = self.pop_n(of.params.len())?;
        self.check_null(reference);
        let code = self.entry_word(reference, table_entry::CODE);
        let vmctx = self.entry_word(reference, table_entry::VMCTX);
        let vmctx = self.or_own(vmctx);
        Ok((Callee { ty, code, vmctx }, args))
    }

    fn check_null(&mut self, reference: Value) {
        let null = self.body.b.ins().icmp_imm_u(IntCC::Equal, reference, 0);
        self.body.trap_if(null, TrapCode::NullReference);
    }
}

/// Whether results of this type are compared with it when they come from a host function. Any word
/// is an `externref`.
fn is_checked(t: ValType) -> bool {
    t.is_ref() && t != ValType::EXTERNREF
}

impl Body<'_, '_> {
    /// Has the runtime look at references that an imported function returned, unless another
    /// instance did. After a yield they come from whoever resumed the guest, and also here.
    pub(super) fn check_host_results(
        &mut self,
        import: u32,
        of: &FuncType,
        results: &[Value],
    ) -> Res<()> {
        if !of.results.iter().any(|t| is_checked(*t)) {
            return Ok(());
        }
        let linked = self.linked_code(import);
        let (check, next) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(linked, next, &[], check, &[]);
        self.b.switch_to_block(check);
        self.b.seal_block(check);
        for (n, (t, v)) in of.results.iter().zip(results).enumerate() {
            if is_checked(*t) {
                self.spend(1)?;
                let which = (i64::from(import) << 32) | n as i64;
                let which = self.b.ins().iconst(types::I64, which);
                self.builtin(Builtin::CheckResult, &[which, *v]);
            }
        }
        self.b.ins().jump(next, &[]);
        self.b.switch_to_block(next);
        self.b.seal_block(next);
        Ok(())
    }

    /// The code that an imported function is linked to in another instance, 0 if it is the host's.
    pub(super) fn linked_code(&mut self, import: u32) -> Value {
        let slot = self.env.plan.layout.link_slot(import);
        self.code_slot(slot + link_slot::CODE as i32)
    }
}
