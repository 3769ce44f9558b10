//! What is known at a place of a function, and what is still known where two ways meet.

use crate::value::{Base, ENTRY, Name, Sum, V, WIDE};
use iced_x86::Register;
use std::collections::BTreeMap;

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
    /// Table entries whose signature is known, and the type.
    pub facts: Vec<(Name, u32)>,
}

/// Names that are made where ways meet, and those of values that were overwritten in a loop.
fn meeting(block: u32, place: u64) -> Name {
    1 << 62 | u64::from(block) << 24 | place
}

fn old(block: u32, place: u64) -> Name {
    2 << 62 | u64::from(block) << 24 | place
}

/// The names of two sums that differ in nothing else.
fn alike(a: V, b: V) -> Option<(Name, Name)> {
    let (x, y) = match (a, b) {
        (V::Ptr(p, x), V::Ptr(q, y)) if p == q => (x, y),
        (V::Num(x), V::Num(y)) if (x.k, x.shift) != (0, 0) => (x, y),
        _ => return None,
    };
    ((x.k, x.shift) == (y.k, y.shift)).then_some(())?;
    Some((x.name?, y.name?))
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
        Self { regs, stack, flags: None, facts: Vec::new() }
    }

    /// Offset of the stack pointer from where it was at entry.
    pub fn depth(&self) -> Option<i64> {
        match self.regs[RSP] {
            V::Ptr(Base::Stack, Sum { name: None, k, .. }) => Some(k),
            _ => None,
        }
    }

    /// A new number gets this name: nothing else has it any more.
    pub fn forget(&mut self, name: Name, at: u32) {
        let aged = |v: &mut V, place: u64| {
            if v.name().is_some_and(|n| n & !ENTRY == name) {
                *v = if v.is_u32() { V::named(old(at, place)) } else { V::Top };
            }
        };
        for (r, v) in self.regs.iter_mut().enumerate() {
            aged(v, r as u64);
        }
        for (k, v) in &mut self.stack {
            aged(v, 16 + (k.unsigned_abs() & 0xff_ffff) * 2);
        }
        self.facts.retain(|(n, _)| *n & !ENTRY != name);
        let named = |v: V| v.name().is_some_and(|n| n & !ENTRY == name);
        if self.flags.is_some_and(|(a, b)| named(a) || named(b)) {
            self.flags = None;
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
        if size == 8 && v != V::Top {
            self.stack.insert(at, v);
        }
    }

    /// Meets another state at the beginning of a block; whether anything changed.
    pub fn meet(&mut self, other: &Self, block: u32) -> bool {
        let before = self.clone();
        // Places that held the same on each of the two ways hold the same where they meet.
        let mut seen: Vec<((V, V), V)> = Vec::new();
        let mut join = |a: V, b: V, place: u64| {
            if a == b {
                return a;
            }
            if let Some((_, v)) = seen.iter().find(|(pair, _)| *pair == (a, b)) {
                return *v;
            }
            // Sums of different numbers with the same constant are one sum of the number in which
            // those numbers meet.
            if let Some((x, y)) = alike(a, b) {
                let pair = (V::named(x), V::named(y));
                let known = seen.iter().find(|(p, _)| *p == pair).and_then(|(_, v)| v.name());
                let name = known.unwrap_or_else(|| {
                    let name = meeting(block, place) | (x | y) & WIDE;
                    seen.push((pair, V::named(name)));
                    name
                });
                return a.renamed(name);
            }
            let v = match (a, b) {
                (V::Ptr(Base::Stack, _) | V::Probe, V::Ptr(Base::Stack, _) | V::Probe)
                    if place == RSP as u64 =>
                {
                    V::Probe
                }
                _ if a.is_u32() && b.is_u32() => V::named(meeting(block, place)),
                _ => V::named(meeting(block, place) | WIDE),
            };
            seen.push(((a, b), v));
            v
        };
        for r in 0..16 {
            self.regs[r] = join(self.regs[r], other.regs[r], r as u64);
        }
        let keys: Vec<i64> = self.stack.keys().copied().collect();
        for k in keys {
            let v = match (self.stack.get(&k), other.stack.get(&k)) {
                (Some(a), Some(b)) => join(*a, *b, 16 + (k.unsigned_abs() & 0xff_ffff) * 2),
                _ => V::Top,
            };
            if v == V::Top {
                self.stack.remove(&k);
            } else {
                self.stack.insert(k, v);
            }
        }
        if self.flags != other.flags {
            self.flags = None;
        }
        self.facts.retain(|f| other.facts.contains(f));
        *self != before
    }
}
