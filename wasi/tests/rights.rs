//! The rights matrix: each function with each right that it needs taken away, and with exactly the
//! rights that it needs; and what is handed down when something is opened.

mod common;

use std::collections::BTreeSet;
use std::os::unix::net::{UnixListener, UnixStream};

use common::host::{House, WAYS};
use common::{DATA, Guest, How, ROOT, done, fd_subscription};
use lucet_wasi::types::value;
use lucet_wasi::{Answer, Config, Errno, NAMES, Rights, abi};

type Call = fn(&mut Guest, u32) -> Answer;

/// A function, the rights that it needs on its descriptor, and a call of it.
struct Row {
    name: &'static str,
    needs: Rights,
    call: Call,
}

fn row(name: &'static str, needs: Rights, call: Call) -> Row {
    Row { name, needs, call }
}

fn answer(result: Result<impl Sized, Errno>) -> Answer {
    Answer::Errno(result.err().unwrap_or(Errno::Success))
}

fn file_rows() -> Vec<Row> {
    use Rights as R;
    vec![
        row("fd_advise", R::FD_ADVISE, |g, fd| abi::fd_advise(&mut g.ctx, &mut g.mem, fd, 0, 1, 0)),
        row("fd_allocate", R::FD_ALLOCATE, |g, fd| {
            abi::fd_allocate(&mut g.ctx, &mut g.mem, fd, 0, 1)
        }),
        row("fd_datasync", R::FD_DATASYNC, |g, fd| abi::fd_datasync(&mut g.ctx, &mut g.mem, fd)),
        row("fd_fdstat_set_flags", R::FD_FDSTAT_SET_FLAGS, |g, fd| {
            abi::fd_fdstat_set_flags(&mut g.ctx, &mut g.mem, fd, 0)
        }),
        row("fd_filestat_get", R::FD_FILESTAT_GET, |g, fd| answer(g.fstat(fd))),
        row("fd_filestat_set_size", R::FD_FILESTAT_SET_SIZE, |g, fd| {
            abi::fd_filestat_set_size(&mut g.ctx, &mut g.mem, fd, 1)
        }),
        row("fd_filestat_set_times", R::FD_FILESTAT_SET_TIMES, |g, fd| {
            abi::fd_filestat_set_times(&mut g.ctx, &mut g.mem, fd, 0, 0, 0)
        }),
        row("fd_pread", R::FD_READ.and(R::FD_SEEK), |g, fd| answer(g.pread(fd, 1, 0))),
        row("fd_pwrite", R::FD_WRITE.and(R::FD_SEEK), |g, fd| answer(g.pwrite(fd, b"x", 0))),
        row("fd_read", R::FD_READ, |g, fd| answer(g.read(fd, 1))),
        row("fd_write", R::FD_WRITE, |g, fd| answer(g.write(fd, b"x"))),
        row("fd_seek", R::FD_SEEK, |g, fd| answer(g.seek(fd, 1, value::WHENCE_CUR))),
        row("fd_sync", R::FD_SYNC, |g, fd| abi::fd_sync(&mut g.ctx, &mut g.mem, fd)),
        row("poll_oneoff", R::POLL_FD_READWRITE.and(R::FD_READ), |g, fd| polled(g, fd, false)),
        row("poll_oneoff", R::POLL_FD_READWRITE.and(R::FD_WRITE), |g, fd| polled(g, fd, true)),
    ]
}

/// The error that the event of a descriptor tells.
fn polled(g: &mut Guest, fd: u32, write: bool) -> Answer {
    let events = g.poll(&[fd_subscription(7, fd, write)]).unwrap();
    assert_eq!((events.len(), events[0].0), (1, 7));
    let (errno, _) = Errno::ALL[usize::from(events[0].1)];
    Answer::Errno(errno)
}

