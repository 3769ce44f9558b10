//! The target: x86-64 Linux, with settings that the artifact format and the runtime rely on.

use crate::error::{Class, Diagnostic};
use crate::options::{OptLevel, Options};
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use lucet_artifact::contract::cpu;

/// Cranelift's setting for each CPU feature. Without `has_sse41`, for example, rounding would call
/// a C library, so the default target is x86-64-v2.
const CPU: [(u64, &str); 12] = [
    (cpu::SSE3, "has_sse3"),
    (cpu::SSSE3, "has_ssse3"),
    (cpu::SSE41, "has_sse41"),
    (cpu::SSE42, "has_sse42"),
    (cpu::POPCNT, "has_popcnt"),
    (cpu::AVX, "has_avx"),
    (cpu::AVX2, "has_avx2"),
    (cpu::FMA, "has_fma"),
    (cpu::BMI1, "has_bmi1"),
    (cpu::BMI2, "has_bmi2"),
    (cpu::LZCNT, "has_lzcnt"),
    (cpu::CX16, "has_cmpxchg16b"),
];

/// Builds the target for these options and a level of optimisation.
pub fn build(options: &Options, opt_level: OptLevel) -> Result<OwnedTargetIsa, Diagnostic> {
    let bad = |e: &dyn std::fmt::Display| {
        Diagnostic::new(Class::Internal, format!("code generator settings: {e}"))
    };
    let verify = options.paranoid || cfg!(debug_assertions);
    // Register allocation with backtracking makes better code, but its time grows with more than
    // the size of the function.
    let (opt_level, regalloc) = match opt_level {
        OptLevel::None => ("none", "single_pass"),
        OptLevel::Speed => ("speed", "backtracking"),
        OptLevel::SpeedAndSize => ("speed_and_size", "backtracking"),
    };
    let flag = |b: bool| if b { "true" } else { "false" };
    let mut flags = settings::builder();
    for (name, value) in [
        ("opt_level", opt_level),
        ("is_pic", "true"),
        ("tls_model", "none"),
        ("regalloc_algorithm", regalloc),
        ("enable_verifier", flag(verify)),
        ("regalloc_checker", flag(options.paranoid)),
        // Backtraces walk frame pointers; so do perf and bpf.
        ("preserve_frame_pointers", "true"),
        ("unwind_info", "true"),
        // A frame larger than a page touches each page, so that it cannot jump over the guard.
        ("enable_probestack", "true"),
        ("probestack_strategy", "inline"),
        ("log2_min_function_alignment", "5"),
        ("machine_code_cfg_info", "false"),
        // Functions with more results than registers return them through a hidden pointer.
        ("enable_multi_ret_implicit_sret", "true"),
    ] {
        flags.set(name, value).map_err(|e| bad(&e))?;
    }
    let mut target = isa::lookup_by_name("x86_64-unknown-linux-gnu").map_err(|e| bad(&e))?;
    for (bit, name) in CPU {
        target.set(name, flag(options.cpu & bit != 0)).map_err(|e| bad(&e))?;
    }
    target.finish(settings::Flags::new(flags)).map_err(|e| bad(&e))
}
