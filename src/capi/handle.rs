//! Handles: what a C caller holds is a number in the shape of a pointer.
//!
//! ```text
//!   63                             32 31            8 7      0
//!   ├────────────────────────────────┼───────────────┼────────┤
//!   │ generation                     │ index         │ kind   │
//!   └────────────────────────────────┴───────────────┴────────┘
//! ```
//!
//! Nobody dereferences it. Kind says which table, index which entry, and the generation whether the
//! entry still holds what it held when the handle was given out. Kinds are no multiples of 8, so
//! that an address of anything aligned is never taken for a handle.
//!
//! Instances have a table of their own, the control blocks; everything else is in a [`Table`].

use crate::error::{Error, Result, Status};
use crate::instance::InstanceRef;
use crate::sys::fork::Global;
use crate::sys::reserve;
use once_cell::race::OnceBox;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What a handle is a handle to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Region = 1,
    RegionConfig = 2,
    Module = 3,
    ModuleConfig = 4,
    Instance = 5,
    SnapshotConfig = 6,
    Group = 7,
    ModuleRef = 9,
    Wasi = 10,
    WasiConfig = 11,
}

impl Kind {
    const ALL: [(Self, &str); 10] = [
        (Self::Region, "lucet_region"),
        (Self::RegionConfig, "lucet_region_config"),
        (Self::Module, "lucet_module"),
        (Self::ModuleConfig, "lucet_module_config"),
        (Self::Instance, "lucet_instance"),
        (Self::SnapshotConfig, "lucet_snapshot_config"),
        (Self::Group, "lucet_group"),
        (Self::ModuleRef, "lucet_module_ref"),
        (Self::Wasi, "lucet_wasi"),
        (Self::WasiConfig, "lucet_wasi_config"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(k, _)| *k == self).map_or("handle", |(_, name)| name)
    }
}

const INDEX_BITS: u32 = 24;

fn encode<T>(kind: Kind, index: u32, generation: u32) -> *mut T {
    let word = u64::from(generation) << 32 | u64::from(index) << 8 | kind as u64;
    std::ptr::without_provenance_mut(word as usize)
}

fn invalid(message: String) -> Error {
    Error::new(Status::InvalidHandle, message)
}

#[cold]
fn made_up(param: &str, kind: Kind) -> Error {
    invalid(format!("`{param}` is not a handle; a {} was expected", kind.name()))
}

/// Index and generation in a handle of this kind. `param` is the parameter's name, for messages.
#[inline(always)]
fn decode<T>(p: *const T, kind: Kind, param: &str) -> Result<(u32, u32)> {
    let word = p.addr() as u64;
    let (index, generation) = ((word >> 8) as u32 & ((1 << INDEX_BITS) - 1), (word >> 32) as u32);
    if word & 0xff == kind as u64 {
        return Ok((index, generation));
    }
    Err(wrong_kind(word, kind, param))
}

#[cold]
fn wrong_kind(word: u64, kind: Kind, param: &str) -> Error {
    if word == 0 {
        let message = format!("`{param}` is NULL; a {} was expected", kind.name());
        return Error::new(Status::NullArgument, message);
    }
    match Kind::ALL.into_iter().find(|(k, _)| *k as u64 == word & 0xff) {
        Some((_, other)) => {
            let wanted = kind.name();
            invalid(format!("`{param}` is a {other} handle; a {wanted} was expected"))
        }
        None => made_up(param, kind),
    }
}

/// A handle of this kind whose entry has generation `now`, or none (0).
#[cold]
fn stale(kind: Kind, generation: u32, now: u32, param: &str) -> Error {
    if generation < now && generation > 0 {
        return invalid(format!("`{param}` is a {} that was freed", kind.name()));
    }
    made_up(param, kind)
}

/// If `ctx` is a handle of some kind, and so no context of a host function.
pub(super) fn kind_of<T>(p: *const T) -> Option<&'static str> {
    Kind::ALL.into_iter().find(|(k, _)| *k as usize == p.addr() & 0xff).map(|(_, name)| name)
}

/// What can be known of an entry without the table's lock: see [`Table::number`].
#[derive(Debug)]
pub(super) struct Mark {
    generation: AtomicU32,
    number: AtomicU64,
}

/// Marks are allocated in chunks of this many, for the first entries of a table.
const CHUNK: usize = 256;

fn new_chunk() -> Box<[Mark; CHUNK]> {
    Box::new([const { Mark { generation: AtomicU32::new(0), number: AtomicU64::new(0) } }; CHUNK])
}

/// The marks of a [`Table`] with numbers; others have none. They do not lie in the table: all zeros
/// as they are at first, they take no room in the library's file.
pub(super) type Marks = [OnceBox<[Mark; CHUNK]>; 256];

