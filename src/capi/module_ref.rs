//! References to modules in C: what requests are served by can be replaced meanwhile.

use super::args::{Out, array_mut, path, text};
use super::error::{border, border_of_maker};
use super::handle::{Kind, Marks, Table, no_marks, of_instance};
use super::instance::lucet_instance;
use super::module::{
    MODULES, config_or_default, insert, lucet_func, lucet_module, lucet_module_config,
};
use super::raw;
use super::region::{REGIONS, lucet_region};
use crate::import::parse_signature;
use crate::module_ref::ModuleRef;
use std::ffi::c_char;
use std::sync::Arc;

static REFS: Table<ModuleRef> = Table::numbered(Kind::ModuleRef, &MARKS);
static MARKS: Marks = no_marks();

/// A reference to a module that can be replaced while requests run: each instance is of the version
/// that was published last, and keeps it until it is freed. Any thread may use it, several at the
/// same time. It survives a fork as modules do; each process then publishes for itself.
///
///     lucet_module_ref_create(&ref);
///     lucet_module_ref_require(ref, "alloc", "(i32) -> i32");             // funcs[0]
///     lucet_module_ref_require(ref, "on_request", "(i32, i32) -> i64");   // funcs[1]
///     lucet_module_ref_load_file(ref, "plugin.so", config);      // again whenever it changed
///
///     lucet_module_ref_instantiate(ref, region, funcs, 2, &version, &instance);  // each request
///     lucet_instance_run_func(instance, funcs[1], ...);
///
/// A version that was replaced goes when its last instance is freed; no thread has to do anything
/// for that. To try a version before requests meet it, load it, create an instance, see what it
/// answers, and publish it then.
pub struct lucet_module_ref;

/// Creates a reference to nothing. `*out` is NULL if the call fails. Free it with
/// lucet_module_ref_free.
///
/// LUCET_STATUS_LIMIT_EXCEEDED if there are 65,536.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_module_ref_create(
    out: *mut *mut lucet_module_ref,
) -> raw::lucet_status {
    border_of_maker(|| {
        // SAFETY: the header asks for a place for a handle.
        let out = unsafe { Out::new(out, "out", std::ptr::null_mut()) }?;
        let made = ModuleRef::new()?;
        let id = made.id();
        out.set(REFS.insert_numbered(Arc::new(made), id)?);
        Ok(())
    })
}

