//! Every operator that accesses memory: how many bytes, and what they become.

use lucet::Val;

/// What an operator does with the bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Bytes, zero- or sign-extended, as a value.
    Load {
        signed: bool,
    },
    /// The low bytes of a value.
    Store,
    /// A vector whose lanes of twice `lane` bytes are those of `lane` bytes, extended.
    Extend {
        lane: usize,
        signed: bool,
    },
    /// A vector with the bytes again and again.
    Splat,
    /// A vector with the bytes at its beginning and zeros behind.
    Zero,
    /// A given vector with the bytes in one lane.
    LoadLane(usize),
    /// One lane of a given vector.
    StoreLane(usize),
    /// An atomic read, write, or read-modify-write.
    AtomicLoad,
    AtomicStore,
    Rmw(Rmw),
}

/// Read-modify-write operations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rmw {
    Add,
    Sub,
    And,
    Or,
    Xor,
    Xchg,
    Cmpxchg,
}

/// An operator.
#[derive(Debug, Clone)]
pub struct Op {
    pub name: String,
    /// Bytes of memory it touches.
    pub size: usize,
    /// Type of its value.
    pub ty: &'static str,
    pub kind: Kind,
}

impl Op {
    fn new(name: impl Into<String>, size: usize, ty: &'static str, kind: Kind) -> Self {
        Self { name: name.into(), size, ty, kind }
    }

    /// Whether its address has to be a multiple of its size.
    pub fn is_atomic(&self) -> bool {
        matches!(self.kind, Kind::AtomicLoad | Kind::AtomicStore | Kind::Rmw(_))
    }

    /// Whether it gives a value.
    pub fn has_result(&self) -> bool {
        !matches!(self.kind, Kind::Store | Kind::StoreLane(_) | Kind::AtomicStore)
    }
}

/// The value that is stored, and the one that lane operators change.
pub const STORED: u128 = 0x0102_0304_0506_0708_1112_1314_1516_1718;
pub const STORED_TEXT: &str = "(v128.const i32x4 0x15161718 0x11121314 0x05060708 0x01020304)";

/// Loads and stores of WebAssembly 1.0.
pub fn scalar() -> Vec<Op> {
    let mut all = Vec::new();
    for (ty, size) in [("i32", 4), ("i64", 8), ("f32", 4), ("f64", 8)] {
        all.push(Op::new(format!("{ty}.load"), size, ty, Kind::Load { signed: false }));
        all.push(Op::new(format!("{ty}.store"), size, ty, Kind::Store));
    }
    for (ty, size) in [("i32", 1), ("i32", 2), ("i64", 1), ("i64", 2), ("i64", 4)] {
        let bits = size * 8;
        for (suffix, signed) in [("_s", true), ("_u", false)] {
            let name = format!("{ty}.load{bits}{suffix}");
            all.push(Op::new(name, size, ty, Kind::Load { signed }));
        }
        all.push(Op::new(format!("{ty}.store{bits}"), size, ty, Kind::Store));
    }
    all
}

/// Loads and stores of vectors.
pub fn simd() -> Vec<Op> {
    let mut all = vec![
        Op::new("v128.load", 16, "v128", Kind::Load { signed: false }),
        Op::new("v128.store", 16, "v128", Kind::Store),
    ];
    for (name, lane) in [("8x8", 1), ("16x4", 2), ("32x2", 4)] {
        for (suffix, signed) in [("_s", true), ("_u", false)] {
            let name = format!("v128.load{name}{suffix}");
            all.push(Op::new(name, 8, "v128", Kind::Extend { lane, signed }));
        }
    }
    for size in [1, 2, 4, 8] {
        let bits = 8 * size;
        all.push(Op::new(format!("v128.load{bits}_splat"), size, "v128", Kind::Splat));
        if size >= 4 {
            all.push(Op::new(format!("v128.load{bits}_zero"), size, "v128", Kind::Zero));
        }
        let lane = 16 / size - 1;
        all.push(Op::new(format!("v128.load{bits}_lane"), size, "v128", Kind::LoadLane(lane)));
        all.push(Op::new(format!("v128.store{bits}_lane"), size, "v128", Kind::StoreLane(lane)));
    }
    all
}

