//! What honest programs do with files, on both ways of resolution.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use common::host::{House, WAYS};
use common::{DATA, Guest, How, ROOT, done};
use lucet_wasi::types::value;
use lucet_wasi::{Config, ConfigError, Errno, Observed, Rights, Sink, Source, abi};

#[test]
fn writing_reading_seeking() {
    let house = House::new();
    for way in WAYS {
        let mut guest = Guest::new(house.config(way));
        let fd = guest.open(ROOT, "file", How::write()).unwrap();
        assert_eq!(fd, 4);
        assert_eq!(guest.write(fd, b"hello, world"), Ok(12));
        assert_eq!(guest.tell(fd), Ok(12));
        assert_eq!(guest.seek(fd, -5, value::WHENCE_CUR), Ok(7));
        assert_eq!(guest.read(fd, 100).unwrap(), b"world");
        assert_eq!(guest.seek(fd, -5, value::WHENCE_END), Ok(7));
        assert_eq!(guest.seek(fd, -1, value::WHENCE_SET), Err(Errno::Inval));
        assert_eq!(guest.seek(fd, 0, 3), Err(Errno::Inval));
        assert_eq!(guest.pread(fd, 5, 0).unwrap(), b"hello");
        assert_eq!(guest.pwrite(fd, b"J", 0), Ok(1));
        assert_eq!(guest.tell(fd), Ok(7), "positions stay");
        let stat = guest.fstat(fd).unwrap();
        assert_eq!((stat.size, stat.filetype, stat.nlink), (12, value::FILETYPE_REGULAR_FILE, 1));
        assert_eq!(stat.ino, fs::metadata(house.inside().join("file")).unwrap().ino());
        let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
        done(abi::fd_filestat_set_size(ctx, mem, fd, 5)).unwrap();
        done(abi::fd_sync(ctx, mem, fd)).unwrap();
        done(abi::fd_sync(ctx, mem, ROOT)).unwrap();
        done(abi::fd_filestat_set_times(ctx, mem, fd, 1_500, 2_000_000_001, 5)).unwrap();
        let stat = guest.fstat(fd).unwrap();
        assert_eq!((stat.atim, stat.mtim), (1_500, 2_000_000_001));
        assert_eq!(guest.close(fd), Ok(()));
        assert_eq!(guest.close(fd), Err(Errno::Badf));
        assert_eq!(fs::read(house.inside().join("file")).unwrap(), b"Jello");
    }
}

#[test]
fn several_buffers_in_order() {
    let house = House::new();
    fs::write(house.inside().join("file"), "0123456789").unwrap();
    let mut guest = Guest::new(house.config(WAYS[0]));
    let fd = guest.open(ROOT, "file", How::with(0)).unwrap();
    // The first buffer overwrites the list itself.
    guest.put(256, &[260, 6, DATA, 0, DATA, 100].map(u32::to_le_bytes).concat());
    let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
    done(abi::fd_read(ctx, mem, fd, 256, 3, 64)).unwrap();
    assert_eq!((guest.result(), guest.get(260, 6)), (10, b"012345".as_slice()));
    assert_eq!(guest.get(DATA, 4), b"6789");
    guest.put(256, &[DATA + 2, 2, DATA, 0, DATA, 2].map(u32::to_le_bytes).concat());
    let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
    done(abi::fd_write(ctx, mem, fd, 256, 3, 64)).unwrap();
    assert_eq!(fs::read(house.inside().join("file")).unwrap(), b"01234567898967");
}

#[test]
fn appending_and_flags_are_the_guests() {
    let house = House::new();
    let mut guest = Guest::new(house.config(WAYS[0]));
    let fd = guest.open(ROOT, "log", How::write()).unwrap();
    guest.write(fd, b"one").unwrap();
    guest.seek(fd, 0, value::WHENCE_SET).unwrap();
    let every = u32::from(value::FDFLAGS_EVERY);
    for flags in [0, u32::from(value::FDFLAGS_APPEND), every & !4] {
        let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
        done(abi::fd_fdstat_set_flags(ctx, mem, fd, flags)).unwrap();
        assert_eq!(u32::from(guest.fdstat(fd).unwrap().flags), flags);
        guest.write(fd, b"ONE").unwrap();
    }
    assert_eq!(fs::read(house.inside().join("log")).unwrap(), b"ONEONEONE");
    for flags in [32, 1 << 16, u32::MAX] {
        let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
        let got = done(abi::fd_fdstat_set_flags(ctx, mem, fd, flags));
        assert_eq!(got, Err(Errno::Inval));
    }
}

