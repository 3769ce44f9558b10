//! Exceptions that are alive: where they are kept, who still refers to them, where they go.
//!
//! ```text
//!  throw ─► Store::make ─► way ─┬─► landing pad ─ catch ────► TakeException: gone
//!                               │                ─ catch_ref ► the guest has a reference
//!                               └─► out of the run ─► Outcome::Exception: gone
//! ```
//!
//! A reference is a number: which of the store's places, and the number of the exception in it,
//! which no other exception in the process has. So one that is stale, or of another instance, or
//! made up, refers to nothing. Numbers have 48 bits. Two threads that do nothing but throw use them
//! up in half a year; then they begin again, and a reference that somebody kept all that time could
//! refer to another exception of the same store, which is as much as a guest can do by itself.
//!
//! An exception that was never thrown again by reference is in nobody's hands but those of the
//! handler that gets it, which says whether it keeps a reference. Others stay until somebody looks
//! who refers to them ([`collect`]): when there are many. That goes through everything a guest can
//! keep a reference in; on stacks, each word counts that could be one.
//!
//! An instance alone has a store of its own, made by the first exception; the members of a group
//! share one.

use super::{Fault, IDLE, Inner, InstanceRef, Table, tables};
use crate::error::Status;
use crate::error::{Error, Result};
use crate::module::Core;
use crate::outcome::Exception;
use crate::sys::reserve;
use crate::value::Val;
use crate::vmctx::unwind::{self, Way};
use crate::vmctx::{self, ControlRef, Pending};
use lucet_artifact::ValType;
use lucet_artifact::abi::TrapCode;
use lucet_artifact::contract::ExportKind;
use lucet_artifact::types::HeapType;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

type Done<T = ()> = std::result::Result<T, Fault>;

/// Most exceptions alive in an instance or group.
pub(crate) const MAX_LIVE: usize = 1 << 16;
/// Most values that they carry together.
const MAX_VALUES: usize = 1 << 20;
/// How many there are at least when it is looked who refers to them.
const FEW: usize = 1 << 10;

/// Low bits of a reference: which place of the store. There are never more than may be alive.
const PLACE: u64 = MAX_LIVE as u64 - 1;
/// Largest number of an exception: what is left of a reference.
const LAST: u64 = u64::MAX >> PLACE.count_ones();

/// An exception's tag: the instance that defines it, and the tag's index there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tag {
    pub owner: ControlRef,
    pub index: u32,
}

/// A place for an exception.
#[derive(Debug)]
struct Place {
    /// The exception's number; 0: there is none.
    number: u64,
    tag: Tag,
    /// Whether the guest threw it by a reference, of which it may have more.
    shared: bool,
    seen: bool,
    values: Vec<u128>,
}

/// The exceptions of an instance or group.
#[derive(Debug)]
pub(crate) struct Store {
    places: Vec<Place>,
    free: Vec<u32>,
    /// Values that are carried.
    values: usize,
    /// At how many it is looked who refers to them.
    look_at: usize,
    /// Numbers that are this store's.
    numbers: std::ops::Range<u64>,
    /// What is older is kept: a host function that runs the guest may have references to them.
    kept: Option<u64>,
    /// There was no memory to see everything: nothing can be let go of this time.
    blind: bool,
    /// The last one that left a run, and whose run.
    left: Option<(ControlRef, Arc<Exception>)>,
}

/// Numbers of exceptions that belong to no store yet, counted without end.
static NUMBERS: AtomicU64 = AtomicU64::new(0);
/// How many a store takes at once.
const BLOCK: u64 = 64;

impl Default for Store {
    fn default() -> Self {
        Self::with_numbers(0..0)
    }
}