/// Atomic accesses.
pub fn atomic() -> Vec<Op> {
    let mut all = Vec::new();
    let widths =
        [("i32", 4, 4), ("i64", 8, 8), ("i32", 4, 1), ("i32", 4, 2), ("i64", 8, 1), ("i64", 8, 2)];
    for (ty, whole, size) in widths.into_iter().chain([("i64", 8, 4)]) {
        let (bits, u) =
            if size == whole { (String::new(), "") } else { (format!("{}", size * 8), "_u") };
        all.push(Op::new(format!("{ty}.atomic.load{bits}{u}"), size, ty, Kind::AtomicLoad));
        all.push(Op::new(format!("{ty}.atomic.store{bits}"), size, ty, Kind::AtomicStore));
        for (word, rmw) in [
            ("add", Rmw::Add),
            ("sub", Rmw::Sub),
            ("and", Rmw::And),
            ("or", Rmw::Or),
            ("xor", Rmw::Xor),
            ("xchg", Rmw::Xchg),
            ("cmpxchg", Rmw::Cmpxchg),
        ] {
            let name = format!("{ty}.atomic.rmw{bits}.{word}{u}");
            all.push(Op::new(name, size, ty, Kind::Rmw(rmw)));
        }
    }
    all
}

/// A value of a type with these bits at its beginning.
pub fn value(ty: &str, bits: u128) -> Val {
    match ty {
        "i32" => Val::I32(bits as u32 as i32),
        "i64" => Val::I64(bits as u64 as i64),
        "f32" => Val::F32(f32::from_bits(bits as u32)),
        "f64" => Val::F64(f64::from_bits(bits as u64)),
        _ => Val::V128(bits),
    }
}

fn little_endian(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |v, b| v << 8 | u128::from(*b))
}

fn extended(bits: u128, size: usize, signed: bool) -> u128 {
    let shift = 128 - 8 * size as u32;
    if signed { ((bits << shift) as i128 >> shift) as u128 } else { bits }
}

/// What an access has to do to these bytes: the result, if it has one, and the bytes afterwards.
pub fn oracle(op: &Op, bytes: &[u8]) -> (Option<Val>, Vec<u8>) {
    let (raw, size) = (little_endian(bytes), op.size);
    let mut after = bytes.to_vec();
    let store = |v: u128| v.to_le_bytes()[..size].to_vec();
    let result = match op.kind {
        Kind::Load { signed } => value(op.ty, extended(raw, size, signed)),
        Kind::AtomicLoad => value(op.ty, raw),
        Kind::Store | Kind::AtomicStore => {
            return (None, store(STORED));
        }
        Kind::StoreLane(lane) => return (None, store(STORED >> (8 * size * lane))),
        Kind::Extend { lane, signed } => {
            let wide = |(n, b): (usize, &[u8])| {
                let v = extended(little_endian(b), lane, signed);
                let mask = (1u128 << (16 * lane)) - 1;
                (v & mask) << (16 * lane * n)
            };
            Val::V128(bytes.chunks(lane).enumerate().map(wide).sum())
        }
        Kind::Splat => Val::V128(little_endian(&bytes.repeat(16 / size))),
        Kind::Zero => Val::V128(raw),
        Kind::LoadLane(lane) => {
            let at = 8 * size * lane;
            let mask = ((1u128 << (8 * size)) - 1) << at;
            Val::V128(STORED & !mask | raw << at)
        }
        Kind::Rmw(rmw) => {
            let mask = u128::MAX >> (128 - 8 * size);
            let v = STORED & mask;
            let new = match rmw {
                Rmw::Add => raw.wrapping_add(v),
                Rmw::Sub => raw.wrapping_sub(v),
                Rmw::And => raw & v,
                Rmw::Or => raw | v,
                Rmw::Xor => raw ^ v,
                Rmw::Xchg => v,
                // What is expected is what is stored, which is not there.
                Rmw::Cmpxchg => raw,
            };
            after = store(new);
            value(op.ty, raw)
        }
    };
    (Some(result), after)
}
