//! Test: gcc, clang and rustc agree on where every field of every public structure lies.

use super::module::lucet_func;
use super::stats::lucet_region_stats;
use super::status::lucet_outcome;
use super::val::{lucet_val, lucet_val_of};
use std::fmt::Write;
use std::mem::offset_of;
use std::process::Command;

/// Adds what C should print and what Rust knows.
macro_rules! layout {
    ($c:ident, $rust:ident: $($ty:ident { $($field:tt as $name:literal),* })*) => {$(
        let ty = stringify!($ty);
        let line = format!("{ty} %zu %zu\\n\", sizeof({ty}), _Alignof({ty})");
        writeln!($c, "printf(\"{line});").unwrap();
        writeln!($rust, "{ty} {} {}", size_of::<$ty>(), align_of::<$ty>()).unwrap();
        $(
            let name = $name;
            writeln!($c, "printf(\"{ty}.{name} %zu\\n\", offsetof({ty}, {name}));").unwrap();
            writeln!($rust, "{ty}.{name} {}", offset_of!($ty, $field)).unwrap();
        )*
    )*};
}

#[test]
fn c_and_rust_agree() {
    let (mut c, mut rust) = (String::new(), String::new());
    layout!(c, rust:
        lucet_val { of as "of", r#type as "type", reserved_ as "reserved_" }
        lucet_val_of {
            i32 as "i32", i64 as "i64", f32 as "f32", f64 as "f64", r#ref as "ref", v128 as "v128"
        }
        lucet_func { module_ as "module_", index_ as "index_" }
        lucet_outcome {
            kind as "kind", trap_code as "trap_code", value as "value", pc as "pc",
            fault_address as "fault_address", wasm_offset as "wasm_offset", function as "function"
        }
        lucet_region_stats {
            size as "size", live as "live", free as "free", high_water as "high_water",
            resident_bytes as "resident_bytes", created as "created",
            resets_decommit as "resets_decommit", terminated as "terminated",
            host_errors as "host_errors", traps as "traps", create_times as "create_times",
            run_times as "run_times",
            exceptions as "exceptions"
        }
    );
    for ty in [
        "lucet_status",
        "lucet_outcome_kind",
        "lucet_trap_code",
        "lucet_val_type",
        "lucet_growth_kind",
    ] {
        writeln!(c, "printf(\"{ty} %zu\\n\", sizeof({ty}));").unwrap();
        writeln!(rust, "{ty} 4").unwrap();
    }
    let dir = std::env::temp_dir().join(format!("lucet-layout-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let source = dir.join("layout.c");
    let text = format!("#include <lucet.h>\n#include <stdio.h>\nint main(void) {{\n{c}}}\n");
    std::fs::write(&source, text).unwrap();
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/include");
    for compiler in ["gcc", "clang"] {
        let exe = dir.join(compiler);
        let compiled = Command::new(compiler)
            .args(["-std=c11", "-Wall", "-Werror", "-I", include, "-o"])
            .args([&exe, &source])
            .status();
        assert!(compiled.is_ok_and(|s| s.success()), "{compiler} {}", source.display());
        let printed = Command::new(exe).output().unwrap().stdout;
        assert_eq!(String::from_utf8_lossy(&printed), rust, "{compiler}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
