//! Requests and instances: phases in their order, suspension, limits of time.

use crate::guest::{Guest, attached, module, region, request, wat};
use crate::mock::{Mock, REQUEST};
use lucet::http::abi::{Problem, Wait};
use lucet::http::{Next, waits_for};
use lucet::{Instance, Outcome, Status};
use std::sync::Arc;

fn done() -> Outcome {
    Outcome::Returned(Vec::new())
}

#[test]
fn phases_come_in_their_order() {
    let mock = Arc::new(Mock::default());
    let guest = Guest { request: "(i64.const 1)", response: "nop", ..Guest::default() };
    let m = module(&mock, &wat(&guest));
    let i = Instance::new(&region(), &m).unwrap();
    let wrong = |r: lucet::Error, word: &str| {
        assert_eq!(r.status(), Status::WrongState);
        assert!(r.message().contains(word), "{r}");
    };
    wrong(i.http_handle_request().unwrap_err(), "no request is attached");
    wrong(i.http_handle_response(false).unwrap_err(), "no request is attached");
    i.http_attach(REQUEST).unwrap();
    wrong(i.http_handle_response(false).unwrap_err(), "not handled yet");
    assert_eq!(i.http_handle_request().unwrap(), (done(), Next::Continue));
    wrong(i.http_handle_request().unwrap_err(), "handled already");
    assert!(i.http_resume(0).is_err());
    assert_eq!(i.http_handle_response(false).unwrap(), done());
    wrong(i.http_handle_response(false).unwrap_err(), "done");
    wrong(i.http_handle_request().unwrap_err(), "done");
    // The next request, or the same after a reset.
    i.reset().unwrap();
    wrong(i.http_handle_request().unwrap_err(), "no request is attached");
    i.http_attach(REQUEST).unwrap();
    assert_eq!(i.http_handle_request().unwrap(), (done(), Next::Continue));
    // The next instance in this slot knows nothing of it.
    drop(i);
    let i = Instance::new(&region(), &m).unwrap();
    wrong(i.http_handle_request().unwrap_err(), "no request is attached");
}

#[test]
fn next_is_what_the_plugin_says() {
    for (word, response, next) in [
        ("0", "nop", Next::Respond),
        ("0x500000000", "nop", Next::Respond),
        ("1", "nop", Next::Continue),
        ("1", "", Next::ContinueWithoutResponse),
    ] {
        let body = format!("(i64.const {word})");
        let guest = Guest { request: &body, response, ..Guest::default() };
        let i = attached(&Arc::default(), &guest);
        assert_eq!(i.http_handle_request().unwrap(), (done(), next), "{word}");
    }
}

#[test]
fn bodies_that_are_not_there_yet_suspend_the_plugin() {
    let mock = Mock::with(|m| m.state.get_mut().unwrap().waits = 3);
    let body = "(call $r64 (call $read_body (i32.const 0) (i32.const 100) (i32.const 99)))
        (call $write_body (i32.const 1) (i32.const 100) (i32.const 5)) (i64.const 1)";
    let guest = Guest { request: body, response: "nop", ..Guest::default() };
    let i = attached(&mock, &guest);
    let (mut outcome, mut next) = i.http_handle_request().unwrap();
    for _ in 0..3 {
        let Outcome::Yielded(value) = outcome else { panic!("{outcome:?}") };
        assert_eq!(waits_for(value), Some(Wait::ReadBody));
        assert_eq!(i.http_handle_request().unwrap_err().status(), Status::WrongState);
        (outcome, next) = i.http_resume(0).unwrap();
        mock.state.lock().unwrap().calls.push("asked again".into());
    }
    assert_eq!((outcome, next), (done(), Next::Continue));
    assert_eq!(mock.calls().len(), 4);
    assert!(mock.calls().contains(&"write Response hello first=true".to_owned()));

    let mock = Mock::with(|m| m.state.get_mut().unwrap().waits = 1);
    let write = "(call $write_body (i32.const 1) (i32.const 16) (i32.const 2)) (i64.const 0)";
    let i = attached(&mock, &Guest { request: write, data: &[(16, "ab")], ..Guest::default() });
    let (outcome, _) = i.http_handle_request().unwrap();
    let Outcome::Yielded(value) = outcome else { panic!("{outcome:?}") };
    assert_eq!(waits_for(value), Some(Wait::WriteBody));
    assert_eq!(i.http_resume(0).unwrap(), (done(), Next::Respond));
    assert_eq!(mock.calls(), ["write Response ab first=true"]);
}

/// A client that goes away while its plugin waits.
#[test]
fn suspended_plugins_can_be_freed() {
    for _ in 0..100 {
        let mock = Mock::with(|m| m.state.get_mut().unwrap().waits = 1);
        let read = "(drop (call $read_body (i32.const 0) (i32.const 0) (i32.const 9)))
            (i64.const 0)";
        let i = attached(&mock, &Guest { request: read, ..Guest::default() });
        assert!(matches!(i.http_handle_request().unwrap().0, Outcome::Yielded(_)));
        drop(i);
    }
}

#[test]
fn loops_end_with_their_time() {
    let mock = Arc::new(Mock::default());
    let i =
        attached(&mock, &Guest { request: "(loop $l (br $l)) (i64.const 0)", ..Guest::default() });
    i.set_time_limit(2_000_000).unwrap();
    assert_eq!(i.http_handle_request().unwrap().0, Outcome::TimedOut);
    let i = attached(
        &mock,
        &Guest {
            request: "(local $n i32) (loop $l (br_if $l (i32.lt_u (local.tee $n
            (i32.add (local.get $n) (i32.const 1))) (i32.const 300000000)))) (i64.const 1)",
            response: "nop",
            ..Guest::default()
        },
    );
    i.set_time_slice(1_000_000).unwrap();
    let (mut outcome, mut next) = i.http_handle_request().unwrap();
    let mut slices = 1;
    while outcome == Outcome::Preempted {
        slices += 1;
        (outcome, next) = i.http_resume(0).unwrap();
    }
    assert_eq!((outcome, next), (done(), Next::Continue));
    assert!(slices > 1);
}

#[test]
fn waiting_where_one_cannot_ends_the_plugin() {
    let mock = Mock::with(|m| m.state.get_mut().unwrap().waits = 9);
    let read = "(drop (call $read_body (i32.const 0) (i32.const 0) (i32.const 9))) (i64.const 0)";
    let ran = request(&mock, read, &[]);
    assert!(matches!(ran.outcome, Outcome::Yielded(_)), "outside it can: {:?}", ran.outcome);
    for problem in Problem::ALL {
        assert_eq!(Problem::from_number(problem as u32), Some(problem));
        let text = problem.text();
        assert_eq!(text.find('\0'), Some(text.len() - 1), "{text:?}");
    }
}
