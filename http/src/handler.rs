//! The functions of `http_handler`: what a guest of http-wasm imports.
//!
//! Each takes the words that the guest passed. Where the specification says that a host which
//! cannot do something traps, the run ends with a [`Problem`] that says what it was.

use crate::exchange::{Paused, Phase};
use crate::give::{self, Style};
use crate::server::{Body, Change, Features, Field, Kind, Level, Read, Reply, Wait};
use crate::text::Line;
use crate::{Answer, Call, Problem, Stop, check};

/// The name of the module that these functions are imported from.
pub const MODULE: &str = "http_handler";

/// The functions: calls `$with!` with a list of `name(parameter: type, ...) -> result;`.
#[macro_export]
macro_rules! for_each_handler_function {
    ($with:ident) => {
        $with! {
            enable_features(features: u32) -> u32;
            get_config(buf: u32, limit: u32) -> u32;
            log_enabled(level: u32) -> u32;
            log(level: u32, message: u32, len: u32) -> ();
            get_method(buf: u32, limit: u32) -> u32;
            set_method(method: u32, len: u32) -> ();
            get_uri(buf: u32, limit: u32) -> u32;
            set_uri(uri: u32, len: u32) -> ();
            get_protocol_version(buf: u32, limit: u32) -> u32;
            get_source_addr(buf: u32, limit: u32) -> u32;
            get_header_names(kind: u32, buf: u32, limit: u32) -> u64;
            get_header_values(kind: u32, name: u32, name_len: u32, buf: u32, limit: u32) -> u64;
            set_header_value(kind: u32, name: u32, name_len: u32, value: u32, len: u32) -> ();
            add_header_value(kind: u32, name: u32, name_len: u32, value: u32, len: u32) -> ();
            remove_header(kind: u32, name: u32, name_len: u32) -> ();
            read_body(kind: u32, buf: u32, limit: u32) -> u64;
            write_body(kind: u32, body: u32, len: u32) -> ();
            get_status_code() -> u32;
            set_status_code(status: u32) -> ();
        }
    };
}

/// What a reply means where waiting is not possible.
fn done(reply: Reply) -> Answer<()> {
    match reply {
        Reply::Done => Ok(()),
        Reply::Wait | Reply::Refused => Problem::Refused.into(),
    }
}

impl Call<'_> {
    fn request(&self) -> Answer<crate::Request> {
        self.exchange.attached()?;
        self.request.ok_or(Stop::Problem(Problem::NoRequest))
    }

    fn bytes(&self, at: u32, len: u32) -> Answer<&[u8]> {
        match len {
            0 => Ok(&[]),
            _ => self.memory.read(at, len).ok_or(Stop::OutOfBounds),
        }
    }

    /// A text about the request.
    fn field(&mut self, field: Field, buf: u32, limit: u32) -> Answer<u32> {
        let request = self.request()?;
        let mut answer = Problem::ServerFailed.into();
        let memory = &mut *self.memory;
        self.server.field(Some(request), field, &mut |text| {
            answer = give::text(memory, buf, limit, text);
        });
        answer
    }
}

/// Enables features, and says which ones there are.
pub fn enable_features(c: &mut Call<'_>, features: u32) -> Answer<u32> {
    let supported = c.server.features();
    let wanted = Features(features).and(supported);
    match c.exchange.phase {
        Phase::Start | Phase::Ready | Phase::Request => {
            let request = c.request.filter(|_| c.exchange.phase != Phase::Start);
            if !c.exchange.features.has(wanted) {
                done(c.server.enable(request, wanted))?;
                c.exchange.features = c.exchange.features.or(wanted);
            }
        }
        // What was enabled before is there; more would come too late.
        _ => {}
    }
    Ok(supported.0)
}

/// The operator's configuration.
pub fn get_config(c: &mut Call<'_>, buf: u32, limit: u32) -> Answer<u32> {
    let mut answer = Ok(0);
    let memory = &mut *c.memory;
    c.server.field(c.request, Field::Config, &mut |text| {
        answer = give::text(memory, buf, limit, text);
    });
    answer
}

fn is_logged(c: &Call<'_>, level: Level) -> bool {
    level != Level::None && level >= c.server.log_level(c.request)
}

/// Whether messages of a level are logged.
pub fn log_enabled(c: &mut Call<'_>, level: u32) -> Answer<u32> {
    let level = Level::from_number(level.cast_signed());
    Ok(level.is_some_and(|l| is_logged(c, l)).into())
}

/// Logs a message.
pub fn log(c: &mut Call<'_>, level: u32, message: u32, len: u32) -> Answer<()> {
    let level = Level::from_number(level.cast_signed());
    let Some(level) = level.filter(|l| is_logged(c, *l)) else { return Ok(()) };
    write_log(c, level, |c, line| {
        line.push_escaped(c.bytes(message, len)?);
        Ok(())
    })
}

