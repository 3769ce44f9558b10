//! A loaded module: accepted contract, mapped code, host functions bound, and everything about an
//! instance that does not differ from instance to instance, computed once.
//!
//! Immutable and shared by `Arc`; code stays mapped as long as any instance or handle needs it.

use crate::arch;
use crate::bind::{Bound, bind};
use crate::error::{Error, Result, Status};
use crate::idle;
use crate::import::{Imports, LentToAll, same_for_host};
use crate::instance::{self, constant, fuel};
use crate::loader::{self, Loaded, Source, State, Trust};
use crate::names::Names;
use crate::region::{Image, Need, Run};
use crate::signature::Ids;
use crate::sys::{arena, reserve};
use crate::terms::{Caps, Terms};
use crate::trap::CodeInfo;
use crate::vmctx::{HostEntry, ImpureHost, TableEntry};
use lucet_artifact::abi::FIRST_IMPORT;
use lucet_artifact::code::NO_REF;
use lucet_artifact::contract::{ExportKind, ImportKind};
use lucet_artifact::init::{ElemItem, ImageRun, Init, SegmentMode};
use lucet_artifact::types::{NO_CODE, RefType};
use lucet_artifact::{FuncType, ValType, layout};
use lucet_http::Server;
use lucet_wasi::Template;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How to load a module.
#[derive(Debug, Clone, Default)]
pub struct ModuleConfig {
    /// Host functions the module may import.
    pub imports: Imports,
    /// Accept an artifact that is neither signed nor pinned. Its machine code is trusted then.
    pub allow_unsigned: bool,
    /// The keys and hashes that vouch for artifacts.
    pub trust: Trust,
    /// Map the artifact's own file, so that perf and gdb know its functions.
    pub development: bool,
    /// Leave imports that no host function satisfies to be provided by other instances of a group.
    pub linkable: bool,
    /// Fuel that instances begin with, start function included; `None`: no limit. Only modules that
    /// were compiled with fuel can be loaded with it.
    pub fuel: Option<u64>,
    /// What the contract must and must not say.
    pub terms: Terms,
    /// Offer the functions of WASI; instances begin with this.
    pub wasi: Option<Arc<Template>>,
    /// The server that plugins work for; see [`ModuleConfig::offer_http`].
    pub http: Option<Arc<dyn Server>>,
}

/// An exported function, looked up once. Valid for instances of the module it came from, and of
/// snapshots that were taken of them in this process: those have the same code. The default is a
/// function of no module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Func {
    pub(crate) module: u64,
    pub(crate) index: u32,
}

/// A place in a module's code.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    /// [`Core::id`]; 0: unknown.
    pub module: u64,
    /// Offset in `.text`.
    pub pc: u64,
    pub function: Option<u32>,
    /// Offset of the operator in the wasm file.
    pub wasm_offset: Option<u32>,
}

/// What a call of a function needs to know of it, in one place.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallInfo {
    /// Address of the code, of the import stub for an imported function; 0: there is none.
    pub code: usize,
    /// Address of the entry trampoline of its type.
    pub entry: usize,
    /// Index of its type.
    pub ty: u32,
    /// Whether it can be called without a closer look: there is code, all types fit into a word,
    /// and no parameter is a reference that would have to be checked.
    pub simple: bool,
    /// Whether some parameter is one.
    pub checked: bool,
    /// Numbers of parameters and results.
    pub params: u16,
    pub results: u16,
    /// Their types, the first in the lowest byte, if there are at most [`PACKED`].
    pub param_types: u64,
    pub result_types: u64,
}

/// What a function returns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Returns {
    /// Number of results.
    pub number: usize,
    /// Index of the function's type.
    pub ty: u32,
    /// As [`CallInfo::result_types`].
    pub packed: u64,
}

impl CallInfo {
    #[inline(always)]
    pub(crate) fn returns(&self) -> Returns {
        Returns { number: self.results.into(), ty: self.ty, packed: self.result_types }
    }
}

/// Types that fit into one word of a [`CallInfo`].
pub(crate) const PACKED: usize = 8;

