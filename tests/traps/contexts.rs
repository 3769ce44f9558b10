//! Every trap in every context that a server may put the library into: handlers of its own,
//! alternate stacks of all kinds, wide registers, threads that Rust knows nothing of, groups. Each
//! in a process of its own, as these things belong to the whole process.

use crate::kit::{imports, settings, trapped, vmctx};
use lucet::{Control, Instance, Outcome, Status, TrapCode, Val};
use std::ffi::c_void;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

const CHILD: &str = "LUCET_TRAP_CONTEXT";

/// Runs the test `name` once more, alone in a process, with `what` as its context.
pub fn child(name: &str, what: &str) -> Output {
    let exe = std::env::current_exe().unwrap();
    std::process::Command::new(exe)
        .args(["--exact", name, "--include-ignored", "--nocapture", "--test-threads", "1"])
        .env(CHILD, what)
        .output()
        .unwrap()
}

pub fn context() -> Option<String> {
    std::env::var(CHILD).ok()
}

pub fn must_pass(out: &Output, what: &str) {
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{what}: {}\n{text}", out.status);
    assert!(String::from_utf8_lossy(&out.stdout).contains("1 passed"), "{what}: nothing ran");
}

const KINDS: [(&str, &str, TrapCode); 8] = [
    ("k0", "unreachable", TrapCode::Unreachable),
    ("k1", "(drop (i64.load offset=9 (i32.const -1)))", TrapCode::MemoryOutOfBounds),
    ("k2", "(call $deep)", TrapCode::StackOverflow),
    ("k3", "(drop (i32.div_u (i32.const 1) (global.get $zero)))", TrapCode::IntegerDivisionByZero),
    ("k4", "(drop (i64.div_s (global.get $min) (i64.const -1)))", TrapCode::IntegerOverflow),
    ("k5", "(drop (i32.trunc_f64_s (f64.const nan)))", TrapCode::BadConversionToInteger),
    ("k6", "(call_indirect (i32.const 0))", TrapCode::IndirectCallToNull),
    ("k7", "(call_indirect (i32.const 9))", TrapCode::TableOutOfBounds),
];

/// What a host function does before it goes on.
static IN_HOST: AtomicUsize = AtomicUsize::new(0);

extern "C" fn host(ctx: *const Control, _: usize, kind: i32) {
    match IN_HOST.load(Ordering::Relaxed) {
        1 => fill_registers(),
        2 => set_alternate_stack(0),
        _ => {}
    }
    let ctx = vmctx(ctx);
    if kind == -1 {
        ctx.yield_value(1, None, 0).unwrap();
    } else {
        let f = ctx.find(KINDS[kind as usize].0).unwrap();
        assert_eq!(trapped(ctx.run(f, &[]).unwrap()).code, KINDS[kind as usize].2);
    }
}

fn guest(start: &str) -> String {
    let kinds: String = KINDS
        .iter()
        .map(|(name, body, _)| {
            format!(
                r#"(func ${name} (export "{name}") {body})
                   (func (export "in_{name}") (call ${name}) (nop))"#
            )
        })
        .collect();
    format!(
        r#"(module (import "env" "h" (func $h (param i32)))
  (memory 1) (table 2 funcref) (type $v (func))
  (global $zero (mut i32) (i32.const 0))
  (global $min (mut i64) (i64.const 0x8000000000000000))
  (func $deep (call $deep)) {kinds}
  (func (export "nested") (param i32) (call $h (local.get 0)))
  (func (export "wait") (call $h (i32.const -1)))
  (func (export "write") (param i32) (i32.store (local.get 0) (i32.const 7)))
  {start})"#
    )
}

/// Modules are compiled before the context is set up: compiling wants a stack of its own.
struct Prepared {
    region: std::sync::Arc<lucet::Region>,
    module: std::sync::Arc<lucet::Module>,
    starting: Vec<std::sync::Arc<lucet::Module>>,
}

