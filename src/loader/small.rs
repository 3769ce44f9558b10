//! How much memory the small things of an artifact may take, estimated before they are read.

#![forbid(unsafe_code)]

use crate::sys::reserve;
use lucet_artifact::container::{
    DATA, EH_FRAME, EH_FRAME_HDR, FUNCS, HANDLERS, HINTS, IMAGE, PCMAP, SECTION_ORDER, SHSTRTAB,
    STRTAB, SYMTAB, TEXT, TRAPS,
};
use lucet_artifact::elf::Elf;

/// Bytes of memory that become of one byte of a section, at most: lists whose items take one byte
/// in the file and a few words in memory, each twice while they grow or are looked up; or a message
/// that quotes a name with every character escaped.
const BYTES_PER_BYTE: usize = 64;
/// The same for sections of records, which are about as large in memory.
const BYTES_PER_BYTE_OF_RECORDS: usize = 8;

/// See [`super::Loaded::small_things`].
pub(super) fn small_things(elf: &Elf) -> usize {
    let factor = |name: &str| match name {
        FUNCS | TRAPS | HANDLERS | HINTS => BYTES_PER_BYTE_OF_RECORDS,
        // Used where they are, or not at all.
        TEXT | EH_FRAME | EH_FRAME_HDR | DATA | PCMAP | SYMTAB | STRTAB | SHSTRTAB | IMAGE => 0,
        _ => BYTES_PER_BYTE,
    };
    let bytes = SECTION_ORDER.iter().map(|name| match elf.section(name) {
        Some(range) => range.len().saturating_mul(factor(name)),
        None => 0,
    });
    bytes.fold(reserve::ROOM, usize::saturating_add)
}
