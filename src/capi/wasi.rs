//! WASI in C: what programs may see, and what instances do with it. Declared in `lucet_wasi.h`.

use super::args::{self, Out, array, array_mut, check_room};
use super::error::{border, border_of_maker, border_of_maker_or_null, border_or};
use super::handle::{self, Kind, Table};
use super::instance::lucet_instance;
use super::module::{change, lucet_module_config};
use super::raw;
use super::status::lucet_outcome;
use super::wasi_settings::{Callback, Clock, Settings, Stdio};
use crate::error::{Error, Result, Status};
use crate::outcome::OutcomeKind;
use crate::sys::lock::Mutex;
use crate::wasi::{Template, WAITS};
use std::ffi::{CStr, c_char, c_void};
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

static TEMPLATES: Table<Template> = Table::new(Kind::Wasi);
static CONFIGS: Table<Mutex<Settings>> = Table::new(Kind::WasiConfig);

/// What programs get: arguments, environment, directories, streams, clocks. Made once and shared by
/// any number of instances, each of which has descriptors, positions and counters of its own. Never
/// changes. Any thread, several at the same time.
pub struct lucet_wasi;

/// What to make a lucet_wasi of. Any thread may use it.
pub struct lucet_wasi_config;

/// The standard streams.
#[repr(i32)]
pub enum lucet_wasi_stream {
    /// Standard input.
    LUCET_WASI_STDIN = 0,
    /// Standard output.
    LUCET_WASI_STDOUT = 1,
    /// Standard error.
    LUCET_WASI_STDERR = 2,
}

/// What has a limit, for each instance. A call that would go beyond it gets an error, or transfers
/// less, as its function allows. Numbers never change.
#[repr(i32)]
pub enum lucet_wasi_limit {
    /// Descriptors open at a time, those it began with included; 128.
    LUCET_WASI_LIMIT_DESCRIPTORS = 1,
    /// Buffers of one read or write; 1024.
    LUCET_WASI_LIMIT_IOVECS = 2,
    /// Bytes that one call transfers; 16 MiB.
    LUCET_WASI_LIMIT_TRANSFER_BYTES = 3,
    /// Random bytes of one call; 1 MiB.
    LUCET_WASI_LIMIT_RANDOM_BYTES = 4,
    /// Events that one poll waits for; 1024.
    LUCET_WASI_LIMIT_SUBSCRIPTIONS = 5,
    /// Bytes of one reading of a directory; 1 MiB.
    LUCET_WASI_LIMIT_READDIR_BYTES = 6,
    /// Bytes of a path; 4095.
    LUCET_WASI_LIMIT_PATH_BYTES = 7,
    /// The size that files may be given; 4 GiB.
    LUCET_WASI_LIMIT_FILE_BYTES = 8,
    /// Bytes written to files in all; 64 GiB.
    LUCET_WASI_LIMIT_WRITTEN_BYTES = 9,
    /// Bytes that each of standard output and error takes while it is captured, discarded or goes
    /// to a function; 16 MiB.
    LUCET_WASI_LIMIT_OUTPUT_BYTES = 10,
}

/// What instances yield while a call of WASI waits, if calls do not block: see
/// lucet_instance_wasi_wait.
pub const LUCET_WASI_WAITS: u64 = 0x6c75_6365_7457_4149;

/// What a lucet_wasi_read_fn or lucet_wasi_write_fn returns when it has nothing, or takes nothing,
/// now.
pub const LUCET_WASI_NOT_NOW: isize = -1;

/// What it returns when that failed; the program gets an input/output error.
pub const LUCET_WASI_FAILED: isize = -2;

const _: () = assert!(LUCET_WASI_WAITS == WAITS && LUCET_WASI_FAILED != LUCET_WASI_NOT_NOW);

/// Standard input as a function: puts at most `len` bytes into `bytes` and returns their number, 0
/// at the end. `user_data` is what it was registered with, `instance_data` what
/// lucet_instance_set_user_data set. Runs on the thread that runs the guest, for several instances
/// at the same time; it returns, and uses no lucet function of that instance.
pub type lucet_wasi_read_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        instance_data: *mut c_void,
        bytes: *mut c_void,
        len: usize,
    ) -> isize,
