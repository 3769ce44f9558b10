//! Builtins: the runtime's own host functions, called by compiled code through the host thunk for
//! what would be too long to emit inline. Signatures: `lucet_artifact::abi::Builtin`.
//!
//! Each one is a thin border: it turns `ctx` into the control block, calls the safe operation in
//! `instance`, and turns a trap into a pending action, which the thunk sees when the builtin
//! returns. A panic (a bug of ours) becomes a host error of this one instance.

use super::{Control, ControlRef, HostEntry};
use crate::error::Status;
use crate::instance::{self, exceptions, memory, tables};
use lucet_artifact::abi::{Builtin, TrapCode};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a builtin's body; `Err` becomes a trap.
fn border(
    ctx: *const Control,
    body: impl FnOnce(ControlRef) -> Result<u64, instance::Fault>,
) -> u64 {
    // SAFETY: builtins are called by the host thunk only, with the control block it passes.
    let Some(control) = (unsafe { ControlRef::from_ctx(ctx) }) else { return 0 };
    match catch_unwind(AssertUnwindSafe(|| body(control))) {
        Ok(Ok(v)) => v,
        Ok(Err(fault)) => {
            instance::set_fault(control, fault);
            0
        }
        Err(_) => {
            instance::set_fault(control, instance::Fault::Fail(Status::Internal as u64));
            0
        }
    }
}

fn halves(packed: u64) -> (u32, u32) {
    ((packed >> 32) as u32, packed as u32)
}

extern "C" fn memory_grow(ctx: *const Control, _: usize, memory: u32, delta: u64) -> u64 {
    border(ctx, |c| Ok(memory::grow(c, memory, delta)))
}

extern "C" fn memory_copy(ctx: *const Control, _: usize, m: u64, d: u64, s: u64, n: u64) {
    let (dst, src) = halves(m);
    border(ctx, |c| memory::copy(c, dst, src, d, s, n).map(|()| 0));
}

extern "C" fn memory_fill(ctx: *const Control, _: usize, m: u32, d: u64, v: u32, n: u64) {
    border(ctx, |c| memory::fill(c, m, d, v as u8, n).map(|()| 0));
}

extern "C" fn memory_init(ctx: *const Control, _: usize, m: u64, d: u64, s: u64, n: u64) {
    let (memory, segment) = halves(m);
    border(ctx, |c| memory::init(c, memory, segment, d, s, n).map(|()| 0));
}

extern "C" fn data_drop(ctx: *const Control, _: usize, segment: u32) {
    border(ctx, |c| {
        c.with(|i| i.drop_data(segment));
        Ok(0)
    });
}

extern "C" fn table_grow(ctx: *const Control, _: usize, t: u32, value: u64, delta: u64) -> u64 {
    border(ctx, |c| tables::grow(c, t, value, delta))
}

extern "C" fn table_fill(ctx: *const Control, _: usize, t: u32, i: u64, value: u64, n: u64) {
    border(ctx, |c| tables::fill(c, t, i, value, n).map(|()| 0));
}

extern "C" fn table_copy(ctx: *const Control, _: usize, t: u64, d: u64, s: u64, n: u64) {
    let (dst, src) = halves(t);
    border(ctx, |c| tables::copy(c, dst, src, d, s, n).map(|()| 0));
}

extern "C" fn table_init(ctx: *const Control, _: usize, t: u64, d: u64, s: u64, n: u64) {
    let (table, segment) = halves(t);
    border(ctx, |c| tables::init(c, table, segment, d, s, n).map(|()| 0));
}

extern "C" fn elem_drop(ctx: *const Control, _: usize, segment: u32) {
    border(ctx, |c| {
        c.with(|i| i.drop_elem(segment));
        Ok(0)
    });
}

extern "C" fn table_set(ctx: *const Control, _: usize, t: u32, i: u64, value: u64) {
    border(ctx, |c| tables::fill(c, t, i, value, 1).map(|()| 0));
}