/// Types as one word.
pub(crate) fn pack(types: impl Iterator<Item = u8>) -> u64 {
    types.take(PACKED).enumerate().fold(0, |word, (n, ty)| word | u64::from(ty) << (8 * n))
}

fn call_infos(loaded: &Loaded) -> Box<[CallInfo]> {
    let base = loaded.text.base();
    let address = |offset: u32| if offset == NO_CODE { 0 } else { base + offset as usize };
    let info = |f: &lucet_artifact::code::FuncRecord| {
        let Some(record) = loaded.types.types.get(f.ty as usize) else {
            return CallInfo::default();
        };
        let (params, results) = (&record.ty.params, &record.ty.results);
        let checked = params.iter().any(|t| instance::is_checked(*t));
        CallInfo {
            simple: f.offset != NO_CODE && params.len().max(results.len()) <= PACKED && !checked,
            checked,
            code: address(f.offset),
            entry: address(record.entry),
            ty: f.ty,
            params: params.len() as u16,
            results: results.len() as u16,
            param_types: pack(params.iter().map(|t| t.byte())),
            result_types: pack(results.iter().map(|t| t.byte())),
        }
    };
    loaded.funcs.funcs.iter().map(info).collect()
}

/// A loaded module.
///
/// Dropping the last handle lets idle instances of it go; those that are alive keep its code.
#[derive(Debug)]
pub struct Module {
    core: Arc<Core>,
}

/// What a module and its instances share.
#[derive(Debug)]
pub struct Core {
    id: u64,
    /// What [`Func`]s carry: the id of the module whose code this is.
    code_id: u64,
    /// Number of [`Module`]s.
    handles: AtomicU32,
    pub(crate) loaded: Loaded,
    exports: Names,
    /// The word of fuel that instances begin with.
    fuel: u64,
    /// What instances may have at most, besides what contract and region say.
    pub(crate) caps: Caps,
    /// Address of the code.
    text_base: usize,
    /// Where the pages of the image belong.
    runs: Box<[Run]>,
    /// The same for each further memory.
    further_runs: Box<[Box<[Run]>]>,
    /// Builtins, then imported functions; read by the host thunk.
    pub(crate) entries: Box<[HostEntry]>,
    /// The server that it works for as a plugin.
    pub(crate) http: Option<Arc<dyn Server>>,
    /// Which imported functions no host function was found for (linkable modules).
    pub(crate) unbound: Vec<bool>,
    /// Signature ids by index of the type.
    sigs: Ids,
    /// Function descriptors by reference index, with `vmctx` 0.
    pub(crate) descriptors: Box<[TableEntry]>,
    /// Instance data of an instance that imports nothing from other instances.
    pub(crate) template: Box<[u8]>,
    /// Initial contents of the tables, likewise; empty for modules that import from instances.
    pub(crate) tables: Vec<Box<[TableEntry]>>,
    /// Whether anything but functions is imported: then instances live in groups only.
    pub(crate) imports_state: bool,
    /// What calls need to know, by function index.
    pub(crate) calls: Box<[CallInfo]>,
    /// Whether an instance alone is complete once its slot is: no segments are left to apply, and
    /// there is no start function.
    pub(crate) plain: bool,
    /// What instantiation must trap with, if an element segment never fits.
    pub(crate) elem_failure: bool,
    /// The impure functions among the imports, to which entries point.
    impure: Arc<[ImpureHost]>,
    /// Function that each instance calls first, and bits of [`Control::impure`] it begins with.
    pub(crate) reseed: Option<u32>,
    pub(crate) impure_from_start: u64,
    /// Shared with snapshots, like the code.
    code: Arc<CodeInfo>,
    /// What instances begin with, and the memory that WASI's functions work on.
    pub(crate) wasi: Option<Arc<Template>>,
    pub(crate) wasi_memory: u32,
    /// What the host functions need.
    lent: LentToAll,
}

