//! Reads the ELF container: file header, program headers, section headers, and nothing else.
//!
//! This is not an ELF loader. An artifact is a tiny, fixed dialect of ELF that exists so that
//! debuggers, profilers and `readelf` understand it; the reader accepts exactly what lucetc writes
//! and refuses everything that ELF would allow beyond it: an interpreter, a dynamic section,
//! thread-local storage, relocations, writable or unknown sections, several code segments.
//!
//! ```text
//!  0        64                                                             body_len
//!  ├────────┼─────────┬───────┬───┬──────┬──────────────────┬────────┬───────┤
//!  │ header │ program │ .eh…  │pad│.text │ .lucet.* .symtab │section │.image │ trailer
//!  │        │ headers │       │   │      │ .strtab …        │headers │       │
//!  ├────────┴─────────┴───────┤   ├──────┤                  └────────┴───────┘
//!  │ PT_LOAD R                │   │ PT_LOAD R X                 pages ┘
//! ```
//!
//! All arithmetic is in `u64` with checks, all access by `get`. Every error names the field, where
//! it lies in the file, and the value found.

use crate::codec::{DecodeError, Reader};
use crate::container::{
    EH_FRAME, EH_FRAME_HDR, IMAGE, REQUIRED, SECTION_ORDER, SHSTRTAB, STRTAB, SYMTAB, TEXT,
    TEXT_FILLER,
};
use crate::limits::{MAX_IMAGE_BYTES, MAX_TEXT_BYTES, NATIVE_PAGE};
use crate::symbols::{SYM_BYTES, Targets, check_symbols};
use std::fmt;
use std::ops::Range;

/// First bytes of an ELF file: magic, 64 bits, little-endian, version 1, System V.
const IDENT: [u8; 16] = [0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const EHDR: u64 = 64;
const PHDR: u64 = 56;
const SHDR: u64 = 64;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const PF_R: u32 = 4;
const SHT_PROGBITS: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHF_ALLOC: u64 = 2;
const SHF_EXECINSTR: u64 = 4;
/// Two PT_LOAD, PT_GNU_EH_FRAME, PT_GNU_STACK.
const MAX_SEGMENTS: u16 = 4;

/// What kind of refusal an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Damaged, or never written by lucetc.
    InvalidArtifact,
    /// For another machine.
    UnsupportedArtifact,
}

/// Why a container is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What kind of refusal it is.
    pub status: Status,
    /// What is wrong and where.
    pub message: String,
}

impl Error {
    fn new(status: Status, message: String) -> Self {
        Self { status, message }
    }

    /// Puts context in front of the message.
    fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Result of reading a container.
pub type Result<T> = std::result::Result<T, Error>;

/// Where each section lies in the file.
#[derive(Debug)]
pub struct Elf {
    sections: [Option<Range<usize>>; SECTION_ORDER.len()],
}

impl Elf {
    /// The bytes of a section in the file, or `None` if the artifact does not have it.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<Range<usize>> {
        let i = SECTION_ORDER.iter().position(|s| *s == name)?;
        self.sections.get(i)?.clone()
    }
}

struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    filesz: u64,
    /// Where its header lies in the file.
    at: u64,
}

impl Segment {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.filesz)
    }
}

struct Section {
    name: u32,
    kind: u32,
    flags: u64,
    addr: u64,
    offset: u64,
    size: u64,
    link: u32,
    info: u32,
    align: u64,
    entsize: u64,
    /// Where its header lies in the file.
    at: u64,
}

impl Section {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }
}

/// File offset of the program or section header table, and number of headers.
struct Header {
    phnum: u16,
    shoff: u64,
    shnum: u16,
    shstrndx: u16,
}

fn invalid(message: String) -> Error {
    Error::new(Status::InvalidArtifact, message)
}

pub(crate) fn bad(what: &str, at: u64, found: u64) -> Error {
    invalid(format!("{what} at file offset {at:#x} has the invalid value {found:#x}"))
}

