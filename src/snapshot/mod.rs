//! Snapshots: an instance that ran its start-up becomes a module whose instances begin there.
//!
//! ```text
//!  module ──► instance ──start, warm-up──► instance ──snapshot──► module' ──► instances, each
//!    └─────────── code, imports, exports: shared ────────────────────┘        as cheap as any
//! ```
//!
//! * this file: when an instance may become one, and what its instances do first (reseed)
//! * [`save`]: to a file, which is an artifact like any other
//! * [`child`]: in a child process under a deadline
//!
//! What makes up a snapshot stands in `instance/capture.rs` and `loader/state.rs`.
//!
//! # Frozen randomness
//!
//! Random numbers and clocks that start-up read are the same in each instance of a snapshot: hash
//! seeds, session keys, "now". The embedder marks host functions that give such values *impure*
//! ([`crate::Imports::mark_impure`]); an instance that called one becomes a snapshot only if it has
//! a *reseed function*, which each new instance calls first, or if the embedder says that it does
//! not matter.

mod child;
mod save;

pub use child::ChildOptions;

use crate::error::{Error, Result, Status};
use crate::instance::InstanceRef;
use crate::loader::State;
use crate::module::{Core, Module};
use crate::sys::reserve;
use crate::sys::sealed::{SealedFile, memfd};
use lucet_artifact::contract::ExportKind;
use lucet_artifact::snapshot::Snapshot;
use std::sync::Arc;

/// The export that reseeds, if the options name none.
pub const DEFAULT_RESEED: &str = "lucet_reseed";

/// How to take a snapshot.
#[derive(Debug, Clone, Default)]
pub struct SnapshotOptions {
    /// Exported function, () -> () or (i64) -> (), that each new instance calls before it is handed
    /// out; the i64 is random. `None`: `lucet_reseed`, if there is one.
    pub reseed: Option<String>,
    /// Accept that instances share random numbers and clocks that were read before.
    pub allow_frozen_randomness: bool,
}

impl SnapshotOptions {
    /// What the snapshot must know, for an instance of `module` that called these impure functions.
    pub(crate) fn judge(&self, module: &Core, impure: u64) -> Result<Snapshot> {
        let reseed = self.find_reseed(module)?;
        if impure != 0 && reseed.is_none() && !self.allow_frozen_randomness {
            return Err(Error::new(
                Status::Impure,
                format!(
                    "the instance called {}, so every instance of the snapshot would have the same \
                     random numbers or clock: export a function \"{DEFAULT_RESEED}\" that gets new \
                     ones, or allow it explicitly",
                    module.impure_names(impure)
                ),
            ));
        }
        Ok(Snapshot { impure: impure != 0, reseed })
    }

    fn find_reseed(&self, module: &Core) -> Result<Option<u32>> {
        let name = self.reseed.as_deref().unwrap_or(DEFAULT_RESEED);
        let index = match module.export(name) {
            Some((ExportKind::Func, index)) => index,
            None if self.reseed.is_none() => return Ok(None),
            // Says what is there instead.
            _ => return module.find(name, None).map(|f| Some(f.index)),
        };
        let ty = module.func_type(index);
        if !crate::loader::is_reseed_type(ty) || module.code_of(index).is_none() {
            return Err(Error::new(
                Status::ExportTypeMismatch,
                format!("\"{name}\" has type {ty}; a reseed function is () -> () or (i64) -> ()"),
            ));
        }
        Ok(Some(index))
    }
}

/// Memory for the small things of a snapshot of `module`: a state with so many table elements or
/// encoded bytes, and what becomes of it.
fn room(module: &Core, items: usize) -> Result<reserve::Room> {
    /// What a list of runs and a buffer take.
    const FURTHER: usize = 4 << 20;
    let things = module.loaded.small_things().saturating_mul(3);
    reserve::room(things.saturating_add(items.saturating_mul(64)).saturating_add(FURTHER))
}

impl InstanceRef {
    /// A module whose instances begin where this instance is: with its memory, globals, tables, and
    /// without what it dropped. Code, imports and exports are those of its module, with which the
    /// snapshot also shares [`crate::Func`]s. The instance stays as it is.
    ///
    /// # Errors
    /// `Busy`, `WrongState` unless the instance is ready; `Unsupported` if it belongs to a group or
    /// holds references of the host; `Impure`; `NoSuchExport`, `ExportTypeMismatch` for the reseed
    /// function; `LimitExceeded`, `OutOfMemory`, `Io`.
    pub fn snapshot(&self, options: &SnapshotOptions) -> Result<Arc<Module>> {
        let control = self.control();
        let (parent, state, _room) = self.when_ready(|i| {
            // Only now does the instance belong to this thread.
            let impure = control.impure();
            let entries = (0..i.tables.len()).map(|t| i.entries(t as u32).len()).sum();
            let room = room(&i.module, entries)?;
            let info = options.judge(&i.module, impure)?;
            let file = memfd(c"lucet-snapshot")?;
            let captured = i.capture(&file)?;
            let pages = match captured.image_len {
                0 => None,
                len => Some(SealedFile::from_memfd(file, len)?),
            };
            let (contract, init) = (captured.contract, captured.init);
            Ok((i.module.clone(), State { contract, init, info, pages }, room))
        })?;
        Module::from_state(&parent, state)
    }
}
