//! From wasm operators to Cranelift's intermediate representation (CLIF).
//!
//! The wasm operand stack lives at compile time only: [`Translator::stack`] holds the CLIF value of
//! each operand, locals are frontend variables (SSA construction is the frontend's), and structured
//! control becomes blocks with parameters. Code that cannot be reached is skipped.
//!
//! ```text
//!  control.rs   blocks, loops, branches          memory.rs   loads, stores, bulk
//!  numeric.rs   arithmetic, by table             address.rs  addresses in memories
//!  checked.rs   checks of divisions              atomic.rs   atomic accesses
//!  body.rs      calls, traps                     table.rs    tables, indirect calls, references
//!  fuel.rs      counting steps, if asked for     abi.rs      signatures, flags, regions
//!  simd.rs      vectors, by table                simd_*.rs   their accesses, relaxed operators
//!  wide.rs      128-bit integers in two halves   locals.rs   locals
//!  refs.rs      typed references                 tail.rs     tail calls
//!  exn.rs       exceptions
//! ```
//!
//! Bodies were validated, so what cannot happen is [`Fail::Internal`], never a panic.

pub mod abi;
mod address;
mod atomic;
pub mod body;
mod checked;
mod control;
mod exn;
pub mod fuel;
mod locals;
mod memory;
mod numeric;
mod numeric_ops;
mod refs;
mod simd;
mod simd_memory;
mod simd_ops;
mod simd_relaxed;
mod table;
mod tail;
mod wide;

use crate::budget::Budget;
use crate::limits::{Limit, Limits};
use crate::plan::Plan;
use abi::clif_type;
use body::Body;
use control::Frame;
use cranelift_codegen::ir::{
    BlockArg, Function, InstBuilder, SourceLoc, UserFuncName, Value, types,
};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use locals::Locals;
use lucet_artifact::contract::feature;
use lucet_artifact::types::ValType;
use std::collections::BTreeSet;
use wasmparser::{FunctionBody, Operator};

/// Operators between two looks at the clock.
const TICK: u32 = 4096;

/// What all functions of a module share.
pub struct Env<'a> {
    /// The plan.
    pub plan: &'a Plan<'a>,
    /// What the frontend has to know about the target.
    pub target: TargetFrontendConfig,
    /// What a function may take.
    pub limits: &'a Limits,
    /// What the compilation has left.
    pub budget: &'a Budget,
}

