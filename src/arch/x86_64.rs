//! x86-64: how control moves between host and guest.
//!
//! ```text
//!   host stack                                    guest stack
//!   ┌──────────────────────────┐                  ┌──────────────────────────┐ top
//!   │ run() … calls enter      │                  │ return address into enter│
//!   │ return address of enter  │                  │ entry trampoline         │
//!   │ rbp rbx r12 r13 r14 r15  │                  │ guest frames …           │
//!   │ (8 bytes of alignment)   │◄─ host_sp        │ return address of call   │
//!   ├──────────────────────────┤                  │ rbp        ◄─ rbp        │ ┐ pushed by
//!   │ copied stack arguments   │                  │ rbx        ◄─ guest_sp   │ ┘ the thunk
//!   │ host function's frame …  │                  └──────────────────────────┘
//!   └──────────────────────────┘
//! ```
//!
//! * `enter` saves the host's callee-saved registers, notes its stack pointer in the activation,
//!   moves to the guest stack and calls the entry trampoline. When that returns, the way back is
//!   read from the innermost activation of this thread: the guest may have been suspended and
//!   resumed since, on another thread even.
//! * The *host thunk* is what a guest calls for host functions and builtins. The argument registers
//!   after the first two already hold what the C function expects; it only replaces
//!   `(vmctx, index)` by `(ctx, user_data)` and the stack. It keeps the control block in `rbx`
//!   across the call, because that is the one register it can rely on afterwards.
//! * A guest that is suspended in a host call leaves its callee-saved registers in the thread's
//!   words, from where they go into the instance: pushing them could overflow the guest's stack.
//! * A guest that was interrupted anywhere (its time slice is over) goes on by `rt_sigreturn`, see
//!   [`super::registers`]; the frame for that lies on the host's stack.
//! * An exception comes back to the guest as the result of the host call that threw it, through
//!   `lucet_arch_landing`; see [`crate::vmctx::unwind`].
//! * Leaving early (trap, yield, failure) loads the host's stack pointer and jumps to an epilogue
//!   that pops the registers and *jumps* to the return address: a `ret` there would be
//!   mispredicted, as calls and returns no longer pair up.
//! * Neither mxcsr nor the x87 control word is saved: guests cannot change them, and saving costs
//!   more than the whole switch.
//!
//! The one thread-local word is the address of the innermost [`Activation`]. It is defined here in
//! assembly with the initial-exec model so that the signal handler can read it without a call to
//! `__tls_get_addr`, which may allocate.

use super::registers::{Registers, UCONTEXT};
use crate::vmctx::{Activation, Control};
use std::arch::{asm, global_asm};
use std::mem::offset_of;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Why `enter` or `resume` came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The entry trampoline returned.
    Returned,
    /// The trap stub or the signal handler ended the activation.
    Trapped,
    /// A host function left a pending action in the control block named by the activation.
    Pending,
    /// A request to end the run was honoured.
    Ended,
    /// The time slice is over; [`ThreadWords::registers`] holds everything.
    Preempted,
    /// The same on the way back from a host call; [`ThreadWords::kept`] holds what is needed.
    PreemptedInCall,
}

