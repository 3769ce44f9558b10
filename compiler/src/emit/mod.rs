//! The last stage: writes a [`Compiled`] module as an artifact, without a linker.
//!
//! ```text
//!  Compiled ──┬─ sections ─ every `.lucet.*` section as bytes
//!             ├─ unwind ─── `.eh_frame`, `.eh_frame_hdr`
//!             └─ names ──── what debuggers and profilers may be shown
//!                   │
//!                   └─ elf ──► emit():        ET_DYN + trailer, what liblucet loads
//!                                  │
//!                                  └─ object ─► emit_object(): the same inside ET_REL, to be
//!                                               linked into a program
//! ```
//!
//! The layout is drawn in [`lucet_artifact::container`]. The bytes depend on the input alone: no
//! time, no path, no hash map order. Nothing here trusts the earlier stages with memory safety of
//! the *host*: what does not fit together is reported as an internal error, not written.

mod elf;
mod names;
mod object;
mod sections;
mod unwind;

use crate::error::{Class, Diagnostic, Errors};
use crate::model::Compiled;
use lucet_artifact::codec::EncodeError;
use lucet_artifact::container::FUNCTION_ALIGN;
use lucet_artifact::limits;
use lucet_artifact::types::NO_CODE;

pub use names::sanitize;

/// Writes the artifact: an ELF shared object that only liblucet's own loader accepts, with the
/// trailer (hash, no signature) at its end.
///
/// # Errors
///
/// [`Class::Limit`] if the module exceeds a limit of the format, [`Class::Internal`] if the stages
/// before contradict each other.
pub fn emit(compiled: &Compiled) -> Result<Vec<u8>, Errors> {
    check(compiled)?;
    elf::write(compiled)
}

/// Writes an object for linkers that holds an artifact, which a program then finds by `symbol`: see
/// [`lucet_artifact::linked`].
///
/// # Errors
///
/// [`Class::Internal`] if it cannot be written.
pub fn emit_object(artifact: &[u8], symbol: &str) -> Result<Vec<u8>, Errors> {
    object::write(artifact, symbol)
}

/// A limit of the format is exceeded.
fn limit(e: EncodeError) -> Errors {
    Diagnostic::new(Class::Limit, e.to_string()).into()
}

/// The stages do not fit together.
fn internal(message: impl Into<String>) -> Errors {
    Diagnostic::new(Class::Internal, message)
        .help("this is a bug in lucetc: please report it with the module")
        .into()
}

/// Refuses a module whose parts contradict each other before a byte is written.
fn check(c: &Compiled) -> Result<(), Errors> {
    for (what, found, max) in [
        ("size of .text", c.text.len() as u64, limits::MAX_TEXT_BYTES),
        ("size of the memory image", c.image.len() as u64, limits::MAX_IMAGE_BYTES),
        ("size of the data segments", c.data.len() as u64, limits::MAX_ARTIFACT_BYTES),
    ] {
        if found > max {
            return Err(limit(EncodeError { what, found, max }));
        }
    }
    if c.funcs.len() != c.contract.functions as usize {
        let (have, want) = (c.funcs.len(), c.contract.functions);
        return Err(internal(format!("{have} functions compiled, the contract has {want}")));
    }
    if !(c.image.len() as u64).is_multiple_of(limits::NATIVE_PAGE) {
        return Err(internal("the memory image is not a whole number of pages"));
    }
    for (i, f) in c.funcs.iter().enumerate() {
        let (at, size) = (f.record.offset, f.record.size);
        let without = at == NO_CODE && size == 0;
        if !without && (size == 0 || at % FUNCTION_ALIGN != 0 || !inside(c, at, size)) {
            return Err(internal(format!("function {i} has no proper place in .text")));
        }
    }
    if let Some(g) = c.glue.iter().find(|g| !inside(c, g.offset, g.size)) {
        return Err(internal(format!("{} lies outside .text", g.name)));
    }
    if c.unwind.iter().any(|(at, _)| !inside(c, *at, 0)) {
        return Err(internal("unwind information for a place outside .text"));
    }
    Ok(())
}

/// Whether `size` bytes at `offset` lie inside `.text`.
fn inside(c: &Compiled, offset: u32, size: u32) -> bool {
    u64::from(offset) + u64::from(size) <= c.text.len() as u64
}
