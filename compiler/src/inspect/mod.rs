//! What an artifact says about itself, for people and for programs.
//!
//! ```text
//!  bytes ─trailer, hash─► container ─elf─► sections ─decoders─► Description ─┬─text─► terminal
//!                                                                           └─json─► programs
//! ```
//!
//! Nothing is run and nothing is mapped. The bytes may be anything: the readers are those of the
//! loader, and what they refuse is an error here too. What the loader checks *between* sections and
//! against its own machine is not checked: a description says what a file claims, not that it may
//! be loaded.

mod json;
mod signature;
mod text;

use crate::error::{Class, Diagnostic, Errors};
use lucet_artifact::code::FuncTable;
use lucet_artifact::codec::DecodeError;
use lucet_artifact::container::{
    CONTRACT, DATA, EXPORTS, FUNCS, IMAGE, IMPORTS, PCMAP, SNAPSHOT, STRTAB, TEXT, TYPES,
};
use lucet_artifact::contract::{Contract, Export, Exports, Extern, Import, ImportKind, Imports};
use lucet_artifact::elf::{self, Elf};
use lucet_artifact::snapshot::Snapshot;
use lucet_artifact::trailer::{FLAG_SNAPSHOT, TRAILER_BYTES, Trailer};
use lucet_artifact::types::{FuncType, TypeTable};
use lucet_artifact::{FORMAT_VERSION, OLDEST_READABLE_FORMAT};

pub use signature::Signer;

/// Longest type that is repeated wherever it occurs, in characters; of longer ones the number.
const MAX_INLINE: usize = 160;

/// An artifact's facts.
#[derive(Debug)]
pub struct Description {
    /// Version of the format.
    pub format: u32,
    /// The contract.
    pub contract: Contract,
    /// Function types.
    pub types: TypeTable,
    /// Imports.
    pub imports: Imports,
    /// Exports.
    pub exports: Exports,
    /// What is particular about a snapshot.
    pub snapshot: Option<Snapshot>,
    /// Hash of the artifact that a snapshot was taken of.
    pub parent: Option<[u8; 64]>,
    /// BLAKE2b-512 of the artifact, checked: what embedders pin.
    pub hash: [u8; 64],
    /// Who signed it, as it says; not checked.
    pub signer: Option<Signer>,
    /// Sizes in bytes: of the file, its code, its image, its data segments.
    pub sizes: Sizes,
    funcs: FuncTable,
}

/// Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The file.
    pub file: usize,
    /// Machine code.
    pub code: usize,
    /// Pages of the initial memories.
    pub image: usize,
    /// Data segments that are copied at run time.
    pub data: usize,
}

fn bad(message: String, help: &str) -> Errors {
    Diagnostic::new(Class::Malformed, message).help(help).into()
}

const DAMAGED: &str = "the file is damaged, or was changed after lucetc wrote it: copy it again";

/// Reads an artifact.
///
/// # Errors
///
/// [`Class::Malformed`]: it is none, or it is damaged; [`Class::Unsupported`]: it is of a format
/// that this version does not read, or for another machine.
pub fn inspect(bytes: &[u8]) -> Result<Description, Errors> {
    if bytes.starts_with(b"\0asm") {
        let help = "compile it first: lucetc FILE -o FILE.so";
        return Err(bad("this is a WebAssembly module, not an artifact".into(), help));
    }
    if !bytes.starts_with(b"\x7fELF") {
        let help = "lucetc inspect reads the .so files that lucetc writes";
        return Err(bad("this is no artifact".into(), help));
    }
    let trailer = Trailer::decode(bytes).map_err(|e| {
        let help = "it was cut off, changed by another tool (strip, objcopy), or not written by \
                    lucetc";
        bad(format!("this is no whole artifact: trailer: {e}"), help)
    })?;
    if !trailer.hash_matches(bytes) {
        return Err(bad("the hash does not match".into(), DAMAGED));
    }
    let body = bytes.get(..bytes.len().saturating_sub(TRAILER_BYTES)).unwrap_or_default();
    let elf = elf::parse(body).map_err(|e| match e.status {
        elf::Status::InvalidArtifact => bad(e.message, DAMAGED),
        elf::Status::UnsupportedArtifact => {
            Diagnostic::new(Class::Unsupported, e.message).help("compile it for x86-64").into()
        }
    })?;
    sections(body, &elf, &trailer, bytes.len())
}

