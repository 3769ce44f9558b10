//! A child process that does one thing and ends, and that the rest of the host does not notice.
//!
//! Hosts have SIGCHLD handlers and wait for any child of theirs. So the child is made by `clone3`
//! without a signal at its end: it raises no SIGCHLD, and only a wait that asks for such children
//! (`__WALL`) finds it. It is known by a pidfd, never by its number, which could come to mean
//! another process.
//!
//! `clone3` makes the C library's locks (malloc's, above all) stay as they are, and another thread
//! may hold one. It is therefore used only while the process has a single thread. With more of
//! them `fork` it is, which takes care of those locks; then there *is* a SIGCHLD, and the host may
//! even reap the child before we do, which does no harm.

use super::{errno_error, interrupt, signals};
use crate::error::Result;
use nix::errno::Errno;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// A child process. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Child {
    /// `None`: it was reaped by somebody else before it could be looked at.
    pidfd: Option<OwnedFd>,
    reaped: bool,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With an exit code.
    Exited(i32),
    /// By a signal.
    Killed(i32),
    /// Somebody else knows.
    Unknown,
}

/// `struct clone_args` of linux/sched.h, first version.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// Number of threads of this process, as far as /proc tells; many if it does not.
fn threads() -> usize {
    let mut line = [0; 1024];
    let file = std::fs::File::open("/proc/self/stat");
    let n = file.and_then(|f| f.read_at(&mut line, 0)).unwrap_or(0);
    let line = String::from_utf8_lossy(line.get(..n).unwrap_or_default());
    // The second field is the program's name, with any characters; the threads' number is the 20th.
    let fields = line.rsplit_once(") ").map(|(_, rest)| rest.split(' '));
    fields.and_then(|mut f| f.nth(17)?.parse().ok()).unwrap_or(usize::MAX)
}

/// The child's pidfd, or `None` in the child; an error where the system call is missing.
fn quiet_fork() -> std::result::Result<Option<OwnedFd>, Errno> {
    let mut pidfd = -1i32;
    let args = CloneArgs {
        flags: libc::CLONE_PIDFD as u64,
        pidfd: std::ptr::from_mut(&mut pidfd).expose_provenance() as u64,
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM the child has a copy of all memory and goes on behind this call like
    // after fork; this is the only thread, so nobody holds a lock that the child would miss.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &args, size_of::<CloneArgs>()) };
    match pid {
        0 => Ok(None),
        // SAFETY: the kernel made the descriptor for us.
        1.. => Ok(Some(unsafe { OwnedFd::from_raw_fd(pidfd) })),
        _ => Err(Errno::last()),
    }
}

/// The same by `fork`.
fn loud_fork() -> Result<Option<Option<OwnedFd>>> {
    // SAFETY: the child has a copy of all memory, and locks of the C library are free in it. What
    // it does with other locks is the caller's business, see `spawn`.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        return Ok(None);
    }
    if pid < 0 {
        return Err(errno_error("making a child process", Errno::last()));
    }
    // SAFETY: a plain system call; the descriptor it makes is ours.
    let fd = unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd as i32))
    };
    match (fd, Errno::last()) {
        (Some(fd), _) => Ok(Some(Some(fd))),
        // The host waits for any child in another thread.
        (None, Errno::ESRCH) => Ok(Some(None)),
        (None, e) => {
            // SAFETY: plain system calls on our own child, which nobody reaped.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
                libc::waitpid(pid, std::ptr::null_mut(), 0);
            }
            Err(errno_error("watching the child process (pidfd_open)", e))
        }
    }
}