fn directory_rows() -> Vec<Row> {
    use Rights as R;
    vec![
        row("fd_readdir", R::FD_READDIR, |g, fd| answer(g.readdir_once(fd, 100, 0))),
        row("path_create_directory", R::PATH_CREATE_DIRECTORY, |g, fd| answer(g.mkdir(fd, "new"))),
        row("path_filestat_get", R::PATH_FILESTAT_GET, |g, fd| answer(g.stat(fd, "file", true))),
        row("path_filestat_set_times", R::PATH_FILESTAT_SET_TIMES, |g, fd| {
            answer(g.set_times(fd, "file", true, 1))
        }),
        row("path_link", R::PATH_LINK_SOURCE.and(R::PATH_LINK_TARGET), |g, fd| {
            answer(g.link(fd, "file", fd, "hard"))
        }),
        row("path_open", R::PATH_OPEN, |g, fd| answer(g.open(fd, "file", How::read()))),
        row("path_open", R::PATH_OPEN.and(R::PATH_CREATE_FILE), |g, fd| {
            answer(g.open(fd, "made", How::with(value::OFLAGS_CREAT)))
        }),
        row("path_open", R::PATH_OPEN.and(R::PATH_FILESTAT_SET_SIZE), |g, fd| {
            answer(g.open(fd, "file", How::with(value::OFLAGS_TRUNC)))
        }),
        row("path_readlink", R::PATH_READLINK, |g, fd| answer(g.readlink(fd, "link"))),
        row("path_remove_directory", R::PATH_REMOVE_DIRECTORY, |g, fd| {
            answer(g.rmdir(fd, "empty"))
        }),
        row("path_rename", R::PATH_RENAME_SOURCE.and(R::PATH_RENAME_TARGET), |g, fd| {
            answer(g.rename(fd, "file", fd, "renamed"))
        }),
        row("path_symlink", R::PATH_SYMLINK, |g, fd| answer(g.symlink("file", fd, "soft"))),
        row("path_unlink_file", R::PATH_UNLINK_FILE, |g, fd| answer(g.unlink(fd, "file"))),
    ]
}

fn socket_rows() -> Vec<Row> {
    use Rights as R;
    vec![
        row("sock_recv", R::FD_READ, |g, fd| {
            let iovs = g.iovec(DATA, 1);
            abi::sock_recv(&mut g.ctx, &mut g.mem, fd, iovs, 1, 0, 64, 80)
        }),
        row("sock_send", R::FD_WRITE, |g, fd| {
            let iovs = g.iovec(DATA, 1);
            abi::sock_send(&mut g.ctx, &mut g.mem, fd, iovs, 1, 0, 64)
        }),
        row("sock_shutdown", R::SOCK_SHUTDOWN, |g, fd| {
            abi::sock_shutdown(&mut g.ctx, &mut g.mem, fd, 2)
        }),
    ]
}

/// What needs no right: it concerns no file, or only the guest's own table.
const FREE: [&str; 17] = [
    "args_get",
    "args_sizes_get",
    "environ_get",
    "environ_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_fdstat_set_rights",
    "fd_prestat_get",
    "fd_prestat_dir_name",
    "fd_renumber",
    "proc_exit",
    "proc_raise",
    "sched_yield",
    "random_get",
    // Needs one of two rights; see below.
    "fd_tell",
];

fn populate(house: &House) {
    let inside = house.inside();
    let _ = std::fs::remove_dir_all(&inside);
    std::fs::create_dir_all(inside.join("empty")).unwrap();
    std::fs::write(inside.join("file"), "content").unwrap();
    std::os::unix::fs::symlink("file", inside.join("link")).unwrap();
}

/// Runs a row with exactly `rights` on a fresh descriptor.
fn with(row: &Row, rights: Rights, fresh: &mut dyn FnMut() -> (Guest, u32)) -> Answer {
    let (mut guest, fd) = fresh();
    let inheriting = guest.fdstat(fd).unwrap().inheriting;
    guest.set_rights(fd, rights, inheriting).unwrap();
    (row.call)(&mut guest, fd)
}

fn matrix(rows: &[Row], all: Rights, fresh: &mut dyn FnMut() -> (Guest, u32)) -> usize {
    let mut cells = 0;
    for row in rows {
        let Row { name, needs, .. } = row;
        let missing = |right: Rights| all.without(right);
        assert_eq!(with(row, *needs, fresh), Answer::Errno(Errno::Success), "{name}");
        assert_eq!(with(row, Rights::NONE, fresh), Answer::Errno(Errno::Notcapable), "{name}");
        for (right, called) in Rights::ALL {
            if !all.has(*right) {
                continue;
            }
            cells += 1;
            let got = with(row, missing(*right), fresh);
            if needs.has(*right) {
                assert_eq!(got, Answer::Errno(Errno::Notcapable), "{name} without {called}");
            } else {
                assert_eq!(got, Answer::Errno(Errno::Success), "{name} without {called}");
            }
        }
    }
    cells
}

