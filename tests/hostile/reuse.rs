//! A slot that was used by one instance shows nothing of it to the next one.

use super::kit::{Rng, Setting, imports, returned, settings, vmctx};
use lucet::{Control, Imports, Instance, Module, Outcome, Region, RegionConfig, Rung, Status, Val};
use std::ffi::c_void;
use std::sync::Arc;

const PAGE: usize = 65536;
const PATTERN: u8 = 0xa5;

extern "C" fn suspend(ctx: *const Control, _: usize, v: i64) -> i64 {
    vmctx(ctx).yield_value(v as u64, None, 0).unwrap();
    0
}

fn host() -> Imports {
    imports(&[("y", "(i64) -> i64", suspend as *const c_void, 0)])
}

/// A module that can dirty all that an instance has, and what a fresh instance of it looks like.
struct Kind {
    module: Arc<Module>,
    fresh: Vec<u8>,
    pages: usize,
    max: usize,
    has_memory: bool,
    starts: bool,
}

const LOCALS: usize = 24;

fn locals() -> (String, String) {
    let (mut declare, mut or) = (String::new(), String::from("(i64.const 0)"));
    for n in 0..LOCALS {
        let (ty, get) = [
            ("i32", format!("(i64.extend_i32_u (local.get $l{n}))")),
            ("i64", format!("(local.get $l{n})")),
            ("f32", format!("(i64.extend_i32_u (i32.reinterpret_f32 (local.get $l{n})))")),
            ("f64", format!("(i64.reinterpret_f64 (local.get $l{n}))")),
        ][n % 4]
            .clone();
        declare += &format!("(local $l{n} {ty})");
        or = format!("(i64.or {or} {get})");
    }
    (declare, or)
}

fn wat(pages: usize, max: usize, has_memory: bool, data: &[usize], start: bool) -> String {
    let (declare, or) = locals();
    let mut data_text = String::new();
    for at in data {
        data_text += &format!("(data (i32.const {at}) \"image\")");
    }
    let memory = if has_memory {
        format!("(memory (export \"m\") {pages} {max}) {data_text} (data $p \"passive\")")
    } else {
        String::new()
    };
    let fill = if has_memory {
        "(drop (memory.grow (i32.sub (i32.const MAX) (memory.size))))
         (memory.fill (i32.const 0) (i32.const 0xa5) (i32.mul (memory.size) (i32.const 65536)))
         (data.drop $p)"
            .replace("MAX", &max.to_string())
    } else {
        String::new()
    };
    let passive =
        if has_memory { "(memory.init $p (i32.const 0) (i32.const 0) (i32.const 7))" } else { "" };
    let start = if start { "(start $fails)" } else { "" };
    format!(
        r#"(module (import "env" "y" (func $y (param i64) (result i64)))
  {memory}
  (table $t (export "t") 4 8 funcref) (elem (table $t) (i32.const 1) func $a $b)
  (elem $e func $a $a $a)
  (table $x (export "x") 3 9 externref)
  (global $gi (export "gi") (mut i32) (i32.const 7))
  (global $gl (export "gl") (mut i64) (i64.const -8))
  (global $gf (export "gf") (mut f32) (f32.const 1.5))
  (global $gd (export "gd") (mut f64) (f64.const 0))
  (global $gx (export "gx") (mut externref) (ref.null extern))
  (func $a) (func $b (param i32))
  (func $deep (param i32 i64 f64 f64 f32) (result i64)
    (if (result i64) (i32.eqz (local.get 0)) (then (local.get 1))
      (else (i64.xor (local.get 1) (call $deep (i32.sub (local.get 0) (i32.const 1))
        (i64.add (local.get 1) (i64.reinterpret_f64 (f64.mul (local.get 2) (local.get 3))))
        (local.get 3) (local.get 2) (f32.neg (local.get 4)))))))
  (func $dirty (export "dirty") (param externref)
    {fill}
    (global.set $gi (i32.const 0xa5a5a5a5)) (global.set $gl (i64.const 0xa5a5a5a5a5a5a5a5))
    (global.set $gf (f32.reinterpret_i32 (i32.const 0xa5a5a5a5)))
    (global.set $gd (f64.reinterpret_i64 (i64.const 0xa5a5a5a5a5a5a5a5)))
    (global.set $gx (local.get 0))
    (drop (table.grow $t (ref.func $b) (i32.const 2)))
    (drop (table.grow $x (local.get 0) (i32.const 3)))
    (table.fill $t (i32.const 0) (ref.func $b) (i32.const 6))
    (table.fill $x (i32.const 0) (local.get 0) (i32.const 6))
    (elem.drop $e)
    (drop (call $deep (i32.const 500) (i64.const 0xa5a5a5a5a5a5a5a5)
      (f64.reinterpret_i64 (i64.const 0xa5a5a5a5a5a5a5a5))
      (f64.reinterpret_i64 (i64.const 0x25a5a5a5a5a5a5a5))
      (f32.reinterpret_i32 (i32.const 0xa5a5a5a5)))))
  (func $fails (call $dirty (ref.null extern)) unreachable)
  (func (export "trap") (param externref) (call $dirty (local.get 0)) unreachable)
  (func (export "yield") (param externref)
    (call $dirty (local.get 0)) (drop (call $y (i64.const 5))))
  (func (export "locals") (result i64) {declare} {or})
  (func (export "grow") (param i32) (result i32) GROW)
  (func (export "passive") {passive}
    (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 3)))
  {start})"#
    )
    .replace("GROW", if has_memory { "(memory.grow (local.get 0))" } else { "(i32.const -1)" })
}

