//! A backtrace as people and programs read it.
//!
//! ```text
//!  0: parse_header (function 12) at wasm offset 0x1f0
//!  1: import env.read (function 0)
//!  2: on_request (function 3) at wasm offset 0x2a
//!     … 13019 frames left out …
//!  3: memory.fill
//! ```

use lucet_artifact::abi::Builtin;
use std::fmt::{self, Write as _};

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A function of a module.
    Guest,
    /// A host function that a module imports.
    Import,
    /// The runtime at work for the guest.
    Builtin(Option<Builtin>),
    /// This many frames are left out here.
    Omitted(u64),
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// Index of the function, imported ones first.
    pub function: Option<u32>,
    /// Its name; of an import, module and name with a dot between.
    pub name: Option<String>,
    /// Offset in the wasm file of the operator that was executed: the call, in frames of callers.
    pub wasm_offset: Option<u32>,
    /// Offset in `.text` of an address in the instruction.
    pub pc: u64,
    /// The module, by [`crate::Module::id`]: another one than the instance's only in groups.
    pub module: u64,
}

/// Frames, from where a run ended or waits to where it began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backtrace {
    /// The frames.
    pub frames: Vec<Frame>,
}

/// Longest part of a name that is written.
const NAME: usize = 256;

/// The words of the wasm text format for what a builtin does.
fn words(b: Builtin) -> &'static str {
    match b {
        Builtin::MemoryGrow => "memory.grow",
        Builtin::MemoryCopy => "memory.copy",
        Builtin::MemoryFill => "memory.fill",
        Builtin::MemoryInit => "memory.init",
        Builtin::DataDrop => "data.drop",
        Builtin::TableGrow => "table.grow",
        Builtin::TableFill => "table.fill",
        Builtin::TableCopy => "table.copy",
        Builtin::TableInit => "table.init",
        Builtin::ElemDrop => "elem.drop",
        Builtin::TableSet => "table.set",
        Builtin::OutOfFuel => "out of fuel",
        Builtin::FusedF32x2 => "f32x4.relaxed_madd",
        Builtin::FusedF64 => "f64x2.relaxed_madd",
        Builtin::CheckResult => "a reference that the host returned",
        Builtin::Throw => "throw",
        Builtin::ThrowRef => "throw_ref",
        Builtin::Rethrow => "an exception that was not caught",
        Builtin::TakeException | Builtin::ReadException => "catch",
    }
}

impl fmt::Display for Frame {
    /// A line without its number. Names come from the module and may be anything: what is not
    /// printable is escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FrameKind::Omitted(n) => return write!(f, "… {n} frames left out …"),
            FrameKind::Builtin(b) => return f.write_str(b.map_or("the runtime", words)),
            FrameKind::Import => f.write_str("import ")?,
            FrameKind::Guest => {}
        }
        match (&self.name, self.function) {
            (Some(name), function) => {
                let mut left = NAME;
                for c in name.chars().flat_map(char::escape_debug) {
                    match left.checked_sub(c.len_utf8()) {
                        Some(n) => left = n,
                        None => {
                            f.write_str("…")?;
                            break;
                        }
                    }
                    f.write_char(c)?;
                }
                if let Some(n) = function {
                    write!(f, " (function {n})")?;
                }
            }
            (None, Some(n)) => write!(f, "function {n}")?,
            (None, None) => write!(f, "code at {:#x}", self.pc)?,
        }
        if let Some(at) = self.wasm_offset {
            write!(f, " at wasm offset {at:#x}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Backtrace {
    /// A line for each frame, numbered from the inside; frames that were left out count.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut n = 0u64;
        for frame in &self.frames {
            match frame.kind {
                FrameKind::Omitted(more) => {
                    writeln!(f, "     {frame}")?;
                    n += more;
                }
                _ => {
                    writeln!(f, "{n:>4}: {frame}")?;
                    n += 1;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: FrameKind, function: Option<u32>, name: Option<&str>) -> Frame {
        let name = name.map(str::to_owned);
        Frame { kind, function, name, wasm_offset: None, pc: 7, module: 1 }
    }

    #[test]
    fn one_line_for_each_frame_whatever_the_names_are() {
        let long = "x".repeat(10_000);
        let frames = vec![
            Frame {
                wasm_offset: Some(31),
                ..frame(FrameKind::Guest, Some(2), Some("a\nb\u{1b}[2J"))
            },
            frame(FrameKind::Import, Some(0), Some("env.\u{202e}log\0")),
            frame(FrameKind::Builtin(Some(Builtin::MemoryFill)), None, None),
            frame(FrameKind::Builtin(None), None, None),
            frame(FrameKind::Omitted(90), None, None),
            frame(FrameKind::Guest, Some(9), Some(&long)),
            frame(FrameKind::Guest, Some(10), None),
            frame(FrameKind::Guest, None, None),
        ];
        let text = Backtrace { frames }.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], r"   0: a\nb\u{1b}[2J (function 2) at wasm offset 0x1f");
        assert_eq!(lines[1], r"   1: import env.\u{202e}log\0 (function 0)");
        assert_eq!(lines[2], "   2: memory.fill");
        assert_eq!(lines[3], "   3: the runtime");
        assert_eq!(lines[4], "     … 90 frames left out …");
        assert_eq!(lines[5], format!("  94: {}… (function 9)", &long[..NAME]));
        assert_eq!(lines[6], "  95: function 10");
        assert_eq!(lines[7], "  96: code at 0x7");
        assert_eq!(lines.len(), 8);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
    }
}
