//! `lucet-artifact`: the one definition of every byte that the compiler and the runtime share.
//!
//! Five things live here, and nothing else:
//!
//! * **the ABI between compiled code and the runtime** ([`abi`], [`layout`]): where instance data
//!   lies below `vmctx`, which builtins exist, what a table entry looks like, which number a trap
//!   has. lucetc turns these into immediate operands; liblucet lays the same bytes out in memory.
//! * **what code is charged** that counts its steps ([`fuel`]).
//! * **the artifact's sections** ([`contract`], [`types`], [`init`], [`code`], [`snapshot`],
//!   [`trailer`]): each has an encoder and a decoder side by side, and every count, length and
//!   offset in it is checked against [`limits`] in both directions.
//! * **signatures and the keys that made them** ([`minisign`], [`base64`]), and who has to have
//!   vouched for an artifact ([`trust`]).
//! * **the container** ([`container`], [`elf`]): section names and alignments of the ELF file that
//!   the sections travel in, and the reader that the loader and `lucetc inspect` share. Writing ELF
//!   is the compiler's business. [`linked`]: an artifact inside a program.
//!
//! Everything decoded here comes from outside and is hostile: decoding never panics, never
//! allocates more than a small multiple of its input, never recurses on input, and reports *what*,
//! *where* and *which limit*. See `docs/design/artifact-format.md` for the byte-level description.

#![forbid(unsafe_code)]

pub mod abi;
pub mod base64;
pub mod code;
pub mod codec;
pub mod container;
pub mod contract;
pub mod elf;
pub mod fuel;
pub mod init;
pub mod layout;
pub mod limits;
pub mod linked;
pub mod minisign;
pub mod snapshot;
pub(crate) mod symbols;
pub mod trailer;
pub mod trust;
pub mod types;

pub use codec::{DecodeError, EncodeError};
pub use types::{FuncType, RefType, ValType};

/// The artifact format this crate writes. Readers accept this one and the one before it.
///
/// Format 2 added the hash of the policy to the contract.
pub const FORMAT_VERSION: u32 = 2;

/// The oldest artifact format this crate still reads.
pub const OLDEST_READABLE_FORMAT: u32 = 1;

/// Version of the instance-data layout and of the calling conventions (see [`layout`], [`abi`]).
/// Compiled code and runtime must agree on it exactly.
pub const ABI_VERSION: u32 = 1;