#[test]
fn directories_and_names() {
    for way in WAYS {
        let house = House::new();
        let mut guest = Guest::new(house.config(way));
        guest.mkdir(ROOT, "a").unwrap();
        guest.mkdir(ROOT, "a/b/").unwrap();
        assert_eq!(guest.mkdir(ROOT, "a"), Err(Errno::Exist));
        assert_eq!(guest.mkdir(ROOT, "."), Err(Errno::Exist));
        assert_eq!(guest.mkdir(ROOT, "x/y"), Err(Errno::Noent));
        let file = guest.open(ROOT, "a/b/file", How::write()).unwrap();
        guest.write(file, b"text").unwrap();
        let dir = guest.open(ROOT, "a", How::directory()).unwrap();
        assert_eq!(guest.fdstat(dir).unwrap().filetype, value::FILETYPE_DIRECTORY);
        assert_eq!(guest.stat(dir, "b/file", true).unwrap().size, 4);
        // A directory opened is as much a wall as a preopened one.
        assert_eq!(guest.stat(dir, "../a/b/file", true), Err(Errno::Perm));
        guest.link(ROOT, "a/b/file", dir, "hard").unwrap();
        assert_eq!(guest.fstat(file).unwrap().nlink, 2);
        guest.symlink("b/file", dir, "soft").unwrap();
        assert_eq!(guest.readlink(ROOT, "a/soft").unwrap(), b"b/file");
        assert_eq!(guest.stat(dir, "soft", true).unwrap().size, 4);
        assert_eq!(guest.stat(dir, "soft", false).unwrap().filetype, value::FILETYPE_SYMBOLIC_LINK);
        guest.rename(dir, "b", ROOT, "c").unwrap();
        assert_eq!(guest.stat(dir, "soft", true), Err(Errno::Noent));
        assert_eq!(guest.rename(ROOT, "a/hard/", ROOT, "x"), Err(Errno::Notdir));
        assert_eq!(guest.rename(ROOT, "a/hard", ROOT, "x/"), Err(Errno::Notdir));
        guest.rename(ROOT, "c/", ROOT, "d/").unwrap();
        assert_eq!(guest.unlink(ROOT, "d"), Err(Errno::Isdir));
        assert_eq!(guest.unlink(ROOT, "d/"), Err(Errno::Isdir));
        assert_eq!(guest.unlink(ROOT, "d/file/"), Err(Errno::Notdir));
        assert_eq!(guest.rmdir(ROOT, "d"), Err(Errno::Notempty));
        assert_eq!(guest.rmdir(ROOT, "d/file"), Err(Errno::Notdir));
        guest.unlink(ROOT, "d/file").unwrap();
        assert_eq!(guest.rmdir(ROOT, "d/."), Err(Errno::Inval));
        guest.rmdir(ROOT, "d/").unwrap();
        assert_eq!(guest.stat(ROOT, "d", true), Err(Errno::Noent));
        assert_eq!(guest.open(ROOT, "a", How::write()), Err(Errno::Isdir));
        assert_eq!(guest.open(ROOT, "a/hard", How::directory()), Err(Errno::Notdir));
        assert_eq!(guest.open(ROOT, "a/hard/", How::read()), Err(Errno::Notdir));
        let both = How::with(value::OFLAGS_CREAT | value::OFLAGS_DIRECTORY);
        assert_eq!(guest.open(ROOT, "new", both), Err(Errno::Inval));
        let exclusive = How::with(value::OFLAGS_CREAT | value::OFLAGS_EXCL);
        assert_eq!(guest.open(ROOT, "a/hard", exclusive), Err(Errno::Exist));
        assert_eq!(guest.open(ROOT, "a/soft", exclusive), Err(Errno::Exist));
        let nofollow = How { follow: false, ..How::read() };
        assert_eq!(guest.open(ROOT, "a/soft", nofollow), Err(Errno::Loop));
    }
}