fn prepare() -> Prepared {
    let s = settings(4)[0];
    let offer = || imports(&[("h", "(i32) -> ()", host as *const c_void, 0)]);
    let starting = KINDS
        .iter()
        .map(|(name, ..)| s.module(&guest(&format!("(start ${name})")), offer()))
        .collect();
    Prepared { region: s.region(), module: s.module(&guest(""), offer()), starting }
}

/// Each kind of trap at each kind of place, beside a suspended instance that then goes on.
fn every_trap(p: &Prepared, overflows: bool) {
    let sibling = Instance::new(&p.region, &p.module).unwrap();
    assert_eq!(sibling.run("wait", &[]).unwrap(), Outcome::Yielded(1));
    for (k, (name, _, code)) in KINDS.iter().enumerate() {
        if !overflows && *code == TrapCode::StackOverflow {
            continue;
        }
        let i = Instance::new(&p.region, &p.module).unwrap();
        for at in [*name, &format!("in_{name}")] {
            // A page that nobody touched yet is opened by the same signal.
            let page = Val::I32(4096 * (k as i32 + 1));
            assert_eq!(i.run("write", &[page]).unwrap(), Outcome::Returned(vec![]));
            let t = trapped(i.run(at, &[]).unwrap());
            let want = if *code == TrapCode::StackOverflow { "deep" } else { *name };
            assert_eq!((t.code, t.function_name.as_deref()), (*code, Some(want)), "{at}");
            i.reset().unwrap();
        }
        let t = trapped(i.run("nested", &[Val::I32(k as i32)]).unwrap());
        assert_eq!(t.code, *code, "nested {name}");
        drop(i);
        let e = Instance::new(&p.region, &p.starting[k]).unwrap_err();
        assert_eq!((e.status(), e.trap()), (Status::StartFailed, Some(*code)), "start {name}");
    }
    assert_eq!(sibling.resume(0).unwrap(), Outcome::Returned(vec![]));
}

/// An alternate signal stack of `bytes`; 0: none.
fn set_alternate_stack(bytes: usize) {
    let memory = vec![0u8; bytes.max(1)].leak();
    // SAFETY: the memory is leaked, so it outlives the thread.
    unsafe {
        let mut stack: libc::stack_t = std::mem::zeroed();
        stack.ss_sp = memory.as_mut_ptr().cast();
        stack.ss_size = bytes;
        stack.ss_flags = if bytes == 0 { libc::SS_DISABLE } else { 0 };
        assert_eq!(libc::sigaltstack(&stack, std::ptr::null_mut()), 0);
    }
}

