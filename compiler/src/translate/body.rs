//! A function under construction: the builder with `vmctx`, signatures and the calls that leave
//! guest code. Translated functions and import stubs are both built on it.

use super::abi::{self, Regions, clif_type};
use super::exn::Target;
use super::fuel::Fuel;
use super::{Env, Fail, Res};
use crate::limits::Limit;
use cranelift_codegen::ir::{
    self, Block, ExternalName, FuncRef, InstBuilder, MemFlagsData, SigRef, Signature, StackSlot,
    StackSlotData, StackSlotKind, UserExternalName, Value, types,
};
use cranelift_frontend::FunctionBuilder;
use lucet_artifact::abi::{Builtin, FIRST_IMPORT, TrapCode, VALUE_SLOT, results_by_pointer};
use lucet_artifact::layout;
use lucet_artifact::types::{FuncType, ValType};
use std::collections::{BTreeMap, BTreeSet};

/// Key of a signature that was already imported into the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sig {
    Guest(u32),
    Host(u32),
    Builtin(u8),
    Trap,
    OutOfFuel,
    Throw,
}

/// Namespace of own functions among direct callees.
pub const FUNCTIONS: u32 = 0;
/// Namespace of the routine for used up fuel.
pub const OUT_OF_FUEL: u32 = 2;
/// Namespace of the glue that throws.
pub const THROW: u32 = 3;

/// A function under construction.
pub struct Body<'e, 'f> {
    /// The module.
    pub env: &'e Env<'e>,
    /// The builder.
    pub b: FunctionBuilder<'f>,
    /// First parameter.
    pub vmctx: Value,
    /// Alias regions.
    pub regions: Regions,
    sigs: BTreeMap<Sig, SigRef>,
    // Keys of direct callees: own functions by index.
    funcs: BTreeMap<(u32, u32), FuncRef>,
    // Receives results of imports with several; one per function, as large as the largest needs.
    results: Option<StackSlot>,
    // The same for vectors that are arguments of imports.
    vectors: Option<StackSlot>,
    // Values carried by calls and branches so far, see `spend`.
    spent: usize,
    pub(super) fuel: Option<Fuel>,
    /// Types of the functions that it calls instead of returning.
    pub tails: BTreeSet<u32>,
    // Landing pads of the open `try_table`s, once there are calls that may land there.
    pub(super) landings: Vec<Option<Block>>,
}

/// A stack slot that has room for `n` value slots, one per function and purpose.
fn slot_for(b: &mut FunctionBuilder<'_>, slot: &mut Option<StackSlot>, n: u32) -> StackSlot {
    let size = n * VALUE_SLOT;
    match *slot {
        Some(slot) => {
            let data = &mut b.func.sized_stack_slots[slot];
            data.size = data.size.max(size);
            slot
        }
        None => {
            let align = VALUE_SLOT.trailing_zeros() as u8;
            let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size, align);
            *slot.insert(b.create_sized_stack_slot(data))
        }
    }
}

impl<'e, 'f> Body<'e, 'f> {
    /// Starts a function: creates the entry block and returns its parameters after `vmctx`.
    pub fn new(env: &'e Env<'e>, mut b: FunctionBuilder<'f>) -> Res<(Self, Vec<Value>)> {
        let regions = Regions::new(b.func);
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        b.seal_block(entry);
        let (vmctx, params) =
            b.block_params(entry).split_first().ok_or(Fail::Internal("no vmctx"))?;
        let (vmctx, params) = (*vmctx, params.to_vec());
        let (sigs, funcs) = (BTreeMap::new(), BTreeMap::new());
        let body = Self {
            env,
            b,
            vmctx,
            regions,
            sigs,
            funcs,
            results: None,
            vectors: None,
            spent: 0,
            fuel: None,
            tails: BTreeSet::new(),
            landings: Vec::new(),
        };
        Ok((body, params))
    }

    /// Accounts for `n` values carried by a call or branch: two bytes of wasm can stand for a
    /// thousand values, so the size of the body does not bound the work.
    pub fn spend(&mut self, n: usize) -> Res<()> {
        self.spent += n;
        if self.spent as u64 > self.env.limits.get(Limit::Carried) {
            return Err(Fail::Limit(Limit::Carried));
        }
        Ok(())
    }

    pub(super) fn signature(&mut self, key: Sig, make: impl FnOnce() -> Signature) -> SigRef {
        if let Some(s) = self.sigs.get(&key) {
            return *s;
        }
        let s = self.b.import_signature(make());
        self.sigs.insert(key, s);
        s
    }

