//! Every single bit of a signed artifact, and every truncation: with keys only, nothing that was
//! changed in any way is loaded.

use super::kit::{key, options, signature_at, signed, try_load};
use lucet::Status;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// A signed artifact of 20 KB at least.
fn large() -> Vec<u8> {
    let function = |n| {
        format!(
            "(func (export \"f{n}\") (param i32) (result i32)
               (i32.mul (local.get 0) (i32.const {n})))"
        )
    };
    let functions: String = (0..120).map(function).collect();
    let options = lucetc::Options { threads: 1, ..lucetc::Options::default() };
    let b = lucetc::compile(format!("(module {functions})").as_bytes(), &options).unwrap();
    assert!(b.len() >= 20 << 10, "{}", b.len());
    signed(&b, key(0))
}

/// Runs `work` for each number on two threads, and counts what it gives.
fn count<K: Ord + Send>(n: usize, work: impl Fn(usize) -> Vec<K> + Sync) -> BTreeMap<K, usize> {
    let counts = Mutex::new(BTreeMap::new());
    std::thread::scope(|s| {
        for half in 0..2 {
            let (work, counts) = (&work, &counts);
            s.spawn(move || {
                let mut own = BTreeMap::new();
                for i in (half..n).step_by(2) {
                    work(i).into_iter().for_each(|k| *own.entry(k).or_insert(0) += 1);
                }
                own.into_iter()
                    .for_each(|(k, c)| *counts.lock().unwrap().entry(k).or_insert(0) += c);
            });
        }
    });
    counts.into_inner().unwrap()
}

#[test]
fn every_flipped_bit_of_a_signed_artifact_is_refused() {
    let good = large();
    let keys = options(&[key(0)], &[], false);
    try_load(&good, &keys).expect("unchanged it loads");
    let signature = signature_at(&good);
    let counts = count(good.len(), |at| {
        let mut b = good.clone();
        let flip = |bit: u32| {
            b[at] ^= 1 << bit;
            let e = try_load(&b, &keys).err().map(|e| e.status());
            b[at] ^= 1 << bit;
            // Behind the hash a change is a matter of trust or of form; before it, damage.
            let place = if at < signature { "covered" } else { "signature" };
            match e {
                None => panic!("byte {at} bit {bit} was not noticed"),
                Some(Status::UntrustedArtifact) => (place, "untrusted"),
                Some(Status::InvalidArtifact) => (place, "invalid"),
                Some(Status::NotAnArtifact) => (place, "no artifact"),
                Some(other) => panic!("byte {at} bit {bit}: {other:?}"),
            }
        };
        (0..8).map(flip).collect()
    });
    let total: usize = counts.values().sum();
    println!("{total} flipped bits, none accepted: {counts:?}");
    println!("hostile: signed-flips {total}");
    assert_eq!(total, good.len() * 8);
    assert!(total >= 163_840 && counts[&("signature", "untrusted")] > 500);
    assert!(!counts.contains_key(&("covered", "untrusted")));
}

#[test]
fn every_truncation_of_a_signed_artifact_is_refused() {
    let good = large();
    let keys = options(&[key(0)], &[], false);
    let counts = count(good.len(), |n| vec![try_load(&good[..n], &keys).is_err()]);
    assert_eq!(counts.get(&true), Some(&good.len()));
    assert!(!counts.contains_key(&false));
}
