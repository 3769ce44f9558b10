//! Arguments and environment.

use super::answer;
use crate::context::{Answer, Context};
use crate::memory::{Mem, element, put, put_u32};
use crate::template::Strings;
use crate::types::Errno;

/// Writes the strings at `buf` and their addresses at `list`.
fn get(strings: &Strings, mem: &mut Mem<'_>, list: u32, buf: u32) -> Result<(), Errno> {
    // Both ranges are checked before the first byte is written.
    let len = u32::try_from(strings.bytes.len()).map_err(|_| Errno::Overflow)?;
    let list_len = strings.count.checked_mul(4).ok_or(Errno::Fault)?;
    mem.bytes(list, list_len)?;
    mem.bytes(buf, len)?;
    let mut at = buf;
    for (index, string) in strings.bytes.split_inclusive(|b| *b == 0).enumerate() {
        let index = u32::try_from(index).map_err(|_| Errno::Overflow)?;
        put_u32(mem, element(list, index, 4)?, at)?;
        put(mem, at, string)?;
        at = at.wrapping_add(string.len() as u32);
    }
    Ok(())
}

fn sizes(strings: &Strings, mem: &mut Mem<'_>, count: u32, bytes: u32) -> Result<(), Errno> {
    let len = u32::try_from(strings.bytes.len()).map_err(|_| Errno::Overflow)?;
    put_u32(mem, count, strings.count)?;
    put_u32(mem, bytes, len)
}

/// Writes the arguments to memory.
pub fn args_get(ctx: &mut Context, mem: &mut Mem<'_>, argv: u32, argv_buf: u32) -> Answer {
    answer(get(&ctx.template.args, mem, argv, argv_buf))
}

/// How many arguments there are, and their bytes with the NUL of each.
pub fn args_sizes_get(ctx: &mut Context, mem: &mut Mem<'_>, argc: u32, bytes: u32) -> Answer {
    answer(sizes(&ctx.template.args, mem, argc, bytes))
}

/// Writes the variables to memory.
pub fn environ_get(ctx: &mut Context, mem: &mut Mem<'_>, environ: u32, buf: u32) -> Answer {
    answer(get(&ctx.template.env, mem, environ, buf))
}

/// How many variables there are, and their bytes with the NUL of each.
pub fn environ_sizes_get(ctx: &mut Context, mem: &mut Mem<'_>, count: u32, bytes: u32) -> Answer {
    answer(sizes(&ctx.template.env, mem, count, bytes))
}
