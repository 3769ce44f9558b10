//! Where the parts of a region lie: pure arithmetic, no address of anything real.
//!
//! Guarded regions; one slot:
//!
//! ```text
//!  slot start        vmctx - private_bytes        vmctx                     next slot
//!  │                 │                            │                         │
//!  ├─────────────────┼────────────┬───────────────┼──────────────┬──────────┤
//!  │ guard ≥ 64 KiB  │ stack      │ instance data │ 4 GiB        │ ≥ 32 MiB │
//!  └─────────────────┴────────────┴───────────────┴──────────────┴──────────┘
//!                                                 ▲ 1 MiB modulo 2 MiB
//! ```
//!
//! Compact regions; slots in one mapping, stacks in another:
//!
//! ```text
//!  ├───────────────┬────────────┬───────────────┬────────────┬──
//!  │ instance data │ max_memory │ instance data │ max_memory │
//!  └───────────────┴────────────┴───────────────┴────────────┴──
//!  ├───────┬───────┬───────┬───────┬──
//!  │ guard │ stack │ guard │ stack │
//!  └───────┴───────┴───────┴───────┴──
//! ```

use super::RegionConfig;
use crate::error::{Error, Result, Status};
use lucet_artifact::limits::{MAX_INSTANCE_DATA, NATIVE_PAGE};

/// Reservation that guarded code relies on.
pub const GUARDED_MEMORY: u64 = 4 << 30;
/// Guard after it that guarded code relies on.
pub const MEMORY_GUARD: u64 = 32 << 20;
/// Least guard below a stack. Code probes each page of a large frame, so any frame hits it.
pub const STACK_GUARD: u64 = 64 << 10;
/// Range that one page-table page covers; slots of guarded regions are aligned to it.
pub const HUGE: u64 = 2 << 20;
/// Smallest stack: entry trampoline, thunk and a few frames.
pub const MIN_STACK: u64 = 16 << 10;
/// Largest stack.
pub const MAX_STACK: u64 = 1 << 30;
/// Address space a process can have.
const ADDRESS_SPACE: u64 = 1 << 47;

/// The numbers of a region; everything is derived from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    compact: bool,
    slots: u64,
    /// Distance from slot to slot.
    stride: u64,
    /// Distance from a slot's start to its `vmctx`.
    vmctx: u64,
    /// Bytes from `vmctx` on that belong to memory and its guard.
    memory_and_guard: u64,
    /// Bytes of memory a slot can have.
    memory: u64,
    instance_data: u64,
    stack: u64,
    stacks: u64,
}

fn pages(bytes: u64) -> u64 {
    bytes.next_multiple_of(NATIVE_PAGE)
}

impl Geometry {
    /// Computes the geometry.
    ///
    /// # Errors
    /// `InvalidArgument` with the setting that makes no sense.
    pub fn new(c: &RegionConfig) -> Result<Self> {
        let bad = |m: String| Err(Error::new(Status::InvalidArgument, m));
        if c.slots == 0 || c.slots > 10_000_000 {
            return bad(format!("{} slots: a region has between 1 and 10,000,000", c.slots));
        }
        if !(MIN_STACK..=MAX_STACK).contains(&c.stack_bytes) {
            return bad(format!(
                "a stack of {} bytes: between {MIN_STACK} and {MAX_STACK} are possible",
                c.stack_bytes
            ));
        }
        if c.max_instance_data > MAX_INSTANCE_DATA || c.max_instance_data < 256 {
            return bad(format!(
                "{} bytes of instance data: between 256 and {MAX_INSTANCE_DATA} are possible",
                c.max_instance_data
            ));
        }
        if c.max_memory > GUARDED_MEMORY {
            return bad(format!("max_memory of {} bytes: at most 4 GiB", c.max_memory));
        }
        let instance_data = pages(c.max_instance_data.into());
        let stack = pages(c.stack_bytes);
        let slots = u64::from(c.slots);
        let memory = pages(c.max_memory);
        let g = if c.compact {
            if c.stacks == 0 {
                return bad("a compact region needs at least one stack".into());
            }
            Self {
                compact: true,
                slots,
                stride: instance_data + memory,
                vmctx: instance_data,
                memory_and_guard: memory,
                memory,
                instance_data,
                stack,
                stacks: u64::from(c.stacks.min(c.slots)),
            }
        } else {
            let below = STACK_GUARD + stack + instance_data;
            let vmctx = (below + HUGE / 2).next_multiple_of(HUGE) - HUGE / 2;
            let memory_and_guard = GUARDED_MEMORY + MEMORY_GUARD;
            let stride = (vmctx + memory_and_guard).next_multiple_of(HUGE);
            let stacks = 0;
            Self {
                compact: false,
                slots,
                stride,
                vmctx,
                memory_and_guard,
                memory,
                instance_data,
                stack,
                stacks,
            }
        };
        if slots.checked_mul(g.stride).is_none_or(|b| b > ADDRESS_SPACE) {
            return bad(format!(
                "{} slots of {} MiB of address space each do not fit into 128 TiB; use fewer slots \
                 or a compact region",
                c.slots,
                g.stride >> 20
            ));
        }
        Ok(g)
    }

    /// Number of [`Geometry::words`].
    pub const WORDS: usize = 9;

    /// The geometry as numbers that can be published one by one.
    #[must_use]
    pub fn words(&self) -> [u64; Self::WORDS] {
        [
            u64::from(self.compact),
            self.slots,
            self.stride,
            self.vmctx,
            self.memory_and_guard,
            self.memory,
            self.instance_data,
            self.stack,
            self.stacks,
        ]
    }

