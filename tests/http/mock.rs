//! A server without a network: one request, whose calls are written down.

use lucet::http::abi::{
    Body, Change, Features, Field, Kind, Level, Limits, Read, Reply, Request, Server,
};
use std::sync::{Arc, Mutex};

/// The word of its request.
pub const REQUEST: usize = 0x7e57;

/// What the request is, and what plugins did.
#[derive(Debug, Default)]
pub struct State {
    pub fields: [Option<Vec<u8>>; 5],
    pub headers: [Vec<(Vec<u8>, Vec<u8>)>; 4],
    pub bodies: [Vec<u8>; 2],
    pub status: u32,
    /// In the order in which they came.
    pub calls: Vec<String>,
    /// How often reads and writes of bodies are told to wait.
    pub waits: u32,
    /// At most so many bytes come with one read.
    pub chunk: Option<usize>,
    pub refuses: bool,
}

/// The server.
#[derive(Debug)]
pub struct Mock {
    pub state: Mutex<State>,
    pub features: Features,
    pub limits: Limits,
    pub level: Level,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Default for Mock {
    fn default() -> Self {
        let some = |t: &str| Some(t.as_bytes().to_vec());
        let pair = |(n, v): (&str, &str)| (n.as_bytes().to_vec(), v.as_bytes().to_vec());
        let state = State {
            fields: [
                some("GET"),
                some("/a?b=c"),
                some("HTTP/1.1"),
                some("192.0.2.1:4711"),
                some("on=1"),
            ],
            headers: [
                [("Host", "h"), ("X-A", "1"), ("x-a", "22"), ("Accept", "*/*")].map(pair).into(),
                [("Server", "mock")].map(pair).into(),
                [("Sum", "9")].map(pair).into(),
                Vec::new(),
            ],
            bodies: [b"hello body".to_vec(), b"from upstream".to_vec()],
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            features: Features(7),
            limits: Limits::default(),
            level: Level::Info,
        }
    }
}

impl Mock {
    /// One that was changed first.
    pub fn with(f: impl FnOnce(&mut Self)) -> Arc<Self> {
        let mut mock = Self::default();
        f(&mut mock);
        Arc::new(mock)
    }

    /// What was done so far.
    pub fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    fn note(&self, call: String) -> Reply {
        let mut state = self.state.lock().unwrap();
        state.calls.push(call);
        if state.refuses { Reply::Refused } else { Reply::Done }
    }
}

impl Server for Mock {
    fn features(&self) -> Features {
        self.features
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn field(&self, request: Option<Request>, field: Field, give: &mut dyn FnMut(&[u8])) {
        assert!(request.is_none_or(|r| r.0 == REQUEST));
        if let Some(text) = &self.state.lock().unwrap().fields[field as usize] {
            give(text);
        }
    }

    fn set_field(&self, request: Request, field: Field, value: &[u8]) -> Reply {
        assert_eq!(request.0, REQUEST);
        self.note(format!("set {field:?} {}", text(value)))
    }

    fn headers(&self, request: Request, kind: Kind, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        assert_eq!(request.0, REQUEST);
        self.state.lock().unwrap().headers[kind as usize].iter().all(|(n, v)| each(n, v));
    }

    fn change_header(
        &self,
        request: Request,
        kind: Kind,
        change: Change,
        name: &[u8],
        value: &[u8],
    ) -> Reply {
        assert_eq!(request.0, REQUEST);
        self.note(format!("{change:?} {kind:?} {}: {}", text(name), text(value)))
    }

    fn read_body(&self, request: Request, body: Body, to: &mut [u8]) -> Read {
        assert_eq!(request.0, REQUEST);
        let mut state = self.state.lock().unwrap();
        if state.refuses {
            return Read::Refused;
        }
        if state.waits > 0 {
            state.waits -= 1;
            return Read::Wait;
        }
        let most = state.chunk.unwrap_or(usize::MAX);
        let from = &mut state.bodies[body as usize];
        let n = from.len().min(to.len()).min(most);
        to[..n].copy_from_slice(&from[..n]);
        from.drain(..n);
        if from.is_empty() { Read::End(n) } else { Read::Some(n) }
    }

    fn write_body(&self, request: Request, body: Body, bytes: &[u8], first: bool) -> Reply {
        assert_eq!(request.0, REQUEST);
        let mut state = self.state.lock().unwrap();
        if state.waits > 0 {
            state.waits -= 1;
            return Reply::Wait;
        }
        drop(state);
        self.note(format!("write {body:?} {} first={first}", text(bytes)))
    }

    fn status(&self, request: Request) -> u32 {
        assert_eq!(request.0, REQUEST);
        self.state.lock().unwrap().status
    }

    fn set_status(&self, request: Request, status: u32) -> Reply {
        assert_eq!(request.0, REQUEST);
        self.note(format!("status {status}"))
    }

    fn enable(&self, request: Option<Request>, features: Features) -> Reply {
        self.note(format!("enable {} {}", features.0, request.is_some()))
    }

    fn log_level(&self, _: Option<Request>) -> Level {
        self.level
    }

    fn log(&self, _: Option<Request>, level: Level, message: &str) {
        assert!(!message.contains(|c: char| c.is_control()), "{message:?}");
        let _ = self.note(format!("{level:?} {message}"));
    }
}
