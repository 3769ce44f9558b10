//! What all instances of a program share: everything a [`Config`] says, opened and checked once.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::net::sockopt;

use crate::clocks::ClockSource;
use crate::config::{Config, ConfigError, Host, Preopen};
use crate::limits::Limits;
use crate::random::RandomSource;
use crate::resolve::Resolution;
use crate::streams::{Input, Output, Sink, Source, Stream};
use crate::table::{Entry, Handle, Kind, Object};
use crate::types::{Errno, Rights};

/// Strings as `args_get` hands them out: each with its NUL, one after another.
#[derive(Default)]
pub(crate) struct Strings {
    pub count: u32,
    pub bytes: Vec<u8>,
}

impl Strings {
    fn new(list: &[Vec<u8>]) -> Strings {
        let mut strings = Strings::default();
        for string in list {
            strings.count += 1;
            strings.bytes.extend_from_slice(string);
            strings.bytes.push(0);
        }
        strings
    }
}

/// Standard input without a descriptor.
pub(crate) enum In {
    Bytes(Vec<u8>),
    Callback(Box<dyn Input>),
}

/// Standard output without a descriptor.
pub(crate) enum Out {
    Discard,
    Capture,
    Callback(Box<dyn Output>),
}

/// The shared part of contexts; see [`Config::build`]. It does not change.
pub struct Template {
    pub(crate) args: Strings,
    pub(crate) env: Strings,
    pub(crate) entries: Vec<Option<Entry>>,
    pub(crate) names: Vec<Vec<u8>>,
    pub(crate) stdin: In,
    pub(crate) stdout: Out,
    pub(crate) stderr: Out,
    pub(crate) limits: Limits,
    pub(crate) clocks: ClockSource,
    pub(crate) random: RandomSource,
    pub(crate) resolution: Resolution,
    pub(crate) non_blocking: bool,
    pub(crate) no_files: bool,
}

impl Template {
    pub(crate) fn open(config: Config) -> Result<Template, ConfigError> {
        let given = config.preopens.len() + config.descriptors.len() + 3;
        if given > config.limits.descriptors as usize {
            let limit = config.limits.descriptors;
            return Err(ConfigError::Descriptors { given, limit });
        }
        if config.no_files && !config.preopens.is_empty() {
            return Err(ConfigError::NoFileSystem);
        }
        let no_files = config.no_files;
        let mut entries = Vec::new();
        let (stdin, entry) = source(config.stdin, no_files)?;
        entries.push(entry);
        let (stdout, entry) = sink(config.stdout, Stream::Out, no_files)?;
        entries.push(entry);
        let (stderr, entry) = sink(config.stderr, Stream::Err, no_files)?;
        entries.push(entry);
        let mut names = Vec::new();
        for (index, preopen) in config.preopens.into_iter().enumerate() {
            names.push(preopen.guest.clone());
            entries.push(Some(directory(index, preopen, config.limits.path_bytes)?));
        }
        for (index, (fd, rights)) in config.descriptors.into_iter().enumerate() {
            let entry = descriptor(fd, rights, no_files, Some(index))?;
            entries.push(Some(entry));
        }
        Ok(Template {
            args: Strings::new(&config.args),
            env: Strings::new(&config.env),
            entries,
            names,
            stdin,
            stdout,
            stderr,
            limits: config.limits,
            clocks: config.clocks,
            random: config.random,
            resolution: config.resolution,
            non_blocking: config.non_blocking,
            no_files,
        })
    }

