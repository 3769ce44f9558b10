//! Modules, their configurations, and host functions in C.

use super::args::{self, Out, array, text};
use super::error::{border, border_of_maker, border_of_maker_or_null, border_or};
use super::handle::{Kind, Marks, Table, no_marks};
use super::raw;
use crate::error::{Error, Status};
use crate::import::parse_signature;
use crate::loader;
use crate::module::{Func, Module, ModuleConfig};
use crate::sys;
use crate::sys::lock::Mutex;
use crate::vmctx::{GiveBackFn, HostCode, Lent};
use lucet_artifact::FuncType;
use lucet_artifact::linked::{self, LABEL_BYTES};
use std::ffi::{c_char, c_void};
use std::sync::Arc;

pub(super) static MODULES: Table<Module> = Table::numbered(Kind::Module, &MARKS);
static MARKS: Marks = no_marks();
static CONFIGS: Table<Mutex<ModuleConfig>> = Table::new(Kind::ModuleConfig);

/// Compiled code, loaded and checked. Immutable; any thread may use it, several at the same time.
pub struct lucet_module;

/// What to load modules with: host functions and what is allowed. Any thread may use it.
pub struct lucet_module_config;

/// An exported function, looked up once. Plain data: copy it as you like. Valid for instances of
/// the module it came from and of snapshots taken of those in this process, refused by others.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct lucet_func {
    /// Private.
    pub module_: u64,
    /// Private.
    pub index_: u64,
}

/// A module that is linked into the program. `lucetc plugin.wasm --emit obj` writes `plugin.o`,
/// which defines one:
///
///     extern const lucet_static_module lucet_artifact_plugin;
#[repr(C)]
pub struct lucet_static_module {
    /// Private.
    pub private_: [u64; 4],
}

impl lucet_func {
    pub(super) const NONE: Self = Self { module_: 0, index_: 0 };

    pub(super) fn new(func: Func) -> Self {
        Self { module_: func.module, index_: func.index.into() }
    }

    /// An index that is none is refused like a foreign function.
    pub(super) fn get(self) -> Func {
        let index = u32::try_from(self.index_).unwrap_or(u32::MAX);
        Func { module: self.module_, index }
    }
}

/// Any host function: cast yours to this type. Its real type follows from its signature:
///
///     R f(lucet_vmctx *ctx, void *user_data, ARGUMENTS...)
///
///     i32 -> int32_t    i64 -> int64_t    f32 -> float    f64 -> double
///     funcref, externref -> uint64_t      v128 -> const uint8_t * (16 bytes)
///
/// No result is void, one is R. Several results, or a v128, go to an array of 16-byte places, each
/// written at its beginning; a pointer to it is a further, last parameter, and R is void.
///
/// It runs on the stack of the thread that runs the guest. It must return: longjmp out of it, and
/// exceptions or panics that leave it, end the process or worse. To stop the guest, call
/// lucet_vmctx_trap, _fail, _exit or _terminate and return.
pub type lucet_host_fn = Option<unsafe extern "C" fn()>;

/// A configuration that offers no host functions and trusts nobody. Free it with
/// lucet_module_config_free; modules keep a copy. NULL if there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_module_config_create() -> *mut lucet_module_config {
    border_of_maker_or_null(|| CONFIGS.insert(Arc::default()))
}

/// Frees a configuration. NULL is allowed; a wrong handle does nothing but set lucet_last_error.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_module_config_free(config: *mut lucet_module_config) {
    border_or((), || {
        if config.is_null() { Ok(()) } else { CONFIGS.remove(config, "config", |_| Ok(())) }
    });
}

/// Works on the configuration behind a handle.
pub(super) fn change<R>(
    config: *const lucet_module_config,
    f: impl FnOnce(&mut ModuleConfig) -> crate::Result<R>,
) -> crate::Result<R> {
    CONFIGS.with(config, "config", |c| f(&mut c.lock()))
}

/// A setter for C that cannot go wrong but by its handle.
pub(super) fn set(
    config: *const lucet_module_config,
    f: impl FnOnce(&mut ModuleConfig),
) -> raw::lucet_status {
    border(|| {
        change(config, |c| {
            f(c);
            Ok(())
        })
    })
}

/// A setter for C that takes one text. Of a wrong handle and a wrong text the handle is told of.
///
/// # Safety
/// As [`text`].
pub(super) unsafe fn change_by(
    config: *const lucet_module_config,
    given: *const c_char,
    param: &str,
    f: impl FnOnce(&mut ModuleConfig, &str) -> crate::Result<()>,
) -> raw::lucet_status {
    border_of_maker(|| {
        change(config, |_| Ok(()))?;
        // SAFETY: the caller's promise.
        let given = unsafe { text(given, param) }?;
        change(config, |c| f(c, given))
    })
}

