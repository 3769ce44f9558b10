//! The memory for a preempted guest's registers, while it belongs to a thread: a word that the
//! signal handler reads, and that owns what it points to.

use crate::arch::{self, Registers};
use std::sync::atomic::Ordering;

/// Takes the room for registers that this thread has, or what the guest that has just been
/// preempted left in it.
pub(crate) fn take_registers() -> Option<Registers> {
    let p = arch::thread_words().registers.swap(std::ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: what `give_registers` put there, and taken out just now.
    unsafe { Registers::from_raw(p) }
}

/// Gives this thread room for registers, which the signal handler may use from now on.
pub(crate) fn give_registers(registers: Registers) {
    let words = arch::thread_words();
    let before = words.registers.swap(registers.into_raw(), Ordering::Relaxed);
    // SAFETY: as in `take_registers`.
    drop(unsafe { Registers::from_raw(before) });
}

/// Whether this thread has room for registers.
pub(crate) fn has_registers() -> bool {
    !arch::thread_words().registers.load(Ordering::Relaxed).is_null()
}
