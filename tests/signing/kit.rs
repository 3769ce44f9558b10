//! Artifacts, keys and ways to load.

use lucet::loader::{LoadOptions, Loaded, Source, Trust, load};
use lucet::{Error, Status};
use lucet_artifact::trailer::{HASH_OFFSET, TRAILER_BYTES, Trailer, hash};
use lucet_artifact::trust::hex;
use lucetc::signing::{self, SecretKey};
use lucetc::{Options, compile};
use std::sync::OnceLock;

/// Offset of the signature's first byte.
pub fn signature_at(artifact: &[u8]) -> usize {
    artifact.len() - TRAILER_BYTES + HASH_OFFSET + 64 + 4
}

/// An artifact that nobody signed; `n` makes another one.
pub fn artifact(n: u32) -> Vec<u8> {
    let options = Options { threads: 1, ..Options::default() };
    let wat = format!("(module (func (export \"f\") (result i32) i32.const {n}))");
    compile(wat.as_bytes(), &options).unwrap()
}

/// A key, the same for each number.
pub fn key(n: usize) -> &'static SecretKey {
    static KEYS: OnceLock<Vec<SecretKey>> = OnceLock::new();
    &KEYS.get_or_init(|| (0..4).map(|_| SecretKey::generate().unwrap()).collect())[n]
}

pub fn line(key: &SecretKey) -> String {
    key.public().unwrap().line()
}

pub fn signed(artifact: &[u8], key: &SecretKey) -> Vec<u8> {
    let mut b = artifact.to_vec();
    signing::sign(&mut b, key, "timestamp:1700000000\tfile:plugin.so\thashed", "it").unwrap();
    b
}

/// The hash of an artifact as text.
pub fn hash_of(artifact: &[u8]) -> String {
    hex(&Trailer::decode(artifact).unwrap().hash)
}

/// Computes the hash again, as somebody who edits the file would.
pub fn rehash(b: &mut [u8]) {
    let at = b.len() - TRAILER_BYTES + HASH_OFFSET;
    let h = hash(&[&b[..at]]);
    b[at..at + 64].copy_from_slice(&h);
}

/// Options that trust these keys and hashes.
pub fn options(keys: &[&SecretKey], hashes: &[&str], allow_unsigned: bool) -> LoadOptions {
    let mut trust = Trust::NONE;
    keys.iter().for_each(|k| trust.add_key(&line(k)).unwrap());
    hashes.iter().for_each(|h| trust.add_hash(h).unwrap());
    LoadOptions { trust, allow_unsigned, ..LoadOptions::default() }
}

pub fn try_load(bytes: &[u8], options: &LoadOptions) -> lucet::Result<Loaded> {
    load(Source::Bytes(bytes), options)
}

/// It loads.
#[track_caller]
pub fn loads(bytes: &[u8], options: &LoadOptions) {
    if let Err(e) = try_load(bytes, options) {
        panic!("{e}");
    }
}

/// It is refused with this status and these words.
#[track_caller]
pub fn refused(bytes: &[u8], options: &LoadOptions, status: Status, parts: &[&str]) -> Error {
    let e = try_load(bytes, options).expect_err("it was loaded");
    assert_eq!(e.status(), status, "{e}");
    for part in parts {
        assert!(e.message().contains(part), "`{part}` is not in: {e}");
    }
    e
}
