//! Reads the module, and recognises what is not one: whoever hands lucetc a C file or an already
//! compiled artifact should learn that, not "unexpected token" or "bad magic number".

use super::args::Place;
use lucet_artifact::limits::{MAX_ARTIFACT_BYTES, MAX_WASM_BYTES};
use lucetc::limits::{Limit, Limits};
use lucetc::{Class, Diagnostic, Errors};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads and looks at the input.
pub fn read(place: &Place, limits: &Limits) -> Result<Vec<u8>, Errors> {
    let bytes = whole(place)?;
    if bytes.len() as u64 > limits.get(Limit::ModuleSize) {
        return Err(Limit::ModuleSize.exceeded(limits).into());
    }
    match foreign(&bytes, place) {
        Some(d) => Err(d.into()),
        None => Ok(bytes),
    }
}

/// Reads the input as it is, to one byte more than any module may have.
pub fn whole(place: &Place) -> Result<Vec<u8>, Errors> {
    up_to(place, MAX_WASM_BYTES + 1)
        .map_err(|e| unreadable(place, &e, "a .wasm or .wat file").into())
}

/// Reads an artifact, or whatever it is instead, to one byte more than any artifact may have.
pub fn artifact(place: &Place) -> Result<Vec<u8>, Errors> {
    let bytes = up_to(place, MAX_ARTIFACT_BYTES + 1);
    bytes.map_err(|e| unreadable(place, &e, "an artifact (.so)").into())
}

fn up_to(place: &Place, most: u64) -> io::Result<Vec<u8>> {
    match place {
        Place::Std => load(io::stdin().lock(), most),
        Place::File(path) => File::open(path).and_then(|file| load(file, most)),
    }
}

fn load(file: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(place: &Place, e: &io::Error, wanted: &str) -> Diagnostic {
    let name = place.name();
    let (message, help) = match e.kind() {
        io::ErrorKind::NotFound => {
            let help = "check the spelling; paths are relative to here".to_owned();
            (format!("{name} does not exist"), help)
        }
        io::ErrorKind::IsADirectory => (format!("{name} is a directory"), format!("name {wanted}")),
        io::ErrorKind::PermissionDenied => {
            (format!("{name} may not be read: {e}"), "change its permissions".to_owned())
        }
        _ => (format!("cannot read {name}: {e}"), format!("name {wanted}")),
    };
    Diagnostic::new(Class::Usage, message).help(help)
}

/// What the bytes are instead of a module, if that can be told.
fn foreign(bytes: &[u8], place: &Place) -> Option<Diagnostic> {
    let name = place.name();
    let malformed = |message: String, help: &str| {
        Some(Diagnostic::new(Class::Malformed, message).help(help.to_owned()))
    };
    if bytes.is_empty() {
        return malformed(format!("{name} is empty"), "did the step that makes it fail?");
    }
    if bytes.starts_with(b"\0asm") {
        let component = bytes.get(6..8).is_some_and(|layer| layer == [1, 0]);
        return component.then(|| {
            Diagnostic::new(
                Class::Unsupported,
                format!("{name} is a WebAssembly component; lucetc compiles core modules"),
            )
            .help("build for a target without components, for example wasm32-wasip1")
        });
    }
    if bytes.starts_with(b"\x7fELF") {
        let own = bytes.windows(15).any(|w| w == b".lucet.contract");
        return if own {
            let m = format!("{name} looks already compiled: it is a Lucet artifact");
            malformed(m, "load it with liblucet, or give lucetc the .wasm file it was made from")
        } else {
            let m = format!("{name} is native code (ELF), not WebAssembly");
            malformed(m, "compile its source for a wasm target first: clang --target=wasm32-wasi")
        };
    }
    if bytes.starts_with(b"\x1f\x8b") {
        return malformed(format!("{name} is compressed (gzip)"), "unpack it first");
    }
    if bytes.starts_with(b"!<arch>") {
        let m = format!("{name} is a library archive, not a module");
        return malformed(m, "link it first; lucetc compiles the linked .wasm file");
    }
    if bytes.starts_with(b"BC\xc0\xde") {
        return malformed(format!("{name} is LLVM bitcode, not WebAssembly"), "link it first");
    }
    let language = source(bytes, place)?;
    let m = format!("{name} looks like {language} source, not WebAssembly");
    malformed(m, "compile it for a wasm target first, for example with clang --target=wasm32-wasi")
}

/// The language of a text that is not WebAssembly text: that starts with `(`, after comments.
fn source(bytes: &[u8], place: &Place) -> Option<&'static str> {
    let start: Vec<u8> = bytes.iter().copied().take(4096).collect();
    let text = String::from_utf8_lossy(&start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('(') || text.starts_with(";;") || text.contains('\0') {
        return None;
    }
    let extension = match place {
        Place::File(path) => Path::new(path).extension().and_then(|e| e.to_str()).unwrap_or(""),
        Place::Std => "",
    };
    Some(match extension {
        "c" | "h" => "C",
        "cc" | "cpp" | "cxx" | "hpp" => "C++",
        "rs" => "Rust",
        "go" => "Go",
        "zig" => "Zig",
        "js" | "mjs" => "JavaScript",
        "ts" => "TypeScript",
        _ if ["#include", "#define", "int main"].iter().any(|w| text.contains(w)) => "C",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(bytes: &[u8], name: &str) -> Option<String> {
        foreign(bytes, &Place::File(name.into())).map(|d| d.to_string())
    }

    #[test]
    fn modules_pass() {
        assert_eq!(what(b"\0asm\x01\0\0\0", "a.wasm"), None);
        assert_eq!(what(b"(module)", "a.wat"), None);
        assert_eq!(what(b";; #include\n(module)", "a.wat"), None);
        assert_eq!(what(b"(module)", "a.c"), None);
        assert_eq!(what(b"\0as", "a.wasm"), None, "the parser explains truncated files");
        assert_eq!(what(b"\xff\xfe\x00", "x"), None);
    }

    #[test]
    fn others_are_recognised() {
        for (bytes, name, part) in [
            (&b""[..], "a", "a is empty"),
            (b"\0asm\x0d\0\x01\0", "a", "error[unsupported]: a is a WebAssembly component"),
            (b"\x7fELF...  .lucet.contract\0", "a", "looks already compiled"),
            (b"\x7fELF", "a", "native code (ELF)"),
            (b"\x1f\x8b\x08", "a", "gzip"),
            (b"!<arch>\n", "a", "archive"),
            (b"BC\xc0\xde", "a", "bitcode"),
            (b"/* x */ int f(void);", "a.c", "C source"),
            (b"#include <stdio.h>\n", "a", "C source"),
            (b"fn main() {}", "a.rs", "Rust source"),
        ] {
            let found = what(bytes, name).unwrap_or_default();
            assert!(found.contains(part), "{part} not in {found}");
            assert!(found.contains("help: "), "{found}");
        }
    }
}
