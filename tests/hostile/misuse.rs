//! Handles used wrongly: freed, freed twice, of the slot's former owner, from inside the guest.

use super::kit::{imports, returned, settings, vmctx};
use lucet::{Control, Imports, Instance, InstanceRef, Outcome, Status, Val};
use std::ffi::c_void;
use std::sync::Mutex;

const GUEST: &str = r#"(module (memory (export "m") 1) (data (i32.const 0) "abc")
  (global (export "g") (mut i32) (i32.const 1)) (table (export "t") 1 funcref)
  (func (export "f") (result i32) (i32.load8_u (i32.const 0)))
  (func (export "bad") unreachable))"#;

fn all_refused(i: &InstanceRef, status: Status) {
    let mut byte = [0];
    let got = [
        i.run("f", &[]).map(|_| ()),
        i.resume(0).map(|_| ()),
        i.reset(),
        i.free(),
        i.module().map(|_| ()),
        i.set_user_data(1),
        i.memory_size().map(|_| ()),
        i.memory_read(0, &mut byte),
        i.memory_write(0, &byte),
        i.memory_range(0, 1).map(|_| ()),
        i.global_get("g").map(|_| ()),
        i.global_set("g", Val::I32(1)),
        i.table_elements("t").map(|_| ()),
    ];
    for (n, r) in got.into_iter().enumerate() {
        assert_eq!(r.map_err(|e| e.status()), Err(status), "call {n}");
    }
}

#[test]
fn freed_handles_stay_stale_after_reuse() {
    for s in settings(1) {
        let (r, m) = (s.region(), s.module(GUEST, Imports::new()));
        let mut old: Vec<InstanceRef> = Vec::new();
        for _ in 0..50 {
            let i = Instance::new(&r, &m).unwrap();
            let fresh = *i;
            assert!(!old.contains(&fresh));
            assert_eq!(Instance::new(&r, &m).unwrap_err().status(), Status::RegionFull);
            for o in &old {
                all_refused(o, Status::InvalidHandle);
                let (index, generation) = o.parts();
                let again = InstanceRef::from_parts(index, generation).unwrap();
                all_refused(&again, Status::InvalidHandle);
            }
            assert_eq!(returned(i.run("f", &[]).unwrap()), [Val::I32(97)]);
            let kept = i.into_ref();
            kept.free().unwrap();
            assert_eq!(kept.free().unwrap_err().status(), Status::InvalidHandle);
            old.push(kept);
        }
    }
    for index in [0, 1, 255, 256, 65535, 1 << 22, u32::MAX] {
        if let Some(r) = InstanceRef::from_parts(index, 0xffff_ff00) {
            all_refused(&r, Status::InvalidHandle);
        }
    }
}

#[test]
fn dropping_after_free_is_nothing() {
    for s in settings(1) {
        let (r, m) = (s.region(), s.module(GUEST, Imports::new()));
        let i = Instance::new(&r, &m).unwrap();
        (*i).free().unwrap();
        let second = Instance::new(&r, &m).unwrap();
        drop(i);
        assert_eq!(returned(second.run("f", &[]).unwrap()), [Val::I32(97)]);
        assert_eq!(r.live(), 1);
    }
}

#[test]
fn region_and_module_may_go_first() {
    for s in settings(2) {
        let (r, m) = (s.region(), s.module(GUEST, Imports::new()));
        let i = Instance::new(&r, &m).unwrap();
        let (weak, weak_module) = (std::sync::Arc::downgrade(&r), std::sync::Arc::downgrade(&m));
        drop((r, m));
        assert_eq!(returned(i.run("f", &[]).unwrap()), [Val::I32(97)]);
        assert!(matches!(i.run("bad", &[]).unwrap(), Outcome::Trapped(_)));
        i.reset().unwrap();
        assert_eq!(returned(i.run("f", &[]).unwrap()), [Val::I32(97)]);
        drop(i);
        assert!(weak.upgrade().is_none() && weak_module.upgrade().is_none());
    }
}

/// What is wrong is said in terms of what was wanted.
#[test]
fn messages_fit_the_call() {
    let i = settings(1)[0].instance(GUEST, Imports::new());
    let message = |e: lucet::Error| {
        assert_eq!(e.status(), Status::WrongState);
        e.message().to_owned()
    };
    assert!(message(i.resume(0).unwrap_err()).contains("nothing to resume"));
    let recover = message(i.recover().unwrap_err());
    assert!(recover.contains("is ready") && !recover.contains("suspended"), "{recover}");
    assert!(matches!(i.run("bad", &[]).unwrap(), Outcome::Trapped(_)));
    assert!(message(i.run("f", &[]).unwrap_err()).contains("stopped by a trap"));
    i.recover().unwrap();
    assert_eq!(returned(i.run("f", &[]).unwrap()), [Val::I32(97)]);
}

