//! Compiles small modules and looks at what comes out: every language feature, the same bytes for
//! any number of threads, the initial memory, and modules made to overwhelm a compiler.

use lucet_artifact::abi::TrapCode;
use lucet_artifact::code::NO_REF;
use lucet_artifact::contract::feature;
use lucet_artifact::init::{ImageRun, SegmentMode};
use lucet_artifact::types::{MemoryShape, NO_CODE};
use lucetc::limits::Limit;
use lucetc::model::Compiled;
use lucetc::{Class, Errors, OptLevel, Options, Text};

fn options() -> Options {
    Options { paranoid: true, ..Options::default() }
}

fn compile(wat: &str) -> Compiled {
    try_compile(wat, &options()).unwrap_or_else(|e| panic!("{e}\n{wat}"))
}

fn try_compile(wat: &str, options: &Options) -> Result<Compiled, Errors> {
    lucetc::compile_to_model(wat.as_bytes(), options)
}

fn codes(c: &Compiled) -> Vec<TrapCode> {
    let mut codes: Vec<_> = c.traps.sites.iter().map(|s| s.1).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// Uses every kind of operator, and every language feature, at least once.
const EVERYTHING: &str = r#"(module
  (type $pair (func (param i32 i64) (result i64 i32)))
  (import "env" "one" (func $one (param i32 f32 f64 i64) (result f64)))
  (import "env" "two" (func $two (param i32 i64) (result i64 i32)))
  (import "env" "g" (global $imported (mut i64)))
  (import "env" "t" (table $foreign 1 funcref))
  (memory 1 4)
  (memory $second i64 1 4)
  (tag $e (param i32))
  (global $own (mut f32) (f32.const nan:0x200001))
  (global (export "sum") i32 (i32.add (i32.const 1) (i32.const 2)))
  (table $t 4 8 funcref)
  (table $x 2 externref)
  (elem (table $t) (i32.const 1) func $swap $one)
  (elem $passive funcref (ref.func $swap) (ref.null func))
  (elem declare func $loops)
  (data (i32.const 8) "hello")
  (data $bytes "passive")
  (func $swap (type $pair) local.get 1 local.get 0)
  (func $loops (export "loops") (param i32) (result i32) (local i64)
    (loop $l (param) (result i32)
      (local.set 1 (i64.add (local.get 1) (i64.const 3)))
      (br_if $l (i64.lt_u (local.get 1) (i64.extend_i32_u (local.get 0))))
      (i32.wrap_i64 (local.get 1))))
  (func (export "values") (param i32) (result i64 i32)
    i32.const 1
    (block (param i32) (result i64 i32)
      (if (param i32) (result i64 i32) (local.get 0)
        (then i64.const 5 call $two)
        (else i64.const 7 call $swap))
      (br_if 0 (local.get 0))
      (loop (param i64 i32) (result i64 i32) (br 1))))
  (func (export "indirect") (param i32) (result i64 i32)
    (call_indirect $t (type $pair) (i32.const 1) (i64.const 2) (local.get 0)))
  (func (export "foreign") (param i32) (result i64 i32)
    (call_indirect $foreign (type $pair) (i32.const 1) (i64.const 2) (local.get 0)))
  (func (export "tables") (param i32) (result i32) (local externref)
    (table.set $x (local.get 0) (table.get $x (i32.const 0)))
    (drop (table.grow $t (ref.func $loops) (i32.const 1)))
    (table.fill $t (i32.const 0) (ref.null func) (i32.const 1))
    (table.copy $t $foreign (i32.const 0) (i32.const 0) (i32.const 1))
    (table.init $t $passive (i32.const 0) (i32.const 0) (i32.const 2))
    (elem.drop $passive)
    (drop (ref.is_null (select (result externref) (local.get 1) (ref.null extern)
      (local.get 0))))
    (table.size $t))
  (func (export "memory") (param i32) (result i32)
    (memory.copy (i32.const 0) (i32.const 8) (i32.const 5))
    (memory.fill (i32.const 0) (i32.const 0xff) (i32.const 5))
    (memory.init $bytes (i32.const 0) (i32.const 0) (i32.const 5))
    (data.drop $bytes)
    (i64.store32 offset=4 (local.get 0) (i64.load8_s (local.get 0)))
    (f64.store offset=0xffffffff (local.get 0) (f64.load offset=0x7fffffff (local.get 0)))
    (i32.add (memory.size) (memory.grow (i32.const 1))))
  (func (export "numbers") (param i32 i64 f32 f64) (result f64)
    (global.set $imported (i64.rem_s (local.get 1) (i64.const -1)))
    (global.set $own (f32.copysign (local.get 2) (global.get $own)))
    (drop (i32.div_u (local.get 0) (i32.extend8_s (local.get 0))))
    (drop (i64.rotl (global.get $imported) (i64.popcnt (local.get 1))))
    (drop (i32.trunc_sat_f64_u (local.get 3)))
    (drop (i64.trunc_f32_u (local.get 2)))
    (drop (f64.reinterpret_i64 (i64.extend32_s (local.get 1))))
    (call $one (local.get 0) (f32.nearest (local.get 2)) (f64.min (local.get 3) (f64.const 1))
      (i64.clz (local.get 1))))
  (func (export "jumps") (param i32) (result i32)
    (block $a (result i32) (block $b (result i32)
      (br_table $a $b $a (i32.const 7) (local.get 0)))
      (if (local.get 0) (then (return (i32.const 1)) unreachable))
      (br 0) (i32.add) (drop)))
  (func (export "vectors") (param v128) (result v128)
    (f32x4.relaxed_madd (local.get 0) (v128.load (i32.const 0))
      (i8x16.swizzle (local.get 0) (local.get 0))))
  (func (export "wide") (param i64) (result i64 i64)
    (i64.store $second (local.get 0) (i64.load $second offset=8 (local.get 0)))
    (i64.add128 (local.get 0) (i64.const 1) (i64.mul_wide_s (local.get 0) (local.get 0))))
  (func (export "atomic") (param i32) (result i32)
    (atomic.fence)
    (i32.atomic.rmw.add (local.get 0) (i32.atomic.load (local.get 0))))
  (func (export "tails") (param i32) (result i64 i32)
    (return_call_indirect $t (type $pair) (i32.const 1) (i64.const 2) (local.get 0)))
  (func (export "reference") (param (ref null $pair)) (result i64 i32)
    (call_ref $pair (i32.const 1) (i64.const 2) (local.get 0)))
  (func (export "catches") (param i32) (result i32)
    (block $h (result i32)
      (try_table (catch $e $h) (throw $e (local.get 0)))
      (unreachable)))
  (func $start) (start $start))"#;

