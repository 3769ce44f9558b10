//! The command `lucetc`: one WebAssembly module in, one artifact out.
//!
//! ```text
//!  arguments ─args─► Job ─input─► bytes ─lucetc library─► artifact ─output─► file
//!                     │                                      │
//!                     └────────── message: errors as text or JSON lines ─────► stderr
//! ```
//!
//! Exit codes: 0 done, 1 the module is at fault, 2 the command line or a file is, 70 lucetc is.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    cli::run(&name, arguments.collect())
}
