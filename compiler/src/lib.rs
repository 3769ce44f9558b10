//! `lucetc`: compiles WebAssembly ahead of time to artifacts that liblucet loads.
//!
//! ```text
//!  bytes ─parse─► Parsed ─plan─► Plan ─translate/codegen─► Compiled ─emit─► artifact bytes
//! ```

#![forbid(unsafe_code)]

mod budget;
mod codegen;
pub mod emit;
pub mod error;
pub mod limits;
pub mod model;
pub mod options;
mod panics;
mod parse;
mod plan;
pub mod policy;
pub mod signing;
mod translate;

use budget::Budget;

pub use codegen::Text;
pub use error::{Class, Diagnostic, Errors};
pub use options::{OptLevel, Options};
pub use panics::keep_quiet;

/// Compiles a module, binary or text, up to the point where only the container is missing.
///
/// All problems of one stage are reported together; the output depends on input and options only,
/// not on the number of threads.
///
/// The work is done on threads of its own and needs little of the caller's stack, however deep the
/// module nests. A bug beneath that panics is an error of class [`Class::Internal`]; see
/// [`keep_quiet`] for what it prints. What no library can turn into an error is that memory runs
/// out, which ends the process; the command `lucetc` therefore compiles in a process of its own.
///
/// # Errors
///
/// What is wrong with the module, or that a limit of [`Options::limits`] is exceeded, time
/// included.
pub fn compile_to_model(input: &[u8], options: &Options) -> Result<model::Compiled, Errors> {
    guarded(|| model(input, options, &Budget::new(options, input.len())))
}

/// Compiles a module, binary or text, to the bytes of an artifact.
///
/// # Errors
///
/// As for [`compile_to_model`].
pub fn compile(input: &[u8], options: &Options) -> Result<Vec<u8>, Errors> {
    guarded(|| {
        let budget = Budget::new(options, input.len());
        let compiled = model(input, options, &budget)?;
        budget.check()?;
        emit::emit(&compiled)
    })
}

/// The code of a module as text: every function, then trampolines and adapters.
///
/// # Errors
///
/// As for [`compile_to_model`].
pub fn compile_to_text(input: &[u8], options: &Options, what: Text) -> Result<String, Errors> {
    guarded(|| {
        let budget = Budget::new(options, input.len());
        let wasm = parse::to_wasm(input, &options.limits)?;
        codegen::text(&planned(&wasm, options, &budget)?, options, &budget, what)
    })
}

fn model(input: &[u8], options: &Options, budget: &Budget) -> Result<model::Compiled, Errors> {
    let wasm = parse::to_wasm(input, &options.limits)?;
    codegen::compile(planned(&wasm, options, budget)?, options, budget)
}

fn planned<'a>(
    wasm: &'a [u8],
    options: &Options,
    budget: &Budget,
) -> Result<plan::Plan<'a>, Errors> {
    budget.check()?;
    let parsed = parse::parse(wasm, &options.limits)?;
    budget.check()?;
    plan::plan(wasm, parsed, options)
}

fn guarded<T>(run: impl FnOnce() -> Result<T, Errors>) -> Result<T, Errors> {
    panics::caught(run).unwrap_or_else(|said| {
        Err(Diagnostic::new(Class::Internal, format!("lucetc panicked: {said}")).into())
    })
}