/// Why a function was not translated.
#[derive(Debug)]
pub enum Fail {
    /// A limit is exceeded.
    Limit(Limit),
    /// The time is over.
    Time,
    /// A bug: validation should have refused this.
    Internal(&'static str),
    /// A bug: wasmparser refused what it had accepted.
    Parse(wasmparser::Error),
}

impl From<wasmparser::Error> for Fail {
    fn from(e: wasmparser::Error) -> Self {
        Self::Parse(e)
    }
}

/// Result of a step of translation.
pub type Res<T> = Result<T, Fail>;

/// Translates a body.
pub struct Translator<'e, 'f> {
    body: Body<'e, 'f>,
    stack: Vec<Value>,
    control: Vec<Frame<'e>>,
    locals: Locals,
    // Whether the current position can be reached. If not, `dead` counts the blocks that were
    // opened since.
    reachable: bool,
    dead: usize,
    // Arguments of the branch being built.
    args: Vec<BlockArg>,
    // Branches so far, and targets of br_tables.
    branches: u64,
    targets: u64,
    // Loops that are open, and the most that were.
    loops: u32,
    deepest: u32,
    // Operators since the last look at the clock.
    ticks: u32,
    features: u64,
}

/// What came out beside the code.
#[derive(Debug, Default)]
pub struct Translated {
    /// Feature bits that the body uses.
    pub features: u64,
    /// Depth to which its loops nest.
    pub loops: u32,
    /// Targets of its `br_table`s.
    pub targets: u64,
    /// Types of the functions that it calls instead of returning.
    pub tails: BTreeSet<u32>,
}

/// Translates own function `index` into `func`.
pub fn translate(
    env: &Env<'_>,
    index: u32,
    wasm: &FunctionBody<'_>,
    func: &mut Function,
    context: &mut FunctionBuilderContext,
) -> Res<Translated> {
    let ty = env.plan.func_type(index).ok_or(Fail::Internal("function type"))?;
    func.name = UserFuncName::user(0, index);
    func.signature = abi::guest(ty);
    let builder = FunctionBuilder::new(func, context);
    let (body, params) = Body::new(env, builder)?;
    let mut t = Translator {
        body,
        stack: Vec::new(),
        control: vec![Frame::function(&ty.results)],
        locals: Locals::default(),
        reachable: true,
        dead: 0,
        args: Vec::new(),
        branches: 0,
        targets: 0,
        loops: 0,
        deepest: 0,
        ticks: 0,
        features: 0,
    };
    t.within(Limit::FunctionSize, wasm.range().end.saturating_sub(wasm.range().start))?;
    t.set_position(wasm.range().start);
    t.declare_locals(wasm, &ty.params, &params)?;
    t.body.begin_fuel(Some(wasm))?;
    t.body.check_fuel();
    let mut ops = wasm.get_operators_reader()?;
    while !ops.eof() {
        let (op, offset) = ops.read_with_offset()?;
        t.set_position(offset);
        t.operator(&op)?;
        t.check_size()?;
    }
    ops.finish()?;
    if !t.control.is_empty() {
        return Err(Fail::Internal("unclosed block"));
    }
    t.body.b.finalize(env.target);
    Ok(Translated {
        features: t.features,
        loops: t.deepest,
        targets: t.targets,
        tails: t.body.tails,
    })
}

impl<'e> Translator<'e, '_> {
    fn set_position(&mut self, offset: u64) {
        self.body.b.set_srcloc(SourceLoc::new(offset as u32));
    }

    /// Fails if there are more than `limit` of something.
    fn within(&self, limit: Limit, n: u64) -> Res<()> {
        if n > self.body.env.limits.get(limit) { Err(Fail::Limit(limit)) } else { Ok(()) }
    }

    /// After each operator: looks at the sizes, and now and then at the clock.
    fn check_size(&mut self) -> Res<()> {
        let dfg = &self.body.b.func.dfg;
        let (values, blocks) = (dfg.num_values().max(dfg.num_insts()), dfg.num_blocks());
        self.within(Limit::Values, values as u64)?;
        self.within(Limit::Blocks, blocks as u64)?;
        self.within(Limit::Nesting, (self.control.len() + self.dead) as u64)?;
        self.ticks = (self.ticks + 1) % TICK;
        if self.ticks == 0 && self.body.env.budget.is_over() { Err(Fail::Time) } else { Ok(()) }
    }

    fn zero(&mut self, t: ValType) -> Value {
        let ins = self.body.b.ins();
        match t {
            ValType::F32 => ins.f32const(0.0),
            ValType::F64 => ins.f64const(0.0),
            ValType::V128 => self.v128(clif_type(t), 0),
            t => ins.iconst(clif_type(t), 0),
        }
    }

    fn push(&mut self, v: Value) {
        self.stack.push(v);
    }

    fn pop(&mut self) -> Res<Value> {
        self.stack.pop().ok_or(Fail::Internal("operand stack"))
    }

    fn pop2(&mut self) -> Res<(Value, Value)> {
        let y = self.pop()?;
        Ok((self.pop()?, y))
    }

    fn pop3(&mut self) -> Res<(Value, Value, Value)> {
        let z = self.pop()?;
        let (x, y) = self.pop2()?;
        Ok((x, y, z))
    }

    fn pop_n(&mut self, n: usize) -> Res<Vec<Value>> {
        let at = self.stack.len().checked_sub(n).ok_or(Fail::Internal("operand stack"))?;
        Ok(self.stack.split_off(at))
    }

