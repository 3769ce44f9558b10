//! Every path of the attack with every deed, on both ways of resolution: nothing outside is opened,
//! changed or told about, and both ways give the same answer.

#[path = "common/attack.rs"]
mod attack;
mod common;

use std::collections::{BTreeMap, BTreeSet};

use attack::{deeds, fill, paths};
use common::host::{Canary, House, WAYS};
use common::{Guest, How, ROOT};
use lucet_wasi::{Config, Errno, Resolution};

type Outcome = Result<Option<bool>, Errno>;

/// Performs every deed with one path. What happened, without numbers that differ between trees.
fn outcomes(house: &House, canary: &Canary, way: Resolution, path: &[u8]) -> Vec<Outcome> {
    let text = String::from_utf8_lossy(path);
    let mut guest = Guest::new(house.config(way));
    let mut outcomes = Vec::new();
    for deed in deeds() {
        let outcome = deed.perform(&mut guest, path);
        if outcome.is_ok() && deed.changes() {
            fill(house);
            guest = Guest::new(house.config(way));
        }
        canary.untouched(&format!("{deed:?} {text}"));
        if let Ok(Some(ino)) = outcome {
            assert!(!canary.owns(ino), "{deed:?} {text} reached inode {ino} outside");
        }
        outcomes.push(outcome.map(|ino| ino.map(|_| true)));
    }
    outcomes
}

#[test]
fn no_path_leaves() {
    let house = House::new();
    let canary = Canary::new(&house);
    fill(&house);
    let all = paths(&house);
    let mut attacks = 0;
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    for (path, leaves) in &all {
        let text = String::from_utf8_lossy(path);
        let mut answers = Vec::new();
        for way in WAYS {
            let outcomes = outcomes(&house, &canary, way, path);
            for (deed, outcome) in deeds().into_iter().zip(&outcomes) {
                attacks += 1;
                if *leaves && deed.follows() {
                    assert!(outcome.is_err(), "{way:?} {deed:?} {text}: {outcome:?}");
                }
                *refused.entry(if outcome.is_err() { "refused" } else { "inside" }).or_default() +=
                    1;
            }
            answers.push(outcomes);
        }
        for ((deed, kernel), walk) in deeds().into_iter().zip(&answers[0]).zip(&answers[1]) {
            assert!(
                same(kernel, walk),
                "{deed:?} {text}: {kernel:?} by the kernel, {walk:?} walking"
            );
        }
        canary.unchanged(&text);
    }
    let distinct: BTreeSet<&Vec<u8>> = all.iter().map(|(path, _)| path).collect();
    println!(
        "{} paths x {} deeds x 2 ways: {attacks} attacks, {refused:?}",
        distinct.len(),
        deeds().len()
    );
    assert!(distinct.len() >= 500, "{} paths", distinct.len());
}

/// Whether both ways answer the same. Where a path could be refused for two reasons, the kernel may
/// find the one first and the walk the other; there are two such pairs.
fn same(kernel: &Outcome, walk: &Outcome) -> bool {
    let either = [(Errno::Loop, Errno::Perm), (Errno::Exist, Errno::Isdir)];
    match (kernel, walk) {
        (Err(kernel), Err(walk)) => kernel == walk || either.contains(&(*kernel, *walk)),
        _ => kernel == walk,
    }
}

#[test]
fn magic_links_are_refused() {
    for way in WAYS {
        let mut config = Config::new();
        config.directory("/proc", "/proc", true).resolution(way);
        let mut guest = Guest::new(config);
        let magic = [
            "root",
            "cwd",
            "exe",
            "fd/0",
            "ns/mnt",
            "task/../root",
            "root/etc/passwd",
            "cwd/Cargo.toml",
            "fd/0/",
            "root/",
            "cwd/.",
        ];
        for link in magic {
            for own in ["self", "thread-self"] {
                let path = format!("{own}/{link}");
                assert!(guest.open(ROOT, &path, How::read()).is_err(), "{way:?} {path}");
                assert!(guest.open(ROOT, &path, How::directory()).is_err(), "{way:?} {path}");
                assert!(guest.stat(ROOT, &path, true).is_err(), "{way:?} {path}");
            }
        }
        // `self` itself is an ordinary link to a number.
        guest.open(ROOT, "self/status", How::read()).unwrap();
    }
}
