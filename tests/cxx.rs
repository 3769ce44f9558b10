//! The C++ interface: programs in `tests/cxx` are compiled by gcc and clang, in each standard, with
//! and without exceptions and sanitizers, and run; mistakes in `tests/cxx/mistakes.cpp` must not
//! compile, and be told why; the code in `docs/cxx.md` is compiled and run as it stands there.

mod common;

use common::client::{library, out, own, root, run};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

const WARNINGS: [&str; 6] =
    ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"];
const NO_EXCEPTIONS: [&str; 2] = ["-fno-exceptions", "-fno-rtti"];
const SANITIZED: [&str; 2] =
    ["-fsanitize=address,undefined", "-fno-sanitize-recover=address,undefined"];

/// A compiler with what all programs are compiled with.
fn compiler(name: &str, standard: &str) -> Command {
    let mut c = Command::new(name);
    c.arg(format!("-std={standard}")).args(WARNINGS).arg("-I").arg(root().join("include"));
    c
}

/// Compiles sources of `tests/cxx` to a program.
fn program(compiler_name: &str, standard: &str, sources: &[PathBuf], more: &[&str]) -> PathBuf {
    let name = sources[0].file_stem().unwrap().to_string_lossy().into_owned();
    let name = format!("{name}-{compiler_name}-{standard}{}", more.concat().replace('/', "_"));
    let exe = out().join(name);
    let new = own(&exe);
    let lib = library().display().to_string();
    run(compiler(compiler_name, standard)
        .args(["-O1", "-g"])
        .args(more)
        .arg("-o")
        .arg(&new)
        .args(sources)
        .args([format!("-L{lib}"), format!("-Wl,-rpath,{lib}")])
        .args(["-llucet", "-lpthread"]));
    std::fs::rename(new, &exe).unwrap();
    exe
}

fn source(name: &str) -> PathBuf {
    root().join("tests/cxx").join(name)
}

/// The guests, compiled: guest, starts, store, plugin, and guest with fuel.
fn guests() -> &'static [PathBuf; 5] {
    static ALL: OnceLock<[PathBuf; 5]> = OnceLock::new();
    ALL.get_or_init(|| {
        let files = [("guest", false), ("starts", false), ("store", false), ("plugin", false)];
        let compile = |(name, fuel): (&str, bool)| {
            let wat = std::fs::read(source(name).with_extension("wat")).unwrap();
            let options = lucetc::Options { fuel, ..lucetc::Options::default() };
            let bytes = lucetc::compile(&wat, &options).unwrap_or_else(|e| panic!("{name}: {e}"));
            let file = out().join(format!("cxx-{name}-{fuel}.so"));
            let new = own(&file);
            std::fs::write(&new, bytes).unwrap();
            std::fs::rename(new, &file).unwrap();
            file
        };
        let [a, b, c, d] = files.map(compile);
        [a, b, c, d, compile(("guest", true))]
    })
}

/// Runs it; under a sanitizer, as that wants it, leaks included.
fn check(exe: &Path, guests: &[&PathBuf]) {
    run(Command::new(exe).args(guests).env("UBSAN_OPTIONS", "print_stacktrace=1").env(
        "ASAN_OPTIONS",
        "handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0:allow_user_segv_handler=1:\
         use_sigaltstack=0:detect_leaks=1",
    ));
}

/// A program in several ways of compiling it.
fn in_ways(name: &str, ways: &[(&str, &str, &[&str])], guests: &[&PathBuf]) {
    for (compiler, standard, more) in ways {
        check(&program(compiler, standard, &[source(name)], more), guests);
    }
}

#[test]
fn works() {
    let ways: [(&str, &str, &[&str]); 2] = [("g++", "c++17", &[]), ("clang++", "c++2b", &[])];
    in_ways("works.cpp", &ways, &guests().each_ref());
}

#[test]
fn works_without_exceptions() {
    let ways: [(&str, &str, &[&str]); 2] =
        [("g++", "c++20", &NO_EXCEPTIONS), ("clang++", "c++17", &NO_EXCEPTIONS)];
    in_ways("works.cpp", &ways, &guests().each_ref());
    let [guest, .., fuel] = guests();
    in_ways("coroutines.cpp", &[("g++", "c++20", &NO_EXCEPTIONS)], &[guest, fuel]);
}

