//! The bytes themselves. A change here is a change of the artifact format: it needs a new
//! `FORMAT_VERSION` and a reader for the old one, not a new expectation.

mod support;

use lucet_artifact::abi::TrapCode;
use lucet_artifact::code::{
    FuncRecord, FuncTable, Handler, HandlerTable, Hints, NO_REF, PcMap, PcRow, TrapTable,
};
use lucet_artifact::contract::{
    Contract, Export, ExportKind, Exports, Import, ImportKind, Imports,
};
use lucet_artifact::init::{
    ConstOp, DataSegment, ElemItem, ElemSegment, ImageRun, Init, SegmentMode,
};
use lucet_artifact::snapshot::Snapshot;
use lucet_artifact::trailer::{Trailer, source_hash};
use lucet_artifact::types::{FuncType, GlobalType, HeapType, NO_CODE, TypeRecord, TypeTable};
use lucet_artifact::{RefType, ValType};

/// Hexadecimal digits, with spaces wherever they help.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|d| (d[0] * 16 + d[1]) as u8).collect()
}

#[track_caller]
fn same(bytes: &[u8], expected: &str) {
    let shown: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(bytes, hex(expected), "{shown}");
}

#[test]
fn contract() {
    let bytes = support::counts().encode().unwrap();
    let expected = "
        01000000 01000000
        05000000 302e312e30
        11000000 6372616e656c69667420302e3133352e38
        abababababababababababababababababababababababababababababababab
        0201000000000000 0400000000000000
        0001000000000000 00200000 00
        01000000
          00 0400000000000000 00 0000000000000000 01 0000000001000000 0000000200000000
        02000000
          70 00 0100000000000000 00 0000000000000000
          6f 00 0000000000000000 01 0900000000000000
        03000000 7f00 7c01 7e00
        02000000 00000000 02000000
        0a000000
        01 05000000
        02000000
          04000000 6e616d65 01000000 78
          07000000 76657273696f6e 01000000 31";
    same(&bytes, expected);
    assert_eq!(Contract::decode(&bytes).unwrap().1, support::counts());
}

#[test]
fn types() {
    let ty = FuncType { params: vec![ValType::I32, ValType::F64], results: vec![ValType::I64] };
    let table = TypeTable {
        types: vec![
            TypeRecord { ty, entry: 0x20, adapter: 0x40 },
            TypeRecord { ty: FuncType::default(), entry: 0x60, adapter: NO_CODE },
        ],
    };
    same(
        &table.encode().unwrap(),
        "02000000  02000000 7f7c 01000000 7e 20000000 40000000
                   00000000 00000000 60000000 ffffffff",
    );
}

#[test]
fn reference_types() {
    use HeapType::*;
    let r = |nullable, heap| ValType::Ref(RefType { nullable, heap });
    let params = vec![r(true, Func), r(true, Extern), r(true, Exn), r(false, Func), r(true, NoExn)];
    let first = FuncType { params, results: Vec::new() };
    let params = vec![r(true, Concrete(0)), r(false, Concrete(0)), r(true, NoFunc)];
    let second = FuncType { params, results: vec![r(false, NoExtern)] };
    let record = |ty| TypeRecord { ty, entry: 0, adapter: 0 };
    let table = TypeTable { types: vec![record(first), record(second)] };
    let bytes = table.encode().unwrap();
    same(
        &bytes,
        "02000000
         05000000 70 6f 69 6470 6374 00000000 00000000 00000000
         03000000 6360 00000000 6460 00000000 6373 01000000 6472 00000000 00000000",
    );
    assert_eq!(TypeTable::decode(&bytes), Ok(table));
    // A plain type in the long form, a type of a later number, an unknown byte.
    for (at, byte) in [(12, 0x63), (32, 1), (13, 0x55)] {
        let mut b = bytes.clone();
        b[at] = byte;
        assert!(TypeTable::decode(&b).is_err(), "byte {at}");
    }
}

#[test]
fn imports_and_exports() {
    let c = support::counts();
    let import = |name: &str, kind| Import { module: "e".into(), name: name.into(), kind };
    let imports = Imports {
        imports: vec![
            import("f", ImportKind::Func(3)),
            import("t", ImportKind::Table(c.tables[1])),
            import("m", ImportKind::Memory(c.memories[0].ty)),
            import("g", ImportKind::Global(GlobalType { ty: ValType::F32, mutable: true })),
            import("x", ImportKind::Tag(2)),
        ],
    };
    same(
        &imports.encode().unwrap(),
        "05000000
         01000000 65 01000000 66 00 03000000
         01000000 65 01000000 74 01 6f 00 0000000000000000 01 0900000000000000
         01000000 65 01000000 6d 02 00 0400000000000000 00 0000000000000000
         01000000 65 01000000 67 03 7d 01
         01000000 65 01000000 78 04 02000000",
    );
    let export = |name: &str, kind, index| Export { name: name.into(), kind, index };
    let exports = Exports {
        exports: vec![export("run", ExportKind::Func, 9), export("", ExportKind::Global, 2)],
    };
    same(&exports.encode().unwrap(), "02000000  03000000 72756e 00 09000000  00000000 03 02000000");
}

