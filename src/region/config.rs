//! What a region is created with.

use super::Rung;

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum GrowthKind {
    /// A memory; sizes are bytes, of all memories of the instance together.
    Memory = 1,
    /// A table; sizes are elements.
    Table = 2,
}

/// Somebody who is asked before a memory or table grows: after every limit has allowed it, on the
/// thread of the run, on the host's stack.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    /// Whether it may. Gets these words, index and generation of the instance
    /// ([`crate::InstanceRef::from_parts`]), what grows, and its size before and after.
    pub ask: fn(&Self, (u32, u32), GrowthKind, u64, u64) -> bool,
    /// For `ask`.
    pub function: usize,
    /// For `ask`.
    pub user_data: usize,
}

/// What a region's slots offer. All sizes in bytes.
#[derive(Debug, Clone, Copy)]
pub struct RegionConfig {
    /// Number of slots, that is of instances alive at the same time.
    pub slots: u32,
    /// Stack of each instance; at least 16 KiB.
    pub stack_bytes: u64,
    /// Largest memory of an instance; if it has several, all of them together. Guarded regions
    /// reserve 4 GiB whatever this says; compact regions reserve exactly this much per slot.
    pub max_memory: u64,
    /// Largest instance data of a module.
    pub max_instance_data: u32,
    /// Pack slots for modules compiled with `--memory compact`, without guards between them.
    pub compact: bool,
    /// Compact regions only: how many instances may run or be suspended at the same time.
    pub stacks: u32,
    /// How used slots are made pristine; `None` takes the best way that the kernel has.
    pub reset: Option<Rung>,
    /// Whether resetting may rely on SIGSEGV reaching the library (rung "first touch"). Turn it off
    /// in processes whose SIGSEGV handling cannot be trusted.
    pub first_touch: bool,
    /// Whether instances record backtraces of runs that end badly.
    pub backtrace: bool,
    /// Most elements a table of an instance may have or grow to.
    pub max_table_elements: u32,
    /// Longest time that a run of a new instance may take, in nanoseconds; 0: any.
    pub time_limit: u64,
    /// Bytes of memory that a used slot keeps for its next instance at most; one that has touched
    /// more is emptied at reset.
    pub slot_resident_bytes: u64,
    /// The same for all used slots together.
    pub resident_bytes: u64,
    /// Asked before a memory or table grows.
    pub growth: Option<Growth>,
    /// Whether [`crate::Stats`] tell how long creating and running instances takes. Reads a clock
    /// twice for each.
    pub latency_histograms: bool,
}

impl Default for RegionConfig {
    fn default() -> Self {
        Self {
            slots: 64,
            stack_bytes: 256 << 10,
            max_memory: 4 << 30,
            max_instance_data: 128 << 10,
            compact: false,
            stacks: 1024,
            reset: None,
            first_touch: true,
            backtrace: false,
            max_table_elements: u32::MAX,
            time_limit: 0,
            slot_resident_bytes: 1 << 20,
            resident_bytes: 256 << 20,
            growth: None,
            latency_histograms: false,
        }
    }
}
