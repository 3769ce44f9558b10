//! Each limit reached exactly, exceeded by one, and exceeded by all that 32 bits hold.

mod common;

use common::host::{House, WAYS};
use common::{DATA, Guest, How, ROOT, clock_subscription, done};
use lucet_wasi::types::value;
use lucet_wasi::{Config, ConfigError, Errno, Limits, Sink, Source, abi};

fn small() -> Limits {
    Limits {
        descriptors: 6,
        iovecs: 4,
        transfer_bytes: 100,
        random_bytes: 50,
        subscriptions: 3,
        readdir_bytes: 500,
        path_bytes: 20,
        file_bytes: 1000,
        written_bytes: 1500,
        output_bytes: 150,
    }
}

fn guest(house: &House) -> Guest {
    let mut config = house.config(WAYS[0]);
    config.limits(small()).stdout(Sink::Capture).stderr(Sink::Discard);
    Guest::new(config)
}

#[test]
fn buffers_and_transfers() {
    let house = House::new();
    std::fs::write(house.inside().join("file"), vec![b'x'; 300]).unwrap();
    let mut guest = guest(&house);
    let fd = guest.open(ROOT, "file", How::with(0)).unwrap();
    for n in 0..8 {
        guest.put(0x8000 + n * 8, &[DATA, 40].map(u32::to_le_bytes).concat());
    }
    for (count, expected) in [
        (0, Ok(0)),
        (1, Ok(40)),
        (4, Ok(100)),
        (5, Err(Errno::Inval)),
        (u32::MAX, Err(Errno::Inval)),
    ] {
        let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
        let got = done(abi::fd_pread(ctx, mem, fd, 0x8000, count, 0, 64));
        assert_eq!(got.map(|()| guest.result()), expected, "{count}");
    }
    assert_eq!(guest.pwrite(fd, &[1; 200], 0), Ok(100), "a short count");
}

#[test]
fn more_buffers_than_one_system_call_takes() {
    let house = House::new();
    std::fs::write(house.inside().join("file"), vec![b'x'; 300]).unwrap();
    let mut guest = Guest::new(house.config(WAYS[0]));
    let fd = guest.open(ROOT, "file", How::with(0)).unwrap();
    for n in 0..200 {
        guest.put(0x8000 + n * 8, &[DATA + n, 1].map(u32::to_le_bytes).concat());
    }
    let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
    assert_eq!(done(abi::fd_write(ctx, mem, fd, 0x8000, 200, 64)), Ok(()));
    assert_eq!(guest.result(), 64);
}

#[test]
fn random_bytes() {
    let mut config = Config::new();
    config.limits(small());
    let mut guest = Guest::new(config);
    for (len, expected) in
        [(0, Ok(())), (50, Ok(())), (51, Err(Errno::Inval)), (u32::MAX, Err(Errno::Inval))]
    {
        let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
        assert_eq!(done(abi::random_get(ctx, mem, DATA, len)), expected);
    }
}

#[test]
fn subscriptions() {
    let mut config = Config::new();
    config.limits(small());
    let mut guest = Guest::new(config);
    let now = clock_subscription(1, value::CLOCK_MONOTONIC, 0, true);
    assert_eq!(guest.poll(&[now; 3]).map(|e| e.len()), Ok(3));
    assert_eq!(guest.poll(&[now; 4]), Err(Errno::Inval));
    let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
    assert_eq!(done(abi::poll_oneoff(ctx, mem, DATA, DATA, u32::MAX, 64)), Err(Errno::Inval));
}

#[test]
fn listings_and_paths() {
    let house = House::new();
    let mut guest = guest(&house);
    for (len, ok) in [(0, true), (500, true), (501, false), (u32::MAX, false)] {
        let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
        let got = done(abi::fd_readdir(ctx, mem, ROOT, DATA, len, 0, 64));
        assert_eq!(got, if ok { Ok(()) } else { Err(Errno::Inval) });
    }
    assert_eq!(guest.mkdir(ROOT, "x".repeat(20)), Ok(()));
    assert_eq!(guest.mkdir(ROOT, "x".repeat(21)), Err(Errno::Nametoolong));
    let mut config = Config::new();
    config.directory(house.inside(), "x".repeat(21), false).limits(small());
    assert!(matches!(config.build(), Err(ConfigError::TooMuch { limit: 20, .. })));
}

#[test]
fn descriptors() {
    let house = House::new();
    let mut guest = guest(&house);
    for n in 0..2 {
        assert_eq!(guest.open(ROOT, format!("f{n}"), How::write()), Ok(4 + n));
    }
    assert_eq!(guest.open(ROOT, "f2", How::write()), Err(Errno::Mfile));
    assert!(!house.inside().join("f2").exists());
    guest.close(0).unwrap();
    assert_eq!(guest.open(ROOT, "f2", How::write()), Ok(0));
    let mut config = Config::new();
    for n in 0..4 {
        config.directory(house.inside(), format!("{n}"), false);
    }
    config.limits(small());
    assert_eq!(config.build().err(), Some(ConfigError::Descriptors { given: 7, limit: 6 }));
}

