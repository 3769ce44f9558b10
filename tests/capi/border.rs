//! Every function of the header with every kind of wrong first argument: none crashes, each says
//! no. The list is the header itself, so a function that is added is tried as well.

use super::{library, out, root, run};
use std::fmt::Write as _;
use std::process::Command;

/// Tries one function. Whatever else it takes is 0 at first, then an address with zeros behind it,
/// which is a text, an array, and a very large number.
const PROGRAM: &str = r#"
#include <lucet.h>
#include <stdio.h>
#include <stdint.h>

typedef uint64_t any(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                     uint64_t, uint64_t);
#define FN(f) (any *)(void (*)(void))(f)

enum { VALUES = 1 << 12 };
static uint64_t zeros[VALUES];
static unsigned tried, wrong;

static uint64_t call(any *f, uint64_t handle, uint64_t rest)
{
    for (int k = 0; k < VALUES; k++) {
        zeros[k] = 0;
    }
    tried++;
    return f(handle, rest, rest, rest, rest, rest, rest, rest, rest);
}

static void try(const char *name, any *f, int says, uint64_t handle)
{
    uint64_t rests[2] = {0, (uint64_t)(uintptr_t)zeros};

    for (int k = 0; k < 2; k++) {
        uint64_t got = call(f, handle, rests[k]);
        if (says && (int32_t)got == LUCET_STATUS_OK) {
            printf("%s(%#llx, %s): accepted\n", name, (unsigned long long)handle,
                   k ? "zeros" : "0");
            wrong++;
        }
    }
}
"#;

/// Functions by their first parameter: name, its type if it is a handle or a context, and whether
/// they return a status.
fn functions() -> Vec<(String, String, bool)> {
    let header = std::fs::read_to_string(root().join("include/lucet.h")).unwrap();
    let code: String = header.split("/*").map(|s| s.split_once("*/").map_or(s, |x| x.1)).collect();
    let mut all = Vec::new();
    for declaration in code.split(';') {
        let flat = declaration.split_whitespace().collect::<Vec<_>>().join(" ");
        let Some((before, parameters)) = flat.split_once('(') else { continue };
        let Some((result, name)) = before.rsplit_once([' ', '*']) else { continue };
        if !name.starts_with("lucet_") || flat.contains("typedef") || flat.contains('{') {
            continue;
        }
        let first = parameters.split([',', ')']).next().unwrap_or_default();
        let ty = first.trim_start_matches("const ").split(' ').next().unwrap_or_default();
        // A handle, or a context; not a place for one, a number, or a pointer to something else,
        // such as a module that is linked into the program.
        let one = first.contains(" *") && !first.contains("**") && ty.starts_with("lucet_");
        let one = one && ty != "lucet_static_module";
        let ty = if one { ty } else { "" };
        all.push((name.to_owned(), ty.to_owned(), result.ends_with("lucet_status")));
    }
    all
}