#[test]
fn every_feature_compiles() {
    for memory in [MemoryShape::Guarded, MemoryShape::Compact] {
        for opt_level in [OptLevel::None, OptLevel::Speed, OptLevel::SpeedAndSize] {
            let o = Options { memory, opt_level, ..options() };
            let c = try_compile(EVERYTHING, &o).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(c.contract.features, (1 << feature::NAMES.len()) - 1, "all feature bits");
            assert_eq!(c.contract.start, Some(c.contract.functions - 1));
            use TrapCode::*;
            let expected = [
                Unreachable,
                MemoryOutOfBounds,
                TableOutOfBounds,
                IndirectCallToNull,
                BadSignature,
                IntegerDivisionByZero,
                IntegerOverflow,
                BadConversionToInteger,
                NullReference,
                UnalignedAtomic,
            ];
            assert_eq!(codes(&c), expected, "{memory:?} {opt_level:?}");
        }
    }
}

#[test]
fn pieces_tile_the_text() {
    let c = compile(EVERYTHING);
    let mut pieces: Vec<_> = c
        .funcs
        .iter()
        .filter(|f| f.record.offset != NO_CODE)
        .map(|f| (f.record.offset, f.record.size))
        .chain(c.glue.iter().map(|g| (g.offset, g.size)))
        .collect();
    pieces.sort_unstable();
    let mut end = 0;
    for (offset, size) in pieces {
        assert_eq!(offset % 32, 0);
        assert!(offset - end < 32, "no gap larger than alignment");
        assert!(c.text[end as usize..offset as usize].iter().all(|b| *b == 0xcc));
        end = offset + size;
    }
    assert_eq!(end as usize, c.text.len());
    // Imports with a reference have a stub, the others have no code.
    assert_eq!(c.funcs[0].record.reference, 0);
    assert_ne!(c.funcs[0].record.offset, NO_CODE);
    assert_eq!((c.funcs[1].record.reference, c.funcs[1].record.offset), (NO_REF, NO_CODE));
    assert!(c.unwind.windows(2).all(|w| w[0].0 < w[1].0));
}

