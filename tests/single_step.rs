//! A termination at every single instruction between host and guest.
//!
//! A child process runs guests; its parent steps it instruction by instruction (ptrace) through
//! beginning a run, entering, calling a host function and coming back, leaving, trapping, resuming
//! after a yield and after the end of a time slice. Then it does so again for each instruction, and
//! there, with the thread standing still, another thread of the child calls `terminate`, all of it,
//! signal included. Whatever the instruction: the run ends as terminated or as it would have, the
//! request is not lost if the run had begun, and the next run on the thread is not touched.

mod common;

use common::{compile, host, load, region, vmctx};
use lucet::{Imports, Instance, InstanceRef, Module, Outcome, Region};
use lucet_artifact::types::MemoryShape;
use std::collections::HashSet;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

const GUEST: &str = r#"(module
  (import "env" "quick" (func $quick (param i32 f64) (result i32)))
  (import "env" "done" (func $done (result i32)))
  (import "env" "yield" (func $yield (result i32)))
  (memory 1)
  (func $for (param i32)
    (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func $spin (result i32)
    (loop $l (call $for (i32.const 500000)) (br_if $l (i32.eqz (call $done))))
    (call $for (i32.const 8000000))
    (i32.const 7))
  (func (export "in") (result i32)
    (drop (call $quick (i32.const 1) (f64.const 2))) (call $spin))
  (func (export "out") (result i32)
    (i32.add (call $quick (i32.const 3) (f64.const 0)) (i32.const 3)))
  (func (export "yields") (result i32) (drop (call $yield)) (call $spin))
  (func (export "traps") (result i32) unreachable)
  (func (export "ok") (result i32) (i32.const 7)))"#;

extern "C" fn quick(_: *const lucet::Control, _: usize, n: i32, _: f64) -> i32 {
    n + 1
}

/// The termination is over: guests that were to end must not come much further.
static DONE: AtomicBool = AtomicBool::new(false);

extern "C" fn done(_: *const lucet::Control, _: usize) -> i32 {
    i32::from(DONE.load(Ordering::SeqCst))
}

extern "C" fn yields(ctx: *const lucet::Control, _: usize) -> i32 {
    vmctx(ctx).yield_value(1, None, 0).unwrap();
    0
}

/// What is stepped through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Scene {
    /// Entering, a host call, and on for a long time.
    In,
    /// A short run, all of it.
    Out,
    /// Resuming after a yield.
    Resume,
    /// Resuming after the end of a slice.
    Proceed,
    /// Leaving by a trap.
    Trap,
}

const SCENES: [Scene; 5] = [Scene::In, Scene::Out, Scene::Resume, Scene::Proceed, Scene::Trap];

/// Added to a command: nobody will terminate it.
const ALONE: u8 = 16;

const RETURNED: u8 = 1;
const TERMINATED: u8 = 2;
const TRAPPED: u8 = 3;

fn code(o: &Outcome) -> u8 {
    match o {
        Outcome::Returned(v) if *v == [lucet::Val::I32(7)] => RETURNED,
        Outcome::Terminated => TERMINATED,
        Outcome::Trapped(_) => TRAPPED,
        _ => 100,
    }
}

fn pipe() -> [i32; 2] {
    let mut ends = [0; 2];
    // SAFETY: a plain system call with room for two numbers.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    ends
}

fn read_byte(fd: i32) -> u8 {
    let mut b = 0u8;
    // SAFETY: reads one byte into a local.
    while unsafe { libc::read(fd, (&raw mut b).cast(), 1) } != 1 {}
    b
}

fn write_byte(fd: i32, b: u8) {
    // SAFETY: writes one byte from a local.
    assert_eq!(unsafe { libc::write(fd, (&raw const b).cast(), 1) }, 1);
}

fn raise(signal: i32) {
    // SAFETY: a plain call; the tracer takes the signal.
    unsafe { libc::raise(signal) };
}

fn instance(region: &Arc<Region>, module: &Arc<Module>, scene: Scene) -> Instance {
    let i = Instance::new(region, module).unwrap();
    match scene {
        Scene::Resume => assert_eq!(i.run("yields", &[]).unwrap(), Outcome::Yielded(1)),
        Scene::Proceed => {
            i.set_time_slice(300_000).unwrap();
            assert_eq!(i.run("in", &[]).unwrap(), Outcome::Preempted);
        }
        _ => {}
    }
    i
}

