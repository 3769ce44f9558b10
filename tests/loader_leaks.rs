//! Nothing is left behind: neither by failed loads nor by modules that come and go. One test, alone
//! in its process, because it counts what belongs to the whole process.

#[path = "common/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "common/sample.rs"]
mod sample;

use lucet::Status;
use lucet::loader::{LoadOptions, Loaded, Source, load};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use process::{descriptors, mappings};
use sample::{Parts, resealed, sample};

fn try_load(bytes: &[u8]) -> lucet::Result<Loaded> {
    load(Source::Bytes(bytes), &LoadOptions { allow_unsigned: true, ..LoadOptions::default() })
}

fn counts() -> (usize, usize) {
    (descriptors(), mappings())
}

/// Artifacts that fail at each stage: container, sections, expressions, trailer.
fn broken() -> Vec<Vec<u8>> {
    let good = sample().build();
    let mut all: Vec<Vec<u8>> = (0..good.len()).step_by(97).map(|n| good[..n].to_vec()).collect();
    for at in (0..good.len() - 512).step_by(13) {
        let mut b = good.clone();
        b[at] ^= 0x55;
        all.push(b.clone());
        all.push(resealed(&b));
    }
    all
}

#[test]
fn nothing_is_left_behind() {
    let good = sample().build();
    drop(try_load(&good).unwrap());
    let before = counts();

    let mut failed = 0;
    for bytes in broken() {
        failed += usize::from(try_load(&bytes).is_err());
        let path = std::path::Path::new("/proc/self/maps");
        let options =
            LoadOptions { allow_unsigned: true, development: true, ..LoadOptions::default() };
        assert!(load(Source::Path(path), &options).is_err());
    }
    assert!(failed > 1000, "{failed}");
    assert_eq!(counts(), before);

    // Each module takes one descriptor and at most three mappings, whatever is freed in between.
    let mut live: Vec<Option<Loaded>> = Vec::new();
    for i in 0..300_usize {
        let mut parts: Parts = sample();
        parts.text.resize(1 + i * 999, 0xcc);
        parts.text.resize(parts.text.len().max(192), 0xcc);
        live.push(Some(try_load(&parts.build()).unwrap()));
        if i % 3 == 2 {
            live[i / 2] = None;
        }
        let n = live.iter().flatten().count();
        let (fds, maps) = counts();
        assert_eq!(fds, before.0 + n);
        assert!(maps <= before.1 + 3 * n, "{maps} mappings, {} before, {n} modules", before.1);
    }
    drop(live);
    assert_eq!(counts(), before);

    refused_resources(&good);
    assert_eq!(counts(), before);

    no_writable_code(&good);
    assert_eq!(counts(), before);
}

/// A process without descriptors or address space gets a status.
fn refused_resources(good: &[u8]) {
    for (resource, limit) in [(Resource::RLIMIT_NOFILE, 3), (Resource::RLIMIT_AS, 1 << 20)] {
        let (soft, hard) = getrlimit(resource).unwrap();
        setrlimit(resource, limit, hard).unwrap();
        let result = try_load(good);
        setrlimit(resource, soft, hard).unwrap();
        let e = result.unwrap_err();
        assert_eq!(e.status(), Status::OutOfMemory, "{e}");
        assert!(e.message().contains("RLIMIT"), "{e}");
        assert!(try_load(good).is_ok());
    }
}

/// Loading works where the kernel refuses memory that is or becomes both writable and executable.
fn no_writable_code(good: &[u8]) {
    const PR_SET_MDWE: libc::c_int = 65;
    // SAFETY: this prctl takes integers only and restricts later mmap and mprotect calls.
    let set = unsafe { libc::prctl(PR_SET_MDWE, 1, 0, 0, 0) };
    assert_eq!(set, 0, "needs Linux 6.3 or later");
    assert!(try_load(good).is_ok());
}
