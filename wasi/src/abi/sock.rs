//! Sockets that the embedder gave: accepting, receiving, sending, shutting down.

use std::os::fd::AsFd;

use rustix::net::{self, RecvFlags, Shutdown, SocketFlags, accept_with, recv};

use super::buffers::Buffers;
use super::fd::flags_from;
use super::host::{self, Patience};
use super::{Call, Done, Stop, answer, run};
use crate::context::{Answer, Context};
use crate::memory::{Mem, put, put_u16, put_u32};
use crate::table::{Entry, Handle, Kind, Object};
use crate::types::{Errno, Rights, value};

/// What one receive of several buffers collects on the way.
const BOUNCE: u32 = 64 << 10;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Accept {
    fd: u32,
    flags: u16,
    result: u32,
}

/// The arguments of a receive or a send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    fd: u32,
    iovs: u32,
    count: u32,
    flags: u16,
    result: u32,
    /// Where the flags of what was received go.
    roflags: u32,
}

impl Entry {
    /// The socket that it is, or `Notsock`.
    fn socket(&self) -> Result<(&Handle, Kind), Errno> {
        match &self.object {
            Object::File { fd, kind } if kind.is_socket() => Ok((fd, *kind)),
            _ => Err(Errno::Notsock),
        }
    }
}

/// Accepts a connection. `flags` may say that the new descriptor does not wait.
pub fn sock_accept(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    flags: u32,
    accepted: u32,
) -> Answer {
    match flags_from(flags) {
        Ok(flags) if flags & !value::FDFLAGS_NONBLOCK == 0 => {
            run(ctx, mem, Call::Accept(Accept { fd, flags, result: accepted }))
        }
        _ => Answer::Errno(Errno::Inval),
    }
}

pub(crate) fn attempt_accept(ctx: &mut Context, mem: &mut Mem<'_>, call: Accept) -> Done {
    let entry = ctx.entry(call.fd, Rights::NONE)?;
    let (listener, _) = entry.socket()?;
    entry.need(Rights::SOCK_ACCEPT)?;
    mem.bytes(call.result, 4)?;
    let limit = ctx.template.limits.descriptors;
    ctx.table.has_room(&ctx.template.entries, limit)?;
    let patience = Patience::of(ctx.template.non_blocking, entry.flags);
    let listener = listener.as_fd();
    host::ready(listener, false, patience)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = host::retried(listener, false, patience, || accept_with(listener, flags))?;
    let connection = Entry {
        object: Object::File { fd: Handle::new(fd), kind: Kind::Connection },
        base: entry.inheriting.within(Rights::CONNECTION),
        inheriting: Rights::NONE,
        flags: call.flags,
    };
    let number = ctx.table.insert(&ctx.template.entries, limit, connection)?;
    Ok(put_u32(mem, call.result, number)?)
}

/// Receives. Of the flags, peeking is offered; waiting for everything is `Notsup`.
#[allow(clippy::too_many_arguments)]
pub fn sock_recv(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    flags: u32,
    nread: u32,
    roflags: u32,
) -> Answer {
    let flags = match u16::try_from(flags) {
        Ok(flags @ (0 | value::RIFLAGS_PEEK)) => flags,
        Ok(flags) if flags & !(value::RIFLAGS_PEEK | value::RIFLAGS_WAITALL) == 0 => {
            return Answer::Errno(Errno::Notsup);
        }
        _ => return Answer::Errno(Errno::Inval),
    };
    run(
        ctx,
        mem,
        Call::Receive(Message { fd, iovs, count: iovs_len, flags, result: nread, roflags }),
    )
}