pub(crate) fn check(ok: bool, what: &str, at: u64, found: u64) -> Result<()> {
    if ok { Ok(()) } else { Err(bad(what, at, found)) }
}

fn truncated(e: &DecodeError) -> Error {
    invalid(format!("ELF header: {e}"))
}

pub(crate) fn u16(r: &mut Reader<'_>, what: &'static str) -> Result<u16> {
    let mut bytes = [0; 2];
    bytes.copy_from_slice(r.take(2, what).map_err(|e| truncated(&e))?);
    Ok(u16::from_le_bytes(bytes))
}

pub(crate) fn u32(r: &mut Reader<'_>, what: &'static str) -> Result<u32> {
    r.u32(what).map_err(|e| truncated(&e))
}

pub(crate) fn u64(r: &mut Reader<'_>, what: &'static str) -> Result<u64> {
    r.u64(what).map_err(|e| truncated(&e))
}

/// Reads and checks the container. `body` is the file without its trailer.
///
/// # Errors
///
/// What lucetc would not have written, and where it stands.
pub fn parse(body: &[u8]) -> Result<Elf> {
    let header = read_header(body)?;
    let (code, data) = read_segments(body, &header)?;
    let sections = read_sections(body, &header)?;
    check_sections(body, &header, &sections, &code, &data)
}

fn read_header(body: &[u8]) -> Result<Header> {
    let len = body.len() as u64;
    let mut r = Reader::new(body);
    let ident = r.take(16, "e_ident").map_err(|e| truncated(&e))?;
    if let Some(i) = ident.iter().zip(IDENT).position(|(a, b)| *a != b) {
        return Err(bad("e_ident", i as u64, ident.get(i).copied().unwrap_or(0).into()));
    }
    let kind = u16(&mut r, "e_type")?;
    check(kind == ET_DYN, "e_type", 16, kind.into())?;
    let machine = u16(&mut r, "e_machine")?;
    if machine != EM_X86_64 {
        let message = format!("compiled for another machine (e_machine {machine}), not for x86-64");
        return Err(Error::new(Status::UnsupportedArtifact, message));
    }
    let version = u32(&mut r, "e_version")?;
    check(version == 1, "e_version", 20, version.into())?;
    let entry = u64(&mut r, "e_entry")?;
    check(entry == 0, "e_entry", 24, entry)?;
    let phoff = u64(&mut r, "e_phoff")?;
    check(phoff == EHDR, "e_phoff", 32, phoff)?;
    let shoff = u64(&mut r, "e_shoff")?;
    let flags = u32(&mut r, "e_flags")?;
    check(flags == 0, "e_flags", 48, flags.into())?;
    let ehsize = u16(&mut r, "e_ehsize")?;
    check(u64::from(ehsize) == EHDR, "e_ehsize", 52, ehsize.into())?;
    let phentsize = u16(&mut r, "e_phentsize")?;
    check(u64::from(phentsize) == PHDR, "e_phentsize", 54, phentsize.into())?;
    let phnum = u16(&mut r, "e_phnum")?;
    check((2..=MAX_SEGMENTS).contains(&phnum), "e_phnum", 56, phnum.into())?;
    let shentsize = u16(&mut r, "e_shentsize")?;
    check(u64::from(shentsize) == SHDR, "e_shentsize", 58, shentsize.into())?;
    let shnum = u16(&mut r, "e_shnum")?;
    let most = SECTION_ORDER.len() + 1;
    check(
        (REQUIRED.len() < usize::from(shnum)) && usize::from(shnum) <= most,
        "e_shnum",
        60,
        shnum.into(),
    )?;
    let end = shoff.checked_add(u64::from(shnum) * SHDR).filter(|end| *end <= len);
    check(end.is_some() && shoff.is_multiple_of(8), "e_shoff", 40, shoff)?;
    let shstrndx = u16(&mut r, "e_shstrndx")?;
    check(shstrndx != 0 && shstrndx < shnum, "e_shstrndx", 62, shstrndx.into())?;
    Ok(Header { phnum, shoff, shnum, shstrndx })
}

