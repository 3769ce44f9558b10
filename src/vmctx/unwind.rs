//! Exceptions on a guest's stack: where one lands, what it carries, who refers to one.
//!
//! ```text
//!  ├───────────────────────────┤
//!  │ return address            │
//!  │ frame pointer of caller   │◄─┐◄─ frame pointer of the function that catches
//!  │ its frame …               │  │
//!  │                           │◄─┼── its stack pointer: frame pointer - Handler::frame
//!  ├───────────────────────────┤  │
//!  │ return address            │──┼─► stands in the table of handlers: it lands there
//!  │ frame pointer of caller   │──┘◄─┐
//!  │ …                         │     │
//!  │ return address            │─────┼─► no handler: goes on
//!  │ frame pointer of caller   │─────┘◄── host thunk's frame
//!  │ rbx                       │
//! ```
//!
//! The walk begins in the host thunk and follows frame pointers, which every function that lucetc
//! writes keeps. It sees only calls, never a function's first or last instructions. It ends where
//! the innermost run was entered, because that return address is the runtime's own.
//!
//! To land, four words are written below the stack pointer of the function that catches, so that
//! the thunk goes on there by what it does in any case: pop two registers and return. So nothing
//! else needs to know of exceptions: a run that is interrupted on the way back from the host call
//! goes on in the same way when it is resumed.
//!
//! ```text
//!  │ its frame …               │◄─ its stack pointer
//!  │ where it lands            │
//!  │ `arch::landing`           │   puts the tag's identity where landing pads expect it
//!  │ its frame pointer         │
//!  │ identity of the tag       │◄─ stack pointer for the thunk (rbx)
//! ```
//!
//! A guest cannot write to its stack by any means of WebAssembly; still nothing here trusts it.
//! Words are read and written only inside the stack, frame pointers must ascend, and handlers are
//! those that the loader has checked.

use super::{Control, ControlRef, walk};
use crate::arch;
use crate::instance;
use crate::sys::arena;
use crate::trap::CodeInfo;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Where an exception goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To a function that may catch it.
    To(Landing),
    /// Out of the run: nobody catches it.
    Out,
    /// Nowhere: less than four words of stack are left below the function that may catch it.
    Overflow,
    /// Nowhere: this is no guest's stack.
    Damaged,
}

/// A place to land.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Landing {
    pc: usize,
    sp: usize,
    fp: usize,
}

/// Bytes that are written below the stack pointer of the function that catches.
const LANDING: usize = 32;

/// Follows the frames of `stack`, from the host thunk's at `fp` on.
pub(crate) fn way(stack: &Range<usize>, fp: usize) -> Way {
    let (mut at, mut lowest) = (fp, stack.start);
    loop {
        let found = walk::frame(stack, at).filter(|_| at >= lowest);
        let Some((caller, to)) = found else { return Way::Damaged };
        let Some(owner) = arena::owner_of(to) else { return Way::Out };
        let info = owner as *const CodeInfo;
        // SAFETY: owner words are addresses of `CodeInfo`s, which live as long as their module's
        // range; the module is alive, because an instance of it is in the middle of a call.
        let handler = unsafe { info.as_ref() }.and_then(|info| info.handler(to));
        if let Some((pc, frame)) = handler {
            let sp = caller.checked_sub(frame as usize);
            let inside = caller >= at + 16 && caller < stack.end;
            return match sp.filter(|_| inside) {
                Some(sp) if sp >= stack.start + LANDING => Way::To(Landing { pc, sp, fp: caller }),
                Some(sp) if sp >= stack.start => Way::Overflow,
                _ => Way::Damaged,
            };
        }
        (at, lowest) = (caller, at + 16);
    }
}

/// Prepares a landing of [`way`] on `stack`; returns the stack pointer with which the thunk, or
/// [`super::resume`], goes on there. The exception itself is the result of the host call.
pub(crate) fn prepare(stack: &Range<usize>, landing: Landing, identity: u64) -> usize {
    let at = landing.sp - LANDING;
    debug_assert!(stack.contains(&at));
    let words = [identity as usize, landing.fp, arch::landing(), landing.pc];
    // SAFETY: `way` found that these bytes lie on the stack, below a frame that waits for a call:
    // whoever used them is gone.
    unsafe { std::ptr::write(at as *mut [usize; 4], words) };
    at
}

/// What the thunk goes on with: stack pointer, and the call's result.
#[repr(C)]
pub(crate) struct Resumption {
    /// 0: the guest is to be left.
    sp: usize,
    value: u64,
}

