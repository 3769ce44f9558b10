//! HTTP plugins in C.

use super::args::{Out, required};
use super::error::{border, border_of_maker, border_or};
use super::handle;
use super::http_server::{Table, lucet_http_server};
use super::instance::lucet_instance;
use super::module::{MODULES, change, lucet_module, lucet_module_config};
use super::raw;
use super::status::lucet_outcome;
use crate::http::{self, Next};
use crate::outcome::OutcomeKind;
use lucet_http::{Abi, Wait};
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// An HTTP interface between servers and plugins. Numbers never change.
#[repr(i32)]
pub enum lucet_http_abi {
    /// http-wasm's http_handler.
    LUCET_HTTP_ABI_HTTP_WASM = 1,
}

/// What a plugin wants after its request phase. Numbers never change.
#[repr(i32)]
pub enum lucet_http_next {
    /// The response is what the plugin made of it.
    LUCET_HTTP_RESPOND = 0,
    /// Somebody else makes the response: the next plugin, or the server. Then the plugin wants to
    /// see it: call lucet_http_handle_response.
    LUCET_HTTP_CONTINUE = 1,
    /// Somebody else makes the response, and the plugin is done: its instance can be freed.
    LUCET_HTTP_CONTINUE_WITHOUT_RESPONSE = 2,
}

/// What a plugin waits for that yielded. Numbers never change.
#[repr(i32)]
pub enum lucet_http_wait {
    /// Nothing of this layer.
    LUCET_HTTP_WAIT_NONE = 0,
    /// The callback read_body had nothing yet.
    LUCET_HTTP_WAIT_READ_BODY = 1,
    /// The callback write_body had no room.
    LUCET_HTTP_WAIT_WRITE_BODY = 2,
}

const _: () = {
    use {lucet_http_abi as A, lucet_http_next as N, lucet_http_wait as W};
    assert!(A::LUCET_HTTP_ABI_HTTP_WASM as i32 == Abi::HttpWasm as i32);
    assert!(N::LUCET_HTTP_RESPOND as i32 == Next::Respond as i32);
    assert!(N::LUCET_HTTP_CONTINUE as i32 == Next::Continue as i32);
    let quietly = N::LUCET_HTTP_CONTINUE_WITHOUT_RESPONSE as i32;
    assert!(quietly == Next::ContinueWithoutResponse as i32);
    assert!(W::LUCET_HTTP_WAIT_NONE as u32 == 0);
    assert!(W::LUCET_HTTP_WAIT_READ_BODY as u32 == Wait::ReadBody as u32);
    assert!(W::LUCET_HTTP_WAIT_WRITE_BODY as u32 == Wait::WriteBody as u32);
};

/// Offers the functions of all HTTP interfaces to modules that are loaded with this configuration,
/// for a server. The table and its configuration text are copied. Once for each configuration.
///
/// LUCET_STATUS_INVALID_ARGUMENT if `server->size` is smaller than that of the first version of
/// lucet_http_server, or if functions of these names were added before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_module_config_set_http_server(
    config: *mut lucet_module_config,
    server: *const lucet_http_server,
) -> raw::lucet_status {
    border_of_maker(|| {
        change(config, |_| Ok(()))?;
        let server = required(server, "server")?;
        // SAFETY: not NULL, and the header asks for a table of the size that it says.
        let table = Arc::new(unsafe { Table::copy(server) }?);
        change(config, |c| c.offer_http(table))
    })
}

/// Whether a module is a plugin: which interface it speaks (`*abi`), and whether it handles
/// responses. For the server's start, so that a mistake is found before a request. Either place may
/// be NULL. Any thread.
///
/// LUCET_STATUS_UNSUPPORTED if it was loaded without a server, LUCET_STATUS_NO_SUCH_EXPORT,
/// LUCET_STATUS_EXPORT_TYPE_MISMATCH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_http_check(
    module: *mut lucet_module,
    abi: *mut raw::lucet_http_abi,
    handles_responses: *mut bool,
) -> raw::lucet_status {
    border(|| {
        let plugin = MODULES.get(module, "module")?.http_plugin()?;
        if !abi.is_null() {
            // SAFETY: not NULL, and the header asks for a place for it.
            unsafe { abi.write(plugin.abi as i32) };
        }
        if !handles_responses.is_null() {
            // SAFETY: as above.
            unsafe { handles_responses.write(plugin.handles_responses()) };
        }
        Ok(())
    })
}

/// Makes an instance work for a request: callbacks are given this pointer, which lucet never looks
/// at. What was known of an earlier request is forgotten. Allocates nothing if the slot was used
/// for the module before.
///
/// What `request` points to must live until the instance is freed, or attached to another. After
/// lucet_instance_reset, attach again.
///
/// LUCET_STATUS_WRONG_STATE unless the instance is ready, LUCET_STATUS_OUT_OF_MEMORY; otherwise as
/// lucet_http_check.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn lucet_http_attach(
    instance: *mut lucet_instance,
    request: *mut c_void,
) -> raw::lucet_status {
    border(|| handle::instance(instance, "instance")?.http_attach(request.expose_provenance()))
}

