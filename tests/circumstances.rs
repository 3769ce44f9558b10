//! Odd moments and odd systems: operations on gigabytes that are to end, terminations while memory
//! grows or an instance is reset, processes that are stopped, huge pages, strict overcommit.

mod common;

use common::process::{forked, in_child};
use common::{compile, host, load, module};
use lucet::{Control, GrowthKind, Imports, Instance, InstanceRef, Outcome, Region, RegionConfig};
use lucet::{Growth, Rung, Status, Val, Vmctx};
use lucet_artifact::types::MemoryShape;
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

const MS: u64 = 1_000_000;
const GIB: u64 = 1 << 30;

/// Operations on 2 GiB end at a time limit, somewhere in the middle: the end is as it was.
#[test]
fn operations_on_two_gigabytes_end_in_time() {
    let wat = r#"(module (memory (export "m") 65535)
      (func (export "fill") (memory.fill (i32.const 0) (i32.const 90) (i32.const 0x80000000)))
      (func (export "copy")
        (i32.store8 (i32.const 0) (i32.const 90))
        (memory.copy (i32.const 0x7fff0000) (i32.const 0) (i32.const 0x7fff0000)))
      (func (export "up")
        (i32.store8 (i32.const 0x7fffffff) (i32.const 90))
        (memory.copy (i32.const 1) (i32.const 0) (i32.const 0x7fffffff)))
      (func (export "seven") (result i32) (i32.const 7)))"#;
    in_child("operations_on_two_gigabytes_end_in_time", || {
        let m = module(wat, Imports::new());
        let r = Region::new(RegionConfig { slots: 1, ..RegionConfig::default() }).unwrap();
        // With the byte that is written last: where memory overlaps, the first one.
        for (name, last) in [("fill", 2 * GIB - 1), ("copy", 4 * GIB - (2 << 16) - 1), ("up", 1)] {
            let i = Instance::new(&r, &m).unwrap();
            i.set_time_limit(5 * MS).unwrap();
            assert_eq!(i.run(name, &[]).unwrap(), Outcome::TimedOut, "{name}");
            let mut byte = [7];
            i.memory_read(last, &mut byte).unwrap();
            assert_eq!(byte, [0], "{name} went on to its end");
            i.reset().unwrap();
            i.set_time_limit(0).unwrap();
            assert_eq!(i.run("seven", &[]).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
        }
    });
}

const GROWS: &str = r#"(module (memory (export "m") 1 100) (table $t 1 1000 funcref)
  (func (export "memory")
    (drop (memory.grow (i32.const 1))) (loop $l (br $l)))
  (func (export "table")
    (drop (table.grow $t (ref.null func) (i32.const 1))) (loop $l (br $l)))
  (func (export "spin") (loop $l (br $l)))
  (func (export "seven") (result i32) (i32.const 7)))"#;

/// Asks for the end of the run that grows.
fn terminates(_: &Growth, (index, generation): (u32, u32), _: GrowthKind, _: u64, _: u64) -> bool {
    let i = InstanceRef::from_parts(index, generation).unwrap();
    i.terminate().unwrap();
    true
}

#[test]
fn a_termination_while_memory_grows_counts() {
    let growth = Some(Growth { ask: terminates, function: 0, user_data: 0 });
    let r = Region::new(RegionConfig { slots: 1, growth, ..RegionConfig::default() }).unwrap();
    let m = module(GROWS, Imports::new());
    let i = Instance::new(&r, &m).unwrap();
    for _ in 0..100 {
        for name in ["memory", "table"] {
            assert_eq!(i.run(name, &[]).unwrap(), Outcome::Terminated, "{name}");
            i.reset().unwrap();
            assert_eq!(i.run("seven", &[]).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
        }
    }
}

/// Somebody asks for the end of runs all the time, also while the instance is reset, freed and
/// made anew. No run that began afterwards is ended, none before goes on.
#[test]
fn terminations_while_an_instance_is_reset() {
    let m = module(GROWS, Imports::new());
    for reset in [Rung::FirstTouch, Rung::CopyAndClear, Rung::Decommit] {
        let config = RegionConfig { slots: 2, reset: Some(reset), ..RegionConfig::default() };
        let r = Region::new(config).unwrap();
        let i = Instance::new(&r, &m).unwrap();
        let (stop, asked) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|s| {
            s.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    // Nothing runs, or it is ended; nothing else may be the answer.
                    if let Err(e) = i.terminate() {
                        let known = [Status::WrongState, Status::Busy];
                        assert!(known.contains(&e.status()), "{e}");
                    }
                    asked.fetch_add(1, Ordering::Release);
                }
            });
            for _ in 0..300 {
                assert_eq!(i.run("spin", &[]).unwrap(), Outcome::Terminated);
                let before = asked.load(Ordering::Acquire);
                while i.reset().is_err_and(|e| e.status() == Status::Busy) {}
                while asked.load(Ordering::Acquire) == before {
                    std::hint::spin_loop();
                }
            }
            stop.store(true, Ordering::Release);
        });
        while i.reset().is_err_and(|e| e.status() == Status::Busy) {}
        assert_eq!(i.run("seven", &[]).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
    }
}

