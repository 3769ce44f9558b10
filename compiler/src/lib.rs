//! `lucetc`: compiles WebAssembly ahead of time to artifacts that liblucet loads.
//!
//! ```text
//!  bytes ─parse─► Parsed ─plan─► Plan ─translate/codegen─► Compiled ─emit─► artifact bytes
//! ```

#![forbid(unsafe_code)]

mod codegen;
pub mod emit;
pub mod error;
pub mod model;
pub mod options;
mod parse;
mod plan;
pub mod policy;
mod translate;

pub use codegen::Text;
pub use error::{Class, Diagnostic, Errors};
pub use options::{OptLevel, Options};

/// Compiles a module, binary or text, up to the point where only the container is missing.
///
/// All problems of one stage are reported together; the output depends on input and options only,
/// not on the number of threads.
pub fn compile_to_model(input: &[u8], options: &Options) -> Result<model::Compiled, Errors> {
    let wasm = parse::to_wasm(input)?;
    let parsed = parse::parse(&wasm)?;
    let plan = plan::plan(&wasm, parsed, options)?;
    codegen::compile(plan, options)
}

/// Compiles a module, binary or text, to the bytes of an artifact.
pub fn compile(input: &[u8], options: &Options) -> Result<Vec<u8>, Errors> {
    emit::emit(&compile_to_model(input, options)?)
}

/// The code of a module as text: every function, then trampolines and adapters.
pub fn compile_to_text(input: &[u8], options: &Options, what: Text) -> Result<String, Errors> {
    let wasm = parse::to_wasm(input)?;
    let parsed = parse::parse(&wasm)?;
    let plan = plan::plan(&wasm, parsed, options)?;
    codegen::text(&plan, options, what)
}
