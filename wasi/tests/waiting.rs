//! Calls that would block: what they wait for, how they go on, and that a context that may block
//! just does.

mod common;

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::host::House;
use common::{DATA, Guest, clock_subscription, done, fd_subscription};
use lucet_wasi::types::value;
use lucet_wasi::{
    Answer, Clock, ClockSource, Clocks, Config, Errno, Input, Interest, Output, Rights, Sink,
    Source, Wait, abi,
};

const OK: Answer = Answer::Errno(Errno::Success);

fn resume(guest: &mut Guest) -> Answer {
    abi::resume(&mut guest.ctx, &mut guest.mem)
}

fn read(guest: &mut Guest, fd: u32, len: u32) -> Answer {
    let iovs = guest.iovec(DATA, len);
    abi::fd_read(&mut guest.ctx, &mut guest.mem, fd, iovs, 1, 64)
}

fn waits_for(fd: i32, write: bool) -> Answer {
    Answer::Wait(Wait { ready: vec![Interest { fd, read: !write, write }], timeout: None })
}

fn guest_with(fd: impl Into<OwnedFd>, non_blocking: bool) -> Guest {
    let mut config = Config::new();
    config.descriptor(fd.into(), Rights::EVERY).non_blocking(non_blocking);
    Guest::new(config)
}

#[test]
fn reading_waits_and_goes_on() {
    let (ours, mut theirs) = std::io::pipe().unwrap();
    let raw = ours.as_raw_fd();
    let mut guest = guest_with(ours, true);
    assert_eq!(resume(&mut guest), Answer::Errno(Errno::Inval), "nothing is suspended");
    assert_eq!(read(&mut guest, 3, 10), waits_for(raw, false));
    assert!(guest.ctx.is_waiting());
    assert_eq!(resume(&mut guest), waits_for(raw, false), "still nothing there");
    theirs.write_all(b"hello").unwrap();
    assert_eq!(resume(&mut guest), OK);
    assert!(!guest.ctx.is_waiting());
    assert_eq!((guest.result(), guest.get(DATA, 5)), (5, b"hello".as_slice()));
    drop(theirs);
    assert_eq!(read(&mut guest, 3, 10), OK);
    assert_eq!(guest.result(), 0, "the end needs no waiting");
}

#[test]
fn writing_waits_and_goes_on() {
    for socket in [false, true] {
        let (mut theirs, ours): (Box<dyn Read>, OwnedFd) = match socket {
            true => {
                let (a, b) = UnixStream::pair().unwrap();
                (Box::new(a), b.into())
            }
            false => {
                let (a, b) = std::io::pipe().unwrap();
                (Box::new(a), b.into())
            }
        };
        let raw = ours.as_raw_fd();
        let mut guest = guest_with(ours, true);
        let mut taken = 0;
        let block = [7; 0x8000];
        let waiting = loop {
            match guest.write_answer(3, &block) {
                OK => taken += guest.result() as usize,
                other => break other,
            }
            assert!(taken < 16 << 20, "never full");
        };
        assert_eq!(waiting, waits_for(raw, true));
        assert_eq!(resume(&mut guest), waits_for(raw, true));
        let mut drained = vec![0; taken];
        theirs.read_exact(&mut drained).unwrap();
        assert_eq!(resume(&mut guest), OK);
        assert!(guest.result() > 0);
    }
}

#[test]
fn who_asks_not_to_wait_is_told_again() {
    for non_blocking in [false, true] {
        let (ours, mut theirs) = std::io::pipe().unwrap();
        let mut guest = guest_with(ours, non_blocking);
        let flags = value::FDFLAGS_NONBLOCK.into();
        done(abi::fd_fdstat_set_flags(&mut guest.ctx, &mut guest.mem, 3, flags)).unwrap();
        assert_eq!(read(&mut guest, 3, 10), Answer::Errno(Errno::Again));
        theirs.write_all(b"x").unwrap();
        assert_eq!(read(&mut guest, 3, 10), OK);
    }
}

