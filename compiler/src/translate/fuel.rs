//! Counting fuel (`docs/design/fuel.md`; prices in [`lucet_artifact::fuel`]).
//!
//! The counter lives in a frontend variable, so in a register where there is one to spare, and in
//! instance data while somebody else may look: calls of guest and host functions, returns.
//!
//! ```text
//!  entry:   v = [fuel]                          a stretch without branches is charged once,
//!           v ≤ 0 ? ─► cold                     at its end: v = v - n
//!  loop:    v ≤ 0 ? ─► cold ─┐
//!  next: ◄───────────────────┤                  cold:  [fuel] = v
//!           …                │                         call the module's routine for this, which
//!           v = v - 12       │                         returns when [fuel] > 0
//!           br loop          └─────────────────────────v = [fuel]
//! ```
//!
//! One rule holds at every place that looks: the run goes on only while the counter is above zero.
//! Each such place is followed by something that costs at least one unit, so a run whose whole
//! price is `n` never stops with `n` units, and no cycle is free.

use super::body::Body;
use super::{Fail, Res, Translator};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use cranelift_frontend::Variable;
use lucet_artifact::fuel::{
    BULK_BYTES, BULK_ELEMENTS, HOST_CALL, OPERATOR, RUNTIME_CALL, STRUCTURAL,
};
use lucet_artifact::layout;
use wasmparser::{FunctionBody, Operator};

/// The counter of a function under construction.
#[derive(Debug, Clone, Copy)]
pub struct Fuel {
    // `None`: the counter stays in instance data, see `MAX_CHECKS`.
    var: Option<Variable>,
    // Charged for since the stretch began, still to be taken off.
    owed: u64,
    // Whether instance data holds the variable's value, as far as this stretch knows.
    stored: bool,
}

/// Most places in a function that look at the counter for which it lives in a variable. Each of
/// them merges two values of it, and the time of register allocation grows with the square of that;
/// code that people write has a tenth of this.
const MAX_CHECKS: usize = 200;

/// The same for branches, which merge values of the counter too, but without a call beside them.
const MAX_BRANCHES: usize = 4000;

/// Whether a function has more of them than [`MAX_CHECKS`] or [`MAX_BRANCHES`].
fn is_checked_often(wasm: &FunctionBody<'_>, imported: u32) -> Res<bool> {
    let mut ops = wasm.get_operators_reader()?;
    let (mut checks, mut branches) = (0, 0);
    while !ops.eof() && checks <= MAX_CHECKS && branches <= MAX_BRANCHES {
        match ops.read()? {
            Operator::Loop { .. } => checks += 1,
            Operator::If { .. }
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrOnNull { .. }
            | Operator::BrOnNonNull { .. }
            | Operator::BrTable { .. } => branches += 1,
            op => checks += usize::from(charges_itself(&op, imported)),
        }
    }
    Ok(checks > MAX_CHECKS || branches > MAX_BRANCHES)
}

/// Whether an operator charges for itself, before it starts, and looks at the counter then.
fn charges_itself(op: &Operator<'_>, imported: u32) -> bool {
    match op {
        Operator::MemoryCopy { .. }
        | Operator::MemoryFill { .. }
        | Operator::MemoryInit { .. }
        | Operator::TableCopy { .. }
        | Operator::TableFill { .. }
        | Operator::TableInit { .. }
        | Operator::TableGrow { .. } => true,
        Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
            *function_index < imported
        }
        _ => false,
    }
}

/// What to charge for an operator when it is translated.
fn price(op: &Operator<'_>, imported: u32) -> u64 {
    match op {
        Operator::Block { .. }
        | Operator::TryTable { .. }
        | Operator::Loop { .. }
        | Operator::Else
        | Operator::End
        | Operator::Nop => STRUCTURAL,
        Operator::MemoryGrow { .. }
        | Operator::Throw { .. }
        | Operator::ThrowRef
        | Operator::TableSet { .. }
        | Operator::DataDrop { .. }
        | Operator::ElemDrop { .. } => RUNTIME_CALL,
        op if charges_itself(op, imported) => 0,
        _ => OPERATOR,
    }
}

/// What a bulk operation works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Bytes,
    Elements,
}

impl Body<'_, '_> {
    /// Begins to count, if the module does, in the entry block of a function; `wasm` is its body,
    /// if it has one.
    pub fn begin_fuel(&mut self, wasm: Option<&FunctionBody<'_>>) -> Res<()> {
        if self.env.plan.contract.fuel {
            let imported = self.env.plan.imported.funcs;
            let often = wasm.map_or(Ok(false), |w| is_checked_often(w, imported))?;
            let var = (!often).then(|| self.b.declare_var(types::I64));
            self.fuel = Some(Fuel { var, owed: 0, stored: false });
            self.load_fuel();
        }
        Ok(())
    }

    /// Charges for `n` units, which are taken off when the stretch ends.
    pub(super) fn charge(&mut self, n: u64) {
        if let Some(f) = &mut self.fuel {
            f.owed += n;
        }
    }

