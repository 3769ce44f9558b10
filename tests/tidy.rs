//! House rules as tests: who may depend on whom, where `unsafe` may stand, how long files and lines
//! may be, which files must explain themselves. A failure names the file, the line and the rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MAX_FILE_LINES: usize = 900;
const MAX_COLUMNS: usize = 100;

/// Where `unsafe` may stand in the crate `lucet`; everywhere else in the workspace it may not.
const UNSAFE_ROOMS: [&str; 9] = [
    "src/sys/",
    "src/arch/",
    "src/vmctx.rs",
    "src/vmctx/",
    "src/loader/map.rs",
    "src/trap/handler.rs",
    "src/region/",
    "src/instance/memory.rs",
    "src/capi/",
];

/// Tests and benches play the embedder, who has to vouch for C functions.
const EMBEDDERS: [&str; 3] = ["tests/", "benches/", "fuzz/"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Files that belong to the project, as git knows them (tracked or new, not ignored).
fn files() -> Vec<String> {
    let out = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is needed to list the project's files");
    let text = String::from_utf8(out.stdout).expect("file names are UTF-8");
    let listed: Vec<String> =
        text.lines().filter(|f| root().join(f).is_file()).map(str::to_owned).collect();
    assert!(listed.len() > 50, "git listed {} files only", listed.len());
    listed
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn rust_files() -> Vec<(String, String)> {
    files().into_iter().filter(|f| f.ends_with(".rs")).map(|f| (read(&f), f)).map(swap).collect()
}

fn swap((a, b): (String, String)) -> (String, String) {
    (b, a)
}

fn report(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// The line without string contents and comments, so that words in them do not count.
fn code(line: &str) -> String {
    let line = line.split("//").next().unwrap_or("");
    line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

#[test]
fn files_and_lines_are_short() {
    let mut broken = Vec::new();
    for file in files() {
        let extension = Path::new(&file).extension().and_then(|e| e.to_str()).unwrap_or("");
        if !["rs", "c", "h", "hpp", "cpp", "wat", "sh"].contains(&extension)
            || file.starts_with("include/") && file.ends_with(".h")
            || file.starts_with("tests/abi/baseline/")
        {
            continue;
        }
        let text = read(&file);
        let lines = text.lines().count();
        if lines > MAX_FILE_LINES {
            broken.push(format!("{file}: {lines} lines"));
        }
        for (n, line) in text.lines().enumerate() {
            if line.chars().count() > MAX_COLUMNS {
                broken.push(format!("{file}:{}: {} columns", n + 1, line.chars().count()));
            }
        }
    }
    report("files have at most 900 lines of at most 100 columns", &broken);
}

#[test]
fn files_explain_themselves() {
    let silent: Vec<String> = rust_files()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(file, _)| file)
        .collect();
    report("every Rust file opens with a `//!` comment", &silent);
}

#[test]
fn unsafe_stays_in_its_rooms() {
    let mut broken = Vec::new();
    for (file, text) in rust_files() {
        let allowed = UNSAFE_ROOMS.iter().chain(&EMBEDDERS).any(|r| file.starts_with(r));
        for (n, line) in text.lines().enumerate() {
            let code = code(line);
            let word =
                code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == "unsafe");
            if word && !allowed {
                broken.push(format!("{file}:{}: {}", n + 1, line.trim()));
            }
        }
    }
    report(&format!("`unsafe` stands only in {}", UNSAFE_ROOMS.join(" ")), &broken);
}

#[test]
fn unsafe_names_its_invariant() {
    let mut broken = Vec::new();
    let mut sites = 0;
    let c_interface_says = read("src/capi/mod.rs").contains("# Safety");
    for (file, text) in rust_files() {
        let lines: Vec<&str> = text.lines().collect();
        for (n, line) in lines.iter().enumerate() {
            let code = code(line);
            let block = code.contains("unsafe {") || code.contains("unsafe impl");
            let function = code.contains("unsafe fn") || code.contains("unsafe extern \"\" fn");
            let declares = code.trim_start().starts_with("type ")
                || code.contains("pub type ")
                || code.contains(": unsafe ")
                || code.trim_start().starts_with("unsafe extern")
                || code.contains("<unsafe ");
            if !block && (!function || declares) {
                continue;
            }
            sites += 1;
            let before = &lines[n.saturating_sub(12)..n];
            let explained = if function && !block {
                EMBEDDERS.iter().any(|r| file.starts_with(r))
                    // What C callers must keep to stands once, in the module's own comment: the
                    // comments of the functions become the C header.
                    || (file.starts_with("src/capi/") && c_interface_says)
                    || lines[..n]
                        .iter()
                        .rev()
                        .map(|l| l.trim_start())
                        .take_while(|l| l.starts_with("//") || l.starts_with("#["))
                        .any(|l| l.contains("# Safety"))
            } else {
                before.iter().any(|l| l.contains("SAFETY:")) || line.contains("SAFETY:")
            };
            if !explained {
                broken.push(format!("{file}:{}: {}", n + 1, line.trim()));
            }
        }
    }
    report("every unsafe site has a SAFETY line or a `# Safety` section", &broken);
    assert!(sites > 30, "only {sites} unsafe sites found: the search is broken");
}

#[test]
fn crates_without_unsafe_forbid_it() {
    let mut broken = Vec::new();
    for file in [
        "artifact/src/lib.rs",
        "compiler/src/lib.rs",
        "compiler/src/main.rs",
        "http/src/lib.rs",
        "wasi/src/lib.rs",
    ] {
        if !read(file).contains("#![forbid(unsafe_code)]") {
            broken.push(file.to_owned());
        }
    }
    report("these crates say #![forbid(unsafe_code)]", &broken);
}

/// `(files that start with, may not say, unless the file starts with, why)`
const IMPORT_RULES: [(&str, &[&str], &[&str], &str); 10] = [
    (
        "src/region/",
        &["crate::module", "crate::instance", "crate::vmctx"],
        &[],
        "a region deals in bytes and knows nothing of modules and instances",
    ),
    (
        "src/trap/handler.rs",
        &[
            "Arc",
            "Mutex",
            "RwLock",
            "Vec<",
            "vec!",
            "Box",
            "String",
            "format!",
            "println!",
            "eprintln!",
            "thread_local!",
            "OnceCell",
            "OnceLock",
        ],
        &[],
        "the signal handler allocates, locks and logs nothing",
    ),
    ("src/", &["crate::capi"], &["src/capi/"], "nobody in the crate imports the C interface"),
    ("src/", &["cranelift", "wasmparser"], &[], "the runtime contains no compiler"),
    (
        "artifact/src/",
        &["lucet::", "lucetc::", "cranelift", "wasmparser"],
        &[],
        "the artifact crate depends on nobody of ours",
    ),
    (
        "http/src/",
        &["lucet::", "lucet_artifact", "lucet_wasi", "lucetc"],
        &[],
        "the HTTP layer depends on nobody of ours",
    ),
    ("compiler/src/", &["lucet::"], &[], "the compiler does not know the runtime"),
    (
        "wasi/src/",
        &["lucet::", "lucetc::", "lucet_artifact", "lucet_http"],
        &[],
        "WASI knows no runtime and depends on nobody of ours",
    ),
    (
        "src/",
        &["nix::"],
        &["src/sys/", "src/loader/", "src/bin/"],
        "nix is used in sys/, loader/ and the programs only",
    ),
    ("compiler/src/", &["object::"], &["compiler/src/emit/"], "ELF is written in emit/ only"),
];

#[test]
fn imports_follow_the_plan() {
    let mut broken = Vec::new();
    for (file, text) in rust_files() {
        for (prefix, words, except, why) in IMPORT_RULES {
            if !file.starts_with(prefix) || except.iter().any(|e| file.starts_with(e)) {
                continue;
            }
            for (n, line) in text.lines().enumerate() {
                let code = code(line);
                for word in words {
                    let found = code.match_indices(word).any(|(at, _)| {
                        let before = code[..at].chars().next_back();
                        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                    });
                    if found {
                        broken.push(format!("{file}:{}: says `{word}`: {why}", n + 1));
                    }
                }
            }
        }
    }
    report("imports follow the plan of the house", &broken);
}

/// Names of the packages each package depends on, normal dependencies only.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for package in ["lucet", "lucet-artifact", "lucet-http", "lucet-wasi", "lucetc"] {
        let out = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "-p", package, "-e", "normal", "--prefix", "none"])
            .args(["--format", "{p}"])
            .current_dir(root())
            .output()
            .expect("cargo tree");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let names = text.lines().filter_map(|l| l.split_whitespace().next()).map(str::to_owned);
        all.insert(package.to_owned(), names.filter(|n| n != package).collect::<BTreeSet<_>>());
    }
    all
}

