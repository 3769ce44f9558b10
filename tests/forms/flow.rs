//! Walks through a piece of code from its start along every branch until nothing new is learned,
//! then looks at each instruction once with what is known there.

use crate::access::{Access, NO_TABLE, address, classify, entry};
use crate::list;
use crate::module::{Module, Piece, Role, hidden_results, pops};
use crate::report::{Form, Report};
use crate::state::{NOT_NULL, RBP, RSP, State};
use crate::step::{after_call, operand, step};
use crate::value::{Base, Sum, V, WIDE, has_element};
use iced_x86::{
    ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory,
    Mnemonic, OpAccess, OpKind,
};
use lucet_artifact::abi::{Builtin, FIRST_IMPORT, results_by_pointer};
use lucet_artifact::layout;
use std::collections::{BTreeMap, BTreeSet};

/// Registers that a function in the guest's convention keeps, and one in System V's.
pub const TAIL: [usize; 5] = [3, 12, 13, 14, 15];
pub const SYSTEM_V: [usize; 5] = TAIL;
/// All of them, for the fuel routine.
const ALL: [usize; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Rounds after which a piece is given up.
const ROUNDS: usize = 2_000_000;

/// Checks a module.
pub fn check(m: &Module<'_>) -> Report {
    let mut report = Report::default();
    let text = &m.compiled.text;
    let mut end = 0;
    for p in &m.pieces {
        let gap = text.get(end..p.start as usize).unwrap_or_default();
        let good = p.start % 32 == 0 && gap.len() < 32 && gap.iter().all(|b| *b == 0xcc);
        report.note(Form::Piece, good, || format!("{p:x?} after {end:x}"));
        end = p.end as usize;
        Walk::new(m, p).run(&mut report);
    }
    report.note(Form::Piece, end == text.len(), || "code behind the last piece".into());
    report
}

pub struct Walk<'a> {
    pub m: &'a Module<'a>,
    pub p: &'a Piece,
    info: InstructionInfoFactory,
    /// Beginnings of blocks, with what is known there.
    blocks: BTreeMap<u32, State>,
    /// Where the last visit of a block ended.
    ends: BTreeMap<u32, u32>,
    work: BTreeSet<u32>,
    /// Instructions and jump tables, to see whether they overlap.
    extents: BTreeMap<u32, u32>,
    /// Landing pads that the block reaches, and the return addresses of all their calls.
    pub landings: Vec<(u32, State)>,
    pub landed: BTreeSet<u32>,
}

/// What an instruction leads to.
enum Next {
    /// The next one.
    On,
    /// Others, with what is known there.
    To(Vec<(u32, State)>),
}

impl<'a> Walk<'a> {
    fn new(m: &'a Module<'a>, p: &'a Piece) -> Self {
        let mut blocks = BTreeMap::new();
        blocks.insert(p.start, entry(m, p));
        Self {
            m,
            p,
            info: InstructionInfoFactory::new(),
            blocks,
            ends: BTreeMap::new(),
            work: BTreeSet::from([p.start]),
            extents: BTreeMap::new(),
            landings: Vec::new(),
            landed: BTreeSet::new(),
        }
    }

    pub fn decode(&self, at: u32) -> Instruction {
        let code = &self.m.compiled.text[..self.p.end as usize];
        let rest = code.get(at as usize..).unwrap_or_default();
        Decoder::with_ip(64, rest, at.into(), DecoderOptions::NONE).decode()
    }

    fn run(mut self, report: &mut Report) {
        let mut rounds = 0;
        while let Some(block) = self.work.pop_first() {
            rounds += 1;
            if rounds > ROUNDS {
                report.note(Form::Piece, false, || format!("{:x?}: too many rounds", self.p));
                return;
            }
            let mut ignored = Report::default();
            let ways = self.block(block, &mut ignored);
            for (to, state) in std::mem::take(&mut self.landings).into_iter().chain(ways) {
                self.reach(to, state);
            }
        }
        for block in self.blocks.keys().copied().collect::<Vec<_>>() {
            self.block(block, report);
        }
        self.all_landed(report);
        let mut end = self.p.start;
        for (from, to) in &self.extents {
            report.note(Form::Jump, *from >= end || *to == *from, || {
                format!("code at {from:x} overlaps what ends at {end:x}")
            });
            end = end.max(*to);
        }
    }

