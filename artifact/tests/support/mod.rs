//! Strategies: arbitrary valid values of every section.

#![allow(dead_code)]

use lucet_artifact::abi::TrapCode;
use lucet_artifact::code::{FuncRecord, FuncTable, Hints, NO_REF, PcRow, TrapTable};
use lucet_artifact::contract::{
    Contract, Export, ExportKind, Exports, Import, ImportKind, Imports, MemoryDecl,
};
use lucet_artifact::init::{
    ConstExpr, ConstOp, DataSegment, ElemItem, ElemSegment, ImageRun, Init, SegmentMode,
};
use lucet_artifact::snapshot::Snapshot;
use lucet_artifact::types::{
    FuncType, GlobalType, HeapType, MemoryShape, MemoryType, NO_CODE, TableType, TypeRecord,
    TypeTable,
};
use lucet_artifact::{RefType, ValType};
use proptest::collection::vec;
use proptest::prelude::*;

pub const ALL_TYPES: [ValType; 13] = [
    ValType::I32,
    ValType::I64,
    ValType::F32,
    ValType::F64,
    ValType::V128,
    ValType::FUNCREF,
    ValType::EXTERNREF,
    ValType::EXNREF,
    ValType::Ref(RefType { nullable: false, heap: HeapType::Func }),
    ValType::Ref(RefType { nullable: true, heap: HeapType::NoFunc }),
    ValType::Ref(RefType { nullable: false, heap: HeapType::NoExtern }),
    ValType::Ref(RefType { nullable: false, heap: HeapType::NoExn }),
    ValType::Ref(RefType { nullable: false, heap: HeapType::Exn }),
];

pub fn val_type() -> impl Strategy<Value = ValType> {
    prop::sample::select(&ALL_TYPES[..])
}

pub fn ref_type() -> impl Strategy<Value = RefType> {
    let heap = prop_oneof![
        Just(HeapType::Func),
        Just(HeapType::Extern),
        Just(HeapType::Exn),
        Just(HeapType::NoFunc),
        any::<u32>().prop_map(HeapType::Concrete),
    ];
    (any::<bool>(), heap).prop_map(|(nullable, heap)| RefType { nullable, heap })
}

pub fn func_type() -> impl Strategy<Value = FuncType> {
    (vec(val_type(), 0..20), vec(val_type(), 0..5))
        .prop_map(|(params, results)| FuncType { params, results })
}

pub fn types() -> impl Strategy<Value = TypeTable> {
    let record = (func_type(), any::<u32>(), any::<u32>());
    let records =
        vec(record.prop_map(|(ty, entry, adapter)| TypeRecord { ty, entry, adapter }), 0..12);
    (records, any::<u32>()).prop_map(|(mut types, to)| {
        // References to earlier types.
        for (i, t) in (0..).zip(&mut types).skip(1) {
            let heap = HeapType::Concrete(to % i);
            t.ty.params.push(ValType::Ref(RefType { nullable: i % 2 == 0, heap }));
        }
        TypeTable { types }
    })
}

pub fn memory_type() -> impl Strategy<Value = MemoryType> {
    any::<bool>().prop_flat_map(|is64| {
        let limit = MemoryType::page_limit(is64);
        (0..=limit, prop::option::of(0..=limit)).prop_map(move |(min, max)| MemoryType {
            min,
            max,
            is64,
        })
    })
}

pub fn table_type() -> impl Strategy<Value = TableType> {
    (ref_type(), 0..=10_000_000u64, prop::option::of(any::<u64>()), any::<bool>())
        .prop_map(|(elem, min, max, is64)| TableType { elem, min, max, is64 })
}

pub fn global_type() -> impl Strategy<Value = GlobalType> {
    (val_type(), any::<bool>()).prop_map(|(ty, mutable)| GlobalType { ty, mutable })
}

fn memory_decl() -> impl Strategy<Value = MemoryDecl> {
    let shape = prop_oneof![Just(MemoryShape::Guarded), Just(MemoryShape::Compact)];
    (memory_type(), shape, any::<u64>(), any::<u64>()).prop_map(|(ty, shape, r, g)| MemoryDecl {
        ty,
        shape,
        reserve_bytes: r,
        guard_bytes: g,
    })
}

