//! Tells *malformed* from *invalid*: decodes every byte of a module without validating it.
//!
//! wasmparser's messages carry no class, so when validation fails this pass runs as well. What it
//! refuses does not follow the binary grammar (core spec, chapter 5); what it accepts was refused
//! by a validation rule (chapter 3). It only runs on modules that are refused anyway.

use wasmparser::{
    BinaryReader, ElementItems, FromReader, FunctionBody, Operator, Parser, Payload,
    SectionLimited, WasmFeatures,
};

/// Why and where decoding failed.
#[derive(Debug)]
pub struct Malformed {
    /// What is wrong.
    pub message: String,
    /// Offset in the wasm file.
    pub offset: u64,
}

impl From<wasmparser::Error> for Malformed {
    fn from(e: wasmparser::Error) -> Self {
        Self { message: e.message().to_owned(), offset: e.offset() }
    }
}

fn malformed<T>(message: &str, offset: u64) -> Result<T, Malformed> {
    Err(Malformed { message: message.to_owned(), offset })
}

/// The bit means "shared" in a proposal that is not compiled; in the specification, nothing.
const SHARED_GLOBAL: &str =
    "malformed mutability: shared globals need shared-everything-threads, which is not supported";

/// What relates sections to each other in the grammar of a module (5.5.16).
#[derive(Default)]
struct Sections {
    last: u32,
    functions: u32,
    bodies: u32,
    data_count: Option<u32>,
    datas: u32,
    // Offset of the first operator that needs a data count section.
    needs_data_count: Option<u64>,
}

/// Decodes a module with the binary grammar that `features` imply.
pub fn decode(wasm: &[u8], features: WasmFeatures) -> Result<(), Malformed> {
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let mut s = Sections::default();
    let mut end = 0;
    for payload in parser.parse_all(wasm) {
        let payload = payload?;
        if let Payload::End(offset) = payload {
            end = offset;
        }
        section(&mut s, payload)?;
    }
    if s.functions != s.bodies {
        return malformed("function and code section have inconsistent lengths", end);
    }
    match (s.data_count, s.needs_data_count) {
        (Some(n), _) if n != s.datas => {
            malformed("data count and data section have inconsistent lengths", end)
        }
        (None, Some(offset)) => malformed("data count section required", offset),
        _ => Ok(()),
    }
}

/// Position of a section in a module; custom sections may stand anywhere.
fn rank(payload: &Payload<'_>) -> Option<(u32, u64)> {
    Some(match payload {
        Payload::TypeSection(r) => (1, r.range().start),
        Payload::ImportSection(r) => (2, r.range().start),
        Payload::FunctionSection(r) => (3, r.range().start),
        Payload::TableSection(r) => (4, r.range().start),
        Payload::MemorySection(r) => (5, r.range().start),
        Payload::TagSection(r) => (6, r.range().start),
        Payload::GlobalSection(r) => (7, r.range().start),
        Payload::ExportSection(r) => (8, r.range().start),
        Payload::StartSection { range, .. } => (9, range.start),
        Payload::ElementSection(r) => (10, r.range().start),
        Payload::DataCountSection { range, .. } => (11, range.start),
        Payload::CodeSectionStart { unchecked_range, .. } => (12, unchecked_range.start),
        Payload::DataSection(r) => (13, r.range().start),
        _ => return None,
    })
}

fn section(s: &mut Sections, payload: Payload<'_>) -> Result<(), Malformed> {
    if let Some((rank, offset)) = rank(&payload) {
        if rank <= s.last {
            return malformed("section out of order or repeated", offset);
        }
        s.last = rank;
    }
    match payload {
        Payload::TypeSection(r) => all(r)?,
        Payload::ImportSection(r) => {
            let start = r.range().start;
            for import in r.into_imports() {
                if let wasmparser::TypeRef::Global(g) = import?.ty
                    && g.shared
                {
                    return malformed(SHARED_GLOBAL, start);
                }
            }
        }
        Payload::FunctionSection(r) => {
            s.functions = r.count();
            all(r)?;
        }
        Payload::TableSection(r) => all(r)?,
        Payload::MemorySection(r) => all(r)?,
        Payload::TagSection(r) => all(r)?,
        Payload::GlobalSection(r) => {
            let start = r.range().start;
            for global in r {
                if global?.ty.shared {
                    return malformed(SHARED_GLOBAL, start);
                }
            }
        }
        Payload::ExportSection(r) => all(r)?,
        Payload::ElementSection(r) => {
            for elem in r {
                match elem?.items {
                    ElementItems::Functions(items) => all(items)?,
                    ElementItems::Expressions(_, items) => all(items)?,
                }
            }
        }
        Payload::DataCountSection { count, .. } => s.data_count = Some(count),
        Payload::DataSection(r) => {
            s.datas = r.count();
            all(r)?;
        }
        Payload::CodeSectionStart { count, .. } => s.bodies = count,
        Payload::CodeSectionEntry(body) => function(s, &body)?,
        Payload::UnknownSection { range, .. } => {
            return malformed("malformed section id", range.start);
        }
        _ => {}
    }
    Ok(())
}

/// Reads every item of a section and checks that nothing follows the last.
fn all<'a, T: FromReader<'a>>(section: SectionLimited<'a, T>) -> Result<(), Malformed> {
    for item in section {
        item?;
    }
    Ok(())
}

fn function(s: &mut Sections, body: &FunctionBody<'_>) -> Result<(), Malformed> {
    let mut locals = body.get_locals_reader()?;
    for _ in 0..locals.get_count() {
        locals.read()?;
    }
    let reader: BinaryReader<'_> = locals.get_binary_reader();
    let mut ops = wasmparser::OperatorsReader::new(reader);
    while !ops.eof() {
        let (op, offset) = ops.read_with_offset()?;
        if matches!(op, Operator::MemoryInit { .. } | Operator::DataDrop { .. }) {
            s.needs_data_count.get_or_insert(offset);
        }
    }
    ops.finish()?;
    Ok(())
}
