//! What an instance is now, in the words of an artifact: the state of a snapshot.
//!
//! | of the instance | in the snapshot |
//! |---|---|
//! | size of each memory, of each table | initial sizes in the contract |
//! | memories | image: pages that are not zero |
//! | globals | constants |
//! | tables | element segments behind the module's own, one per run that is not as at first |
//! | segments that were dropped or applied | declared, without contents |
//! | passive segments that were not dropped | as they were |
//!
//! References to functions become indices of functions. References to things of the host cannot
//! become anything: they are words that mean something in this process at most.

use super::memory::Place;
use super::{Inner, InstanceRef};
use crate::error::{Error, Result, Status};
use crate::sys::io_error;
use crate::vmctx::{State, TableEntry};
use lucet_artifact::ValType;
use lucet_artifact::code::NO_REF;
use lucet_artifact::contract::{Contract, ExportKind};
use lucet_artifact::init::{
    ConstOp, DataSegment, ElemItem, ElemSegment, ImageRun, Init, SegmentMode,
};
use lucet_artifact::limits::{
    MAX_ELEMENT_ITEMS, MAX_ELEMENT_SEGMENTS, MAX_IMAGE_BYTES, MAX_IMAGE_RUNS, MAX_TABLE_ELEMENTS,
    NATIVE_PAGE, WASM_PAGE,
};
use lucet_artifact::types::{HeapType, RefType};
use std::fs::File;
use std::io::{BufWriter, Write};

/// Up to this many zero pages between two others are stored: that is cheaper than another run.
const GAP: u32 = 3;

/// An instance's state; its pages went to a file.
#[derive(Debug)]
pub(crate) struct Captured {
    pub contract: Contract,
    pub init: Init,
    /// Bytes written to the file.
    pub image_len: usize,
}

/// What cannot be part of a snapshot, in references of this type.
fn foreign(t: RefType) -> &'static str {
    match t.heap.top() {
        HeapType::Exn => "exceptions",
        _ => "references of the host",
    }
}

fn refuse(what: impl std::fmt::Display) -> Error {
    Error::new(Status::Unsupported, format!("this instance cannot become a snapshot: {what}"))
}

fn too_much(what: &str, max: u64) -> Error {
    Error::new(Status::LimitExceeded, format!("{what}: a snapshot holds {max}"))
}

impl InstanceRef {
    /// Runs `f` on a ready instance that is no member of a group.
    ///
    /// # Errors
    /// `Busy` while it runs, `WrongState` if it is suspended or faulted, `Unsupported` for members
    /// of groups, `InvalidHandle`; those of `f`.
    pub(crate) fn when_ready<R>(&self, f: impl FnOnce(&mut Inner) -> Result<R>) -> Result<R> {
        let lease = self.lease(&[State::Ready])?;
        if lease.is_member() {
            return Err(refuse("it belongs to a group, whose other members it may refer to"));
        }
        // A read may be the first touch of a page, which is served by a signal.
        crate::trap::prepare_thread()?;
        lease.control.with(f)
    }
}

impl Inner {
    /// The state now. Pages of memory are written to `to`, which is empty.
    ///
    /// # Errors
    /// `Unsupported` if the host's references stand in globals or tables; `LimitExceeded`, `Io`,
    /// `OutOfMemory`.
    pub(crate) fn capture(&self, to: &File) -> Result<Captured> {
        let module = &self.module;
        if self.wasi.as_ref().is_some_and(|w| w.has_changed_descriptors()) {
            return Err(refuse("it has opened or closed descriptors of WASI, which stay with it"));
        }
        let mut contract = module.loaded.contract.clone();
        contract.start = None;
        // All are its own: what imports a memory is a member of a group.
        for (i, m) in contract.memories.iter_mut().enumerate() {
            let place = i.checked_sub(1).map_or(Place::Slot, Place::Further);
            m.ty.min = self.size_of(place) / WASM_PAGE;
        }
        let functions: Vec<u32> = (0u32..)
            .zip(&module.loaded.funcs.funcs)
            .filter(|(_, f)| f.reference != NO_REF)
            .map(|(i, _)| i)
            .collect();
        let mut init = Init { globals: self.globals_now(&functions)?, ..Init::default() };
        init.tables = module.loaded.init.tables.clone();
        init.elems = self.elems_left();
        let mut items = init.elems.iter().map(|e| e.items.len()).sum();
        for t in 0..contract.tables.len() {
            let entries = self.entries(t as u32);
            if let Some(table) = contract.tables.get_mut(t) {
                table.min = entries.len() as u64;
                if table.elem.is_func() {
                    let initial = self.module.initial_element(t)?;
                    self.table_now(t as u32, initial, &functions, &mut init, &mut items)?;
                } else if entries.iter().any(|e| e.funcref != 0) {
                    let (name, what) =
                        (self.name(ExportKind::Table, t as u32), foreign(table.elem));
                    return Err(refuse(format!("table {name} holds {what}")));
                }
            }
        }
        if contract.tables.iter().map(|t| t.min).sum::<u64>() > MAX_TABLE_ELEMENTS {
            return Err(too_much("elements of all tables", MAX_TABLE_ELEMENTS));
        }
        init.datas = self.datas_left();
        let image_len = self.images_now(&mut init, to)?;
        Ok(Captured { contract, init, image_len })
    }