#[test]
fn funcs() {
    let stub = FuncRecord {
        offset: NO_CODE,
        size: 0,
        ty: 1,
        name: 2,
        reference: NO_REF,
        frame: 0,
        pops: 0,
        pcmap: 0,
    };
    let own = FuncRecord {
        offset: 0x40,
        size: 0x123,
        ty: 0,
        name: 7,
        reference: 0,
        frame: 0x30,
        pops: 8,
        pcmap: 5,
    };
    let table = FuncTable { funcs: vec![stub, own] };
    let bytes = table.encode().unwrap();
    same(
        &bytes,
        "02000000
         ffffffff 00000000 01000000 02000000 ffffffff 00000000 00000000 00000000
         40000000 23010000 00000000 07000000 00000000 30000000 08000000 05000000",
    );
    assert_eq!(FuncTable::decode(&bytes, 0x163, 2, 8, 5, 1), Ok(table));
}

/// Two own functions, at 0x20 and 0x80.
fn two_functions() -> FuncTable {
    let at = support::func_at;
    FuncTable { funcs: vec![at(NO_CODE, 0), at(0x20, 0x40), at(0x80, 0x10)] }
}

#[test]
fn handlers() {
    let funcs = two_functions();
    let of = |call, target, frame| Handler { call, target, frame };
    let table =
        HandlerTable { handlers: vec![of(0x25, 0x5f, 0x18), of(0x30, 0x21, 0), of(0x81, 0x8f, 8)] };
    let bytes = table.encode().unwrap();
    same(
        &bytes,
        "03000000 25000000 5f000000 18000000 30000000 21000000 00000000 81000000 8f000000 08000000",
    );
    assert_eq!(HandlerTable::decode(&bytes, &funcs, 1), Ok(table));
    for (what, bad) in [
        ("call", vec![of(0x20, 0x30, 0)]),
        ("call", vec![of(0x60, 0x30, 0)]),
        ("call", vec![of(0, 0x30, 0)]),
        ("call", vec![of(0x7f, 0x85, 0)]),
        ("call", vec![of(u32::MAX, 0x30, 0)]),
        ("call", vec![of(0x30, 0x31, 0), of(0x30, 0x31, 0)]),
        ("call", vec![of(0x81, 0x82, 0), of(0x30, 0x31, 0)]),
        ("handler", vec![of(0x30, 0x20, 0)]),
        ("handler", vec![of(0x30, 0x60, 0)]),
        ("handler", vec![of(0x30, 0x85, 0)]),
        ("handler", vec![of(0x81, 0x30, 0)]),
        ("handler", vec![of(0x81, u32::MAX, 0)]),
        ("frame", vec![of(0x30, 0x31, 4)]),
    ] {
        let bytes = HandlerTable { handlers: bad.clone() }.encode().unwrap();
        let e = HandlerTable::decode(&bytes, &funcs, 1).expect_err(what).to_string();
        assert!(e.contains(what), "{bad:x?}: {e}");
    }
    // An imported function's stub catches nothing.
    let stub = FuncTable { funcs: funcs.funcs.into_iter().skip(1).collect() };
    let bytes = HandlerTable { handlers: vec![of(0x30, 0x31, 0)] }.encode().unwrap();
    assert!(HandlerTable::decode(&bytes, &stub, 1).is_err());
}

#[test]
fn traps() {
    let table = TrapTable {
        sites: vec![
            (3, TrapCode::Unreachable),
            (0x102, TrapCode::MemoryOutOfBounds),
            (0x103, TrapCode::UnalignedAtomic),
        ],
    };
    let bytes = table.encode().unwrap();
    same(&bytes, "03000000  03000000 02010000 03010000  01 02 0b");
    assert_eq!(TrapTable::decode(&bytes, 0x104), Ok(table));
}

