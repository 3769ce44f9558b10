//! Who has to have vouched for an artifact before anything in it is believed.
//!
//! ```text
//!  sealed copy ─► trailer: fixed fields ─► hash of the file ─► vouched for? ─► ELF, sections …
//!                 512 bytes                is it damaged?      key, pin, or yes to all
//! ```
//!
//! Up to that question only two things were done with the bytes: the trailer's fields, which lie at
//! fixed places, were compared with what they must be, and the rest was hashed. The hash comes
//! first because everything else is about it (a signature is one of the hash, a pin is a hash), and
//! because a damaged file should be called damaged. The parser of the container, and every decoder
//! of sections, sees only files that passed.
//!
//! An artifact is *trusted* if a key of the embedder signed its hash, or the embedder pinned its
//! hash, or the embedder said that everything is to be loaded. One thing is refused whatever else
//! speaks for the file: a signature that names an accepted key and is not by it
//! (`lucet_artifact::trust` has the rule).
//!
//! A *snapshot's* file is an artifact of its own. The hash of its parent, which it names, is not
//! asked: it is a claim like any other in the file, and code could have been changed between the
//! parent's and this one. So a snapshot is pinned by its own hash, or signed. Snapshots that this
//! process took share its parent's code, are never read from a file, and need no trust.

use crate::error::{Error, Result, Status};
use lucet_artifact::minisign::{KeyId, MAX_TEXT_BYTES, PublicKey, Wrong};
use lucet_artifact::trailer::{FLAG_SNAPSHOT, Trailer};
use lucet_artifact::trust::{self, MAX_HASHES, MAX_KEYS, TrustError, Verdict, hex};

/// Most keys that a message lists.
const LISTED: usize = 8;

/// The keys whose signatures are believed, and the hashes that need none. Empty: nothing is
/// trusted.
#[derive(Debug, Clone, Default)]
pub struct Trust(trust::Trust);

impl Trust {
    /// Nobody and nothing.
    pub const NONE: Self = Self(trust::Trust::NONE);

    /// Accepts signatures by a key: its line, or the contents of its `.pub` file, as `lucetc
    /// keygen` and minisign write it. A key that was added before changes nothing.
    ///
    /// # Errors
    /// `InvalidArgument` if it is no key; `LimitExceeded` beyond 64.
    pub fn add_key(&mut self, text: &str) -> Result<()> {
        if text.len() > MAX_TEXT_BYTES {
            let message = format!("the key has {} characters; a key has 56", text.len());
            return Err(Error::new(Status::InvalidArgument, message));
        }
        self.0.add_key(text.as_bytes()).map_err(|e| refused(&e))
    }

    /// Pins the artifact with this hash, 128 hexadecimal digits. A hash that was added before
    /// changes nothing.
    ///
    /// # Errors
    /// `InvalidArgument` if it is no hash; `LimitExceeded` beyond 4096.
    pub fn add_hash(&mut self, text: &str) -> Result<()> {
        self.0.add_hash(text).map_err(|e| refused(&e))
    }

    /// Whether the artifact is vouched for. Its hash must have been computed and compared before.
    ///
    /// # Errors
    /// `UntrustedArtifact`.
    pub(super) fn check(&self, trailer: &Trailer, allow_unsigned: bool) -> Result<()> {
        let message = match self.0.judge(trailer) {
            Verdict::Signed | Verdict::Pinned => return Ok(()),
            Verdict::Unknown if allow_unsigned => return Ok(()),
            Verdict::Unknown => self.unknown(trailer),
            Verdict::Wrong(id, wrong) => wrong_signature(id, wrong),
        };
        Err(Error::new(Status::UntrustedArtifact, message))
    }

    /// Why nothing vouches for it, and what would.
    fn unknown(&self, trailer: &Trailer) -> String {
        let hash = hex(&trailer.hash);
        let what = match &trailer.signature {
            Some(s) => format!("is signed by key {}", s.key()),
            None if trailer.flags & FLAG_SNAPSHOT != 0 => {
                "is a snapshot, which its parent's signature does not cover, and is not signed \
                 itself"
                    .to_owned()
            }
            None => "is not signed".to_owned(),
        };
        let (keys, hashes) = (self.0.keys(), self.0.hashes());
        if keys.is_empty() && hashes == 0 {
            return format!(
                "the artifact {what}, and this configuration trusts nobody: add the public key of \
                 who signs your artifacts (lucet_module_config_add_key), pin this one \
                 (lucet_module_config_add_hash), or load whatever is there \
                 (lucet_module_config_allow_unsigned). Its hash is {hash}"
            );
        }
        let accepted = match keys.is_empty() {
            true => "no key is accepted".to_owned(),
            false => format!("accepted are signatures by {}", list(keys)),
        };
        let pinned = match hashes {
            0 => "no hash is pinned".to_owned(),
            1 => "it is not the one that is pinned".to_owned(),
            n => format!("it is none of the {n} that are pinned"),
        };
        format!(
            "the artifact {what}; {accepted}; {pinned}. Sign it with an accepted key (lucetc \
             sign), add its key (lucet_module_config_add_key), or pin its hash, which is {hash} \
             (lucet_module_config_add_hash)"
        )
    }
}

fn wrong_signature(id: KeyId, wrong: Wrong) -> String {
    let what = match wrong {
        Wrong::Comment => "its trusted comment is not the one that was signed",
        Wrong::Contents | Wrong::KeyId => {
            "it is of another artifact, or by another key with that id"
        }
    };
    format!(
        "the artifact names key {id} as its signer, which is accepted, but the signature is wrong: \
         {what}. The file was changed after it was signed: get it again from where it was made, or \
         sign it again (lucetc sign)"
    )
}

fn refused(e: &TrustError) -> Error {
    match e {
        TrustError::Key(e) => Error::new(Status::InvalidArgument, format!("the key is {e}")),
        TrustError::Hash(found) => Error::new(
            Status::InvalidArgument,
            format!(
                "the hash has {found} characters, or others than hexadecimal digits: 128 digits \
                 are wanted, as lucetc verify prints them"
            ),
        ),
        TrustError::TooManyKeys => full("keys", MAX_KEYS),
        TrustError::TooManyHashes => full("hashes", MAX_HASHES),
    }
}

fn full(what: &str, max: usize) -> Error {
    let message = format!("the configuration has {max} {what} already, which is the most");
    Error::new(Status::LimitExceeded, message)
}

/// "key A", "keys A, B and 3 more".
fn list(keys: &[PublicKey]) -> String {
    let (shown, more) = keys.split_at(keys.len().min(LISTED));
    let shown: Vec<String> = shown.iter().map(|k| k.id().to_string()).collect();
    let word = if keys.len() == 1 { "key" } else { "keys" };
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    format!("{word} {}{more}", shown.join(", "))
}
