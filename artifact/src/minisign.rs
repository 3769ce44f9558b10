//! Public keys and signatures as minisign has them, and what it takes to believe a signature.
//!
//! ```text
//!  public key       "Ed" │ key id 8 │ key 32                       base64, 56 characters
//!  signature        "ED" │ key id 8 │ signature of the hash 64     base64, 100 characters
//!                                     signature of that and comment 64   base64, 88 characters
//! ```
//!
//! The hash is BLAKE2b-512 of the file, so who has the hash needs the file no more. (minisign's old
//! way, "Ed" in a signature, signs the file itself; it is refused.) A key id is eight random bytes
//! that say which key to try, and nothing else.
//!
//! A signature file has four lines. The first is a comment that nobody signed: in an artifact it is
//! empty, so that each byte there is either fixed or signed:
//!
//! ```text
//!  untrusted comment: ⏎                                             20 bytes
//!  RUTYal4uUzlc3icl6kdtzlCaZaN65dyr…⏎                              101
//!  trusted comment: timestamp:1795285685 file:plugin.so hashed⏎    18 and at most 88
//!  pCk5RflLBrU3PmB41MTHhTM+7p1llnhA…⏎                               89
//! ```
//!
//! What is signed is one thing, what a verifier accepts another: an equation with several solutions
//! lets others change a signature, and a key of small order lets them make one. So `s` must be
//! less than the order of the group, points must be encoded as [`PublicKey`] would encode them, and
//! neither key nor `R` may have a small order.

use crate::base64;
use crate::trailer::MAX_SIGNATURE_BYTES;
use std::fmt;

/// Bytes of a signature file in an artifact besides the trusted comment.
const FIXED_BYTES: usize = UNTRUSTED.len() + 1 + 100 + 1 + TRUSTED.len() + 1 + 88 + 1;
/// Longest trusted comment of a signature in an artifact, in bytes.
pub const MAX_COMMENT_BYTES: usize = MAX_SIGNATURE_BYTES - FIXED_BYTES;
/// Longest text that is looked at as a key or a signature file.
pub const MAX_TEXT_BYTES: usize = 16 << 10;

const UNTRUSTED: &str = "untrusted comment: ";
const TRUSTED: &str = "trusted comment: ";
/// First bytes of a key, and of a signature that minisign no longer makes.
const ED: &[u8; 2] = b"Ed";
/// First bytes of a signature of a hash.
const HASHED: &[u8; 2] = b"ED";

/// Why a text is no key or no signature. Texts themselves are not repeated: one could be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MinisignError {
    /// Neither a public key nor a file with one.
    NotAPublicKey,
    /// A secret key where a public one belongs.
    SecretKey,
    /// The key is none that could have been generated: of small order, or no point of the curve.
    WeakKey,
    /// A line of a signature file is not what it must be.
    NotASignature {
        /// Number of the line, from 1.
        line: u32,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A signature of the file instead of its hash.
    Legacy,
    /// A trusted comment that an artifact has no room for.
    LongComment {
        /// Its length in bytes.
        found: usize,
    },
    /// A trusted comment with control characters, or not UTF-8.
    UnclearComment,
    /// A signature in an artifact that is written in another way than there is one.
    NotCanonical,
}

impl fmt::Display for MinisignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPublicKey => f.write_str(
                "not a public key: the 56 characters that begin with RW are wanted, or the \
                 contents (not the name) of the file with them",
            ),
            Self::SecretKey => f.write_str(
                "a secret key where the public one is wanted: keep it to yourself, and take the \
                 .pub file",
            ),
            Self::WeakKey => {
                f.write_str("not a key that can have been generated: anybody could sign with it")
            }
            Self::NotASignature { line, wanted } => {
                write!(f, "not a signature of minisign: line {line} is not {wanted}")
            }
            Self::Legacy => f.write_str(
                "a signature of minisign's old kind, of the file and not of its hash: sign again \
                 with minisign 0.11 or later, without -l",
            ),
            Self::LongComment { found } => write!(
                f,
                "the trusted comment has {found} bytes; in an artifact there is room for \
                 {MAX_COMMENT_BYTES} (minisign -t sets it)"
            ),
            Self::UnclearComment => f.write_str(
                "the trusted comment is not UTF-8 or has control characters other than tabs",
            ),
            Self::NotCanonical => f.write_str("written in another way than lucetc writes it"),
        }
    }
}

