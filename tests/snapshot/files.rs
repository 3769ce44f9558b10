//! Saved snapshots: whole files or none, accepted by the loader like any artifact, and refused like
//! any when they are damaged.

use super::guests::{EVERYTHING, SHAPES, everything, load, region, saved, snapshot};
use crate::common;
use lucet::{Instance, Module, ModuleConfig, Status, Val};
use lucet_artifact::trailer::{FLAG_SNAPSHOT, TRAILER_BYTES, Trailer};
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lucet-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn used(calls: &[(&str, i32)]) -> (Arc<Module>, Instance) {
    let m = everything(SHAPES[0]);
    let i = Instance::new(&region(SHAPES[0]), &m).unwrap();
    for (name, n) in calls {
        i.run(name, &[Val::I32(*n), Val::I64(12345)]).unwrap();
    }
    (m, i)
}

#[test]
fn a_file_names_its_parent_and_is_not_signed() {
    let (m, i) = used(&[("store", 800), ("grow", 1), ("grow_table", 3)]);
    let bytes = saved(&snapshot(&i));
    let t = Trailer::decode(&bytes).unwrap();
    assert_eq!((t.flags, t.parent), (FLAG_SNAPSHOT, m.loaded().hash));
    assert!(t.hash_matches(&bytes) && t.signature.is_none());
    let again = load(&bytes);
    assert_eq!(again.loaded().hash, t.hash);
    // The one taken of an instance of the file names the file.
    let j = Instance::new(&region(SHAPES[0]), &again).unwrap();
    assert_eq!(Trailer::decode(&saved(&snapshot(&j))).unwrap().parent, t.hash);
    // Code and everything about it are the parent's; unsigned, it needs the same permission.
    let (old, new) = (m.loaded(), again.loaded());
    assert_eq!(old.types, new.types);
    assert_eq!(old.funcs, new.funcs);
    assert_eq!((&old.exports, &old.imports), (&new.exports, &new.imports));
    assert_eq!(old.function_name(3), new.function_name(3));
    assert_eq!(new.contract.start, None);
    let e = Module::load_bytes(&bytes, &ModuleConfig::default()).unwrap_err();
    assert_eq!(e.status(), Status::UntrustedArtifact);
}

/// Saved again, or taken again without a step in between, it is the same file: nothing piles up.
#[test]
fn files_do_not_grow_from_snapshot_to_snapshot() {
    let (m, i) = used(&[("init", 0), ("store", 8), ("grow_table", 7), ("drop_elem", 0)]);
    let first = saved(&snapshot(&i));
    let module = load(&first);
    assert_eq!(saved(&module), first);
    assert_eq!(saved(&m), common::compile(EVERYTHING, SHAPES[0]));
    let mut bytes = first.clone();
    for _ in 0..5 {
        let i = Instance::new(&region(SHAPES[0]), &load(&bytes)).unwrap();
        bytes = saved(&snapshot(&i));
    }
    let body = |b: &[u8]| b[..b.len() - TRAILER_BYTES].to_vec();
    assert!(body(&bytes) == body(&first));
}

