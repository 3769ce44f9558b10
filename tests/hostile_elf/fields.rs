//! One number of one header is wrong: every field there is, with the values that have hurt other
//! readers.

use super::super::Cases;
use super::super::elf::{get, put};
use lucet::Status;
use lucet_artifact::container::{
    CONTRACT, DATA, EH_FRAME, EH_FRAME_HDR, IMAGE, INIT, SHSTRTAB, STRTAB, SYMTAB, TEXT, TYPES,
};

/// Sizes and offsets that no file has.
const HUGE: [u64; 4] = [1 << 63, u64::MAX, (1 << 63) - 1, 1 << 40];

pub fn cases(c: &mut Cases) {
    file_header(c);
    numbering(c);
    program_headers(c);
    section_headers(c);
    others(c);
}

fn file_header(c: &mut Cases) {
    let fields: [(&str, usize, usize, &[u64], &str); 17] = [
        ("magic", 1, 1, &[0x65, 0], ""),
        ("class", 4, 1, &[0, 1, 3], "e_ident at file offset 0x4"),
        ("byte order", 5, 1, &[0, 2], "e_ident at file offset 0x5"),
        ("ident version", 6, 1, &[0, 2], "e_ident at file offset 0x6"),
        ("OS ABI", 7, 1, &[3, 6, 9, 12, 97, 255], "e_ident at file offset 0x7"),
        ("ABI version", 8, 1, &[1], "e_ident at file offset 0x8"),
        ("padding of ident", 9, 7, &[1, 1 << 48], "e_ident"),
        ("type", 16, 2, &[0, 1, 2, 4, 0xfe00, 0xff00, 0xffff], "e_type"),
        ("version", 20, 4, &[0, 2, u32::MAX as u64], "e_version"),
        ("entry point", 24, 8, &[1, 0x1000, u64::MAX], "e_entry"),
        ("program headers", 32, 8, &[0, 65, 0x1000, 1 << 63, u64::MAX], "e_phoff"),
        ("section headers", 40, 8, &[1 << 63, u64::MAX, u64::MAX - 7, 4], "e_shoff"),
        ("flags", 48, 4, &[1, u32::MAX as u64], "e_flags"),
        ("header size", 52, 2, &[0, 52, 0xffff], "e_ehsize"),
        ("program header size", 54, 2, &[0, 1, 32, 57, 0xffff], "e_phentsize"),
        ("section header size", 58, 2, &[0, 1, 40, 65, 0xffff], "e_shentsize"),
        ("index of names", 62, 2, &[0, 0xff00, 0xfff1, 0xffff], "e_shstrndx"),
    ];
    for (what, at, bytes, values, part) in fields {
        for v in values {
            let name = format!("file header: {what} {v:#x}");
            if what == "magic" {
                c.field(name, "not an artifact", |b| put(&mut b.bytes, at, *v, bytes));
                c.all.last_mut().unwrap().status = Status::NotAnArtifact;
            } else {
                c.field(name, part, |b| put(&mut b.bytes, at, *v, bytes));
            }
        }
    }
    for machine in [0, 3, 40, 183, 243, 247, 0xffff] {
        c.field(format!("machine {machine}"), "compiled for another machine", |b| {
            put(&mut b.bytes, 18, machine, 2);
        });
        c.all.last_mut().unwrap().status = Status::UnsupportedArtifact;
    }
}

/// Numbers of headers, and the ways in which ELF says that they do not fit into 16 bits.
fn numbering(c: &mut Cases) {
    for n in [0, 1, 5, 0x7fff, 0xffff] {
        c.field(format!("{n:#x} segments"), "e_phnum", |b| put(&mut b.bytes, 56, n, 2));
    }
    for n in [0, 1, 11, 21, 0xff00, 0xffff] {
        c.field(format!("{n:#x} sections"), "e_shnum", |b| put(&mut b.bytes, 60, n, 2));
    }
    c.field("one section less", "unused bytes follow", |b| {
        let n = get(&b.bytes, 60, 2);
        put(&mut b.bytes, 60, n - 1, 2);
    });
    c.field("one section more", "unknown section \"\"", |b| {
        let n = get(&b.bytes, 60, 2);
        put(&mut b.bytes, 60, n + 1, 2);
    });
    // The true number in the first section header.
    c.field("sections counted elsewhere", "e_shnum", |b| {
        let (n, at) = (get(&b.bytes, 60, 2), get(&b.bytes, 40, 8) as usize);
        put(&mut b.bytes, 60, 0, 2);
        put(&mut b.bytes, at + 32, n, 8);
    });
    c.field("2^32 sections counted elsewhere", "e_shnum", |b| {
        let at = get(&b.bytes, 40, 8) as usize;
        put(&mut b.bytes, 60, 0, 2);
        put(&mut b.bytes, at + 32, 1 << 32, 8);
    });
    c.field("segments counted elsewhere", "e_phnum", |b| {
        let (n, at) = (get(&b.bytes, 56, 2), get(&b.bytes, 40, 8) as usize);
        put(&mut b.bytes, 56, 0xffff, 2);
        put(&mut b.bytes, at + 44, n, 4);
    });
    c.field("index of names elsewhere", "e_shstrndx", |b| {
        let (n, at) = (get(&b.bytes, 62, 2), get(&b.bytes, 40, 8) as usize);
        put(&mut b.bytes, 62, 0xffff, 2);
        put(&mut b.bytes, at + 40, n, 4);
    });
    for (what, at) in [("name", 0), ("type", 4), ("offset", 24), ("size", 32), ("info", 44)] {
        c.field(format!("first section header: {what}"), "section header 0", |b| {
            let h = get(&b.bytes, 40, 8) as usize;
            put(&mut b.bytes, h + at, 1, 4);
        });
    }
}