impl std::error::Error for MinisignError {}

/// What says which key made a signature. Displayed as minisign does: 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A public key that signatures can be checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    key: ed25519_compact::PublicKey,
}

/// Which part of a signature is not by the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The key has another id.
    KeyId,
    /// What was signed, or the signature.
    Contents,
    /// The trusted comment, or its signature.
    Comment,
}

impl PublicKey {
    /// A key from its parts.
    ///
    /// # Errors
    /// [`MinisignError::WeakKey`].
    pub fn new(id: KeyId, key: [u8; 32]) -> Result<Self, MinisignError> {
        let key = ed25519_compact::PublicKey::new(key);
        key.validate().map_err(|_| MinisignError::WeakKey)?;
        Ok(Self { id, key })
    }

    /// A key from its line, or from a whole `.pub` file.
    ///
    /// # Errors
    /// `NotAPublicKey`, `SecretKey`, `WeakKey`.
    pub fn parse(text: &[u8]) -> Result<Self, MinisignError> {
        let text = text.get(..MAX_TEXT_BYTES.min(text.len())).unwrap_or_default().trim_ascii();
        let line = match text.strip_prefix(UNTRUSTED.trim_ascii_end().as_bytes()) {
            None => text,
            Some(file) => {
                let comment_ends = file.iter().position(|c| *c == b'\n').unwrap_or(file.len());
                file.get(comment_ends..).unwrap_or_default().trim_ascii()
            }
        };
        // A secret key is 158 bytes that begin in the same way.
        if line.len() == 212 && line.starts_with(b"RWQ") {
            return Err(MinisignError::SecretKey);
        }
        let bytes = base64::decode::<42>(line).ok_or(MinisignError::NotAPublicKey)?;
        let (algorithm, rest) = bytes.split_at(2);
        let (id, key) = rest.split_at(8);
        match (algorithm == ED, id.try_into(), key.try_into()) {
            (true, Ok(id), Ok(key)) => Self::new(KeyId(id), key),
            _ => Err(MinisignError::NotAPublicKey),
        }
    }

    /// Which key it is.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key as one line of text.
    #[must_use]
    pub fn line(&self) -> String {
        base64::encode(&[ED, &self.id.0[..], &self.key[..]].concat())
    }

    /// The key as a `.pub` file.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{UNTRUSTED}minisign public key {}\n{}\n", self.id, self.line())
    }

    /// Whether the signature is by this key and of this hash.
    ///
    /// # Errors
    /// What does not fit.
    pub fn verify(&self, hash: &[u8; 64], signature: &Signature) -> Result<(), Wrong> {
        if signature.key != self.id {
            return Err(Wrong::KeyId);
        }
        let by_this_key = |message: &[u8], signature: &[u8; 64]| {
            self.key.verify(message, &ed25519_compact::Signature::new(*signature)).is_ok()
        };
        if !by_this_key(hash, &signature.of_hash) {
            return Err(Wrong::Contents);
        }
        let comment = Signature::comment_message(&signature.of_hash, &signature.comment);
        match by_this_key(&comment, &signature.of_comment) {
            true => Ok(()),
            false => Err(Wrong::Comment),
        }
    }
}

/// A signature of a hash, with a comment that is signed too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    key: KeyId,
    of_hash: [u8; 64],
    comment: String,
    of_comment: [u8; 64],
}

