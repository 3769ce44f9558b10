//! Each function, as the specification of http-wasm has it.

use crate::guest::{Guest, IMPORTS, attached, module, request, response};
use crate::mock::Mock;
use lucet::Outcome;
use lucet::http::Next;
use lucet::http::abi::{Features, Level};
use std::sync::Arc;

const DONE: &str = "(i64.const 0)";

fn done() -> Outcome {
    Outcome::Returned(Vec::new())
}

#[test]
fn every_function_of_the_specification_is_there_with_its_type() {
    let mut listed = Vec::new();
    macro_rules! list {
        ($($name:ident($($param:ident: $ty:ty),*) -> $result:ty;)*) => {
            $(listed.push((stringify!($name), stringify!($($ty)*), stringify!($result)));)*
        };
    }
    lucet::http::abi::for_each_handler_function!(list);
    let wasm = |t: &str| t.replace("u32", "i32").replace("u64", "i64").replace("()", "");
    let mut ours: Vec<_> = listed.iter().map(|(n, p, r)| (*n, wasm(p), wasm(r))).collect();
    let mut theirs: Vec<_> =
        IMPORTS.iter().map(|(n, p, r)| (*n, (*p).to_owned(), (*r).to_owned())).collect();
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
}

/// A function that gives a text, called with buffers of several sizes.
#[test]
fn texts_are_given_whole_or_not_at_all() {
    for (name, text) in [
        ("get_method", "GET"),
        ("get_uri", "/a?b=c"),
        ("get_protocol_version", "HTTP/1.1"),
        ("get_source_addr", "192.0.2.1:4711"),
        ("get_config", "on=1"),
    ] {
        let len = text.len();
        let body = format!(
            "(call $r32 (call ${name} (i32.const 100) (i32.const {len})))
             (call $r32 (call ${name} (i32.const 200) (i32.const {})))
             (call $r32 (call ${name} (i32.const -1) (i32.const 0)))
             (call $r32 (call ${name} (i32.const 300) (i32.const 65000))) {DONE}",
            len - 1
        );
        let ran = request(&Arc::default(), &body, &[]);
        assert_eq!((&ran.outcome, ran.next), (&done(), Next::Respond), "{name}");
        assert_eq!(ran.results::<4>(), [len as u64; 4], "{name}");
        assert_eq!(ran.text(100, len + 1), format!("{text}|"), "{name}");
        assert_eq!(ran.text(200, len), "|".repeat(len), "{name}: too small");
        assert_eq!(ran.text(300, len + 1), format!("{text}|"), "{name}");
    }
}

#[test]
fn header_names_are_lower_case_and_each_is_there_once() {
    let body = format!(
        "(call $r64 (call $get_header_names (i32.const 0) (i32.const 100) (i32.const 16)))
         (call $r64 (call $get_header_names (i32.const 0) (i32.const 200) (i32.const 15)))
         (call $r64 (call $get_header_names (i32.const 1) (i32.const 300) (i32.const 99)))
         (call $r64 (call $get_header_names (i32.const 2) (i32.const 400) (i32.const 99))) {DONE}"
    );
    let ran = request(&Arc::default(), &body, &[]);
    assert_eq!(ran.outcome, done());
    assert_eq!(ran.results(), [3 << 32 | 16, 3 << 32 | 16, 1 << 32 | 7, 0]);
    assert_eq!(ran.text(100, 17), "host|x-a|accept||");
    assert_eq!(ran.text(200, 4), "||||", "too small");
    assert_eq!(ran.text(300, 7), "server|");
}