/// The thread-local words: all that entering and leaving a guest, and beginning and ending a run,
/// look at. Other threads reach them through the address that [`thread_words`] gives, while the
/// thread lives. A cache line of their own: nobody else writes there unless a run is to end.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct ThreadWords {
    /// The innermost activation.
    activation: AtomicPtr<Activation>,
    /// 1 while guest code runs, 0 in the host. Written by the routines below.
    pub phase: AtomicU32,
    /// Why the run is to end. Written by other threads before `request`.
    pub reason: AtomicU32,
    /// The run that is going on, 0 in between.
    pub run: AtomicU64,
    /// The run that somebody wants to end: what `run` is or was. Written by other threads.
    pub request: AtomicU64,
    /// The run that is being terminated, until it is over; 0: none. Written by other threads.
    pub doomed: AtomicU64,
    /// The run that was begun last.
    pub last: AtomicU64,
    /// 1 if others know of this thread.
    pub registered: AtomicU32,
    /// 1 if the signal that ends runs is blocked in this thread.
    pub blocked: AtomicU32,
    /// Words of this thread alone that stand on the path of each request. (A thread-local of Rust
    /// costs a call in a shared library.) Whether traps are prepared for: `trap::thread`.
    pub prepared: AtomicU32,
    /// Number of the thread's shard of idle instances plus one: `idle`.
    pub shard: AtomicU32,
    // The second line: what only runs with limits touch.
    /// When the run that is going on must end; 0: never.
    pub deadline: AtomicU64,
    /// The run that has a time slice.
    pub sliced: AtomicU64,
    /// When its slice is over; 0: there is none.
    pub slice_end: AtomicU64,
    /// The thread's processor time at which the run must end; 0: never.
    pub cpu_end: AtomicU64,
    /// When to compare that clock; written by the thread at begin and end, by others in between.
    pub cpu_check: AtomicU64,
    /// Room for the registers of the run with the slice, or what [`Exit::Preempted`] left there.
    pub registers: AtomicPtr<u8>,
    /// Number of runs inside the one with the slice, on the same instance.
    pub nested: AtomicU32,
    /// Registers of a guest that is suspended in a host call; to be taken by whoever it left to.
    kept: [AtomicU64; 6],
}

/// What a guest needs to go on behind a host call, besides what the call returns: r12 to r15.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Kept([u64; 4]);

impl ThreadWords {
    /// Whether run `run` may be interrupted now: it has a slice, and no other run is inside it.
    /// Async-signal-safe.
    pub(crate) fn may_pause(&self, run: u64) -> bool {
        run != 0
            && self.sliced.load(Ordering::Relaxed) == run
            && self.nested.load(Ordering::Relaxed) == 0
    }

    /// What the guest that just left to this thread's innermost activation kept.
    #[inline(always)]
    pub(crate) fn kept(&self) -> Kept {
        let word = |i: usize| self.kept[i].load(Ordering::Relaxed);
        Kept([word(0), word(1), word(2), word(3)])
    }

    /// After [`Exit::PreemptedInCall`]: what the host call returned, as an integer and as a float.
    pub(crate) fn call_results(&self) -> (u64, u64) {
        (self.kept[4].load(Ordering::Relaxed), self.kept[5].load(Ordering::Relaxed))
    }
}

