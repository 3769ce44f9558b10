//! What compiled code and the runtime share at run time: control blocks, activations and instance
//! data. Offsets inside instance data come from `lucet_artifact::layout`; offsets inside the two
//! `repr(C)` structures here are taken by `arch` with `offset_of!`.
//!
//! # Control blocks
//!
//! One per instance, outside every slot, never unmapped: a handle to a freed instance still points
//! to a control block, whose generation then tells that it is stale.
//!
//! In a forked child the kernel clears them: a control block that is all zeros, generation 0
//! included, belonged to the parent. Children make new ones and never use those again.
//!
//! # Who may touch an instance
//!
//! Invariant **one thread**: the instance's inner state is touched only by the thread that moved
//! its control word to RUNNING ([`Lease`]), and for members of a group only by the thread that also
//! holds the group. Host functions and builtins run on that thread, below the run, and so may touch
//! it too: they are given the control block as `ctx`. Invariant **no overlap**: nobody holds a
//! reference to the inner state while a guest or host function runs; [`ControlRef::with`] checks
//! this at run time.

pub(crate) mod abandoned;
pub(crate) mod builtins;
mod data;
mod entry;
mod lent;
mod registers;
mod shortcut;
mod table;
pub(crate) mod typed;
pub(crate) mod unwind;
pub(crate) mod walk;
pub(crate) mod wasi;

use crate::arch::{self, Exit, Kept, Registers};
use crate::error::{self, Error, Result, Status};
use crate::group;
use crate::instance::Inner;
use crate::sys::PAGE;
use crate::sys::fork::{Global, Process};
use crate::sys::map::Mapping;
use crate::sys::reserve;
pub(crate) use data::InstanceData;
pub use entry::HostCode;
pub(crate) use entry::{HostEntry, ImpureHost};
pub use lent::GiveBackFn;
pub(crate) use lent::Lent;
use once_cell::sync::OnceCell;
pub(crate) use registers::{give_registers, has_registers, take_registers};
use shortcut::Hot;
pub(crate) use shortcut::{Shortcut, shortcut};
use std::cell::{Cell, UnsafeCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use table::TableEntry;

/// One stretch of guest execution on one thread, from entering to leaving. Lies on the host stack;
/// activations of nested runs form a chain.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Activation {
    /// Where to return to the host.
    pub host_sp: usize,
    /// The guest's stack pointer when it last called out, or where a signal ended it.
    pub guest_sp: usize,
    /// The guest's frame pointer when it last left.
    pub guest_fp: usize,
    /// [`lucet_artifact::abi::TrapCode`] of a trap.
    pub trap_code: u32,
    /// Host entry that the guest called last.
    pub entry: u32,
    /// Address of the trapping instruction, or of the one at which the run was ended; 0 if it left
    /// in the host thunk.
    pub trap_pc: usize,
    /// Faulting address plus one, 0 if there is none.
    pub fault: usize,
    /// Control block of the instance that left with a pending action.
    pub leaver: Cell<*const Control>,
    /// Control block of the instance whose stack this runs on.
    pub control: *const Control,
    /// The activation around this one.
    pub previous: *mut Activation,
    /// Whether host functions may yield: not in nested runs, not during start-up.
    pub may_yield: bool,
    /// Number of activations around this one.
    depth: u32,
}

impl Activation {
    #[inline(always)]
    pub(crate) fn new(control: ControlRef, may_yield: bool) -> Self {
        let previous = arch::current();
        // SAFETY: null, or an activation in a frame of `enter`, `resume` or `call_resume_fn` up
        // this thread's stack.
        let depth = unsafe { previous.as_ref() }.map_or(0, |a| a.depth + 1);
        Self { previous, may_yield, depth, ..Self::outermost(control) }
    }

    /// One that no other is around, whose host functions may yield.
    #[inline(always)]
    pub(crate) fn outermost(control: ControlRef) -> Self {
        Self {
            host_sp: 0,
            guest_sp: 0,
            guest_fp: 0,
            trap_code: 0,
            entry: 0,
            trap_pc: 0,
            fault: 0,
            leaver: Cell::new(std::ptr::null()),
            control: control.0,
            previous: std::ptr::null_mut(),
            may_yield: true,
            depth: 0,
        }
    }

