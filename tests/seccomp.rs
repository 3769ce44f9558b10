//! The library under system call filters that kill: the list is the table in
//! `docs/design/system-calls.md`, and what is not in it is made by nobody.

mod common;
#[path = "failing_system/world.rs"]
mod world;

use common::client::{artifact, out, program, root, run};
use common::process::{forked, forked_status, in_child};
use lucet::{Instance, Outcome, Rung};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use world::{WORLDS, World, request, warm};

/// The numbers of all calls that the documents may name.
fn number(name: &str) -> i64 {
    let name = &*format!("SYS_{name}");
    macro_rules! numbers {
        ($($name:ident)*) => {
            match name {
                $(stringify!($name) => libc::$name,)*
                _ => panic!("{name}: the test does not know its number"),
            }
        };
    }
    numbers!(SYS_accept4 SYS_access SYS_arch_prctl SYS_bind SYS_brk SYS_clock_gettime
        SYS_clock_nanosleep SYS_clone SYS_clone3 SYS_close SYS_dup SYS_epoll_create1 SYS_epoll_ctl
        SYS_epoll_pwait SYS_epoll_wait SYS_eventfd2 SYS_execve SYS_exit SYS_exit_group SYS_fcntl
        SYS_fstat SYS_fsync SYS_futex SYS_getcwd SYS_getdents64 SYS_getpeername SYS_getpid
        SYS_getppid SYS_getrandom SYS_getsockname SYS_getsockopt SYS_gettid SYS_ioctl SYS_listen
        SYS_lseek SYS_madvise SYS_membarrier SYS_memfd_create SYS_mmap SYS_mprotect SYS_mremap
        SYS_munmap SYS_nanosleep SYS_newfstatat SYS_openat SYS_pidfd_open SYS_pidfd_send_signal
        SYS_pipe2 SYS_poll SYS_ppoll SYS_prctl SYS_pread64 SYS_prlimit64 SYS_pwrite64 SYS_read
        SYS_readv SYS_recvfrom SYS_recvmsg SYS_rename SYS_restart_syscall SYS_rseq
        SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_sched_yield SYS_sendmsg
        SYS_sendto SYS_set_robust_list SYS_set_tid_address SYS_setsockopt SYS_shutdown
        SYS_sigaltstack SYS_socket SYS_statx SYS_tgkill SYS_timerfd_create SYS_timerfd_settime
        SYS_uname SYS_unlink SYS_wait4 SYS_waitid SYS_write SYS_writev)
}

/// The table: for each call when it is made.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join("docs/design/system-calls.md")).unwrap();
    let rows = text.lines().filter_map(|l| {
        let mut cells = l.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.strip_suffix('`')?.to_owned();
        Some((name, cells.next()?.split(", ").map(str::to_owned).collect::<BTreeSet<_>>()))
    });
    let table: BTreeMap<_, _> = rows.collect();
    assert!(table.len() > 30, "{} rows found", table.len());
    let known = [
        "start", "slot", "thread", "watchdog", "touch", "grow", "trap", "scan", "decommit", "time",
        "slice", "reseed", "save", "child",
    ];
    for (name, when) in &table {
        assert!(when.iter().all(|w| known.contains(&w.as_str())), "{name}: {when:?}");
        number(name);
    }
    table
}

/// The calls that are made at these times.
fn calls(when: &[&str]) -> BTreeSet<i64> {
    let table = table();
    let made = table.iter().filter(|(_, w)| when.iter().any(|x| w.contains(*x)));
    made.map(|(name, _)| number(name)).collect()
}

fn all_calls() -> BTreeSet<i64> {
    table().keys().map(|name| number(name)).collect()
}

/// What a C program does before it comes to the library, and when it ends.
const PROGRAM: [&str; 28] = [
    "execve",
    "brk",
    "access",
    "openat",
    "newfstatat",
    "fstat",
    "mmap",
    "munmap",
    "mprotect",
    "close",
    "read",
    "pread64",
    "arch_prctl",
    "set_tid_address",
    "set_robust_list",
    "rseq",
    "prlimit64",
    "write",
    "exit_group",
    "exit",
    "lseek",
    "clone3",
    "rt_sigprocmask",
    "rt_sigaction",
    "madvise",
    "futex",
    "clock_nanosleep",
    "pipe2",
];

