//! Limits hold in both directions: an encoder refuses what exceeds one, and a decoder refuses it
//! too, naming the limit, before it allocates anything.

mod support;

use lucet_artifact::code::{FuncRecord, FuncTable, Hints, NO_REF, TrapTable};
use lucet_artifact::codec::{DecodeError, EncodeError, Writer};
use lucet_artifact::contract::{
    Contract, Export, ExportKind, Exports, Import, ImportKind, Imports,
};
use lucet_artifact::init::{
    ConstOp, DataSegment, ElemItem, ElemSegment, ImageRun, Init, SegmentMode,
};
use lucet_artifact::limits as l;
use lucet_artifact::types::{FuncType, NO_CODE, TableType, TypeRecord, TypeTable};
use lucet_artifact::{FORMAT_VERSION, RefType, ValType};

/// What exceeds its limit, the limit, and what the encoder says.
type Encoded = (&'static str, u64, Result<Vec<u8>, EncodeError>);
/// The same for the decoder.
type Decoded = (&'static str, usize, Result<(), DecodeError>);

fn text(n: usize) -> String {
    "x".repeat(n)
}

fn types(params: usize, results: usize) -> TypeTable {
    let list = |n| vec![ValType::I32; n];
    let ty = FuncType { params: list(params), results: list(results) };
    TypeTable { types: vec![TypeRecord { ty, entry: 0, adapter: NO_CODE }] }
}

fn import(module: usize, name: usize) -> Import {
    Import { module: text(module), name: text(name), kind: ImportKind::Func(0) }
}

fn export(name: usize) -> Export {
    Export { name: text(name), kind: ExportKind::Func, index: 0 }
}

fn contract(change: impl FnOnce(&mut Contract)) -> Result<Vec<u8>, EncodeError> {
    let mut c = support::counts();
    change(&mut c);
    c.encode()
}

fn init(change: impl FnOnce(&mut Init)) -> Result<Vec<u8>, EncodeError> {
    let mut i = Init::default();
    change(&mut i);
    i.encode()
}

const FUNC: FuncRecord = FuncRecord {
    offset: NO_CODE,
    size: 0,
    ty: 0,
    name: 0,
    reference: NO_REF,
    frame: 0,
    pops: 0,
    pcmap: 0,
};

#[test]
fn encoders_refuse_what_is_too_large() {
    let expr = |n| vec![ConstOp::RefNull; n];
    let data = DataSegment { mode: SegmentMode::Passive, offset: 0, len: 0 };
    let elem = ElemSegment { mode: SegmentMode::Passive, ty: RefType::FUNC, items: Vec::new() };
    let table = TableType { elem: RefType::FUNC, min: 0, max: None, is64: false };
    let label = |i: usize| (format!("{i:04}"), String::new());
    let cases: Vec<Encoded> = vec![
        ("number of types", l::MAX_TYPES as u64, {
            let one = TypeRecord { ty: FuncType::default(), entry: 0, adapter: 0 };
            TypeTable { types: vec![one; l::MAX_TYPES + 1] }.encode()
        }),
        ("number of parameters", l::MAX_PARAMS as u64, types(l::MAX_PARAMS + 1, 0).encode()),
        ("number of results", l::MAX_RESULTS as u64, types(0, l::MAX_RESULTS + 1).encode()),
        ("number of functions", l::MAX_FUNCTIONS as u64, {
            FuncTable { funcs: vec![FUNC; l::MAX_FUNCTIONS + 1] }.encode()
        }),
        ("number of imports", l::MAX_IMPORTS as u64, {
            Imports { imports: vec![import(0, 0); l::MAX_IMPORTS + 1] }.encode()
        }),
        ("import module name", l::MAX_NAME_BYTES as u64, {
            Imports { imports: vec![import(l::MAX_NAME_BYTES + 1, 0)] }.encode()
        }),
        ("import name", l::MAX_NAME_BYTES as u64, {
            Imports { imports: vec![import(0, l::MAX_NAME_BYTES + 1)] }.encode()
        }),
        ("number of exports", l::MAX_EXPORTS as u64, {
            Exports { exports: vec![export(0); l::MAX_EXPORTS + 1] }.encode()
        }),
        ("export name", l::MAX_NAME_BYTES as u64, {
            Exports { exports: vec![export(l::MAX_NAME_BYTES + 1)] }.encode()
        }),
        ("number of hints", l::MAX_HINTS as u64, {
            Hints { data: vec![(0, 0); l::MAX_HINTS + 1] }.encode()
        }),
        ("compiler version", l::MAX_VERSION_BYTES as u64, {
            contract(|c| c.compiler = text(l::MAX_VERSION_BYTES + 1))
        }),
        ("code generator version", l::MAX_VERSION_BYTES as u64, {
            contract(|c| c.codegen = text(l::MAX_VERSION_BYTES + 1))
        }),
        ("size of instance data", l::MAX_INSTANCE_DATA.into(), {
            contract(|c| c.instance_data = l::MAX_INSTANCE_DATA + 1)
        }),
        ("number of memories", l::MAX_MEMORIES as u64, {
            contract(|c| c.memories = vec![c.memories[0]; l::MAX_MEMORIES + 1])
        }),
        ("initial memory size", l::MAX_MEMORY32_PAGES, {
            contract(|c| c.memories[0].ty.min = l::MAX_MEMORY32_PAGES + 1)
        }),
        ("maximum memory size", l::MAX_MEMORY32_PAGES, {
            contract(|c| c.memories[0].ty.max = Some(l::MAX_MEMORY32_PAGES + 1))
        }),
        ("number of tables", l::MAX_TABLES as u64, {
            contract(|c| c.tables = vec![table; l::MAX_TABLES + 1])
        }),
        ("initial table size", l::MAX_TABLE_ELEMENTS, {
            contract(|c| c.tables[0].min = l::MAX_TABLE_ELEMENTS + 1)
        }),
        ("number of globals", l::MAX_GLOBALS as u64, {
            contract(|c| c.globals = vec![c.globals[0]; l::MAX_GLOBALS + 1])
        }),
        ("number of functions", l::MAX_FUNCTIONS as u64, {
            contract(|c| c.functions = l::MAX_FUNCTIONS as u32 + 1)
        }),
        ("number of labels", l::MAX_LABELS as u64, {
            contract(|c| c.labels = (0..=l::MAX_LABELS).map(label).collect())
        }),
        ("label name", l::MAX_LABEL_BYTES as u64, {
            contract(|c| c.labels = vec![(text(l::MAX_LABEL_BYTES + 1), String::new())])
        }),
        ("label value", l::MAX_LABEL_BYTES as u64, {
            contract(|c| c.labels = vec![(String::new(), text(l::MAX_LABEL_BYTES + 1))])
        }),
        ("length of a constant expression", l::MAX_CONST_OPS as u64, {
            init(|i| i.globals = vec![expr(l::MAX_CONST_OPS + 1)])
        }),
        ("number of globals", l::MAX_GLOBALS as u64, {
            init(|i| i.globals = vec![Vec::new(); l::MAX_GLOBALS + 1])
        }),
        ("number of element segments", l::MAX_ELEMENT_SEGMENTS as u64, {
            init(|i| i.elems = vec![elem.clone(); l::MAX_ELEMENT_SEGMENTS + 1])
        }),
        ("number of element items", l::MAX_ELEMENT_ITEMS as u64, {
            // No segment exceeds the limit, all together do.
            let items = vec![ElemItem::Null; l::MAX_ELEMENT_ITEMS / 2 + 1];
            init(|i| i.elems = vec![ElemSegment { items, ..elem.clone() }; 2])
        }),
        ("number of data segments", l::MAX_DATA_SEGMENTS as u64, {
            init(|i| i.datas = vec![data; l::MAX_DATA_SEGMENTS + 1])
        }),
        ("number of image runs", l::MAX_IMAGE_RUNS as u64, {
            init(|i| i.image = vec![ImageRun { page: 0, pages: 1 }; l::MAX_IMAGE_RUNS + 1])
        }),
    ];
    for (what, max, result) in cases {
        let e = result.expect_err(what);
        assert_eq!((e.what, e.max), (what, max));
        assert!(e.found > max, "{e}");
    }
}

/// The encoding of some numbers, each with its width in bytes.
fn bytes(numbers: &[(u64, usize)]) -> Vec<u8> {
    let mut w = Writer::new();
    for (v, width) in numbers {
        w.raw(&v.to_le_bytes()[..*width]);
    }
    w.into_bytes()
}

#[test]
fn decoders_refuse_what_is_too_large() {
    let over = |max: usize| (max as u64 + 1, 4);
    let name = over(l::MAX_NAME_BYTES);
    let c = support::counts();
    let decode_init = |b: &[u8]| {
        let bare = Contract { globals: Vec::new(), tables: Vec::new(), ..c.clone() };
        Init::decode(b, &bare, 0, 0, 0, 0).map(drop)
    };
    let cases: Vec<Decoded> = vec![
        ("number of types", l::MAX_TYPES, {
            TypeTable::decode(&bytes(&[over(l::MAX_TYPES)])).map(drop)
        }),
        ("number of parameters", l::MAX_PARAMS, {
            let head = bytes(&[(1, 4), over(l::MAX_PARAMS), (0, 8), (0, 8)]);
            TypeTable::decode(&head).map(drop)
        }),
        ("number of results", l::MAX_RESULTS, {
            let head = bytes(&[(1, 4), (0, 4), over(l::MAX_RESULTS), (0, 8), (0, 8)]);
            TypeTable::decode(&head).map(drop)
        }),
        ("number of functions", l::MAX_FUNCTIONS, {
            FuncTable::decode(&bytes(&[over(l::MAX_FUNCTIONS)]), 0, 0, 0, 0, 0).map(drop)
        }),
        ("number of imports", l::MAX_IMPORTS, {
            Imports::decode(&bytes(&[over(l::MAX_IMPORTS)]), 0).map(drop)
        }),
        ("import module name", l::MAX_NAME_BYTES, {
            Imports::decode(&bytes(&[(1, 4), name, (0, 8)]), 0).map(drop)
        }),
        ("import name", l::MAX_NAME_BYTES, {
            Imports::decode(&bytes(&[(1, 4), (0, 4), name, (0, 8)]), 0).map(drop)
        }),
        ("number of exports", l::MAX_EXPORTS, {
            Exports::decode(&bytes(&[over(l::MAX_EXPORTS)]), &c).map(drop)
        }),
        ("export name", l::MAX_NAME_BYTES, {
            Exports::decode(&bytes(&[(1, 4), name, (0, 8)]), &c).map(drop)
        }),
        ("number of trap sites", l::MAX_TRAP_SITES, {
            TrapTable::decode(&bytes(&[over(l::MAX_TRAP_SITES)]), 0).map(drop)
        }),
        ("number of hints", l::MAX_HINTS, {
            Hints::decode(&bytes(&[over(l::MAX_HINTS)]), 0).map(drop)
        }),
        ("number of globals", l::MAX_GLOBALS, decode_init(&bytes(&[over(l::MAX_GLOBALS)]))),
        ("number of tables", l::MAX_TABLES, {
            decode_init(&bytes(&[(0, 4), over(l::MAX_TABLES)]))
        }),
        ("number of element segments", l::MAX_ELEMENT_SEGMENTS, {
            decode_init(&bytes(&[(0, 4), (0, 4), over(l::MAX_ELEMENT_SEGMENTS)]))
        }),
        ("number of element items", l::MAX_ELEMENT_ITEMS, {
            decode_init(&bytes(&[(0, 4), (0, 4), (0, 4), over(l::MAX_ELEMENT_ITEMS)]))
        }),
        ("number of data segments", l::MAX_DATA_SEGMENTS, {
            let head = [(0, 4), (0, 4), (0, 4), (0, 4), over(l::MAX_DATA_SEGMENTS)];
            decode_init(&bytes(&head))
        }),
        ("number of image runs", l::MAX_IMAGE_RUNS, {
            let head = [(0, 4), (0, 4), (0, 4), (0, 4), (0, 4), over(l::MAX_IMAGE_RUNS)];
            decode_init(&bytes(&head))
        }),
        ("length of a constant expression", l::MAX_CONST_OPS, {
            let b = bytes(&[(1, 4), over(l::MAX_CONST_OPS)]);
            let one = Contract { globals: c.globals[..1].to_vec(), ..c.clone() };
            Init::decode(&b, &one, 0, 0, 0, 0).map(drop)
        }),
    ];
    for (what, max, result) in cases {
        refused(what, max as u64, result);
    }
}

#[track_caller]
fn refused(what: &str, limit: u64, result: Result<(), DecodeError>) {
    let e = result.expect_err(what);
    let DecodeError::Limit { what: found_what, found, max, .. } = e else {
        panic!("{what}: {e}");
    };
    assert_eq!((found_what, found, max), (what, limit + 1, limit));
}

#[test]
fn constant_expressions_are_limited_together() {
    // Each is of the allowed length; decoded they would take 32 bytes for each byte of the file.
    assert_eq!(l::MAX_ALL_CONST_OPS, 16_000_000, "SPECIFICATION.md says how many");
    let one = l::MAX_CONST_OPS;
    let n = l::MAX_ALL_CONST_OPS / one + 1;
    let item = ElemItem::Expr(vec![ConstOp::RefNull; one]);
    let elem = |items| ElemSegment { mode: SegmentMode::Declared, ty: RefType::FUNC, items };
    let error = init(|i| i.elems = vec![elem(vec![item.clone(); n])]).unwrap_err();
    assert_eq!(error.what, "number of operators in constant expressions");
    assert_eq!(error.max, l::MAX_ALL_CONST_OPS as u64);

    let mut w = Writer::new();
    for count in [0, 0, 1, n as u32] {
        w.u32(count);
    }
    w.u8(2);
    w.u8(0x70);
    w.u32(n as u32);
    for _ in 0..n {
        w.u8(2);
        w.u32(one as u32);
        w.raw(&vec![6; one]);
    }
    let c = Contract { globals: Vec::new(), tables: Vec::new(), ..support::counts() };
    let error = Init::decode(&w.into_bytes(), &c, 0, 0, 0, 0).unwrap_err();
    let what = "length of a constant expression";
    assert!(matches!(error, DecodeError::Limit { what: w, max: 0, .. } if w == what), "{error}");
}

#[test]
fn the_contract_is_limited() {
    let good = support::counts().encode().unwrap();
    // Offsets of fields in the encoding that `golden.rs` shows.
    let cases = [
        (8, "compiler version", l::MAX_VERSION_BYTES as u64, 4),
        (17, "code generator version", l::MAX_VERSION_BYTES as u64, 4),
        (118, "size of instance data", l::MAX_INSTANCE_DATA.into(), 8),
        (131, "number of memories", l::MAX_MEMORIES as u64, 4),
        (136, "initial memory size", l::MAX_MEMORY32_PAGES, 8),
        (145, "maximum memory size", l::MAX_MEMORY32_PAGES, 8),
        (170, "number of tables", l::MAX_TABLES as u64, 4),
        (176, "initial table size", l::MAX_TABLE_ELEMENTS, 8),
        (212, "number of globals", l::MAX_GLOBALS as u64, 4),
        (222, "number of tags", l::MAX_TAGS as u64, 4),
        (234, "number of functions", l::MAX_FUNCTIONS as u64, 4),
        (243, "number of labels", l::MAX_LABELS as u64, 4),
        (247, "label name", l::MAX_LABEL_BYTES as u64, 4),
        (255, "label value", l::MAX_LABEL_BYTES as u64, 4),
    ];
    for (at, what, max, width) in cases {
        let mut b = good.clone();
        b[at..at + width].copy_from_slice(&(max + 1).to_le_bytes()[..width]);
        refused(what, max, Contract::decode(&b).map(drop));
    }
    for (format, ok) in [(0, false), (FORMAT_VERSION, true), (FORMAT_VERSION + 1, false)] {
        let mut b = good.clone();
        b[..4].copy_from_slice(&format.to_le_bytes());
        assert_eq!(Contract::decode(&b).is_ok(), ok, "format {format}");
    }
}

#[test]
fn largest_values_pass() {
    let t = types(l::MAX_PARAMS, l::MAX_RESULTS);
    assert_eq!(TypeTable::decode(&t.encode().unwrap()), Ok(t));
    let i = Imports { imports: vec![import(l::MAX_NAME_BYTES, l::MAX_NAME_BYTES)] };
    assert_eq!(Imports::decode(&i.encode().unwrap(), 1), Ok(i));
    let e = Exports { exports: vec![export(l::MAX_NAME_BYTES)] };
    assert_eq!(Exports::decode(&e.encode().unwrap(), &support::counts()), Ok(e));
    let b = contract(|c| {
        c.compiler = text(l::MAX_VERSION_BYTES);
        c.instance_data = l::MAX_INSTANCE_DATA;
        c.memories[0].ty.max = Some(l::MAX_MEMORY32_PAGES);
        c.tables[0].min = l::MAX_TABLE_ELEMENTS;
        c.functions = l::MAX_FUNCTIONS as u32;
    });
    assert!(Contract::decode(&b.unwrap()).is_ok());
}