fn reader_at(body: &[u8], at: u64) -> Reader<'_> {
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    Reader::new(body.get(at..).unwrap_or_default())
}

/// Reads the program headers and checks all there is to check about them without sections. Returns
/// the executable and the read-only segment; checks of the other two need the sections.
fn read_segments(body: &[u8], header: &Header) -> Result<(Segment, Segments)> {
    let mut r = reader_at(body, EHDR);
    let (mut code, mut data, mut frames, mut stack) = (None, None, None, false);
    for i in 0..u64::from(header.phnum) {
        let s = read_segment(&mut r, EHDR + i * PHDR, body.len() as u64)?;
        match s.kind {
            PT_LOAD if s.flags == PF_R && data.is_none() && code.is_none() => data = Some(s),
            PT_LOAD if s.flags == PF_R | PF_X && data.is_some() && code.is_none() => code = Some(s),
            PT_GNU_EH_FRAME if frames.is_none() => {
                check(s.flags == PF_R, "p_flags", s.at + 4, s.flags.into())?;
                frames = Some(s);
            }
            PT_GNU_STACK if !stack => {
                let flags_ok = s.flags & PF_X == 0 && s.flags & !(PF_R | PF_W) == 0;
                check(flags_ok, "p_flags of PT_GNU_STACK", s.at + 4, s.flags.into())?;
                check(s.filesz == 0, "p_filesz of PT_GNU_STACK", s.at + 32, s.filesz)?;
                stack = true;
            }
            PT_LOAD => return Err(bad("p_flags or order of PT_LOAD", s.at + 4, s.flags.into())),
            _ => return Err(bad("p_type", s.at, s.kind.into())),
        }
    }
    let (Some(data), Some(code)) = (data, code) else {
        return Err(invalid("one of the two PT_LOAD segments is missing".to_owned()));
    };
    check(data.offset == 0, "p_offset of the first segment", data.at + 8, data.offset)?;
    let headers_end = EHDR + u64::from(header.phnum) * PHDR;
    check(data.filesz >= headers_end, "p_filesz", data.at + 32, data.filesz)?;
    let aligned = code.offset.is_multiple_of(NATIVE_PAGE);
    check(aligned && code.offset >= data.end(), "p_offset of code", code.at + 8, code.offset)?;
    Ok((code, Segments { data, frames }))
}

/// The segments that hold no code.
struct Segments {
    data: Segment,
    frames: Option<Segment>,
}

fn read_segment(r: &mut Reader<'_>, at: u64, len: u64) -> Result<Segment> {
    let kind = u32(r, "p_type")?;
    let flags = u32(r, "p_flags")?;
    let offset = u64(r, "p_offset")?;
    let vaddr = u64(r, "p_vaddr")?;
    check(vaddr == offset, "p_vaddr", at + 16, vaddr)?;
    let paddr = u64(r, "p_paddr")?;
    check(paddr == vaddr || paddr == 0, "p_paddr", at + 24, paddr)?;
    let filesz = u64(r, "p_filesz")?;
    let in_file = offset.checked_add(filesz).is_some_and(|end| end <= len);
    check(offset <= len, "p_offset", at + 8, offset)?;
    check(in_file, "p_filesz", at + 32, filesz)?;
    let memsz = u64(r, "p_memsz")?;
    check(memsz == filesz, "p_memsz", at + 40, memsz)?;
    let align = u64(r, "p_align")?;
    let align_ok = match kind {
        PT_LOAD => align == NATIVE_PAGE,
        _ => align == 0 || (align.is_power_of_two() && align <= NATIVE_PAGE),
    };
    check(align_ok, "p_align", at + 48, align)?;
    Ok(Segment { kind, flags, offset, filesz, at })
}

