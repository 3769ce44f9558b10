//! An artifact that is a part of a program: what `lucetc --emit obj` writes into a section of the
//! program, and what the library is given a pointer to.
//!
//! ```text
//!  page boundary   ┌────────────────────────┐
//!                  │ the artifact, `len`    │   byte for byte as in a file, trailer included
//!                  ├────────────────────────┤
//!                  │ 0, up to a multiple    │
//!                  │ of 8                   │
//!  the symbol ───► ├────────────────────────┤
//!                  │ magic "LUCETOBJ"     8 │
//!                  │ version      u32     1 │
//!                  │ reserved     u32     0 │
//!                  │ len          u64       │
//!                  │ reserved     u64     0 │
//!                  └────────────────────────┘
//! ```
//!
//! The label stands behind the artifact so that nothing has to be relocated: all of it is read-only
//! data, in position-independent programs too. It begins a page, so that a later library may use
//! its pages where they are.

use crate::codec::{DecodeError, Reader, Writer};
use crate::limits::MAX_ARTIFACT_BYTES;

/// Section of the object.
pub const SECTION: &str = ".lucet.artifact";
/// Alignment of the section.
pub const SECTION_ALIGN: u64 = 4096;
/// What names of symbols begin with unless somebody chose another.
pub const SYMBOL_PREFIX: &str = "lucet_artifact_";
/// Size of the label in bytes.
pub const LABEL_BYTES: usize = 32;
/// First bytes of the label.
pub const MAGIC: &[u8; 8] = b"LUCETOBJ";
/// Version of the label.
pub const VERSION: u32 = 1;

/// Bytes from the beginning of an artifact of this length to its label.
#[must_use]
pub fn distance(len: usize) -> usize {
    len.next_multiple_of(8)
}

/// The contents of the section, and where in it the label begins.
#[must_use]
pub fn section(artifact: &[u8]) -> (Vec<u8>, usize) {
    let at = distance(artifact.len());
    let mut bytes = artifact.to_vec();
    bytes.resize(at, 0);
    let mut w = Writer::new();
    w.raw(MAGIC);
    w.u32(VERSION);
    w.u32(0);
    w.u64(artifact.len() as u64);
    w.u64(0);
    bytes.extend_from_slice(&w.into_bytes());
    (bytes, at)
}

/// The length of the artifact that lies before a label.
///
/// # Errors
/// If it is no label, or of a version that is not known here.
pub fn decode_label(label: &[u8; LABEL_BYTES]) -> Result<usize, DecodeError> {
    let mut r = Reader::new(label);
    if r.take(8, "magic of the label")? != MAGIC {
        return Err(DecodeError::Invalid { what: "magic of the label", at: 0, found: 0 });
    }
    for (what, wanted) in [("version of the label", VERSION), ("reserved word of the label", 0)] {
        let at = r.pos();
        let value = r.u32(what)?;
        if value != wanted {
            return Err(DecodeError::Invalid { what, at, found: value.into() });
        }
    }
    let (what, at) = ("length in the label", r.pos());
    let value = r.u64(what)?;
    match usize::try_from(value) {
        Ok(len) if (1..=MAX_ARTIFACT_BYTES).contains(&value) => Ok(len),
        _ => Err(DecodeError::Invalid { what, at, found: value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(section: &[u8], at: usize) -> [u8; LABEL_BYTES] {
        section[at..].try_into().unwrap()
    }

    #[test]
    fn labels_say_how_long_the_artifact_is() {
        for len in [1, 7, 8, 9, 4096, 4608] {
            let artifact = vec![0xa5; len];
            let (bytes, at) = section(&artifact);
            assert_eq!((bytes.len(), at % 8), (at + LABEL_BYTES, 0));
            assert_eq!(decode_label(&label(&bytes, at)), Ok(len));
            assert_eq!(&bytes[at - distance(len)..][..len], &artifact);
        }
    }

    #[test]
    fn what_is_no_label_is_refused() {
        let (bytes, at) = section(b"x");
        let good = label(&bytes, at);
        // Of the length, bytes that make it too large.
        for i in (0..16).chain(19..24) {
            let mut bad = good;
            bad[i] ^= 0x80;
            assert!(decode_label(&bad).is_err(), "byte {i}");
        }
        let mut empty = good;
        empty[16] = 0;
        assert!(decode_label(&empty).is_err());
        assert!(decode_label(&[0; LABEL_BYTES]).is_err());
    }
}
