//! Where two ways meet: what differs is a new number, and what holds the same number on each of the
//! two ways holds the same one behind.
//!
//! ```text
//!   one way           the other          behind
//!   rax  i            rax  j             rax  m        m is i or j
//!   rbx  vmctx+i+4    rbx  vmctx+j+4     rbx  vmctx+m+4
//! ```
//!
//! A new number is named after the block and the first place that holds it. So different numbers
//! have different names; and since all places get their names anew, names from an earlier round of
//! a loop never meet those of this one.

use crate::state::{Masked, RSP, Total};
use crate::value::{Base, ENTRY, Name, Sum, V, WIDE};
use std::collections::BTreeMap;

/// A meeting of two states at the beginning of a block.
pub struct Meeting {
    block: u32,
    /// The names of numbers by what they are on the two ways.
    seen: BTreeMap<(V, V), Name>,
}

/// Two sums as one sum of a number that is the first on one way and the second on the other, times
/// a power of two where that is possible, and a constant.
fn split(a: V, b: V) -> Option<(V, V, u8, i64)> {
    let (x, y) = match (a, b) {
        (V::Ptr(p, x), V::Ptr(q, y)) if p == q && p != Base::Stack => (x, y),
        (V::Num(x), V::Num(y)) => (x, y),
        (V::Min { sum: x, memory: p, k: j }, V::Min { sum: y, memory: q, k })
            if (p, j) == (q, k) =>
        {
            (x, y)
        }
        _ => return None,
    };
    // As many more as on the first way, which is what was known: so it stays as it is.
    let (k, shift) = match (x.name, y.name) {
        (Some(_), Some(_)) if x.shift != y.shift => (x.k, 0),
        (Some(_), _) => (x.k, x.shift),
        (None, Some(_)) => (y.k, y.shift),
        (None, None) => (0, 0),
    };
    let divides = |s: Sum| s.k.wrapping_sub(k) & ((1 << shift) - 1) == 0;
    let shift = if divides(x) && divides(y) { shift } else { 0 };
    let rest = |s: Sum| {
        let k = s.k.wrapping_sub(k) >> shift;
        V::Num(Sum { name: s.name, shift: if s.name.is_some() { s.shift - shift } else { 0 }, k })
    };
    Some((rest(x), rest(y), shift, k))
}

/// The sum of a number that `a` and `b` are, by [`split`].
fn sum(a: V, name: Name, shift: u8, k: i64) -> V {
    let sum = Sum { name: Some(name), shift, k };
    match a {
        V::Ptr(base, _) => V::Ptr(base, sum),
        V::Num(_) => V::Num(sum),
        V::Min { memory, k, .. } => V::Min { sum, memory, k },
        _ => V::Top,
    }
}

impl Meeting {
    pub fn new(block: u32) -> Self {
        Self { block, seen: BTreeMap::new() }
    }

    /// A name that only this block gives, to the number that this place holds.
    fn fresh(&self, place: u64) -> Name {
        1 << 62 | u64::from(self.block) << 24 | place & 0xff_ffff
    }

    /// Whether a name was given here, in an earlier round.
    fn is_own(&self, name: Name) -> bool {
        (name & !(WIDE | ENTRY)) >> 24 == self.fresh(0) >> 24
    }

    /// The name of a number that is `a` on one way and `b` on the other.
    fn name(&mut self, a: V, b: V, place: u64) -> Name {
        if let Some(name) = a.name().filter(|n| a == b && !self.is_own(*n)) {
            return name;
        }
        let wide = if a.is_u32() && b.is_u32() { 0 } else { WIDE };
        let fresh = self.fresh(place) | wide;
        *self.seen.entry((a, b)).or_insert(fresh)
    }

    /// What a place holds.
    pub fn join(&mut self, a: V, b: V, place: u64) -> V {
        if a == b && a.name().is_none_or(|n| !self.is_own(n)) {
            return a;
        }
        if place == RSP as u64
            && let V::Ptr(Base::Stack, _) | V::Probe = a
            && let V::Ptr(Base::Stack, _) | V::Probe = b
        {
            return V::Probe;
        }
        // What may be accessed behind both.
        if let V::Checked { k, reach, behind, null, name: x } = a
            && let V::Checked { k: l, reach: m, behind: n, null: o, name: y } = b
            && (behind, null) == (n, o)
        {
            let (k, left) = (k.min(l), reach.wrapping_sub(k).min(m.wrapping_sub(l)));
            let name = self.name(V::named(x), V::named(y), place);
            return V::Checked { k, reach: k.wrapping_add(left), behind, null, name };
        }
        let (a, b) = match (a, b) {
            (V::Bounded { last: x, .. }, V::Bounded { last: y, .. }) if x == y => (a, b),
            _ => (a.number(), b.number()),
        };
        if let (Some(x), Some(y)) = (a.name(), b.name())
            && a.renamed(0) == b.renamed(0)
        {
            let entry = x & y & ENTRY;
            return a.renamed(self.name(V::named(x & !entry), V::named(y & !entry), place) | entry);
        }
        if let Some((x, y, shift, k)) = split(a, b) {
            return sum(a, self.name(x, y, place), shift, k);
        }
        // Only of sums it is known that they are equal if they look alike.
        if a.is_exact() && b.is_exact() {
            return V::named(self.name(a, b, place));
        }
        let wide = if a.is_u32() && b.is_u32() { 0 } else { WIDE };
        V::named(self.fresh(place) | wide)
    }