    /// Whether there are too many runs inside one another for the host's stack.
    #[inline(always)]
    pub(crate) fn too_deep(&self) -> bool {
        self.depth >= MAX_DEPTH
    }

    /// The instance that left with a pending action.
    #[inline(always)]
    pub(crate) fn leaver(&self) -> Option<ControlRef> {
        // SAFETY: null, or written by the thunk from the CONTROL word of a live instance.
        unsafe { self.leaver.get().as_ref() }.map(ControlRef)
    }

    /// What trapped: code, address of the instruction, offset in memory of the fault.
    pub(crate) fn trap(&self) -> (u32, usize, Option<u64>) {
        (self.trap_code, self.trap_pc, (self.fault as u64).checked_sub(1))
    }
}

/// Whether a host function called from the innermost activation of this thread may yield.
pub(crate) fn may_yield() -> bool {
    // SAFETY: as in `Activation::new`.
    unsafe { arch::current().as_ref() }.is_some_and(|a| a.may_yield)
}

/// Guest stack pointer of the innermost activation of this thread that runs on `control`'s stack.
pub(crate) fn guest_sp_of(control: ControlRef) -> Option<usize> {
    let mut at = arch::current().cast_const();
    loop {
        // SAFETY: the chain starts at the thread's current activation, and every activation in it
        // is alive: it lies in a frame of `execute` further up this thread's host stack.
        let activation = unsafe { at.as_ref() }?;
        if std::ptr::eq(activation.control, control.0) {
            return Some(activation.guest_sp);
        }
        at = activation.previous;
    }
}

/// Everything needed to call a guest function. Made only by `instance`, from an accepted module and
/// the slot of a live instance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GuestCall {
    /// Lowest usable address of the guest stack.
    pub stack_bottom: usize,
    /// End of unused guest stack.
    pub stack_top: usize,
    /// Entry trampoline of the function's type.
    pub entry: usize,
    /// `vmctx` of the instance.
    pub vmctx: usize,
    /// The function's code.
    pub code: usize,
    /// Value slots: the larger one of the numbers of parameters and results.
    pub slots: usize,
}

/// Bytes of guest stack that a call needs besides its value slots, so that it gets far enough for
/// an overflow to be told apart.
const CALL_RESERVE: usize = 512;

/// Most runs inside one another on one thread. Each takes about a kilobyte of the host's stack
/// besides what the host functions take, and it is guests that decide how often they come back.
const MAX_DEPTH: u32 = 128;

/// Distance from the stack pointer of a suspended guest to the return address of its host call:
/// two registers, see `arch`.
const SUSPENDED_RETURN: usize = 16;

impl GuestCall {
    /// Where the value slots of the call begin. `None`: not enough guest stack is left.
    #[inline(always)]
    pub(crate) fn place(&self) -> Option<usize> {
        let slots = (self.stack_top & !15).checked_sub(self.slots * size_of::<u128>())?;
        (slots >= self.stack_bottom + CALL_RESERVE).then_some(slots)
    }
}

/// Enters a guest and waits until it leaves; `args` are the value slots of the arguments, and
/// `slots` is where they go (see [`GuestCall::place`]). `activation` is a new one of `control`'s
/// instance.
///
/// How it left is in the activation; almost every call returns, and then nobody wants to know more.
#[inline(always)]
pub(crate) fn enter(
    activation: &mut Activation,
    call: &GuestCall,
    slots: usize,
    args: impl Iterator<Item = u128>,
) -> Exit {
    for (i, v) in args.take(call.slots).enumerate() {
        // SAFETY: `GuestCall` names unused, accessible guest stack, and `slots` is `call.slots`
        // value slots below its top.
        unsafe { (slots as *mut u128).add(i).write(v) };
    }
    let p: *mut Activation = activation;
    arch::set_current(p);
    // SAFETY: the activation is current, and a `GuestCall` is made from an accepted module and a
    // live instance that this thread has exclusive use of; there is room for the slots.
    let exit = unsafe { arch::enter(p, slots, call.entry, call.vmctx, call.code, slots as *mut _) };
    arch::set_current(activation.previous);
    exit
}