#[test]
fn every_call_needs_its_rights() {
    let mut cells = 0;
    for way in WAYS {
        let house = House::new();
        cells += matrix(&file_rows(), Rights::FILE, &mut || {
            populate(&house);
            let mut guest = Guest::new(house.config(way));
            let fd = guest.open(ROOT, "file", How::with(0)).unwrap();
            (guest, fd)
        });
        cells += matrix(&directory_rows(), Rights::DIRECTORY, &mut || {
            populate(&house);
            (Guest::new(house.config(way)), ROOT)
        });
    }
    let mut peers = Vec::new();
    cells += matrix(&socket_rows(), Rights::CONNECTION, &mut || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::io::Write::write_all(&mut &theirs, b"hello").unwrap();
        peers.push(theirs);
        let mut config = Config::new();
        config.descriptor(ours.into(), Rights::EVERY);
        (Guest::new(config), 3)
    });
    println!("{cells} cells");
    assert!(cells > 500, "{cells}");
    let mut named: BTreeSet<&str> = FREE.into();
    for row in file_rows().iter().chain(&directory_rows()).chain(&socket_rows()) {
        named.insert(row.name);
    }
    named.insert("sock_accept");
    assert_eq!(named, NAMES.iter().copied().collect());
}

#[test]
fn accepting_needs_its_right_and_hands_rights_down() {
    let house = House::new();
    for (rights, expected) in [
        (Rights::LISTENER.without(Rights::SOCK_ACCEPT), Err(Errno::Notcapable)),
        (Rights::SOCK_ACCEPT, Ok(())),
    ] {
        let at = house.inside().join("socket");
        let _ = std::fs::remove_file(&at);
        let listener = UnixListener::bind(&at).unwrap();
        let _client = UnixStream::connect(&at).unwrap();
        let mut config = Config::new();
        config.descriptor(listener.into(), Rights::EVERY);
        let mut guest = Guest::new(config);
        guest.set_rights(3, rights, Rights::FD_READ).unwrap();
        let got = done(abi::sock_accept(&mut guest.ctx, &mut guest.mem, 3, 0, 64));
        assert_eq!(got, expected);
        if got.is_ok() {
            let fd = guest.u32(64);
            assert_eq!(guest.fdstat(fd).unwrap().base, Rights::FD_READ);
            assert_eq!(guest.write(fd, b"x"), Err(Errno::Notcapable));
        }
    }
}

#[test]
fn the_right_to_seek_includes_telling() {
    let house = House::new();
    populate(&house);
    for (rights, tells) in [
        (Rights::FD_TELL, Ok(0)),
        (Rights::FD_SEEK, Ok(0)),
        (Rights::FILE.without(Rights::FD_TELL.and(Rights::FD_SEEK)), Err(Errno::Notcapable)),
    ] {
        let mut guest = Guest::new(house.config(WAYS[0]));
        let fd = guest.open(ROOT, "file", How::with(0)).unwrap();
        guest.set_rights(fd, rights, Rights::NONE).unwrap();
        assert_eq!(guest.tell(fd), tells);
        assert_eq!(guest.seek(fd, 0, value::WHENCE_CUR), tells);
        if !rights.has(Rights::FD_SEEK) {
            assert_eq!(guest.seek(fd, 0, value::WHENCE_SET), Err(Errno::Notcapable));
        }
    }
}

#[test]
fn rights_only_shrink() {
    let house = House::new();
    populate(&house);
    let mut guest = Guest::new(house.config(WAYS[0]));
    let fd = guest.open(ROOT, "file", How::read()).unwrap();
    let had = guest.fdstat(fd).unwrap().base;
    for (right, name) in Rights::ALL {
        let more = had.and(*right);
        let expected = if had.has(*right) { Ok(()) } else { Err(Errno::Notcapable) };
        assert_eq!(guest.set_rights(fd, more, Rights::NONE), expected, "{name}");
        let expected = Err(Errno::Notcapable);
        assert_eq!(guest.set_rights(fd, had, *right), expected, "a file hands nothing down");
    }
    assert_eq!(guest.set_rights(fd, Rights(1 << 63), Rights::NONE), Err(Errno::Notcapable));
    assert_eq!(guest.set_rights(fd, Rights::NONE, Rights::NONE), Ok(()));
    assert_eq!(guest.set_rights(fd, Rights::FD_READ, Rights::NONE), Err(Errno::Notcapable));
}