#[test]
fn listings_in_any_buffer() {
    let house = House::new();
    let mut names: Vec<String> = (0..200).map(|n| format!("file-{n}-{}", "x".repeat(n))).collect();
    for name in &names {
        fs::write(house.inside().join(name), "").unwrap();
    }
    symlink("file", house.inside().join("link")).unwrap();
    names.extend([".".to_owned(), "..".to_owned(), "link".to_owned()]);
    names.sort();
    for way in WAYS {
        let mut guest = Guest::new(house.config(way));
        let own = guest.open(ROOT, ".", How::directory()).unwrap();
        for fd in [ROOT, own] {
            for len in [300, 4096, 0x1_0000] {
                let mut entries = guest.readdir(fd, len).unwrap();
                entries.sort_by(|a, b| a.name.cmp(&b.name));
                let listed: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
                assert_eq!(listed, names);
                for entry in entries {
                    let expected = match entry.name.as_str() {
                        ".." => {
                            assert_eq!(entry.ino, 0, "what is above is not told");
                            continue;
                        }
                        "." => value::FILETYPE_DIRECTORY,
                        "link" => value::FILETYPE_SYMBOLIC_LINK,
                        _ => value::FILETYPE_REGULAR_FILE,
                    };
                    assert_eq!(entry.filetype, expected);
                    let stat = guest.stat(fd, &entry.name, false).unwrap();
                    assert_eq!(stat.ino, entry.ino);
                }
            }
        }
        // Cookies that nobody gave out are no danger.
        for cookie in [1, 12345, u64::MAX, 1 << 63, i64::MAX as u64] {
            let _ = guest.readdir_once(ROOT, 4096, cookie);
        }
    }
}

#[test]
fn arguments_and_environment() {
    let mut config = Config::new();
    config.arg("program").arg("").arg("two words").env("A=1").env("B=x=y");
    let mut guest = Guest::new(config);
    let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
    done(abi::args_sizes_get(ctx, mem, 0, 4)).unwrap();
    done(abi::args_get(ctx, mem, 16, 100)).unwrap();
    done(abi::environ_sizes_get(ctx, mem, 8, 12)).unwrap();
    done(abi::environ_get(ctx, mem, 40, 200)).unwrap();
    assert_eq!([0, 4, 8, 12].map(|at| guest.u32(at)), [3, 19, 2, 10]);
    assert_eq!([16, 20, 24].map(|at| guest.u32(at)), [100, 108, 109]);
    assert_eq!(guest.get(100, 20), b"program\0\0two words\0\0");
    assert_eq!(guest.get(200, 11), b"A=1\0B=x=y\0\0");
    assert_eq!([40, 44].map(|at| guest.u32(at)), [200, 204]);
    let end = common::MEMORY as u32;
    let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
    assert_eq!(done(abi::args_get(ctx, mem, 16, end - 18)), Err(Errno::Fault));
    assert_eq!(done(abi::args_get(ctx, mem, end - 11, 100)), Err(Errno::Fault));
    assert_eq!(done(abi::args_sizes_get(ctx, mem, u32::MAX, 4)), Err(Errno::Fault));
    for bad in ["=x", "x", ""] {
        let mut config = Config::new();
        config.env(bad);
        assert_eq!(config.build().err(), Some(ConfigError::Unnamed { index: 0 }), "{bad}");
    }
    let mut config = Config::new();
    config.arg("a").arg("b\0c");
    assert_eq!(config.build().err(), Some(ConfigError::Nul { what: "argument", index: 1 }));
}

#[test]
fn clocks_random_and_the_rest() {
    let mut guest = Guest::new(Config::new());
    let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
    done(abi::clock_res_get(ctx, mem, value::CLOCK_REALTIME, 64)).unwrap();
    assert_eq!(ctx.observed(), Observed::default());
    for (id, expected) in [
        (0, Ok(())),
        (1, Ok(())),
        (2, Err(Errno::Notsup)),
        (3, Err(Errno::Notsup)),
        (4, Err(Errno::Inval)),
        (u32::MAX, Err(Errno::Inval)),
    ] {
        assert_eq!(done(abi::clock_time_get(ctx, mem, id, 0, 64)), expected);
        assert_eq!(done(abi::clock_res_get(ctx, mem, id, 64)), expected);
    }
    assert_eq!(ctx.observed(), Observed { clocks: true, random: false });
    done(abi::random_get(ctx, mem, DATA, 64)).unwrap();
    assert_eq!(ctx.observed(), Observed { clocks: true, random: true });
    assert_ne!(mem[DATA as usize..][..32], mem[DATA as usize + 32..][..32]);
    assert_eq!(abi::proc_exit(ctx, mem, 7), lucet_wasi::Answer::Exit(7));
    assert_eq!(done(abi::proc_raise(ctx, mem, 9)), Err(Errno::Notsup));
    assert_eq!(done(abi::sched_yield(ctx, mem)), Ok(()));
}

