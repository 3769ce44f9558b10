//! The table of callbacks that a C server fills in.

use super::raw;
use crate::error::{Error, Result, Status};
use lucet_http::{
    Body, Change, Features, Field, Kind, Level, Limits, Read, Reply, Request, Server,
};
use std::ffi::{c_char, c_void};
use std::mem::offset_of;

/// A text, or any bytes: `len` of them, without a NUL at the end. NULL is fine if `len` is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct lucet_http_text {
    /// Where it begins.
    pub data: *const c_char,
    /// How long it is, in bytes.
    pub len: usize,
}

/// Where a server is in a list of headers. All zeros at the beginning; otherwise the server's.
#[repr(C)]
pub struct lucet_http_cursor {
    /// A pointer.
    pub place: *const c_void,
    /// A number.
    pub number: usize,
}

/// A text about a request.
#[repr(i32)]
pub enum lucet_http_field {
    /// Such as "GET".
    LUCET_HTTP_METHOD = 0,
    /// Path and query as in the request line, percent-encoded: "/a?b=c".
    LUCET_HTTP_URI = 1,
    /// Such as "HTTP/1.1" or "HTTP/2.0".
    LUCET_HTTP_PROTOCOL = 2,
    /// The client: "192.0.2.1:4711" or "[2001:db8::1]:4711".
    LUCET_HTTP_SOURCE_ADDRESS = 3,
    /// What the operator configured for this plugin at this place, any bytes. If the callback has
    /// none, the plugin gets `config` of the table.
    LUCET_HTTP_CONFIG = 4,
}

/// Which headers.
#[repr(i32)]
pub enum lucet_http_kind {
    /// The request's.
    LUCET_HTTP_REQUEST_HEADERS = 0,
    /// The response's: of the one that the plugin makes, in its request phase.
    LUCET_HTTP_RESPONSE_HEADERS = 1,
    /// Those behind the request's body.
    LUCET_HTTP_REQUEST_TRAILERS = 2,
    /// Those behind the response's body.
    LUCET_HTTP_RESPONSE_TRAILERS = 3,
}

/// Which body.
#[repr(i32)]
pub enum lucet_http_body {
    /// The request's.
    LUCET_HTTP_REQUEST_BODY = 0,
    /// The response's.
    LUCET_HTTP_RESPONSE_BODY = 1,
}

/// A change of a header.
#[repr(i32)]
pub enum lucet_http_change {
    /// Replace all values of the name by this one.
    LUCET_HTTP_SET = 0,
    /// Add this value.
    LUCET_HTTP_ADD = 1,
    /// Remove all values of the name; the value is empty.
    LUCET_HTTP_REMOVE = 2,
}

/// How important a log message is.
#[repr(i32)]
pub enum lucet_http_log_level {
    /// For authors of plugins.
    LUCET_HTTP_LOG_DEBUG = -1,
    /// Normal.
    LUCET_HTTP_LOG_INFO = 0,
    /// Somebody should look at it.
    LUCET_HTTP_LOG_WARN = 1,
    /// Something did not work.
    LUCET_HTTP_LOG_ERROR = 2,
    /// As log_level: nothing is logged.
    LUCET_HTTP_LOG_NONE = 3,
}

/// Things that cost something, which plugins enable where they need them. Bits.
#[repr(i32)]
pub enum lucet_http_feature {
    /// The request's body can be read by the plugin, and by what comes after it.
    LUCET_HTTP_BUFFER_REQUEST = 1,
    /// The response is held back until the plugin has seen all of it.
    LUCET_HTTP_BUFFER_RESPONSE = 2,
    /// Trailers.
    LUCET_HTTP_TRAILERS = 4,
}

/// What a callback says.
#[repr(i32)]
pub enum lucet_http_reply {
    /// Done.
    LUCET_HTTP_DONE = 0,
    /// Not now: the plugin is suspended (LUCET_OUTCOME_YIELDED), and the callback called again with
    /// the same arguments when it is resumed. Only for read_body and write_body.
    LUCET_HTTP_WAIT = 1,
    /// No. The plugin is ended with LUCET_OUTCOME_HOST_ERROR.
    LUCET_HTTP_REFUSED = 2,
}

