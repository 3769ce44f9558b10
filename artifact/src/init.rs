//! Section `.lucet.init`: how a fresh instance begins. Globals, element segments, data segments and
//! the runs of the memory image.
//!
//! The compiler folds active data segments with constant offsets into the *image*, whole native
//! pages of memory 0 stored in `.lucet.image`; segments that depend on an imported global, address
//! an imported memory, or come after one that does, stay segments and are applied at instantiation
//! in order, as core spec 4.5.4 asks.

use crate::codec::{DecodeError, EncodeError, Reader, Writer};
use crate::contract::{Contract, MemoryDecl};
use crate::limits;
use crate::types::RefType;

/// One operator of a constant expression (core spec, 3.3.10 and the extended-const proposal), in
/// postfix order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConstOp {
    /// Pushes an i32.
    I32(i32),
    /// Pushes an i64.
    I64(i64),
    /// Pushes an f32 with these bits.
    F32(u32),
    /// Pushes an f64 with these bits.
    F64(u64),
    /// Pushes a v128.
    V128(u128),
    /// Pushes the value of a global.
    GlobalGet(u32),
    /// Pushes a null reference.
    RefNull,
    /// Pushes a reference to a function.
    RefFunc(u32),
    /// `i32.add`.
    I32Add,
    /// `i32.sub`.
    I32Sub,
    /// `i32.mul`.
    I32Mul,
    /// `i64.add`.
    I64Add,
    /// `i64.sub`.
    I64Sub,
    /// `i64.mul`.
    I64Mul,
}

/// A constant expression. It was validated by the compiler; the runtime evaluates it with checks.
pub type ConstExpr = Vec<ConstOp>;

/// What an element or data segment is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentMode {
    /// Used by `table.init` / `memory.init` only.
    Passive,
    /// Copied at instantiation to `offset` of table or memory `target`.
    Active {
        /// Table or memory index.
        target: u32,
        /// Where to.
        offset: ConstExpr,
    },
    /// Only declares functions for `ref.func` (element segments).
    Declared,
}

/// One item of an element segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElemItem {
    /// Null.
    Null,
    /// A function.
    Func(u32),
    /// Any other constant expression.
    Expr(ConstExpr),
}

/// An element segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElemSegment {
    /// Mode.
    pub mode: SegmentMode,
    /// Type of the items.
    pub ty: RefType,
    /// The items.
    pub items: Vec<ElemItem>,
}

/// A data segment; its bytes lie in `.lucet.data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSegment {
    /// Mode. A segment folded into the image is [`SegmentMode::Declared`] with no bytes: it counts
    /// as dropped from the start.
    pub mode: SegmentMode,
    /// Offset in `.lucet.data`.
    pub offset: u32,
    /// Length in bytes.
    pub len: u32,
}

/// Consecutive pages of the memory image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageRun {
    /// First native page (4096 bytes) of memory 0.
    pub page: u32,
    /// Number of native pages, not 0.
    pub pages: u32,
}

/// Section `.lucet.init`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Init {
    /// Initial values of the globals the module defines, in order.
    pub globals: Vec<ConstExpr>,
    /// What the elements of each own table are at first; `None`: null.
    pub tables: Vec<Option<ConstExpr>>,
    /// Element segments.
    pub elems: Vec<ElemSegment>,
    /// Data segments.
    pub datas: Vec<DataSegment>,
    /// Runs of the image: ascending, not touching; their pages follow each other in
    /// `.lucet.image`.
    pub image: Vec<ImageRun>,
    /// Likewise the runs of each further memory ([`Contract::further_memories`]); their pages stand
    /// behind those of memory 0, memory by memory.
    pub further: Vec<Vec<ImageRun>>,
}

