//! The vocabulary of `wasi_snapshot_preview1`: error numbers, rights, flags, and where the fields
//! of its structures lie. Numbers are those of the official witx, which `tests/witx.rs` compares.

macro_rules! errnos {
    ($($name:ident = $value:literal,)*) => {
        /// What a call answers to the guest. `Success` is the only one that is not an error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        #[allow(missing_docs)]
        pub enum Errno { $($name = $value,)* }

        impl Errno {
            /// Every error number with its name, in order.
            pub const ALL: &'static [(Errno, &'static str)] =
                &[$((Errno::$name, stringify!($name)),)*];
        }
    };
}

errnos! {
    Success = 0, TooBig = 1, Acces = 2, Addrinuse = 3, Addrnotavail = 4, Afnosupport = 5,
    Again = 6, Already = 7, Badf = 8, Badmsg = 9, Busy = 10, Canceled = 11, Child = 12,
    Connaborted = 13, Connrefused = 14, Connreset = 15, Deadlk = 16, Destaddrreq = 17, Dom = 18,
    Dquot = 19, Exist = 20, Fault = 21, Fbig = 22, Hostunreach = 23, Idrm = 24, Ilseq = 25,
    Inprogress = 26, Intr = 27, Inval = 28, Io = 29, Isconn = 30, Isdir = 31, Loop = 32,
    Mfile = 33, Mlink = 34, Msgsize = 35, Multihop = 36, Nametoolong = 37, Netdown = 38,
    Netreset = 39, Netunreach = 40, Nfile = 41, Nobufs = 42, Nodev = 43, Noent = 44, Noexec = 45,
    Nolck = 46, Nolink = 47, Nomem = 48, Nomsg = 49, Noprotoopt = 50, Nospc = 51, Nosys = 52,
    Notconn = 53, Notdir = 54, Notempty = 55, Notrecoverable = 56, Notsock = 57, Notsup = 58,
    Notty = 59, Nxio = 60, Overflow = 61, Ownerdead = 62, Perm = 63, Pipe = 64, Proto = 65,
    Protonosupport = 66, Prototype = 67, Range = 68, Rofs = 69, Spipe = 70, Srch = 71, Stale = 72,
    Timedout = 73, Txtbsy = 74, Xdev = 75, Notcapable = 76,
}

impl Errno {
    /// The number that the guest sees.
    pub const fn raw(self) -> u16 {
        self as u16
    }
}

macro_rules! host_errnos {
    ($($host:ident => $guest:ident,)*) => {
        impl From<rustix::io::Errno> for Errno {
            fn from(host: rustix::io::Errno) -> Errno {
                use rustix::io::Errno as Host;
                match host {
                    $(Host::$host => Errno::$guest,)*
                    // What preview 1 has no number for.
                    _ => Errno::Io,
                }
            }
        }
    };
}

host_errnos! {
    TOOBIG => TooBig, ACCESS => Acces, ADDRINUSE => Addrinuse, ADDRNOTAVAIL => Addrnotavail,
    AFNOSUPPORT => Afnosupport, AGAIN => Again, ALREADY => Already, BADF => Badf, BUSY => Busy,
    CANCELED => Canceled, CONNABORTED => Connaborted, CONNREFUSED => Connrefused,
    CONNRESET => Connreset, DEADLK => Deadlk, DESTADDRREQ => Destaddrreq, DQUOT => Dquot,
    EXIST => Exist, FAULT => Fault, FBIG => Fbig, HOSTUNREACH => Hostunreach, ILSEQ => Ilseq,
    INPROGRESS => Inprogress, INTR => Intr, INVAL => Inval, ISCONN => Isconn, ISDIR => Isdir,
    LOOP => Loop, MFILE => Mfile, MLINK => Mlink, MSGSIZE => Msgsize,
    NAMETOOLONG => Nametoolong, NETDOWN => Netdown, NETRESET => Netreset,
    NETUNREACH => Netunreach, NFILE => Nfile, NOBUFS => Nobufs, NODEV => Nodev, NOENT => Noent,
    NOLCK => Nolck, NOMEM => Nomem, NOSPC => Nospc, NOSYS => Nosys, NOTCONN => Notconn,
    NOTDIR => Notdir, NOTEMPTY => Notempty, NOTSOCK => Notsock, OPNOTSUPP => Notsup,
    NOTTY => Notty, NXIO => Nxio, OVERFLOW => Overflow, PERM => Perm, PIPE => Pipe,
    PROTO => Proto, RANGE => Range, ROFS => Rofs, SPIPE => Spipe, STALE => Stale,
    TIMEDOUT => Timedout, TXTBSY => Txtbsy, XDEV => Xdev,
}

