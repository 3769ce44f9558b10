//! What a guest did: the result of a call that succeeded from the host's point of view.

use crate::value::Val;
use lucet_artifact::abi::TrapCode;

/// A trap, with everything that is known about its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    /// The reason.
    pub code: TrapCode,
    /// Offset in `.text` of the trapping instruction.
    pub pc: u64,
    /// Offset from byte 0 of memory 0 of the faulting access, if a memory access trapped.
    pub address: Option<u64>,
    /// Offset in the wasm file of the trapping operator, if known.
    pub wasm_offset: Option<u32>,
    /// Index of the function, if known.
    pub function: Option<u32>,
    /// Name of the function, if known.
    pub function_name: Option<String>,
    /// The module, by [`crate::Module::id`]; 0 if unknown.
    pub module: u64,
}

impl std::fmt::Display for Trap {
    /// `out of bounds memory access in function 3 "parse" at wasm offset 0x1f0`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(i) = self.function {
            write!(f, " in function {i}")?;
        }
        if let Some(n) = &self.function_name {
            write!(f, " \"{n}\"")?;
        }
        if let Some(o) = self.wasm_offset {
            write!(f, " at wasm offset {o:#x}")?;
        }
        Ok(())
    }
}

/// An exception that left the function it was thrown in, and all around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exception {
    /// Name under which the module that defines the tag exports it.
    pub tag: Option<String>,
    /// Index of the tag in that module.
    pub index: u32,
    /// The module, by [`crate::Module::id`].
    pub module: u64,
    /// What it carries.
    pub values: Vec<Val>,
    pub(crate) reference: u64,
}

impl std::fmt::Display for Exception {
    /// `exception "error" (I32(3), I64(4))`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.tag {
            Some(name) => write!(f, "exception \"{}\" (", name.escape_debug())?,
            None => write!(f, "exception of tag {} (", self.index)?,
        }
        for (i, v) in self.values.iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { "" })?;
            // Floats as their bits: the digits of all floats take sixteen kilobytes of code.
            match v {
                Val::I32(n) => write!(f, "I32({n})"),
                Val::I64(n) => write!(f, "I64({n})"),
                Val::F32(n) => write!(f, "F32({:#x})", n.to_bits()),
                Val::F64(n) => write!(f, "F64({:#x})", n.to_bits()),
                Val::V128(n) => write!(f, "V128({n:#x})"),
                Val::FuncRef(n) => write!(f, "FuncRef({n})"),
                Val::ExternRef(n) => write!(f, "ExternRef({n})"),
                Val::ExnRef(n) => write!(f, "ExnRef({n})"),
            }?;
        }
        f.write_str(")")
    }
}

/// The outcome of a run or resume.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The function returned these results.
    Returned(Vec<Val>),
    /// A host function yielded this value; the instance can be resumed.
    Yielded(u64),
    /// The guest trapped.
    Trapped(Trap),
    /// Its time slice is over; the instance can be resumed.
    Preempted,
    /// The host stopped the guest.
    Terminated,
    /// The guest took longer than it may.
    TimedOut,
    /// The guest asked to exit with this code.
    Exited(u64),
    /// A host function reported failure with this code.
    HostError(u64),
    /// The fuel is used up. The instance can be resumed when it has some again, unless that was in
    /// a nested run.
    OutOfFuel,
    /// An exception left the function that was called. The instance is as the guest left it, and
    /// can be used on.
    Exception(Exception),
}

/// The numbers of outcomes in the C ABI. Append-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum OutcomeKind {
    /// Results are there.
    Returned = 1,
    /// A host function yielded a value.
    Yielded = 2,
    /// A trap.
    Trapped = 3,
    /// Stopped by the host.
    Terminated = 4,
    /// Its budget is used up.
    TimedOut = 5,
    /// Its time slice is used up.
    Preempted = 6,
    /// Its fuel is used up.
    OutOfFuel = 7,
    /// Asked to exit.
    Exited = 8,
    /// An exception left its outermost function.
    Exception = 9,
    /// A host function reported failure.
    HostError = 10,
}

impl Outcome {
    /// The number of this outcome.
    #[must_use]
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::Returned(_) => OutcomeKind::Returned,
            Self::Yielded(_) => OutcomeKind::Yielded,
            Self::Trapped(_) => OutcomeKind::Trapped,
            Self::Preempted => OutcomeKind::Preempted,
            Self::Terminated => OutcomeKind::Terminated,
            Self::TimedOut => OutcomeKind::TimedOut,
            Self::Exited(_) => OutcomeKind::Exited,
            Self::HostError(_) => OutcomeKind::HostError,
            Self::OutOfFuel => OutcomeKind::OutOfFuel,
            Self::Exception(_) => OutcomeKind::Exception,
        }
    }
}