impl Store {
    /// An empty one that uses these numbers first.
    fn with_numbers(numbers: std::ops::Range<u64>) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            values: 0,
            look_at: FEW,
            numbers,
            kept: None,
            blind: false,
            left: None,
        }
    }

    fn live(&self) -> usize {
        self.places.len() - self.free.len()
    }

    fn next_number(&mut self) -> u64 {
        if self.numbers.is_empty() {
            let first = NUMBERS.fetch_add(BLOCK, Ordering::Relaxed);
            self.numbers = first..first + BLOCK;
        }
        let n = self.numbers.start;
        self.numbers.start += 1;
        // 0 is none.
        n % LAST + 1
    }

    /// Whether an exception with this number is older than one that would get `kept` now.
    fn is_older(number: u64, kept: u64) -> bool {
        number.wrapping_sub(kept) & LAST > LAST / 2
    }

    /// Makes room for one more, and for what looking at all of them needs.
    fn has_room(&mut self) -> bool {
        let all = self.places.len() + 1;
        let places = if self.free.is_empty() { 1 } else { 0 };
        let free = all - self.free.len();
        reserve::try_reserve(&mut self.places, places).is_ok()
            && reserve::try_reserve(&mut self.free, free).is_ok()
    }

    /// A new exception with the values that `fill` writes, or what it says instead. There is room.
    fn make(
        &mut self,
        tag: Tag,
        fill: impl FnOnce(&mut Vec<u128>) -> std::result::Result<(), Fault>,
    ) -> std::result::Result<u64, Fault> {
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                let values = Vec::new();
                self.places.push(Place { number: 0, tag, shared: false, seen: false, values });
                self.places.len() as u32 - 1
            }
        };
        let number = self.next_number();
        let Some(place) = self.places.get_mut(at as usize) else {
            return Err(Fault::Fail(Status::Internal as u64));
        };
        place.values.clear();
        if let Err(fault) = fill(&mut place.values) {
            self.free.push(at);
            return Err(fault);
        }
        (place.number, place.tag, place.shared) = (number, tag, false);
        self.values += place.values.len();
        Ok(number << PLACE.count_ones() | u64::from(at))
    }

    fn get(&mut self, reference: u64) -> Option<&mut Place> {
        let place = self.places.get_mut((reference & PLACE) as usize)?;
        (place.number != 0 && place.number == reference >> PLACE.count_ones()).then_some(place)
    }

    fn remove(&mut self, at: usize) {
        // What is larger than usual is not kept for the next one.
        const USUAL: usize = 16;
        if let Some(place) = self.places.get_mut(at)
            && place.number != 0
        {
            place.number = 0;
            self.values -= place.values.len();
            if place.values.len() > USUAL {
                place.values = Vec::new();
            }
            self.free.push(at as u32);
        }
    }

    /// Marks what `reference` refers to, if it does, and what that refers to.
    fn see(&mut self, reference: u64) {
        // Hardly any of the words that are looked at is one.
        let mut next = Vec::new();
        let mut at = Some(reference);
        while let Some(reference) = at {
            if let Some(place) = self.get(reference).filter(|p| !p.seen) {
                place.seen = true;
                let n = place.values.len();
                if reserve::try_reserve(&mut next, n).is_err() {
                    self.blind = true;
                    return;
                }
                // Whatever type they have: each could be a reference.
                next.extend(place.values.iter().map(|v| *v as u64));
            }
            at = next.pop();
        }
    }

    /// As if nobody had looked.
    fn unsee(&mut self) {
        self.blind = false;
        self.places.iter_mut().for_each(|p| p.seen = false);
    }

    /// Lets go of what was not seen; `words` is how much was looked through for it.
    fn sweep(&mut self, words: usize) {
        let blind = std::mem::take(&mut self.blind);
        for at in 0..self.places.len() {
            let Some(place) = self.places.get_mut(at) else { continue };
            let number = place.number;
            let keep = std::mem::take(&mut place.seen)
                || blind
                || self.kept.is_some_and(|kept| Self::is_older(number, kept));
            if !keep {
                self.remove(at);
            }
        }
        // Not again before there are as many new ones, or as the work is worth.
        self.look_at = (2 * self.live()).max(FEW).max(words / 64).min(MAX_LIVE);
    }

    /// Whether there is no room for one more with `n` values.
    fn is_full(&self, n: usize) -> bool {
        self.live() >= MAX_LIVE || self.values + n > MAX_VALUES
    }
}

