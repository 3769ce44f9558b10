//! What a loaded artifact says about itself.

use super::sample::{PAGE, Parts, sample};
use lucet::Status;
use lucet::loader::{LoadOptions, Loaded, Source, Trust, gdb_script, load};
use lucet::sys::arena;
use lucet_artifact::trailer::Trailer;
use lucet_artifact::types::MemoryShape;

pub const ALLOW: LoadOptions =
    LoadOptions { allow_unsigned: true, development: false, trust: Trust::NONE };

pub fn load_bytes(bytes: &[u8]) -> lucet::Result<Loaded> {
    load(Source::Bytes(bytes), &ALLOW)
}

fn code_of(loaded: &Loaded) -> &[u8] {
    // SAFETY: `.text` is mapped readable for as long as `loaded` lives and never written.
    unsafe { std::slice::from_raw_parts(loaded.text.base() as *const u8, loaded.text.len()) }
}

#[test]
fn everything_arrives() {
    let parts = sample();
    let bytes = parts.build();
    let loaded = load_bytes(&bytes).unwrap();
    assert_eq!(loaded.format, lucet_artifact::FORMAT_VERSION);
    assert_eq!(loaded.contract, parts.contract);
    assert_eq!(loaded.types, parts.types);
    assert_eq!(*loaded.imports, parts.imports);
    assert_eq!(loaded.exports, parts.exports);
    assert_eq!(loaded.funcs, parts.funcs);
    assert_eq!(*loaded.traps, parts.traps);
    assert_eq!(loaded.init, parts.init);
    assert_eq!(loaded.layout.size(), parts.contract.instance_data);
    let file = loaded.file.as_slice();
    assert_eq!(file, bytes);
    assert_eq!(file[loaded.data.clone()], parts.data);
    assert_eq!(file[loaded.image.clone()], parts.image);
    assert_eq!(loaded.image.start % PAGE, 0);
    assert_eq!(file[loaded.pcmap.clone()], parts.pcmap);
    assert_eq!(file[loaded.strtab.clone()], parts.strtab);
    assert_eq!(code_of(&loaded), parts.text);
    assert_eq!(loaded.path, None);
}

#[test]
fn snapshots_arrive() {
    let parts = super::sample::snapshot();
    let loaded = load_bytes(&parts.build()).unwrap();
    assert_eq!((loaded.snapshot, loaded.init), (parts.snapshot, parts.init));
    assert_eq!(load_bytes(&sample().build()).unwrap().snapshot, None);
    let mut parts = super::sample::snapshot();
    parts.snapshot = Some(Default::default());
    assert_eq!(load_bytes(&parts.build()).unwrap().snapshot, parts.snapshot);
}

#[test]
fn names_and_offsets_are_found() {
    let loaded = load_bytes(&sample().build()).unwrap();
    let names: Vec<_> = (0..4).map(|i| loaded.function_name(i)).collect();
    assert_eq!(names, [Some("log"), Some("run"), Some("start"), None]);
    let cases = [(0, None), (95, None), (96, Some(0)), (127, Some(0)), (128, Some(1))];
    for (offset, index) in cases.into_iter().chain([(160, Some(2)), (191, Some(2)), (192, None)]) {
        assert_eq!(loaded.function_at(offset), index, "{offset}");
    }
    let wasm = |pc| loaded.wasm_offset(1, pc);
    assert_eq!(
        [wasm(127), wasm(128), wasm(136), wasm(137)],
        [None, Some(100), Some(100), Some(107)]
    );
    assert_eq!((wasm(159), wasm(160)), (Some(107), None));
    assert_eq!((loaded.wasm_offset(2, 160), loaded.wasm_offset(9, 160)), (None, None));
}

#[test]
fn the_owner_of_code_is_found_until_it_is_dropped() {
    let loaded = load_bytes(&sample().build()).unwrap();
    arena::set_owner(loaded.text.range(), 4711);
    let pc = loaded.text.base() + 100;
    assert_eq!((arena::owner_of(pc), loaded.text.offset_of(pc)), (Some(4711), Some(100)));
    assert_eq!(loaded.text.offset_of(loaded.text.base() + 192), None);
    drop(loaded);
    assert_ne!(arena::owner_of(pc), Some(4711));
}

#[test]
fn code_runs() {
    let mut parts = sample();
    parts.text[128..134].copy_from_slice(&[0xb8, 42, 0, 0, 0, 0xc3]); // mov eax, 42; ret
    let loaded = load_bytes(&parts.build()).unwrap();
    let address = loaded.text.base() + 128;
    // SAFETY: the six bytes at this address are a function that returns 42 and does nothing else.
    let f: extern "sysv64" fn() -> u32 = unsafe { std::mem::transmute(address) };
    assert_eq!(f(), 42);
}

type Change = fn(&mut Parts);

