//! The committed `include/lucet.h` is what `src/capi` says.

#[path = "../src/capi/header.rs"]
mod header;

use std::path::Path;

#[test]
fn the_committed_header_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let new = header::header(root, env!("CARGO_PKG_VERSION"));
    let committed = std::fs::read_to_string(root.join("include/lucet.h")).unwrap();
    if let Some((i, (a, b))) =
        committed.lines().zip(new.lines()).enumerate().find(|(_, (a, b))| a != b)
    {
        panic!(
            "include/lucet.h:{}: says\n  {a}\nbut src/capi says\n  {b}\nrun `make header`",
            i + 1
        );
    }
    assert!(committed == new, "include/lucet.h is shorter or longer than src/capi; `make header`");
}
