//! Snapshots in C.

use super::args::{self, Out, text};
use super::error::{border, border_of_maker, border_of_maker_or_null, border_or};
use super::handle::{self, Kind, Table};
use super::instance::lucet_instance;
use super::module::{self, MODULES, lucet_module};
use super::raw;
use super::region::{config_or_default, lucet_region_config};
use crate::error::{Error, Status};
use crate::snapshot::{ChildOptions, SnapshotOptions};
use crate::sys::lock::Mutex;
use std::ffi::c_char;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

static CONFIGS: Table<Mutex<ChildOptions>> = Table::new(Kind::SnapshotConfig);

/// How to take snapshots. Any thread may use it.
pub struct lucet_snapshot_config;

/// A configuration with the defaults: lucet_reseed as reseed function, if there is one, and frozen
/// randomness refused. Free it with lucet_snapshot_config_free. NULL if there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_snapshot_config_create() -> *mut lucet_snapshot_config {
    border_of_maker_or_null(|| CONFIGS.insert(Arc::default()))
}

/// Frees a configuration. NULL is allowed; a wrong handle does nothing but set lucet_last_error.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_snapshot_config_free(config: *mut lucet_snapshot_config) {
    border_or((), || {
        if config.is_null() { Ok(()) } else { CONFIGS.remove(config, "config", |_| Ok(())) }
    });
}

fn set(
    config: *mut lucet_snapshot_config,
    change: impl FnOnce(&mut ChildOptions) -> crate::Result<()>,
) -> i32 {
    border(|| CONFIGS.with(config, "config", |c| change(&mut c.lock())))
}

/// Names the export that every instance of the snapshot calls before it is handed out, to get
/// random numbers of its own: of type () -> (), or (i64) -> () and given 64 random bits (which
/// costs a system call). NULL: lucet_reseed, if the module has it. The text is copied.
///
/// LUCET_STATUS_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_snapshot_config_set_reseed(
    config: *mut lucet_snapshot_config,
    name: *const c_char,
) -> raw::lucet_status {
    set(config, |c| {
        c.snapshot.reseed = match name.is_null() {
            true => None,
            // SAFETY: the header asks for a NUL-terminated text.
            false => Some(unsafe { text(name, "name") }?.to_owned()),
        };
        Ok(())
    })
}

/// Whether snapshots are taken although the instance called impure functions (see
/// lucet_module_config_mark_impure) and nothing reseeds: every instance then has the same random
/// numbers and the same time. Off by default.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_snapshot_config_allow_frozen_randomness(
    config: *mut lucet_snapshot_config,
    allow: bool,
) -> raw::lucet_status {
    set(config, |c| {
        c.snapshot.allow_frozen_randomness = allow;
        Ok(())
    })
}

/// For lucet_snapshot_in_child: an export of type () -> () that is called after the start function,
/// such as "_initialize". NULL: none. The text is copied.
///
/// LUCET_STATUS_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_snapshot_config_set_function(
    config: *mut lucet_snapshot_config,
    name: *const c_char,
) -> raw::lucet_status {
    set(config, |c| {
        c.run = match name.is_null() {
            true => None,
            // SAFETY: the header asks for a NUL-terminated text.
            false => Some(unsafe { text(name, "name") }?.to_owned()),
        };
        Ok(())
    })
}

/// For lucet_snapshot_in_child: the child is killed after so many nanoseconds; 10 seconds by
/// default.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_snapshot_config_set_time_limit(
    config: *mut lucet_snapshot_config,
    nanoseconds: u64,
) -> raw::lucet_status {
    set(config, |c| {
        c.time_limit = Duration::from_nanos(nanoseconds);
        Ok(())
    })
}

