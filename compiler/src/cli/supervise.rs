//! Compiles in a process of its own, which may fail in any way without taking the command with it.
//!
//! ```text
//!  lucetc ARGUMENTS ──start──► lucetc --child ARGUMENTS     limits its memory, wants no core dump,
//!    │  policy, module ─stdin►   │                          ends when its parent does
//!    │  ◄──────────stderr──────  │ compiles, writes the output
//!    └─ waits, shows progress, and at the end of the time kills it
//! ```
//!
//! The library looks at limits wherever it can, and what it notices has the better message. It
//! cannot survive that memory runs out, nor end a pass of the code generator that takes too long;
//! both end the child, and the parent says so. The arguments are the same, so parent and child
//! agree on everything. The parent alone reads files, for both: the module, because its size
//! decides on time and memory; the policy, because a pipe can be read once only.
//!
//! An artifact that is to be signed comes back through a pipe, and the parent signs and writes it:
//! the process that takes a stranger's module apart has no key.

use super::args::{Job, Place};
use super::message::Format;
use super::output::Target;
use lucet_artifact::limits::MAX_ARTIFACT_BYTES;
use lucetc::limits::Limit;
use lucetc::{Class, Diagnostic, Errors, Options};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The first argument of a child.
pub const CHILD: &str = "--child";

/// How often progress is shown, and how long nothing is.
const TICK: Duration = Duration::from_secs(1);

/// What the child may go on beyond its time, to notice that itself and to write what it has.
const GRACE: Duration = Duration::from_secs(4);

/// Most bytes of the child's messages that are passed on.
const MAX_MESSAGES: u64 = 1 << 20;

/// How a supervised compilation ended.
pub enum Ended {
    /// The child made an artifact, which is to be signed and written here.
    Artifact(Vec<u8>),
    /// The child came to its end and said what there was to say.
    Code(u8),
    /// It did not.
    Failed(Errors),
}

/// In the child: limits what it can do, before anything else. What cannot be limited here is still
/// bounded by the library.
pub fn limit_self(options: &Options, bytes: usize) {
    let _ = set_pdeathsig(Signal::SIGKILL);
    lower(Resource::RLIMIT_CORE, 0);
    lower(Resource::RLIMIT_DATA, options.limits.memory(bytes as u64));
}

fn lower(resource: Resource, to: u64) {
    if let Ok((soft, hard)) = getrlimit(resource) {
        let _ = setrlimit(resource, soft.min(to), hard.min(to));
    }
}

/// Starts a child with the same arguments, gives it the module and waits for it.
pub fn run(
    job: &Job,
    options: &Options,
    arguments: &[OsString],
    policy: Option<&str>,
    module: Vec<u8>,
) -> Ended {
    let time = options.limits.time(module.len() as u64);
    let memory = options.limits.memory(module.len() as u64);
    let policy = encode(policy);
    let begun = Instant::now();
    let started = start(arguments, job.is_signed()).and_then(|mut child| {
        let talk = talk(&mut child, policy, module).and_then(|m| Ok((m, collect(&mut child)?)));
        match talk {
            Ok((messages, artifact)) => Ok((child, messages, artifact)),
            Err(e) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(e)
            }
        }
    });
    let (mut child, messages, artifact) = match started {
        Ok(started) => started,
        Err(e) => {
            let m = format!("cannot start a process to compile in: {e}");
            let d = Diagnostic::new(Class::Usage, m);
            let help = "raise the limit of processes, or use --in-process";
            return Ended::Failed(d.help(help).into());
        }
    };
    let mut progress = Progress::new(job);
    let mut killed = false;
    let said = loop {
        let left = (time + GRACE).saturating_sub(begun.elapsed());
        match messages.recv_timeout(left.min(TICK)) {
            Ok(said) => break said,
            Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                killed = true;
                let _ = child.kill();
            }
            Err(RecvTimeoutError::Timeout) => progress.show(),
            Err(RecvTimeoutError::Disconnected) => break Vec::new(),
        }
        if killed {
            break Vec::new();
        }
    };
    drop(progress);
    let id = child.id();
    let status = child.wait();
    if killed {
        clean(job, id);
        let m = format!("the module was not compiled within {} s", time.as_secs());
        let help = "split it, use -O0, or raise the limit with --limit time=SECONDS";
        return Ended::Failed(Diagnostic::new(Class::Limit, m).help(help).into());
    }
    match status {
        Ok(status) if status.success() && job.is_signed() => {
            // All there is to say is a word about something that went well.
            let _ = io::stderr().write_all(&said);
            artifact.recv().map_or_else(
                |_| Ended::Failed(Diagnostic::new(Class::Internal, "the artifact was lost").into()),
                Ended::Artifact,
            )
        }
        Ok(status) => ended(job, id, status, &said, memory),
        Err(e) => {
            let m = format!("cannot wait for the process that compiles: {e}");
            Ended::Failed(Diagnostic::new(Class::Internal, m).into())
        }
    }
}

