//! Limits on everything in an artifact: sizes, counts, lengths.
//!
//! The compiler refuses to write what exceeds one of these, and the loader refuses to read it, so
//! a file that was changed on the way cannot make the runtime allocate or loop without bound. The
//! numbers are the WebAssembly JavaScript API's implementation limits where it has one, because
//! toolchains already stay below those.

/// Size of a wasm page in bytes (core spec, 2.5.5).
pub const WASM_PAGE: u64 = 64 * 1024;
/// Size of a native page in bytes on the only supported target.
pub const NATIVE_PAGE: u64 = 4096;

/// Largest artifact file, in bytes.
pub const MAX_ARTIFACT_BYTES: u64 = 1 << 30;
/// Largest wasm file accepted by the compiler, in bytes.
pub const MAX_WASM_BYTES: u64 = 1 << 28;
/// Largest `.text`, in bytes: offsets are `u32` and calls are relative to 31 bits.
pub const MAX_TEXT_BYTES: u64 = 1 << 29;
/// Most distinct function types.
pub const MAX_TYPES: usize = 1_000_000;
/// Most functions, imported ones included.
pub const MAX_FUNCTIONS: usize = 1_000_000;
/// Most imports of any kind.
pub const MAX_IMPORTS: usize = 100_000;
/// Most exports of any kind.
pub const MAX_EXPORTS: usize = 1_000_000;
/// Most tables, imported ones included.
pub const MAX_TABLES: usize = 1_000;
/// Most memories, imported ones included.
pub const MAX_MEMORIES: usize = 100;
/// Most globals, imported ones included.
pub const MAX_GLOBALS: usize = 60_000;
/// Most exception tags, imported ones included.
pub const MAX_TAGS: usize = 10_000;
/// Most element segments.
pub const MAX_ELEMENT_SEGMENTS: usize = 100_000;
/// Most items in all element segments together.
pub const MAX_ELEMENT_ITEMS: usize = 10_000_000;
/// Most data segments.
pub const MAX_DATA_SEGMENTS: usize = 100_000;
/// Most operators in one constant expression.
pub const MAX_CONST_OPS: usize = 1_000;
/// Most parameters of a function type.
pub const MAX_PARAMS: usize = 1_000;
/// Most results of a function type.
pub const MAX_RESULTS: usize = 1_000;
/// Longest name of an import, export, function or label, in bytes.
pub const MAX_NAME_BYTES: usize = 100_000;
/// Most free labels in a contract.
pub const MAX_LABELS: usize = 64;
/// Longest label value, in bytes.
pub const MAX_LABEL_BYTES: usize = 1_024;
/// Largest instance data in bytes; it shares a 2 MiB range with stack top and start of memory.
pub const MAX_INSTANCE_DATA: u32 = 1 << 20;
/// Most elements that a table begins with or grows to, and most that all of a module's own tables
/// have together: an element takes 32 bytes.
pub const MAX_TABLE_ELEMENTS: u64 = 10_000_000;
/// Most pages of a 32-bit memory.
pub const MAX_MEMORY32_PAGES: u64 = 65_536;
/// Most bytes of one memory that any instance can have, whatever its address width: what a slot
/// reserves.
pub const MAX_MEMORY_BYTES: u64 = 4 << 30;
/// Most bytes of address space that a module's own memories besides memory 0 reserve together.
pub const MAX_FURTHER_RESERVE: u64 = 1 << 38;
/// Most bytes of memory image stored in one artifact.
pub const MAX_IMAGE_BYTES: u64 = 1 << 29;
/// Most runs in a memory image.
pub const MAX_IMAGE_RUNS: usize = 100_000;
/// Most trap sites.
pub const MAX_TRAP_SITES: usize = 100_000_000;
/// Most calls that may be left by an exception which their function catches.
pub const MAX_HANDLERS: usize = 50_000_000;
/// Most ranges of untrusted hints (constants and jump tables inside `.text`).
pub const MAX_HINTS: usize = 10_000_000;
/// Longest version string, in bytes.
pub const MAX_VERSION_BYTES: usize = 64;
