//! Where artifacts come from: paths and descriptors that lead to everything else than a file that
//! stays as it is. What is refused is refused before it was read, which is counted, not timed; and
//! nothing is left behind, which is counted too: one test, alone in its process.

#[path = "common/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "common/sample.rs"]
mod sample;

use lucet::loader::{LoadOptions, Loaded, Source, load};
use lucet::{Error, Status};
use process::{descriptors, forked, mappings_of};
use sample::{Parts, resealed, sample};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What is looked at of a file to find out that it is none of ours: its ends.
const ENDS: u64 = 4096 + 512;

fn options(development: bool) -> LoadOptions {
    LoadOptions { allow_unsigned: true, development, ..Default::default() }
}

/// Bytes and calls of this thread's `read` and its relatives so far.
fn reads() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let number = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    (number("rchar:"), number("syscr:"))
}

/// What `f` read. Looking costs something too, always the same.
fn counted<R>(f: impl FnOnce() -> R) -> (R, u64, u64) {
    let (a, b) = (reads(), reads());
    let result = f();
    let c = reads();
    // The text that is read grows with its numbers, by a few bytes.
    let bytes = (c.0 - b.0).saturating_sub(b.0 - a.0 + 8);
    (result, bytes, (c.1 - b.1).saturating_sub(b.1 - a.1))
}

/// Loads what must be refused: with these words, and after `most` bytes.
fn refuse(what: &str, source: Source<'_>, status: Status, words: &[&str], most: u64) {
    let (result, bytes, calls) = counted(|| load(source, &options(false)));
    let e = result.expect_err(what);
    assert_eq!(e.status(), status, "{what}: {e}");
    for word in words {
        assert!(e.message().contains(word), "{what}: \"{word}\": {e}");
    }
    assert!(bytes <= most && calls <= 8, "{what}: {bytes} bytes in {calls} calls");
}

/// Mappings of artifacts, and of files here. Heap and stacks of threads come and go.
fn mappings() -> [usize; 2] {
    ["/lucet-", "memfd:lucet"].map(|of| mappings_of(&[of]))
}

struct Dir(PathBuf);

