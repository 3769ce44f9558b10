//! Segments and sections of kinds, names and attributes that lucetc does not write.

use super::super::Cases;
use super::super::elf::{Part, Section, section, segment};
use lucet_artifact::container::{DATA, EH_FRAME, PCMAP, TEXT};

pub fn cases(c: &mut Cases) {
    segments(c);
    sections(c);
    attributes(c);
}

fn segments(c: &mut Cases) {
    let kinds: [(&str, u32); 16] = [
        ("PT_NULL", 0),
        ("PT_INTERP", 3),
        ("PT_NOTE", 4),
        ("PT_SHLIB", 5),
        ("PT_PHDR", 6),
        ("PT_TLS", 7),
        ("number 8", 8),
        ("PT_LOOS", 0x6000_0000),
        ("PT_GNU_RELRO", 0x6474_e552),
        ("PT_GNU_PROPERTY", 0x6474_e553),
        ("PT_GNU_SFRAME", 0x6474_e554),
        ("PT_OPENBSD_RANDOMIZE", 0x65a3_dbe6),
        ("PT_SUNW_UNWIND", 0x6464_e550),
        ("PT_LOPROC", 0x7000_0000),
        ("PT_HIPROC", 0x7fff_ffff),
        ("the last number", u32::MAX),
    ];
    for (name, kind) in kinds {
        let contents = section(".note", 7, 2, b"/lib64/ld-linux-x86-64.so.2\0".to_vec());
        let part = || Part::Section(".note".into());
        c.elf(format!("{name} for the stack"), "p_type", |e| {
            e.insert_behind(EH_FRAME, contents.clone());
            *e.segments.last_mut().unwrap() = segment(kind, 4, part());
        });
        c.elf(format!("{name} before all others"), "e_phnum", |e| {
            e.insert_behind(EH_FRAME, contents);
            e.segments.insert(0, segment(kind, 4, part()));
        });
    }
    let load = |flags, part| super::super::elf::Segment { align: 4096, ..segment(1, flags, part) };
    let whole = || Part::Fixed(0, 0x1000);
    c.elf("a third PT_LOAD, writable", "order of PT_LOAD", |e| {
        e.segments[3] = load(6, whole());
    });
    c.elf("a third PT_LOAD, of code", "order of PT_LOAD", |e| {
        e.segments[3] = load(5, Part::Section(TEXT.into()));
    });
    c.elf("a third PT_LOAD, of nothing", "order of PT_LOAD", |e| {
        e.segments[3] = load(4, Part::Fixed(0, 0));
    });
    c.elf("code twice, data never", "order of PT_LOAD", |e| e.segments[0] = e.segments[1].clone());
    c.elf("code before data", "order of PT_LOAD", |e| e.segments.swap(0, 1));
    c.elf("no code", "PT_LOAD segments is missing", |e| {
        e.segments.remove(1);
    });
    c.elf("no data", "order of PT_LOAD", |e| {
        e.segments.remove(0);
    });
    c.elf("only a stack and frames", "PT_LOAD segments is missing", |e| {
        e.segments.drain(..2);
    });
    c.elf("two stacks", "p_type", |e| e.segments[2] = e.segments[3].clone());
    c.elf("two tables of frames", "p_type", |e| e.segments[3] = e.segments[2].clone());
    c.elf("frames are those of another section", "PT_GNU_EH_FRAME", |e| {
        e.segments[2].part = Part::Section(EH_FRAME.into());
    });
    c.elf("frames are code", "PT_GNU_EH_FRAME", |e| {
        e.segments[2].part = Part::Section(TEXT.into());
    });
}

fn sections(c: &mut Cases) {
    // Name, type, flags, of what compilers and linkers write.
    let names: [(&str, u32, u64); 58] = [
        (".interp", 1, 2),
        (".note.gnu.build-id", 7, 2),
        (".note.gnu.property", 7, 2),
        (".note.ABI-tag", 7, 2),
        (".note.GNU-stack", 1, 4),
        (".gnu.hash", 0x6fff_fff6, 2),
        (".hash", 5, 2),
        (".dynsym", 11, 2),
        (".dynstr", 3, 2),
        (".gnu.version", 0x6fff_ffff, 2),
        (".gnu.version_d", 0x6fff_fffd, 2),
        (".gnu.version_r", 0x6fff_fffe, 2),
        (".rela.dyn", 4, 2),
        (".rela.plt", 4, 0x42),
        (".rel.dyn", 9, 2),
        (".relr.dyn", 19, 2),
        (".init", 1, 6),
        (".fini", 1, 6),
        (".plt", 1, 6),
        (".plt.got", 1, 6),
        (".plt.sec", 1, 6),
        (".iplt", 1, 6),
        (".text.unlikely", 1, 6),
        (".text.startup", 1, 6),
        (".rodata", 1, 2),
        (".rodata.str1.1", 1, 0x32),
        (".gcc_except_table", 1, 2),
        (".sframe", 1, 2),
        (".init_array", 14, 3),
        (".fini_array", 15, 3),
        (".preinit_array", 16, 3),
        (".ctors", 1, 3),
        (".dtors", 1, 3),
        (".jcr", 1, 3),
        (".data.rel.ro", 1, 3),
        (".dynamic", 6, 3),
        (".got", 1, 3),
        (".got.plt", 1, 3),
        (".data", 1, 3),
        (".bss", 8, 3),
        (".tdata", 1, 0x403),
        (".tbss", 8, 0x403),
        (".tm_clone_table", 1, 3),
        (".comment", 1, 0x30),
        (".group", 17, 0),
        (".symtab_shndx", 18, 0),
        (".gnu.attributes", 0x6fff_fff5, 0),
        (".gnu.warning.gets", 1, 0),
        (".gnu_debuglink", 1, 0),
        (".gnu.lto_.symtab", 1, 1 << 31),
        (".debug_info", 1, 0),
        (".zdebug_info", 1, 0),
        (".debug_line.compressed", 1, 0x800),
        (".stab", 1, 0),
        (".llvm_addrsig", 0x6fff_4c03, 1 << 31),
        (".lucet.evil", 1, 0),
        (".TEXT", 1, 6),
        (".text ", 1, 6),
    ];
    let contents = || vec![0x10; 64];
    for (name, kind, flags) in names {
        let part = format!("unknown section {name:?}");
        let add = section(name, kind, flags, contents());
        // Behind the first segment if it is loaded, else among those that are read.
        let place = if flags & 2 == 0 { PCMAP } else { EH_FRAME };
        c.elf(format!("section {name}"), &part, |e| e.insert_behind(place, add));
    }
    for name in
        ["", "text", "..text", ".lucet", ".lucet.", ".lucet.data2", ".lucet.dat", "\u{202e}"]
    {
        let part = format!("unknown section {name:?}");
        let add = section(name, 1, 0, contents());
        c.elf(format!("section named {name:?}"), &part, |e| e.insert_behind(PCMAP, add));
    }
}