pub(crate) fn attempt_receive(ctx: &mut Context, mem: &mut Mem<'_>, call: Message) -> Done {
    let entry = ctx.entry(call.fd, Rights::NONE)?;
    let (fd, kind) = entry.socket()?;
    entry.need(Rights::FD_READ)?;
    mem.bytes(call.result, 4)?;
    mem.bytes(call.roflags, 2)?;
    let buffers = Buffers::read(mem, call.iovs, call.count, &ctx.template.limits)?;
    let patience = Patience::of(ctx.template.non_blocking, entry.flags);
    let mut flags = host::receive_flags(patience);
    if call.flags & value::RIFLAGS_PEEK != 0 {
        flags |= RecvFlags::PEEK;
    }
    if kind == Kind::Datagram {
        // Then the length of the whole message is told.
        flags |= RecvFlags::TRUNC;
    }
    let fd = fd.as_fd();
    host::ready(fd, false, patience)?;
    let receive =
        |into: &mut [u8]| host::retried(fd, false, patience, || recv(fd, &mut *into, flags));
    let (taken, whole) = match buffers.first() {
        Some((addr, len)) if !buffers.several() => receive(mem.bytes_mut(addr, len)?)?,
        _ => {
            let mut bounce = Vec::new();
            let len = buffers.total.min(BOUNCE) as usize;
            bounce.try_reserve_exact(len).map_err(|_| Errno::Nomem)?;
            bounce.resize(len, 0);
            let (taken, whole) = receive(&mut bounce)?;
            let mut rest = bounce.get(..taken).unwrap_or(&bounce);
            for (addr, len) in buffers.iter() {
                let (now, later) = rest.split_at(rest.len().min(len as usize));
                put(mem, addr, now)?;
                rest = later;
            }
            (taken, whole)
        }
    };
    let truncated = kind == Kind::Datagram && whole > taken;
    put_u16(mem, call.roflags, if truncated { value::ROFLAGS_DATA_TRUNCATED } else { 0 })?;
    Ok(put_u32(mem, call.result, taken as u32)?)
}

/// Sends. There are no flags.
pub fn sock_send(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    flags: u32,
    nwritten: u32,
) -> Answer {
    if flags != 0 {
        return Answer::Errno(Errno::Inval);
    }
    let message = Message { fd, iovs, count: iovs_len, flags: 0, result: nwritten, roflags: 0 };
    run(ctx, mem, Call::Send(message))
}

pub(crate) fn attempt_send(ctx: &mut Context, mem: &mut Mem<'_>, call: Message) -> Done {
    let entry = ctx.entry(call.fd, Rights::NONE)?;
    let (fd, kind) = entry.socket()?;
    entry.need(Rights::FD_WRITE)?;
    mem.bytes(call.result, 4)?;
    let buffers = Buffers::read(mem, call.iovs, call.count, &ctx.template.limits)?;
    if kind == Kind::Datagram && !buffers.whole {
        // A message is sent whole or not at all.
        return Err(Stop::Errno(Errno::Msgsize));
    }
    let patience = Patience::of(ctx.template.non_blocking, entry.flags);
    let fd = fd.as_fd();
    host::ready(fd, true, patience)?;
    let sent = buffers.with_slices(mem, |slices| host::send(fd, patience, slices))??;
    Ok(put_u32(mem, call.result, sent as u32)?)
}

/// Ends sending, receiving or both on a connection.
pub fn sock_shutdown(ctx: &mut Context, _mem: &mut Mem<'_>, fd: u32, how: u32) -> Answer {
    const RD: u32 = value::SDFLAGS_RD as u32;
    const WR: u32 = value::SDFLAGS_WR as u32;
    const BOTH: u32 = RD | WR;
    answer(ctx.entry(fd, Rights::NONE).and_then(|entry| {
        let (socket, _) = entry.socket()?;
        entry.need(Rights::SOCK_SHUTDOWN)?;
        let how = match how {
            RD => Shutdown::Read,
            WR => Shutdown::Write,
            BOTH => Shutdown::Both,
            _ => return Err(Errno::Inval),
        };
        Ok(net::shutdown(socket, how)?)
    }))
}