#[test]
fn trap_stub_calls_are_followed_by_their_site() {
    // What stands behind a `return` needs none.
    assert_eq!(compile("(module (func return unreachable))").traps.sites, []);
    let c = compile("(module (func unreachable))");
    let [(site, TrapCode::Unreachable)] = c.traps.sites[..] else { panic!("{:?}", c.traps) };
    let site = site as usize;
    // `call` through a register, then the `ud2` that the site names.
    let [0xff, 0xd0..=0xd7] = c.text[site - 2..site] else { panic!("{:x?}", c.text) };
    assert_eq!(c.text[site..site + 2], [0x0f, 0x0b]);
}

#[test]
fn trap_sites_lead_back_to_their_operators() {
    let wat = "(module (memory 1) (table 1 funcref) (func (param i32) (result i32)
        (i32.div_s (i32.load (local.get 0)) (i32.load16_u offset=3 (local.get 0)))
        (call_indirect (local.get 0)) (unreachable)))";
    let c = compile(wat);
    let wasm = wat::parse_str(wat).expect("valid");
    let f = &c.funcs[0];
    for (site, code) in &c.traps.sites {
        let pc = site - f.record.offset;
        let row = f.rows.iter().rev().find(|r| r.pc <= pc).expect("a row");
        let opcode = wasm[row.wasm as usize];
        let expected = match code {
            TrapCode::MemoryOutOfBounds => &[0x28, 0x2f][..],
            TrapCode::IntegerDivisionByZero | TrapCode::IntegerOverflow => &[0x6d],
            TrapCode::Unreachable => &[0x00],
            _ => &[0x11],
        };
        assert!(expected.contains(&opcode), "{code:?} at {pc:#x}: opcode {opcode:#x}");
    }
}

#[test]
fn output_does_not_depend_on_threads() {
    let many: String = (0..200)
        .map(|i| {
            format!(
                "(func (export \"f{i}\") (param i32) (result i32) (i32.mul (call {}) \
             (i32.const {i})) )",
                "$seed (local.get 0)"
            )
        })
        .collect();
    let wat = format!("(module (func $seed (param i32) (result i32) local.get 0) {many})");
    let bytes = |threads| {
        let o = Options { threads, ..options() };
        lucetc::compile(wat.as_bytes(), &o).unwrap_or_else(|e| panic!("{e}"))
    };
    let one = bytes(1);
    for threads in [2, 7, 64] {
        assert!(one == bytes(threads), "{threads} threads");
    }
}

#[test]
fn data_segments_fold_into_the_image() {
    let c = compile(
        r#"(module (import "m" "g" (global i32)) (memory 2)
          (data (i32.const 4090) "0123456789")
          (data (i32.const 4093) "xyz")
          (data (i32.const 70000) "\00\00\00")
          (data (i32.const 65536) "z")
          (data "passive")
          (data (global.get 0) "late")
          (data (i32.const 0) "after"))"#,
    );
    let runs = [ImageRun { page: 0, pages: 2 }, ImageRun { page: 16, pages: 1 }];
    assert_eq!(c.init.image, runs);
    assert_eq!(c.image.len(), 3 * 4096);
    assert_eq!(&c.image[4090..4100], b"012xyz6789");
    assert_eq!(c.image[8192], b'z');
    let modes: Vec<_> = c.init.datas.iter().map(|d| (d.len, d.mode.clone())).collect();
    assert!(modes[..4].iter().all(|m| *m == (0, SegmentMode::Declared)));
    assert_eq!(modes[4], (7, SegmentMode::Passive));
    // From the first segment that cannot be folded on, order is kept by folding no more.
    assert!(modes[5..].iter().all(|m| matches!(m.1, SegmentMode::Active { .. })));
    assert_eq!(c.data, b"passivelateafter");
}

