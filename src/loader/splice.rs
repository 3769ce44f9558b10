//! Writes the artifact of a snapshot: the file of its parent with another state.
//!
//! ```text
//!  parent    header .eh_frame .text │ .lucet.*  .symtab … │ section headers │ image │ trailer
//!              │      copied        │ copied, but for     │    anew         │ anew  │ anew
//!              └ three fields anew  │ three sections      │
//! ```
//!
//! What lies before and in `.text` stays where it is, so nothing that refers to code changes. The
//! sections behind it move. The result is an artifact like any other: the loader does not know how
//! it came about, and checks it all.

#![forbid(unsafe_code)]

use super::{container, container_error};
use crate::error::{Error, Result, Status};
use lucet_artifact::container::{
    CONTRACT, IMAGE, INIT, SECTION_ORDER, SHSTRTAB, SNAPSHOT, STRTAB, SYMTAB, TEXT,
};
use lucet_artifact::elf;
use lucet_artifact::limits::{MAX_ARTIFACT_BYTES, MAX_IMAGE_BYTES, NATIVE_PAGE};
use lucet_artifact::trailer::{FLAG_SNAPSHOT, TRAILER_BYTES, Trailer};

/// What the snapshot has instead of its parent's.
pub(super) struct Replaced<'a> {
    pub(super) contract: &'a [u8],
    pub(super) init: &'a [u8],
    pub(super) snapshot: &'a [u8],
    pub(super) image: &'a [u8],
}

const SHDR: usize = 64;
/// Offsets of fields in a section header.
mod field {
    pub(super) const NAME: usize = 0;
    pub(super) const TYPE: usize = 4;
    pub(super) const OFFSET: usize = 24;
    pub(super) const SIZE: usize = 32;
    pub(super) const LINK: usize = 40;
    pub(super) const ALIGN: usize = 48;
}
const SHT_PROGBITS: u32 = 1;

/// A section of the new file.
struct Piece<'a> {
    name: &'static str,
    header: [u8; SHDR],
    /// Where it lies, if it stays there.
    fixed: Option<usize>,
    bytes: std::borrow::Cow<'a, [u8]>,
}

fn broken() -> Error {
    Error::new(Status::Internal, "a loaded artifact that cannot be read again")
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(to) = bytes.get_mut(at..at + value.len()) {
        to.copy_from_slice(value);
    }
}

/// `artifact` was loaded; `parent` is its hash.
pub(super) fn splice(artifact: &[u8], new: &Replaced<'_>, parent: [u8; 64]) -> Result<Vec<u8>> {
    let image_len = new.image.len() as u64;
    if image_len > MAX_IMAGE_BYTES {
        let message = format!("{image_len} bytes of image; an artifact holds {MAX_IMAGE_BYTES}");
        return Err(Error::new(Status::LimitExceeded, message));
    }
    let body = artifact.get(..artifact.len().saturating_sub(TRAILER_BYTES)).ok_or_else(broken)?;
    let parsed = container(body)?;
    let mut pieces = pieces(body, &parsed, new)?;
    let text = parsed.section(TEXT).ok_or_else(broken)?;
    let head = text.end.next_multiple_of(NATIVE_PAGE as usize);

    let mut out = Vec::new();
    let most = body.len() + new.contract.len() + new.init.len() + new.image.len() + (1 << 16);
    if most as u64 > MAX_ARTIFACT_BYTES {
        let message = format!("the snapshot would have {most} bytes, more than an artifact may");
        return Err(Error::new(Status::LimitExceeded, message));
    }
    out.try_reserve_exact(most)
        .map_err(|_| Error::new(Status::OutOfMemory, format!("no memory for {most} bytes")))?;
    out.extend_from_slice(body.get(..head).ok_or_else(broken)?);
    let count = pieces.len() + 1;
    let index = |pieces: &[Piece<'_>], name| pieces.iter().position(|p| p.name == name);
    let strings = index(&pieces, STRTAB).ok_or_else(broken)? + 1;
    let names = index(&pieces, SHSTRTAB).ok_or_else(broken)? + 1;
    for p in pieces.iter_mut().filter(|p| p.name != IMAGE) {
        place(p, &mut out);
        if p.name == SYMTAB {
            put(&mut p.header, field::LINK, &(strings as u32).to_le_bytes());
        }
    }
    out.resize(out.len().next_multiple_of(8), 0);
    let headers = out.len();
    out.resize(headers + SHDR * count, 0);
    for p in pieces.iter_mut().filter(|p| p.name == IMAGE) {
        place(p, &mut out);
    }
    for (i, p) in pieces.iter().enumerate() {
        put(&mut out, headers + SHDR * (i + 1), &p.header);
    }
    // e_shoff, e_shnum, e_shstrndx
    put(&mut out, 40, &(headers as u64).to_le_bytes());
    put(&mut out, 60, &(count as u16).to_le_bytes());
    put(&mut out, 62, &(names as u16).to_le_bytes());
    Trailer::append(&mut out, FLAG_SNAPSHOT, parent)
        .map_err(|e| Error::new(Status::LimitExceeded, format!("the snapshot: {e}")))?;
    Ok(out)
}

/// Appends a section and says so in its header.
fn place(p: &mut Piece<'_>, out: &mut Vec<u8>) {
    if p.fixed.is_some() {
        return;
    }
    let mut align = [0; 8];
    align.copy_from_slice(p.header.get(field::ALIGN..field::ALIGN + 8).unwrap_or(&[0; 8]));
    // The loader saw a power of two of at most a page, or 0.
    let align = u64::from_le_bytes(align).clamp(1, NATIVE_PAGE) as usize;
    out.resize(out.len().next_multiple_of(align), 0);
    put(&mut p.header, field::OFFSET, &(out.len() as u64).to_le_bytes());
    put(&mut p.header, field::SIZE, &(p.bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(&p.bytes);
}

/// The sections of the new file in order, with the headers they had.
fn pieces<'a>(body: &'a [u8], parsed: &elf::Elf, new: &Replaced<'a>) -> Result<Vec<Piece<'a>>> {
    let mut pieces = Vec::new();
    let text_end = parsed.section(TEXT).map_or(0, |r| r.end);
    let mut headers = elf::section_headers(body).map_err(container_error)?.into_iter();
    let mut names = vec![0u8];
    for name in SECTION_ORDER {
        let range = parsed.section(name);
        let header = if range.is_some() { Some(headers.next().ok_or_else(broken)?) } else { None };
        let old = range.clone().and_then(|r| body.get(r)).unwrap_or_default();
        let bytes = match name {
            CONTRACT => new.contract,
            INIT => new.init,
            SNAPSHOT => new.snapshot,
            IMAGE if new.image.is_empty() => continue,
            IMAGE => new.image,
            _ if range.is_some() => old,
            _ => continue,
        };
        let mut header = header.unwrap_or_else(|| {
            let mut h = [0; SHDR];
            put(&mut h, field::TYPE, &SHT_PROGBITS.to_le_bytes());
            let align = if name == IMAGE { NATIVE_PAGE } else { 8 };
            put(&mut h, field::ALIGN, &align.to_le_bytes());
            h
        });
        put(&mut header, field::NAME, &(names.len() as u32).to_le_bytes());
        names.extend_from_slice(name.as_bytes());
        names.push(0);
        let fixed = range.map(|r| r.start).filter(|at| *at < text_end);
        pieces.push(Piece { name, header, fixed, bytes: bytes.into() });
    }
    if let Some(p) = pieces.iter_mut().find(|p| p.name == SHSTRTAB) {
        p.bytes = names.into();
    }
    Ok(pieces)
}