    /// A way leads to a place.
    fn reach(&mut self, to: u32, state: State) {
        match self.blocks.get_mut(&to) {
            Some(known) => {
                if known.meet(&state, to) {
                    self.work.insert(to);
                }
            }
            None => {
                // What ran through it before has to stop here from now on.
                if let Some((start, end)) = self.ends.range(..to).next_back()
                    && *end > to
                {
                    self.work.insert(*start);
                }
                self.blocks.insert(to, state);
                self.work.insert(to);
            }
        }
    }

    /// Runs a block: where it leads.
    fn block(&mut self, start: u32, report: &mut Report) -> Vec<(u32, State)> {
        let mut s = self.blocks[&start].clone();
        let mut at = start;
        loop {
            let i = self.decode(at);
            let next = at + i.len() as u32;
            self.ends.insert(start, next);
            self.extents.insert(at, next);
            if i.is_invalid() {
                report.note(Form::Listed, false, || format!("{at:x}: no instruction"));
                return Vec::new();
            }
            match self.instruction(&mut s, &i, report) {
                Next::To(all) => return all,
                Next::On => {}
            }
            if self.blocks.contains_key(&next) {
                return vec![(next, s)];
            }
            at = next;
        }
    }

    pub fn words(&self, i: &Instruction) -> String {
        format!("{:x}: {i} in {:x?}", i.ip(), self.p)
    }

    fn instruction(&mut self, s: &mut State, i: &Instruction, report: &mut Report) -> Next {
        if !list::allows(i) {
            report.note(Form::Listed, false, || self.words(i));
        }
        match i.flow_control() {
            FlowControl::Next => {
                self.plain(s, i, report);
                Next::On
            }
            FlowControl::Call => {
                self.direct_call(s, i, report);
                Next::On
            }
            FlowControl::IndirectCall => {
                self.indirect_call(s, i, report);
                Next::On
            }
            FlowControl::ConditionalBranch => self.branch(s, i, report),
            FlowControl::UnconditionalBranch => {
                let to = i.near_branch_target() as u32;
                if self.inside(to) {
                    report.note(Form::Jump, true, String::new);
                    return Next::To(vec![(to, s.clone())]);
                }
                let callee = self.m.starts.get(&to);
                let good = matches!(callee, Some(Role::Function(ty)) if self.leaves(s, *ty));
                report.note(Form::TailCall, good, || self.words(i));
                Next::To(Vec::new())
            }
            FlowControl::IndirectBranch => self.indirect_jump(s, i, report),
            FlowControl::Return => {
                report.note(Form::Return, self.returns(s, i), || {
                    format!("{} with {:x?}", self.words(i), s.regs)
                });
                Next::To(Vec::new())
            }
            FlowControl::Exception if i.mnemonic() == Mnemonic::Ud2 => {
                let listed = self.m.traps.contains_key(&(i.ip() as u32));
                report.note(Form::Trap, listed, || self.words(i));
                Next::To(Vec::new())
            }
            _ => {
                report.note(Form::Listed, false, || self.words(i));
                Next::To(Vec::new())
            }
        }
    }

    pub fn inside(&self, at: u32) -> bool {
        (self.p.start..self.p.end).contains(&at)
    }

    /// The operand in memory of an instruction: counts it and says what is read, and where on the
    /// stack it is written.
    fn memory(
        &mut self,
        s: &State,
        i: &Instruction,
        report: &mut Report,
    ) -> Option<(V, Option<(i64, i64)>)> {
        let n = (0..i.op_count()).find(|n| i.op_kind(*n) == OpKind::Memory)?;
        if matches!(i.mnemonic(), Mnemonic::Lea | Mnemonic::Nop) {
            return None;
        }
        let info = self.info.info(i);
        let access = info.op_access(n);
        let size = info.used_memory().iter().map(|u| u.memory_size().size()).max().unwrap_or(0);
        let writes = !matches!(access, OpAccess::Read | OpAccess::CondRead);
        let at = address(s, i);
        let a = Access { writes, size: size as i64 };
        let (form, good, loaded) = classify(self.m, self.p, s, i, at, a);
        report.note(form, good && size > 0, || format!("{} at {at:x?}, {a:?}", self.words(i)));
        if let V::JumpEntry { at, last } = at {
            self.extents.insert(at, at + 4 * (last + 1));
        }
        let stored = match at {
            V::Ptr(Base::Stack, Sum { name: None, k, .. }) if writes => Some((k, a.size)),
            _ => None,
        };
        Some((loaded, stored))
    }

