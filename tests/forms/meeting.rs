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

use crate::state::RSP;
use crate::value::{Base, ENTRY, Name, Sum, V, WIDE};
use std::collections::BTreeMap;

/// A meeting of two states at the beginning of a block.
pub struct Meeting {
    block: u32,
    /// The names of numbers by what they are on the two ways.
    seen: BTreeMap<(V, V), Name>,
}

/// Two sums as one sum of a number that is the first on one way and the second on the other.
fn split(a: V, b: V) -> Option<(V, V)> {
    let (x, y) = match (a, b) {
        (V::Ptr(p, x), V::Ptr(q, y)) if p == q && p != Base::Stack => (x, y),
        (V::Num(x), V::Num(y)) => (x, y),
        _ => return None,
    };
    let constant = |s: Sum, k: i64| V::constant(s.k.wrapping_sub(k));
    match (x.name, y.name) {
        (Some(n), None) if x.shift == 0 => Some((V::named(n), constant(y, x.k))),
        (None, Some(n)) if y.shift == 0 => Some((constant(x, y.k), V::named(n))),
        (None, None) => Some((constant(x, 0), constant(y, 0))),
        _ => None,
    }
}

/// The sum of a number that `a` and `b` are, by [`split`].
fn sum(a: V, b: V, name: Name) -> V {
    let of = |x: Sum, y: Sum| {
        let k = match (x.name, y.name) {
            (Some(_), _) => x.k,
            (_, Some(_)) => y.k,
            _ => 0,
        };
        Sum { name: Some(name), shift: 0, k }
    };
    match (a, b) {
        (V::Ptr(base, x), V::Ptr(_, y)) => V::Ptr(base, of(x, y)),
        (V::Num(x), V::Num(y)) => V::Num(of(x, y)),
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
        if let Some((x, y)) = split(a, b) {
            return sum(a, b, self.name(x, y, place));
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
}
