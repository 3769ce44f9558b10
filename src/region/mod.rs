//! A region: address space cut into slots, each of which holds one instance's memory, instance data
//! and (in guarded regions) stack. Nothing here knows about wasm; it deals in bytes.
//!
//! * [`config`] is what can be set.
//! * [`layout`] is pure arithmetic: where things lie.
//! * [`reset`] makes a used slot pristine again.
//! * [`further`] is for memories that do not lie in the slot.
//! * [`zones`] lets the signal handler ask what an address is, without locks.
//!
//! A slot is owned by value ([`Slot`]): whoever holds it has exclusive use of its bytes, and its
//! fields say what state they are in. The free list is the only shared thing.

mod capture;
mod config;
mod further;
pub mod layout;
mod reset;
mod resident;
pub(crate) mod zones;

use crate::error::{Error, Result, Status};
use crate::idle::Home;
use crate::stats::Stats;
use crate::sys::fork::Process;
use crate::sys::lock::Mutex;
use crate::sys::map::Mapping;
use crate::sys::{Pagemap, Support, reserve};
pub use config::{Growth, GrowthKind, RegionConfig};
pub(crate) use further::{Further, Need};
use layout::Geometry;
pub use reset::Rung;
pub(crate) use reset::{Image, Run};
use resident::{FAR, SlotPages};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What the bytes of a free slot's memory are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// All accessible bytes are zero.
    Zero,
    /// The pristine image with this id.
    Image(u64),
    /// Anything.
    Dirty,
}

/// A slot in exclusive use.
#[derive(Debug)]
pub(crate) struct Slot {
    index: u32,
    /// Address of byte 0 of memory 0.
    pub vmctx: usize,
    /// Bytes from `vmctx` on that are readable and writable.
    accessible: u64,
    /// Initial size of the memory that its resident set was begun with.
    initial: u64,
    /// Bytes from `vmctx` on, accessible or not, each page of which is noted in the resident set or
    /// carries a guard marker (or the set overflowed). 0 where there are no resident sets.
    ready: u64,
    contents: Contents,
    /// Bytes of memory that it keeps for its next instance.
    kept: u64,
    /// Whether stack and instance data are accessible yet (guarded regions open them on first use).
    opened: bool,
}

/// A stack in exclusive use: its usable bytes, a guard lies below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stack {
    /// Lowest usable address.
    pub bottom: usize,
    /// Address after the highest usable byte; 16-aligned.
    pub top: usize,
    lent: Option<u32>,
}

/// Which stacks of a compact region can be lent.
#[derive(Debug, Default)]
struct Stacks {
    /// Given back.
    free: Vec<u32>,
    /// Those from this number on have never been lent.
    used: u32,
}

impl Stack {
    /// Makes it shorter, so that `bytes` are usable at most.
    pub(crate) fn limit(&mut self, bytes: u64) {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.top = self.top.min(self.bottom.saturating_add(bytes));
    }

    /// Whether it goes back to a pool when nothing runs on it.
    pub(crate) fn is_lent(&self) -> bool {
        self.lent.is_some()
    }
}

/// A region. Dropping it lets its idle instances go; those that are alive keep their slots until
/// they are freed.
#[derive(Debug)]
pub struct Region {
    core: Arc<Core>,
}

/// What a region and its instances share; address space is given back when the last reference goes.
#[derive(Debug)]
pub struct Core {
    config: RegionConfig,
    geometry: Geometry,
    /// Start of the first slot.
    base: usize,
    /// The process whose region it is; forked children do not even have the address space.
    process: Process,
    slots_map: Mapping,
    stacks_map: Option<Mapping>,
    zones: [Option<zones::Registration>; 2],
    rung: Rung,
    rung_forced: bool,
    /// A [`SlotPages`] per slot, if the rung is first touch.
    pages_map: Option<Mapping>,
    pagemap: Option<Pagemap>,
    /// Bytes that used slots keep for their next instances: the sum of their `kept`.
    kept: AtomicU64,
    /// Most slots that were in use at the same time, by instances that were alive or idle.
    high_water: AtomicU32,
    free: Mutex<Vec<Slot>>,
    free_stacks: Mutex<Stacks>,
    /// Whether all of the stacks' mapping is accessible, with guard markers between stacks: one
    /// mapping, however many there are. Otherwise each has one of its own.
    stacks_open: bool,
    home: Home,
}

impl Region {
    /// Reserves address space for `config.slots` slots.
    ///
    /// # Errors
    /// `InvalidArgument` for sizes that make no sense, `OutOfMemory` when the system refuses.
    pub fn new(config: RegionConfig) -> Result<Arc<Self>> {
        let _room = reserve::room(reserve::ROOM)?;
        Ok(Arc::new(Self { core: Arc::new(Core::new(config)?) }))
    }

