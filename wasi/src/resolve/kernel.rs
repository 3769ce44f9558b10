//! Resolution by the kernel. What it cannot answer is `None`, and is then walked.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno as Host;

use super::GuestPath;
use crate::types::Errno;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// How often a resolution is begun again when a rename elsewhere in the tree disturbed it.
const ATTEMPTS: usize = 8;

/// New files are readable and writable for everybody whom the umask lets.
pub(super) const NEW_FILE: Mode = Mode::from_raw_mode(0o666);

pub(super) fn open(
    dir: BorrowedFd<'_>,
    path: &GuestPath<'_>,
    flags: OFlags,
    follow: bool,
) -> Option<Result<OwnedFd, Errno>> {
    let nofollow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    beneath(dir, path.text(), flags | nofollow)
}

pub(super) fn directory(dir: BorrowedFd<'_>, path: &[u8]) -> Option<Result<OwnedFd, Errno>> {
    beneath(dir, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)
}

fn beneath(dir: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Option<Result<OwnedFd, Errno>> {
    // The kernel refuses a mode for what cannot create anything.
    let mode = if flags.contains(OFlags::CREATE) { NEW_FILE } else { Mode::empty() };
    for _ in 0..ATTEMPTS {
        match openat2(dir, path, flags, mode, BENEATH) {
            Ok(fd) => return Some(Ok(fd)),
            // It would have left the directory.
            Err(Host::XDEV) => return Some(Err(Errno::Perm)),
            // `..` crossed a rename and cannot be vouched for. Also what a lease says, which an
            // open that does not wait cannot wait for: the walk reports that one as it is.
            Err(Host::AGAIN | Host::INTR) => {}
            // Not there, or filtered out.
            Err(Host::NOSYS | Host::PERM) => return None,
            Err(other) => return Some(Err(other.into())),
        }
    }
    None
}