    /// A thing in messages: by its index and the name it is exported under, if it is.
    fn name(&self, kind: ExportKind, index: u32) -> String {
        let exports = &self.module.loaded.exports.exports;
        match exports.iter().find(|e| e.kind == kind && e.index == index) {
            Some(e) => format!("\"{}\"", e.name),
            None => index.to_string(),
        }
    }

    /// The index of the function that a reference names; `functions` by reference index.
    fn function_of(&self, reference: u64, functions: &[u32]) -> Option<u32> {
        let entry = TableEntry::find(self.descriptors(), reference)?;
        let base = self.descriptors().as_ptr().addr();
        let n = (std::ptr::from_ref(entry).addr() - base) / size_of::<TableEntry>();
        functions.get(n).copied()
    }

    fn globals_now(&self, functions: &[u32]) -> Result<Vec<Vec<ConstOp>>> {
        let layout = &self.module.loaded.layout;
        let first = layout.counts().imported_globals;
        let types = &self.module.loaded.contract.globals;
        let mut values = Vec::new();
        for (i, ty) in (0..layout.counts().own_globals).zip(types.iter().skip(first as usize)) {
            let slot = self.data.slot(layout.global(i));
            let name = || self.name(ExportKind::Global, first + i);
            values.push(vec![match ty.ty {
                ValType::I32 => ConstOp::I32(slot as u32 as i32),
                ValType::I64 => ConstOp::I64(slot as u64 as i64),
                ValType::F32 => ConstOp::F32(slot as u32),
                ValType::F64 => ConstOp::F64(slot as u64),
                ValType::V128 => ConstOp::V128(slot),
                ValType::Ref(_) if slot as u64 == 0 => ConstOp::RefNull,
                ValType::Ref(t) if t.is_func() => {
                    ConstOp::RefFunc(self.function_of(slot as u64, functions).ok_or_else(|| {
                        refuse(format!("global {} holds a reference to no function", name()))
                    })?)
                }
                ValType::Ref(t) => {
                    let what = foreign(t);
                    return Err(refuse(format!("global {} holds {what}", name())));
                }
            }]);
        }
        Ok(values)
    }

    /// The module's element segments as they are after some were dropped. Those at the end that
    /// have no contents any more are left out, which is the same to code: a snapshot of a snapshot
    /// does not keep the tables of its parent.
    fn elems_left(&self) -> Vec<ElemSegment> {
        let segments = (0u32..).zip(&self.module.loaded.init.elems);
        let mut left: Vec<_> = segments
            .map(|(n, s)| match self.elem_dropped(n) {
                true => ElemSegment { mode: SegmentMode::Declared, ty: s.ty, items: Vec::new() },
                false => s.clone(),
            })
            .collect();
        while left.last().is_some_and(|s| s.mode == SegmentMode::Declared) {
            left.pop();
        }
        left
    }

