//! binutils and gdb read artifacts without complaint.

use crate::module;
use crate::structure::modules;
use lucetc::emit::{emit, emit_object};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file in cargo's directory for test files.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Runs a tool; it must exist, succeed and have nothing to say on stderr. Returns its output.
fn run(tool: &str, args: &[&str], file: &Path) -> String {
    let out = Command::new(tool).args(args).arg(file).env("LC_ALL", "C.UTF-8").output();
    let out = out.unwrap_or_else(|e| panic!("{tool} is needed by this test: {e}"));
    let (stdout, stderr) = (utf8(out.stdout), utf8(out.stderr));
    assert!(out.status.success(), "{tool}: {stderr}");
    assert_eq!(stderr, "", "{tool} {args:?} complains");
    stdout
}

fn utf8(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn readelf_has_nothing_to_complain_about() {
    for (what, c) in modules() {
        let path = file(&format!("readelf-{what}.so"), &emit(&c).unwrap());
        let out = run("readelf", &["-aW"], &path);
        for word in ["arning", "rror", "corrupt", "<unknown>"] {
            assert!(!out.contains(word), "{what}: {word} in\n{out}");
        }
        let out = run("readelf", &["-d"], &path);
        assert!(out.contains("There is no dynamic section"), "{out}");
    }
    let artifact = emit(&module::with_image(1)).unwrap();
    let path = file("readelf.o", &emit_object(&artifact, "lucet_artifact_x").unwrap());
    run("readelf", &["-aW"], &path);
}

#[test]
fn readelf_finds_every_frame() {
    let c = module::adders();
    let path = file("frames.so", &emit(&c).unwrap());
    let out = run("readelf", &["--debug-dump=frames"], &path);
    assert_eq!(out.matches(" FDE cie=").count(), c.unwind.len(), "{out}");
    let text = run("readelf", &["-SW"], &path);
    let line = text.lines().find(|l| l.contains(" .text ")).unwrap();
    let address = line.split_whitespace().find(|w| w.len() == 16).unwrap();
    let address = u64::from_str_radix(address, 16).unwrap();
    for (at, _) in &c.unwind {
        let pc = format!("pc={:016x}..", address + u64::from(*at));
        assert!(out.contains(&pc), "{pc} not in\n{out}");
    }
    assert!(out.contains("ZERO terminator"), "{out}");
}

#[test]
fn objdump_shows_functions_by_name() {
    let path = file("objdump.so", &emit(&module::adders()).unwrap());
    let out = run("objdump", &["-d"], &path);
    for word in ["<add_one>:", "<größe>:", "<lucet_entry[0]>:", "ret"] {
        assert!(out.contains(word), "no {word} in\n{out}");
    }
}

#[test]
fn gdb_knows_the_functions() {
    let path = file("gdb.so", &emit(&module::adders()).unwrap());
    let args = ["-nx", "-batch", "-ex", "info functions", "-ex", "disassemble add_one"];
    let out = run("gdb", &args, &path);
    assert!(out.contains("größe") && out.contains("lucet_entry[0]"), "{out}");
    assert!(out.contains("Dump of assembler code for function add_one"), "{out}");
}

/// What the linker makes of an object: the artifact is read-only, never relocated, where the
/// symbol says, and needs no executable stack.
#[test]
fn the_linker_takes_the_object() {
    let artifact = emit(&module::with_image(1)).unwrap();
    let path = file("link.o", &emit_object(&artifact, "lucet_artifact_x").unwrap());
    let linked = path.with_extension("linked.so");
    run("ld", &["-shared", "-z", "text", "-o", linked.to_str().unwrap()], &path);
    let bytes = std::fs::read(&linked).unwrap();
    let at = bytes.windows(artifact.len()).position(|w| w == artifact).expect("the artifact");
    assert_eq!(at % 4096, 0);
    // Hidden: a library that holds a module does not export it.
    let symbols = run("nm", &[], &linked);
    let line = symbols.lines().find(|l| l.ends_with(" r lucet_artifact_x")).expect(&symbols);
    let address = usize::from_str_radix(&line[..16], 16).unwrap();
    assert_eq!(address, at + lucet_artifact::linked::distance(artifact.len()));
    let headers = run("readelf", &["-lrW"], &linked);
    assert!(headers.contains("There are no relocations"), "{headers}");
    assert!(!headers.contains("RWE"), "{headers}");
}
