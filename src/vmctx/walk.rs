//! Walking the frames of a guest stack, from where a run left to where it was entered.
//!
//! ```text
//!  top of the stack
//!  ├───────────────────────────┤
//!  │ return address into enter │  not guest code: the end of this stretch
//!  │ 0                         │◄─┐ entry trampoline's frame
//!  │ …                         │  │
//!  │ return address            │──┼─► a frame: the call before this address
//!  │ frame pointer of caller   │──┘◄─┐
//!  │ …                         │     │
//!  │ return address            │─────┼─► a frame
//!  │ frame pointer of caller   │─────┘◄── rbp where the guest left
//!  │ …                         │ ◄── rsp
//! ```
//!
//! Every function that lucetc writes keeps `rbp` as a frame pointer, and so does the host thunk.
//! Only in their first and last instructions does `rbp` still (or again) belong to the caller: a
//! run that is ended from outside may leave there. Which instruction that is can be told from the
//! bytes around it, because the code generator writes only these:
//!
//! ```text
//!  push rbp                  return address at rsp
//!  mov rbp, rsp              … at rsp + 8
//!  [sub rsp, n; mov rbp, rsp; four moves     a function that makes room for a tail call: until
//!                            … at rsp + n + 8   they are done, its frame is where it was]
//!  …
//!  mov rsp, rbp
//!  pop rbp
//!  [moves that shrink the arguments of a tail call]
//!  ret or jmp                … at rsp
//! ```
//!
//! A guest cannot write to its stack by any means of WebAssembly; still nothing here trusts it. A
//! word is read only if it lies on that stack, frame pointers must ascend, return addresses must be
//! guest code, and the number of frames is limited.

use super::{Activation, ControlRef};
use crate::arch;
use crate::sys::arena;
use std::ops::Range;

/// One step of the way out of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Code of a module: an address in the instruction that was being executed.
    Code(usize),
    /// A host function or builtin that guest code called, by the number of its host entry.
    Host(u32),
}

/// Where to begin.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    /// At an instruction, with these registers.
    Code { pc: usize, fp: usize, sp: usize },
    /// In a host function: frame pointer of the host thunk, host entry.
    Host { fp: usize, entry: u32 },
}

/// Most frames that are looked at. More than that fit only stacks of many mebibytes.
const MAX_FRAMES: u32 = 1 << 18;

impl Start {
    /// Where a guest trapped or was ended.
    pub(crate) fn of(a: &Activation) -> Self {
        if a.trap_pc == 0 {
            // The host thunk left, after a host function or instead of calling it.
            return Self::Host { fp: a.guest_fp, entry: a.entry };
        }
        Self::Code { pc: a.trap_pc, fp: a.guest_fp, sp: a.guest_sp }
    }

    /// Where a guest left at a host call, for good or to be resumed.
    pub(crate) fn suspended(guest_sp: usize, entry: u32) -> Self {
        Self::Host { fp: super::suspended_fp(guest_sp), entry }
    }

    fn around(a: &Activation) -> Self {
        // The host thunk pushes one register below its frame pointer; an activation that stands for
        // a suspended guest says where that is.
        let fp = if a.guest_fp != 0 { a.guest_fp } else { a.guest_sp.wrapping_add(8) };
        Self::Host { fp, entry: a.entry }
    }
}

/// Walks the stretch that `start` is in, on a stack with these usable addresses.
pub(crate) fn stretch(stack: &Range<usize>, start: Start, visit: &mut dyn FnMut(Step)) {
    let mut budget = MAX_FRAMES;
    walk(stack, start, &mut budget, visit);
}