/// Offers `fn` to modules as `module`.`name`. This is the whitelist: modules reach nothing else.
///
/// `signature` is the wasm type as text: "(i32, i64) -> f32", "() -> ()", "(i32) -> (i32, i32)".
/// Types are i32, i64, f32, f64, v128, funcref, externref. It is compared with the module's import
/// when a module is loaded; that `fn` really has the C type that belongs to it (see lucet_host_fn)
/// nobody can check, so write them beside each other. Texts are copied. `user_data` is handed to
/// each call; what it points to must live as long as modules loaded with it are used.
///
/// funcref stands for any type of function reference in the import. One that `fn` returns must be a
/// function of the calling instance that fits the type; otherwise the run ends with
/// LUCET_OUTCOME_HOST_ERROR and LUCET_STATUS_INVALID_ARGUMENT as its code.
///
///     static double price(lucet_vmctx *ctx, void *user_data, int32_t item);
///     lucet_module_config_add_function(config, "shop", "price", "(i32) -> f64",
///                                      (lucet_host_fn)price, &shop);
///
/// LUCET_STATUS_INVALID_ARGUMENT for a signature that makes no sense, a text that is not UTF-8, or
/// a name that was added before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_module_config_add_function(
    config: *mut lucet_module_config,
    module: *const c_char,
    name: *const c_char,
    signature: *const c_char,
    r#fn: lucet_host_fn,
    user_data: *mut c_void,
) -> raw::lucet_status {
    border_of_maker(|| {
        change(config, |_| Ok(()))?;
        // SAFETY: the header asks for NUL-terminated texts.
        let (module, name, signature) = unsafe {
            (text(module, "module")?, text(name, "name")?, text(signature, "signature")?)
        };
        let function = r#fn.ok_or_else(|| Error::new(Status::NullArgument, "`fn` is NULL"))?;
        let ty = parse_signature(signature)?;
        // SAFETY: the header asks for a function of the C type that belongs to the signature, which
        // does not unwind and stays where it is.
        let code = unsafe { HostCode::new(function as *const c_void) };
        change(config, |c| c.imports.add(module, name, ty, code, user_data.addr()))
    })
}

/// Marks a function that was added before as impure: it gives guests random numbers, the time, or
/// whatever else must not be the same in each instance of a snapshot. An instance that called it
/// becomes a snapshot only if it can be reseeded; see lucet_instance_snapshot. Calls of functions
/// that are not marked cost nothing more.
///
/// LUCET_STATUS_INVALID_ARGUMENT if there is no such function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_module_config_mark_impure(
    config: *mut lucet_module_config,
    module: *const c_char,
    name: *const c_char,
) -> raw::lucet_status {
    border_of_maker(|| {
        change(config, |_| Ok(()))?;
        // SAFETY: the header asks for NUL-terminated texts.
        let (module, name) = unsafe { (text(module, "module")?, text(name, "name")?) };
        change(config, |c| c.imports.mark_impure(module, name))
    })
}

/// Takes something back: frees `data`, say. On any thread, with none of lucet's locks held.
pub type lucet_drop_fn = Option<unsafe extern "C" fn(data: *mut c_void)>;

/// Something to be given back by calling `drop` with `data`.
///
/// # Safety
/// That may be done once, at any time, on any thread.
pub(super) unsafe fn lent(
    drop: lucet_drop_fn,
    data: *mut c_void,
    param: &str,
) -> crate::Result<Lent> {
    let missing = || Error::new(Status::NullArgument, format!("`{param}` is NULL"));
    let drop = drop.ok_or_else(missing)?;
    // SAFETY: the types differ in that the word `data` is a pointer, the same to a C function.
    let drop: GiveBackFn = unsafe { std::mem::transmute(drop) };
    // SAFETY: the caller's promise.
    Ok(unsafe { Lent::new(data.expose_provenance(), drop) })
}

/// Hands `data` over, which host functions of the configuration need: their user data, say. As soon
/// as nothing needs it, `drop(data)` is called once: when the configuration and all modules loaded
/// with it from now on, snapshots and instances of those included, are freed. If the call fails,
/// `data` stays the caller's.
///
/// LUCET_STATUS_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_module_config_own(
    config: *mut lucet_module_config,
    data: *mut c_void,
    drop: lucet_drop_fn,
) -> raw::lucet_status {
    border_of_maker(|| {
        change(config, |c| {
            // SAFETY: the header asks for a function that may be called with it.
            c.imports.keep(unsafe { lent(drop, data, "drop") }?)
        })
    })
}

