//! HTTP plugins: instances that work for a request of a server.
//!
//! ```text
//!  load:      ModuleConfig::offer_http(server) ─► imports http_handler.*
//!  request:   attach(word) ─► handle_request ─► Next::Respond | Next::Continue …
//!                                  └─ Yielded, Preempted ─► resume ─┘
//!  response:  handle_response
//! ```
//!
//! What a guest may ask, and what is checked, is in the crate `lucet-http`; here it is bound to
//! instances. What is known of a request ([`Attached`]) stays with the slot when an instance is
//! freed, for the next one: attaching allocates nothing then. It counts only for the generation of
//! the instance that it was attached to.

mod bind;

use crate::error::{Error, Result, Status};
use crate::instance::{Callee, Ended, InstanceRef};
use crate::module::{Core, Func, Module, ModuleConfig};
use crate::outcome::Outcome;
use crate::sys::reserve;
use crate::value::Val;
use crate::vmctx::{ControlRef, State};
use lucet_artifact::{FuncType, ValType};
pub use lucet_http as abi;
use lucet_http::abi::{Entry, Shape};
use lucet_http::{Abi, Exchange, Phase, Problem, Request, Server, Wait};
use std::sync::Arc;

/// The upper half of outcome values that come from this layer: of `HostError` with a [`Problem`] in
/// the lower half, of `Yielded` with a [`Wait`].
pub const TAG: u64 = 0x4854_5450;

/// What an outcome value with that tag says.
fn tagged(value: u64) -> Option<u32> {
    (value >> 32 == TAG).then_some(value as u32)
}

/// Why a run of a plugin ended with `HostError(value)`, if it was for something that it asked.
#[must_use]
pub fn problem(value: u64) -> Option<Problem> {
    tagged(value).and_then(Problem::from_number)
}

/// What a plugin waits for that ended with `Yielded(value)`, if it waits for its server.
#[must_use]
pub fn waits_for(value: u64) -> Option<Wait> {
    match tagged(value)? {
        1 => Some(Wait::ReadBody),
        2 => Some(Wait::WriteBody),
        _ => None,
    }
}

/// What a plugin wants to happen after its request phase. Numbers are those of C.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i32)]
pub enum Next {
    /// The response is what the plugin made of it.
    #[default]
    Respond = 0,
    /// Somebody else makes the response, and the plugin wants to see it.
    Continue = 1,
    /// Somebody else makes the response; the plugin is done.
    ContinueWithoutResponse = 2,
}

/// A module as a plugin.
#[derive(Debug, Clone, Copy)]
pub struct Plugin {
    /// The interface that it speaks.
    pub abi: Abi,
    request: Func,
    response: Option<Func>,
}

impl Plugin {
    /// Whether it handles responses.
    #[must_use]
    pub fn handles_responses(&self) -> bool {
        self.response.is_some()
    }
}

/// An instance's request.
#[derive(Debug)]
pub(crate) struct Attached {
    server: Arc<dyn Server>,
    /// The instance that it is about.
    generation: u32,
    request: Option<Request>,
    exchange: Exchange,
    plugin: Option<Plugin>,
}

impl Attached {
    /// What a new instance of the module begins with.
    fn make(module: &Core, generation: u32) -> Result<Box<Self>> {
        let server = module.http.clone().ok_or_else(|| {
            Error::new(Status::Unsupported, "the module was loaded without an HTTP server")
        })?;
        let new =
            Self { server, generation, request: None, exchange: Exchange::default(), plugin: None };
        reserve::try_box(new)
            .ok_or_else(|| Error::new(Status::OutOfMemory, "no memory for an HTTP request"))
    }

    fn forget(&mut self) {
        self.request = None;
        self.exchange = Exchange::default();
    }

    /// That of the instance with this generation; what was about an earlier one is forgotten.
    fn of(control: ControlRef, generation: u32) -> Result<Box<Self>> {
        let known = control.with(|i| i.http.take());
        match known {
            Some(mut known) => {
                if known.generation != generation {
                    known.generation = generation;
                    known.forget();
                }
                Ok(known)
            }
            None => Self::make(&control.with(|i| i.module.clone()), generation),
        }
    }
}

/// At the reset of an instance: its start-up code, which runs again, has no request.
pub(crate) fn renew(attached: &mut Option<Box<Attached>>) {
    if let Some(a) = attached {
        a.forget();
    }
}