/// Walks from `start`, if there is one, to where the outermost run of the same instance was
/// entered: through the activations of this thread as long as `stack_of` knows the stack they run
/// on.
pub(crate) fn chain(
    control: ControlRef,
    start: Option<Start>,
    stack_of: &dyn Fn(ControlRef) -> Option<Range<usize>>,
    visit: &mut dyn FnMut(Step),
) {
    let mut budget = MAX_FRAMES;
    if let (Some(start), Some(stack)) = (start, stack_of(control)) {
        walk(&stack, start, &mut budget, visit);
    }
    let mut at = arch::current().cast_const();
    loop {
        // SAFETY: null, or an activation in a frame of `enter`, `resume` or `call_resume_fn`
        // further up this thread's host stack: it is alive, and so are those around it.
        let Some(activation) = (unsafe { at.as_ref() }) else { return };
        // SAFETY: control blocks are never unmapped.
        let Some(control) = (unsafe { activation.control.as_ref() }) else { return };
        let Some(stack) = stack_of(ControlRef(control)) else { return };
        walk(&stack, Start::around(activation), &mut budget, visit);
        at = activation.previous;
    }
}

/// A word of a stack, if it lies there.
pub(super) fn word(stack: &Range<usize>, at: usize) -> Option<usize> {
    let inside = at.is_multiple_of(8) && at >= stack.start && at < stack.end;
    // SAFETY: an aligned word of a stack that the caller has exclusive use of.
    inside.then(|| unsafe { std::ptr::read(at as *const usize) })
}

/// The two words at a frame pointer: the caller's frame pointer, and the address to return to.
pub(super) fn frame(stack: &Range<usize>, fp: usize) -> Option<(usize, usize)> {
    word(stack, fp).zip(word(stack, fp.checked_add(8)?))
}

fn walk(stack: &Range<usize>, start: Start, budget: &mut u32, visit: &mut dyn FnMut(Step)) {
    let mut fp = match start {
        Start::Host { fp, entry } => {
            visit(Step::Host(entry));
            fp
        }
        Start::Code { pc, fp, sp } => {
            if is_guest(pc) {
                visit(Step::Code(pc));
            }
            match frame_at(pc, sp) {
                FrameAt::Pointer => fp,
                FrameAt::Moved(at) => at,
                FrameAt::Callers(at) => {
                    if let Some(to) = word(stack, at).filter(|to| is_guest(*to)) {
                        visit(Step::Code(to - 1));
                    }
                    fp
                }
            }
        }
    };
    let mut lowest = stack.start;
    while *budget > 0 && fp >= lowest {
        *budget -= 1;
        let Some((next, to)) = frame(stack, fp) else { return };
        // An exception is about to land: see `unwind`.
        let pad = fp.checked_add(16).filter(|_| to == arch::landing());
        let to = pad.and_then(|at| word(stack, at)).unwrap_or(to);
        if !is_guest(to) {
            return;
        }
        // The call lies before the address to return to.
        visit(Step::Code(to - 1));
        lowest = fp + 16;
        fp = next;
    }
}

/// Where the innermost frame is.
#[derive(Debug, PartialEq, Eq)]
enum FrameAt {
    /// Where the frame pointer points.
    Pointer,
    /// Here; the frame pointer is ahead of it.
    Moved(usize),
    /// There is none: the frame pointer is the caller's, and the return address is here.
    Callers(usize),
}

fn is_guest(pc: usize) -> bool {
    arena::owner_of(pc).is_some()
}

/// The bytes `before` and `after` a pc, as far as they can be looked at.
fn code_around(pc: usize) -> Option<(&'static [u8], &'static [u8])> {
    const BEFORE: usize = 64;
    const AFTER: usize = 16;
    let page = lucet_artifact::limits::NATIVE_PAGE as usize;
    let (start, end) = if arch::code_range().contains(&pc) {
        (arch::code_range().start, arch::code_range().end)
    } else {
        let owner = arena::owner_of(pc)?;
        // Code is mapped in whole pages from the start of a granule on.
        let mut start = pc & !(page - 1);
        if arena::owner_of(start.wrapping_sub(page)) == Some(owner) {
            start -= page;
        }
        (start, (pc | (page - 1)) + 1)
    };
    let (from, to) = (start.max(pc.saturating_sub(BEFORE)), end.min(pc.saturating_add(AFTER)));
    // SAFETY: readable code: the runtime's own, or the page that holds `pc` and the one before it
    // if that is the same module's. It is not unmapped while the module is alive, which it is, as
    // an instance of it is being looked at.
    let all = unsafe { std::slice::from_raw_parts(from as *const u8, to - from) };
    all.split_at_checked(pc - from)
}

