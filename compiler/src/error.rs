//! What can be wrong with an input: one diagnostic per problem, with class, place and help.

use std::fmt;

/// What kind of problem a diagnostic reports. The classes are never confused: a test compares them
/// with the official suite's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The bytes are not a wasm module (core spec, chapter 5), or the text does not parse.
    Malformed,
    /// The module does not validate (core spec, chapter 3).
    Invalid,
    /// The module is valid WebAssembly of a version or proposal that lucetc does not compile.
    Unsupported,
    /// The policy does not allow what the module asks for.
    Policy,
    /// A limit of the compiler or of the artifact format is exceeded.
    Limit,
    /// Nobody that is trusted signed the artifact.
    Untrusted,
    /// The file could not be read or written, or the command line or policy file is wrong.
    Usage,
    /// A bug in lucetc: code generation failed or panicked.
    Internal,
}

impl Class {
    /// The word in messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::Policy => "policy",
            Self::Limit => "limit",
            Self::Untrusted => "untrusted",
            Self::Usage => "usage",
            Self::Internal => "internal",
        }
    }
}

impl Class {
    /// What to do about problems of this class that have no help of their own.
    #[must_use]
    pub fn help(self) -> Option<&'static str> {
        Some(match self {
            Self::Malformed => "the file is damaged or cut off; build or copy it again",
            Self::Invalid => {
                "the module breaks a rule of WebAssembly; report it to the compiler that made it"
            }
            Self::Limit => {
                "split the module, or look up the limit in docs/design/compile-limits.md"
            }
            Self::Internal => "this is a bug in lucetc: please report it with the module",
            Self::Unsupported | Self::Policy | Self::Untrusted | Self::Usage => return None,
        })
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its class.
    pub class: Class,
    /// What is wrong.
    pub message: String,
    /// Offset in the wasm file, if there is a place.
    pub offset: Option<u64>,
    /// Function index and name, if it is inside one.
    pub function: Option<(u32, String)>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A diagnostic without a place.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), offset: None, function: None, help: None }
    }

    /// Adds the offset in the wasm file.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Adds the function.
    #[must_use]
    pub fn in_function(mut self, index: u32, name: impl Into<String>) -> Self {
        self.function = Some((index, name.into()));
        self
    }

    /// Its own help, or that of its class.
    #[must_use]
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref().or(self.class.help())
    }

    /// Adds help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    /// `error[policy]: import env.exec is not allowed (function 3 "main", offset 0x4f)` and a
    /// `help:` line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.class.word(), self.message)?;
        match (&self.function, self.offset) {
            (Some((i, n)), Some(o)) => write!(f, " (function {i} \"{n}\", offset {o:#x})")?,
            (Some((i, n)), None) => write!(f, " (function {i} \"{n}\")")?,
            (None, Some(o)) => write!(f, " (offset {o:#x})")?,
            (None, None) => {}
        }
        if let Some(h) = self.help_text() {
            write!(f, "\n  help: {h}")?;
        }
        Ok(())
    }
}

/// One or more problems; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(pub Vec<Diagnostic>);

impl Errors {
    /// The class of the first problem, which decides the exit code.
    #[must_use]
    pub fn class(&self) -> Class {
        self.0.first().map_or(Class::Internal, |d| d.class)
    }
}

impl From<Diagnostic> for Errors {
    fn from(d: Diagnostic) -> Self {
        Self(vec![d])
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{d}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
