//! The real `minisign` beside lucetc: keys, signatures and files of each work with the other.

use crate::Dir;
use lucet_artifact::trailer::Trailer;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

const WAT: &str = r#"(module (func (export "f") (result i32) i32.const 7))"#;

fn dir(test: &str) -> Dir {
    let d = Dir::new(test);
    d.write("a.wat", WAT).run("a.wat").succeeds();
    d
}

/// Runs minisign, which has to succeed, and gives what it said.
#[track_caller]
fn minisign(d: &Dir, line: &str, stdin: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let r = d.tool("minisign", &words, stdin.as_bytes());
    let said = String::from_utf8_lossy(&r.stdout).into_owned() + &r.stderr;
    assert_eq!(r.code, 0, "minisign {line}: {said}");
    said
}

/// minisign believes what lucetc took out of the artifact.
#[track_caller]
fn minisign_verifies(d: &Dir, artifact: &str, public: &str) {
    d.run(&format!("verify -p {public} -x out.minisig --write-body out.body {artifact}"))
        .succeeds();
    let said = minisign(d, &format!("-V -p {public} -m out.body -x out.minisig"), "");
    assert!(said.contains("Signature and comment signature verified"), "{said}");
}

#[test]
fn a_key_of_minisign_signs_here() {
    let d = dir("ms-key");
    minisign(&d, "-G -W -p m.pub -s m.key", "");
    d.run("sign -s m.key a.so").succeeds();
    minisign_verifies(&d, "a.so", "m.pub");
    // The same with nothing of Lucet.
    let script = "head -c -384 a.so >b.body && tail -c 316 a.so | tr -d '\\0' >b.minisig && \
                  minisign -V -p m.pub -m b.body -x b.minisig";
    let r = d.tool("sh", &["-c", script], b"");
    assert_eq!(r.code, 0, "{r:?}");
    let said = String::from_utf8_lossy(&r.stdout).into_owned();
    assert!(said.contains("file:a.so\thashed"), "{said}");
    // And it notices a changed byte.
    d.tool("sh", &["-c", "printf x | dd of=b.body bs=1 seek=70 conv=notrunc 2>/dev/null"], b"");
    let r = d.tool("minisign", &["-V", "-p", "m.pub", "-m", "b.body", "-x", "b.minisig"], b"");
    assert_eq!(r.code, 1, "{r:?}");
}

#[test]
fn a_key_of_lucetc_signs_there() {
    let d = dir("lc-key");
    d.run("keygen -W k.key").succeeds();
    d.run("sign --write-body a.body a.so").succeeds();
    minisign(&d, "-S -s k.key -m a.body -x a.minisig", "");
    d.run("sign -x a.minisig -p k.pub a.so").succeeds();
    let signature = Trailer::decode(&d.read("a.so")).unwrap().signature.unwrap();
    assert!(signature.comment().ends_with("\tfile:a.body\thashed"), "{signature:?}");
    d.run("verify -p k.pub a.so").succeeds();
    minisign_verifies(&d, "a.so", "k.pub");
    // The public key that minisign computes from the secret one is the same.
    minisign(&d, "-R -s k.key -p again.pub", "");
    let line = |name| String::from_utf8(d.read(name)).unwrap().lines().nth(1).unwrap().to_owned();
    assert_eq!(line("again.pub"), line("k.pub"));
}

#[test]
fn passwords_of_minisign_unlock_here() {
    let d = dir("ms-password");
    minisign(&d, "-G -p m.pub -s m.key", "pass word\npass word\n");
    d.write("right", "pass word\n").write("wrong", "password\n");
    d.run("sign -s m.key --password-file wrong a.so").fails(2, "wrong password for m.key");
    d.run("sign -s m.key a.so").fails(2, "--password-file");
    d.run("sign -s m.key --password-file right a.so").succeeds();
    minisign_verifies(&d, "a.so", "m.pub");
}

#[test]
fn passwords_of_lucetc_unlock_there() {
    let d = dir("lc-password");
    d.write("p", "pass word").run("keygen --password-file p k.key").succeeds();
    d.run("sign --write-body a.body a.so").succeeds();
    minisign(&d, "-S -s k.key -m a.body -x a.minisig", "pass word\n");
    d.run("sign -x a.minisig -p k.pub a.so").succeeds();
    d.run("verify -p k.pub a.so").succeeds();
    // While compiling, too.
    d.run("a.wat --sign k.key --password-file p -o b.so").succeeds();
    minisign_verifies(&d, "b.so", "k.pub");
}

/// On a terminal, which `script` makes: nothing of what is typed is shown.
#[test]
fn passwords_are_asked_for_on_the_terminal() {
    let d = dir("terminal");
    let command = concat!(env!("CARGO_BIN_EXE_lucetc"), " keygen k.key");
    let mut child = Command::new("script")
        .args(["-qec", command, "/dev/null"])
        .current_dir(d.path("."))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script belongs to every Debian");
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut said = Vec::new();
    // It is typed when it is asked for: what was typed before is thrown away.
    for prompt in ["Password for k.key: ", "The same again: "] {
        let mut byte = [0];
        while !said.ends_with(prompt.as_bytes()) {
            assert_eq!(screen.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
        keyboard.write_all(b"pass word\n").unwrap();
    }
    screen.read_to_end(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("public key") && !said.contains("pass word"), "{said}");
    d.write("p", "pass word").run("sign -s k.key --password-file p a.so").succeeds();
    d.run("verify -p k.pub a.so").succeeds();
}

#[test]
fn signatures_that_do_not_belong_are_not_put_in() {
    let d = dir("foreign");
    d.run("keygen -W k.key").succeeds();
    minisign(&d, "-G -W -p m.pub -s m.key", "");
    d.write("b.wat", "(module (func (export \"g\")))").run("b.wat").succeeds();
    let before = d.read("a.so");
    for name in ["a", "b"] {
        d.run(&format!("sign --write-body {name}.body {name}.so")).succeeds();
    }
    minisign(&d, "-S -s m.key -m b.body -x b.minisig", "");
    d.run("sign -x b.minisig -p m.pub a.so").fails(1, "is not of a.so");
    minisign(&d, "-S -s m.key -m a.body -x a.minisig", "");
    d.run("sign -x a.minisig -p k.pub a.so").fails(1, "the signature is by key ");
    // The whole file instead of its body: a slip that is easily made.
    minisign(&d, "-S -s m.key -m a.so -x whole.minisig", "");
    d.run("sign -x whole.minisig -p m.pub a.so").fails(1, "--write-body");
    // The old kind.
    minisign(&d, "-S -l -s m.key -m a.body -x old.minisig", "");
    d.run("sign -x old.minisig -p m.pub a.so").fails(2, "minisign's old kind");
    // A comment that is too long, and one that just fits.
    let long = "c".repeat(89);
    minisign(&d, &format!("-S -s m.key -m a.body -x long.minisig -t {long}"), "");
    d.run("sign -x long.minisig -p m.pub a.so").fails(2, "there is room for 88");
    assert!(d.read("a.so") == before);
    minisign(&d, &format!("-S -s m.key -m a.body -x full.minisig -t {}", &long[1..]), "");
    d.run("sign -x full.minisig -p m.pub a.so").succeeds();
    minisign_verifies(&d, "a.so", "m.pub");
    // Another untrusted comment is nobody's business.
    minisign(&d, "-S -s m.key -m a.body -x u.minisig -c something -t x", "");
    d.run("sign -x u.minisig -p m.pub a.so").succeeds();
    assert!(!String::from_utf8_lossy(&d.read("a.so")).contains("something"));
}