const SET_UP: [u8; 4] = [0x55, 0x48, 0x89, 0xe5]; // push rbp; mov rbp, rsp
const TEAR_DOWN: [u8; 4] = [0x48, 0x89, 0xec, 0x5d]; // mov rsp, rbp; pop rbp

/// Where the innermost frame is when `pc` is the next instruction to be executed.
fn frame_at(pc: usize, sp: usize) -> FrameAt {
    let Some((before, after)) = code_around(pc) else { return FrameAt::Pointer };
    // Functions begin at multiples of 32, and nothing inside one looks like this.
    if pc.is_multiple_of(32) && after.starts_with(&SET_UP) {
        return FrameAt::Callers(sp);
    }
    if pc % 32 == 1 && before.ends_with(&SET_UP[..1]) && after.starts_with(&SET_UP[1..]) {
        return FrameAt::Callers(sp.wrapping_add(8));
    }
    if matches!(after.first(), Some(0xc3 | 0xc2)) || shrinks(before) {
        return FrameAt::Callers(sp);
    }
    match grows(before, after) {
        Some(n) => FrameAt::Moved(sp.wrapping_add(n)),
        None => FrameAt::Pointer,
    }
}

/// Whether what lies before a pc is the end of a function's frame and nothing else but the moves
/// that shrink its arguments.
fn shrinks(before: &[u8]) -> bool {
    (0..=19).any(|distance| {
        let Some((code, moves)) = before.len().checked_sub(distance).map(|n| before.split_at(n))
        else {
            return false;
        };
        code.ends_with(&TEAR_DOWN) && only_moves(moves)
    })
}

fn only_moves(moves: &[u8]) -> bool {
    let n = match moves {
        [] => return true,
        // mov r, [rsp]
        [0x48 | 0x4c, 0x8b, m, 0x24, ..] if m & 0xc7 == 0x04 => 4,
        // mov [rsp + n], r
        [0x48 | 0x4c, 0x89, m, 0x24, ..] if m & 0xc7 == 0x44 => 5,
        [0x48 | 0x4c, 0x89, m, 0x24, ..] if m & 0xc7 == 0x84 => 8,
        // add rsp, n
        [0x48, 0x83, 0xc4, ..] => 4,
        [0x48, 0x81, 0xc4, ..] => 7,
        _ => return false,
    };
    moves.get(n..).is_some_and(only_moves)
}

/// By how much the frame of a function is about to be moved, if `pc` is among the moves. (Between
/// the first two instructions of the function and these may stand probes of a large frame.)
fn grows(before: &[u8], after: &[u8]) -> Option<usize> {
    // Bytes from making room to the end of the moves, at most.
    const LONGEST: usize = 48;
    (0..=before.len().min(LONGEST)).find_map(|back| {
        let begin = before.len() - back;
        let code = |at: usize| -> Option<u8> {
            match (begin + at).checked_sub(before.len()) {
                Some(n) => after.get(n).copied(),
                None => before.get(begin + at).copied(),
            }
        };
        let is = |at: usize, bytes: &[u8]| {
            bytes.iter().enumerate().all(|(i, b)| code(at + i) == Some(*b))
        };
        // sub rsp, n
        let (n, moved) = if is(0, &[0x48, 0x83, 0xec]) {
            (u32::from(code(3)?), 4)
        } else if is(0, &[0x48, 0x81, 0xec]) {
            let mut n = [0; 4];
            for (i, b) in n.iter_mut().enumerate() {
                *b = code(3 + i)?;
            }
            (u32::from_le_bytes(n), 7)
        } else {
            return None;
        };
        // mov rbp, rsp, then the frame pointer's move (4 bytes to store it), then the return
        // address's (5 bytes to store it).
        let wide = |n: u32| if n < 128 { 5 } else { 8 };
        let first = [0x4c, 0x8b, if n < 128 { 0x5c } else { 0x9c }, 0x24];
        let (start, end) = (moved + 3, moved + 3 + wide(n) + 4 + wide(n + 8) + 5);
        let inside = (start..end).contains(&back);
        (inside && is(moved, &SET_UP[1..]) && is(start, &first)).then_some(n as usize)
    })
}

