//! An ELF file that can be taken apart, changed in its structure, and put together again: sections
//! and segments are values, and offsets follow from their order unless a test says otherwise.
//!
//! ```text
//!  bytes ─ parse ─► Elf { segments, sections } ─ change ─► build ─► bytes ─► trailer
//! ```
//!
//! What is put together is as right as ELF asks, whatever sections were added: a reader that
//! refuses it does so for what is in it, not because an offset is off.

#![allow(dead_code)]

use lucet_artifact::container::{
    EH_FRAME, EH_FRAME_HDR, IMAGE, SHSTRTAB, STRTAB, SYMTAB, TEXT, TEXT_FILLER,
};
use lucet_artifact::trailer::Trailer;

pub const PAGE: usize = 4096;

pub fn get(b: &[u8], at: usize, bytes: usize) -> u64 {
    let mut word = [0; 8];
    word[..bytes].copy_from_slice(&b[at..at + bytes]);
    u64::from_le_bytes(word)
}

pub fn put(b: &mut [u8], at: usize, value: u64, bytes: usize) {
    b[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
}

/// A section. Numbers that are `None` are what they ought to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    pub name: String,
    pub kind: u32,
    pub flags: u64,
    pub bytes: Vec<u8>,
    pub link: Option<u32>,
    pub info: u32,
    pub align: u64,
    pub entsize: u64,
    pub offset: Option<u64>,
    pub size: Option<u64>,
    pub addr: Option<u64>,
}

/// What part of the file a segment covers.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// From the start of the file to the end of what lies before `.text`.
    Head,
    /// A section by name.
    Section(String),
    /// Offset and size.
    Fixed(u64, u64),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    pub kind: u32,
    pub flags: u32,
    pub part: Part,
    pub memsz: Option<u64>,
    pub align: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Elf {
    pub segments: Vec<Segment>,
    pub sections: Vec<Section>,
}

/// A file, and where its headers lie.
pub struct Built {
    pub bytes: Vec<u8>,
    pub names: Vec<String>,
}

impl Built {
    /// Offset of the header of the first section with this name.
    pub fn section(&self, name: &str) -> usize {
        let i = self.names.iter().position(|n| n == name).unwrap_or_else(|| panic!("no {name}"));
        get(&self.bytes, 40, 8) as usize + 64 * (i + 1)
    }

    /// Offset of a program header.
    pub fn segment(&self, i: usize) -> usize {
        64 + 56 * i
    }

    /// Where a section lies, by its header.
    pub fn range(&self, name: &str) -> std::ops::Range<usize> {
        let h = self.section(name);
        let at = get(&self.bytes, h + 24, 8) as usize;
        at..at + get(&self.bytes, h + 32, 8) as usize
    }
}

pub fn section(name: &str, kind: u32, flags: u64, bytes: Vec<u8>) -> Section {
    Section { name: name.into(), kind, flags, bytes, align: 8, ..Section::default() }
}

pub fn segment(kind: u32, flags: u32, part: Part) -> Segment {
    Segment { kind, flags, part, memsz: None, align: 8 }
}

/// Puts a trailer with the right hash behind a file.
pub fn with_trailer(mut body: Vec<u8>) -> Vec<u8> {
    Trailer::append(&mut body, 0, [0; 64]).unwrap();
    body
}

impl Elf {
    /// Takes an artifact's body apart.
    pub fn parse(body: &[u8]) -> Self {
        let shoff = get(body, 40, 8) as usize;
        let header = |i: usize| shoff + 64 * i;
        let names = get(body, header(get(body, 62, 2) as usize) + 24, 8) as usize;
        let text_at = |name: u64| {
            let from = names + name as usize;
            let n = body[from..].iter().position(|b| *b == 0).unwrap();
            String::from_utf8(body[from..from + n].to_vec()).unwrap()
        };
        let read = |i: usize| {
            let h = header(i);
            let (at, size) = (get(body, h + 24, 8) as usize, get(body, h + 32, 8) as usize);
            Section {
                name: text_at(get(body, h, 4)),
                kind: get(body, h + 4, 4) as u32,
                flags: get(body, h + 8, 8),
                bytes: body[at..at + size].to_vec(),
                info: get(body, h + 44, 4) as u32,
                align: get(body, h + 48, 8),
                entsize: get(body, h + 56, 8),
                ..Section::default()
            }
        };
        let mut sections: Vec<_> = (1..get(body, 60, 2) as usize).map(read).collect();
        // Made anew, in an order that is the writer's affair.
        sections.iter_mut().filter(|s| s.name == SHSTRTAB).for_each(|s| s.bytes.clear());
        let load = |flags, part| Segment { align: PAGE as u64, ..segment(1, flags, part) };
        let mut segments = vec![load(4, Part::Head), load(5, Part::Section(TEXT.into()))];
        if sections.iter().any(|s| s.name == EH_FRAME_HDR) {
            segments.push(segment(0x6474_e550, 4, Part::Section(EH_FRAME_HDR.into())));
        }
        segments.push(Segment { align: 16, ..segment(0x6474_e551, 6, Part::Fixed(0, 0)) });
        Self { segments, sections }
    }