/// The traced process: does what the commands say.
fn child(artifact: &[u8], commands: i32, answers: i32, end: i32, ended: i32) -> ! {
    static TARGET: Mutex<Option<InstanceRef>> = Mutex::new(None);
    let mut imports = Imports::new();
    host(&mut imports, "quick", "(i32, f64) -> i32", quick as *const c_void, 0);
    host(&mut imports, "done", "() -> i32", done as *const c_void, 0);
    host(&mut imports, "yield", "() -> i32", yields as *const c_void, 0);
    let (m, r) = (load(artifact, imports).unwrap(), region());
    let find = |name| m.find(name, None).unwrap();
    let (go_in, out, traps, ok) = (find("in"), find("out"), find("traps"), find("ok"));
    let other = Instance::new(&r, &m).unwrap();
    std::thread::spawn(move || {
        loop {
            read_byte(end);
            let target = TARGET.lock().unwrap().unwrap();
            // It may be late: then the instance is gone.
            let _ = target.terminate();
            DONE.store(true, Ordering::SeqCst);
            write_byte(ended, 1);
        }
    });
    // SAFETY: plain calls: should anything hang, the process ends.
    unsafe { libc::alarm(1_000) };
    loop {
        let command = read_byte(commands);
        let scene = SCENES[usize::from(command & 15)];
        DONE.store(false, Ordering::SeqCst);
        let i = instance(&r, &m, scene);
        DONE.store(command & ALONE != 0, Ordering::SeqCst);
        *TARGET.lock().unwrap() = Some(*i);
        raise(libc::SIGUSR1);
        let outcome = match scene {
            Scene::In => i.run_func(go_in, &[]),
            Scene::Out => i.run_func(out, &[]),
            Scene::Resume | Scene::Proceed => i.resume(5),
            Scene::Trap => i.run_func(traps, &[]),
        };
        raise(libc::SIGUSR2);
        let mut end = outcome;
        while end == Ok(Outcome::Preempted) {
            end = i.resume(0);
        }
        // Terminated while it rested: then it cannot be resumed.
        let mut answer = end.as_ref().map_or(TERMINATED, code);
        for _ in 0..3 {
            if code(&other.run_func(ok, &[]).unwrap()) != RETURNED {
                answer = 99;
            }
        }
        write_byte(answers, answer);
    }
}

/// The tracing side.
struct Tracer {
    pid: i32,
    commands: i32,
    answers: i32,
    end: i32,
    ended: i32,
}

impl Tracer {
    fn wait(&self) -> i32 {
        let mut status = 0;
        // SAFETY: waits for our child, with room for its status.
        let pid = unsafe { libc::waitpid(self.pid, &mut status, libc::__WALL) };
        assert_eq!(pid, self.pid);
        assert!(libc::WIFSTOPPED(status), "the child is gone: status {status:#x}");
        libc::WSTOPSIG(status)
    }

    fn go(&self, request: u32, signal: i32) {
        // SAFETY: the child is stopped.
        let done = unsafe { libc::ptrace(request, self.pid, 0usize, signal as usize) };
        assert_eq!(done, 0, "ptrace: {}", std::io::Error::last_os_error());
    }

    fn pc(&self) -> u64 {
        // SAFETY: the child is stopped; the structure has room for its registers.
        unsafe {
            let mut regs: libc::user_regs_struct = std::mem::zeroed();
            libc::ptrace(libc::PTRACE_GETREGS, self.pid, 0usize, &raw mut regs);
            regs.rip
        }
    }

    /// Continues until the child raises `signal`; everything else it gets as it came.
    fn until(&self, signal: i32) {
        let mut pass = 0;
        loop {
            self.go(libc::PTRACE_CONT, pass);
            pass = self.wait();
            if pass == signal {
                return;
            }
        }
    }

    /// One instruction; `false` when the scene is over.
    fn step(&self) -> bool {
        self.go(libc::PTRACE_SINGLESTEP, 0);
        loop {
            match self.wait() {
                libc::SIGTRAP => return true,
                libc::SIGUSR2 => return false,
                other => self.go(libc::PTRACE_SINGLESTEP, other),
            }
        }
    }

    fn begin(&self, scene: Scene, alone: u8) {
        write_byte(self.commands, scene as u8 | alone);
        // It waits for the command, running.
        loop {
            match self.wait() {
                libc::SIGUSR1 => return,
                other => self.go(libc::PTRACE_CONT, other),
            }
        }
    }

    /// The instructions of a scene: at which step each one comes first.
    fn trace(&self, scene: Scene) -> Vec<usize> {
        let (mut seen, mut firsts) = (HashSet::new(), Vec::new());
        let (mut n, mut since, mut over) = (0, 0, false);
        self.begin(scene, ALONE);
        // A guest that spins brings nothing new.
        while since < 400 && !over {
            since += 1;
            if seen.insert(self.pc()) {
                firsts.push(n);
                since = 0;
            }
            n += 1;
            over = !self.step();
        }
        if !over {
            self.until(libc::SIGUSR2);
        }
        self.answer();
        firsts
    }

