//! Plugins that do wrong: their request gets an error, everybody else does not notice.

use crate::common::client::{file, guest};
use crate::nginx::{Setup, plugin};

/// What a plugin does, and what the log says then: outcome and trap.
const FAULTS: [(&str, &str, &str); 15] = [
    ("trap", "trapped", "unreachable executed"),
    ("out-of-bounds", "trapped", "out of bounds memory access"),
    ("pointer", "trapped", "out of bounds memory access"),
    ("memory", "trapped", "unreachable executed"),
    ("loop", "timed_out", "-"),
    ("inject-value", "refused", "-"),
    ("inject-name", "refused", "-"),
    ("status", "refused", "-"),
    ("head", "refused", "-"),
    ("endless-body", "refused", "-"),
    ("endless-uri", "refused", "-"),
    ("endless-headers", "refused", "-"),
    ("endless-address", "timed_out", "-"),
    ("endless-log", "returned", "-"),
    ("harmless", "returned", "-"),
];

fn locations() -> String {
    let location = |(name, _, _)| format!("location = /{name} {{ lucet_plugin evil {name}; }} ");
    let faults: String = FAULTS.map(location).concat();
    format!(
        "lucet_time_limit 100ms; lucet_memory_limit 4m; {faults} \
         location = /stack {{ lucet_plugin evil stack; }} \
         location = /hello {{ lucet_plugin hello; }}"
    )
}

/// Each fault, with an untouched request after it; how the worker is.
fn each_fault(setup: Setup, rounds: usize) {
    let nginx = setup.start();
    let worker = nginx.workers();
    let mut c = nginx.connect();
    for _ in 0..rounds {
        for (name, outcome, trap) in FAULTS {
            let a = c.get(&format!("/{name}"));
            assert_eq!(a.status, if outcome == "returned" { 200 } else { 500 }, "{name}");
            assert!(!a.head.contains("X-Injected") && !a.head.contains("X-A"), "{}", a.head);
            nginx.logged("access.log", &format!("|/{name}|{outcome}|{trap}|"));
            assert_eq!(c.get("/hello").text(), "hello\n", "after {name}");
        }
        assert_eq!(c.get("/stack").status, 500);
        nginx.logged("access.log", "|/stack|trapped|");
    }
    assert_eq!(nginx.workers(), worker, "the worker died");
    let line = nginx.logged("access.log", "|/memory|");
    let memory: u64 = line.rsplit('|').next().unwrap().parse().unwrap();
    assert!((1 << 20..=4 << 20).contains(&memory), "{line}");
    assert!(nginx.log("error.log").matches("once more").count() <= 64 * rounds);
    let stderr = nginx.log("stderr.log");
    assert!(!stderr.contains("ERROR:"), "{stderr}");
}

#[test]
fn faults_are_errors_of_their_request() {
    each_fault(Setup::new(&["evil", "hello"], &locations()), 3);
}

/// The same with the C module under AddressSanitizer.
#[test]
fn faults_leave_no_mark_in_memory() {
    let mut setup = Setup::new(&["evil", "hello"], &locations());
    setup.asan = true;
    each_fault(setup, 1);
}

#[test]
fn logs_say_which_plugin_and_why() {
    let nginx = Setup::new(&["evil"], &locations().replace("plugin hello", "plugin evil")).start();
    let _ = nginx.get("/trap");
    let line = nginx.logged("error.log", "trapped");
    let wanted = "lucet: plugin \"evil\" trapped: unreachable executed in handle_request, client:";
    assert!(line.contains("[error]") && line.contains(wanted), "{line}");
    let _ = nginx.get("/stack");
    assert!(nginx.logged("error.log", "recurse").contains("in recurse < recurse"));
    let _ = nginx.get("/loop");
    nginx.logged("error.log", "plugin \"evil\" took longer than 100ms (lucet_time_limit)");
    let _ = nginx.get("/inject-value");
    let line = nginx.logged("error.log", "was stopped");
    assert!(line.contains("set a header value with control characters"), "{line}");
    let _ = nginx.get("/endless-log");
    nginx.logged("error.log", "lucet: plugin \"evil\" says: once more");
}