fn program_headers(c: &mut Cases) {
    for (i, which) in ["data", "code", "frames", "stack"].into_iter().enumerate() {
        let fields: [(&str, usize, &str); 3] =
            [("p_vaddr", 16, "p_vaddr"), ("p_paddr", 24, "p_paddr"), ("p_memsz", 40, "p_memsz")];
        for (field, at, part) in fields {
            for v in [1, 1 << 63, u64::MAX] {
                c.field(format!("{which}: {field} {v:#x}"), part, |b| {
                    let h = b.segment(i);
                    put(&mut b.bytes, h + at, v, 8);
                });
            }
        }
        for v in HUGE {
            c.field(format!("{which}: offset and addresses {v:#x}"), "p_offset", |b| {
                let h = b.segment(i);
                for at in [8, 16, 24] {
                    put(&mut b.bytes, h + at, v, 8);
                }
            });
            c.field(format!("{which}: sizes {v:#x}"), "p_filesz", |b| {
                let h = b.segment(i);
                put(&mut b.bytes, h + 32, v, 8);
                put(&mut b.bytes, h + 40, v, 8);
            });
        }
        for v in [3, 5, 8191, 1 << 21, 1 << 63, u64::MAX] {
            c.field(format!("{which}: alignment {v:#x}"), "p_align", |b| {
                let h = b.segment(i);
                put(&mut b.bytes, h + 48, v, 8);
            });
        }
    }
    for (i, which) in ["data", "code"].into_iter().enumerate() {
        for v in [0, 1, 2, 2048] {
            c.field(format!("{which}: alignment {v}"), "p_align", |b| {
                let h = b.segment(i);
                put(&mut b.bytes, h + 48, v, 8);
            });
        }
        c.field(format!("{which}: more in memory than in the file"), "p_memsz", |b| {
            let h = b.segment(i);
            let size = get(&b.bytes, h + 32, 8);
            put(&mut b.bytes, h + 40, size + 4096, 8);
        });
        c.field(format!("{which}: more in the file than in memory"), "p_memsz", |b| {
            let h = b.segment(i);
            put(&mut b.bytes, h + 40, 16, 8);
        });
    }
    // All combinations of rights, those of the file's other segment included.
    for (i, which, right) in [(0, "data", 4), (1, "code", 5), (2, "frames", 4)] {
        for flags in (0..8).chain([0x0010_0004, 0x8000_0005]).filter(|f| *f != right) {
            let part = if i == 2 { "p_flags" } else { "p_flags or order of PT_LOAD" };
            c.field(format!("{which}: rights {flags:#x}"), part, |b| {
                let h = b.segment(i);
                put(&mut b.bytes, h + 4, flags, 4);
            });
        }
    }
    for flags in [1, 5, 7, 8, 1 << 20] {
        c.field(format!("stack: rights {flags:#x}"), "p_flags of PT_GNU_STACK", |b| {
            let h = b.segment(3);
            put(&mut b.bytes, h + 4, flags, 4);
        });
    }
    c.field("a stack with a size", "p_filesz of PT_GNU_STACK", |b| {
        let h = b.segment(3);
        put(&mut b.bytes, h + 32, 4096, 8);
        put(&mut b.bytes, h + 40, 4096, 8);
    });
}

fn section_headers(c: &mut Cases) {
    let names = [EH_FRAME_HDR, EH_FRAME, TEXT, CONTRACT, TYPES, INIT, DATA, SYMTAB, STRTAB, IMAGE];
    for name in names {
        for v in HUGE {
            c.field(format!("{name}: size {v:#x}"), "sh_size", |b| {
                let h = b.section(name);
                put(&mut b.bytes, h + 32, v, 8);
            });
            let part = if name == TEXT || name.starts_with(".eh") { "sh_" } else { "sh_offset" };
            c.field(format!("{name}: offset {v:#x}"), part, |b| {
                let h = b.section(name);
                put(&mut b.bytes, h + 24, v, 8);
            });
        }
        for v in [3, 8192, 1 << 63, u64::MAX] {
            c.field(format!("{name}: alignment {v:#x}"), "sh_addralign", |b| {
                let h = b.section(name);
                put(&mut b.bytes, h + 48, v, 8);
            });
        }
        c.field(format!("{name}: address"), "sh_addr", |b| {
            let h = b.section(name);
            put(&mut b.bytes, h + 16, 0x40_0000, 8);
        });
        if name != SYMTAB {
            let fields = [("sh_link", 40, 4), ("sh_info", 44, 4), ("sh_entsize", 56, 8)];
            for (field, at, bytes) in fields {
                c.field(format!("{name}: {field}"), field, |b| {
                    let h = b.section(name);
                    put(&mut b.bytes, h + at, 1, bytes);
                });
            }
        }
    }
}

fn others(c: &mut Cases) {
    c.field("the names are another section's bytes", "unknown section", |b| {
        let h = b.section(SHSTRTAB);
        let at = b.range(DATA).start as u64;
        put(&mut b.bytes, h + 24, at, 8);
    });
    c.field("the names lie beyond", "sh_offset", |b| {
        let h = b.section(SHSTRTAB);
        put(&mut b.bytes, h + 24, 1 << 62, 8);
    });
    c.field("section headers in the program headers", "section header 0", |b| {
        put(&mut b.bytes, 40, 64, 8);
    });
    c.field("section headers in .text", "section header 0", |b| {
        let at = b.range(TEXT).start as u64;
        put(&mut b.bytes, 40, at, 8);
    });
}
