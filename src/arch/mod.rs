//! Everything that depends on the processor: entering a guest, switching stacks, leaving again.
//!
//! One file per architecture. A port adds a file here and changes no other code; an unsupported
//! target fails at compile time.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod impure;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod registers;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod x86_64;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!("lucet runs on x86-64 Linux only; a port adds a file to src/arch/ and src/sys/");

pub(crate) use impure::impure_entry;
pub(crate) use registers::Registers;
pub(crate) use x86_64::{
    Exit, Kept, ThreadWords, code_range, current, enter, host_thunk, landing, leave_to_host,
    proceed, read_fault, resume, set_current, thread_words, trap_stub,
};