global_asm!(
    r#"
    .section .tbss.lucet,"awT",@nobits
    .hidden lucet_arch_tls
    .globl lucet_arch_tls
    .type lucet_arch_tls, @object
    .size lucet_arch_tls, {tls_size}
    .p2align 6
lucet_arch_tls:
    .zero {tls_size}

    .section .text.lucet_arch,"ax",@progbits
    .p2align 6
    .hidden lucet_arch_start
    .globl lucet_arch_start
lucet_arch_start:

    # rdi activation, rsi guest stack top, rdx entry trampoline, rcx vmctx, r8 code, r9 slots
    .hidden lucet_arch_enter
    .globl lucet_arch_enter
    .type lucet_arch_enter, @function
lucet_arch_enter:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8
    mov [rdi + {host_sp}], rsp
    mov rsp, rsi
    mov rax, rdx
    mov rdi, rcx
    mov rsi, r8
    mov rdx, r9
    mov r10, [rip + lucet_arch_tls@GOTTPOFF]
    mov dword ptr fs:[r10 + {phase}], 1
    xor ebp, ebp            # ends the guest's chain of frames
    call rax
    # Not the activation this began with, if the guest was suspended and resumed since: ask.
    mov r10, [rip + lucet_arch_tls@GOTTPOFF]
    mov dword ptr fs:[r10 + {phase}], 0
    mov rcx, fs:[r10]
    mov rsp, [rcx + {host_sp}]
    xor eax, eax
    add rsp, 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret

    # rdi activation, rsi guest_sp, rdx Kept, rcx integer result, r8 float result
    .p2align 5
    .hidden lucet_arch_resume
    .globl lucet_arch_resume
    .type lucet_arch_resume, @function
lucet_arch_resume:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8
    mov [rdi + {host_sp}], rsp
    mov r10, [rip + lucet_arch_tls@GOTTPOFF]
    mov dword ptr fs:[r10 + {phase}], 1
    mov rsp, rsi
    mov r12, [rdx]
    mov r13, [rdx + 8]
    mov r14, [rdx + 16]
    mov r15, [rdx + 24]
    mov rax, rcx
    movq xmm0, r8
    pop rbx
    pop rbp
    pop rcx
    jmp rcx

    # rdi activation, rsi the kernel's ucontext of an interrupted guest. It is copied to where the
    # host's stack ends, so that a signal handler that runs there overwrites nothing.
    .p2align 5
    .hidden lucet_arch_continue
    .globl lucet_arch_continue
    .type lucet_arch_continue, @function
lucet_arch_continue:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8
    mov [rdi + {host_sp}], rsp
    sub rsp, {ucontext}
    mov rdi, rsp
    mov ecx, {ucontext} / 8
    rep movsq
    mov r10, [rip + lucet_arch_tls@GOTTPOFF]
    mov dword ptr fs:[r10 + {phase}], 1
    mov eax, {rt_sigreturn}
    syscall
    ud2

    # Early exit by a signal: rsp and rcx = host_sp of the activation, eax = exit kind. A checker
    # that follows the stack pointer does not see what a handler does to it; it sees this move.
    .p2align 5
    .hidden lucet_arch_leave_by_signal
    .globl lucet_arch_leave_by_signal
lucet_arch_leave_by_signal:
    mov rsp, rcx

    # Early exit: rsp = host_sp of the activation, eax = exit kind
    .hidden lucet_arch_leave
    .globl lucet_arch_leave
lucet_arch_leave:
    mov r10, [rip + lucet_arch_tls@GOTTPOFF]
    mov dword ptr fs:[r10 + {phase}], 0
    add rsp, 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    pop rcx
    jmp rcx

    # Trap stub: rdi vmctx, esi trap code; the return address is the trap's pc
    .p2align 5
    .hidden lucet_arch_trap_stub
    .globl lucet_arch_trap_stub
    .type lucet_arch_trap_stub, @function
lucet_arch_trap_stub:
    mov rax, [rip + lucet_arch_tls@GOTTPOFF]
    mov r10, fs:[rax]
    mov [r10 + {trap_code}], esi
    mov rcx, [rsp]
    mov [r10 + {trap_pc}], rcx
    mov [r10 + {guest_fp}], rbp
    mov rsp, [r10 + {host_sp}]
    mov eax, 1
    jmp lucet_arch_leave

    # Host thunk: rdi vmctx, esi index, then the host function's arguments
    .p2align 6
    .hidden lucet_arch_host_thunk
    .globl lucet_arch_host_thunk
    .type lucet_arch_host_thunk, @function
lucet_arch_host_thunk:
    push rbp
    mov rbp, rsp
    push rbx
    mov rax, [rip + lucet_arch_tls@GOTTPOFF]
    mov r10, fs:[rax]
    mov rbx, [rdi - 24]
    mov [r10 + {guest_sp}], rsp
    mov [r10 + {entry}], esi
    # In the host from here on: no signal may be sent to this thread any more. One that is on its
    # way was announced by a request, and then the host function is not called before it arrived.
    mov dword ptr fs:[rax + {phase}], 0
    mov r11, fs:[rax + {request}]
    cmp r11, fs:[rax + {run}]
    je 6f
1:
    mov eax, esi
    shl rax, 5
    add rax, [rbx + {entries}]
    mov rsp, [r10 + {host_sp}]
    mov esi, [rax + 16]
    test esi, esi
    jnz 3f
2:
    mov rdi, rbx
    mov rsi, [rax + 8]
    call [rax]
    lea rsp, [rbp - 8]
    cmp dword ptr [rbx + {pending}], 0
    jne 5f
8:
    mov r10, [rip + lucet_arch_tls@GOTTPOFF]
    mov dword ptr fs:[r10 + {phase}], 1
    mov r11, fs:[r10 + {request}]
    cmp r11, fs:[r10 + {run}]
    je 9f
    pop rbx
    pop rbp
    ret

    # Stack arguments lie above the return address of the guest's call: rbp + 16
3:
    mov r11, rsi
4:
    push qword ptr [rbp + r11 + 8]
    sub r11, 8
    jnz 4b
    jmp 2b

    # A pending action: leave the guest so that it could be resumed at exactly this point. An
    # exception may land in the guest: as if this had been called from there.
5:
    cmp dword ptr [rbx + {pending}], {throw}
    je 20f
21:
    mov rax, [rip + lucet_arch_tls@GOTTPOFF]
    mov r10, fs:[rax]
    mov [r10 + {leaver}], rbx
    mov r11d, 2
    jmp 7f

    # An exception: rsp and rbp become those of four words that `vmctx::unwind` wrote.
20:
    mov rax, [rip + lucet_arch_tls@GOTTPOFF]
    mov r10, fs:[rax]
    mov rsp, [r10 + {host_sp}]
    mov rdi, rbx
    mov rsi, rbp
    call {land}
    lea rsp, [rbp - 8]
    test rax, rax
    jz 21b
    mov rsp, rax
    lea rbp, [rax + 8]
    mov rax, rdx
    jmp 8b

    # A request on the way out: ask whether to leave. The argument registers wait on the host's
    # stack.
6:
    mov rsp, [r10 + {host_sp}]
    sub rsp, 176
    mov [rsp + 0], rdi
    mov [rsp + 8], rsi
    mov [rsp + 16], rdx
    mov [rsp + 24], rcx
    mov [rsp + 32], r8
    mov [rsp + 40], r9
    movups [rsp + 48], xmm0
    movups [rsp + 64], xmm1
    movups [rsp + 80], xmm2
    movups [rsp + 96], xmm3
    movups [rsp + 112], xmm4
    movups [rsp + 128], xmm5
    movups [rsp + 144], xmm6
    movups [rsp + 160], xmm7
    xor edi, edi
    call {asked}
    mov r11d, eax
    mov rdi, [rsp + 0]
    mov rsi, [rsp + 8]
    mov rdx, [rsp + 16]
    mov rcx, [rsp + 24]
    mov r8, [rsp + 32]
    mov r9, [rsp + 40]
    movups xmm0, [rsp + 48]
    movups xmm1, [rsp + 64]
    movups xmm2, [rsp + 80]
    movups xmm3, [rsp + 96]
    movups xmm4, [rsp + 112]
    movups xmm5, [rsp + 128]
    movups xmm6, [rsp + 144]
    movups xmm7, [rsp + 160]
    mov rax, [rip + lucet_arch_tls@GOTTPOFF]
    mov r10, fs:[rax]
    test r11d, r11d
    jz 1b
    jmp 7f

    # A request on the way back: the host function's results wait on the host's stack.
9:
    mov dword ptr fs:[r10 + {phase}], 0
    mov r10, fs:[r10]
    mov rsp, [r10 + {host_sp}]
    sub rsp, 16
    mov [rsp], rax
    movsd [rsp + 8], xmm0
    mov edi, 1
    call {asked}
    mov r11d, eax
    mov rax, [rsp]
    movsd xmm0, [rsp + 8]
    lea rsp, [rbp - 8]
    test r11d, r11d
    jz 8b
    mov r10, [rip + lucet_arch_tls@GOTTPOFF]
    mov fs:[r10 + {kept} + 32], rax
    movsd fs:[r10 + {kept} + 40], xmm0
    mov rax, r10
    mov r10, fs:[rax]

    # Leave with kind r11d; rax the thread's words, r10 the activation.
7:
    mov fs:[rax + {kept}], r12
    mov fs:[rax + {kept} + 8], r13
    mov fs:[rax + {kept} + 16], r14
    mov fs:[rax + {kept} + 24], r15
    lea rcx, [rbp - 8]
    mov [r10 + {guest_sp}], rcx
    mov [r10 + {guest_fp}], rbp
    mov rsp, [r10 + {host_sp}]
    mov eax, r11d
    jmp lucet_arch_leave

    # Where an exception comes back to the guest: rax is the exception, the thunk popped the tag's
    # identity into rbx, and the landing pad's address is next.
    .p2align 4
    .hidden lucet_arch_landing
    .globl lucet_arch_landing
    .type lucet_arch_landing, @function
lucet_arch_landing:
    mov rdx, rbx
    ret

    .hidden lucet_arch_end
    .globl lucet_arch_end
lucet_arch_end:
    .text
"#,
    host_sp = const offset_of!(Activation, host_sp),
    guest_sp = const offset_of!(Activation, guest_sp),
    guest_fp = const offset_of!(Activation, guest_fp),
    trap_code = const offset_of!(Activation, trap_code),
    trap_pc = const offset_of!(Activation, trap_pc),
    leaver = const offset_of!(Activation, leaver),
    entry = const offset_of!(Activation, entry),
    entries = const offset_of!(Control, entries),
    pending = const offset_of!(Control, pending),
    phase = const offset_of!(ThreadWords, phase),
    request = const offset_of!(ThreadWords, request),
    run = const offset_of!(ThreadWords, run),
    kept = const offset_of!(ThreadWords, kept),
    tls_size = const size_of::<ThreadWords>(),
    ucontext = const UCONTEXT,
    rt_sigreturn = const libc::SYS_rt_sigreturn,
    throw = const crate::vmctx::Pending::Throw as u32,
    land = sym crate::vmctx::unwind::land_in_thunk,
    asked = sym crate::instance::asked_in_thunk,
);