/// A set of rights: what may be done with a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rights(pub u64);

macro_rules! rights {
    ($($name:ident = $bit:literal,)*) => {
        #[allow(missing_docs)]
        impl Rights {
            $(pub const $name: Rights = Rights(1 << $bit);)*
            /// Every right with its name, in order.
            pub const ALL: &'static [(Rights, &'static str)] =
                &[$((Rights::$name, stringify!($name)),)*];
        }
    };
}

rights! {
    FD_DATASYNC = 0, FD_READ = 1, FD_SEEK = 2, FD_FDSTAT_SET_FLAGS = 3, FD_SYNC = 4, FD_TELL = 5,
    FD_WRITE = 6, FD_ADVISE = 7, FD_ALLOCATE = 8, PATH_CREATE_DIRECTORY = 9,
    PATH_CREATE_FILE = 10, PATH_LINK_SOURCE = 11, PATH_LINK_TARGET = 12, PATH_OPEN = 13,
    FD_READDIR = 14, PATH_READLINK = 15, PATH_RENAME_SOURCE = 16, PATH_RENAME_TARGET = 17,
    PATH_FILESTAT_GET = 18, PATH_FILESTAT_SET_SIZE = 19, PATH_FILESTAT_SET_TIMES = 20,
    FD_FILESTAT_GET = 21, FD_FILESTAT_SET_SIZE = 22, FD_FILESTAT_SET_TIMES = 23,
    PATH_SYMLINK = 24, PATH_REMOVE_DIRECTORY = 25, PATH_UNLINK_FILE = 26,
    POLL_FD_READWRITE = 27, SOCK_SHUTDOWN = 28, SOCK_ACCEPT = 29,
}

impl Rights {
    /// Nothing.
    pub const NONE: Rights = Rights(0);
    /// Everything that has a number.
    pub const EVERY: Rights = Rights((1 << 30) - 1);
    /// What concerns an open file.
    pub const FILE: Rights = Rights::FD_DATASYNC
        .and(Rights::FD_READ)
        .and(Rights::FD_SEEK)
        .and(Rights::FD_FDSTAT_SET_FLAGS)
        .and(Rights::FD_SYNC)
        .and(Rights::FD_TELL)
        .and(Rights::FD_WRITE)
        .and(Rights::FD_ADVISE)
        .and(Rights::FD_ALLOCATE)
        .and(Rights::FD_FILESTAT_GET)
        .and(Rights::FD_FILESTAT_SET_SIZE)
        .and(Rights::FD_FILESTAT_SET_TIMES)
        .and(Rights::POLL_FD_READWRITE);
    /// What concerns an open directory.
    pub const DIRECTORY: Rights = Rights::FD_FDSTAT_SET_FLAGS
        .and(Rights::FD_SYNC)
        .and(Rights::FD_ADVISE)
        .and(Rights::PATH_CREATE_DIRECTORY)
        .and(Rights::PATH_CREATE_FILE)
        .and(Rights::PATH_LINK_SOURCE)
        .and(Rights::PATH_LINK_TARGET)
        .and(Rights::PATH_OPEN)
        .and(Rights::FD_READDIR)
        .and(Rights::PATH_READLINK)
        .and(Rights::PATH_RENAME_SOURCE)
        .and(Rights::PATH_RENAME_TARGET)
        .and(Rights::PATH_FILESTAT_GET)
        .and(Rights::PATH_FILESTAT_SET_SIZE)
        .and(Rights::PATH_FILESTAT_SET_TIMES)
        .and(Rights::FD_FILESTAT_GET)
        .and(Rights::FD_FILESTAT_SET_TIMES)
        .and(Rights::PATH_SYMLINK)
        .and(Rights::PATH_REMOVE_DIRECTORY)
        .and(Rights::PATH_UNLINK_FILE);
    /// What changes nothing on the host's disk. A hard link or a rename changes a directory, and
    /// could carry a file to where more is allowed.
    pub const READ_ONLY: Rights = Rights::FD_READ
        .and(Rights::FD_SEEK)
        .and(Rights::FD_FDSTAT_SET_FLAGS)
        .and(Rights::FD_TELL)
        .and(Rights::FD_ADVISE)
        .and(Rights::PATH_OPEN)
        .and(Rights::FD_READDIR)
        .and(Rights::PATH_READLINK)
        .and(Rights::PATH_FILESTAT_GET)
        .and(Rights::FD_FILESTAT_GET)
        .and(Rights::POLL_FD_READWRITE);
    /// A stream without a position: a terminal, a pipe, a buffer of the embedder's.
    pub const STREAM: Rights = Rights::FD_READ
        .and(Rights::FD_WRITE)
        .and(Rights::FD_FDSTAT_SET_FLAGS)
        .and(Rights::FD_FILESTAT_GET)
        .and(Rights::POLL_FD_READWRITE);
    /// A connected socket.
    pub const CONNECTION: Rights = Rights::STREAM.and(Rights::SOCK_SHUTDOWN);
    /// A socket that listens.
    pub const LISTENER: Rights = Rights::SOCK_ACCEPT
        .and(Rights::FD_FDSTAT_SET_FLAGS)
        .and(Rights::FD_FILESTAT_GET)
        .and(Rights::POLL_FD_READWRITE);