/// A process that is stopped and goes on: what is over its limit ends, the rest goes on.
#[test]
fn a_stopped_process_goes_on() {
    extern "C" fn stop(_: *const Control, _: usize) {
        // SAFETY: stops this process, a child made for it.
        unsafe { libc::raise(libc::SIGSTOP) };
    }
    in_child("a_stopped_process_goes_on", || {
        let mut imports = Imports::new();
        host(&mut imports, "stop", "() -> ()", stop as *const c_void, 0);
        let wat = r#"(module (import "env" "stop" (func $stop))
          (func (export "stops") (result i32) (call $stop) (i32.const 7))
          (func (export "spins") (call $stop) (loop $l (br $l))))"#;
        let m = module(wat, imports);
        // SAFETY: the child runs guests only and ends; its parent waits for it.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            let r = Region::new(RegionConfig::default()).unwrap();
            let i = Instance::new(&r, &m).unwrap();
            let well = i.run("stops", &[]).unwrap() == Outcome::Returned(vec![Val::I32(7)]) && {
                i.set_time_limit(20 * MS).unwrap();
                i.run("spins", &[]).unwrap() == Outcome::TimedOut
            };
            // SAFETY: ends the child.
            unsafe { libc::_exit(i32::from(!well)) };
        }
        let mut stops = 0;
        let status = loop {
            let mut status = 0;
            // SAFETY: waits for our child, with room for its status.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, libc::WUNTRACED) }, child);
            if !libc::WIFSTOPPED(status) {
                break status;
            }
            stops += 1;
            // Longer than the limit: time that passes while it is stopped counts.
            std::thread::sleep(std::time::Duration::from_millis(40));
            // SAFETY: lets our child go on.
            unsafe { libc::kill(child, libc::SIGCONT) };
        };
        assert_eq!((status, stops), (0, 2), "{status:#x}");
    });
}

const LARGE: &str = r#"(module (memory (export "m") 64 64) (data (i32.const 1048576) "image")
  (func (export "fill")
    (memory.fill (i32.const 0) (i32.const 165) (i32.const 4194304)))
  (func (export "sum") (result i32) (local i32 i32)
    (loop $l
      (local.set 1 (i32.add (local.get 1) (i32.load8_u (local.get 0))))
      (br_if $l (i32.lt_u
        (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 4194304))))
    (local.get 1)))"#;