// The routines know the layout of `Activation` by `offset_of!`; what its pointers point to is none
// of their business.
#[allow(improper_ctypes)]
unsafe extern "C" {
    fn lucet_arch_enter(
        activation: *mut Activation,
        stack_top: usize,
        entry: usize,
        vmctx: usize,
        code: usize,
        slots: *mut u128,
    ) -> u32;
    fn lucet_arch_resume(
        activation: *mut Activation,
        guest_sp: usize,
        kept: *const Kept,
        integer: u64,
        float: u64,
    ) -> u32;
    fn lucet_arch_continue(activation: *mut Activation, context: *const u64) -> u32;
    fn lucet_arch_leave_by_signal();
    fn lucet_arch_trap_stub();
    fn lucet_arch_host_thunk();
    fn lucet_arch_landing();
    static lucet_arch_start: u8;
    static lucet_arch_end: u8;
}

/// What [`exit`] does for one that did not return.
#[cold]
#[inline(never)]
fn left(kind: u32) -> Exit {
    exit(kind)
}

#[inline(always)]
fn exit(kind: u32) -> Exit {
    match kind {
        0 => Exit::Returned,
        1 => Exit::Trapped,
        2 => Exit::Pending,
        3 => Exit::Ended,
        4 => Exit::Preempted,
        _ => Exit::PreemptedInCall,
    }
}

