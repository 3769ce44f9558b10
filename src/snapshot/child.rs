//! Snapshots from a child process: start-up code may loop, trap or exhaust memory, and the server
//! goes on serving.
//!
//! ```text
//!  parent                                       child
//!  ──────                                       ─────
//!  two memfds: pages, report ── fork ─────────► region, instance, start function, named function
//!  waits until the deadline                     state: pages to one memfd, the rest to the other
//!  reaps, or kills and reaps ◄───── end ─────── _exit
//!  seals the pages, checks the report like an artifact, makes a module
//! ```
//!
//! Code never comes back from the child: the parent takes a *state* for the module that it has. So
//! whoever took over the child can at worst make a guest begin in another state than it got to,
//! which the sandbox is there to bear.

use super::SnapshotOptions;
use crate::error::{Error, Result, Status};
use crate::instance::Instance;
use crate::loader::{Sections, State};
use crate::module::Module;
use crate::outcome::Outcome;
use crate::region::{Region, RegionConfig};
use crate::sys::child::{self, Ended};
use crate::sys::sealed::{SealedFile, memfd, read_at};
use crate::sys::{io_error, reserve};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How to take a snapshot in a child process.
#[derive(Debug, Clone)]
pub struct ChildOptions {
    /// What snapshots are taken with in any case.
    pub snapshot: SnapshotOptions,
    /// Exported function () -> () that is called after the start function, such as `_initialize`.
    pub run: Option<String>,
    /// Wall-clock time after which the child is killed.
    pub time_limit: Duration,
    /// The region that the child makes for the one instance; `slots` and `stacks` do not matter.
    pub region: RegionConfig,
}

impl Default for ChildOptions {
    fn default() -> Self {
        Self {
            snapshot: SnapshotOptions::default(),
            run: None,
            time_limit: Duration::from_secs(10),
            region: RegionConfig::default(),
        }
    }
}

/// First bytes of a complete report: written last.
const COMPLETE: u64 = u64::from_le_bytes(*b"LUCETSN1");
/// Words before the report's contents: [`COMPLETE`], status, and five lengths.
const HEAD_WORDS: usize = 7;
const HEAD: usize = HEAD_WORDS * 8;
/// Largest report that is read, in bytes: all a format's limits allow is 160 MB.
const MAX_REPORT: u64 = 256 << 20;

/// What a child found out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    status: u64,
    sections: Sections,
    image_len: u64,
    message: String,
}

impl Module {
    /// Takes a snapshot of a new instance of this module in a child process. The child is a fork of
    /// this process: it has its user, its limits and its descriptors. Blocks until the child ended.
    ///
    /// In a process with one thread the child goes unnoticed: it raises no SIGCHLD, and
    /// `waitpid(-1)` does not find it. Otherwise there is a SIGCHLD, as with any child; host
    /// functions that the guest calls must then not wait for locks that other threads may hold.
    ///
    /// # Errors
    /// `StartFailed` if start-up ended in any way but returning, took too long, or took the child
    /// with it; those of [`crate::InstanceRef::snapshot`] and [`Instance::new`]; `OutOfMemory`,
    /// `Io`.
    pub fn snapshot_in_child(&self, options: &ChildOptions) -> Result<Arc<Self>> {
        let _room = reserve::room(reserve::ROOM)?;
        let pages = memfd(c"lucet-snapshot")?;
        let file = memfd(c"lucet-report")?;
        let deadline = Instant::now() + options.time_limit.min(Duration::from_secs(1 << 30));
        let child = child::spawn(options.time_limit, || {
            let report = self.take(options, &pages).unwrap_or_else(|e| Report {
                status: e.status() as u64,
                message: e.message().to_owned(),
                ..Report::default()
            });
            i32::from(report.write(&file).is_err())
        })?;
        if !child.wait_until(deadline)? {
            child.kill();
            child.reap();
            let message = format!(
                "start-up for the snapshot did not finish within {}ms: its process was killed",
                options.time_limit.as_millis()
            );
            return Err(Error::new(Status::StartFailed, message));
        }
        let ended = child.reap();
        let Some(report) = Report::read(&file)? else { return Err(no_report(ended)) };
        if report.status != Status::Ok as u64 {
            return Err(Error::new(status_of(report.status), report.message));
        }
        let pages = match usize::try_from(report.image_len) {
            Ok(0) => None,
            Ok(len) => Some(SealedFile::from_memfd(pages, len).map_err(not_believed)?),
            Err(_) => return Err(not_believed("the image is too large")),
        };
        let sections = &report.sections;
        let bytes = [&sections.contract, &sections.init, &sections.info].map(Vec::len);
        let _room = super::room(self.core(), bytes.iter().sum())?;
        let state = State::decode(&self.loaded, &report.sections, pages).map_err(not_believed)?;
        Self::from_state(self.core(), state)
    }

