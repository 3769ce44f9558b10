//! `lucetc inspect`: what an artifact says about itself.

use super::args::Place;
use super::commands::{Arguments, Command};
use super::message::Format;
use super::{input, print};
use lucetc::inspect::{Description, hex, inspect};
use lucetc::policy::Policy;
use lucetc::{Class, Diagnostic, Errors};
use std::path::Path;
use std::process::ExitCode;

/// The row in the table of commands.
pub const COMMAND: Command = Command {
    name: "inspect",
    summary: "print what an artifact says about itself",
    help: HELP,
    options: &[("", "--json", false), ("", "--policy", true)],
    run,
};

const HELP: &str = "\
lucetc inspect prints what an artifact says about itself, without loading it.

Usage: lucetc inspect [OPTIONS] FILE

  FILE is an artifact or a snapshot, or - for standard input. Nothing in it is run, and what is
  damaged is an error. What is printed is what the file claims: whether it may be loaded is for the
  host to say, and who signed it for lucetc verify.

  Printed are the hash (what hosts pin), imports and exports with their types, memories, tables and
  globals, what an instance needs, CPU and language features, versions, labels and sizes.

Options:
      --json                print one JSON object instead of text
      --policy FILE         an error unless it was compiled under this policy
      --message-format FMT  text [default], or json, which implies --json
  -h, --help                print this help

Exit codes: 0 done; 1 the file is no artifact, or is damaged, or was compiled under another policy;
2 wrong command line, or a file cannot be read.
";

fn run(arguments: &Arguments) -> Result<ExitCode, Errors> {
    let place = Place::new(arguments.only_input("an artifact")?.clone());
    let policy = arguments.value("--policy").map(|f| Policy::load(Path::new(f))).transpose()?;
    let bytes = input::artifact(&place)?;
    let found = inspect(&bytes)?;
    if let Some(policy) = policy {
        check_policy(&found, &policy)?;
    }
    let json = arguments.format == Format::Json || arguments.has("--json");
    Ok(print(&if json { found.json() } else { found.to_string() }))
}

fn check_policy(found: &Description, policy: &Policy) -> Result<(), Errors> {
    let (has, wanted) = (found.contract.policy_hash, policy.hash());
    if has == wanted {
        return Ok(());
    }
    let show = |hash: [u8; 32]| match hash {
        hash if hash == [0; 32] => "none".to_owned(),
        hash => hex(&hash),
    };
    let message = format!(
        "it was compiled under another policy: {}, and this one is {}",
        show(has),
        show(wanted)
    );
    let help = "compile it again with this policy: lucetc FILE.wasm --policy FILE.toml";
    Err(Diagnostic::new(Class::Policy, message).help(help).into())
}