#[test]
fn segments_that_trap_stay_segments() {
    let c =
        compile(r#"(module (memory 1) (data (i32.const 65535) "ab") (data (i32.const 0) "c"))"#);
    assert!(c.init.image.is_empty());
    assert!(c.init.datas.iter().all(|d| matches!(d.mode, SegmentMode::Active { .. })));
    let c = compile(r#"(module (import "m" "m" (memory 1)) (data (i32.const 0) "ab"))"#);
    assert!(c.init.image.is_empty());
    assert_eq!(c.contract.memories[0].reserve_bytes, 0);
}

#[test]
fn memory_declarations_follow_options_and_policy() {
    let memory = |wat: &str, o: &Options| {
        let m = try_compile(wat, o).unwrap_or_else(|e| panic!("{e}")).contract.memories[0];
        (m.ty.max, m.reserve_bytes, m.guard_bytes)
    };
    let guarded = options();
    let compact = Options { memory: MemoryShape::Compact, ..options() };
    let page = 65536;
    assert_eq!(memory("(module (memory 1))", &guarded), (None, 4 << 30, 32 << 20));
    assert_eq!(memory("(module (memory 1))", &compact), (Some(256), 256 * page, 0));
    assert_eq!(memory("(module (memory 300))", &compact), (Some(300), 300 * page, 0));
    assert_eq!(memory("(module (memory 1 9))", &compact), (Some(9), 9 * page, 0));
    let mut tight = compact;
    tight.policy.set_max(lucetc::policy::Max::MemoryPages, 4);
    assert_eq!(memory("(module (memory 1 9))", &tight), (Some(4), 4 * page, 0));
    let e = try_compile("(module (memory 5))", &tight).expect_err("too large");
    assert_eq!(e.class(), Class::Policy);
}

#[test]
fn classes_and_places_of_problems() {
    let class = |wat: &str| try_compile(wat, &options()).map(|_| ()).map_err(|e| e.class());
    assert_eq!(class("(module (func i32.const))"), Err(Class::Malformed));
    assert_eq!(class("not a module"), Err(Class::Malformed));
    assert_eq!(class("(module (func (result i32)))"), Err(Class::Invalid));
    assert_eq!(class("(module (memory i64 1) (memory 1))"), Ok(()));
    assert_eq!(
        class("(module (memory i64 1) (func (i32.load (i32.const 0)) drop))"),
        Err(Class::Invalid)
    );
    assert_eq!(class("(module (memory 1 1 shared))"), Err(Class::Unsupported));
    assert_eq!(class("(module (type (struct)))"), Err(Class::Unsupported));
    let wat = "(module (func $a (drop (ref.i31 (i32.const 0)))) (func) (func $b try end))";
    let e = try_compile(wat, &options()).expect_err("unsupported");
    let names: Vec<_> = e.0.iter().filter_map(|d| d.function.clone()).collect();
    assert_eq!(names, [(0, "a".to_owned()), (2, "b".to_owned())]);
    assert!(e.0[0].message.starts_with("gc is not supported"), "{e}");
    assert!(e.0[1].message.starts_with("legacy-exceptions is not supported"), "{e}");
    assert!(e.0.iter().all(|d| d.offset.is_some() && d.help.is_some()));
    let truncated = lucetc::compile(b"\0asm\x01\0\0\0\x01\x7f", &options());
    assert_eq!(truncated.expect_err("truncated").class(), Class::Malformed);
}

#[test]
fn text_output() {
    let wat = "(module (func (export \"f\") (result i32) i32.const 42))";
    let clif = lucetc::compile_to_text(wat.as_bytes(), &options(), Text::Clif).expect("compiles");
    assert!(clif.contains(";; function 0 \"f\"") && clif.contains("iconst.i32 42"), "{clif}");
    let asm = lucetc::compile_to_text(wat.as_bytes(), &options(), Text::Asm).expect("compiles");
    assert!(asm.contains("$0x2a") && asm.contains(";; entry trampoline 0"), "{asm}");
}

/// A module whose only function has this body.
fn with_body(body: &[u8]) -> Vec<u8> {
    fn leb(mut n: usize) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            let byte = (n & 0x7f) as u8;
            n >>= 7;
            out.push(if n == 0 { byte } else { byte | 0x80 });
            if n == 0 {
                return out;
            }
        }
    }
    let mut m = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a".to_vec();
    let mut function = vec![0];
    function.extend_from_slice(body);
    function.push(0x0b);
    let size = leb(function.len());
    m.extend(leb(1 + size.len() + function.len()));
    m.push(1);
    m.extend(size);
    m.extend(function);
    m
}

