//! What a dynamic linker acts upon before anybody has looked at the file: needed libraries, code
//! that runs at load, relocations that write, tables that are followed without a bound. Each file
//! has a complete dynamic section; as a segment (what `dlopen` reads), and as a section alone (what
//! `ld` and others read).

use super::super::Cases;
use super::super::elf::{Elf, Part, Section, section, segment};
use lucet_artifact::container::{EH_FRAME, TEXT};

const PT_DYNAMIC: u32 = 2;
const SHT_DYNAMIC: u32 = 6;

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn halves(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// Where `.text` lies in the file and in memory.
const CODE: u64 = 0x1000;
/// `.dynstr` of all files here.
const NAMES: &[u8] = b"\0libevil.so\0/tmp/evil\0";
const LIBRARY: u64 = 1;
const FOLDER: u64 = 12;

/// The entries of dynamic sections.
fn tables() -> Vec<(&'static str, Vec<u64>)> {
    let huge = 1 << 63;
    let one = |tag: u64, value: u64| vec![tag, value];
    let list = |tag: u64, size: u64| vec![tag, CODE, size, 8];
    vec![
        ("nothing", vec![]),
        ("DT_NEEDED", one(1, LIBRARY)),
        ("DT_NEEDED without a name", one(1, huge)),
        ("DT_PLTGOT", one(3, CODE)),
        ("DT_HASH", one(4, CODE)),
        ("DT_STRTAB beyond", vec![5, huge, 10, huge, 1, LIBRARY]),
        ("DT_SYMTAB beyond", vec![6, huge, 11, 24]),
        ("DT_SYMENT 0", vec![6, CODE, 11, 0]),
        ("DT_RELA", vec![7, CODE, 8, 24, 9, 24]),
        ("DT_RELA of 2^63 bytes", vec![7, CODE, 8, huge, 9, 24]),
        ("DT_RELAENT 0", vec![7, CODE, 8, 24, 9, 0]),
        ("DT_INIT", one(12, CODE)),
        ("DT_INIT beyond", one(12, huge)),
        ("DT_FINI", one(13, CODE)),
        ("DT_SONAME", one(14, LIBRARY)),
        ("DT_RPATH", one(15, FOLDER)),
        ("DT_SYMBOLIC", one(16, 0)),
        ("DT_REL", vec![17, CODE, 18, 16, 19, 16]),
        ("DT_DEBUG", one(21, 0)),
        ("DT_TEXTREL", one(22, 0)),
        ("DT_JMPREL", vec![23, CODE, 2, 24, 20, 7]),
        ("DT_BIND_NOW", one(24, 0)),
        ("DT_INIT_ARRAY", list(25, 27)),
        ("DT_INIT_ARRAY of 2^63 bytes", vec![25, CODE, 27, huge]),
        ("DT_FINI_ARRAY", list(26, 28)),
        ("DT_RUNPATH", one(29, FOLDER)),
        ("DT_FLAGS", one(30, 0x1f)),
        ("DT_PREINIT_ARRAY", list(32, 33)),
        ("DT_SYMTAB_SHNDX", one(34, CODE)),
        ("DT_RELR", vec![36, CODE, 35, 8, 37, 8]),
        ("DT_GNU_HASH", one(0x6fff_fef5, CODE)),
        ("DT_TLSDESC_PLT", vec![0x6fff_fef6, CODE, 0x6fff_fef7, CODE]),
        ("DT_CONFIG", one(0x6fff_fefa, FOLDER)),
        ("DT_DEPAUDIT", one(0x6fff_fefb, LIBRARY)),
        ("DT_AUDIT", one(0x6fff_fefc, LIBRARY)),
        ("DT_VERSYM", one(0x6fff_fff0, CODE)),
        ("DT_FLAGS_1", one(0x6fff_fffb, u32::MAX.into())),
        ("DT_VERDEF", vec![0x6fff_fffc, CODE, 0x6fff_fffd, huge]),
        ("DT_VERNEED", vec![0x6fff_fffe, CODE, 0x6fff_ffff, huge]),
        ("DT_AUXILIARY", one(0x7fff_fffd, LIBRARY)),
        ("DT_FILTER", one(0x7fff_ffff, LIBRARY)),
        ("an unknown tag", one(0x6000_0001, 1)),
        ("a negative tag", one(u64::MAX, u64::MAX)),
    ]
}

/// A dynamic section with these entries and the names it needs, in the first segment.
fn add(e: &mut Elf, entries: &[u64], ended: bool) {
    let mut all = entries.to_vec();
    if ended {
        all.extend([0, 0]);
    }
    e.insert_behind(EH_FRAME, section(".dynstr", 3, 2, NAMES.to_vec()));
    let link = Some(e.index(".dynstr") as u32 + 1);
    let s = Section { link, entsize: 16, ..section(".dynamic", SHT_DYNAMIC, 3, words(&all)) };
    e.insert_behind(".dynstr", s);
}

/// In the place of PT_GNU_STACK, which nobody misses.
fn as_segment(e: &mut Elf) {
    *e.segments.last_mut().unwrap() = segment(PT_DYNAMIC, 6, Part::Section(".dynamic".into()));
}

pub fn cases(c: &mut Cases) {
    for (what, entries) in tables() {
        c.elf(format!("segment: {what}"), "p_type", |e| {
            add(e, &entries, true);
            as_segment(e);
        });
        c.elf(format!("section: {what}"), "unknown section \".dynstr\"", |e| {
            add(e, &entries, true);
        });
    }
    c.elf("segment: a dynamic section without end", "p_type", |e| {
        add(e, &[1, LIBRARY, 12, CODE], false);
        as_segment(e);
    });
    c.elf("segment: a dynamic section of 2^63 bytes", "p_filesz", |e| {
        add(e, &[12, CODE], true);
        *e.segments.last_mut().unwrap() = segment(PT_DYNAMIC, 6, Part::Fixed(0x200, 1 << 63));
    });
    c.elf("segment: a dynamic section over the file header", "p_type", |e| {
        *e.segments.last_mut().unwrap() = segment(PT_DYNAMIC, 6, Part::Fixed(0, 64));
    });
    c.elf("segment: two dynamic sections", "p_type", |e| {
        add(e, &[12, CODE], true);
        as_segment(e);
        e.segments[2] = segment(PT_DYNAMIC, 6, Part::Section(".dynamic".into()));
    });
    c.elf("a fifth segment that is dynamic", "e_phnum", |e| {
        add(e, &[12, CODE], true);
        e.segments.push(segment(PT_DYNAMIC, 6, Part::Section(".dynamic".into())));
    });
    chains(c);
    relocations(c);
}

/// Tables with chains that do not end.
fn chains(c: &mut Cases) {
    let tables: [(&str, &str, u32, Vec<u8>); 8] = [
        // nbucket, nchain, bucket, chain: symbol 1 follows symbol 1.
        ("hash chain in a circle", ".hash", 5, halves(&[1, 2, 1, 0, 1])),
        ("hash chain beyond", ".hash", 5, halves(&[1, 2, 0x7fff_ffff, 0, 0])),
        ("hash table without buckets", ".hash", 5, halves(&[0, 0])),
        ("hash table of 2^32 buckets", ".hash", 5, halves(&[u32::MAX, u32::MAX])),
        // nbuckets, symoffset, bloom size, shift, bloom, bucket, chain without an end.
        ("GNU hash chain without end", ".gnu.hash", 0x6fff_fff6, {
            halves(&[1, 1, 1, 6, u32::MAX, u32::MAX, 1, 2, 4, 6])
        }),
        ("GNU hash without a bloom filter", ".gnu.hash", 0x6fff_fff6, halves(&[1, 1, 0, 64])),
        // version, count, file, aux 0, next 0: the next one is itself.
        ("needed versions in a circle", ".gnu.version_r", 0x6fff_fffe, {
            halves(&[0x0002_0001, 1, 0, 0])
        }),
        ("defined versions in a circle", ".gnu.version_d", 0x6fff_fffd, {
            halves(&[1, 0x0002_0001, 0, 0, 0])
        }),
    ];
    for (what, name, kind, bytes) in tables {
        c.elf(what, &format!("unknown section \"{name}\""), |e| {
            e.insert_behind(EH_FRAME, section(name, kind, 2, bytes));
        });
    }
}

/// All relocations of x86-64 (psABI, table 4.9), applied to code.
fn relocations(c: &mut Cases) {
    for kind in (0..=42).chain([250, 251, u32::MAX]) {
        let name = match kind {
            5 => "R_X86_64_COPY".into(),
            6 => "R_X86_64_GLOB_DAT".into(),
            7 => "R_X86_64_JUMP_SLOT".into(),
            8 => "R_X86_64_RELATIVE".into(),
            16 => "R_X86_64_DTPMOD64".into(),
            37 => "R_X86_64_IRELATIVE".into(),
            n => format!("number {n}"),
        };
        c.elf(format!("relocation {name}"), "unknown section \".rela.text\"", |e| {
            let bytes = words(&[CODE, u64::from(kind) | 1 << 32, CODE]);
            let info = e.index(TEXT) as u32 + 1;
            let s = Section { info, entsize: 24, ..section(".rela.text", 4, 0x40, bytes) };
            e.insert_behind(TEXT, s);
        });
    }
}
