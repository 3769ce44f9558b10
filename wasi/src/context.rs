//! One instance's part of WASI: what it opened, what it consumed, what it waits for.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use crate::abi::Call;
use crate::clocks::ClockSource;
use crate::random::RandomSource;
use crate::table::{Entry, Table};
use crate::template::Template;
use crate::types::{Errno, Rights};

/// What a call comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The number that the import returns to the guest; `Errno::Success` when it worked.
    Errno(Errno),
    /// The guest ends here, with this code.
    Exit(u32),
    /// Nothing was done yet; call [`crate::abi::resume`] when something of this has come. Only
    /// contexts that do not block answer this.
    Wait(Wait),
}

/// What a suspended call waits for: any of the descriptors, or the time. With neither, it waits for
/// a callback that said `Errno::Again`; the embedder knows when that has something to say.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Wait {
    /// Descriptors of the host's. They stay open while the call is suspended.
    pub ready: Vec<Interest>,
    /// From now on.
    pub timeout: Option<Duration>,
}

/// A descriptor to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The host's descriptor.
    pub fd: RawFd,
    /// Until it can be read, or a connection accepted.
    pub read: bool,
    /// Until it can be written.
    pub write: bool,
}

/// What of the outside world an instance has seen that a copy of it should not share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Observed {
    /// It read a clock.
    pub clocks: bool,
    /// It took random bytes.
    pub random: bool,
}

/// What went to a standard stream that has no descriptor.
#[derive(Default)]
pub(crate) struct Produced {
    pub taken: u64,
    pub bytes: Vec<u8>,
}

/// The WASI state of one instance.
pub struct Context {
    pub(crate) template: Arc<Template>,
    pub(crate) table: Table,
    pub(crate) user: u64,
    pub(crate) stdin: Option<Vec<u8>>,
    pub(crate) stdin_at: usize,
    pub(crate) stdout: Produced,
    pub(crate) stderr: Produced,
    /// Bytes written to files.
    pub(crate) written: u64,
    /// Virtual time.
    pub(crate) elapsed: u64,
    /// Words taken of a seeded sequence.
    pub(crate) random_at: u64,
    pub(crate) observed: Observed,
    pub(crate) pending: Option<Call>,
}

impl Context {
    /// A context as the template says. Allocates nothing and makes no system call.
    pub fn new(template: &Arc<Template>) -> Context {
        Context {
            template: Arc::clone(template),
            table: Table::new(),
            user: 0,
            stdin: None,
            stdin_at: 0,
            stdout: Produced::default(),
            stderr: Produced::default(),
            written: 0,
            elapsed: 0,
            random_at: 0,
            observed: Observed::default(),
            pending: None,
        }
    }

    /// The template that it was made from.
    pub fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// Sets what callbacks are told about whose call it is. 0 until then.
    pub fn set_user(&mut self, user: u64) {
        self.user = user;
    }

    /// Gives this context a standard input of its own, in place of the template's bytes. Without
    /// effect on standard input that is a descriptor or a callback.
    pub fn set_stdin(&mut self, bytes: Vec<u8>) {
        self.stdin = Some(bytes);
        self.stdin_at = 0;
    }

    /// What was written to captured standard output and error so far.
    pub fn output(&self) -> (&[u8], &[u8]) {
        (&self.stdout.bytes, &self.stderr.bytes)
    }

    /// What of the outside world was seen. A snapshot of an instance that saw something repeats it
    /// in every copy.
    pub fn observed(&self) -> Observed {
        // Every context of the template sees the same of these, copies or not.
        let of_template = matches!(self.template.clocks, ClockSource::Virtual { .. });
        let seeded = matches!(self.template.random, RandomSource::Seeded(_));
        let Observed { clocks, random } = self.observed;
        Observed { clocks: clocks && !of_template, random: random && !seeded }
    }

    /// Whether a call is suspended.
    pub fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// The entry of `fd`, if it has all of `rights`.
    pub(crate) fn entry(&self, fd: u32, rights: Rights) -> Result<&Entry, Errno> {
        self.table.get(&self.template.entries, fd)?.need(rights)
    }

    /// The same, to change it.
    pub(crate) fn entry_mut(&mut self, fd: u32, rights: Rights) -> Result<&mut Entry, Errno> {
        self.entry(fd, rights)?;
        self.table.get_mut(&self.template.entries, fd)
    }

    /// The host's descriptor with this number, if an entry of this context has it.
    pub(crate) fn host_descriptor(&self, raw: RawFd) -> Option<BorrowedFd<'_>> {
        let entries = self.table.entries(&self.template.entries);
        entries.filter_map(Entry::host).find(|fd| fd.as_raw_fd() == raw)
    }
}
