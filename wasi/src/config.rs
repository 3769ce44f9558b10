//! What the embedder decides, before anything is opened.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clocks::ClockSource;
use crate::limits::{Limits, STRINGS, STRINGS_BYTES};
use crate::random::RandomSource;
use crate::resolve::Resolution;
use crate::streams::{Sink, Source};
use crate::template::Template;
use crate::types::{Errno, Rights};

/// Why [`Config::build`] refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// An argument, a variable or a directory's name contains a NUL, which ends strings in C.
    Nul {
        /// Which of the three.
        what: &'static str,
        /// Its index.
        index: usize,
    },
    /// A variable without a name: nothing stands before its `=`, or it has none.
    Unnamed {
        /// The variable's index.
        index: usize,
    },
    /// More or longer strings than a program may be given.
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
    /// A directory could not be opened.
    Directory {
        /// The host's path, or the guest's name for a descriptor.
        path: PathBuf,
        /// Why.
        error: Errno,
    },
    /// A descriptor could not be examined.
    Descriptor {
        /// Its index in the order given; standard streams have none.
        index: Option<usize>,
        /// Why.
        error: Errno,
    },
    /// A directory or a file was given to a configuration that has no file system.
    NoFileSystem,
    /// The limit on descriptors is below the number of those given.
    Descriptors {
        /// How many were given.
        given: usize,
        /// The limit.
        limit: u32,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Nul { what, index } => {
                write!(f, "{what} {index} contains a NUL byte: remove it")
            }
            ConfigError::Unnamed { index } => {
                write!(f, "variable {index} has no name: write NAME=VALUE")
            }
            ConfigError::TooMuch { what, limit } => write!(f, "more than {limit} {what}"),
            ConfigError::Directory { path, error } => {
                write!(f, "directory {}: {error:?}", path.display())
            }
            ConfigError::Descriptor { index: Some(index), error } => {
                write!(f, "descriptor {index}: {error:?}")
            }
            ConfigError::Descriptor { index: None, error } => {
                write!(f, "standard stream: {error:?}")
            }
            ConfigError::NoFileSystem => {
                f.write_str("a directory or file was given, but the file system is refused")
            }
            ConfigError::Descriptors { given, limit } => {
                write!(f, "{given} descriptors were given, {limit} are allowed: raise the limit")
            }
        }
    }
}

impl std::error::Error for ConfigError {}

pub(crate) enum Host {
    Path(PathBuf),
    Descriptor(OwnedFd),
}

pub(crate) struct Preopen {
    pub host: Host,
    pub guest: Vec<u8>,
    pub base: Rights,
    pub inheriting: Rights,
}

/// A configuration under construction. A new one gives a program nothing: no arguments, no
/// environment, no directories; standard input at its end, standard output and error discarded;
/// calls block.
#[derive(Default)]
pub struct Config {
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) env: Vec<Vec<u8>>,
    pub(crate) preopens: Vec<Preopen>,
    pub(crate) descriptors: Vec<(OwnedFd, Rights)>,
    pub(crate) stdin: Source,
    pub(crate) stdout: Sink,
    pub(crate) stderr: Sink,
    pub(crate) limits: Limits,
    pub(crate) clocks: ClockSource,
    pub(crate) random: RandomSource,
    pub(crate) resolution: Resolution,
    pub(crate) non_blocking: bool,
    pub(crate) no_files: bool,
}

impl Config {
    /// A configuration that gives nothing.
    pub fn new() -> Config {
        Config::default()
    }

    /// Adds an argument; the first is the program's name.
    pub fn arg(&mut self, arg: impl Into<Vec<u8>>) -> &mut Config {
        self.args.push(arg.into());
        self
    }

    /// Adds a variable, `NAME=VALUE`.
    pub fn env(&mut self, variable: impl Into<Vec<u8>>) -> &mut Config {
        self.env.push(variable.into());
        self
    }

    /// Opens the directory `host` and shows it to programs as `guest`, with everything allowed
    /// below it or, when `read_only`, only what changes nothing. Directories get the descriptors
    /// from 3 on, in the order given.
    pub fn directory(
        &mut self,
        host: impl AsRef<Path>,
        guest: impl Into<Vec<u8>>,
        read_only: bool,
    ) -> &mut Config {
        let allowed = if read_only { Rights::READ_ONLY } else { Rights::EVERY };
        self.directory_with(
            host,
            guest,
            Rights::DIRECTORY.within(allowed),
            Rights::DIRECTORY.and(Rights::FILE).within(allowed),
        )
    }

