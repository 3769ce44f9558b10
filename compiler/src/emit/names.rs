//! Symbol names: from whatever a module calls its functions to what tools can show.
//!
//! Names in a wasm file are arbitrary UTF-8 chosen by whoever made the module. They end up in
//! `.symtab`, from there in gdb, perf, backtraces and logs, so a name must not be able to end
//! early (NUL), break a line-oriented format (white space, as in `perf script` or `nm`), drive a
//! terminal (control characters), or reorder the text around it (bidirectional formatting).

use crate::model::Compiled;
use lucet_artifact::types::NO_CODE;
use std::borrow::Cow;

/// The name with everything replaced by `_` that could mislead a tool or a terminal. Other
/// characters stay, also those outside ASCII.
#[must_use]
pub fn sanitize(name: &str) -> Cow<'_, str> {
    if name.chars().any(is_bad) {
        Cow::Owned(name.chars().map(|c| if is_bad(c) { '_' } else { c }).collect())
    } else {
        Cow::Borrowed(name)
    }
}

fn is_bad(c: char) -> bool {
    c.is_control()
        || c.is_whitespace()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

/// A symbol: a range of `.text` with a name.
#[derive(Debug)]
pub(super) struct Symbol<'a> {
    /// Sanitized name; possibly empty.
    pub name: Cow<'a, str>,
    /// Offset in `.text`.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
}

/// All symbols: the functions with code in index order, then the glue.
pub(super) fn symbols(c: &Compiled) -> Vec<Symbol<'_>> {
    let funcs = c.funcs.iter().filter(|f| f.record.offset != NO_CODE);
    let funcs = funcs.map(|f| Symbol {
        name: sanitize(&f.name),
        offset: f.record.offset,
        size: f.record.size,
    });
    let glue =
        c.glue.iter().map(|g| Symbol { name: sanitize(&g.name), offset: g.offset, size: g.size });
    funcs.chain(glue).collect()
}

#[cfg(test)]
mod tests {
    use super::sanitize;

    #[test]
    fn harmless_names_stay() {
        for n in ["main", "wasm[3]", "größe", "std::vec::Vec<T>::push", "日本語", ""] {
            assert_eq!(sanitize(n), n);
        }
    }

    #[test]
    fn what_misleads_is_replaced() {
        assert_eq!(sanitize("a\0b"), "a_b");
        assert_eq!(sanitize("f(int, int)\n"), "f(int,_int)_");
        assert_eq!(sanitize("\u{1b}[2J"), "_[2J");
        assert_eq!(sanitize("\u{202e}gnp.exe\u{a0}"), "_gnp.exe_");
    }
}