/// Makes a module of an instance that ran its start-up: its instances begin where this one is, with
/// its memory, globals and tables, and cost what those of any module cost. Start functions do not
/// run again. The snapshot has the code, imports and exports of the instance's module, and shares
/// its memory for code; a lucet_func of one works for the other. The instance stays as it is.
///
/// `config` may be NULL for the defaults. `*out` is the module, or NULL if the call fails. Free it
/// with lucet_module_free. Any thread.
///
/// LUCET_STATUS_BUSY while the instance runs, LUCET_STATUS_WRONG_STATE if it is suspended or
/// faulted; LUCET_STATUS_IMPURE if it called impure functions and nothing reseeds, the message
/// names them; LUCET_STATUS_UNSUPPORTED if a table or global of it holds an externref;
/// LUCET_STATUS_NO_SUCH_EXPORT, LUCET_STATUS_EXPORT_TYPE_MISMATCH for the reseed function;
/// LUCET_STATUS_LIMIT_EXCEEDED, LUCET_STATUS_OUT_OF_MEMORY, LUCET_STATUS_IO.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_instance_snapshot(
    instance: *mut lucet_instance,
    config: *const lucet_snapshot_config,
    out: *mut *mut lucet_module,
) -> raw::lucet_status {
    border_of_maker(|| {
        // SAFETY: the header asks for a place for a handle.
        let out = unsafe { Out::new(out, "out", std::ptr::null_mut()) }?;
        let instance = handle::instance(instance, "instance")?;
        let options = match config.is_null() {
            true => SnapshotOptions::default(),
            false => CONFIGS.with(config, "config", |c| Ok(c.lock().snapshot.clone()))?,
        };
        out.set(module::insert(instance.snapshot(&options)?)?);
        Ok(())
    })
}

/// Creates an instance of `module` in a child process, runs its start-up there, and makes a module
/// of it here: start-up code may loop, crash or eat memory without harm to this process. Only the
/// state comes back, checked like a file; the code is the module's. Blocks until the child is done
/// or its time is up.
///
/// The child is a fork: it has this process's user, limits and descriptors, the default action for
/// signals, and may leave no core file. If this process has one thread, the child raises no SIGCHLD
/// and waitpid(-1) does not find it; handlers of pthread_atfork are not called. Otherwise it is a
/// child like any, and host functions that start-up calls must not wait for locks that other
/// threads of yours may hold. `region` says how large the child's slot is. NULL for either
/// configuration means its defaults. `*out` as in lucet_instance_snapshot.
///
/// LUCET_STATUS_START_FAILED if start-up ended in any way but returning, took too long, or ended
/// the child; otherwise as lucet_instance_create, lucet_instance_run and lucet_instance_snapshot.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_snapshot_in_child(
    module: *mut lucet_module,
    region: *const lucet_region_config,
    config: *const lucet_snapshot_config,
    out: *mut *mut lucet_module,
) -> raw::lucet_status {
    border_of_maker(|| {
        // SAFETY: the header asks for a place for a handle.
        let out = unsafe { Out::new(out, "out", std::ptr::null_mut()) }?;
        let parent = MODULES.get(module, "module")?;
        let mut options = match config.is_null() {
            true => ChildOptions::default(),
            false => CONFIGS.with(config, "config", |c| Ok(c.lock().clone()))?,
        };
        options.region = config_or_default(region)?;
        out.set(module::insert(parent.snapshot_in_child(&options)?)?);
        Ok(())
    })
}

/// Writes a module to a file that lucet_module_load_file loads: a snapshot as an artifact that is
/// not signed and names its parent's hash, any other module as it was loaded. The file appears when
/// it is complete and on the disk, and replaces one of that name; if the call fails nothing is left
/// behind. Its mode is 0600, for it holds what the guest's memory held. Any thread.
///
/// LUCET_STATUS_IO, LUCET_STATUS_OUT_OF_MEMORY, LUCET_STATUS_LIMIT_EXCEEDED if it is larger than an
/// artifact may be, LUCET_STATUS_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_module_save(
    module: *mut lucet_module,
    path: *const c_char,
) -> raw::lucet_status {
    border_of_maker(|| {
        let module = MODULES.get(module, "module")?;
        // SAFETY: the header asks for a NUL-terminated text.
        module.save(unsafe { args::path(path, "path") }?)
    })
}

/// Writes the same to an open descriptor, at its position. If the call fails, part of it may be
/// there. The descriptor stays open.
///
/// As lucet_module_save; LUCET_STATUS_INVALID_ARGUMENT if `fd` is negative.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn lucet_module_save_fd(module: *mut lucet_module, fd: i32) -> raw::lucet_status {
    border_of_maker(|| {
        let module = MODULES.get(module, "module")?;
        if fd < 0 {
            return Err(Error::new(Status::InvalidArgument, format!("`fd` is {fd}")));
        }
        // SAFETY: only passed to system calls, which refuse a number that is no open file.
        module.save_to(unsafe { BorrowedFd::borrow_raw(fd) })
    })
}
