//! What the stages hand to each other: options in, compiled code out.
//!
//! ```text
//!  bytes ─parse─► Parsed ─plan─► Plan ─translate/codegen─► Compiled ─emit─► artifact bytes
//! ```

use cranelift_codegen::gimli::write::CommonInformationEntry;
use cranelift_codegen::isa::unwind::systemv::UnwindInfo;
use lucet_artifact::code::{FuncRecord, HandlerTable, Hints, PcRow, TrapTable};
use lucet_artifact::contract::{Contract, Exports, Imports};
use lucet_artifact::init::Init;
use lucet_artifact::types::TypeTable;

/// Where a language feature is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a declaration: the word for it and its index, for example `memory` 1.
    Part(&'static str, u32),
    /// In code.
    Code {
        /// Function index.
        function: u32,
        /// Offset in the wasm file.
        offset: u32,
    },
}

/// Language features that a module uses, with the first place of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    bits: u64,
    places: Vec<(u64, Place)>,
}

impl Uses {
    /// Bits of [`lucet_artifact::contract::feature`].
    #[must_use]
    pub fn bits(&self) -> u64 {
        self.bits
    }

    /// Notes that features are used.
    pub fn note(&mut self, bits: u64, place: Place) {
        let new = bits & !self.bits;
        if new != 0 {
            self.bits |= new;
            self.places.push((new, place));
        }
    }

    /// Where a feature is used first; declarations come before code.
    #[must_use]
    pub fn first(&self, bit: u64) -> Option<Place> {
        self.places.iter().find(|(bits, _)| bits & bit != 0).map(|(_, place)| *place)
    }
}

/// A function of the module's index space, with everything the emitter needs to describe it.
#[derive(Debug)]
pub struct CompiledFunc {
    /// The record for `.lucet.funcs`; `name` and `pcmap` are filled in by the emitter.
    pub record: FuncRecord,
    /// Name for `.symtab`: from the name section, else the first export's, else `wasm[N]`.
    /// Not unique, not escaped.
    pub name: String,
    /// Rows for the pc map, ascending, relative to the function; empty for import stubs.
    pub rows: Vec<PcRow>,
}

/// A piece of code that is no function of the module: trampolines and adapters.
#[derive(Debug)]
pub struct Glue {
    /// Name for `.symtab`, for example `lucet_entry[3]`.
    pub name: String,
    /// Offset in `.text`.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
}

/// A compiled module, laid out but not yet written as ELF.
#[derive(Debug)]
pub struct Compiled {
    /// The contract.
    pub contract: Contract,
    /// Where language features are used.
    pub uses: Uses,
    /// Distinct function types with trampoline and adapter offsets.
    pub types: TypeTable,
    /// Imports.
    pub imports: Imports,
    /// Exports.
    pub exports: Exports,
    /// Initial state.
    pub init: Init,
    /// `.lucet.data`.
    pub data: Vec<u8>,
    /// `.lucet.image`: whole native pages.
    pub image: Vec<u8>,
    /// `.text`, functions 32-byte aligned, `int3` between.
    pub text: Vec<u8>,
    /// Functions, imported ones first.
    pub funcs: Vec<CompiledFunc>,
    /// Trampolines and adapters.
    pub glue: Vec<Glue>,
    /// Trap sites.
    pub traps: TrapTable,
    /// Calls that exceptions may leave to a landing pad.
    pub handlers: HandlerTable,
    /// Constants and jump tables inside functions.
    pub hints: Hints,
    /// Unwind information: offset in `.text` of the piece of code it is for; ascending.
    pub unwind: Vec<(u32, UnwindInfo)>,
    /// The common part of the unwind information.
    pub cie: CommonInformationEntry,
}
