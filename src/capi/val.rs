//! Typed values in C, and the arrays of them that calls take.

use super::raw;
use super::{args, status::lucet_outcome};
use crate::error::{Error, Result, Status};
use crate::instance::{Callee, Ended, InstanceRef};
use crate::module::{Func, PACKED};
use crate::value::{Argument, Val};
use lucet_artifact::ValType;

/// The type of a value. The numbers are the bytes that stand for types in a wasm file.
#[repr(i32)]
pub enum lucet_val_type {
    /// of.i32
    LUCET_VAL_I32 = 0x7f,
    /// of.i64
    LUCET_VAL_I64 = 0x7e,
    /// of.f32
    LUCET_VAL_F32 = 0x7d,
    /// of.f64
    LUCET_VAL_F64 = 0x7c,
    /// of.v128
    LUCET_VAL_V128 = 0x7b,
    /// of.ref: an opaque word from this instance; 0 is null
    LUCET_VAL_FUNCREF = 0x70,
    /// of.ref: any word the host likes; 0 is null
    LUCET_VAL_EXTERNREF = 0x6f,
    /// of.ref: an exception of this instance; 0 is null
    LUCET_VAL_EXNREF = 0x69,
}

/// The value of a lucet_val; its type says which member is meant.
#[repr(C)]
#[derive(Clone, Copy)]
pub union lucet_val_of {
    /// i32, signed or not as the guest takes it
    pub i32: i32,
    /// i64
    pub i64: i64,
    /// f32; NaN bits are preserved
    pub f32: f32,
    /// f64; NaN bits are preserved
    pub f64: f64,
    /// funcref, externref, exnref
    pub r#ref: u64,
    /// v128, little-endian
    pub v128: [u8; 16],
}

/// A value with its type: 32 bytes, aligned to 8.
///
///     lucet_val v = {.of.i32 = 42, .type = LUCET_VAL_I32};
#[repr(C)]
#[derive(Clone, Copy)]
pub struct lucet_val {
    /// The value.
    pub of: lucet_val_of,
    /// Which member of `of` it is. Arguments of another type than the function's are refused.
    pub r#type: raw::lucet_val_type,
    /// For types of later versions. Ignored in arguments, 0 in results.
    pub reserved_: [u32; 3],
}

const _: () = {
    use lucet_val_type as T;
    assert!(size_of::<lucet_val>() == 32 && align_of::<lucet_val>() == 8);
    assert!(T::LUCET_VAL_I32 as u8 == ValType::I32.byte());
    assert!(T::LUCET_VAL_I64 as u8 == ValType::I64.byte());
    assert!(T::LUCET_VAL_F32 as u8 == ValType::F32.byte());
    assert!(T::LUCET_VAL_F64 as u8 == ValType::F64.byte());
    assert!(T::LUCET_VAL_V128 as u8 == ValType::V128.byte());
    assert!(T::LUCET_VAL_FUNCREF as u8 == ValType::FUNCREF.byte());
    assert!(T::LUCET_VAL_EXTERNREF as u8 == ValType::EXTERNREF.byte());
    assert!(T::LUCET_VAL_EXNREF as u8 == ValType::EXNREF.byte());
};

fn val_type(number: raw::lucet_val_type) -> Result<ValType> {
    u8::try_from(number).ok().and_then(ValType::from_byte).ok_or_else(|| {
        let message = format!("{number} is not a lucet_val_type; is the value initialized?");
        Error::new(Status::InvalidArgument, message)
    })
}