fn kind(s: &Setting, pages: usize, max: usize, data: &[usize], has_memory: bool) -> Kind {
    let text = wat(pages, max, has_memory, data, false);
    let mut fresh = vec![0u8; pages * PAGE];
    for at in data {
        fresh[*at..*at + 5].copy_from_slice(b"image");
    }
    Kind { module: s.module(&text, host()), fresh, pages, max, has_memory, starts: false }
}

fn kinds(s: &Setting) -> Vec<Kind> {
    let mut all = vec![
        kind(s, 1, 4, &[], true),
        kind(s, 1, 1, &[0, 4090, 65531], true),
        kind(s, 1, 3, &[4091, 8192, 61440], true),
        kind(s, 2, 2, &[65536 + 10, 131_067], true),
        kind(s, 2, 5, &[65536], true),
        kind(s, 3, 4, &[131_072 + 100, 4095], true),
        kind(s, 256, 256, &[4095, 16_777_211, 1 << 20], true),
        kind(s, 0, 0, &[], false),
        kind(s, 0, 2, &[], true),
    ];
    let module = s.module(&wat(2, 4, true, &[65000, 65536], true), host());
    all.push(Kind { module, fresh: vec![], pages: 2, max: 4, has_memory: true, starts: true });
    all
}

fn assert_clean(bytes: &[u8], fresh: &[u8], what: &str) {
    if bytes != fresh {
        let at = bytes.iter().zip(fresh).position(|(a, b)| a != b).unwrap_or(fresh.len());
        panic!("{what}: byte {at:#x} is {:#x}, not {:#x}", bytes[at], fresh[at]);
    }
}

/// Looks at everything there is to see in a fresh instance.
fn inspect(i: &Instance, k: &Kind, buffer: &mut Vec<u8>, grow: bool, what: &str) {
    assert_eq!(returned(i.run("locals", &[]).unwrap()), [Val::I64(0)], "{what}");
    for (g, v) in [
        ("gi", Val::I32(7)),
        ("gl", Val::I64(-8)),
        ("gf", Val::F32(1.5)),
        ("gd", Val::F64(0.0)),
        ("gx", Val::ExternRef(0)),
    ] {
        assert_eq!(i.global_get(g).unwrap(), v, "{what}: {g}");
    }
    assert_eq!(i.table_elements("x").unwrap(), [0; 3], "{what}");
    let t = i.table_elements("t").unwrap();
    assert_eq!(t.iter().map(|e| *e != 0).collect::<Vec<_>>(), [false, true, true, false], "{what}");
    assert_ne!(t[1], t[2], "{what}");
    if !k.has_memory {
        assert_eq!(i.memory_size().unwrap(), 0);
        return;
    }
    assert_eq!(i.memory_size().unwrap() as usize, k.pages * PAGE, "{what}");
    buffer.resize(k.pages * PAGE, 1);
    i.memory_read(0, buffer).unwrap();
    assert_clean(buffer, &k.fresh, what);
    if grow {
        let more = (k.max - k.pages) as i32;
        let old = returned(i.run("grow", &[Val::I32(more)]).unwrap());
        assert_eq!(old, [Val::I32(k.pages as i32)], "{what}");
        assert_eq!(returned(i.run("grow", &[Val::I32(1)]).unwrap()), [Val::I32(-1)], "{what}");
        buffer.resize((k.max - k.pages) * PAGE, 1);
        i.memory_read((k.pages * PAGE) as u64, buffer).unwrap();
        assert_clean(buffer, &vec![0; buffer.len()], &format!("{what}, grown"));
    }
    if k.pages > 0 {
        i.run("passive", &[]).unwrap();
        assert!(i.table_elements("t").unwrap()[..3].iter().all(|e| *e == t[1]), "{what}");
        let mut seven = [0; 7];
        i.memory_read(0, &mut seven).unwrap();
        assert_eq!(&seven, b"passive", "{what}");
    }
}