>;

/// Standard output or error as a function: takes bytes, and returns how many of them. Otherwise as
/// lucet_wasi_read_fn.
pub type lucet_wasi_write_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        instance_data: *mut c_void,
        bytes: *const c_void,
        len: usize,
    ) -> isize,
>;

/// A clock: nanoseconds since 1970, or since some moment if it must never go back (`monotonic`).
/// Otherwise as lucet_wasi_read_fn.
pub type lucet_wasi_clock_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        instance_data: *mut c_void,
        monotonic: bool,
    ) -> u64,
>;

/// Random numbers: fills `len` bytes; false if that failed. Otherwise as lucet_wasi_read_fn.
pub type lucet_wasi_random_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        instance_data: *mut c_void,
        bytes: *mut c_void,
        len: usize,
    ) -> bool,
>;

/// A descriptor of this process that a call waits for.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct lucet_wasi_interest {
    /// The descriptor. Not to be closed.
    pub fd: i32,
    /// It waits until it can be read, or accepts.
    pub read: bool,
    /// It waits until it can be written.
    pub write: bool,
}

/// A configuration that gives programs nothing: no arguments, environment or directories, standard
/// input at its end, standard output and error discarded; calls block. Free it with
/// lucet_wasi_config_free. NULL if there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_wasi_config_create() -> *mut lucet_wasi_config {
    border_of_maker_or_null(|| CONFIGS.insert(Arc::default()))
}

/// Frees a configuration. NULL is allowed; a wrong handle does nothing but set lucet_last_error.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_wasi_config_free(config: *mut lucet_wasi_config) {
    border_or((), || {
        if config.is_null() { Ok(()) } else { CONFIGS.remove(config, "config", |_| Ok(())) }
    });
}

/// (One border for all setters: what is inlined into each makes the library larger.)
#[inline(never)]
fn set(
    config: *mut lucet_wasi_config,
    change: &mut dyn FnMut(&mut Settings) -> Result<()>,
) -> raw::lucet_status {
    border_of_maker(|| CONFIGS.with(config, "config", |c| change(&mut c.lock())))
}

/// A text that need not be UTF-8.
///
/// # Safety
/// `p` is NULL or a NUL-terminated string that nobody changes meanwhile.
unsafe fn bytes_of(p: *const c_char, param: &str) -> Result<Vec<u8>> {
    // SAFETY: not NULL, and the caller's promise.
    Ok(unsafe { CStr::from_ptr(args::required(p, param)?) }.to_bytes().to_vec())
}

/// Adds an argument. The first one is the program's name for itself. Copied, as all texts here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_wasi_config_add_arg(
    config: *mut lucet_wasi_config,
    arg: *const c_char,
) -> raw::lucet_status {
    set(config, &mut |c| {
        // SAFETY: the header asks for a NUL-terminated text.
        c.args.push(unsafe { bytes_of(arg, "arg") }?);
        Ok(())
    })
}

/// Adds an environment variable.
///
/// LUCET_STATUS_INVALID_ARGUMENT if the name is empty or has a '=' in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_wasi_config_add_env(
    config: *mut lucet_wasi_config,
    name: *const c_char,
    value: *const c_char,
) -> raw::lucet_status {
    set(config, &mut |c| {
        // SAFETY: the header asks for NUL-terminated texts.
        let (name, value) = unsafe { (bytes_of(name, "name")?, bytes_of(value, "value")?) };
        if name.is_empty() || name.contains(&b'=') {
            let message = "a variable's name is not empty, and has no '=' in it";
            return Err(Error::new(Status::InvalidArgument, message));
        }
        c.env.push([&name[..], b"=", &value].concat());
        Ok(())
    })
}