/// What a server does for plugins. Later versions add members at the end; `size` says which ones
/// the caller knows. A callback that is NULL: what it would give is not there, what it would do is
/// refused; `log_level`: everything from LUCET_HTTP_LOG_INFO on.
///
/// Limits of 0 mean the default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct lucet_http_server {
    /// sizeof(lucet_http_server).
    pub size: usize,
    /// The features that the server supports: bits of lucet_http_feature.
    pub features: u32,
    /// Log messages that a plugin may write for one request; 64 by default. The rest is left out,
    /// which is logged once.
    pub max_log_messages: u32,
    /// Bytes of a log message, at most 4096; 1024 by default. A longer one is cut.
    pub max_log_bytes: u32,
    /// Bytes of a URI that a plugin may set; 8 KiB by default.
    pub max_uri_bytes: u32,
    /// Bytes of a header that a plugin may set or add, name and value; 16 KiB by default.
    pub max_header_bytes: u32,
    /// Changes of headers that a plugin may make for one request; 256 by default.
    pub max_header_changes: u32,
    /// Bytes that all of them together may have; 64 KiB by default.
    pub max_headers_bytes: u64,
    /// Bytes that a plugin may write to each body; 16 MiB by default.
    pub max_body_bytes: u64,
    /// What plugins get as configuration if `get` has none for their request, and in start-up code.
    pub config: lucet_http_text,
    /// Writes a text about the request to `*out` and returns true; false if there is none. It must
    /// stay as it is until `get` is called again.
    pub get: Option<
        unsafe extern "C" fn(
            request: *mut c_void,
            field: raw::lucet_http_field,
            out: *mut lucet_http_text,
        ) -> bool,
    >,
    /// Replaces LUCET_HTTP_METHOD or LUCET_HTTP_URI.
    pub set: Option<
        unsafe extern "C" fn(
            request: *mut c_void,
            field: raw::lucet_http_field,
            value: lucet_http_text,
        ) -> raw::lucet_http_reply,
    >,
    /// Writes the header at the cursor to `*name` and `*value`, moves the cursor to the next one,
    /// and returns true; false at the end of the list. Headers do not change while a list is read.
    pub next_header: Option<
        unsafe extern "C" fn(
            request: *mut c_void,
            kind: raw::lucet_http_kind,
            at: *mut lucet_http_cursor,
            name: *mut lucet_http_text,
            value: *mut lucet_http_text,
        ) -> bool,
    >,
    /// Changes a header. The texts are the plugin's: copy what is needed after the callback.
    pub change_header: Option<
        unsafe extern "C" fn(
            request: *mut c_void,
            kind: raw::lucet_http_kind,
            change: raw::lucet_http_change,
            name: lucet_http_text,
            value: lucet_http_text,
        ) -> raw::lucet_http_reply,
    >,
    /// Reads what comes next of a body straight into the plugin's memory: up to `cap` bytes to
    /// `buf`, their number to `*len`, and whether the body ends there to `*end`. Both are 0 before.
    /// None at all without the end is LUCET_HTTP_WAIT. If the plugin enabled
    /// LUCET_HTTP_BUFFER_REQUEST, what it reads must be there for others too.
    pub read_body: Option<
        unsafe extern "C" fn(
            request: *mut c_void,
            body: raw::lucet_http_body,
            buf: *mut c_void,
            cap: usize,
            len: *mut usize,
            end: *mut bool,
        ) -> raw::lucet_http_reply,
    >,
    /// Appends all `len` bytes to a body; `first`: they replace what the body was (and there may be
    /// none of them). The bytes are the plugin's: copy what is needed after the callback.
    pub write_body: Option<
        unsafe extern "C" fn(
            request: *mut c_void,
            body: raw::lucet_http_body,
            bytes: *const c_void,
            len: usize,
            first: bool,
        ) -> raw::lucet_http_reply,
    >,
    /// The response's status; 0 if there is none yet.
    pub status: Option<unsafe extern "C" fn(request: *mut c_void) -> i32>,
    /// Sets it: 100 to 999.
    pub set_status:
        Option<unsafe extern "C" fn(request: *mut c_void, status: i32) -> raw::lucet_http_reply>,
    /// The plugin enables features, all of them supported; what it enabled before stays. `request`
    /// is NULL in start-up code: then for each request.
    pub enable:
        Option<unsafe extern "C" fn(request: *mut c_void, features: u32) -> raw::lucet_http_reply>,
    /// The lowest level that is logged. `request` may be NULL.
    pub log_level: Option<unsafe extern "C" fn(request: *mut c_void) -> raw::lucet_http_log_level>,
    /// Logs a message: `len` bytes of UTF-8 without control characters and without a NUL at the
    /// end. `request` may be NULL.
    pub log: Option<
        unsafe extern "C" fn(
            request: *mut c_void,
            level: raw::lucet_http_log_level,
            message: *const c_char,
            len: usize,
        ),
    >,
}