    /// What is known on both ways, of numbers by their new names.
    pub fn facts(&self, a: &[(Name, u32)], b: &[(Name, u32)]) -> Vec<(Name, u32)> {
        let both = |f: &&(Name, u32)| !self.is_own(f.0) && b.contains(f);
        let mut all: Vec<_> = a.iter().filter(both).copied().collect();
        if !a.is_empty() && !b.is_empty() {
            for ((x, y), name) in &self.seen {
                let number = |v: &V| v.name().filter(|n| V::named(*n) == *v);
                let (Some(x), Some(y)) = (number(x), number(y)) else { continue };
                for (_, ty) in a.iter().filter(|(n, _)| *n == x) {
                    if b.contains(&(y, *ty)) {
                        all.push((*name, *ty));
                    }
                }
                for (_, ty) in a.iter().filter(|(n, _)| *n == x | ENTRY && x & ENTRY == 0) {
                    if b.contains(&(y | ENTRY, *ty)) {
                        all.push((name | ENTRY, *ty));
                    }
                }
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What is `name`, and perhaps a constant more, on the first or the second way: what it is on
    /// both, and its name behind.
    fn with(&self, name: Name, first: bool) -> Vec<((V, V), Name)> {
        let kept = Some(((V::named(name), V::named(name)), name)).filter(|_| !self.is_own(name));
        let is = |v: &V| matches!(v, V::Num(s) if s.name == Some(name) && s.shift == 0);
        let found = self.seen.iter().filter(|((x, y), _)| is(if first { x } else { y }));
        kept.into_iter().chain(found.map(|(both, n)| (*both, *n))).collect()
    }

    /// The name behind of a number, and what is to be added to it.
    fn sum_of(&self, x: Sum, y: Sum) -> Option<(Name, i64)> {
        if let Some(n) = x.name.filter(|n| x == y && x.shift == 0 && !self.is_own(*n)) {
            return Some((n, x.k));
        }
        self.seen.iter().find_map(|((v, w), name)| match (v, w) {
            (V::Num(v), V::Num(w)) => {
                let same = (v.name, v.shift, w.name, w.shift) == (x.name, x.shift, y.name, y.shift);
                let (j, k) = (x.k.wrapping_sub(v.k), y.k.wrapping_sub(w.k));
                (same && j == k).then_some((*name, k))
            }
            _ => None,
        })
    }

    /// Sums that are sums of the same on both ways, by the new names: if only one way says so, what
    /// is added may be a constant on the other.
    pub fn totals(&self, a: &[Total], b: &[Total]) -> Vec<Total> {
        let mut all = Vec::new();
        for (f, first) in a.iter().map(|f| (f, true)).chain(b.iter().map(|f| (f, false))) {
            let [(x, shift), (y, by)] = f.terms;
            for ((xa, xb), x) in self.with(x, first) {
                for ((ya, yb), y) in self.with(y, first) {
                    let of = |facts, v: V, w: V| Total::of(facts, v.times(shift), w.times(by));
                    if let (Some(v), Some(w)) = (of(a, xa, ya), of(b, xb, yb))
                        && let Some((name, k)) = self.sum_of(v, w)
                    {
                        let terms = [(x, shift), (y, by)];
                        all.push(Total {
                            terms: [terms[0].min(terms[1]), terms[0].max(terms[1])],
                            name,
                            k,
                        });
                    }
                }
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Numbers that are what is left of the same on both ways.
    pub fn masked(&self, a: &[Masked], b: &[Masked]) -> Vec<Masked> {
        let mut all = Vec::new();
        for x in a {
            for y in b.iter().filter(|y| (y.sets, y.k, y.mask) == (x.sets, x.k, x.mask)) {
                if let (Some(of), Some(name)) = (self.both(x.of, y.of), self.both(x.name, y.name)) {
                    all.push(Masked { of, name, ..*x });
                }
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The name behind of what is `x` on one way and `y` on the other, if it has one.
    fn both(&self, x: Name, y: Name) -> Option<Name> {
        let kept = Some(x).filter(|_| x == y && !self.is_own(x));
        kept.or_else(|| self.seen.get(&(V::named(x), V::named(y))).copied())
    }
}
