//! Handling the request: the plugin's phases with the upstream between them.

use crate::args::{Header, Job};
use crate::local::{Local, Message, State};
use crate::say;
use lucet::http::Next;
use lucet::{Instance, Module, ModuleConfig, Outcome, Region, RegionConfig};
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why there is no response.
pub enum Failure {
    /// The plugin's fault.
    Plugin(String),
    /// Anything else.
    Other(String),
}

type Result<T> = std::result::Result<T, Failure>;

fn other(e: impl std::fmt::Display) -> Failure {
    Failure::Other(e.to_string())
}

/// Compiles a module with the `lucetc` beside this program, or on the PATH.
fn compile(path: &Path) -> Result<Vec<u8>> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(|d| d.join("lucetc"));
    let program = beside.filter(|p| p.is_file()).unwrap_or_else(|| "lucetc".into());
    let output = Command::new(&program)
        .args(["-o", "-", "--"].map(OsStr::new))
        .arg(path)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| other(format!("{}, which compiles modules: {e}", program.display())))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(other(format!("{} was not compiled", path.display()))),
    }
}

fn artifact(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).map_err(|e| other(format!("{}: {e}", path.display())))?;
    let text = path.extension().is_some_and(|e| e == "wat");
    if text || bytes.starts_with(b"\0asm") { compile(path) } else { Ok(bytes) }
}

/// The request as it arrives.
fn arriving(job: &Job) -> Result<State> {
    let body = match job.body.as_deref() {
        Some("-") => {
            let mut body = Vec::new();
            std::io::stdin().read_to_end(&mut body).map_err(other)?;
            body
        }
        Some(text) => text.as_bytes().into(),
        None => Vec::new(),
    };
    let method = if job.body.is_some() { "POST" } else { "GET" };
    let mut headers = job.headers.clone();
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"host")) {
        headers.insert(0, (b"Host".into(), b"localhost".into()));
    }
    let request = Message { headers, body, ..Message::default() };
    let method = job.method.as_deref().unwrap_or(method).into();
    Ok(State { method, uri: job.uri.as_bytes().into(), request, ..State::default() })
}

/// What became of a phase, in words, unless it returned.
fn judge(what: &str, instance: &Instance, outcome: &Outcome) -> Result<()> {
    let why = match outcome {
        Outcome::Returned(_) => return Ok(()),
        Outcome::Trapped(trap) => trap.to_string(),
        Outcome::TimedOut => "it took too long".into(),
        Outcome::Exited(code) => format!("it exited with code {code}"),
        Outcome::HostError(value) => match lucet::http::problem(*value) {
            Some(problem) => problem.text().trim_end_matches('\0').into(),
            None => format!("a host function failed with code {value}"),
        },
        other => format!("it ended with {other:?}"),
    };
    let mut message = format!("{what}: {why}");
    if let Ok(backtrace) = instance.backtrace() {
        message += &format!("\n{backtrace}");
    }
    Err(Failure::Plugin(message))
}

/// One request in a fresh instance; whether the plugin let it through.
fn handle(job: &Job, server: &Local, region: &Arc<Region>, module: &Arc<Module>) -> Result<bool> {
    let instance = Instance::new(region, module).map_err(other)?;
    let limit = u64::try_from(job.time_limit.as_nanos()).unwrap_or(u64::MAX);
    instance.set_time_limit(limit).map_err(other)?;
    instance.http_attach(0).map_err(other)?;
    if module.export("_initialize").is_some() {
        let outcome = instance.run("_initialize", &[]).map_err(other)?;
        judge("_initialize", &instance, &outcome)?;
    }
    let (outcome, next) = instance.http_handle_request().map_err(other)?;
    judge("the request phase", &instance, &outcome)?;
    if next == Next::Respond {
        return Ok(false);
    }
    if !job.unreachable {
        let mut state = server.state();
        state.status = job.status;
        state.response.headers.clone_from(&job.reply_headers);
        state.response.body = job.reply.as_bytes().into();
    }
    if next == Next::Continue {
        let outcome = instance.http_handle_response(job.unreachable).map_err(other)?;
        judge("the response phase", &instance, &outcome)?;
    }
    Ok(true)
}

fn put(out: &mut Vec<u8>, mark: &str, first: String, message: &Message) {
    let mut line = |bytes: &[&[u8]]| {
        out.extend_from_slice(mark.as_bytes());
        bytes.iter().for_each(|b| out.extend_from_slice(b));
        out.push(b'\n');
    };
    line(&[first.as_bytes()]);
    let framed = |(name, _): &&Header| !name.eq_ignore_ascii_case(b"content-length");
    for (name, value) in message.headers.iter().filter(framed) {
        line(&[name, b": ", value]);
    }
    if !message.body.is_empty() {
        line(&[b"Content-Length: ", message.body.len().to_string().as_bytes()]);
    }
    line(&[]);
}

/// The response, preceded by the request as the upstream saw it if it did.
fn show(state: &State, passed: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if passed {
        let (method, uri) =
            (String::from_utf8_lossy(&state.method), String::from_utf8_lossy(&state.uri));
        put(&mut out, "> ", format!("{method} {uri} HTTP/1.1"), &state.request);
    }
    let status = if state.status == 0 { 200 } else { state.status };
    put(&mut out, "", format!("HTTP/1.1 {status}"), &state.response);
    out.extend_from_slice(&state.response.body);
    for (name, value) in &state.response.trailers {
        for part in [name.as_slice(), b": ".as_slice(), value.as_slice(), b"\n".as_slice()] {
            out.extend_from_slice(part);
        }
    }
    out
}

/// Does the job: what is to be printed.
pub fn run(job: &Job) -> Result<Vec<u8>> {
    let server = Arc::new(Local::new(job));
    let mut config = ModuleConfig { allow_unsigned: true, ..ModuleConfig::default() };
    config.offer_http(server.clone()).map_err(other)?;
    let module = Module::load_bytes(&artifact(&job.plugin)?, &config).map_err(other)?;
    module.http_plugin().map_err(other)?;
    let slots = RegionConfig { slots: 1, backtrace: true, ..RegionConfig::default() };
    let region = Region::new(slots).map_err(other)?;
    let request = arriving(job)?;
    let (mut times, mut passed) = (Vec::new(), false);
    for _ in 0..job.repeat {
        *server.state() = request.clone();
        let begun = Instant::now();
        passed = handle(job, &server, &region, &module)?;
        times.push(begun.elapsed());
    }
    if job.time {
        times.sort_unstable();
        let at = |n: usize| times.get(n).copied().unwrap_or(Duration::ZERO);
        let (least, median, most) = (at(0), at(times.len() / 2), at(times.len() - 1));
        say(&format!(
            "{} requests: {least:?} at least, {median:?} median, {most:?} at most",
            times.len()
        ));
    }
    Ok(show(&server.state(), passed))
}
