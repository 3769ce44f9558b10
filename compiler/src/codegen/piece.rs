//! One piece of code: builds CLIF for a job, compiles it, keeps what the artifact needs.

use super::cost::Cost;
use super::{Targets, glue};
use crate::error::{Class, Diagnostic};
use crate::panics::caught;
use crate::translate::body::{FUNCTIONS, OUT_OF_FUEL, THROW};
use crate::translate::{self, Env, Fail, Translated};
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{self, ExternalName};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::{UnwindInfo, systemv};
use cranelift_codegen::{
    CodegenError, CompiledCode, Context, FinalizedMachExceptionHandler, FinalizedRelocTarget,
};
use cranelift_frontend::FunctionBuilderContext;
use lucet_artifact::abi::TrapCode;
use lucet_artifact::code::{Handler, PcRow};
use lucet_artifact::types::{FuncType, NO_CODE, ValType};
use wasmparser::FunctionBody;

/// What a piece of code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Own function, by function index.
    Function(u32),
    /// Import stub, by function index.
    Stub(u32),
    /// Entry trampoline, by type.
    Entry(u32),
    /// Link adapter, by type.
    Adapter(u32),
    /// Glue that throws.
    Throw,
    /// Routine for used up fuel.
    OutOfFuel,
}

/// What a direct call goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Own function or import stub, by function index.
    Function(u32),
    /// Glue that throws.
    Throw,
    /// Routine for used up fuel.
    OutOfFuel,
}

/// A direct call: `offset` in the piece, with kind and addend of its relocation.
#[derive(Debug)]
pub struct CallSite {
    pub offset: u32,
    pub kind: Reloc,
    pub addend: i64,
    pub target: Target,
}

/// Compiled code of a job.
#[derive(Debug)]
pub struct Piece {
    pub code: Vec<u8>,
    pub align: u32,
    pub calls: Vec<CallSite>,
    pub traps: Vec<(u32, TrapCode)>,
    /// Offsets in the piece.
    pub handlers: Vec<Handler>,
    pub rows: Vec<PcRow>,
    pub unwind: Option<systemv::UnwindInfo>,
    pub frame: u32,
    /// Feature bits with the offset in the wasm file of the first use.
    pub features: Vec<(u64, u32)>,
    /// Bytes of stack arguments of the functions that it calls instead of returning, at most: it
    /// makes room for them in place of its own, and pops that much when it returns.
    pub tail_args: u32,
}

/// Bytes that a job may have taken for its allocations to be kept.
const KEEP: u64 = 8 << 20;

/// What a worker keeps between jobs, to save allocations.
pub struct Scratch {
    context: Context,
    builder: FunctionBuilderContext,
}

impl Scratch {
    pub fn new() -> Self {
        Self { context: Context::new(), builder: FunctionBuilderContext::new() }
    }
}

/// Text of a piece for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// The intermediate representation before optimisation.
    Clif,
    /// Machine instructions with symbolic registers resolved.
    Asm,
}

/// Compiles a job. A panic in the code generator is a diagnostic like any other.
pub fn compile(
    env: &Env<'_>,
    targets: &Targets,
    job: Job,
    s: &mut Scratch,
) -> Result<Piece, Diagnostic> {
    guarded(env, job, s, |s| {
        let memory =
            env.budget.take_for_body(body(env, job).map_or(0, |b| b.as_bytes().len() as u64));
        let translated = build(env, job, s)?;
        let tails = translated.tails.iter().filter_map(|t| env.plan.types.get(*t as usize));
        let tail_args = tails.map(pops).max().unwrap_or(0);
        let cost = Cost::of(&s.context.func, &translated);
        cost.check(env)?;
        let memory = memory.at_least(cost.memory());
        let isa = targets.choose(&cost);
        let code = s.context.compile(isa, &mut ControlPlane::default());
        code.map_err(|e| Error::from(e.inner))?;
        let piece = extract(isa, &s.context)?;
        if cost.memory() > KEEP {
            // What it holds on to is not worth the little time that it saves, and would be there
            // beside what other threads take.
            *s = Scratch::new();
        }
        drop(memory);
        Ok(Piece { features: translated.features, tail_args, ..piece })
    })
}

/// Text of a job's code.
pub fn text(
    env: &Env<'_>,
    targets: &Targets,
    job: Job,
    s: &mut Scratch,
    what: Text,
) -> Result<String, Diagnostic> {
    guarded(env, job, s, |s| {
        let translated = build(env, job, s)?;
        let cost = Cost::of(&s.context.func, &translated);
        cost.check(env)?;
        if what == Text::Clif {
            return Ok(s.context.func.display().to_string());
        }
        let isa = targets.choose(&cost);
        s.context.set_disasm(true);
        let code = s.context.compile(isa, &mut ControlPlane::default());
        let code = code.map_err(|e| Error::from(e.inner))?;
        Ok(code.vcode.clone().unwrap_or_default())
    })
}