    /// Element segments that make table `t`, whose elements are `initial` at first, what it is now.
    fn table_now(
        &self,
        t: u32,
        initial: TableEntry,
        functions: &[u32],
        init: &mut Init,
        items: &mut usize,
    ) -> Result<()> {
        let wide = self.module.loaded.contract.tables.get(t as usize).is_some_and(|t| t.is64);
        let mut run: Vec<ElemItem> = Vec::new();
        let entries = self.entries(t);
        let ty = self.element_type(t);
        let end = (entries.len(), &initial);
        for (at, entry) in entries.iter().enumerate().chain([end]) {
            if entry.funcref != initial.funcref {
                run.push(match entry.funcref {
                    0 => ElemItem::Null,
                    f => ElemItem::Func(self.function_of(f, functions).ok_or_else(|| {
                        let name = self.name(ExportKind::Table, t);
                        refuse(format!("element {at} of table {name} refers to no function of it"))
                    })?),
                });
                *items += 1;
            } else if !run.is_empty() {
                let begin = at - run.len();
                let offset = match wide {
                    true => ConstOp::I64(begin as i64),
                    false => ConstOp::I32(begin as u32 as i32),
                };
                let offset = vec![offset];
                let mode = SegmentMode::Active { target: t, offset };
                let items = std::mem::take(&mut run);
                init.elems.push(ElemSegment { mode, ty, items });
            }
        }
        if *items > MAX_ELEMENT_ITEMS {
            return Err(too_much("elements of tables", MAX_ELEMENT_ITEMS as u64));
        }
        if init.elems.len() > MAX_ELEMENT_SEGMENTS {
            return Err(too_much("runs of table elements", MAX_ELEMENT_SEGMENTS as u64));
        }
        Ok(())
    }

    fn datas_left(&self) -> Vec<DataSegment> {
        let segments = (0u32..).zip(&self.module.loaded.init.datas);
        segments
            .map(|(n, s)| match self.data_dropped(n) {
                true => DataSegment { mode: SegmentMode::Declared, offset: 0, len: 0 },
                false => s.clone(),
            })
            .collect()
    }

    /// Writes the pages that are not zero, memory by memory.
    fn images_now(&self, init: &mut Init, to: &File) -> Result<usize> {
        let mut pages = Pages {
            out: BufWriter::with_capacity(1 << 18, to),
            runs: Vec::new(),
            earlier: 0,
            total: 0,
        };
        let (region, image) = (&self.region, self.module.image());
        let mut page = |page, bytes: &[u8]| pages.page(page, bytes);
        region.each_page(&self.slot, self.memory_bytes, &image, &mut page)?;
        init.image = pages.next_memory();
        if let Some(further) = self.further() {
            for n in 0..further.len() {
                further.each_page(n, &mut |page, bytes| pages.page(page, bytes))?;
                init.further.push(pages.next_memory());
            }
        }
        let Pages { mut out, total, .. } = pages;
        out.flush().map_err(|e| io_error("writing the snapshot's memory", &e))?;
        Ok(total as usize)
    }
}

/// Pages on their way into the file.
struct Pages<'a> {
    out: BufWriter<&'a File>,
    /// Those of this memory.
    runs: Vec<ImageRun>,
    /// Runs of the memories before.
    earlier: usize,
    /// Bytes written.
    total: u64,
}

impl Pages<'_> {
    fn page(&mut self, page: u32, bytes: &[u8]) -> Result<()> {
        let gap = match self.runs.last_mut().map(|r| (page - (r.page + r.pages), r)) {
            Some((gap, run)) if gap <= GAP => {
                run.pages += gap + 1;
                gap
            }
            _ => {
                self.runs.push(ImageRun { page, pages: 1 });
                0
            }
        };
        if self.earlier + self.runs.len() > MAX_IMAGE_RUNS {
            return Err(too_much("runs of memory pages", MAX_IMAGE_RUNS as u64));
        }
        for _ in 0..gap {
            self.write(&[0; NATIVE_PAGE as usize])?;
        }
        self.write(bytes)
    }

    fn write(&mut self, page: &[u8]) -> Result<()> {
        self.total += NATIVE_PAGE;
        if self.total > MAX_IMAGE_BYTES {
            return Err(too_much("bytes of memory that are not zero", MAX_IMAGE_BYTES));
        }
        self.out.write_all(page).map_err(|e| io_error("writing the snapshot's memory", &e))
    }

    /// The runs of the memory that is complete now.
    fn next_memory(&mut self) -> Vec<ImageRun> {
        self.earlier += self.runs.len();
        std::mem::take(&mut self.runs)
    }
}
