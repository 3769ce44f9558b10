//! Takes command lines apart: options by their table, everything else is an input.
//!
//! Values follow as the next argument or behind `=`; short options also take them attached
//! (`-O2`, `-j4`). After `--` everything is an input. File names need not be UTF-8.

use super::nearest::nearest;
use lucetc::{Class, Diagnostic, Errors};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::vec::IntoIter;

/// An option: short spelling (may be empty), long spelling, whether it takes a value.
pub type Opt = (&'static str, &'static str, bool);

/// One thing on the command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// An option by its long spelling, with its value; empty if it takes none.
    Option(&'static str, OsString),
    /// A file, or another word that is no option.
    Input(OsString),
}

/// Goes through the arguments of one command.
pub struct Scanner<'a> {
    options: &'a [Opt],
    /// How to ask for help on the command, for example `lucetc --help`.
    help: String,
    rest: IntoIter<OsString>,
    /// After `--`.
    inputs_only: bool,
}

impl<'a> Scanner<'a> {
    /// A scanner for the command with these options; `name` is empty for compiling.
    pub fn new(name: &str, options: &'a [Opt], arguments: Vec<OsString>) -> Self {
        let space = if name.is_empty() { "" } else { " " };
        let help = format!("lucetc {name}{space}--help lists the options");
        Self { options, help, rest: arguments.into_iter(), inputs_only: false }
    }

    /// What is next; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Item>, Errors> {
        let Some(mut a) = self.rest.next() else { return Ok(None) };
        if a == "--" && !self.inputs_only {
            self.inputs_only = true;
            match self.rest.next() {
                Some(next) => a = next,
                None => return Ok(None),
            }
        }
        if self.inputs_only || a == "-" || !a.as_bytes().starts_with(b"-") {
            return Ok(Some(Item::Input(a)));
        }
        let ((_, name, takes_value), attached) = self.split(&a)?;
        let value = match (takes_value, attached) {
            (false, Some(_)) => {
                return Err(self.usage(format!("{name} does not take a value")).into());
            }
            (false, None) => OsString::new(),
            (true, Some(value)) => value,
            (true, None) => match self.rest.next() {
                Some(value) => value,
                None => {
                    return Err(self
                        .usage(format!("a value is missing after {}", show(&a)))
                        .into());
                }
            },
        };
        Ok(Some(Item::Option(name, value)))
    }

    /// The option and the value attached to it.
    fn split(&self, argument: &OsStr) -> Result<(Opt, Option<OsString>), Errors> {
        let bytes = argument.as_bytes();
        if bytes.starts_with(b"--") {
            let at = bytes.iter().position(|b| *b == b'=').unwrap_or(bytes.len());
            let (name, value) = bytes.split_at(at);
            if let Some(o) = self.options.iter().find(|(_, long, _)| long.as_bytes() == name) {
                let value = value.split_first().map(|(_, v)| OsString::from_vec(v.to_vec()));
                return Ok((*o, value));
            }
            return Err(self.unknown(OsStr::from_bytes(name)));
        }
        let (name, value) = bytes.split_at(bytes.len().min(2));
        if let Some(o) = self.options.iter().find(|(short, _, _)| short.as_bytes() == name) {
            let value = value.strip_prefix(b"=").unwrap_or(value);
            return Ok((*o, (bytes.len() > 2).then(|| OsString::from_vec(value.to_vec()))));
        }
        Err(self.unknown(argument))
    }

    /// The option does not exist; says which one is nearest.
    fn unknown(&self, option: &OsStr) -> Errors {
        let d = self.usage(format!("unknown option {}", show(option)));
        let names = self.options.iter().map(|(_, long, _)| *long);
        match nearest(&option.to_string_lossy(), names) {
            Some(n) => d.help(format!("did you mean {n}? {}", self.help)).into(),
            None => d.into(),
        }
    }

    /// A mistake on the command line, with the way to the list of options.
    pub fn usage(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Class::Usage, message).help(self.help.clone())
    }
}

/// A word of the command line in a message.
pub fn show(text: &OsStr) -> String {
    format!("`{}`", text.display())
}