const DONE: raw::lucet_http_reply = 0;
const WAIT: raw::lucet_http_reply = 1;

/// The size of the first version: members behind it may be missing.
const FIRST: usize = size_of::<lucet_http_server>();

const _: () = {
    use {
        lucet_http_body as B, lucet_http_change as C, lucet_http_feature as F,
        lucet_http_field as T, lucet_http_kind as K, lucet_http_log_level as L,
        lucet_http_reply as R,
    };
    assert!(T::LUCET_HTTP_METHOD as i32 == Field::Method as i32);
    assert!(T::LUCET_HTTP_URI as i32 == Field::Uri as i32);
    assert!(T::LUCET_HTTP_PROTOCOL as i32 == Field::Protocol as i32);
    assert!(T::LUCET_HTTP_SOURCE_ADDRESS as i32 == Field::SourceAddress as i32);
    assert!(T::LUCET_HTTP_CONFIG as i32 == Field::Config as i32);
    assert!(K::LUCET_HTTP_REQUEST_HEADERS as i32 == Kind::Request as i32);
    assert!(K::LUCET_HTTP_RESPONSE_HEADERS as i32 == Kind::Response as i32);
    assert!(K::LUCET_HTTP_REQUEST_TRAILERS as i32 == Kind::RequestTrailers as i32);
    assert!(K::LUCET_HTTP_RESPONSE_TRAILERS as i32 == Kind::ResponseTrailers as i32);
    assert!(B::LUCET_HTTP_REQUEST_BODY as i32 == Body::Request as i32);
    assert!(B::LUCET_HTTP_RESPONSE_BODY as i32 == Body::Response as i32);
    assert!(C::LUCET_HTTP_SET as i32 == Change::Set as i32);
    assert!(C::LUCET_HTTP_ADD as i32 == Change::Add as i32);
    assert!(C::LUCET_HTTP_REMOVE as i32 == Change::Remove as i32);
    assert!(F::LUCET_HTTP_BUFFER_REQUEST as u32 == Features::BUFFER_REQUEST.0);
    assert!(F::LUCET_HTTP_BUFFER_RESPONSE as u32 == Features::BUFFER_RESPONSE.0);
    assert!(F::LUCET_HTTP_TRAILERS as u32 == Features::TRAILERS.0);
    assert!(L::LUCET_HTTP_LOG_DEBUG as i32 == Level::Debug as i32);
    assert!(L::LUCET_HTTP_LOG_INFO as i32 == Level::Info as i32);
    assert!(L::LUCET_HTTP_LOG_WARN as i32 == Level::Warn as i32);
    assert!(L::LUCET_HTTP_LOG_ERROR as i32 == Level::Error as i32);
    assert!(L::LUCET_HTTP_LOG_NONE as i32 == Level::None as i32);
    assert!(R::LUCET_HTTP_DONE as i32 == DONE && R::LUCET_HTTP_WAIT as i32 == WAIT);
    assert!(R::LUCET_HTTP_REFUSED as i32 == 2);
    assert!(offset_of!(lucet_http_server, size) == 0);
};