/// Bit of impure functions that said so themselves.
pub(crate) const IMPURE_MARKED: u64 = 1 << 63;
/// Bit of instances of a snapshot whose state is impure.
const IMPURE_INHERITED: u64 = 1 << 62;
/// Bits of clocks and random numbers that came through WASI.
pub(crate) const IMPURE_CLOCK: u64 = 1 << 61;
pub(crate) const IMPURE_RANDOM: u64 = 1 << 60;
/// Bits for functions by name.
pub(crate) const IMPURE_NAMED: u32 = 60;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Module {
    /// Loads an artifact from a file.
    ///
    /// # Errors
    /// See [`Status`]; the message names the file, the section and what to do.
    pub fn load_file(path: &std::path::Path, config: &ModuleConfig) -> Result<Arc<Self>> {
        Self::load(Source::Path(path), config).map_err(|e| {
            if e.message().contains(&*path.to_string_lossy()) {
                e
            } else {
                e.context(path.display())
            }
        })
    }

    /// Loads an artifact from memory; the bytes are copied.
    ///
    /// # Errors
    /// As [`Module::load_file`].
    pub fn load_bytes(bytes: &[u8], config: &ModuleConfig) -> Result<Arc<Self>> {
        Self::load(Source::Bytes(bytes), config)
    }

    /// Loads an artifact that is a part of the program. Whoever could change it could change the
    /// program, so nobody else has to vouch for it; a signature that is wrong is refused as always.
    ///
    /// # Errors
    /// As [`Module::load_file`].
    pub fn load_linked(bytes: &[u8], config: &ModuleConfig) -> Result<Arc<Self>> {
        let config = ModuleConfig { allow_unsigned: true, ..config.clone() };
        Self::load(Source::Bytes(bytes), &config)
    }

    /// Loads an artifact from an open regular file, from its beginning to its end. The descriptor
    /// is neither kept nor closed, and its position stays where it is.
    ///
    /// # Errors
    /// As [`Module::load_file`]; `InvalidArgument` if it is not open for reading.
    pub fn load_fd(fd: BorrowedFd<'_>, config: &ModuleConfig) -> Result<Arc<Self>> {
        Self::load(Source::Fd(fd), config)
    }

    fn load(source: Source<'_>, config: &ModuleConfig) -> Result<Arc<Self>> {
        Ok(Self::of(&Arc::new(Core::load(source, config)?)))
    }

    /// A module with the code and the imports of `parent`, in another state.
    pub(crate) fn from_state(parent: &Core, state: State) -> Result<Arc<Self>> {
        Ok(Self::of(&Arc::new(Core::from_state(parent, state)?)))
    }

    /// One more handle.
    pub(crate) fn of(core: &Arc<Core>) -> Arc<Self> {
        core.handles.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { core: core.clone() })
    }

    /// What instances share with it.
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

impl Deref for Module {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.core.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            idle::evict(self.core.id, instance::discard);
        }
    }
}

impl Core {
    fn load(source: Source<'_>, config: &ModuleConfig) -> Result<Self> {
        let options = loader::LoadOptions {
            allow_unsigned: config.allow_unsigned,
            trust: config.trust.clone(),
            development: config.development,
        };
        let loaded = loader::load(source, &options)?;
        let _room = reserve::room(loaded.small_things())?;
        if config.fuel.is_some() && !loaded.contract.fuel {
            return Err(Error::new(
                Status::Unsupported,
                "the configuration limits fuel, but the module was compiled without it: compile it \
                 with `lucetc --fuel`",
            ));
        }
        config.terms.check(&loaded)?;
        let bound = bind(&loaded, config)?;
        let code = Arc::new(CodeInfo::new(loaded.text.base(), &loaded.traps, &loaded.handlers));
        let fuel = config.fuel.map_or(lucet_artifact::fuel::UNLIMITED as u64, fuel::word);
        let module = Self::build(loaded, bound, code, None, (fuel, config.terms.caps()))?;
        arena::set_owner(module.loaded.text.range(), std::ptr::from_ref(&*module.code) as usize);
        Ok(module)
    }

    /// A module with the code and the imports of `parent`, in another state.
    pub(crate) fn from_state(parent: &Self, state: State) -> Result<Self> {
        let bound = Bound {
            entries: parent.entries.clone(),
            unbound: parent.unbound.clone(),
            impure: parent.impure.clone(),
            wasi: parent.wasi.clone(),
            http: parent.http.clone(),
            lent: parent.lent.clone(),
        };
        let loaded = parent.loaded.with_state(state);
        parent.caps.check(&loaded.contract, loaded.init.tables.len())?;
        let limits = (parent.fuel, parent.caps);
        Self::build(loaded, bound, parent.code.clone(), Some(parent.code_id), limits)
    }

