//! The command line, parsed by hand: a dozen options do not need a library, and messages can say
//! what exactly is wrong. How options are spelt is [`super::scan`]'s business.

use super::keys;
use super::message::Format;
use super::scan::{Item, Opt, Scanner, show};
use lucet_artifact::linked;
use lucet_artifact::types::MemoryShape;
use lucetc::options::cpu_from_name;
use lucetc::policy::Policy;
use lucetc::signing::SecretKey;
use lucetc::{Class, Diagnostic, Errors, OptLevel, Options};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Longest name of a symbol.
const MAX_SYMBOL: usize = 255;
/// Most threads that may be asked for.
const MAX_JOBS: usize = 1024;

/// Options of a compilation.
const OPTIONS: [Opt; 20] = [
    ("-o", "--output", true),
    ("-O", "--opt-level", true),
    ("", "--emit", true),
    ("", "--symbol", true),
    ("", "--memory", true),
    ("", "--target-cpu", true),
    ("", "--fuel", false),
    ("-j", "--jobs", true),
    ("", "--paranoid", false),
    ("", "--policy", true),
    ("", "--wasi", false),
    ("", "--label", true),
    ("", "--sign", true),
    ("", "--password-file", true),
    ("", "--limit", true),
    ("", "--print", true),
    ("", "--in-process", false),
    ("", "--message-format", true),
    ("-V", "--version", false),
    ("-h", "--help", false),
];

/// A file, or standard input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `-`.
    Std,
    /// A path.
    File(PathBuf),
}

impl Place {
    /// What a word of the command line stands for.
    pub fn new(text: OsString) -> Self {
        if text == "-" { Self::Std } else { Self::File(text.into()) }
    }

    /// The name for messages.
    pub fn name(&self) -> String {
        match self {
            Self::Std => "-".into(),
            Self::File(p) => p.display().to_string(),
        }
    }
}

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// An artifact.
    So,
    /// An object that holds an artifact, for the linker.
    Obj,
    /// Intermediate code as text.
    Clif,
    /// Machine code as text.
    Asm,
}

impl Emit {
    /// The extension of files of this kind.
    pub fn extension(self) -> &'static str {
        match self {
            Self::So => "so",
            Self::Obj => "o",
            Self::Clif => "clif",
            Self::Asm => "s",
        }
    }

    /// How it is asked for.
    fn option(self) -> &'static str {
        match self {
            Self::So => "--emit so",
            Self::Obj => "--emit obj",
            Self::Clif => "--emit clif",
            Self::Asm => "--emit asm",
        }
    }

    /// Whether it is something to look at.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Clif | Self::Asm)
    }
}

/// A compilation as asked for.
#[derive(Debug)]
pub struct Job {
    /// The module.
    pub input: Place,
    /// Where to write; `None` is beside the input.
    pub output: Option<Place>,
    /// What to write.
    pub emit: Emit,
    /// How messages look.
    pub format: Format,
    /// Compile in this process instead of in one of its own.
    pub in_process: bool,
    options: Options,
    policy: Option<PathBuf>,
    wasi: bool,
    labels: Vec<(String, String)>,
    sign: Option<OsString>,
    password_file: Option<OsString>,
    symbol: Option<String>,
}

impl Job {
    /// What a program calls the artifact that an object holds.
    pub fn symbol(&self) -> String {
        if let Some(symbol) = &self.symbol {
            return symbol.clone();
        }
        let stem = match (&self.output, &self.input) {
            (Some(Place::File(path)), _) | (_, Place::File(path)) => path.file_stem(),
            _ => None,
        };
        let stem = stem.map_or("module".into(), OsStr::to_string_lossy);
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        linked::SYMBOL_PREFIX.chars().chain(stem.chars().map(plain)).collect()
    }

    /// Whether the artifact is signed.
    pub fn is_signed(&self) -> bool {
        self.sign.is_some()
    }

