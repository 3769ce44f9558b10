//! `lucet-wasi` as its users see it: what programs get, exit codes, signals, what is said of a
//! program that ended badly. The guest is a C program with a C library (`wasi_tool/guest.c`).

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder of its own for a test, empty at first.
fn folder(test: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wasi_tool").join(test);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// The guest: `guest.wasm`, and beside it `guest.so`, in a folder of their own.
fn guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| {
        // Tests may run in processes of their own.
        let dir = folder(&format!("guest-{}", std::process::id()));
        let wasm = dir.join("guest.wasm");
        let out = Command::new(root().join("guest-sdk/wasm32-unknown-wasi-clang"))
            .current_dir(root().join("tests/wasi_tool"))
            .args(["-g", "-O1", "-Wall", "-Wextra", "-Werror", "guest.c", "-o"])
            .arg(&wasm)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}; make deps installs what is missing");
        let bytes = std::fs::read(&wasm).unwrap();
        let artifact = lucetc::compile(&bytes, &lucetc::Options::default());
        std::fs::write(dir.join("guest.so"), artifact.unwrap_or_else(|e| panic!("{e}"))).unwrap();
        dir.join("guest.so")
    })
}

/// Another guest, of text.
fn of_text(dir: &Path, name: &str, wat: &str) -> PathBuf {
    let artifact = lucetc::compile(wat.as_bytes(), &lucetc::Options::default());
    let file = dir.join(name);
    std::fs::write(&file, artifact.unwrap_or_else(|e| panic!("{e}"))).unwrap();
    file
}

/// `lucet-wasi` with options, a guest, and the guest's arguments.
fn tool(options: &[&str], program: &Path, arguments: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_lucet-wasi"));
    c.args(options).arg(program).args(arguments).stdin(Stdio::null()).env("OUTSIDE", "is seen");
    c
}

fn run(options: &[&str], arguments: &[&str]) -> Output {
    tool(options, guest(), arguments).output().unwrap()
}

#[track_caller]
fn ends(out: &Output, code: i32, stdout: &str, stderr: &str) {
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{said}");
    assert_eq!(String::from_utf8_lossy(&out.stdout), stdout, "{said}");
    assert!(said.contains(stderr), "no `{stderr}` in: {said}");
    assert!(!stderr.is_empty() || said.is_empty(), "{said}");
}

#[test]
fn programs_get_what_they_are_given() {
    let name = guest().display().to_string();
    ends(&run(&[], &["args", "a b", "--help"]), 0, &format!("{name}\nargs\na b\n--help\n"), "");
    ends(&run(&["--argv0", "me"], &["args"]), 0, "me\nargs\n", "");
    ends(&run(&[], &["env", "OUTSIDE"]), 0, "(none)\n", "");
    ends(&run(&["-e", "A=1", "--env=A=2=3"], &["env", "A"]), 0, "2=3\n", "");
    ends(&run(&["-e", "OUTSIDE"], &["env", "OUTSIDE"]), 0, "is seen\n", "");
    ends(&run(&["--inherit-env"], &["env", "OUTSIDE"]), 0, "is seen\n", "");
    ends(&run(&["--inherit-env", "-eOUTSIDE=x"], &["env", "OUTSIDE"]), 0, "x\n", "");
    let mut c = tool(&[], guest(), &["upper"]);
    let mut child = c.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"from a pipe").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"FROM A PIPE");
}

#[test]
fn directories_are_what_they_say() {
    let dir = folder("directories");
    std::fs::write(dir.join("inside"), "contents\n").unwrap();
    let host = dir.display();
    let (all, read) = (format!("{host}::/data"), format!("{host}::/data:ro"));
    ends(&run(&[], &["cat", "/data/inside"]), 1, "", "/data/inside: ");
    ends(&run(&["-d", &all], &["cat", "/data/inside"]), 0, "contents\n", "");
    ends(&run(&["-d", &read], &["cat", "/data/inside"]), 0, "contents\n", "");
    ends(&run(&["-d", &read], &["cat", "/data/../etc/passwd"]), 1, "", "/data/../etc/passwd: ");
    ends(&run(&["-d", &read], &["write", "/data/new"]), 1, "", "/data/new: ");
    assert!(!dir.join("new").exists());
    ends(&run(&["-d", &all], &["write", "/data/new"]), 0, "", "");
    assert_eq!(std::fs::read(dir.join("new")).unwrap(), b"written\n");
    ends(&run(&["-d", "/no/such/folder::/x"], &["args"]), 125, "", "/no/such/folder");
}

