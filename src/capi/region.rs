//! Regions and their configurations in C.

use super::args::Out;
use super::error::{border, border_of_maker, border_of_maker_or_null, border_or};
use super::handle::{Kind, Marks, Table, no_marks};
use super::raw;
use crate::error::{Error, Status};
use crate::region::{Region, RegionConfig};
use crate::sys::lock::Mutex;
use std::sync::Arc;

pub(super) static REGIONS: Table<Region> = Table::numbered(Kind::Region, &MARKS);
static MARKS: Marks = no_marks();
static CONFIGS: Table<Mutex<RegionConfig>> = Table::new(Kind::RegionConfig);

/// Address space cut into slots. Each slot holds one instance: its memory, stack and globals.
/// Created once; any thread may use it, several at the same time.
pub struct lucet_region;

/// Settings for a region. Any thread may use it.
pub struct lucet_region_config;

/// A configuration with the defaults: 64 slots, 256 KiB of stack, up to 4 GiB of memory for each
/// instance, guarded slots. Free it with lucet_region_config_free; regions keep a copy. NULL if
/// there is no memory (see lucet_last_error).
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_config_create() -> *mut lucet_region_config {
    border_of_maker_or_null(|| CONFIGS.insert(Arc::default()))
}

/// Frees a configuration. NULL is allowed; a wrong handle does nothing but set lucet_last_error.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_config_free(config: *mut lucet_region_config) {
    border_or((), || {
        if config.is_null() { Ok(()) } else { CONFIGS.remove(config, "config", |_| Ok(())) }
    });
}

/// The settings; NULL means the defaults.
pub(super) fn config_or_default(config: *const lucet_region_config) -> crate::Result<RegionConfig> {
    match config.is_null() {
        true => Ok(RegionConfig::default()),
        false => CONFIGS.with(config, "config", |c| Ok(*c.lock())),
    }
}

pub(super) fn set(config: *mut lucet_region_config, change: impl FnOnce(&mut RegionConfig)) -> i32 {
    border(|| {
        CONFIGS.with(config, "config", |c| {
            change(&mut c.lock());
            Ok(())
        })
    })
}

/// How many instances may live in the region at the same time; 64 by default. A guarded slot takes
/// more than 4 GiB of address space but no memory before it is used; the address space of a process
/// has room for about 30,000 of them. Values are checked by lucet_region_create.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_config_set_slots(
    config: *mut lucet_region_config,
    slots: u32,
) -> raw::lucet_status {
    set(config, |c| c.slots = slots)
}

/// Bytes of stack for each instance; 256 KiB by default, at least 16 KiB. Host functions run on the
/// thread's own stack and take nothing from it.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_config_set_stack_bytes(
    config: *mut lucet_region_config,
    bytes: u64,
) -> raw::lucet_status {
    set(config, |c| c.stack_bytes = bytes)
}

/// Most bytes of linear memory that an instance may have or grow to, in all its memories together;
/// 4 GiB by default. Compact regions reserve exactly this much for each slot.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_config_set_max_memory(
    config: *mut lucet_region_config,
    bytes: u64,
) -> raw::lucet_status {
    set(config, |c| c.max_memory = bytes)
}

/// Most bytes of instance data (globals, import slots and the like) that a module may need; 128 KiB
/// by default.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_config_set_max_instance_data(
    config: *mut lucet_region_config,
    bytes: u32,
) -> raw::lucet_status {
    set(config, |c| c.max_instance_data = bytes)
}

/// Packs slots tightly, without guards between them, for very many small instances. Only modules
/// compiled with `lucetc --memory compact` fit. Off by default.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_config_set_compact(
    config: *mut lucet_region_config,
    compact: bool,
) -> raw::lucet_status {
    set(config, |c| c.compact = compact)
}

/// Compact regions only: how many instances may run or be suspended at the same time; 1024 by
/// default. Stacks are lent to instances while they need one.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_config_set_stacks(
    config: *mut lucet_region_config,
    stacks: u32,
) -> raw::lucet_status {
    set(config, |c| c.stacks = stacks)
}

/// Whether making a used slot pristine may rely on SIGSEGV reaching lucet, which makes fresh
/// instances cheapest (Linux 6.13 or newer). On by default; turn it off in a program whose handlers
/// of SIGSEGV cannot be trusted to pass it on. Traps of guests need that signal in any case.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_config_set_first_touch(
    config: *mut lucet_region_config,
    first_touch: bool,
) -> raw::lucet_status {
    set(config, |c| c.first_touch = first_touch)
}

/// Most elements that a table of an instance may have or grow to; as many as its module asks for by
/// default. A module whose table begins with more is LUCET_STATUS_LIMIT_EXCEEDED.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_config_set_max_table_elements(
    config: *mut lucet_region_config,
    elements: u32,
) -> raw::lucet_status {
    set(config, |c| c.max_table_elements = elements)
}

/// The time limit that new instances have, see lucet_instance_set_time_limit; 0, none, by default.
/// It holds for their start functions too, which nobody else could end.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_config_set_time_limit(
    config: *mut lucet_region_config,
    nanoseconds: u64,
) -> raw::lucet_status {
    set(config, |c| c.time_limit = nanoseconds)
}

/// Bytes of memory that used slots keep for their next instances at most: each of them (1 MiB by
/// default) and all together (256 MiB by default). Keeping is what makes fresh instances cheap; a
/// slot past either is emptied when its instance is freed, and its next one pays page faults.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_config_set_resident_bytes(
    config: *mut lucet_region_config,
    per_slot: u64,
    all: u64,
) -> raw::lucet_status {
    set(config, |c| (c.slot_resident_bytes, c.resident_bytes) = (per_slot, all))
}

/// Whether lucet_region_get_stats tells how long creating and running instances takes. Off by
/// default: it reads a clock twice for each, some 50 ns.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_config_set_latency_histograms(
    config: *mut lucet_region_config,
    on: bool,
) -> raw::lucet_status {
    set(config, |c| c.latency_histograms = on)
}

/// Whether runs of the region's instances that end badly leave a backtrace: see
/// lucet_instance_set_backtrace, which changes it for one instance. Off by default.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_config_set_backtrace(
    config: *mut lucet_region_config,
    on: bool,
) -> raw::lucet_status {
    set(config, |c| c.backtrace = on)
}

/// Creates a region; NULL as `config` means the defaults. `*out` is the region, or NULL if the call
/// fails. Free it with lucet_region_free. Any thread.
///
/// LUCET_STATUS_INVALID_ARGUMENT for sizes that make no sense, LUCET_STATUS_OUT_OF_MEMORY if the
/// system refuses so much address space (see `ulimit -v`).
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_region_create(
    config: *const lucet_region_config,
    out: *mut *mut lucet_region,
) -> raw::lucet_status {
    border_of_maker(|| {
        // SAFETY: the header asks for a place for a handle.
        let out = unsafe { Out::new(out, "out", std::ptr::null_mut()) }?;
        let region = Region::new(config_or_default(config)?)?;
        let number = region.home().id();
        out.set(REGIONS.insert_numbered(region, number)?);
        Ok(())
    })
}

/// Frees a region and gives its address space back. All of its instances must have been freed. Any
/// thread. In a forked child it may always be called: the parent keeps what it has.
///
/// LUCET_STATUS_BUSY while instances are alive.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_free(region: *mut lucet_region) -> raw::lucet_status {
    border(|| {
        REGIONS.remove(region, "region", |r| {
            r.close().map_err(|n| {
                let message = format!("{n} instances of the region are alive; free them first");
                Error::new(Status::Busy, message)
            })
        })
    })
}