    fn build(
        loaded: Loaded,
        bound: Bound,
        code: Arc<CodeInfo>,
        code_id: Option<u64>,
        (fuel, caps): (u64, Caps),
    ) -> Result<Self> {
        let imports_state =
            loaded.imports.imports.iter().any(|i| !matches!(i.kind, ImportKind::Func(_)));
        let sigs = Ids::of(loaded.types.types.iter().map(|t| &t.ty))?;
        let descriptors = descriptors(&loaded, &sigs);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let snapshot = loaded.snapshot.unwrap_or_default();
        let mut module = Self {
            handles: AtomicU32::new(0),
            id,
            code_id: code_id.unwrap_or(id),
            fuel,
            caps,
            reseed: snapshot.reseed,
            impure_from_start: if snapshot.impure { IMPURE_INHERITED } else { 0 },
            exports: Names::new(loaded.exports.exports.iter().map(|e| e.name.as_str())),
            text_base: loaded.text.base(),
            runs: Run::all(loaded.init.image.iter().map(|r| (r.page, r.pages))),
            further_runs: further_runs(&loaded.init),
            entries: bound.entries,
            unbound: bound.unbound,
            impure: bound.impure,
            wasi: bound.wasi,
            wasi_memory: 0,
            http: bound.http,
            descriptors,
            sigs,
            template: Box::default(),
            tables: Vec::new(),
            imports_state,
            calls: call_infos(&loaded),
            plain: false,
            elem_failure: false,
            code,
            lent: bound.lent,
            loaded,
        };
        module.template = module.build_template(fuel)?;
        if !imports_state {
            module.build_tables()?;
        }
        module.plain = module.is_plain();
        if let Some((ExportKind::Memory, index)) = module.export("memory") {
            module.wasi_memory = index;
        }
        Ok(module)
    }

    fn is_plain(&self) -> bool {
        let l = &self.loaded;
        let applied = |m: &SegmentMode| !matches!(m, SegmentMode::Active { .. });
        !self.imports_state
            && !self.unbound.contains(&true)
            && !self.elem_failure
            && l.contract.start.is_none()
            && self.reseed.is_none()
            && self.impure_from_start == 0
            && l.contract.further_memories().is_empty()
            && l.init.datas.iter().all(|d| applied(&d.mode))
    }

    /// Bytes of memory that surely suffice for the small things of an instance: everything that is
    /// not in its slot, without tables of its own.
    pub(crate) fn small_things(&self, member: bool) -> usize {
        let tables = self.loaded.contract.tables.len() * size_of::<instance::Table>();
        let imports = 32 * self.loaded.imports.imports.len();
        let own = if member { size_of_val(&*self.descriptors) + 4 * imports } else { 0 };
        reserve::ROOM / 4 + 2 * tables + own
    }

    /// Whether instances can be created outside of groups.
    ///
    /// # Errors
    /// `MissingImport` if not.
    pub(crate) fn stands_alone(&self) -> Result<()> {
        if !self.imports_state && !self.unbound.contains(&true) {
            return Ok(());
        }
        Err(Error::new(
            Status::MissingImport,
            "the module was loaded as linkable and has imports that only instances of a group can \
             provide",
        ))
    }

    /// Whether nobody can make new instances any more.
    pub(crate) fn retired(&self) -> bool {
        self.handles.load(Ordering::Acquire) == 0
    }

    /// Unique in the process, never reused.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The module whose code this is: its own id, or that of the module that a snapshot was taken
    /// of in this process.
    pub(crate) fn code_id(&self) -> u64 {
        self.code_id
    }

