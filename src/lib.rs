//! Lucet's runtime: loads ahead-of-time compiled WebAssembly under a contract and runs it, one
//! fresh instance per request, inside C and C++ servers.

pub mod error;
#[doc(hidden)]
pub mod loader;
#[doc(hidden)]
pub mod sys;

pub use error::{Error, Result, Status};
