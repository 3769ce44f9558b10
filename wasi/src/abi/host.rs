//! Reading and writing descriptors of the host's without blocking where that is forbidden, and
//! without signals.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno as Host, ReadWriteFlags, pwritev2, read, writev};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};

use super::Stop;
use crate::context::{Interest, Wait};
use crate::table::Kind;
use crate::types::{Errno, value};

/// What may be written to a pipe or a terminal that is ready without ever waiting: POSIX's
/// `PIPE_BUF` on Linux.
const ALWAYS_FITS: usize = 4096;

/// Write, and let a pipe without readers be an error only, not a signal. Since Linux 6.18.
const NO_SIGNAL: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x100);
static NO_SIGNAL_UNKNOWN: AtomicBool = AtomicBool::new(false);

/// The position of the file itself, to calls that take a position.
pub(crate) const CURRENT: u64 = u64::MAX;

/// How a call may wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// In the system call.
    Block,
    /// By answering `Wait`.
    Yield,
    /// Not at all: the guest asked for `Again`.
    Never,
}

impl Patience {
    pub fn of(non_blocking: bool, flags: u16) -> Patience {
        match (flags & value::FDFLAGS_NONBLOCK != 0, non_blocking) {
            (true, _) => Patience::Never,
            (false, true) => Patience::Yield,
            (false, false) => Patience::Block,
        }
    }
}

/// What to answer when `fd` is not ready.
pub(crate) fn not_ready(fd: BorrowedFd<'_>, write: bool, patience: Patience) -> Stop {
    if patience == Patience::Never {
        return Stop::Errno(Errno::Again);
    }
    let interest = Interest { fd: fd.as_raw_fd(), read: !write, write };
    Stop::Wait(Wait { ready: vec![interest], timeout: None })
}

/// Which of the events on `fd` are there now.
fn events(fd: BorrowedFd<'_>, wanted: PollFlags) -> Result<PollFlags, Errno> {
    let mut fds = [PollFd::from_borrowed_fd(fd, wanted)];
    loop {
        match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Err(Host::INTR) => {}
            Err(other) => return Err(other.into()),
            Ok(_) => {
                let [fd] = &fds;
                return Ok(fd.revents());
            }
        }
    }
}

/// Stops unless `fd` is ready, where waiting inside the system call is not allowed.
pub(crate) fn ready(fd: BorrowedFd<'_>, write: bool, patience: Patience) -> Result<(), Stop> {
    let wanted = if write { PollFlags::OUT } else { PollFlags::IN };
    if patience == Patience::Block || !events(fd, wanted)?.is_empty() {
        return Ok(());
    }
    Err(not_ready(fd, write, patience))
}

/// Calls `call` until no signal interrupts it; a descriptor that is not ready after all stops.
pub(crate) fn retried<T>(
    fd: BorrowedFd<'_>,
    write: bool,
    patience: Patience,
    mut call: impl FnMut() -> rustix::io::Result<T>,
) -> Result<T, Stop> {
    loop {
        match call() {
            Err(Host::INTR) => {}
            // The descriptor does not block by itself; the guest did not ask for that.
            Err(Host::AGAIN) => return Err(not_ready(fd, write, patience)),
            other => return Ok(other?),
        }
    }
}

/// Reads from something that is no file.
pub(crate) fn read_stream(
    fd: BorrowedFd<'_>,
    kind: Kind,
    patience: Patience,
    into: &mut [u8],
) -> Result<usize, Stop> {
    ready(fd, false, patience)?;
    if kind.is_socket() {
        let flags = receive_flags(patience);
        return retried(fd, false, patience, || recv(fd, &mut *into, flags).map(|(n, _)| n));
    }
    retried(fd, false, patience, || read(fd, &mut *into))
}

pub(crate) fn receive_flags(patience: Patience) -> RecvFlags {
    match patience {
        Patience::Block => RecvFlags::empty(),
        Patience::Yield | Patience::Never => RecvFlags::DONTWAIT,
    }
}

/// Writes to something that is no file.
pub(crate) fn write_stream(
    fd: BorrowedFd<'_>,
    kind: Kind,
    patience: Patience,
    slices: &[IoSlice<'_>],
) -> Result<usize, Stop> {
    ready(fd, true, patience)?;
    match kind {
        Kind::Connection | Kind::Datagram | Kind::Listener => send(fd, patience, slices),
        Kind::Pipe => write_pipe(fd, patience, slices),
        Kind::Character | Kind::Regular | Kind::Block => {
            let few = sparing(patience, slices);
            retried(fd, true, patience, || writev(fd, few.as_deref().unwrap_or(slices)))
        }
    }
}

/// Sends on a socket. No signal when nobody receives.
pub(crate) fn send(
    fd: BorrowedFd<'_>,
    patience: Patience,
    slices: &[IoSlice<'_>],
) -> Result<usize, Stop> {
    let flags = match patience {
        Patience::Block => SendFlags::NOSIGNAL,
        Patience::Yield | Patience::Never => SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    };
    retried(fd, true, patience, || sendmsg(fd, slices, &mut SendAncillaryBuffer::default(), flags))
}

fn write_pipe(
    fd: BorrowedFd<'_>,
    patience: Patience,
    slices: &[IoSlice<'_>],
) -> Result<usize, Stop> {
    if !NO_SIGNAL_UNKNOWN.load(Ordering::Relaxed) {
        let flags = match patience {
            Patience::Block => NO_SIGNAL,
            Patience::Yield | Patience::Never => NO_SIGNAL | ReadWriteFlags::NOWAIT,
        };
        match retried(fd, true, patience, || pwritev2(fd, slices, CURRENT, flags)) {
            Err(Stop::Errno(Errno::Notsup | Errno::Inval)) => {
                // Some things that write like pipes know no flags; the next attempt is as cheap.
                if pwritev2(fd, &[], CURRENT, NO_SIGNAL).is_err() {
                    NO_SIGNAL_UNKNOWN.store(true, Ordering::Relaxed);
                }
            }
            other => return other,
        }
    }
    // A reader that goes away between these two calls would cost the process a SIGPIPE; servers
    // ignore that signal.
    if events(fd, PollFlags::OUT)?.contains(PollFlags::ERR) {
        return Err(Stop::Errno(Errno::Pipe));
    }
    let few = sparing(patience, slices);
    retried(fd, true, patience, || writev(fd, few.as_deref().unwrap_or(slices)))
}

/// Where waiting is forbidden: the beginning of `slices` that is sure to fit.
fn sparing<'s>(patience: Patience, slices: &'s [IoSlice<'s>]) -> Option<Vec<IoSlice<'s>>> {
    if patience == Patience::Block {
        return None;
    }
    let first = slices.first()?;
    let len = first.len().min(ALWAYS_FITS);
    Some(vec![IoSlice::new(first.get(..len).unwrap_or(first))])
}
