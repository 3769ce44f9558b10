//! The descriptor table of a context.
//!
//! Until the guest opens, closes or changes a descriptor, a context has no table: it reads the
//! template's. The first change copies it (entries of preopened things share the host's
//! descriptor). A descriptor's number is the lowest that is free.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::FileType;

use crate::streams::Stream;
use crate::types::{Errno, Rights, value};

/// What kind of thing a host descriptor is; decides what may block and how it is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file: never waited for.
    Regular,
    /// A block device.
    Block,
    /// A terminal or another character device.
    Character,
    /// A pipe.
    Pipe,
    /// A connected stream socket.
    Connection,
    /// A datagram socket.
    Datagram,
    /// A listening socket.
    Listener,
}

impl Kind {
    /// The file type that the guest is told.
    pub fn filetype(self) -> u8 {
        match self {
            Kind::Regular => value::FILETYPE_REGULAR_FILE,
            Kind::Block => value::FILETYPE_BLOCK_DEVICE,
            Kind::Character => value::FILETYPE_CHARACTER_DEVICE,
            Kind::Pipe => value::FILETYPE_UNKNOWN,
            Kind::Connection | Kind::Listener => value::FILETYPE_SOCKET_STREAM,
            Kind::Datagram => value::FILETYPE_SOCKET_DGRAM,
        }
    }

    /// The rights that make sense for it.
    pub fn rights(self) -> Rights {
        match self {
            Kind::Regular | Kind::Block => Rights::FILE,
            // Programs take a character device for a terminal when it cannot seek.
            Kind::Character | Kind::Pipe => Rights::STREAM,
            Kind::Connection | Kind::Datagram => Rights::CONNECTION,
            Kind::Listener => Rights::LISTENER,
        }
    }

    /// Whether it has a position and never makes anybody wait.
    pub fn is_file(self) -> bool {
        matches!(self, Kind::Regular | Kind::Block)
    }

    /// Whether it is a socket.
    pub fn is_socket(self) -> bool {
        matches!(self, Kind::Connection | Kind::Datagram | Kind::Listener)
    }
}

/// The file type that the guest is told for a host's.
pub fn filetype(host: FileType) -> u8 {
    match host {
        FileType::RegularFile => value::FILETYPE_REGULAR_FILE,
        FileType::Directory => value::FILETYPE_DIRECTORY,
        FileType::Symlink => value::FILETYPE_SYMBOLIC_LINK,
        FileType::CharacterDevice => value::FILETYPE_CHARACTER_DEVICE,
        FileType::BlockDevice => value::FILETYPE_BLOCK_DEVICE,
        FileType::Socket => value::FILETYPE_SOCKET_STREAM,
        FileType::Fifo | FileType::Unknown => value::FILETYPE_UNKNOWN,
    }
}

/// A host descriptor: the context's own, or one that the template lends to all.
#[derive(Clone, Debug)]
pub struct Handle(pub Arc<OwnedFd>);

impl Handle {
    /// Takes a descriptor over.
    pub fn new(fd: OwnedFd) -> Handle {
        Handle(Arc::new(fd))
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What a descriptor of the guest's stands for.
#[derive(Clone, Debug)]
pub enum Object {
    /// A stream without a host descriptor.
    Stream(Stream),
    /// A directory.
    Directory {
        /// The directory.
        fd: Handle,
        /// Its index among the preopened directories.
        preopen: Option<usize>,
        /// What is listed: its own position, which `fd` of a preopened directory would share with
        /// other contexts.
        listing: Option<Handle>,
    },
    /// Anything else that the host has a descriptor for.
    File {
        /// The descriptor.
        fd: Handle,
        /// What it is.
        kind: Kind,
    },
}

/// One descriptor of the guest's.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it stands for.
    pub object: Object,
    /// What may be done with it.
    pub base: Rights,
    /// What may be done with what is opened through it.
    pub inheriting: Rights,
    /// `FDFLAGS_*`. They are ours: each call applies them, the host's descriptor does not change.
    pub flags: u16,
}

impl Entry {
    /// `Notcapable` unless all of `rights` are there.
    pub fn need(&self, rights: Rights) -> Result<&Entry, Errno> {
        if self.base.has(rights) { Ok(self) } else { Err(Errno::Notcapable) }
    }

    /// The directory that it is, or `Notdir`.
    pub fn directory(&self) -> Result<BorrowedFd<'_>, Errno> {
        match &self.object {
            Object::Directory { fd, .. } => Ok(fd.as_fd()),
            _ => Err(Errno::Notdir),
        }
    }