fn write_expr(w: &mut Writer, e: &ConstExpr) -> Result<(), EncodeError> {
    w.count(e.len(), limits::MAX_CONST_OPS, "length of a constant expression")?;
    for op in e {
        match *op {
            ConstOp::I32(v) => {
                w.u8(0);
                w.u32(v as u32);
            }
            ConstOp::I64(v) => {
                w.u8(1);
                w.u64(v as u64);
            }
            ConstOp::F32(v) => {
                w.u8(2);
                w.u32(v);
            }
            ConstOp::F64(v) => {
                w.u8(3);
                w.u64(v);
            }
            ConstOp::V128(v) => {
                w.u8(4);
                w.u128(v);
            }
            ConstOp::GlobalGet(i) => {
                w.u8(5);
                w.u32(i);
            }
            ConstOp::RefNull => w.u8(6),
            ConstOp::RefFunc(i) => {
                w.u8(7);
                w.u32(i);
            }
            ConstOp::I32Add => w.u8(8),
            ConstOp::I32Sub => w.u8(9),
            ConstOp::I32Mul => w.u8(10),
            ConstOp::I64Add => w.u8(11),
            ConstOp::I64Sub => w.u8(12),
            ConstOp::I64Mul => w.u8(13),
        }
    }
    Ok(())
}

/// Reads an expression; `left` operators of all expressions may still follow.
fn read_expr(r: &mut Reader<'_>, c: &Contract, left: &mut usize) -> Result<ConstExpr, DecodeError> {
    let n = r.count(limits::MAX_CONST_OPS.min(*left), 1, "length of a constant expression")?;
    *left -= n;
    let mut e = Vec::with_capacity(n);
    for _ in 0..n {
        let at = r.pos();
        e.push(match r.u8("constant operator")? {
            0 => ConstOp::I32(r.u32("i32 constant")? as i32),
            1 => ConstOp::I64(r.u64("i64 constant")? as i64),
            2 => ConstOp::F32(r.u32("f32 constant")?),
            3 => ConstOp::F64(r.u64("f64 constant")?),
            4 => ConstOp::V128(r.u128("v128 constant")?),
            5 => ConstOp::GlobalGet(r.index(c.globals.len(), "global index")?),
            6 => ConstOp::RefNull,
            7 => ConstOp::RefFunc(r.index(c.functions as usize, "function index")?),
            8 => ConstOp::I32Add,
            9 => ConstOp::I32Sub,
            10 => ConstOp::I32Mul,
            11 => ConstOp::I64Add,
            12 => ConstOp::I64Sub,
            13 => ConstOp::I64Mul,
            b => {
                return Err(DecodeError::Invalid {
                    what: "constant operator",
                    at,
                    found: b.into(),
                });
            }
        });
    }
    Ok(e)
}

fn write_mode(w: &mut Writer, m: &SegmentMode) -> Result<(), EncodeError> {
    match m {
        SegmentMode::Passive => w.u8(0),
        SegmentMode::Active { target, offset } => {
            w.u8(1);
            w.u32(*target);
            write_expr(w, offset)?;
        }
        SegmentMode::Declared => w.u8(2),
    }
    Ok(())
}

fn read_mode(
    r: &mut Reader<'_>,
    c: &Contract,
    targets: usize,
    ops: &mut usize,
) -> Result<SegmentMode, DecodeError> {
    let at = r.pos();
    Ok(match r.u8("segment mode")? {
        0 => SegmentMode::Passive,
        1 => {
            let target = r.index(targets, "segment target")?;
            SegmentMode::Active { target, offset: read_expr(r, c, ops)? }
        }
        2 => SegmentMode::Declared,
        b => {
            return Err(DecodeError::Invalid { what: "segment mode", at, found: b.into() });
        }
    })
}

impl Init {
    /// Number of native pages in `.lucet.image`.
    #[must_use]
    pub fn image_pages(&self) -> u64 {
        self.images().flatten().map(|r| u64::from(r.pages)).sum()
    }

    /// The runs of memory 0, then of each further memory.
    fn images(&self) -> impl Iterator<Item = &Vec<ImageRun>> {
        std::iter::once(&self.image).chain(&self.further)
    }