/// Memory that the kernel has put into huge pages, which it does by itself where transparent huge
/// pages are on for all, keeps nothing for the next instance.
#[test]
fn huge_pages_keep_nothing() {
    const MADV_COLLAPSE: i32 = 25;
    let image: i32 = b"image".iter().map(|b| i32::from(*b)).sum();
    let mut collapsed = 0;
    for shape in [MemoryShape::Guarded, MemoryShape::Compact] {
        for reset in [Rung::FirstTouch, Rung::PagemapScan, Rung::CopyAndClear, Rung::Decommit] {
            let m = load(&compile(LARGE, shape), Imports::new()).unwrap();
            let r = Region::new(RegionConfig {
                slots: 1,
                max_memory: 64 << 16,
                compact: shape == MemoryShape::Compact,
                stacks: 1,
                reset: Some(reset),
                slot_resident_bytes: 8 << 20,
                ..RegionConfig::default()
            })
            .unwrap();
            for round in 0..4 {
                let i = Instance::new(&r, &m).unwrap();
                let sum = i.run("sum", &[]).unwrap();
                assert_eq!(sum, Outcome::Returned(vec![Val::I32(image)]), "{reset:?}, {round}");
                assert_eq!(i.run("fill", &[]).unwrap(), Outcome::Returned(vec![]));
                let at = i.memory_range(0, 4 << 20).unwrap();
                // SAFETY: says how the kernel should hold pages that are there, no more.
                unsafe {
                    libc::madvise(at.cast(), 4 << 20, libc::MADV_HUGEPAGE);
                    collapsed += i32::from(libc::madvise(at.cast(), 4 << 20, MADV_COLLAPSE) == 0);
                }
                let sum = i.run("sum", &[]).unwrap();
                assert_eq!(sum, Outcome::Returned(vec![Val::I32(165 * (4 << 20))]));
                if round % 2 == 0 {
                    i.reset().unwrap();
                    let sum = i.run("sum", &[]).unwrap();
                    assert_eq!(sum, Outcome::Returned(vec![Val::I32(image)]), "{reset:?}: reset");
                }
            }
        }
    }
    println!("{collapsed} times the kernel made huge pages");
    assert!(collapsed > 0, "this kernel makes no huge pages (CONFIG_TRANSPARENT_HUGEPAGE)");
}

/// Bytes of mappings that count where the kernel promises no more than it has
/// (`vm.overcommit_memory=2`): private and writable, whether they are touched or not.
fn promised() -> u64 {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let bytes = maps.lines().filter(|l| l.contains(" -w") || l.contains(" rw")).filter_map(|l| {
        let mut words = l.split_whitespace();
        let (from, to) = words.next()?.split_once('-')?;
        let number = |s| u64::from_str_radix(s, 16).ok();
        words.next()?.ends_with('p').then_some(number(to)? - number(from)?)
    });
    bytes.sum()
}

/// Regions ask for what instances have, not for what they reserve, so they fit where the kernel
/// does not overcommit.
#[test]
fn regions_are_promised_no_more_than_they_use() {
    in_child("regions_are_promised_no_more_than_they_use", || {
        let m = module(GROWS, Imports::new());
        let before = promised();
        let config = RegionConfig { slots: 1000, ..RegionConfig::default() };
        let r = Region::new(config).unwrap();
        let empty = promised() - before;
        // A table of slots, and what says which pages are open.
        assert!(empty < 64 << 20, "{empty} bytes for 1,000 slots that nobody uses");
        let all: Vec<_> = (0..100).map(|_| Instance::new(&r, &m).unwrap()).collect();
        let used = (promised() - before - empty) / 100;
        println!("{empty} bytes for 1,000 slots, then {used} for each that is used");
        // One page of wasm, stack and instance data; never the 4 GiB.
        assert!(used <= (64 << 10) + config.stack_bytes + (256 << 10), "{used} bytes");
        drop(all);
    });
}

/// A host function in Rust that panics: nothing is unwound through a guest, so the process ends.
#[test]
fn a_panic_in_a_host_function_ends_the_process() {
    extern "C" fn panics(ctx: *const Control, _: usize) {
        // SAFETY: called by the thunk.
        let ctx = unsafe { Vmctx::from_raw(ctx) }.unwrap();
        assert_eq!(ctx.memory_size(), 1, "this is wrong, so this panics");
    }
    let mut imports = Imports::new();
    host(&mut imports, "panics", "() -> ()", panics as *const c_void, 0);
    let wat = r#"(module (import "env" "panics" (func $p)) (memory 1)
      (func (export "f") (call $p)))"#;
    let m = module(wat, imports);
    let status = common::process::forked_status(|| {
        let r: Arc<Region> = Region::new(RegionConfig::default()).unwrap();
        let _ = Instance::new(&r, &m).unwrap().run("f", &[]);
    });
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT, "{status:#x}");
    // The same without a panic, to see that it is the panic.
    forked(|| drop(Region::new(RegionConfig::default()).unwrap()));
}