/// Adds all environment variables that this process has now.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_wasi_config_inherit_env(
    config: *mut lucet_wasi_config,
) -> raw::lucet_status {
    set(config, &mut |c| {
        for (name, value) in std::env::vars_os() {
            c.env.push([&name.into_vec()[..], b"=", &value.into_vec()].concat());
        }
        Ok(())
    })
}

/// Shows programs the directory `path` and what is below it under the name `guest`; nothing outside
/// of it can be reached through it, by no path and no link. `read_only`: nothing in it can be
/// changed. Directories get the descriptors from 3 on. It is opened by lucet_wasi_create.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_wasi_config_add_directory(
    config: *mut lucet_wasi_config,
    path: *const c_char,
    guest: *const c_char,
    read_only: bool,
) -> raw::lucet_status {
    set(config, &mut |c| {
        // SAFETY: the header asks for NUL-terminated texts.
        let (path, guest) = unsafe { (args::path(path, "path")?, bytes_of(guest, "guest")?) };
        c.directories.push((path.to_owned(), guest, read_only));
        Ok(())
    })
}

/// Gives programs an open file, pipe or socket: a duplicate of `fd`. Their number follows those of
/// directories. All instances share it, with its position. A listening socket is for programs that
/// accept connections.
///
/// LUCET_STATUS_INVALID_ARGUMENT if `fd` is not open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_wasi_config_add_descriptor(
    config: *mut lucet_wasi_config,
    fd: i32,
) -> raw::lucet_status {
    set(config, &mut |c| {
        // SAFETY: nobody but the caller closes it until the call returns, as the header asks.
        c.add_descriptor(unsafe { args::descriptor(fd, "fd") }?)
    })
}

/// Gives programs the standard streams of this process.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_wasi_config_inherit_stdio(
    config: *mut lucet_wasi_config,
) -> raw::lucet_status {
    set(config, &mut Settings::inherit_stdio)
}

fn index(stream: raw::lucet_wasi_stream) -> Result<usize> {
    use lucet_wasi_stream as S;
    const ALL: [i32; 3] =
        [S::LUCET_WASI_STDIN as i32, S::LUCET_WASI_STDOUT as i32, S::LUCET_WASI_STDERR as i32];
    ALL.iter().position(|s| *s == stream).ok_or_else(|| {
        let message = format!("{stream} is not a lucet_wasi_stream");
        Error::new(Status::InvalidArgument, message)
    })
}

fn output(stream: raw::lucet_wasi_stream) -> Result<usize> {
    index(stream).ok().filter(|s| *s > 0).ok_or_else(|| {
        let message = format!("{stream} is neither LUCET_WASI_STDOUT nor LUCET_WASI_STDERR");
        Error::new(Status::InvalidArgument, message)
    })
}

#[inline(never)]
fn set_stream(
    config: *mut lucet_wasi_config,
    stream: Result<usize>,
    to: &mut dyn FnMut() -> Result<Stdio>,
) -> raw::lucet_status {
    set(config, &mut |c| {
        let (stream, to) = (stream.clone()?, to()?);
        if let Some(place) = c.streams.get_mut(stream) {
            *place = to;
        }
        Ok(())
    })
}

/// Gives programs an open file, pipe, terminal or socket as a standard stream: a duplicate of `fd`.
///
/// LUCET_STATUS_INVALID_ARGUMENT if `fd` is not open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_wasi_config_set_stream_descriptor(
    config: *mut lucet_wasi_config,
    stream: raw::lucet_wasi_stream,
    fd: i32,
) -> raw::lucet_status {
    set_stream(config, index(stream), &mut || {
        // SAFETY: nobody but the caller closes it until the call returns, as the header asks.
        Stdio::duplicate(unsafe { args::descriptor(fd, "fd") }?)
    })
}

/// Closes a standard stream: programs have no such descriptor.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_wasi_config_close_stream(
    config: *mut lucet_wasi_config,
    stream: raw::lucet_wasi_stream,
) -> raw::lucet_status {
    set_stream(config, index(stream), &mut || Ok(Stdio::Closed))
}

