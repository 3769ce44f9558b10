//! Names in directories: making, removing, linking and renaming.
//!
//! Each of these acts on one component in a directory that was resolved first, and follows nothing:
//! the kernel gets the component alone, never with a slash behind it.

use std::os::fd::BorrowedFd;

use rustix::fs::{self, AtFlags, FileType, Mode};

use super::answer;
use super::stat::follows;
use crate::context::{Answer, Context};
use crate::memory::{Mem, put, put_u32};
use crate::resolve::{self, Dir, GuestPath, is_dots};
use crate::table::Entry;
use crate::types::{Errno, Rights};

impl Context {
    /// Refuses where there is no file system.
    fn files(&self) -> Result<(), Errno> {
        if self.template.no_files { Err(Errno::Notsup) } else { Ok(()) }
    }

    fn directory_entry(&self, fd: u32, rights: Rights) -> Result<&Entry, Errno> {
        self.files()?;
        let entry = self.entry(fd, Rights::NONE)?;
        entry.directory()?;
        entry.need(rights)
    }

    /// The directory `fd`, if that has `rights`.
    pub(crate) fn directory(&self, fd: u32, rights: Rights) -> Result<BorrowedFd<'_>, Errno> {
        self.directory_entry(fd, rights)?.directory()
    }

    /// The directory `fd`, to open something in it.
    pub(crate) fn opening(&self, fd: u32) -> Result<&Entry, Errno> {
        self.directory_entry(fd, Rights::PATH_OPEN)
    }

    /// A path out of the guest's memory.
    pub(crate) fn path<'m>(
        &self,
        mem: &'m Mem<'_>,
        addr: u32,
        len: u32,
    ) -> Result<GuestPath<'m>, Errno> {
        GuestPath::new(mem.bytes(addr, len)?, self.template.limits.path_bytes)
    }

    fn locate<'d, 'm>(
        &self,
        dir: BorrowedFd<'d>,
        path: &GuestPath<'m>,
    ) -> Result<(Dir<'d>, &'m [u8]), Errno> {
        resolve::locate(self.template.resolution, dir, path)
    }
}

fn is_directory(parent: &Dir<'_>, name: &[u8]) -> Result<bool, Errno> {
    let found = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(found.st_mode) == FileType::Directory)
}