    /// What instances share with it.
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Closes the region if none of its instances is alive, so that none can be created any more.
    ///
    /// # Errors
    /// The number of instances that are alive.
    pub(crate) fn close(&self) -> std::result::Result<(), u32> {
        self.core.home.close(true)
    }
}

impl Deref for Region {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let _ = self.core.home.close(false);
    }
}

impl Core {
    fn new(config: RegionConfig) -> Result<Self> {
        let geometry = Geometry::new(&config)?;
        let process = Process::current()?;
        let reserve = |bytes: u64, what: &str| {
            Mapping::reserve(bytes as usize).and_then(Mapping::kept_from_children).map_err(|e| {
                e.context(format!("{what} (use fewer slots or a compact region, see `ulimit -v`)"))
            })
        };
        let slots_map = reserve(geometry.slots_bytes(), "the region's slots")?;
        let base = slots_map.address().next_multiple_of(geometry.alignment() as usize);
        let stacks_map = match geometry.stacks_bytes() {
            0 => None,
            n => Some(reserve(n, "the region's stacks")?),
        };
        let stacks_open = Support::probe()?.guard_markers;
        if let Some(m) = stacks_map.as_ref().filter(|_| stacks_open) {
            m.open(0, m.len())?;
        }
        if config.compact {
            let (at, len) = (base - slots_map.address(), geometry.packed_bytes() as usize);
            slots_map.open(at, len)?;
        }
        let rung = choose(&config)?;
        let pages_map = match rung {
            Rung::FirstTouch => {
                let len = config.slots as usize * (size_of::<SlotPages>() + FAR * size_of::<u32>());
                Some(Mapping::zeroed(len)?.kept_from_children()?)
            }
            _ => None,
        };
        let pagemap = if rung == Rung::PagemapScan { Some(Pagemap::open()?) } else { None };
        let pages = pages_map.as_ref().map_or(0, Mapping::address);
        let slots_zone = zones::register(zones::Entry::slots(base, &geometry, pages, process))?;
        let stacks_zone = match &stacks_map {
            Some(m) => {
                let entry = zones::Entry::stacks(m.address(), &geometry, process);
                Some(zones::register(entry)?)
            }
            None => None,
        };
        let mut free = reserve::list_of(config.slots as usize)?;
        free.extend((0..config.slots).rev().map(|index| Slot {
            index,
            vmctx: base + geometry.vmctx_offset(index) as usize,
            accessible: if config.compact { geometry.memory_bytes() } else { 0 },
            initial: 0,
            ready: 0,
            contents: Contents::Zero,
            kept: 0,
            opened: config.compact,
        }));
        Ok(Self {
            config,
            geometry,
            base,
            process,
            free: Mutex::new(free),
            free_stacks: Mutex::new(Stacks::default()),
            stacks_open,
            slots_map,
            stacks_map,
            zones: [Some(slots_zone), stacks_zone],
            rung,
            rung_forced: config.reset.is_some(),
            pages_map,
            pagemap,
            kept: AtomicU64::new(0),
            high_water: AtomicU32::new(0),
            home: Home::new(config.latency_histograms)?,
        })
    }

    /// The configuration the region was created with.
    #[must_use]
    pub fn config(&self) -> &RegionConfig {
        &self.config
    }

    /// The way used slots are made pristine. (Small memories are copied and cleared where the way
    /// is to scan.)
    #[must_use]
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// The resident set of a slot.
    #[inline(always)]
    fn pages(&self, slot: &Slot) -> Option<&SlotPages> {
        let base = self.pages_map.as_ref()?.address() as *const SlotPages;
        // SAFETY: the mapping has a `SlotPages` for each slot, zero bytes are valid ones, all
        // fields are atomics, and the mapping lives as long as the region.
        Some(unsafe { &*base.add(slot.index as usize) })
    }

    /// Where pages of a slot's resident set are noted that have no room in it: behind the sets of
    /// all slots.
    fn more_pages(&self, slot: &Slot) -> *mut AtomicU32 {
        let Some(map) = &self.pages_map else { return std::ptr::null_mut() };
        let sets = self.config.slots as usize * size_of::<SlotPages>();
        let at = sets + slot.index as usize * FAR * size_of::<u32>();
        (map.address() + at) as *mut AtomicU32
    }

