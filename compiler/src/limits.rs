//! What a compilation may take: sizes, counts, time and memory (`docs/design/compile-limits.md`).
//!
//! Whoever compiles what strangers send needs an upper bound on everything, because two bytes of
//! wasm can ask for the work of a thousand. Each bound has a name, a default that no known real
//! module comes near to, and a maximum; the command sets them with `--limit NAME=VALUE`.

use crate::error::{Class, Diagnostic};
use lucet_artifact::limits as format;
use std::time::Duration;

/// One bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes of the module, as text or binary.
    ModuleSize,
    /// Functions, imported ones included.
    Functions,
    /// Distinct or equal function types.
    Types,
    /// Imports.
    Imports,
    /// Exports.
    Exports,
    /// Globals.
    Globals,
    /// Items of all element segments.
    ElementItems,
    /// Bytes of the initial memory that the artifact holds.
    Image,
    /// Bytes of one function's body.
    FunctionSize,
    /// Locals of one function.
    Locals,
    /// Depth to which blocks nest.
    Nesting,
    /// Depth to which loops nest.
    LoopNesting,
    /// Targets of one `br_table`.
    BrTable,
    /// Targets of all `br_table`s of a function.
    BranchTargets,
    /// Values of a function in intermediate code.
    Values,
    /// Basic blocks of a function in intermediate code.
    Blocks,
    /// Calls of a function in intermediate code: of the runtime and of trap stubs, too.
    Calls,
    /// Values that calls and branches of a function carry.
    Carried,
    /// Branches of a function times its locals.
    Merges,
    /// Bytes of memory.
    Memory,
    /// Seconds.
    Time,
}

/// What there is to know about a limit.
#[derive(Debug)]
pub struct Row {
    /// Which.
    pub limit: Limit,
    /// Its name on the command line.
    pub name: &'static str,
    /// Its value if none is given; 0 is [`DERIVED`].
    pub default: u64,
    /// The largest value.
    pub max: u64,
    /// What is counted: "the module has more than N …".
    pub what: &'static str,
}

/// The value of [`Limit::Memory`] and [`Limit::Time`] that stands for one that grows with the
/// module: [`Limits::memory`], [`Limits::time`].
pub const DERIVED: u64 = 0;

const fn row(limit: Limit, name: &'static str, default: u64, max: u64, what: &'static str) -> Row {
    Row { limit, name, default, max, what }
}

const FUNCTION_BYTES: u64 = 7_654_321;
const ELEMENTS: u64 = format::MAX_ELEMENT_ITEMS as u64;

/// All limits, in the order of [`Limit`]. In ten large real modules no function has more than
/// 920,000 values, 18,000 blocks or 6,300 calls.
pub const ROWS: [Row; 21] = [
    row(
        Limit::ModuleSize,
        "module-size",
        format::MAX_WASM_BYTES,
        format::MAX_WASM_BYTES,
        "bytes in the module",
    ),
    row(
        Limit::Functions,
        "functions",
        format::MAX_FUNCTIONS as u64,
        format::MAX_FUNCTIONS as u64,
        "functions in the module",
    ),
    row(
        Limit::Types,
        "types",
        format::MAX_TYPES as u64,
        format::MAX_TYPES as u64,
        "types in the module",
    ),
    row(
        Limit::Imports,
        "imports",
        format::MAX_IMPORTS as u64,
        format::MAX_IMPORTS as u64,
        "imports in the module",
    ),
    row(
        Limit::Exports,
        "exports",
        format::MAX_EXPORTS as u64,
        format::MAX_EXPORTS as u64,
        "exports in the module",
    ),
    row(
        Limit::Globals,
        "globals",
        format::MAX_GLOBALS as u64,
        format::MAX_GLOBALS as u64,
        "globals in the module",
    ),
    row(Limit::ElementItems, "element-items", ELEMENTS, ELEMENTS, "element items in the module"),
    row(Limit::Image, "image", 256 << 20, format::MAX_IMAGE_BYTES, "bytes of initial memory"),
    row(
        Limit::FunctionSize,
        "function-size",
        FUNCTION_BYTES,
        FUNCTION_BYTES,
        "bytes in the body of a function",
    ),
    row(Limit::Locals, "locals", 50_000, 50_000, "locals in a function"),
    row(Limit::Nesting, "nesting", 50_000, FUNCTION_BYTES, "nested blocks in a function"),
    row(Limit::LoopNesting, "loop-nesting", 2_000, FUNCTION_BYTES, "nested loops in a function"),
    row(Limit::BrTable, "br-table", 65_520, 1_000_000, "targets in a br_table"),
    row(
        Limit::BranchTargets,
        "branch-targets",
        1_000_000,
        FUNCTION_BYTES,
        "targets in the br_tables of a function",
    ),
    row(Limit::Values, "values", 2_000_000, 100_000_000, "intermediate values in a function"),
    row(Limit::Blocks, "blocks", 500_000, 100_000_000, "basic blocks in a function"),
    row(Limit::Calls, "calls", 200_000, 100_000_000, "calls and traps in a function"),
    row(
        Limit::Carried,
        "carried-values",
        4_000_000,
        1_000_000_000,
        "values carried by calls and branches of a function",
    ),
    row(
        Limit::Merges,
        "merges",
        100_000_000,
        100_000_000_000,
        "locals times branches in a function",
    ),
    row(Limit::Memory, "memory", DERIVED, 1 << 46, "bytes of memory to compile the module"),
    row(Limit::Time, "time", DERIVED, 1_000_000, "seconds to compile the module"),
];

