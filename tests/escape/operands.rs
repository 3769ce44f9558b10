//! Operators whose operand is a load: a compiler likes to let the instruction read memory itself,
//! and may pick one that reads more than the load does.

use lucet::Val;

/// An operator with `L` for the load.
pub struct Operand {
    pub text: &'static str,
    /// The load, and how many bytes it reads.
    pub load: &'static str,
    pub size: usize,
    /// Type of the result.
    pub ty: &'static str,
    /// The result, computed here; where there is none, it has to be that of the same bytes at
    /// another place.
    pub oracle: Option<fn([u8; 8]) -> Val>,
}

fn f32_of(b: [u8; 8]) -> f32 {
    f32::from_le_bytes([b[0], b[1], b[2], b[3]])
}

fn f64_of(b: [u8; 8]) -> f64 {
    f64::from_le_bytes(b)
}

fn i32_of(b: [u8; 8]) -> i32 {
    f32_of(b).to_bits() as i32
}

fn i64_of(b: [u8; 8]) -> i64 {
    i64::from_le_bytes(b)
}

macro_rules! operands {
    ($list:ident, $load:literal, $size:literal, $of:ident,
     $($text:literal => $ty:literal, $kind:ident, |$x:ident| $e:expr;)*) => {
        $($list.push(Operand {
            text: $text,
            load: $load,
            size: $size,
            ty: $ty,
            oracle: Some(|b| {
                let $x = $of(b);
                Val::$kind($e)
            }),
        });)*
    };
}

macro_rules! vectors {
    ($list:ident, $load:literal, $size:literal, $($text:literal => $ty:literal;)*) => {
        $list.extend([$(
            Operand { text: $text, load: $load, size: $size, ty: $ty, oracle: None },
        )*]);
    };
}

/// Floats.
pub fn floats() -> Vec<Operand> {
    let mut all = Vec::new();
    operands!(all, "f64.load", 8, f64_of,
        "(f64.copysign L (f64.const -1))" => "f64", F64, |x| x.copysign(-1.0);
        "(f64.copysign (f64.const 3) L)" => "f64", F64, |x| 3f64.copysign(x);
        "(f64.abs L)" => "f64", F64, |x| x.abs();
        "(f64.neg L)" => "f64", F64, |x| -x;
        "(f64.sqrt L)" => "f64", F64, |x| x.sqrt();
        "(f64.ceil L)" => "f64", F64, |x| x.ceil();
        "(f64.floor L)" => "f64", F64, |x| x.floor();
        "(f64.trunc L)" => "f64", F64, |x| x.trunc();
        "(f64.nearest L)" => "f64", F64, |x| x.round_ties_even();
        "(f64.add (f64.const 1.5) L)" => "f64", F64, |x| 1.5 + x;
        "(f64.sub (f64.const 1.5) L)" => "f64", F64, |x| 1.5 - x;
        "(f64.mul (f64.const 1.5) L)" => "f64", F64, |x| 1.5 * x;
        "(f64.div (f64.const 1.5) L)" => "f64", F64, |x| 1.5 / x;
        "(f64.min (f64.const 1.5) L)" => "f64", F64, |x| x.min(1.5);
        "(f64.max (f64.const 1.5) L)" => "f64", F64, |x| x.max(1.5);
        "(f32.demote_f64 L)" => "f32", F32, |x| x as f32;
        "(i64.reinterpret_f64 L)" => "i64", I64, |x| x.to_bits() as i64;
        "(i32.trunc_sat_f64_s L)" => "i32", I32, |x| x as i32;
        "(i32.trunc_sat_f64_u L)" => "i32", I32, |x| x as u32 as i32;
        "(i64.trunc_sat_f64_s L)" => "i64", I64, |x| x as i64;
        "(i64.trunc_sat_f64_u L)" => "i64", I64, |x| x as u64 as i64;
        "(f64.lt (f64.const 1.5) L)" => "i32", I32, |x| (1.5 < x).into();
        "(f64.eq L L)" => "i32", I32, |_x| 1;
    );
    operands!(all, "f32.load", 4, f32_of,
        "(f32.copysign L (f32.const -1))" => "f32", F32, |x| x.copysign(-1.0);
        "(f32.copysign (f32.const 3) L)" => "f32", F32, |x| 3f32.copysign(x);
        "(f32.abs L)" => "f32", F32, |x| x.abs();
        "(f32.neg L)" => "f32", F32, |x| -x;
        "(f32.sqrt L)" => "f32", F32, |x| x.sqrt();
        "(f32.ceil L)" => "f32", F32, |x| x.ceil();
        "(f32.floor L)" => "f32", F32, |x| x.floor();
        "(f32.trunc L)" => "f32", F32, |x| x.trunc();
        "(f32.nearest L)" => "f32", F32, |x| x.round_ties_even();
        "(f32.add (f32.const 1.5) L)" => "f32", F32, |x| 1.5 + x;
        "(f32.sub (f32.const 1.5) L)" => "f32", F32, |x| 1.5 - x;
        "(f32.mul (f32.const 1.5) L)" => "f32", F32, |x| 1.5 * x;
        "(f32.div (f32.const 1.5) L)" => "f32", F32, |x| 1.5 / x;
        "(f32.min (f32.const 1.5) L)" => "f32", F32, |x| x.min(1.5);
        "(f32.max (f32.const 1.5) L)" => "f32", F32, |x| x.max(1.5);
        "(f64.promote_f32 L)" => "f64", F64, |x| x.into();
        "(i32.reinterpret_f32 L)" => "i32", I32, |x| x.to_bits() as i32;
        "(i32.trunc_sat_f32_s L)" => "i32", I32, |x| x as i32;
        "(i32.trunc_sat_f32_u L)" => "i32", I32, |x| x as u32 as i32;
        "(i64.trunc_sat_f32_s L)" => "i64", I64, |x| x as i64;
        "(i64.trunc_sat_f32_u L)" => "i64", I64, |x| x as u64 as i64;
        "(f32.lt (f32.const 1.5) L)" => "i32", I32, |x| (1.5 < x).into();
    );
    all
}

