//! Enumerations and the outcome: the numbers that callers branch on.
//!
//! They stand here a second time because the header is generated from this file; [`same`] refuses
//! to compile if a number differs from the runtime's own.

use super::raw;
use crate::error::Status;
use crate::instance::Ended;
use crate::outcome::OutcomeKind;
use lucet_artifact::abi::TrapCode;
use std::ffi::{CStr, c_char};

/// Why a call failed: something the caller or the environment did. What a guest did is a
/// lucet_outcome. Numbers never change; new ones are added at the end.
#[repr(i32)]
pub enum lucet_status {
    /// Success.
    LUCET_STATUS_OK = 0,
    /// A required pointer is NULL.
    LUCET_STATUS_NULL_ARGUMENT = 1,
    /// A handle was freed, belongs to another kind of object, or was made up.
    LUCET_STATUS_INVALID_HANDLE = 2,
    /// An argument has a value that is not allowed.
    LUCET_STATUS_INVALID_ARGUMENT = 3,
    /// The object is in use: a running instance, one used by another thread, a region with
    /// instances.
    LUCET_STATUS_BUSY = 4,
    /// The instance is in a state in which this is not possible: run of a suspended one, resume of
    /// a ready one, anything but reset or free of a faulted one.
    LUCET_STATUS_WRONG_STATE = 5,
    /// The system refused memory, address space or a descriptor.
    LUCET_STATUS_OUT_OF_MEMORY = 6,
    /// Every slot of the region is taken.
    LUCET_STATUS_REGION_FULL = 7,
    /// A file could not be read or written; the message has path and errno.
    LUCET_STATUS_IO = 8,
    /// Not an artifact written by lucetc (a wasm file is not one either: compile it first).
    LUCET_STATUS_NOT_AN_ARTIFACT = 9,
    /// The artifact is damaged or malicious; the message names section and offset.
    LUCET_STATUS_INVALID_ARTIFACT = 10,
    /// The artifact needs another format version, another ABI version or another processor.
    LUCET_STATUS_UNSUPPORTED_ARTIFACT = 11,
    /// The artifact is neither signed nor pinned, and unsigned code was not explicitly allowed.
    LUCET_STATUS_UNTRUSTED_ARTIFACT = 12,
    /// The module imports something that the host does not offer.
    LUCET_STATUS_MISSING_IMPORT = 13,
    /// The module imports a function with another type than the host offers.
    LUCET_STATUS_IMPORT_TYPE_MISMATCH = 14,
    /// The module has no such export.
    LUCET_STATUS_NO_SUCH_EXPORT = 15,
    /// The export is of another kind or type: arguments, results or signature do not fit.
    LUCET_STATUS_EXPORT_TYPE_MISMATCH = 16,
    /// A range of guest memory lies outside the memory.
    LUCET_STATUS_OUT_OF_BOUNDS = 17,
    /// The module needs more than the region's slots offer, or another limit is exceeded.
    LUCET_STATUS_LIMIT_EXCEEDED = 18,
    /// A segment does not fit, or the start function did not return.
    LUCET_STATUS_START_FAILED = 19,
    /// A yield inside a nested run or a start function.
    LUCET_STATUS_NESTED_YIELD = 20,
    /// SIGSEGV, SIGBUS, SIGILL or SIGFPE is blocked in this thread.
    LUCET_STATUS_SIGNALS_BLOCKED = 21,
    /// The object belongs to the parent process.
    LUCET_STATUS_FORKED = 22,
    /// A bug in lucet: a panic was caught. Please report it.
    LUCET_STATUS_INTERNAL = 23,
    /// Something this version cannot do.
    LUCET_STATUS_UNSUPPORTED = 24,
    /// A snapshot would freeze random numbers or clocks that were read during start-up.
    LUCET_STATUS_IMPURE = 25,
    /// The module's contract is not what the configuration allows; the message lists each point.
    LUCET_STATUS_CONTRACT_REFUSED = 26,
}

