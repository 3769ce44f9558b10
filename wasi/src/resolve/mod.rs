//! From a path that a guest wrote to a file beneath a directory, and never to anything else.
//!
//! Two ways, which refuse the same and which every test of paths runs through:
//!
//! * the kernel's (`kernel`): `openat2` with `RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS`;
//! * walking (`walk`): one component after another, each opened with `O_PATH | O_NOFOLLOW` beneath
//!   the descriptor of the one before, symbolic links read and their components walked in turn,
//!   `..` answered from the descriptors already passed and never by asking the kernel for a parent.
//!
//! A guest's operation needs one of two things: an open file ([`open`]), or the directory that a
//! name stands in ([`locate`]), where the name is then used as a single component that is not
//! followed. No path is ever put together from strings.

mod kernel;
mod path;
mod walk;

pub(crate) use path::{GuestPath, is_dots};

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;

use crate::types::Errno;

/// How the way to a file is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Resolution {
    /// By the kernel, and by walking where it cannot: before Linux 5.6, under a system-call filter
    /// that does not know `openat2`, or when renames elsewhere keep confusing it.
    #[default]
    Automatic,
    /// By walking.
    Walk,
}

/// A directory on the way: the one that was given, or one that was opened.
pub(crate) enum Dir<'d> {
    Given(BorrowedFd<'d>),
    Opened(OwnedFd),
}

impl AsFd for Dir<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Dir::Given(fd) => fd.as_fd(),
            Dir::Opened(fd) => fd.as_fd(),
        }
    }
}

/// Opens what `path` beneath `dir` names. `follow` says whether a symbolic link at its end is
/// followed; with a trailing slash it is in any case, and what is opened must be a directory.
pub(crate) fn open(
    how: Resolution,
    dir: BorrowedFd<'_>,
    path: &GuestPath<'_>,
    flags: OFlags,
    follow: bool,
) -> Result<OwnedFd, Errno> {
    if path.slash && flags.contains(OFlags::CREATE) {
        // A directory is not made by opening it.
        return Err(Errno::Isdir);
    }
    let follow = (follow || path.slash) && !flags.contains(OFlags::EXCL);
    let slash = if path.slash { OFlags::DIRECTORY } else { OFlags::empty() };
    let mut flags = flags | slash | OFlags::CLOEXEC;
    if !flags.contains(OFlags::PATH) {
        // Neither a pipe without a writer nor a terminal may hold up the thread or adopt it.
        flags |= OFlags::NOCTTY | OFlags::NONBLOCK;
    }
    if how == Resolution::Automatic
        && let Some(result) = kernel::open(dir, path, flags, follow)
    {
        return result;
    }
    walk::open(dir, path, flags, follow)
}

/// Opens the directory that the last component of `path` stands in. That component is not looked
/// at. `Inval` when it is `.` or `..`, which name no entry that could be made, removed or renamed.
pub(crate) fn locate<'d, 'p>(
    how: Resolution,
    dir: BorrowedFd<'d>,
    path: &GuestPath<'p>,
) -> Result<(Dir<'d>, &'p [u8]), Errno> {
    let (parent, last) = path.split();
    if is_dots(last) {
        return Err(Errno::Inval);
    }
    let Some(parent) = parent else { return Ok((Dir::Given(dir), last)) };
    if how == Resolution::Automatic
        && let Some(result) = kernel::directory(dir, parent)
    {
        return Ok((Dir::Opened(result?), last));
    }
    Ok((Dir::Opened(walk::directory(dir, parent)?), last))
}
