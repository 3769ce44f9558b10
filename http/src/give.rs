//! How texts and lists of texts come into guest memory.
//!
//! The rule of http-wasm: a function that gives something takes a buffer and its size, writes all
//! of it or, if the buffer is smaller, nothing, and returns the whole length either way. So a guest
//! can ask with no buffer first, or try with the one it has.
//!
//! A list is not known before it was walked through. Its beginning is kept on the stack meanwhile,
//! which is all of it almost always; a longer one is walked through twice.

use crate::{Answer, Memory, Problem, Stop};

/// A text: how long it is.
///
/// # Errors
/// [`Stop::OutOfBounds`] if it fits the buffer, but the buffer does not fit the memory.
pub fn text(memory: &mut dyn Memory, at: u32, limit: u32, text: &[u8]) -> Answer<u32> {
    let len = u32::try_from(text.len()).map_err(|_| Stop::Problem(Problem::TooLong))?;
    if len > 0 && len <= limit {
        memory.write(at, len).ok_or(Stop::OutOfBounds)?.copy_from_slice(text);
    }
    Ok(len)
}

/// Bytes of a list that are kept.
const KEPT: usize = 512;

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// As it is.
    Plain,
    /// In lower case, each text once (if it is among the first [`KEPT`] bytes).
    Names,
}

/// Whether `list`, of texts that end with NUL, has `text` in it.
fn has(list: &[u8], text: &[u8]) -> bool {
    list.split(|c| *c == 0).any(|t| t.eq_ignore_ascii_case(text))
}

/// Whether a text belongs into a list that begins with `kept`. One with a NUL in it would be two.
fn belongs(kept: &[u8], text: &[u8], style: Style) -> bool {
    !text.contains(&0) && (style == Style::Plain || !has(kept, text))
}

/// Appends a text and a NUL at `*len`, as far as there is room.
fn append(to: &mut [u8], len: &mut usize, text: &[u8]) {
    let end = len.saturating_add(text.len());
    if let Some((nul, place)) = to.get_mut(*len..=end).and_then(<[u8]>::split_last_mut) {
        place.copy_from_slice(text);
        *nul = 0;
    }
    *len = end.saturating_add(1);
}

/// Calls what it is given with one text after the other, until that returns false.
type Walk<'a> = dyn Fn(&mut dyn FnMut(&[u8]) -> bool) + 'a;

/// A list of texts, each ended by a NUL: `count << 32 | length`. `walk` calls what it is given with
/// each text, until that returns false.
pub(crate) fn list(
    memory: &mut dyn Memory,
    (at, limit): (u32, u32),
    style: Style,
    walk: &Walk<'_>,
) -> Answer<u64> {
    let mut kept = [0u8; KEPT];
    let (mut count, mut len) = (0u64, 0usize);
    walk(&mut |text| {
        if belongs(&kept[..len.min(KEPT)], text, style) {
            append(&mut kept, &mut len, text);
            count += 1;
        }
        len <= u32::MAX as usize
    });
    let Ok(all) = u32::try_from(len) else { return Problem::TooLong.into() };
    if all > 0 && all <= limit {
        let to = memory.write(at, all).ok_or(Stop::OutOfBounds)?;
        if let Some(kept) = kept.get(..len) {
            to.copy_from_slice(kept);
        } else {
            again(to, style, walk);
        }
        if style == Style::Names {
            to.make_ascii_lowercase();
        }
    }
    Ok(count << 32 | u64::from(all))
}

/// The same list once more, straight to where it belongs. If the server says something else this
/// time, the list ends where it must, and what is missing is empty texts.
#[cold]
fn again(to: &mut [u8], style: Style, walk: &Walk<'_>) {
    to.fill(0);
    let mut len = 0;
    walk(&mut |text| {
        if belongs(&to[..len.min(KEPT).min(to.len())], text, style) {
            append(to, &mut len, text);
        }
        len < to.len()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(texts: &[&str], limit: u32, style: Style) -> (u64, u64, String) {
        let mut memory = vec![b'.'; 2000];
        let memory: &mut [u8] = &mut memory;
        let walk = |each: &mut dyn FnMut(&[u8]) -> bool| {
            texts.iter().all(|t| each(t.as_bytes()));
        };
        let mut held = Held(memory);
        let word = list(&mut held, (8, limit), style, &walk).unwrap();
        let text = String::from_utf8_lossy(held.0).trim_matches('.').replace('\0', "|");
        (word >> 32, word & 0xffff_ffff, text)
    }

    struct Held<'a>(&'a mut [u8]);

    impl Memory for Held<'_> {
        fn read(&self, at: u32, len: u32) -> Option<&[u8]> {
            Memory::read(&*self.0, at, len)
        }

        fn write(&mut self, at: u32, len: u32) -> Option<&mut [u8]> {
            Memory::write(&mut *self.0, at, len)
        }
    }

    #[test]
    fn all_or_nothing() {
        let two = ["a=b", "c=d"];
        assert_eq!(given(&two, 8, Style::Plain), (2, 8, "a=b|c=d|".into()));
        assert_eq!(given(&two, 7, Style::Plain), (2, 8, String::new()));
        assert_eq!(given(&[], 7, Style::Plain), (0, 0, String::new()));
        assert_eq!(given(&["", "x\0y"], 7, Style::Plain), (1, 1, "|".into()));
        assert_eq!(
            given(&["Date", "ETag", "date"], 99, Style::Names),
            (2, 10, "date|etag|".into())
        );
    }

    #[test]
    fn long_lists_are_walked_through_twice() {
        let texts: Vec<String> = (0..100).map(|n| format!("Header-{n}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let whole: String = texts.iter().map(|t| format!("{}|", t.to_lowercase())).collect();
        let len = whole.len() as u64;
        assert_eq!(given(&texts, 1990, Style::Names), (100, len, whole));
        assert_eq!(given(&texts, len as u32 - 1, Style::Names), (100, len, String::new()));
    }

    #[test]
    fn a_list_that_changes_stays_inside() {
        let calls = std::cell::Cell::new(0);
        let walk = |each: &mut dyn FnMut(&[u8]) -> bool| {
            calls.set(calls.get() + 1);
            let n = if calls.get() == 1 { 20 } else { 400 };
            (0..n).all(|_| each(&[b'x'; 40]));
        };
        let mut memory = vec![b'.'; 2000];
        let mut held = Held(&mut memory);
        let word = list(&mut held, (8, 1990), Style::Plain, &walk).unwrap();
        assert_eq!((word >> 32, word as u32), (20, 820));
        assert_eq!(calls.get(), 2);
        assert!(memory[828..].iter().all(|c| *c == b'.'));
    }
}
