//! Every vector operator that takes or gives a vector, by the kinds of its operands.

/// What stands between the name and the operands of an operator.
pub struct Op {
    pub name: String,
    /// One letter per operand: `v` a vector, `i` `l` `f` `d` scalars as in `i32 i64 f32 f64`.
    pub operands: &'static str,
    pub result: char,
}

/// The wasm type of a kind.
pub fn ty(kind: char) -> &'static str {
    match kind {
        'v' => "v128",
        'i' => "i32",
        'l' => "i64",
        'f' => "f32",
        'd' => "f64",
        other => panic!("{other}"),
    }
}

const LANEWISE: [(&str, &str, &[&str]); 12] = [
    ("i8x16", "v", &["abs", "neg", "popcnt"]),
    ("i16x8 i32x4 i64x2", "v", &["abs", "neg"]),
    ("i8x16 i16x8", "vv", &["add_sat_s", "add_sat_u", "sub_sat_s", "sub_sat_u", "avgr_u"]),
    ("i8x16 i16x8 i32x4", "vv", &["min_s", "min_u", "max_s", "max_u"]),
    ("i8x16 i16x8 i32x4", "vv", &["lt_u", "gt_u", "le_u", "ge_u"]),
    ("i8x16 i16x8 i32x4 i64x2", "vv", &["eq", "ne", "lt_s", "gt_s", "le_s", "ge_s"]),
    ("i8x16 i16x8 i32x4 i64x2", "vv", &["add", "sub"]),
    ("i16x8 i32x4 i64x2", "vv", &["mul"]),
    ("i8x16 i16x8 i32x4 i64x2", "vi", &["shl", "shr_s", "shr_u"]),
    ("f32x4 f64x2", "v", &["abs", "neg", "sqrt", "ceil", "floor", "trunc", "nearest"]),
    ("f32x4 f64x2", "vv", &["add", "sub", "mul", "div", "min", "max", "pmin", "pmax"]),
    ("f32x4 f64x2", "vv", &["eq", "ne", "lt", "gt", "le", "ge"]),
];

const OTHERS: [(&str, &[&str]); 4] = [
    (
        "v",
        &[
            "v128.not",
            "i16x8.extadd_pairwise_i8x16_s",
            "i16x8.extadd_pairwise_i8x16_u",
            "i32x4.extadd_pairwise_i16x8_s",
            "i32x4.extadd_pairwise_i16x8_u",
            "i32x4.trunc_sat_f32x4_s",
            "i32x4.trunc_sat_f32x4_u",
            "i32x4.trunc_sat_f64x2_s_zero",
            "i32x4.trunc_sat_f64x2_u_zero",
            "f32x4.convert_i32x4_s",
            "f32x4.convert_i32x4_u",
            "f64x2.convert_low_i32x4_s",
            "f64x2.convert_low_i32x4_u",
            "f32x4.demote_f64x2_zero",
            "f64x2.promote_low_f32x4",
            "i32x4.relaxed_trunc_f32x4_s",
            "i32x4.relaxed_trunc_f32x4_u",
            "i32x4.relaxed_trunc_f64x2_s_zero",
            "i32x4.relaxed_trunc_f64x2_u_zero",
        ],
    ),
    (
        "vv",
        &[
            "v128.and",
            "v128.andnot",
            "v128.or",
            "v128.xor",
            "i8x16.swizzle",
            "i8x16.shuffle 0 31 2 29 4 27 6 25 8 23 10 21 12 19 14 17",
            "i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23",
            "i8x16.shuffle 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3",
            "i8x16.narrow_i16x8_s",
            "i8x16.narrow_i16x8_u",
            "i16x8.narrow_i32x4_s",
            "i16x8.narrow_i32x4_u",
            "i16x8.q15mulr_sat_s",
            "i32x4.dot_i16x8_s",
            "i8x16.relaxed_swizzle",
            "f32x4.relaxed_min",
            "f32x4.relaxed_max",
            "f64x2.relaxed_min",
            "f64x2.relaxed_max",
            "i16x8.relaxed_q15mulr_s",
            "i16x8.relaxed_dot_i8x16_i7x16_s",
        ],
    ),
    (
        "vvv",
        &[
            "v128.bitselect",
            "f32x4.relaxed_madd",
            "f32x4.relaxed_nmadd",
            "f64x2.relaxed_madd",
            "f64x2.relaxed_nmadd",
            "i8x16.relaxed_laneselect",
            "i16x8.relaxed_laneselect",
            "i32x4.relaxed_laneselect",
            "i64x2.relaxed_laneselect",
            "i32x4.relaxed_dot_i8x16_i7x16_add_s",
        ],
    ),
    (
        "",
        &[
            "v128.const i32x4 0 0 0 0",
            "v128.const i64x2 -1 -1",
            "v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
        ],
    ),
];