    /// The impure functions of these bits, for messages.
    pub(crate) fn impure_names(&self, bits: u64) -> String {
        let functions =
            self.loaded.imports.imports.iter().filter(|i| matches!(i.kind, ImportKind::Func(_)));
        let entries = self.entries.iter().skip(FIRST_IMPORT as usize);
        let called = functions.zip(entries).filter(|(_, e)| {
            let host = self.impure.iter().find(|h| std::ptr::from_ref(*h).addr() == e.user_data);
            e.code == arch::impure_entry as *const () as usize
                && host.is_some_and(|h| h.bit & bits != 0)
        });
        let mut names: Vec<_> = called.map(|(i, _)| format!("{}.{}", i.module, i.name)).collect();
        for (bit, name) in [(IMPURE_CLOCK, "clock_time_get"), (IMPURE_RANDOM, "random_get")] {
            if bits & bit != 0 {
                names.push(format!("{name} of WASI"));
            }
        }
        if bits & IMPURE_MARKED != 0 {
            names.push("a host function that says it is impure".into());
        }
        if bits & IMPURE_INHERITED != 0 {
            names.push("such functions before the snapshot that it began as".into());
        }
        names.join(", ")
    }

    /// Types of the parameters of a function that was looked up in this module.
    #[must_use]
    pub fn params(&self, func: Func) -> Option<&[ValType]> {
        let known = func.module == self.code_id && self.code_of(func.index).is_some();
        known.then(|| &*self.func_type(func.index).params)
    }

    /// Whether the artifact was compiled of exactly this wasm file.
    #[must_use]
    pub fn is_made_of(&self, wasm: &[u8]) -> bool {
        lucet_artifact::trailer::source_hash(wasm) == self.loaded.contract.source_hash
    }

    /// Looks up an exported function.
    ///
    /// # Errors
    /// `NoSuchExport`, with names that are similar; `ExportTypeMismatch` with both types.
    pub fn find(&self, name: &str, ty: Option<&FuncType>) -> Result<Func> {
        let index = self.function(name.as_bytes())?;
        let func = Func { module: self.code_id, index };
        let found = self.func_type(index);
        if let Some(ty) = ty
            && !same_for_host(ty, found)
        {
            return Err(Error::new(
                Status::ExportTypeMismatch,
                format!("export \"{name}\" has type {found}, not {ty}"),
            ));
        }
        Ok(func)
    }

    /// The index of the function exported as `name`.
    #[inline(always)]
    pub(crate) fn function(&self, name: &[u8]) -> Result<u32> {
        let found = self.exports.find(name).and_then(|n| self.loaded.exports.exports.get(n));
        match found {
            Some(e) if e.kind == ExportKind::Func => Ok(e.index),
            other => Err(self.no_function(name, other.map(|e| e.kind))),
        }
    }

    /// The same as a handle.
    pub(crate) fn function_handle(&self, name: &[u8]) -> Result<Func> {
        Ok(Func { module: self.code_id, index: self.function(name)? })
    }

    #[cold]
    fn no_function(&self, name: &[u8], other: Option<ExportKind>) -> Error {
        let Ok(name) = std::str::from_utf8(name) else {
            return Error::new(Status::InvalidArgument, "the export's name is not UTF-8");
        };
        let name = shown(name);
        match other {
            Some(kind) => Error::new(
                Status::ExportTypeMismatch,
                format!("export \"{name}\" is a {}, not a function", kind.word()),
            ),
            None => Error::new(
                Status::NoSuchExport,
                format!("the module has no export \"{name}\"{}", self.export_hint()),
            ),
        }
    }

    fn export_hint(&self) -> String {
        let mut names: Vec<_> = self
            .loaded
            .exports
            .exports
            .iter()
            .filter(|e| e.kind == ExportKind::Func)
            .map(|e| shown(&e.name))
            .take(8)
            .collect();
        names.sort_unstable();
        if names.is_empty() {
            "; it exports no functions".into()
        } else {
            format!("; it exports {}", names.join(", "))
        }
    }

    /// Kind and index of an export.
    #[must_use]
    pub fn export(&self, name: &str) -> Option<(ExportKind, u32)> {
        let e = self.loaded.exports.exports.get(self.exports.find(name.as_bytes())?)?;
        Some((e.kind, e.index))
    }

    /// What the artifact says about itself.
    #[must_use]
    pub fn contract(&self) -> &lucet_artifact::contract::Contract {
        &self.loaded.contract
    }

