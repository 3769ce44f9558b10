//! The command line: options of lucet-wasi up to the program's name, and everything after it is the
//! program's own.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// Options: short spelling (may be empty), long spelling, whether a value follows.
pub const OPTIONS: [(&str, &str, bool); 16] = [
    ("-d", "--dir", true),
    ("-e", "--env", true),
    ("", "--inherit-env", false),
    ("", "--argv0", true),
    ("", "--invoke", true),
    ("", "--initialize", true),
    ("", "--timeout", true),
    ("", "--max-memory", true),
    ("", "--max-stack", true),
    ("", "--deterministic", true),
    ("-p", "--public-key", true),
    ("", "--lucetc", true),
    ("", "--backtrace", false),
    ("-q", "--quiet", false),
    ("-V", "--version", false),
    ("-h", "--help", false),
];

/// A directory of the host that the guest sees.
#[derive(Debug, PartialEq, Eq)]
pub struct Dir {
    /// Where it is.
    pub host: PathBuf,
    /// What the guest calls it.
    pub guest: Vec<u8>,
    /// The guest may not change anything in it.
    pub read_only: bool,
}

/// An environment variable of the guest.
#[derive(Debug, PartialEq, Eq)]
pub enum Variable {
    /// With this value.
    Is(Vec<u8>, Vec<u8>),
    /// As it is here, if it is.
    Inherited(OsString),
}

/// What to run, and how.
#[derive(Debug, Default)]
pub struct Job {
    /// The artifact or module.
    pub program: PathBuf,
    /// What follows it.
    pub arguments: Vec<OsString>,
    /// Directories, in order.
    pub dirs: Vec<Dir>,
    /// Variables, in order.
    pub env: Vec<Variable>,
    /// All of this process's variables, before the others.
    pub inherit_env: bool,
    /// The guest's first argument; `None`: the program's name.
    pub argv0: Option<OsString>,
    /// An export to call instead of `_start`.
    pub invoke: Option<String>,
    /// Whether `_initialize` is called before `--invoke`; `None`: if it is there.
    pub initialize: Option<bool>,
    /// How long the run may take.
    pub timeout: Option<Duration>,
    /// Bytes of memory at most.
    pub max_memory: Option<u64>,
    /// Bytes of stack.
    pub max_stack: Option<u64>,
    /// Clocks and random numbers follow from this number alone.
    pub seed: Option<u64>,
    /// Keys one of which must have signed the artifact.
    pub keys: Vec<PathBuf>,
    /// The compiler for modules.
    pub lucetc: Option<PathBuf>,
    /// Say where a guest was that ended badly.
    pub backtrace: bool,
    /// Say nothing about guests that end badly.
    pub quiet: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// Everything else.
    Run(Box<Job>),
}

/// A word of the command line in a message.
fn show(text: &OsStr) -> String {
    format!("`{}`", text.display())
}

/// Parses the command line, without the program's own name. An error is a sentence for people.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut rest = arguments.into_iter();
    let mut job = Job::default();
    while let Some(word) = rest.next() {
        let bytes = word.as_bytes();
        if word == "--" || !bytes.starts_with(b"-") || word == "-" {
            let program = if word == "--" { rest.next() } else { Some(word) };
            job.program = program.ok_or("no program after `--`")?.into();
            job.arguments = rest.collect();
            return Ok(Command::Run(Box::new(job)));
        }
        let (name, attached) = split(bytes)?;
        let takes = OPTIONS.iter().any(|(_, long, takes)| *long == name && *takes);
        let value = match (takes, attached) {
            (false, Some(_)) => return Err(format!("{name} does not take a value")),
            (false, None) => OsString::new(),
            (true, Some(value)) => value,
            (true, None) => {
                rest.next().ok_or_else(|| format!("a value is missing after {}", show(&word)))?
            }
        };
        match name {
            "--help" => return Ok(Command::Help),
            "--version" => return Ok(Command::Version),
            _ => set(&mut job, name, value)?,
        }
    }
    Err("no program to run: a .so that lucetc-wasi made, or a .wasm".into())
}

