//! How an address comes about: code that turns a parameter into an address, and what it computes.
//!
//! Arithmetic is that of the address's width: what a compiler folds into an addressing mode, which
//! computes with 64 bits, or takes for zero-extended although it is not, gives another address.

/// Width of addresses: 32 or 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    W32,
    W64,
}

impl Width {
    /// The type's name.
    pub fn ty(self) -> &'static str {
        if self == Self::W32 { "i32" } else { "i64" }
    }

    /// Cuts a number to the width.
    pub fn cut(self, v: u64) -> u64 {
        if self == Self::W32 { v & 0xffff_ffff } else { v }
    }

    fn bits(self) -> u32 {
        if self == Self::W32 { 32 } else { 64 }
    }

    /// A signed number of the width.
    fn signed(self, v: u64) -> i64 {
        if self == Self::W32 { v as i32 as i64 } else { v as i64 }
    }
}

/// A source.
pub struct Source {
    pub name: &'static str,
    /// The code, with `W` for the type and `A` for the parameter; `M` is the memory's index.
    code: &'static str,
    /// The address for a parameter.
    pub apply: fn(Width, u64) -> u64,
    /// A parameter for an address, if there is one.
    pub prepare: fn(Width, u64) -> Option<u64>,
    /// Whether it is in the shorter list.
    pub essential: bool,
}

impl Source {
    /// The code for addresses of a width in a memory.
    pub fn text(&self, w: Width, memory: u32) -> String {
        let memory = if memory == 0 { String::new() } else { memory.to_string() };
        self.code
            .replace("W.", &format!("{}.", w.ty()))
            .replace("result W", &format!("result {}", w.ty()))
            .replace(" A", " (local.get $v)")
            .replace(" M", &format!(" {memory}"))
    }

    /// Whether it exists for a width.
    pub fn is_for(&self, w: Width) -> bool {
        let needs_wide = self.code.contains("load32_") || self.name.starts_with("wide ");
        let needs_narrow = self.name.starts_with("narrow ");
        if w == Width::W32 { !needs_wide } else { !needs_narrow }
    }
}

fn same(_: Width, v: u64) -> u64 {
    v
}

fn some(_: Width, v: u64) -> Option<u64> {
    Some(v)
}

fn none(_: Width, _: u64) -> Option<u64> {
    None
}

/// Numbers that arithmetic uses.
const K: u64 = 0x0001_2345;

/// A source whose address is its parameter.
const fn plain(name: &'static str, code: &'static str, essential: bool) -> Source {
    Source { name, code, apply: same, prepare: some, essential }
}

macro_rules! source {
    ($name:expr, $code:expr, $apply:expr, $prepare:expr) => {
        source!($name, $code, $apply, $prepare, false)
    };
    ($name:expr, $code:expr, $apply:expr, $prepare:expr, $essential:expr) => {
        Source { name: $name, code: $code, apply: $apply, prepare: $prepare, essential: $essential }
    };
}

/// A parameter for a load of so many bits, zero- or sign-extended.
fn fits(w: Width, v: u64, bits: u32, signed: bool) -> Option<u64> {
    let low = v & ((1u64 << bits) - 1);
    let wide = if signed { ((low << (64 - bits)) as i64 >> (64 - bits)) as u64 } else { low };
    (w.cut(wide) == v).then_some(v)
}

/// Sources that load the address from memory, where the parameter lies at 32.
fn loads() -> Vec<Source> {
    vec![
        plain("load", "(W.load M (W.const 32))", false),
        source!(
            "load8_s",
            "(W.load8_s M (W.const 32))",
            |w, v| w.cut(v as i8 as u64),
            |w, v| fits(w, v, 8, true),
            true
        ),
        source!("load8_u", "(W.load8_u M (W.const 32))", |_, v| u64::from(v as u8), |w, v| fits(
            w, v, 8, false
        )),
        source!(
            "load16_s",
            "(W.load16_s M (W.const 32))",
            |w, v| w.cut(v as i16 as u64),
            |w, v| fits(w, v, 16, true)
        ),
        source!(
            "load16_u",
            "(W.load16_u M (W.const 32))",
            |_, v| u64::from(v as u16),
            |w, v| fits(w, v, 16, false)
        ),
        source!("wide load32_s", "(W.load32_s M (W.const 32))", |_, v| v as i32 as u64, |w, v| {
            fits(w, v, 32, true)
        }),
        source!(
            "wide load32_u",
            "(W.load32_u M (W.const 32))",
            |_, v| u64::from(v as u32),
            |w, v| fits(w, v, 32, false)
        ),
        source!(
            "sum with a load",
            "(W.add A (W.load M (W.const 32)))",
            |w, v| w.cut(v.wrapping_mul(2)),
            |w, v| (v & 1 == 0).then(|| v >> 1 | 1 << (w.bits() - 1)),
            true
        ),
    ]
}

