//! What a server offers to plugins.
//!
//! One [`Server`] serves all requests; which one is meant is a [`Request`], a word that the server
//! chose when it attached an instance to it (the address of its structure, say). Texts are handed
//! over by showing them: the server calls `give` with a slice of its own buffers, and they are
//! copied into the guest from there, once. Bodies are read straight into the guest's memory.

use std::fmt::Debug;

/// The server's word for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request(pub usize);

/// A text about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Field {
    /// Such as `GET`.
    Method = 0,
    /// As it stands in the request line, path and query: `/a?b=c`.
    Uri = 1,
    /// Such as `HTTP/1.1`.
    Protocol = 2,
    /// Address and port of the client: `192.0.2.1:4711`, `[2001:db8::1]:4711`.
    SourceAddress = 3,
    /// What the operator configured for the plugin, any bytes. The one field that there may be
    /// without a request.
    Config = 4,
}

/// Which headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    /// Of the request.
    Request = 0,
    /// Of the response.
    Response = 1,
    /// After the request's body.
    RequestTrailers = 2,
    /// After the response's body.
    ResponseTrailers = 3,
}

impl Kind {
    /// The kind with this number.
    #[must_use]
    pub fn from_number(n: u32) -> Option<Self> {
        [Self::Request, Self::Response, Self::RequestTrailers, Self::ResponseTrailers]
            .into_iter()
            .find(|k| *k as u32 == n)
    }

    /// Whether it belongs to the request.
    #[must_use]
    pub fn is_request(self) -> bool {
        matches!(self, Self::Request | Self::RequestTrailers)
    }

    /// Whether it stands behind a body.
    #[must_use]
    pub fn is_trailers(self) -> bool {
        matches!(self, Self::RequestTrailers | Self::ResponseTrailers)
    }
}

/// Which body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Body {
    /// Of the request.
    Request = 0,
    /// Of the response.
    Response = 1,
}

impl Body {
    /// The body with this number.
    #[must_use]
    pub fn from_number(n: u32) -> Option<Self> {
        match n {
            0 => Some(Self::Request),
            1 => Some(Self::Response),
            _ => None,
        }
    }
}

/// A change of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Change {
    /// Replaces all values of the name.
    Set = 0,
    /// Adds a value.
    Add = 1,
    /// Removes all values.
    Remove = 2,
}

/// How important a message is. Numbers are those of http-wasm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// For authors.
    Debug = -1,
    /// Normal.
    Info = 0,
    /// Somebody should look at it.
    Warn = 1,
    /// Something did not work.
    Error = 2,
    /// No message has this level: as a threshold it means silence.
    None = 3,
}

impl Level {
    /// The level with this number.
    #[must_use]
    pub fn from_number(n: i32) -> Option<Self> {
        [Self::Debug, Self::Info, Self::Warn, Self::Error, Self::None]
            .into_iter()
            .find(|l| *l as i32 == n)
    }
}

/// Things that cost something and must be asked for. Bits are those of http-wasm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(pub u32);

impl Features {
    /// The request's body can be read by the plugin and by what comes after it.
    pub const BUFFER_REQUEST: Self = Self(1);
    /// The response is held back until the plugin has seen it.
    pub const BUFFER_RESPONSE: Self = Self(2);
    /// Trailers.
    pub const TRAILERS: Self = Self(4);

    /// Whether all of `others` are among these.
    #[must_use]
    pub fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Those that are in either.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

/// What one request may make a server do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a URI.
    pub uri_bytes: u64,
    /// Bytes of a header, name and value together.
    pub header_bytes: u64,
    /// Header changes.
    pub header_changes: u64,
    /// Bytes of all header changes together.
    pub headers_bytes: u64,
    /// Bytes of each body that is written.
    pub body_bytes: u64,
    /// Bytes of a log message; at most [`Limits::MOST_LOG_BYTES`].
    pub log_bytes: u64,
    /// Log messages.
    pub log_messages: u64,
}

impl Limits {
    /// A message is put together on the stack.
    pub const MOST_LOG_BYTES: u64 = 4096;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            uri_bytes: 8 << 10,
            header_bytes: 16 << 10,
            header_changes: 256,
            headers_bytes: 64 << 10,
            body_bytes: 16 << 20,
            log_bytes: 1024,
            log_messages: 64,
        }
    }
}

/// What a server says to a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Reply {
    /// Done.
    Done,
    /// Not now: ask again when the instance is resumed.
    Wait,
    /// No. The plugin's run is over.
    Refused,
}

/// What a server says to a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Read {
    /// So many bytes were written to the buffer; the body ends there.
    End(usize),
    /// So many bytes, at least one, and there may be more.
    Some(usize),
    /// Nothing there yet: ask again when the instance is resumed.
    Wait,
    /// It cannot be read. The plugin's run is over.
    Refused,
}

/// What a suspended plugin waits for. Numbers never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Wait {
    /// Something of a body to read.
    ReadBody = 1,
    /// Room to write a body to.
    WriteBody = 2,
}

/// A server, as plugins see it. Each call is for one request, on the thread that runs the plugin.
/// What it is given was checked; see [`crate::check`].
pub trait Server: Debug + Send + Sync {
    /// What it supports.
    fn features(&self) -> Features;

    /// What a request may make it do.
    fn limits(&self) -> &Limits;

    /// Calls `give` with a text, unless there is none. The request is `None` only for
    /// [`Field::Config`].
    fn field(&self, request: Option<Request>, field: Field, give: &mut dyn FnMut(&[u8]));

    /// Replaces method or URI.
    fn set_field(&self, request: Request, field: Field, value: &[u8]) -> Reply;

    /// Calls `each` with name and value of each header, until it returns false.
    fn headers(&self, request: Request, kind: Kind, each: &mut dyn FnMut(&[u8], &[u8]) -> bool);

    /// Changes a header. `value` is empty for [`Change::Remove`].
    fn change_header(
        &self,
        request: Request,
        kind: Kind,
        change: Change,
        name: &[u8],
        value: &[u8],
    ) -> Reply;

    /// Reads what comes next of a body.
    fn read_body(&self, request: Request, body: Body, to: &mut [u8]) -> Read;

    /// Appends to a body; the `first` one replaces what was there. May be empty if it is the first.
    fn write_body(&self, request: Request, body: Body, bytes: &[u8], first: bool) -> Reply;

    /// The status of the response; 0 if there is none yet.
    fn status(&self, request: Request) -> u32;

    /// Sets it.
    fn set_status(&self, request: Request, status: u32) -> Reply;

    /// These features are enabled for the request from now on (or for each request, if there is
    /// none); all of them are supported.
    fn enable(&self, request: Option<Request>, features: Features) -> Reply;

    /// The lowest level that is logged.
    fn log_level(&self, request: Option<Request>) -> Level;

    /// Logs a message: one line of printable UTF-8.
    fn log(&self, request: Option<Request>, level: Level, message: &str);
}