fn list(calls: impl IntoIterator<Item = i64>) -> String {
    calls.into_iter().map(|n| n.to_string()).collect::<Vec<_>>().join(",")
}

fn confined(protect: bool, calls: &BTreeSet<i64>) -> Command {
    let mut command = Command::new(program("confine", &[]));
    command.arg(if protect { "1" } else { "0" }).arg(list(calls.iter().copied()));
    command
}

/// The table, and what the program itself needs.
fn whole_life() -> BTreeSet<i64> {
    let mut all = all_calls();
    all.extend(PROGRAM.map(number));
    all
}

#[test]
fn the_filter_bites() {
    use std::os::unix::process::ExitStatusExt;
    let calls = whole_life();
    let status = confined(false, &calls).arg("!socket").status().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGSYS), "{status}");
    // Writable memory can become executable, unless that is forbidden.
    let tries = |protect| confined(protect, &calls).arg("!exec").status().unwrap().code();
    assert_eq!((tries(false), tries(true)), (Some(1), Some(0)));
}

/// Programs of the C interface from their first instruction on, without memory that becomes
/// executable: everything that they do is in the table.
#[test]
fn programs_live_under_the_filter() {
    let calls = whole_life();
    for name in ["works", "misuse", "leaves", "checked"] {
        run(confined(true, &calls).arg(program(name, &[])).arg(artifact()));
    }
    for way in ["first-touch", "copy"] {
        run(confined(true, &calls).arg(program("warm", &[])).arg(artifact()).args([way, "1000"]));
    }
    // Everything a server does, snapshots included; each of the calls is needed by something.
    let saved = out().join("confined-saved.so");
    for way in ["first-touch", "copy"] {
        let mut command = confined(true, &calls);
        command.arg(program("server", &[])).arg(way).arg(artifact()).arg(&saved);
        let text = run(&mut command);
        assert!(text.contains("0 failures"), "{text}");
    }
}

/// A filter for this thread and all others of the process, that kills.
fn install(calls: &BTreeSet<i64>) {
    let (load, jump, answer) = (0x20u16, 0x15u16, 0x06u16);
    let op = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let mut filter = vec![op(load, 0, 0, 0)];
    for n in calls {
        filter.push(op(jump, *n as u32, 0, 1));
        filter.push(op(answer, libc::SECCOMP_RET_ALLOW, 0, 0));
    }
    filter.push(op(answer, libc::SECCOMP_RET_KILL_PROCESS, 0, 0));
    let mut program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: plain system calls with a valid program.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_TSYNC);
        assert_eq!(libc::syscall(libc::SYS_seccomp, mode, flags, &raw mut program), 0);
    }
}

/// Calls that the test itself makes in a process under a filter: it ends, and says why.
fn with_own(calls: BTreeSet<i64>) -> BTreeSet<i64> {
    calls.into_iter().chain(["exit_group", "write"].map(number)).collect()
}

/// So that this program's own lists and strings need no system call afterwards.
fn warm_malloc() {
    // SAFETY: plain settings of the C library.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 64 << 20);
    }
    drop(std::hint::black_box((0..2000).map(|_| vec![1u8; 1000]).collect::<Vec<_>>()));
}

/// A request that neither grows nor traps.
fn plain_request(w: &World) {
    let i = Instance::new(&w.region, &w.module).unwrap();
    assert_eq!(world::call(&i, "work", &[lucet::Val::I32(20)]), 22);
    assert_eq!(i.run("wait", &[]).unwrap(), Outcome::Yielded(1));
    assert_eq!(world::number(i.resume(9).unwrap()), 9);
    i.reset().unwrap();
    assert_eq!(world::call(&i, "fresh", &[]), 0);
}

fn growing_request(w: &World) {
    request(w);
    let i = Instance::new(&w.region, &w.module).unwrap();
    assert_eq!(world::call(&i, "grow", &[lucet::Val::I32(1)]), 2);
    i.run("touch", &[lucet::Val::I32(2)]).unwrap();
}

/// What each way to make slots fresh calls at each reset.
fn at_reset(w: &World) -> &'static [&'static str] {
    match w.region.rung() {
        Rung::FirstTouch | Rung::CopyAndClear => &[],
        Rung::PagemapScan => &["scan"],
        Rung::Decommit => &["decommit"],
    }
}

