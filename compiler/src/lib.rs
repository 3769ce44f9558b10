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
