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
//!   │ copied stack arguments   │                  │ rbx                      │ ┘ the thunk
//!   │ host function's frame …  │                  │ r12 r13 r14 r15          │ ◄─ guest_sp, only
//!   └──────────────────────────┘                  └──────────────────────────┘   when suspended
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
//! * Leaving early (trap, yield, failure) loads the host's stack pointer and jumps to an epilogue
//!   that pops the registers and *jumps* to the return address: a `ret` there would be
//!   mispredicted, as calls and returns no longer pair up.
//! * Neither mxcsr nor the x87 control word is saved: guests cannot change them, and saving costs
//!   more than the whole switch.
//!
//! The one thread-local word is the address of the innermost [`Activation`]. It is defined here in
//! assembly with the initial-exec model so that the signal handler can read it without a call to
//! `__tls_get_addr`, which may allocate.

use crate::vmctx::{Activation, Control};
use std::arch::{asm, global_asm};
use std::mem::offset_of;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

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
    /// When the run that is going on must end; 0: never.
    pub deadline: AtomicU64,
    /// 1 if others know of this thread.
    pub registered: AtomicU32,
    /// 1 if the signal that ends runs is blocked in this thread.
    pub blocked: AtomicU32,
    /// Words of this thread alone that stand on the path of each request. (A thread-local of Rust
    /// costs a call in a shared library.) Whether traps are prepared for: `trap::thread`.
    pub prepared: AtomicU32,
    /// Number of the thread's shard of idle instances plus one: `idle`.
    pub shard: AtomicU32,
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

    # rdi activation, rsi guest_sp, rdx integer result; xmm0 is taken from rdx too
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
    mov rax, rdx
    movq xmm0, rdx
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    pop rcx
    jmp rcx

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
    # way was announced by a request, and then the host function is not called at all.
    mov dword ptr fs:[rax + {phase}], 0
    mov r11, fs:[rax + {request}]
    cmp r11, fs:[rax + {run}]
    je 6f
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
    mov r10, [rip + lucet_arch_tls@GOTTPOFF]
    mov dword ptr fs:[r10 + {phase}], 1
    mov r11, fs:[r10 + {request}]
    cmp r11, fs:[r10 + {run}]
    je 6f
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

    # A pending action: leave the guest so that it could be resumed at exactly this point. The
    # pushes may overflow the stack; whose action is dropped then is known by `leaver`.
5:
    mov rax, [rip + lucet_arch_tls@GOTTPOFF]
    mov r10, fs:[rax]
    mov [r10 + {leaver}], rbx
    push r12
    push r13
    push r14
    push r15
    mov [r10 + {guest_sp}], rsp
    mov [r10 + {guest_fp}], rbp
    mov rsp, [r10 + {host_sp}]
    mov eax, 2
    jmp lucet_arch_leave

    # A request to end the run: leave the guest for good
6:
    mov rax, [rip + lucet_arch_tls@GOTTPOFF]
    mov r10, fs:[rax]
    mov [r10 + {guest_sp}], rsp
    mov [r10 + {guest_fp}], rbp
    mov rsp, [r10 + {host_sp}]
    mov eax, 3
    jmp lucet_arch_leave

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
    tls_size = const size_of::<ThreadWords>(),
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
    fn lucet_arch_resume(activation: *mut Activation, guest_sp: usize, result: u64) -> u32;
    fn lucet_arch_leave_by_signal();
    fn lucet_arch_trap_stub();
    fn lucet_arch_host_thunk();
    static lucet_arch_start: u8;
    static lucet_arch_end: u8;
}

fn exit(kind: u32) -> Exit {
    match kind {
        0 => Exit::Returned,
        1 => Exit::Trapped,
        2 => Exit::Pending,
        _ => Exit::Ended,
    }
}

/// Enters a guest: calls `entry(vmctx, code, slots)` on the guest stack that ends at `stack_top`.
///
/// # Safety
/// `activation` is this thread's current activation. `stack_top` is 16-aligned and the end of
/// unused guest stack with a guard below; `entry`, `vmctx` and `code` belong to one live instance
/// whose module was accepted by the loader and whose control block is set up, and the caller has
/// exclusive use of it. `slots` has room for the parameters and results of the function's type.
pub(crate) unsafe fn enter(
    activation: *mut Activation,
    stack_top: usize,
    entry: usize,
    vmctx: usize,
    code: usize,
    slots: *mut u128,
) -> Exit {
    // SAFETY: the contract of this function is the routine's.
    exit(unsafe { lucet_arch_enter(activation, stack_top, entry, vmctx, code, slots) })
}

/// Continues a suspended guest at `guest_sp`, giving `result` to it as the host call's result in
/// the integer and the float result register.
///
/// # Safety
/// As [`enter`]; `guest_sp` is what the activation of the suspending run recorded, and the guest
/// stack was not touched since.
pub(crate) unsafe fn resume(activation: *mut Activation, guest_sp: usize, result: u64) -> Exit {
    // SAFETY: the contract of this function is the routine's.
    exit(unsafe { lucet_arch_resume(activation, guest_sp, result) })
}

/// Address of the host thunk, for import slots.
pub(crate) fn host_thunk() -> usize {
    lucet_arch_host_thunk as *const () as usize
}

/// Address of the trap stub, for instance data.
pub(crate) fn trap_stub() -> usize {
    lucet_arch_trap_stub as *const () as usize
}

/// The addresses of the routines above: a fault there, at a guest stack's guard, is the guest's.
pub(crate) fn code_range() -> std::ops::Range<usize> {
    (&raw const lucet_arch_start) as usize..(&raw const lucet_arch_end) as usize
}

/// This thread's words. Async-signal-safe. The reference is good while the thread lives.
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
/// [`Exit::Trapped`] (or [`Exit::Ended`]) to the host stack at `host_sp`.
pub(crate) fn leave_to_host(context: &mut libc::ucontext_t, host_sp: usize, ended: bool) {
    const DIRECTION_FLAG: i64 = 1 << 10;
    let regs = &mut context.uc_mcontext.gregs;
    regs[libc::REG_RIP as usize] = lucet_arch_leave_by_signal as *const () as i64;
    regs[libc::REG_RSP as usize] = host_sp as i64;
    regs[libc::REG_RCX as usize] = host_sp as i64;
    regs[libc::REG_RAX as usize] = if ended { 3 } else { 1 };
    regs[libc::REG_EFL as usize] &= !DIRECTION_FLAG;
}
