//! The functions that guests import, one for each line of the tables in `lucet-http`.

use super::{Attached, TAG};
use crate::error::Result;
use crate::import::Imports;
use crate::instance::Vmctx;
use crate::instance::memory;
use crate::vmctx::typed::{Typed, resume_fn};
use crate::vmctx::{Control, ControlRef};
use lucet_artifact::abi::TrapCode;
use lucet_http::{Answer, Call, Memory, Problem, Stop, Wait, handler};
use lucet_wasi::GuestMemory as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Memory for memory::Memory {
    fn read(&self, at: u32, len: u32) -> Option<&[u8]> {
        self.bytes(at, len).ok()
    }

    fn write(&mut self, at: u32, len: u32) -> Option<&mut [u8]> {
        self.bytes_mut(at, len).ok()
    }
}

/// What a host function returns, as one word.
trait Whole: Sized {
    fn whole(self) -> u64;
    fn of(word: u64) -> Self;
}

impl Whole for () {
    fn whole(self) -> u64 {
        0
    }

    fn of(_: u64) -> Self {}
}

impl Whole for u32 {
    fn whole(self) -> u64 {
        self.into()
    }

    fn of(word: u64) -> Self {
        word as u32
    }
}

impl Whole for u64 {
    fn whole(self) -> u64 {
        self
    }

    fn of(word: u64) -> Self {
        word
    }
}

/// Does what a guest asks, and ends its run if that cannot be.
fn host(ctx: &Control, f: &mut dyn FnMut(&mut Call<'_>) -> Answer<u64>) -> u64 {
    let caller = Vmctx::of(ctx);
    let answer = catch_unwind(AssertUnwindSafe(|| ask(caller, f)));
    match answer.unwrap_or(Problem::Internal.into()) {
        Ok(word) => word,
        Err(stop) => {
            end(caller, stop);
            0
        }
    }
}

fn ask(caller: Vmctx, f: &mut dyn FnMut(&mut Call<'_>) -> Answer<u64>) -> Answer<u64> {
    let control: ControlRef = caller.0;
    // Taken out, so that nobody has the instance's inner state while the server works.
    let Ok(mut attached) = Attached::of(control, control.state().0) else {
        return Problem::Internal.into();
    };
    let Attached { server, request, exchange, .. } = &mut *attached;
    let mut memory = memory::Memory::new(caller.0, 0);
    let answer =
        f(&mut Call { server: &**server, request: *request, exchange, memory: &mut memory });
    control.with(|i| i.http = Some(attached));
    answer
}

/// What comes of a call that does not return to its guest. Where waiting is not possible, the
/// request is over.
#[cold]
fn end(caller: Vmctx, stop: Stop) {
    let tagged = |n: u32| TAG << 32 | u64::from(n);
    // It fails only if an end was decided on already, and then that counts.
    let _ = match stop {
        Stop::OutOfBounds => caller.trap(TrapCode::MemoryOutOfBounds),
        Stop::Problem(problem) => caller.fail(tagged(problem as u32)),
        Stop::Wait(wait) => {
            pause(caller, wait).or_else(|_| caller.fail(tagged(Problem::CannotWait as u32)))
        }
    };
}

fn pause(caller: Vmctx, wait: Wait) -> Result<()> {
    caller.yield_value(TAG << 32 | wait as u64, Some(resume_fn(go_on)), 0)
}

extern "C" fn go_on(ctx: &Control, _: u64, _: usize) -> u64 {
    host(ctx, &mut handler::resume)
}

macro_rules! handler_functions {
    ($($name:ident($($param:ident: $ty:ty),*) -> $result:ty;)*) => {
        /// The host functions.
        mod functions {
            use super::{Control, Whole, handler, host};

            $(pub(super) extern "C" fn $name(ctx: &Control, _: usize, $($param: $ty),*) -> $result {
                Whole::of(host(ctx, &mut |c| handler::$name(c, $($param),*).map(Whole::whole)))
            })*
        }

        /// Offers them.
        pub(super) fn offer(imports: &mut Imports) -> Result<()> {
            $({
                let f: extern "C" fn(&Control, usize, $($ty),*) -> $result = functions::$name;
                let (ty, code) = f.host();
                imports.add(handler::MODULE, stringify!($name), ty, code, 0)?;
            })*
            Ok(())
        }
    };
}

lucet_http::for_each_handler_function!(handler_functions);
