//! Everything that a guest can size has a limit, and this is the list of them.

/// What one context may use. [`Default`] gives the values named here; `docs/design/wasi.md` says
/// what a call answers when one is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Descriptors open at a time, preopened ones included (128).
    pub descriptors: u32,
    /// Buffers of one scattered read or write (1024).
    pub iovecs: u32,
    /// Bytes that one call transfers at most; it then reports a short count (16 MiB).
    pub transfer_bytes: u32,
    /// Bytes of one `random_get` (1 MiB).
    pub random_bytes: u32,
    /// Subscriptions of one `poll_oneoff` (1024).
    pub subscriptions: u32,
    /// The buffer of one `fd_readdir` (1 MiB).
    pub readdir_bytes: u32,
    /// Bytes of a path (4095, which is also the kernel's limit).
    pub path_bytes: u32,
    /// The size that a file may be given by writing, truncating or allocating (4 GiB).
    pub file_bytes: u64,
    /// Bytes written to or allocated in files over a context's life (64 GiB).
    pub written_bytes: u64,
    /// Bytes accepted by each of stdout and stderr while they are discarded, captured or handed to
    /// a callback (16 MiB).
    pub output_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            descriptors: 128,
            iovecs: 1024,
            transfer_bytes: 16 << 20,
            random_bytes: 1 << 20,
            subscriptions: 1024,
            readdir_bytes: 1 << 20,
            path_bytes: 4095,
            file_bytes: 4 << 30,
            written_bytes: 64 << 30,
            output_bytes: 16 << 20,
        }
    }
}

/// Symbolic links followed in one path: as many as the kernel follows.
pub const LINKS: u32 = 40;

/// How deep below a preopened directory a path may go where the kernel does not resolve it for us:
/// each level holds a descriptor while the path is walked.
pub const WALK_DEPTH: usize = 128;

/// Arguments and environment together, in bytes; and how many of each.
pub const STRINGS_BYTES: usize = 16 << 20;
/// How many arguments, and how many variables.
pub const STRINGS: usize = 65_536;
