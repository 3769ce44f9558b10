//! The artifact's ELF container, exactly as drawn in [`lucet_artifact::container`].
//!
//! object's writer works in two phases. First every range is *reserved*, which fixes all offsets
//! and all string offsets; then the same ranges are *written* in the same order. Virtual addresses
//! equal file offsets, so what is reserved is also the address.
//!
//! Two details serve the loader:
//!
//! * The rest of the last page of `.text` is filled with `int3` and belongs to no section, so that
//!   a page mapped executable holds code and traps, nothing else.
//! * An empty `.text` becomes [`FUNCTION_ALIGN`] bytes of `int3`: there is always code to map.
//!
//! All symbols are local: nobody links against an artifact, and names need not be unique.

use super::names::{Symbol, sanitize, symbols};
use super::sections::{self, Sections};
use super::unwind::Frames;
use super::{internal, limit};
use crate::error::{Class, Diagnostic, Errors};
use crate::model::Compiled;
use lucet_artifact::container::{EH_FRAME, EH_FRAME_HDR, FUNCTION_ALIGN, IMAGE, TEXT, TEXT_FILLER};
use lucet_artifact::limits::NATIVE_PAGE;
use lucet_artifact::trailer::Trailer;
use object::elf;
use object::write::StringId;
use object::write::elf::{FileHeader, ProgramHeader, SectionHeader, SectionIndex, Sym, Writer};
use std::borrow::Cow;

/// Alignment of `.eh_frame_hdr` and `.eh_frame`.
const FRAME_ALIGN: u64 = 8;

/// A range of the file with its section header.
struct Placed {
    name: StringId,
    offset: u64,
    size: u64,
    align: u64,
    flags: elf::SectionFlags,
    /// Loaded, at the address that equals its offset.
    alloc: bool,
}

/// Where the loaded parts lie.
struct Loaded {
    /// `.eh_frame_hdr` and `.eh_frame`.
    frames: Option<(u64, u64)>,
    header_len: u64,
    read_end: u64,
    text: u64,
    text_end: u64,
}

/// Writes the artifact, trailer included.
pub(super) fn write(c: &Compiled) -> Result<Vec<u8>, Errors> {
    let filler = [TEXT_FILLER; FUNCTION_ALIGN as usize];
    let text: &[u8] = if c.text.is_empty() { &filler } else { &c.text };
    let frames = Frames::build(c)?;
    let mut sections = Sections::build(c)?;
    let symbols = symbols(c);
    let names: Vec<_> = c.funcs.iter().map(|f| sanitize(&f.name)).collect();
    let mut out = Vec::new();
    build(c, text, frames, &mut sections, &symbols, &names, &mut out)?;
    Trailer::append(&mut out, 0, [0; 64]).map_err(limit)?;
    Ok(out)
}

fn build<'a>(
    c: &Compiled,
    text: &[u8],
    frames: Frames,
    sections: &mut Sections<'_>,
    symbols: &'a [Symbol<'_>],
    names: &'a [Cow<'_, str>],
    out: &'a mut Vec<u8>,
) -> Result<(), Errors> {
    let mut w = Writer::new(object::Endianness::Little, true, out);
    // Phase 1: reserve.
    let (loaded, mut placed) = reserve_loaded(&mut w, &frames, text.len() as u64);
    let text_section = SectionIndex(placed.len() as u32);
    for s in &sections.list {
        let (name, size) = (w.add_section_name(s.name.as_bytes()), s.bytes.len() as u64);
        w.reserve_section_index();
        let offset = w.reserve(size, sections::ALIGN);
        let (align, flags) = (sections::ALIGN, elf::SectionFlags(0));
        placed.push(Placed { name, offset, size, align, flags, alloc: false });
    }
    w.reserve_null_symbol_index();
    let symbol_names: Vec<_> = symbols
        .iter()
        .map(|s| {
            w.reserve_symbol_index(Some(text_section));
            string(&mut w, &s.name)
        })
        .collect();
    let func_names: Vec<_> = names.iter().map(|n| string(&mut w, n)).collect();
    w.require_strtab();
    w.reserve_symtab_section_index();
    w.reserve_strtab_section_index();
    w.reserve_shstrtab_section_index();
    let image_name = (!c.image.is_empty()).then(|| {
        w.reserve_section_index();
        w.add_section_name(IMAGE.as_bytes())
    });
    w.reserve_symtab();
    w.reserve_strtab().map_err(too_large)?;
    w.reserve_shstrtab().map_err(too_large)?;
    w.reserve_section_headers();
    let image = image_name.map(|name| {
        let (size, align) = (c.image.len() as u64, NATIVE_PAGE);
        let offset = w.reserve(size, align);
        Placed { name, offset, size, align, flags: elf::SectionFlags(0), alloc: false }
    });
    sections.set_names(func_names.iter().map(|id| w.string_offset(*id)))?;

    // Phase 2: write.
    write_headers(&mut w, &loaded)?;
    write_loaded(&mut w, &loaded, frames, text)?;
    for s in &sections.list {
        w.write_align(sections::ALIGN);
        w.write(&s.bytes);
    }
    write_symbols(&mut w, symbols, &symbol_names, text_section, loaded.text);
    w.write_strtab();
    w.write_shstrtab();
    w.write_null_section_header();
    for p in &placed {
        write_section_header(&mut w, p);
    }
    w.write_symtab_section_header(symbols.len() as u32 + 1);
    w.write_strtab_section_header();
    w.write_shstrtab_section_header();
    if let Some(p) = &image {
        write_section_header(&mut w, p);
        w.pad_until(p.offset);
        w.write(&c.image);
    }
    if w.len() == w.reserved_len() { Ok(()) } else { Err(internal("layout of the artifact")) }
}

