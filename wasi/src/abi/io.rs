//! Reading and writing.

use std::os::fd::BorrowedFd;

use rustix::fs::{fstat, tell};
use rustix::io::{Errno as Host, ReadWriteFlags, pread, pwritev, pwritev2, read, writev};

use super::buffers::Buffers;
use super::host::{self, CURRENT, Patience};
use super::{Call, Done, Stop, run};
use crate::context::{Answer, Context, Wait};
use crate::memory::{Mem, put_u32};
use crate::streams::Stream;
use crate::table::Object;
use crate::template::{In, Out};
use crate::types::{Errno, Rights, value};

/// The arguments of a scattered read or write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub fd: u32,
    pub iovs: u32,
    pub count: u32,
    /// Where the number of bytes goes.
    pub result: u32,
}

/// Reads from a descriptor at its position.
pub fn fd_read(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nread: u32,
) -> Answer {
    run(ctx, mem, Call::Read(Transfer { fd, iovs, count: iovs_len, result: nread }))
}

/// Writes to a descriptor at its position, or at the end if it appends.
pub fn fd_write(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nwritten: u32,
) -> Answer {
    run(ctx, mem, Call::Write(Transfer { fd, iovs, count: iovs_len, result: nwritten }))
}

/// Reads from a file at `offset`; its position stays.
pub fn fd_pread(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    offset: u64,
    nread: u32,
) -> Answer {
    let transfer = Transfer { fd, iovs, count: iovs_len, result: nread };
    finish(read_at(ctx, mem, transfer, offset))
}

/// Writes to a file at `offset`; its position stays.
pub fn fd_pwrite(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    offset: u64,
    nwritten: u32,
) -> Answer {
    let transfer = Transfer { fd, iovs, count: iovs_len, result: nwritten };
    finish(write_at(ctx, mem, transfer, offset))
}

fn finish(done: Done) -> Answer {
    done.map_or_else(Answer::from, |()| Answer::Errno(Errno::Success))
}

/// The buffers, once it is certain that the result can be written.
fn buffers(ctx: &Context, mem: &Mem<'_>, transfer: Transfer) -> Result<Buffers, Errno> {
    mem.bytes(transfer.result, 4)?;
    Buffers::read(mem, transfer.iovs, transfer.count, &ctx.template.limits)
}

pub(crate) fn attempt_read(ctx: &mut Context, mem: &mut Mem<'_>, transfer: Transfer) -> Done {
    let entry = ctx.entry(transfer.fd, Rights::FD_READ)?;
    let buffers = buffers(ctx, mem, transfer)?;
    let count = match &entry.object {
        Object::Directory { .. } => return Err(Stop::Errno(Errno::Isdir)),
        Object::Stream(Stream::In) => read_input(ctx, mem, &buffers)?,
        Object::Stream(_) => return Err(Stop::Errno(Errno::Badf)),
        Object::File { fd, kind } if kind.is_file() => {
            fill(mem, &buffers, |into, _| read(fd, into))?
        }
        Object::File { fd, kind } => {
            use std::os::fd::AsFd;
            let patience = Patience::of(ctx.template.non_blocking, entry.flags);
            match buffers.first() {
                None => 0,
                Some((addr, len)) => {
                    host::read_stream(fd.as_fd(), *kind, patience, mem.bytes_mut(addr, len)?)?
                        as u32
                }
            }
        }
    };
    Ok(put_u32(mem, transfer.result, count)?)
}

/// Fills buffer after buffer, until one is not filled.
fn fill(
    mem: &mut Mem<'_>,
    buffers: &Buffers,
    mut read: impl FnMut(&mut [u8], u64) -> rustix::io::Result<usize>,
) -> Result<u32, Errno> {
    let mut done = 0u32;
    for (addr, len) in buffers.iter() {
        let into = mem.bytes_mut(addr, len)?;
        let count = loop {
            match read(into, u64::from(done)) {
                Err(Host::INTR) => {}
                // What was read already is not lost.
                Err(_) if done > 0 => return Ok(done),
                other => break other? as u32,
            }
        };
        done += count;
        if count < len {
            break;
        }
    }
    Ok(done)
}

fn read_at(ctx: &mut Context, mem: &mut Mem<'_>, transfer: Transfer, offset: u64) -> Done {
    let entry = ctx.entry(transfer.fd, Rights::FD_READ.and(Rights::FD_SEEK))?;
    let buffers = buffers(ctx, mem, transfer)?;
    let fd = entry.file()?;
    offset.checked_add(u64::from(buffers.total)).ok_or(Errno::Inval)?;
    let count = fill(mem, &buffers, |into, done| pread(fd, into, offset + done))?;
    Ok(put_u32(mem, transfer.result, count)?)
}

fn read_input(ctx: &mut Context, mem: &mut Mem<'_>, buffers: &Buffers) -> Result<u32, Stop> {
    let Some((addr, len)) = buffers.first() else { return Ok(0) };
    match &ctx.template.stdin {
        In::Callback(callback) => {
            let into = mem.bytes_mut(addr, len)?;
            match callback.read(ctx.user, into) {
                Ok(count) => Ok(count.min(len as usize) as u32),
                Err(Errno::Again) => Err(Stop::Wait(Wait::default())),
                Err(other) => Err(Stop::Errno(other)),
            }
        }
        In::Bytes(bytes) => {
            let all = ctx.stdin.as_deref().unwrap_or(bytes);
            let rest = all.get(ctx.stdin_at..).unwrap_or_default();
            let rest = rest.get(..len as usize).unwrap_or(rest);
            mem.bytes_mut(addr, rest.len() as u32)?.copy_from_slice(rest);
            ctx.stdin_at += rest.len();
            Ok(rest.len() as u32)
        }
    }
}

