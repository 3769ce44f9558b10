//! Trailers whose signature is none, or not written the one way: refused whatever is allowed.

use super::kit::{artifact, key, options, refused, signature_at, signed};
use lucet::Status;
use lucet_artifact::trailer::MAX_SIGNATURE_BYTES;

/// The artifact with these bytes as its signature, and a length of its own.
fn with(length: u32, signature: &[u8]) -> Vec<u8> {
    let mut b = artifact(1);
    let at = signature_at(&b);
    b[at - 4..at].copy_from_slice(&length.to_le_bytes());
    b[at..at + signature.len()].copy_from_slice(signature);
    b
}

fn text() -> String {
    let b = signed(&artifact(1), key(0));
    let at = signature_at(&b);
    String::from_utf8(b[at..].iter().copied().take_while(|c| *c != 0).collect()).unwrap()
}

#[track_caller]
fn is_invalid(b: &[u8], part: &str) {
    for allow in [false, true] {
        let o = options(&[key(0)], &[&super::kit::hash_of(&artifact(1))], allow);
        refused(b, &o, Status::InvalidArtifact, &["trailer: ", part]);
    }
}

#[test]
fn signatures_have_the_length_they_say() {
    let text = text();
    let n = text.len() as u32;
    for shorter in [1, 19, 20, 100, 121, 140, n - 2] {
        // What is left behind the length is not zero; and cut off, it is no signature.
        is_invalid(&with(shorter, text.as_bytes()), "");
        is_invalid(&with(shorter, &text.as_bytes()[..shorter as usize]), "not a signature");
    }
    is_invalid(&with(n - 1, text.as_bytes()), "written in another way");
    is_invalid(&with(n - 1, &text.as_bytes()[..n as usize - 1]), "written in another way");
    is_invalid(&with(n + 1, text.as_bytes()), "not a signature of minisign: line 5");
    is_invalid(&with(0, text.as_bytes()), "padding");
    is_invalid(&with(MAX_SIGNATURE_BYTES as u32, text.as_bytes()), "line 5");
    is_invalid(&with(MAX_SIGNATURE_BYTES as u32 + 1, &[]), "length of the signature");
    is_invalid(&with(u32::MAX, &[]), "length of the signature");
}

#[test]
fn signatures_are_written_in_one_way() {
    let text = text();
    let lines: Vec<&str> = text.lines().collect();
    let write = |l: [&str; 4]| l.join("\n") + "\n";
    let [a, b, c, d] = [lines[0], lines[1], lines[2], lines[3]];
    let crlf = text.replace('\n', "\r\n");
    let loose = b.replacen("==", "", 1).replacen('=', "", 1);
    for (what, part) in [
        (write(["untrusted comment: signed", b, c, d]), "written in another way"),
        (crlf, "written in another way"),
        (write(["untrusted comment:", b, c, d]), "line 1"),
        (write([a, &loose, c, d]), "line 2"),
        (write([a, &format!("{b} "), c, d]), "line 2"),
        (write([a, b, "trusted comment:", d]), "line 3"),
        (write([a, b, "trusted comment: \u{1b}[2J", d]), "control characters"),
        (write([a, b, c, &d[..87]]), "line 4"),
        (write([a, &b.replacen("RU", "RW", 1), c, d]), "old kind"),
        (write([a, &b.replacen("RU", "RX", 1), c, d]), "line 2"),
        (" ".repeat(MAX_SIGNATURE_BYTES), "line 1"),
        ("\n".repeat(MAX_SIGNATURE_BYTES), "line 1"),
        ("\0".repeat(MAX_SIGNATURE_BYTES), "line 1"),
    ] {
        is_invalid(&with(what.len() as u32, what.as_bytes()), part);
    }
    let mut not_text = text.clone().into_bytes();
    let at = text.find("timestamp").unwrap();
    not_text[at] = 0xff;
    is_invalid(&with(text.len() as u32, &not_text), "not UTF-8");
}

#[test]
fn bits_that_base64_ignores_count() {
    // 74 bytes leave two bits of the last digit unused, 64 bytes four.
    let text = text();
    let lines: Vec<&str> = text.lines().collect();
    let mut found = 0;
    for (n, pad, unused) in [(1, 1, 4u8), (3, 2, 16)] {
        let line = lines[n];
        let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let at = line.len() - pad - 1;
        let value = digits.find(&line[at..=at]).unwrap() as u8;
        assert_eq!(value % unused, 0);
        for more in 1..unused {
            let digit = char::from(digits.as_bytes()[(value + more) as usize]);
            let changed = text.replace(line, &format!("{}{digit}{}", &line[..at], &line[at + 1..]));
            is_invalid(&with(text.len() as u32, changed.as_bytes()), "line");
            found += 1;
        }
    }
    assert_eq!(found, 3 + 15);
}
