//! Guests that mean harm: each is ended, and the server hears nothing of what it tried.

use crate::guest::{Guest, attached, request, response};
use crate::mock::Mock;
use lucet::http::abi::{Limits, Problem};
use lucet::{Outcome, TrapCode};
use std::sync::Arc;

const NAME: &str = "(i32.const 16) (i32.const 1)";

/// Runs a request phase that must be ended for this reason, unheard.
fn refused(body: &str, data: &[(u32, &str)], problem: Problem) {
    let mock = Arc::new(Mock::default());
    let ran = request(&mock, &format!("{body} (i64.const 0)"), data);
    assert_eq!(ran.problem(), Some(problem), "{body} {data:?}: {:?}", ran.outcome);
    assert_eq!(mock.calls(), [""; 0], "{body} {data:?}");
}

#[test]
fn no_header_ends_early() {
    for bad in ["a\r\nX: y", "a\nb", "a\rb", "a\0", "\x7f", "\x01"] {
        let (value, len) = ([(16, "n"), (32, bad)], bad.len());
        for (call, kind) in ["set", "add"]
            .iter()
            .flat_map(|c| [0, 1].map(move |k| (format!("{c}_header_value"), k)))
        {
            let args = format!("(i32.const {kind}) {NAME} (i32.const 32) (i32.const {len})");
            refused(&format!("(call ${call} {args})"), &value, Problem::BadHeaderValue);
            let args = format!("(i32.const {kind}) (i32.const 32) (i32.const {len}) {NAME}");
            refused(&format!("(call ${call} {args})"), &value, Problem::BadHeaderName);
        }
        let uri = format!("/{bad}");
        let set = format!("(call $set_uri (i32.const 32) (i32.const {}))", uri.len());
        refused(&set, &[(32, &uri)], Problem::BadUri);
        let set = format!("(call $set_method (i32.const 32) (i32.const {len}))");
        refused(&set, &[(32, bad)], Problem::BadMethod);
    }
    refused("(call $set_method (i32.const 0) (i32.const 0))", &[], Problem::BadMethod);
    let empty =
        format!("(call $set_header_value (i32.const 0) (i32.const 0) (i32.const 0) {NAME})");
    refused(&empty, &[(16, "n")], Problem::BadHeaderName);
    let get = "(drop (call $get_header_values (i32.const 0) (i32.const 32) (i32.const 3)
        (i32.const 64) (i32.const 9)))";
    refused(get, &[(32, "a b")], Problem::BadHeaderName);
}

#[test]
fn messages_are_framed_by_the_server() {
    for name in ["Transfer-Encoding", "connection", "Upgrade", "KEEP-ALIVE", "Proxy-Connection"] {
        let name_at = format!("(i32.const 32) (i32.const {})", name.len());
        for call in [
            format!("(call $set_header_value (i32.const 1) {name_at} {NAME})"),
            format!("(call $add_header_value (i32.const 0) {name_at} {NAME})"),
            format!("(call $remove_header (i32.const 0) {name_at})"),
        ] {
            refused(&call, &[(16, "n"), (32, name)], Problem::FramingHeader);
        }
    }
    let length =
        format!("(call $set_header_value (i32.const 1) (i32.const 32) (i32.const 14) {NAME})");
    refused(&length, &[(16, "x"), (32, "Content-Length")], Problem::BadHeaderValue);
}

#[test]
fn numbers_are_looked_at() {
    for status in ["0", "99", "1000", "-1", "0x7fffffff"] {
        let set = format!("(call $set_status_code (i32.const {status}))");
        refused(&set, &[], Problem::BadStatus);
    }
    for kind in ["4", "-1", "0x7fffffff"] {
        let k = format!("(i32.const {kind})");
        let buf = "(i32.const 64) (i32.const 9)";
        for call in [
            format!("(drop (call $get_header_names {k} {buf}))"),
            format!("(drop (call $get_header_values {k} {NAME} {buf}))"),
            format!("(call $set_header_value {k} {NAME} {NAME})"),
            format!("(call $remove_header {k} {NAME})"),
            format!("(drop (call $read_body {k} {buf}))"),
            format!("(call $write_body {k} {buf})"),
        ] {
            refused(&call, &[(16, "n")], Problem::BadKind);
        }
    }
    let none = "(drop (call $read_body (i32.const 0) (i32.const 0) (i32.const 0)))";
    refused(none, &[], Problem::EmptyBuffer);
}

