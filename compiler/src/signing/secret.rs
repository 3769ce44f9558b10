//! Secret keys, in files as minisign has them.
//!
//! ```text
//!  "Ed" │ "Sc" or 0 │ "B2" │ salt 32 │ operations 8 │ memory 8 │ id 8 │ seed, public 64 │ sum 32
//!                                                              └─ with "Sc": xor scrypt(password)
//! ```
//!
//! 158 bytes, as base64, behind a line with an untrusted comment. The sum, BLAKE2b-256 of "Ed", id
//! and key, shows whether the password was right; in files without one minisign writes zeros.
//!
//! Secrets are wiped from memory when they are dropped, and never part of an error.

use crate::error::{Class, Diagnostic};
use lucet_artifact::base64;
use lucet_artifact::minisign::{KeyId, MAX_TEXT_BYTES, MinisignError, PublicKey, Signature};
use lucet_artifact::trailer::source_hash;
use scrypt::Params;
use zeroize::{Zeroize, Zeroizing};

/// Longest password in bytes; that of minisign.
pub const MAX_PASSWORD_BYTES: usize = 1024;

const BYTES: usize = 158;
const UNTRUSTED: &str = "untrusted comment: ";
/// What the password hides: id, key and sum.
const HIDDEN: usize = 8 + 64 + 32;
/// What a new key costs to unlock, as minisign has it: a gigabyte and some seconds.
const OPERATIONS: u64 = 1 << 25;
const MEMORY: u64 = 1 << 30;
/// The most that a file may ask for.
const MAX_LOG_N: u8 = 20;
const MAX_BLOCKS: u64 = 1 << 21;

/// A key that signs.
pub struct SecretKey {
    id: KeyId,
    /// Wiped when it is dropped.
    pair: ed25519_compact::SecretKey,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey({})", self.id)
    }
}

/// A key file that may have to be unlocked with a password.
pub struct KeyFile {
    salt: [u8; 32],
    /// Parameters of scrypt; `None`: there is no password.
    cost: Option<Params>,
    hidden: Zeroizing<[u8; HIDDEN]>,
}

fn bad(message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Class::Usage, message)
}

/// Random bytes from the system.
fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Diagnostic> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut())
        .map_err(|e| bad(format!("the system gives no random numbers: {e}")))?;
    Ok(bytes)
}

/// The parameters of scrypt that libsodium chooses for these limits; `None` beyond what is allowed.
fn cost(operations: u64, memory: u64) -> Option<Params> {
    let operations = operations.max(1 << 15);
    let log = |max_n: u64| (1..63u8).find(|n| 1u64 << n > max_n / 2);
    let (log_n, blocks) = if operations < memory / 32 {
        (log(operations / 32)?, 1)
    } else {
        let log_n = log(memory / 1024)?;
        (log_n, ((operations / 4) >> log_n).min(0x3fff_ffff) / 8)
    };
    if log_n > MAX_LOG_N || blocks.max(1) << log_n > MAX_BLOCKS {
        return None;
    }
    Params::new(log_n, 8, u32::try_from(blocks).ok()?).ok()
}

/// Hides or shows: the same either way.
fn mask(
    hidden: &mut [u8; HIDDEN],
    password: &[u8],
    salt: &[u8; 32],
    cost: &Params,
    bytes: usize,
) -> Result<(), Diagnostic> {
    let no_memory = || {
        let m = "no memory to unlock the key: its password takes up to 1 GiB";
        Diagnostic::new(Class::Limit, m).help("use a machine with more, or a key without password")
    };
    // scrypt itself would end the process.
    Vec::<u8>::new().try_reserve_exact(bytes).map_err(|_| no_memory())?;
    let mut stream = Zeroizing::new([0; HIDDEN]);
    scrypt::scrypt(password, salt, cost, stream.as_mut()).map_err(|_| no_memory())?;
    hidden.iter_mut().zip(stream.iter()).for_each(|(h, s)| *h ^= s);
    Ok(())
}

fn sum(id_and_key: &[u8]) -> [u8; 32] {
    source_hash(&Zeroizing::new([b"Ed", id_and_key].concat()))
}

/// Refuses what cannot be a password.
fn check_password(password: &[u8]) -> Result<(), Diagnostic> {
    match password.len() {
        0 => Err(bad("the password is empty").help("--no-password makes a key without one")),
        n if n > MAX_PASSWORD_BYTES => Err(bad(format!(
            "the password has {n} bytes; at most {MAX_PASSWORD_BYTES} can be used"
        ))),
        _ => Ok(()),
    }
}