/// What a guest did. Numbers never change; treat unknown ones like LUCET_OUTCOME_TRAPPED.
#[repr(i32)]
pub enum lucet_outcome_kind {
    /// The function returned; its results are there. The instance is ready for the next run.
    LUCET_OUTCOME_RETURNED = 1,
    /// A host function yielded `value`. The instance is suspended: resume, reset or free it.
    LUCET_OUTCOME_YIELDED = 2,
    /// The guest trapped. The instance is faulted, as after everything below unless noted: reset
    /// or free it.
    LUCET_OUTCOME_TRAPPED = 3,
    /// The host stopped it.
    LUCET_OUTCOME_TERMINATED = 4,
    /// Its budget of time is used up.
    LUCET_OUTCOME_TIMED_OUT = 5,
    /// Its time slice is used up. The instance is in the middle of its guest's work: resume, reset
    /// or free it.
    LUCET_OUTCOME_PREEMPTED = 6,
    /// Its fuel is used up. The instance is suspended: see lucet_instance_set_fuel.
    LUCET_OUTCOME_OUT_OF_FUEL = 7,
    /// It asked to exit; `value` is the code.
    LUCET_OUTCOME_EXITED = 8,
    /// An exception left its outermost function; it is ready: see lucet_instance_exception.
    LUCET_OUTCOME_EXCEPTION = 9,
    /// A host function reported failure; `value` is its code.
    LUCET_OUTCOME_HOST_ERROR = 10,
}

/// Why a guest trapped. Numbers never change.
#[repr(i32)]
pub enum lucet_trap_code {
    /// It did not.
    LUCET_TRAP_NONE = 0,
    /// The `unreachable` instruction; compilers emit it for abort() and failed assertions.
    LUCET_TRAP_UNREACHABLE = 1,
    /// An access outside linear memory.
    LUCET_TRAP_MEMORY_OUT_OF_BOUNDS = 2,
    /// An access outside a table, or an indirect call through an index outside it.
    LUCET_TRAP_TABLE_OUT_OF_BOUNDS = 3,
    /// An indirect call through an empty table element.
    LUCET_TRAP_INDIRECT_CALL_TO_NULL = 4,
    /// An indirect call to a function of another type.
    LUCET_TRAP_BAD_SIGNATURE = 5,
    /// Integer division or remainder by zero.
    LUCET_TRAP_INTEGER_DIVISION_BY_ZERO = 6,
    /// An integer result does not fit.
    LUCET_TRAP_INTEGER_OVERFLOW = 7,
    /// Conversion of NaN to an integer.
    LUCET_TRAP_BAD_CONVERSION_TO_INTEGER = 8,
    /// The guest's stack is used up: endless or very deep recursion.
    LUCET_TRAP_STACK_OVERFLOW = 9,
    /// Use of a null reference.
    LUCET_TRAP_NULL_REFERENCE = 10,
    /// An atomic access at an address that is not aligned.
    LUCET_TRAP_UNALIGNED_ATOMIC = 11,
    /// An atomic wait on a memory that is not shared.
    LUCET_TRAP_EXPECTED_SHARED_MEMORY = 12,
}

/// What a run or resume came to. Fields that do not belong to `kind` are 0.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct lucet_outcome {
    /// What happened. 0 if the call itself failed.
    pub kind: raw::lucet_outcome_kind,
    /// TRAPPED: why.
    pub trap_code: raw::lucet_trap_code,
    /// YIELDED: the value; EXITED: the guest's code; HOST_ERROR: the host function's code.
    pub value: u64,
    /// TRAPPED: offset of the instruction in the artifact's .text, in bytes.
    pub pc: u64,
    /// TRAPPED by an access: its offset from byte 0 of the memory, if known, else 0.
    pub fault_address: u64,
    /// TRAPPED: offset of the operator in the wasm file, UINT32_MAX if unknown.
    pub wasm_offset: u32,
    /// TRAPPED: index of the function, UINT32_MAX if unknown; see lucet_instance_function_name.
    pub function: u32,
}

impl lucet_outcome {
    pub(super) const RETURNED: Self = Self {
        kind: OutcomeKind::Returned as i32,
        trap_code: 0,
        value: 0,
        pc: 0,
        fault_address: 0,
        wasm_offset: 0,
        function: 0,
    };

    #[inline(always)]
    pub(super) fn yielded(value: u64) -> Self {
        Self { kind: OutcomeKind::Yielded as i32, value, ..Self::RETURNED }
    }
}