/// Continues a guest that left in a host call and waits until it leaves again. `guest_sp` is what
/// the activation said then, `activation` is a new one, `kept` is what the guest kept.
#[inline(always)]
pub(crate) fn resume(
    activation: &mut Activation,
    guest_sp: usize,
    kept: &Kept,
    results: (u64, u64),
) -> Exit {
    let p: *mut Activation = activation;
    arch::set_current(p);
    // SAFETY: the instance was SUSPENDED with this stack pointer, and nothing runs on a suspended
    // stack but nested runs of its `resume_fn`, which stay below it.
    let exit = unsafe { arch::resume(p, guest_sp, kept, results) };
    arch::set_current(activation.previous);
    exit
}

/// Continues a guest that was interrupted and waits until it leaves again; `None` if there is
/// nothing to continue with.
pub(crate) fn proceed(activation: &mut Activation, registers: &mut Registers) -> Option<Exit> {
    let p: *mut Activation = activation;
    arch::set_current(p);
    // SAFETY: the instance was PREEMPTED with these registers, and nothing runs on its stack.
    let exit = unsafe { arch::proceed(p, registers) };
    arch::set_current(activation.previous);
    exit
}

/// What the guest that has just left in a host call kept for its way on.
#[inline(always)]
pub(crate) fn kept() -> Kept {
    arch::thread_words().kept()
}

/// What the host call returned behind which the guest has just been interrupted.
pub(crate) fn call_results() -> (u64, u64) {
    arch::thread_words().call_results()
}

/// Reads the value slots of a call that returned; they begin at `slots`, on its guest stack, which
/// nobody used since.
#[inline(always)]
pub(crate) fn read_slots(slots: usize, n: usize, mut f: impl FnMut(usize, u128)) {
    for i in 0..n {
        // SAFETY: the call had at least `n` slots there.
        f(i, unsafe { std::ptr::read((slots as *const u128).add(i)) });
    }
}

/// The return address of the host call at which a guest is suspended.
pub(crate) fn suspended_pc(guest_sp: usize) -> usize {
    // SAFETY: the thunk pushed two registers below the return address; see `SUSPENDED_RETURN`.
    unsafe { std::ptr::read((guest_sp + SUSPENDED_RETURN) as *const usize) }
}

/// The host thunk's frame pointer in the host call at which a guest is suspended.
pub(crate) fn suspended_fp(guest_sp: usize) -> usize {
    guest_sp.wrapping_add(SUSPENDED_RETURN - 8)
}

impl crate::instance::Vmctx {
    /// The calling instance of a host function.
    ///
    /// # Safety
    /// `ctx` is what the host function was called with, on this thread, and it has not returned.
    pub unsafe fn from_raw(ctx: *const Control) -> Option<Self> {
        // SAFETY: the caller's promise.
        unsafe { ControlRef::from_ctx(ctx) }.map(|c| Self(c, std::marker::PhantomData))
    }
}

/// A function that finishes a host call after a yield; `lucet_resume_fn` in C.
pub type ResumeFn = unsafe extern "C" fn(ctx: *const Control, value: u64, state: usize) -> u64;

/// Calls a resume function on the host's stack, for the host function of `ctx` at which `control`'s
/// instance is suspended. It stands in an activation like that host function did, so that it may
/// yield, runs that it nests may not, and those begin below `guest_sp`.
pub(crate) fn call_resume_fn(
    f: ResumeFn,
    control: ControlRef,
    (guest_sp, entry): (usize, u32),
    ctx: ControlRef,
    value: u64,
    state: usize,
) -> u64 {
    let mut activation = Activation::new(control, true);
    activation.guest_sp = guest_sp;
    activation.guest_fp = suspended_fp(guest_sp);
    activation.entry = entry;
    arch::set_current(&mut activation);
    // SAFETY: the host function that yielded named `f` and `state` for exactly this call.
    let result = unsafe { f(ctx.0, value, state) };
    arch::set_current(activation.previous);
    result
}

