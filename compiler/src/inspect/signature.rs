//! Who signed an artifact, as far as the trailer says so. Whether it is true only a key can tell.

use lucet_artifact::trailer::Trailer;

/// What a signature says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Id of the key: 16 hexadecimal digits, as minisign prints it.
    pub key: String,
    /// The trusted comment.
    pub comment: String,
}

/// Finds key id and trusted comment in a signature of minisign's format: lines with an untrusted
/// comment, the signature in base64, a trusted comment.
pub fn signer(trailer: &Trailer) -> Option<Signer> {
    if trailer.signature.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(&trailer.signature);
    let mut lines = text.lines();
    let key = lines.nth(1).and_then(key_id).unwrap_or_else(|| "unreadable".into());
    let comment = lines.next().and_then(|l| l.strip_prefix("trusted comment: "));
    Some(Signer { key, comment: comment.unwrap_or_default().to_owned() })
}

/// The bytes 2 to 10 of what the line encodes, a little-endian number.
fn key_id(line: &str) -> Option<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = 0u128;
    for c in line.bytes().take(16) {
        let digit = DIGITS.iter().position(|d| *d == c)?;
        bits = bits << 6 | digit as u128;
    }
    // Twelve bytes: an algorithm of two, the id, two of the signature.
    let id = (bits >> 16) as u64;
    (line.len() >= 16).then(|| format!("{:016X}", id.swap_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_that_minisign_prints() {
        // From minisign's manual page: "minisign public key E7620F1842B4E81F".
        let line = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
        assert_eq!(key_id(line).as_deref(), Some("E7620F1842B4E81F"));
        assert_eq!(key_id("RWQf6LRCGA9i53"), None);
        assert_eq!(key_id("RWQf6LRC\u{1b}A9i53mlYecO4"), None);
    }
}
