//! What this version of the runtime and this machine can run: format and ABI versions, CPU and
//! language features. The answer to everything else is [`Status::UnsupportedArtifact`], which tells
//! an operator that the file is fine but meant for another place.

#![forbid(unsafe_code)]

use crate::error::{Error, Result, Status};
use lucet_artifact::contract::{Contract, cpu, feature};
use lucet_artifact::{ABI_VERSION, FORMAT_VERSION, OLDEST_READABLE_FORMAT};

/// An error that says what is not supported.
pub(super) fn unsupported(message: impl Into<String>) -> Error {
    Error::new(Status::UnsupportedArtifact, message)
}

/// Format and ABI version, the first two words of the contract.
pub(super) fn check_versions(bytes: &[u8]) -> Result<()> {
    let word = |at: usize| {
        let word: Option<[u8; 4]> = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
        word.map(u32::from_le_bytes)
    };
    let readable = OLDEST_READABLE_FORMAT..=FORMAT_VERSION;
    if let Some(format) = word(0).filter(|f| !readable.contains(f)) {
        return Err(unsupported(format!(
            "artifact format {format}; this version reads {OLDEST_READABLE_FORMAT} to \
             {FORMAT_VERSION}: compile it again with the lucetc that belongs to this runtime"
        )));
    }
    if let Some(abi) = word(4).filter(|abi| *abi != ABI_VERSION) {
        return Err(unsupported(format!(
            "compiled for ABI version {abi}, this runtime has {ABI_VERSION}: compile it again with \
             the lucetc that belongs to this runtime"
        )));
    }
    Ok(())
}

/// CPU and language features.
pub(super) fn check_features(contract: &Contract) -> Result<()> {
    missing_features(contract.cpu, cpu_has)?;
    let known = feature::NAMES.iter().fold(0, |bits, (bit, _)| bits | bit);
    if contract.features & !known != 0 {
        let bits = contract.features & !known;
        return Err(unsupported(format!("uses language features unknown here (bits {bits:#x})")));
    }
    Ok(())
}

/// Whether this CPU has one feature of [`cpu::NAMES`]; `None` for a bit that is not known.
fn cpu_has(bit: u64) -> Option<bool> {
    use std::is_x86_feature_detected as has;
    Some(match bit {
        cpu::SSE3 => has!("sse3"),
        cpu::SSSE3 => has!("ssse3"),
        cpu::SSE41 => has!("sse4.1"),
        cpu::SSE42 => has!("sse4.2"),
        cpu::POPCNT => has!("popcnt"),
        cpu::AVX => has!("avx"),
        cpu::AVX2 => has!("avx2"),
        cpu::FMA => has!("fma"),
        cpu::BMI1 => has!("bmi1"),
        cpu::BMI2 => has!("bmi2"),
        cpu::LZCNT => has!("lzcnt"),
        cpu::CX16 => has!("cmpxchg16b"),
        _ => return None,
    })
}

fn missing_features(needed: u64, has: impl Fn(u64) -> Option<bool>) -> Result<()> {
    let mut missing = Vec::new();
    for bit in (0..u64::BITS).map(|i| 1u64 << i).filter(|bit| needed & bit != 0) {
        match (has(bit), cpu::NAMES.iter().find(|(b, _)| *b == bit)) {
            (Some(true), _) => {}
            (_, Some((_, name))) => missing.push((*name).to_owned()),
            (_, None) => missing.push(format!("unknown feature {bit:#x}")),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(", ");
    Err(unsupported(format!(
        "needs CPU features that this machine lacks: {list}; compile it for an older CPU"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_cpu_features_are_named() {
        assert!(missing_features(cpu::X86_64_V3, |_| Some(true)).is_ok());
        let needed = cpu::AVX2 | cpu::POPCNT | cpu::BMI2 | 1 << 63;
        let e =
            missing_features(needed, |bit| Some(bit != cpu::AVX2 && bit < 1 << 60)).unwrap_err();
        assert_eq!(e.status(), Status::UnsupportedArtifact);
        assert!(e.message().contains("avx2, unknown feature 0x8000000000000000;"), "{e}");
        for (bit, name) in cpu::NAMES {
            assert!(cpu_has(bit).is_some(), "{name}");
        }
        assert_eq!(cpu_has(1 << 40), None);
    }
}