/// Gives every instance these bytes as standard input; lucet_instance_wasi_set_input is for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_wasi_config_set_input(
    config: *mut lucet_wasi_config,
    bytes: *const c_void,
    len: usize,
) -> raw::lucet_status {
    set_stream(config, Ok(0), &mut || {
        // SAFETY: the header asks for `len` bytes.
        let bytes = unsafe { array(bytes.cast::<u8>(), len, "bytes") }?;
        Ok(Stdio::Bytes(bytes.into()))
    })
}

/// Keeps what goes to standard output or error, for lucet_instance_wasi_output.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_wasi_config_capture(
    config: *mut lucet_wasi_config,
    stream: raw::lucet_wasi_stream,
) -> raw::lucet_status {
    set_stream(config, output(stream), &mut || Ok(Stdio::Capture))
}

/// Lets a function be standard input. `user_data` must live as long as the lucet_wasi.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_wasi_config_set_reader(
    config: *mut lucet_wasi_config,
    r#fn: lucet_wasi_read_fn,
    user_data: *mut c_void,
) -> raw::lucet_status {
    set_stream(config, Ok(0), &mut || {
        let f = r#fn.ok_or_else(|| Error::new(Status::NullArgument, "`fn` is NULL"))?;
        Ok(Stdio::Reader(Callback::new(f, user_data)))
    })
}

/// Lets a function be standard output or error. `user_data` must live as long as the lucet_wasi.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_wasi_config_set_writer(
    config: *mut lucet_wasi_config,
    stream: raw::lucet_wasi_stream,
    r#fn: lucet_wasi_write_fn,
    user_data: *mut c_void,
) -> raw::lucet_status {
    set_stream(config, output(stream), &mut || {
        let f = r#fn.ok_or_else(|| Error::new(Status::NullArgument, "`fn` is NULL"))?;
        Ok(Stdio::Writer(Callback::new(f, user_data)))
    })
}

/// Sets a limit.
///
/// LUCET_STATUS_INVALID_ARGUMENT if there is none of this number, or it cannot be as large.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_wasi_config_set_limit(
    config: *mut lucet_wasi_config,
    limit: raw::lucet_wasi_limit,
    value: u64,
) -> raw::lucet_status {
    set(config, &mut |c| c.set_limit(limit, value))
}

/// Makes runs repeatable: random numbers follow from `seed` and are no secret, and time is the
/// instance's own: it begins in the year 2000, goes on with each look at it, and sleeping takes
/// none. lucet_wasi_config_set_clock and lucet_wasi_config_set_random replace their part of it.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_wasi_config_set_deterministic(
    config: *mut lucet_wasi_config,
    seed: u64,
) -> raw::lucet_status {
    set(config, &mut |c| {
        c.seed = Some(seed);
        Ok(())
    })
}

/// Lets a function be the clocks; `resolution` is the number of nanoseconds, at least 1, between
/// two times that it tells apart. `user_data` must live as long as the lucet_wasi.
///
/// LUCET_STATUS_INVALID_ARGUMENT if the resolution is 0.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_wasi_config_set_clock(
    config: *mut lucet_wasi_config,
    r#fn: lucet_wasi_clock_fn,
    resolution: u64,
    user_data: *mut c_void,
) -> raw::lucet_status {
    set(config, &mut |c| {
        let f = r#fn.ok_or_else(|| Error::new(Status::NullArgument, "`fn` is NULL"))?;
        if resolution == 0 {
            return Err(Error::new(Status::InvalidArgument, "a clock's resolution is not 0"));
        }
        c.clock = Some(Clock { f: Callback::new(f, user_data), resolution });
        Ok(())
    })
}

/// Lets a function be the source of random numbers. `user_data` must live as long as the
/// lucet_wasi.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_wasi_config_set_random(
    config: *mut lucet_wasi_config,
    r#fn: lucet_wasi_random_fn,
    user_data: *mut c_void,
) -> raw::lucet_status {
    set(config, &mut |c| {
        let f = r#fn.ok_or_else(|| Error::new(Status::NullArgument, "`fn` is NULL"))?;
        c.random = Some(Callback::new(f, user_data));
        Ok(())
    })
}

