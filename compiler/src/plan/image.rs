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
    /// Runs of the image.
    pub runs: Vec<ImageRun>,
    /// Their pages.
    pub image: Vec<u8>,
}

/// Folds the segments of a module whose memory 0 is `memory`.
pub fn fold(
    datas: Vec<Data<'_>>,
    memory: Option<&MemoryDecl>,
    chosen: &Limits,
) -> Result<Folded, Diagnostic> {
    // An imported memory reserves nothing and has no image.
    let bytes = memory.filter(|m| m.reserve_bytes > 0).map_or(0, |m| m.ty.min * limits::WASM_PAGE);
    let own = memory.is_some_and(|m| m.reserve_bytes > 0);
    let mut folding = own;
    let mut pages: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let mut out = Folded::default();
    for d in datas {
        if let SegmentMode::Active { target, offset } = &d.mode {
            match (folding, place(*target, offset, d.bytes.len(), bytes)) {
                (true, Some(start)) => {
                    write(&mut pages, start, d.bytes);
                    if (pages.len() * PAGE) as u64 > chosen.get(Limit::Image) {
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
    finish(&mut out, pages)?;
    Ok(out)
}

/// Where a segment goes in memory 0, if that is known and in bounds.
fn place(target: u32, offset: &[ConstOp], len: usize, bytes: u64) -> Option<u64> {
    let [ConstOp::I32(start)] = offset else { return None };
    let start = u64::from(*start as u32);
    (target == 0 && start + len as u64 <= bytes).then_some(start)
}

fn write(pages: &mut BTreeMap<u32, Vec<u8>>, start: u64, mut bytes: &[u8]) {
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

fn finish(out: &mut Folded, pages: BTreeMap<u32, Vec<u8>>) -> Result<(), Diagnostic> {
    for (page, data) in pages {
        if data.iter().all(|b| *b == 0) {
            continue;
        }
        match out.runs.last_mut() {
            Some(run) if run.page + run.pages == page => run.pages += 1,
            _ => out.runs.push(ImageRun { page, pages: 1 }),
        }
        out.image.extend_from_slice(&data);
    }
    let (runs, max) = (out.runs.len(), limits::MAX_IMAGE_RUNS);
    if runs > max {
        let m = format!("the initial memory is in {runs} separate places, the limit is {max}");
        return Err(Diagnostic::new(Class::Limit, m));
    }
    Ok(())
}