fn one(r: &Arc<Region>, k: &Kind, rng: &mut Rng, buffer: &mut Vec<u8>, what: &str) {
    if k.starts {
        let e = Instance::new(r, &k.module).unwrap_err();
        assert_eq!(e.status(), Status::StartFailed);
        return;
    }
    let i = Instance::new(r, &k.module).unwrap();
    inspect(&i, k, buffer, rng.below(2) == 0, what);
    let secret = [Val::ExternRef(0xa5a5_a5a5_a5a5_a5a5)];
    for _ in 0..=rng.below(2) {
        match rng.below(4) {
            0 => {
                returned(i.run("dirty", &secret).unwrap());
            }
            1 => assert!(matches!(i.run("trap", &secret).unwrap(), Outcome::Trapped(_))),
            2 => assert_eq!(i.run("yield", &secret).unwrap(), Outcome::Yielded(5)),
            _ => {
                assert_eq!(i.run("yield", &secret).unwrap(), Outcome::Yielded(5));
                returned(i.resume(0).unwrap());
            }
        }
        let mut byte = [0];
        if k.max > 0 {
            i.memory_read((k.max * PAGE) as u64 - 1, &mut byte).unwrap();
            assert_eq!(byte, [PATTERN], "{what}: the guest dirtied nothing");
        }
        match rng.below(3) {
            0 => {
                i.reset().unwrap();
                inspect(&i, k, buffer, rng.below(2) == 0, &format!("{what}, reset"));
                if rng.below(2) == 0 {
                    i.reset().unwrap();
                }
            }
            _ => return,
        }
        if i.run("locals", &[]).is_err() {
            return;
        }
    }
}

/// A region of the setting for each way of resetting that this kernel has.
pub fn each_rung(s: &Setting, mut f: impl FnMut(Rung, Arc<Region>)) {
    for rung in [Rung::FirstTouch, Rung::PagemapScan, Rung::CopyAndClear, Rung::Decommit] {
        match Region::new(RegionConfig { reset: Some(rung), ..s.config }) {
            Ok(r) => f(rung, r),
            Err(e) => {
                assert_eq!(e.status(), Status::Unsupported, "{e}");
                assert!(rung > Rung::CopyAndClear, "{rung:?} needs nothing of the kernel");
                eprintln!("{rung:?}: {e}");
            }
        }
    }
}

fn dirty_reuse(s: &Setting, seed: u64) {
    each_rung(s, |rung, r| reuse_by(s, seed, rung, &r));
}

fn reuse_by(s: &Setting, seed: u64, rung: Rung, r: &Arc<Region>) {
    let mut rng = Rng(seed);
    let (kinds, mut buffer) = (kinds(s), Vec::new());
    let mut history = Vec::new();
    for n in 0..1200 {
        let large = rng.below(20) == 0;
        let k = loop {
            let k = rng.below(kinds.len());
            if large || kinds[k].pages < 256 {
                break k;
            }
        };
        history.push(k);
        let last = &history[history.len().saturating_sub(4)..];
        let what =
            format!("{rung:?} {:?}/{} {seed:#x} {n} kinds {last:?}", s.shape, s.config.compact);
        one(r, &kinds[k], &mut rng, &mut buffer, &what);
        assert_eq!(r.live(), 0);
    }
}

#[test]
fn t_dirty_reuse_guarded() {
    dirty_reuse(&settings(1)[0], 0x5eed_0001);
}

#[test]
fn t_dirty_reuse_compact_code_in_a_guarded_region() {
    dirty_reuse(&settings(1)[1], 0x5eed_0002);
}

#[test]
fn t_dirty_reuse_compact() {
    dirty_reuse(&settings(1)[2], 0x5eed_0003);
}

#[test]
fn grown_memory_is_zero_after_a_larger_module_used_the_slot() {
    for s in settings(1) {
        let (large, small) = (kind(&s, 2, 2, &[65536 + 10], true), kind(&s, 1, 4, &[], true));
        each_rung(&s, |rung, r| {
            drop(Instance::new(&r, &large.module).unwrap());
            let i = Instance::new(&r, &small.module).unwrap();
            inspect(&i, &small, &mut Vec::new(), true, &format!("{rung:?} {s:?}"));
        });
    }
}
