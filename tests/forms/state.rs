//! What is known at a place of a function, and what is still known where two ways meet.

use crate::meeting::Meeting;
use crate::value::{Base, ENTRY, Name, Sum, V, WIDE};
use iced_x86::Register;
use lucet_artifact::abi::VALUE_SLOT;
use std::collections::{BTreeMap, BTreeSet};

/// Number of a register, if it is a general one.
pub fn number(r: Register) -> Option<usize> {
    r.is_gpr().then(|| r.full_register() as usize - Register::RAX as usize)
}

pub const RSP: usize = 4;
pub const RBP: usize = 5;

/// In the place of a type: the reference is not null, and validation knows its type.
pub const NOT_NULL: u32 = u32::MAX;
/// Bit of what stands in the place of a type: the number is at most this.
pub const AT_MOST: u32 = 1 << 30;

/// What is known at a place.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub regs: [V; 16],
    /// Words of the stack by offset from the stack pointer at entry.
    pub stack: BTreeMap<i64, V>,
    /// What was compared last.
    pub flags: Option<(V, V)>,
    /// Registers that hold the same, whatever it is, because one was copied to the other.
    pub copies: BTreeSet<(usize, usize)>,
    /// Table entries whose signature is known, and the type.
    pub facts: Vec<(Name, u32)>,
    /// Sums of two numbers, each times a power of two, that have a name: the last few.
    pub totals: Vec<Total>,
    /// Numbers of which bits were cleared or set: the last few.
    pub masked: Vec<Masked>,
}

/// `of + k` and (or, if it sets them) `mask`, bit for bit, is the number `name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Masked {
    pub sets: bool,
    pub of: Name,
    pub k: i64,
    pub mask: i64,
    pub name: Name,
}

impl Masked {
    fn has(&self, is: impl Fn(Name) -> bool) -> bool {
        is(self.name) || is(self.of)
    }
}

/// Two numbers, each times a power of two, are together another number and `k`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Total {
    /// Names and powers, the smaller pair first.
    pub terms: [(Name, u8); 2],
    pub name: Name,
    pub k: i64,
}

/// Sums that are remembered: code uses one soon after it made it.
const TOTALS: usize = 64;

impl Total {
    /// The sum of two numbers, if it has a name or needs none.
    pub fn of(known: &[Self], a: V, b: V) -> Option<Sum> {
        let (V::Num(a), V::Num(b)) = (a, b) else { return None };
        let (Some(x), Some(y)) = (a.name, b.name) else { return a.plus(b) };
        let (x, y) = ((x, a.shift), (y, b.shift));
        let total = known.iter().find(|t| t.terms == [x.min(y), x.max(y)])?;
        let k = a.k.wrapping_add(b.k).wrapping_add(total.k);
        Some(Sum { name: Some(total.name), shift: 0, k })
    }

    fn has(&self, is: impl Fn(Name) -> bool) -> bool {
        is(self.name) || self.terms.iter().any(|(n, _)| is(*n))
    }
}

/// Names of values that were overwritten in a loop.
fn old(at: u32, n: u64) -> Name {
    2 << 62 | u64::from(at) << 24 | n
}

impl State {
    /// At the entry, with nothing known but the registers that a callee keeps.
    pub fn new() -> Self {
        let mut regs = [V::Top; 16];
        for (r, v) in regs.iter_mut().enumerate() {
            *v = V::Initial(r as u8);
        }
        regs[RSP] = V::Ptr(Base::Stack, Sum::of(0));
        let stack = BTreeMap::from([(0, V::Return)]);
        Self {
            regs,
            stack,
            flags: None,
            copies: BTreeSet::new(),
            facts: Vec::new(),
            totals: Vec::new(),
            masked: Vec::new(),
        }
    }

    /// A register is written.
    pub fn write(&mut self, r: usize, v: V) {
        self.copies.retain(|(a, b)| *a != r && *b != r);
        self.regs[r] = v;
    }

    /// A register was copied to another.
    pub fn copied(&mut self, from: usize, to: usize) {
        let same: Vec<usize> = (0..16).filter(|r| self.are_copies(*r, from)).collect();
        self.copies.extend(same.into_iter().chain([from]).map(|r| (r.min(to), r.max(to))));
    }

    /// Whether they hold the same for that reason.
    pub fn are_copies(&self, a: usize, b: usize) -> bool {
        self.copies.contains(&(a.min(b), a.max(b)))
    }