/// Logs a line, unless the request has said enough.
pub(crate) fn write_log(
    c: &mut Call<'_>,
    level: Level,
    put: impl FnOnce(&Call<'_>, &mut Line) -> Answer<()>,
) -> Answer<()> {
    let (logged, last) = c.exchange.count_log(c.server.limits());
    if logged {
        let mut line = Line::new(c.server.limits().log_bytes);
        put(c, &mut line)?;
        c.server.log(c.request, level, line.finish());
    } else if last {
        let text = "the plugin logs too much: its further messages are left out";
        c.server.log(c.request, Level::Warn, text);
    }
    Ok(())
}

/// The method.
pub fn get_method(c: &mut Call<'_>, buf: u32, limit: u32) -> Answer<u32> {
    c.field(Field::Method, buf, limit)
}

/// Replaces the method.
pub fn set_method(c: &mut Call<'_>, method: u32, len: u32) -> Answer<()> {
    let request = c.request()?;
    c.exchange.only(&[Phase::Request])?;
    let text = c.bytes(method, len)?;
    check::method(text)?;
    done(c.server.set_field(request, Field::Method, text))
}

/// The URI.
pub fn get_uri(c: &mut Call<'_>, buf: u32, limit: u32) -> Answer<u32> {
    c.field(Field::Uri, buf, limit)
}

/// Replaces the URI. An empty one is `/`.
pub fn set_uri(c: &mut Call<'_>, uri: u32, len: u32) -> Answer<()> {
    let request = c.request()?;
    c.exchange.only(&[Phase::Request])?;
    let text = match c.bytes(uri, len)? {
        [] => b"/",
        text => text,
    };
    check::uri(text, c.server.limits().uri_bytes)?;
    done(c.server.set_field(request, Field::Uri, text))
}

/// The protocol.
pub fn get_protocol_version(c: &mut Call<'_>, buf: u32, limit: u32) -> Answer<u32> {
    c.field(Field::Protocol, buf, limit)
}

/// Address and port of the client.
pub fn get_source_addr(c: &mut Call<'_>, buf: u32, limit: u32) -> Answer<u32> {
    c.field(Field::SourceAddress, buf, limit)
}

fn kind(number: u32) -> Answer<Kind> {
    Kind::from_number(number).ok_or(Stop::Problem(Problem::BadKind))
}

/// Whether the guest may know of headers of a kind. Trailers that are not there are none.
fn is_there(c: &Call<'_>, kind: Kind) -> bool {
    !kind.is_trailers() || c.exchange.features.has(Features::TRAILERS)
}

/// The names of all headers.
pub fn get_header_names(c: &mut Call<'_>, kind: u32, buf: u32, limit: u32) -> Answer<u64> {
    let (request, kind) = (c.request()?, self::kind(kind)?);
    if !is_there(c, kind) {
        return Ok(0);
    }
    let server = c.server;
    give::list(c.memory, (buf, limit), Style::Names, &|each| {
        server.headers(request, kind, &mut |name, _| each(name));
    })
}

/// All values of a header.
pub fn get_header_values(
    c: &mut Call<'_>,
    kind: u32,
    name: u32,
    name_len: u32,
    buf: u32,
    limit: u32,
) -> Answer<u64> {
    let (request, kind) = (c.request()?, self::kind(kind)?);
    // The name may lie where the values go, so it is kept meanwhile.
    let mut kept = [0u8; NAME];
    let name = c.bytes(name, name_len)?;
    check::header_name(name)?;
    let Some(wanted) = kept.get_mut(..name.len()) else { return Problem::TooLong.into() };
    wanted.copy_from_slice(name);
    if !is_there(c, kind) {
        return Ok(0);
    }
    let (server, wanted) = (c.server, &*wanted);
    give::list(c.memory, (buf, limit), Style::Plain, &|each| {
        server.headers(request, kind, &mut |name, value| {
            !name.eq_ignore_ascii_case(wanted) || each(value)
        });
    })
}

/// Bytes of a header name that can be asked for.
const NAME: usize = 256;

/// Changes a header.
fn change(
    c: &mut Call<'_>,
    (kind, change): (u32, Change),
    name: (u32, u32),
    value: (u32, u32),
) -> Answer<()> {
    let (request, kind) = (c.request()?, self::kind(kind)?);
    let phases = [Phase::Request, Phase::Response];
    c.exchange.only(if kind.is_request() { &phases[..1] } else { &phases })?;
    if !is_there(c, kind) {
        return Problem::NoTrailers.into();
    }
    let bytes = u64::from(name.1) + u64::from(value.1);
    c.exchange.count_header(bytes, c.server.limits())?;
    let (name, value) = (c.bytes(name.0, name.1)?, c.bytes(value.0, value.1)?);
    if name.len() > NAME {
        return Problem::TooLong.into();
    }
    check::header_name(name)?;
    check::header_value(value)?;
    check::framing(name, (change != Change::Remove).then_some(value))?;
    done(c.server.change_header(request, kind, change, name, value))
}

/// Replaces all values of a header.
pub fn set_header_value(
    c: &mut Call<'_>,
    kind: u32,
    name: u32,
    name_len: u32,
    value: u32,
    len: u32,
) -> Answer<()> {
    change(c, (kind, Change::Set), (name, name_len), (value, len))
}

/// Adds a value of a header.
pub fn add_header_value(
    c: &mut Call<'_>,
    kind: u32,
    name: u32,
    name_len: u32,
    value: u32,
    len: u32,
) -> Answer<()> {
    change(c, (kind, Change::Add), (name, name_len), (value, len))
}

/// Removes a header.
pub fn remove_header(c: &mut Call<'_>, kind: u32, name: u32, name_len: u32) -> Answer<()> {
    change(c, (kind, Change::Remove), (name, name_len), (0, 0))
}

fn body(number: u32) -> Answer<Body> {
    Body::from_number(number).ok_or(Stop::Problem(Problem::BadKind))
}

/// Bytes that are read at once: no more of the guest's memory is touched than there is to read.
const CHUNK: u32 = 16 << 10;

/// The end of a body.
const END: u64 = 1 << 32;

/// Reads what comes next of a body.
pub fn read_body(c: &mut Call<'_>, kind: u32, buf: u32, limit: u32) -> Answer<u64> {
    let body = self::body(kind)?;
    c.exchange.only(&[Phase::Request, Phase::Response])?;
    if limit == 0 {
        return Problem::EmptyBuffer.into();
    }
    let needed = match body {
        Body::Request => Features::BUFFER_REQUEST,
        Body::Response => Features::BUFFER_RESPONSE,
    };
    // Without buffering it went by.
    if c.exchange.phase == Phase::Response && !c.exchange.features.has(needed) {
        return Ok(END);
    }
    go_on_reading(c, body, (buf, limit), 0)
}

fn go_on_reading(
    c: &mut Call<'_>,
    body: Body,
    (at, len): (u32, u32),
    mut done: u32,
) -> Answer<u64> {
    let request = c.request()?;
    while done < len {
        let place = at.checked_add(done).ok_or(Stop::OutOfBounds)?;
        let to = c.memory.write(place, (len - done).min(CHUNK)).ok_or(Stop::OutOfBounds)?;
        let room = to.len();
        match c.server.read_body(request, body, to) {
            Read::End(n) if n <= room => return Ok(END | u64::from(done + n as u32)),
            Read::Some(n) if n <= room && n > 0 => done += n as u32,
            Read::End(_) | Read::Some(_) => return Problem::ServerFailed.into(),
            Read::Refused => return Problem::Refused.into(),
            // What is there is better than waiting for more.
            Read::Wait if done > 0 => break,
            Read::Wait => {
                c.exchange.paused = Some(Paused::ReadBody { body, at, len, done });
                return Err(Stop::Wait(Wait::ReadBody));
            }
        }
    }
    Ok(u64::from(done))
}

/// Appends to a body.
pub fn write_body(c: &mut Call<'_>, kind: u32, at: u32, len: u32) -> Answer<()> {
    let body = self::body(kind)?;
    let phases = [Phase::Request, Phase::Response];
    c.exchange.only(if body == Body::Request { &phases[..1] } else { &phases })?;
    if c.exchange.phase == Phase::Response && !c.exchange.features.has(Features::BUFFER_RESPONSE) {
        return Problem::NotBuffered.into();
    }
    c.exchange.count_body(body, len.into(), c.server.limits())?;
    go_on_writing(c, body, at, len)
}

fn go_on_writing(c: &mut Call<'_>, body: Body, at: u32, len: u32) -> Answer<()> {
    let request = c.request()?;
    let first = c.exchange.is_first(body);
    let bytes = c.bytes(at, len)?;
    if bytes.is_empty() && !first {
        return Ok(());
    }
    match c.server.write_body(request, body, bytes, first) {
        Reply::Done => {
            c.exchange.note_write(body);
            Ok(())
        }
        Reply::Refused => Problem::Refused.into(),
        Reply::Wait => {
            c.exchange.paused = Some(Paused::WriteBody { body, at, len });
            Err(Stop::Wait(Wait::WriteBody))
        }
    }
}

/// Goes on with what a suspended plugin was doing: the result of its call.
pub fn resume(c: &mut Call<'_>) -> Answer<u64> {
    match c.exchange.paused.take() {
        Some(Paused::ReadBody { body, at, len, done }) => go_on_reading(c, body, (at, len), done),
        Some(Paused::WriteBody { body, at, len }) => go_on_writing(c, body, at, len).map(|()| 0),
        None => Problem::Internal.into(),
    }
}

/// The response's status; 200 if nobody set one.
pub fn get_status_code(c: &mut Call<'_>) -> Answer<u32> {
    let request = c.request()?;
    c.exchange.only(&[Phase::Request, Phase::Response])?;
    Ok(match c.server.status(request) {
        0 => 200,
        status => status,
    })
}

/// Sets the response's status.
pub fn set_status_code(c: &mut Call<'_>, status: u32) -> Answer<()> {
    let request = c.request()?;
    c.exchange.only(&[Phase::Request, Phase::Response])?;
    check::status(status)?;
    done(c.server.set_status(request, status))
}