impl SecretKey {
    /// A new key.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn generate() -> Result<Self, Diagnostic> {
        let (id, seed) = (random::<8>()?, random::<32>()?);
        let seed = ed25519_compact::Seed::new(*seed);
        let pair = ed25519_compact::KeyPair::try_from_seed(seed)
            .map_err(|_| bad("the system gives no random numbers, but zeros"))?;
        Ok(Self { id: KeyId(*id), pair: pair.sk.clone() })
    }

    /// Which key it is.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What others check signatures with.
    ///
    /// # Errors
    /// Never for a key from this file.
    pub fn public(&self) -> Result<PublicKey, MinisignError> {
        PublicKey::new(self.id, *self.pair.public_key())
    }

    /// Signs a hash and a comment.
    ///
    /// # Errors
    /// If the comment does not fit into an artifact.
    pub fn sign(&self, hash: &[u8; 64], comment: &str) -> Result<Signature, MinisignError> {
        Signature::make(self.id, hash, comment, |message| *self.pair.sign(message, None))
    }

    /// The key as a file, locked with a password if there is one.
    ///
    /// # Errors
    /// If the password cannot be used, or memory or random numbers are missing.
    pub fn file(&self, password: Option<&[u8]>) -> Result<Zeroizing<String>, Diagnostic> {
        let mut hidden = Zeroizing::new([0; HIDDEN]);
        let plain = Zeroizing::new([&self.id.0[..], &self.pair[..]].concat());
        let sum = if password.is_some() { sum(&plain) } else { [0; 32] };
        hidden.iter_mut().zip(plain.iter().chain(&sum)).for_each(|(h, p)| *h = *p);
        let (mut algorithm, mut salt, mut limits) = ([0; 2], [0; 32], [0, 0]);
        if let Some(password) = password {
            check_password(password)?;
            let cost = cost(OPERATIONS, MEMORY).ok_or_else(|| bad("no parameters for scrypt"))?;
            salt = *random()?;
            mask(&mut hidden, password, &salt, &cost, MEMORY as usize)?;
            (algorithm, limits) = (*b"Sc", [OPERATIONS, MEMORY]);
        }
        let limits = limits.map(u64::to_le_bytes).concat();
        let head = [b"Ed", &algorithm[..], b"B2", &salt, &limits].concat();
        let bytes = Zeroizing::new([&head[..], &hidden[..]].concat());
        let text = Zeroizing::new(base64::encode(&bytes));
        // Room for all, so that no copy stays behind.
        let mut file = Zeroizing::new(String::with_capacity(text.len() + 80));
        file.push_str(UNTRUSTED);
        file.push_str("minisign encrypted secret key\n");
        file.push_str(&text);
        file.push('\n');
        Ok(file)
    }
}

impl KeyFile {
    /// Reads a key file; `name` is for messages.
    ///
    /// # Errors
    /// If it is none, or asks for more than unlocking may take.
    pub fn parse(text: &[u8], name: &str) -> Result<Self, Diagnostic> {
        let none = |why: &str| {
            let help = "lucetc keygen and minisign -G make one";
            bad(format!("{name} is no secret key: {why}")).help(help)
        };
        if text.len() > MAX_TEXT_BYTES {
            return Err(none("it is too large"));
        }
        let mut lines = text.split(|c| *c == b'\n').map(<[u8]>::trim_ascii);
        let first = lines.next().unwrap_or_default();
        if !first.starts_with(UNTRUSTED.trim_ascii_end().as_bytes()) {
            return Err(none("its first line is no untrusted comment"));
        }
        let line = lines.next().unwrap_or_default();
        if PublicKey::parse(line).is_ok() {
            return Err(none("it is a public key"));
        }
        let bytes = base64::decode::<BYTES>(line).map(Zeroizing::new);
        let bytes = bytes.ok_or_else(|| none("its second line is not 212 characters of base64"))?;
        let (head, hidden) = bytes.split_at(BYTES - HIDDEN);
        let (algorithms, rest) = head.split_at(6);
        let (salt, limits) = rest.split_at(32);
        let (operations, memory) = limits.split_at(8);
        let number = |b: &[u8]| b.try_into().map_or(0, u64::from_le_bytes);
        let cost = match algorithms {
            b"EdScB2" => {
                let cost = cost(number(operations), number(memory));
                Some(cost.ok_or_else(|| none("unlocking it would take more than 1 GiB"))?)
            }
            b"Ed\0\0B2" => None,
            _ => return Err(none("it is of a kind that lucetc does not know")),
        };
        let mut file = Self { salt: [0; 32], cost, hidden: Zeroizing::new([0; HIDDEN]) };
        file.salt.copy_from_slice(salt);
        file.hidden.copy_from_slice(hidden);
        Ok(file)
    }