#[test]
fn deep_nesting_needs_no_stack() {
    const DEPTH: usize = 100_000;
    let mut options = Options::default();
    options.limits.set(Limit::Nesting, DEPTH as u64 + 1);
    options.limits.set(Limit::LoopNesting, DEPTH as u64);
    // Blocks, loops, conditionals, each nested inside the last; and blocks in dead code.
    for open in [&[0x02, 0x40][..], &[0x03, 0x40], &[0x41, 0, 0x04, 0x40], &[0x00, 0x02, 0x40]] {
        let mut body = open.repeat(DEPTH);
        body.extend(vec![0x0b; DEPTH]);
        let result = lucetc::compile_to_model(&with_body(&body), &options);
        assert!(result.is_ok(), "{open:x?}: {:?}", result.err());
    }
}

#[test]
fn large_br_table() {
    let targets = "0 ".repeat(60_000);
    let wat = format!(
        "(module (func (param i32) (result i32) (block (result i32)
          (br_table {targets} 1 (i32.const 3) (local.get 0)))))"
    );
    assert!(compile(&wat).text.len() > 240_000);
    let wat = wat.replace("br_table", &format!("br_table {targets}"));
    let e = try_compile(&wat, &options()).expect_err("too many targets");
    assert_eq!((e.class(), e.0[0].function.as_ref().map(|f| f.0)), (Class::Limit, Some(0)));
}