/// Integers.
pub fn integers() -> Vec<Operand> {
    let mut all = Vec::new();
    operands!(all, "i32.load", 4, i32_of,
        "(i32.clz L)" => "i32", I32, |x| x.leading_zeros() as i32;
        "(i32.ctz L)" => "i32", I32, |x| x.trailing_zeros() as i32;
        "(i32.popcnt L)" => "i32", I32, |x| x.count_ones() as i32;
        "(i32.eqz L)" => "i32", I32, |x| (x == 0).into();
        "(i32.add (i32.const 77) L)" => "i32", I32, |x| x.wrapping_add(77);
        "(i32.sub (i32.const 77) L)" => "i32", I32, |x| 77i32.wrapping_sub(x);
        "(i32.mul (i32.const 77) L)" => "i32", I32, |x| x.wrapping_mul(77);
        "(i32.and (i32.const 0x77777) L)" => "i32", I32, |x| x & 0x77777;
        "(i32.or (i32.const 0x77777) L)" => "i32", I32, |x| x | 0x77777;
        "(i32.xor (i32.const 0x77777) L)" => "i32", I32, |x| x ^ 0x77777;
        "(i32.shl (i32.const 77) L)" => "i32", I32, |x| 77i32.wrapping_shl(x as u32);
        "(i32.rotl L (i32.const 7))" => "i32", I32, |x| x.rotate_left(7);
        "(i32.lt_u (i32.const 77) L)" => "i32", I32, |x| (77 < x as u32).into();
        "(i32.extend8_s L)" => "i32", I32, |x| (x as i8).into();
        "(i32.extend16_s L)" => "i32", I32, |x| (x as i16).into();
        "(i64.extend_i32_s L)" => "i64", I64, |x| x.into();
        "(i64.extend_i32_u L)" => "i64", I64, |x| (x as u32).into();
        "(f64.convert_i32_s L)" => "f64", F64, |x| x.into();
        "(f64.convert_i32_u L)" => "f64", F64, |x| (x as u32).into();
        "(f32.convert_i32_s L)" => "f32", F32, |x| x as f32;
        "(f32.convert_i32_u L)" => "f32", F32, |x| x as u32 as f32;
        "(f32.reinterpret_i32 L)" => "f32", F32, |x| f32::from_bits(x as u32);
        "(i32.div_u L (i32.const 77))" => "i32", I32, |x| (x as u32 / 77) as i32;
        "(select L (i32.const 3) (global.get $one))" => "i32", I32, |x| x;
        "(select (i32.const 3) L (global.get $one))" => "i32", I32, |_x| 3;
    );
    operands!(all, "i64.load", 8, i64_of,
        "(i64.clz L)" => "i64", I64, |x| x.leading_zeros().into();
        "(i64.ctz L)" => "i64", I64, |x| x.trailing_zeros().into();
        "(i64.popcnt L)" => "i64", I64, |x| x.count_ones().into();
        "(i64.eqz L)" => "i32", I32, |x| (x == 0).into();
        "(i64.add (i64.const 77) L)" => "i64", I64, |x| x.wrapping_add(77);
        "(i64.sub (i64.const 77) L)" => "i64", I64, |x| 77i64.wrapping_sub(x);
        "(i64.mul (i64.const 77) L)" => "i64", I64, |x| x.wrapping_mul(77);
        "(i64.and (i64.const 0x77777) L)" => "i64", I64, |x| x & 0x77777;
        "(i64.shl (i64.const 77) L)" => "i64", I64, |x| 77i64.wrapping_shl(x as u32);
        "(i64.extend32_s L)" => "i64", I64, |x| (x as i32).into();
        "(i32.wrap_i64 L)" => "i32", I32, |x| x as i32;
        "(f64.convert_i64_s L)" => "f64", F64, |x| x as f64;
        "(f64.convert_i64_u L)" => "f64", F64, |x| x as u64 as f64;
        "(f32.convert_i64_s L)" => "f32", F32, |x| x as f32;
        "(f32.convert_i64_u L)" => "f32", F32, |x| x as u64 as f32;
        "(f64.reinterpret_i64 L)" => "f64", F64, |x| f64::from_bits(x as u64);
    );
    all
}

