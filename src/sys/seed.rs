//! Seeds for hash tables whose keys may come from somebody who would like them to collide.
//!
//! The standard library asks the kernel for random bytes and panics if it gets none. Here the 16
//! random bytes are used that the kernel gives each program when it starts, with a number that is
//! another one for each table: no system call, and nothing that can fail. Nobody learns the bytes
//! from the order of a table: they go through SipHash.

use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes hashers that nobody outside can foresee.
#[derive(Debug, Clone)]
pub struct Seed(u128, u64);

impl Seed {
    /// A seed that no other table has.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // SAFETY: a plain C call, which answers the address of 16 bytes that stay, or 0.
        let at = unsafe { libc::getauxval(libc::AT_RANDOM) } as *const u128;
        // SAFETY: as above.
        let bytes = if at.is_null() { 0 } else { unsafe { at.read_unaligned() } };
        Self(bytes, NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Default for Seed {
    fn default() -> Self {
        Self::new()
    }
}

impl BuildHasher for Seed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u128(self.0);
        hasher.write_u64(self.1);
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_and_are_not_zero() {
        let (a, b) = (Seed::new(), Seed::new());
        assert_ne!(a.0, 0, "no random bytes from the kernel");
        assert_eq!(a.hash_one("x"), a.clone().hash_one("x"));
        assert_ne!(a.hash_one("x"), b.hash_one("x"));
    }
}
