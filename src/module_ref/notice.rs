//! What a reference says at the moment: words that one writer at a time replaces together and that
//! any number of readers read without writing anything.
//!
//! ```text
//!  writer   stamp := odd │ words := …            │ stamp := even, one more
//!                        └ release fence         └ release
//!  reader   stamp (acquire) │ words │ acquire fence │ stamp again: the same, and even?
//! ```
//!
//! A reader that sees a word of a later writing also sees, after its fence, that writer's odd stamp
//! or a later one, and so finds that the stamp changed. One that saw the stamp of a writing sees
//! all of its words. So what a reader keeps was written together.
//!
//! Whoever finds the stamp odd or changed does not try again here: it takes the lock that writers
//! hold. Publishing is rare.

use crate::module::Func;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Most entry points that a reference can require.
pub(super) const MOST: usize = 64;

/// The words. They lie on cache lines that nobody writes while nothing is published: what readers
/// need, with up to five entry points, is one line.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Notice {
    /// Odd while the others are being replaced.
    stamp: AtomicU64,
    /// The reference that says it; 0: none.
    owner: AtomicU64,
    version: AtomicU64,
    /// The module's id; 0: there is none.
    module: AtomicU64,
    /// What functions of it carry: [`Func::module`].
    code: AtomicU64,
    /// Number of entry points.
    count: AtomicU32,
    /// Their indices.
    funcs: [AtomicU32; MOST],
}

impl Default for Notice {
    fn default() -> Self {
        Self {
            stamp: AtomicU64::new(0),
            owner: AtomicU64::new(0),
            version: AtomicU64::new(0),
            module: AtomicU64::new(0),
            code: AtomicU64::new(0),
            count: AtomicU32::new(0),
            funcs: [const { AtomicU32::new(0) }; MOST],
        }
    }
}

/// A module and its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub version: u64,
    pub module: u64,
}

impl Notice {
    /// Replaces everything. One writer at a time: the caller holds the reference's lock.
    pub(super) fn write(&self, owner: u64, seen: Seen, funcs: &[Func]) {
        let relaxed = Ordering::Relaxed;
        let stamp = self.stamp.load(relaxed);
        self.stamp.store(stamp | 1, relaxed);
        fence(Ordering::Release);
        self.owner.store(owner, relaxed);
        self.version.store(seen.version, relaxed);
        self.module.store(seen.module, relaxed);
        self.code.store(funcs.first().map_or(0, |f| f.module), relaxed);
        self.count.store(funcs.len().min(MOST) as u32, relaxed);
        for (to, f) in self.funcs.iter().zip(funcs) {
            to.store(f.index, relaxed);
        }
        self.stamp.store((stamp | 1).wrapping_add(1), Ordering::Release);
    }

    /// What `owner` says, if it names a module and as many entry points as are `wanted`; each goes
    /// to `put`, with its number. What was put counts only if the answer is not `None`.
    #[inline(always)]
    pub(super) fn read(
        &self,
        owner: u64,
        wanted: usize,
        mut put: impl FnMut(usize, Func),
    ) -> Option<Seen> {
        let relaxed = Ordering::Relaxed;
        let stamp = self.stamp.load(Ordering::Acquire);
        let seen = Seen { version: self.version.load(relaxed), module: self.module.load(relaxed) };
        let code = self.code.load(relaxed);
        let fits = self.owner.load(relaxed) == owner
            && seen.module != 0
            && self.count.load(relaxed) as usize == wanted;
        if !fits || stamp & 1 != 0 {
            return None;
        }
        for (n, index) in self.funcs.iter().take(wanted).enumerate() {
            put(n, Func { module: code, index: index.load(relaxed) });
        }
        fence(Ordering::Acquire);
        (self.stamp.load(relaxed) == stamp).then_some(seen)
    }

    /// The version alone.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn func(n: u64) -> Func {
        Func { module: n, index: n as u32 }
    }

    /// Readers see all of a writing or nothing, and never an earlier one after a later one.
    #[test]
    fn whole_and_in_order() {
        const OWNER: u64 = 77;
        let notice = Notice::default();
        let (done, funcs) = (AtomicBool::new(false), 40);
        let reader = || {
            let (mut last, mut whole, mut none) = (0, 0u64, 0u64);
            while !done.load(Ordering::Relaxed) || whole == 0 {
                let mut got = [Func::default(); MOST];
                let Some(seen) = notice.read(OWNER, funcs, |n, f| got[n] = f) else {
                    none += 1;
                    continue;
                };
                whole += 1;
                let version = seen.version;
                assert_eq!(seen.module, version ^ 0x5555);
                for (n, f) in got.iter().take(funcs).enumerate() {
                    assert_eq!((f.module, f.index), (version, version as u32 + n as u32));
                }
                assert!(version >= last, "{version} after {last}");
                last = version;
            }
            (whole, none)
        };
        std::thread::scope(|s| {
            let readers = [(); 3].map(|()| s.spawn(reader));
            for version in 1..400_000 {
                let all: Vec<_> = (0..funcs as u32)
                    .map(|n| Func { module: version, index: version as u32 + n })
                    .collect();
                notice.write(OWNER, Seen { version, module: version ^ 0x5555 }, &all);
            }
            done.store(true, Ordering::Relaxed);
            for r in readers {
                let (whole, _) = r.join().unwrap();
                assert!(whole > 0);
            }
        });
        assert_eq!(notice.version(), 399_999);
    }

    #[test]
    fn nothing_for_others() {
        let notice = Notice::default();
        let read = |owner, wanted| notice.read(owner, wanted, |_, _| {});
        assert_eq!(read(0, 0), None);
        let seen = Seen { version: 3, module: 9 };
        notice.write(5, seen, &[func(1), func(1)]);
        assert_eq!(read(5, 2), Some(seen));
        assert_eq!((read(5, 1), read(5, 3), read(6, 2)), (None, None, None));
        notice.stamp.store(7, Ordering::Relaxed);
        assert_eq!(read(5, 2), None, "somebody writes");
        notice.write(5, Seen { version: 4, module: 0 }, &[]);
        assert_eq!(read(5, 0), None, "no module");
        assert_eq!((notice.version(), notice.stamp.load(Ordering::Relaxed)), (4, 8));
    }
}