impl Inner {
    /// Tag `index`, imported ones first.
    pub(super) fn tag(&self, own: ControlRef, index: u32) -> Option<Tag> {
        if let Some(tag) = self.tags.get(index as usize) {
            return Some(*tag);
        }
        let defined = (index as usize) < self.module.loaded.contract.tags.len();
        defined.then_some(Tag { owner: own, index })
    }

    /// What compiled code knows own tag `index` by.
    pub(super) fn tag_identity(&self, index: u32) -> u64 {
        match self.group {
            Some(_) => self.data.address(self.module.loaded.layout.tag(index), 8) as u64,
            None => u64::from(index) + 1,
        }
    }

    /// Forgets all exceptions, but not the numbers that were left: or instances that throw once
    /// and are freed would use them up in weeks.
    pub(super) fn forget_exceptions(&mut self) {
        if let Some(store) = self.exceptions.take() {
            self.exception_numbers = store.numbers;
        }
    }

    /// The exceptions of an instance alone.
    fn own_exceptions(&mut self) -> &mut Store {
        let numbers = &mut self.exception_numbers;
        self.exceptions
            .get_or_insert_with(|| Box::new(Store::with_numbers(std::mem::replace(numbers, 0..0))))
    }

    /// Sees to it that there is a store; `false`: there is no memory for one.
    fn have_exceptions(&mut self) -> bool {
        if self.exceptions.is_none() {
            self.exceptions = reserve::try_box(Store::default());
            if let Some(store) = &mut self.exceptions {
                store.numbers = std::mem::replace(&mut self.exception_numbers, 0..0);
            }
        }
        self.exceptions.is_some()
    }
}

impl Tag {
    pub(super) fn identity(self) -> u64 {
        self.owner.with(|i| i.tag_identity(self.index))
    }

    fn types(self, module: &Core) -> &[ValType] {
        module.tag_type(self.index).map_or(&[], |t| &t.params)
    }
}

/// Works on the exceptions of an instance or its group. `f` must not look at an instance.
fn with_store<R>(control: ControlRef, f: impl FnOnce(&mut Store) -> R) -> R {
    let group = control.with(|i| i.group.clone());
    match group {
        Some(group) => f(group.exceptions.lock().get_or_insert_with(Box::default)),
        None => control.with(|i| f(i.own_exceptions())),
    }
}

/// The same if there were any exceptions.
fn with_known<R>(control: ControlRef, f: impl FnOnce(&mut Store) -> R) -> Option<R> {
    let (group, own) = control.with(|i| (i.group.clone(), i.exceptions.is_some()));
    let any = group.map_or(own, |g| g.exceptions.lock().is_some());
    any.then(|| with_store(control, f))
}

fn take_store(control: ControlRef) -> Box<Store> {
    let group = control.with(|i| i.group.clone());
    let store = match group {
        Some(group) => group.exceptions.lock().take(),
        None => control.with(|i| i.exceptions.take()),
    };
    store.unwrap_or_default()
}

fn put_store(control: ControlRef, store: Box<Store>) {
    let group = control.with(|i| i.group.clone());
    match group {
        Some(group) => *group.exceptions.lock() = Some(store),
        None => control.with(|i| i.exceptions = Some(store)),
    }
}