    /// The file that it is: `Isdir` for a directory, `Spipe` for what has no position.
    pub fn file(&self) -> Result<&Handle, Errno> {
        match &self.object {
            Object::File { fd, kind } if kind.is_file() => Ok(fd),
            Object::Directory { .. } => Err(Errno::Isdir),
            Object::File { .. } | Object::Stream(_) => Err(Errno::Spipe),
        }
    }

    /// The host's descriptor, unless it is a stream that has none.
    pub fn host(&self) -> Option<BorrowedFd<'_>> {
        match &self.object {
            Object::Directory { fd, .. } | Object::File { fd, .. } => Some(fd.as_fd()),
            Object::Stream(_) => None,
        }
    }

    /// The file type that the guest is told.
    pub fn filetype(&self) -> u8 {
        match &self.object {
            Object::Stream(_) => value::FILETYPE_UNKNOWN,
            Object::Directory { .. } => value::FILETYPE_DIRECTORY,
            Object::File { kind, .. } => kind.filetype(),
        }
    }
}

/// The entries that a context starts with.
pub type Initial = [Option<Entry>];

/// The table itself.
#[derive(Default, Debug)]
pub struct Table {
    /// `None` until the first change.
    slots: Option<Vec<Option<Entry>>>,
}

impl Table {
    /// A table that is the template's until it is changed. Allocates nothing.
    pub const fn new() -> Table {
        Table { slots: None }
    }

    /// The entry `fd`, or `Badf`.
    pub fn get<'t>(&'t self, initial: &'t Initial, fd: u32) -> Result<&'t Entry, Errno> {
        let slots = self.slots.as_deref().unwrap_or(initial);
        slots.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::Badf)
    }

    /// All entries.
    pub fn entries<'t>(&'t self, initial: &'t Initial) -> impl Iterator<Item = &'t Entry> {
        self.slots.as_deref().unwrap_or(initial).iter().flatten()
    }

    /// The entry `fd`, to change it.
    pub fn get_mut(&mut self, initial: &Initial, fd: u32) -> Result<&mut Entry, Errno> {
        self.get(initial, fd)?;
        let slots = self.own(initial)?;
        slots.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::Badf)
    }

    /// Whether another descriptor may be opened: `Mfile` when not.
    pub fn has_room(&self, initial: &Initial, limit: u32) -> Result<(), Errno> {
        let open = self.entries(initial).count();
        if open < limit as usize { Ok(()) } else { Err(Errno::Mfile) }
    }

    /// Puts `entry` at the lowest free number.
    pub fn insert(&mut self, initial: &Initial, limit: u32, entry: Entry) -> Result<u32, Errno> {
        self.has_room(initial, limit)?;
        let slots = self.own(initial)?;
        let free = slots.iter().position(Option::is_none).unwrap_or(slots.len());
        match slots.get_mut(free) {
            Some(slot) => *slot = Some(entry),
            None => {
                slots.try_reserve(1).map_err(|_| Errno::Nomem)?;
                slots.push(Some(entry));
            }
        }
        u32::try_from(free).map_err(|_| Errno::Mfile)
    }

    /// Closes `fd`.
    pub fn close(&mut self, initial: &Initial, fd: u32) -> Result<(), Errno> {
        self.get(initial, fd)?;
        let slots = self.own(initial)?;
        slots.get_mut(fd as usize).and_then(Option::take).map(drop).ok_or(Errno::Badf)
    }

    /// Closes `to` and gives its number to `from`. Both must be open.
    pub fn renumber(&mut self, initial: &Initial, from: u32, to: u32) -> Result<(), Errno> {
        self.get(initial, from)?;
        self.get(initial, to)?;
        if from == to {
            return Ok(());
        }
        let slots = self.own(initial)?;
        let moved = slots.get_mut(from as usize).and_then(Option::take).ok_or(Errno::Badf)?;
        *slots.get_mut(to as usize).ok_or(Errno::Badf)? = Some(moved);
        Ok(())
    }

    /// Whether other descriptors are open than at first.
    pub fn differs(&self, initial: &Initial) -> bool {
        let open = |all: &Initial, n| all.get(n).is_some_and(Option::is_some);
        let differs = |slots: &Vec<Option<Entry>>| {
            (0..slots.len().max(initial.len())).any(|n| open(slots, n) != open(initial, n))
        };
        self.slots.as_ref().is_some_and(differs)
    }

    fn own(&mut self, initial: &Initial) -> Result<&mut Vec<Option<Entry>>, Errno> {
        if self.slots.is_none() {
            let mut slots = Vec::new();
            slots.try_reserve(initial.len() + 1).map_err(|_| Errno::Nomem)?;
            slots.extend(initial.iter().cloned());
            self.slots = Some(slots);
        }
        self.slots.as_mut().ok_or(Errno::Nomem)
    }
}
