//! The command `lucet-http`, as authors of plugins use it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The example `name` of the guest SDK, or a guest in wat, as an artifact.
fn artifact(name: &str, wasm: &[u8]) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("http-tool-{name}.so"));
    let bytes = lucetc::compile(wasm, &lucetc::Options::default());
    std::fs::write(&file, bytes.unwrap_or_else(|e| panic!("{e}"))).unwrap();
    file
}

fn router() -> PathBuf {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-sdk/c");
    let wasm = Path::new(env!("CARGO_TARGET_TMPDIR")).join("http-tool-router.wasm");
    let status = Command::new("clang")
        .args(["--target=wasm32", "-O2", "-nostdlib", "-ffreestanding", "-I"])
        .arg(&sdk)
        .args(["-Wl,--no-entry", "-Wl,--stack-first"])
        .arg(sdk.join("examples/router.c"))
        .arg("-o")
        .arg(&wasm)
        .status()
        .expect("clang is needed");
    assert!(status.success());
    artifact("router", &std::fs::read(wasm).unwrap())
}

fn lucet_http(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_lucet-http")).args(args).output().unwrap();
    let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn shows_what_a_plugin_does() {
    let plugin = router();
    let plugin = plugin.to_str().unwrap();
    let (code, out, err) = lucet_http(&[plugin, "/old/x", "-t", "-n", "3"]);
    assert_eq!((code, out.as_str()), (0, "HTTP/1.1 301\nLocation: /new/x\n\n"), "{err}");
    assert!(err.contains("3 requests"), "{err}");

    let (code, out, err) = lucet_http(&[
        plugin,
        "/api/v1/u?q",
        "-H",
        "Cookie: a",
        "--reply-header",
        "Server: s",
        "--reply",
        "ok\n",
    ]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(
        out,
        "> GET /v1/u?q HTTP/1.1\n> Host: localhost\n> Cookie: a\n> X-Backend: api\n> \n\
         HTTP/1.1 200\nX-Routed-By: router\nContent-Length: 3\n\nok\n"
    );

    let (code, out, err) = lucet_http(&[plugin, "/admin"]);
    assert_eq!((code, err.as_str()), (0, "lucet-http: warn: kept out of /admin\n"));
    assert!(out.starts_with("HTTP/1.1 403\n"), "{out}");
    let (_, out, _) = lucet_http(&[plugin, "--unreachable"]);
    assert!(out.contains("HTTP/1.1 502\n"), "{out}");
}

#[test]
fn says_why_a_plugin_failed() {
    let guest = |name: &str, body: &str| {
        let wat = format!(
            r#"(module (import "http_handler" "set_status_code" (func $status (param i32)))
              (memory (export "memory") 1)
              (func (export "handle_request") (result i64) {body} (i64.const 0)))"#
        );
        artifact(name, wat.as_bytes())
    };
    for (name, body, word) in [
        ("traps", "unreachable", "unreachable"),
        ("status", "(call $status (i32.const 7))", "status outside 100 to 999"),
        ("loops", "(loop $l (br $l))", "took too long"),
    ] {
        let file = guest(name, body);
        let (code, out, err) = lucet_http(&[file.to_str().unwrap(), "--time-limit", "20"]);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains(word), "{err}");
    }
}

#[test]
fn refuses_what_makes_no_sense() {
    let none = artifact("none", b"(module)");
    for (args, word) in [
        (&[][..], "which plugin"),
        (&["--no-such"][..], "no option"),
        (&["x", "-n", "many"][..], "number"),
        (&["x", "-H", "none"][..], "no header"),
        (&["x", "-X"][..], "wants a value"),
        (&["/no/such/file"][..], "No such file"),
        (&[none.to_str().unwrap()][..], "handle_request"),
        (&["a", "b", "c"][..], "what is"),
    ] {
        let (code, out, err) = lucet_http(args);
        assert_eq!((code, out.as_str()), (125, ""), "{args:?}: {err}");
        assert!(err.contains(word), "{args:?}: {err}");
    }
    assert_eq!(lucet_http(&["--help"]).0, 0);
}