/// Pointers and lengths that are made up: the guest traps as if it had accessed them.
#[test]
fn pointers_are_claims() {
    let places = [("65536", "1"), ("65535", "2"), ("-1", "1"), ("0", "65537"), ("-1", "-1")];
    for (at, len) in places {
        let p = format!("(i32.const {at}) (i32.const {len})");
        for call in [
            format!("(call $log (i32.const 0) {p})"),
            format!("(call $set_method {p})"),
            format!("(drop (call $get_header_values (i32.const 0) {p} {NAME}))"),
            format!("(call $write_body (i32.const 1) {p})"),
        ] {
            let mock = Arc::new(Mock::default());
            let ran = request(&mock, &format!("{call} (i64.const 0)"), &[(16, "n")]);
            let trapped = matches!(&ran.outcome,
                Outcome::Trapped(t) if t.code == TrapCode::MemoryOutOfBounds);
            let too_long = matches!(ran.problem(), Some(Problem::BodyTooLarge | Problem::TooLong));
            assert!(trapped || too_long, "{call}: {:?}", ran.outcome);
            assert_eq!(mock.calls(), [""; 0], "{call}");
        }
    }
    // Where something is written to, it counts what is written.
    for (at, limit) in [("65535", "9"), ("-1", "-1"), ("65536", "4")] {
        let p = format!("(i32.const {at}) (i32.const {limit})");
        for call in [
            format!("(drop (call $get_method {p}))"),
            format!("(drop (call $get_config {p}))"),
            format!("(drop (call $read_body (i32.const 0) {p}))"),
            format!("(drop (call $get_header_values (i32.const 0) {NAME} {p}))"),
        ] {
            let mock = Mock::with(|m| {
                m.state.get_mut().unwrap().headers[0] = vec![(b"n".into(), b"vv".into())];
            });
            let ran = request(&mock, &format!("{call} (i64.const 0)"), &[(16, "n")]);
            assert!(
                matches!(&ran.outcome, Outcome::Trapped(t)
                    if t.code == TrapCode::MemoryOutOfBounds),
                "{call}: {:?}",
                ran.outcome
            );
        }
    }
}

#[test]
fn everything_has_a_limit() {
    let forever = |body: &str| format!("(loop $l {body} (br $l)) (i64.const 0)");
    let limits = Limits {
        uri_bytes: 4,
        header_bytes: 6,
        header_changes: 3,
        headers_bytes: 20,
        body_bytes: 10,
        log_bytes: 16,
        log_messages: 2,
    };
    let mock = || Mock::with(|m| m.limits = limits);
    let set = format!("(call $set_header_value (i32.const 0) {NAME} {NAME})");
    let server = mock();
    let ran = request(&server, &forever(&set), &[(16, "n")]);
    assert_eq!((ran.problem(), server.calls().len()), (Some(Problem::TooManyHeaders), 3));

    let long = "(call $set_header_value (i32.const 0) (i32.const 16) (i32.const 1)
        (i32.const 16) (i32.const 6))";
    let ran = request(&mock(), &forever(long), &[(16, "nnnnnn")]);
    assert_eq!(ran.problem(), Some(Problem::TooLong));

    let write = "(call $write_body (i32.const 1) (i32.const 16) (i32.const 4))";
    let server = mock();
    let ran = request(&server, &forever(write), &[(16, "body")]);
    assert_eq!((ran.problem(), server.calls().len()), (Some(Problem::BodyTooLarge), 2));

    let uri = "(call $set_uri (i32.const 16) (i32.const 5))";
    let ran = request(&mock(), &forever(uri), &[(16, "/aaaa")]);
    assert_eq!(ran.problem(), Some(Problem::TooLong));

    // Too many messages are no reason to end.
    let log = "(call $log (i32.const 2) (i32.const 16) (i32.const 60000))";
    let server = mock();
    let times = format!(
        "(local $i i32) (loop $l {log} (br_if $l (i32.lt_u (local.tee $i
           (i32.add (local.get $i) (i32.const 1))) (i32.const 1000)))) (i64.const 0)"
    );
    let ran = request(&server, &times, &[(16, &"x".repeat(50))]);
    assert_eq!(ran.outcome, Outcome::Returned(Vec::new()));
    let cut = format!("Error {}...", "x".repeat(13));
    let last = "Warn the plugin logs too much: its further messages are left out";
    assert_eq!(server.calls(), [cut.as_str(), &cut, last]);
}

