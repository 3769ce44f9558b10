//! What a request through a reference costs beside one that names its module, instruction by
//! instruction: a child process does both through the C interface, its parent steps it (ptrace) and
//! looks at what each instruction writes. Counts, no times: the number of instructions, the atomic
//! ones among them, and the cache lines written outside the thread's stack. There must be no line
//! that is not written without a reference: then threads that share one share nothing by it.

mod common;

use common::compile;
use iced_x86::{Decoder, DecoderOptions, Instruction, InstructionInfoFactory, OpAccess, Register};
use lucet_artifact::types::MemoryShape;
use std::collections::BTreeSet;
use std::ffi::{CStr, c_char, c_void};

const GUEST: &str = r#"(module (memory 1)
  (func (export "a") (result i32) (i32.const 1))
  (func (export "b") (param i32) (result i32) (local.get 0)))"#;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CFunc {
    module: u64,
    index: u64,
}

unsafe extern "C" {
    fn lucet_module_config_create() -> usize;
    fn lucet_module_config_allow_unsigned(config: usize, allow: bool) -> i32;
    fn lucet_module_load_bytes(
        bytes: *const c_void,
        len: usize,
        config: usize,
        out: *mut usize,
    ) -> i32;
    fn lucet_region_create(config: usize, out: *mut usize) -> i32;
    fn lucet_instance_create(region: usize, module: usize, out: *mut usize) -> i32;
    fn lucet_instance_free(instance: usize) -> i32;
    fn lucet_module_ref_create(out: *mut usize) -> i32;
    fn lucet_module_ref_require(r: usize, name: *const c_char, signature: *const c_char) -> i32;
    fn lucet_module_ref_publish(r: usize, module: usize) -> i32;
    fn lucet_module_ref_instantiate(
        r: usize,
        region: usize,
        funcs: *mut CFunc,
        nfuncs: usize,
        version: *mut u64,
        out: *mut usize,
    ) -> i32;
}

fn raise(signal: i32) {
    // SAFETY: a plain call; the tracer takes the signal.
    unsafe { libc::raise(signal) };
}

fn ok(status: i32) {
    if status != 0 {
        // SAFETY: a plain call: the child of a test ends here.
        unsafe { libc::_exit(100 + status) };
    }
}

/// The traced process: what stands between SIGUSR1 and SIGUSR2 is looked at.
fn child(artifact: &[u8]) -> ! {
    let signature: &CStr = c"(i32) -> i32";
    // SAFETY: the calls get handles and places of their own, and texts that end with NUL.
    unsafe {
        let (mut module, mut region, mut r) = (0, 0, 0);
        let config = lucet_module_config_create();
        ok(lucet_module_config_allow_unsigned(config, true));
        let (bytes, len) = (artifact.as_ptr().cast(), artifact.len());
        ok(lucet_module_load_bytes(bytes, len, config, &mut module));
        ok(lucet_region_create(0, &mut region));
        ok(lucet_module_ref_create(&mut r));
        ok(lucet_module_ref_require(r, c"b".as_ptr(), signature.as_ptr()));
        ok(lucet_module_ref_require(r, c"a".as_ptr(), std::ptr::null()));
        ok(lucet_module_ref_publish(r, module));
        let (mut i, mut funcs, mut version) = (0, [CFunc::default(); 2], 0);
        let (funcs, version) = (funcs.as_mut_ptr(), &raw mut version);
        for _ in 0..4 {
            ok(lucet_instance_create(region, module, &mut i));
            ok(lucet_instance_free(i));
            ok(lucet_module_ref_instantiate(r, region, funcs, 2, version, &mut i));
            ok(lucet_instance_free(i));
        }
        raise(libc::SIGUSR1);
        ok(lucet_instance_create(region, module, &mut i));
        raise(libc::SIGUSR2);
        ok(lucet_instance_free(i));
        raise(libc::SIGUSR1);
        ok(lucet_module_ref_instantiate(r, region, funcs, 2, version, &mut i));
        raise(libc::SIGUSR2);
        let same = (*funcs).module == (*funcs.add(1)).module && (*funcs).module != 0;
        libc::_exit(i32::from(!(same && *version == 1)));
    }
}

struct Tracer(i32);

/// What was seen between two signals.
#[derive(Debug, Default)]
struct Seen {
    instructions: usize,
    atomic: usize,
    /// Numbers of the cache lines written outside the stack.
    lines: BTreeSet<u64>,
    system_calls: usize,
}