pub const SIGNALS: [i32; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

pub fn install(signals: &[i32], handler: *const (), flags: i32) {
    for signal in signals {
        // SAFETY: plain calls with a valid structure.
        unsafe {
            let mut a: libc::sigaction = std::mem::zeroed();
            a.sa_sigaction = handler as usize;
            a.sa_flags = flags;
            assert_eq!(libc::sigaction(*signal, &a, std::ptr::null_mut()), 0);
        }
    }
}

extern "C" fn never(signal: i32, _: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: async-signal-safe.
    unsafe { libc::_exit(100 + signal) };
}

extern "C" fn asks(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the arguments of a signal handler.
    if !unsafe { lucet::handle_signal(signal, info, context) } {
        never(signal, info, context);
    }
}

/// Puts something into every register that a signal frame has to hold.
fn fill_registers() {
    if std::is_x86_feature_detected!("avx512f") {
        // SAFETY: the registers are there, and their clobbers are named.
        unsafe {
            std::arch::asm!(
                "vpternlogd zmm0, zmm0, zmm0, 255", "vpternlogd zmm7, zmm7, zmm7, 255",
                "vpternlogd zmm15, zmm15, zmm15, 255", "vpternlogd zmm16, zmm16, zmm16, 255",
                "vpternlogd zmm31, zmm31, zmm31, 255", "kxnorw k1, k1, k1", "kxnorw k7, k7, k7",
                out("zmm0") _, out("zmm7") _, out("zmm15") _, out("zmm16") _, out("zmm31") _,
                out("k1") _, out("k7") _,
            );
        }
    }
}

/// Touches a page of guest memory for the first time with all of zmm16 to zmm31 in use.
fn wide_registers_survive_a_first_touch(p: &Prepared) {
    if !std::is_x86_feature_detected!("avx512f") {
        return;
    }
    let i = Instance::new(&p.region, &p.module).unwrap();
    let base = i.memory_range(0, 65536).unwrap();
    for page in 0..16 {
        let sum: u64;
        // SAFETY: a byte of the instance's memory; clobbers are named.
        unsafe {
            std::arch::asm!(
                "vpternlogd zmm20, zmm20, zmm20, 255", "vpternlogd zmm31, zmm31, zmm31, 255",
                "kxnorw k3, k3, k3",
                "mov byte ptr [{at}], 1",
                "vpandd zmm20, zmm20, zmm31", "vpcmpeqd k2, zmm20, zmm31",
                "kandw k2, k2, k3", "kmovw {sum:e}, k2",
                at = in(reg) base.add(page * 4096 + 8), sum = out(reg) sum,
                out("zmm20") _, out("zmm31") _, out("k2") _, out("k3") _,
            );
        }
        assert_eq!(sum, 0xffff, "page {page}");
    }
}

/// Contexts, and whether a guest's stack may overflow in them.
const CONTEXTS: [(&str, bool); 14] = [
    ("plain", true),
    ("handler before", true),
    ("handler before, on any stack", true),
    ("handler before, not deferred", true),
    ("handler before, without siginfo", true),
    ("handler after", true),
    ("handler after, not deferred", true),
    ("handler after, on any stack", false),
    ("no alternate stack", true),
    ("tiny alternate stack", true),
    ("own alternate stack", true),
    ("alternate stack taken away inside", false),
    ("wide registers", true),
    ("small foreign thread", true),
];

extern "C" fn on_thread(p: *mut c_void) -> *mut c_void {
    // SAFETY: what `foreign_thread` passes.
    every_trap(unsafe { &*p.cast::<Prepared>() }, true);
    std::ptr::dangling_mut::<u8>().cast()
}

/// A thread that Rust did not make, with 64 KiB of stack.
fn foreign_thread(p: &Prepared) {
    // SAFETY: plain calls; the thread is joined before `p` goes.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        libc::pthread_attr_init(&mut attributes);
        assert_eq!(libc::pthread_attr_setstacksize(&mut attributes, 64 << 10), 0);
        let mut thread: libc::pthread_t = std::mem::zeroed();
        let argument = std::ptr::from_ref(p).cast_mut().cast();
        assert_eq!(libc::pthread_create(&mut thread, &attributes, on_thread, argument), 0);
        let mut result = std::ptr::null_mut();
        assert_eq!(libc::pthread_join(thread, &mut result), 0);
        assert!(!result.is_null());
    }
}

fn in_context(name: &str, overflows: bool) {
    let p = prepare();
    let (info, on) = (libc::SA_SIGINFO, libc::SA_ONSTACK);
    let handler = never as *const ();
    match name {
        "handler before" => install(&SIGNALS, handler, info | on),
        "handler before, on any stack" => install(&SIGNALS, handler, info),
        "handler before, not deferred" => {
            install(&SIGNALS, handler, info | on | libc::SA_NODEFER);
        }
        "handler before, without siginfo" => install(&SIGNALS, handler, 0),
        _ => {}
    }
    let after = |flags| {
        lucet::prepare_thread().unwrap();
        install(&SIGNALS, asks as *const (), info | flags);
    };
    match name {
        "handler after" => after(on),
        "handler after, not deferred" => after(on | libc::SA_NODEFER),
        "handler after, on any stack" => after(0),
        _ => {}
    }
    // On a thread of its own: Rust's have alternate stacks already.
    std::thread::scope(|s| {
        s.spawn(|| {
            match name {
                "no alternate stack" => set_alternate_stack(0),
                "tiny alternate stack" => set_alternate_stack(libc::MINSIGSTKSZ),
                "own alternate stack" => set_alternate_stack(256 << 10),
                "alternate stack taken away inside" => IN_HOST.store(2, Ordering::Relaxed),
                "wide registers" => {
                    fill_registers();
                    IN_HOST.store(1, Ordering::Relaxed);
                    wide_registers_survive_a_first_touch(&p);
                }
                "small foreign thread" => foreign_thread(&p),
                _ => {}
            }
            for _ in 0..3 {
                every_trap(&p, overflows);
            }
        });
    });
}

