//! Compiles real modules: every `*.wasm` in the directory `LUCET_CORPUS`, if it is set.
//!
//! A module may be refused as unsupported; anything else that is not an artifact is a failure. The
//! time of each is printed: `cargo test --release -p lucetc --test corpus -- --nocapture`.

use lucet_artifact::types::MemoryShape;
use lucetc::{Class, Options};
use std::time::Instant;

#[test]
fn corpus() {
    let Some(dir) = std::env::var_os("LUCET_CORPUS") else { return };
    let only = std::env::var("LUCET_CORPUS_ONLY").unwrap_or_default();
    let max = std::env::var("LUCET_CORPUS_MAX").ok().and_then(|v| v.parse().ok());
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("LUCET_CORPUS is a directory")
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "wasm"))
        .filter(|p| p.to_string_lossy().contains(&only))
        .collect();
    files.sort();
    let mut failed = Vec::new();
    for path in files {
        let wasm = std::fs::read(&path).expect("readable");
        if max.is_some_and(|m: usize| wasm.len() > m) {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let memory = match std::env::var("LUCET_CORPUS_SHAPE").as_deref() {
            Ok("compact") => MemoryShape::Compact,
            _ => MemoryShape::Guarded,
        };
        let options = Options { memory, ..Options::default() };
        let start = Instant::now();
        let result = lucetc::compile_to_model(&wasm, &options);
        let seconds = start.elapsed().as_secs_f64();
        let mb = wasm.len() as f64 / 1e6;
        match result {
            Ok(c) => println!(
                "{name}: {mb:.2} MB in {seconds:.2} s, {:.2} MB/s, {:.2} MB of code, {} functions, \
                 {} traps",
                mb / seconds,
                c.text.len() as f64 / 1e6,
                c.funcs.len(),
                c.traps.sites.len()
            ),
            Err(e) => {
                let first = e.0.first().map(ToString::to_string).unwrap_or_default();
                println!("{name}: {first}");
                if e.class() != Class::Unsupported {
                    failed.push(name);
                }
            }
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}
