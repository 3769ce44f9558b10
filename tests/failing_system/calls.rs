//! Every system call fails, with each error that the kernel or a filter may answer.

use super::failing;
use super::tracer::{Call, play};
use libc::{
    EAGAIN, ECHILD, EINTR, EIO, EMFILE, ENFILE, ENOMEM, ENOSPC, ENOSYS, ENOTTY, EPERM, SYS_brk,
    SYS_clone, SYS_clone3, SYS_close, SYS_dup, SYS_exit_group, SYS_fallocate, SYS_fcntl, SYS_fork,
    SYS_fstat, SYS_fsync, SYS_ftruncate, SYS_futex, SYS_getdents64, SYS_getpid, SYS_getppid,
    SYS_getrandom, SYS_gettid, SYS_ioctl, SYS_lseek, SYS_madvise, SYS_membarrier, SYS_memfd_create,
    SYS_mmap, SYS_mprotect, SYS_munmap, SYS_newfstatat, SYS_openat, SYS_pidfd_open, SYS_poll,
    SYS_prctl, SYS_pread64, SYS_pwrite64, SYS_read, SYS_rename, SYS_rt_sigaction,
    SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sched_yield, SYS_sigaltstack, SYS_statx, SYS_tgkill,
    SYS_unlink, SYS_wait4, SYS_waitid, SYS_write,
};
use std::collections::BTreeMap;

/// What a call may answer, the likeliest first. Empty: it cannot fail.
fn errors(call: &Call) -> &'static [i32] {
    match call.number {
        n if n == SYS_mmap => &[ENOMEM, EAGAIN, EPERM],
        n if n == SYS_mprotect || n == SYS_madvise => &[ENOMEM, EAGAIN, EPERM],
        n if n == SYS_brk || n == SYS_munmap => &[ENOMEM],
        n if n == SYS_openat => &[EMFILE, EINTR, ENFILE, ENOMEM, EPERM],
        n if n == SYS_memfd_create => &[EMFILE, ENOMEM, ENOSYS, EPERM],
        n if n == SYS_dup || n == SYS_fcntl => &[EMFILE, EPERM],
        n if n == SYS_read || n == SYS_pread64 => &[EINTR, EIO, ENOMEM],
        n if n == SYS_write || n == SYS_pwrite64 => &[ENOSPC, EINTR, EIO],
        n if n == SYS_fstat || n == SYS_newfstatat => &[EIO, ENOMEM],
        n if n == SYS_statx => &[EIO, ENOSYS, ENOMEM],
        n if n == SYS_fallocate || n == SYS_ftruncate => &[ENOSPC, EINTR],
        n if n == SYS_lseek || n == SYS_close || n == SYS_fsync => &[EIO, EINTR],
        n if n == SYS_rename || n == SYS_unlink => &[EIO, ENOSPC, EPERM],
        n if n == SYS_getdents64 => &[ENOMEM, EIO],
        n if n == SYS_clone || n == SYS_fork => &[EAGAIN, ENOMEM, EPERM],
        n if n == SYS_clone3 => &[EAGAIN, ENOSYS, ENOMEM, EPERM],
        n if n == SYS_ioctl => &[ENOMEM, EINTR, ENOTTY, EPERM],
        n if n == SYS_sigaltstack => &[ENOMEM, EPERM],
        n if n == SYS_rt_sigaction || n == SYS_prctl => &[EPERM],
        n if n == SYS_membarrier => &[ENOSYS, EPERM],
        n if n == SYS_getrandom => &[EINTR, ENOSYS, EAGAIN],
        // Waiting; waking somebody cannot fail.
        n if n == SYS_futex && call.args[1] & 0x7f == 0 => &[EINTR, EAGAIN],
        n if n == SYS_poll => &[EINTR, ENOMEM],
        n if n == SYS_wait4 || n == SYS_waitid => &[EINTR, ECHILD],
        n if n == SYS_pidfd_open => &[ENOSYS, EMFILE, ENOMEM],
        n if n == SYS_tgkill => &[EAGAIN],
        n if [SYS_getpid, SYS_gettid, SYS_getppid, SYS_sched_yield].contains(&n) => &[],
        n if n == SYS_futex => &[],
        // A mask that the C library cannot put back leaves a thread without signals for good.
        n if [SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_exit_group].contains(&n) => &[],
        n => panic!("system call {n}: which errors does it have?"),
    }
}

/// What is left at the end, in the program's words.
#[derive(Debug, PartialEq)]
struct Left {
    descriptors: i64,
    mappings: i64,
    threads: i64,
    blocks: i64,
    failed: i64,
}

fn left(output: &str) -> Option<Left> {
    let line = output.lines().find(|l| l.starts_with("left "))?;
    let mut n = line.split([' ', ',']).filter_map(|w| w.parse().ok());
    let mut next = || n.next();
    let (descriptors, mappings, threads) = (next()?, next()?, next()?);
    Some(Left { descriptors, mappings, threads, blocks: next()?, failed: next()? })
}

/// Whether mappings may be left: what could not be unmapped is still there, and the pages of code
/// that could not be closed keep their place. Without more heap, malloc maps memory elsewhere.
fn keeps_mappings(call: &Call) -> bool {
    [SYS_munmap, SYS_brk].contains(&call.number) || call.number == SYS_mmap && call.args[0] != 0
}

fn every_call(way: &str) {
    let command = || failing(&["calls", way], &format!("calls-{way}"));
    let quiet = play(command(), None);
    assert_eq!(quiet.status, 0, "the scenario fails by itself: {}", quiet.output);
    let best = left(&quiet.output).unwrap_or_else(|| panic!("{}", quiet.output));
    assert_eq!(best.failed, 0, "{}", quiet.output);
    let mut kinds = BTreeMap::<(i64, u64), usize>::new();
    let (mut points, mut in_status, mut by_call) = (0, 0, BTreeMap::<i64, usize>::new());
    let mut bad = Vec::new();
    for (at, call) in quiet.calls.iter().enumerate() {
        let all = errors(call);
        let counted = kinds.entry(call.kind()).or_default();
        let nth = *counted;
        *counted += 1;
        for errno in all.iter().copied() {
            let p = play(command(), Some((*call, nth, errno)));
            points += usize::from(p.hit);
            *by_call.entry(call.number).or_default() += usize::from(p.hit);
            let end = left(&p.output);
            let good = end.as_ref().is_some_and(|e| {
                in_status += usize::from(e.failed > 0);
                let maps = keeps_mappings(call) || e.mappings <= best.mappings;
                let things = (e.descriptors, e.threads) == (best.descriptors, best.threads);
                maps && things && e.blocks <= best.blocks && e.failed <= 1
            });
            if p.status != 0 || !good {
                bad.push(format!(
                    "call {at} ({call:x?}) answered {errno}: status {:#x}, {end:?}, not {best:?}: \
                     {}",
                    p.status, p.output
                ));
            }
        }
    }
    println!(
        "{way}: {} system calls, {points} failure points: {in_status} ended in a status; by \
         number: {by_call:?}",
        quiet.calls.len()
    );
    assert!(bad.is_empty(), "{} of {points}:\n{}", bad.len(), bad.join("\n"));
    assert!(points >= 500, "{points} failure points only");
}

#[test]
fn every_system_call_fails_where_slots_wait_for_first_touch() {
    every_call("first-touch");
}

#[test]
fn every_system_call_fails_where_slots_are_copied() {
    every_call("copy");
}