    /// Whether it takes a password.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.cost.is_some()
    }

    /// The key in it. The password is not looked at if it takes none.
    ///
    /// # Errors
    /// If the password is wrong, or the key is damaged.
    pub fn open(mut self, password: &[u8], name: &str) -> Result<SecretKey, Diagnostic> {
        if let Some(cost) = &self.cost {
            check_password(password)?;
            mask(&mut self.hidden, password, &self.salt, cost, MEMORY as usize)?;
        }
        let (plain, found) = self.hidden.split_at(HIDDEN - 32);
        let right = found == sum(plain) || (self.cost.is_none() && found == [0; 32]);
        let (id, pair) = plain.split_at(8);
        let pair = ed25519_compact::SecretKey::from_slice(pair);
        match (right, id.try_into(), pair) {
            // A public half that does not belong to the seed would give the seed away.
            (true, Ok(id), Ok(pair)) if pair.validate_public_key(&pair.public_key()).is_ok() => {
                Ok(SecretKey { id: KeyId(id), pair })
            }
            _ if self.cost.is_some() => Err(bad(format!("wrong password for {name}"))),
            _ => Err(bad(format!("{name} is damaged: its two halves do not belong together"))),
        }
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.hidden.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SecretKey {
        SecretKey::generate().unwrap()
    }

    fn open(text: &[u8], password: &[u8]) -> Result<SecretKey, Diagnostic> {
        KeyFile::parse(text, "k.key")?.open(password, "k.key")
    }

    #[test]
    fn parameters_are_those_of_libsodium() {
        let n = |p: &Params| format!("{p:?}");
        let expected = |log_n, p| format!("{:?}", Params::new(log_n, 8, p).unwrap());
        assert_eq!(cost(1 << 25, 1 << 30).as_ref().map(n), Some(expected(20, 1)), "sensitive");
        assert_eq!(cost(1 << 19, 1 << 24).as_ref().map(n), Some(expected(14, 1)), "interactive");
        assert_eq!(cost(0, 1 << 24).as_ref().map(n), Some(expected(10, 1)), "least operations");
        assert_eq!(cost(1 << 25, 1 << 25).as_ref().map(n), Some(expected(15, 32)), "parallel");
        for (operations, memory) in
            [(1 << 26, 1 << 40), (1 << 40, 1 << 30), (u64::MAX, u64::MAX), (u64::MAX, 0)]
        {
            let taken = cost(operations, memory);
            assert!(taken.is_none(), "{operations} {memory}: {taken:?}");
        }
    }

    #[test]
    fn keys_come_back() {
        let key = key();
        let file = key.file(None).unwrap();
        let again = open(file.as_bytes(), b"").unwrap();
        assert_eq!((again.id, &again.pair[..]), (key.id, &key.pair[..]));
        assert_eq!(again.public(), key.public());
        assert_eq!(format!("{key:?}"), format!("SecretKey({})", key.id));
        assert_ne!(key.id, SecretKey::generate().unwrap().id);
    }

    #[test]
    fn damage_is_noticed_and_not_repeated() {
        let file = key().file(None).unwrap();
        let line = file.lines().nth(1).unwrap();
        let mut noticed = 0;
        for at in 0..line.len() {
            let mut l = line.to_owned().into_bytes();
            l[at] = if l[at] == b'x' { b'y' } else { b'x' };
            let text = [b"untrusted comment: \n", &l[..]].concat();
            // The salt and the limits of a key without password mean nothing, and nobody signed
            // the key's id.
            if let Err(e) = open(&text, b"") {
                noticed += 1;
                let text = e.to_string();
                assert!(!text.contains(&line[80..100]), "{text}");
            }
        }
        assert!(noticed >= 130, "{noticed}");
        let public = key().public().unwrap().file();
        for (text, part) in [
            ("", "first line"),
            ("untrusted comment: x\nRWQA\n", "second line is not 212"),
            (public.as_str(), "it is a public key"),
            (&file.replacen("RWQAAEIy", "RWQBAEIy", 1), "of a kind that lucetc does not know"),
            (&"untrusted comment:\n".repeat(2000), "too large"),
        ] {
            let e = open(text.as_bytes(), b"").unwrap_err().to_string();
            assert!(e.contains(part), "{e}");
        }
    }

    #[test]
    fn what_would_take_too_long_is_not_begun() {
        let mut bytes = vec![0; BYTES];
        bytes[..6].copy_from_slice(b"EdScB2");
        bytes[38..54].fill(0xff);
        let text = format!("{UNTRUSTED}\n{}\n", base64::encode(&bytes));
        let e = open(text.as_bytes(), b"x").unwrap_err().to_string();
        assert!(e.contains("more than 1 GiB"), "{e}");
    }

    #[test]
    fn passwords_have_limits() {
        let e = key().file(Some(b"")).unwrap_err().to_string();
        assert!(e.contains("--no-password"), "{e}");
        let e = key().file(Some(&[b'x'; 1025])).unwrap_err().to_string();
        assert!(e.contains("at most 1024"), "{e}");
    }
}