#[test]
fn what_is_opened_has_no_more_than_is_handed_down() {
    let everything = How { base: Rights(u64::MAX), inheriting: Rights(u64::MAX), ..How::with(0) };
    for way in WAYS {
        let house = House::new();
        populate(&house);
        std::fs::create_dir_all(house.inside().join("sub/sub")).unwrap();
        std::fs::write(house.inside().join("sub/sub/file"), "x").unwrap();
        for (missing, name) in Rights::ALL {
            let inheriting = Rights::EVERY.without(*missing);
            let mut config = Config::new();
            config
                .directory_with(house.inside(), "/", Rights::DIRECTORY, inheriting)
                .resolution(way);
            let mut guest = Guest::new(config);
            let directory = How { oflags: value::OFLAGS_DIRECTORY, ..everything };
            let mut dir = ROOT;
            for _ in 0..2 {
                let Ok(next) = guest.open(dir, "sub", directory) else {
                    assert_eq!(*missing, Rights::PATH_OPEN, "{name}");
                    break;
                };
                dir = next;
                let stat = guest.fdstat(dir).unwrap();
                assert!(!stat.base.has(*missing) && !stat.inheriting.has(*missing), "{name}");
                assert_eq!(stat.base, Rights::DIRECTORY.without(*missing));
            }
            let essential = [Rights::FD_READ, Rights::FD_WRITE].contains(missing);
            match guest.open(dir, "file", everything) {
                Err(Errno::Notcapable) => assert!(essential || *missing == Rights::PATH_OPEN),
                other => {
                    let stat = guest.fdstat(other.unwrap()).unwrap();
                    assert_eq!(stat.base, Rights::FILE.without(*missing), "{name}");
                    assert_eq!(stat.inheriting, Rights::NONE);
                }
            }
        }
    }
}

#[test]
fn opening_needs_what_its_flags_do() {
    let cases = [
        (Rights::FD_READ, How { base: Rights::FD_READ, ..How::with(0) }),
        (Rights::FD_WRITE, How { base: Rights::FD_WRITE, ..How::with(0) }),
        (
            Rights::FD_FILESTAT_SET_SIZE,
            How { base: Rights::FD_READ, ..How::with(value::OFLAGS_TRUNC) },
        ),
        (Rights::FD_DATASYNC, How { fdflags: value::FDFLAGS_DSYNC, ..How::read() }),
        (Rights::FD_SYNC, How { fdflags: value::FDFLAGS_SYNC, ..How::read() }),
        (Rights::FD_SYNC, How { fdflags: value::FDFLAGS_RSYNC, ..How::read() }),
    ];
    let house = House::new();
    for (missing, how) in cases {
        for (inheriting, expected) in
            [(Rights::EVERY, None), (Rights::EVERY.without(missing), Some(Errno::Notcapable))]
        {
            populate(&house);
            let mut config = Config::new();
            config.directory_with(house.inside(), "/", Rights::DIRECTORY, inheriting);
            let mut guest = Guest::new(config);
            assert_eq!(guest.open(ROOT, "file", how).err(), expected, "{missing:?} {how:?}");
            if expected.is_some() {
                let text = std::fs::read(house.inside().join("file")).unwrap();
                assert_eq!(text, b"content");
            }
        }
    }
}

#[test]
fn a_read_only_directory_is_read_only() {
    for way in WAYS {
        let house = House::new();
        populate(&house);
        let canary = std::fs::read(house.inside().join("file")).unwrap();
        let mut config = Config::new();
        config.directory(house.inside(), "/", true).resolution(way);
        let template = config.build().unwrap();
        for row in directory_rows() {
            let mut guest = Guest::of(&template);
            let reads =
                row.needs.without(Rights::READ_ONLY) == Rights::NONE && row.needs != Rights::NONE;
            let got = (row.call)(&mut guest, ROOT);
            let expected = if reads { Errno::Success } else { Errno::Notcapable };
            assert_eq!(got, Answer::Errno(expected), "{}", row.name);
        }
        let mut guest = Guest::of(&template);
        let fd = guest.open(ROOT, "file", How::read()).unwrap();
        for row in file_rows() {
            let reads = row.needs.without(Rights::READ_ONLY) == Rights::NONE;
            let got = (row.call)(&mut guest, fd);
            let expected = if reads { Errno::Success } else { Errno::Notcapable };
            assert_eq!(got, Answer::Errno(expected), "{}", row.name);
        }
        assert_eq!(std::fs::read(house.inside().join("file")).unwrap(), canary);
        assert_eq!(std::fs::read_dir(house.inside()).unwrap().count(), 3);
    }
}