/// Whether artifacts that nobody vouches for are loaded. The machine code in an artifact is trusted
/// like any library's, so allow this only for files that you compiled yourself and that nobody else
/// can write to; otherwise see lucet_module_config_add_key. Off by default.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_module_config_allow_unsigned(
    config: *mut lucet_module_config,
    allow: bool,
) -> raw::lucet_status {
    set(config, |c| c.allow_unsigned = allow)
}

/// Whether imports that no host function satisfies are left to be provided by other instances of a
/// group (lucet_group_instantiate); a module that has such imports cannot be instantiated alone.
/// Off by default: a missing import fails when the module is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_module_config_set_linkable(
    config: *mut lucet_module_config,
    linkable: bool,
) -> raw::lucet_status {
    set(config, |c| c.linkable = linkable)
}

/// Development mode: code is mapped from the artifact's own file, so that perf knows the names of
/// guest functions and lucet_module_write_gdb_script works. The file must then not change while the
/// module is loaded. Off by default.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_module_config_set_development(
    config: *mut lucet_module_config,
    development: bool,
) -> raw::lucet_status {
    set(config, |c| c.development = development)
}

pub(super) fn config_or_default(config: *const lucet_module_config) -> crate::Result<ModuleConfig> {
    match config.is_null() {
        true => Ok(ModuleConfig::default()),
        false => change(config, |c| Ok(c.clone())),
    }
}

/// A handle for a module.
pub(super) fn insert(module: Arc<Module>) -> crate::Result<*mut lucet_module> {
    let number = module.id();
    MODULES.insert_numbered(module, number)
}

/// Loads an artifact that lucetc wrote. It is checked completely, and its imports are bound; its
/// bytes are copied into sealed memory (but see lucet_module_config_set_development), so the file
/// may be replaced afterwards. NULL as `config` means the defaults, which trust nobody and load
/// nothing. `*out` is the module, or NULL if the call fails. Free it with lucet_module_free. Takes
/// milliseconds: do it when the server starts. Any thread.
///
/// LUCET_STATUS_IO, LUCET_STATUS_NOT_AN_ARTIFACT, LUCET_STATUS_INVALID_ARTIFACT,
/// LUCET_STATUS_UNSUPPORTED_ARTIFACT, LUCET_STATUS_UNTRUSTED_ARTIFACT, LUCET_STATUS_MISSING_IMPORT,
/// LUCET_STATUS_IMPORT_TYPE_MISMATCH, LUCET_STATUS_CONTRACT_REFUSED, LUCET_STATUS_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_module_load_file(
    path: *const c_char,
    config: *const lucet_module_config,
    out: *mut *mut lucet_module,
) -> raw::lucet_status {
    border_of_maker(|| {
        // SAFETY: the header asks for a place for a handle.
        let out = unsafe { Out::new(out, "out", std::ptr::null_mut()) }?;
        // SAFETY: the header asks for a NUL-terminated text.
        let path = unsafe { args::path(path, "path") }?;
        out.set(insert(Module::load_file(path, &config_or_default(config)?)?)?);
        Ok(())
    })
}

/// Loads an artifact from memory: `len` bytes, which are copied. As lucet_module_load_file.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_module_load_bytes(
    bytes: *const c_void,
    len: usize,
    config: *const lucet_module_config,
    out: *mut *mut lucet_module,
) -> raw::lucet_status {
    border_of_maker(|| {
        // SAFETY: the header asks for a place for a handle.
        let out = unsafe { Out::new(out, "out", std::ptr::null_mut()) }?;
        args::required(bytes, "bytes")?;
        // SAFETY: the header asks for `len` bytes.
        let bytes = unsafe { array(bytes.cast::<u8>(), len, "bytes") }?;
        out.set(insert(Module::load_bytes(bytes, &config_or_default(config)?)?)?);
        Ok(())
    })
}

