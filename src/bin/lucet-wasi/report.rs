//! What is said of a guest that ended badly: why, in which function, in which line.

use crate::lines;
use lucet::{Backtrace, FrameKind, Trap, TrapCode, Val};
use std::fmt::Write;

/// The exit code of a program that trapped: 128 and the number of the signal with which a native
/// program would have ended.
pub fn code_of(trap: Option<TrapCode>) -> u8 {
    use TrapCode as T;
    const SIGABRT: u8 = 6;
    const SIGFPE: u8 = 8;
    const SIGSEGV: u8 = 11;
    128 + match trap {
        Some(T::IntegerDivisionByZero | T::IntegerOverflow | T::BadConversionToInteger) => SIGFPE,
        Some(T::Unreachable) | None => SIGABRT,
        Some(_) => SIGSEGV,
    }
}

/// ` (file.c:12)`, if the module knows.
fn line(wasm: Option<&[u8]>, offset: Option<u32>) -> String {
    let found = wasm.zip(offset).and_then(|(wasm, offset)| lines::find(wasm, offset));
    found.map_or(String::new(), |line| format!(" ({line})"))
}

/// The reason, the function and the line of a trap.
pub fn trap(trap: &Trap, wasm: Option<&[u8]>) -> String {
    // The name is the module's word for it.
    let text: String = trap.to_string().chars().filter(|c| !c.is_control()).collect();
    format!("trap: {text}{}", line(wasm, trap.wasm_offset))
}

/// A line for each frame.
pub fn backtrace(trace: &Backtrace, wasm: Option<&[u8]>) -> String {
    let mut out = String::from("backtrace, innermost first:");
    let text = trace.to_string();
    for (frame, shown) in trace.frames.iter().zip(text.lines()) {
        let at = if frame.kind == FrameKind::Guest { frame.wasm_offset } else { None };
        // Writing to a string does not fail.
        let _ = write!(out, "\n{shown}{}", line(wasm, at));
    }
    out
}

/// A result as text, which `--invoke` would take as an argument.
pub fn value(v: &Val) -> String {
    match v {
        Val::I32(v) => v.to_string(),
        Val::I64(v) => v.to_string(),
        Val::F32(v) => v.to_string(),
        Val::F64(v) => v.to_string(),
        Val::V128(v) => format!("{v:#034x}"),
        other => format!("{other:?}"),
    }
}
