//! Process-wide signature ids: structurally equal function types get the same number.
//!
//! `call_indirect` compares ids only. Two modules loaded at different times must therefore agree,
//! and an id must never be reused for another type while code that knows it can run; so ids are
//! never reused at all. They are handed out when a module is loaded, never on the warm path.

use crate::error::{Error, Result, Status};
use crate::sys::fork::Global;
use crate::sys::{Seed, reserve};
use lucet_artifact::FuncType;
use std::collections::HashMap;

static IDS: Global<Option<HashMap<FuncType, u32, Seed>>> = Global::new(None);

/// Most distinct types a process may register; a bound on what loading modules can leave behind.
const MAX_IDS: usize = 16_000_000;

/// The id of `ty`: at least 1. Concrete references in it name ids.
pub(crate) fn id(ty: &FuncType) -> Result<u32> {
    let mut guard = IDS.lock();
    let ids = guard.get_or_insert_with(HashMap::default);
    if let Some(id) = ids.get(ty) {
        return Ok(*id);
    }
    if ids.len() >= MAX_IDS {
        return Err(Error::new(
            Status::LimitExceeded,
            format!("this process has loaded {MAX_IDS} distinct function types; restart it"),
        ));
    }
    if reserve::plainly(|| ids.try_reserve(1)).is_err() {
        return Err(Error::new(Status::OutOfMemory, "no memory for the list of function types"));
    }
    let id = ids.len() as u32 + 1;
    ids.insert(ty.clone(), id);
    Ok(id)
}
