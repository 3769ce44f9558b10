//! Hot swap: a reference to a module that can be replaced while requests run.
//!
//! ```text
//!              ┌ Place ──────────────────────────────────────────────┐
//!   publish ──►│ state (lock): required, current: Arc<Module> ───────┼──► Module: code, image, …
//!              │ notice (words): version, module id, entry points    │
//!              └─────▲───────────────────────────────────────────────┘
//!   instantiate ─────┘ reads words ──► an idle instance of that module id, from the thread's shard
//!                      (none at hand: lock, Arc, a slot)
//! ```
//!
//! The path of each request writes nothing that another thread reads: it reads the [`notice`],
//! which names the module by number, and idle instances are found by that number
//! ([`crate::idle`]). So no thread keeps the module by a reference count, its own or a shared one.
//! What was replaced goes when the reference lets go of it, idle instances on all threads included,
//! and its code when the last instance that is alive is freed. No thread has to come back for that.
//!
//! A [`Place`] is never freed but used again by later references, so that a reference is a plain
//! number on that path ([`ModuleRef::again`]) and one that is freed meanwhile harms nobody.
//!
//! The locks are free in forked children ([`Global`]): references survive a fork as modules do, and
//! go their own ways from then on.

mod notice;

use crate::error::{Error, Result, Status};
use crate::instance::Instance;
use crate::module::{Func, Module, ModuleConfig};
use crate::region::Region;
use crate::sys::fork::Global;
use crate::sys::reserve;
use lucet_artifact::FuncType;
use notice::{MOST, Notice, Seen};
use once_cell::race::OnceBox;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most references that exist at the same time in one process.
const MAX_PLACES: usize = 1 << 16;

/// What instances are asked of the current module: a name, and a type if one was named.
type Entry = (String, Option<FuncType>);

#[derive(Debug, Default)]
struct State {
    required: Vec<Entry>,
    /// What is published.
    current: Option<Arc<Module>>,
    /// Its entry points, in the order of `required`.
    funcs: Vec<Func>,
    /// How often something was published.
    version: u64,
}

#[derive(Debug, Default)]
struct Place {
    notice: Notice,
    state: Global<State>,
}

/// (All zeros at first: takes no room in the library's file.)
static ALL: [OnceBox<Place>; MAX_PLACES] = [const { OnceBox::new() }; MAX_PLACES];
/// Indices in [`ALL`] that belong to no reference now, and how many were ever used.
static UNUSED: Global<(Vec<u32>, u32)> = Global::new((Vec::new(), 0));
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A reference to a module that can be replaced while others use it; see the module's comment.
///
/// Any thread may use it, several at the same time.
#[derive(Debug)]
pub struct ModuleRef {
    id: u64,
    place: &'static Place,
}

