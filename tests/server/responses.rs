//! Plugins that see responses which somebody else makes.

use crate::nginx::{Nginx, Setup};

const SERVER: &str = "root DIR; add_header Server-Secret s; \
    location /headers { lucet_plugin upper headers; } \
    location /body { lucet_plugin upper; } \
    location /small { lucet_plugin upper; lucet_response_buffer_size 100; } \
    location /loop { lucet_plugin upper response-loop; lucet_time_limit 300ms; } \
    location /trap { lucet_plugin upper response-trap; } \
    location /passed { lucet_plugin upper response-trap; lucet_on_error pass; } \
    location /again { lucet_plugin upper; error_page 404 = /headers/page; } \
    location /proxied { lucet_plugin upper; proxy_pass http://unix:DIR/behind:/; } \
    location /quick { return 200 quick; }";

fn start() -> Nginx {
    let behind = "server { listen unix:DIR/behind; root DIR; location / { } }";
    let nginx = Setup::new(&["upper"], SERVER).http(behind).start();
    for folder in ["headers", "body", "small", "loop", "trap", "passed", "again"] {
        std::fs::create_dir(nginx.dir.join(folder)).unwrap();
        std::fs::write(nginx.dir.join(folder).join("page"), "a page\n").unwrap();
        std::fs::write(nginx.dir.join(folder).join("long"), "long ".repeat(8000)).unwrap();
    }
    std::fs::write(nginx.dir.join("page"), "a page\n").unwrap();
    nginx
}

#[test]
fn headers_are_changed() {
    let nginx = start();
    let mut c = nginx.connect();
    let a = c.get("/headers/page");
    assert_eq!((a.status, a.text().as_str()), (203, "a page\n"));
    assert_eq!(a.header("X-Filtered"), Some("yes"));
    c.ask("HEAD /headers/page", "");
    let a = c.try_answer(false).unwrap();
    assert_eq!((a.status, a.header("X-Filtered")), (203, Some("yes")));
    assert_eq!(c.get("/headers/page").status, 203);
}

#[test]
fn bodies_are_changed() {
    let nginx = start();
    let mut c = nginx.connect();
    let a = c.get("/body/page");
    assert_eq!((a.status, a.text().as_str()), (200, "A PAGE\n"));
    assert_eq!(a.header("Content-Length"), Some("7"));
    assert_eq!(a.header("Last-Modified"), None);
    let a = c.get("/body/long");
    assert_eq!(a.text(), "LONG ".repeat(8000));
    // Parts would be parts of another body.
    c.ask("GET /body/page", "Range: bytes=0-1\r\n");
    let a = c.answer();
    assert_eq!((a.status, a.text().as_str()), (200, "A PAGE\n"));
    let a = c.get("/proxied/page");
    assert_eq!((a.status, a.text().as_str()), (200, "A PAGE\n"));
    c.ask("HEAD /body/page", "");
    let a = c.try_answer(false).unwrap();
    assert_eq!((a.status, a.header("X-Filtered")), (200, Some("yes")));
    assert_eq!(c.get("/body/page").text(), "A PAGE\n");
    // Of errors that nginx makes, too.
    let a = c.get("/body/none");
    assert_eq!(a.status, 404);
    assert!(a.text().contains("404 NOT FOUND"));
    let a = c.get("/again/none");
    assert_eq!((a.status, a.text().as_str()), (203, "a page\n"));
}

#[test]
fn failures_are_errors_of_that_request() {
    let nginx = start();
    let mut c = nginx.connect();
    assert_eq!(c.get("/trap/page").status, 500);
    assert_eq!(c.get("/small/long").status, 502);
    assert!(nginx.log("error.log").contains("lucet_response_buffer_size"));
    assert_eq!(c.get("/small/page").text(), "A PAGE\n");
    let a = c.get("/passed/page");
    assert_eq!((a.status, a.text().as_str()), (200, "a page\n"));
    assert_eq!(c.get("/loop/page").status, 500);
    nginx.logged("access.log", "500|/loop/page|timed_out|");
    nginx.logged("access.log", "500|/trap/page|trapped|unreachable executed|");
    assert_eq!(c.get("/body/page").text(), "A PAGE\n");
}

/// While a response phase loops, others are served.
#[test]
fn others_are_served_meanwhile() {
    let nginx = start();
    let mut slow = nginx.connect();
    slow.ask("GET /loop/page", "");
    nginx.wait("others", || {
        assert_eq!(nginx.get("/quick").text(), "quick");
        nginx.log("access.log").lines().count() >= 5
    });
    assert_eq!(slow.answer().status, 500);
    let log = nginx.log("access.log");
    let before = log.lines().take_while(|l| !l.contains("/loop/")).count();
    assert!(before >= 5, "{log}");
}
