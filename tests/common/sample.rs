//! A small valid artifact and the means to break it: sections as values, an ELF writer of thirty
//! lines, and accessors for header fields.
//!
//! The writer is independent of the compiler's on purpose: two descriptions of the same format,
//! and a loader that accepts both.

#![allow(dead_code)]

use lucet_artifact::abi::TrapCode;
use lucet_artifact::code::{
    FuncRecord, FuncTable, Handler, HandlerTable, Hints, NO_REF, PcMap, PcRow, TrapTable,
};
use lucet_artifact::container::{
    CONTRACT, DATA, EH_FRAME, EH_FRAME_HDR, EXPORTS, FUNCS, HANDLERS, HINTS, IMAGE, IMPORTS, INIT,
    PCMAP, SECTION_ORDER, SHSTRTAB, SNAPSHOT, STRTAB, SYMTAB, TEXT, TRAPS, TYPES,
};
use lucet_artifact::contract::{
    Contract, Export, ExportKind, Exports, Import, ImportKind, Imports, MemoryDecl, cpu,
    layout_counts,
};
use lucet_artifact::init::{
    ConstOp, DataSegment, ElemItem, ElemSegment, ImageRun, Init, SegmentMode,
};
use lucet_artifact::layout::Layout;
use lucet_artifact::snapshot::Snapshot;
use lucet_artifact::trailer::{FLAG_SNAPSHOT, TRAILER_BYTES, Trailer};
use lucet_artifact::types::{
    FuncType, GlobalType, MemoryShape, MemoryType, TableType, TypeRecord, TypeTable,
};
use lucet_artifact::{RefType, ValType};

pub const PAGE: usize = 4096;

/// Everything an artifact consists of.
#[derive(Clone)]
pub struct Parts {
    pub contract: Contract,
    pub types: TypeTable,
    pub imports: Imports,
    pub exports: Exports,
    pub funcs: FuncTable,
    pub traps: TrapTable,
    pub pcmap: Vec<u8>,
    pub handlers: Option<HandlerTable>,
    pub hints: Option<Hints>,
    pub init: Init,
    pub data: Vec<u8>,
    pub image: Vec<u8>,
    pub strtab: Vec<u8>,
    pub text: Vec<u8>,
    pub frames: bool,
    pub snapshot: Option<Snapshot>,
    /// Bit of the trailer, and a parent's hash; both go with the section.
    pub flagged: bool,
    pub parent: bool,
}

pub fn func(offset: u32, ty: u32, name: u32, reference: u32) -> FuncRecord {
    FuncRecord { offset, size: 32, ty, name, reference, frame: 16, pops: 0, pcmap: 0 }
}

fn import(name: &str, kind: ImportKind) -> Import {
    Import { module: "env".to_owned(), name: name.to_owned(), kind }
}