    /// The artifact, decoded and checked.
    #[must_use]
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// A type as it can be compared with those of other modules: concrete references name the
    /// signature id, not the number of the type in this module.
    pub(crate) fn canonical(&self, ty: ValType) -> ValType {
        ty.map(&|i| self.sigs.get(i as usize).copied().unwrap_or(0))
    }

    /// The signature id of the type with this index; 0 if there is none.
    pub(crate) fn signature(&self, ty: u32) -> u32 {
        self.sigs.get(ty as usize).copied().unwrap_or(0)
    }

    /// Type of the tag with this index: its parameters are what exceptions carry.
    #[must_use]
    pub fn tag_type(&self, index: u32) -> Option<&FuncType> {
        let ty = self.loaded.contract.tags.get(index as usize)?;
        self.loaded.types.types.get(*ty as usize).map(|t| &t.ty)
    }

    /// Type of the function with this index.
    #[must_use]
    pub fn func_type(&self, index: u32) -> &FuncType {
        let ty = self.loaded.funcs.funcs[index as usize].ty;
        &self.loaded.types.types[ty as usize].ty
    }

    /// Name of the function with this index.
    #[must_use]
    pub fn func_name(&self, index: u32) -> Option<&str> {
        self.loaded.function_name(index)
    }

    /// A function for messages: by the name it is exported under, if it is.
    pub(crate) fn describe_func(&self, index: u32) -> String {
        let exports = &self.loaded.exports.exports;
        match exports.iter().find(|e| e.kind == ExportKind::Func && e.index == index) {
            Some(e) => format!("\"{}\"", e.name),
            None => format!("function {index}"),
        }
    }

    /// Address of a function's code (of the import stub for an imported one) and of the entry
    /// trampoline of its type.
    pub(crate) fn code_of(&self, index: u32) -> Option<(usize, usize)> {
        let f = self.loaded.funcs.funcs.get(index as usize)?;
        let base = self.text_base;
        let entry = self.loaded.types.types.get(f.ty as usize)?.entry;
        (f.offset != NO_CODE).then(|| (base + f.offset as usize, base + entry as usize))
    }

    /// Whether `pc` lies in this module's code; if so, its offset in `.text`.
    pub(crate) fn offset_of(&self, pc: usize) -> Option<u64> {
        let offset = pc.checked_sub(self.text_base)?;
        (offset < self.loaded.text.len()).then_some(offset as u64)
    }

    /// Where in the module `pc` is, if it lies in its code. Allocates nothing.
    pub(crate) fn place(&self, pc: usize) -> Option<Place> {
        let pc = self.offset_of(pc)?;
        let at = u32::try_from(pc).ok()?;
        let function = self.loaded.function_at(at);
        let wasm_offset =
            function.and_then(|f| self.code.wasm_offset(at, || self.loaded.wasm_offset(f, at)));
        Some(Place { module: self.id, pc, function, wasm_offset })
    }