    /// Number of instances alive.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.home.live()
    }

    /// Where the region's idle instances are.
    pub(crate) fn home(&self) -> Home {
        self.home
    }

    /// Takes a slot that holds no idle instance.
    ///
    /// # Errors
    /// `RegionFull`.
    pub(crate) fn acquire(&self) -> Result<Slot> {
        let mut free = self.free.lock();
        let taken = free.pop();
        let used = self.config.slots - free.len() as u32;
        self.high_water.fetch_max(used, Ordering::Relaxed);
        drop(free);
        taken.ok_or_else(|| {
            Error::new(
                Status::RegionFull,
                format!(
                    "all {} slots of the region are taken; free instances or create a larger \
                     region",
                    self.config.slots
                ),
            )
        })
    }

    /// Whether [`Core::prepare`] has nothing to do: the slot was made pristine for the same image.
    #[inline(always)]
    pub(crate) fn is_prepared(&self, slot: &Slot, bytes: u64, image: u64) -> bool {
        let same = slot.contents == Contents::Image(image) && slot.opened;
        let long = self.config.compact || bytes == slot.accessible;
        let first_touch = self.rung_for(bytes) == Rung::FirstTouch;
        same && long && (!first_touch || self.pages(slot).is_some_and(|p| p.managed() == bytes))
    }

    /// Makes the slot's memory `bytes` long with the pristine contents of `image`, and its stack
    /// and instance data accessible.
    pub(crate) fn prepare(&self, slot: &mut Slot, bytes: u64, image: &Image<'_>) -> Result<()> {
        if !slot.opened {
            let len = self.geometry.private_bytes() as usize;
            self.slots_map.open(slot.vmctx - len - self.slots_map.address(), len)?;
            slot.opened = true;
        }
        if !self.config.compact && bytes < slot.accessible && slot.contents != Contents::Zero {
            // The end of a larger module's image: a later `grow` must find zeros there.
            self.decommit(slot, bytes, slot.accessible)?;
        }
        self.set_accessible(slot, bytes)?;
        self.load(slot, bytes, image)
    }

    /// Gives a slot back that was made pristine or never used.
    pub(crate) fn release(&self, slot: Slot) {
        self.free.lock().push(slot);
    }

    /// Makes a used slot pristine in place: `used` bytes of memory may have been written, `bytes`
    /// are its initial size.
    pub(crate) fn restore(
        &self,
        slot: &mut Slot,
        used: u64,
        bytes: u64,
        image: &Image<'_>,
    ) -> Result<()> {
        slot.contents = Contents::Dirty;
        self.reset(slot, used, bytes, image)
    }

    /// The way in which memories of `bytes` are made pristine.
    #[inline(always)]
    pub(crate) fn rung_of(&self, bytes: u64) -> Rung {
        self.rung_for(bytes)
    }

    /// Makes memory `bytes` long after a `memory.grow`; new bytes are zero.
    pub(crate) fn grow(&self, slot: &mut Slot, bytes: u64) -> Result<()> {
        if bytes <= slot.accessible {
            return Ok(());
        }
        let Some(pages) = self.pages(slot) else { return self.set_accessible(slot, bytes) };
        // What can fail comes before the guest can reach anything.
        self.make_ready(slot, pages, bytes)?;
        self.set_accessible(slot, bytes)?;
        pages.manage(bytes.min(slot.ready));
        Ok(())
    }

    /// Opens or closes pages so that exactly `bytes` are accessible (guarded regions).
    #[inline(always)]
    fn set_accessible(&self, slot: &mut Slot, bytes: u64) -> Result<()> {
        if self.config.compact || bytes == slot.accessible {
            return Ok(());
        }
        self.move_end(slot, bytes)
    }

    #[inline(never)]
    fn move_end(&self, slot: &mut Slot, bytes: u64) -> Result<()> {
        let at = |b: u64| slot.vmctx - self.slots_map.address() + b as usize;
        let (old, new) = (slot.accessible, bytes);
        if new > old {
            self.slots_map.open(at(old), (new - old) as usize)?;
        } else {
            self.slots_map.close(at(new), (old - new) as usize)?;
        }
        slot.accessible = bytes;
        Ok(())
    }

    /// The stack of an instance whose instance data takes `instance_data` bytes.
    pub(crate) fn stack(&self, slot: &Slot, instance_data: u32) -> Result<Stack> {
        if !self.config.compact {
            let bottom = slot.vmctx - self.geometry.private_bytes() as usize;
            return Ok(Stack { bottom, top: slot.vmctx - instance_data as usize, lent: None });
        }
        let mut stacks = self.free_stacks.lock();
        let fresh = stacks.used < self.geometry.stack_count();
        let index = match stacks.free.pop() {
            Some(index) => index,
            None if fresh => stacks.used,
            None => {
                return Err(Error::new(
                    Status::RegionFull,
                    format!("all {} stacks of the compact region are in use", self.config.stacks),
                ));
            }
        };
        let map = self.stacks_map.as_ref().map_or(0, Mapping::address);
        let (bottom, top) = self.geometry.stack_range(index);
        let (bottom, top) = (map + bottom as usize, map + top as usize);
        if index == stacks.used {
            // For giving it back, which cannot fail.
            let lent = stacks.used as usize + 1;
            let more = lent.saturating_sub(stacks.free.len());
            reserve::try_reserve(&mut stacks.free, more)?;
            if let Some(m) = &self.stacks_map {
                self.open_stack(m, bottom - map, top - map)?;
            }
            stacks.used += 1;
        }
        drop(stacks);
        Ok(Stack { bottom, top, lent: Some(index) })
    }

    /// Before a stack is lent for the first time. It stays open.
    fn open_stack(&self, map: &Mapping, bottom: usize, top: usize) -> Result<()> {
        if self.stacks_open {
            map.install_guards(bottom - layout::STACK_GUARD as usize, layout::STACK_GUARD as usize)
        } else {
            map.open(bottom, top - bottom)
        }
    }

    /// Gives a stack back.
    pub(crate) fn release_stack(&self, stack: Stack) {
        if let Some(index) = stack.lent {
            self.free_stacks.lock().free.push(index);
        }
    }

    /// Whether instances with these needs fit into a slot.
    pub(crate) fn check_fit(
        &self,
        instance_data: u32,
        memory: u64,
        stack: u64,
        guarded: bool,
        tables: impl Iterator<Item = u64>,
    ) -> Result<()> {
        self.check_process()?;
        let no = |what: String| Err(Error::new(Status::LimitExceeded, what));
        if guarded && self.config.compact {
            return no("the module was compiled with guarded memory, the region is compact; \
                       recompile with `--memory compact` or use a guarded region"
                .into());
        }
        if instance_data > self.config.max_instance_data {
            return no(format!(
                "the module needs {instance_data} bytes of instance data, the region's slots offer \
                 {}: raise that with lucet_region_config_set_max_instance_data",
                self.config.max_instance_data
            ));
        }
        if memory > self.config.max_memory {
            return no(format!(
                "the module's memory begins with {memory} bytes, the region allows {}: raise that \
                 with lucet_region_config_set_max_memory, or link the module with a smaller \
                 initial memory",
                self.config.max_memory
            ));
        }
        if stack > self.config.stack_bytes {
            return no(format!(
                "a function of the module needs {stack} bytes of stack, the region's slots offer \
                 {}: raise that with lucet_region_config_set_stack_bytes",
                self.config.stack_bytes
            ));
        }
        let most = u64::from(self.config.max_table_elements);
        if let Some(n) = tables.max().filter(|n| *n > most) {
            return no(format!(
                "a table begins with {n} elements, the region allows {most}: raise that with \
                 lucet_region_config_set_max_table_elements"
            ));
        }
        Ok(())
    }

    /// What the region has done and holds. The numbers are read one after the other while others
    /// work; each is right by itself.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let tally = self.home.tally();
        let live = self.home.live();
        Stats {
            live,
            free: self.config.slots.saturating_sub(live),
            high_water: self.high_water.load(Ordering::Relaxed),
            resident_bytes: self.kept.load(Ordering::Relaxed),
            tally,
        }
    }

    /// Whether the region belongs to the parent of this process.
    #[must_use]
    pub fn is_forked(&self) -> bool {
        !self.process.is_current()
    }

    /// Refuses to work for a forked child, which has nothing of the region.
    #[inline(always)]
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.is_forked() { Err(crate::error::forked("the region")) } else { Ok(()) }
    }

    /// Lowest address of the slots, for tests.
    #[must_use]
    pub fn base(&self) -> usize {
        self.base
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // First nobody may find the addresses any more, then they may go.
        self.zones = [None, None];
        for map in std::iter::once(&self.slots_map).chain(&self.stacks_map) {
            crate::sys::valgrind::forget(&(map.address()..map.address() + map.len()));
        }
    }
}

/// The configured rung, if the kernel has it, or the best one.
fn choose(config: &RegionConfig) -> Result<Rung> {
    let has = Support::probe()?;
    let first_touch = has.guard_markers && config.first_touch;
    let missing = |what: &str| Err(Error::new(Status::Unsupported, what));
    match config.reset {
        Some(Rung::FirstTouch) if !first_touch => missing(
            "reset by first touch needs Linux 6.13 (MADV_GUARD_INSTALL) and first_touch turned on",
        ),
        Some(Rung::PagemapScan) if !has.pagemap_scan => {
            missing("reset by scanning needs Linux 6.7 (PAGEMAP_SCAN) and /proc")
        }
        Some(rung) => Ok(rung),
        None if first_touch => Ok(Rung::FirstTouch),
        None if has.pagemap_scan => Ok(Rung::PagemapScan),
        None => Ok(Rung::CopyAndClear),
    }
}
