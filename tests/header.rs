//! The committed headers in `include/` are what `src/capi` says.

#[path = "../src/capi/header.rs"]
mod header;

use header::{HEADERS, header};
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_committed_headers_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for public in HEADERS {
        let file = public.file;
        let new = header(root, env!("CARGO_PKG_VERSION"), public);
        let committed = std::fs::read_to_string(root.join("include").join(file)).unwrap();
        if let Some((i, (a, b))) =
            committed.lines().zip(new.lines()).enumerate().find(|(_, (a, b))| a != b)
        {
            panic!(
                "include/{file}:{}: says\n  {a}\nbut src/capi says\n  {b}\nrun `make header`",
                i + 1
            );
        }
        assert!(committed == new, "include/{file} is shorter or longer; run `make header`");
    }
}

#[test]
fn every_c_header_is_a_generated_one() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let there: BTreeSet<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".h"))
        .collect();
    assert_eq!(there, HEADERS.iter().map(|h| h.file.to_owned()).collect());
}
