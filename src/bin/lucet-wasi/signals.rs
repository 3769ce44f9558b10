//! Ctrl-C and its relatives: a thread that waits for them ends the guest.
//!
//! A guest that computes ends at once. One that waits in a host function, for input say, ends when
//! that returns, which may be never; so after a moment the process ends itself.

use lucet::InstanceRef;
use nix::sys::signal::{SigSet, Signal};
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

/// The signals that ask a program to end.
const ENDS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// How long a guest has to come back before the process ends without it.
const GRACE: Duration = Duration::from_millis(300);

/// The signal that came; 0: none.
static CAME: AtomicI32 = AtomicI32::new(0);

/// Keeps signals from ending this thread, and those that it starts, without a word. To be called
/// before any other thread is there.
pub fn hold() {
    // Without it Ctrl-C ends the process as usual.
    let _ = ENDS.into_iter().collect::<SigSet>().thread_block();
}

/// Ends `guest` when a signal comes.
pub fn watch(guest: InstanceRef) {
    let waiter = move || {
        let set: SigSet = ENDS.into_iter().collect();
        let Ok(signal) = set.wait() else { return };
        CAME.store(signal as i32, Ordering::SeqCst);
        // Twice, should it have been about to begin or to go on.
        for _ in 0..2 {
            let _ = guest.terminate();
            thread::sleep(GRACE / 2);
        }
        std::process::exit(128 + signal as i32);
    };
    // Without the thread, signals wait for the guest's end.
    let _ = thread::Builder::new().name("signals".into()).spawn(waiter);
}

/// The exit code if a signal came.
pub fn came() -> Option<u8> {
    let n = CAME.load(Ordering::SeqCst);
    (n != 0).then(|| (128 + n) as u8)
}

/// Ends the process with `code` if it is still there after `time` and a moment, for a guest that
/// waits in a host function when its time is up.
pub fn limit(time: Duration, code: u8, say: impl FnOnce() + Send + 'static) {
    let timer = move || {
        thread::sleep(time.saturating_add(GRACE));
        say();
        std::process::exit(code.into());
    };
    let _ = thread::Builder::new().name("timer".into()).spawn(timer);
}
