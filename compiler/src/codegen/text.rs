//! Lays pieces out as `.text` and collects the tables that describe it.
//!
//! ```text
//!  ┌───────────┬──┬───────────┬──┬────────┬──┬─────────────┬──┬──────────┬──┬──────┐
//!  │ function 0│cc│ function 1│cc│ stubs  │cc│ trampolines │cc│ adapters │cc│ glue │
//!  └───────────┴──┴───────────┴──┴────────┴──┴─────────────┴──┴──────────┴──┴──────┘
//!   each on a 32-byte boundary, int3 (0xcc) between
//! ```
//!
//! Direct calls are resolved here; no relocation is left. Cranelift places constants and jump
//! tables behind the instructions of a function, inside its extent, but does not say where: the
//! hints stay empty, and a verifier has to find the end of the instructions itself.

use super::piece::{Job, Piece, Target, pops};
use crate::error::{Class, Diagnostic, Errors};
use crate::model::{Compiled, CompiledFunc, Glue, Place};
use crate::plan::Plan;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::TargetIsa;
use lucet_artifact::code::{FuncRecord, Handler, HandlerTable, Hints, TrapTable};
use lucet_artifact::limits;
use lucet_artifact::types::{NO_CODE, TypeRecord, TypeTable};
use std::collections::HashMap;

/// Alignment of every piece, in bytes.
const ALIGN: u32 = 32;
/// `int3`, which traps if anything ever jumps between pieces.
const FILL: u8 = 0xcc;
/// Stack that one call of a function takes beside its frame: return address, saved frame pointer,
/// the entry trampoline and what it calls before the first check. Rounded up generously.
const STACK_SLACK: u32 = 1024;

fn too_large(what: &str, n: u64, max: u64) -> Errors {
    Diagnostic::new(Class::Limit, format!("{what}: {n}, the limit is {max}")).into()
}

fn internal(what: impl Into<String>) -> Errors {
    Diagnostic::new(Class::Internal, what).into()
}

/// Puts everything together.
pub fn lay_out(
    mut plan: Plan<'_>,
    isa: &dyn TargetIsa,
    jobs: &[Job],
    pieces: Vec<Piece>,
) -> Result<Compiled, Errors> {
    let (text, offsets) = text(isa, jobs, &pieces)?;
    let mut traps = TrapTable::default();
    let mut handlers = HandlerTable::default();
    let mut unwind = Vec::new();
    let mut glue = Vec::new();
    let mut funcs = functions(&plan);
    let none = NO_CODE;
    let mut types: Vec<_> = std::mem::take(&mut plan.types)
        .into_iter()
        .map(|ty| TypeRecord { ty, entry: none, adapter: none })
        .collect();
    let mut min_stack = 0;
    for ((job, piece), offset) in jobs.iter().zip(pieces).zip(offsets) {
        let size = piece.code.len() as u32;
        if let Job::Function(function) = *job {
            for (bits, offset) in &piece.features {
                plan.uses.note(*bits, Place::Code { function, offset: *offset });
            }
        }
        sites(&mut traps, offset, &piece)?;
        catching(&mut handlers, offset, &piece)?;
        min_stack = min_stack.max(piece.frame);
        if let Some(info) = piece.unwind {
            unwind.push((offset, info));
        }
        match *job {
            Job::Function(f) | Job::Stub(f) => {
                let func = funcs.get_mut(f as usize).ok_or_else(|| internal("function index"))?;
                func.record.offset = offset;
                func.record.size = size;
                func.record.frame = piece.frame;
                func.record.pops = func.record.pops.max(piece.tail_args);
                min_stack = min_stack.max(piece.frame.saturating_add(func.record.pops));
                func.rows = piece.rows;
            }
            Job::Entry(t) => {
                let ty = types.get_mut(t as usize).ok_or_else(|| internal("type index"))?;
                ty.entry = offset;
                glue.push(Glue { name: format!("lucet_entry[{t}]"), offset, size });
            }
            Job::Adapter(t) => {
                let ty = types.get_mut(t as usize).ok_or_else(|| internal("type index"))?;
                ty.adapter = offset;
                glue.push(Glue { name: format!("lucet_adapter[{t}]"), offset, size });
            }
            Job::Throw => glue.push(Glue { name: "lucet_throw".to_owned(), offset, size }),
            Job::OutOfFuel => glue.push(Glue { name: "lucet_fuel".to_owned(), offset, size }),
        }
    }
    let cie = isa.create_systemv_cie().ok_or_else(|| internal("no unwind information"))?;
    plan.contract.features = plan.uses.bits();
    plan.contract.min_stack = min_stack.saturating_add(STACK_SLACK);
    Ok(Compiled {
        contract: plan.contract,
        uses: plan.uses,
        types: TypeTable { types },
        imports: plan.imports,
        exports: plan.exports,
        init: plan.init,
        data: plan.data,
        image: plan.image,
        text,
        funcs,
        glue,
        traps,
        handlers,
        hints: Hints::default(),
        unwind,
        cie,
    })
}

