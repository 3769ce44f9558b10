//! Sections that are well-formed but contradict one another, or ask for what this version lacks.

use super::good::load_bytes;
use super::sample::{Parts, func, sample};
use lucet::Status;
use lucet::Status::{InvalidArtifact as Invalid, UnsupportedArtifact as Unsupported};
use lucet_artifact::code::{Hints, NO_REF};
use lucet_artifact::contract::{Export, ExportKind, ImportKind, MemoryDecl};
use lucet_artifact::init::{ConstOp, DataSegment, ElemItem, ElemSegment, ImageRun, SegmentMode};
use lucet_artifact::types::{GlobalType, HeapType, MemoryShape, MemoryType, NO_CODE, TableType};
use lucet_artifact::{RefType, ValType};

type Case = (&'static str, Status, &'static str, fn(&mut Parts));

fn refuse(cases: &[Case]) {
    for (name, status, part, change) in cases {
        let mut parts = sample();
        change(&mut parts);
        let e = load_bytes(&parts.build()).expect_err(name);
        assert_eq!(e.status(), *status, "{name}: {e}");
        assert!(e.message().contains(part), "{name}: {e}");
    }
}

#[test]
fn snapshots() {
    let cases: [Case; 10] = [
        ("no section", Invalid, "missing in a snapshot", |p| p.snapshot = None),
        ("no flag", Invalid, "a parent hash, but not", |p| p.flagged = false),
        ("no parent", Invalid, "without the hash of its parent", |p| p.parent = false),
        ("section only", Invalid, "is not a snapshot", |p| (p.flagged, p.parent) = (false, false)),
        ("start function", Invalid, "no start function", |p| p.contract.start = Some(2)),
        ("active data", Invalid, "data segment 1 is active", |p| {
            let offset = vec![ConstOp::I32(0)];
            p.init.datas[1].mode = SegmentMode::Active { target: 0, offset };
        }),
        ("imports state", Invalid, "import 1 is not a function", |p| {
            let ty = p.contract.globals[0];
            p.contract.globals.push(ty);
            p.imports.imports.push(sample().imports.imports[1].clone());
            p.imports.imports[1].kind = ImportKind::Global(ty);
            p.fix_layout();
        }),
        ("reseed type", Invalid, "reseed function 1 is not () -> ()", |p| {
            p.snapshot.as_mut().unwrap().reseed = Some(1);
        }),
        ("reseed beyond", Invalid, "reseed function", |p| {
            p.snapshot.as_mut().unwrap().reseed = Some(3);
        }),
        ("reseed without code", Invalid, "reseed function 0 is not", |p| {
            p.funcs.funcs[0].ty = 1;
            p.imports.imports[0].kind = ImportKind::Func(1);
            p.types.types[1].adapter = 64;
            (p.funcs.funcs[0].offset, p.funcs.funcs[0].size) = (NO_CODE, 0);
            p.funcs.funcs[0].reference = NO_REF;
            p.funcs.funcs[1].reference = 0;
            p.init.elems.clear();
            p.snapshot.as_mut().unwrap().reseed = Some(0);
        }),
    ];
    for (name, status, part, change) in cases {
        let mut parts = super::sample::snapshot();
        change(&mut parts);
        let e = load_bytes(&parts.build()).expect_err(name);
        assert_eq!(e.status(), status, "{name}: {e}");
        assert!(e.message().contains(part), "{name}: {e}");
    }
}

fn start_expr(p: &mut Parts, e: Vec<ConstOp>) {
    p.init.globals[0] = e;
}

