//! Bytes of an artifact → verified facts and executable pages.
//!
//! ```text
//!  path, fd, bytes ──copy──► sealed memfd ──hash──► trust ──elf──────► sections
//!                                                                        │
//!                    Loaded ◄──map── arena ◄── cross-checks ◄──verify────┘
//! ```
//!
//! `dlopen` is never involved: no constructor runs, nothing is relocated, no symbol is looked up.
//! Everything in the file is hostile until it was checked, and what was checked cannot change any
//! more, because it is read from a sealed copy and the code is mapped from that same copy. A failed
//! load leaves nothing behind, neither descriptor nor mapping.
//!
//! Until machine code itself is verified, running an artifact means trusting whoever compiled it:
//! it has to be signed, pinned, or explicitly let in (see [`trust`]).
//!
//! `docs/design/artifact-format.md` lists every check.

mod diagnose;
mod expr;
mod map;
mod small;
mod splice;
mod state;
mod supported;
pub mod trust;
mod verify;

pub use crate::sys::sealed::SealedFile;
pub use map::MappedText;
pub(crate) use state::{Sections, State};
pub use trust::Trust;
pub(crate) use verify::is_reseed_type;

use crate::error::{Error, Result, Status};
use crate::sys::sealed::{SealedSlice, read_at};
use crate::sys::{errno_error, io_error, reserve};
use lucet_artifact::code::{FuncTable, HandlerTable, PcMap, TrapTable};
use lucet_artifact::contract::{Contract, Exports, Imports};
use lucet_artifact::elf::{self, Elf};
use lucet_artifact::init::Init;
use lucet_artifact::layout::Layout;
use lucet_artifact::limits::MAX_ARTIFACT_BYTES;
use lucet_artifact::snapshot::Snapshot;
use lucet_artifact::trailer::{FLAG_SNAPSHOT, MAGIC, TRAILER_BYTES, Trailer};
use lucet_artifact::types::{NO_CODE, TypeTable};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use std::fs::{File, Metadata, OpenOptions};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where an artifact comes from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// A file by name. Only regular files are opened; symbolic links are followed.
    Path(&'a Path),
    /// An open regular file, read from its beginning whatever its position is. It is neither kept
    /// nor closed.
    Fd(BorrowedFd<'a>),
    /// The bytes of an artifact. They are copied.
    Bytes(&'a [u8]),
}

/// What the embedder allows.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Load artifacts that nobody vouches for by a signature or a pinned hash.
    pub allow_unsigned: bool,
    /// The keys and hashes that vouch.
    pub trust: Trust,
    /// Map code from the artifact's own file (so that `perf` finds its name) and allow
    /// [`gdb_script`]. The file must then not change while the module is in use.
    pub development: bool,
}

/// A loaded artifact: all of its facts, cross-checked, and its code in executable memory.
#[derive(Debug)]
pub struct Loaded {
    /// Version of the artifact format.
    pub format: u32,
    /// What the module may do and needs.
    pub contract: Contract,
    /// Function types with their trampolines.
    pub types: TypeTable,
    /// What it imports.
    pub imports: Arc<Imports>,
    /// What it exports; names are distinct.
    pub exports: Exports,
    /// All functions, imported ones first.
    pub funcs: FuncTable,
    /// Where it may trap.
    pub traps: Arc<TrapTable>,
    /// Where exceptions land.
    pub handlers: Arc<HandlerTable>,
    /// How an instance begins.
    pub init: Init,
    /// Where instance data lies; computed here, not read.
    pub layout: Layout,
    /// What is particular about a snapshot.
    pub snapshot: Option<Snapshot>,
    /// BLAKE2b-512 from the trailer, checked.
    pub hash: [u8; 64],
    /// The code. Snapshots taken in this process share it, as they do the file.
    pub text: Arc<MappedText>,
    /// The whole file, sealed. The ranges below refer to it.
    pub file: Arc<SealedFile>,
    /// Bytes of data segments.
    pub data: Range<usize>,
    /// Pages of the initial memory; its start is page-aligned. Empty if there are none.
    pub image: Range<usize>,
    /// Encoded pc map.
    pub pcmap: Range<usize>,
    /// Names of functions.
    pub strtab: Range<usize>,
    /// Where it was loaded from, if by name.
    pub path: Option<PathBuf>,
    development: bool,
    /// The pages of the initial memory: of the file, but for a snapshot taken in this process.
    pages: SealedSlice,
    /// Whether it is one: then its state is not the file's.
    taken: bool,
    /// Bytes that everything together takes which a module is made of and that is not in the file.
    small_things: usize,
}

/// Loads an artifact.
///
/// # Errors
/// [`Status::NotAnArtifact`], [`Status::InvalidArtifact`], [`Status::UnsupportedArtifact`] and
/// [`Status::UntrustedArtifact`] speak about the file; [`Status::Io`] and [`Status::OutOfMemory`]
/// about the system. The message begins with the path, if there is one.
pub fn load(source: Source<'_>, options: &LoadOptions) -> Result<Loaded> {
    let _room = reserve::room(reserve::ROOM)?;
    match source {
        Source::Bytes(bytes) => {
            let len = check_size(bytes.len() as u64)?;
            let tail = bytes.get(len.saturating_sub(TRAILER_BYTES)..).unwrap_or_default();
            check_kind(bytes, tail)?;
            finish(SealedFile::from_bytes(bytes)?, None, options)
        }
        Source::Fd(fd) => {
            check_readable(fd)?;
            let copy = fd.try_clone_to_owned().map_err(|e| io_error("duplicating the file", &e))?;
            let file = File::from(copy);
            finish(read_file(&file)?, None, options)
        }
        Source::Path(path) => load_path(path, options)
            .map_err(|e| e.context(path.display().to_string().escape_debug())),
    }
}

/// A descriptor that was opened for writing only, or as a mere place, is its owner's mistake.
fn check_readable(fd: BorrowedFd<'_>) -> Result<()> {
    let flags = fcntl(fd, FcntlArg::F_GETFL).map_err(|e| errno_error("the descriptor", e))?;
    if flags & libc::O_PATH != 0 || flags & libc::O_ACCMODE == libc::O_WRONLY {
        let message = "the descriptor is not open for reading: open the file with O_RDONLY";
        return Err(Error::new(Status::InvalidArgument, message));
    }
    Ok(())
}

fn load_path(path: &Path, options: &LoadOptions) -> Result<Loaded> {
    // A look before opening: opening a device can do something, and opening a pipe wakes whoever
    // waits for a reader.
    let meta = std::fs::metadata(path).map_err(|e| io_error("opening the file", &e))?;
    check_regular(&meta)?;
    // Not blocking: opening a FIFO must not wait for a writer. Regular files do not care.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|e| match e
        .raw_os_error()
    {
        Some(libc::ENXIO) => errno_error("not a regular file", Errno::ENXIO),
        _ => io_error("opening the file", &e),
    })?;
    let sealed = read_file(&file)?;
    let file = options.development.then_some(&file);
    let mut loaded = finish(sealed, file, options)?;
    loaded.path = Some(path.to_owned());
    Ok(loaded)
}