    /// The initial contents of memory 0.
    pub(crate) fn image(&self) -> Image<'_> {
        let bytes = self.loaded.image_bytes();
        Image { id: self.id, runs: &self.runs, bytes }
    }

    /// Bytes of memory 0 at the beginning, if the module has one of its own.
    pub(crate) fn initial_memory(&self) -> u64 {
        self.own_memory().map_or(0, |m| m.ty.min * lucet_artifact::limits::WASM_PAGE)
    }

    /// What its own memories besides memory 0 need.
    pub(crate) fn further_needs(&self) -> impl Iterator<Item = Need> {
        let page = lucet_artifact::limits::WASM_PAGE;
        let memories = self.loaded.contract.further_memories().iter();
        memories.map(move |m| Need { initial: m.ty.min * page, reserve: m.reserve_bytes })
    }

    /// Bytes that all own memories have at the beginning.
    pub(crate) fn initial_memories(&self) -> u64 {
        self.initial_memory() + self.further_needs().map(|n| n.initial).sum::<u64>()
    }

    /// The initial contents of further memory `n`.
    pub(crate) fn further_image(&self, n: usize) -> Image<'_> {
        let runs = self.further_runs.get(n).map_or(&[][..], |r| r);
        Image { id: self.id, runs, bytes: self.loaded.image_bytes() }
    }

    /// The module's own memory 0.
    pub(crate) fn own_memory(&self) -> Option<&lucet_artifact::contract::MemoryDecl> {
        self.loaded.contract.memories.first().filter(|m| !m.is_imported())
    }

    /// The bytes of data segment `n`.
    pub(crate) fn data_segment(&self, n: u32) -> Option<&[u8]> {
        let segment = self.loaded.init.datas.get(n as usize)?;
        let all = self.loaded.file.as_slice().get(self.loaded.data.clone())?;
        all.get(segment.offset as usize..)?.get(..segment.len as usize)
    }

    fn build_template(&self, fuel: u64) -> Result<Box<[u8]>> {
        let l = &self.loaded;
        let size = l.layout.size() as usize;
        let mut bytes = reserve::list_of(size)?;
        bytes.resize(size, 0u8);
        let mut bytes = bytes.into_boxed_slice();
        let mut put = |offset: i32, v: &[u8]| {
            let at = (size as i64 + i64::from(offset)) as usize;
            if let Some(to) = bytes.get_mut(at..at + v.len()) {
                to.copy_from_slice(v);
            }
        };
        let mut word = |offset: i32, v: u64| put(offset, &v.to_le_bytes());
        word(layout::ABI_WORD, layout::ABI_WORD_VALUE);
        word(layout::MEMORY0_BYTES, self.initial_memory());
        word(layout::HOST_THUNK, arch::host_thunk() as u64);
        word(layout::FUEL, fuel);
        word(layout::TRAP_STUB, arch::trap_stub() as u64);
        word(layout::FUNC_DESCS, self.descriptors.as_ptr() as u64);
        for (i, import) in self.unbound.iter().enumerate() {
            let i = i as u32;
            let ty = l.funcs.funcs[i as usize].ty;
            let adapter = l.types.types[ty as usize].adapter;
            let code = if *import && adapter != NO_CODE {
                l.text.base() + adapter as usize
            } else {
                arch::host_thunk()
            };
            word(l.layout.import_slot(i), code as u64);
        }
        // Of an instance alone; see `Layout::tag`.
        for i in 0..l.layout.counts().own_tags {
            word(l.layout.tag(l.layout.counts().imported_tags + i), u64::from(i) + 1);
        }
        for (i, id) in self.sigs.iter().enumerate() {
            put(l.layout.sig_id(i as u32), &id.to_le_bytes());
        }
        if !self.imports_state {
            let mut values: Vec<u128> = Vec::with_capacity(l.init.globals.len());
            for (i, expr) in l.init.globals.iter().enumerate() {
                let v = constant::eval(
                    expr,
                    |g| values.get(g as usize).copied(),
                    |f| self.reference(f, &self.descriptors),
                )?;
                put(l.layout.global(i as u32), &v.to_le_bytes());
                values.push(v);
            }
        }
        Ok(bytes)
    }

    /// The reference to function `f` among `descriptors`.
    pub(crate) fn reference(&self, f: u32, descriptors: &[TableEntry]) -> Option<u64> {
        let r = self.loaded.funcs.funcs.get(f as usize)?.reference;
        descriptors.get(r as usize).map(|d| d.funcref)
    }

    /// One item of an element segment as a reference. `function` gives references to functions,
    /// `global` values of globals.
    pub(crate) fn element(
        &self,
        item: &ElemItem,
        ty: RefType,
        function: &dyn Fn(u32) -> Option<u64>,
        global: &dyn Fn(u32) -> Option<u128>,
    ) -> Result<u64> {
        let f = function;
        let value = match item {
            ElemItem::Null => Some(0),
            ElemItem::Func(i) if ty.is_func() => f(*i),
            ElemItem::Func(_) => None,
            ElemItem::Expr(e) => Some(constant::eval(e, global, f)? as u64),
        };
        value.ok_or_else(constant::bad_expression)
    }

    fn build_tables(&mut self) -> Result<()> {
        let mut tables: Vec<Box<[TableEntry]>> = Vec::new();
        for n in 0..self.loaded.contract.tables.len() {
            let initial = self.initial_element(n)?;
            let t = &self.loaded.contract.tables[n];
            let entries = initial.repeat(t.min as usize).ok_or_else(|| {
                let message = format!("no memory for table {n} of {} elements", t.min);
                Error::new(Status::OutOfMemory, message)
            })?;
            tables.push(entries.into_boxed_slice());
        }
        for segment in &self.loaded.init.elems {
            let SegmentMode::Active { target, offset } = &segment.mode else { continue };
            let at = constant::eval(offset, |g| self.template_global(g), |_| None)?;
            let wide = self.loaded.contract.tables[*target as usize].is64;
            let at = constant::index(at, wide) as usize;
            let table = &mut tables[*target as usize];
            let Some(to) =
                at.checked_add(segment.items.len()).and_then(|end| table.get_mut(at..end))
            else {
                self.elem_failure = true;
                break;
            };
            for (slot, item) in to.iter_mut().zip(&segment.items) {
                let function = |f| self.reference(f, &self.descriptors);
                let global = |g| self.template_global(g);
                let value = self.element(item, segment.ty, &function, &global)?;
                *slot = self.shared_entry(segment.ty, value);
            }
        }
        for (i, t) in tables.iter().enumerate() {
            let at = self.template.len() as i64 + i64::from(self.loaded.layout.table(i as u32));
            if let Some(to) = self.template.get_mut(at as usize..at as usize + 16) {
                to[..8].copy_from_slice(&(t.as_ptr() as u64).to_le_bytes());
                to[8..].copy_from_slice(&(t.len() as u64).to_le_bytes());
            }
        }
        self.tables = tables;
        Ok(())
    }

    /// The entry for a reference of a module whose instances stand alone.
    fn shared_entry(&self, ty: RefType, value: u64) -> TableEntry {
        if ty.is_func() {
            TableEntry::find(&self.descriptors, value).copied().unwrap_or_default()
        } else {
            TableEntry::externref(value)
        }
    }

    /// What the elements of table `n` are at first, in a module that imports no tables or globals.
    pub(crate) fn initial_element(&self, n: usize) -> Result<TableEntry> {
        let (Some(t), Some(Some(expr))) =
            (self.loaded.contract.tables.get(n), self.loaded.init.tables.get(n))
        else {
            return Ok(TableEntry::default());
        };
        let value = constant::eval(expr, |_| None, |f| self.reference(f, &self.descriptors))?;
        Ok(self.shared_entry(t.elem, value as u64))
    }

    fn template_global(&self, g: u32) -> Option<u128> {
        if g >= self.loaded.layout.counts().own_globals {
            return None;
        }
        let at = self.template.len() as i64 + i64::from(self.loaded.layout.global(g));
        let bytes = self.template.get(at as usize..at as usize + 16)?;
        Some(u128::from_le_bytes(bytes.try_into().ok()?))
    }
}

