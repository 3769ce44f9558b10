//! Clocks.

use super::answer;
use crate::clocks::Clock;
use crate::context::{Answer, Context};
use crate::memory::{Mem, put_u64};
use crate::types::Errno;

impl Context {
    /// Reads a clock, which is remembered.
    pub(crate) fn now(&mut self, clock: Clock) -> Result<u64, Errno> {
        self.observed.clocks = true;
        self.template.clocks.now(clock, self.user, &mut self.elapsed)
    }
}

/// The resolution of a clock in nanoseconds.
pub fn clock_res_get(ctx: &mut Context, mem: &mut Mem<'_>, id: u32, resolution: u32) -> Answer {
    answer(Clock::from_raw(id).and_then(|clock| {
        let value = ctx.template.clocks.resolution(clock, ctx.user)?;
        put_u64(mem, resolution, value)
    }))
}

/// The time of a clock in nanoseconds. The precision asked for makes no difference.
pub fn clock_time_get(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    id: u32,
    _precision: u64,
    time: u32,
) -> Answer {
    answer(Clock::from_raw(id).and_then(|clock| {
        let value = ctx.now(clock)?;
        put_u64(mem, time, value)
    }))
}