/// Whether calls that would block suspend the guest instead, for threads that serve others too: the
/// run ends with LUCET_OUTCOME_YIELDED and LUCET_WASI_WAITS, lucet_instance_wasi_wait says what to
/// wait for, and lucet_instance_resume (its value is ignored) looks again. Inside nested runs and
/// start functions such calls get the error that descriptors have which do not block. Files count
/// as ready, as for poll. Off by default.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_wasi_config_set_nonblocking(
    config: *mut lucet_wasi_config,
    nonblocking: bool,
) -> raw::lucet_status {
    set(config, &mut |c| {
        c.non_blocking = nonblocking;
        Ok(())
    })
}

/// Refuses the file system altogether: no function that takes a path does anything, and
/// lucet_wasi_create refuses directories and files. Off by default.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_wasi_config_set_no_files(
    config: *mut lucet_wasi_config,
    no_files: bool,
) -> raw::lucet_status {
    set(config, &mut |c| {
        c.no_files = no_files;
        Ok(())
    })
}

/// Makes what a configuration says, and opens its directories. `*out` is it, or NULL if the call
/// fails. Free it with lucet_wasi_free. Any thread.
///
/// LUCET_STATUS_IO if a directory cannot be opened; LUCET_STATUS_INVALID_ARGUMENT,
/// LUCET_STATUS_LIMIT_EXCEEDED, LUCET_STATUS_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_wasi_create(
    config: *const lucet_wasi_config,
    out: *mut *mut lucet_wasi,
) -> raw::lucet_status {
    border_of_maker(|| {
        // SAFETY: the header asks for a place for a handle.
        let out = unsafe { Out::new(out, "out", std::ptr::null_mut()) }?;
        let settings = CONFIGS.with(config, "config", |c| Ok(c.lock().clone()))?;
        out.set(TEMPLATES.insert(settings.build()?)?);
        Ok(())
    })
}

/// Gives the handle back. Configurations, modules and instances that use it keep it alive.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_wasi_free(wasi: *mut lucet_wasi) -> raw::lucet_status {
    border(|| TEMPLATES.remove(wasi, "wasi", |_| Ok(())))
}

/// Offers the functions of wasi_snapshot_preview1 (and those of wasi_unstable that are the same) to
/// modules that are loaded with this configuration; their instances begin with `wasi`, at no cost
/// before their first call. Functions that lucet_module_config_add_function adds under these names
/// come first. NULL: do not offer them, which is the default.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_module_config_set_wasi(
    config: *mut lucet_module_config,
    wasi: *const lucet_wasi,
) -> raw::lucet_status {
    border(|| {
        let wasi = if wasi.is_null() { None } else { Some(TEMPLATES.get(wasi, "wasi")?) };
        change(config, |c| {
            c.wasi = wasi;
            Ok(())
        })
    })
}

/// Gives one instance another lucet_wasi than its module's, with everything as new: for arguments
/// or directories of its own. It keeps it when it is reset. What its guest has opened is closed.
///
/// LUCET_STATUS_WRONG_STATE if its module was loaded without WASI, or it is suspended;
/// LUCET_STATUS_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_instance_set_wasi(
    instance: *mut lucet_instance,
    wasi: *const lucet_wasi,
) -> raw::lucet_status {
    border_of_maker(|| {
        let template = TEMPLATES.get(wasi, "wasi")?;
        handle::instance(instance, "instance")?.set_wasi(&template)
    })
}

/// Gives one instance standard input of its own: a copy of `len` bytes, from its first. Reset takes
/// it back. Without effect if its lucet_wasi has a descriptor or a function there.
///
/// As lucet_instance_set_wasi.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_instance_wasi_set_input(
    instance: *mut lucet_instance,
    bytes: *const c_void,
    len: usize,
) -> raw::lucet_status {
    border_of_maker(|| {
        let instance = handle::instance(instance, "instance")?;
        // SAFETY: the header asks for `len` bytes.
        let bytes = unsafe { array(bytes.cast::<u8>(), len, "bytes") }?;
        let mut copy = crate::sys::reserve::list_of(len)?;
        copy.extend_from_slice(bytes);
        instance.with_wasi(|context| context.set_stdin(copy))
    })
}

