//! Runs that will never come back: a host function ended its thread (`pthread_exit`), or jumped out
//! of the run (`longjmp`) and the thread ended later. Their instances would be RUNNING for ever.
//!
//! When a thread goes while it has an activation, every run that it began is dead: nobody but this
//! thread could go on with them. They are found by the number of the run in the control block, not
//! through the activations, which lay on a stack that may have been used for other things since.

use super::{CHUNKS, ControlRef, Pending, State};
use crate::arch;
use crate::instance::Inner;
use std::sync::atomic::Ordering;

/// Ends the runs for whose number `of_this_thread` is true: their instances are faulted from now
/// on. Called by a thread that is about to end.
pub(crate) fn abandon(of_this_thread: impl Fn(u64) -> bool) {
    arch::set_current(std::ptr::null_mut());
    for chunk in CHUNKS.iter().map_while(|c| c.get()) {
        for control in chunk.iter().map(ControlRef) {
            let run = control.runner();
            if run != 0 && of_this_thread(run) {
                end(control);
            }
        }
    }
}

/// The instance is RUNNING for this thread, which thereby has it for itself.
fn end(control: ControlRef) {
    let (generation, state) = control.state();
    if state != State::Running {
        return;
    }
    control.0.borrowed.set(false);
    control.set_pending(Pending::None);
    control.with(Inner::abandon);
    control.set_runner(0);
    // SAFETY: changed only by those who have the control block for themselves, as this thread has.
    if let Some(lock) = unsafe { (*control.0.group.get()).as_ref() } {
        lock.release();
    }
    control.0.word.store(State::Faulted.word(generation), Ordering::Release);
}