/// States of an instance; see `docs/design/outcomes-and-handles.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum State {
    Free = 0,
    Ready = 1,
    Running = 2,
    Suspended = 3,
    Faulted = 4,
    Preempted = 5,
}

impl State {
    fn of(word: u64) -> Self {
        match word as u32 {
            1 => Self::Ready,
            2 => Self::Running,
            3 => Self::Suspended,
            4 => Self::Faulted,
            5 => Self::Preempted,
            _ => Self::Free,
        }
    }

    fn word(self, generation: u32) -> u64 {
        u64::from(generation) << 32 | self as u64
    }
}

/// What a host function wants to happen when it returns. The number is compared with 0 by the
/// thunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Pending {
    None = 0,
    Yield = 1,
    Trap = 2,
    Fail = 3,
    Exit = 4,
    Terminate = 5,
    OutOfFuel = 6,
    /// The thunk looks for this one.
    Throw = 7,
}

/// The control block of an instance. On cache lines of its own: neighbours belong to others.
#[repr(C, align(128))]
pub struct Control {
    /// Address of the module's host entries, read by the thunk.
    pub(crate) entries: Cell<usize>,
    /// [`Pending`], read by the thunk after each host call.
    pub(crate) pending: Cell<u32>,
    index: u32,
    /// Which impure functions the instance called, see [`ImpureHost::bit`]. Written by the entry of
    /// such functions in `arch`.
    pub(crate) impure: Cell<u64>,
    /// Generation and [`State`].
    word: AtomicU64,
    borrowed: Cell<bool>,
    /// The run that is going on.
    runner: AtomicU64,
    pub(crate) hot: Hot,
    inner: UnsafeCell<Option<Box<Inner>>>,
    /// The lock of the instance's group. Not in `inner`, which only the lock's holder may touch.
    group: UnsafeCell<Option<Arc<group::Lock>>>,
}

// SAFETY: `index` never changes, `word` is atomic, and everything else is touched only under
// invariant "one thread" of this module.
unsafe impl Sync for Control {}
// SAFETY: as above; control blocks are never moved.
unsafe impl Send for Control {}

/// A control block, usable by whoever may touch the instance (see the module's invariants).
#[derive(Clone, Copy)]
pub(crate) struct ControlRef(&'static Control);

impl std::fmt::Debug for ControlRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Control#{}", self.0.index)
    }
}

impl PartialEq for ControlRef {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

/// The inner state of an instance in use.
pub(crate) struct InnerGuard {
    borrowed: &'static Cell<bool>,
    inner: &'static mut Inner,
}

impl std::ops::Deref for InnerGuard {
    type Target = Inner;

    #[inline(always)]
    fn deref(&self) -> &Inner {
        self.inner
    }
}

impl std::ops::DerefMut for InnerGuard {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Inner {
        self.inner
    }
}

impl Drop for InnerGuard {
    #[inline(always)]
    fn drop(&mut self) {
        self.borrowed.set(false);
    }
}

impl ControlRef {
    /// The control block that the thunk passed to a host function or builtin.
    ///
    /// # Safety
    /// `ctx` came from the host thunk, on this thread, and the host function has not returned yet.
    pub(crate) unsafe fn from_ctx(ctx: *const Control) -> Option<Self> {
        // SAFETY: the caller's promise; control blocks are never unmapped.
        unsafe { ctx.as_ref() }.map(Self)
    }

    /// The address for instance data and for `ctx`.
    pub(crate) fn address(self) -> usize {
        std::ptr::from_ref(self.0) as usize
    }

    /// The handle's index.
    pub(crate) fn index(self) -> u32 {
        self.0.index
    }