impl lucet_val {
    pub(super) fn get(&self) -> Result<Val> {
        let ty = val_type(self.r#type)?;
        // SAFETY: any bits are a value of each member; the type says which one the caller set.
        Ok(unsafe {
            match ty {
                ValType::I32 => Val::I32(self.of.i32),
                ValType::I64 => Val::I64(self.of.i64),
                ValType::F32 => Val::F32(self.of.f32),
                ValType::F64 => Val::F64(self.of.f64),
                ValType::V128 => Val::V128(u128::from_le_bytes(self.of.v128)),
                ValType::Ref(_) => Val::from_slot(ty, u128::from(self.of.r#ref)),
            }
        })
    }

    /// All bytes that the value does not need are 0.
    pub(super) fn new(v: Val) -> Self {
        let of = lucet_val_of { v128: v.to_slot().to_le_bytes() };
        Self { of, r#type: v.ty().byte().into(), reserved_: [0; 3] }
    }

    pub(super) fn zero() -> Self {
        Self { of: lucet_val_of { v128: [0; 16] }, r#type: 0, reserved_: [0; 3] }
    }
}

impl Argument for lucet_val {
    #[inline(always)]
    fn type_byte(&self) -> u8 {
        u8::try_from(self.r#type).unwrap_or(0)
    }

    #[inline(always)]
    fn slot(&self) -> u128 {
        // SAFETY: any bits are a value of each member.
        let (bytes, low) = unsafe { (self.of.v128, self.of.r#ref) };
        // (By its number as it is: the byte takes longer to get.)
        match self.r#type {
            NUMBER_I32 | NUMBER_F32 => u128::from(low as u32),
            NUMBER_V128 => u128::from_le_bytes(bytes),
            _ => u128::from(low),
        }
    }

    fn value(&self) -> Result<Val> {
        self.get()
    }
}

const I32: u8 = ValType::I32.byte();
const F32: u8 = ValType::F32.byte();
const V128: u8 = ValType::V128.byte();
const NUMBER_I32: raw::lucet_val_type = I32 as raw::lucet_val_type;
const NUMBER_F32: raw::lucet_val_type = F32 as raw::lucet_val_type;
const NUMBER_V128: raw::lucet_val_type = V128 as raw::lucet_val_type;

/// Places for `n` values: on the stack, unless there are many.
fn with_vals<R>(n: usize, f: impl FnOnce(&mut [Val]) -> R) -> R {
    const NONE: Val = Val::I32(0);
    let (mut few, mut some, mut many);
    let room: &mut [Val] = if n <= 4 {
        few = [NONE; 4];
        &mut few[..n]
    } else if n <= 16 {
        some = [NONE; 16];
        &mut some[..n]
    } else {
        many = vec![NONE; n];
        &mut many
    };
    f(room)
}

/// A function has at most this many parameters and results, in wasm and so here.
const MOST: usize = lucet_artifact::limits::MAX_PARAMS;

#[inline(always)]
fn at_most(n: usize, param: &str) -> Result<()> {
    if n <= MOST { Ok(()) } else { Err(too_many(n, param)) }
}

#[cold]
fn too_many(n: usize, param: &str) -> Error {
    let message = format!("`{param}` is {n}, but no function has more than {MOST}");
    Error::new(Status::InvalidArgument, message)
}

/// Hands back how a run or resume ended. The two ends on the path of each request are written right
/// here: a structure that a function returns can only be read once it is in the cache, and that
/// costs as much as the rest of the way out.
#[inline(always)]
fn tell(out: &args::Out<lucet_outcome>, ended: Ended) {
    match &ended {
        Ended::Returned => out.set(lucet_outcome::RETURNED),
        Ended::Yielded(value) => out.set(lucet_outcome::yielded(*value)),
        _ => return tell_otherwise(out, ended),
    }
    // Nothing is in these two.
    std::mem::forget(ended);
}

#[cold]
#[inline(never)]
fn tell_otherwise(out: &args::Out<lucet_outcome>, ended: Ended) {
    out.set(ended.into());
}

/// The arrays that a call takes.
pub(super) struct Call {
    pub args: *const lucet_val,
    pub nargs: usize,
    pub results: *mut lucet_val,
    pub nresults: usize,
    pub out: *mut lucet_outcome,
}

impl Call {
    /// Checks the arrays: the place for the outcome, and the arguments.
    ///
    /// # Safety
    /// As [`Call::through`].
    #[inline(always)]
    unsafe fn checked(&self) -> Result<(args::Out<lucet_outcome>, &[lucet_val])> {
        // SAFETY: the caller's promise.
        let out = unsafe { args::Out::new(self.out, "outcome", lucet_outcome::default()) }?;
        at_most(self.nargs, "nargs")?;
        at_most(self.nresults, "nresults")?;
        // SAFETY: the caller's promise.
        let given = unsafe { args::array(self.args, self.nargs, "args") }?;
        if self.nresults > 0 {
            args::required(self.results, "results")?;
        }
        Ok((out, given))
    }

    /// Checks the arrays, does `run` with the arguments and places for the results, and hands back
    /// results and outcome.
    ///
    /// # Safety
    /// Pointers are NULL or point to what the number beside them says.
    pub(super) unsafe fn through(
        &self,
        run: impl FnOnce(&[Val], &mut [Val]) -> Result<Ended>,
    ) -> Result<()> {
        // SAFETY: the caller's promise.
        let (out, given) = unsafe { self.checked() }?;
        let ended = with_vals(self.nargs, |args| {
            for (i, (to, v)) in args.iter_mut().zip(given).enumerate() {
                *to = v.get().map_err(|e| e.context(format!("argument {i}")))?;
            }
            with_vals(self.nresults, |results| {
                let ended = run(args, results)?;
                if ended == Ended::Returned {
                    for (i, v) in results.iter().enumerate() {
                        // SAFETY: the caller's promise: there are `nresults` places, of which this
                        // is one.
                        unsafe { self.results.add(i).write(lucet_val::new(*v)) };
                    }
                }
                Ok(ended)
            })
        })?;
        tell(&out, ended);
        Ok(())
    }
}

impl Call {
    /// Calls a function of an instance with the arrays as they are: the path of each request.
    ///
    /// # Safety
    /// As [`Call::through`].
    #[inline(always)]
    pub(super) unsafe fn direct(&self, i: &InstanceRef, callee: Callee<'_>) -> Result<()> {
        // SAFETY: the caller's promise.
        let (out, given) = unsafe { self.checked() }?;
        let ended = i.call(callee, given, Some(self.nresults), |ty, n, slot| {
            // SAFETY: the caller's promise: there are `nresults` places, which the call has
            // compared with the number of results.
            unsafe { self.results.add(n).write(lucet_val::new(Val::from_slot(ty, slot))) };
        })?;
        tell(&out, ended);
        Ok(())
    }

    /// The shortest path of a call: `None` means that nothing was done and [`Call::direct`] has to
    /// do it.
    ///
    /// # Safety
    /// As [`Call::through`].
    #[inline(always)]
    pub(super) unsafe fn shortcut(&self, i: &InstanceRef, func: Func) -> Option<Ended> {
        let few = self.nargs <= PACKED;
        let there = (!self.args.is_null() || self.nargs == 0)
            && (!self.results.is_null() || self.nresults == 0)
            && !self.out.is_null();
        if !few || !there {
            return None;
        }
        let args: &[lucet_val] = match self.nargs {
            0 => &[],
            // SAFETY: the caller's promise; not NULL.
            n => unsafe { std::slice::from_raw_parts(self.args, n) },
        };
        let ended = i.shortcut(func, args, self.nresults, |ty, n, slot| {
            let bits = match ty {
                I32 | F32 => u128::from(slot as u32),
                V128 => slot,
                _ => u128::from(slot as u64),
            };
            let of = lucet_val_of { v128: bits.to_le_bytes() };
            let v = lucet_val { of, r#type: ty.into(), reserved_: [0; 3] };
            // SAFETY: the caller's promise: there are `nresults` places.
            unsafe { self.results.add(n).write(v) };
        })?;
        if matches!(ended, Ended::Returned) {
            // SAFETY: not NULL, and the caller's promise.
            unsafe { self.out.write(lucet_outcome::RETURNED) };
        }
        Some(ended)
    }

    /// Hands back how a shortcut ended that was called with this place for the outcome.
    pub(super) fn finish(out: *mut lucet_outcome, ended: Ended) -> Result<()> {
        // SAFETY: the promise given to `shortcut`.
        let out = unsafe { args::Out::new(out, "outcome", lucet_outcome::default()) }?;
        tell(&out, ended);
        Ok(())
    }

    /// Continues an instance, with the arrays as they are.
    ///
    /// # Safety
    /// As [`Call::through`].
    #[inline(always)]
    pub(super) unsafe fn resume(&self, i: &InstanceRef, value: u64) -> Result<()> {
        // SAFETY: the caller's promise.
        let (out, _) = unsafe { self.checked() }?;
        let ended = i.resume_with(value, Some(self.nresults), |ty, n, slot| {
            // SAFETY: as in `direct`.
            unsafe { self.results.add(n).write(lucet_val::new(Val::from_slot(ty, slot))) };
        })?;
        tell(&out, ended);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip() {
        for v in [
            Val::I32(-1),
            Val::I64(i64::MIN),
            Val::F32(1.5),
            Val::F64(-0.0),
            Val::V128(u128::MAX - 7),
            Val::FuncRef(0),
            Val::ExternRef(u64::MAX),
        ] {
            assert_eq!(lucet_val::new(v).get(), Ok(v));
        }
        let nan = lucet_val::new(Val::F32(f32::from_bits(0x7f80_0001)));
        assert!(matches!(nan.get(), Ok(Val::F32(f)) if f.to_bits() == 0x7f80_0001));
        for bad in [0, 1, -1, 0x17f] {
            let v = lucet_val { r#type: bad, ..lucet_val::zero() };
            assert_eq!(v.get().unwrap_err().status(), Status::InvalidArgument);
        }
    }
}
