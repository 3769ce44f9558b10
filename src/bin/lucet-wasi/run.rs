//! From a job to an exit code.

use crate::args::{Job, Variable};
use crate::{FAILED, NOT_FOUND, REFUSED, compile, print, report, say, signals};
use lucet::wasi::{Config, Sink, Source, Template};
use lucet::{Instance, Module, ModuleConfig, Outcome, Region, RegionConfig, Status, Val, ValType};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The program took longer than it may.
const TIMED_OUT: u8 = 124;

/// Bytes of stack, unless said otherwise: as native programs have on some systems.
const STACK: u64 = 16 << 20;

/// What is left of the stack's address space for the slot.
const MAX_STACK: u64 = 1 << 30;

/// A message, and the exit code.
type Failure = (String, u8);

/// Runs the job; what there is to say goes to standard error.
pub fn run(job: &Job) -> u8 {
    match prepare(job) {
        Ok((instance, module)) => {
            let code = start(job, &instance, &module);
            drop(instance);
            code.unwrap_or_else(failed)
        }
        Err(failure) => failed(failure),
    }
}

fn failed((message, code): Failure) -> u8 {
    say(&message);
    code
}

/// Everything before the guest.
fn prepare(job: &Job) -> Result<(Instance, Arc<Module>), Failure> {
    let artifact = artifact(job)?;
    let wasi = wasi(job).map_err(|m| (m, FAILED))?;
    let mut config = ModuleConfig { wasi: Some(wasi), ..ModuleConfig::default() };
    config.allow_unsigned = job.keys.is_empty();
    for key in &job.keys {
        let shown = key.display();
        let text = fs::read_to_string(key).map_err(|e| (format!("{shown}: {e}"), FAILED))?;
        config.trust.add_key(&text).map_err(|e| (format!("{shown}: {e}"), FAILED))?;
    }
    let name = job.program.display();
    let refused = |e: lucet::Error| (format!("{name}: {}", e.message()), REFUSED);
    let module = match artifact {
        Some(bytes) => Module::load_bytes(&bytes, &config),
        None => Module::load_file(&job.program, &config).map_err(|e| {
            let what = "it is neither an artifact that lucetc-wasi made nor a .wasm file";
            if e.status() == Status::NotAnArtifact { e.context(what) } else { e }
        }),
    };
    let module = module.map_err(refused)?;
    let region = RegionConfig {
        slots: 1,
        stack_bytes: job.max_stack.unwrap_or(STACK).min(MAX_STACK),
        max_memory: job.max_memory.unwrap_or(u64::MAX),
        max_instance_data: 1 << 20,
        time_limit: job.timeout.map_or(0, |t| t.as_nanos() as u64),
        backtrace: job.backtrace,
        ..RegionConfig::default()
    };
    let region = RegionConfig {
        max_memory: region.max_memory.min(RegionConfig::default().max_memory),
        ..region
    };
    let region = Region::new(region).map_err(|e| (e.message().to_owned(), FAILED))?;
    // From here on signals end the guest, not the process; threads inherit that.
    signals::hold();
    let instance = Instance::new(&region, &module).map_err(|e| match e.status() {
        Status::StartFailed => (format!("{name}: {}", e.message()), report::code_of(e.trap())),
        _ => refused(e),
    })?;
    Ok((instance, module))
}

/// The artifact that the program becomes when it is compiled; `None`: it is one.
fn artifact(job: &Job) -> Result<Option<Vec<u8>>, Failure> {
    let name = job.program.display();
    let mut beginning = Vec::new();
    let opened = File::open(&job.program).and_then(|f| f.take(8).read_to_end(&mut beginning));
    match opened {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err((format!("{name} does not exist"), NOT_FOUND));
        }
        Err(e) => return Err((format!("{name} cannot be read: {e}"), REFUSED)),
    }
    if !compile::is_module(&job.program, &beginning) {
        return Ok(None);
    }
    if !job.keys.is_empty() {
        let m = format!("{name} is no artifact, and so not signed: compile and sign it first");
        return Err((m, REFUSED));
    }
    compile::compile(&job.program, job.lucetc.as_deref()).map(Some).map_err(|m| (m, REFUSED))
}

fn own(fd: &impl AsFd) -> Option<OwnedFd> {
    fd.as_fd().try_clone_to_owned().ok()
}

/// What the program sees of the world.
fn wasi(job: &Job) -> Result<Arc<Template>, String> {
    let mut c = Config::new();
    let sink = |fd: Option<OwnedFd>| fd.map_or(Sink::Closed, Sink::Descriptor);
    c.stdin(own(&std::io::stdin()).map_or(Source::Closed, Source::Descriptor));
    c.stdout(sink(own(&std::io::stdout()))).stderr(sink(own(&std::io::stderr())));
    let name = || job.program.clone().into_os_string();
    if job.invoke.is_none() || job.argv0.is_some() {
        c.arg(job.argv0.clone().unwrap_or_else(name).into_vec());
    }
    if job.invoke.is_none() {
        for arg in &job.arguments {
            c.arg(arg.as_bytes());
        }
    }
    let mut variables: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |name: Vec<u8>, value: Vec<u8>| {
        variables.retain(|(n, _)| *n != name);
        variables.push((name, value));
    };
    if job.inherit_env {
        std::env::vars_os().for_each(|(n, v)| add(n.into_vec(), v.into_vec()));
    }
    for variable in &job.env {
        match variable {
            Variable::Is(name, value) => add(name.clone(), value.clone()),
            Variable::Inherited(name) => {
                if let Some(value) = std::env::var_os(name) {
                    add(name.as_bytes().to_vec(), value.into_vec());
                }
            }
        }
    }
    for (name, value) in variables {
        c.env([&name[..], b"=", &value].concat());
    }
    for dir in &job.dirs {
        c.directory(&dir.host, dir.guest.clone(), dir.read_only);
    }
    if let Some(seed) = job.seed {
        c.deterministic(seed);
    }
    c.build().map_err(|e| e.to_string())
}

