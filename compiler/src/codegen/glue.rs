//! Code that is no function of the module: entry trampolines, link adapters, import stubs, the
//! glue that throws, the routine for used up fuel (`docs/design/`: calling, exceptions, fuel).

use crate::translate::abi::{self, clif_type};
use crate::translate::body::{Body, OUT_OF_FUEL, THROW};
use crate::translate::{Env, Fail, Res, Translated};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Function, InstBuilder, MemFlagsData, TrapCode, UserFuncName, types};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use lucet_artifact::abi::{Builtin, FIRST_IMPORT, VALUE_SLOT, link_slot, results_by_pointer};
use lucet_artifact::layout;
use lucet_artifact::types::ValType;

/// Namespace of glue in CLIF function names.
const NAMESPACE: u32 = 1;

/// Entry trampoline: `(vmctx, code, slots)`; arguments from the slots, results into them.
pub fn entry(
    env: &Env<'_>,
    ty: u32,
    func: &mut Function,
    context: &mut FunctionBuilderContext,
) -> Res<()> {
    let of = env.plan.types.get(ty as usize).ok_or(Fail::Internal("type index"))?;
    func.name = UserFuncName::user(NAMESPACE, ty);
    func.signature = abi::entry();
    let (mut body, params) = Body::new(env, FunctionBuilder::new(func, context))?;
    let [code, slots] = params[..] else { return Err(Fail::Internal("entry parameters")) };
    let mut args = Vec::with_capacity(of.params.len());
    for (i, t) in of.params.iter().enumerate() {
        let offset = (i as u32 * VALUE_SLOT) as i32;
        let flags = MemFlagsData::trusted();
        args.push(body.b.ins().load(clif_type(*t), flags, slots, offset));
    }
    let vmctx = body.vmctx;
    let results = body.call_guest(ty, code, vmctx, &args)?;
    for (i, v) in results.iter().enumerate() {
        let offset = (i as u32 * VALUE_SLOT) as i32;
        body.b.ins().store(MemFlagsData::trusted(), *v, slots, offset);
    }
    body.b.ins().return_(&[]);
    body.b.finalize(env.target);
    Ok(())
}

/// Link adapter: looks like the host thunk, calls a function of another instance.
pub fn adapter(
    env: &Env<'_>,
    ty: u32,
    func: &mut Function,
    context: &mut FunctionBuilderContext,
) -> Res<()> {
    let of = env.plan.types.get(ty as usize).ok_or(Fail::Internal("type index"))?;
    func.name = UserFuncName::user(NAMESPACE, ty);
    func.signature = abi::host(of);
    let (mut body, params) = Body::new(env, FunctionBuilder::new(func, context))?;
    let Some((index, rest)) = params.split_first() else {
        return Err(Fail::Internal("adapter parameters"));
    };
    let (args, out) = match rest.split_last() {
        Some((out, args)) if results_by_pointer(&of.results) => (args, Some(*out)),
        _ => (rest, None),
    };
    let index = body.b.ins().uextend(types::I64, *index);
    let shift = i64::from(link_slot::SIZE.trailing_zeros());
    let offset = body.b.ins().ishl_imm_u(index, shift);
    let base = body.b.ins().iadd(body.vmctx, offset);
    let first = env.plan.layout.link_slot(0) - (FIRST_IMPORT * link_slot::SIZE) as i32;
    let flags = body.regions.data();
    let code = body.b.ins().load(types::I64, flags, base, first + link_slot::CODE as i32);
    let vmctx = body.b.ins().load(types::I64, flags, base, first + link_slot::VMCTX as i32);
    let mut values = Vec::with_capacity(args.len());
    for (t, v) in of.params.iter().zip(args) {
        values.push(match t {
            // By address, as to a host function.
            ValType::V128 => body.b.ins().load(clif_type(*t), MemFlagsData::trusted(), *v, 0),
            _ => *v,
        });
    }
    let results = body.call_guest(ty, code, vmctx, &values)?;
    match out {
        Some(out) => {
            for (i, v) in results.iter().enumerate() {
                let offset = (i as u32 * VALUE_SLOT) as i32;
                body.b.ins().store(MemFlagsData::trusted(), *v, out, offset);
            }
            body.b.ins().return_(&[]);
        }
        None => {
            body.b.ins().return_(&results);
        }
    }
    body.b.finalize(env.target);
    Ok(())
}

/// Import stub: a function in the guest's convention that calls an import, for tables, references
/// and exports.
pub fn stub(
    env: &Env<'_>,
    import: u32,
    func: &mut Function,
    context: &mut FunctionBuilderContext,
) -> Res<Translated> {
    let of = env.plan.func_type(import).ok_or(Fail::Internal("import"))?;
    func.name = UserFuncName::user(0, import);
    func.signature = abi::guest(of);
    let (mut body, args) = Body::new(env, FunctionBuilder::new(func, context))?;
    body.begin_fuel(None)?;
    body.return_call(import, &args)?;
    let found = Translated { tails: body.tails, ..Translated::default() };
    body.b.finalize(env.target);
    Ok(found)
}

/// What throws: calls one of the builtins that never return, by number. It is there because only a
/// call in the guest's convention may be left by an exception.
pub fn throw(env: &Env<'_>, func: &mut Function, context: &mut FunctionBuilderContext) -> Res<()> {
    func.name = UserFuncName::user(THROW, 0);
    func.signature = abi::throw();
    let (mut body, params) = Body::new(env, FunctionBuilder::new(func, context))?;
    let [which, a, b] = params[..] else { return Err(Fail::Internal("parameters of the glue")) };
    body.builtin_by_number(Builtin::Throw, which, &[a, b]);
    body.b.ins().trap(TrapCode::unwrap_user(lucet_artifact::abi::TrapCode::Unreachable as u8));
    body.b.finalize(env.target);
    Ok(())
}

/// What is called when fuel is used up: asks the runtime until there is some. It is the only
/// function that changes no register, so functions call it from a cold block for nothing.
pub fn out_of_fuel(
    env: &Env<'_>,
    func: &mut Function,
    context: &mut FunctionBuilderContext,
) -> Res<()> {
    func.name = UserFuncName::user(OUT_OF_FUEL, 0);
    func.signature = abi::out_of_fuel();
    let (mut body, _) = Body::new(env, FunctionBuilder::new(func, context))?;
    let (ask, end) = (body.b.create_block(), body.b.create_block());
    body.b.ins().jump(ask, &[]);
    body.b.switch_to_block(ask);
    body.builtin(Builtin::OutOfFuel, &[]);
    let flags = body.regions.fuel();
    let v = body.b.ins().load(types::I64, flags, body.vmctx, layout::FUEL);
    let dry = body.b.ins().icmp_imm_s(IntCC::SignedLessThanOrEqual, v, 0);
    body.b.ins().brif(dry, ask, &[], end, &[]);
    body.b.seal_block(ask);
    body.b.seal_block(end);
    body.b.switch_to_block(end);
    body.b.ins().return_(&[]);
    body.b.finalize(env.target);
    Ok(())
}
