//! Lucet's runtime: loads ahead-of-time compiled WebAssembly under a contract and runs it, one
//! fresh instance per request, inside C and C++ servers.

pub mod error;

pub use error::{Error, Result, Status};
