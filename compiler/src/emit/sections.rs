//! The `.lucet.*` sections of a module as bytes, in the order they have in the file.
//!
//! Each is encoded by the type in `lucet-artifact` that the loader decodes it with. Empty sections
//! that the loader does not require are left out.

use super::{internal, limit};
use crate::error::Errors;
use crate::model::Compiled;
use lucet_artifact::code::{FuncRecord, FuncTable, PcMap};
use lucet_artifact::container::{
    CONTRACT, DATA, EXPORTS, FUNCS, HANDLERS, HINTS, IMPORTS, INIT, PCMAP, TRAPS, TYPES,
};
use std::borrow::Cow;

/// Alignment in the file: lets a reader look at `u64`s in place.
pub(super) const ALIGN: u64 = 8;

/// A section that is not loaded.
pub(super) struct Section<'a> {
    /// Its name, one of [`lucet_artifact::container::SECTION_ORDER`].
    pub name: &'static str,
    /// Its contents.
    pub bytes: Cow<'a, [u8]>,
}

/// Everything between `.text` and `.symtab`.
pub(super) struct Sections<'a> {
    /// The sections in file order. [`FUNCS`] is among them, with names not yet filled in.
    pub list: Vec<Section<'a>>,
    funcs: Vec<FuncRecord>,
}

impl<'a> Sections<'a> {
    /// Encodes the sections.
    pub fn build(c: &'a Compiled) -> Result<Self, Errors> {
        let mut pcmap = PcMap::new();
        let funcs: Vec<_> = c
            .funcs
            .iter()
            .map(|f| FuncRecord { name: 0, pcmap: pcmap.push(&f.rows), ..f.record })
            .collect();
        let pcmap = pcmap.into_bytes();
        if u32::try_from(pcmap.len()).is_err() {
            return Err(internal("the pc map exceeds 4 GiB"));
        }
        let mut list = Vec::new();
        let mut add = |name, bytes: Vec<u8>| list.push(Section { name, bytes: bytes.into() });
        add(CONTRACT, c.contract.encode().map_err(limit)?);
        add(TYPES, c.types.encode().map_err(limit)?);
        add(IMPORTS, c.imports.encode().map_err(limit)?);
        add(EXPORTS, c.exports.encode().map_err(limit)?);
        add(FUNCS, encode_funcs(&funcs)?);
        add(TRAPS, c.traps.encode().map_err(limit)?);
        if !c.handlers.handlers.is_empty() {
            add(HANDLERS, c.handlers.encode().map_err(limit)?);
        }
        add(PCMAP, pcmap);
        if !c.hints.data.is_empty() {
            add(HINTS, c.hints.encode().map_err(limit)?);
        }
        add(INIT, c.init.encode().map_err(limit)?);
        if !c.data.is_empty() {
            list.push(Section { name: DATA, bytes: (&c.data).into() });
        }
        Ok(Self { list, funcs })
    }

    /// Fills in the functions' names, offsets in `.strtab` in index order. The size of the section
    /// does not change, so this may happen after layout.
    pub fn set_names(&mut self, names: impl Iterator<Item = u32>) -> Result<(), Errors> {
        for (f, name) in self.funcs.iter_mut().zip(names) {
            f.name = name;
        }
        let bytes = encode_funcs(&self.funcs)?;
        match self.list.iter_mut().find(|s| s.name == FUNCS) {
            Some(s) if s.bytes.len() == bytes.len() => s.bytes = bytes.into(),
            _ => return Err(internal("function records changed their size")),
        }
        Ok(())
    }
}

fn encode_funcs(funcs: &[FuncRecord]) -> Result<Vec<u8>, Errors> {
    FuncTable { funcs: funcs.to_vec() }.encode().map_err(limit)
}