    /// In the child.
    fn take(&self, options: &ChildOptions, pages: &File) -> Result<Report> {
        let region = RegionConfig { slots: 1, stacks: 1, ..options.region };
        let instance = Instance::new(&Region::new(region)?, &Self::of(self.core()))?;
        if let Some(name) = &options.run {
            let fail = |what: String| Error::new(Status::StartFailed, format!("\"{name}\" {what}"));
            match instance.run(name, &[])? {
                Outcome::Returned(_) => {}
                Outcome::Trapped(t) => return Err(fail(format!("trapped: {t}"))),
                Outcome::Exited(c) => return Err(fail(format!("exited with code {c}"))),
                Outcome::HostError(c) => return Err(fail(format!("ended with HostError({c})"))),
                Outcome::Exception(e) => return Err(fail(format!("threw: {e}"))),
                other => return Err(fail(format!("ended with {:?}", other.kind()))),
            }
        }
        let impure = instance.control().impure();
        let (captured, info) = instance.when_ready(|i| {
            let info = options.snapshot.judge(&i.module, impure)?;
            Ok((i.capture(pages)?, info))
        })?;
        Ok(Report {
            sections: Sections::encode(&captured.contract, &captured.init, &info)?,
            image_len: captured.image_len as u64,
            ..Report::default()
        })
    }
}

fn no_report(ended: Ended) -> Error {
    let how = match ended {
        Ended::Exited(code) => format!("ended with code {code}"),
        Ended::Killed(libc::SIGKILL) => {
            "was killed (SIGKILL): by the system for want of memory, or for using up its time"
                .into()
        }
        Ended::Killed(signal) => format!("was ended by signal {signal}"),
        Ended::Unknown => "ended".into(),
    };
    let message = format!("the process of the snapshot {how} before there was one");
    Error::new(Status::StartFailed, message)
}

fn not_believed(e: impl std::fmt::Display) -> Error {
    let message = format!("the process of the snapshot gave what is none: {e}");
    Error::new(Status::StartFailed, message)
}

/// The status with this number, of those that a child may end with.
fn status_of(number: u64) -> Status {
    let known = [
        Status::InvalidArgument,
        Status::WrongState,
        Status::OutOfMemory,
        Status::Io,
        Status::MissingImport,
        Status::NoSuchExport,
        Status::ExportTypeMismatch,
        Status::LimitExceeded,
        Status::StartFailed,
        Status::SignalsBlocked,
        Status::Unsupported,
        Status::Impure,
    ];
    known.into_iter().find(|s| *s as u64 == number).unwrap_or(Status::StartFailed)
}

impl Report {
    fn parts(&self) -> [&[u8]; 4] {
        let s = &self.sections;
        [&s.contract, &s.init, &s.info, self.message.as_bytes()]
    }

    /// Contents first, then the head, so that a report that is there is whole.
    fn write(&self, mut file: &File) -> std::io::Result<()> {
        let mut head = vec![COMPLETE, self.status, self.image_len];
        file.write_all(&[0; HEAD])?;
        for part in self.parts() {
            file.write_all(part)?;
            head.push(part.len() as u64);
        }
        let head: Vec<u8> = head.iter().flat_map(|w| w.to_le_bytes()).collect();
        file.write_all_at(&head, 0)
    }

    /// What the child wrote; `None` if it did not finish.
    fn read(file: &File) -> Result<Option<Self>> {
        let mut head = [0; HEAD];
        if read_at(file, &mut head, 0)? != HEAD {
            return Ok(None);
        }
        let mut words = [0u64; HEAD_WORDS];
        for (word, bytes) in words.iter_mut().zip(head.chunks_exact(8)) {
            *word = bytes.try_into().map_or(0, u64::from_le_bytes);
        }
        let [complete, status, image_len, lens @ ..] = words;
        if complete != COMPLETE {
            return Ok(None);
        }
        let len = file.metadata().map_err(|e| io_error("looking at the report", &e))?.len();
        let total = lens.iter().try_fold(HEAD as u64, |sum, n| sum.checked_add(*n));
        if total != Some(len) || len > MAX_REPORT {
            return Err(not_believed("lengths do not fit"));
        }
        let mut at = HEAD as u64;
        let mut next = |n: u64| -> Result<Vec<u8>> {
            let mut bytes = Vec::new();
            bytes
                .try_reserve_exact(n as usize)
                .map_err(|_| Error::new(Status::OutOfMemory, format!("no memory for {n} bytes")))?;
            bytes.resize(n as usize, 0);
            file.read_exact_at(&mut bytes, at).map_err(|e| io_error("reading the report", &e))?;
            at += n;
            Ok(bytes)
        };
        let [contract, init, info, message] = lens;
        let sections = Sections { contract: next(contract)?, init: next(init)?, info: next(info)? };
        let message = String::from_utf8_lossy(&next(message)?).into_owned();
        Ok(Some(Self { status, sections, image_len, message }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Report {
        let sections = Sections { contract: vec![1; 30], init: vec![2; 5], info: vec![3; 6] };
        Report { status: 19, sections, image_len: 8192, message: "it trapped".into() }
    }

    fn bytes() -> Vec<u8> {
        let file = memfd(c"test").unwrap();
        sample().write(&file).unwrap();
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Option<Report>> {
        let file = memfd(c"test").unwrap();
        file.write_all_at(bytes, 0).unwrap();
        Report::read(&file)
    }

    #[test]
    fn reports_are_whole_or_nothing() {
        let good = bytes();
        assert_eq!(read(&good).unwrap(), Some(sample()));
        for n in 0..good.len() {
            assert!(matches!(read(&good[..n]), Ok(None) | Err(_)), "{n} bytes");
        }
        assert!(read(&[&good[..], &[0]].concat()).is_err());
        for at in 24..HEAD {
            let mut b = good.clone();
            b[at] ^= 0x81;
            assert!(read(&b).is_err(), "length at {at}");
        }
        for at in 0..8 {
            let mut b = good.clone();
            b[at] ^= 1;
            assert_eq!(read(&b).unwrap(), None);
        }
    }
}
