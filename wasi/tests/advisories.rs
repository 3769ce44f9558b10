//! What went wrong in other implementations of WASI, each as a test that bears its name. Where the
//! original is about another interface, the test is about what corresponds to it here.

mod common;

use std::fs;
use std::os::unix::fs::symlink;

use common::host::{Canary, House, WAYS};
use common::{DATA, Guest, How, MEMORY, ROOT, done};
use lucet_wasi::types::value;
use lucet_wasi::{Config, Errno, Limits, Rights, abi};

fn guests(house: &House) -> impl Iterator<Item = Guest> + '_ {
    WAYS.into_iter().map(|way| Guest::new(house.config(way)))
}

/// Wasmtime: `fd_renumber` with a number that is not open panicked in the host.
#[test]
fn rustsec_2025_0046_renumber_to_what_is_not_open() {
    let house = House::new();
    for mut guest in guests(&house) {
        for (from, to) in
            [(3, 9), (9, 3), (9, 9), (3, u32::MAX), (u32::MAX, 3), (u32::MAX, u32::MAX)]
        {
            assert_eq!(guest.renumber(from, to), Err(Errno::Badf));
        }
        assert_eq!(guest.renumber(3, 3), Ok(()));
        assert!(guest.fdstat(3).is_ok());
    }
}

/// Wasmtime: what stood at the target of `fd_renumber` was not closed.
#[test]
fn rustsec_2026_0182_renumber_leaks_nothing() {
    let house = House::new();
    fs::write(house.inside().join("file"), "x").unwrap();
    for mut guest in guests(&house) {
        let low = guest.open(ROOT, "file", How::read()).unwrap();
        for _ in 0..1000 {
            let high = guest.open(ROOT, "file", How::read()).unwrap();
            assert_eq!(high, low + 1);
            assert_eq!(guest.renumber(high, low), Ok(()));
        }
        let open = fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok())
            .filter(|path| *path == house.inside().join("file"))
            .count();
        assert_eq!(open, 1);
    }
}

/// Wasmtime: `path_open` with `TRUNC` cut files that could only be read.
#[test]
fn rustsec_2026_0149_truncating_is_writing() {
    let house = House::new();
    let file = house.inside().join("file");
    for way in WAYS {
        fs::write(&file, "content").unwrap();
        let mut config = Config::new();
        config.directory(house.inside(), "/", true).resolution(way);
        let mut guest = Guest::new(config);
        for base in [Rights::NONE, Rights::FD_READ, Rights::FD_WRITE, Rights::EVERY] {
            for oflags in [value::OFLAGS_TRUNC, value::OFLAGS_TRUNC | value::OFLAGS_CREAT] {
                let how = How { base, ..How::with(oflags) };
                assert_eq!(guest.open(ROOT, "file", how), Err(Errno::Notcapable));
            }
        }
        assert_eq!(fs::read(&file).unwrap(), b"content");
    }
}

/// Wasmtime: a hard link or a rename carried a file from a directory that may only be read into one
/// that may be written, and there it could be written.
#[test]
fn rustsec_2026_0188_names_carry_no_rights() {
    let house = House::new();
    let (from, to) = (house.inside().join("from"), house.inside().join("to"));
    fs::create_dir_all(&from).unwrap();
    fs::create_dir_all(&to).unwrap();
    fs::write(from.join("file"), "content").unwrap();
    // Read-only by what it hands down, though its own names may be linked and renamed.
    let handed = Rights::READ_ONLY;
    for (base, way) in
        [(Rights::READ_ONLY, WAYS[0]), (Rights::DIRECTORY, WAYS[0]), (Rights::DIRECTORY, WAYS[1])]
    {
        let mut config = Config::new();
        config.directory_with(&from, "/from", base, handed);
        config.directory(&to, "/to", false).resolution(way);
        let mut guest = Guest::new(config);
        assert_eq!(guest.link(3, "file", 4, "file"), Err(Errno::Notcapable));
        assert_eq!(guest.rename(3, "file", 4, "file"), Err(Errno::Notcapable));
        // A detour through a directory opened with less takes nobody further.
        let how = How { inheriting: Rights::NONE, ..How::directory() };
        let low = guest.open(4, ".", how).unwrap();
        assert_eq!(guest.link(low, "x", 4, "file"), Err(Errno::Notcapable));
        assert!(to.read_dir().unwrap().next().is_none());
    }
}

