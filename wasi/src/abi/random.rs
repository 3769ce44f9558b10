//! Randomness.

use super::answer;
use crate::context::{Answer, Context};
use crate::memory::Mem;
use crate::types::Errno;

/// Fills `len` bytes at `buf` with random bytes. More than the limit at once is `Inval`.
pub fn random_get(ctx: &mut Context, mem: &mut Mem<'_>, buf: u32, len: u32) -> Answer {
    answer(fill(ctx, mem, buf, len))
}

fn fill(ctx: &mut Context, mem: &mut Mem<'_>, buf: u32, len: u32) -> Result<(), Errno> {
    if len > ctx.template.limits.random_bytes {
        return Err(Errno::Inval);
    }
    let into = mem.bytes_mut(buf, len)?;
    ctx.observed.random = true;
    ctx.template.random.fill(ctx.user, &mut ctx.random_at, into)
}