    /// Takes off what is owed.
    fn settle(&mut self) {
        if let Some(f) = self.fuel.filter(|f| f.owed > 0) {
            let owed = self.b.ins().iconst(types::I64, f.owed as i64);
            self.take_off(f, owed);
        }
        if let Some(f) = &mut self.fuel {
            f.owed = 0;
        }
    }

    /// The counter now.
    fn fuel_value(&mut self, f: Fuel) -> Value {
        match f.var {
            Some(var) => self.b.use_var(var),
            None => self.fuel_word(),
        }
    }

    fn fuel_word(&mut self) -> Value {
        let flags = self.regions.fuel();
        self.b.ins().load(types::I64, flags, self.vmctx, layout::FUEL)
    }

    fn set_fuel_word(&mut self, v: Value) {
        let flags = self.regions.fuel();
        self.b.ins().store(flags, v, self.vmctx, layout::FUEL);
    }

    fn take_off(&mut self, f: Fuel, n: Value) {
        let v = self.fuel_value(f);
        let v = self.b.ins().isub(v, n);
        match f.var {
            Some(var) => self.b.def_var(var, v),
            None => self.set_fuel_word(v),
        }
        self.fuel_forgets();
    }

    /// Before a branch: settles.
    pub(super) fn fuel_before_branch(&mut self) {
        self.settle();
        self.fuel_forgets();
    }

    /// In a block that was reached otherwise than from above.
    pub(super) fn fuel_forgets(&mut self) {
        if let Some(f) = &mut self.fuel {
            f.stored = false;
        }
    }

    /// Before a block that others lead to: nothing may be owed from where control does not come.
    pub(super) fn fuel_at_join(&mut self) -> Res<()> {
        self.fuel_forgets();
        match self.fuel {
            Some(f) if f.owed > 0 => Err(Fail::Internal("fuel is owed across a join")),
            _ => Ok(()),
        }
    }

    /// Behind an operator that never ends: what was charged is never taken off.
    pub(super) fn fuel_unreachable(&mut self) {
        if let Some(f) = &mut self.fuel {
            f.owed = 0;
        }
    }

    /// Settles and puts the counter where others see it: before calls and returns.
    pub fn store_fuel(&mut self) {
        self.settle();
        if let Some(f) = self.fuel.filter(|f| !f.stored)
            && let Some(var) = f.var
        {
            let v = self.b.use_var(var);
            self.set_fuel_word(v);
            self.fuel = Some(Fuel { stored: true, ..f });
        }
    }

    /// Takes the counter from where others left it: after calls.
    pub(super) fn load_fuel(&mut self) {
        if let Some(f) = self.fuel
            && let Some(var) = f.var
        {
            let v = self.fuel_word();
            self.b.def_var(var, v);
            self.fuel = Some(Fuel { stored: true, ..f });
        }
    }

    /// Looks at the counter; goes on in a new block when it is above zero.
    pub(super) fn check_fuel(&mut self) {
        self.settle();
        let Some(f) = self.fuel else { return };
        let (cold, next) = (self.b.create_block(), self.b.create_block());
        let v = self.fuel_value(f);
        let dry = self.b.ins().icmp_imm_s(IntCC::SignedLessThanOrEqual, v, 0);
        self.b.ins().brif(dry, cold, &[], next, &[]);
        self.b.set_cold_block(cold);
        self.b.switch_to_block(cold);
        self.b.seal_block(cold);
        self.store_fuel();
        self.call_out_of_fuel();
        self.load_fuel();
        self.b.ins().jump(next, &[]);
        self.b.switch_to_block(next);
        self.b.seal_block(next);
        // As on the way that is not cold.
        self.fuel = Some(f);
    }

    /// Charges for a call of an import, before it.
    pub(super) fn charge_host_call(&mut self) {
        self.charge(HOST_CALL - 1);
        self.check_fuel();
        self.charge(1);
    }

    /// Charges for a bulk operation of `n` (an `i64`) bytes or elements, before it.
    pub(super) fn charge_bulk(&mut self, n: Value, unit: Unit) {
        let Some(f) = self.fuel else { return };
        let per = match unit {
            Unit::Bytes => BULK_BYTES,
            Unit::Elements => BULK_ELEMENTS,
        };
        let size = self.b.ins().ushr_imm_u(n, i64::from(per.trailing_zeros()));
        self.take_off(f, size);
        self.charge(RUNTIME_CALL - 1);
        self.check_fuel();
        self.charge(1);
    }
}

impl Translator<'_, '_> {
    /// Charges for an operator that is reached.
    pub(super) fn charge_operator(&mut self, op: &Operator<'_>) {
        if self.body.fuel.is_some() {
            let imported = self.body.env.plan.imported.funcs;
            self.body.charge(price(op, imported));
        }
    }
}

const _: () = assert!(BULK_BYTES.is_power_of_two() && BULK_ELEMENTS.is_power_of_two());
