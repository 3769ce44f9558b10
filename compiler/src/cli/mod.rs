//! The command, step by step. Everything that can go wrong ends in diagnostics, which
//! [`message`] prints, and an exit code.

mod args;
mod help;
mod input;
mod message;
mod nearest;
mod output;
mod work;

use args::{Command, Job};
use lucetc::{Class, Errors};
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

/// Runs the command with these arguments (without the program's name).
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    // The format is needed even if the rest of the command line is wrong.
    let format = args::message_format(&arguments);
    let (result, input) = match args::parse(arguments) {
        Ok(Command::Help) => return print(help::HELP),
        Ok(Command::Version) => return print(&help::version()),
        Ok(Command::Compile(job)) => (compile(&job), Some(job.input.name())),
        Err(errors) => (Err(errors), None),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(errors) => {
            message::print(&errors, input.as_deref(), format);
            exit_code(errors.class())
        }
    }
}

fn compile(job: &Job) -> Result<(), Errors> {
    // What can be refused is refused before the work.
    let target = output::Target::prepare(job)?;
    let options = job.options()?;
    let module = input::read(&job.input)?;
    let bytes = work::compile(module, options, job)?;
    target.write(&bytes)
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => exit_code(Class::Usage),
    }
}

fn exit_code(class: Class) -> ExitCode {
    ExitCode::from(match class {
        Class::Malformed | Class::Invalid | Class::Unsupported | Class::Policy | Class::Limit => 1,
        Class::Usage => 2,
        Class::Internal => 70,
    })
}
