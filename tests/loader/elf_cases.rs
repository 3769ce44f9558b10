//! Malicious containers: every field of every ELF header, wrong in the ways that have hurt other
//! loaders. Each case has a matching hash, so only the ELF reader stands in its way.

use super::good::load_bytes;
use super::sample::{
    PAGE, get16, get64, header_of, name_offset, put16, put32, put64, range_of, sample, sealed,
};
use lucet::Status;
use lucet_artifact::container::{
    CONTRACT, DATA, EH_FRAME, IMAGE, INIT, SHSTRTAB, STRTAB, SYMTAB, TEXT, TYPES,
};

type Change = fn(&mut Vec<u8>);
type Case = (&'static str, &'static str, Change);

/// Changes a field of a section's header.
fn section(b: &mut [u8], name: &str, field: usize, value: u64, bytes: usize) {
    let h = header_of(b, name) + field;
    b[h..h + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
}

/// Header of program header `i`: 0 data, 1 code, 2 frames, 3 stack.
fn ph(i: usize) -> usize {
    64 + 56 * i
}

fn refuse(cases: &[Case]) {
    let good = sample().body();
    assert!(load_bytes(&sealed(good.clone())).is_ok());
    for (name, part, change) in cases {
        let mut b = good.clone();
        change(&mut b);
        assert_ne!(b, good, "{name} changes nothing");
        let e = load_bytes(&sealed(b)).expect_err(name);
        assert_eq!(e.status(), Status::InvalidArtifact, "{name}: {e}");
        assert!(e.message().contains(part), "{name}: {e}");
    }
}

#[test]
fn file_header() {
    refuse(&[
        ("32 bits", "e_ident at file offset 0x4", |b| b[4] = 1),
        ("big-endian", "e_ident at file offset 0x5", |b| b[5] = 2),
        ("ident version", "e_ident", |b| b[6] = 0),
        ("GNU OS ABI (IRELATIVE, STB_GNU_UNIQUE)", "e_ident", |b| b[7] = 3),
        ("ident padding", "e_ident", |b| b[15] = 1),
        ("object file", "e_type", |b| put16(b, 16, 1)),
        ("program", "e_type", |b| put16(b, 16, 2)),
        ("version", "e_version", |b| put32(b, 20, 2)),
        ("entry point", "e_entry", |b| put64(b, 24, 0x1000)),
        ("no program headers", "e_phoff", |b| put64(b, 32, 0)),
        ("program headers unaligned", "e_phoff", |b| put64(b, 32, 65)),
        ("program headers beyond", "e_phoff", |b| put64(b, 32, 1 << 63)),
        ("section headers beyond", "e_shoff", |b| put64(b, 40, 1 << 63)),
        ("section headers wrap", "e_shoff", |b| put64(b, 40, u64::MAX - 7)),
        ("section headers unaligned", "e_shoff", |b| {
            let at = get64(b, 40) as u64 + 4;
            put64(b, 40, at);
        }),
        ("section headers at the end", "e_shoff", |b| {
            let at = b.len() as u64 & !7;
            put64(b, 40, at);
        }),
        ("section headers are file header", "section header 0", |b| put64(b, 40, 0)),
        ("flags", "e_flags", |b| put32(b, 48, 1)),
        ("header size", "e_ehsize", |b| put16(b, 52, 52)),
        ("program header size", "e_phentsize", |b| put16(b, 54, 0)),
        ("program header size, large", "e_phentsize", |b| put16(b, 54, 0xffff)),
        ("no segment", "e_phnum", |b| put16(b, 56, 0)),
        ("one segment", "e_phnum", |b| put16(b, 56, 1)),
        ("two segments too few", "PT_LOAD segments is missing", |b| {
            let code = b[ph(1)..ph(2)].to_vec();
            b[ph(3)..ph(4)].copy_from_slice(&code);
            put32(b, ph(1), 0x6474_e551);
            put32(b, ph(1) + 4, 6);
            put64(b, ph(1) + 32, 0);
            put64(b, ph(1) + 40, 0);
            put16(b, 56, 2);
        }),
        ("PN_XNUM", "e_phnum", |b| put16(b, 56, 0xffff)),
        ("five segments", "e_phnum", |b| put16(b, 56, 5)),
        ("section header size", "e_shentsize", |b| put16(b, 58, 40)),
        ("no section", "e_shnum", |b| put16(b, 60, 0)),
        ("too few sections", "e_shnum", |b| put16(b, 60, 11)),
        ("too many sections", "e_shnum", |b| put16(b, 60, 0xffff)),
        ("one section too many", "e_shnum", |b| put16(b, 60, 21)),
        ("no section names", "e_shstrndx", |b| put16(b, 62, 0)),
        ("section names beyond", "e_shstrndx", |b| put16(b, 62, 0xffff)),
        ("section names elsewhere", "", |b| {
            let i = get16(b, 62) as u16 - 1;
            put16(b, 62, i);
        }),
    ]);
}

#[test]
fn another_machine_is_unsupported() {
    for machine in [3, 183, 243] {
        let mut b = sample().body();
        put16(&mut b, 18, machine);
        let e = load_bytes(&sealed(b)).unwrap_err();
        assert_eq!(e.status(), Status::UnsupportedArtifact);
        assert!(e.message().contains("another machine"), "{e}");
    }
}

#[test]
fn segment_types() {
    refuse(&[
        ("PT_NULL", "p_type", |b| put32(b, ph(3), 0)),
        ("PT_DYNAMIC", "p_type", |b| put32(b, ph(2), 2)),
        ("PT_INTERP", "p_type", |b| put32(b, ph(3), 3)),
        ("PT_NOTE", "p_type", |b| put32(b, ph(2), 4)),
        ("PT_PHDR", "p_type", |b| put32(b, ph(2), 6)),
        ("PT_TLS", "p_type", |b| put32(b, ph(3), 7)),
        ("PT_GNU_RELRO", "p_type", |b| put32(b, ph(2), 0x6474_e552)),
        ("PT_GNU_PROPERTY", "p_type", |b| put32(b, ph(2), 0x6474_e553)),
        ("third PT_LOAD", "PT_LOAD", |b| {
            let code = b[ph(1)..ph(2)].to_vec();
            b[ph(3)..ph(4)].copy_from_slice(&code);
        }),
        ("two stacks", "p_type", |b| {
            let stack = b[ph(3)..ph(4)].to_vec();
            b[ph(2)..ph(3)].copy_from_slice(&stack);
        }),
        ("code first", "PT_LOAD", |b| {
            let (data, code) = (b[ph(0)..ph(1)].to_vec(), b[ph(1)..ph(2)].to_vec());
            b[ph(0)..ph(1)].copy_from_slice(&code);
            b[ph(1)..ph(2)].copy_from_slice(&data);
        }),
    ]);
}

#[test]
fn segment_fields() {
    refuse(&[
        ("writable data", "PT_LOAD", |b| put32(b, ph(0) + 4, 6)),
        ("writable code", "PT_LOAD", |b| put32(b, ph(1) + 4, 7)),
        ("code that cannot be read", "PT_LOAD", |b| put32(b, ph(1) + 4, 1)),
        ("executable data", "PT_LOAD", |b| put32(b, ph(0) + 4, 5)),
        ("executable stack", "PT_GNU_STACK", |b| put32(b, ph(3) + 4, 7)),
        ("unknown flag", "PT_GNU_STACK", |b| put32(b, ph(3) + 4, 0x8000_0006)),
        ("executable frames", "p_flags", |b| put32(b, ph(2) + 4, 5)),
        ("stack with bytes", "PT_GNU_STACK", |b| {
            put64(b, ph(3) + 32, 1);
            put64(b, ph(3) + 40, 1);
        }),
        ("offset is not address", "p_vaddr", |b| put64(b, ph(1) + 16, 0x20_0000)),
        ("physical address", "p_paddr", |b| put64(b, ph(1) + 24, 1)),
        ("offset beyond", "p_offset", |b| {
            put64(b, ph(1) + 8, 1 << 63);
            put64(b, ph(1) + 16, 1 << 63);
            put64(b, ph(1) + 24, 1 << 63);
        }),
        ("unaligned code", "p_offset", |b| {
            for field in [8, 16, 24] {
                put64(b, ph(1) + field, 0x1800);
            }
        }),
        ("data not from the start", "p_offset", |b| {
            for field in [8, 16, 24] {
                put64(b, ph(0) + field, 8);
            }
        }),
        ("size beyond", "p_filesz", |b| put64(b, ph(1) + 32, 1 << 63)),
        ("size wraps", "p_filesz", |b| put64(b, ph(1) + 32, u64::MAX - 100)),
        ("bss", "p_memsz", |b| put64(b, ph(0) + 40, 1 << 32)),
        ("file larger than memory", "p_memsz", |b| put64(b, ph(1) + 40, 100)),
        ("data over code", "p_offset of code", |b| {
            put64(b, ph(0) + 32, 0x1001);
            put64(b, ph(0) + 40, 0x1001);
        }),
        ("data without headers", "p_filesz", |b| {
            put64(b, ph(0) + 32, 64);
            put64(b, ph(0) + 40, 64);
        }),
        ("alignment 0", "p_align", |b| put64(b, ph(1) + 48, 0)),
        ("alignment 3", "p_align", |b| put64(b, ph(1) + 48, 3)),
        ("alignment 2 MiB", "p_align", |b| put64(b, ph(1) + 48, 1 << 21)),
        ("alignment of frames", "p_align", |b| put64(b, ph(2) + 48, 1 << 63)),
        ("frames elsewhere", "PT_GNU_EH_FRAME", |b| {
            for field in [8, 16, 24] {
                put64(b, ph(2) + field, 0x1000);
            }
        }),
        ("code shorter than .text", "sh_size", |b| {
            put64(b, ph(1) + 32, 160);
            put64(b, ph(1) + 40, 160);
        }),
        ("code longer than .text", "sh_size", |b| {
            put64(b, ph(1) + 32, PAGE as u64);
            put64(b, ph(1) + 40, PAGE as u64);
        }),
    ]);
}

#[test]
fn section_names_and_order() {
    refuse(&[
        ("unknown", "unknown section \".initx\"", |b| {
            let names = range_of(b, SHSTRTAB).start + name_offset(INIT);
            b[names..names + 12].copy_from_slice(b".initx\0\0\0\0\0\0");
        }),
        ("dynamic", "unknown section \".dynamic\"", |b| {
            let names = range_of(b, SHSTRTAB).start + name_offset(CONTRACT);
            b[names..names + 9].copy_from_slice(b".dynamic\0");
        }),
        ("relocations", "unknown section \".rela.text\"", |b| {
            let names = range_of(b, SHSTRTAB).start + name_offset(CONTRACT);
            b[names..names + 11].copy_from_slice(b".rela.text\0");
        }),
        ("not UTF-8", "sh_name", |b| {
            let names = range_of(b, SHSTRTAB).start + name_offset(TYPES);
            b[names] = 0xff;
        }),
        ("empty name", "unknown section \"\"", |b| section(b, TYPES, 0, 0, 4)),
        ("name beyond", "sh_name", |b| section(b, TYPES, 0, 1 << 20, 4)),
        ("name not terminated", "sh_name", |b| {
            let end = range_of(b, SHSTRTAB).end;
            b[end - 1] = b'x';
        }),
        ("twice", "repeated or out of order", |b| {
            section(b, TYPES, 0, name_offset(CONTRACT) as u64, 4);
        }),
        ("swapped", "repeated or out of order", |b| {
            let (a, z) = (header_of(b, CONTRACT), header_of(b, TYPES));
            for i in 0..64 {
                b.swap(a + i, z + i);
            }
        }),
        ("required one missing", "repeated or out of order", |b| {
            section(b, DATA, 0, name_offset(INIT) as u64, 4);
        }),
        ("first header", "section header 0", |b| {
            let shoff = get64(b, 40);
            b[shoff + 4] = 1;
        }),
    ]);
}

#[test]
fn every_required_section_is_required() {
    use lucet_artifact::container::{EXPORTS, FUNCS, IMPORTS, PCMAP, TRAPS};
    for name in [CONTRACT, TYPES, IMPORTS, EXPORTS, FUNCS, TRAPS, PCMAP, INIT, STRTAB] {
        let mut b = sample().body();
        let h = header_of(&b, name);
        let end = get64(&b, 40) + 64 * get16(&b, 60);
        // The header disappears; a zero header fills the gap in front of the image.
        b.copy_within(h + 64..end, h);
        b[end - 64..end].fill(0);
        let (n, names) = (get16(&b, 60) as u16, get16(&b, 62) as u16);
        put16(&mut b, 60, n - 1);
        put16(&mut b, 62, names - 1);
        let e = load_bytes(&sealed(b)).unwrap_err();
        let expected = [format!("section {name} is missing"), "sh_link".to_owned()];
        assert!(expected.iter().any(|m| e.message().contains(m)), "{name}: {e}");
    }
}

#[test]
fn section_fields() {
    refuse(&[
        ("NOBITS", "sh_type", |b| section(b, CONTRACT, 4, 8, 4)),
        ("RELA", "sh_type", |b| section(b, TYPES, 4, 4, 4)),
        ("DYNAMIC", "sh_type", |b| section(b, INIT, 4, 6, 4)),
        ("INIT_ARRAY", "sh_type", |b| section(b, INIT, 4, 14, 4)),
        ("symbols as bytes", "sh_type", |b| section(b, SYMTAB, 4, 1, 4)),
        ("dynamic symbols", "sh_type", |b| section(b, SYMTAB, 4, 11, 4)),
        ("writable code", "sh_flags", |b| section(b, TEXT, 8, 7, 8)),
        ("code not loaded", "sh_flags", |b| section(b, TEXT, 8, 4, 8)),
        ("code not executable", "sh_flags", |b| section(b, TEXT, 8, 2, 8)),
        ("executable data", "sh_flags", |b| section(b, DATA, 8, 6, 8)),
        ("loaded contract", "sh_flags", |b| section(b, CONTRACT, 8, 2, 8)),
        ("thread-local", "sh_flags", |b| section(b, DATA, 8, 1 << 10, 8)),
        ("compressed", "sh_flags", |b| section(b, DATA, 8, 1 << 11, 8)),
        ("address of code", "sh_addr", |b| section(b, TEXT, 16, 0x2000, 8)),
        ("address of data", "sh_addr", |b| section(b, DATA, 16, 1, 8)),
        ("offset beyond", "sh_offset", |b| section(b, DATA, 24, 1 << 63, 8)),
        ("overlap", "sh_offset", |b| {
            let at = range_of(b, CONTRACT).start as u64;
            section(b, TYPES, 24, at, 8);
        }),
        ("over the headers", "sh_offset", |b| {
            section(b, EH_FRAME, 24, 0, 8);
            section(b, EH_FRAME, 16, 0, 8);
        }),
        ("over the section headers", "sh_offset", |b| {
            let size = get64(b, 40) + 64 - range_of(b, SHSTRTAB).start;
            section(b, SHSTRTAB, 32, size as u64, 8);
        }),
        ("size beyond", "sh_size", |b| section(b, DATA, 32, 1 << 40, 8)),
        ("size wraps", "sh_size", |b| section(b, DATA, 32, u64::MAX, 8)),
        ("size of 2^63", "sh_size", |b| section(b, CONTRACT, 32, 1 << 63, 8)),
        ("size over the next", "sh_offset", |b| section(b, CONTRACT, 32, 2000, 8)),
        ("frames beyond their segment", "sh_size", |b| section(b, EH_FRAME, 32, 25, 8)),
        ("no code", "sh_size", |b| {
            section(b, TEXT, 32, 0, 8);
            put64(b, ph(1) + 32, 0);
            put64(b, ph(1) + 40, 0);
        }),
        ("link", "sh_link", |b| section(b, DATA, 40, 1, 4)),
        ("symbols' names elsewhere", "sh_link", |b| section(b, SYMTAB, 40, 1, 4)),
        ("symbols' names beyond", "sh_link", |b| section(b, SYMTAB, 40, 0xffff_ffff, 4)),
        ("symbols without names", "sh_link", |b| section(b, SYMTAB, 40, 0, 4)),
        ("info", "sh_info", |b| section(b, DATA, 44, 1, 4)),
        ("info of symbols", "sh_info", |b| section(b, SYMTAB, 44, 2, 4)),
        ("alignment 3", "sh_addralign", |b| section(b, DATA, 48, 3, 8)),
        ("alignment 2^63", "sh_addralign", |b| section(b, DATA, 48, 1 << 63, 8)),
        ("entry size", "sh_entsize", |b| section(b, DATA, 56, 1, 8)),
        ("entry size of symbols", "sh_entsize", |b| section(b, SYMTAB, 56, 0, 8)),
        ("symbols cut", "sh_size", |b| section(b, SYMTAB, 32, 23, 8)),
        ("image not on a page", "sh_offset", |b| {
            let at = range_of(b, IMAGE).start as u64;
            section(b, IMAGE, 48, 8, 8);
            section(b, IMAGE, 24, at + 8, 8);
            section(b, IMAGE, 32, PAGE as u64 - 8, 8);
        }),
        ("image of half a page", "sh_size", |b| section(b, IMAGE, 32, 2048, 8)),
        ("bytes at the end", "unused bytes follow", |b| b.push(0)),
        ("a page at the end", "unused bytes follow", |b| b.extend([0; PAGE])),
        ("bytes before .text", "byte between sections", |b| b[PAGE - 1] = 1),
        ("bytes behind the section headers", "byte between sections", |b| {
            let at = range_of(b, IMAGE).start;
            b[at - 1] = 1;
        }),
        ("section on the last page of .text", "on the last page", |b| {
            let (at, end) = (range_of(b, CONTRACT).start, range_of(b, TEXT).end as u64);
            section(b, CONTRACT, 24, end, 8);
            section(b, CONTRACT, 32, 8, 8);
            b[at..at + 8].fill(0);
        }),
        ("code behind .text", "byte behind .text", |b| {
            let at = range_of(b, TEXT).end;
            b[at] = 0x90;
        }),
        ("code at the end of the page", "byte behind .text", |b| {
            let at = range_of(b, TEXT).end.next_multiple_of(PAGE) - 1;
            b[at] = 0xc3;
        }),
    ]);
}
