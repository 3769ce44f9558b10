//! C programs of `tests/capi`, compiled against `include/lucet.h` and linked with a `liblucet.so`
//! that is made here as the Makefile makes the product. `cargo test` leaves the static library it
//! needs beside the test programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder for what is built here.
pub fn out() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("capi");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; is gcc installed?"));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    text
}

/// The static library that belongs to this test: the newest one beside it.
fn static_library() -> PathBuf {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    std::fs::read_dir(&deps)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "a"))
        .filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("liblucet-"))
        .max_by_key(|p| p.metadata().unwrap().modified().unwrap())
        .unwrap_or_else(|| panic!("no liblucet-*.a in {}", deps.display()))
}

/// Links `liblucet.so` and returns its folder.
pub fn library() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let map = root().join("src/capi/liblucet.map");
        // Tests may run in processes of their own, at the same time: each makes the library and
        // moves it into its place in one step.
        let so = out().join(format!("liblucet.so.{}", std::process::id()));
        run(Command::new("gcc")
            .args(["-shared", "-Wl,-soname,liblucet.so.0", "-Wl,--no-undefined-version"])
            .arg(format!("-Wl,--version-script={}", map.display()))
            .args(["-Wl,--gc-sections", "-Wl,--no-undefined", "-Wl,-z,nodelete,-z,relro,-z,now"])
            .arg("-o")
            .arg(&so)
            .arg("-Wl,--whole-archive")
            .arg(static_library())
            .args(["-Wl,--no-whole-archive", "-lgcc_s", "-lm", "-lc"]));
        let link = out().join(format!("link.{}", std::process::id()));
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink("liblucet.so.0", &link).unwrap();
        std::fs::rename(so, out().join("liblucet.so.0")).unwrap();
        std::fs::rename(link, out().join("liblucet.so")).unwrap();
        out()
    })
}

/// Compiles a program of `tests/capi`.
pub fn program(name: &str, more: &[&str]) -> PathBuf {
    let exe = out().join(format!("{name}{}", more.concat()));
    let new = own(&exe);
    let lib = library().display().to_string();
    run(Command::new("gcc")
        .args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O1", "-g"])
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"])
        .args(more)
        .arg("-I")
        .arg(root().join("include"))
        .arg("-o")
        .arg(&new)
        .arg(root().join("tests/capi").join(name).with_extension("c"))
        .args([format!("-L{lib}"), format!("-Wl,-rpath,{lib}")])
        .args(["-llucet", "-lpthread"]));
    std::fs::rename(new, &exe).unwrap();
    exe
}

/// Compiles a program of `tests/capi` in C++.
pub fn cpp_program(name: &str) -> PathBuf {
    let exe = out().join(format!("{name}-cpp"));
    let new = own(&exe);
    let lib = library().display().to_string();
    run(Command::new("g++")
        .args(["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"])
        .arg("-I")
        .arg(root().join("include"))
        .arg("-o")
        .arg(&new)
        .arg(root().join("tests/capi").join(name).with_extension("cpp"))
        .args([format!("-L{lib}"), format!("-Wl,-rpath,{lib}")])
        .args(["-llucet", "-lpthread"]));
    std::fs::rename(new, &exe).unwrap();
    exe
}

/// A name for something that is being made: tests run at the same time, in one process or several,
/// and what has its final name is whole.
pub fn own(file: &Path) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    file.with_extension(format!("{}-{n}", std::process::id()))
}

/// The flags of a program under AddressSanitizer, which sees what goes wrong on the C side.
pub const ASAN: &[&str] = &["-fsanitize=address"];

/// Runs a program; if AddressSanitizer is in it, it leaves the signals to liblucet.
pub fn run_program(exe: impl AsRef<std::ffi::OsStr>, args: &[impl AsRef<std::ffi::OsStr>]) {
    run(Command::new(exe).args(args).env(
        "ASAN_OPTIONS",
        "handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0:allow_user_segv_handler=1:\
         use_sigaltstack=0:detect_leaks=0",
    ));
}

/// A file with these bytes.
pub fn file(name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let file = out().join(name);
    let new = own(&file);
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(new, &file).unwrap();
    file
}

/// A guest, compiled to a file.
pub fn guest(name: &str, wat: impl AsRef<[u8]>) -> PathBuf {
    guest_with(name, wat, &lucetc::Options::default())
}

/// The same with options.
pub fn guest_with(name: &str, wat: impl AsRef<[u8]>, options: &lucetc::Options) -> PathBuf {
    let bytes = lucetc::compile(wat.as_ref(), options).unwrap_or_else(|e| panic!("{e}"));
    file(&format!("{name}.so"), bytes)
}

/// The guest of most programs.
pub fn artifact() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| guest("works", std::fs::read(root().join("tests/capi/works.wat")).unwrap()))
}