#[test]
fn who_may_block_blocks() {
    let (ours, mut theirs) = std::io::pipe().unwrap();
    let mut guest = guest_with(ours, false);
    let writer = std::thread::spawn(move || theirs.write_all(b"late").unwrap());
    assert_eq!(read(&mut guest, 3, 10), OK);
    assert_eq!(guest.get(DATA, 4), b"late");
    writer.join().unwrap();
    // Also where the host made the descriptor one that does not block.
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut guest = guest_with(ours, false);
    let writer = std::thread::spawn(move || theirs.write_all(b"late").unwrap());
    assert_eq!(read(&mut guest, 3, 10), OK);
    assert_eq!(guest.get(DATA, 4), b"late");
    writer.join().unwrap();
}

#[test]
fn nobody_reads_is_an_error_only() {
    let (theirs, ours) = std::io::pipe().unwrap();
    drop(theirs);
    for non_blocking in [false, true] {
        let mut guest = guest_with(ours.try_clone().unwrap(), non_blocking);
        assert_eq!(guest.write(3, b"x"), Err(Errno::Pipe));
    }
    let (theirs, ours) = UnixStream::pair().unwrap();
    drop(theirs);
    let mut guest = guest_with(ours, true);
    assert_eq!(guest.write(3, b"x"), Err(Errno::Pipe));
}

#[test]
fn accepting_receiving_sending() {
    let house = House::new();
    let at = house.inside().join("socket");
    let listener = UnixListener::bind(&at).unwrap();
    let raw = listener.as_raw_fd();
    let mut guest = guest_with(listener, true);
    assert_eq!(guest.fdstat(3).unwrap().filetype, value::FILETYPE_SOCKET_STREAM);
    let accept = |g: &mut Guest| abi::sock_accept(&mut g.ctx, &mut g.mem, 3, 0, 64);
    assert_eq!(accept(&mut guest), waits_for(raw, false));
    let mut client = UnixStream::connect(&at).unwrap();
    assert_eq!(resume(&mut guest), OK);
    let fd = guest.result();
    assert_eq!(fd, 4);
    let recv = |g: &mut Guest, flags: u32| {
        // Two buffers: 2 bytes and 8.
        g.put(256, &[DATA, 2, DATA + 100, 8].map(u32::to_le_bytes).concat());
        abi::sock_recv(&mut g.ctx, &mut g.mem, fd, 256, 2, flags, 64, 80)
    };
    assert!(matches!(recv(&mut guest, 0), Answer::Wait(_)));
    client.write_all(b"hello").unwrap();
    assert_eq!(resume(&mut guest), OK);
    assert_eq!((guest.result(), guest.get(DATA, 2)), (5, b"he".as_slice()));
    assert_eq!(guest.get(DATA + 100, 3), b"llo");
    client.write_all(b"again").unwrap();
    assert_eq!(recv(&mut guest, value::RIFLAGS_PEEK.into()), OK);
    assert_eq!(recv(&mut guest, 0), OK);
    assert_eq!(guest.result(), 5);
    assert_eq!(recv(&mut guest, value::RIFLAGS_WAITALL.into()), Answer::Errno(Errno::Notsup));
    assert_eq!(recv(&mut guest, 4), Answer::Errno(Errno::Inval));
    assert_eq!(guest.write(fd, b"answer"), Ok(6));
    let mut got = [0; 6];
    client.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"answer");
    let shut = |g: &mut Guest, how| done(abi::sock_shutdown(&mut g.ctx, &mut g.mem, fd, how));
    assert_eq!(shut(&mut guest, 0), Err(Errno::Inval));
    assert_eq!(shut(&mut guest, 4), Err(Errno::Inval));
    assert_eq!(shut(&mut guest, 2), Ok(()));
    assert_eq!(client.read(&mut got).unwrap(), 0);
    assert_eq!(guest.write(fd, b"x"), Err(Errno::Pipe));
}

