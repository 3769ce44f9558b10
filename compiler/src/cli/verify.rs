//! `lucetc verify`: whether an artifact is signed by one of these keys, or is one of these.

use super::args::Place;
use super::commands::{Arguments, Command};
use super::{input, keys, message, output, print};
use lucet_artifact::minisign::{Signature, Wrong};
use lucet_artifact::trailer::Trailer;
use lucet_artifact::trust::{Trust, TrustError, Verdict, hex};
use lucetc::{Class, Diagnostic, Errors, signing};
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

/// The row in the table of commands.
pub const COMMAND: Command = Command {
    name: "verify",
    summary: "check who signed an artifact, or whether it is the one that is wanted",
    help: HELP,
    options: &[
        ("-p", "--public-key", true),
        ("", "--hash", true),
        ("-x", "--write-signature", true),
        ("", "--write-body", true),
    ],
    run,
};

const HELP: &str = "\
lucetc verify decides as liblucet does whether artifacts are to be trusted, and loads nothing.

Usage: lucetc verify [--public-key KEY]... [--hash HASH]... ARTIFACT...

  An artifact is trusted if one of the keys signed it or its hash is one of these, but not if it
  names one of the keys as its signer and has a signature that is not by it.

Options:
  -p, --public-key KEY        a key: a file, or the 56 characters; may be repeated
      --hash HASH             128 hexadecimal digits, as this command prints; may be repeated
  -x, --write-signature FILE  write the signature, if it is trusted; - for standard output
      --write-body FILE       write the bytes that it is of
      --message-format FMT    text [default], or json: one object per line
  -h, --help                  print this help

Exit codes: 0 all are trusted; 1 one is not, or is no artifact or damaged; 2 wrong command line,
or a file cannot be read or written.

Example, with minisign and coreutils instead:
  head -c -384 hello.so > hello.body
  tail -c 316 hello.so | tr -d '\\0' > hello.minisig
  minisign -V -p plugins.pub -m hello.body -x hello.minisig
";

fn run(arguments: &Arguments) -> Result<ExitCode, Errors> {
    if arguments.inputs.is_empty() {
        return Err(arguments.usage("an artifact is missing").into());
    }
    let mut trust = Trust::NONE;
    let mut write: [Option<&OsString>; 2] = [None; 2];
    for (name, value) in &arguments.options {
        match *name {
            "--public-key" => keys::add_public(&mut trust, value)?,
            "--hash" => add_hash(arguments, &mut trust, value)?,
            "--write-signature" => write[0] = Some(value),
            _ => write[1] = Some(value),
        }
    }
    if trust.keys().is_empty() && trust.hashes() == 0 {
        let m = "neither a key nor a hash to trust: give --public-key or --hash";
        return Err(arguments.usage(m).into());
    }
    if write.iter().any(Option::is_some) {
        arguments.only_input("one artifact")?;
    }
    let (mut said, mut failed) = (String::new(), Vec::new());
    for file in &arguments.inputs {
        match one(file, &trust, write) {
            Ok(facts) => said.push_str(&message::facts(&facts, arguments.format)),
            Err(Errors(e)) => failed.extend(e),
        }
    }
    // What goes to standard output is not mixed with a file.
    let to_stdout = write.iter().flatten().any(|to| *to == "-");
    let code = if to_stdout { ExitCode::SUCCESS } else { print(&said) };
    if failed.is_empty() { Ok(code) } else { Err(Errors(failed)) }
}

fn add_hash(arguments: &Arguments, trust: &mut Trust, text: &OsStr) -> Result<(), Errors> {
    trust.add_hash(&text.to_string_lossy()).map_err(|e| {
        let m = match e {
            TrustError::Hash(n) => {
                format!("--hash wants 128 hexadecimal digits, not these {n} characters")
            }
            _ => "too many hashes".to_owned(),
        };
        arguments.usage(m).into()
    })
}

/// What is known about an artifact that is trusted.
fn one(
    file: &OsStr,
    trust: &Trust,
    write: [Option<&OsString>; 2],
) -> Result<Vec<(&'static str, String)>, Errors> {
    let place = Place::new(file.to_owned());
    let artifact = input::artifact(&place)?;
    let name = place.name();
    let trailer = signing::trailer(&artifact, &name)?;
    let hash = hex(&trailer.hash);
    let verdict = match trust.judge(&trailer) {
        Verdict::Signed => "signed",
        Verdict::Pinned => "pinned",
        other => return Err(untrusted(&name, &trailer, trust, other).into()),
    };
    let mut facts = vec![("file", name.clone()), ("trusted", verdict.to_owned())];
    if let Some(signature) = trailer.signature.as_ref().filter(|_| verdict == "signed") {
        facts.push(("key", signature.key().to_string()));
        facts.push(("comment", signature.comment().to_owned()));
    }
    facts.push(("hash", hash));
    let [signature, body] = write.map(|to| to.map(|to| Place::new(to.clone())));
    if let Some(to) = signature {
        let Some(signature) = &trailer.signature else {
            let m = format!("{name} is pinned, and has no signature to write");
            return Err(Diagnostic::new(Class::Usage, m).into());
        };
        output::write(&to, signature.file().as_bytes())?;
    }
    if let Some(to) = body {
        output::write(&to, trailer.signed(&artifact))?;
    }
    Ok(facts)
}

fn untrusted(name: &str, trailer: &Trailer, trust: &Trust, verdict: Verdict) -> Diagnostic {
    let hash = hex(&trailer.hash);
    let (what, help) = match (verdict, &trailer.signature) {
        (Verdict::Wrong(id, Wrong::Comment), _) => (
            format!("key {id} did not sign the trusted comment that it has"),
            "the file was changed after it was signed: get it again, or sign it again".to_owned(),
        ),
        (Verdict::Wrong(id, _), _) => (
            format!("the signature that names key {id} is not by it, or of another artifact"),
            "the file was changed after it was signed: get it again, or sign it again".to_owned(),
        ),
        (_, signature) => {
            let by = |s: &Signature| format!("it is signed by key {}", s.key());
            let what = signature.as_ref().map_or("it is not signed".to_owned(), by);
            (what, format!("sign it with one of {}, or trust its hash {hash}", keys_of(trust)))
        }
    };
    Diagnostic::new(Class::Untrusted, format!("{name} is not trusted: {what}")).help(help)
}

fn keys_of(trust: &Trust) -> String {
    let ids: Vec<String> = trust.keys().iter().map(|k| format!("key {}", k.id())).collect();
    if ids.is_empty() { "a key that is given with --public-key".into() } else { ids.join(", ") }
}