#[test]
fn packages_follow_the_plan() {
    let all = dependencies();
    let mut broken = Vec::new();
    for (package, never) in [
        ("lucet", &["lucetc", "cranelift", "wasmparser", "wat", "wast", "object", "tokio"][..]),
        ("lucet-artifact", &["lucet", "lucetc", "cranelift", "wasmparser"]),
        ("lucet-http", &["lucet", "lucetc"]),
        ("lucetc", &["lucet"]),
        ("lucet-wasi", &["lucet", "lucetc", "libc", "nix", "tokio", "wasmtime"]),
    ] {
        for d in &all[package] {
            if never.iter().any(|n| d == n || d.starts_with(&format!("{n}-")))
                && d != "lucet-artifact"
            {
                broken.push(format!("{package} depends on {d}"));
            }
        }
    }
    for (package, uses) in [
        ("lucet", &["lucet-artifact", "lucet-http", "libc", "nix", "once_cell", "parking_lot"][..]),
        (
            "lucetc",
            &["lucet-artifact", "cranelift-codegen", "cranelift-frontend", "wasmparser", "object"],
        ),
        ("lucet-wasi", &["rustix"]),
    ] {
        for u in uses {
            if !all[package].contains(*u) {
                broken.push(format!("{package} does not depend on {u}"));
            }
        }
    }
    let size = all["lucet"].len();
    if size > 24 {
        broken.push(format!("lucet depends on {size} packages; 24 is the limit"));
    }
    report("packages depend on each other as planned", &broken);
}