/// Looks who still refers to exceptions, and lets go of those that nobody refers to; of none if the
/// run is to end meanwhile, which it says.
#[cold]
fn collect(control: ControlRef) -> Done {
    /// Words that are looked at before it is asked whether the run is to end.
    const FEW_WORDS: usize = 1 << 14;
    let mut store = take_store(control);
    let mut words = 0usize;
    let mut done = Ok(());
    let mut members =
        control.with(|i| i.group.as_ref().map(|g| g.others(control))).unwrap_or_default();
    // A member may have several names.
    members.dedup();
    members.push(control);
    for c in members {
        let running = vmctx::guest_sp_of(c);
        let mut visit = |word: u64| {
            words += 1;
            if words.is_multiple_of(FEW_WORDS) && done.is_ok() {
                done = tables::go_on();
            }
            store.see(word);
            done.is_ok()
        };
        c.with(|i| {
            let suspended = i.suspended.map(|s| s.guest_sp);
            let sp = suspended.into_iter().chain(running).min();
            if let (Some(stack), Some(sp)) = (i.stack_range(), sp) {
                unwind::each_word(&stack, sp, &mut visit);
            }
            i.each_exnref(&mut visit);
        });
    }
    match done {
        Ok(()) => store.sweep(words),
        Err(_) => store.unsee(),
    }
    put_store(control, store);
    done
}

fn is_exnref(t: ValType) -> bool {
    t.reference().is_some_and(|t| t.heap.top() == HeapType::Exn)
}

impl Inner {
    /// The references in own globals and tables, until `visit` says no.
    fn each_exnref(&self, visit: &mut dyn FnMut(u64) -> bool) {
        let (contract, layout) = (&self.module.loaded.contract, &self.module.loaded.layout);
        let imported = layout.counts().imported_globals;
        for (n, g) in (0..).zip(contract.globals.iter().skip(imported as usize)) {
            if is_exnref(g.ty) && !visit(self.data.slot(layout.global(n)) as u64) {
                return;
            }
        }
        for (n, t) in (0..).zip(&contract.tables) {
            if is_exnref(t.elem.into())
                && matches!(self.tables.get(n as usize), Some(Table::Own(_)))
                && !self.entries(n).iter().all(|e| visit(e.funcref))
            {
                return;
            }
        }
    }
}

/// Sees to it that there is a store; `false`: there is no memory for one.
fn have_store(control: ControlRef) -> bool {
    let group = control.with(|i| i.group.clone());
    let Some(group) = group else { return control.with(Inner::have_exceptions) };
    let mut store = group.exceptions.lock();
    if store.is_none() {
        *store = reserve::try_box(Store::default());
    }
    store.is_some()
}

/// `throw`: the payload of tag `index` lies at `at` on the guest's stack.
pub(crate) fn throw(control: ControlRef, index: u64, at: u64) -> Fault {
    const BUG: Fault = Fault::Fail(Status::Internal as u64);
    let tag = u32::try_from(index).ok().and_then(|n| control.with(|i| i.tag(control, n)));
    let stack = unwind::innermost().and_then(|c| c.with(|i| i.stack_range()));
    let (Some(tag), Some(stack)) = (tag, stack) else { return BUG };
    let n = tag.owner.with(|i| tag.types(&i.module).len());
    const NO_MEMORY: Fault = Fault::Fail(Status::OutOfMemory as u64);
    if !have_store(control) {
        return NO_MEMORY;
    }
    if with_store(control, |s| s.live() >= s.look_at || s.is_full(n))
        && let Err(fault) = collect(control)
    {
        return fault;
    }
    let made = with_store(control, |s| {
        if s.is_full(n) {
            return Err(Fault::Fail(Status::LimitExceeded as u64));
        }
        if !s.has_room() {
            return Err(NO_MEMORY);
        }
        let fill = |values: &mut Vec<u128>| match reserve::try_reserve(values, n) {
            Ok(()) => unwind::copy_from(&stack, at, n, values).then_some(()).ok_or(BUG),
            Err(_) => Err(NO_MEMORY),
        };
        s.make(tag, fill)
    });
    made.map_or_else(|fault| fault, Fault::Throw)
}

