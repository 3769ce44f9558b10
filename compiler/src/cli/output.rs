//! Writes the result so that the file is either complete or untouched.
//!
//! The bytes go to a new file beside the output, which is then renamed over it. Two cases are
//! different: what exists and is no ordinary file (`/dev/null`, a pipe) is written to directly,
//! and through a symbolic link its target is replaced, not the link.

use super::args::{Job, Place};
use lucetc::{Class, Diagnostic, Errors};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Where the result goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Written in place: a device or a pipe.
    Special(PathBuf),
    /// Replaced as a whole.
    File(PathBuf),
}

fn usage(message: String, help: &str) -> Errors {
    Diagnostic::new(Class::Usage, message).help(help).into()
}

impl Target {
    /// Decides where to write, and refuses what cannot work before anything is compiled.
    pub fn prepare(job: &Job) -> Result<Self, Errors> {
        let path = match (&job.output, &job.input) {
            (Some(Place::Std), _) => {
                if !job.emit.is_text() && io::stdout().is_terminal() {
                    let m = "the output is binary and standard output is a terminal".to_owned();
                    return Err(usage(m, "name a file with -o, or use a pipe"));
                }
                return Ok(Self::Stdout);
            }
            (Some(Place::File(path)), _) => path.clone(),
            (None, Place::Std) => {
                let m = "the input is standard input, so the output needs a name".to_owned();
                return Err(usage(m, "add -o FILE, or -o - for standard output"));
            }
            (None, Place::File(input)) => input.with_extension(job.emit.extension()),
        };
        let shown = path.display();
        // A link that leads nowhere is replaced like a file.
        let path = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        let Ok(found) = fs::metadata(&path) else {
            let directory = path.parent().filter(|d| !d.as_os_str().is_empty());
            if let Some(d) = directory.filter(|d| !d.is_dir()) {
                let m = format!("cannot write {shown}: there is no directory {}", d.display());
                return Err(usage(m, "create it, or name another file with -o"));
            }
            return Ok(Self::File(path));
        };
        if found.is_dir() {
            return Err(usage(format!("{shown} is a directory"), "name a file with -o"));
        }
        if let Place::File(input) = &job.input
            && fs::metadata(input).is_ok_and(|i| (i.dev(), i.ino()) == (found.dev(), found.ino()))
            && found.is_file()
        {
            let m = format!("the output {shown} is the input");
            return Err(usage(m, "lucetc never overwrites its input; name another file with -o"));
        }
        Ok(if found.is_file() { Self::File(path) } else { Self::Special(path) })
    }

    /// Removes what process `id` did not come to finish.
    pub fn remove_temporary(&self, id: u32) {
        if let Self::File(path) = self {
            for n in 0..MAX_ATTEMPTS {
                // Most often there is nothing.
                let _ = fs::remove_file(beside(path, id, n));
            }
        }
    }

    /// Writes the bytes.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Errors> {
        let (result, name) = match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                (out.write_all(bytes).and_then(|()| out.flush()), "standard output".to_owned())
            }
            Self::Special(path) => (
                OpenOptions::new().write(true).open(path).and_then(|mut f| f.write_all(bytes)),
                path.display().to_string(),
            ),
            Self::File(path) => (replace(path, bytes), path.display().to_string()),
        };
        result.map_err(|e| {
            let help = match e.kind() {
                io::ErrorKind::StorageFull => "free some space",
                _ => "name another file with -o",
            };
            usage(format!("cannot write {name}: {e}"), help)
        })
    }
}

/// A file that is removed unless it got its final name.
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Nothing better can be done if this fails too.
            let _ = fs::remove_file(path);
        }
    }
}

/// Writes something to a place, whatever it is.
pub fn write(place: &Place, bytes: &[u8]) -> Result<(), Errors> {
    let target = match place {
        Place::Std => Target::Stdout,
        Place::File(path) => {
            let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            let special = fs::metadata(&path).is_ok_and(|m| !m.is_file());
            if special { Target::Special(path) } else { Target::File(path) }
        }
    };
    target.write(bytes)
}

/// Replaces the contents of a file that exists, as one step: it keeps its mode and, if that is
/// possible, its owner, and readers see the old or the new.
pub fn rewrite(path: &Path, bytes: &[u8]) -> Result<(), Errors> {
    let again = || {
        let path = fs::canonicalize(path)?;
        let found = fs::metadata(&path)?;
        if !found.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        // It may hold secrets that its mode protects, until it has that mode.
        let (file, temporary) = create_beside(&path, 0o600)?;
        // Only root may give files away; a file of one's own needs no change.
        let _ = fchown(&file, Some(found.uid()), Some(found.gid()));
        file.set_permissions(fs::Permissions::from_mode(found.mode() & 0o777))?;
        finish(file, temporary, &path, bytes)
    };
    again().map_err(|e| {
        let m = format!("cannot replace {}: {e}", path.display());
        usage(m, "it must be a file in a directory that can be written to")
    })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (file, temporary) = create_beside(path, 0o666)?;
    finish(file, temporary, path, bytes)
}

fn finish(mut file: File, mut temporary: Temporary, to: &Path, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    // A rename may reach the disk before the contents do; after a crash the file would be empty.
    file.sync_all()?;
    if let Some(from) = &temporary.0 {
        fs::rename(from, to)?;
    }
    temporary.0 = None;
    Ok(())
}

/// Names that are tried for a new file.
const MAX_ATTEMPTS: u32 = 100;

/// The name of a new file of process `id` beside another.
fn beside(path: &Path, id: u32, n: u32) -> PathBuf {
    let mut name = OsString::from(".");
    // Long names would become too long.
    name.push(path.file_name().filter(|n| n.len() < 200).unwrap_or_default());
    name.push(format!(".{id}.{n}.tmp"));
    path.with_file_name(name)
}

/// Creates a file of a new name in the output's directory; the umask takes from its mode.
fn create_beside(path: &Path, mode: u32) -> io::Result<(File, Temporary)> {
    let mut last = io::Error::from(io::ErrorKind::InvalidInput);
    for n in 0..MAX_ATTEMPTS {
        let temporary = beside(path, std::process::id(), n);
        match OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary) {
            Ok(file) => return Ok((file, Temporary(Some(temporary)))),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => last = e,
            Err(e) => return Err(e),
        }
    }
    Err(last)
}
