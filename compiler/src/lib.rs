//! `lucetc`: compiles WebAssembly ahead of time to artifacts that liblucet loads.
//!
//! ```text
//!  bytes ─parse─► Parsed ─plan─► Plan ─translate/codegen─► Compiled ─emit─► artifact bytes
//! ```

#![forbid(unsafe_code)]

pub mod emit;
pub mod error;
pub mod model;
pub mod options;
pub mod policy;

pub use error::{Class, Diagnostic, Errors};
pub use options::{OptLevel, Options};

/// Stand-in until the stages before [`emit`] are merged.
pub fn compile_to_model(_: &[u8], _: &Options) -> Result<model::Compiled, Errors> {
    Err(Diagnostic::new(Class::Internal, "no code generator in this build").into())
}

/// Compiles to an artifact.
pub fn compile(input: &[u8], options: &Options) -> Result<Vec<u8>, Errors> {
    emit::emit(&compile_to_model(input, options)?)
}

/// Stand-in.
pub fn clif(input: &[u8], options: &Options) -> Result<String, Errors> {
    compile_to_model(input, options).map(|_| String::new())
}

/// Stand-in.
pub fn asm(input: &[u8], options: &Options) -> Result<String, Errors> {
    compile_to_model(input, options).map(|_| String::new())
}