#[test]
fn contract() {
    refuse(&[
        ("ABI", Unsupported, "ABI version 2", |p| p.contract.abi_version = 2),
        ("ABI 0", Unsupported, "ABI version 0", |p| p.contract.abi_version = 0),
        ("CPU", Unsupported, "unknown feature 0x100000000000", |p| p.contract.cpu = 1 << 44),
        ("feature", Unsupported, "bits 0x4000000000", |p| p.contract.features = 1 << 38),
        ("too small", Invalid, "instance data", |p| p.contract.instance_data -= 16),
        ("too large", Invalid, "instance data", |p| p.contract.instance_data += 16),
        ("instance data 0", Invalid, "instance data", |p| p.contract.instance_data = 0),
        ("fewer functions", Invalid, "3 functions, the contract says 4", |p| {
            p.contract.functions = 4;
        }),
        ("no functions", Invalid, "does not agree", |p| {
            p.contract.functions = 0;
            p.contract.start = None;
        }),
        ("start takes a value", Invalid, "start function 1", |p| p.contract.start = Some(1)),
        ("start without code", Invalid, "start function 0 has no code", |p| {
            p.contract.start = Some(0);
            p.imports.imports[0].kind = ImportKind::Func(1);
            p.types.types[1].adapter = 64;
            let f = &mut p.funcs.funcs[0];
            (f.ty, f.offset, f.size, f.reference) = (1, NO_CODE, 0, NO_REF);
            p.funcs.funcs[1].reference = 0;
            p.init.elems.clear();
        }),
        ("start is such an import", Invalid, "start function 0", |p| p.contract.start = Some(0)),
    ]);
}

#[test]
fn newer_formats_are_named() {
    let mut body = sample().body();
    let at = super::sample::range_of(&body, lucet_artifact::container::CONTRACT).start;
    body[at] = 3;
    let e = load_bytes(&super::sample::sealed(body)).unwrap_err();
    assert_eq!(e.status(), Unsupported);
    assert!(e.message().contains("artifact format 3; this version reads 1 to 2"), "{e}");
}

#[test]
fn memories() {
    refuse(&[
        ("64-bit, guarded", Invalid, "only a memory 0 with 32-bit addresses", |p| {
            p.contract.memories[0].ty.is64 = true;
        }),
        ("64-bit, more than it may have", Invalid, "must be 0x20000 and 0x0", |p| {
            let m = &mut p.contract.memories[0];
            (m.ty.is64, m.shape) = (true, MemoryShape::Compact);
            (m.reserve_bytes, m.guard_bytes) = (1 << 40, 0);
        }),
        ("64-bit, more than any instance", Invalid, "must be 0x100000000 and 0x0", |p| {
            let m = &mut p.contract.memories[0];
            (m.ty.is64, m.ty.max, m.shape) = (true, Some(1 << 48), MemoryShape::Compact);
            (m.reserve_bytes, m.guard_bytes) = (1 << 47, 0);
        }),
        ("64-bit, begins beyond", Invalid, "begins with more than it reserves", |p| {
            let m = &mut p.contract.memories[0];
            (m.ty.is64, m.ty.min, m.ty.max) = (true, 1 << 48, None);
            (m.shape, m.reserve_bytes, m.guard_bytes) = (MemoryShape::Compact, 4 << 30, 0);
        }),
        ("no reservation", Invalid, "reserves 0x0 bytes", |p| {
            p.contract.memories[0].reserve_bytes = 0;
            p.init.image.clear();
            p.image.clear();
        }),
        ("small reservation", Invalid, "must be 0x100000000", |p| {
            p.contract.memories[0].reserve_bytes = 1 << 31;
        }),
        ("no guard", Invalid, "and 0x0 of guard", |p| p.contract.memories[0].guard_bytes = 0),
        ("larger guard", Invalid, "guard", |p| p.contract.memories[0].guard_bytes += 4096),
        ("compact, larger", Invalid, "must be 0x20000 and 0x0", |p| {
            let m = &mut p.contract.memories[0];
            (m.shape, m.reserve_bytes, m.guard_bytes) = (MemoryShape::Compact, 4 << 30, 0);
        }),
        ("compact, guard", Invalid, "0x1000 of guard", |p| {
            let m = &mut p.contract.memories[0];
            (m.shape, m.reserve_bytes, m.guard_bytes) = (MemoryShape::Compact, 2 << 16, 4096);
        }),
        ("compact, no maximum", Invalid, "without a maximum", |p| {
            let m = &mut p.contract.memories[0];
            (m.shape, m.ty.max) = (MemoryShape::Compact, None);
        }),
        ("maximum below minimum", Invalid, "below its initial size", |p| {
            p.contract.memories[0].ty.max = Some(0);
        }),
        ("imported, guarded", Invalid, "never guarded", |p| {
            let ty = p.contract.memories[0].ty;
            p.imports.imports[0].kind = ImportKind::Memory(ty);
            p.fix_layout();
        }),
        ("tables together", Invalid, "tables begin with 10000004 elements", |p| {
            let table = TableType { min: 10_000_000, ..p.contract.tables[0] };
            p.contract.tables.push(table);
            p.init.tables.push(None);
            p.fix_layout();
        }),
        ("table, maximum below minimum", Invalid, "table 0", |p| {
            p.contract.tables[0].max = Some(3);
        }),
    ]);
}

