//! Shared objects that the system's compiler made and its linker would load: with code that runs
//! when they are loaded, with a trailer behind them that says they are artifacts. None of that code
//! ever runs here. That it would, when somebody calls `dlopen`, is shown too.

use super::super::elf::{get, put, with_trailer};
use super::super::{Case, Cases};
use lucet::Status;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the code in the files creates if it runs.
fn marker() -> PathBuf {
    std::env::temp_dir().join(format!("lucet-constructor-ran-{}", std::process::id()))
}

fn source() -> String {
    format!(
        "#include <fcntl.h>\n#include <unistd.h>\n\
         static void ran(void) {{ close(open(\"{}\", O_CREAT | O_WRONLY, 0600)); }}\n\
         int answer(void) {{ return 42; }}\n",
        marker().display()
    )
}

/// Compiles a shared object that runs `ran` when it is loaded.
fn shared_object(dir: &Path, name: &str, more: &str, flags: &[&str]) -> Vec<u8> {
    let (c, so) = (dir.join(format!("{name}.c")), dir.join(format!("{name}.so")));
    std::fs::write(&c, source() + more).unwrap();
    let out = Command::new("gcc")
        .args(["-shared", "-fPIC", "-O1", "-w"])
        .args(flags)
        .arg("-o")
        .arg(&so)
        .arg(&c)
        .output()
        .expect("gcc is needed");
    assert!(out.status.success(), "{name}: {}", String::from_utf8_lossy(&out.stderr));
    std::fs::read(so).unwrap()
}

fn made() -> Vec<(&'static str, Vec<u8>)> {
    let dir = std::env::temp_dir().join(format!("lucet-real-elf-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let constructor = "__attribute__((constructor)) static void c(void) { ran(); }\n";
    let kinds: [(&str, &str, &[&str]); 8] = [
        ("constructor", constructor, &[]),
        ("DT_INIT", "void go(void) { ran(); }\n", &["-Wl,-init,go"]),
        (
            "init_array by hand",
            {
                "__attribute__((section(\".init_array\"), used)) \
                 static void (*p)(void) = ran;\n"
            },
            &[],
        ),
        (
            "indirect function",
            {
                "static int one(void) { return 1; }\n\
                 static void *pick(void) { ran(); return one; }\n\
                 int f(void) __attribute__((ifunc(\"pick\"))); int g(void) { return f(); }\n"
            },
            &["-Wl,-z,now"],
        ),
        (
            "thread-local",
            {
                "__thread int t = 7; int *at(void) { return &t; }\n\
             __attribute__((constructor)) static void c(void) { t = 8; ran(); }\n"
            },
            &[],
        ),
        ("one segment, written and run", constructor, &["-Wl,-N", "-nostdlib"]),
        ("no section headers", constructor, &["-Wl,-z,separate-code"]),
        ("old hash table", constructor, &["-Wl,--hash-style=sysv", "-Wl,-z,lazy"]),
    ];
    let made = kinds.map(|(name, more, flags)| {
        let mut bytes = shared_object(&dir, &name.replace([' ', ','], "-"), more, flags);
        if name == "no section headers" {
            put(&mut bytes, 40, 0, 8);
            put(&mut bytes, 58, 0, 6);
        }
        (name, bytes)
    });
    // The files do run code when the system loads them.
    for name in ["constructor", "DT_INIT", "init_array-by-hand", "thread-local"] {
        let path = CString::new(dir.join(format!("{name}.so")).as_os_str().as_bytes()).unwrap();
        // SAFETY: a NUL-terminated path of a library that creates a file and nothing else.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null() && marker().exists(), "{name} shows nothing");
        // SAFETY: it was opened above, and nobody uses it.
        unsafe { libc::dlclose(handle) };
        std::fs::remove_file(marker()).unwrap();
    }
    std::fs::remove_dir_all(dir).unwrap();
    made.into()
}

/// Libraries and programs of this system, by the ones that are mapped here.
fn installed() -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps.lines().filter_map(|l| l.split_once('/')).map(|(_, p)| format!("/{p}"));
    let libc = PathBuf::from(libc.into_iter().find(|p| p.contains("/libc.so")).unwrap());
    let dir = libc.parent().unwrap().to_owned();
    let names = [
        "libc.so.6",
        "libm.so.6",
        "libdl.so.2",
        "libpthread.so.0",
        "libgcc_s.so.1",
        "libstdc++.so.6",
        "libz.so.1",
        "libcrypto.so.3",
        "libnss_files.so.2",
    ];
    let all: Vec<_> = names.iter().map(|n| dir.join(n)).filter(|p| p.exists()).collect();
    assert!(all.len() >= 4, "{all:?}");
    let more = ["/lib64/ld-linux-x86-64.so.2", "/proc/self/exe", "/bin/sh"].map(PathBuf::from);
    all.into_iter().chain(more).collect()
}

pub fn cases(c: &mut Cases) {
    let mut add = |name: String, status, part: &str, bytes| {
        c.all.push(Case { name, status, part: part.into(), bytes });
    };
    let (none, invalid) = (Status::NotAnArtifact, Status::InvalidArtifact);
    for (name, bytes) in made() {
        add(format!("made: {name}"), none, "an ordinary shared object", bytes.clone());
        add(format!("made: {name}, with a trailer"), invalid, "e_", with_trailer(bytes.clone()));
        // With what the first checks look at corrected.
        let mut bytes = bytes;
        put(&mut bytes, 7, 0, 1);
        put(&mut bytes, 24, 0, 8);
        let n = get(&bytes, 56, 2).min(4);
        put(&mut bytes, 56, n, 2);
        put(&mut bytes, 58, 64, 2);
        put(&mut bytes, 60, 16, 2);
        put(&mut bytes, 62, 15, 2);
        if get(&bytes, 40, 8) == 0 {
            put(&mut bytes, 40, 64, 8);
        }
        add(format!("made: {name}, its header like ours"), invalid, "p_", with_trailer(bytes));
    }
    let mut seen = std::collections::HashSet::new();
    for path in installed() {
        let bytes = std::fs::read(&path).unwrap();
        if seen.insert(std::fs::canonicalize(&path).unwrap()) {
            let name = format!("installed: {}", path.display());
            add(name.clone(), none, "an ordinary shared object", bytes.clone());
            add(format!("{name}, with a trailer"), invalid, "e_", with_trailer(bytes));
        }
    }
}

pub fn no_constructor_ran() {
    assert!(!marker().exists(), "code of a file that was refused has run");
}
