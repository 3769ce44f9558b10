//! Tests that run in a process of their own, and forks of it.

use std::process::{Command, Output};

const CHILD: &str = "LUCET_TEST_CHILD";

/// Runs `body` in a child process that runs only the test `name`; returns `None` there.
pub fn child(name: &str, body: impl FnOnce()) -> Option<Output> {
    if std::env::var_os(CHILD).is_some() {
        body();
        return None;
    }
    let exe = std::env::current_exe().unwrap();
    let out = Command::new(exe)
        .args(["--exact", name, "--include-ignored", "--nocapture", "--test-threads", "1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    Some(out)
}

/// The child must succeed.
pub fn in_child(name: &str, body: impl FnOnce()) {
    if let Some(out) = child(name, body) {
        let text = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{}\n{text}", out.status);
        let ran = String::from_utf8_lossy(&out.stdout);
        assert!(ran.contains("1 passed"), "the child did not run {name}: {ran}");
    }
}

/// Runs `body` in a forked child, which must end well and in time; a panic ends it badly.
pub fn forked(body: impl FnOnce()) {
    let status = forked_status(body);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "child: {status:#x}");
}

/// The same; what `waitpid` said.
pub fn forked_status(body: impl FnOnce()) -> i32 {
    // SAFETY: the child uses what this test is about, and ends without running anything else.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
        if child == 0 {
            libc::alarm(30);
            let well = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
            libc::_exit(i32::from(!well));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        status
    }
}

/// Number of mappings of this process.
pub fn mappings() -> usize {
    mappings_of(&[])
}

/// The same; of those with all these words in their line.
pub fn mappings_of(words: &[&str]) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|l| words.iter().all(|w| l.contains(w))).count()
}

/// A number of kilobytes in `/proc/self/status`.
pub fn status_kib(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|l| l.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Number of open files.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