/// Requires every version to export the function `name`, of the type `signature` (NULL: of any), as
/// in lucet_module_find. lucet_module_ref_instantiate gives the functions in the order of these
/// calls. At most 64.
///
/// LUCET_STATUS_WRONG_STATE once something was published, LUCET_STATUS_INVALID_ARGUMENT for a
/// signature that makes no sense or a name that is required already, LUCET_STATUS_LIMIT_EXCEEDED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_module_ref_require(
    r#ref: *mut lucet_module_ref,
    name: *const c_char,
    signature: *const c_char,
) -> raw::lucet_status {
    border_of_maker(|| {
        let to = REFS.get(r#ref, "ref")?;
        // SAFETY: the header asks for a NUL-terminated text.
        let name = unsafe { text(name, "name") }?;
        let ty = match signature.is_null() {
            true => None,
            // SAFETY: the header asks for a NUL-terminated text.
            false => Some(parse_signature(unsafe { text(signature, "signature") }?)?),
        };
        to.require(name, ty.as_ref()).map(drop)
    })
}

/// Makes `module` what instances are created of from now on, on all threads; NULL: withdraws what
/// was published. The caller keeps its handle, and may free it. If the call fails, what was
/// published stays.
///
/// LUCET_STATUS_NO_SUCH_EXPORT or LUCET_STATUS_EXPORT_TYPE_MISMATCH for a module that lacks what is
/// required, LUCET_STATUS_MISSING_IMPORT for one that can only be a member of a group.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn lucet_module_ref_publish(
    r#ref: *mut lucet_module_ref,
    module: *mut lucet_module,
) -> raw::lucet_status {
    border_of_maker(|| {
        let to = REFS.get(r#ref, "ref")?;
        let module = if module.is_null() { None } else { Some(MODULES.get(module, "module")?) };
        to.publish(module).map(drop)
    })
}

/// Loads an artifact and publishes it: lucet_module_load_file and lucet_module_ref_publish. If
/// either fails, what was published stays, and lucet_last_error says why.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_module_ref_load_file(
    r#ref: *mut lucet_module_ref,
    path: *const c_char,
    config: *const lucet_module_config,
) -> raw::lucet_status {
    border_of_maker(|| {
        let to = REFS.get(r#ref, "ref")?;
        // SAFETY: the header asks for a NUL-terminated text.
        let path = unsafe { self::path(path, "path") }?;
        to.load_file(path, &config_or_default(config)?).map(drop)
    })
}

/// Creates a fresh instance of the version that was published last, as lucet_instance_create does;
/// threads share nothing by that. `funcs` has room for exactly the `nfuncs` functions that are
/// required (NULL if there are none), and gets those of the instance. `version`, which may be NULL,
/// is how often something had been published: for one thread it never goes back. The first
/// instances of a new version take as long as the first of any module.
///
/// LUCET_STATUS_WRONG_STATE if nothing is published, LUCET_STATUS_INVALID_ARGUMENT for another
/// `nfuncs`; otherwise as lucet_instance_create.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_module_ref_instantiate(
    r#ref: *mut lucet_module_ref,
    region: *mut lucet_region,
    funcs: *mut lucet_func,
    nfuncs: usize,
    version: *mut u64,
    out: *mut *mut lucet_instance,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for a place for a handle.
        let out = unsafe { Out::new(out, "out", std::ptr::null_mut()) }?;
        let version = match version.is_null() {
            true => None,
            // SAFETY: the header asks for a place for a number, or NULL.
            false => Some(unsafe { Out::new(version, "version", 0) }?),
        };
        // SAFETY: the header asks for room for `nfuncs` functions.
        let funcs = unsafe { array_mut(funcs, nfuncs, "funcs") }?;
        let put = |n: usize, f| {
            if let Some(to) = funcs.get_mut(n) {
                *to = lucet_func::new(f);
            }
        };
        let (made, of) = match REFS.number(r#ref).zip(REGIONS.number(region)) {
            Some((id, home)) => match ModuleRef::again(id, home, nfuncs, put) {
                Some(made) => made?,
                None => anew(r#ref, region, funcs)?,
            },
            None => anew(r#ref, region, funcs)?,
        };
        if let Some(version) = version {
            version.set(of);
        }
        out.set(of_instance(made.into_ref()));
        Ok(())
    })
}

/// The same by handles.
#[cold]
fn anew(
    from: *mut lucet_module_ref,
    region: *mut lucet_region,
    funcs: &mut [lucet_func],
) -> crate::Result<(crate::Instance, u64)> {
    let from = REFS.get(from, "ref")?;
    let region = REGIONS.get(region, "region")?;
    from.instantiate_with(&region, funcs.len(), |n, f| {
        if let Some(to) = funcs.get_mut(n) {
            *to = lucet_func::new(f);
        }
    })
}

/// What is published: a handle to the module, to be freed by the caller, or NULL; and how often
/// something was. Either may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_module_ref_current(
    r#ref: *mut lucet_module_ref,
    module: *mut *mut lucet_module,
    version: *mut u64,
) -> raw::lucet_status {
    border_of_maker(|| {
        if !version.is_null() {
            // SAFETY: the header asks for a place for a number, or NULL.
            unsafe { Out::new(version, "version", 0) }?;
        }
        if !module.is_null() {
            // SAFETY: the header asks for a place for a handle, or NULL.
            unsafe { Out::new(module, "module", std::ptr::null_mut()) }?;
        }
        let (current, times) = REFS.get(r#ref, "ref")?.current();
        if !module.is_null() {
            let handle = current.map_or(Ok(std::ptr::null_mut()), insert)?;
            // SAFETY: as above.
            unsafe { Out::new(module, "module", handle) }?;
        }
        if !version.is_null() {
            // SAFETY: as above.
            unsafe { Out::new(version, "version", times) }?;
        }
        Ok(())
    })
}

/// Gives the reference back, and what is published with it. Instances live on.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_module_ref_free(r#ref: *mut lucet_module_ref) -> raw::lucet_status {
    border(|| REFS.remove(r#ref, "ref", |_| Ok(())))
}
