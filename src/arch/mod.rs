//! Everything that depends on the processor: entering a guest, switching stacks, leaving again.
//!
//! One file per architecture. A port adds a file here and changes no other code; an unsupported
//! target fails at compile time.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod impure;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod x86_64;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!("lucet runs on x86-64 Linux only; a port adds a file to src/arch/ and src/sys/");

pub(crate) use impure::impure_entry;
pub(crate) use x86_64::{
    Exit, ThreadWords, code_range, current, enter, host_thunk, leave_to_host, read_fault, resume,
    set_current, thread_words, trap_stub,
};
