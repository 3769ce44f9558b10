//! What a trap costs beside time: nothing that was not asked for.

use crate::kit::{imports, settings, trapped};
use lucet::{Imports, Instance, InstanceRef, Outcome, Val};
use std::cell::Cell;
use std::ffi::c_void;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    COUNT.set(COUNT.get() + 1);
}

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(n: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(at: *mut c_void, size: usize) -> *mut c_void;
}

/// The C library's, which counts each thread's allocations: a program's own function of this name
/// stands in for it everywhere.
#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut c_void {
    count();
    // SAFETY: passed on.
    unsafe { __libc_malloc(size) }
}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn calloc(n: usize, size: usize) -> *mut c_void {
    count();
    // SAFETY: passed on.
    unsafe { __libc_calloc(n, size) }
}

/// As above.
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(at: *mut c_void, size: usize) -> *mut c_void {
    count();
    // SAFETY: the caller's promise.
    unsafe { __libc_realloc(at, size) }
}

fn allocations<R>(f: impl FnOnce() -> R) -> (usize, R) {
    let before = COUNT.get();
    let r = f();
    (COUNT.get() - before, r)
}

const GUEST: &str = r#"(module (memory 1)
  (func (export "unreachable") unreachable)
  (func (export "load") (drop (i32.load (i32.const -1))))
  (func (export "div") (param i32) (drop (i32.div_u (i32.const 1) (local.get 0))))
  (func $r (export "deep") (call $r)))"#;

/// Allocations of a run that traps, in the way a C caller makes it: without names.
fn of_a_trap(i: &InstanceRef, name: &str, args: &[Val]) -> usize {
    let (n, outcome) = allocations(|| i.run(name, args).unwrap());
    let named = trapped(outcome);
    assert!(named.function_name.is_some());
    i.reset().unwrap();
    // The name of the function is one, which only callers in Rust get.
    n - 1
}

#[test]
fn a_trap_allocates_nothing_for_a_backtrace_nobody_asked_for() {
    for s in settings(1) {
        let i = s.instance(GUEST, Imports::new());
        let kinds: [(&str, &[Val]); 4] =
            [("unreachable", &[]), ("load", &[]), ("div", &[Val::I32(0)]), ("deep", &[])];
        for on in [false, true, false] {
            i.set_backtrace(on).unwrap();
            for (name, args) in kinds {
                of_a_trap(&i, name, args);
                for _ in 0..3 {
                    let n = of_a_trap(&i, name, args);
                    // Its description; a block for the backtrace stays with the instance.
                    assert_eq!(n, 1, "{name}, backtraces {on}");
                }
                assert!(i.backtrace().is_err(), "a fresh instance has none");
            }
        }
    }
}

#[test]
fn the_first_backtrace_takes_one_block() {
    let s = settings(1)[0];
    let i = s.instance(GUEST, imports(&[]));
    of_a_trap(&i, "unreachable", &[]);
    i.set_backtrace(true).unwrap();
    assert_eq!(of_a_trap(&i, "unreachable", &[]), 2);
    assert_eq!(of_a_trap(&i, "unreachable", &[]), 1);
}

#[test]
fn a_run_that_ends_well_allocates_nothing() {
    let s = settings(1)[0];
    let m = s.module("(module (func (export \"f\")))", Imports::new());
    let i = Instance::new(&s.region(), &m).unwrap();
    let f = m.find("f", None).unwrap();
    for on in [false, true] {
        i.set_backtrace(on).unwrap();
        i.run_func(f, &[]).unwrap();
        let (n, outcome) = allocations(|| i.run_func(f, &[]).unwrap());
        assert_eq!((n, outcome), (0, Outcome::Returned(vec![])));
    }
}