/// Adds a second memory like the one of a module that was compiled with two.
fn further(p: &mut Parts) -> &mut MemoryDecl {
    p.contract.memories.push(MemoryDecl {
        ty: MemoryType { min: 1, max: Some(3), is64: false },
        shape: MemoryShape::Compact,
        reserve_bytes: 3 << 16,
        guard_bytes: 0,
    });
    p.init.further.push(Vec::new());
    p.fix_layout();
    p.contract.memories.last_mut().unwrap()
}

#[test]
fn further_memories() {
    let mut parts = sample();
    further(&mut parts).ty.is64 = true;
    load_bytes(&parts.build()).expect("two memories");
    refuse(&[
        ("guarded", Invalid, "memory 1: only a memory 0", |p| {
            let m = further(p);
            (m.shape, m.reserve_bytes, m.guard_bytes) = (MemoryShape::Guarded, 4 << 30, 32 << 20);
        }),
        ("smaller reservation", Invalid, "memory 1 reserves 0x10000 bytes", |p| {
            further(p).reserve_bytes = 1 << 16;
        }),
        ("larger reservation", Invalid, "must be 0x30000 and 0x0", |p| {
            further(p).reserve_bytes = u64::MAX;
        }),
        ("guard", Invalid, "0x1000 of guard", |p| further(p).guard_bytes = 4096),
        ("begins beyond", Invalid, "its maximum lies below", |p| further(p).ty.min = 4),
        ("no reservation", Invalid, "memory 1 reserves 0x0 bytes", |p| {
            further(p).reserve_bytes = 0;
        }),
        ("imported behind an own one", Invalid, "does not agree", |p| {
            let ty = further(p).ty;
            p.imports.imports[0].kind = ImportKind::Memory(ty);
        }),
        ("too many", Invalid, "besides memory 0 reserve", |p| {
            for _ in 0..65 {
                let m = further(p);
                (m.ty.max, m.reserve_bytes) = (None, 4 << 30);
            }
        }),
        ("layout", Invalid, "instance data", |p| {
            further(p);
            p.contract.instance_data -= 16;
        }),
        ("no image", Invalid, ".lucet.init", |p| {
            further(p);
            p.init.further.clear();
        }),
        ("image beyond", Invalid, "end of an image run", |p| {
            further(p);
            p.init.further[0].push(ImageRun { page: 16, pages: 1 });
            p.image.resize(2 * 4096, 0);
        }),
        ("image too short", Invalid, "size of the memory image", |p| {
            further(p);
            p.init.further[0].push(ImageRun { page: 0, pages: 2 });
            p.image.resize(2 * 4096, 0);
        }),
        ("offset", Invalid, "data segment 0: offset", |p| {
            further(p).ty.is64 = true;
            let offset = vec![ConstOp::I32(0)];
            p.init.datas[0].mode = SegmentMode::Active { target: 1, offset };
        }),
        ("64-bit table", Invalid, "element segment 0: offset", |p| {
            p.contract.tables[0].is64 = true;
        }),
    ]);
}