#[test]
fn manifests_share_the_lints() {
    let broken: Vec<String> = [
        "Cargo.toml",
        "artifact/Cargo.toml",
        "compiler/Cargo.toml",
        "http/Cargo.toml",
        "wasi/Cargo.toml",
    ]
    .into_iter()
    .filter(|f| !read(f).contains("[lints]\nworkspace = true"))
    .map(str::to_owned)
    .collect();
    report("every package inherits the workspace's lints", &broken);
}

#[test]
fn top_level_is_as_drawn() {
    let missing: Vec<String> = [
        "Cargo.toml",
        "src",
        "include",
        "compiler",
        "c-examples",
        "nginx-module",
        "tests",
        "build.rs",
        "Makefile",
        "README.md",
        "artifact",
        "wasi",
        "docs",
    ]
    .into_iter()
    .filter(|f| !root().join(f).exists())
    .map(str::to_owned)
    .collect();
    report("the top level has its fixed names", &missing);
}

/// Exported functions that catch nothing, because there is nothing in them that could panic.
const BARE: [&str; 9] = [
    "fused_f32x2",
    "fused_f64",
    "lucet_handle_signal",
    "lucet_last_error",
    "lucet_outcome_name",
    "lucet_status_name",
    "lucet_trap_name",
    "lucet_version",
    "lucet_wasi_exit_code",
];

/// The functions in a file that begin with `before`: name and body.
fn functions<'a>(text: &'a str, before: &str) -> Vec<(&'a str, &'a str)> {
    let starts = text.match_indices(before).map(|(at, _)| &text[at + before.len()..]);
    let parts = starts.map(|rest| {
        let body = rest.split_once('{').map_or("", |(_, b)| b);
        // Up to a closing brace in the first column.
        (rest.split(['(', '<']).next().unwrap_or(""), body.split("\n}").next().unwrap_or(""))
    });
    parts.collect()
}

/// Whether a body calls a function of this name, not one whose name only ends so.
fn calls(body: &str, name: &str) -> bool {
    body.match_indices(&format!("{name}(")).any(|(at, _)| {
        !body[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.')
    })
}

/// A panic must not leave the library: each exported function, and each builtin that compiled code
/// calls, runs its body inside something that catches them.
#[test]
fn nothing_panics_out_of_the_library() {
    let catches = |body: &str| ["border", "catch_unwind("].iter().any(|word| body.contains(word));
    let files: Vec<_> = rust_files()
        .into_iter()
        .filter(|(file, _)| file.starts_with("src/capi/") || file == "src/vmctx/builtins.rs")
        .map(|(file, text)| (file, text.split("#[cfg(test)]").next().unwrap_or("").to_owned()))
        .collect();
    // What several of them share, and what is built on that.
    let helpers: Vec<_> = files
        .iter()
        .flat_map(|(_, text)| {
            ["\nfn ", "\npub(super) fn ", "\nunsafe fn ", "\npub(super) unsafe fn "]
                .map(|before| functions(text, before))
        })
        .flatten()
        .collect();
    let mut shared: Vec<&str> = Vec::new();
    for _ in 0..2 {
        shared = helpers
            .iter()
            .filter(|(_, body)| catches(body) || shared.iter().any(|name| calls(body, name)))
            .map(|(name, _)| *name)
            .collect();
    }
    let (mut seen, mut broken) = (0, Vec::new());
    for (file, text) in &files {
        for (name, body) in functions(text, "extern \"C\" fn ") {
            seen += 1;
            let good = catches(body) || shared.iter().any(|name| calls(body, name));
            if !good && !BARE.contains(&name) {
                broken.push(format!("{file}: {name}"));
            }
        }
    }
    assert!(seen > 100, "{seen} functions only");
    report("a panic would leave the library here", &broken);
}