impl Dir {
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn holes(&self, name: &str, bytes: &[u8], len: u64) -> PathBuf {
        let path = self.file(name, bytes);
        File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn sources() {
    let dir = Dir(std::env::temp_dir().join(format!("lucet-sources-{}", std::process::id())));
    std::fs::create_dir_all(&dir.0).unwrap();
    let good = dir.file("good.so", &sample().build());
    drop(load(Source::Path(&good), &options(false)).unwrap());
    let before = (descriptors(), mappings());
    type Step = fn(&Dir);
    let steps: [(&str, Step); 9] = [
        ("paths", paths),
        ("files without an end", files_without_end),
        ("pipes and devices are not opened", nothing_is_opened),
        ("files that may not be read", unreadable),
        ("descriptors", descriptors_of_all_kinds),
        ("descriptors that load", descriptors_that_load),
        ("a file that grows", growing),
        ("a file that shrinks", shrinking),
        ("a file that is replaced", replaced),
    ];
    for (what, step) in steps {
        step(&dir);
        assert_eq!((descriptors(), mappings()), before, "{what}: descriptors, mappings");
    }
}

fn paths(dir: &Dir) {
    use Status::{Io, NotAnArtifact as Not};
    let link = dir.0.join("loop");
    symlink(&link, &link).unwrap();
    let dangling = dir.0.join("dangling");
    symlink(dir.0.join("nothing"), &dangling).unwrap();
    let to_device = dir.0.join("to-device");
    symlink("/dev/zero", &to_device).unwrap();
    let _socket = UnixListener::bind(dir.0.join("socket")).unwrap();
    let long = PathBuf::from(format!("/{}", "x".repeat(300)));
    let regular = "an artifact must be a regular file";
    let cases: [(PathBuf, Status, [&str; 2]); 17] = [
        (dir.0.join("missing"), Io, ["opening the file", "No such file"]),
        (dangling, Io, ["opening the file", "No such file"]),
        (link, Io, ["ELOOP", ""]),
        (long, Io, ["ENAMETOOLONG", ""]),
        (dir.0.join("good.so/"), Io, ["ENOTDIR", ""]),
        (dir.0.join("good.so/x"), Io, ["ENOTDIR", ""]),
        ("a\0b".into(), Io, ["NUL byte", ""]),
        (dir.0.clone(), Not, ["a directory", regular]),
        ("/".into(), Not, ["a directory", regular]),
        ("/proc".into(), Not, ["a directory", regular]),
        (dir.0.join("socket"), Not, ["a socket", regular]),
        (to_device, Not, ["a device", regular]),
        ("/dev/zero".into(), Not, ["a device", regular]),
        ("/dev/full".into(), Not, ["a device", regular]),
        ("/dev/null".into(), Not, ["a device", regular]),
        ("/dev/tty".into(), Not, ["a device", regular]),
        ("/dev/urandom".into(), Not, ["a device", regular]),
    ];
    for (path, status, words) in cases {
        refuse(&path.display().to_string(), Source::Path(&path), status, &words, 0);
    }
    let fifo = dir.0.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refuse("fifo", Source::Path(&fifo), Not, &["a pipe", regular], 0);
}

/// Sizes that are wrong, untrue, or those of holes.
fn files_without_end(dir: &Dir) {
    use Status::{InvalidArtifact as Invalid, NotAnArtifact as Not};
    let len = |n: u64| format!("{n} bytes; the largest artifact has 1073741824");
    let cases: [(PathBuf, Status, String, u64); 12] = [
        (dir.holes("1 TiB", b"\x7fELF", 1 << 40), Invalid, len(1 << 40), 0),
        (dir.holes("1 GiB and one", b"\x7fELF", (1 << 30) + 1), Invalid, len((1 << 30) + 1), 0),
        (dir.holes("1 GiB", b"\x7fELF", 1 << 30), Not, "an ELF file".into(), ENDS),
        (dir.holes("1 GiB of zero", b"", 1 << 30), Not, "begins with [00, 00".into(), ENDS),
        (dir.file("empty", b""), Not, "empty".into(), 0),
        (dir.file("one byte", b"\x7f"), Not, "begins with [7f]".into(), ENDS),
        (dir.file("trailer only", &[b'L'; 512]), Not, "not an artifact".into(), ENDS),
        ("/proc/self/maps".into(), Not, "empty, or one of those in /proc".into(), 0),
        ("/proc/self/mem".into(), Not, "empty, or one of those in /proc".into(), 0),
        ("/proc/self/pagemap".into(), Not, "empty, or one of those in /proc".into(), 0),
        ("/proc/self/exe".into(), Not, "ordinary shared object".into(), ENDS),
        (dir.file("script", b"#!/bin/sh\nrm x\n"), Not, "a script".into(), ENDS),
    ];
    for (path, status, word, most) in cases {
        let what = path.display().to_string();
        refuse(&what, Source::Path(&path), status, &[&word], most);
        let file = File::open(&path).unwrap();
        refuse(&what, Source::Fd(file.as_fd()), status, &[&word], most);
    }
}

/// Opening can do something: a writer that waits for a reader goes on, a tape rewinds.
fn nothing_is_opened(dir: &Dir) {
    let watched = ["pipe", "here/good.so"].map(|n| dir.0.join(n));
    nix::unistd::mkfifo(&watched[0], nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::create_dir(dir.0.join("here")).unwrap();
    std::fs::copy(dir.0.join("good.so"), &watched[1]).unwrap();
    let opened = |path: &Path| {
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: inotify calls with a NUL-terminated path; the descriptor is owned from here on.
        let (events, watch) = unsafe {
            let fd = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
            (OwnedFd::from_raw_fd(fd), libc::inotify_add_watch(fd, name.as_ptr(), libc::IN_OPEN))
        };
        assert!(watch >= 0, "{}", std::io::Error::last_os_error());
        let loaded = load(Source::Path(path), &options(false)).is_ok();
        let mut buffer = [0u8; 4096];
        let n = nix::unistd::read(&events, &mut buffer).unwrap_or(0);
        (loaded, n > 0)
    };
    assert_eq!(opened(&watched[0]), (false, false), "a pipe was opened");
    assert_eq!(opened(&watched[1]), (true, true), "the watch shows nothing");
}

/// As somebody who may not read it.
fn unreadable(dir: &Dir) {
    let path = dir.file("secret.so", &sample().build());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    std::fs::set_permissions(&dir.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    forked(|| {
        // SAFETY: changes the identity of this process only, a child that ends soon. Who is not
        // root may not read it either.
        assert!(unsafe { libc::geteuid() != 0 || libc::setuid(65534) == 0 });
        let e = load(Source::Path(&path), &options(false)).unwrap_err();
        assert!(e.status() == Status::Io && e.message().contains("EACCES"), "{e}");
    });
}

fn descriptors_of_all_kinds(dir: &Dir) {
    use Status::{InvalidArgument as Argument, Io, NotAnArtifact as Not};
    let good = dir.0.join("good.so");
    let open = |flags: i32, path: &Path| {
        File::options().read(true).custom_flags(flags).open(path).unwrap()
    };
    let write_only = File::options().write(true).open(&good).unwrap();
    let append = File::options().append(true).open(&good).unwrap();
    let place = open(libc::O_PATH, &good);
    let directory = open(libc::O_DIRECTORY, &dir.0);
    let zero = open(0, Path::new("/dev/zero"));
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (stream, _other) = UnixStream::pair().unwrap();
    let (read_end, write_end) = nix::unistd::pipe().unwrap();
    // SAFETY: a new descriptor, owned from here on.
    let event = unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC)) };
    let cases: [(&str, BorrowedFd<'_>, Status, &str); 10] = [
        ("O_WRONLY", write_only.as_fd(), Argument, "not open for reading: open the file with"),
        ("O_APPEND", append.as_fd(), Argument, "not open for reading"),
        ("O_PATH", place.as_fd(), Argument, "not open for reading"),
        ("directory", directory.as_fd(), Not, "a directory"),
        ("/dev/zero", zero.as_fd(), Not, "a device"),
        ("/dev/full", full.as_fd(), Argument, "not open for reading"),
        ("socket", stream.as_fd(), Not, "a socket"),
        ("pipe to read", read_end.as_fd(), Not, "a pipe"),
        ("pipe to write", write_end.as_fd(), Argument, "not open for reading"),
        ("event", event.as_fd(), Not, "a device"),
    ];
    for (what, fd, status, word) in cases {
        refuse(what, Source::Fd(fd), status, &[word], 0);
    }
    let closed = File::open(&good).unwrap().as_raw_fd();
    // SAFETY: nobody opens anything in this process meanwhile, so the number means nothing.
    let closed = unsafe { BorrowedFd::borrow_raw(closed) };
    refuse("closed", Source::Fd(closed), Io, &["EBADF"], 0);
}

fn memfd(bytes: &[u8], seals: i32) -> File {
    // SAFETY: a NUL-terminated name; the descriptor is owned from here on.
    let mut file = unsafe {
        File::from_raw_fd(libc::memfd_create(c"artifact".as_ptr(), libc::MFD_ALLOW_SEALING))
    };
    file.write_all(bytes).unwrap();
    // SAFETY: integers only.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }, 0);
    file
}

/// Whatever the position, the seals, and whether it still has a name.
fn descriptors_that_load(dir: &Dir) {
    let bytes = sample().build();
    let all = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    let gone = dir.file("gone.so", &bytes);
    let mut at_end = File::open(dir.0.join("good.so")).unwrap();
    at_end.seek(SeekFrom::End(0)).unwrap();
    let mut beyond = File::options().read(true).write(true).open(dir.0.join("good.so")).unwrap();
    beyond.seek(SeekFrom::Start(1 << 40)).unwrap();
    let deleted = File::open(&gone).unwrap();
    std::fs::remove_file(gone).unwrap();
    let files = [
        ("at its end", at_end),
        ("beyond its end", beyond),
        ("deleted", deleted),
        ("memfd", memfd(&bytes, 0)),
        ("memfd that is sealed", memfd(&bytes, all)),
        ("memfd that may grow", memfd(&bytes, libc::F_SEAL_SHRINK)),
    ];
    for (what, mut file) in files {
        let position = file.stream_position().unwrap();
        let loaded = load(Source::Fd(file.as_fd()), &options(false)).expect(what);
        assert_eq!(loaded.file.as_slice(), bytes, "{what}");
        assert_eq!(file.stream_position().unwrap(), position, "{what}");
    }
}

/// Does something to a file, over and over, while it is loaded `n` times.
fn meanwhile(
    n: usize,
    source: Source<'_>,
    development: bool,
    disturb: impl Fn() + Sync,
) -> Vec<Result<Loaded, Error>> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                disturb();
            }
        });
        let all = (0..n).map(|_| load(source, &options(development))).collect();
        stop.store(true, Ordering::Relaxed);
        all
    })
}