/// What an instance wrote to a captured stream since it was fresh. At most `cap` bytes from
/// `offset` on are written to `buf`; `*len` is how many there are in all. `buf` may be NULL if
/// `cap` is 0, and `len` may be NULL.
///
/// As lucet_instance_set_wasi, but a suspended one may be asked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_instance_wasi_output(
    instance: *mut lucet_instance,
    stream: raw::lucet_wasi_stream,
    offset: usize,
    buf: *mut c_void,
    cap: usize,
    len: *mut usize,
) -> raw::lucet_status {
    border(|| {
        let instance = handle::instance(instance, "instance")?;
        let which = output(stream)?;
        // SAFETY: the header asks for room for `cap` bytes.
        let buf = unsafe { array_mut(buf.cast::<u8>(), cap, "buf") }?;
        let all = instance.with_wasi(|context| {
            let (out, err) = context.output();
            let written = if which == 1 { out } else { err };
            let rest = written.get(offset..).unwrap_or_default();
            for (to, from) in buf.iter_mut().zip(rest) {
                *to = *from;
            }
            written.len()
        })?;
        if !len.is_null() {
            // SAFETY: not NULL, and the header asks for a place for the length.
            unsafe { len.write(all) };
        }
        Ok(())
    })
}

/// What a suspended instance waits for, after LUCET_WASI_WAITS: until any of the descriptors is
/// ready, or so many nanoseconds from the yield on are over (UINT64_MAX: no matter how many). With
/// neither, for a function that returned LUCET_WASI_NOT_NOW. At most `cap` descriptors are written;
/// `*len` is how many there are. `interests` may be NULL if `cap` is 0, `timeout` may be NULL.
///
/// LUCET_STATUS_WRONG_STATE if it does not wait in a call of WASI.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_instance_wasi_wait(
    instance: *mut lucet_instance,
    interests: *mut lucet_wasi_interest,
    cap: usize,
    len: *mut usize,
    timeout: *mut u64,
) -> raw::lucet_status {
    border_of_maker(|| {
        // SAFETY: the header asks for a place for the number.
        let len = unsafe { Out::new(len, "len", 0) }?;
        check_room(interests, cap, "interests")?;
        let wait = handle::instance(instance, "instance")?.wasi_wait()?;
        for (n, i) in wait.ready.iter().take(cap).enumerate() {
            let interest = lucet_wasi_interest { fd: i.fd, read: i.read, write: i.write };
            // SAFETY: the header asks for room for `cap` of them, and `n` is less.
            unsafe { interests.add(n).write(interest) };
        }
        if !timeout.is_null() {
            let time = wait.timeout.map(|t| u64::try_from(t.as_nanos()).unwrap_or(u64::MAX - 1));
            // SAFETY: not NULL, and the header asks for a place for a number.
            unsafe { timeout.write(time.unwrap_or(u64::MAX)) };
        }
        len.set(wait.ready.len());
        Ok(())
    })
}

/// The exit code of a program whose _start was run: 0 if it returned, what it gave to exit() if it
/// did that, -1 if it ended otherwise or has not ended. `outcome` may be NULL: -1.
///
///     if (lucet_instance_run(instance, "_start", NULL, 0, NULL, 0, &outcome) == LUCET_STATUS_OK)
///         code = lucet_wasi_exit_code(&outcome);
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_wasi_exit_code(outcome: *const lucet_outcome) -> i64 {
    // SAFETY: the header asks for an outcome, or NULL.
    match unsafe { outcome.as_ref() } {
        Some(o) if o.kind == OutcomeKind::Returned as i32 => 0,
        Some(o) if o.kind == OutcomeKind::Exited as i32 => i64::try_from(o.value).unwrap_or(-1),
        _ => -1,
    }
}
