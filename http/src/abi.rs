//! Which interface a module speaks: what it imports, and which of its exports are called when.

use crate::handler;

/// An interface between servers and plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Abi {
    /// http-wasm's `http_handler`.
    HttpWasm = 1,
}

/// A type of an exported function: numbers of `i32` parameters, and whether it returns an `i64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Number of parameters, each an `i32`.
    pub params: usize,
    /// Whether it returns an `i64`; otherwise nothing.
    pub returns: bool,
}

/// An export that is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub shape: Shape,
    /// Whether a module must have it.
    pub required: bool,
}

impl Abi {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::HttpWasm];

    /// The interface that a module speaks, by the exports it has.
    pub fn of(exports: impl Fn(&str) -> bool) -> Option<Self> {
        Self::ALL.into_iter().find(|abi| exports(abi.request().name))
    }

    /// What its name is.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HttpWasm => "http-wasm http_handler",
        }
    }

    /// Modules that its functions are imported from.
    #[must_use]
    pub fn imports(self) -> &'static [&'static str] {
        match self {
            Self::HttpWasm => &[handler::MODULE],
        }
    }

    /// What handles a request.
    #[must_use]
    pub fn request(self) -> Entry {
        match self {
            Self::HttpWasm => Entry {
                name: "handle_request",
                shape: Shape { params: 0, returns: true },
                required: true,
            },
        }
    }

    /// What handles a response. Without it a plugin sees requests only.
    #[must_use]
    pub fn response(self) -> Entry {
        match self {
            Self::HttpWasm => Entry {
                name: "handle_response",
                shape: Shape { params: 2, returns: false },
                required: false,
            },
        }
    }

    /// What the request's function said: whether somebody else is to make the response, and the
    /// guest's word for the request.
    #[must_use]
    pub fn next(self, result: u64) -> (bool, u32) {
        match self {
            // The specification knows 0 and 1; what is neither is no wish to stop.
            Self::HttpWasm => (result as u32 != 0, (result >> 32) as u32),
        }
    }
}