/// What damaged stacks are, for the tests of all that walk them.
#[cfg(test)]
pub(super) mod damaged {
    use super::Range;

    /// The addresses of a stack.
    pub fn of(stack: &[usize]) -> Range<usize> {
        let base = stack.as_ptr() as usize;
        base..base + size_of_val(stack)
    }

    /// Frame pointers at which there is no frame of that stack.
    pub fn no_frames(stack: &Range<usize>) -> [usize; 8] {
        let (base, end) = (stack.start, stack.end);
        [0, 1, base - 16, base + 3, end - 8, end, usize::MAX, usize::MAX - 7]
    }
}

#[cfg(test)]
mod tests {
    use super::damaged::{no_frames, of};
    use super::*;

    #[test]
    fn the_end_of_a_tail_calling_function_is_known_by_its_bytes() {
        let end = [0x90, 0x48, 0x89, 0xec, 0x5d];
        let with = |moves: &[u8]| [&end[..], moves].concat();
        assert!(shrinks(&with(&[])));
        assert!(shrinks(&with(&[0x4c, 0x8b, 0x1c, 0x24])));
        let two = [0x4c, 0x8b, 0x1c, 0x24, 0x4c, 0x89, 0x5c, 0x24, 0x20];
        assert!(shrinks(&with(&two)));
        assert!(shrinks(&with(&[&two[..], &[0x48, 0x83, 0xc4, 0x20]].concat())));
        // Whatever follows a return is another block, with a frame.
        assert!(!shrinks(&with(&[0xc3])));
        assert!(!shrinks(&with(&two[..6])));
        assert!(!shrinks(&end[..4]));
    }

    #[test]
    fn a_growing_frame_is_where_it_was_until_the_moves_are_done() {
        let little = |code: &mut Vec<u8>| {
            code.extend([0x48, 0x83, 0xec, 0x20, 0x48, 0x89, 0xe5]);
            let moves = code.len();
            code.extend([0x4c, 0x8b, 0x5c, 0x24, 0x20, 0x4c, 0x89, 0x1c, 0x24]);
            code.extend([0x4c, 0x8b, 0x5c, 0x24, 0x28, 0x4c, 0x89, 0x5c, 0x24, 0x08]);
            (moves..code.len(), 0x20)
        };
        // Large: the frame is probed before.
        let much = |code: &mut Vec<u8>| {
            code.extend([0x48, 0x81, 0xec, 0, 0x10, 0, 0, 0xc7, 0x04, 0x24, 0, 0, 0, 0]);
            code.extend([0x48, 0x81, 0xc4, 0, 0x10, 0, 0]);
            code.extend([0x48, 0x81, 0xec, 0x40, 0x1f, 0, 0, 0x48, 0x89, 0xe5]);
            let moves = code.len();
            code.extend([0x4c, 0x8b, 0x9c, 0x24, 0x40, 0x1f, 0, 0, 0x4c, 0x89, 0x1c, 0x24]);
            code.extend([0x4c, 0x8b, 0x9c, 0x24, 0x48, 0x1f, 0, 0]);
            code.extend([0x4c, 0x89, 0x5c, 0x24, 0x08]);
            (moves..code.len(), 0x1f40)
        };
        for large in [false, true] {
            let mut code = SET_UP.to_vec();
            let (moves, n) = if large { much(&mut code) } else { little(&mut code) };
            code.extend([0x48, 0x83, 0xec, 0x30]);
            for at in 0..code.len() {
                let found = grows(&code[..at], &code[at..]);
                assert_eq!(found, moves.contains(&at).then_some(n), "at byte {at}");
            }
        }
    }

    #[test]
    fn damaged_stacks_end_the_walk() {
        let stack: Vec<usize> = vec![0; 64];
        let range = of(&stack);
        for fp in no_frames(&range) {
            let mut steps = Vec::new();
            stretch(&range, Start::Code { pc: 1, fp, sp: fp }, &mut |s| steps.push(s));
            assert_eq!(steps, []);
            stretch(&range, Start::Host { fp, entry: 3 }, &mut |s| steps.push(s));
            assert_eq!(steps, [Step::Host(3)]);
        }
    }
}