#[test]
fn imports_agree_with_the_contract() {
    refuse(&[
        ("global type", Invalid, "import 1, global \"env\" \"base\"", |p| {
            let ty = GlobalType { ty: ValType::I64, mutable: false };
            p.imports.imports[1].kind = ImportKind::Global(ty);
        }),
        ("global mutability", Invalid, "does not agree", |p| {
            let ty = GlobalType { ty: ValType::I32, mutable: true };
            p.imports.imports[1].kind = ImportKind::Global(ty);
        }),
        ("more globals", Invalid, "does not agree", |p| {
            let one = p.imports.imports[1].clone();
            p.imports.imports.extend([one.clone(), one]);
        }),
        ("table", Invalid, "does not agree", |p| {
            let mut ty = p.contract.tables[0];
            ty.min += 1;
            p.imports.imports[1].kind = ImportKind::Table(ty);
        }),
        ("memory", Invalid, "does not agree", |p| {
            let mut ty = p.contract.memories[0].ty;
            ty.min = 0;
            p.imports.imports[1].kind = ImportKind::Memory(ty);
        }),
        ("function type", Invalid, "imported function 0 has type 0, not 1", |p| {
            p.imports.imports[0].kind = ImportKind::Func(1);
        }),
        ("no adapter", Invalid, "no link adapter", |p| p.types.types[0].adapter = NO_CODE),
    ]);
}

/// A module with a table of references to functions of type 0, all function 1 at first.
fn typed(p: &mut Parts) {
    let elem = RefType { nullable: false, heap: HeapType::Concrete(0) };
    p.contract.tables.push(TableType { elem, min: 2, max: None, is64: false });
    p.init.tables.push(Some(vec![ConstOp::RefFunc(1)]));
    p.init.elems.push(ElemSegment {
        mode: SegmentMode::Active { target: 1, offset: vec![ConstOp::I32(0)] },
        ty: elem,
        items: vec![ElemItem::Func(1), ElemItem::Expr(vec![ConstOp::RefFunc(0)])],
    });
    p.fix_layout();
}

#[test]
fn typed_references() {
    let mut parts = sample();
    typed(&mut parts);
    load_bytes(&parts.build()).expect("a typed table");
    type Change = fn(&mut Parts);
    let cases: [(&str, &str, Change); 13] = [
        ("no such type", "refers to type 2, there are 2", |p| {
            p.contract.tables[1].elem.heap = HeapType::Concrete(2);
        }),
        ("global of no such type", "global 2 refers to type 9", |p| {
            let elem = RefType { nullable: true, heap: HeapType::Concrete(9) };
            p.contract.globals.push(GlobalType { ty: elem.into(), mutable: true });
            p.init.globals.push(vec![ConstOp::RefNull]);
            p.fix_layout();
        }),
        ("a type that refers to itself", "type of a reference", |p| {
            let elem = RefType { nullable: true, heap: HeapType::Concrete(1) };
            p.types.types[1].ty.params.push(elem.into());
        }),
        ("no initial element", "table 1: there is none", |p| p.init.tables[1] = None),
        ("initially null", "table 1: its type is", |p| {
            p.init.tables[1] = Some(vec![ConstOp::RefNull]);
        }),
        ("initially of another type", "table 1: its type is", |p| {
            p.funcs.funcs[2].reference = 2;
            p.init.tables[1] = Some(vec![ConstOp::RefFunc(2)]);
        }),
        ("initially a global's value", "global 1 is mutable", |p| {
            p.init.tables[1] = Some(vec![ConstOp::GlobalGet(1)]);
        }),
        ("initially an own global's value", "global 1 has no value yet", |p| {
            p.contract.globals[1].mutable = false;
            p.init.tables[0] = Some(vec![ConstOp::GlobalGet(1)]);
        }),
        ("initially two", "table 1: it leaves 2 values", |p| {
            p.init.tables[1] = Some(vec![ConstOp::RefFunc(1), ConstOp::RefFunc(1)]);
        }),
        ("no reference to it", "table 1: function 2 has no reference index", |p| {
            p.init.tables[1] = Some(vec![ConstOp::RefFunc(2)]);
        }),
        ("null item", "segment 1: item 0: null in a segment of (ref 0)", |p| {
            p.init.elems[1].items[0] = ElemItem::Null;
        }),
        ("null expression", "segment 1: item 1", |p| {
            p.init.elems[1].items[1] = ElemItem::Expr(vec![ConstOp::RefNull]);
        }),
        ("a wider segment", "segment 1: its type is not that of table 1", |p| {
            p.init.elems[1].ty.nullable = true;
        }),
    ];
    for (name, part, change) in cases {
        let mut parts = sample();
        typed(&mut parts);
        change(&mut parts);
        let e = load_bytes(&parts.build()).expect_err(name);
        assert_eq!(e.status(), Invalid, "{name}: {e}");
        assert!(e.message().contains(part), "{name}: {e}");
    }
}

