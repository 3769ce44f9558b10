//! Process-wide signature ids: structurally equal function types get the same number.
//!
//! `call_indirect` compares ids only. Two modules loaded at different times must therefore agree
//! while both exist, and an id must never be reused for another type while code that knows it can
//! run; so numbers are never reused at all. Ids are handed out when a module is loaded, never on
//! the warm path.
//!
//! A type that no module has any more is forgotten, or loading and freeing modules would fill the
//! process; should it come back, it gets another number, which nobody compares with the one before.
//! Some are kept for that: modules that come and go have the same types again and again.

use crate::error::{Error, Result, Status};
use crate::sys::fork::Global;
use crate::sys::{Seed, reserve};
use lucet_artifact::FuncType;
use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;

/// What is kept of types that nobody has, in parameters and results, with a few words for each.
const KEPT: usize = 1 << 20;

#[derive(Debug)]
struct Known {
    id: u32,
    /// How many [`Ids`] have it.
    users: usize,
}

#[derive(Debug, Default)]
struct Registry {
    known: HashMap<Arc<FuncType>, Known, Seed>,
    types: HashMap<u32, Arc<FuncType>, Seed>,
    /// The number given out last.
    last: u32,
    /// What types without users take, measured as [`KEPT`] is.
    unused: usize,
}

fn weight(ty: &FuncType) -> usize {
    ty.params.len() + ty.results.len() + 16
}

impl Registry {
    fn take(&mut self, ty: &FuncType) -> Result<u32> {
        if let Some(known) = self.known.get_mut(ty) {
            if known.users == 0 {
                self.unused -= weight(ty);
            }
            known.users += 1;
            return Ok(known.id);
        }
        let Some(id) = self.last.checked_add(1) else {
            let message = "this process has used up its numbers of function types; restart it";
            return Err(Error::new(Status::LimitExceeded, message));
        };
        let room = reserve::plainly(|| self.types.try_reserve(1))
            .and_then(|()| reserve::plainly(|| self.known.try_reserve(1)));
        if room.is_err() {
            return Err(Error::new(Status::OutOfMemory, "no memory for the list of types"));
        }
        let ty = Arc::new(ty.clone());
        self.last = id;
        self.types.insert(id, ty.clone());
        self.known.insert(ty, Known { id, users: 1 });
        Ok(id)
    }

    fn give(&mut self, id: u32) {
        let Some(ty) = self.types.get(&id) else { return };
        let Some(known) = self.known.get_mut(ty) else { return };
        known.users -= 1;
        if known.users == 0 {
            self.unused += weight(ty);
        }
    }

    /// Forgets types without users, if they are many.
    fn tidy(&mut self) {
        if self.unused > KEPT {
            self.known.retain(|_, k| k.users > 0);
            let known = &self.known;
            self.types.retain(|_, ty| known.contains_key(ty));
            shrink(&mut self.known);
            shrink(&mut self.types);
            self.unused = 0;
        }
    }
}

/// Makes a list as small as it can be, unless there is no memory for a smaller one.
fn shrink<K: Eq + Hash, V>(list: &mut HashMap<K, V, Seed>) {
    let mut smaller = HashMap::default();
    if reserve::plainly(|| smaller.try_reserve(list.len())).is_ok() {
        smaller.extend(list.drain());
        *list = smaller;
    }
}

static REGISTRY: Global<Option<Registry>> = Global::new(None);

/// The ids of a module's types, by index. Dropping it lets them be forgotten.
#[derive(Debug, Default)]
pub(crate) struct Ids(Vec<u32>);

impl Ids {
    /// The ids of types that refer to earlier ones only.
    pub(crate) fn of<'a>(types: impl Iterator<Item = &'a FuncType>) -> Result<Self> {
        let mut ids = Self::default();
        let mut guard = REGISTRY.lock();
        let registry = guard.get_or_insert_default();
        let mut failed = None;
        for ty in types {
            // Concrete references name ids: what stands for them in the module means nothing here.
            let canonical = ty.map(&|i| ids.0.get(i as usize).copied().unwrap_or(0));
            match registry.take(&canonical) {
                Ok(id) => ids.0.push(id),
                Err(e) => {
                    failed = Some(e);
                    break;
                }
            }
        }
        drop(guard);
        failed.map_or(Ok(ids), Err)
    }
}

impl Deref for Ids {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.0
    }
}

impl Drop for Ids {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        if let Some(registry) = &mut *REGISTRY.lock() {
            self.0.iter().for_each(|id| registry.give(*id));
            registry.tidy();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucet_artifact::ValType;

    /// A type that no other test has: `n` in binary.
    fn odd(n: u32, long: usize) -> FuncType {
        let bit = |b: u32| if n >> b & 1 == 1 { ValType::F64 } else { ValType::I64 };
        let mut params: Vec<_> = (0..24).map(bit).collect();
        params.resize(24 + long, ValType::F32);
        FuncType { params, results: vec![ValType::V128; 3] }
    }

    #[test]
    fn equal_types_agree_while_somebody_has_them() {
        let (a, b) = (odd(1, 0), odd(2, 0));
        let first = Ids::of([&a, &b].into_iter()).unwrap();
        let second = Ids::of([&b, &a, &b].into_iter()).unwrap();
        assert_eq!(second[..], [first[1], first[0], first[1]]);
        assert_ne!(first[0], first[1]);
        let id = first[0];
        drop(first);
        assert_eq!(Ids::of(std::iter::once(&a)).unwrap()[..], [id]);
    }

    #[test]
    fn types_that_nobody_has_are_forgotten() {
        let kept = odd(3, 0);
        let ids = Ids::of(std::iter::once(&kept)).unwrap();
        // 8 million parameters and results, of which at most a million stay.
        for module in 0..40u32 {
            let types: Vec<_> = (0..100).map(|n| odd(1000 + module * 100 + n, 1900)).collect();
            drop(Ids::of(types.iter()).unwrap());
            let registry = REGISTRY.read();
            let registry = registry.as_ref().unwrap();
            let words: usize = registry.known.keys().map(|t| weight(t)).sum();
            assert!(words < 3 * KEPT, "{words} after {module} modules");
            assert_eq!(registry.known.len(), registry.types.len());
        }
        // The numbers of those that somebody has stay.
        assert_eq!(Ids::of(std::iter::once(&kept)).unwrap()[..], ids[..]);
    }
}
