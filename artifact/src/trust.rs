//! Whether somebody vouched for an artifact: one rule for the loader and `lucetc verify`.
//!
//! ```text
//!  signature           names no key        names an accepted key
//!                      of ours, or none    and is by it │ and is not
//!  hash pinned         pinned              signed       │ wrong
//!  hash not pinned     unknown             signed       │ wrong
//! ```
//!
//! *Wrong* weighs more than a pin: such a file was changed after it was signed, if only behind what
//! the hash covers, and who gave a key wants to know that.

use crate::minisign::{KeyId, MinisignError, PublicKey, Wrong};
use crate::trailer::Trailer;

/// Most keys that are accepted at a time.
pub const MAX_KEYS: usize = 64;
/// Most hashes that are pinned at a time.
pub const MAX_HASHES: usize = 4096;

/// The keys whose signatures are believed, and the hashes that need none.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    keys: Vec<PublicKey>,
    hashes: Vec<[u8; 64]>,
}

/// Why a key or a hash was not added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustError {
    /// It is no key.
    Key(MinisignError),
    /// It is not 128 hexadecimal digits but so many characters.
    Hash(usize),
    /// There are [`MAX_KEYS`] already.
    TooManyKeys,
    /// There are [`MAX_HASHES`] already.
    TooManyHashes,
}

/// What is known about an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// An accepted key signed it.
    Signed,
    /// Its hash is pinned.
    Pinned,
    /// It names an accepted key that did not sign it.
    Wrong(KeyId, Wrong),
    /// Nobody vouches for it.
    Unknown,
}

impl Trust {
    /// Nobody and nothing.
    pub const NONE: Self = Self { keys: Vec::new(), hashes: Vec::new() };

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// How many hashes are pinned.
    #[must_use]
    pub fn hashes(&self) -> usize {
        self.hashes.len()
    }

    /// Accepts signatures by a key: its line, or the contents of its `.pub` file. A key that was
    /// added before changes nothing.
    ///
    /// # Errors
    /// `Key`, `TooManyKeys`.
    pub fn add_key(&mut self, text: &[u8]) -> Result<(), TrustError> {
        let key = PublicKey::parse(text).map_err(TrustError::Key)?;
        if !self.keys.contains(&key) {
            if self.keys.len() >= MAX_KEYS {
                return Err(TrustError::TooManyKeys);
            }
            self.keys.push(key);
        }
        Ok(())
    }

    /// Pins the artifact with this hash, 128 hexadecimal digits. A hash that was added before
    /// changes nothing.
    ///
    /// # Errors
    /// `Hash`, `TooManyHashes`.
    pub fn add_hash(&mut self, text: &str) -> Result<(), TrustError> {
        let text = text.trim_ascii();
        let hash = parse_hex(text).ok_or_else(|| TrustError::Hash(text.chars().count()))?;
        if !self.hashes.contains(&hash) {
            if self.hashes.len() >= MAX_HASHES {
                return Err(TrustError::TooManyHashes);
            }
            self.hashes.push(hash);
        }
        Ok(())
    }

    /// Who vouches for an artifact with this trailer. That the hash in it is the file's must have
    /// been checked before.
    #[must_use]
    pub fn judge(&self, trailer: &Trailer) -> Verdict {
        let mut wrong = None;
        if let Some(signature) = &trailer.signature {
            // An id is eight random bytes: two keys may have the same, if somebody wants that.
            for key in self.keys.iter().filter(|k| k.id() == signature.key()) {
                match key.verify(&trailer.hash, signature) {
                    Ok(()) => return Verdict::Signed,
                    Err(what) => wrong = Some(Verdict::Wrong(key.id(), what)),
                }
            }
        }
        wrong.unwrap_or(match self.hashes.contains(&trailer.hash) {
            true => Verdict::Pinned,
            false => Verdict::Unknown,
        })
    }
}

/// A hash as text.
#[must_use]
pub fn hex(hash: &[u8; 64]) -> String {
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

fn parse_hex(text: &str) -> Option<[u8; 64]> {
    let digits = text.as_bytes();
    let mut out = [0; 64];
    if digits.len() != 2 * out.len() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        for d in pair {
            *byte = *byte << 4 | u8::try_from(char::from(*d).to_digit(16)?).ok()?;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_128_digits() {
        let text: String = (0..64).map(|i| format!("{:02X}", i * 3)).collect();
        let hash = parse_hex(&text).unwrap();
        assert_eq!((hash[1], hash[63]), (3, 189));
        assert_eq!(hex(&hash), text.to_lowercase());
        let long = format!("{text}0");
        for bad in ["", "0", &text[1..], &text[2..], &long, &text.replace('0', "g")] {
            let e = Trust::default().add_hash(bad).unwrap_err();
            assert_eq!(e, TrustError::Hash(bad.len()));
        }
        assert_eq!(parse_hex(&"é".repeat(64)), None, "128 bytes that are no digits");
        assert_eq!(parse_hex(&text.replacen("00", "+0", 1)), None);
        assert_eq!(Trust::default().add_hash(&format!(" {text}\n")), Ok(()));
    }

    #[test]
    fn hashes_are_limited() {
        let mut trust = Trust::NONE;
        for n in 0..MAX_HASHES {
            trust.add_hash(&format!("{n:0128x}")).unwrap();
        }
        trust.add_hash(&format!("{:0128x}", 7)).expect("it is there already");
        let e = trust.add_hash(&format!("{MAX_HASHES:0128x}"));
        assert_eq!(e, Err(TrustError::TooManyHashes));
    }
}
