//! What files are: sizes, times, and what to do about them on disk.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{
    self, Advice, AtFlags, FallocateFlags, FileType, OFlags, Stat, Timespec, Timestamps, UTIME_NOW,
    UTIME_OMIT,
};

use super::answer;
use crate::context::{Answer, Context};
use crate::memory::{Layout, Mem, put};
use crate::resolve;
use crate::table::{Object, filetype};
use crate::types::{Errno, Rights, value};

/// Tells the host how a file will be used.
pub fn fd_advise(
    ctx: &mut Context,
    _mem: &mut Mem<'_>,
    fd: u32,
    offset: u64,
    len: u64,
    advice: u32,
) -> Answer {
    answer(ctx.entry(fd, Rights::FD_ADVISE).and_then(|entry| {
        let advice = match advice {
            0 => Advice::Normal,
            1 => Advice::Sequential,
            2 => Advice::Random,
            3 => Advice::WillNeed,
            4 => Advice::DontNeed,
            5 => Advice::NoReuse,
            _ => return Err(Errno::Inval),
        };
        // The kernel counts in signed numbers.
        i64::try_from(offset).and(i64::try_from(len)).map_err(|_| Errno::Inval)?;
        match &entry.object {
            Object::Directory { .. } => Ok(()),
            _ => Ok(fs::fadvise(entry.file()?, offset, std::num::NonZeroU64::new(len), advice)?),
        }
    }))
}

/// Makes room on the disk for a part of a file, which grows to include it.
pub fn fd_allocate(
    ctx: &mut Context,
    _mem: &mut Mem<'_>,
    fd: u32,
    offset: u64,
    len: u64,
) -> Answer {
    answer(allocate(ctx, fd, offset, len))
}

fn allocate(ctx: &mut Context, fd: u32, offset: u64, len: u64) -> Result<(), Errno> {
    let file = ctx.entry(fd, Rights::FD_ALLOCATE)?.file()?;
    let limits = &ctx.template.limits;
    if len == 0 {
        return Err(Errno::Inval);
    }
    if offset.checked_add(len).is_none_or(|end| end > limits.file_bytes) {
        return Err(Errno::Fbig);
    }
    if len > limits.written_bytes.saturating_sub(ctx.written) {
        return Err(Errno::Dquot);
    }
    fs::fallocate(file, FallocateFlags::empty(), offset, len)?;
    ctx.written += len;
    Ok(())
}

/// Brings a file's data to the disk.
pub fn fd_datasync(ctx: &mut Context, _mem: &mut Mem<'_>, fd: u32) -> Answer {
    answer(ctx.entry(fd, Rights::FD_DATASYNC).and_then(|entry| Ok(fs::fdatasync(entry.file()?)?)))
}

/// Brings a file, or a directory's entries, to the disk.
pub fn fd_sync(ctx: &mut Context, _mem: &mut Mem<'_>, fd: u32) -> Answer {
    answer(ctx.entry(fd, Rights::FD_SYNC).and_then(|entry| match &entry.object {
        Object::Directory { fd, .. } => {
            // Preopened directories cannot be read themselves.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Ok(fs::fsync(fs::openat(fd, c".", flags, fs::Mode::empty())?)?)
        }
        _ => Ok(fs::fsync(entry.file()?)?),
    }))
}

fn nanoseconds(seconds: i64, rest: i64) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(rest).unwrap_or(0))
}

// The widths of these fields differ between architectures.
#[allow(clippy::unnecessary_cast)]
fn put_stat(mem: &mut Mem<'_>, at: u32, kind: u8, stat: &Stat) -> Result<(), Errno> {
    let layout = Layout::<64>::new()
        .field(0, (stat.st_dev as u64).to_le_bytes())
        .field(8, (stat.st_ino as u64).to_le_bytes())
        .field(16, [kind])
        .field(24, (stat.st_nlink as u64).to_le_bytes())
        .field(32, (stat.st_size as u64).to_le_bytes())
        .field(40, nanoseconds(stat.st_atime as i64, stat.st_atime_nsec as i64).to_le_bytes())
        .field(48, nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64).to_le_bytes())
        .field(56, nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64).to_le_bytes());
    put(mem, at, &layout.0)
}

