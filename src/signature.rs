//! Process-wide signature ids: structurally equal function types get the same number.
//!
//! `call_indirect` compares ids only. Two modules loaded at different times must therefore agree,
//! and an id must never be reused for another type while code that knows it can run; so ids are
//! never reused at all. They are handed out when a module is loaded, never on the warm path.

use crate::error::{Error, Result, Status};
use crate::sys::fork::Global;
use lucet_artifact::FuncType;
use std::collections::HashMap;

static IDS: Global<Option<Known>> = Global::new(None);

/// Most distinct types a process may register; a bound on what loading modules can leave behind.
const MAX_IDS: usize = 16_000_000;
/// Most parameters and results of all of them.
const MAX_VALUES: usize = 64_000_000;

/// The types so far.
#[derive(Debug, Default)]
struct Known {
    ids: HashMap<FuncType, u32>,
    /// Parameters and results of all.
    values: usize,
}

impl Known {
    fn id(&mut self, ty: &FuncType) -> Result<u32> {
        if let Some(id) = self.ids.get(ty) {
            return Ok(*id);
        }
        let values = self.values + ty.params.len() + ty.results.len();
        if self.ids.len() >= MAX_IDS || values > MAX_VALUES {
            return Err(Error::new(
                Status::LimitExceeded,
                format!(
                    "this process has loaded {} distinct function types with {} parameters and \
                     results, as many as it may; restart it",
                    self.ids.len(),
                    self.values
                ),
            ));
        }
        let id = self.ids.len() as u32 + 1;
        self.ids.insert(ty.clone(), id);
        self.values = values;
        Ok(id)
    }
}

/// The id of `ty`: at least 1. Concrete references in it name ids.
pub(crate) fn id(ty: &FuncType) -> Result<u32> {
    IDS.lock().get_or_insert_with(Known::default).id(ty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucet_artifact::ValType;

    #[test]
    fn what_is_left_behind_is_bounded() {
        let ty = |n: usize| FuncType { params: vec![ValType::I32; n], results: Vec::new() };
        let mut known = Known::default();
        assert_eq!((known.id(&ty(3)).unwrap(), known.id(&ty(0)).unwrap()), (1, 2));
        assert_eq!(known.id(&ty(3)).unwrap(), 1);
        known.values = MAX_VALUES - 5;
        assert_eq!(known.id(&ty(6)).unwrap_err().status(), Status::LimitExceeded);
        assert_eq!(known.id(&ty(5)).unwrap(), 3);
        assert_eq!(known.id(&ty(1)).unwrap_err().status(), Status::LimitExceeded);
        // Those that are known stay.
        assert_eq!(known.id(&ty(5)).unwrap(), 3);
    }
}
