//! What is trusted, by what, and what the refusals say.

use super::kit::{
    artifact, hash_of, key, line, loads, options, refused, rehash, signature_at, signed, try_load,
};
use lucet::Status;
use lucet::loader::Trust;
use lucet_artifact::base64;
use lucet_artifact::minisign::{KeyId, PublicKey};
use lucet_artifact::trailer::Trailer;
use lucetc::signing;

const UNTRUSTED: Status = Status::UntrustedArtifact;

#[test]
fn a_key_vouches_for_what_it_signed() {
    let plain = artifact(1);
    let good = signed(&plain, key(0));
    loads(&good, &options(&[key(0)], &[], false));
    loads(&good, &options(&[key(1), key(0)], &[], false));
    let (ours, theirs) = (key(1).id().to_string(), key(0).id().to_string());
    let parts = [
        &format!("is signed by key {theirs}"),
        &format!("accepted are signatures by key {ours};"),
        "no hash is pinned",
        "lucet_module_config_add_key",
        &hash_of(&good),
    ];
    refused(&good, &options(&[key(1)], &[], false), UNTRUSTED, &parts);
    let two = options(&[key(1), key(2)], &[], false);
    refused(&good, &two, UNTRUSTED, &[&format!("by keys {ours}, {}", key(2).id())]);
    refused(&plain, &two, UNTRUSTED, &["is not signed; accepted are", "lucetc sign"]);
    // Keys may be files as well.
    let mut trust = Trust::NONE;
    trust.add_key(&key(0).public().unwrap().file()).unwrap();
    trust.add_key(&line(key(0))).unwrap();
    let from_file = lucet::loader::LoadOptions { trust, ..Default::default() };
    loads(&good, &from_file);
}

#[test]
fn a_pin_vouches_for_one_artifact() {
    let (plain, other) = (artifact(1), artifact(2));
    let pin = options(&[], &[&hash_of(&plain)], false);
    loads(&plain, &pin);
    loads(&signed(&plain, key(0)), &pin);
    let parts = ["is not signed", "no key is accepted", "not the one that is pinned"];
    let e = refused(&other, &pin, UNTRUSTED, &parts);
    assert!(e.message().contains(&hash_of(&other)), "{e}");
    let two = options(&[], &[&hash_of(&plain), &hash_of(&signed(&plain, key(1)))], false);
    refused(&other, &two, UNTRUSTED, &["not the one that is pinned"]);
    let three = options(&[], &[&hash_of(&plain), &hash_of(&artifact(3))], false);
    refused(&other, &three, UNTRUSTED, &["none of the 2 that are pinned"]);
    // Either of the two is enough.
    let both = options(&[key(0)], &[&hash_of(&other)], false);
    loads(&other, &both);
    loads(&signed(&plain, key(0)), &both);
    loads(&signed(&other, key(0)), &both);
    loads(&signed(&other, key(1)), &both);
    refused(&signed(&plain, key(1)), &both, UNTRUSTED, &["not the one that is pinned"]);
}

#[test]
fn nobody_is_trusted_by_default() {
    let none = options(&[], &[], false);
    let parts = [
        "is not signed, and this configuration trusts nobody",
        "lucet_module_config_add_key",
        "lucet_module_config_add_hash",
        "lucet_module_config_allow_unsigned",
    ];
    refused(&artifact(1), &none, UNTRUSTED, &parts);
    let by = format!("is signed by key {}, and this configuration trusts nobody", key(0).id());
    refused(&signed(&artifact(1), key(0)), &none, UNTRUSTED, &[&by]);
}

#[test]
fn allowing_all_allows_all_but_what_names_our_key_wrongly() {
    let (plain, all) = (artifact(1), options(&[key(0)], &[], true));
    loads(&plain, &all);
    loads(&signed(&plain, key(0)), &all);
    loads(&signed(&plain, key(1)), &all);
    let mut wrong = signed(&plain, key(0));
    let at = signature_at(&wrong) + 70;
    wrong[at] = if wrong[at] == b'A' { b'B' } else { b'A' };
    let parts = [&format!("names key {}", key(0).id()), "which is accepted", "was changed after"];
    refused(&wrong, &all, UNTRUSTED, &parts);
    let pinned = options(&[key(0)], &[&hash_of(&plain)], false);
    refused(&wrong, &pinned, UNTRUSTED, &["the signature is wrong"]);
    // Whoever accepts no such key has nothing to compare with.
    loads(&wrong, &options(&[key(1)], &[], true));
    loads(&wrong, &options(&[], &[&hash_of(&plain)], false));
}

