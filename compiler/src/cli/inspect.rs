//! `lucetc inspect`: what an artifact says about itself.

use super::args::Place;
use super::commands::{Arguments, Command};
use super::{input, print};
use lucet_artifact::trailer::{FLAG_SNAPSHOT, Trailer};
use lucetc::{Class, Diagnostic, Errors};
use std::process::ExitCode;

/// The row in the table of commands.
pub const COMMAND: Command = Command {
    name: "inspect",
    summary: "print what an artifact says about itself",
    help: HELP,
    options: &[],
    run,
};

const HELP: &str = "\
lucetc inspect prints what an artifact says about itself, without loading it.

Usage: lucetc inspect [OPTIONS] FILE

  FILE is an artifact or a snapshot, or - for standard input. Nothing in it is run, and nothing in
  it is believed: what is damaged or contradicts itself is an error.

Options:
      --message-format FMT  text [default], or json
  -h, --help                print this help

Exit codes: 0 done; 1 the file is no artifact, or is damaged; 2 wrong command line, or the file
cannot be read.
";

fn run(arguments: &Arguments) -> Result<ExitCode, Errors> {
    let place = Place::new(arguments.only_input("an artifact")?.clone());
    let bytes = input::artifact(&place)?;
    let bad = |m: String| Diagnostic::new(Class::Malformed, format!("{}: {m}", place.name()));
    let trailer = Trailer::decode(&bytes).map_err(|e| bad(format!("no artifact: {e}")))?;
    if !trailer.hash_matches(&bytes) {
        return Err(bad("the hash does not match: it was damaged or changed".into()).into());
    }
    let hex = |hash: &[u8]| hash.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut text = format!("size    {}\nhash    {}\n", bytes.len(), hex(&trailer.hash));
    if trailer.flags & FLAG_SNAPSHOT != 0 {
        text.push_str(&format!("parent  {}\n", hex(&trailer.parent)));
    }
    Ok(print(&text))
}