    /// The key to sign with, unlocked.
    pub fn key(&self) -> Result<Option<SecretKey>, Errors> {
        let Some(path) = &self.sign else { return Ok(None) };
        keys::secret(path, self.password_file.as_deref()).map(Some)
    }

    /// Where the artifact goes, by name.
    pub fn artifact(&self) -> Place {
        match (&self.output, &self.input) {
            (Some(place), _) => place.clone(),
            (None, Place::File(input)) => Place::File(input.with_extension("so")),
            (None, Place::Std) => Place::Std,
        }
    }

    /// The text of the policy file, if there is one.
    pub fn policy(&self) -> Result<Option<String>, Errors> {
        self.policy.as_deref().map(Policy::read).transpose()
    }

    /// The library's options, with the policy of this text and the labels added.
    pub fn options(&self, policy: Option<&str>) -> Result<Options, Errors> {
        let mut options = self.options.clone();
        options.policy = match (&self.policy, policy) {
            (None, None) if self.wasi => Policy::wasi(),
            (None, None) => Policy::default(),
            (Some(path), Some(text)) => Policy::parse(text, &path.display().to_string())?,
            // Without its policy a module is never compiled.
            (Some(_), None) | (None, Some(_)) => {
                return Err(Diagnostic::new(Class::Internal, "the policy was lost").into());
            }
        };
        if self.wasi && self.policy.is_some() {
            options.policy.allow_wasi();
        }
        for (name, value) in &self.labels {
            options.policy.set_label(name, value).map_err(|e| usage(format!("--label: {e}")))?;
        }
        Ok(options)
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// `--print limits`.
    Limits,
    /// `--print policy-schema`.
    PolicySchema,
    /// Everything else.
    Compile(Box<Job>),
}

fn usage(message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Class::Usage, message).help("lucetc --help lists the options")
}

/// The message format, for errors in the rest of the command line.
pub fn message_format(arguments: &[OsString]) -> Format {
    let json = |a: &OsString| a == "json";
    let mut last = false;
    for (i, a) in arguments.iter().enumerate().take_while(|(_, a)| *a != "--") {
        match a.to_str() {
            Some("--message-format") => last = arguments.get(i + 1).is_some_and(json),
            Some(s) => {
                if let Some(value) = s.strip_prefix("--message-format=") {
                    last = value == "json";
                }
            }
            None => {}
        }
    }
    if last { Format::Json } else { Format::Text }
}

/// Parses the command line.
pub fn parse(arguments: Vec<OsString>) -> Result<Command, Errors> {
    let mut job = Job {
        input: Place::Std,
        output: None,
        emit: Emit::So,
        format: Format::Text,
        in_process: false,
        options: Options::default(),
        policy: None,
        wasi: false,
        labels: Vec::new(),
        sign: None,
        password_file: None,
        symbol: None,
    };
    let mut inputs = Vec::new();
    let mut scanner = Scanner::new("", &OPTIONS, arguments);
    while let Some(item) = scanner.next()? {
        match item {
            Item::Input(input) => inputs.push(input),
            Item::Option("--help", _) => return Ok(Command::Help),
            Item::Option("--version", _) => return Ok(Command::Version),
            Item::Option("--print", value) => {
                return choice("--print", &value, "limits or policy-schema", |s| match s {
                    "limits" => Some(Command::Limits),
                    "policy-schema" => Some(Command::PolicySchema),
                    _ => None,
                });
            }
            Item::Option(name, value) => set(&mut job, name, value)?,
        }
    }
    let mut inputs = inputs.into_iter();
    let input = inputs.next().ok_or_else(|| usage("no input file"))?;
    if let Some(second) = inputs.next() {
        let m = format!("more than one input: {} and {}", show(&input), show(&second));
        return Err(usage(m).help("lucetc compiles one module at a time").into());
    }
    job.input = Place::new(input);
    if job.password_file.is_some() && job.sign.is_none() {
        return Err(usage("--password-file goes with --sign").into());
    }
    if job.sign.is_some() && job.emit.is_text() {
        let m = format!("text cannot be signed: --sign does not go with {}", job.emit.option());
        return Err(usage(m).into());
    }
    if job.symbol.is_some() && job.emit != Emit::Obj {
        return Err(usage("--symbol goes with --emit obj").into());
    }
    Ok(Command::Compile(Box::new(job)))
}