impl ModuleRef {
    /// A reference to nothing yet.
    ///
    /// # Errors
    /// `LimitExceeded` if there are 65,536 of them.
    pub fn new() -> Result<Self> {
        let index = {
            let mut unused = UNUSED.lock();
            match unused.0.pop() {
                Some(index) => index,
                None if (unused.1 as usize) < MAX_PLACES => {
                    // For giving it back, which cannot fail.
                    let more = (unused.1 as usize + 1).saturating_sub(unused.0.len());
                    reserve::try_reserve(&mut unused.0, more)?;
                    unused.1 += 1;
                    unused.1 - 1
                }
                None => {
                    let message = format!("a process can have {MAX_PLACES} references to modules");
                    return Err(Error::new(Status::LimitExceeded, message));
                }
            }
        };
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed) << 16 | u64::from(index);
        Ok(Self { id, place: ALL[index as usize].get_or_init(Box::default) })
    }

    /// The number by which [`ModuleRef::again`] knows it.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Requires every module that is published from now on to export the function `name`, of type
    /// `ty` if one is named. Returns its number: they count from 0.
    ///
    /// # Errors
    /// `WrongState` once something was published, `InvalidArgument` if it is required already,
    /// `LimitExceeded` for more than 64.
    pub fn require(&self, name: &str, ty: Option<&FuncType>) -> Result<usize> {
        let mut state = self.place.state.lock();
        if state.version > 0 {
            let message = "entry points are required before the first module is published";
            return Err(Error::new(Status::WrongState, message));
        }
        if state.required.iter().any(|(n, _)| n == name) {
            let message = format!("\"{name}\" is required already");
            return Err(Error::new(Status::InvalidArgument, message));
        }
        if state.required.len() >= MOST {
            let message = format!("a reference can require {MOST} entry points");
            return Err(Error::new(Status::LimitExceeded, message));
        }
        state.required.push((name.to_owned(), ty.cloned()));
        Ok(state.required.len() - 1)
    }

    /// Makes `module` the one that instances are created of from now on; `None`: none any more.
    /// Returns the version, which counts from 1. What was published before keeps its instances that
    /// are alive; its idle ones go, if nobody else has the module.
    ///
    /// # Errors
    /// `NoSuchExport` or `ExportTypeMismatch` for a module that lacks what is required,
    /// `MissingImport` for one whose imports only a group can provide. Nothing changes then.
    pub fn publish(&self, module: Option<Arc<Module>>) -> Result<u64> {
        self.replace(module).map_err(|e| self.refused(e))
    }

    fn replace(&self, module: Option<Arc<Module>>) -> Result<u64> {
        let mut state = self.place.state.lock();
        let funcs = match &module {
            None => Vec::new(),
            Some(m) => entry_points(m, &state)?,
        };
        state.version += 1;
        let seen = Seen { version: state.version, module: module.as_ref().map_or(0, |m| m.id()) };
        self.place.notice.write(self.id, seen, &funcs);
        state.funcs = funcs;
        let before = std::mem::replace(&mut state.current, module);
        drop(state);
        // Its idle instances go now, with locks of their own.
        drop(before);
        Ok(seen.version)
    }

    /// Loads an artifact and publishes it.
    ///
    /// # Errors
    /// As [`Module::load_file`] and [`ModuleRef::publish`]; what was published stays.
    pub fn load_file(&self, path: &Path, config: &ModuleConfig) -> Result<u64> {
        let replace = |m| self.replace(Some(m)).map_err(|e| e.context(path.display()));
        Module::load_file(path, config).and_then(replace).map_err(|e| self.refused(e))
    }

    /// Says what a refusal means for requests.
    #[cold]
    fn refused(&self, e: Error) -> Error {
        let state = self.place.state.read();
        match &state.current {
            Some(_) => e.context(format_args!("not published, version {} stays", state.version)),
            None => e.context("not published, and nothing was"),
        }
    }

    /// What is published, if anything is, and how often something was.
    #[must_use]
    pub fn current(&self) -> (Option<Arc<Module>>, u64) {
        let state = self.place.state.read();
        (state.current.clone(), state.version)
    }

    /// How often something was published. Takes no lock.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.place.notice.version()
    }

    /// A fresh instance of what is published, and the version that it is of. Its entry points go to
    /// `funcs`, in the order in which they were required; what is there counts only if the call
    /// succeeds. A thread never gets an earlier version after a later one.
    ///
    /// # Errors
    /// `WrongState` if nothing is published, `InvalidArgument` if `funcs` has room for another
    /// number of functions than are required, otherwise as [`Instance::new`].
    pub fn instantiate(&self, region: &Arc<Region>, funcs: &mut [Func]) -> Result<(Instance, u64)> {
        let wanted = funcs.len();
        let put = |n: usize, f| {
            if let Some(to) = funcs.get_mut(n) {
                *to = f;
            }
        };
        self.instantiate_with(region, wanted, put)
    }

    /// The same; `put` gets the entry points with their numbers, maybe more than once.
    pub(crate) fn instantiate_with(
        &self,
        region: &Arc<Region>,
        wanted: usize,
        mut put: impl FnMut(usize, Func),
    ) -> Result<(Instance, u64)> {
        match Self::again(self.id, region.home().id(), wanted, &mut put) {
            Some(made) => made,
            None => self.anew(region, wanted, put),
        }
    }

    /// The same by the numbers of reference and region, if an idle instance of the module is at
    /// hand; takes no lock but that of the thread's idle instances.
    #[inline]
    pub(crate) fn again(
        id: u64,
        region: u64,
        wanted: usize,
        put: impl FnMut(usize, Func),
    ) -> Option<Result<(Instance, u64)>> {
        let place = ALL[(id & (MAX_PLACES as u64 - 1)) as usize].get()?;
        let seen = place.notice.read(id, wanted, put)?;
        let made = Instance::again(region, seen.module)?;
        Some(made.map(|instance| (instance, seen.version)))
    }

    /// The same in whatever slot there is.
    #[cold]
    fn anew(
        &self,
        region: &Arc<Region>,
        wanted: usize,
        mut put: impl FnMut(usize, Func),
    ) -> Result<(Instance, u64)> {
        let (module, version) = {
            let state = self.place.state.read();
            check_room(&state, wanted)?;
            let Some(module) = &state.current else {
                let message = if state.version == 0 {
                    "nothing was published in the reference yet"
                } else {
                    "the reference's module was withdrawn, and no other was published"
                };
                return Err(Error::new(Status::WrongState, message));
            };
            state.funcs.iter().enumerate().for_each(|(n, f)| put(n, *f));
            // No handle: should it be replaced now, whoever replaces it lets its idle instances go.
            (module.core().clone(), state.version)
        };
        Ok((Instance::of_core(region, &module)?, version))
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        let before = {
            let mut state = self.place.state.lock();
            self.place.notice.write(0, Seen { version: 0, module: 0 }, &[]);
            std::mem::take(&mut *state)
        };
        drop(before);
        UNUSED.lock().0.push((self.id & (MAX_PLACES as u64 - 1)) as u32);
    }
}

fn check_room(state: &State, wanted: usize) -> Result<()> {
    let required = state.required.len();
    if wanted == required {
        return Ok(());
    }
    let message = format!("room for {wanted} functions, but {required} are required");
    Err(Error::new(Status::InvalidArgument, message))
}

/// What `module` must have to be published.
fn entry_points(module: &Module, state: &State) -> Result<Vec<Func>> {
    module.stands_alone()?;
    state.required.iter().map(|(name, ty)| module.find(name, ty.as_ref())).collect()
}