#[test]
fn every_trap_in_every_context() {
    if let Some(name) = context() {
        let (name, overflows) = CONTEXTS.into_iter().find(|c| c.0 == name).unwrap();
        return in_context(name, overflows);
    }
    for (name, _) in CONTEXTS {
        must_pass(&child("contexts::every_trap_in_every_context", name), name);
    }
}

/// Nobody can run a handler when the stack is used up and there is no other: the kernel ends the
/// process, and nothing is worse than that.
#[test]
fn a_handler_that_needs_the_guests_stack_cannot_save_it() {
    let name = "contexts::a_handler_that_needs_the_guests_stack_cannot_save_it";
    if context().is_some() {
        return in_context("handler after, on any stack", true);
    }
    let out = child(name, "x");
    assert_eq!(out.status.signal(), Some(libc::SIGSEGV), "{}", out.status);
}

#[test]
fn traps_belong_to_the_module_whose_code_ran() {
    let p = "(param i32)";
    for s in settings(4) {
        let r = s.region();
        let mut g = lucet::Group::new(&r);
        let kinds: String = KINDS
            .iter()
            .map(|(name, body, _)| format!("(func (export \"{name}\") {p} {body})"))
            .collect();
        let b = s.linkable(
            &format!(
                r#"(module (memory (export "m") 1) (table 2 funcref) (type $v (func))
                (global $zero (mut i32) (i32.const 0))
                (global $min (mut i64) (i64.const 0x8000000000000000))
                (func $deep (call $deep)) {kinds}
                (func (export "at") {p} (drop (i32.load (local.get 0)))))"#
            ),
            lucet::Imports::new(),
        );
        let uses: String = KINDS
            .iter()
            .map(|(name, ..)| format!(r#"(import "B" "{name}" (func ${name} {p}))"#))
            .collect();
        let calls: String = KINDS
            .iter()
            .map(|(name, ..)| {
                format!(r#"(func (export "{name}") {p} (call ${name} (local.get 0)))"#)
            })
            .collect();
        let a = s.linkable(
            &format!(
                r#"(module {uses} (import "B" "at" (func $at {p})) (import "B" "m" (memory 1))
                {calls} (func (export "at") {p} (call $at (local.get 0)))
                (func (export "own") {p} (drop (i32.load (local.get 0)))))"#
            ),
            lucet::Imports::new(),
        );
        g.instantiate(Some("B"), &b).unwrap();
        let i = **g.instantiate(Some("A"), &a).unwrap();
        for (name, _, code) in KINDS {
            let t = trapped(i.run(name, &[Val::I32(0)]).unwrap());
            assert_eq!((t.code, t.module), (code, b.id()), "{name}");
            i.recover().unwrap();
        }
        // A's code on B's memory, B's code on it: the address is an offset in it.
        for (name, module) in [("own", a.id()), ("at", b.id())] {
            let t = trapped(i.run(name, &[Val::I32(70_000)]).unwrap());
            assert_eq!((t.code, t.module), (TrapCode::MemoryOutOfBounds, module), "{name}");
            assert!(t.address.is_none_or(|at| at == 70_000), "{t:?}");
            i.recover().unwrap();
        }
    }
}
