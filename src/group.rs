//! Groups: instances that import memories, tables, globals and functions of one another.
//!
//! A group is used by one thread at a time and its members are dropped together, so no pointer from
//! one member into another can dangle. See `docs/design/tables-and-groups.md`.

use crate::error::{Error, Result, Status};
use crate::instance::Instance;
use crate::instance::exceptions::Store;
use crate::module::{Core, Module};
use crate::region::Region;
use crate::sys::lock::Mutex;
use crate::sys::reserve;
use crate::vmctx::ControlRef;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether some thread uses the group.
#[derive(Debug, Default)]
pub(crate) struct Lock {
    busy: AtomicBool,
}

impl Lock {
    /// Takes the right to use the group's members.
    ///
    /// # Errors
    /// `Busy`.
    pub(crate) fn take(&self) -> Result<()> {
        if self.busy.swap(true, Ordering::Acquire) {
            return Err(Error::new(
                Status::Busy,
                "another instance of the group is running: a group is used by one thread at a time",
            ));
        }
        Ok(())
    }

    /// Gives the right back.
    pub(crate) fn release(&self) {
        self.busy.store(false, Ordering::Release);
    }
}

/// The right to use a group's members; dropping it gives the right back.
#[derive(Debug)]
pub(crate) struct Guard(Option<Arc<Lock>>);

impl Guard {
    pub(crate) fn take(lock: &Arc<Lock>) -> Result<Self> {
        lock.take()?;
        Ok(Self(Some(lock.clone())))
    }

    /// The right that somebody has who released nothing: a member that was preempted keeps it.
    pub(crate) fn of(lock: Arc<Lock>) -> Self {
        Self(Some(lock))
    }

    /// The lock, which stays taken: whoever gets it releases it.
    pub(crate) fn into_lock(mut self) -> Option<Arc<Lock>> {
        self.0.take()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(lock) = &self.0 {
            lock.release();
        }
    }
}

/// A member as the others see it.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Name under which it can be imported from; `None` for one whose instantiation failed after it
    /// had handed out references to itself.
    pub name: Option<String>,
    pub control: ControlRef,
    pub module: Arc<Core>,
}

/// What the members share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub lock: Arc<Lock>,
    pub members: Mutex<Vec<Member>>,
    /// Exceptions that are alive, once there were any.
    pub exceptions: Mutex<Option<Box<Store>>>,
}

impl Shared {
    pub(crate) fn find(&self, name: &str) -> Option<Member> {
        self.members.lock().iter().rev().find(|m| m.name.as_deref() == Some(name)).cloned()
    }

    /// Whether an instance is a member.
    pub(crate) fn has(&self, control: ControlRef) -> bool {
        self.members.lock().iter().any(|m| m.control == control)
    }

    pub(crate) fn others(&self, than: ControlRef) -> Vec<ControlRef> {
        self.members.lock().iter().map(|m| m.control).filter(|c| *c != than).collect()
    }
}

/// A set of linked instances.
///
/// Dropping it frees all of them, or none: while a member runs (on another thread, or around the
/// host function that drops the group) they all stay alive, for good, because any of them may be in
/// use by the one that runs.
#[derive(Debug)]
pub struct Group {
    region: Arc<Region>,
    shared: Arc<Shared>,
    // Freed by `drop` only: alone, an instance of a group refuses to go.
    instances: Vec<(Option<String>, Instance)>,
}

impl Group {
    /// An empty group whose members will live in `region`.
    #[must_use]
    pub fn new(region: &Arc<Region>) -> Self {
        Self { region: region.clone(), shared: Arc::default(), instances: Vec::new() }
    }

    /// Creates an instance whose imports are resolved against the members by module name, then
    /// against the host functions the module was loaded with. A later member of the same name hides
    /// an earlier one.
    ///
    /// # Errors
    /// `MissingImport`, `ImportTypeMismatch`, `StartFailed`, and those of [`Instance::new`].
    pub fn instantiate(&mut self, name: Option<&str>, module: &Arc<Module>) -> Result<&Instance> {
        // Whatever becomes of it, it can be noted.
        reserve::try_reserve(&mut self.instances, 1)?;
        reserve::try_reserve(&mut self.shared.members.lock(), 1)?;
        let made = Instance::linked(&self.region, module, &self.shared);
        match made {
            Ok(instance) => {
                self.publish(name, module, &instance);
                self.instances.push((name.map(str::to_owned), instance));
                match self.instances.last() {
                    Some((_, i)) => Ok(i),
                    None => Err(Error::new(Status::Internal, "a group lost its member")),
                }
            }
            Err((e, Some(failed))) => {
                // Segments may have put references to it into tables of others: it stays.
                self.publish(None, module, &failed);
                self.instances.push((None, failed));
                Err(e)
            }
            Err((e, None)) => Err(e),
        }
    }

    fn publish(&self, name: Option<&str>, module: &Arc<Module>, instance: &Instance) {
        self.shared.members.lock().push(Member {
            name: name.map(str::to_owned),
            control: instance.control(),
            module: module.core().clone(),
        });
    }

    /// Makes a member importable under another name too.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no member `name`.
    pub fn alias(&mut self, name: &str, alias: &str) -> Result<()> {
        let Some(member) = self.shared.find(name) else {
            return Err(Error::new(
                Status::InvalidArgument,
                format!("the group has no member \"{name}\""),
            ));
        };
        let mut members = self.shared.members.lock();
        reserve::try_reserve(&mut members, 1)?;
        members.push(Member { name: Some(alias.to_owned()), ..member });
        Ok(())
    }

    /// The member with this name (as given to [`Group::instantiate`]; the last one).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Instance> {
        let named = |n: &Option<String>| n.as_deref() == Some(name);
        self.instances.iter().rev().find(|(n, _)| named(n)).map(|(_, i)| i)
    }

    /// The member created last.
    #[must_use]
    pub fn last(&self) -> Option<&Instance> {
        self.instances.iter().rev().find(|(n, _)| n.is_some()).map(|(_, i)| i)
    }
}

impl Group {
    /// Frees all members.
    ///
    /// In a forked child, forgets them: the parent keeps what it has.
    ///
    /// # Errors
    /// `Busy` while a member runs; then nothing happens.
    pub fn free(&mut self) -> Result<()> {
        if self.region.is_forked() {
            // The parent has the members, and some thread of it may have held the locks here.
            self.instances.clear();
            return Ok(());
        }
        let guard = match Guard::take(&self.shared.lock) {
            Ok(guard) => guard,
            // A member that was preempted keeps the group, but nobody uses it.
            Err(busy) => {
                let abandoned = self.instances.iter().find_map(|(_, i)| i.abandon_for_group());
                abandoned.ok_or(busy)?
            }
        };
        self.shared.members.lock().clear();
        for (_, instance) in self.instances.drain(..) {
            instance.free_member(&guard);
        }
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // While a member runs, all of them stay.
        let _ = self.free();
    }
}