#[test]
fn a_thousand_results() {
    let results = "i64 f32 i32 f64 ".repeat(250);
    let wat = format!(
        "(module (type $t (func (param {results}) (result {results})))
          (import \"env\" \"f\" (func $f (type $t)))
          (table 1 funcref) (elem (i32.const 0) func $f)
          (func (export \"g\") (type $t)
            {gets} call $f i32.const 0 call_indirect (type $t)
            (block (type $t) (br 0))))",
        gets = (0..1000).map(|i| format!("local.get {i} ")).collect::<String>()
    );
    let c = compile(&wat);
    // vmctx and the hidden result pointer leave four of six integer registers; 496 + 492 values
    // of eight bytes are on the stack.
    assert_eq!(c.funcs[1].record.pops, (496 + 492) * 8);
    assert!(c.contract.min_stack > 16_000);
}

/// The bytes that each `ret` of a function takes off the stack.
fn popped(wat: &str) -> Vec<u32> {
    let text = lucetc::compile_to_text(wat.as_bytes(), &options(), Text::Asm).expect("compiles");
    let of_f = text.split(";; ").find(|t| t.starts_with("function 0 ")).expect("function 0");
    let rets = of_f.lines().filter_map(|l| l.trim().strip_prefix("retq"));
    let bytes = |l: &str| l.split("$0x").nth(1).map_or(0, |n| u32::from_str_radix(n, 16).expect(n));
    rets.map(bytes).collect()
}

/// The hint of how much a function pops is what its code does.
#[test]
fn pops_are_those_of_the_code() {
    let cases = [
        ("v128 ".repeat(8), "v128".to_owned(), 0),
        ("v128 ".repeat(9), String::new(), 16),
        ("f32 v128 f64 v128 ".repeat(3), "i32 v128 ".repeat(4), 64),
        ("v128 ".repeat(8) + "f32 v128 f32", "f64".to_owned(), 48),
        ("i32 ".repeat(5) + "v128 ".repeat(8).as_str(), "v128 ".repeat(8), 0),
        ("i32 ".repeat(5), "v128 ".repeat(9), 16),
        ("i64 ".repeat(6) + "v128 ".repeat(9).as_str() + "i32 ", String::new(), 48),
    ];
    for (params, results, bytes) in cases {
        let n = params.split_whitespace().count();
        let gets: String = (0..n).map(|i| format!("local.get {i} ")).collect();
        let wat = format!("(module (func (param {params}) (result {results}) {gets} call 0))");
        let pops = compile(&wat).funcs[0].record.pops;
        assert_eq!(pops, bytes, "{params} -> {results}");
        assert_eq!(popped(&wat), [bytes], "{params} -> {results}");
    }
}

/// A function that calls others instead of returning makes room for the arguments of any of them in
/// place of its own, and takes that off the stack when it does return.
#[test]
fn tail_calls_make_room() {
    let (i20, i40) = ("i64 ".repeat(20), "i64 ".repeat(40));
    let (c20, c40) = ("i64.const 1 ".repeat(20), "i64.const 1 ".repeat(40));
    let wat = format!(
        "(module (type $a (func (param {i20}))) (type $b (func (param {i40})))
          (func $f (param i32)
            (if (local.get 0) (then {c20} return_call $a))
            (if (local.get 0) (then {c40} ref.func $b return_call_ref $b)))
          (func $a (type $a) {c40} return_call $b)
          (func $b (type $b) (return_call $f (i32.const 1)))
          (elem declare func $b))"
    );
    let c = compile(&wat);
    let pops: Vec<_> = c.funcs.iter().map(|f| f.record.pops).collect();
    // vmctx and five more are in registers.
    assert_eq!(pops, [288, 288, 288]);
    assert_eq!(popped(&wat), [288]);
    assert_eq!(c.contract.features & feature::TAIL_CALL, feature::TAIL_CALL);
}