    fn plain(&mut self, s: &mut State, i: &Instruction, report: &mut Report) {
        let found = self.memory(s, i, report);
        if found.is_none() {
            report.note(Form::Listed, true, String::new);
        }
        let (loaded, stored) = found.unwrap_or((V::Top, None));
        step(s, i, loaded, stored, &mut self.info);
    }

    /// Whether the callee of a type gets a vmctx for which `is` holds.
    fn context(&self, s: &State, ty: u32, is: impl Fn(V) -> bool) -> bool {
        is(s.regs[if hidden_results(self.m.ty(ty)) { 6 } else { 7 }])
    }

    fn direct_call(&mut self, s: &mut State, i: &Instruction, report: &mut Report) {
        let own = |v: V| v == V::Ptr(Base::Vmctx, Sum::of(0));
        let role = self.m.starts.get(&(i.near_branch_target() as u32)).copied();
        if role == Some(Role::Throw) {
            return self.call_throw(s, i, report);
        }
        let good = match role {
            Some(Role::Function(ty)) => self.context(s, ty, own),
            Some(Role::Fuel) => own(s.regs[7]),
            _ => false,
        };
        report.note(Form::DirectCall, good, || self.words(i));
        let before = s.clone();
        match role {
            Some(Role::Function(ty)) => {
                self.called(s, i, ty);
                self.lands(&before, s, i, report);
            }
            Some(Role::Fuel) => after_call(s, i, &ALL),
            _ => after_call(s, i, &[]),
        }
    }

    /// How many results a function in the guest's convention writes through a pointer.
    fn results_in_memory(&self, ty: u32) -> usize {
        let ty = self.m.ty(ty);
        if hidden_results(ty) { ty.results.len() } else { 0 }
    }

    /// How many value slots an import or a builtin writes through a pointer.
    fn slots_written(&self, index: Option<i64>) -> usize {
        let c = self.m.compiled;
        let number = index.and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
        let Some(import) = number.checked_sub(FIRST_IMPORT as usize) else {
            let takes = [Builtin::TakeException, Builtin::ReadException];
            let takes = takes.iter().any(|b| *b as usize == number);
            let tags = c.contract.tags.iter().map(|ty| self.m.ty(*ty).params.len());
            return if takes { tags.max().unwrap_or_default() } else { 0 };
        };
        let results = c.funcs.get(import).map(|f| &self.m.ty(f.record.ty).results);
        results.filter(|r| results_by_pointer(r)).map_or(0, |r| r.len())
    }

    /// A function in the guest's convention returned: it took its arguments off the stack.
    pub fn called(&self, s: &mut State, i: &Instruction, ty: u32) {
        s.lend(self.results_in_memory(ty));
        s.regs[RSP] = s.regs[RSP].plus(V::constant(pops(self.m.ty(ty))));
        after_call(s, i, &TAIL);
    }

    fn indirect_call(&mut self, s: &mut State, i: &Instruction, report: &mut Report) {
        let loaded = self.memory(s, i, report).map_or(V::Top, |(v, _)| v);
        let target = operand(s, i, 0, loaded);
        let own = s.regs[7] == V::Ptr(Base::Vmctx, Sum::of(0));
        let index = s.regs[6].as_constant();
        match target {
            V::Slot(k) if k == i64::from(layout::TRAP_STUB) => {
                let behind = self.decode(i.next_ip() as u32);
                let code = self.m.traps.get(&(i.next_ip() as u32)).copied();
                let good =
                    own && behind.mnemonic() == Mnemonic::Ud2 && index == code.map(i64::from);
                report.note(Form::Trap, good, || self.words(i));
                after_call(s, i, &SYSTEM_V);
            }
            V::Slot(k) if self.p.role == Role::Throw => self.thrower_calls(s, i, k, report),
            V::Slot(k) => {
                let good = if k == i64::from(layout::HOST_THUNK) {
                    index.is_some_and(|n| (0..i64::from(FIRST_IMPORT)).contains(&n))
                } else {
                    let number = index.map(|n| n - i64::from(FIRST_IMPORT));
                    let slot = |n: i64| i64::from(self.m.layout.import_slot(n as u32)) == k;
                    let all = 0..i64::from(self.m.imported_functions);
                    number.is_some_and(|n| all.contains(&n) && slot(n))
                };
                report.note(Form::HostCall, own && good, || self.words(i));
                s.lend(self.slots_written(index));
                after_call(s, i, &SYSTEM_V);
            }
            V::EntryCode(name) => {
                let known = s.known(name);
                let good = match known {
                    Some(NOT_NULL) | None => self.reference_context(s, name),
                    Some(ty) => self.entry_context(s, ty, name),
                };
                report.note(Form::IndirectCall, good, || self.words(i));
                let before = s.clone();
                match known {
                    Some(ty) if ty != NOT_NULL => self.called(s, i, ty),
                    _ => {
                        // Only validation knows the type: how much it pops is what is put back.
                        let next = self.decode(i.next_ip() as u32);
                        let restores = next.mnemonic() == Mnemonic::Sub
                            && next.op0_register() == iced_x86::Register::RSP;
                        let k = if restores { next.immediate(1) as i64 } else { 0 };
                        let types = 0..self.m.compiled.types.types.len() as u32;
                        s.lend(types.map(|t| self.results_in_memory(t)).max().unwrap_or(0));
                        s.regs[RSP] = s.regs[RSP].plus(V::constant(k));
                        after_call(s, i, &TAIL);
                    }
                }
                self.lands(&before, s, i, report);
            }
            _ => self.glue_call(s, i, target, report),
        }
    }