#[test]
fn header_values_are_all_there_and_names_ignore_case() {
    let body = format!(
        "(call $r64 (call $get_header_values (i32.const 0) (i32.const 16) (i32.const 3)
           (i32.const 100) (i32.const 5)))
         (call $r64 (call $get_header_values (i32.const 0) (i32.const 16) (i32.const 3)
           (i32.const 200) (i32.const 4)))
         (call $r64 (call $get_header_values (i32.const 0) (i32.const 32) (i32.const 4)
           (i32.const 300) (i32.const 99)))
         ;; into the name itself
         (call $r64 (call $get_header_values (i32.const 0) (i32.const 16) (i32.const 3)
           (i32.const 16) (i32.const 99))) {DONE}"
    );
    let ran = request(&Arc::default(), &body, &[(16, "X-a"), (32, "None")]);
    assert_eq!(ran.outcome, done());
    assert_eq!(ran.results(), [2 << 32 | 5, 2 << 32 | 5, 0, 2 << 32 | 5]);
    assert_eq!(ran.text(100, 6), "1|22||");
    assert_eq!(ran.text(200, 2), "||", "too small");
    assert_eq!(ran.text(16, 6), "1|22||");
}

#[test]
fn changes_reach_the_server() {
    let body = format!(
        "(call $set_method (i32.const 16) (i32.const 4))
         (call $set_uri (i32.const 32) (i32.const 8))
         (call $set_uri (i32.const 32) (i32.const 0))
         (call $set_header_value (i32.const 0) (i32.const 48) (i32.const 3)
           (i32.const 64) (i32.const 5))
         (call $add_header_value (i32.const 1) (i32.const 48) (i32.const 3)
           (i32.const 64) (i32.const 0))
         (call $remove_header (i32.const 1) (i32.const 48) (i32.const 3))
         (call $set_status_code (i32.const 404))
         (call $write_body (i32.const 1) (i32.const 64) (i32.const 5))
         (call $write_body (i32.const 1) (i32.const 64) (i32.const 2))
         (call $write_body (i32.const 0) (i32.const 0) (i32.const 0)) {DONE}"
    );
    let mock = Arc::new(Mock::default());
    let ran = request(&mock, &body, &[(16, "POST"), (32, "/x?y=%20"), (48, "X-B"), (64, "va;=l")]);
    assert_eq!((&ran.outcome, ran.problem()), (&done(), None));
    assert_eq!(
        mock.calls(),
        [
            "set Method POST",
            "set Uri /x?y=%20",
            "set Uri /",
            "Set Request X-B: va;=l",
            "Add Response X-B: ",
            "Remove Response X-B: ",
            "status 404",
            "write Response va;=l first=true",
            "write Response va first=false",
            "write Request  first=true",
        ]
    );
}

#[test]
fn bodies_are_read_to_their_end() {
    let read = "(call $r64 (call $read_body (i32.const 0) (i32.const 100) (i32.const 6)))";
    let rest = "(call $r64 (call $read_body (i32.const 0) (i32.const 106) (i32.const 65000)))";
    let ran = request(&Arc::default(), &format!("{read} {rest} {rest} {DONE}"), &[]);
    assert_eq!(ran.outcome, done());
    assert_eq!(ran.results(), [6, 1 << 32 | 4, 1 << 32]);
    assert_eq!(ran.text(100, 11), "hello body|");

    // A server that has little at a time is asked until the buffer is full.
    let slow = Mock::with(|m| m.state.get_mut().unwrap().chunk = Some(1));
    let ran = request(&slow, &format!("{read} {rest} {DONE}"), &[]);
    assert_eq!(ran.results(), [6, 1 << 32 | 4]);
    assert_eq!(ran.text(100, 11), "hello body|");
}

#[test]
fn features_are_what_server_and_plugin_agree_on() {
    let enable = "(call $r32 (call $enable_features (i32.const 3)))";
    let mock = Mock::with(|m| m.features = Features(6));
    let ran = request(&mock, &format!("{enable} {enable} {DONE}"), &[]);
    assert_eq!(ran.results(), [6, 6]);
    assert_eq!(mock.calls(), ["enable 2 true"], "once, and only what there is");

    // Enabled in start-up code: for each request, without one.
    let guest = Guest {
        start: "(drop (call $enable_features (i32.const 2)))",
        request: "(i64.const 1)",
        response: "(call $write_body (i32.const 1) (i32.const 0) (i32.const 1))",
        ..Guest::default()
    };
    let mock = Arc::new(Mock::default());
    let i = attached(&mock, &guest);
    assert_eq!(i.http_handle_request().unwrap().1, Next::Continue);
    assert_eq!(i.http_handle_response(true).unwrap(), done());
    assert_eq!(mock.calls(), ["enable 2 false", "write Response \0 first=true"]);
}