/// The option that a word is, and the value attached to it.
fn split(word: &[u8]) -> Result<(&'static str, Option<OsString>), String> {
    let value = |v: &[u8]| OsString::from_vec(v.to_vec());
    let known = |name: &[u8]| {
        OPTIONS.iter().find(|(short, long, _)| {
            long.as_bytes() == name || (!short.is_empty() && short.as_bytes() == name)
        })
    };
    let at = word.iter().position(|b| *b == b'=').unwrap_or(word.len());
    let (name, rest) = word.split_at(at);
    if let Some((_, long, _)) = known(name) {
        return Ok((long, rest.split_first().map(|(_, v)| value(v))));
    }
    if !word.starts_with(b"--")
        && let Some((name, rest)) = word.split_at_checked(2)
        && let Some((_, long, _)) = known(name)
    {
        return Ok((long, Some(value(rest))));
    }
    let name = String::from_utf8_lossy(name);
    let near = nearest(&name, OPTIONS.iter().map(|(_, long, _)| *long));
    let hint = near.map_or(String::new(), |n| format!("; did you mean {n}?"));
    Err(format!("unknown option `{name}`{hint}"))
}

fn set(job: &mut Job, name: &str, value: OsString) -> Result<(), String> {
    match name {
        "--dir" => job.dirs.push(dir(&value)?),
        "--env" => job.env.push(variable(value)?),
        "--inherit-env" => job.inherit_env = true,
        "--argv0" => job.argv0 = Some(value),
        "--invoke" => {
            let wrong = |v: OsString| format!("--invoke wants an export, not {}", show(&v));
            job.invoke = Some(value.into_string().map_err(wrong)?);
        }
        "--initialize" => {
            job.initialize = Some(match value.to_str() {
                Some("yes") => true,
                Some("no") => false,
                _ => return Err(format!("--initialize wants yes or no, not {}", show(&value))),
            });
        }
        "--timeout" => job.timeout = Some(duration(&value)?),
        "--max-memory" => job.max_memory = Some(size(name, &value)?),
        "--max-stack" => job.max_stack = Some(size(name, &value)?),
        "--deterministic" => {
            let number = value.to_str().and_then(|v| v.parse().ok());
            let wrong = || format!("--deterministic wants a number, not {}", show(&value));
            job.seed = Some(number.ok_or_else(wrong)?);
        }
        "--public-key" => job.keys.push(value.into()),
        "--lucetc" => job.lucetc = Some(value.into()),
        "--backtrace" => job.backtrace = true,
        "--quiet" => job.quiet = true,
        _ => return Err(format!("unknown option {name}")),
    }
    Ok(())
}

/// `HOST`, `HOST::GUEST`, and `:ro` behind either.
fn dir(value: &OsStr) -> Result<Dir, String> {
    let bytes = value.as_bytes();
    let (bytes, read_only) = match bytes.strip_suffix(b":ro") {
        Some(rest) => (rest, true),
        None => (bytes, false),
    };
    let at = bytes.windows(2).position(|w| w == b"::");
    let (host, guest) = match at {
        Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 2..).unwrap_or_default()),
        None => (bytes, bytes),
    };
    if host.is_empty() || guest.is_empty() {
        return Err(format!(
            "--dir wants HOST::GUEST, HOST, and :ro behind it, not {}",
            show(value)
        ));
    }
    let host = PathBuf::from(OsStr::from_bytes(host));
    Ok(Dir { host, guest: guest.to_vec(), read_only })
}

/// `NAME=VALUE` or `NAME`.
fn variable(value: OsString) -> Result<Variable, String> {
    let bytes = value.as_bytes();
    match bytes.iter().position(|b| *b == b'=') {
        Some(0) => Err(format!("--env wants NAME=VALUE or NAME, not {}", show(&value))),
        Some(at) => {
            let (name, rest) = bytes.split_at(at);
            Ok(Variable::Is(name.to_vec(), rest.get(1..).unwrap_or_default().to_vec()))
        }
        None if bytes.is_empty() => Err("--env wants NAME=VALUE or NAME".into()),
        None => Ok(Variable::Inherited(value)),
    }
}

/// `3`, `1.5` (seconds), `200ms`, `2m`.
fn duration(value: &OsStr) -> Result<Duration, String> {
    let wrong =
        || format!("--timeout wants a time such as 10, 1.5s, 200ms or 2m, not {}", show(value));
    let text = value.to_str().ok_or_else(wrong)?;
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let unit = units.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, factor)));
    let (number, factor) = unit.unwrap_or((text, &1.0));
    let seconds = number.parse::<f64>().map_err(|_| wrong())? * factor;
    // Up to centuries, which nanoseconds of 64 bits can count.
    let sensible = seconds > 0.0 && seconds < 1e10;
    if sensible { Duration::try_from_secs_f64(seconds).map_err(|_| wrong()) } else { Err(wrong()) }
}

