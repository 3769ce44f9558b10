//! The functions of `wasi_snapshot_preview1`, one method-like function for each.
//!
//! Every one takes the context, the guest's memory and the arguments as wasm passes them, and
//! answers an [`Answer`]. Arguments are the guest's: any value may come. The order inside is always
//! the same: descriptor, rights, arguments, then the deed; memory that receives results is checked
//! before anything happens that could not be repeated.

mod args;
mod clock;
mod proc;
mod random;

pub use args::{args_get, args_sizes_get, environ_get, environ_sizes_get};
pub use clock::{clock_res_get, clock_time_get};
pub use proc::{proc_exit, proc_raise, sched_yield};
pub use random::random_get;

use crate::context::{Answer, Context, Wait};
use crate::memory::Mem;
use crate::types::Errno;

/// Why a call ends other than by success.
pub(crate) enum Stop {
    Errno(Errno),
    Exit(u32),
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
            Stop::Exit(code) => Answer::Exit(code),
            Stop::Wait(wait) => Answer::Wait(wait),
        }
    }
}

pub(crate) fn answer(result: Result<(), Errno>) -> Answer {
    Answer::Errno(result.err().unwrap_or(Errno::Success))
}

/// A call that may have to wait, with its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {}

/// Goes on with the call that answered [`Answer::Wait`]. It may wait again. `Inval` when no call is
/// suspended.
pub fn resume(ctx: &mut Context, _mem: &mut Mem<'_>) -> Answer {
    match ctx.pending.take() {
        None => Answer::Errno(Errno::Inval),
        Some(call) => match call {},
    }
}

macro_rules! later {
    ($($name:ident($($ty:ty),*);)*) => {
        $(#[allow(missing_docs, clippy::too_many_arguments)]
        pub fn $name(_: &mut Context, _: &mut Mem<'_>, $(_: $ty),*) -> Answer {
            Answer::Errno(Errno::Nosys)
        })*
    };
}

later! {
    fd_advise(u32, u64, u64, u32);
    fd_allocate(u32, u64, u64);
    fd_close(u32);
    fd_datasync(u32);
    fd_fdstat_get(u32, u32);
    fd_fdstat_set_flags(u32, u32);
    fd_fdstat_set_rights(u32, u64, u64);
    fd_filestat_get(u32, u32);
    fd_filestat_set_size(u32, u64);
    fd_filestat_set_times(u32, u64, u64, u32);
    fd_pread(u32, u32, u32, u64, u32);
    fd_prestat_get(u32, u32);
    fd_prestat_dir_name(u32, u32, u32);
    fd_pwrite(u32, u32, u32, u64, u32);
    fd_read(u32, u32, u32, u32);
    fd_readdir(u32, u32, u32, u64, u32);
    fd_renumber(u32, u32);
    fd_seek(u32, u64, u32, u32);
    fd_sync(u32);
    fd_tell(u32, u32);
    fd_write(u32, u32, u32, u32);
    path_create_directory(u32, u32, u32);
    path_filestat_get(u32, u32, u32, u32, u32);
    path_filestat_set_times(u32, u32, u32, u32, u64, u64, u32);
    path_link(u32, u32, u32, u32, u32, u32, u32);
    path_open(u32, u32, u32, u32, u32, u64, u64, u32, u32);
    path_readlink(u32, u32, u32, u32, u32, u32);
    path_remove_directory(u32, u32, u32);
    path_rename(u32, u32, u32, u32, u32, u32);
    path_symlink(u32, u32, u32, u32, u32);
    path_unlink_file(u32, u32, u32);
    poll_oneoff(u32, u32, u32, u32);
    sock_accept(u32, u32, u32);
    sock_recv(u32, u32, u32, u32, u32, u32);
    sock_send(u32, u32, u32, u32, u32);
    sock_shutdown(u32, u32);
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