    /// Works on the inner state.
    ///
    /// # Panics
    /// When somebody up the stack is working on it already: a bug in the runtime, reported as
    /// `Internal` at the C border.
    #[inline(always)]
    pub(crate) fn with<R>(self, f: impl FnOnce(&mut Inner) -> R) -> R {
        struct Borrow<'a>(&'a Cell<bool>);
        impl Drop for Borrow<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        assert!(!self.0.borrowed.replace(true), "inner state of an instance used twice");
        let _borrow = Borrow(&self.0.borrowed);
        // SAFETY: invariant "one thread" gives exclusive use, `borrowed` excludes overlap.
        let inner = unsafe { (*self.0.inner.get()).as_deref_mut() };
        match inner.map(f) {
            Some(r) => r,
            None => panic!("inner state of a freed instance used"),
        }
    }

    /// The inner state, until the guard is dropped: what [`ControlRef::with`] does, for hot paths
    /// in which a closure would not be inlined.
    ///
    /// # Panics
    /// As [`ControlRef::with`].
    #[inline(always)]
    pub(crate) fn inner(self) -> InnerGuard {
        assert!(!self.0.borrowed.replace(true), "inner state of an instance used twice");
        // SAFETY: invariant "one thread" gives exclusive use, `borrowed` excludes overlap.
        let inner = unsafe { (*self.0.inner.get()).as_deref_mut() };
        match inner {
            Some(inner) => InnerGuard { borrowed: &self.0.borrowed, inner },
            None => panic!("inner state of a freed instance used"),
        }
    }

    /// What the shortest path of a call needs; see [`Hot`].
    #[inline(always)]
    pub(crate) fn hot(self) -> &'static Hot {
        &self.0.hot
    }

    pub(crate) fn set_entries(self, address: usize) {
        self.0.entries.set(address);
    }

    pub(crate) fn pending(self) -> Pending {
        match self.0.pending.get() {
            0 => Pending::None,
            1 => Pending::Yield,
            2 => Pending::Trap,
            3 => Pending::Fail,
            4 => Pending::Exit,
            5 => Pending::Terminate,
            6 => Pending::OutOfFuel,
            _ => Pending::Throw,
        }
    }

    pub(crate) fn set_pending(self, p: Pending) {
        self.0.pending.set(p as u32);
    }

    /// Which impure functions were called since the instance was fresh.
    pub(crate) fn impure(self) -> u64 {
        self.0.impure.get()
    }

    #[inline(always)]
    pub(crate) fn set_impure(self, bits: u64) {
        self.0.impure.set(bits);
    }

    /// Notes the number of the run that is going on; 0: none. It names its thread too, see
    /// `instance::deadline`.
    #[inline(always)]
    pub(crate) fn set_runner(self, run: u64) {
        self.0.runner.store(run, Ordering::Release);
    }

    /// What [`ControlRef::set_runner`] noted.
    pub(crate) fn runner(self) -> u64 {
        self.0.runner.load(Ordering::SeqCst)
    }

    /// Whether it was the parent's, of which this process is a fork.
    pub(crate) fn is_forked(self) -> bool {
        self.0.word.load(Ordering::Relaxed) == WIPED
    }

    /// The generation and state now.
    pub(crate) fn state(self) -> (u32, State) {
        let word = self.0.word.load(Ordering::Acquire);
        ((word >> 32) as u32, State::of(word))
    }
}

/// Exclusive use of an instance. Dropping it puts the instance into the state chosen last.
#[derive(Debug)]
pub(crate) struct Lease {
    pub control: ControlRef,
    generation: u32,
    next: State,
    /// Whether it holds the lock of the instance's group too.
    member: bool,
}

impl Lease {
    /// Takes exclusive use of an instance in one of the states `allowed`.
    ///
    /// # Errors
    /// `InvalidHandle` for another generation, `Busy` while it or its group is used by anybody,
    /// `WrongState` otherwise.
    #[inline(always)]
    pub(crate) fn take(control: ControlRef, generation: u32, allowed: &[State]) -> Result<Self> {
        let mut lease = Self::claim(control, generation, allowed)?;
        lease.join()?;
        Ok(lease)
    }

