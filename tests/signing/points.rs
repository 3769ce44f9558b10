//! Signatures and keys at the edges of Ed25519, made here from the group's own arithmetic, and what
//! lucet and minisign say to each.
//!
//! A verifier that is too kind lets others change a signature (`s` and `s` + l solve the same
//! equation), or lets a signature pass for every message (a key of small order). Where the two
//! verifiers differ, lucet multiplies by the cofactor and minisign does not; only who has the
//! secret key can make such a signature, and could as well make an ordinary one.

use super::kit::{artifact, signature_at};
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use lucet::Status;
use lucet::loader::{LoadOptions, Source, Trust, load};
use lucet_artifact::base64;
use lucet_artifact::trailer::Trailer;
use sha2::{Digest, Sha512};
use std::path::PathBuf;
use std::process::Command;

const ID: [u8; 8] = *b"edgecase";

fn base(s: &Scalar) -> EdwardsPoint {
    EdwardsPoint::mul_base(s)
}

fn scalar(n: u64) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&Sha512::digest(n.to_le_bytes()).into())
}

fn challenge(r: &[u8; 32], a: &[u8; 32], message: &[u8]) -> Scalar {
    let hash = Sha512::new().chain_update(r).chain_update(a).chain_update(message).finalize();
    Scalar::from_bytes_mod_order_wide(&hash.into())
}

/// A key: the secret scalar, and the bytes that stand for the public point.
struct Key(Scalar, [u8; 32]);

impl Key {
    /// With a point of small order added.
    fn plus(torsion: &EdwardsPoint) -> Self {
        let a = scalar(1);
        Self(a, (base(&a) + torsion).compress().0)
    }

    /// A signature with `R` = r·B + torsion, such that 8 divides the challenge, or does not.
    fn sign(&self, message: &[u8], torsion: &EdwardsPoint, divides: bool) -> [u8; 64] {
        for n in 100.. {
            let r = scalar(n);
            let point = (base(&r) + torsion).compress().0;
            let k = challenge(&point, &self.1, message);
            if (k.to_bytes()[0] & 7 == 0) == divides {
                return join(&point, &(r + k * self.0).to_bytes());
            }
        }
        unreachable!()
    }

    /// A signature whose `R` has these bytes and stands for a point of small order.
    fn sign_small(&self, message: &[u8], r: &[u8; 32]) -> [u8; 64] {
        join(r, &(challenge(r, &self.1, message) * self.0).to_bytes())
    }
}

fn join(r: &[u8; 32], s: &[u8; 32]) -> [u8; 64] {
    [&r[..], s].concat().try_into().unwrap()
}

