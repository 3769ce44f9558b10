//! Snapshots are trusted for themselves, not for what they say of their parent.

use super::kit::{hash_of, key, loads, options, refused, signed};
use lucet::loader::Trust;
use lucet::{Instance, Module, ModuleConfig, Region, RegionConfig, SnapshotOptions, Status, Val};
use std::sync::Arc;

const WAT: &str = r#"(module (global $g (mut i32) (i32.const 1))
  (func (export "get") (result i32) global.get $g)
  (func (export "warm") i32.const 7 global.set $g))"#;

/// A trusted parent, and a snapshot of a warmed-up instance of it.
fn snapshot() -> (Vec<u8>, Arc<Module>) {
    let options = lucetc::Options { threads: 1, ..lucetc::Options::default() };
    let parent = signed(&lucetc::compile(WAT.as_bytes(), &options).unwrap(), key(0));
    let mut trust = Trust::NONE;
    trust.add_key(&super::kit::line(key(0))).unwrap();
    let config = ModuleConfig { trust, ..ModuleConfig::default() };
    let module = Module::load_bytes(&parent, &config).unwrap();
    let instance = Instance::new(&Region::new(RegionConfig::default()).unwrap(), &module).unwrap();
    instance.run("warm", &[]).unwrap();
    (parent, instance.snapshot(&SnapshotOptions::default()).unwrap())
}

#[test]
fn snapshots_of_this_process_need_no_trust() {
    let (_, snapshot) = snapshot();
    let region = Region::new(RegionConfig::default()).unwrap();
    let instance = Instance::new(&region, &snapshot).unwrap();
    let got = instance.run("get", &[]).unwrap();
    assert!(matches!(&got, lucet::Outcome::Returned(v) if v[..] == [Val::I32(7)]), "{got:?}");
}

#[test]
fn files_are_signed_or_pinned_for_themselves() {
    let (parent, snapshot) = snapshot();
    let file = std::env::temp_dir().join(format!("lucet-signing-{}.so", std::process::id()));
    snapshot.save(&file).unwrap();
    let saved = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let hash = hash_of(&parent);
    let of_parent = options(&[key(0)], &[&hash], false);
    loads(&parent, &of_parent);
    let parts = ["is a snapshot, which its parent's signature does not cover", &hash_of(&saved)];
    refused(&saved, &of_parent, Status::UntrustedArtifact, &parts);
    loads(&saved, &options(&[], &[&hash_of(&saved)], false));
    let signed = signed(&saved, key(1));
    loads(&signed, &options(&[key(1)], &[], false));
    refused(&signed, &of_parent, Status::UntrustedArtifact, &["is signed by key"]);
}
