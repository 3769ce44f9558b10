//! The entry of *impure* host functions: notes that the instance called one, and goes on to the
//! function. Only those pass here; the thunk calls all others as ever.
//!
//! ```text
//!  thunk ──► impure_entry(ctx, ImpureHost *, arguments …) ──jump──► f(ctx, user data, arguments …)
//!                 ctx.impure |= bit
//! ```
//!
//! It must leave every register and the stack as they are, because it does not know what the
//! arguments are; but for `rax`, which carries none.

use crate::vmctx::{Control, ImpureHost};
use std::mem::offset_of;

/// Stands in the place of an impure host function; its user data is an [`ImpureHost`].
#[unsafe(naked)]
pub(crate) extern "C" fn impure_entry() {
    std::arch::naked_asm!(
        "mov rax, [rsi + {bit}]",
        "or [rdi + {impure}], rax",
        "mov rax, [rsi + {code}]",
        "mov rsi, [rsi + {user_data}]",
        "jmp rax",
        bit = const offset_of!(ImpureHost, bit),
        impure = const offset_of!(Control, impure),
        code = const offset_of!(ImpureHost, code),
        user_data = const offset_of!(ImpureHost, user_data),
    )
}