    /// The sum of two values of which each has a name: the same sum has the same name, which is
    /// `own` if there is none yet.
    pub fn sum(&mut self, a: V, b: V, own: Name, at: u32) -> V {
        let split = |v: V| match v.number() {
            V::Num(s @ Sum { name: Some(n), .. }) => Some((None, s, n)),
            V::Ptr(base, s @ Sum { name: Some(n), .. }) => Some((Some(base), s, n)),
            _ => None,
        };
        let (Some((p, x, n)), Some((q, y, m))) = (split(a), split(b)) else { return V::Top };
        if p.is_some() && q.is_some() {
            return V::Top;
        }
        let sum = Total::of(&self.totals, V::Num(x), V::Num(y)).unwrap_or_else(|| {
            self.forget(own, at);
            // Not if one of the terms is what the instruction left the last time.
            if n != own && m != own {
                let (x, y) = ((n, x.shift), (m, y.shift));
                if self.totals.len() >= TOTALS {
                    self.forget_totals();
                }
                self.totals.push(Total { terms: [x.min(y), x.max(y)], name: own, k: 0 });
            }
            Sum { name: Some(own), shift: 0, k: x.k.wrapping_add(y.k) }
        });
        p.or(q).map_or(V::Num(sum), |base| V::Ptr(base, sum))
    }

    /// Sums of numbers that nothing holds any more are forgotten, and else the oldest.
    fn forget_totals(&mut self) {
        let held: BTreeSet<Name> = self.values().filter_map(|v| v.name()).collect();
        self.totals.retain(|t| !t.has(|n| !held.contains(&n)));
        let old = (self.totals.len() + 1).saturating_sub(TOTALS);
        self.totals.drain(..old);
    }

    /// `v` and `mask`, bit for bit, or `v` or `mask`: the same has the same name, `own` if there is
    /// none. Setting bits that are known to be clear is adding them.
    pub fn mask(&mut self, v: V, sets: bool, mask: i64, own: Name, at: u32) -> V {
        let V::Num(s @ Sum { name: Some(of), shift: 0, k }) = v.number() else { return V::Top };
        // Of which the lowest bits were cleared, these among them: they are those of `k`.
        let low =
            |m: &&Masked| !m.sets && m.name == of && m.mask < 0 && m.mask & -m.mask == -m.mask;
        if sets && k & mask == 0 && self.masked.iter().find(low).is_some_and(|m| mask & m.mask == 0)
        {
            return V::Num(Sum { k: k.wrapping_add(mask), ..s });
        }
        let same = |m: &&Masked| (m.sets, m.of, m.k, m.mask) == (sets, of, k, mask);
        if let Some(m) = self.masked.iter().find(same) {
            return V::named(m.name);
        }
        self.forget(own, at);
        if of != own {
            self.masked.push(Masked { sets, of, k, mask, name: own });
            let old = self.masked.len().saturating_sub(TOTALS);
            self.masked.drain(..old);
        }
        V::named(own)
    }

    /// Offset of the stack pointer from where it was at entry.
    pub fn depth(&self) -> Option<i64> {
        match self.regs[RSP] {
            V::Ptr(Base::Stack, Sum { name: None, k, .. }) => Some(k),
            _ => None,
        }
    }

    /// Every value that is known.
    fn values(&mut self) -> impl Iterator<Item = &mut V> {
        let flags = self.flags.iter_mut().flat_map(|(a, b)| [a, b]);
        self.regs.iter_mut().chain(self.stack.values_mut()).chain(flags)
    }

    /// A new number gets this name: what had it before has another one from here on, that nothing
    /// else has.
    pub fn forget(&mut self, name: Name, at: u32) {
        let named = |n: Name| n & !ENTRY == name;
        let found = self.values().any(|v| v.name().is_some_and(named));
        if !found {
            self.facts.retain(|(n, _)| !named(*n));
            self.totals.retain(|t| !t.has(named));
            self.masked.retain(|m| !m.has(named));
            return;
        }
        let clean = !(ENTRY | WIDE);
        let used: BTreeSet<Name> =
            self.values().filter_map(|v| v.name()).map(|n| n & clean).collect();
        let free = (0..).map(|n| old(at, n)).find(|n| !used.contains(n)).unwrap_or_default();
        let new = |n: Name| free | name & WIDE | n & ENTRY;
        self.facts.retain(|(n, _)| *n & clean != free);
        self.totals.retain(|t| !t.has(|n| n & clean == free));
        self.masked.retain(|m| !m.has(|n| n & clean == free));
        for m in &mut self.masked {
            for n in [&mut m.of, &mut m.name].into_iter().filter(|n| named(**n)) {
                *n = new(*n);
            }
        }
        for Total { terms, name, .. } in &mut self.totals {
            let [(x, _), (y, _)] = terms;
            for n in [x, y, name].into_iter().filter(|n| named(**n)) {
                *n = new(*n);
            }
            terms.sort_unstable();
        }
        for v in self.values() {
            if let Some(n) = v.name().filter(|n| named(*n)) {
                *v = v.renamed(new(n));
            }
        }
        for (n, _) in self.facts.iter_mut().filter(|(n, _)| named(*n)) {
            *n = new(*n);
        }
    }

