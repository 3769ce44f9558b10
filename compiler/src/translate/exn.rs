//! Exceptions (`docs/design/exceptions.md`): calls that may be left by one, landing pads, throwing.
//!
//! ```text
//!  try_table (catch $e l) (catch_all l2)          landing pad (exnref, identity of its tag)
//!    call f ── exception ─────────────────────►     identity == [tag cell of $e]? ─► values, br l
//!    ├ returns                                      no ─► let go of it, br l2
//!    …                                              (without catch_all: on to the landing pad
//!  end                                               around this one, or to the runtime)
//! ```
//!
//! A `try_table` costs nothing to enter: it only makes its calls *try calls*, whose return
//! addresses stand in the artifact's table of handlers. All of its calls share one landing pad.
//!
//! Only calls of guest code can land, because only the guest's convention promises nothing about
//! registers there. So imports are called through their stubs, and throwing is a call of glue.
//!
//! A reference to an exception is a number that the runtime gives out; it has to find those in use.
//! Every value of such a type is declared to the frontend, which then keeps it on the stack, not in
//! a register, over calls.

use super::control::Frame;
use super::{Fail, Res, Translator};
use crate::translate::body::Body;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, ExceptionTableData, ExceptionTableItem, FuncRef, InstBuilder, MemFlagsData,
    SigRef, Value, types,
};
use lucet_artifact::abi::{Builtin, TrapCode, VALUE_SLOT};
use lucet_artifact::contract::feature;
use lucet_artifact::types::{HeapType, ValType};
use wasmparser::{BlockType, Catch, Operator, TryTable};

/// What is called in the guest's convention.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// A function that is known.
    Known(FuncRef),
    /// Code of a signature at an address.
    Code(SigRef, Value),
}

impl Body<'_, '_> {
    /// Whether an exception that leaves a call here is looked at by this function.
    pub(super) fn is_guarded(&self) -> bool {
        !self.landings.is_empty()
    }

    /// The landing pad of the innermost `try_table`, made by the first call that may land there.
    fn landing(&mut self) -> Option<Block> {
        match self.landings.last()? {
            Some(block) => Some(*block),
            None => {
                let block = self.b.create_block();
                self.b.append_block_param(block, types::I64);
                self.b.append_block_param(block, types::I64);
                *self.landings.last_mut()? = Some(block);
                Some(block)
            }
        }
    }

    /// Calls guest code; goes on in a new block if an exception may land here.
    pub(super) fn call_code(&mut self, target: Target, args: &[Value]) -> Res<Vec<Value>> {
        let Some(landing) = self.landing() else {
            let inst = match target {
                Target::Known(f) => self.b.ins().call(f, args),
                Target::Code(signature, code) => self.b.ins().call_indirect(signature, code, args),
            };
            return Ok(self.b.inst_results(inst).to_vec());
        };
        let dfg = &mut self.b.func.dfg;
        let signature = match target {
            Target::Known(f) => dfg.ext_funcs[f].signature,
            Target::Code(signature, _) => signature,
        };
        let returns: Vec<_> =
            dfg.signatures[signature].returns.iter().map(|p| p.value_type).collect();
        self.spend(returns.len() + 2)?;
        let next = self.b.create_block();
        for ty in &returns {
            self.b.append_block_param(next, *ty);
        }
        let values: Vec<_> = (0..returns.len() as u32).map(BlockArg::TryCallRet).collect();
        let exception = [BlockArg::TryCallExn(0), BlockArg::TryCallExn(1)];
        let dfg = &mut self.b.func.dfg;
        let (normal, landing) =
            (dfg.block_call(next, &values), dfg.block_call(landing, &exception));
        let items = [ExceptionTableItem::Default(landing)];
        let table = dfg.exception_tables.push(ExceptionTableData::new(signature, normal, items));
        match target {
            Target::Known(f) => self.b.ins().try_call(f, args, table),
            Target::Code(_, code) => self.b.ins().try_call_indirect(code, args, table),
        };
        self.b.seal_block(next);
        self.b.switch_to_block(next);
        Ok(self.b.block_params(next).to_vec())
    }

    /// Ends the block by throwing, in the way that `which` says.
    fn throw(&mut self, which: Builtin, a: Value, b: Value) -> Res<()> {
        let glue = self.throw_glue();
        let which = self.b.ins().iconst(types::I32, i64::from(which as u8));
        self.store_fuel();
        self.call_code(Target::Known(glue), &[self.vmctx, which, a, b])?;
        // It does not return.
        let never = cranelift_codegen::ir::TrapCode::unwrap_user(TrapCode::Unreachable as u8);
        self.b.ins().trap(never);
        self.fuel_unreachable();
        Ok(())
    }

    /// Tells the frontend which values are references to exceptions.
    pub(super) fn keep_exnrefs(&mut self, types: &[ValType], values: &[Value]) {
        for (_, v) in types.iter().zip(values).filter(|(t, _)| is_exnref(**t)) {
            self.b.declare_value_needs_stack_map(*v);
        }
    }
}

/// Whether values of this type are references to exceptions.
pub(super) fn is_exnref(t: ValType) -> bool {
    t.reference().is_some_and(|t| t.heap.top() == HeapType::Exn)
}