impl Tracer {
    /// The signal that the child stopped with, or its exit code.
    fn wait(&self) -> Result<i32, i32> {
        let mut status = 0;
        // SAFETY: waits for our child, with room for its status.
        assert_eq!(unsafe { libc::waitpid(self.0, &mut status, libc::__WALL) }, self.0);
        if libc::WIFSTOPPED(status) {
            return Ok(libc::WSTOPSIG(status));
        }
        Err(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -status })
    }

    fn go(&self, request: u32, signal: i32) {
        // SAFETY: the child is stopped.
        let done = unsafe { libc::ptrace(request, self.0, 0usize, signal as usize) };
        assert_eq!(done, 0, "ptrace: {}", std::io::Error::last_os_error());
    }

    /// Continues until the child raises `signal`; everything else it gets as it came.
    fn until(&self, signal: i32) {
        let mut pass = 0;
        loop {
            self.go(libc::PTRACE_CONT, pass);
            match self.wait() {
                Ok(s) if s == signal => return,
                Ok(other) => pass = other,
                Err(code) => panic!("the child is gone: {code}"),
            }
        }
    }

    fn registers(&self) -> libc::user_regs_struct {
        // SAFETY: the child is stopped; the structure has room for its registers.
        unsafe {
            let mut regs: libc::user_regs_struct = std::mem::zeroed();
            let done = libc::ptrace(libc::PTRACE_GETREGS, self.0, 0usize, &raw mut regs);
            assert_eq!(done, 0);
            regs
        }
    }

    fn instruction(&self, at: u64) -> Instruction {
        let mut bytes = [0u8; 16];
        for (n, word) in bytes.chunks_exact_mut(8).enumerate() {
            // SAFETY: reads a word of the child, which is stopped.
            let read =
                unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, self.0, at + 8 * n as u64, 0usize) };
            word.copy_from_slice(&read.to_le_bytes());
        }
        Decoder::with_ip(64, &bytes, at, DecoderOptions::NONE).decode()
    }

    /// Steps until SIGUSR2.
    fn look(&self, info: &mut InstructionInfoFactory) -> Seen {
        self.until(libc::SIGUSR1);
        let mut seen = Seen::default();
        // The rest of `raise` before, its beginning after, are the same for everybody.
        loop {
            self.go(libc::PTRACE_SINGLESTEP, 0);
            match self.wait() {
                Ok(libc::SIGTRAP) => self.note(info, &mut seen),
                Ok(libc::SIGUSR2) => return seen,
                other => panic!("in the middle of it: {other:?}"),
            }
        }
    }

    /// Notes what the next instruction will do.
    fn note(&self, info: &mut InstructionInfoFactory, seen: &mut Seen) {
        let regs = self.registers();
        let instruction = self.instruction(regs.rip);
        assert!(!instruction.is_invalid(), "at {:#x}", regs.rip);
        seen.instructions += 1;
        seen.system_calls += usize::from(instruction.mnemonic() == iced_x86::Mnemonic::Syscall);
        let info = info.info(&instruction);
        let exchange = instruction.mnemonic() == iced_x86::Mnemonic::Xchg;
        let memory = !info.used_memory().is_empty();
        seen.atomic += usize::from(instruction.has_lock_prefix() || exchange && memory);
        for used in info.used_memory() {
            let writes = matches!(
                used.access(),
                OpAccess::Write
                    | OpAccess::CondWrite
                    | OpAccess::ReadWrite
                    | OpAccess::ReadCondWrite
            );
            if !writes {
                continue;
            }
            let at = used.virtual_address(0, |r, _, _| value(&regs, r)).unwrap();
            let size = used.memory_size().size().max(1) as u64;
            if at.abs_diff(regs.rsp) < 64 << 10 {
                continue;
            }
            seen.lines.extend(at / 64..=(at + size - 1) / 64);
        }
    }
}

fn value(regs: &libc::user_regs_struct, r: Register) -> Option<u64> {
    let full = match r.full_register() {
        Register::RAX => regs.rax,
        Register::RBX => regs.rbx,
        Register::RCX => regs.rcx,
        Register::RDX => regs.rdx,
        Register::RSI => regs.rsi,
        Register::RDI => regs.rdi,
        Register::RBP => regs.rbp,
        Register::RSP => regs.rsp,
        Register::R8 => regs.r8,
        Register::R9 => regs.r9,
        Register::R10 => regs.r10,
        Register::R11 => regs.r11,
        Register::R12 => regs.r12,
        Register::R13 => regs.r13,
        Register::R14 => regs.r14,
        Register::R15 => regs.r15,
        Register::FS => regs.fs_base,
        Register::GS => regs.gs_base,
        Register::CS | Register::DS | Register::ES | Register::SS => 0,
        _ => return None,
    };
    Some(full)
}

#[test]
fn a_reference_shares_nothing_between_threads() {
    let artifact = compile(GUEST, MemoryShape::Guarded);
    // SAFETY: the child goes on in `child` alone and never comes back.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: plain calls: it ends with this process, which traces it, or after a while.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::alarm(300);
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0usize, 0usize);
        }
        raise(libc::SIGSTOP);
        child(&artifact);
    }
    let t = Tracer(pid);
    assert_eq!(t.wait(), Ok(libc::SIGSTOP));
    let mut info = InstructionInfoFactory::new();
    let direct = t.look(&mut info);
    let through = t.look(&mut info);
    t.go(libc::PTRACE_CONT, 0);
    assert_eq!(t.wait(), Err(0), "what the calls gave");
    println!(
        "a fresh instance, {} instructions, through a reference {}; {} and {} lines written",
        direct.instructions,
        through.instructions,
        direct.lines.len(),
        through.lines.len()
    );
    assert!(direct.instructions > 100 && direct.lines.len() > 4, "{direct:?}");
    let more: Vec<_> = through.lines.difference(&direct.lines).collect();
    assert!(more.is_empty(), "lines {more:x?} are written because of the reference");
    assert_eq!(through.atomic, direct.atomic, "atomic instructions");
    assert_eq!(through.system_calls, direct.system_calls);
    let added = through.instructions.saturating_sub(direct.instructions);
    assert!(added <= 80, "{added} instructions more");
}