/// The fuel is used up: the guest is suspended, and looks again when it goes on.
extern "C" fn out_of_fuel(ctx: *const Control) {
    border(ctx, |_| Err(instance::Fault::OutOfFuel));
}

/// Two lanes of `x * y + z`, rounded once.
extern "C" fn fused_f32x2(_: *const Control, _: usize, x: u64, y: u64, z: u64) -> u64 {
    let lane = |at: u32| {
        let [x, y, z] = [x, y, z].map(|v| f32::from_bits((v >> at) as u32));
        u64::from(x.mul_add(y, z).to_bits()) << at
    };
    lane(0) | lane(32)
}

/// One lane of it.
extern "C" fn fused_f64(_: *const Control, _: usize, x: u64, y: u64, z: u64) -> u64 {
    let [x, y, z] = [x, y, z].map(f64::from_bits);
    x.mul_add(y, z).to_bits()
}

extern "C" fn check_result(ctx: *const Control, _: usize, which: u64, value: u64) {
    let (import, result) = halves(which);
    border(ctx, |c| instance::check_result(c, import, result, value).map(|()| 0));
}

extern "C" fn throw(ctx: *const Control, _: usize, tag: u64, values: u64) {
    border(ctx, |c| Err(exceptions::throw(c, tag, values)));
}

extern "C" fn throw_ref(ctx: *const Control, _: usize, reference: u64, _: u64) {
    border(ctx, |c| Err(exceptions::throw_again(c, reference, true)));
}

extern "C" fn rethrow(ctx: *const Control, _: usize, reference: u64, _: u64) {
    border(ctx, |c| Err(exceptions::throw_again(c, reference, false)));
}

extern "C" fn take_exception(ctx: *const Control, _: usize, reference: u64, to: u64) {
    border(ctx, |c| exceptions::caught(c, reference, to, false).map(|()| 0));
}

extern "C" fn read_exception(ctx: *const Control, _: usize, reference: u64, to: u64) {
    border(ctx, |c| exceptions::caught(c, reference, to, true).map(|()| 0));
}

/// Stands at the unused indices between builtins and imports: only damaged code can call it.
extern "C" fn no_such_builtin(ctx: *const Control) {
    border(ctx, |_| Err(instance::Fault::Trap(TrapCode::Unreachable)));
}

/// Host entries `0..FIRST_IMPORT`.
pub(crate) fn entries() -> Vec<HostEntry> {
    let none = no_such_builtin as *const () as usize;
    let mut all = vec![
        HostEntry { code: none, ..HostEntry::default() };
        lucet_artifact::abi::FIRST_IMPORT as usize
    ];
    for b in Builtin::ALL {
        let code = match b {
            Builtin::MemoryGrow => memory_grow as *const (),
            Builtin::MemoryCopy => memory_copy as *const (),
            Builtin::MemoryFill => memory_fill as *const (),
            Builtin::MemoryInit => memory_init as *const (),
            Builtin::DataDrop => data_drop as *const (),
            Builtin::TableGrow => table_grow as *const (),
            Builtin::TableFill => table_fill as *const (),
            Builtin::TableCopy => table_copy as *const (),
            Builtin::TableInit => table_init as *const (),
            Builtin::ElemDrop => elem_drop as *const (),
            Builtin::TableSet => table_set as *const (),
            Builtin::OutOfFuel => out_of_fuel as *const (),
            Builtin::FusedF32x2 => fused_f32x2 as *const (),
            Builtin::FusedF64 => fused_f64 as *const (),
            Builtin::CheckResult => check_result as *const (),
            Builtin::Throw => throw as *const (),
            Builtin::ThrowRef => throw_ref as *const (),
            Builtin::Rethrow => rethrow as *const (),
            Builtin::TakeException => take_exception as *const (),
            Builtin::ReadException => read_exception as *const (),
        };
        all[b as usize].code = code as usize;
    }
    all
}