#[test]
fn types_and_code() {
    refuse(&[
        ("repeated", Invalid, "type 2, () -> (), is repeated", |p| {
            let t = p.types.types[1].clone();
            p.types.types.push(t);
            p.fix_layout();
        }),
        ("no trampoline", Invalid, "entry trampoline", |p| p.types.types[1].entry = NO_CODE),
        ("trampoline unaligned", Invalid, "entry trampoline", |p| p.types.types[1].entry = 33),
        ("trampoline beyond", Invalid, "entry trampoline", |p| p.types.types[1].entry = 192),
        ("adapter beyond", Invalid, "link adapter", |p| p.types.types[0].adapter = 1 << 20),
        ("adapter unaligned", Invalid, "link adapter", |p| p.types.types[0].adapter = 65),
        ("trampoline in a function", Invalid, "inside a function", |p| {
            p.types.types[1].entry = 160;
        }),
        ("adapter in a function", Invalid, "inside a function", |p| {
            p.types.types[0].adapter = 128;
        }),
        ("trampoline in a stub", Invalid, "inside a function", |p| p.types.types[1].entry = 96),
        ("stub over a stub", Invalid, "the import stub at 0x60 overlaps another", |p| {
            let again = p.imports.imports[0].clone();
            p.imports.imports.insert(1, again);
            p.funcs.funcs.insert(1, p.funcs.funcs[0]);
            p.funcs.funcs[1].reference = NO_REF;
            p.contract.functions += 1;
            (p.contract.start, p.init.elems) = (None, Vec::new());
            p.exports.exports.clear();
            p.fix_layout();
        }),
        ("stub over a function", Invalid, "stub of imported function 0", |p| {
            p.funcs.funcs[0].size = 64;
        }),
        ("overlap", Invalid, "function offset", |p| p.funcs.funcs[1].size = 33),
        ("beyond", Invalid, "function offset", |p| p.funcs.funcs[2].size = 33),
        ("offset wraps", Invalid, "function offset", |p| p.funcs.funcs[2].offset = u32::MAX - 31),
        ("descending", Invalid, "function offset", |p| p.funcs.funcs[2].offset = 96),
        ("unaligned", Invalid, "function offset", |p| p.funcs.funcs[1].offset = 129),
        ("empty", Invalid, "function offset", |p| p.funcs.funcs[1].size = 0),
        ("without code", Invalid, "function without code", |p| {
            (p.funcs.funcs[2].offset, p.funcs.funcs[2].size) = (NO_CODE, 0);
        }),
        ("type", Invalid, "function type", |p| p.funcs.funcs[1].ty = 2),
        ("one more", Invalid, "4 functions, the contract says 3", |p| {
            p.text.resize(224, 0xcc);
            p.funcs.funcs.push(func(192, 1, 9, NO_REF));
        }),
        ("reference not dense", Invalid, "reference index", |p| p.funcs.funcs[1].reference = 2),
        ("reference twice", Invalid, "reference index", |p| p.funcs.funcs[1].reference = 0),
        ("pc map", Invalid, "pc map offset", |p| p.funcs.funcs[1].pcmap = 1000),
        ("trap beyond", Invalid, "trap site", |p| p.traps.sites[1].0 = 192),
        ("trap twice", Invalid, "trap site", |p| p.traps.sites[1].0 = 130),
        ("handler elsewhere", Invalid, ".lucet.handlers", |p| {
            p.handlers.as_mut().unwrap().handlers[0].target = 161;
        }),
        ("handler of a stub's call", Invalid, "call with a handler", |p| {
            p.handlers.as_mut().unwrap().handlers[0].call = 100;
        }),
        ("handler's frame", Invalid, "frame of a handler", |p| {
            p.handlers.as_mut().unwrap().handlers[0].frame = 7;
        }),
        ("hints", Invalid, ".lucet.hints", |p| {
            p.hints = Some(Hints { data: vec![(150, u32::MAX)] });
        }),
    ]);
}