#[test]
fn messages_are_whole_or_refused() {
    let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let mut guest = guest_with(ours, true);
    theirs.send(b"0123456789").unwrap();
    let iovs = guest.iovec(DATA, 4);
    let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
    assert_eq!(abi::sock_recv(ctx, mem, 3, iovs, 1, 0, 64, 80), OK);
    assert_eq!((guest.result(), guest.get(80, 2)), (4, [1, 0].as_slice()), "cut, and told so");
    let many: Vec<u8> = (0..65u32).flat_map(|_| [DATA, 1].map(u32::to_le_bytes).concat()).collect();
    guest.put(0x8000, &many);
    let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
    let sent = abi::sock_send(ctx, mem, 3, 0x8000, 65, 0, 64);
    assert_eq!(sent, Answer::Errno(Errno::Msgsize));
    let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
    assert_eq!(abi::sock_send(ctx, mem, 3, 0x8000, 64, 0, 64), OK);
    let mut got = [0; 100];
    assert_eq!(theirs.recv(&mut got).unwrap(), 64);
}

/// A clock that stands still until it is set.
#[derive(Default)]
struct Watch(AtomicU64);

impl Clocks for Watch {
    fn now(&self, instance: u64, _: Clock) -> Result<u64, Errno> {
        assert_eq!(instance, 99);
        Ok(self.0.load(Ordering::Relaxed))
    }
    fn resolution(&self, _: u64, _: Clock) -> Result<u64, Errno> {
        Ok(5)
    }
}

#[test]
fn sleeping_waits_for_the_rest_of_the_time() {
    let watch = Arc::new(Watch::default());
    watch.0.store(1000, Ordering::Relaxed);
    let mut config = Config::new();
    config.clocks(ClockSource::Custom(watch.clone())).non_blocking(true);
    let mut guest = Guest::new(config);
    guest.ctx.set_user(99);
    assert!(!guest.ctx.observed().clocks);
    let until =
        |left| Answer::Wait(Wait { ready: vec![], timeout: Some(Duration::from_nanos(left)) });
    let sleep = [
        clock_subscription(1, value::CLOCK_MONOTONIC, 500, false),
        clock_subscription(2, value::CLOCK_REALTIME, 1300, true),
    ];
    assert_eq!(guest.poll_answer(&sleep), until(300));
    assert!(guest.ctx.observed().clocks);
    watch.0.store(1200, Ordering::Relaxed);
    assert_eq!(resume(&mut guest), until(100));
    watch.0.store(1300, Ordering::Relaxed);
    assert_eq!(resume(&mut guest), OK);
    assert_eq!(guest.polled(), [(2, 0, 0, 0, 0)]);
    // Relative times count from when the call began, however often it is resumed.
    assert_eq!(guest.poll_answer(&sleep[..1]), until(500));
    watch.0.store(1799, Ordering::Relaxed);
    assert_eq!(resume(&mut guest), until(1));
    watch.0.store(1800, Ordering::Relaxed);
    assert_eq!(resume(&mut guest), OK);
    assert_eq!(guest.polled(), [(1, 0, 0, 0, 0)]);
}

#[test]
fn polling_tells_of_each() {
    let (ours, mut theirs) = std::io::pipe().unwrap();
    let raw = ours.as_raw_fd();
    let mut guest = guest_with(ours, true);
    let far = clock_subscription(9, value::CLOCK_MONOTONIC, 1 << 60, false);
    let Answer::Wait(wait) = guest.poll_answer(&[fd_subscription(1, 3, false), far]) else {
        panic!("nothing is ready");
    };
    assert_eq!(wait.ready, [Interest { fd: raw, read: true, write: false }]);
    assert!(wait.timeout.is_some());
    theirs.write_all(b"abc").unwrap();
    assert_eq!(resume(&mut guest), OK);
    assert_eq!(guest.polled(), [(1, 0, 1, 3, 0)]);
    drop(theirs);
    let events = guest
        .poll(&[
            fd_subscription(1, 3, false),
            fd_subscription(2, 77, false),
            fd_subscription(3, 1, true),
            clock_subscription(4, value::CLOCK_THREAD_CPUTIME, 1, false),
            clock_subscription(5, 17, 1, false),
            clock_subscription(6, value::CLOCK_MONOTONIC, 0, false),
        ])
        .unwrap();
    let badf = Errno::Badf.raw();
    let expected = [
        (1, 0, 1, 3, value::EVENTRWFLAGS_HANGUP),
        (2, badf, 1, 0, 0),
        (3, 0, 2, 0, 0),
        (4, Errno::Notsup.raw(), 0, 0, 0),
        (5, Errno::Inval.raw(), 0, 0, 0),
        (6, 0, 0, 0, 0),
    ];
    assert_eq!(events, expected);
    assert_eq!(guest.poll(&[]), Err(Errno::Inval));
    let mut odd = fd_subscription(1, 3, false);
    odd[8] = 3;
    assert_eq!(guest.poll(&[odd]), Err(Errno::Inval));
}