/// Why a piece was not compiled.
enum Error {
    Fail(Fail),
    Limit(String),
    Internal(String),
}

impl From<Fail> for Error {
    fn from(f: Fail) -> Self {
        Self::Fail(f)
    }
}

impl From<CodegenError> for Error {
    fn from(e: CodegenError) -> Self {
        match e {
            CodegenError::ImplLimitExceeded | CodegenError::CodeTooLarge => {
                Self::Limit("the function is too large for the code generator".to_owned())
            }
            other => Self::Internal(format!("code generation failed: {other:?}")),
        }
    }
}

fn guarded<T>(
    env: &Env<'_>,
    job: Job,
    s: &mut Scratch,
    run: impl FnOnce(&mut Scratch) -> Result<T, Error>,
) -> Result<T, Diagnostic> {
    s.context.clear();
    let error = match caught(|| run(s)) {
        Ok(Ok(t)) => return Ok(t),
        Ok(Err(e)) => e,
        Err(said) => Error::Internal(format!("code generation panicked: {said}")),
    };
    // Whatever the failure left behind in them is not worth cleaning up.
    *s = Scratch::new();
    let d = match error {
        Error::Fail(Fail::Limit(limit)) => limit.exceeded(env.limits),
        Error::Fail(Fail::Time) => env.budget.over(),
        Error::Fail(Fail::Internal(m)) => Diagnostic::new(Class::Internal, m),
        Error::Fail(Fail::Parse(e)) => Diagnostic::new(Class::Internal, e.message()).at(e.offset()),
        Error::Limit(m) => Diagnostic::new(Class::Limit, m).help("split the function"),
        Error::Internal(m) => Diagnostic::new(Class::Internal, m),
    };
    let d = match body(env, job) {
        Some(b) if d.offset.is_none() => d.at(b.range().start),
        _ => d,
    };
    Err(match job {
        Job::Function(f) | Job::Stub(f) => d.in_function(f, env.plan.name(f)),
        Job::Entry(_) | Job::Adapter(_) | Job::Throw | Job::OutOfFuel => d,
    })
}

/// The body of a job, if it is a function that has one.
fn body<'e>(env: &Env<'e>, job: Job) -> Option<&'e FunctionBody<'e>> {
    let Job::Function(f) = job else { return None };
    let own = f.checked_sub(env.plan.imported.funcs)?;
    env.plan.bodies.get(own as usize)
}

/// Builds the CLIF of a job.
fn build(env: &Env<'_>, job: Job, s: &mut Scratch) -> Result<Translated, Error> {
    let (func, builder) = (&mut s.context.func, &mut s.builder);
    match job {
        Job::Function(f) => {
            let body = body(env, job).ok_or(Fail::Internal("function without body"))?;
            return Ok(translate::translate(env, f, body, func, builder)?);
        }
        Job::Stub(f) => return Ok(glue::stub(env, f, func, builder)?),
        Job::Entry(t) => glue::entry(env, t, func, builder)?,
        Job::Adapter(t) => glue::adapter(env, t, func, builder)?,
        Job::Throw => glue::throw(env, func, builder)?,
        Job::OutOfFuel => glue::out_of_fuel(env, func, builder)?,
    }
    Ok(Translated::default())
}

/// Copies what is needed out of the context.
fn extract(isa: &dyn TargetIsa, context: &Context) -> Result<Piece, Error> {
    let code = context.compiled_code().ok_or_else(|| Error::Internal("no code".to_owned()))?;
    let buffer = &code.buffer;
    let names = context.func.params.user_named_funcs();
    let mut calls = Vec::new();
    for r in buffer.relocs() {
        let target = match &r.target {
            FinalizedRelocTarget::ExternalName(ExternalName::User(n)) => names.get(*n),
            _ => None,
        };
        // What calls a library routine cannot be linked: the artifact has no relocations.
        let target = match target {
            Some(n) if n.namespace == FUNCTIONS => Target::Function(n.index),
            Some(n) if n.namespace == THROW => Target::Throw,
            Some(n) if n.namespace == OUT_OF_FUEL => Target::OutOfFuel,
            _ => return Err(Error::Internal(format!("code refers to {:?}", r.target))),
        };
        calls.push(CallSite { offset: r.offset, kind: r.kind, addend: r.addend, target });
    }
    let mut traps = Vec::with_capacity(buffer.traps().len());
    for t in buffer.traps() {
        traps.push((t.offset, trap_code(t.code)?));
    }
    let handlers = handlers(code)?;
    let unwind = match code.create_unwind_info(isa)? {
        Some(UnwindInfo::SystemV(info)) => Some(info),
        _ => None,
    };
    Ok(Piece {
        code: buffer.data().to_vec(),
        align: buffer.alignment,
        calls,
        traps,
        handlers,
        rows: rows(code),
        unwind,
        frame: buffer.frame_layout().map_or(0, |f| f.frame_to_fp_offset),
        features: Vec::new(),
        tail_args: 0,
    })
}

