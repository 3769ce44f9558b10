//! Artifacts with everything that ELF allows and lucetc does not write: each file is well-formed
//! but for the one thing in its name, has a matching hash, and is refused by the check that it
//! names. So what stands in its way is that check, not a wrong offset or a damaged trailer.
//!
//! One test in one process, because it counts what belongs to the process: descriptors, mappings.

#[path = "common/elf.rs"]
mod elf;
#[path = "common/process.rs"]
#[allow(dead_code)]
mod process;
mod hostile_elf {
    pub mod dynamic;
    pub mod fields;
    pub mod layout;
    pub mod real;
    pub mod sections;
    pub mod symbols;
}

use elf::{Built, Elf, with_trailer};
use lucet::loader::{LoadOptions, Source, load};
use lucet::{Module, ModuleConfig, Status};
use lucet_artifact::trailer::TRAILER_BYTES;
use process::{descriptors, mappings};
use std::collections::HashSet;

/// A hostile file: what must be said of it, and with which status.
#[allow(missing_docs)]
pub struct Case {
    pub name: String,
    pub status: Status,
    pub part: String,
    pub bytes: Vec<u8>,
}

/// All of them, and the good file that they are made from.
#[allow(missing_docs)]
pub struct Cases {
    pub good: Elf,
    pub all: Vec<Case>,
}

impl Cases {
    fn add(&mut self, name: String, part: &str, body: Vec<u8>) {
        let (status, part) = (Status::InvalidArtifact, part.to_owned());
        self.all.push(Case { name, status, part, bytes: with_trailer(body) });
    }

    /// A file of another structure.
    pub fn elf(&mut self, name: impl Into<String>, part: &str, change: impl FnOnce(&mut Elf)) {
        let mut e = self.good.clone();
        change(&mut e);
        self.add(name.into(), part, e.build().bytes);
    }

    /// The good file with other numbers in it.
    pub fn field(&mut self, name: impl Into<String>, part: &str, change: impl FnOnce(&mut Built)) {
        let mut b = self.good.build();
        let before = b.bytes.clone();
        change(&mut b);
        let name = name.into();
        assert_ne!(b.bytes, before, "{name} changes nothing");
        self.add(name, part, b.bytes);
    }
}

const GUEST: &str = r#"(module (import "env" "log" (func $log (param i32) (result i32)))
  (memory (export "memory") 1 4) (table (export "table") 4 funcref)
  (global (export "counter") (mut i32) (i32.const 4))
  (tag $e) (elem (i32.const 0) $log $run) (data (i32.const 5000) "hello") (data "passive")
  (func $run (export "run") (param i32) (result i32)
    (block $b (try_table (catch $e $b) (drop (call $log (local.get 0)))))
    (i32.load offset=4 (local.get 0))))"#;

fn good() -> (Vec<u8>, Elf) {
    let artifact = lucetc::compile(GUEST.as_bytes(), &lucetc::Options::default());
    let mut artifact = artifact.unwrap_or_else(|e| panic!("{e}"));
    artifact.truncate(artifact.len() - TRAILER_BYTES);
    let parsed = Elf::parse(&artifact);
    (artifact, parsed)
}

fn counts() -> (usize, usize) {
    (descriptors(), mappings())
}

/// Loads it in each way; it must be refused in the same words.
fn refused(case: &Case, path: &std::path::Path) -> bool {
    std::fs::write(path, &case.bytes).unwrap();
    let options =
        |development| LoadOptions { allow_unsigned: true, development, ..Default::default() };
    let file = std::fs::File::open(path).unwrap();
    let fd = std::os::fd::AsFd::as_fd(&file);
    let sources = [
        (Source::Bytes(&case.bytes), false),
        (Source::Path(path), false),
        (Source::Path(path), true),
        (Source::Fd(fd), false),
    ];
    let mut right = true;
    for (source, development) in sources {
        match load(source, &options(development)) {
            Ok(_) => {
                println!("{}: {source:?} was loaded", case.name);
                right = false;
            }
            Err(e)
                if e.status() != case.status
                    || !e.message().contains(&case.part)
                    || case.part.is_empty() =>
            {
                println!("{}: wanted {:?}, \"{}\": {e}", case.name, case.status, case.part);
                right = false;
            }
            Err(e) => assert!(!e.message().contains(char::is_control), "{e}"),
        }
    }
    right
}

#[test]
fn every_construct_that_lucetc_does_not_write_is_refused() {
    let dir = std::env::temp_dir().join(format!("lucet-hostile-elf-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (body, parsed) = good();
    let built = parsed.build().bytes;
    assert_eq!(Elf::parse(&built), parsed, "the two writers of ELF do not agree");
    let config = ModuleConfig { allow_unsigned: true, linkable: true, ..ModuleConfig::default() };
    drop(Module::load_bytes(&with_trailer(built), &config).unwrap());
    let good = with_trailer(body);
    drop(Module::load_bytes(&good, &config).unwrap());

    let mut cases = Cases { good: parsed, all: Vec::new() };
    type Add = fn(&mut Cases);
    let sets: [(&str, Add); 6] = [
        ("fields of headers", hostile_elf::fields::cases),
        ("dynamic linking", hostile_elf::dynamic::cases),
        ("segments and sections of other kinds", hostile_elf::sections::cases),
        ("symbols and names", hostile_elf::symbols::cases),
        ("what lies where", hostile_elf::layout::cases),
        ("real shared objects", |c| hostile_elf::real::cases(c)),
    ];
    for (what, add) in sets {
        let before = cases.all.len();
        add(&mut cases);
        println!("{:4} {what}", cases.all.len() - before);
    }
    let (mut names, mut files) = (HashSet::new(), HashSet::new());
    for c in &cases.all {
        assert!(names.insert(&c.name), "{} is there twice", c.name);
        assert!(files.insert(&c.bytes), "{} is the same as another", c.name);
    }

    let path = dir.join("case.so");
    let before = counts();
    let wrong = cases.all.iter().filter(|c| !refused(c, &path)).count();
    assert_eq!(counts(), before, "descriptors, mappings");
    hostile_elf::real::no_constructor_ran();
    assert!(Module::load_bytes(&good, &config).is_ok());
    println!("{} malicious ELF files, {wrong} not refused as they should be", cases.all.len());
    println!("hostile: made-by-hand {}", cases.all.len());
    assert!(wrong == 0 && cases.all.len() >= 980);
    std::fs::remove_dir_all(&dir).unwrap();
}
