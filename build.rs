//! Writes the headers in `include/` from `src/capi` when it is asked to: `make header`, that is
//!
//! ```text
//! LUCET_HEADER=1 cargo build --release -p lucet --features header
//! ```
//!
//! `LUCET_HEADER` may also be a folder to write to. The feature keeps cbindgen out of everybody
//! else's build: the headers are committed, and `tests/header.rs` compares them.

#[cfg(feature = "header")]
#[path = "src/capi/header.rs"]
mod header;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LUCET_HEADER");
    if let Some(to) = std::env::var_os("LUCET_HEADER") {
        write(&to);
    }
}

#[cfg(feature = "header")]
fn write(to: &std::ffi::OsStr) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    println!("cargo::rerun-if-changed={}", root.join("src/capi").display());
    let folder = if to == "1" { root.join("include") } else { to.into() };
    for public in header::HEADERS {
        let file = folder.join(public.file);
        let text = header::header(root, env!("CARGO_PKG_VERSION"), public);
        if let Err(e) = std::fs::write(&file, text) {
            println!("cargo::error=writing {}: {e}", file.display());
        }
    }
}

#[cfg(not(feature = "header"))]
fn write(_: &std::ffi::OsStr) {
    println!("cargo::error=LUCET_HEADER is set: add `--features header`, or say `make header`");
}
