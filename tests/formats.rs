//! Artifacts of every format that this version reads, as the lucetc of their time wrote them.
//!
//! `tests/golden/format-N/NAME.so` was compiled from `tests/golden/NAME.wat` when format N was the
//! current one, and is never written again. Each is loaded, run, and compared with what today's
//! lucetc says about the same source. With `LUCET_WRITE_GOLDEN=1` files that the current format
//! does not have yet are written.

mod common;

use common::{host, region};
use lucet::loader::{LoadOptions, Loaded, Source, load};
use lucet::{Imports, Instance, Module, ModuleConfig, Outcome, SnapshotOptions, Status, Val};
use lucet_artifact::trailer::{TRAILER_BYTES, Trailer};
use lucet_artifact::types::MemoryShape;
use lucet_artifact::{FORMAT_VERSION, OLDEST_READABLE_FORMAT};
use lucetc::options::{OptLevel, Options};
use lucetc::policy::Policy;
use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was compiled, and what `run(5)` gives.
const GOLDEN: [(&str, i64); 6] = [
    ("plain", (47 << 32) | 10),
    ("vectors", 92),
    ("exceptions", 1005),
    ("memories", 50),
    ("references", 11),
    ("counted", 15),
];

/// A snapshot of an instance of `plain` that ran `run(3)`.
const SNAPSHOT: &str = "snapshot";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden(format: u32, name: &str) -> Vec<u8> {
    let path = directory().join(format!("format-{format}/{name}.so"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What today's lucetc makes of the source.
fn compiled(name: &str) -> Vec<u8> {
    let read = |file: String| std::fs::read_to_string(directory().join(file)).unwrap();
    let mut options = Options { threads: 1, ..Options::default() };
    if name == "counted" {
        options.policy = Policy::parse(&read("counted.toml".into()), "counted.toml").unwrap();
        options.policy.set_label("version", "1.2.3").unwrap();
        options.memory = MemoryShape::Compact;
        options.opt_level = OptLevel::SpeedAndSize;
    }
    let artifact = lucetc::compile(read(format!("{name}.wat")).as_bytes(), &options);
    artifact.unwrap_or_else(|e| panic!("{name}: {e}"))
}

unsafe extern "C" fn add(_: *const lucet::Control, _: usize, a: i32, b: i32) -> i32 {
    a.wrapping_add(b)
}

fn module(bytes: &[u8]) -> Arc<Module> {
    let mut imports = Imports::new();
    host(&mut imports, "add", "(i32, i32) -> i32", add as *const c_void, 0);
    let config = ModuleConfig { imports, allow_unsigned: true, ..ModuleConfig::default() };
    Module::load_bytes(bytes, &config).unwrap()
}

fn facts(bytes: &[u8]) -> lucet::Result<Loaded> {
    load(Source::Bytes(bytes), &LoadOptions { allow_unsigned: true, ..LoadOptions::default() })
}

fn run(i: &Instance, name: &str, argument: i32) -> Outcome {
    i.run(name, &[Val::I32(argument)]).unwrap()
}

/// A snapshot of an artifact of `plain`.
fn snapshot(plain: &[u8]) -> Vec<u8> {
    let i = Instance::new(&region(), &module(plain)).unwrap();
    assert!(matches!(run(&i, "run", 3), Outcome::Returned(_)));
    let path = std::env::temp_dir().join(format!("lucet-formats-{}", std::process::id()));
    i.snapshot(&SnapshotOptions::default()).unwrap().save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    bytes
}

/// The current format's artifacts are in the repository; the next format needs them.
#[test]
fn the_current_format_has_its_golden_artifacts() {
    let write = std::env::var_os("LUCET_WRITE_GOLDEN").is_some();
    for name in GOLDEN.iter().map(|g| g.0).chain([SNAPSHOT]) {
        let path = directory().join(format!("format-{FORMAT_VERSION}/{name}.so"));
        if write && !path.exists() {
            let bytes = match name {
                SNAPSHOT => snapshot(&compiled("plain")),
                _ => compiled(name),
            };
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
        assert_eq!(facts(&golden(FORMAT_VERSION, name)).unwrap().format, FORMAT_VERSION, "{name}");
    }
}

#[test]
fn every_readable_format_runs() {
    assert_eq!((OLDEST_READABLE_FORMAT, FORMAT_VERSION), (1, 2), "SPECIFICATION.md names them");
    for format in OLDEST_READABLE_FORMAT..=FORMAT_VERSION {
        let region = region();
        for (name, expected) in GOLDEN {
            let bytes = golden(format, name);
            assert_eq!(facts(&bytes).unwrap().format, format, "{name}");
            let module = module(&bytes);
            let i = Instance::new(&region, &module).unwrap();
            match run(&i, "run", 5) {
                Outcome::Returned(v) => assert_eq!(v, [Val::I64(expected)], "{format} {name}"),
                other => panic!("format {format}, {name}: {other:?}"),
            }
        }
        let i = Instance::new(&region, &module(&golden(format, "plain"))).unwrap();
        match run(&i, "trap", 0) {
            Outcome::Trapped(t) => assert!(t.to_string().contains("trap"), "{t}"),
            other => panic!("format {format}: {other:?}"),
        }
        let i = Instance::new(&region, &module(&golden(format, "exceptions"))).unwrap();
        assert!(matches!(run(&i, "escapes", 7), Outcome::Exception(_)), "format {format}");
    }
}

#[test]
fn snapshots_of_every_readable_format_go_on() {
    for format in OLDEST_READABLE_FORMAT..=FORMAT_VERSION {
        let bytes = golden(format, SNAPSHOT);
        assert_eq!(facts(&bytes).unwrap().format, format);
        let parent = facts(&golden(format, "plain")).unwrap().hash;
        assert_eq!(Trailer::decode(&bytes).unwrap().parent, parent, "format {format}");
        let i = Instance::new(&region(), &module(&bytes)).unwrap();
        let mut state = [0; 8];
        i.memory_read(16, &mut state).unwrap();
        assert_eq!(u64::from_le_bytes(state), (45 << 32) | 6, "format {format}");
        assert_eq!(i.global_get("count").unwrap(), Val::I32(42), "the start function ran once");
        // A snapshot of what an older lucetc compiled is of the current format.
        let again = snapshot(&golden(format, "plain"));
        assert_eq!(facts(&again).unwrap().format, FORMAT_VERSION);
        let i = Instance::new(&region(), &module(&again)).unwrap();
        assert!(matches!(run(&i, "run", 5), Outcome::Returned(_)));
    }
}

/// What an artifact says is what its source says, whatever the format.
#[test]
fn every_readable_format_says_the_same() {
    for format in OLDEST_READABLE_FORMAT..=FORMAT_VERSION {
        for (name, _) in GOLDEN {
            let old = facts(&golden(format, name)).unwrap();
            let new = facts(&compiled(name)).unwrap();
            assert_eq!((old.format, new.format), (format, FORMAT_VERSION), "{name}");
            let (a, b) = (&old.contract, &new.contract);
            assert_eq!(a.source_hash, b.source_hash, "{name}");
            assert_eq!((a.features, a.fuel, a.start), (b.features, b.fuel, b.start), "{name}");
            assert_eq!((&a.memories, &a.tables), (&b.memories, &b.tables), "{name}");
            assert_eq!((&a.globals, &a.tags), (&b.globals, &b.tags), "{name}");
            assert_eq!((a.functions, &a.labels), (b.functions, &b.labels), "{name}");
            assert_eq!(*old.imports, *new.imports, "{name}");
            assert_eq!(old.exports, new.exports, "{name}");
        }
    }
}

/// The artifact with another format version in its contract and the hash made right again.
fn with_format(bytes: &[u8], format: u32) -> Vec<u8> {
    let mut body = bytes[..bytes.len() - TRAILER_BYTES].to_vec();
    let at = lucet_artifact::container::CONTRACT;
    let at = section(&body, at).start;
    body[at..at + 4].copy_from_slice(&format.to_le_bytes());
    Trailer::append(&mut body, 0, [0; 64]).unwrap();
    body
}

/// A section's place, found by its name.
fn section(body: &[u8], name: &str) -> std::ops::Range<usize> {
    let h = section_header(body, name);
    let u64_at = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().unwrap()) as usize;
    u64_at(h + 24)..u64_at(h + 24) + u64_at(h + 32)
}

/// Where a section's header lies.
fn section_header(body: &[u8], name: &str) -> usize {
    let u64_at = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().unwrap()) as usize;
    let u32_at = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap()) as usize;
    let u16_at = |at: usize| u16::from_le_bytes(body[at..at + 2].try_into().unwrap()) as usize;
    let header = |i: usize| u64_at(40) + 64 * i;
    let names = u64_at(header(u16_at(62)) + 24);
    let found = (1..u16_at(60)).map(header).find(|h| {
        let at = names + u32_at(*h);
        body[at..].starts_with(format!("{name}\0").as_bytes())
    });
    found.unwrap_or_else(|| panic!("no section {name}"))
}

/// The artifact as format 1 has it: 32 bytes less in the contract, zeros behind the section.
fn as_format_1(bytes: &[u8]) -> Vec<u8> {
    let mut body = with_format(bytes, 1);
    body.truncate(body.len() - TRAILER_BYTES);
    let contract = section(&body, lucet_artifact::container::CONTRACT);
    let text = |at: usize| 4 + u32::from_le_bytes(body[at..at + 4].try_into().unwrap()) as usize;
    let compiler = contract.start + 8;
    let codegen = compiler + text(compiler);
    let policy = codegen + text(codegen) + 32;
    let mut rest = body[policy + 32..contract.end].to_vec();
    rest.resize(rest.len() + 32, 0);
    body[policy..contract.end].copy_from_slice(&rest);
    let header = section_header(&body, lucet_artifact::container::CONTRACT);
    let size = (contract.len() - 32) as u64;
    body[header + 32..header + 40].copy_from_slice(&size.to_le_bytes());
    Trailer::append(&mut body, 0, [0; 64]).unwrap();
    body
}

/// The two formats differ in the hash of the policy and in nothing else.
#[test]
fn format_1_is_format_2_without_the_policy() {
    assert_eq!((OLDEST_READABLE_FORMAT, FORMAT_VERSION), (1, 2), "then this test is for others");
    for (name, expected) in GOLDEN {
        let (new, old) = (golden(2, name), as_format_1(&golden(2, name)));
        let (a, b) = (facts(&new).unwrap(), facts(&old).unwrap());
        assert_eq!((a.format, b.format), (2, 1), "{name}");
        assert_eq!(a.contract.policy_hash == [0; 32], name != "counted", "{name}");
        let without = lucet_artifact::contract::Contract { policy_hash: [0; 32], ..a.contract };
        assert_eq!(b.contract, without, "{name}");
        assert_eq!((&*a.imports, &a.exports, &a.types), (&*b.imports, &b.exports, &b.types));
        assert_eq!((&a.funcs, &a.init, &*a.traps), (&b.funcs, &b.init, &*b.traps), "{name}");
        let i = Instance::new(&region(), &module(&old)).unwrap();
        assert!(matches!(run(&i, "run", 5), Outcome::Returned(v) if v == [Val::I64(expected)]));
    }
}

#[test]
fn other_formats_are_refused_and_those_that_are_read_named() {
    let bytes = compiled("plain");
    assert!(facts(&with_format(&bytes, FORMAT_VERSION)).is_ok());
    for format in [0, OLDEST_READABLE_FORMAT - 1, FORMAT_VERSION + 1, u32::MAX] {
        let e = facts(&with_format(&bytes, format)).unwrap_err();
        assert_eq!(e.status(), Status::UnsupportedArtifact, "{e}");
        let said = format!(
            "artifact format {format}; this version reads {OLDEST_READABLE_FORMAT} to \
             {FORMAT_VERSION}"
        );
        assert!(e.message().contains(&said), "{e}");
    }
}