#[test]
fn names_and_exports() {
    refuse(&[
        ("name beyond", Invalid, "function name", |p| p.funcs.funcs[1].name = 1000),
        ("not terminated", Invalid, "begin and end with NUL", |p| {
            p.strtab.pop();
        }),
        ("does not begin with NUL", Invalid, "begin and end with NUL", |p| p.strtab[0] = b'x'),
        ("empty", Invalid, "begin and end with NUL", |p| {
            p.strtab.clear();
            p.funcs.funcs.iter_mut().for_each(|f| f.name = 0);
        }),
        ("not UTF-8", Invalid, "not UTF-8 at offset 0x5", |p| p.strtab[5] = 0xff),
        ("inside a character", Invalid, "begins inside a character, 0x6", |p| {
            p.strtab[5..7].copy_from_slice("é".as_bytes());
            p.funcs.funcs[1].name = 6;
        }),
        ("exported twice", Invalid, "\"run\" is repeated", |p| {
            p.exports.exports[1].name = "run".to_owned();
        }),
        ("export without reference", Invalid, "no reference index", |p| {
            let name = "start".to_owned();
            p.exports.exports.push(Export { name, kind: ExportKind::Func, index: 2 });
        }),
        ("export beyond", Invalid, "export index", |p| p.exports.exports[0].index = 3),
    ]);
}

#[test]
fn constant_expressions() {
    use ConstOp::{F32, GlobalGet, I32, I32Add, I32Mul, I64, I64Add, RefFunc, RefNull, V128};
    refuse(&[
        ("empty", Invalid, "leaves 0 values", |p| start_expr(p, vec![])),
        ("two values", Invalid, "leaves 2 values", |p| start_expr(p, vec![I32(1), I32(2)])),
        ("type", Invalid, "its type is f32, not i32", |p| start_expr(p, vec![F32(0)])),
        ("null", Invalid, "a reference, not i32", |p| start_expr(p, vec![RefNull])),
        ("reference", Invalid, "(ref 0), not i32", |p| start_expr(p, vec![RefFunc(1)])),
        ("v128", Invalid, "its type is v128, not i32", |p| start_expr(p, vec![V128(0)])),
        ("v128 lacks", Invalid, "I32Add lacks", |p| {
            start_expr(p, vec![V128(0), V128(0), I32Add]);
        }),
        ("underflow", Invalid, "I32Add lacks", |p| start_expr(p, vec![I32(1), I32Add])),
        ("mixed", Invalid, "I32Mul lacks", |p| start_expr(p, vec![I32(1), I64(1), I32Mul])),
        ("wide", Invalid, "i64, not", |p| start_expr(p, vec![I64(1), I64(1), I64Add])),
        ("itself", Invalid, "global 1 is mutable", |p| start_expr(p, vec![GlobalGet(1)])),
        ("not yet", Invalid, "global 1 has no value yet", |p| {
            p.contract.globals[1].mutable = false;
            start_expr(p, vec![GlobalGet(1)]);
        }),
        ("beyond", Invalid, "global index", |p| start_expr(p, vec![GlobalGet(2)])),
        ("missing", Invalid, "number of global initialisers", |p| p.init.globals.clear()),
        ("unreferenced", Invalid, "function 2 has no reference", |p| {
            p.contract.globals[1].ty = ValType::FUNCREF;
            start_expr(p, vec![RefFunc(2)]);
        }),
        ("v128 global", Invalid, "its type is i32, not v128", |p| {
            p.contract.globals[1].ty = ValType::V128;
        }),
    ]);
}

