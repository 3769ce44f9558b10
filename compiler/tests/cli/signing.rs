//! `lucetc keygen`, `sign` and `verify`, and `--sign`: files, modes, messages, exit codes.

use crate::{Dir, Run};
use lucet_artifact::trailer::{HASH_OFFSET, TRAILER_BYTES, Trailer};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

const WAT: &str =
    r#"(module (memory (export "m") 1) (func (export "f") (result i32) i32.const 7))"#;

/// A directory with an artifact and a key that needs no password.
fn dir(test: &str) -> Dir {
    let d = Dir::new(test);
    d.write("a.wat", WAT).run("a.wat").succeeds();
    d.run("keygen -W k.key").succeeds();
    d
}

fn text(r: &Run) -> String {
    r.succeeds();
    String::from_utf8(r.stdout.clone()).unwrap()
}

fn mode(d: &Dir, name: &str) -> u32 {
    fs::metadata(d.path(name)).unwrap().mode() & 0o7777
}

/// The value of a line that `lucetc` printed.
fn fact(said: &str, name: &str) -> String {
    let mut facts = said.lines().filter_map(|l| l.split_once("  "));
    facts.find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{said}")).1.trim().to_owned()
}

#[test]
fn keys_are_new_files_of_their_owner() {
    let d = Dir::new("keygen");
    let said = text(&d.run("keygen --no-password plugins.key"));
    assert_eq!(d.names(), ["plugins.key", "plugins.pub"]);
    assert_eq!((mode(&d, "plugins.key"), mode(&d, "plugins.pub") & 0o644), (0o600, 0o644));
    let public = String::from_utf8(d.read("plugins.pub")).unwrap();
    let line = fact(&said, "public key");
    assert!(public.ends_with(&format!("{}\n{line}\n", fact(&said, "key"))), "{public}{said}");
    // Nothing is overwritten, and nothing is left of what did not work.
    let before = d.read("plugins.key");
    d.run("keygen -W plugins.key").fails(2, "plugins.key exists");
    d.run("keygen -W other.key -p plugins.pub").fails(2, "plugins.pub exists");
    d.run("keygen -W other.key -p nowhere/x.pub").fails(2, "cannot write nowhere/x.pub");
    symlink("nowhere", d.path("link.key")).unwrap();
    d.run("keygen -W link.key").fails(2, "link.key exists");
    assert!(d.read("plugins.key") == before);
    assert_eq!(d.names(), ["link.key", "plugins.key", "plugins.pub"]);
    d.run("keygen").fails(2, "a file for the secret key is missing");
    d.run("keygen -W a.pub").fails(2, "where the public one goes");
    d.write("p", "x").run("keygen -W --password-file p a.key").fails(2, "exclude each other");
    d.write("p", "").run("keygen --password-file p a.key").fails(2, "the password is empty");
    d.run("keygen --password-file nowhere a.key").fails(2, "cannot read the password from nowhere");
    let said = text(&d.run("keygen -W b.key --message-format json"));
    assert!(said.starts_with(r#"{"secret_key":"b.key","public_key_file":"b.pub","key":""#));
    assert_eq!(d.names(), ["b.key", "b.pub", "link.key", "p", "plugins.key", "plugins.pub"]);
}

#[test]
fn signing_changes_the_signature_only() {
    let d = dir("sign");
    let unsigned = d.read("a.so");
    fs::set_permissions(d.path("a.so"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("a.so", d.path("link.so")).unwrap();
    d.run("sign -s k.key -t first link.so").succeeds();
    let first = d.read("a.so");
    let end = unsigned.len() - TRAILER_BYTES + HASH_OFFSET + 64;
    assert!(first[..end] == unsigned[..end] && first.len() == unsigned.len());
    assert_eq!(Trailer::decode(&first).unwrap().signature.unwrap().comment(), "first");
    assert_eq!(mode(&d, "a.so"), 0o640);
    assert!(fs::symlink_metadata(d.path("link.so")).unwrap().is_symlink());
    // Again replaces, and the same again gives the same.
    d.run("keygen -W l.key").succeeds();
    d.run("sign -s l.key -t first a.so").succeeds();
    let second = d.read("a.so");
    assert!(first != second && second.len() == first.len());
    d.run("verify -p l.pub a.so").succeeds();
    d.run("verify -p k.pub a.so").fails(1, "a.so is not trusted: it is signed by key ");
    d.run("sign -s k.key -t first a.so").succeeds();
    assert!(d.read("a.so") == first);
    assert_eq!(d.names(), ["a.so", "a.wat", "k.key", "k.pub", "l.key", "l.pub", "link.so"]);
}

#[test]
fn several_are_signed_and_verified_at_once() {
    let d = dir("several");
    fs::copy(d.path("a.so"), d.path("b.so")).unwrap();
    d.write("text", "no artifact");
    d.run("sign -s k.key a.so text b.so").fails(1, "text is no artifact");
    let said = text(&d.run("verify -p k.pub a.so b.so"));
    assert_eq!(said.matches("trusted  signed\n").count(), 2, "{said}");
    let r = d.run("verify -p k.pub a.so text b.so");
    r.fails(1, "text is no artifact");
    assert_eq!(String::from_utf8_lossy(&r.stdout), said);
    let r = d.run("verify -p k.pub --message-format=json a.so text");
    assert!(r.stderr.starts_with(r#"{"class":"malformed","message":"text is no artifact""#));
    let said = String::from_utf8_lossy(&r.stdout).into_owned();
    assert!(said.starts_with(r#"{"file":"a.so","trusted":"signed","key":""#), "{said}");
    assert!(said.contains(r#"\tfile:a.so\thashed","hash":""#) && said.ends_with("\"}\n"));
}

#[test]
fn verify_says_who_and_why_not() {
    let d = dir("verify");
    d.run("verify -p k.pub a.so")
        .fails(1, "error[untrusted]: a.so is not trusted: it is not signed");
    d.run("verify a.so").fails(2, "neither a key nor a hash");
    d.run("verify -p k.pub").fails(2, "an artifact is missing");
    d.run("verify -p k.key a.so").fails(2, "a secret key where the public one is wanted");
    d.run("verify -p nowhere.pub a.so").fails(2, "cannot read the public key `nowhere.pub`");
    d.run("verify -p a.wat a.so").fails(2, "not a public key");
    d.run("verify --hash 12 a.so").fails(2, "--hash wants 128 hexadecimal digits");
    d.run("verify -p k.pub nowhere.so").fails(2, "nowhere.so does not exist");
    d.run("sign -s k.key a.so").succeeds();
    let said = text(&d.run("verify -p k.pub a.so"));
    let (key, hash) = (fact(&said, "key"), fact(&said, "hash"));
    assert!(fact(&said, "comment").ends_with("\tfile:a.so\thashed"), "{said}");
    let line = String::from_utf8(d.read("k.pub")).unwrap().lines().nth(1).unwrap().to_owned();
    assert_eq!(said, text(&d.run(&format!("verify -p {line} a.so"))));
    let pinned = text(&d.run(&format!("verify --hash {hash} a.so")));
    assert_eq!(pinned, format!("file     a.so\ntrusted  pinned\nhash     {hash}\n"));
    let other = format!("{:0128x}", 1);
    d.run(&format!("verify --hash {other} a.so")).fails(1, &key).fails(1, &hash);
    // A wrong signature is refused even if the hash is right.
    let trailer = d.read("a.so").len() - TRAILER_BYTES;
    let changed = |at: usize, f: fn(u8) -> u8| {
        let mut b = d.read("a.so");
        b[at] = f(b[at]);
        d.write("b.so", &b);
    };
    changed(trailer + 196 + 60, |b| if b == b'A' { b'B' } else { b'A' });
    let wrong = format!("the signature that names key {key} is not by it");
    d.run(&format!("verify --hash {hash} -p k.pub b.so")).fails(1, &wrong);
    d.run(&format!("verify --hash {hash} b.so")).succeeds();
    changed(trailer + 196 + 20 + 101 + 17, |b| b ^ 1);
    d.run("verify -p k.pub b.so").fails(1, "did not sign the trusted comment");
    changed(100, |b| b ^ 1);
    d.run("verify -p k.pub b.so").fails(1, "the hash does not match");
}

#[test]
fn mistakes_with_keys_are_explained_without_them() {
    let d = dir("mistakes");
    let before = d.read("a.so");
    d.run("sign a.so").fails(2, "one of --secret-key, --signature and --write-body is needed");
    d.run("sign -s k.key").fails(2, "an artifact is missing");
    d.run("sign -s k.pub a.so").fails(2, "k.pub is no secret key: it is a public key");
    d.run("sign -s a.wat a.so").fails(2, "a.wat is no secret key");
    d.run("sign -s nowhere a.so").fails(2, "cannot read the secret key `nowhere`");
    d.run("sign -s k.key a.wat").fails(1, "a.wat is no artifact");
    let long = "c".repeat(89);
    d.run(&format!("sign -s k.key -t {long} a.so"))
        .fails(2, "the trusted comment has 89 bytes; in an artifact there is room for 88")
        .fails(2, "--comment TEXT");
    d.run("sign -x x -p k.pub a.so").fails(2, "cannot read the signature");
    d.run("sign -x a.wat a.so").fails(2, "--signature wants --public-key");
    d.run("sign -x a.wat -p k.pub a.so").fails(2, "not a signature of minisign: line 1");
    d.run("sign -s k.key -p k.pub a.so").fails(2, "--public-key goes with --signature");
    d.run("sign --write-body - -t x a.so").fails(2, "--comment goes with --secret-key");
    // A damaged key: no error repeats any part of it.
    let key = String::from_utf8(d.read("k.key")).unwrap();
    let line = key.lines().nth(1).unwrap();
    let swapped = if &line[100..101] == "A" { "B" } else { "A" };
    for bad in [
        key.replace(line, &format!("{}{swapped}{}", &line[..100], &line[101..])),
        key.replace(line, &line[1..]),
        key.replace(line, &format!("{line}x")),
        key.replacen("RWQAAEIy", "RWQBAEIy", 1),
    ] {
        let r = d.write("bad.key", &bad).run("sign -s bad.key a.so");
        r.fails(2, "bad.key");
        let parts: Vec<&str> = (70..190).map(|i| &line[i..i + 8]).collect();
        assert!(parts.iter().all(|p| !r.stderr.contains(p)), "{}", r.stderr);
    }
    assert!(d.read("a.so") == before);
}

#[test]
fn artifacts_that_cannot_be_replaced_stay() {
    let d = dir("in-place");
    let before = d.read("a.so");
    fs::create_dir(d.path("dir.so")).unwrap();
    d.run("sign -s k.key dir.so").fails(2, "dir.so is a directory");
    // Not even root can make a file in /proc.
    d.run("sign -s k.key /proc/self/exe").fails(1, "exe");
    assert!(d.read("a.so") == before);
    d.run("sign --write-body nowhere/x a.so").fails(2, "cannot write nowhere/x");
    d.run("sign --write-body a.body a.so").succeeds();
    assert!(d.read("a.body") == before[..before.len() - TRAILER_BYTES + HASH_OFFSET]);
    let r = d.run("sign --write-body - a.so");
    r.succeeds();
    assert!(r.stdout == d.read("a.body"));
}

#[test]
fn compiling_and_signing_in_one_step() {
    let d = dir("compile");
    let unsigned = d.read("a.so");
    let fixed = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let start = ["SOURCE_DATE_EPOCH=1700000000", env!("CARGO_BIN_EXE_lucetc")];
        d.tool("env", &[&start[..], &words[..]].concat(), b"")
    };
    fixed("sign -s k.key a.so").succeeds();
    let expected = d.read("a.so");
    let comment = "timestamp:1700000000\tfile:a.so\thashed";
    assert_eq!(Trailer::decode(&expected).unwrap().signature.unwrap().comment(), comment);
    for line in ["a.wat --sign k.key", "--sign=k.key a.wat --in-process"] {
        d.write("a.so", "old");
        fixed(line).succeeds();
        assert!(d.read("a.so") == expected, "{line}");
    }
    let r = fixed("a.wat --sign k.key -o -");
    r.succeeds();
    assert!(r.stdout.len() == expected.len() && r.stdout != expected, "the name is another");
    assert!(r.stdout[..r.stdout.len() - 320] == unsigned[..unsigned.len() - 320]);
    assert!(d.read("a.so") == expected);
    // The key is looked at before the work, and nothing appears if the work fails.
    d.write("bad.wat", "(module (func (result i32)))");
    d.run("bad.wat --sign nowhere.key").fails(2, "cannot read the secret key `nowhere.key`");
    d.run("bad.wat --sign k.key").fails(1, "error[invalid]");
    assert!(!d.names().contains(&"bad.so".to_owned()));
    let now = text(&{
        d.run("a.wat --sign k.key").succeeds();
        d.run("verify -p k.pub a.so")
    });
    let comment = fact(&now, "comment");
    let time = comment.strip_prefix("timestamp:").unwrap().split('\t').next().unwrap().to_owned();
    assert!(time.parse::<u64>().unwrap() > 1_700_000_000, "{comment}");
}

/// Who compiles has no key: a pipe gives it once only, to the process that signs.
#[test]
fn the_process_that_compiles_does_not_read_the_key() {
    let d = dir("key-once");
    d.tool("mkfifo", &["pipe"], b"").succeeds();
    let (key, pipe) = (d.read("k.key"), d.path("pipe"));
    let writer = std::thread::spawn(move || {
        fs::OpenOptions::new().write(true).open(pipe).unwrap().write_all(&key).unwrap();
    });
    d.run("a.wat --sign pipe").succeeds();
    writer.join().unwrap();
    d.run("verify -p k.pub a.so").succeeds();
}

#[test]
fn objects_hold_signed_artifacts() {
    let d = dir("objects");
    d.run("a.wat --sign k.key -o signed.so").succeeds();
    d.run("a.wat --sign k.key --emit obj -o lib/../a.o").fails(2, "there is no directory");
    for more in ["", " --in-process"] {
        d.run(&format!("a.wat --sign k.key --emit obj --symbol mine{more}")).succeeds();
        let object = d.read("a.o");
        // Code and contract are those of the file; what differs is the comment's time.
        let body = &d.read("signed.so")[..d.read("signed.so").len() - TRAILER_BYTES];
        let at = object.windows(body.len()).position(|w| w == body).expect("the artifact");
        let label = &object[at..][lucet_artifact::linked::distance(body.len() + TRAILER_BYTES)..];
        let label = label[..lucet_artifact::linked::LABEL_BYTES].try_into().unwrap();
        let len = lucet_artifact::linked::decode_label(label).unwrap();
        fs::write(d.path("out.so"), &object[at..at + len]).unwrap();
        let said = text(&d.run("verify -p k.pub out.so"));
        assert_eq!(fact(&said, "key"), fact(&text(&d.run("verify -p k.pub signed.so")), "key"));
        assert!(object.windows(5).any(|w| w == b"mine\0"));
    }
}
