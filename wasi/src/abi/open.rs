//! Opening, where rights are handed down.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;

use super::answer;
use super::fd::flags_from;
use super::stat::follows;
use crate::context::{Answer, Context};
use crate::memory::{Mem, put_u32};
use crate::resolve;
use crate::table::{Entry, Handle, Object};
use crate::template;
use crate::types::{Errno, Rights, value};

/// Rights that need a file open for writing.
const WRITES: Rights = Rights::FD_WRITE.and(Rights::FD_ALLOCATE).and(Rights::FD_FILESTAT_SET_SIZE);

/// What a guest asks for.
struct Request {
    follow: bool,
    oflags: u16,
    base: Rights,
    inheriting: Rights,
    fdflags: u16,
}

/// Opens what a path names, and makes it if asked.
///
/// The new descriptor gets the rights asked for, as far as the directory hands them down: fewer is
/// no error, since programs ask for all they know. But who asks to read or write a file and may not
/// is told so (`Notcapable`).
#[allow(clippy::too_many_arguments)]
pub fn path_open(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    dirflags: u32,
    path: u32,
    path_len: u32,
    oflags: u32,
    base: u64,
    inheriting: u64,
    fdflags: u32,
    opened: u32,
) -> Answer {
    answer((|| {
        let entry = ctx.opening(fd)?;
        let request = Request {
            follow: follows(dirflags)?,
            oflags: oflags_from(oflags)?,
            base: Rights(base),
            inheriting: Rights(inheriting),
            fdflags: flags_from(fdflags)?,
        };
        let flags = host_flags(entry, &request)?;
        let path = ctx.path(mem, path, path_len)?;
        mem.bytes(opened, 4)?;
        let limit = ctx.template.limits.descriptors;
        ctx.table.has_room(&ctx.template.entries, limit)?;
        let dir = entry.directory()?;
        let fd = resolve::open(ctx.template.resolution, dir, &path, flags, request.follow)?;
        let entry = entry_of(fd, entry, &request)?;
        let number = ctx.table.insert(&ctx.template.entries, limit, entry)?;
        put_u32(mem, opened, number)
    })())
}

fn oflags_from(raw: u32) -> Result<u16, Errno> {
    let oflags = u16::try_from(raw).map_err(|_| Errno::Inval)?;
    let both = value::OFLAGS_CREAT | value::OFLAGS_DIRECTORY;
    if oflags & !value::OFLAGS_EVERY != 0 || oflags & both == both {
        return Err(Errno::Inval);
    }
    Ok(oflags)
}

/// Checks the rights that the request takes, and says how the host opens it.
fn host_flags(dir: &Entry, request: &Request) -> Result<OFlags, Errno> {
    let asked = |flag: u16| request.oflags & flag != 0;
    let directory = asked(value::OFLAGS_DIRECTORY);
    let mut flags = OFlags::empty();
    if directory {
        flags |= OFlags::DIRECTORY;
    }
    if asked(value::OFLAGS_CREAT) {
        dir.need(Rights::PATH_CREATE_FILE)?;
        flags |= OFlags::CREATE;
        if asked(value::OFLAGS_EXCL) {
            flags |= OFlags::EXCL;
        }
    }
    if asked(value::OFLAGS_TRUNC) {
        // Cutting a file writes to it, whatever else the descriptor may do afterwards.
        dir.need(Rights::PATH_FILESTAT_SET_SIZE)?;
        if !dir.inheriting.has(Rights::FD_FILESTAT_SET_SIZE) {
            return Err(Errno::Notcapable);
        }
        flags |= OFlags::TRUNC;
    }
    let synced = [
        (value::FDFLAGS_DSYNC, Rights::FD_DATASYNC),
        (value::FDFLAGS_SYNC | value::FDFLAGS_RSYNC, Rights::FD_SYNC),
    ];
    for (flags, right) in synced {
        if request.fdflags & flags != 0 && !dir.inheriting.has(right) {
            return Err(Errno::Notcapable);
        }
    }
    let writes = !directory && request.base.within(WRITES).within(dir.inheriting) != Rights::NONE;
    let essential = Rights::FD_READ.and(Rights::FD_WRITE).within(request.base);
    if !directory && !dir.inheriting.has(essential) {
        return Err(Errno::Notcapable);
    }
    let reads = request.base.within(Rights::FD_READ.and(Rights::FD_READDIR)) != Rights::NONE;
    Ok(flags
        | match (reads, writes) {
            (_, false) => OFlags::RDONLY,
            (false, true) => OFlags::WRONLY,
            (true, true) => OFlags::RDWR,
        })
}

/// The entry for what was opened.
fn entry_of(fd: OwnedFd, dir: &Entry, request: &Request) -> Result<Entry, Errno> {
    let handed_down = dir.inheriting;
    match template::kind(fd.as_fd()) {
        Ok(kind) => Ok(Entry {
            object: Object::File { fd: Handle::new(fd), kind },
            base: request.base.within(handed_down).within(kind.rights()),
            inheriting: Rights::NONE,
            flags: request.fdflags,
        }),
        Err(Errno::Isdir) => {
            let fd = Handle::new(fd);
            let listing = Some(fd.clone());
            Ok(Entry {
                object: Object::Directory { fd, preopen: None, listing },
                base: request.base.within(handed_down).within(Rights::DIRECTORY),
                inheriting: request.inheriting.within(handed_down),
                flags: request.fdflags,
            })
        }
        Err(other) => Err(other),
    }
}