/// `65536`, `64K`, `16M`, `1G`.
fn size(option: &str, value: &OsStr) -> Result<u64, String> {
    let wrong = || format!("{option} wants bytes, also with K, M or G, not {}", show(value));
    let text = value.to_str().ok_or_else(wrong)?;
    let units = [("K", 10), ("M", 20), ("G", 30)];
    let unit = units.iter().find_map(|(suffix, shift)| Some((text.strip_suffix(suffix)?, *shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).filter(|n| *n > 0).ok_or_else(wrong)
}

/// The name that differs least from what was typed, if it is not another word altogether.
fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.map(|n| (distance(typed.as_bytes(), n.as_bytes()), n)).min()?;
    (near.0 <= 1 + near.1.len() / 4).then_some(near.1)
}

/// Characters to add, remove or change to make `b` of `a`.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let a = a.get(..a.len().min(64)).unwrap_or_default();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b) {
            let change = corner + usize::from(x != y);
            corner = *cell;
            left = change.min(left + 1).min(corner + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(Into::into).collect()
    }

    fn job(line: &str) -> Job {
        match parse(words(line)) {
            Ok(Command::Run(job)) => *job,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_follows_the_program_is_its_own() {
        let j = job("--env A=1=2 -e B --dir=fs::/fs:ro hello.so --help -x -- y");
        assert_eq!(j.program, PathBuf::from("hello.so"));
        assert_eq!(j.arguments, words("--help -x -- y"));
        assert_eq!(
            j.env,
            [Variable::Is(b"A".to_vec(), b"1=2".to_vec()), Variable::Inherited("B".into())]
        );
        let fs = Dir { host: "fs".into(), guest: b"/fs".to_vec(), read_only: true };
        assert_eq!(j.dirs, [fs]);
        assert_eq!(job("-- --odd a").program, PathBuf::from("--odd"));
        assert_eq!(job("-d. a").dirs[0].guest, b".");
    }

    #[test]
    fn values() {
        let times = [("2", 2000), ("1.5s", 1500), ("200ms", 200), ("2m", 120_000)];
        for (text, ms) in times {
            assert_eq!(
                job(&format!("--timeout {text} a")).timeout,
                Some(Duration::from_millis(ms))
            );
        }
        for (text, bytes) in [("65536", 65536), ("64K", 65536), ("1G", 1 << 30)] {
            assert_eq!(job(&format!("--max-memory {text} a")).max_memory, Some(bytes));
        }
        assert_eq!(job("--deterministic 7 a").seed, Some(7));
    }

    #[test]
    fn mistakes_are_explained() {
        for (line, part) in [
            ("", "no program to run"),
            ("--", "no program after `--`"),
            ("--dir", "a value is missing after `--dir`"),
            ("--dri a b", "unknown option `--dri`; did you mean --dir?"),
            ("--backtraces a", "did you mean --backtrace?"),
            ("--completely-different a", "unknown option `--completely-different`"),
            ("-x a", "unknown option `-x`"),
            ("--quiet=1 a", "--quiet does not take a value"),
            ("--dir :: a", "--dir wants HOST::GUEST"),
            ("--env =1 a", "--env wants NAME=VALUE"),
            ("--timeout soon a", "--timeout wants a time"),
            ("--timeout 0 a", "--timeout wants a time"),
            ("--timeout 1e300 a", "--timeout wants a time"),
            ("--timeout nan a", "--timeout wants a time"),
            ("--max-memory 99999999999G a", "--max-memory wants bytes"),
            ("--max-memory -1 a", "--max-memory wants bytes"),
            ("--initialize maybe a", "--initialize wants yes or no"),
            ("--deterministic x a", "--deterministic wants a number"),
        ] {
            let said = parse(words(line)).unwrap_err();
            assert!(said.contains(part), "{line}: {said}");
        }
    }

    #[test]
    fn every_option_is_in_the_help() {
        for (short, long, _) in OPTIONS {
            assert!(crate::help::HELP.contains(long), "{long}");
            assert!(short.is_empty() || crate::help::HELP.contains(&format!("{short}, {long}")));
        }
        assert!(crate::help::HELP.lines().all(|l| l.chars().count() <= 100));
    }
}
