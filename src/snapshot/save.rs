//! A module as a file: whole, or not at all.

use crate::error::{Error, Result, Status};
use crate::module::Module;
use crate::sys::io_error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Tries to find a name for the temporary file that nobody has.
const ATTEMPTS: u32 = 100;

impl Module {
    /// Writes the module as an artifact that [`Module::load_file`] accepts. A snapshot names its
    /// parent's hash and is not signed; any other module is written as it was loaded.
    ///
    /// The file appears under its name when it is complete and on the disk; one of that name is
    /// replaced. It can be read and written by its owner only: it holds what the guest's memory
    /// held.
    ///
    /// # Errors
    /// `Io` or `OutOfMemory` with what could not be done; `LimitExceeded` if it does not fit an
    /// artifact. Nothing is left behind then.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes = self.loaded.to_artifact()?;
        write_whole(path, &bytes).map_err(|e| e.context(path.display()))
    }

    /// Writes the same to an open file, from its position on. What was written stays there if the
    /// call fails.
    ///
    /// # Errors
    /// As [`Module::save`].
    pub fn save_to(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let bytes = self.loaded.to_artifact()?;
        let fd = fd.try_clone_to_owned().map_err(|e| io_error("duplicating the file", &e))?;
        File::from(fd).write_all(&bytes).map_err(|e| io_error("writing the artifact", &e))
    }
}

/// A file that is removed unless it got its name.
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = match path.parent() {
        Some(p) if p.as_os_str().is_empty() => Path::new("."),
        Some(p) => p,
        None => return Err(Error::new(Status::InvalidArgument, "not the name of a file")),
    };
    let (mut file, mut temporary) = create(directory)?;
    file.write_all(bytes).map_err(|e| io_error("writing", &e))?;
    file.sync_all().map_err(|e| io_error("writing to the disk", &e))?;
    drop(file);
    if let Some(from) = &temporary.0 {
        std::fs::rename(from, path).map_err(|e| io_error("giving the file its name", &e))?;
    }
    temporary.0 = None;
    // The name is there; that it is on the disk, too, some file systems cannot be asked for.
    if let Ok(d) = File::open(directory) {
        let _ = d.sync_all();
    }
    Ok(())
}

/// A new file beside the one that is meant: on the same file system, so that it can be renamed.
fn create(directory: &Path) -> Result<(File, Temporary)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!(".lucet-{}-{n}.tmp", std::process::id()));
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        match opened {
            Ok(file) => return Ok((file, Temporary(Some(path)))),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => last = Some(e),
            Err(e) => return Err(io_error(format!("creating {}", path.display()), &e)),
        }
    }
    let e = last.unwrap_or_else(|| std::io::ErrorKind::AlreadyExists.into());
    Err(io_error("creating a temporary file", &e))
}
