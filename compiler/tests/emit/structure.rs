//! The container: sections, segments, symbols, padding.

use crate::module;
use lucet_artifact::container::{
    IMAGE, REQUIRED, SECTION_ORDER, STRTAB, SYMTAB, TEXT, TEXT_FILLER,
};
use lucet_artifact::trailer::{TRAILER_BYTES, Trailer};
use lucetc::emit::{emit, emit_object};
use lucetc::model::Compiled;
use lucetc::{Class, Errors};
use object::elf;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{Endianness, Object, ObjectSection, ObjectSymbol};

const LE: Endianness = Endianness::Little;

/// Modules of all kinds, with names.
pub fn modules() -> Vec<(&'static str, Compiled)> {
    vec![
        ("empty", module::empty()),
        ("adders", module::adders()),
        ("image", module::with_image(3)),
        ("translated", module::translated()),
    ]
}

#[test]
fn sections_have_the_container_s_order() {
    for (what, c) in modules() {
        let bytes = emit(&c).unwrap();
        let elf = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
        let names: Vec<_> = elf.sections().map(|s| s.name().unwrap().to_owned()).collect();
        let mut order = SECTION_ORDER.iter();
        for n in &names {
            assert!(order.any(|o| o == n), "{what}: {n} is unknown or out of order: {names:?}");
        }
        for r in REQUIRED {
            assert!(names.iter().any(|n| n == r), "{what}: no {r}");
        }
        let headers = elf.elf_header().e_shoff(LE);
        let mut end = 0;
        for s in elf.elf_section_table().iter().skip(1) {
            let (at, size) = (s.sh_offset(LE), s.sh_size(LE));
            assert!(at >= end, "{what}: sections overlap in the file");
            assert_eq!(at % s.sh_addralign(LE).max(1), 0);
            end = at + size;
            let name = elf.elf_section_table().section_name(LE, s).unwrap();
            assert_eq!(at > headers, name == IMAGE.as_bytes(), "{what}: section headers");
            let loaded = s.sh_flags(LE).0 & elf::SHF_ALLOC.0 != 0;
            assert_eq!(s.sh_addr(LE), if loaded { at } else { 0 });
        }
        assert_eq!(names.iter().any(|n| n == IMAGE), !c.image.is_empty());
    }
}

#[test]
fn segments_are_read_only_or_executable() {
    for (what, c) in modules() {
        let bytes = emit(&c).unwrap();
        let elf = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
        let header = elf.elf_header();
        assert_eq!(header.e_type(LE), elf::ET_DYN);
        assert_eq!(header.e_machine(LE), elf::EM_X86_64);
        assert_eq!(header.e_entry(LE), 0);
        let text = elf.section_by_name(TEXT).unwrap();
        let kinds: Vec<_> = elf
            .elf_program_headers()
            .iter()
            .map(|p| {
                assert_eq!(p.p_vaddr(LE), p.p_offset(LE), "{what}");
                assert_eq!(p.p_filesz(LE), p.p_memsz(LE), "{what}");
                (p.p_type(LE), p.p_flags(LE))
            })
            .collect();
        let (r, rw, rx) = (elf::PF_R, elf::PF_R | elf::PF_W, elf::PF_R | elf::PF_X);
        let mut want = vec![(elf::PT_LOAD, r), (elf::PT_LOAD, rx)];
        if !c.unwind.is_empty() {
            want.push((elf::PT_GNU_EH_FRAME, r));
        }
        want.push((elf::PT_GNU_STACK, rw));
        assert_eq!(kinds, want, "{what}");
        let code = &elf.elf_program_headers()[1];
        assert_eq!((code.p_offset(LE), code.p_filesz(LE)), (text.address(), text.size()));
        assert_eq!(code.p_offset(LE) % 4096, 0);
    }
}

#[test]
fn executable_pages_hold_code_and_traps_only() {
    for (what, c) in modules() {
        let bytes = emit(&c).unwrap();
        let elf = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
        let (at, size) = elf.section_by_name(TEXT).unwrap().file_range().unwrap();
        let (start, end) = (at as usize, (at + size) as usize);
        assert!(size > 0, "{what}: nothing to map");
        assert!(bytes[start..end].starts_with(&c.text));
        let page_end = end.next_multiple_of(4096);
        assert!(bytes[start + c.text.len()..page_end].iter().all(|b| *b == TEXT_FILLER), "{what}");
    }
}

