//! The command, step by step. Everything that can go wrong ends in diagnostics, which
//! [`message`] prints, and an exit code.

mod args;
mod commands;
mod help;
mod input;
mod inspect;
mod keygen;
mod keys;
mod message;
mod output;
mod password;
mod scan;
mod sign;
mod supervise;
mod verify;

use args::{Command, Emit, Job};
use lucetc::signing::{self, SecretKey};
use lucetc::{Class, Errors, Options, Text};
use output::Target;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// The name under which the program compiles for WASI, as if it had been given `--wasi`.
const FOR_WASI: &str = "lucetc-wasi";

/// Runs the command with these arguments; `name` is what the program was called.
pub fn run(name: &OsStr, mut arguments: Vec<OsString>) -> ExitCode {
    if let Some(code) = commands::run(&arguments) {
        return code;
    }
    let is_child = arguments.first().is_some_and(|a| a == supervise::CHILD);
    if is_child {
        arguments.remove(0);
    } else if Path::new(name).file_name().is_some_and(|n| n == FOR_WASI) {
        // The child is not called so, and gets the arguments.
        arguments.insert(0, "--wasi".into());
    }
    // The format is needed even if the rest of the command line is wrong.
    let format = args::message_format(&arguments);
    let (result, input) = match args::parse(arguments.clone()) {
        Ok(Command::Help) => return print(&help::help()),
        Ok(Command::Version) => return print(&help::version()),
        Ok(Command::Limits) => return print(&help::limits()),
        Ok(Command::PolicySchema) => return print(&lucetc::policy::json_schema()),
        Ok(Command::Compile(job)) => {
            let role = match is_child {
                true => Role::Child,
                false if job.in_process => Role::Alone,
                false => Role::Parent(&arguments),
            };
            (compile(&job, &role), Some(job.input.name()))
        }
        Err(errors) => (Err(errors), None),
    };
    match result {
        Ok(code) => code,
        Err(errors) => {
            message::print(&errors, input.as_deref(), format);
            exit_code(errors.class())
        }
    }
}

/// What this process does for a compilation.
enum Role<'a> {
    /// Waits for another one that has the same arguments.
    Parent(&'a [OsString]),
    /// Is that other one.
    Child,
    /// Everything.
    Alone,
}

fn compile(job: &Job, role: &Role<'_>) -> Result<ExitCode, Errors> {
    // What can be refused is refused before the work.
    let target = Target::prepare(job)?;
    let (policy, given) = match role {
        Role::Child => supervise::receive().map(|(policy, module)| (policy, Some(module)))?,
        _ => (job.policy()?, None),
    };
    let options = job.options(policy.as_deref())?;
    // The key is for the process that talks to people; the one that compiles never has it.
    let key = match role {
        Role::Child => None,
        _ => job.key()?,
    };
    let module = match given {
        Some(module) => module,
        None => input::read(&job.input, &options.limits)?,
    };
    match role {
        Role::Parent(arguments) => {
            let policy = policy.as_deref();
            return match supervise::run(job, &options, arguments, policy, module) {
                supervise::Ended::Artifact(artifact) => finish(job, key, artifact, &target),
                supervise::Ended::Code(code) => Ok(ExitCode::from(code)),
                supervise::Ended::Failed(errors) => Err(errors),
            };
        }
        Role::Child => supervise::limit_self(&options, module.len()),
        Role::Alone => {}
    }
    lucetc::keep_quiet();
    let made = produce(&module, &options, job.emit)?;
    if job.is_signed() && matches!(role, Role::Child) {
        // The parent signs it, and writes it where it belongs.
        Target::Stdout.write(&made)?;
        return Ok(ExitCode::SUCCESS);
    }
    finish(job, key, made, &target)
}

/// Signs what was made, and makes an object of it, if that was asked for, and writes it.
fn finish(
    job: &Job,
    key: Option<SecretKey>,
    mut made: Vec<u8>,
    target: &Target,
) -> Result<ExitCode, Errors> {
    if let Some(key) = key {
        let place = job.artifact();
        signing::sign(&mut made, &key, &keys::default_comment(&place), &place.name())?;
    }
    if job.emit == Emit::Obj {
        made = lucetc::emit::emit_object(&made, &job.symbol())?;
    }
    target.write(&made)?;
    Ok(ExitCode::SUCCESS)
}

fn produce(module: &[u8], options: &Options, emit: Emit) -> Result<Vec<u8>, Errors> {
    let text = |what| lucetc::compile_to_text(module, options, what).map(String::into_bytes);
    match emit {
        Emit::So | Emit::Obj => lucetc::compile(module, options),
        Emit::Clif => text(Text::Clif),
        Emit::Asm => text(Text::Asm),
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => exit_code(Class::Usage),
    }
}

fn exit_code(class: Class) -> ExitCode {
    ExitCode::from(match class {
        Class::Malformed
        | Class::Invalid
        | Class::Unsupported
        | Class::Policy
        | Class::Untrusted
        | Class::Limit => 1,
        Class::Usage => 2,
        Class::Internal => 70,
    })
}
