//! What a `lucet_wasi_config` holds, until it is made into a template: plain data that can be
//! copied, so that one configuration makes any number of templates.

use super::wasi::{LUCET_WASI_NOT_NOW, lucet_wasi_limit};
use crate::error::{Error, Result, Status};
use crate::wasi::{
    self, ClockSource, Clocks, Config, ConfigError, Errno, Input, Limits, Output, Random,
    RandomSource, Rights, Sink, Source, Template,
};
use std::ffi::c_void;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

type Read = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void, usize) -> isize;
type Now = unsafe extern "C" fn(*mut c_void, *mut c_void, bool) -> u64;
type Fill = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void, usize) -> bool;
type Write = unsafe extern "C" fn(*mut c_void, *mut c_void, *const c_void, usize) -> isize;

/// A C function and its user data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Callback<F> {
    f: F,
    user_data: usize,
}

impl<F> Callback<F> {
    pub(super) fn new(f: F, user_data: *mut c_void) -> Self {
        Self { f, user_data: user_data.expose_provenance() }
    }

    /// The first two arguments of each call.
    fn data(&self, instance: u64) -> (*mut c_void, *mut c_void) {
        let pointer = |word| std::ptr::with_exposed_provenance_mut(word);
        (pointer(self.user_data), pointer(instance as usize))
    }
}

/// What a function returned: a number of bytes, of `len` at most.
fn counted(returned: isize, len: usize) -> std::result::Result<usize, Errno> {
    match usize::try_from(returned) {
        Ok(n) if n <= len => Ok(n),
        Err(_) if returned == LUCET_WASI_NOT_NOW => Err(Errno::Again),
        // LUCET_WASI_FAILED, and what makes no sense.
        _ => Err(Errno::Io),
    }
}

impl Input for Callback<Read> {
    fn read(&self, instance: u64, into: &mut [u8]) -> std::result::Result<usize, Errno> {
        let (user, instance) = self.data(instance);
        // SAFETY: the header asks for a function of this type that any thread may call; what it
        // may write to is `into`.
        let n = unsafe { (self.f)(user, instance, into.as_mut_ptr().cast(), into.len()) };
        counted(n, into.len())
    }
}

impl Output for Callback<Write> {
    fn write(&self, instance: u64, bytes: &[u8]) -> std::result::Result<usize, Errno> {
        let (user, instance) = self.data(instance);
        // SAFETY: as above; what it may read is `bytes`.
        let n = unsafe { (self.f)(user, instance, bytes.as_ptr().cast(), bytes.len()) };
        counted(n, bytes.len())
    }
}

/// A C function that is the clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub f: Callback<Now>,
    pub resolution: u64,
}

impl Clocks for Clock {
    fn now(&self, instance: u64, clock: wasi::Clock) -> std::result::Result<u64, Errno> {
        let (user, instance) = self.f.data(instance);
        // SAFETY: as above.
        Ok(unsafe { (self.f.f)(user, instance, clock == wasi::Clock::Monotonic) })
    }

    fn resolution(&self, _: u64, _: wasi::Clock) -> std::result::Result<u64, Errno> {
        Ok(self.resolution)
    }
}

impl Random for Callback<Fill> {
    fn fill(&self, instance: u64, into: &mut [u8]) -> std::result::Result<(), Errno> {
        let (user, instance) = self.data(instance);
        // SAFETY: as above; what it may write to is `into`.
        let filled = unsafe { (self.f)(user, instance, into.as_mut_ptr().cast(), into.len()) };
        if filled { Ok(()) } else { Err(Errno::Io) }
    }
}

/// What a standard stream is.
#[derive(Debug, Clone, Default)]
pub(super) enum Stdio {
    /// Input at its end, output discarded.
    #[default]
    Nothing,
    Closed,
    Bytes(Arc<[u8]>),
    Capture,
    Descriptor(Arc<OwnedFd>),
    Reader(Callback<Read>),
    Writer(Callback<Write>),
}

fn not_open(e: &std::io::Error) -> Error {
    Error::new(Status::InvalidArgument, format!("the descriptor cannot be used: {e}"))
}

/// A descriptor of our own for the same thing.
fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    fd.try_clone_to_owned().map_err(|e| not_open(&e))
}

impl Stdio {
    pub(super) fn duplicate(fd: BorrowedFd<'_>) -> Result<Self> {
        Ok(Self::Descriptor(Arc::new(duplicate(fd)?)))
    }

    fn source(&self) -> Result<Source> {
        Ok(match self {
            Self::Nothing | Self::Capture | Self::Writer(_) => Source::Empty,
            Self::Closed => Source::Closed,
            Self::Bytes(b) => Source::Bytes(b.to_vec()),
            Self::Descriptor(fd) => Source::Descriptor(duplicate(fd.as_fd())?),
            Self::Reader(f) => Source::Callback(Box::new(*f)),
        })
    }