#[test]
fn works_under_sanitizers() {
    in_ways("works.cpp", &[("g++", "c++17", &SANITIZED)], &guests().each_ref());
}

#[test]
fn exceptions_pass_guests_by() {
    let ways: [(&str, &str, &[&str]); 3] =
        [("g++", "c++17", &[]), ("clang++", "c++20", &[]), ("g++", "c++23", &SANITIZED)];
    in_ways("throws.cpp", &ways, &[&guests()[0], &guests()[1]]);
}

#[test]
fn coroutines_wait() {
    let ways: [(&str, &str, &[&str]); 3] =
        [("g++", "c++23", &[]), ("clang++", "c++20", &[]), ("g++", "c++20", &SANITIZED)];
    let [guest, .., fuel] = guests();
    in_ways("coroutines.cpp", &ways, &[guest, fuel]);
}

#[test]
fn wasi_works() {
    let wat = std::fs::read(source("wasi.wat")).unwrap();
    let bytes = lucetc::compile(&wat, &lucetc::Options::default()).unwrap();
    let file = out().join("cxx-wasi.so");
    std::fs::write(&file, bytes).unwrap();
    let ways: [(&str, &str, &[&str]); 2] =
        [("clang++", "c++17", &NO_EXCEPTIONS), ("g++", "c++20", &SANITIZED)];
    in_ways("wasi.cpp", &ways, &[&file]);
}

#[test]
fn two_translation_units_are_one_program() {
    let sources = [source("two/a.cpp"), source("two/b.cpp")];
    for (compiler, more) in [("g++", &[][..]), ("clang++", &NO_EXCEPTIONS[..])] {
        check(&program(compiler, "c++17", &sources, more), &[&guests()[0]]);
    }
}

/// Objects with and without exceptions would lose them: they do not link.
#[test]
fn mixtures_do_not_link() {
    let object = |name: &str, more: &[&str]| {
        let o = own(&out().join(name));
        run(compiler("g++", "c++17").args(more).args(["-c", "-o"]).arg(&o).arg(source(name)));
        o
    };
    std::fs::create_dir_all(out().join("two")).unwrap();
    let [a, b, c] = [("two/a.cpp", &[][..]), ("two/b.cpp", &[]), ("two/b.cpp", &NO_EXCEPTIONS)]
        .map(|(name, more)| object(name, more));
    let link = |with: &Path| {
        let lib = library().display().to_string();
        let mut command = Command::new("g++");
        command.args([&a, with]).arg("-o").arg(own(&out().join("two/mixed")));
        command.args([format!("-L{lib}"), "-llucet".into(), "-lpthread".into()]);
        command.output().unwrap()
    };
    assert!(link(&b).status.success());
    let mixed = link(&c);
    assert!(!mixed.status.success());
    let why = String::from_utf8_lossy(&mixed.stderr).into_owned();
    assert!(why.contains("undefined reference to `call_in_b(lucet::with_exceptions"), "{why}");
}

#[test]
fn clean_in_every_standard() {
    for name in ["g++", "clang++"] {
        for standard in ["c++17", "c++20", "c++2b"] {
            for more in [&[][..], &NO_EXCEPTIONS] {
                run(compiler(name, standard)
                    .arg("-fsyntax-only")
                    .args(more)
                    .arg(source("works.cpp")));
            }
        }
    }
}

/// Each part compiles when it is the only one that is included.
#[test]
fn parts_stand_alone() {
    for part in std::fs::read_dir(root().join("include/lucet")).unwrap() {
        let part = part.unwrap().file_name().into_string().unwrap();
        let file = own(&out().join(format!("alone-{part}.cpp")));
        std::fs::write(&file, format!("#include <lucet/{part}>\n")).unwrap();
        run(compiler("g++", "c++20").args(["-x", "c++", "-fsyntax-only"]).arg(&file));
        std::fs::remove_file(file).unwrap();
    }
}

