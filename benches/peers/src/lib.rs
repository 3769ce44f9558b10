//! What the measuring programs in Rust share: the same requests and answers as `workers/worker.h`.
//!
//! A worker has rows. Each does `n` of one operation and says how many nanoseconds that took,
//! preparation not included. `make bench` asks several workers in turns, so that a disturbance of
//! the machine meets all of them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

/// One row: its name, and what does `n` operations and returns the nanoseconds they took.
pub type Row<'a> = (String, Box<dyn FnMut(u64) -> f64 + 'a>);

/// Answers requests until the input ends.
///
/// # Errors
/// When the other end is gone.
pub fn serve(mut rows: Vec<Row>) -> std::io::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (n, name) = line.split_once(' ').unwrap_or(("0", ""));
        let n: u64 = n.parse().unwrap_or(0);
        match rows.iter_mut().find(|(row, _)| row == name) {
            Some((_, run)) if n > 0 => {
                DISTURBED.store(false, Ordering::Relaxed);
                let t = run(n);
                let word = if DISTURBED.load(Ordering::Relaxed) { " disturbed" } else { "" };
                println!("{t:.1}{word}");
            }
            _ => println!("?"),
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Nanoseconds for which this thread (or this process) was on a processor, in the kernel included:
/// what other processes of a busy machine use is not in it.
fn processor_time(clock: libc::clockid_t) -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is writable.
    unsafe { libc::clock_gettime(clock, &raw mut t) };
    t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
}

/// Nanoseconds that `f` takes of a processor. For what happens on one thread and never waits.
pub fn time(f: impl FnOnce()) -> f64 {
    let begin = processor_time(libc::CLOCK_THREAD_CPUTIME_ID);
    f();
    processor_time(libc::CLOCK_THREAD_CPUTIME_ID) - begin
}

/// The same for what may start threads: what all of them take.
pub fn process_time(f: impl FnOnce()) -> f64 {
    let begin = processor_time(libc::CLOCK_PROCESS_CPUTIME_ID);
    f();
    processor_time(libc::CLOCK_PROCESS_CPUTIME_ID) - begin
}

/// Nanoseconds that pass while `f` runs.
pub fn wall_time(f: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    f();
    begin.elapsed().as_nanos() as f64
}

/// How often the processor was taken from this thread.
fn preempted() -> i64 {
    // SAFETY: all zero is a value of this plain structure.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is writable.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    usage.ru_nivcsw
}

/// Whether one of two threads or processes lost its processor in the last row.
static DISTURBED: AtomicBool = AtomicBool::new(false);

/// Wall time of `f` as one of two that run at the same time.
pub fn half(f: impl FnOnce()) -> f64 {
    let before = preempted();
    let t = wall_time(f);
    if preempted() > before {
        DISTURBED.store(true, Ordering::Relaxed);
    }
    t
}

/// Nanoseconds of `n` operations at the rate that two threads have together.
pub fn two_threads(run: impl Fn(u64) + Sync, n: u64) -> f64 {
    let arrived = AtomicU32::new(0);
    let one = || {
        arrived.fetch_add(1, Ordering::AcqRel);
        while arrived.load(Ordering::Acquire) < 2 {
            std::hint::spin_loop();
        }
        half(|| run(n))
    };
    std::thread::scope(|scope| {
        let second = scope.spawn(one);
        let first = one();
        together(first, second.join().expect("the second thread"))
    })
}

/// Nanoseconds of `n` operations at the rate of both, from what each needed.
#[must_use]
pub fn together(first: f64, second: f64) -> f64 {
    1.0 / (1.0 / first + 1.0 / second)
}

/// What a worker measured.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Nanoseconds, in most rows.
    pub value: f64,
    /// It should not count: something else was on the processor.
    pub disturbed: bool,
}

/// A worker process.
pub struct Worker {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts `program` with `arguments` and `--serve`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(program: &str, arguments: &[String]) -> Result<Self, String> {
        let mut child = Command::new(program)
            .args(arguments)
            .arg("--serve")
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{program}: {e}"))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("{program}: no pipes"));
        };
        Ok(Self { child, to, from: BufReader::new(from) })
    }

    /// Asks for `n` operations of `row`, without waiting for the answer.
    ///
    /// # Errors
    /// If the worker is gone.
    pub fn ask(&mut self, row: &str, n: u64) -> Result<(), String> {
        writeln!(self.to, "{n} {row}").and_then(|()| self.to.flush()).map_err(|e| e.to_string())
    }

    /// The answer, or `None` if the worker has no such row.
    ///
    /// # Errors
    /// If the worker is gone.
    pub fn answer(&mut self) -> Result<Option<Answer>, String> {
        let mut line = String::new();
        match self.from.read_line(&mut line) {
            Ok(0) => Err(format!("a worker ended: {:?}", self.child.wait())),
            Ok(_) => {
                let mut words = line.split_whitespace();
                let value = words.next().and_then(|w| w.parse().ok());
                let disturbed = words.next().is_some();
                Ok(value.map(|value| Answer { value, disturbed }))
            }
            Err(e) => Err(e.to_string()),
        }
    }

    /// Asks and waits.
    ///
    /// # Errors
    /// If the worker is gone.
    pub fn run(&mut self, row: &str, n: u64) -> Result<Option<Answer>, String> {
        self.ask(row, n)?;
        self.answer()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Workers end when their input does; one that hangs is not waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