/// ```text
/// (module
///   (import "env" "log" (func (param i32) (result i32)))
///   (import "env" "base" (global i32))
///   (func (export "run") (param i32) (result i32) …) (func $start …) (start $start)
///   (memory (export "memory") 1 2) (table (export "table") 4 funcref)
///   (global (export "counter") (mut i32) (i32.add (global.get 0) (i32.const 4)))
///   (elem (i32.const 0) func 1 …) (data (global.get 0) "hello") (data "passive"))
/// ```
pub fn sample() -> Parts {
    let (unary, none) =
        (FuncType { params: vec![ValType::I32], results: vec![ValType::I32] }, FuncType::default());
    let types = TypeTable {
        types: vec![
            TypeRecord { ty: unary, entry: 0, adapter: 64 },
            TypeRecord { ty: none, entry: 32, adapter: u32::MAX },
        ],
    };
    let constant = GlobalType { ty: ValType::I32, mutable: false };
    let imports = Imports {
        imports: vec![
            import("log", ImportKind::Func(0)),
            import("base", ImportKind::Global(constant)),
        ],
    };
    let export = |name: &str, kind, index| Export { name: name.to_owned(), kind, index };
    let exports = Exports {
        exports: vec![
            export("run", ExportKind::Func, 1),
            export("memory", ExportKind::Memory, 0),
            export("table", ExportKind::Table, 0),
            export("counter", ExportKind::Global, 1),
        ],
    };
    let mut pcmap = PcMap::new();
    pcmap.push(&[]);
    let rows = [PcRow { pc: 0, wasm: 100 }, PcRow { pc: 9, wasm: 107 }];
    let run_rows = pcmap.push(&rows);
    let mut funcs = vec![func(96, 0, 1, 0), func(128, 0, 5, 1), func(160, 1, 9, NO_REF)];
    funcs[1].pcmap = run_rows;
    let memory = MemoryDecl {
        ty: MemoryType { min: 1, max: Some(2), is64: false },
        shape: MemoryShape::Guarded,
        reserve_bytes: 4 << 30,
        guard_bytes: 32 << 20,
    };
    let mut parts = Parts {
        contract: Contract {
            abi_version: lucet_artifact::ABI_VERSION,
            compiler: "0.1.0".to_owned(),
            codegen: "none".to_owned(),
            source_hash: [7; 32],
            policy_hash: [8; 32],
            cpu: cpu::SSE3,
            features: 0,
            instance_data: 0,
            min_stack: 4096,
            fuel: false,
            memories: vec![memory],
            tables: vec![TableType { elem: RefType::FUNC, min: 4, max: None, is64: false }],
            globals: vec![constant, GlobalType { ty: ValType::I32, mutable: true }],
            tags: vec![],
            start: Some(2),
            functions: 3,
            labels: vec![("name".to_owned(), "sample".to_owned())],
        },
        types,
        imports,
        exports,
        funcs: FuncTable { funcs },
        traps: TrapTable {
            sites: vec![(130, TrapCode::Unreachable), (140, TrapCode::MemoryOutOfBounds)],
        },
        pcmap: pcmap.into_bytes(),
        handlers: Some(HandlerTable {
            handlers: vec![Handler { call: 133, target: 140, frame: 16 }],
        }),
        hints: Some(Hints { data: vec![(150, 10)] }),
        init: sample_init(),
        data: b"hellopassive".to_vec(),
        image: vec![0x11; PAGE],
        strtab: b"\0log\0run\0start\0".to_vec(),
        text: (0..192).map(|i| i as u8).collect(),
        frames: true,
        snapshot: None,
        flagged: false,
        parent: false,
    };
    parts.fix_layout();
    parts
}

/// What a snapshot of an instance of something like [`sample`] is: no start function, no imports
/// but functions, nothing left to apply to the memory.
pub fn snapshot() -> Parts {
    let mut parts = sample();
    parts.contract.start = None;
    parts.imports.imports.pop();
    parts.contract.globals.remove(0);
    parts.exports.exports.retain(|e| e.kind != ExportKind::Global);
    parts.fix_layout();
    parts.init.globals = vec![vec![ConstOp::I32(4)]];
    for d in &mut parts.init.datas {
        *d = DataSegment { mode: SegmentMode::Declared, offset: 0, len: 0 };
    }
    parts.snapshot = Some(Snapshot { impure: true, reseed: Some(2) });
    (parts.flagged, parts.parent) = (true, true);
    parts
}

fn sample_init() -> Init {
    let offset = vec![ConstOp::I32(0)];
    Init {
        globals: vec![vec![ConstOp::GlobalGet(0), ConstOp::I32(4), ConstOp::I32Add]],
        tables: vec![None],
        elems: vec![ElemSegment {
            mode: SegmentMode::Active { target: 0, offset },
            ty: RefType::FUNC,
            items: vec![
                ElemItem::Func(1),
                ElemItem::Null,
                ElemItem::Expr(vec![ConstOp::RefFunc(0)]),
                ElemItem::Expr(vec![ConstOp::RefNull]),
            ],
        }],
        datas: vec![
            DataSegment {
                mode: SegmentMode::Active { target: 0, offset: vec![ConstOp::GlobalGet(0)] },
                offset: 0,
                len: 5,
            },
            DataSegment { mode: SegmentMode::Passive, offset: 5, len: 7 },
            DataSegment { mode: SegmentMode::Declared, offset: 0, len: 0 },
        ],
        image: vec![ImageRun { page: 3, pages: 1 }],
        further: Vec::new(),
    }
}