fn set(job: &mut Job, name: &str, value: OsString) -> Result<(), Errors> {
    match name {
        "--output" => {
            if value.is_empty() {
                return Err(usage("-o wants a file name").into());
            }
            job.output = Some(Place::new(value));
        }
        "--policy" => job.policy = Some(value.into()),
        "--wasi" => job.wasi = true,
        "--sign" => job.sign = Some(value),
        "--symbol" => {
            let wanted = "a name in C: letters, digits and _, at most 255";
            job.symbol = Some(choice(name, &value, wanted, |s| {
                let begins = s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
                let plain = s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                (begins && plain && s.len() <= MAX_SYMBOL).then(|| s.to_owned())
            })?);
        }
        "--password-file" => job.password_file = Some(value),
        "--fuel" => job.options.fuel = true,
        "--paranoid" => job.options.paranoid = true,
        "--in-process" => job.in_process = true,
        "--limit" => {
            let text = value.to_string_lossy();
            job.options.limits.set_text(&text).map_err(|e| {
                usage(format!("--limit: {e}")).help("lucetc --print limits lists the limits")
            })?;
        }
        "--opt-level" => {
            job.options.opt_level =
                choice("-O", &value, "0, 1, 2, s, none, speed or size", OptLevel::from_name)?;
        }
        "--target-cpu" => {
            job.options.cpu =
                choice(name, &value, "x86-64-v2, x86-64-v3 or native", cpu_from_name)?;
        }
        "--memory" => {
            job.options.memory = choice(name, &value, "guarded or compact", |s| match s {
                "guarded" => Some(MemoryShape::Guarded),
                "compact" => Some(MemoryShape::Compact),
                _ => None,
            })?;
        }
        "--emit" => {
            job.emit = choice(name, &value, "so, obj, clif or asm", |s| match s {
                "so" => Some(Emit::So),
                "obj" => Some(Emit::Obj),
                "clif" => Some(Emit::Clif),
                "asm" => Some(Emit::Asm),
                _ => None,
            })?;
        }
        "--message-format" => job.format = format(name, &value)?,
        "--jobs" => {
            job.options.threads = choice("-j", &value, "a number from 0 to 1024", |s| {
                s.parse().ok().filter(|n| *n <= MAX_JOBS)
            })?;
        }
        "--label" => {
            let label = value.to_str().and_then(|s| s.split_once('='));
            let Some((name, value)) = label.filter(|(name, _)| !name.is_empty()) else {
                let m = format!("--label wants NAME=VALUE, not {}", show(&value));
                return Err(usage(m).into());
            };
            job.labels.push((name.to_owned(), value.to_owned()));
        }
        _ => return Err(usage(format!("unknown option {name}")).into()),
    }
    Ok(())
}

