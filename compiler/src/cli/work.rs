//! Runs the compiler on a thread of its own, and waits.
//!
//! The thread has a large stack because some passes of the libraries beneath (text parser, code
//! generator) recurse as deep as a module nests, and nesting is the input's choice. Only address
//! space is spent on it. A panic ends that thread, not the program, and becomes a diagnostic of
//! class [`Class::Internal`]; waiting gives the chance to show that something is going on.

use super::args::{Emit, Job};
use super::message::Format;
use lucetc::{Class, Diagnostic, Errors, Options, Text};
use std::io::{IsTerminal, Write};
use std::panic;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Stack of the compiling thread: 32 times the usual 8 MiB, so that what a 256 MiB module can nest
/// within the parsers' own limits does not reach its end.
const STACK_BYTES: usize = 256 << 20;

/// How often progress is shown, and how long nothing is.
const TICK: Duration = Duration::from_secs(1);

/// Compiles the module to what the job asks for.
pub fn compile(module: Vec<u8>, options: Options, job: &Job) -> Result<Vec<u8>, Errors> {
    let panicked = quiet_panics();
    let emit = job.emit;
    let (send, receive) = channel();
    let worker =
        thread::Builder::new().name("lucetc".into()).stack_size(STACK_BYTES).spawn(move || {
            let result = produce(&module, &options, emit);
            // If nobody listens any more, nobody wants to know.
            let _ = send.send(result);
        });
    if let Err(e) = worker {
        let m = format!("cannot start a thread: {e}");
        return Err(Diagnostic::new(Class::Usage, m).help("raise the memory limit").into());
    }
    let mut progress = Progress::new(job);
    loop {
        match receive.recv_timeout(TICK) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) => progress.show(),
            Err(RecvTimeoutError::Disconnected) => {
                let what = panicked.lock().map_or(String::new(), |p| p.clone());
                let d = Diagnostic::new(Class::Internal, format!("lucetc panicked: {what}"));
                return Err(d.help("this is a bug: please report it with the module").into());
            }
        }
    }
}

fn produce(module: &[u8], options: &Options, emit: Emit) -> Result<Vec<u8>, Errors> {
    match emit {
        Emit::So => lucetc::compile(module, options),
        Emit::Obj => lucetc::emit::emit_object(&lucetc::compile_to_model(module, options)?),
        Emit::Clif => text(module, options, Text::Clif),
        Emit::Asm => text(module, options, Text::Asm),
    }
}

fn text(module: &[u8], options: &Options, what: Text) -> Result<Vec<u8>, Errors> {
    lucetc::compile_to_text(module, options, what).map(String::into_bytes)
}

/// Keeps what a panic says instead of printing it: it is part of the diagnostic. With
/// `RUST_BACKTRACE` set it is printed as well.
fn quiet_panics() -> Arc<Mutex<String>> {
    let kept = Arc::new(Mutex::new(String::new()));
    let keep = Arc::clone(&kept);
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if let Ok(mut k) = keep.lock() {
            *k = info.to_string();
        }
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            usual(info);
        }
    }));
    kept
}

/// One line on a terminal that says for how long lucetc has been at work, removed at the end.
struct Progress {
    name: Option<String>,
    start: Instant,
    shown: bool,
}

impl Progress {
    fn new(job: &Job) -> Self {
        let wanted = job.format == Format::Text && std::io::stderr().is_terminal();
        let name = wanted.then(|| job.input.name().chars().filter(|c| !c.is_control()).collect());
        Self { name, start: Instant::now(), shown: false }
    }

    fn show(&mut self) {
        if let Some(name) = &self.name {
            let seconds = self.start.elapsed().as_secs();
            // Progress that cannot be shown is no reason to fail.
            let _ = write!(std::io::stderr(), "\r\x1b[Klucetc: compiling {name} ({seconds} s)");
            self.shown = true;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