/// Wasmtime (also CVE-2026-27204): the guest chose how much the host allocates.
#[test]
fn rustsec_2026_0020_the_guest_does_not_size_our_memory() {
    let house = House::new();
    fs::write(house.inside().join("file"), "x").unwrap();
    for mut guest in guests(&house) {
        let fd = guest.open(ROOT, "file", How::with(0)).unwrap();
        let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
        let huge = u32::MAX;
        assert_eq!(done(abi::fd_read(ctx, mem, fd, 0, huge, 64)), Err(Errno::Inval));
        assert_eq!(done(abi::fd_write(ctx, mem, fd, 0, huge, 64)), Err(Errno::Inval));
        assert_eq!(done(abi::fd_pread(ctx, mem, fd, 0, huge, 0, 64)), Err(Errno::Inval));
        assert_eq!(done(abi::fd_pwrite(ctx, mem, fd, 0, huge, 0, 64)), Err(Errno::Inval));
        assert_eq!(done(abi::random_get(ctx, mem, 0, huge)), Err(Errno::Inval));
        assert_eq!(done(abi::poll_oneoff(ctx, mem, 0, 0, huge, 64)), Err(Errno::Inval));
        assert_eq!(done(abi::fd_readdir(ctx, mem, ROOT, 0, huge, 0, 64)), Err(Errno::Inval));
        let long = done(abi::path_create_directory(ctx, mem, ROOT, 0, huge));
        assert_eq!(long, Err(Errno::Fault));
        let long = done(abi::path_create_directory(ctx, mem, ROOT, 0, 4096));
        assert_eq!(long, Err(Errno::Nametoolong));
    }
}

/// Wasmtime: too many header fields panicked in the host. Here: too much given to a program.
#[test]
fn cve_2026_27572_too_much_is_an_error() {
    let mut config = Config::new();
    for _ in 0..65_537 {
        config.arg("x");
    }
    assert!(config.build().is_err());
    let mut config = Config::new();
    config.arg(vec![b'x'; 17 << 20]);
    assert!(config.build().is_err());
}

/// Wasmtime, August 2026: a slash at the end of a path or of a symbolic link's target made the
/// kernel follow what had been checked as not followed.
#[test]
fn ghsa_vqjp_2026_08_slashes_at_the_end() {
    let house = House::new();
    let canary = Canary::new(&house);
    let inside = house.inside();
    for (name, target) in [
        ("a", "../outside"),
        ("b", "../outside/"),
        ("c", "a/"),
        ("d", "c//"),
        ("e", "../outside/link/"),
    ] {
        symlink(target, inside.join(name)).unwrap();
    }
    for mut guest in guests(&house) {
        for name in ["a", "b", "c", "d", "e"] {
            for slashes in ["/", "//", "/./", "/.//."] {
                let path = format!("{name}{slashes}");
                for follow in [false, true] {
                    assert_eq!(guest.stat(ROOT, &path, follow), Err(Errno::Perm), "{path}");
                    assert_eq!(guest.set_times(ROOT, &path, follow, 1), Err(Errno::Perm));
                    for how in [How::read(), How::directory(), How::write()] {
                        assert!(guest.open(ROOT, &path, How { follow, ..how }).is_err());
                    }
                }
                assert!(guest.rmdir(ROOT, &path).is_err());
                assert!(guest.unlink(ROOT, &path).is_err());
                assert!(guest.mkdir(ROOT, &path).is_err());
                assert!(guest.rename(ROOT, &path, ROOT, "moved").is_err());
                assert!(guest.readlink(ROOT, &path).is_err());
                assert!(guest.link(ROOT, &path, ROOT, "linked").is_err());
                assert!(guest.symlink("x", ROOT, &path).is_err());
                canary.untouched(&path);
            }
        }
    }
    canary.unchanged("slashes");
}