    /// The second half of [`Lease::take`]: takes the group of an instance that was claimed.
    ///
    /// # Errors
    /// `Busy` while the group is used by anybody.
    #[inline(always)]
    pub(crate) fn join(&mut self) -> Result<()> {
        // SAFETY: changed only by `allocate` and `free`, which have the control block for
        // themselves, and here it is RUNNING for this thread.
        if let Some(lock) = unsafe { (*self.control.0.group.get()).as_ref() } {
            // A preempted run has kept it.
            if self.next != State::Preempted {
                lock.take()?;
            }
            self.member = true;
        }
        Ok(())
    }

    /// Takes exclusive use of an instance that is in state `state`: what [`Lease::take`] does, for
    /// the path of each request.
    ///
    /// # Errors
    /// As [`Lease::take`].
    #[inline(always)]
    pub(crate) fn from(control: ControlRef, generation: u32, state: State) -> Result<Self> {
        let (from, to) = (state.word(generation), State::Running.word(generation));
        let word = &control.0.word;
        let taken = word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        // SAFETY: as in `take`.
        if taken && unsafe { (*control.0.group.get()).is_none() } {
            return Ok(Self { control, generation, next: state, member: false });
        }
        if taken {
            word.store(from, Ordering::Release);
        }
        Self::take(control, generation, &[state])
    }

    /// As [`Lease::take`], for whoever has the instance's group already.
    ///
    /// # Errors
    /// As [`Lease::take`]; `Busy` may be the moment in which another thread finds the group taken.
    #[inline(always)]
    pub(crate) fn claim(control: ControlRef, generation: u32, allowed: &[State]) -> Result<Self> {
        let word = &control.0.word;
        let mut seen = word.load(Ordering::Acquire);
        loop {
            let state = State::of(seen);
            let own = (seen >> 32) as u32 == generation;
            if !own || !allowed.contains(&state) {
                return Err(refusal(seen, own, allowed));
            }
            let running = State::Running.word(generation);
            match word.compare_exchange_weak(seen, running, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(Self { control, generation, next: state, member: false }),
                Err(now) => seen = now,
            }
        }
    }

    /// Leaves the instance in state FAULTED and returns the right to use its group.
    pub(crate) fn into_guard(mut self) -> Option<group::Guard> {
        self.next = State::Faulted;
        // SAFETY: as in `Lease::take`: the control block is still this thread's.
        let lock = unsafe { (*self.control.0.group.get()).clone() };
        lock.filter(|_| std::mem::take(&mut self.member)).map(group::Guard::of)
    }

    /// Chooses the state that the instance will be in.
    pub(crate) fn set_next(&mut self, next: State) {
        self.next = next;
    }

    /// Makes all handles stale and leaves the inner state where it is, for the next instance:
    /// the control block is not free, but belongs to whoever is told of it.
    pub(crate) fn park(self) {
        self.control.0.hot.open.set(false);
        let next = State::Free.word(self.generation.wrapping_add(1));
        self.control.0.word.store(next, Ordering::Release);
        std::mem::forget(self);
    }

    /// Takes over the exclusive use of an instance that [`shortcut`] left RUNNING.
    pub(crate) fn adopt(activation: &Activation, generation: u32) -> Option<Self> {
        // SAFETY: made from a control block, which is never unmapped.
        let control = ControlRef(unsafe { activation.control.as_ref() }?);
        (control.state() == (generation, State::Running)).then_some(Self {
            control,
            generation,
            next: State::Faulted,
            member: false,
        })
    }

    /// Whether the control block can name another instance after this one.
    pub(crate) fn has_successor(&self) -> bool {
        self.generation < LAST_GENERATION
    }

