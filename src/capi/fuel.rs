//! Fuel in C: runs limited by steps.

use super::args::Out;
use super::error::border;
use super::handle;
use super::instance::lucet_instance;
use super::module::{change, lucet_module_config};
use super::raw;
use super::vmctx::{caller, lucet_vmctx};

/// The fuel that each instance of modules loaded with this configuration begins with, its start
/// function included. Without this call there is no limit, so a start function that never ends is
/// stopped by nobody: set it for modules that you do not trust.
///
/// Only modules compiled with `lucetc --fuel` count: loading another one with this configuration
/// is LUCET_STATUS_UNSUPPORTED. A start function that runs out is LUCET_STATUS_START_FAILED. To ask
/// for such modules and limit nothing yet, pass UINT64_MAX.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_module_config_set_fuel(
    config: *mut lucet_module_config,
    units: u64,
) -> raw::lucet_status {
    border(|| {
        change(config, |c| {
            c.fuel = Some(units);
            Ok(())
        })
    })
}

/// Sets how many units of fuel an instance has, whatever it had: about one for each wasm operator
/// that it may execute. When they are used up, a run ends with LUCET_OUTCOME_OUT_OF_FUEL at a place
/// that depends on nothing but artifact, arguments and fuel: not on time, machine or thread.
/// The instance is suspended; give it more and call lucet_instance_resume (its `value` is ignored),
/// on any thread, and it goes on at exactly that place. Each member of a group has fuel of its own.
///
/// The counter is looked at when functions and rounds of loops begin, before calls of host
/// functions and before bulk operations, so it may be below zero by what lies between: see
/// lucet_instance_fuel. A run that costs n units in all never stops if it has n.
///
/// Time that host functions take costs nothing; see lucet_vmctx_charge_fuel. Run out inside
/// lucet_vmctx_run, a guest cannot be suspended: that run, and the run around it when the host
/// function returns, end with LUCET_OUTCOME_OUT_OF_FUEL, and the instance is faulted.
///
/// Values of 2^63 and more are as good as no limit. Reset gives an instance what it began with.
///
/// LUCET_STATUS_UNSUPPORTED if the module was compiled without --fuel, LUCET_STATUS_BUSY while it
/// runs.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_instance_set_fuel(
    instance: *mut lucet_instance,
    units: u64,
) -> raw::lucet_status {
    border(|| handle::instance(instance, "instance")?.set_fuel(units))
}

/// Gives an instance so many units of fuel more. If the counter is below zero, that is taken off
/// them: so what a run is given in all is what it has used and what is left.
///
/// Otherwise as lucet_instance_set_fuel.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_instance_add_fuel(
    instance: *mut lucet_instance,
    units: u64,
) -> raw::lucet_status {
    border(|| handle::instance(instance, "instance")?.add_fuel(units))
}

/// The units of fuel that an instance has left: below zero if what it did between two looks at the
/// counter cost more than was left, INT64_MAX or close to it if no limit was set. After a trap or a
/// stop from outside, what was used since the last call or loop may be missing in it.
///
/// Errors as for lucet_instance_set_fuel; `*left` is 0 then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_instance_fuel(
    instance: *mut lucet_instance,
    left: *mut i64,
) -> raw::lucet_status {
    border(|| {
        // SAFETY: the header asks for a place for the number.
        let left = unsafe { Out::new(left, "left", 0) }?;
        left.set(handle::instance(instance, "instance")?.fuel()?);
        Ok(())
    })
}

/// Takes units off the fuel of the guest that called this host function, for what the function
/// does: it costs 64 otherwise, whatever it does. The guest stops at the next place that looks at
/// the counter, if it is used up then.
///
/// LUCET_STATUS_UNSUPPORTED if the module was compiled without --fuel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lucet_vmctx_charge_fuel(
    ctx: *mut lucet_vmctx,
    units: u64,
) -> raw::lucet_status {
    // SAFETY: the header says what `ctx` is.
    border(|| unsafe { caller(ctx) }?.charge_fuel(units))
}