fn write_symbols(
    w: &mut Writer<'_>,
    symbols: &[Symbol<'_>],
    names: &[Option<StringId>],
    section: SectionIndex,
    text: u64,
) {
    w.write_null_symbol();
    for (s, name) in symbols.iter().zip(names) {
        w.write_symbol(&Sym {
            section: Some(section.0),
            st_name: w.string_offset(*name),
            st_info: elf::SymbolInfo::new(elf::STB_LOCAL, elf::STT_FUNC),
            st_other: elf::SymbolOther(0),
            st_shndx: elf::SymbolSection(0),
            st_value: text + u64::from(s.offset),
            st_size: s.size.into(),
        });
    }
}

/// The name in `.strtab`; the empty name is offset 0.
fn string<'a>(w: &mut Writer<'a>, name: &'a str) -> Option<StringId> {
    (!name.is_empty()).then(|| w.add_string(name.as_bytes()))
}

fn too_large(e: object::write::Error) -> Errors {
    Diagnostic::new(Class::Limit, format!("the artifact's names are too large: {e}")).into()
}

/// Reserves headers, unwind information and code.
fn reserve_loaded(w: &mut Writer<'_>, frames: &Frames, text: u64) -> (Loaded, Vec<Placed>) {
    let with_frames = !frames.fixups.is_empty();
    w.reserve_file_header();
    w.reserve_program_headers(if with_frames { 4 } else { 3 });
    let mut placed = Vec::new();
    let mut place = |w: &mut Writer<'_>, name: &'static str, size, align, flags| {
        let name = w.add_section_name(name.as_bytes());
        w.reserve_section_index();
        let offset = w.reserve(size, align);
        placed.push(Placed { name, offset, size, align, flags, alloc: true });
        offset
    };
    let header_len = frames.header_len() as u64;
    let places = with_frames.then(|| {
        let size = frames.bytes.len() as u64;
        let hdr = place(w, EH_FRAME_HDR, header_len, FRAME_ALIGN, elf::SHF_ALLOC);
        (hdr, place(w, EH_FRAME, size, FRAME_ALIGN, elf::SHF_ALLOC))
    });
    let read_end = w.reserved_len();
    let code = elf::SHF_ALLOC | elf::SHF_EXECINSTR;
    let start = place(w, TEXT, text, NATIVE_PAGE, code);
    let text_end = w.reserved_len();
    w.reserve_until(text_end.next_multiple_of(NATIVE_PAGE));
    (Loaded { frames: places, header_len, read_end, text: start, text_end }, placed)
}

fn write_headers(w: &mut Writer<'_>, l: &Loaded) -> Result<(), Errors> {
    w.write_file_header(&FileHeader {
        os_abi: elf::ELFOSABI_SYSV,
        abi_version: 0,
        e_type: elf::ET_DYN,
        e_machine: elf::EM_X86_64,
        e_entry: 0,
        e_flags: elf::FileFlags(0),
    })
    .map_err(|e| internal(format!("ELF header: {e}")))?;
    w.write_align_program_headers();
    let mut header = |p_type, p_flags, start: u64, end: u64, p_align| {
        w.write_program_header(&ProgramHeader {
            p_type,
            p_flags,
            p_offset: start,
            p_vaddr: start,
            p_paddr: start,
            p_filesz: end - start,
            p_memsz: end - start,
            p_align,
        });
    };
    header(elf::PT_LOAD, elf::PF_R, 0, l.read_end, NATIVE_PAGE);
    header(elf::PT_LOAD, elf::PF_R | elf::PF_X, l.text, l.text_end, NATIVE_PAGE);
    if let Some((hdr, _)) = l.frames {
        header(elf::PT_GNU_EH_FRAME, elf::PF_R, hdr, hdr + l.header_len, FRAME_ALIGN);
    }
    // Without this header glibc's tools assume that the file wants an executable stack.
    header(elf::PT_GNU_STACK, elf::PF_R | elf::PF_W, 0, 0, 16);
    Ok(())
}

fn write_loaded(w: &mut Writer<'_>, l: &Loaded, f: Frames, text: &[u8]) -> Result<(), Errors> {
    if let Some((hdr, frame)) = l.frames {
        let (hdr_bytes, frame_bytes) = f.place(hdr, frame, l.text)?;
        w.pad_until(hdr);
        w.write(&hdr_bytes);
        w.pad_until(frame);
        w.write(&frame_bytes);
    }
    w.pad_until(l.text);
    w.write(text);
    let rest = l.text_end.next_multiple_of(NATIVE_PAGE) - l.text_end;
    w.write(&vec![TEXT_FILLER; rest as usize]);
    Ok(())
}

fn write_section_header(w: &mut Writer<'_>, p: &Placed) {
    w.write_section_header(&SectionHeader {
        sh_name: w.section_name_offset(Some(p.name)),
        sh_type: elf::SHT_PROGBITS,
        sh_flags: p.flags,
        sh_addr: if p.alloc { p.offset } else { 0 },
        sh_offset: p.offset,
        sh_size: p.size,
        sh_link: 0,
        sh_info: 0,
        sh_addralign: p.align,
        sh_entsize: 0,
    });
}