    /// Whether the callee gets the vmctx that the table entry says.
    fn entry_context(&self, s: &State, ty: u32, name: u64) -> bool {
        self.context(s, ty, |v| match v {
            V::EntryContext(n) => n == name,
            V::EntryVmctx { table, name: n } => {
                n == name && table != NO_TABLE && table < self.m.imported_tables
            }
            _ => false,
        })
    }

    /// The same for a reference, whose type only validation knows.
    fn reference_context(&self, s: &State, name: u64) -> bool {
        let known = s.facts.contains(&(name, NOT_NULL)) || name >> 40 == 3 << 22;
        known && [6, 7].iter().any(|r| s.regs[*r] == V::EntryContext(name))
    }

    fn glue_call(&mut self, s: &mut State, i: &Instruction, target: V, report: &mut Report) {
        let own = |v: V| v == V::Ptr(Base::Vmctx, Sum::of(0));
        let (good, ty) = match (self.p.role, target) {
            (Role::Entry(ty), V::EntryTarget) => (self.context(s, ty, own), Some(ty)),
            (Role::Adapter(ty), V::LinkCode) => {
                (self.context(s, ty, |v| v == V::LinkVmctx), Some(ty))
            }
            _ => (false, None),
        };
        let form = if ty.is_some() { Form::GlueCall } else { Form::IndirectCall };
        report.note(form, good, || format!("{} of {target:x?}", self.words(i)));
        match ty {
            Some(ty) => self.called(s, i, ty),
            None => after_call(s, i, &[]),
        }
    }

    fn branch(&mut self, s: &State, i: &Instruction, report: &mut Report) -> Next {
        let (to, on) = (i.near_branch_target() as u32, i.next_ip() as u32);
        report.note(Form::Jump, self.inside(to), || self.words(i));
        let (mut taken, mut not) = (s.clone(), s.clone());
        if let Some((V::Num(Sum { name: Some(n), shift: 0, k: 0 }), null)) = s.flags
            && null == V::constant(0)
            && n & WIDE != 0
        {
            match i.condition_code() {
                ConditionCode::e => not.facts.push((n, NOT_NULL)),
                ConditionCode::ne => taken.facts.push((n, NOT_NULL)),
                _ => {}
            }
        }
        if let Some((V::Len(t), null)) = s.flags
            && null == V::constant(0)
        {
            match i.condition_code() {
                ConditionCode::e => not.facts.push((has_element(t), NOT_NULL)),
                ConditionCode::ne => taken.facts.push((has_element(t), NOT_NULL)),
                _ => {}
            }
        }
        let equal = match i.condition_code() {
            ConditionCode::e => Some(&mut taken),
            ConditionCode::ne => Some(&mut not),
            _ => None,
        };
        if let Some(equal) = equal {
            match s.flags {
                Some((V::Signature(n), V::TypeId(t)) | (V::TypeId(t), V::Signature(n))) => {
                    equal.facts.push((n, t));
                }
                // The end of a loop that touches each page of a large frame.
                Some((V::Ptr(Base::Stack, k), rsp)) if rsp == s.regs[RSP] => {
                    equal.regs[RSP] = V::Ptr(Base::Stack, k);
                }
                Some((rsp, V::Ptr(Base::Stack, k))) if rsp == s.regs[RSP] => {
                    equal.regs[RSP] = V::Ptr(Base::Stack, k);
                }
                _ => {}
            }
        }
        // What is decided already has one way.
        let decided = s.flags.and_then(|(a, b)| Some(a.as_constant()? == b.as_constant()?));
        let goes = |way: bool| match (i.condition_code(), decided) {
            (ConditionCode::e, Some(equal)) => equal == way,
            (ConditionCode::ne, Some(equal)) => equal != way,
            _ => true,
        };
        let ways = [(to, taken, true), (on, not, false)];
        let ways = ways.into_iter().filter(|(at, _, way)| self.inside(*at) && goes(*way));
        Next::To(ways.map(|(at, state, _)| (at, state)).collect())
    }

