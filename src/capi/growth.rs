//! Who is asked before a memory or table grows, in C.

use super::handle::of_instance;
use super::instance::lucet_instance;
use super::raw;
use super::region::{lucet_region_config, set};
use crate::instance::InstanceRef;
use crate::region::{Growth, GrowthKind};
use std::ffi::c_void;

/// What grows, for lucet_growth_fn. Numbers never change.
#[repr(i32)]
pub enum lucet_growth_kind {
    /// A memory; sizes are bytes, of all memories of the instance together.
    LUCET_GROWTH_MEMORY = 1,
    /// A table; sizes are elements.
    LUCET_GROWTH_TABLE = 2,
}

const _: () = {
    assert!(lucet_growth_kind::LUCET_GROWTH_MEMORY as u32 == GrowthKind::Memory as u32);
    assert!(lucet_growth_kind::LUCET_GROWTH_TABLE as u32 == GrowthKind::Table as u32);
};

/// Whether a memory or table of `instance` may grow from `from` to `to`; if not, the guest's
/// memory.grow or table.grow returns -1. Called after every limit has allowed it, on the thread and
/// in the middle of the run, on the host's stack: what holds for host functions holds for it, and
/// `instance` is busy.
pub type lucet_growth_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        instance: *mut lucet_instance,
        kind: raw::lucet_growth_kind,
        from: u64,
        to: u64,
    ) -> bool,
>;

/// Asks `fn` before a memory or table grows; NULL, nobody, by default. It may be called by several
/// threads at the same time, one for each instance that runs.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_region_config_set_growth_callback(
    config: *mut lucet_region_config,
    r#fn: lucet_growth_fn,
    user_data: *mut c_void,
) -> raw::lucet_status {
    set(config, |c| {
        c.growth = r#fn.map(|f| Growth {
            ask: ask_to_grow,
            function: f as usize,
            user_data: user_data.expose_provenance(),
        });
    })
}

fn ask_to_grow(g: &Growth, instance: (u32, u32), kind: GrowthKind, from: u64, to: u64) -> bool {
    let Some(instance) = InstanceRef::from_parts(instance.0, instance.1) else { return false };
    // SAFETY: `function` is one that was given to lucet_region_config_set_growth_callback, the only
    // place that names `ask_to_grow`, as a function of this type.
    let function: lucet_growth_fn = unsafe { std::mem::transmute(g.function) };
    let user_data = std::ptr::with_exposed_provenance_mut(g.user_data);
    // SAFETY: the header asks for a function of this type that does not unwind.
    function.is_some_and(|f| unsafe { f(user_data, of_instance(instance), kind as i32, from, to) })
}
