//! Lucet's runtime: loads ahead-of-time compiled WebAssembly under a contract and runs it, one
//! fresh instance per request, inside C and C++ servers.
//!
//! ```text
//! artifact.so ─loader─► Module ─┐
//!                               ├─► Instance ─run─► guest ─► Outcome ─► reset or drop
//!             Region ─► slot ───┘
//! ```
//!
//! This crate is what `liblucet.so` is linked from; its C interface is in `include/lucet.h`. The
//! Rust interface is the same in other words: [`Region`], [`Module`], [`Instance`], [`Outcome`].

mod arch;
mod bind;
mod capi;
pub mod error;
mod group;
pub mod http;
mod idle;
mod import;
mod instance;
pub mod loader;
mod module;
mod module_ref;
mod names;
mod outcome;
#[cfg(not(feature = "race-tests"))]
mod pause;
#[cfg(feature = "race-tests")]
pub mod pause;
pub mod region;
mod signature;
pub mod snapshot;
mod stats;
pub mod sys;
mod terms;
mod trap;
mod value;
mod vmctx;
pub mod wasi;

/// What stands between a refusal of `malloc` and the end of the process; see `sys/reserve.rs`. Rust
/// programs that have an allocator of their own turn the feature off.
#[cfg(feature = "reserve")]
#[global_allocator]
static ALLOCATOR: sys::reserve::Allocator = sys::reserve::Allocator;

pub use error::{Error, Result, Status};
pub use group::Group;
pub use import::{Imports, parse_signature};
pub use instance::{Instance, InstanceRef, Vmctx, check_deadlines, set_watchdog};
pub use lucet_artifact::abi::TrapCode;
pub use lucet_artifact::{FuncType, ValType};
pub use module::{Func, Module, ModuleConfig};
pub use module_ref::ModuleRef;
pub use outcome::{Exception, Outcome, OutcomeKind, Trap};
pub use region::{Growth, GrowthKind, Region, RegionConfig, Rung};
pub use snapshot::{ChildOptions, SnapshotOptions};
pub use stats::{BUCKETS, Histogram, Stats, TRAP_CODES, Tally};
pub use terms::Terms;
pub use trap::{Backtrace, Frame, FrameKind, handle_signal};
pub use value::Val;
pub use vmctx::{Control, HostCode, ResumeFn};

/// Makes this thread able to run guests: installs the signal handlers of the process if this is
/// the first time, and this thread's alternate signal stack. Implied by the first run; call it
/// where a failure is easier to handle.
///
/// # Errors
/// `SignalsBlocked`, `OutOfMemory`.
pub fn prepare_thread() -> Result<()> {
    trap::prepare_thread()
}
