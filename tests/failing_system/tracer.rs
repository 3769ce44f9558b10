//! Runs a program under ptrace and lets one of its system calls fail.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// What `getpgid` is called with at the beginning and at the end of what counts.
const BEGIN: u64 = 0x10c37;
const END: u64 = 0x10c38;

/// A system call of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    pub number: i64,
    /// The first three arguments.
    pub args: [u64; 3],
}

impl Call {
    /// What it does, whatever to: waiting and waking are one call by number.
    pub fn kind(&self) -> (i64, u64) {
        let operation = if self.number == libc::SYS_futex { self.args[1] } else { 0 };
        (self.number, operation)
    }
}

/// How the program ended, and what it did.
pub struct Played {
    pub calls: Vec<Call>,
    pub output: String,
    pub status: i32,
    /// Whether the call was made to fail.
    pub hit: bool,
}

/// `struct ptrace_syscall_info`, as far as it is needed.
#[repr(C)]
#[derive(Default)]
struct Info {
    op: u8,
    pad: [u8; 7],
    ip: u64,
    sp: u64,
    words: [u64; 8],
}

const PTRACE_GET_SYSCALL_INFO: u32 = 0x420e;
const ENTRY: u8 = 1;

fn ptrace(request: u32, pid: i32, addr: usize, data: usize) {
    // SAFETY: the tracee is stopped; `data` is a number or points to what the request writes.
    let done = unsafe { libc::ptrace(request, pid, addr, data) };
    assert!(done >= 0, "ptrace {request:#x}: {}", std::io::Error::last_os_error());
}

fn info(pid: i32) -> Info {
    let mut info = Info::default();
    let at = std::ptr::from_mut(&mut info).expose_provenance();
    ptrace(PTRACE_GET_SYSCALL_INFO, pid, size_of::<Info>(), at);
    info
}

fn registers(pid: i32) -> libc::user_regs_struct {
    // SAFETY: plain numbers.
    let mut regs: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    ptrace(libc::PTRACE_GETREGS, pid, 0, std::ptr::from_mut(&mut regs).expose_provenance());
    regs
}

fn set_registers(pid: i32, regs: &libc::user_regs_struct) {
    ptrace(libc::PTRACE_SETREGS, pid, 0, std::ptr::from_ref(regs).expose_provenance());
}

/// The status with which a stopped or ended tracee is found.
fn wait(pid: i32) -> i32 {
    let mut status = 0;
    loop {
        // SAFETY: waits for our child, with room for its status.
        let got = unsafe { libc::waitpid(pid, &mut status, libc::__WALL) };
        if got == pid {
            return status;
        }
    }
}

/// What is done at the end of a call that was made to fail.
enum Answer {
    Error(i32),
    /// `brk` with its argument put back.
    Unchanged(u64),
}

/// Calls that give something back: they are carried out, and then say that they were not. Leaving
/// them out would leak by itself.
fn gives_back(number: i64) -> bool {
    number == libc::SYS_close
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::inherit()).stdin(Stdio::null());
    // SAFETY: between fork and exec there are only these system calls.
    unsafe {
        command.pre_exec(|| {
            // Should anything hang: asleep, or awake with all signals blocked.
            libc::alarm(60);
            let cpu = libc::rlimit { rlim_cur: 10, rlim_max: 10 };
            libc::setrlimit(libc::RLIMIT_CPU, &cpu);
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0usize, 0usize);
            Ok(())
        });
    }
    command.spawn().unwrap()
}