#[test]
fn memory_that_comes_and_goes_leaves_its_section() {
    let wat = "(module (memory (export \"m\") 1) (data (i32.const 0) \"abc\")
      (func (export \"clear\") (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)))
      (func (export \"set\") (i32.store (i32.const 9000) (i32.const 7))))";
    let (m, r) = (common::module(wat, lucet::Imports::new()), common::region());
    let pages = |m: &Module| m.loaded().init.image_pages();
    assert_eq!(pages(&m), 1);
    let i = Instance::new(&r, &m).unwrap();
    i.run("clear", &[]).unwrap();
    let empty = load(&saved(&snapshot(&i)));
    assert_eq!(pages(&empty), 0);
    let i = Instance::new(&r, &empty).unwrap();
    i.run("set", &[]).unwrap();
    let full = load(&saved(&snapshot(&i)));
    assert_eq!(pages(&full), 1);
    let mut byte = [0];
    Instance::new(&r, &full).unwrap().memory_read(9000, &mut byte).unwrap();
    assert_eq!(byte, [7]);
}

#[test]
fn files_appear_whole_or_not_at_all() {
    let dir = Directory::new("whole");
    let (_, i) = used(&[]);
    let snap = snapshot(&i);
    let path = dir.0.join("plugin.so");
    snap.save(&path).unwrap();
    assert_eq!(dir.names(), ["plugin.so"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let first = fs::read(&path).unwrap();
    // Replaced, not written into: whoever has the old one open keeps it.
    let old = fs::File::open(&path).unwrap();
    i.run("store", &[Val::I32(0), Val::I64(1)]).unwrap();
    snapshot(&i).save(&path).unwrap();
    assert_ne!(fs::read(&path).unwrap(), first);
    assert_eq!(old.metadata().unwrap().len(), first.len() as u64);
    assert_eq!(dir.names(), ["plugin.so"]);

    // A directory of that name, none to be in, none to write to.
    let name = dir.0.join("directory");
    fs::create_dir_all(name.join("full")).unwrap();
    for path in [name.clone(), dir.0.join("none/plugin.so"), "/proc/plugin.so".into(), "/".into()] {
        let e = snap.save(&path).unwrap_err();
        assert!(matches!(e.status(), Status::Io | Status::InvalidArgument), "{e}");
        assert!(e.message().contains(path.to_str().unwrap()), "{e}");
    }
    assert_eq!(dir.names(), ["directory", "plugin.so"]);
}

#[test]
fn descriptors_can_be_written_to() {
    let dir = Directory::new("descriptor");
    let (_, i) = used(&[("store", 80)]);
    let snap = snapshot(&i);
    let path = dir.0.join("file");
    let file = fs::File::create(&path).unwrap();
    snap.save_to(file.as_fd()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), saved(&snap));
    Module::load_file(&path, &ModuleConfig { allow_unsigned: true, ..ModuleConfig::default() })
        .unwrap();
    let read_only = fs::File::open(&path).unwrap();
    assert_eq!(snap.save_to(read_only.as_fd()).unwrap_err().status(), Status::Io);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(snap.save_to(full.as_fd()).unwrap_err().status(), Status::OutOfMemory);
}

/// Every number of the state, damaged, with a matching hash: refused, or a module that can be used.
#[test]
fn damaged_states_are_refused_or_harmless() {
    let (_, i) = used(&[("init", 0), ("store", 16), ("grow_table", 2), ("swap", 1)]);
    let good = saved(&snapshot(&i));
    let end = good.len() - TRAILER_BYTES;
    let parent = Trailer::decode(&good).unwrap().parent;
    let r = region(SHAPES[0]);
    let (mut refused, mut loaded) = (0, 0);
    for name in [".lucet.contract", ".lucet.init", ".lucet.snapshot"] {
        let range = section(&good, name);
        for (at, bit) in range.flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut b = good[..end].to_vec();
            b[at] ^= 1 << bit;
            Trailer::append(&mut b, FLAG_SNAPSHOT, parent).unwrap();
            let config = ModuleConfig { allow_unsigned: true, ..ModuleConfig::default() };
            match Module::load_bytes(&b, &config) {
                Err(e) => {
                    refused += 1;
                    let status = e.status();
                    let known = [Status::InvalidArtifact, Status::UnsupportedArtifact];
                    assert!(known.contains(&status), "{name} byte {at} bit {bit}: {e}");
                }
                Ok(m) => {
                    loaded += 1;
                    if let Ok(i) = Instance::new(&r, &m) {
                        for n in 0..12 {
                            let _ = i.run("call", &[Val::I32(n), Val::I64(1)]).unwrap();
                            let _ = i.recover();
                        }
                    }
                }
            }
        }
    }
    assert!(refused > 500 && loaded > 100, "{refused} refused, {loaded} loaded");
}

/// Where a section lies, by a search of our own.
fn section(b: &[u8], name: &str) -> std::ops::Range<usize> {
    let get = |at: usize, n: usize| {
        let mut v = [0; 8];
        v[..n].copy_from_slice(&b[at..at + n]);
        u64::from_le_bytes(v) as usize
    };
    let (shoff, shnum, names) = (get(40, 8), get(60, 2), get(62, 2));
    let strings = get(shoff + 64 * names + 24, 8);
    let header = (1..shnum).map(|i| shoff + 64 * i).find(|h| {
        let text = &b[strings + get(*h, 4)..];
        text.starts_with(name.as_bytes()) && text[name.len()] == 0
    });
    let h = header.unwrap();
    get(h + 24, 8)..get(h + 24, 8) + get(h + 32, 8)
}
