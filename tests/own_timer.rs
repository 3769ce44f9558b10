//! A host with a timer of its own: no thread is started, and limits are kept by calling
//! `check_deadlines`. In a process of its own, because the choice is the process's.

mod common;

use common::{module, region};
use lucet::{Imports, Instance, Outcome, Status, Val};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const MS: u64 = 1_000_000;

fn watchdogs() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("comm")).ok());
    names.filter(|n| n.trim() == "lucet-watchdog").count()
}

#[test]
fn limits_are_kept_without_a_watchdog() {
    lucet::set_watchdog(false).unwrap();
    let m = module(
        "(module (func (export \"tight\") (loop $l (br $l)))
           (func (export \"ok\") (result i32) (i32.const 7)))",
        Imports::new(),
    );
    let i = Instance::new(&region(), &m).unwrap();
    assert_eq!(lucet::check_deadlines(), u64::MAX, "nothing to wait for");
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let next = lucet::check_deadlines();
                std::thread::sleep(Duration::from_nanos(next.min(MS / 2)));
            }
        });
        i.set_time_limit(10 * MS).unwrap();
        assert_eq!(i.run("tight", &[]).unwrap(), Outcome::TimedOut);
        i.reset().unwrap();
        i.set_time_limit(0).unwrap();
        i.set_time_slice(3 * MS).unwrap();
        assert_eq!(i.run("tight", &[]).unwrap(), Outcome::Preempted);
        assert_eq!(i.resume(0).unwrap(), Outcome::Preempted);
        i.terminate().unwrap();
        i.reset().unwrap();
        i.set_time_slice(0).unwrap();
        i.set_cpu_limit(10 * MS).unwrap();
        assert_eq!(i.run("tight", &[]).unwrap(), Outcome::TimedOut);
        i.reset().unwrap();
        // A termination needs the timer only if the signal comes at a bad moment.
        let run = s.spawn(|| i.run("tight", &[]).unwrap());
        while !run.is_finished() {
            std::thread::sleep(Duration::from_millis(2));
            i.terminate().unwrap();
        }
        assert_eq!(run.join().unwrap(), Outcome::Terminated);
        assert_eq!(watchdogs(), 0);
        stop.store(true, Ordering::Relaxed);
    });
    i.reset().unwrap();
    assert_eq!(i.run("ok", &[]).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
    // From now on the library may have its thread; then it cannot be told not to.
    lucet::set_watchdog(true).unwrap();
    i.set_cpu_limit(0).unwrap();
    i.set_time_limit(5 * MS).unwrap();
    assert_eq!(i.run("tight", &[]).unwrap(), Outcome::TimedOut);
    assert_eq!(watchdogs(), 1);
    assert_eq!(lucet::set_watchdog(false).unwrap_err().status(), Status::WrongState);
}
