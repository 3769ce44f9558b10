//! Host functions as the host thunk finds them, and the embedder's word for what they are.

/// One host entry: a function that compiled code reaches through the host thunk, by index.
/// Layout: `lucet_artifact::abi::host_entry`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct HostEntry {
    pub code: usize,
    pub user_data: usize,
    pub stack_bytes: u32,
    pub reserved: u32,
    pub reserved2: u64,
}

/// A host function whose results should differ from instance to instance. Its [`HostEntry`] calls
/// `arch::impure_entry` with this as user data, which notes the call and goes on to the function.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ImpureHost {
    pub code: usize,
    pub user_data: usize,
    /// The bit of [`Control::impure`]: that of `names[n]` is the n-th; many share the last.
    pub bit: u64,
}

const _: () = {
    use lucet_artifact::{abi::host_entry, layout};
    assert!(size_of::<HostEntry>() == host_entry::SIZE as usize);
    assert!(std::mem::offset_of!(HostEntry, code) == host_entry::CODE as usize);
    assert!(std::mem::offset_of!(HostEntry, user_data) == host_entry::USER_DATA as usize);
    assert!(std::mem::offset_of!(HostEntry, stack_bytes) == host_entry::STACK_BYTES as usize);
    // The thunk in `arch` has this offset as a literal.
    assert!(layout::CONTROL == -24);
};

/// The address of a C function that may be called from a guest, with a signature that the person
/// who made it vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostCode(usize);

impl HostCode {
    /// Vouches for a function.
    ///
    /// # Safety
    /// `function` has the C signature `R f(lucet_vmctx *, void *user_data, arguments…)` that
    /// belongs to the wasm type it is registered with, stays callable while any module that imports
    /// it is
    /// loaded, and does not unwind into its caller.
    #[must_use]
    pub unsafe fn new(function: *const std::ffi::c_void) -> Self {
        Self(function as usize)
    }

    pub(crate) fn address(self) -> usize {
        self.0
    }
}