/// Code of a megabyte, so that there is time to disturb.
fn large() -> Parts {
    let mut parts = sample();
    parts.text.resize(1 << 20, 0xcc);
    parts
}

/// A file to which somebody writes for ever is read once, not for ever.
fn growing(dir: &Dir) {
    let bytes = large().build();
    let path = dir.file("grows.so", &bytes);
    let file = File::options().write(true).open(&path).unwrap();
    let grow = || {
        file.set_len(bytes.len() as u64 + 1).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
    };
    let (results, read, _) = counted(|| meanwhile(200, Source::Path(&path), false, grow));
    assert!(read <= 200 * (bytes.len() as u64 + ENDS + 1), "{read} bytes");
    let (mut whole, mut changed) = (0, 0);
    for result in results {
        match result {
            Ok(loaded) => {
                assert_eq!(loaded.file.as_slice(), bytes);
                whole += 1;
            }
            Err(e) if e.status() == Status::Io => {
                assert!(e.message().contains("changed while it was being read; to replace"), "{e}");
                changed += 1;
            }
            // The size was that of the longer one throughout.
            Err(e) => assert_eq!(e.status(), Status::InvalidArtifact, "{e}"),
        }
    }
    println!("a file that grows: {whole} whole, {changed} refused");
    assert!(whole + changed > 0);
}

