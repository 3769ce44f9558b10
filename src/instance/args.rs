//! What goes into a call and comes out: arguments checked and put into value slots, results put
//! where the caller wants them.
//!
//! Nothing here allocates for up to [`FEW`] arguments, because it stands on the path of each
//! request.

use super::tables;
use crate::error::{Error, Result, Status};
use crate::module::{Core, Func};
use crate::value::Val;
use crate::vmctx::ControlRef;
use lucet_artifact::ValType;
use std::sync::Arc;

/// A value given to a guest must be one it could have: a foreign function reference is refused.
pub(super) fn check_reference(control: ControlRef, v: &Val) -> Result<()> {
    match v {
        Val::FuncRef(r) if *r != 0 && tables::resolve(control, *r).is_none() => Err(Error::new(
            Status::InvalidArgument,
            "a function reference that belongs to no function of this instance or its group",
        )),
        _ => Ok(()),
    }
}

/// Checks arguments against the type of function `index`.
fn check_args(control: ControlRef, module: &Core, index: u32, args: &[Val]) -> Result<()> {
    let ty = module.func_type(index);
    if ty.params.len() != args.len()
        || ty.params.iter().zip(args).any(|(t, v)| t.byte() != v.ty().byte())
    {
        let given: Vec<_> = args.iter().map(|v| v.ty().to_string()).collect();
        return Err(Error::new(
            Status::ExportTypeMismatch,
            format!(
                "{} has type {ty}, but was called with ({})",
                module.describe_func(index),
                given.join(", ")
            ),
        ));
    }
    args.iter().try_for_each(|v| check_reference(control, v))
}

/// As many arguments stay on the host's stack.
const FEW: usize = 16;

/// Puts arguments into value slots.
pub(super) fn with_slots<R>(args: &[Val], call: impl FnOnce(&[u128]) -> R) -> R {
    let fill = |slots: &mut [u128]| {
        for (to, v) in slots.iter_mut().zip(args) {
            *to = v.to_slot();
        }
    };
    if args.len() <= FEW {
        let mut slots = [0; FEW];
        fill(&mut slots);
        call(&slots[..args.len()])
    } else {
        let mut slots = vec![0; args.len()];
        fill(&mut slots);
        call(&slots)
    }
}

/// Which function to call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Callee<'a> {
    /// By the name of its export.
    Name(&'a [u8]),
    /// Looked up before.
    Func(Func),
}

impl Callee<'_> {
    fn find(self, module: &Core) -> Result<Func> {
        match self {
            Self::Name(name) => module.function_handle(name),
            Self::Func(func) => Ok(func),
        }
    }
}

/// Checks that a caller has room for exactly the results there will be.
pub(super) fn check_results(
    what: impl Fn() -> String,
    types: &[ValType],
    room: usize,
) -> Result<()> {
    if types.len() == room {
        return Ok(());
    }
    let what = what();
    Err(Error::new(
        Status::ExportTypeMismatch,
        format!("{what} has {} results, but there is room for {room}", types.len()),
    ))
}

/// The index of a function that was looked up before.
pub(super) fn index_of(module: &Core, func: Func) -> Result<u32> {
    if func.module != module.code_id() {
        return Err(Error::new(
            Status::InvalidArgument,
            "the function was looked up in another module than the instance's",
        ));
    }
    if func.index as usize >= module.loaded.funcs.funcs.len() {
        return Err(Error::new(Status::InvalidArgument, "a made-up function index"));
    }
    Ok(func.index)
}

/// The module, and the function's index in it; the arguments fit it.
pub(super) fn resolve(
    control: ControlRef,
    callee: Callee<'_>,
    args: &[Val],
) -> Result<(Arc<Core>, u32)> {
    let module = control.with(|i| i.module.clone());
    let index = index_of(&module, callee.find(&module)?)?;
    check_args(control, &module, index, args)?;
    Ok((module, index))
}
