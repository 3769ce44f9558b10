//! Plugins that answer requests, or change them.

use crate::nginx::Setup;

/// A server that answers with the request as it arrives there.
const BEHIND: &str = "server { listen unix:DIR/behind; location / { lucet_plugin echo; } \
    location = /headers { return 200 \
    \"filter=$http_x_filter secret=$http_x_secret cookie=$http_cookie\"; } }";

#[test]
fn plugins_answer() {
    let server = "location = /hello { lucet_plugin hello; } \
        location = /realistic { lucet_plugin realistic; } location /none { return 204; }";
    let nginx = Setup::new(&["hello", "realistic"], server).start();
    let mut c = nginx.connect();
    for _ in 0..3 {
        let a = c.get("/hello");
        assert_eq!((a.status, a.text().as_str()), (200, "hello\n"));
        assert_eq!(a.header("Content-Type"), Some("text/plain"));
        assert_eq!(a.header("Content-Length"), Some("6"));
    }
    let a = c.get("/realistic");
    assert_eq!((a.status, a.body.len()), (200, 1024));
    assert_eq!(a.header("X-Request-Hash").map(str::len), Some(8));
    assert_eq!(c.get("/none").status, 204);

    c.ask("HEAD /hello", "");
    let a = c.try_answer(false).unwrap();
    assert_eq!((a.status, a.header("Content-Length")), (200, Some("6")));
    assert_eq!(c.get("/hello").text(), "hello\n");

    let lines = nginx.log("access.log");
    let lines: Vec<&str> = lines.lines().collect();
    let fields: Vec<&str> = lines[0].split('|').collect();
    assert_eq!(fields[..4], ["200", "/hello", "returned", "-"]);
    assert!(fields[4].parse::<f64>().unwrap() > 0.0, "{fields:?}");
    assert!(fields[5].parse::<u64>().unwrap() >= 65536, "{fields:?}");
    assert_eq!(lines[4], "204|/none|-|-|-|-");
}

#[test]
fn bodies_of_requests_are_read() {
    let server = "client_body_buffer_size 4k; client_max_body_size 100k; \
        location / { lucet_plugin echo; }";
    let nginx = Setup::new(&["echo"], server).start();
    let mut c = nginx.connect();
    // None, small, in several pieces, in a temporary file.
    for len in [0usize, 1, 999, 1000, 1001, 3000, 4097, 90_000] {
        let body: String = ('a'..='z').cycle().take(len).collect();
        let (before, after) = body.split_at(len / 2);
        c.send(format!("POST /p?q=1 HTTP/1.1\r\nHost: t\r\nContent-Length: {len}\r\n\r\n{before}"));
        if len > 1 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        c.send(after);
        assert_eq!(c.answer().text(), format!("POST /p?q=1\n{body}"), "{len}");
    }
    c.ask("POST /c", "Transfer-Encoding: chunked\r\n");
    c.send("3\r\nabc\r\n");
    c.send("2\r\nde\r\n0\r\n\r\n");
    assert_eq!(c.answer().text(), "POST /c\nabcde");
    assert_eq!(c.get("/g").text(), "GET /g\n");
    c.ask("POST /p", "Content-Length: 1000000\r\n");
    assert_eq!(c.answer().status, 413);
}

/// A plugin that answers without a look at the body leaves none of it to be the next request.
#[test]
fn bodies_that_nobody_reads_are_no_requests() {
    let server = "location / { lucet_plugin hello; } location /evil { return 418; }";
    let nginx = Setup::new(&["hello"], server).start();
    let mut c = nginx.connect();
    let inner = "GET /evil HTTP/1.1\r\nHost: t\r\n\r\n";
    let length = format!("Content-Length: {}\r\n", inner.len());
    c.ask("POST /", &length);
    c.send(inner);
    assert_eq!(c.answer().status, 200);
    assert_eq!(c.get("/").status, 200);
    assert!(!nginx.log("access.log").contains("/evil"));
}