#[test]
fn files_and_what_is_written() {
    let house = House::new();
    let mut guest = guest(&house);
    let fd = guest.open(ROOT, "file", How::write()).unwrap();
    let (size, max) = (1000, u64::MAX);
    let set =
        |g: &mut Guest, size| done(abi::fd_filestat_set_size(&mut g.ctx, &mut g.mem, fd, size));
    assert_eq!(set(&mut guest, size), Ok(()));
    assert_eq!(set(&mut guest, size + 1), Err(Errno::Fbig));
    assert_eq!(set(&mut guest, max), Err(Errno::Fbig));
    assert_eq!(guest.pwrite(fd, b"abc", 998), Ok(2), "as far as it goes");
    assert_eq!(guest.pwrite(fd, b"a", 1000), Err(Errno::Fbig));
    assert_eq!(guest.pwrite(fd, b"a", max), Err(Errno::Fbig));
    assert_eq!(guest.pwrite(fd, b"a", i64::MAX as u64), Err(Errno::Fbig));
    assert_eq!(guest.seek(fd, 999, value::WHENCE_SET), Ok(999));
    assert_eq!(guest.write(fd, b"abc"), Ok(1));
    assert_eq!(guest.write(fd, b"abc"), Err(Errno::Fbig));
    let append = How { fdflags: value::FDFLAGS_APPEND, ..How::with(0) };
    let other = guest.open(ROOT, "file", append).unwrap();
    assert_eq!(guest.write(other, b"abc"), Err(Errno::Fbig), "its end counts, not its position");
    let allocate = |g: &mut Guest, offset, len| {
        done(abi::fd_allocate(&mut g.ctx, &mut g.mem, fd, offset, len))
    };
    assert_eq!(allocate(&mut guest, 0, 1001), Err(Errno::Fbig));
    assert_eq!(allocate(&mut guest, max, 2), Err(Errno::Fbig));
    assert_eq!(allocate(&mut guest, 0, 0), Err(Errno::Inval));
    assert_eq!(allocate(&mut guest, 0, 1000), Ok(()));
    // 3 were written, 1000 allocated, 1500 are allowed in all.
    for _ in 0..4 {
        assert_eq!(guest.pwrite(fd, &[0; 100], 0), Ok(100));
    }
    assert_eq!(allocate(&mut guest, 0, 98), Err(Errno::Dquot));
    assert_eq!(guest.pwrite(fd, &[0; 100], 0), Ok(97));
    assert_eq!(guest.pwrite(fd, &[0; 1], 0), Err(Errno::Dquot));
    assert_eq!(guest.pwrite(fd, &[], 0), Ok(0));
    assert_eq!(std::fs::metadata(house.inside().join("file")).unwrap().len(), 1000);
}

#[test]
fn standard_output() {
    let house = House::new();
    let mut guest = guest(&house);
    for fd in [1, 2] {
        assert_eq!(guest.write(fd, &[b'a'; 90]), Ok(90));
        assert_eq!(guest.write(fd, &[b'b'; 90]), Ok(60));
        assert_eq!(guest.write(fd, b"c"), Err(Errno::Nospc));
        assert_eq!(guest.write(fd, b""), Ok(0));
    }
    let (out, err) = guest.ctx.output();
    assert_eq!((out.len(), err.len()), (150, 0));
    assert_eq!((&out[..2], &out[148..]), (b"aa".as_slice(), b"bb".as_slice()));
}

#[test]
fn standard_input() {
    let mut config = Config::new();
    config.stdin(Source::Bytes(b"0123456789".to_vec()));
    let template = config.build().unwrap();
    let mut guest = Guest::of(&template);
    assert_eq!(guest.read(0, 4).unwrap(), b"0123");
    assert_eq!(guest.read(0, 400).unwrap(), b"456789");
    assert_eq!(guest.read(0, 400).unwrap(), b"");
    assert_eq!(guest.write(0, b"x"), Err(Errno::Notcapable));
    assert_eq!(guest.read(1, 1), Err(Errno::Notcapable));
    let mut other = Guest::of(&template);
    other.ctx.set_stdin(b"mine".to_vec());
    assert_eq!(other.read(0, 400).unwrap(), b"mine");
    let mut config = Config::new();
    config.stdin(Source::Closed).stdout(Sink::Closed);
    let mut closed = Guest::new(config);
    assert_eq!(closed.read(0, 1), Err(Errno::Badf));
    assert_eq!(closed.write(1, b"x"), Err(Errno::Badf));
    assert_eq!(closed.write(2, b"x"), Ok(1));
}