/// `throw_ref`; also, without that the guest has a `reference`, an exception that goes on.
pub(crate) fn throw_again(control: ControlRef, reference: u64, shared: bool) -> Fault {
    let known = with_store(control, |s| match s.get(reference) {
        Some(place) => {
            place.shared |= shared;
            true
        }
        None => false,
    });
    if known { Fault::Throw(reference) } else { Fault::Fail(Status::Internal as u64) }
}

/// A handler got an exception: copies its values to `to` on the guest's stack, unless that is 0.
/// Unless the handler is to `keep` it, the exception is gone if it has no other reference.
pub(crate) fn caught(control: ControlRef, reference: u64, to: u64, keep: bool) -> Done {
    const BUG: Fault = Fault::Fail(Status::Internal as u64);
    let stack = unwind::innermost().and_then(|c| c.with(|i| i.stack_range())).ok_or(BUG)?;
    with_store(control, |s| {
        let place = s.get(reference).ok_or(BUG)?;
        if to != 0 && !unwind::copy_to(&stack, to, &place.values) {
            return Err(BUG);
        }
        if !keep && !place.shared {
            s.remove((reference & PLACE) as usize);
        }
        Ok(())
    })
}

/// The host function of `leaver` that just returned, or its builtin, threw: finds where that lands
/// on the stack of `on`, and prepares it. Returns the guest's stack pointer and the result of the
/// host call with which it goes on; `None`: the run is over, and the pending action says how.
pub(crate) fn land(leaver: ControlRef, on: ControlRef, fp: usize) -> Option<(usize, u64)> {
    let reference = match leaver.inner().fault {
        Some(Fault::Throw(reference)) => reference,
        _ => return None,
    };
    let stack = on.with(|i| i.stack_range())?;
    let fault = match unwind::way(&stack, fp) {
        Way::Out => return None,
        Way::To(landing) => {
            let tag = with_store(leaver, |s| s.get(reference).map(|p| p.tag));
            if let Some(tag) = tag {
                leaver.with(|i| i.fault = None);
                leaver.set_pending(Pending::None);
                return Some((unwind::prepare(&stack, landing, tag.identity()), reference));
            }
            Fault::Fail(Status::Internal as u64)
        }
        Way::Overflow => Fault::Trap(TrapCode::StackOverflow),
        Way::Damaged => Fault::Fail(Status::Internal as u64),
    };
    leaver.set_pending(Pending::None);
    super::set_fault(leaver, fault);
    None
}

/// What is known of an exception that left a run.
pub(super) fn describe(control: ControlRef, reference: u64) -> Option<Arc<Exception>> {
    let (tag, values) =
        with_store(control, |s| s.get(reference).map(|p| (p.tag, p.values.clone())))?;
    Some(tag.owner.with(|i| {
        let exports = &i.module.loaded.exports.exports;
        let name = exports.iter().find(|e| e.kind == ExportKind::Tag && e.index == tag.index);
        let types = tag.types(&i.module);
        Arc::new(Exception {
            tag: name.map(|e| e.name.clone()),
            index: tag.index,
            module: i.module.id(),
            values: types.iter().zip(values).map(|(t, v)| Val::from_slot(*t, v)).collect(),
            reference,
        })
    }))
}

/// An exception left `control`'s outermost run: what is known of it is kept for whoever asks.
pub(super) fn left(control: ControlRef, exception: &Arc<Exception>) {
    with_store(control, |s| {
        if s.get(exception.reference).is_some_and(|p| !p.shared) {
            s.remove((exception.reference & PLACE) as usize);
        }
        s.left = Some((control, exception.clone()));
    });
}

/// Whether a word is a reference to an exception of the instance or its group.
pub(super) fn is_alive(control: ControlRef, reference: u64) -> bool {
    with_known(control, |s| s.get(reference).is_some()).unwrap_or(false)
}

