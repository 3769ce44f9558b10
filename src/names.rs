//! Looking up exports by name, for hosts that do it for each request.
//!
//! An open hash table of indices. The names come from modules that may be hostile: the hash is
//! seeded per module with random bits, so that nobody can choose names that collide.

use crate::sys::Seed;
use std::hash::{BuildHasher, Hasher};

/// Finds the number of a name in a list.
#[derive(Debug)]
pub(crate) struct Names {
    seed: [u64; 2],
    /// Number plus one, or 0; a power of two of them, at most half of which are used.
    places: Box<[u32]>,
    names: Box<[Box<[u8]>]>,
}

/// Multiplies and folds the product: each bit of the result depends on all of both.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl Names {
    /// A table of distinct names.
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let names: Box<[Box<[u8]>]> = names.map(|n| n.as_bytes().into()).collect();
        let random = || Seed::new().build_hasher().finish();
        let places = vec![0; (names.len() * 2).next_power_of_two()].into_boxed_slice();
        let mut table = Self { seed: [random(), random()], places, names };
        for n in 0..table.names.len() {
            let mut at = table.hash(&table.names[n]) as usize;
            while table.places[at & (table.places.len() - 1)] != 0 {
                at += 1;
            }
            let at = at & (table.places.len() - 1);
            table.places[at] = n as u32 + 1;
        }
        table
    }

    #[inline(always)]
    fn hash(&self, name: &[u8]) -> u64 {
        let [mut h, key] = self.seed;
        let (words, rest) = name.as_chunks::<8>();
        for word in words {
            h = fold(h ^ u64::from_le_bytes(*word), key | 1);
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        fold(h ^ u64::from_le_bytes(last), (key | 1) ^ (name.len() as u64) << 1)
    }

    /// The number of `name`.
    #[inline]
    pub(crate) fn find(&self, name: &[u8]) -> Option<usize> {
        let mut at = self.hash(name) as usize;
        loop {
            let n = *self.places.get(at & (self.places.len() - 1))?;
            let n = (n as usize).checked_sub(1)?;
            if self.names.get(n).is_some_and(|found| **found == *name) {
                return Some(n);
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there() {
        for n in [0usize, 1, 2, 3, 100, 5000] {
            let all: Vec<String> = (0..n).map(|i| "x".repeat(i % 40) + &i.to_string()).collect();
            let names = Names::new(all.iter().map(String::as_str));
            for (i, name) in all.iter().enumerate() {
                assert_eq!(names.find(name.as_bytes()), Some(i));
            }
            for other in
                ["", "y", "x-1", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]
            {
                assert_eq!(names.find(other.as_bytes()), None);
            }
        }
        let tail = Names::new(["a", "a\0", "a\0\0"].into_iter());
        assert_eq!(tail.find(b"a\0"), Some(1));
        assert_eq!(tail.find(b"a\0\0\0"), None);
    }
}
