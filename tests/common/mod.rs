//! Shared by the tests: from text to a running instance, through the real compiler and loader.
#![allow(dead_code)]

pub mod c;
pub mod change;
pub mod client;
pub mod process;
pub mod random;

use lucet::{Control, HostCode, Imports, Instance, Module, ModuleConfig, Outcome};
use lucet::{Region, RegionConfig, Trap, Val, Vmctx};
use lucet_artifact::contract::Contract;
use lucet_artifact::trailer::{TRAILER_BYTES, Trailer};
use lucet_artifact::types::MemoryShape;
use std::ffi::c_void;
use std::sync::Arc;

/// Compiles wat or wasm; panics with the compiler's words.
pub fn compile(input: impl AsRef<[u8]>, memory: MemoryShape) -> Vec<u8> {
    let options = lucetc::Options { memory, paranoid: true, ..lucetc::Options::default() };
    match lucetc::compile(input.as_ref(), &options) {
        Ok(bytes) => bytes,
        Err(e) => panic!("{e}"),
    }
}

/// Loads an artifact as unsigned code.
pub fn load(artifact: &[u8], imports: Imports) -> lucet::Result<Arc<Module>> {
    Module::load_bytes(
        artifact,
        &ModuleConfig { imports, allow_unsigned: true, ..ModuleConfig::default() },
    )
}

/// The artifact with another contract, which must be as long, and a hash that fits.
pub fn with_contract(artifact: &[u8], change: impl FnOnce(&mut Contract)) -> Vec<u8> {
    let body = &artifact[..artifact.len() - TRAILER_BYTES];
    let source = lucet::loader::Source::Bytes(artifact);
    let options = lucet::loader::LoadOptions { allow_unsigned: true, ..Default::default() };
    let mut contract = lucet::loader::load(source, &options).unwrap().contract;
    let old = contract.encode().unwrap();
    change(&mut contract);
    let new = contract.encode().unwrap();
    let at = body.windows(old.len()).position(|w| w == old).unwrap();
    let mut changed = body.to_vec();
    changed[at..at + old.len()].copy_from_slice(&new);
    Trailer::append(&mut changed, 0, [0; 64]).unwrap();
    changed
}

/// A module from text, guarded, with these host functions.
pub fn module(wat: &str, imports: Imports) -> Arc<Module> {
    load(&compile(wat, MemoryShape::Guarded), imports).unwrap()
}

/// A region with the default settings.
pub fn region() -> Arc<Region> {
    Region::new(RegionConfig::default()).unwrap()
}

/// One instance of a module from text, without imports.
pub fn instance(wat: &str) -> Instance {
    Instance::new(&region(), &module(wat, Imports::new())).unwrap()
}

/// Offers a C function.
pub fn host(
    imports: &mut Imports,
    name: &str,
    signature: &str,
    f: *const c_void,
    user_data: usize,
) {
    // SAFETY: the tests pass functions of the type they write beside them.
    let code = unsafe { HostCode::new(f) };
    let ty = lucet::parse_signature(signature).unwrap();
    imports.add("env", name, ty, code, user_data).unwrap();
}

/// The results of a run that returned.
#[track_caller]
pub fn returned(o: Outcome) -> Vec<Val> {
    match o {
        Outcome::Returned(v) => v,
        other => panic!("{other:?}"),
    }
}

/// The trap that a run ended with.
#[track_caller]
pub fn trapped(o: Outcome) -> Trap {
    match o {
        Outcome::Trapped(t) => t,
        other => panic!("{other:?}"),
    }
}

/// The calling instance, in a host function.
pub fn vmctx(ctx: *const Control) -> Vmctx {
    // SAFETY: host functions of the tests pass on what the thunk gave them.
    unsafe { Vmctx::from_raw(ctx) }.unwrap()
}
