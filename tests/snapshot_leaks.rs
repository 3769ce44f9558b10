//! What snapshots take from the process and give back: mappings, descriptors, memory. Counts belong
//! to the whole process, so the tests run one after the other.

mod common;

use common::process::{descriptors, mappings_of};
use lucet::{Imports, Instance, Module, ModuleConfig, Outcome, SnapshotOptions, Val};
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn snapshot(i: &Instance) -> Arc<Module> {
    i.snapshot(&SnapshotOptions::default()).unwrap()
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// A module with a lot of code and memory.
fn large() -> Arc<Module> {
    let mut wat = String::from("(module (memory (export \"m\") 128 200)\n");
    for n in 0..3000 {
        wat.push_str(&format!(
            "(func (export \"f{n}\") (param i32) (result i32) (i32.mul (i32.add (local.get 0) \
             (i32.load offset={n} (local.get 0))) (i32.const {n})))\n"
        ));
    }
    wat.push_str(
        "(func (export \"fill\") (memory.fill (i32.const 0) (i32.const 7) (i32.const 4194304))))",
    );
    common::module(&wat, Imports::new())
}

#[test]
fn code_is_there_once_and_pages_go_with_the_last_reference() {
    let _alone = alone();
    let (m, r) = (large(), common::region());
    let i = Instance::new(&r, &m).unwrap();
    i.run("fill", &[]).unwrap();
    let text = m.loaded().text.base();
    let snap = snapshot(&i);
    assert_eq!(snap.loaded().text.base(), text);
    assert_eq!(snap.loaded().file.as_slice().as_ptr(), m.loaded().file.as_slice().as_ptr());
    assert_eq!(snap.loaded().init.image_pages(), 1024);
    drop(i);

    let image = &["memfd:lucet-snapshot"];
    let code = || mappings_of(&["r-xp", "memfd:lucet-artifact"]);
    assert_eq!((code(), mappings_of(image)), (1, 1));
    let make = |n: u64| {
        let i = Instance::new(&r, &snap).unwrap();
        i.memory_write(n << 12, &[1]).unwrap();
        snapshot(&i)
    };
    drop(make(0));
    let before = resident();
    let more: Vec<_> = (0..20).map(make).collect();
    assert_eq!((code(), mappings_of(image)), (1, 21));
    drop(more);
    assert_eq!((code(), mappings_of(image)), (1, 1));
    let after = resident();
    // Twenty images of 4 MiB would show.
    assert!(after < before + (32 << 20), "{} MiB more", (after - before) >> 20);

    // Instances use one copy of the image, and code outlives the module it came with.
    let all: Vec<_> = (0..8).map(|_| Instance::new(&r, &snap).unwrap()).collect();
    drop(m);
    drop(snap);
    for i in &all {
        let f = i.run("f3", &[Val::I32(0)]).unwrap();
        assert_eq!(f, Outcome::Returned(vec![Val::I32(0x0707_0707 * 3)]));
    }
    assert_eq!((code(), mappings_of(image)), (1, 1));
    drop(all);
    assert_eq!((code(), mappings_of(image)), (0, 0));
}

/// Modules, files and instances of snapshots come and go without anything left behind.
#[test]
fn snapshots_leave_nothing_behind() {
    let _alone = alone();
    let r = common::region();
    let m = common::module(
        "(module (memory (export \"m\") 2) (table (export \"t\") 1 9 externref)
           (func (export \"f\") (i32.store (i32.const 70000) (i32.const 1))))",
        Imports::new(),
    );
    let path = std::env::temp_dir().join(format!("lucet-nothing-{}", std::process::id()));
    let config = ModuleConfig { allow_unsigned: true, ..ModuleConfig::default() };
    let round = || {
        let i = Instance::new(&r, &m).unwrap();
        i.run("f", &[]).unwrap();
        let snap = snapshot(&i);
        snap.save(&path).unwrap();
        let again = Module::load_file(&path, &config).unwrap();
        let j = Instance::new(&r, &again).unwrap();
        j.run("f", &[]).unwrap();
        assert!(snap.save("/proc/none".as_ref()).is_err());
    };
    round();
    let before = (descriptors(), mappings_of(&[]));
    for _ in 0..200 {
        round();
    }
    assert_eq!((descriptors(), mappings_of(&[])), before);
    fs::remove_file(&path).unwrap();
}