    /// Registers for which that holds are some number behind the instruction at `at`.
    pub fn rename_all(&mut self, at: u32, is: impl Fn(&V) -> bool) {
        for r in 0..16 {
            if is(&self.regs[r]) {
                let name = WIDE | u64::from(at) << 4 | r as u64;
                self.forget(name, at);
                self.write(r, V::named(name));
            }
        }
    }

    /// The type of the function in a table entry, or [`NOT_NULL`].
    pub fn known(&self, name: Name) -> Option<u32> {
        let types = |ty: u32| ty == NOT_NULL || ty & AT_MOST == 0;
        self.facts.iter().find(|(n, ty)| *n == name && types(*ty)).map(|(_, ty)| *ty)
    }

    /// The most that a number can be, if that is not much.
    pub fn most(&self, name: Name) -> Option<i64> {
        let bound = |ty: u32| ty != NOT_NULL && ty & AT_MOST != 0;
        let found = self.facts.iter().find(|(n, ty)| *n == name && bound(*ty));
        found.map(|(_, ty)| i64::from(ty & 0xffff))
    }

    /// Stores a value of `size` bytes at an offset of the stack.
    pub fn store(&mut self, at: i64, size: i64, v: V) {
        let hit: Vec<i64> = self.stack.range(at - 7..at + size).map(|(k, _)| *k).collect();
        for k in hit {
            self.stack.remove(&k);
        }
        // Whole words that have a number of their own (see `place`).
        if size == 8 && v != V::Top && at % 8 == 0 && at.abs() < 1 << 24 {
            self.stack.insert(at, v);
        }
    }

    /// A callee writes so many value slots through a pointer to the own stack, if it is given one.
    pub fn lend(&mut self, slots: usize) {
        let bytes = slots as i64 * i64::from(VALUE_SLOT);
        let low = self.depth().unwrap_or_default();
        let arguments = [7, 6, 2, 1, 8, 9].map(|r| self.regs[r]);
        let pushed = self.stack.range(low..low + OUTGOING).map(|(_, v)| *v);
        let lent: Vec<i64> = arguments.into_iter().chain(pushed).filter_map(own_address).collect();
        for k in lent.into_iter().filter(|_| slots > 0) {
            self.stack.retain(|at, _| *at + 8 <= k || *at >= k + bytes);
        }
    }

    /// Meets another state at the beginning of a block; whether anything changed.
    pub fn meet(&mut self, other: &Self, block: u32) -> bool {
        let mut meeting = Meeting::new(block);
        let flags = |s: &Self, n: usize| s.flags.map(|(a, b)| [a, b][n]).unwrap_or(V::Top);
        let (a, b) = (&*self, other);
        let mut places: Vec<(u64, V, V)> = Vec::with_capacity(18 + a.stack.len());
        places.extend((0..16).map(|r| (r as u64, a.regs[r], b.regs[r])));
        places.extend((0..2).map(|n| (16 + n as u64, flags(a, n), flags(b, n))));
        let both = a.stack.iter().filter_map(|(k, v)| Some((*k, *v, *b.stack.get(k)?)));
        places.extend(both.map(|(k, v, w)| (place(k), v, w)));
        // Numbers first, so that sums are sums of those.
        let mut joined = vec![V::Top; places.len()];
        for numbers in [true, false] {
            for (n, (place, v, w)) in places.iter().enumerate() {
                if matches!((v, w), (V::Num(_), V::Num(_))) == numbers {
                    joined[n] = meeting.join(*v, *w, *place);
                }
            }
        }
        let mut new = Self::new();
        new.regs.copy_from_slice(&joined[..16]);
        new.flags = a.flags.and(b.flags).map(|_| (joined[16], joined[17]));
        let keys = a.stack.keys().filter(|k| b.stack.contains_key(k));
        let words = keys.copied().zip(joined[18..].iter().copied());
        new.stack = words.filter(|(_, v)| *v != V::Top).collect();
        new.facts = meeting.facts(&a.facts, &b.facts);
        new.copies = a.copies.intersection(&b.copies).copied().collect();
        new.totals = meeting.totals(&a.totals, &b.totals);
        new.masked = meeting.masked(&a.masked, &b.masked);
        let changed = new != *self;
        *self = new;
        changed
    }
}

/// Bytes above the stack pointer in which an argument that is a pointer is looked for.
const OUTGOING: i64 = 16 * 1024;

/// Where in the own stack a pointer points.
fn own_address(v: V) -> Option<i64> {
    match v {
        V::Ptr(Base::Stack, Sum { name: None, k, .. }) => Some(k),
        _ => None,
    }
}

/// The number of a word of the stack among all places.
fn place(k: i64) -> u64 {
    18 + (k.unsigned_abs() / 8) * 2 + u64::from(k < 0)
}
