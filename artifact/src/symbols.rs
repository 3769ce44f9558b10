//! Checks the symbol table, which is there for debuggers and profilers. The loader looks nothing
//! up in it, so nothing here depends on it; but it can say more than lucetc ever writes, in ways
//! that other tools act upon: unique symbols, which a dynamic linker unites with those of other
//! files, indirect functions, which it calls, symbols that are defined elsewhere.
//!
//! ```text
//!  0      4    5     6     8       16      24
//!  ├──────┼────┼─────┼─────┼───────┼───────┤
//!  │ name │info│other│index│ value │ size  │   local, a function, in .text
//!  └──────┴────┴─────┴─────┴───────┴───────┘
//! ```

use crate::codec::Reader;
use crate::elf::{Error, bad, check, u16, u32, u64};
use std::ops::Range;

/// Size of an entry.
pub(crate) const SYM_BYTES: u64 = 24;
/// STB_LOCAL and STT_FUNC, default visibility.
const LOCAL_FUNCTION: u16 = 2;

/// What symbols may refer to.
pub(crate) struct Targets {
    /// Index of the section `.text`.
    pub(crate) text_index: u16,
    /// Where it lies.
    pub(crate) text: Range<u64>,
    /// Length of `.strtab`.
    pub(crate) names: u64,
}

/// Checks the entries of a table that lies `at` this offset of the file.
pub(crate) fn check_symbols(table: &[u8], at: u64, targets: &Targets) -> Result<(), Error> {
    let (first, rest) = table.split_at_checked(SYM_BYTES as usize).unwrap_or((table, &[]));
    if let Some((i, b)) = first.iter().enumerate().find(|(_, b)| **b != 0) {
        return Err(bad("first symbol", at + i as u64, (*b).into()));
    }
    let mut r = Reader::new(rest);
    while r.remaining() > 0 {
        let at = at + SYM_BYTES + r.pos() as u64;
        let name = u32(&mut r, "st_name")?;
        check(u64::from(name) < targets.names, "st_name", at, name.into())?;
        // Two bytes, of which the second is the visibility.
        let info = u16(&mut r, "st_info")?;
        check(info == LOCAL_FUNCTION, "st_info or st_other", at + 4, info.into())?;
        let index = u16(&mut r, "st_shndx")?;
        check(index == targets.text_index, "st_shndx", at + 6, index.into())?;
        let value = u64(&mut r, "st_value")?;
        check(targets.text.contains(&value), "st_value", at + 8, value)?;
        let size = u64(&mut r, "st_size")?;
        check(size <= targets.text.end - value, "st_size", at + 16, size)?;
    }
    Ok(())
}
