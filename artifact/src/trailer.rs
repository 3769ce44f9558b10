//! The trailer: the last 512 bytes of an artifact, outside every ELF section.
//!
//! ```text
//!  offset from the start of the trailer
//!    0  magic "LUCETTRL"            8
//!    8  trailer version             u32   1
//!   12  flags                       u32   bit 0: snapshot
//!   16  body length                 u64   bytes before the trailer
//!   24  parent hash                64     hash of the artifact a snapshot was taken of, else 0
//!   88  reserved                   40     0
//!  128  hash                       64     BLAKE2b-512 of everything before it
//!  192  signature length            u32   0: not signed
//!  196  signature                 316     signature file (see [`crate::minisign`]), rest 0
//!  512
//! ```
//!
//! The hash is the one minisign's signatures sign, so one pass over the file serves both, and the
//! signature in an artifact is one of the file's first `body length + 128` bytes.
//! A snapshot is an artifact with another state and the hash of the one it was taken of; code and
//! everything about code is copied.

use crate::codec::{DecodeError, EncodeError, Reader, Writer};
use crate::limits;
use crate::minisign::Signature;

/// Size of the trailer in bytes.
pub const TRAILER_BYTES: usize = 512;
/// Offset of the hash in the trailer: what lies before it is covered.
pub const HASH_OFFSET: usize = 128;
/// First bytes of the trailer.
pub const MAGIC: &[u8; 8] = b"LUCETTRL";
/// Version of the trailer's layout.
pub const TRAILER_VERSION: u32 = 1;
/// Room for a signature in bytes.
pub const MAX_SIGNATURE_BYTES: usize = 316;
/// Flag: the image was taken from a running instance.
pub const FLAG_SNAPSHOT: u32 = 1;

/// A decoded trailer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// Bits [`FLAG_SNAPSHOT`].
    pub flags: u32,
    /// Bytes of the file before the trailer.
    pub body_len: u64,
    /// Hash of the parent artifact of a snapshot, else zero.
    pub parent: [u8; 64],
    /// BLAKE2b-512 of body and covered part.
    pub hash: [u8; 64],
    /// Who signed the hash, as far as this was written by whom it says.
    pub signature: Option<Signature>,
}

/// BLAKE2b-512 of several pieces in order.
#[must_use]
pub fn hash(pieces: &[&[u8]]) -> [u8; 64] {
    let mut state = blake2b_simd::Params::new().hash_length(64).to_state();
    for p in pieces {
        state.update(p);
    }
    *state.finalize().as_array()
}

/// BLAKE2b-256, used for the hash of the wasm source.
#[must_use]
pub fn source_hash(wasm: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(blake2b_simd::Params::new().hash_length(32).hash(wasm).as_bytes());
    out
}

impl Trailer {
    /// The part of the trailer that the hash covers.
    fn covered(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.raw(MAGIC);
        w.u32(TRAILER_VERSION);
        w.u32(self.flags);
        w.u64(self.body_len);
        w.raw(&self.parent);
        w.raw(&[0; 40]);
        w.into_bytes()
    }

    /// Appends a trailer with the right hash to an artifact's body.
    pub fn append(body: &mut Vec<u8>, flags: u32, parent: [u8; 64]) -> Result<(), EncodeError> {
        let body_len = body.len() as u64;
        let max = limits::MAX_ARTIFACT_BYTES - TRAILER_BYTES as u64;
        if body_len > max {
            return Err(EncodeError { what: "size of the artifact", found: body_len, max });
        }
        let mut t = Self { flags, body_len, parent, hash: [0; 64], signature: None };
        t.hash = hash(&[body, &t.covered()]);
        body.extend_from_slice(&t.encode()?);
        Ok(())
    }

    /// The 512 bytes.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut w = Writer::new();
        w.raw(&self.covered());
        w.raw(&self.hash);
        let signature = self.signature.as_ref().map(Signature::file).unwrap_or_default();
        w.count(signature.len(), MAX_SIGNATURE_BYTES, "length of the signature")?;
        w.raw(signature.as_bytes());
        let mut bytes = w.into_bytes();
        bytes.resize(TRAILER_BYTES, 0);
        Ok(bytes)
    }

    /// Decodes the trailer of a whole artifact without checking the hash.
    pub fn decode(artifact: &[u8]) -> Result<Self, DecodeError> {
        let start = artifact.len().checked_sub(TRAILER_BYTES);
        let bytes = start.and_then(|s| artifact.get(s..));
        let (Some(start), Some(bytes)) = (start, bytes) else {
            return Err(DecodeError::Truncated { what: "trailer", at: 0 });
        };
        let mut r = Reader::new(bytes);
        let magic = r.take(8, "trailer magic")?;
        if magic != MAGIC {
            let found = u64::from_le_bytes(magic.try_into().unwrap_or_default());
            return Err(DecodeError::Invalid { what: "trailer magic", at: start, found });
        }
        let invalid = |what, found| Err(DecodeError::Invalid { what, at: start, found });
        let version = r.u32("trailer version")?;
        if version != TRAILER_VERSION {
            return invalid("trailer version", version.into());
        }
        let flags = r.u32("trailer flags")?;
        if flags & !FLAG_SNAPSHOT != 0 {
            return invalid("trailer flags", flags.into());
        }
        let body_len = r.u64("body length")?;
        if body_len != start as u64 {
            return invalid("body length", body_len);
        }
        let mut parent = [0; 64];
        parent.copy_from_slice(r.take(64, "parent hash")?);
        if r.take(40, "reserved bytes")?.iter().any(|b| *b != 0) {
            return invalid("reserved bytes of the trailer", 1);
        }
        let mut hash = [0; 64];
        hash.copy_from_slice(r.take(64, "hash")?);
        let n = r.count(MAX_SIGNATURE_BYTES, 1, "length of the signature")?;
        let at = start + r.pos();
        let signature = match r.take(n, "signature")? {
            [] => None,
            bytes => Some(
                Signature::from_artifact(bytes)
                    .map_err(|why| DecodeError::Signature { at, why })?,
            ),
        };
        if r.take(r.remaining(), "padding")?.iter().any(|b| *b != 0) {
            return invalid("padding of the trailer", 1);
        }
        Ok(Self { flags, body_len, parent, hash, signature })
    }

    /// What a signature of this artifact is of: all that the hash covers.
    #[must_use]
    pub fn signed<'a>(&self, artifact: &'a [u8]) -> &'a [u8] {
        let end = (self.body_len as usize).saturating_add(HASH_OFFSET);
        artifact.get(..end).unwrap_or_default()
    }

    /// Whether the stored hash is that of the artifact this trailer was decoded from.
    #[must_use]
    pub fn hash_matches(&self, artifact: &[u8]) -> bool {
        hash(&[self.signed(artifact)]) == self.hash
    }
}
