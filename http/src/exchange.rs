//! One request while a plugin works for it.
//!
//! ```text
//!  Start ──attach──► Ready ──► Request ──next──► Between ──► Response ──► Done
//!  (start-up code)                └───── stop ──────────────────────────►
//! ```
//!
//! While a plugin is suspended the phase stays what it was.

use crate::server::{Body, Features, Limits};
use crate::{Answer, Problem};

/// What the plugin is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Start-up: there is no request.
    #[default]
    Start,
    /// There is a request, which nobody has handled yet.
    Ready,
    /// It handles the request.
    Request,
    /// It wants to see the response, which somebody else makes.
    Between,
    /// It handles the response.
    Response,
    /// It has nothing more to do.
    Done,
}

/// What a suspended plugin was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    /// Reading a body into `len` bytes at `at`, of which `done` are there.
    #[allow(missing_docs)]
    ReadBody { body: Body, at: u32, len: u32, done: u32 },
    /// Writing the `len` bytes at `at`.
    #[allow(missing_docs)]
    WriteBody { body: Body, at: u32, len: u32 },
}

/// What is known of a request.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    /// What the plugin is doing.
    pub phase: Phase,
    /// What it enabled.
    pub features: Features,
    /// What it was doing when it was suspended.
    pub paused: Option<Paused>,
    /// The guest's word for the request, from its request phase for its response phase.
    pub context: u32,
    /// What it enabled during start-up.
    from_start: Features,
    header_changes: u64,
    header_bytes: u64,
    written: [u64; 2],
    wrote: [bool; 2],
    log_messages: u64,
}

impl Exchange {
    /// Begins with a request.
    pub fn attach(&mut self) {
        if self.phase == Phase::Start {
            self.from_start = self.features;
        }
        let from_start = self.from_start;
        *self = Self { phase: Phase::Ready, features: from_start, from_start, ..Self::default() };
    }

    /// Ends if the phase is not one of those.
    pub(crate) fn only(&self, phases: &[Phase]) -> Answer<()> {
        match self.phase {
            Phase::Start | Phase::Done => Problem::NoRequest.into(),
            phase if phases.contains(&phase) => Ok(()),
            _ => Problem::WrongPhase.into(),
        }
    }

    /// Ends if there is no request.
    pub(crate) fn attached(&self) -> Answer<()> {
        match self.phase {
            Phase::Start | Phase::Done => Problem::NoRequest.into(),
            _ => Ok(()),
        }
    }

    /// Counts a header change of so many bytes.
    pub(crate) fn count_header(&mut self, bytes: u64, limits: &Limits) -> Answer<()> {
        if bytes > limits.header_bytes {
            return Problem::TooLong.into();
        }
        self.header_changes += 1;
        self.header_bytes += bytes;
        if self.header_changes > limits.header_changes || self.header_bytes > limits.headers_bytes {
            return Problem::TooManyHeaders.into();
        }
        Ok(())
    }

    /// Counts bytes that will be written to a body.
    pub(crate) fn count_body(&mut self, body: Body, bytes: u64, limits: &Limits) -> Answer<()> {
        let written = &mut self.written[body as usize];
        *written += bytes;
        if *written > limits.body_bytes {
            return Problem::BodyTooLarge.into();
        }
        Ok(())
    }

    /// Whether nothing was written to a body yet.
    pub(crate) fn is_first(&self, body: Body) -> bool {
        !self.wrote[body as usize]
    }

    /// Notes that something was written to a body.
    pub(crate) fn note_write(&mut self, body: Body) {
        self.wrote[body as usize] = true;
    }

    /// Counts a log message: whether it is one of those that are logged, and whether it is the
    /// first that is not.
    pub(crate) fn count_log(&mut self, limits: &Limits) -> (bool, bool) {
        self.log_messages = self.log_messages.saturating_add(1);
        (self.log_messages <= limits.log_messages, self.log_messages == limits.log_messages + 1)
    }
}
