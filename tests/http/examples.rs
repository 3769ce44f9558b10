//! The plugins of the guest SDK, built with clang as their authors would.

use crate::guest::{module, region};
use crate::mock::{Mock, REQUEST};
use lucet::http::Next;
use lucet::{Instance, Outcome};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// An example, compiled and attached.
fn example(mock: &Arc<Mock>, name: &str) -> Instance {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-sdk/c");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("http-{name}-{:p}.wasm", mock));
    let output = Command::new("clang")
        .args(["--target=wasm32", "-O2", "-nostdlib", "-ffreestanding", "-std=c11"])
        .args(["-Wall", "-Wextra", "-Werror", "-Wl,--no-entry", "-Wl,--stack-first"])
        .arg("-I")
        .arg(&root)
        .arg(root.join("examples").join(name).with_extension("c"))
        .arg("-o")
        .arg(&out)
        .output()
        .expect("clang is needed to build the examples");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let wasm = std::fs::read(&out).unwrap();
    let _ = std::fs::remove_file(out);
    let mut config = lucet::ModuleConfig { allow_unsigned: true, ..lucet::ModuleConfig::default() };
    config.offer_http(mock.clone()).unwrap();
    let bytes = lucetc::compile(&wasm, &lucetc::Options::default()).unwrap();
    let module = lucet::Module::load_bytes(&bytes, &config).unwrap();
    let i = Instance::new(&region(), &module).unwrap();
    i.http_attach(REQUEST).unwrap();
    i
}

fn run(mock: &Arc<Mock>, name: &str) -> (Instance, Next) {
    let i = example(mock, name);
    let (outcome, next) = i.http_handle_request().unwrap();
    assert_eq!(outcome, Outcome::Returned(Vec::new()), "{name}");
    (i, next)
}

#[test]
fn hello() {
    let mock = Arc::new(Mock::default());
    assert_eq!(run(&mock, "hello").1, Next::Respond);
    assert_eq!(
        mock.calls(),
        [
            "status 200",
            "Set Response Content-Type: text/plain",
            "write Response hello from a plugin\n first=true",
        ]
    );
}

#[test]
fn tenant() {
    let mock = Arc::new(Mock::default());
    assert_eq!(run(&mock, "tenant").1, Next::Respond);
    let calls = mock.calls();
    let key = calls[0].strip_prefix("Set Response X-Key: ").unwrap();
    assert!(key.len() == 8 && key.bytes().all(|c| c.is_ascii_hexdigit()), "{key}");
    assert!(calls[1].starts_with(&format!("write Response {key}")));
    assert_eq!(calls[1].len(), "write Response ".len() + 1024 + " first=true".len());
    // Another host, another key.
    let other = Mock::with(|m| m.state.get_mut().unwrap().headers[0][0].1 = b"other".into());
    run(&other, "tenant");
    assert_ne!(other.calls()[0], calls[0]);
}

#[test]
fn router() {
    let at = |uri: &str, change: fn(&mut Mock)| {
        let mock = Mock::with(|m| {
            m.state.get_mut().unwrap().fields[1] = Some(uri.as_bytes().into());
            change(m);
        });
        let (i, next) = run(&mock, "router");
        (mock, i, next)
    };
    let (mock, _, next) = at("/old/a?b", |_| {});
    assert_eq!(next, Next::Respond);
    assert_eq!(mock.calls(), ["status 301", "Set Response Location: /new/a?b"]);

    let (mock, _, next) = at("/admin/x", |_| {});
    assert_eq!(next, Next::Respond);
    assert_eq!(mock.calls()[..2], ["Warn kept out of /admin/x", "status 403"]);

    let (mock, i, next) = at("/api/v1/users", |m| m.state.get_mut().unwrap().status = 404);
    assert_eq!(next, Next::Continue);
    assert_eq!(mock.calls()[..2], ["set Uri /v1/users", "Set Request X-Backend: api"]);
    assert_eq!(i.http_handle_response(false).unwrap(), Outcome::Returned(Vec::new()));
    let calls = mock.calls();
    assert_eq!(
        calls[2..6],
        [
            "enable 2 true",
            "Remove Response Server: ",
            "Add Response X-Routed-By: router",
            "status 404",
        ]
    );

    let (mock, i, next) = at("/", |_| {});
    assert_eq!(next, Next::Continue);
    assert_eq!(mock.calls()[..2], ["Remove Request Cookie: ", "Set Request X-Backend: web"]);
    i.http_handle_response(true).unwrap();
    assert!(mock.calls().contains(&"status 502".to_owned()));
}

#[test]
fn what_has_no_request_function_is_no_plugin() {
    let m = module(&Arc::default(), "(module (func (export \"_start\")))");
    assert!(Instance::new(&region(), &m).unwrap().http_attach(REQUEST).is_err());
}
