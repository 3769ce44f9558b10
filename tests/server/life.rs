//! Reloads, upgrades, clients that leave, and a worker's memory over many requests.

use crate::nginx::{Setup, plugin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many of the long loops: all of them with FULL=1.
fn rounds(quick: usize, full: usize) -> usize {
    if std::env::var_os("FULL").is_some() { full } else { quick }
}

#[test]
fn reloads_fail_no_request() {
    let server = "lucet_time_limit 10s; location / { lucet_plugin hello; } \
        location /slow { lucet_plugin evil spin-10ms; }";
    let mut nginx = Setup::new(&["hello", "evil"], server).start();
    let (over, served) = (AtomicBool::new(false), AtomicU64::new(0));
    let socket = nginx.socket();
    std::thread::scope(|s| {
        for path in ["/", "/slow"] {
            let (over, served, socket) = (&over, &served, &socket);
            s.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let mut c = crate::nginx::dial(socket);
                    let a = c.get_once(path);
                    assert_eq!(a.map(|a| a.status), Some(200), "{path}");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..rounds(10, 300) {
            // Each configuration differs, and every third one is bad: it changes nothing.
            nginx.configure(|setup| {
                setup.http = format!("lucet_instances {};", 100 + round);
                if round % 3 == 2 {
                    setup.http.push_str("lucet_nonsense;");
                }
            });
            let (old, before) = (nginx.workers(), served.load(Ordering::Relaxed));
            nginx.signal(libc::SIGHUP);
            if round % 3 != 2 {
                nginx.wait("a new worker", || nginx.workers().iter().any(|w| !old.contains(w)));
            }
            nginx.wait("requests", || served.load(Ordering::Relaxed) > before + 20);
        }
        over.store(true, Ordering::Relaxed);
    });
    nginx.wait("old workers to end", || nginx.workers().len() == 1);
    let log = nginx.log("error.log");
    assert!(!log.contains("[alert]") && !log.contains("exited on signal"), "{log}");
}

#[test]
fn a_reload_brings_another_version() {
    let mut nginx = Setup::new(&["hello"], "location / { lucet_plugin hello; }").start();
    assert_eq!(nginx.get("/").text(), "hello\n");
    nginx.configure(|setup| {
        setup.modules = Setup::new(&["echo"], "").modules.replace("module echo", "module hello");
    });
    nginx.signal(libc::SIGHUP);
    nginx.wait("the new version", || nginx.get("/").text() == "GET /\n");
    nginx.configure(|setup| setup.modules.push_str("module broken /nonexistent.so;\n"));
    nginx.signal(libc::SIGHUP);
    nginx.logged("error.log", "/nonexistent.so");
    assert_eq!(nginx.get("/").text(), "GET /\n");
}

/// Versions change under load without a reload; what cannot be used changes nothing.
#[test]
fn versions_change_without_a_reload() {
    let versions = ["hello", "echo"].map(|name| std::fs::read(plugin(name)).unwrap());
    let file = crate::common::client::file("nginx-watched.so", &versions[0]);
    let mut setup = Setup::new(&[], "location / { lucet_plugin watched; }");
    setup.modules.push_str(&format!("watch 20ms; module watched {};", file.display()));
    let nginx = setup.start();
    let worker = nginx.workers();
    let (over, served) = (AtomicBool::new(false), AtomicU64::new(0));
    let socket = nginx.socket();
    std::thread::scope(|s| {
        let (over, served) = (&over, &served);
        s.spawn(move || {
            let mut c = crate::nginx::dial(&socket);
            while !over.load(Ordering::Relaxed) {
                let text = c.get("/").text();
                assert!(["hello\n", "GET /\n"].contains(&text.as_str()), "{text}");
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
        for round in 1..=rounds(10, 1000) {
            let version = round % 2;
            crate::common::client::file("nginx-watched.so", &versions[version]);
            let wanted = ["hello\n", "GET /\n"][version];
            nginx.wait("the other version", || nginx.get("/").text() == wanted);
        }
        crate::common::client::file("nginx-watched.so", "nonsense");
        nginx.logged("error.log", "the version before stays");
        assert_eq!(nginx.get("/").text(), "hello\n");
        std::fs::remove_file(&file).unwrap();
        nginx.logged("error.log", "is not in");
        assert_eq!(nginx.get("/").text(), "hello\n");
        over.store(true, Ordering::Relaxed);
    });
    assert!(served.load(Ordering::Relaxed) > 0);
    assert_eq!(nginx.workers(), worker);
}

#[test]
fn the_binary_is_upgraded() {
    let mut setup = Setup::new(&["hello"], "location / { lucet_plugin hello; }");
    setup.daemon = true;
    let nginx = setup.start();
    let mut kept = nginx.connect();
    assert_eq!(kept.get("/").text(), "hello\n");
    let old = nginx.master();
    nginx.signal(libc::SIGUSR2);
    nginx.wait("another master", || nginx.master() != old && !nginx.workers().is_empty());
    // Both serve, until the old one is told to end; what it has begun, it finishes.
    for _ in 0..20 {
        assert_eq!(nginx.get("/").text(), "hello\n");
    }
    assert_eq!(kept.get("/").text(), "hello\n");
    // SAFETY: a process that we started.
    unsafe { libc::kill(libc::pid_t::try_from(old).unwrap(), libc::SIGQUIT) };
    nginx.wait("the old master to end", || !nginx.dir.join("nginx.pid.oldbin").exists());
    for _ in 0..20 {
        assert_eq!(nginx.get("/").text(), "hello\n");
    }
}

#[test]
fn clients_that_leave_free_what_they_had() {
    let server = "location /loop { lucet_plugin evil loop; lucet_time_limit 20s; } \
        location /echo { lucet_plugin echo; } location /hello { lucet_plugin hello; }";
    let nginx = Setup::new(&["evil", "echo", "hello"], server).http("lucet_instances 4;").start();
    for _ in 0..rounds(10, 1000) {
        let mut c: Vec<_> = (0..2).map(|_| nginx.connect()).collect();
        c[0].ask("GET /loop", "");
        // One that waits for a body that does not come.
        c[1].ask("POST /echo", "Content-Length: 100\r\n");
        c[1].send("some");
        let seen = nginx.log("access.log").lines().count();
        assert_eq!(nginx.get("/hello").text(), "hello\n");
        drop(c);
        nginx.wait("both to be over", || nginx.log("access.log").lines().count() >= seen + 3);
    }
    assert_eq!(nginx.get("/hello").text(), "hello\n");
    assert!(nginx.log("access.log").contains("|/loop|aborted|"));
}

#[test]
fn memory_does_not_grow() {
    let server = "access_log off; error_log /dev/null crit; \
        location /hello { lucet_plugin hello; } \
        location /realistic { lucet_plugin realistic; } location /trap { lucet_plugin evil trap; } \
        location /filter { lucet_plugin upper; root DIR; }";
    let plugins = ["hello", "realistic", "evil", "upper"];
    let nginx = Setup::new(&plugins, server).start();
    std::fs::write(nginx.dir.join("filter"), "text\n").unwrap();
    let many = rounds(5_000, 250_000);
    let mut c = nginx.connect();
    let mut go = |times: usize| {
        for _ in 0..times {
            assert_eq!(c.get("/hello").body.len(), 6);
            assert_eq!(c.get("/realistic").body.len(), 1024);
            assert_eq!(c.get("/trap").status, 500);
            assert_eq!(c.get("/filter").text(), "TEXT\n");
        }
    };
    go(many / 5);
    let before = nginx.resident();
    go(many);
    let after = nginx.resident();
    assert!(after <= before + 64, "{before} KiB, {} requests later {after} KiB", 4 * many);
}
