//! Tables as a way to take memory: however many a module has, together they stay below a limit,
//! and a large one that nobody writes costs nothing.

use super::kit::{returned, settings, trapped};
use lucet::{Group, Imports, Instance, Outcome, TrapCode, Val};

fn grow(i: &Instance, name: &str, by: i32) -> i32 {
    match returned(i.run(name, &[Val::I32(by)]).unwrap())[..] {
        [Val::I32(v)] => v,
        ref other => panic!("{other:?}"),
    }
}

const ALMOST: &str = r#"(module
  (table $large 9999990 funcref) (table $a 0 funcref) (table $b 1 externref)
  (elem (table $large) (i32.const 9000000) func $f)
  (func $f)
  (func (export "grow large") (param i32) (result i32)
    (table.grow $large (ref.null func) (local.get 0)))
  (func (export "grow a") (param i32) (result i32) (table.grow $a (ref.func $f) (local.get 0)))
  (func (export "grow b") (param i32) (result i32)
    (table.grow $b (ref.null extern) (local.get 0)))
  (func (export "call") (param i32) (call_indirect $large (local.get 0))))"#;

#[test]
fn all_tables_of_an_instance_grow_to_one_limit() {
    for s in settings(1) {
        let i = s.instance(ALMOST, Imports::new());
        assert_eq!((grow(&i, "grow a", 5), grow(&i, "grow b", 5)), (0, -1));
        assert_eq!((grow(&i, "grow b", 4), grow(&i, "grow b", 1)), (1, -1));
        assert_eq!((grow(&i, "grow a", 1), grow(&i, "grow large", 1)), (-1, -1));
        assert_eq!((grow(&i, "grow a", 0), grow(&i, "grow large", 0)), (5, 9_999_990));
        returned(i.run("call", &[Val::I32(9_000_000)]).unwrap());
        let trap = trapped(i.run("call", &[Val::I32(8_999_999)]).unwrap());
        assert_eq!(trap.code, TrapCode::IndirectCallToNull);
        i.reset().unwrap();
        assert_eq!((grow(&i, "grow a", 10), grow(&i, "grow a", 9)), (-1, 0));
    }
}

#[test]
fn tables_that_begin_with_too_much_are_refused() {
    let tables = "(table 10000000 funcref)".repeat(40);
    for wat in [format!("(module {tables})"), format!("(module {ALMOST_ALL} (table 1 funcref))")] {
        let e = lucetc::compile(wat.as_bytes(), &lucetc::Options::default()).unwrap_err();
        assert!(e.to_string().contains("elements together, the limit is 10000000"), "{e}");
    }
    // Imported ones are somebody else's.
    let wat = format!(r#"(module (import "o" "t" (table 1 funcref)) {ALMOST_ALL})"#);
    let s = settings(2)[0];
    let mut g = Group::new(&s.region());
    let owner = s.linkable(r#"(module (table (export "t") 1 funcref))"#, Imports::new());
    g.instantiate(Some("o"), &owner).unwrap();
    g.instantiate(None, &s.linkable(&wat, Imports::new())).unwrap();
}

const ALMOST_ALL: &str = "(table 10000000 funcref)";

const LONG: &str = r#"(module
  (table $t 4900000 funcref) (table $from 4900000 funcref)
  (elem (table $from) (i32.const 0) func $f) (elem (table $from) (i32.const 4899999) func $f)
  (func $f)
  (func (export "fill")
    (table.fill $t (i32.const 0) (ref.func $f) (i32.const 4900000)) (loop $l (br $l)))
  (func (export "copy")
    (table.fill $t (i32.const 4899999) (ref.func $f) (i32.const 1))
    (table.copy $t $from (i32.const 0) (i32.const 0) (i32.const 4899999)) (loop $l (br $l)))
  (func (export "is_null") (param i32) (result i32) (ref.is_null (table.get $t (local.get 0)))))"#;

/// What is left of a table operation when its run is ended is not done: the first entries are
/// there, later ones are not. When that happens is a matter of luck, so time goes up slowly.
#[test]
fn table_operations_end_with_their_run() {
    let i = settings(1)[0].instance(LONG, Imports::new());
    let null = |at: i32| returned(i.run("is_null", &[Val::I32(at)]).unwrap()) == [Val::I32(1)];
    let partly = |milliseconds: u64| {
        i.set_time_limit(milliseconds * 1_000_000).unwrap();
        assert_eq!(i.run("fill", &[]).unwrap(), Outcome::TimedOut);
        i.set_time_limit(0).unwrap();
        i.recover().unwrap();
        let partly = !null(0) && null(4_899_999);
        i.reset().unwrap();
        partly
    };
    assert!((1..200).any(partly), "every fill was done to its end or not at all");
    i.set_time_limit(10_000_000).unwrap();
    assert_eq!(i.run("copy", &[]).unwrap(), Outcome::TimedOut);
}
