//! Randomness: the kernel's, a reproducible sequence, or the embedder's.

use std::sync::Arc;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::types::Errno;

/// Randomness of the embedder's own. `instance` is what [`crate::Context::set_user`] was given.
pub trait Random: Send + Sync {
    /// Fills `into`.
    fn fill(&self, instance: u64, into: &mut [u8]) -> Result<(), Errno>;
}

/// Where random bytes come from.
#[derive(Clone, Default)]
pub enum RandomSource {
    /// The kernel's generator.
    #[default]
    System,
    /// The same bytes in every context: for reproducible runs, and for nothing that is secret.
    Seeded(u64),
    /// The embedder.
    Custom(Arc<dyn Random>),
}

impl RandomSource {
    /// Fills `into`. `position` counts the words that a context took of a seeded sequence.
    pub(crate) fn fill(
        &self,
        user: u64,
        position: &mut u64,
        mut into: &mut [u8],
    ) -> Result<(), Errno> {
        match self {
            RandomSource::System => {
                while !into.is_empty() {
                    let filled = match getrandom(&mut *into, GetRandomFlags::empty()) {
                        Err(rustix::io::Errno::INTR) => continue,
                        other => other?,
                    };
                    into = into.get_mut(filled..).ok_or(Errno::Io)?;
                }
                Ok(())
            }
            RandomSource::Seeded(seed) => {
                for chunk in into.chunks_mut(8) {
                    let word = mixed(*seed, *position).to_le_bytes();
                    *position = position.wrapping_add(1);
                    chunk.iter_mut().zip(word).for_each(|(to, from)| *to = from);
                }
                Ok(())
            }
            RandomSource::Custom(random) => random.fill(user, into),
        }
    }
}

/// Word `position` of the sequence of `seed`: a counter through a bijective mix (splitmix64).
fn mixed(seed: u64, position: u64) -> u64 {
    let mut z = seed.wrapping_add(position.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
