//! What code compiled with a fuel counter is charged. The numbers are part of what a compiled
//! module promises (same artifact, same fuel, same place): changing one changes where guests stop,
//! so it is a change that release notes name. Described in `docs/design/fuel.md`.

/// Every operator that is not named below.
pub const OPERATOR: u64 = 1;

/// `block`, `loop`, `else`, `end`, `nop`: they say where code goes and do nothing themselves.
pub const STRUCTURAL: u64 = 0;

/// A call of an imported function, instead of [`OPERATOR`]; through a table, besides it.
pub const HOST_CALL: u64 = 64;

/// `memory.grow`, `table.set`, `data.drop`, `elem.drop`, and the part of bulk operations that does
/// not depend on their size.
pub const RUNTIME_CALL: u64 = 16;

/// `memory.copy`, `memory.fill`, `memory.init`: one unit per this many bytes, rounded down, besides
/// [`RUNTIME_CALL`].
pub const BULK_BYTES: u64 = 64;

/// `table.copy`, `table.fill`, `table.init`, `table.grow`: one unit per this many elements, rounded
/// down, besides [`RUNTIME_CALL`].
pub const BULK_ELEMENTS: u64 = 16;

/// The counter of an instance that nobody gave a limit: more than can be used up.
pub const UNLIMITED: i64 = i64::MAX;
