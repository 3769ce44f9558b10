//! Signing artifacts: in the trailer, in minisign's format, over everything before the hash.
//!
//! ```text
//!  ┌──────────────── signed: the first `body length + 128` bytes ──────────────┐
//!  │ ELF file                                  │ trailer, offsets 0 to 128     │ hash │ signature
//!  └───────────────────────────────────────────┴───────────────────────────────┘
//! ```
//!
//! So a signature can be put in, replaced or taken out without changing what it is of, and the tool
//! `minisign` makes and checks the same signatures over a file with those bytes.

mod secret;

pub use secret::{KeyFile, MAX_PASSWORD_BYTES, SecretKey};

use crate::error::{Class, Diagnostic};
use lucet_artifact::minisign::Signature;
use lucet_artifact::trailer::{TRAILER_BYTES, Trailer};

/// The trailer of an artifact that is whole. `name` is for messages.
///
/// # Errors
/// If it is no artifact or was damaged.
pub fn trailer(artifact: &[u8], name: &str) -> Result<Trailer, Diagnostic> {
    let bad = |m: String, help| Diagnostic::new(Class::Malformed, m).help(help);
    if !artifact.starts_with(b"\x7fELF") {
        let help = "give the .so file that lucetc wrote";
        return Err(bad(format!("{name} is no artifact"), help));
    }
    let trailer = Trailer::decode(artifact).map_err(|e| {
        let help = "give the .so file that lucetc wrote, whole and without changes";
        bad(format!("{name} is no artifact: {e}"), help)
    })?;
    match trailer.hash_matches(artifact) {
        true => Ok(trailer),
        false => {
            let m = format!("{name}: the hash does not match: it was damaged or changed");
            Err(bad(m, "get it again, or compile it again"))
        }
    }
}

/// Puts a signature into an artifact with this trailer, in place of the one that is there.
///
/// # Errors
/// If it does not fit, which is a bug.
pub fn put(
    artifact: &mut Vec<u8>,
    mut trailer: Trailer,
    signature: Signature,
) -> Result<(), Diagnostic> {
    trailer.signature = Some(signature);
    let bytes = trailer.encode();
    let bytes = bytes.map_err(|e| Diagnostic::new(Class::Internal, e.to_string()))?;
    artifact.truncate(artifact.len().saturating_sub(TRAILER_BYTES));
    artifact.extend_from_slice(&bytes);
    Ok(())
}

/// Signs an artifact, whoever signed it before. `name` is for messages.
///
/// # Errors
/// If it is no artifact, or the comment does not fit.
pub fn sign(
    artifact: &mut Vec<u8>,
    key: &SecretKey,
    comment: &str,
    name: &str,
) -> Result<(), Diagnostic> {
    let trailer = trailer(artifact, name)?;
    let signature = key.sign(&trailer.hash, comment).map_err(|e| {
        Diagnostic::new(Class::Usage, e.to_string()).help("--comment TEXT sets another one")
    })?;
    put(artifact, trailer, signature)
}
