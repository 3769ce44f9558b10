//! What goes into a call and comes out: arguments checked and put into value slots, results put
//! where the caller wants them.
//!
//! Nothing here allocates for up to [`FEW`] arguments, because it stands on the path of each
//! request.

use super::{Fault, exceptions, tables};
use crate::error::{Error, Result, Status};
use crate::module::{Core, Func};
use crate::value::Val;
use crate::vmctx::ControlRef;
use lucet_artifact::ValType;
use lucet_artifact::types::{HeapType, RefType};
use std::sync::Arc;

/// A reference given to a guest must be one that a value of type `ty` could be: one of its own, of
/// the right type. `ty` is canonical ([`Core::canonical`]); that the value is of its kind was
/// checked.
pub(super) fn check_reference(control: ControlRef, ty: ValType, v: &Val) -> Result<()> {
    let (Some(want), Val::FuncRef(r) | Val::ExternRef(r) | Val::ExnRef(r)) = (ty.reference(), *v)
    else {
        return Ok(());
    };
    if r == 0 && want.nullable || want == RefType::EXTERN {
        return Ok(());
    }
    let bad = |what| Err(Error::new(Status::InvalidArgument, what));
    match want.heap {
        _ if r == 0 => bad("a null reference where none is allowed"),
        HeapType::Extern => Ok(()),
        HeapType::Func | HeapType::Concrete(_) => match (tables::resolve(control, r), want.heap) {
            (None, _) => bad(
                "a function reference that belongs to no function of this instance or its group",
            ),
            (Some(entry), HeapType::Concrete(id)) if entry.sig != id => {
                bad("a reference to a function of another type than is needed here")
            }
            (Some(_), _) => Ok(()),
        },
        HeapType::Exn if exceptions::is_alive(control, r) => Ok(()),
        HeapType::Exn => bad(
            "a reference to an exception that is none of this instance or its group, or that the \
             guest does not keep any more",
        ),
        HeapType::NoFunc | HeapType::NoExtern | HeapType::NoExn => {
            bad("a reference where only null is allowed")
        }
    }
}

/// Whether values of this type are looked at one by one when they come from the host.
pub(crate) fn is_checked(ty: ValType) -> bool {
    ty.is_ref() && ty != ValType::EXTERNREF
}

/// A reference that a host function returned: result `result` of imported function `import`.
pub(crate) fn check_result(
    control: ControlRef,
    import: u32,
    result: u32,
    value: u64,
) -> std::result::Result<(), Fault> {
    let ty = control.with(|i| {
        let of = i.module.loaded.funcs.funcs.get(import as usize)?.ty;
        let of = &i.module.loaded.types.types.get(of as usize)?.ty;
        of.results.get(result as usize).map(|t| i.module.canonical(*t))
    });
    let value = ty.map(|ty| (ty, Val::from_slot(ty, value.into())));
    let checked = value.map(|(ty, v)| check_reference(control, ty, &v));
    match checked {
        Some(Ok(())) => Ok(()),
        Some(Err(e)) => Err(Fault::Fail(e.status() as u64)),
        None => Err(Fault::Fail(Status::Internal as u64)),
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
    for (n, (t, v)) in ty.params.iter().zip(args).enumerate() {
        check_reference(control, module.canonical(*t), v)
            .map_err(|e| wrong_reference(e, n, &module.describe_func(index)))?;
    }
    Ok(())
}

/// Says which argument it is.
pub(super) fn wrong_reference(e: Error, n: usize, function: &str) -> Error {
    e.context(format!("argument {n} of {function}"))
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