#[test]
fn exit_codes_are_those_of_a_shell() {
    ends(&run(&[], &["exit", "0"]), 0, "", "");
    ends(&run(&[], &["exit", "7"]), 7, "", "");
    ends(&run(&[], &["exit", "258"]), 2, "", "");
    ends(&run(&[], &["abort"]), 134, "", "trap: unreachable executed in function ");
    ends(&run(&[], &["outside"]), 139, "", "trap: out of bounds memory access");
    ends(&run(&[], &["recurse"]), 139, "", "trap: call stack exhausted");
    ends(&run(&["--max-stack", "64K", "-q"], &["recurse"]), 139, "", "");
    ends(&run(&["--timeout", "0.2"], &["spin"]), 124, "ready\n", "took longer than 0.2 s");
    ends(&run(&["--timeout", "200ms", "-q"], &["sleep"]), 124, "ready\n", "");
    let unread = tool(&["--timeout", "200ms"], guest(), &["wait"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut unread = unread.unwrap();
    // The pipe stays open: nobody writes, and it does not end.
    let held = unread.stdin.take();
    ends(&unread.wait_with_output().unwrap(), 124, "ready\n", "took longer than 0.2 s");
    drop(held);
}

#[test]
fn traps_say_where() {
    let said = run(&[], &["divide", "0"]);
    ends(&said, 136, "", "trap: integer divide by zero in function ");
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(text.contains("\"divide\"") && text.contains("guest.c:13)"), "{text}");
    assert!(!text.contains("backtrace"), "{text}");
    ends(&run(&["--quiet"], &["divide", "0"]), 136, "", "");
    let said = run(&["--backtrace"], &["divide", "0"]);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    let frames: Vec<&str> = text.lines().filter(|l| l.contains(" (function ")).collect();
    assert!(frames[0].contains("0: divide ") && frames[0].ends_with("guest.c:13)"), "{text}");
    let main = frames.iter().find(|f| f.contains("main")).unwrap_or_else(|| panic!("{text}"));
    assert!(main.contains("guest.c:"), "{text}");
    // Lines are in the .wasm file; if that is another one, there are none.
    let dir = folder("traps");
    std::fs::copy(guest(), dir.join("moved.so")).unwrap();
    let moved = |options: &[&str]| {
        let out = tool(options, &dir.join("moved.so"), &["divide", "0"]).output().unwrap();
        ends(&out, 136, "", "\"divide\"");
        String::from_utf8_lossy(&out.stderr).contains("guest.c")
    };
    assert!(!moved(&[]));
    let wasm = std::fs::read(guest().with_extension("wasm")).unwrap();
    std::fs::write(dir.join("moved.wasm"), &wasm).unwrap();
    assert!(moved(&[]));
    std::fs::write(dir.join("moved.wasm"), [&wasm[..], &[0, 2, 1, b'x']].concat()).unwrap();
    assert!(!moved(&[]));
}

/// Waits until a guest says that it is ready.
fn ready(child: &mut Child) {
    let mut line = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"ready\n");
}

#[test]
fn signals_end_guests() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        for what in ["spin", "wait", "sleep"] {
            let mut c = tool(&["--backtrace"], guest(), &[what]);
            c.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = c.spawn().unwrap();
            ready(&mut child);
            let id = child.id().to_string();
            let kill = format!("kill -{signal} {id}");
            assert!(Command::new("bash").args(["-c", &kill]).status().unwrap().success());
            let held = child.stdin.take();
            let out = child.wait_with_output().unwrap();
            drop(held);
            assert_eq!(out.status.signal(), None, "{what} {signal}: {out:?}");
            ends(&out, code, "", "");
        }
    }
}