/// Where the pages of further memories belong; they stand behind those of memory 0 in the image.
fn further_runs(init: &Init) -> Box<[Box<[Run]>]> {
    let pages = |runs: &[ImageRun]| runs.iter().map(|r| r.pages).sum::<u32>();
    let mut before = pages(&init.image);
    let runs = |runs: &Vec<ImageRun>| {
        let placed = Run::after(before, runs.iter().map(|r| (r.page, r.pages)));
        before += pages(runs);
        placed
    };
    init.further.iter().map(runs).collect()
}

/// As much of a name as goes into a message.
fn shown(name: &str) -> &str {
    const MOST: usize = 500;
    let end = name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MOST);
    name.get(..end.last().unwrap_or(0)).unwrap_or_default()
}

/// Function descriptors in the order of reference indices, sealed.
fn descriptors(loaded: &Loaded, sigs: &[u32]) -> Box<[TableEntry]> {
    let base = loaded.text.base() as u64;
    let mut all: Box<[TableEntry]> = loaded
        .funcs
        .funcs
        .iter()
        .filter(|f| f.reference != NO_REF)
        .map(|f| TableEntry {
            sig: sigs.get(f.ty as usize).copied().unwrap_or(0),
            code: base + u64::from(f.offset),
            ..TableEntry::default()
        })
        .collect();
    TableEntry::seal(&mut all);
    all
}