/// The mistakes in `tests/cxx/mistakes.cpp`: number, and what the message must contain.
fn mistakes() -> Vec<(u32, String)> {
    let text = std::fs::read_to_string(source("mistakes.cpp")).unwrap();
    let all: Vec<(u32, String)> = text
        .lines()
        .filter_map(|l| l.split_once("MISTAKE == ")?.1.split_once("  //: "))
        .map(|(n, wanted)| (n.parse().unwrap(), wanted.to_owned()))
        .collect();
    assert_eq!(all.len(), text.matches("if MISTAKE").count());
    all
}

/// What a compiler says to a mistake; `None`: it compiles it.
fn said(name: &str, mistake: u32) -> Option<String> {
    let mut command = match mistake {
        0..200 => compiler(name, "c++17"),
        200..300 => compiler(name, "c++17"),
        _ => compiler(name, "c++20"),
    };
    if (200..300).contains(&mistake) {
        command.args(NO_EXCEPTIONS);
    }
    let output = command
        .args(["-fsyntax-only", &format!("-DMISTAKE={mistake}")])
        .arg(source("mistakes.cpp"))
        .output()
        .unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn mistakes_are_told_what_to_do() {
    let mistakes = mistakes();
    assert!(mistakes.len() > 40);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((n, wanted)) = mistakes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for name in ["g++", "clang++"] {
                        let Some(text) = said(name, *n) else {
                            panic!("{name} compiles mistake {n}: {wanted}")
                        };
                        // Where it is a warning, compilers have their own words.
                        let said = match wanted.as_str() {
                            "nodiscard" => text.contains("discard"),
                            wanted => text.contains(wanted),
                        };
                        assert!(said, "{name}, mistake {n}: not a word of \"{wanted}\":\n{text}");
                    }
                }
            });
        }
    });
    for name in ["g++", "clang++"] {
        assert_eq!(said(name, 0), None);
    }
}

/// A file of `include/lucet` without comments.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.replace("}  // namespace detail", "END_OF_DETAIL");
    let mut code = String::new();
    for (i, part) in text.split("/*").enumerate() {
        code += if i == 0 { part } else { part.split_once("*/").map_or("", |(_, rest)| rest) };
    }
    let lines = code.lines().map(|l| l.split_once("//").map_or(l, |(before, _)| before));
    lines.collect::<Vec<_>>().join("\n")
}

fn headers() -> Vec<(String, String)> {
    let parts = std::fs::read_dir(root().join("include/lucet")).unwrap();
    parts
        .map(|p| p.unwrap().path())
        .chain([root().join("include/lucet_wasi.hpp")])
        .filter(|p| p.extension().is_some_and(|e| e == "hpp"))
        .map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), code(&p)))
        .collect()
}

/// Identifiers in a text.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').collect()
}

#[test]
fn everything_in_the_c_header_is_there() {
    let c = ["lucet.h", "lucet_wasi.h"].map(|h| code(&root().join("include").join(h))).concat();
    let cxx = headers().into_iter().map(|(_, text)| text).collect::<String>();
    let there = words(&cxx);
    let prefixes = [
        "LUCET_STATUS_",
        "LUCET_OUTCOME_",
        "LUCET_TRAP_",
        "LUCET_VAL_",
        "LUCET_GROWTH_",
        "LUCET_WASI_LIMIT_",
        "LUCET_WASI_STD",
    ];
    let mut wanted: BTreeSet<&str> =
        words(&c).into_iter().filter(|w| prefixes.iter().any(|p| w.starts_with(p))).collect();
    assert!(wanted.len() > 55, "{wanted:?}");
    let calls = c.match_indices("lucet_").filter_map(|(at, _)| {
        let rest = &c[at..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_')?;
        rest[end..].starts_with('(').then_some(&rest[..end])
    });
    wanted.extend(calls);
    assert!(wanted.len() > 150, "{}", wanted.len());
    let missing: Vec<_> = wanted.difference(&there).collect();
    assert!(missing.is_empty(), "not in include/lucet or lucet_wasi.hpp: {missing:?}");
}

/// The public names of a part: of classes and functions outside of `detail`, and of members.
fn public_names(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let (mut detail, mut private) = (false, false);
    for line in text.lines() {
        match line.trim_end() {
            "namespace detail {" => detail = true,
            "END_OF_DETAIL" => detail = false,
            " private:" | " protected:" => private = true,
            " public:" | "};" => private = false,
            _ => {}
        }
        let indent = line.len() - line.trim_start().len();
        if detail || private || indent > 2 || line.trim_start().starts_with('#') {
            continue;
        }
        // Statements.
        let assigns = line.find('=').is_some_and(|at| line.find('(').is_some_and(|call| at < call));
        if line.trim_start().starts_with("return ") || assigns && !line.contains("operator") {
            continue;
        }
        let line = line.replace("detail::", "");
        let before = line.split(['(', '{', ';', ':', '=']).next().unwrap_or("");
        let is_class = ["class ", "struct "].iter().any(|k| before.trim_start().starts_with(k));
        if !is_class && !line.contains('(') {
            continue;
        }
        let name = before.split_whitespace().last().unwrap_or("").trim_start_matches(['*', '&']);
        if name.len() > 1 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            names.insert(name.to_owned());
        }
    }
    names
}

