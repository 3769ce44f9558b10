//! Keys and hashes of a module configuration: what makes an artifact trusted.

use super::module::{change_by, lucet_module_config};
use super::raw;
use std::ffi::c_char;

/// Trusts artifacts that this key signed: `public_key` is its line ("RW...", 56 characters) or the
/// contents of its .pub file, as lucetc keygen and minisign write them. The text is copied. 64 keys
/// at most; to replace one, give the old and the new for a while.
///
/// Trusted is what one of the keys signed, what lucet_module_config_add_hash pinned, and everything
/// after lucet_module_config_allow_unsigned. Anything else is LUCET_STATUS_UNTRUSTED_ARTIFACT when
/// it is loaded, before more than its hash was looked at; lucet_last_error names the keys. So is,
/// even if pinned or allowed, what names one of the keys as its signer and was not signed by it.
///
/// LUCET_STATUS_INVALID_ARGUMENT if it is no key, or one with which anybody could sign;
/// LUCET_STATUS_LIMIT_EXCEEDED, LUCET_STATUS_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_module_config_add_key(
    config: *mut lucet_module_config,
    public_key: *const c_char,
) -> raw::lucet_status {
    // SAFETY: the header asks for a NUL-terminated text.
    unsafe { change_by(config, public_key, "public_key", |c, key| c.trust.add_key(key)) }
}

/// Loads the one artifact with this hash, whoever signed it or did not: 128 hexadecimal digits, as
/// lucetc verify prints them. A snapshot has its own hash, not its parent's. 4096 at most.
///
/// LUCET_STATUS_INVALID_ARGUMENT, LUCET_STATUS_LIMIT_EXCEEDED, LUCET_STATUS_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_module_config_add_hash(
    config: *mut lucet_module_config,
    hash: *const c_char,
) -> raw::lucet_status {
    // SAFETY: the header asks for a NUL-terminated text.
    unsafe { change_by(config, hash, "hash", |c, hash| c.trust.add_hash(hash)) }
}