/// Runs the guest, from `_initialize` or `_start` on.
fn start(job: &Job, instance: &Instance, module: &Module) -> Result<u8, Failure> {
    signals::watch(**instance);
    let name = job.program.display().to_string();
    if let Some(time) = job.timeout {
        let (name, quiet) = (name.clone(), job.quiet);
        signals::limit(time, TIMED_OUT, move || {
            if !quiet {
                say(&timed_out(&name, time));
            }
        });
    }
    let has = |export: &str| module.find(export, None).is_ok();
    let Some(function) = &job.invoke else {
        if has("_start") {
            return call(job, instance, module, "_start", &[]);
        }
        let what = match has("_initialize") {
            true => "a reactor: a library for --invoke",
            false => "no program: it exports no _start; --invoke calls another export",
        };
        return Err((format!("{name} is {what}"), REFUSED));
    };
    let args = arguments(module, function, &job.arguments).map_err(|m| (m, FAILED))?;
    if job.initialize.unwrap_or(function != "_initialize" && has("_initialize")) {
        let code = call(job, instance, module, "_initialize", &[])?;
        if code != 0 {
            return Ok(code);
        }
    }
    call(job, instance, module, function, &args)
}

/// The arguments of an export, of its types.
fn arguments(module: &Module, name: &str, words: &[OsString]) -> Result<Vec<Val>, String> {
    let func = module.find(name, None).map_err(|e| e.message().to_owned())?;
    let params = module.params(func).ok_or("a function of another module")?;
    if params.len() != words.len() {
        let (want, given) = (params.len(), words.len());
        return Err(format!("\"{name}\" takes {want} arguments, not {given}"));
    }
    let one = |(ty, word): (&ValType, &OsString)| {
        let text = word.to_string_lossy();
        let wrong = || format!("\"{name}\" wants a {ty}, not `{text}`");
        let value = match ty {
            ValType::I32 => {
                let signed = text.parse::<i32>().ok();
                signed.or_else(|| text.parse::<u32>().ok().map(|v| v as i32)).map(Val::I32)
            }
            ValType::I64 => {
                let signed = text.parse::<i64>().ok();
                signed.or_else(|| text.parse::<u64>().ok().map(|v| v as i64)).map(Val::I64)
            }
            ValType::F32 => text.parse().ok().map(Val::F32),
            ValType::F64 => text.parse().ok().map(Val::F64),
            other => return Err(format!("\"{name}\" takes a {other}, which has no text form")),
        };
        value.ok_or_else(wrong)
    };
    params.iter().zip(words).map(one).collect()
}

fn timed_out(name: &str, time: Duration) -> String {
    format!("{name}: it took longer than {} s", time.as_secs_f64())
}

/// Calls an export: the exit code.
fn call(
    job: &Job,
    instance: &Instance,
    module: &Module,
    function: &str,
    args: &[Val],
) -> Result<u8, Failure> {
    let name = job.program.display().to_string();
    let outcome = instance.run(function, args);
    // Whatever the guest came to meanwhile.
    if let Some(code) = signals::came() {
        return Ok(code);
    }
    let outcome = outcome.map_err(|e| (format!("{name}: {}", e.message()), FAILED))?;
    let tell = |message: &str| {
        if !job.quiet {
            say(message);
        }
    };
    let code = match outcome {
        Outcome::Returned(results) => {
            let lines: String = results.iter().map(|v| report::value(v) + "\n").collect();
            if print(&lines) { 0 } else { FAILED }
        }
        // As the system does with what programs give to exit().
        Outcome::Exited(code) => code as u8,
        Outcome::TimedOut => {
            tell(&timed_out(&name, job.timeout.unwrap_or_default()));
            TIMED_OUT
        }
        Outcome::Trapped(trap) => {
            let wasm = source(&job.program, module);
            tell(&format!("{name}: {}", report::trap(&trap, wasm.as_deref())));
            if job.backtrace
                && let Ok(trace) = instance.backtrace()
            {
                tell(&report::backtrace(&trace, wasm.as_deref()));
            }
            report::code_of(Some(trap.code))
        }
        Outcome::Exception(e) => {
            tell(&format!("{name}: an exception left it: {e}"));
            report::code_of(None)
        }
        Outcome::HostError(code) => {
            tell(&format!("{name}: a host function failed with {code}"));
            FAILED
        }
        other => {
            tell(&format!("{name}: it ended unexpectedly: {other:?}"));
            FAILED
        }
    };
    Ok(code)
}

/// The module that an artifact was made of, which knows lines: the program itself, or a .wasm file
/// of the same name beside it, if it is the same one.
fn source(program: &Path, module: &Module) -> Option<Vec<u8>> {
    const MOST: u64 = 1 << 30;
    let read = |path: &Path| {
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
        module.is_made_of(&bytes).then_some(bytes)
    };
    read(program).or_else(|| read(&program.with_extension("wasm")))
}