/// A C server.
pub(super) struct Table {
    callbacks: lucet_http_server,
    limits: Limits,
    config: Box<[u8]>,
}

// SAFETY: the pointers in the table are to functions, which the header says are called on any
// thread; the one to the configuration is not used after it was copied.
unsafe impl Send for Table {}
// SAFETY: as above; and nothing in it changes.
unsafe impl Sync for Table {}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("lucet_http_server")
    }
}

/// The bytes of a text from C.
///
/// # Safety
/// The text is what the header asks for, as long as the slice is used.
unsafe fn bytes<'a>(text: lucet_http_text) -> &'a [u8] {
    if text.data.is_null() || text.len > isize::MAX as usize {
        return &[];
    }
    // SAFETY: not NULL, and the caller's promise.
    unsafe { std::slice::from_raw_parts(text.data.cast(), text.len) }
}

fn text(bytes: &[u8]) -> lucet_http_text {
    lucet_http_text { data: bytes.as_ptr().cast(), len: bytes.len() }
}

const NO_TEXT: lucet_http_text = lucet_http_text { data: std::ptr::null(), len: 0 };

/// A request as the callbacks know it.
fn pointer(request: Option<Request>) -> *mut c_void {
    request.map_or(std::ptr::null_mut(), |r| std::ptr::with_exposed_provenance_mut(r.0))
}

fn reply(number: raw::lucet_http_reply) -> Reply {
    match number {
        DONE => Reply::Done,
        WAIT => Reply::Wait,
        _ => Reply::Refused,
    }
}

impl Table {
    /// Copies a table.
    ///
    /// # Safety
    /// `from` points to as many bytes as its size says, and its configuration is what the header
    /// asks for.
    pub(super) unsafe fn copy(from: *const lucet_http_server) -> Result<Self> {
        // SAFETY: every table begins with its size.
        let size = unsafe { from.cast::<usize>().read() };
        if !(FIRST..=FIRST + 4096).contains(&size) {
            let message = format!("`server->size` is {size}; set it to sizeof(lucet_http_server)");
            return Err(Error::new(Status::InvalidArgument, message));
        }
        // SAFETY: it is at least as long as what this version knows.
        let callbacks = unsafe { from.read() };
        let defaults = Limits::default();
        let or = |given: u64, default: u64| if given == 0 { default } else { given };
        let limits = Limits {
            uri_bytes: or(callbacks.max_uri_bytes.into(), defaults.uri_bytes),
            header_bytes: or(callbacks.max_header_bytes.into(), defaults.header_bytes),
            header_changes: or(callbacks.max_header_changes.into(), defaults.header_changes),
            headers_bytes: or(callbacks.max_headers_bytes, defaults.headers_bytes),
            body_bytes: or(callbacks.max_body_bytes, defaults.body_bytes),
            log_bytes: or(callbacks.max_log_bytes.into(), defaults.log_bytes)
                .min(Limits::MOST_LOG_BYTES),
            log_messages: or(callbacks.max_log_messages.into(), defaults.log_messages),
        };
        // SAFETY: the caller's promise.
        let config = unsafe { bytes(callbacks.config) }.into();
        Ok(Self { callbacks, limits, config })
    }
}