/// Runs `work` in a child process, which ends with the code it returns; 101 if it panics. The child
/// uses at most `cpu` (rounded up to seconds) of processor time, leaves no core file, dies with
/// this thread, and has the default action for every signal but those of the library.
///
/// `work` sees the memory as it is now. With several threads, locks that other threads hold are
/// held for ever in it, except the C library's and lucet's own.
///
/// # Errors
/// `OutOfMemory`, `Io` when the system refuses.
pub fn spawn(cpu: Duration, work: impl FnOnce() -> i32) -> Result<Child> {
    // SAFETY: a plain system call.
    let parent = unsafe { libc::getpid() };
    let forked = match if threads() == 1 { quiet_fork() } else { Err(Errno::ENOSYS) } {
        Ok(fd) => {
            if fd.is_none() {
                interrupt::run_in_child();
            }
            fd.map(Some)
        }
        Err(Errno::ENOSYS | Errno::EPERM | Errno::EINVAL) => loud_fork()?,
        Err(e) => return Err(errno_error("making a child process", e)),
    };
    if let Some(pidfd) = forked {
        return Ok(Child { pidfd, reaped: false });
    }
    let code = catch_unwind(AssertUnwindSafe(|| {
        settle(parent, cpu);
        work()
    }));
    // SAFETY: ends the process at once, without what the host registered for its end.
    unsafe { libc::_exit(code.unwrap_or(101)) }
}

/// What makes the child one of ours and not the host's.
fn settle(parent: i32, cpu: Duration) {
    let seconds = cpu.as_secs().saturating_add(1);
    let cpu = libc::rlimit { rlim_cur: seconds, rlim_max: seconds };
    let core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: plain system calls with valid pointers; handlers of the host, which would speak to
    // the parent's event loop through inherited descriptors, are taken out.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != parent {
            libc::_exit(0);
        }
        libc::setrlimit(libc::RLIMIT_CPU, &cpu);
        libc::setrlimit(libc::RLIMIT_CORE, &core);
        for signal in 1..=64 {
            let mut old: libc::sigaction = std::mem::zeroed();
            let found = libc::sigaction(signal, std::ptr::null(), &mut old) == 0;
            let handled = found && ![libc::SIG_DFL, libc::SIG_IGN].contains(&old.sa_sigaction);
            if handled && !signals::is_ours(signal) && signal != interrupt::SIGNAL {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
}

impl Child {
    /// Waits until the child ended or the time has come; `true`: it ended.
    ///
    /// # Errors
    /// `Io`, which does not happen.
    pub fn wait_until(&self, deadline: Instant) -> Result<bool> {
        let Some(fd) = &self.pidfd else { return Ok(true) };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Rounded up, so as not to look several times in the last millisecond.
            let ms = left.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i32;
            let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid structure.
            match unsafe { libc::poll(&mut poll, 1, ms) } {
                0 if ms == 0 || Instant::now() >= deadline => return Ok(false),
                1.. => return Ok(true),
                -1 if Errno::last() != Errno::EINTR => {
                    return Err(errno_error("waiting for the child process", Errno::last()));
                }
                _ => {}
            }
        }
    }

    /// Ends it at once, if it did not end.
    pub fn kill(&self) {
        if let Some(fd) = &self.pidfd {
            // SAFETY: a plain system call; a child that ended makes it fail, which is as good.
            unsafe {
                let null = std::ptr::null::<libc::siginfo_t>();
                libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), libc::SIGKILL, null, 0)
            };
        }
    }

    /// Waits for its end and says how it came.
    pub fn reap(mut self) -> Ended {
        self.take_end()
    }

    fn take_end(&mut self) -> Ended {
        self.reaped = true;
        let Some(fd) = &self.pidfd else { return Ended::Unknown };
        loop {
            // SAFETY: zero is a valid value, and the system call fills it.
            let (failed, info) = unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                let how = libc::WEXITED | libc::__WALL;
                let n = libc::waitid(libc::P_PIDFD, fd.as_raw_fd() as u32, &mut info, how);
                (n != 0, info)
            };
            if failed && Errno::last() == Errno::EINTR {
                continue;
            }
            // SAFETY: filled by a successful wait for a child.
            let status = if failed { 0 } else { unsafe { info.si_status() } };
            return match info.si_code {
                _ if failed => Ended::Unknown,
                libc::CLD_EXITED => Ended::Exited(status),
                _ => Ended::Killed(status),
            };
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            self.take_end();
        }
    }
}
