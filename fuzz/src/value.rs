//! What all engines have in common: values, ends of calls, and everything that can be seen of a
//! run. Two runs of the same program are compared here.

use lucet_artifact::abi::TrapCode;
use std::fmt;

/// Types of values, as far as they matter for comparing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    I32,
    I64,
    F32,
    F64,
    V128,
    Func,
    Extern,
    Exn,
    /// Something that only null can be passed for, if anything.
    Other,
}

/// A value. Floats are their bits; of references that have no name it is only known whether they
/// are null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    I32(u32),
    I64(u64),
    F32(u32),
    F64(u64),
    V128(u128),
    /// Whether it is null.
    Ref(bool),
    /// A number that the host gave out.
    Extern(Option<u32>),
    /// An exception: whether it is null.
    Exn(bool),
}

impl Value {
    /// A value of type `ty` made of the bits of `word`. No NaN is made: what engines do to their
    /// payload when they pass them on is not to be compared.
    pub fn from_word(ty: Type, word: u64) -> Self {
        match ty {
            Type::I32 => Self::I32(word as u32),
            Type::I64 => Self::I64(word),
            Type::F32 => Self::F32(((word % 2001) as f32 - 1000.0).to_bits()),
            Type::F64 => Self::F64(((word % 2_000_001) as f64 / 8.0 - 1e5).to_bits()),
            Type::V128 => Self::V128(u128::from(word) * 0x1_0000_0001_0000_0003),
            Type::Extern => Self::Extern((!word.is_multiple_of(4)).then_some((word % 97) as u32)),
            Type::Func | Type::Other => Self::Ref(true),
            Type::Exn => Self::Exn(true),
        }
    }

    /// The word that stands for the value in the host's log.
    pub fn word(self) -> u64 {
        match self {
            Self::I32(v) | Self::F32(v) => v.into(),
            Self::I64(v) | Self::F64(v) => v,
            Self::V128(v) => v as u64 ^ (v >> 64) as u64,
            Self::Ref(null) | Self::Exn(null) => u64::from(!null),
            Self::Extern(n) => extern_word(n),
        }
    }
}

/// The word that lucet's guests hold for an external reference; 0 is null.
pub fn extern_word(n: Option<u32>) -> u64 {
    n.map_or(0, |n| u64::from(n) + 1)
}

/// The other way round.
pub fn extern_number(word: u64) -> Option<u32> {
    word.checked_sub(1).map(|n| n as u32)
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With these results.
    Returned(Vec<Value>),
    /// With this trap.
    Trapped(TrapCode),
    /// With an exception that nobody caught.
    Exception,
    /// In a way that another engine need not agree with: out of fuel, out of stack. Whatever comes
    /// later is not to be compared either.
    Unknown(&'static str),
    /// In a way that no program may end.
    Broken(String),
}

/// A memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    pub bytes: u64,
    pub hash: u64,
}

impl Contents {
    /// What is in it, as one number.
    pub fn of(bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for w in words {
            hash = (hash ^ u64::from_le_bytes(*w)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hash ^= hash >> 29;
        }
        for b in rest {
            hash = (hash ^ u64::from(*b)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        Self { bytes: bytes.len() as u64, hash }
    }
}

/// Everything that can be seen of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Instantiation, start function included.
    pub start: End,
    /// Each call, and the host's log after it.
    pub calls: Vec<(End, u64)>,
    /// Exported globals in the end, those of the provider first.
    pub globals: Vec<(String, Value)>,
    /// Elements of exported tables.
    pub tables: Vec<(String, Vec<Value>)>,
    /// Memories.
    pub memories: Vec<(String, Contents)>,
}

impl Seen {
    /// A run that has not begun.
    pub fn nothing() -> Self {
        Self {
            start: End::Returned(Vec::new()),
            calls: Vec::new(),
            globals: Vec::new(),
            tables: Vec::new(),
            memories: Vec::new(),
        }
    }

    /// Whether there is something in it that cannot be compared.
    pub fn unknown(&self) -> Option<&'static str> {
        let ends = std::iter::once(&self.start).chain(self.calls.iter().map(|(e, _)| e));
        ends.into_iter().find_map(|e| match e {
            End::Unknown(why) => Some(*why),
            _ => None,
        })
    }

    /// What is broken in itself.
    pub fn broken(&self) -> Option<&str> {
        let ends = std::iter::once(&self.start).chain(self.calls.iter().map(|(e, _)| e));
        ends.into_iter().find_map(|e| match e {
            End::Broken(why) => Some(why.as_str()),
            _ => None,
        })
    }

    /// The first difference from another run, up to where either becomes unknown.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if matches!((&self.start, &other.start), (End::Unknown(_), _) | (_, End::Unknown(_))) {
            return None;
        }
        if self.start != other.start {
            return Some(format!("instantiation: {:?} and {:?}", self.start, other.start));
        }
        for (n, (a, b)) in self.calls.iter().zip(&other.calls).enumerate() {
            if matches!((&a.0, &b.0), (End::Unknown(_), _) | (_, End::Unknown(_))) {
                return None;
            }
            if a != b {
                return Some(format!("call {n}: {a:x?} and {b:x?}"));
            }
        }
        if self.calls.len() != other.calls.len() {
            return Some(format!("{} calls and {}", self.calls.len(), other.calls.len()));
        }
        first("global", &self.globals, &other.globals)
            .or_else(|| first("table", &self.tables, &other.tables))
            .or_else(|| first("memory", &self.memories, &other.memories))
    }
}

fn first<T: PartialEq + fmt::Debug>(
    what: &str,
    a: &[(String, T)],
    b: &[(String, T)],
) -> Option<String> {
    // An engine that has no way to look at a thing leaves it out.
    let both = a.iter().filter_map(|(n, x)| b.iter().find(|(m, _)| m == n).map(|(_, y)| (n, x, y)));
    both.into_iter()
        .find(|(_, x, y)| x != y)
        .map(|(n, x, y)| format!("{what} \"{n}\": {x:x?} and {y:x?}"))
}
