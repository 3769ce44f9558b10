//! Guests in wat: what one does in its phases, and what came of it.

use crate::mock::{Mock, REQUEST};
use lucet::http::Next;
use lucet::{Instance, Module, ModuleConfig, Outcome, Region, RegionConfig};
use std::sync::{Arc, OnceLock};

/// What http-wasm's specification lists, written down from there.
pub const IMPORTS: [(&str, &str, &str); 19] = [
    ("enable_features", "i32", "i32"),
    ("get_config", "i32 i32", "i32"),
    ("log_enabled", "i32", "i32"),
    ("log", "i32 i32 i32", ""),
    ("get_method", "i32 i32", "i32"),
    ("set_method", "i32 i32", ""),
    ("get_uri", "i32 i32", "i32"),
    ("set_uri", "i32 i32", ""),
    ("get_protocol_version", "i32 i32", "i32"),
    ("get_header_names", "i32 i32 i32", "i64"),
    ("get_header_values", "i32 i32 i32 i32 i32", "i64"),
    ("set_header_value", "i32 i32 i32 i32 i32", ""),
    ("add_header_value", "i32 i32 i32 i32 i32", ""),
    ("remove_header", "i32 i32 i32", ""),
    ("read_body", "i32 i32 i32", "i64"),
    ("write_body", "i32 i32 i32", ""),
    ("get_status_code", "", "i32"),
    ("set_status_code", "i32", ""),
    ("get_source_addr", "i32 i32", "i32"),
];

/// A guest with what it does in each phase. `$r` is where results go: `(call $r32 (..))` and
/// `(call $r64 (..))` append them to a list at 60000.
#[derive(Default, Clone, Copy)]
pub struct Guest<'a> {
    pub start: &'a str,
    pub request: &'a str,
    pub response: &'a str,
    pub data: &'a [(u32, &'a str)],
}

/// Where results are noted.
const RESULTS: u64 = 60000;

pub fn wat(g: &Guest<'_>) -> String {
    let mut text = "(module\n".to_owned();
    for (name, params, result) in IMPORTS {
        let result = if result.is_empty() { String::new() } else { format!("(result {result})") };
        text += &format!(
            "(import \"http_handler\" \"{name}\" (func ${name} (param {params}) {result}))\n"
        );
    }
    text += "(memory (export \"memory\") 1) (global $at (mut i32) (i32.const 60000))
      (func $r64 (param i64) (i64.store (global.get $at) (local.get 0))
        (global.set $at (i32.add (global.get $at) (i32.const 8))))
      (func $r32 (param i32) (call $r64 (i64.extend_i32_u (local.get 0))))\n";
    for (at, bytes) in g.data {
        let hex: String = bytes.bytes().map(|b| format!("\\{b:02x}")).collect();
        text += &format!("(data (i32.const {at}) \"{hex}\")\n");
    }
    if !g.start.is_empty() {
        text += &format!("(func $start {}) (start $start)\n", g.start);
    }
    text += &format!("(func (export \"handle_request\") (result i64) {})\n", g.request);
    if !g.response.is_empty() {
        text += &format!(
            "(func (export \"handle_response\") (param $ctx i32) (param $error i32) {})\n",
            g.response
        );
    }
    text + ")"
}

pub fn region() -> Arc<Region> {
    static REGION: OnceLock<Arc<Region>> = OnceLock::new();
    REGION
        .get_or_init(|| Region::new(RegionConfig { slots: 64, ..RegionConfig::default() }).unwrap())
        .clone()
}

/// A module for a server.
pub fn module(mock: &Arc<Mock>, wat: &str) -> Arc<Module> {
    let mut config = ModuleConfig { allow_unsigned: true, ..ModuleConfig::default() };
    config.offer_http(mock.clone()).unwrap();
    let bytes = lucetc::compile(wat.as_bytes(), &lucetc::Options::default())
        .unwrap_or_else(|e| panic!("{e}\n{wat}"));
    Module::load_bytes(&bytes, &config).unwrap_or_else(|e| panic!("{e}"))
}

/// An instance that works for the mock's request.
pub fn attached(mock: &Arc<Mock>, g: &Guest<'_>) -> Instance {
    let i = Instance::new(&region(), &module(mock, &wat(g))).unwrap();
    i.http_attach(REQUEST).unwrap();
    i
}

/// What came of a phase.
pub struct Ran {
    pub outcome: Outcome,
    pub next: Next,
    pub instance: Instance,
}

impl Ran {
    /// The results that it noted.
    pub fn results<const N: usize>(&self) -> [u64; N] {
        std::array::from_fn(|n| {
            let mut bytes = [0; 8];
            self.instance.memory_read(RESULTS + 8 * n as u64, &mut bytes).unwrap();
            u64::from_le_bytes(bytes)
        })
    }

    /// What lies in its memory; NUL is `|`.
    pub fn text(&self, at: u64, len: usize) -> String {
        let mut bytes = vec![0; len];
        self.instance.memory_read(at, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap().replace('\0', "|")
    }

    /// Why it was ended.
    pub fn problem(&self) -> Option<lucet::http::abi::Problem> {
        match self.outcome {
            Outcome::HostError(value) => lucet::http::problem(value),
            _ => None,
        }
    }
}

/// Runs the request phase.
pub fn request(mock: &Arc<Mock>, request: &str, data: &[(u32, &str)]) -> Ran {
    let instance = attached(mock, &Guest { request, data, ..Guest::default() });
    let (outcome, next) = instance.http_handle_request().unwrap();
    Ran { outcome, next, instance }
}

/// Runs both phases: the request phase does `first` and goes on.
pub fn response(mock: &Arc<Mock>, first: &str, response: &str, data: &[(u32, &str)]) -> Ran {
    let request = format!("{first} (i64.const 0x700000001)");
    let instance = attached(mock, &Guest { request: &request, response, data, ..Guest::default() });
    let (outcome, next) = instance.http_handle_request().unwrap();
    assert_eq!((&outcome, next), (&Outcome::Returned(Vec::new()), Next::Continue));
    let outcome = instance.http_handle_response(false).unwrap();
    Ran { outcome, next, instance }
}
