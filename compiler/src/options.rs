//! What a caller may choose: the same for the library and the command.

use crate::policy::Policy;
use lucet_artifact::contract::cpu;
use lucet_artifact::types::MemoryShape;

/// Optimisation level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OptLevel {
    /// Compile fast.
    None,
    /// Run fast.
    #[default]
    Speed,
    /// Run fast, small code.
    SpeedAndSize,
}

/// Options of a compilation.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the module may do.
    pub policy: Policy,
    /// Optimisation level.
    pub opt_level: OptLevel,
    /// Shape of memory 0.
    pub memory: MemoryShape,
    /// CPU features that code may use, bits of [`cpu`].
    pub cpu: u64,
    /// Threads for code generation; 0 means one per CPU. The output does not depend on it.
    pub threads: usize,
    /// Check intermediate code and register allocation (slower; for tests and fuzzing).
    pub paranoid: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            opt_level: OptLevel::Speed,
            memory: MemoryShape::Guarded,
            cpu: cpu::X86_64_V2,
            threads: 0,
            paranoid: false,
        }
    }
}
