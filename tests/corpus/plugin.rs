//! Plugins, the same small program from several compilers: `on_request(ptr, len)` upper-cases a
//! request and wraps it in angle brackets; the result is `ptr << 32 | len`. On the way it logs the
//! request through `env.host_log`. One of them brings no allocator and imports the host's.

use lucet::{Control, Instance, Outcome, Val, Vmctx};
use std::ffi::c_void;

const REQUEST: &[u8] = b"get /index";
const ANSWER: &[u8] = b"<GET /INDEX>";

/// Where `env.malloc` begins in guest memory: the second page.
const HEAP: i32 = 0x1_0000;

/// Host functions of the module `env`, by name.
pub fn functions() -> &'static [(&'static str, *const c_void)] {
    struct Table([(&'static str, *const c_void); 3]);
    // SAFETY: addresses of functions, which never change.
    unsafe impl Sync for Table {}
    static TABLE: Table = Table([
        ("host_log", host_log as *const c_void),
        ("malloc", malloc as *const c_void),
        ("free", free as *const c_void),
    ]);
    &TABLE.0
}

unsafe extern "C" fn host_log(ctx: *const Control, _: usize, at: i32, len: i32) {
    // SAFETY: called by the host thunk.
    let ctx = unsafe { Vmctx::from_raw(ctx) }.expect("a context");
    let mut said = vec![0; len as usize];
    let read = ctx.memory_read(u64::from(at as u32), &mut said);
    if read.is_err() || said != REQUEST {
        ctx.fail(1).expect("nothing was decided before");
    }
}

/// Counts up in the instance's user data.
unsafe extern "C" fn malloc(ctx: *const Control, _: usize, bytes: i32) -> i32 {
    // SAFETY: called by the host thunk.
    let ctx = unsafe { Vmctx::from_raw(ctx) }.expect("a context");
    // SAFETY: `request` lends the instance a cell for as long as it calls it.
    let used = unsafe { &*(ctx.user_data() as *const std::cell::Cell<i32>) };
    HEAP + used.replace(used.get() + (bytes + 15) / 16 * 16)
}

unsafe extern "C" fn free(_: *const Control, _: usize, _: i32) {}

fn call(instance: &Instance, name: &str, args: &[Val]) -> Result<Vec<Val>, String> {
    match instance.run(name, args) {
        Ok(Outcome::Returned(v)) => Ok(v),
        Ok(other) => Err(format!("{name}: {other:?}")),
        Err(e) => Err(format!("{name}: {:?}: {e}", e.status())),
    }
}

/// Sends a plugin the request; its answer must be the right one.
pub fn request(instance: &Instance) -> Result<String, String> {
    let used = std::cell::Cell::new(0i32);
    let cell = std::ptr::from_ref(&used) as usize;
    instance.set_user_data(cell).map_err(|e| e.to_string())?;
    let module = instance.module().map_err(|e| e.to_string())?;
    if module.export("_initialize").is_some() {
        call(instance, "_initialize", &[])?;
    }
    let [Val::I32(at)] = call(instance, "alloc", &[Val::I32(REQUEST.len() as i32)])?[..] else {
        return Err("alloc does not return an address".into());
    };
    instance.memory_write(u64::from(at as u32), REQUEST).map_err(|e| e.to_string())?;
    let args = [Val::I32(at), Val::I32(REQUEST.len() as i32)];
    let [Val::I64(packed)] = call(instance, "on_request", &args)?[..] else {
        return Err("on_request does not return address and length".into());
    };
    let mut answer = vec![0; (packed as u32).min(4096) as usize];
    let read = instance.memory_read(packed as u64 >> 32, &mut answer);
    read.map_err(|e| format!("the answer's place {packed:#x}: {e}"))?;
    if answer != ANSWER {
        return Err(format!("answered {:?}", String::from_utf8_lossy(&answer)));
    }
    Ok(format!("answered {}", String::from_utf8_lossy(&answer)))
}
