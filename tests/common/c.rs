//! Calls as C makes them, on the shortest path if that is open: the types of `lucet.h` that they
//! take, and nothing of the Rust interface in between.

use lucet::{Func, InstanceRef};

/// `lucet_val`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CVal {
    of: [u64; 2],
    ty: i32,
    reserved: [u32; 3],
}

/// Types of values.
pub const I32: i32 = 0x7f;
pub const I64: i32 = 0x7e;
pub const FUNCREF: i32 = 0x70;

impl CVal {
    /// A value of 64 bits or less.
    pub fn new(bits: u64, ty: i32) -> Self {
        Self { of: [bits, 0], ty, reserved: [0; 3] }
    }

    /// Its bits.
    pub fn bits(&self) -> u64 {
        self.of[0]
    }
}

/// `lucet_func`.
#[repr(C)]
struct CFunc {
    module: u64,
    index: u64,
}

/// Room for a `lucet_outcome`, which begins with its kind.
#[repr(C)]
struct COutcome {
    kind: i32,
    rest: [u32; 63],
}

unsafe extern "C" {
    fn lucet_instance_run_func(
        instance: usize,
        func: CFunc,
        args: *const CVal,
        nargs: usize,
        results: *mut CVal,
        nresults: usize,
        outcome: *mut COutcome,
    ) -> i32;
}

/// A function as C names it: the two numbers in it.
fn numbers(f: Func) -> CFunc {
    let text = format!("{f:?}");
    let mut all = text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
    CFunc { module: all.next().unwrap(), index: all.next().unwrap() }
}

/// Calls a function: status of the call, and kind of outcome.
pub fn run_func(i: InstanceRef, f: Func, args: &[CVal], results: &mut [CVal]) -> (i32, i32) {
    let (index, generation) = i.parts();
    let handle = (u64::from(generation) << 32 | u64::from(index) << 8 | 5) as usize;
    let mut outcome = COutcome { kind: 0, rest: [0; 63] };
    // SAFETY: arrays of these lengths; more room than an outcome takes.
    let status = unsafe {
        lucet_instance_run_func(
            handle,
            numbers(f),
            args.as_ptr(),
            args.len(),
            results.as_mut_ptr(),
            results.len(),
            &mut outcome,
        )
    };
    let _ = outcome.rest;
    (status, outcome.kind)
}