/// Vectors, where there are any.
pub fn vectors() -> Vec<Operand> {
    let mut all = Vec::new();
    vectors!(all, "f64.load", 8,
        "(f64x2.splat L)" => "v128";
        "(f64x2.replace_lane 0 (v128.const i64x2 1 2) L)" => "v128";
        "(f64x2.replace_lane 1 (v128.const i64x2 1 2) L)" => "v128";
        "(f64x2.add (f64x2.splat L) (v128.const f64x2 1 2))" => "v128";
    );
    vectors!(all, "f32.load", 4,
        "(f32x4.splat L)" => "v128";
        "(f32x4.replace_lane 3 (v128.const i64x2 1 2) L)" => "v128";
    );
    vectors!(all, "i64.load", 8,
        "(i64x2.splat L)" => "v128";
        "(i64x2.replace_lane 1 (v128.const i64x2 1 2) L)" => "v128";
    );
    vectors!(all, "i32.load", 4,
        "(i32x4.splat L)" => "v128";
        "(i32x4.replace_lane 2 (v128.const i64x2 1 2) L)" => "v128";
        "(i32x4.shl (v128.const i64x2 1 2) L)" => "v128";
    );
    vectors!(all, "i32.load16_u", 2,
        "(i16x8.splat L)" => "v128";
        "(i16x8.replace_lane 7 (v128.const i64x2 1 2) L)" => "v128";
    );
    vectors!(all, "i32.load8_u", 1,
        "(i8x16.splat L)" => "v128";
        "(i8x16.replace_lane 15 (v128.const i64x2 1 2) L)" => "v128";
    );
    vectors!(all, "v128.load64_zero", 8,
        "(f64x2.convert_low_i32x4_s L)" => "v128";
        "(f64x2.promote_low_f32x4 L)" => "v128";
        "(i64x2.extend_low_i32x4_s L)" => "v128";
        "(i16x8.extend_low_i8x16_u L)" => "v128";
    );
    vectors!(all, "v128.load8x8_s", 8,
        "(i16x8.abs L)" => "v128";
    );
    vectors!(all, "v128.load", 16,
        "(v128.not L)" => "v128";
        "(v128.and L (v128.const i64x2 -2 99))" => "v128";
        "(i8x16.add (v128.const i64x2 1 2) L)" => "v128";
        "(i16x8.mul (v128.const i64x2 1 2) L)" => "v128";
        "(i32x4.sub (v128.const i64x2 1 2) L)" => "v128";
        "(i64x2.mul (v128.const i64x2 1 2) L)" => "v128";
        "(i8x16.swizzle (v128.const i64x2 1 2) L)" => "v128";
        "(i8x16.swizzle L (v128.const i64x2 1 2))" => "v128";
        "(i8x16.popcnt L)" => "v128";
        "(i32x4.dot_i16x8_s (v128.const i64x2 1 2) L)" => "v128";
        "(f64x2.sqrt L)" => "v128";
        "(f64x2.mul (v128.const f64x2 1 2) L)" => "v128";
        "(f64x2.nearest L)" => "v128";
        "(f32x4.demote_f64x2_zero L)" => "v128";
        "(f32x4.convert_i32x4_u L)" => "v128";
        "(i32x4.trunc_sat_f64x2_s_zero L)" => "v128";
        "(i16x8.extend_low_i8x16_s L)" => "v128";
        "(i16x8.extend_high_i8x16_s L)" => "v128";
        "(i8x16.narrow_i16x8_s (v128.const i64x2 1 2) L)" => "v128";
        "(i8x16.shuffle 0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31
            (v128.const i64x2 1 2) L)" => "v128";
        "(v128.bitselect (v128.const i64x2 1 2) (v128.const i64x2 3 4) L)" => "v128";
        "(i8x16.eq (v128.const i64x2 1 2) L)" => "v128";
        "(i32x4.shr_s L (i32.const 5))" => "v128";
        "(i8x16.extract_lane_s 15 L)" => "i32";
        "(f64x2.extract_lane 1 L)" => "f64";
        "(i64x2.extract_lane 0 L)" => "i64";
        "(v128.any_true L)" => "i32";
        "(i8x16.bitmask L)" => "i32";
    );
    all
}