    fn indirect_jump(&mut self, s: &mut State, i: &Instruction, report: &mut Report) -> Next {
        let loaded = self.memory(s, i, report).map_or(V::Top, |(v, _)| v);
        match operand(s, i, 0, loaded) {
            V::JumpTarget { at, last } => {
                // What was read of the table is a number from here on.
                s.rename_all(i.ip() as u32, |v| {
                    matches!(v, V::JumpEntry { .. } | V::JumpTarget { .. })
                });
                let mut ways = Vec::new();
                let mut good = true;
                for n in 0..=last {
                    let from = (at + 4 * n) as usize;
                    let entry = self.m.compiled.text.get(from..from + 4);
                    let entry = entry.and_then(|b| b.try_into().ok()).map(i32::from_le_bytes);
                    let to = entry.map(|e| at.wrapping_add(e as u32));
                    match to.filter(|to| self.inside(*to)) {
                        Some(to) => ways.push((to, s.clone())),
                        None => good = false,
                    }
                }
                report.note(Form::JumpTable, good, || self.words(i));
                Next::To(ways)
            }
            V::EntryCode(name) => {
                let known = s.known(name);
                let good = match known {
                    Some(NOT_NULL) | None => self.reference_context(s, name) && self.kept(s, &TAIL),
                    Some(ty) => self.entry_context(s, ty, name) && self.frame_is_gone(s, ty),
                };
                report.note(Form::TailCall, good, || self.words(i));
                Next::To(Vec::new())
            }
            V::Linked { import, vmctx: false } => {
                let ty = self.m.compiled.funcs[import as usize].record.ty;
                let theirs = |v: V| v == V::Linked { import, vmctx: true };
                let good = self.context(s, ty, theirs) && self.frame_is_gone(s, ty);
                report.note(Form::TailCall, good, || self.words(i));
                Next::To(Vec::new())
            }
            v => {
                report.note(Form::JumpTable, false, || format!("{} to {v:x?}", self.words(i)));
                Next::To(Vec::new())
            }
        }
    }

    /// Whether the function is left as a tail call of a function of a type leaves it.
    fn leaves(&self, s: &State, ty: u32) -> bool {
        let own = |v: V| v == V::Ptr(Base::Vmctx, Sum::of(0));
        self.context(s, ty, own) && self.frame_is_gone(s, ty)
    }

    fn frame_is_gone(&self, s: &State, callee: u32) -> bool {
        let Role::Function(ty) = self.p.role else { return false };
        let moved = pops(self.m.ty(ty)) - pops(self.m.ty(callee));
        s.depth() == Some(moved) && self.at_return_address(s) && self.kept(s, &TAIL)
    }

    fn at_return_address(&self, s: &State) -> bool {
        s.depth().is_some_and(|k| s.stack.get(&k) == Some(&V::Return))
    }

    fn kept(&self, s: &State, registers: &[usize]) -> bool {
        registers.iter().chain(&[RBP]).all(|r| s.regs[*r] == V::Initial(*r as u8))
    }

    fn returns(&self, s: &State, i: &Instruction) -> bool {
        let popped = if i.op_count() == 0 { 0 } else { i64::from(i.immediate16()) };
        let (pops, kept) = match self.p.role {
            Role::Function(ty) => (pops(self.m.ty(ty)), self.kept(s, &TAIL)),
            Role::Entry(_) | Role::Adapter(_) => (0, self.kept(s, &SYSTEM_V)),
            // It does not return.
            Role::Throw => (0, false),
            Role::Fuel => {
                let others: Vec<usize> =
                    ALL.into_iter().filter(|r| ![4, 5, 7].contains(r)).collect();
                let vmctx = s.regs[7] == V::Ptr(Base::Vmctx, Sum::of(0));
                (0, vmctx && self.kept(s, &others))
            }
        };
        let all = s.depth().is_some_and(|k| k + popped == pops);
        all && self.at_return_address(s) && kept && i.mnemonic() == Mnemonic::Ret
    }
}