pub(super) const fn no_marks() -> Marks {
    [const { OnceBox::new() }; 256]
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<Arc<T>>,
}

#[derive(Debug)]
struct Entries<T> {
    all: Vec<Entry<T>>,
    free: Vec<u32>,
}

/// Everything of one kind that C holds handles to.
#[derive(Debug)]
pub(super) struct Table<T> {
    kind: Kind,
    entries: Global<Entries<T>>,
    marks: &'static [OnceBox<[Mark; CHUNK]>],
}

impl<T: Send + Sync + 'static> Table<T> {
    pub(super) const fn new(kind: Kind) -> Self {
        Self::made(kind, &[])
    }

    /// One that gives out handles with numbers.
    pub(super) const fn numbered(kind: Kind, marks: &'static Marks) -> Self {
        Self::made(kind, marks)
    }

    const fn made(kind: Kind, marks: &'static [OnceBox<[Mark; CHUNK]>]) -> Self {
        let entries = Entries { all: Vec::new(), free: Vec::new() };
        Self { kind, entries: Global::new(entries), marks }
    }

    fn mark(&self, index: u32) -> Option<&Mark> {
        self.marks.get(index as usize / CHUNK)?.get()?.get(index as usize % CHUNK)
    }

    /// The number that a handle was given out with, if it is alive: takes no lock and writes
    /// nothing, so that threads that use the same handle do not slow one another down. `None` means
    /// that one has to ask [`Table::get`].
    #[inline]
    pub(super) fn number<C>(&self, p: *const C) -> Option<u64> {
        let word = p.addr() as u64;
        let (index, generation) = ((word >> 8) as u32 & ((1 << INDEX_BITS) - 1), word >> 32);
        if word & 0xff != self.kind as u64 {
            return None;
        }
        let mark = self.mark(index)?;
        let alive = || u64::from(mark.generation.load(Ordering::Acquire)) == generation;
        if !alive() {
            return None;
        }
        let number = mark.number.load(Ordering::Acquire);
        // Not one of a later handle.
        (alive() && number != 0).then_some(number)
    }

    /// Gives out a handle that [`Table::number`] knows by `number`, which is not 0.
    pub(super) fn insert_numbered<C>(&'static self, value: Arc<T>, number: u64) -> Result<*mut C> {
        let p: *mut C = self.insert(value)?;
        let (index, generation) = decode(p, self.kind, "handle")?;
        if let Some(chunk) = self.marks.get(index as usize / CHUNK) {
            // Nobody forks meanwhile and leaves a child with a chunk half made.
            let _entries = self.entries.lock();
            let mark = &chunk.get_or_init(new_chunk)[index as usize % CHUNK];
            mark.number.store(number, Ordering::Release);
            mark.generation.store(generation, Ordering::Release);
        }
        Ok(p)
    }

    /// Gives out a handle. `C` is its type in C.
    pub(super) fn insert<C>(&'static self, value: Arc<T>) -> Result<*mut C> {
        let mut entries = self.entries.lock();
        let index = match entries.free.pop() {
            Some(index) => index,
            None if entries.all.len() < 1 << INDEX_BITS => {
                // Also for taking the handle back, which cannot fail for want of memory.
                let all = entries.all.len();
                reserve::try_reserve(&mut entries.all, 1)?;
                reserve::try_reserve(&mut entries.free, all + 1)?;
                entries.all.push(Entry { generation: 1, value: None });
                entries.all.len() as u32 - 1
            }
            None => {
                let message = format!("too many {} handles in this process", self.kind.name());
                return Err(Error::new(Status::LimitExceeded, message));
            }
        };
        let entry = &mut entries.all[index as usize];
        entry.value = Some(value);
        Ok(encode(self.kind, index, entry.generation))
    }

    /// What a handle stands for.
    pub(super) fn get<C>(&'static self, p: *const C, param: &str) -> Result<Arc<T>> {
        let (index, generation) = decode(p, self.kind, param)?;
        let entries = self.entries.read();
        self.check(entries.all.get(index as usize), generation, param).cloned()
    }

    /// Works on what a handle stands for, which is not freed meanwhile. `f` is short and takes no
    /// lock but the value's own.
    pub(super) fn with<C, R>(
        &'static self,
        p: *const C,
        param: &str,
        f: impl FnOnce(&T) -> Result<R>,
    ) -> Result<R> {
        let (index, generation) = decode(p, self.kind, param)?;
        let entries = self.entries.read();
        f(self.check(entries.all.get(index as usize), generation, param)?)
    }

    fn check<'a>(
        &self,
        entry: Option<&'a Entry<T>>,
        generation: u32,
        param: &str,
    ) -> Result<&'a Arc<T>> {
        match entry {
            Some(Entry { generation: g, value: Some(v) }) if *g == generation => Ok(v),
            other => Err(stale(self.kind, generation, other.map_or(0, |e| e.generation), param)),
        }
    }

    /// Takes a handle back if `allowed` says so. What it stood for lives on while others use it.
    pub(super) fn remove<C>(
        &'static self,
        p: *const C,
        param: &str,
        allowed: impl FnOnce(&T) -> Result<()>,
    ) -> Result<()> {
        let (index, generation) = decode(p, self.kind, param)?;
        let mut entries = self.entries.lock();
        allowed(self.check(entries.all.get(index as usize), generation, param)?)?;
        if let Some(mark) = self.mark(index) {
            mark.generation.store(0, Ordering::Release);
        }
        let entry = &mut entries.all[index as usize];
        let value = entry.value.take();
        // An entry whose generations are used up is never used again.
        if let Some(next) = entry.generation.checked_add(1) {
            entry.generation = next;
            entries.free.push(index);
        }
        // Unmapping takes time, and others may want the table meanwhile.
        drop(entries);
        drop(value);
        Ok(())
    }
}

