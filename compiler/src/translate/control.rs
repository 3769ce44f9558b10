//! Structured control: blocks, loops, conditionals and branches.
//!
//! ```text
//!  block … end                 loop … end                  if … else … end
//!    body ─────┐                 ├─jump─► header(params)      ├─brif─► then ───┐
//!    br 0 ─────┤                 │         body               └──────► else ───┤
//!              ▼                 │ ◄─────── br 0                              ▼
//!    exit(results)               results stay on the stack       exit(results)
//! ```
//!
//! The exit block of a frame is created by the first branch to it: most blocks in real code that
//! nobody branches to cost nothing. Unreachable operators are skipped by counting block openings,
//! so neither the stack's types nor depth matter there.

use super::abi::clif_type;
use super::exn::is_exnref;
use super::{Fail, Res, Translator};
use crate::limits::Limit;
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, InstBuilder, JumpTableData, Value};
use lucet_artifact::abi::TrapCode;
use lucet_artifact::contract::feature;
use lucet_artifact::types::ValType;
use std::collections::BTreeMap;
use wasmparser::{BlockType, BrTable, Catch, Operator};

/// What kind of construct a frame is for.
enum Kind {
    Function,
    Block,
    Loop { header: Block },
    // The `else` branch is still to come: where it starts, and the operands it starts with.
    If { otherwise: Block, params: Vec<Value> },
    Else,
    // A `try_table`; its landing pad is the innermost of the body's.
    Try(Vec<Catch>),
}

/// The types of a construct's parameters or results.
#[derive(Debug, Clone, Copy)]
pub(super) enum Types<'e> {
    One([ValType; 1]),
    Many(&'e [ValType]),
}

impl Types<'_> {
    pub(super) fn as_slice(&self) -> &[ValType] {
        match self {
            Self::One(t) => t,
            Self::Many(t) => t,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }
}

/// No types.
const NONE: Types<'static> = Types::Many(&[]);

/// An open construct.
pub struct Frame<'e> {
    kind: Kind,
    // Where branches to its end go, once there is one.
    exit: Option<Block>,
    params: Types<'e>,
    results: Types<'e>,
    // Height of the operand stack below the parameters.
    height: usize,
}

impl<'e> Frame<'e> {
    /// The outermost frame.
    pub fn function(results: &'e [ValType]) -> Self {
        let results = Types::Many(results);
        Self { kind: Kind::Function, exit: None, params: NONE, results, height: 0 }
    }

    /// That of a `try_table`.
    pub(super) fn try_table(catches: Vec<Catch>, params: Types<'e>, results: Types<'e>) -> Self {
        Self { kind: Kind::Try(catches), exit: None, params, results, height: 0 }
    }

    /// Types that a branch to this frame carries.
    fn label(&self) -> Types<'e> {
        match self.kind {
            Kind::Loop { .. } => self.params,
            _ => self.results,
        }
    }
}