    /// Frees the instance: takes its inner state out and makes all handles stale.
    pub(crate) fn free(mut self) -> Option<Box<Inner>> {
        self.next = State::Free;
        self.control.0.hot.open.set(false);
        // SAFETY: invariants "one thread" (this lease) and "no overlap" (nobody is inside `with`,
        // as no code of the instance runs).
        let (lock, inner) =
            unsafe { ((*self.control.0.group.get()).take(), (*self.control.0.inner.get()).take()) };
        let held = std::mem::take(&mut self.member);
        drop(self);
        if let Some(lock) = lock.filter(|_| held) {
            lock.release();
        }
        inner
    }

    /// The state that the instance was in, or will be in.
    pub(crate) fn state(&self) -> State {
        self.next
    }

    /// Whether the instance belongs to a group.
    pub(crate) fn is_member(&self) -> bool {
        self.member
    }
}

impl Drop for Lease {
    #[inline(always)]
    fn drop(&mut self) {
        let Self { control, generation, next, member } = *self;
        if member || next == State::Free {
            return end(control, generation, next, member);
        }
        control.0.word.store(next.word(generation), Ordering::Release);
    }
}

/// The end of the use of a member of a group, or of an instance. (By value, so that leases live in
/// registers.)
#[cold]
fn end(control: ControlRef, generation: u32, next: State, member: bool) {
    // SAFETY: as in `Lease::take`: the control block is still this thread's.
    if let Some(lock) = unsafe { (*control.0.group.get()).as_ref() }.filter(|_| member) {
        // A preempted run keeps it: nobody may use the other members before it went on.
        if next != State::Preempted {
            lock.release();
        }
    }
    if next != State::Free {
        control.0.word.store(next.word(generation), Ordering::Release);
        return;
    }
    let word = State::Free.word(generation.wrapping_add(1));
    control.0.word.store(word, Ordering::Release);
    // A control block whose generations are used up is never used again: old handles could mean new
    // instances.
    if generation < LAST_GENERATION {
        FREE.lock().all.push(control);
    }
}

/// Why an instance with this word cannot be taken by who wants it in one of the states `allowed`;
/// `own`: the handle's generation is the instance's.
#[cold]
fn refusal(seen: u64, own: bool, allowed: &[State]) -> Error {
    if seen == WIPED {
        return error::forked("the instance");
    }
    let (status, message) = match State::of(seen) {
        state if !own || state == State::Free => (
            Status::InvalidHandle,
            "the instance was freed, or the handle is not one of an instance",
        ),
        State::Running => (
            Status::Busy,
            "the instance is running, or used by another thread; inside a host function use the \
             lucet_vmctx functions",
        ),
        State::Preempted => (
            Status::Busy,
            "the instance is in the middle of its guest's work, because its time slice is over: \
             resume, reset, terminate or free it",
        ),
        State::Suspended => {
            (Status::WrongState, "the instance is suspended: resume, reset or free it")
        }
        State::Faulted => {
            (Status::WrongState, "the instance was stopped by a trap or the host: reset or free it")
        }
        // Whoever does not want it so wants to continue a run, or to go on after its end.
        State::Ready | State::Free if allowed.contains(&State::Suspended) => {
            (Status::WrongState, "the instance is not suspended: there is nothing to resume")
        }
        State::Ready | State::Free => (
            Status::WrongState,
            "the instance is ready: it was stopped neither by a trap nor by the host",
        ),
    };
    Error::new(status, message)
}

/// The last generation of a control block.
const LAST_GENERATION: u32 = u32::MAX - 1;

/// Control blocks are allocated in chunks of this many, and never freed.
const CHUNK: usize = 256;
/// Most instances alive at the same time in one process.
const MAX_CHUNKS: usize = 1 << 14;

/// The word of a control block that the kernel cleared; generations begin with 1.
const WIPED: u64 = 0;

/// Control blocks that are in no use.
struct FreeControls {
    /// Whose they are.
    process: Option<Process>,
    all: Vec<ControlRef>,
}