    fn local(&self, index: u32) -> Res<Variable> {
        self.locals.get(index).ok_or(Fail::Internal("local index"))
    }

    fn operator(&mut self, op: &Operator<'_>) -> Res<()> {
        if !self.reachable {
            return self.unreachable_operator(op);
        }
        self.charge_operator(op);
        match op {
            Operator::Nop => {}
            Operator::Drop => {
                self.pop()?;
            }
            Operator::LocalGet { local_index } => {
                let var = self.local(*local_index)?;
                let v = self.body.b.use_var(var);
                self.push(v);
            }
            Operator::LocalSet { local_index } => {
                let var = self.local(*local_index)?;
                let v = self.pop()?;
                self.body.b.def_var(var, v);
            }
            Operator::LocalTee { local_index } => {
                let var = self.local(*local_index)?;
                let v = self.pop()?;
                self.body.b.def_var(var, v);
                self.push(v);
            }
            Operator::GlobalGet { global_index } => self.global_get(*global_index)?,
            Operator::GlobalSet { global_index } => self.global_set(*global_index)?,
            Operator::Select => self.select()?,
            Operator::TypedSelect { ty } => {
                self.features |= feature::REFERENCE_TYPES;
                self.select()?;
                let ty = crate::parse::Parsed::val_type(*ty)
                    .ok_or(Fail::Internal("type of a select"))?;
                self.features |= crate::parse::Parsed::features_of(ty);
                let v = self.stack.last().copied();
                self.body.keep_exnrefs(&[ty], v.as_slice());
            }
            Operator::Call { function_index } => self.call(*function_index)?,
            _ => {
                let done = self.numeric(op)?
                    || self.control(op)?
                    || self.memory(op)?
                    || self.table(op)?
                    || self.simd(op)?
                    || self.atomic(op)?
                    || self.wide(op)?
                    || self.refs(op)?
                    || self.tail(op)?
                    || self.exception(op)?;
                if !done {
                    return Err(Fail::Internal("operator without translation"));
                }
            }
        }
        Ok(())
    }

    fn select(&mut self) -> Res<()> {
        let (x, y, condition) = self.pop3()?;
        let v = self.body.b.ins().select(condition, x, y);
        self.push(v);
        Ok(())
    }

    fn call(&mut self, func: u32) -> Res<()> {
        let ty = self.body.env.plan.func_type(func).ok_or(Fail::Internal("callee"))?;
        let args = self.pop_n(ty.params.len())?;
        self.call_branch()?;
        let results = self.body.call(func, &args)?;
        self.stack.extend(results);
        Ok(())
    }

    /// Address and type of a global: an own cell, or the owner's through a pointer.
    fn global(&mut self, index: u32) -> Res<(ValType, Value, i32)> {
        let plan = self.body.env.plan;
        let ty = plan.globals.get(index as usize).ok_or(Fail::Internal("global index"))?.ty;
        Ok(match index.checked_sub(plan.imported.globals) {
            Some(own) => (ty, self.body.vmctx, plan.layout.global(own)),
            None => (ty, self.body.constant(plan.layout.imported_global(index)), 0),
        })
    }

    fn global_get(&mut self, index: u32) -> Res<()> {
        let (ty, base, offset) = self.global(index)?;
        let flags = self.body.regions.globals();
        let v = self.body.b.ins().load(clif_type(ty), flags, base, offset);
        self.body.keep_exnrefs(&[ty], &[v]);
        self.push(v);
        Ok(())
    }

    fn global_set(&mut self, index: u32) -> Res<()> {
        let v = self.pop()?;
        let (_, base, offset) = self.global(index)?;
        let flags = self.body.regions.globals();
        self.body.b.ins().store(flags, v, base, offset);
        Ok(())
    }

    /// An index, `i32` or `i64`, as the `i64` that builtins and address arithmetic take.
    fn extend(&mut self, v: Value) -> Value {
        match self.body.b.func.dfg.value_type(v) {
            types::I64 => v,
            _ => self.body.b.ins().uextend(types::I64, v),
        }
    }
}