impl<'e> Translator<'e, '_> {
    /// Translates a control operator; false if it is not one.
    pub(super) fn control(&mut self, op: &Operator<'_>) -> Res<bool> {
        match op {
            Operator::Block { blockty } => self.block(*blockty)?,
            Operator::Loop { blockty } => self.loop_(*blockty)?,
            Operator::If { blockty } => self.if_(*blockty)?,
            Operator::Else => self.else_()?,
            Operator::End => self.end()?,
            Operator::Br { relative_depth } => self.br(*relative_depth)?,
            Operator::BrIf { relative_depth } => self.br_if(*relative_depth)?,
            Operator::BrTable { targets } => self.br_table(targets)?,
            Operator::Return => {
                let outermost = self.control.len().saturating_sub(1) as u32;
                self.br(outermost)?;
            }
            Operator::Unreachable => {
                self.body.fuel_unreachable();
                self.body.trap(TrapCode::Unreachable);
                self.reachable = false;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Skips an operator that cannot be reached, except the ends of reachable constructs.
    pub(super) fn unreachable_operator(&mut self, op: &Operator<'_>) -> Res<()> {
        match op {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. } => self.dead += 1,
            Operator::End if self.dead > 0 => self.dead -= 1,
            Operator::End => self.end()?,
            Operator::Else if self.dead == 0 => self.else_()?,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn block_type(&mut self, ty: BlockType) -> Res<(Types<'e>, Types<'e>)> {
        let plan = self.body.env.plan;
        Ok(match ty {
            BlockType::Empty => (NONE, NONE),
            BlockType::Type(t) => {
                let t = crate::parse::Parsed::val_type(t).ok_or(Fail::Internal("block type"))?;
                self.features |= crate::parse::Parsed::features_of(t);
                (NONE, Types::One([t]))
            }
            BlockType::FuncType(i) => {
                self.features |= feature::MULTI_VALUE;
                let distinct = plan.wasm_types.get(i as usize).copied();
                let ty = distinct.and_then(|d| plan.types.get(d as usize));
                let ty = ty.ok_or(Fail::Internal("block type"))?;
                (Types::Many(&ty.params), Types::Many(&ty.results))
            }
        })
    }

    fn open(&mut self, kind: Kind, params: Types<'e>, results: Types<'e>) -> Res<()> {
        self.open_frame(Frame { kind, exit: None, params, results, height: 0 })
    }

    /// Opens a construct, whose parameters are the operands on top.
    pub(super) fn open_frame(&mut self, mut frame: Frame<'e>) -> Res<()> {
        let height = self.stack.len().checked_sub(frame.params.len());
        frame.height = height.ok_or(Fail::Internal("block parameters"))?;
        self.control.push(frame);
        Ok(())
    }

    fn new_block(&mut self, params: &[ValType]) -> Res<Block> {
        self.body.spend(params.len())?;
        let block = self.body.b.create_block();
        for t in params {
            self.body.b.append_block_param(block, clif_type(*t));
        }
        if params.iter().any(|t| is_exnref(*t)) {
            let values = self.body.b.block_params(block).to_vec();
            self.body.keep_exnrefs(params, &values);
        }
        Ok(block)
    }

    fn enter(&mut self, block: Block) -> Res<()> {
        self.body.fuel_at_join()?;
        self.body.b.switch_to_block(block);
        self.stack.extend_from_slice(self.body.b.block_params(block));
        Ok(())
    }

    fn block(&mut self, ty: BlockType) -> Res<()> {
        let (params, results) = self.block_type(ty)?;
        self.open(Kind::Block, params, results)
    }

    fn loop_(&mut self, ty: BlockType) -> Res<()> {
        let (params, results) = self.block_type(ty)?;
        let header = self.new_block(params.as_slice())?;
        self.jump(header, params.len())?;
        self.open(Kind::Loop { header }, params, results)?;
        self.loops += 1;
        self.deepest = self.deepest.max(self.loops);
        self.within(Limit::LoopNesting, u64::from(self.loops))?;
        self.drop_n(params.len());
        self.enter(header)?;
        self.body.check_fuel();
        Ok(())
    }

    fn if_(&mut self, ty: BlockType) -> Res<()> {
        let (params, results) = self.block_type(ty)?;
        let condition = self.pop()?;
        let (then, otherwise) = (self.body.b.create_block(), self.body.b.create_block());
        self.body.fuel_before_branch();
        self.body.b.ins().brif(condition, then, &[], otherwise, &[]);
        self.body.b.seal_block(then);
        self.body.b.seal_block(otherwise);
        let at = self.stack.len().saturating_sub(params.len());
        self.body.spend(params.len())?;
        let saved = self.stack.get(at..).unwrap_or_default().to_vec();
        self.open(Kind::If { otherwise, params: saved }, params, results)?;
        self.body.b.switch_to_block(then);
        Ok(())
    }

    fn else_(&mut self) -> Res<()> {
        let depth = self.control.len().checked_sub(1).ok_or(Fail::Internal("else"))?;
        if self.reachable {
            let exit = self.exit(depth)?;
            let results = self.frame(depth)?.results.len();
            self.jump(exit, results)?;
        }
        let frame = self.control.last_mut().ok_or(Fail::Internal("else"))?;
        let Kind::If { otherwise, params } = std::mem::replace(&mut frame.kind, Kind::Else) else {
            return Err(Fail::Internal("else without if"));
        };
        self.stack.truncate(frame.height);
        self.stack.extend(params);
        self.body.fuel_at_join()?;
        self.body.b.switch_to_block(otherwise);
        self.reachable = true;
        Ok(())
    }

    fn end(&mut self) -> Res<()> {
        // An `if` without `else` has an empty `else`: parameters are the results.
        if matches!(self.control.last(), Some(Frame { kind: Kind::If { .. }, .. })) {
            self.else_()?;
        }
        let depth = self.control.len().checked_sub(1).ok_or(Fail::Internal("end"))?;
        let pad = match self.frame(depth)?.kind {
            Kind::Try(_) => self.body.landings.pop().flatten(),
            _ => None,
        };
        if self.reachable && (self.frame(depth)?.exit.is_some() || pad.is_some()) {
            let exit = self.exit(depth)?;
            let results = self.frame(depth)?.results.len();
            self.jump(exit, results)?;
        }
        let frame = self.control.pop().ok_or(Fail::Internal("end"))?;
        if let (Kind::Try(catches), Some(pad)) = (&frame.kind, pad) {
            self.land(pad, catches, frame.height)?;
            self.reachable = false;
        }
        if let Kind::Loop { header } = frame.kind {
            self.loops = self.loops.saturating_sub(1);
            self.body.b.seal_block(header);
        }
        if let Some(exit) = frame.exit {
            self.body.b.seal_block(exit);
            self.stack.truncate(frame.height);
            self.enter(exit)?;
            self.reachable = true;
        } else if !self.reachable {
            self.stack.truncate(frame.height);
        }
        if matches!(frame.kind, Kind::Function) && self.reachable {
            let values = self.pop_n(frame.results.len())?;
            self.body.store_fuel();
            self.body.b.ins().return_(&values);
        }
        Ok(())
    }

    fn frame(&self, depth: usize) -> Res<&Frame<'e>> {
        self.control.get(depth).ok_or(Fail::Internal("branch depth"))
    }

    /// Position in `control` of a relative branch depth.
    fn position(&self, relative: u32) -> Res<usize> {
        let top = self.control.len().checked_sub(1);
        top.and_then(|t| t.checked_sub(relative as usize)).ok_or(Fail::Internal("branch depth"))
    }

    /// The exit block of a frame, created on first use.
    fn exit(&mut self, at: usize) -> Res<Block> {
        let frame = self.frame(at)?;
        if let Some(exit) = frame.exit {
            return Ok(exit);
        }
        let results = frame.results;
        let exit = self.new_block(results.as_slice())?;
        if let Some(frame) = self.control.get_mut(at) {
            frame.exit = Some(exit);
        }
        Ok(exit)
    }

    /// The block that a branch to a frame goes to.
    fn target(&mut self, at: usize) -> Res<Block> {
        match self.frame(at)?.kind {
            Kind::Loop { header } => Ok(header),
            _ => self.exit(at),
        }
    }

    /// Accounts for a branch: merging control flow may carry every local along every branch.
    pub(super) fn branch(&mut self) -> Res<()> {
        self.branches += 1;
        let variables = self.locals.len() as u64 + u64::from(self.body.fuel.is_some());
        self.within(Limit::Merges, self.branches.saturating_mul(variables))
    }

    /// Before a branch: puts the top `n` operands into `self.args`.
    fn load_args(&mut self, n: usize) -> Res<()> {
        self.branch()?;
        self.body.spend(n)?;
        self.body.fuel_before_branch();
        let at = self.stack.len().checked_sub(n).ok_or(Fail::Internal("operand stack"))?;
        self.args.clear();
        let top = self.stack.get(at..).unwrap_or_default();
        self.args.extend(top.iter().map(|v| BlockArg::from(*v)));
        Ok(())
    }

    fn drop_n(&mut self, n: usize) {
        self.stack.truncate(self.stack.len().saturating_sub(n));
    }

    fn jump(&mut self, block: Block, n: usize) -> Res<()> {
        self.load_args(n)?;
        self.body.b.ins().jump(block, &self.args);
        Ok(())
    }

    pub(super) fn br(&mut self, relative: u32) -> Res<()> {
        let at = self.position(relative)?;
        let n = self.frame(at)?.label().len();
        if matches!(self.frame(at)?.kind, Kind::Function) {
            self.body.spend(n)?;
            let values = self.pop_n(n)?;
            self.body.store_fuel();
            self.body.b.ins().return_(&values);
        } else {
            let target = self.target(at)?;
            self.jump(target, n)?;
        }
        self.reachable = false;
        Ok(())
    }

    fn br_if(&mut self, relative: u32) -> Res<()> {
        let condition = self.pop()?;
        self.branch_if(condition, relative)
    }

    /// Branches with the operands on the stack if `condition` is not zero.
    pub(super) fn branch_if(&mut self, condition: Value, relative: u32) -> Res<()> {
        let at = self.position(relative)?;
        let n = self.frame(at)?.label().len();
        let target = self.target(at)?;
        self.load_args(n)?;
        let next = self.body.b.create_block();
        self.body.b.ins().brif(condition, target, &self.args, next, &[]);
        self.body.b.seal_block(next);
        self.body.b.switch_to_block(next);
        Ok(())
    }

    /// Targets with arguments get a block each that passes them on, so that the work depends on
    /// the number of *distinct* targets.
    fn br_table(&mut self, table: &BrTable<'_>) -> Res<()> {
        self.within(Limit::BrTable, u64::from(table.len()))?;
        self.targets += u64::from(table.len()) + 1;
        self.within(Limit::BranchTargets, self.targets)?;
        let index = self.pop()?;
        let mut edges: BTreeMap<usize, Block> = BTreeMap::new();
        let mut calls = Vec::with_capacity(table.len() as usize);
        let arity = self.frame(self.position(table.default())?)?.label().len();
        for relative in table.targets() {
            let at = self.position(relative?)?;
            calls.push(self.edge(at, arity, &mut edges)?);
        }
        let at = self.position(table.default())?;
        let default = self.edge(at, arity, &mut edges)?;
        self.body.fuel_before_branch();
        let table = self.body.b.create_jump_table(JumpTableData::new(default, &calls));
        self.body.b.ins().br_table(index, table);
        if arity > 0 {
            for (at, edge) in edges {
                self.body.b.seal_block(edge);
                self.body.b.switch_to_block(edge);
                let target = self.target(at)?;
                self.jump(target, arity)?;
            }
        }
        self.reachable = false;
        Ok(())
    }

    fn edge(
        &mut self,
        at: usize,
        arity: usize,
        edges: &mut BTreeMap<usize, Block>,
    ) -> Res<BlockCall> {
        let block = match edges.get(&at) {
            Some(block) => *block,
            None => {
                self.branch()?;
                let target = self.target(at)?;
                let block = if arity > 0 { self.body.b.create_block() } else { target };
                edges.insert(at, block);
                block
            }
        };
        Ok(self.body.b.func.dfg.block_call(block, &[] as &[BlockArg]))
    }
}