impl InstanceRef {
    /// The exception that the last run ended with which ended with one.
    ///
    /// # Errors
    /// `WrongState` if there was none since the instance was fresh; `InvalidHandle`, `Busy`.
    pub fn exception(&self) -> Result<Arc<Exception>> {
        let control = self.lease(&IDLE)?.control;
        let left = with_known(control, |s| s.left.clone()).flatten();
        let own = left.filter(|(of, _)| *of == control);
        own.map(|(_, exception)| exception).ok_or_else(|| {
            Error::new(Status::WrongState, "no run of this instance ended with an exception")
        })
    }

    /// How many exceptions are kept for the instance or its group: those that guests may refer to,
    /// and those for which nobody has looked yet whether they do. For tests and curiosity.
    ///
    /// # Errors
    /// `InvalidHandle`, `Busy`.
    pub fn exceptions(&self) -> Result<usize> {
        let control = self.lease(&IDLE)?.control;
        Ok(with_known(control, |s| s.live()).unwrap_or(0))
    }
}

/// While this lives, no exception is let go of that is older: a host function that runs the guest
/// may hold references to them.
pub(super) struct Keep(Option<(ControlRef, Option<u64>)>);

impl Keep {
    pub(super) fn begin(control: ControlRef) -> Self {
        let before = with_known(control, |s| {
            let next = s.next_number();
            s.kept.replace(next)
        });
        Self(before.map(|before| (control, before)))
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        if let Some((control, before)) = self.0 {
            with_known(control, |s| s.kept = before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instance;
    use crate::module::{Module, ModuleConfig};
    use crate::region::{Region, RegionConfig};

    fn throws() -> (Arc<Region>, Arc<Module>) {
        let wat = r#"(module (tag $e (param i32)) (func (export "f") (result i32)
            (block $h (result i32)
              (try_table (catch $e $h) (throw $e (i32.const 7))) (unreachable))))"#;
        let bytes = lucetc::compile(wat.as_bytes(), &lucetc::Options::default()).unwrap();
        let config = ModuleConfig { allow_unsigned: true, ..ModuleConfig::default() };
        let region = Region::new(RegionConfig { slots: 1, ..RegionConfig::default() }).unwrap();
        (region, Module::load_bytes(&bytes, &config).unwrap())
    }

    fn run(region: &Arc<Region>, module: &Arc<Module>) {
        let i = Instance::new(region, module).unwrap();
        let o = i.run("f", &[]).unwrap();
        assert_eq!(o, crate::Outcome::Returned(vec![Val::I32(7)]));
    }

    #[test]
    fn instances_that_throw_once_do_not_use_numbers_up() {
        let (region, module) = throws();
        let before = NUMBERS.load(Ordering::Relaxed);
        (0..2_000).for_each(|_| run(&region, &module));
        let used = NUMBERS.load(Ordering::Relaxed) - before;
        assert!(used <= 2_000 + 64 * BLOCK, "{used} numbers for 2,000 exceptions");
    }

    #[test]
    fn numbers_begin_again() {
        let (region, module) = throws();
        let i = Instance::new(&region, &module).unwrap();
        let tag = Tag { owner: i.control(), index: 0 };
        for first in [LAST - 3, u64::MAX - BLOCK] {
            let mut store = Store::with_numbers(first..first + 8);
            let kept = store.next_number();
            let all: Vec<_> = (0..6).map(|_| store.make(tag, |_| Ok(())).unwrap()).collect();
            for (n, r) in all.iter().enumerate() {
                assert_ne!(*r, 0);
                assert!(store.get(*r).is_some(), "{n}: {r:#x}");
                assert_eq!(all.iter().filter(|other| *other == r).count(), 1);
                assert!(!Store::is_older(r >> PLACE.count_ones(), kept), "{n}: {r:#x}");
            }
            assert!(Store::is_older(kept, store.next_number()));
        }
    }
}
