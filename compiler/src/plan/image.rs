//! Folds active data segments into the memory image: whole native pages that the runtime maps or
//! copies, so that instantiation does no work per segment.
//!
//! ```text
//!  segments   ▒▒▒▒   ▒▒▒▒▒▒▒▒▒            ▒▒     offsets constant, in bounds
//!  pages    │....│....│....│....│....│....│....│
//!  runs     └────────────┘              └────┘   pages that are all zero are left out
//! ```
//!
//! Segments are applied in order (core spec, 4.5.4), so folding stops at the first active segment
//! that cannot be folded: one for an imported memory, with an offset that depends on a global, or
//! out of bounds (it has to trap). From there on active segments stay segments.

use crate::error::{Class, Diagnostic};
use crate::limits::{Limit, Limits};
use crate::parse::Data;
use lucet_artifact::contract::MemoryDecl;
use lucet_artifact::init::{ConstOp, DataSegment, ImageRun, SegmentMode};
use lucet_artifact::limits;
use std::collections::BTreeMap;

const PAGE: usize = limits::NATIVE_PAGE as usize;

/// The result of folding.
#[derive(Debug, Default)]
pub struct Folded {
    /// All segments; folded ones are declared and empty.
    pub datas: Vec<DataSegment>,
    /// Bytes of the others.
    pub data: Vec<u8>,
    /// Runs of the image of memory 0.
    pub runs: Vec<ImageRun>,
    /// Runs of the images of further memories.
    pub further: Vec<Vec<ImageRun>>,
    /// Their pages, memory by memory.
    pub image: Vec<u8>,
}

/// The pages of one memory that segments wrote to.
type Pages = BTreeMap<u32, Vec<u8>>;

/// Folds the segments of a module with these memories.
pub fn fold(
    datas: Vec<Data<'_>>,
    memories: &[MemoryDecl],
    chosen: &Limits,
) -> Result<Folded, Diagnostic> {
    let mut folding = true;
    let mut pages: Vec<Pages> = vec![Pages::new(); memories.len()];
    let mut out = Folded::default();
    for d in datas {
        if let SegmentMode::Active { target, offset } = &d.mode {
            let place = memories.get(*target as usize).and_then(|m| place(m, offset, d.bytes));
            match (folding, place, pages.get_mut(*target as usize)) {
                (true, Some(start), Some(of_memory)) => {
                    write(of_memory, start, d.bytes);
                    let all: usize = pages.iter().map(BTreeMap::len).sum();
                    if (all * PAGE) as u64 > chosen.get(Limit::Image) {
                        return Err(Limit::Image.exceeded(chosen));
                    }
                    let mode = SegmentMode::Declared;
                    out.datas.push(DataSegment { mode, offset: 0, len: 0 });
                    continue;
                }
                _ => folding = false,
            }
        }
        let (offset, len) = (out.data.len() as u32, d.bytes.len() as u32);
        out.datas.push(DataSegment { mode: d.mode, offset, len });
        out.data.extend_from_slice(d.bytes);
    }
    let own = pages.into_iter().zip(memories).enumerate().filter(|(_, (_, m))| !m.is_imported());
    for (i, (pages, _)) in own {
        let runs = runs(pages, &mut out.image);
        if i == 0 {
            out.runs = runs;
        } else {
            out.further.push(runs);
        }
    }
    check_size(&out)?;
    Ok(out)
}

/// Where a segment goes in an own memory, if that is known and in bounds.
fn place(memory: &MemoryDecl, offset: &[ConstOp], bytes: &[u8]) -> Option<u64> {
    let start = match (offset, memory.ty.is64) {
        ([ConstOp::I32(start)], false) => u64::from(*start as u32),
        ([ConstOp::I64(start)], true) => *start as u64,
        _ => return None,
    };
    let size = memory.ty.min.saturating_mul(limits::WASM_PAGE);
    let fits = start.checked_add(bytes.len() as u64).is_some_and(|end| end <= size);
    (!memory.is_imported() && fits).then_some(start)
}

fn write(pages: &mut Pages, start: u64, mut bytes: &[u8]) {
    let mut at = start as usize;
    while !bytes.is_empty() {
        let (page, inside) = (at / PAGE, at % PAGE);
        let (now, rest) = bytes.split_at(bytes.len().min(PAGE - inside));
        // Zeros need no page of their own; over an existing page they must be written.
        let page = page as u32;
        if now.iter().any(|b| *b != 0) || pages.contains_key(&page) {
            let data = pages.entry(page).or_insert_with(|| vec![0; PAGE]);
            if let Some(to) = data.get_mut(inside..inside + now.len()) {
                to.copy_from_slice(now);
            }
        }
        at += now.len();
        bytes = rest;
    }
}

/// The runs of a memory; appends its pages to `image`.
fn runs(pages: Pages, image: &mut Vec<u8>) -> Vec<ImageRun> {
    let mut runs: Vec<ImageRun> = Vec::new();
    for (page, data) in pages {
        if data.iter().all(|b| *b == 0) {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.page + run.pages == page => run.pages += 1,
            _ => runs.push(ImageRun { page, pages: 1 }),
        }
        image.extend_from_slice(&data);
    }
    runs
}

fn check_size(out: &Folded) -> Result<(), Diagnostic> {
    let runs = out.runs.len() + out.further.iter().map(Vec::len).sum::<usize>();
    let max = limits::MAX_IMAGE_RUNS;
    if runs > max {
        let m = format!("the initial memory is in {runs} separate places, the limit is {max}");
        return Err(Diagnostic::new(Class::Limit, m));
    }
    Ok(())
}
