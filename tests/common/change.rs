//! Changes to artifacts, as somebody would make who looks for a way in: a few numbers, or a piece
//! of another artifact. The fuzzer of the loader makes the same.

use super::random::Rng;
use lucet_artifact::container::TEXT;
use lucet_artifact::trailer::TRAILER_BYTES;
use std::ops::Range;

/// Numbers at which checks tend to be wrong.
const LIKELY: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 63,
    u64::MAX,
    4096,
];

/// Where the code lies, if the artifact is whole enough to say so.
fn code(artifact: &[u8]) -> Range<usize> {
    let body = &artifact[..artifact.len() - TRAILER_BYTES];
    let elf = lucet_artifact::elf::parse(body).ok();
    elf.and_then(|elf| elf.section(TEXT)).unwrap_or_default()
}

/// A place outside of the code, preferably where the sections of the contract lie.
fn place(len: usize, text: &Range<usize>, rng: &mut Rng) -> usize {
    loop {
        let at = match rng.below(4) {
            0 => rng.below(len.min(4096)),
            _ => text.end + rng.below(len.saturating_sub(text.end)),
        };
        if !text.contains(&at) && at < len {
            return at;
        }
    }
}

/// The artifact with one to four changes; the code stays as it is.
pub fn change(artifact: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut b = artifact.to_vec();
    let (len, text) = (b.len() - TRAILER_BYTES, code(artifact));
    for _ in 0..=rng.below(4) {
        let at = place(len, &text, rng);
        let most = if at < text.start { text.start - at } else { len - at };
        if rng.below(6) == 0 {
            // A piece of another one.
            let n = (1 + rng.below(64)).min(most);
            let from = rng.below(other.len().saturating_sub(n));
            if let Some(piece) = other.get(from..from + n) {
                b[at..at + n].copy_from_slice(piece);
            }
            continue;
        }
        let n = [1, 2, 4, 8][rng.below(4)].min(most);
        let old = b[at..at + n].iter().rev().fold(0, |v, byte| v << 8 | u64::from(*byte));
        let new = match rng.below(5) {
            0 => rng.next(),
            1 => LIKELY[rng.below(LIKELY.len())],
            2 => old.wrapping_add(rng.below(64) as u64).wrapping_sub(32),
            3 => old ^ 1 << rng.below(8 * n),
            _ => old ^ rng.next() & rng.next() & rng.next(),
        };
        b[at..at + n].copy_from_slice(&new.to_le_bytes()[..n]);
    }
    b
}