/// Wasmer: a guest made a symbolic link that led outside and created a file through it.
#[test]
fn cve_2024_38358_creating_through_a_link() {
    let house = House::new();
    let canary = Canary::new(&house);
    for mut guest in guests(&house) {
        let absolute = house.outside();
        let absolute = absolute.to_str().unwrap();
        assert_eq!(guest.symlink(absolute, ROOT, "absolute"), Err(Errno::Perm));
        guest.symlink("../outside", ROOT, "link").unwrap();
        guest.symlink("../outside/created", ROOT, "dangling").unwrap();
        for path in ["link/created", "dangling", "link/../outside/created"] {
            assert_eq!(guest.open(ROOT, path, How::write()), Err(Errno::Perm), "{path}");
        }
        assert_eq!(guest.mkdir(ROOT, "link/created"), Err(Errno::Perm));
        assert_eq!(guest.rename(ROOT, "link/secret", ROOT, "mine"), Err(Errno::Perm));
        guest.unlink(ROOT, "link").unwrap();
        guest.unlink(ROOT, "dangling").unwrap();
    }
    canary.unchanged("links");
}

/// Wasmer: programs that had been given no directory could use the file system.
#[test]
fn cve_2023_51661_no_directory_no_files() {
    let mut guest = Guest::new(Config::new());
    assert_eq!(guest.open(3, "etc/passwd", How::read()), Err(Errno::Badf));
    for fd in 0..3 {
        assert_eq!(guest.open(fd, "etc/passwd", How::read()), Err(Errno::Notdir));
        assert_eq!(guest.stat(fd, ".", true), Err(Errno::Notdir));
        assert_eq!(guest.readdir_once(fd, 100, 0).err(), Some(Errno::Notcapable));
    }
}

/// WAMR: the target given to `path_symlink` was not checked.
#[test]
fn cve_2025_43853_targets_of_links() {
    let house = House::new();
    let canary = Canary::new(&house);
    for mut guest in guests(&house) {
        for target in ["/", "/etc/passwd", "//x"] {
            assert_eq!(guest.symlink(target, ROOT, "link"), Err(Errno::Perm));
        }
        assert_eq!(guest.symlink("", ROOT, "link"), Err(Errno::Noent));
        assert_eq!(guest.symlink("a\0b", ROOT, "link"), Err(Errno::Inval));
        assert_eq!(guest.symlink("x".repeat(4096), ROOT, "link"), Err(Errno::Nametoolong));
        for place in ["../link", "../outside/link2", "/link"] {
            assert_eq!(guest.symlink("x", ROOT, place), Err(Errno::Perm));
        }
        assert!(house.inside().read_dir().unwrap().next().is_none());
    }
    canary.unchanged("links");
}

/// WasmEdge #4938: a symbolic link that was in the directory before led outside.
#[test]
fn wasmedge_4938_links_that_were_there() {
    let house = House::new();
    let canary = Canary::new(&house);
    symlink(house.outside().join("secret"), house.inside().join("absolute")).unwrap();
    symlink("../outside/secret", house.inside().join("relative")).unwrap();
    for mut guest in guests(&house) {
        for link in ["absolute", "relative"] {
            assert_eq!(guest.open(ROOT, link, How::read()), Err(Errno::Perm));
            assert_eq!(guest.open(ROOT, link, How::write()), Err(Errno::Perm));
            assert_eq!(guest.stat(ROOT, link, true), Err(Errno::Perm));
            assert_eq!(
                guest.stat(ROOT, link, false).unwrap().filetype,
                value::FILETYPE_SYMBOLIC_LINK
            );
        }
    }
    canary.unchanged("links");
}