fn read_sections(body: &[u8], header: &Header) -> Result<Vec<Section>> {
    let mut r = reader_at(body, header.shoff);
    let null = r.take(64, "section header 0").map_err(|e| truncated(&e))?;
    if null.iter().any(|b| *b != 0) {
        return Err(invalid(format!("section header 0 at {:#x} is not zero", header.shoff)));
    }
    let mut sections = Vec::with_capacity(header.shnum.into());
    for i in 1..u64::from(header.shnum) {
        sections.push(Section {
            name: u32(&mut r, "sh_name")?,
            kind: u32(&mut r, "sh_type")?,
            flags: u64(&mut r, "sh_flags")?,
            addr: u64(&mut r, "sh_addr")?,
            offset: u64(&mut r, "sh_offset")?,
            size: u64(&mut r, "sh_size")?,
            link: u32(&mut r, "sh_link")?,
            info: u32(&mut r, "sh_info")?,
            align: u64(&mut r, "sh_addralign")?,
            entsize: u64(&mut r, "sh_entsize")?,
            at: header.shoff + i * SHDR,
        });
    }
    Ok(sections)
}

/// The name at `offset` of the table of section names.
fn section_name<'a>(body: &'a [u8], names: &Section, s: &Section) -> Result<&'a str> {
    let range = usize::try_from(names.offset).ok().zip(usize::try_from(names.end()).ok());
    let table = range.and_then(|(a, b)| body.get(a..b)).unwrap_or_default();
    let rest = table.get(s.name as usize..).unwrap_or_default();
    let end = rest.iter().position(|b| *b == 0);
    let name = end.and_then(|end| rest.get(..end)).and_then(|n| std::str::from_utf8(n).ok());
    name.ok_or_else(|| bad("sh_name", s.at, s.name.into()))
}

fn check_sections(
    body: &[u8],
    header: &Header,
    sections: &[Section],
    code: &Segment,
    segments: &Segments,
) -> Result<Elf> {
    let len = body.len() as u64;
    let headers = header.shoff..header.shoff + u64::from(header.shnum) * SHDR;
    let names = sections
        .get(usize::from(header.shstrndx) - 1)
        .ok_or_else(|| bad("e_shstrndx", 62, header.shstrndx.into()))?;
    check(names.offset <= len && names.end() <= len, "sh_offset", names.at + 24, names.offset)?;
    let mut found = [const { None }; SECTION_ORDER.len()];
    let mut next_index = 0;
    let mut next_offset = EHDR + u64::from(header.phnum) * PHDR;
    for s in sections {
        let name = section_name(body, names, s)?;
        let Some(i) = SECTION_ORDER.iter().position(|n| *n == name) else {
            return Err(invalid(format!("unknown section {name:?}")));
        };
        if i < next_index {
            return Err(invalid(format!("section {name} is repeated or out of order")));
        }
        next_index = i + 1;
        let in_section = |e: Error| e.context(format_args!("section {name}"));
        check_section(name, s, len, next_offset).map_err(in_section)?;
        let apart = s.end() <= headers.start || s.offset >= headers.end;
        check(apart, "sh_offset", s.at + 24, s.offset).map_err(in_section)?;
        check_place(name, s, code, segments).map_err(in_section)?;
        if name == SYMTAB {
            let target = sections.get((s.link as usize).wrapping_sub(1));
            let linked = target.map(|t| section_name(body, names, t)).transpose()?;
            check(linked == Some(STRTAB), "sh_link", s.at + 40, s.link.into())
                .map_err(in_section)?;
        }
        if name == SHSTRTAB && !std::ptr::eq(s, names) {
            return Err(bad("e_shstrndx", 62, header.shstrndx.into()));
        }
        // Empty sections occupy nothing and do not move the mark.
        next_offset = next_offset.max(s.end());
        if let Some(slot) = found.get_mut(i) {
            *slot = usize::try_from(s.offset).ok().zip(usize::try_from(s.end()).ok());
        }
    }
    let elf = Elf { sections: found.map(|r| r.map(|(a, b)| a..b)) };
    for name in REQUIRED {
        if elf.section(name).is_none() {
            return Err(invalid(format!("section {name} is missing")));
        }
    }
    if headers.start < segments.data.end() {
        return Err(bad("e_shoff", 40, header.shoff));
    }
    check_frames(&elf, segments)?;
    check_symtab(body, sections, &elf)?;
    check_gaps(body, header, &elf)?;
    let end = next_offset.max(headers.end);
    if end != len {
        return Err(invalid(format!("unused bytes follow at file offset {end:#x}")));
    }
    Ok(elf)
}

