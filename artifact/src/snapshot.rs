//! Section `.lucet.snapshot`: what a snapshot knows besides its state. The state itself stands
//! where every artifact has it: sizes in the contract, globals, table contents and the image in
//! `.lucet.init` and `.lucet.image`. A snapshot is an artifact whose module begins where an
//! instance had got to.
//!
//! The section is there exactly if the trailer has [`crate::trailer::FLAG_SNAPSHOT`].

use crate::codec::{DecodeError, EncodeError, Reader, Writer};
use crate::contract::Contract;

/// Section `.lucet.snapshot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Whether the state was made with values that should differ from instance to instance: random
    /// numbers, clocks.
    pub impure: bool,
    /// Function that each new instance calls before it is handed out, of type () -> () or
    /// (i64) -> (); the i64 is random.
    pub reseed: Option<u32>,
}

impl Snapshot {
    /// Encodes the section.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut w = Writer::new();
        w.flag(self.impure);
        w.flag(self.reseed.is_some());
        w.u32(self.reseed.unwrap_or(0));
        Ok(w.into_bytes())
    }

    /// Decodes the section; the reseed function is one of the contract's.
    pub fn decode(bytes: &[u8], contract: &Contract) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let impure = r.flag("impure flag")?;
        let has_reseed = r.flag("reseed flag")?;
        let at = r.pos();
        let index = r.u32("reseed function")?;
        if (has_reseed && index >= contract.functions) || (!has_reseed && index != 0) {
            return Err(DecodeError::Invalid { what: "reseed function", at, found: index.into() });
        }
        r.finish()?;
        Ok(Self { impure, reseed: has_reseed.then_some(index) })
    }
}
