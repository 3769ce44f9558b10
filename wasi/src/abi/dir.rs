//! Listing directories.

use std::mem::MaybeUninit;

use rustix::fs::{Mode, OFlags, RawDir, SeekFrom, openat, seek};

use super::answer;
use crate::context::{Answer, Context};
use crate::memory::{Layout, Mem, put_u32};
use crate::table::{Handle, Object, filetype};
use crate::types::{Errno, Rights};

/// Fills a buffer with entries of a directory, from the one that `cookie` says on. The last may be
/// cut: a buffer that is not full means the end.
pub fn fd_readdir(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    buf: u32,
    buf_len: u32,
    cookie: u64,
    bufused: u32,
) -> Answer {
    answer((|| {
        ctx.entry(fd, Rights::FD_READDIR)?.directory()?;
        if buf_len > ctx.template.limits.readdir_bytes {
            return Err(Errno::Inval);
        }
        mem.bytes(bufused, 4)?;
        mem.bytes(buf, buf_len)?;
        let listing = ctx.listing(fd)?;
        let used = list(listing, mem.bytes_mut(buf, buf_len)?, cookie)?;
        put_u32(mem, bufused, used as u32)
    })())
}

impl Context {
    /// A descriptor of the directory `fd` that has a position of its own. A preopened directory,
    /// which all contexts share, is opened once more.
    fn listing(&mut self, fd: u32) -> Result<&Handle, Errno> {
        let entry = self.entry_mut(fd, Rights::FD_READDIR)?;
        let Object::Directory { fd, listing, .. } = &mut entry.object else {
            return Err(Errno::Notdir);
        };
        if listing.is_none() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            *listing = Some(Handle::new(openat(&*fd, c".", flags, Mode::empty())?));
        }
        listing.as_ref().ok_or(Errno::Badf)
    }
}

fn list(dir: &Handle, into: &mut [u8], cookie: u64) -> Result<usize, Errno> {
    seek(dir, SeekFrom::Start(cookie))?;
    let mut kernel = [MaybeUninit::uninit(); 8192];
    let mut entries = RawDir::new(dir, &mut kernel);
    let mut used = 0;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        // The directory above may be outside: its number is none of the guest's business.
        let ino = if name == b".." { 0 } else { entry.ino() };
        let head = Layout::<24>::new()
            .field(0, entry.next_entry_cookie().to_le_bytes())
            .field(8, ino.to_le_bytes())
            .field(16, (name.len() as u32).to_le_bytes())
            .field(20, [filetype(entry.file_type())]);
        for part in [head.0.as_slice(), name] {
            let rest = into.get_mut(used..).unwrap_or_default();
            let fits = part.len().min(rest.len());
            rest.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            used += fits;
        }
        if used == into.len() {
            break;
        }
    }
    Ok(used)
}