impl ModuleConfig {
    /// Offers the functions of all HTTP interfaces to modules, for `server`.
    ///
    /// # Errors
    /// `InvalidArgument` if there is a server already, or functions of these names.
    pub fn offer_http(&mut self, server: Arc<dyn Server>) -> Result<()> {
        if self.http.is_some() {
            return Err(Error::new(Status::InvalidArgument, "there is an HTTP server already"));
        }
        bind::offer(&mut self.imports)?;
        self.http = Some(server);
        Ok(())
    }
}

fn func_type(shape: Shape) -> FuncType {
    let results = if shape.returns { vec![ValType::I64] } else { Vec::new() };
    FuncType { params: vec![ValType::I32; shape.params], results }
}

impl Core {
    fn entry(&self, entry: Entry) -> Result<Option<Func>> {
        match self.export(entry.name) {
            None if !entry.required => Ok(None),
            _ => self.find(entry.name, Some(&func_type(entry.shape))).map(Some),
        }
    }

    /// The module as a plugin.
    ///
    /// # Errors
    /// `Unsupported` if it was loaded without a server, `NoSuchExport`, `ExportTypeMismatch`.
    pub fn http_plugin(&self) -> Result<Plugin> {
        if self.http.is_none() {
            let message = "the module was loaded without an HTTP server";
            return Err(Error::new(Status::Unsupported, message));
        }
        let missing = || {
            let message = "the module exports no function that an HTTP interface calls: \
                           `handle_request` for http-wasm";
            Error::new(Status::NoSuchExport, message)
        };
        let abi = Abi::of(|name| self.export(name).is_some()).ok_or_else(missing)?;
        let request = self.entry(abi.request())?.ok_or_else(missing)?;
        Ok(Plugin { abi, request, response: self.entry(abi.response())? })
    }
}

/// The phases in which a plugin is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Request,
    Response { error: bool },
}

fn wrong_phase(phase: Phase, wanted: &str) -> Error {
    let is = match phase {
        Phase::Start => "no request is attached to the instance",
        Phase::Ready => "the request was not handled yet",
        Phase::Request => "the request phase is not over",
        Phase::Between => "the request was handled already",
        Phase::Response => "the response phase is not over",
        Phase::Done => "the plugin is done with its request",
    };
    Error::new(Status::WrongState, format!("{wanted}: {is}"))
}

/// An instance that nobody runs.
const READY: [State; 1] = [State::Ready];
const WAITING: [State; 2] = [State::Suspended, State::Preempted];

impl InstanceRef {
    /// Attaches a request, which the server's callbacks will be told. What was known of an earlier
    /// one is forgotten.
    ///
    /// # Errors
    /// As [`Core::http_plugin`]; `InvalidHandle`, `Busy`, `WrongState`, `OutOfMemory`.
    pub fn http_attach(&self, request: usize) -> Result<()> {
        let lease = self.lease(&READY)?;
        let control = lease.control;
        let mut attached = Attached::of(control, self.parts().1)?;
        if attached.plugin.is_none() {
            attached.plugin = Some(control.with(|i| i.module.clone()).http_plugin()?);
        }
        attached.exchange.attach();
        attached.request = Some(Request(request));
        control.with(|i| i.http = Some(attached));
        Ok(())
    }

    /// Looks at what is attached.
    fn http<R>(&self, states: &[State], f: impl FnOnce(Option<&mut Attached>) -> R) -> Result<R> {
        let lease = self.lease(states)?;
        let generation = self.parts().1;
        Ok(lease.control.with(|i| f(i.http.as_deref_mut().filter(|a| a.generation == generation))))
    }

    /// Begins a phase: the function to call, and the guest's word for the request.
    fn begin(&self, part: Part) -> Result<(Func, u32)> {
        let (from, to, what) = match part {
            Part::Request => (Phase::Ready, Phase::Request, "a request cannot be handled now"),
            Part::Response { .. } => {
                (Phase::Between, Phase::Response, "a response cannot be handled now")
            }
        };
        self.http(&READY, |attached| {
            let Some(a) = attached else { return Err(wrong_phase(Phase::Start, what)) };
            if a.exchange.phase != from {
                return Err(wrong_phase(a.exchange.phase, what));
            }
            let func = match (part, &a.plugin) {
                (Part::Request, Some(p)) => Some(p.request),
                (_, Some(p)) => p.response,
                (_, None) => None,
            };
            let func = func.ok_or_else(|| wrong_phase(Phase::Done, what))?;
            a.exchange.phase = to;
            Ok((func, a.exchange.context))
        })?
    }