fn elem_offset(p: &mut Parts, e: Vec<ConstOp>) {
    p.init.elems[0].mode = SegmentMode::Active { target: 0, offset: e };
}

#[test]
fn segments_and_image() {
    refuse(&[
        ("no such table", Invalid, "segment target", |p| {
            p.init.elems[0].mode = SegmentMode::Active { target: 1, offset: Vec::new() };
        }),
        ("table type", Invalid, "not that of table 0", |p| p.init.elems[0].ty = RefType::EXTERN),
        ("offset type", Invalid, "element segment 0: offset", |p| {
            elem_offset(p, vec![ConstOp::I64(0)]);
        }),
        ("offset mutable", Invalid, "mutable", |p| elem_offset(p, vec![ConstOp::GlobalGet(1)])),
        ("offset v128", Invalid, "v128, not i32", |p| elem_offset(p, vec![ConstOp::V128(0)])),
        ("item unreferenced", Invalid, "item 0: function 2", |p| {
            p.init.elems[0].items[0] = ElemItem::Func(2);
        }),
        ("item beyond", Invalid, "function index", |p| {
            p.init.elems[0].items[0] = ElemItem::Func(3);
        }),
        ("item type", Invalid, "item 2: its type is i32", |p| {
            p.init.elems[0].items[2] = ElemItem::Expr(vec![ConstOp::I32(0)]);
        }),
        ("item v128", Invalid, "item 2: its type is v128", |p| {
            p.init.elems[0].items[2] = ElemItem::Expr(vec![ConstOp::V128(0)]);
        }),
        ("function as externref", Invalid, "segment of externref", |p| {
            p.init.elems[0].mode = SegmentMode::Passive;
            p.init.elems[0].ty = RefType::EXTERN;
        }),
        ("data beyond", Invalid, "end of a data segment", |p| p.init.datas[1].len = 8),
        ("data wraps", Invalid, "end of a data segment", |p| p.init.datas[1].offset = u32::MAX),
        ("data offset", Invalid, "data segment 0: offset", |p| {
            p.init.datas[0].mode = SegmentMode::Active { target: 0, offset: vec![ConstOp::F64(0)] };
        }),
        ("folded with bytes", Invalid, "but has bytes", |p| {
            p.init.datas[2] = DataSegment { mode: SegmentMode::Declared, offset: 0, len: 1 };
        }),
        ("image beyond memory", Invalid, "end of an image run", |p| p.init.image[0].page = 16),
        ("image of nothing", Invalid, "image run", |p| {
            p.init.image.push(ImageRun { page: 9, pages: 0 });
        }),
        ("image touching", Invalid, "image run", |p| {
            p.init.image.push(ImageRun { page: 4, pages: 1 });
            p.image.resize(2 * 4096, 0);
        }),
        ("image too short", Invalid, "size of the memory image", |p| p.init.image[0].pages = 2),
        ("image too long", Invalid, "size of the memory image", |p| p.init.image.clear()),
    ]);
}

/// Texts from the file reach messages only escaped.
#[test]
fn messages_hold_no_control_characters() {
    let mut parts = sample();
    parts.exports.exports[0].name = "\x1b[31m\n".to_owned();
    parts.exports.exports[1].name = "\x1b[31m\n".to_owned();
    let e = load_bytes(&parts.build()).unwrap_err();
    assert!(!e.message().contains(char::is_control), "{e}");
}
