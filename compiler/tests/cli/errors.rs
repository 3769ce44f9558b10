//! What newcomers do wrong, and that it leaves no files behind.

use crate::Dir;
use std::fs;

#[test]
fn help_and_version() {
    let d = Dir::new("help");
    for option in ["--help", "-h", "x y --help"] {
        let r = d.run(option);
        r.succeeds();
        let text = String::from_utf8(r.stdout).unwrap();
        assert!(text.starts_with("lucetc compiles a WebAssembly module"), "{text}");
        assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    }
    let r = d.run("--version");
    r.succeeds();
    assert!(r.stdout.starts_with(b"lucetc 0."), "{r:?}");
}

#[test]
fn command_line() {
    let d = Dir::new("command_line");
    d.run("").fails(2, "error[usage]: no input file");
    d.run("a.wasm --polcy p").fails(2, "did you mean --policy?");
    d.run("a.wasm -O9").fails(2, "-O wants 0, 1, 2, s, none, speed or size, not `9`");
    d.run("a.wasm b.wasm").fails(2, "more than one input");
    d.run("-").fails(2, "the output needs a name");
}

#[test]
fn inputs_that_are_no_modules() {
    let d = Dir::new("inputs");
    d.run("none.wasm").fails(2, "none.wasm does not exist");
    fs::create_dir(d.path("dir.wasm")).unwrap();
    d.run("dir.wasm").fails(2, "dir.wasm is a directory");
    d.write("empty.wasm", "").run("empty.wasm").fails(1, "error[malformed]: empty.wasm is empty");
    d.write("hello.c", "#include <stdio.h>\nint main(void) { return 0; }\n");
    d.run("hello.c").fails(1, "looks like C source").fails(1, "help: compile it");
    d.write("c.wasm", b"\0asm\x0d\0\x01\0");
    d.run("c.wasm").fails(1, "error[unsupported]: c.wasm is a WebAssembly component");
    d.write("t.wasm", b"\0asm\x01\0\0\0\x01");
    d.run("t.wasm").fails(1, "error[malformed]");
    d.run_with("- -o x.so", b"").fails(1, "- is empty");
    let made = d.names();
    let want = ["c.wasm", "dir.wasm", "empty.wasm", "hello.c", "t.wasm"];
    assert_eq!(made, want, "something was left behind");
}

#[test]
fn outputs_that_cannot_be() {
    let d = Dir::new("outputs");
    d.write("m.wat", "(module)");
    d.run("m.wat -o m.wat").fails(2, "the output m.wat is the input");
    d.run("m.wat -o ./m.wat").fails(2, "is the input");
    fs::hard_link(d.path("m.wat"), d.path("link.so")).unwrap();
    d.run("m.wat -o link.so").fails(2, "is the input");
    fs::create_dir(d.path("dir")).unwrap();
    d.run("m.wat -o dir").fails(2, "dir is a directory");
    d.run("m.wat -o none/m.so").fails(2, "cannot write none/m.so: there is no directory none");
    assert_eq!(d.names(), ["dir", "link.so", "m.wat"]);
    assert_eq!(d.read("m.wat"), b"(module)");
}

#[test]
fn policy_files() {
    let d = Dir::new("policy_files");
    d.write("m.wat", "(module)").write("p.toml", "[limits]\nmax_pages = 1\n");
    d.run("m.wat --policy none.toml").fails(2, "cannot read the policy file none.toml");
    d.run("m.wat --policy p.toml").fails(2, "p.toml:2: there is no key in [limits] `max_pages`");
    assert_eq!(d.names(), ["m.wat", "p.toml"]);
}

#[test]
fn json_lines() {
    let d = Dir::new("json");
    let r = d.run("--message-format json none.wasm");
    r.fails(2, "{\"class\":\"usage\",\"message\":\"none.wasm does not exist\"");
    assert!(r.stderr.ends_with("}\n") && r.stderr.lines().count() == 1, "{r:?}");
    // Also if the command line is wrong further on.
    d.run("--message-format=json --nonsense").fails(2, "{\"class\":\"usage\"");
    d.run("--nonsense --message-format=json").fails(2, "{\"class\":\"usage\"");
}
