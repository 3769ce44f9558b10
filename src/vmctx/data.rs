//! Writing and reading instance data: the bytes below `vmctx`.

/// The instance data of one slot: `size` bytes that end at `vmctx`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InstanceData {
    vmctx: usize,
    size: u32,
}

impl InstanceData {
    /// The `size` bytes below `vmctx`.
    ///
    /// # Safety
    /// They are readable and writable, belong to the caller's slot, and `vmctx` is 16-aligned; this
    /// stays so while the value is used.
    pub(crate) unsafe fn new(vmctx: usize, size: u32) -> Self {
        Self { vmctx, size }
    }

    /// `vmctx`.
    pub(crate) fn vmctx(self) -> usize {
        self.vmctx
    }

    /// Address of a field.
    ///
    /// # Panics
    /// If `offset` and `len` do not lie inside: offsets come from `Layout`, so that is a bug.
    #[inline(always)]
    pub(crate) fn address(self, offset: i32, len: usize) -> usize {
        let below = i64::from(offset).unsigned_abs();
        if offset >= 0 || below > u64::from(self.size) || len as u64 > below {
            outside(offset, len, self.size);
        }
        self.vmctx - below as usize
    }

    /// Copies a module's template over all of it.
    #[inline(always)]
    pub(crate) fn write_template(self, template: &[u8]) {
        assert!(template.len() == self.size as usize, "template of another module");
        let to = (self.vmctx - self.size as usize) as *mut u8;
        // SAFETY: `new` promises `size` writable bytes below `vmctx`.
        unsafe { std::ptr::copy_nonoverlapping(template.as_ptr(), to, template.len()) }
    }

    #[inline(always)]
    fn write<T: Copy>(self, offset: i32, v: T) {
        let at = self.address(offset, size_of::<T>()) as *mut T;
        // SAFETY: `address` checked that the field lies inside the writable bytes.
        unsafe { at.write_unaligned(v) }
    }

    /// Writes a word.
    #[inline(always)]
    pub(crate) fn set_u64(self, offset: i32, v: u64) {
        self.write(offset, v);
    }

    /// Reads a word.
    pub(crate) fn u64(self, offset: i32) -> u64 {
        let at = self.address(offset, 8) as *const u64;
        // SAFETY: `address` checked that the field lies inside the readable bytes.
        unsafe { at.read_unaligned() }
    }

    /// Writes a value slot.
    pub(crate) fn set_slot(self, offset: i32, v: u128) {
        self.write(offset, v);
    }

    /// Reads a value slot: the current value of a global.
    pub(crate) fn slot(self, offset: i32) -> u128 {
        let at = self.address(offset, 16) as *const u128;
        // SAFETY: `address` checked that the field lies inside the readable bytes.
        unsafe { at.read_unaligned() }
    }
}

/// A field that is none.
#[cold]
#[inline(never)]
fn outside(offset: i32, len: usize, size: u32) -> ! {
    panic!("field at {offset} of {len} bytes outside {size} bytes of instance data")
}
