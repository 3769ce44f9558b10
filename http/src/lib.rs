//! HTTP plugins: what a guest may ask of the server that runs it, and how the answer is checked.
//!
//! ```text
//!  guest ──imports──► handler ──checked──► trait Server ──► the server's request
//!        ◄─memory────      Exchange: phase, limits      (callbacks of a C server, a Rust test)
//! ```
//!
//! * [`server`]: what a server offers, as one trait
//! * [`exchange`]: what is known of one request while a plugin works for it: phase, features, use
//! * [`abi`]: which interface a module speaks, and which exports are called for it
//! * [`handler`]: the functions of `http_handler`, as http-wasm specifies them
//! * [`check`]: what a value must look like before a server sees it
//! * [`give`]: how texts and lists come into guest memory
//!
//! Everything that comes from a guest is checked here, once for all servers: names, values, sizes,
//! counts, the phase it comes in. Nothing here allocates. The crate knows neither wasm engine nor
//! server: guest memory is a trait too ([`Memory`]), and whoever binds it to an engine makes host
//! functions out of the table [`for_each_handler_function`].
#![forbid(unsafe_code)]

pub mod abi;
pub mod check;
pub mod exchange;
pub mod give;
pub mod handler;
pub mod server;
mod text;

pub use abi::Abi;
pub use exchange::{Exchange, Paused, Phase};
pub use server::{
    Body, Change, Features, Field, Kind, Level, Limits, Read, Reply, Request, Server, Wait,
};

/// The memory of the guest that asks. It does not run meanwhile.
pub trait Memory {
    /// `len` bytes at `at`; `None` if they are not all inside.
    fn read(&self, at: u32, len: u32) -> Option<&[u8]>;
    /// The same, to be written.
    fn write(&mut self, at: u32, len: u32) -> Option<&mut [u8]>;
}

impl Memory for [u8] {
    fn read(&self, at: u32, len: u32) -> Option<&[u8]> {
        self.get(at as usize..)?.get(..len as usize)
    }

    fn write(&mut self, at: u32, len: u32) -> Option<&mut [u8]> {
        self.get_mut(at as usize..)?.get_mut(..len as usize)
    }
}

/// What a host function works with: the server, the request and the guest that asks.
pub struct Call<'a> {
    /// The server.
    pub server: &'a dyn Server,
    /// The server's word for the request; `None` while no request is there (start-up).
    pub request: Option<Request>,
    /// What is known of it.
    pub exchange: &'a mut Exchange,
    /// The guest's memory.
    pub memory: &'a mut dyn Memory,
}

/// Why a host function does not return to its guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The guest named bytes outside its memory: it traps as if it had accessed them.
    OutOfBounds,
    /// The guest asked for something that it may not have; its run is over.
    Problem(Problem),
    /// The server is not ready. [`Exchange::paused`] says what is left to do; when the server says
    /// so, [`handler::resume`] does it.
    Wait(Wait),
}

/// What a host function came to.
pub type Answer<T> = Result<T, Stop>;

impl<T> From<Problem> for Answer<T> {
    fn from(problem: Problem) -> Self {
        Err(Stop::Problem(problem))
    }
}

/// Why a plugin's run was ended. Numbers never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Problem {
    /// No request is there: start-up, or after the response.
    NoRequest = 1,
    /// Too late, or too early, for this function.
    WrongPhase = 2,
    /// The response is not buffered, so its body cannot be written.
    NotBuffered = 3,
    /// The server has no trailers, or the guest did not ask for them.
    NoTrailers = 4,
    /// A kind of header or body that does not exist.
    BadKind = 5,
    /// A method that is no token.
    BadMethod = 6,
    /// A URI with characters that may not stand in one.
    BadUri = 7,
    /// A header name that is no token.
    BadHeaderName = 8,
    /// A header value with CR, LF, NUL or another control character.
    BadHeaderValue = 9,
    /// A header that says how messages are framed, which only the server may.
    FramingHeader = 10,
    /// A status outside 100 to 999.
    BadStatus = 11,
    /// Longer than the limit for such values.
    TooLong = 12,
    /// More header changes than one request may make.
    TooManyHeaders = 13,
    /// More body than one request may write.
    BodyTooLarge = 14,
    /// A buffer of no bytes to read a body into.
    EmptyBuffer = 15,
    /// The server refused.
    Refused = 16,
    /// The server has nothing where it must have something.
    ServerFailed = 17,
    /// A list of fields, or another argument, that makes no sense.
    BadArgument = 18,
    /// A bug in lucet.
    Internal = 19,
    /// The server is not ready, and the guest cannot wait: in start-up code, or in a run inside
    /// another one.
    CannotWait = 20,
}

impl Problem {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::NoRequest,
        Self::WrongPhase,
        Self::NotBuffered,
        Self::NoTrailers,
        Self::BadKind,
        Self::BadMethod,
        Self::BadUri,
        Self::BadHeaderName,
        Self::BadHeaderValue,
        Self::FramingHeader,
        Self::BadStatus,
        Self::TooLong,
        Self::TooManyHeaders,
        Self::BodyTooLarge,
        Self::EmptyBuffer,
        Self::Refused,
        Self::ServerFailed,
        Self::BadArgument,
        Self::Internal,
        Self::CannotWait,
    ];

    /// The problem with this number.
    #[must_use]
    pub fn from_number(n: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|p| *p as u32 == n)
    }

    /// What happened, for a log: a sentence about the plugin, which ends with a NUL for C.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::NoRequest => "the plugin asked for a request while there is none\0",
            Self::WrongPhase => "the plugin called a function that its phase does not allow\0",
            Self::NotBuffered => {
                "the plugin wrote a response body without enabling buffer_response\0"
            }
            Self::NoTrailers => "the plugin set a trailer, which is not enabled\0",
            Self::BadKind => "the plugin named a kind of header or body that does not exist\0",
            Self::BadMethod => "the plugin set a method that is no token\0",
            Self::BadUri => "the plugin set a URI with characters that may not stand in one\0",
            Self::BadHeaderName => "the plugin used a header name that is no token\0",
            Self::BadHeaderValue => "the plugin set a header value with control characters\0",
            Self::FramingHeader => "the plugin changed a header that frames messages\0",
            Self::BadStatus => "the plugin set a status outside 100 to 999\0",
            Self::TooLong => "the plugin set a value that is too long\0",
            Self::TooManyHeaders => "the plugin changed too many headers\0",
            Self::BodyTooLarge => "the plugin wrote too long a body\0",
            Self::EmptyBuffer => "the plugin read a body into a buffer of no bytes\0",
            Self::Refused => "the server refused what the plugin asked for\0",
            Self::ServerFailed => "the server could not tell what the plugin asked for\0",
            Self::BadArgument => "the plugin passed an argument that makes no sense\0",
            Self::Internal => "a bug in lucet, please report it\0",
            Self::CannotWait => "the plugin would have to wait where it cannot\0",
        }
    }
}