/// Runs the request phase of a plugin. If it returned (`outcome->kind`), `*next` says who makes the
/// response; otherwise it is LUCET_HTTP_RESPOND and means nothing. If it was suspended, it goes on
/// with lucet_http_resume.
///
/// LUCET_STATUS_WRONG_STATE unless a request was attached and not handled yet; otherwise as
/// lucet_instance_run.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_http_handle_request(
    instance: *mut lucet_instance,
    next: *mut raw::lucet_http_next,
    outcome: *mut lucet_outcome,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for places for the results.
        let (next, outcome) = unsafe { places(next, outcome) }?;
        let (ended, wish) = handle::instance(instance, "instance")?.http_request_ended()?;
        next.set(wish as i32);
        outcome.set(ended.into());
        Ok(())
    })
}

/// Runs the response phase of a plugin whose request phase came to LUCET_HTTP_CONTINUE, when the
/// response's status and headers are there: with its body, if the plugin enabled
/// LUCET_HTTP_BUFFER_RESPONSE. `is_error` tells it that there is no response because something went
/// wrong. If it was suspended, it goes on with lucet_http_resume.
///
/// LUCET_STATUS_WRONG_STATE in other phases; otherwise as lucet_instance_run.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_http_handle_response(
    instance: *mut lucet_instance,
    is_error: bool,
    outcome: *mut lucet_outcome,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for a place for the outcome.
        let outcome = unsafe { Out::new(outcome, "outcome", lucet_outcome::default()) }?;
        let i = handle::instance(instance, "instance")?;
        outcome.set(i.http_response_ended(is_error)?.into());
        Ok(())
    })
}

/// Goes on with a phase that yielded or was preempted: lucet_instance_resume for plugins, which
/// knows what the phase returns. `value` is for host functions of the server's own; this layer's
/// ask their callback again. `*next` as in lucet_http_handle_request if it is the request phase,
/// otherwise LUCET_HTTP_RESPOND.
///
/// LUCET_STATUS_WRONG_STATE if what is suspended is no phase of a plugin; otherwise as
/// lucet_instance_resume.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn lucet_http_resume(
    instance: *mut lucet_instance,
    value: u64,
    next: *mut raw::lucet_http_next,
    outcome: *mut lucet_outcome,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for places for the results.
        let (next, outcome) = unsafe { places(next, outcome) }?;
        let (ended, wish) = handle::instance(instance, "instance")?.http_resume_ended(value)?;
        next.set(wish as i32);
        outcome.set(ended.into());
        Ok(())
    })
}

/// Places for what a phase comes to.
///
/// # Safety
/// Each is NULL or a place for it.
unsafe fn places(
    next: *mut raw::lucet_http_next,
    outcome: *mut lucet_outcome,
) -> crate::Result<(Out<raw::lucet_http_next>, Out<lucet_outcome>)> {
    // SAFETY: the caller's promise.
    unsafe {
        Ok((
            Out::new(next, "next", Next::Respond as i32)?,
            Out::new(outcome, "outcome", lucet_outcome::default())?,
        ))
    }
}

/// The value of an outcome of this kind.
///
/// # Safety
/// `outcome` is NULL or an outcome.
unsafe fn value_of(outcome: *const lucet_outcome, kind: OutcomeKind) -> crate::Result<Option<u64>> {
    // SAFETY: not NULL, and the caller's promise.
    let outcome = unsafe { required(outcome, "outcome")?.read() };
    Ok((outcome.kind == kind as i32).then_some(outcome.value))
}

/// What a plugin waits for after LUCET_OUTCOME_YIELDED. LUCET_HTTP_WAIT_NONE if it yielded for
/// another reason, or did not. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_http_waits_for(
    outcome: *const lucet_outcome,
) -> raw::lucet_http_wait {
    border_or(0, || {
        // SAFETY: the header asks for an outcome.
        let value = unsafe { value_of(outcome, OutcomeKind::Yielded) }?;
        Ok(value.and_then(http::waits_for).map_or(0, |w| w as i32))
    })
}

/// Why a plugin was ended with LUCET_OUTCOME_HOST_ERROR, in words, such as "the plugin set a header
/// value with control characters". Static. NULL if it was not for something that it asked of this
/// layer. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_http_problem(outcome: *const lucet_outcome) -> *const c_char {
    border_or(std::ptr::null(), || {
        // SAFETY: the header asks for an outcome.
        let value = unsafe { value_of(outcome, OutcomeKind::HostError) }?;
        let problem = value.and_then(http::problem);
        // The text ends with a NUL.
        Ok(problem.map_or(std::ptr::null(), |p| p.text().as_ptr().cast()))
    })
}
