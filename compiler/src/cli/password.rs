//! Passwords of secret keys: from a file, or asked for on the terminal of whoever runs lucetc.
//!
//! The terminal is `/dev/tty`, so that standard input stays free for a module. While a password is
//! typed the terminal does not echo. They are wiped from memory after use.

use lucetc::signing::MAX_PASSWORD_BYTES;
use lucetc::{Class, Diagnostic, Errors};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// A password; wiped when it is dropped.
pub type Password = Zeroizing<Vec<u8>>;

fn usage(message: String, help: &str) -> Errors {
    Diagnostic::new(Class::Usage, message).help(help).into()
}

/// The password for a key: the first line of the file, or what is typed.
pub fn get(file: Option<&OsStr>, key: &str) -> Result<Password, Errors> {
    match file {
        Some(file) => from_file(Path::new(file)),
        None => ask(&format!("Password for {key}: ")),
    }
}

/// The password for a new key, which has to be typed twice.
pub fn choose(file: Option<&OsStr>, key: &str) -> Result<Password, Errors> {
    let first = get(file, key)?;
    if file.is_none() && *first != *ask("The same again: ")? {
        return Err(usage("the two passwords are not the same".into(), "try again"));
    }
    Ok(first)
}

fn from_file(path: &Path) -> Result<Password, Errors> {
    let shown = path.display();
    let line = File::open(path).and_then(|mut f| line(&mut f));
    line.map_err(|e| usage(format!("cannot read the password from {shown}: {e}"), "name a file"))
}

fn ask(prompt: &str) -> Result<Password, Errors> {
    let no = |e: io::Error| {
        let m = format!("cannot ask for the password on a terminal: {e}");
        usage(m, "give it with --password-file FILE")
    };
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(no)?;
    let quiet = Quiet::new(&terminal).map_err(no)?;
    (&terminal).write_all(prompt.as_bytes()).map_err(no)?;
    let password = line(&mut &terminal);
    drop(quiet);
    let _ = (&terminal).write_all(b"\n");
    password.map_err(no)
}

/// The bytes up to the end of the line. Read one by one into room for all of them: no buffer keeps
/// a copy.
fn line(from: &mut impl Read) -> io::Result<Password> {
    let mut password = Zeroizing::new(Vec::with_capacity(MAX_PASSWORD_BYTES + 1));
    let mut byte = Zeroizing::new([0]);
    while from.read(byte.as_mut())? == 1 && *byte != *b"\n" {
        if password.len() > MAX_PASSWORD_BYTES {
            let m = format!("it has more than {MAX_PASSWORD_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, m));
        }
        password.extend_from_slice(&*byte);
    }
    if password.last() == Some(&b'\r') {
        password.pop();
    }
    Ok(password)
}

/// A terminal that does not echo as long as this lives. Ending lucetc with Ctrl-C leaves it so,
/// which shells mend.
struct Quiet<'a>(&'a File, Termios);

impl<'a> Quiet<'a> {
    fn new(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self(terminal, before))
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // It worked in the other direction.
        let _ = tcsetattr(self.0, SetArg::TCSAFLUSH, &self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_a_line() {
        let of = |mut text: &[u8]| line(&mut text).map(|p| p.to_vec());
        assert_eq!(of(b"secret").unwrap(), b"secret");
        assert_eq!(of(b" secret \nmore\n").unwrap(), b" secret ");
        assert_eq!(of(b"secret\r\n").unwrap(), b"secret");
        assert_eq!(of(b"").unwrap(), b"");
        assert_eq!(of(&[b'x'; MAX_PASSWORD_BYTES]).unwrap().len(), MAX_PASSWORD_BYTES);
        assert!(of(&[b'x'; MAX_PASSWORD_BYTES + 2]).is_err());
    }
}