/// Enters a guest: calls `entry(vmctx, code, slots)` on the guest stack that ends at `stack_top`.
///
/// # Safety
/// `activation` is this thread's current activation. `stack_top` is 16-aligned and the end of
/// unused guest stack with a guard below; `entry`, `vmctx` and `code` belong to one live instance
/// whose module was accepted by the loader and whose control block is set up, and the caller has
/// exclusive use of it. `slots` has room for the parameters and results of the function's type.
#[inline(always)]
pub(crate) unsafe fn enter(
    activation: *mut Activation,
    stack_top: usize,
    entry: usize,
    vmctx: usize,
    code: usize,
    slots: *mut u128,
) -> Exit {
    // SAFETY: the contract of this function is the routine's.
    match unsafe { lucet_arch_enter(activation, stack_top, entry, vmctx, code, slots) } {
        0 => Exit::Returned,
        kind => left(kind),
    }
}

/// Continues a guest that is suspended in a host call at `guest_sp`.
///
/// # Safety
/// As [`enter`]; `guest_sp` is what the activation of the suspending run recorded, `kept` what the
/// thread's words held then, the results are what the call returns, and the guest stack was not
/// touched since.
#[inline(always)]
pub(crate) unsafe fn resume(
    activation: *mut Activation,
    guest_sp: usize,
    kept: &Kept,
    (integer, float): (u64, u64),
) -> Exit {
    // SAFETY: the contract of this function is the routine's.
    exit(unsafe { lucet_arch_resume(activation, guest_sp, kept, integer, float) })
}

