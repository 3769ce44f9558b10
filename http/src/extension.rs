//! The functions of `lucet_http_v1`: what http-wasm does not have. Described in
//! `docs/abi/lucet_http_v1.md`.

/// The name of the module that these functions are imported from.
pub const MODULE: &str = "lucet_http_v1";