    /// Operators of all constant expressions.
    fn const_ops(&self) -> usize {
        let offset = |m: &SegmentMode| match m {
            SegmentMode::Active { offset, .. } => offset.len(),
            _ => 0,
        };
        let item = |i: &ElemItem| match i {
            ElemItem::Expr(e) => e.len(),
            _ => 0,
        };
        let own = self.globals.iter().chain(self.tables.iter().flatten()).map(Vec::len);
        let elems = self.elems.iter().flat_map(|e| e.items.iter().map(item));
        let modes = self.elems.iter().map(|e| &e.mode).chain(self.datas.iter().map(|d| &d.mode));
        own.chain(elems).chain(modes.map(offset)).sum()
    }

    /// Encodes the section.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let (found, max) = (self.const_ops() as u64, limits::MAX_ALL_CONST_OPS as u64);
        if found > max {
            let what = "number of operators in constant expressions";
            return Err(EncodeError { what, found, max });
        }
        let mut w = Writer::new();
        w.count(self.globals.len(), limits::MAX_GLOBALS, "number of globals")?;
        for g in &self.globals {
            write_expr(&mut w, g)?;
        }
        w.count(self.tables.len(), limits::MAX_TABLES, "number of tables")?;
        for t in &self.tables {
            w.flag(t.is_some());
            if let Some(e) = t {
                write_expr(&mut w, e)?;
            }
        }
        w.count(self.elems.len(), limits::MAX_ELEMENT_SEGMENTS, "number of element segments")?;
        let items: usize = self.elems.iter().map(|e| e.items.len()).sum();
        w.count(items, limits::MAX_ELEMENT_ITEMS, "number of element items")?;
        for e in &self.elems {
            write_mode(&mut w, &e.mode)?;
            e.ty.write(&mut w);
            w.count(e.items.len(), limits::MAX_ELEMENT_ITEMS, "number of element items")?;
            for item in &e.items {
                match item {
                    ElemItem::Null => w.u8(0),
                    ElemItem::Func(f) => {
                        w.u8(1);
                        w.u32(*f);
                    }
                    ElemItem::Expr(x) => {
                        w.u8(2);
                        write_expr(&mut w, x)?;
                    }
                }
            }
        }
        w.count(self.datas.len(), limits::MAX_DATA_SEGMENTS, "number of data segments")?;
        for d in &self.datas {
            write_mode(&mut w, &d.mode)?;
            w.u32(d.offset);
            w.u32(d.len);
        }
        let mut left = limits::MAX_IMAGE_RUNS;
        for runs in self.images() {
            w.count(runs.len(), left, "number of image runs")?;
            left -= runs.len();
            for run in runs {
                w.u32(run.page);
                w.u32(run.pages);
            }
        }
        Ok(w.into_bytes())
    }

    /// Decodes the section, checking indices against the contract, data segments against the
    /// `data_len` bytes of `.lucet.data`, and runs against the initial sizes of memories and the
    /// `image_len` bytes of `.lucet.image`. `imported_globals` and `imported_tables` are
    /// how many of these are imported.
    pub fn decode(
        bytes: &[u8],
        c: &Contract,
        imported_globals: usize,
        imported_tables: usize,
        data_len: u64,
        image_len: u64,
    ) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let mut ops = limits::MAX_ALL_CONST_OPS;
        let at = r.pos();
        let n = r.count(limits::MAX_GLOBALS, 4, "number of globals")?;
        if Some(n) != c.globals.len().checked_sub(imported_globals) {
            let what = "number of global initialisers";
            return Err(DecodeError::Invalid { what, at, found: n as u64 });
        }
        let mut globals = Vec::with_capacity(n);
        for _ in 0..n {
            globals.push(read_expr(&mut r, c, &mut ops)?);
        }
        let at = r.pos();
        let n = r.count(limits::MAX_TABLES, 1, "number of tables")?;
        if Some(n) != c.tables.len().checked_sub(imported_tables) {
            let what = "number of table initialisers";
            return Err(DecodeError::Invalid { what, at, found: n as u64 });
        }
        let mut tables = Vec::with_capacity(n);
        for _ in 0..n {
            let given = r.flag("table initialiser")?;
            tables.push(given.then(|| read_expr(&mut r, c, &mut ops)).transpose()?);
        }
        let elems = read_elems(&mut r, c, &mut ops)?;
        let n = r.count(limits::MAX_DATA_SEGMENTS, 9, "number of data segments")?;
        let mut datas = Vec::with_capacity(n);
        for _ in 0..n {
            let mode = read_mode(&mut r, c, c.memories.len(), &mut ops)?;
            let at = r.pos();
            let (offset, len) = (r.u32("data offset")?, r.u32("data length")?);
            let found = u64::from(offset) + u64::from(len);
            if found > data_len {
                let what = "end of a data segment";
                return Err(DecodeError::Limit { what, at, found, max: data_len });
            }
            datas.push(DataSegment { mode, offset, len });
        }
        let mut left = limits::MAX_IMAGE_RUNS;
        let image = read_image(&mut r, c.memories.first(), &mut left)?;
        let mut further = Vec::new();
        for m in c.further_memories() {
            further.push(read_image(&mut r, Some(m), &mut left)?);
        }
        let (at, init) = (r.pos(), Self { globals, tables, elems, datas, image, further });
        r.finish()?;
        let found = init.image_pages() * limits::NATIVE_PAGE;
        if found != image_len {
            let what = "size of the memory image";
            return Err(DecodeError::Limit { what, at, found, max: image_len });
        }
        Ok(init)
    }
}

