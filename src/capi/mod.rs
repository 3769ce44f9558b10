//! The C interface: what `include/lucet.h` declares. One file per noun; each is a thin border
//! around the Rust interface of the same name, and nobody in the crate uses anything from here.
//!
//! ```text
//!  C ── NULL? ── handle? ── text, enums, lengths? ──► safe Rust ──► Ok ─► out-parameters, OK
//!       └────────────┴──────────────┴── Err ────────────┴─ panic ─► status + lucet_last_error
//! ```
//!
//! * [`handle`]: handles are numbers, never dereferenced, so a wrong one is a status
//! * [`error`]: the panic boundary, and the message of the last failed call
//! * [`args`]: checks of parameters
//! * [`status`], [`val`], [`library`], [`region`], [`module`], [`contract`], [`trust`],
//!   [`instance`], [`module_ref`], [`group`], [`backtrace`], [`snapshot`], [`vmctx`], [`fuel`]: the
//!   sections of `lucet.h`, in its order
//! * [`wasi`]: `lucet_wasi.h`; [`wasi_settings`]: what its configurations hold
//! * [`http_server`], [`http`]: those of `lucet_http.h`
//!
//! The header is generated from these files, their comments included, by `header.rs`; so the
//! comments on public items speak C. Types have their C names for the same reason. Enumerations
//! cross as plain integers ([`raw`]): a C caller may pass any number, and a Rust `enum` with an
//! unknown number is undefined behaviour. The generator sees only the last part of
//! `raw::lucet_status`, and so prints the name of the enumeration.
//!
//! # Safety
//! What C callers must keep to is the same for every function, and stands in the header under
//! POINTERS (`intro.h`): a pointer that is no handle is NULL or points to what its type and the
//! length beside it say, until the call returns; a `lucet_vmctx *` is what the host function was
//! called with; a host function has the C type of its signature, and returns.
#![allow(non_camel_case_types)]
// The section above is the one for all functions.
#![allow(clippy::missing_safety_doc)]

mod args;
mod backtrace;
mod contract;
mod error;
mod exception;
mod fuel;
mod group;
mod growth;
mod handle;
mod http;
mod http_server;
mod instance;
#[cfg(test)]
mod layout;
mod library;
mod module;
mod module_ref;
mod region;
mod snapshot;
mod stats;
mod status;
mod trust;
mod val;
mod vmctx;
mod wasi;
mod wasi_settings;

/// Numbers of enumerations as they cross the border.
mod raw {
    /// A `Status`.
    pub type lucet_status = i32;
    /// An `OutcomeKind`.
    pub type lucet_outcome_kind = i32;
    /// A `FrameKind`.
    pub type lucet_frame_kind = i32;
    /// A `TrapCode`, or 0.
    pub type lucet_trap_code = i32;
    /// A stream: 0 to 2.
    pub type lucet_wasi_stream = i32;
    /// A limit of WASI.
    pub type lucet_wasi_limit = i32;
    /// A `GrowthKind`.
    pub type lucet_growth_kind = i32;
    /// The byte of a `ValType`.
    pub type lucet_val_type = i32;
    /// An `Abi`.
    pub type lucet_http_abi = i32;
    /// A `Next`.
    pub type lucet_http_next = i32;
    /// A `Wait`, or 0.
    pub type lucet_http_wait = i32;
    /// A `Field`.
    pub type lucet_http_field = i32;
    /// A `Kind`.
    pub type lucet_http_kind = i32;
    /// A `Body`.
    pub type lucet_http_body = i32;
    /// A `Change`.
    pub type lucet_http_change = i32;
    /// A `Reply`.
    pub type lucet_http_reply = i32;
    /// A `Level`.
    pub type lucet_http_log_level = i32;
}