    pub(super) fn ty(&self, ty: u32) -> Res<&'e FuncType> {
        self.env.plan.types.get(ty as usize).ok_or(Fail::Internal("function type"))
    }

    /// Loads a constant word of instance data.
    pub fn constant(&mut self, offset: i32) -> Value {
        let flags = self.regions.constant();
        self.b.ins().load(types::I64, flags, self.vmctx, offset)
    }

    /// Loads a code address from instance data. Not movable: the load stays in the block of its
    /// call instead of taking a register across a loop, and a verifier finds both together.
    pub(super) fn code_slot(&mut self, offset: i32) -> Value {
        let flags = self.regions.data();
        self.b.ins().load(types::I64, flags, self.vmctx, offset)
    }

    /// Calls a function of the module by index, imported or own. `args` without vmctx.
    pub fn call(&mut self, func: u32, args: &[Value]) -> Res<Vec<Value>> {
        let ty = *self.env.plan.func_types.get(func as usize).ok_or(Fail::Internal("callee"))?;
        // Where exceptions may land, an import is called through its stub, like an own function.
        if func < self.env.plan.imported.funcs && !self.is_guarded() {
            return self.call_import(func, ty, args);
        }
        let of = self.ty(ty)?;
        let callee = self.callee(FUNCTIONS, func, Sig::Guest(ty), || abi::guest(of));
        let args = self.guest_args(self.vmctx, args)?;
        self.store_fuel();
        let results = self.call_code(Target::Known(callee), &args)?;
        self.keep_exnrefs(&of.results, &results);
        self.load_fuel();
        Ok(results)
    }

    /// A direct callee, by namespace and index.
    pub(super) fn callee(
        &mut self,
        namespace: u32,
        index: u32,
        sig: Sig,
        make: impl FnOnce() -> Signature,
    ) -> FuncRef {
        if let Some(f) = self.funcs.get(&(namespace, index)) {
            return *f;
        }
        let signature = self.signature(sig, make);
        let name = UserExternalName { namespace, index };
        let name = ExternalName::user(self.b.func.declare_imported_user_function(name));
        let data = ir::ExtFuncData { name, signature, colocated: true, patchable: false };
        let f = self.b.import_function(data);
        self.funcs.insert((namespace, index), f);
        f
    }

    /// The glue that throws.
    pub(super) fn throw_glue(&mut self) -> FuncRef {
        self.callee(THROW, 0, Sig::Throw, abi::throw)
    }

    /// Calls the module's routine for used up fuel, which returns when there is some again.
    pub(super) fn call_out_of_fuel(&mut self) {
        let callee = self.callee(OUT_OF_FUEL, 0, Sig::OutOfFuel, abi::out_of_fuel);
        let vmctx = self.vmctx;
        self.b.ins().call(callee, &[vmctx]);
    }

    /// Calls code in the guest's convention; `vmctx` is the callee's.
    pub fn call_guest(
        &mut self,
        ty: u32,
        code: Value,
        vmctx: Value,
        args: &[Value],
    ) -> Res<Vec<Value>> {
        let of = self.ty(ty)?;
        let signature = self.signature(Sig::Guest(ty), || abi::guest(of));
        let args = self.guest_args(vmctx, args)?;
        self.store_fuel();
        let results = self.call_code(Target::Code(signature, code), &args)?;
        self.keep_exnrefs(&of.results, &results);
        self.load_fuel();
        Ok(results)
    }

    pub(super) fn guest_args(&mut self, vmctx: Value, args: &[Value]) -> Res<Vec<Value>> {
        self.spend(args.len())?;
        let mut all = Vec::with_capacity(args.len() + 1);
        all.push(vmctx);
        all.extend_from_slice(args);
        Ok(all)
    }

    /// Calls imported function `import` through its slot.
    pub fn call_import(&mut self, import: u32, ty: u32, args: &[Value]) -> Res<Vec<Value>> {
        self.charge_host_call();
        self.store_fuel();
        self.call_slot(import, ty, args)
    }

    /// The same, charged for.
    pub(super) fn call_slot(&mut self, import: u32, ty: u32, args: &[Value]) -> Res<Vec<Value>> {
        let of = self.ty(ty)?;
        self.spend(args.len() + of.results.len())?;
        let signature = self.signature(Sig::Host(ty), || abi::host(of));
        let code = self.code_slot(self.env.plan.layout.import_slot(import));
        let index = self.b.ins().iconst(types::I32, i64::from(FIRST_IMPORT + import));
        let mut all = vec![self.vmctx, index];
        self.host_args(of, args, &mut all);
        if !results_by_pointer(&of.results) {
            let inst = self.b.ins().call_indirect(signature, code, &all);
            let results = self.b.inst_results(inst).to_vec();
            self.keep_exnrefs(&of.results, &results);
            self.load_fuel();
            self.check_host_results(import, of, &results)?;
            return Ok(results);
        }
        let to = self.slots_address(of.results.len());
        // What the host function leaves unwritten must not be what was on the stack before.
        let zero = self.b.ins().iconst(types::I64, 0);
        for half in 0..of.results.len() as i32 * 2 {
            self.b.ins().store(MemFlagsData::trusted(), zero, to, half * 8);
        }
        all.push(to);
        self.b.ins().call_indirect(signature, code, &all);
        self.load_fuel();
        let from = self.slots_address(of.results.len());
        let results = self.load_slots(from, &of.results);
        self.keep_exnrefs(&of.results, &results);
        self.check_host_results(import, of, &results)?;
        Ok(results)
    }

    /// Address of the function's array of at least `n` value slots, which calls leave alone that
    /// are not given it.
    pub(super) fn slots_address(&mut self, n: usize) -> Value {
        let slot = self.results_slot(n as u32);
        self.b.ins().stack_addr(types::I64, slot, 0)
    }

    /// Loads values of these types from an array of value slots.
    pub fn load_slots(&mut self, from: Value, types: &[ValType]) -> Vec<Value> {
        let mut values = Vec::with_capacity(types.len());
        for (i, t) in types.iter().enumerate() {
            let offset = (i as u32 * VALUE_SLOT) as i32;
            values.push(self.b.ins().load(clif_type(*t), MemFlagsData::trusted(), from, offset));
        }
        values
    }

    /// Arguments as the border takes them: vectors by address.
    fn host_args(&mut self, of: &FuncType, args: &[Value], all: &mut Vec<Value>) {
        let is_vector = |t: &&ValType| **t == ValType::V128;
        let vectors = of.params.iter().filter(is_vector).count();
        if vectors == 0 {
            all.extend_from_slice(args);
            return;
        }
        let slot = slot_for(&mut self.b, &mut self.vectors, vectors as u32);
        let mut at = 0;
        for (t, v) in of.params.iter().zip(args) {
            all.push(if is_vector(&t) {
                let place = self.b.ins().stack_addr(types::I64, slot, at);
                self.b.ins().store(MemFlagsData::trusted(), *v, place, 0);
                at += VALUE_SLOT as i32;
                place
            } else {
                *v
            });
        }
    }

    fn results_slot(&mut self, n: u32) -> StackSlot {
        slot_for(&mut self.b, &mut self.results, n)
    }

    /// Calls a builtin of the runtime; returns its result, if it has one.
    pub fn builtin(&mut self, which: Builtin, args: &[Value]) -> Option<Value> {
        let index = self.b.ins().iconst(types::I32, i64::from(which as u8));
        self.builtin_by_number(which, index, args)
    }

    /// Calls the builtin with number `index`, which has the signature of `like`.
    pub fn builtin_by_number(
        &mut self,
        like: Builtin,
        index: Value,
        args: &[Value],
    ) -> Option<Value> {
        let signature = self.signature(Sig::Builtin(like as u8), || abi::builtin(like));
        let code = self.code_slot(layout::HOST_THUNK);
        let mut all = vec![self.vmctx, index];
        all.extend_from_slice(args);
        let inst = self.b.ins().call_indirect(signature, code, &all);
        self.b.inst_results(inst).first().copied()
    }

    /// Ends the current block with a trap.
    ///
    /// The `ud2` behind the call is never executed. It carries the trap code, and its offset is the
    /// call's return address, so the stub finds the same trap site as a signal handler would.
    pub fn trap(&mut self, code: TrapCode) {
        let signature = self.signature(Sig::Trap, abi::trap_stub);
        let stub = self.code_slot(layout::TRAP_STUB);
        let number = self.b.ins().iconst(types::I32, i64::from(code as u8));
        self.b.ins().call_indirect(signature, stub, &[self.vmctx, number]);
        self.b.ins().trap(ir::TrapCode::unwrap_user(code as u8));
    }

    /// Traps if `condition` is not zero; continues in a new block.
    ///
    /// Each site has a cold block of its own, so that its pc leads back to its operator.
    pub fn trap_if(&mut self, condition: Value, code: TrapCode) {
        let (cold, next) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(condition, cold, &[], next, &[]);
        self.b.set_cold_block(cold);
        self.b.switch_to_block(cold);
        self.b.seal_block(cold);
        self.trap(code);
        self.b.switch_to_block(next);
        self.b.seal_block(next);
    }
}