    /// The same with exact rights: `base` for the directory, `inheriting` for what is opened
    /// through it.
    pub fn directory_with(
        &mut self,
        host: impl AsRef<Path>,
        guest: impl Into<Vec<u8>>,
        base: Rights,
        inheriting: Rights,
    ) -> &mut Config {
        let host = Host::Path(host.as_ref().to_path_buf());
        self.preopens.push(Preopen { host, guest: guest.into(), base, inheriting });
        self
    }

    /// The same for a directory that is open already.
    pub fn directory_descriptor(
        &mut self,
        fd: OwnedFd,
        guest: impl Into<Vec<u8>>,
        base: Rights,
        inheriting: Rights,
    ) -> &mut Config {
        let host = Host::Descriptor(fd);
        self.preopens.push(Preopen { host, guest: guest.into(), base, inheriting });
        self
    }

    /// Gives a descriptor that is no directory: a file, a pipe, a socket. Its rights are those of
    /// `rights` that make sense for what it is. Numbers follow the directories'. All contexts share
    /// it, its position included.
    pub fn descriptor(&mut self, fd: OwnedFd, rights: Rights) -> &mut Config {
        self.descriptors.push((fd, rights));
        self
    }

    /// Standard input.
    pub fn stdin(&mut self, source: Source) -> &mut Config {
        self.stdin = source;
        self
    }

    /// Standard output.
    pub fn stdout(&mut self, sink: Sink) -> &mut Config {
        self.stdout = sink;
        self
    }

    /// Standard error.
    pub fn stderr(&mut self, sink: Sink) -> &mut Config {
        self.stderr = sink;
        self
    }

    /// Replaces the limits.
    pub fn limits(&mut self, limits: Limits) -> &mut Config {
        self.limits = limits;
        self
    }

    /// Replaces the clocks.
    pub fn clocks(&mut self, clocks: ClockSource) -> &mut Config {
        self.clocks = clocks;
        self
    }

    /// Replaces the source of randomness.
    pub fn random(&mut self, random: RandomSource) -> &mut Config {
        self.random = random;
        self
    }

    /// Makes runs repeatable: virtual time that starts in the year 2000 and advances by a
    /// microsecond per reading, and random bytes from `seed`.
    pub fn deterministic(&mut self, seed: u64) -> &mut Config {
        self.clocks = ClockSource::Virtual { realtime: 946_684_800_000_000_000, step: 1_000 };
        self.random = RandomSource::Seeded(seed);
        self
    }

    /// How paths are resolved; the default chooses by itself.
    pub fn resolution(&mut self, resolution: Resolution) -> &mut Config {
        self.resolution = resolution;
        self
    }

    /// Calls that would block answer [`crate::Answer::Wait`] instead.
    pub fn non_blocking(&mut self, yes: bool) -> &mut Config {
        self.non_blocking = yes;
        self
    }

    /// Refuses the file system altogether: every path function is `NOTSUP`, and
    /// [`Config::build`] refuses directories and files.
    pub fn no_file_system(&mut self, yes: bool) -> &mut Config {
        self.no_files = yes;
        self
    }

    /// Checks everything, opens the directories, and makes what contexts share.
    pub fn build(self) -> Result<Arc<Template>, ConfigError> {
        strings("argument", "arguments", &self.args)?;
        strings("variable", "variables", &self.env)?;
        for (index, variable) in self.env.iter().enumerate() {
            if variable.iter().position(|b| *b == b'=').unwrap_or(0) == 0 {
                return Err(ConfigError::Unnamed { index });
            }
        }
        let total: usize = self.args.iter().chain(&self.env).map(|s| s.len() + 1).sum();
        if total > STRINGS_BYTES {
            let what = "bytes of arguments and variables";
            return Err(ConfigError::TooMuch { what, limit: STRINGS_BYTES });
        }
        Template::open(self).map(Arc::new)
    }
}

fn strings(what: &'static str, plural: &'static str, list: &[Vec<u8>]) -> Result<(), ConfigError> {
    if list.len() > STRINGS {
        return Err(ConfigError::TooMuch { what: plural, limit: STRINGS });
    }
    match list.iter().position(|s| s.contains(&0)) {
        Some(index) => Err(ConfigError::Nul { what, index }),
        None => Ok(()),
    }
}
