//! The shortest path of a call, and what it needs to know of an instance.
//!
//! What a call does is little: take the instance, compare types, switch stacks. Done by functions
//! that hand each other structures, moving values costs more than all of that. So here it is once
//! more in one function, for calls about which nothing is out of the ordinary; everything else goes
//! the long way, `instance::warm`.

use super::{Activation, CALL_RESERVE, State};
use crate::arch::{self, Exit};
use crate::module::{self, CallInfo, PACKED, Returns};
use crate::region::layout::MIN_STACK;
use crate::value::Argument;
use std::cell::Cell;
use std::sync::atomic::Ordering;

/// What the shortest path of a call needs to know of an instance, in its control block so that it
/// is one look away. Read and written under invariant "one thread".
#[derive(Debug)]
pub(crate) struct Hot {
    /// Whether that path may be taken: the instance stands alone, has a stack of its own, and
    /// nothing about its runs is out of the ordinary (limits, say). Everything else here is only
    /// valid then.
    pub open: Cell<bool>,
    /// The module whose code it is, as `Func`s name it.
    pub module: Cell<u64>,
    /// The module's table of functions.
    calls: Cell<*const CallInfo>,
    count: Cell<u32>,
    /// See [`GuestCall`].
    pub vmctx: Cell<usize>,
    pub stack_top: Cell<usize>,
}

impl Hot {
    pub(super) const fn new() -> Self {
        Self {
            open: Cell::new(false),
            module: Cell::new(0),
            calls: Cell::new(std::ptr::null()),
            count: Cell::new(0),
            vmctx: Cell::new(0),
            stack_top: Cell::new(0),
        }
    }

    /// Opens the path for an instance of `module`.
    pub(crate) fn open(&self, module: &module::Core, vmctx: usize, stack_top: usize) {
        self.module.set(module.code_id());
        self.calls.set(module.calls.as_ptr());
        self.count.set(module.calls.len() as u32);
        self.vmctx.set(vmctx);
        self.stack_top.set(stack_top & !15);
        self.open.set(true);
    }

    /// Whether the path is open for function `index` of `module`.
    #[inline(always)]
    fn is_for(&self, module: u64, index: u32) -> bool {
        self.open.get() && self.module.get() == module && index < self.count.get()
    }
}

/// How [`shortcut`] ended.
pub(crate) enum Shortcut {
    /// Nothing was done: the long way must be gone, which also says what is wrong.
    No,
    /// The function returned, and its results were handed out. The instance is ready.
    Returned,
    /// The guest left in another way; whether the run was doomed comes last. The instance is still
    /// RUNNING: take it by [`Lease::adopt`].
    Left(Exit, usize, Returns, bool),
}

/// The shortest path of a call: an outermost one, of a function about which nothing is out of the
/// ordinary. It does what [`Lease::from`], [`enter`] and [`read_slots`] do, in one small function,
/// because what it would cost to move values between many is more than the call itself.
///
/// `begin` begins the run, `end` ends it and says whether it was doomed. `result` gets the type
/// byte, number and value slot of each result. Nothing here may panic: there is no lease.
#[inline(always)]
pub(crate) fn shortcut<A: Argument, R>(
    activation: &mut Activation,
    generation: u32,
    (module, index): (u64, u32),
    args: &[A],
    results: usize,
    (begin, end): (impl FnOnce() -> R, impl FnOnce(R) -> bool),
    mut result: impl FnMut(u8, usize, u128),
) -> Shortcut {
    // What a stack has in any case: the checks of `GuestCall::place` need not be made.
    const _: () = assert!(PACKED * size_of::<u128>() + CALL_RESERVE <= MIN_STACK as usize);
    // SAFETY: made from a control block, which is never unmapped.
    let control = unsafe { &*activation.control };
    let (ready, running) = (State::Ready.word(generation), State::Running.word(generation));
    if !arch::current().is_null()
        || control.word.compare_exchange(ready, running, Ordering::AcqRel, Ordering::Relaxed)
            != Ok(ready)
    {
        return Shortcut::No;
    }
    let refuse = || {
        control.word.store(ready, Ordering::Release);
        Shortcut::No
    };
    let hot = &control.hot;
    if !hot.is_for(module, index) {
        return refuse();
    }
    // SAFETY: `open` stored the parts of a slice, which has this index. It lives as long as the
    // instance's module, and that as long as the instance; the path is closed before that ends.
    let info = unsafe { &*hot.calls.get().add(index as usize) };
    // (One that is simple has few parameters and results.)
    if !info.simple
        || usize::from(info.params) != args.len()
        || usize::from(info.results) != results
        || module::pack(args.iter().map(A::type_byte)) != info.param_types
    {
        return refuse();
    }
    let slots = hot.stack_top.get() - args.len().max(results) * size_of::<u128>();
    for (n, arg) in args.iter().enumerate() {
        // SAFETY: there are as many slots below the top of the stack, which nobody uses: the
        // instance was READY.
        unsafe { (slots as *mut u128).add(n).write(arg.slot()) };
    }
    let run = begin();
    arch::set_current(activation);
    let (vmctx, at) = (hot.vmctx.get(), slots as *mut u128);
    // SAFETY: as in `enter`: function and instance are of the module that `hot` was opened for.
    let exit = unsafe { arch::enter(activation, slots, info.entry, vmctx, info.code, at) };
    arch::set_current(std::ptr::null_mut());
    let doomed = end(run);
    if exit != Exit::Returned {
        return Shortcut::Left(exit, slots, info.returns(), doomed);
    }
    for n in 0..results {
        // SAFETY: there are as many slots, which nobody used since.
        let slot = unsafe { at.add(n).read() };
        result((info.result_types >> (8 * n)) as u8, n, slot);
    }
    control.word.store(ready, Ordering::Release);
    Shortcut::Returned
}