pub(crate) fn attempt_write(ctx: &mut Context, mem: &mut Mem<'_>, transfer: Transfer) -> Done {
    let entry = ctx.entry(transfer.fd, Rights::FD_WRITE)?;
    let mut buffers = buffers(ctx, mem, transfer)?;
    let count = match &entry.object {
        Object::Directory { .. } => return Err(Stop::Errno(Errno::Isdir)),
        Object::Stream(Stream::In) => return Err(Stop::Errno(Errno::Badf)),
        Object::Stream(stream) => {
            let stream = *stream;
            write_output(ctx, mem, &buffers, stream)?
        }
        Object::File { fd, kind } if kind.is_file() => {
            let append = entry.flags & value::FDFLAGS_APPEND != 0;
            let at = if append { fstat(fd)?.st_size as u64 } else { tell(fd)? };
            ctx.room(at, &mut buffers)?;
            let flags = write_flags(entry.flags);
            let count = buffers.with_slices(mem, |slices| {
                again(|| match flags.is_empty() {
                    true => writev(fd, slices),
                    false => pwritev2(fd, slices, CURRENT, flags),
                })
            })?? as u32;
            ctx.written += u64::from(count);
            count
        }
        Object::File { fd, kind } => {
            use std::os::fd::AsFd;
            let patience = Patience::of(ctx.template.non_blocking, entry.flags);
            if buffers.total == 0 {
                0
            } else {
                let fd: BorrowedFd<'_> = fd.as_fd();
                buffers
                    .with_slices(mem, |slices| host::write_stream(fd, *kind, patience, slices))??
                    as u32
            }
        }
    };
    Ok(put_u32(mem, transfer.result, count)?)
}

fn again<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Host::INTR) => {}
            other => return other,
        }
    }
}

/// The flags of a descriptor as flags of one write.
fn write_flags(flags: u16) -> ReadWriteFlags {
    let mut write = ReadWriteFlags::empty();
    for (flag, host) in [
        (value::FDFLAGS_APPEND, ReadWriteFlags::APPEND),
        (value::FDFLAGS_DSYNC, ReadWriteFlags::DSYNC),
        (value::FDFLAGS_SYNC | value::FDFLAGS_RSYNC, ReadWriteFlags::SYNC),
    ] {
        if flags & flag != 0 {
            write |= host;
        }
    }
    write
}

fn write_at(ctx: &mut Context, mem: &mut Mem<'_>, transfer: Transfer, offset: u64) -> Done {
    let entry = ctx.entry(transfer.fd, Rights::FD_WRITE.and(Rights::FD_SEEK))?;
    let mut buffers = buffers(ctx, mem, transfer)?;
    let fd = entry.file()?;
    ctx.room(offset, &mut buffers)?;
    let flags = write_flags(entry.flags & !value::FDFLAGS_APPEND);
    let count = buffers.with_slices(mem, |slices| {
        again(|| match flags.is_empty() {
            true => pwritev(fd, slices, offset),
            false => pwritev2(fd, slices, offset, flags),
        })
    })?? as u32;
    ctx.written += u64::from(count);
    Ok(put_u32(mem, transfer.result, count)?)
}

impl Context {
    /// Cuts a write at `offset` to what the file and the context may still take: `Fbig` or `Dquot`
    /// when that is nothing.
    fn room(&self, offset: u64, buffers: &mut Buffers) -> Result<(), Errno> {
        if buffers.total == 0 {
            return Ok(());
        }
        let limits = &self.template.limits;
        let in_file = limits.file_bytes.saturating_sub(offset);
        let in_all = limits.written_bytes.saturating_sub(self.written);
        if in_file == 0 {
            return Err(Errno::Fbig);
        }
        if in_all == 0 {
            return Err(Errno::Dquot);
        }
        buffers.cut(in_file.min(in_all));
        Ok(())
    }
}

fn write_output(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    buffers: &Buffers,
    stream: Stream,
) -> Result<u32, Stop> {
    let limit = ctx.template.limits.output_bytes;
    let (out, produced) = match stream {
        Stream::Err => (&ctx.template.stderr, &mut ctx.stderr),
        Stream::In | Stream::Out => (&ctx.template.stdout, &mut ctx.stdout),
    };
    let mut done = 0u32;
    for (addr, len) in buffers.iter() {
        let room = limit.saturating_sub(produced.taken);
        let take = u64::from(len).min(room) as u32;
        if take == 0 {
            break;
        }
        let bytes = mem.bytes(addr, take)?;
        let count = match out {
            Out::Discard => bytes.len(),
            Out::Capture => {
                produced.bytes.try_reserve(bytes.len()).map_err(|_| Errno::Nomem)?;
                produced.bytes.extend_from_slice(bytes);
                bytes.len()
            }
            Out::Callback(callback) => match callback.write(ctx.user, bytes) {
                Ok(count) => count.min(bytes.len()),
                Err(_) if done > 0 => break,
                Err(Errno::Again) => return Err(Stop::Wait(Wait::default())),
                Err(other) => return Err(Stop::Errno(other)),
            },
        };
        produced.taken += count as u64;
        done += count as u32;
        if count < len as usize {
            break;
        }
    }
    if done == 0 && buffers.total > 0 && produced.taken >= limit {
        return Err(Stop::Errno(Errno::Nospc));
    }
    Ok(done)
}
