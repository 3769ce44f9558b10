//! Groups in C: instances that import from one another.

use super::args::{Out, text};
use super::error::{border, border_of_maker};
use super::handle::{Kind, Table, of_instance};
use super::instance::lucet_instance;
use super::module::{MODULES, lucet_module};
use super::raw;
use super::region::{REGIONS, lucet_region};
use crate::error::{Error, Result, Status};
use crate::group::Group;
use crate::sys::lock::Mutex;
use std::ffi::c_char;
use std::sync::Arc;

/// `None` while it is being freed.
static GROUPS: Table<Mutex<Option<Group>>> = Table::new(Kind::Group);

/// Instances that import functions, memories, tables, globals and exception tags of one another:
/// one plugin made of several modules. Whichever member runs, the group is for one thread at a
/// time; the others get LUCET_STATUS_BUSY.
pub struct lucet_group;

/// Works on a group that nobody works on: a start function may come back here.
fn with<R>(group: *mut lucet_group, f: impl FnOnce(&mut Option<Group>) -> Result<R>) -> Result<R> {
    let owned = GROUPS.get(group, "group")?;
    let Some(mut held) = owned.try_lock() else {
        return Err(Error::new(Status::Busy, "another call is working on `group`"));
    };
    f(&mut held)
}

fn member<R>(group: *mut lucet_group, f: impl FnOnce(&mut Group) -> Result<R>) -> Result<R> {
    with(group, |g| match g {
        Some(g) => f(g),
        None => Err(Error::new(Status::InvalidHandle, "`group` is a lucet_group that was freed")),
    })
}

/// Creates a group without members. Its instances will be in slots of `region`, one each. `*out` is
/// the group, or NULL if the call fails. Free it with lucet_group_free. Any thread.
///
///     lucet_module_config_set_linkable(config, true);     // and load both modules with it
///     lucet_group_create(region, &group);
///     lucet_group_instantiate(group, "codec", codec, NULL);
///     lucet_group_instantiate(group, NULL, plugin, &instance);   // imports codec.decode
///     lucet_instance_run(instance, "on_request", ...);
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_group_create(
    region: *mut lucet_region,
    out: *mut *mut lucet_group,
) -> raw::lucet_status {
    border_of_maker(|| {
        // SAFETY: the header asks for a place for a handle.
        let out = unsafe { Out::new(out, "out", std::ptr::null_mut()) }?;
        let region = REGIONS.get(region, "region")?;
        out.set(GROUPS.insert(Arc::new(Mutex::new(Some(Group::new(&region)))))?);
        Ok(())
    })
}

/// Creates an instance of `module` as a member. What it imports comes from the member whose name is
/// the import's module name, else from the host functions that `module` was loaded with. `name` is
/// what later members import it by; a later member of the same name hides it; NULL: by none.
///
/// `*out` is the instance, to run as any other; `out` may be NULL. It lives as long as the group,
/// and can be neither freed nor reset alone. If the call fails, the group is as it was, but what
/// segments or the start function have written to others stays written.
///
/// LUCET_STATUS_MISSING_IMPORT, LUCET_STATUS_IMPORT_TYPE_MISMATCH, LUCET_STATUS_BUSY while a member
/// runs; otherwise as lucet_instance_create.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_group_instantiate(
    group: *mut lucet_group,
    name: *const c_char,
    module: *mut lucet_module,
    out: *mut *mut lucet_instance,
) -> raw::lucet_status {
    border_of_maker(|| {
        let out = match out.is_null() {
            true => None,
            // SAFETY: the header asks for a place for a handle, or NULL.
            false => Some(unsafe { Out::new(out, "out", std::ptr::null_mut()) }?),
        };
        let name = match name.is_null() {
            true => None,
            // SAFETY: the header asks for a NUL-terminated text.
            false => Some(unsafe { text(name, "name") }?),
        };
        let module = MODULES.get(module, "module")?;
        member(group, |g| {
            let handle = of_instance(**g.instantiate(name, &module)?);
            if let Some(out) = out {
                out.set(handle);
            }
            Ok(())
        })
    })
}

/// Lets later members import the member `name` by `alias` too.
///
/// LUCET_STATUS_INVALID_ARGUMENT if there is no such member.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_group_alias(
    group: *mut lucet_group,
    name: *const c_char,
    alias: *const c_char,
) -> raw::lucet_status {
    border_of_maker(|| {
        // SAFETY: the header asks for NUL-terminated texts.
        let (name, alias) = unsafe { (text(name, "name")?, text(alias, "alias")?) };
        member(group, |g| g.alias(name, alias))
    })
}

/// Frees a group and all of its members. Any thread, but not a host function that one of them
/// called.
///
/// LUCET_STATUS_BUSY while a member runs.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_group_free(group: *mut lucet_group) -> raw::lucet_status {
    border(|| {
        with(group, |g| {
            if let Some(group) = g {
                group.free()?;
            }
            *g = None;
            Ok(())
        })?;
        GROUPS.remove(group, "group", |_| Ok(()))
    })
}
