//! The command `lucet-http`: runs an HTTP plugin with one request, without a server.
//!
//! ```text
//!  arguments ─args─► Job ─┬─ a module ─► lucetc ─► artifact ─► plugin ──┐
//!                         └─ request, upstream ─► Local (a Server) ─────┴─► run ─► the response
//! ```
//!
//! For authors of plugins: what a plugin does to a request and its response is printed as it would
//! stand on the wire, what it logs goes to standard error.

#![forbid(unsafe_code)]

mod args;
mod local;
mod run;

use args::Command;
use std::io::Write;
use std::process::ExitCode;

/// The plugin failed: a trap, a limit, something that it may not do.
pub const FAILED: u8 = 1;
/// Wrong command line, or something that is not the plugin's fault.
pub const WRONG: u8 = 125;

const HELP: &str = "\
lucet-http: runs an HTTP plugin with one request and prints the response

  lucet-http [OPTIONS] PLUGIN [URI]

PLUGIN is a module (.wasm, .wat), which lucetc compiles, or an artifact. URI is / by default.

The request
  -X, --method METHOD      GET, or POST if there is a body
  -H, --header 'NAME: V'   a header; may be repeated
  -d, --data TEXT          the body; '-' reads it from standard input
      --source ADDR:PORT   the client, 192.0.2.1:4711 by default
      --config TEXT        what the plugin gets as its configuration

The upstream, for plugins that let requests through
      --status CODE        its status, 200 by default
      --reply TEXT         its body
      --reply-header 'NAME: V'
      --unreachable        it does not answer

  -n, --repeat N           handles the request N times, each with a fresh instance
      --time-limit MS      ends a phase that takes longer; 1000 by default
      --log LEVEL          debug, info, warn, error or none; info by default
  -t, --time               says how long it took, on standard error
      --help, --version

Exit codes: 0; 1 the plugin failed; 125 something else did
";

fn main() -> ExitCode {
    let result = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => print(HELP.as_bytes()),
        Ok(Command::Version) => {
            print(format!("lucet-http {}\n", env!("CARGO_PKG_VERSION")).as_bytes())
        }
        Ok(Command::Run(job)) => match run::run(&job) {
            Ok(output) => print(&output),
            Err(run::Failure::Plugin(message)) => return fail(FAILED, &message),
            Err(run::Failure::Other(message)) => return fail(WRONG, &message),
        },
        Err(message) => {
            return fail(WRONG, &format!("{message}\nlucet-http --help lists the options"));
        }
    };
    if result { ExitCode::SUCCESS } else { ExitCode::from(WRONG) }
}

fn print(bytes: &[u8]) -> bool {
    std::io::stdout().write_all(bytes).is_ok()
}

fn fail(code: u8, message: &str) -> ExitCode {
    say(message);
    ExitCode::from(code)
}

/// A message for the person at the terminal.
pub fn say(message: &str) {
    // What cannot be said is still in the exit code.
    let _ = writeln!(std::io::stderr(), "lucet-http: {message}");
}
