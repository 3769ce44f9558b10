//! Counters of a worker. They lie in a file that the supervisor reads, together with the seed at
//! hand, so that a worker which dies leaves both.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Programs that lucet compiled and ran.
    pub modules: u64,
    /// Functions that were called.
    pub calls: u64,
    /// Programs that were run again in a fresh instance.
    pub again: u64,
    /// Programs compared with wasmi, with Wasmtime, with none.
    pub wasmi: u64,
    pub wasmtime: u64,
    pub alone: u64,
    /// Programs whose end is not to be compared, for want of fuel or stack.
    pub unknown: u64,
    /// Programs that lucet does not support, or refuses for their size.
    pub unsupported: u64,
    pub limits: u64,
    /// Programs about which wasmi alone says something else.
    pub outvoted: u64,
    /// Mutated modules, texts and policies.
    pub mutants: u64,
    pub accepted: u64,
    pub texts: u64,
    pub policies: u64,
    /// Findings.
    pub findings: u64,
}

/// Words of a tally.
const WORDS: usize = 15;

impl Tally {
    fn words(&mut self) -> [&mut u64; WORDS] {
        [
            &mut self.modules,
            &mut self.calls,
            &mut self.again,
            &mut self.wasmi,
            &mut self.wasmtime,
            &mut self.alone,
            &mut self.unknown,
            &mut self.unsupported,
            &mut self.limits,
            &mut self.outvoted,
            &mut self.mutants,
            &mut self.accepted,
            &mut self.texts,
            &mut self.policies,
            &mut self.findings,
        ]
    }

    /// Adds another.
    pub fn add(&mut self, mut other: Self) {
        for (a, b) in self.words().into_iter().zip(other.words()) {
            *a += *b;
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} modules ({} calls, {} run twice; {} against wasmi, {} against Wasmtime, {} alone; \
             {} out of fuel or stack, {} unsupported, {} too large; wasmi outvoted {} times), \
             {} mutants ({} accepted), {} texts, {} policies: {} findings",
            self.modules,
            self.calls,
            self.again,
            self.wasmi,
            self.wasmtime,
            self.alone,
            self.unknown,
            self.unsupported,
            self.limits,
            self.outvoted,
            self.mutants,
            self.accepted,
            self.texts,
            self.policies,
            self.findings
        )
    }
}

/// A worker's file.
pub struct State(File);

impl State {
    /// Makes the file.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self(File::options().create(true).write(true).read(true).truncate(true).open(path)?))
    }

    /// Opens it to read.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self(File::open(path)?))
    }

    /// Notes the seed at hand and the numbers so far.
    pub fn write(&self, seed: u64, mut tally: Tally) -> std::io::Result<()> {
        let mut bytes = seed.to_le_bytes().to_vec();
        for w in tally.words() {
            bytes.extend_from_slice(&w.to_le_bytes());
        }
        self.0.write_all_at(&bytes, 0)
    }

    /// Reads both.
    pub fn read(&self) -> Option<(u64, Tally)> {
        let mut bytes = [0; 8 * (WORDS + 1)];
        self.0.read_exact_at(&mut bytes, 0).ok()?;
        let mut words = bytes.as_chunks::<8>().0.iter().map(|w| u64::from_le_bytes(*w));
        let seed = words.next()?;
        let mut tally = Tally::default();
        for (to, from) in tally.words().into_iter().zip(words) {
            *to = from;
        }
        Some((seed, tally))
    }
}