#[test]
fn everything_public_is_used_here() {
    let mut tests = String::new();
    for name in ["works.cpp", "throws.cpp", "coroutines.cpp", "check.hpp", "wasi.cpp"] {
        tests += &code(&source(name));
    }
    let used = words(&tests);
    let (mut number, mut unused) = (0, Vec::new());
    for (part, text) in headers() {
        let names = public_names(&text);
        number += names.len();
        // What compilers call, and what `explicit operator bool` and `requires` leave behind.
        let other = [
            "operator",
            "requires",
            "static_assert",
            "await_ready",
            "await_resume",
            "promise_type",
            // What the headers call between them.
            "apply",
            "caught",
            "take_waiting",
        ];
        let other =
            [&other[..], &["get_return_object", "noexcept", "overloaded", "now_in"]].concat();
        let missing: Vec<_> = names
            .iter()
            .filter(|n| !used.contains(n.as_str()) && !other.contains(&n.as_str()))
            .collect();
        unused.extend(missing.iter().map(|name| format!("{part}: {name}")));
    }
    assert!(unused.is_empty(), "used by no test: {unused:?}");
    assert!(number > 150, "{number}");
}

/// The ```cpp blocks of the guide: whole programs, and fragments.
fn blocks() -> (Vec<String>, Vec<String>) {
    let text = std::fs::read_to_string(root().join("docs/cxx.md")).unwrap();
    let blocks = text.split("\n```cpp\n").skip(1);
    blocks
        .map(|b| b.split_once("\n```").unwrap().0.to_owned())
        .partition(|b| b.contains("int main"))
}

#[test]
fn the_guide_is_compiled_and_run() {
    let (programs, fragments) = blocks();
    assert!(!programs.is_empty() && fragments.len() >= 8, "{}", fragments.len());
    let guest = &guests()[0];
    for (n, text) in programs.iter().enumerate() {
        let file = out().join(format!("guide-{n}-{}.cpp", std::process::id()));
        std::fs::write(&file, text).unwrap();
        check(&program("g++", "c++20", std::slice::from_ref(&file), &[]), &[guest]);
        std::fs::remove_file(file).unwrap();
    }
    let mut all = format!("#include \"{}\"\n", source("guide.hpp").display());
    let mut calls = String::new();
    for (n, text) in fragments.iter().enumerate() {
        all += &format!("static void fragment_{n}(guide &g) {{\nUSE(g);\n{text}\n}}\n");
        calls += &format!("  guide::run(argv[1], fragment_{n});\n");
    }
    all += &format!("int main(int, char **argv) {{\n{calls}  return 0;\n}}\n");
    let file = out().join(format!("guide-{}.cpp", std::process::id()));
    std::fs::write(&file, all).unwrap();
    let lenient = ["-Wno-unused-variable", "-Wno-shadow", "-Wno-unused-but-set-variable"];
    check(&program("g++", "c++20", std::slice::from_ref(&file), &lenient), &[guest]);
    std::fs::remove_file(file).unwrap();
}
