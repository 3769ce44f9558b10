//! Keys and signatures as text: what minisign writes is read, in an artifact there is one way to
//! write a signature, and nothing that only looks like one passes.

use ed25519_compact::{KeyPair, Seed};
use lucet_artifact::minisign::{
    KeyId, MAX_COMMENT_BYTES, MinisignError, PublicKey, Signature, Wrong,
};
use lucet_artifact::trailer::MAX_SIGNATURE_BYTES;

const ID: KeyId = KeyId([1, 2, 3, 4, 5, 6, 7, 0xf8]);
const HASH: [u8; 64] = [9; 64];

fn pair(n: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([n; 32]))
}

fn public(n: u8) -> PublicKey {
    PublicKey::new(ID, *pair(n).pk).unwrap()
}

fn signed(n: u8, comment: &str) -> Result<Signature, MinisignError> {
    Signature::make(ID, &HASH, comment, |m| *pair(n).sk.sign(m, None))
}

#[test]
fn keys_are_read_as_minisign_writes_them() {
    let key = public(1);
    assert_eq!(key.id().to_string(), "F807060504030201");
    let (line, file) = (key.line(), key.file());
    assert!(line.len() == 56 && line.starts_with("RW"), "{line}");
    assert!(file.starts_with("untrusted comment: minisign public key F807060504030201\nRW"));
    for text in [
        line.clone(),
        format!("  {line}\n"),
        file.clone(),
        file.replace('\n', "\r\n"),
        format!("untrusted comment:\n{line}"),
    ] {
        assert_eq!(PublicKey::parse(text.as_bytes()), Ok(key.clone()), "{text}");
    }
    let secret = "RWQ".to_owned() + &"A".repeat(209);
    for (text, expected) in [
        ("", MinisignError::NotAPublicKey),
        ("plugins.pub", MinisignError::NotAPublicKey),
        (&line[1..], MinisignError::NotAPublicKey),
        (&format!("{line}A"), MinisignError::NotAPublicKey),
        (&format!("{line}\n{line}"), MinisignError::NotAPublicKey),
        (&line.replacen("RW", "RU", 1), MinisignError::NotAPublicKey),
        ("untrusted comment: nothing else", MinisignError::NotAPublicKey),
        (&" ".repeat(1 << 20), MinisignError::NotAPublicKey),
        (&secret, MinisignError::SecretKey),
        (&format!("untrusted comment: minisign encrypted\n{secret}\n"), MinisignError::SecretKey),
    ] {
        assert_eq!(PublicKey::parse(text.as_bytes()), Err(expected), "{text}");
    }
}

#[test]
fn a_signature_verifies_and_nothing_else_does() {
    let (key, good) = (public(1), signed(1, "a comment").unwrap());
    assert_eq!(key.verify(&HASH, &good), Ok(()));
    assert_eq!(key.verify(&[8; 64], &good), Err(Wrong::Contents));
    assert_eq!(public(2).verify(&HASH, &good), Err(Wrong::Contents));
    let other = PublicKey::new(KeyId([0; 8]), *pair(1).pk).unwrap();
    assert_eq!(other.verify(&HASH, &good), Err(Wrong::KeyId));
    let text = good.file();
    let changed = Signature::parse(text.replace("a comment", "b comment").as_bytes()).unwrap();
    assert_eq!(key.verify(&HASH, &changed), Err(Wrong::Comment));
    // The comment of one signature behind another one of the same key.
    let foreign = signed(1, "b comment").unwrap().file();
    let last = |t: &str| t.lines().nth(3).unwrap().to_owned();
    let mixed = text.replace(&last(&text), &last(&foreign));
    assert_eq!(
        key.verify(&HASH, &Signature::parse(mixed.as_bytes()).unwrap()),
        Err(Wrong::Comment)
    );
}

#[test]
fn comments_fill_the_room_and_no_more() {
    let full = "c".repeat(MAX_COMMENT_BYTES);
    assert_eq!(signed(1, &full).unwrap().file().len(), MAX_SIGNATURE_BYTES);
    let e = signed(1, &format!("{full}c")).unwrap_err();
    assert_eq!(e, MinisignError::LongComment { found: 89 });
    assert!(e.to_string().contains("there is room for 88"), "{e}");
    let long = signed(1, "c").unwrap().file().replace("comment: c", &format!("comment: {full}c"));
    assert_eq!(Signature::parse(long.as_bytes()), Err(e));
    for bad in ["a\nb", "a\rb", "a\0b", "a\x1b[2Jb", "a\u{85}b"] {
        assert_eq!(signed(1, bad), Err(MinisignError::UnclearComment), "{bad:?}");
    }
    assert!(signed(1, "timestamp:1\tfile:ü\thashed").is_ok());
}

#[test]
fn files_are_read_with_any_untrusted_comment_and_written_with_none() {
    let good = signed(1, "timestamp:1\tfile:x\thashed").unwrap();
    let text = good.file();
    assert!(text.starts_with("untrusted comment: \nRU"));
    let foreign = text.replacen(": \n", ": signature from minisign secret key\n", 1);
    for t in [&foreign, &text.replace('\n', "\r\n"), text.trim_end()] {
        assert_eq!(Signature::parse(t.as_bytes()), Ok(good.clone()));
        assert_eq!(Signature::from_artifact(t.as_bytes()), Err(MinisignError::NotCanonical));
    }
    assert_eq!(Signature::from_artifact(text.as_bytes()), Ok(good));
}

#[test]
fn what_is_no_signature_is_refused_with_its_line() {
    let text = signed(1, "c").unwrap().file();
    let lines: Vec<&str> = text.lines().collect();
    let with = |n: usize, line: &str| {
        let mut l = lines.clone();
        l[n] = line;
        l.join("\n") + "\n"
    };
    for (text, line) in [
        (String::new(), 1),
        (with(0, "trusted comment: x"), 1),
        (with(1, ""), 2),
        (with(1, &lines[1][1..]), 2),
        (with(1, &lines[1].replacen("RU", "RQ", 1)), 2),
        (with(2, "comment: c"), 3),
        (with(3, &lines[3][..84]), 4),
        (lines[..3].join("\n"), 4),
        (text.clone() + "x", 5),
        (text.clone() + "\n", 5),
    ] {
        let e = Signature::parse(text.as_bytes()).unwrap_err();
        let found = matches!(e, MinisignError::NotASignature { line: l, .. } if l == line);
        assert!(found, "{text}: {e}, not line {line}");
    }
    // The way before hashes: "Ed".
    let e = Signature::parse(with(1, &lines[1].replacen("RU", "RW", 1)).as_bytes()).unwrap_err();
    assert_eq!(e, MinisignError::Legacy);
}

#[test]
fn every_changed_byte_of_a_signature_is_refused() {
    let (key, good) = (public(1), signed(1, "timestamp:1\tfile:x\thashed").unwrap().file());
    let mut looked = 0;
    for at in 0..good.len() {
        for with in 0..=255 {
            let mut b = good.clone().into_bytes();
            if std::mem::replace(&mut b[at], with) == with {
                continue;
            }
            looked += 1;
            let accepted =
                Signature::from_artifact(&b).is_ok_and(|s| key.verify(&HASH, &s).is_ok());
            assert!(!accepted, "byte {at} as {with}");
        }
    }
    assert_eq!(looked, good.len() * 255);
}
