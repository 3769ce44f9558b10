//! `--emit obj`: an object that makes an artifact a part of a program.
//!
//! It has one section of read-only data, which holds the artifact as it would be in a file, and one
//! symbol ([`lucet_artifact::linked`]). To the linker it is data; code runs only after the library
//! checked and mapped it like that of any artifact, so neither relocations nor unwind tables of the
//! program know of it.

use super::internal;
use crate::error::Errors;
use lucet_artifact::linked;
use object::write::{Object, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};

/// Writes the object.
pub(super) fn write(artifact: &[u8], symbol: &str) -> Result<Vec<u8>, Errors> {
    let mut o = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let name = linked::SECTION.as_bytes().to_vec();
    let section = o.add_section(Vec::new(), name, SectionKind::ReadOnlyData);
    let (bytes, label) = linked::section(artifact);
    o.set_section_data(section, bytes, linked::SECTION_ALIGN);
    o.add_symbol(Symbol {
        name: symbol.as_bytes().to_vec(),
        value: label as u64,
        size: linked::LABEL_BYTES as u64,
        kind: SymbolKind::Data,
        scope: SymbolScope::Linkage,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    // Without this section a linker marks its output as needing an executable stack.
    o.add_section(Vec::new(), b".note.GNU-stack".to_vec(), SectionKind::Other);
    o.write().map_err(|e| internal(format!("object file: {e}")))
}
