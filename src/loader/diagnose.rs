//! What a file is that is not an artifact: the first error a newcomer sees.
//!
//! Everything here looks at the first kilobytes of a file that was already refused, to say in one
//! sentence what it is and what to do instead. Nothing is decided by it.

#![forbid(unsafe_code)]

use crate::error::{Error, Status};

/// Bytes from the start of a file that [`not_an_artifact`] wants to see.
pub(super) const HEAD: usize = 4096;

const ET_DYN: u16 = 3;
const PT_DYNAMIC: u32 = 2;
const COMPILE: &str = "compile it first: lucetc FILE -o FILE.so";

/// The error for a file that does not end in a trailer or does not begin like ELF. `head` is its
/// beginning.
pub(super) fn not_an_artifact(head: &[u8]) -> Error {
    let error = |message: String| Error::new(Status::NotAnArtifact, message);
    match head {
        [] => error("the file is empty".to_owned()),
        [0, b'a', b's', b'm', _, _, 1, _, ..] => error(
            "this is a WebAssembly component; extract its core module and compile that with lucetc"
                .to_owned(),
        ),
        [0, b'a', b's', b'm', ..] => error(format!("this is a WebAssembly file; {COMPILE}")),
        [0x7f, b'E', b'L', b'F', rest @ ..] => elf(rest),
        [b'#', b'!', ..] => error("this is a script, not an artifact".to_owned()),
        _ if is_wat(head) => error(format!("this is WebAssembly text; {COMPILE}")),
        _ => {
            let n = head.len().min(4);
            let start = head.get(..n).unwrap_or_default();
            error(format!("not an artifact written by lucetc: it begins with {start:02x?}"))
        }
    }
}

/// An ELF file without trailer; `rest` is what follows the magic.
fn elf(rest: &[u8]) -> Error {
    let error = |message: &str| Error::new(Status::NotAnArtifact, message);
    let u16_at = |at: usize| {
        let bytes = rest.get(at - 4..at - 2)?;
        Some(u16::from_le_bytes(bytes.try_into().ok()?))
    };
    if u16_at(16) != Some(ET_DYN) {
        return error("an ELF file, but not one written by lucetc (an object file or a program)");
    }
    let dynamic = (0..usize::from(u16_at(56).unwrap_or(0))).any(|i| {
        let at = 64 - 4 + 56 * i;
        rest.get(at..at + 4) == Some(&PT_DYNAMIC.to_le_bytes())
    });
    if dynamic {
        return error(
            "an ordinary shared object, not written by lucetc; artifacts are compiled from \
             WebAssembly: lucetc FILE.wasm -o FILE.so",
        );
    }
    let message = "the trailer is missing: the artifact was cut off, or changed by another tool \
                   (strip, objcopy); compile it again";
    Error::new(Status::InvalidArtifact, message)
}

/// Whether this looks like the WebAssembly text format: comments and space, then `(`.
fn is_wat(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let mut rest = text.trim_start();
    while let Some(comment) = rest.strip_prefix(";;") {
        rest = comment.split_once('\n').map_or("", |(_, r)| r).trim_start();
        if rest.is_empty() {
            return true;
        }
    }
    rest.starts_with("(;") || rest.starts_with("(module") || rest.starts_with("(component")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_the_file_is() {
        let component = b"\0asm\x0d\0\x01\0";
        let cases: [(&[u8], &str); 9] = [
            (b"", "empty"),
            (b"\0asm\x01\0\0\0", "lucetc FILE -o FILE.so"),
            (component, "component"),
            (b"(module)", "WebAssembly text"),
            (b" ;; a comment\n(module)", "WebAssembly text"),
            (b"#!/bin/sh\n", "script"),
            (b"\x7fELF", "object file"),
            (b"PK\x03\x04", "[50, 4b, 03, 04]"),
            (b"x", "[78]"),
        ];
        for (head, part) in cases {
            let e = not_an_artifact(head);
            assert_eq!(e.status(), Status::NotAnArtifact);
            assert!(e.message().contains(part), "{e}");
        }
        let own = std::fs::read("/proc/self/exe").unwrap();
        let e = not_an_artifact(&own[..HEAD]);
        assert!(e.message().contains("ordinary shared object"), "{e}");
    }
}