#[test]
fn variants_load() {
    let variants: [(&str, Change); 7] = [
        ("no frames", |p| p.frames = false),
        ("no hints", |p| p.hints = None),
        ("no image", |p| {
            p.image.clear();
            p.init.image.clear();
        }),
        ("no data", |p| {
            p.data.clear();
            p.init.datas.clear();
        }),
        ("compact", |p| {
            let m = &mut p.contract.memories[0];
            (m.shape, m.reserve_bytes, m.guard_bytes) = (MemoryShape::Compact, 2 << 16, 0);
        }),
        ("no memory", |p| {
            p.contract.memories.clear();
            p.exports.exports.remove(1);
            p.image.clear();
            p.init.image.clear();
            p.init.datas.clear();
            p.fix_layout();
        }),
        ("two pages of code", |p| p.text.resize(PAGE + 1, 0xcc)),
    ];
    for (name, change) in variants {
        let mut parts = sample();
        change(&mut parts);
        let loaded = load_bytes(&parts.build()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(code_of(&loaded), parts.text, "{name}");
    }
}

#[test]
fn unsigned_code_is_an_explicit_choice() {
    let bytes = sample().build();
    let e = load(Source::Bytes(&bytes), &LoadOptions::default()).unwrap_err();
    assert_eq!(e.status(), Status::UntrustedArtifact);
    assert!(e.message().contains("lucet_module_config_allow_unsigned"), "{e}");
    // Damage is reported before trust is asked for.
    let mut damaged = bytes.clone();
    damaged[5000] ^= 1;
    let e = load(Source::Bytes(&damaged), &LoadOptions::default()).unwrap_err();
    assert_eq!(e.status(), Status::InvalidArtifact);
    // Then trust, before anything else: not even the ELF header is looked at.
    let mut nonsense = [&b"\x7fELF"[..], &[7; 5000]].concat();
    Trailer::append(&mut nonsense, 0, [0; 64]).unwrap();
    let e = load(Source::Bytes(&nonsense), &LoadOptions::default()).unwrap_err();
    assert_eq!(e.status(), Status::UntrustedArtifact, "{e}");
    assert_eq!(load_bytes(&nonsense).unwrap_err().status(), Status::InvalidArtifact);
}

#[test]
fn development_mode_maps_the_file_itself() {
    let dir = super::files::Dir::new("dev");
    let path = dir.write("a module.so", &sample().build());
    let options = LoadOptions { development: true, ..ALLOW };
    let loaded = load(Source::Path(&path), &options).unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|l| l.ends_with("a module.so")).expect("mapped by name");
    assert!(line.starts_with(&format!("{:x}-", loaded.text.base())), "{line}");
    assert!(line.contains(" r-xp "), "{line}");
    assert_eq!(code_of(&loaded), sample().text);
    let script = gdb_script(&loaded).unwrap();
    let expected =
        format!("add-symbol-file \"{}\" -s .text {:#x}\n", path.display(), loaded.text.base());
    assert_eq!(script, expected);

    let plain = load(Source::Path(&path), &ALLOW).unwrap();
    assert_eq!(gdb_script(&plain).unwrap_err().status(), Status::WrongState);
    assert_eq!(plain.path.as_deref(), Some(path.as_path()));
    let bytes = std::fs::read(&path).unwrap();
    let anonymous = load(Source::Bytes(&bytes), &options).unwrap();
    assert_eq!(gdb_script(&anonymous).unwrap_err().status(), Status::WrongState);
    let evil = dir.write("a\nshell rm.so", &bytes);
    let loaded = load(Source::Path(&evil), &options).unwrap();
    assert_eq!(gdb_script(&loaded).unwrap_err().status(), Status::InvalidArgument);
}

#[test]
fn nothing_is_writable_and_executable() {
    let loaded = load_bytes(&sample().build()).unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let base = format!("{:x}-", loaded.text.base());
    let text = maps.lines().find(|l| l.starts_with(&base)).unwrap();
    assert!(text.contains(" r-xp ") && text.contains("memfd:lucet-artifact"), "{text}");
    let view = format!("{:x}-", loaded.file.as_slice().as_ptr() as usize);
    let view = maps.lines().find(|l| l.starts_with(&view)).unwrap();
    assert!(view.contains(" r--p ") || view.contains(" r--s "), "{view}");
    assert!(!maps.lines().any(|l| l.contains(" rwx")), "{maps}");
}

/// Threads load and drop modules of different sizes at the same time; every address has the owner
/// that was set for it as long as its module lives.
#[test]
fn threads_share_the_arena() {
    std::thread::scope(|s| {
        for thread in 1..=4_usize {
            s.spawn(move || {
                let mut live = std::collections::VecDeque::new();
                for i in 0..200_usize {
                    let mut parts = sample();
                    parts.text.resize(192 + (i * 7919) % 200_000, 0xcc);
                    let loaded = load_bytes(&parts.build()).unwrap();
                    let owner = thread * 1000 + i;
                    arena::set_owner(loaded.text.range(), owner);
                    live.push_back((owner, loaded));
                    if live.len() > 8 {
                        live.pop_front();
                    }
                    for (owner, loaded) in &live {
                        let (base, len) = (loaded.text.base(), loaded.text.len());
                        for pc in [base, base + len / 2, base + len - 1] {
                            assert_eq!(arena::owner_of(pc), Some(*owner));
                        }
                    }
                }
            });
        }
    });
}