/// Until the watchdog has heard of the limits that there were, and sleeps.
fn wait_for_watchdog() {
    let asleep = || {
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        threads.map(|t| std::fs::read_to_string(t.unwrap().path().join("stat")).unwrap()).all(|s| {
            let own = s.starts_with(&format!("{} ", std::process::id()));
            own || s.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
        })
    };
    // Twice: it may have been on its way.
    for _ in 0..2 {
        while !asleep() {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn in_each_world(requests: impl Fn(&World), when: &[&str]) {
    for k in 0..WORLDS {
        forked(|| {
            let w = world::world(k);
            // Slots and their pages, the watchdog, room for registers.
            warm(&w);
            for _ in 0..20 {
                requests(&w);
            }
            warm_malloc();
            wait_for_watchdog();
            let mut times = at_reset(&w).to_vec();
            times.extend(when);
            install(&with_own(calls(&times)));
            for _ in 0..500 {
                requests(&w);
            }
            // Closing a region is another matter.
            std::mem::forget(w);
        });
    }
}

#[test]
fn a_warm_request_makes_no_system_call() {
    in_child("a_warm_request_makes_no_system_call", || in_each_world(plain_request, &[]));
}

#[test]
fn warm_requests_that_grow_and_trap() {
    in_child("warm_requests_that_grow_and_trap", || {
        in_each_world(growing_request, &["grow", "trap", "decommit"]);
    });
}

#[test]
fn warm_requests_with_limits() {
    in_child("warm_requests_with_limits", || {
        let limited = |w: &World| {
            let i = Instance::new(&w.region, &w.module).unwrap();
            i.set_time_limit(300_000).unwrap();
            assert_eq!(i.run("spin", &[]).unwrap(), Outcome::TimedOut);
            i.reset().unwrap();
            i.set_time_limit(0).unwrap();
            i.set_cpu_limit(300_000).unwrap();
            assert_eq!(i.run("spin", &[]).unwrap(), Outcome::TimedOut);
            i.reset().unwrap();
            i.set_cpu_limit(0).unwrap();
            i.set_time_slice(100_000).unwrap();
            assert_eq!(i.run("spin", &[]).unwrap(), Outcome::Preempted);
            assert_eq!(i.resume(0).unwrap(), Outcome::Preempted);
        };
        in_each_world(limited, &["time", "slice", "decommit"]);
    });
}

/// A limit that is not reached costs no call.
#[test]
fn a_limit_that_is_not_reached() {
    in_child("a_limit_that_is_not_reached", || {
        let limited = |w: &World| {
            let i = Instance::new(&w.region, &w.module).unwrap();
            i.set_time_limit(3_600_000_000_000).unwrap();
            assert_eq!(world::call(&i, "work", &[lucet::Val::I32(20)]), 22);
        };
        in_each_world(limited, &[]);
    });
}

#[test]
fn a_call_that_is_not_listed_kills() {
    in_child("a_call_that_is_not_listed_kills", || {
        // Growth is not among what a plain request does.
        let status = forked_status(|| {
            let w = world::world(0);
            warm(&w);
            install(&with_own(calls(&[])));
            growing_request(&w);
        });
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS, "{status:#x}");
    });
}

/// The lines of the unit that begin like this.
fn unit(key: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("docs/hardened/lucet-server.service")).unwrap();
    let values = text.lines().filter_map(|l| l.strip_prefix(key)?.strip_prefix('='));
    values.flat_map(|v| v.split(' ').map(str::to_owned)).collect()
}

#[test]
fn the_unit_allows_what_the_table_lists() {
    let allowed: BTreeSet<String> = unit("SystemCallFilter").into_iter().collect();
    let missing: Vec<_> = table().into_keys().filter(|name| !allowed.contains(name)).collect();
    assert!(missing.is_empty(), "the unit lacks {missing:?}");
    for (key, value) in [
        ("MemoryDenyWriteExecute", "yes"),
        ("NoNewPrivileges", "yes"),
        ("SystemCallArchitectures", "native"),
    ] {
        assert_eq!(unit(key), [value], "{key}");
    }
    // And a program of the C interface runs under what the unit says.
    let calls: BTreeSet<i64> = allowed.iter().map(|n| number(n)).collect();
    run(confined(true, &calls).arg(program("works", &[])).arg(artifact()));
    let tries = confined(true, &calls).arg("!exec").status().unwrap().code();
    assert_eq!(tries, Some(0), "memory became executable");
}