/// Bytes of a module up to which derived limits are the same.
const SMALL: u64 = 10 << 20;

impl Limit {
    /// What there is to know about it.
    #[must_use]
    pub fn row(self) -> &'static Row {
        // The order is a test's business; a wrong row would only be a wrong message.
        ROWS.get(self as usize).unwrap_or(&ROWS[0])
    }

    /// That it is exceeded.
    #[must_use]
    pub fn exceeded(self, limits: &Limits) -> Diagnostic {
        let Row { name, what, max, .. } = self.row();
        let value = limits.get(self);
        let d = Diagnostic::new(Class::Limit, format!("too many {what}: the limit is {value}"));
        d.help(if value < *max {
            format!("make it smaller, or raise the limit with --limit {name}=N, up to {max}")
        } else {
            "make it smaller; this limit cannot be raised".to_owned()
        })
    }
}

/// A value for each limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits([u64; ROWS.len()]);

impl Default for Limits {
    fn default() -> Self {
        Self(ROWS.each_ref().map(|r| r.default))
    }
}

impl Limits {
    /// The value of a limit.
    #[must_use]
    pub fn get(&self, limit: Limit) -> u64 {
        self.0.get(limit as usize).copied().unwrap_or_default()
    }

    /// Sets a limit; more than its maximum is its maximum.
    pub fn set(&mut self, limit: Limit, value: u64) {
        if let Some(v) = self.0.get_mut(limit as usize) {
            *v = value.min(limit.row().max);
        }
    }

    /// Sets a limit from `NAME=VALUE`, as on the command line: a decimal number, also with `K`,
    /// `M` or `G` behind it for the powers of 1024.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn set_text(&mut self, text: &str) -> Result<(), String> {
        let Some((name, value)) = text.split_once('=') else {
            return Err(format!("wants NAME=VALUE, not `{text}`"));
        };
        let Some(row) = ROWS.iter().find(|r| r.name == name) else {
            let names: Vec<_> = ROWS.iter().map(|r| r.name).collect();
            return Err(format!("there is no limit `{name}`; there are {}", names.join(", ")));
        };
        let (digits, shift) = match value.as_bytes().last() {
            Some(b'K') => (value.strip_suffix('K'), 10),
            Some(b'M') => (value.strip_suffix('M'), 20),
            Some(b'G') => (value.strip_suffix('G'), 30),
            _ => (Some(value), 0),
        };
        let digits = digits.filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
        let n = digits.and_then(|d| d.parse::<u64>().ok()).and_then(|n| n.checked_mul(1 << shift));
        match n {
            Some(n) if n <= row.max => {
                self.set(row.limit, n);
                Ok(())
            }
            Some(_) => Err(format!("{name} can be at most {}, not {value}", row.max)),
            None => Err(format!("{name} wants a number, also with K, M or G, not `{value}`")),
        }
    }

    /// How long a module of `bytes` may take: 55 s, and 20 more for each MiB beyond ten.
    #[must_use]
    pub fn time(&self, bytes: u64) -> Duration {
        Duration::from_secs(match self.get(Limit::Time) {
            DERIVED => 55 + (bytes.saturating_sub(SMALL) >> 20) * 20,
            seconds => seconds,
        })
    }

    /// How much memory a module of `bytes` may take: 2 GiB, and 64 MiB more for each MiB beyond
    /// ten.
    #[must_use]
    pub fn memory(&self, bytes: u64) -> u64 {
        match self.get(Limit::Memory) {
            DERIVED => (2 << 30) + (bytes.saturating_sub(SMALL) >> 20) * (64 << 20),
            bytes => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order() {
        for (i, row) in ROWS.iter().enumerate() {
            assert_eq!(row.limit as usize, i, "{}", row.name);
            assert!(row.default <= row.max, "{}", row.name);
            assert_eq!(Limits::default().get(row.limit), row.default);
        }
    }

    #[test]
    fn texts() {
        let mut l = Limits::default();
        l.set_text("values=100").unwrap();
        l.set_text("memory=3G").unwrap();
        l.set_text("image=64K").unwrap();
        assert_eq!((l.get(Limit::Values), l.get(Limit::Image)), (100, 65_536));
        assert_eq!(l.memory(0), 3 << 30);
        for bad in [
            "values",
            "values=",
            "values=-1",
            "values=+1",
            "values=K",
            "values=1k",
            "valeus=1",
            "locals=50001",
            "memory=99999999999G",
        ] {
            assert!(l.set_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn large_modules_may_take_more() {
        let l = Limits::default();
        assert_eq!((l.time(10 << 20).as_secs(), l.memory(10 << 20)), (55, 2 << 30));
        assert_eq!((l.time(12 << 20).as_secs(), l.memory(12 << 20)), (95, (2 << 30) + (128 << 20)));
    }
}
