//! The functions of `wasi_snapshot_preview1`, one method-like function for each.
//!
//! Every one takes the context, the guest's memory and the arguments as wasm passes them, and
//! answers an [`Answer`]. Arguments are the guest's: any value may come. The order inside is always
//! the same: descriptor, rights, arguments, then the deed; memory that receives results is checked
//! before anything happens that could not be repeated.

mod args;
mod buffers;
mod clock;
mod dir;
mod fd;
mod host;
mod io;
mod open;
mod path;
mod poll;
mod proc;
mod random;
mod sock;
mod stat;

pub use args::{args_get, args_sizes_get, environ_get, environ_sizes_get};
pub use clock::{clock_res_get, clock_time_get};
pub use dir::fd_readdir;
pub use fd::{
    fd_close, fd_fdstat_get, fd_fdstat_set_flags, fd_fdstat_set_rights, fd_prestat_dir_name,
    fd_prestat_get, fd_renumber, fd_seek, fd_tell,
};
pub use io::{fd_pread, fd_pwrite, fd_read, fd_write};
pub use open::path_open;
pub use path::{
    path_create_directory, path_link, path_readlink, path_remove_directory, path_rename,
    path_symlink, path_unlink_file,
};
pub use poll::poll_oneoff;
pub use proc::{proc_exit, proc_raise, sched_yield};
pub use random::random_get;
pub use sock::{sock_accept, sock_recv, sock_send, sock_shutdown};
pub use stat::{
    fd_advise, fd_allocate, fd_datasync, fd_filestat_get, fd_filestat_set_size,
    fd_filestat_set_times, fd_sync, path_filestat_get, path_filestat_set_times,
};

use io::Transfer;
use poll::Poll;
use sock::{Accept, Message};

use crate::context::{Answer, Context, Wait};
use crate::memory::Mem;
use crate::types::Errno;

/// Why a call ends other than by success.
pub(crate) enum Stop {
    Errno(Errno),
    Wait(Wait),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Stop {
        Stop::Errno(errno)
    }
}

impl From<rustix::io::Errno> for Stop {
    fn from(errno: rustix::io::Errno) -> Stop {
        Stop::Errno(errno.into())
    }
}

/// What functions inside this module return.
pub(crate) type Done = Result<(), Stop>;

impl From<Stop> for Answer {
    fn from(stop: Stop) -> Answer {
        match stop {
            Stop::Errno(errno) => Answer::Errno(errno),
            Stop::Wait(wait) => Answer::Wait(wait),
        }
    }
}

pub(crate) fn answer(result: Result<(), Errno>) -> Answer {
    Answer::Errno(result.err().unwrap_or(Errno::Success))
}

/// A call that may have to wait, with its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Read(Transfer),
    Write(Transfer),
    Poll(Poll),
    Accept(Accept),
    Receive(Message),
    Send(Message),
}

fn attempt(ctx: &mut Context, mem: &mut Mem<'_>, call: &mut Call) -> Done {
    match call {
        Call::Read(transfer) => io::attempt_read(ctx, mem, *transfer),
        Call::Write(transfer) => io::attempt_write(ctx, mem, *transfer),
        Call::Poll(poll) => poll::attempt(ctx, mem, poll),
        Call::Accept(accept) => sock::attempt_accept(ctx, mem, *accept),
        Call::Receive(message) => sock::attempt_receive(ctx, mem, *message),
        Call::Send(message) => sock::attempt_send(ctx, mem, *message),
    }
}

/// Makes a call that may have to wait: here, or by saying what for.
pub(crate) fn run(ctx: &mut Context, mem: &mut Mem<'_>, mut call: Call) -> Answer {
    loop {
        let wait = match attempt(ctx, mem, &mut call) {
            Ok(()) => return Answer::Errno(Errno::Success),
            Err(Stop::Wait(wait)) => wait,
            Err(stop) => return stop.into(),
        };
        if ctx.template.non_blocking {
            ctx.pending = Some(call);
            return Answer::Wait(wait);
        }
        if let Err(errno) = poll::block(&wait, ctx) {
            return Answer::Errno(errno);
        }
    }
}

/// Goes on with the call that answered [`Answer::Wait`]. It may wait again. `Inval` when no call is
/// suspended.
pub fn resume(ctx: &mut Context, mem: &mut Mem<'_>) -> Answer {
    match ctx.pending.take() {
        None => Answer::Errno(Errno::Inval),
        Some(call) => run(ctx, mem, call),
    }
}

#[cfg(test)]
mod every_function_exists {
    //! Compiles only if each row of the table has its function, with these parameters.
    use super::*;

    macro_rules! wasm {
        (i32) => {
            u32
        };
        (i64) => {
            u64
        };
    }
    macro_rules! check {
        ($($name:ident($($arg:ident: $ty:ident),*) -> $result:tt;)*) => {
            #[test]
            fn with_its_parameters() {
                $(let _: fn(&mut Context, &mut Mem<'_>, $(wasm!($ty)),*) -> Answer = $name;)*
            }
        };
    }
    crate::for_each_function!(check);
}