/// What must hold for a section alone.
fn check_section(name: &str, s: &Section, len: u64, lowest: u64) -> Result<()> {
    let (kind, flags) = match name {
        TEXT => (SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR),
        EH_FRAME | EH_FRAME_HDR => (SHT_PROGBITS, SHF_ALLOC),
        SYMTAB => (SHT_SYMTAB, 0),
        STRTAB | SHSTRTAB => (SHT_STRTAB, 0),
        _ => (SHT_PROGBITS, 0),
    };
    check(s.kind == kind, "sh_type", s.at + 4, s.kind.into())?;
    check(s.flags == flags, "sh_flags", s.at + 8, s.flags)?;
    let addr = if flags & SHF_ALLOC == 0 { 0 } else { s.offset };
    check(s.addr == addr, "sh_addr", s.at + 16, s.addr)?;
    check(s.offset >= lowest && s.offset <= len, "sh_offset", s.at + 24, s.offset)?;
    let in_file = s.offset.checked_add(s.size).is_some_and(|end| end <= len);
    check(in_file, "sh_size", s.at + 32, s.size)?;
    let align_ok = s.align.is_power_of_two() && s.align <= NATIVE_PAGE;
    check(s.align == 0 || align_ok, "sh_addralign", s.at + 48, s.align)?;
    check(s.align == 0 || s.offset.is_multiple_of(s.align), "sh_offset", s.at + 24, s.offset)?;
    if name == SYMTAB {
        check(s.entsize == SYM_BYTES, "sh_entsize", s.at + 56, s.entsize)?;
        check(s.size.is_multiple_of(SYM_BYTES), "sh_size", s.at + 32, s.size)?;
        // One more than the last local one: all of them are.
        check(u64::from(s.info) == s.size / SYM_BYTES, "sh_info", s.at + 44, s.info.into())?;
    } else {
        check(s.link == 0, "sh_link", s.at + 40, s.link.into())?;
        check(s.info == 0, "sh_info", s.at + 44, s.info.into())?;
        check(s.entsize == 0, "sh_entsize", s.at + 56, s.entsize)?;
    }
    Ok(())
}

/// What must hold between a section and the segments.
fn check_place(name: &str, s: &Section, code: &Segment, segments: &Segments) -> Result<()> {
    match name {
        TEXT => {
            check(s.offset == code.offset, "sh_offset", s.at + 24, s.offset)?;
            check(s.size == code.filesz, "sh_size", s.at + 32, s.size)?;
            let in_limits = (1..=MAX_TEXT_BYTES).contains(&s.size);
            check(in_limits, "sh_size", s.at + 32, s.size)
        }
        EH_FRAME | EH_FRAME_HDR => {
            check(s.end() <= segments.data.end(), "sh_size", s.at + 32, s.size)
        }
        IMAGE => {
            check(s.offset.is_multiple_of(NATIVE_PAGE), "sh_offset", s.at + 24, s.offset)?;
            let pages = s.size.is_multiple_of(NATIVE_PAGE) && s.size <= MAX_IMAGE_BYTES;
            check(pages, "sh_size", s.at + 32, s.size)
        }
        _ => check(s.offset >= code.end(), "sh_offset", s.at + 24, s.offset),
    }
}