#[test]
fn operators_say_what_an_error_comes_to() {
    let server = "location /default { lucet_plugin evil trap; } \
        location /pass { lucet_plugin evil trap; lucet_on_error pass; root DIR; } \
        location /status { lucet_plugin evil trap; lucet_on_error 503; } \
        location /page { lucet_plugin evil trap; error_page 500 = @named; } \
        location /named { lucet_plugin evil trap; lucet_on_error @named; } \
        location @named { return 404 \"named instead\"; } \
        location /nowhere { lucet_plugin evil trap; lucet_on_error @nowhere; }";
    let nginx = Setup::new(&["evil"], server).start();
    std::fs::write(nginx.dir.join("pass"), "as if it were not there").unwrap();
    let mut c = nginx.connect();
    for _ in 0..2 {
        assert_eq!(c.get("/default").status, 500);
        assert_eq!(c.get("/pass").text(), "as if it were not there");
        assert_eq!(c.get("/status").status, 503);
        assert_eq!(c.get("/named").text(), "named instead");
        assert_eq!(c.get("/page").text(), "named instead");
    }
    assert_eq!(c.get("/nowhere").status, 500);
    for path in ["200|/pass", "404|/named", "404|/page", "503|/status", "500|/default"] {
        nginx.logged("access.log", &format!("{path}|trapped|unreachable executed|"));
    }
}

/// A loop takes its time in slices: others are served between them.
#[test]
fn others_are_served_while_a_plugin_loops() {
    let server = "location /loop { lucet_plugin evil loop; lucet_time_limit 500ms; } \
        location /hello { lucet_plugin hello; }";
    let nginx = Setup::new(&["evil", "hello"], server).start();
    let mut slow: Vec<_> = (0..3).map(|_| nginx.connect()).collect();
    for c in &mut slow {
        c.ask("GET /loop", "");
    }
    let mut quick = nginx.connect();
    for _ in 0..20 {
        assert_eq!(quick.get("/hello").text(), "hello\n");
    }
    for c in &mut slow {
        assert_eq!(c.answer().status, 500);
    }
    let ended = || nginx.log("access.log").matches("|/loop|timed_out|").count();
    nginx.wait("all to be logged", || ended() == 3);
    let log = nginx.log("access.log");
    let before = log.lines().take_while(|l| !l.contains("/loop")).count();
    assert!(before >= 20, "{log}");
}

/// Without slices a loop has the worker for itself, to its limit.
#[test]
fn limits_hold_without_slices() {
    let server = "lucet_time_slice 0; location /loop { lucet_plugin evil loop; \
        lucet_time_limit 50ms; }";
    let nginx = Setup::new(&["evil"], server).start();
    assert_eq!(nginx.get("/loop").status, 500);
    let line = nginx.logged("error.log", "took longer than 50ms");
    assert!(line.contains("in spin < handle_request") || line.contains("in handle_request"));
}

/// Start-up code can neither be interrupted nor run for ever.
#[test]
fn start_up_is_limited() {
    let looping = guest(
        "nginx-looping",
        "(module (func $f (loop $l (br $l))) (start $f) \
          (func (export \"handle_request\") (result i64) (i64.const 0)))",
    );
    let server = "location /loop { lucet_plugin looping; lucet_time_limit 10s; } \
        location /hello { lucet_plugin hello; }";
    let mut setup = Setup::new(&["hello"], server).http("lucet_time_limit 50ms;");
    setup.modules.push_str(&format!("module looping {};", looping.display()));
    let nginx = setup.start();
    assert_eq!(nginx.get("/loop").status, 500);
    nginx.logged("access.log", "500|/loop|unavailable|");
    nginx.logged("error.log", "LUCET_STATUS_START_FAILED");
    assert_eq!(nginx.get("/hello").text(), "hello\n");
}

