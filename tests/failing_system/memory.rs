//! Every allocation fails: alone, and with all that follow it.

use super::{failing, full, guest};
use crate::common::client::{program, run};
use std::fmt::Write;
use std::process::Command;

fn every_allocation(way: &str) {
    // Every second one or all, alone and with all that follow.
    let step = if full() { 1 } else { 2 };
    let text = run(&mut failing(&["memory", way, &step.to_string()], way));
    print!("{text}");
    let numbers: Vec<usize> = text.split(' ').filter_map(|w| w.parse().ok()).collect();
    let [allocations, points, refused, _] = numbers[..] else { panic!("{text}") };
    assert_eq!(points, 2 * allocations.div_ceil(step), "{text}");
    assert!(points >= 2_500 / step && refused > 100, "too few: {text}");
}

#[test]
fn every_allocation_fails_where_slots_wait_for_first_touch() {
    every_allocation("first-touch");
}

#[test]
fn every_allocation_fails_where_slots_are_copied() {
    every_allocation("copy");
}

#[test]
fn a_fresh_instance_of_a_warm_module_allocates_nothing() {
    for way in ["first-touch", "copy"] {
        let text = run(&mut failing(&["warm", way], &format!("warm-{way}")));
        print!("{text}");
        assert!(text.contains(": 0 allocations in 1000 warm requests"), "{text}");
    }
}

/// Modules whose lists and names take as much more memory than their files as they can.
fn expanding() -> Vec<(&'static str, String)> {
    let repeat = |n: usize, f: &dyn Fn(usize) -> String| {
        (0..n).fold(String::new(), |mut all, k| {
            let _ = write!(all, "{}", f(k));
            all
        })
    };
    let types = ["i32", "i64", "f32", "f64"];
    let many = |k: usize| {
        format!("(type (func (param {})))", {
            (0..7).map(|d| types[k >> (2 * d) & 3]).collect::<Vec<_>>().join(" ")
        })
    };
    vec![
        (
            "elements",
            format!(
                "(module (table 1 funcref) (elem funcref {}))",
                repeat(200_000, &|_| "(ref.null func)".into())
            ),
        ),
        (
            "exports",
            format!(
                "(module (func $f) {})",
                repeat(20_000, &|k| format!("(export \"{k}\" (func $f))"))
            ),
        ),
        ("types", format!("(module {})", repeat(10_000, &many))),
        (
            "imports",
            format!("(module {})", repeat(10_000, &|k| format!("(import \"a\" \"{k}\" (func))"))),
        ),
        (
            "globals",
            format!("(module {})", repeat(20_000, &|_| "(global i32 (i32.const 0))".into())),
        ),
        (
            "segments",
            format!(
                "(module (memory 1) (table 1 funcref) {})",
                repeat(10_000, &|_| "(data \"x\") (elem funcref)".into())
            ),
        ),
        (
            "functions",
            format!(
                "(module {})",
                repeat(5_000, &|k| format!("(func (export \"{k}\") (unreachable))"))
            ),
        ),
        (
            "names",
            format!(
                "(module (import \"{0}\" \"{0}\" (global i32)))",
                repeat(99_999, &|_| "\\01".into())
            ),
        ),
    ]
}

/// A module's room is large enough for whatever becomes of its sections.
#[test]
fn the_room_of_a_load_is_large_enough() {
    let files = expanding().into_iter().map(|(name, wat)| guest(name, &wat));
    let text = run(Command::new(program("failing", &[])).arg("load").args(files));
    print!("{text}");
}
