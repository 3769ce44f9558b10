//! The command `lucetc` as its users see it: files, exit codes, messages.

mod commands;
mod compile;
mod errors;
mod inspect;
mod minisign;
mod processes;
mod signing;
mod wasi;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory of its own for a test, empty at the start.
pub struct Dir(PathBuf);

/// What a run of the command gave.
#[derive(Debug)]
pub struct Run {
    /// Exit code, -1 for a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, as text.
    pub stderr: String,
}

impl Dir {
    /// Creates or empties it.
    pub fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli").join(test);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), bytes).unwrap();
        self
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Names of the files in it, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// Runs the command in it, with arguments separated by white space.
    pub fn run(&self, line: &str) -> Run {
        self.run_with(line, b"")
    }

    /// The same with something on standard input.
    pub fn run_with(&self, line: &str, stdin: &[u8]) -> Run {
        self.start(Command::new(env!("CARGO_BIN_EXE_lucetc")).args(line.split_whitespace()), stdin)
    }

    /// Runs another program in it.
    pub fn tool(&self, name: &str, arguments: &[&str], stdin: &[u8]) -> Run {
        self.start(Command::new(name).args(arguments), stdin)
    }

    fn start(&self, command: &mut Command, stdin: &[u8]) -> Run {
        let name = command.get_program().to_owned();
        let missing = |e| panic!("{name:?}: {e}; make deps installs what is missing");
        let mut child = command
            .current_dir(&self.0)
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(missing);
        // A run that does not read its input closes the pipe: not this test's business.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        let out = child.wait_with_output().unwrap();
        let code = out.status.code().unwrap_or(-1);
        Run { code, stdout: out.stdout, stderr: String::from_utf8(out.stderr).unwrap() }
    }
}

impl Run {
    /// Checks the exit code and that the messages contain something.
    #[track_caller]
    pub fn fails(&self, code: i32, part: &str) -> &Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.stderr.contains(part), "`{part}` is not in:\n{}", self.stderr);
        self
    }

    /// Checks that it went well without a word.
    #[track_caller]
    pub fn succeeds(&self) -> &Self {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""));
        self
    }
}