#[test]
fn pc_map() {
    let mut map = PcMap::new();
    assert_eq!(map.push(&[]), 0);
    let rows = [
        PcRow { pc: 0, wasm: 0x80 },
        PcRow { pc: 5, wasm: 0x84 },
        PcRow { pc: 0x105, wasm: 0x82 },
        PcRow { pc: 0x106, wasm: NO_CODE },
    ];
    assert_eq!(map.push(&rows), 1);
    let bytes = map.into_bytes();
    // A count; then pairs of a ULEB128 and a zigzag difference.
    same(&bytes, "00  04  00 8002  05 08  8002 03  01 8502");
    let at = |pc| PcMap::lookup(&bytes, 1, pc);
    assert_eq!([at(0), at(4), at(5)], [Some(0x80), Some(0x80), Some(0x84)]);
    assert_eq!([at(0x104), at(0x105), at(0x106)], [Some(0x84), Some(0x82), None]);
    assert_eq!(PcMap::lookup(&bytes, 0, 0), None);
    // Rows that do not go on: lucetc writes none, and a file of them would take long to read.
    same(&bytes[..2], "00 04");
    let stands = [0x04, 0x00, 0x80, 0x02, 0x00, 0x08, 0x00, 0x08, 0x05, 0x08];
    assert_eq!(PcMap::lookup(&stands, 0, 4), None);
}

#[test]
fn hints() {
    let bytes = Hints { data: vec![(0x10, 8), (0x18, 4)] }.encode().unwrap();
    same(&bytes, "02000000  10000000 08000000  18000000 04000000");
}

#[test]
fn init() {
    let offset = vec![ConstOp::GlobalGet(0), ConstOp::I32(-1), ConstOp::I32Add];
    let init = Init {
        globals: vec![vec![ConstOp::F64(1)], vec![ConstOp::I64(-2)]],
        tables: vec![None, Some(vec![ConstOp::RefNull])],
        elems: vec![ElemSegment {
            mode: SegmentMode::Active { target: 1, offset },
            ty: RefType::FUNC,
            items: vec![
                ElemItem::Null,
                ElemItem::Func(4),
                ElemItem::Expr(vec![ConstOp::RefFunc(3)]),
            ],
        }],
        datas: vec![DataSegment { mode: SegmentMode::Passive, offset: 1, len: 2 }],
        image: vec![ImageRun { page: 1, pages: 2 }],
        further: Vec::new(),
    };
    let bytes = init.encode().unwrap();
    same(
        &bytes,
        "02000000  01000000 03 0100000000000000  01000000 01 feffffffffffffff
         02000000  00  01 01000000 06
         01000000 03000000
           01 01000000 03000000 05 00000000 00 ffffffff 08
           70 03000000  00  01 04000000  02 01000000 07 03000000
         01000000  00 01000000 02000000
         01000000  01000000 02000000",
    );
    assert_eq!(support::decode_init(&bytes, 2), Ok(init));
}

#[test]
fn constant_operators() {
    let ops = [
        (ConstOp::I32(1), "00 01000000"),
        (ConstOp::I64(1), "01 0100000000000000"),
        (ConstOp::F32(1), "02 01000000"),
        (ConstOp::F64(1), "03 0100000000000000"),
        (ConstOp::V128(1), "04 01000000000000000000000000000000"),
        (ConstOp::GlobalGet(1), "05 01000000"),
        (ConstOp::RefNull, "06"),
        (ConstOp::RefFunc(1), "07 01000000"),
        (ConstOp::I32Add, "08"),
        (ConstOp::I32Sub, "09"),
        (ConstOp::I32Mul, "0a"),
        (ConstOp::I64Add, "0b"),
        (ConstOp::I64Sub, "0c"),
        (ConstOp::I64Mul, "0d"),
    ];
    for (op, expected) in ops {
        let init = Init { globals: vec![vec![op]], tables: vec![None; 2], ..Init::default() };
        let bytes = init.encode().unwrap();
        same(&bytes[8..bytes.len() - 22], expected);
    }
}

#[test]
fn snapshot() {
    let s = Snapshot { impure: true, reseed: Some(7) };
    same(&s.encode().unwrap(), "01 01 07000000");
    same(&Snapshot::default().encode().unwrap(), "00 00 00000000");
}

#[test]
fn trailer() {
    let mut bytes = b"body".to_vec();
    Trailer::append(&mut bytes, 0, [0; 64]).unwrap();
    let t = &bytes[4..];
    same(&t[..24], "4c55434554 54524c 01000000 00000000 0400000000000000");
    assert!(t[24..128].iter().all(|b| *b == 0));
    // BLAKE2b-512 of the 132 bytes before it; computed with Python's hashlib.
    same(
        &t[128..192],
        "d8e4a28acac9b20b0eeae6ad826e88f9a8eb6676a2462a6308889a05a71dcf66
         19ac4318944c46a023c94afa7079f582e1d416df61c427fb3c68436039b3d8d5",
    );
    assert!(t[192..].iter().all(|b| *b == 0));
    assert_eq!(t.len(), 512);
    same(
        &source_hash(b"\0asm\x01\0\0\0"),
        "f6a5dbf080e9c9d7834145653bce4c8cded62e664d7ddcdb5c526f5877006d74",
    );
}