impl Signature {
    /// Puts a signature together; `sign` is asked for that of the hash, then for that of the
    /// comment.
    ///
    /// # Errors
    /// `LongComment`, `UnclearComment`.
    pub fn make(
        key: KeyId,
        hash: &[u8; 64],
        comment: &str,
        sign: impl Fn(&[u8]) -> [u8; 64],
    ) -> Result<Self, MinisignError> {
        let comment = clear(comment.as_bytes())?.to_owned();
        let of_hash = sign(hash);
        let of_comment = sign(&Self::comment_message(&of_hash, &comment));
        Ok(Self { key, of_hash, comment, of_comment })
    }

    /// What the second signature is of.
    fn comment_message(of_hash: &[u8; 64], comment: &str) -> Vec<u8> {
        [of_hash, comment.as_bytes()].concat()
    }

    /// A signature from a `.minisig` file. Its untrusted comment is forgotten.
    ///
    /// # Errors
    /// `NotASignature`, `Legacy`, `LongComment`, `UnclearComment`.
    pub fn parse(file: &[u8]) -> Result<Self, MinisignError> {
        let file = file.get(..MAX_TEXT_BYTES.min(file.len())).unwrap_or_default();
        let mut lines = file.split(|c| *c == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
        let mut number = 0;
        let mut next = |wanted| {
            number += 1;
            let e = MinisignError::NotASignature { line: number, wanted };
            (lines.next().unwrap_or_default(), e)
        };
        let (line, e) = next("an untrusted comment");
        if !line.starts_with(UNTRUSTED.as_bytes()) {
            return Err(e);
        }
        let (line, e) = next("base64 of a signature with its key id");
        let bytes = base64::decode::<74>(line).ok_or(e)?;
        let (line, e) = next("a trusted comment");
        let comment = line.strip_prefix(TRUSTED.as_bytes()).ok_or(e)?;
        let (line, e) = next("base64 of the comment's signature");
        let of_comment = base64::decode::<64>(line).ok_or(e)?;
        let (rest, e) = next("the end");
        if !rest.is_empty() || lines.next().is_some() {
            return Err(e);
        }
        let (algorithm, rest) = bytes.split_at(2);
        let (key, of_hash) = rest.split_at(8);
        let wanted = "a signature that begins with ED";
        let strange = MinisignError::NotASignature { line: 2, wanted };
        match (algorithm, key.try_into(), of_hash.try_into()) {
            (a, Ok(key), Ok(of_hash)) if a == HASHED => {
                let comment = clear(comment)?.to_owned();
                Ok(Self { key: KeyId(key), of_hash, comment, of_comment })
            }
            (a, ..) if a == ED => Err(MinisignError::Legacy),
            _ => Err(strange),
        }
    }

    /// The one way in which a signature stands in an artifact; minisign reads it.
    #[must_use]
    pub fn file(&self) -> String {
        let of_hash = base64::encode(&[HASHED, &self.key.0[..], &self.of_hash].concat());
        let of_comment = base64::encode(&self.of_comment);
        format!("{UNTRUSTED}\n{of_hash}\n{TRUSTED}{}\n{of_comment}\n", self.comment)
    }

    /// A signature as it stands in an artifact.
    ///
    /// # Errors
    /// Those of [`Self::parse`], and `NotCanonical` for what [`Self::file`] does not write.
    pub fn from_artifact(bytes: &[u8]) -> Result<Self, MinisignError> {
        let signature = Self::parse(bytes)?;
        match signature.file().as_bytes() == bytes {
            true => Ok(signature),
            false => Err(MinisignError::NotCanonical),
        }
    }

    /// The key that claims to have made it.
    #[must_use]
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// The trusted comment: to be trusted once the signature was verified.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }
}

/// A comment that fits into an artifact and shows as what it is.
fn clear(comment: &[u8]) -> Result<&str, MinisignError> {
    if comment.len() > MAX_COMMENT_BYTES {
        return Err(MinisignError::LongComment { found: comment.len() });
    }
    match std::str::from_utf8(comment) {
        Ok(text) if !text.contains(|c: char| c.is_control() && c != '\t') => Ok(text),
        _ => Err(MinisignError::UnclearComment),
    }
}