    /// What [`Geometry::words`] were made of.
    #[must_use]
    pub fn from_words(words: [u64; Self::WORDS]) -> Option<Self> {
        let [compact, slots, stride, vmctx, accessible, memory, data, stack, stacks] = words;
        let g = Self {
            compact: compact != 0,
            slots,
            stride,
            vmctx,
            memory_and_guard: accessible,
            memory,
            instance_data: data,
            stack,
            stacks,
        };
        (stride > 0).then_some(g)
    }

    /// Alignment of the first slot.
    #[must_use]
    pub fn alignment(&self) -> u64 {
        if self.compact { NATIVE_PAGE } else { HUGE }
    }

    /// Bytes of all slots.
    #[must_use]
    pub fn packed_bytes(&self) -> u64 {
        self.slots * self.stride
    }

    /// Bytes to reserve for the slots, with room to align and a guard at the end.
    #[must_use]
    pub fn slots_bytes(&self) -> u64 {
        self.packed_bytes() + self.alignment() + STACK_GUARD
    }

    /// Bytes to reserve for stacks outside the slots.
    #[must_use]
    pub fn stacks_bytes(&self) -> u64 {
        self.stacks * (STACK_GUARD + self.stack)
    }

    /// Number of stacks outside the slots.
    #[must_use]
    pub fn stack_count(&self) -> u32 {
        self.stacks as u32
    }

    /// Offset of slot `index`'s `vmctx` from the first slot's start.
    #[must_use]
    pub fn vmctx_offset(&self, index: u32) -> u64 {
        u64::from(index) * self.stride + self.vmctx
    }

    /// Bytes of memory a slot can have.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.memory
    }

    /// Bytes below `vmctx` that are accessible in a guarded slot: stack and instance data.
    #[must_use]
    pub fn private_bytes(&self) -> u64 {
        if self.compact { self.instance_data } else { self.stack + self.instance_data }
    }

    /// Bottom and top of stack `index` outside the slots.
    #[must_use]
    pub fn stack_range(&self, index: u32) -> (u64, u64) {
        let start = u64::from(index) * (STACK_GUARD + self.stack);
        (start + STACK_GUARD, start + STACK_GUARD + self.stack)
    }

    /// What lies at `offset` from the first slot's start: `Some((slot, part))`.
    #[must_use]
    pub fn slot_part(&self, offset: u64) -> Option<(u64, SlotPart)> {
        let (slot, at) = (offset / self.stride, offset % self.stride);
        if slot >= self.slots {
            return None;
        }
        let part = if at >= self.vmctx {
            if at - self.vmctx < self.memory_and_guard {
                SlotPart::Memory(at - self.vmctx)
            } else {
                SlotPart::Other
            }
        } else if !self.compact && at < self.vmctx - self.private_bytes() {
            SlotPart::StackGuard
        } else {
            SlotPart::Private
        };
        Some((slot, part))
    }

    /// Whether `offset` from the start of the stacks lies in a guard.
    #[must_use]
    pub fn in_stack_guard(&self, offset: u64) -> bool {
        self.stacks > 0
            && offset < self.stacks_bytes()
            && offset % (STACK_GUARD + self.stack) < STACK_GUARD
    }
}

/// What an address inside a slot belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotPart {
    /// The guard below the stack.
    StackGuard,
    /// Stack or instance data.
    Private,
    /// Memory or its guard, this many bytes from its start.
    Memory(u64),
    /// Padding up to the next slot.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_do_not_overlap(
            slots in 1u32..1000, stack in MIN_STACK..(8 << 20), data in 256u32..MAX_INSTANCE_DATA,
            memory in 0u64..(1 << 30), compact: bool,
        ) {
            let c = RegionConfig {
                slots, stack_bytes: stack, max_memory: memory, max_instance_data: data, compact,
                stacks: 7, ..RegionConfig::default()
            };
            let g = Geometry::new(&c).unwrap();
            prop_assert_eq!(Geometry::from_words(g.words()), Some(g));
            for i in [0, slots / 2, slots - 1] {
                let v = g.vmctx_offset(i);
                let own = Some((u64::from(i), SlotPart::Memory(0)));
                if memory > 0 || !compact {
                    prop_assert_eq!(g.slot_part(v), own);
                }
                prop_assert_eq!(g.slot_part(v - 1), Some((u64::from(i), SlotPart::Private)));
                prop_assert_eq!(
                    g.slot_part(v - g.private_bytes()), Some((u64::from(i), SlotPart::Private)));
                if compact {
                    prop_assert!(v - u64::from(data) >= u64::from(i) * g.stride);
                } else {
                    prop_assert_eq!(v % HUGE, HUGE / 2);
                    let below = v - g.private_bytes() - 1;
                    prop_assert_eq!(
                        g.slot_part(below), Some((u64::from(i), SlotPart::StackGuard)));
                    let last = v + GUARDED_MEMORY + MEMORY_GUARD - 1;
                    prop_assert_eq!(
                        g.slot_part(last),
                        Some((u64::from(i), SlotPart::Memory(last - v))));
                }
            }
            prop_assert_eq!(g.slot_part(g.packed_bytes()), None);
        }
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        let ok = RegionConfig::default();
        for (c, word) in [
            (RegionConfig { slots: 0, ..ok }, "slots"),
            (RegionConfig { stack_bytes: 1, ..ok }, "stack"),
            (RegionConfig { max_instance_data: u32::MAX, ..ok }, "instance data"),
            (RegionConfig { max_memory: u64::MAX, ..ok }, "max_memory"),
            (RegionConfig { slots: 100_000, ..ok }, "128 TiB"),
            (RegionConfig { compact: true, stacks: 0, ..ok }, "stack"),
        ] {
            let e = Geometry::new(&c).unwrap_err();
            assert_eq!(e.status(), Status::InvalidArgument);
            assert!(e.message().contains(word), "{e}");
        }
    }
}