/// wasm3 #323: buffers of `fd_write` were not checked against memory. wabt: the sum overflowed.
#[test]
fn wasm3_323_buffers_lie_in_memory() {
    let house = House::new();
    fs::write(house.inside().join("file"), "x").unwrap();
    let end = MEMORY as u32;
    for mut guest in guests(&house) {
        let fd = guest.open(ROOT, "file", How::with(0)).unwrap();
        let call = |guest: &mut Guest, iovs: u32, count: u32, result: u32| {
            let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
            [
                done(abi::fd_write(ctx, mem, fd, iovs, count, result)),
                done(abi::fd_read(ctx, mem, fd, iovs, count, result)),
                done(abi::fd_pwrite(ctx, mem, fd, iovs, count, 0, result)),
                done(abi::fd_pread(ctx, mem, fd, iovs, count, 0, result)),
            ]
        };
        for (addr, len) in [
            (end, 1),
            (end - 1, 2),
            (u32::MAX, 1),
            (u32::MAX, u32::MAX),
            (1, u32::MAX),
            (end + 1, 0),
        ] {
            let iovs = guest.iovec(addr, len);
            assert_eq!(call(&mut guest, iovs, 1, 64), [Err(Errno::Fault); 4], "{addr} {len}");
        }
        let iovs = guest.iovec(DATA, 1);
        for (iovs, count) in
            [(end, 1), (end - 7, 1), (u32::MAX, 1), (u32::MAX - 6, 1), (iovs, 1024 * 1024)]
        {
            let got = call(&mut guest, iovs, count, 64);
            assert!(got.iter().all(Result::is_err), "{iovs} {count}: {got:?}");
        }
        for result in [end, end - 3, u32::MAX] {
            assert_eq!(call(&mut guest, iovs, 1, result), [Err(Errno::Fault); 4]);
        }
        assert_eq!(fs::read(house.inside().join("file")).unwrap(), b"x");
    }
}

/// Where names of directories were compared as strings, one name that begins like another was
/// taken for something inside it.
#[test]
fn uvwasi_a_prefix_is_no_directory() {
    let house = House::new();
    let canary = Canary::new(&house);
    let beside = house.inside().with_file_name("inside2");
    fs::create_dir_all(&beside).unwrap();
    fs::write(beside.join("file"), "x").unwrap();
    for mut guest in guests(&house) {
        for path in ["../inside2/file", "../inside/../inside2/file", "/inside2/file", "2/file"] {
            assert!(guest.open(ROOT, path, How::read()).is_err());
            assert!(guest.stat(ROOT, path, true).is_err());
        }
    }
    canary.unchanged("prefixes");
}

/// The name of a preopened directory was written beyond the guest's buffer.
#[test]
fn uvwasi_names_of_directories_fit() {
    let house = House::new();
    let mut config = Config::new();
    config.directory(house.inside(), "/a/long/name", false);
    let mut guest = Guest::new(config);
    let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
    assert_eq!(done(abi::fd_prestat_get(ctx, mem, ROOT, DATA)), Ok(()));
    let short = done(abi::fd_prestat_dir_name(ctx, mem, ROOT, DATA + 16, 11));
    assert_eq!(short, Err(Errno::Nametoolong));
    let outside = done(abi::fd_prestat_dir_name(ctx, mem, ROOT, MEMORY as u32 - 4, 12));
    assert_eq!(outside, Err(Errno::Fault));
    assert_eq!(done(abi::fd_prestat_dir_name(ctx, mem, ROOT, DATA + 16, 100)), Ok(()));
    assert_eq!(guest.u32(DATA + 4), 12);
    assert_eq!(guest.get(DATA + 16, 13), b"/a/long/name\0");
}

/// Descriptors without limit exhaust the host's.
#[test]
fn descriptors_end_before_the_hosts_do() {
    let house = House::new();
    fs::write(house.inside().join("file"), "x").unwrap();
    let mut config = house.config(WAYS[0]);
    config.limits(Limits { descriptors: 8, ..Limits::default() });
    let mut guest = Guest::new(config);
    let opened: Vec<_> = (0..10).map(|_| guest.open(ROOT, "file", How::read())).collect();
    assert_eq!(opened.iter().filter(|r| r.is_ok()).count(), 4);
    assert!(opened.iter().skip(4).all(|r| *r == Err(Errno::Mfile)));
    // Not even a file is made for a descriptor that there is no room for.
    assert_eq!(guest.open(ROOT, "made", How::write()), Err(Errno::Mfile));
    assert!(!house.inside().join("made").exists());
}
