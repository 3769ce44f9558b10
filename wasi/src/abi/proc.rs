//! The end of a program, signals, and giving way.

use crate::context::{Answer, Context};
use crate::memory::Mem;
use crate::types::Errno;

/// Ends the program with `code`. The guest does not go on.
pub fn proc_exit(_ctx: &mut Context, _mem: &mut Mem<'_>, code: u32) -> Answer {
    Answer::Exit(code)
}

/// Refused: a guest raises no signals in a server.
pub fn proc_raise(_ctx: &mut Context, _mem: &mut Mem<'_>, _signal: u32) -> Answer {
    Answer::Errno(Errno::Notsup)
}

/// Gives way: to other threads where the context blocks, otherwise to nobody, since the embedder's
/// loop is the only one there is.
pub fn sched_yield(ctx: &mut Context, _mem: &mut Mem<'_>) -> Answer {
    if !ctx.template.non_blocking {
        rustix::thread::sched_yield();
    }
    Answer::Errno(Errno::Success)
}