/// What an open file is.
pub fn fd_filestat_get(ctx: &mut Context, mem: &mut Mem<'_>, fd: u32, stat: u32) -> Answer {
    answer(ctx.entry(fd, Rights::FD_FILESTAT_GET).and_then(|entry| match entry.host() {
        Some(host) => put_stat(mem, stat, entry.filetype(), &fs::fstat(host)?),
        // A stream of ours is a file without properties.
        None => put(mem, stat, &Layout::<64>::new().field(16, [entry.filetype()]).0),
    }))
}

/// Cuts a file, or lets it grow with zeros.
pub fn fd_filestat_set_size(ctx: &mut Context, _mem: &mut Mem<'_>, fd: u32, size: u64) -> Answer {
    answer(ctx.entry(fd, Rights::FD_FILESTAT_SET_SIZE).and_then(|entry| {
        if size > ctx.template.limits.file_bytes {
            return Err(Errno::Fbig);
        }
        Ok(fs::ftruncate(entry.file()?, size)?)
    }))
}

/// The two times that a call sets: each given, now, or left as it is.
fn timestamps(atim: u64, mtim: u64, flags: u32) -> Result<Timestamps, Errno> {
    let flags = u16::try_from(flags).map_err(|_| Errno::Inval)?;
    if flags & !value::FSTFLAGS_EVERY != 0 {
        return Err(Errno::Inval);
    }
    let one = |time: u64, given: u16, now: u16| {
        Ok(match (flags & given != 0, flags & now != 0) {
            (true, true) => return Err(Errno::Inval),
            (true, false) => Timespec {
                tv_sec: (time / 1_000_000_000) as i64,
                tv_nsec: (time % 1_000_000_000) as i64,
            },
            (false, true) => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
            (false, false) => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        })
    };
    Ok(Timestamps {
        last_access: one(atim, value::FSTFLAGS_ATIM, value::FSTFLAGS_ATIM_NOW)?,
        last_modification: one(mtim, value::FSTFLAGS_MTIM, value::FSTFLAGS_MTIM_NOW)?,
    })
}

/// Sets times through a descriptor that may only be a place, not an open file.
fn set_times(fd: BorrowedFd<'_>, times: &Timestamps) -> Result<(), Errno> {
    Ok(fs::utimensat(fd, c"", times, AtFlags::EMPTY_PATH)?)
}

/// Sets the times of an open file.
pub fn fd_filestat_set_times(
    ctx: &mut Context,
    _mem: &mut Mem<'_>,
    fd: u32,
    atim: u64,
    mtim: u64,
    flags: u32,
) -> Answer {
    answer(ctx.entry(fd, Rights::FD_FILESTAT_SET_TIMES).and_then(|entry| {
        let times = timestamps(atim, mtim, flags)?;
        match &entry.object {
            Object::Directory { fd, .. } => set_times(fd.as_fd(), &times),
            _ => set_times(entry.file()?.as_fd(), &times),
        }
    }))
}

/// What a path names. The symbolic link itself, unless it is to be followed.
pub fn path_filestat_get(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    stat: u32,
) -> Answer {
    answer((|| {
        let dir = ctx.directory(fd, Rights::PATH_FILESTAT_GET)?;
        let follow = follows(flags)?;
        let path = ctx.path(mem, path, path_len)?;
        let place = resolve::open(ctx.template.resolution, dir, &path, OFlags::PATH, follow)?;
        let found = fs::fstat(&place)?;
        put_stat(mem, stat, filetype(FileType::from_raw_mode(found.st_mode)), &found)
    })())
}

/// Sets the times of what a path names.
#[allow(clippy::too_many_arguments)]
pub fn path_filestat_set_times(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    atim: u64,
    mtim: u64,
    fst_flags: u32,
) -> Answer {
    answer((|| {
        let dir = ctx.directory(fd, Rights::PATH_FILESTAT_SET_TIMES)?;
        let follow = follows(flags)?;
        let times = timestamps(atim, mtim, fst_flags)?;
        let path = ctx.path(mem, path, path_len)?;
        let place = resolve::open(ctx.template.resolution, dir, &path, OFlags::PATH, follow)?;
        set_times(place.as_fd(), &times)
    })())
}

/// Whether a look-up follows a symbolic link at the end.
pub(crate) fn follows(flags: u32) -> Result<bool, Errno> {
    match flags {
        0 => Ok(false),
        value::LOOKUPFLAGS_SYMLINK_FOLLOW => Ok(true),
        _ => Err(Errno::Inval),
    }
}
