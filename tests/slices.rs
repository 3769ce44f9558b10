//! Time slices: a run is interrupted anywhere and goes on, on any thread, without a lost bit; what
//! may be done with an instance meanwhile; budgets of processor time; embedders with own timers.

mod common;

use common::{compile, host, load, module, region, vmctx};
use lucet::{Group, Imports, Instance, Module, Outcome, Region, RegionConfig, Status, Val};
use lucet_artifact::types::MemoryShape;
use std::ffi::c_void;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// A function that keeps more values alive in a loop than there are registers: integers of both
/// sizes, floats of both and vectors, mixed into one another, through memory, calls, host calls,
/// bulk operations and recursion; each result depends on every bit of every value.
fn busy() -> String {
    const N: usize = 18;
    let mut code = String::new();
    let kinds = [("a", "i64"), ("b", "f64"), ("c", "i32"), ("d", "f32"), ("v", "v128")];
    for (name, ty) in kinds {
        for n in 0..N {
            let _ = write!(code, "(local ${name}{n} {ty})");
        }
    }
    for n in 0..N {
        let _ = write!(
            code,
            "(local.set $a{n} (i64.mul (local.get $seed) (i64.const {k})))
             (local.set $b{n} (f64.const {n}.25))
             (local.set $c{n} (i32.const {k}))
             (local.set $d{n} (f32.const {n}.5))
             (local.set $v{n} (i32x4.mul (i64x2.splat (local.get $seed))
               (v128.const i32x4 {k} 3 5 {k})))",
            k = 0x9e37_79b9u64 * (2 * n as u64 + 1) % 0x7fff_ffff
        );
    }
    code.push_str("(loop $l\n");
    for n in 0..N {
        let m = (n + 1) % N;
        let _ = write!(
            code,
            "(local.set $a{n} (i64.add (i64.rotl (i64.mul (local.get $a{n})
               (i64.const 6364136223846793005)) (i64.const {r})) (local.get $a{m})))
             (local.set $b{n} (f64.add (f64.mul (local.get $b{n}) (f64.const 0.99999))
               (f64.sqrt (f64.abs (local.get $b{m})))))
             (local.set $c{n} (i32.xor (i32.rotr (local.get $c{n}) (i32.const {r}))
               (select (local.get $c{m}) (i32.wrap_i64 (local.get $a{n}))
                 (i32.lt_s (local.get $c{n}) (local.get $c{m})))))
             (local.set $d{n} (f32.add (f32.mul (local.get $d{n}) (f32.const 0.5))
               (f32.convert_i32_s (i32.and (local.get $c{m}) (i32.const 255)))))
             (local.set $v{n} (i8x16.shuffle 3 20 1 18 7 24 5 22 11 28 9 26 15 0 13 30
               (i64x2.add (local.get $v{n}) (i64x2.splat (local.get $a{m}))) (local.get $v{m})))",
            r = n * 3 + 1
        );
    }
    code.push_str(
        "(if (i32.eqz (i32.and (local.get $n) (i32.const 63))) (then
           (local.set $a0 (i64.add (local.get $a0)
             (call $mix (local.get $a1) (local.get $b1) (local.get $a2))))
           (local.set $b0 (call $half (local.get $b0)))
           (local.set $a3 (i64.add (local.get $a3) (call $fib (i32.const 9))))
           (memory.copy (i32.const 4096) (i32.const 0) (i32.const 2048))
           (memory.fill (i32.const 8192) (local.get $c4) (i32.const 512))
           (local.set $a5 (i64.xor (local.get $a5) (i64.load (i32.const 8200))))))
         (i64.store (i32.and (local.get $c1) (i32.const 2040)) (local.get $a7))
         (local.set $a8 (i64.xor (local.get $a8)
           (i64.load (i32.and (local.get $c2) (i32.const 6136)))))
         (global.set $g (i64.add (global.get $g) (local.get $a9)))
         (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))\n",
    );
    let (mut ints, mut floats) = ("(global.get $g)".to_owned(), "(f64.const 0)".to_owned());
    for n in 0..N {
        ints = format!(
            "(i64.add (i64.mul {ints} (i64.const 1099511628211))
               (i64.xor (i64.xor (local.get $a{n}) (i64.extend_i32_u (local.get $c{n})))
                 (i64.add (i64x2.extract_lane 0 (local.get $v{n}))
                   (i64.rotl (i64x2.extract_lane 1 (local.get $v{n})) (i64.const 21)))))"
        );
        floats = format!(
            "(f64.add (f64.mul {floats} (f64.const 0.75))
               (f64.add (local.get $b{n}) (f64.promote_f32 (local.get $d{n}))))"
        );
    }
    format!(
        "(module
          (import \"env\" \"mix\" (func $mix (param i64 f64 i64) (result i64)))
          (import \"env\" \"half\" (func $half (param f64) (result f64)))
          (import \"env\" \"nested\" (func $nested (param i32)))
          (import \"env\" \"nap\" (func $nap (param i32)))
          (import \"env\" \"long_nap\" (func $long_nap (param i32)))
          (import \"env\" \"yield\" (func $yield (result i32)))
          (memory (export \"memory\") 2 40000)
          (global $g (export \"g\") (mut i64) (i64.const 1))
          (func $fib (param $n i32) (result i64)
            (if (result i64) (i32.lt_u (local.get $n) (i32.const 2))
              (then (i64.extend_i32_u (local.get $n)))
              (else (i64.add (call $fib (i32.sub (local.get $n) (i32.const 1)))
                             (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
          (func (export \"busy\") (param $n i32) (param $seed i64) (result i64 f64)
            {code} {ints} {floats})
          (func $spin (export \"spin\") (param i32) (result i32)
            (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (i32.const 7))
          (func (export \"tight\") (loop $l (br $l)))
          (func (export \"nests\") (param i32) (result i32)
            (call $nested (local.get 0)) (call $spin (i32.const 20000000)))
          (func (export \"naps\") (param i32) (result i32)
            (call $nap (local.get 0)) (i32.const 9))
          (func (export \"naps long\") (param i32) (result i32)
            (call $long_nap (local.get 0)) (i32.const 9))
          (func (export \"waits\") (result i32) (local i32) (local.set 0 (call $yield))
            (drop (call $spin (i32.const 30000000))) (local.get 0))
          (func (export \"fills\") (param i32) (result i32)
            (drop (memory.grow (i32.sub (local.get 0) (memory.size))))
            (memory.fill (i32.const 1) (i32.const 90)
              (i32.sub (i32.mul (local.get 0) (i32.const 65536)) (i32.const 2)))
            (memory.copy (i32.const 5) (i32.const 1)
              (i32.sub (i32.mul (local.get 0) (i32.const 65536)) (i32.const 6)))
            (memory.copy (i32.const 0) (i32.const 3)
              (i32.sub (i32.mul (local.get 0) (i32.const 65536)) (i32.const 3)))
            (i32.load8_u (i32.const 0))))"
    )
}

/// Uses every vector register, as a compiled host function may.
fn clobber() {
    // SAFETY: only says what it overwrites.
    unsafe {
        std::arch::asm!(
            "xorps xmm0, xmm0", "xorps xmm1, xmm1", "xorps xmm2, xmm2", "xorps xmm3, xmm3",
            "xorps xmm4, xmm4", "xorps xmm5, xmm5", "xorps xmm6, xmm6", "xorps xmm7, xmm7",
            "xorps xmm8, xmm8", "xorps xmm9, xmm9", "xorps xmm10, xmm10", "xorps xmm11, xmm11",
            "xorps xmm12, xmm12", "xorps xmm13, xmm13", "xorps xmm14, xmm14", "xorps xmm15, xmm15",
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _,
            out("xmm5") _, out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _,
            out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _, out("xmm14") _,
            out("xmm15") _,
        );
    }
}

extern "C" fn mix(_: *const lucet::Control, _: usize, a: i64, b: f64, c: i64) -> i64 {
    clobber();
    a.rotate_left(9) ^ b.to_bits() as i64 ^ c
}

extern "C" fn half(_: *const lucet::Control, _: usize, a: f64) -> f64 {
    clobber();
    a * 0.5
}

static PREEMPTED_INSIDE: AtomicU32 = AtomicU32::new(0);

extern "C" fn nested(ctx: *const lucet::Control, _: usize, n: i32) {
    let ctx = vmctx(ctx);
    match ctx.run(ctx.find("spin").unwrap(), &[Val::I32(n)]).unwrap() {
        Outcome::Returned(v) => assert_eq!(v, [Val::I32(7)]),
        o => {
            PREEMPTED_INSIDE.fetch_add(1, Ordering::Relaxed);
            panic!("{o:?}");
        }
    }
}

extern "C" fn nap(_: *const lucet::Control, _: usize, micros: i32) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: i64::from(micros) * 1_000 };
    // SAFETY: a plain system call with a valid argument.
    let interrupted = unsafe { libc::nanosleep(&time, std::ptr::null_mut()) };
    assert_eq!(interrupted, 0, "a signal came into a host function");
}

/// A nap that is over when the watchdog, whose time came long ago, has done what it woke for: on a
/// busy machine it may get no processor meanwhile.
extern "C" fn long_nap(ctx: *const lucet::Control, user_data: usize, micros: i32) {
    nap(ctx, user_data, micros);
    let sleeps = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let stats =
            tasks.filter_map(|t| std::fs::read_to_string(t.unwrap().path().join("stat")).ok());
        let watchdog = stats.filter(|s| s.contains("(lucet-watchdog)")).collect::<Vec<_>>();
        assert_eq!(watchdog.len(), 1, "watchdogs");
        watchdog[0].contains(") S ")
    };
    while !sleeps() {
        nap(ctx, user_data, 1_000);
    }
}

extern "C" fn yields(ctx: *const lucet::Control, _: usize) -> i32 {
    vmctx(ctx).yield_value(1, None, 0).unwrap();
    0
}

fn imports() -> Imports {
    let mut imports = Imports::new();
    host(&mut imports, "mix", "(i64, f64, i64) -> i64", mix as *const c_void, 0);
    host(&mut imports, "half", "(f64) -> f64", half as *const c_void, 0);
    host(&mut imports, "nested", "(i32) -> ()", nested as *const c_void, 0);
    host(&mut imports, "nap", "(i32) -> ()", nap as *const c_void, 0);
    host(&mut imports, "long_nap", "(i32) -> ()", long_nap as *const c_void, 0);
    host(&mut imports, "yield", "() -> i32", yields as *const c_void, 0);
    imports
}

fn guest() -> Arc<Module> {
    module(&busy(), imports())
}

/// Runs until it is something else than preempted; how often that happened.
fn to_the_end(i: &Instance, mut outcome: Outcome) -> (Outcome, u32) {
    let mut slices = 0;
    while outcome == Outcome::Preempted {
        slices += 1;
        clobber();
        outcome = i.resume(0).unwrap();
    }
    (outcome, slices)
}

/// The same, each resume on the other one of two threads.
fn on_two_threads(i: &Instance, mut outcome: Outcome) -> (Outcome, u32) {
    let mut slices = 0;
    std::thread::scope(|s| {
        let (to, work) = mpsc::channel::<()>();
        let (done, from) = mpsc::channel();
        s.spawn(move || {
            while work.recv().is_ok() {
                clobber();
                let _ = done.send(i.resume(0).unwrap());
            }
        });
        while outcome == Outcome::Preempted {
            slices += 1;
            if slices % 2 == 0 {
                outcome = i.resume(0).unwrap();
            } else {
                to.send(()).unwrap();
                outcome = from.recv().unwrap();
            }
        }
    });
    (outcome, slices)
}

#[test]
fn twenty_thousand_slices_lose_no_bit() {
    let (m, r) = (guest(), region());
    let compact = RegionConfig { compact: true, slots: 4, ..RegionConfig::default() };
    let compact = Region::new(compact).unwrap();
    let checked = load(&compile(busy(), MemoryShape::Compact), imports()).unwrap();
    let mut slices = [0; 3];
    let mut round = 0i64;
    // How many a run has depends on what else the machine does.
    while slices.iter().sum::<u32>() < 20_000 || slices.iter().any(|s| *s < 1_000) {
        round += 1;
        let args = [Val::I32(40_000), Val::I64(0x1234_5678_9abc_def1 ^ round)];
        let plain = Instance::new(&r, &m).unwrap();
        let Outcome::Returned(want) = plain.run("busy", &args).unwrap() else { panic!() };
        for (n, (r, m)) in [(&r, &m), (&r, &m), (&compact, &checked)].into_iter().enumerate() {
            let i = Instance::new(r, m).unwrap();
            i.set_time_slice((1 + round as u64 % 7) * 2 * US).unwrap();
            let first = i.run("busy", &args).unwrap();
            let (end, s) = if n == 0 { on_two_threads(&i, first) } else { to_the_end(&i, first) };
            assert_eq!(end, Outcome::Returned(want.clone()), "round {round}, way {n}");
            assert_eq!(i.global_get("g").unwrap(), plain.global_get("g").unwrap());
            slices[n] += s;
        }
    }
    println!("{slices:?} slices in {round} rounds");
}

#[test]
fn an_instance_in_the_middle_of_its_work_is_busy() {
    let (m, r) = (guest(), region());
    let i = Instance::new(&r, &m).unwrap();
    i.set_time_slice(MS).unwrap();
    let busy = |what: &str, status: Option<Status>| {
        assert_eq!(status, Some(Status::Busy), "{what}");
    };
    assert_eq!(i.run("tight", &[]).unwrap(), Outcome::Preempted);
    busy("run", i.run("spin", &[Val::I32(1)]).err().map(|e| e.status()));
    busy("read", i.memory_read(0, &mut [0]).err().map(|e| e.status()));
    busy("write", i.memory_write(0, &[0]).err().map(|e| e.status()));
    busy("range", i.memory_range(0, 1).err().map(|e| e.status()));
    busy("size", i.memory_size().err().map(|e| e.status()));
    busy("global", i.global_get("g").err().map(|e| e.status()));
    busy("set", i.global_set("g", Val::I64(0)).err().map(|e| e.status()));
    busy("user data", i.set_user_data(0).err().map(|e| e.status()));
    busy("slice", i.set_time_slice(0).err().map(|e| e.status()));
    // It goes on and is preempted again, any number of times.
    for _ in 0..3 {
        assert_eq!(i.resume(0).unwrap(), Outcome::Preempted);
    }
    // Reset.
    i.reset().unwrap();
    let (end, _) = to_the_end(&i, i.run("naps", &[Val::I32(0)]).unwrap());
    assert_eq!(end, Outcome::Returned(vec![Val::I32(9)]));
    // Terminate.
    assert_eq!(i.run("tight", &[]).unwrap(), Outcome::Preempted);
    i.terminate().unwrap();
    assert_eq!(i.resume(0).unwrap_err().status(), Status::WrongState);
    assert_eq!(i.run("tight", &[]).unwrap_err().status(), Status::WrongState);
    i.reset().unwrap();
    // Free.
    assert_eq!(i.run("tight", &[]).unwrap(), Outcome::Preempted);
    let handle = *i;
    drop(i);
    assert_eq!(handle.resume(0).unwrap_err().status(), Status::InvalidHandle);
    // A slot whose last guest was interrupted is as good as any other.
    for _ in 0..100 {
        let i = Instance::new(&r, &m).unwrap();
        assert_eq!(i.run("spin", &[Val::I32(9)]).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
    }
}

#[test]
fn a_run_without_a_slice_is_not_preempted() {
    let i = Instance::new(&region(), &guest()).unwrap();
    let args = [Val::I32(3_000_000)];
    assert_eq!(i.run("spin", &args).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
    i.set_time_slice(50 * US).unwrap();
    let (end, slices) = to_the_end(&i, i.run("spin", &[Val::I32(30_000_000)]).unwrap());
    assert_eq!(end, Outcome::Returned(vec![Val::I32(7)]));
    assert!(slices > 3, "{slices}");
    i.set_time_slice(0).unwrap();
    assert_eq!(i.run("spin", &args).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
}

#[test]
fn a_slice_ends_behind_the_host_function() {
    let i = Instance::new(&region(), &guest()).unwrap();
    i.set_time_slice(2 * MS).unwrap();
    for _ in 0..20 {
        let start = Instant::now();
        let first = i.run("naps long", &[Val::I32(8_000)]).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(8), "the host function was cut short");
        // In the function `naps long` nothing is long but the nap, behind which the slice is over.
        assert_eq!(first, Outcome::Preempted);
        assert_eq!(to_the_end(&i, first).0, Outcome::Returned(vec![Val::I32(9)]));
    }
}

#[test]
fn runs_inside_are_not_preempted() {
    let i = Instance::new(&region(), &guest()).unwrap();
    i.set_time_slice(200 * US).unwrap();
    let start = i.run("nests", &[Val::I32(200_000_000)]).unwrap();
    // Not in the run inside, but at the latest when its host function returns.
    assert_eq!(start, Outcome::Preempted);
    assert_eq!(to_the_end(&i, start).0, Outcome::Returned(vec![Val::I32(7)]));
    assert_eq!(PREEMPTED_INSIDE.load(Ordering::Relaxed), 0);
}

#[test]
fn slices_and_yields_take_turns() {
    let i = Instance::new(&region(), &guest()).unwrap();
    i.set_time_slice(100 * US).unwrap();
    let (yielded, _) = to_the_end(&i, i.run("waits", &[]).unwrap());
    assert_eq!(yielded, Outcome::Yielded(1));
    let (end, slices) = to_the_end(&i, i.resume(77).unwrap());
    assert_eq!(end, Outcome::Returned(vec![Val::I32(77)]));
    assert!(slices > 3, "{slices}");
}

#[test]
fn bulk_operations_are_interrupted_too() {
    let (m, r) = (guest(), region());
    let plain = Instance::new(&r, &m).unwrap();
    let pages = Val::I32(3_000);
    let Outcome::Returned(want) = plain.run("fills", &[pages]).unwrap() else { panic!() };
    let i = Instance::new(&r, &m).unwrap();
    i.set_time_slice(300 * US).unwrap();
    let (end, slices) = to_the_end(&i, i.run("fills", &[pages]).unwrap());
    assert_eq!(end, Outcome::Returned(want));
    assert!(slices > 5, "{slices}: three operations on 200 MB");
    let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    for at in (0..3_000 * 65_536).step_by(1 << 20).take(180) {
        plain.memory_read(at, &mut a).unwrap();
        i.memory_read(at, &mut b).unwrap();
        assert_eq!(a, b, "at {at}");
    }
}

#[test]
fn terminate_ends_what_is_preempted_again_and_again() {
    let (m, r) = (guest(), region());
    let (mut by_end, mut resting) = (0, 0);
    for n in 0..200u64 {
        let i = Instance::new(&r, &m).unwrap();
        i.set_time_slice(20 * US).unwrap();
        let begun = AtomicU32::new(0);
        std::thread::scope(|s| {
            let run = s.spawn(|| {
                let mut outcome = i.run("tight", &[]).unwrap();
                // From now on exactly one termination must do.
                begun.store(1, Ordering::Release);
                while outcome == Outcome::Preempted {
                    match i.resume(0) {
                        Ok(o) => outcome = o,
                        Err(e) if e.status() == Status::Busy => std::thread::yield_now(),
                        Err(e) => {
                            assert_eq!(e.status(), Status::WrongState);
                            return None;
                        }
                    }
                }
                Some(outcome)
            });
            while begun.load(Ordering::Acquire) == 0 {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_micros(n % 7 * 9));
            i.terminate().unwrap();
            match run.join().unwrap() {
                Some(o) => {
                    assert_eq!(o, Outcome::Terminated);
                    by_end += 1;
                }
                None => resting += 1,
            }
        });
        i.reset().unwrap();
        i.set_time_slice(0).unwrap();
        assert_eq!(i.run("spin", &[Val::I32(9)]).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
    }
    println!("{by_end} ended while running, {resting} between slices");
    assert_eq!(by_end + resting, 200);
}

#[test]
fn a_preempted_member_keeps_its_group() {
    let m = guest();
    let other = module("(module (func (export \"f\") (result i32) (i32.const 3)))", imports());
    for end in 0..3 {
        let mut group = Group::new(&region());
        group.instantiate(Some("a"), &m).unwrap();
        group.instantiate(Some("b"), &other).unwrap();
        let (a, b) = (group.get("a").unwrap(), group.get("b").unwrap());
        a.set_time_slice(MS).unwrap();
        assert_eq!(a.run("tight", &[]).unwrap(), Outcome::Preempted);
        assert_eq!(b.run("f", &[]).unwrap_err().status(), Status::Busy);
        assert_eq!(a.resume(0).unwrap(), Outcome::Preempted);
        assert_eq!(b.memory_size().unwrap_err().status(), Status::Busy);
        if end == 0 {
            continue; // Dropped as it is: the region has its slots back, see below.
        }
        a.terminate().unwrap();
        assert_eq!(b.run("f", &[]).unwrap(), Outcome::Returned(vec![Val::I32(3)]));
    }
    let few = Region::new(RegionConfig { slots: 2, ..RegionConfig::default() }).unwrap();
    for _ in 0..5 {
        let mut group = Group::new(&few);
        let a = group.instantiate(Some("a"), &m).unwrap();
        a.set_time_slice(MS).unwrap();
        assert_eq!(a.run("tight", &[]).unwrap(), Outcome::Preempted);
    }
}

#[test]
fn a_budget_of_processor_time_bounds_all_slices() {
    let (m, r) = (guest(), region());
    let i = Instance::new(&r, &m).unwrap();
    i.set_time_slice(2 * MS).unwrap();
    i.set_cpu_limit(30 * MS).unwrap();
    let start = Instant::now();
    let (end, slices) = to_the_end(&i, i.run("tight", &[]).unwrap());
    assert_eq!(end, Outcome::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(30));
    // How many depends on what else the machine does: slices are real time.
    assert!(slices >= 2, "{slices} slices");
    // A host function that sleeps uses none of it.
    i.reset().unwrap();
    i.set_time_slice(0).unwrap();
    i.set_cpu_limit(10 * MS).unwrap();
    let args = [Val::I32(60_000)];
    assert_eq!(i.run("naps", &args).unwrap(), Outcome::Returned(vec![Val::I32(9)]));
    assert_eq!(i.run("tight", &[]).unwrap(), Outcome::TimedOut);
    i.reset().unwrap();
    // Each run has all of it again.
    for _ in 0..20 {
        let args = [Val::I32(2_000_000)];
        assert_eq!(i.run("spin", &args).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
    }
    i.set_cpu_limit(0).unwrap();
    let args = [Val::I32(60_000_000)];
    assert_eq!(i.run("spin", &args).unwrap(), Outcome::Returned(vec![Val::I32(7)]));
}
