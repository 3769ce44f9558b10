//! What lucetc does besides compiling, one command per row of [`COMMANDS`].
//!
//! The first argument decides: a word of the table is a command, everything else is a compilation,
//! so that `lucetc hello.wasm` is what everybody types. A command lives in a file of its own and
//! brings its options, its help and the function that runs it; the rest is done here, the same for
//! all of them: `lucetc help COMMAND`, `lucetc COMMAND --help`, errors as text or JSON, exit codes.

use super::message::{self, Format};
use super::scan::{Item, Opt, Scanner, show};
use super::{args, exit_code, help, inspect, keygen, print, sign, verify};
use lucetc::nearest;
use lucetc::{Class, Diagnostic, Errors};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

/// A command.
pub struct Command {
    /// The first argument.
    pub name: &'static str,
    /// What it does, for the list of commands: at most 70 characters.
    pub summary: &'static str,
    /// What `--help` prints.
    pub help: &'static str,
    /// Its options besides `--help` and `--message-format`.
    pub options: &'static [Opt],
    /// Does it. What it returns as an error is printed by the caller.
    pub run: fn(&Arguments) -> Result<ExitCode, Errors>,
}

/// Every command, in the order in which they are listed.
pub const COMMANDS: [&Command; 4] =
    [&inspect::COMMAND, &keygen::COMMAND, &sign::COMMAND, &verify::COMMAND];

/// Options that every command has.
const COMMON: [Opt; 2] = [("-h", "--help", false), ("", "--message-format", true)];

/// The rest of the command line.
#[derive(Debug)]
pub struct Arguments {
    /// The command's options in order, by their long spelling.
    pub options: Vec<(&'static str, OsString)>,
    /// Everything else, in order.
    pub inputs: Vec<OsString>,
    /// How messages, and results that can be either, are written.
    pub format: Format,
    /// The command's name.
    name: &'static str,
}

impl Arguments {
    /// Whether an option is there.
    pub fn has(&self, option: &str) -> bool {
        self.value(option).is_some()
    }

    /// The value of an option; the last one counts.
    pub fn value(&self, option: &str) -> Option<&OsString> {
        self.options.iter().rfind(|(name, _)| *name == option).map(|(_, value)| value)
    }

    /// The only input; `what` names it in messages, for example `an artifact`.
    pub fn only_input(&self, what: &str) -> Result<&OsString, Errors> {
        match self.inputs.as_slice() {
            [one] => Ok(one),
            [] => Err(self.usage(format!("{what} is missing")).into()),
            [_, second, ..] => {
                let m = format!("{} is one too many: {what} is all that is needed", show(second));
                Err(self.usage(m).into())
            }
        }
    }

    /// A mistake on the command line.
    pub fn usage(&self, message: impl Into<String>) -> Diagnostic {
        let help = format!("lucetc {} --help says what it wants", self.name);
        Diagnostic::new(Class::Usage, message).help(help)
    }
}

/// Runs a command, if the first argument is one.
pub fn run(arguments: &[OsString]) -> Option<ExitCode> {
    let (first, rest) = arguments.split_first()?;
    if first == "help" {
        return Some(match explain(rest) {
            Ok(text) => print(&text),
            Err(errors) => failed(&errors, None, args::message_format(rest)),
        });
    }
    let Some(command) = COMMANDS.iter().find(|c| first == c.name) else {
        let mistake = misspelt(first)?;
        return Some(failed(&mistake.into(), None, args::message_format(rest)));
    };
    Some(match scan(command, rest.to_vec()) {
        Ok(None) => print(command.help),
        Ok(Some(arguments)) => (command.run)(&arguments).unwrap_or_else(|errors| {
            let input = arguments.inputs.first().map(|i| i.to_string_lossy().into_owned());
            failed(&errors, input.as_deref(), arguments.format)
        }),
        Err(errors) => failed(&errors, None, args::message_format(rest)),
    })
}

fn failed(errors: &Errors, input: Option<&str>, format: Format) -> ExitCode {
    message::print(errors, input, format);
    exit_code(errors.class())
}

/// The arguments of a command; `None` if they ask for its help.
fn scan(command: &Command, arguments: Vec<OsString>) -> Result<Option<Arguments>, Errors> {
    let name = command.name;
    let mut found =
        Arguments { options: Vec::new(), inputs: Vec::new(), format: Format::Text, name };
    let options: Vec<Opt> = COMMON.iter().chain(command.options).copied().collect();
    let mut scanner = Scanner::new(name, &options, arguments);
    while let Some(item) = scanner.next()? {
        match item {
            Item::Option("--help", _) => return Ok(None),
            Item::Option("--message-format", v) => {
                found.format = args::format("--message-format", &v)?;
            }
            Item::Option(name, value) => found.options.push((name, value)),
            Item::Input(input) => found.inputs.push(input),
        }
    }
    Ok(Some(found))
}

/// What `lucetc help [COMMAND]` prints.
fn explain(words: &[OsString]) -> Result<String, Errors> {
    let Some(word) = words.first() else { return Ok(help::help()) };
    if let Some(command) = COMMANDS.iter().find(|c| word == c.name) {
        return Ok(command.help.to_owned());
    }
    let d = Diagnostic::new(Class::Usage, format!("there is no command {}", show(word)));
    Err(match near(word) {
        Some(name) => d.help(format!("did you mean {name}?")).into(),
        None => {
            let names: Vec<_> = COMMANDS.iter().map(|c| c.name).collect();
            d.help(format!("there are: {}", names.join(", "))).into()
        }
    })
}

/// The command that a word is nearly.
fn near(word: &OsStr) -> Option<&'static str> {
    nearest(&word.to_string_lossy(), COMMANDS.iter().map(|c| c.name).chain(["help"]))
}

/// A first argument that is no file and nearly a command. As the name of a module it would be
/// refused too, but with words about options and inputs that its command takes and compiling does
/// not.
fn misspelt(word: &OsStr) -> Option<Diagnostic> {
    if word.as_bytes().starts_with(b"-") || !matches!(Path::new(word).try_exists(), Ok(false)) {
        return None;
    }
    let d = Diagnostic::new(Class::Usage, format!("there is no command or file {}", show(word)));
    Some(d.help(format!("did you mean {}?", near(word)?)))
}

/// The list of commands for the help.
pub fn list() -> String {
    let line = |c: &&Command| format!("  {:<10}{}\n", c.name, c.summary);
    let own = format!("  {:<10}{}\n", "help", "say more about a command: lucetc help COMMAND");
    COMMANDS.iter().map(line).chain([own]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_explains_itself() {
        for c in COMMANDS {
            assert!(c.summary.len() <= 70, "{}", c.name);
            assert!(c.help.starts_with("lucetc ") && c.help.contains("\nUsage: "), "{}", c.name);
            assert!(c.help.ends_with('\n'));
            assert!(c.help.lines().all(|l| l.chars().count() <= 100), "{}", c.name);
            for (_, long, _) in COMMON.iter().chain(c.options) {
                assert!(c.help.contains(long), "{} {long}", c.name);
            }
            assert!(help::help().contains(&format!("  {:<10}{}\n", c.name, c.summary)));
        }
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = COMMANDS.iter().map(|c| c.name).chain(["help"]).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|w| w.first() != w.get(1)));
    }
}