impl From<Ended> for lucet_outcome {
    fn from(ended: Ended) -> Self {
        let plain = |kind: OutcomeKind, value| Self { kind: kind as i32, value, ..Self::default() };
        match ended {
            Ended::Returned => Self::RETURNED,
            Ended::Yielded(v) => Self::yielded(v),
            Ended::TimedOut => plain(OutcomeKind::TimedOut, 0),
            Ended::Preempted => plain(OutcomeKind::Preempted, 0),
            Ended::Terminated => plain(OutcomeKind::Terminated, 0),
            Ended::Exited(c) => plain(OutcomeKind::Exited, c),
            Ended::HostError(c) => plain(OutcomeKind::HostError, c),
            Ended::OutOfFuel => plain(OutcomeKind::OutOfFuel, 0),
            Ended::Exception(_) => plain(OutcomeKind::Exception, 0),
            Ended::Trapped(t) => Self {
                kind: OutcomeKind::Trapped as i32,
                trap_code: t.code as i32,
                value: 0,
                pc: t.pc,
                fault_address: t.address.unwrap_or(0),
                wasm_offset: t.wasm_offset.unwrap_or(u32::MAX),
                function: t.function.unwrap_or(u32::MAX),
            },
        }
    }
}

/// Checks numbers against the runtime's, and makes the table of names.
macro_rules! same {
    ($names:ident: $c:ident = $rust:ident { $($item:ident = $variant:ident,)* }) => {
        $(const _: () = assert!($c::$item as i32 == $rust::$variant as i32);)*
        fn $names(number: i32) -> Option<&'static CStr> {
            $(if number == $c::$item as i32 {
                const NAME: &CStr = match CStr::from_bytes_with_nul(
                    concat!(stringify!($item), "\0").as_bytes(),
                ) {
                    Ok(name) => name,
                    Err(_) => panic!(),
                };
                return Some(NAME);
            })*
            None
        }
    };
}

same!(status_name: lucet_status = Status {
    LUCET_STATUS_OK = Ok,
    LUCET_STATUS_NULL_ARGUMENT = NullArgument,
    LUCET_STATUS_INVALID_HANDLE = InvalidHandle,
    LUCET_STATUS_INVALID_ARGUMENT = InvalidArgument,
    LUCET_STATUS_BUSY = Busy,
    LUCET_STATUS_WRONG_STATE = WrongState,
    LUCET_STATUS_OUT_OF_MEMORY = OutOfMemory,
    LUCET_STATUS_REGION_FULL = RegionFull,
    LUCET_STATUS_IO = Io,
    LUCET_STATUS_NOT_AN_ARTIFACT = NotAnArtifact,
    LUCET_STATUS_INVALID_ARTIFACT = InvalidArtifact,
    LUCET_STATUS_UNSUPPORTED_ARTIFACT = UnsupportedArtifact,
    LUCET_STATUS_UNTRUSTED_ARTIFACT = UntrustedArtifact,
    LUCET_STATUS_MISSING_IMPORT = MissingImport,
    LUCET_STATUS_IMPORT_TYPE_MISMATCH = ImportTypeMismatch,
    LUCET_STATUS_NO_SUCH_EXPORT = NoSuchExport,
    LUCET_STATUS_EXPORT_TYPE_MISMATCH = ExportTypeMismatch,
    LUCET_STATUS_OUT_OF_BOUNDS = OutOfBounds,
    LUCET_STATUS_LIMIT_EXCEEDED = LimitExceeded,
    LUCET_STATUS_START_FAILED = StartFailed,
    LUCET_STATUS_NESTED_YIELD = NestedYield,
    LUCET_STATUS_SIGNALS_BLOCKED = SignalsBlocked,
    LUCET_STATUS_FORKED = Forked,
    LUCET_STATUS_INTERNAL = Internal,
    LUCET_STATUS_UNSUPPORTED = Unsupported,
    LUCET_STATUS_IMPURE = Impure,
    LUCET_STATUS_CONTRACT_REFUSED = ContractRefused,
});

