//! The committed headers in `include/` are what `src/capi` says.

#[path = "../src/capi/header.rs"]
mod header;

use header::{HEADERS, header};
use std::collections::BTreeSet;
use std::path::Path;

/// What is wrong with a committed header, if it is not what the source says.
fn drift(file: &str, committed: &str, new: &str) -> Option<String> {
    let differ = |(_, (a, b)): &(usize, (&str, &str))| a != b;
    if let Some((i, (a, b))) = committed.lines().zip(new.lines()).enumerate().find(differ) {
        return Some(format!(
            "include/{file}:{}: says\n  {a}\nbut src/capi says\n  {b}\nrun `make header`",
            i + 1
        ));
    }
    (committed != new).then(|| format!("include/{file} is shorter or longer; run `make header`"))
}

#[test]
fn the_committed_headers_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for public in HEADERS {
        let new = header(root, env!("CARGO_PKG_VERSION"), public);
        let committed = std::fs::read_to_string(root.join("include").join(public.file)).unwrap();
        if let Some(what) = drift(public.file, &committed, &new) {
            panic!("{what}");
        }
    }
}

#[test]
fn a_header_that_drifted_is_noticed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let current = header(root, env!("CARGO_PKG_VERSION"), &HEADERS[0]);
    assert_eq!(drift("lucet.h", &current, &current), None);
    let changed = current.replacen("LUCET_STATUS_BUSY = 4", "LUCET_STATUS_BUSY = 5", 1);
    let what = drift("lucet.h", &changed, &current).unwrap();
    assert!(what.contains("LUCET_STATUS_BUSY = 5") && what.contains("make header"), "{what}");
    assert!(drift("lucet.h", &format!("{current}\n"), &current).is_some());
    let function = current.find("lucet_module_label(").unwrap();
    let line = current[..function].rfind('\n').unwrap();
    let without = format!("{}{}", &current[..line], &current[function..]);
    assert!(drift("lucet.h", &without, &current).is_some());
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
