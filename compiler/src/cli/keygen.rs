//! `lucetc keygen`: a new key pair, in two files.

use super::commands::{Arguments, Command};
use super::{message, password, print};
use lucetc::signing::SecretKey;
use lucetc::{Class, Diagnostic, Errors};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The row in the table of commands.
pub const COMMAND: Command = Command {
    name: "keygen",
    summary: "make a key pair to sign artifacts with",
    help: HELP,
    options: &[
        ("-p", "--public-key", true),
        ("-W", "--no-password", false),
        ("", "--password-file", true),
    ],
    run,
};

const HELP: &str = "\
lucetc keygen makes a key pair to sign artifacts with, in the files of minisign.

Usage: lucetc keygen [OPTIONS] FILE

  FILE is the new secret key: only its owner may read it, and nobody needs it but who signs. The
  public key is for everybody, and goes to the same name with .pub. Neither file may exist.

Options:
  -p, --public-key FILE     another file for the public key
      --password-file FILE  a file whose first line is the password [default: it is asked for]
  -W, --no-password         a key that whoever has the file can use, for machines that sign
      --message-format FMT  text [default], or json
  -h, --help                print this help

Unlocking a key with a password takes 1 GiB of memory and some seconds.

Exit codes: 0 done; 2 wrong command line, or a file exists or cannot be written.

Example:
  lucetc keygen plugins.key       writes plugins.key and plugins.pub
";

fn run(arguments: &Arguments) -> Result<ExitCode, Errors> {
    let secret = PathBuf::from(arguments.only_input("a file for the secret key")?);
    let mut public = secret.with_extension("pub");
    let (mut open, mut password_file) = (false, None);
    for (name, value) in &arguments.options {
        match *name {
            "--public-key" => public = PathBuf::from(value),
            "--no-password" => open = true,
            _ => password_file = Some(value.as_os_str()),
        }
    }
    if secret == public {
        let m = "the secret key would be written where the public one goes";
        return Err(arguments.usage(m).into());
    }
    if open && password_file.is_some() {
        return Err(arguments.usage("--no-password and --password-file exclude each other").into());
    }
    // Before somebody types a password for nothing.
    for path in [&secret, &public] {
        if path.symlink_metadata().is_ok() {
            return Err(cannot(path, &io::ErrorKind::AlreadyExists.into()));
        }
    }
    let password = match open {
        true => None,
        false => Some(password::choose(password_file, &secret.display().to_string())?),
    };
    let key = SecretKey::generate()?;
    let shown = key.public().map_err(|e| Diagnostic::new(Class::Internal, e.to_string()))?;
    let text = key.file(password.as_deref().map(Vec::as_slice))?;
    create(&secret, 0o600, text.as_bytes())?;
    if let Err(e) = create(&public, 0o644, shown.file().as_bytes()) {
        // A secret key that nobody knows the other half of is of no use.
        let _ = std::fs::remove_file(&secret);
        return Err(e);
    }
    let line = shown.line();
    let said = [
        ("secret_key", secret.as_os_str()),
        ("public_key_file", public.as_os_str()),
        ("key", OsStr::new(&key.id().to_string())),
        ("public_key", OsStr::new(&line)),
    ]
    .map(|(name, value)| (name, value.to_string_lossy().into_owned()));
    Ok(print(&message::facts(&said, arguments.format)))
}

/// Writes a file that did not exist.
fn create(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Errors> {
    let mut new = OpenOptions::new();
    let mut file =
        new.write(true).create_new(true).mode(mode).open(path).map_err(|e| cannot(path, &e))?;
    let written = |file: &mut File| file.write_all(bytes).and_then(|()| file.sync_all());
    written(&mut file).map_err(|e| {
        let _ = std::fs::remove_file(path);
        cannot(path, &e)
    })
}

fn cannot(path: &Path, e: &io::Error) -> Errors {
    let shown = path.display();
    let d = match e.kind() {
        io::ErrorKind::AlreadyExists => {
            Diagnostic::new(Class::Usage, format!("{shown} exists, and keys are never overwritten"))
        }
        _ => Diagnostic::new(Class::Usage, format!("cannot write {shown}: {e}")),
    };
    d.help("name another file, or move that one away").into()
}
