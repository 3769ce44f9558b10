//! Contracts in C: what a configuration demands of them, and what a module's says.

use super::args::{array_mut, put_text, text};
use super::error::border;
use super::module::{MODULES, change, change_by, lucet_module, lucet_module_config, set};
use super::raw;
use crate::error::{Error, Status, brief};
use std::ffi::c_char;

/// Most bytes of linear memory that an instance may have or grow to, in all its memories together;
/// what contract and region allow unless set. A module that begins with more is refused
/// (LUCET_STATUS_CONTRACT_REFUSED); the growth of others ends here, whatever maximum they declare.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_module_config_set_max_memory(
    config: *mut lucet_module_config,
    bytes: u64,
) -> raw::lucet_status {
    set(config, |c| c.terms.max_memory = Some(bytes))
}

/// The same for the elements of each table.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_module_config_set_max_table_elements(
    config: *mut lucet_module_config,
    elements: u32,
) -> raw::lucet_status {
    set(config, |c| c.terms.max_table_elements = Some(elements))
}

/// Refuses modules without this label, or with another value of it; NULL as `value` means any.
/// Labels come from the policy file that a module was compiled under. Once for each name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_module_config_require_label(
    config: *mut lucet_module_config,
    name: *const c_char,
    value: *const c_char,
) -> raw::lucet_status {
    border(|| {
        change(config, |_| Ok(()))?;
        // SAFETY: the header asks for a NUL-terminated text.
        let name = unsafe { text(name, "name") }?;
        let value = match value.is_null() {
            true => None,
            // SAFETY: the header asks for a NUL-terminated text.
            false => Some(unsafe { text(value, "value") }?),
        };
        change(config, |c| c.terms.require_label(name, value))
    })
}

/// Refuses modules of older compilers, on the day of a compiler's bug. `version` is a semantic one:
/// "1.2.3".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_module_config_set_min_compiler(
    config: *mut lucet_module_config,
    version: *const c_char,
) -> raw::lucet_status {
    // SAFETY: the header asks for a NUL-terminated text.
    unsafe { change_by(config, version, "version", |c, version| c.terms.set_min_compiler(version)) }
}

/// Refuses modules that use a feature of the language: "simd", "exceptions", "memory64" and so on
/// (LUCET_STATUS_INVALID_ARGUMENT lists them), or "all" beyond WebAssembly 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_module_config_deny_feature(
    config: *mut lucet_module_config,
    name: *const c_char,
) -> raw::lucet_status {
    // SAFETY: the header asks for a NUL-terminated text.
    unsafe { change_by(config, name, "name", |c, name| c.terms.deny_feature(name)) }
}

/// Takes that back for one feature, or "all".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_module_config_allow_feature(
    config: *mut lucet_module_config,
    name: *const c_char,
) -> raw::lucet_status {
    // SAFETY: the header asks for a NUL-terminated text.
    unsafe { change_by(config, name, "name", |c, name| c.terms.allow_feature(name)) }
}

/// The value of a label in a module's contract, for logs: who made it, which version it is. `buf`,
/// `cap` and `len` as for lucet_instance_function_name; it may be anything, so escape it.
///
/// LUCET_STATUS_INVALID_ARGUMENT if there is no such label.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_module_label(
    module: *mut lucet_module,
    name: *const c_char,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> raw::lucet_status {
    border(|| {
        let module = MODULES.get(module, "module")?;
        // SAFETY: the header asks for a NUL-terminated text.
        let name = unsafe { text(name, "name") }?;
        // SAFETY: the header asks for room for `cap` bytes.
        let buf = unsafe { array_mut(buf.cast::<u8>(), cap, "buf") }?;
        let found = module.contract().labels.iter().find(|(n, _)| n == name);
        let Some((_, value)) = found else {
            let message = format!("the module has no label \"{}\"", brief(name));
            return Err(Error::new(Status::InvalidArgument, message));
        };
        // SAFETY: the header asks for a place for the length, or NULL.
        unsafe { put_text(buf, value.as_bytes(), len) };
        Ok(())
    })
}
