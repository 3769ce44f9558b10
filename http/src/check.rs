//! What values must look like before a server sees them.
//!
//! Names and methods are tokens (RFC 9110, 5.6.2). Values have no control characters but tabs
//! (5.5), so nothing a plugin says can end a header line. URIs are what may stand in a request line
//! (RFC 9112, 3.2), `%00` excluded. Headers that say where a message ends are the server's alone:
//! a plugin that could set them could smuggle requests.

use crate::{Answer, Problem};

fn is_token(c: u8) -> bool {
    c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c)
}

fn token(text: &[u8], otherwise: Problem) -> Answer<()> {
    match !text.is_empty() && text.iter().all(|c| is_token(*c)) {
        true => Ok(()),
        false => otherwise.into(),
    }
}

/// A method.
///
/// # Errors
/// [`Problem::BadMethod`]; [`Problem::TooLong`] for more than 32 bytes.
pub fn method(text: &[u8]) -> Answer<()> {
    if text.len() > 32 {
        return Problem::TooLong.into();
    }
    token(text, Problem::BadMethod)
}

/// The name of a header.
///
/// # Errors
/// [`Problem::BadHeaderName`].
pub fn header_name(name: &[u8]) -> Answer<()> {
    token(name, Problem::BadHeaderName)
}

/// The value of a header.
///
/// # Errors
/// [`Problem::BadHeaderValue`].
pub fn header_value(value: &[u8]) -> Answer<()> {
    match value.iter().all(|c| *c == b'\t' || *c >= b' ' && *c != 0x7f) {
        true => Ok(()),
        false => Problem::BadHeaderValue.into(),
    }
}

/// Headers that only the server may change.
const FRAMING: [&str; 5] =
    ["transfer-encoding", "connection", "keep-alive", "proxy-connection", "upgrade"];

/// A change of a header with this name, whose new value is `value` if there is one.
///
/// # Errors
/// [`Problem::FramingHeader`]; [`Problem::BadHeaderValue`] for a length that is no number.
pub fn framing(name: &[u8], value: Option<&[u8]>) -> Answer<()> {
    if FRAMING.iter().any(|f| f.as_bytes().eq_ignore_ascii_case(name)) {
        return Problem::FramingHeader.into();
    }
    let length = name.eq_ignore_ascii_case(b"content-length");
    match value {
        Some(v) if length && !(matches!(v.len(), 1..=18) && v.iter().all(u8::is_ascii_digit)) => {
            Problem::BadHeaderValue.into()
        }
        _ => Ok(()),
    }
}

/// A URI: `*`, or a path with or without a query.
///
/// # Errors
/// [`Problem::BadUri`]; [`Problem::TooLong`] for more than `most` bytes.
pub fn uri(text: &[u8], most: u64) -> Answer<()> {
    if text.len() as u64 > most {
        return Problem::TooLong.into();
    }
    let plain = text.iter().all(|c| c.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(c));
    let escaped = |at: usize| match text.get(at + 1..at + 3) {
        Some(hex) => hex.iter().all(u8::is_ascii_hexdigit) && hex != b"00",
        None => false,
    };
    let encoded = text.iter().enumerate().all(|(at, c)| *c != b'%' || escaped(at));
    match text == b"*" || text.first() == Some(&b'/') && plain && encoded {
        true => Ok(()),
        false => Problem::BadUri.into(),
    }
}

/// A status code.
///
/// # Errors
/// [`Problem::BadStatus`].
pub fn status(code: u32) -> Answer<()> {
    if (100..=999).contains(&code) { Ok(()) } else { Problem::BadStatus.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        for good in ["GET", "X-Request-Id", "a", "!#$%&'*+-.^_`|~09azAZ"] {
            assert_eq!(header_name(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in ["", " ", "a b", "a:", "a\r\nb", "a\0", "ä", "a\x7f", "a/b", "\"", "(", "a\t"] {
            assert_eq!(header_name(bad.as_bytes()), Problem::BadHeaderName.into(), "{bad:?}");
            assert_eq!(method(bad.as_bytes()), Problem::BadMethod.into(), "{bad:?}");
        }
        assert_eq!(method(&[b'A'; 33]), Problem::TooLong.into());
    }

    #[test]
    fn values_hold_no_control_characters() {
        for c in 0..=255u8 {
            let good = c == b'\t' || c >= 0x20 && c != 0x7f;
            for text in [vec![c], vec![b'a', c], vec![c, b'a']] {
                assert_eq!(header_value(&text).is_ok(), good, "{text:?}");
            }
        }
        assert_eq!(header_value(b""), Ok(()));
    }

    #[test]
    fn framing_is_the_servers() {
        for name in ["Transfer-Encoding", "CONNECTION", "keep-alive", "upgrade"] {
            assert_eq!(framing(name.as_bytes(), None), Problem::FramingHeader.into(), "{name}");
        }
        assert_eq!(framing(b"Content-Length", Some(b"12")), Ok(()));
        assert_eq!(framing(b"content-length", None), Ok(()));
        for bad in ["", "+1", "1 ", "0x1", "-1", "1,1", "9999999999999999999"] {
            let got = framing(b"content-length", Some(bad.as_bytes()));
            assert_eq!(got, Problem::BadHeaderValue.into(), "{bad}");
        }
    }

    #[test]
    fn uris() {
        for good in ["/", "*", "/a/b?c=d&e", "/%41?%e4", "/a//b;c=1,2", "/~x:y@z!$'()"] {
            assert_eq!(uri(good.as_bytes(), 100), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a",
            "http://h/",
            "/a b",
            "/\r\n",
            "/%0",
            "/%",
            "/%00",
            "/%zz",
            "/ä",
            "/#f",
            "/\0",
            "*a",
            "/a\x7f",
            "/\\",
        ] {
            assert_eq!(uri(bad.as_bytes(), 100), Problem::BadUri.into(), "{bad:?}");
        }
        assert_eq!(uri(b"/aaa", 3), Problem::TooLong.into());
    }

    #[test]
    fn statuses() {
        for (code, good) in [(99, false), (100, true), (999, true), (1000, false), (0, false)] {
            assert_eq!(status(code).is_ok(), good, "{code}");
        }
    }
}