#[test]
fn the_image_and_the_trailer_end_the_file() {
    let c = module::with_image(2);
    let bytes = emit(&c).unwrap();
    let elf = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
    let (at, size) = elf.section_by_name(IMAGE).unwrap().file_range().unwrap();
    assert_eq!((at % 4096, size), (0, 8192));
    assert_eq!(bytes.len() as u64, at + size + TRAILER_BYTES as u64);
    assert_eq!(elf.section_by_name(IMAGE).unwrap().data().unwrap(), c.image);
    let trailer = Trailer::decode(&bytes).unwrap();
    assert!(trailer.hash_matches(&bytes));
    assert_eq!((trailer.flags, trailer.parent, trailer.signature), (0, [0; 64], None));
}

#[test]
fn symbols_name_functions_and_glue() {
    let c = module::adders();
    let bytes = emit(&c).unwrap();
    let elf = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
    let text = elf.section_by_name(TEXT).unwrap().address();
    let table = elf.elf_symbol_table();
    let found: Vec<_> = elf
        .symbols()
        .map(|s| {
            let raw = table.symbol(s.index()).unwrap();
            assert_eq!(raw.st_info().st_type(), elf::STT_FUNC);
            assert_eq!(raw.st_info().st_bind(), elf::STB_LOCAL);
            (s.name().unwrap().to_owned(), (s.address() - text) as u32, s.size() as u32)
        })
        .collect();
    let place = |i: usize| (c.funcs[i].record.offset, c.funcs[i].record.size);
    let names = ["add_one", "größe", "", "add_one"];
    let mut want: Vec<_> =
        (1..).zip(names).map(|(i, n)| (n.to_owned(), place(i).0, place(i).1)).collect();
    want.push(("lucet_entry[0]".to_owned(), c.glue[0].offset, c.glue[0].size));
    assert_eq!(found, want);
    assert!(elf.section_by_name(SYMTAB).is_some() && elf.section_by_name(STRTAB).is_some());
    assert_eq!(elf.dynamic_symbols().count(), 0);
    assert!(elf.section_by_name(".dynamic").is_none());
}

#[test]
fn the_same_module_gives_the_same_bytes() {
    assert_eq!(emit(&module::adders()).unwrap(), emit(&module::adders()).unwrap());
    let object = || emit_object(&emit(&module::adders()).unwrap(), "x").unwrap();
    assert_eq!(object(), object());
}

#[test]
fn an_object_holds_the_artifact_and_one_symbol() {
    let artifact = emit(&module::with_image(1)).unwrap();
    let bytes = emit_object(&artifact, "lucet_artifact_x").unwrap();
    let elf = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
    assert_eq!(elf.elf_header().e_type(LE), elf::ET_REL);
    let section = elf.section_by_name(".lucet.artifact").unwrap();
    let (data, label) = lucet_artifact::linked::section(&artifact);
    assert_eq!((section.data().unwrap(), section.align()), (&*data, 4096));
    assert!(section.relocations().next().is_none());
    let found: Vec<_> = elf.symbols().filter(|s| s.is_global()).collect();
    let [symbol] = found.as_slice() else { panic!("{} symbols", found.len()) };
    assert_eq!((symbol.name(), symbol.address()), (Ok("lucet_artifact_x"), label as u64));
}

#[test]
fn contradictions_are_internal_errors() {
    let broken = |change: fn(&mut Compiled)| {
        let mut c = module::adders();
        change(&mut c);
        emit(&c).map(|_| ()).map_err(|e: Errors| e.class())
    };
    assert_eq!(broken(|_| ()), Ok(()));
    assert_eq!(broken(|c| c.contract.functions += 1), Err(Class::Internal));
    assert_eq!(broken(|c| c.image = vec![0; 100]), Err(Class::Internal));
    assert_eq!(broken(|c| c.funcs[1].record.offset += 1), Err(Class::Internal));
    assert_eq!(broken(|c| c.funcs[4].record.size = 1 << 30), Err(Class::Internal));
    assert_eq!(broken(|c| c.glue[0].offset = u32::MAX), Err(Class::Internal));
    assert_eq!(broken(|c| c.unwind[0].0 = 1 << 30), Err(Class::Internal));
    assert_eq!(broken(|c| c.contract.compiler = "x".repeat(65)), Err(Class::Limit));
}
