//! From bytes to [`Parsed`]: the module's sections as plain data, after validation.
//!
//! ```text
//!  bytes ─wat─► wasm ─validate─► (valid, all features known) ─collect─► Parsed
//!                        └─► Malformed | Invalid | Unsupported | Limit
//! ```
//!
//! Function bodies stay undecoded; `translate` reads them one by one, on several threads.

mod collect;
mod decode;
mod names;
mod validate;

use crate::error::{Class, Diagnostic, Errors};
use crate::limits::{Limit, Limits};
use lucet_artifact::contract::{Export, Import};
use lucet_artifact::init::{ConstExpr, ElemSegment, SegmentMode};
use lucet_artifact::types::{FuncType, GlobalType, MemoryType, TableType};
use std::borrow::Cow;
use std::collections::BTreeMap;
use wasmparser::FunctionBody;

/// Longest line of a message that quotes the input, in characters.
const MAX_LINE: usize = 200;

/// A data segment with its bytes.
#[derive(Debug)]
pub struct Data<'a> {
    /// Passive, or active with target and offset.
    pub mode: SegmentMode,
    /// The bytes, borrowed from the wasm file.
    pub bytes: &'a [u8],
}

/// How many of each kind a module imports; imported ones come first in every index space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Functions.
    pub funcs: u32,
    /// Tables.
    pub tables: u32,
    /// Memories.
    pub memories: u32,
    /// Globals.
    pub globals: u32,
    /// Exception tags.
    pub tags: u32,
}

/// A valid module that uses supported features only. Indices are those of the wasm file.
#[derive(Debug, Default)]
pub struct Parsed<'a> {
    /// The type section.
    pub types: Vec<FuncType>,
    /// Imports; those of functions and tags hold a *wasm* type index here, as concrete reference
    /// types do everywhere.
    pub imports: Vec<Import>,
    /// How many of each kind are imported.
    pub imported: Imported,
    /// Wasm type index of every function.
    pub funcs: Vec<u32>,
    /// Tables.
    pub tables: Vec<TableType>,
    /// Memories, as declared.
    pub memories: Vec<MemoryType>,
    /// Globals.
    pub globals: Vec<GlobalType>,
    /// Wasm type index of every exception tag.
    pub tags: Vec<u32>,
    /// Exports.
    pub exports: Vec<Export>,
    /// Start function.
    pub start: Option<u32>,
    /// Initial values of own globals.
    pub global_inits: Vec<ConstExpr>,
    /// What the elements of own tables are at first, if not null.
    pub table_inits: Vec<Option<ConstExpr>>,
    /// Element segments.
    pub elems: Vec<ElemSegment>,
    /// Data segments.
    pub datas: Vec<Data<'a>>,
    /// Bodies of own functions.
    pub bodies: Vec<FunctionBody<'a>>,
    /// Function names of the name section.
    pub names: BTreeMap<u32, String>,
    /// Bits of [`lucet_artifact::contract::feature`] seen outside of function bodies.
    pub features: u64,
}

/// Bytes of a wasm module for text or binary input.
///
/// Text that does not parse is [`Class::Malformed`].
pub fn to_wasm<'a>(input: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>, Errors> {
    let too_large = |bytes: &[u8]| bytes.len() as u64 > limits.get(Limit::ModuleSize);
    if too_large(input) {
        return Err(Limit::ModuleSize.exceeded(limits).into());
    }
    if input.starts_with(b"\0asm") {
        return Ok(Cow::Borrowed(input));
    }
    match wat::parse_bytes(input) {
        Ok(wasm) if too_large(&wasm) => Err(Limit::ModuleSize.exceeded(limits).into()),
        Ok(wasm) => Ok(wasm),
        Err(e) => Err(Diagnostic::new(Class::Malformed, shorten(&e.to_string()))
            .help("the input is neither binary (\"\\0asm\") nor valid text format")
            .into()),
    }
}

/// The message of the text parser without what is too long to read: it quotes the line, which may
/// be the whole file, and points at a place in it.
fn shorten(message: &str) -> String {
    let short = |line: &str| line.chars().take(MAX_LINE).collect::<String>();
    message.trim_end().lines().map(short).collect::<Vec<_>>().join("\n")
}

/// Validates and collects a binary module.
pub fn parse<'a>(wasm: &'a [u8], limits: &Limits) -> Result<Parsed<'a>, Errors> {
    validate::validate(wasm)?;
    collect::collect(wasm, limits)
}

impl Parsed<'_> {
    /// Value type for wasmparser's, if it is a supported one.
    #[must_use]
    pub fn val_type(t: wasmparser::ValType) -> Option<lucet_artifact::types::ValType> {
        collect::val_type(t).ok()
    }

    /// Bits of [`lucet_artifact::contract::feature`] of the proposals that brought a type.
    #[must_use]
    pub fn features_of(t: lucet_artifact::types::ValType) -> u64 {
        collect::features_of(t)
    }
}