#[test]
fn requests_are_changed_on_their_way() {
    let server = "location / { lucet_plugin upper request; proxy_pass http://unix:DIR/behind:; } \
        location = /headers { lucet_plugin upper headers; proxy_pass http://unix:DIR/behind:; }";
    let nginx = Setup::new(&["upper", "echo"], server).http(BEHIND).start();
    let mut c = nginx.connect();
    for (len, chunked) in [(5, false), (30_000, false), (5, true)] {
        let body: String = ('a'..='z').cycle().take(len).collect();
        if chunked {
            c.ask("POST /x", "Transfer-Encoding: chunked\r\n");
            c.send(format!("{len:x}\r\n{body}\r\n0\r\n\r\n"));
        } else {
            c.ask("POST /x", &format!("Content-Length: {len}\r\n"));
            c.send(&body);
        }
        let wanted = format!("POST /changed?by=filter\n{body}{body}").to_uppercase();
        assert_eq!(c.answer().text(), wanted);
    }
    c.ask("GET /headers", "X-Secret: a\r\nX-Other: b\r\nX-Secret: c\r\nCookie: own=1\r\n");
    let a = c.answer();
    assert_eq!(a.status, 203);
    assert_eq!(a.text(), "filter=yes secret= cookie=own=1; by=filter");
}

#[test]
fn plugins_make_chains() {
    let server = "location / { lucet_plugin upper headers; lucet_plugin echo; } \
        location /off { lucet_plugin off; return 200 off; } \
        location /first { lucet_plugin hello; lucet_plugin evil trap; }";
    let nginx = Setup::new(&["upper", "echo", "hello", "evil"], server).start();
    let a = nginx.get("/a");
    assert_eq!((a.status, a.header("X-Filtered")), (203, Some("yes")));
    assert_eq!(a.text(), "GET /a\n");
    assert_eq!(nginx.get("/off").text(), "off");
    assert_eq!(nginx.get("/first").text(), "hello\n");
}

#[test]
fn a_variable_names_the_plugin() {
    let server = "location / { lucet_plugin $arg_plugin trap; return_if_none; }";
    let server = server.replace("return_if_none; ", "root DIR; ");
    let nginx = Setup::new(&["hello", "evil"], &server).start();
    assert_eq!(nginx.get("/?plugin=hello").text(), "hello\n");
    assert_eq!(nginx.get("/?plugin=evil").status, 500);
    assert_eq!(nginx.get("/nothing").status, 404);
    assert_eq!(nginx.get("/?plugin=unknown").status, 500);
    let line = nginx.logged("error.log", "there is no plugin");
    assert!(line.contains("\"unknown\""), "{line}");
}

#[test]
fn subrequests_have_plugins_of_their_own() {
    let server = "location = /page { ssi on; ssi_types *; root DIR; } \
        location = /part { lucet_plugin hello; } location = /slow { lucet_plugin evil spin-10ms; } \
        location = /bad { lucet_plugin evil trap; } \
        location = /guarded { auth_request /bad; return 200 in; } \
        location = /open { auth_request /part; root DIR; }";
    let nginx = Setup::new(&["hello", "evil"], server).start();
    let page = "<!--# include virtual=\"/part\" --><!--# include virtual=\"/slow\" -->end";
    std::fs::write(nginx.dir.join("page"), page).unwrap();
    std::fs::write(nginx.dir.join("open"), "opened").unwrap();
    for _ in 0..3 {
        assert_eq!(nginx.get("/page").text(), "hello\nsurvived\nend");
    }
    assert_eq!(nginx.get("/open").text(), "opened");
}

#[test]
fn http2_is_served() {
    let server = "listen unix:DIR/h2 http2; location = /hello { lucet_plugin hello; } \
        location = /echo { lucet_plugin echo; } \
        location = /slow { lucet_plugin evil spin-10ms; } \
        location = /trap { lucet_plugin evil trap; }";
    let nginx = Setup::new(&["hello", "echo", "evil"], server).start();
    let curl = |args: &[&str], path: &str| {
        let mut c = std::process::Command::new("curl");
        c.args(["-s", "--http2-prior-knowledge", "-w", " %{http_version} %{http_code}"]);
        c.arg("--unix-socket").arg(nginx.dir.join("h2")).args(args);
        let out = c.arg(format!("http://test{path}")).output().expect("curl is needed: make deps");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    assert_eq!(curl(&[], "/hello"), "hello\n 2 200");
    assert_eq!(curl(&[], "/slow"), "survived\n 2 200");
    assert_eq!(curl(&["-d", "body"], "/echo"), "POST /echo\nbody 2 200");
    assert!(curl(&[], "/trap").ends_with(" 2 500"));
}