#[test]
fn runs_in_wrong_states() {
    for s in settings(1) {
        let i = s.instance(GUEST, Imports::new());
        assert_eq!(i.resume(0).unwrap_err().status(), Status::WrongState);
        assert!(matches!(i.run("bad", &[]).unwrap(), Outcome::Trapped(_)));
        for _ in 0..2 {
            assert_eq!(i.run("f", &[]).unwrap_err().status(), Status::WrongState);
            assert_eq!(i.resume(0).unwrap_err().status(), Status::WrongState);
        }
        let mut bytes = [0; 3];
        i.memory_read(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"abc");
        for (at, len) in [(65536, 1), (65535, 2), (u64::MAX, 1), (1 << 32, 1), (0, 65537)] {
            let mut to = vec![0; len];
            let e = i.memory_read(at, &mut to).unwrap_err();
            assert_eq!(e.status(), Status::OutOfBounds, "{at} {len}");
            assert_eq!(i.memory_write(at, &to).unwrap_err().status(), Status::OutOfBounds);
            assert!(i.memory_range(at, len as u64).is_err());
        }
        assert!(i.memory_range(u64::MAX, u64::MAX).is_err());
        i.memory_range(65536, 0).unwrap();
        let e = i.global_set("g", Val::I64(1)).unwrap_err();
        assert_eq!(e.status(), Status::InvalidArgument);
        assert_eq!(i.global_get("f").unwrap_err().status(), Status::ExportTypeMismatch);
        assert_eq!(i.table_elements("x").unwrap_err().status(), Status::NoSuchExport);
    }
}

static VICTIM: Mutex<Option<Instance>> = Mutex::new(None);

extern "C" fn drops_itself(ctx: *const Control, user: usize) -> i32 {
    let own = vmctx(ctx).instance();
    all_refused(&own, Status::Busy);
    if user == 1 {
        drop(VICTIM.lock().unwrap().take());
    }
    all_refused(&own, Status::Busy);
    21
}

#[test]
fn an_instance_cannot_go_away_inside_its_own_host_function() {
    let text = r#"(module (import "env" "h" (func $h (result i32)))
      (memory 1) (data (i32.const 8) "\05")
      (func (export "f") (result i32) (i32.mul (call $h) (i32.load8_u (i32.const 8)))))"#;
    for s in settings(1) {
        for user in [0, 1] {
            let h = imports(&[("h", "() -> i32", drops_itself as *const c_void, user)]);
            let r = s.region();
            let i = Instance::new(&r, &s.module(text, h)).unwrap();
            let kept = *i;
            *VICTIM.lock().unwrap() = Some(i);
            assert_eq!(returned(kept.run("f", &[]).unwrap()), [Val::I32(105)]);
            if user == 0 {
                drop(VICTIM.lock().unwrap().take());
            } else {
                // Nobody owns it any more; whoever has its handle may still free it.
                kept.free().unwrap();
            }
            assert_eq!(r.live(), 0);
            all_refused(&kept, Status::InvalidHandle);
        }
    }
}

const WAITS: &str = r#"(module (import "env" "h" (func $h (param i64) (result i64)))
  (func (export "f") (result i64) (call $h (i64.const 9)))
  (func (export "ok") (result i32) (i32.const 7)))"#;

extern "C" fn yields(ctx: *const Control, _: usize, v: i64) -> i64 {
    vmctx(ctx).yield_value(v as u64, None, 0).unwrap();
    0
}

#[test]
fn a_compact_region_lends_its_stacks() {
    let s = settings(3)[2];
    let config = lucet::RegionConfig { stacks: 1, max_memory: 0, ..s.config };
    let r = lucet::Region::new(config).unwrap();
    let m = s.module(WAITS, imports(&[("h", "(i64) -> i64", yields as *const c_void, 0)]));
    let starts = s.module("(module (func $s) (start $s))", Imports::new());
    for round in 0..20 {
        let (a, b) = (Instance::new(&r, &m).unwrap(), Instance::new(&r, &m).unwrap());
        assert_eq!(a.run("f", &[]).unwrap(), Outcome::Yielded(9));
        assert_eq!(b.run("ok", &[]).unwrap_err().status(), Status::RegionFull);
        assert_eq!(Instance::new(&r, &starts).unwrap_err().status(), Status::RegionFull);
        match round % 3 {
            0 => assert_eq!(returned(a.resume(3).unwrap()), [Val::I64(3)]),
            1 => a.reset().unwrap(),
            _ => a.free().unwrap(),
        }
        assert_eq!(returned(b.run("ok", &[]).unwrap()), [Val::I32(7)]);
        assert_eq!(b.run("f", &[]).unwrap(), Outcome::Yielded(9));
    }
    assert_eq!(r.live(), 0);
}
