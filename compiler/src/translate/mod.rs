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
//!  wide.rs      128-bit integers in two halves
//!  refs.rs      typed references                 tail.rs     tail calls
//! ```
//!
//! Bodies were validated, so what cannot happen is [`Fail::Internal`], never a panic.

pub mod abi;
mod address;
mod atomic;
pub mod body;
mod checked;
mod control;
pub mod fuel;
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

use crate::parse::Parsed;
use crate::plan::Plan;
use abi::clif_type;
use body::Body;
use control::Frame;
use cranelift_codegen::ir::{
    BlockArg, Function, InstBuilder, SourceLoc, UserFuncName, Value, types,
};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use lucet_artifact::contract::feature;
use lucet_artifact::types::ValType;
use std::collections::BTreeSet;
use wasmparser::{FunctionBody, Operator};

/// Most CLIF values in one function; the largest seen in real modules is 620,000. Nested loops can
/// multiply locals (a block parameter per local and loop), so the body's size does not bound them.
const MAX_VALUES: usize = 2_000_000;

/// Most products of branches and locals: merging control flow may carry every local along every
/// branch. The largest seen in real modules is 1.5 million.
const MAX_MERGES: u64 = 100_000_000;

/// What all functions of a module share.
pub struct Env<'a> {
    /// The plan.
    pub plan: &'a Plan<'a>,
    /// What the frontend has to know about the target.
    pub target: TargetFrontendConfig,
}

/// Why a function was not translated.
#[derive(Debug)]
pub enum Fail {
    /// A limit is exceeded.
    Limit(&'static str),
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
    locals: Vec<Variable>,
    // Whether the current position can be reached. If not, `dead` counts the blocks that were
    // opened since.
    reachable: bool,
    dead: usize,
    // Arguments of the branch being built.
    args: Vec<BlockArg>,
    // Branches so far.
    branches: u64,
    features: u64,
}

/// What is known of a function after translation.
#[derive(Debug, Default)]
pub struct Found {
    /// Feature bits that its body uses.
    pub features: u64,
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
) -> Res<Found> {
    let ty = env.plan.func_type(index).ok_or(Fail::Internal("function type"))?;
    func.name = UserFuncName::user(0, index);
    func.signature = abi::guest(ty);
    let builder = FunctionBuilder::new(func, context);
    let (body, params) = Body::new(env, builder)?;
    let mut t = Translator {
        body,
        stack: Vec::new(),
        control: vec![Frame::function(&ty.results)],
        locals: Vec::new(),
        reachable: true,
        dead: 0,
        args: Vec::new(),
        branches: 0,
        features: 0,
    };
    t.set_position(wasm.range().start);
    t.declare_locals(wasm, &ty.params, &params)?;
    t.body.begin_fuel(Some(wasm))?;
    t.body.check_fuel();
    let mut ops = wasm.get_operators_reader()?;
    while !ops.eof() {
        let (op, offset) = ops.read_with_offset()?;
        t.set_position(offset);
        t.operator(&op)?;
        if t.body.b.func.dfg.num_values() > MAX_VALUES {
            return Err(Fail::Limit("the function needs too many intermediate values"));
        }
    }
    ops.finish()?;
    if !t.control.is_empty() {
        return Err(Fail::Internal("unclosed block"));
    }
    let found = Found { features: t.features, tails: t.body.tails };
    t.body.b.finalize(env.target);
    Ok(found)
}

impl<'e> Translator<'e, '_> {
    fn set_position(&mut self, offset: u64) {
        self.body.b.set_srcloc(SourceLoc::new(offset as u32));
    }

    fn declare_locals(
        &mut self,
        wasm: &FunctionBody<'_>,
        types: &[ValType],
        params: &[Value],
    ) -> Res<()> {
        for (t, value) in types.iter().zip(params) {
            let var = self.body.b.declare_var(clif_type(*t));
            self.body.b.def_var(var, *value);
            self.locals.push(var);
        }
        for group in wasm.get_locals_reader()? {
            let (n, t) = group?;
            let t = Parsed::val_type(t).ok_or(Fail::Internal("type of a local"))?;
            if t.reference().is_some_and(Parsed::is_typed) {
                self.features |= feature::FUNCTION_REFERENCES;
            }
            let zero = self.zero(t);
            for _ in 0..n {
                let var = self.body.b.declare_var(clif_type(t));
                self.body.b.def_var(var, zero);
                self.locals.push(var);
            }
        }
        Ok(())
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
        self.locals.get(index as usize).copied().ok_or(Fail::Internal("local index"))
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
            Operator::TypedSelect { .. } => {
                self.features |= feature::REFERENCE_TYPES;
                self.select()?;
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
                    || self.tail(op)?;
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