same!(outcome_name: lucet_outcome_kind = OutcomeKind {
    LUCET_OUTCOME_RETURNED = Returned,
    LUCET_OUTCOME_YIELDED = Yielded,
    LUCET_OUTCOME_TRAPPED = Trapped,
    LUCET_OUTCOME_TERMINATED = Terminated,
    LUCET_OUTCOME_TIMED_OUT = TimedOut,
    LUCET_OUTCOME_PREEMPTED = Preempted,
    LUCET_OUTCOME_OUT_OF_FUEL = OutOfFuel,
    LUCET_OUTCOME_EXITED = Exited,
    LUCET_OUTCOME_EXCEPTION = Exception,
    LUCET_OUTCOME_HOST_ERROR = HostError,
});

const _: () = assert!(lucet_trap_code::LUCET_TRAP_NONE as i32 == 0);

/// Trap codes are described, not named.
macro_rules! described {
    ($($item:ident = $variant:ident: $text:literal,)*) => {
        $(const _: () = assert!(lucet_trap_code::$item as i32 == TrapCode::$variant as i32);)*
        const TRAPS: &[(TrapCode, &CStr)] = &[$((TrapCode::$variant, $text),)*];
    };
}

described! {
    LUCET_TRAP_UNREACHABLE = Unreachable: c"unreachable executed",
    LUCET_TRAP_MEMORY_OUT_OF_BOUNDS = MemoryOutOfBounds: c"out of bounds memory access",
    LUCET_TRAP_TABLE_OUT_OF_BOUNDS = TableOutOfBounds: c"out of bounds table access",
    LUCET_TRAP_INDIRECT_CALL_TO_NULL = IndirectCallToNull:
        c"indirect call to an uninitialized element",
    LUCET_TRAP_BAD_SIGNATURE = BadSignature: c"indirect call type mismatch",
    LUCET_TRAP_INTEGER_DIVISION_BY_ZERO = IntegerDivisionByZero: c"integer divide by zero",
    LUCET_TRAP_INTEGER_OVERFLOW = IntegerOverflow: c"integer overflow",
    LUCET_TRAP_BAD_CONVERSION_TO_INTEGER = BadConversionToInteger:
        c"invalid conversion to integer",
    LUCET_TRAP_STACK_OVERFLOW = StackOverflow: c"call stack exhausted",
    LUCET_TRAP_NULL_REFERENCE = NullReference: c"null reference",
    LUCET_TRAP_UNALIGNED_ATOMIC = UnalignedAtomic: c"unaligned atomic access",
    LUCET_TRAP_EXPECTED_SHARED_MEMORY = ExpectedSharedMemory: c"expected shared memory",
}

const UNKNOWN: &CStr = c"unknown";

/// The name of a status as it stands here, such as "LUCET_STATUS_BUSY". Static, never NULL;
/// "unknown" for other numbers. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_status_name(status: raw::lucet_status) -> *const c_char {
    status_name(status).unwrap_or(UNKNOWN).as_ptr()
}

/// The name of an outcome as it stands here, such as "LUCET_OUTCOME_TRAPPED". Static, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_outcome_name(kind: raw::lucet_outcome_kind) -> *const c_char {
    outcome_name(kind).unwrap_or(UNKNOWN).as_ptr()
}

/// A trap code in words, such as "out of bounds memory access". Static, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn lucet_trap_name(code: raw::lucet_trap_code) -> *const c_char {
    let found = TRAPS.iter().find(|(t, _)| *t as i32 == code).map(|(_, text)| *text);
    found.unwrap_or(if code == 0 { c"no trap" } else { UNKNOWN }).as_ptr()
}

/// The trap code with this number, as a host function names it.
pub(super) fn trap_code(number: raw::lucet_trap_code) -> Option<TrapCode> {
    u8::try_from(number).ok().and_then(TrapCode::from_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_words() {
        assert_eq!(TRAPS.len(), TrapCode::ALL.len());
        for (code, text) in TRAPS {
            assert_eq!(text.to_str(), Ok(code.message()));
            assert_eq!(trap_code(*code as i32), Some(*code));
        }
        assert_eq!(status_name(25), Some(c"LUCET_STATUS_IMPURE"));
        assert_eq!(status_name(26), Some(c"LUCET_STATUS_CONTRACT_REFUSED"));
        assert!(status_name(27).is_none() && status_name(-1).is_none());
        assert_eq!(outcome_name(10), Some(c"LUCET_OUTCOME_HOST_ERROR"));
        assert!(trap_code(0).is_none() && trap_code(13).is_none() && trap_code(257).is_none());
    }
}
