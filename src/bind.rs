//! Binding: which host function each import of a module is, when it is loaded.

use crate::arch;
use crate::error::{Error, Result, Status, TOLD, brief};
use crate::import::{HostFunction, LentToAll};
use crate::loader::Loaded;
use crate::module::{IMPURE_NAMED, ModuleConfig};
use crate::vmctx::{self, HostEntry, ImpureHost};
use crate::wasi;
use lucet_artifact::FuncType;
use lucet_artifact::abi::{FIRST_IMPORT, host_call_stack_bytes};
use lucet_artifact::contract::ImportKind;
use lucet_http::Server;
use lucet_wasi::Template;
use std::sync::Arc;

/// The host functions of a module.
pub(crate) struct Bound {
    pub entries: Box<[HostEntry]>,
    pub unbound: Vec<bool>,
    pub impure: Arc<[ImpureHost]>,
    pub wasi: Option<Arc<Template>>,
    pub http: Option<Arc<dyn Server>>,
    pub lent: LentToAll,
}

/// The host function that a module imports: the embedder's, or else one of WASI's.
fn find(config: &ModuleConfig, module: &str, name: &str, ty: &FuncType) -> Result<HostFunction> {
    let own = config.imports.get(module, name).cloned();
    let of_wasi = || config.wasi.as_ref().and_then(|_| wasi::function(module, name));
    match own.or_else(of_wasi) {
        Some(f) => f.check(module, name, ty),
        None => Err(config.imports.missing(module, name, ty)),
    }
}

/// Binds imported functions to host functions.
pub(crate) fn bind(loaded: &Loaded, config: &ModuleConfig) -> Result<Bound> {
    let mut entries = vmctx::builtins::entries();
    debug_assert_eq!(entries.len(), FIRST_IMPORT as usize);
    let (mut unbound, mut missing, mut impure) = (Vec::new(), Vec::new(), Vec::new());
    let mut untold = 0;
    for import in &loaded.imports.imports {
        let ImportKind::Func(t) = import.kind else {
            if !config.linkable && missing.len() >= TOLD {
                untold += 1;
            } else if !config.linkable {
                missing.push(Error::new(
                    Status::MissingImport,
                    format!(
                        "the module imports {} {}.{}; only instances of a group can provide that",
                        import.kind.word(),
                        brief(&import.module),
                        brief(&import.name)
                    ),
                ));
            }
            continue;
        };
        let ty = &loaded.types.types[t as usize].ty;
        match find(config, &import.module, &import.name, ty) {
            Ok(f) => {
                if f.impure {
                    let bit = 1 << (impure.len() as u32).min(IMPURE_NAMED - 1);
                    let host = ImpureHost { code: f.code.address(), user_data: f.user_data, bit };
                    impure.push((entries.len(), host));
                }
                entries.push(HostEntry {
                    code: f.code.address(),
                    user_data: f.user_data,
                    stack_bytes: host_call_stack_bytes(ty),
                    ..HostEntry::default()
                });
                unbound.push(false);
            }
            Err(_) if config.linkable => {
                entries.push(entries[FIRST_IMPORT as usize - 1]);
                unbound.push(true);
            }
            // A few are told of.
            Err(e) if missing.len() < TOLD => missing.push(e),
            Err(_) => untold += 1,
        }
    }
    if let Some(e) = Error::several(missing, untold) {
        return Err(e);
    }
    let (at, hosts): (Vec<_>, Vec<_>) = impure.into_iter().unzip();
    let impure: Arc<[ImpureHost]> = hosts.into();
    for (at, host) in at.into_iter().zip(&*impure) {
        entries[at].code = arch::impure_entry as *const () as usize;
        entries[at].user_data = std::ptr::from_ref(host).expose_provenance();
    }
    let (wasi, http) = (config.wasi.clone(), config.http.clone());
    let lent = config.imports.lent().clone();
    Ok(Bound { entries: entries.into_boxed_slice(), unbound, impure, wasi, http, lent })
}
