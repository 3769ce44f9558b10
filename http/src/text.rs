//! Log messages: one line of printable UTF-8, put together on the stack.

use crate::server::Limits;

/// Room for a message.
pub(crate) struct Line {
    bytes: [u8; Limits::MOST_LOG_BYTES as usize],
    len: usize,
    most: usize,
    cut: bool,
}

/// What stands at the end of a message that was too long.
const CUT: &str = "...";

impl Line {
    pub(crate) fn new(most: u64) -> Self {
        let bytes = [0; Limits::MOST_LOG_BYTES as usize];
        let most = usize::try_from(most).unwrap_or(usize::MAX).clamp(16, bytes.len());
        Self { bytes, len: 0, most, cut: false }
    }

    /// Appends text as it is; one that does not fit ends the line.
    pub(crate) fn push(&mut self, text: &str) {
        let end = self.len + text.len();
        if self.cut || end > self.most - CUT.len() {
            self.cut = true;
            return;
        }
        if let Some(to) = self.bytes.get_mut(self.len..end) {
            to.copy_from_slice(text.as_bytes());
            self.len = end;
        }
    }

    /// Appends what a guest said: what is not printable, and no UTF-8, as `\xNN`.
    pub(crate) fn push_escaped(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                let mut utf8 = [0; 4];
                let text = c.encode_utf8(&mut utf8);
                if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
                    self.push_hex(text.as_bytes());
                } else {
                    self.push(text);
                }
                if self.cut {
                    return;
                }
            }
            self.push_hex(chunk.invalid());
        }
    }

    fn push_hex(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for b in bytes {
            let (high, low) = (DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]);
            let hex = [b'\\', b'x', high, low];
            self.push(std::str::from_utf8(&hex).unwrap_or_default());
        }
    }

    /// The line.
    pub(crate) fn finish(&mut self) -> &str {
        if std::mem::take(&mut self.cut) {
            let end = self.len + CUT.len();
            if let Some(to) = self.bytes.get_mut(self.len..end) {
                to.copy_from_slice(CUT.as_bytes());
                self.len = end;
            }
        }
        self.bytes.get(..self.len).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bytes: &[u8], most: u64) -> String {
        let mut line = Line::new(most);
        line.push_escaped(bytes);
        line.finish().to_owned()
    }

    #[test]
    fn messages_are_one_printable_line() {
        assert_eq!(line("grüße".as_bytes(), 100), "grüße");
        assert_eq!(line(b"a\r\nb\0c\x1b[31m", 100), "a\\x0d\\x0ab\\x00c\\x1b[31m");
        assert_eq!(line(b"\xff\xc3", 100), "\\xff\\xc3");
        assert_eq!(line("\u{85}\u{2028}".as_bytes(), 100), "\\xc2\\x85\\xe2\\x80\\xa8");
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        assert_eq!(line(&[b'a'; 50], 20), format!("{}...", "a".repeat(17)));
        assert_eq!(line("ä".repeat(50).as_bytes(), 20), format!("{}...", "ä".repeat(8)));
        assert_eq!(line(&[b'a'; 9000], u64::MAX).len(), 4096);
        assert!(line(&[0; 9000], u64::MAX).ends_with("\\x00..."));
    }
}
