//! A file in memory that nobody can change any more, and a read-only view of it.
//!
//! The loader copies an artifact into one of these before it looks at the first byte. From then on
//! neither another process that writes or truncates the original, nor a bug in this one, can make
//! what runs differ from what was checked; reading the view can never raise SIGBUS. Executable
//! pages are mapped from the same file, which works where writable memory may not become
//! executable (systemd's `MemoryDenyWriteExecute`, `PR_SET_MDWE`).

use super::map::Mapping;
use super::{errno_error, io_error};
use crate::error::{Error, Result, Status};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::ffi::CStr;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::Arc;

/// Bytes copied at a time.
const CHUNK: usize = 64 * 1024;

/// A sealed memfd and a mapping of all of it.
#[derive(Debug)]
pub struct SealedFile {
    file: File,
    map: Mapping,
}

impl SealedFile {
    /// A sealed copy of `bytes`, which must not be empty.
    ///
    /// # Errors
    /// [`Status::OutOfMemory`] or [`Status::Io`] when the system refuses memfd, memory or mapping.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut file = memfd(c"lucet-artifact")?;
        file.write_all(bytes).map_err(|e| io_error("copying the artifact", &e))?;
        Self::seal(file, bytes.len())
    }

    /// A sealed copy of the first `len` bytes of `source`, which must be all of it.
    ///
    /// # Errors
    /// [`Status::Io`] when the file became shorter or longer meanwhile or cannot be read; else as
    /// [`Self::from_bytes`].
    pub fn from_file(source: &File, len: usize) -> Result<Self> {
        let changed = || {
            let message = "the file changed while it was being read; to replace an artifact, write \
                           a new file and rename it";
            Error::new(Status::Io, message)
        };
        let mut file = memfd(c"lucet-artifact")?;
        let mut buffer = vec![0; CHUNK];
        let mut at = 0;
        while at < len {
            let want = buffer.get_mut(..CHUNK.min(len - at)).unwrap_or_default();
            let n = read_at(source, want, at as u64)?;
            if n == 0 {
                return Err(changed());
            }
            let got = want.get(..n).unwrap_or_default();
            file.write_all(got).map_err(|e| io_error("copying the artifact", &e))?;
            at += n;
        }
        if read_at(source, &mut [0], len as u64)? != 0 {
            return Err(changed());
        }
        Self::seal(file, len)
    }

    /// Seals a file made by [`memfd`], of which `len` bytes, at least one, are used.
    ///
    /// # Errors
    /// [`Status::Io`] if it does not have as many, or somebody can write to it through a mapping.
    pub fn from_memfd(file: File, len: usize) -> Result<Self> {
        let sealed = Self::seal(file, len)?;
        let has = sealed.file.metadata().map_err(|e| io_error("looking at the file", &e))?.len();
        if has < len as u64 {
            let message = format!("a file of {has} bytes where {len} were expected");
            return Err(Error::new(Status::Io, message));
        }
        Ok(sealed)
    }

    fn seal(file: File, len: usize) -> Result<Self> {
        let seals = SealFlag::F_SEAL_WRITE
            | SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))
            .map_err(|e| errno_error("sealing the copy of the artifact", e))?;
        let map = Mapping::read_only(file.as_fd(), len)?;
        Ok(Self { file, map })
    }

    /// All bytes of the file.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the mapping covers exactly the file, is readable, and lives as long as `self`;
        // the seals guarantee that no byte changes and that the file does not shrink.
        unsafe { std::slice::from_raw_parts(self.map.base().as_ptr().cast::<u8>(), self.map.len()) }
    }

    /// The file, for mapping parts of it.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Part of a sealed file, at hand without a look at the file.
#[derive(Debug)]
pub struct SealedSlice {
    base: NonNull<u8>,
    len: usize,
    /// Keeps them there.
    _file: Arc<SealedFile>,
}

// SAFETY: the bytes are only read, and never change.
unsafe impl Send for SealedSlice {}
// SAFETY: as above.
unsafe impl Sync for SealedSlice {}

impl SealedSlice {
    /// The bytes of `range`; none if they do not lie in the file.
    #[must_use]
    pub fn new(file: &Arc<SealedFile>, range: Range<usize>) -> Self {
        let bytes = file.as_slice().get(range).unwrap_or_default();
        Self { base: NonNull::from_ref(bytes).cast(), len: bytes.len(), _file: Arc::clone(file) }
    }

    /// The bytes.
    #[inline(always)]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: a part of what `SealedFile::as_slice` gave for `file`, which lives as long as
        // `self`.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

/// `read` at an offset that tries again when a signal interrupts it.
pub fn read_at(file: &File, buffer: &mut [u8], at: u64) -> Result<usize> {
    loop {
        match file.read_at(buffer, at) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other.map_err(|e| io_error("reading the file", &e)),
        }
    }
}

/// An empty memfd that can be sealed and whose pages may be executed.
///
/// # Errors
/// [`Status::OutOfMemory`] or [`Status::Io`] when the system refuses.
pub fn memfd(name: &CStr) -> Result<File> {
    let base = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // MFD_EXEC says so explicitly and silences the kernel's warning. Kernels before 6.3 do not
    // know it (EINVAL); under vm.memfd_noexec=2 it is refused (EACCES), which concerns execve only.
    let exec = base | MFdFlags::from_bits_retain(libc::MFD_EXEC);
    let fd = match memfd_create(name, exec) {
        Err(Errno::EINVAL | Errno::EACCES) => memfd_create(name, base),
        other => other,
    };
    Ok(File::from(fd.map_err(|e| errno_error("creating a memfd", e))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_cannot_be_changed() {
        let sealed = SealedFile::from_bytes(b"hello").unwrap();
        assert_eq!(sealed.as_slice(), b"hello");
        assert!(sealed.file.write_at(b"x", 0).is_err());
        assert!(sealed.file.set_len(1).is_err());
        assert!(sealed.file.set_len(10).is_err());
        assert!(fcntl(&sealed.file, FcntlArg::F_ADD_SEALS(SealFlag::empty())).is_err());
    }

    #[test]
    fn files_that_changed_are_noticed() {
        let path = std::env::temp_dir().join(format!("lucet-sealed-{}", std::process::id()));
        std::fs::write(&path, vec![7; 3 * CHUNK / 2]).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let all = SealedFile::from_file(&file, 3 * CHUNK / 2).unwrap();
        assert!(all.as_slice().iter().all(|b| *b == 7));
        for wrong in [CHUNK, 3 * CHUNK / 2 - 1, 3 * CHUNK / 2 + 1, 2 * CHUNK] {
            let e = SealedFile::from_file(&file, wrong).unwrap_err();
            assert!(e.message().contains("changed"), "{e}");
        }
    }
}