/// Continues a guest that was interrupted; `None` if `registers` holds none.
///
/// # Safety
/// As [`enter`]; the registers are those with which the instance left, and its stack was not
/// touched since. They stay where they are until the guest has left again.
pub(crate) unsafe fn proceed(
    activation: *mut Activation,
    registers: &mut Registers,
) -> Option<Exit> {
    let frame = registers.frame()?;
    // SAFETY: the contract of this function is the routine's.
    Some(exit(unsafe { lucet_arch_continue(activation, frame.as_ptr()) }))
}

/// Address of the host thunk, for import slots.
pub(crate) fn host_thunk() -> usize {
    lucet_arch_host_thunk as *const () as usize
}

/// Address of the trap stub, for instance data.
pub(crate) fn trap_stub() -> usize {
    lucet_arch_trap_stub as *const () as usize
}

/// Return address of a host call behind which an exception lands; the word above it is where.
pub(crate) fn landing() -> usize {
    lucet_arch_landing as *const () as usize
}

/// The addresses of the routines above: a fault there, at a guest stack's guard, is the guest's.
pub(crate) fn code_range() -> std::ops::Range<usize> {
    (&raw const lucet_arch_start) as usize..(&raw const lucet_arch_end) as usize
}

/// This thread's words. Async-signal-safe. The reference is good while the thread lives.
#[inline(always)]
pub(crate) fn thread_words() -> &'static ThreadWords {
    let p: *const ThreadWords;
    // SAFETY: computes the address of the thread-local words defined above.
    unsafe {
        asm!(
            "mov {p}, [rip + lucet_arch_tls@GOTTPOFF]",
            "add {p}, fs:[0]",
            p = out(reg) p,
            options(nostack, readonly)
        );
    }
    // SAFETY: the words are zero or what was stored in them, which all are valid atomics.
    unsafe { &*p }
}

/// This thread's innermost activation, or null. Async-signal-safe.
pub(crate) fn current() -> *mut Activation {
    let p: *mut Activation;
    // SAFETY: reads the thread-local word defined above; clobbers nothing else.
    unsafe {
        asm!(
            "mov {p}, [rip + lucet_arch_tls@GOTTPOFF]",
            "mov {p}, fs:[{p}]",
            p = out(reg) p,
            options(nostack, preserves_flags, readonly)
        );
    }
    p
}

/// Makes `p` this thread's innermost activation.
pub(crate) fn set_current(p: *mut Activation) {
    // SAFETY: writes the thread-local word defined above. Whoever reads it trusts only that it is
    // null or what was written here; `vmctx` keeps the pointer alive while it stands.
    unsafe {
        asm!(
            "mov {t}, [rip + lucet_arch_tls@GOTTPOFF]",
            "mov fs:[{t}], {p}",
            t = out(reg) _,
            p = in(reg) p,
            options(nostack, preserves_flags)
        );
    }
}

/// Program counter, frame pointer and stack pointer of an interrupted context.
pub(crate) fn read_fault(context: &libc::ucontext_t) -> (usize, usize, usize) {
    let regs = &context.uc_mcontext.gregs;
    let reg = |r: i32| regs[r as usize] as usize;
    (reg(libc::REG_RIP), reg(libc::REG_RBP), reg(libc::REG_RSP))
}

/// Rewrites an interrupted context so that returning from the signal handler leaves the guest with
/// [`Exit::Trapped`], [`Exit::Ended`] or [`Exit::Preempted`] to the host stack at `host_sp`.
pub(crate) fn leave_to_host(context: &mut libc::ucontext_t, host_sp: usize, exit: Exit) {
    const DIRECTION_FLAG: i64 = 1 << 10;
    let regs = &mut context.uc_mcontext.gregs;
    regs[libc::REG_RIP as usize] = lucet_arch_leave_by_signal as *const () as i64;
    regs[libc::REG_RSP as usize] = host_sp as i64;
    regs[libc::REG_RCX as usize] = host_sp as i64;
    regs[libc::REG_RAX as usize] = match exit {
        Exit::Ended => 3,
        Exit::Preempted => 4,
        _ => 1,
    };
    regs[libc::REG_EFL as usize] &= !DIRECTION_FLAG;
}