/// Copies a regular file, after a look at both of its ends.
fn read_file(file: &File) -> Result<SealedFile> {
    let meta = file.metadata().map_err(|e| io_error("looking at the file", &e))?;
    let len = check_regular(&meta)?;
    // Ends that do not belong to an artifact are found before a gigabyte of holes is copied.
    let (mut head, mut tail) = ([0; diagnose::HEAD], [0; TRAILER_BYTES]);
    let n = read_at(file, &mut head, 0)?;
    let head = head.get(..n.min(len)).unwrap_or_default();
    let m = read_at(file, &mut tail, len.saturating_sub(TRAILER_BYTES) as u64)?;
    check_kind(head, tail.get(..m).unwrap_or_default())?;
    SealedFile::from_file(file, len)
}

/// The length of what a path or descriptor leads to, if it can be an artifact at all.
fn check_regular(meta: &Metadata) -> Result<usize> {
    let kind = meta.file_type();
    let refuse = |message: String| Err(Error::new(Status::NotAnArtifact, message));
    if !kind.is_file() {
        let word = match kind {
            k if k.is_dir() => "a directory",
            k if k.is_fifo() => "a pipe",
            k if k.is_socket() => "a socket",
            _ => "a device",
        };
        return refuse(format!("this is {word}; an artifact must be a regular file"));
    }
    if meta.len() == 0 {
        return refuse("the file is empty, or one of those in /proc that have no length".into());
    }
    check_size(meta.len())
}

fn check_size(len: u64) -> Result<usize> {
    match usize::try_from(len) {
        Ok(n) if len <= MAX_ARTIFACT_BYTES => Ok(n),
        _ => {
            let message = format!("{len} bytes; the largest artifact has {MAX_ARTIFACT_BYTES}");
            Err(Error::new(Status::InvalidArtifact, message))
        }
    }
}

/// Refuses early what neither begins nor ends like an artifact.
fn check_kind(head: &[u8], tail: &[u8]) -> Result<()> {
    if head.starts_with(b"\x7fELF") && tail.starts_with(MAGIC) {
        return Ok(());
    }
    Err(diagnose::not_an_artifact(head))
}

/// Everything after the copy was made; `file` is the original in development mode.
fn finish(sealed: SealedFile, file: Option<&File>, options: &LoadOptions) -> Result<Loaded> {
    let bytes = sealed.as_slice();
    let trailer = check_trailer(bytes, options)?;
    let body = bytes.get(..bytes.len() - TRAILER_BYTES).unwrap_or_default();
    let elf = container(body)?;
    let small_things = small::small_things(&elf);
    let _room = reserve::room(small_things)?;
    let facts = verify::verify(body, &elf, trailer.flags & FLAG_SNAPSHOT != 0)?;
    let mapped = match file {
        Some(file) => map::map_text_of_file(file, &sealed, &facts.text)?,
        None => None,
    };
    let text = match mapped {
        Some(text) => text,
        None => map::map_text(&sealed, &facts.text)?,
    };
    let file = Arc::new(sealed);
    Ok(Loaded {
        pages: SealedSlice::new(&file, facts.image.clone()),
        format: facts.format,
        contract: facts.contract,
        types: facts.types,
        imports: Arc::new(facts.imports),
        exports: facts.exports,
        funcs: facts.funcs,
        traps: Arc::new(facts.traps),
        handlers: Arc::new(facts.handlers),
        init: facts.init,
        layout: facts.layout,
        snapshot: facts.snapshot,
        hash: trailer.hash,
        text: Arc::new(text),
        data: facts.data,
        image: facts.image,
        pcmap: facts.pcmap,
        strtab: facts.strtab,
        file,
        path: None,
        development: options.development,
        taken: false,
        small_things,
    })
}

