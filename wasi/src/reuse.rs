//! A context used again: servers keep one for each place where an instance may be, and make it as
//! new between two instances.

use std::fmt;

use crate::context::{Context, Observed, Produced};
use crate::table::Table;
use crate::template::Template;

/// Bytes of captured output whose room is kept for the next instance.
const KEPT: usize = 64 << 10;

impl Produced {
    /// Forgets the bytes, but not the room for them, unless that is much.
    fn reset(&mut self) {
        self.taken = 0;
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
    }
}

impl Context {
    /// Makes it what [`Context::new`] makes of its template; what the guest opened is closed. Does
    /// not touch what contexts share, unless the guest had something open.
    pub fn reset(&mut self) {
        self.table = Table::new();
        self.user = 0;
        self.stdin = None;
        self.stdin_at = 0;
        self.stdout.reset();
        self.stderr.reset();
        self.written = 0;
        self.elapsed = 0;
        self.random_at = 0;
        self.observed = Observed::default();
        self.pending = None;
    }

    /// Whether the guest has closed descriptors that it began with, or others open: a copy of its
    /// memory would mean descriptors that are not there.
    pub fn has_changed_descriptors(&self) -> bool {
        self.table.differs(&self.template.entries)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("user", &self.user).finish_non_exhaustive()
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, Config, Errno, abi};
    use std::sync::Arc;

    #[test]
    fn a_context_is_as_new_after_reset() {
        let mut config = Config::new();
        config.deterministic(1);
        let template: Arc<Template> = config.build().unwrap();
        let mut c = Context::new(&template);
        let mut memory = vec![0u8; 64];
        let mut both = |c: &mut Context| {
            let done = Answer::Errno(Errno::Success);
            assert_eq!(abi::clock_time_get(c, &mut memory, 0, 0, 0), done);
            assert_eq!(abi::random_get(c, &mut memory, 8, 8), done);
            memory[..16].to_vec()
        };
        let first = both(&mut c);
        assert_ne!(both(&mut c), first);
        c.set_stdin(b"x".to_vec());
        c.set_user(7);
        c.reset();
        assert_eq!((c.user, c.stdin.is_none(), c.stdin_at), (0, true, 0));
        assert_eq!(both(&mut c), first);
        assert!(!c.has_changed_descriptors());
    }
}
