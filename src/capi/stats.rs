//! What a region has done and holds, in C.

use super::args::required;
use super::error::border;
use super::raw;
use super::region::{REGIONS, lucet_region};
use crate::error::{Error, Status};
use crate::region::Rung;
use crate::stats::{BUCKETS, Histogram, Stats, TRAP_CODES};

/// What a region has done since it was created, and holds now. Later versions add fields at the
/// end; `size` says which ones the caller knows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct lucet_region_stats {
    /// Set it to sizeof(lucet_region_stats) before the call. Afterwards: the bytes that were
    /// written, fewer if the library is older than the header.
    pub size: u64,
    /// Instances alive.
    pub live: u64,
    /// Instances that could be created beside them.
    pub free: u64,
    /// Most slots that were in use at the same time, by instances alive or kept for the next
    /// instance of the module they were used for last.
    pub high_water: u64,
    /// Bytes of memory that used slots keep for their next instances.
    pub resident_bytes: u64,
    /// Instances created.
    pub created: u64,
    /// Slots made pristine by copying over the pages ever touched.
    pub resets_first_touch: u64,
    /// Slots made pristine by copying over the pages that the kernel says have contents.
    pub resets_page_map_scan: u64,
    /// Slots made pristine by copying and clearing all of a small memory.
    pub resets_copy_and_clear: u64,
    /// Slots made pristine by giving their pages back.
    pub resets_decommit: u64,
    /// Runs that were terminated.
    pub terminated: u64,
    /// Runs that took longer than they may.
    pub timed_out: u64,
    /// Runs in which the guest asked to exit.
    pub exited: u64,
    /// Runs that ended because a host function failed.
    pub host_errors: u64,
    /// Runs whose fuel was used up.
    pub out_of_fuel: u64,
    /// Runs that trapped, by lucet_trap_code.
    pub traps: [u64; 32],
    /// How long creating an instance took: element n counts 2^n to 2^(n+1) nanoseconds. All 0
    /// without lucet_region_config_set_latency_histograms.
    pub create_times: [u64; 40],
    /// The same of runs and resumes, each until it returned, yielded or ended otherwise.
    pub run_times: [u64; 40],
    /// Runs that an exception left.
    pub exceptions: u64,
}

const _: () = assert!(TRAP_CODES == 32 && BUCKETS == 40);

impl From<Stats> for lucet_region_stats {
    fn from(s: Stats) -> Self {
        let none: Histogram = [0; BUCKETS];
        let [create_times, run_times] = s.tally.latency.map_or([none; 2], |l| *l);
        let resets = |rung: Rung| s.tally.resets[rung as usize];
        Self {
            size: size_of::<Self>() as u64,
            live: s.live.into(),
            free: s.free.into(),
            high_water: s.high_water.into(),
            resident_bytes: s.resident_bytes,
            created: s.tally.created,
            resets_first_touch: resets(Rung::FirstTouch),
            resets_page_map_scan: resets(Rung::PagemapScan),
            resets_copy_and_clear: resets(Rung::CopyAndClear),
            resets_decommit: resets(Rung::Decommit),
            terminated: s.tally.terminated,
            timed_out: s.tally.timed_out,
            exited: s.tally.exited,
            host_errors: s.tally.host_errors,
            out_of_fuel: s.tally.out_of_fuel,
            traps: s.tally.traps,
            create_times,
            run_times,
            exceptions: s.tally.exceptions,
        }
    }
}

/// What the region has done and holds. Set `stats->size` before; as many bytes are written. The
/// numbers are read one after the other while other threads work; each is right by itself. Takes
/// microseconds: for a scrape each second, not for each request. Any thread.
///
/// LUCET_STATUS_INVALID_ARGUMENT if `stats->size` is smaller than that field itself or not a
/// multiple of 8, LUCET_STATUS_FORKED in a child of the process that created the region.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_region_get_stats(
    region: *const lucet_region,
    stats: *mut lucet_region_stats,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for a structure whose `size` is set.
        let size = unsafe { *required(stats, "stats")?.cast::<u64>() } as usize;
        if size < size_of::<u64>() || !size.is_multiple_of(size_of::<u64>()) {
            let message = format!("`stats->size` is {size}: set it to sizeof(lucet_region_stats)");
            return Err(Error::new(Status::InvalidArgument, message));
        }
        let region = REGIONS.get(region, "region")?;
        region.check_process()?;
        let mut all = lucet_region_stats::from(region.stats());
        let size = size.min(size_of::<lucet_region_stats>());
        all.size = size as u64;
        // SAFETY: the caller has as many bytes there, and so has `all`.
        unsafe {
            std::ptr::copy_nonoverlapping((&raw const all).cast::<u8>(), stats.cast(), size);
        }
        Ok(())
    })
}
