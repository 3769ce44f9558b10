//! The commands besides compiling: how they are told from files, and their help.

use crate::Dir;

#[test]
fn help_of_commands() {
    let d = Dir::new("help_of_commands");
    for line in ["help inspect", "inspect --help", "inspect x -h"] {
        let r = d.run(line);
        r.succeeds();
        assert!(r.stdout.starts_with(b"lucetc inspect prints"), "{r:?}");
    }
    let r = d.run("help");
    r.succeeds();
    assert_eq!(r.stdout, d.run("--help").stdout);
    d.run("help inspekt").fails(2, "there is no command `inspekt`").fails(2, "mean inspect?");
    d.run("help me").fails(2, "there is no command `me`").fails(2, "there are: inspect");
}

#[test]
fn mistakes_in_commands() {
    let d = Dir::new("mistakes_in_commands");
    d.run("inspect").fails(2, "an artifact is missing").fails(2, "lucetc inspect --help");
    d.run("inspect a b").fails(2, "`b` is one too many");
    d.run("inspect a --jsn").fails(2, "unknown option `--jsn`");
    d.run("inspect --message-format=xml a").fails(2, "wants text or json, not `xml`");
    d.run("inspect --message-format=json a").fails(2, "{\"class\":\"usage\"");
    d.run("inspect none.so").fails(2, "none.so does not exist");
}

#[test]
fn files_called_like_a_command_are_compiled_by_their_path() {
    let d = Dir::new("files_called_like_a_command");
    d.write("inspect", "(module)").run("./inspect -o a.so").succeeds();
    d.run("-o b.so inspect").succeeds();
    assert_eq!(d.read("a.so"), d.read("b.so"));
    d.run("inspect a.so").succeeds();
    d.run("inspect -- a.so").succeeds();
    d.run_with("inspect -", &d.read("a.so")).succeeds();
    d.run("inspect inspect").fails(1, "error[malformed]: this is no artifact");
}

#[test]
fn misspelt_commands_are_no_modules() {
    let d = Dir::new("misspelt_commands");
    for (line, command) in [
        ("keygn k", "keygen"),
        ("verfy -p k a.so", "verify"),
        ("verfiy", "verify"),
        ("insp a.so", "inspect"),
        ("sing -s k a.so", "sign"),
        ("halp", "help"),
    ] {
        let word = line.split(' ').next().unwrap();
        d.run(line)
            .fails(2, &format!("error[usage]: there is no command or file `{word}`"))
            .fails(2, &format!("did you mean {command}?"));
    }
    let r = d.run("keygn k --message-format=json");
    assert!(r.stderr.starts_with(r#"{"class":"usage","message":"there is no command"#), "{r:?}");
    assert!(d.names().is_empty());
    // What is not near a command is a module, and so is what exists.
    d.run("guest").fails(2, "guest does not exist");
    d.run("--sign").fails(2, "a value is missing after `--sign`");
    d.write("verfy", "(module)").run("verfy -o a.so").succeeds();
    d.write("keygn", "(module)").run("keygn k").fails(2, "more than one input");
}