/// Loads an artifact from an open regular file (a memfd is one): all of it, whatever the position
/// of `fd`, which is neither changed nor closed. As lucet_module_load_file, and
/// LUCET_STATUS_INVALID_ARGUMENT if `fd` is not open for reading.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_module_load_fd(
    fd: i32,
    config: *const lucet_module_config,
    out: *mut *mut lucet_module,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for a place for a handle.
        let out = unsafe { Out::new(out, "out", std::ptr::null_mut()) }?;
        // SAFETY: nobody but the caller closes it until the call returns, as the header asks.
        let fd = unsafe { args::descriptor(fd, "fd") }?;
        out.set(insert(Module::load_fd(fd, &config_or_default(config)?)?)?);
        Ok(())
    })
}

/// Loads a module that is linked into the program. As lucet_module_load_bytes, but nobody has to
/// vouch for it: it is as trusted as the program it is a part of. Contract and imports are checked
/// as always. Any thread.
///
/// LUCET_STATUS_INVALID_ARGUMENT if `module` is not what lucetc defined.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_module_from_static(
    module: *const lucet_static_module,
    config: *const lucet_module_config,
    out: *mut *mut lucet_module,
) -> raw::lucet_status {
    border_of_maker(|| {
        // SAFETY: the header asks for a place for a handle.
        let out = unsafe { Out::new(out, "out", std::ptr::null_mut()) }?;
        let label = args::required(module, "module")?.cast::<[u8; LABEL_BYTES]>();
        // SAFETY: the header asks for a label that lucetc defined; an array of bytes lies anywhere.
        let len = linked::decode_label(unsafe { &*label }).map_err(|e| {
            let m = format!("this is not what `lucetc --emit obj` of this version defines: {e}");
            Error::new(Status::InvalidArgument, m)
        })?;
        // SAFETY: the artifact lies before its label, in the same section of the program.
        let bytes = unsafe {
            std::slice::from_raw_parts(label.cast::<u8>().sub(linked::distance(len)), len)
        };
        out.set(insert(Module::load_linked(bytes, &config_or_default(config)?)?)?);
        Ok(())
    })
}

/// Gives the handle back. Code stays in memory until the last instance of the module is freed, and
/// lucet_func values of it work until then. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_module_free(module: *mut lucet_module) -> raw::lucet_status {
    border(|| MODULES.remove(module, "module", |_| Ok(())))
}

/// Looks up an exported function, so that requests need not search by name. `signature` is the type
/// the caller counts on, as in lucet_module_config_add_function, or NULL for any. `*out` is written
/// if the call succeeds. Any thread.
///
/// LUCET_STATUS_NO_SUCH_EXPORT, LUCET_STATUS_EXPORT_TYPE_MISMATCH, LUCET_STATUS_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_module_find(
    module: *mut lucet_module,
    name: *const c_char,
    signature: *const c_char,
    out: *mut lucet_func,
) -> raw::lucet_status {
    border(|| {
        let module = MODULES.get(module, "module")?;
        // SAFETY: the header asks for NUL-terminated texts and a place for a function.
        unsafe { find(|name, ty| module.find(name, ty), name, signature, out) }
    })
}

/// Looks up an exported function where `look` does.
///
/// # Safety
/// Pointers are NULL, or point to NUL-terminated texts and a place for a function.
pub(super) unsafe fn find(
    look: impl FnOnce(&str, Option<&FuncType>) -> crate::Result<Func>,
    name: *const c_char,
    signature: *const c_char,
    out: *mut lucet_func,
) -> crate::Result<()> {
    // SAFETY: the caller's promise.
    let out = unsafe { Out::new(out, "out", lucet_func::NONE) }?;
    // SAFETY: the caller's promise.
    let name = unsafe { text(name, "name") }?;
    let ty = match signature.is_null() {
        true => None,
        // SAFETY: the caller's promise.
        false => Some(parse_signature(unsafe { text(signature, "signature") }?)?),
    };
    out.set(lucet_func::new(look(name, ty.as_ref())?));
    Ok(())
}

/// Writes a file for gdb's `source` command, which then knows the module's functions by name and
/// can break in them. The module must have been loaded from a file in development mode. The file is
/// created or replaced. Any thread.
///
/// LUCET_STATUS_WRONG_STATE without development mode, LUCET_STATUS_IO,
/// LUCET_STATUS_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_module_write_gdb_script(
    module: *mut lucet_module,
    path: *const c_char,
) -> raw::lucet_status {
    border_of_maker(|| {
        let module = MODULES.get(module, "module")?;
        // SAFETY: the header asks for a NUL-terminated text.
        let path = unsafe { args::path(path, "path") }?;
        let script = loader::gdb_script(module.loaded())?;
        std::fs::write(path, script)
            .map_err(|e| sys::io_error(format!("writing {}", path.display()), &e))
    })
}
