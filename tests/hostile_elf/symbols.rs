//! Symbols that mean more than a name for a place, and tables of names that do not end.

use super::super::Cases;
use super::super::elf::{Built, put};
use lucet_artifact::container::{CONTRACT, PCMAP, SHSTRTAB, STRTAB, SYMTAB, TEXT, TYPES};

/// Changes the second symbol, the first that is one.
fn symbol(b: &mut Built, at: usize, value: u64, bytes: usize) {
    let table = b.range(SYMTAB).start;
    put(&mut b.bytes, table + 24 + at, value, bytes);
}

pub fn cases(c: &mut Cases) {
    let infos: [(&str, u64); 17] = [
        ("global", 0x12),
        ("weak", 0x22),
        ("unique (STB_GNU_UNIQUE)", 0xa2),
        ("of binding 3", 0x32),
        ("of a processor's binding", 0xd2),
        ("without a type", 0x00),
        ("an object", 0x01),
        ("a section", 0x03),
        ("a file", 0x04),
        ("common", 0x05),
        ("thread-local", 0x06),
        ("an indirect function (STT_GNU_IFUNC)", 0x0a),
        ("a global indirect function", 0x1a),
        ("a unique object", 0xa1),
        ("a weak object", 0x21),
        ("of a processor's type", 0x0d),
        ("of everything", 0xff),
    ];
    for (name, info) in infos {
        c.field(format!("a symbol that is {name}"), "st_info", |b| symbol(b, 4, info, 1));
    }
    for (name, v) in [("internal", 1), ("hidden", 2), ("protected", 3), ("of other bits", 0x80)] {
        c.field(format!("a symbol that is {name}"), "st_other", |b| symbol(b, 5, v, 1));
    }
    let sections: [(&str, u64); 8] = [
        ("nowhere (SHN_UNDEF)", 0),
        ("at a fixed address (SHN_ABS)", 0xfff1),
        ("common (SHN_COMMON)", 0xfff2),
        ("elsewhere (SHN_XINDEX)", 0xffff),
        ("in a reserved section", 0xff00),
        ("in .eh_frame_hdr", 1),
        ("in the contract", 4),
        ("in a section that is not there", 99),
    ];
    for (name, v) in sections {
        c.field(format!("a symbol defined {name}"), "st_shndx", |b| symbol(b, 6, v, 2));
    }
    for v in [0, 0xfff, 0x7fff_ffff, 1 << 63, u64::MAX] {
        c.field(format!("a symbol at {v:#x}"), "st_value", |b| symbol(b, 8, v, 8));
    }
    for v in [0x10_0000, 1 << 63, u64::MAX] {
        c.field(format!("a symbol of {v:#x} bytes"), "st_size", |b| symbol(b, 16, v, 8));
    }
    for v in [0x10_0000, 0x8000_0000, u32::MAX.into()] {
        c.field(format!("a symbol with a name at {v:#x}"), "st_name", |b| symbol(b, 0, v, 4));
    }
    for at in [0, 4, 6, 8, 16] {
        c.field(format!("the first symbol is not empty at {at}"), "first symbol", |b| {
            let table = b.range(SYMTAB).start;
            b.bytes[table + at] = 1;
        });
    }
    table(c);
    names(c);
}

fn table(c: &mut Cases) {
    c.elf("no local symbols", "sh_info", |e| e.find(SYMTAB).info = 0);
    c.elf("one symbol is not local", "sh_info", |e| e.find(SYMTAB).info -= 1);
    c.elf("more local symbols than symbols", "sh_info", |e| e.find(SYMTAB).info = u32::MAX);
    for size in [0, 1, 16, 25, 1 << 63] {
        c.elf(format!("symbols of {size} bytes"), "sh_entsize", |e| e.find(SYMTAB).entsize = size);
    }
    c.elf("half a symbol", "sh_size", |e| e.find(SYMTAB).bytes.extend([0; 12]));
    for (what, link) in [("nothing", 0), ("themselves", 13), ("code", 3), ("nowhere", u32::MAX)] {
        c.elf(format!("symbols linked to {what}"), "sh_link", |e| e.find(SYMTAB).link = Some(link));
    }
    c.elf("symbols linked to names of sections", "sh_link", |e| {
        e.find(SYMTAB).link = Some(e.index(SHSTRTAB) as u32 + 1);
    });
    c.elf("dynamic symbols", "sh_type", |e| e.find(SYMTAB).kind = 11);
}

fn names(c: &mut Cases) {
    c.field("names of sections without an end", "sh_name", |b| {
        let end = b.range(SHSTRTAB).end;
        b.bytes[end - 1] = b'x';
    });
    c.field("names without an end", "begin and end with NUL", |b| {
        let end = b.range(STRTAB).end;
        b.bytes[end - 1] = b'x';
    });
    c.field("names without a beginning", "begin and end with NUL", |b| {
        let at = b.range(STRTAB).start;
        b.bytes[at] = b'x';
    });
    c.field("names that are no text", "not UTF-8", |b| {
        let at = b.range(STRTAB).start;
        b.bytes[at + 1] = 0xff;
    });
    c.elf("no names", "st_name", |e| e.find(STRTAB).bytes.clear());
    c.elf("no names, no symbols", ".lucet.funcs", |e| {
        e.find(STRTAB).bytes.clear();
        e.remove(SYMTAB);
    });
    for v in [0x1000, 0x7fff_ffff, 0x8000_0000, u32::MAX.into()] {
        c.field(format!("a section named at {v:#x}"), "sh_name", |b| {
            let h = b.section(TYPES);
            put(&mut b.bytes, h, v, 4);
        });
    }
    c.field("a section named by a part of a name", "unknown section \"types\"", |b| {
        let h = b.section(TYPES);
        let at = super::super::elf::get(&b.bytes, h, 4);
        put(&mut b.bytes, h, at + 7, 4);
    });
    for (name, part) in [
        (TEXT, "p_offset of code"),
        (CONTRACT, "section .shstrtab: sh_type"),
        (PCMAP, "section .shstrtab: sh_type"),
        (STRTAB, "section .strtab is repeated"),
        (SYMTAB, "section .shstrtab: sh_type"),
    ] {
        c.elf(format!("{name} has the names of sections"), part, |e| {
            let names = e.index(SHSTRTAB);
            let other = e.index(name);
            let (a, b) = (e.sections[names].name.clone(), e.sections[other].name.clone());
            (e.sections[names].name, e.sections[other].name) = (b, a);
        });
    }
}
