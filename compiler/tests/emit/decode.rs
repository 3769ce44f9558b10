//! The sections decode with the loader's decoders to what was put in.

use crate::module;
use lucet_artifact::code::{FuncTable, Hints, PcMap, TrapTable};
use lucet_artifact::container as names;
use lucet_artifact::contract::{Contract, Exports, Imports};
use lucet_artifact::types::{NO_CODE, TypeTable};
use lucetc::emit::{emit, sanitize};
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection};

#[test]
fn what_is_written_is_read() {
    let c = module::adders();
    let bytes = emit(&c).unwrap();
    let elf = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
    let section = |name| elf.section_by_name(name).unwrap().data().unwrap();
    let text = elf.section_by_name(names::TEXT).unwrap().size();
    let (format, contract) = Contract::decode(section(names::CONTRACT)).unwrap();
    assert_eq!((format, &contract), (lucet_artifact::FORMAT_VERSION, &c.contract));
    assert_eq!(TypeTable::decode(section(names::TYPES)).unwrap(), c.types);
    let types = c.types.types.len();
    assert_eq!(Imports::decode(section(names::IMPORTS), types).unwrap(), c.imports);
    assert_eq!(Exports::decode(section(names::EXPORTS), &contract).unwrap(), c.exports);
    assert_eq!(TrapTable::decode(section(names::TRAPS), text).unwrap(), c.traps);
    assert_eq!(Hints::decode(section(names::HINTS), text).unwrap(), c.hints);
    assert_eq!(section(names::DATA), c.data);

    let (strtab, pcmap) = (section(names::STRTAB), section(names::PCMAP));
    let (strings, rows) = (strtab.len() as u64, pcmap.len() as u64);
    let table = FuncTable::decode(section(names::FUNCS), text, types, strings, rows, 1).unwrap();
    assert_eq!(table.funcs.len(), c.funcs.len());
    for (found, func) in table.funcs.iter().zip(&c.funcs) {
        let name = strtab[found.name as usize..].split(|b| *b == 0).next().unwrap();
        assert_eq!(name, sanitize(&func.name).as_bytes());
        assert_eq!((found.offset, found.size), (func.record.offset, func.record.size));
        if found.offset == NO_CODE {
            assert_eq!(PcMap::lookup(pcmap, found.pcmap, 0), None);
        } else {
            let at = |pc| PcMap::lookup(pcmap, found.pcmap, pc);
            assert_eq!(at(3), Some(func.rows[0].wasm));
            assert_eq!(at(4), Some(30));
        }
    }
}