#[test]
fn the_phase_decides_what_is_possible() {
    let later = [
        "(call $set_method (i32.const 16) (i32.const 1))",
        "(call $set_uri (i32.const 32) (i32.const 1))",
        "(call $set_header_value (i32.const 0) (i32.const 16) (i32.const 1)
           (i32.const 16) (i32.const 1))",
        "(call $write_body (i32.const 0) (i32.const 16) (i32.const 1))",
    ];
    for call in later {
        let mock = Arc::new(Mock::default());
        let ran = response(&mock, "", call, &[(16, "n"), (32, "/")]);
        assert_eq!(ran.problem(), Some(Problem::WrongPhase), "{call}");
        assert_eq!(mock.calls(), [""; 0]);
    }
    let write = "(call $write_body (i32.const 1) (i32.const 16) (i32.const 1))";
    let ran = response(&Arc::default(), "", write, &[]);
    assert_eq!(ran.problem(), Some(Problem::NotBuffered));

    // In start-up code there is no request.
    let mock = Arc::new(Mock::default());
    let module = crate::guest::module(
        &mock,
        &crate::guest::wat(&Guest {
            start: "(drop (call $get_method (i32.const 0) (i32.const 9)))",
            request: "(i64.const 0)",
            ..Guest::default()
        }),
    );
    let e = lucet::Instance::new(&crate::guest::region(), &module).unwrap_err();
    assert_eq!(e.status(), lucet::Status::StartFailed);

    // After the response there is none any more, whatever else is run.
    let i = attached(
        &mock,
        &Guest {
            request: "(call $set_status_code (i32.const 200)) (i64.const 0)",
            ..Guest::default()
        },
    );
    i.http_handle_request().unwrap();
    let again = i.run("handle_request", &[]).unwrap();
    assert!(matches!(again, Outcome::HostError(v)
        if lucet::http::problem(v) == Some(Problem::NoRequest)));
    assert_eq!(mock.calls(), ["status 200"]);
}

#[test]
fn servers_refuse() {
    let mock = Mock::with(|m| m.state.get_mut().unwrap().refuses = true);
    for call in [
        "(call $set_status_code (i32.const 200))",
        "(drop (call $enable_features (i32.const 1)))",
        "(drop (call $read_body (i32.const 0) (i32.const 0) (i32.const 9)))",
        "(call $write_body (i32.const 1) (i32.const 0) (i32.const 9))",
        "(call $set_uri (i32.const 0) (i32.const 0))",
    ] {
        let ran = request(&mock, &format!("{call} (i64.const 0)"), &[]);
        assert_eq!(ran.problem(), Some(Problem::Refused), "{call}");
    }
    let mock = Mock::with(|m| m.state.get_mut().unwrap().fields[0] = None);
    let ran =
        request(&mock, "(drop (call $get_method (i32.const 0) (i32.const 9))) (i64.const 0)", &[]);
    assert_eq!(ran.problem(), Some(Problem::ServerFailed));
}

/// Any function with any arguments, in any order: the server hears only of what is allowed, which
/// the mock asserts, and every end is one of those that are meant.
#[test]
fn random_calls_end_well() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) % below
    };
    let words = ["0", "1", "2", "3", "16", "17", "65530", "65536", "-1", "4096", "200", "99999"];
    let data = [(16u32, "Name\r\n/path?a%20\0\x7fvalue")];
    let mut ends = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let mut body = String::new();
        for _ in 0..12 {
            let (name, params, result) =
                crate::guest::IMPORTS[random(crate::guest::IMPORTS.len() as u64) as usize];
            let args: String = params
                .split_whitespace()
                .map(|_| format!("(i32.const {})", words[random(words.len() as u64) as usize]))
                .collect();
            let call = format!("(call ${name} {args})");
            body += &if result.is_empty() { call } else { format!("(drop {call})") };
        }
        let ran = request(&Arc::default(), &format!("{body} (i64.const 0)"), &data);
        ends.insert(match &ran.outcome {
            Outcome::Returned(_) => "returned",
            Outcome::Trapped(t) if t.code == TrapCode::MemoryOutOfBounds => "trapped",
            Outcome::HostError(_) if ran.problem().is_some() => "problem",
            other => panic!("{body}: {other:?}"),
        });
    }
    assert!(ends.contains("problem") && ends.contains("trapped"), "{ends:?}");
}
