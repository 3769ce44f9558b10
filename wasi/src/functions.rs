//! The one table of all functions of `wasi_snapshot_preview1`: names, parameters as wasm sees
//! them, result. Whoever needs one thing per function (host functions of a runtime, a comparison
//! with the witx) gets it from here.

/// Calls `$callback! { ... }` with one row per function, in the order of the witx:
/// `name(parameter: wasm type, ...) -> result;`. The result is `i32` (an error number), or `()`
/// for `proc_exit`, which does not return to the guest.
///
/// In [`crate::abi`] the function of the same name takes `(&mut Context, &mut dyn GuestMemory, …)`
/// with `u32` for `i32` and `u64` for `i64`.
#[macro_export]
macro_rules! for_each_function {
    ($callback:ident) => {
        $callback! {
            args_get(argv: i32, argv_buf: i32) -> i32;
            args_sizes_get(argc: i32, argv_buf_size: i32) -> i32;
            environ_get(environ: i32, environ_buf: i32) -> i32;
            environ_sizes_get(environ_count: i32, environ_buf_size: i32) -> i32;
            clock_res_get(id: i32, resolution: i32) -> i32;
            clock_time_get(id: i32, precision: i64, time: i32) -> i32;
            fd_advise(fd: i32, offset: i64, len: i64, advice: i32) -> i32;
            fd_allocate(fd: i32, offset: i64, len: i64) -> i32;
            fd_close(fd: i32) -> i32;
            fd_datasync(fd: i32) -> i32;
            fd_fdstat_get(fd: i32, stat: i32) -> i32;
            fd_fdstat_set_flags(fd: i32, flags: i32) -> i32;
            fd_fdstat_set_rights(fd: i32, base: i64, inheriting: i64) -> i32;
            fd_filestat_get(fd: i32, stat: i32) -> i32;
            fd_filestat_set_size(fd: i32, size: i64) -> i32;
            fd_filestat_set_times(fd: i32, atim: i64, mtim: i64, flags: i32) -> i32;
            fd_pread(fd: i32, iovs: i32, iovs_len: i32, offset: i64, nread: i32) -> i32;
            fd_prestat_get(fd: i32, prestat: i32) -> i32;
            fd_prestat_dir_name(fd: i32, path: i32, path_len: i32) -> i32;
            fd_pwrite(fd: i32, iovs: i32, iovs_len: i32, offset: i64, nwritten: i32) -> i32;
            fd_read(fd: i32, iovs: i32, iovs_len: i32, nread: i32) -> i32;
            fd_readdir(fd: i32, buf: i32, buf_len: i32, cookie: i64, bufused: i32) -> i32;
            fd_renumber(fd: i32, to: i32) -> i32;
            fd_seek(fd: i32, offset: i64, whence: i32, newoffset: i32) -> i32;
            fd_sync(fd: i32) -> i32;
            fd_tell(fd: i32, offset: i32) -> i32;
            fd_write(fd: i32, iovs: i32, iovs_len: i32, nwritten: i32) -> i32;
            path_create_directory(fd: i32, path: i32, path_len: i32) -> i32;
            path_filestat_get(fd: i32, flags: i32, path: i32, path_len: i32, stat: i32) -> i32;
            path_filestat_set_times(fd: i32, flags: i32, path: i32, path_len: i32,
                atim: i64, mtim: i64, fst_flags: i32) -> i32;
            path_link(old_fd: i32, old_flags: i32, old_path: i32, old_len: i32,
                new_fd: i32, new_path: i32, new_len: i32) -> i32;
            path_open(fd: i32, dirflags: i32, path: i32, path_len: i32, oflags: i32,
                base: i64, inheriting: i64, fdflags: i32, opened: i32) -> i32;
            path_readlink(fd: i32, path: i32, path_len: i32,
                buf: i32, buf_len: i32, bufused: i32) -> i32;
            path_remove_directory(fd: i32, path: i32, path_len: i32) -> i32;
            path_rename(fd: i32, old_path: i32, old_len: i32,
                new_fd: i32, new_path: i32, new_len: i32) -> i32;
            path_symlink(old_path: i32, old_len: i32,
                fd: i32, new_path: i32, new_len: i32) -> i32;
            path_unlink_file(fd: i32, path: i32, path_len: i32) -> i32;
            poll_oneoff(subscriptions: i32, events: i32, count: i32, nevents: i32) -> i32;
            proc_exit(code: i32) -> ();
            proc_raise(signal: i32) -> i32;
            sched_yield() -> i32;
            random_get(buf: i32, buf_len: i32) -> i32;
            sock_accept(fd: i32, flags: i32, accepted: i32) -> i32;
            sock_recv(fd: i32, iovs: i32, iovs_len: i32, flags: i32,
                nread: i32, roflags: i32) -> i32;
            sock_send(fd: i32, iovs: i32, iovs_len: i32, flags: i32, nwritten: i32) -> i32;
            sock_shutdown(fd: i32, how: i32) -> i32;
        }
    };
}

macro_rules! names {
    ($($name:ident($($arg:ident: $ty:ident),*) -> $result:tt;)*) => {
        /// The names of all functions, in the order of the witx.
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}
for_each_function!(names);

/// The name of the module that these functions are imported from.
pub const MODULE: &str = "wasi_snapshot_preview1";

/// The name of its predecessor.
pub const MODULE_UNSTABLE: &str = "wasi_unstable";

/// Functions of `wasi_unstable` that mean something else than their namesakes: `whence` counts in
/// another order, `filestat` has a 32-bit link count and so another layout, `subscription` is 56
/// bytes long. They are not offered under the old name.
pub const NOT_IN_UNSTABLE: &[&str] =
    &["fd_seek", "fd_filestat_get", "path_filestat_get", "poll_oneoff", "sock_accept"];
