//! All the registers of a guest that was interrupted somewhere in its code, in memory that outlives
//! the signal: how a time slice ends and goes on.
//!
//! ```text
//!   ┌──────────────────────────┐ 64-aligned
//!   │ capacity, length         │
//!   ├──────────────────────────┤ 64
//!   │ the kernel's ucontext    │ general registers, flags, pc
//!   ├──────────────────────────┤ 64 + 320
//!   │ the kernel's xsave area  │ x87, SSE, AVX, AVX-512, what the processor has; its last
//!   │ …                        │ 48 bytes of the legacy part say how long it is
//!   └──────────────────────────┘
//! ```
//!
//! The handler copies what the kernel pushed when the signal came, and nothing is interpreted but
//! lengths. To go on, the same is given back to the kernel with `rt_sigreturn`, which restores all
//! of it at once without needing a register or a byte of the guest's stack. A copy of the first
//! part is patched before: signal mask and alternate stack are the *resuming* thread's, and so is
//! PKRU, which is no part of the guest's state.
//!
//! The memory is allocated outside the handler, before the run begins, and changes its owner with
//! the instance: thread → suspended instance → the thread that resumes it.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// Bytes of the kernel's `struct ucontext` (x86-64): flags, link, stack, 32 words of registers,
/// signal mask.
pub(super) const UCONTEXT: usize = 8 + 8 + 24 + 256 + 8;
const AT_UCONTEXT: usize = 64;
const AT_XSAVE: usize = 64 + 320;

/// Offset of the stack description in `struct ucontext`.
const UC_STACK: usize = 16;
/// Offset of the pointer to the xsave area.
const UC_FPSTATE: usize = 40 + 23 * 8;
/// Offset of the signal mask.
const UC_SIGMASK: usize = UCONTEXT - 8;

/// Offsets in the xsave area of what the kernel notes in its reserved bytes: a magic number, the
/// length of everything, and the components.
const SW_MAGIC: usize = 464;
const SW_EXTENDED_SIZE: usize = 468;
const SW_FEATURES: usize = 472;
const MAGIC: u32 = 0x4650_5853;
/// The legacy part alone, on processors without xsave.
const FXSAVE: usize = 512;
/// The component of the protection keys.
const PKRU: u64 = 1 << 9;

/// The registers of an interrupted guest, or room for them.
#[derive(Debug)]
pub(crate) struct Registers(NonNull<Head>);

#[derive(Debug)]
#[repr(C, align(64))]
struct Head {
    capacity: usize,
    /// Bytes in use of the xsave area; 0: no registers are stored here.
    xsave: usize,
}

// SAFETY: owned memory without ties to a thread.
unsafe impl Send for Registers {}

fn layout(capacity: usize) -> Option<Layout> {
    Layout::from_size_align(AT_XSAVE + capacity, 64).ok()
}

impl Registers {
    /// Room for the registers of this machine. `None` when there is no memory.
    pub(crate) fn allocate() -> Option<Self> {
        // The kernel says how large its frame can be, all of it: that is enough for a part.
        // SAFETY: a plain C call.
        let frame = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
        let capacity = frame.max(4096).next_multiple_of(64);
        // SAFETY: the layout is not empty.
        let head = NonNull::new(unsafe { alloc_zeroed(layout(capacity)?) })?.cast::<Head>();
        // SAFETY: fresh memory of at least this size and alignment.
        unsafe { head.write(Head { capacity, xsave: 0 }) };
        Some(Self(head))
    }

    /// Gives up ownership, for a word that the signal handler reads.
    pub(crate) fn into_raw(self) -> *mut u8 {
        let p = self.0.as_ptr().cast();
        std::mem::forget(self);
        p
    }

    /// Takes what [`Registers::into_raw`] gave; `None` for null.
    ///
    /// # Safety
    /// `p` is null or came from `into_raw`, and is taken back once.
    pub(crate) unsafe fn from_raw(p: *mut u8) -> Option<Self> {
        NonNull::new(p.cast::<Head>()).map(Self)
    }

    fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: offsets are constants inside the allocation.
        unsafe { self.0.as_ptr().cast::<u8>().add(offset) }
    }

    /// Stores the registers of an interrupted context. Async-signal-safe. Says no if the frame is
    /// none that it knows, which changes nothing.
    ///
    /// # Safety
    /// `raw` came from [`Registers::into_raw`], and `context` is what the kernel gave to a signal
    /// handler that has not returned.
    pub(crate) unsafe fn store(raw: *mut u8, context: &libc::ucontext_t) -> bool {
        let fp = context.uc_mcontext.fpregs.cast::<u8>();
        if raw.is_null() || fp.is_null() {
            return false;
        }
        let head = raw.cast::<Head>();
        // SAFETY: the kernel's frame: a legacy area at least, and as much as it notes in there; our
        // area is `AT_XSAVE + capacity` long.
        unsafe {
            let word = |at: usize| fp.add(at).cast::<u32>().read_unaligned();
            let extended = word(SW_MAGIC) == MAGIC;
            let len = if extended { word(SW_EXTENDED_SIZE) as usize } else { FXSAVE };
            if len < FXSAVE || len > (*head).capacity {
                return false;
            }
            let from = std::ptr::from_ref(context).cast::<u8>();
            std::ptr::copy_nonoverlapping(from, raw.add(AT_UCONTEXT), UCONTEXT);
            std::ptr::copy_nonoverlapping(fp, raw.add(AT_XSAVE), len);
            (*head).xsave = len;
        }
        true
    }

    /// What to give to `rt_sigreturn` on this thread; `None` if nothing is stored. It points into
    /// this area, which must stay until the guest runs.
    pub(super) fn frame(&mut self) -> Option<[u64; UCONTEXT / 8]> {
        // SAFETY: the head was written by `allocate`.
        let len = unsafe { self.0.as_ref() }.xsave;
        if len == 0 {
            return None;
        }
        let mut frame = [0u64; UCONTEXT / 8];
        // SAFETY: `store` filled the area; the mask and the alternate stack are read into locals,
        // of which the kernel's part is used.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.at(AT_UCONTEXT).cast::<u64>(),
                frame.as_mut_ptr(),
                frame.len(),
            );
            let mut mask: libc::sigset_t = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
            frame[UC_SIGMASK / 8] = std::ptr::from_ref(&mask).cast::<u64>().read();
            let mut stack: libc::stack_t = std::mem::zeroed();
            libc::sigaltstack(std::ptr::null(), &mut stack);
            frame[UC_STACK / 8] = stack.ss_sp as u64;
            frame[UC_STACK / 8 + 1] = u64::from(stack.ss_flags as u32);
            frame[UC_STACK / 8 + 2] = stack.ss_size as u64;
        }
        frame[UC_FPSTATE / 8] = self.at(AT_XSAVE) as u64;
        self.keep_own_pkru(len);
        Some(frame)
    }

    /// Writes this thread's protection keys into the area, so that they stay as they are.
    fn keep_own_pkru(&mut self, len: usize) {
        // SAFETY: an area that `store` filled, of `len` bytes.
        let features = unsafe { self.at(AT_XSAVE + SW_FEATURES).cast::<u64>().read() };
        if len == FXSAVE || features & PKRU == 0 {
            return;
        }
        let at = std::arch::x86_64::__cpuid_count(0xd, 9).ebx as usize;
        if at + 4 > len {
            return;
        }
        let pkru: u32;
        // SAFETY: the kernel saves the component, so the processor has the instruction and the
        // system has enabled it.
        unsafe {
            std::arch::asm!("rdpkru", in("ecx") 0, out("eax") pkru, out("edx") _,
                options(nomem, nostack, preserves_flags));
            self.at(AT_XSAVE + at).cast::<u32>().write(pkru);
            // In the header's XSTATE_BV too: else the component would be initialised.
            let present = self.at(AT_XSAVE + FXSAVE).cast::<u64>();
            present.write(present.read() | PKRU);
        }
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: allocated by `allocate` with this layout, and owned.
        unsafe {
            if let Some(layout) = layout(self.0.as_ref().capacity) {
                dealloc(self.0.as_ptr().cast(), layout);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_the_kernels() {
        assert_eq!(std::mem::offset_of!(libc::ucontext_t, uc_stack), UC_STACK);
        assert_eq!(std::mem::offset_of!(libc::ucontext_t, uc_sigmask), UC_SIGMASK);
        let fp = std::mem::offset_of!(libc::ucontext_t, uc_mcontext)
            + std::mem::offset_of!(libc::mcontext_t, fpregs);
        assert_eq!(fp, UC_FPSTATE);
        assert_eq!(UCONTEXT % 8, 0);
        const { assert!(AT_UCONTEXT + UCONTEXT <= AT_XSAVE && AT_XSAVE.is_multiple_of(64)) };
    }

    #[test]
    fn room_without_registers_cannot_be_resumed() {
        assert!(Registers::allocate().unwrap().frame().is_none());
    }
}
