//! Single cases in which one feature met another.

use super::kit::{OK, call_from_c, guest, kind, load};
use lucet::{Group, Instance, Outcome, OutcomeKind, Region, RegionConfig, Status};
use lucet_artifact::types::MemoryShape::{self, Guarded};
use std::time::Duration;

/// A call on the shortest path does not look up the instance's stack: whoever walks it later must
/// still find it, also after a reset.
#[test]
fn backtraces_of_short_calls_after_a_reset() {
    let config = RegionConfig { slots: 2, backtrace: true, ..RegionConfig::default() };
    let region = Region::new(config).unwrap();
    let module = guest(Guarded, false, false);
    let i = Instance::new(&region, &module).unwrap();
    for round in 0..3 {
        let (f, y) = (module.find("oob", None).unwrap(), module.find("yield", None).unwrap());
        assert_eq!(call_from_c(*i, f, None, 0).1, kind(OutcomeKind::Trapped));
        let names: Vec<_> = i.backtrace().unwrap().frames.into_iter().map(|f| f.function).collect();
        assert_eq!(names.len(), 1, "round {round}: {names:?}");
        i.reset().unwrap();
        let (status, ended, _) = call_from_c(*i, y, None, 1);
        assert_eq!((status, ended), (OK, kind(OutcomeKind::Yielded)), "round {round}");
        let waits = i.backtrace().unwrap().frames;
        assert_eq!(waits.len(), 2, "round {round}: {waits:?}");
        i.reset().unwrap();
    }
}

/// Runs `f` on a thread of its own, which must end.
fn in_time<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(f()));
    receive.recv_timeout(Duration::from_secs(20)).expect("it never came back")
}

extern "C" fn terminates(_: *const lucet::Control, other: usize) {
    // SAFETY: the address of a handle that outlives the run.
    let other = unsafe { &*(other as *const lucet::InstanceRef) };
    let refused = other.terminate().unwrap_err();
    assert_eq!(refused.status(), Status::Busy);
}

/// A member that is suspended cannot be abandoned while another one runs, least of all by a host
/// function of that run, which would wait for itself.
#[test]
fn terminating_a_suspended_member_below_another_members_run() {
    in_time(|| {
        let region = Region::new(RegionConfig { slots: 4, ..RegionConfig::default() }).unwrap();
        let waits = guest(Guarded, false, false);
        let mut group = Group::new(&region);
        let a = **group.instantiate(Some("a"), &waits).unwrap();
        assert_eq!(a.run("yield", &[]).unwrap(), Outcome::Yielded(11));
        let handle: &'static lucet::InstanceRef = Box::leak(Box::new(a));
        let mut imports = lucet::Imports::new();
        let at = std::ptr::from_ref(handle) as usize;
        crate::common::host(&mut imports, "t", "() -> ()", terminates as *const _, at);
        let text = r#"(module (import "env" "t" (func $t)) (func (export "f") (call $t)))"#;
        let module = crate::common::module(text, imports);
        let b = **group.instantiate(Some("b"), &module).unwrap();
        assert_eq!(b.run("f", &[]).unwrap(), Outcome::Returned(vec![]));
        a.terminate().unwrap();
        assert_eq!(a.resume(0).unwrap_err().status(), Status::WrongState);
    });
}

const ENDLESS: &str = r#"(module (func $s (loop $l (br $l))) (start $s))"#;
const SHORT: &str = r#"(module (memory 1) (global $n (mut i32) (i32.const 20000000))
  (func $s (loop $l
    (global.set $n (i32.sub (global.get $n) (i32.const 1))) (br_if $l (global.get $n))))
  (start $s))"#;

/// A start function is a run: the region's time limit holds for it, or one module could keep a
/// worker for ever.
#[test]
fn a_start_function_is_within_the_regions_time_limit() {
    in_time(|| {
        for (shape, compact) in [(Guarded, false), (MemoryShape::Compact, true)] {
            let module = load(ENDLESS, shape, false);
            let config = RegionConfig {
                slots: 2,
                compact,
                stacks: 1,
                time_limit: 5_000_000,
                ..RegionConfig::default()
            };
            let region = Region::new(config).unwrap();
            for _ in 0..5 {
                let e = Instance::new(&region, &module).unwrap_err();
                assert_eq!(e.status(), Status::StartFailed, "{e}");
                assert!(e.message().contains("longer"), "{e}");
            }
            assert_eq!(region.live(), 0);
            let region = Region::new(RegionConfig { time_limit: 0, ..config }).unwrap();
            let i = Instance::new(&region, &load(SHORT, shape, false)).unwrap();
            // Time slices are not for start functions.
            i.set_time_slice(1_000).unwrap();
            i.set_time_limit(20_000_000_000).unwrap();
            i.reset().unwrap();
        }
    });
}

/// However an instance ends, the stack that it was lent goes back.
#[test]
fn stacks_come_back_from_every_end() {
    let stacks = RegionConfig { slots: 4, compact: true, stacks: 2, ..RegionConfig::default() };
    let region = Region::new(stacks).unwrap();
    let module = guest(MemoryShape::Compact, true, true);
    let thread = |i: lucet::InstanceRef| std::thread::spawn(move || i.terminate()).join().unwrap();
    for n in 0..10_000 {
        let i = Instance::new(&region, &module).unwrap();
        let (name, arg) = match n % 13 {
            0 => ("look", None),
            1 => ("trap", None),
            2 => ("overflow", None),
            k @ 3..=6 => ("end", Some(k - 3)),
            k @ 7..=8 => ("nest", Some(k - 6)),
            9 | 10 => ("spin", None),
            _ => ("yield", None),
        };
        match n % 13 {
            9 => i.set_fuel(100).unwrap(),
            10 => i.set_time_slice(1_000).unwrap(),
            _ => {}
        }
        let f = module.find(name, None).unwrap();
        let results = usize::from(matches!(name, "look" | "nest" | "yield"));
        let (status, _, _) = call_from_c(*i, f, arg.map(|a| (a, false)), results);
        assert_eq!(status, OK, "{name} {n}");
        match n / 13 % 5 {
            0 if n % 65 == 11 => thread(*i).unwrap(),
            1 => i.terminate().unwrap(),
            2 => i.reset().unwrap(),
            3 => drop(i.recover()),
            _ => {}
        }
    }
    let both = [0, 1].map(|_| Instance::new(&region, &module).unwrap());
    for i in &both {
        assert_eq!(i.run("yield", &[]).unwrap(), Outcome::Yielded(11));
    }
}
