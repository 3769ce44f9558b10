//! Where the kernel has no `openat2`, or a filter forbids it, paths are walked by themselves: the
//! same files, the same refusals.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use common::host::{Canary, House};
use common::{Guest, How, ROOT};
use lucet_wasi::{Errno, Resolution};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

const CHILD: &str = "LUCET_WASI_FILTERED_CHILD";

fn launcher() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("deny_openat2-{}", std::process::id()));
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/deny_openat2.c");
    let built = Command::new("cc").arg("-Wall").arg("-o").arg(&program).arg(source).status();
    assert!(built.unwrap().success());
    program
}

#[test]
fn without_openat2_paths_are_walked() {
    let Ok(error) = std::env::var(CHILD) else {
        let launcher = launcher();
        for (name, error) in [("ENOSYS", "38"), ("EPERM", "1")] {
            let status = Command::new(&launcher)
                .arg(error)
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", "without_openat2_paths_are_walked"])
                .env(CHILD, error)
                .status()
                .unwrap();
            assert!(status.success(), "{name}");
        }
        fs::remove_file(launcher).unwrap();
        return;
    };
    let denied = openat2(CWD, c".", OFlags::PATH, Mode::empty(), ResolveFlags::BENEATH);
    assert_eq!(denied.unwrap_err().raw_os_error().to_string(), error, "the filter works");
    let house = House::new();
    let canary = Canary::new(&house);
    fs::create_dir(house.inside().join("dir")).unwrap();
    symlink("../outside", house.inside().join("out")).unwrap();
    symlink("dir", house.inside().join("in")).unwrap();
    let mut guest = Guest::new(house.config(Resolution::Automatic));
    let fd = guest.open(ROOT, "in/../dir/./file", How::write()).unwrap();
    assert_eq!(guest.write(fd, b"text"), Ok(4));
    assert_eq!(guest.rename(ROOT, "in/file", ROOT, "dir/other"), Ok(()));
    assert_eq!(fs::read(house.inside().join("dir/other")).unwrap(), b"text");
    for path in ["out/secret", "../outside/secret", "dir/../../outside/secret", "out/"] {
        assert_eq!(guest.open(ROOT, path, How::read()), Err(Errno::Perm), "{path}");
        assert_eq!(guest.stat(ROOT, path, true), Err(Errno::Perm), "{path}");
    }
    assert_eq!(guest.unlink(ROOT, "out/secret"), Err(Errno::Perm));
    canary.unchanged("the walk");
}