#[test]
fn trailers_are_there_for_who_enabled_them() {
    let get = "(call $r64 (call $get_header_names (i32.const 2) (i32.const 100) (i32.const 9)))";
    let set = "(call $set_header_value (i32.const 3) (i32.const 16) (i32.const 1)
                 (i32.const 16) (i32.const 1))";
    let enable = "(drop (call $enable_features (i32.const 4)))";
    let mock = Arc::new(Mock::default());
    let ran = request(&mock, &format!("{get} {enable} {get} {set} {DONE}"), &[(16, "T")]);
    assert_eq!((ran.outcome.clone(), ran.results()), (done(), [0, 1 << 32 | 4]));
    assert_eq!(mock.calls(), ["enable 4 true", "Set ResponseTrailers T: T"]);
}

#[test]
fn messages_have_levels() {
    let levels = (-2..=4)
        .map(|l| format!("(call $r32 (call $log_enabled (i32.const {l})))"))
        .collect::<String>();
    let logs = (-2..=4)
        .map(|l| format!("(call $log (i32.const {l}) (i32.const 16) (i32.const 4))"))
        .collect::<String>();
    let mock = Mock::with(|m| m.level = Level::Warn);
    let ran = request(&mock, &format!("{levels} {logs} {DONE}"), &[(16, "a\r\nb")]);
    assert_eq!(ran.results(), [0, 0, 0, 1, 1, 0, 0]);
    assert_eq!(mock.calls(), ["Warn a\\x0d\\x0ab", "Error a\\x0d\\x0ab"]);
}

#[test]
fn responses_are_seen_and_changed() {
    let all = "(call $r32 (local.get $ctx)) (call $r32 (local.get $error))
        (call $r32 (call $get_status_code))
        (call $r64 (call $read_body (i32.const 1) (i32.const 100) (i32.const 99)))
        (call $set_status_code (i32.const 201))
        (call $write_body (i32.const 1) (i32.const 16) (i32.const 3))
        (call $add_header_value (i32.const 1) (i32.const 16) (i32.const 3)
           (i32.const 16) (i32.const 3))";
    let mock = Mock::with(|m| m.state.get_mut().unwrap().status = 503);
    let ran = response(&mock, "(drop (call $enable_features (i32.const 2)))", all, &[(16, "new")]);
    assert_eq!((&ran.outcome, ran.problem()), (&done(), None));
    assert_eq!(ran.results(), [7, 0, 503, 1 << 32 | 13]);
    assert_eq!(ran.text(100, 13), "from upstream");
    assert_eq!(
        mock.calls(),
        ["enable 2 true", "status 201", "write Response new first=true", "Add Response new: new"]
    );

    // Without buffering the body went by.
    let read = "(call $r64 (call $read_body (i32.const 1) (i32.const 100) (i32.const 99)))";
    assert_eq!(response(&Arc::default(), "", read, &[]).results(), [1 << 32]);
}

#[test]
fn what_is_no_plugin_is_told_apart() {
    let mock = Arc::new(Mock::default());
    for (wat, word) in [
        ("(module)", "exports no function"),
        ("(module (func (export \"handle_request\")))", "() -> i64"),
        (
            "(module (func (export \"handle_request\") (result i64) (i64.const 0))
               (func (export \"handle_response\")))",
            "(i32, i32) -> ()",
        ),
    ] {
        let e = module(&mock, wat).http_plugin().unwrap_err();
        assert!(e.message().contains(word), "{wat}: {e}");
    }
    let request = "(module (func (export \"handle_request\") (result i64) (i64.const 1)))";
    assert!(!module(&mock, request).http_plugin().unwrap().handles_responses());
}