    fn sink(&self) -> Result<Sink> {
        Ok(match self {
            Self::Nothing | Self::Bytes(_) | Self::Reader(_) => Sink::Discard,
            Self::Closed => Sink::Closed,
            Self::Capture => Sink::Capture,
            Self::Descriptor(fd) => Sink::Descriptor(duplicate(fd.as_fd())?),
            Self::Writer(f) => Sink::Callback(Box::new(*f)),
        })
    }
}

/// Everything that was set.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub args: Vec<Vec<u8>>,
    /// NAME=VALUE.
    pub env: Vec<Vec<u8>>,
    /// Path, name for the guest, read only.
    pub directories: Vec<(PathBuf, Vec<u8>, bool)>,
    pub descriptors: Vec<Arc<OwnedFd>>,
    pub streams: [Stdio; 3],
    pub seed: Option<u64>,
    pub clock: Option<Clock>,
    pub random: Option<Callback<Fill>>,
    pub non_blocking: bool,
    pub no_files: bool,
    limits: Limits,
}

impl Settings {
    pub(super) fn add_descriptor(&mut self, fd: BorrowedFd<'_>) -> Result<()> {
        self.descriptors.push(Arc::new(duplicate(fd)?));
        Ok(())
    }

    pub(super) fn inherit_stdio(&mut self) -> Result<()> {
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let all = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        for (to, fd) in self.streams.iter_mut().zip(all) {
            *to = match fd.try_clone_to_owned() {
                Ok(fd) => Stdio::Descriptor(Arc::new(fd)),
                // This process has none either.
                Err(_) => Stdio::Closed,
            };
        }
        Ok(())
    }

    pub(super) fn set_limit(&mut self, limit: i32, value: u64) -> Result<()> {
        use lucet_wasi_limit as L;
        let l = &mut self.limits;
        let small = [
            (L::LUCET_WASI_LIMIT_DESCRIPTORS as i32, &mut l.descriptors),
            (L::LUCET_WASI_LIMIT_IOVECS as i32, &mut l.iovecs),
            (L::LUCET_WASI_LIMIT_TRANSFER_BYTES as i32, &mut l.transfer_bytes),
            (L::LUCET_WASI_LIMIT_RANDOM_BYTES as i32, &mut l.random_bytes),
            (L::LUCET_WASI_LIMIT_SUBSCRIPTIONS as i32, &mut l.subscriptions),
            (L::LUCET_WASI_LIMIT_READDIR_BYTES as i32, &mut l.readdir_bytes),
            (L::LUCET_WASI_LIMIT_PATH_BYTES as i32, &mut l.path_bytes),
        ];
        let large = [
            (L::LUCET_WASI_LIMIT_FILE_BYTES as i32, &mut l.file_bytes),
            (L::LUCET_WASI_LIMIT_WRITTEN_BYTES as i32, &mut l.written_bytes),
            (L::LUCET_WASI_LIMIT_OUTPUT_BYTES as i32, &mut l.output_bytes),
        ];
        let bad = |m: String| Error::new(Status::InvalidArgument, m);
        if let Some((_, to)) = small.into_iter().find(|(n, _)| *n == limit) {
            let much = |_| bad(format!("{value} is too much for this limit"));
            *to = u32::try_from(value).map_err(much)?;
        } else if let Some((_, to)) = large.into_iter().find(|(n, _)| *n == limit) {
            *to = value;
        } else {
            return Err(bad(format!("{limit} is not a lucet_wasi_limit")));
        }
        Ok(())
    }

    /// What contexts are made of.
    pub(super) fn build(&self) -> Result<Arc<Template>> {
        let mut c = Config::new();
        for arg in &self.args {
            c.arg(arg.clone());
        }
        for variable in &self.env {
            c.env(variable.clone());
        }
        for (path, guest, read_only) in &self.directories {
            c.directory(path, guest.clone(), *read_only);
        }
        for fd in &self.descriptors {
            c.descriptor(duplicate(fd.as_fd())?, Rights::EVERY);
        }
        let [stdin, stdout, stderr] = &self.streams;
        c.stdin(stdin.source()?).stdout(stdout.sink()?).stderr(stderr.sink()?);
        c.limits(self.limits.clone()).non_blocking(self.non_blocking).no_file_system(self.no_files);
        if let Some(seed) = self.seed {
            c.deterministic(seed);
        }
        if let Some(clock) = self.clock {
            c.clocks(ClockSource::Custom(Arc::new(clock)));
        }
        if let Some(random) = self.random {
            c.random(RandomSource::Custom(Arc::new(random)));
        }
        c.build().map_err(|e| {
            let status = match &e {
                ConfigError::Directory { .. } => Status::Io,
                ConfigError::TooMuch { .. } | ConfigError::Descriptors { .. } => {
                    Status::LimitExceeded
                }
                _ => Status::InvalidArgument,
            };
            Error::new(status, e.to_string())
        })
    }
}
