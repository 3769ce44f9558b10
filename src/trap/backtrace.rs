//! What is kept of a run that ended badly: the innermost and the outermost steps of the way out of
//! it, in a block of fixed size. Where they are in the wasm file, and what they are called, is
//! looked up when somebody asks.

use crate::vmctx::walk::Step;

/// Steps kept from where the run ended.
pub(crate) const INNERMOST: usize = 48;
/// Steps kept from where it began.
pub(crate) const OUTERMOST: usize = 16;

/// The steps of one run.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    first: [Step; INNERMOST],
    /// A ring; the next one goes to `total % OUTERMOST`.
    last: [Step; OUTERMOST],
    total: usize,
}

impl Trace {
    pub(crate) const fn new() -> Self {
        let none = Step::Code(0);
        Self { first: [none; INNERMOST], last: [none; OUTERMOST], total: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.total = 0;
    }

    /// Adds the next step outwards.
    pub(crate) fn push(&mut self, step: Step) {
        match self.first.get_mut(self.total) {
            Some(to) => *to = step,
            None => self.last[self.total % OUTERMOST] = step,
        }
        self.total += 1;
    }

    /// Steps that were left out, between the innermost and the outermost.
    pub(crate) fn omitted(&self) -> usize {
        self.total.saturating_sub(INNERMOST + OUTERMOST)
    }

    /// The innermost steps, from the inside out.
    pub(crate) fn innermost(&self) -> &[Step] {
        &self.first[..self.total.min(INNERMOST)]
    }

    /// The outermost steps, from the inside out.
    pub(crate) fn outermost(&self) -> impl Iterator<Item = Step> + '_ {
        let n = self.total.saturating_sub(INNERMOST).min(OUTERMOST);
        (self.total - n..self.total).map(|i| self.last[i % OUTERMOST])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_long_way_is_left_out() {
        for total in [0, 1, INNERMOST, INNERMOST + 1, INNERMOST + OUTERMOST, 1000, 1003] {
            let mut t = Trace::new();
            (0..total).for_each(|n| t.push(Step::Code(n)));
            let mut kept: Vec<_> = t.innermost().to_vec();
            kept.extend(t.outermost());
            let want = (0..total)
                .filter(|n| *n < INNERMOST || *n >= INNERMOST + t.omitted())
                .map(Step::Code)
                .collect::<Vec<_>>();
            assert_eq!(kept, want);
            assert_eq!(t.omitted(), total.saturating_sub(64));
            t.clear();
            assert!(t.innermost().is_empty() && t.outermost().next().is_none());
        }
    }
}
