//! The command `lucet-wasi`: runs a WebAssembly program that uses WASI, as a shell runs others.
//!
//! ```text
//!  arguments ─args─► Job ─┬─ compile (a module) ─► lucetc-wasi ─► artifact ─┐
//!                         ├─ an artifact ───────────────────────────────────┴─► instance ─► code
//!                         └─ directories, variables, streams ─► WASI ───────────┘      │
//!                                 signals, --timeout ──────────► ends it               ▼
//!                                                                  report: where, function, line
//! ```
//!
//! Exit codes stand in [`help`].

#![forbid(unsafe_code)]

mod args;
mod compile;
mod help;
mod lines;
mod report;
mod run;
mod signals;

use args::Command;
use std::io::Write;
use std::process::ExitCode;

/// Wrong command line, or something that is not the program's fault.
pub const FAILED: u8 = 125;
/// The program cannot be run.
pub const REFUSED: u8 = 126;
/// There is none.
pub const NOT_FOUND: u8 = 127;

fn main() -> ExitCode {
    match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => printed(help::HELP),
        Ok(Command::Version) => printed(&format!("lucet-wasi {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Command::Run(job)) => ExitCode::from(run::run(&job)),
        Err(message) => {
            say(&format!("{message}\nlucet-wasi --help lists the options"));
            ExitCode::from(FAILED)
        }
    }
}

/// Writes to standard output; whether that went well.
pub fn print(text: &str) -> bool {
    std::io::stdout().write_all(text.as_bytes()).is_ok()
}

fn printed(text: &str) -> ExitCode {
    if print(text) { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// A message for the person at the terminal.
pub fn say(message: &str) {
    // What cannot be said is still in the exit code.
    let _ = writeln!(std::io::stderr(), "lucet-wasi: {message}");
}