/// Sources that compute.
fn arithmetic() -> Vec<Source> {
    vec![
        source!(
            "add",
            "(W.add A (W.const 0x12345))",
            |w, v| w.cut(v.wrapping_add(K)),
            |w, v| Some(w.cut(v.wrapping_sub(K))),
            true
        ),
        source!(
            "sub",
            "(W.sub A (W.const 0x12345))",
            |w, v| w.cut(v.wrapping_sub(K)),
            |w, v| Some(w.cut(v.wrapping_add(K)))
        ),
        source!("mul", "(W.mul A (W.const 5))", |w, v| w.cut(v.wrapping_mul(5)), |w, v| Some(
            w.cut(v.wrapping_mul(0xcccc_cccc_cccc_cccd))
        )),
        source!(
            "shl 3",
            "(W.shl A (W.const 3))",
            |w, v| w.cut(v << 3),
            |w, v| (v % 8 == 0).then(|| v >> 3 | 5 << (w.bits() - 3)),
            true
        ),
        source!(
            "shl 2, add",
            "(W.add (W.shl A (W.const 2)) A)",
            |w, v| w.cut((v << 2).wrapping_add(v)),
            |w, v| Some(w.cut(v.wrapping_mul(0xcccc_cccc_cccc_cccd)))
        ),
        source!("shr_u", "(W.shr_u A (W.const 1))", |_, v| v >> 1, |w, v| (v >> (w.bits() - 1)
            == 0)
            .then_some(w.cut(v << 1 | 1))),
        source!(
            "shr_s",
            "(W.shr_s A (W.const 1))",
            |w, v| w.cut((w.signed(v) >> 1) as u64),
            |w, v| ((v >> (w.bits() - 2)) % 3 == 0).then_some(w.cut(v << 1))
        ),
        source!(
            "rotl",
            "(W.rotl A (W.const 7))",
            |w, v| w.cut(v << 7 | v >> (w.bits() - 7)),
            |w, v| Some(w.cut(v >> 7 | v << (w.bits() - 7)))
        ),
        source!("and", "(W.and A (W.const 0x7fffffff))", |_, v| v & 0x7fff_ffff, |_, v| (v < 1
            << 31)
            .then_some(v | 1 << 31)),
        source!("or", "(W.or A (W.const 0x40))", |_, v| v | 0x40, |_, v| (v & 0x40 != 0)
            .then_some(v)),
        source!("xor", "(W.xor A (W.const -1))", |w, v| w.cut(!v), |w, v| Some(w.cut(!v))),
        source!("clz", "(W.clz A)", |w, v| u64::from(v.leading_zeros() - (64 - w.bits())), none),
        source!("ctz", "(W.ctz A)", |w, v| u64::from(v.trailing_zeros().min(w.bits())), |_, v| (v
            < 31)
            .then(|| 1 << v)),
        source!("popcnt", "(W.popcnt A)", |_, v| u64::from(v.count_ones()), none),
        source!(
            "extend8_s",
            "(W.extend8_s A)",
            |w, v| w.cut(v as i8 as u64),
            |w, v| fits(w, v, 8, true),
            true
        ),
        source!("extend16_s", "(W.extend16_s A)", |w, v| w.cut(v as i16 as u64), |w, v| fits(
            w, v, 16, true
        )),
        source!("div_u", "(W.div_u A (W.const 3))", |_, v| v / 3, |w, v| v
            .checked_mul(3)
            .filter(|p| w.cut(*p) == *p)),
        source!(
            "rem_s",
            "(W.rem_s A (W.const 0x10000))",
            |w, v| w.cut((w.signed(v) % 0x1_0000) as u64),
            |_, v| (v < 0x1_0000).then_some(v)
        ),
        source!(
            "narrow wrap",
            "(i32.wrap_i64 (i64.or (i64.extend_i32_u A) (i64.const 0xdeadbeef00000000)))",
            same,
            some,
            true
        ),
        source!("narrow float", "(i32.trunc_sat_f64_u (f64.convert_i32_u A))", same, some),
        source!("narrow bits", "(i32.reinterpret_f32 (f32.reinterpret_i32 A))", same, some),
        source!(
            "wide extend_s",
            "(i64.extend_i32_s (i32.wrap_i64 A))",
            |_, v| v as i32 as u64,
            |w, v| fits(w, v, 32, true),
            true
        ),
        source!(
            "wide extend_u",
            "(i64.extend_i32_u (i32.wrap_i64 A))",
            |_, v| u64::from(v as u32),
            |w, v| fits(w, v, 32, false).map(|v| v | 0xdead_beef << 32),
            true
        ),
    ]
}

/// Sources that move values about.
fn moves() -> Vec<Source> {
    vec![
        plain("param", " A", true),
        plain("global", "(block (result W) (global.set $g A) (global.get $g))", false),
        plain("result of a call", "(call $id A)", false),
        source!(
            "spilled",
            "(block (result W)
               (local.set $t (W.add A (W.const 0x12345))) (call $other) (local.get $t))",
            |w, v| w.cut(v.wrapping_add(K)),
            |w, v| Some(w.cut(v.wrapping_sub(K))),
            true
        ),
        source!(
            "spilled when narrow",
            "(block (result W)
               (local.set $t (W.load8_s M (W.const 32))) (call $other) (local.get $t))",
            |w, v| w.cut(v as i8 as u64),
            |w, v| fits(w, v, 8, true)
        ),
        source!(
            "loop phi",
            "(block (result W)
               (local.set $t (W.sub A (W.const 3))) (local.set $n (i32.const 3))
               (loop $l (local.set $t (W.add (local.get $t) (W.const 1)))
                 (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
               (local.get $t))",
            same,
            some,
            true
        ),
        source!(
            "loop phi with a load",
            "(block (result W)
               (local.set $t A) (local.set $n (i32.const 2))
               (loop $l (local.set $t (W.load8_s M (W.const 32)))
                 (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
               (local.get $t))",
            |w, v| w.cut(v as i8 as u64),
            |w, v| fits(w, v, 8, true)
        ),
        plain("if", "(if (result W) (global.get $one) (then A) (else (W.const 3)))", false),
        plain("select", "(select A (W.load8_u M (W.const 32)) (global.get $one))", true),
        plain("block", "(block (result W) (br 0 A))", false),
        plain("locals", "(block (result W) (local.set $t A) (local.get $t))", false),
    ]
}

/// All sources.
pub fn all() -> Vec<Source> {
    let mut all = moves();
    all.extend(loads());
    all.extend(arithmetic());
    all
}
