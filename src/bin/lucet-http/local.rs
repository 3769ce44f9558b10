//! A server of one request in memory.

use crate::args::{Header, Job};
use crate::say;
use lucet::http::abi::{
    Body, Change, Features, Field, Kind, Level, Limits, Read, Reply, Request, Server,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A message: a request or a response.
#[derive(Debug, Clone, Default)]
pub struct Message {
    pub headers: Vec<Header>,
    pub trailers: Vec<Header>,
    pub body: Vec<u8>,
    /// Bytes of the body that were read.
    pub read: usize,
}

/// A request and its response.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub method: Vec<u8>,
    pub uri: Vec<u8>,
    pub status: u32,
    pub request: Message,
    pub response: Message,
}

/// The server.
#[derive(Debug)]
pub struct Local {
    state: Mutex<State>,
    limits: Limits,
    source: String,
    config: Option<String>,
    log: Level,
}

impl Local {
    /// A server for a job.
    pub fn new(job: &Job) -> Self {
        Self {
            state: Mutex::default(),
            limits: Limits::default(),
            source: job.source.clone(),
            config: job.config.clone(),
            log: job.log,
        }
    }

    /// What there is of request and response.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn message(&mut self, body: Body) -> &mut Message {
        match body {
            Body::Request => &mut self.request,
            Body::Response => &mut self.response,
        }
    }

    fn list(&mut self, kind: Kind) -> &mut Vec<Header> {
        match kind {
            Kind::Request => &mut self.request.headers,
            Kind::Response => &mut self.response.headers,
            Kind::RequestTrailers => &mut self.request.trailers,
            Kind::ResponseTrailers => &mut self.response.trailers,
        }
    }
}

impl Server for Local {
    fn features(&self) -> Features {
        Features::BUFFER_REQUEST.or(Features::BUFFER_RESPONSE).or(Features::TRAILERS)
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn field(&self, _: Option<Request>, field: Field, give: &mut dyn FnMut(&[u8])) {
        match field {
            Field::Method => give(&self.state().method),
            Field::Uri => give(&self.state().uri),
            Field::Protocol => give(b"HTTP/1.1"),
            Field::SourceAddress => give(self.source.as_bytes()),
            Field::Config => {
                if let Some(config) = &self.config {
                    give(config.as_bytes());
                }
            }
        }
    }

    fn set_field(&self, _: Request, field: Field, value: &[u8]) -> Reply {
        match field {
            Field::Method => self.state().method = value.into(),
            Field::Uri => self.state().uri = value.into(),
            _ => return Reply::Refused,
        }
        Reply::Done
    }

    fn headers(&self, _: Request, kind: Kind, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        self.state().list(kind).iter().all(|(name, value)| each(name, value));
    }

    fn change_header(
        &self,
        _: Request,
        kind: Kind,
        change: Change,
        name: &[u8],
        value: &[u8],
    ) -> Reply {
        let mut state = self.state();
        let list = state.list(kind);
        if change != Change::Add {
            list.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        }
        if change != Change::Remove {
            list.push((name.into(), value.into()));
        }
        Reply::Done
    }

    fn read_body(&self, _: Request, body: Body, to: &mut [u8]) -> Read {
        let mut state = self.state();
        let message = state.message(body);
        let rest = message.body.get(message.read..).unwrap_or_default();
        let n = rest.len().min(to.len());
        for (to, from) in to.iter_mut().zip(rest) {
            *to = *from;
        }
        let end = n == rest.len();
        message.read += n;
        if end { Read::End(n) } else { Read::Some(n) }
    }

    fn write_body(&self, _: Request, body: Body, bytes: &[u8], first: bool) -> Reply {
        let mut state = self.state();
        let message = state.message(body);
        if first {
            message.body.clear();
            message.read = 0;
        }
        message.body.extend_from_slice(bytes);
        Reply::Done
    }

    fn status(&self, _: Request) -> u32 {
        self.state().status
    }

    fn set_status(&self, _: Request, status: u32) -> Reply {
        self.state().status = status;
        Reply::Done
    }

    fn enable(&self, _: Option<Request>, _: Features) -> Reply {
        Reply::Done
    }

    fn log_level(&self, _: Option<Request>) -> Level {
        self.log
    }

    fn log(&self, _: Option<Request>, level: Level, message: &str) {
        let level = match level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error | Level::None => "error",
        };
        say(&format!("{level}: {message}"));
    }
}