fn read_elems(
    r: &mut Reader<'_>,
    c: &Contract,
    ops: &mut usize,
) -> Result<Vec<ElemSegment>, DecodeError> {
    let n = r.count(limits::MAX_ELEMENT_SEGMENTS, 6, "number of element segments")?;
    let total_at = r.pos();
    let mut left = r.count(limits::MAX_ELEMENT_ITEMS, 1, "number of element items")?;
    let mut elems = Vec::with_capacity(n);
    for _ in 0..n {
        let mode = read_mode(r, c, c.tables.len(), ops)?;
        let ty = RefType::read(r, "element type")?;
        let k = r.count(left, 1, "number of element items")?;
        left -= k;
        let mut items = Vec::with_capacity(k);
        for _ in 0..k {
            let at = r.pos();
            items.push(match r.u8("element item")? {
                0 => ElemItem::Null,
                1 => ElemItem::Func(r.index(c.functions as usize, "function index")?),
                2 => ElemItem::Expr(read_expr(r, c, ops)?),
                b => {
                    let what = "element item";
                    return Err(DecodeError::Invalid { what, at, found: b.into() });
                }
            });
        }
        elems.push(ElemSegment { mode, ty, items });
    }
    if left != 0 {
        let (what, at) = ("total of element items", total_at);
        return Err(DecodeError::Invalid { what, at, found: left as u64 });
    }
    Ok(elems)
}

/// The runs of one memory; `left` of all runs may still follow.
fn read_image(
    r: &mut Reader<'_>,
    memory: Option<&MemoryDecl>,
    left: &mut usize,
) -> Result<Vec<ImageRun>, DecodeError> {
    let n = r.count(*left, 8, "number of image runs")?;
    *left -= n;
    let bytes = memory.filter(|m| !m.is_imported()).map_or(0, |m| m.ty.min);
    let max = bytes.saturating_mul(limits::WASM_PAGE).min(1 << 44) / limits::NATIVE_PAGE;
    let mut image: Vec<ImageRun> = Vec::with_capacity(n);
    let mut next = 0u64;
    for i in 0..n {
        let at = r.pos();
        let run = ImageRun { page: r.u32("image run")?, pages: r.u32("image run length")? };
        let (page, end) = (u64::from(run.page), u64::from(run.page) + u64::from(run.pages));
        if run.pages == 0 || page < next || (i > 0 && page == next) {
            return Err(DecodeError::Invalid { what: "image run", at, found: page });
        }
        if end > max {
            return Err(DecodeError::Limit { what: "end of an image run", at, found: end, max });
        }
        next = end;
        image.push(run);
    }
    Ok(image)
}
