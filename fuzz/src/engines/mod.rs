//! The engines that programs are compared under. Each turns a case into what can be seen of it.

pub mod lucet;
pub mod wasmi;
pub mod wasmtime;

/// Why an engine did not run a program.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// It does not have a proposal that the program uses.
    Unsupported(#[allow(dead_code, reason = "for a person to read")] String),
    /// The program is larger than it allows.
    Limit(#[allow(dead_code, reason = "for a person to read")] String),
    /// For no reason that holds.
    Wrong(String),
}

/// The provider in binary form.
pub fn provider_wasm() -> &'static [u8] {
    static WASM: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    WASM.get_or_init(|| wat::parse_str(crate::host::PROVIDER_TEXT).expect("the provider is valid"))
}