/// s + n·l, which fits 256 bits for n up to 15.
fn plus_order(signature: &[u8; 64], n: u16) -> [u8; 64] {
    // l = -1 + 1 as a scalar: the largest scalar, and one more.
    let mut order = (-Scalar::ONE).to_bytes();
    order[0] += 1;
    let mut out = *signature;
    let mut carry = 0;
    for (byte, l) in out[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + n * u16::from(l) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(carry, 0);
    out
}

/// p + y, little-endian: the other way to write a small y.
fn above_p(y: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    (bytes[0], bytes[31]) = (0xed + y, 0x7f);
    bytes
}

fn negative(mut bytes: [u8; 32]) -> [u8; 32] {
    bytes[31] |= 0x80;
    bytes
}

struct Bench {
    dir: PathBuf,
    artifact: Vec<u8>,
    trailer: Trailer,
}

impl Bench {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("lucet-points-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        let artifact = artifact(1);
        let trailer = Trailer::decode(&artifact).unwrap();
        std::fs::write(dir.join("body"), trailer.signed(&artifact)).unwrap();
        Self { dir, artifact, trailer }
    }

    fn message(&self) -> &[u8] {
        &self.trailer.hash
    }

    /// What the loader says, and whether minisign is content.
    fn verdicts(
        &self,
        key: &[u8; 32],
        of_hash: &[u8; 64],
        signer: &Key,
    ) -> (lucet::Result<()>, bool) {
        let comment = signer.sign(&[of_hash, &b"c"[..]].concat(), &EIGHT_TORSION[0], true);
        self.verdicts_with(key, of_hash, &comment)
    }

    fn verdicts_with(
        &self,
        key: &[u8; 32],
        of_hash: &[u8; 64],
        of_comment: &[u8; 64],
    ) -> (lucet::Result<()>, bool) {
        let line = base64::encode(&[b"Ed", &ID[..], key].concat());
        let first = base64::encode(&[b"ED", &ID[..], of_hash].concat());
        let second = base64::encode(of_comment);
        let text = format!("untrusted comment: \n{first}\ntrusted comment: c\n{second}\n");
        std::fs::write(self.dir.join("sig"), &text).unwrap();
        let out = Command::new("minisign")
            .args(["-V", "-q", "-P", &line, "-m", "body", "-x", "sig"])
            .current_dir(&self.dir)
            .output()
            .expect("minisign is missing: make deps installs it");
        let mut b = self.artifact.clone();
        let at = signature_at(&b);
        b[at - 4..at].copy_from_slice(&(text.len() as u32).to_le_bytes());
        b[at..at + text.len()].copy_from_slice(text.as_bytes());
        let mut trust = Trust::NONE;
        let loaded = trust.add_key(&line).and_then(|()| {
            let options = LoadOptions { trust, ..LoadOptions::default() };
            load(Source::Bytes(&b), &options).map(|_| ())
        });
        (loaded, out.status.success())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[track_caller]
fn refused(what: &str, verdicts: (lucet::Result<()>, bool), status: Status) {
    let e = verdicts.0.expect_err(what);
    assert_eq!(e.status(), status, "{what}: {e}");
    assert!(!verdicts.1, "{what}: minisign accepts it");
}

#[test]
fn signatures_cannot_be_changed_into_others() {
    let bench = Bench::new();
    let (zero, key) = (EIGHT_TORSION[0], Key::plus(&EIGHT_TORSION[0]));
    let good = key.sign(bench.message(), &zero, false);
    assert_eq!(bench.verdicts(&key.1, &good, &key), (Ok(()), true), "an ordinary signature");
    for n in 1..=15 {
        let other = plus_order(&good, n);
        let what = format!("s + {n} l");
        refused(&what, bench.verdicts(&key.1, &other, &key), Status::UntrustedArtifact);
        // The same under the comment.
        let comment = key.sign(&[&good, &b"c"[..]].concat(), &zero, true);
        let verdicts = bench.verdicts_with(&key.1, &good, &plus_order(&comment, n));
        refused(&what, verdicts, Status::UntrustedArtifact);
    }
    for (what, signature) in [
        ("all zero", [0; 64]),
        ("all ones", [0xff; 64]),
        ("R, and s = 0", join(&good[..32].try_into().unwrap(), &[0; 32])),
        ("halves swapped", [&good[32..], &good[..32]].concat().try_into().unwrap()),
    ] {
        refused(what, bench.verdicts(&key.1, &signature, &key), Status::UntrustedArtifact);
    }
}

#[test]
fn points_of_small_order_are_refused_as_r() {
    let bench = Bench::new();
    let key = Key::plus(&EIGHT_TORSION[0]);
    let mut encodings: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|t| t.compress().0).collect();
    // The other ways to write y = 0 and y = 1, and a negative zero.
    encodings.extend([above_p(0), above_p(1)]);
    encodings.extend([above_p(0), above_p(1), EIGHT_TORSION[0].compress().0].map(negative));
    for r in &encodings {
        let signature = key.sign_small(bench.message(), r);
        let what = format!("R = {r:02x?}");
        refused(&what, bench.verdicts(&key.1, &signature, &key), Status::UntrustedArtifact);
    }
    assert_eq!(encodings.len(), 13);
}

#[test]
fn keys_with_which_anybody_could_sign_are_refused() {
    let bench = Bench::new();
    let signer = Key::plus(&EIGHT_TORSION[0]);
    let mut keys: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|t| t.compress().0).collect();
    // Every y that is written as one of at least p.
    keys.extend((0..19).map(above_p));
    keys.extend((0..19).map(above_p).map(negative));
    keys.extend([negative(EIGHT_TORSION[0].compress().0), negative(EIGHT_TORSION[4].compress().0)]);
    keys.extend([[0; 32], [0xff; 32]]);
    for key in &keys {
        // With a key of small order, s = r and R = r·B solve the cofactored equation for all
        // messages; with the neutral element, the other one too.
        let r = scalar(5);
        let anybody = join(&base(&r).compress().0, &r.to_bytes());
        let verdicts = bench.verdicts_with(key, &anybody, &anybody);
        refused(&format!("key {key:02x?}"), verdicts, Status::InvalidArgument);
        refused("forged", bench.verdicts(key, &anybody, &signer), Status::InvalidArgument);
    }
    let off_curve = (2..50u8).map(|y| {
        let mut bytes = [0; 32];
        bytes[0] = y;
        bytes
    });
    let off_curve: Vec<_> =
        off_curve.filter(|b| CompressedEdwardsY(*b).decompress().is_none()).collect();
    assert!(off_curve.len() > 10);
    for key in &off_curve {
        let e = lucet_artifact::minisign::PublicKey::new(lucet_artifact::minisign::KeyId(ID), *key);
        assert!(e.is_err(), "{key:02x?}");
    }
    assert_eq!(keys.len(), 8 + 38 + 4);
}

/// Where a point of small order was added to the key or to `R`, by who has the secret key.
#[test]
fn the_cofactor_is_multiplied_in() {
    let bench = Bench::new();
    let torsion = EIGHT_TORSION[1];
    let (plain, mixed) = (Key::plus(&EIGHT_TORSION[0]), Key::plus(&torsion));
    for (what, key, r, divides, minisign) in [
        ("R + T", &plain, torsion, true, false),
        ("key + T, 8 divides k", &mixed, EIGHT_TORSION[0], true, true),
        ("key + T, 8 does not", &mixed, EIGHT_TORSION[0], false, false),
        ("both + T", &mixed, torsion, true, false),
    ] {
        let signature = key.sign(bench.message(), &r, divides);
        let (lucet, other) = bench.verdicts(&key.1, &signature, key);
        assert_eq!((lucet, other), (Ok(()), minisign), "{what}");
        // It is still one of this message only.
        let elsewhere = key.sign(&[7; 64], &r, divides);
        refused(what, bench.verdicts(&key.1, &elsewhere, key), Status::UntrustedArtifact);
    }
}