fn sections(body: &[u8], elf: &Elf, trailer: &Trailer, file: usize) -> Result<Description, Errors> {
    let range = |name| elf.section(name).unwrap_or(0..0);
    let section = |name| body.get(range(name)).unwrap_or_default();
    let len = |name| range(name).len();
    check_format(section(CONTRACT))?;
    let (format, contract) = decoded(CONTRACT, Contract::decode(section(CONTRACT)))?;
    let types = decoded(TYPES, TypeTable::decode(section(TYPES)))?;
    let imports = decoded(IMPORTS, Imports::decode(section(IMPORTS), types.types.len()))?;
    let exports = decoded(EXPORTS, Exports::decode(section(EXPORTS), &contract))?;
    let imported = imports.imports.iter().filter(|i| matches!(i.kind, ImportKind::Func(_)));
    let funcs = FuncTable::decode(
        section(FUNCS),
        len(TEXT) as u64,
        types.types.len(),
        len(STRTAB) as u64,
        len(PCMAP) as u64,
        u32::try_from(imported.count()).unwrap_or(u32::MAX),
    );
    let funcs = decoded(FUNCS, funcs)?;
    let taken = trailer.flags & FLAG_SNAPSHOT != 0;
    let snapshot = match elf.section(SNAPSHOT) {
        Some(_) => Some(decoded(SNAPSHOT, Snapshot::decode(section(SNAPSHOT), &contract))?),
        None => None,
    };
    Ok(Description {
        format,
        contract,
        types,
        imports,
        exports,
        snapshot,
        parent: taken.then_some(trailer.parent),
        hash: trailer.hash,
        signer: signature::signer(trailer),
        sizes: Sizes { file, code: len(TEXT), image: len(IMAGE), data: len(DATA) },
        funcs,
    })
}

fn decoded<T>(section: &str, result: Result<T, DecodeError>) -> Result<T, Errors> {
    result.map_err(|e| bad(format!("section {section}: {e}"), DAMAGED))
}

/// A newer format decodes to nonsense.
fn check_format(contract: &[u8]) -> Result<(), Errors> {
    let word = contract.get(..4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    match word {
        Some(f) if !(OLDEST_READABLE_FORMAT..=FORMAT_VERSION).contains(&f) => {
            let message = format!(
                "this is artifact format {f}; this version of lucetc reads \
                 {OLDEST_READABLE_FORMAT} to {FORMAT_VERSION}"
            );
            let help = "use the lucetc that wrote it";
            Err(Diagnostic::new(Class::Unsupported, message).help(help).into())
        }
        _ => Ok(()),
    }
}

impl Description {
    fn type_at(&self, index: u32) -> Option<&FuncType> {
        self.types.types.get(index as usize).map(|t| &t.ty)
    }

    /// The type of an import.
    #[must_use]
    pub fn import_type(&self, import: &Import) -> String {
        let ty = import.kind.whole(|t| self.type_at(t));
        self.shown(
            ty,
            match import.kind {
                ImportKind::Func(t) | ImportKind::Tag(t) => Some(t),
                _ => None,
            },
        )
    }

    /// The type of an export.
    #[must_use]
    pub fn export_type(&self, export: &Export) -> String {
        let number = self.funcs.funcs.get(export.index as usize).map(|f| f.ty);
        let function = |_| self.type_at(number?);
        self.shown(export.whole(&self.contract, function, |t| self.type_at(t)), number)
    }

    /// The type of a tag.
    #[must_use]
    pub fn tag_type(&self, tag: u32) -> String {
        self.shown(self.type_at(tag).map(Extern::Tag), Some(tag))
    }

    /// A type as text, or its number if it is long: many may have the same long one.
    fn shown(&self, ty: Option<Extern<'_>>, number: Option<u32>) -> String {
        let Some(ty) = ty else { return "type that does not exist".into() };
        let long = match &ty {
            Extern::Func(t) | Extern::Tag(t) => t.params.len() + t.results.len() > MAX_INLINE / 4,
            _ => false,
        };
        let text = if long { String::new() } else { ty.to_string() };
        match number {
            Some(number) if long || text.len() > MAX_INLINE => {
                format!("{} of type {number}", ty.word())
            }
            _ => text,
        }
    }
}

/// Hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// Names of the set bits, and numbers of those that have none.
fn names(bits: u64, known: &[(u64, &str)]) -> Vec<String> {
    let set = (0..u64::BITS).map(|i| 1u64 << i).filter(|bit| bits & bit != 0);
    set.map(|bit| match known.iter().find(|(b, _)| *b == bit) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("unknown ({bit:#x})"),
    })
    .collect()
}
