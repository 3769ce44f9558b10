//! The sections decode with the loader's decoders to what was put in.

use crate::module;
use crate::structure::modules;
use lucet_artifact::code::{FuncTable, Hints, PcMap, TrapTable};
use lucet_artifact::container as names;
use lucet_artifact::contract::{Contract, Exports, ImportKind, Imports};
use lucet_artifact::types::TypeTable;
use lucetc::emit::{emit, sanitize};
use lucetc::model::Compiled;
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection};

#[test]
fn what_is_written_is_read() {
    for (what, c) in modules() {
        let bytes = emit(&c).unwrap();
        let elf = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
        let section = |name| elf.section_by_name(name).map_or(&[][..], |s| s.data().unwrap());
        let text = elf.section_by_name(names::TEXT).unwrap().size();
        let (format, contract) = Contract::decode(section(names::CONTRACT)).unwrap();
        assert_eq!((format, &contract), (lucet_artifact::FORMAT_VERSION, &c.contract), "{what}");
        assert_eq!(TypeTable::decode(section(names::TYPES)).unwrap(), c.types, "{what}");
        let types = c.types.types.len();
        assert_eq!(Imports::decode(section(names::IMPORTS), types).unwrap(), c.imports, "{what}");
        let exports = Exports::decode(section(names::EXPORTS), &contract).unwrap();
        assert_eq!(exports, c.exports, "{what}");
        assert_eq!(TrapTable::decode(section(names::TRAPS), text).unwrap(), c.traps, "{what}");
        if !c.hints.data.is_empty() {
            assert_eq!(Hints::decode(section(names::HINTS), text).unwrap(), c.hints, "{what}");
        }
        assert_eq!(section(names::INIT), c.init.encode().unwrap(), "{what}");
        assert_eq!(section(names::DATA), c.data, "{what}");
        functions(&c, section(names::FUNCS), text, section(names::STRTAB), section(names::PCMAP));
    }
}

/// Function records, with their names and rows of the pc map.
fn functions(c: &Compiled, funcs: &[u8], text: u64, strtab: &[u8], pcmap: &[u8]) {
    let kinds = c.imports.imports.iter().map(|i| i.kind);
    let imported = kinds.filter(|k| matches!(k, ImportKind::Func(_))).count() as u32;
    let (types, strings, rows) = (c.types.types.len(), strtab.len() as u64, pcmap.len() as u64);
    let table = FuncTable::decode(funcs, text, types, strings, rows, imported).unwrap();
    assert_eq!(table.funcs.len(), c.funcs.len());
    for (found, func) in table.funcs.iter().zip(&c.funcs) {
        let name = strtab[found.name as usize..].split(|b| *b == 0).next().unwrap();
        assert_eq!(name, sanitize(&func.name).as_bytes());
        let (name, pcmap_at) = (found.name, found.pcmap);
        assert_eq!(
            *found,
            lucet_artifact::code::FuncRecord { name, pcmap: pcmap_at, ..func.record }
        );
        for row in &func.rows {
            let want = (row.wasm != lucet_artifact::types::NO_CODE).then_some(row.wasm);
            assert_eq!(PcMap::lookup(pcmap, pcmap_at, row.pc), want);
        }
        if func.rows.is_empty() {
            assert_eq!(PcMap::lookup(pcmap, pcmap_at, 0), None);
        }
    }
}

#[test]
fn equal_names_are_stored_once() {
    let bytes = emit(&module::adders()).unwrap();
    let elf = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
    let strtab = elf.section_by_name(names::STRTAB).unwrap().data().unwrap();
    assert_eq!(strtab.windows(8).filter(|w| w == b"add_one\0").count(), 1);
    assert!(module::NAMES.contains(&"add one"));
}
