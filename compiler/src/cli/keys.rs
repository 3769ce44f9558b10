//! Keys and trusted comments on the command line, for every command that deals in signatures.

use super::args::Place;
use super::password;
use super::scan::show;
use lucet_artifact::minisign::{MAX_COMMENT_BYTES, MAX_TEXT_BYTES};
use lucet_artifact::trust::{Trust, TrustError};
use lucetc::signing::{KeyFile, SecretKey};
use lucetc::{Class, Diagnostic, Errors};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

fn usage(message: String) -> Diagnostic {
    Diagnostic::new(Class::Usage, message)
}

/// The contents of a small file. Wiped when dropped, for it may be a key.
pub fn small_file(path: &OsStr, what: &str) -> Result<Zeroizing<Vec<u8>>, Errors> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_TEXT_BYTES + 2));
    let read = |bytes: &mut Vec<u8>| {
        File::open(Path::new(path))?.take(MAX_TEXT_BYTES as u64 + 1).read_to_end(bytes)
    };
    match read(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(e) => {
            let d = usage(format!("cannot read {what} {}: {e}", show(path)));
            Err(match e.kind() {
                io::ErrorKind::NotFound => d.help("check the spelling; paths are relative to here"),
                _ => d.help("name a file that may be read"),
            }
            .into())
        }
    }
}

/// The secret key in a file, unlocked.
pub fn secret(path: &OsStr, password_file: Option<&OsStr>) -> Result<SecretKey, Errors> {
    let name = path.to_string_lossy();
    let file = KeyFile::parse(&small_file(path, "the secret key")?, &name)?;
    let password = match file.is_locked() {
        true => password::get(password_file, &name)?,
        false => Zeroizing::default(),
    };
    Ok(file.open(&password, &name)?)
}

/// Accepts a public key: its line, or a file.
pub fn add_public(trust: &mut Trust, key: &OsStr) -> Result<(), Errors> {
    // No file is asked for what is a key, or would be but for a slip.
    let line = key.len() == 56 && key.as_bytes().starts_with(b"RW");
    let added = match line {
        true => trust.add_key(key.as_bytes()),
        false => trust.add_key(&small_file(key, "the public key")?),
    };
    added.map_err(|e| {
        let m = match e {
            TrustError::Key(e) => e.to_string(),
            _ => "too many keys".to_owned(),
        };
        usage(format!("{}: {m}", show(key))).help("lucetc keygen writes the public key too").into()
    })
}

/// What is signed besides the hash if nothing else was asked for: what minisign writes, too.
/// SOURCE_DATE_EPOCH decides about the time, so that builds can be repeated.
pub fn default_comment(place: &Place) -> String {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let fixed = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|t| t.parse::<u64>().ok());
    let name = match place {
        Place::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        Place::Std => "-".to_owned(),
    };
    comment(fixed.unwrap_or_else(now), &name)
}

fn comment(time: u64, name: &str) -> String {
    let (before, after) = (format!("timestamp:{time}\tfile:"), "\thashed");
    let mut room = MAX_COMMENT_BYTES.saturating_sub(before.len() + after.len());
    let fits = |c: &char| {
        let there = room.checked_sub(c.len_utf8());
        room = there.unwrap_or(0);
        there.is_some()
    };
    let name: String = name
        .chars()
        .map(|c| if c.is_control() || c == char::REPLACEMENT_CHARACTER { '?' } else { c })
        .take_while(fits)
        .collect();
    before + &name + after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_those_of_minisign_as_far_as_there_is_room() {
        assert_eq!(comment(17, "a.so"), "timestamp:17\tfile:a.so\thashed");
        assert_eq!(comment(17, "a\n\u{1b}.so"), "timestamp:17\tfile:a??.so\thashed");
        for name in ["x".repeat(300), "ü".repeat(300), "\u{10000}".repeat(300)] {
            let c = comment(1_795_285_685, &name);
            assert!((85..=MAX_COMMENT_BYTES).contains(&c.len()), "{}", c.len());
            assert!(c.ends_with("\thashed"));
        }
    }
}
