//! A guest's path, checked for what can be told from its bytes alone.

use crate::types::Errno;

/// A relative path of at least one component, without NUL. Trailing slashes are cut off and
/// remembered: they never reach the kernel, where they would make it follow a last component that
/// it was told not to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuestPath<'p> {
    text: &'p [u8],
    /// The path ended in a slash, so it means a directory.
    pub slash: bool,
}

impl<'p> GuestPath<'p> {
    /// Checks `bytes`: `Noent` when empty, `Nametoolong` past `limit`, `Inval` with a NUL, `Ilseq`
    /// when not UTF-8, `Perm` when absolute.
    pub fn new(bytes: &'p [u8], limit: u32) -> Result<GuestPath<'p>, Errno> {
        if bytes.len() > limit as usize {
            return Err(Errno::Nametoolong);
        }
        if bytes.contains(&0) {
            return Err(Errno::Inval);
        }
        if std::str::from_utf8(bytes).is_err() {
            return Err(Errno::Ilseq);
        }
        match bytes.first() {
            None => return Err(Errno::Noent),
            Some(b'/') => return Err(Errno::Perm),
            Some(_) => {}
        }
        let text = trimmed(bytes);
        Ok(GuestPath { text, slash: text.len() < bytes.len() })
    }

    /// The path without trailing slashes.
    pub fn text(&self) -> &'p [u8] {
        self.text
    }

    /// What stands before the last component (`None` when nothing does), and the last component.
    pub fn split(&self) -> (Option<&'p [u8]>, &'p [u8]) {
        match self.text.iter().rposition(|b| *b == b'/') {
            None => (None, self.text),
            Some(at) => {
                let (parent, last) = self.text.split_at(at);
                (Some(trimmed(parent)), last.strip_prefix(b"/").unwrap_or(last))
            }
        }
    }
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or(bytes)
}

/// Whether a component names the directory it stands in, or the one above.
pub(crate) fn is_dots(component: &[u8]) -> bool {
    component == b"." || component == b".."
}