pub fn contract() -> impl Strategy<Value = Contract> {
    let text = || ".{0,15}";
    let head = (text(), text(), any::<[u8; 32]>(), any::<u64>(), any::<u64>(), any::<u32>());
    let counts = (0..=1u32 << 20, any::<u32>(), any::<bool>(), 1..1_000_000u32, any::<u32>());
    let lists = (
        vec(memory_decl(), 0..4),
        vec(table_type(), 0..4),
        vec(global_type(), 0..8),
        vec(any::<u32>(), 0..4),
    );
    let labels = prop::collection::btree_map("[a-z]{1,8}", text(), 0..6);
    (head, counts, lists, labels).prop_map(|(h, n, l, labels)| Contract {
        compiler: h.0,
        codegen: h.1,
        source_hash: h.2,
        cpu: h.3,
        features: h.4,
        abi_version: h.5,
        instance_data: n.0,
        min_stack: n.1,
        fuel: n.2,
        functions: n.3,
        start: (n.4 < n.3).then_some(n.4),
        memories: l.0,
        tables: l.1,
        globals: l.2,
        tags: l.3,
        labels: labels.into_iter().collect(),
    })
}

/// Imports whose function types lie below `types`.
pub fn imports(types: u32) -> impl Strategy<Value = Imports> {
    let kind = prop_oneof![
        (0..types).prop_map(ImportKind::Func),
        table_type().prop_map(ImportKind::Table),
        memory_type().prop_map(ImportKind::Memory),
        global_type().prop_map(ImportKind::Global),
        (0..types).prop_map(ImportKind::Tag),
    ];
    let import =
        (".{0,20}", ".{0,20}", kind).prop_map(|(module, name, kind)| Import { module, name, kind });
    vec(import, 0..12).prop_map(|imports| Imports { imports })
}

/// A contract with a few of everything, for sections that refer to its counts.
pub fn counts() -> Contract {
    let memory = MemoryDecl {
        ty: MemoryType { min: 4, max: None, is64: false },
        shape: MemoryShape::Guarded,
        reserve_bytes: 4 << 30,
        guard_bytes: 32 << 20,
    };
    let table = TableType { elem: RefType::FUNC, min: 1, max: None, is64: false };
    Contract {
        abi_version: lucet_artifact::ABI_VERSION,
        compiler: "0.1.0".into(),
        codegen: "cranelift 0.135.8".into(),
        source_hash: [0xab; 32],
        cpu: 0x0102,
        features: 0x04,
        instance_data: 256,
        min_stack: 0x2000,
        fuel: false,
        memories: vec![memory],
        tables: vec![table, TableType { elem: RefType::EXTERN, min: 0, max: Some(9), is64: false }],
        globals: vec![
            GlobalType { ty: ValType::I32, mutable: false },
            GlobalType { ty: ValType::F64, mutable: true },
            GlobalType { ty: ValType::I64, mutable: false },
        ],
        tags: vec![0, 2],
        start: Some(5),
        functions: 10,
        labels: vec![("name".into(), "x".into()), ("version".into(), "1".into())],
    }
}

pub fn exports() -> impl Strategy<Value = Exports> {
    let target = prop_oneof![
        (Just(ExportKind::Func), 0..10u32),
        (Just(ExportKind::Table), 0..2u32),
        (Just(ExportKind::Memory), 0..1u32),
        (Just(ExportKind::Global), 0..3u32),
    ];
    let export = (".{0,20}", target).prop_map(|(name, (kind, index))| Export { name, kind, index });
    vec(export, 0..12).prop_map(|exports| Exports { exports })
}

/// Function records and the numbers they were made for.
#[derive(Debug, Clone)]
pub struct Funcs {
    pub table: FuncTable,
    pub imported: u32,
    pub text_len: u64,
}

pub const STRTAB_LEN: u64 = 100;
pub const PCMAP_LEN: u64 = 200;
pub const FUNC_TYPES: usize = 5;

impl Funcs {
    pub fn decode(&self, bytes: &[u8]) -> Result<FuncTable, lucet_artifact::DecodeError> {
        FuncTable::decode(bytes, self.text_len, FUNC_TYPES, STRTAB_LEN, PCMAP_LEN, self.imported)
    }
}

pub fn funcs() -> impl Strategy<Value = Funcs> {
    let record = (
        (any::<bool>(), 1..200u32, 0..3u32),
        (0..FUNC_TYPES as u32, 0..STRTAB_LEN as u32, any::<bool>()),
        (any::<u32>(), any::<u32>(), 0..=PCMAP_LEN as u32),
    );
    (vec(record, 0..20), 0..5u32).prop_map(|(records, imported)| {
        let (mut next, mut refs) = (0u32, 0u32);
        let mut funcs = Vec::new();
        for (i, (code, facts, hints)) in records.into_iter().enumerate() {
            let stub = code.0 || i as u32 >= imported;
            let offset = (next + code.2 * 32).next_multiple_of(32);
            let size = if stub { code.1 } else { 0 };
            next = if stub { offset + size } else { next };
            let reference = if stub && facts.2 { refs } else { NO_REF };
            refs += u32::from(reference != NO_REF);
            funcs.push(FuncRecord {
                offset: if stub { offset } else { NO_CODE },
                size,
                ty: facts.0,
                name: facts.1,
                reference,
                frame: hints.0,
                pops: hints.1,
                pcmap: hints.2,
            });
        }
        Funcs { table: FuncTable { funcs }, imported, text_len: next.into() }
    })
}