/// The container of a body, which the artifact's own crate reads.
fn container(body: &[u8]) -> Result<Elf> {
    elf::parse(body).map_err(container_error)
}

fn container_error(e: elf::Error) -> Error {
    let status = match e.status {
        elf::Status::InvalidArtifact => Status::InvalidArtifact,
        elf::Status::UnsupportedArtifact => Status::UnsupportedArtifact,
    };
    Error::new(status, e.message)
}

/// Integrity first, then trust.
fn check_trailer(bytes: &[u8], options: &LoadOptions) -> Result<Trailer> {
    let trailer = Trailer::decode(bytes)
        .map_err(|e| Error::new(Status::InvalidArtifact, format!("trailer: {e}")))?;
    if !trailer.hash_matches(bytes) {
        let message = "the hash does not match: the artifact was damaged or changed";
        return Err(Error::new(Status::InvalidArtifact, message));
    }
    let message = match (trailer.flags & FLAG_SNAPSHOT != 0, trailer.parent != [0; 64]) {
        (false, true) => Some("trailer: a parent hash, but not a snapshot"),
        (true, false) => Some("trailer: a snapshot without the hash of its parent"),
        _ => None,
    };
    if let Some(message) = message {
        return Err(Error::new(Status::InvalidArtifact, message));
    }
    options.trust.check(&trailer, options.allow_unsigned)?;
    Ok(trailer)
}

impl Loaded {
    /// Bytes of memory that surely suffice for the small things which a module consists of besides
    /// its file, its tables and the template of its instance data: [`reserve::room`].
    pub(crate) fn small_things(&self) -> usize {
        self.small_things
    }

    /// Bytes of a range of the file.
    fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.file.as_slice().get(range.clone()).unwrap_or_default()
    }

    /// Pages of the initial memory, in the order of [`Init::image`].
    #[inline(always)]
    #[must_use]
    pub fn image_bytes(&self) -> &[u8] {
        self.pages.as_slice()
    }

    /// Name of a function, by index; `None` if it has none.
    #[must_use]
    pub fn function_name(&self, index: u32) -> Option<&str> {
        let at = self.funcs.funcs.get(index as usize)?.name;
        verify::name_at(self.bytes(&self.strtab), at).filter(|name| !name.is_empty())
    }

    /// Index of the function whose code holds the offset in `.text`; import stubs included,
    /// trampolines and adapters not.
    #[must_use]
    pub fn function_at(&self, offset: u32) -> Option<u32> {
        let inside = |f: &lucet_artifact::code::FuncRecord| {
            f.offset != NO_CODE && offset.checked_sub(f.offset).is_some_and(|d| d < f.size)
        };
        let imported = verify::imported_functions(&self.imports);
        let (stubs, own) = self.funcs.funcs.split_at_checked(imported)?;
        let i = own.partition_point(|f| f.offset <= offset);
        let index = match i.checked_sub(1) {
            Some(i) if own.get(i).is_some_and(inside) => imported + i,
            _ => stubs.iter().position(inside)?,
        };
        u32::try_from(index).ok()
    }

    /// Offset in the wasm file of the operator that the code at `pc_in_text` (offset in `.text`)
    /// of function `index` belongs to.
    #[must_use]
    pub fn wasm_offset(&self, index: u32, pc_in_text: u32) -> Option<u32> {
        let f = self.funcs.funcs.get(index as usize)?;
        let pc = pc_in_text.checked_sub(f.offset).filter(|pc| *pc < f.size)?;
        PcMap::lookup(self.bytes(&self.pcmap), f.pcmap, pc)
    }
}

/// The command that tells gdb where the code of a loaded artifact lies, symbols included.
///
/// # Errors
/// [`Status::WrongState`] unless it was loaded by path in development mode;
/// [`Status::InvalidArgument`] if the path cannot be written in a gdb script.
pub fn gdb_script(loaded: &Loaded) -> Result<String> {
    let Some(path) = loaded.path.as_ref().filter(|_| loaded.development) else {
        let message = "a gdb script needs a module loaded from a path in development mode";
        return Err(Error::new(Status::WrongState, message));
    };
    let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let Some(path) = path.to_str().filter(|p| !p.contains(char::is_control)) else {
        let message = "the path has characters that a gdb script cannot hold";
        return Err(Error::new(Status::InvalidArgument, message));
    };
    let plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    let path = if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
    };
    Ok(format!("add-symbol-file {path} -s .text {:#x}\n", loaded.text.base()))
}