    fn answer(&self) -> u8 {
        self.go(libc::PTRACE_CONT, 0);
        loop {
            let mut fd = libc::pollfd { fd: self.answers, events: libc::POLLIN, revents: 0 };
            // SAFETY: plain system calls with valid arguments.
            if unsafe { libc::poll(&mut fd, 1, 1) } == 1 {
                return read_byte(self.answers);
            }
            let mut status = 0;
            // SAFETY: as above.
            if unsafe { libc::waitpid(self.pid, &mut status, libc::__WALL | libc::WNOHANG) } != 0 {
                assert!(libc::WIFSTOPPED(status), "the child is gone: status {status:#x}");
                self.go(libc::PTRACE_CONT, libc::WSTOPSIG(status));
            }
        }
    }

    /// Plays a scene with a termination after `n` steps.
    fn interrupt(&self, scene: Scene, n: usize) -> u8 {
        self.begin(scene, 0);
        let over = (0..n).any(|_| !self.step());
        write_byte(self.end, 1);
        let mut fd = libc::pollfd { fd: self.ended, events: libc::POLLIN, revents: 0 };
        // While the instance is taken and has no run yet, a termination waits for that.
        // SAFETY: a plain system call with a valid argument.
        unsafe { libc::poll(&mut fd, 1, 5) };
        if !over {
            self.until(libc::SIGUSR2);
        }
        let answer = self.answer();
        read_byte(self.ended);
        answer
    }
}

fn start(artifact: &[u8]) -> Tracer {
    let (commands, answers, end, ended) = (pipe(), pipe(), pipe(), pipe());
    // SAFETY: the child goes on in `child` alone and never comes back.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: plain calls: it ends with this process, which traces it.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0usize, 0usize);
        }
        raise(libc::SIGSTOP);
        child(artifact, commands[0], answers[1], end[0], ended[1]);
    }
    let (commands, answers, end, ended) = (commands[1], answers[0], end[1], ended[0]);
    let t = Tracer { pid, commands, answers, end, ended };
    assert_eq!(t.wait(), libc::SIGSTOP);
    t.go(libc::PTRACE_CONT, 0);
    t
}

#[test]
fn a_termination_at_every_instruction() {
    let artifact = compile(GUEST, MemoryShape::Guarded);
    let t = start(&artifact);
    let mut all = 0;
    for scene in SCENES {
        // The first time is not like the others: things are made ready.
        t.trace_warm(scene);
        let mut firsts = t.trace(scene);
        // What is longest, and mostly not between host and guest, in part; FULL=1 for all of it.
        if std::env::var_os("FULL").is_none() && matches!(scene, Scene::Out | Scene::Proceed) {
            firsts = firsts.into_iter().step_by(4).collect();
        }
        if scene == Scene::Trap {
            // What follows describes the trap, and the run is over.
            firsts.truncate(300);
        }
        let mut answers = Vec::new();
        for n in &firsts {
            answers.push(t.interrupt(scene, *n));
        }
        all += firsts.len();
        let many = |c: u8| answers.iter().filter(|a| **a == c).count();
        println!(
            "{scene:?}: {} instructions, {} terminated, {} returned, {} trapped",
            firsts.len(),
            many(TERMINATED),
            many(RETURNED),
            many(TRAPPED)
        );
        assert!(firsts.len() > 40, "{scene:?}: implausibly few instructions");
        let natural = if scene == Scene::Trap { TRAPPED } else { RETURNED };
        assert_eq!(many(TERMINATED) + many(natural), answers.len(), "{scene:?}: {answers:?}");
        // A guest that traps at once does not have many instructions.
        let least = if scene == Scene::Trap { 5 } else { 20 };
        assert!(many(TERMINATED) >= least, "{scene:?}: {answers:?}");
        // Before the run has begun nothing happens (unless the other thread is slow: then it comes
        // after the steps); from then on nothing is lost.
        let begun = answers.windows(4).position(|a| a.iter().all(|a| *a == TERMINATED));
        let begun = begun.unwrap_or(answers.len());
        match scene {
            Scene::In => assert!(answers[begun..].iter().all(|a| *a == TERMINATED), "{answers:?}"),
            Scene::Resume | Scene::Proceed => {
                assert!(answers.iter().all(|a| *a == TERMINATED), "{answers:?}");
            }
            Scene::Out | Scene::Trap => {}
        }
    }
    println!("{all} instructions");
    assert!(all > 500, "{all} instructions in all");
    // SAFETY: our own child.
    unsafe { libc::kill(t.pid, libc::SIGKILL) };
}

impl Tracer {
    /// Plays a scene without looking.
    fn trace_warm(&self, scene: Scene) {
        for _ in 0..2 {
            self.begin(scene, ALONE);
            self.until(libc::SIGUSR2);
            self.answer();
        }
    }
}
