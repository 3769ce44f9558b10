//! Exhaustive damage: every truncation, every single bit, with and without a matching hash.

use super::good::load_bytes;
use super::sample::{Parts, range_of, resealed, sample, sealed, snapshot};
use lucet::Status;
use lucet_artifact::container::TEXT;
use lucet_artifact::trailer::TRAILER_BYTES;

/// Without image and frames, to keep the number of bits small.
fn small() -> Vec<u8> {
    small_of(sample())
}

fn small_of(mut parts: Parts) -> Vec<u8> {
    parts.frames = false;
    parts.image.clear();
    parts.init.image.clear();
    parts.build()
}

fn halves(n: usize, work: impl Fn(usize) + Sync) {
    std::thread::scope(|s| {
        for range in [0..n / 2, n / 2..n] {
            let work = &work;
            s.spawn(move || range.for_each(work));
        }
    });
}

#[test]
fn every_truncation_is_refused() {
    let bytes = small();
    halves(bytes.len(), |n| {
        let e = load_bytes(&bytes[..n]).unwrap_err();
        assert!(matches!(e.status(), Status::NotAnArtifact | Status::InvalidArtifact), "{n}: {e}");
    });
}

#[test]
fn every_truncation_with_matching_hash_is_refused() {
    let body = small();
    let body = &body[..body.len() - TRAILER_BYTES];
    halves(body.len(), |n| {
        let e = load_bytes(&sealed(body[..n].to_vec())).unwrap_err();
        assert!(matches!(e.status(), Status::NotAnArtifact | Status::InvalidArtifact), "{n}: {e}");
    });
}

#[test]
fn every_flipped_bit_is_noticed() {
    notices_every_flipped_bit(&small());
}

#[test]
fn every_flipped_bit_of_a_snapshot_is_noticed() {
    notices_every_flipped_bit(&small_of(snapshot()));
}

fn notices_every_flipped_bit(bytes: &[u8]) {
    // Behind the hash lies the signature, which is outside of what it covers: see tests/signing.
    let covered = bytes.len() - TRAILER_BYTES + 192;
    halves(covered, |at| {
        for bit in 0..8 {
            let mut b = bytes.to_vec();
            b[at] ^= 1 << bit;
            let e = load_bytes(&b).unwrap_err();
            let expected = matches!(e.status(), Status::NotAnArtifact | Status::InvalidArtifact);
            assert!(expected, "byte {at} bit {bit}: {e}");
        }
    });
}

#[test]
fn every_flipped_bit_with_matching_hash_is_survived() {
    survives_every_flipped_bit(&small());
}

#[test]
fn every_flipped_bit_of_a_snapshot_with_matching_hash_is_survived() {
    survives_every_flipped_bit(&small_of(snapshot()));
}

fn survives_every_flipped_bit(bytes: &[u8]) {
    let text = range_of(bytes, TEXT);
    halves(bytes.len() - TRAILER_BYTES, |at| {
        for bit in 0..8 {
            let mut b = bytes.to_vec();
            b[at] ^= 1 << bit;
            match load_bytes(&resealed(&b)) {
                // Whatever loads answers questions without panicking.
                Ok(loaded) => {
                    for i in 0..4 {
                        let _ = loaded.function_name(i);
                        for pc in [0, 96, 128, 159, u32::MAX] {
                            let _ = (loaded.wasm_offset(i, pc), loaded.function_at(pc));
                        }
                    }
                }
                Err(e) => {
                    assert!(!text.contains(&at), "byte {at} of .text: {e}");
                    let expected = matches!(
                        e.status(),
                        Status::NotAnArtifact
                            | Status::InvalidArtifact
                            | Status::UnsupportedArtifact
                    );
                    assert!(expected, "byte {at} bit {bit}: {e}");
                }
            }
        }
    });
}