// The invariant behind each call of a callback here: the header asks for functions of these types,
// which return, and give out texts that stay as they are until they are called again.
impl Server for Table {
    fn features(&self) -> Features {
        Features(self.callbacks.features).and(Features(7))
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn field(&self, request: Option<Request>, field: Field, give: &mut dyn FnMut(&[u8])) {
        let mut out = NO_TEXT;
        let known = match self.callbacks.get {
            // SAFETY: a callback of the header's type.
            Some(get) if request.is_some() => unsafe {
                get(pointer(request), field as i32, &mut out)
            },
            _ => false,
        };
        if known {
            // SAFETY: a text that the callback has just given out.
            give(unsafe { bytes(out) });
        } else if field == Field::Config {
            give(&self.config);
        }
    }

    fn set_field(&self, request: Request, field: Field, value: &[u8]) -> Reply {
        let Some(set) = self.callbacks.set else { return Reply::Refused };
        // SAFETY: a callback of the header's type.
        reply(unsafe { set(pointer(Some(request)), field as i32, text(value)) })
    }

    fn headers(&self, request: Request, kind: Kind, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        let Some(next) = self.callbacks.next_header else { return };
        let mut at = lucet_http_cursor { place: std::ptr::null(), number: 0 };
        loop {
            let (mut name, mut value) = (NO_TEXT, NO_TEXT);
            let request = pointer(Some(request));
            // SAFETY: a callback of the header's type.
            if !unsafe { next(request, kind as i32, &mut at, &mut name, &mut value) } {
                return;
            }
            // SAFETY: texts that the callback has just given out.
            if !each(unsafe { bytes(name) }, unsafe { bytes(value) }) {
                return;
            }
        }
    }

    fn change_header(
        &self,
        request: Request,
        kind: Kind,
        change: Change,
        name: &[u8],
        value: &[u8],
    ) -> Reply {
        let Some(f) = self.callbacks.change_header else { return Reply::Refused };
        let request = pointer(Some(request));
        // SAFETY: a callback of the header's type.
        reply(unsafe { f(request, kind as i32, change as i32, text(name), text(value)) })
    }

    fn read_body(&self, request: Request, body: Body, to: &mut [u8]) -> Read {
        let Some(f) = self.callbacks.read_body else { return Read::Refused };
        let (mut len, mut end) = (0usize, false);
        let (request, buf) = (pointer(Some(request)), to.as_mut_ptr().cast());
        // SAFETY: a callback of the header's type, and a buffer of that length.
        let reply = reply(unsafe { f(request, body as i32, buf, to.len(), &mut len, &mut end) });
        match reply {
            Reply::Done if end => Read::End(len),
            Reply::Done if len == 0 => Read::Wait,
            Reply::Done => Read::Some(len),
            Reply::Wait => Read::Wait,
            Reply::Refused => Read::Refused,
        }
    }

    fn write_body(&self, request: Request, body: Body, bytes: &[u8], first: bool) -> Reply {
        let Some(f) = self.callbacks.write_body else { return Reply::Refused };
        let (request, from) = (pointer(Some(request)), bytes.as_ptr().cast());
        // SAFETY: a callback of the header's type.
        reply(unsafe { f(request, body as i32, from, bytes.len(), first) })
    }

    fn status(&self, request: Request) -> u32 {
        // SAFETY: a callback of the header's type.
        let status = self.callbacks.status.map(|f| unsafe { f(pointer(Some(request))) });
        status.and_then(|s| u32::try_from(s).ok()).unwrap_or(0)
    }

    fn set_status(&self, request: Request, status: u32) -> Reply {
        let Some(f) = self.callbacks.set_status else { return Reply::Refused };
        // SAFETY: a callback of the header's type.
        reply(unsafe { f(pointer(Some(request)), status.cast_signed()) })
    }

    fn enable(&self, request: Option<Request>, features: Features) -> Reply {
        let Some(f) = self.callbacks.enable else { return Reply::Refused };
        // SAFETY: a callback of the header's type.
        reply(unsafe { f(pointer(request), features.0) })
    }

    fn log_level(&self, request: Option<Request>) -> Level {
        let Some(f) = self.callbacks.log_level else { return Level::Info };
        // SAFETY: a callback of the header's type.
        let number = unsafe { f(pointer(request)) };
        Level::from_number(number).unwrap_or(Level::None)
    }

    fn log(&self, request: Option<Request>, level: Level, message: &str) {
        if let Some(f) = self.callbacks.log {
            let (from, len) = (message.as_ptr().cast(), message.len());
            // SAFETY: a callback of the header's type.
            unsafe { f(pointer(request), level as i32, from, len) };
        }
    }
}