#[test]
fn no_file_system_means_none() {
    let house = House::new();
    let mut config = house.config(WAYS[0]);
    config.no_file_system(true);
    assert_eq!(config.build().err(), Some(ConfigError::NoFileSystem));
    let file = fs::File::create(house.inside().join("file")).unwrap();
    let mut config = Config::new();
    config.descriptor(file.into(), Rights::EVERY).no_file_system(true);
    assert_eq!(config.build().err(), Some(ConfigError::NoFileSystem));
    let mut config = Config::new();
    config.no_file_system(true).stdout(Sink::Capture).stdin(Source::Bytes(b"in".to_vec()));
    let mut guest = Guest::new(config);
    for fd in [0, 1, 3] {
        assert_eq!(guest.open(fd, "x", How::read()), Err(Errno::Notsup));
        assert_eq!(guest.stat(fd, "x", true), Err(Errno::Notsup));
        assert_eq!(guest.set_times(fd, "x", true, 1), Err(Errno::Notsup));
        assert_eq!(guest.mkdir(fd, "x"), Err(Errno::Notsup));
        assert_eq!(guest.rmdir(fd, "x"), Err(Errno::Notsup));
        assert_eq!(guest.unlink(fd, "x"), Err(Errno::Notsup));
        assert_eq!(guest.readlink(fd, "x"), Err(Errno::Notsup));
        assert_eq!(guest.symlink("x", fd, "x"), Err(Errno::Notsup));
        assert_eq!(guest.link(fd, "x", fd, "y"), Err(Errno::Notsup));
        assert_eq!(guest.rename(fd, "x", fd, "y"), Err(Errno::Notsup));
    }
    assert_eq!(guest.read(0, 10).unwrap(), b"in");
    assert_eq!(guest.write(1, b"out"), Ok(3));
    assert_eq!(guest.ctx.output().0, b"out");
}

#[test]
fn descriptors_that_were_given() {
    let house = House::new();
    fs::write(house.inside().join("file"), "content").unwrap();
    let open = || fs::File::open(house.inside().join("file")).unwrap();
    let mut config = house.config(WAYS[0]);
    config.descriptor(open().into(), Rights::FD_READ).stdin(Source::Descriptor(open().into()));
    let mut guest = Guest::new(config);
    assert_eq!(guest.read(4, 3).unwrap(), b"con");
    assert_eq!(guest.pread(4, 3, 0), Err(Errno::Notcapable));
    assert_eq!(guest.read(0, 3).unwrap(), b"con");
    assert_eq!(guest.write(0, b"x"), Err(Errno::Notcapable));
    let directory = || fs::File::open(house.inside()).unwrap();
    let mut config = Config::new();
    config.descriptor(directory().into(), Rights::EVERY);
    let refused = ConfigError::Descriptor { index: Some(0), error: Errno::Isdir };
    assert_eq!(config.build().err(), Some(refused));
    let mut config = Config::new();
    config.directory_descriptor(directory().into(), "/", Rights::DIRECTORY, Rights::EVERY);
    let mut guest = Guest::new(config);
    assert_eq!(guest.stat(ROOT, "file", true).unwrap().size, 7);
    let mut config = Config::new();
    config.directory_descriptor(open().into(), "/x", Rights::DIRECTORY, Rights::EVERY);
    let refused = ConfigError::Directory { path: "/x".into(), error: Errno::Notdir };
    assert_eq!(config.build().err(), Some(refused));
    let mut config = Config::new();
    config.directory(house.inside().join("missing"), "/", false);
    let error = config.build().err().unwrap();
    assert!(error.to_string().contains("missing") && error.to_string().contains("Noent"));
}

#[test]
fn a_pipe_in_a_directory_holds_nobody_up() {
    let house = House::new();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let (cwd, fifo) = (rustix::fs::CWD, rustix::fs::FileType::Fifo);
    rustix::fs::mknodat(cwd, house.inside().join("pipe"), fifo, mode, 0).unwrap();
    for way in WAYS {
        let mut guest = Guest::new(house.config(way));
        let write = How { base: Rights::FD_WRITE, ..How::with(0) };
        assert_eq!(guest.open(ROOT, "pipe", write), Err(Errno::Nxio), "nobody reads");
        let reader = guest.open(ROOT, "pipe", How::read()).unwrap();
        assert_eq!(guest.fdstat(reader).unwrap().filetype, value::FILETYPE_UNKNOWN);
        assert_eq!(guest.seek(reader, 1, value::WHENCE_SET), Err(Errno::Notcapable));
        let writer = guest.open(ROOT, "pipe", write).unwrap();
        assert_eq!(guest.write(writer, b"through"), Ok(7));
        assert_eq!(guest.read(reader, 100).unwrap(), b"through");
    }
}