    /// Both sets together.
    pub const fn and(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }

    /// What is in both sets.
    pub const fn within(self, other: Rights) -> Rights {
        Rights(self.0 & other.0)
    }

    /// This set without what is in the other.
    pub const fn without(self, other: Rights) -> Rights {
        Rights(self.0 & !other.0)
    }

    /// Whether everything in `other` is in this set.
    pub const fn has(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Values of small enumerations and flag sets, named as in the witx.
#[allow(missing_docs)]
pub mod value {
    pub const FILETYPE_UNKNOWN: u8 = 0;
    pub const FILETYPE_BLOCK_DEVICE: u8 = 1;
    pub const FILETYPE_CHARACTER_DEVICE: u8 = 2;
    pub const FILETYPE_DIRECTORY: u8 = 3;
    pub const FILETYPE_REGULAR_FILE: u8 = 4;
    pub const FILETYPE_SOCKET_DGRAM: u8 = 5;
    pub const FILETYPE_SOCKET_STREAM: u8 = 6;
    pub const FILETYPE_SYMBOLIC_LINK: u8 = 7;

    pub const FDFLAGS_APPEND: u16 = 1;
    pub const FDFLAGS_DSYNC: u16 = 2;
    pub const FDFLAGS_NONBLOCK: u16 = 4;
    pub const FDFLAGS_RSYNC: u16 = 8;
    pub const FDFLAGS_SYNC: u16 = 16;
    pub const FDFLAGS_EVERY: u16 = 31;

    pub const OFLAGS_CREAT: u16 = 1;
    pub const OFLAGS_DIRECTORY: u16 = 2;
    pub const OFLAGS_EXCL: u16 = 4;
    pub const OFLAGS_TRUNC: u16 = 8;
    pub const OFLAGS_EVERY: u16 = 15;

    pub const LOOKUPFLAGS_SYMLINK_FOLLOW: u32 = 1;

    pub const FSTFLAGS_ATIM: u16 = 1;
    pub const FSTFLAGS_ATIM_NOW: u16 = 2;
    pub const FSTFLAGS_MTIM: u16 = 4;
    pub const FSTFLAGS_MTIM_NOW: u16 = 8;
    pub const FSTFLAGS_EVERY: u16 = 15;

    pub const WHENCE_SET: u8 = 0;
    pub const WHENCE_CUR: u8 = 1;
    pub const WHENCE_END: u8 = 2;

    pub const CLOCK_REALTIME: u32 = 0;
    pub const CLOCK_MONOTONIC: u32 = 1;
    pub const CLOCK_PROCESS_CPUTIME: u32 = 2;
    pub const CLOCK_THREAD_CPUTIME: u32 = 3;

    pub const EVENTTYPE_CLOCK: u8 = 0;
    pub const EVENTTYPE_FD_READ: u8 = 1;
    pub const EVENTTYPE_FD_WRITE: u8 = 2;
    pub const EVENTRWFLAGS_HANGUP: u16 = 1;
    pub const SUBCLOCKFLAGS_ABSTIME: u16 = 1;

    pub const RIFLAGS_PEEK: u16 = 1;
    pub const RIFLAGS_WAITALL: u16 = 2;
    pub const ROFLAGS_DATA_TRUNCATED: u16 = 1;
    pub const SDFLAGS_RD: u8 = 1;
    pub const SDFLAGS_WR: u8 = 2;
}

/// Sizes of the structures that cross memory, in bytes.
#[allow(missing_docs)]
pub mod size {
    pub const IOVEC: u32 = 8;
    pub const FDSTAT: u32 = 24;
    pub const FILESTAT: u32 = 64;
    pub const DIRENT: u32 = 24;
    pub const SUBSCRIPTION: u32 = 48;
    pub const EVENT: u32 = 32;
    pub const PRESTAT: u32 = 8;
}
