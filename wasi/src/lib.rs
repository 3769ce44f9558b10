//! `lucet-wasi`: WASI preview 1 for guests that nobody trusts.
//!
//! The crate knows no runtime. A runtime hands it the guest's memory ([`GuestMemory`]) and calls
//! the function in [`abi`] that has the name of the import; what comes back ([`Answer`]) is an
//! error number for the guest, the guest's wish to exit, or, for contexts that must not block, what
//! to wait for before [`abi::resume`].
//!
//! * [`Config`] collects what a program may see; [`Config::build`] opens and checks it once.
//! * [`Template`] is the result, shared by any number of instances.
//! * [`Context`] is one instance's part: its descriptor table, once that differs from the
//!   template's, and counters. Making one allocates nothing and asks the kernel nothing.
//! * [`for_each_function`] is the table of functions, the only one.
//!
//! Where the dangers lie: paths (module `resolve`: no name given by a guest ever reaches the kernel
//! without "beneath this directory" being enforced there or component by component), rights
//! (checked before anything else happens), and sizes (module `limits`). See `docs/design/wasi.md`.

#![forbid(unsafe_code)]

pub mod abi;
mod clocks;
mod config;
mod context;
mod functions;
mod limits;
mod memory;
mod random;
mod resolve;
mod reuse;
mod streams;
pub mod table;
mod template;
pub mod types;

pub use clocks::{Clock, ClockSource, Clocks};
pub use config::{Config, ConfigError};
pub use context::{Answer, Context, Interest, Observed, Wait};
pub use functions::{MODULE, MODULE_UNSTABLE, NAMES, NOT_IN_UNSTABLE};
pub use limits::Limits;
pub use memory::GuestMemory;
pub use random::{Random, RandomSource};
pub use resolve::Resolution;
pub use streams::{Input, Output, Sink, Source};
pub use template::Template;
pub use types::{Errno, Rights};