/// A function that has code and nothing else.
pub fn func_at(offset: u32, size: u32) -> FuncRecord {
    FuncRecord { offset, size, ty: 0, name: 0, reference: NO_REF, frame: 0, pops: 0, pcmap: 0 }
}

pub const TEXT_LEN: u64 = 1 << 16;

pub fn traps() -> impl Strategy<Value = TrapTable> {
    let code = prop::sample::select(&TrapCode::ALL[..]);
    prop::collection::btree_map(0..TEXT_LEN as u32, code, 0..100)
        .prop_map(|sites| TrapTable { sites: sites.into_iter().collect() })
}

pub fn hints() -> impl Strategy<Value = Hints> {
    vec((0..100u32, 0..100u32), 0..50).prop_map(|gaps| {
        let mut next = 0;
        let range = |(gap, len)| {
            let at = next + gap;
            next = at + len;
            (at, len)
        };
        Hints { data: gaps.into_iter().map(range).collect() }
    })
}

pub fn pc_rows() -> impl Strategy<Value = Vec<PcRow>> {
    prop::collection::btree_map(any::<u32>(), any::<u32>(), 0..50)
        .prop_map(|rows| rows.into_iter().map(|(pc, wasm)| PcRow { pc, wasm }).collect())
}

pub fn const_expr() -> impl Strategy<Value = ConstExpr> {
    let op = prop_oneof![
        any::<i32>().prop_map(ConstOp::I32),
        any::<i64>().prop_map(ConstOp::I64),
        any::<u32>().prop_map(ConstOp::F32),
        any::<u64>().prop_map(ConstOp::F64),
        any::<u128>().prop_map(ConstOp::V128),
        (0..3u32).prop_map(ConstOp::GlobalGet),
        Just(ConstOp::RefNull),
        (0..10u32).prop_map(ConstOp::RefFunc),
        prop::sample::select(vec![
            ConstOp::I32Add,
            ConstOp::I32Sub,
            ConstOp::I32Mul,
            ConstOp::I64Add,
            ConstOp::I64Sub,
            ConstOp::I64Mul,
        ]),
    ];
    vec(op, 0..6)
}

fn mode(targets: u32) -> impl Strategy<Value = SegmentMode> {
    prop_oneof![
        Just(SegmentMode::Passive),
        Just(SegmentMode::Declared),
        (0..targets, const_expr())
            .prop_map(|(target, offset)| SegmentMode::Active { target, offset }),
    ]
}

pub const DATA_LEN: u64 = 1000;

/// Initial state for [`counts`] with one imported global and [`DATA_LEN`] bytes of data.
pub fn init() -> impl Strategy<Value = Init> {
    let item = prop_oneof![
        Just(ElemItem::Null),
        (0..10u32).prop_map(ElemItem::Func),
        const_expr().prop_map(ElemItem::Expr),
    ];
    let elem = (mode(2), ref_type(), vec(item, 0..6)).prop_map(|(mode, ty, items)| ElemSegment {
        mode,
        ty,
        items,
    });
    let data = (mode(1), 0..=500u32, 0..=500u32).prop_map(|(mode, offset, len)| DataSegment {
        mode,
        offset,
        len,
    });
    // At most eight runs of a gap and a length below five pages fit the 64 pages of the memory.
    let image = vec((1..4u32, 1..4u32), 0..8).prop_map(|gaps| {
        let mut next = 0;
        let run = |(gap, pages)| {
            let page = next + gap;
            next = page + pages;
            ImageRun { page, pages }
        };
        gaps.into_iter().map(run).collect()
    });
    let tables = vec(prop::option::of(const_expr()), 2);
    (vec(const_expr(), 2), tables, vec(elem, 0..5), vec(data, 0..5), image).prop_map(
        |(globals, tables, elems, datas, image)| Init {
            globals,
            tables,
            elems,
            datas,
            image,
            further: Vec::new(),
        },
    )
}

pub fn decode_init(bytes: &[u8], pages: u64) -> Result<Init, lucet_artifact::DecodeError> {
    Init::decode(bytes, &counts(), 1, 0, DATA_LEN, pages * 4096)
}

/// For [`counts`].
pub fn snapshot() -> impl Strategy<Value = Snapshot> {
    (any::<bool>(), prop::option::of(0..10u32))
        .prop_map(|(impure, reseed)| Snapshot { impure, reseed })
}