/// PT_GNU_EH_FRAME, if there, is the section `.eh_frame_hdr`.
fn check_frames(elf: &Elf, segments: &Segments) -> Result<()> {
    let Some(s) = &segments.frames else { return Ok(()) };
    let section = elf.section(EH_FRAME_HDR).map(|r| (r.start as u64, r.end as u64));
    if section == Some((s.offset, s.end())) {
        return Ok(());
    }
    Err(bad("p_offset of PT_GNU_EH_FRAME", s.at + 8, s.offset))
}

/// The symbols, if there are any, name places in `.text`.
fn check_symtab(body: &[u8], sections: &[Section], elf: &Elf) -> Result<()> {
    let (Some(table), Some(text)) = (elf.section(SYMTAB), elf.section(TEXT)) else { return Ok(()) };
    let at_text = |s: &Section| s.offset == text.start as u64 && s.size == text.len() as u64;
    let targets = Targets {
        text_index: sections.iter().position(at_text).map_or(0, |i| i as u16 + 1),
        text: text.start as u64..text.end as u64,
        names: elf.section(STRTAB).map_or(0, |r| r.len() as u64),
    };
    check_symbols(body.get(table.clone()).unwrap_or_default(), table.start as u64, &targets)
}

/// What belongs to nothing is filler: zero, and `int3` behind code, because code is mapped in whole
/// pages and what shares its last page can be executed. So no byte of the file goes unexamined.
fn check_gaps(body: &[u8], header: &Header, elf: &Elf) -> Result<()> {
    let headers_end = EHDR + u64::from(header.phnum) * PHDR;
    let shdrs = header.shoff..header.shoff + u64::from(header.shnum) * SHDR;
    let mut used: Vec<_> =
        elf.sections.iter().flatten().map(|r| (r.start as u64, r.end as u64)).collect();
    used.extend([(0, headers_end), (shdrs.start, shdrs.end)]);
    used.sort_unstable();
    let text_end = elf.section(TEXT).map_or(0, |r| r.end as u64);
    let page_end = text_end.next_multiple_of(NATIVE_PAGE);
    if page_end > body.len() as u64 {
        return Err(invalid("the last page of .text is cut off".to_owned()));
    }
    let mut end = 0;
    for (start, next) in used {
        let behind_text = end == text_end && text_end != 0;
        if behind_text && start < page_end {
            return Err(bad("section on the last page of .text", start, start));
        }
        let gap = usize::try_from(end).ok().zip(usize::try_from(start).ok());
        let gap = gap.and_then(|(a, b)| body.get(a..b)).unwrap_or_default();
        let allowed = |b: u8| b == 0 || (behind_text && b == TEXT_FILLER);
        if let Some((i, b)) = gap.iter().enumerate().find(|(_, b)| !allowed(**b)) {
            let what = if behind_text { "byte behind .text" } else { "byte between sections" };
            return Err(bad(what, end + i as u64, (*b).into()));
        }
        end = end.max(next);
    }
    Ok(())
}

/// The section headers as they stand in a file that [`parse`] accepted, without the first.
///
/// # Errors
///
/// As for [`parse`], in other files.
pub fn section_headers(body: &[u8]) -> Result<Vec<[u8; SHDR as usize]>> {
    let header = read_header(body)?;
    let mut r = reader_at(body, header.shoff + SHDR);
    let mut headers = Vec::with_capacity(header.shnum.into());
    for _ in 1..header.shnum {
        let mut bytes = [0; SHDR as usize];
        bytes.copy_from_slice(r.take(SHDR as usize, "section header").map_err(|e| truncated(&e))?);
        headers.push(bytes);
    }
    Ok(headers)
}
