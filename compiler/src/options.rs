//! What a caller may choose: the same for the library and the command.

use crate::limits::Limits;
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

impl OptLevel {
    /// The level with this name on the command line: a digit as C compilers have it, or a word.
    /// Level 1 is level 2: the code generator has nothing in between.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "0" | "none" => Self::None,
            "1" | "2" | "speed" => Self::Speed,
            "s" | "size" => Self::SpeedAndSize,
            _ => return None,
        })
    }
}

/// The CPU features, bits of [`cpu`], behind a name: a level of the x86-64 psABI, or `native` for
/// those of the CPU this runs on.
///
/// `native` detects what `x86-64-v3` has and no more. On another architecture than x86-64 it means
/// nothing and gives `None`, like an unknown name.
#[must_use]
pub fn cpu_from_name(name: &str) -> Option<u64> {
    match name {
        "x86-64-v2" => Some(cpu::X86_64_V2),
        "x86-64-v3" => Some(cpu::X86_64_V3),
        "native" => native_cpu(),
        _ => None,
    }
}

#[cfg(target_arch = "x86_64")]
fn native_cpu() -> Option<u64> {
    let found = [
        (cpu::SSE3, is_x86_feature_detected!("sse3")),
        (cpu::SSSE3, is_x86_feature_detected!("ssse3")),
        (cpu::SSE41, is_x86_feature_detected!("sse4.1")),
        (cpu::SSE42, is_x86_feature_detected!("sse4.2")),
        (cpu::POPCNT, is_x86_feature_detected!("popcnt")),
        (cpu::AVX, is_x86_feature_detected!("avx")),
        (cpu::AVX2, is_x86_feature_detected!("avx2")),
        (cpu::FMA, is_x86_feature_detected!("fma")),
        (cpu::BMI1, is_x86_feature_detected!("bmi1")),
        (cpu::BMI2, is_x86_feature_detected!("bmi2")),
        (cpu::LZCNT, is_x86_feature_detected!("lzcnt")),
        (cpu::CX16, is_x86_feature_detected!("cmpxchg16b")),
    ];
    Some(found.iter().filter(|(_, has)| *has).fold(0, |bits, (bit, _)| bits | bit))
}

#[cfg(not(target_arch = "x86_64"))]
fn native_cpu() -> Option<u64> {
    None
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
    /// Count fuel, so that runs can be limited by steps; the policy can ask for it too.
    pub fuel: bool,
    /// Threads for code generation; 0 means one per CPU. The output does not depend on it.
    pub threads: usize,
    /// How large the module and its parts may be, and what compiling it may take.
    pub limits: Limits,
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
            fuel: false,
            threads: 0,
            limits: Limits::default(),
            paranoid: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(OptLevel::from_name("0"), Some(OptLevel::None));
        assert_eq!(OptLevel::from_name("speed"), Some(OptLevel::default()));
        assert_eq!(OptLevel::from_name("s"), Some(OptLevel::SpeedAndSize));
        assert_eq!(OptLevel::from_name("3"), None);
        assert_eq!(cpu_from_name("x86-64-v3"), Some(cpu::X86_64_V3));
        assert_eq!(cpu_from_name("pentium"), None);
        let native = cpu_from_name("native");
        assert_eq!(native.is_some(), cfg!(target_arch = "x86_64"));
        assert_eq!(native.unwrap_or(0) & !cpu::X86_64_V3, 0);
    }
}
