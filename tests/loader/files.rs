//! Files that are no artifacts, and paths that are no files.

use super::good::{ALLOW, load_bytes};
use super::sample::sample;
use lucet::loader::{Source, load};
use lucet::{Error, Status};
use nix::sys::stat::Mode;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// A directory that is removed when dropped.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lucet-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn refused(path: &Path) -> Error {
    load(Source::Path(path), &ALLOW).unwrap_err()
}

/// Bytes that this thread has asked the kernel for.
fn bytes_read() -> u64 {
    let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    io.lines().find_map(|l| l.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[test]
fn paths_that_are_no_files_are_refused_at_once() {
    let dir = Dir::new("paths");
    let fifo = dir.0.join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let sparse = dir.write("sparse", b"\x7fELF");
    File::options().write(true).open(&sparse).unwrap().set_len(1 << 40).unwrap();
    let holes = dir.write("holes", b"\x7fELF");
    File::options().write(true).open(&holes).unwrap().set_len(1 << 30).unwrap();
    let link = dir.0.join("loop");
    std::os::unix::fs::symlink(&link, &link).unwrap();
    let cases = [
        (dir.0.join("missing"), Status::Io, "No such file"),
        (PathBuf::from("a\0b"), Status::Io, "NUL byte"),
        (link, Status::Io, "ELOOP"),
        (dir.0.clone(), Status::NotAnArtifact, "a directory"),
        (fifo, Status::NotAnArtifact, "a pipe"),
        ("/dev/zero".into(), Status::NotAnArtifact, "a device"),
        ("/dev/null".into(), Status::NotAnArtifact, "a device"),
        ("/proc/self/maps".into(), Status::NotAnArtifact, "empty"),
        (sparse, Status::InvalidArtifact, "1099511627776 bytes"),
        (holes, Status::NotAnArtifact, "object file"),
        ("/proc/self/exe".into(), Status::NotAnArtifact, "ordinary shared object"),
    ];
    let before = bytes_read();
    for (path, status, part) in cases {
        let e = refused(&path);
        assert_eq!(e.status(), status, "{e}");
        assert!(e.message().contains(part), "{e}");
        let shown = path.display().to_string().escape_debug().to_string();
        assert!(e.message().starts_with(&shown), "{e}");
    }
    let read = bytes_read() - before;
    assert!(read < 1 << 20, "{read} bytes were read, of files that are refused by their ends");
}

#[test]
fn newcomers_are_told_what_to_do() {
    let dir = Dir::new("newcomers");
    let truncated = sample().build();
    let object = {
        let mut b = truncated[..truncated.len() - 512].to_vec();
        b[16] = 1;
        b
    };
    let cases: [(&[u8], Status, &str); 7] = [
        (b"", Status::NotAnArtifact, "empty"),
        (b"\0asm\x01\0\0\0", Status::NotAnArtifact, "lucetc FILE -o FILE.so"),
        (b"(module)", Status::NotAnArtifact, "WebAssembly text"),
        (&[0; 2000], Status::NotAnArtifact, "begins with [00, 00, 00, 00]"),
        (&object, Status::NotAnArtifact, "object file"),
        (&truncated[..truncated.len() - 1], Status::InvalidArtifact, "cut off"),
        (&truncated[..6000], Status::InvalidArtifact, "cut off"),
    ];
    for (i, (bytes, status, part)) in cases.into_iter().enumerate() {
        let path = dir.write(&format!("case-{i}"), bytes);
        for e in [refused(&path), load_bytes(bytes).unwrap_err()] {
            assert_eq!(e.status(), status, "{e}");
            assert!(e.message().contains(part), "{e}");
        }
    }
}

#[test]
fn descriptors_are_read_from_the_start_and_left_alone() {
    use std::io::Seek;
    let dir = Dir::new("fd");
    let path = dir.write("a.so", &sample().build());
    let mut file = File::open(&path).unwrap();
    file.seek(std::io::SeekFrom::Start(77)).unwrap();
    let loaded = load(Source::Fd(file.as_fd()), &ALLOW).unwrap();
    assert_eq!(loaded.path, None);
    assert_eq!(file.stream_position().unwrap(), 77);
    let zero = File::open("/dev/zero").unwrap();
    let e = load(Source::Fd(zero.as_fd()), &ALLOW).unwrap_err();
    assert_eq!(e.status(), Status::NotAnArtifact);
}

/// The original may do what it likes after it was copied, and while it is being copied.
#[test]
fn a_file_that_changes_is_loaded_whole_or_refused() {
    let dir = Dir::new("changes");
    let bytes = sample().build();
    let path = dir.write("a.so", &bytes);
    let loaded = load(Source::Path(&path), &ALLOW).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    assert_eq!(loaded.file.as_slice(), bytes);

    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let file = File::options().write(true).open(&path).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for len in [0, 100, 5000, bytes.len() as u64 + 5000] {
                    file.set_len(len).unwrap();
                }
                std::fs::write(&path, &bytes).unwrap();
            }
        });
        for _ in 0..3000 {
            match load(Source::Path(&path), &ALLOW) {
                Ok(loaded) => assert_eq!(loaded.file.as_slice(), bytes),
                Err(e) => assert!(
                    matches!(
                        e.status(),
                        Status::Io | Status::NotAnArtifact | Status::InvalidArtifact
                    ),
                    "{e}"
                ),
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
