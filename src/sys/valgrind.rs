//! Telling valgrind about guest stacks.
//!
//! Memcheck follows the stack pointer: what a function leaves below it may not be touched any more.
//! When the stack pointer goes elsewhere, it has to guess whether that is another stack, and a host
//! that writes arguments to a guest's stack before it switches there looks like a stray write. So
//! each guest stack is registered when it is first used, and before a run all of them are declared
//! usable. What guests do on their stacks is not checked; nothing about the host's is given up.
//!
//! Valgrind listens to a sequence of instructions that does nothing on a real processor. It is
//! asked once whether it is there; without it, nothing here costs anything on the way of a request.
//!
//! AddressSanitizer needs no such thing: it instruments C code, and all C code, host functions
//! included, runs on the host's own stacks.

use super::lock::Mutex;
use std::arch::asm;
use std::ops::Range;
use std::sync::OnceLock;

const RUNNING_ON_VALGRIND: usize = 0x1001;
const STACK_REGISTER: usize = 0x1501;
const STACK_DEREGISTER: usize = 0x1502;
/// Memcheck's requests begin with its initials.
const MAKE_MEM_DEFINED: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16 | 2;

/// Asks valgrind; 0 if it is not there.
fn request(what: usize, a: usize, b: usize) -> usize {
    let args: [usize; 6] = [what, a, b, 0, 0, 0];
    let mut answer = 0usize;
    // SAFETY: rotates a register by 128 bits in all, which leaves it and the memory as they were.
    // Valgrind reads the arguments and writes its answer to rdx.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") args.as_ptr(),
            inout("rdx") answer,
            out("rdi") _,
            options(nostack)
        );
    }
    answer
}

/// Whether the process runs under valgrind.
#[must_use]
pub fn is_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| request(RUNNING_ON_VALGRIND, 0, 0) != 0)
}

struct Known {
    stack: Range<usize>,
    id: usize,
}

static STACKS: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// Registers a guest stack, if it is not known yet.
#[cold]
pub fn register(stack: Range<usize>) {
    if !is_there() {
        return;
    }
    let mut stacks = STACKS.lock();
    if !stacks.iter().any(|k| k.stack == stack) {
        // An empty stack's pointer is its end.
        let id = request(STACK_REGISTER, stack.start, stack.end);
        request(MAKE_MEM_DEFINED, stack.start, stack.len());
        stacks.push(Known { stack, id });
    }
}

/// Forgets the guest stacks in a range of addresses.
pub fn forget(range: &Range<usize>) {
    if is_there() {
        STACKS.lock().retain(|k| {
            let gone = range.contains(&k.stack.start);
            if gone {
                request(STACK_DEREGISTER, k.id, 0);
            }
            !gone
        });
    }
}

/// Declares all guest stacks usable, before a run.
#[cold]
pub fn open_all() {
    for k in STACKS.lock().iter() {
        request(MAKE_MEM_DEFINED, k.stack.start, k.stack.len());
    }
}
