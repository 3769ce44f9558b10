//! Base64 as minisign's files have it (RFC 4648, section 4): with padding, without line feeds.
//!
//! There is one text for each sequence of bytes: what does not come out of [`encode`] is refused by
//! [`decode`], bits behind the last byte included. Both serve for secret keys, and leave no copy.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of these bytes.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4u32 {
            let digit = DIGITS.get((bits >> (18 - 6 * i) & 63) as usize);
            out.push(match digit {
                Some(d) if i as usize <= chunk.len() => char::from(*d),
                _ => '=',
            });
        }
    }
    out
}

/// The `N` bytes of this text; `None` if it is not exactly theirs.
#[must_use]
pub fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    let mut bytes = out.iter_mut();
    let (mut bits, mut have) = (0u32, 0);
    let digits = text.iter().position(|c| *c == b'=').unwrap_or(text.len());
    for c in text.get(..digits)? {
        bits = (bits << 6 | value(*c)?) & 0xffff;
        have += 6;
        if have >= 8 {
            have -= 8;
            *bytes.next()? = (bits >> have) as u8;
        }
    }
    let full = bytes.next().is_none() && text.len() == N.div_ceil(3) * 4;
    let nothing_left = bits & ((1 << have) - 1) == 0;
    let padded = text.get(digits..)?.iter().all(|c| *c == b'=') && digits == (N * 4).div_ceil(3);
    (full && nothing_left && padded).then_some(out)
}

fn value(c: u8) -> Option<u32> {
    Some(
        match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        }
        .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
        ] {
            assert_eq!(encode(bytes), text);
        }
        assert_eq!(decode::<4>(b"Zm9vYg=="), Some(*b"foob"));
        assert_eq!(decode::<3>(b"+/+/"), Some([0xfb, 0xff, 0xbf]));
    }

    #[test]
    fn one_text_per_sequence() {
        let good = b"Zm9vYg==";
        for at in 0..good.len() {
            for with in 0..=255 {
                let mut text = *good;
                text[at] = with;
                if let Some(bytes) = decode::<4>(&text) {
                    assert_eq!(bytes == *b"foob", text == *good, "{at} {with}");
                }
            }
        }
        for text in [
            &b"Zm9vYg"[..],
            b"Zm9vYg=",
            b"Zm9vYg===",
            b"Zm9vYh==",
            b"Zm9v\nYg==",
            b"Zm9vYg==\n",
            b" Zm9vYg==",
            b"Zm9vYgA=",
            b"Zm9v",
            b"Zm=vYg==",
            b"",
        ] {
            assert_eq!(decode::<4>(text), None, "{}", String::from_utf8_lossy(text));
        }
    }
}