#[test]
fn blocking_contexts_sleep_by_themselves() {
    let mut guest = Guest::new(Config::new());
    let nap = clock_subscription(4, value::CLOCK_MONOTONIC, 2_000_000, false);
    assert_eq!(guest.poll(&[nap]).unwrap(), [(4, 0, 0, 0, 0)]);
}

#[test]
fn virtual_time_passes_at_once() {
    let mut config = Config::new();
    config.deterministic(5);
    let template = config.build().unwrap();
    let run = || {
        let mut guest = Guest::of(&template);
        let hour = 3_600_000_000_000;
        let nap = clock_subscription(4, value::CLOCK_MONOTONIC, hour, false);
        assert_eq!(guest.poll(&[nap]).unwrap(), [(4, 0, 0, 0, 0)]);
        let (ctx, mem) = (&mut guest.ctx, &mut guest.mem);
        done(abi::clock_time_get(ctx, mem, value::CLOCK_MONOTONIC, 0, 64)).unwrap();
        done(abi::random_get(ctx, mem, DATA, 100)).unwrap();
        assert!(guest.u64(64) >= hour);
        (guest.u64(64), guest.get(DATA, 100).to_vec())
    };
    assert_eq!(run(), run(), "every run is the same");
}

/// Input that has nothing at first; output that takes two bytes at a time, and then nothing.
struct Slow(Mutex<(u32, Vec<u8>)>);

impl Input for Slow {
    fn read(&self, instance: u64, into: &mut [u8]) -> Result<usize, Errno> {
        let mut state = self.0.lock().unwrap();
        state.0 += 1;
        if state.0 == 1 {
            return Err(Errno::Again);
        }
        into[0] = instance as u8;
        // A callback that lies about its count is not believed.
        Ok(usize::MAX)
    }
}

impl Output for Slow {
    fn write(&self, _: u64, bytes: &[u8]) -> Result<usize, Errno> {
        let mut state = self.0.lock().unwrap();
        if state.1.len() >= 4 {
            return Err(Errno::Again);
        }
        let count = bytes.len().min(2);
        state.1.extend_from_slice(&bytes[..count]);
        Ok(count)
    }
}

#[test]
fn callbacks_may_have_nothing_yet() {
    let slow = || Box::new(Slow(Mutex::default()));
    let mut config = Config::new();
    config.stdin(Source::Callback(slow())).stdout(Sink::Callback(slow())).non_blocking(true);
    let mut guest = Guest::new(config);
    guest.ctx.set_user(42);
    assert_eq!(read(&mut guest, 0, 3), Answer::Wait(Wait::default()));
    assert_eq!(resume(&mut guest), OK);
    assert_eq!((guest.result(), guest.get(DATA, 1)), (3, [42].as_slice()));
    assert_eq!(guest.write(1, b"abcdef"), Ok(2));
    assert_eq!(guest.write(1, b"cdef"), Ok(2));
    assert_eq!(guest.write_answer(1, b"ef"), Answer::Wait(Wait::default()));
    assert_eq!(resume(&mut guest), Answer::Wait(Wait::default()));
    // Where a context may block there is nothing to block on: the guest is told.
    let mut config = Config::new();
    config.stdin(Source::Callback(slow()));
    assert_eq!(Guest::new(config).read(0, 3), Err(Errno::Again));
}