/// The calls that exceptions may leave to a landing pad.
fn handlers(code: &CompiledCode) -> Result<Vec<Handler>, Error> {
    let mut handlers = Vec::new();
    for site in code.buffer.call_sites() {
        let target = match site.exception_handlers {
            [] => continue,
            [FinalizedMachExceptionHandler::Default(target)] => *target,
            other => return Err(Error::Internal(format!("handlers {other:?}"))),
        };
        let frame = site.frame_offset.ok_or_else(|| Error::Internal("no frame size".to_owned()))?;
        handlers.push(Handler { call: site.ret_addr, target, frame });
    }
    handlers.sort_by_key(|h| h.call);
    Ok(handlers)
}

fn trap_code(code: ir::TrapCode) -> Result<TrapCode, Error> {
    Ok(match code {
        ir::TrapCode::STACK_OVERFLOW => TrapCode::StackOverflow,
        ir::TrapCode::HEAP_OUT_OF_BOUNDS => TrapCode::MemoryOutOfBounds,
        ir::TrapCode::INTEGER_OVERFLOW => TrapCode::IntegerOverflow,
        ir::TrapCode::INTEGER_DIVISION_BY_ZERO => TrapCode::IntegerDivisionByZero,
        ir::TrapCode::BAD_CONVERSION_TO_INTEGER => TrapCode::BadConversionToInteger,
        user => TrapCode::from_u8(user.as_raw().get())
            .ok_or_else(|| Error::Internal(format!("unknown trap code {user}")))?,
    })
}

/// Where each stretch of code comes from: a row per change.
fn rows(code: &CompiledCode) -> Vec<PcRow> {
    let mut rows: Vec<PcRow> = Vec::new();
    let mut push = |pc: u32, wasm: u32| match rows.last_mut() {
        Some(last) if last.wasm == wasm => {}
        Some(last) if last.pc == pc => last.wasm = wasm,
        None if wasm == NO_CODE => {}
        _ => rows.push(PcRow { pc, wasm }),
    };
    let mut end = 0;
    for s in code.buffer.get_srclocs_sorted() {
        if s.start > end {
            push(end, NO_CODE);
        }
        let wasm = if s.loc.is_default() { NO_CODE } else { s.loc.bits() };
        push(s.start, wasm);
        end = s.end;
    }
    if end < code.buffer.total_size() {
        push(end, NO_CODE);
    }
    rows
}

/// Bytes of stack arguments that a function of this type pops on return: the `Tail` convention
/// passes six integers (vmctx and a hidden result pointer among them) and eight floats or vectors
/// in registers.
pub fn pops(ty: &FuncType) -> u32 {
    let in_vector_register = |t: &ValType| t.is_float() || *t == ValType::V128;
    let vectors = ty.results.iter().filter(|t| in_vector_register(t)).count();
    let hidden = vectors > 8 || ty.results.len() - vectors > 8;
    let (mut ints, mut vectors, mut stack) = (5 - u32::from(hidden), 8u32, 0u32);
    for t in &ty.params {
        let left = if in_vector_register(t) { &mut vectors } else { &mut ints };
        let size = if *t == ValType::V128 { 16 } else { 8 };
        match left.checked_sub(1) {
            Some(fewer) => *left = fewer,
            None => stack = stack.next_multiple_of(size) + size,
        }
    }
    stack.next_multiple_of(16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::options::Options;
    use crate::{parse, plan};

    #[test]
    fn a_panic_is_a_diagnostic_with_its_place() {
        crate::panics::keep_quiet();
        let wasm = wat::parse_str("(module (func nop) (func $bad nop))").unwrap();
        let options = Options::default();
        let budget = Budget::new(&options, 0);
        let parsed = parse::parse(&wasm, &options.limits, &budget).unwrap();
        let plan = plan::plan(&wasm, parsed, &options).unwrap();
        let targets = Targets::new(&options).unwrap();
        let env = super::super::env(&plan, &targets, &options, &budget);
        let mut scratch = Scratch::new();
        let broken = |_: &mut Scratch| -> Result<(), Error> { panic!("oh {}", "no") };
        let d = guarded(&env, Job::Function(1), &mut scratch, broken).unwrap_err();
        assert_eq!((d.class, d.function.clone()), (Class::Internal, Some((1, "bad".to_owned()))));
        assert!(d.message.contains("oh no") && d.offset.is_some(), "{d}");
        // Where it was is known only to the hook.
        assert!(d.message.contains("piece.rs"), "{d}");
        assert!(compile(&env, &targets, Job::Function(1), &mut scratch).is_ok());
    }
}