/// Called by the host thunk, on the host's stack, when the host function that it called ends with
/// an exception; `fp` is the thunk's frame pointer.
pub(crate) extern "C" fn land_in_thunk(ctx: *const Control, fp: usize) -> Resumption {
    // SAFETY: the thunk passes the control block that it has passed to the host function, and the
    // activation in which it runs is alive.
    let found = unsafe { ControlRef::from_ctx(ctx).zip(arch::current().as_ref()) };
    let found = found.and_then(|(leaver, activation)| {
        // SAFETY: control blocks are never unmapped.
        let on = ControlRef(unsafe { activation.control.as_ref() }?);
        // A panic (a bug of ours) ends the run with the exception.
        catch_unwind(AssertUnwindSafe(|| instance::land(leaver, on, fp))).ok().flatten()
    });
    let (sp, value) = found.unwrap_or_default();
    Resumption { sp, value }
}

/// Copies `n` value slots at `at` from the stack of the innermost run into `to`; says no if they do
/// not lie there.
pub(crate) fn copy_from(stack: &Range<usize>, at: u64, n: usize, to: &mut Vec<u128>) -> bool {
    let Some(from) = slots(stack, at, n) else { return false };
    // SAFETY: `slots` found them on the stack, of which nobody has a reference to anything.
    to.extend((0..n).map(|i| unsafe { std::ptr::read_unaligned((from as *const u128).add(i)) }));
    true
}

/// Copies values to value slots at `at` on the stack of the innermost run; says no if those do not
/// lie there.
pub(crate) fn copy_to(stack: &Range<usize>, at: u64, values: &[u128]) -> bool {
    let Some(to) = slots(stack, at, values.len()) else { return false };
    for (i, v) in values.iter().enumerate() {
        // SAFETY: as in `copy_from`; a miscompiled guest harms its own stack only.
        unsafe { std::ptr::write_unaligned((to as *mut u128).add(i), *v) };
    }
    true
}

fn slots(stack: &Range<usize>, at: u64, n: usize) -> Option<usize> {
    let at = usize::try_from(at).ok()?;
    let end = at.checked_add(n.checked_mul(size_of::<u128>())?)?;
    (at >= stack.start && end <= stack.end).then_some(at)
}

/// The control block on whose stack the innermost run of this thread is.
pub(crate) fn innermost() -> Option<ControlRef> {
    // SAFETY: null, or this thread's innermost activation, which is alive; control blocks are never
    // unmapped.
    unsafe { arch::current().as_ref().and_then(|a| a.control.as_ref()) }.map(ControlRef)
}

/// Shows `visit` each word of a stack from `sp` up, as far as they lie there, until it says no.
pub(crate) fn each_word(stack: &Range<usize>, sp: usize, visit: &mut dyn FnMut(u64) -> bool) {
    let from = sp.max(stack.start).next_multiple_of(8);
    for at in (from..stack.end).step_by(8) {
        if let Some(word) = walk::word(stack, at)
            && !visit(word as u64)
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::walk::damaged::{no_frames, of};
    use super::*;

    #[test]
    fn damaged_stacks_lead_nowhere() {
        let stack: Vec<usize> = vec![0; 64];
        let range = of(&stack);
        for fp in no_frames(&range) {
            assert_eq!(way(&range, fp), Way::Damaged, "{fp:#x}");
        }
        // A return address that is no guest's: the end.
        assert_eq!(way(&range, range.start), Way::Out);
    }

    #[test]
    fn only_the_stack_is_copied_from_and_to() {
        let stack: Vec<u128> = vec![7; 4];
        let base = stack.as_ptr() as u64;
        let range = base as usize..base as usize + 64;
        let mut to = Vec::new();
        assert!(copy_from(&range, base, 4, &mut to));
        assert_eq!(to, [7; 4]);
        for (at, n) in [
            (base - 1, 1),
            (base + 1, 4),
            (base, 5),
            (base + 64, 1),
            (u64::MAX, 1),
            (base, usize::MAX),
        ] {
            assert!(!copy_from(&range, at, n, &mut to), "{n} at {at:#x}");
        }
        assert!(!copy_to(&range, base + 49, &[1]));
        assert!(copy_to(&range, base + 64, &[]));
        let mut words = Vec::new();
        let mut note = |w| {
            words.push(w);
            words.len() < 13
        };
        each_word(&range, base as usize + 44, &mut note);
        each_word(&range, 0, &mut note);
        each_word(&range, 0, &mut note);
        assert_eq!((&words[..2], words.len()), (&[7, 0][..], 13));
    }
}