/// Concatenates the pieces and resolves calls between them.
fn text(
    isa: &dyn TargetIsa,
    jobs: &[Job],
    pieces: &[Piece],
) -> Result<(Vec<u8>, Vec<u32>), Errors> {
    let total: u64 = pieces.iter().map(|p| (p.code.len() as u64).next_multiple_of(64)).sum();
    if total > limits::MAX_TEXT_BYTES {
        return Err(too_large("bytes of code", total, limits::MAX_TEXT_BYTES));
    }
    let mut builder = isa.text_section_builder(pieces.len());
    let mut control = ControlPlane::default();
    let callee = |job: &Job| match *job {
        Job::Function(f) | Job::Stub(f) => Some(Target::Function(f)),
        Job::Throw => Some(Target::Throw),
        Job::OutOfFuel => Some(Target::OutOfFuel),
        Job::Entry(_) | Job::Adapter(_) => None,
    };
    let labels: HashMap<_, _> =
        jobs.iter().enumerate().filter_map(|(i, job)| Some((callee(job)?, i))).collect();
    let mut offsets: Vec<u32> = Vec::with_capacity(pieces.len());
    for p in pieces {
        let at = builder.append(true, &p.code, p.align.max(ALIGN), &mut control);
        offsets.push(at as u32);
        for c in &p.calls {
            // Labels are numbers of pieces.
            let target = labels.get(&c.target).copied();
            let target = target.ok_or_else(|| internal("call of a function without code"))?;
            let site = at + u64::from(c.offset);
            if !builder.resolve_reloc(site, c.kind, c.addend, target) {
                return Err(internal(format!("relocation {:?} is left", c.kind)));
            }
        }
    }
    let mut text = builder.finish(&mut control);
    let mut end = 0;
    for (p, start) in pieces.iter().zip(&offsets) {
        if let Some(gap) = text.get_mut(end..*start as usize) {
            gap.fill(FILL);
        }
        end = *start as usize + p.code.len();
    }
    if text.len() != end {
        return Err(internal("code behind the last function"));
    }
    Ok((text, offsets))
}

/// Records of all functions, still without code.
fn functions(plan: &Plan<'_>) -> Vec<CompiledFunc> {
    let list = plan.func_types.iter().zip(&plan.names).zip(&plan.references);
    list.map(|((ty, name), reference)| CompiledFunc {
        record: FuncRecord {
            offset: NO_CODE,
            size: 0,
            ty: *ty,
            name: 0,
            reference: *reference,
            frame: 0,
            pops: plan.types.get(*ty as usize).map_or(0, pops),
            pcmap: 0,
        },
        name: name.clone(),
        rows: Vec::new(),
    })
    .collect()
}

/// Adds the trap sites of a piece. Where one instruction has several codes the first counts.
fn sites(traps: &mut TrapTable, offset: u32, piece: &Piece) -> Result<(), Errors> {
    let mut sites: Vec<_> = piece.traps.iter().map(|(at, code)| (offset + at, *code)).collect();
    sites.sort_by_key(|(at, _)| *at);
    sites.dedup_by_key(|(at, _)| *at);
    traps.sites.extend(sites);
    let (n, max) = (traps.sites.len() as u64, limits::MAX_TRAP_SITES as u64);
    if n > max { Err(too_large("trap sites", n, max)) } else { Ok(()) }
}

/// Adds the calls of a piece that exceptions may leave to a landing pad.
fn catching(table: &mut HandlerTable, offset: u32, piece: &Piece) -> Result<(), Errors> {
    table.handlers.extend(piece.handlers.iter().map(|h| Handler {
        call: offset + h.call,
        target: offset + h.target,
        frame: h.frame,
    }));
    let (n, max) = (table.handlers.len() as u64, limits::MAX_HANDLERS as u64);
    if n > max { Err(too_large("calls that exceptions may leave", n, max)) } else { Ok(()) }
}