fn start(arguments: &[OsString], collect: bool) -> io::Result<Child> {
    // The running program itself, even if its file was replaced meanwhile.
    Command::new("/proc/self/exe")
        .arg(CHILD)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(if collect { Stdio::piped() } else { Stdio::inherit() })
        .stderr(Stdio::piped())
        .spawn()
}

/// Gives the child what it reads, and reads its messages to their end: on a thread, because a child
/// that hangs does neither.
fn talk(child: &mut Child, policy: Vec<u8>, module: Vec<u8>) -> io::Result<Receiver<Vec<u8>>> {
    let (send, receive) = channel();
    let (to, from) = (child.stdin.take(), child.stderr.take());
    let talk = move || {
        let (Some(mut to), Some(mut from)) = (to, from) else { return };
        // A child that ends early does not read on.
        let _ = to.write_all(&policy).and_then(|()| to.write_all(&module));
        drop((to, policy, module));
        let mut said = Vec::new();
        let _ = from.by_ref().take(MAX_MESSAGES).read_to_end(&mut said);
        let _ = io::copy(&mut from, &mut io::sink());
        let _ = send.send(said);
    };
    thread::Builder::new().name("messages".into()).spawn(talk)?;
    Ok(receive)
}

/// Reads the artifact that is to be signed to its end, on a thread. Nothing comes if the child has
/// this process's standard output.
fn collect(child: &mut Child) -> io::Result<Receiver<Vec<u8>>> {
    let (send, receive) = channel();
    if let Some(from) = child.stdout.take() {
        let read = move || {
            let mut artifact = Vec::new();
            if from.take(MAX_ARTIFACT_BYTES).read_to_end(&mut artifact).is_ok() {
                let _ = send.send(artifact);
            }
        };
        thread::Builder::new().name("artifact".into()).spawn(read)?;
    }
    Ok(receive)
}

/// The policy as the child reads it: the length of the text and one more, or 0; the text.
fn encode(policy: Option<&str>) -> Vec<u8> {
    let Some(text) = policy else { return vec![0; 8] };
    let mut bytes = (text.len() as u64 + 1).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Passes on what the child said, or says why it could not.
fn ended(job: &Job, id: u32, status: ExitStatus, said: &[u8], memory: u64) -> Ended {
    if let Some(code) = status.code() {
        // There is nobody left to tell if this fails; the exit code still says it.
        let _ = io::stderr().write_all(said);
        return Ended::Code(u8::try_from(code).unwrap_or(70));
    }
    clean(job, id);
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        let _ = io::stderr().write_all(said);
    }
    let text = String::from_utf8_lossy(said);
    let signal = status.signal().unwrap_or_default();
    let d = if text.contains("memory allocation of") {
        let name = Limit::Memory.row().name;
        let m = format!("compiling the module takes more than {} MiB of memory", memory >> 20);
        let help =
            format!("split it, use -j1 or -O0, or raise the limit with --limit {name}=BYTES");
        Diagnostic::new(Class::Limit, m).help(help)
    } else if signal == Signal::SIGKILL as i32 {
        let m = "the process that compiles was killed: the system is short of memory, or somebody \
                 did it";
        Diagnostic::new(Class::Limit, m).help("try again with -j1, or on a larger machine")
    } else {
        let m = format!("the process that compiles crashed (signal {signal})");
        Diagnostic::new(Class::Internal, m)
    };
    Ended::Failed(d.into())
}

/// Removes what a child that was killed while it wrote left behind.
fn clean(job: &Job, id: u32) {
    if let Ok(target) = Target::prepare(job) {
        target.remove_temporary(id);
    }
}

/// One line on a terminal that says for how long lucetc has been at work, removed at the end.
struct Progress {
    name: Option<String>,
    start: Instant,
    shown: bool,
}

impl Progress {
    fn new(job: &Job) -> Self {
        let wanted = job.format == Format::Text && io::stderr().is_terminal();
        let name = wanted.then(|| job.input.name().chars().filter(|c| !c.is_control()).collect());
        Self { name, start: Instant::now(), shown: false }
    }

    fn show(&mut self) {
        if let Some(name) = &self.name {
            let seconds = self.start.elapsed().as_secs();
            // Progress that cannot be shown is no reason to fail.
            let _ = write!(io::stderr(), "\r\x1b[Klucetc: compiling {name} ({seconds} s)");
            self.shown = true;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// In the child: policy and module as its parent read them.
pub fn receive() -> Result<(Option<String>, Vec<u8>), Errors> {
    let policy = decode(&mut io::stdin().lock()).map_err(|e| {
        let m = format!("the parent of this process does not say what to compile: {e}");
        Diagnostic::new(Class::Internal, m)
    })?;
    Ok((policy, super::input::whole(&Place::Std)?))
}

fn decode(from: &mut impl Read) -> io::Result<Option<String>> {
    let mut len = [0; 8];
    from.read_exact(&mut len)?;
    let Some(len) = u64::from_le_bytes(len).checked_sub(1) else { return Ok(None) };
    let mut text = String::new();
    if from.take(len).read_to_string(&mut text)? as u64 != len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(text))
}
