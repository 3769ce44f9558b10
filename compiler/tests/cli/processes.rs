//! The process that lucetc compiles in hangs, crashes or is killed: the command ends in time, says
//! what happened, and leaves nothing behind. And what that process is given.
//!
//! An output that is a pipe nobody reads makes it wait for ever, after it has compiled; a signal
//! stops it before.

use crate::{Dir, Run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What takes longer than this does not end.
const PATIENCE: Duration = Duration::from_secs(60);

const SMALL: &str = "(module (func (export \"f\")))";

/// Waits until something is there.
#[track_caller]
fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(t) = found() {
            return t;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_micros(100));
    }
}

fn proc(id: i32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default()
}

/// A running command, killed if the test ends before it.
struct Running {
    command: Child,
    dir: Dir,
}

impl Running {
    fn new(dir: Dir, line: &str) -> Self {
        let to = |name: &str| File::create(dir.path(name)).unwrap();
        let command = Command::new(env!("CARGO_BIN_EXE_lucetc"))
            .args(line.split_whitespace())
            .current_dir(&dir.0)
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(to("stdout"))
            .stderr(to("stderr"))
            .spawn()
            .unwrap();
        Self { command, dir }
    }

    /// The process it compiles in, once that runs lucetc.
    fn compiling(&self) -> Pid {
        let id = self.command.id() as i32;
        let id = wait("a child", || {
            let child = proc(id, &format!("task/{id}/children")).trim().parse().ok()?;
            proc(child, "cmdline").contains("--child").then_some(child)
        });
        Pid::from_raw(id)
    }

    /// The same, once it has the module and limits on itself.
    fn limited(&self) -> Pid {
        let child = self.compiling();
        wait("limits", || {
            let limits = proc(child.as_raw(), "limits");
            let data = limits.lines().find(|l| l.starts_with("Max data size"))?;
            (!data.contains("unlimited")).then_some(())
        });
        child
    }

    /// How it ended, and the names of the files that are there then.
    #[track_caller]
    fn end(mut self) -> (Run, Vec<String>) {
        let code = wait("the end", || self.command.try_wait().unwrap()).code().unwrap_or(-1);
        let stdout = self.dir.read("stdout");
        let stderr = String::from_utf8(self.dir.read("stderr")).unwrap();
        for name in ["stdout", "stderr"] {
            fs::remove_file(self.dir.path(name)).unwrap();
        }
        (Run { code, stdout, stderr }, self.dir.names())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}

/// Compiles a small module to a pipe that nobody reads.
fn to_a_pipe(test: &str, options: &str) -> Running {
    let dir = Dir::new(test);
    dir.write("a.wat", SMALL);
    let made = Command::new("mkfifo").arg(dir.path("pipe")).status().unwrap();
    assert!(made.success());
    Running::new(dir, &format!("a.wat -o pipe {options}"))
}

fn is_gone(id: Pid) -> bool {
    let stat = proc(id.as_raw(), "stat");
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

#[test]
fn a_compilation_that_hangs_is_killed() {
    let running = to_a_pipe("hangs", "--limit time=1");
    let child = running.compiling();
    let (run, names) = running.end();
    run.fails(1, "error[limit]: the module was not compiled within 1 s\n  help: split it");
    assert!(is_gone(child), "it goes on");
    assert_eq!(names, ["a.wat", "pipe"]);
}

/// Stops the child while it reads a large module; says no if it was done before.
fn stopped(module: &[u8]) -> bool {
    let dir = Dir::new("stops");
    dir.write("large.wasm", module);
    let running = Running::new(dir, "large.wasm --limit time=1");
    let child = running.compiling();
    let _ = kill(child, Signal::SIGSTOP);
    // What it would be writing to by and by.
    running.dir.write(&format!(".large.so.{child}.0.tmp"), "");
    let (run, names) = running.end();
    if run.code == 0 {
        return false;
    }
    run.fails(1, "error[limit]: the module was not compiled within 1 s\n  help: split it");
    assert!(is_gone(child), "it goes on");
    assert_eq!(names, ["large.wasm"]);
    true
}

#[test]
fn a_child_that_stops_before_it_has_the_module_is_killed() {
    // More than a pipe holds: a custom section of 64 MiB.
    let mut module = b"\0asm\x01\0\0\0\0\x80\x80\x80\x20".to_vec();
    module.resize(module.len() + (64 << 20), 0);
    assert!((0..10).any(|_| stopped(&module)), "it is too fast");
}

#[test]
fn a_child_that_crashes_is_a_bug() {
    for signal in [Signal::SIGABRT, Signal::SIGILL] {
        let running = to_a_pipe("crashes", "");
        kill(running.limited(), signal).unwrap();
        let (run, names) = running.end();
        let n = signal as i32;
        let what = format!("error[internal]: the process that compiles crashed (signal {n})");
        run.fails(70, &what);
        assert_eq!(names, ["a.wat", "pipe"]);
    }
}

#[test]
fn a_child_that_somebody_kills_is_told_of() {
    let running = to_a_pipe("killed", "");
    kill(running.limited(), Signal::SIGKILL).unwrap();
    let (run, _) = running.end();
    run.fails(1, "error[limit]: the process that compiles was killed").fails(1, "help: try again");
}

#[test]
fn a_child_ends_with_its_parent() {
    let mut running = to_a_pipe("alone", "");
    let child = running.limited();
    running.command.kill().unwrap();
    running.command.wait().unwrap();
    wait("the end of the child", || is_gone(child).then_some(()));
}

/// The child must not read the policy again: there is nothing left in a pipe.
#[test]
fn a_policy_from_a_pipe_counts() {
    let d = Dir::new("policy_from_a_pipe");
    d.write("a.wat", "(module (import \"env\" \"exec\" (func)))");
    let run = |policy: &[u8]| d.run_with("a.wat --policy /dev/stdin -o a.so", policy);
    run(b"[imports]\nenv = [\"log\"]\n").fails(1, "error[policy]: import of function env.exec");
    run(b"[imports]\n").fails(1, "error[policy]: import of function env.exec");
    run(b"[imports").fails(2, "/dev/stdin:1");
    run(b"[imports]\nenv = [\"exec\"]\n[labels]\nname = \"x\"\n").succeeds();
    d.run("a.wat --policy /dev/zero -o a.so").fails(2, "/dev/zero is too large");
}