fn choice<T>(
    option: &str,
    value: &OsStr,
    wanted: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, Errors> {
    value
        .to_str()
        .and_then(parse)
        .ok_or_else(|| usage(format!("{option} wants {wanted}, not {}", show(value))).into())
}

/// The value of `--message-format`.
pub fn format(option: &str, value: &OsStr) -> Result<Format, Errors> {
    choice(option, value, "text or json", |s| match s {
        "text" => Some(Format::Text),
        "json" => Some(Format::Json),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(line: &str) -> Job {
        match parse(line.split_whitespace().map(Into::into).collect()) {
            Ok(Command::Compile(job)) => *job,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn spellings() {
        for line in ["-O0 -j4 -o x.so a.wasm", "a.wasm -O=0 --jobs 4 --output=x.so"] {
            let j = job(line);
            assert_eq!(j.input, Place::File("a.wasm".into()));
            assert_eq!(j.output, Some(Place::File("x.so".into())));
            assert_eq!((j.options.opt_level, j.options.threads), (OptLevel::None, 4));
        }
        let j =
            job("--emit clif --memory=compact --target-cpu x86-64-v3 --fuel --paranoid -o - -- -x");
        assert_eq!(j.input, Place::File("-x".into()));
        assert_eq!((j.output, j.emit), (Some(Place::Std), Emit::Clif));
        assert_eq!(j.options.memory, MemoryShape::Compact);
        assert!(j.options.paranoid && j.options.fuel);
        assert_eq!(job("-").input, Place::Std);
        assert!(matches!(parse(vec!["a".into(), "-h".into()]), Ok(Command::Help)));
        assert!(matches!(parse(vec!["--version".into()]), Ok(Command::Version)));
    }

    #[test]
    fn symbols_follow_the_output() {
        for (line, symbol) in [
            ("--emit obj a/b.wasm", "lucet_artifact_b"),
            ("--emit obj b.wasm -o out/my-plugin.2.o", "lucet_artifact_my_plugin_2"),
            ("--emit obj -o - b.wasm", "lucet_artifact_b"),
            ("--emit obj -o - -", "lucet_artifact_module"),
            ("--emit obj b.wasm --symbol mine", "mine"),
        ] {
            assert_eq!(job(line).symbol(), symbol, "{line}");
        }
    }

    #[test]
    fn labels_are_added_last_wins() {
        let o = job("--label a=1 --label b=x=y --label a= m").options(None).unwrap();
        assert_eq!(o.policy.labels, [("a".into(), "".into()), ("b".into(), "x=y".into())]);
    }

    #[test]
    fn mistakes_are_explained() {
        for (line, part) in [
            ("", "no input file"),
            ("a b", "more than one input: `a` and `b`"),
            ("a -O 7", "-O wants 0, 1, 2, s, none, speed or size, not `7`"),
            ("a -o", "a value is missing after `-o`"),
            ("a --paranoid=yes", "--paranoid does not take a value"),
            ("a --emit elf", "--emit wants so, obj, clif or asm, not `elf`"),
            ("a --limit x", "--limit: wants NAME=VALUE, not `x`"),
            ("a --limit x=1", "--limit: there is no limit `x`; there are module-size, functions"),
            (
                "a --limit locals=1T",
                "--limit: locals wants a number, also with K, M or G, not `1T`",
            ),
            ("a --limit locals=1G", "--limit: locals can be at most 50000, not 1G"),
            ("a --print limit", "--print wants limits or policy-schema, not `limit`"),
            ("a --label x", "--label wants NAME=VALUE, not `x`"),
            ("a --sign k --emit asm", "--sign does not go with --emit asm"),
            ("a --emit so --symbol x", "--symbol goes with --emit obj"),
            ("a --emit obj --symbol 1x", "--symbol wants a name in C"),
            ("a --emit obj --symbol x-y", "letters, digits and _, at most 255, not `x-y`"),
            ("a --password-file p", "--password-file goes with --sign"),
            ("a -j many", "-j wants a number"),
            ("a --polciy p", "did you mean --policy?"),
            ("a --target-cpus native", "did you mean --target-cpu?"),
            ("a --out x", "did you mean --output?"),
            ("a --quite-something-else", "unknown option `--quite-something-else`"),
            ("a -x", "unknown option `-x`"),
        ] {
            let errors = parse(line.split_whitespace().map(Into::into).collect()).unwrap_err();
            assert_eq!(errors.class(), Class::Usage);
            assert!(errors.to_string().contains(part), "{line}: {errors}");
            assert!(errors.to_string().contains("lucetc --") || line == "a b", "{line}: {errors}");
        }
    }

    #[test]
    fn every_option_is_in_the_help() {
        for (short, long, _) in OPTIONS {
            let spelled = super::super::help::HELP;
            assert!(spelled.contains(if long == "--opt-level" { short } else { long }), "{long}");
        }
    }
}