/// Makes a directory.
pub fn path_create_directory(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Answer {
    answer((|| {
        let dir = ctx.directory(fd, Rights::PATH_CREATE_DIRECTORY)?;
        let path = ctx.path(mem, path, path_len)?;
        if is_dots(path.split().1) {
            return Err(Errno::Exist);
        }
        let (parent, name) = ctx.locate(dir, &path)?;
        Ok(fs::mkdirat(&parent, name, Mode::from_raw_mode(0o777))?)
    })())
}

/// Removes an empty directory.
pub fn path_remove_directory(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Answer {
    answer((|| {
        let dir = ctx.directory(fd, Rights::PATH_REMOVE_DIRECTORY)?;
        let path = ctx.path(mem, path, path_len)?;
        let (parent, name) = ctx.locate(dir, &path)?;
        Ok(fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)?)
    })())
}

/// Removes a name that is not a directory's.
pub fn path_unlink_file(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Answer {
    answer((|| {
        let dir = ctx.directory(fd, Rights::PATH_UNLINK_FILE)?;
        let path = ctx.path(mem, path, path_len)?;
        let (parent, name) = ctx.locate(dir, &path)?;
        if path.slash {
            let directory = is_directory(&parent, name)?;
            return Err(if directory { Errno::Isdir } else { Errno::Notdir });
        }
        Ok(fs::unlinkat(&parent, name, AtFlags::empty())?)
    })())
}

/// Reads a symbolic link, as far as the buffer goes.
#[allow(clippy::too_many_arguments)]
pub fn path_readlink(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
    buf: u32,
    buf_len: u32,
    bufused: u32,
) -> Answer {
    answer((|| {
        let dir = ctx.directory(fd, Rights::PATH_READLINK)?;
        let path = ctx.path(mem, path, path_len)?;
        mem.bytes(buf, buf_len)?;
        mem.bytes(bufused, 4)?;
        let (parent, name) = ctx.locate(dir, &path)?;
        if path.slash {
            return Err(Errno::Inval);
        }
        let target = fs::readlinkat(&parent, name, Vec::with_capacity(256))?;
        let target = target.as_bytes();
        let target = target.get(..buf_len as usize).unwrap_or(target);
        put(mem, buf, target)?;
        put_u32(mem, bufused, target.len() as u32)
    })())
}

/// Makes a symbolic link. One with an absolute target is refused (`Perm`): no guest could follow
/// it, only others on the host.
pub fn path_symlink(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    old_path: u32,
    old_len: u32,
    fd: u32,
    new_path: u32,
    new_len: u32,
) -> Answer {
    answer((|| {
        let dir = ctx.directory(fd, Rights::PATH_SYMLINK)?;
        // The same checks as for a path; what trails stays, since it is text here.
        ctx.path(mem, old_path, old_len)?;
        let target = mem.bytes(old_path, old_len)?;
        let path = ctx.path(mem, new_path, new_len)?;
        let (parent, name) = ctx.locate(dir, &path)?;
        if path.slash {
            return Err(Errno::Noent);
        }
        Ok(fs::symlinkat(target, &parent, name)?)
    })())
}

/// A name may only be carried to where nothing more is allowed with what it names.
fn carries(from: &Entry, to: &Entry) -> Result<(), Errno> {
    if from.inheriting.has(to.inheriting) { Ok(()) } else { Err(Errno::Notcapable) }
}

/// Makes a hard link. Symbolic links are not followed: a call that asks for that is `Inval`.
#[allow(clippy::too_many_arguments)]
pub fn path_link(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    old_fd: u32,
    old_flags: u32,
    old_path: u32,
    old_len: u32,
    new_fd: u32,
    new_path: u32,
    new_len: u32,
) -> Answer {
    answer((|| {
        let from = ctx.directory_entry(old_fd, Rights::PATH_LINK_SOURCE)?;
        let to = ctx.directory_entry(new_fd, Rights::PATH_LINK_TARGET)?;
        carries(from, to)?;
        if follows(old_flags)? {
            return Err(Errno::Inval);
        }
        let old = ctx.path(mem, old_path, old_len)?;
        let new = ctx.path(mem, new_path, new_len)?;
        let (old_dir, old_name) = ctx.locate(from.directory()?, &old)?;
        let (new_dir, new_name) = ctx.locate(to.directory()?, &new)?;
        if old.slash {
            let directory = is_directory(&old_dir, old_name)?;
            return Err(if directory { Errno::Perm } else { Errno::Notdir });
        }
        if new.slash {
            return Err(Errno::Noent);
        }
        Ok(fs::linkat(&old_dir, old_name, &new_dir, new_name, AtFlags::empty())?)
    })())
}

/// Renames, and replaces what has the new name.
#[allow(clippy::too_many_arguments)]
pub fn path_rename(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    fd: u32,
    old_path: u32,
    old_len: u32,
    new_fd: u32,
    new_path: u32,
    new_len: u32,
) -> Answer {
    answer((|| {
        let from = ctx.directory_entry(fd, Rights::PATH_RENAME_SOURCE)?;
        let to = ctx.directory_entry(new_fd, Rights::PATH_RENAME_TARGET)?;
        carries(from, to)?;
        let old = ctx.path(mem, old_path, old_len)?;
        let new = ctx.path(mem, new_path, new_len)?;
        let (old_dir, old_name) = ctx.locate(from.directory()?, &old)?;
        let (new_dir, new_name) = ctx.locate(to.directory()?, &new)?;
        // A slash behind either name says that a directory is meant.
        if (old.slash || new.slash) && !is_directory(&old_dir, old_name)? {
            return Err(Errno::Notdir);
        }
        Ok(fs::renameat(&old_dir, old_name, &new_dir, new_name)?)
    })())
}