impl Parts {
    /// Makes the contract's size of instance data right again.
    pub fn fix_layout(&mut self) {
        let counts = layout_counts(&self.contract, &self.imports, self.types.types.len());
        self.contract.instance_data = Layout::new(counts).unwrap().size();
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        Some(match name {
            EH_FRAME_HDR | EH_FRAME if self.frames => vec![0x5a; 24],
            TEXT => self.text.clone(),
            CONTRACT => self.contract.encode().unwrap(),
            TYPES => self.types.encode().unwrap(),
            IMPORTS => self.imports.encode().unwrap(),
            EXPORTS => self.exports.encode().unwrap(),
            FUNCS => self.funcs.encode().unwrap(),
            TRAPS => self.traps.encode().unwrap(),
            HANDLERS => self.handlers.as_ref()?.encode().unwrap(),
            PCMAP => self.pcmap.clone(),
            HINTS => self.hints.as_ref()?.encode().unwrap(),
            INIT => self.init.encode().unwrap(),
            DATA => self.data.clone(),
            SNAPSHOT => self.snapshot?.encode().unwrap(),
            SYMTAB => vec![0; 24],
            STRTAB => self.strtab.clone(),
            SHSTRTAB => shstrtab(),
            IMAGE if !self.image.is_empty() => self.image.clone(),
            _ => return None,
        })
    }

    /// The artifact without its trailer.
    pub fn body(&self) -> Vec<u8> {
        let phnum = if self.frames { 4 } else { 3 };
        let mut out = vec![0; 64 + 56 * phnum];
        let present: Vec<_> =
            SECTION_ORDER.iter().filter_map(|n| Some((*n, self.bytes(n)?))).collect();
        let index = |name| present.iter().position(|(n, _)| *n == name).map_or(0, |i| i + 1);
        let headers_bytes = 64 * (present.len() + 1);
        let (mut headers, mut shoff, mut read_end, mut code, mut hdr) =
            (vec![0; 64], 0, out.len(), (0, 0), (0, 0));
        for (name, bytes) in &present {
            let align = if *name == TEXT || *name == IMAGE { PAGE } else { 8 };
            if *name == IMAGE {
                out.resize(out.len().next_multiple_of(8), 0);
                shoff = out.len();
                out.resize(shoff + headers_bytes, 0);
            }
            out.resize(out.len().next_multiple_of(align), 0);
            let at = out.len();
            out.extend_from_slice(bytes);
            let (kind, flags) = match *name {
                TEXT => (1, 6),
                EH_FRAME | EH_FRAME_HDR => (1, 2),
                SYMTAB => (2, 0),
                STRTAB | SHSTRTAB => (3, 0),
                _ => (1, 0),
            };
            match *name {
                TEXT => {
                    code = (at, bytes.len());
                    out.resize(out.len().next_multiple_of(PAGE), 0xcc);
                }
                EH_FRAME_HDR => hdr = (at, bytes.len()),
                EH_FRAME => read_end = out.len(),
                _ => {}
            }
            let (link, info, entsize) =
                if *name == SYMTAB { (index(STRTAB) as u32, 1, 24) } else { (0, 0, 0) };
            let h = &mut headers;
            h.extend((name_offset(name) as u32).to_le_bytes());
            h.extend(u32::to_le_bytes(kind));
            let addr = if flags & 2 == 0 { 0 } else { at };
            for v in [flags, addr as u64, at as u64, bytes.len() as u64] {
                h.extend(v.to_le_bytes());
            }
            h.extend(link.to_le_bytes());
            h.extend(u32::to_le_bytes(info));
            h.extend((align as u64).to_le_bytes());
            h.extend(u64::to_le_bytes(entsize));
        }
        if shoff == 0 {
            out.resize(out.len().next_multiple_of(8), 0);
            shoff = out.len();
            out.resize(shoff + headers_bytes, 0);
        }
        out[shoff..shoff + headers_bytes].copy_from_slice(&headers);
        file_header(&mut out, phnum, shoff, present.len() + 1, index(SHSTRTAB));
        segment(&mut out, 0, 1, 4, (0, read_end), PAGE);
        segment(&mut out, 1, 1, 5, code, PAGE);
        if self.frames {
            segment(&mut out, 2, 0x6474_e550, 4, hdr, 8);
        }
        segment(&mut out, phnum - 1, 0x6474_e551, 6, (0, 0), 16);
        out
    }