    /// How paths are resolved.
    pub fn resolution(&self) -> Resolution {
        self.resolution
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

fn stream(stream: Stream) -> Option<Entry> {
    let direction = match stream {
        Stream::In => Rights::FD_WRITE,
        Stream::Out | Stream::Err => Rights::FD_READ,
    };
    let base = Rights::STREAM.without(direction);
    Some(Entry { object: Object::Stream(stream), base, inheriting: Rights::NONE, flags: 0 })
}

fn source(source: Source, no_files: bool) -> Result<(In, Option<Entry>), ConfigError> {
    Ok(match source {
        Source::Closed => (In::Bytes(Vec::new()), None),
        Source::Empty => (In::Bytes(Vec::new()), stream(Stream::In)),
        Source::Bytes(bytes) => (In::Bytes(bytes), stream(Stream::In)),
        Source::Callback(callback) => (In::Callback(callback), stream(Stream::In)),
        Source::Descriptor(fd) => {
            let rights = Rights::EVERY.without(WRITING);
            (In::Bytes(Vec::new()), Some(descriptor(fd, rights, no_files, None)?))
        }
    })
}

const WRITING: Rights = Rights::FD_WRITE
    .and(Rights::FD_ALLOCATE)
    .and(Rights::FD_FILESTAT_SET_SIZE)
    .and(Rights::FD_FILESTAT_SET_TIMES);

fn sink(sink: Sink, which: Stream, no_files: bool) -> Result<(Out, Option<Entry>), ConfigError> {
    Ok(match sink {
        Sink::Closed => (Out::Discard, None),
        Sink::Discard => (Out::Discard, stream(which)),
        Sink::Capture => (Out::Capture, stream(which)),
        Sink::Callback(callback) => (Out::Callback(callback), stream(which)),
        Sink::Descriptor(fd) => {
            let rights = Rights::EVERY.without(Rights::FD_READ);
            (Out::Discard, Some(descriptor(fd, rights, no_files, None)?))
        }
    })
}

fn directory(index: usize, preopen: Preopen, limit: u32) -> Result<Entry, ConfigError> {
    let Preopen { host, guest, base, inheriting } = preopen;
    if guest.contains(&0) {
        return Err(ConfigError::Nul { what: "name of directory", index });
    }
    if guest.len() > limit as usize {
        let what = "bytes in the name of a directory";
        return Err(ConfigError::TooMuch { what, limit: limit as usize });
    }
    let named = |path: Option<PathBuf>| {
        path.unwrap_or_else(|| PathBuf::from(String::from_utf8_lossy(&guest).into_owned()))
    };
    let (fd, path) = match host {
        Host::Descriptor(fd) => (Ok(fd), None),
        Host::Path(path) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            (fs::open(&path, flags, Mode::empty()), Some(path))
        }
    };
    let checked = fd.and_then(|fd| match kind_of_file(&fd)? {
        FileType::Directory => Ok(fd),
        _ => Err(rustix::io::Errno::NOTDIR),
    });
    match checked {
        Ok(fd) => Ok(Entry {
            object: Object::Directory { fd: Handle::new(fd), preopen: Some(index), listing: None },
            base: base.within(Rights::DIRECTORY),
            inheriting: inheriting.within(Rights::EVERY),
            flags: 0,
        }),
        Err(error) => Err(ConfigError::Directory { path: named(path), error: error.into() }),
    }
}

fn descriptor(
    fd: OwnedFd,
    rights: Rights,
    no_files: bool,
    index: Option<usize>,
) -> Result<Entry, ConfigError> {
    let kind = kind(&fd).map_err(|error| ConfigError::Descriptor { index, error })?;
    if no_files && kind.is_file() && index.is_some() {
        return Err(ConfigError::NoFileSystem);
    }
    Ok(Entry {
        object: Object::File { fd: Handle::new(fd), kind },
        base: rights.within(kind.rights()),
        inheriting: if kind == Kind::Listener { Rights::CONNECTION } else { Rights::NONE },
        flags: 0,
    })
}

fn kind_of_file(fd: impl AsFd) -> rustix::io::Result<FileType> {
    Ok(FileType::from_raw_mode(fs::fstat(fd)?.st_mode))
}

/// What a descriptor is. A directory is `Isdir`: it is not given as a plain descriptor.
pub(crate) fn kind(fd: impl AsFd) -> Result<Kind, Errno> {
    let fd = fd.as_fd();
    Ok(match kind_of_file(fd)? {
        FileType::RegularFile => Kind::Regular,
        FileType::BlockDevice => Kind::Block,
        FileType::CharacterDevice => Kind::Character,
        FileType::Socket if sockopt::socket_acceptconn(fd)? => Kind::Listener,
        FileType::Socket => match sockopt::socket_type(fd)? {
            rustix::net::SocketType::STREAM => Kind::Connection,
            _ => Kind::Datagram,
        },
        FileType::Directory => return Err(Errno::Isdir),
        FileType::Symlink => return Err(Errno::Loop),
        // Also event descriptors, timers and the like, which read and write as pipes do.
        FileType::Fifo | FileType::Unknown => Kind::Pipe,
    })
}
