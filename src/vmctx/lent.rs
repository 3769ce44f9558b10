//! What the host lends to lucet until nothing needs it any more: data of host functions, and the
//! state of a yield.

/// Something of the host's that is given back once, when the last that needs it is gone: by calling
/// a function that the host named.
#[derive(Debug)]
pub(crate) struct Lent {
    data: usize,
    give_back: GiveBackFn,
}

/// Takes something back.
pub type GiveBackFn = unsafe extern "C" fn(data: usize);

impl Lent {
    /// # Safety
    /// `give_back` may be called once with `data`, at any time, on any thread.
    pub(crate) unsafe fn new(data: usize, give_back: GiveBackFn) -> Self {
        Self { data, give_back }
    }

    /// It is given back in another way.
    pub(crate) fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // SAFETY: the promise of `new`; this is the one call.
        unsafe { (self.give_back)(self.data) }
    }
}
