//! Directories and symbolic links change places while guests resolve paths through them.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::host::{Canary, House, WAYS};
use common::{Guest, How, ROOT};
use lucet_wasi::types::value;
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Ends the other side of a race, also when this one fails.
struct End<'s>(&'s AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn rounds() -> u32 {
    if std::env::var_os("FULL").is_some() { 2_000_000 } else { 20_000 }
}

/// Everything that a guest can do through a name that may be a link by now.
fn attack(guest: &mut Guest, canary: &Canary, path: &str, round: u32) -> bool {
    let secret = format!("{path}/secret");
    let created = format!("{path}/created");
    let how = match round % 4 {
        0 => How::read(),
        1 => How::write(),
        2 => How::with(value::OFLAGS_CREAT | value::OFLAGS_EXCL),
        _ => How { follow: false, ..How::with(value::OFLAGS_CREAT) },
    };
    let mut inside = false;
    let target = if round.is_multiple_of(2) { &secret } else { &created };
    if let Ok(fd) = guest.open(ROOT, target, how) {
        inside = true;
        let ino = guest.fstat(fd).unwrap().ino;
        assert!(!canary.owns(ino), "{target} led outside");
        guest.close(fd).unwrap();
    }
    if let Ok(stat) = guest.stat(ROOT, &secret, true) {
        assert!(!canary.owns(stat.ino), "{secret} led outside");
    }
    let _ = match round % 7 {
        0 => guest.mkdir(ROOT, format!("{path}/made")),
        1 => guest.rmdir(ROOT, format!("{path}/made")),
        2 => guest.unlink(ROOT, &created),
        3 => guest.rename(ROOT, &created, ROOT, format!("{path}/file")),
        4 => guest.link(ROOT, &secret, ROOT, &created),
        5 => guest.symlink("x", ROOT, &created),
        _ => guest.set_times(ROOT, &secret, true, 7),
    };
    inside
}

#[test]
fn directory_and_link_change_places() {
    let house = House::new();
    let canary = Canary::new(&house);
    fs::create_dir(house.inside().join("swap")).unwrap();
    fs::write(house.inside().join("swap/secret"), "harmless").unwrap();
    symlink("../outside/dir", house.inside().join("other")).unwrap();
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    let (inside, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (swap, other) = (house.inside().join("swap"), house.inside().join("other"));
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &swap, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _end = End(&stop);
        let guests: Vec<_> = WAYS
            .into_iter()
            .map(|way| {
                let mut guest = Guest::new(house.config(way));
                let (canary, inside, refused) = (&canary, &inside, &refused);
                scope.spawn(move || {
                    for round in 0..rounds() {
                        let path = ["swap", "swap/../swap", "./swap/."][round as usize % 3];
                        let ok = attack(&mut guest, canary, path, round);
                        let count = if ok { inside } else { refused };
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for guest in guests {
            guest.join().unwrap();
        }
    });
    canary.unchanged("the race");
    let (swaps, inside, refused) = (swaps.into_inner(), inside.into_inner(), refused.into_inner());
    println!("{swaps} swaps, {inside} attempts met the directory, {refused} did not");
    // Otherwise nothing raced.
    assert!(swaps > 100 && inside > 100 && refused > 100, "{swaps} {inside} {refused}");
}

#[test]
fn a_directory_that_is_moved_up_takes_nobody_out() {
    // `a/b/c/../../..` from a directory that is at times deep and at times shallow.
    let house = House::new();
    let canary = Canary::new(&house);
    fs::create_dir_all(house.inside().join("a/b/c/d")).unwrap();
    fs::create_dir_all(house.inside().join("spare")).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (deep, shallow) = (house.inside().join("a/b/c"), house.inside().join("c"));
            while !stop.load(Ordering::Relaxed) {
                fs::rename(&deep, &shallow).unwrap();
                fs::rename(&shallow, &deep).unwrap();
            }
        });
        let _end = End(&stop);
        let guests: Vec<_> = WAYS
            .into_iter()
            .map(|way| {
                let mut guest = Guest::new(house.config(way));
                let canary = &canary;
                scope.spawn(move || {
                    for _ in 0..rounds() {
                        for path in
                            ["a/b/c/d/../../../../outside/secret", "c/d/../../../outside/secret"]
                        {
                            if let Ok(stat) = guest.stat(ROOT, path, true) {
                                panic!("{path} led to {stat:?}");
                            }
                            assert!(guest.open(ROOT, path, How::write()).is_err());
                            let _ = guest.unlink(ROOT, path);
                        }
                    }
                    let _ = canary;
                })
            })
            .collect();
        for guest in guests {
            guest.join().unwrap();
        }
    });
    canary.unchanged("the race");
}

#[test]
fn a_file_and_a_link_change_places() {
    let house = House::new();
    let canary = Canary::new(&house);
    fs::write(house.inside().join("swap"), "harmless").unwrap();
    symlink("../outside/secret", house.inside().join("other")).unwrap();
    let stop = AtomicBool::new(false);
    let met = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (swap, other) = (house.inside().join("swap"), house.inside().join("other"));
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &swap, CWD, &other, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let _end = End(&stop);
        let guests: Vec<_> = WAYS
            .into_iter()
            .map(|way| {
                let mut guest = Guest::new(house.config(way));
                let (canary, met) = (&canary, &met);
                scope.spawn(move || {
                    for round in 0..rounds() {
                        let how = if round.is_multiple_of(2) { How::read() } else { How::write() };
                        if let Ok(fd) = guest.open(ROOT, "swap", how) {
                            let ino = guest.fstat(fd).unwrap().ino;
                            assert!(!canary.owns(ino), "it led outside");
                            guest.close(fd).unwrap();
                            met.fetch_add(1, Ordering::Relaxed);
                        }
                        let _ = guest.set_times(ROOT, "swap", true, 7);
                        let _ = guest.link(ROOT, "swap", ROOT, "linked");
                        let _ = guest.unlink(ROOT, "linked");
                    }
                })
            })
            .collect();
        for guest in guests {
            guest.join().unwrap();
        }
    });
    canary.unchanged("the race");
    assert!(met.into_inner() > 100);
}