    /// The whole artifact.
    pub fn build(&self) -> Vec<u8> {
        let mut body = self.body();
        let parent = [u8::from(self.parent) * 9; 64];
        Trailer::append(&mut body, u32::from(self.flagged) * FLAG_SNAPSHOT, parent).unwrap();
        body
    }
}

/// Puts a trailer with the right hash behind a body.
pub fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    Trailer::append(&mut body, 0, [0; 64]).unwrap();
    body
}

/// The artifact again, with another hash for what may have changed before it.
pub fn resealed(artifact: &[u8]) -> Vec<u8> {
    let old = Trailer::decode(artifact).unwrap();
    let mut body = artifact[..artifact.len() - TRAILER_BYTES].to_vec();
    Trailer::append(&mut body, old.flags, old.parent).unwrap();
    body
}

fn shstrtab() -> Vec<u8> {
    let mut table = vec![0];
    for name in SECTION_ORDER {
        table.extend_from_slice(name.as_bytes());
        table.push(0);
    }
    table
}

/// Where a section's name lies in the table of names.
pub fn name_offset(name: &str) -> usize {
    let before = SECTION_ORDER.iter().take_while(|n| **n != name);
    1 + before.map(|n| n.len() + 1).sum::<usize>()
}

fn file_header(out: &mut [u8], phnum: usize, shoff: usize, shnum: usize, shstrndx: usize) {
    out[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    put16(out, 16, 3);
    put16(out, 18, 62);
    put32(out, 20, 1);
    put64(out, 32, 64);
    put64(out, 40, shoff as u64);
    for (at, v) in [(52, 64), (54, 56), (56, phnum), (58, 64), (60, shnum), (62, shstrndx)] {
        put16(out, at, v as u16);
    }
}

fn segment(out: &mut [u8], i: usize, kind: u32, flags: u32, at: (usize, usize), align: usize) {
    let h = 64 + 56 * i;
    put32(out, h, kind);
    put32(out, h + 4, flags);
    for (k, v) in [at.0, at.0, at.0, at.1, at.1, align].into_iter().enumerate() {
        put64(out, h + 8 + 8 * k, v as u64);
    }
}

pub fn put16(b: &mut [u8], at: usize, v: u16) {
    b[at..at + 2].copy_from_slice(&v.to_le_bytes());
}

pub fn put32(b: &mut [u8], at: usize, v: u32) {
    b[at..at + 4].copy_from_slice(&v.to_le_bytes());
}

pub fn put64(b: &mut [u8], at: usize, v: u64) {
    b[at..at + 8].copy_from_slice(&v.to_le_bytes());
}

pub fn get16(b: &[u8], at: usize) -> usize {
    u16::from_le_bytes(b[at..at + 2].try_into().unwrap()).into()
}

pub fn get64(b: &[u8], at: usize) -> usize {
    u64::from_le_bytes(b[at..at + 8].try_into().unwrap()) as usize
}

/// Where the header of a section lies in the file.
pub fn header_of(b: &[u8], name: &str) -> usize {
    let shoff = get64(b, 40);
    (1..get16(b, 60))
        .map(|i| shoff + 64 * i)
        .find(|h| b[*h..*h + 4] == (name_offset(name) as u32).to_le_bytes())
        .unwrap()
}

/// Where a section lies in the file.
pub fn range_of(b: &[u8], name: &str) -> std::ops::Range<usize> {
    let h = header_of(b, name);
    let at = get64(b, h + 24);
    at..at + get64(b, h + 32)
}
