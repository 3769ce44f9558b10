//! The descriptor table against a simple model, under random operations; and the host's
//! descriptors, of which none may be left.

mod common;

use std::collections::BTreeMap;

use common::host::{House, WAYS};
use common::{Guest, How, ROOT};
use lucet_wasi::{Errno, Limits, Rights};

/// A small generator of numbers, the same ones in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as u32) % below
    }
}

/// How many of the process's descriptors lead into the house.
fn open_in(house: &House) -> usize {
    let list = std::fs::read_dir("/proc/self/fd").unwrap();
    list.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
        .filter(|path| path.starts_with(house.inside()))
        .count()
}

const LIMIT: u32 = 12;

fn run(seed: u64, operations: u32) {
    let house = House::new();
    let mut inodes = Vec::new();
    for n in 0..6 {
        std::fs::write(house.inside().join(format!("f{n}")), "x").unwrap();
    }
    let mut config = house.config(WAYS[0]);
    config.limits(Limits { descriptors: LIMIT, ..Limits::default() });
    let template = config.build().unwrap();
    let mut guest = Guest::of(&template);
    for n in 0..6 {
        inodes.push(guest.stat(ROOT, format!("f{n}"), true).unwrap().ino);
    }
    // What each open descriptor is; 0 for a stream. The root may be closed, and is then gone.
    let mut model: BTreeMap<u32, u64> = (0..3).map(|fd| (fd, 0)).collect();
    let root = guest.fstat(ROOT).unwrap().ino;
    model.insert(ROOT, root);
    let mut dice = Dice(seed);
    for _ in 0..operations {
        // Numbers far beyond the table come too.
        let number = |dice: &mut Dice| match dice.roll(20) {
            0 => u32::MAX - dice.roll(3),
            1 => dice.roll(u32::MAX),
            _ => dice.roll(LIMIT + 2),
        };
        match dice.roll(8) {
            0..=2 => {
                let at = *model.iter().find(|(_, ino)| **ino == root).map_or(&99, |(fd, _)| fd);
                let which = dice.roll(6) as usize;
                let got = guest.open(at, format!("f{which}"), How::read());
                let expected = match (at, model.len() as u32) {
                    (99, _) => Err(Errno::Badf),
                    (_, LIMIT) => Err(Errno::Mfile),
                    _ => Ok((0..).find(|fd| !model.contains_key(fd)).unwrap()),
                };
                assert_eq!(got, expected);
                if let Ok(fd) = got {
                    model.insert(fd, inodes[which]);
                }
            }
            3 | 4 => {
                let fd = number(&mut dice);
                // The root goes only now and then, or there would be nothing left to do.
                if model.get(&fd) == Some(&root) && dice.roll(100) != 0 {
                    continue;
                }
                let expected = model.remove(&fd).map(drop).ok_or(Errno::Badf);
                assert_eq!(guest.close(fd), expected);
            }
            5 | 6 => {
                let (from, to) = (number(&mut dice), number(&mut dice));
                if model.get(&to) == Some(&root) && dice.roll(100) != 0 {
                    continue;
                }
                let both = model.contains_key(&from) && model.contains_key(&to);
                let expected = if both { Ok(()) } else { Err(Errno::Badf) };
                assert_eq!(guest.renumber(from, to), expected);
                if both && from != to {
                    let moved = model.remove(&from).unwrap();
                    model.insert(to, moved);
                }
            }
            _ => {
                let fd = number(&mut dice);
                let expected = model.get(&fd).copied().ok_or(Errno::Badf);
                assert_eq!(guest.fstat(fd).map(|stat| stat.ino), expected);
            }
        }
    }
    for fd in 0..2 * LIMIT {
        let expected = model.get(&fd).copied().ok_or(Errno::Badf);
        assert_eq!(guest.fstat(fd).map(|stat| stat.ino), expected);
    }
    // The template's directory, which stays open behind a closed number, and what the guest holds.
    let files = model.values().filter(|ino| inodes.contains(ino)).count();
    assert_eq!(open_in(&house), 1 + files);
    drop(guest);
    assert_eq!(open_in(&house), 1);
    drop(template);
    assert_eq!(open_in(&house), 0);
}

#[test]
fn table_is_the_model() {
    let full = std::env::var_os("FULL").is_some();
    let (runs, operations) = if full { (100, 10_000) } else { (50, 2_000) };
    for seed in 0..runs {
        run(seed, operations);
    }
    println!("{} operations", runs * u64::from(operations));
}

#[test]
fn contexts_do_not_see_each_other() {
    let house = House::new();
    std::fs::write(house.inside().join("file"), "0123456789").unwrap();
    let template = house.config(WAYS[0]).build().unwrap();
    let (mut a, mut b) = (Guest::of(&template), Guest::of(&template));
    assert_eq!(a.close(1), Ok(()));
    assert!(b.fdstat(1).is_ok());
    assert_eq!(a.renumber(ROOT, 2), Ok(()));
    assert!(b.fdstat(ROOT).is_ok());
    assert_eq!(a.open(2, "file", How::read()), Ok(1));
    assert_eq!(b.open(ROOT, "file", How::read()), Ok(4));
    assert_eq!(a.read(1, 4).unwrap(), b"0123");
    assert_eq!(b.read(4, 4).unwrap(), b"0123");
    // Listings have positions of their own too.
    let entries = a.readdir(2, 4096).unwrap();
    assert_eq!(entries.len(), 3);
    assert_eq!(b.readdir_once(ROOT, 100, 0).unwrap().0.len(), 3);
    assert_eq!(a.readdir(2, 40).unwrap(), entries);
    drop(a);
    assert_eq!(b.stat(ROOT, "file", true).unwrap().size, 10);
}

#[test]
fn what_replaced_a_descriptor_is_a_change() {
    let house = House::new();
    let template = house.config(WAYS[0]).build().unwrap();
    let mut guest = Guest::of(&template);
    guest.readdir(ROOT, 4096).unwrap();
    let own = guest.open(ROOT, ".", How::directory()).unwrap();
    assert!(guest.ctx.has_changed_descriptors());
    guest.close(own).unwrap();
    assert!(!guest.ctx.has_changed_descriptors());
    guest.open(ROOT, ".", How::directory()).unwrap();
    guest.renumber(own, ROOT).unwrap();
    assert!(guest.ctx.has_changed_descriptors(), "as many are open, but one is another");
    let mut guest = Guest::of(&template);
    let stat = guest.fdstat(1).unwrap();
    guest.set_rights(1, stat.base, stat.inheriting).unwrap();
    assert!(!guest.ctx.has_changed_descriptors());
    guest.set_rights(1, Rights::NONE, Rights::NONE).unwrap();
    assert!(guest.ctx.has_changed_descriptors());
}
