//! `lucetc sign`: puts a signature into an artifact, by a key here or made elsewhere.

use super::args::Place;
use super::commands::{Arguments, Command};
use super::output;
use super::{input, keys};
use lucet_artifact::minisign::Signature;
use lucet_artifact::trailer::Trailer;
use lucet_artifact::trust::{Trust, Verdict};
use lucetc::signing::{self, SecretKey};
use lucetc::{Class, Diagnostic, Errors};
use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

/// The row in the table of commands.
pub const COMMAND: Command = Command {
    name: "sign",
    summary: "sign an artifact, or put in a signature made elsewhere",
    help: HELP,
    options: &[
        ("-s", "--secret-key", true),
        ("", "--password-file", true),
        ("-t", "--comment", true),
        ("-x", "--signature", true),
        ("-p", "--public-key", true),
        ("", "--write-body", true),
    ],
    run,
};

const HELP: &str = "\
lucetc sign signs artifacts in place, replacing the signature that is there.

Usage: lucetc sign --secret-key FILE ARTIFACT...
       lucetc sign --write-body FILE ARTIFACT
       lucetc sign --signature FILE --public-key KEY ARTIFACT

  The artifact is replaced when it is complete, with its mode. Nothing but the signature changes:
  not its hash, nor its code.

With a key that is here:
  -s, --secret-key FILE     the key, as lucetc keygen or minisign -G wrote it
      --password-file FILE  a file whose first line is its password [default: it is asked for]
  -t, --comment TEXT        what is signed too: at most 88 bytes [default: time and name of the
                            file; the time is SOURCE_DATE_EPOCH, if that is set]

With a key that is elsewhere:
      --write-body FILE     write the bytes that a signature is of; - for standard output
  -x, --signature FILE      put in this signature of those bytes, as minisign -S writes it
  -p, --public-key KEY      by this key: a file, or the 56 characters; checked first

Other:
      --message-format FMT  text [default], or json: one object per line on standard error
  -h, --help                print this help

Exit codes: 0 done; 1 a file is no artifact, or is damaged, or the signature is not of it; 2 wrong
command line, wrong password, or a file cannot be read or written.

Example, with the secret key on another machine:
  lucetc sign --write-body hello.body hello.so
  minisign -S -s plugins.key -m hello.body -x hello.minisig
  lucetc sign --signature hello.minisig --public-key plugins.pub hello.so
";

/// What to do with each artifact.
enum Job<'a> {
    Sign(Box<SecretKey>, Option<&'a str>),
    Attach(Signature, Trust),
    Body(&'a OsStr),
}

fn run(arguments: &Arguments) -> Result<ExitCode, Errors> {
    if arguments.inputs.is_empty() {
        return Err(arguments.usage("an artifact is missing").into());
    }
    let job = job(arguments)?;
    if !matches!(job, Job::Sign(..)) {
        arguments.only_input("one artifact")?;
    }
    let mut failed = Vec::new();
    for file in &arguments.inputs {
        if let Err(Errors(e)) = one(file, &job) {
            failed.extend(e);
        }
    }
    match failed.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Err(Errors(failed)),
    }
}

fn job(arguments: &Arguments) -> Result<Job<'_>, Errors> {
    let last = |wanted: &str| {
        let mut all = arguments.options.iter().filter(|(name, _)| *name == wanted);
        all.next_back().map(|(_, value)| value.as_os_str())
    };
    let one_of = [last("--secret-key"), last("--signature"), last("--write-body")];
    if one_of.iter().flatten().count() != 1 {
        let m = "one of --secret-key, --signature and --write-body is needed";
        return Err(arguments.usage(m).into());
    }
    let [secret, signature, body] = one_of;
    // An option that belongs to another way of signing is a misunderstanding.
    for (option, belongs, to) in [
        ("--password-file", secret, "--secret-key"),
        ("--comment", secret, "--secret-key"),
        ("--public-key", signature, "--signature"),
    ] {
        if last(option).is_some() && belongs.is_none() {
            return Err(arguments.usage(format!("{option} goes with {to}")).into());
        }
    }
    if let Some(file) = secret {
        let comment = last("--comment")
            .map(|c| c.to_str().ok_or_else(|| arguments.usage("--comment wants text in UTF-8")));
        let key = keys::secret(file, last("--password-file"))?;
        return Ok(Job::Sign(Box::new(key), comment.transpose()?));
    }
    if let Some(file) = signature {
        let Some(key) = last("--public-key") else {
            let m = "--signature wants --public-key, so that a wrong signature is noticed now";
            return Err(arguments.usage(m).into());
        };
        let mut trust = Trust::NONE;
        keys::add_public(&mut trust, key)?;
        let signature = Signature::parse(&keys::small_file(file, "the signature")?)
            .map_err(|e| Diagnostic::new(Class::Usage, format!("{}: {e}", file.display())))?;
        return Ok(Job::Attach(signature, trust));
    }
    Ok(Job::Body(body.unwrap_or_default()))
}

fn one(file: &OsStr, job: &Job<'_>) -> Result<(), Errors> {
    let place = Place::File(file.into());
    let name = place.name();
    let mut artifact = input::artifact(&place)?;
    match job {
        Job::Body(to) => {
            let trailer = signing::trailer(&artifact, &name)?;
            return output::write(&Place::new((*to).to_owned()), trailer.signed(&artifact));
        }
        Job::Sign(key, comment) => {
            let comment = comment.map_or_else(|| keys::default_comment(&place), ToOwned::to_owned);
            signing::sign(&mut artifact, key, &comment, &name)?;
        }
        Job::Attach(signature, trust) => {
            let trailer = signing::trailer(&artifact, &name)?;
            let signed = Trailer { signature: Some(signature.clone()), ..trailer.clone() };
            if trust.judge(&signed) != Verdict::Signed {
                return Err(not_of(&name, signature, trust).into());
            }
            signing::put(&mut artifact, trailer, signature.clone())?;
        }
    }
    output::rewrite(Path::new(file), &artifact)
}

fn not_of(name: &str, signature: &Signature, trust: &Trust) -> Diagnostic {
    let by = signature.key();
    let wanted = trust.keys().first().map_or(String::new(), |k| k.id().to_string());
    let m = match wanted == by.to_string() {
        true => format!("the signature by key {by} is not of {name}"),
        false => format!("the signature is by key {by}, not by {wanted}; {name} was left alone"),
    };
    let help = "sign what lucetc sign --write-body writes for this very artifact";
    Diagnostic::new(Class::Untrusted, m).help(help)
}