#[test]
fn exports_are_invoked() {
    let sum = |words: &[&str]| run(&["--invoke", "sum"], words);
    ends(&sum(&["1", "-2", "0.5", "1e3"]), 0, "999.5\n", "");
    ends(&sum(&["4294967295", "2", "0", "0"]), 0, "1\n", "");
    ends(&sum(&["1"]), 125, "", "\"sum\" takes 4 arguments, not 1");
    ends(&sum(&["1", "x", "0", "0"]), 125, "", "\"sum\" wants a i64, not `x`");
    ends(&run(&["--invoke", "som"], &[]), 125, "", "no export \"som\"");
    let dir = folder("invoke");
    let reactor = of_text(
        &dir,
        "reactor.so",
        r#"(module (global $n (mut i32) (i32.const 1))
             (func (export "_initialize") (global.set $n (i32.const 41)))
             (func (export "next") (result i32)
               (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#,
    );
    let next = |options: &[&str]| tool(options, &reactor, &[]).output().unwrap();
    ends(&next(&["--invoke", "next"]), 0, "42\n", "");
    ends(&next(&["--invoke", "next", "--initialize", "no"]), 0, "2\n", "");
    ends(&next(&[]), 126, "", "a reactor: a library for --invoke");
    let none = of_text(&dir, "none.so", r#"(module (func (export "f")))"#);
    ends(&tool(&[], &none, &[]).output().unwrap(), 126, "", "it exports no _start");
}

#[test]
fn limits_hold() {
    let blocks = |options: &[&str]| -> usize {
        let out = run(options, &["grow"]);
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        String::from_utf8_lossy(&out.stdout).trim().parse().unwrap()
    };
    assert!((2..=4).contains(&blocks(&["--max-memory", "4M"])));
    assert!((50..=64).contains(&blocks(&["--max-memory", "64M"])));
    ends(&run(&["--max-memory", "64K"], &["args"]), 126, "", "lucet-wasi: ");
    let random = |seed: &str| run(&["--deterministic", seed], &["random"]).stdout;
    assert_eq!(random("1"), random("1"));
    assert_ne!(random("1"), random("2"));
    assert_ne!(run(&[], &["random"]).stdout, run(&[], &["random"]).stdout);
}

#[test]
fn what_cannot_be_run_is_said() {
    let dir = folder("refused");
    let at = |name: &str| dir.join(name);
    let refused = |name: &str, code: i32, part: &str| {
        ends(&tool(&[], &at(name), &[]).output().unwrap(), code, "", part);
    };
    refused("none.so", 127, "does not exist");
    std::fs::create_dir(at("dir")).unwrap();
    refused("dir", 126, "cannot be read");
    std::fs::write(at("text"), "no program").unwrap();
    refused("text", 126, "neither an artifact that lucetc-wasi made nor a .wasm file");
    of_text(&dir, "asks.so", r#"(module (import "env" "exec" (func)) (func (export "_start")))"#);
    refused("asks.so", 126, "env.exec");
    let start = r#"(module (func $f unreachable) (start $f) (func (export "_start")))"#;
    of_text(&dir, "starts.so", start);
    refused("starts.so", 134, "the start function trapped");
    let usage = |line: &[&str], part: &str| {
        let mut c = Command::new(env!("CARGO_BIN_EXE_lucet-wasi"));
        ends(&c.args(line).output().unwrap(), 125, "", part);
    };
    usage(&[], "no program to run");
    usage(&["--dri", "x", "y"], "unknown option `--dri`; did you mean --dir?");
    let help = Command::new(env!("CARGO_BIN_EXE_lucet-wasi")).arg("--help").output().unwrap();
    assert!(help.status.success() && help.stdout.starts_with(b"lucet-wasi runs"));
    let version = Command::new(env!("CARGO_BIN_EXE_lucet-wasi")).arg("-V").output().unwrap();
    assert_eq!(version.stdout, format!("lucet-wasi {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
}

#[test]
fn only_what_a_key_signed() {
    let dir = folder("signed");
    let other =
        "untrusted comment: a key\nRWQAAAAAAAAAAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g\n";
    std::fs::write(dir.join("no.pub"), "no key").unwrap();
    std::fs::write(dir.join("other.pub"), other).unwrap();
    let key = |name: &str| dir.join(name).display().to_string();
    let with = |name: &str| run(&["-p", &key(name)], &["args"]);
    ends(&with("none.pub"), 125, "", "none.pub: ");
    ends(&with("no.pub"), 125, "", "no.pub: ");
    let out = with("other.pub");
    assert!(matches!(out.status.code(), Some(125 | 126)), "{out:?}");
    assert!(out.stdout.is_empty());
    // What is compiled on the way is not signed.
    let wasm = guest().with_extension("wasm");
    let out = tool(&["-p", &key("no.pub")], &wasm, &["args"]).output().unwrap();
    ends(&out, 126, "", "is no artifact, and so not signed");
}

#[test]
fn modules_are_compiled_first() {
    let dir = folder("compiled");
    // Stands in for lucetc-wasi, to see what it is asked for.
    let script = format!(
        "#!/bin/sh\necho \"$@\" >{0}/asked\ntest -e {0}/broken && exit 1\ncat {1}\n",
        dir.display(),
        guest().display()
    );
    let compiler = dir.join("compiler");
    std::fs::write(&compiler, script).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&compiler).status().unwrap().success());
    let wasm = guest().with_extension("wasm");
    let compiler = compiler.display().to_string();
    let compiled = || tool(&["--lucetc", &compiler], &wasm, &["exit", "9"]).output().unwrap();
    ends(&compiled(), 9, "", "");
    let asked = std::fs::read_to_string(dir.join("asked")).unwrap();
    assert_eq!(asked, format!("-o - -- {}\n", wasm.display()));
    std::fs::write(dir.join("broken"), "").unwrap();
    ends(&compiled(), 126, "", "was not compiled");
    let out = tool(&["--lucetc", "/no/such/compiler"], &wasm, &[]).output().unwrap();
    ends(&out, 126, "", "/no/such/compiler, which compiles modules, cannot be started");
}
