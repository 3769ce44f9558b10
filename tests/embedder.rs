//! What embedders do to a process, and the library has to live with: host functions that leave,
//! the library loaded and closed, signal handlers and signal stacks of other runtimes, small
//! stacks. Each case is a program, in a process of its own.

mod common;

use common::client::{artifact, cpp_program, guest, library, out, program, run};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

const LEAVING: &str = r#"(module
  (import "env" "leave" (func $leave)) (import "env" "wait" (func $wait (result i32)))
  (import "env" "nest" (func $nest))
  (func (export "direct") (call $leave))
  (func (export "later") (drop (call $wait)) (call $leave))
  (func (export "inside") (drop (call $wait)))
  (func (export "nested") (call $nest))
  (func (export "seven") (result i32) (i32.const 7)))"#;

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// An exception ends the process, wherever it leaves from. A thread may end in a host function, by
/// `pthread_exit` or by being cancelled, and `longjmp` may leave it: the instance is faulted when
/// the thread is gone. Out of what finishes a suspended call, which the library itself calls, only
/// `longjmp` leads; ending the thread there ends the process.
#[test]
fn host_functions_that_leave() {
    let (program, guest) = (cpp_program("unwinds"), guest("embedder-leaving", LEAVING));
    for place in ["direct", "later", "nested", "inside"] {
        for way in ["throw", "cancel", "exit", "jump"] {
            let output = Command::new(&program).arg(&guest).args([way, place]).output().unwrap();
            let ends = way == "throw" || place == "inside" && way != "jump";
            let wanted = if ends { (None, Some(libc::SIGABRT)) } else { (Some(0), None) };
            let found = (output.status.code(), output.status.signal());
            assert_eq!(found, wanted, "{way}, {place}: {}", text(&output));
        }
    }
}

#[test]
fn the_library_stays_when_it_is_closed() {
    let said = run(Command::new(program("reopen", &["-ldl"]))
        .arg(library().join("liblucet.so.0"))
        .arg(artifact())
        .arg("10000"));
    assert!(said.contains("loaded and closed 10000 times"), "{said}");
}

/// Runtimes that use faults themselves, before the library and after. Who comes after it and has
/// handlers without `SA_ONSTACK` takes stack overflows from it: the kernel ends the process.
#[test]
fn handlers_of_other_runtimes() {
    let program = program("handlers", &[]);
    let flags: [&[&str]; 7] = [
        &[],
        &["onstack"],
        &["nodefer"],
        &["onstack", "nodefer"],
        &["onstack", "own-stack"],
        &["no-overflow"],
        &["no-overflow", "nodefer"],
    ];
    for when in ["before", "after"] {
        for flags in flags {
            let output =
                Command::new(&program).arg(artifact()).arg(when).args(flags).output().unwrap();
            let on_stack = flags.contains(&"onstack") || flags.contains(&"no-overflow");
            let wanted = match when == "before" || on_stack {
                true => (Some(0), None),
                false => (None, Some(libc::SIGSEGV)),
            };
            let found = (output.status.code(), output.status.signal());
            assert_eq!(found, wanted, "{when} {flags:?}: {}", text(&output));
        }
    }
}

/// Signal stacks of every size, and none. One that a host function takes away is not put back: the
/// next stack overflow on that thread ends the process.
#[test]
fn signal_stacks_of_every_size() {
    let program = program("altstack", &[]);
    for (how, wanted) in [
        ("sizes", (Some(0), None)),
        ("none", (Some(0), None)),
        ("removed", (Some(0), None)),
        ("removed-and-overflow", (None, Some(libc::SIGSEGV))),
    ] {
        let output = Command::new(&program).arg(artifact()).arg(how).output().unwrap();
        println!("{}", text(&output));
        let found = (output.status.code(), output.status.signal());
        assert_eq!(found, wanted, "{how}: {}", text(&output));
    }
}

/// Threads with little stack may do everything.
#[test]
fn calls_need_little_stack() {
    let saved = out().join(format!("stacks-saved-{}.so", std::process::id()));
    let said = run(Command::new(program("stacks", &[]))
        .arg(artifact())
        .arg(&saved)
        .arg((32 << 10).to_string()));
    println!("{said}");
    std::fs::remove_file(saved).unwrap();
}