/// Runs the program; of the calls that count, the `n`-th one of this kind answers `errno` without
/// being carried out. (From run to run some come earlier or later, for there is another thread, and
/// time; so they are counted kind by kind.)
pub fn play(command: Command, fail: Option<(Call, usize, i32)>) -> Played {
    let mut child = start(command);
    let pid = child.id() as i32;
    let mut calls = Vec::new();
    let mut status = wait(pid);
    assert!(libc::WIFSTOPPED(status), "it did not even start: {status:#x}");
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
    ptrace(libc::PTRACE_SETOPTIONS, pid, 0, options as usize);
    let (mut counting, mut signal, mut failing) = (false, 0, None);
    let (mut hit, mut seen_before) = (false, 0);
    loop {
        ptrace(libc::PTRACE_SYSCALL, pid, 0, signal as usize);
        status = wait(pid);
        if !libc::WIFSTOPPED(status) {
            break;
        }
        signal = libc::WSTOPSIG(status);
        if signal != libc::SIGTRAP | 0x80 {
            continue;
        }
        signal = 0;
        let seen = info(pid);
        if seen.op != ENTRY {
            if let Some(answer) = failing.take() {
                let mut regs = registers(pid);
                match answer {
                    Answer::Error(errno) => regs.rax = -i64::from(errno) as u64,
                    Answer::Unchanged(argument) => regs.rdi = argument,
                }
                set_registers(pid, &regs);
            }
            continue;
        }
        let number = seen.words[0] as i64;
        if number == libc::SYS_getpgid {
            counting = match seen.words[1] {
                BEGIN => true,
                END => false,
                _ => counting,
            };
            continue;
        }
        if counting {
            let args = [seen.words[1], seen.words[2], seen.words[3]];
            let call = Call { number, args };
            calls.push(call);
            seen_before += usize::from(fail.is_some_and(|(kind, ..)| kind.kind() == call.kind()));
            if let Some((_, n, errno)) = fail
                && n + 1 == seen_before
                && !hit
            {
                hit = true;
                let mut regs = registers(pid);
                if number == libc::SYS_brk {
                    // It has no errors: what it answers is the break as it is.
                    failing = Some(Answer::Unchanged(regs.rdi));
                    regs.rdi = 0;
                } else {
                    failing = Some(Answer::Error(errno));
                    if !gives_back(number) {
                        regs.orig_rax = u64::MAX;
                    }
                }
                set_registers(pid, &regs);
            }
        }
    }
    let mut output = String::new();
    let text = child.stdout.take().map(|mut o| o.read_to_string(&mut output));
    text.unwrap().unwrap();
    // Its end was seen above; this only says so.
    let _ = child.wait();
    Played { calls, output, status, hit }
}

/// Runs the program and kills it at a system call: the `n`-th one after it began to create a file,
/// that one included, before it is carried out. Whether it came so far.
#[allow(dead_code)]
pub fn kill_while_writing(command: Command, n: usize) -> bool {
    let mut child = start(command);
    let killed = kill_at(&mut child, n);
    // Its end was seen; this only says so.
    let _ = child.wait();
    killed
}

#[allow(dead_code)]
fn kill_at(child: &mut std::process::Child, n: usize) -> bool {
    let pid = child.id() as i32;
    assert!(libc::WIFSTOPPED(wait(pid)), "it did not even start");
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
    ptrace(libc::PTRACE_SETOPTIONS, pid, 0, options as usize);
    let (mut since, mut signal) = (None, 0);
    loop {
        ptrace(libc::PTRACE_SYSCALL, pid, 0, signal as usize);
        let status = wait(pid);
        if !libc::WIFSTOPPED(status) {
            return false;
        }
        signal = libc::WSTOPSIG(status);
        if signal != libc::SIGTRAP | 0x80 {
            continue;
        }
        signal = 0;
        let seen = info(pid);
        if seen.op != ENTRY {
            continue;
        }
        let creates =
            seen.words[0] as i64 == libc::SYS_openat && seen.words[3] & libc::O_CREAT as u64 != 0;
        since = since.map(|n| n + 1).or(creates.then_some(0));
        if since == Some(n) {
            child.kill().unwrap();
            while libc::WIFSTOPPED(wait(pid)) {}
            return true;
        }
    }
}
