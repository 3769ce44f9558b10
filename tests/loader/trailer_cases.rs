//! Trailers that do not fit.

use super::good::load_bytes;
use super::sample::sample;
use lucet::Status;
use lucet_artifact::trailer::{HASH_OFFSET, TRAILER_BYTES, Trailer, hash};

/// Computes the hash again, as somebody who edits the trailer would.
fn rehash(b: &mut [u8]) {
    let at = b.len() - TRAILER_BYTES + HASH_OFFSET;
    let h = hash(&[&b[..at]]);
    b[at..at + 64].copy_from_slice(&h);
}

#[test]
fn trailers_are_checked() {
    let good = sample().build();
    let start = good.len() - TRAILER_BYTES;
    let invalid = Status::InvalidArtifact;
    let cases: [(&str, usize, u8, Status, &str); 11] = [
        ("magic", 0, b'l', invalid, "trailer is missing"),
        ("version", 8, 2, invalid, "trailer version"),
        ("unknown flag", 12, 2, invalid, "trailer flags"),
        ("snapshot", 12, 1, invalid, "without the hash of its parent"),
        ("body length", 16, 1, invalid, "body length"),
        ("huge body length", 23, 0xff, invalid, "body length"),
        ("parent", 24, 1, invalid, "parent hash"),
        ("reserved", 90, 1, invalid, "reserved bytes"),
        ("signature too long", 195, 1, invalid, "length of the signature"),
        ("signature that is none", 192, 4, invalid, "not a signature of minisign: line 1"),
        ("padding", 511, 1, invalid, "padding"),
    ];
    for (name, at, value, status, part) in cases {
        let mut b = good.clone();
        b[start + at] = value;
        rehash(&mut b);
        let e = load_bytes(&b).unwrap_err();
        assert_eq!(e.status(), status, "{name}: {e}");
        assert!(e.message().contains(part), "{name}: {e}");
    }
    let mut b = good.clone();
    b[start + HASH_OFFSET] ^= 1;
    let e = load_bytes(&b).unwrap_err();
    assert!(e.status() == invalid && e.message().contains("hash does not match"), "{e}");
}

#[test]
fn a_second_trailer_does_not_hide_bytes() {
    let mut b = sample().build();
    Trailer::append(&mut b, 0, [0; 64]).unwrap();
    let e = load_bytes(&b).unwrap_err();
    assert!(e.message().contains("unused bytes follow"), "{e}");
}
