//! The descriptor table as the guest sees it.

use rustix::fs::{SeekFrom, seek, tell};

use super::answer;
use crate::context::{Answer, Context};
use crate::memory::{Layout, Mem, put, put_u64};
use crate::table::Object;
use crate::types::{Errno, Rights, value};

/// Closes a descriptor.
pub fn fd_close(ctx: &mut Context, _mem: &mut Mem<'_>, fd: u32) -> Answer {
    answer(ctx.table.close(&ctx.template.entries, fd))
}

/// Closes `to` and gives its number to `fd`. Both must be open; renaming to itself does nothing.
pub fn fd_renumber(ctx: &mut Context, _mem: &mut Mem<'_>, fd: u32, to: u32) -> Answer {
    answer(ctx.table.renumber(&ctx.template.entries, fd, to))
}

/// Type, flags and rights of a descriptor.
pub fn fd_fdstat_get(ctx: &mut Context, mem: &mut Mem<'_>, fd: u32, stat: u32) -> Answer {
    answer(ctx.entry(fd, Rights::NONE).and_then(|entry| {
        let layout = Layout::<24>::new()
            .field(0, [entry.filetype()])
            .field(2, entry.flags.to_le_bytes())
            .field(8, entry.base.0.to_le_bytes())
            .field(16, entry.inheriting.0.to_le_bytes());
        put(mem, stat, &layout.0)
    }))
}

/// Replaces the flags of a descriptor. They are the guest's: what else uses the same file on the
/// host does not notice.
pub fn fd_fdstat_set_flags(ctx: &mut Context, _mem: &mut Mem<'_>, fd: u32, flags: u32) -> Answer {
    answer(ctx.entry_mut(fd, Rights::FD_FDSTAT_SET_FLAGS).and_then(|entry| {
        entry.flags = flags_from(flags)?;
        Ok(())
    }))
}

/// Checks the bits of `FDFLAGS_*`.
pub(crate) fn flags_from(raw: u32) -> Result<u16, Errno> {
    let flags = u16::try_from(raw).map_err(|_| Errno::Inval)?;
    if flags & !value::FDFLAGS_EVERY == 0 { Ok(flags) } else { Err(Errno::Inval) }
}

/// Gives rights up. Rights that a descriptor does not have are `Notcapable`.
pub fn fd_fdstat_set_rights(
    ctx: &mut Context,
    _mem: &mut Mem<'_>,
    fd: u32,
    base: u64,
    inheriting: u64,
) -> Answer {
    answer(give_up(ctx, fd, Rights(base), Rights(inheriting)))
}

fn give_up(ctx: &mut Context, fd: u32, base: Rights, inheriting: Rights) -> Result<(), Errno> {
    let entry = ctx.entry(fd, Rights::NONE)?;
    if !entry.base.has(base) || !entry.inheriting.has(inheriting) {
        return Err(Errno::Notcapable);
    }
    let entry = ctx.entry_mut(fd, Rights::NONE)?;
    entry.base = base;
    entry.inheriting = inheriting;
    Ok(())
}

fn preopen_name(ctx: &Context, fd: u32) -> Result<&[u8], Errno> {
    match &ctx.entry(fd, Rights::NONE)?.object {
        Object::Directory { preopen: Some(index), .. } => {
            ctx.template.names.get(*index).map(Vec::as_slice).ok_or(Errno::Badf)
        }
        // Programs look at descriptors from 3 on until the answer is `Badf`.
        _ => Err(Errno::Badf),
    }
}

/// How long the name of a preopened directory is.
pub fn fd_prestat_get(ctx: &mut Context, mem: &mut Mem<'_>, fd: u32, prestat: u32) -> Answer {
    answer(preopen_name(ctx, fd).and_then(|name| {
        let len = u32::try_from(name.len()).map_err(|_| Errno::Overflow)?;
        put(mem, prestat, &Layout::<8>::new().field(4, len.to_le_bytes()).0)
    }))
}

/// The name of a preopened directory. `Nametoolong` if `len` is too small.
pub fn fd_prestat_dir_name(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    path: u32,
    len: u32,
) -> Answer {
    answer(preopen_name(ctx, fd).and_then(|name| {
        if name.len() > len as usize {
            return Err(Errno::Nametoolong);
        }
        put(mem, path, name)
    }))
}

/// Moves the position of a file.
pub fn fd_seek(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    offset: u64,
    whence: u32,
    newoffset: u32,
) -> Answer {
    answer(moved(ctx, mem, fd, offset as i64, whence, newoffset))
}

fn moved(
    ctx: &Context,
    mem: &mut Mem<'_>,
    fd: u32,
    offset: i64,
    whence: u32,
    result: u32,
) -> Result<(), Errno> {
    const SET: u32 = value::WHENCE_SET as u32;
    const CUR: u32 = value::WHENCE_CUR as u32;
    const END: u32 = value::WHENCE_END as u32;
    let to = match whence {
        SET => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::Inval)?),
        CUR => SeekFrom::Current(offset),
        END => SeekFrom::End(offset),
        _ => return Err(Errno::Inval),
    };
    let file = match (whence, offset) {
        // That only asks where the position is.
        (CUR, 0) => telling(ctx, fd)?,
        _ => ctx.entry(fd, Rights::FD_SEEK)?,
    }
    .file()?;
    mem.bytes(result, 8)?;
    put_u64(mem, result, seek(file, to)?)
}

/// The entry, if its position may be asked for: the right to seek includes that.
fn telling(ctx: &Context, fd: u32) -> Result<&crate::table::Entry, Errno> {
    ctx.entry(fd, Rights::FD_TELL).or_else(|_| ctx.entry(fd, Rights::FD_SEEK))
}

/// The position of a file.
pub fn fd_tell(ctx: &mut Context, mem: &mut Mem<'_>, fd: u32, offset: u32) -> Answer {
    answer(telling(ctx, fd).and_then(|entry| {
        let position = tell(entry.file()?)?;
        put_u64(mem, offset, position)
    }))
}
