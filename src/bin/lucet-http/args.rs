//! The command line.

use lucet::http::abi::Level;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A header.
pub type Header = (Vec<u8>, Vec<u8>);

/// What to do.
pub enum Command {
    Help,
    Version,
    Run(Box<Job>),
}

/// A request, and who handles it.
#[derive(Debug, Clone)]
pub struct Job {
    pub plugin: PathBuf,
    pub uri: String,
    pub method: Option<String>,
    pub headers: Vec<Header>,
    /// `-`: standard input.
    pub body: Option<String>,
    pub source: String,
    pub config: Option<String>,
    pub status: u32,
    pub reply: String,
    pub reply_headers: Vec<Header>,
    pub unreachable: bool,
    pub repeat: u32,
    pub time_limit: Duration,
    pub log: Level,
    pub time: bool,
}

impl Default for Job {
    fn default() -> Self {
        Self {
            plugin: PathBuf::new(),
            uri: "/".into(),
            method: None,
            headers: Vec::new(),
            body: None,
            source: "192.0.2.1:4711".into(),
            config: None,
            status: 200,
            reply: "the upstream's response\n".into(),
            reply_headers: Vec::new(),
            unreachable: false,
            repeat: 1,
            time_limit: Duration::from_secs(1),
            log: Level::Info,
            time: false,
        }
    }
}

fn header(text: &str) -> Result<Header, String> {
    let Some((name, value)) = text.split_once(':') else {
        return Err(format!("\"{text}\" is no header; write it like \"Name: value\""));
    };
    Ok((name.trim().into(), value.trim().into()))
}

fn number<T: std::str::FromStr>(option: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{option} wants a number, not \"{text}\""))
}

fn level(text: &str) -> Result<Level, String> {
    Ok(match text {
        "debug" => Level::Debug,
        "info" => Level::Info,
        "warn" => Level::Warn,
        "error" => Level::Error,
        "none" => Level::None,
        _ => return Err(format!("\"{text}\" is none of debug, info, warn, error, none")),
    })
}

/// Takes an option; `value` gives what follows it.
fn option(
    job: &mut Job,
    name: &str,
    value: &mut dyn FnMut() -> Result<String, String>,
) -> Result<(), String> {
    match name {
        "-X" | "--method" => job.method = Some(value()?),
        "-H" | "--header" => job.headers.push(header(&value()?)?),
        "-d" | "--data" => job.body = Some(value()?),
        "--source" => job.source = value()?,
        "--config" => job.config = Some(value()?),
        "--status" => job.status = number(name, &value()?)?,
        "--reply" => job.reply = value()?,
        "--reply-header" => job.reply_headers.push(header(&value()?)?),
        "--unreachable" => job.unreachable = true,
        "-n" | "--repeat" => job.repeat = number::<u32>(name, &value()?)?.max(1),
        "--time-limit" => job.time_limit = Duration::from_millis(number(name, &value()?)?),
        "--log" => job.log = level(&value()?)?,
        "-t" | "--time" => job.time = true,
        _ => return Err(format!("there is no option {name}")),
    }
    Ok(())
}

/// Reads the command line.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut args = args;
    let mut job = Job::default();
    let mut plain: Vec<OsString> = Vec::new();
    let text = |arg: OsString| arg.into_string().map_err(|a| format!("{a:?} is not UTF-8"));
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--help" | "-h") => return Ok(Command::Help),
            Some("--version" | "-V") => return Ok(Command::Version),
            Some("--") => plain.extend(args.by_ref()),
            Some(name) if name.len() > 1 && name.starts_with('-') => {
                let missing = || format!("{name} wants a value");
                option(&mut job, name, &mut || text(args.next().ok_or_else(missing)?))?;
            }
            _ => plain.push(arg),
        }
    }
    let mut plain = plain.into_iter();
    job.plugin = plain.next().ok_or("which plugin?")?.into();
    if let Some(uri) = plain.next() {
        job.uri = text(uri)?;
    }
    match plain.next() {
        Some(more) => Err(format!("what is {more:?}?")),
        None => Ok(Command::Run(Box::new(job))),
    }
}