#[test]
fn what_a_module_uses_is_in_its_contract() {
    use feature::*;
    const EXNREF: u64 = REFERENCE_TYPES | EXCEPTIONS;
    const TYPED: u64 = REFERENCE_TYPES | FUNCTION_REFERENCES;
    let rows = [
        ("(memory 1) (func $f) (table 1 funcref) (elem (i32.const 0) $f)", 0),
        ("(global (mut i32) (i32.const 1))", 0),
        ("(global (export \"g\") (mut i32) (i32.const 1))", MUTABLE_GLOBALS),
        ("(import \"a\" \"b\" (global (mut i32)))", MUTABLE_GLOBALS),
        ("(func (drop (i64.extend32_s (i64.const 1))))", SIGN_EXTENSION),
        ("(func (drop (i32.trunc_sat_f32_s (f32.const 1))))", SATURATING_CONVERSIONS),
        ("(func (result i32 i32) i32.const 1 i32.const 2)", MULTI_VALUE),
        ("(func (drop (i32.const 1) (block (param i32) (result i32))))", MULTI_VALUE),
        ("(memory 1) (data \"x\")", BULK_MEMORY),
        ("(func $f) (elem func $f)", BULK_MEMORY),
        ("(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))", BULK_MEMORY),
        ("(func (param funcref externref)) (global i32 (i32.const 1))", REFERENCE_TYPES),
        ("(table 1 externref)", REFERENCE_TYPES),
        ("(table 1 funcref) (table 1 funcref)", REFERENCE_TYPES),
        ("(func (local externref))", REFERENCE_TYPES),
        ("(func (param v128))", SIMD),
        ("(global v128 (v128.const i64x2 0 0))", SIMD),
        ("(func (local v128))", SIMD),
        ("(func (drop (block (result v128) unreachable)))", SIMD),
        ("(func (drop (i8x16.splat (i32.const 0))))", SIMD),
        ("(memory 1) (func (drop (v128.load (i32.const 0))))", SIMD),
        (
            "(func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))",
            SIMD | RELAXED_SIMD,
        ),
        ("(func $f return_call $f)", TAIL_CALL),
        ("(table 1 funcref) (func (return_call_indirect (i32.const 0)))", TAIL_CALL),
        ("(global i32 (i32.add (i32.const 1) (i32.const 2)))", EXTENDED_CONST),
        ("(memory 1) (data (offset (i32.mul (i32.const 1) (i32.const 2))) \"x\")", EXTENDED_CONST),
        ("(memory 1) (memory 1)", MULTI_MEMORY),
        ("(import \"a\" \"b\" (memory 1)) (memory 1)", MULTI_MEMORY),
        ("(memory i64 1)", MEMORY64),
        ("(table i64 1 funcref)", MEMORY64),
        ("(type $t (func)) (func (param (ref null $t)))", TYPED),
        ("(func (result (ref extern)) unreachable)", TYPED),
        ("(type $t (func)) (func (local (ref null $t)))", TYPED),
        ("(type $t (func)) (table 1 (ref null $t))", TYPED),
        ("(table 1 funcref (ref.func $f)) (func $f)", FUNCTION_REFERENCES),
        ("(func (drop (ref.as_non_null (ref.null func))))", TYPED),
        ("(type $t (func)) (func (return_call_ref $t (ref.null $t)))", TYPED | TAIL_CALL),
        ("(tag)", EXCEPTIONS),
        ("(func (try_table))", EXCEPTIONS),
        ("(func (param exnref) (throw_ref (local.get 0)))", EXNREF),
        ("(table 1 exnref)", EXNREF),
        ("(global exnref (ref.null exn))", EXNREF),
        ("(func (local exnref))", EXNREF),
        ("(memory 1) (func (drop (i32.atomic.load (i32.const 0))))", ATOMICS),
        ("(func (atomic.fence))", ATOMICS),
        ("(func (i64.mul_wide_u (i64.const 1) (i64.const 1)) (drop) (drop))", WIDE_ARITHMETIC),
    ];
    let mut all = 0;
    for (text, bits) in rows {
        let c = compile(&format!("(module {text})"));
        let found = c.contract.features;
        assert_eq!(found, bits, "{text}: {found:#x}, not {bits:#x}");
        all |= bits;
    }
    assert!(NAMES.iter().all(|(bit, name)| all & bit != 0 || panic!("no row for {name}")));
    assert_eq!(all, (1 << NAMES.len()) - 1);
    assert_eq!(NAMES.len(), 16, "SPECIFICATION.md says how many");
    // Types that refer to themselves came with garbage collection.
    let e = try_compile("(module (type $t (func (param (ref null $t)))))", &options());
    let e = e.expect_err("a recursive type");
    assert_eq!(e.class(), Class::Unsupported);
    assert!(e.0[0].message.starts_with("gc is not supported"), "{e}");
}

#[test]
fn bombs_are_refused_in_bounded_time() {
    // Two bytes each for a call that carries a thousand values.
    let params = "i32 ".repeat(1000);
    let calls = "call 0 ".repeat(50_000);
    let wat = format!(
        "(module (type $t (func (param {params}) (result {params})))
          (func (type $t) {gets})
          (func (type $t) {gets} {calls}))",
        gets = (0..1000).map(|i| format!("local.get {i} ")).collect::<String>()
    );
    let e = try_compile(&wat, &Options::default()).expect_err("too much");
    assert_eq!(e.class(), Class::Limit);
    let locals = "(local i32) ".repeat(50_001);
    let e = try_compile(&format!("(module (func {locals}))"), &options()).expect_err("too many");
    assert_eq!(e.class(), Class::Limit);
}