fn attributes(c: &mut Cases) {
    let kinds: [(&str, u32); 30] = [
        ("NULL", 0),
        ("SYMTAB", 2),
        ("STRTAB", 3),
        ("RELA", 4),
        ("HASH", 5),
        ("DYNAMIC", 6),
        ("NOTE", 7),
        ("NOBITS", 8),
        ("REL", 9),
        ("SHLIB", 10),
        ("DYNSYM", 11),
        ("INIT_ARRAY", 14),
        ("FINI_ARRAY", 15),
        ("PREINIT_ARRAY", 16),
        ("GROUP", 17),
        ("SYMTAB_SHNDX", 18),
        ("RELR", 19),
        ("CREL", 0x4000_0014),
        ("LLVM_LINKER_OPTIONS", 0x6fff_4c01),
        ("GNU_ATTRIBUTES", 0x6fff_fff5),
        ("GNU_HASH", 0x6fff_fff6),
        ("GNU_LIBLIST", 0x6fff_fff7),
        ("CHECKSUM", 0x6fff_fff8),
        ("GNU_verdef", 0x6fff_fffd),
        ("GNU_verneed", 0x6fff_fffe),
        ("GNU_versym", 0x6fff_ffff),
        ("X86_64_UNWIND", 0x7000_0001),
        ("LOUSER", 0x8000_0000),
        ("HIUSER", 0xffff_ffff),
        ("number 12", 12),
    ];
    for (name, kind) in kinds {
        c.elf(format!("{DATA} of type {name}"), "sh_type", |e| e.find(DATA).kind = kind);
    }
    for (name, kind) in kinds.into_iter().filter(|(_, k)| [0, 4, 6, 8, 14, 17].contains(k)) {
        c.elf(format!("{TEXT} of type {name}"), "sh_type", |e| e.find(TEXT).kind = kind);
    }
    let flags: [(&str, u64); 17] = [
        ("WRITE", 1),
        ("ALLOC", 2),
        ("EXECINSTR", 4),
        ("MERGE", 0x10),
        ("STRINGS", 0x20),
        ("INFO_LINK", 0x40),
        ("LINK_ORDER", 0x80),
        ("OS_NONCONFORMING", 0x100),
        ("GROUP", 0x200),
        ("TLS", 0x400),
        ("COMPRESSED", 0x800),
        ("GNU_RETAIN", 1 << 21),
        ("GNU_MBIND", 1 << 24),
        ("X86_64_LARGE", 1 << 28),
        ("ORDERED", 1 << 30),
        ("EXCLUDE", 1 << 31),
        ("bit 63", 1 << 63),
    ];
    for (name, flag) in flags {
        for target in [DATA, TEXT, EH_FRAME] {
            c.elf(format!("{target}: SHF_{name} the other way"), "sh_flags", |e| {
                e.find(target).flags ^= flag;
            });
        }
    }
    // A compressed section has a header of its own: zlib, 2^63 bytes when unpacked.
    c.elf("a compressed section that unpacks to 2^63 bytes", "sh_flags", |e| {
        let s = e.find(DATA);
        s.flags = 0x800;
        s.bytes = [1u64, 1 << 63, 1].iter().flat_map(|w| w.to_le_bytes()).collect();
    });
    c.elf("a group that has itself as a member", "unknown section \".group\"", |e| {
        let index = e.index(PCMAP) as u32 + 2;
        let bytes = [1, index].iter().flat_map(|w: &u32| w.to_le_bytes()).collect();
        let s = Section { entsize: 4, info: 1, ..section(".group", 17, 0, bytes) };
        e.insert_behind(PCMAP, s);
    });
}
