//! Instances of modules whose hosts are not here: every import is made up from its type.
//!
//! * Functions fail when they are called, so a start function runs as far as its first host call.
//! * Memories, tables and globals come from a module that is written for the purpose and
//!   instantiated first, in the same group.

use crate::plugin;
use lucet::{
    Control, Error, Group, HostCode, Imports, Instance, Module, ModuleConfig, Region, RegionConfig,
    Status, Vmctx,
};
use lucet_artifact::contract::{Import, ImportKind};
use lucet_artifact::types::MemoryShape;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_void;
use std::sync::Arc;

/// What came of it.
pub struct Used {
    /// Bytes of machine code.
    pub code: usize,
    /// In words.
    pub how: String,
}

/// The code with which [`absent`] fails.
const ABSENT: u64 = 4711;

unsafe extern "C" fn absent(ctx: *const Control, _user_data: usize) -> u64 {
    // SAFETY: called by the host thunk.
    if let Some(ctx) = unsafe { Vmctx::from_raw(ctx) } {
        ctx.fail(ABSENT).expect("nothing was decided before");
    }
    0
}

fn text(e: &Error) -> String {
    format!("{:?}: {e}", e.status())
}

fn config(imports: Imports, linkable: bool) -> ModuleConfig {
    ModuleConfig { imports, linkable, allow_unsigned: true, ..ModuleConfig::default() }
}

/// Loads and instantiates an artifact, and lets a plugin answer a request.
pub fn instantiate(artifact: &[u8], shape: MemoryShape, is_plugin: bool) -> Result<Used, String> {
    // Loaded once to learn what it imports, then again with all of that.
    let known = Module::load_bytes(artifact, &config(Imports::new(), true));
    let known = known.map_err(|e| text(&e))?;
    let imports = &known.loaded().imports.imports;
    let offers = functions(&known, if is_plugin { plugin::functions() } else { &[] })?;
    let state: Vec<_> = imports.iter().filter(|i| !matches!(i.kind, ImportKind::Func(_))).collect();
    let providers = providers(&state, &known);
    let region = Region::new(RegionConfig {
        slots: providers.len() as u32 + 1,
        max_instance_data: 1 << 20,
        compact: shape == MemoryShape::Compact,
        stacks: 1,
        ..RegionConfig::default()
    })
    .map_err(|e| text(&e))?;
    let code = known.loaded().text.len();
    let module = Module::load_bytes(artifact, &config(offers, !state.is_empty()));
    let module = module.map_err(|e| text(&e))?;
    if providers.is_empty() {
        let instance = match Instance::new(&region, &module) {
            Ok(i) => i,
            Err(e) => return started(&module, &e).map(|how| Used { code, how }),
        };
        let how = if is_plugin { plugin::request(&instance)? } else { "instance".into() };
        return Ok(Used { code, how });
    }
    let mut group = Group::new(&region);
    for (name, wat) in &providers {
        let options = lucetc::Options { memory: shape, threads: 1, ..lucetc::Options::default() };
        let made = lucetc::compile(wat.as_bytes(), &options).map_err(|e| format!("{wat}: {e}"))?;
        let made = Module::load_bytes(&made, &config(Imports::new(), false));
        let made = made.map_err(|e| text(&e))?;
        group.instantiate(Some(name), &made).map_err(|e| text(&e))?;
    }
    let how = match group.instantiate(None, &module) {
        Ok(_) => format!("linked to {}", providers.keys().cloned().collect::<Vec<_>>().join(", ")),
        Err(e) => started(&module, &e)?,
    };
    Ok(Used { code, how })
}

/// A start function may come as far as its first host call.
fn started(module: &Arc<Module>, e: &Error) -> Result<String, String> {
    let expected = format!("failed in a host function with code {ABSENT}");
    let calls_host = e.status() == Status::StartFailed && e.message().contains(&expected);
    match module.contract().start {
        Some(_) if calls_host => Ok("its start function calls the host".into()),
        _ => Err(text(e)),
    }
}

/// Every function import: one of `real` if it is there, else one that fails.
fn functions(module: &Module, real: &[(&str, *const c_void)]) -> Result<Imports, String> {
    let mut offers = Imports::new();
    let mut seen = BTreeSet::new();
    for i in &module.loaded().imports.imports {
        let ImportKind::Func(t) = i.kind else { continue };
        if !seen.insert((i.module.clone(), i.name.clone())) {
            continue;
        }
        let ty = module.loaded().types.types[t as usize].ty.clone();
        let known = real.iter().find(|(name, _)| i.module == "env" && i.name == *name);
        let code = known.map_or(absent as *const c_void, |(_, f)| *f);
        // SAFETY: `absent` ignores its arguments and its caller ignores what it returns, as it
        // fails; the others have the type that plugins import them with.
        let code = unsafe { HostCode::new(code) };
        offers.add(&i.module, &i.name, ty, code, 0).map_err(|e| text(&e))?;
    }
    Ok(offers)
}

fn quoted(name: &str) -> String {
    name.bytes().map(|b| format!("\\{b:02x}")).collect()
}

/// A module in text for each module name that anything but functions is imported from.
fn providers(state: &[&Import], known: &Module) -> BTreeMap<String, String> {
    let mut fields: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for i in state {
        let name = quoted(&i.name);
        let max = |m: Option<u64>| m.map_or(String::new(), |m| m.to_string());
        let field = match i.kind {
            // Room for segments whose place the importer takes from a global, which is 0 here.
            ImportKind::Memory(m) => {
                let min = m.max.map_or(64, |max| max.min(64)).max(m.min);
                let index = if m.is64 { "i64 " } else { "" };
                format!("(memory (export \"{name}\") {index}{min} {})", max(m.max))
            }
            ImportKind::Table(t) => {
                let min = t.max.map_or(4096, |max| max.min(4096)).max(t.min);
                let ty = lucet_artifact::ValType::from(t.elem);
                let index = if t.is64 { "i64 " } else { "" };
                format!("(table (export \"{name}\") {index}{min} {} {ty})", max(t.max))
            }
            ImportKind::Global(g) => {
                let ty = g.ty.to_string();
                let (ty, value) = match ty.as_str() {
                    "funcref" => (ty, "ref.null func".to_owned()),
                    "externref" => (ty, "ref.null extern".to_owned()),
                    _ => (ty.clone(), format!("{ty}.const 0")),
                };
                let ty = if g.mutable { format!("(mut {ty})") } else { ty };
                format!("(global (export \"{name}\") {ty} ({value}))")
            }
            ImportKind::Tag(t) => {
                let ty = known.loaded().types.types.get(t as usize);
                let params = ty.iter().flat_map(|t| &t.ty.params);
                let params: Vec<_> = params.map(ToString::to_string).collect();
                format!("(tag (export \"{name}\") (param {}))", params.join(" "))
            }
            ImportKind::Func(_) => continue,
        };
        fields.entry(i.module.clone()).or_default().insert(field);
    }
    let whole = |fields: BTreeSet<String>| {
        format!("(module {})", fields.into_iter().collect::<Vec<_>>().join("\n"))
    };
    fields.into_iter().map(|(module, f)| (module, whole(f))).collect()
}