/// A mapping of a file that gets shorter raises SIGBUS; nothing is read through one.
fn shrinking(dir: &Dir) {
    let bytes = large().build();
    let path = dir.file("shrinks.so", &bytes);
    let file = File::options().write(true).open(&path).unwrap();
    let shrink = || {
        std::thread::sleep(std::time::Duration::from_millis(3));
        file.set_len(5000).unwrap();
        std::fs::write(&path, &bytes).unwrap();
    };
    for development in [false, true] {
        let (mut whole, mut refused) = (0, 0);
        for _ in 0..100 {
            for result in meanwhile(100, Source::Path(&path), development, shrink) {
                match result {
                    Ok(loaded) => {
                        assert!(loaded.file.as_slice() == bytes);
                        whole += 1;
                    }
                    Err(e) => {
                        let known = [Status::Io, Status::NotAnArtifact, Status::InvalidArtifact];
                        assert!(known.contains(&e.status()), "{e}");
                        refused += 1;
                    }
                }
            }
            if whole >= 100 && refused >= 100 {
                break;
            }
        }
        println!("a file that shrinks: {whole} whole, {refused} refused");
        assert!(whole > 0 && refused > 0);
    }
}

/// By another one, in one step, as it should be; and by writing over it, as it should not.
fn replaced(dir: &Dir) {
    let versions = ["first", "other"].map(|v| {
        let mut parts = large();
        parts.contract.labels = vec![("version".into(), v.into())];
        parts.build()
    });
    let path = dir.file("replaced.so", &versions[0]);
    let next = dir.0.join("next.so");
    let rename = || {
        for v in &versions {
            std::fs::write(&next, v).unwrap();
            std::fs::rename(&next, &path).unwrap();
        }
    };
    for result in meanwhile(200, Source::Path(&path), false, rename) {
        let loaded = result.expect("one of the two versions");
        assert!(versions.iter().any(|v| loaded.file.as_slice() == v));
    }
    let file = File::options().write(true).open(&path).unwrap();
    let overwrite = || {
        for v in &versions {
            std::os::unix::fs::FileExt::write_all_at(&file, v, 0).unwrap();
        }
    };
    for result in meanwhile(200, Source::Path(&path), true, overwrite) {
        match result {
            Ok(loaded) => assert!(versions.iter().any(|v| loaded.file.as_slice() == v)),
            Err(e) => {
                let known = [Status::Io, Status::InvalidArtifact];
                assert!(known.contains(&e.status()), "{e}");
                assert!(e.message().contains("chang"), "{e}");
            }
        }
    }
    // What was loaded before the file was written over is what it was.
    std::fs::write(&path, &versions[0]).unwrap();
    let loaded = load(Source::Path(&path), &options(false)).unwrap();
    std::fs::write(&path, resealed(&versions[1])).unwrap();
    assert!(loaded.file.as_slice() == versions[0]);
}