/// Lane shapes, with the kind of a scalar lane and the number of lanes.
const SHAPES: [(&str, char, u8); 6] = [
    ("i8x16", 'i', 16),
    ("i16x8", 'i', 8),
    ("i32x4", 'i', 4),
    ("i64x2", 'l', 2),
    ("f32x4", 'f', 4),
    ("f64x2", 'd', 2),
];

/// All of them.
pub fn all() -> Vec<Op> {
    let mut ops = Vec::new();
    let mut op = |name: String, operands: &'static str, result: char| {
        ops.push(Op { name, operands, result });
    };
    for (shapes, operands, names) in LANEWISE {
        for (shape, name) in shapes.split(' ').flat_map(|s| names.iter().map(move |n| (s, n))) {
            op(format!("{shape}.{name}"), operands, 'v');
        }
    }
    for (operands, names) in OTHERS {
        for name in names {
            op((*name).to_owned(), operands, 'v');
        }
    }
    for (to, from) in [("i16x8", "i8x16"), ("i32x4", "i16x8"), ("i64x2", "i32x4")] {
        for (half, sign) in [("low", "s"), ("low", "u"), ("high", "s"), ("high", "u")] {
            op(format!("{to}.extend_{half}_{from}_{sign}"), "v", 'v');
            op(format!("{to}.extmul_{half}_{from}_{sign}"), "vv", 'v');
        }
    }
    op("v128.any_true".to_owned(), "v", 'i');
    for (shape, kind, lanes) in SHAPES {
        let narrow = matches!(shape, "i8x16" | "i16x8");
        op(format!("{shape}.splat"), scalar(kind), 'v');
        for lane in [0, lanes - 1] {
            op(format!("{shape}.replace_lane {lane}"), replaces(kind), 'v');
            for sign in if narrow { &["_s", "_u"][..] } else { &[""] } {
                op(format!("{shape}.extract_lane{sign} {lane}"), "v", kind);
            }
        }
        if shape.starts_with('i') {
            op(format!("{shape}.all_true"), "v", 'i');
            op(format!("{shape}.bitmask"), "v", 'i');
        }
    }
    ops
}

fn scalar(kind: char) -> &'static str {
    match kind {
        'i' => "i",
        'l' => "l",
        'f' => "f",
        _ => "d",
    }
}

fn replaces(kind: char) -> &'static str {
    match kind {
        'i' => "vi",
        'l' => "vl",
        'f' => "vf",
        _ => "vd",
    }
}

/// All loads, with the bytes they read and what else they take.
pub const LOADS: [(&str, u32, bool); 17] = [
    ("v128.load", 16, false),
    ("v128.load8x8_s", 8, false),
    ("v128.load8x8_u", 8, false),
    ("v128.load16x4_s", 8, false),
    ("v128.load16x4_u", 8, false),
    ("v128.load32x2_s", 8, false),
    ("v128.load32x2_u", 8, false),
    ("v128.load8_splat", 1, false),
    ("v128.load16_splat", 2, false),
    ("v128.load32_splat", 4, false),
    ("v128.load64_splat", 8, false),
    ("v128.load32_zero", 4, false),
    ("v128.load64_zero", 8, false),
    ("v128.load8_lane", 1, true),
    ("v128.load16_lane", 2, true),
    ("v128.load32_lane", 4, true),
    ("v128.load64_lane", 8, true),
];

/// All stores, with the bytes they write and whether they name a lane.
pub const STORES: [(&str, u32, bool); 5] = [
    ("v128.store", 16, false),
    ("v128.store8_lane", 1, true),
    ("v128.store16_lane", 2, true),
    ("v128.store32_lane", 4, true),
    ("v128.store64_lane", 8, true),
];