static FREE: Global<FreeControls> = Global::new(FreeControls { process: None, all: Vec::new() });
/// (All zeros at first: takes no room in the library's file.)
static CHUNKS: [OnceCell<&'static [Control]>; MAX_CHUNKS] = [const { OnceCell::new() }; MAX_CHUNKS];

/// Takes a control block off the list.
fn take_control() -> Result<ControlRef> {
    let mut free = FREE.lock();
    if free.process.is_none_or(|p| !p.is_current()) {
        // Of the parent, if there are any.
        free.all.clear();
        free.process = Some(Process::current()?);
    }
    if let Some(control) = free.all.pop() {
        return Ok(control);
    }
    let Some(n) = CHUNKS.iter().position(|c| c.get().is_none()) else {
        return Err(Error::new(Status::LimitExceeded, "too many instances in this process"));
    };
    // For giving them back, which cannot fail.
    reserve::try_reserve(&mut free.all, (n + 1) * CHUNK)?;
    let map = Mapping::wiped_in_children((CHUNK * size_of::<Control>()).next_multiple_of(PAGE))?;
    let first = map.address() as *mut Control;
    for i in 0..CHUNK {
        let control = Control {
            entries: Cell::new(0),
            pending: Cell::new(0),
            index: (n * CHUNK + i) as u32,
            impure: Cell::new(0),
            word: AtomicU64::new(State::Free.word(1)),
            borrowed: Cell::new(false),
            runner: AtomicU64::new(0),
            hot: Hot::new(),
            inner: UnsafeCell::new(None),
            group: UnsafeCell::new(None),
        };
        // SAFETY: the mapping is new, large enough for this many, and aligned to a page.
        unsafe { first.add(i).write(control) };
    }
    std::mem::forget(map);
    // SAFETY: just filled in, and never unmapped. In a child the bytes are zero, which all fields
    // allow: no inner state, no group.
    let chunk: &'static [Control] = unsafe { std::slice::from_raw_parts(first, CHUNK) };
    let _ = CHUNKS[n].set(chunk);
    free.all.extend(chunk.iter().rev().map(ControlRef));
    match free.all.pop() {
        Some(control) => Ok(control),
        None => Err(Error::new(Status::Internal, "a chunk without control blocks")),
    }
}

/// Takes a control block for a new instance in state RUNNING; returns the lease. On failure the
/// inner state comes back with the error: it owns a slot.
pub(crate) fn allocate(
    inner: Box<Inner>,
    group: Option<group::Guard>,
) -> std::result::Result<Lease, (Error, Box<Inner>)> {
    let control = match take_control() {
        Ok(control) => control,
        Err(e) => return Err((e, inner)),
    };
    let (generation, _) = control.state();
    control.0.word.store(State::Running.word(generation), Ordering::Release);
    control.0.borrowed.set(false);
    control.set_pending(Pending::None);
    let member = group.is_some();
    // SAFETY: a control block taken from the free list is used by nobody else.
    unsafe {
        *control.0.inner.get() = Some(inner);
        *control.0.group.get() = group.and_then(group::Guard::into_lock);
    }
    Ok(Lease { control, generation, next: State::Ready, member })
}

/// Makes an instance of a control block that was parked, which the caller has for itself.
#[inline(always)]
pub(crate) fn wake(control: ControlRef) -> Lease {
    let (generation, _) = control.state();
    control.0.word.store(State::Running.word(generation), Ordering::Release);
    Lease { control, generation, next: State::Faulted, member: false }
}

/// Takes the inner state out of a control block that was parked, which the caller has for itself.
pub(crate) fn dissolve(control: ControlRef) -> Option<Box<Inner>> {
    // SAFETY: a parked control block is used by nobody but who took it off the list of idle ones.
    let inner = unsafe { (*control.0.inner.get()).take() };
    FREE.lock().all.push(control);
    inner
}

/// The control block with this index, for decoding handles.
#[inline(always)]
pub(crate) fn control_at(index: u32) -> Option<ControlRef> {
    let chunk = CHUNKS.get(index as usize / CHUNK)?.get()?;
    chunk.get(index as usize % CHUNK).map(ControlRef)
}

impl Lease {
    /// The generation that handles to this instance carry.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }
}