impl<'e> Translator<'e, '_> {
    /// Translates an operator of exceptions; false if it is not one.
    pub(super) fn exception(&mut self, op: &Operator<'_>) -> Res<bool> {
        match op {
            Operator::TryTable { try_table } => self.try_table(try_table)?,
            Operator::Throw { tag_index } => self.throw(*tag_index)?,
            Operator::ThrowRef => self.throw_ref()?,
            _ => return Ok(false),
        }
        self.features |= feature::EXCEPTIONS;
        Ok(true)
    }

    fn try_table(&mut self, table: &TryTable) -> Res<()> {
        self.body.spend(table.catches.len())?;
        self.open_try(table.ty, table.catches.clone())?;
        self.body.landings.push(None);
        Ok(())
    }

    /// Accounts for a call: one that may land is a branch that carries all locals.
    pub(super) fn call_branch(&mut self) -> Res<()> {
        if self.body.is_guarded() { self.branch() } else { Ok(()) }
    }

    /// Types of the values that exceptions of a tag carry.
    fn tag_types(&self, tag: u32) -> Res<&'e [ValType]> {
        let plan = self.body.env.plan;
        let ty = plan.contract.tags.get(tag as usize);
        let ty = ty.and_then(|ty| plan.types.get(*ty as usize));
        Ok(&ty.ok_or(Fail::Internal("tag index"))?.params)
    }

    fn throw(&mut self, tag: u32) -> Res<()> {
        let of = self.tag_types(tag)?;
        let values = self.pop_n(of.len())?;
        self.body.spend(of.len())?;
        self.call_branch()?;
        let to = self.body.slots_address(of.len());
        for (i, v) in values.iter().enumerate() {
            let offset = (i as u32 * VALUE_SLOT) as i32;
            self.body.b.ins().store(MemFlagsData::trusted(), *v, to, offset);
        }
        let tag = self.body.b.ins().iconst(types::I64, i64::from(tag));
        self.body.throw(Builtin::Throw, tag, to)?;
        self.reachable = false;
        Ok(())
    }

    fn throw_ref(&mut self) -> Res<()> {
        let exception = self.pop()?;
        self.call_branch()?;
        let null = self.body.b.ins().icmp_imm_u(IntCC::Equal, exception, 0);
        self.body.trap_if(null, TrapCode::NullReference);
        let zero = self.body.b.ins().iconst(types::I64, 0);
        self.body.throw(Builtin::ThrowRef, exception, zero)?;
        self.reachable = false;
        Ok(())
    }

    /// Writes the landing pad of a `try_table` that was just closed. `height` is that of the
    /// operand stack where it began.
    pub(super) fn land(&mut self, pad: Block, catches: &[Catch], height: usize) -> Res<()> {
        self.body.fuel_at_join()?;
        self.body.b.switch_to_block(pad);
        self.body.b.seal_block(pad);
        self.body.load_fuel();
        let [exception, identity] = *self.body.b.block_params(pad) else {
            return Err(Fail::Internal("landing pad"));
        };
        self.stack.truncate(height);
        let fuel = self.body.fuel;
        for catch in catches {
            self.body.fuel = fuel;
            match *catch {
                Catch::All { label } => {
                    self.let_go(exception);
                    return self.br(label);
                }
                Catch::AllRef { label } => {
                    self.body.b.declare_value_needs_stack_map(exception);
                    self.push(exception);
                    return self.br(label);
                }
                Catch::One { tag, label } => self.catch(exception, identity, tag, label, false)?,
                Catch::OneRef { tag, label } => {
                    self.body.b.declare_value_needs_stack_map(exception);
                    self.catch(exception, identity, tag, label, true)?;
                }
            }
        }
        self.body.fuel = fuel;
        match self.body.landing() {
            Some(around) => {
                self.branch()?;
                self.body.fuel_before_branch();
                let args = [BlockArg::from(exception), BlockArg::from(identity)];
                self.body.b.ins().jump(around, &args);
            }
            None => {
                let zero = self.body.b.ins().iconst(types::I64, 0);
                self.body.throw(Builtin::Rethrow, exception, zero)?;
            }
        }
        Ok(())
    }

    /// One clause with a tag; goes on where the tag is another one.
    fn catch(
        &mut self,
        exception: Value,
        identity: Value,
        tag: u32,
        label: u32,
        keep: bool,
    ) -> Res<()> {
        let of = self.tag_types(tag)?;
        let (caught, next) = (self.body.b.create_block(), self.body.b.create_block());
        let cell = self.body.env.plan.layout.tag(tag);
        let wanted = self.body.constant(cell);
        let equal = self.body.b.ins().icmp(IntCC::Equal, identity, wanted);
        self.body.b.ins().brif(equal, caught, &[], next, &[]);
        self.body.b.seal_block(caught);
        self.body.b.seal_block(next);
        self.body.b.switch_to_block(caught);
        self.body.spend(of.len())?;
        let height = self.stack.len();
        if of.is_empty() {
            if !keep {
                self.let_go(exception);
            }
        } else {
            let which = if keep { Builtin::ReadException } else { Builtin::TakeException };
            let to = self.body.slots_address(of.len());
            self.body.builtin(which, &[exception, to]);
            let values = self.body.load_slots(to, of);
            self.body.keep_exnrefs(of, &values);
            self.stack.extend(values);
        }
        if keep {
            self.push(exception);
        }
        self.br(label)?;
        self.stack.truncate(height);
        self.body.b.switch_to_block(next);
        Ok(())
    }

    fn let_go(&mut self, exception: Value) {
        let zero = self.body.b.ins().iconst(types::I64, 0);
        self.body.builtin(Builtin::TakeException, &[exception, zero]);
    }

    fn open_try(&mut self, ty: BlockType, catches: Vec<Catch>) -> Res<()> {
        let (params, results) = self.block_type(ty)?;
        let frame = Frame::try_table(catches, params, results);
        self.open_frame(frame)
    }
}