    /// Notes that a phase is over, or could not begin.
    fn end(&self, result: Option<u64>) -> Result<Next> {
        self.http(&READY, |attached| {
            let Some(a) = attached else { return Next::Respond };
            let (phase, next) = match (a.exchange.phase, result, a.plugin) {
                (Phase::Request, Some(result), Some(p)) => {
                    let (goes_on, context) = p.abi.next(result);
                    a.exchange.context = context;
                    match goes_on {
                        false => (Phase::Done, Next::Respond),
                        true if p.response.is_some() => (Phase::Between, Next::Continue),
                        true => (Phase::Done, Next::ContinueWithoutResponse),
                    }
                }
                _ => (Phase::Done, Next::Respond),
            };
            a.exchange.phase = phase;
            next
        })
    }

    /// Calls the plugin.
    fn call_part(&self, part: Part) -> Result<(Ended, Next)> {
        let (func, context) = self.begin(part)?;
        let mut result = 0u64;
        let ended = match part {
            Part::Request => {
                let none: &[Val] = &[];
                match self.shortcut(func, none, 1, |_, _, slot| result = slot as u64) {
                    Some(ended) => ended,
                    None => self.call(Callee::Func(func), none, Some(1), |_, _, slot| {
                        result = slot as u64;
                    })?,
                }
            }
            Part::Response { error } => {
                let args = [Val::I32(context.cast_signed()), Val::I32(error.into())];
                match self.shortcut(func, &args, 0, |_, _, _| {}) {
                    Some(ended) => ended,
                    None => self.call(Callee::Func(func), &args, Some(0), |_, _, _| {})?,
                }
            }
        };
        self.ended(ended, result)
    }

    fn ended(&self, ended: Ended, result: u64) -> Result<(Ended, Next)> {
        let next = match ended {
            Ended::Returned => self.end(Some(result))?,
            _ => Next::Respond,
        };
        Ok((ended, next))
    }

    pub(crate) fn http_request_ended(&self) -> Result<(Ended, Next)> {
        self.call_part(Part::Request)
    }

    pub(crate) fn http_response_ended(&self, error: bool) -> Result<Ended> {
        self.call_part(Part::Response { error }).map(|(ended, _)| ended)
    }

    pub(crate) fn http_resume_ended(&self, value: u64) -> Result<(Ended, Next)> {
        let phase = self.http(&WAITING, |a| a.map(|a| a.exchange.phase))?;
        let room = match phase {
            Some(Phase::Request) => 1,
            Some(Phase::Response) => 0,
            other => {
                let phase = other.unwrap_or(Phase::Start);
                return Err(wrong_phase(phase, "the plugin cannot be resumed"));
            }
        };
        let mut result = 0;
        let ended = self.resume_with(value, Some(room), |_, _, slot| result = slot as u64)?;
        self.ended(ended, result)
    }

    /// The request phase: what happened, and what the plugin wants next if it returned.
    ///
    /// # Errors
    /// `WrongState` unless a request was attached and not handled yet; as [`InstanceRef::run`].
    pub fn http_handle_request(&self) -> Result<(Outcome, Next)> {
        let (ended, next) = self.http_request_ended()?;
        Ok((self.named(ended).outcome(Vec::new()), next))
    }

    /// The response phase; `error`: there is no response, because something went wrong.
    ///
    /// # Errors
    /// `WrongState` unless the request phase came to [`Next::Continue`]; as [`InstanceRef::run`].
    pub fn http_handle_response(&self, error: bool) -> Result<Outcome> {
        let ended = self.http_response_ended(error)?;
        Ok(self.named(ended).outcome(Vec::new()))
    }

    /// Goes on with a phase that was suspended.
    ///
    /// # Errors
    /// As [`InstanceRef::resume`]; `WrongState` if what is suspended is no phase of a plugin.
    pub fn http_resume(&self, value: u64) -> Result<(Outcome, Next)> {
        let (ended, next) = self.http_resume_ended(value)?;
        Ok((self.named(ended).outcome(Vec::new()), next))
    }
}

impl Module {
    /// The server that it was loaded for, if any.
    #[must_use]
    pub fn http_server(&self) -> Option<&Arc<dyn Server>> {
        self.http.as_ref()
    }
}