    pub fn find(&mut self, name: &str) -> &mut Section {
        self.sections.iter_mut().find(|s| s.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    pub fn index(&self, name: &str) -> usize {
        self.sections.iter().position(|s| s.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Adds a section behind the one with this name.
    pub fn insert_behind(&mut self, name: &str, s: Section) {
        let at = self.index(name) + 1;
        self.sections.insert(at, s);
    }

    pub fn remove(&mut self, name: &str) {
        self.sections.retain(|s| s.name != name);
    }

    /// Puts it together, without a trailer.
    pub fn build(&self) -> Built {
        let mut out = vec![0; 64 + 56 * self.segments.len()];
        let mut names = vec![0u8];
        let mut name_at = Vec::new();
        for s in &self.sections {
            name_at.push(names.len());
            names.extend_from_slice(s.name.as_bytes());
            names.push(0);
        }
        let table = 64 * (self.sections.len() + 1);
        let (mut places, mut shoff, mut head) = (Vec::new(), None, out.len());
        for s in &self.sections {
            if s.name == IMAGE && shoff.is_none() {
                out.resize(out.len().next_multiple_of(8), 0);
                shoff = Some(out.len());
                out.resize(out.len() + table, 0);
            }
            let bytes = if s.name == SHSTRTAB { &names } else { &s.bytes };
            out.resize(out.len().next_multiple_of((s.align as usize).clamp(1, PAGE)), 0);
            places.push((out.len(), bytes.len()));
            // NOBITS takes no room.
            if s.kind != 8 {
                out.extend_from_slice(bytes);
            }
            match &*s.name {
                TEXT => out.resize(out.len().next_multiple_of(PAGE), TEXT_FILLER),
                _ if !text_is_among(&self.sections, places.len()) => head = out.len(),
                _ => {}
            }
        }
        let shoff = shoff.unwrap_or_else(|| {
            out.resize(out.len().next_multiple_of(8), 0);
            let at = out.len();
            out.resize(at + table, 0);
            at
        });
        for (i, s) in self.sections.iter().enumerate() {
            let h = shoff + 64 * (i + 1);
            self.write_section(&mut out, h, s, name_at[i], places[i]);
        }
        self.write_headers(&mut out, shoff, head, &places);
        Built { bytes: out, names: self.sections.iter().map(|s| s.name.clone()).collect() }
    }

    fn write_section(
        &self,
        out: &mut [u8],
        h: usize,
        s: &Section,
        name: usize,
        place: (usize, usize),
    ) {
        let offset = s.offset.unwrap_or(place.0 as u64);
        let addr = s.addr.unwrap_or(if s.flags & 2 == 0 { 0 } else { offset });
        let strtab = self.sections.iter().position(|s| s.name == STRTAB).map_or(0, |i| i + 1);
        let link = s.link.unwrap_or(if s.name == SYMTAB { strtab as u32 } else { 0 });
        put(out, h, name as u64, 4);
        put(out, h + 4, s.kind.into(), 4);
        let words = [s.flags, addr, offset, s.size.unwrap_or(place.1 as u64)];
        for (k, word) in words.into_iter().enumerate() {
            put(out, h + 8 + 8 * k, word, 8);
        }
        put(out, h + 40, link.into(), 4);
        put(out, h + 44, s.info.into(), 4);
        put(out, h + 48, s.align, 8);
        put(out, h + 56, s.entsize, 8);
    }

    fn write_headers(&self, out: &mut [u8], shoff: usize, head: usize, places: &[(usize, usize)]) {
        out[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        let names = self.sections.iter().position(|s| s.name == SHSTRTAB).map_or(0, |i| i + 1);
        let words = [(16, 3, 2), (18, 62, 2), (20, 1, 4), (32, 64, 8), (40, shoff, 8), (52, 64, 2)];
        let counts = [(54, 56), (56, self.segments.len()), (58, 64), (60, places.len() + 1)];
        let counts = counts.into_iter().chain([(62, names)]).map(|(at, v)| (at, v, 2));
        for (at, value, bytes) in words.into_iter().chain(counts) {
            put(out, at, value as u64, bytes);
        }
        for (i, s) in self.segments.iter().enumerate() {
            let (at, size) = match &s.part {
                Part::Head => (0, head as u64),
                Part::Section(name) => {
                    let (at, size) = places[self.index(name)];
                    (at as u64, size as u64)
                }
                Part::Fixed(at, size) => (*at, *size),
            };
            let h = 64 + 56 * i;
            put(out, h, s.kind.into(), 4);
            put(out, h + 4, s.flags.into(), 4);
            let words = [at, at, at, size, s.memsz.unwrap_or(size), s.align];
            for (k, word) in words.into_iter().enumerate() {
                put(out, h + 8 + 8 * k, word, 8);
            }
        }
    }
}

/// Whether `.text` is among the first `n` sections.
fn text_is_among(sections: &[Section], n: usize) -> bool {
    sections.iter().take(n).any(|s| s.name == TEXT)
}

/// The names of sections that lie in the first segment.
pub const HEAD: [&str; 2] = [EH_FRAME_HDR, EH_FRAME];
