//! The fixed facts of the ELF container: section names, order and alignment.
//!
//! ```text
//!  file offset 0  ┌──────────────────────────────┐
//!                 │ ELF header, program headers  │ ┐ PT_LOAD R
//!                 │ .eh_frame_hdr   .eh_frame    │ ┘ (also PT_GNU_EH_FRAME)
//!  page aligned   ├──────────────────────────────┤
//!                 │ .text                        │   PT_LOAD R+X
//!                 ├──────────────────────────────┤
//!                 │ .lucet.contract … .lucet.data│   not loaded, read once by the loader
//!                 │ .symtab .strtab .shstrtab    │
//!                 │ section headers              │
//!  page aligned   ├──────────────────────────────┤
//!                 │ .lucet.image                 │   pages of the initial memory; may be absent
//!                 ├──────────────────────────────┤
//!                 │ trailer (512 bytes)          │   outside every section, outside its own hash
//!                 └──────────────────────────────┘
//! ```
//!
//! There is no `PT_DYNAMIC`: no `DT_NEEDED`, no relocation, no constructor, and `dlopen` refuses
//! the file. In loaded segments virtual address = file offset.

/// Machine code; 4096-aligned in the file, tiled by functions.
pub const TEXT: &str = ".text";
/// Call frame information for native unwinders.
pub const EH_FRAME: &str = ".eh_frame";
/// Binary search table over [`EH_FRAME`].
pub const EH_FRAME_HDR: &str = ".eh_frame_hdr";
/// [`crate::contract::Contract`].
pub const CONTRACT: &str = ".lucet.contract";
/// [`crate::types::TypeTable`]: distinct function types and their trampolines.
pub const TYPES: &str = ".lucet.types";
/// [`crate::contract::Imports`].
pub const IMPORTS: &str = ".lucet.imports";
/// [`crate::contract::Exports`].
pub const EXPORTS: &str = ".lucet.exports";
/// [`crate::code::FuncTable`].
pub const FUNCS: &str = ".lucet.funcs";
/// [`crate::code::TrapTable`].
pub const TRAPS: &str = ".lucet.traps";
/// [`crate::code::HandlerTable`]: where exceptions are caught; in modules that catch any.
pub const HANDLERS: &str = ".lucet.handlers";
/// [`crate::code::PcMap`].
pub const PCMAP: &str = ".lucet.pcmap";
/// [`crate::code::Hints`]: ranges of constants and jump tables in `.text`.
pub const HINTS: &str = ".lucet.hints";
/// [`crate::init::Init`]: globals, tables, segments, image runs.
pub const INIT: &str = ".lucet.init";
/// Bytes of data segments that are not part of the image.
pub const DATA: &str = ".lucet.data";
/// Pages of the initial memory 0, in the order of [`crate::init::Init::image`].
pub const IMAGE: &str = ".lucet.image";
/// [`crate::snapshot::Snapshot`]; in snapshots only.
pub const SNAPSHOT: &str = ".lucet.snapshot";
/// Symbols of the functions.
pub const SYMTAB: &str = ".symtab";
/// Names of the symbols.
pub const STRTAB: &str = ".strtab";
/// Names of the sections.
pub const SHSTRTAB: &str = ".shstrtab";

/// Every section an artifact may have, in file order. Any other name is refused by the loader.
pub const SECTION_ORDER: [&str; 19] = [
    EH_FRAME_HDR,
    EH_FRAME,
    TEXT,
    CONTRACT,
    TYPES,
    IMPORTS,
    EXPORTS,
    FUNCS,
    TRAPS,
    HANDLERS,
    PCMAP,
    HINTS,
    INIT,
    DATA,
    SNAPSHOT,
    SYMTAB,
    STRTAB,
    SHSTRTAB,
    IMAGE,
];

/// Sections without which an artifact is refused.
pub const REQUIRED: [&str; 11] =
    [TEXT, CONTRACT, TYPES, IMPORTS, EXPORTS, FUNCS, TRAPS, PCMAP, INIT, STRTAB, SHSTRTAB];

/// Alignment of functions inside `.text`, in bytes; the gaps are filled with `int3`.
pub const FUNCTION_ALIGN: u32 = 32;
/// Filler between functions: `int3`.
pub const TEXT_FILLER: u8 = 0xcc;