#[test]
fn instances_are_limited() {
    let server = "location /loop { lucet_plugin evil loop; lucet_time_limit 20s; } \
        location /hello { lucet_plugin hello; }";
    let nginx = Setup::new(&["evil", "hello"], server).http("lucet_instances 2;").start();
    let mut slow: Vec<_> = (0..2).map(|_| nginx.connect()).collect();
    for c in &mut slow {
        c.ask("GET /loop", "");
    }
    nginx.wait("all instances to be in use", || nginx.get("/hello").status == 503);
    nginx.logged("access.log", "503|/hello|busy|");
    nginx.logged("error.log", "all instances of this worker are in use (lucet_instances)");
    // Clients that give up free theirs.
    drop(slow);
    nginx.logged("access.log", "499|/loop|aborted|");
    nginx.wait("instances", || nginx.get("/hello").status == 200);
}

#[test]
fn bad_modules_fail_the_test_of_the_configuration() {
    let nothing = guest("nginx-nothing", "(module (func (export \"other\")))");
    let import = guest(
        "nginx-import",
        "(module (import \"env\" \"secret\" (func)) \
          (func (export \"handle_request\") (result i64) (i64.const 0)))",
    );
    let ty = guest("nginx-type", "(module (func (export \"handle_request\")))");
    let text = file("nginx-text.so", "hello");
    let large = guest(
        "nginx-large",
        "(module (memory 3000) (func (export \"handle_request\") (result i64) (i64.const 0)))",
    );
    let good = plugin("hello");
    let module =
        |path: &std::path::Path| format!("allow_unsigned on; module m {};", path.display());
    let cases = [
        (module(&nothing), "handle_request"),
        (module(&ty), "handle_request"),
        (module(&import), "secret"),
        (module(&text), "LUCET_STATUS_NOT_AN_ARTIFACT"),
        (module(&large), "LUCET_STATUS_CONTRACT_REFUSED"),
        (module(std::path::Path::new("/nonexistent.so")), "LUCET_STATUS_IO"),
        (format!("module m {};", good.display()), "allow_unsigned"),
        (format!("{0}module m {1};", module(&good), good.display()), "already"),
        ("modul m x;".to_owned(), "unknown directive \"modul\" in the block \"lucet\""),
        ("key /nonexistent.pub;".to_owned(), "/nonexistent.pub"),
        (format!("key {};{}", text.display(), module(&good)), "key"),
    ];
    for (modules, wanted) in cases {
        let mut setup = Setup::new(&[], "location / { lucet_plugin m; }");
        setup.modules = modules;
        let output = setup.test();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{}", setup.modules);
        assert!(said.contains("[emerg]") && said.contains(wanted), "{}: {said}", setup.modules);
    }
    for (server, wanted) in [
        ("lucet_plugin unknown;", "no module of this name in"),
        ("lucet_on_error 200;", "lucet_on_error"),
        ("lucet_status;", "unknown directive"),
        ("lucet_plugin off; lucet_plugin hello;", "off"),
    ] {
        let output = Setup::new(&["hello"], server).test();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(wanted), "{server}: {said}");
    }
    assert!(Setup::new(&["hello"], "lucet_plugin hello;").test().status.success());
}

#[test]
fn keys_and_hashes_are_trusted() {
    let key = lucetc::signing::SecretKey::generate().unwrap();
    let plain = lucetc::compile(&crate::nginx::wasm("hello"), &Default::default()).unwrap();
    let mut signed = plain.clone();
    lucetc::signing::sign(&mut signed, &key, "hello", "it").unwrap();
    let hash = lucet_artifact::trailer::Trailer::decode(&plain).unwrap().hash;
    let signed = file("nginx-signed.so", signed).display().to_string();
    let plain = file("nginx-plain.so", plain).display().to_string();
    let public = file("nginx.pub", key.public().unwrap().file()).display().to_string();
    let line = key.public().unwrap().line();
    let hash = lucet_artifact::trust::hex(&hash);
    for (modules, good) in [
        (format!("key {public}; module hello {signed};"), true),
        (format!("module hello {signed}; key {line};"), true),
        (format!("hash {hash}; module hello {plain};"), true),
        (format!("key {public}; module hello {plain};"), false),
        (format!("module hello {signed};"), false),
    ] {
        let mut setup = Setup::new(&[], "location / { lucet_plugin hello; }");
        setup.modules = modules;
        assert_eq!(setup.test().status.success(), good, "{}", setup.modules);
        if good {
            assert_eq!(setup.start().get("/").text(), "hello\n");
        }
    }
}
