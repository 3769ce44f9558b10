//! `--emit obj`: a relocatable object, for linkers and for tools that want one.
//!
//! Code, unwind information, symbols and the `.lucet.*` sections, which a linker carries over
//! because they are ordinary, not loaded sections. The only relocations are those from
//! `.eh_frame` to `.text`.

use super::internal;
use super::names::symbols;
use super::sections::{self, Sections};
use super::unwind::Frames;
use crate::error::Errors;
use crate::model::Compiled;
use lucet_artifact::container::{EH_FRAME, FUNCTION_ALIGN, IMAGE};
use lucet_artifact::limits::NATIVE_PAGE;
use object::write::{Object, Relocation, StandardSection, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope, elf,
};

/// Writes the object.
pub(super) fn write(c: &Compiled) -> Result<Vec<u8>, Errors> {
    let mut o = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let text = o.section_id(StandardSection::Text);
    o.set_section_data(text, &c.text, FUNCTION_ALIGN.into());
    for s in symbols(c) {
        o.add_symbol(Symbol {
            name: s.name.as_bytes().to_vec(),
            value: s.offset.into(),
            size: s.size.into(),
            kind: SymbolKind::Text,
            scope: SymbolScope::Compilation,
            weak: false,
            section: SymbolSection::Section(text),
            flags: SymbolFlags::None,
        });
    }
    let frames = Frames::build(c)?;
    if !frames.fixups.is_empty() {
        let name = EH_FRAME.as_bytes().to_vec();
        let section = o.add_section(Vec::new(), name, SectionKind::ReadOnlyData);
        o.set_section_data(section, frames.bytes, 8);
        let symbol = o.section_symbol(text);
        for f in &frames.fixups {
            let flags = RelocationFlags::Elf { r_type: elf::R_X86_64_PC32 };
            let (offset, addend) = (f.field as u64, i64::from(f.text_offset));
            o.add_relocation(section, Relocation { offset, symbol, addend, flags })
                .map_err(failed)?;
        }
    }
    let sections = Sections::build(c)?;
    let image = sections::Section { name: IMAGE, bytes: (&c.image).into() };
    let image = (!c.image.is_empty()).then_some((image, NATIVE_PAGE));
    for (s, align) in sections.list.into_iter().map(|s| (s, sections::ALIGN)).chain(image) {
        let name = s.name.as_bytes().to_vec();
        let id = o.add_section(Vec::new(), name, SectionKind::Metadata);
        o.set_section_data(id, s.bytes.into_owned(), align);
    }
    // Without this section a linker marks its output as needing an executable stack.
    o.add_section(Vec::new(), b".note.GNU-stack".to_vec(), SectionKind::Other);
    o.write().map_err(failed)
}

fn failed(e: object::write::Error) -> Errors {
    internal(format!("object file: {e}"))
}