/// The handle of an instance.
pub(super) fn of_instance<C>(instance: InstanceRef) -> *mut C {
    let (index, generation) = instance.parts();
    debug_assert!(index < 1 << INDEX_BITS);
    encode(Kind::Instance, index, generation)
}

/// The instance a handle names; each use of it checks whether it is alive.
#[inline(always)]
pub(super) fn instance<C>(p: *const C, param: &str) -> Result<InstanceRef> {
    let (index, generation) = decode(p, Kind::Instance, param)?;
    InstanceRef::from_parts(index, generation).ok_or_else(|| made_up(param, Kind::Instance))
}

/// The same for a handle that is as it should be; `None`: [`instance`] says what is wrong.
#[inline(always)]
pub(super) fn quick_instance<C>(p: *const C) -> Option<InstanceRef> {
    let word = p.addr() as u64;
    if word & 0xff != Kind::Instance as u64 {
        return None;
    }
    InstanceRef::from_parts((word >> 8) as u32 & ((1 << INDEX_BITS) - 1), (word >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct C;

    fn leaked(kind: Kind) -> &'static Table<u32> {
        Box::leak(Box::new(Table::new(kind)))
    }

    fn message(e: Result<Arc<u32>>) -> String {
        let e = e.unwrap_err();
        assert_eq!(e.status(), Status::InvalidHandle);
        e.message().to_owned()
    }

    #[test]
    fn wrong_handles_are_told_apart() {
        let (modules, regions) = (leaked(Kind::Module), leaked(Kind::Region));
        let m: *mut C = modules.insert(Arc::new(7)).unwrap();
        assert_eq!(m.addr(), 1 << 32 | 3);
        assert_eq!(*modules.get(m, "m").unwrap(), 7);
        assert_eq!(
            message(regions.get(m, "region")),
            "`region` is a lucet_module handle; a lucet_region was expected"
        );
        modules.remove(m, "m", |_| Ok(())).unwrap();
        assert_eq!(message(modules.get(m, "m")), "`m` is a lucet_module that was freed");
        let again: *mut C = modules.insert(Arc::new(8)).unwrap();
        assert_eq!(again.addr(), 2 << 32 | 3, "the entry is used again");
        assert!(message(modules.get(m, "m")).contains("freed"));
        assert!(modules.remove(m, "m", |_| Ok(())).is_err());
        let busy = modules.remove(again, "m", |_| Err(Error::new(Status::Busy, "used")));
        assert_eq!(busy.unwrap_err().status(), Status::Busy);
        assert_eq!(*modules.get(again, "m").unwrap(), 8);
        for addr in [0x1234, 3, 3 << 32 | 3, 1 << 32 | 0x103, usize::MAX] {
            let p: *const C = std::ptr::without_provenance(addr);
            assert!(message(modules.get(p, "m")).contains("not a handle"), "{addr:#x}");
        }
        let null = modules.get(std::ptr::null::<C>(), "m").unwrap_err();
        assert_eq!(null.status(), Status::NullArgument);
    }

    #[test]
    fn used_up_entries_are_retired() {
        let t = leaked(Kind::Region);
        t.entries.lock().all.push(Entry { generation: u32::MAX, value: Some(Arc::new(1)) });
        let last: *mut C = encode(Kind::Region, 0, u32::MAX);
        t.remove(last, "r", |_| Ok(())).unwrap();
        assert!(t.get(last, "r").is_err());
        let next: *mut C = t.insert(Arc::new(2)).unwrap();
        assert_eq!(next.addr(), 1 << 32 | 1 << 8 | 1);
    }
}
