//! Resolution component by component.
//!
//! The walk holds a descriptor for each directory between the given one and where it is. `..` drops
//! the last of them, and is refused when there is none; so no rename, however timed, can make it
//! rise above the directory that was given. Components still to come are kept as texts with a
//! position: the path, and on top of it each symbolic link's target until that is used up.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::Errno as Host;

use super::kernel::NEW_FILE;
use super::{GuestPath, is_dots};
use crate::limits::{LINKS, WALK_DEPTH};
use crate::types::Errno;

const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How often a walk is begun again when what it had looked at was exchanged before it was opened.
const ATTEMPTS: usize = 8;

pub(super) fn open(
    dir: BorrowedFd<'_>,
    path: &GuestPath<'_>,
    flags: OFlags,
    follow: bool,
) -> Result<OwnedFd, Errno> {
    for _ in 0..ATTEMPTS {
        let end = Walk::new(dir, path.text()).end(follow)?;
        let must = if end.slash { OFlags::DIRECTORY } else { OFlags::empty() };
        if end.slash && flags.contains(OFlags::CREATE) {
            return Err(Errno::Isdir);
        }
        let mode = if flags.contains(OFlags::CREATE) { NEW_FILE } else { Mode::empty() };
        match openat(&end.parent, end.name.as_slice(), flags | must | OFlags::NOFOLLOW, mode) {
            // A symbolic link, where there was none a moment ago.
            Err(Host::LOOP) if follow => {}
            other => return Ok(other?),
        }
    }
    Err(Errno::Loop)
}

pub(super) fn directory(dir: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let end = Walk::new(dir, path).end(true)?;
    let flags = LOOK | OFlags::DIRECTORY;
    Ok(openat(&end.parent, end.name.as_slice(), flags, Mode::empty())?)
}

/// Where a walk ends: a name in a directory. The name is `.` or a component that was not followed.
struct End<'d> {
    parent: super::Dir<'d>,
    name: Vec<u8>,
    /// It must be a directory.
    slash: bool,
}

struct Walk<'d> {
    root: BorrowedFd<'d>,
    passed: Vec<OwnedFd>,
    texts: Vec<(Vec<u8>, usize)>,
    links: u32,
}

/// A component, and what comes after it.
struct Step {
    name: Vec<u8>,
    last: bool,
    slash: bool,
}

impl<'d> Walk<'d> {
    fn new(root: BorrowedFd<'d>, path: &[u8]) -> Walk<'d> {
        Walk { root, passed: Vec::new(), texts: vec![(path.to_vec(), 0)], links: 0 }
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.passed.last().map_or(self.root, |fd| fd.as_fd())
    }

    /// The next component, if there is one. Texts that are used up go.
    fn step(&mut self) -> Option<Step> {
        loop {
            let (text, at) = self.texts.last_mut()?;
            let rest = text.get(*at..).unwrap_or_default();
            let skipped = rest.iter().take_while(|b| **b == b'/').count();
            let rest = rest.get(skipped..).unwrap_or_default();
            let len = rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
            let name = rest.get(..len).unwrap_or_default().to_vec();
            *at += skipped + len;
            if name.is_empty() {
                self.texts.pop();
                continue;
            }
            let to_come = || self.texts.iter().filter_map(|(text, at)| text.get(*at..)).flatten();
            let last = to_come().all(|b| *b == b'/');
            let slash = to_come().next().is_some();
            return Some(Step { name, last, slash });
        }
    }

    fn end(mut self, follow: bool) -> Result<End<'d>, Errno> {
        while let Some(Step { name, last, slash }) = self.step() {
            if is_dots(&name) {
                if name == b".." && self.passed.pop().is_none() {
                    return Err(Errno::Perm);
                }
                if last {
                    return Ok(self.stop(b".".to_vec(), true));
                }
                continue;
            }
            if last && !follow && !slash {
                return Ok(self.stop(name, false));
            }
            let seen = match openat(self.here(), name.as_slice(), LOOK, Mode::empty()) {
                // It may be about to be created.
                Err(Host::NOENT) if last => return Ok(self.stop(name, slash)),
                other => other?,
            };
            match FileType::from_raw_mode(fstat(&seen)?.st_mode) {
                FileType::Symlink => self.enter_link(&seen)?,
                _ if last => return Ok(self.stop(name, slash)),
                FileType::Directory if self.passed.len() < WALK_DEPTH => self.passed.push(seen),
                FileType::Directory => return Err(Errno::Nametoolong),
                _ => return Err(Errno::Notdir),
            }
        }
        // Only after a link whose target is nothing but slashes, and that is absolute.
        Err(Errno::Noent)
    }

    fn enter_link(&mut self, link: &OwnedFd) -> Result<(), Errno> {
        self.links += 1;
        if self.links > LINKS {
            return Err(Errno::Loop);
        }
        let target = readlinkat(link, c"", Vec::new())?.into_bytes();
        match target.first() {
            None => Err(Errno::Noent),
            Some(b'/') => Err(Errno::Perm),
            Some(_) => {
                self.texts.push((target, 0));
                Ok(())
            }
        }
    }

    fn stop(mut self, name: Vec<u8>, slash: bool) -> End<'d> {
        let parent = match self.passed.pop() {
            Some(fd) => super::Dir::Opened(fd),
            None => super::Dir::Given(self.root),
        };
        End { parent, name, slash }
    }
}