#[test]
fn changes_are_told_apart() {
    let good = signed(&artifact(1), key(0));
    let ours = options(&[key(0)], &[], false);
    let at = signature_at(&good);
    let change = |offset: usize, to: &[u8]| {
        let mut b = good.clone();
        b[at + offset..at + offset + to.len()].copy_from_slice(to);
        b
    };
    let wrong = |b: &[u8], part: &str| refused(b, &ours, UNTRUSTED, &[part]);
    let (comment, global) = (20 + 101 + 17, 20 + 101 + 17 + 43);
    assert_eq!(&good[at + comment..at + comment + 10], b"timestamp:");
    wrong(&change(comment + 10, b"2"), "trusted comment is not the one");
    wrong(&change(global + 5, b"AAAA"), "trusted comment is not the one");
    wrong(&change(20 + 30, b"AAAA"), "is of another artifact");
    // Another key's id, and one that nobody has.
    let id = |b: &[u8]| Trailer::decode(b).unwrap().signature.unwrap().key().to_string();
    let nobody = change(20 + 4, b"AAAA");
    wrong(&nobody, &format!("is signed by key {}; accepted are", id(&nobody)));
    let theirs = signed(&artifact(1), key(1));
    // Base64 has no digit between the id and the signature: 10 bytes are 13 digits and 2 bits.
    let line = |b: &[u8]| base64::decode::<74>(&b[at + 20..at + 20 + 100]).unwrap();
    let with_their_id = [&line(&theirs)[..10], &line(&good)[10..]].concat();
    let stolen = change(20, base64::encode(&with_their_id).as_bytes());
    refused(&stolen, &options(&[key(1)], &[], false), UNTRUSTED, &["the signature is wrong"]);
    // The signature of another artifact by the same key.
    let other = signed(&artifact(2), key(0));
    wrong(&change(0, &other[at..]), "is of another artifact");
    // The body: with the old hash it is damaged, with its own one it is another artifact.
    let mut body = good.clone();
    body[5000] ^= 1;
    refused(&body, &ours, Status::InvalidArtifact, &["hash does not match"]);
    rehash(&mut body);
    wrong(&body, "is of another artifact");
}

#[test]
fn keys_are_replaced_by_having_both_for_a_while() {
    let (old, new) = (signed(&artifact(1), key(0)), signed(&artifact(1), key(1)));
    for (keys, loads_old, loads_new) in [
        (vec![key(0)], true, false),
        (vec![key(0), key(1)], true, true),
        (vec![key(1)], false, true),
    ] {
        let o = options(&keys, &[], false);
        assert_eq!(
            (try_load(&old, &o).is_ok(), try_load(&new, &o).is_ok()),
            (loads_old, loads_new)
        );
    }
}

#[test]
fn two_keys_may_have_the_same_id() {
    let plain = artifact(1);
    let good = signed(&plain, key(0));
    let bytes = key(1).public().unwrap().line();
    // The key of one with the id of the other: 56 characters are 42 bytes, 12 the head and the id.
    let both: Vec<u8> = [&line(key(0)).as_bytes()[..12], &bytes.as_bytes()[12..]].concat();
    let twin = PublicKey::parse(&both).unwrap();
    // Base64 has no digit between the id and the key: the last byte of the id is the other's.
    let mut trust = Trust::NONE;
    trust.add_key(&twin.line()).unwrap();
    trust.add_key(&line(key(0))).unwrap();
    let o = lucet::loader::LoadOptions { trust, ..Default::default() };
    loads(&good, &o);
    let same = PublicKey::new(key(0).id(), public_bytes(1)).unwrap();
    for order in [[same.line(), line(key(0))], [line(key(0)), same.line()]] {
        let mut trust = Trust::NONE;
        order.iter().for_each(|l| trust.add_key(l).unwrap());
        loads(&good, &lucet::loader::LoadOptions { trust, ..Default::default() });
    }
    let mut trust = Trust::NONE;
    trust.add_key(&same.line()).unwrap();
    let o = lucet::loader::LoadOptions { trust, ..Default::default() };
    refused(&good, &o, UNTRUSTED, &["by another key with that id"]);
}

/// The 32 bytes of a public key.
fn public_bytes(n: usize) -> [u8; 32] {
    let bytes = base64::decode::<42>(line(key(n)).as_bytes()).unwrap();
    bytes[10..].try_into().unwrap()
}

#[test]
fn keys_are_limited_and_listed_in_part() {
    let mut trust = Trust::NONE;
    let nth = |n: u8| PublicKey::new(KeyId([n, 0, 0, 0, 0, 0, 0, 0]), public_bytes(0)).unwrap();
    for n in 0..64 {
        trust.add_key(&nth(n).line()).unwrap();
        trust.add_key(&nth(0).line()).expect("it is there already");
    }
    let e = trust.add_key(&nth(64).line()).unwrap_err();
    assert!(e.status() == Status::LimitExceeded && e.message().contains("64 keys"), "{e}");
    let o = lucet::loader::LoadOptions { trust, ..Default::default() };
    let listed = "0000000000000006, 0000000000000007 and 56 more";
    refused(&signed(&artifact(1), key(1)), &o, UNTRUSTED, &[listed]);
}

#[test]
fn what_is_no_key_says_what_it_is_and_not_what_it_was() {
    let secret = signing::SecretKey::generate().unwrap();
    let file = secret.file(None).unwrap();
    let text = file.lines().nth(1).unwrap();
    for (key, part) in [
        ("", "not a public key"),
        ("plugins.pub", "the contents (not the name)"),
        (text, "a secret key where the public one is wanted"),
        (file.as_str(), "a secret key where the public one is wanted"),
        (&"x".repeat(20_000), "20000 characters"),
    ] {
        let e = Trust::default().add_key(key).unwrap_err();
        assert!(e.status() == Status::InvalidArgument && e.message().contains(part), "{e}");
        assert!(!e.message().contains("RWQA"), "{e}");
    }
    let e = Trust::default().add_hash("12").unwrap_err();
    let said = e.message().contains("has 2 characters") && e.message().contains("128 digits");
    assert!(e.status() == Status::InvalidArgument && said, "{e}");
}