#[test]
fn every_function_refuses_every_wrong_handle() {
    // With the numbers that their handles carry.
    const KINDS: [(&str, u64); 8] = [
        ("lucet_region", 1),
        ("lucet_region_config", 2),
        ("lucet_module", 3),
        ("lucet_module_config", 4),
        ("lucet_instance", 5),
        ("lucet_snapshot_config", 6),
        ("lucet_group", 7),
        ("lucet_module_ref", 9),
    ];
    let all = functions();
    let mut c = String::from(PROGRAM);
    c.push_str("int main(int argc, char **argv)\n{\n");
    for (kind, _) in KINDS {
        let _ = writeln!(c, "    {kind} *{kind}_ = NULL, *{kind}_freed = NULL;");
    }
    c.push_str(
        r"
    (void)argc;
#define DO(call) if ((call) != LUCET_STATUS_OK) return puts(lucet_last_error()), 2
    lucet_module_config_ = lucet_module_config_create();
    lucet_module_config_freed = lucet_module_config_create();
    lucet_module_config_free(lucet_module_config_freed);
    lucet_region_config_ = lucet_region_config_create();
    lucet_region_config_freed = lucet_region_config_create();
    lucet_region_config_free(lucet_region_config_freed);
    lucet_snapshot_config_ = lucet_snapshot_config_create();
    lucet_snapshot_config_freed = lucet_snapshot_config_create();
    lucet_snapshot_config_free(lucet_snapshot_config_freed);
    DO(lucet_module_config_allow_unsigned(lucet_module_config_, true));
    DO(lucet_module_config_set_linkable(lucet_module_config_, true));
    DO(lucet_region_create(NULL, &lucet_region_));
    DO(lucet_region_create(NULL, &lucet_region_freed));
    DO(lucet_module_load_file(argv[1], lucet_module_config_, &lucet_module_));
    DO(lucet_module_load_file(argv[1], lucet_module_config_, &lucet_module_freed));
    DO(lucet_module_ref_create(&lucet_module_ref_));
    DO(lucet_module_ref_create(&lucet_module_ref_freed));
    DO(lucet_module_ref_free(lucet_module_ref_freed));
    DO(lucet_group_create(lucet_region_, &lucet_group_));
    DO(lucet_group_create(lucet_region_, &lucet_group_freed));
    DO(lucet_group_instantiate(lucet_group_, NULL, lucet_module_, &lucet_instance_));
    DO(lucet_group_instantiate(lucet_group_freed, NULL, lucet_module_, &lucet_instance_freed));
    DO(lucet_group_free(lucet_group_freed));
    DO(lucet_region_free(lucet_region_freed));
    DO(lucet_module_free(lucet_module_freed));
",
    );
    let mut tried = 0;
    for (name, ty, says) in &all {
        if name.ends_with("_free") && ty.ends_with("_config") {
            // Says nothing; NULL is allowed.
            assert!(!says, "{name}");
        }
        let handle = |c: &mut String, value: &str| {
            let says = i32::from(*says);
            let value = format!("(uint64_t)(uintptr_t){value}");
            let _ = writeln!(c, "    try(\"{name}\", FN({name}), {says}, {value});");
        };
        let Some((_, own)) = KINDS.into_iter().find(|(k, _)| k == ty) else {
            assert!(ty.is_empty() || ty == "lucet_vmctx", "{name}: what is a {ty}?");
            if ty == "lucet_vmctx" {
                tried += 1;
                KINDS.iter().for_each(|(k, _)| handle(&mut c, &format!("{k}_")));
                handle(&mut c, "NULL");
                handle(&mut c, "1");
            }
            continue;
        };
        tried += 1;
        KINDS.iter().filter(|(k, _)| k != ty).for_each(|(k, _)| handle(&mut c, &format!("{k}_")));
        handle(&mut c, &format!("{ty}_freed"));
        if name != "lucet_region_create" {
            handle(&mut c, "NULL");
        }
        // Made up: entries that were never used, generations of the future, odd addresses.
        for word in [
            own,
            1 << 32 | 0x00ff_ff00 | own,
            0xffff_ffff_0000_0000 | own,
            u64::MAX << 8 | own,
            7 << 32 | own,
            1 << 32 | 200 << 8 | own,
            0xdead_beef,
            8,
            u64::MAX,
        ] {
            handle(&mut c, &format!("{word:#x}u"));
        }
    }
    c.push_str(
        "    printf(\"%u calls, %u accepted\\n\", tried, wrong);\n    return wrong != 0;\n}\n",
    );
    assert!(tried >= 75, "{tried} functions: {all:?}");
    let (source, exe) = (out().join("border.c"), out().join("border"));
    std::fs::write(&source, c).unwrap();
    let lib = library().display().to_string();
    run(Command::new("gcc")
        .args(["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root().join("include"))
        .arg("-o")
        .arg(&exe)
        .arg(&source)
        .args([format!("-L{lib}"), format!("-Wl,-rpath,{lib}"), "-llucet".to_owned()]));
    let module = out().join("border.so");
    let bytes = lucetc::compile(b"(module (memory 1))", &lucetc::Options::default());
    std::fs::write(&module, bytes.unwrap_or_else(|e| panic!("{e}"))).unwrap();
    let said = run(Command::new(exe).arg(module));
    assert!(said.contains(" 0 accepted"), "{said}");
}
