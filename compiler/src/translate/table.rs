//! Tables, references and indirect calls (`docs/design/tables-and-groups.md`).
//!
//! `table.get`, `table.size` and `call_indirect` are inline; whatever writes a table is a builtin,
//! because the runtime has to give the instance its own copy of the table first.

use super::fuel::Unit;
use super::{Fail, Res, Translator};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use lucet_artifact::abi::{Builtin, TrapCode, table_desc, table_entry};
use lucet_artifact::code::NO_REF;
use lucet_artifact::contract::feature;
use lucet_artifact::layout;
use lucet_artifact::types::FuncType;
use wasmparser::Operator;

/// What an indirect call goes to: number of the type, code, instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Callee {
    pub ty: u32,
    pub code: Value,
    pub vmctx: Value,
}

impl<'e> Translator<'e, '_> {
    /// Translates a table or reference operator; false if it is not one.
    pub(super) fn table(&mut self, op: &Operator<'_>) -> Res<bool> {
        match op {
            Operator::CallIndirect { type_index, table_index } => {
                if *table_index != 0 {
                    self.features |= feature::REFERENCE_TYPES;
                }
                self.call_indirect(*type_index, *table_index)?;
                return Ok(true);
            }
            Operator::TableCopy { dst_table, src_table } => {
                self.bulk(Builtin::TableCopy, Unit::Elements, *dst_table, *src_table)?;
                return Ok(true);
            }
            Operator::TableInit { elem_index, table } => {
                self.bulk(Builtin::TableInit, Unit::Elements, *table, *elem_index)?;
                return Ok(true);
            }
            Operator::ElemDrop { elem_index } => {
                self.features |= feature::BULK_MEMORY;
                let segment = self.index(*elem_index);
                self.body.builtin(Builtin::ElemDrop, &[segment]);
                return Ok(true);
            }
            _ => {}
        }
        match op {
            Operator::RefNull { .. } => {
                let null = self.body.b.ins().iconst(types::I64, 0);
                self.push(null);
            }
            Operator::RefIsNull => {
                let v = self.pop()?;
                let null = self.body.b.ins().icmp_imm_u(IntCC::Equal, v, 0);
                let null = self.body.b.ins().uextend(types::I32, null);
                self.push(null);
            }
            Operator::RefFunc { function_index } => self.ref_func(*function_index)?,
            Operator::TableGet { table } => {
                let index = self.pop()?;
                let entry = self.entry(*table, index)?;
                let v = self.entry_word(entry, table_entry::FUNCREF);
                let elem = self.body.env.plan.contract.tables.get(*table as usize).map(|t| t.elem);
                let elem = elem.ok_or(Fail::Internal("table index"))?;
                self.body.keep_exnrefs(&[elem.into()], &[v]);
                self.push(v);
            }
            Operator::TableSize { table } => {
                let (_, len) = self.table_bounds(*table);
                let wide = self.is64_table(*table)?;
                self.push_index(Some(len), wide)?;
            }
            Operator::TableSet { table } => {
                let (index, v) = self.pop2()?;
                let index = self.extend(index);
                let table = self.index(*table);
                self.body.builtin(Builtin::TableSet, &[table, index, v]);
            }
            Operator::TableGrow { table } => {
                let (v, delta) = self.pop2()?;
                let delta = self.extend(delta);
                self.body.charge_bulk(delta, Unit::Elements);
                let wide = self.is64_table(*table)?;
                let table = self.index(*table);
                let old = self.body.builtin(Builtin::TableGrow, &[table, v, delta]);
                self.push_index(old, wide)?;
            }
            Operator::TableFill { table } => {
                let (index, v, n) = self.pop3()?;
                let (index, n) = (self.extend(index), self.extend(n));
                self.body.charge_bulk(n, Unit::Elements);
                let table = self.index(*table);
                self.body.builtin(Builtin::TableFill, &[table, index, v, n]);
            }
            _ => return Ok(false),
        }
        self.features |= feature::REFERENCE_TYPES;
        Ok(true)
    }

    fn ref_func(&mut self, func: u32) -> Res<()> {
        let reference = self.body.env.plan.references.get(func as usize).copied();
        let reference = reference.filter(|r| *r != NO_REF);
        let reference = reference.ok_or(Fail::Internal("function without reference index"))?;
        let array = self.body.constant(layout::FUNC_DESCS);
        let offset = i64::from(reference) * i64::from(table_entry::SIZE);
        let v = self.body.b.ins().iadd_imm_s(array, offset);
        self.push(v);
        Ok(())
    }

    fn is_imported_table(&self, table: u32) -> bool {
        table < self.body.env.plan.imported.tables
    }

    fn is64_table(&self, table: u32) -> Res<bool> {
        let found = self.body.env.plan.contract.tables.get(table as usize);
        found.map(|t| t.is64).ok_or(Fail::Internal("table index"))
    }

    /// Address of the first entry and number of entries.
    fn table_bounds(&mut self, table: u32) -> (Value, Value) {
        let at = self.body.env.plan.layout.table(table);
        let (descriptor, at) = if self.is_imported_table(table) {
            (self.body.constant(at + table_desc::BASE as i32), 0)
        } else {
            (self.body.vmctx, at)
        };
        let flags = self.body.regions.tables();
        let mut word =
            |offset| self.body.b.ins().load(types::I64, flags, descriptor, at + offset as i32);
        (word(table_desc::BASE), word(table_desc::LEN))
    }

    /// Address of a table entry; traps if the index is out of bounds.
    fn entry(&mut self, table: u32, index: Value) -> Res<Value> {
        let (base, len) = self.table_bounds(table);
        let index = self.extend(index);
        let outside = self.body.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, len);
        self.body.trap_if(outside, TrapCode::TableOutOfBounds);
        // A mispredicted branch must not read past the table either.
        let ins = &mut self.body.b;
        let zero = ins.ins().iconst(types::I64, 0);
        let index = ins.ins().select_spectre_guard(outside, zero, index);
        let shift = i64::from(table_entry::SIZE.trailing_zeros());
        let offset = ins.ins().ishl_imm_u(index, shift);
        Ok(ins.ins().iadd(base, offset))
    }

    pub(super) fn entry_word(&mut self, entry: Value, offset: u32) -> Value {
        let flags = self.body.regions.tables();
        self.body.b.ins().load(types::I64, flags, entry, offset as i32)
    }

    fn call_indirect(&mut self, wasm_type: u32, table: u32) -> Res<()> {
        let (callee, args) = self.indirect_callee(wasm_type, table)?;
        let results = self.body.call_guest(callee.ty, callee.code, callee.vmctx, &args)?;
        self.stack.extend(results);
        Ok(())
    }

    /// Pops index and arguments of an indirect call; checks the element.
    pub(super) fn indirect_callee(
        &mut self,
        wasm_type: u32,
        table: u32,
    ) -> Res<(Callee, Vec<Value>)> {
        let (ty, of) = self.callee_type(wasm_type)?;
        let index = self.pop()?;
        let args = self.pop_n(of.params.len())?;
        self.call_branch()?;
        let entry = self.entry(table, index)?;

        let (tables, constant) = (self.body.regions.tables(), self.body.regions.constant());
        let at = table_entry::SIG as i32;
        let found = self.body.b.ins().load(types::I32, tables, entry, at);
        let (vmctx, at) = (self.body.vmctx, self.body.env.plan.layout.sig_id(ty));
        let expected = self.body.b.ins().load(types::I32, constant, vmctx, at);
        self.check_signature(found, expected);

        let code = self.entry_word(entry, table_entry::CODE);
        let vmctx = self.entry_word(entry, table_entry::VMCTX);
        let vmctx = if self.is_imported_table(table) { vmctx } else { self.or_own(vmctx) };
        Ok((Callee { ty, code, vmctx }, args))
    }

    /// A type of the wasm file, and its number.
    pub(super) fn callee_type(&self, wasm_type: u32) -> Res<(u32, &'e FuncType)> {
        let plan = self.body.env.plan;
        let ty = plan.wasm_types.get(wasm_type as usize).copied();
        let ty = ty.ok_or(Fail::Internal("type index"))?;
        let of = plan.types.get(ty as usize).ok_or(Fail::Internal("type index"))?;
        Ok((ty, of))
    }

    /// The instance that an entry names, which is this one if it names none.
    pub(super) fn or_own(&mut self, vmctx: Value) -> Value {
        let own = self.body.b.ins().icmp_imm_u(IntCC::Equal, vmctx, 0);
        self.body.b.ins().select(own, self.body.vmctx, vmctx)
    }

    /// Traps unless the signatures are equal; an id of 0 is an empty element.
    fn check_signature(&mut self, found: Value, expected: Value) {
        let b = &mut self.body.b;
        let (differ, null) = (b.create_block(), b.create_block());
        let (bad, next) = (b.create_block(), b.create_block());
        let equal = b.ins().icmp(IntCC::Equal, found, expected);
        b.ins().brif(equal, next, &[], differ, &[]);
        for cold in [differ, null, bad] {
            b.set_cold_block(cold);
        }
        b.switch_to_block(differ);
        b.seal_block(differ);
        b.ins().brif(found, bad, &[], null, &[]);
        for (block, code) in [(null, TrapCode::IndirectCallToNull), (bad, TrapCode::BadSignature)] {
            self.body.b.switch_to_block(block);
            self.body.b.seal_block(block);
            self.body.trap(code);
        }
        self.body.b.switch_to_block(next);
        self.body.b.seal_block(next);
    }
}
